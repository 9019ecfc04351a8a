"""Lookups: whether a server that logs which keys readers look for knows whose rows later manifests have.

Patients look each day for their records in the day's manifest, down to the first key that isn't there, and whoever
serves them writes all keys down. Then the next manifest appears, and each of its rows is put with the patient whose
lookups of the days before name it, or come nearest to it. Keys are made as `panachain/records/publish.py` makes them;
for the control as they were before, from a counter that goes on from manifest to manifest. Never gives the server a key
of a lane.
"""

from __future__ import annotations

import os
import random
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from _linkability_attack import rand_index

from panachain.crypto import keys
from panachain.ipld.cid import CID, RAW
from panachain.records.publish import Rows

LOOKUPS: tuple[str, ...] = ("the key that was looked for", "the nearest key that was looked for", "the same leaf")
_HEADER = CID.of(RAW, b"")


def lookups(*, manifests: int = 1000, patients: int = 100, records: int = 20, control: bool = False) -> list[float]:
    """Return the adjusted Rand index of each of `LOOKUPS` over the rows of all manifests but the first.

    Args:
        manifests: how many appear, one a day.
        patients: who look, each in one lane.
        records: of each manifest.
        control: whether keys come from a counter that goes on, as they did before.
    """
    chance = random.Random(manifests)
    lanes = [os.urandom(32) for _ in range(patients)]
    counters = [0] * patients
    exact: dict[bytes, int] = {}
    latest: list[tuple[bytes, int]] = []
    truth: list[int] = []
    guesses: tuple[list[int], ...] = ([], [], [])
    for sequence in range(1, manifests + 1):
        present: dict[bytes, int] = {}
        owners = [chance.randrange(patients) for _ in range(records)]
        if control:
            for owner in owners:
                present[keys.brief_id(lanes[owner], 0, counters[owner])] = owner
                counters[owner] += 1
        else:
            for owner in set(owners):
                made = Rows(sequence)
                for _ in range(owners.count(owner)):
                    made.add([lanes[owner]], _HEADER)
                # The rest of a header's rows are random.
                present |= dict.fromkeys(list(made.entries)[::4], owner)
        if latest:
            for key, owner in present.items():
                truth.append(owner)
                # What no lookup names stands alone.
                guesses[0].append(exact.get(key, patients + len(truth)))
                guesses[1].append(_nearest(latest, key))
                guesses[2].append(_nearest(latest, key[:1] + bytes(15)))
        # All readers look, and the server writes it down.
        latest = []
        for owner, lane in enumerate(lanes):
            number = counters[owner] if control else 0
            while (key := keys.brief_id(lane, 0 if control else sequence, number)) in present:
                number += 1
            latest.append((key, owner))
            exact[key] = owner
        latest.sort()
    return [rand_index(np.array(truth), np.array(one)) for one in guesses]


def _nearest(logged: Sequence[tuple[bytes, int]], key: bytes) -> int:
    place = bisect_left(logged, (key, -1))
    around = logged[max(place - 1, 0) : place + 1]
    return min(around, key=lambda one: abs(int.from_bytes(one[0], "big") - int.from_bytes(key, "big")))[1]
