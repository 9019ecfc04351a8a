"""A web site of somebody else's on this machine, which tries what a hostile page may try, and keeps what it is told."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Site:
    """Its pages and its visitors."""

    port: int
    pages: dict[str, str] = field(default_factory=dict)
    """HTML by path."""
    visits: list[tuple[str, str, str]] = field(default_factory=list)
    """Path, Referer and cookies of each request."""

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """Return the address of a page under one of the names that lead here."""
        return f"http://{host}:{self.port}{path}"


@contextmanager
def site() -> Iterator[Site]:
    """Serve an empty site."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.visits.append((self.path, self.headers.get("Referer", ""), self.headers.get("Cookie", "")))
            page = made.pages.get(self.path.partition("?")[0])
            # A browser asks for an icon by itself.
            self.send_response(200 if page is not None else 204 if self.path == "/favicon.ico" else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write((page or "").encode())

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Site(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, name="elsewhere", daemon=True)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
