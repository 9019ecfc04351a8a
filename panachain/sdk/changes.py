"""Changes: what of a record isn't published yet, resource by resource, so that a new export publishes only that.

A resource that has neither an id nor a URN can't be told again, and is always new. What its patient asked to have in
another category goes there. Follows ADR 28 and ADR 34.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import file_digest, sha256
from typing import Final

from panachain.crypto.kdf import hmacs
from panachain.errors import InputError
from panachain.model.actors import Address
from panachain.model.frozen import frozen
from panachain.model.records import STATEMENT, FileContent, PlainRecord
from panachain.model.scope import RESTRICTED, SENSITIVE, Category, Scope
from panachain.records.attachments import Restoring
from panachain.records.content import HASHED
from panachain.records.journal_resources import KnownResource, KnownResources, is_known
from panachain.records.rewrap import NO_WISHES, Wishes, name_of
from panachain.records.split import MEDIA_TYPE
from panachain.records.statements import MAX_NEWER, Statement
from panachain.records.versions import (
    DELETED,
    PRINT_SIZE,
    Bundle,
    Version,
    bundle_in,
    bundle_of,
    deletion_print,
    instant,
    oldest_first,
    rank,
    same_server,
    shell_print,
)

_USES: Final = (b"shell", b"name", b"base", b"stamp", b"print")
"""What a fingerprint in the journal may be of."""


@dataclass
class Change:
    """What a record brings that is new."""

    record: PlainRecord | None
    """The record with what is new; None if nothing is."""
    resources: list[KnownResource] = field(default_factory=list)
    """The versions that it holds."""
    known: int = 0
    """How many of its resources were published before."""
    extras: list[PlainRecord] = field(default_factory=list)
    """Records for other lanes, which go with it: deletions of what lies there, and statements that there is newer."""

    bundle: Bundle | None = None
    """The entries of `record`."""
    erased: int = 0
    """How many of its resources or files its patient wants published no more."""

    @property
    def records(self) -> list[PlainRecord]:
        """All that is to be published."""
        return [*([] if self.record is None else [self.record]), *self.extras]


class _Moves:
    """What of a record belongs into the lanes of other categories and years."""

    def __init__(self, record: PlainRecord, bundle: Bundle) -> None:
        self._record = record
        self._bundle = bundle
        self._entries: dict[str, list[bytes]] = defaultdict(list)
        self._newer: dict[str, list[Version]] = defaultdict(list)
        self._asked: set[str] = set()
        """Where the patient asked to have something: not in the emergency lane by itself."""

    def put(self, place: int, scopes: Iterable[str]) -> None:
        """Put an entry into other lanes: a deletion where the resource is."""
        for scope in scopes:
            self._entries[scope].append(self._bundle.entries[place].text)

    def ask(self, place: int, scope: str) -> None:
        """Put an entry where its patient asked to have it."""
        self._asked.add(scope)
        self.put(place, [scope])

    def take(self, gone: _Gone, scope: str) -> None:
        """Put a deletion of an earlier record of the source where the resource is."""
        self._entries[scope].append(gone.text)

    def tell(self, scope: str, version: Version) -> None:
        """Say where a resource was that a newer version lies elsewhere."""
        self._newer[scope].append(version)

    def records(self) -> list[PlainRecord]:
        """Return the records for those lanes."""
        found = []
        for scope, entries in self._entries.items():
            found.append(self._made(scope, MEDIA_TYPE, self._bundle.before + b",".join(entries) + b"]}"))
        for scope, newer in self._newer.items():
            for start in range(0, len(newer), MAX_NEWER):
                said = Statement(newer=tuple(newer[start : start + MAX_NEWER]))
                found.append(self._made(scope, STATEMENT, said.encode()))
        return found

    def _made(self, scope: str, media_type: str, content: bytes) -> PlainRecord:
        category, _, year = scope.partition("/")
        made = replace(self._record, category=Category(category), year=int(year))
        if scope in self._asked:
            made = replace(made, emergency=False)
        return replace(made, media_type=media_type, content=content)


class _Gone:
    """A deletion of a resource of which nothing was known yet: a history names the newest first."""

    def __init__(self, version: KnownResource, moves: _Moves, place: int) -> None:
        self.version = version
        self.text = moves._bundle.entries[place].text
        self._told = {version.scope}

    def told(self, scope: str) -> bool:
        """Tell whether it must be told in another lane, once for each."""
        new = scope not in self._told
        self._told.add(scope)
        return new


class Changes:
    """Tells what of the records of some sources is new."""

    def __init__(self, journal: KnownResources, key: bytes) -> None:
        """Take what the journal knows, and what its fingerprints are keyed with."""
        self._journal = journal
        # Several for each of thousands of resources: key and use are hashed once for all.
        self._prints = {use: hmacs(key, use + b"\0") for use in _USES}
        self._filled: dict[Address, dict[bytes, list[KnownResource]]] = defaultdict(lambda: defaultdict(list))
        """What is in the batch that is being filled."""
        self._gone: dict[bytes, _Gone] = {}
        """Deletions of the source that is being read of which nothing was known."""
        self._routed: dict[bytes, list[Category]] = {}
        """Digests of the attachments of the last Bundle that go with an entry into other categories."""
        self._bundled = False
        """Whether a Bundle came before in the source that is being read: then its attachments follow."""
        self._kept: set[bytes] | None = None
        """Digests of the attachments that the last Bundle still names; None if it names all that follow."""

    def begin(self) -> None:
        """Begin with another source."""
        self._kept = None
        self._gone.clear()
        self._routed, self._bundled = {}, False

    def of(self, record: PlainRecord, patient: Address, wishes: Wishes = NO_WISHES) -> Change:
        """Return what a record brings that is new; the attachments of a Bundle must follow it.

        What its patient had erased, or asked to have erased, is left out, newer versions of it too (ADR 59).

        Args:
            record: as its source was split.
            patient: whose it is.
            wishes: what the patient asked to have in other categories.

        Raises:
            InputError: it is no record as splitting makes them.
        """
        if record.media_type != MEDIA_TYPE or not isinstance(record.content, bytes):
            return self._file(record, wishes)
        self._routed, self._bundled = {}, True
        scope = Scope.of(record.category, record.year).text
        content = record.content
        bundle = bundle_in(record)
        if bundle is None:
            record = _placed(record, wishes)
            scope = Scope.of(record.category, record.year).text
            if wishes.erased and _digest(record) in wishes.erased:
                self._kept = set()
                return Change(None, erased=1)
            made = shell_print(content)
            shell = self._shell(made, patient, scope, record.source)
            if self._is_known(shell):
                self._kept = set()
                return Change(None)
            self._kept = None
            return Change(record, [shell])
        asked: list[Category | None] = [None] * len(bundle.entries)
        if wishes.names:
            asked = [wishes.names.get(name_of(entry.version)) for entry in bundle.entries]
        places = [scope if one is None or _is_opening(record, one) else _scope(record, one) for one in asked]
        found = [
            self._known(entry.version, patient, at, record.source)
            for entry, at in zip(bundle.entries, places, strict=True)
        ]
        moves = _Moves(record, bundle)
        stays: list[int] = []
        known, erased, resources = 0, 0, list[KnownResource]()
        for place, (entry, one) in enumerate(zip(bundle.entries, found, strict=True)):
            if wishes.erased and name_of(entry.version) in wishes.erased and entry.version.state != DELETED:
                erased += 1
                continue
            # What the patient opened stays where they put it, for as long as it is what they saw.
            opened = asked[place] is not None and one is not None and one.scope == scope
            if one is not None and self._is_known(one, anywhere=opened or entry.version.state == DELETED):
                known += 1
            elif one is None:
                stays.append(place)
            elif entry.version.state == DELETED:
                scopes = self._places(one)
                resources += [replace(one, scope=where) for where in scopes or [scope]]
                if scope in scopes or not scopes:
                    stays.append(place)
                if not scopes:
                    self._gone[one.name] = _Gone(one, moves, place)
                moves.put(place, [where for where in scopes if where != scope])
            else:
                if one.scope == scope:
                    stays.append(place)
                else:
                    self._route(entry.text, asked[place])
                    moves.ask(place, one.scope)
                resources += self._tell(entry.version, one, moves)
                gone = self._gone.get(one.name)
                if gone is not None and gone.told(one.scope):
                    moves.take(gone, one.scope)
                    resources.append(replace(gone.version, scope=one.scope))
        if len(stays) == len(found):
            self._kept = None
            return Change(record, resources, extras=moves.records(), bundle=bundle)
        content = bundle.holding(stays)
        self._kept = set(Restoring(content, lambda _: 0).digests)
        kept = replace(bundle, entries=tuple(bundle.entries[place] for place in stays))
        new = replace(record, content=content) if stays else None
        return Change(new, resources, known, moves.records(), kept, erased=erased)

    def resources_of(self, record: PlainRecord, patient: Address) -> list[KnownResource]:
        """Return the versions that a published record holds, as the journal keeps them."""
        if record.media_type != MEDIA_TYPE or not isinstance(record.content, bytes):
            return []
        scope, bundle = Scope.of(record.category, record.year).text, bundle_of(record.content)
        if bundle is None:
            return [self._shell(shell_print(record.content), patient, scope, record.source)]
        found = [self._known(entry.version, patient, scope, record.source) for entry in bundle.entries]
        return [one for one in found if one is not None]

    def _shell(self, made: bytes, patient: Address, scope: str, source: bytes) -> KnownResource:
        """Return what the journal keeps of what a Bundle says of itself."""
        return KnownResource(patient, self._keyed(b"shell", made), b"", b"", made, None, None, scope, source)

    def _file(self, record: PlainRecord, wishes: Wishes) -> Change:
        """Return what is new of a record that isn't FHIR: a file by itself, or an attachment of the last Bundle."""
        if wishes.erased and _digest(record) in wishes.erased:
            return Change(None, erased=1)
        if not self._bundled:
            return Change(_placed(record, wishes))
        if not self._routed:
            return Change(record if self._is_wanted(record) else None)
        also = self._routed.get(_digest(record), [])
        extras = [replace(record, category=category, emergency=False) for category in also]
        return Change(record if self._is_wanted(record) else None, extras=extras)

    def _route(self, entry: bytes, category: Category | None) -> None:
        """Note that the attachments of an entry go with it."""
        for digest in Restoring(entry, lambda _: 0).digests:
            at = self._routed.setdefault(digest, [])
            if category is not None and category not in at:
                at.append(category)

    def _tell(self, version: Version, one: KnownResource, moves: _Moves) -> list[KnownResource]:
        """Say in other lanes that a newer version lies elsewhere; return what the journal knows with that.

        Whoever reads the lanes of one category and year can't see what is in another one.
        """
        published = self._same(one)
        apart = [other for other in published if other.scope != one.scope]
        if not apart:
            return [one]
        stamps = [(other.rank, other.updated, (place,)) for place, other in enumerate([*published, one])]
        order = oldest_first(stamps)
        told: list[KnownResource] = []
        if order[-1] == len(published):
            # Where it was deleted, or a newer one is told already, no version counts anyway.
            silent = b"", self._keyed(b"print", version.name.encode(), deletion_print(version.name))
            for scope in dict.fromkeys(other.scope for other in apart):
                last = next(place for place in reversed(order[:-1]) if published[place].scope == scope)
                if published[last].print not in silent:
                    moves.tell(scope, version)
                    told.append(replace(one, scope=scope, stamp=b"", print=b""))
        else:
            newer = published[order[-1]]
            later = order[order.index(len(published)) + 1 :]
            if all(published[place].scope != one.scope for place in later):
                number = "" if newer.rank is None else str(newer.rank)
                updated = "" if newer.updated is None else datetime.fromtimestamp(newer.updated, UTC).isoformat()
                moves.tell(one.scope, Version(version.name, number, updated, base=version.base))
                told.append(replace(newer, scope=one.scope, stamp=b"", print=b"", source=one.source))
        return [*told, one]

    def _places(self, one: KnownResource) -> list[str]:
        """Return the narrowest lanes in which there are versions of a resource."""
        return list(dict.fromkeys(other.scope for other in self._same(one)))

    def _same(self, one: KnownResource) -> list[KnownResource]:
        """Return all versions of a resource that are published or in the batch, in their order."""
        published = self._journal.of(one.patient, one.name) + self._filled[one.patient].get(one.name, [])
        if not published:
            return published
        return [published[place] for place in same_server([other.base for other in published], one.base)]

    def published(self, resources: Sequence[KnownResource]) -> None:
        """Note that the versions go into the batch that is being filled."""
        for one in resources:
            self._filled[one.patient][one.name].append(one)

    def take(self) -> list[KnownResource]:
        """Return the versions in the batch that was filled, which the journal gets with it."""
        found = [one for names in self._filled.values() for same in names.values() for one in same]
        self._filled.clear()
        return found

    def _known(self, version: Version, patient: Address, scope: str, source: bytes) -> KnownResource | None:
        """Return a version as the journal keeps it; None for what can't be told again."""
        if not version.name:
            return None
        named, dated = version.name.encode(), version.number or version.updated
        stamp = (named, version.number.encode(), version.updated.encode(), version.print)
        return frozen(
            KnownResource,
            patient=patient,
            name=self._keyed(b"name", named),
            base=self._keyed(b"base", version.base.encode()) if version.base else b"",
            stamp=self._keyed(b"stamp", *stamp) if dated else b"",
            print=self._keyed(b"print", named, version.print),
            rank=rank(version.number),
            updated=instant(version.updated),
            scope=scope,
            source=source,
            sequence=0,
        )

    def _is_known(self, one: KnownResource, *, anywhere: bool = False) -> bool:
        published = self._journal.of(one.patient, one.name) + self._filled[one.patient].get(one.name, [])
        # A source that says something twice is published as it is.
        return bool(published) and is_known(
            one, [other for other in published if other.source != one.source], anywhere=anywhere
        )

    def _is_wanted(self, record: PlainRecord) -> bool:
        """Tell whether a Bundle that comes before an attachment still names it."""
        if self._kept is None:
            return True
        if not isinstance(record.content, bytes):
            raise InputError("a Bundle is followed by something else than its attachments")
        return sha256(record.content).digest() in self._kept

    def _keyed(self, use: bytes, *parts: bytes) -> bytes:
        return self._prints[use](b"\0".join(parts))[:PRINT_SIZE]


def _scope(record: PlainRecord, category: Category) -> str:
    return Scope.of(category, record.year).text


def _is_opening(record: PlainRecord, category: Category) -> bool:
    """Tell whether a wish would open what is classified as sensitive: patients open what they saw, nothing newer."""
    return record.category in SENSITIVE and category not in RESTRICTED


def _placed(record: PlainRecord, wishes: Wishes) -> PlainRecord:
    """Return a record in the category in which its patient asked to have these very bytes."""
    category = wishes.digests.get(_digest(record)) if wishes.digests else None
    return record if category is None else replace(record, category=category, emergency=False)


def _digest(record: PlainRecord) -> bytes:
    """Return the SHA-256 of a record's content; nothing for one that is too large to have one in its header."""
    if record.size > HASHED:
        return b""
    if isinstance(record.content, FileContent):
        with open(record.content.path, "rb") as file:
            return file_digest(file, "sha256").digest()
    return sha256(record.content).digest()
