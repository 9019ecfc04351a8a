"""The store as a whole: opened from settings, cleaned up by what the chain names, exported and imported."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.config import Config
from panachain.errors import ConfigurationError, IntegrityError, StoreUnavailableError, UsageError
from panachain.ipld import car, dagcbor, unixfs
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.actors import Address
from panachain.records import manifest
from panachain.records.journal import Journal
from panachain.sdk import storage as stores
from panachain.storage.blocks import BlobStore
from panachain.storage.embedded import EmbeddedStore
from panachain.storage.kubo import KuboStore
from panachain.storage.replicated import ReplicatedStore
from tests.unit.storage.memory_store import MemoryStore

HOSPITAL = Address("0x52908400098527886E0F7030069857D2E4169EE7")
DAY = 86_400
NOW = 1_000_000_000.0


def config(tmp_path: Path, ipfs: str = "auto") -> Config:
    return Config(home=tmp_path, network_file=tmp_path / "network.json", ipfs=ipfs)


def put(store: BlobStore, codec: int, data: bytes) -> CID:
    cid = CID.of(codec, data)
    store.put_block(cid, data)
    return cid


class Published:
    """A hospital's storage transactions in a store, as `publish` makes them."""

    def __init__(self, store: BlobStore) -> None:
        self.store = store
        self.manifests: list[CID] = []
        self.lists: list[CID] = []
        self.headers: list[CID] = []

    def batch(self, records: int = 3, *, listed: bool = True, pinned: bool = True) -> CID:
        store = self.store
        blocks = []
        rows: dict[bytes, CID] = {}
        for _ in range(records):
            header = put(store, RAW, os.urandom(300))
            blocks += [header, put(store, RAW, os.urandom(200)), store.add_file([os.urandom(100)])]
            rows[os.urandom(16)] = header
            self.headers.append(header)
        previous = self.manifests[-1] if self.manifests else None
        root, nodes = manifest.build(rows, hospital=HOSPITAL, sequence=len(self.manifests) + 1, previous=previous)
        store.put_blocks(nodes)
        self.manifests.append(root)
        if listed:
            cids = sorted([*blocks, *(cid for cid, _ in nodes)])
            half = len(cids) // 2
            parts = [put(store, DAG_CBOR, dagcbor.encode({"v": 1, "blocks": cids[:half]}))]
            parts += [put(store, DAG_CBOR, dagcbor.encode({"v": 1, "blocks": cids[half:]}))]
            listing = put(store, DAG_CBOR, dagcbor.encode({"v": 1, "parts": parts}))
            self.lists.append(listing)
            if pinned:
                store.pin(listing)
        return root

    def network(self, home: Path, terms: tuple[bytes, ...] = ()) -> Any:
        """Return as much of a network as garbage collection asks."""
        heads = SimpleNamespace(manifests=tuple(cid.digest for cid in self.manifests))
        events = [SimpleNamespace(terms=digest) for digest in (*terms, b"")]
        return SimpleNamespace(
            store=self.store,
            home=home,
            hospital_heads=lambda: [heads],
            mainchain=SimpleNamespace(policy_events=lambda kind: iter(events)),
        )


