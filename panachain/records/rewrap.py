"""Orders: what patients ask of hospitals about records that are published (design section 8, R4; ADR 34).

To re-wrap, after they rotated lanes:

The patient opens each old envelope and wraps its key to the lanes as they are now; the hospital, which can open no
envelope, publishes the same records again under new headers, and forgets the old ones. The content stays where it is.
A reader who opened an envelope before keeps what they saw: no order changes that.

To re-seal, so that records lie in another category: the patient hands the key of their envelope over, the hospital
publishes them again under a fresh one, and deletes what was there. The order says too which resources it is about, so
that the hospital can keep later uploads of them where the patient wants them.

To erase (ADR 59), with the same fields but for the category: the hospital deletes what it names, publishes again what
stays under the envelope, and publishes these resources no more.
Follows docs/spec/formats.md (`panachain/rewrap/2`).

    block = shared box to (hospital, patient) of signature ‖ dag-cbor of the version's fields
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from panachain.crypto import box, labels, umbral
from panachain.crypto.hpke import SealingKey
from panachain.errors import IntegrityError, TooLargeError, UsageError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, DAG_PB, RAW
from panachain.model.scope import Category, Scope
from panachain.model.sizes import KEY_SIZE
from panachain.records import header
from panachain.records.version_list import VersionList, from_rows, to_row
from panachain.records.versions import Version

MAX_HEADERS: Final = 800
"""Records of one order, so that it is one block of less than a mebibyte."""
_VERSION: Final = 3
_WITH_EMERGENCY: Final = 4
"""The version of an order of which a row says so: a program that doesn't know it would publish it without that lane."""
_RESEAL: Final = 5
"""The version of an order to re-seal."""
_ERASE: Final = 6
"""The version of one to erase: a program that doesn't know it publishes nothing of that patient's before it does."""
_SIGNATURE: Final = umbral.SIGNATURE_SIZE
_NAME_SIZE: Final = 16
"""Bytes of a resource's name in an order to re-seal, which may be about very many."""
_DIGEST_SIZE: Final = 32
_MAX_BLOCK: Final = 1_000_000
"""Bytes of an order: what every store takes as one block."""


@dataclass(frozen=True)
class Move:
    """One record that shall get a new header."""

    header: CID
    """Of the old header."""
    locator_key: bytes = field(repr=False)
    """The hospital's own locator key of a lane that finds it, 32 bytes."""
    envelope: bytes = field(repr=False)
    """The new envelope block; equal for all records of one envelope."""
    emergency: bool = False
    """Whether it is wrapped to the emergency lane although its category as a whole isn't."""


@dataclass(frozen=True)
class Reseal:
    """Records of one envelope that shall lie in another category."""

    to: Category | None
    """Where they shall lie, in the year in which they do; None if they shall be erased."""
    scope: Scope
    """Category and year where they lie."""
    envelope_key: bytes = field(repr=False)
    """32 bytes; it opens all of the envelope, which the hospital published."""
    leaves: Mapping[CID, bool]
    """The sealed contents that go, each with whether it stays too: a file that a record names which stays."""
    emergency: bool = False
    """Whether the envelope is wrapped to the emergency lane although its category as a whole isn't."""
    names: frozenset[bytes] = frozenset()
    """What tells the resources in them (`name_of`)."""
    digests: frozenset[bytes] = frozenset()
    """SHA-256 of those that aren't FHIR."""
    here: tuple[Version, ...] = ()
    """Versions that go, of resources of which older ones stay: who reads those must be told that they are old."""
    there: tuple[Version, ...] = ()
    """Versions that stay, of resources of which older ones go."""


@dataclass(frozen=True)
class Wishes:
    """Into which categories a patient asked for what, at one hospital."""

    names: Mapping[bytes, Category] = field(default_factory=dict)
    """By what tells a resource."""
    digests: Mapping[bytes, Category] = field(default_factory=dict)
    """By the SHA-256 of what isn't FHIR."""
    erased: frozenset[bytes] = frozenset()
    """What tells the resources, or the bytes of what isn't FHIR, that the patient wants published no more."""

    @classmethod
    def of(cls, orders: Iterable[Reseal]) -> Wishes:
        """Return what orders ask for; of two about the same the later one counts."""
        names, digests, erased = dict[bytes, Category](), dict[bytes, Category](), set[bytes]()
        for order in orders:
            if order.to is None:
                erased |= order.names | order.digests
                continue
            erased -= order.names | order.digests
            names |= dict.fromkeys(order.names, order.to)
            digests |= dict.fromkeys(order.digests, order.to)
        return cls(names, digests, frozenset(erased))


NO_WISHES: Final = Wishes()
"""Those of a patient who never asked for anything."""


def name_of(version: Version) -> bytes:
    """Return what tells a resource in an order: a part of the SHA-256 of type and id, or of its URN."""
    return sha256(version.name.encode()).digest()[:_NAME_SIZE]


