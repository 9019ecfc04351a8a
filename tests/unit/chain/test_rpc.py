"""The JSON-RPC client: odd answers are typed errors, and each attempt brings an authorisation of its own."""

from __future__ import annotations

import gzip
import itertools
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest

from panachain.chain import rpc as module
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.errors import ChainUnavailableError, NodeRefusedError
from panachain.wire.client import Client

Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Rpc]:
    """Return a client whose node is a function."""
    monkeypatch.setattr(module, "_PAUSE", 0.001)

    def make(answer: Answer, **options: Any) -> Rpc:
        client = Rpc("http://node", **options)
        client._client = Client(transport=httpx.MockTransport(answer))
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


def test_a_batch_of_nothing_asks_nothing(node: Callable[..., Rpc]) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise AssertionError("the node was asked")

    assert node(answer).batch([]) == []


def test_an_error_says_what_the_node_said_and_what_to_do() -> None:
    error = RpcAnswerError("nonce too low", code=-32000, hint="wait")
    assert (str(error), error.hint, error.code, error.data) == ("nonce too low", "wait", -32000, b"")


@pytest.mark.parametrize("error", ["text", {"code": "x", "message": None, "data": "0xzz"}, {"data": 5}])
def test_malformed_error_is_an_answer(node: Callable[..., Rpc], error: object) -> None:
    with pytest.raises(RpcAnswerError):
        node(answering({"id": 1, "error": error})).call("a")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("0x1234", b"\x12\x34"),
        ("0x", b""),
        ("1234", b""),
        ("0xzz", b""),
        ("0x1", b""),
        (None, b""),
        (7, b""),
        ({}, b""),
    ],
)
def test_what_a_contract_said_is_bytes_or_none(node: Callable[..., Rpc], data: object, told: bytes) -> None:
    with pytest.raises(RpcAnswerError) as caught:
        node(answering({"id": 1, "error": {"code": 3, "message": "execution reverted", "data": data}})).call("eth_call")
    assert (caught.value.data, caught.value.code) == (told, 3)


@pytest.mark.parametrize(
    ("status", "content", "words"),
    [
        (401, {"error": {"message": "what a stranger is told"}}, "doesn't admit this node: a$"),
        (403, {"error": {"message": "it is for operators"}}, "doesn't pass a: it is for operators"),
        (403, {"error": "x"}, "doesn't pass a: it gives no reason"),
        (403, [], "doesn't pass a: it gives no reason"),
    ],
)
def test_only_a_gate_that_admits_the_caller_says_why(
    node: Callable[..., Rpc], status: int, content: object, words: str
) -> None:
    with pytest.raises(NodeRefusedError, match=words):
        node(lambda _: httpx.Response(status, json=content)).call("a")


def test_a_node_that_fails_is_asked_again_after_ever_longer_pauses(node: Callable[..., Rpc]) -> None:
    slept: list[float] = []
    asked: list[int] = []

    def answer(_: httpx.Request) -> httpx.Response:
        asked.append(1)
        return httpx.Response(500)

    with pytest.raises(ChainUnavailableError, match=r"status 500, (\d+) attempts"):
        node(answer, sleep=slept.append).call("a")
    # Nobody waits after the last one.
    assert len(slept) == len(asked) - 1 > 0
    assert slept == [slept[0] * 2**number for number in range(len(slept))]


def test_closing_closes_the_connections(node: Callable[..., Rpc]) -> None:
    rpc, closed = node(answering({})), list[bool]()
    rpc._client.close = lambda: closed.append(True)  # type: ignore[method-assign]
    rpc.close()
    assert closed == [True]


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


@contextmanager
def serving(head: bytes, piece: bytes, most: int) -> Iterator[tuple[str, list[int]]]:
    """Let a node answer each request with a head and pieces, and count those that somebody took."""
    taken: list[int] = []

    def serve(server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection, suppress(OSError):
                    connection.settimeout(20)
                    asked.append(connection.recv(65536))
                    connection.sendall(head)
                    for _ in range(most):
                        connection.sendall(piece)
                        taken.append(len(piece))

    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", taken
        # It wakes the thread, which would wait for ever in a socket that is closed only.
        server.shutdown(socket.SHUT_RDWR)
    assert all(b"accept-encoding: identity" in request.lower() for request in asked)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_an_answer_is_read_up_to_a_limit_and_then_less_must_be_asked_for() -> None:
    piece = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    with serving(CHUNKED, piece, 200) as (url, taken), pytest.raises(RpcAnswerError, match="has more than"):
        Rpc(url).call("eth_getLogs")
    # What the sockets of both sides hold was sent, and not read: systems let them grow while a machine is busy.
    assert sum(taken) <= module.MAX_ANSWER + (64 << 20)


def test_no_answer_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.001)
    packed = gzip.compress(json.dumps({"id": 1, "result": "0x1"}).encode())
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with serving(head, packed, 1) as (url, _), pytest.raises(ChainUnavailableError, match="isn't HTTP, 3 attempts"):
        Rpc(url).call("eth_chainId")


