"""Guards: nobody writes to a store while records are erased from it, and nobody stores afterwards what was erased."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from unittest.mock import Mock

import pytest

from panachain.config import Config
from panachain.errors import DiskError, StoreUnavailableError, UsageError
from panachain.ipld import car, dagcbor
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.storage import erasing, guards
from panachain.storage.blocks import BlobStore
from panachain.storage.configured import open_named
from panachain.storage.embedded import EmbeddedStore
from panachain.storage.erasing import erase
from panachain.storage.guards import Guard, guards_of
from panachain.storage.kubo import KuboStore
from panachain.storage.moving import move
from panachain.storage.nodes import repair, status
from panachain.storage.replicated import ReplicatedStore
from panachain.storage.s3 import S3Store
from panachain.storage.transfer import export_car, import_car
from tests.unit.storage.memory_store import MemoryStore

DATA = os.urandom(300)
GONE = CID.of(RAW, DATA)
KEPT_DATA = os.urandom(200)
KEPT = CID.of(RAW, KEPT_DATA)
LIST_DATA = dagcbor.encode({"v": "panachain/batch/1", "blocks": sorted([GONE, KEPT])})
LIST = CID.of(DAG_CBOR, LIST_DATA)
ALL = [(GONE, DATA), (KEPT, KEPT_DATA), (LIST, LIST_DATA)]


def unlist(node: BlobStore, _cids: Collection[CID]) -> None:
    """Let nothing keep it: the list goes."""
    node.unpin(LIST)


def filled(folder: Path) -> EmbeddedStore:
    store = EmbeddedStore(folder)
    store.put_blocks(ALL)
    store.pin(LIST)
    return store


def on_disk(folder: Path) -> bool:
    return any(DATA in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def a_car() -> BytesIO:
    file = BytesIO()
    car.write_car(file, [LIST], iter(ALL))
    file.seek(0)
    return file


# Another process: each says what it does by files, so that no step of a test depends on time.
_CHILD = """
import sys, time
from pathlib import Path
from panachain.ipld.cid import CID, RAW
from panachain.storage.embedded import EmbeddedStore
folder, at, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
data = bytes.fromhex(sys.argv[4])
def wait():
    (at / "holds").touch()
    while not (at / "go").exists():
        time.sleep(0.01)
def blocks():
    yield CID.of(RAW, data), data
    wait()
try:
    EmbeddedStore(folder).put_blocks(blocks())
    print("stored")
except Exception as error:
    print(type(error).__name__)
