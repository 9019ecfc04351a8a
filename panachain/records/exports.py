"""Exports: FHIR of many patients, cut into what belongs to each of them, so that nothing reaches a wrong one.

A resource belongs to the patient whom all of its references agree on; one that names two, or nobody, is left out and
told. What is about nobody (`subjects.SHARED`) goes along with whatever refers to it. Holds only a few resources at
once: what refers to what lies in a database of keyed fingerprints, and what can't be found again in its file in a
sealed one; neither has a name on the disk, and the key of both is forgotten with this object. Follows FHIR Bulk Data
Access 2.0, FHIR R4 (Bundle) and docs/spec/persons.md.
"""

from __future__ import annotations

import io
import json
import os
import sqlite3
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from panachain.crypto import labels, stream
from panachain.errors import InputError
from panachain.ipld import dagcbor
from panachain.model.scope import RESTRICTED, Category
from panachain.records.attachments import pull_out
from panachain.records.canonical import BLANKS, BOM, MAX_PIECE, Cutter, check_values, read
from panachain.records.fhir_category import category_of
from panachain.records.fhir_codes import RESTRICTED_DEFAULT
from panachain.records.fhir_sensitivity import restricted_category
from panachain.records.persons import Prints, of_patient, prints_of
from panachain.records.replay import replayed
from panachain.records.sensitivity import Matcher, matcher_of
from panachain.records.sensitivity.profiles import profile_of
from panachain.records.sources import FhirText, Source
from panachain.records.split import BUNDLE_TYPES, findings_of_files
from panachain.records.subjects import SHARED, subjects_of

