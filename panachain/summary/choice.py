"""Which resources a summary holds: what is a fact now, by section, and of what is there twice one that says all of it.

The viewer says what is a fact, what is current and which version counts (`viewer/fhir.py`): there is no second list.
Two resources become one only if they say the same: one has every element of the other, with the same codes, dates and
values. Everything else stays beside each other, each with its source. Follows docs/spec/summary.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from panachain.model.scope import Category
from panachain.plain import line
from panachain.records.fhir_codes import BLOOD_GROUP
from panachain.summary import elements
from panachain.summary.elements import ABSENT, ABSENT_CONCEPT, Made
from panachain.viewer import values
from panachain.viewer.chart import Gathered, Unread, with_versions
from panachain.viewer.fhir import Entry, Found, References, entry_of, is_told
from panachain.viewer.observations import read_points, section_of
from panachain.viewer.values import first, objects, word

MOST: Final = 500
"""Entries of one section; of more the newest stay, and how many others there are is said."""
_MOST_COMPARED: Final = 50
"""Of so many resources of one code and date each is compared with each; of more only those that are alike go."""
_LOINC: Final = "http://loinc.org"


@dataclass(frozen=True)
class Part:
    """A section of the summary, and what may stand in it."""

    key: str
    title: str
    code: str
    """LOINC (IPS 2.0.0, Composition)."""
    display: str
    category: Category
    """Where its resources lie: who may not read all of it is told so."""
    kinds: tuple[str, ...]
    """Types of R4 that are entries."""
    also: tuple[str, ...] = ()
    """Types that are told in words alone: R4 has no such entry."""
    groups: tuple[str, ...] = ("current",)
    """What the viewer calls what belongs here."""
    is_required: bool = False
    newest_only: bool = False
    """Whether of each code the newest is enough."""


PARTS: Final = (
    Part(
        "allergies", "Allergies and Intolerances", "48765-2", "Allergies and adverse reactions Document",
        Category.ALLERGIES, ("AllergyIntolerance",), groups=("current", "unsure"), is_required=True,
    ),
    Part(
        "medications", "Medication Summary", "10160-0", "History of Medication use Narrative",
        Category.MEDICATIONS, ("MedicationStatement", "MedicationRequest"),
        ("MedicationUsage", "MedicationOrder", "MedicationPrescription"), is_required=True,
    ),
    Part(
        "problems", "Problem List", "11450-4", "Problem list - Reported",
        Category.CONDITIONS, ("Condition",), groups=("current", "unsure"), is_required=True,
    ),
    Part(
        "immunizations", "Immunizations", "11369-6", "History of Immunization Narrative",
        Category.IMMUNIZATIONS, ("Immunization",),
    ),
    Part(
        "results", "Results", "30954-2", "Relevant diagnostic tests/laboratory data Narrative",
        Category.LABORATORY, ("Observation",), newest_only=True,
    ),
    Part(
        "procedures", "History of Procedures", "47519-4", "History of Procedures Document",
        Category.PROCEDURES, ("Procedure",), newest_only=True,
    ),
    Part(
        "devices", "Medical Devices", "46264-8", "History of medical device use",
        Category.PROCEDURES, ("DeviceUseStatement", "Device"), ("DeviceUsage",),
    ),
)  # fmt: skip
"""Sections in the order of the document: the three that are required, and four that are recommended."""
_BY_KIND: Final = {kind: part for part in PARTS for kind in (*part.kinds, *part.also)}


@dataclass(frozen=True)
class Row:
    """What a section says of one resource, for people."""

    what: str
    when: str
    facts: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(eq=False)
class Chosen:
    """A resource that is in the summary, or a thing that is told in words alone."""

    part: Part
    made: Made | None
    """As R4; None where it can't be one."""
    row: Row
    found: Found = field(repr=False)
    moment: float
    """Unix seconds, for order; the end of all times before for what has no date."""
    records: list[int]
    """Numbers of the records that say it."""
    target: Found | None = field(default=None, repr=False)
    """The Medication or Device that it refers to."""


@dataclass
class Choice:
    """What a summary is made of."""

    chosen: dict[str, list[Chosen]]
    """By key of the section, newest first."""
    persons: list[Found]
    """What says whom it is about."""
    relatives: list[Found]
    merged: int = 0
    """Resources that said what another one says, and are one with it."""
    older: dict[str, int] = field(default_factory=dict)
    """How many older ones a section leaves out, by its key."""
    unread: list[Unread] = field(default_factory=list)


def choose(gathered: Gathered, now: float) -> Choice:
    """Return what belongs into a summary.

    Args:
        gathered: what the records hold.
        now: Unix seconds, by which what is over is told from what isn't.
    """
    references, known = References(gathered.found), _Known(gathered.found)
    choice = Choice({part.key: [] for part in PARTS}, [], [], unread=list(gathered.unread))
    used: set[int] = set()
    told = with_versions([one for one in gathered.found if is_told(one)])
    for one in told:
        if one.kind == "DeviceUseStatement" and (device := known.led(one, "device")) is not None:
            used.add(id(device.resource))
    for one in told:
        if one.kind == "Device" and id(one.resource) in used:
            continue
        try:
            _take(one, references, known, now, choice)
        except Exception as exc:  # noqa: BLE001  # Whatever a hostile resource brings about costs that resource only.
            choice.unread.append(Unread(one.item.number, one.item.source, line(type(exc).__name__)))
    for part in PARTS:
        _settle(part, choice)
    return choice


