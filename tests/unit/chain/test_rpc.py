"""The JSON-RPC client: odd answers are typed errors, and each attempt brings an authorisation of its own."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from panachain.chain import rpc as module
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.errors import ChainUnavailableError, NodeRefusedError

Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Rpc]:
    """Return a client whose node is a function."""
    monkeypatch.setattr(module, "_PAUSE", 0.001)

    def make(answer: Answer, **options: Any) -> Rpc:
        client = Rpc("http://node", **options)
        client._client = httpx.Client(transport=httpx.MockTransport(answer))
        return client

    return make


def answering(content: object) -> Answer:
    return lambda _: httpx.Response(200, json=content)


@pytest.mark.parametrize(
    "content",
    [
        [{"id": 1, "result": 1}, {"id": 7, "result": 2}],
        [{"id": 1, "result": 1}, {"id": 1, "result": 2}],
        [{"id": 1, "result": 1}],
        [{"id": 1, "result": 1}, {"id": 2, "result": 2}, {"id": 3, "result": 2}],
        [{"result": 1}, {"result": 1}],
        [1, 2],
        {"id": 1, "result": 1},
        [{"id": [1], "result": 1}, {"id": {}, "result": 2}],
    ],
)
def test_batch_with_wrong_ids_is_a_typed_error(node: Callable[..., Rpc], content: object) -> None:
    with pytest.raises(ChainUnavailableError, match="left out"):
        node(answering(content)).batch([("a", []), ("b", [])])


def test_batch_comes_in_the_order_of_the_calls(node: Callable[..., Rpc]) -> None:
    answer = answering([{"id": 2, "result": "b"}, {"id": 1, "result": "a"}])
    assert node(answer).batch([("a", []), ("b", [])]) == ["a", "b"]


@pytest.mark.parametrize("error", ["text", {"code": "x", "message": None, "data": "0xzz"}, {"data": 5}])
def test_malformed_error_is_an_answer(node: Callable[..., Rpc], error: object) -> None:
    with pytest.raises(RpcAnswerError):
        node(answering({"id": 1, "error": error})).call("a")


@pytest.mark.parametrize("status", [401, 403])
def test_refusal_is_typed_and_not_tried_again(node: Callable[..., Rpc], status: int) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, json={"error": {"message": "method 'x' doesn't pass"}})

    with pytest.raises(NodeRefusedError) as caught:
        node(answer).call("x")
    assert len(asked) == 1
    assert caught.value.exit_code == 5
    assert isinstance(caught.value, ChainUnavailableError)
    assert caught.value.hint if status == 401 else "doesn't pass" in str(caught.value)


def test_each_attempt_is_authorised_anew_for_its_body(node: Callable[..., Rpc]) -> None:
    bodies: list[bytes] = []
    seen: list[tuple[str, bytes]] = []

    def authorise(body: bytes) -> dict[str, str]:
        bodies.append(body)
        return {"Authorization": f"Try {len(bodies)}"}

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.headers["Authorization"], request.read()))
        return httpx.Response(502) if len(seen) < 3 else httpx.Response(200, json={"id": 1, "result": "0x1"})

    assert node(answer, authorise=authorise).call("eth_chainId") == "0x1"
    assert seen == [("Try 1", bodies[0]), ("Try 2", bodies[0]), ("Try 3", bodies[0])]
    assert json.loads(bodies[0])["method"] == "eth_chainId"


class Bomb(httpx.SyncByteStream):
    """An answer that goes on until somebody has had enough, and counts what was taken."""

    def __init__(self, piece: bytes, most: int) -> None:
        self.piece = piece
        self.left = most
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        while self.left > 0:
            self.left -= 1
            self.taken += len(self.piece)
            yield self.piece


def test_an_answer_is_read_up_to_a_limit_and_then_less_must_be_asked_for(node: Callable[..., Rpc]) -> None:
    bomb = Bomb(b" " * (1 << 20), 200)
    with pytest.raises(RpcAnswerError, match="has more than"):
        node(lambda _: httpx.Response(200, stream=bomb)).call("eth_getLogs")
    assert bomb.taken <= module.MAX_ANSWER + (1 << 20)


def test_no_answer_is_unpacked(node: Callable[..., Rpc]) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["Accept-Encoding"])
        packed = gzip.compress(json.dumps({"id": 1, "result": "0x1"}).encode())
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Bomb(packed, 1))

    with pytest.raises(ChainUnavailableError, match="RemoteProtocolError"):
        node(answer).call("eth_chainId")
    assert set(asked) == {"identity"}


def test_a_trickle_is_no_answer(node: Callable[..., Rpc]) -> None:
    seconds = itertools.count(step=5)
    bomb = Bomb(b" ", 100)
    with pytest.raises(ChainUnavailableError, match="ReadTimeout"):
        node(lambda _: httpx.Response(200, stream=bomb), clock=lambda: float(next(seconds))).call("eth_chainId")
    assert bomb.taken <= 9
