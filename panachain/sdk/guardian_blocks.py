"""Blocks about guardians: invitations of a patient, the question of a new device, and a guardian's answer to it.

Never decides who is a guardian: a commitment on the sidechain does. Whoever sees a block learns neither a name nor how
many guardians there are. Follows docs/spec/recovery.md, section "Guardians", and ADR 54.

    invitations   dag-cbor { v: 1, own: stream under the patient's key, to: [box, …] }    8 or 16, some of nobody
    question      dag-cbor { v: 1, account: whose seed is asked for, key: a one-time sealing key }
    answer        box to that key
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from panachain.chain.contracts.guardianships import guardian_commitment
from panachain.crypto import box, kdf, labels, padding, stream
from panachain.crypto.hpke import SealingKey
from panachain.crypto.keys import Seed
from panachain.crypto.shares import spoken
from panachain.errors import IntegrityError, ShareDamagedError, UsageError
from panachain.ethereum import checksum_address
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID
from panachain.model.actors import Address
from panachain.model.guardianship import MOST, GuardianProof

ASK: Final = "panachain/ask/1"
"""How the line of a question begins, as people pass it on."""
ANSWER: Final = "panachain/answer/1"
MAXIMUM_SIZE: Final = 1 << 16
"""Bytes of such a block that are looked at; invitations to 16 have some 42,000."""
CODE_WORDS: Final = 5
"""Words that are read out: 50 bits, each guess of which costs 32 MiB and a tenth of a second."""
_COST: Final = 1 << 15
"""Rounds of scrypt: 32 MiB."""
_PLACES: Final = (8, MOST)
"""Boxes and commitments of a list: few guardians look alike, and so do many."""
_SALT: Final = 32
"""bytes"""
_BOX: Final = 1024
"""Bytes that an invitation is padded to before it is sealed."""
_OWN: Final = 4096
"""Bytes that the patient's own part is padded to."""
_NAME: Final = 200
"""Characters of a name that are read."""
_PREFIX: Final = 4
_LINE: Final = re.compile(r"(?:(panachain/(?:ask|answer)/1)\s+)?(b[a-z2-7]{50,70})")


@dataclass(frozen=True)
class Named:
    """A guardian, as the patient named them."""

    address: Address
    name: str
    """What the patient called them then."""
    key: bytes
    """The sealing key that an invitation goes to; empty where it isn't needed."""
    digest: bytes = b""
    """Of the key block with that key, 32 bytes; empty in lists that didn't say it."""


@dataclass(frozen=True)
class Invitation:
    """What a guardian is told."""

    patient: Address
    proof: GuardianProof
    threshold: int
    share: str = field(repr=False)
    """Of the patient's seed, as text (`panachain/share/1`)."""


def seal_invitations(
    patient: Address, seed: Seed, guardians: Sequence[Named], shares: Sequence[str], threshold: int
) -> tuple[list[bytes], bytes]:
    """Return the commitments, ascending, and the block of invitations.

    Args:
        patient: who names them.
        seed: the patient's; they find their own list with it.
        guardians: at most 16.
        shares: one for each of them, as text.
        threshold: how many move the patient, and restore the seed.
    """
    places = next(size for size in _PLACES if len(guardians) <= size)
    salts = [secrets.token_bytes(_SALT) for _ in guardians]
    own = [guardian_commitment(patient, one.address, salt) for one, salt in zip(guardians, salts, strict=True)]
    commitments = sorted([*own, *(secrets.token_bytes(_SALT) for _ in range(places - len(own)))])
    boxes = []
    for one, salt, commitment, share in zip(guardians, salts, own, shares, strict=True):
        told = {
            "v": 1,
            "patient": _raw(patient),
            "place": commitments.index(commitment),
            "salt": salt,
            "threshold": threshold,
            "share": share,
        }
        boxes.append(_seal(one.key, told))
    # Sealed to keys that nobody has.
    boxes += [_seal(SealingKey.random().public, {}) for _ in range(places - len(boxes))]
    secrets.SystemRandom().shuffle(boxes)
    listed = {
        "v": 1,
        "threshold": threshold,
        "guardians": [[one.name, _raw(one.address)] for one in guardians],
        "keys": [one.digest for one in guardians],
    }
    sealed = stream.seal(padding.pad(dagcbor.encode(listed), _OWN), _own_key(seed), labels.GUARDIANS)
    return commitments, dagcbor.encode({"v": 1, "own": sealed, "to": boxes})


