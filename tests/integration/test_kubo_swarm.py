"""Three Kubo nodes in a private swarm: one is killed at any moment of an upload, and the store moves to a fresh one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from panachain.chain.anvil import free_port
from panachain.ipld import dag, dagcbor
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.storage.kubo import KuboStore
from panachain.storage.moving import move
from panachain.storage.nodes import repair
from panachain.storage.replicated import ReplicatedStore
from tests.integration.test_kubo import connect, find_program

pytestmark = pytest.mark.deep

KEY = "/key/swarm/psk/1.0.0/\n/base16/\n" + "5c" * 32 + "\n"
"""Of this test's swarm only: it protects nothing."""


class Node:
    """A node of the swarm, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.program = find_program()
        self.folder = folder
        self.environment = os.environ | {"IPFS_PATH": str(folder), "IPFS_TELEMETRY": "off", "LIBP2P_FORCE_PNET": "1"}
        self.run("init", "--empty-repo")
        (folder / "swarm.key").write_text(KEY)
        self.port, swarm = free_port(), free_port()
        self.api = f"/ip4/127.0.0.1/tcp/{self.port}"
        path = folder / "config"
        config = json.loads(path.read_text())
        config["Addresses"] = {"API": self.api, "Gateway": "", "Swarm": [f"/ip4/127.0.0.1/tcp/{swarm}"]}
        config["Bootstrap"], config["Routing"] = [], {"Type": "none"}
        config["AutoConf"] = {"Enabled": False}
        config["Discovery"] = {"MDNS": {"Enabled": False}}
        config["DNS"], config["Ipns"] = {"Resolvers": {}}, {}
        path.write_text(json.dumps(config))
        self.address = f"/ip4/127.0.0.1/tcp/{swarm}/p2p/{config['Identity']['PeerID']}"
        self.store: KuboStore
        self._daemon: subprocess.Popen[bytes] | None = None

    def run(self, *arguments: str) -> bytes:
        command = [self.program, *arguments]
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, timeout=120).stdout

    def start(self) -> None:
        with (self.folder / "daemon.log").open("ab") as log:
            self._daemon = subprocess.Popen([self.program, "daemon"], env=self.environment, stdout=log, stderr=log)
        self.store = connect(self.api, self.folder / "daemon.log")

    def kill(self) -> None:
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGKILL)
        self._daemon.wait(30)

    def end(self) -> None:
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.terminate()
            try:
                self._daemon.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


@pytest.fixture
def swarm(tmp_path: Path) -> Iterator[list[Node]]:
    with ExitStack() as stack:
        nodes = []
        for number in range(3):
            folder = tmp_path / f"node-{number}"
            folder.mkdir()
            node = Node(folder)
            stack.callback(node.end)
            node.start()
            nodes.append(node)
        for node in nodes[1:]:
            node.run("--api", node.api, "swarm", "connect", nodes[0].address)
        yield nodes


def batch(store: ReplicatedStore, number: int) -> CID:
    """Upload one batch: 200 small blocks and a file under a pinned list."""
    blocks = [(CID.of(RAW, data), data) for data in (os.urandom(500) for _ in range(200))]
    file = store.add_file([os.urandom(1 << 20), os.urandom(1000 + number)])
    listing = dagcbor.encode({"v": 1, "blocks": sorted([file, *(cid for cid, _ in blocks)])})
    root = CID.of(DAG_CBOR, listing)
    store.put_blocks([*blocks, (root, listing)])
    store.pin(root)
    return root


def test_one_is_killed_at_any_moment_of_an_upload_and_nothing_is_lost(swarm: list[Node], tmp_path: Path) -> None:
    assert len(swarm[0].run("--api", swarm[0].api, "swarm", "peers").split()) == 2
    store = ReplicatedStore([node.store for node in swarm], 2)
    roots: list[CID] = []
    written = threading.Event()
    failures: list[BaseException] = []

    def upload() -> None:
        try:
            for number in range(24):
                roots.append(batch(store, number))
                written.set()
        except BaseException as exc:  # noqa: BLE001 - it is looked at below
            failures.append(exc)
        finally:
            written.set()

    thread = threading.Thread(target=upload)
    thread.start()
    # Each of the three once, wherever the upload is then.
    for number, node in enumerate(swarm):
        written.clear()
        written.wait(120)
        # A part of the next batch's way on, another one for each node.
        threading.Event().wait(0.02 * (number + 1))
        node.kill()
        node.start()
    thread.join(300)
    assert failures == []
    assert len(roots) == 24

    report = repair(store, roots)
    assert report.whole, report
    assert report.lost == []
    wanted = {cid for cid, _ in dag.walk(roots, store.get_block)}
    for node in swarm:
        assert all(cid.check(node.store.get_block(cid), node.api) for cid in wanted)
        assert set(roots) <= set(node.store.pins())

    # A fresh node outside of the swarm takes the whole store, also when it is killed half-way.
    fresh = Node(make(tmp_path / "fresh"))
    try:
        fresh.start()
        move_and_kill(swarm[0], fresh)
        again = move(swarm[0].store, fresh.store)
        assert again.missing == ()
        assert again.pinned == len(roots)
        assert move(swarm[0].store, fresh.store).copied == 0
        assert all(fresh.store.get_block(cid) == swarm[0].store.get_block(cid) for cid in wanted)
        assert set(fresh.store.pins()) == set(roots)
    finally:
        fresh.end()
    store.close()


def move_and_kill(source: Node, target: Node) -> None:
    """Begin to move, kill the target on the way, and start it again."""

    def progress(done: int, total: int, *, unit: str) -> None:
        if done == 1500:
            target.kill()

    with pytest.raises(Exception, match="answer"):
        move(source.store, target.store, progress=progress)
    target.start()


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder
