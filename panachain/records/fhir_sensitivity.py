"""What a FHIR resource says that is sensitive: its labels, codes, displays and texts, and why.

Looks at one resource; what other resources of a source say of it is `split.py`'s affair. Codes count in their own
system; a mere context, such as the subject or the performer, closes nothing by its name.
Follows FHIR R4 (Coding, CodeableConcept, Reference, Security Labels) and HL7 v3 ActCode.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import cache
from re import compile as regex
from typing import Any, Final

from panachain.model.scope import RESTRICTED, Category
from panachain.records.fhir_references import CONTEXT
from panachain.records.sensitivity import Finding, Matcher, category_of_kinds, matcher_of
from panachain.records.sensitivity.matcher import NUMBER
from panachain.records.sensitivity.systems import canonical_system
from panachain.records.sensitivity.tables import rows
from panachain.records.texts import findings_in, text_of

_TEXTS: Final = frozenset(
    {
        *("display", "text", "title", "subtitle", "label", "name", "alias", "description", "summary", "conclusion"),
        *(
            "comment",
            "comments",
            "note",
            "notes",
            "detail",
            "reason",
            "statusReason",
            "rationale",
            "mitigation",
            "basis",
        ),
        *("contentString", "valueString", "valueMarkdown", "answerString", "initialString", "defaultValueString"),
        *("onsetString", "abatementString", "occurrenceString", "performedString", "scheduledString", "detailString"),
        *("basis", "deceasedString", "ageString", "reasonString", "outcomeDesc", "overrideReason", "cancelledReason"),
        *("instruction", "instructions", "instructionMarkdown", "patientInstruction", "usageInstruction", "usage"),
        *("renderedDosageInstruction", "administrationInstruction", "preparationInstruction", "textEquivalent"),
        *("deviceName", "displayName", "productName", "programName", "brand", "synonym", "model", "intendedUse"),
        *("groupDisplay", "planDisplay", "subPlanDisplay", "classDisplay", "plan", "disposition", "series"),
        *("prognosis", "diagnostics", "indication", "extraDetails", "narrative"),
        "div",
    }
)
"""Members of type string, markdown or xhtml in which somebody wrote freely: those of FHIR R5, R4, STU3 and DSTU2 that
stand in what hospitals keep of patients. Addresses and the parts of a person's name aren't."""
_WRITTEN: Final = _TEXTS - {"display", "text"}
"""Those that stand by themselves; the others belong to the coding or reference beside which they stand."""
_CALLED: Final = frozenset({"name", "alias", "description"})
_PLACES: Final = frozenset({"Organization", "Location", "HealthcareService", "Endpoint"})
_CONTENTS: Final = frozenset({"data", "content"})
"""Members of an Attachment or a Binary that hold a file in base64, beside its contentType."""
_FILE: Final = b'contentType":'
_VALUED: Final = frozenset({"code", "linkId", "questionnaire"})
"""Members beside them whose values may tell something."""


def _any_of(tails: Mapping[str, str]) -> str:
    """Return a pattern of any of some words, each with what follows it, that looks at each letter once."""
    after: dict[str, dict[str, str]] = {}
    for word, tail in tails.items():
        if word:
            after.setdefault(word[0], {})[word[1:]] = tail
    branches = [letter + _any_of(rest) for letter, rest in sorted(after.items())]
    branches += [tails[""]] if "" in tails else []
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


def _tokens() -> str:
    tails = dict.fromkeys(_TEXTS | _VALUED, '":(?:"[^"]*|\\[")')
    tails |= {"security": "", "confidentiality": '":', "valueCoding": '":', "contentType": '":'}
    # Nearly all strings are out by their first letter: each search through a resource counts.
    letters = "".join(sorted({name[0] for name in tails}))
    return f'"((?=[{letters}]){_any_of(tails)})'


_LATER: Final = regex(b"," + _tokens().encode()).findall
_FIRST: Final = regex(rb"\{" + _tokens().encode()).findall
"""Members of JSON without blanks that may tell something, with their values, and members that may be labels or files;
the walk decides. One pattern for members that follow another one, and one for the first: most quotes are a value's."""
_LABEL_TOKENS: Final = frozenset({b"security", b'confidentiality":'})
_TELLING_URL: Final = regex(rb'"url":"[^"]*(?:[?%|\\]|\d(?:-\d|\d{5}|A{29}))')
"""An address in which something may be a code: the signs by which `Matcher.may_tell` looks into one, or an escape."""
_NAMES: Final = frozenset(
    {"subject", "patient", "name", "author", "recorder", "asserter", "practitioner", "beneficiary"}
)
"""Members whose display is a person's name."""
_ADDRESSES: Final = frozenset({"linkId", "questionnaire", "url"})
"""Members whose path or query may name a code: items of questionnaires, searches that a Bundle answers."""
_SPEAKING: Final = frozenset({"code", "display", "text"})
_LABELS: Final = frozenset({"security", "securityLabel"})
_ELSEWHERE: Final = _LABELS | {"meta"}
"""Members that `_labels` looks at."""
_INLINE: Final = b"inline-sec-label"
_NUMBERS: Final = regex(rf'(?m)^([A-Za-z]*":"({NUMBER}))$'.encode()).findall
"""Members, each on a line, whose values are codes that `Matcher.numbers_that_may_tell` knows."""
_MOST_KNOWN: Final = 1 << 15
"""Values that are remembered, of at most so many bytes each."""
_LONGEST_KNOWN: Final = 256
_CONFIDENTIAL: Final = frozenset({"R", "V"})
PLACE: Final = "name of the "
"""How the rule of a finding begins that only the display of a reference to a context tells: a clinic's name."""
UNKNOWN_LABEL: Final = "label"
"""The kind of a sensitivity label that nobody here knows, or of R and V that don't say why."""


