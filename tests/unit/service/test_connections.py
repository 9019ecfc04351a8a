"""Connections have limits: each part of a request its time, each source its share; no real time passes here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from panachain.service import connections as subject
from panachain.service.connections import BoundedProtocol, ConnectionLimits, Connections, Stage, bounded, source_of

LIMITS = ConnectionLimits(most=6, most_per_source=3, head_seconds=5, body_seconds=25, answer_seconds=20)
HEAD = b"POST /v1/deposit HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"


class Timer:
    """A call that a loop would make later."""

    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call = call

    def cancel(self) -> None:
        self.call = lambda: None


class Clock:
    """Stands for a loop: time passes as a test says."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.now = 0.0
        self.timers: list[Timer] = []

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + seconds, call))
        return self.timers[-1]

    def create_task(self, work: Any) -> asyncio.Task[Any]:
        return self._loop.create_task(work)

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        for timer in list(self.timers):
            if timer.at <= self.now:
                self.timers.remove(timer)
                timer.call()


class Transport:
    """Stands for a connection to a peer."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.sent = b""
        self.is_cut = False
        self.is_closed = False

    def get_extra_info(self, name: str) -> Any:
        return {"peername": (self.host, 1), "sockname": ("127.0.0.1", 2)}.get(name)

    def is_closing(self) -> bool:
        return self.is_cut or self.is_closed

    def write(self, data: bytes) -> None:
        self.sent += data

    def abort(self) -> None:
        self.is_cut = True

    def close(self) -> None:
        self.is_closed = True

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return


class Peers:
    """One process with its connections."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.clock = Clock(loop)
        self.answers = asyncio.Event()
        self._config = uvicorn.Config(self._app, log_level="error", timeout_keep_alive=30, interface="asgi3", ws="none")
        self._state = ServerState()
        self.protocol = bounded(LIMITS)
        self.known: Connections = self.protocol.known

    async def _app(self, _: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        more = True
        while more:
            more = (await receive()).get("more_body", False)
        await self.answers.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def connect(self, host: str = "192.0.2.1") -> tuple[BoundedProtocol, Transport]:
        clock: Any = self.clock
        made = self.protocol(self._config, self._state, {}, clock)
        transport: Any = Transport(host)
        made.connection_made(transport)
        return made, transport

    def settle(self) -> None:
        """Let what was begun go on as far as it can."""
        for _ in range(10):
            self.loop.run_until_complete(asyncio.sleep(0))


@pytest.fixture
def peers() -> Iterator[Peers]:
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        asyncio.set_event_loop(loop)
        yield Peers(loop)


class TestTimes:
    def test_a_peer_that_says_nothing_is_cut(self, peers: Peers) -> None:
        _, transport = peers.connect()
        peers.clock.pass_(4.9)
        assert not transport.is_cut
        peers.clock.pass_(0.1)
        assert transport.is_cut

    def test_headers_of_one_byte_a_second_get_no_more_time(self, peers: Peers) -> None:
        connection, transport = peers.connect()
        for byte in HEAD[:4]:
            connection.data_received(bytes([byte]))
            peers.clock.pass_(1)
        assert (connection.stage, transport.is_cut) == (Stage.HEAD, False)
        connection.data_received(HEAD[4:5])
        peers.clock.pass_(1)
        assert transport.is_cut

    def test_a_body_of_one_byte_a_second_gets_no_more_time(self, peers: Peers) -> None:
        connection, transport = peers.connect()
        connection.data_received(HEAD)
        for _ in range(5):
            connection.data_received(b"x")
            peers.clock.pass_(4.9)
        assert (connection.stage, transport.is_cut) == (Stage.BODY, False)
        peers.clock.pass_(1)
        assert transport.is_cut

    def test_a_request_that_is_whole_is_waited_for(self, peers: Peers) -> None:
        connection, transport = peers.connect()
        connection.data_received(HEAD + b"0123456789")
        peers.settle()
        peers.clock.pass_(1000)
        assert (connection.stage, transport.is_cut) == (Stage.SERVED, False)
        peers.answers.set()
        peers.settle()
        assert transport.sent.endswith(b"ok")
        assert connection.stage is Stage.IDLE

    def test_the_next_request_has_the_same_times(self, peers: Peers) -> None:
        connection, transport = peers.connect()
        peers.answers.set()
        connection.data_received(HEAD + b"0123456789")
        peers.settle()
        peers.clock.pass_(20)
        connection.data_received(HEAD[:5])
        peers.clock.pass_(4.9)
        assert (connection.stage, transport.is_cut) == (Stage.HEAD, False)
        peers.clock.pass_(0.1)
        assert transport.is_cut

    def test_an_idle_connection_is_closed_and_then_cut(self, peers: Peers) -> None:
        connection, transport = peers.connect()
        peers.answers.set()
        connection.data_received(HEAD + b"0123456789")
        peers.settle()
        peers.clock.pass_(30)
        assert (transport.is_closed, transport.is_cut) == (True, False)
        peers.clock.pass_(20)
        assert transport.is_cut

    def test_an_answer_that_nobody_reads_is_given_up(self, peers: Peers) -> None:
        connection, transport = peers.connect()
        connection.pause_writing()
        peers.clock.pass_(19)
        connection.resume_writing()
        peers.clock.pass_(19)
        connection.pause_writing()
        peers.clock.pass_(1)
        transport.is_cut = False
        peers.clock.pass_(19)
        assert transport.is_cut

    def test_what_is_refused_before_its_body_came_gets_no_more_time_for_it(self, peers: Peers) -> None:
        connection, transport = peers.connect()
        connection.data_received(HEAD)
        connection.cycle.response_complete = True
        connection.on_response_complete()
        for _ in range(9):
            connection.data_received(b"x")
            peers.clock.pass_(2.9)
        assert transport.is_cut

    def test_what_is_no_http_is_answered_and_closed(self, peers: Peers) -> None:
        connection, transport = peers.connect()
        connection.data_received(b"\x16\x03\x01\r\n\r\n")
        assert (transport.is_closed, transport.is_cut) == (True, False)
        peers.clock.pass_(20)
        assert transport.is_cut


class TestEnds:
    """Request smuggling: what two readers take for one request and for two."""

    HIDDEN = b"GET /of-another-client HTTP/1.1\r\nHost: x\r\n\r\n"

    @pytest.mark.parametrize(
        "head",
        [
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\ntransfer-encoding: Chunked\r\ncontent-length: 4\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
        ],
    )
    def test_a_request_with_two_ends_is_refused_and_nothing_behind_it_is_read(self, peers: Peers, head: bytes) -> None:
        connection, transport = peers.connect()
        peers.answers.set()
        connection.data_received(head + b"0\r\n\r\n" + self.HIDDEN)
        peers.settle()
        assert transport.sent.startswith(b"HTTP/1.1 400 ")
        assert (transport.sent.count(b"HTTP/1.1"), transport.is_closed) == (1, True)

    @pytest.mark.parametrize(
        "head",
        [
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 2\r\n\r\nab",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\nab",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nA: b\rContent-Length: 2\r\n\r\nab",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;a\nb\r\nab\r\n0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        ],
    )
    def test_what_some_would_read_otherwise_is_refused(self, peers: Peers, head: bytes) -> None:
        connection, transport = peers.connect()
        connection.data_received(head + self.HIDDEN)
        peers.settle()
        assert (transport.sent[9:11], transport.sent.count(b"HTTP/1.1")) in ((b"40", 1), (b"50", 1))
        assert transport.is_closed


class TestNumbers:
    def test_of_one_source_the_one_that_waits_for_longest_goes(self, peers: Peers) -> None:
        silent = [peers.connect() for _ in range(3)]
        _, newest = peers.connect()
        _, other = peers.connect("192.0.2.2")
        assert [transport.is_cut for _, transport in silent] == [True, False, False]
        assert (newest.is_cut, other.is_cut, len(peers.known)) == (False, False, 4)

    def test_a_request_that_is_served_never_goes(self, peers: Peers) -> None:
        served = [peers.connect() for _ in range(3)]
        for connection, _ in served:
            connection.data_received(HEAD + b"0123456789")
        _, newest = peers.connect()
        assert [transport.is_cut for _, transport in served] == [False] * 3
        assert newest.is_cut

    def test_in_all_there_are_no_more_than_the_process_can_have(self, peers: Peers) -> None:
        strangers = [peers.connect(f"192.0.2.{number}") for number in range(20)]
        assert len(peers.known) == LIMITS.most
        assert sum(not transport.is_cut for _, transport in strangers) == LIMITS.most

    def test_what_is_closed_makes_room(self, peers: Peers) -> None:
        for _ in range(10):
            connection, transport = peers.connect()
            assert not transport.is_cut
            connection.connection_lost(None)
        assert (len(peers.known), peers.known._sources) == (0, {})

    def test_two_processes_count_for_themselves(self) -> None:
        assert bounded(LIMITS).known is not bounded(LIMITS).known

    @pytest.mark.parametrize(
        ("host", "source"),
        [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:0db8:0001:0002"),
            ("2001:db8:1:2::9", "2001:0db8:0001:0002"),
            # As a socket that listens on `::` shows them: else all of IPv4 were one source.
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:198.51.100.9", "198.51.100.9"),
            ("testclient", "testclient"),
        ],
    )
    def test_a_site_of_ipv6_is_one_source(self, host: str, source: str) -> None:
        assert source_of(host) == source


def test_a_handshake_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    async def create_server(*_: Any, **options: Any) -> None:
        seen.append(options)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "create_server", create_server)
    loop = subject.Loop()
    try:
        loop.run_until_complete(loop.create_server(None, ssl=object()))
        loop.run_until_complete(loop.create_server(None, ssl=None))
    finally:
        loop.close()
    assert [options.get("ssl_handshake_timeout") for options in seen] == [5.0, None]