def open_own(block: bytes, seed: Seed) -> list[Named]:
    """Return whom a patient named, from their own invitations.

    Raises:
        IntegrityError: they are somebody else's, or damaged.
    """
    try:
        sealed = _block(block)["own"]
        listed = dagcbor.decode(padding.unpad(stream.open_(sealed, _own_key(seed), labels.GUARDIANS), _OWN))
        named = listed["guardians"][:MOST]
        digests = [bytes(one) for one in listed.get("keys", [b""] * len(named))[:MOST]]
        return [
            Named(checksum_address(one), str(name)[:_NAME], b"", digest)
            for (name, one), digest in zip(named, digests, strict=True)
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise IntegrityError("the list of guardians can't be read") from exc


def open_invitation(
    block: bytes, secret: SealingKey, *, patient: Address, guardian: Address, commitments: Sequence[bytes]
) -> Invitation | None:
    """Return the invitation that is sealed to a guardian and fits what the chain has; None if there is none.

    Args:
        block: what the patient announced.
        secret: the guardian's sealing key.
        patient: who announced it, by the chain.
        guardian: the guardian's account.
        commitments: what the chain has.

    Raises:
        IntegrityError: it is no block of invitations.
    """
    boxes = _block(block).get("to")
    if not isinstance(boxes, list) or not all(isinstance(one, bytes) for one in boxes):
        raise IntegrityError("a block of invitations has no boxes")
    for sealed in boxes[:MOST]:
        try:
            told = dagcbor.decode(padding.unpad(box.open_box(secret, sealed, labels.GUARDIAN_INVITATION), _BOX))
            proof = GuardianProof(tuple(commitments), told["place"], told["salt"])
            # Anybody can seal an invitation to anybody: the chain says whether it is the patient's.
            fits = commitments[proof.place] == guardian_commitment(patient, guardian, proof.salt)
            if type(proof.place) is int and proof.place >= 0 and fits and told["patient"] == _raw(patient):
                return Invitation(patient, proof, int(told["threshold"]), str(told["share"]))
        except (IntegrityError, KeyError, TypeError, ValueError, IndexError, AttributeError):
            # Another guardian's, or nobody's.
            continue
    return None


def question(account: Address, key: bytes) -> bytes:
    """Return the block by which a new device asks for shares of an account's seed, sealed to a one-time key."""
    return dagcbor.encode({"v": 1, "account": _raw(account), "key": key})


def read_question(block: bytes) -> tuple[Address, bytes]:
    """Return whose seed is asked for, and the one-time key.

    Raises:
        IntegrityError: it is no question.
    """
    fields = _block(block)
    try:
        account, key = checksum_address(fields["account"]), fields["key"]
    except (KeyError, TypeError) as exc:
        raise IntegrityError("this is no question of a device that lost its seed") from exc
    if not isinstance(key, bytes):
        raise IntegrityError("the question has no key")
    return account, key


def seal_answer(asked: CID, key: bytes, share: str) -> bytes:
    """Return a share for the device that asked.

    Raises:
        IntegrityError: its key is none.
    """
    told = dagcbor.encode({"v": 1, "ask": asked.digest, "share": share})
    return box.seal_to(key, padding.pad(told, _BOX), labels.GUARDIAN_ANSWER)


def open_answer(block: bytes, secret: SealingKey, asked: CID) -> str:
    """Return the text of the share in an answer.

    Raises:
        ShareDamagedError: it is sealed to another device, answers another question, or is damaged.
    """
    try:
        told = dagcbor.decode(padding.unpad(box.open_box(secret, block, labels.GUARDIAN_ANSWER), _BOX))
        share, fits = told["share"], told["ask"] == asked.digest
    except (IntegrityError, KeyError, TypeError, ValueError):
        share, fits = None, False
    if not fits or not isinstance(share, str):
        raise ShareDamagedError("this answer is for another question than this device's, or damaged")
    return share


def line(kind: str, cid: CID) -> str:
    """Return how people pass a question or an answer on."""
    return f"{kind} {cid}"


def read_line(text: str, kind: str) -> CID:
    """Return the CID in a line that somebody passed on.

    Raises:
        UsageError: there is none, or it is of the other kind.
    """
    found = _LINE.search(text[:1024])
    if found is None or found[1] not in (None, kind):
        raise UsageError(f"{text[:80]!a} isn't a line that begins with {kind}")
    try:
        return CID.parse(found[2])
    except (ValueError, IntegrityError):
        raise UsageError(f"{text[:80]!a} holds no CID") from None


@lru_cache(maxsize=16)
def code_of(asked: CID) -> tuple[str, ...]:
    """Return the words by which two people know that they mean the same question: 50 bits of scrypt (RFC 7914)."""
    stretched = hashlib.scrypt(
        asked.digest, salt=labels.GUARDIAN_CODE, n=_COST, r=8, p=1, maxmem=1 << 26, dklen=2 * CODE_WORDS
    )
    return spoken(stretched)


def is_code(typed: str, asked: CID) -> bool:
    """Tell whether somebody typed the words of a question; four letters of each are enough."""
    given = [word.lower()[:_PREFIX] for word in re.split(r"[^A-Za-z]+", typed[:200]) if word]
    true = [word[:_PREFIX] for word in code_of(asked)]
    return hmac.compare_digest(" ".join(given).encode(), " ".join(true).encode())


def _seal(key: bytes, told: Mapping[str, Any]) -> bytes:
    return box.seal_to(key, padding.pad(dagcbor.encode(dict(told)), _BOX), labels.GUARDIAN_INVITATION)


def _own_key(seed: Seed) -> bytes:
    return kdf.derive(seed.store_key(), labels.GUARDIANS)


def _block(block: bytes) -> dict[str, Any]:
    if len(block) > MAXIMUM_SIZE:
        raise IntegrityError(f"a block of {len(block)} bytes, where {MAXIMUM_SIZE} are looked at")
    try:
        fields = dagcbor.decode(block)
    except ValueError as exc:
        raise IntegrityError("the block can't be read") from exc
    if not isinstance(fields, dict) or fields.get("v") != 1:
        raise IntegrityError("the block is of another kind or version")
    return fields


def _raw(address: Address) -> bytes:
    return bytes.fromhex(address[2:])
