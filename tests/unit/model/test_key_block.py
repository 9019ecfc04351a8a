"""Key blocks: one form for each kind of owner, and nothing else is one."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError
from panachain.ipld.cid import CID, RAW
from panachain.model.key_block import MAXIMUM_SIZE, PublicKeys

SEED = Seed(b"s" * 32)
PERSON, GROUP = SEED.public_keys(), SEED.group_keys()


@pytest.mark.parametrize(
    ("keys", "version", "size"), [(PERSON, 1, 1283), (GROUP, 2, 1250)], ids=["a person's", "a group's"]
)
def test_a_block_is_its_version_and_the_keys_in_their_order(keys: PublicKeys, version: int, size: int) -> None:
    block = keys.encode()
    assert block == bytes([version]) + keys.sealing + keys.receiving + keys.verifying
    assert len(block) == size <= MAXIMUM_SIZE
    assert PublicKeys.parse(block) == keys
    assert keys.digest == sha256(block).digest() == CID.of(RAW, block).digest


def test_they_are_the_keys_of_the_seed() -> None:
    assert (PERSON.sealing, PERSON.receiving) == (SEED.sealing().public, SEED.receiving().public)
    assert PERSON.verifying == SEED.signer().public
    assert replace(PERSON, verifying=b"") == GROUP


@pytest.mark.parametrize("keys", [PERSON, GROUP], ids=["a person's", "a group's"])
def test_a_byte_more_or_less_and_another_version_are_none(keys: PublicKeys) -> None:
    block = keys.encode()
    other = {1: 2, 2: 1}[block[0]]
    for wrong in (b"", block[:1], block[:-1], block + b"\0", *(bytes([one]) + block[1:] for one in (0, other, 3, 255))):
        with pytest.raises(IntegrityError, match="key block"):
            PublicKeys.parse(wrong)


def test_what_is_no_compressed_point_is_told() -> None:
    for wrong in (replace(PERSON, receiving=b"\4" * 33), replace(PERSON, verifying=b"\0" * 33)):
        with pytest.raises(IntegrityError, match="no compressed point"):
            wrong.encode()


@pytest.mark.parametrize(
    "wrong",
    [
        replace(PERSON, sealing=PERSON.sealing[:-1]),
        replace(PERSON, receiving=b""),
        replace(PERSON, verifying=PERSON.verifying[:-1]),
        # As long together as it has to be.
        replace(PERSON, sealing=PERSON.sealing + PERSON.receiving[:1], receiving=PERSON.receiving[1:]),
    ],
    ids=["sealing", "receiving", "verifying", "another cut"],
)
def test_keys_of_another_length_become_no_block(wrong: PublicKeys) -> None:
    with pytest.raises(IntegrityError):
        wrong.encode()
