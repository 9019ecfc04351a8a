"""Inventories: only the envelope's key opens one, and a record that is left out or exchanged is found."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.crypto import labels, padding, stream
from panachain.crypto.commit import EnvelopeKey
from panachain.errors import BlockNotFoundError, IntegrityError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Address
from panachain.model.records import RecordInfo
from panachain.model.scope import Category
from panachain.records import inventory
from panachain.records.inventory import Item, check_complete
from tests.unit.storage.memory_store import MemoryStore

KEY, OTHER = EnvelopeKey(b"k" * 32), EnvelopeKey(b"o" * 32)
ITEMS = [Item("application/pdf", 5, b""), Item("application/fhir+json", 7, b"d" * 32), Item("application/pdf", 9, b"")]


def stored(store: MemoryStore, body: object) -> CID:
    """Store a body as an inventory is sealed."""
    plain = padding.pad(dagcbor.encode(body))
    return store.add_file(stream.seal_segments(plain, KEY.inventory_key(), labels.ENVELOPE_INVENTORY))


def info(index: int, **change: Any) -> RecordInfo:
    item = ITEMS[index]
    fields = {"media_type": item.media_type, "size": item.size, "digest": item.digest, "content_index": index} | change
    more = {"header_cid": f"bafy{index}", "content_cid": "", "envelope_cid": "", "stored_at": 0, "generation": 0}
    return RecordInfo(hospital=Address("0x"), category=Category.LABORATORY, year=2024, **(more | fields))


def test_opens_with_its_envelopes_key_only() -> None:
    store = MemoryStore()
    cid = store.add_file(inventory.seal(ITEMS, KEY))
    assert list(inventory.open_(store, cid, KEY).items) == ITEMS
    with pytest.raises(IntegrityError):
        inventory.open_(store, cid, OTHER)
    with pytest.raises(BlockNotFoundError):
        inventory.open_(store, CID.of(RAW, b"missing"), KEY)


def test_a_damaged_one_is_found() -> None:
    store = MemoryStore()
    cid = store.add_file(inventory.seal(ITEMS, KEY))
    store.damage(cid)
    with pytest.raises(IntegrityError):
        inventory.open_(store, cid, KEY)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"v": 2, "types": [], "items": []},
        {"v": 1, "types": []},
        {"v": 1, "types": [], "items": [[0, 1, b""]]},
        {"v": 1, "types": ["a"], "items": [[0, 1]]},
        {"v": 1, "types": ["a"], "items": [["0", 1, b""]]},
        {"v": 1, "types": ["a"], "items": [[0, "1", b""]]},
        {"v": 1, "types": ["a"], "items": [[0, True, b""]]},
        {"v": 1, "types": [5], "items": [[0, 1, b""]]},
        {"v": 1, "types": ["a"], "items": [[0, 1, "d"]]},
        {"v": 1, "types": ["a"], "items": 5},
        {"v": 2, "types": [], "items": [None], "sequence": 1, "lists": [[0, False, [""], "\t\t\t0\t0", bytes(16)]]},
    ],
)
def test_what_a_hospital_sealed_wrongly_is_told(body: object) -> None:
    store = MemoryStore()
    with pytest.raises(IntegrityError):
        inventory.open_(store, stored(store, body), KEY)


class TestComplete:
    def test_all_records_in_any_order_are(self) -> None:
        check_complete(ITEMS, [info(2), info(0), info(1)])
        check_complete([], [])

    @pytest.mark.parametrize("indexes", [[], [0, 1], [1, 2], [0, 1, 1, 2], [0, 1, 2, 2]])
    def test_one_that_is_left_out_or_there_twice_is_found(self, indexes: list[int]) -> None:
        with pytest.raises(IntegrityError, match="put 3 records under one envelope"):
            check_complete(ITEMS, map(info, indexes))

    @pytest.mark.parametrize("change", [{"size": 6}, {"media_type": "text/plain"}, {"digest": b"x" * 32}])
    def test_one_that_differs_is_found(self, change: dict[str, Any]) -> None:
        with pytest.raises(IntegrityError, match="isn't the one that its inventory names"):
            check_complete(ITEMS, [info(0), info(1, **change), info(2)])


class TestLeft:
    GAP = (ITEMS[0], None, ITEMS[2])

    def test_a_record_that_went_leaves_a_gap_that_names_nothing(self) -> None:
        store = MemoryStore()
        listed = inventory.open_(store, store.add_file(inventory.seal(self.GAP, KEY)), KEY)
        assert listed.items == self.GAP
        check_complete(listed.items, [info(2), info(0)])

    @pytest.mark.parametrize("indexes", [[0], [2], [0, 1, 2], [0, 1]])
    def test_another_one_that_is_missing_or_there_is_found(self, indexes: list[int]) -> None:
        with pytest.raises(IntegrityError, match="put 2 records under one envelope"):
            check_complete(self.GAP, map(info, indexes))
