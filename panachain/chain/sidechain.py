"""The sidechain: genuine identities, pairings, requests and emergencies, for trusted nodes only.

Takes no gas price, so nobody needs ether there. Follows design section 6; contracts in contracts/sidechain/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from panachain.chain.abi import address, contract
from panachain.chain.evm import Account, Receipt, Sender
from panachain.chain.logs import Event, read_events
from panachain.chain.mainchain import actor_from
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.errors import IntegrityError, UsageError
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


class Sidechain:
    """The contracts of the sidechain."""

    def __init__(self, rpc: Rpc, addresses: Mapping[str, str], chain_id: int, *, from_block: int = 0) -> None:
        """Take a node and the contracts' addresses by name.

        Args:
            rpc: the sidechain's node.
            addresses: `IdentityRegistry`, `AccessRequests` and `EmergencyAccess`.
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
        to, registry = self.addresses["IdentityRegistry"], contract("IdentityRegistry")
        calls = [
            ("eth_call", [{"to": to, "data": registry.calldata("pairingOf", patient, hospital)}, "latest"])
            for patient in patients
        ]
        try:
            answers = [a for start in range(0, len(calls), _MANY) for a in self.rpc.batch(calls[start : start + _MANY])]
        except RpcAnswerError as exc:
            raise IntegrityError(f"the node can't answer IdentityRegistry.pairingOf: {exc}") from exc
        digests: list[bytes] = [registry.result("pairingOf", answer) for answer in answers]
        return [digest if any(digest) else None for digest in digests]

    # Requests

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

    def _events(self, name: str, topics: Sequence[str | list[str] | None] = ()) -> Iterator[Event]:
        return read_events(self.rpc, contract(name), self.addresses[name], topics=topics, from_block=self.from_block)


def _topic(account: Address) -> str:
    """Return an address as an event's topic."""
    return "0x" + "00" * 12 + account[2:].lower()
