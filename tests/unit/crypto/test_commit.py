"""The commitment tells envelope keys apart, nothing derived from one equals another, and a mask hides the key."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.crypto import keys
from panachain.crypto.commit import EnvelopeKey
from panachain.errors import IntegrityError, UsageError
from panachain.model.actors import Address
from panachain.model.scope import Scope

BYTES = st.binary(min_size=32, max_size=32)
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "pepper.json").read_text("utf-8"))


def test_commitment_tells_keys_apart_and_is_no_content_key() -> None:
    key = EnvelopeKey(bytes(32))
    assert key.commitment != EnvelopeKey(bytes(31) + b"\1").commitment
    assert len({key.commitment, key.inventory_key(), *(key.content_key(i) for i in range(9))}) == 11


def test_everything_follows_from_the_key_alone() -> None:
    first, second = EnvelopeKey(b"k" * 32), EnvelopeKey(b"k" * 32)
    assert (first.commitment, first.inventory_key(), first.content_key(5)) == (
        second.commitment,
        second.inventory_key(),
        second.content_key(5),
    )
    assert {len(first.commitment), len(first.inventory_key()), len(first.content_key(0))} == {32}


def xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def expanded(key: bytes, label: bytes, context: bytes) -> bytes:
    """HKDF-Expand-SHA256 of one block, RFC 5869 section 2.3, by the standard library alone."""
    return hmac.digest(key, bytes([len(label)]) + label + context + b"\1", hashlib.sha256)


@pytest.mark.parametrize("vector", VECTORS["masks"], ids=lambda vector: f"{vector['scope']} {vector['generation']}")
def test_what_a_wrap_holds_never_changes(vector: dict[str, str]) -> None:
    lane = keys.Seed(bytes(range(32))).pepper(Scope.parse(vector["scope"]), int(vector["generation"]))
    pepper = keys.hospital_key(lane, Address(vector["hospital"]))
    key = EnvelopeKey(bytes.fromhex(vector["envelope_key"]))
    stated = {
        "lane_pepper": lane.hex(),
        "pepper": pepper.hex(),
        "commitment": key.commitment.hex(),
        "message": key.masked(pepper).hex(),
    }
    assert stated == {name: vector[name] for name in stated}
    # The same anew, as docs/spec/formats.md says it.
    assert pepper == hmac.digest(lane, bytes.fromhex(vector["hospital"][2:]), hashlib.sha256)
    assert key.commitment == expanded(key.key, b"panachain/1/envelope/commitment", b"")
    assert key.masked(pepper) == xor(key.key, expanded(pepper, b"panachain/envelope/3/mask", key.commitment))
    assert EnvelopeKey.unmasked(key.masked(pepper), pepper=pepper, commitment=key.commitment).key == key.key


@given(key=BYTES, pepper=BYTES)
def test_the_mask_comes_off_with_the_pepper_and_the_commitment(key: bytes, pepper: bytes) -> None:
    made = EnvelopeKey(key)
    message = made.masked(pepper)
    assert len(message) == 32
    assert message != key
    assert EnvelopeKey.unmasked(message, pepper=pepper, commitment=made.commitment).key == key


@given(key=BYTES, pepper=BYTES, other=BYTES, changed=st.integers(0, 255))
def test_nothing_comes_off_with_anything_else(key: bytes, pepper: bytes, other: bytes, changed: int) -> None:
    made = EnvelopeKey(key)
    message, commitment = made.masked(pepper), made.commitment
    flip = (1 << changed).to_bytes(32, "big")
    attempts = [
        (xor(message, flip), pepper, commitment),
        (message, xor(pepper, flip), commitment),
        (message, pepper, xor(commitment, flip)),
        # The key in the clear is none either: nobody can leave the mask out.
        (key, pepper, commitment),
    ]
    if other != pepper:
        attempts.append((message, other, commitment))
    for told, under, stated in attempts:
        with pytest.raises(IntegrityError, match="isn't the one its hospital committed to"):
            EnvelopeKey.unmasked(told, pepper=under, commitment=stated)


@given(pepper=BYTES, chosen=st.sets(BYTES, min_size=2, max_size=12))
def test_no_mask_is_used_for_two_keys(pepper: bytes, chosen: set[bytes]) -> None:
    """With one, the XOR of two messages would be the XOR of two keys."""
    made = [EnvelopeKey(key) for key in sorted(chosen)]
    masks = {xor(one.key, one.masked(pepper)) for one in made}
    assert len(masks) == len(made)
    for one, other in itertools.combinations(made, 2):
        assert xor(one.masked(pepper), other.masked(pepper)) != xor(one.key, other.key)


@given(key=BYTES, pepper=BYTES)
def test_the_same_key_under_the_same_pepper_gives_the_same_message(key: bytes, pepper: bytes) -> None:
    """So an envelope that is wrapped again tells nothing that the first wrap didn't."""
    assert EnvelopeKey(key).masked(pepper) == EnvelopeKey(key).masked(pepper)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_pepper_has_32_bytes(size: int) -> None:
    key = EnvelopeKey(b"k" * 32)
    with pytest.raises(UsageError, match=f"a pepper has 32 bytes, got {size}"):
        key.masked(bytes(size))
    with pytest.raises(UsageError, match="a pepper has 32 bytes"):
        EnvelopeKey.unmasked(bytes(32), pepper=bytes(size), commitment=key.commitment)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_what_a_stranger_wrote_has_another_size_and_is_refused(size: int) -> None:
    with pytest.raises(IntegrityError, match=f"got {size}"):
        EnvelopeKey.unmasked(bytes(size), pepper=bytes(32), commitment=bytes(32))
    with pytest.raises(IntegrityError, match=f"commitment of {size} bytes"):
        EnvelopeKey.unmasked(bytes(32), pepper=bytes(32), commitment=bytes(size))


HOSPITALS = st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex()))


@given(lane=BYTES, one=HOSPITALS, other=HOSPITALS)
def test_a_hospitals_own_pepper_gives_no_other_hospitals(lane: bytes, one: Address, other: Address) -> None:
    mine, theirs = keys.hospital_key(lane, one), keys.hospital_key(lane, other)
    assert (mine == theirs) == (one == other)
    assert theirs not in (lane, keys.hospital_key(mine, other), keys.hospital_key(mine, one))
