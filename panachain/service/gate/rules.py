"""What a gate passes to the sidechain's node, and what it never does.

Pure: a body comes in, and what may be sent comes out, written anew. Nothing that was read in two ways by gate and node
can pass (a key twice, a key in capitals, a field that the gate doesn't know).
Follows docs/spec/gate.md, section "What passes", and the Ethereum JSON-RPC specification.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from panachain.chain.signing import decode_transaction
from panachain.errors import OutOfScopeError, UsageError

SEND: Final = "eth_sendRawTransaction"
MAX_BODY: Final = 1 << 20
"""Bytes of one request."""
MAX_CALLS: Final = 1000
"""Calls in one request; the SDK asks at most 500."""
_PLAIN: Final[Mapping[str, int]] = {
    "eth_chainId": 0,
    "eth_blockNumber": 0,
    "eth_getBlockByNumber": 2,
    "eth_getBlockByHash": 2,
    "eth_getBlockReceipts": 1,
    "eth_getTransactionReceipt": 1,
    "eth_getTransactionCount": 2,
    "eth_getCode": 2,
    "eth_getProof": 3,
    "eth_feeHistory": 3,
    "eth_maxPriorityFeePerGas": 0,
}
"""Methods that pass with any parameters of theirs, and how many those are."""
_CALL_FIELDS: Final = frozenset({"from", "to", "data", "input", "gas", "value"})
_LOG_FIELDS: Final = frozenset({"address", "topics", "fromBlock", "toBlock", "blockHash"})
_MAX_ID: Final = 64
"""Characters of a request's ID."""
_TYPE_2: Final = "0x02"
"""How a raw EIP-1559 transaction begins (EIP-2718). Others are read differently, so they don't pass."""


@dataclass(frozen=True)
class Passage:
    """A request that may be sent to the node."""

    body: bytes
    """Written anew from what was checked."""
    methods: tuple[str, ...]
    """In the order of the calls."""

    @property
    def changes(self) -> bool:
        """Whether it sends a transaction."""
        return SEND in self.methods


class Rules:
    """What one gate passes."""

    def __init__(self, chain_id: int, contracts: Sequence[str], *, max_calls: int = MAX_CALLS) -> None:
        """Take the chain's ID, the addresses of its contracts, and how many calls a request may hold."""
        self._chain_id = chain_id
        self._contracts = frozenset(address.lower() for address in contracts)
        self._max_calls = max_calls
        self._checks: dict[str, Callable[[list[Any]], None]] = {
            "eth_call": self._check_call,
            "eth_estimateGas": self._check_call,
            "eth_getLogs": self._check_logs,
            SEND: self._check_transaction,
        }

    def check(self, body: bytes) -> Passage:
        """Return what may be sent; one call that may not pass stops them all.

        Raises:
            UsageError: the body is no JSON-RPC request.
            OutOfScopeError: a call doesn't pass.
        """
        content = _parse(body)
        calls = content if isinstance(content, list) else [content]
        if not 1 <= len(calls) <= self._max_calls:
            raise UsageError(f"{len(calls)} calls in one request, 1 to {self._max_calls} pass")
        written = [self._check_one(call) for call in calls]
        clean = _write(written if isinstance(content, list) else written[0])
        return Passage(clean, tuple(call["method"] for call in written))

    def _check_one(self, call: object) -> dict[str, Any]:
        if not isinstance(call, dict) or not call.keys() <= {"jsonrpc", "id", "method", "params"}:
            raise UsageError("a call isn't an object with the fields of JSON-RPC")
        if call.get("jsonrpc", "2.0") != "2.0":
            raise UsageError("a call's jsonrpc isn't 2.0")
        number, method, params = call.get("id"), call.get("method"), call.get("params", [])
        if isinstance(number, bool) or not isinstance(number, int | str) or len(str(number)) > _MAX_ID:
            raise UsageError(f"a call's id is neither a number nor a text of at most {_MAX_ID} characters")
        if not isinstance(method, str) or not isinstance(params, list):
            raise UsageError("a call's method is no text, or its params are no list")
        if method in _PLAIN:
            if len(params) > _PLAIN[method]:
                raise OutOfScopeError(f"{method} passes with at most {_PLAIN[method]} parameters")
        elif method in self._checks:
            self._checks[method](params)
        else:
            # The name is cut because it comes from outside.
            raise OutOfScopeError(f"method {method[:40]!r} doesn't pass")
        return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}

    def _check_call(self, params: list[Any]) -> None:
        """Refuse overrides of state (they read any slot), code of the caller's own, and other contracts."""
        if len(params) not in (1, 2) or not isinstance(params[0], dict):
            raise OutOfScopeError("a call passes with a transaction and a block, without overrides")
        if not params[0].keys() <= _CALL_FIELDS:
            raise OutOfScopeError(f"a call's transaction has other fields than {', '.join(sorted(_CALL_FIELDS))}")
        self._check_contract(params[0].get("to"))

    def _check_logs(self, params: list[Any]) -> None:
        if len(params) != 1 or not isinstance(params[0], dict) or not params[0].keys() <= _LOG_FIELDS:
            raise OutOfScopeError(f"a log filter passes with the fields {', '.join(sorted(_LOG_FIELDS))}")
        wanted = params[0].get("address")
        addresses = wanted if isinstance(wanted, list) else [wanted]
        if not addresses:
            raise OutOfScopeError("a log filter names the contracts whose logs it wants")
        for address in addresses:
            self._check_contract(address)

    def _check_transaction(self, params: list[Any]) -> None:
        if len(params) != 1 or not isinstance(params[0], str) or not params[0].startswith(_TYPE_2):
            raise OutOfScopeError("one raw transaction of EIP-1559 passes, no other kind")
        try:
            transaction = decode_transaction(params[0])
        except Exception:  # noqa: BLE001
            # RLP's own errors have several bases; a transaction that can't be read doesn't pass, whatever the reason.
            raise OutOfScopeError("the raw transaction can't be read") from None
        if transaction["chainId"] != self._chain_id:
            raise OutOfScopeError(f"the transaction is for chain {transaction['chainId']}, not {self._chain_id}")
        self._check_contract(transaction.get("to"))

    def _check_contract(self, address: object) -> None:
        if not isinstance(address, str) or address.lower() not in self._contracts:
            # A transaction without `to` would create a contract.
            raise OutOfScopeError("it doesn't go to one of the sidechain's contracts")


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_refuse, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError):
        raise UsageError("the request isn't JSON") from None


def _write(content: Any) -> bytes:
    try:
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, RecursionError):
        # A number beyond a double's range was read as infinity.
        raise UsageError("the request holds a value that can't be written again") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
