"""JSON-RPC over HTTP to one node.

Retries transport errors only: an answer, also a bad one, is an answer. Follows the Ethereum JSON-RPC specification.
Where a gate stands before the node, each attempt brings an authorisation of its own (docs/spec/gate.md).
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from panachain.errors import ChainUnavailableError, IntegrityError, NodeRefusedError, PanaChainError
from panachain.trust import Trust
from panachain.wire.client import Client, WireError, said
from panachain.wire.json_text import read_json
from panachain.wire.transport import Bounds

if TYPE_CHECKING:
    import ssl

_ATTEMPTS: Final = 3
_OF_TRANSACTIONS: Final = frozenset({"eth_getTransactionReceipt", "eth_getTransactionByHash"})
"""Methods that answer with null what a node doesn't know."""
_INDEXING: Final = "indexing is in progress"
"""What geth says in its place while it looks through its blocks."""
_PAUSE: Final = 0.2
"""Seconds before the second attempt; doubled before each further one."""
MAX_ANSWER: Final = 32 << 20
"""Bytes of one answer: 40,000 events."""
MAX_VALUES: Final = 1 << 20
"""JSON values of one answer, which bound the memory that it takes once it is read; an event has some twelve."""
LONGEST: Final = 300.0
"""Seconds that one answer may take in all, however large it is."""
_NO_METHOD: Final = (-32601, -32004)
"""What nodes say of a method that they don't have: JSON-RPC 2.0's code, and that of EIP-1474."""
_MISSING: Final = re.compile(
    r"method \S+ (?:is )?(?:not found|not supported|not available|unavailable|does not exist)|unsupported method",
    re.IGNORECASE,
)
"""The same in words, where a node gives another code."""
_MOST_CALLS: Final = 1000
"""Calls in one request, unless the node takes fewer: geth's own limit."""
_TOO_LARGE: Final = 413
"""HTTP status of a request that has too many bytes."""
_TOO_MUCH: Final = re.compile(
    r"batch (?:is )?too large|too many (?:requests|calls) in|batch (?:size|limit)|answers with too much"
    r"|(?:response|request|answer)\S* (?:is |size )?(?:too large|too big|exceed)",
    re.IGNORECASE,
)
"""What nodes say of a batch that is too long, or whose answer would be."""
_PRUNED: Final = re.compile(
    r"missing trie node|historical state|state (?:\S+ )?(?:is |was )?(?:not available|unavailable|pruned)"
    r"|no state available|maximum proof window|pruned|block is too old|state histor(?:y|ies)",
    re.IGNORECASE,
)
"""What nodes say of a state that is so old that they don't keep it: geth, Nethermind, Besu, Reth, Erigon."""

Authorise = Callable[[bytes], Mapping[str, str]]
"""Returns the headers that let one request pass, given its body."""


