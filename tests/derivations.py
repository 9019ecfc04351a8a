"""Key stores whose derivation is paid for once: for tests of which scrypt's cost is no claim.

Files are as always, with the full cost, so that programs of their own open them as they open a person's. But within one
process all have one salt, and what was derived from a passphrase is remembered: a development network with its persons
derives two keys in place of eighteen, a third of a second each.

Never for a test of the key store itself: tests/unit/crypto/test_keystore.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final
from unittest.mock import patch

from panachain.crypto import keystore

_SALT: Final = os.urandom(keystore._KEY_SIZE)
_derived = lru_cache(maxsize=64)(keystore._derive)


class _OneSalt:
    """The module `os`, as key stores see it: whatever is as long as a salt is this process's salt."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def urandom(self, size: int) -> bytes:
        return _SALT if size == len(_SALT) else os.urandom(size)


@contextmanager
def remembered_derivations() -> Iterator[None]:
    """Let key stores of this process, in all its threads, be locked and opened at the cost of the first."""
    with patch.object(keystore, "os", _OneSalt()), patch.object(keystore, "_derive", _derived):
        yield
