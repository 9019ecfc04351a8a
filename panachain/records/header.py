"""Headers and envelopes: how a reader of one lane gets from a row of a manifest to a record's key and content.

A header is random-looking to everybody without a locator key: even the public can't tell which envelope it
belongs to, so two headers of one patient can't be linked. It never carries a content key, and doesn't say under which
brief IDs it is found: those change when manifests are merged.
Follows docs/spec/formats.md (`panachain/header/3`, `panachain/envelope/3`), design sections 3, 5 and 7, and ADR 36.

    header    = 0x03 ‖ salt (16) ‖ 4 slots of 80 bytes ‖ sealed body
    slot i    = AES-256-GCM(HKDF(hospital's locator key of lane i, salt), header key ‖ envelope digest)
    body      = AES-256-GCM(header key, padded(signature (64) ‖ fields))
    fields    = dag-cbor list, in the order of `_read`
    envelope  = 0x03 ‖ 4 wraps of the masked envelope key (crypto/commit.py), one for each lane of the path
    inventory = stream(inventory key, padded dag-cbor list): type, size and digest of each of the envelope's contents

Unused slots hold random bytes, unused wraps what nothing tells from a wrap and nobody opens, so that nothing shows how
many lanes a path has, and nothing is found in them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

from panachain.crypto import box, kdf, labels, padding, umbral
from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.signatures import Signatures
from panachain.errors import IntegrityError
from panachain.ethereum import checksum_address
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, RAW, spell
from panachain.model.actors import Address
from panachain.model.frozen import frozen
from panachain.model.records import RecordInfo
from panachain.model.scope import Category
from panachain.model.sizes import KEY_SIZE

VERSION: Final = 3
"""Of a header."""
ENVELOPE_VERSION: Final = 3
SALT_SIZE: Final = 16
"""Bytes of a header's salt, which makes the keys of its slots its own."""
SLOTS: Final = 4
"""The longest path: all, category, category/year, emergency."""
SLOT_SIZE: Final = 80
"""Bytes: 32 of key, 32 of digest, 16 of GCM tag."""
BODY_SIZE: Final = 448
"""Bytes of a padded body, unless it names several headers that it replaces or an unusual media type: so that a header's
size tells neither whether its record is alone in its envelope nor whether it was re-wrapped."""
MAX_HEADER: Final = 1 << 16
"""Bytes; larger headers are refused before any work is done."""
_MOST_NUMBER: Final = (1 << 63) - 1
_FIELDS: Final = 16
"""Of a header's body, in the order of `_read`. Without their names, which would be the half of it."""
_OWN: Final = slice(5, 10)
"""Those that each header has for itself: size, digest, time, content, index."""
_CONTENT: Final = 8
"""The content's CID among them."""
_SIXTEEN: Final = b"\x90"
"""What a list of as many items as there are fields begins with (RFC 8949, section 3.1)."""
_LAST_YEAR: Final = 9999
"""That a date can have (RFC 3339): another one could be shown nowhere."""
_LAST_SECOND: Final = 253_402_300_799
"""Of that year, in Unix seconds."""
_CATEGORIES: Final = {one.value: one for one in Category}
_BODY_START: Final = 1 + SALT_SIZE + SLOTS * SLOT_SIZE
ENVELOPE_SIZE: Final = 1 + SLOTS * umbral.WRAP_SIZE


@dataclass(frozen=True)
class HospitalLane:
    """One lane, as a paired hospital knows it."""

    public: bytes
    """The lane's Umbral public key, 33 bytes."""
    locator_key: bytes = field(repr=False)
    """This hospital's own locator key of the lane, 32 bytes."""
    pepper: bytes = field(repr=False)
    """This hospital's own pepper of the lane, 32 bytes."""
    generation: int = 0
    """Number of the rotation that began the lane."""


