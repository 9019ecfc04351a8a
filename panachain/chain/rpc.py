"""JSON-RPC over HTTP to one node.

Retries transport errors only: an answer, also a bad one, is an answer. Follows the Ethereum JSON-RPC specification.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any, Final

import httpx

from panachain.errors import ChainUnavailableError, PanaChainError

_ATTEMPTS: Final = 3
_PAUSE: Final = 0.2
"""Seconds before the second attempt; doubled before each further one."""


class RpcAnswerError(PanaChainError):
    """The node answered with an error; `data` is the revert data, if there is any."""

    def __init__(self, message: str, *, code: int = 0, data: bytes = b"", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.data = data


class Rpc:
    """A connection to one node; several threads may use it."""

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        """Take the node's URL; nothing is sent yet.

        Args:
            url: http or https.
            timeout: seconds that one answer may take.
        """
        self.url = url
        # No proxy from the environment: a node on loopback must not be asked through a stranger.
        self._client = httpx.Client(timeout=timeout, trust_env=False)
        self._ids = itertools.count(1)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Return the result of one call.

        Raises:
            ChainUnavailableError: the node doesn't answer, or not in JSON-RPC.
            RpcAnswerError: the node answered with an error.
        """
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
        answer = self._post(request, method)
        if not isinstance(answer, dict):
            raise ChainUnavailableError(f"the chain node at {self.url} doesn't speak JSON-RPC")
        return _result(answer, method)

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Return the results of several calls in one request, in their order.

        Raises:
            ChainUnavailableError: the node doesn't answer all of them.
            RpcAnswerError: one of them failed.
        """
        requests = [
            {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
            for method, params in calls
        ]
        if not requests:
            return []
        answers = self._post(requests, f"a batch of {len(requests)} calls")
        if not isinstance(answers, list) or len(answers) != len(requests):
            raise ChainUnavailableError(f"the chain node at {self.url} left out answers of a batch")
        by_id = {answer.get("id"): answer for answer in answers}
        return [_result(by_id[request["id"]], str(request["method"])) for request in requests]

    def _post(self, content: Any, what: str) -> Any:
        pause = _PAUSE
        for attempt in range(_ATTEMPTS):
            try:
                response = self._client.post(self.url, json=content)
                if response.status_code < 500:
                    return response.json()
                reason = f"status {response.status_code}"
            except httpx.TransportError as exc:
                reason = type(exc).__name__
            except ValueError:
                reason = "an answer that isn't JSON"
            if attempt + 1 < _ATTEMPTS:
                time.sleep(pause)
                pause *= 2
        raise ChainUnavailableError(
            f"the chain node at {self.url} doesn't answer {what}: {reason}, {_ATTEMPTS} attempts",
            hint="panachain devnet status shows whether the local chains run",
        )


def _result(answer: dict[str, Any], method: str) -> Any:
    error = answer.get("error")
    if error is None:
        return answer.get("result")
    data = error.get("data")
    raw = bytes.fromhex(data[2:]) if isinstance(data, str) and data.startswith("0x") else b""
    raise RpcAnswerError(f"{method}: {str(error.get('message'))[:300]}", code=int(error.get("code", 0)), data=raw)
