"""FHIR: resources of records of any version as entries that say what is so, what isn't, and what nobody said.

A resource with a modifier extension, a refuted one, one that wasn't done or that was entered in error never counts as a
fact. References lead to what the same hospital published, nowhere else. Whatever is malformed gives less text, never an
error. Follows FHIR R4, sections 2.6.5 (modifier elements), 2.4 (extensions) and Bundle.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from panachain.viewer import values
from panachain.viewer.fhir_xml import resource_of
from panachain.viewer.items import Item, UnreadableError
from panachain.viewer.kinds import DENIED, HELPERS, KINDS, OTHER, Kind
from panachain.viewer.moments import NEVER, Moment, moment
from panachain.viewer.safe import markup
from panachain.viewer.values import Resource, first, is_true, many, objects, word
from panachain.viewer.words import N_

MOST_FACTS: Final = 20_000
"""Characters of one fact."""
_MOST_RESOURCES: Final = 200_000
_MOST_DEPTH: Final = 40
_NEGATED: Final = {
    "entered-in-error": "in_error",
    "refuted": "refuted",
    "not-done": "not_done",
    "not-taken": "not_taken",
    "cancelled": "cancelled",
    "rejected": "cancelled",
    "noshow": "not_done",
    "nullified": "in_error",
}
_FLAGS: Final = {
    "doNotPerform": "forbidden",
    "notGiven": "not_done",
    "wasNotGiven": "not_done",
    "notPerformed": "not_done",
    "notDone": "not_done",
    "wasNotTaken": "not_taken",
    "prohibited": "forbidden",
}
"""Elements that turn a resource into its opposite, of all versions."""
_UNSURE: Final = {
    "unconfirmed": "unconfirmed",
    "provisional": "unconfirmed",
    "differential": "unconfirmed",
    "draft": "planned",
    "proposed": "planned",
    "planned": "planned",
    "preparation": "planned",
    "intended": "planned",
}
_GONE: Final = frozenset(
    {"inactive", "resolved", "remission", "completed", "stopped", "revoked", "finished", "ended", "expired"}
)
_HERE: Final = frozenset({"active", "recurrence", "relapse", "on-hold", "in-progress", "intended", "booked", "current"})


@dataclass(frozen=True)
class Fact:
    """Something that an entry says."""

    label: str
    """To be translated."""
    value: str
    when: Moment = NEVER
    """The value as a moment, where it is one."""


@dataclass(frozen=True)
class File:
    """A file that stands in a resource."""

    media_type: str
    title: str
    content: bytes = field(repr=False)
    is_elsewhere: bool = False
    """Whether only an address of it is there; nothing is fetched."""


@dataclass(frozen=True)
class Entry:
    """What one resource says."""

    section: str
    kind: str
    """Type of the resource."""
    title: str
    """What it is; empty where it doesn't say so."""
    codes: str
    when: Moment
    until: Moment
    state: str
    """As it was written."""
    group: str
    """`current`, `past`, `unsure` or `not`."""
    facts: tuple[Fact, ...]
    marks: tuple[str, ...]
    """Of `kinds.MARKS`."""
    source: str
    """What its hospital is called."""
    resource: str
    """Type and id."""
    record: int
    """Number of the record that it stands in."""
    narrative: str = ""
    """Safe in a page."""
    files: tuple[File, ...] = ()

    @property
    def is_fact(self) -> bool:
        """Whether it says that something is so."""
        return DENIED.isdisjoint(self.marks)


@dataclass(frozen=True)
class Found:
    """A resource where it stands."""

    resource: Resource = field(repr=False)
    item: Item = field(repr=False)
    url: str = ""
    """`fullUrl` of its entry."""
    marks: tuple[str, ...] = ()
    """What is known of it from outside: a container that isn't so, a deletion."""
    within: Resource | None = field(default=None, repr=False)
    """The resource that contains it."""
    is_plain: bool = False
    """Whether its record is known to hold no modifier extension."""

    @cached_property
    def kind(self) -> str:
        """Its type."""
        return word(self.resource.get("resourceType"))[:64]

    @cached_property
    def name(self) -> str:
        """Type and id; empty where it has none."""
        own = word(self.resource.get("id"))[:64]
        return f"{self.kind}/{own}" if own and self.within is None else ""


