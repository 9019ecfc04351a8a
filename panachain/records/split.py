"""Split FHIR into records: one Bundle for each (category, year), nothing dropped, nothing changed.

Each entry goes into its record with the very bytes that it came with; only files inside resources are taken out, and
`attachments.restore` puts them back. What a Bundle says about itself goes into a record of its own. Opens no file and
seals nothing. A sensitive code or label anywhere in a resource makes it restricted.
Follows design section 4, FHIR R4 (Bundle) and Bulk Data Access 2.0 (NDJSON).

How records are cut, so that the same source always splits the same way:

1. Entries are grouped by category, year and type of Bundle, in the order in which they come. A resource that stands
   alone counts as an entry of a `collection`.
2. A source that is held in memory gives one Bundle for each group. One that is streamed gives a Bundle as soon as a
   group reaches GROUP_SIZE. Either gives its largest group as soon as all of them reach GROUPS_SIZE.
3. A Bundle's record is followed by the records of its attachments, each of them once.
4. The Bundle's own members (`id`, `identifier`, `timestamp`, `signature` …) come last, as a Bundle without `entry`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import BinaryIO, Final, NamedTuple

from panachain.errors import InputError
from panachain.model.records import FileContent
from panachain.model.scope import RESTRICTED, UNDATED, Category
from panachain.records.attachments import Attachment, pull_out
from panachain.records.canonical import (
    BLANKS,
    BOM,
    MAX_DEPTH,
    MAX_PIECE,
    Cutter,
    check_values,
    read,
)
from panachain.records.fhir_category import category_of, codes_in, label_of, objects, year_of
from panachain.records.fhir_codes import SENSITIVE

MEDIA_TYPE: Final = "application/fhir+json"
GROUP_SIZE: Final = 4 << 20
"""Bytes of one group of a streamed source."""
GROUPS_SIZE: Final = 32 << 20
"""Bytes of all groups of a source."""
_ENTRY_COST: Final = 64
"""Bytes that Python takes for holding an entry, about; counted, so that tiny ones can't exceed the bounds."""
_MAX_MEMBERS: Final = 10_000
"""Members of one Bundle besides its entries; FHIR defines 11."""
_ENTRY_DEPTH: Final = MAX_DEPTH - 2
"""Nesting of an entry: it stands in a list in an object."""

_TYPES: Final = {
    kind: json.dumps(kind).encode()
    for kind in (
        *("transaction", "batch", "history", "searchset", "collection"),
        *("transaction-response", "batch-response"),
    )
}
"""Types of Bundle that a part of it still is; parts of a document or a message are collections."""
_COLLECTION: Final = _TYPES["collection"]

_NOWHERE: Final = (Category.DOCUMENTS, UNDATED)
"""Where an entry without a resource goes."""
_NOT_FHIR: Final = "not a FHIR resource: resourceType is missing"
_HINT: Final = "other files: name their category, for example --category documents"


class Piece(NamedTuple):
    """A record that doesn't yet know which source it is of."""

    category: Category
    year: int
    media_type: str
    content: bytes | FileContent


def split_json(content: bytes, category: Category | None = None) -> Iterator[Piece]:
    """Yield the records of a Bundle or single resource that is held in memory.

    Args:
        content: the text.
        category: admits JSON that isn't FHIR, as one record of this category.

    Raises:
        InputError: not JSON as `canonical.parse` reads it, no FHIR resource, or a Bundle with malformed entries.
    """
    # FHIR goes by its own content even where a category is named: a name must not make a restricted resource common.
    if category is not None and _resource_type(content) is None:
        yield _other_json(content, category)
        return
    groups = _Groups(group_size=GROUPS_SIZE)
    # A cheap look first: most single resources don't name the type at all, and needn't be cut.
    if b'"Bundle"' in content:
        yield from _split_file(groups, io.BytesIO(content))
    else:
        yield from _split_text(groups, content.removeprefix(BOM).strip(BLANKS))
    yield from groups.flush()


def split_stream(file: BinaryIO) -> Iterator[Piece]:
    """Yield the records of a Bundle or single resource that may be larger than memory.

    Args:
        file: the text; it is read twice if its entries come before its type.

    Raises:
        InputError: as `split_json`, or one entry has more than MAX_PIECE bytes.
    """
    groups = _Groups(group_size=GROUP_SIZE)
    yield from _split_file(groups, file)
    yield from groups.flush()


