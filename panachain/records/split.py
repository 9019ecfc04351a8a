"""Split FHIR into records: one Bundle for each (category, year), nothing dropped, nothing changed.

Each entry goes into its record with the very bytes that it came with; of JSON files inside resources are taken out, and
`attachments.restore` puts them back; XML keeps them. The same rules hold for both (`xml_cutter.py`). What a Bundle says
about itself goes into a record of its own. Opens no file and
seals nothing. A sensitive code or label anywhere in a resource makes it restricted.
Follows design section 4, FHIR R4 (Bundle) and Bulk Data Access 2.0 (NDJSON).

How records are cut, so that the same source always splits the same way:

1. Entries are grouped by category, year and type of Bundle, in the order in which they come. A resource that stands
   alone counts as an entry of a `collection`.
2. A source that is held in memory gives one Bundle for each group. One that is streamed gives a Bundle as soon as a
   group reaches GROUP_SIZE. Either gives its largest group as soon as all of them reach GROUPS_SIZE.
3. A Bundle's record is followed by the records of its attachments, each of them once.
4. The Bundle's own members (`id`, `identifier`, `timestamp`, `signature` …) come last, as a Bundle without `entry`.
5. XML is cut as if it were streamed; a resource that stands alone stays the document that it is.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

from panachain.errors import InputError
from panachain.model.records import FileContent
from panachain.model.scope import EMERGENCY, IN_PART, RESTRICTED, UNDATED, Category
from panachain.records.attachments import Attachment, pull_out
from panachain.records.canonical import (
    BLANKS,
    BOM,
    MAX_DEPTH,
    MAX_PIECE,
    Cutter,
    check_values,
    literal,
    read,
    read_literal,
    write,
)
from panachain.records.fhir_category import category_of, common_category_of, in_emergency, year_of
from panachain.records.fhir_codes import RESTRICTED_DEFAULT
from panachain.records.fhir_references import (
    contents_of,
    may_have_contents,
    meaning_references,
    names_of,
    references_in,
)
from panachain.records.fhir_sensitivity import findings, restricted_category, tells_nothing
from panachain.records.sensitivity import Finding, Matcher, matcher_of
from panachain.records.texts import findings_in, text_of
from panachain.records.xml_cutter import Cutter as XmlCutter
from panachain.records.xml_cutter import Form as XmlForm
from panachain.records.xml_cutter import form_of, pieces_of

MEDIA_TYPE: Final = "application/fhir+json"
XML_MEDIA_TYPE: Final = "application/fhir+xml"
GROUP_SIZE: Final = 4 << 20
"""Bytes of one group of a streamed source."""
GROUPS_SIZE: Final = 32 << 20
"""Bytes of all groups of a source."""
_ENTRY_COST: Final = 64
"""Bytes that Python takes for holding an entry, about; counted, so that tiny ones can't exceed the bounds."""
_SEEN_COST: Final = 512
"""The same for what a `Look` made of an entry, besides its texts."""
_MAX_MEMBERS: Final = 10_000
"""Members of one Bundle besides its entries; FHIR defines 11."""
_HELD_DEPTH: Final = MAX_DEPTH + 1
"""Nesting of an entry that was read before: a resource that stands alone got an object around it."""
_ENTRY_DEPTH: Final = MAX_DEPTH - 2
"""Nesting of an entry: it stands in a list in an object."""

BUNDLE_TYPES: Final = {
    kind: json.dumps(kind).encode()
    for kind in (
        *("transaction", "batch", "history", "searchset", "collection"),
        *("transaction-response", "batch-response"),
    )
}
"""Types of Bundle that a part of it still is; parts of a document or a message are collections."""
_COLLECTION: Final = BUNDLE_TYPES["collection"]

_NOWHERE: Final = (Category.DOCUMENTS, UNDATED)
"""Where an entry without a resource goes."""
_NONE: Final[frozenset[bytes]] = frozenset()
_MARK: Final = b"\0"
"""Stands before a decimal in the values of `canonical.literal`; no text of FHIR has it."""
_NOT_FHIR: Final = "not a FHIR resource: resourceType is missing"
_HINT: Final = (
    "other files: name the category that their content belongs to, --category CATEGORY: a restricted one if anything in"
    " them is sensitive"
)
_LINES: Final = "each line of NDJSON is one whole resource: mend that line, or export the file again"
_COMMA: Final = "no comma stands between the lines of NDJSON: take it away at the end of each line"