def resources(item: Item) -> Iterator[Found]:
    """Yield the resources of a record, those in Bundles in Bundles and contained ones too.

    Raises:
        UnreadableError: it can't be read, or holds more than is looked at.
    """
    count, content = 0, item.content
    # A name may be written with escapes.
    is_plain = b"modifierExtension" not in content and b"\\" not in content
    for root in _roots(item, content):
        for found in _inside(root, item, "", (), 0):
            count += 1
            if count > _MOST_RESOURCES:
                raise UnreadableError(N_("it holds more resources than are looked at"))
            yield replace(found, is_plain=True) if is_plain else found


def _roots(item: Item, content: bytes) -> Iterator[Any]:
    if item.media_type == "application/fhir+xml":
        yield resource_of(content)
    elif item.media_type == "application/fhir+ndjson":
        for one in content.splitlines():
            if one.strip():
                yield values.parsed(one)
    else:
        yield values.parsed(content)


def _inside(value: Any, item: Item, url: str, marks: tuple[str, ...], depth: int) -> Iterator[Found]:
    if not isinstance(value, dict) or depth > _MOST_DEPTH:
        return
    if value.get("resourceType") == "Bundle":
        for entry in objects(value.get("entry")):
            deleted = word(first(entry.get("request")).get("method")).upper() == "DELETE"
            more = (*marks, "deleted") if deleted else marks
            resource, place = entry.get("resource"), word(entry.get("fullUrl"))
            if resource is None and deleted:
                kind, _, name = word(first(entry.get("request")).get("url")).partition("/")
                resource = {"resourceType": kind, "id": name}
            yield from _inside(resource, item, place, more, depth + 1)
        return
    found = Found(value, item, url, marks)
    yield found
    held = list(objects(value.get("contained")))
    denied = tuple(mark for mark in marks_of(found) if mark in DENIED) if held else ()
    for one in held:
        # Contained ones have no life of their own: what isn't so outside isn't so inside.
        yield Found(one, item, url, (*denied, "contained"), value)


def marks_of(found: Found) -> tuple[str, ...]:
    """Return what keeps a resource from being a fact as it stands, or makes it less than one."""
    resource, marks = found.resource, list(found.marks)
    for name in ("status", "verificationStatus", "clinicalStatus", "docStatus"):
        state = values.code(resource.get(name)).lower()
        marks += [table[state] for table in (_NEGATED, _UNSURE) if state in table]
    marks += [mark for name, mark in _FLAGS.items() if is_true(resource.get(name))]
    if resource.get("taken") == "n":
        marks.append("not_taken")
    if found.kind.endswith(("Request", "Order")) and values.code(resource.get("intent")) in (
        "proposal",
        "plan",
        "option",
    ):
        marks.append("planned")
    if values.code(resource.get("status")).lower() in ("preliminary", "registered", "partial"):
        marks.append("preliminary")
    if values.code(resource.get("status")).lower() in ("corrected", "amended", "appended"):
        marks.append("corrected")
    if word(resource.get("implicitRules")) or (not found.is_plain and _is_modified(resource, 0)):
        marks.append("modified")
    state = found.item.states.get(found.name, "")
    if state and state != "current":
        marks.append(state)
    return tuple(dict.fromkeys(marks))


def _is_modified(value: Any, depth: int) -> bool:
    if depth > _MOST_DEPTH:
        return True
    if isinstance(value, dict):
        if value.get("modifierExtension"):
            return True
        inner = (one for key, one in value.items() if isinstance(one, dict | list) and key != "contained")
        return any(_is_modified(one, depth + 1) for one in inner)
    return any(_is_modified(one, depth + 1) for one in value if isinstance(one, dict | list))


class References:
    """Leads from references to the resources that the same hospital published."""

    def __init__(self, found: list[Found]) -> None:
        """Take all resources."""
        self._known: dict[tuple[str, str], Found] = {}
        for one in found:
            for name in {one.url, one.name} - {""}:
                self._known.setdefault((one.item.hospital, name), one)

    def name(self, value: Any, found: Found) -> str:
        """Return what a reference is called: what it says itself, or what it leads to."""
        told = []
        for one in many(value):
            if not isinstance(one, dict):
                told.append(word(one))
                continue
            own = word(one.get("display")) or values.concept(one) if "reference" in one or "display" in one else ""
            told.append(own or self._led(word(one.get("reference")), found) or values.concept(one.get("concept")))
        return ", ".join(dict.fromkeys(filter(None, told)))

    def _led(self, reference: str, found: Found) -> str:
        if reference.startswith("#"):
            holder = found.within if found.within is not None else found.resource
            inner = next((one for one in objects(holder.get("contained")) if one.get("id") == reference[1:]), None)
            return title_of(inner) if inner is not None else ""
        led = self._known.get((found.item.hospital, reference)) or self._known.get(
            (found.item.hospital, "/".join(reference.split("/")[-2:]))
        )
        return title_of(led.resource) if led is not None else ""


