"""Orders to re-wrap: what patients ask of hospitals after they rotated lanes (design section 8, R4).

The patient opens each old envelope and wraps its key to the lanes as they are now; the hospital, which can open no
envelope, publishes the same records again under new headers, and forgets the old ones. The content stays where it is.
A reader who opened an envelope before keeps what they saw: no order changes that.
Follows docs/spec/formats.md (`panachain/rewrap/3`).

    block = shared box to (hospital, patient) of signature ‖ dag-cbor {v, envelopes, headers}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from panachain.crypto import box, labels, umbral
from panachain.errors import IntegrityError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, RAW
from panachain.records import header

MAX_HEADERS: Final = 800
"""Records of one order, so that it is one block of less than a mebibyte."""
_VERSION: Final = 3
_WITH_EMERGENCY: Final = 4
"""The version of an order of which a row says so: a program that doesn't know it would publish it without that lane."""
_SIGNATURE: Final = umbral.SIGNATURE_SIZE


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


def seal_order(moves: Sequence[Move], *, receiving_key: bytes, patient_key: bytes, signer: umbral.Signer) -> bytes:
    """Return an order, signed by the patient and sealed to the hospital and to the patient too.

    Args:
        moves: at most `MAX_HEADERS`.
        receiving_key: the hospital's, 33 bytes.
        patient_key: the patient's own, 33 bytes.
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
    return box.seal_to_each([receiving_key, patient_key], signer.sign(labels.REWRAP + body) + body, labels.REWRAP)


def open_order(block: bytes, *, secret: umbral.SecretKey, verifying_key: bytes) -> list[Move]:
    """Open and check an order.

    Raises:
        IntegrityError: it doesn't open, isn't the patient's, or is malformed.
    """
    plain = box.open_shared(secret, block, labels.REWRAP, readers=2)
    signature, body = plain[:_SIGNATURE], plain[_SIGNATURE:]
    umbral.verify(verifying_key, labels.REWRAP + body, signature)
    fields = dagcbor.decode(body)
    try:
        version, rows = fields["v"], fields["headers"]
        if version not in (_VERSION, _WITH_EMERGENCY) or len(rows) > MAX_HEADERS:
            raise IntegrityError("the order is of another version, or too long")
        return list(
            _moves(fields["envelopes"], rows if version == _WITH_EMERGENCY else [[*row, False] for row in rows])
        )
    except (KeyError, TypeError, ValueError, IndexError) as exc:
        raise IntegrityError("the order lacks a field or has one of the wrong type") from exc


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
