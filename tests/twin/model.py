"""What must be open and what must be closed, in a few plain dicts: written from the design, not from the code.

Follows design sections 2 (lanes), 4 (categories) and 8 (grant, open, revoke). Nothing of the package is imported.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Lane = tuple[str, int]
"""Scope and generation."""
THRESHOLD = 2
RESTRICTED = ("mental-health", "substance-use", "sexual-health", "gender", "violence", "private")
MARGIN = 600
"""Seconds that a window has been over before a proxy deletes for good."""


@dataclass(frozen=True)
class Refusal:
    """The documented error that must come instead of records: one of these classes."""

    names: tuple[str, ...]


@dataclass
class Version:
    """One header of a record, and the lanes that find it and that its envelope is wrapped to."""

    lanes: frozenset[Lane]
    epoch: int
    stored: bool = True


@dataclass
class Record:
    category: str
    year: int
    where: str
    versions: list[Version]

    @property
    def newest(self) -> Version:
        return self.versions[-1]


@dataclass
class Policy:
    grantee: str
    lanes: tuple[Lane, ...]
    purposes: tuple[str, ...]
    starts_at: int
    expires_at: int
    received: set[int]
    """Proxies that got a share."""
    held: set[int] = field(default_factory=set)
    """Proxies that still have it."""
    revoked: bool = False
    evidence: set[int] = field(default_factory=set)
    """Proxies whose signed deletion the patient holds."""
    sealed: int = 0
    """Generation of the group's key that it was granted to, if it was granted to the group."""

    @property
    def scopes(self) -> list[str]:
        return list(dict.fromkeys(scope for scope, _ in self.lanes))


@dataclass
class Paired:
    """What a hospital knows of the patient's lanes, and what it was asked to move."""

    epoch: int
    current: dict[str, int]
    orders: set[str] = field(default_factory=set)


def path_of(category: str, year: int) -> list[str]:
    """Return the scopes of a record, as design sections 2 and 4 say."""
    wide = [] if category in RESTRICTED else ["all"]
    emergency = ["emergency"] if category == "allergies" else []
    return [*wide, category, f"{category}/{year}", *emergency]