def findings(resource: dict[str, Any], compact: bytes | None = None, matcher: Matcher | None = None) -> list[Finding]:
    """Return what makes a resource sensitive; labels first.

    Args:
        resource: as `canonical.read` or `parse` returns it.
        compact: JSON without blanks in which the resource stands; saves most of the work.
        matcher: None takes the default profile's.
    """
    used = matcher or matcher_of()
    labelled = tells = True
    if compact is not None:
        labelled, tells = _may_have(compact, used)
    found = list(_labels(resource)) if labelled else []
    if tells:
        found += _walk(resource, used)
    return list(dict.fromkeys(found))


def tells_nothing(compact: bytes, matcher: Matcher | None = None) -> bool:
    """Tell whether `findings` finds nothing, without looking at a value: says so of most resources, and never wrongly.

    Args:
        compact: JSON without blanks in which the resource stands; decimals may be marked text.
        matcher: None takes the default profile's.
    """
    return not any(_may_have(compact, matcher or matcher_of()))


def _may_have(compact: bytes, matcher: Matcher) -> tuple[bool, bool]:
    """Return whether labels, and whether codes or texts in a resource could tell something: never too seldom."""
    tokens = _LATER(compact) + _FIRST(compact)
    # A search names codes in its query, other addresses in their path.
    names = _TELLING_URL.search(compact) is not None
    if not names and matcher.harmless.issuperset(tokens):
        # Most resources.
        return False, False
    labelled, tells = _may_tell(tokens, compact, matcher)
    return labelled, tells or names


def _may_tell(tokens: list[bytes], compact: bytes, matcher: Matcher) -> tuple[bool, bool]:
    """Return whether labels, and whether codes or texts in a resource could tell something: never too seldom.

    Values that were seen before are remembered.
    """
    unknown = set(tokens) - matcher.harmless
    # JSON without blanks has no line's end.
    numbers = {one: number.decode() for one, number in _NUMBERS(b"\n".join(unknown))}
    if numbers:
        # Codes of which each resource may have other ones.
        tell = matcher.numbers_that_may_tell(numbers.values())
        harmless = [one for one, number in numbers.items() if number not in tell] if tell else numbers
        unknown.difference_update(harmless)
        _remember(matcher.harmless, harmless)
    labelled = not unknown.isdisjoint(_LABEL_TOKENS) or (b'valueCoding":' in unknown and _INLINE in compact)
    return labelled, _FILE in unknown or not all(_is_harmless(one, matcher) for one in unknown)


def _is_harmless(token: bytes, matcher: Matcher) -> bool:
    """Whether a value can't be sensitive in any system."""
    if token in matcher.telling:
        return False
    name, _, value = token.partition(b'":')
    if value == b'["' or b"\\" in value or name == b"div":
        # Of a list only the beginning is seen; escapes hide words, and a value with an escaped quote is cut there.
        # References and tags in a narrative hide words, too; nearly all narratives have such quotes anyway.
        return False
    value = value[1:]
    if not value:
        # Nothing, or a member that may be a label, which is looked at each time.
        return True
    tells = matcher.may_tell(value.decode("utf-8", "replace"))
    if len(token) <= _LONGEST_KNOWN:
        _remember(matcher.telling if tells else matcher.harmless, (token,))
    return not tells


def _remember(kept: set[bytes], tokens: Collection[bytes]) -> None:
    if len(kept) + len(tokens) > _MOST_KNOWN:
        # Most of them won't come again; what does is known again soon.
        kept.clear()
    kept.update(tokens)


