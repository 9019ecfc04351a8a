"""An opened record: its plaintext in several ways, and none where it could be shown."""

from __future__ import annotations

import json

import pytest

from panachain.sdk.results.records import RecordProvenance
from tests.unit.sdk.results.samples import SECRET, WHO, opened


class TestOpened:
    def test_neither_plaintext_nor_its_digest_is_shown(self) -> None:
        record = opened()
        assert record.content == SECRET
        shown = f"{record!r} {record.to_json()}"
        assert "plaintext" not in shown
        assert "07" * 32 not in json.dumps(record.to_json())

    def test_pieces_and_ranges_add_up(self) -> None:
        record = opened()
        assert b"".join(record.chunks()) == SECRET
        assert record.read_range(4, 9) == SECRET[4:13]

    def test_a_bundle_gets_its_attachments_back_in_each_way_of_reading(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from panachain.records import attachments

        monkeypatch.setattr(attachments, "restore", lambda plain, fetch: plain + fetch(b"digest"))
        record = opened(attachment=lambda digest: b" and " + digest)
        whole = SECRET + b" and digest"
        assert record.content == b"".join(record.chunks()) == whole
        assert record.read_range(len(SECRET), 100) == b" and digest"

    def test_provenance_shows_what_says_something(self) -> None:
        assert RecordProvenance(WHO, opened_as="patient").to_json() == {"hospital": WHO, "opened_as": "patient"}
