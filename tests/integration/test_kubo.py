"""The store in real Kubo nodes: the same bytes get the same CID as in the embedded store, both ways."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from panachain.chain.anvil import free_port, stop
from panachain.errors import BlockNotFoundError, IntegrityError, StoreUnavailableError, UsageError
from panachain.ipld import car, dag, dagcbor, unixfs
from panachain.ipld.cid import CID, DAG_CBOR, DAG_PB, RAW
from panachain.sdk import storage as stores
from panachain.sdk.erasing import unlist
from panachain.storage import collect, kubo
from panachain.storage.embedded import EmbeddedStore
from panachain.storage.erasing import erase
from panachain.storage.kubo import KuboStore
from panachain.storage.replicated import ReplicatedStore

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / ".cache" / "kubo" / "ipfs"
CHUNK = unixfs.CHUNK


@dataclass
class Node:
    """A running node."""

    store: KuboStore
    folder: Path
    environment: dict[str, str]
    program: str
    api: str

    def ipfs(self, *arguments: str, given: bytes = b"") -> bytes:
        """Run the node's own program."""
        command = [self.program, "--api", self.api, *arguments]
        done = subprocess.run(command, env=self.environment, input=given, capture_output=True, timeout=120, check=True)
        return done.stdout

    def file_of(self, cid: CID) -> Path:
        """Return where the node keeps a block."""
        name = base64.b32encode(b"\x12\x20" + cid.digest).decode().rstrip("=")
        return self.folder / "blocks" / name[-3:-1] / f"{name}.data"


def find_program() -> str:
    program = os.environ.get("PANACHAIN_IPFS") or (str(BUILT) if BUILT.exists() else shutil.which("ipfs"))
    if not program:
        pytest.skip("no Kubo program: scripts/build_kubo.sh makes one where there is Go, or name one in PANACHAIN_IPFS")
    return program


@contextmanager
def running(folder: Path) -> Iterator[Node]:
    program = find_program()
    environment = os.environ | {"IPFS_PATH": str(folder), "IPFS_TELEMETRY": "off"}
    subprocess.run([program, "init", "--empty-repo"], env=environment, check=True, capture_output=True, timeout=60)
    port = free_port()
    config = json.loads((folder / "config").read_text())
    config["Addresses"] = {"API": f"/ip4/127.0.0.1/tcp/{port}", "Gateway": "", "Swarm": []}
    config["Bootstrap"], config["Routing"] = [], {"Type": "none"}
    config["AutoConf"] = {"Enabled": False}
    config["DNS"], config["Ipns"] = {"Resolvers": {}}, {}
    (folder / "config").write_text(json.dumps(config))
    with open(folder / "daemon.log", "wb") as log:
        daemon = subprocess.Popen([program, "daemon", "--offline"], env=environment, stdout=log, stderr=log)
    api = f"/ip4/127.0.0.1/tcp/{port}"
    try:
        store = connect(api, folder / "daemon.log")
        yield Node(store, folder, environment, program, api)
        store.close()
    finally:
        stop(daemon.pid)


def connect(api: str, log: Path) -> KuboStore:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return KuboStore(api)
        except StoreUnavailableError:
            time.sleep(0.2)
    raise AssertionError(log.read_text()[-2000:])


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("kubo")) as node:
        yield node


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("kubo")) as node:
        yield node


def leaves_of(data: bytes) -> list[bytes]:
    return [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)] or [b""]