"""


@contextmanager
def a_writer_elsewhere(folder: Path, at: Path) -> Iterator[tuple[subprocess.Popen[str], Callable[[], str]]]:
    """Give a process that holds the erased block in memory, and what lets it go on and returns what it came to."""
    at.mkdir()
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(folder), str(at), "put", DATA.hex()], stdout=subprocess.PIPE, text=True
    )

    def go() -> str:
        (at / "go").touch()
        return child.communicate(timeout=60)[0].strip()

    try:
        for _ in range(6000):
            if (at / "holds").exists():
                break
            assert child.poll() is None
            time.sleep(0.01)
        yield child, go
    finally:
        child.kill()
        child.communicate()


class TestAWriterElsewhere:
    def test_that_holds_the_block_in_memory_leaves_nothing_attested_and_stores_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = EmbeddedStore(tmp_path / "blocks")
        monkeypatch.setattr(erasing, "PATIENCE", 0.0)
        with a_writer_elsewhere(tmp_path / "blocks", tmp_path / "at") as (_, go):
            (found,) = erase(store, [GONE], unlist)
            # Its memory is seen by nobody: the node is busy, so nothing of it is attested.
            assert (found.left, found.busy) == (set(), 1)
            assert go() == "UsageError"
        (found,) = erase(store, [GONE], unlist)
        assert (found.left, found.busy, found.unsure) == (set(), 0, False)
        assert not on_disk(tmp_path / "blocks")

    def test_is_waited_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = EmbeddedStore(tmp_path / "blocks")
        with a_writer_elsewhere(tmp_path / "blocks", tmp_path / "at") as (_, go):
            said: list[str] = []

            def ends(_seconds: float) -> None:
                said.append(go())

            monkeypatch.setattr(guards, "time", Mock(wraps=time, sleep=ends))
            (found,) = erase(store, [GONE], unlist)
        # It had begun before, so it stores what the erasure then deletes.
        assert said == ["stored"]
        assert (found.left, found.busy) == (set(), 0)
        assert not on_disk(tmp_path / "blocks")

    def test_that_is_killed_holds_nothing_any_more(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = EmbeddedStore(tmp_path / "blocks")
        monkeypatch.setattr(erasing, "PATIENCE", 0.0)
        with a_writer_elsewhere(tmp_path / "blocks", tmp_path / "at") as (child, _):
            child.kill()
            child.wait(timeout=60)
            (found,) = erase(store, [GONE], unlist)
        assert (found.left, found.busy) == (set(), 0)

    def test_that_begins_afterwards_stores_it_nowhere(self, tmp_path: Path) -> None:
        erase(filled(tmp_path / "blocks"), [GONE], unlist)
        other = EmbeddedStore(tmp_path / "blocks")
        for write in (
            lambda: other.put_block(GONE, DATA),
            lambda: other.put_blocks([(KEPT, KEPT_DATA), (GONE, DATA)]),
            lambda: other.add_file([DATA]),
            lambda: other.add_made(len(DATA), lambda _index, buffer: buffer.__setitem__(slice(None), DATA)),
        ):
            with pytest.raises(UsageError, match="were erased"):
                write()
            assert not other.has_block(GONE)
        assert other.scrub() == 0
        assert not on_disk(tmp_path / "blocks")
        # Whatever else there is goes in, also after a refusal.
        fresh = os.urandom(50)
        other.put_block(CID.of(RAW, fresh), fresh)
        assert other.get_block(CID.of(RAW, fresh)) == fresh


class TestWhatGoesOverTheWholeStore:
    """Repair, move and import hold what they read until they wrote it."""

    @pytest.mark.parametrize("nodes", [1, 2])
    @pytest.mark.parametrize("what", ["repair", "move", "import", "export"])
    def test_keeps_an_erasure_waiting(
        self, tmp_path: Path, nodes: int, what: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(erasing, "PATIENCE", 0.0)
        folders = [tmp_path / str(number) for number in range(nodes)]
        store = ReplicatedStore([filled(folder) for folder in folders], nodes)
        found: list[list[int]] = []

        def meanwhile(*_args: object, **_kwargs: object) -> None:
            def other() -> None:
                # Another program on the same folders.
                again = ReplicatedStore([EmbeddedStore(folder) for folder in folders], nodes)
                found.append([one.busy for one in erase(again, [GONE], unlist)])

            if not found:
                thread = threading.Thread(target=other)
                thread.start()
                thread.join()

        if what == "repair":
            repair(store, progress=meanwhile)
        elif what == "move":
            move(store, EmbeddedStore(tmp_path / "new"), progress=meanwhile)
        elif what == "export":
            export_car(store, [LIST], BytesIO(), name="x.car", progress=meanwhile)
        else:
            import_car(store, a_car(), name="x.car", progress=meanwhile)
        assert found == [[1] * nodes]

    @pytest.mark.parametrize("what", ["repair", "move", "import", "export", "put"])
    def test_waits_for_an_erasure_and_says_so(self, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
        store = filled(tmp_path / "blocks")
        monkeypatch.setattr(guards, "WAIT", 0.0)
        refused: list[StoreUnavailableError] = []

        def meanwhile(node: BlobStore, _cids: Collection[CID]) -> None:
            # The erasure's own writes go by.
            node.put_block(KEPT, KEPT_DATA)

            def other() -> None:
                again = ReplicatedStore([EmbeddedStore(tmp_path / "blocks")], 1)
                does: dict[str, Callable[[], object]] = {
                    "repair": lambda: repair(again),
                    "move": lambda: move(MemoryStore(), again),
                    "import": lambda: import_car(again, a_car(), name="x.car"),
                    "export": lambda: export_car(again, [LIST], BytesIO(), name="x.car"),
                    "put": lambda: again.put_blocks([(KEPT, KEPT_DATA)]),
                }
                with pytest.raises(StoreUnavailableError) as caught:
                    does[what]()
                refused.append(caught.value)

            thread = threading.Thread(target=other)
            thread.start()
            thread.join()

        (found,) = erase(store, [GONE], meanwhile)
        assert (found.left, found.busy, len(refused)) == (set(), 0, 1)
        assert "records are being erased from the embedded store" in str(refused[0])
        assert what == "put" or "when `panachain erase` has ended" in refused[0].hint

    def test_repair_brings_nothing_back_from_a_node_that_was_away(self, tmp_path: Path) -> None:
        here, away = filled(tmp_path / "here"), filled(tmp_path / "away")
        erase(here, [GONE], unlist)
        # Twice: the second run begins with what the first one noted at the other node.
        for _ in range(2):
            report = repair(ReplicatedStore([here, away], 2))
            assert [(one.erased, one.lost, one.failure) for one in report.nodes] == [(0, 0, ""), (1, 0, "")]
            assert (report.lost, report.whole) == ([], True)
        assert not here.has_block(GONE)
        assert list(here.pins()) == []
        assert not on_disk(tmp_path / "here")
        # And one that was named anew: nobody gives it there, either.
        empty = EmbeddedStore(tmp_path / "empty")
        repair(ReplicatedStore([away, empty], 2))
        assert not empty.has_block(GONE)
        assert empty.has_block(KEPT)

    @pytest.mark.parametrize("kept", [True, False])
    def test_repair_tells_what_a_backup_brought_back(self, tmp_path: Path, kept: bool) -> None:
        store = filled(tmp_path / "blocks")
        store.close()
        shutil.copytree(tmp_path / "blocks", tmp_path / "backup")
        store = EmbeddedStore(tmp_path / "blocks")
        # What names it goes, too: nothing reaches it, and it is found all the same.
        erase(store, [GONE, LIST], unlist)
        store.close()
        if kept:
            for name in ("erased.sqlite", "store.lock"):
                shutil.copy2(tmp_path / "blocks" / name, tmp_path / "backup" / name)
        store = EmbeddedStore(tmp_path / "backup")
        store.unpin(LIST)
        # The store's own notes tell it, or else what its hospital's journal has of it.
        report = repair(store, erased=() if kept else [GONE])
        assert [one.erased for one in report.nodes] == [2 if kept else 1]
        assert [one.erased for one in repair(store).nodes] == [2 if kept else 1]
        new = EmbeddedStore(tmp_path / "new")
        store.pin(LIST)
        move(store, new)
        assert not new.has_block(GONE)
        with pytest.raises(UsageError, match="were erased"):
            new.put_block(GONE, DATA)

    def test_move_leaves_it_behind_and_takes_the_notes_along(self, tmp_path: Path) -> None:
        old, new = filled(tmp_path / "old"), EmbeddedStore(tmp_path / "new")
        erase(old, [GONE], unlist)
        away = filled(tmp_path / "away")
        old.pin(KEPT)
        move(old, new)
        report = move(away, new)
        assert (report.erased, report.missing, report.unpinned) == (1, (), 1)
        assert not new.has_block(GONE)
        assert set(new.pins()) == {KEPT}
        with pytest.raises(UsageError, match="were erased"):
            new.put_block(GONE, DATA)

    def test_import_stores_all_but_that(self, tmp_path: Path) -> None:
        store = filled(tmp_path / "blocks")
        erase(store, [GONE], unlist)
        report = import_car(store, a_car(), name="x.car")
        assert (report.erased, report.missing, report.pinned) == (1, (), 0)
        assert (store.has_block(GONE), store.has_block(KEPT), list(store.pins())) == (False, True, [])
        # Elsewhere it is a file as any.
        report = import_car(EmbeddedStore(tmp_path / "other"), a_car(), name="x.car")
        assert (report.erased, report.pinned) == (0, 1)

    def test_export_leaves_out_what_a_node_that_was_away_still_has(self, tmp_path: Path) -> None:
        here, away = filled(tmp_path / "here"), filled(tmp_path / "away")
        erase(here, [GONE], unlist)
        file = BytesIO()
        report = export_car(ReplicatedStore([here, away], 1), [LIST], file, name="x.car")
        assert (report.blocks, report.missing, report.erased) == (2, (), 1)
        assert DATA not in file.getvalue()

    def test_of_several_nodes_none_takes_it(self, tmp_path: Path) -> None:
        here, other = filled(tmp_path / "here"), MemoryStore()
        erase(here, [GONE], unlist)
        store = ReplicatedStore([other, here], 1)
        for write in (
            lambda: store.put_block(GONE, DATA),
            lambda: store.put_blocks([(GONE, DATA)]),
            lambda: store.add_file([DATA]),
        ):
            with pytest.raises(UsageError, match="were erased"):
                write()
        assert not other.held

    def test_a_node_whose_folder_cannot_be_locked_is_one_that_failed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        good, bad = EmbeddedStore(tmp_path / "good"), EmbeddedStore(tmp_path / "bad")
        monkeypatch.setattr(bad.guards[0], "_lock_file", tmp_path / "bad" / "index.sqlite" / "store.lock")
        ReplicatedStore([bad, good], 1).put_blocks([(KEPT, KEPT_DATA)])
        assert good.has_block(KEPT)
        with pytest.raises(StoreUnavailableError, match="1 of 2 nodes could store"):
            ReplicatedStore([bad, good], 2).put_blocks([(GONE, DATA)])
        failed, done = erase(ReplicatedStore([bad, good], 1), [KEPT], unlist)
        assert (failed.unsure, done.unsure, done.left) == (True, False, set())
        assert "can't be locked" in str(failed.failure)


class TestOneProcess:
    def test_uploads_and_erasures_in_threads_end(self, tmp_path: Path) -> None:
        """Nobody waits in a circle: the lock is taken before the store's own, and the erasure's writes go by."""
        store = filled(tmp_path / "blocks")
        failures: list[BaseException] = []

        def uploads() -> None:
            try:
                for _ in range(15):
                    data = os.urandom(1000)
                    store.put_blocks([(CID.of(RAW, data), data)])
                    store.add_made(
                        5000, lambda _index, buffer: buffer.__setitem__(slice(None), os.urandom(len(buffer)))
                    )
            except BaseException as error:  # noqa: BLE001
                failures.append(error)

        threads = [threading.Thread(target=uploads) for _ in range(2)]
        for thread in threads:
            thread.start()

        def writes(node: BlobStore, cids: Collection[CID]) -> None:
            unlist(node, cids)
            node.put_block(KEPT, KEPT_DATA)

        results = [erase(store, [GONE], writes)[0] for _ in range(3)]
        for thread in threads:
            thread.join(timeout=60)
            assert not thread.is_alive()
        assert failures == []
        assert [one.left for one in results] == [set()] * 3

    def test_the_same_folder_twice_is_one_lock(self, tmp_path: Path) -> None:
        one, same = filled(tmp_path / "blocks"), EmbeddedStore(tmp_path / "blocks")
        found = erase(ReplicatedStore([one, same], 1), [GONE], unlist)
        assert [(each.left, each.busy, each.failure) for each in found] == [(set(), 0, None)] * 2

    def test_two_erasures_follow_each_other(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(erasing, "PATIENCE", 0.0)
        guard = Guard(tmp_path, "store")
        with guard.alone(0.0) as first:
            other: list[bool] = []

            def second() -> None:
                with guard.alone(0.0) as held:
                    other.append(held)

            thread = threading.Thread(target=second)
            thread.start()
            thread.join()
            # The same thread has it already.
            with guard.alone(0.0) as again:
                assert (first, again, other) == (True, True, [False])
        with guard.alone(0.0) as later:
            assert later


# One upload after the other, so that at each moment one of several such processes holds the lock.
_UPLOADS = """
import sys, time
from pathlib import Path
from panachain.storage.guards import Guard
at = Path(sys.argv[2])
guard, number = Guard(Path(sys.argv[1]), "store"), int(sys.argv[3])
while not (at / "stop").exists():
    with guard.shared():
        (at / f"holds{number}").touch()
        # Until the other one holds it too: never is it free.
        until = time.monotonic() + 2
        while not (at / f"holds{1 - number}").exists() and time.monotonic() < until and not (at / "stop").exists():
            time.sleep(0.001)
        (at / f"holds{number}").unlink(missing_ok=True)
        (at / f"turn{number}").touch()