def seal_order(moves: Sequence[Move], *, hospital_key: bytes, patient_key: bytes, signer: umbral.Signer) -> bytes:
    """Return an order, signed by the patient and sealed to the hospital and to the patient too.

    Args:
        moves: at most `MAX_HEADERS`.
        hospital_key: the hospital's sealing key, 1,216 bytes.
        patient_key: the patient's own.
        signer: the patient's.
    """
    # Each once, although many records share one: an envelope is larger than all the rest of a row.
    envelopes = list(dict.fromkeys(move.envelope for move in moves))
    places = {envelope: place for place, envelope in enumerate(envelopes)}
    rows = [[move.header, move.locator_key, places[move.envelope]] for move in moves]
    version = _WITH_EMERGENCY if any(move.emergency for move in moves) else _VERSION
    if version == _WITH_EMERGENCY:
        rows = [[*row, move.emergency] for row, move in zip(rows, moves, strict=True)]
    body = dagcbor.encode({"v": version, "envelopes": envelopes, "headers": rows})
    return _sealed(body, [hospital_key, patient_key], signer)


def seal_reseal(order: Reseal, *, hospital_key: bytes, patient_key: bytes, signer: umbral.Signer) -> bytes:
    """Return an order to re-seal, signed and sealed as `seal_order` does.

    Raises:
        TooLargeError: it is about more resources than one order can name.
    """
    body = dagcbor.encode(
        {
            "v": _ERASE if order.to is None else _RESEAL,
            "to": None if order.to is None else order.to.value,
            "scope": order.scope.text,
            "key": order.envelope_key,
            "leaves": [[content, stays] for content, stays in order.leaves.items()],
            "emergency": order.emergency,
            "names": b"".join(sorted(order.names)),
            "digests": b"".join(sorted(order.digests)),
            **{
                name: [to_row(VersionList(0, False, versions))] if versions else []
                for name, versions in (("here", order.here), ("there", order.there))
            },
        }
    )
    if len(body) > _MAX_BLOCK:
        raise TooLargeError(
            f"the order would take {len(body):,} bytes, at most {_MAX_BLOCK:,} are one block",
            size=len(body),
            limit=_MAX_BLOCK,
        )
    return _sealed(body, [hospital_key, patient_key], signer)


def _sealed(body: bytes, readers: Sequence[bytes], signer: umbral.Signer) -> bytes:
    return box.seal_to_each(readers, signer.sign(labels.REWRAP + body) + body, labels.REWRAP)


def open_order(block: bytes, *, secret: SealingKey, verifying_key: bytes) -> list[Move] | Reseal:
    """Open and check an order: to re-wrap records, to re-seal some, or to erase some.

    Raises:
        IntegrityError: it doesn't open, isn't the patient's, or is malformed.
    """
    plain = box.open_shared(secret, block, labels.REWRAP, readers=2)
    signature, body = plain[:_SIGNATURE], plain[_SIGNATURE:]
    umbral.verify(verifying_key, labels.REWRAP + body, signature)
    fields = dagcbor.decode(body)
    try:
        if fields["v"] in (_RESEAL, _ERASE):
            return _reseal(fields)
        version, rows = fields["v"], fields["headers"]
        if version not in (_VERSION, _WITH_EMERGENCY) or len(rows) > MAX_HEADERS:
            raise IntegrityError("the order is of another version, or too long")
        return list(
            _moves(fields["envelopes"], rows if version == _WITH_EMERGENCY else [[*row, False] for row in rows])
        )
    except (KeyError, TypeError, ValueError, IndexError, UsageError) as exc:
        raise IntegrityError("the order lacks a field or has one of the wrong type") from exc


def _reseal(fields: Mapping[str, Any]) -> Reseal:
    scope, key, leaves = Scope.parse(fields["scope"]), fields["key"], dict[CID, bool]()
    if "/" not in scope.text or not isinstance(key, bytes) or len(key) != KEY_SIZE:
        raise TypeError("scope")
    for content, stays in fields["leaves"]:
        # The root of a file of ours, which is fetched.
        if not isinstance(content, CID) or content.codec not in (RAW, DAG_PB) or type(stays) is not bool:
            raise TypeError("leaves")
        leaves[content] = stays
    if not leaves or type(fields["emergency"]) is not bool:
        raise TypeError("emergency")
    if (fields["to"] is None) != (fields["v"] == _ERASE):
        raise TypeError("to")
    return Reseal(
        None if fields["to"] is None else Category.parse(fields["to"]),
        scope,
        key,
        leaves,
        fields["emergency"],
        names=frozenset(_cut(fields["names"], _NAME_SIZE)),
        digests=frozenset(_cut(fields["digests"], _DIGEST_SIZE)),
        here=_versions(fields["here"]),
        there=_versions(fields["there"]),
    )


def _cut(packed: Any, size: int) -> list[bytes]:
    if not isinstance(packed, bytes) or len(packed) % size:
        raise TypeError("names")
    return [packed[start : start + size] for start in range(0, len(packed), size)]


def _versions(rows: Sequence[Any]) -> tuple[Version, ...]:
    return tuple(version for one in from_rows(rows) for version in one.versions)


def _moves(envelopes: Sequence[bytes], rows: Sequence[Sequence[object]]) -> Iterator[Move]:
    for cid, locator_key, place, emergency in rows:
        # A negative place would count from the end, and take another envelope.
        if not isinstance(cid, CID) or cid.codec != RAW or type(place) is not int or place < 0:
            raise TypeError("header")
        if not isinstance(locator_key, bytes) or type(emergency) is not bool:
            raise TypeError("keys")
        # Checked here: a hospital publishes it as it is.
        header.wrap_at(envelopes[place], 0)
        yield Move(cid, locator_key, envelopes[place], emergency)