def split_lines(file: BinaryIO) -> Iterator[Piece]:
    """Yield the records of NDJSON, one resource or Bundle on each line, holding no more than some lines.

    Raises:
        InputError: as `split_json`, or one line has more than MAX_PIECE bytes.
    """
    groups, number = _Groups(group_size=GROUP_SIZE), 0
    while line := file.readline(MAX_PIECE + 1):
        number += 1
        text = line.removeprefix(BOM).strip(BLANKS)
        try:
            if len(line) > MAX_PIECE:
                raise InputError(f"more than {MAX_PIECE} bytes")
            if b'"Bundle"' in text:
                yield from _split_file(groups, io.BytesIO(text))
            elif text:
                yield from _split_text(groups, text)
        except InputError as exc:
            raise InputError(f"line {number}: {exc}", hint=exc.hint) from None
        if groups.full:
            yield from groups.overflow()
    yield from groups.flush()


@dataclass
class _Group:
    """Entries of one category, year and type of Bundle that wait to become a record."""

    entries: list[bytes] = field(default_factory=list)
    attachments: dict[bytes, Attachment] = field(default_factory=dict)
    size: int = 0
    """Bytes that are held."""


_Key = tuple[Category, int, bytes]


class _Groups:
    """The groups of one source."""

    def __init__(self, *, group_size: int) -> None:
        self._group_size = group_size
        self._groups: dict[_Key, _Group] = {}
        self._size = 0
        self._shells: list[Piece] = []
        self._shells_size = 0
        self.full = False
        """Whether `overflow` has records to yield."""

    def add_entry(self, entry: bytes, kind: bytes) -> None:
        """Put one entry of a Bundle into its group.

        Args:
            entry: its text.
            kind: the Bundle's type, as JSON.
        """
        kept, attachments = pull_out(entry, depth=_ENTRY_DEPTH)
        check_values(kept)
        value, compact = read(kept, depth=_ENTRY_DEPTH)
        if not isinstance(value, dict):
            raise InputError("the Bundle's entry is no list of objects")
        resource = value.get("resource")
        if resource is not None and not isinstance(resource, dict):
            raise InputError("a Bundle entry's resource is no object")
        key = (category_of(resource, compact), year_of(resource), kind) if resource else (*_NOWHERE, kind)
        self._put(key, kept, len(kept), attachments)

    def add_resource(self, text: bytes) -> bool:
        """Put a resource that stands alone into its group; return False, and do nothing, if it is a Bundle."""
        kept, attachments = pull_out(text)
        check_values(kept)
        value, compact = read(kept)
        if not isinstance(value, dict) or not isinstance(value.get("resourceType"), str):
            raise InputError(_NOT_FHIR, hint=_HINT)
        if value["resourceType"] == "Bundle":
            return False
        key = (category_of(value, compact), year_of(value), _COLLECTION)
        self._put(key, b'{"resource":%b}' % kept, len(kept), attachments)
        return True

    def add_shell(self, pieces: Iterable[Piece]) -> None:
        """Keep what a Bundle says about itself until its entries are out."""
        for piece in pieces:
            self._shells.append(piece)
            self._shells_size += len(piece.content) if isinstance(piece.content, bytes) else 0
        self.full = self.full or self._shells_size >= GROUP_SIZE

    def overflow(self) -> Iterator[Piece]:
        """Yield the records that are full."""
        for key in [key for key, group in self._groups.items() if group.size >= self._group_size]:
            yield from self._take(key)
        while self._size >= GROUPS_SIZE:
            # `max` takes the oldest of equals: nothing depends on chance.
            yield from self._take(max(self._groups, key=lambda key: self._groups[key].size))
        if self._shells_size >= GROUP_SIZE:
            yield from self._take_shells()
        self.full = False

    def flush(self) -> Iterator[Piece]:
        """Yield what is left."""
        for key in list(self._groups):
            yield from self._take(key)
        yield from self._take_shells()

    def _put(self, key: _Key, entry: bytes, size: int, attachments: list[Attachment]) -> None:
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group()
        group.entries.append(entry)
        size += _ENTRY_COST
        for attachment in attachments:
            # Two entries may hold the same file; the record has it once.
            if attachment.digest not in group.attachments:
                group.attachments[attachment.digest] = attachment
                size += len(attachment.data) + _ENTRY_COST
        group.size += size
        self._size += size
        self.full = self.full or group.size >= self._group_size or self._size >= GROUPS_SIZE

    def _take(self, key: _Key) -> Iterator[Piece]:
        category, year, kind = key
        group = self._groups.pop(key)
        self._size -= group.size
        content = b'{"resourceType":"Bundle","type":%b,"entry":[%b]}' % (kind, b",".join(group.entries))
        group.entries.clear()
        yield Piece(category, year, MEDIA_TYPE, content)
        del content
        for attachment in group.attachments.values():
            yield Piece(category, year, attachment.media_type, attachment.data)

    def _take_shells(self) -> Iterator[Piece]:
        shells, self._shells, self._shells_size = self._shells, [], 0
        yield from shells


