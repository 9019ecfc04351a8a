"""The data types of a FHIR Consent, read strictly: objects, lists, texts, codes and references.

Never guesses, and never stops at the first fault: what isn't known is noted by its place, and the reading goes on.
Lists and texts are bounded. Follows FHIR R4 (Data Types) and docs/spec/consent.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from panachain.consent import fhir_vocabulary as words

MAX_ITEMS: Final = 500
"""Items of one list."""
_MAX_FINDINGS: Final = 100
_MAX_TEXT: Final = 1024
_SHOWN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,40}")
"""What of a document may stand in a message: codes and names of elements, never text."""
Code = tuple[str, str, str]
"""Place, system, code."""
_CODING: Final = frozenset({"system", "version", "code", "display", "userSelected", "id"})
_CONCEPT: Final = frozenset({"coding", "text", "id"})
_REFERENCE: Final = frozenset({"reference", "type", "identifier", "display", "id"})
_IDENTIFIER: Final = frozenset({"use", "type", "system", "value", "period", "assigner", "id"})


@dataclass(frozen=True)
class PartyReference:
    """Somebody whom a Consent names; empty is what it doesn't say."""

    reference: str = ""
    """A FHIR reference, such as `Practitioner/13`."""
    system: str = ""
    """Of the identifier."""
    identifier: str = ""
    display: str = ""

    @property
    def account(self) -> str:
        """The account's address if the Consent names one of ours, else empty."""
        return self.identifier if self.system == words.ACCOUNT_SYSTEM else ""

    @property
    def key(self) -> tuple[str, str]:
        """What makes two references one."""
        if self.identifier:
            return self.system, self.identifier
        return ("reference", self.reference) if self.reference else ("display", self.display)


@dataclass
class Findings:
    """What stands in the way of a grant, by place, and what is worth saying of what doesn't."""

    obstacles: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def refuse(self, place: str, reason: str) -> None:
        """Note that `place` can't be enforced."""
        if len(self.obstacles) < _MAX_FINDINGS:
            self.obstacles.append((place, reason))

    def note(self, text: str) -> None:
        """Note something that the patient should know of the plan."""
        if text not in self.notes:
            self.notes.append(text)


def shown(text: object) -> str:
    """Return a code or an element's name if it is one, else nothing of it."""
    return text if isinstance(text, str) and _SHOWN.fullmatch(text) else "…"


class ElementReader:
    """Reads the elements of a document and collects what can't be enforced."""

    def __init__(self) -> None:
        self.findings = Findings()

    def fields_of(self, value: object, place: str, known: frozenset[str]) -> Mapping[str, Any]:
        """Return a JSON object; each element that isn't known is refused by name."""
        if not isinstance(value, Mapping):
            self.findings.refuse(place, "is missing" if value is None else "is no JSON object")
            return {}
        for name in value:
            if name == "modifierExtension":
                self.findings.refuse(f"{place}.{name}", "changes what the rest means, and isn't known here")
            elif name not in known:
                self.findings.refuse(f"{place}.{shown(name)}", "isn't known here")
        return value

    def items(self, value: object, place: str) -> Iterator[tuple[str, Any]]:
        """Yield each item of a list with its place."""
        if not isinstance(value, list | tuple):
            self.findings.refuse(place, "is no list")
            return
        if len(value) > MAX_ITEMS:
            self.findings.refuse(place, f"has {len(value)} items; at most {MAX_ITEMS} are read")
        for number, item in enumerate(value[:MAX_ITEMS]):
            yield f"{place}[{number}]", item

    def text(self, value: object, place: str) -> str:
        """Return a string of bounded length."""
        if not isinstance(value, str) or len(value) > _MAX_TEXT:
            self.findings.refuse(place, f"is no text of at most {_MAX_TEXT} characters")
            return ""
        return value

    def coding(self, value: object, place: str) -> Code:
        """Return place, system and code of a Coding."""
        fields = self.fields_of(value, place, _CODING)
        system = self.text(fields.get("system", ""), f"{place}.system")
        code = self.text(fields.get("code", ""), f"{place}.code")
        if not code:
            self.findings.refuse(place, "has no code")
        return place, system, code

    def concept(self, value: object, place: str) -> tuple[Code, ...]:
        """Return the codings of a CodeableConcept; words alone are refused."""
        fields = self.fields_of(value, place, _CONCEPT)
        found = tuple(self.coding(item, at) for at, item in self.items(fields.get("coding", []), f"{place}.coding"))
        if isinstance(value, Mapping) and not found:
            self.findings.refuse(place, "has no code")
        return found

    def party(self, value: object, place: str) -> PartyReference:
        """Return whom a Reference names."""
        fields = self.fields_of(value, place, _REFERENCE)
        identifier = fields.get("identifier", {})
        inner = self.fields_of(identifier, f"{place}.identifier", _IDENTIFIER)
        party = PartyReference(
            reference=self.text(fields.get("reference", ""), f"{place}.reference"),
            system=self.text(inner.get("system", ""), f"{place}.identifier.system"),
            identifier=self.text(inner.get("value", ""), f"{place}.identifier.value"),
            display=self.text(fields.get("display", ""), f"{place}.display"),
        )
        if isinstance(value, Mapping) and not (party.reference or party.identifier or party.display):
            self.findings.refuse(place, "names nobody")
        return party

    def codings(self, fields: Mapping[str, Any], name: str, place: str) -> tuple[Code, ...] | None:
        """Return the codings of an element, or None where it is missing; an empty list is refused."""
        if name not in fields:
            return None
        found = tuple(self.coding(item, at) for at, item in self.items(fields[name], f"{place}.{name}"))
        if not found:
            self.findings.refuse(f"{place}.{name}", "is empty")
        return found