class Piece(NamedTuple):
    """A record that doesn't yet know which source it is of."""

    category: Category
    year: int
    media_type: str
    content: bytes | FileContent
    emergency: bool = False
    """Whether the emergency lane has it although its category isn't in there as a whole."""
    seen: Sequence[Any] | None = None
    """What a `Look` made of each of its entries, in their order, where splitting was given one."""


Look = Callable[[bytes, Any], object]
"""Makes something of an entry that is published: of its text, and its value as `canonical.literal` returns it."""


def split_json(
    content: bytes, category: Category | None = None, matcher: Matcher | None = None, look: Look | None = None
) -> Iterator[Piece]:
    """Yield the records of a Bundle or single resource that is held in memory.

    Args:
        content: the text.
        category: admits JSON that isn't FHIR, as one record of this category; a restricted one holds for FHIR, too.
        matcher: says what is sensitive; None takes the default profile's.
        look: is shown each entry, so that nobody reads it again; adds what it makes of them to their record.

    Raises:
        InputError: not JSON as `canonical.parse` reads it, no FHIR resource, or a Bundle with malformed entries.
    """
    # FHIR goes by its own content even where a category is named: a name must not make a restricted resource common.
    if category is not None and _resource_type(content) is None:
        yield _other_json(content, category, matcher)
        return
    file = io.BytesIO(content)
    yield from _split(lambda: _read_file(file, matcher, look=look), category, group_size=GROUPS_SIZE)


def split_stream(file: BinaryIO, category: Category | None = None, matcher: Matcher | None = None) -> Iterator[Piece]:
    """Yield the records of a Bundle or single resource that may be larger than memory.

    Args:
        file: the text; one that isn't held in memory is read several times, to see what refers to what.
        category: a restricted one holds for whatever isn't restricted by itself.
        matcher: as `split_json`.

    Raises:
        InputError: as `split_json`, or one entry has more than MAX_PIECE bytes.
    """
    yield from _split(lambda: _read_file(file, matcher), category, group_size=GROUP_SIZE)


def split_lines(file: BinaryIO, category: Category | None = None, matcher: Matcher | None = None) -> Iterator[Piece]:
    """Yield the records of NDJSON, one resource or Bundle on each line, holding no more than some lines.

    Args:
        file: the text.
        category: as `split_stream`.
        matcher: as `split_json`.

    Raises:
        InputError: as `split_json`, or one line has more than MAX_PIECE bytes.
    """
    yield from _split(lambda: _read_lines(file, matcher), category, group_size=GROUP_SIZE)


def split_xml(file: BinaryIO, category: Category | None = None, matcher: Matcher | None = None) -> Iterator[Piece]:
    """Yield the records of a Bundle or single resource in XML, holding no more than some entries.

    Args:
        file: the document.
        category: as `split_stream`.
        matcher: as `split_json`.

    Raises:
        InputError: it isn't well formed, declares what isn't harmless (`xml.py`), or one entry has more than MAX_PIECE
            bytes.
    """
    form = xml_form(file)
    yield from _split(lambda: _read_xml(file, form, matcher), category, group_size=GROUP_SIZE, form=form)


class Cut(NamedTuple):
    """A part of a source in XML that isn't FHIR, and refers to nothing."""

    kept: bytes
    category: Category
    year: int
    beside: bool = False
    """Whether it is what stands beside the parts."""


def grouped(cuts: Iterable[Cut], form: Form, named: Category | None) -> Iterator[Piece]:
    """Yield the records of a source that was cut, as FHIR's are grouped.

    Args:
        cuts: in their order.
        form: of the parts.
        named: the category that was named for the source; a restricted one closes whatever isn't closed.
    """
    groups = _Groups(form, group_size=GROUP_SIZE)
    for cut in cuts:
        entry = _Entry(cut.kept, (), cut.category, cut.year, b"" if cut.beside else _COLLECTION, bundle=0)
        groups.put(entry, _closed(cut.category, named))
        if groups.full:
            yield from groups.overflow()
    yield from groups.flush()


def xml_form(file: BinaryIO) -> XmlForm:
    """Return the form of FHIR in XML: the entries of a Bundle are cut, anything else is one resource."""
    return form_of(file, XML_MEDIA_TYPE, lambda root, name: root == "Bundle" and name == "entry")