def _split_text(groups: _Groups, text: bytes) -> Iterable[Piece]:
    """Put a resource that stands alone into its group; its text is looked at more closely if it is a Bundle."""
    return () if groups.add_resource(text) else _split_file(groups, io.BytesIO(text))


def _split_file(groups: _Groups, file: BinaryIO) -> Iterator[Piece]:
    """Yield the full records of a Bundle that is cut entry by entry, or take in a single resource."""
    cutter, shell, count = Cutter(file), dict[str, bytes](), -1
    if cutter.peek() == b"[":
        raise InputError(_NOT_FHIR, hint=_HINT)
    waiting, left = False, MAX_PIECE
    for name in cutter.names():
        if name in shell or (name == "entry" and count >= 0):
            raise InputError("a JSON object has a doubled key")
        if name != "entry" or cutter.peek() != b"[":
            shell[name] = cutter.value()
            left -= len(shell[name])
            if left < 0 or len(shell) > _MAX_MEMBERS:
                raise InputError(f"more than {_MAX_MEMBERS} members or {MAX_PIECE} bytes beside the list of entries")
        elif "type" in shell and _string(shell.get("resourceType")) == "Bundle":
            count = yield from _add_entries(groups, cutter.items(), shell)
        else:
            # What these are entries of comes later: they are passed over once.
            count, waiting = sum(1 for _ in cutter.items()), True
    cutter.end()
    if _string(shell.get("resourceType")) != "Bundle":
        _add_single(groups, file)
        return
    if "entry" in shell:
        raise InputError("the Bundle's entry is no list of objects")
    if waiting:
        yield from _add_entries(groups, _entries(file), shell)
    groups.add_shell(_shell(shell, has_entries=count > 0))


def _add_single(groups: _Groups, file: BinaryIO) -> None:
    file.seek(0)
    text = file.read(MAX_PIECE + 1)
    if len(text) > MAX_PIECE:
        raise InputError(f"a single resource of more than {MAX_PIECE} bytes")
    groups.add_resource(text.removeprefix(BOM).strip(BLANKS))


def _entries(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    cutter = Cutter(file)
    for name in cutter.names():
        if name == "entry":
            yield from cutter.items()
            return
        cutter.value()


def _add_entries(groups: _Groups, entries: Iterable[bytes], shell: dict[str, bytes]) -> Generator[Piece, None, int]:
    """Put entries into their groups, yield the records that this makes full, and return how many entries there were."""
    kind, number = _TYPES.get(_string(shell.get("type")) or "", _COLLECTION), 0
    for entry in entries:
        number += 1
        try:
            groups.add_entry(bytes(entry), kind)
        except InputError as exc:
            raise InputError(f"entry {number}: {exc}", hint=exc.hint) from None
        if groups.full:
            yield from groups.overflow()
    return number


def _shell(found: dict[str, bytes], *, has_entries: bool) -> Iterator[Piece]:
    """Yield what a Bundle says about itself, if its other records don't say it."""
    plain = set(found) <= {"resourceType", "type"}
    if has_entries and plain and ("type" not in found or _string(found["type"]) in _TYPES):
        return
    text = b"{" + b",".join(json.dumps(key).encode() + b":" + value for key, value in found.items()) + b"}"
    kept, attachments = pull_out(text)
    check_values(kept)
    value, compact = read(kept)
    category = category_of(value, compact)
    yield Piece(category, UNDATED, MEDIA_TYPE, kept)
    for attachment in {attachment.digest: attachment for attachment in attachments}.values():
        yield Piece(category, UNDATED, attachment.media_type, attachment.data)


def _resource_type(content: bytes) -> str | None:
    """Return the resourceType of what a JSON text holds, if it has one."""
    cutter = Cutter(io.BytesIO(content))
    if cutter.peek() != b"{":
        return None
    for name in islice(cutter.names(), _MAX_MEMBERS):
        value = cutter.value()
        if name == "resourceType":
            return _string(value)
    return None


def _other_json(content: bytes, category: Category) -> Piece:
    """Return JSON that isn't FHIR as one record; FHIR inside it still makes it restricted."""
    check_values(content)
    value, _ = read(content)
    if category not in RESTRICTED:
        labels = (label_of(item) for item in objects(value))
        codes = (SENSITIVE.get(code) for code in codes_in(value))
        category = next((found for found in chain(labels, codes) if found in RESTRICTED), category)
    return Piece(category, UNDATED, "application/json", content)


def _string(text: bytes | None) -> str | None:
    """Return the string that a short JSON text is, or None."""
    if text is None or len(text) > 256:
        return None
    try:
        value, _ = read(text)
    except InputError:
        return None
    return value if isinstance(value, str) else None
