"""Sending messages: to a receiver on this machine, never telling an address, and one that fails stops no other."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from panachain.crypto.keys import Seed
from panachain.errors import UnavailableError, UsageError
from panachain.sdk.notifying import TITLE, Notifier

WORD = "hunter2"


class Receiver(HTTPServer):
    """What messages arrive at."""

    def __init__(self) -> None:
        self.came: list[dict[str, Any]] = []
        self.status = 200
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"json://user:{WORD}@127.0.0.1:{self.server_port}/secret-path"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.came.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)


@pytest.fixture
def notifier(tmp_path: Path) -> Notifier:
    return Notifier(tmp_path, Seed(bytes(32)))


def test_a_message_arrives(notifier: Notifier, receiver: Receiver) -> None:
    assert notifier.add(receiver.url + "\n") == "json"
    assert notifier.send("Run: panachain log") == 1
    (came,) = receiver.came
    assert (came["title"], came["message"]) == (TITLE, "Run: panachain log")
    assert not came["attachments"]


def test_an_address_is_kept_sealed_and_never_told(
    notifier: Notifier, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status = 500
    with caplog.at_level(logging.DEBUG):
        notifier.add(receiver.url)
        assert notifier.services() == ["json"]
        with pytest.raises(UnavailableError) as refused:
            notifier.send("text")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    told = b"".join(path.read_bytes() for path in files) + str(refused.value).encode()
    told += " ".join(record.getMessage() for record in caplog.records).encode()
    for secret in (b"hunter2", b"secret-path"):
        assert secret not in told
    # Another profile's seed opens nothing of it.
    assert Notifier(tmp_path, Seed(b"\1" * 32)).services() == []


def test_one_that_fails_stops_no_other(notifier: Notifier, receiver: Receiver) -> None:
    # Nobody listens on the first one.
    notifier.add("json://127.0.0.1:9")
    notifier.add(receiver.url)
    assert notifier.send("text") == 1
    assert len(receiver.came) == 1
    assert notifier.remove(1) == "json"
    assert notifier.services() == ["json"]
    assert notifier.send("text") == 1


@pytest.mark.parametrize("url", ["", "example.org", "nothing://x", "json://\x1b[2J", "x" * 3000])
def test_what_is_no_address_is_refused_without_being_quoted(notifier: Notifier, url: str) -> None:
    with pytest.raises(UsageError) as refused:
        notifier.add(url)
    assert not url or url not in str(refused.value)
    assert notifier.services() == []


def test_numbers_and_places_have_ends(notifier: Notifier) -> None:
    for number in range(20):
        notifier.add(f"json://127.0.0.1:9/{number}")
    with pytest.raises(UsageError, match="at most 20"):
        notifier.add("json://127.0.0.1:9/more")
    for wrong in (0, 21, -1):
        with pytest.raises(UsageError):
            notifier.remove(wrong)


def test_nowhere_is_told(notifier: Notifier) -> None:
    with pytest.raises(UsageError, match="no address"):
        notifier.send("text")
