"""What the SDK returns: frozen, with a schema of its own each, and no plaintext where it could be shown."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.model.actors import Address, PolicyId, Status
from panachain.model.policy import PolicyStatus, Receipt, ReceiptKind
from panachain.model.records import RecordInfo
from panachain.model.scope import Category
from panachain.sdk import results
from panachain.sdk.results import (
    ConvictionReport,
    DenialReport,
    GroupView,
    LogEntry,
    OpenedRecord,
    PairingReport,
    PolicyView,
    PublishedView,
    RecordProvenance,
    RequestReport,
    RequestView,
    RevocationReport,
    RewrapReport,
    SettleReport,
    UploadReport,
    id_of,
    number_of,
)
from tests.twin.world import World
from tests.unit.sdk.helpers import grant, upload

WHO, POLICY = Address("0x" + "11" * 20), PolicyId("0x" + "a1" * 20)
SECRET = b"the patient's plaintext"
RECEIPT = Receipt(WHO, 1, bytes(32), ReceiptKind.DELETED, POLICY, 5, 4, 1, detail=b"", signature=bytes(65))
VIEW = PolicyView(POLICY, PolicyStatus.ACTIVE, WHO, WHO, ("laboratory",), ("TREAT",), 10, 20, 2, 3, "bafy")
REVOKED = RevocationReport(POLICY, "0x01", 5, receipts=(), needed=2, shares=3)
RECORDS = [
    VIEW,
    UploadReport((), skipped=1, plain_bytes=2, sealed_bytes=3),
    PublishedView("bafy", WHO, "laboratory/2024", 1),
    REVOKED,
    LogEntry(5, "denied", POLICY, WHO, 1),
    RequestView(1, "open", WHO, WHO, ("laboratory",), "TREAT", "", 20, until=30),
    RequestReport(1),
    DenialReport(1, "0x01"),
    PairingReport(WHO, "bafy", lanes=3, epoch=1, tx="0x01"),
    ConvictionReport(POLICY, ("0x01",)),
    GroupView(WHO, "grp-x", Status.SUSPENDED, "", WHO, (WHO,)),
    SettleReport(1),
    RewrapReport(1, 2),
]


def opened(**more: Any) -> OpenedRecord:
    """Return a record whose source holds a secret."""
    info = RecordInfo(
        header_cid="bafy",
        hospital=WHO,
        category=Category.LABORATORY,
        year=2024,
        media_type="application/pdf",
        size=len(SECRET),
        stored_at=5,
        content_cid="bafz",
        envelope_cid="bafe",
        content_index=0,
        generation=0,
        digest=b"\x07" * 32,
    )
    source: Any = SimpleNamespace(
        read=lambda: SECRET,
        chunks=lambda: iter([SECRET[:5], SECRET[5:]]),
        read_range=lambda offset, size: SECRET[offset : offset + size],
    )
    return OpenedRecord(info, RecordProvenance(WHO, opened_as="patient"), source, **more)


@pytest.mark.parametrize("result", RECORDS, ids=lambda result: type(result).__name__)
class TestEach:
    def test_is_json_with_a_schema(self, result: Any) -> None:
        shown = result.to_json()
        assert json.loads(json.dumps(shown)) == shown
        assert shown["schema"].startswith("panachain/")

    def test_can_not_be_changed(self, result: Any) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            result.to_json = None


def test_no_two_share_a_schema_and_each_is_documented() -> None:
    schemas = [str(result.to_json()["schema"]) for result in [*RECORDS, opened()]]
    assert len(set(schemas)) == len(schemas)
    text = (Path(__file__).resolve().parents[3] / "docs/spec/cli.md").read_text()
    assert not [schema for schema in schemas if schema not in text]


def test_every_result_of_the_module_is_held_here() -> None:
    made = {
        name
        for name, value in vars(results).items()
        if dataclasses.is_dataclass(value) and value.__module__ == results.__name__ and hasattr(value, "to_json")
    }
    assert made == {type(result).__name__ for result in [*RECORDS, opened()]} | {"RecordProvenance"}


def test_times_are_seconds_and_aware_datetimes() -> None:
    assert (VIEW.starts, VIEW.expires) == (datetime.fromtimestamp(10, UTC), datetime.fromtimestamp(20, UTC))
    assert VIEW.to_json()["expires_at"] == "1970-01-01T00:00:20Z"


@pytest.mark.parametrize("status", PolicyStatus)
def test_a_policy_is_active_by_its_status_alone(status: PolicyStatus) -> None:
    assert replace(VIEW, status=status).active is (status is PolicyStatus.ACTIVE)


def test_a_view_stands_for_its_id_and_a_request_for_its_number() -> None:
    assert id_of(VIEW) == id_of(POLICY) == id_of(str(POLICY)) == POLICY
    assert [number_of(one) for one in (7, RequestReport(7))] == [7, 7]


class TestRevocation:
    @pytest.mark.parametrize(
        ("change", "stage", "final"),
        [
            ({"shares": 0, "needed": 0}, "withdrawn before it was sent", True),
            ({}, "revoked on chain", False),
            ({"receipts": (RECEIPT,)}, "1 of 3 proxies deleted", False),
            ({"receipts": (RECEIPT, RECEIPT)}, "final", True),
            ({"rotated": True}, "lane rotated", False),
            ({"rotated": True, "rewrapped": True}, "headers re-wrapped", False),
        ],
    )
    def test_says_the_highest_step_that_is_reached(self, change: dict[str, Any], stage: str, final: bool) -> None:
        report = replace(REVOKED, **change)
        assert (report.stage, report.final, report.deleted) == (stage, final, len(report.receipts))
        assert report.to_json()["stage"] == stage

    def test_shows_receipts_that_anybody_can_check(self) -> None:
        (shown,) = replace(REVOKED, receipts=(RECEIPT,)).to_json()["receipts"]  # type: ignore[misc]
        assert (shown["proxy"], shown["kind"], shown["signature"]) == (WHO, "deleted", "00" * 65)


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


def test_what_a_world_gives_is_what_is_documented(world: World) -> None:
    upload(world)
    made = grant(world)
    for result in (made, *world.clinician.open(made), *world.hospital.records(), *world.patient.receipts()):
        assert json.loads(json.dumps(result.to_json()))["schema"].startswith("panachain/")