@dataclass(frozen=True)
class Header:
    """An opened header, its signature checked."""

    info: RecordInfo
    patient: Address
    commitment: bytes
    """Commitment to the envelope key, 32 bytes."""
    content: CID
    """Where the sealed content lies."""
    wrap_index: int
    """Which of the envelope's wraps belongs to the reader's lane."""
    inventory: CID | None
    """Where the list of everything under the same envelope lies; None when this record is all of it."""
    head: bytes
    """The content stream's header, 40 bytes, when parts of the content can be read by themselves; else empty."""
    signature: bytes
    """The hospital's, checked, 64 bytes."""
    replaces: tuple[CID, ...] = ()
    """The headers that this one stands for since the record was re-wrapped, oldest first."""
    epoch: int = 0
    """How many rotations the patient had made when the envelope was wrapped."""
    locator_key: bytes = field(default=b"", repr=False)
    """The hospital's own locator key of the lane that found it, 32 bytes."""


def seal_envelope(envelope_key: EnvelopeKey, lanes: Sequence[HospitalLane]) -> bytes:
    """Return the envelope block: `envelope_key`, masked and wrapped once to each lane of a path.

    Args:
        envelope_key: of the envelope.
        lanes: of the path, widest first, as the publishing hospital knows them.
    """
    wraps = [umbral.wrap(lane.public, envelope_key.masked(lane.pepper)) for lane in lanes]
    wraps += [umbral.wrap_nothing() for _ in range(SLOTS - len(lanes))]
    return bytes([ENVELOPE_VERSION]) + b"".join(wraps)


def wrap_at(envelope: bytes, index: int) -> bytes:
    """Return one wrap of an envelope block.

    Raises:
        IntegrityError: the block is no envelope of this version.
    """
    if len(envelope) != ENVELOPE_SIZE or envelope[0] != ENVELOPE_VERSION:
        raise IntegrityError(
            f"envelope of {len(envelope)} bytes, expected {ENVELOPE_SIZE} of version {ENVELOPE_VERSION}"
        )
    # By the index that the header's slot had: a reader needn't try all wraps, each of which costs a curve
    # multiplication.
    start = 1 + index * umbral.WRAP_SIZE
    return envelope[start : start + umbral.WRAP_SIZE]


def seal_header(
    info: RecordInfo,
    *,
    patient: Address,
    commitment: bytes,
    inventory: CID | None,
    head: bytes,
    locator_keys: Sequence[bytes],
    signer: umbral.Signer,
    replaces: Sequence[CID] = (),
    epoch: int | None = None,
    slot_keys: Sequence[Callable[[bytes], bytes]] | None = None,
    content: CID | None = None,
) -> bytes:
    """Return the header block of one record.

    Args:
        info: what readers are told; `header_cid` isn't known yet and is left out.
        patient: whose record it is.
        commitment: the envelope key's commitment, 32 bytes.
        inventory: CID of the envelope's sealed inventory, or None for its only record.
        head: the content stream's header, or empty.
        locator_keys: the hospital's own of the lanes of the record's path, 32 bytes each, widest first.
        signer: the hospital's, whose public key stands in the ActorRegistry.
        replaces: the headers of the same record before it was re-wrapped, oldest first.
        epoch: of the envelope; None for that of the content, `info.generation`.
        slot_keys: `slot_keys` of each of the locator keys, for whoever makes many headers.
        content: what `info.content_cid` spells, for whoever has it.
    """
    header_key = os.urandom(KEY_SIZE)
    envelope_digest = _envelope_digest(info.envelope_cid)
    # Random, and not from what names the record: two headers of one lane must have nothing in common.
    salt = os.urandom(SALT_SIZE)
    made = [_slot_key(one, salt) for one in locator_keys] if slot_keys is None else [key(salt) for key in slot_keys]
    sealed_slots = [box.aead_one(key, header_key + envelope_digest, labels.HEADER_SLOT) for key in made]
    # A sealed slot looks like random bytes, so unused ones can't be told from those of lanes.
    sealed_slots += [os.urandom(SLOT_SIZE) for _ in range(SLOTS - len(locator_keys))]
    # What most headers of an envelope share is encoded once, with the head of a list of all fields before it.
    content = CID.parse(info.content_cid) if content is None else content
    own = [info.size, info.digest, info.stored_at, content, info.content_index]
    epoch = info.generation if epoch is None else epoch
    fields = b"".join(
        (
            _beginning(info.hospital, patient, info.category.value, info.year, info.media_type),
            dagcbor.encode(own)[1:],
            _end(info.generation, commitment, inventory, head, tuple(replaces), epoch),
        )
    )
    # The envelope is signed too but not repeated in the fields: it is in the slots, where a reader without the lane
    # can't see which headers share one.
    signature = signer.sign(_signed(fields, envelope_digest))
    sealed_body = box.aead_one(header_key, padding.pad(signature + fields, BODY_SIZE), labels.HEADER_BODY)
    return bytes([VERSION]) + salt + b"".join(sealed_slots) + sealed_body


