"""An opened record: its plaintext in several ways, and none where it could be shown."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from panachain.records.attachments import pull_out
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

    def test_a_bundle_gets_its_attachments_back_in_each_way_of_reading(self) -> None:
        whole = b'{"resourceType":"Binary","data":"' + base64.b64encode(b"an attachment") + b'"}'
        skeleton, (attachment,) = pull_out(whole)
        kept: Any = SimpleNamespace(size=len(skeleton), read=lambda: skeleton)
        beside = SimpleNamespace(
            size_of={attachment.digest: len(attachment.data)}.__getitem__,
            pieces=lambda _: [attachment.data[:5], attachment.data[5:]],
            allow=lambda *told: allowed.append(told),
        )
        allowed: list[Any] = []
        record = replace(opened(), source=kept, attachments=beside)
        assert record.content == b"".join(record.chunks()) == whole
        assert record.read_range(len(whole) - 5, 100) == whole[-5:]
        assert allowed[0] == (kept, len(whole), [attachment.digest])

    def test_provenance_shows_what_says_something(self) -> None:
        assert RecordProvenance(WHO, opened_as="patient").to_json() == {"hospital": WHO, "opened_as": "patient"}
