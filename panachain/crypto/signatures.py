"""Many signatures: checked beside this process, on another core, while this one reads what was signed.

Python runs one thread at a time, and a thread that checks signatures waits for its turn after each of them. So where
there are many, a process of its own checks them (`signature_worker.py`): whatever it doesn't answer, because it can't
be started, died, hangs or says what none of ours says, is checked here. Results, their order and every error are the
same with it and without. It is told a public key, digests and signatures, and no secret. Follows ADR 79.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from panachain import beside
from panachain.crypto import umbral
from panachain.crypto.signature_worker import question
from panachain.version import VERSION

if TYPE_CHECKING:
    import subprocess

Signed = Sequence[tuple[bytes, bytes]]
"""Messages, each with its signature of 64 bytes."""
WORTH: Final = 2048
"""Signatures from which on a process is worth its start, which takes as long as 1,200 of them, on another core."""
_FEW: Final = 16
"""Signatures that aren't worth a thread: it takes as long to begin."""
_THREADS: Final = min(beside.cores(), 4)
"""That check beside one another where there is no process: they wait for one another a part of the time."""
_PARCEL: Final = 128
"""Signatures that are asked at once: each question wakes the other process."""
_UNDER_WAY: Final = 4
"""Parcels that were asked and not answered: so many bytes fit into a pipe, and nobody waits to write them."""
_PATIENCE: Final = 30.0
"""Seconds that an answer is waited for once there is nothing else to check."""
_READ: Final = 1 << 16
_COMMAND: Final = beside.command("panachain.crypto.signature_worker")


class _Parcel:
    """Some signatures of one key, and which of them fit it once that is known."""

    def __init__(self, key: bytes, signed: Signed) -> None:
        self.key = key
        self.signed = signed
        self.fitting: list[bool] | None = None

    def check(self) -> None:
        """Check them in this process."""
        self.fitting = umbral.verify_all(self.key, self.signed)


class Signatures:
    """Checks that go on beside this thread, which alone may call them; they end with `close`."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._waiting: deque[_Parcel] = deque()
        self._asked: deque[_Parcel] = deque()
        self._answer = b""
        self._unsent = b""
        """What of the questions found no room in the pipe yet."""
        self._pool: ThreadPoolExecutor | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_started = False

    def expect(self, count: int) -> None:
        """Start what is worth it for so many signatures; it takes a while until it helps."""
        if count >= WORTH and beside.cores() > 1 and not self._is_started:
            self._is_started = True
            # Where the machine has none left, all is checked here.
            with suppress(OSError, MemoryError):
                self._process = beside.start([*_COMMAND, VERSION], is_wide=False)
                if self._process.stdin is not None:
                    # Whoever hangs keeps nobody waiting, however small a pipe this system has left.
                    os.set_blocking(self._process.stdin.fileno(), False)
        if count > _FEW and _THREADS > 1 and self._process is None and self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS - 1, thread_name_prefix="check")

    def close(self) -> None:
        """End the process and the threads, whatever they do."""
        self._lost()
        if self._pool is not None:
            self._pool.shutdown()

    def __enter__(self) -> Signatures:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_beside(self) -> bool:
        """Whether a process checks them, so that it pays to begin many before one asks for a result."""
        return self._process is not None

    def begin(self, key: bytes, signed: Signed) -> Callable[[], list[bool]]:
        """Begin to check signatures, and return what tells of each whether `umbral.verify` takes it.

        Args:
            key: the public key, 33 bytes.
            signed: the messages and their signatures, 64 bytes each.

        Raises:
            IntegrityError: `key` isn't a key.
        """
        umbral.verify_all(key, [])
        if self._process is None:
            found = self._by_threads(key, signed)
            return lambda: found
        parcels = [_Parcel(key, signed[start : start + _PARCEL]) for start in range(0, len(signed), _PARCEL)]
        self._waiting.extend(parcels)
        self._exchange()
        return partial(self._finish, parcels)

    def _by_threads(self, key: bytes, signed: Signed) -> list[bool]:
        size = len(signed) if self._pool is None else -(-len(signed) // _THREADS)
        parts = [signed[start : start + size] for start in range(0, len(signed), size or 1)]
        helped = [self._pool.submit(umbral.verify_all, key, part) for part in parts[1:]] if self._pool else []
        found = umbral.verify_all(key, parts[0]) if parts else []
        for part in helped:
            found += part.result()
        return found

    def _finish(self, parcels: Sequence[_Parcel]) -> list[bool]:
        found: list[bool] = []
        for parcel in parcels:
            while parcel.fitting is None:
                self._exchange()
                if parcel.fitting is None:
                    self._help(parcel)
            found += parcel.fitting
        return found

    def _help(self, wanted: _Parcel) -> None:
        """Check what nobody has begun, the wanted parcel or the one that is wanted last; else wait for an answer."""
        if wanted in self._waiting:
            self._waiting.remove(wanted)
            wanted.check()
        elif self._waiting:
            self._waiting.pop().check()
        elif not self._take(_PATIENCE):
            self._lost()

    def _exchange(self) -> None:
        """Take what was answered, and ask what there is room for; wait for nothing."""
        while self._take(0):
            pass
        while self._process is not None and self._waiting and len(self._asked) < _UNDER_WAY:
            parcel = self._waiting.popleft()
            self._asked.append(parcel)
            self._unsent += question(parcel.key, parcel.signed)
        self._send()

    def _send(self) -> None:
        """Write what there is room for."""
        if self._process is None:
            return
        try:
            self._unsent = beside.send(self._process.stdin, self._unsent)
        except OSError:
            self._lost()

    def _take(self, seconds: float) -> bool:
        """Take some of the oldest answer, or ask more, waiting so long at most; tell whether anything went on."""
        process = self._process
        if process is None or process.stdout is None or not self._asked:
            return False
        # Not `select`, which takes descriptors below 1,024 only.
        ready = select.poll()
        ready.register(process.stdout, select.POLLIN)
        if self._unsent and seconds and process.stdin is not None:
            ready.register(process.stdin, select.POLLOUT)
        events = ready.poll(1000 * seconds)
        if all(descriptor != process.stdout.fileno() for descriptor, _ in events):
            self._send()
            return bool(events)
        said = os.read(process.stdout.fileno(), _READ)
        self._answer += said
        # Nothing at its end; and one that says something else is none of ours.
        if not said or said.strip(b"\x00\x01"):
            self._lost()
        while self._asked and len(self._answer) >= (size := len(self._asked[0].signed)):
            fitting, self._answer = self._answer[:size], self._answer[size:]
            self._asked.popleft().fitting = [one == 1 for one in fitting]
        if self._answer and not self._asked:
            self._lost()
        return True

    def _lost(self) -> None:
        """End the process, if there is one: what it was asked is checked here."""
        process, self._process = self._process, None
        self._waiting.extendleft(reversed(self._asked))
        self._asked.clear()
        self._answer = self._unsent = b""
        if process is None:
            return
        beside.end(process)
        beside.close(process)
