"""Readings: what several proxies signed about one opening, told once.

A patient's log has a line per receipt, and an opening leaves several: one for each proxy that helped, each lane and
each hospital. Pure: receipts come in, readings come out. Never hides a receipt: each belongs to exactly one reading.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

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

_COMPARED: Final = 64
"""Other openings of one envelope that one is compared with."""

_READ: Final = (ReceiptKind.REENCRYPTED.value, ReceiptKind.DENIED.value)
"""Kinds that tell of somebody who asked; deposits and deletions are the patient's own doing."""


REFUSED: Final = "refused"
"""A proxy signed that it refused what others served."""
SERVED: Final = "served"
"""A proxy signed that it served what others refused."""
OTHERWISE: Final = ("requester", "granted_to", "purpose")
"""A proxy signed that somebody else read the same envelopes then, for another grantee, or for another purpose."""


@dataclass(frozen=True)
class Dissent:
    """What one proxy signed about an opening that doesn't fit what the others signed.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     [str(one) for reading in patient.log() for one in reading.dissents]
        []
    """

    proxy: Address
    says: str
    """`REFUSED`, `SERVED`, or one of `OTHERWISE`: in which field it differs."""
    value: str = ""
    """What it says in that field; empty for `REFUSED` and `SERVED`."""

    def __str__(self) -> str:
        """Return it as `PROXY refused`, or `PROXY purpose HRESCH`."""
        return f"{self.proxy} {self.says} {self.value}".rstrip()

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, within `panachain/reading/1`."""
        return {"proxy": self.proxy, "says": self.says, "value": self.value}


@dataclass(frozen=True)
class Reading:
    """One opening, or one refused attempt, as the proxies signed it.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     opened = list(doctor.open(next(one for one in doctor.inbox() if one.active)))
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
    """How many envelopes (one for each patient's records of one upload and lane) were opened, at least: those for which
    as many proxies signed as an opening takes."""
    proxies: tuple[Address, ...]
    """Who signed, in the order of their first receipts."""
    late: tuple[Address, ...] = ()
    """Who of them served when the policy didn't allow it: their receipts convict them."""
    who: str = ""
    """What this machine calls the person who asked: a profile's or a contact's name, or the handle."""
    role: str = ""
    """What the registry says now that the person is, such as `practitioner`; empty where that isn't known."""
    organisation: str = ""
    """Address of the hospital under which the registry has the person; empty for none."""
    organisation_name: str = ""
    """What this machine calls the organisation."""
    needed: int = 0
    """How many proxies an opening by this policy takes; 0 where it isn't known."""
    unconfirmed: int = 0
    """Of how many envelopes fewer proxies signed than an opening takes: it failed, or the others keep silent."""
    dissents: tuple[Dissent, ...] = ()
    """Who signed something about it that doesn't fit."""
    asked: int = 0
    """How many proxies the policy has; 0 where it isn't known."""
    silent: tuple[Address, ...] = ()
    """Proxies of the policy that lied or told nothing when they were asked: they may know of it, too."""
    standing: str = ""
    """In what capacity they asked for what was granted to others, as the sidechain tells of that time: `member` of
    the group, or `outside`; of a grant for emergencies `emergency` (they broke the glass, or the sidechain couldn't be
    asked), or `no-emergency` (they were in none). Empty for whom it was granted to, and where it isn't known."""
    records: tuple[str, ...] = ()
    """CIDs of the headers of the patient's records in what was opened; empty where nobody looked (`Auditing.named`)."""
    marks: frozenset[bytes] = field(default=frozenset(), compare=False, repr=False)
    """By which the proxies name the capsules that they re-encrypted."""

    @property
    def is_confirmed(self) -> bool:
        """Whether as many proxies as an opening takes signed for any of it; of a refusal always."""
        return not self.permitted or not self.unconfirmed or self.envelopes > 0

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
            "role": self.role,
            "organisation": self.organisation,
            "needed": self.needed,
            "asked": self.asked,
            "unconfirmed": self.unconfirmed,
            "dissents": [one.to_json() for one in self.dissents],
            "silent": list(self.silent),
            "records": list(self.records),
            "standing": self.standing,
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
    told = list(entries)
    groups: dict[tuple[object, ...], list[list[LogEntry]]] = {}
    for entry in sorted(told, key=lambda entry: (entry.at, entry.proxy, entry.scopes, entry.count)):
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
    silent: dict[PolicyId, dict[Address, None]] = {}
    for entry in told:
        if entry.reason:
            silent.setdefault(entry.policy_id, {})[entry.proxy] = None
    made = [_Opening(tuple(opening)) for openings in groups.values() for opening in openings]
    made.sort(key=lambda one: one.first.at)
    beside = _Beside(made, apart=apart, longest=longest)
    found = [
        replace(one.reading(), silent=tuple(silent.get(one.first.policy_id, ())), **_compared(one, beside))
        for one in made
    ]
    return sorted(found, key=_order)


