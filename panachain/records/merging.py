"""Merging: eight manifests of one level become one of the next, so that readers look at few however many there are.

The batch whose sequence completes a group carries the group's rows beside its own, in its own manifest, under keys made
from its own sequence: nothing but a header's CID ties a row to the one it had before. Pure: fetches nothing. Follows
ADR 37.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from panachain.ipld.cid import CID
from panachain.model.scope import Category, path_of
from panachain.records.lane_walk import LaneWalk, OwnLane

FAN: Final = 8
"""Manifests of one level that make one of the next."""


def firsts(sequence: int) -> Iterator[int]:
    """Yield from which sequences on a manifest may stand for those before it, the widest group first.

    One of sequence 128 completes 2 groups of 64: it stands for 65 to 128, or else for 121 to 128.
    """
    size = FAN
    sizes = []
    while sequence % size == 0:
        sizes.append(size)
        size *= FAN
    for size in reversed(sizes):
        yield sequence - size + 1


@dataclass(frozen=True)
class Merging:
    """What a manifest carries of earlier ones."""

    first: int
    """The first sequence that it stands for."""
    lanes: Mapping[bytes, tuple[CID, ...]]
    """The headers of each lane, oldest first, by the hospital's own locator key of it."""
    headers: Mapping[CID, int]
    """How many lanes find each header."""


@dataclass(frozen=True)
class Lost:
    """Why manifests can't be merged: no lane that the hospital knows finds some of their headers as it must."""

    headers: int
    """How many."""


def merged(
    first: int, manifests: Iterable[tuple[int, Mapping[bytes, CID]]], lanes: Iterable[OwnLane], gone: Container[CID]
) -> Merging | Lost:
    """Return the rows of some manifests, lane by lane, to be keyed anew.

    Args:
        first: the first sequence that they stand for.
        manifests: sequence and rows of each, in order.
        lanes: all of the patients whose records are in them.
        gone: headers that drop out: another one stands for them, or their record was withdrawn.
    """
    walk = LaneWalk(lanes)
    found: dict[bytes, dict[CID, None]] = defaultdict(dict)
    scopes: dict[CID, set[str]] = {}
    for sequence, rows in manifests:
        scopes |= {header: set() for header in rows.values() if header not in gone and header not in scopes}
        for one in walk.take(sequence, rows):
            if one.header not in gone:
                found[one.lane.locator_key].setdefault(one.header)
                scopes[one.header].add(one.lane.scope.text)
    # A row that can't be keyed anew would be lost to its readers.
    lost = sum(not _is_whole(texts) for texts in scopes.values())
    if lost:
        return Lost(lost)
    counts = {header: len(texts) for header, texts in scopes.items()}
    return Merging(first, {key: tuple(headers) for key, headers in found.items()}, counts)


def _is_whole(scopes: set[str]) -> bool:
    """Tell whether these are all lanes of a path, but for that of the emergency where a patient may choose it."""
    narrow = next((text for text in scopes if "/" in text), None)
    if narrow is None:
        return False
    name, _, year = narrow.partition("/")
    return {scope.text for scope in path_of(Category.parse(name), int(year))} <= scopes