class Form(Protocol):
    """How the entries of a source are written."""

    media_type: str
    quote: bytes
    """What stands behind the name of a member."""

    def bundle(self, kind: bytes, parts: Iterable[bytes]) -> bytes:
        """Return entries as one Bundle of a kind, which is JSON."""

    def value(self, part: bytes) -> Any:
        """Return the value of an entry."""


class _Json:
    media_type = MEDIA_TYPE
    quote = b'"'

    def bundle(self, kind: bytes, parts: Iterable[bytes]) -> bytes:
        return b'{"resourceType":"Bundle","type":%b,"entry":[%b]}' % (kind, b",".join(parts))

    def value(self, part: bytes) -> Any:
        value, _ = read(part, depth=_HELD_DEPTH)
        return value


_JSON: Final = _Json()


class _Entry(NamedTuple):
    """What is read of one entry of a Bundle, of a resource that stands alone, or of what a Bundle says of itself."""

    kept: bytes
    """Its text, attachments taken out."""
    attachments: Sequence[Attachment]
    category: Category
    """By its own codes, labels and type alone."""
    year: int
    kind: bytes
    """The Bundle's type, as JSON; empty for what a Bundle says of itself."""
    bundle: int
    """Which Bundle of the source it stands in, from 1; 0 for none."""
    names: tuple[bytes, ...] = ()
    """By which references in the source mean it."""
    compact: bytes = b""
    """Its text without blanks, as long as nobody has asked what it refers to."""
    references: frozenset[bytes] = frozenset()
    """All that it refers to by elements that may carry meaning, once somebody has asked."""
    emergency: bool = False
    """Whether the emergency lane has it although its own category isn't in there."""
    seen: Any = None
    """What a `Look` made of it."""

    @property
    def size(self) -> int:
        """Bytes that it takes in memory, about."""
        files = sum(len(one.data) for one in self.attachments) if self.attachments else 0
        seen = 0 if self.seen is None else _SEEN_COST + len(self.kept)
        return len(self.kept) + len(self.compact) + files + seen + _ENTRY_COST

    def asked(self) -> _Entry:
        """Return it with what it refers to; most sources hold nothing that is closed, and none of theirs is asked."""
        return _Entry(*self[:7], b"", references_in(self.compact), *self[9:])


def _split(
    read: Callable[[], Iterator[_Entry]], named: Category | None, *, group_size: int, form: Form = _JSON
) -> Iterator[Piece]:
    """Yield the records of a source, each entry as closed as what it refers to by an element that carries meaning.

    Args:
        read: begins to read the source anew.
        named: the category that was named for the source.
        group_size: bytes from which a group becomes a record.
        form: of the entries.
    """
    groups = _Groups(form, group_size=group_size)
    closure, entries = _settled(read, form)
    for entry in entries:
        category = closure.category(entry) if closure.closes else entry.category
        groups.put(entry, category if named is None else _closed(category, named))
        if groups.full:
            yield from groups.overflow()
    yield from groups.flush()


def _closed(category: Category, named: Category | None) -> Category:
    """Return where an entry goes: a restricted category that was named for its source closes whatever isn't closed."""
    return named if named in RESTRICTED and category not in RESTRICTED else category


def _settled(read: Callable[[], Iterator[_Entry]], form: Form) -> tuple[_Closure, Iterable[_Entry]]:
    """Return what closes what in a source, and its entries once more: held if they are few enough, else read again."""
    closure = _Closure(form)
    held: list[_Entry] = []
    size = 0
    for entry in read():
        held.append(entry)
        size += entry.size
        if size >= GROUPS_SIZE:
            held.clear()
            closure.settle(lambda: map(_Entry.asked, read()))
            return closure, map(_Entry.asked, read()) if closure.closes else read()
    if any(entry.category in RESTRICTED for entry in held):
        held = [entry.asked() for entry in held]
        closure.settle(lambda: held)
    return closure, held


def _in_emergency(entry: _Entry, category: Category) -> bool:
    """Tell whether an entry is in the emergency lane by itself: not if something else closed it."""
    return entry.emergency and category is entry.category


@dataclass(frozen=True)
class EntryFound:
    """One entry of a source, its category, and what that follows from."""

    value: dict[str, Any]
    """The entry, attachments taken out; its `resource`, or what a Bundle says of itself."""
    category: Category
    year: int
    closed_by: str
    """What closes it beside its own content, such as `it refers to Condition/c1`; else empty."""
    attachments: Sequence[Attachment]
    """The files that were taken out."""
    emergency: bool = False
    """Whether the emergency lane has it."""


