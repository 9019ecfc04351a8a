"""One suite of HPKE: it is the draft's, it opens for its key and its use alone, and says nothing of its keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.bindings._rust import openssl

from panachain.crypto import hpke
from panachain.errors import IntegrityError, UsageError

VECTORS = Path(__file__).parents[2] / "vectors"
DRAFT = json.loads((VECTORS / "hpke_draft.json").read_text("utf-8"))
"""draft-ietf-hpke-pq, test vector of MLKEM768-X25519, HKDF-SHA256, ChaCha20-Poly1305, with its first message."""
GO = json.loads((VECTORS / "hpke_go.json").read_text("utf-8"))
KEY = hpke.SealingKey(bytes(range(32)))
STRANGER = hpke.SealingKey(bytes(range(1, 33)))
INFO = b"panachain/test/1"


def test_a_key_is_the_drafts() -> None:
    assert (DRAFT["kem_id"], DRAFT["kdf_id"], DRAFT["aead_id"]) == (0x647A, 1, 3)
    assert hpke.SealingKey(bytes.fromhex(DRAFT["skRm"])).public.hex() == DRAFT["pkRm"]


def test_the_suite_opens_the_drafts_message() -> None:
    key = hpke.SealingKey(bytes.fromhex(DRAFT["skRm"]))
    message = DRAFT["encryptions"][0]
    sealed, aad = bytes.fromhex(DRAFT["enc"] + message["ct"]), bytes.fromhex(message["aad"])
    # The draft's messages have associated data and ours have none, so the same suite is asked below the wrapper.
    opened = openssl.hpke._decrypt_with_aad(hpke._SUITE, sealed, key._inner, bytes.fromhex(DRAFT["info"]), aad)
    assert opened.hex() == message["pt"]


def test_opens_what_go_sealed() -> None:
    key = hpke.SealingKey(bytes(range(64, 96)))
    assert key.public.hex() == GO["public"]
    for one in GO["messages"]:
        assert hpke.open_(key, bytes.fromhex(one["sealed"]), one["info"].encode()).hex() == one["plain"]


def test_what_is_sealed_opens_for_its_key_and_its_use_alone() -> None:
    sealed = hpke.seal(KEY.public, b"for one reader", INFO)
    assert hpke.open_(KEY, sealed, INFO) == b"for one reader"
    with pytest.raises(IntegrityError):
        hpke.open_(STRANGER, sealed, INFO)
    with pytest.raises(IntegrityError):
        hpke.open_(KEY, sealed, INFO + b"/other")


def test_sizes_are_what_formats_count_with() -> None:
    assert len(KEY.public) == hpke.SEALING_SIZE == 1216
    assert len(hpke.seal(KEY.public, bytes(32), INFO)) == hpke.SEAL_OVERHEAD + 32 == 1168


def test_no_two_seals_are_the_same() -> None:
    assert hpke.seal(KEY.public, bytes(32), INFO)[:64] != hpke.seal(KEY.public, bytes(32), INFO)[:64]


def test_no_changed_byte_is_accepted() -> None:
    sealed = hpke.seal(KEY.public, bytes(32), INFO)
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(IntegrityError):
            hpke.open_(KEY, bytes(changed), INFO)


@pytest.mark.parametrize("size", [0, 1, 1088, 1120, 1135])
def test_a_short_seal_is_refused(size: int) -> None:
    with pytest.raises(IntegrityError, match="at least 1136 bytes"):
        hpke.open_(KEY, bytes(size), INFO)


@pytest.mark.parametrize("key", [b"", bytes(33), KEY.public[:-1], KEY.public + b"\0", b"\xff" * 1216])
def test_what_is_no_public_key_is_refused(key: bytes) -> None:
    with pytest.raises(IntegrityError):
        hpke.check_public(key)
    with pytest.raises(IntegrityError):
        hpke.seal(key, bytes(32), INFO)


@pytest.mark.parametrize("point", [bytes(32), bytes([1]).ljust(32, b"\0"), b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_nothing_is_sealed_to_a_point_of_small_order(point: bytes) -> None:
    for refuse in (hpke.check_public, lambda key: hpke.seal(key, bytes(32), INFO)):
        with pytest.raises(IntegrityError, match="nothing can be sealed"):
            refuse(KEY.public[:1184] + point)


@pytest.mark.parametrize("seed", [b"", bytes(31), bytes(33), bytes(64)])
def test_a_key_has_32_bytes(seed: bytes) -> None:
    with pytest.raises(UsageError, match="32 bytes"):
        hpke.SealingKey(seed)


def test_no_two_fresh_keys_are_the_same_and_none_shows_itself() -> None:
    assert hpke.SealingKey.random().public != hpke.SealingKey.random().public
    assert repr(KEY) == "SealingKey()"
