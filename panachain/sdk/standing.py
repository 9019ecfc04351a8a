"""In what capacity somebody opened something that was granted to somebody else, as the sidechain tells of that time.

Honest proxies serve a group's members, and whoever broke the glass for the patient. What several of them sign against
that is told: nothing here accuses one, and nothing is hidden. Follows docs/spec/log.md, section "What a line tells".
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from panachain.errors import ChainUnavailableError, PanaChainError
from panachain.model.actors import Address
from panachain.model.emergencies import delay_of

if TYPE_CHECKING:
    from panachain.chain.sidechain import Sidechain
    from panachain.sdk.readings import Reading

MEMBER: Final = "member"
"""Of the group that it was granted to."""
EMERGENCY: Final = "emergency"
"""They broke the glass, and a second one had signed."""
OUTSIDE: Final = "outside"
"""Not of the group, or not the person, that it was granted to."""
NO_EMERGENCY: Final = "no-emergency"
"""It was granted for emergencies, and they were in none."""
_MOST: Final = 256
"""Pairs of grantee and person that the sidechain is asked about: one proxy may sign as many as it likes."""
_FAILURES: Final = 3
"""Questions that the sidechain may leave without an answer; each may take a while, and it is asked no more then."""
_LOG: Final = logging.getLogger(__name__)
_Pair = tuple[Address, Address]
"""Grantee and person."""
_SLACK: Final = 120
"""Seconds by which proxies' clocks and blocks may differ."""


class Standing:
    """Tells of one patient's readings in what capacity people opened; asks the sidechain once for each group."""

    def __init__(self, sidechain: Sidechain, patient: Address) -> None:
        """Take the sidechain, and whose readings these are."""
        self._sidechain = sidechain
        self._patient = patient

    def of(self, readings: Iterable[Reading]) -> list[str]:
        """Return `MEMBER`, `EMERGENCY`, `OUTSIDE` or `NO_EMERGENCY` for each reading.

        It is empty for whom it was granted to, where nobody is named, and where it isn't known: the sidechain told
        nothing of it that can be believed, or there are more pairs than are asked about (those of openings for which
        enough proxies signed come first). What was granted for emergencies is `EMERGENCY` then: the grant says so.
        """
        several = list(readings)
        # A proxy signs refusals and what nobody else signed as it likes: that mustn't take the others' places.
        firm = sorted(several, key=lambda one: not (one.permitted and one.is_confirmed))
        pairs = dict.fromkeys(pair for one in firm if (pair := _pair(one)) is not None)
        known = self._times(list(pairs)[:_MOST])
        return [self._standing(one, known) for one in several]

    def _standing(self, reading: Reading, known: Mapping[_Pair, Sequence[range]]) -> str:
        pair = _pair(reading)
        if pair is None:
            return ""
        emergency = self._is_emergency(pair[0])
        if pair not in known:
            return EMERGENCY if emergency else ""
        first, last = reading.at - _SLACK, reading.ended_at + _SLACK
        if any(one.start <= last and first < one.stop for one in known[pair]):
            return EMERGENCY if emergency else MEMBER
        return NO_EMERGENCY if emergency else OUTSIDE

    def _is_emergency(self, grantee: Address) -> bool:
        return delay_of(self._patient, grantee) is not None

    def _times(self, pairs: Sequence[_Pair]) -> dict[_Pair, list[range]]:
        """Return when each pair's person could open what was granted to its grantee; without those not known."""
        groups: dict[Address, list[Address]] = {}
        people: dict[Address, list[Address]] = {}
        for grantee, person in pairs:
            if self._is_emergency(grantee):
                people.setdefault(person, []).append(grantee)
            else:
                groups.setdefault(grantee, []).append(person)
        questions = [
            *((self._members, group, members) for group, members in groups.items()),
            *((self._emergencies, person, grantees) for person, grantees in people.items()),
        ]
        known: dict[_Pair, list[range]] = {}
        failures = 0
        for ask, one, others in questions:
            if failures == _FAILURES:
                break
            try:
                known |= ask(one, others)
            except PanaChainError as exc:
                # What isn't known of one keeps nobody from what is known of the others, and accuses nobody.
                failures += isinstance(exc, ChainUnavailableError)
                _LOG.warning("in what capacity somebody read isn't known now: %s", exc)
        return known

    def _members(self, group: Address, people: Sequence[Address]) -> dict[_Pair, list[range]]:
        times = self._sidechain.groups.times_of(group, people)
        return {(group, person): times[person] for person in people}

    def _emergencies(self, person: Address, grantees: Sequence[Address]) -> dict[_Pair, list[range]]:
        found = self._sidechain.emergency.find(practitioner=person, patient=self._patient)
        times: dict[_Pair, list[range]] = {(grantee, person): [] for grantee in grantees}
        for one in found:
            for grantee in grantees if one.cosigned_at else ():
                wait = one.opens_at(grantee, counted=lambda emergency: emergency.cosigned_at)
                if wait is not None:
                    times[grantee, person].append(range(max(wait.until, one.cosigned_at), one.expires_at))
        return times


def _pair(reading: Reading) -> _Pair | None:
    """Return the grantee and the person of what was granted to somebody else."""
    if not reading.granted_to or not reading.requester or reading.granted_to == reading.requester:
        return None
    return Address(reading.granted_to), Address(reading.requester)
