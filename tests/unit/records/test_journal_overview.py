"""What the upload journal shows to people."""

from __future__ import annotations

from pathlib import Path

import pytest

from panachain.model.actors import Address
from panachain.records.journal import Journal, JournalRecord
from panachain.records.journal_overview import JournalVersion, Waiting
from panachain.records.journal_resources import KnownResource
from panachain.records.journal_withdrawn import Withdrawing

PATIENT, OTHER = Address("0x" + "11" * 20), Address("0x" + "22" * 20)
SOURCE, LATER = b"s" * 32, b"t" * 32


def entry(header: str, sequence: int, part: int = 0, patient: Address = PATIENT) -> JournalRecord:
    return JournalRecord(header, patient, sequence, "laboratory/2020", 0, SOURCE, part)


def version(rank: int | None, patient: Address = PATIENT, name: bytes = b"n", base: bytes = b"") -> KnownResource:
    return KnownResource(patient, name, base, b"s", b"p%d" % (rank or 0), rank, None, "laboratory/2020", SOURCE)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "journal.sqlite")
    made.prepare(
        sequence=1,
        manifest="m1",
        list_cid="l1",
        records=[entry("a", 1), entry("b", 1, 1), entry("c", 1, patient=OTHER)],
        done=[],
        resources=[version(1), version(1, OTHER), version(1, name=b"o"), version(1, base=b"elsewhere")],
    )
    return made


def test_what_is_in_a_batch_waits_no_more(journal: Journal) -> None:
    for source, part in ((SOURCE, 0), (SOURCE, 7), (LATER, 0), (LATER, 1)):
        journal.due(PATIENT, source, part, due=100 + part, latest=200 + part)
    assert journal.overview.waiting() == Waiting(3, 100, 207)
    journal.finish_sources([(PATIENT, LATER)])
    assert journal.overview.waiting() == Waiting(1, 107, 207)
    journal.finish_sources([(PATIENT, SOURCE)])
    assert journal.overview.waiting() == Waiting(0, 0, 0)


def test_counts_each_patients_records(journal: Journal) -> None:
    journal.prepare(sequence=2, manifest="m2", list_cid="l2", records=[entry("d", 2)], done=[])
    assert journal.overview.counts() == {PATIENT: (3, 2), OTHER: (1, 1)}


def test_tells_withdrawals_of_one_patient_or_of_all_newest_first(journal: Journal) -> None:
    for sequence, patient in ((2, PATIENT), (3, OTHER)):
        gone = Withdrawing(f"content {sequence}", patient, "wrong-patient", b"", "laboratory/2020")
        journal.prepare(sequence=sequence, manifest=f"m{sequence}", list_cid="", records=[], done=[], withdrawn=[gone])
    assert [(one.content, one.sequence) for one in journal.overview.withdrawn()] == [("content 3", 3), ("content 2", 2)]
    assert [one.patient for one in journal.overview.withdrawn(PATIENT)] == [PATIENT]


def test_tells_the_versions_of_what_was_published_more_than_once(journal: Journal) -> None:
    assert list(journal.overview.corrected(PATIENT)) == []
    journal.prepare(
        sequence=2, manifest="m2", list_cid="l2", records=[], done=[], resources=[version(2), version(None)]
    )
    assert list(journal.overview.corrected(PATIENT)) == [
        [
            JournalVersion(1, 0, "laboratory/2020", 1),
            JournalVersion(2, 0, "laboratory/2020", 2),
            JournalVersion(None, 0, "laboratory/2020", 2),
        ]
    ]
    assert list(journal.overview.corrected(OTHER)) == []
