"""How many tokens each patient had in a period; nothing else is kept, and that for two periods only.

Follows docs/spec/relay.md, section "Tokens".
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Final

from panachain.chain.issuing import TokenRequest
from panachain.errors import DiskError
from panachain.service.sqlite import all_or_nothing, open_durable

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS issued (
    period INTEGER NOT NULL, patient TEXT NOT NULL, request BLOB NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (period, patient, request)
) WITHOUT ROWID;
"""


class IssuerStore:
    """The database of one issuer; its threads may all use it."""

    def __init__(self, path: Path) -> None:
        """Open or create it (0600).

        Raises:
            DiskError: it can't be opened.
        """
        self._lock = threading.Lock()
        try:
            self._db = open_durable(path, _SCHEMA)
        except (OSError, sqlite3.Error) as exc:
            raise DiskError(f"the issuer's database {path} can't be opened: {exc}") from exc

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def take(self, request: TokenRequest, *, most: int) -> bool:
        """Count a request's tokens, once however often it comes, and tell whether its patient may have them.

        Raises:
            DiskError: it can't be written; nothing may be signed.
        """
        with all_or_nothing(self._db, self._lock, "the issuer's database refuses: {error}; nothing was signed"):
            return self._take(request, most)

    def _take(self, request: TokenRequest, most: int) -> bool:
        whose = (request.period, request.patient)
        self._db.execute("DELETE FROM issued WHERE period < ?", (request.period - 1,))
        # An answer that was lost is given again: the signatures are the same, and no more tokens come of them.
        known = "SELECT 1 FROM issued WHERE period = ? AND patient = ? AND request = ?"
        if self._db.execute(known, (*whose, request.digest)).fetchone():
            return True
        total = "SELECT coalesce(sum(count), 0) FROM issued WHERE period = ? AND patient = ?"
        had = int(self._db.execute(total, whose).fetchone()[0])
        if had + len(request.blinded) > most:
            return False
        self._db.execute("INSERT INTO issued VALUES (?, ?, ?, ?)", (*whose, request.digest, len(request.blinded)))
        return True