def _take(one: Found, references: References, known: _Known, now: float, choice: Choice) -> None:
    if one.within is not None:
        return
    if one.kind in ("Patient", "RelatedPerson"):
        if entry_of(one, references, now).is_fact:
            (choice.persons if one.kind == "Patient" else choice.relatives).append(one)
        return
    part = _BY_KIND.get(one.kind)
    if part is None:
        return
    chosen = (
        _observed(one, part, references, now) if one.kind == "Observation" else _said(one, part, references, known, now)
    )
    if chosen is not None:
        choice.chosen[part.key].append(chosen)


def _observed(one: Found, part: Part, references: References, now: float) -> Chosen | None:
    own = {code for system, code in values.codes(one.resource.get("code")) if system in (_LOINC, "")}
    if section_of(one) != "laboratory" and own.isdisjoint(BLOOD_GROUP):
        return None
    points = list(read_points(one, references, now))
    facts = [(title, point) for _, title, _, point in points if point.is_fact and "absent" not in point.marks]
    if not facts:
        return None
    head = facts[0][1]
    said = [" ".join(filter(None, (point.value, point.unit))) for _, point in facts]
    told = said if len(facts) == 1 else [f"{title}: {value}" for (title, _), value in zip(facts, said, strict=True)]
    row = Row(
        values.concept(one.resource.get("code")), head.when.text, (*told, *_marked(head.marks)), (one.item.source,)
    )
    return Chosen(part, _complete(one, None), row, one, _order(head.when.seconds), [one.item.number])


def _said(one: Found, part: Part, references: References, known: _Known, now: float) -> Chosen | None:
    entry = entry_of(one, references, now)
    if entry.group not in part.groups or not entry.is_fact:
        return None
    target = known.led(one, "device" if one.kind == "DeviceUseStatement" else "medicationReference")
    facts = tuple(f"{fact.label}: {fact.value}" for fact in entry.facts)
    title = entry.title or (values.concept(first(target.resource).get("code")) if target is not None else "")
    row = Row(title, entry.when.text, (*facts, *_marked(entry.marks), *_over(entry)), (one.item.source,))
    made = _complete(one, target) if one.kind in part.kinds else None
    return Chosen(part, made, row, one, _order(entry.when.seconds), [one.item.number], target)


def _marked(marks: Iterable[str]) -> tuple[str, ...]:
    words = {"unconfirmed": "not confirmed", "preliminary": "preliminary", "corrected": "corrected"}
    words |= {"no_state": "nobody says whether it still holds", "planned": "only planned"}
    return tuple(words[mark] for mark in marks if mark in words)


def _over(entry: Entry) -> tuple[str, ...]:
    return (f"called active, although it ended {entry.until.text}",) if "ended" in entry.marks else ()


def _order(seconds: float | None) -> float:
    return seconds if seconds is not None else float("-inf")


def _complete(one: Found, target: Found | None) -> Made | None:
    """Return a resource as R4, with a word where something required wasn't recorded; None if it can't be R4."""
    made = elements.carried(one.kind, one.resource)
    filled = _FILLED[one.kind](made, one, target)
    return made if filled else None


def _allergy(made: Made, one: Found, _: Found | None) -> bool:
    if "code" not in made:
        reaction = first(made.get("reaction"))
        told = elements.concept(one.resource.get("substance")) or reaction.get("substance")
        made["code"] = told or ABSENT_CONCEPT
    return True


def _condition(made: Made, one: Found, _: Found | None) -> bool:
    made.setdefault("code", ABSENT_CONCEPT)
    return True


def _medicine(made: Made, one: Found, target: Found | None) -> bool:
    if target is not None:
        made.pop("medicationCodeableConcept", None)
    elif "medicationCodeableConcept" not in made:
        told = word(first(one.resource.get("medicationReference")).get("display"))
        made["medicationCodeableConcept"] = {"text": told} if told else ABSENT_CONCEPT
    if one.kind == "MedicationRequest":
        return "status" in made and "intent" in made
    if not {"effectiveDateTime", "effectivePeriod"} & made.keys():
        made["_effectiveDateTime"] = ABSENT
    return "status" in made


def _vaccine(made: Made, one: Found, _: Found | None) -> bool:
    made.setdefault("vaccineCode", ABSENT_CONCEPT)
    if not {"occurrenceDateTime", "occurrenceString"} & made.keys():
        # R4 requires one of both, and readers that know of no value but a value refuse the extension here.
        made["occurrenceString"] = "unknown"
    return "status" in made


def _procedure(made: Made, one: Found, _: Found | None) -> bool:
    made.setdefault("code", ABSENT_CONCEPT)
    if not any(key.startswith("performed") for key in made):
        made["_performedDateTime"] = ABSENT
    return "status" in made


