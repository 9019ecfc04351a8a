"""What was withdrawn is known, and its source may come again; what else is of that source stays known by content."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from panachain.model.actors import Address
from panachain.records.journal import Journal, JournalRecord
from panachain.records.journal_resources import KnownResource
from panachain.records.journal_withdrawn import Withdrawing

PATIENT, SOURCE = Address("0xPatient"), b"source"
BATCH: dict[str, Any] = {"manifest": "m", "list_cid": "l"}
GONE = Withdrawing("content", PATIENT, "wrong-patient", SOURCE, "laboratory/2024", (("h1", b"like"), ("h2", b"")))


def resource(scope: str) -> KnownResource:
    return KnownResource(PATIENT, b"name", b"", b"", b"print", None, None, scope, SOURCE)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.sqlite")
    records = [JournalRecord(f"h{part}", PATIENT, 1, "laboratory/2024", 0, SOURCE, part) for part in range(3)]
    resources = [resource("laboratory/2024"), resource("vitals/2024")]
    made.prepare(sequence=1, records=records, done=[(PATIENT, SOURCE)], resources=resources, **BATCH)
    yield made
    made.close()


def withdraw(journal: Journal) -> None:
    journal.prepare(sequence=2, records=[], done=[], withdrawn=[GONE], **BATCH)


def test_is_known_from_its_batch_on(journal: Journal) -> None:
    assert journal.withdrawn.known(["content", "other"]) == set()
    withdraw(journal)
    assert journal.withdrawn.known(["content", "other"]) == {"content"}
    # And no more once the batch is another machine's.
    journal.adopted.forget(2)
    assert journal.withdrawn.known(["content"]) == set()


def test_its_source_may_come_again(journal: Journal) -> None:
    assert journal.source_done(PATIENT, SOURCE)
    withdraw(journal)
    assert not journal.source_done(PATIENT, SOURCE)
    assert journal.published(PATIENT, SOURCE).parts == frozenset()
    # All records are still listed.
    assert [record.header for record in journal.records()] == ["h0", "h1", "h2"]


def test_what_else_is_of_it_stays_known(journal: Journal) -> None:
    withdraw(journal)
    assert journal.adopted.nameless(PATIENT) == {b"like"}
    assert journal.adopted.claim(PATIENT, b"like", source=SOURCE, part=1)
    (left,) = journal.resources.of(PATIENT, b"name")
    assert (left.scope, left.source) == ("vitals/2024", b"")


def test_of_a_record_whose_source_is_unknown_nothing_is_forgotten(journal: Journal) -> None:
    nameless = Withdrawing("other", PATIENT, "wrong-patient", b"", "laboratory/2024")
    journal.prepare(sequence=2, records=[], done=[], withdrawn=[nameless], **BATCH)
    assert journal.source_done(PATIENT, SOURCE)
    assert journal.withdrawn.known(["other"]) == {"other"}
