"""What proxies signed about a patient's policies, kept as it was checked, so that only what is new is asked for.

Sealed under the patient's seed, a file for each policy: who read what is nobody's business on this machine either. What
is read from there was checked before it was sealed. All of it can be lost: the proxies are asked for everything again.
Follows docs/spec/proxy.md (section "Clients") and ADR 25.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from panachain.crypto.keys import Seed
from panachain.ethereum import checksum_address
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import LogHead, Receipt, ReceiptKind
from panachain.model.sizes import HASH_SIZE, SIGNATURE_SIZE
from panachain.sdk.kept import Kept

_VERSION: Final = 1
_KINDS: Final = {kind.code: kind for kind in ReceiptKind}


@dataclass(frozen=True)
class Statement:
    """A receipt that was checked, with what it tells the patient only."""

    receipt: Receipt
    detail: bytes | None = field(default=None, repr=False)
    """Its detail as JSON, opened; None where it couldn't be read, or wasn't tried."""


@dataclass(frozen=True)
class Told:
    """All that one proxy signed about one policy, up to a head of its log."""

    statements: tuple[Statement, ...]
    """In the order of the proxy's log."""
    upto: int
    """How many receipts its log had before it was read: everything up to there is here."""
    at: int
    """When that was, Unix seconds."""

    @property
    def has_deleted(self) -> bool:
        """Whether the proxy signed that it deleted what it held of the policy."""
        return any(one.receipt.kind is ReceiptKind.DELETED for one in self.statements)

    def before(self) -> int:
        """Return the sequence from which on to ask again: that of the newest receipt that must come back, less one."""
        known = [one.receipt.sequence for one in self.statements if one.receipt.sequence <= self.upto]
        return known[-1] - 1 if known else self.upto


class KeptReceipts:
    """What was kept of one patient's log."""

    def __init__(self, profile: Path, seed: Seed, *, domain: bytes) -> None:
        """Take the profile's folder, the patient's seed, and the domain of the access log that judges receipts."""
        self._profile = profile
        self._seed = seed
        self._domain = domain

    def of(self, index: int, policy_id: PolicyId) -> dict[Address, Told]:
        """Return what is kept about the policy of one number, by proxy."""
        content = self._read(_name(index))
        try:
            if content is None or content["policy"] != _raw(policy_id):
                return {}
            return {checksum_address(raw): _told(raw, policy_id, fields) for raw, fields in content["proxies"]}
        except _MALFORMED:
            return {}

    def keep(self, index: int, policy_id: PolicyId, told: Mapping[Address, Told]) -> None:
        """Keep what the proxies signed about a policy, in place of what was kept."""
        fields = {"policy": _raw(policy_id), "proxies": [[_raw(name), _fields(one)] for name, one in told.items()]}
        self._write(_name(index), fields)

    def heads(self) -> dict[Address, LogHead]:
        """Return the newest head of each proxy's log that was seen."""
        content = self._read("heads")
        try:
            return {} if content is None else {head.proxy: head for head in map(_head, content["heads"])}
        except _MALFORMED:
            return {}

    def keep_heads(self, heads: Mapping[Address, LogHead]) -> None:
        """Keep the newest heads, in place of those that were kept."""
        rows = [[_raw(one.proxy), one.sequence, one.head, one.signature] for one in heads.values()]
        self._write("heads", {"heads": rows})

    def checkpoints(self) -> dict[Address, bytes]:
        """Return the newest checkpoint of each proxy's log that was proven, as its note."""
        content = self._read("checkpoints")
        try:
            return {} if content is None else {checksum_address(raw): _note(note) for raw, note in content["notes"]}
        except _MALFORMED:
            return {}

    def keep_checkpoints(self, found: Mapping[Address, bytes]) -> None:
        """Keep checkpoints, in place of those that were kept."""
        self._write("checkpoints", {"notes": [[_raw(proxy), note] for proxy, note in found.items()]})

    def _read(self, name: str) -> Any:
        content = self._kept(name).read()
        try:
            # Of another chain or access log, or an older program's: as good as none.
            return content if content is not None and content["log"] == [_VERSION, self._domain] else None
        except (KeyError, TypeError):
            return None

    def _write(self, name: str, fields: dict[str, Any]) -> None:
        self._kept(name).write({"log": [_VERSION, self._domain], **fields})

    def _kept(self, name: str) -> Kept:
        return Kept(self._profile, self._seed, f"receipts-{name}")


_MALFORMED: Final = (AttributeError, KeyError, TypeError, ValueError)


def _name(index: int) -> str:
    return f"{index:08d}"


def _raw(address: str) -> bytes:
    return bytes.fromhex(address[2:])


def _fields(told: Told) -> dict[str, Any]:
    rows = []
    for one in told.statements:
        said = one.receipt
        signed = [said.sequence, said.previous, said.kind.code, said.at, said.block, said.count]
        rows.append([*signed, said.detail, said.signature, one.detail])
    return {"upto": told.upto, "at": told.at, "rows": rows}


def _told(raw: bytes, policy_id: PolicyId, fields: Any) -> Told:
    proxy = checksum_address(raw)
    statements = []
    for sequence, previous, kind, at, block, count, detail, signature, opened in fields["rows"]:
        for number in (sequence, at, block, count):
            _number(number)
        if not isinstance(detail, bytes) or not isinstance(opened, bytes | None):
            raise TypeError("not what was written here")
        receipt = Receipt(
            proxy=proxy,
            sequence=sequence,
            previous=_sized(previous, HASH_SIZE),
            kind=_KINDS[kind],
            policy_id=policy_id,
            at=at,
            block=block,
            count=count,
            detail=detail,
            signature=_sized(signature, SIGNATURE_SIZE),
        )
        statements.append(Statement(receipt, opened))
    return Told(tuple(statements), _number(fields["upto"]), _number(fields["at"]))


def _head(row: Any) -> LogHead:
    raw, sequence, head, signature = row
    return LogHead(checksum_address(raw), _number(sequence), _sized(head, HASH_SIZE), _sized(signature, SIGNATURE_SIZE))


def _note(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("not what was written here")
    return value


def _number(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("not what was written here")
    return value


def _sized(value: Any, size: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != size:
        raise TypeError("not what was written here")
    return value