MAX_PATIENTS: Final = 200_000
"""Patients of one export."""
_HELD: Final = 16 << 20
"""Bytes of a patient's part that are held in memory."""
_OPEN_FILES: Final = 16
_ROUNDS: Final = 100
"""References from one resource without a patient to the next that are followed."""
_LABELLED: Final = 8 << 20
"""Bytes of the entries of one labelled Bundle that stand in one line."""
_MAX_MEMBERS: Final = 10_000
"""Members of one Bundle beside its entries."""
_SPOOL: Final = -1
"""Number of the sealed file among the files."""
_SCHEMA: Final = """
    CREATE TABLE piece (
        id INTEGER PRIMARY KEY, file INTEGER, start INTEGER, size INTEGER, source INTEGER, number INTEGER,
        bundle INTEGER, kind TEXT, shared INTEGER, digest BLOB, lo INTEGER, hi INTEGER, direct INTEGER, mixed INTEGER
    );
    CREATE TABLE bundle (id INTEGER PRIMARY KEY, above INTEGER, kind TEXT, label BLOB, sensitive INTEGER);
    CREATE TABLE name (key INTEGER, piece INTEGER, identifier INTEGER);
    CREATE TABLE says (piece INTEGER, key INTEGER, role INTEGER);
    CREATE TABLE patient (piece INTEGER PRIMARY KEY, prints BLOB, root INTEGER, owner INTEGER);
"""
_OTHER, _PATIENT, _LINK = range(3)
_LABEL_MIX: Final = 2
"""Stands in `mixed` for a Bundle's own words."""
_ONE_LINE: Final = bytes.maketrans(b"\r\n", b"  ")
"""Line ends, which JSON has between values only, become blanks: a line of NDJSON has none inside."""
_SETTLE: Final = """
    CREATE TABLE edge AS
        SELECT DISTINCT s.piece AS piece, n.piece AS target FROM says s JOIN name n ON n.key = s.key
        WHERE s.role < 2 AND n.piece <> s.piece;
    CREATE INDEX edge_piece ON edge (piece);
    CREATE INDEX edge_target ON edge (target);
    CREATE TABLE direct AS
        SELECT piece, owner FROM patient
        UNION SELECT e.piece, p.owner FROM edge e JOIN patient p ON p.piece = e.target
        UNION SELECT s.piece, f.owner FROM says s JOIN phantom f ON f.key = s.key WHERE s.role = 1;
    UPDATE piece SET lo = d.lo, hi = d.hi, direct = 1
        FROM (SELECT piece AS id, min(owner) AS lo, max(owner) AS hi FROM direct GROUP BY piece) AS d
        WHERE d.id = piece.id;
"""
"""What refers to what, and whom each resource names: the least and the greatest number, which are one or aren't."""
_SPREAD: Final = """
    UPDATE piece SET lo = d.lo, hi = d.hi
        FROM (
            SELECT e.piece AS id, min(t.lo) AS lo, max(t.hi) AS hi
            FROM edge e JOIN piece t ON t.id = e.target JOIN piece s ON s.id = e.piece
            WHERE t.lo IS NOT NULL AND t.kind <> 'Group' AND NOT s.direct AND NOT s.shared GROUP BY e.piece
        ) AS d
        WHERE d.id = piece.id AND (piece.lo IS NULL OR d.lo < piece.lo OR d.hi > piece.hi)
"""
"""A resource that names no patient is about those whom what it refers to is about."""
_MIX: Final = """
    UPDATE piece SET mixed = 1 WHERE lo = hi AND EXISTS (
        SELECT 1 FROM edge e JOIN piece t ON t.id = e.target
        WHERE e.piece = piece.id AND t.lo = t.hi AND t.lo <> piece.lo
    );
    UPDATE piece SET mixed = 2 WHERE bundle IN (
        WITH RECURSIVE closed (id) AS (
            SELECT id FROM bundle WHERE sensitive
            UNION SELECT b.id FROM bundle b JOIN bundle above ON above.id = b.above WHERE above.label <> x''
            UNION SELECT b.id FROM bundle b JOIN closed ON closed.id = b.above
        )
        SELECT id FROM closed
    );
"""
"""A resource that is about one patient and refers to what is about another one is about two."""
_SPREAD_MIX: Final = """
    UPDATE piece SET mixed = 1 WHERE NOT mixed AND NOT direct AND NOT shared AND EXISTS (
        SELECT 1 FROM edge e JOIN piece t ON t.id = e.target WHERE e.piece = piece.id AND t.mixed = 1
    )
"""
_FOLLOW: Final = """
    UPDATE piece SET lo = d.lo, hi = d.hi, mixed = max(piece.mixed, d.mixed)
        FROM (
            SELECT e.target AS id, min(s.lo) AS lo, max(s.hi) AS hi, max(s.mixed) AS mixed
            FROM edge e JOIN piece t ON t.id = e.target JOIN piece s ON s.id = e.piece
            WHERE t.kind = 'Binary' AND t.lo IS NULL AND s.lo IS NOT NULL GROUP BY e.target
        ) AS d
        WHERE d.id = piece.id;
    CREATE INDEX piece_lo ON piece (lo);
"""
"""A file that says nothing itself belongs to whoever all that refer to it are about."""
_UNUSED: Final = """
    WITH RECURSIVE used (id) AS (
        SELECT id FROM piece WHERE lo <= ? AND hi = lo AND NOT mixed
        UNION
        SELECT t.id FROM used JOIN edge e ON e.piece = used.id JOIN piece t ON t.id = e.target
        WHERE t.shared AND t.lo IS NULL AND NOT t.mixed
    )
    SELECT source, count(*) FROM piece
    WHERE shared AND lo IS NULL AND NOT mixed AND id NOT IN (SELECT id FROM used) GROUP BY source ORDER BY source
"""
_MINE: Final = """
    WITH RECURSIVE mine (id) AS (
        SELECT id FROM piece WHERE lo = ? AND hi = lo AND NOT mixed
        UNION
        SELECT t.id FROM mine JOIN edge e ON e.piece = mine.id JOIN piece t ON t.id = e.target
        WHERE t.shared AND t.lo IS NULL AND NOT t.mixed
    )
    SELECT p.file, p.start, p.size, p.digest, p.bundle, b.kind, b.label, min(p.id)
    FROM mine JOIN piece p ON p.id = mine.id LEFT JOIN bundle b ON b.id = p.bundle
    GROUP BY coalesce(b.label, x''), coalesce(b.kind, ''), p.digest
    ORDER BY coalesce(b.label, x''), coalesce(b.kind, ''), p.digest
"""
"""What is one person's, and what is about nobody that it refers to: each text once, whatever labels it together."""

