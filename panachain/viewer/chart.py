"""The chart: all opened records of a patient in one view, as plain data.

Several hospitals' records stand beside each other, each with its source; nothing is merged, and what is there twice
says so. A record that can't be read is named, and costs the others nothing. Pure, but for DICOM headers, which
another process reads. Follows docs/adr/0039.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from panachain.plain import line
from panachain.records.versions import instant, oldest_first, rank
from panachain.viewer import documents, values
from panachain.viewer.documents import Document
from panachain.viewer.fhir import Entry, Found, References, entry_of, is_told, resources
from panachain.viewer.images import DicomHeader, described
from panachain.viewer.items import Item, Told, UnreadableError
from panachain.viewer.kinds import SECTIONS
from panachain.viewer.moments import NEVER, Moment, moment
from panachain.viewer.observations import Analyte, Point, analytes, read_points, section_of
from panachain.viewer.values import Resource, first, objects, word
from panachain.viewer.words import LANGUAGES, N_, SOURCE

FHIR: Final = frozenset({"application/fhir+json", "application/fhir+ndjson", "application/fhir+xml"})
_DICOM: Final = "application/dicom"
MOST_TOGETHER: Final = 256 << 20
"""Bytes of FHIR that are looked at together; in memory they take several times as much."""
TOO_MUCH: Final = N_("all records together are more than one view shows")
_MEASURED: Final = ("laboratory", "vitals", "observations")


@dataclass(frozen=True)
class Source:
    """A hospital that records come from."""

    name: str
    address: str
    records: int


@dataclass(frozen=True)
class Person:
    """Whom a hospital's records say that they are about."""

    name: str
    born: Moment
    sex: str
    died: str
    identifiers: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Instance:
    """A DICOM object."""

    header: DicomHeader
    document: Document


@dataclass(frozen=True)
class ImageSeries:
    """Objects of one series."""

    title: str
    modality: str
    instances: tuple[Instance, ...]


@dataclass(frozen=True)
class Study:
    """Series of one study."""

    title: str
    when: Moment
    source: str
    series: tuple[ImageSeries, ...]


@dataclass(frozen=True)
class Section:
    """What is shown together."""

    key: str
    """Of `kinds.SECTIONS`."""
    entries: tuple[Entry, ...] = ()
    """Newest first, those without a date last."""
    analytes: tuple[Analyte, ...] = ()
    studies: tuple[Study, ...] = ()
    documents: tuple[Document, ...] = ()

    @property
    def title(self) -> str:
        """What it is called, to be translated."""
        return SECTIONS[self.key]

    @property
    def count(self) -> int:
        """How much it shows."""
        objects_ = sum(len(one.instances) for study in self.studies for one in study.series)
        return len(self.entries) + len(self.analytes) + objects_ + len(self.documents)

    def of(self, group: str) -> tuple[Entry, ...]:
        """Return the entries of a group."""
        return tuple(one for one in self.entries if one.group == group)


@dataclass(frozen=True)
class Unread:
    """A record that can't be shown."""

    record: int
    source: str
    reason: str


@dataclass(frozen=True)
class Chart:
    """All that is shown of some records."""

    language: str
    now: float
    """Unix seconds at which it was made."""
    sources: tuple[Source, ...]
    persons: tuple[Person, ...]
    sections: tuple[Section, ...]
    """Those that have something to show, in their order."""
    unread: tuple[Unread, ...]
    told: Told
    records: tuple[Item, ...] = field(default=(), repr=False)

    def section(self, key: str) -> Section:
        """Return a section; an empty one if it has nothing to show."""
        return next((one for one in self.sections if one.key == key), Section(key))

    def section_is_known(self, key: str) -> bool:
        """Return whether there is a section of this key, empty or not."""
        return key in SECTIONS

    def document(self, key: str) -> Document | None:
        """Return a document by its key."""
        return self._by_key.get(key)

    def instance(self, key: str) -> Instance | None:
        """Return the DICOM object whose document has this key; None if there is none."""
        return self._instances.get(key)

    @cached_property
    def all_documents(self) -> tuple[Document, ...]:
        """The documents of all sections."""
        images = (
            one.document for study in self.section("imaging").studies for s in study.series for one in s.instances
        )
        return (*self.section("documents").documents, *images)

    # A folder has a page for each object: what was looked through once for each took minutes for thousands.
    @cached_property
    def _by_key(self) -> dict[str, Document]:
        return {one.key: one for one in reversed(self.all_documents)}

    @cached_property
    def _instances(self) -> dict[str, Instance]:
        found = [one for study in self.section("imaging").studies for s in study.series for one in s.instances]
        return {one.document.key: one for one in reversed(found)}

    @property
    def differs(self) -> bool:
        """Whether the records say of different persons that they are about them."""
        names = {" ".join(sorted(one.name.casefold().split())) for one in self.persons if one.name}
        return len(names) > 1 or len({one.born.text for one in self.persons if one.born.text}) > 1


