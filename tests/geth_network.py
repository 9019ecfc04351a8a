"""A chain of several geth nodes that are each other's peers: one loop of ours stands for their consensus clients.

Each is geth as operators run it, without `--dev`: transactions go from node to node, and over the Engine API each makes
blocks in its turn and is told of the others'. There are no blocks while fewer than a quorum of nodes is there, as
under a consensus that survives one faulty node of four.
Follows docs/adr/0032-four-nodes-and-one-consensus.md and the Engine API of Prague (ethereum/execution-apis).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx

from panachain.chain import anvil
from panachain.chain.anvil import ChainProcess, free_port
from tests import chains

NODES: Final = 4
QUORUM: Final = 3
"""Nodes that must be there for a block: two thirds and one of four."""
_ZERO: Final = "0x" + "00" * 32
_BUILDING: Final = 0.3
"""Seconds that a node gets to put transactions into a block."""


class GethNode:
    """One node: it runs or doesn't, and hears of the others or doesn't."""

    def __init__(self, folder: Path, chain_id: int, secret: bytes) -> None:
        self.folder = folder
        self._chain_id = chain_id
        self._secret = secret
        self._port, self._engine, self._peers = free_port(), free_port(), free_port()
        self._process: ChainProcess | None = None
        self.connected = True
        """Whether the others and the consensus reach it."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def there(self) -> bool:
        return self._process is not None and self.connected

    def start(self) -> None:
        command = [
            *(chains.find_geth(), "--datadir", str(self.folder / "data"), "--networkid", str(self._chain_id)),
            *("--syncmode", "full", "--state.scheme", "hash", "--gcmode", "archive", "--ipcdisable"),
            *("--http", "--http.addr", "127.0.0.1", "--http.port", str(self._port), "--http.api", "eth,net,web3,admin"),
            *("--authrpc.addr", "127.0.0.1", "--authrpc.port", str(self._engine)),
            *("--authrpc.jwtsecret", str(self.folder / "secret")),
            *("--port", str(self._peers), "--nodiscover", "--nat", "none", "--netrestrict", "127.0.0.0/8"),
        ]
        self._process = chains.started(command, self.folder, self._port, self._chain_id)

    def kill(self) -> None:
        """End it as a power cut does."""
        process, self._process = self._process, None
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        while anvil.is_running(process.pid):
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            anvil.stop(self._process.pid)
            self._process = None

    def ask(self, method: str, *params: Any) -> Any:
        """Call a method that everybody may call."""
        return self._post(self._port, method, params, {})

    def engine(self, method: str, *params: Any) -> Any:
        """Call a method of the Engine API, as a consensus client does."""
        claims = json.dumps({"iat": int(time.time())}).encode()
        signed = b".".join(_base64(part) for part in (b'{"alg":"HS256","typ":"JWT"}', claims))
        token = signed + b"." + _base64(hmac.new(self._secret, signed, hashlib.sha256).digest())
        return self._post(self._engine, method, params, {"Authorization": f"Bearer {token.decode()}"})

    def meet(self, other: GethNode) -> None:
        self.ask("admin_addPeer", other.name())

    def leave(self, other: GethNode) -> None:
        self.ask("admin_removePeer", other.name())

    def name(self) -> str:
        """Return the node's address among peers."""
        return str(self.ask("admin_nodeInfo")["enode"])

    def head(self) -> tuple[int, str]:
        block = self.ask("eth_getBlockByNumber", "latest", False)
        return int(block["number"], 16), str(block["hash"])

    def _post(self, port: int, method: str, params: Sequence[Any], headers: dict[str, str]) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        url = f"http://127.0.0.1:{port}"
        answer = httpx.post(url, json=body, headers=headers, timeout=30, trust_env=False).json()
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]