TWO: Final = "it refers to two patients"
NOBODY: Final = "it doesn't say whose it is"
LABEL: Final = "its Bundle says something sensitive of itself that isn't a label"


@dataclass(frozen=True)
class FoundPatient:
    """A patient of an export."""

    number: int
    """Stands for them."""
    path: Path
    """The first file that holds them or, of those whom the export only refers to, that refers to them."""
    resource: int
    """Which line of it, or entry of its Bundle."""
    prints: Prints | None = field(repr=False)
    """What identifies them; None for those whom the export only refers to."""
    differs: int | None
    """Which field (an index of FIELDS' values) is another one in a second Patient of the same name; then they are
    nobody."""


@dataclass(frozen=True)
class LeftOutResource:
    """A resource that goes to nobody."""

    path: Path
    resource: int
    """As of FoundPatient."""
    why: str


class Export:
    """FHIR of many patients; use as a context manager."""

    def __init__(self, key: bytes) -> None:
        """Take the key of the fingerprints of persons; see `persons.prints_of`."""
        self._key = key
        self._secret = os.urandom(32)
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;" + _SCHEMA)
        self._sources: list[Source] = []
        self._pieces = self._bundles = self._patients = 0
        self._servers: set[str] = set()
        self._owners: frozenset[int] = frozenset()
        self._whose: dict[int, int] = {}
        """Of each patient's number the person."""
        self._stack = ExitStack()
        self._spool = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - closed with the rest
        self._spooled = 0
        self._opened: OrderedDict[int, BinaryIO] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._opened.values():
            file.close()
        self._db.close()
        self._stack.close()

    def add(self, source: Source, scope: int, server: str = "") -> bool:
        """Read a source, and return whether it is FHIR in JSON; nothing else is taken.

        Args:
            source: of the export.
            scope: of the export, within which references without a server hold.
            server: where the export's resources lie, if that is known.

        Raises:
            InputError: it can't be read; then nothing of it is taken. Without the path.
        """
        self._sources.append(source)
        self._servers |= {server} - {""}
        before = (self._pieces, self._bundles, self._patients)
        self._db.execute("BEGIN")
        try:
            with source.fhir() as text:
                if text is None:
                    self._sources.pop()
                    return False
                _Reader(self, f"x{scope}", server, text).run()
        except InputError:
            self._db.execute("ROLLBACK")
            self._pieces, self._bundles, self._patients = before
            raise
        finally:
            source.release()
            if self._db.in_transaction:
                self._db.execute("COMMIT")
        return True

    def patients(self) -> Iterator[FoundPatient]:
        """Return the patients, each once, whom the export holds or refers to; before `settle`, and once."""
        db = self._db
        db.executescript(
            """
            CREATE INDEX name_key ON name (key);
            CREATE TABLE phantom AS
                SELECT key, min(piece) AS piece, NULL AS owner FROM says
                WHERE role = 1 AND key NOT IN (SELECT key FROM name) GROUP BY key;
            CREATE UNIQUE INDEX phantom_key ON phantom (key);
            """
        )
        return self._each_patient(self._join())

    def _each_patient(self, torn: Mapping[int, int]) -> Iterator[FoundPatient]:
        db = self._db
        for (root,) in db.execute("SELECT DISTINCT root FROM patient ORDER BY root").fetchall():
            prints = self._prints(root)
            yield FoundPatient(root, *self._place_of(root), prints, torn.get(root))
        for key, piece in db.execute("SELECT key, piece FROM phantom ORDER BY piece, key").fetchall():
            # Below zero, where no piece is.
            yield FoundPatient(-1 - self._rowid(key), *self._place_of(piece), None, None)

    def named(self, reference: str, scopes: int) -> list[int]:
        """Return the numbers of the patients whom a reference means, as somebody types it.

        Args:
            reference: `Patient/ID`, an address, or `system|value`.
            scopes: how many exports there are.
        """
        names = [reference] + [f"x{scope}|{reference}" for scope in range(scopes)]
        names += [f"{server}/{reference}" for server in self._servers]
        system, bar, value = reference.partition("|")
        if bar:
            found = subjects_of(
                {"resourceType": "Patient", "identifier": {"system": system, "value": value}}, "", "", ""
            )
            names += found.identifiers
        keys = [self.key(name) for name in names]
        keys += [
            self.key(f"b{bundle}|{reference}") for (bundle,) in self._db.execute("SELECT id FROM bundle").fetchall()
        ]
        numbers: set[int] = set()
        for key in keys:
            numbers.update(
                root
                for (root,) in self._db.execute(
                    "SELECT p.root FROM name n JOIN patient p ON p.piece = n.piece WHERE n.key = ?", (key,)
                )
            )
            numbers.update(
                -1 - row for (row,) in self._db.execute("SELECT rowid FROM phantom WHERE key = ?", (key,)).fetchall()
            )
        return sorted(numbers)

    def settle(self, owners: Mapping[int, int]) -> None:
        """Decide whose each resource is.

        Args:
            owners: of each patient's number, whoever they are, from 0; two numbers can be one person. Whoever isn't
                named has no part, and is nobody else either.
        """
        db = self._db
        self._owners = frozenset(owners.values())
        free = max(owners.values(), default=-1) + 1
        everybody = [root for (root,) in db.execute("SELECT DISTINCT root FROM patient").fetchall()]
        unnamed = {root: free + place for place, root in enumerate(one for one in everybody if one not in owners)}
        free += len(unnamed)
        whose = {**unnamed, **owners}
        db.execute("BEGIN")
        db.executemany("UPDATE patient SET owner = ? WHERE root = ?", ((whose[root], root) for root in everybody))
        for (row,) in db.execute("SELECT rowid FROM phantom").fetchall():
            whose.setdefault(-1 - row, free + row)
            db.execute("UPDATE phantom SET owner = ? WHERE rowid = ?", (whose[-1 - row], row))
        self._whose = whose
        db.execute("COMMIT")
        db.executescript(_SETTLE)
        done = self._repeat(_SPREAD)
        db.executescript(_MIX)
        if not (self._repeat(_SPREAD_MIX) and done):
            # Whatever isn't known by now may be anybody's.
            db.execute("UPDATE piece SET mixed = 1 WHERE NOT direct AND NOT shared")
        db.executescript(_FOLLOW)

    def _repeat(self, statement: str) -> bool:
        """Do a change until nothing changes, and return whether that took no more than `_ROUNDS`."""
        return any(not self._db.execute(statement).rowcount for _ in range(_ROUNDS))

    def files(self) -> Iterator[tuple[Path, frozenset[int], bool]]:
        """Yield each file, the numbers of the patients whom its resources are about, and whether any is left out.

        Of one person several numbers may stand for only one is told, and never more than two.
        """
        numbers = {owner: number for number, owner in sorted(self._whose.items(), reverse=True)}
        for place, source in enumerate(self._sources):
            lo, hi, out = self._db.execute(
                "SELECT min(lo), max(hi), max(mixed OR lo IS NULL AND NOT shared) FROM piece WHERE source = ?", (place,)
            ).fetchone()
            yield source.file, frozenset(numbers[one] for one in (lo, hi) if one is not None), bool(out)

    def left_out(self) -> Iterator[LeftOutResource]:
        """Yield the resources that go to nobody although they are somebody's, or may be."""
        for source, number, lo, mixed in self._db.execute(
            "SELECT source, number, lo, mixed FROM piece WHERE lo < hi OR mixed OR (lo IS NULL AND NOT shared)"
            " ORDER BY id"
        ):
            why = LABEL if mixed == _LABEL_MIX else NOBODY if lo is None else TWO
            yield LeftOutResource(self._sources[source].path, number, why)

    def unused(self) -> Iterator[tuple[Path, int]]:
        """Yield how many resources of each file are about nobody, and are referred to by nobody's."""
        for source, count in self._db.execute(_UNUSED, (max(self._owners, default=-1),)):
            yield self._sources[source].path, count

    def part(self, owner: int, path: Path, category: Category | None, matcher: Matcher) -> Source | None:
        """Return all that one person gets, as one source of NDJSON; None if that is nothing.

        Its lines are in the order of their fingerprints: the same resources are the same source, whichever files and
        lines they stood in.

        Args:
            owner: as `settle` took them.
            path: what the source is called.
            category: as `find_sources`.
            matcher: says what is sensitive.

        Raises:
            InputError: a file changed since it was read.
        """
        pieces = self._db.execute(_MINE, (owner,)).fetchall() if owner in self._owners else []
        if not pieces:
            return None
        file = _PartFile(lambda: self._lines(pieces))
        digest, size, kept = sha256(), 0, bytearray()
        for line in self._lines(pieces):
            digest.update(line)
            size += len(line)
            if size <= _HELD:
                kept += line
        content = bytes(kept) if size <= _HELD else None
        return Source.assembled(path, size, digest.digest(), file, content=content, category=category, matcher=matcher)

    def key(self, name: str) -> int:
        """Return the keyed fingerprint of a name."""
        made = blake2b(name.encode("utf-8", "surrogatepass"), key=self._secret, digest_size=8).digest()
        return int.from_bytes(made, "big", signed=True)

    def begin_bundle(self) -> int:
        """Return the number of the next Bundle."""
        self._bundles += 1
        return self._bundles

    def end_bundle(self, number: int, above: int, kind: str, label: bytes, *, sensitive: bool) -> None:
        """Note what a Bundle says of itself.

        Args:
            number: from `begin_bundle`.
            above: of the Bundle that it stands in; 0 for none.
            kind: its type.
            label: its `meta` where that bears labels, or is sensitive.
            sensitive: whether anything else that it says of itself is.
        """
        self._db.execute("INSERT INTO bundle VALUES (?, ?, ?, ?, ?)", (number, above, kind, label, sensitive))

    def put(
        self, text: bytes, resource: dict[str, Any], url: object, number: int, bundle: int, at: int | None, scope: str
    ) -> None:
        """Take one resource.

        Args:
            text: its text, or its entry's.
            resource: what it says.
            url: where it lies, if that is known.
            number: of its line or entry in its file.
            bundle: the number of its Bundle; 0 outside of one.
            at: where its text begins in its file, if it can be read there again.
            scope: as `subjects_of`.
        """
        self._pieces += 1
        piece = self._pieces
        text = text.translate(_ONE_LINE)
        source = len(self._sources) - 1
        file, start, size = (source, at, len(text)) if at is not None else self._seal(text)
        found = subjects_of(resource, url, scope, f"u{piece}")
        digest = _digest(text, bundle)
        self._db.execute(
            "INSERT INTO piece VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, 0, 0)",
            (piece, file, start, size, source, number, bundle, found.kind, found.kind in SHARED, digest),
        )
        names = [(self.key(one), piece, 0) for one in found.names]
        names += [(self.key(one), piece, 1) for one in found.identifiers]
        self._db.executemany("INSERT INTO name VALUES (?, ?, ?)", names)
        says = [(piece, self.key(one), _PATIENT) for one in found.patients]
        says += [(piece, self.key(one), _OTHER) for one in found.others - found.patients]
        says += [(piece, self.key(one), _LINK) for one in found.links]
        self._db.executemany("INSERT INTO says VALUES (?, ?, ?)", says)
        if found.kind == "Patient":
            self._patients += 1
            if self._patients > MAX_PATIENTS:
                raise InputError(f"more than {MAX_PATIENTS} patients", hint="export them in several parts")
            kept = dagcbor.encode(prints_of(of_patient(resource), self._key).to_kept())
            self._db.execute("INSERT INTO patient VALUES (?, ?, ?, NULL)", (piece, kept, piece))

    def _seal(self, text: bytes) -> tuple[int, int, int]:
        start = self._spooled
        sealed = stream.seal(text, self._secret, labels.EXPORT + start.to_bytes(8, "big"))
        self._spool.seek(start)
        self._spool.write(sealed)
        self._spooled += len(sealed)
        return _SPOOL, start, len(sealed)

    def _join(self) -> dict[int, int]:
        """Join the Patients that are one person, and return which of them can't be, by which field."""
        roots: dict[int, int] = {}
        torn: dict[int, int] = {}

        def root_of(piece: int) -> int:
            while (above := roots.get(piece, piece)) != piece:
                roots[piece] = roots.get(above, above)
                piece = above
            return piece

        def join(left: int, right: int) -> int:
            left, right = sorted((root_of(left), root_of(right)))
            if left != right:
                roots[right] = left
                if right in torn:
                    torn.setdefault(left, torn.pop(right))
            return left

        same = self._db.execute(
            "SELECT n.key, n.piece FROM name n JOIN patient p ON p.piece = n.piece WHERE NOT n.identifier"
            " AND n.key IN (SELECT key FROM name GROUP BY key HAVING count(*) > 1) ORDER BY n.key, n.piece"
        ).fetchall()
        firsts: dict[int, int] = {}
        for key, piece in same:
            first = firsts.setdefault(key, piece)
            if first != piece:
                root = join(first, piece)
                # The same id for two persons: neither of them is believed.
                differs = self._one(first).contradicts(self._one(piece), named_alike=True)
                if differs is not None:
                    torn.setdefault(root, differs)
        for left, right in self._db.execute(
            "SELECT s.piece, n.piece FROM says s JOIN name n ON n.key = s.key JOIN patient p ON p.piece = n.piece"
            " WHERE s.role = 2"
        ).fetchall():
            # One person has another number in another record; another name and birth date, and nobody knows.
            if self._one(left).may_be(self._one(right)):
                join(left, right)
        self._db.execute("BEGIN")
        self._db.executemany(
            "UPDATE patient SET root = ? WHERE piece = ?", [(root_of(piece), piece) for piece in list(roots)]
        )
        self._db.execute("COMMIT")
        return {root_of(piece): differs for piece, differs in torn.items()}

    def _one(self, piece: int) -> Prints:
        kept = self._db.execute("SELECT prints FROM patient WHERE piece = ?", (piece,)).fetchone()[0]
        return Prints.of_kept(dagcbor.decode(kept))

    def each_of(self, number: int) -> list[Prints]:
        """Return what identifies a patient, once for each Patient that is the same person."""
        found = self._db.execute("SELECT prints FROM patient WHERE root = ? ORDER BY piece", (number,)).fetchall()
        return [Prints.of_kept(dagcbor.decode(kept)) for (kept,) in found]

    def _prints(self, number: int) -> Prints:
        first, *more = self.each_of(number)
        for one in more:
            first.add(one)
        return first

    def _rowid(self, key: int) -> int:
        found: int = self._db.execute("SELECT rowid FROM phantom WHERE key = ?", (key,)).fetchone()[0]
        return found

    def _place_of(self, piece: int) -> tuple[Path, int]:
        source, number = self._db.execute("SELECT source, number FROM piece WHERE id = ?", (piece,)).fetchone()
        return self._sources[source].path, number

    def _lines(self, pieces: Sequence[tuple[Any, ...]]) -> Iterator[bytes]:
        """Yield the lines of a part, from what `_MINE` found."""
        last, held, size = ("", b""), list[bytes](), 0
        for file, start, length, digest, bundle, kind, label, _ in pieces:
            text = self._text(file, start, length)
            if _digest(text, bundle) != digest:
                raise InputError("it changed after it was found")
            if held and (not bundle or (kind, label) != last or size >= _LABELLED):
                yield _line(*last, held)
                held, size = [], 0
            if not bundle:
                yield text + b"\n"
            elif not label:
                yield _line(kind, label, [text])
            else:
                # What a label closes stands together, so that the label is told once.
                last = (kind, label)
                held.append(text)
                size += len(text)
        if held:
            yield _line(*last, held)

    def _text(self, file: int, start: int, size: int) -> bytes:
        if file == _SPOOL:
            self._spool.seek(start)
            return stream.open_(self._spool.read(size), self._secret, labels.EXPORT + start.to_bytes(8, "big"))
        opened = self._opened.pop(file, None) or self._sources[file].open()
        self._opened[file] = opened
        if len(self._opened) > _OPEN_FILES:
            self._opened.popitem(last=False)[1].close()
        try:
            # Not through its buffer, which would read much more at each place.
            return os.pread(opened.fileno(), size, start).translate(_ONE_LINE)
        except OSError as exc:
            raise InputError(f"it can't be read: {exc.strerror}") from exc


