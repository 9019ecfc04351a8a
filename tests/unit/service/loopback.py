"""Small HTTP servers on loopback in front of ProxyService objects: honest ones, and ones that lie as a test says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from panachain.errors import PanaChainError
from panachain.proxy import messages
from panachain.service import problems
from panachain.service.proxy.service import ProxyService

Answer = tuple[int, bytes]
"""Status and body."""
Behaviour = Callable[["Server", str, dict[str, Any]], Answer]


def honest(server: Any, path: str, fields: dict[str, Any]) -> Answer:
    """Answer as the proxy's own front does."""
    service = server.service
    try:
        if path == "/v1/reencrypt":
            request = messages.parse_reencrypt(fields)
            service.authenticate(request)
            return 200, json.dumps(service.reencrypt(request)).encode()
        if path == "/readyz":
            return 200, json.dumps(service.ready()).encode()
        return 404, b"{}"
    except PanaChainError as exc:
        answer = problems.respond(exc)
        return answer.status_code, bytes(answer.body)


class Server:
    """One proxy on loopback."""

    def __init__(self, service: ProxyService, behaviour: Behaviour = honest) -> None:
        self.service = service
        self.behaviour = behaviour
        self.requests: list[dict[str, Any]] = []
        self.answers = 0
        """How many requests were answered, or refused an answer."""
        self.first = self
        """The first of those that are served together."""
        self.stopped = threading.Event()
        self.is_hanging = False
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.stopped.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)

    def hang(self) -> None:
        """Keep a request waiting until the test is over."""
        self.is_hanging = True
        self.is_hanging = not self.stopped.wait(200)

    def _handler(server: Server) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Two small writes would wait for each other's acknowledgement.
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_GET(self) -> None:
                self._answer({})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self._answer(json.loads(body))

            def _answer(self, fields: dict[str, Any]) -> None:
                server.requests.append(fields)
                try:
                    self._send(*server.behaviour(server, self.path, fields))
                finally:
                    server.answers += 1

            def _send(self, status: int, content: bytes) -> None:
                if status == 0:
                    # No answer at all.
                    self.close_connection = True
                    return
                try:
                    self.send_response(status)
                    self.send_header("content-length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                    self.wfile.flush()
                except OSError:
                    # The client had enough: that is what some tests are about.
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                return

        return Handler


@contextmanager
def serving(services: list[ProxyService], *behaviours: Behaviour) -> Iterator[list[Server]]:
    """Serve all of them; the first ones behave as told, the others honestly."""
    with ExitStack() as stack:
        servers = []
        for number, service in enumerate(services):
            server = Server(service, behaviours[number] if number < len(behaviours) else honest)
            stack.callback(server.close)
            servers.append(server)
            server.first = servers[0]
        yield servers


def slow(seconds: float, then: Behaviour = honest) -> Behaviour:
    def behave(server: Server, path: str, fields: dict[str, Any]) -> Answer:
        server.stopped.wait(seconds)
        return then(server, path, fields)

    return behave


def after_the_first(seconds: float) -> Behaviour:
    """Answer honestly, these seconds after the first server has answered as often, however busy the machine is."""

    def behave(server: Server, path: str, fields: dict[str, Any]) -> Answer:
        wait_for(lambda: server.first.answers >= len(server.requests) or server.stopped.is_set(), 10)
        server.stopped.wait(seconds)
        return honest(server, path, fields)

    return behave


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False