class Model:
    """The world as it must be."""

    def __init__(self, people: Iterable[str], hospitals: Iterable[str], proxies: int) -> None:
        self.records: dict[str, Record] = {}
        self.policies: dict[str, Policy] = {}
        self.epoch = 0
        self.generations: dict[str, list[int]] = defaultdict(lambda: [0])
        self.paired = {name: Paired(0, {}) for name in hospitals}
        self.suspended: set[str] = set()
        self.members: set[str] = set()
        self.renewals = 0
        """Of the group's key: its newest generation."""
        self.known = dict.fromkeys(people, -1)
        """Newest generation of the group's key that was sealed to each; with it they got all before; -1 for none."""
        self.up = set(range(proxies))
        self.honest = set(range(proxies))
        self.seen: dict[str, set[tuple[str, Lane, str, int]]] = {name: set() for name in people}
        """Of each thief: (policy, lane, record, version) whose wrap the thief has."""
        self.cfrags: dict[str, dict[tuple[str, Lane, str, int], set[int]]] = {name: defaultdict(set) for name in people}
        self.stolen: dict[str, set[str]] = {name: set() for name in people}

    # The group

    def join(self, name: str) -> None:
        """Make somebody a member, with all keys, so that they read what was granted before, too."""
        self.members.add(name)
        self.known[name] = self.renewals

    def renew(self) -> None:
        """Give the group a new key, and this to those who count as members now."""
        self.renewals += 1
        for name in self.members - self.suspended:
            self.join(name)

    @property
    def ever_members(self) -> list[str]:
        return sorted(name for name, generation in self.known.items() if generation >= 0)

    @property
    def renewal_due(self) -> bool:
        """Tell whether others have the newest key than those who count as members."""
        return {n for n, generation in self.known.items() if generation == self.renewals} != (
            self.members - self.suspended
        )

    # Publishing

    def publish(self, name: str, category: str, year: int, where: str) -> None:
        self.records[name] = Record(category, year, where, [self._version(category, year, where)])

    def _version(self, category: str, year: int, where: str) -> Version:
        known = self.paired[where]
        lanes = frozenset((scope, known.current.get(scope, 0)) for scope in path_of(category, year))
        return Version(lanes, known.epoch)

    def rewrap(self, where: str) -> int:
        moved = 0
        for name in sorted(self.paired[where].orders):
            record = self.records[name]
            record.newest.stored = False
            record.versions.append(self._version(record.category, record.year, where))
            moved += 1
        self.paired[where].orders = set()
        return moved

    # Lanes

    def current(self, scope: str) -> int:
        return self.generations[scope][-1]

    def lanes_of(self, scopes: Sequence[str]) -> tuple[Lane, ...]:
        return tuple((scope, number) for scope in scopes for number in self.generations[scope])

    def pair(self, where: str) -> None:
        """Tell a hospital the lanes as they are now, and what of its records to move there."""
        current = {scope: numbers[-1] for scope, numbers in self.generations.items()}
        orders = {
            name
            for name, record in self.records.items()
            if record.where == where
            and any(self.current(scope) > record.newest.epoch for scope in path_of(record.category, record.year))
        }
        self.paired[where] = Paired(self.epoch, current, orders)

    def rotate(self, policy: Policy, now: int) -> None:
        """Give a policy's lanes, and those of its grantee's ended ones, a new generation; tell the hospitals."""
        lost = [
            other
            for other in self.policies.values()
            if other is policy or (other.grantee == policy.grantee and (other.revoked or now >= other.expires_at))
        ]
        stale = {scope for one in lost for scope, number in one.lanes if number == self.current(scope)}
        if stale:
            self.epoch += 1
            for scope in stale:
                self.generations[scope].append(self.epoch)
        for where in self.paired:
            self.pair(where)

    def lagging(self, now: int) -> list[str]:
        """Return the policies that a rotation must grant anew."""
        return [
            name
            for name, policy in self.policies.items()
            if not policy.revoked
            and now < policy.expires_at
            and any((scope, self.current(scope)) not in policy.lanes for scope in policy.scopes)
        ]

    # Policies

    def grant(
        self, name: str, grantee: str, scopes: Sequence[str], purposes: Sequence[str], window: tuple[int, int]
    ) -> None:
        got = set(self.up)
        policy = Policy(grantee, self.lanes_of(scopes), tuple(purposes), *window, got, set(got), sealed=self.renewals)
        self.policies[name] = policy

    def revoke(self, name: str) -> None:
        """Take a policy back, and have it deleted by the proxies that can be reached and obey."""
        policy = self.policies[name]
        policy.revoked = True
        obeying = self.up & self.honest & policy.received
        policy.held -= obeying
        policy.evidence |= obeying

    def hand_out(self, now: int) -> None:
        """Give the proxies that can be reached the shares that they missed."""
        for policy in self.policies.values():
            if not policy.revoked and now < policy.expires_at:
                missed = self.up - policy.received
                policy.received |= missed
                policy.held |= missed

    def settle(self, now: int) -> None:
        """Hand out shares, and ask for the deletions that are missing."""
        self.hand_out(now)
        for name, policy in self.policies.items():
            if policy.revoked:
                self.revoke(name)

    def sweep(self, number: int, now: int) -> None:
        for policy in self.policies.values():
            if (policy.revoked or policy.expires_at + MARGIN <= now) and number in self.up & self.honest:
                policy.held.discard(number)

    # Reading

    def counts_as(self, person: str, grantee: str) -> bool:
        """Tell whether the chains count a person to a grantee now."""
        return person == grantee or (grantee == "group" and person in self.members and person not in self.suspended)

    def knows(self, person: str, policy: Policy) -> bool:
        """Tell whether a person ever got the key that a policy was granted to."""
        return person == policy.grantee or (policy.grantee == "group" and policy.sealed <= self.known[person])

    def open(self, person: str, name: str, purpose: str, now: int) -> set[str] | Refusal:
        """Return the records that an opening gives, or how it must be refused."""
        policy = self.policies[name]
        if person in self.suspended:
            return Refusal(("SuspendedError",))
        if not self.counts_as(person, policy.grantee) or not self.knows(person, policy):
            return Refusal(("PolicyUnknownError",))
        if policy.revoked:
            return Refusal(("PolicyRevokedError",))
        if now < policy.starts_at:
            return Refusal(("PolicyNotActiveError",))
        if now >= policy.expires_at:
            return Refusal(("PolicyExpiredError",))
        if purpose not in policy.purposes:
            return Refusal(("OutOfScopeError",))
        found = self._find(policy)
        if isinstance(found, set) and found and len(self.up & policy.held) < THRESHOLD:
            return Refusal(
                (
                    "ProxiesUnavailableError",
                    "PolicyUnknownError",
                )
            )
        return found

    def _find(self, policy: Policy) -> set[str] | Refusal:
        mine = set(policy.lanes)
        found = {name for name, record in self.records.items() if record.newest.lanes & mine}
        lost = {
            name
            for name, record in self.records.items()
            if name not in found and any(version.lanes & mine for version in record.versions)
        }
        if lost:
            # The policy lags behind a rotation that was interrupted: the answer wouldn't be complete.
            return Refusal(("BlockNotFoundError",))
        return found

    # Stealing

    def steal(self, person: str, now: int) -> set[str]:
        """Return what a reader who keeps everything has after asking every proxy for everything."""
        for name, policy in self.policies.items():
            if not self.knows(person, policy):
                continue
            for lane in policy.lanes:
                self._steal_lane(person, name, policy, lane, now)
        return self.stolen[person]

    def _steal_lane(self, person: str, name: str, policy: Policy, lane: Lane, now: int) -> None:
        self.seen[person] |= {
            (name, lane, record_name, number)
            for record_name, record in self.records.items()
            for number, version in enumerate(record.versions)
            if version.stored and lane in version.lanes
        }
        places = {place for place in self.seen[person] if place[:2] == (name, lane)}
        kept = self.cfrags[person]
        for proxy in sorted(self.up & policy.received):
            wanted = {place for place in places if proxy not in kept[place]}
            if wanted and self._serves(proxy, person, policy, now):
                for place in wanted:
                    kept[place].add(proxy)
        self.stolen[person] |= {place[2] for place in places if len(kept[place]) >= THRESHOLD}

    def _serves(self, proxy: int, person: str, policy: Policy, now: int) -> bool:
        if proxy not in self.honest:
            return proxy in policy.held
        if policy.revoked or now >= policy.expires_at:
            # A proxy that is asked for what is over for good lets go of it.
            if policy.revoked or now >= policy.expires_at + MARGIN:
                policy.held.discard(proxy)
            return False
        active = policy.starts_at <= now and person not in self.suspended
        return active and self.counts_as(person, policy.grantee) and proxy in policy.held
