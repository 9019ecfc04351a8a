"""Blocks that are read beside: whatever the other process does, a reader gets what the store gives."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import panachain
from panachain import beside
from panachain.errors import BlockNotFoundError, IntegrityError
from panachain.ipld.cid import CID, RAW
from panachain.storage import blocks_beside as module
from panachain.storage.ahead import UNDER_WAY, Coming
from panachain.storage.blocks import TOGETHER
from panachain.storage.blocks_beside import BlocksBeside
from panachain.storage.embedded import EmbeddedStore
from panachain.storage.replicated import ReplicatedStore
from tests.processes import is_running, wait_for
from tests.unit.storage.memory_store import MemoryStore

COUNT = 1100
LOST, DAMAGED = 400, 700


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[EmbeddedStore, list[CID], list[bytes]]:
    """A store from which one block was lost since, and of which one was damaged."""
    store = EmbeddedStore(tmp_path_factory.mktemp("beside") / "blocks")
    blocks = [(CID.of(RAW, data), data) for data in (os.urandom(200 + number % 7) for number in range(COUNT))]
    store.put_blocks(blocks)
    store.delete_block(blocks[LOST][0])
    place = store._find(blocks[DAMAGED][0])
    assert place is not None
    with open(store.folder / "packs" / place[0], "r+b") as file:
        file.seek(place[1])
        file.write(bytes([blocks[DAMAGED][1][0] ^ 1]))
    return store, [cid for cid, _ in blocks], [data for _, data in blocks]


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process can help on any machine."""
    monkeypatch.setattr(beside, "cores", lambda: 2)


@pytest.fixture
def ahead(made: tuple[EmbeddedStore, list[CID], list[bytes]]) -> Iterator[BlocksBeside]:
    with BlocksBeside(made[0]) as reading:
        yield reading


def read_all(
    made: tuple[EmbeddedStore, list[CID], list[bytes]], ahead: BlocksBeside, step: int = 1, jump: int = COUNT
) -> None:
    """Read as a reader does, and compare with what was stored."""
    store, cids, data = made
    coming = Coming(store, cids, ahead)
    for place in [*range(0, min(jump, COUNT), step), *range(jump + 200, COUNT)]:
        if place in (LOST, DAMAGED):
            with pytest.raises(BlockNotFoundError if place == LOST else IntegrityError):
                coming.get_block(cids[place])
        else:
            assert coming.get_block(cids[place]) == data[place]
        assert len(coming._held) < TOGETHER
        assert len(coming._asked) <= UNDER_WAY


def pid_of(ahead: BlocksBeside) -> int:
    assert ahead._process is not None
    return ahead._process.pid


def test_without_a_process_all_are_read_here(
    made: tuple[EmbeddedStore, list[CID], list[bytes]], ahead: BlocksBeside
) -> None:
    assert not ahead.is_there
    read_all(made, ahead)