def test_a_trickle_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.001)
    seconds = itertools.count(step=5)
    with (
        serving(CHUNKED, (b"40\r\n" + b" " * 64 + b"\r\n") * 2000, 100) as (url, _),
        pytest.raises(ChainUnavailableError, match="no whole answer in time"),
    ):
        Rpc(url, clock=lambda: float(next(seconds))).call("eth_chainId")


def test_what_a_node_has_not_read_again_yet_is_not_known(node: Callable[..., Rpc]) -> None:
    error = {"code": -32000, "message": "transaction indexing is in progress"}
    client = node(answering({"id": 1, "error": error}))
    assert client.call("eth_getTransactionReceipt", ["0x11"]) is None
    with pytest.raises(RpcAnswerError, match="indexing"):
        client.call("eth_call")
    with pytest.raises(RpcAnswerError, match="no such thing"):
        node(answering({"id": 1, "error": {"message": "no such thing"}})).call("eth_getTransactionReceipt", ["0x11"])


@pytest.mark.parametrize(
    "text",
    [
        "[" * 900 + "]" * 900,
        '{"id":1,"id":1,"result":1}',
        '{"id":1,"result":NaN}',
        '{"id":1,"result":1e999}',
        '{"id":1,"result":' + "9" * 5000 + "}",
    ],
)
def test_json_that_two_readers_could_take_for_two_things_is_no_answer(node: Callable[..., Rpc], text: str) -> None:
    with pytest.raises(ChainUnavailableError, match="isn't JSON"):
        node(lambda _: httpx.Response(200, text=text)).call("eth_chainId")


def test_many_small_values_are_too_much(node: Callable[..., Rpc]) -> None:
    with pytest.raises(RpcAnswerError, match="too much"):
        node(lambda _: httpx.Response(200, text="[" + "[]," * module.MAX_VALUES + "[]]")).call("eth_getLogs")


class Limited:
    """A node that takes batches up to a size, and says so in its own way."""

    def __init__(self, most: int, refuse: Callable[[list[Any]], httpx.Response]) -> None:
        self.most, self.refuse = most, refuse
        self.sizes: list[int] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        calls = json.loads(request.content)
        self.sizes.append(len(calls))
        if len(calls) > self.most:
            return self.refuse(calls)
        return httpx.Response(200, json=[{"id": call["id"], "result": call["params"][0]} for call in calls])


REFUSALS: dict[str, Callable[[list[Any]], httpx.Response]] = {
    "once": lambda _: httpx.Response(200, json={"id": None, "error": {"code": -32600, "message": "batch too large"}}),
    "each": lambda calls: httpx.Response(
        200, json=[{"id": one["id"], "error": {"code": -32003, "message": "response too large"}} for one in calls]
    ),
    "status": lambda _: httpx.Response(413, text="Request Entity Too Large"),
}


@pytest.mark.parametrize("how", REFUSALS)
def test_what_a_node_takes_at_once_is_learned_and_remembered(node: Callable[..., Rpc], how: str) -> None:
    limited = Limited(100, REFUSALS[how])
    rpc = node(limited)
    calls = [("eth_call", [number]) for number in range(1500)]
    assert rpc.batch(calls) == list(range(1500))
    assert max(limited.sizes) == 1000
    limited.sizes.clear()
    assert rpc.batch(calls) == list(range(1500))
    assert max(limited.sizes) <= 100


def test_another_error_is_no_reason_to_ask_for_less(node: Callable[..., Rpc]) -> None:
    limited = Limited(
        0, lambda calls: httpx.Response(200, json=[{"id": one["id"], "error": {"message": "no"}} for one in calls])
    )
    with pytest.raises(RpcAnswerError, match="no"):
        node(limited).batch([("a", [1]), ("b", [2])])
    assert limited.sizes == [2]


@pytest.mark.parametrize(
    "said",
    [
        "missing trie node 0a (path ) state 0x0b is not available, not found",
        "historical state 0x0b is not available",
        "No state available for block 5",
        "World state unavailable",
        "distance to target block exceeds maximum proof window",
        "requested block is too old, block must be within 1000 blocks of the head block number (currently 9)",
        "required historical state unavailable (reexec=128)",
    ],
)
def test_a_state_that_is_not_kept_is_known_by_what_nodes_say(said: str) -> None:
    assert RpcAnswerError(said).is_pruned
    assert not RpcAnswerError("execution reverted").is_pruned