@dataclass
class Gathered:
    """What some records hold, before it is told."""

    found: list[Found] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    images: list[tuple[Item, Document]] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)


def chart(records: Iterable[Item], *, language: str, now: float, told: Told | None = None) -> Chart:
    """Return what some records show.

    Args:
        records: opened ones, numbered from 1.
        language: one of `words.LANGUAGES`; another one gives English.
        now: Unix seconds, by which what is over is told from what isn't.
        told: what whoever opened them was told besides.
    """
    items = tuple(records)
    gathered = gathered_of(items)
    found = with_versions([one for one in gathered.found if is_told(one)])
    references = References(gathered.found)
    sections = _sections(found, references, now, gathered)
    counted = Counter((item.source, item.hospital) for item in items)
    return Chart(
        language=language if language in LANGUAGES else SOURCE,
        now=now,
        sources=tuple(Source(name, address, count) for (name, address), count in sorted(counted.items())),
        persons=_persons(found),
        sections=sections,
        unread=tuple(gathered.unread),
        told=told or Told(),
        records=items,
    )


def gathered_of(items: Iterable[Item]) -> Gathered:
    """Return what some records hold; one that can't be read is named, and costs the others nothing."""
    gathered = Gathered()
    left = MOST_TOGETHER
    for item in items:
        try:
            left -= item.size if item.media_type in FHIR and not item.is_too_large else 0
            if left < 0:
                raise UnreadableError(TOO_MUCH)
            _gather(item, gathered)
        except UnreadableError as exc:
            gathered.unread.append(Unread(item.number, item.source, line(str(exc))))
        except Exception as exc:  # noqa: BLE001  # Whatever a hostile record brings about costs that record only.
            gathered.unread.append(Unread(item.number, item.source, type(exc).__name__))
    return gathered


def _gather(item: Item, gathered: Gathered) -> None:
    if item.media_type in FHIR and not item.is_too_large:
        whole = list(resources(item))
        gathered.found += whole
        return
    document = documents.of_record(item)
    if item.media_type == _DICOM and not item.is_too_large:
        gathered.images.append((item, document))
    else:
        gathered.documents.append(document)


def with_versions(found: list[Found]) -> list[Found]:
    """Return the same with marks on older versions of what stands there several times."""
    same: dict[tuple[str, str, str], list[int]] = {}
    for place, one in enumerate(found):
        if one.name:
            base = one.url.partition(f"/{one.name}")[0] if one.url.startswith("http") else ""
            same.setdefault((one.item.hospital, base, one.name), []).append(place)
    marked = list(found)
    for places in same.values():
        if len(places) > 1:
            stamps = [_stamp(found[place].resource, place) for place in places]
            for place in [places[at] for at in oldest_first(stamps)][:-1]:
                marked[place] = replace(found[place], marks=(*found[place].marks, "superseded"))
    return marked


def _stamp(resource: Resource, place: int) -> tuple[int | None, float | None, tuple[int, ...]]:
    meta = first(resource.get("meta"))
    return rank(word(meta.get("versionId"))), instant(word(meta.get("lastUpdated"))), (place,)


