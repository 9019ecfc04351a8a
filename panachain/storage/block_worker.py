"""Block worker: reads small blocks of an embedded store and hashes them, in a process of its own.

A program beside the one that opens records (`blocks_beside.py`). All that it is told is a folder and CIDs, and all that
it reads is sealed: whoever may read the folder can have the same. It knows no secret, writes no file, and logs nothing.
Follows ADR 83.

    question = how many (4) ‖ their CIDs (36 each)
    answer   = for each its size (4), or 0xffffffff for none ‖ the blocks that there are, one after the other
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from panachain.beside import bound
from panachain.ipld.cid import CID
from panachain.private_files import to_read_alone
from panachain.storage.blocks import TOGETHER
from panachain.storage.nearby import read_near
from panachain.version import VERSION

NONE: Final = (1 << 32) - 1
"""The size of a block that isn't there, is large, or doesn't fit its CID."""
NUMBER_SIZE: Final = 4
"""Bytes of a size, and of how many there are, big-endian."""
_CID_SIZE: Final = 36
_MEMORY: Final = 1 << 30
"""Bytes that the process may take."""


def question(cids: Sequence[CID]) -> bytes:
    """Return the question for some blocks, at most `TOGETHER` of them."""
    return len(cids).to_bytes(NUMBER_SIZE, "big") + b"".join(map(bytes, cids))


def answer(blocks: Sequence[bytes | None]) -> bytes:
    """Return the answer that gives some blocks."""
    sizes = b"".join([(NONE if one is None else len(one)).to_bytes(NUMBER_SIZE, "big") for one in blocks])
    return sizes + b"".join([one for one in blocks if one is not None])


def main() -> None:
    """Answer until the input ends."""
    # Imported here: whoever asks doesn't need it for that.
    import sqlite3

    _, _, version, folder = sys.argv[:4]
    # Whoever asks may have been running since before an update, and mean something else by the same bytes.
    if version != VERSION:
        return
    bound(_MEMORY)
    place = Path(folder)
    # Never made, never written: the store's own process has it open.
    index = sqlite3.connect(to_read_alone(place / "index.sqlite"), uri=True, timeout=60, isolation_level=None)
    packs: dict[str, int] = {}

    def descriptor(pack: str) -> int:
        known = packs.get(pack)
        if known is None:
            while len(packs) >= TOGETHER:
                os.close(packs.pop(next(iter(packs))))
            known = packs[pack] = os.open(place / "packs" / pack, os.O_RDONLY)
        return known

    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(NUMBER_SIZE):
        raws = source.read(_CID_SIZE * int.from_bytes(head, "big"))
        cids = [CID.from_bytes(raws[at : at + _CID_SIZE]) for at in range(0, len(raws), _CID_SIZE)]
        sink.write(answer(read_near(index, cids, descriptor)))
        sink.flush()


if __name__ == "__main__":
    main()
