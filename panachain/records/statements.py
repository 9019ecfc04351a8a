"""Statements: what a hospital says later of records that it published, as records in the very lanes of those.

So whoever can read a record finds what was said of it, sealed and signed as the record is, and nobody else. A statement
counts for its own hospital's records only. Reading is total and bounded.
Follows docs/spec/formats.md (`panachain/statement/1`) and ADR 28.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from panachain.errors import IntegrityError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID
from panachain.model.records import Reason
from panachain.records.version_list import VersionList, from_rows, to_row
from panachain.records.versions import Version

MAX_SIZE: Final = 1 << 20
"""Bytes of a statement."""
MAX_RECORDS: Final = 10_000
"""Records that one statement withdraws."""
MAX_NEWER: Final = 2000
"""Versions that one statement names when a hospital of ours writes it: they fit, however long their names are."""
_VERSION: Final = 1


@dataclass(frozen=True)
class Statement:
    """What a hospital says of records of its own."""

    reason: Reason | None = None
    """Why they are withdrawn; None where none is."""
    withdraws: tuple[CID, ...] = ()
    """The sealed contents of the records: a content stays what it is when its record is re-wrapped."""
    newer: tuple[Version, ...] = ()
    """Versions of resources that lie in another category or year than older ones in the statement's lanes."""

    def encode(self) -> bytes:
        """Return the content of the statement's record."""
        return dagcbor.encode(
            {
                "v": _VERSION,
                "reason": None if self.reason is None else self.reason.value,
                "withdraws": list(self.withdraws),
                "newer": [to_row(VersionList(0, False, self.newer))] if self.newer else [],
            }
        )

    @classmethod
    def decode(cls, content: bytes) -> Statement:
        """Read the content of a statement's record.

        Raises:
            IntegrityError: it is no statement, or says more than one may.
        """
        fields: Any = dagcbor.decode(content, limit=MAX_SIZE)
        try:
            if fields["v"] != _VERSION or len(fields["withdraws"]) > MAX_RECORDS:
                raise IntegrityError(f"a statement is of version {fields['v']!r}, or names too many records")
            if not all(isinstance(cid, CID) for cid in fields["withdraws"]):
                raise TypeError("withdraws")
            reason = None if fields["reason"] is None else Reason(fields["reason"])
            if reason is None and fields["withdraws"]:
                raise IntegrityError("a statement withdraws records without a reason")
            newer = [version for one in from_rows(fields["newer"]) for version in one.versions]
            return cls(reason, tuple(fields["withdraws"]), tuple(newer))
        except (KeyError, TypeError, ValueError) as exc:
            raise IntegrityError("a statement lacks a field or has one of the wrong type") from exc
