"""The process that reads blocks: what it is asked, how it answers, and that it changes nothing."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import panachain
from panachain import beside
from panachain.ipld.cid import CID, RAW
from panachain.storage.block_worker import answer, question
from panachain.storage.blocks import SMALL
from panachain.storage.embedded import EmbeddedStore


def asked(folder: Path, questions: bytes, version: str = panachain.__version__) -> subprocess.CompletedProcess[bytes]:
    told = [*beside.flags(), *beside.command("panachain.storage.block_worker"), version, str(folder)]
    return subprocess.run([sys.executable, *told], input=questions, capture_output=True, check=False, timeout=60)


def test_one_process_answers_each_question_in_its_turn_and_writes_nothing(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "blocks of a hospital? 100 %")
    made = [(CID.of(RAW, data), data) for data in (os.urandom(size) for size in [0, 1, 5000, SMALL, *[300] * 60])]
    store.put_blocks(made)
    large = os.urandom(SMALL + 1)
    store.put_block(CID.of(RAW, large), large)
    before = {path: path.read_bytes() for path in store.folder.rglob("*") if path.suffix in (".pack", ".sqlite")}
    unknown = CID.of(RAW, b"never stored"), CID.of(RAW, large)
    chance = random.Random(1)
    questions, expected = b"", b""
    for _ in range(10):
        some = chance.sample(made, chance.randrange(1, 60))
        wanted: list[tuple[CID, bytes | None]] = [*some, *((cid, None) for cid in unknown)]
        chance.shuffle(wanted)
        questions += question([cid for cid, _ in wanted])
        expected += answer([data for _, data in wanted])
    done = asked(store.folder, questions)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")
    assert before == {path: path.read_bytes() for path in before}
    # One of another version means something else by the same bytes.
    assert asked(store.folder, questions, "0.0.0").stdout == b""


def test_where_there_is_no_store_none_is_made(tmp_path: Path) -> None:
    done = asked(tmp_path, question([CID.of(RAW, b"")]))
    assert done.stdout == b""
    assert done.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_a_question_tells_cids_and_an_answer_sizes_and_blocks() -> None:
    first, second = CID.of(RAW, b"first"), CID.of(RAW, b"")
    assert question([first, second]) == bytes([0, 0, 0, 2]) + bytes(first) + bytes(second)
    assert answer([b"first", None, b""]) == b"\0\0\0\5" + b"\xff" * 4 + bytes(4) + b"first"