def _walk(resource: dict[str, Any], matcher: Matcher) -> Iterator[Finding]:
    stack: list[tuple[str, dict[str, Any]]] = [("", resource)]
    while stack:
        name, item = stack.pop()
        for key, value in item.items():
            if isinstance(value, str):
                if key in _ADDRESSES:
                    yield from matcher.address(value)
                elif key in _WRITTEN:
                    yield from _written(key, value, item, matcher)
                elif key in _CONTENTS and "contentType" in item:
                    yield from findings_in(text_of(file_in(value)) or "", matcher)
            elif isinstance(value, dict):
                if key not in _ELSEWHERE:
                    stack.append((key, value))
            elif isinstance(value, list):
                if key not in _ELSEWHERE:
                    stack += [(key, one) for one in _objects(value)]
                if key in _WRITTEN:
                    for text in value:
                        if isinstance(text, str):
                            yield from _written(key, text, item, matcher)
        if not _SPEAKING.isdisjoint(item):
            yield from _looked(name, item, matcher)


def _written(name: str, text: str, item: dict[str, Any], matcher: Matcher) -> Iterator[Finding]:
    """Yield what somebody wrote; what a place is called is only its name."""
    found = findings_in(text, matcher) if name == "div" else matcher.text(text)
    kind = item.get("resourceType")
    place = name in _CALLED and isinstance(kind, str) and kind in _PLACES
    yield from (replace(one, rule=f"{PLACE}{kind}, {one.rule}") for one in found) if place else found


def file_in(data: str) -> bytes:
    """Return a file that stands in a resource; what isn't base64 (FHIR R4, base64Binary) is the file as it stands."""
    try:
        return b64decode(data)
    except ValueError:
        return data.encode("utf-8", "surrogatepass")


def _objects(values: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list, however deep lists stand in it."""
    for value in values:
        if isinstance(value, dict):
            yield value
        elif isinstance(value, list):
            yield from _objects(value)


def _looked(name: str, item: dict[str, Any], matcher: Matcher) -> Iterator[Finding]:
    code, system = item.get("code"), item.get("system")
    display = item.get("display") or item.get("text") or ""
    display = display if isinstance(display, str) else ""
    if isinstance(code, str):
        yield from matcher.look(system if isinstance(system, str) else "", code, display)
    elif display and name not in _NAMES:
        found = matcher.text(display)
        # What a clinic is called tells why somebody is there; whoever asks for the reason sees that it's only a name.
        yield from (replace(one, rule=f"{PLACE}{name}, {one.rule}") for one in found) if name in CONTEXT else found


def _labels(resource: dict[str, Any]) -> Iterator[Finding]:
    stack: list[Any] = [resource]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(one for one in item if isinstance(one, (dict, list)))
            continue
        for name, value in item.items():
            if name in _LABELS or (name == "valueCoding" and str(item.get("url", "")).endswith(_INLINE.decode())):
                for coding in _codings(value):
                    yield from label_findings(str(coding.get("system", "")), str(coding.get("code", "")))
            elif name == "confidentiality" and isinstance(value, str) and value in _CONFIDENTIAL:
                yield Finding(UNKNOWN_LABEL, tells=True, rule=f"confidentiality {value}")
            elif isinstance(value, (dict, list)):
                stack.append(value)


def label_findings(system: str, code: str, *, strict: bool = True) -> Iterator[Finding]:
    """Yield what a security label says; one that is unknown restricts.

    Args:
        system: in any spelling; empty where none is named.
        code: of the label.
        strict: whether the place holds nothing but labels; else an unknown code of ActCode means something else.
    """
    name = canonical_system(system)
    kind = _known_labels().get(code)
    if code in _CONFIDENTIAL and name in ("", "v3-confidentiality"):
        yield Finding(UNKNOWN_LABEL, tells=True, rule=f"label {code}")
    elif kind is not None and name in ("", "v3-actcode", "hl7-0717"):
        if kind != "-":
            yield Finding(kind, tells=True, rule=f"label {code}")
    elif name == "v3-actcode" and strict:
        yield Finding(UNKNOWN_LABEL, tells=True, rule=f"label {code}, which isn't known")


@cache
def _known_labels() -> dict[str, str]:
    return {code: kind for _system, code, kind, _display, _source in rows("labels")}


def _codings(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the codings of a Coding, a CodeableConcept, or lists of them."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict):
            inner = one.get("coding")
            yield from (c for c in inner if isinstance(c, dict)) if isinstance(inner, list) else (one,)


def restricted_category(found: list[Finding], default: Category) -> Category | None:
    """Return the category that findings lead to.

    Args:
        found: as `findings` returns them.
        default: where something goes that is labelled without a kind.
    """
    # Most resources tell nothing.
    if not found:
        return None
    category = category_of_kinds(one.kind for one in found)
    if category not in RESTRICTED and any(one.kind == UNKNOWN_LABEL for one in found):
        return default
    return category
