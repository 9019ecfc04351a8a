"""In what capacity somebody opened something that was granted to somebody else, as the sidechain tells of that time.

Honest proxies serve a group's members, and whoever broke the glass for the patient. What several of them sign against
that is told: nothing here accuses one, and nothing is hidden. Follows docs/spec/log.md, section "What a line tells".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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
"""Neither: it was granted to others."""
_SLACK: Final = 120
"""Seconds by which proxies' clocks and blocks may differ."""


class Standing:
    """Tells of some readings of one patient in what capacity people opened; asks the sidechain once for each pair."""

    def __init__(self, sidechain: Sidechain, patient: Address) -> None:
        """Take the sidechain, and whose readings these are."""
        self._sidechain = sidechain
        self._patient = patient
        self._members: dict[tuple[Address, Address], list[range]] = {}

    def of(self, reading: Reading) -> str:
        """Return `MEMBER`, `EMERGENCY` or `OUTSIDE`; empty for whom it was granted to, and where nobody is named.

        Raises:
            ChainUnavailableError: the sidechain doesn't answer.
            IntegrityError: its node shows what can't be.
        """
        if not reading.granted_to or not reading.requester or reading.granted_to == reading.requester:
            return ""
        grantee, person = Address(reading.granted_to), Address(reading.requester)
        if delay_of(self._patient, grantee) is not None:
            return EMERGENCY if self._in_emergency(grantee, person, reading) else OUTSIDE
        key = grantee, person
        if key not in self._members:
            self._members[key] = self._sidechain.groups.times_of(grantee, person)
        first, last = reading.at - _SLACK, reading.ended_at + _SLACK
        return MEMBER if any(one.start <= last and first < one.stop for one in self._members[key]) else OUTSIDE

    def _in_emergency(self, grantee: Address, person: Address, reading: Reading) -> bool:
        for one in self._sidechain.emergency.find(practitioner=person, patient=self._patient):
            opens = one.opens_at(grantee, counted=lambda emergency: emergency.cosigned_at) if one.cosigned_at else None
            if opens is None:
                continue
            begins = max(opens, one.cosigned_at)
            if begins - _SLACK <= reading.ended_at and reading.at < one.expires_at + _SLACK:
                return True
        return False
