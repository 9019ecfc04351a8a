"""Receiving: forms are taken apart piece by piece, and nothing is stored before the token was checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from panachain.errors import AccessDeniedError, TooLargeError, UsageError
from panachain.portal import receiving as subject
from panachain.portal.receiving import Received, receive
from panachain.portal.staging import FOLDER, Staged, stage

BOUNDARY = "----b"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"
Part = tuple[str, str | None, bytes]
"""Name, file name, content."""
TOKEN: Part = ("csrf", None, b"right")


def form(*parts: Part, end: bool = True) -> bytes:
    made = b""
    for name, file, content in parts:
        told = f'; filename="{file}"\r\nContent-Type: application/octet-stream' if file is not None else ""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{told}\r\n\r\n'
        made += head.encode() + content + b"\r\n"
    return made + (f"--{BOUNDARY}--\r\n".encode() if end else b"")


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def check(token: str) -> None:
    if token != "right":
        raise AccessDeniedError("another token")


def taken(folder: Path, body: bytes, *, size: int = 1000, kind: str = TYPE) -> tuple[Received, Staged]:
    return asyncio.run(receive(pieces(body, size), kind, staged=lambda: stage(folder), token="csrf", check=check))


def left(folder: Path) -> list[Path]:
    """Return what lies in the place of uploads."""
    return list((folder / FOLDER).rglob("*")) if (folder / FOLDER).exists() else []


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "PIECE", 64)


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_files_and_fields_come_out_however_they_arrive(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * 20 + f"\r\n--{BOUNDARY[:-1]}x\r\n".encode()
    body = form(
        TOKEN,
        ("patient", None, "Zoë".encode()),
        ("files", "a.dcm", content),
        ("files", "FOLDER/b.json", b""),
        ("files", "", b""),
        ("category", None, b"imaging"),
    )
    received, staged = taken(tmp_path, body, size=size)
    assert (received.get("patient"), received.get("category"), received.get("nothing", "-")) == ("Zoë", "imaging", "-")
    assert (staged.folder / "a.dcm").read_bytes() == content
    assert (staged.folder / "FOLDER/b.json").read_bytes() == b""
    assert (staged.files, staged.size) == (2, len(content))


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [("files", "a.json", b"{}"), TOKEN],
        [("patient", None, b"p"), TOKEN, ("files", "a.json", b"{}")],
        [("csrf", None, b"wrong"), ("files", "a.json", b"{}")],
        [("csrf", "token.txt", b"right"), ("files", "a.json", b"{}")],
        [("CSRF", None, b"right"), ("files", "a.json", b"{}")],
        [("csrf", None, b""), ("files", "a.json", b"{}")],
    ],
)
def test_nothing_is_made_before_the_token_was_checked(tmp_path: Path, parts: list[Part]) -> None:
    made: list[Staged] = []

    def place() -> Staged:
        made.append(stage(tmp_path))
        return made[-1]

    with pytest.raises((UsageError, AccessDeniedError)):
        asyncio.run(receive(pieces(form(*parts), 50), TYPE, staged=place, token="csrf", check=check))
    assert made == []
    assert left(tmp_path) == []


def test_a_body_that_ends_early_leaves_nothing(tmp_path: Path) -> None:
    whole = form(TOKEN, ("files", "a.json", b"{}" * 300))
    for end in range(len(whole) - 4):
        with pytest.raises((UsageError, AccessDeniedError)):
            taken(tmp_path, whole[:end])
    assert left(tmp_path) == []


def test_a_client_that_goes_away_leaves_nothing(tmp_path: Path) -> None:
    class GoneError(Exception):
        pass

    async def body() -> AsyncIterator[bytes]:
        yield form(TOKEN, ("files", "a.json", b"{}" * 300), end=False)
        assert left(tmp_path)
        raise GoneError

    with pytest.raises(GoneError):
        asyncio.run(receive(body(), TYPE, staged=lambda: stage(tmp_path), token="csrf", check=check))
    assert left(tmp_path) == []


def test_a_server_that_ends_leaves_nothing(tmp_path: Path) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield form(TOKEN, ("files", "a.json", b"{}" * 300), end=False)
        await asyncio.sleep(3600)

    async def ended() -> None:
        task = asyncio.create_task(receive(body(), TYPE, staged=lambda: stage(tmp_path), token="csrf", check=check))
        for _ in range(1000):
            await asyncio.sleep(0.001)
            if left(tmp_path):
                break
        assert left(tmp_path)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ended())
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "body",
    [
        form(TOKEN, ("files", "../a", b"x")),
        form(TOKEN, ("files", "/etc/passwd", b"x")),
        form(TOKEN, ("x" * 9000, None, b"x")),
        form(TOKEN, ("patient", None, b"x" * 70_000)),
        form(TOKEN, *[(f"f{number}", None, b"x") for number in range(70)]),
        form(TOKEN, ("patient", None, b"\xff\xfe")),
        form(TOKEN).replace(b"form-data", b"attachment"),
        form(TOKEN, ("patient", None, b"x")).replace(b'name="patient"', b""),
        b"--other\r\n\r\n",
        b"\0" * 5000,
    ],
)
def test_a_hostile_form_is_refused_and_leaves_nothing(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(UsageError):
        taken(tmp_path, body)
    assert left(tmp_path) == []


def test_too_many_files_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("panachain.portal.staging.MOST_FILES", 2)
    with pytest.raises(TooLargeError):
        taken(tmp_path, form(TOKEN, *[("files", f"{number}", b"x") for number in range(3)]))
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "multipart/form-data",
        "multipart/mixed; boundary=b",
        f"multipart/form-data; boundary={'b' * 71}",
    ],
)
def test_what_is_no_such_form_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UsageError, match="multipart/form-data"):
        taken(tmp_path, form(TOKEN), kind=kind)


def test_no_more_than_a_few_pieces_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    monkeypatch.setattr(subject, "PIECE", 1 << 16)
    size = 16 << 20

    async def body() -> AsyncIterator[bytes]:
        yield form(TOKEN)[: -len(f"--{BOUNDARY}--\r\n")]
        yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'.encode()
        for _ in range(size >> 14):
            yield bytes(1 << 14)
        yield f"\r\n--{BOUNDARY}--\r\n".encode()

    made: Callable[[], Staged] = lambda: stage(tmp_path)  # noqa: E731
    tracemalloc.start()
    try:
        _, staged = asyncio.run(receive(body(), TYPE, staged=made, token="csrf", check=check))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert staged.size == size
    assert peak < 2 << 20