class _Reader:
    """Cuts one source into its resources."""

    def __init__(self, export: Export, scope: str, server: str, text: FhirText) -> None:
        self._export = export
        self._scope = scope
        self._server = server
        self._text = text
        self._strict = matcher_of(profile_of("strict"))
        self._number = 0

    def run(self) -> None:
        """Read all of it.

        Raises:
            InputError: it isn't FHIR, or can't be read.
        """
        if self._text.lines:
            self._lines()
        else:
            self._file(self._text.file, 0)
        if not self._number:
            raise InputError("it holds no resources")

    def _lines(self) -> None:
        file, at, number = self._text.file, 0, 0
        while line := file.readline(MAX_PIECE + 1):
            number += 1
            text = line.removeprefix(BOM).lstrip(BLANKS)
            begin, text = at + len(line) - len(text), text.rstrip(BLANKS)
            at += len(line)
            try:
                if len(line) > MAX_PIECE:
                    raise InputError(f"more than {MAX_PIECE} bytes")
                if text:
                    self._number = number
                    self._resource(text, begin if self._text.in_place else None)
            except InputError as exc:
                raise InputError(f"line {number}: {exc}", hint=exc.hint) from None

    def _resource(self, text: bytes, at: int | None) -> None:
        """Take a resource that stands alone, or a Bundle's entries."""
        check_values(text)
        value, _ = read(text)
        if not isinstance(value, dict) or not isinstance(value.get("resourceType"), str):
            raise InputError("not a FHIR resource: resourceType is missing")
        if value["resourceType"] == "Bundle":
            self._bundle(io.BytesIO(text), 0)
        else:
            self._export.put(text, value, self._url(value), self._number, 0, at, self._scope)

    def _url(self, resource: dict[str, Any]) -> str:
        kind, number = resource["resourceType"], resource.get("id")
        return f"{self._server}/{kind}/{number}" if self._server and isinstance(number, str) else ""

    def _file(self, file: BinaryIO, above: int) -> None:
        """Take a Bundle that is cut entry by entry, or a single resource."""
        file.seek(0)
        cutter = Cutter(file)
        if cutter.peek() == b"{" and _kind(cutter) == "Bundle":
            self._bundle(file, above)
            return
        file.seek(0)
        text = file.read(MAX_PIECE + 1)
        if len(text) > MAX_PIECE:
            raise InputError(f"a single resource of more than {MAX_PIECE} bytes")
        self._number = 1
        self._resource(text.removeprefix(BOM).strip(BLANKS), None)

    def _bundle(self, file: BinaryIO, above: int) -> None:
        """Take the entries of a Bundle."""
        file.seek(0)
        number = self._export.begin_bundle()
        cutter, shell, any_entry, left = Cutter(file), dict[str, bytes](), False, MAX_PIECE
        for name in cutter.names():
            if name in shell or (name == "entry" and any_entry):
                raise InputError("a JSON object has a doubled key")
            if name != "entry" or cutter.peek() != b"[":
                shell[name] = cutter.value()
                left -= len(shell[name])
                if len(shell) > _MAX_MEMBERS or left < 0:
                    raise InputError(f"more than {_MAX_MEMBERS} members or {MAX_PIECE} bytes beside its entries")
                continue
            any_entry = True
            for place, item in enumerate(cutter.items(), start=1):
                if not above and not self._text.lines:
                    self._number = place
                try:
                    self._entry(bytes(item), number)
                except InputError as exc:
                    raise InputError(f"entry {place}: {exc}", hint=exc.hint) from None
        cutter.end()
        if "entry" in shell:
            raise InputError("the Bundle's entry is no list of objects")
        self._end(number, above, shell)

    def _entry(self, text: bytes, bundle: int) -> None:
        check_values(text)
        value, _ = read(text)
        resource = value.get("resource") if isinstance(value, dict) else None
        if not isinstance(value, dict) or (resource is not None and not isinstance(resource, dict)):
            raise InputError("the Bundle's entry is no list of objects, or its resource is none")
        if resource and resource.get("resourceType") == "Bundle":
            cutter = Cutter(io.BytesIO(text))
            for name in cutter.names():
                inner = cutter.value()
                if name == "resource":
                    self._bundle(io.BytesIO(inner), bundle)
            return
        self._export.put(text, resource or {}, value.get("fullUrl"), self._number, bundle, None, f"b{bundle}")

    def _end(self, number: int, above: int, shell: dict[str, bytes]) -> None:
        meta = shell.pop("meta", b"{}").translate(_ONE_LINE)
        label = b'{"resourceType":"Bundle","meta":%b}' % meta
        said, _ = read(meta)
        labelled = (isinstance(said, dict) and bool(said.get("security"))) or self._closes(label)
        rest = b"{" + b",".join(json.dumps(name).encode() + b":" + value for name, value in shell.items()) + b"}"
        sensitive = self._closes(rest)
        kind = read(shell["type"])[0] if "type" in shell else ""
        kind = kind if kind in BUNDLE_TYPES else "collection"
        self._export.end_bundle(number, above, kind, meta if labelled else b"", sensitive=sensitive)

    def _closes(self, text: bytes) -> bool:
        """Tell whether any profile closes it: of the patients whose it is some may have chosen another one."""
        check_values(text)
        kept, attachments = pull_out(text)
        value, compact = read(kept)
        if category_of(value, compact, self._strict) in RESTRICTED:
            return True
        return restricted_category(findings_of_files(attachments, self._strict), RESTRICTED_DEFAULT) is not None


