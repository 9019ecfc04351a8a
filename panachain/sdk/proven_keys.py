"""Keys, proven before anything is sealed to them: the registries' own storage says whose they are, not a node.

A registration's digest of a key block comes from events. Here it is compared with what the registry keeps, under a head
that the nodes agree on; then the block is fetched, and must fit it. Where no node can prove storage, events that were
proven by receipts roots are the proof; what one node says alone is none. Follows ADR 14, ADR 35 and security rule 18.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, TypeVar

from panachain.chain import proven
from panachain.chain.bound import Contracts
from panachain.chain.contracts import actor_registry, identity_registry
from panachain.chain.headers import Header
from panachain.chain.logs import NodeEvents
from panachain.chain.mainchain import Mainchain
from panachain.chain.nodes import LaggingError, UnprovableError
from panachain.chain.proven import KeptActor, KeptGroup
from panachain.chain.sidechain import Sidechain
from panachain.errors import ChainUnavailableError, IntegrityError, PanaChainError, SuspendedError
from panachain.model.actors import Actor, Address, Role, Status
from panachain.model.policy import ProxyRef
from panachain.records.findings import UNREADABLE
from panachain.sdk.key_blocks import KeyBlocks
from panachain.sdk.resolve import Resolver

_PUBLIC: Final = frozenset(actor_registry.ROLES.values())
_PERSONS: Final = frozenset(identity_registry.ROLES.values())


_Opened = TypeVar("_Opened")
_Prove = Callable[[Header, Sequence[Actor]], Mapping[Address, Status]]


class ChangedMeanwhileError(ChainUnavailableError):
    """What was read of somebody's keys isn't true any more, and was when it was read; asking again finds what is."""


class _UnlikeError(IntegrityError):
    """The registry keeps something else of an actor than was shown."""

    usual_hint = "ask another node, or tell its operator: somebody tries to read what is meant for this actor"

    def __init__(self, message: str, *, actor: Actor, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.actor = actor


class ProvenKeys:
    """The registries of both chains, of whose answers nothing is believed."""

    def __init__(self, mainchain: Mainchain, sidechain: Sidechain, resolver: Resolver, blocks: KeyBlocks) -> None:
        """Take both chains, what looks people up on them, and whence their key blocks come."""
        self._mainchain = mainchain
        self._sidechain = sidechain
        self._resolver = resolver
        self._blocks = blocks
        self._forgeries: dict[tuple[Address, bytes], tuple[str, str] | None] = {}
        """For each actor and digest that was proven because of a signature what is wrong with it: message and hint."""

    def check(self, actor: Actor) -> Actor:
        """Return an actor with their keys, whose digest, role and organisation are those that a registry keeps.

        Raises:
            IntegrityError: they have others, or no node proves it: the message names the nodes. Or the store gives
                another key block.
            BlockNotFoundError: the store has no key block of theirs.
            ChainUnavailableError: too few nodes answer, or their head is too old.
        """
        self._statuses([actor])
        return self._blocks.of(actor)

    def shown(self, actor: Actor) -> Actor:
        """Return an actor with the keys that events show, unproven: to verify with them, never to seal to them.

        Raises:
            IntegrityError: the store gives another key block, or the registry keeps other keys: whoever showed a digest
                that nobody has a block of is named, and not the store.
            BlockNotFoundError: the store has no key block of theirs.
        """
        try:
            return self._blocks.of(actor)
        except UNREADABLE as exc:
            forged = self.forgery(actor)
            if forged is None:
                raise
            raise forged from exc

    def verifying(self, actor: Actor) -> tuple[list[bytes], list[str]]:
        """Return the keys that verify what an actor signed and no chain dates, newest first, 33 bytes each.

        Those of earlier key blocks count unless the actor said that others may know them. All are proven.

        Returns:
            The keys, and what is wrong with earlier blocks that can't be read: what was signed with those can't be
            verified, and all else can.

        Raises:
            IntegrityError, BlockNotFoundError, SuspendedError, ChainUnavailableError: as `check_grantable`.
        """
        found, unread = [self.check_grantable(actor).verifying_key], []
        for digest in reversed(actor.earlier_keys):
            if not actor.is_ended(digest):
                try:
                    found.append(self._blocks.find(digest, actor.handle).verifying)
                except UNREADABLE as exc:
                    unread.append(f"an earlier key block of {actor.handle} can't be read: {exc}")
        return found, unread

    def signed(self, actor: Actor, what: str, opens: Callable[[bytes], _Opened]) -> _Opened:
        """Return what an actor signed.

        Args:
            actor: whose signature it must be.
            what: it is, for messages.
            opens: checks the signature with a verifying key, 33 bytes, and returns what it is of.

        Raises:
            IntegrityError: the signature doesn't fit, and the message names the actor; or the registry keeps other keys
                of them, and it names the nodes that showed these. Or the store gives another key block.
            BlockNotFoundError: the store has no key block of theirs.
        """
        verifying = self.shown(actor).verifying_key
        try:
            return opens(verifying)
        except IntegrityError as exc:
            forged = self.forgery(actor)
            raise forged or IntegrityError(f"{what} aren't what {actor.handle} signed: {exc}", hint=exc.hint) from exc

    def forgery(self, actor: Actor) -> IntegrityError | None:
        """Return who showed other keys of an actor than the registry keeps; None if nobody did, or no node can tell.

        Each is proven once: whoever makes many signatures that don't fit costs their readers no more.
        """
        shown = actor.address, actor.key_digest
        if shown not in self._forgeries:
            try:
                self._statuses([actor])
            except ChainUnavailableError:
                # What doesn't fit must keep nobody from the rest, whether or not the chains can be asked now.
                return None
            except IntegrityError as exc:
                self._forgeries[shown] = str(exc), exc.hint
            else:
                self._forgeries[shown] = None
        found = self._forgeries[shown]
        return None if found is None else IntegrityError(found[0], hint=found[1])

    def check_grantable(self, actor: Actor) -> Actor:
        """Return what `check` does, of somebody who may act; raises as `check` and `check_active`."""
        self.check_active([actor])
        return self._blocks.of(actor)

    def check_active(self, actors: Collection[Actor]) -> None:
        """Check that these actors have the digest, role and organisation that a registry keeps of them, and may act.

        Nobody's key block is fetched.

        Raises:
            IntegrityError: as `check`, or the nodes hide that one is suspended.
            SuspendedError: one is.
            ChainUnavailableError: as `check`.
        """
        statuses = self._statuses(actors)
        for actor in actors:
            if statuses[actor.address] is not Status.ACTIVE:
                raise self._inactive(actor, statuses[actor.address])

    def check_grantee(self, grantee: Address, key_digest: bytes) -> None:
        """Check that somebody who is granted something has the keys that kfrags are made for, and may act.

        Args:
            grantee: to whom it is granted.
            key_digest: of their key block, or of one before that, unless they said that others may know its keys.

        Raises:
            IntegrityError: as `check_active`, or they never had these keys.
            SuspendedError: they are suspended.
            ChainUnavailableError: as `check`.
        """
        found = self._resolver.known([grantee])
        if any(key_digest in actor.earlier_keys and actor.is_ended(key_digest) for actor in found):
            raise IntegrityError(
                f"{grantee} ended the keys that the policy was made for: others may know them; nothing was sealed",
                hint="revoke the policy and grant again",
            )
        if key_digest not in {one for actor in found for one in actor.key_digests}:
            raise IntegrityError(
                f"{grantee} isn't registered with the keys that the policy was made for; nothing was sealed",
                hint="revoke the policy and grant again",
            )
        self.check_active(found)

    def check_proxies(self, proxies: Sequence[ProxyRef], *, signed: bool = False) -> set[Address]:
        """Check that proxies have the key blocks that a policy says, and return which of them get no share.

        These are suspended ones and, once a policy is signed, those that ended their keys meanwhile: a proxy that does
        so must not keep the others from theirs.

        Args:
            proxies: of the policy.
            signed: whether its patient can't choose others any more.

        Raises:
            IntegrityError: as `check_active`, or a proxy isn't registered, never had these keys, or said that others
                may know them.
            ChainUnavailableError: as `check`.
        """
        registered = {actor.address: actor for actor in self._mainchain.actors.find(Role.PROXY)}
        ended: set[Address] = set()
        for proxy in proxies:
            actor = registered.get(proxy.address)
            if actor is not None and proxy.key_digest in actor.earlier_keys and actor.is_ended(proxy.key_digest):
                if signed:
                    ended.add(proxy.address)
                    continue
                raise IntegrityError(
                    f"{actor.handle} ended the keys that the policy says: others may know them; nothing was sealed",
                    hint="revoke the policy and grant again",
                )
            if actor is None or actor.is_ended(proxy.key_digest):
                raise IntegrityError(
                    f"{_nodes(self._mainchain)} shows no proxy {proxy.address} with the keys that the policy "
                    "says; nothing was sealed"
                )
        statuses = self._statuses([registered[proxy.address] for proxy in proxies])
        suspended = {address for address, status in statuses.items() if status is not Status.ACTIVE}
        for address in suspended:
            error = self._inactive(registered[address], statuses[address])
            if isinstance(error, IntegrityError):
                raise error
        return suspended | ended

    def _statuses(self, actors: Collection[Actor]) -> dict[Address, Status]:
        """Return the proven status of each actor, whose digests are proven by then."""
        main, side = self._mainchain, self._sidechain
        statuses: dict[Address, Status] = {}
        for chain, roles, prove in (
            (main, _PUBLIC, self._public),
            (side, _PERSONS, self._persons),
            (side, {Role.GROUP}, self._groups),
        ):
            asked = [actor for actor in actors if actor.role in roles]
            if asked:
                try:
                    statuses |= _proven(chain, asked, prove)
                except _UnlikeError as exc:
                    raise self._unlike(chain, exc, prove) from exc
        return statuses

    def _public(self, header: Header, actors: Sequence[Actor]) -> dict[Address, Status]:
        kept = proven.prove_actors(self._mainchain, header, _accounts(actors))
        return _compared(self._mainchain, actors, kept)

    def _persons(self, header: Header, actors: Sequence[Actor]) -> dict[Address, Status]:
        kept = proven.prove_identities(self._sidechain, header, _accounts(actors))
        return _compared(self._sidechain, actors, kept)

    def _groups(self, header: Header, actors: Sequence[Actor]) -> dict[Address, Status]:
        kept = proven.prove_groups(self._sidechain, header, _accounts(actors))
        return _compared(self._sidechain, actors, kept)

    def _unlike(self, chain: Contracts, found: _UnlikeError, prove: _Prove) -> PanaChainError:
        """Return what is said of an actor whom the registry keeps otherwise than they were shown.

        Events are read before the head that is proven: whose keys were changed between the two, or since they were
        looked up, makes a liar of nobody.
        """
        actor = found.actor
        now = next(iter(self._resolver.known([actor.address])), actor)
        shown = (*actor.earlier_keys, actor.key_digest)
        # What was shown was true once, or it is a forgery, whatever is shown now.
        if now.earlier_keys[: len(shown)] != shown:
            return found
        try:
            # What is shown now must fit a head of now.
            _proven(chain, [now], prove)
        except _UnlikeError as exc:
            return exc
        return ChangedMeanwhileError(
            f"{actor.role.value} {actor.handle} was given another key meanwhile; nothing was sealed",
            hint="the same again takes the new one",
        )

    def _inactive(self, actor: Actor, status: Status) -> IntegrityError | SuspendedError:
        # Asked anew: who was suspended a moment ago is no lie of the node's.
        now = next(iter(self._resolver.known([actor.address])), actor)
        if now.status is Status.ACTIVE:
            urls = self._mainchain if actor.role in _PUBLIC else self._sidechain
            return IntegrityError(
                f"{_nodes(urls)} shows {actor.handle} as active, the registry keeps {status.name.lower()}; nothing was "
                "sealed"
            )
        return SuspendedError(f"{actor.handle} is {status.name.lower()}; nothing was sealed to them")


def _proven(chain: Contracts, actors: Sequence[Actor], prove: _Prove) -> Mapping[Address, Status]:
    followed = not isinstance(chain.source, NodeEvents)
    seen = chain.source.head().number if followed else 0

    def under(header: Header) -> Mapping[Address, Status]:
        # An older state would hide the newest suspension, and make a liar of the node that showed a newer key.
        if header.number < seen:
            raise LaggingError(f"{_nodes(chain)} shows block {header.number} as the newest; {seen} was seen before")
        return prove(header, actors)

    try:
        return chain.nodes.at_head(under)
    except UnprovableError:
        if not followed:
            raise
        # Their registrations and all that changed them are proven by receipts roots.
        return {actor.address: actor.status for actor in actors}


def _compared(
    chain: Contracts, actors: Sequence[Actor], kept: Sequence[KeptActor | KeptGroup]
) -> dict[Address, Status]:
    statuses = {}
    for actor, one in zip(actors, kept, strict=True):
        if not one.fits(actor):
            raise _UnlikeError(
                f"{_nodes(chain)} shows another role, key or organisation of {actor.handle} than the registry keeps; "
                "nothing was sealed",
                actor=actor,
            )
        statuses[actor.address] = one.status
    return statuses


def _accounts(actors: Sequence[Actor]) -> list[Address]:
    return [actor.address for actor in actors]


def _nodes(chain: Contracts) -> str:
    urls = chain.nodes.urls
    return f"the node at {urls[0]}" if len(urls) == 1 else f"one of the nodes at {', '.join(urls)}"
