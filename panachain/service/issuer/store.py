"""How many tokens each patient had in a period; nothing else is kept, and that for two periods only.

Follows docs/spec/relay.md, section "Tokens".
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from panachain.chain.issuing import TokenRequest
from panachain.service.database import Place, open_durable

_LOCK: Final = 3
"""Of issuers among the services: one of them uses a PostgreSQL database."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS issued (
    period {number} NOT NULL, patient TEXT NOT NULL, request {bytes} NOT NULL, count {number} NOT NULL,
    PRIMARY KEY (period, patient, request)
) {ordered};
"""


class IssuerStore:
    """The database of one issuer; its threads may all use it."""

    def __init__(self, place: Place | Path) -> None:
        """Open or create it; a file is made 0600.

        Raises:
            DiskError: it can't be opened, or another issuer uses the PostgreSQL database.
            ConfigurationError: its URL can't be used.
        """
        self._durable = open_durable(
            place, _SCHEMA, what="the issuer's database", lock=_LOCK, refusal="nothing was signed"
        )

    def close(self) -> None:
        """Close it."""
        self._durable.close()

    def take(self, request: TokenRequest, *, most: int) -> bool:
        """Count a request's tokens, once however often it comes, and tell whether its patient may have them.

        Raises:
            DiskError: it can't be written; nothing may be signed.
        """
        whose = (request.period, request.patient)
        with self._durable.writing() as db:
            db.run("DELETE FROM issued WHERE period < ?", (request.period - 1,))
            # An answer that was lost is given again: the signatures are the same, and no more tokens come of them.
            known = "SELECT 1 FROM issued WHERE period = ? AND patient = ? AND request = ?"
            if db.run(known, (*whose, request.digest)).fetchone():
                return True
            total = "SELECT coalesce(sum(count), 0) FROM issued WHERE period = ? AND patient = ?"
            had = int(db.run(total, whose).fetchone()[0])
            if had + len(request.blinded) > most:
                return False
            db.run("INSERT INTO issued VALUES (?, ?, ?, ?)", (*whose, request.digest, len(request.blinded)))
            return True