"""


class TestAnErasureThatWaits:
    def test_isnt_starved_by_uploads_that_overlap(self, tmp_path: Path) -> None:
        folder, at = tmp_path / "blocks", tmp_path / "at"
        at.mkdir()
        uploads = [
            subprocess.Popen([sys.executable, "-c", _UPLOADS, str(folder), str(at), str(number)]) for number in (0, 1)
        ]
        try:
            for _ in range(6000):
                if all((at / f"turn{number}").exists() for number in (0, 1)):
                    break
                assert all(one.poll() is None for one in uploads)
                time.sleep(0.01)
            with Guard(folder, "store").alone(60.0) as held:
                assert held
                assert all(one.poll() is None for one in uploads)
        finally:
            (at / "stop").touch()
            for one in uploads:
                one.kill()
                one.communicate()

    def test_lets_who_comes_later_wait_and_nobody_wait_in_a_circle(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        guard, said = Guard(tmp_path / "blocks", "store"), list[str]()
        code = (
            "import sys; from pathlib import Path; from panachain.storage.guards import Guard\n"
            "from panachain.errors import StoreUnavailableError\n"
            "try:\n"
            "    with Guard(Path(sys.argv[1]), 'store').shared(0.0): print('holds')\n"
            "except StoreUnavailableError: print('waits')"
        )

        def asks() -> str:
            command = [sys.executable, "-c", code, str(tmp_path / "blocks")]
            return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()

        def waiting(_seconds: float) -> None:
            if not said:
                said.append(asks())
                go.set()
                ended.wait(60)

        go, ended, began = threading.Event(), threading.Event(), threading.Event()

        def writes() -> None:
            with guard.shared():
                began.set()
                go.wait(60)
                # Part of what goes on here: it is done first, or nobody would ever end.
                with Guard(tmp_path / "blocks", "store").shared(0.0):
                    said.append("goes by")
            ended.set()

        thread = threading.Thread(target=writes)
        thread.start()
        began.wait(60)
        monkeypatch.setattr(guards, "time", Mock(wraps=time, sleep=waiting))
        with guard.alone(60.0) as held:
            assert held
        thread.join()
        assert said == ["waits", "goes by"]
        # Neither waits for ever: the one that can't have it says so, and others have their turn again.
        with guard.shared(), Guard(tmp_path / "other", "other").alone(0.0):
            thread = threading.Thread(target=lambda: said.append(str(guard.alone(0.0).__enter__())))
            thread.start()
            thread.join()
        assert (said[-1], asks()) == ("False", "holds")


class Waiting:
    """Tells which threads wait for a lock, by their names, and when."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._changed = threading.Condition()
        self._waiting = set[str]()
        self._threads: list[threading.Thread] = []
        monkeypatch.setattr(guards, "time", Mock(wraps=time, sleep=self._sleep))

    def _sleep(self, seconds: float) -> None:
        self.note(threading.current_thread().name)
        time.sleep(seconds)

    def note(self, what: str) -> None:
        with self._changed:
            self._waiting.add(what)
            self._changed.notify_all()

    def until(self, *either: str) -> set[str]:
        """Return which of some are noted, once any is."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._waiting & set(either), 60)
            return self._waiting & set(either)

    def start(self, name: str, work: Callable[[], object]) -> threading.Thread:
        self._threads.append(threading.Thread(target=work, name=name))
        self._threads[-1].start()
        return self._threads[-1]

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


class TestSeveralUploadsInOneProcess:
    def test_who_comes_later_waits_behind_an_erasure_and_what_goes_on_is_finished(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waiting, end, said = Waiting(monkeypatch), threading.Event(), list[str]()

        def first() -> None:
            with Guard(tmp_path, "store").shared():
                waiting.note("first holds")
                end.wait(60)
                said.append("first")

        def erases() -> None:
            with Guard(tmp_path, "store").alone(60.0) as held:
                said.append(f"erasure {held}")

        def second() -> None:
            with Guard(tmp_path, "store").shared():
                waiting.note("second holds")
                said.append("second")

        waiting.start("first", first)
        waiting.until("first holds")
        waiting.start("erasure", erases)
        waiting.until("erasure")
        waiting.start("second", second)
        # By the process it would be known as a part of the first one, and go by.
        assert waiting.until("second", "second holds") == {"second"}
        end.set()
        waiting.join()
        assert said == ["first", "erasure True", "second"]

    def test_what_threads_write_as_a_part_of_an_upload_goes_by(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waiting = Waiting(monkeypatch)
        store = ReplicatedStore([filled(tmp_path / name) for name in ("one", "other")], 2)
        found: list[erasing.NodeErasure] = []

        def erases() -> None:
            found.extend(erase(store, [GONE, LIST], unlist))

        def blocks() -> Iterator[tuple[CID, bytes]]:
            yield CID.of(RAW, NEW), NEW
            waiting.start("erasure", erases)
            # It waits for this upload, of which no block is stored yet: all of them are put by other threads.
            waiting.until("erasure")

        monkeypatch.setattr(erasing, "PATIENCE", 60.0)
        store.put_blocks(blocks())
        waiting.join()
        assert [(one.left, one.busy, one.failure) for one in found] == [(set(), 0, None)] * 2
        assert [node.has_block(CID.of(RAW, NEW)) for node in store.nodes] == [True, True]

    def test_no_thread_of_a_store_of_several_nodes_waits_for_an_erasure(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of these threads there are few: whoever is waited for needs them."""
        waiting = Waiting(monkeypatch)
        store = ReplicatedStore([EmbeddedStore(tmp_path / name) for name in ("one", "other")], 2)
        many = [b"%d" % number for number in range(8)]

        def blocks() -> Iterator[tuple[CID, bytes]]:
            yield CID.of(RAW, NEW), NEW
            waiting.start("erasure", lambda: erase(store, [GONE], unlist))
            waiting.until("erasure")
            for number, data in enumerate(many):
                cid = CID.of(RAW, data)
                waiting.start(f"later {number}", lambda cid=cid, data=data: store.put_block(cid, data))  # type: ignore[misc]
                waiting.until(f"later {number}", *(f"nodes_{thread}" for thread in range(6)))

        monkeypatch.setattr(erasing, "PATIENCE", 60.0)
        store.put_blocks(blocks())
        waiting.join()
        assert not [name for name in waiting._waiting if name.startswith("nodes")]
        assert all(store.has_block(CID.of(RAW, data)) for data in (NEW, *many))

    def test_whoever_gave_it_back_on_another_thread_holds_it_no_longer(self, tmp_path: Path) -> None:
        """As a server does that takes each step of a generator on whichever thread is free."""
        guard = Guard(tmp_path, "store")
        held = guard.shared()
        held.__enter__()
        with guard.shared():
            assert len(guards._held()) == 2
        thread = threading.Thread(target=held.__exit__, args=(None, None, None))
        thread.start()
        thread.join()
        assert guards._held() == []
        with guard.alone(0.0) as alone:
            assert alone


