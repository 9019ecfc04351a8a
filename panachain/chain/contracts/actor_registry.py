"""ActorRegistry on the mainchain: hospitals, proxies, researchers and registrars, with the digests of their key blocks.

Registrations are read from events, because the contract keeps a commitment to them only.
Follows design section 6 and contracts/interfaces/IActorRegistry.sol.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from panachain.chain.abi import address
from panachain.chain.bound import MANY, NOBODY, Adapter, Indexed, Sends
from panachain.chain.codec import encode
from panachain.chain.evm import Receipt, Sender
from panachain.chain.logs import Event, actor_from, changed_from
from panachain.errors import IntegrityError, UsageError
from panachain.ethereum import keccak
from panachain.model.actors import Actor, Address, Role, Status
from panachain.wire.endpoints import check_form

ROLES: Final = {1: Role.HOSPITAL, 2: Role.PROXY, 3: Role.RESEARCHER, 4: Role.REGISTRAR}
"""The numbers of `ActorRegistry.Role`; 0 is none (docs/spec/formats.md, section "Codes")."""
_NUMBERS: Final = {role: number for number, role in ROLES.items()}
_CHANGES: Final = ("ActorSuspended", "ActorReinstated", "ActorEndpointChanged", "ActorKeysChanged")


class ActorRegistry(Adapter):
    """Who takes part publicly."""

    def register(self, sender: Sender, actor: Actor) -> Receipt:
        """Admit an actor; only the registrar may.

        Raises:
            UsageError: actors of this role aren't public, or its endpoint is none that anybody would ask.
        """
        data = self.admission(actor)
        return sender.send(self.address, data, what=f"registering {actor.handle}")

    def admission(self, actor: Actor) -> str:
        """Return the calldata that admits an actor, for a registrar who signs elsewhere; raises as `register`."""
        if actor.role not in _NUMBERS:
            raise UsageError(f"a {actor.role.value} is no public actor of the mainchain")
        endpoint = check_form(actor.endpoint) if actor.endpoint or actor.role is Role.PROXY else ""
        digest, organisation = actor.key_digest, actor.organisation or NOBODY
        return self.bound.calldata("register", actor.address, _NUMBERS[actor.role], digest, endpoint, organisation)

    def suspend(self, sender: Sender, account: Address) -> Receipt:
        """Suspend an actor; only the registrar may."""
        return self.bound.send(sender, "suspend", account, what="suspending an actor")

    def reinstate(self, sender: Sender, account: Address) -> Receipt:
        """Take a suspension back; only the registrar may."""
        return self.bound.send(sender, "reinstate", account, what="reinstating an actor")

    def set_endpoint(self, sender: Sender, endpoint: str) -> Receipt:
        """Say where the sender's proxy answers from now on; only an active proxy may.

        Raises:
            UsageError: nobody would ask there.
        """
        return self.bound.send(sender, "setEndpoint", check_form(endpoint), what="announcing a proxy's endpoint")

    def change_keys(self, sender: Sends, known: Actor, digest: bytes, *, earlier_ends_at: int) -> Receipt:
        """Have another key block from now on; only an active actor's own account may.

        Args:
            sender: the actor's.
            known: the actor as the registry has them now.
            digest: SHA-256 of the new block, 32 bytes.
            earlier_ends_at: Unix seconds when the block before stops to count, at most 30 days from now.

        Raises:
            TransactionError: the keys were changed meanwhile, or the actor is suspended.
        """
        what = "changing the key block"
        return self.bound.send(sender, "changeKeys", commitment_of(known), digest, earlier_ends_at, what=what)

    def is_active(self, account: Address, role: Role) -> bool:
        """Tell whether an account is active in a role."""
        actor = self.actor_of(account)
        return actor is not None and actor.role is role and actor.status is Status.ACTIVE

    def actor_of(self, account: Address) -> Actor | None:
        """Return one actor, or None when the account isn't registered."""
        return next(iter(self._registered([account])), None)

    def find(self, role: Role | None = None) -> list[Actor]:
        """Return the actors in the order of their registration, with their present status.

        Args:
            role: only those of this role; None takes all.
        """
        if role is None:
            return self._registered(())
        with self.bound.source.pinned():
            registered = list(self.bound.events("ActorRegistered", where=[None, _NUMBERS.get(role, 0)]))
            accounts = [event.values["account"] for event in registered]
            # Only what concerns them: others' history costs nothing.
            later = [
                event
                for start in range(0, len(accounts), MANY)
                for event in self.bound.events(*_CHANGES, where=[accounts[start : start + MANY]])
            ]
        return list(actors_after({}, [*registered, *later]).values())

    def record_ledger(self) -> Address:
        """Return the ledger that the registry made and tells who may store."""
        return Address(address(self.bound.read("recordLedger")))

    def access_log(self) -> Address:
        """Return the access log that the registry made and tells who may anchor."""
        return Address(address(self.bound.read("accessLog")))

    def _registered(self, where: Sequence[Indexed]) -> list[Actor]:
        return list(actors_after({}, self.bound.events(where=where)).values())


def commitment_of(actor: Actor) -> bytes:
    """Return the 30 bytes that the registry keeps of an actor's organisation and of all key blocks that they had."""
    first, *later = actor.key_digests
    details = keccak(encode(["bytes32", "address"], [first, actor.organisation or NOBODY]))[:30]
    for digest, change in zip(later, actor.key_changes, strict=True):
        fields = [details, digest, change.valid_from, change.earlier_ends_at]
        details = keccak(encode(["bytes30", "bytes32", "uint48", "uint48"], fields))[:30]
    return details


def actors_after(known: Mapping[str, Actor], events: Iterable[Event]) -> dict[str, Actor]:
    """Return the actors after some more events; what came in stays as it is.

    Raises:
        IntegrityError: an event is about an account that was never registered.
    """
    actors = dict(known)
    for event in events:
        if "account" not in event.values:
            # AccessManaged tells of its authority in the same log.
            continue
        account = address(event.values["account"])
        if event.name == "ActorRegistered":
            actors[account] = actor_from(event, ROLES.get(event.values["role"]))
        elif account not in actors:
            raise IntegrityError(f"the node hides the registration of {account}")
        elif event.name == "ActorEndpointChanged":
            actors[account] = replace(actors[account], endpoint=event.values["endpoint"])
        elif event.name == "ActorKeysChanged":
            actors[account] = changed_from(actors[account], event)
        elif event.name in ("ActorSuspended", "ActorReinstated"):
            status = Status.SUSPENDED if event.name == "ActorSuspended" else Status.ACTIVE
            actors[account] = replace(actors[account], status=status)
    return actors
