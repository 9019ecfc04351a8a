"""A hospital finds its own records again: in each of its manifests, by the lanes of its patients.

As readers do (records/locate.py), with the locator keys that pairings gave the hospital; so what it finds is what a
patient finds. Opens nothing. Follows design sections 7 and 8 (Publish), security rule 25 and ADR 37.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from panachain.crypto import keys
from panachain.ipld.cid import CID
from panachain.model.actors import Address
from panachain.model.scope import Scope
from panachain.records.pairing import Pairing


@dataclass(frozen=True)
class OwnLane:
    """A lane of a patient, as a paired hospital knows it."""

    patient: Address
    scope: Scope
    generation: int
    locator_key: bytes = field(repr=False)
    """The hospital's own, 32 bytes."""


@dataclass(frozen=True)
class Found:
    """A record, found in one lane."""

    lane: OwnLane
    header: CID


def lanes_of(pairings: Iterable[Pairing]) -> list[OwnLane]:
    """Return the lanes of some pairings, each once."""
    lanes: dict[tuple[Address, str, int], OwnLane] = {}
    for pairing in pairings:
        for scope, lane in pairing.lanes.items():
            key = pairing.patient, scope.text, lane.generation
            lanes.setdefault(key, OwnLane(pairing.patient, scope, lane.generation, lane.locator_key))
    return list(lanes.values())


class LaneWalk:
    """Looks for the records of some lanes in manifests, each by itself."""

    def __init__(self, lanes: Iterable[OwnLane]) -> None:
        """Take the lanes."""
        self._awake: list[OwnLane] = []
        self._years: dict[tuple[Address, str], list[OwnLane]] = defaultdict(list)
        for lane in lanes:
            category, _, year = lane.scope.text.partition("/")
            # A record is in its category's lane, too: those of its 130 years needn't be looked for before.
            if year:
                self._years[lane.patient, category].append(lane)
            else:
                self._awake.append(lane)

    def take(self, sequence: int, rows: Mapping[bytes, CID]) -> Iterator[Found]:
        """Yield what the lanes find in the rows of a manifest, each lane's records in their order.

        Args:
            sequence: of the manifest.
            rows: all of its rows.
        """
        years: dict[tuple[Address, str], Sequence[OwnLane]] = {}
        for lane in self._awake:
            place = lane.patient, lane.scope.text
            for found in _found(lane, sequence, rows):
                years[place] = self._years.get(place, ())
                yield found
        for woken in years.values():
            for lane in woken:
                yield from _found(lane, sequence, rows)


def _found(lane: OwnLane, sequence: int, rows: Mapping[bytes, CID]) -> Iterator[Found]:
    for number in count():
        header = rows.get(keys.brief_id(lane.locator_key, sequence, number))
        if header is None:
            return
        yield Found(lane, header)
