"""FHIR in XML as the objects that FHIR in JSON has, as far as people read them.

Each element is an object, a text where it has a `value` and nothing else, and a list where it stands several times;
numbers and flags stay texts. The reader refuses declared entities, follows nothing and is bounded (`records/xml.py`).
Follows FHIR R4, sections 2.6.1 (XML) and 2.6.2 (JSON).
"""

from __future__ import annotations

from html import escape
from typing import Any, Final

from panachain.errors import InputError
from panachain.records.xml import FHIR, MAX_DEPTH, SEPARATOR, Bounded, encoding_of
from panachain.viewer.items import UnreadableError

_HOLDERS: Final = frozenset({"resource", "contained"})
"""Elements whose child is a resource, named by its type."""


def resource_of(content: bytes) -> dict[str, Any]:
    """Return the resource that a document of FHIR is.

    Raises:
        UnreadableError: it isn't well formed, declares entities, or is too large or too deep.
    """
    reader = _Reader(encoding_of(content))
    try:
        reader.read(content)
    except InputError as exc:
        raise UnreadableError(str(exc)) from exc
    return reader.root


class _Reader(Bounded):
    def __init__(self, encoding: str | None) -> None:
        super().__init__(encoding, namespaces=True)
        self._parser.CharacterDataHandler = self._write
        self._open: list[tuple[str, dict[str, Any]]] = []
        self._html: list[str] | None = None
        self._depth = 0
        self.root: dict[str, Any] = {}

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(SEPARATOR)
        if len(self._open) + self._depth >= MAX_DEPTH:
            raise InputError(f"XML nested deeper than {MAX_DEPTH}")
        if self._html is not None or namespace != FHIR:
            self._depth += 1
            if self._html is None:
                self._html = []
            spans = "".join(f' {key}="{escape(value)}"' for key, value in attributes.items() if "span" in key)
            self._html.append(f"<{local}{spans}>")
            return
        made: dict[str, Any] = {key: value for key, value in attributes.items() if key in ("value", "id", "url")}
        if not self._open or self._open[-1][0] in _HOLDERS:
            made["resourceType"] = local
        self._open.append((local, made))

    def _end(self, name: str) -> None:
        if self._html is not None:
            local = name.rpartition(SEPARATOR)[2]
            self._html.append("" if local in ("br", "hr", "img") else f"</{local}>")
            self._depth -= 1
            if not self._depth:
                if self._open:
                    self._open[-1][1]["div"] = "".join(self._html)
                self._html = None
            return
        local, made = self._open.pop()
        if not self._open:
            self.root = made
            return
        holder, parent = self._open[-1]
        if holder in _HOLDERS and "resourceType" in made:
            # The element around a resource is the resource itself, as in JSON.
            parent.clear()
            parent.update(made)
            return
        told: Any = made["value"] if set(made) == {"value"} else made
        known = parent.get(local)
        if known is None:
            parent[local] = told
        elif isinstance(known, list):
            known.append(told)
        else:
            parent[local] = [known, told]

    def _write(self, text: str) -> None:
        if self._html is not None:
            self._html.append(escape(text))
