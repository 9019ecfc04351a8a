"""A FHIR R4 Consent as the plan of a grant.

Never plans more than what is written: what no grant can hold is refused by its place in the document, all at once.
The other way, `consent/fhir_export.py` writes a policy as a Consent. Pure: no clock, no network. Follows FHIR R4
(Consent), IHE ITI PCF 1.1 and docs/spec/consent.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from panachain.consent import fhir_vocabulary as words
from panachain.consent.fhir_elements import Findings, PartyReference, shown
from panachain.consent.fhir_provisions import Reader, Rule, Selection, expanded
from panachain.errors import ConsentNotEnforceableError, InputError
from panachain.model.scope import EMERGENCY, IN_PART, UNDATED, Category, Purpose
from panachain.records import canonical

MAX_SIZE: Final = 1 << 20
"""Bytes of a Consent that is read."""

_HINT: Final = "nothing was granted; `panachain grant` makes a policy without a document"
Item = TypeVar("Item")
_IN_EMERGENCY: Final = EMERGENCY | IN_PART
"""What the emergency summary may hold something of: of restricted categories what the patient included."""
_ORDER: Final = ("all", "emergency", *(category.value for category in Category))
_KNOWN: Final = frozenset(
    {
        *("resourceType", "id", "meta", "language", "text", "contained", "extension", "identifier", "status", "scope"),
        *("category", "patient", "dateTime", "performer", "organization", "sourceAttachment", "sourceReference"),
        *("policy", "policyRule", "verification", "provision"),
    }
)
"""Elements of a Consent that are read, or that say nothing that would have to be enforced."""


@dataclass(frozen=True)
class ConsentPlan:
    """The grant that a Consent asks for; never wider than what it says."""

    categories: tuple[str, ...]
    """As `Patient.grant` takes them."""
    years: tuple[int, ...]
    """Narrows each category; empty means every year."""
    purposes: tuple[Purpose, ...]
    starts_at: int | None
    """Unix seconds, inclusive; None means at once."""
    expires_at: int | None
    """Unix seconds, exclusive; None if the Consent has no end, which a grant must have."""
    grantees: tuple[PartyReference, ...]
    """Empty if the Consent names no recipient."""
    patient: PartyReference
    excepted: tuple[str, ...] = ()
    """Categories that were left out because a provision denies them."""
    notes: tuple[str, ...] = ()
    """Where the grant is narrower than the Consent, in words."""


def read_consent(content: bytes) -> Mapping[str, Any]:
    """Return the JSON of a Consent, bounded.

    Raises:
        InputError: too large, not JSON, or no Consent.
    """
    if len(content) > MAX_SIZE:
        raise InputError(f"a Consent of {len(content)} bytes; at most {MAX_SIZE} are read")
    document = canonical.parse(content)
    if not isinstance(document, dict) or document.get("resourceType") != "Consent":
        raise InputError("not a FHIR Consent: resourceType is another one, or missing")
    return document


def from_consent(document: Mapping[str, Any]) -> ConsentPlan:
    """Return the grant that a Consent asks for.

    Args:
        document: an R4 Consent, from `read_consent`.

    Raises:
        ConsentNotEnforceableError: something in it can't be enforced; all such places are named.
        InputError: it is no Consent.
    """
    if document.get("resourceType") != "Consent":
        raise InputError("not a FHIR Consent: resourceType is another one, or missing")
    reader = Reader()
    findings = reader.findings
    reader.fields_of(document, "Consent", _KNOWN)
    _check_head(document, reader)
    patient = reader.party(document.get("patient"), "Consent.patient")
    if "provision" not in document:
        findings.refuse("Consent.provision", "is missing: nothing is permitted")
        _stop_at(findings)
    root = reader.rule(document["provision"], "Consent.provision")
    permits, denies = _sorted(root, findings)
    _stop_at(findings)
    frame = None if root.kind == "permit" else root
    joined = _joined([_narrowed(frame, permit, findings) for permit in permits], findings)
    _stop_at(findings)
    selection: Selection = {"all": None} if joined.selection is None else joined.selection
    purposes, excepted = joined.purposes or (), frozenset[str]()
    for deny in denies:
        left, purposes = _without(deny, selection, purposes, findings)
        excepted |= {name for name in expanded(selection) if name not in expanded(left)}
        selection = left
        if not selection or not purposes:
            findings.refuse(deny.place, "leaves nothing of what is permitted")
        _stop_at(findings)
    if "all" in selection:
        findings.note("The restricted categories are left out: they are granted by name only.")
    years = _years_of(selection, joined.place, findings)
    _stop_at(findings)
    return ConsentPlan(
        categories=tuple(name for name in _ORDER if name in selection),
        years=years,
        purposes=tuple(purpose for purpose in Purpose if purpose in purposes),
        starts_at=joined.window[0],
        expires_at=joined.window[1],
        grantees=joined.parties or (),
        patient=patient,
        excepted=tuple(name for name in _ORDER if name in excepted),
        notes=tuple(findings.notes),
    )


def _check_head(document: Mapping[str, Any], reader: Reader) -> None:
    """Check what stands before the provision: each part of it could change what the provision means."""
    findings = reader.findings
    status = document.get("status")
    if status != "active":
        findings.refuse("Consent.status", f"is {shown(status)}: only an active Consent is followed")
    meta = document.get("meta", {})
    for at, tag in reader.items(meta.get("tag", []) if isinstance(meta, Mapping) else None, "Consent.meta.tag"):
        if isinstance(tag, Mapping) and tag.get("code") == "SUBSETTED":
            findings.refuse(at, "says that parts of the document are missing")
    for at, system, code in reader.concept(document.get("scope"), "Consent.scope"):
        if (system, code) != (words.SCOPE_SYSTEM, words.SCOPE_CODE):
            findings.refuse(at, f"is about {shown(code)}, not about privacy")
    if not document.get("category"):
        findings.refuse("Consent.category", "is missing")
    for place, concept in reader.items(document.get("category") or [], "Consent.category"):
        for at, system, code in reader.concept(concept, place):
            if (system, code) not in words.CATEGORIES:
                findings.refuse(at, f"is a kind of consent ({shown(code)}) that no grant can hold")
    _check_policy(document, reader)
    for at, verification in reader.items(document.get("verification", []), "Consent.verification"):
        if not isinstance(verification, Mapping) or verification.get("verified") is not True:
            findings.refuse(at, "says that the Consent isn't verified")


def _check_policy(document: Mapping[str, Any], reader: Reader) -> None:
    findings = reader.findings
    if "policyRule" in document:
        for at, system, code in reader.concept(document["policyRule"], "Consent.policyRule"):
            if (system, code) == (words.ACT_CODE, "OPTOUT"):
                findings.refuse(
                    "Consent.policyRule", "is opt-out: everything is permitted that isn't denied to somebody"
                )
            elif (system, code) != (words.ACT_CODE, "OPTIN"):
                findings.refuse(at, f"is a rule ({shown(code)}) that isn't known here")
    for at, policy in reader.items(document.get("policy", []), "Consent.policy"):
        fields = reader.fields_of(policy, at, frozenset({"authority", "uri", "id"}))
        if fields.get("uri") != words.RULES_URI:
            findings.note("The Consent refers to a policy text, which isn't read: only its provisions are enforced.")


def _sorted(root: Rule, findings: Findings) -> tuple[list[Rule], list[Rule]]:
    """Return what a Consent permits and what it excepts from that, after a look at its structure."""
    permits = [rule for rule in root.children if rule.kind == "permit"]
    denies = [rule for rule in root.children if rule.kind == "deny"]
    if root.kind == "permit":
        for rule in permits:
            findings.refuse(f"{rule.place}.type", "permits inside a permit: whether it adds or narrows isn't said")
        permits = [root]
    elif not root.kind and not root.children:
        findings.refuse("Consent.provision.type", "is missing: whether the provision permits or denies isn't said")
    elif not permits:
        findings.refuse("Consent.provision", "only denies: there is nothing to grant")
    for rule in permits:
        if rule.purposes is None and root.purposes is None:
            findings.refuse(f"{rule.place}.purpose", "is missing: no purpose is given, and a policy has one")
    return permits, denies


def _narrowed(frame: Rule | None, rule: Rule, findings: Findings) -> Rule:
    """Return a permit within the conditions of the provision around it: it holds only where both do."""
    if frame is None:
        return rule
    selection = _intersection(frame.selection, rule.selection)
    purposes = _common(frame.purposes, rule.purposes, lambda purpose: purpose)
    parties = _common(frame.parties, rule.parties, lambda party: party.key)
    if selection == {} or not purposes or parties == ():
        findings.refuse(rule.place, "permits nothing that the provision around it leaves room for")
    return Rule(rule.place, rule.kind, _window(frame.window, rule.window), purposes, parties, selection)


def _joined(rules: Sequence[Rule], findings: Findings) -> Rule:
    """Return several permits as one; they may differ in categories and years, and in nothing else."""
    first = rules[0]
    selection = first.selection
    for rule in rules[1:]:
        for name, one, other in (
            ("purpose", set(first.purposes or ()), set(rule.purposes or ())),
            ("period", first.window, rule.window),
            ("actor", _keys(first.parties), _keys(rule.parties)),
        ):
            if one != other:
                findings.refuse(f"{rule.place}.{name}", f"differs from that of {first.place}: one Consent, one grant")
        selection = _union(selection, rule.selection)
    start, end = first.window
    if start is not None and end is not None and start >= end:
        findings.refuse(f"{first.place}.period", "ends before it begins")
    if selection == {}:
        findings.refuse(first.place, "permits nothing")
    return Rule(first.place, first.kind, first.window, first.purposes, first.parties, selection)


def _without(
    deny: Rule, selection: Selection, purposes: tuple[Purpose, ...], findings: Findings
) -> tuple[Selection, tuple[Purpose, ...]]:
    """Return what a deny leaves: it takes whole categories, else whole years, else whole purposes."""
    if deny.denied is not None:
        closed = {category.value for category in deny.denied} | (
            {"emergency"} if deny.denied & _IN_EMERGENCY else set()
        )
        if "all" in selection and deny.denied & set(words.DEFAULT_CATEGORIES):
            selection = expanded(selection)
        if deny.denied_years is not None or deny.purposes is not None:
            findings.note("What is denied in part is left out as a whole category.")
        return {name: years for name, years in selection.items() if name not in closed}, purposes
    if deny.denied_years is not None:
        if any(years is None for years in selection.values()):
            findings.refuse(f"{deny.place}.dataPeriod", "denies years of what is permitted for every year")
            return selection, purposes
        bounds = deny.denied_years
        left = {
            name: frozenset(year for year in years or () if not _touches(bounds, year))
            for name, years in selection.items()
        }
        return {name: years for name, years in left.items() if years}, purposes
    if deny.purposes is not None:
        return selection, tuple(purpose for purpose in purposes if purpose not in deny.purposes)
    findings.refuse(deny.place, "denies all that is permitted around it")
    return selection, purposes


def _touches(bounds: tuple[int | None, int | None], year: int) -> bool:
    first, last = bounds
    # A record without a date may be of any year.
    return year == UNDATED or ((first is None or first <= year) and (last is None or year <= last))


def _years_of(selection: Selection, place: str, findings: Findings) -> tuple[int, ...]:
    found = set(selection.values())
    if len(found) > 1:
        findings.refuse(place, "gives different years to different categories: one Consent, one grant")
    years = next(iter(found), None)
    return () if years is None else tuple(sorted(years))


def _intersection(one: Selection | None, other: Selection | None) -> Selection | None:
    if one is None or other is None:
        return other if one is None else one
    if one.keys() == other.keys() == {"all"}:
        return one
    one, other = expanded(one), expanded(other)
    both: Selection = {}
    for name in one.keys() & other.keys():
        mine, yours = one[name], other[name]
        years = yours if mine is None else mine if yours is None else mine & yours
        if years is None or years:
            both[name] = years
    return both


def _union(one: Selection | None, other: Selection | None) -> Selection:
    one = {"all": None} if one is None else one
    other = {"all": None} if other is None else other
    joined = dict(one)
    for name, years in other.items():
        mine = joined.get(name, frozenset())
        joined[name] = None if mine is None or years is None else mine | years
    return joined


def _common(
    outer: tuple[Item, ...] | None, inner: tuple[Item, ...] | None, key: Callable[[Item], object]
) -> tuple[Item, ...] | None:
    """Return the items of `inner` that are in `outer` too; None means no condition."""
    if outer is None or inner is None:
        return inner if outer is None else outer
    allowed = {key(item) for item in outer}
    return tuple(item for item in inner if key(item) in allowed)


def _window(one: tuple[int | None, int | None], other: tuple[int | None, int | None]) -> tuple[int | None, int | None]:
    starts = [start for start in (one[0], other[0]) if start is not None]
    ends = [end for end in (one[1], other[1]) if end is not None]
    return max(starts, default=None), min(ends, default=None)


def _keys(parties: tuple[PartyReference, ...] | None) -> set[tuple[str, str]] | None:
    return None if parties is None else {party.key for party in parties}


def _stop_at(findings: Findings) -> None:
    if findings.obstacles:
        raise ConsentNotEnforceableError.of(tuple(findings.obstacles), hint=_HINT)