def _observation(made: Made, one: Found, _: Found | None) -> bool:
    if not {"effectiveDateTime", "effectivePeriod"} & made.keys():
        made["_effectiveDateTime"] = ABSENT
    # Whoever measured it isn't carried: a summary names hospitals, and the record itself names people.
    made["performer"] = [dict(ABSENT)]
    return "status" in made and "code" in made


def _device_use(made: Made, one: Found, target: Found | None) -> bool:
    if not {"timingPeriod", "timingDateTime"} & made.keys():
        made["_timingDateTime"] = ABSENT
    return "status" in made and target is not None


def _device(made: Made, one: Found, _: Found | None) -> bool:
    return True


_FILLED: Final[Mapping[str, Callable[[Made, Found, Found | None], bool]]] = {
    "AllergyIntolerance": _allergy,
    "Condition": _condition,
    "MedicationStatement": _medicine,
    "MedicationRequest": _medicine,
    "Immunization": _vaccine,
    "Procedure": _procedure,
    "Observation": _observation,
    "DeviceUseStatement": _device_use,
    "Device": _device,
}
"""By type: puts what is required where it is missing, and tells whether it is R4 now."""


class _Known:
    """Resources by the names that others of the same hospital refer to them with."""

    def __init__(self, found: Sequence[Found]) -> None:
        self._known: dict[tuple[str, str], Found] = {}
        for one in found:
            if one.kind in ("Medication", "Device"):
                for name in {one.url, one.name} - {""}:
                    self._known.setdefault((one.item.hospital, name), one)

    def led(self, found: Found, name: str) -> Found | None:
        """Return what a reference leads to."""
        reference = word(first(found.resource.get(name)).get("reference"))
        if reference.startswith("#"):
            inner = (one for one in objects(found.resource.get("contained")) if one.get("id") == reference[1:])
            resource = next(inner, None)
            made = Found(resource, found.item, within=found.resource) if resource is not None else None
            return made if made is not None and made.kind in ("Medication", "Device") else None
        return self._known.get((found.item.hospital, reference)) or self._known.get(
            (found.item.hospital, "/".join(reference.split("/")[-2:]))
        )


def _settle(part: Part, choice: Choice) -> None:
    """Make one of what is there twice, and leave what is enough."""
    mine = sorted(choice.chosen[part.key], key=lambda one: -one.moment)
    kept = _once(mine)
    choice.merged += len(mine) - len(kept)
    if part.newest_only:
        newest: dict[str, Chosen] = {}
        for one in kept:
            newest.setdefault(elements.same_code(one.found.resource.get("code")) or f"record {id(one)}", one)
        choice.older[part.key] = len(kept) - len(newest)
        kept = list(newest.values())
    if len(kept) > MOST:
        choice.older[part.key] = choice.older.get(part.key, 0) + len(kept) - MOST
        kept = kept[:MOST]
    choice.chosen[part.key] = kept


def _once(mine: Sequence[Chosen]) -> list[Chosen]:
    groups: dict[tuple[str, str, str], list[tuple[Any, Chosen]]] = {}
    kept: list[Chosen] = []
    for one in mine:
        if one.made is None:
            kept.append(one)
            continue
        meaning = _meaning({**one.made, "target": _target(one.target)})
        same = groups.setdefault((one.found.kind, _code_of(one), one.row.when), [])
        for place, (other, holder) in enumerate(same[:_MOST_COMPARED]):
            if _within(meaning, other):
                _merge(holder, one)
                break
            if _within(other, meaning):
                _merge(one, holder)
                kept[kept.index(holder)] = one
                same[place] = (meaning, one)
                break
        else:
            same.append((meaning, one))
            kept.append(one)
    return kept


def _code_of(one: Chosen) -> str:
    made = one.made or {}
    named = next(
        (made[key] for key in ("code", "medicationCodeableConcept", "vaccineCode", "type") if key in made), None
    )
    return elements.same_code(named) or _target(one.target)


def _target(target: Found | None) -> str:
    if target is None:
        return ""
    return elements.same_code(target.resource.get("code") or target.resource.get("type")) or word(
        target.resource.get("id")
    )


def _merge(holder: Chosen, gone: Chosen) -> None:
    """Keep where it came from."""
    holder.records = list(dict.fromkeys([*holder.records, *gone.records]))
    sources = tuple(dict.fromkeys([*holder.row.sources, *gone.row.sources]))
    holder.row = Row(holder.row.what, holder.row.when, holder.row.facts, sources)


def _meaning(value: Any) -> Any:
    """Return a value without what only words it: the names beside codes, and texts beside codings."""
    if isinstance(value, dict):
        if "coding" in value:
            return elements.same_code(value)
        return {key: _meaning(one) for key, one in value.items()}
    return [_meaning(one) for one in value] if isinstance(value, list) else value


def _within(one: Any, other: Any) -> bool:
    """Tell whether every element of one stands in the other as well, with the same value."""
    return all(key in other and other[key] == value for key, value in one.items())
