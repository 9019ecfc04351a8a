"""The server of links runs on loopback, and nowhere in the clear."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from panachain.errors import ConfigurationError
from panachain.service.share.run import ShareConfig
from panachain.service.tls import TlsConfig
from panachain.sharing.shelf import Shelf, new_secret, sealed


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "links.example"])
def test_nothing_is_served_in_the_clear_beyond_this_machine(host: str, tmp_path: Path) -> None:
    tls = TlsConfig(tmp_path / "c", tmp_path / "k", None)
    with pytest.raises(ConfigurationError, match="without TLS"):
        ShareConfig(tmp_path, "https://links.example", host).check()
    ShareConfig(tmp_path, "https://links.example", host, tls=tls).check()
    ShareConfig(tmp_path, "https://links.example", host, behind="192.0.2.9").check()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_none(host: str, tmp_path: Path) -> None:
    ShareConfig(tmp_path, "https://links.example", host).check()


@pytest.mark.deep
def test_serves_until_it_is_told_to_stop_and_sees_what_another_process_revokes(tmp_path: Path) -> None:
    shelf, secret, key = Shelf(tmp_path / "shares"), new_secret(), bytes(32)
    files = sealed([("application/fhir+json", b"{}")], key, flags=frozenset())
    share = shelf.put(secret, files, label="", flags=frozenset(), expires_at=None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [sys.executable, "-m", "panachain.cli", "--home", str(tmp_path), "share", "serve", "--port", str(port)]
    with subprocess.Popen([*program, "--url", "https://links.example"], env=os.environ) as server:
        try:
            assert _ask(port, secret) == 200
            shelf.revoke(share)
            assert _ask(port, secret) == 404
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=60) == 0


def _ask(port: int, secret: str) -> int:
    for _ in range(600):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("POST", f"/shl/{secret}", json.dumps({"recipient": "r"}))
            return connection.getresponse().status
        except ConnectionRefusedError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise AssertionError("the server didn't start")