def _order(reading: Reading) -> tuple[object, ...]:
    return reading.at, reading.policy_id, reading.requester, reading.purpose, not reading.permitted, reading.late


@dataclass(frozen=True)
class _Opening:
    """The receipts of one opening, in the order of their times."""

    entries: tuple[LogEntry, ...]

    @property
    def first(self) -> LogEntry:
        return self.entries[0]

    @property
    def ended_at(self) -> int:
        return self.entries[-1].at

    @property
    def served(self) -> bool:
        return bool(self.first.kind == ReceiptKind.REENCRYPTED.value)

    @property
    def who(self) -> tuple[str, ...]:
        """What a proxy may say otherwise: the fields of `OTHERWISE`, in that order."""
        return self.first.requester, self.first.grantee, self.first.purpose

    @property
    def proxies(self) -> tuple[Address, ...]:
        return tuple(dict.fromkeys(entry.proxy for entry in self.entries))

    @cached_property
    def signers(self) -> Mapping[bytes, frozenset[Address]]:
        """Who signed for each envelope, by its mark."""
        found: dict[bytes, set[Address]] = {}
        for entry in self.entries:
            for mark in entry.marks:
                found.setdefault(mark, set()).add(entry.proxy)
        return {mark: frozenset(proxies) for mark, proxies in found.items()}

    def reading(self) -> Reading:
        first = self.first
        return Reading(
            requester=first.requester,
            granted_to=first.grantee,
            policy_id=first.policy_id,
            what=tuple(dict.fromkeys(scope for entry in self.entries for scope in entry.scopes)),
            purpose=first.purpose,
            at=first.at,
            ended_at=self.ended_at,
            permitted=self.served,
            envelopes=0,
            proxies=self.proxies,
            late=tuple(dict.fromkeys(entry.proxy for entry in self.entries if entry.late)),
            needed=first.needed,
            asked=first.asked,
            marks=frozenset(mark for entry in self.entries for mark in entry.marks),
        )


class _Beside:
    """Which openings are told of the same time, by whoever asked, and by the envelopes that they were of."""

    def __init__(self, openings: Iterable[_Opening], *, apart: int, longest: int) -> None:
        self._apart = apart
        self._longest = longest
        self._by_who: dict[tuple[str, ...], list[_Opening]] = {}
        self._by_mark: dict[tuple[str, bytes], list[_Opening]] = {}
        self._signers: dict[int, dict[bytes, frozenset[Address]]] = {}
        for one in openings:
            policy = one.first.policy_id
            self._by_who.setdefault((policy, *one.who), []).append(one)
            for mark in one.signers if one.served else ():
                self._by_mark.setdefault((policy, mark), []).append(one)

    def same(self, one: _Opening) -> Iterator[_Opening]:
        """Yield what else is told of the same attempt: another outcome, or what came late."""
        return self._beside(self._by_who[one.first.policy_id, *one.who], one)

    def signers(self, one: _Opening) -> Mapping[bytes, frozenset[Address]]:
        """Return who signed for each envelope of an opening that was served, in time or late."""
        if id(one) not in self._signers:
            found = dict(one.signers)
            for other in self.same(one):
                # What came late is told by itself, and was signed all the same.
                for mark in found.keys() & other.signers.keys() if other.served else ():
                    found[mark] |= other.signers[mark]
            self._signers[id(one)] = found
        return self._signers[id(one)]

    def is_confirmed(self, one: _Opening) -> bool:
        """Tell whether so many proxies as an opening takes signed for each envelope of one that was served."""
        signers, needed = self.signers(one), one.first.needed
        return all(len(proxies) >= needed for proxies in signers.values()) if signers else len(one.proxies) >= needed

    def others(self, one: _Opening, mark: bytes) -> Iterator[_Opening]:
        """Yield what is told of an envelope at that time with another person, grantee or purpose.

        Not without end: a proxy may sign as many as it likes, and comparing each with each would take all day.
        """
        known = self._by_mark[one.first.policy_id, mark]
        return (other for other in islice(self._beside(known, one), _COMPARED) if other.who != one.who)

    def _beside(self, known: Sequence[_Opening], one: _Opening) -> Iterator[_Opening]:
        # Sorted by when they began.
        begin = bisect_left(known, one.first.at - self._longest - self._apart, key=lambda other: other.first.at)
        for other in islice(known, begin, None):
            if other.first.at > one.ended_at + self._apart:
                return
            if other is not one and other.ended_at + self._apart >= one.first.at:
                yield other


