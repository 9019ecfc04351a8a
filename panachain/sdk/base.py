"""What every actor can do: register, say who they are, send transactions.

Holds the unlocked seed until the session is closed, and shows nothing of it. Follows design section 3.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Final, Self

from panachain.chain.contracts import identity_registry
from panachain.crypto.keys import Seed, generation_among
from panachain.crypto.wraps import DataKey
from panachain.errors import (
    IntegrityError,
    LockedError,
    PanaChainError,
    SuspendedError,
    UnknownActorError,
    UsageError,
    alone,
)
from panachain.model.actors import Actor, Role, Status
from panachain.passphrase import Hidden
from panachain.sdk.profiles import Profile, list_profiles, unlock
from panachain.sdk.unlocking import Unlocking

if TYPE_CHECKING:
    from panachain.chain.bound import Sends
    from panachain.chain.evm import Sender
    from panachain.sdk.blocked import BlockList
    from panachain.sdk.emergencies import Reviews
    from panachain.sdk.guarding import Guarding
    from panachain.sdk.key_rotation import OwnKeys
    from panachain.sdk.names import Names
    from panachain.sdk.network import Network
    from panachain.sdk.recovery import Recovery
    from panachain.sdk.viewers import Viewers
    from panachain.sdk.wards import Attests
    from panachain.sdk.watching import Watching

_LOOKED: Final = 10.0
"""Seconds for which what the chain said of one's own keys counts: a change leaves the earlier ones an overlap."""
_NEVER: Final = (-_LOOKED, 0)
SIDECHAIN_ROLES = tuple(identity_registry.ROLES.values())
"""Roles that are registered with genuine identities, on the sidechain only."""


