"""Which orders were followed is known, and what a record is like after that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from panachain.model.actors import Address
from panachain.records.journal import Journal, JournalRecord, MovedRecord
from panachain.records.journal_resources import KnownResource

PATIENT, SOURCE = Address("0xPatient"), b"source"
BATCH: dict[str, Any] = {"manifest": "m", "list_cid": "l", "done": []}


def record(header: str, scope: str, likeness: bytes) -> JournalRecord:
    return JournalRecord(header, PATIENT, 1, scope, 0, SOURCE, 0, likeness)


def resource(scope: str) -> KnownResource:
    return KnownResource(PATIENT, b"name", b"", b"stamp", b"print", None, None, scope, SOURCE)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.sqlite")
    made.prepare(
        sequence=1,
        records=[record("old", "laboratory/2024", b"before")],
        resources=[resource("laboratory/2024"), resource("vitals/2024")],
        **BATCH,
    )
    made.mined(1, "tx", 1)
    moved = MovedRecord("old", "envelope", record("new", "private/2024", b"after"), ("content", "listed"), b"before")
    elsewhere = [(resource("laboratory/2024"), "private/2024")]
    made.prepare(sequence=2, records=[], moved=[moved], followed=["order"], elsewhere=elsewhere, **BATCH)
    yield made
    made.close()


def test_an_order_is_known_until_its_batch_is_forgotten(journal: Journal) -> None:
    assert journal.followed.has("order")
    assert not journal.followed.has("another")
    journal.adopted.forget(2)
    assert not journal.followed.has("order")


def test_a_source_that_is_not_wholly_published_knows_what_is_in_another_category(journal: Journal) -> None:
    published = journal.published(PATIENT, SOURCE)
    assert dict(published.likenesses) == {b"after": 1}
    (row,) = journal.records()
    assert (row.header, row.scope, row.source) == ("new", "private/2024", SOURCE)


def test_versions_lie_where_their_record_does(journal: Journal) -> None:
    assert sorted(one.scope for one in journal.resources.of(PATIENT, b"name")) == ["private/2024", "vitals/2024"]


def test_content_and_inventory_are_deleted_with_header_and_envelope_once_the_batch_is_mined(journal: Journal) -> None:
    assert journal.deletable() == []
    journal.mined(2, "tx", 2)
    assert sorted(journal.deletable()) == [
        ("content", "content", "l"),
        ("listed", "listed", "l"),
        ("old", "envelope", "l"),
    ]
