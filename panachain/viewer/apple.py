"""Apple Health as tables: one for each type of measurement, newest first.

The reader refuses declared entities, follows nothing and is bounded (`records/xml.py`).
Follows the DTD that the export holds (version 14).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from panachain.errors import InputError
from panachain.plain import line
from panachain.records.xml import MAX_DEPTH, Bounded, encoding_of
from panachain.viewer.items import UnreadableError
from panachain.viewer.words import N_

MOST_ROWS: Final = 500
"""Rows of one type that are shown."""
_MOST_TYPES: Final = 300
_MOST_CELL: Final = 500
_PREFIX: Final = re.compile(r"^HK\w*?Identifier(?=[A-Z])")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
COLUMNS: Final = (N_("Begin"), N_("End"), N_("Value"), N_("Unit"), N_("Told by"))
_NAMES: Final = ("startDate", "endDate", "value", "unit", "sourceName")


@dataclass(frozen=True)
class Table:
    """Rows under a title."""

    title: str
    columns: tuple[str, ...]
    """Titles of the columns, to be translated where the program named them."""
    rows: tuple[tuple[str, ...], ...]


def read_export(content: bytes) -> tuple[tuple[Table, ...], bool]:
    """Return the tables of an export, and whether they hold all of it.

    Raises:
        UnreadableError: it isn't well formed, declares entities, or is too large or too deep.
    """
    reader = _Reader(encoding_of(content))
    try:
        reader.read(content)
    except InputError as exc:
        raise UnreadableError(str(exc)) from exc
    tables = []
    for name, rows in sorted(reader.found.items()):
        # ISO-like dates sort as texts.
        newest = sorted(rows, reverse=True)
        tables.append(Table(name, COLUMNS, tuple(newest[:MOST_ROWS])))
        reader.is_all = reader.is_all and len(rows) <= MOST_ROWS
    if reader.me:
        tables.insert(0, Table("Me", (N_("What"), N_("Value")), tuple(reader.me)))
    return tuple(tables), reader.is_all


class _Reader(Bounded):
    def __init__(self, encoding: str | None) -> None:
        super().__init__(encoding)
        self.found: dict[str, list[tuple[str, ...]]] = {}
        self.me: list[tuple[str, ...]] = []
        self.is_all = True
        self._depth = 0

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InputError(f"XML nested deeper than {MAX_DEPTH}")
        if name == "Me":
            self.me += [(_named(key), line(value)[:_MOST_CELL]) for key, value in list(attributes.items())[:100]]
        elif self._depth == 2 and "startDate" in attributes:
            kind = _named(attributes.get("type") or attributes.get("workoutActivityType") or name)
            if kind not in self.found and len(self.found) >= _MOST_TYPES:
                self.is_all = False
                return
            cells = tuple(line(attributes.get(key, ""))[:_MOST_CELL] for key in _NAMES)
            self.found.setdefault(kind, []).append(cells)

    def _end(self, name: str) -> None:
        self._depth -= 1


def _named(kind: str) -> str:
    """Return a type as words: `HKQuantityTypeIdentifierHeartRate` is `Heart Rate`."""
    return _HUMP.sub(" ", _PREFIX.sub("", line(kind)[:200]))
