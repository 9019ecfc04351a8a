"""Version lists: what an inventory says of the resources in each record, so that a reader knows before it opens them.

A list is the hospital's word about its own records, under its envelope's seal. Reading is total and bounded, and a list
is compared with its record when that is opened: what it lies about costs the hospital its own record.
Follows docs/spec/formats.md (`panachain/inventory/2`) and ADR 28.

    list = [index of the content, newest first, servers, rows, fingerprints (16 each)]
    rows = one line for each entry: name ⇥ version ⇥ time of the version ⇥ number of its state ⇥ number of its server
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from panachain.errors import IntegrityError
from panachain.model.frozen import frozen
from panachain.records.versions import PRINT_SIZE, STATES, Bundle, Entry, Version

MAX_ROWS: Final = 400_000
"""Entries that the lists of one envelope name together: more than one record of 32 MiB holds."""

_ROW: Final = re.compile(r"([!-~]{0,129})\t([A-Za-z0-9\-.]{0,64})\t([0-9A-Za-z:.+-]{0,40})\t([0-9])\t([0-9]{1,6})")
_SERVER: Final = re.compile(r"[!-~]{0,264}")


@dataclass(frozen=True)
class VersionList:
    """What one record holds, in the order of its entries."""

    index: int
    """Of the record's content in its envelope."""
    newest_first: bool
    versions: tuple[Version, ...]

    @classmethod
    def of(cls, bundle: Bundle, index: int) -> VersionList:
        """Return the list of a record that is to be published."""
        return cls(index, bundle.newest_first, tuple(entry.version for entry in bundle.entries))

    def order(self, place: int) -> int:
        """Return where an entry stands in time among the others of its record."""
        return len(self.versions) - 1 - place if self.newest_first else place

    def check(self, bundle: Bundle | None) -> None:
        """Check that a record holds what its list names.

        Raises:
            IntegrityError: it doesn't.
        """
        held = () if bundle is None else tuple(entry.version for entry in bundle.entries)
        if held != self.versions or (bundle is not None and bundle.newest_first != self.newest_first):
            raise IntegrityError(
                f"its hospital listed {len(self.versions)} resources in it, and other ones are there ({len(held)})"
            )


def to_told(bundle: Bundle) -> list[Any]:
    """Return the entries of a record in plain values, for whoever has its content: `from_told` reads them."""
    return [len(bundle.before), [len(entry.text) for entry in bundle.entries], to_row(VersionList.of(bundle, 0))]


def from_told(told: Sequence[Any], content: bytes) -> Bundle:
    """Return the entries of a record.

    Args:
        told: from `to_told`.
        content: of the record.

    Raises:
        IntegrityError, TypeError, ValueError: they aren't those of this content.
    """
    at, sizes, row = told
    # Else the same bytes would be copied again and again.
    if type(sizes) is not list or not all(type(one) is int and one >= 0 for one in (at, *sizes)):
        raise TypeError("sizes that are none")
    before, texts = content[:at], []
    for size in sizes:
        texts.append(content[at : at + size])
        at += size + 1
    [listed] = from_rows([row])
    entries = tuple(
        frozen(Entry, text=text, version=version) for text, version in zip(texts, listed.versions, strict=True)
    )
    bundle = Bundle(before, entries, listed.newest_first)
    if bundle.holding(range(len(entries))) != content:
        raise ValueError("the entries of another content")
    return bundle


def to_row(one: VersionList) -> list[Any]:
    """Return a list as it stands in an inventory."""
    servers = sorted({version.base for version in one.versions})
    rows = (
        "\t".join(
            (
                version.name,
                version.number,
                version.updated,
                str(STATES.index(version.state)),
                str(servers.index(version.base)),
            )
        )
        for version in one.versions
    )
    prints = b"".join(version.print.ljust(PRINT_SIZE, b"\0") for version in one.versions)
    return [one.index, one.newest_first, servers, "\n".join(rows), prints]


def from_rows(rows: Sequence[Any]) -> list[VersionList]:
    """Read the lists of an inventory.

    Raises:
        IntegrityError: one is malformed, or they name more than MAX_ROWS entries together.
    """
    found: list[VersionList] = []
    left = MAX_ROWS
    for index, newest_first, servers, lines, prints in rows:
        if type(index) is not int or type(newest_first) is not bool or not isinstance(lines, str):
            raise IntegrityError("a list of resources has a field of the wrong type")
        if not isinstance(prints, bytes) or type(servers) is not list:
            raise IntegrityError("a list of resources has a field of the wrong type")
        if not all(isinstance(one, str) and _SERVER.fullmatch(one) for one in servers):
            raise IntegrityError("a list of resources has a server that is none")
        # Counted before anything is cut: ten million ids are ten million objects.
        count = lines.count("\n") + 1
        left -= count
        if left < 0:
            raise IntegrityError(f"an envelope lists more than {MAX_ROWS:,} resources")
        if len(prints) != count * PRINT_SIZE:
            raise IntegrityError(f"a list of {count} resources has {len(prints)} bytes of fingerprints")
        versions = tuple(
            _version(line, servers, prints[place * PRINT_SIZE : (place + 1) * PRINT_SIZE])
            for place, line in enumerate(lines.split("\n"))
        )
        found.append(VersionList(index, newest_first, versions))
    return found


def _version(line: str, servers: Sequence[str], made: bytes) -> Version:
    fields = _ROW.fullmatch(line)
    if fields is None or int(fields[4]) >= len(STATES) or int(fields[5]) >= len(servers):
        raise IntegrityError("a list of resources has a line that none of ours writes")
    name, number, updated, state, server = fields.groups()
    return frozen(
        Version,
        name=name,
        number=number,
        updated=updated,
        state=STATES[int(state)],
        base=servers[int(server)],
        print=made if name else b"",
    )