def entries_of(
    file: BinaryIO,
    category: Category | None = None,
    matcher: Matcher | None = None,
    *,
    lines: bool = False,
    is_xml: bool = False,
) -> Iterator[EntryFound]:
    """Yield the entries of FHIR, each with the category that splitting puts it into.

    Args:
        file: a Bundle, a single resource, or NDJSON.
        category: as `split_stream`.
        matcher: as `split_json`.
        lines: whether it is NDJSON.
        is_xml: whether it is XML.

    Raises:
        InputError: as `split_stream` and `split_lines`.
    """
    form = xml_form(file) if is_xml else None
    reader = _read_lines if lines else _read_file
    closure, entries = _settled(
        lambda: reader(file, matcher) if form is None else _read_xml(file, form, matcher), form or _JSON
    )
    for entry in entries:
        if form is None:
            value, _ = read(entry.kept)
        else:
            value = form.value(entry.kept) if entry.kind else form.rest(entry.kept)
        found = closure.category(entry)
        by = closure.reason(entry) if found is not entry.category else ""
        said, settled = value.get("resource") or value, _closed(found, category)
        emergency = settled in EMERGENCY or _in_emergency(entry, settled)
        yield EntryFound(said, settled, entry.year, by, entry.attachments, emergency)


class _Closure:
    """Which entries of a source are closed by what others of it say."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._closed: dict[bytes, Category] = {}
        """Restricted category of each entry that a reference can mean."""
        self._labelled: dict[int, Category] = {}
        """Restricted category of each Bundle that is labelled as a whole."""
        self._contents: dict[bytes, tuple[Category, bytes]] = {}
        """Of what is the content of a closed entry, as the file of a note is: restricted category, and whose it is."""

    @property
    def closes(self) -> bool:
        """Whether anything closes anything else."""
        return bool(self._closed or self._labelled or self._contents)

    def settle(self, read: Callable[[], Iterable[_Entry]]) -> None:
        """Look at all entries until no more of them is closed.

        Args:
            read: begins with the first entry again.
        """
        before, noted = -1, set[int]()
        while before < (now := len(self._closed) + len(self._labelled) + len(self._contents)):
            before = now
            for number, entry in enumerate(read()):
                category = entry.category
                if category in RESTRICTED:
                    if not entry.kind:
                        self._labelled.setdefault(entry.bundle, category)
                elif not (entry.references or self._labelled or self._contents):
                    # Most entries: nothing else can close them.
                    continue
                else:
                    category = self.category(entry)
                if category in RESTRICTED and number not in noted:
                    noted.add(number)
                    for name in entry.names:
                        self._closed.setdefault(name, category)
                    for name in self._contents_of(entry):
                        self._contents.setdefault(
                            name, (category, entry.names[-1] if entry.names else b"another entry")
                        )
            if not self.closes:
                return

    def category(self, entry: _Entry) -> Category:
        """Return the category of an entry, as far as the source was looked at."""
        if entry.category in RESTRICTED:
            return entry.category
        if entry.bundle in self._labelled:
            return self._labelled[entry.bundle]
        for name in entry.names if self._contents else ():
            if name in self._contents:
                return self._contents[name][0]
        meant = self._meant(entry)
        return self._closed[meant] if meant is not None else entry.category

    def reason(self, entry: _Entry) -> str:
        """Return what closes an entry beside its own content, or an empty text."""
        if entry.bundle in self._labelled:
            return "it stands in a Bundle that is labelled"
        for name in entry.names:
            if name in self._contents:
                return f"it is content of {_shown(self._contents[name][1])}"
        meant = self._meant(entry)
        return f"it refers to {_shown(meant)}" if meant else ""

    def _contents_of(self, entry: _Entry) -> list[bytes]:
        # Few entries are closed, and few of them name files: no other one is read again.
        if not entry.kind or not may_have_contents(entry.kept, self._form.quote):
            return []
        return list(contents_of(self._form.value(entry.kept)))

    def _meant(self, entry: _Entry) -> bytes | None:
        """Return the first closed entry that an entry refers to by an element that carries meaning."""
        if self._closed.keys().isdisjoint(entry.references):
            return None
        value = self._form.value(entry.kept)
        return next((name for name in meaning_references(value) if name in self._closed), None)


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "replace")


@dataclass
class _Group:
    """Entries of one category, year and type of Bundle that wait to become a record."""

    entries: list[bytes] = field(default_factory=list)
    attachments: dict[bytes, Attachment] = field(default_factory=dict)
    size: int = 0
    """Bytes that are held."""
    seen: list[Any] = field(default_factory=list)
    """What a `Look` made of each entry."""


_Key = tuple[Category, int, bytes, bool]


class _Groups:
    """The groups of one source."""

    def __init__(self, form: Form, *, group_size: int) -> None:
        self._form = form
        self._group_size = group_size
        self._groups: dict[_Key, _Group] = {}
        self._size = 0
        self._shells: list[Piece] = []
        self._shells_size = 0
        self.full = False
        """Whether `overflow` has records to yield."""

    def put(self, entry: _Entry, category: Category) -> None:
        """Put an entry into its group; what a Bundle says about itself waits until its entries are out."""
        if entry.kind:
            key = category, entry.year, entry.kind, _in_emergency(entry, category)
            self._put(key, entry)
            return
        self._shells.append(Piece(category, UNDATED, self._form.media_type, entry.kept))
        self._shells_size += len(entry.kept)
        for attachment in {one.digest: one for one in entry.attachments}.values():
            self._shells.append(Piece(category, UNDATED, attachment.media_type, attachment.data))
            self._shells_size += len(attachment.data) if isinstance(attachment.data, bytes) else 0
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

    def _put(self, key: _Key, entry: _Entry) -> None:
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group()
        group.entries.append(entry.kept)
        if entry.seen is not None:
            group.seen.append(entry.seen)
        size = len(entry.kept) + _ENTRY_COST
        for attachment in entry.attachments:
            # Two entries may hold the same file; the record has it once.
            if attachment.digest not in group.attachments:
                group.attachments[attachment.digest] = attachment
                size += len(attachment.data) + _ENTRY_COST
        group.size += size
        self._size += size
        self.full = self.full or group.size >= self._group_size or self._size >= GROUPS_SIZE

    def _take(self, key: _Key) -> Iterator[Piece]:
        category, year, kind, emergency = key
        group = self._groups.pop(key)
        self._size -= group.size
        content = self._form.bundle(kind, group.entries)
        seen = group.seen if len(group.seen) == len(group.entries) else None
        group.entries.clear()
        yield Piece(category, year, self._form.media_type, content, emergency, seen)
        del content, seen
        group.seen = []
        for attachment in group.attachments.values():
            yield Piece(category, year, attachment.media_type, attachment.data, emergency)

    def _take_shells(self) -> Iterator[Piece]:
        shells, self._shells, self._shells_size = self._shells, [], 0
        yield from shells


def _read_file(file: BinaryIO, matcher: Matcher | None, bundle: int = 1, look: Look | None = None) -> Iterator[_Entry]:
    """Yield the entries of a Bundle that is cut entry by entry, or a single resource.

    Args:
        file: the text.
        matcher: says what is sensitive.
        bundle: the number that a Bundle gets.
        look: as `split_json`.
    """
    file.seek(0)
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
            count = yield from _read_entries(cutter.items(), shell, matcher, bundle, look)
        else:
            # What these are entries of comes later: they are passed over once.
            count, waiting = sum(1 for _ in cutter.items()), True
    cutter.end()
    if _string(shell.get("resourceType")) != "Bundle":
        yield from _read_single(file, matcher, bundle, look)
        return
    if "entry" in shell:
        raise InputError("the Bundle's entry is no list of objects")
    if waiting:
        yield from _read_entries(_entries(file), shell, matcher, bundle, look)
    yield from _shell(shell, matcher, bundle, has_entries=count > 0)


def _read_lines(file: BinaryIO, matcher: Matcher | None) -> Iterator[_Entry]:
    """Yield the entries of NDJSON."""
    file.seek(0)
    number = 0
    while line := file.readline(MAX_PIECE + 1):
        number += 1
        text = line.removeprefix(BOM).strip(BLANKS)
        try:
            if len(line) > MAX_PIECE:
                raise InputError(f"more than {MAX_PIECE} bytes")
            # A cheap look first: most single resources don't name the type at all, and needn't be cut.
            if b'"Bundle"' in text:
                yield from _read_file(io.BytesIO(text), matcher, number)
            elif text:
                yield from _read_resource(text, matcher, number)
        except InputError as exc:
            hint = (_COMMA if text.endswith(b",") else _LINES) if exc.hint == exc.usual_hint else exc.hint
            raise InputError(f"line {number}: {exc}", hint=hint) from None


def _read_single(file: BinaryIO, matcher: Matcher | None, bundle: int, look: Look | None) -> Iterator[_Entry]:
    file.seek(0)
    text = file.read(MAX_PIECE + 1)
    if len(text) > MAX_PIECE:
        raise InputError(f"a single resource of more than {MAX_PIECE} bytes")
    yield from _read_resource(text.removeprefix(BOM).strip(BLANKS), matcher, bundle, look)


def _read_resource(text: bytes, matcher: Matcher | None, bundle: int, look: Look | None = None) -> Iterator[_Entry]:
    """Yield a resource that stands alone, or the entries of a Bundle whose name was written with escapes."""
    kept, attachments = pull_out(text)
    check_values(kept)
    value, compact = read(kept)
    if not isinstance(value, dict) or not isinstance(value.get("resourceType"), str):
        raise InputError(_NOT_FHIR, hint=_HINT)
    if value["resourceType"] == "Bundle":
        yield from _read_file(io.BytesIO(text), matcher, bundle, look)
        return
    category = _category(value, compact, attachments, matcher)
    entry = b'{"resource":%b}' % kept
    yield _Entry(
        entry,
        attachments,
        category,
        year_of(value),
        _COLLECTION,
        bundle=0,
        names=names_of(value),
        compact=compact,
        emergency=category in IN_PART and not attachments and in_emergency(value, category, compact, matcher),
        seen=None if look is None else look(entry, literal(entry)),
    )


def _read_entry(entry: bytes, kind: bytes, matcher: Matcher | None, bundle: int, look: Look | None = None) -> _Entry:
    """Return one entry of a Bundle.

    Args:
        entry: its text.
        kind: the Bundle's type, as JSON.
        matcher: says what is sensitive.
        bundle: the Bundle's number.
        look: as `split_json`.
    """
    kept, attachments = pull_out(entry, depth=_ENTRY_DEPTH)
    check_values(kept)
    if not attachments and (found := _plain_entry(kept, kind, matcher, bundle, look)) is not None:
        return found
    value, compact = read(kept, depth=_ENTRY_DEPTH)
    if not isinstance(value, dict):
        raise InputError("the Bundle's entry is no list of objects")
    seen = None if look is None else look(kept, literal(kept))
    return _entry(kept, attachments, value, compact, kind, matcher, bundle, seen)


def _plain_entry(kept: bytes, kind: bytes, matcher: Matcher | None, bundle: int, look: Look | None) -> _Entry | None:
    """Return an entry as `_read_entry` does, all of one look at its text, if nothing in it is sensitive: as most are.

    Returns:
        None where more than one look is needed.
    """
    found = read_literal(kept, depth=_ENTRY_DEPTH)
    if found is None:
        return None
    value, compact = found
    resource = value.get("resource") if isinstance(value, dict) else None
    if not isinstance(resource, dict) or not resource or not tells_nothing(compact, matcher):
        return None
    names = names_of(resource, value.get("fullUrl"))
    if any(_MARK in name for name in names):
        # A decimal, which names nothing.
        return None
    category = common_category_of(resource, matcher)
    emergency = category in IN_PART and in_emergency(resource, category, compact, matcher)
    seen = None if look is None else look(kept, value)
    return _Entry(kept, (), category, year_of(resource), kind, bundle, names, compact, _NONE, emergency, seen)


def _entry(
    kept: bytes,
    attachments: Sequence[Attachment],
    value: dict[str, Any],
    compact: bytes,
    kind: bytes,
    matcher: Matcher | None,
    bundle: int,
    seen: Any = None,
) -> _Entry:
    """Return one entry of a Bundle; see `_Entry` and `canonical.read`."""
    resource = value.get("resource")
    if resource is not None and not isinstance(resource, dict):
        raise InputError("a Bundle entry's resource is no object")
    category, year = _NOWHERE
    if resource:
        category, year = _category(resource, compact, attachments, matcher), year_of(resource)
    names = names_of(resource or {}, value.get("fullUrl"))
    emergency = category in IN_PART and not attachments and in_emergency(resource or {}, category, compact, matcher)
    # No list for each of many entries that have none.
    return _Entry(kept, attachments or (), category, year, kind, bundle, names, compact, _NONE, emergency, seen)


def _read_xml(file: BinaryIO, form: XmlForm, matcher: Matcher | None) -> Iterator[_Entry]:
    """Yield the entries of a Bundle in XML, or a single resource."""
    cutter, kinds = XmlCutter(form), set[bytes]()
    for part in cutter.feed_all(pieces_of(file)):
        kind = BUNDLE_TYPES.get(part.kind, _COLLECTION)
        kinds.add(kind)
        yield _entry(part.kept, (), part.value, write(part.value), kind, matcher, 1)
    value, kept = cutter.value, cutter.rest
    compact = write(value)
    category = category_of(value, compact, matcher)
    if value.get("resourceType") != "Bundle":
        if "resourceType" not in value:
            raise InputError("not a FHIR resource")
        form.whole = True
        emergency = category in IN_PART and in_emergency(value, category, compact, matcher)
        yield _Entry(kept, (), category, year_of(value), _COLLECTION, 0, names_of(value), compact, emergency=emergency)
        return
    known = "type" not in value or kinds == {BUNDLE_TYPES.get(str(value["type"]))}
    if not (kinds and known and cutter.is_plain and value.keys() <= {"resourceType", "type"}):
        yield _Entry(kept, (), category, UNDATED, b"", 1)


def _category(
    resource: dict[str, Any], compact: bytes, attachments: Sequence[Attachment], matcher: Matcher | None
) -> Category:
    """Return the category of a resource by what it says, and by the words of the files that were taken out of it."""
    category = category_of(resource, compact, matcher)
    if category in RESTRICTED or not attachments:
        return category
    found = restricted_category(findings_of_files(attachments, matcher), RESTRICTED_DEFAULT) or category
    return found if matcher is None else matcher.profile.category(found)


def findings_of_files(attachments: Sequence[Attachment], matcher: Matcher | None = None) -> list[Finding]:
    """Return what the words of files tell that were taken out of a resource; those that are no texts have none."""
    used = matcher or matcher_of()
    texts = (text_of(one.data) for one in attachments)
    return list(dict.fromkeys(one for text in texts if text for one in findings_in(text, used)))


def _entries(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    cutter = Cutter(file)
    for name in cutter.names():
        if name == "entry":
            yield from cutter.items()
            return
        cutter.value()


def _read_entries(
    entries: Iterable[bytes],
    shell: dict[str, bytes],
    matcher: Matcher | None,
    bundle: int,
    look: Look | None,
) -> Generator[_Entry, None, int]:
    """Yield the entries of a Bundle, and return how many there were."""
    kind, number = BUNDLE_TYPES.get(_string(shell.get("type")) or "", _COLLECTION), 0
    for entry in entries:
        number += 1
        try:
            found = _read_entry(bytes(entry), kind, matcher, bundle, look)
        except InputError as exc:
            raise InputError(f"entry {number}: {exc}", hint=exc.hint) from None
        yield found
    return number


def _shell(found: dict[str, bytes], matcher: Matcher | None, bundle: int, *, has_entries: bool) -> Iterator[_Entry]:
    """Yield what a Bundle says about itself, if its other records don't say it."""
    plain = set(found) <= {"resourceType", "type"}
    if has_entries and plain and ("type" not in found or _string(found["type"]) in BUNDLE_TYPES):
        return
    text = b"{" + b",".join(json.dumps(key).encode() + b":" + value for key, value in found.items()) + b"}"
    kept, attachments = pull_out(text)
    check_values(kept)
    value, compact = read(kept)
    yield _Entry(kept, attachments, _category(value, compact, attachments, matcher), UNDATED, b"", bundle)


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


def _other_json(content: bytes, category: Category, matcher: Matcher | None) -> Piece:
    """Return JSON that isn't FHIR as one record; FHIR inside it still makes it restricted."""
    check_values(content)
    value, _ = read(content)
    if category not in RESTRICTED and isinstance(value, (dict, list)):
        found = restricted_category(findings({"": value}, matcher=matcher), RESTRICTED_DEFAULT)
        if found is not None and matcher is not None:
            found = matcher.profile.category(found)
        category = found if found in RESTRICTED else category
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
