"""Keys, boxes, padding, compression and the key store."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from panachain.crypto import box, compress, keys, keystore, padding
from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.kdf import derive
from panachain.errors import IntegrityError, LockedError, UsageError
from panachain.model.scope import Category, Scope

SEED = keys.Seed(bytes(range(32)))


def test_derivation_is_the_same_each_time_and_different_for_each_use() -> None:
    again = keys.Seed(bytes(range(32)))
    secrets = [
        SEED.account_key(),
        SEED.store_key(),
        SEED.policy_account(0),
        SEED.policy_account(1),
        SEED.locator_key(Scope.all(), 0),
        SEED.locator_key(Scope.all(), 1),
        SEED.receiving().public,
        SEED.signer().public,
        SEED.audit().public,
        SEED.lane(Scope.all(), 0).public,
        SEED.lane(Scope.of(Category.VITALS), 0).public,
        SEED.lane(Scope.of(Category.VITALS, 2020), 0).public,
    ]
    assert len(set(secrets)) == len(secrets)
    assert keys.address_of(SEED.account_key()) == keys.address_of(again.account_key())
    assert SEED.reveal().hex() not in repr(SEED)


def test_brief_ids_differ_by_lane_hospital_and_counter() -> None:
    lanes = [SEED.locator_key(Scope.of(category), 0) for category in Category]
    hospitals = [keys.address_of(keys.Seed.random().account_key()) for _ in range(3)]
    found = {keys.brief_id(keys.hospital_key(lane, h), n) for lane in lanes for h in hospitals for n in range(50)}
    assert len(found) == len(lanes) * len(hospitals) * 50


def test_box_opens_for_its_owner_and_context_only() -> None:
    sealed = box.seal_to(SEED.receiving().public, b"message", b"context")
    assert box.open_box(SEED.receiving(), sealed, b"context") == b"message"
    with pytest.raises(IntegrityError):
        box.open_box(SEED.receiving(), sealed, b"other")
    with pytest.raises(IntegrityError):
        box.open_box(SEED.audit(), sealed, b"context")


def test_commitment_tells_keys_apart_and_is_no_content_key() -> None:
    key = EnvelopeKey(bytes(32))
    assert key.commitment != EnvelopeKey(bytes(31) + b"\1").commitment
    assert len({key.commitment, key.inventory_key(), *(key.content_key(i) for i in range(9))}) == 11


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=40), st.binary(max_size=100))
def test_derivation_is_hkdf_expand(key: bytes, label: bytes, context: bytes) -> None:
    info = bytes([len(label)]) + label + context
    assert derive(key, label, context) == HKDFExpand(SHA256(), 32, info).derive(key)


@given(st.binary(max_size=5000))
def test_padding_and_compression_give_the_message_back(message: bytes) -> None:
    assert padding.unpad(padding.pad(message)) == message
    assert compress.decompress(compress.compress(message), len(message)) == message


@given(st.integers(min_value=1, max_value=1 << 40))
def test_padding_costs_at_most_twelve_percent(size: int) -> None:
    assert size <= padding.padme(size) <= size * 1.12 + 1


@pytest.mark.parametrize("bad", [b"", bytes(7), b"\xff" * 16, bytes(8) + b"\1", (3).to_bytes(8, "big") + b"ab"])
def test_padding_that_was_changed_is_found(bad: bytes) -> None:
    with pytest.raises(IntegrityError):
        padding.unpad(bad)


def test_decompression_stops_at_the_declared_size() -> None:
    bomb = compress.compress(bytes(10_000_000))
    for packed, size in ((bomb, 100), (bomb[:-1], 10_000_000), (b"\2abc", 3), (b"", 0), (b"\0abc", 2)):
        with pytest.raises(IntegrityError):
            compress.decompress(packed, size)


class TestKeyStore:
    def make(self, folder: Path) -> Path:
        folder.chmod(0o700)
        keystore.create(folder / "seed.json", SEED, "passphrase")
        return folder / "seed.json"

    def test_opens_with_its_passphrase_only(self, tmp_path: Path) -> None:
        path = self.make(tmp_path)
        assert path.stat().st_mode & 0o777 == 0o600
        assert keystore.open(path, "passphrase").reveal() == SEED.reveal()
        with pytest.raises(LockedError):
            keystore.open(path, "wrong")

    def test_refuses_files_that_others_can_read(self, tmp_path: Path) -> None:
        path = self.make(tmp_path)
        path.chmod(0o640)
        with pytest.raises(LockedError, match="permissions 640"):
            keystore.open(path, "passphrase")

    def test_refuses_weak_and_costly_derivations(self, tmp_path: Path) -> None:
        path = self.make(tmp_path)
        text = path.read_text()
        for n in (1 << 14, 1 << 30):
            path.write_text(text.replace(str(1 << 17), str(n)))
            with pytest.raises(LockedError):
                keystore.open(path, "passphrase")

    def test_never_overwrites(self, tmp_path: Path) -> None:
        path = self.make(tmp_path)
        with pytest.raises(UsageError):
            keystore.create(path, SEED, "other")