def title_of(resource: Resource) -> str:
    """Return what a resource is called by itself."""
    named = values.person(resource.get("name")) or values.concept(resource.get("code")) or word(resource.get("title"))
    return named or values.concept(resource.get("type"))


def entry_of(found: Found, references: References, now: float) -> Entry:
    """Return what a resource says."""
    resource, kind = found.resource, KINDS.get(found.kind, OTHER)
    when = next((one for path in kind.when for one in _moments(resource, path)), NEVER)
    until = next((one for path in kind.until for one in _moments(resource, path)), NEVER)
    state = _state(resource)
    marks = [*marks_of(found), *_timing(when, now, kind)]
    group = _group(found, kind, state, marks, until, now)
    paths = (resource_value for path in kind.what for resource_value in [_told(resource, path, references, found)])
    title = next(filter(None, paths), "")
    what = next((values.named_codes(resource.get(path)) for path in kind.what if resource.get(path)), "")
    facts = [Fact(label, *_told_or_when(resource, path, references, found)) for label, path in kind.facts]
    narrative = narrative_of(resource) if kind.has_narrative or "modified" in marks or not title else ""
    return Entry(
        section=kind.section,
        kind=found.kind,
        title=title,
        codes=what,
        when=when,
        until=until,
        state=state,
        group=group,
        facts=tuple(fact for fact in facts if fact.value and fact.value != title),
        marks=tuple(dict.fromkeys(marks)),
        source=found.item.source,
        resource=found.name or found.kind,
        record=found.item.number,
        narrative=narrative,
        files=tuple(files_in(resource)),
    )


def _timing(when: Moment, now: float, kind: Kind) -> list[str]:
    if not kind.when:
        return []
    if when.seconds is None:
        return ["bad_date"] if when.text else ["no_date"]
    # A day of slack: days have no zone.
    return ["future"] if when.seconds > now + 86_400 and kind.section != "plans" else []


def timing(when: Moment, now: float) -> list[str]:
    """Return how something that has a date is marked by it."""
    return _timing(when, now, OTHER)


def _state(resource: Resource) -> str:
    told = (values.code(resource.get(name)) for name in ("clinicalStatus", "status", "docStatus", "verificationStatus"))
    return next(filter(None, told), "")


def _group(found: Found, kind: Kind, state: str, marks: list[str], until: Moment, now: float) -> str:
    if not DENIED.isdisjoint(marks):
        return "not"
    if {"unconfirmed", "planned"} & set(marks):
        return "unsure"
    if kind.section not in ("medications", "conditions", "allergies", "plans", "insurance"):
        return "current"
    state = state.lower()
    over = until.seconds is not None and until.seconds < now
    if state in _GONE or (state not in _HERE and (over or is_true(found.resource.get("abatementBoolean")))):
        return "past"
    if found.kind in ("MedicationAdministration", "MedicationDispense", "Claim", "ExplanationOfBenefit"):
        return "past"
    if over and kind.section != "insurance":
        marks.append("ended")
        return "past" if kind.section == "medications" else "current"
    if over:
        return "past"
    if state not in _HERE and kind.section != "allergies":
        marks.append("no_state")
    return "current"


def _at(value: Any, path: str) -> Iterator[Any]:
    """Yield what stands at a path, through lists."""
    name, _, rest = path.partition(".")
    for one in objects(value):
        for inner in many(one.get(name)):
            if rest:
                yield from _at(inner, rest)
            else:
                yield inner


def _moments(resource: Resource, path: str) -> Iterator[Moment]:
    for one in _at(resource, path):
        if isinstance(one, str) and one:
            yield moment(one)
        elif isinstance(one, dict) and word(one.get("start")):
            yield moment(one["start"])