NEW = b"new"


def _cut(notes: Path) -> None:
    notes.write_bytes(b"")


def _older(notes: Path) -> None:
    with sqlite3.connect(notes) as db:
        db.execute("DELETE FROM erased WHERE hash = (SELECT max(hash) FROM erased)")
    db.close()


class TestNotesThatAreLost:
    """They never count as "nothing was erased"."""

    @pytest.mark.parametrize("is_open", [True, False])
    @pytest.mark.parametrize("loses", [_cut, Path.unlink, _older])
    def test_are_noticed_and_nothing_is_stored_or_attested(
        self, tmp_path: Path, loses: Callable[[Path], None], is_open: bool
    ) -> None:
        folder = tmp_path / "blocks"
        store = filled(folder)
        erase(store, [GONE, LIST], unlist)
        if not is_open:
            store.close()
            store = EmbeddedStore(folder)
        kept = (folder / "erased.sqlite").read_bytes()
        loses(folder / "erased.sqlite")
        if loses is _older and is_open:
            # What one program deletes from a database that it shares isn't a file that was put back.
            os.replace(_copied(folder / "erased.sqlite"), folder / "erased.sqlite")
        does: list[Callable[[], object]] = [
            lambda: store.put_block(CID.of(RAW, NEW), NEW),
            lambda: store.add_file([NEW]),
            lambda: import_car(store, a_car(), name="x.car"),
            lambda: export_car(store, [KEPT], BytesIO(), name="x.car"),
            lambda: repair(store),
            lambda: move(store, EmbeddedStore(tmp_path / "other")),
            lambda: move(EmbeddedStore(tmp_path / "other"), store, [KEPT]),
        ]
        for one in does:
            with pytest.raises(StoreUnavailableError, match="isn't known any more") as caught:
                one()
            assert "from a backup" in caught.value.hint
        (told,) = status(store)
        assert (told.state, "isn't known any more" in told.detail) == ("failed", True)
        (found,) = erase(store, [KEPT], unlist)
        assert (found.unsure, "isn't known any more" in str(found.failure)) == (True, True)
        # Put back, it is a store as before, and the erasure is finished.
        (folder / "erased.sqlite").write_bytes(kept)
        (found,) = erase(EmbeddedStore(folder), [KEPT], unlist)
        assert (found.unsure, found.left, found.failure) == (False, set(), None)
        assert EmbeddedStore(folder).guards[0].erased([GONE, LIST, KEPT]) == {GONE, LIST, KEPT}

    def test_come_back_from_other_nodes(self, tmp_path: Path) -> None:
        one, other = filled(tmp_path / "one"), filled(tmp_path / "other")
        store = ReplicatedStore([one, other], 2)
        erase(store, [GONE, LIST], unlist)
        (tmp_path / "one" / "erased.sqlite").unlink()
        with pytest.raises(StoreUnavailableError, match="isn't known any more"):
            one.put_block(CID.of(RAW, NEW), NEW)
        repair(store)
        one.put_block(CID.of(RAW, NEW), NEW)
        with pytest.raises(UsageError, match="were erased"):
            one.put_block(GONE, DATA)
        # Others that know less don't make it whole.
        erase(one, [KEPT], unlist)
        (tmp_path / "one" / "erased.sqlite").unlink()
        report = repair(store)
        assert [(node.failure != "", "from a backup" in node.hint) for node in report.nodes] == [
            (True, True),
            (False, False),
        ]
        assert "has 2 of 3 notes" in report.nodes[0].failure
        with pytest.raises(StoreUnavailableError, match="has 2 of 3 notes"):
            one.put_block(CID.of(RAW, b"newer"), b"newer")

    def test_of_one_node_keep_no_other_from_being_mended(self, tmp_path: Path) -> None:
        nodes = [filled(tmp_path / name) for name in ("bad", "one", "other")]
        erase(nodes[0], [KEPT], lambda _node, _cids: None)
        (tmp_path / "bad" / "erased.sqlite").unlink()
        nodes[2].delete_block(GONE)
        report = repair(ReplicatedStore(nodes, 1))
        assert [(node.healed, bool(node.failure)) for node in report.nodes] == [(0, True), (0, False), (1, False)]
        assert nodes[2].get_block(GONE) == DATA
        assert not report.whole

    def test_of_an_earlier_version_count_too(self, tmp_path: Path) -> None:
        """It wrote no number: a file without a byte was a database once."""
        folder = tmp_path / "blocks"
        erase(filled(folder), [GONE], unlist)
        (folder / "store.lock").write_bytes(b"")
        kept = (folder / "erased.sqlite").read_bytes()
        _cut(folder / "erased.sqlite")
        with pytest.raises(StoreUnavailableError, match="was emptied"):
            EmbeddedStore(folder).put_block(CID.of(RAW, NEW), NEW)
        # From the first look on the number is there.
        (folder / "erased.sqlite").write_bytes(kept)
        EmbeddedStore(folder).put_block(CID.of(RAW, NEW), NEW)
        (folder / "erased.sqlite").unlink()
        with pytest.raises(StoreUnavailableError, match="is missing"):
            EmbeddedStore(folder).put_block(CID.of(RAW, b"newer"), b"newer")

    def test_that_were_being_made_when_it_was_killed_are_none(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        guard = Guard(tmp_path / "blocks", "store")
        with guard.alone(0.0):
            monkeypatch.setattr(guards.sqlite3, "connect", Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                guard.note([GONE])
            monkeypatch.undo()
        assert (tmp_path / "blocks" / "erased.sqlite").read_bytes() == b""
        assert (guard.erased([GONE]), guard.look()) == (set(), 0)
        guard.note([GONE])
        assert (guard.erased([GONE]), guard.look()) == ({GONE}, 1)

    @pytest.mark.parametrize("made", ["by a kill", "and removed"])
    def test_of_an_earlier_version_that_was_killed_as_it_made_them(self, tmp_path: Path, made: str) -> None:
        """It made the file, then what is in it, and wrote no number."""
        folder = tmp_path / "blocks"
        filled(folder).close()
        (folder / "store.lock").write_bytes(b"")
        (folder / "erased.sqlite").write_bytes(b"")
        with pytest.raises(StoreUnavailableError, match="was emptied") as caught:
            EmbeddedStore(folder).put_block(CID.of(RAW, NEW), NEW)
        assert "nothing is lost then: `panachain storage repair` begins the notes anew" in caught.value.hint
        assert f"so does who removes it and {folder / 'store.lock'} while nothing runs" in caught.value.hint
        (told,) = status(EmbeddedStore(folder))
        assert told.hint == caught.value.hint
        # Both that it says help, and what a hospital's journal knows is noted.
        store = EmbeddedStore(folder)
        if made == "by a kill":
            report = repair(store, erased=[GONE])
            (notice,) = report.notices
            assert "erased.sqlite was empty" in notice
            assert report.to_json()["notices"] == [notice]
            assert report.nodes[0].erased == 1
            assert store.guards[0].erased([GONE, KEPT]) == {GONE}
        else:
            (folder / "store.lock").unlink()
            (folder / "erased.sqlite").unlink()
        store.put_block(CID.of(RAW, NEW), NEW)
        assert repair(store).notices == []


class TestALockFileThatSaysNoNumber:
    @pytest.mark.parametrize(
        "said", [b"many\n", b"2\n", b"0" * 19 + b"\n", b"0" * 20, b"0" * 21 + b"\n", bytes(20) + b"1"]
    )
    def test_is_told_and_mended_by_a_repair(self, tmp_path: Path, said: bytes) -> None:
        store = filled(tmp_path / "blocks")
        erase(store, [GONE, LIST], unlist)
        (tmp_path / "blocks" / "store.lock").write_bytes(said)
        store = EmbeddedStore(tmp_path / "blocks")
        with pytest.raises(StoreUnavailableError, match="no number of notes") as caught:
            store.put_block(CID.of(RAW, NEW), NEW)
        assert "`panachain storage repair` counts anew" in caught.value.hint
        with pytest.raises(StoreUnavailableError, match="no number of notes") as caught:
            Guard(tmp_path / "blocks", "store").note([KEPT])
        assert "`panachain storage repair` counts anew" in caught.value.hint
        (notice,) = repair(store).notices
        assert "said no number of notes" in notice
        assert "it is 2 notes" in notice
        assert (tmp_path / "blocks" / "store.lock").read_bytes() == b"%020d\n" % 2
        store.put_block(CID.of(RAW, NEW), NEW)
        with pytest.raises(UsageError, match="were erased"):
            store.put_block(GONE, DATA)

    def test_counts_what_other_nodes_know_and_stays_where_nobody_knows_any(self, tmp_path: Path) -> None:
        one, other = filled(tmp_path / "one"), filled(tmp_path / "other")
        erase(ReplicatedStore([one, other], 2), [GONE, LIST], unlist)
        (tmp_path / "one" / "store.lock").write_bytes(b"many\n")
        (tmp_path / "one" / "erased.sqlite").unlink()
        one = EmbeddedStore(tmp_path / "one")
        with pytest.raises(StoreUnavailableError, match="no number of notes"):
            repair(one)
        with pytest.raises(StoreUnavailableError, match="no number of notes"):
            one.put_block(CID.of(RAW, NEW), NEW)
        assert repair(ReplicatedStore([one, other], 2)).whole
        assert one.guards[0].look() == 2
        # And what it says helps, where nobody knows.
        (tmp_path / "one" / "store.lock").write_bytes(b"many\n")
        (tmp_path / "one" / "erased.sqlite").unlink()
        (tmp_path / "one" / "store.lock").unlink()
        one.put_block(CID.of(RAW, NEW), NEW)

    @pytest.mark.parametrize("said", [b"", bytes(21), bytes(7)])
    def test_because_it_is_empty_or_all_zeros_is_one_of_which_nothing_is_said(
        self, tmp_path: Path, said: bytes
    ) -> None:
        store = filled(tmp_path / "blocks")
        (tmp_path / "blocks" / "store.lock").write_bytes(said)
        store.put_block(CID.of(RAW, NEW), NEW)
        erase(store, [GONE], unlist)
        store.close()
        assert (tmp_path / "blocks" / "store.lock").read_bytes() == b"%020d\n" % 1
        # What the notes hold counts, and their number is said from the first look on.
        (tmp_path / "blocks" / "store.lock").write_bytes(said)
        with pytest.raises(UsageError, match="were erased"):
            EmbeddedStore(tmp_path / "blocks").put_block(GONE, DATA)
        assert (tmp_path / "blocks" / "store.lock").read_bytes() == b"%020d\n" % 1


# Reads the number, and writes its own only when it is told: what others wrote in between must stand.
_LATE = """
import sys, time
from pathlib import Path
from panachain.storage.guards import Guard
folder, at = Path(sys.argv[1]), Path(sys.argv[2])
guard = Guard(folder, "store")
write = guard._write_noted
def late(number):
    (at / "read").touch()
    while not (at / "go").exists():
        time.sleep(0.01)
    write(number)
guard._write_noted = late
guard._say_noted(6)
"""


class TestTheNumber:
    def test_is_never_lowered_by_who_read_it_before(self, tmp_path: Path) -> None:
        guard, at = Guard(tmp_path / "blocks", "store"), tmp_path / "at"
        guard.note([GONE])
        at.mkdir()
        late = subprocess.Popen([sys.executable, "-c", _LATE, str(tmp_path / "blocks"), str(at)])
        try:
            for _ in range(6000):
                if (at / "read").exists():
                    break
                assert late.poll() is None
                time.sleep(0.01)
            assert (at / "read").exists()
            # It waits for the other one, and an erasure's lock stays its own meanwhile.
            with guard.alone(60.0) as held:
                assert held
                thread = threading.Thread(target=lambda: guard._say_noted(9))
                thread.start()
                (at / "go").touch()
                thread.join(timeout=60)
                assert not thread.is_alive()
                assert late.wait(timeout=60) == 0
                asked = "with Guard(Path(sys.argv[1]), 'store').alone(0.0) as held: print(held)"
                code = f"import sys; from pathlib import Path; from panachain.storage.guards import Guard\n{asked}"
                command = [sys.executable, "-c", code, str(tmp_path / "blocks")]
                answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
                assert answer == "False"
        finally:
            late.kill()
            late.communicate()
        assert (tmp_path / "blocks" / "store.lock").read_bytes() == b"%020d\n" % 9

    def test_is_on_the_disk_before_a_note_counts_whoever_wrote_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        guard = Guard(tmp_path / "blocks", "store")
        guard.note([GONE])
        # As another process leaves it that was killed between both.
        (tmp_path / "blocks" / "store.lock").write_bytes(b"%020d\n" % 1)
        synced: list[int] = []
        fsync = os.fsync

        def note(descriptor: int) -> None:
            synced.append(os.fstat(descriptor).st_ino)
            fsync(descriptor)

        monkeypatch.setattr(guards.os, "fsync", note)
        Guard(tmp_path / "blocks", "store").note([GONE])
        assert (tmp_path / "blocks" / "store.lock").stat().st_ino in synced


def _copied(path: Path) -> Path:
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    return copy


class TestAFolder:
    def test_that_is_read_only_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = filled(tmp_path / "blocks")

        def refuse(_path: Path) -> int:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        monkeypatch.setattr(guards, "_opened", refuse)
        with pytest.raises(DiskError, match="Read-only file system; nothing was stored") as caught:
            store.put_block(GONE, DATA)
        assert "must be writable" in caught.value.hint
        # Reading needs no lock.
        assert store.get_block(GONE) == DATA

    def test_on_a_file_system_without_locks_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = filled(tmp_path / "blocks")

        def refuse(_descriptor: int, _kind: int) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr(guards.fcntl, "flock", refuse)
        with pytest.raises(StoreUnavailableError, match="can't be locked") as caught:
            store.put_block(GONE, DATA)
        assert "NFS" in caught.value.hint
        (found,) = erase(store, [GONE], unlist)
        assert (found.unsure, "can't be locked" in str(found.failure)) == (True, True)

    def test_whose_notes_are_damaged_takes_nothing(self, tmp_path: Path) -> None:
        erase(filled(tmp_path / "blocks"), [GONE], unlist)
        (tmp_path / "blocks" / "erased.sqlite").write_bytes(b"no database, and longer than one page's head" * 100)
        with pytest.raises(StoreUnavailableError, match="can't be read") as caught:
            EmbeddedStore(tmp_path / "blocks").put_block(CID.of(RAW, b"new"), b"new")
        assert "put that file back from a backup" in caught.value.hint
        # Nobody else knows what it held: it stays, and a repair says so.
        with pytest.raises(StoreUnavailableError, match="can't be read") as caught:
            repair(EmbeddedStore(tmp_path / "blocks"))
        assert "put that file back from a backup" in caught.value.hint
        assert not list((tmp_path / "blocks").glob("*.damaged"))

    @pytest.mark.parametrize("number", [b"%020d\n" % 2, b"many\n", b""])
    def test_whose_notes_are_damaged_gets_them_from_the_other_nodes(self, tmp_path: Path, number: bytes) -> None:
        folder = tmp_path / "one"
        one, other = filled(folder), filled(tmp_path / "other")
        erase(ReplicatedStore([one, other], 2), [GONE, LIST], unlist)
        damaged = b"no database, and longer than one page's head" * 100
        (folder / "erased.sqlite").write_bytes(damaged)
        (folder / "erased.sqlite-journal").write_bytes(b"of that one")
        (folder / "store.lock").write_bytes(number)
        store = ReplicatedStore([EmbeddedStore(folder), EmbeddedStore(tmp_path / "other")], 2)
        report = repair(store)
        assert (report.whole, len(report.notices)) == (True, 1)
        assert "erased.sqlite is no database, and was put aside as erased.sqlite.damaged" in report.notices[0]
        assert (folder / "erased.sqlite.damaged").read_bytes() == damaged
        assert not (folder / "erased.sqlite-journal").exists()
        assert store.nodes[0].guards[0].look() == 2  # type: ignore[attr-defined]
        with pytest.raises(UsageError, match="were erased"):
            EmbeddedStore(folder).put_block(GONE, DATA)

    def test_whose_notes_are_damaged_keeps_them_where_others_know_less(self, tmp_path: Path) -> None:
        folder = tmp_path / "one"
        one, other = filled(folder), filled(tmp_path / "other")
        erase(ReplicatedStore([one, other], 2), [GONE], unlist)
        erase(one, [LIST], unlist)
        (folder / "erased.sqlite").write_bytes(b"no database" * 1000)
        store = ReplicatedStore([EmbeddedStore(folder), EmbeddedStore(tmp_path / "other")], 2)
        report = repair(store)
        assert ["can't be read" in node.failure for node in report.nodes] == [True, False]
        assert (folder / "erased.sqlite").read_bytes() == b"no database" * 1000

    def test_that_nobody_may_read_is_said_to_be_looked_at(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, other = filled(tmp_path / "one"), filled(tmp_path / "other")
        erase(one, [GONE], unlist)
        monkeypatch.setattr(
            one.guards[0], "_opened", Mock(side_effect=sqlite3.OperationalError("unable to open database file"))
        )
        report = repair(ReplicatedStore([one, other], 2))
        assert ["unable to open" in node.failure for node in report.nodes] == [True, False]
        assert "look at its owner" in report.nodes[0].hint
        assert report.nodes[1].checked == 3


def test_the_notes_name_nothing(tmp_path: Path) -> None:
    erase(filled(tmp_path / "blocks"), [GONE], unlist)
    notes = (tmp_path / "blocks" / "erased.sqlite").read_bytes()
    assert GONE.digest not in notes
    assert Guard(tmp_path / "blocks", "store").erased([GONE, KEPT]) == {GONE}


def test_many_are_asked_for_at_once(tmp_path: Path) -> None:
    guard = Guard(tmp_path, "store")
    cids = [CID.of(RAW, number.to_bytes(4, "big")) for number in range(1100)]
    assert guard.erased(cids) == set()
    guard.note(cids[::2])
    assert guard.erased(cids) == set(cids[::2])
    guard.close()
    assert guard.erased(cids[:2]) == {cids[0]}


def test_stores_of_other_kinds_have_a_guard_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    config = Config(home=tmp_path)
    urls = ("kubo:/ip4/127.0.0.1/tcp/1", "s3://bucket/a?endpoint=http://127.0.0.1:1")
    for url, kind in zip(urls, (KuboStore, S3Store), strict=True):
        one, same = open_named(config, url, probe=False), open_named(config, url, probe=False)
        assert isinstance(one, kind)
        assert [guard.place for guard in guards_of(one)] == [guard.place for guard in guards_of(same)]
        monkeypatch.setattr(one, "delete_blocks", lambda _cids: 0)
        monkeypatch.setattr(one, "has_block", lambda _cid: False)
        monkeypatch.setattr(one, "unpin", lambda _cid: None)
        (found,) = erase(one, [GONE], unlist)
        assert (found.left, found.busy, found.failure) == (set(), 0, None)
        # Refused before anything is sent.
        monkeypatch.setattr(same, "_refresh", lambda: None, raising=False)
        with pytest.raises(UsageError, match="were erased"):
            same.put_block(GONE, DATA)
        with pytest.raises(UsageError, match="were erased"):
            same.put_blocks([(GONE, DATA)])
        with one.guards[0].alone(0.0), monkeypatch.context() as patch:  # type: ignore[attr-defined]
            patch.setattr(guards, "WAIT", 0.0)
            refused: list[str] = []

            def other() -> None:
                with pytest.raises(StoreUnavailableError) as caught:
                    same.put_blocks([(KEPT, KEPT_DATA)])  # noqa: B023
                refused.append(str(caught.value))  # noqa: B023

            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            assert "records are being erased" in refused[0]
    assert {path.name for path in (tmp_path / "stores").iterdir()} == {
        Path(g.place).parent.name for g in _all(config, urls)
    }


def _all(config: Config, urls: tuple[str, ...]) -> list[Guard]:
    return [guard for url in urls for guard in guards_of(open_named(config, url, probe=False))]
