"""Statements: what a hospital says later of records that it published, as records in the very lanes of those.

So whoever can read a record finds what was said of it, sealed and signed as the record is, and nobody else. A statement
counts for its own hospital's records only. Reading is total and bounded.
Follows docs/spec/formats.md (`panachain/statement/1`), ADR 28 and, for what was erased, ADR 59.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from panachain.errors import IntegrityError, UsageError
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
MAX_WHY: Final = 500
"""Characters of what a hospital says to a patient whose wish it refuses."""
SALT_SIZE: Final = 16
"""Bytes that make the digest of an attestation one that nobody can guess."""
_VERSION: Final = 1
_MOST_NUMBER: Final = (1 << 53) - 1


@dataclass(frozen=True)
class ErasedHeader:
    """What a statement says of one record that is erased, beside its content's CID."""

    header: CID
    """Of the header that the record had last: how people name it."""
    stored_at: int
    """When it was published: Unix seconds, by the hospital's clock."""


@dataclass(frozen=True)
class Attestation:
    """A hospital's word that records are gone from every store that it runs: it looked for each of their blocks."""

    contents: tuple[CID, ...]
    """The sealed contents of the records, as the statement that erased them names them."""
    at: int
    """When it looked: Unix seconds, by the hospital's clock."""
    blocks: int
    """How many blocks it deleted and looked for."""
    stores: int
    """In how many stores."""
    salt: bytes
    """`SALT_SIZE` random bytes: nobody finds out by trying whether something on chain attests a certain record."""


@dataclass(frozen=True)
class Refusal:
    """Why a hospital doesn't erase what its patient asked it to."""

    contents: tuple[CID, ...]
    """The sealed contents of the records."""
    why: str
    """At most `MAX_WHY` characters."""


@dataclass(frozen=True)
class Statement:
    """What a hospital says of records of its own."""

    reason: Reason | None = None
    """Why they are withdrawn; None where none is."""
    withdraws: tuple[CID, ...] = ()
    """The sealed contents of the records: a content stays what it is when its record is re-wrapped."""
    newer: tuple[Version, ...] = ()
    """Versions of resources that lie in another category or year than older ones in the statement's lanes."""
    erased: tuple[ErasedHeader, ...] = ()
    """Of a statement whose reason is that its records were erased: as many as it withdraws, in their order."""
    attests: Attestation | None = None
    """What was erased and is gone."""
    refuses: Refusal | None = None
    """What a patient asked to have erased and isn't."""

    def encode(self) -> bytes:
        """Return the content of the statement's record.

        Raises:
            UsageError: it names another number of headers than it erases, or says more than it may.
        """
        if len(self.erased) != (len(self.withdraws) if self.reason is Reason.ERASED else 0):
            raise UsageError("a statement names as many headers as it erases records")
        if self.refuses is not None and len(self.refuses.why) > MAX_WHY:
            raise UsageError(f"a reason has at most {MAX_WHY} characters, this one has {len(self.refuses.why)}")
        fields: dict[str, object] = {
            "v": _VERSION,
            "reason": None if self.reason is None else self.reason.value,
            "withdraws": list(self.withdraws),
            "newer": [to_row(VersionList(0, False, self.newer))] if self.newer else [],
        }
        # Only where they are needed: what programs of before ADR 59 wrote, and what they can read, stays as it is.
        if self.erased:
            fields["erased"] = [[one.header, one.stored_at] for one in self.erased]
        if self.attests is not None:
            said = self.attests
            fields["attests"] = [list(said.contents), said.at, said.blocks, said.stores, said.salt]
        if self.refuses is not None:
            fields["refuses"] = [list(self.refuses.contents), self.refuses.why]
        return dagcbor.encode(fields)

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
            erased = tuple(_erased(*row) for row in fields.get("erased", ()))
            if len(erased) != (len(fields["withdraws"]) if reason is Reason.ERASED else 0):
                raise IntegrityError("a statement names another number of headers than it erases records")
            return cls(
                reason,
                tuple(fields["withdraws"]),
                tuple(newer),
                erased,
                _attestation(*fields["attests"]) if "attests" in fields else None,
                _refusal(*fields["refuses"]) if "refuses" in fields else None,
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise IntegrityError("a statement lacks a field or has one of the wrong type") from exc


def _erased(header: Any, stored_at: Any) -> ErasedHeader:
    if not isinstance(header, CID):
        raise TypeError("erased")
    return ErasedHeader(header, _number(stored_at))


def _attestation(contents: Any, at: Any, blocks: Any, stores: Any, salt: Any) -> Attestation:
    if not isinstance(salt, bytes) or len(salt) != SALT_SIZE:
        raise TypeError("salt")
    return Attestation(_cids(contents), _number(at), _number(blocks), _number(stores), salt)


def _refusal(contents: Any, why: Any) -> Refusal:
    if not isinstance(why, str) or len(why) > MAX_WHY:
        raise TypeError("why")
    return Refusal(_cids(contents), why)


def _cids(values: Any) -> tuple[CID, ...]:
    if not isinstance(values, list) or not 0 < len(values) <= MAX_RECORDS:
        raise TypeError("contents")
    if not all(isinstance(cid, CID) for cid in values):
        raise TypeError("contents")
    return tuple(values)


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _MOST_NUMBER:
        raise TypeError("number")
    return value
