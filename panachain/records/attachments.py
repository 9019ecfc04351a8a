"""Attachments: the files that FHIR carries inside its JSON are sealed as they are, and put back byte for byte.

A member `"data":"…"` that holds a file becomes a mark in the place that FHIR gives to what is said about a member:

    "_data":{"extension":[{"url":"urn:panachain:attachment","valueString":"sha256:<hex of the file's bytes>"}]}

Everything else of the resource stays as it was written, blanks and all. What isn't base64 in its one canonical
spelling (RFC 4648 section 4) stays where it is, since it couldn't be put back. A mark that was in the source already
gets `raw-` before its `sha256:`, and loses it again, so that nobody's text is taken for ours.
Reads and writes no file. Follows FHIR R4 sections 2.24.0.2 (Attachment) and 2.6.2.1 (members with an underscore).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from panachain.errors import InputError, IntegrityError
from panachain.model.records import STATEMENT
from panachain.records.canonical import MAX_DEPTH, MAX_PIECE, check_values, read

MIN_SIZE: Final = 4096
"""Bytes from which a file is sealed by itself; in a DocumentReference or Binary every file is."""
MAX_SKELETON: Final = 2 * MAX_PIECE
"""Bytes of a Bundle without its attachments: more than any that a hospital makes (records/split.py)."""
DEFAULT_TYPE: Final = "application/octet-stream"

_URL: Final = "urn:panachain:attachment"
_RAW: Final = b"raw-"
_BLANKS: Final = rb"([ \t\r\n]*+:[ \t\r\n]*+)"
# A quote after a backslash stands inside a string; any other one before `data"` begins the name of a member.
_DATA: Final = re.compile(rb'(?<!\\)"data"' + _BLANKS + b'"')
_ANY: Final = re.compile(rb'data"')
"""What a file or a mark needs; a pattern finds it faster than `in` does."""
_MARK: Final = re.compile(
    rb'"_data"' + _BLANKS + rb'\{"extension":\[\{"url":"urn:panachain:attachment",'
    rb'"valueString":"((?:raw-)*+)sha256:([0-9a-f]{64})"\}\]\}'
)
_DOCUMENT: Final = re.compile(rb'"resourceType"' + _BLANKS + b'"(?:DocumentReference|Binary)"')
_MEDIA_TYPE: Final = re.compile(r"[!-~]{1,64}/[ -~]{1,64}")


@dataclass(frozen=True)
class Attachment:
    """A file that was inside a resource."""

    digest: bytes
    """SHA-256 of the bytes, 32 bytes; stands in the resource in their place."""
    media_type: str
    data: bytes = field(repr=False)


def pull_out(resource: bytes, *, depth: int = MAX_DEPTH) -> tuple[bytes, list[Attachment]]:
    """Return a resource with marks in the place of its files, and the files.

    Args:
        resource: JSON; what isn't is returned as it is, for its reader to refuse.
        depth: nesting that is allowed, marks included.
    """
    if _ANY.search(resource) is None:
        return resource, []
    parts, attachments, end = list[bytes](), list[Attachment](), 0
    for member, text, data in _files(resource):
        digest = sha256(data)
        parts += _escaped(resource[end : member.start()]), b'"_data"', member[1], _mark(digest.hexdigest()).encode()
        attachments.append(Attachment(digest.digest(), DEFAULT_TYPE, data))
        end = member.end() + len(text) + 1
    if attachments:
        skeleton = b"".join(parts) + _escaped(resource[end:])
        types = _media_types(skeleton, depth)
        # Each mark was found again in what a parser reads; otherwise the resource is kept as it came.
        if types is not None and len(types) == len(attachments):
            # Reversed, so that of several media types of one file the first one counts.
            by_digest = dict(reversed(types))
            return skeleton, [Attachment(a.digest, by_digest[a.digest], a.data) for a in attachments]
    return _escaped(resource), []


class Restoring:
    """A Bundle whose attachments are going to be put back: how large it will be is known before one of them is read."""

    def __init__(self, content: bytes, size_of: Callable[[bytes], int]) -> None:
        """Look for the marks.

        Args:
            content: resources with marks.
            size_of: returns how many bytes the attachment of a digest has, by its header.

        Raises:
            IntegrityError: `size_of` knows no such attachment.
        """
        self._content = content
        self._marks = list(_MARK.finditer(content)) if _URL.encode() in content else []
        self._sizes: dict[bytes, int] = {}
        self.size = len(content)
        """Bytes of the whole, each attachment counted in each of its places."""
        for mark in self._marks:
            if mark[2]:
                self.size -= len(_RAW)
                continue
            digest = bytes.fromhex(mark[3].decode())
            if digest not in self._sizes:
                self._sizes[digest] = size_of(digest)
            encoded = 4 * -(-self._sizes[digest] // 3)
            self.size += len(b'"data"' + mark[1] + b'""') + encoded - len(mark[0])

    @property
    def digests(self) -> list[bytes]:
        """The attachments that are named, each once."""
        return list(self._sizes)

    def pieces(self, fetch: Callable[[bytes], Iterable[bytes]]) -> Iterator[bytes]:
        """Yield what `pull_out` was given, or a Bundle of it, byte for byte, in pieces of bounded size.

        Args:
            fetch: yields the bytes of an attachment, given their SHA-256 of 32 bytes.

        Raises:
            IntegrityError: `fetch` yielded other bytes; the end alone proves that it didn't.
        """
        end = 0
        for mark in self._marks:
            yield self._content[end : mark.start()]
            end = mark.end()
            if mark[2]:
                # It stood in the original already, and was escaped on the way in.
                yield mark[0].replace(b'"' + _RAW, b'"', 1)
                continue
            yield b'"data"' + mark[1] + b'"'
            yield from _encoded(bytes.fromhex(mark[3].decode()), fetch)
            yield b'"'
        yield self._content[end:]


def restore(content: bytes, fetch: Callable[[bytes], bytes]) -> bytes:
    """Return what `pull_out` was given, or a Bundle of it, byte for byte; `Restoring` is the form for large ones.

    Args:
        content: resources with marks.
        fetch: returns the bytes of an attachment, given their SHA-256 of 32 bytes.

    Raises:
        IntegrityError: `fetch` returned other bytes.
    """
    return b"".join(Restoring(content, lambda _: 0).pieces(lambda digest: [fetch(digest)]))


def _encoded(digest: bytes, fetch: Callable[[bytes], Iterable[bytes]]) -> Iterator[bytes]:
    """Yield an attachment in base64, and check its digest."""
    hasher, rest, size = sha256(), b"", 0
    for piece in fetch(digest):
        hasher.update(piece)
        size += len(piece)
        # Three bytes are four characters: only so do the pieces join without padding between them.
        rest += piece
        whole = len(rest) - len(rest) % 3
        yield binascii.b2a_base64(rest[:whole], newline=False)
        rest = rest[whole:]
    if hasher.digest() != digest:
        raise IntegrityError(f"an attachment of {size} bytes isn't the one that its Bundle names")
    yield binascii.b2a_base64(rest, newline=False)


def _files(resource: bytes) -> Iterator[tuple[re.Match[bytes], bytes, bytes]]:
    """Yield the beginning of each member that holds a file, its base64, and the file."""
    least = 1 if _DOCUMENT.search(resource) else MIN_SIZE
    for member in _DATA.finditer(resource):
        end = resource.find(b'"', member.end())
        if (end - member.end()) // 4 * 3 >= least:
            text = resource[member.end() : end]
            data = _decoded(text)
            if data is not None and len(data) >= least:
                yield member, text, data


def _decoded(text: bytes) -> bytes | None:
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        return None
    # Base64 has several spellings of one file. What `restore` wouldn't spell the same way stays where it is.
    return data if binascii.b2a_base64(data, newline=False) == text else None


def _escaped(text: bytes) -> bytes:
    if _URL.encode() not in text:
        return text
    return _MARK.sub(lambda mark: mark[0].replace(b'"valueString":"', b'"valueString":"raw-', 1), text)


def _mark(digest: str) -> str:
    return f'{{"extension":[{{"url":"{_URL}","valueString":"sha256:{digest}"}}]}}'


def _media_types(skeleton: bytes, depth: int) -> list[tuple[bytes, str]] | None:
    """Return digest and media type of each mark, or None if the files must stay where they are."""
    try:
        check_values(skeleton)
        value, _ = read(skeleton, depth=depth)
    except InputError:
        # Not JSON, too deep with the marks, or there was a `_data` already: a doubled key now.
        return None
    found: list[tuple[bytes, str]] = []
    for item in _objects(value):
        digest = _digest(item.get("_data"))
        if digest is not None:
            if "data" in item:
                # One of two members of the same name was taken: the reader of the original refuses it.
                return None
            found.append((digest, _media_type(item.get("contentType"))))
    return found


def _digest(value: Any) -> bytes | None:
    try:
        scheme, _, digest = value["extension"][0]["valueString"].partition(":")
        marked = scheme == "sha256" and value["extension"][0]["url"] == _URL
        return bytes.fromhex(digest) if marked else None
    except (TypeError, KeyError, IndexError, AttributeError, ValueError):
        return None


def _media_type(value: Any) -> str:
    if not isinstance(value, str) or not _MEDIA_TYPE.fullmatch(value):
        return DEFAULT_TYPE
    # A record of FHIR is a Bundle of ours; a file that happens to be FHIR must not be taken for one.
    if value.lower().startswith("application/fhir+json"):
        return "application/json"
    # Whoever sends a hospital a file mustn't speak for the hospital.
    return DEFAULT_TYPE if value.lower().startswith(STATEMENT) else value


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
        children = item.values() if isinstance(item, dict) else item
        stack.extend(child for child in children if isinstance(child, dict | list))