def slot_keys(locator_key: bytes) -> Callable[[bytes], bytes]:
    """Return what makes a locator key's key of a slot from a header's salt: for many headers."""
    return kdf.deriver(locator_key, labels.HEADER_SLOT)


@lru_cache(maxsize=16)
def _beginning(hospital: Address, patient: Address, category: str, year: int, media_type: str) -> bytes:
    """Return how the fields of a header begin."""
    first = [bytes.fromhex(hospital[2:]), bytes.fromhex(patient[2:]), category, year, media_type]
    return _SIXTEEN + dagcbor.encode(first)[1:]


@lru_cache(maxsize=16)
def _end(
    generation: int, commitment: bytes, inventory: CID | None, head: bytes, replaces: tuple[CID, ...], epoch: int
) -> bytes:
    """Return how the fields of a header end."""
    return dagcbor.encode([generation, commitment, inventory, head, list(replaces), epoch])[1:]


def open_header(
    block: bytes, *, cid: CID, hospital: Address, locator_key: bytes, verifying_key: bytes, likely: int = 0
) -> Header:
    """Open a header with one lane's locator key, and check the hospital's signature.

    Args:
        block: the header, already checked against `cid`.
        cid: the header's CID.
        hospital: the hospital whose manifest named the header.
        locator_key: that hospital's own locator key of the reader's lane.
        verifying_key: the hospital's Umbral signer, from the ActorRegistry.
        likely: which slot is tried first: all headers of a lane have it in the same place.

    Raises:
        IntegrityError: no slot opens, the body doesn't decode, or the signature or a field doesn't fit.
    """
    # Before anything is derived: the block comes from anybody's store.
    _check_size(block, cid)
    slot_key = _slot_key(locator_key, block[1 : 1 + SALT_SIZE])
    wrap_index, envelope_digest, plain = _unsealed(block, slot_key, cid, likely)
    signature, encoded = plain[: umbral.SIGNATURE_SIZE], plain[umbral.SIGNATURE_SIZE :]
    # Before the fields are decoded: what isn't the hospital's is never parsed.
    umbral.verify(verifying_key, _signed(encoded, envelope_digest), signature)
    return _read(dagcbor.decode(encoded), _Found(cid, hospital, locator_key, wrap_index, envelope_digest, signature))


def begin_headers(
    blocks: Sequence[tuple[CID, bytes]],
    *,
    hospital: Address,
    locator_key: bytes,
    verifying_key: bytes,
    signatures: Signatures,
    likely: int = 0,
) -> Callable[[], list[Header | None]]:
    """Begin to open many headers, and return what gives for each what `open_header` returns, or None if it refuses it.

    In steps, each for all of them: so signatures, which take most of the time, are checked beside the rest, and Python,
    which one thread at a time can run, stands in no other's way.

    Args:
        blocks: each header's CID, and the header, already checked against it.
        hospital: as `open_header`.
        locator_key: as `open_header`.
        verifying_key: as `open_header`.
        signatures: checks them.
        likely: as `open_header`.
    """
    slot_key = kdf.deriver(locator_key, labels.HEADER_SLOT)
    signed: list[tuple[bytes, bytes]] = []
    unsealed: list[tuple[int, bytes, _Found]] = []
    for place, (cid, block) in enumerate(blocks):
        try:
            _check_size(block, cid)
            likely, envelope_digest, plain = _unsealed(block, slot_key(block[1 : 1 + SALT_SIZE]), cid, likely)
        except IntegrityError:
            continue
        signature, encoded = plain[: umbral.SIGNATURE_SIZE], plain[umbral.SIGNATURE_SIZE :]
        if len(signature) == umbral.SIGNATURE_SIZE:
            signed.append((_signed(encoded, envelope_digest), signature))
            unsealed.append((place, encoded, _Found(cid, hospital, locator_key, likely, envelope_digest, signature)))
    try:
        fitting = signatures.begin(verifying_key, signed)
    except IntegrityError:
        # The hospital's key isn't one.
        return lambda: [None] * len(blocks)
    return lambda: _signed_ones(unsealed, fitting(), len(blocks))


