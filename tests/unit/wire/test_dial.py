"""Connections: each address of a name is looked at, and one of those is connected to; all of it within seconds."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from panachain.errors import PanaChainError
from panachain.wire import dial as module
from panachain.wire.dial import MAX_ADDRESSES, dial, dial_file

INET = socket.AF_INET


@pytest.fixture
def server() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def names(monkeypatch: pytest.MonkeyPatch, *answers: list[str], port: int = 9) -> list[str]:
    """Let a name server give these answers one after the other, and return the names that it is asked for."""
    asked: list[str] = []

    def look_up(host: str, *_: object, **__: object) -> Any:
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(module.socket, "getaddrinfo", look_up)
    return asked


def test_connects_without_delays(server: socket.socket) -> None:
    with dial("127.0.0.1", server.getsockname()[1], seconds=20) as connected:
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_refused_address_is_not_connected_to(server: socket.socket) -> None:
    def refuse(address: str) -> None:
        assert address == "127.0.0.1"
        raise PanaChainError("not there")

    server.settimeout(0.05)
    with pytest.raises(PanaChainError, match="not there"):
        dial("localhost", server.getsockname()[1], seconds=20, check=refuse)
    with pytest.raises(TimeoutError):
        server.accept()


def test_every_address_is_looked_at_before_any_is_connected_to(
    monkeypatch: pytest.MonkeyPatch, server: socket.socket
) -> None:
    names(monkeypatch, ["127.0.0.1", "10.0.0.1"], port=server.getsockname()[1])

    def refuse(address: str) -> None:
        if address.startswith("10."):
            raise PanaChainError("private")

    server.settimeout(0.05)
    with pytest.raises(PanaChainError, match="private"):
        dial("mixed.example", server.getsockname()[1], seconds=20, check=refuse)
    with pytest.raises(TimeoutError):
        server.accept()


def test_a_name_is_asked_for_once_so_that_a_second_answer_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch, server: socket.socket
) -> None:
    asked = names(monkeypatch, ["127.0.0.1"], ["127.9.9.9"], port=server.getsockname()[1])
    seen: list[str] = []
    with dial("rebinding.example", 1, seconds=20, check=seen.append) as connected:
        assert connected.getpeername()[0] == "127.0.0.1"
    assert (asked, seen) == (["rebinding.example"], ["127.0.0.1"])


def test_a_name_that_is_resolved_for_ever_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()
    monkeypatch.setattr(module.socket, "getaddrinfo", lambda *_, **__: list(range(end.wait(60) * 0)))
    with pytest.raises(TimeoutError, match="resolved"):
        dial("slow.example", 443, seconds=0.05)
    end.set()


def test_a_name_of_a_thousand_addresses_takes_few_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, [f"192.0.2.{number}" for number in range(250)] * 4)
    made: list[Any] = []

    class Refusing(socket.socket):
        def connect(self, address: Any) -> None:
            made.append(address)
            raise ConnectionRefusedError

    monkeypatch.setattr(module.socket, "socket", Refusing)
    with pytest.raises(ConnectionRefusedError):
        dial("many.example", 443, seconds=20)
    assert len(made) == MAX_ADDRESSES


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "a..example", "nobody.invalid"])
def test_what_is_no_name_is_an_error_of_the_system(host: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - which one, the system says.
        dial(host, 443, seconds=20)


def test_a_socket_in_the_file_system_may_be_missing() -> None:
    with pytest.raises(OSError):  # noqa: PT011 - which one, the system says.
        dial_file("/nowhere/api.sock", seconds=1)
