"""A node that a test writes by hand: results of calls by function, logs and receipts; it remembers what it was asked.

What it answers is encoded by eth_abi, not by the code under test. A result may also be `Raw`, which is how a node lies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from eth_abi import decode, encode
from eth_utils import keccak, to_checksum_address
from eth_utils.abi import collapse_if_tuple

from panachain.chain.abi import contract
from panachain.chain.bound import BoundContract
from panachain.chain.evm import Receipt
from panachain.model.actors import Address

CHAIN_ID = 31_337
WHERE = to_checksum_address("0x" + "1c" * 20)
"""Where the contract is."""
PATIENT, DOCTOR, HOSPITAL, STRANGER = (
    Address(to_checksum_address("0x" + byte * 20)) for byte in ("a1", "a2", "a3", "a4")
)
NOBODY = "0x" + "00" * 20
KEYS = b"k" * 32
_Adapter = TypeVar("_Adapter")


@dataclass(frozen=True)
class Raw:
    """An answer as the node sends it, whatever the ABI says."""

    answer: Any


NOT_OF_THE_ABI = tuple(map(Raw, ("0x", "0x12", "0x" + "ff" * 32 * 8, None, 7, "yes")))
"""Answers that fit no result of ours: none, too short, out of every range, and no hex."""


@dataclass
class Node:
    """One contract on one node."""

    name: str
    results: dict[str, Any] = field(default_factory=dict)
    """By function: a value, a tuple of several, a function of the arguments, `Raw`, or an exception to raise."""
    logs: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, tuple[Any, ...], str]] = field(default_factory=list)
    """(function, arguments, block) of each call."""
    block: int = 100
    batches: int = 0
    log_window: int = 0

    def adapter(self, kind: Callable[[BoundContract], _Adapter], *, from_block: int = 0) -> _Adapter:
        """Return the adapter over this node."""
        return kind(BoundContract(self, self.name, WHERE, chain_id=CHAIN_ID, from_block=from_block))  # type: ignore[arg-type]

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        if method == "eth_getCode":
            return contract(self.name).bytecode
        if method == "eth_blockNumber":
            return hex(self.block)
        if method == "eth_getBlockByNumber":
            number = self.block if params[0] == "latest" else int(params[0], 16)
            return {"number": hex(number), "hash": f"0x{number:064x}", "timestamp": hex(1000 + number)}
        if method == "eth_getLogs":
            query = params[0]
            first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
            return [log for log in self.logs if first <= int(log["blockNumber"], 16) <= last and _fits(log, query)]
        assert method == "eth_call"
        return self._result(params[0]["data"], params[1])

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        self.batches += 1
        return [self.call(*call) for call in calls]

    def emit(self, event: str, *, block: int = 7, tx: int = 1, **values: Any) -> dict[str, Any]:
        """Add a log of an event with these values, and return it."""
        inputs = self._entry("event", event)["inputs"]
        assert set(values) == {item["name"] for item in inputs}
        indexed = [item for item in inputs if item["indexed"]]
        rest = [item for item in inputs if not item["indexed"]]
        log = {
            "address": WHERE,
            "topics": [
                "0x" + keccak(text=f"{event}({','.join(map(collapse_if_tuple, inputs))})").hex(),
                *("0x" + encode([item["type"]], [values[item["name"]]]).hex() for item in indexed),
            ],
            "data": "0x" + encode(list(map(collapse_if_tuple, rest)), [values[item["name"]] for item in rest]).hex(),
            "blockNumber": hex(block),
            "blockHash": "0x" + "0b" * 32,
            "transactionHash": f"0x{tx:064x}",
            "logIndex": hex(len(self.logs)),
        }
        self.logs.append(log)
        return log

    def decoded(self, data: str) -> tuple[str, tuple[Any, ...]]:
        """Return function and arguments of calldata, as another implementation reads them."""
        raw = bytes.fromhex(data[2:])
        for entry in contract(self.name).entries:
            types = [collapse_if_tuple(item) for item in entry.get("inputs", ())]
            if entry["type"] == "function" and keccak(text=f"{entry['name']}({','.join(types)})")[:4] == raw[:4]:
                return entry["name"], decode(types, raw[4:])
        raise AssertionError(f"no function of {self.name}: {data}")

    def _result(self, data: str, block: str) -> Any:
        function, args = self.decoded(data)
        self.asked.append((function, args, block))
        result = self.results[function]
        if callable(result):
            result = result(*args)
        if isinstance(result, Exception):
            raise result
        if isinstance(result, Raw):
            return result.answer
        types = [collapse_if_tuple(item) for item in self._entry("function", function)["outputs"]]
        return "0x" + encode(types, [result] if len(types) == 1 else list(result)).hex()

    def _entry(self, kind: str, name: str) -> dict[str, Any]:
        return next(e for e in contract(self.name).entries if e["type"] == kind and e["name"] == name)


@dataclass
class Sender:
    """Mines whatever it is given, with the logs that the test says."""

    node: Node
    address: Address = DOCTOR
    logs: list[dict[str, Any]] = field(default_factory=list)
    sent: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    """(function, arguments) of each transaction."""

    def send(self, to: str, data: str, *, what: str, signed: Any = None, **_: Any) -> Receipt:
        assert to == WHERE
        assert what
        self.sent.append(self.node.decoded(data))
        return Receipt("0x" + "7e" * 32, 7, 50_000, logs=tuple(self.logs))


def low(*accounts: str) -> tuple[str, ...]:
    """Return addresses as eth_abi decodes them."""
    return tuple(account.lower() for account in accounts)


def _fits(log: dict[str, Any], query: dict[str, Any]) -> bool:
    for place, topic in enumerate(query["topics"]):
        wanted = [topic] if isinstance(topic, str) else topic
        if wanted is not None and (place >= len(log["topics"]) or log["topics"][place] not in wanted):
            return False
    return True
