"""Key blocks are fetched once, checked, and kept; what is wrong with one is told with whose it is."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from panachain.crypto.keys import Seed, address_of
from panachain.errors import BlockNotFoundError, BlockOutOfReachError, IntegrityError, StoreUnavailableError
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Actor, Role, Status
from panachain.sdk.key_blocks import FOLDER, KeyBlocks
from panachain.storage.blocks import keep
from tests.unit.storage.memory_store import MemoryStore

SEED = Seed(b"k" * 32)
KEYS = SEED.public_keys()
OWN = Actor.of(address_of(SEED.account_key()), Role.PRACTITIONER, KEYS)
SHOWN = replace(OWN, status=Status.ACTIVE, keys=None)
"""As the chain shows them."""
PLACE = CID(RAW, KEYS.digest)


class Counting(MemoryStore):
    """Counts what is read, and gives what a test wants in place of it."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.lie: bytes | None = None
        self.error: Exception | None = None

    def get_block(self, cid: CID) -> bytes:
        self.reads += 1
        if self.error is not None:
            raise self.error
        return super().get_block(cid) if self.lie is None else self.lie


@pytest.fixture
def store() -> Counting:
    return Counting()


def test_a_block_is_read_once_by_a_session_and_once_by_a_machine(store: Counting, tmp_path: Path) -> None:
    keep(store, KEYS.encode())
    for _ in range(2):
        blocks = KeyBlocks(tmp_path, store)
        assert [blocks.of(SHOWN).receiving_key for _ in range(3)] == [KEYS.receiving] * 3
    assert store.reads == 1
    path = tmp_path / FOLDER / KEYS.digest.hex()
    assert (path.read_bytes(), path.stat().st_mode & 0o077) == (KEYS.encode(), 0)


def test_nothing_is_read_for_who_comes_with_their_keys(store: Counting, tmp_path: Path) -> None:
    assert KeyBlocks(tmp_path, store).of(OWN) is OWN
    assert store.reads == 0


def test_who_puts_it_pins_it_and_keeps_it(store: Counting, tmp_path: Path) -> None:
    blocks = KeyBlocks(tmp_path, store)
    assert not blocks.is_stored(OWN)
    assert blocks.put(OWN) == blocks.put(OWN) == PLACE
    assert blocks.is_stored(SHOWN)
    assert PLACE in store.pinned
    assert KeyBlocks(tmp_path, store).of(SHOWN).keys == KEYS
    assert store.reads == 0


def test_whoever_lacks_a_block_is_told_an_earlier_one_too(store: Counting, tmp_path: Path) -> None:
    before = keep(store, Seed(b"b" * 32).group_keys().encode())
    blocks = KeyBlocks(tmp_path, store)
    group = replace(SHOWN, role=Role.GROUP, earlier_keys=(before.digest,))
    assert blocks.lacking([SHOWN, group]) == [SHOWN, group]
    blocks.put(OWN)
    assert blocks.lacking([SHOWN, group]) == []
    # What is kept here is no copy of the store's.
    store.delete_block(before)
    assert blocks.lacking([SHOWN, group]) == [group]
    assert store.reads == 0


def test_who_has_no_keys_puts_nothing(store: Counting, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="wasn't fetched"):
        KeyBlocks(tmp_path, store).put(SHOWN)
    assert not store.held


def test_a_missing_block_names_whose_it_is_and_what_to_do(store: Counting, tmp_path: Path) -> None:
    with pytest.raises(BlockNotFoundError, match=f"no key block of {OWN.handle}") as caught:
        KeyBlocks(tmp_path, store).of(SHOWN)
    assert "panachain --profile THEIRS register" in caught.value.hint


def test_one_that_is_out_of_reach_is_told_as_that(store: Counting, tmp_path: Path) -> None:
    store.error = BlockOutOfReachError("one store of two doesn't answer")
    with pytest.raises(BlockOutOfReachError, match=f"key block of {OWN.handle} is out of reach"):
        KeyBlocks(tmp_path, store).of(SHOWN)
    # A store that answers nobody strikes everything, and says so itself.
    store.error = StoreUnavailableError("no answer")
    with pytest.raises(StoreUnavailableError, match=r"^no answer$"):
        KeyBlocks(tmp_path, store).of(SHOWN)


@pytest.mark.parametrize(
    "lie",
    [Seed(b"e" * 32).public_keys().encode(), b"", KEYS.encode()[:-1], KEYS.encode() + b"\0", b"\0" * 4096],
    ids=["another actor's", "empty", "a byte less", "a byte more", "long"],
)
def test_a_store_that_lies_is_named_with_whom_it_lies_about(store: Counting, tmp_path: Path, lie: bytes) -> None:
    store.lie = lie
    with pytest.raises(IntegrityError, match=f"{store.name} gives another key block of {OWN.handle}"):
        KeyBlocks(tmp_path, store).of(SHOWN)
    # Nothing of it was kept.
    store.lie = None
    keep(store, KEYS.encode())
    assert KeyBlocks(tmp_path, store).of(SHOWN).keys == KEYS


@pytest.mark.parametrize("block", [b"no keys", b"\1" * 1283, KEYS.encode() + b"\0"], ids=["other", "points", "longer"])
def test_a_block_that_was_registered_and_holds_no_keys_is_its_owners_fault(
    store: Counting, tmp_path: Path, block: bytes
) -> None:
    digest = keep(store, block).digest
    with pytest.raises(IntegrityError, match=f"{OWN.handle} is registered with a block that holds no keys") as caught:
        KeyBlocks(tmp_path, store).of(replace(SHOWN, key_digest=digest))
    assert "another account" in caught.value.hint
    assert not (tmp_path / FOLDER / digest.hex()).exists()


@pytest.mark.parametrize("damaged", [b"", b"x", KEYS.encode()[:-1], Seed(b"e" * 32).public_keys().encode()])
def test_a_kept_file_is_believed_no_more_than_a_store(
    store: Counting, tmp_path: Path, damaged: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    KeyBlocks(tmp_path, store).put(OWN)
    (tmp_path / FOLDER / KEYS.digest.hex()).write_bytes(damaged)
    assert KeyBlocks(tmp_path, store).of(SHOWN).keys == KEYS
    assert store.reads == 1
    assert "fetched again" in caplog.text
    assert KeyBlocks(tmp_path, store).of(SHOWN).keys == KEYS
    assert store.reads == 1


def test_a_disk_that_takes_nothing_costs_a_read_each_time(
    store: Counting, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(store, KEYS.encode())
    (tmp_path / FOLDER).write_bytes(b"no folder")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert KeyBlocks(tmp_path, store).of(SHOWN).keys == KEYS
    assert store.reads == 2
    assert "fetched each time" in caplog.text
