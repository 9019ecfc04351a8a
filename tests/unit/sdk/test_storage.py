"""The store as a whole: cleaned up by what the chain names, and exported by what the journal names."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from unittest.mock import Mock

import pytest

from panachain.errors import DiskError, IntegrityError, StoreUnavailableError, UsageError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.actors import Address
from panachain.records.journal import Journal
from panachain.records.journal_erased import Erasing
from panachain.sdk import storage as stores
from panachain.storage.replicated import ReplicatedStore
from tests.unit.storage.memory_store import MemoryStore
from tests.unit.storage.published import Published, put

DAY = 86_400
NOW = 1_000_000_000.0


class TestGarbage:
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore(at=NOW - 2 * DAY)

    def test_what_is_published_stays_and_the_rest_goes(self, store: MemoryStore, tmp_path: Path) -> None:
        published = Published(store)
        published.batch()
        published.batch()
        terms = put(store, RAW, b"terms that were never pinned")
        wanted = set(store.held)
        garbage = put(store, RAW, os.urandom(77))

        ((name, found),) = stores.collect_garbage(published.network(tmp_path, (terms.digest,)), now=NOW)

        assert (name, found.removed, found.freed) == ("memory", 1, 77)
        assert set(store.held) == wanted
        assert garbage not in store.held

    def test_progress_is_told_of_what_is_reached_and_of_nodes(self, store: MemoryStore, tmp_path: Path) -> None:
        published = Published(store)
        published.batch()
        told: list[tuple[int, int, str]] = []

        def progress(done: int, total: int, *, unit: str) -> None:
            told.append((done, total, unit))

        stores.collect_garbage(published.network(tmp_path), now=NOW, progress=progress)
        assert told[-1] == (1, 1, "nodes")
        assert told[-2] == (len(store.held), 0, "blocks")

    def test_headers_stay_without_a_list_that_names_them(self, store: MemoryStore) -> None:
        published = Published(store)
        root = published.batch(5)
        assert sorted(stores.headers_of(store, [root])) == sorted(published.headers)

    def test_headers_stay_although_the_list_leaves_them_out(self, store: MemoryStore, tmp_path: Path) -> None:
        published = Published(store)
        root = published.batch(5, listed=False)
        store.pin(put(store, DAG_CBOR, dagcbor.encode({"v": 1, "blocks": [root]})))
        stores.collect_garbage(published.network(tmp_path), now=NOW)
        assert all(store.has_block(cid) for cid in published.headers)

    @pytest.mark.parametrize("how", ["unlisted", "unpinned"])
    def test_a_manifest_in_no_pinned_list_stops_the_collection(
        self, store: MemoryStore, tmp_path: Path, how: str
    ) -> None:
        published = Published(store)
        published.batch()
        published.batch(listed=how != "unlisted", pinned=how != "unpinned")
        before = dict(store.held)
        with pytest.raises(IntegrityError, match="1 manifest on chain"):
            stores.collect_garbage(published.network(tmp_path), now=NOW)
        assert store.held == before

    def test_manifests_of_others_are_not_missed(self, store: MemoryStore, tmp_path: Path) -> None:
        published = Published(MemoryStore())
        published.batch()
        network = published.network(tmp_path)
        network.store = store
        put(store, RAW, b"garbage")
        assert stores.collect_garbage(network, now=NOW)[0][1].removed == 1

    def test_a_damaged_manifest_stops_the_collection(self, store: MemoryStore, tmp_path: Path) -> None:
        published = Published(store)
        store.damage(published.batch())
        before = dict(store.held)
        with pytest.raises(IntegrityError):
            stores.collect_garbage(published.network(tmp_path), now=NOW)
        assert store.held == before

    def test_every_node_is_swept_by_what_all_of_them_know(self, tmp_path: Path) -> None:
        nodes = [MemoryStore(f"n{number}", at=NOW - 2 * DAY) for number in range(2)]
        published = Published(ReplicatedStore(nodes, 2))
        root = published.batch()
        # One node lost an inner node: it still mustn't lose what that links.
        nodes[0].delete_block(root)
        wanted = set(nodes[1].held)
        put(published.store, RAW, b"garbage")
        found = stores.collect_garbage(published.network(tmp_path), now=NOW)
        assert [part.removed for _, part in found] == [1, 1]
        assert set(nodes[1].held) == wanted
        assert set(nodes[0].held) == wanted - {root}

    def test_a_node_that_is_down_stops_the_collection(self, tmp_path: Path) -> None:
        nodes = [MemoryStore(f"n{number}", at=1) for number in range(2)]
        published = Published(ReplicatedStore(nodes, 1))
        published.batch()
        put(published.store, RAW, b"garbage")
        nodes[1].down = True
        with pytest.raises(StoreUnavailableError):
            stores.collect_garbage(published.network(tmp_path), now=NOW)
        assert CID.of(RAW, b"garbage") in nodes[0].held

    def test_first_sights_are_kept_between_runs_but_not_by_a_dry_one(self, tmp_path: Path) -> None:
        store = MemoryStore(at=0)
        published = Published(store)
        published.batch()
        put(store, RAW, b"garbage")
        network = published.network(tmp_path)
        path = tmp_path / "storage-gc.json"
        stores.collect_garbage(network, now=NOW, dry_run=True)
        assert not path.exists()
        stores.collect_garbage(network, now=NOW)
        assert list(json.loads(path.read_bytes())["memory"].values()) == [NOW]
        assert path.stat().st_mode & 0o777 == 0o600
        assert stores.collect_garbage(network, now=NOW + DAY)[0][1].removed == 1
        assert json.loads(path.read_bytes()) == {}

    @pytest.mark.parametrize("content", [b"", b"[]", b'{"memory": 5}', b'{"memory": {"x": "y"}}'])
    def test_damaged_memory_begins_anew(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "storage-gc.json").write_bytes(content)
        store = MemoryStore(at=0)
        put(store, RAW, b"garbage")
        assert stores.collect_garbage(Published(store).network(tmp_path), now=NOW)[0][1].young == 1


class TestJournalRoots:
    def test_journal_names_the_lists(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="published nothing"):
            stores.journal_roots(tmp_path)
        journal = Journal(tmp_path / "journal.sqlite")
        with pytest.raises(UsageError, match="published nothing"):
            stores.journal_roots(tmp_path)
        cids = [CID.of(DAG_CBOR, bytes([number])) for number in range(3)]
        for sequence, cid in enumerate(cids, start=1):
            journal.prepare(sequence=sequence, manifest=str(cid), list_cid=str(cid), records=(), done=())
        journal.close()
        assert stores.journal_roots(tmp_path) == cids


class TestJournalErased:
    def test_headers_and_contents_of_what_is_gone_are_named_and_nothing_else(self, tmp_path: Path) -> None:
        assert stores.journal_erased(tmp_path) == []
        names = [CID.of(RAW, bytes([number])) for number in range(4)]
        patient = Address("0x" + "11" * 20)
        journal = Journal(tmp_path / "journal.sqlite")
        going = [
            Erasing(str(header), str(content), patient, "laboratory", 2024, False, True, (str(header),))
            for header, content in (names[:2], names[2:])
        ]
        journal.prepare(sequence=1, records=[], done=[], erasing=going, manifest="m", list_cid="l")
        journal.mined(1, "0x1", 1)
        journal.erasures.gone(str(names[0]), at=5, stores=1)
        journal.close()
        # The other one is still to be looked for: `erase --finish` does that.
        assert stores.journal_erased(tmp_path) == names[:2]

    @pytest.mark.parametrize("damage", ["page", "cid", "folder"])
    def test_of_a_damaged_journal_it_is_said_that_it_cannot_be_read(
        self, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "journal.sqlite"
        names = [str(CID.of(RAW, bytes([number]))) for number in range(2)]
        one = Erasing(names[0], names[1], Address("0x" + "11" * 20), "laboratory", 2024, False, True, (names[0],))
        journal = Journal(path)
        journal.prepare(sequence=1, records=[], done=[], erasing=[one], manifest="m", list_cid="l")
        journal.mined(1, "0x1", 1)
        journal.erasures.gone(names[0], at=5, stores=1)
        journal.close()
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (size,) = db.execute("PRAGMA page_size").fetchone()
            (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'erasure'").fetchone()
            if damage == "cid":
                db.execute("UPDATE erasure SET content = 'no CID'")
        db.close()
        if damage == "page":
            with path.open("r+b") as file:
                file.seek((page - 1) * size)
                file.write(b"\xff" * size)
        if damage == "folder":
            monkeypatch.setattr(Path, "is_file", Mock(side_effect=PermissionError(13, "Permission denied")))
        with pytest.raises(DiskError, match=r"can't be (read|opened)|is damaged: database disk image is malformed"):
            stores.journal_erased(tmp_path)
