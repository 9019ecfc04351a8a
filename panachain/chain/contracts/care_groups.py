"""CareGroups on the sidechain: care teams and departments, their keys and their members.

A group's first key is checked against its address; for later ones, as for the keys of identities, the node is believed.
Follows design section 6 and contracts/interfaces/ICareGroups.sol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from panachain.chain.abi import address
from panachain.chain.bound import Adapter, Indexed
from panachain.chain.codec import encode
from panachain.chain.evm import Receipt, Sender
from panachain.chain.logs import Event
from panachain.errors import IntegrityError, UsageError
from panachain.ethereum import keccak
from panachain.model.actors import Actor, Address, Role, Status


class CareGroups(Adapter):
    """Care teams and departments."""

    # Groups

    def create(self, sender: Sender, receiving_key: bytes) -> Actor:
        """Create a care team or department that the sender manages; only active practitioners may.

        Args:
            sender: the manager's.
            receiving_key: the group's public key, 33 bytes.
        """
        receipt = self.bound.send(sender, "create", receiving_key, what="creating a group")
        group = self.group_of(self._group_id(sender.address, receiving_key))
        if group is None:
            raise IntegrityError(f"transaction {receipt.tx_hash} shows no group")
        return group

    def add_member(self, sender: Sender, group: Address, member: Address, sealed_key: bytes) -> Receipt:
        """List a member, or replace what is sealed to them; only the group's manager may.

        Args:
            sender: the manager's.
            group: its address.
            member: an active practitioner.
            sealed_key: digest of the CID of the group's receiving secrets, sealed to the member, 32 bytes.
        """
        return self.bound.send(sender, "addMember", group, member, sealed_key, what="adding a member")

    def renew(
        self,
        sender: Sender,
        group: Address,
        receiving_key: bytes,
        sealed_keys: Mapping[Address, bytes],
        *,
        generation: int,
    ) -> Receipt:
        """Give a group another receiving key; only its manager may.

        Args:
            sender: the manager's.
            group: its address.
            receiving_key: the new public key, 33 bytes.
            sealed_keys: for each listed person who shall have it what `add_member` takes.
            generation: of the new key: one more than the present one, or the contract refuses.
        """
        people, sealed = list(sealed_keys), list(sealed_keys.values())
        return self.bound.send(
            sender, "renew", group, generation, receiving_key, people, sealed, what="renewing a group's key"
        )

    def remove_member(self, sender: Sender, group: Address, member: Address) -> Receipt:
        """Take a member off the list; only the group's manager and the member may."""
        return self.bound.send(sender, "removeMember", group, member, what="removing a member")

    def hand_over(self, sender: Sender, group: Address, manager: Address) -> Receipt:
        """Let another active practitioner manage a group; only its manager may."""
        return self.bound.send(sender, "handOver", group, manager, what="handing a group over")

    def close(self, sender: Sender, group: Address) -> Receipt:
        """Close a group for good; only its manager may."""
        return self.bound.send(sender, "close", group, what="closing a group")

    def close_by_registrar(self, sender: Sender, group: Address) -> Receipt:
        """Close a group for good in the manager's place; only the registrar may."""
        return self.bound.send(sender, "closeByRegistrar", group, what="closing a group")

    # What is said of them

    def is_member(self, group: Address, person: Address) -> bool:
        """Tell whether a person is a member now: the group is open, and they are listed and an active practitioner."""
        return bool(self.bound.read("isMember", group, person))

    def group_of(self, account: Address) -> Actor | None:
        """Return one group, or None when there is none; a closed one is suspended.

        Raises:
            IntegrityError: the node shows a first key that isn't the group's, or leaves a renewal out.
        """
        return next(iter(self._created([account])), None)

    def find(self, *, member: Address | None = None, manager: Address | None = None) -> list[Actor]:
        """Return groups in the order in which they were created, closed ones included as suspended.

        Args:
            member: only those that list this person; whether they are a member now is `is_member`.
            manager: only those that this person manages now.
        """
        found: set[str] | None = None
        for who, names in ((member, ("MemberAdded",)), (manager, ("GroupCreated", "GroupHandedOver"))):
            if who is not None:
                events = self.bound.events(*names, where=[None, who])
                named = {address(event.values["group"]) for event in events}
                found = named if found is None else found & named
        if found is None:
            return self._created(())
        # Whoever was a member or the manager once needn't be it now.
        if member is not None:
            once = sorted(found)
            digests = self.bound.read_many("sealedKeyOf", [(group, member) for group in once])
            found = {group for group, digest in zip(once, digests, strict=True) if any(digest)}
        if manager is not None:
            once = sorted(found)
            read = self.bound.read_many("groupOf", [(group,) for group in once])
            found = {group for group, state in zip(once, read, strict=True) if address(state[0]) == manager}
        # An empty list would ask for everything.
        return self._created([sorted(found)]) if found else []

    def members(self, group: Address) -> list[Address]:
        """Return who is a member now, in the order of their first listing."""
        events = self.bound.events("MemberAdded", where=[group])
        listed = list(dict.fromkeys(address(event.values["member"]) for event in events))
        counts = self.bound.read_many("isMember", [(group, person) for person in listed])
        return [Address(person) for person, is_one in zip(listed, counts, strict=True) if is_one]

    def holders(self, group: Address) -> list[Address]:
        """Return to whom a group's newest secret was sealed, in that order, whether or not they are members now."""
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
        manager, *_ = self.bound.read("groupOf", group)
        if int(manager, 16) == 0:
            raise UsageError(f"there is no group {group} on the sidechain")
        return Address(address(manager))

    def sealed_key_of(self, group: Address, member: Address) -> bytes | None:
        """Return the digest of the CID of the group's secrets sealed to a listed person, or None for others."""
        digest: bytes = self.bound.read("sealedKeyOf", group, member)
        return digest if any(digest) else None

    def _group_id(self, creator: str, receiving_key: bytes) -> Address:
        """Return a group's address: by whom, where and for which first key it was created."""
        fields = [self.bound.chain_id, self.address, creator, receiving_key]
        return Address(address("0x" + keccak(encode(["uint256", "address", "address", "bytes"], fields))[12:].hex()))

    def _created(self, where: Sequence[Indexed]) -> list[Actor]:
        found: dict[str, Actor] = {}
        for event in self.bound.events(where=where):
            if event.name == "GroupCreated":
                group = _group_from(event)
                if group.address != self._group_id(event.values["manager"], group.receiving_key):
                    raise IntegrityError(f"the node shows a key of group {group.address} that isn't the group's")
                found[group.address] = group
            elif event.name in ("GroupRenewed", "GroupClosed"):
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
        receiving_key=values["receivingKey"],
        # A group signs nothing: each of its members does.
        verifying_key=b"",
        organisation=None if int(organisation, 16) == 0 else Address(address(organisation)),
    )


def _renewed(group: Actor, event: Event) -> Actor:
    earlier = (*group.earlier_keys, group.receiving_key)
    if event.values["generation"] != len(earlier):
        raise IntegrityError(
            f"the node shows generation {event.values['generation']} of group {group.address} after {len(earlier) - 1}"
        )
    return replace(group, receiving_key=event.values["receivingKey"], earlier_keys=earlier)
