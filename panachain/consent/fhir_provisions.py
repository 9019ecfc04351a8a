"""Provisions of a FHIR Consent: what each says, and what of it no lane, window or purpose can hold.

Never guesses: what isn't known is refused by its place. A permit counts for what is surely inside it, a deny for all
that may be inside it. Follows FHIR R4 (Consent.provision) and docs/spec/consent.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from panachain.consent import fhir_vocabulary as words
from panachain.consent.fhir_elements import Code, ElementReader, PartyReference, shown
from panachain.model.scope import EMERGENCY, FIRST_YEAR, RESTRICTED, UNDATED, Category, Purpose
from panachain.records.fhir_codes import BY_LABEL, CONFIDENTIAL

_MAX_YEARS: Final = 300
Selection = dict[str, frozenset[int] | None]
"""Category names, `all` and `emergency`, each with its years; None means every year."""
_LABELS: Final = BY_LABEL.keys() | CONFIDENTIAL | {words.NORMAL}
_RULE: Final = frozenset(
    {
        *("type", "period", "actor", "action", "securityLabel", "purpose", "class", "code", "dataPeriod", "data"),
        *("provision", "id"),
    }
)


@dataclass(frozen=True)
class Rule:
    """One provision."""

    place: str
    kind: str
    """`permit`, `deny`, or empty."""
    window: tuple[int | None, int | None] = (None, None)
    """Unix seconds, half open."""
    purposes: tuple[Purpose, ...] | None = None
    parties: tuple[PartyReference, ...] | None = None
    selection: Selection | None = None
    """Of a permit: what it surely covers; None means everything."""
    denied: frozenset[Category] | None = None
    """Of a deny: every category that may hold what it names; None if it names none."""
    denied_years: tuple[int | None, int | None] | None = None
    """Of a deny: the first and last year that it touches; None for open."""
    children: tuple[Rule, ...] = ()


class Reader(ElementReader):
    """Reads the provisions of a Consent and collects what can't be enforced."""

    # Provisions

    def rule(self, value: object, place: str, *, depth: int = 0) -> Rule:
        """Read one provision and those inside it."""
        fields = self.fields_of(value, place, _RULE)
        kind = fields.get("type", "")
        if kind not in ("permit", "deny", "") or (depth and not kind):
            self.findings.refuse(f"{place}.type", "is missing, or neither permit nor deny")
        inner = fields.get("provision", [])
        if depth and inner:
            self.findings.refuse(f"{place}.provision", "is an exception to an exception, which IHE PCF doesn't know")
            inner = []
        deny = kind == "deny" and depth > 0
        self._actions(fields, place)
        self._references(fields, place)
        classes = self.codings(fields, "class", place)
        labels = self.codings(fields, "securityLabel", place)
        self._check_labels(labels)
        return Rule(
            place=place,
            kind=str(kind),
            window=self._window(fields, place, deny=deny),
            purposes=self._purposes(fields, place),
            parties=self._parties(fields, place, deny=deny),
            selection=None if deny else self._selection(fields, classes, labels, place),
            denied=_intersection(self._denied_classes(classes), _denied_labels(labels)) if deny else None,
            denied_years=self._denied_years(fields, place) if deny else None,
            children=tuple(self.rule(part, at, depth=1) for at, part in self.items(inner, f"{place}.provision")),
        )

    def _actions(self, fields: Mapping[str, Any], place: str) -> None:
        for at, concept in self.items(fields.get("action", []), f"{place}.action"):
            for _, system, code in self.concept(concept, at):
                if (system, code) != (words.ACTION_SYSTEM, "access"):
                    self.findings.refuse(at, f"{_verb(fields)} an action ({shown(code)}) that no reader has here")

    def _references(self, fields: Mapping[str, Any], place: str) -> None:
        verb = _verb(fields)
        for at, _ in self.items(fields.get("code", []), f"{place}.code"):
            self.findings.refuse(at, f"{verb} single codes: a grant opens a whole category")
        for at, data in self.items(fields.get("data", []), f"{place}.data"):
            meaning = shown(data.get("meaning")) if isinstance(data, Mapping) else "…"
            self.findings.refuse(at, f"{verb} by data reference ({meaning}): a grant opens a whole category or year")

    def _purposes(self, fields: Mapping[str, Any], place: str) -> tuple[Purpose, ...] | None:
        if "purpose" not in fields:
            return None
        known = {purpose.value: purpose for purpose in Purpose}
        found: list[Purpose] = []
        for at, system, code in self.codings(fields, "purpose", place) or ():
            if system == words.ACT_REASON and code in known:
                found.append(known[code])
            else:
                self.findings.refuse(at, f"names a purpose ({shown(code)}) that no policy has here")
        return tuple(dict.fromkeys(found))

    def _parties(self, fields: Mapping[str, Any], place: str, *, deny: bool) -> tuple[PartyReference, ...] | None:
        if "actor" not in fields:
            return None
        found: list[PartyReference] = []
        for at, value in self.items(fields["actor"], f"{place}.actor"):
            actor = self.fields_of(value, at, frozenset({"role", "reference", "id"}))
            codes = {
                code if system == words.PARTICIPATION else ""
                for _, system, code in self.concept(actor.get("role"), f"{at}.role")
            }
            bad = sorted(codes - words.RECIPIENTS)
            if deny:
                reason = "excepts a single author" if "AUT" in codes else "denies to somebody in particular"
                self.findings.refuse(at, f"{reason}: leave out whole categories, years or purposes, for everybody")
            elif bad:
                reason = words.ROLE_REASONS.get(bad[0], f"names a role ({shown(bad[0])}) other than the recipient's")
                self.findings.refuse(f"{at}.role", reason)
            found.append(self.party(actor.get("reference"), f"{at}.reference"))
        if not found:
            self.findings.refuse(f"{place}.actor", "is empty")
        return tuple(found)

    # Time

    def _window(self, fields: Mapping[str, Any], place: str, *, deny: bool) -> tuple[int | None, int | None]:
        start, end = self._period(fields, "period", place)
        if deny and "period" in fields:
            self.findings.refuse(f"{place}.period", "denies for a part of the time: a policy has one window")
        spans = []
        for name, text in (("start", start), ("end", end)):
            span = words.seconds_of(text) if text else None
            if text and span is None:
                self.findings.refuse(f"{place}.period.{name}", "is no FHIR dateTime")
            spans.append(span)
        # FHIR's end is included, a policy's isn't. Before 1970 nothing can be read anyhow.
        first, last = spans
        return (max(first[0], 0) if first else None, max(last[1], 0) if last else None)

    def _years(self, fields: Mapping[str, Any], place: str) -> frozenset[int] | None:
        if "dataPeriod" not in fields:
            return None
        at = f"{place}.dataPeriod"
        start, end = self._period(fields, "dataPeriod", place)
        if not start or not end:
            self.findings.refuse(at, "has no start or no end: a grant names its years")
            return frozenset()
        inside = words.years_inside(start, end)
        if inside is None:
            self.findings.refuse(at, "isn't made of dates: the smallest part of a category is a year")
            return frozenset()
        first, last = max(inside[0], FIRST_YEAR), inside[1]
        if not 0 <= last - first < _MAX_YEARS:
            self.findings.refuse(at, "holds no whole year" if last < first else "holds too many years")
            return frozenset()
        if (first, last) != (int(start[:4]), int(end[:4])):
            self.findings.note(f"Only the whole years {first} to {last} are granted.")
        return frozenset(range(first, last + 1))

    def _denied_years(self, fields: Mapping[str, Any], place: str) -> tuple[int | None, int | None] | None:
        if "dataPeriod" not in fields:
            return None
        ends: list[int | None] = []
        for name, text in zip(("start", "end"), self._period(fields, "dataPeriod", place), strict=True):
            year = words.year_of_date(text) if text else None
            if text and year is None:
                self.findings.refuse(f"{place}.dataPeriod.{name}", "is no date: the smallest part is a year")
            ends.append(year)
        return ends[0], ends[1]

    def _period(self, fields: Mapping[str, Any], name: str, place: str) -> tuple[str, str]:
        if name not in fields:
            return "", ""
        at = f"{place}.{name}"
        period = self.fields_of(fields[name], at, frozenset({"start", "end", "id"}))
        return self.text(period.get("start", ""), f"{at}.start"), self.text(period.get("end", ""), f"{at}.end")

    # Categories

    def _selection(
        self, fields: Mapping[str, Any], classes: tuple[Code, ...] | None, labels: tuple[Code, ...] | None, place: str
    ) -> Selection | None:
        chosen = self._permitted_classes(classes)
        if labels is not None:
            chosen = self._permitted_labels(labels) if chosen is None else self._labelled(chosen, labels)
        years = self._years(fields, place)
        if years is None:
            return chosen
        if chosen is not None and "emergency" in chosen:
            self.findings.refuse(f"{place}.dataPeriod", "narrows the emergency summary, which has no years")
        by_category = expanded({"all": None} if chosen is None else chosen)
        narrowed = {name: years if own is None else years & own for name, own in by_category.items()}
        return {name: found for name, found in narrowed.items() if found}

    def _permitted_classes(self, classes: tuple[Code, ...] | None) -> Selection | None:
        if classes is None:
            return None
        chosen: Selection = {}
        types: dict[str, str] = {}
        for place, system, code in classes:
            if system == words.CATEGORY_SYSTEM:
                self._add_own(chosen, place, code)
            elif system == words.RESOURCE_TYPES and code in words.HELD_BY:
                types[code] = place
            else:
                self.findings.refuse(place, f"permits a class ({shown(code)}) that isn't known here")
        for category, needed in words.TYPES_OF.items():
            # What no type describes, no list of types permits.
            if needed and needed <= types.keys():
                chosen[category.value] = None
        whole = expanded(chosen)
        for code, place in types.items():
            if any(whole.get(held.value, frozenset()) is not None for held in words.HELD_BY[code]):
                self.findings.refuse(
                    place, f"permits {code} alone: the category that holds it holds more than that, or isn't permitted"
                )
        return chosen

    def _add_own(self, chosen: Selection, place: str, code: str) -> None:
        name, slash, rest = code.partition("/")
        known = name in {category.value for category in Category} or (not slash and name in ("all", "emergency"))
        if not known or (slash and rest != "undated"):
            self.findings.refuse(place, f"permits a category ({shown(code)}) that isn't known here")
        elif not slash:
            chosen[name] = None
        elif chosen.get(name, frozenset()) is not None:
            chosen[name] = frozenset({UNDATED})

    def _permitted_labels(self, labels: tuple[Code, ...]) -> Selection:
        codes = {code for _, _, code in labels}
        covered = [
            category
            for category in Category
            if category in RESTRICTED and words.LABELS_OF[category] and words.LABELS_OF[category] <= codes
        ]
        used = frozenset({words.NORMAL}).union(*(words.LABELS_OF[category] for category in covered))
        for place, _, code in labels:
            if code not in used and code in _LABELS:
                reason = (
                    f"permits what is labelled {shown(code)} alone: the category that holds it holds more than that"
                )
                self.findings.refuse(place, reason)
        chosen: Selection = {"all": None} if words.NORMAL in codes else {}
        return {**chosen, **{category.value: None for category in covered}}

    def _labelled(self, chosen: Selection, labels: tuple[Code, ...]) -> Selection:
        """Check that labels beside classes describe the whole of each category, as an exported Consent does it."""
        codes = {code for _, _, code in labels}
        restricted = [category for category in RESTRICTED if category.value in chosen]
        if codes == {words.NORMAL} and not restricted:
            return chosen
        # A few of its labels would leave records out that the lane holds.
        if len(chosen) == len(restricted) == 1 and words.LABELS_OF[restricted[0]] <= codes:
            return chosen
        self.findings.refuse(
            labels[0][0] if labels else "Consent.provision",
            "permits only the part of a category that bears these labels: a grant opens all of it",
        )
        return chosen

    def _denied_classes(self, classes: tuple[Code, ...] | None) -> frozenset[Category] | None:
        if classes is None:
            return None
        own = {category.value: frozenset({category}) for category in Category}
        own |= {"all": frozenset(words.DEFAULT_CATEGORIES), "emergency": EMERGENCY}
        found: frozenset[Category] = frozenset()
        for place, system, code in classes:
            name = code.removesuffix("/undated")
            if system == words.CATEGORY_SYSTEM and name in own:
                found |= own[name]
            elif system == words.RESOURCE_TYPES and code in words.HELD_BY:
                found |= words.HELD_BY[code] | words.SENSITIVE_ANYWHERE
            else:
                self.findings.refuse(place, f"denies a class ({shown(code)}) that isn't known here")
        return found

    def _check_labels(self, labels: tuple[Code, ...] | None) -> None:
        for place, system, code in labels or ():
            systems = words.ACT_CODE if code in BY_LABEL else words.CONFIDENTIALITY
            if code not in _LABELS or system != systems:
                self.findings.refuse(place, f"names a label ({shown(code)}) that isn't known here")


def expanded(selection: Selection) -> Selection:
    """Return a selection in which `all` is the categories that it covers."""
    if "all" not in selection:
        return dict(selection)
    rest = {name: years for name, years in selection.items() if name != "all"}
    return {**rest, **{category.value: None for category in words.DEFAULT_CATEGORIES}}


def _verb(fields: Mapping[str, Any]) -> str:
    return {"permit": "permits", "deny": "denies"}.get(str(fields.get("type")), "names")


def _intersection(one: frozenset[Category] | None, other: frozenset[Category] | None) -> frozenset[Category] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _denied_labels(labels: tuple[Code, ...] | None) -> frozenset[Category] | None:
    """Return every category that may hold a record with one of the labels."""
    if labels is None:
        return None
    # A code inside a record restricts it too, so what is labelled normal can be anywhere.
    normal = any(code == words.NORMAL for _, _, code in labels)
    return frozenset(Category) if normal else words.SENSITIVE_ANYWHERE
