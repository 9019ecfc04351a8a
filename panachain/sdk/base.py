"""What every actor can do: register, say who he is, send transactions.

Holds the unlocked seed for as long as the actor lives, and shows nothing of it. Follows design section 3.
"""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import ClassVar, Self

from panachain.chain.anvil import fund
from panachain.chain.evm import Sender
from panachain.crypto.keys import Seed
from panachain.errors import LockedError, SuspendedError, UnknownActorError, UsageError
from panachain.model.actors import Actor, Role, Status
from panachain.sdk.network import Network
from panachain.sdk.profiles import Profile, list_profiles, unlock

SIDECHAIN_ROLES = (Role.PATIENT, Role.PRACTITIONER)
"""Roles that are registered with genuine identities, on the sidechain only."""


class ActorSession:
    """An actor at work. Use it as a context manager, or let the network outlive it."""

    role: ClassVar[Role]

    def __init__(self, network: Network, profile: Profile, passphrase: str) -> None:
        """Unlock the profile.

        Raises:
            LockedError: wrong passphrase.
            UsageError: the profile has another role.
        """
        if profile.role is not self.role:
            raise UsageError(f"profile {profile.name!r} is a {profile.role.value}, not a {self.role.value}")
        self.network = network
        self.profile = profile
        self.address = profile.address
        self._seed: Seed = unlock(profile, passphrase)
        self._passphrase = passphrase

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.profile.handle})"

    def whoami(self) -> Actor:
        """Return this actor as the chain knows him; his status is UNKNOWN before he is registered."""
        found = (
            self.network.sidechain.identities.identity_of(self.address)
            if self.role in SIDECHAIN_ROLES
            else self.network.mainchain.actors.actor_of(self.address)
        )
        return found or self.profile.actor

    def register(self, organisation: str = "") -> Actor:
        """Let the registrar of this machine admit this actor; already registered is no error.

        Args:
            organisation: a practitioner's hospital; profile name, handle or address.

        Raises:
            UnknownActorError: no registrar's profile is on this machine.
            LockedError: the registrar's key store has another passphrase.
        """
        known = self.whoami()
        if known.status is not Status.UNKNOWN:
            return known
        registrar = next((p for p in list_profiles(self.network.home) if p.role is Role.REGISTRAR), None)
        if registrar is None:
            raise UnknownActorError(
                "no registrar's profile is on this machine",
                hint="send `panachain whoami --json` to the registrar; he admits you with `Registrar.admit`",
            )
        actor = self.profile.actor
        if organisation:
            actor = replace(actor, organisation=self.network.resolve(organisation, Role.HOSPITAL).address)
        try:
            with Registrar(self.network, registrar, self._passphrase) as session:
                session.admit(actor)
        except LockedError as exc:
            raise LockedError(
                "the registrar's key store has another passphrase than yours; nothing was registered",
                hint="let the registrar admit you on his own machine",
            ) from exc
        return self.whoami()

    def _sender(self, *, sidechain: bool = False) -> Sender:
        return self.network.sender(self._seed.account_key(), sidechain=sidechain)

    def _check_registered(self) -> None:
        status = self.whoami().status
        if status is Status.UNKNOWN:
            raise UnknownActorError(
                f"profile {self.profile.name!r} isn't registered",
                hint=f"panachain --profile {self.profile.name} register",
            )
        if status is Status.SUSPENDED:
            raise SuspendedError(f"profile {self.profile.name!r} is suspended by the registrar")


class Registrar(ActorSession):
    """The registrar: vouches for identities and roles, and holds nobody's keys."""

    role = Role.REGISTRAR

    def admit(self, actor: Actor, *, personal: bytes = b"") -> Actor:
        """Register an actor on the chain where his role belongs.

        Args:
            actor: role, account and public keys.
            personal: encrypted personal fields of a patient or practitioner.
        """
        if actor.role in SIDECHAIN_ROLES:
            self.network.sidechain.identities.register(self._sender(sidechain=True), actor, personal=personal)
        else:
            self.network.mainchain.actors.register(self._sender(), actor)
            if self.network.faucet:
                fund(self.network.main_rpc, actor.address)
        return replace(actor, status=Status.ACTIVE)

    def suspend(self, who: str) -> Actor:
        """Suspend an actor: proxies refuse him from the next block on."""
        actor = self.network.resolve(who)
        if actor.role in SIDECHAIN_ROLES:
            self.network.sidechain.identities.suspend(self._sender(sidechain=True), actor.address)
        else:
            self.network.mainchain.actors.suspend(self._sender(), actor.address)
        return replace(actor, status=Status.SUSPENDED)