class _PartFile:
    """A part, as a file that is opened again and again."""

    def __init__(self, lines: Callable[[], Iterator[bytes]]) -> None:
        self._lines = lines

    def open(self) -> BinaryIO:
        return replayed(self._lines)

    def check_unchanged(self, file: BinaryIO) -> None:
        """Do nothing: each text is compared with what it was when it was found, as it is read."""


def _kind(cutter: Cutter) -> str:
    """Return the resourceType of the object that comes next."""
    kind = ""
    for name in cutter.names():
        if name == "entry" and cutter.peek() == b"[":
            for _ in cutter.items():
                pass
            continue
        value = cutter.value()
        if name == "resourceType":
            found, _ = read(value) if len(value) < 256 else ("", b"")
            kind = found if isinstance(found, str) else ""
            break
    return kind


def _line(kind: str, label: bytes, entries: Sequence[bytes]) -> bytes:
    """Return entries of one Bundle as a line of NDJSON."""
    meta = b',"meta":%b' % label if label else b""
    return b'{"resourceType":"Bundle","type":%b%b,"entry":[%b]}\n' % (BUNDLE_TYPES[kind], meta, b",".join(entries))


def _digest(text: bytes, bundle: int) -> bytes:
    """Return what tells a resource from each other one; an entry and a resource that stands alone aren't the same."""
    return sha256((b"entry " if bundle else b"resource ") + text).digest()[:16]
