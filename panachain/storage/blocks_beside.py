"""Many small blocks: read beside this process, on another core, while this one opens those before.

What another process reads of a folder and hashes (`block_worker.py`), this one needn't; Python runs one thread at a
time. Whatever it doesn't answer, because it can't be started, died, hangs or says what none of ours says, the store is
asked for here. Results, their order and every error are the same with it and without. It is told a folder and CIDs, and
no secret. Follows ADR 83.
"""

from __future__ import annotations

import os
import select
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final

from panachain import beside
from panachain.ipld.cid import CID
from panachain.storage.block_worker import NONE, NUMBER_SIZE, question
from panachain.storage.blocks import SMALL, BlobStore, near_folder
from panachain.version import VERSION

if TYPE_CHECKING:
    import subprocess

_PATIENCE: Final = 30.0
"""Seconds that a whole answer is waited for, in however many pieces it comes."""
_COMMAND: Final = beside.command("panachain.storage.block_worker")


class _Round:
    """Some blocks that were asked for."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.blocks: list[bytes | None] | None = None


class BlocksBeside:
    """Blocks that a process reads ahead of this thread, which alone may ask; it ends with `close`."""

    def __init__(self, store: BlobStore) -> None:
        """Take the store; nothing is started yet."""
        self._store = store
        self._asked: deque[_Round] = deque()
        self._unsent = b""
        """What of the questions found no room in the pipe yet."""
        self._room = bytearray()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_started = False

    def start(self) -> None:
        """Start the process, once, where there are a core and a folder for it."""
        if self._is_started or beside.cores() < 2:
            return
        self._is_started = True
        folder = near_folder(self._store)
        if folder is None:
            return
        # Where the machine has none left, all is read here.
        with suppress(OSError, MemoryError):
            self._process = beside.start([*_COMMAND, VERSION, str(folder.absolute())])
            if self._process.stdin is not None:
                # Whoever hangs keeps nobody waiting, however small a pipe this system has left.
                os.set_blocking(self._process.stdin.fileno(), False)

    def close(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        self._asked.clear()
        self._unsent = b""
        if process is not None:
            beside.end(process)
            beside.close(process)

    def __enter__(self) -> BlocksBeside:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_there(self) -> bool:
        """Whether a process reads, so that it pays to ask ahead."""
        return self._process is not None

    def ask(self, cids: Sequence[CID]) -> Callable[[], list[bytes | None] | None]:
        """Ask for some blocks, at most `TOGETHER`, and return what gives them, in their order; it waits for them.

        A block that the process can't give is None, as all of them together are if it doesn't answer at all. What was
        asked for before and never taken is passed over.
        """
        asked = _Round(len(cids))
        if self._process is not None:
            try:
                self._asked.append(asked)
                self._unsent += question(cids)
                self._send()
            except BaseException:
                # Whoever is interrupted may have asked half of it, or some of it twice.
                self.close()
                raise

        def take() -> list[bytes | None] | None:
            while asked in self._asked:
                first = self._asked.popleft()
                try:
                    first.blocks = self._answered(first.count, first is asked)
                except BaseException:
                    # Of whoever is interrupted, the rest of this answer would be taken for the next one.
                    self.close()
                    raise
            blocks, asked.blocks = asked.blocks, None
            return blocks

        return take

    def _answered(self, count: int, is_wanted: bool) -> list[bytes | None] | None:
        """Read the next answer; None if there is none, or nobody wants it."""
        until = time.monotonic() + _PATIENCE
        stated = self._read(NUMBER_SIZE * count, until)
        if stated is None:
            return None
        sizes = struct.unpack(f">{count}I", stated)
        there = [size for size in sizes if size != NONE]
        # Ours gives no larger one.
        read = None if any(size > SMALL for size in there) else self._read(sum(there), until)
        if read is None:
            self.close()
            return None
        blocks: list[bytes | None] = []
        at = 0
        for size in sizes if is_wanted else ():
            if size == NONE:
                blocks.append(None)
            else:
                blocks.append(bytes(read[at : at + size]))
                at += size
        return blocks

    def _read(self, size: int, until: float) -> memoryview | None:
        """Read so many bytes; None, and the process is ended, if it doesn't give them."""
        # The same memory each time: fresh pages cost as much as a copy.
        if len(self._room) < size:
            self._room = bytearray(size)
        view = memoryview(self._room)[:size]
        done = 0
        while done < size:
            process = self._process
            if process is None or process.stdout is None or not self._wait(process.stdin, process.stdout, until):
                self.close()
                return None
            got = os.readv(process.stdout.fileno(), [view[done:]])
            if not got:
                self.close()
                return None
            done += got
        return view

    def _wait(self, sink: IO[bytes] | None, source: IO[bytes], until: float) -> bool:
        """Wait until there is something to read, sending what there is room for; tell whether there is."""
        while (left := until - time.monotonic()) > 0:
            # Not `select`, which takes descriptors below 1,024 only.
            ready = select.poll()
            ready.register(source, select.POLLIN)
            if self._unsent and sink is not None:
                ready.register(sink, select.POLLOUT)
            events = ready.poll(1000 * left)
            if not events or any(descriptor == source.fileno() for descriptor, _ in events):
                return bool(events)
            if not self._send():
                return False
        return False

    def _send(self) -> bool:
        """Write what there is room for; tell whether the process is there."""
        if self._process is None:
            return False
        try:
            self._unsent = beside.send(self._process.stdin, self._unsent)
        except OSError:
            # What it answered before can be read yet.
            self._unsent = b""
            return False
        return True
