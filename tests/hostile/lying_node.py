"""A node of a chain that lies: a JSON-RPC server in this process before a true node, whose answers it changes.

    with LyingNode("http://127.0.0.1:8545") as node:
        node.lie = hiding_logs_of(registry)     # or any function of method, parameters and the true answer
        Network(Config(…, mainchain_rpc=node.url), …)

Every lie here is as good as a node can make it without breaking a hash: what it can't make fit is what gets it caught.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import httpx
import rlp
from eth_utils import int_to_big_endian, keccak

Lie = Callable[[str, list[Any], Any], Any]
"""Returns what is answered, given method, parameters and the true answer; it may raise `Refused`."""


class Refused(Exception):  # noqa: N818
    """The node answers with an error of JSON-RPC."""

    def __init__(self, message: str = "Method not found", code: int = -32601) -> None:
        super().__init__(message)
        self.code = code


def honest(_: str, __: list[Any], answer: Any) -> Any:
    """Change nothing."""
    return answer


class LyingNode:
    """A node that asks a true one, and tells what `lie` makes of the answer."""

    def __init__(self, upstream: str, lie: Lie = honest) -> None:
        """Start to listen on a port of loopback."""
        self.lie = lie
        self.asked: list[tuple[str, list[Any]]] = []
        """Each call that came in."""
        self.down = False
        """Whether connections are closed without an answer."""
        self._upstream = upstream
        self._client = httpx.Client(timeout=60, trust_env=False)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.down:
                    self.close_connection = True
                    return
                content = json.dumps(outer._answer(json.loads(body))).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop to listen."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def truth(self, method: str, *params: Any) -> Any:
        """Return what the true node answers."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        return self._client.post(self._upstream, json=request).json()["result"]

    def _answer(self, asked: Any) -> Any:
        if isinstance(asked, list):
            true = {one["id"]: one for one in self._client.post(self._upstream, json=asked).json()}
            return [self._one(one, true[one["id"]]) for one in asked]
        return self._one(asked, self._client.post(self._upstream, json=asked).json())

    def _one(self, asked: Mapping[str, Any], true: dict[str, Any]) -> dict[str, Any]:
        method, params = asked["method"], asked.get("params", [])
        self.asked.append((method, params))
        try:
            # Also what the true node refuses can be answered: a liar shows blocks that there are not.
            told = self.lie(method, params, copy.deepcopy(true.get("result")))
        except Refused as refused:
            return {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": refused.code, "message": str(refused)}}
        if "error" in true and told is None:
            return true
        return {"jsonrpc": "2.0", "id": asked["id"], "result": told}


# Lies


def together(*lies: Lie) -> Lie:
    """Tell several lies at once."""

    def lie(method: str, params: list[Any], answer: Any) -> Any:
        for one in lies:
            answer = one(method, params, answer)
        return answer

    return lie


def without(*methods: str) -> Lie:
    """Be a node that doesn't have some methods."""

    def lie(method: str, _: list[Any], answer: Any) -> Any:
        if method in methods:
            raise Refused
        return answer

    return lie


def answering(method_of: str, change: Callable[[Any], Any]) -> Lie:
    """Change the answers to one method."""

    def lie(method: str, _: list[Any], answer: Any) -> Any:
        return change(answer) if method == method_of else answer

    return lie


def hiding_logs(wanted: Callable[[Mapping[str, Any]], bool]) -> Lie:
    """Leave out logs, wherever a node tells of them; receipts and headers stay otherwise as they are."""

    def kept(logs: Iterable[Any]) -> list[Any]:
        return [log for log in logs if not wanted(log)]

    return changing_logs(kept)


def changing_logs(change: Callable[[list[Any]], list[Any]]) -> Lie:
    """Change lists of logs, wherever a node tells of them."""

    def lie(method: str, _: list[Any], answer: Any) -> Any:
        if method == "eth_getLogs" and answer is not None:
            return change(answer)
        if method == "eth_getBlockReceipts" and answer is not None:
            return [receipt | {"logs": change(receipt["logs"])} for receipt in answer]
        if method == "eth_getTransactionReceipt" and answer is not None:
            return answer | {"logs": change(answer["logs"])}
        return answer

    return lie


def hiding_blocks_of(wanted: Callable[[Mapping[str, Any]], bool], node: LyingNode) -> Lie:
    """Leave out logs, and clear the bloom of each block that holds one, so that nobody asks for its receipts."""
    hidden = hiding_logs(wanted)

    def lie(method: str, params: list[Any], answer: Any) -> Any:
        if method in ("eth_getBlockByNumber", "eth_getBlockByHash") and answer is not None:
            receipts = node.truth("eth_getBlockReceipts", answer["hash"]) or []
            if any(wanted(log) for receipt in receipts for log in receipt["logs"]):
                return answer | {"logsBloom": "0x" + "00" * 256}
            return answer
        return hidden(method, params, answer)

    return lie


def stopped_at(number: int, node: LyingNode) -> Lie:
    """Show an old block as the head, as if nothing had happened since."""

    def lie(method: str, params: list[Any], answer: Any) -> Any:
        if method == "eth_blockNumber":
            return hex(number)
        if method == "eth_getBlockByNumber":
            if params[0] in ("latest", "pending", "safe", "finalized"):
                return node.truth("eth_getBlockByNumber", hex(number), params[1])
            return answer if int(params[0], 16) <= number else None
        if method == "eth_getLogs" and answer is not None:
            return [log for log in answer if int(log["blockNumber"], 16) <= number]
        if method in ("eth_call", "eth_getProof") and params[-1] == "latest":
            return node.truth(method, *params[:-1], hex(number))
        return answer

    return lie


def forged_call(selector: str, word: str) -> Lie:
    """Answer each eth_call of one function with other words, in hex."""

    def lie(method: str, params: list[Any], answer: Any) -> Any:
        if method != "eth_call":
            return answer
        data = params[0].get("data") or params[0].get("input") or ""
        return "0x" + word if data.startswith(selector) else answer

    return lie


def is_log_of(address: str, *topics: str | None) -> Callable[[Mapping[str, Any]], bool]:
    """Return whether a log is a contract's, with these first topics; None stands for any."""

    def wanted(log: Mapping[str, Any]) -> bool:
        found: Sequence[str] = log["topics"]
        return log["address"].lower() == address.lower() and all(
            topic is None or (place < len(found) and found[place].lower() == topic.lower())
            for place, topic in enumerate(topics)
        )

    return wanted


# Headers that hash: what a node can show without breaking one


def rehashed(block: Mapping[str, Any], **change: Any) -> dict[str, Any]:
    """Return a block with some fields changed, and the hash that it has then."""
    changed = dict(block) | change
    fields = [_bytes_of(changed[name], name) for name in FIELDS]
    fields += [_bytes_of(changed[name], name) for name in LATER if changed.get(name) is not None]
    return changed | {"hash": "0x" + keccak(rlp.encode(fields)).hex()}


def _bytes_of(value: str, name: str) -> bytes:
    number = int(value, 16) if name in NUMBERS else None
    if number is None:
        return bytes.fromhex(value[2:])
    return int_to_big_endian(number) if number else b""


FIELDS = (
    *("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom", "difficulty"),
    *("number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce"),
)
LATER = (
    *("baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash"),
)
NUMBERS = frozenset(
    (
        *("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed"),
        *("excessBlobGas",),
    )
)


def head_ahead_of(now: float, seconds: int) -> Lie:
    """Show a newest block whose time is so far ahead of a clock, with the hash that it has."""

    def lie(method: str, params: list[Any], answer: Any) -> Any:
        if method == "eth_getBlockByNumber" and params[0] == "latest":
            return rehashed(answer, timestamp=hex(int(now) + seconds))
        return answer

    return lie


def forked_after(number: int, node: LyingNode, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Lie:
    """Show another history above a block: each header changed, hashed anew, and linked to the one before."""
    known: dict[int, dict[str, Any]] = {}

    def block(at: int) -> dict[str, Any]:
        if at not in known:
            true = node.truth("eth_getBlockByNumber", hex(at), False)
            known[at] = true if at <= number else rehashed(true, parentHash=block(at - 1)["hash"], **change(true))
        return known[at]

    def lie(method: str, params: list[Any], answer: Any) -> Any:
        if method == "eth_getBlockByNumber" and answer is not None:
            return block(int(answer["number"], 16))
        if method in ("eth_getBlockByHash", "eth_getBlockReceipts"):
            found = next((at for at, one in known.items() if one["hash"] == params[0]), None)
            if found is not None:
                return block(found) if method == "eth_getBlockByHash" else node.truth(method, hex(found))
        return answer

    return lie
