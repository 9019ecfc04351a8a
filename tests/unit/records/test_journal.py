"""The upload journal: what was prepared is known after any end, and the same source counts once."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from panachain.errors import DiskError
from panachain.model.actors import Address
from panachain.records.journal import Batch, Journal, JournalRecord

PATIENT, OTHER = Address("0x" + "11" * 20), Address("0x" + "22" * 20)
SOURCE = b"s" * 32


def entry(header: str, sequence: int = 1, part: int = 0) -> JournalRecord:
    return JournalRecord(header, PATIENT, sequence, "laboratory/2020", 0, SOURCE, part)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite")


def prepare(journal: Journal, sequence: int = 1, *records: JournalRecord, done: bool = True) -> Batch:
    return journal.prepare(
        sequence=sequence,
        manifest=f"manifest {sequence}",
        list_cid=f"list {sequence}",
        records=records or [entry(f"header {sequence}", sequence)],
        done=[(PATIENT, SOURCE)] if done else [],
    )


def test_a_batch_is_written_whole(journal: Journal, tmp_path: Path) -> None:
    assert prepare(journal, 1, entry("a"), entry("b", part=1)) == Batch(1, "manifest 1", 2, None, None)
    again = Journal(tmp_path / "journal.sqlite")
    assert again.pending() == [Batch(1, "manifest 1", 2, None, None)]
    assert [record.header for record in again.records()] == ["a", "b"]
    assert again.has_any(PATIENT)
    assert not again.has_any(OTHER)
    assert again.lists() == ["list 1"]
    assert (tmp_path / "journal.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_batch_that_does_not_fit_changes_nothing(journal: Journal) -> None:
    prepare(journal, 1, entry("a"))
    with pytest.raises(DiskError):
        prepare(journal, 2, entry("a", 2))
    assert [batch.sequence for batch in journal.pending()] == [1]


def test_a_source_is_done_when_its_last_record_is(journal: Journal) -> None:
    prepare(journal, 1, entry("a", part=0), done=False)
    assert not journal.source_done(PATIENT, SOURCE)
    assert journal.published(PATIENT, SOURCE).parts == {0}
    assert journal.sources.are_any(PATIENT)
    assert not journal.sources.are_any(OTHER)
    prepare(journal, 2, entry("b", 2, part=1))
    assert journal.source_done(PATIENT, SOURCE)
    assert not journal.source_done(OTHER, SOURCE)
    assert not journal.published(OTHER, SOURCE).parts


def test_sources_can_be_done_without_a_batch(journal: Journal) -> None:
    journal.finish_sources([(PATIENT, SOURCE), (PATIENT, SOURCE)])
    assert journal.source_done(PATIENT, SOURCE)
    # Also where every record of it was erased, or was known already.
    assert journal.sources.are_any(PATIENT)
    assert not journal.has_any(PATIENT)
    assert not journal.sources.are_any(OTHER)


def test_signed_transactions_are_kept_in_order(journal: Journal) -> None:
    prepare(journal)
    assert journal.sent(1) == []
    for tx in ("0x1", "0x2"):
        journal.sending(1, tx, "raw" + tx)
    assert journal.sent(1) == [("0x1", "raw0x1"), ("0x2", "raw0x2")]


def test_mined_batches_may_vanish(journal: Journal) -> None:
    prepare(journal)
    journal.mined(1, "0x1", 40)
    assert journal.pending() == []
    assert journal.batches() == [Batch(1, "manifest 1", 1, "0x1", 40)]
    journal.vanished(1)
    assert [batch.sequence for batch in journal.pending()] == [1]


def test_a_journal_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(DiskError, match="is damaged"):
        Journal(tmp_path / "journal.sqlite")


def test_a_second_uploader_waits(journal: Journal, tmp_path: Path) -> None:
    import fcntl

    with journal.exclusive(), open(tmp_path / "journal.lock", "w") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_full_disk_is_a_clear_error(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        in_transaction = True

        def execute(self, statement: str, *_: object) -> None:
            if statement.startswith("INSERT"):
                raise sqlite3.OperationalError("database or disk is full")

        executemany = execute

    real = journal._db
    monkeypatch.setattr(journal, "_db", Full())
    with pytest.raises(DiskError, match="disk is full"):
        prepare(journal)
    monkeypatch.setattr(journal, "_db", real)
    assert journal.pending() == []
