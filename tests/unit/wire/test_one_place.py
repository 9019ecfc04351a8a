"""Nobody opens a connection but panachain/wire: what it doesn't bound, nobody bounds."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import panachain

pytestmark = pytest.mark.checkout
PACKAGE = Path(panachain.__file__).parent
CLIENTS = {"urllib.request", "urllib3", "requests", "aiohttp", "http.client", "ftplib", "websockets", "xmlrpc.client"}
"""Modules that open connections. httpx itself import-linter keeps to http_client.py."""
OPENING = {"Client", "AsyncClient", "HTTPTransport", "AsyncHTTPTransport", "get", "post", "request", "stream", "put"}
"""What opens connections among httpx's names."""
SOCKETS = {"create_connection", "socket", "open_connection"}
MAY_OPEN = re.compile(rf"\b({'|'.join(sorted({name.partition('.')[0] for name in CLIENTS}))}|httpx|socket|asyncio)\b")
"""What a module names that opens one, in its text; most have nothing of it, and needn't be parsed."""
ALLOWED = {
    # With our transport below it: ipfshttpclient's calls and the RPC's share it.
    "storage/kubo_rpc.py": {"httpx.Client"},
    # It listens.
    "service/http.py": {"socket.socket"},
    # Unix sockets of one user's processes on this machine.
    "agent/client.py": {"socket.socket"},
    "agent/process.py": {"socket.socket"},
    # It looks for a port that is free.
    "chain/anvil.py": {"socket.socket"},
}


def found(path: Path) -> Iterator[str]:
    """Yield what a module opens connections with."""
    text = path.read_text()
    for node in ast.walk(ast.parse(text)) if MAY_OPEN.search(text) else ():
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in CLIENTS)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ([node.module] if node.module in CLIENTS else [])
            yield from (f"{node.module}.{a.name}" for a in node.names if f"{node.module}.{a.name}" in CLIENTS)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            name = f"{owner.id}.{node.func.attr}" if isinstance(owner, ast.Name) else ""
            if name.startswith("httpx.") and node.func.attr in OPENING:
                yield name
            if name.startswith(("socket.", "asyncio.")) and node.func.attr in SOCKETS:
                yield name


def test_connections_are_opened_in_one_place() -> None:
    opening = {
        module: names
        for path in sorted(PACKAGE.rglob("*.py"))
        if not (module := path.relative_to(PACKAGE).as_posix()).startswith("wire/")
        if (names := set(found(path)))
    }
    assert opening == ALLOWED


def test_what_it_looks_for_is_found(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text(
        "import urllib.request\nfrom http.client import HTTPException\nimport socket\n"
        "def f():\n    from panachain.http_client import httpx\n    httpx.post('http://x')\n"
        "    socket.create_connection(('x', 1))\n"
    )
    assert set(found(file)) == {"urllib.request", "http.client", "httpx.post", "socket.create_connection"}