class GethNetwork:
    """Nodes of one chain, and the loop that stands for their consensus."""

    def __init__(self, nodes: Sequence[GethNode]) -> None:
        self.nodes = nodes
        self._turn = 0
        self._made: list[tuple[dict[str, Any], list[str]]] = []
        """Each block since the first, as the Engine API has it."""
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._loop = threading.Thread(target=self._make_blocks, daemon=True)
        self.broken: BaseException | None = None

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            self._join(node)
        self._loop.start()

    def stop(self) -> None:
        self._over.set()
        if self._loop.is_alive():
            self._loop.join(60)
        for node in self.nodes:
            node.stop()

    def kill(self, number: int) -> None:
        with self._lock:
            self.nodes[number].kill()

    def revive(self, number: int) -> None:
        with self._lock:
            self.nodes[number].start()
            self._join(self.nodes[number])

    def cut(self, number: int) -> None:
        """Cut a node off from the others and from the consensus; whoever asks it is answered as before."""
        with self._lock:
            node = self.nodes[number]
            for other in self.nodes:
                if other is not node and other.there:
                    node.leave(other)
                    other.leave(node)
            node.connected = False

    def rejoin(self, number: int) -> None:
        with self._lock:
            self.nodes[number].connected = True
            self._join(self.nodes[number])

    def height(self) -> int:
        return max(node.head()[0] for node in self.nodes if node.there)

    def wait_blocks(self, count: int) -> None:
        """Wait for some more blocks, or for what broke the loop; the test's own limit bounds it."""
        before = self.height()
        while self.height() < before + count:
            self.check()
            time.sleep(0.1)

    def check(self) -> None:
        """Raise what broke the loop."""
        if self.broken is not None:
            raise self.broken

    def agree(self) -> bool:
        """Tell whether all nodes have the same newest block."""
        return len({node.head() for node in self.nodes}) == 1

    def _join(self, node: GethNode) -> None:
        for other in self.nodes:
            if other is not node and other.there:
                node.meet(other)
                other.meet(node)

    def _make_blocks(self) -> None:
        try:
            while not self._over.wait(chains.PERIOD):
                with self._lock:
                    there = [node for node in self.nodes if node.there]
                    if len(there) >= QUORUM:
                        self._make_block(there)
        except BaseException as exc:  # noqa: BLE001 - whoever waits for blocks raises it
            self.broken = exc

    def _make_block(self, there: Sequence[GethNode]) -> None:
        # A node that came back may still lag: one that has the newest block builds on it.
        newest = max(node.head() for node in there)
        able = [node for node in there if node.head() == newest]
        self._turn += 1
        builder = able[self._turn % len(able)]
        parent = builder.ask("eth_getBlockByNumber", "latest", False)
        wanted = {
            "timestamp": hex(max(int(time.time()), int(parent["timestamp"], 16) + 1)),
            "prevRandao": _ZERO,
            "suggestedFeeRecipient": "0x" + "00" * 20,
            "withdrawals": [],
            "parentBeaconBlockRoot": _ZERO,
        }
        begun = builder.engine("engine_forkchoiceUpdatedV3", _choice(parent["hash"]), wanted)
        time.sleep(_BUILDING)
        made = builder.engine("engine_getPayloadV4", begun["payloadId"])
        payload, requests = made["executionPayload"], made["executionRequests"]
        self._made.append((payload, requests))
        for node in there:
            self._tell(node)

    def _tell(self, node: GethNode) -> None:
        """Tell a node of the blocks that it lacks, in their order, and then of the newest one.

        Of the newest one only, as consensus clients do: a node that was killed may still list a block that it lost as
        its chain's, and takes a word about that one for an old head.
        """
        lacking = self._made[node.head()[0] :]
        for payload, requests in lacking:
            told = node.engine("engine_newPayloadV4", payload, [], _ZERO, requests)
            # One that was killed may also have kept a block whose state it lost: it takes that one for known, and can't
            # build on it. Told of the newest one it fetches from its peers what it lacks, and lags meanwhile.
            assert told["status"] in ("VALID", "ACCEPTED", "SYNCING"), told
        if lacking:
            chosen = node.engine("engine_forkchoiceUpdatedV3", _choice(lacking[-1][0]["blockHash"]), None)
            assert chosen["payloadStatus"]["status"] in ("VALID", "SYNCING"), chosen


@contextmanager
def running_network(folder: Path, chain_id: int) -> Iterator[GethNetwork]:
    """Run several nodes of one new chain."""
    secret = secrets.token_bytes(32)
    nodes = []
    for number in range(NODES):
        place = folder / f"node-{number}"
        place.mkdir(parents=True)
        (place / "secret").write_text(secret.hex())
        if nodes:
            shutil.copy(nodes[0].folder / "genesis.json", place)
        else:
            chains.write_genesis(place / "genesis.json", chain_id, newest=False)
        chains.initialise(place)
        nodes.append(GethNode(place, chain_id, secret))
    network = GethNetwork(nodes)
    try:
        network.start()
        yield network
    finally:
        with suppress(Exception):
            network.stop()
        for node in nodes:
            node.stop()


def _choice(block: str) -> dict[str, str]:
    # Nothing is told to be final, since nothing here reads that; no block is ever taken back either.
    return {"headBlockHash": block, "safeBlockHash": _ZERO, "finalizedBlockHash": _ZERO}


def _base64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")
