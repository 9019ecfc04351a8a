"""Receiving: a form with files is taken apart while it arrives, and its files go to the disk piece by piece.

Never holds more of a body than a few pieces, and stores nothing before the form's token was checked: it must be the
form's first field. Whatever ends the receiving, a broken body, a client that goes away, a full disk, removes what was
stored. Follows RFC 7578, HTML (form submission, multipart/form-data) and ADR 41.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from fastapi.concurrency import run_in_threadpool
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from panachain.errors import PanaChainError, UsageError

PIECE: Final = 1 << 20
"""Bytes that are taken apart at once; what arrives is gathered until then."""
_MOST_FIELDS: Final = 64
_LONGEST_FIELD: Final = 64 << 10
"""Bytes of a field that is no file."""
_LONGEST_HEADER: Final = 8 << 10
"""Bytes of a part's headers: a path, and what surrounds it."""
_LOOK: Final = 64 << 20
"""Bytes after which it is looked again whether the disk has room."""
_BROKEN: Final = "the form that arrived is broken; nothing of it was kept or published"


class Arriving(Protocol):
    """A file while it arrives."""

    def write(self, piece: memoryview) -> None:
        """Take the next bytes."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Place(Protocol):
    """Where files go that arrive: to the disk (`Staged`), or into memory where they are few and secret (`Held`)."""

    def begin(self, path: str) -> Arriving | None:
        """Begin a file; None for one that isn't taken."""
        ...

    def check_room(self) -> None:
        """Raise where there is no room for more."""
        ...

    def close(self) -> None:
        """Forget all of it."""
        ...


Files = TypeVar("Files", bound=Place)


@dataclass
class Received:
    """What a form holds beside its files."""

    fields: dict[str, list[str]] = field(default_factory=dict)

    def get(self, name: str, default: str = "") -> str:
        """Return the value of a field, or `default` if it isn't there."""
        return self.fields.get(name, [default])[0]


async def receive(
    body: AsyncIterator[bytes],
    content_type: str,
    *,
    staged: Callable[[], Files],
    token: str,
    check: Callable[[str], None],
) -> tuple[Received, Files]:
    """Take a form apart while it arrives.

    Args:
        body: as it arrives.
        content_type: of the request, with the boundary.
        staged: makes the place for the files, once the token is checked.
        token: name of the field with the form's token, which must be the first one.
        check: raises if a token isn't right.

    Raises:
        UsageError: it is no such form, or broken, or the token isn't its first field.
        DiskError, TooLargeError: as `Staged.begin` and `Incoming.write`.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 70:
        raise UsageError("files come in a form of the type multipart/form-data; nothing was kept or published")
    parts = _Parts(boundary, staged, token, check)
    try:
        held, size = list[bytes](), 0
        async for piece in body:
            held.append(piece)
            size += len(piece)
            if size >= PIECE:
                await run_in_threadpool(parts.take, b"".join(held))
                held, size = [], 0
        await run_in_threadpool(parts.take, b"".join(held))
        return parts.finish()
    except BaseException:
        # A client that goes away is told by an exception that is no error of ours.
        parts.give_up()
        raise


class _Parts(Generic[Files]):
    """The parts of one form."""

    def __init__(self, boundary: bytes, staged: Callable[[], Files], token: str, check: Callable[[str], None]) -> None:
        self._received = Received()
        self._make = staged
        self._staged: Files | None = None
        self._token = token
        self._check = check
        self._is_checked = False
        self._is_whole = False
        self._looked = 0
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._value: bytearray | None = None
        self._file: Arriving | None = None
        self._failed: PanaChainError | None = None
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._all,
            },
        )

    def take(self, piece: bytes) -> None:
        """Take the next bytes."""
        if not piece:
            return
        try:
            self._parser.write(piece)
        except MultipartParseError:
            raise UsageError(_BROKEN) from None
        self._looked += len(piece)
        if self._staged is not None and self._looked >= _LOOK:
            self._looked = 0
            self._staged.check_room()

    def finish(self) -> tuple[Received, Files]:
        """Return what there was, once all of it arrived."""
        if not self._is_whole or self._staged is None:
            raise UsageError(_BROKEN)
        return self._received, self._staged

    def give_up(self) -> None:
        """Remove what was stored."""
        if self._file is not None:
            self._file.close()
        if self._staged is not None:
            self._staged.close()

    # What the parser says

    def _begin(self) -> None:
        self._headers, self._header = {}, (bytearray(), bytearray())
        self._value, self._file = None, None

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._add(self._header[0], data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._add(self._header[1], data[start:end])

    def _add(self, header: bytearray, data: bytes) -> None:
        header += data
        if len(header) + sum(map(len, self._headers.values())) > _LONGEST_HEADER:
            raise UsageError(_BROKEN)

    def _header_end(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _headers_end(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if kind != b"form-data" or b"name" not in options:
            raise UsageError(_BROKEN)
        self._name = _text(options[b"name"])
        if not self._is_checked and (self._name != self._token or b"filename" in options):
            raise UsageError("the form's token isn't its first field; nothing of it was kept or published")
        if b"filename" not in options:
            if sum(map(len, self._received.fields.values())) >= _MOST_FIELDS:
                raise UsageError(_BROKEN)
            self._value = bytearray()
        elif options[b"filename"]:
            self._staged = self._staged or self._make()
            self._file = self._staged.begin(_text(options[b"filename"]))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(memoryview(data)[start:end])
        elif self._value is not None:
            self._value += data[start:end]
            if len(self._value) > _LONGEST_FIELD:
                raise UsageError(_BROKEN)

    def _end(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        elif self._value is not None:
            value = _text(bytes(self._value))
            if not self._is_checked:
                self._check(value)
                self._is_checked = True
                self._staged = self._make()
            else:
                self._received.fields.setdefault(self._name, []).append(value)

    def _all(self) -> None:
        self._is_whole = True


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(_BROKEN) from None