class TestOpening:
    def opened(self, tmp_path: Path, description: dict[str, Any], ipfs: str = "auto") -> BlobStore:
        return stores.open_store(config(tmp_path, ipfs), description, probe=False)

    def test_embedded_store_lies_in_the_home(self, tmp_path: Path) -> None:
        store = self.opened(tmp_path, {"kind": "embedded"})
        assert isinstance(store, EmbeddedStore)
        assert store.folder == tmp_path / "blocks"

    def test_folders_are_relative_to_the_network_file(self, tmp_path: Path) -> None:
        store = self.opened(tmp_path, {"kind": "embedded", "folders": ["a", str(tmp_path / "b")], "replication": 1})
        assert isinstance(store, ReplicatedStore)
        assert store.factor == 1
        assert [node.folder for node in store.nodes] == [tmp_path / "a", tmp_path / "b"]  # type: ignore[attr-defined]

    def test_several_nodes_must_be_two_by_default(self, tmp_path: Path) -> None:
        apis = [f"/ip4/127.0.0.1/tcp/{port}" for port in (1, 2, 3)]
        store = self.opened(tmp_path, {"kind": "kubo", "apis": apis})
        assert isinstance(store, ReplicatedStore)
        assert store.factor == 2
        assert [node.name for node in store.nodes] == [f"Kubo node {api}" for api in apis]

    def test_one_node_is_no_replicated_store(self, tmp_path: Path) -> None:
        for description in (
            {"kind": "kubo", "api": "/ip4/127.0.0.1/tcp/1"},
            {"kind": "kubo", "apis": ["/dns/x/tcp/1"]},
        ):
            assert isinstance(self.opened(tmp_path, description), KuboStore)

    def test_settings_win_over_the_network_file(self, tmp_path: Path) -> None:
        several = {"kind": "kubo", "apis": ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"], "replication": 2}
        assert isinstance(self.opened(tmp_path, several, "embedded"), EmbeddedStore)
        one = self.opened(tmp_path, {"kind": "embedded", "folders": ["a", "b"]}, "kubo")
        assert one.name == "Kubo node /ip4/127.0.0.1/tcp/5001"

    @pytest.mark.parametrize(
        "description",
        [
            {"kind": "cloud"},
            {"kind": "kubo", "apis": []},
            {"kind": "kubo", "apis": "/ip4/127.0.0.1/tcp/1"},
            {"kind": "kubo", "apis": [1]},
            {"kind": "kubo", "apis": ["/ip4/127.0.0.1/tcp/1"] * 2},
            {"kind": "kubo", "apis": ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"], "replication": 3},
            {"kind": "kubo", "apis": ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"], "replication": 0},
            {"kind": "kubo", "apis": ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"], "replication": "2"},
            {"kind": "kubo", "apis": ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"], "replication": True},
            {"kind": "kubo", "api": "http://127.0.0.1:5001"},
            {"kind": "kubo", "api": "/ip4/127.0.0.1"},
            {"kind": "embedded", "replication": 2},
        ],
    )
    def test_contradictions_are_refused(self, tmp_path: Path, description: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError):
            self.opened(tmp_path, description)

    def test_works_without_a_network_file_and_not_with_a_damaged_one(self, tmp_path: Path) -> None:
        store = stores.open_configured(config(tmp_path))
        assert isinstance(store, EmbeddedStore)
        for content in (b"{", b"[]", b'{"ipfs": 5}'):
            (tmp_path / "network.json").write_bytes(content)
            with pytest.raises(ConfigurationError):
                stores.open_configured(config(tmp_path))
        description = {"schema": "panachain/network/1", "ipfs": {"kind": "embedded", "folders": ["x", "y"]}}
        (tmp_path / "network.json").write_text(json.dumps(description))
        assert isinstance(stores.open_configured(config(tmp_path)), ReplicatedStore)


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
        with pytest.raises(IntegrityError, match="1 manifests on chain"):
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


class TestCars:
    def exported(self, store: BlobStore, roots: list[CID]) -> tuple[bytes, stores.CarReport]:
        file = io.BytesIO()
        report = stores.export_car(store, roots, file, name="x.car")
        return file.getvalue(), report

    def test_everything_that_was_published_goes_over(self, tmp_path: Path) -> None:
        published = Published(MemoryStore())
        published.batch()
        published.batch()
        data, report = self.exported(published.store, published.lists)
        assert (report.blocks, report.missing) == (len(published.store.held), ())  # type: ignore[attr-defined]
        other = EmbeddedStore(tmp_path / "blocks")
        seen: list[int] = []

        def progress(done: int, total: int, unit: str) -> None:
            assert (total, unit) == (len(data), "bytes")
            seen.append(done)

        back = stores.import_car(other, io.BytesIO(data), name="x.car", total=len(data), progress=progress)

        assert (back.blocks, back.size, back.pinned, back.missing) == (report.blocks, report.size, 2, ())
        assert seen[-1] == report.size
        assert sorted(other.pins()) == sorted(published.lists)
        assert self.exported(other, published.lists)[0] == data

    def test_same_roots_give_the_same_bytes_and_another_order_the_same_blocks(self) -> None:
        published = Published(MemoryStore())
        published.batch()
        published.batch()
        first, again = (self.exported(published.store, published.lists)[0] for _ in range(2))
        assert first == again
        turned = self.exported(published.store, published.lists[::-1])[0]
        blocks = [sorted(car.read_car(io.BytesIO(data))[1]) for data in (first, turned)]
        assert blocks[0] == blocks[1]

    def test_missing_blocks_are_named_and_their_roots_not_pinned(self, tmp_path: Path) -> None:
        published = Published(MemoryStore())
        published.batch()
        published.batch()
        lost = published.headers[-1]
        published.store.delete_block(lost)
        data, report = self.exported(published.store, published.lists)
        assert report.missing == (lost,)
        other = MemoryStore()
        back = stores.import_car(other, io.BytesIO(data), name="x.car")
        assert (back.missing, back.pinned) == ((lost,), 1)
        assert other.pinned == {published.lists[0]}

    def test_damaged_block_ends_the_export(self) -> None:
        published = Published(MemoryStore())
        published.batch()
        published.store.damage(published.headers[0])  # type: ignore[attr-defined]
        with pytest.raises(IntegrityError):
            self.exported(published.store, published.lists)

    @pytest.mark.parametrize("times", [1, 2])
    def test_what_the_store_has_damaged_is_written_anew(self, tmp_path: Path, times: int) -> None:
        published = Published(MemoryStore())
        published.batch()
        published.batch()
        data, _ = self.exported(published.store, published.lists)
        other = MemoryStore()
        stores.import_car(other, io.BytesIO(data), name="x.car")
        # A list, a part of it, manifests and what they name: one damage hides the other.
        for cid in list(other.held)[::times]:
            other.damage(cid)
        other.pinned.clear()
        back = stores.import_car(other, io.BytesIO(data), name="x.car")
        assert (back.missing, back.pinned) == ((), 2)
        assert self.exported(other, published.lists)[0] == data

    def test_cut_off_car_pins_nothing(self) -> None:
        published = Published(MemoryStore())
        published.batch()
        data, _ = self.exported(published.store, published.lists)
        other = MemoryStore()
        with pytest.raises(IntegrityError):
            stores.import_car(other, io.BytesIO(data[:-10]), name="x.car")
        assert not other.pinned

    def test_journal_names_the_lists(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="published nothing"):
            stores.journal_roots(tmp_path)
        journal = Journal(tmp_path / "journal.sqlite")
        with pytest.raises(UsageError, match="published nothing"):
            stores.journal_roots(tmp_path)
        cids = [CID.of(DAG_CBOR, bytes([number])) for number in range(3)]
        for sequence, cid in enumerate(cids, start=1):
            journal.prepare(sequence=sequence, manifest=str(cid), list_cid=str(cid), records=(), done=(), counters=())
        journal.close()
        assert stores.journal_roots(tmp_path) == cids


class TestStatusAndRepair:
    def test_status_tells_what_each_node_holds(self) -> None:
        nodes = [MemoryStore("a"), MemoryStore("b")]
        store = ReplicatedStore(nodes, 2)
        store.pin(put(store, RAW, b"12345"))
        nodes[1].down = True
        good, bad = stores.status(store)
        assert (good.state, good.blocks, good.size, good.pins) == ("ok", 1, 5, 1)
        assert (bad.state, bad.detail, bad.exit_code) == ("failed", "b doesn't answer", 7)

    def test_a_single_store_is_checked_too(self) -> None:
        store = MemoryStore()
        kept, lost = put(store, RAW, b"kept"), put(store, RAW, b"lost")
        store.pin(put(store, DAG_CBOR, dagcbor.encode([kept, lost])))
        assert stores.repair(store).whole
        store.damage(lost)
        report = stores.repair(store)
        assert report.lost == [lost]
        assert report.nodes[0].checked == 3

    @pytest.mark.parametrize("down", [1, 2])
    def test_repair_begins_at_the_pins_that_are_in_reach(self, down: int) -> None:
        nodes = [MemoryStore("a"), MemoryStore("b")]
        store = ReplicatedStore(nodes, 2)
        store.pin(put(store, RAW, b"1"))
        for node in nodes[:down]:
            node.down = True
        if down == 2:
            with pytest.raises(StoreUnavailableError, match="no node answers"):
                stores.repair(store)
        else:
            report = stores.repair(store)
            assert [node.checked for node in report.nodes] == [0, 1]


def test_leaves_of_a_large_file_go_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unixfs, "CHUNK", 16)
    monkeypatch.setattr(unixfs, "MAX_LINKS", 4)
    store = MemoryStore()
    leaves = [os.urandom(16) for _ in range(40)]
    root = store.add_file(leaves)
    file = io.BytesIO()
    stores.export_car(store, [root], file, name="x.car")
    other = EmbeddedStore(tmp_path / "blocks")
    stores.import_car(other, io.BytesIO(file.getvalue()), name="x.car")
    assert list(other.read_file(root)) == leaves