def _told_or_when(resource: Resource, paths: str, references: References, found: Found) -> tuple[str, Moment]:
    told = _told(resource, paths, references, found)
    when = moment(told) if told[:4].isdigit() and "-" in told else NEVER
    return told, when if when.is_known else NEVER


def _told(resource: Resource, paths: str, references: References, found: Found) -> str:
    """Return what stands at the first of some paths that says something."""
    for path in paths.split("|"):
        told = [_shown(one, references, found) for one in _at(resource, path)]
        joined = ", ".join(dict.fromkeys(filter(None, told)))
        if joined:
            return joined[:MOST_FACTS]
    return ""


def _shown(value: Any, references: References, found: Found) -> str:
    if not isinstance(value, dict):
        return values.text(value) if isinstance(value, str) else word(value)
    if "reference" in value or "display" in value:
        return references.name(value, found)
    if "coding" in value or ("system" in value and "code" in value and "value" not in value):
        return values.concept(value)
    if "family" in value or "given" in value:
        return values.person(value)
    if "start" in value or "end" in value:
        return values.period(value)
    if "low" in value or "high" in value:
        return values.ranged(value)
    if "numerator" in value:
        return values.ratio(value)
    if "value" in value:
        return " ".join(filter(None, (values.quantity(value), word(value.get("currency")))))
    if "concept" in value:
        return values.concept(value)
    if "doseAndRate" in value or "doseQuantity" in value or "timing" in value:
        return _dose(value)
    return word(value.get("text")) or values.concept(value) or word(value.get("name"))


def _dose(value: Resource) -> str:
    rates: list[Resource] = [*objects(value.get("doseAndRate"))] or [value]
    parts = [values.said(*values.chosen(one, "dose")) for one in rates]
    timing = first(value.get("timing"))
    repeat = first(timing.get("repeat"))
    often = [word(repeat.get(name)) for name in ("frequency", "period", "periodUnit")]
    parts += [values.concept(timing.get("code")), f"{often[0]} × / {often[1]} {often[2]}" if all(often) else ""]
    parts += [values.concept(value.get("route")), "p. r. n." if is_true(value.get("asNeededBoolean")) else ""]
    return ", ".join(filter(None, parts))


def narrative_of(resource: Resource) -> str:
    """Return the narrative of a resource and of its sections, safe in a page."""
    parts = []
    div = first(resource.get("text")).get("div")
    if isinstance(div, str):
        parts.append(markup(div))
    parts += _sections(resource, 0)
    return "".join(parts)


def _sections(resource: Resource, depth: int) -> Iterator[str]:
    for one in list(objects(resource.get("section")))[:500] if depth < 8 else ():
        title, div = word(one.get("title")), first(one.get("text")).get("div")
        if title:
            yield f'<p class="v-heading">{markup(_escaped(title))}</p>'
        if isinstance(div, str):
            yield markup(div)
        yield from _sections(one, depth + 1)


def _escaped(told: str) -> str:
    return told.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def files_in(resource: Resource) -> Iterator[File]:
    """Yield the files that stand in a resource; of those elsewhere that they are."""
    if resource.get("resourceType") == "Binary":
        content = _decoded(resource.get("data") or resource.get("content"))
        if content:
            yield File(word(resource.get("contentType")).lower(), "", content)
        return
    yield from _files(resource, 0)


def _files(value: Any, depth: int) -> Iterator[File]:
    if depth > _MOST_DEPTH:
        return
    if isinstance(value, Mapping):
        if "contentType" in value and ("data" in value or "url" in value):
            content = _decoded(value.get("data"))
            kind, title = word(value.get("contentType")).lower()[:100], word(value.get("title"))
            if content or word(value.get("url")):
                yield File(kind, title, content, is_elsewhere=not content)
            return
        for key, one in value.items():
            if key not in ("contained", "extension", "modifierExtension"):
                yield from _files(one, depth + 1)
    elif isinstance(value, list):
        for one in value:
            yield from _files(one, depth + 1)


def _decoded(data: Any) -> bytes:
    if not isinstance(data, str):
        return b""
    try:
        return b64decode("".join(data.split()))
    except (Base64Error, ValueError):
        return b""


_HELPED: Final = HELPERS
"""Types that are told only where they stand by themselves."""


def is_told(found: Found) -> bool:
    """Tell whether a resource is shown by itself, not only where others refer to it."""
    return found.within is None or found.kind not in _HELPED