def _signed_ones(
    unsealed: Sequence[tuple[int, bytes, _Found]], fitting: Sequence[bool], count: int
) -> list[Header | None]:
    """Return those of some headers that their hospital signed, each in its place among `count`."""
    headers: list[Header | None] = [None] * count
    # As above: what isn't the hospital's is never parsed.
    for place, values, found in _decoded([one for one, fits in zip(unsealed, fitting, strict=True) if fits]):
        try:
            headers[place] = _read(values, found)
        except IntegrityError:
            continue
    return headers


def _decoded(unsealed: Sequence[tuple[int, bytes, _Found]]) -> list[tuple[int, Any, _Found]]:
    """Return the fields of those that have any, each where its encoding was. Only what its hospital signed is parsed.

    All their CIDs are spelled at once.
    """
    fields = _Fields()
    decoded: list[tuple[int, Any, _Found]] = []
    cids: list[CID] = []
    for place, encoded, found in unsealed:
        try:
            values = fields.decoded(encoded)
        except IntegrityError:
            continue
        decoded.append((place, values, found))
        cids.append(found.cid)
        if isinstance(values, list) and len(values) == _FIELDS and isinstance(values[_CONTENT], CID):
            cids.append(values[_CONTENT])
    spell(cids)
    return decoded


def open_header_of(
    block: bytes, *, cid: CID, hospital: Address, locator_key: bytes, verifying_keys: Sequence[bytes], likely: int = 0
) -> Header:
    """Open a header that is signed with one of several keys of its hospital, as after a change of its keys.

    Args:
        block: as `open_header`.
        cid: as `open_header`.
        hospital: as `open_header`.
        locator_key: as `open_header`.
        verifying_keys: those that may have signed it, at least one; the first that fits counts.
        likely: as `open_header`.

    Raises:
        IntegrityError: none fits, or the header isn't one.
    """
    *most, last = verifying_keys
    opened = partial(open_header, block, cid=cid, hospital=hospital, locator_key=locator_key, likely=likely)
    for key in most:
        with suppress(IntegrityError):
            return opened(verifying_key=key)
    return opened(verifying_key=last)


class _Found(NamedTuple):
    """What is known of a header before its fields are read."""

    cid: CID
    hospital: Address
    locator_key: bytes
    wrap_index: int
    envelope_digest: bytes
    signature: bytes


def _check_size(block: bytes, cid: CID) -> None:
    if not _BODY_START < len(block) <= MAX_HEADER or block[0] != VERSION:
        raise IntegrityError(f"header {cid} of {len(block)} bytes isn't of version {VERSION}")


def _unsealed(block: bytes, slot_key: bytes, cid: CID, likely: int) -> tuple[int, bytes, bytes]:
    """Return which slot opened, the envelope's digest, and signature ‖ fields."""
    # Others are of another lane, or unused: the reader can't know which of the four is theirs.
    slots = block[1 + SALT_SIZE : _BODY_START]
    opened = box.open_any(slot_key, slots, SLOT_SIZE, labels.HEADER_SLOT, likely=likely)
    if opened is None:
        raise IntegrityError(f"header {cid} opens with none of its {SLOTS} slots")
    index, slot = opened
    plain = padding.unpad(box.open_one(slot[:KEY_SIZE], block[_BODY_START:], labels.HEADER_BODY), BODY_SIZE)
    return index, slot[KEY_SIZE:], plain


