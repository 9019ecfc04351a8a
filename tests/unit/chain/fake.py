"""A node in memory for the adapters: it answers from a table, in the bytes that a real one would send."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eth_abi import encode
from eth_utils import keccak
from eth_utils.abi import collapse_if_tuple

from panachain.chain.abi import contract
from panachain.chain.bound import BoundContract
from panachain.chain.evm import Receipt
from panachain.chain.rpc import RpcAnswerError

WHERE = "0x" + "c0" * 20
CHAIN_ID = 5
BLOCK = {"number": "0x9", "hash": "0x" + "99" * 32, "timestamp": "0x64"}


def entry(name: str, kind: str, called: str) -> dict[str, Any]:
    """Return an entry of a contract's ABI."""
    return next(one for one in contract(name).entries if one["type"] == kind and one.get("name") == called)


def types_of(items: Sequence[dict[str, Any]]) -> list[str]:
    return [collapse_if_tuple(item) for item in items]


def log(name: str, event: str, *, at: int = 0, tx: str = "0x" + "77" * 32, **values: Any) -> dict[str, Any]:
    """Return a log as a node gives it, encoded by eth_abi.

    Args:
        name: the contract's.
        event: the event's.
        at: its place in block 9.
        tx: hash of its transaction.
        values: by the names of the ABI.
    """
    inputs = entry(name, "event", event)["inputs"]
    topics = ["0x" + keccak(text=f"{event}({','.join(types_of(inputs))})").hex()]
    topics += [
        "0x" + encode([kind], [values[item["name"]]]).hex()
        for item, kind in zip(inputs, types_of(inputs), strict=True)
        if item["indexed"]
    ]
    rest = [item for item in inputs if not item["indexed"]]
    data = "0x" + encode(types_of(rest), [values[item["name"]] for item in rest]).hex()
    place = {"blockNumber": "0x9", "logIndex": hex(at), "blockHash": BLOCK["hash"], "transactionHash": tx}
    return {"topics": topics, "data": data} | place


class Node:
    """Answers calls by function, and logs by what was put into it; it filters by topics as nodes do."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.logs: list[dict[str, Any]] = []
        self.answers: dict[str, Any] = {}
        """By function: the values, or a function that makes them of the calldata."""
        self.asked: list[tuple[str, list[Any]]] = []
        self.batches = 0
        self.log_window = 0

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        self.asked.append((method, list(params)))
        if method == "eth_getCode":
            return contract(self.name).bytecode
        if method == "eth_blockNumber":
            return BLOCK["number"]
        if method == "eth_getBlockByNumber":
            number = BLOCK["number"] if params[0] == "latest" else params[0]
            return BLOCK | {"number": number}
        if method == "eth_getLogs":
            return [one for one in self.logs if _fits(one["topics"], params[0]["topics"])]
        if method == "eth_call":
            return self._result(params[0]["data"])
        found = self.answers[method]
        if isinstance(found, Exception):
            raise found
        return found

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        self.batches += 1
        return [self.call(*one) for one in calls]

    def _result(self, data: str) -> str:
        for function, answer in self.answers.items():
            if data.startswith("0x" + selector(self.name, function)):
                found = answer(data) if callable(answer) else answer
                if isinstance(found, Exception):
                    raise found
                if isinstance(found, str) and found.startswith("0x"):
                    return found
                outputs = types_of(entry(self.name, "function", function)["outputs"])
                # A struct is one value.
                return "0x" + encode(outputs, [found] if outputs[0].startswith("(") else found).hex()
        raise RpcAnswerError("execution reverted")


def selector(name: str, function: str) -> str:
    """Return the first digits of a function's calldata."""
    if function.startswith("eth_"):
        return function
    types = types_of(entry(name, "function", function)["inputs"])
    return keccak(text=f"{function}({','.join(types)})")[:4].hex()


class Sender:
    """Remembers what is sent, and says that it is mined."""

    address = "0x" + "5e" * 20

    def __init__(self, *logs: dict[str, Any], contracts: Callable[[], str | None] = lambda: None) -> None:
        self.sent: list[tuple[str | None, str, str]] = []
        self._logs, self._contracts = logs, contracts

    def send(self, to: str | None, data: str, *, what: str, signed: Any = None, **_: Any) -> Receipt:
        self.sent.append((to, data, what))
        if signed is not None:
            signed("0x01", data)
        return Receipt("0x" + "77" * 32, 9, 21_000, self._contracts(), self._logs)


def calldata(name: str, function: str, *args: Any) -> str:
    """Return calldata as eth_abi encodes it."""
    types = types_of(entry(name, "function", function)["inputs"])
    return "0x" + selector(name, function) + encode(types, args).hex()


def bound(node: Node) -> BoundContract:
    return BoundContract(node, node.name, WHERE, chain_id=CHAIN_ID)  # type: ignore[arg-type]


def _fits(found: Sequence[str], wanted: Sequence[Any]) -> bool:
    if len(wanted) > len(found):
        return False
    return all(
        one is None or have == one or (isinstance(one, list) and have in one)
        for have, one in zip(found, wanted, strict=False)
    )
