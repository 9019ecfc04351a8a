"""The sidechain: genuine identities, pairings, requests, emergencies and groups, for trusted nodes only.

Takes no gas price, so nobody needs ether there. Follows design section 6; contracts in contracts/sidechain/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from panachain.chain.abi import address, contract
from panachain.chain.codec import encode
from panachain.chain.evm import Account, Receipt, Sender
from panachain.chain.logs import Event, read_events
from panachain.chain.mainchain import actor_from
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.errors import IntegrityError, UsageError
from panachain.ethereum import keccak
from panachain.model.actors import Actor, Address, Role, Status

ROLES: Final = (None, Role.PATIENT, Role.PRACTITIONER)
"""`IdentityRegistry.Role`, in the order of the contract."""
REQUEST_STATES: Final = ("none", "open", "approved", "denied", "withdrawn", "expired")
"""`AccessRequests.State`, in the order of the contract."""
_NOBODY: Final = "0x" + "00" * 20

_MANY: Final = 500
"""Calls or topics in one request."""


@dataclass(frozen=True)
class AccessRequest:
    """One request for access."""

    request_id: int
    requester: Address
    patient: Address
    details: bytes
    """Digest of the CID of the sealed details, 32 bytes."""
    expires_at: int
    """Unix seconds, exclusive."""
    state: str
    """One of `REQUEST_STATES`."""


@dataclass(frozen=True)
class PairingEvent:
    """A patient's newest assent to one hospital."""

    patient: Address
    hospital: Address
    digest: bytes
    """Of the CID of the sealed pairing, 32 bytes."""
    paired: bool
    """Whether it still holds."""


