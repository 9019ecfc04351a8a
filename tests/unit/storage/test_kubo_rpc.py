"""One request, one bounded answer: pauses between tries, lines of JSON, and what is sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from panachain.errors import IntegrityError, StoreUnavailableError
from panachain.storage import kubo_rpc
from panachain.storage.kubo_rpc import KuboRpc, Refused, Request
from tests.faults import kubo_twin
from tests.faults.kubo_twin import KuboTwin


@pytest.fixture
def twin() -> Iterator[KuboTwin]:
    with kubo_twin.running(KuboTwin()) as twin:
        yield twin


def connect(twin: KuboTwin, *, tries: int = 1, slept: list[float] | None = None) -> KuboRpc:
    port = twin.api.rpartition("/")[2]
    waits = [] if slept is None else slept
    return KuboRpc(
        f"http://127.0.0.1:{port}/api/v0/", name="twin", timeout=20, tries=tries, pause=0.5, sleep=waits.append
    )


def test_pauses_double_between_tries(twin: KuboTwin) -> None:
    slept: list[float] = []
    twin.spoil(kubo_twin.closes)
    with pytest.raises(
        StoreUnavailableError, match=r"doesn't answer version \(its answer isn.t whole, or isn.t HTTP\)"
    ):
        connect(twin, tries=4, slept=slept).call(Request("version"))
    assert slept == [0.5, 1.0, 2.0]
    assert len(twin.requests) == 4


def test_a_redirect_is_not_followed(twin: KuboTwin) -> None:
    head = f"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:{twin.api.rpartition('/')[2]}/api/v0/id\r\n"
    twin.spoil(lambda exchange: exchange.send(f"{head}Content-Length: 0\r\n\r\n".encode()), times=1)
    with pytest.raises(Refused) as caught:
        connect(twin).call(Request("version"))
    assert caught.value.status == 307
    assert twin.requests == ["version"]


def test_the_environment_names_no_proxy(twin: KuboTwin, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert connect(twin).values(Request("version")) == [{"Version": "0.43.1"}]


def test_arguments_and_options_are_written_into_the_path(twin: KuboTwin, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def answer(path: str, query: dict[str, list[str]], body: bytes) -> bytes:
        seen.append((path, query, kubo_twin.part_of(body) if body else b""))
        return b"{}\n"

    monkeypatch.setattr(twin, "answer", answer)
    connect(twin).values(Request("block/put", ("a&b", "c d"), (("pin", "false"),), (b"one", b"two")))
    assert seen == [("block/put", {"arg": ["a&b", "c d"], "pin": ["false"]}, b"onetwo")]


def test_a_line_without_an_end_is_cut_off(twin: KuboTwin) -> None:
    twin.spoil(kubo_twin.answers(200, b"{" + b" " * (2 * kubo_rpc.MAX_VALUE)))
    with pytest.raises(IntegrityError, match="no end"):
        list(connect(twin).stream(Request("refs/local"), limit=1 << 20))


def test_lines_that_chunks_cut_are_joined(twin: KuboTwin) -> None:
    values = [{"Ref": "x" * 500, "Err": ""}] * 50
    body = kubo_twin.chunked(kubo_twin.lines(*values), size=333)
    twin.spoil(lambda exchange: exchange.send(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n" + body))
    assert list(connect(twin).stream(Request("refs/local"), limit=1 << 20)) == values


def test_a_plain_answer_comes_in_pieces_of_the_size_that_was_asked_for(
    twin: KuboTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twin, "answer", lambda *_: bytes(2500))
    with connect(twin).plain(Request("cat"), limit=2500, piece=1000) as pieces:
        assert [len(piece) for piece in pieces] == [1000, 1000, 500]
    with (
        pytest.raises(IntegrityError, match="more than 2499 bytes"),
        connect(twin).plain(Request("cat"), limit=2499, piece=1000) as pieces,
    ):
        list(pieces)