class _Fields:
    """Decodes the fields of one header after the other.

    Most of them are those of the header before: of its hospital, patient, category and year, and of its envelope. What
    is byte for byte the same, whole fields of it, isn't decoded again.
    """

    def __init__(self) -> None:
        self._beginning, self._end = b"", b""
        self._first: list[Any] = []
        self._last: list[Any] = []

    def decoded(self, encoded: bytes) -> Any:
        """Return what `dagcbor.decode` returns.

        Raises:
            IntegrityError: as that.
        """
        beginning, end = self._beginning, self._end
        # Bytes can't be of both: so short a header isn't one.
        if self._first and encoded.startswith(beginning) and encoded.endswith(end, len(beginning)):
            # There is one encoding of each value: so five fields between the others' bytes are the five between them.
            own = encoded[len(beginning) : len(encoded) - len(end)]
            try:
                return [*self._first, *dagcbor.decode_items(own, _OWN.stop - _OWN.start), *self._last]
            except IntegrityError:
                return dagcbor.decode(encoded)
        values = dagcbor.decode(encoded)
        if isinstance(values, list) and len(values) == _FIELDS:
            self._first, self._last = values[: _OWN.start], values[_OWN.stop :]
            self._beginning = encoded[:1] + dagcbor.encode(self._first)[1:]
            self._end = dagcbor.encode(self._last)[1:]
        return values


def _read(values: Any, found: _Found) -> Header:
    """Return the header whose fields these are.

    Raises:
        IntegrityError: they aren't what a reader takes them for: a hospital's signature doesn't say so.
    """
    cid = found.cid
    try:
        publisher, patient, category, year, kind, size, digest, at, content, index, generation, *rest = values
        commitment, inventory, head, replaces, epoch = rest
        # A bool is an int in Python, but not here.
        if not (type(year) is type(size) is type(at) is type(index) is type(generation) is type(epoch) is int):
            raise TypeError("numbers")
        if not (0 <= year <= _LAST_YEAR and 0 <= at <= _LAST_SECOND and 0 <= size <= _MOST_NUMBER):
            raise ValueError("a number that no hospital means")
        if not (0 <= index <= _MOST_NUMBER and 0 <= generation <= _MOST_NUMBER and 0 <= epoch <= _MOST_NUMBER):
            raise ValueError("a number that no hospital means")
        if not (type(digest) is type(commitment) is type(head) is bytes and type(kind) is str):
            raise TypeError("bytes or text")
        if publisher != _raw(found.hospital):
            raise IntegrityError(f"header {cid} was published for another hospital")
        return frozen(
            Header,
            info=frozen(
                RecordInfo,
                hospital=found.hospital,
                category=_CATEGORIES[category],
                year=year,
                media_type=kind,
                size=size,
                digest=digest,
                stored_at=at,
                header_cid=str(cid),
                content_cid=str(_cid(content)),
                envelope_cid=_envelope_text(found.envelope_digest),
                content_index=index,
                generation=generation,
            ),
            content=content,
            patient=checksum_address(patient),
            commitment=commitment,
            wrap_index=found.wrap_index,
            inventory=None if inventory is None else _cid(inventory),
            head=head,
            signature=found.signature,
            replaces=tuple([_cid(one) for one in replaces]) if replaces != [] else (),
            epoch=epoch,
            locator_key=found.locator_key,
        )
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as exc:
        raise IntegrityError(f"header {cid} lacks a field or has one of the wrong type") from exc


@lru_cache(maxsize=256)
def _raw(address: Address) -> bytes:
    return bytes.fromhex(address[2:])


@lru_cache(maxsize=256)
def _envelope_text(digest: bytes) -> str:
    # One for each record of an envelope.
    return str(CID(RAW, digest))


def _slot_key(locator_key: bytes, salt: bytes) -> bytes:
    return kdf.derive(locator_key, labels.HEADER_SLOT, salt)


@lru_cache(maxsize=256)
def _envelope_digest(text: str) -> bytes:
    # One for each record of an envelope.
    return CID.parse(text).digest


def _signed(fields: bytes, envelope_digest: bytes) -> bytes:
    return labels.HEADER_SIGNATURE + envelope_digest + fields


def _cid(value: Any) -> CID:
    if not isinstance(value, CID):
        raise IntegrityError("a header names something else where a CID must stand")
    return value
