"""An in-memory twin of a Kubo node's RPC, whose answers a test can spoil on their way.

Speaks HTTP over a socket of its own, so that what is spoiled is bytes and not objects: heads, chunks, trailers.
Answers the way Kubo 0.43 does, as far as the store asks it.
"""

from __future__ import annotations

import contextlib
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from panachain.ipld import car, unixfs
from panachain.ipld.cid import CID, DAG_PB, RAW

Fault = Callable[["Exchange"], None]
"""Sends what it likes in place of an answer."""

PATIENCE = 60.0
"""Seconds that a fault goes on where the client stays: far more than a client's own patience in the tests."""
FOLDER_V0 = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"


@dataclass
class Exchange:
    """One request, and the answer that a good node would give."""

    connection: socket.socket
    path: str
    raw: bytes
    """The whole answer as it goes over the wire."""
    head_size: int
    stopping: threading.Event
    outlasted: bool = False
    """Whether the client stayed for all the time that a fault goes on."""
    until: float = field(default_factory=lambda: time.monotonic() + PATIENCE)

    def goes_on(self) -> bool:
        """Return whether the fault goes on, and note when it is the fault that ends first."""
        self.outlasted = time.monotonic() > self.until
        return not (self.outlasted or self.stopping.is_set() or self.client_left())

    def client_left(self) -> bool:
        """Return whether the client closed the connection."""
        try:
            return self.connection.recv(1, socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def send(self, data: bytes) -> None:
        """Send bytes, whether or not somebody still reads them."""
        with contextlib.suppress(OSError):
            self.connection.sendall(data)


class RefusalError(Exception):
    """What the node answers with status 500."""


@dataclass
class KuboTwin:
    """The node."""

    blocks: dict[bytes, bytes] = field(default_factory=dict)
    """Digest to bytes."""
    pinned: set[str] = field(default_factory=set)
    foreign_pins: set[str] = field(default_factory=lambda: {FOLDER_V0})
    requests: list[str] = field(default_factory=list)
    """Paths, in the order in which they were asked."""
    fault: Fault | None = None
    faults_left: int = 0
    """How many more answers are spoiled; -1 for all."""
    outlasted: int = 0
    """Faults that went on for all of their time, because the client was still there."""
    peers: int | None = 0
    """Other nodes that it is connected to; None for a node that was started offline."""
    api: str = ""

    def spoil(self, fault: Fault, times: int = -1) -> None:
        self.fault, self.faults_left = fault, times

    def heal(self) -> None:
        self.fault, self.faults_left = None, 0

    # What a good node answers

    def answer(self, path: str, query: dict[str, list[str]], body: bytes) -> bytes:
        arguments = query.get("arg", [])
        name = path.replace("/", "_")
        return bytes(getattr(self, f"on_{name}")(arguments, query, body))

    def block(self, text: str) -> bytes:
        if CID.parse(text).digest not in self.blocks:
            raise RefusalError(f"block was not found locally (offline): ipld: could not find {text}")
        return self.blocks[CID.parse(text).digest]

    def on_version(self, *_: object) -> bytes:
        return lines({"Version": "0.43.1"})

    def on_id(self, *_: object) -> bytes:
        return lines({"ID": "12D3KooW", "AgentVersion": "kubo/0.43.1/", "Addresses": ["/ip4/127.0.0.1/tcp/4001"] * 100})

    def on_swarm_peers(self, *_: object) -> bytes:
        if self.peers is None:
            raise RefusalError("this command must be run in online mode. Try running 'ipfs daemon' first")
        return lines({"Peers": [{"Addr": "/ip4/10.0.0.1/tcp/4001", "Peer": f"12D3{n}"} for n in range(self.peers)]})

    def on_block_get(self, arguments: list[str], *_: object) -> bytes:
        return self.block(arguments[0])

    def on_block_stat(self, arguments: list[str], *_: object) -> bytes:
        return lines({"Key": arguments[0], "Size": len(self.block(arguments[0]))})

    def on_block_put(self, _: list[str], query: dict[str, list[str]], body: bytes) -> bytes:
        codec = {"raw": RAW, "dag-pb": DAG_PB, "dag-cbor": 0x71}[query["cid-codec"][0]]
        data = part_of(body)
        cid = CID.of(codec, data)
        self.blocks[cid.digest] = data
        return lines({"Key": str(cid), "Size": len(data)})

    def on_block_rm(self, arguments: list[str], *_: object) -> bytes:
        for text in arguments:
            self.blocks.pop(CID.parse(text).digest, None)
        return lines(*({"Hash": text} for text in arguments))

    def on_dag_import(self, _: list[str], __: object, body: bytes) -> bytes:
        _, sections = car.read_car(io.BytesIO(part_of(body)))
        found = list(sections)
        self.blocks |= {cid.digest: data for cid, data in found}
        return lines({"Stats": {"BlockCount": len(found), "BlockBytesCount": sum(len(data) for _, data in found)}})

    def on_cat(self, arguments: list[str], query: dict[str, list[str]], _: bytes) -> bytes:
        leaves = list(unixfs.leaves_of(CID.parse(arguments[0]), lambda cid: self.block(str(cid))))
        data = b"".join(self.block(str(cid)) for cid, _ in leaves)
        start = int(query["offset"][0])
        return data[start : start + int(query["length"][0])]

    def on_pin_add(self, arguments: list[str], *_: object) -> bytes:
        self.block(arguments[0])
        self.pinned.add(arguments[0])
        return lines({"Progress": 1, "Bytes": 10}, {"Pins": arguments})

    def on_pin_rm(self, arguments: list[str], *_: object) -> bytes:
        if arguments[0] not in self.pinned:
            raise RefusalError("not pinned or pinned indirectly")
        self.pinned.discard(arguments[0])
        return lines({"Pins": arguments})

    def on_pin_ls(self, _: list[str], query: dict[str, list[str]], __: bytes) -> bytes:
        if query["type"] != ["recursive"]:
            return b""
        return lines(*({"Cid": text, "Type": "recursive"} for text in [*self.pinned, *self.foreign_pins]))

    def on_refs_local(self, *_: object) -> bytes:
        return lines(*({"Ref": str(CID(RAW, digest)), "Err": ""} for digest in self.blocks))

    def on_repo_stat(self, *_: object) -> bytes:
        return lines({"RepoSize": sum(map(len, self.blocks.values())), "NumObjects": len(self.blocks)})

    def on_files_stat(self, *_: object) -> bytes:
        return lines({"Hash": FOLDER_V0})


def listening(path: Path | None) -> tuple[socket.socket, str]:
    """Return a listening socket and its multiaddress: a file, or else a port of its own on loopback."""
    if path is None:
        server = socket.create_server(("127.0.0.1", 0))
        return server, f"/ip4/127.0.0.1/tcp/{server.getsockname()[1]}"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    return server, f"/unix{path}"


@contextmanager
def running(twin: KuboTwin, path: Path | None = None) -> Iterator[KuboTwin]:
    """Let a twin answer."""
    stopping = threading.Event()
    server, twin.api = listening(path)
    with server:
        server.settimeout(0.05)

        def accept() -> None:
            while not stopping.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                threading.Thread(target=serve, args=(twin, connection, stopping), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield twin
        finally:
            stopping.set()
            thread.join(5)


def serve(twin: KuboTwin, connection: socket.socket, stopping: threading.Event) -> None:
    """Answer the requests of one connection."""
    with connection, connection.makefile("rb") as file:
        connection.settimeout(PATIENCE)
        with contextlib.suppress(OSError, ValueError):
            while serve_one(twin, connection, file, stopping):
                pass


def serve_one(twin: KuboTwin, connection: socket.socket, file: io.BufferedReader, stopping: threading.Event) -> bool:
    request = file.readline(65536).decode().split()
    if len(request) != 3:
        return False
    headers: dict[str, str] = {}
    while (line := file.readline(65536).strip()) != b"":
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    body = file.read(int(headers.get("content-length", "0")))
    url = urlsplit(request[1])
    path = url.path.removeprefix("/api/v0/")
    twin.requests.append(path)
    try:
        status, content = 200, twin.answer(path, parse_qs(url.query), body)
    except RefusalError as exc:
        status, content = 500, lines({"Message": str(exc), "Code": 0, "Type": "error"})
    plain = request[2] == "HTTP/1.0"
    head = f"{request[2]} {status} X\r\nServer: kubo/twin\r\nTrailer: X-Stream-Error\r\n"
    head += "\r\n" if plain else "Transfer-Encoding: chunked\r\n\r\n"
    raw = head.encode() + (content if plain else chunked(content))
    exchange = Exchange(connection, path, raw, len(head), stopping)
    if twin.fault is not None and twin.faults_left:
        twin.faults_left -= 1
        twin.fault(exchange)
        twin.outlasted += exchange.outlasted
        return False
    exchange.send(raw)
    return not plain


def chunked(content: bytes, size: int = 4096) -> bytes:
    """Return a body in chunks, as Kubo cuts it."""
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    return b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n"


def part_of(body: bytes) -> bytes:
    """Return the one part of a multipart body."""
    boundary, _, rest = body.partition(b"\r\n")
    return rest.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n" + boundary + b"--\r\n")


def lines(*values: object) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


# Faults


def closes(exchange: Exchange) -> None:
    """Say nothing, and go."""


def hangs(exchange: Exchange) -> None:
    """Say nothing, and stay."""
    while exchange.goes_on():
        exchange.stopping.wait(0.02)


def hangs_inside(exchange: Exchange) -> None:
    """Say half of it, and stay."""
    exchange.send(exchange.raw[: exchange.head_size + (len(exchange.raw) - exchange.head_size) // 2])
    while exchange.goes_on():
        exchange.stopping.wait(0.02)


def trickles(exchange: Exchange) -> None:
    """Say all of it, so slowly that each single silence is short."""
    for byte in exchange.raw:
        if not exchange.goes_on():
            return
        exchange.send(bytes([byte]))
        time.sleep(0.05)


def truncates(exchange: Exchange) -> None:
    """Say less than all of it, and go."""
    body = len(exchange.raw) - exchange.head_size
    exchange.send(exchange.raw[: exchange.head_size + body * 2 // 3])


def cuts_the_head(exchange: Exchange) -> None:
    exchange.send(exchange.raw[: exchange.head_size // 2])


def endless(exchange: Exchange) -> None:
    """Say more and more of it."""
    exchange.send(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(OSError):
        while exchange.goes_on():
            exchange.connection.sendall(b"10000\r\n" + b"\n" * 65536 + b"\r\n")


def endless_without_chunks(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 200 X\r\n\r\n")
    with contextlib.suppress(OSError):
        while exchange.goes_on():
            exchange.connection.sendall(b"x" * 65536)


def endless_head(exchange: Exchange) -> None:
    with contextlib.suppress(OSError):
        while exchange.goes_on():
            exchange.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


def answers(status: int, body: bytes = b'{"Message": "something broke", "Type": "error"}') -> Fault:
    """Answer with this status."""

    def fault(exchange: Exchange) -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n"
        exchange.send(head.encode() + body)

    return fault


def fails_behind_the_body(exchange: Exchange) -> None:
    """Say all of it, and then that it isn't all: Kubo's way of telling a late failure."""
    exchange.send(exchange.raw.removesuffix(b"\r\n") + b"X-Stream-Error: the disk is broken\r\n\r\n")


def speaks_no_http(exchange: Exchange) -> None:
    exchange.send(b"220 mail.example ESMTP\r\n" * 3)
