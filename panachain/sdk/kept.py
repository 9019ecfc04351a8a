"""What an actor keeps for themselves on this machine, so that it needn't be found again: sealed under their seed.

Nothing of it decides anything, and all of it can be lost: it is found again from the seed, the chains and the store.
So a file that is missing, damaged or somebody else's is as good as none; one that can't be written is told in the log.
Follows docs/spec/cli.md, section "State on disk".
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

from panachain.crypto import kdf, labels, stream
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError
from panachain.ipld import dagcbor
from panachain.private_files import make_private_folder, write_private

_LOG: Final = logging.getLogger(__name__)
MAXIMUM_SIZE: Final = 64 << 20
"""Bytes of a file that is read."""


class Kept:
    """One sealed file of an actor's profile."""

    def __init__(self, profile: Path, seed: Seed, name: str) -> None:
        """Take the profile's folder, the actor's seed, and the file's name; nothing is read yet."""
        self._path = profile / "kept" / f"{name}.sealed"
        self._key = kdf.derive(seed.store_key(), labels.KEPT, name.encode())

    def read(self) -> Any:
        """Return what was kept, as DAG-CBOR has it, or None."""
        try:
            if self._path.stat().st_size > MAXIMUM_SIZE:
                raise IntegrityError(f"more than {MAXIMUM_SIZE} bytes")
            plain = stream.open_(self._path.read_bytes(), self._key, labels.KEPT)
            return dagcbor.decode(plain, limit=MAXIMUM_SIZE)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, IntegrityError) as exc:
            _LOG.warning("%s can't be read (%s), and is made anew", self._path, exc)
            return None

    def write(self, content: Any) -> None:
        """Keep something in place of what was kept."""
        try:
            make_private_folder(self._path.parent)
            write_private(self._path, stream.seal(dagcbor.encode(content), self._key, labels.KEPT))
        except OSError as exc:
            _LOG.warning("%s can't be written (%s): what it would hold is found again each time", self._path, exc)


def kept_names(profile: Path, prefix: str) -> list[str]:
    """Return the names of what is kept in a profile's folder that begin with a prefix, in order."""
    return sorted(path.name.removesuffix(".sealed") for path in (profile / "kept").glob(f"{prefix}*.sealed"))