def _compared(one: _Opening, beside: _Beside) -> Mapping[str, Any]:
    """Return what of an opening too few proxies signed, and who signed something that doesn't fit."""
    dissents: dict[Dissent, None] = {}
    for other in beside.same(one):
        if other.served == one.served:
            continue
        served, refused = (one, other) if one.served else (other, one)
        # More refusals than that, and it was another attempt: the rest couldn't have served it. What enough signed for
        # was served: the lone word that it was refused casts no doubt on it, nor on them.
        if len(refused.proxies) <= one.first.asked - one.first.needed and not beside.is_confirmed(served):
            says = SERVED if other.served else REFUSED
            dissents |= {Dissent(proxy, says): None for proxy in other.proxies if proxy not in one.proxies}
    if not one.served:
        return {"dissents": _sorted(dissents)}
    signers = beside.signers(one)
    lacking = {mark: proxies for mark, proxies in signers.items() if len(proxies) < one.first.needed}
    for mark, own in lacking.items():
        for other in beside.others(one, mark):
            differs = [(name, it) for name, it, mine in zip(OTHERWISE, other.who, one.who, strict=True) if it != mine]
            for proxy in other.signers[mark] - own:
                dissents |= {Dissent(proxy, name, value): None for name, value in differs}
    # Without marks the proxies alone count; whoever says that they opened nothing says that there was an opening.
    few = 0 if signers or len(one.proxies) >= one.first.needed else max(_envelopes(one.entries, {}, 1), 1)
    return {
        "envelopes": _envelopes(one.entries, signers, max(one.first.needed, 1)),
        "unconfirmed": len(lacking) or few,
        "dissents": _sorted(dissents),
    }


def _sorted(dissents: Iterable[Dissent]) -> tuple[Dissent, ...]:
    return tuple(sorted(dissents, key=lambda one: (one.proxy, one.says, one.value)))


def _envelopes(entries: Sequence[LogEntry], signers: Mapping[bytes, Set[Address]], needed: int) -> int:
    """Return how many envelopes were opened, at least: those for which `needed` proxies signed.

    Where all receipts of a lane name their envelopes, each is counted once that so many name. Else only how many keys
    each proxy re-encrypted is known, and the `needed`-th largest number is the least: fewer proxies can't raise it.
    """
    lanes: dict[tuple[str, ...], list[LogEntry]] = {}
    for entry in entries:
        lanes.setdefault(entry.scopes, []).append(entry)
    named, counted = set[bytes](), 0
    for several in lanes.values():
        if all(entry.marks for entry in several):
            named |= {mark for entry in several for mark in entry.marks}
            continue
        served: Counter[Address] = Counter()
        for entry in several:
            served[entry.proxy] += len(entry.marks) or entry.count
        counted += sum(sorted(served.values(), reverse=True)[needed - 1 : needed])
    return counted + sum(len(signers.get(mark, ())) >= needed for mark in named)
