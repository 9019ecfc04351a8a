"""What is erased is forgotten, but for what keeps it from being published again; and how far it is outlives a kill."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import DiskError
from panachain.model.actors import Address
from panachain.records import journal_erased
from panachain.records.journal import Journal, JournalRecord
from panachain.records.journal_erased import Erasing

PATIENT, SOURCE = Address("0xPatient"), b"source"
BATCH: dict[str, Any] = {"manifest": "m", "list_cid": "l"}
GONE = Erasing("h0", "content", PATIENT, "laboratory", 2024, False, True, ("block-1", "block-2"))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.sqlite")
    records = [JournalRecord(f"h{part}", PATIENT, 1, "laboratory/2024", 0, SOURCE, part) for part in range(2)]
    made.prepare(sequence=1, records=records, done=[(PATIENT, SOURCE)], **BATCH)
    made.mined(1, "0x1", 1)
    yield made
    made.close()


def erase(journal: Journal) -> None:
    journal.prepare(sequence=2, records=[], done=[], erasing=[GONE], **BATCH)


def test_the_record_is_forgotten_and_its_source_isnt(journal: Journal) -> None:
    erase(journal)
    assert [one.header for one in journal.records()] == ["h1"]
    assert journal.source_done(PATIENT, SOURCE)
    assert journal.mergeable.replaced() == set()
    journal.mined(2, "0x2", 2)
    assert journal.mergeable.replaced() == {"h0"}
    # What deletes headers that were moved has nothing to do with it.
    assert journal.deletable() == []


def test_nothing_is_due_before_the_chain_says_so_or_after_it_is_gone(journal: Journal) -> None:
    erase(journal)
    assert journal.erasures.due() == []
    journal.mined(2, "0x2", 2)
    ((one, blocks),) = journal.erasures.due()
    assert (one.header, blocks) == ("h0", ("block-1", "block-2"))
    journal.erasures.gone("h0", at=5, stores=3)
    assert journal.erasures.due() == []
    (state,) = journal.erasures.unattested()
    assert (state.gone_at, state.blocks, state.stores, state.attested) == (5, 2, 3, None)


def test_it_is_attested_once(journal: Journal) -> None:
    erase(journal)
    journal.mined(2, "0x2", 2)
    journal.erasures.gone("h0", at=5, stores=1)
    journal.prepare(sequence=3, records=[], done=[], attested=["h0"], **BATCH)
    assert journal.erasures.unattested() == []
    (state,) = journal.erasures.all()
    assert state.attested == 3
    # The batch's place is another one's.
    journal.adopted.forget(3)
    assert [one.erasing.header for one in journal.erasures.unattested()] == ["h0"]
    journal.adopted.forget(2)
    assert journal.erasures.all() == []


def test_a_refusal_is_of_one_order(journal: Journal) -> None:
    journal.prepare(sequence=2, records=[], done=[], refused=[("order", "content")], **BATCH)
    assert journal.erasures.is_refused("order", "content")
    assert not journal.erasures.is_refused("another", "content")
    journal.adopted.forget(2)
    assert not journal.erasures.is_refused("order", "content")


def test_what_is_forgotten_is_in_no_page_of_the_file_and_in_no_log(journal: Journal, tmp_path: Path) -> None:
    secret = "a-block-" + "x" * 40
    one = Erasing("h0", "content", PATIENT, "laboratory", 2024, False, True, (secret,))
    journal.prepare(sequence=2, records=[], done=[], erasing=[one], **BATCH)
    journal.mined(2, "0x2", 2)
    assert any(secret.encode() in path.read_bytes() for path in tmp_path.iterdir())
    journal.erasures.gone("h0", at=5, stores=1)
    journal.erasures.settle_file()
    assert not any(secret.encode() in path.read_bytes() for path in tmp_path.iterdir())


def test_a_log_that_somebody_reads_in_is_told(journal: Journal, tmp_path: Path) -> None:
    reader = sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM batch").fetchall()
    erase(journal)
    journal._db.execute("PRAGMA busy_timeout=10")
    with pytest.raises(DiskError, match="reads in it"):
        journal.erasures.settle_file()
    reader.close()
    journal.erasures.settle_file()


def test_lists_of_words_are_known_until_their_inventory_is_gone(journal: Journal) -> None:
    assert journal.erasures.words_of("block-1") is None
    words = [("block-1", "words"), ("another", "")]
    journal.prepare(sequence=2, records=[], done=[], erasing=[GONE], words=words, **BATCH)
    journal.mined(2, "0x2", 2)
    assert [journal.erasures.words_of(one) for one, _ in words] == ["words", ""]
    journal.erasures.gone("h0", at=5, stores=3)
    assert [journal.erasures.words_of(one) for one, _ in words] == [None, ""]


def test_a_record_whose_words_may_be_left_is_never_attested(journal: Journal) -> None:
    journal.prepare(sequence=2, records=[], done=[], erasing=[replace(GONE, words_left=True)], **BATCH)
    journal.mined(2, "0x2", 2)
    ((one, _),) = journal.erasures.due()
    assert one.words_left
    journal.erasures.gone("h0", at=5, stores=3)
    assert journal.erasures.unattested() == []
    assert [state.gone_at for state in journal.erasures.all()] == [5]
    # Another batch has its place on chain: what it said is forgotten.
    journal.adopted.forget(2)
    erase(journal)
    assert [state.erasing.words_left for state in journal.erasures.all()] == [False]


OLDER = """
CREATE TABLE erasure (
    header TEXT PRIMARY KEY, content TEXT NOT NULL, patient TEXT NOT NULL, category TEXT NOT NULL,
    year INTEGER NOT NULL, emergency INTEGER NOT NULL, asked INTEGER NOT NULL, sequence INTEGER NOT NULL,
    gone_at INTEGER, blocks INTEGER, stores INTEGER, attested INTEGER
) WITHOUT ROWID;
CREATE TABLE refused_erasure (
    block TEXT NOT NULL, content TEXT NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (block, content)
) WITHOUT ROWID;
CREATE TABLE erasing_block (header TEXT NOT NULL, cid TEXT NOT NULL, PRIMARY KEY (header, cid)) WITHOUT ROWID;
INSERT INTO erasure VALUES ('h-begun', 'c', 'p', 'laboratory', 2024, 0, 1, 7, NULL, NULL, NULL, NULL);
INSERT INTO erasure VALUES ('h-gone', 'c', 'p', 'laboratory', 2024, 0, 0, 7, 5, 2, 1, NULL);
INSERT INTO erasure VALUES ('h-attested', 'c', 'p', 'laboratory', 2024, 0, 0, 7, 5, 2, 1, 8);
"""
"""The tables of an erasure as they were before lists of words were known, with one in each state."""


class TestAJournalOfAnEarlierVersion:
    """It knew of no list of words, so none was looked for: nothing that it began is attested."""

    def older(self, folder: Path) -> Path:
        path = folder / "journal.sqlite"
        with closing(sqlite3.connect(path)) as db:
            db.executescript(OLDER)
        path.chmod(0o600)
        return path

    def left(self, path: Path) -> list[tuple[str, bool]]:
        with closing(Journal(path)) as journal:
            assert journal.erasures.unattested() == []
            assert [one.erasing.header for one in journal.erasures.wordless()] == ["h-gone"]
            return [(one.erasing.header, one.erasing.words_left) for one in journal.erasures.all()]

    def test_attests_nothing_that_it_began(self, tmp_path: Path) -> None:
        path = self.older(tmp_path)
        expected = [("h-attested", False), ("h-begun", True), ("h-gone", True)]
        assert self.left(path) == expected
        # Once: what begins from now on is known by itself.
        with closing(Journal(path)) as journal:
            journal.prepare(sequence=9, records=[], done=[], erasing=[GONE], **BATCH)
        assert self.left(path) == [*expected, ("h0", False)]

    def test_a_change_that_was_killed_is_made_by_the_next_call(self, tmp_path: Path) -> None:
        path = self.older(tmp_path)
        with closing(sqlite3.connect(path, isolation_level=None)) as db:

            class Killed(BaseException):
                """The program ends here."""

            class Dying:
                """A connection whose program is killed between making the table and filling it."""

                in_transaction = False

                def __getattr__(self, name: str) -> Any:
                    return getattr(db, name)

                def execute(self, asked: str) -> Any:
                    if asked.startswith("INSERT INTO words_left"):
                        raise Killed
                    return db.execute(asked)

            dying: Any = Dying()
            with pytest.raises(Killed):
                journal_erased.prepare(dying)
        assert [words for _, words in self.left(path)] == [False, True, True]

    def test_two_calls_at_once_make_it_once(self, tmp_path: Path) -> None:
        path = self.older(tmp_path)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: self.left(path), range(4)))
        assert found == [found[0]] * 4
        assert [words for _, words in found[0]] == [False, True, True]