def _sections(found: list[Found], references: References, now: float, gathered: Gathered) -> tuple[Section, ...]:
    entries: dict[str, list[Entry]] = {}
    points: dict[str, list[tuple[str, str, str, Point]]] = {}
    files = list(gathered.documents)
    for one in found:
        if one.kind == "Patient":
            continue
        try:
            _tell(one, references, now, entries, points, files)
        except Exception as exc:  # noqa: BLE001  # As above.
            gathered.unread.append(Unread(one.item.number, one.item.source, type(exc).__name__))
    sections = (
        Section(
            key,
            tuple(_repeated(sorted(entries.get(key, ()), key=_newest))),
            analytes(points.get(key, ())) if key in _MEASURED else (),
            _studies(gathered.images) if key == "imaging" else (),
            tuple(sorted(files, key=_newest)) if key == "documents" else (),
        )
        for key in SECTIONS
    )
    return tuple(one for one in sections if one.count)


def _tell(
    one: Found,
    references: References,
    now: float,
    entries: dict[str, list[Entry]],
    points: dict[str, list[tuple[str, str, str, Point]]],
    files: list[Document],
) -> None:
    """Add what a resource says to what is told."""
    if one.kind == "Observation":
        points.setdefault(section_of(one), []).extend(read_points(one, references, now))
        return
    entry = entry_of(one, references, now)
    made = [documents.of_file(file, entry, one.item, at) for at, file in enumerate(entry.files, 1)]
    files += [document for document in made if document is not None]
    if one.kind != "Binary":
        entries.setdefault(entry.section, []).append(entry)


def _newest(one: Entry | Document) -> tuple[bool, float]:
    return one.when.seconds is None, -(one.when.seconds or 0.0)


def _repeated(entries: Sequence[Entry]) -> list[Entry]:
    """Mark what several resources say in the same words of the same moment."""

    def key(one: Entry) -> tuple[str, str, str]:
        return one.kind, one.title.casefold(), one.when.text

    seen = Counter(key(one) for one in entries if one.is_fact and one.title)
    return [
        replace(one, marks=(*one.marks, "repeated")) if one.is_fact and seen[key(one)] > 1 and one.title else one
        for one in entries
    ]


def _persons(found: list[Found]) -> tuple[Person, ...]:
    persons = []
    for one in found:
        if one.kind == "Patient" and one.within is None:
            resource = one.resource
            known = [
                " ".join(filter(None, (values.concept(item.get("type")), word(item.get("value")))))
                for item in objects(resource.get("identifier"))
            ]
            kind, died = values.chosen(resource, "deceased")
            persons.append(
                Person(
                    name=values.person(_official(resource)),
                    born=moment(resource.get("birthDate")) if resource.get("birthDate") else NEVER,
                    sex=values.code(resource.get("gender")),
                    died="" if kind == "Boolean" and not values.is_true(died) else word(died),
                    identifiers=tuple(filter(None, known[:8])),
                    source=one.item.source,
                )
            )
    return tuple(dict.fromkeys(persons))


def _official(resource: Resource) -> Any:
    names = list(objects(resource.get("name")))
    return next((one for one in names if one.get("use") == "official"), names[:1])


def _studies(
    images: list[tuple[Item, Document]], describe: Callable[[bytes], DicomHeader] = described
) -> tuple[Study, ...]:
    """Return DICOM objects as a tree of studies and series."""
    tree: dict[tuple[str, str], dict[str, list[Instance]]] = {}
    for item, document in images:
        try:
            header = describe(item.content)
        except UnreadableError as exc:
            header = DicomHeader(error=line(str(exc)))
        tree.setdefault((item.source, header.study), {}).setdefault(header.series, []).append(
            Instance(header, document)
        )
    studies = []
    for (source, _), series in tree.items():
        head = next(iter(series.values()))[0].header
        made = [_series(some) for some in series.values()]
        studies.append(
            Study(
                head.study_name,
                head.study_date,
                source,
                tuple(sorted(made, key=lambda one: _place(one.instances[0].header.series_number))),
            )
        )
    return tuple(sorted(studies, key=lambda one: (one.when.seconds is None, -(one.when.seconds or 0.0))))


def _series(instances: list[Instance]) -> ImageSeries:
    head = instances[0].header
    title = " · ".join(filter(None, (head.series_number, head.series_name, head.body_part)))
    return ImageSeries(title, head.modality, tuple(sorted(instances, key=lambda one: _place(one.header.number))))


def _place(number: str) -> tuple[int, str]:
    return (int(number), "") if number.isdigit() and len(number) < 10 else (1 << 30, number)