class ActorSession:
    """An actor at work: what `connect` returns, a context manager that forgets the seed at its end.

    Whoever makes one from a `Network` of their own keeps that network open; `connect` closes the one that it opened.
    """

    role: ClassVar[Role]

    def __init__(
        self,
        network: Network,
        profile: Profile,
        passphrase: str | Hidden | DataKey | Unlocking,
        *,
        owns_network: bool = False,
    ) -> None:
        """Unlock the profile.

        Args:
            network: where the actor works.
            profile: which actor.
            passphrase: opens the profile's key store; or the data key that an agent holds; or what opens it already.
            owns_network: close the network with the session.

        Raises:
            LockedError: wrong passphrase.
            UsageError: the profile has another role.
        """
        hidden = Hidden(passphrase) if isinstance(passphrase, str) else passphrase
        # A traceback that shows variables must not show this one.
        del passphrase
        if profile.role is not self.role:
            raise UsageError(f"profile {profile.name!r} is a {profile.role.value}, not a {self.role.value}")
        self.network = network
        self.profile = profile
        self.address = profile.address
        self._owns_network = owns_network
        self._looked = _NEVER
        """When the chain was asked for the generation of the keys, Unix seconds, and what it said."""
        try:
            if isinstance(hidden, Unlocking):
                seed, hidden = hidden.seed(), hidden.hidden
            else:
                seed = unlock(profile, hidden if isinstance(hidden, DataKey) else hidden.reveal())
        except PanaChainError as exc:
            raise alone(exc) from None
        # A patient's key block never changes (ADR 58), and a registrar's seals and signs nothing.
        changes = self.role not in (Role.PATIENT, Role.REGISTRAR)
        self._unlocked: Seed = seed.following(self._key_generation) if changes else seed
        self._passphrase: Hidden | DataKey = hidden

    def close(self) -> None:
        """Forget the seed and all that stands on it, and close the network if this session opened it."""
        kept = ("network", "profile", "address")
        owned = vars(self).get("_owns_network", False)
        for name in [one for one in vars(self) if one not in kept]:
            delattr(self, name)
        if owned:
            self.network.close()

    @property
    def _seed(self) -> Seed:
        if "_unlocked" not in vars(self):
            raise UsageError(
                f"the session of profile {self.profile.name!r} is closed; nothing was done",
                hint=f"connect({self.profile.name!r}) opens another one",
            )
        return self._unlocked

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.profile.handle})"

    def whoami(self) -> Actor:
        """Return this actor as the chain knows them; the status is UNKNOWN before they are registered."""
        found = self._registered()
        if found is None:
            return self.profile.actor
        # Nobody asks a store for their own keys.
        generation = len(found.earlier_keys)
        keys = self._seed.of_generation(generation).public_keys() if generation else self.profile.keys
        return found.with_keys(keys) if found.key_digest == keys.digest else found

    def register(self, organisation: str = "") -> Actor:
        """Let the registrar of this machine admit this actor; already registered is no error.

        Their key block is stored and pinned, also once more: a store may have lost it.

        Args:
            organisation: a practitioner's hospital, or the house that a hospital is a branch of; profile name, handle
                or address.

        Raises:
            UnknownActorError: no registrar's profile is on this machine, or no hospital has that name.
            UsageError: they are registered under another organisation, or can't have this one.
            LockedError: the registrar's key store has another passphrase.
            IntegrityError: they are registered with other keys than this profile's.
            StoreUnavailableError: the store doesn't take the key block.
        """
        known = self.whoami()
        house = self.network.resolver.house(organisation, known) if organisation else None
        if known.status is not Status.UNKNOWN:
            if house is not None and house != known.organisation:
                raise UsageError(
                    f"{known.handle} is registered under {known.organisation or 'no organisation'}, which never changes"
                )
            if known.keys is None:
                raise IntegrityError(
                    f"{known.handle} is registered with other keys than those of profile {self.profile.name!r}",
                    hint="somebody who has the account's key, and not this seed, may have changed them",
                )
            self.network.key_blocks.put(known)
            self.keys.store_again()
            return known
        profiles = list_profiles(self.network.home)
        registrar = next((p for p in profiles if p.role is Role.REGISTRAR), None)
        if registrar is None:
            unread = "".join(f"; {one}" for one in profiles.omissions)
            raise UnknownActorError(
                f"no registrar's profile {'can be read' if unread else 'is'} on this machine{unread}",
                hint="send `panachain whoami --json` to the registrar, who admits you:"
                " `panachain network add-person CARD`, for a hospital `add-hospital`",
            )
        if isinstance(self._passphrase, DataKey):
            raise LockedError(
                f"profile {self.profile.name!r} was unlocked by its agent, which can't open the registrar's key store",
                hint="give the passphrase",
            )
        actor = replace(self.profile.actor, organisation=house)
        try:
            with Registrar(self.network, registrar, self._passphrase) as session:
                session.admit(actor)
        except LockedError as exc:
            raise LockedError(
                "the registrar's key store has another passphrase than yours; nothing was registered",
                hint="let the registrar admit you on the registrar's machine",
            ) from exc
        return self.whoami()

    def _registered(self) -> Actor | None:
        """Return this actor as a registry has them; None before they are registered."""
        if self.role in SIDECHAIN_ROLES:
            return self.network.sidechain.identities.identity_of(self.address)
        return self.network.mainchain.actors.actor_of(self.address)

    def _key_generation(self) -> int:
        """Return the generation of this actor's newest key block, as the chain says; it is asked every few seconds."""
        now = self.network.clock()
        at, generation = self._looked
        if not at <= now < at + _LOOKED:
            found = self._registered()
            generation = 0 if found is None else generation_among(self._unlocked, found.key_digests)
            self._looked = now, generation
        return generation

    def _sender(self, *, sidechain: bool = False) -> Sender:
        return self.network.sender(self._seed.account_key(), sidechain=sidechain)

    def _person(self) -> Sends:
        return self.network.person(self._seed.account_key())

    @property
    def blocked(self) -> BlockList:
        """Whom this actor doesn't want to hear of; kept on this machine, sealed."""
        from panachain.sdk.blocked import BlockList

        return BlockList(self.profile.folder, self._seed.store_key(), self.network.resolver)

    @property
    def recovery(self) -> Recovery:
        """The backup of this actor's seed: recovery shares and drills."""
        from panachain.sdk.recovery import Recovery

        return Recovery(self.profile, lambda: self._seed)

    @property
    def guarding(self) -> Guarding:
        """The patients whose guardian this actor is."""
        # Imported here: most sessions guard nobody.
        from panachain.sdk.guarding import Guarding

        return Guarding(
            self.network,
            self._seed,
            self.address,
            folder=self.profile.folder,
            sender=self._person,
            names=self._names,
        )

    @property
    def viewers(self) -> Viewers:
        """Software that travels with records: packing it, and checking who published it."""
        from panachain.sdk.viewers import Viewers

        return Viewers(self.network, self.profile.actor, lambda: self._seed.signer(), self._names)

    @property
    def keys(self) -> OwnKeys:
        """The key blocks that this actor has and had, and how they are given another one."""
        from panachain.sdk.key_rotation import Owner, OwnKeys

        def sender() -> Sends:
            return self._person() if self.role in SIDECHAIN_ROLES else self._sender()

        def changed() -> None:
            self._looked = _NEVER

        owner = Owner(
            self.profile.actor, self._seed, self._registered, sender, self._sealed_to, self._unfinished, changed
        )
        return OwnKeys(self.network, owner)

    def _sealed_to(self) -> list[tuple[str, int]]:
        """Return what is sealed to this actor's key blocks, and how much, as far as it can be counted quickly."""
        return []

    def _unfinished(self) -> AbstractContextManager[int]:
        """Keep this actor from publishing while it is entered, and say how many batches aren't on chain yet."""
        return nullcontext(0)

    @cached_property
    def _names(self) -> Names:
        """What this machine called everybody when the session first asked; the registries are asked for the others."""
        from panachain.sdk.names import Names

        return Names(self.network.home, self.network.resolver)

    def _check_registered(self) -> None:
        status = self.whoami().status
        if status is Status.UNKNOWN:
            raise UnknownActorError(
                f"profile {self.profile.name!r} isn't registered",
                hint=f"panachain --profile {self.profile.name} register",
            )
        if status is Status.REPLACED:
            raise SuspendedError(
                f"profile {self.profile.name!r} was moved to another account by the patient's guardians"
            )
        if status is not Status.ACTIVE:
            raise SuspendedError(f"profile {self.profile.name!r} is suspended by the registrar")


