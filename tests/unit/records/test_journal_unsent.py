"""What of batches that weren't sent the journal knows: by what they were sealed, and what must be uploaded again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from panachain.model.actors import Address
from panachain.records.journal import Journal, JournalRecord, MovedRecord
from panachain.records.journal_unsent import Cut, Kind, Lacking, SealedFor

PATIENT, OTHER = Address("0x" + "11" * 20), Address("0x" + "22" * 20)
GOLDEN = Path(__file__).parents[2] / "vectors/journal/before-unsent.sql"
FIRST, SECOND, THIRD = b"a" * 32, b"b" * 32, b"c" * 32


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """One that an earlier version wrote: batch 2 isn't on chain."""
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as db:
        db.executescript(GOLDEN.read_text())
    return Journal(tmp_path / "journal.sqlite")


def without(likenesses: dict[str, bytes], manifest: str = "manifest 3") -> Cut:
    return Cut(2, manifest, "list 3", ["header 2", "inventory 2"], "list 2", likenesses)


def test_a_journal_of_an_earlier_version_is_read(journal: Journal) -> None:
    assert [batch.sequence for batch in journal.pending()] == [2]
    assert journal.unsent.kind(2) is Kind.RECORDS
    assert journal.unsent.sealed_for(2) == {}
    assert journal.unsent.scopes(2) == {PATIENT: {"laboratory/2020", "allergies/2021"}, OTHER: {"vitals/2022"}}
    assert not journal.unsent.was_mined(2)
    assert journal.unsent.lacking() == journal.unsent.unwanted() == []


def test_a_batch_says_by_what_it_was_sealed_until_it_is_forgotten(journal: Journal) -> None:
    said = SealedFor(PATIENT, 4, b"t" * 32)
    journal.prepare(sequence=3, manifest="m", list_cid="l", records=[], done=[], sealed_for=[said])
    assert journal.unsent.sealed_for(3) == {PATIENT: said}
    journal.mined(3, "0x3", 50)
    journal.vanished(3)
    assert journal.unsent.was_mined(3)
    journal.adopted.forget(3)
    assert (journal.unsent.sealed_for(3), journal.unsent.was_mined(3)) == ({}, False)


def test_what_is_taken_out_counts_as_new_and_is_named_until_it_is_published(journal: Journal) -> None:
    assert journal.unsent.beside(2, [PATIENT]) == ["header 1"]
    journal.unsent.cut(without({"header 1": b"x" * 32}), {PATIENT: "lanes"})
    (batch,) = journal.pending()
    assert (batch.manifest, batch.count, journal.unsent.list_of(2), journal.sent(2)) == ("manifest 3", 1, "list 3", [])
    assert [one.header for one in journal.records()] == ["header 1", "header 4"]
    assert not journal.source_done(PATIENT, FIRST)
    assert journal.source_done(OTHER, THIRD)
    # What is on chain of the same source is known by its content: the source may be cut in another way now.
    known = journal.published(PATIENT, FIRST)
    assert (known.parts, known.likenesses, known.unlike) == ({0}, {b"x" * 32: 1}, frozenset())
    assert not journal.published(PATIENT, SECOND).parts
    assert journal.unsent.lacking() == [Lacking(PATIENT, "lanes", 2, 2, ("allergies/2021", "laboratory/2020"))]
    assert journal.unsent.lacking([OTHER]) == []
    # For whomever it is published: a ward's records go to the ward once nobody cares for them any more.
    journal.finish_sources([(PATIENT, FIRST), (OTHER, SECOND)])
    assert journal.unsent.lacking() == []


def test_a_batch_of_which_nothing_is_left_is_gone(journal: Journal) -> None:
    journal.unsent.cut(without({}, ""), {PATIENT: "lanes", OTHER: "pairing"})
    assert [batch.sequence for batch in journal.batches()] == [1]
    assert {one.patient: one.why for one in journal.unsent.lacking()} == {PATIENT: "lanes", OTHER: "pairing"}


def test_what_nobody_shall_find_is_listed_until_it_is_deleted(journal: Journal, tmp_path: Path) -> None:
    journal.unsent.cut(without({}), {PATIENT: "lanes"})
    assert journal.erasures.words_of("inventory 2") is None
    journal.close()
    again = Journal(tmp_path / "journal.sqlite")
    assert sorted(again.unsent.unwanted()) == [("header 2", False), ("inventory 2", False), ("list 2", True)]
    again.unsent.gone()
    assert again.unsent.unwanted() == []


def test_what_patients_asked_for_and_what_is_only_said_are_told_from_records(journal: Journal) -> None:
    said = JournalRecord("s", PATIENT, 3, "vitals/2022", 0, b"", 0)
    journal.prepare(sequence=3, manifest="m", list_cid="l", records=[said], done=[])
    assert journal.unsent.kind(3) is Kind.STATEMENTS
    moved = MovedRecord("header 1", "envelope 1", JournalRecord("h", PATIENT, 4, "laboratory/2020", 1, b"", 0))
    journal.prepare(sequence=4, manifest="m", list_cid="l", records=[], done=[], moved=[moved])
    assert journal.unsent.kind(4) is Kind.ORDERS
    journal.prepare(sequence=5, manifest="m", list_cid="l", records=[], done=[], refused=[("order", "content")])
    assert journal.unsent.kind(5) is Kind.ORDERS