def a_batch(store: KuboStore | EmbeddedStore | ReplicatedStore) -> tuple[CID, bytes]:
    """Store a file and small blocks under a list; return the list's CID and the file's bytes."""
    data = os.urandom(3 * CHUNK + 5)
    file = store.add_file(leaves_of(data))
    small = [os.urandom(100) for _ in range(20)]
    blocks = [(CID.of(RAW, block), block) for block in small]
    listing = dagcbor.encode({"v": 1, "blocks": sorted([file, *(cid for cid, _ in blocks)])})
    root = CID.of(DAG_CBOR, listing)
    store.put_blocks([*blocks, (root, listing)])
    return root, data


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 20 * CHUNK + 7])
def test_same_bytes_get_the_same_cid(node: Node, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    embedded = EmbeddedStore(tmp_path / "blocks")

    root = node.store.add_file(leaves_of(data))

    assert root == embedded.add_file(leaves_of(data))
    assert b"".join(node.store.read_file(root)) == data
    assert node.ipfs("cat", str(root)) == data
    options = ("--cid-version=1", "--raw-leaves", "--chunker=size-1048576", "--max-file-links=1024")
    assert node.ipfs("add", "-Q", "--only-hash", *options, given=data).decode().strip() == str(root)


def test_made_leaves_are_a_file(node: Node) -> None:
    content = os.urandom(2 * CHUNK + 3)

    def make(index: int, buffer: memoryview) -> None:
        buffer[:] = content[index * CHUNK : index * CHUNK + len(buffer)]

    assert b"".join(node.store.read_file(node.store.add_made(len(content), make))) == content


def test_blocks_round_trip_and_missing_ones_are_named(node: Node) -> None:
    block = CID.of(DAG_CBOR, b"\xa1aa\x01")
    node.store.put_block(block, b"\xa1aa\x01")
    node.store.pin(block)
    assert node.store.get_block(block) == b"\xa1aa\x01"
    with pytest.raises(IntegrityError):
        node.store.put_block(block, b"other")
    missing = CID.of(RAW, os.urandom(32))
    with pytest.raises(BlockNotFoundError):
        node.store.get_block(missing)
    assert not node.store.has_block(missing)
    with pytest.raises(BlockNotFoundError):
        node.store.pin(missing)


def test_thousands_of_blocks_go_in_few_requests(node: Node) -> None:
    blocks = [(CID.of(RAW, data), data) for data in (os.urandom(900) for _ in range(kubo.PIECE_BLOCKS + 100))]
    # One twice: the node counts what it was sent.
    node.store.put_blocks([*blocks, blocks[0]])
    held = set(node.store.blocks())
    assert held >= {cid for cid, _ in blocks}
    assert node.store.totals()[0] >= len(blocks)


def test_pins_are_listed_and_taken_back(node: Node) -> None:
    root, _ = a_batch(node.store)
    node.store.pin(root)
    node.store.pin(root)
    assert root in node.store.pins()
    node.store.unpin(root)
    node.store.unpin(root)
    assert root not in node.store.pins()


def test_removing_reaches_pinned_blocks_and_only_those_named(node: Node) -> None:
    root, _ = a_batch(node.store)
    node.store.pin(root)
    below = dag.links(root, node.store.get_block(root))
    node.store.delete_block(root)
    assert not node.store.has_block(root)
    # The node removes nothing more while one of its pins can't be walked, and says so.
    with pytest.raises(StoreUnavailableError, match="pin check failed"):
        node.store.delete_block(below[0])
    node.store.unpin(root)
    for cid in (root, below[0], below[0]):
        node.store.delete_block(cid)
        assert not node.store.has_block(cid)
    assert all(node.store.has_block(cid) for cid in below[1:])


def test_a_car_of_ours_is_imported_by_the_node(node: Node, tmp_path: Path) -> None:
    embedded = EmbeddedStore(tmp_path / "blocks")
    root, data = a_batch(embedded)
    with open(tmp_path / "ours.car", "wb") as file:
        report = stores.export_car(embedded, [root], file, name="ours.car")
    answer = node.ipfs("dag", "import", "--stats", str(tmp_path / "ours.car")).decode()
    assert str(root) in answer
    assert f"Imported {report.blocks} blocks ({report.size} bytes)" in answer
    assert root in node.store.pins()
    file_cid = next(cid for cid in dag.links(root, node.store.get_block(root)) if cid.codec == DAG_PB)
    assert b"".join(node.store.read_file(file_cid)) == data
    node.store.unpin(root)


def test_a_car_of_the_node_is_ours_to_the_byte(node: Node, tmp_path: Path) -> None:
    root, _ = a_batch(node.store)
    exported = node.ipfs("dag", "export", str(root))
    ours = io.BytesIO()
    stores.export_car(node.store, [root], ours, name="ours.car")
    assert ours.getvalue() == exported
    embedded = EmbeddedStore(tmp_path / "blocks")
    report = stores.import_car(embedded, io.BytesIO(exported), name="theirs.car")
    assert (report.roots, report.pinned, report.missing) == ((root,), 1, ())
    assert [cid for cid, _ in dag.walk([root], embedded.get_block)] == [
        cid for cid, _ in car.read_car(io.BytesIO(exported))[1]
    ]


def test_a_damaged_file_on_the_nodes_disk_is_found(node: Node) -> None:
    data = os.urandom(40 * CHUNK)
    root = node.store.add_file(leaves_of(data))
    damaged = CID.of(RAW, data[17 * CHUNK : 18 * CHUNK])
    node.file_of(damaged).write_bytes(bytes(CHUNK))
    read: list[bytes] = []
    with pytest.raises(IntegrityError, match=str(damaged)):
        read.extend(node.store.read_file(root))
    assert data.startswith(b"".join(read))
    node.file_of(damaged).unlink()
    with pytest.raises(BlockNotFoundError, match=str(damaged)):
        list(node.store.read_file(root))


def test_nodes_heal_each_other(node: Node, other: Node) -> None:
    store = ReplicatedStore([node.store, other.store], 2)
    root, data = a_batch(store)
    store.pin(root)
    blocks = [cid for cid, _ in dag.walk([root], store.get_block)]
    file_cid = next(cid for cid in blocks if cid.codec == DAG_PB)
    # A lost leaf, and a list and a node that are damaged, so that the pin can't be walked.
    other.file_of(blocks[-1]).unlink()
    for cid in (root, file_cid):
        content = bytearray(other.file_of(cid).read_bytes())
        content[len(content) // 2] ^= 1
        other.file_of(cid).write_bytes(content)

    report = store.repair([root])

    assert report.whole, report
    assert [entry.healed for entry in report.nodes] == [0, 3]
    assert b"".join(other.store.read_file(file_cid)) == data
    assert root in other.store.pins()
    assert all(other.store.get_block(cid) == node.store.get_block(cid) for cid in blocks)


def test_garbage_goes_after_two_sights_and_pinned_blocks_stay(other: Node) -> None:
    store = other.store
    root, data = a_batch(store)
    store.pin(root)
    garbage = [(CID.of(RAW, block), block) for block in (os.urandom(5000) for _ in range(300))]
    store.put_blocks(garbage)
    seen: dict[str, float] = {}
    now = time.time()
    first = collect.collect(store, [], now=now, first_seen=seen)
    assert (first.removed, len(seen)) == (0, first.young)
    assert {cid.digest.hex() for cid, _ in garbage} <= set(seen)

    found = collect.collect(store, [], now=now + collect.GRACE, first_seen=seen)

    assert found.removed == first.young
    assert found.freed == first.young_bytes
    assert not any(store.has_block(cid) for cid, _ in garbage)
    file_cid = next(cid for cid in dag.links(root, store.get_block(root)) if cid.codec == DAG_PB)
    assert b"".join(store.read_file(file_cid)) == data
    # The node itself is whole: it still walks its pins.
    assert b"missing" not in other.ipfs("pin", "verify", "--verbose")


def test_a_node_with_files_of_others_is_not_swept(other: Node) -> None:
    block = os.urandom(100)
    other.store.put_block(CID.of(RAW, block), block)
    other.ipfs("files", "write", "--create", "/theirs", given=b"hello")
    with pytest.raises(UsageError, match="isn't PanaChain's"):
        other.store.delete_blocks([CID.of(RAW, block)])
    other.ipfs("files", "rm", "/theirs")
    assert other.store.delete_blocks([CID.of(RAW, block)]) == 100
    pinned = other.ipfs("add", "-Q", "--cid-version=0", given=b"theirs").decode().strip()
    with pytest.raises(UsageError, match="isn't PanaChain's"):
        other.store.delete_blocks([CID.of(RAW, block)])
    other.ipfs("pin", "rm", pinned)


def test_start_script_makes_a_private_node_that_syncs(tmp_path: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(find_program()).parent}:{os.environ['PATH']}"}
    script = ROOT / "ipfs" / "start.sh"
    command = ["sh", str(script), str(tmp_path / "repo"), "init"]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    config = json.loads((tmp_path / "repo" / "config").read_text())
    assert config["Addresses"]["API"] == "/ip4/127.0.0.1/tcp/5001"
    assert config["Addresses"]["Gateway"] == ""
    assert config["Routing"]["Type"] == "none"
    assert config["Bootstrap"] in ([], None)
    assert config["Datastore"]["Spec"]["mounts"][0]["sync"] is True
    assert config["Provide"]["Enabled"] is False


def test_absent_node_is_unavailable() -> None:
    with pytest.raises(StoreUnavailableError, match="no Kubo node answers"):
        KuboStore(f"/ip4/127.0.0.1/tcp/{free_port()}")


def test_what_is_erased_is_gone_from_the_nodes_disk_and_its_pins(node: Node) -> None:
    blocks = [os.urandom(3000) for _ in range(3)]
    cids = [CID.of(RAW, block) for block in blocks]
    node.store.put_blocks(zip(cids, blocks, strict=True))
    listed = dagcbor.encode({"v": 1, "blocks": sorted(cids)})
    root = CID.of(DAG_CBOR, listed)
    node.store.put_block(root, listed)
    node.store.pin(root)
    lists: dict[str, str] = {}
    (found,) = erase(node.store, cids[:2], lambda store, gone: unlist(store, gone, lists))
    assert (found.left, found.failure) == (set(), None)
    assert [node.file_of(cid).exists() for cid in cids] == [False, False, True]
    pins = set(node.store.pins())
    assert root not in pins
    assert CID.parse(lists[str(root)]) in pins
    assert not any(
        block in path.read_bytes() for block in blocks[:2] for path in (node.folder / "blocks").rglob("*.data")
    )