class Sidechain:
    """The contracts of the sidechain."""

    def __init__(self, rpc: Rpc, addresses: Mapping[str, str], chain_id: int, *, from_block: int = 0) -> None:
        """Take a node and the contracts' addresses by name.

        Args:
            rpc: the sidechain's node.
            addresses: `IdentityRegistry`, `AccessRequests`, `EmergencyAccess` and `CareGroups`.
            chain_id: signed into transactions.
            from_block: the block of the deployment.
        """
        self.rpc = rpc
        self.addresses = dict(addresses)
        self.chain_id = chain_id
        self.from_block = from_block

    def sender(self, account: Account, *, lock_folder: Path) -> Sender:
        """Return what sends an account's transactions, without a gas price."""
        return Sender(self.rpc, self.chain_id, account, lock_folder=lock_folder, free=True)

    # Identities

    def register_identity(
        self, sender: Sender, actor: Actor, *, lookup: bytes = bytes(32), personal: bytes = b""
    ) -> Receipt:
        """Admit a patient or a practitioner; only the registrar may.

        Args:
            sender: the registrar's.
            actor: role, account and keys.
            lookup: HMAC under a secret of the trusted nodes, or zeros for none.
            personal: encrypted personal fields, or nothing.
        """
        if actor.role not in ROLES:
            raise UsageError(f"a {actor.role.value} has no identity on the sidechain")
        data = contract("IdentityRegistry").calldata(
            "register",
            actor.address,
            ROLES.index(actor.role),
            lookup,
            actor.receiving_key,
            actor.verifying_key,
            actor.organisation or _NOBODY,
            personal,
        )
        return self._send(sender, "IdentityRegistry", data, f"registering {actor.handle}")

    def suspend_identity(self, sender: Sender, account: Address) -> Receipt:
        """Suspend a person; only the registrar may."""
        data = contract("IdentityRegistry").calldata("suspend", account)
        return self._send(sender, "IdentityRegistry", data, "suspending an identity")

    def identity(self, account: Address) -> Actor | None:
        """Return one person, or None when the account isn't registered."""
        return next(iter(self._identities([None, _topic(account)])), None)

    def identities(self, accounts: Sequence[Address] | None = None) -> list[Actor]:
        """Return everybody, or those of some accounts who are registered, with the present status."""
        if accounts is None:
            return self._identities(())
        return [
            actor
            for start in range(0, len(accounts), _MANY)
            for actor in self._identities([None, [_topic(account) for account in accounts[start : start + _MANY]]])
        ]

    # Pairings

    def pair(self, sender: Sender, hospital: Address, pairing: bytes) -> Receipt:
        """Let a hospital publish to the sender's lanes; `pairing` is the digest of the sealed pairing's CID."""
        data = contract("IdentityRegistry").calldata("pair", hospital, pairing)
        return self._send(sender, "IdentityRegistry", data, "pairing")

    def unpair(self, sender: Sender, hospital: Address) -> Receipt:
        """Take the assent back."""
        data = contract("IdentityRegistry").calldata("unpair", hospital)
        return self._send(sender, "IdentityRegistry", data, "unpairing")

    def pairing(self, patient: Address, hospital: Address) -> bytes | None:
        """Return the digest of the sealed pairing's CID, or None when there is no pairing."""
        digest: bytes = self._read("IdentityRegistry", "pairingOf", patient, hospital)
        return digest if any(digest) else None

    def pairings(self, patients: Sequence[Address], hospital: Address) -> list[bytes | None]:
        """Return what `pairing` returns for each patient, asked in a few requests."""
        digests = self._read_many("IdentityRegistry", "pairingOf", [(patient, hospital) for patient in patients])
        return [digest if any(digest) else None for digest in digests]

    def paired(self, *, patient: Address | None = None, hospital: Address | None = None) -> list[PairingEvent]:
        """Return the newest pairing of each patient with each hospital, also those that were taken back.

        Args:
            patient: only his; None takes everybody's.
            hospital: only those with it; None takes all.
        """
        names = [contract("IdentityRegistry").topic(name) for name in ("HospitalPaired", "HospitalUnpaired")]
        who = [_topic(one) if one else None for one in (patient, hospital)]
        newest: dict[tuple[str, str], PairingEvent] = {}
        for event in self._events("IdentityRegistry", [names, *who]):
            values = event.values
            key = address(values["patient"]), address(values["hospital"])
            if event.name == "HospitalPaired":
                newest[key] = PairingEvent(Address(key[0]), Address(key[1]), values["pairing"], paired=True)
            elif key in newest:
                newest[key] = replace(newest[key], paired=False)
        return list(newest.values())

    # Requests

    def outcome(self, request_id: int) -> bytes | None:
        """Return the digest of the CID of what an approval tells the requester, or None."""
        topics = [contract("AccessRequests").topic("AccessApproved"), f"0x{request_id:064x}"]
        for event in self._events("AccessRequests", topics):
            outcome: bytes = event.values["outcome"]
            return outcome if any(outcome) else None
        return None

    def request(self, sender: Sender, patient: Address, details: bytes, expires_at: int) -> int:
        """Ask for access and return the request's ID; `details` is the digest of the sealed details' CID."""
        data = contract("AccessRequests").calldata("request", patient, details, expires_at)
        receipt = self._send(sender, "AccessRequests", data, "the request")
        for log in receipt.logs:
            decoded = contract("AccessRequests").event(log)
            if decoded is not None and decoded[0] == "AccessRequested":
                return int(decoded[1]["id"])
        raise IntegrityError(f"transaction {receipt.tx_hash} shows no request")

    def approve(self, sender: Sender, request_id: int, outcome: bytes = bytes(32)) -> Receipt:
        """Approve a request."""
        data = contract("AccessRequests").calldata("approve", request_id, outcome)
        return self._send(sender, "AccessRequests", data, f"approving request {request_id}")

    def deny(self, sender: Sender, request_id: int) -> Receipt:
        """Deny a request."""
        data = contract("AccessRequests").calldata("deny", request_id)
        return self._send(sender, "AccessRequests", data, f"denying request {request_id}")

    def withdraw(self, sender: Sender, request_id: int) -> Receipt:
        """Take one's own request back."""
        data = contract("AccessRequests").calldata("withdraw", request_id)
        return self._send(sender, "AccessRequests", data, f"withdrawing request {request_id}")

    def requests(self, *, patient: Address | None = None, requester: Address | None = None) -> Iterator[AccessRequest]:
        """Yield requests in the order in which they were made."""
        topics: list[str | None] = [contract("AccessRequests").topic("AccessRequested"), None]
        topics += ["0x" + "00" * 12 + who[2:].lower() if who else None for who in (requester, patient)]
        for event in self._events("AccessRequests", topics):
            values = event.values
            state = self._read("AccessRequests", "stateOf", values["id"])
            yield AccessRequest(
                values["id"],
                Address(address(values["requester"])),
                Address(address(values["patient"])),
                values["details"],
                values["expiresAt"],
                REQUEST_STATES[state],
            )

    # Groups

    def create_group(self, sender: Sender, receiving_key: bytes) -> Actor:
        """Create a care team or department that the sender manages; only active practitioners may.

        Args:
            sender: the manager's.
            receiving_key: the group's public key, 33 bytes.
        """
        data = contract("CareGroups").calldata("create", receiving_key)
        receipt = self._send(sender, "CareGroups", data, "creating a group")
        group = self.group(self._group_id(sender.address, receiving_key))
        if group is None:
            raise IntegrityError(f"transaction {receipt.tx_hash} shows no group")
        return group

    def add_member(self, sender: Sender, group: Address, member: Address, sealed_key: bytes) -> Receipt:
        """List a member, or replace what is sealed to him; only the group's manager may.

        Args:
            sender: the manager's.
            group: its address.
            member: an active practitioner.
            sealed_key: digest of the CID of the group's receiving secrets, sealed to the member, 32 bytes.
        """
        data = contract("CareGroups").calldata("addMember", group, member, sealed_key)
        return self._send(sender, "CareGroups", data, "adding a member")

    def renew_group(
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
        data = contract("CareGroups").calldata("renew", group, generation, receiving_key, people, sealed)
        return self._send(sender, "CareGroups", data, "renewing a group's key")

    def remove_member(self, sender: Sender, group: Address, member: Address) -> Receipt:
        """Take a member off the list; only the group's manager and the member himself may."""
        data = contract("CareGroups").calldata("removeMember", group, member)
        return self._send(sender, "CareGroups", data, "removing a member")

    def hand_over_group(self, sender: Sender, group: Address, manager: Address) -> Receipt:
        """Let another active practitioner manage a group; only its manager may."""
        data = contract("CareGroups").calldata("handOver", group, manager)
        return self._send(sender, "CareGroups", data, "handing a group over")

    def close_group(self, sender: Sender, group: Address, *, by_registrar: bool = False) -> Receipt:
        """Close a group for good; only its manager may, or the registrar, who says that he acts as such."""
        data = contract("CareGroups").calldata("closeByRegistrar" if by_registrar else "close", group)
        return self._send(sender, "CareGroups", data, "closing a group")

    def is_member(self, group: Address, person: Address) -> bool:
        """Tell whether a person counts as a member now: the group is open, he is listed and an active practitioner."""
        return bool(self._read("CareGroups", "isMember", group, person))

    def group(self, account: Address) -> Actor | None:
        """Return one group, or None when there is none; a closed one is suspended.

        The first receiving key is checked against the group's address. For later ones, as for the keys of identities,
        the node is believed.

        Raises:
            IntegrityError: the node shows a first key that isn't the group's, or leaves a renewal out.
        """
        return next(iter(self._groups([None, _topic(account)])), None)

    def groups(self, *, member: Address | None = None, manager: Address | None = None) -> list[Actor]:
        """Return groups in the order in which they were created, closed ones included as suspended.

        Args:
            member: only those that list this person; whether he counts is `is_member`.
            manager: only those that this person manages now.
        """
        book = contract("CareGroups")
        found: set[str] | None = None
        for who, names in ((member, ("MemberAdded",)), (manager, ("GroupCreated", "GroupHandedOver"))):
            if who is not None:
                events = self._events("CareGroups", [[book.topic(name) for name in names], None, _topic(who)])
                named = {address(event.values["group"]) for event in events}
                found = named if found is None else found & named
        if found is None:
            return self._groups(())
        # Whoever was a member or the manager once needn't be it now.
        if member is not None:
            once = sorted(found)
            digests = self._read_many("CareGroups", "sealedKeyOf", [(group, member) for group in once])
            found = {group for group, digest in zip(once, digests, strict=True) if any(digest)}
        if manager is not None:
            once = sorted(found)
            read = self._read_many("CareGroups", "groupOf", [(group,) for group in once])
            found = {group for group, state in zip(once, read, strict=True) if address(state[0]) == manager}
        # An empty list would ask for everything.
        return self._groups([None, [_topic(Address(group)) for group in sorted(found)]]) if found else []

    def members(self, group: Address) -> list[Address]:
        """Return who counts as a member now, in the order of their first listing."""
        topics = [contract("CareGroups").topic("MemberAdded"), _topic(group)]
        listed = list(dict.fromkeys(address(e.values["member"]) for e in self._events("CareGroups", topics)))
        counts = self._read_many("CareGroups", "isMember", [(group, person) for person in listed])
        return [Address(person) for person, is_one in zip(listed, counts, strict=True) if is_one]

    def holders(self, group: Address) -> list[Address]:
        """Return to whom a group's newest secret was sealed, in that order, whether or not they are members now."""
        names = [contract("CareGroups").topic(name) for name in ("MemberAdded", "GroupRenewed")]
        found: dict[str, None] = {}
        for event in self._events("CareGroups", [names, _topic(group)]):
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
        manager, *_ = self._read("CareGroups", "groupOf", group)
        if int(manager, 16) == 0:
            raise UsageError(f"there is no group {group} on the sidechain")
        return Address(address(manager))

    def sealed_group_key(self, group: Address, member: Address) -> bytes | None:
        """Return the digest of the CID of the group's secrets sealed to a listed person, or None for others."""
        digest: bytes = self._read("CareGroups", "sealedKeyOf", group, member)
        return digest if any(digest) else None

    def _group_id(self, creator: str, receiving_key: bytes) -> Address:
        """Return a group's address: by whom, where and for which first key it was created."""
        fields = [self.chain_id, self.addresses["CareGroups"], creator, receiving_key]
        return Address(address("0x" + keccak(encode(["uint256", "address", "address", "bytes"], fields))[12:].hex()))

    def _groups(self, topics: Sequence[str | list[str] | None]) -> list[Actor]:
        found: dict[str, Actor] = {}
        for event in self._events("CareGroups", topics):
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

    def _identities(self, topics: Sequence[str | list[str] | None]) -> list[Actor]:
        found: dict[str, Actor] = {}
        for event in self._events("IdentityRegistry", topics):
            if event.name == "IdentityRegistered":
                actor = actor_from(event, ROLES[event.values["role"]])
                found[actor.address] = actor
            elif event.name in ("IdentitySuspended", "IdentityReinstated", "IdentityReplaced"):
                # A replaced account is one that may not act, and nobody can reinstate it.
                actor = found[address(event.values["patient" if event.name == "IdentityReplaced" else "account"])]
                status = Status.ACTIVE if event.name == "IdentityReinstated" else Status.SUSPENDED
                found[actor.address] = Actor(
                    actor.address,
                    actor.role,
                    status,
                    actor.receiving_key,
                    actor.verifying_key,
                    organisation=actor.organisation,
                )
        return list(found.values())

    def _send(self, sender: Sender, name: str, data: str, what: str) -> Receipt:
        return sender.send(self.addresses[name], data, what=what)

    def _read(self, name: str, function: str, *args: Any) -> Any:
        call = {"to": self.addresses[name], "data": contract(name).calldata(function, *args)}
        try:
            return contract(name).result(function, self.rpc.call("eth_call", [call, "latest"]))
        except RpcAnswerError as exc:
            raise IntegrityError(f"the node can't answer {name}.{function}: {exc}") from exc

    def _read_many(self, name: str, function: str, many: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the results of one function for many arguments, asked in a few requests."""
        to, asked = self.addresses[name], contract(name)
        calls = [("eth_call", [{"to": to, "data": asked.calldata(function, *args)}, "latest"]) for args in many]
        try:
            answers = [a for start in range(0, len(calls), _MANY) for a in self.rpc.batch(calls[start : start + _MANY])]
        except RpcAnswerError as exc:
            raise IntegrityError(f"the node can't answer {name}.{function}: {exc}") from exc
        return [asked.result(function, answer) for answer in answers]

    def _events(self, name: str, topics: Sequence[str | list[str] | None] = ()) -> Iterator[Event]:
        return read_events(self.rpc, contract(name), self.addresses[name], topics=topics, from_block=self.from_block)


def _group_from(event: Event) -> Actor:
    values = event.values
    organisation = values["organisation"]
    return Actor(
        address=Address(address(values["group"])),
        role=Role.GROUP,
        status=Status.ACTIVE,
        receiving_key=values["receivingKey"],
        # A group signs nothing: its members do, each by himself.
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


def _topic(account: Address) -> str:
    """Return an address as an event's topic."""
    return "0x" + "00" * 12 + account[2:].lower()
