"""A hospital finds its own records again: the counters of its patients' lanes, walked through its own manifests.

As readers do (records/locate.py), with the locator keys that pairings gave the hospital; so what it finds is what a
patient finds, and the counter after a lane's last record is the next one to use. Opens nothing. Follows design
sections 7 and 8 (Publish) and security rule 25.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from panachain.crypto import keys
from panachain.ipld.cid import CID
from panachain.model.actors import Address
from panachain.model.scope import Scope
from panachain.records.pairing import Pairing

Counters = Mapping[tuple[str, int], int]
"""The next counter of each lane, by scope and generation."""


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
    brief_id: bytes
    """16 bytes."""
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
    """Walks lanes through manifests, which must come in the order of publication."""

    def __init__(self, lanes: Iterable[OwnLane], counters: Mapping[Address, Counters]) -> None:
        """Take the lanes, and the counters at which they stand before the first manifest."""
        self._counters: dict[Address, dict[tuple[str, int], int]] = defaultdict(dict)
        self._next: dict[bytes, OwnLane] = {}
        self._asleep: dict[tuple[Address, str], list[OwnLane]] = defaultdict(list)
        for lane in lanes:
            following = counters.get(lane.patient, {}).get((lane.scope.text, lane.generation), 0)
            self._counters[lane.patient][lane.scope.text, lane.generation] = following
            category, _, year = lane.scope.text.partition("/")
            # A record is in its category's lane, too: those of its 130 years needn't be looked for before.
            if year and not following:
                self._asleep[lane.patient, category].append(lane)
            else:
                self._expect(lane)

    def take(self, rows: Mapping[bytes, CID]) -> Iterator[Found]:
        """Yield what the lanes find in the rows of the next manifest."""
        hits = [brief_id for brief_id in self._next if brief_id in rows]
        while hits:
            brief_id = hits.pop()
            lane = self._next.pop(brief_id)
            while brief_id in rows:
                yield Found(lane, brief_id, rows[brief_id])
                self._counters[lane.patient][lane.scope.text, lane.generation] += 1
                brief_id = self._brief_id(lane)
            self._next[brief_id] = lane
            for year in self._asleep.pop((lane.patient, lane.scope.text), ()):
                brief_id = self._expect(year)
                if brief_id in rows:
                    hits.append(brief_id)

    def counters(self, patient: Address) -> Counters:
        """Return the next counter of each of a patient's lanes that holds a record."""
        return {lane: following for lane, following in self._counters[patient].items() if following}

    def _expect(self, lane: OwnLane) -> bytes:
        brief_id = self._brief_id(lane)
        self._next[brief_id] = lane
        return brief_id

    def _brief_id(self, lane: OwnLane) -> bytes:
        return keys.brief_id(lane.locator_key, self._counters[lane.patient][lane.scope.text, lane.generation])