class Registrar(ActorSession):
    """The registrar: vouches for identities and roles, and holds nobody's keys.

    Examples:
        >>> with connect("registrar", role="registrar") as registrar:
        ...     suspended = registrar.suspend("nurse")
    """

    role = Role.REGISTRAR

    def admit(self, actor: Actor, *, personal: bytes = b"") -> Actor:
        """Register an actor on the chain where the role belongs, and store and pin their key block.

        Args:
            actor: role, account and public keys.
            personal: encrypted personal fields of a patient or practitioner.

        Raises:
            IntegrityError: the actor comes without keys, or with something that is none.
            StoreUnavailableError: the store doesn't take the block; nobody was registered.
        """
        # First: whoever is registered without one can be sealed nothing.
        self.network.key_blocks.put(actor)
        if actor.role in SIDECHAIN_ROLES:
            self.network.sidechain.identities.register(self._sender(sidechain=True), actor, personal=personal)
        else:
            self.network.mainchain.actors.register(self._sender(), actor)
            if self.network.faucet:
                from panachain.chain.anvil import fund

                fund(self.network.mainchain.rpc, actor.address)
        return replace(actor, status=Status.ACTIVE)

    @property
    def emergency(self) -> Reviews:
        """Emergencies, whose reviews the registrar states."""
        # Imported here: most sessions review nothing.
        from panachain.sdk.emergencies import Reviews

        return Reviews(self.network, self._seed, sender=lambda: self._sender(sidechain=True), names=self._names)

    @property
    def watching(self) -> Watching:
        """What happened since this machine looked last, and messages about it: emergencies that wait for a review."""
        # Imported here: most sessions watch nothing.
        from panachain.sdk.watching import Watching, of_registrar

        return Watching(self.profile.folder, self._seed, of_registrar(self), clock=self.network.clock)

    @property
    def wards(self) -> Attests:
        """Wardships, which the registrar attests and ends."""
        # Imported here: most sessions attest none.
        from panachain.sdk.wards import Attests

        return Attests(
            self.network, self._seed, self.address, sender=lambda: self._sender(sidechain=True), names=self._names
        )

    def suspend(self, who: str) -> Actor:
        """Suspend an actor: proxies refuse them from the next block on.

        Args:
            who: profile name, handle or address.
        """
        actor = self.network.resolve(who)
        if actor.role in SIDECHAIN_ROLES:
            self.network.sidechain.identities.suspend(self._sender(sidechain=True), actor.address)
        else:
            self.network.mainchain.actors.suspend(self._sender(), actor.address)
        return replace(actor, status=Status.SUSPENDED)
