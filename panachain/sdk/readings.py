"""Readings: what several proxies signed about one opening, told once.

A patient's log has a line per receipt, and an opening leaves several: one for each proxy that helped, each lane and
each hospital. Pure: receipts come in, readings come out. Never hides a receipt: each belongs to exactly one reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from panachain.model.policy import ReceiptKind
from panachain.sdk.times import iso, utc

if TYPE_CHECKING:
    from panachain.model.actors import Address, PolicyId
    from panachain.sdk.results.log import LogEntry

APART: Final = 60
"""Seconds without a receipt after which the next one belongs to another opening: a request to a proxy counts for 45 s,
and the proxies' clocks differ by a few."""

LONGEST: Final = 3600
"""Seconds that one opening lasts at most. Else one proxy could join openings of days, by a receipt a minute."""

_READ: Final = (ReceiptKind.REENCRYPTED.value, ReceiptKind.DENIED.value)
"""Kinds that tell of somebody who asked; deposits and deletions are the patient's own doing."""


@dataclass(frozen=True)
class Reading:
    """One opening, or one refused attempt, as the proxies signed it.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     opened = list(doctor.open(next(doctor.inbox())))
        >>> with connect("me", role="patient") as patient:
        ...     reading = next(patient.log())
        >>> reading.who, reading.what, reading.permitted
        ('doctor', ('laboratory',), True)
    """

    requester: str
    """Address of the person who asked."""
    granted_to: str
    """Address of the grantee: the same person, or a group of theirs."""
    policy_id: PolicyId
    what: tuple[str, ...]
    """The lanes' scopes, in the order in which they were asked for."""
    purpose: str
    """Why, as the requester stated it: a code of HL7 v3 PurposeOfUse."""
    at: int
    """Of the first receipt, Unix seconds."""
    ended_at: int
    """Of the last one."""
    permitted: bool
    """Whether the proxies served; else they refused."""
    envelopes: int
    """How many envelopes (one for each patient's records of one upload and lane) were opened, at least."""
    proxies: tuple[Address, ...]
    """Who signed, in the order of their first receipts."""
    late: tuple[Address, ...] = ()
    """Who of them served when the policy didn't allow it: their receipts convict them."""
    who: str = ""
    """What this machine calls the person who asked: a profile's or a contact's name, or the handle."""

    @property
    def when(self) -> datetime:
        """When it began, in UTC."""
        return utc(self.at)

    def to_json(self) -> dict[str, object]:
        """Return the reading as JSON, schema `panachain/reading/1`."""
        return {
            "schema": "panachain/reading/1",
            "who": self.requester,
            "granted_to": self.granted_to,
            "policy_id": self.policy_id,
            "what": list(self.what),
            "purpose": self.purpose,
            "when": iso(self.at),
            "until": iso(self.ended_at),
            "permitted": self.permitted,
            "envelopes": self.envelopes,
            "proxies": list(self.proxies),
            "late": list(self.late),
        }


def readings(entries: Iterable[LogEntry], *, apart: int = APART, longest: int = LONGEST) -> list[Reading]:
    """Put the receipts of each opening together.

    Receipts are of one opening if policy, requester, grantee, purpose and outcome are the same, no more than `apart`
    seconds lie between each and the one before, and no more than `longest` between the first and the last. Lanes and
    hospitals don't divide an opening: it goes through all of them. Two openings of the same policy within that time are
    told as one.

    Args:
        entries: a patient's log, in any order; deposits and deletions are left out.
        apart: seconds.
        longest: seconds; what goes on for longer is told as several openings.

    Returns:
        The readings, by the time of their first receipt.
    """
    groups: dict[tuple[object, ...], list[list[LogEntry]]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.at, entry.proxy, entry.scopes, entry.count)):
        if entry.kind not in _READ:
            continue
        # A late service is told by itself: what was allowed beside it mustn't hide it, nor be blamed for it.
        key = (entry.policy_id, entry.requester, entry.grantee, entry.purpose, entry.kind, entry.late)
        openings = groups.setdefault(key, [])
        current = openings[-1] if openings else []
        if current and entry.at - current[-1].at <= apart and entry.at - current[0].at <= longest:
            current.append(entry)
        else:
            openings.append([entry])
    found = [_reading(opening) for openings in groups.values() for opening in openings]
    return sorted(found, key=_order)


def _order(reading: Reading) -> tuple[object, ...]:
    return reading.at, reading.policy_id, reading.requester, reading.purpose, not reading.permitted, reading.late


def _reading(entries: Sequence[LogEntry]) -> Reading:
    first, last = entries[0], entries[-1]
    return Reading(
        requester=first.requester,
        granted_to=first.grantee,
        policy_id=first.policy_id,
        what=tuple(dict.fromkeys(scope for entry in entries for scope in entry.scopes)),
        purpose=first.purpose,
        at=first.at,
        ended_at=last.at,
        permitted=first.kind == ReceiptKind.REENCRYPTED.value,
        envelopes=_envelopes(entries),
        proxies=tuple(dict.fromkeys(entry.proxy for entry in entries)),
        late=tuple(dict.fromkeys(entry.proxy for entry in entries if entry.late)),
    )


def _envelopes(entries: Sequence[LogEntry]) -> int:
    """Return how many envelopes were opened, at least.

    Each proxy that helps with a lane signs how many keys it re-encrypted, and an envelope needs the threshold of them:
    so the proxy that helped most tells the least number.
    """
    served: Counter[tuple[tuple[str, ...], Address]] = Counter()
    for entry in entries:
        served[entry.scopes, entry.proxy] += entry.count
    lanes = {scopes for scopes, _ in served}
    return sum(max(number for (of, _), number in served.items() if of == lane) for lane in lanes)
