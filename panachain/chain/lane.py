"""An account's nonce lane on this machine: whose turn it is, and what was sent that isn't mined yet.

What was sent is remembered until it is mined, so that a transaction which nodes dropped comes back before the next one
is sent, and a nonce isn't given away twice. A file that can't be read is as good as an empty one: a transaction that
counts stands in a journal of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final

from panachain.private_files import open_private

_MOST: Final = 1 << 22
"""Bytes that are read of a file; a transaction has at most 128 KiB."""


class Lane:
    """One account's transactions to one chain, for all threads and processes of this machine."""

    _locks: ClassVar[dict[str, threading.Lock]] = {}

    def __init__(self, folder: Path, chain_id: int, address: str) -> None:
        """Take the folder where processes agree, and whose lane it is."""
        self._name = f"{chain_id}-{address}"
        # Hashed: the folder doesn't list accounts in the clear.
        self._path = folder / f"{hashlib.sha256(self._name.encode()).hexdigest()[:16]}.lock"

    @contextmanager
    def turn(self) -> Iterator[dict[int, str]]:
        """Wait for this account's other threads and processes; yield what waits to be mined, to read and to change.

        Yields:
            The raw transaction of each nonce; what is in it when the turn ends, is remembered.
        """
        lock = self._locks.setdefault(self._name, threading.Lock())
        with lock, open(open_private(self._path, os.O_RDWR), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            before = file.read(_MOST)
            sent = _read(before)
            try:
                yield sent
            finally:
                after = json.dumps(sent).encode() if sent else b""
                if after != before:
                    file.seek(0)
                    file.truncate()
                    file.write(after)


def _read(content: bytes) -> dict[int, str]:
    try:
        return {int(nonce): str(raw) for nonce, raw in json.loads(content or b"{}").items()}
    except (ValueError, AttributeError, RecursionError):
        return {}
