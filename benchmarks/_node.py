"""A node of two chains on which nothing has happened yet, for commands that start in a process of their own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from panachain.chain import rlp
from panachain.chain.block_receipts import EMPTY_ROOT
from panachain.ethereum import keccak

_WORD, _NUMBER = "0x" + "00" * 32, "0x0"
_FIELDS = {
    "parentHash": _WORD,
    "sha3Uncles": _WORD,
    "miner": "0x" + "00" * 20,
    "stateRoot": _WORD,
    "transactionsRoot": _WORD,
    "receiptsRoot": "0x" + EMPTY_ROOT.hex(),
    "logsBloom": "0x" + "00" * 256,
    "difficulty": _NUMBER,
    "number": _NUMBER,
    "gasLimit": _NUMBER,
    "gasUsed": _NUMBER,
    "timestamp": "0x1",
    "extraData": "0x",
    "mixHash": _WORD,
    "nonce": "0x" + "00" * 8,
    "baseFeePerGas": "0x1",
}
"""Of a header, in the order in which they are hashed."""
_NUMBERS = ("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas")


def _hash() -> str:
    items = [
        rlp.number(int(value, 16)) if name in _NUMBERS else bytes.fromhex(value[2:]) for name, value in _FIELDS.items()
    ]
    return "0x" + keccak(rlp.encode(items)).hex()


_BLOCK: dict[str, Any] = _FIELDS | {"hash": _hash(), "transactions": []}
_CHAIN: int = 31_337
_RESULTS: dict[str, Any] = {
    "eth_getLogs": [],
    "eth_getBlockByNumber": _BLOCK,
    "eth_blockNumber": "0x0",
    "eth_chainId": hex(_CHAIN),
}
_CONTRACTS = (
    *("ActorRegistry", "RecordLedger", "PolicyRegistry", "AccessLog", "Checkpoints", "AccessManager"),
    *("IdentityRegistry", "AccessRequests", "EmergencyAccess", "CareGroups", "Wardships"),
)


class _Handler(BaseHTTPRequestHandler):
    """Answers each connection."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer one request or a batch."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answers = [_answer(one) for one in (asked if isinstance(asked, list) else [asked])]
        content = json.dumps(answers if isinstance(asked, list) else answers[0]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request["id"], "result": _RESULTS.get(request["method"])}


@contextmanager
def running_node() -> Iterator[str]:
    """Run the node and return its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def write_network(path: Path, url: str) -> None:
    """Write a network file that names the node for both chains."""
    contracts = {name: f"0x{number:040x}" for number, name in enumerate(_CONTRACTS, start=0xA0)}
    chain = {"url": url, "chainId": _CHAIN, "contracts": contracts, "fromBlock": 0}
    network = {"schema": "panachain/network/1", "mainchain": chain, "sidechain": chain, "threshold": 2}
    path.write_text(json.dumps(network | {"ipfs": {"kind": "embedded"}}))