@pytest.mark.usefixtures("many")
class TestBeside:
    @pytest.mark.parametrize(("step", "jump"), [(1, COUNT), (3, COUNT), (1, 500), (1, 130)])
    def test_a_reader_gets_what_the_store_gives_also_if_some_are_skipped(
        self, made: tuple[EmbeddedStore, list[CID], list[bytes]], ahead: BlocksBeside, step: int, jump: int
    ) -> None:
        ahead.start()
        # Twice, as lane after lane is read; the first one's reader may stop before its end.
        read_all(made, ahead, step, jump)
        store, cids, data = made
        coming = Coming(store, cids, ahead)
        assert [coming.get_block(cid) for cid in cids[:300]] == data[:300]
        read_all(made, ahead)
        assert ahead.is_there

    def test_most_are_read_by_the_other_process(
        self,
        made: tuple[EmbeddedStore, list[CID], list[bytes]],
        ahead: BlocksBeside,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        ahead.start()
        here: list[int] = []
        real = EmbeddedStore.near

        def near(self: EmbeddedStore, cids: list[CID]) -> list[bytes | None]:
            here.append(len(cids))
            return real(self, cids)

        monkeypatch.setattr(EmbeddedStore, "near", near)
        read_all(made, ahead)
        # Who wants one doesn't wait for others: the first rounds are small.
        assert here == [2, 4, 8, 16, 32, 64]

    def test_nodes_of_one_store_are_read_where_they_are_asked_first(
        self, made: tuple[EmbeddedStore, list[CID], list[bytes]]
    ) -> None:
        store, cids, data = made
        for nodes, has_folder in (([store, MemoryStore()], True), ([MemoryStore(), store], False)):
            with BlocksBeside(ReplicatedStore(nodes, factor=1)) as ahead:
                ahead.start()
                assert ahead.is_there == has_folder
                if has_folder:
                    assert ahead.ask(cids[:5])() == data[:5]
        with BlocksBeside(MemoryStore()) as ahead:
            ahead.start()
            assert not ahead.is_there

    def test_on_one_core_there_is_none(self, ahead: BlocksBeside, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(beside, "cores", lambda: 1)
        ahead.start()
        assert not ahead.is_there

    def test_where_no_process_is_left_all_is_read_here(
        self,
        made: tuple[EmbeddedStore, list[CID], list[bytes]],
        ahead: BlocksBeside,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def fails(*_: object, **__: object) -> subprocess.Popen[bytes]:
            raise BlockingIOError("no process is left")

        monkeypatch.setattr(beside, "start", fails)
        ahead.start()
        assert not ahead.is_there
        read_all(made, ahead)

    @pytest.mark.parametrize(
        "program",
        [
            # It dies at once, after a question, and within an answer.
            "pass",
            "import os, sys; sys.stdin.buffer.read(200); os._exit(1)",
            "import sys; sys.stdin.buffer.read(4); sys.stdout.buffer.write(b'\\0\\0\\0\\5' * 128 + b'12')",
            # It states more than a small block has.
            "import sys; sys.stdin.buffer.read(4); sys.stdout.buffer.write(b'\\0\\1\\0\\1' * 128 + bytes(1 << 23))",
            # It hangs, and says something before each time at which it would be given up.
            "import time; time.sleep(600)",
            "import os, time\nwhile True: time.sleep(0.1); os.write(1, bytes(4))",
        ],
    )
    def test_what_one_does_not_answer_is_read_here(
        self,
        made: tuple[EmbeddedStore, list[CID], list[bytes]],
        ahead: BlocksBeside,
        monkeypatch: pytest.MonkeyPatch,
        program: str,
    ) -> None:
        monkeypatch.setattr(module, "_COMMAND", ("-c", program))
        monkeypatch.setattr(module, "_PATIENCE", 0.5)
        ahead.start()
        pid = pid_of(ahead)
        read_all(made, ahead)
        assert not ahead.is_there
        assert not is_running(pid)
        # None is started again.
        ahead.start()
        assert not ahead.is_there
        read_all(made, ahead)

    @pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="this system has pipes of one size")
    @pytest.mark.parametrize("program", ["", "import time; time.sleep(600)"])
    def test_small_pipes_keep_nobody_waiting(
        self,
        made: tuple[EmbeddedStore, list[CID], list[bytes]],
        ahead: BlocksBeside,
        monkeypatch: pytest.MonkeyPatch,
        program: str,
    ) -> None:
        if program:
            monkeypatch.setattr(module, "_COMMAND", ("-c", program))
            monkeypatch.setattr(module, "_PATIENCE", 0.5)
        ahead.start()
        process = ahead._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        for pipe in (process.stdin, process.stdout):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
        read_all(made, ahead)
        assert ahead.is_there == (not program)

    def test_one_of_another_version_answers_nothing(
        self,
        made: tuple[EmbeddedStore, list[CID], list[bytes]],
        ahead: BlocksBeside,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(module, "VERSION", "0.0.0")
        ahead.start()
        read_all(made, ahead)
        assert not ahead.is_there

    def test_one_that_is_killed_meanwhile_costs_nothing(
        self, made: tuple[EmbeddedStore, list[CID], list[bytes]], ahead: BlocksBeside
    ) -> None:
        store, cids, data = made
        ahead.start()
        coming = Coming(store, cids, ahead)
        assert [coming.get_block(cid) for cid in cids[:300]] == data[:300]
        assert ahead._process is not None
        ahead._process.kill()
        assert [coming.get_block(cid) for cid in cids[300:LOST]] == data[300:LOST]
        assert [coming.get_block(cid) for cid in cids[DAMAGED + 1 :]] == data[DAMAGED + 1 :]
        assert not ahead.is_there

    def test_whoever_is_interrupted_while_asking_asks_no_more(
        self, made: tuple[EmbeddedStore, list[CID], list[bytes]], ahead: BlocksBeside, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ahead.start()
        coming = Coming(made[0], made[1], ahead)
        assert [coming.get_block(cid) for cid in made[1][:126]] == made[2][:126]
        real = os.write

        def interrupted(sink: int, data: bytes) -> int:
            real(sink, data[:50])
            raise KeyboardInterrupt

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(os, "write", interrupted)
            with pytest.raises(KeyboardInterrupt):
                coming.get_block(made[1][126])
        assert not ahead.is_there
        assert [coming.get_block(cid) for cid in made[1][126:LOST]] == made[2][126:LOST]

    def test_whoever_is_interrupted_gets_no_part_of_an_answer_for_the_next_one(
        self, made: tuple[EmbeddedStore, list[CID], list[bytes]], ahead: BlocksBeside, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ahead.start()
        coming = Coming(made[0], made[1], ahead)
        assert [coming.get_block(cid) for cid in made[1][:126]] == made[2][:126]
        real = BlocksBeside._read

        def interrupted(self: BlocksBeside, size: int, until: float) -> memoryview | None:
            real(self, size // 2, until)
            raise KeyboardInterrupt

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(BlocksBeside, "_read", interrupted)
            with pytest.raises(KeyboardInterrupt):
                coming.get_block(made[1][126])
        assert not ahead.is_there
        assert [coming.get_block(cid) for cid in made[1][126:LOST]] == made[2][126:LOST]

    def test_it_ends_with_the_reading(self, made: tuple[EmbeddedStore, list[CID], list[bytes]]) -> None:
        with BlocksBeside(made[0]) as ahead:
            ahead.start()
            pid = pid_of(ahead)
            ahead.ask(made[1][:100])
            assert is_running(pid)
        assert not is_running(pid)
        assert not ahead.is_there
        assert ahead.ask(made[1][:100])() is None

    @pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="needs Linux's /proc")
    def test_it_gets_no_secret_and_little_room(
        self,
        made: tuple[EmbeddedStore, list[CID], list[bytes]],
        ahead: BlocksBeside,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", "/run/secret")
        ahead.start()
        assert ahead.ask(made[1][:5])() == made[2][:5]
        place = Path("/proc", str(pid_of(ahead)))
        environment, command = (place / "environ").read_text(), (place / "cmdline").read_text()
        limits = dict(line.split("  ", 1) for line in (place / "limits").read_text().splitlines())
        assert {one.partition("=")[0] for one in environment.split("\0") if one} <= {*beside.KEPT, beside.LINE}
        root = str(Path(panachain.__file__).parents[1])
        assert command.split("\0")[-4:-1] == [root, panachain.__version__, str(made[0].folder)]
        assert limits["Max file size"].split()[:2] == limits["Max core file size"].split()[:2] == ["0", "0"]
        assert limits["Max address space"].split()[0] == str(1 << 30)

    def test_none_is_left_of_a_program_that_is_killed(self, made: tuple[EmbeddedStore, list[CID], list[bytes]]) -> None:
        program = (
            "import sys; from pathlib import Path; from panachain import beside;"
            "from panachain.storage import blocks_beside as b; from panachain.storage.embedded import EmbeddedStore;"
            "beside.cores = lambda: 2; one = b.BlocksBeside(EmbeddedStore(Path(sys.argv[1]))); one.start();"
            "print(one._process.pid, flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program, str(made[0].folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as killed:
            assert killed.stdout is not None
            pid = int(killed.stdout.readline())
            killed.kill()
        wait_for(lambda: not is_running(pid))
