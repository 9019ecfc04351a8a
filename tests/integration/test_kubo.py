"""The store in a real Kubo node: the same bytes get the same CID as in the embedded store."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from panachain.chain.anvil import free_port, stop
from panachain.errors import BlockNotFoundError, IntegrityError, StoreUnavailableError
from panachain.storage import unixfs
from panachain.storage.cid import CID, DAG_CBOR, RAW
from panachain.storage.embedded import EmbeddedStore
from panachain.storage.kubo import KuboStore

BUILT = Path(__file__).resolve().parents[2] / ".cache" / "kubo" / "ipfs"


@pytest.fixture(scope="module")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KuboStore]:
    program = os.environ.get("PANACHAIN_IPFS") or (str(BUILT) if BUILT.exists() else shutil.which("ipfs"))
    if not program:
        pytest.skip("no Kubo program: scripts/build_kubo.sh makes one where there is Go, or name one in PANACHAIN_IPFS")
    folder = tmp_path_factory.mktemp("kubo")
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
    try:
        yield connect(f"/ip4/127.0.0.1/tcp/{port}", folder / "daemon.log")
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


@pytest.mark.parametrize("size", [0, 1, unixfs.CHUNK - 1, unixfs.CHUNK, unixfs.CHUNK + 1, 3 * unixfs.CHUNK])
def test_same_bytes_get_the_same_cid(kubo: KuboStore, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    leaves = [data[start : start + unixfs.CHUNK] for start in range(0, size, unixfs.CHUNK)] or [b""]
    embedded = EmbeddedStore(tmp_path / "blocks")

    root = kubo.add_file(leaves)

    assert root == embedded.add_file(leaves)
    assert b"".join(kubo.read_file(root)) == data


def test_blocks_round_trip_and_missing_ones_are_named(kubo: KuboStore) -> None:
    node = CID.of(DAG_CBOR, b"\xa1aa\x01")
    kubo.put_block(node, b"\xa1aa\x01")
    kubo.pin(node)
    assert kubo.get_block(node) == b"\xa1aa\x01"
    with pytest.raises(IntegrityError):
        kubo.put_block(node, b"other")
    missing = CID.of(RAW, os.urandom(32))
    with pytest.raises(BlockNotFoundError):
        kubo.get_block(missing)
    assert not kubo.has_block(missing)


def test_absent_node_is_unavailable() -> None:
    with pytest.raises(StoreUnavailableError, match="no Kubo node answers"):
        KuboStore(f"/ip4/127.0.0.1/tcp/{free_port()}")
