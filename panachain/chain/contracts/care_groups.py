"""CareGroups on the sidechain: care teams and departments, their keys and their members.

Whoever is listed is invited, and is a member once they accepted. Invitations are read from events of the person alone:
what a group is, and what is sealed to them, costs a reader nothing before they accept.
A group's first key block is checked against its address; later ones are as good as the source of events (ADR 13).
Follows design section 6 and contracts/interfaces/ICareGroups.sol.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from panachain.chain.abi import address
from panachain.chain.bound import MANY, Adapter, BoundContract, Indexed, Sends
from panachain.chain.codec import encode
from panachain.chain.contracts.identity_registry import IdentityRegistry
from panachain.chain.evm import Receipt
from panachain.chain.logs import Event
from panachain.errors import IntegrityError, UsageError
from panachain.ethereum import keccak
from panachain.model.actors import Actor, Address, Role, Status
from panachain.model.transactions import Invitation

_ALWAYS: Final = 1 << 62
"""Unix seconds that nobody lives to see."""
_LIFE: Final = ("GroupCreated", "GroupRenewed", "GroupClosed")
"""Events that make a group what it is."""


class CareGroups(Adapter):
    """Care teams and departments."""

    def __init__(self, bound: BoundContract, identities: IdentityRegistry) -> None:
        """Take the contract, and the registry of the same chain that says who is an active practitioner."""
        super().__init__(bound)
        self._identities = identities

    # Groups

    def create(self, sender: Sends, key_digest: bytes) -> Actor:
        """Create a care team or department that the sender manages; only active practitioners may.

        Args:
            sender: the manager's.
            key_digest: SHA-256 of the group's key block, 32 bytes.
        """
        receipt = self.bound.send(sender, "create", key_digest, what="creating a group")
        group = self.group_of(self._group_id(sender.address, key_digest))
        if group is None:
            raise IntegrityError(f"transaction {receipt.tx_hash} shows no group")
        return group

    def add_member(self, sender: Sends, group: Address, member: Address, sealed_key: bytes) -> Receipt:
        """Invite a person, or replace what is sealed to them; only the group's manager may, who needn't accept after.

        Args:
            sender: the manager's.
            group: its address.
            member: an active practitioner.
            sealed_key: digest of the CID of the group's secrets, sealed to the member, 32 bytes.
        """
        return self.bound.send(sender, "addMember", group, member, sealed_key, what="adding a member")

    def accept(self, sender: Sends, group: Address) -> Receipt:
        """Become a member; only who is listed may."""
        return self.bound.send(sender, "accept", group, what="joining a group")

    def renew(
        self,
        sender: Sends,
        group: Address,
        key_digest: bytes,
        sealed_keys: Mapping[Address, bytes],
        *,
        generation: int,
    ) -> Receipt:
        """Give a group other keys; only its manager may.

        Args:
            sender: the manager's.
            group: its address.
            key_digest: SHA-256 of the new key block, 32 bytes.
            sealed_keys: for each listed person who shall have it what `add_member` takes.
            generation: of the new keys: one more than the present one, or the contract refuses.
        """
        people, sealed = list(sealed_keys), list(sealed_keys.values())
        return self.bound.send(
            sender, "renew", group, generation, key_digest, people, sealed, what="renewing a group's key"
        )

    def remove_member(self, sender: Sends, group: Address, member: Address) -> Receipt:
        """Take a person off the list, also one who hasn't accepted; only the group's manager and that person may."""
        return self.bound.send(sender, "removeMember", group, member, what="removing a member")

    def hand_over(self, sender: Sends, group: Address, manager: Address) -> Receipt:
        """Let a member manage a group; only its manager may."""
        return self.bound.send(sender, "handOver", group, manager, what="handing a group over")

    def close(self, sender: Sends, group: Address) -> Receipt:
        """Close a group for good; only its manager may."""
        return self.bound.send(sender, "close", group, what="closing a group")

    def close_by_registrar(self, sender: Sends, group: Address) -> Receipt:
        """Close a group for good in the manager's place; only the registrar may."""
        return self.bound.send(sender, "closeByRegistrar", group, what="closing a group")

    # What is said of them

    def is_member(self, group: Address, person: Address) -> bool:
        """Tell whether a person is a member now: the group is open, they accepted, and are an active practitioner."""
        with self.bound.source.pinned():
            return bool(self._members(group, [person]))

    def times_of(self, group: Address, people: Sequence[Address]) -> dict[Address, list[range]]:
        """Return when each of some people was a member by their own assent, Unix seconds; not whether they were active.

        Args:
            group: an open or a closed one; whatever else it is has no members.
            people: whose times.
        """
        source = self.bound.source
        found = defaultdict[str, list[range]](list)
        since: dict[str, int] = {}
        with source.pinned():
            events = list(self.bound.events("GroupClosed", where=[group]))
            for start in range(0, len(people), MANY):
                piece = people[start : start + MANY]
                events += self.bound.events("MemberAccepted", "MemberRemoved", where=[group, piece])
            for event in sorted(events, key=lambda one: (one.block, one.index)):
                at = source.block(event.block).time
                if event.name == "MemberAccepted":
                    since.setdefault(address(event.values["member"]), at)
                    continue
                ended = [*since] if event.name == "GroupClosed" else [address(event.values["member"])]
                for person in ended:
                    if person in since:
                        found[person].append(range(since.pop(person), at))
        for person, at in since.items():
            found[person].append(range(at, _ALWAYS))
        return {person: found[address(person)] for person in people}

    def group_of(self, account: Address) -> Actor | None:
        """Return one group, or None when there is none; a closed one is suspended.

        Raises:
            IntegrityError: the node shows a first key block that isn't the group's, or leaves a renewal out.
        """
        return next(iter(self._created(self.bound.events(*_LIFE, where=[account]))), None)

    def find(self, *, member: Address | None = None, manager: Address | None = None) -> list[Actor]:
        """Return groups in the order in which they were created, closed ones included as suspended.

        Args:
            member: only those in which this person is by their own assent; whether they count now is `is_member`.
            manager: only those that this person manages now.
        """
        with self.bound.source.pinned():
            return self._find(member, manager)

    def _find(self, member: Address | None, manager: Address | None) -> list[Actor]:
        if member is None and manager is None:
            return self._created(self.bound.events(*_LIFE))
        found: list[set[str]] = []
        if member is not None:
            found.append(self._joined(member))
        if manager is not None:
            once = self.bound.events("GroupCreated", "GroupHandedOver", where=[None, manager])
            managers = self.managers({address(event.values["group"]) for event in once})
            found.append({group for group, now in managers.items() if now == manager})
        return self._created(self._events_of(set.intersection(*found), *_LIFE))

    def invitations(self, person: Address) -> list[Invitation]:
        """Return the open groups that list a person who hasn't accepted, in the order in which they listed them."""
        # Of one history: a group that is taken back meanwhile would be listed, and have no manager.
        with self.bound.source.pinned():
            waiting = [group for group, accepted in self._listings(person).items() if not accepted]
            closed = {address(event.values["group"]) for event in self._events_of(waiting, "GroupClosed")}
            managers = self.managers(waiting)
        if missing := set(waiting) - managers.keys():
            raise IntegrityError(f"the node shows listings of the group {min(missing)} without its beginning")
        return [Invitation(Address(group), managers[group]) for group in waiting if group not in closed]

    def invited(self, group: Address) -> list[Address]:
        """Return whom a group lists and who haven't accepted, in the order of their first listing."""
        return [Address(person) for person, accepted in self._people(group).items() if not accepted]

    def members(self, group: Address) -> list[Address]:
        """Return who is a member now, in the order of their first listing."""
        with self.bound.source.pinned():
            return self._members(group, [Address(person) for person in self._people(group)])

    def holders(self, group: Address) -> list[Address]:
        """Return to whom a group's newest secret was sealed, in that order, whether or not they are listed now."""
        found: dict[str, None] = {}
        for event in self.bound.events("MemberAdded", "GroupRenewed", where=[group]):
            if event.name == "GroupRenewed":
                found.clear()
            else:
                found[address(event.values["member"])] = None
        return [Address(person) for person in found]

    def manager_of(self, group: Address) -> Address:
        """Return who manages a group.

        Raises:
            UsageError: there is no such group.
        """
        managers = self.managers([group])
        if group not in managers:
            raise UsageError(f"there is no group {group} on the sidechain")
        return managers[group]

    def managers(self, groups: Iterable[str]) -> dict[str, Address]:
        """Return who manages each of these groups now."""
        names = ("GroupCreated", "GroupHandedOver")
        events = self._events_of(groups, *names)
        return {address(event.values["group"]): Address(address(event.values["manager"])) for event in events}

    def sealed_key_of(self, group: Address, member: Address) -> bytes | None:
        """Return the digest of the CID of the group's secrets sealed to a listed person, or None for others."""
        digest: bytes | None = None
        for event in self.bound.events("MemberAdded", "MemberRemoved", where=[group, member]):
            digest = event.values["sealedKey"] if event.name == "MemberAdded" else None
        return digest

    def sealed_keys(self) -> dict[tuple[Address, Address], bytes]:
        """Return by group and listed person what `sealed_key_of` returns for them."""
        found: dict[tuple[Address, Address], bytes] = {}
        for event in self.bound.events("MemberAdded", "MemberRemoved"):
            key = Address(address(event.values["group"])), Address(address(event.values["member"]))
            found.pop(key, None)
            if event.name == "MemberAdded":
                found[key] = event.values["sealedKey"]
        return found

    def _members(self, group: Address, people: Sequence[Address]) -> list[Address]:
        """Return which of some people are members now, in the order of their first listing."""
        if not people or any(True for _ in self.bound.events("GroupClosed", where=[group])):
            return []
        pieces = [people[start : start + MANY] for start in range(0, len(people), MANY)]
        listed = [one for piece in pieces for one in self._listed("member", [group, piece]).items()]
        accepted = [Address(person) for person, accepts in listed if accepts]
        active = {
            actor.address
            for actor in self._identities.find(accepted)
            if actor.role is Role.PRACTITIONER and actor.status is Status.ACTIVE
        }
        return [person for person in accepted if person in active]

    def _group_id(self, creator: str, key_digest: bytes) -> Address:
        """Return a group's address: by whom, where and for which first key block it was created."""
        fields = [self.bound.chain_id, self.address, creator, key_digest]
        return Address(address("0x" + keccak(encode(["uint256", "address", "address", "bytes32"], fields))[12:].hex()))

    def _joined(self, person: Address) -> set[str]:
        """Return the groups that a person accepted and hasn't left: whatever else lists them isn't even read."""
        found: set[str] = set()
        for event in self.bound.events("MemberAccepted", "MemberRemoved", where=[None, person]):
            change = found.add if event.name == "MemberAccepted" else found.discard
            change(address(event.values["group"]))
        return found

    def _listings(self, person: Address) -> dict[str, bool]:
        """Return which groups list a person, by when they first did so, and whether the person accepted."""
        return self._listed("group", [None, person])

    def _people(self, group: Address) -> dict[str, bool]:
        """Return whom a group lists, by when it first did so, and whether they accepted."""
        return self._listed("member", [group])

    def _listed(self, what: str, where: Sequence[Indexed]) -> dict[str, bool]:
        found: dict[str, bool] = {}
        for event in self.bound.events("MemberAdded", "MemberAccepted", "MemberRemoved", where=where):
            key = address(event.values[what])
            if event.name == "MemberAdded":
                found.setdefault(key, False)
            elif key not in found:
                raise IntegrityError(f"the node shows {event.name} of group {event.values['group']} without a listing")
            elif event.name == "MemberAccepted":
                found[key] = True
            else:
                del found[key]
        return found

    def _events_of(self, groups: Iterable[str], *names: str) -> list[Event]:
        """Return the events of some groups in the order of the chain."""
        wanted = sorted(groups)
        # No piece for no group: an empty list would ask for everything.
        pieces = [wanted[start : start + MANY] for start in range(0, len(wanted), MANY)]
        found = [event for piece in pieces for event in self.bound.events(*names, where=[piece])]
        return found if len(pieces) <= 1 else sorted(found, key=lambda event: (event.block, event.index))

    def _created(self, events: Iterable[Event]) -> list[Actor]:
        found: dict[str, Actor] = {}
        for event in events:
            if event.name == "GroupCreated":
                group = _group_from(event)
                if group.address != self._group_id(event.values["manager"], group.key_digest):
                    raise IntegrityError(f"the node shows a key block of group {group.address} that isn't the group's")
                found[group.address] = group
                continue
            known = found.get(address(event.values["group"]))
            if known is None:
                raise IntegrityError(f"the node shows {event.name} of a group without its beginning")
            found[known.address] = (
                replace(known, status=Status.SUSPENDED) if event.name == "GroupClosed" else _renewed(known, event)
            )
        return list(found.values())


def _group_from(event: Event) -> Actor:
    values = event.values
    organisation = values["organisation"]
    return Actor(
        address=Address(address(values["group"])),
        role=Role.GROUP,
        status=Status.ACTIVE,
        key_digest=values["keyDigest"],
        organisation=None if int(organisation, 16) == 0 else Address(address(organisation)),
    )


def _renewed(group: Actor, event: Event) -> Actor:
    earlier = (*group.earlier_keys, group.key_digest)
    if event.values["generation"] != len(earlier):
        raise IntegrityError(
            f"the node shows generation {event.values['generation']} of group {group.address} after {len(earlier) - 1}"
        )
    return replace(group, key_digest=event.values["keyDigest"], keys=None, earlier_keys=earlier)
