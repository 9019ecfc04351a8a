"""The sealed terms of a patient's own policies, kept beside the profile so that nobody has to be asked for them again.

They are the very blocks that the store has, sealed to the grantee and the patient, so the disk learns nothing new; the
chain, the seed and the store give them back when they are lost. Without them a store would see which policies are asked
for together, and a revocation would have to find out whose share it takes back. Follows security rules 5, 9 and 19.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from panachain.private_files import make_private_folder, write_private

MAX_SIZE: Final = 4 << 20
"""Bytes of sealed terms that are read: more than 4,096 lanes take."""
_LOG: Final = logging.getLogger(__name__)


class KeptTerms:
    """The folder `terms` of one profile."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; it is made when something is kept."""
        self._folder = folder

    def get(self, index: int) -> bytes | None:
        """Return the sealed terms of the policy of one number, unchecked; None if they aren't here."""
        try:
            with self._path(index).open("rb") as file:
                found = file.read(MAX_SIZE + 1)
        except OSError:
            return None
        return found if len(found) <= MAX_SIZE else None

    def keep(self, index: int, sealed: bytes) -> None:
        """Keep the sealed terms of the policy of one number; a disk that refuses costs a question later."""
        try:
            make_private_folder(self._folder)
            write_private(self._path(index), sealed)
        except OSError as exc:
            _LOG.debug("terms aren't kept: %s", exc.strerror)

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:08d}.sealed"