class RpcAnswerError(PanaChainError):
    """The node answered with an error; `data` is the revert data, if there is any."""

    def __init__(self, message: str, *, code: int = 0, data: bytes = b"", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.data = data

    @property
    def is_missing_method(self) -> bool:
        """Whether the node says that it doesn't have the method that was called."""
        return self.code in _NO_METHOD or bool(_MISSING.search(str(self)))

    @property
    def is_too_much(self) -> bool:
        """Whether the node says that a request asks for too much at once."""
        return bool(_TOO_MUCH.search(str(self)))

    @property
    def is_pruned(self) -> bool:
        """Whether the node says that it doesn't keep the state of the block any more that was asked for."""
        return bool(_PRUNED.search(str(self)))


class Rpc:
    """A connection to one node; several threads may use it. What it refused as too much, it isn't asked for again."""

    _most_calls = _MOST_CALLS
    """Calls that one request to this node may have, as far as it was learned."""
    log_window = 0
    """Blocks of which this node gave logs at once after it had refused more; 0 where it refused nothing yet."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 10.0,
        authorise: Authorise | None = None,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the node's URL; nothing is sent yet.

        Args:
            url: http or https.
            timeout: seconds that one answer may take.
            authorise: called with the body of each attempt anew, because what it returns may count only once.
            tls: whom to trust and what to show; None takes the usual authorities.
            clock: seconds that only go forward.
            sleep: waits for some seconds.
        """
        self.url = url
        self._timeout = timeout
        self._sleep = sleep
        self._client = Client(trust=Trust(context=tls), clock=clock)
        self._authorise = authorise
        self._ids = itertools.count(1)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Return the result of one call.

        Raises:
            ChainUnavailableError: the node doesn't answer, or not in JSON-RPC.
            NodeRefusedError: the node, or the gate before it, doesn't admit the caller.
            RpcAnswerError: the node answered with an error.
        """
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
        answer = self._ask(request, method)
        if not isinstance(answer, dict):
            raise ChainUnavailableError(f"the chain node at {self.url} doesn't speak JSON-RPC")
        return _result(answer, method)

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Return the results of several calls in one request, in their order.

        Raises:
            ChainUnavailableError: the node doesn't answer all of them.
            NodeRefusedError: the node, or the gate before it, doesn't admit the caller.
            RpcAnswerError: one of them failed.
        """
        if len(calls) > self._most_calls:
            return self._parts(calls, self._most_calls)
        try:
            return self._at_once(calls)
        except RpcAnswerError as exc:
            if len(calls) < 2 or not exc.is_too_much:
                raise
            # Nodes limit how many calls, or how much of an answer, one request may have, each in its own way.
            self._most_calls = len(calls) // 2
            return self._parts(calls, self._most_calls)

    def _parts(self, calls: Sequence[tuple[str, Sequence[Any]]], size: int) -> list[Any]:
        return [one for start in range(0, len(calls), size) for one in self.batch(calls[start : start + size])]

    def _at_once(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        requests = [
            {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
            for method, params in calls
        ]
        if not requests:
            return []
        answers = self._ask(requests, f"a batch of {len(requests)} calls")
        if isinstance(answers, dict) and answers.get("error") is not None:
            # A node that takes no batch, or none of this size, says so once.
            _result(answers, f"a batch of {len(requests)} calls")
        by_id: dict[str, dict[str, Any]] = {}
        if isinstance(answers, list):
            by_id = {str(answer.get("id")): answer for answer in answers if isinstance(answer, dict)}
        wanted = [(str(request["id"]), str(request["method"])) for request in requests]
        # By their IDs, because a node may answer a batch in any order.
        if by_id.keys() != {number for number, _ in wanted}:
            raise ChainUnavailableError(f"the chain node at {self.url} left out answers of a batch")
        return [_result(by_id[number], method) for number, method in wanted]

    def exchange(self, body: bytes, what: str) -> Any:
        """Return the JSON that the node answers to a body of JSON-RPC, whatever it says.

        Args:
            body: one request, or a batch.
            what: what messages call it.

        Raises:
            ChainUnavailableError: the node doesn't answer, or not in JSON.
            NodeRefusedError: the node, or the gate before it, doesn't admit the caller.
            RpcAnswerError: the answer has more than `MAX_ANSWER` bytes, or more than `MAX_VALUES` values, so that less
                must be asked for.
        """
        pause = _PAUSE
        for attempt in range(_ATTEMPTS):
            try:
                status, content = self._post(body)
                if status in (401, 403):
                    raise self._refusal(status, content, what)
                if status == _TOO_LARGE:
                    raise RpcAnswerError(f"{what}: the request is too large for the chain node at {self.url}")
                if status < 500:
                    return read_json(content, values=MAX_VALUES)
                reason = f"status {status}"
            except WireError as exc:
                reason = said(exc)
            except IntegrityError as exc:
                raise RpcAnswerError(f"{what}: the chain node at {self.url} answers with too much: {exc}") from exc
            except ValueError as exc:
                reason = f"an answer that isn't JSON as it should be ({exc})"
            if attempt + 1 < _ATTEMPTS:
                self._sleep(pause)
                pause *= 2
        raise ChainUnavailableError(
            f"the chain node at {self.url} doesn't answer {what}: {reason}, {_ATTEMPTS} attempts",
            hint="panachain devnet status shows whether the local chains run",
        )

    def _ask(self, content: Any, what: str) -> Any:
        return self.exchange(json.dumps(content, separators=(",", ":")).encode(), what)

    def _post(self, body: bytes) -> tuple[int, bytes]:
        """Send a body, and return status and body of the answer."""
        headers = {"Content-Type": "application/json"}
        if self._authorise is not None:
            headers |= self._authorise(body)
        bounds = Bounds(limit=MAX_ANSWER, patience=self._timeout, total=max(self._timeout, LONGEST))
        answer = self._client.post(self.url, body, bounds=bounds, timeout=self._timeout, headers=headers)
        return answer.status, answer.content

    def _refusal(self, status: int, content: bytes, what: str) -> NodeRefusedError:
        """Return the error for a refusal; only a gate that admits the caller says why it refuses."""
        if status == 401:
            return NodeRefusedError(
                f"the chain node at {self.url} doesn't admit this node: {what}",
                hint="compare the network file's url and nodeKeyFile with the gate's configuration, and the clock",
            )
        try:
            reason = str(read_json(content)["error"]["message"])[:300]
        except (ValueError, KeyError, TypeError, IntegrityError):
            reason = "it gives no reason"
        return NodeRefusedError(f"the chain node at {self.url} doesn't pass {what}: {reason}")


def _result(answer: dict[str, Any], method: str) -> Any:
    error = answer.get("error")
    if error is None:
        return answer.get("result")
    if not isinstance(error, dict):
        raise RpcAnswerError(f"{method}: {str(error)[:300]}")
    if method in _OF_TRANSACTIONS and _INDEXING in str(error.get("message")):
        # A node of geth that was just started hasn't read its own blocks yet; it will know, or say that it doesn't.
        return None
    code = error.get("code", 0)
    raise RpcAnswerError(
        f"{method}: {str(error.get('message'))[:300]}",
        code=code if isinstance(code, int) else 0,
        data=_revert_data(error.get("data")),
    )


def _revert_data(data: object) -> bytes:
    try:
        return bytes.fromhex(data[2:]) if isinstance(data, str) and data.startswith("0x") else b""
    except ValueError:
        return b""
