"""Key rotation: an actor's sealing, receiving and signing key change together, and nothing that was sealed is lost.

Never changes an account, a lane or a key at rest, and never anybody else's keys: an account's own signature does. The
keys of every generation follow from the seed. Follows docs/adr/0058 and docs/spec/formats.md (section "Key blocks").

1. Look at the registry: active, and every key block that it has is this seed's.
2. Put the next generation's block into the store, and read it back from there.
3. Name it on chain, with the time at which the block before ends.
4. Look at the registry once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from panachain.crypto.keys import Seed, generation_among
from panachain.errors import ChainUnavailableError, IntegrityError, SuspendedError, UnknownActorError, UsageError
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Actor, Role, Status
from panachain.sdk.results.keys import KeyBlockView, KeyRotationReport
from panachain.sdk.times import Moment, seconds

if TYPE_CHECKING:
    from panachain.chain.bound import Sends
    from panachain.sdk.network import Network

OVERLAP: Final = timedelta(days=1)
"""How long what is signed with the earlier keys still counts, if nobody says otherwise: for what was begun."""
LEAST_OVERLAP: Final = timedelta(hours=1)
"""Clocks of two chains and of machines differ, and what was signed has to be mined."""
MOST_OVERLAP: Final = timedelta(days=30)
"""As the registries say (`MAX_OVERLAP`)."""
MOST_BACK: Final = timedelta(days=179)
"""How long ago keys can have become known to others: a day less than the registries allow (`MAX_BACK`), for mining."""
_NEVER_CHANGE: Final = {
    Role.PATIENT: "keys of a patient's records are changed by `revoke --rotate`, a stolen seed by the guardians",
    Role.REGISTRAR: "nothing is sealed to a registrar, and their power is the account's (docs/security/contracts.md)",
}


@dataclass(frozen=True)
class Owner:
    """Whose keys are changed, and how they act."""

    actor: Actor
    """Account and role; the registry says the rest."""
    seed: Seed
    registered: Callable[[], Actor | None]
    """Returns the actor as the registry has them now."""
    sender: Callable[[], Sends]
    """Returns what sends in the account's name."""
    sealed: Callable[[], Sequence[tuple[str, int]]] = tuple
    """Returns what is sealed to the actor, and how much."""
    unfinished: Callable[[], AbstractContextManager[int]] = lambda: nullcontext(0)
    """Keeps the actor from publishing while it is entered, and says how many batches are signed and not on chain."""
    changed: Callable[[], None] = lambda: None
    """Called after a change: what was known of one's own keys isn't true any more."""


class OwnKeys:
    """The key blocks of one actor: `keys` of a session.

    Examples:
        >>> with connect("study", role="researcher") as researcher:
        ...     done = researcher.keys.rotate()
        ...     newest, earlier = researcher.keys.all()[:2]
        >>> newest.state, newest.generation == done.generation, earlier.state
        ('current', True, 'ending')
    """

    def __init__(self, network: Network, owner: Owner) -> None:
        """Take the network, and whose keys these are."""
        self._network = network
        self._owner = owner

    def all(self) -> list[KeyBlockView]:
        """Return every key block that the registry names, newest first; none before the registration.

        Raises:
            StoreUnavailableError: the store doesn't answer.
        """
        found = self._owner.registered()
        if found is None:
            return []
        own, now = generation_among(self._owner.seed, found.key_digests), self._now(found.role)
        first = self._owner.seed.of_generation(0).public_keys().digest
        starts = (0, *(change.valid_from for change in found.key_changes))
        views = []
        for generation, (digest, end) in enumerate(zip(found.key_digests, (*found.key_ends(), None), strict=True)):
            state = "current"
            if end is not None:
                state = "compromised" if end.compromised else "ending" if now < end.at else "ended"
            views.append(
                KeyBlockView(
                    generation,
                    digest,
                    state,
                    valid_from=starts[generation],
                    ends_at=0 if end is None else end.at,
                    is_own=digest == first if not generation else generation <= own,
                    is_stored=self._network.store.has_block(CID(RAW, digest)),
                )
            )
        return views[::-1]

    def plan(self, *, compromised_since: Moment | None = None, overlap: timedelta = OVERLAP) -> KeyRotationReport:
        """Return what `rotate` would do; nothing is stored or sent.

        Raises:
            UsageError, UnknownActorError, SuspendedError, IntegrityError: as `rotate`.
        """
        with self._nothing_begun(compromised=compromised_since is not None):
            return self._planned(self._known(), compromised_since, overlap)

    def rotate(self, *, compromised_since: Moment | None = None, overlap: timedelta = OVERLAP) -> KeyRotationReport:
        """Replace the key block; what was sealed to the earlier ones still opens with their keys.

        Args:
            compromised_since: since when others may know the keys, not in the future and at most 179 days ago; a
                `timedelta` counts back. What
                was published since then doesn't count under any block that was in force at that time, also one that was
                replaced since. None for an ordinary change.
            overlap: how long what is signed with the earlier keys still counts after an ordinary change.

        Raises:
            UsageError: the role's keys never change, the time is in the future or too long ago, or the overlap isn't
                between an hour and 30 days. Or others may know the keys, and a batch that they signed isn't on chain
                yet: what it holds would be published for nobody.
            UnknownActorError: the actor isn't registered.
            SuspendedError: the actor is suspended.
            IntegrityError: the registry has keys that aren't this seed's, or the store gives another block back.
            StoreUnavailableError: the store doesn't take the block; nothing was said on chain.
            TransactionError: the chain refuses it, such as when the keys were changed meanwhile.
        """
        with self._nothing_begun(compromised=compromised_since is not None):
            return self._rotate(compromised_since, overlap)

    def _rotate(self, compromised_since: Moment | None, overlap: timedelta) -> KeyRotationReport:
        owner, network = self._owner, self._network
        # 1. The registry.
        known = self._known()
        report = self._planned(known, compromised_since, overlap)
        # 2. The store: the chain never names a block that nobody has.
        keys = owner.seed.of_generation(report.generation).public_keys()
        cid = network.key_blocks.put(Actor.of(known.address, known.role, keys))
        if cid.check(network.store.get_block(cid), network.store.name) != keys.encode():
            raise IntegrityError(f"the {network.store.name} gives another key block back; nothing was said on chain")
        self.store_again()
        # 3. The chain.
        how = {"earlier_ends_at": report.earlier_ends_at}
        if known.role is Role.PRACTITIONER:
            sent = network.sidechain.identities.change_keys(owner.sender(), known, report.digest, **how)
        else:
            sent = network.mainchain.actors.change_keys(owner.sender(), known, report.digest, **how)
        owner.changed()
        # 4. The registry once more.
        now = owner.registered()
        if now is None or now.key_digest != report.digest:
            raise ChainUnavailableError(
                f"transaction {sent.tx_hash} changed the keys of {report.handle}, and the node doesn't show it yet",
                hint="panachain key history",
            )
        return KeyRotationReport(**(vars(report) | {"tx": sent.tx_hash}))

    @contextmanager
    def _nothing_begun(self, *, compromised: bool) -> Iterator[None]:
        """Check that no batch is left that no key would verify, and let none be begun meanwhile.

        After an ordinary change what is signed with the earlier keys counts for the overlap.
        """
        if not compromised:
            yield
            return
        with self._owner.unfinished() as unfinished:
            if unfinished:
                raise UsageError(
                    f"batches that the present keys signed and that aren't on chain yet: {unfinished}. After this"
                    " change nobody could verify them; nothing was changed",
                    hint="panachain settle sends them; what counts for nobody afterwards is uploaded again",
                )
            yield

    def store_again(self) -> None:
        """Put and pin own key blocks that the store lacks: what was signed with their keys is verified with them."""
        for view in self.all():
            if view.is_own and not view.is_stored:
                keys = self._owner.seed.of_generation(view.generation).public_keys()
                self._network.key_blocks.put(Actor.of(self._owner.actor.address, self._owner.actor.role, keys))

    def _known(self) -> Actor:
        """Return the actor as the registry has them, who may change keys.

        Raises:
            UsageError, UnknownActorError, SuspendedError, IntegrityError: as `rotate`.
        """
        handle, role = self._owner.actor.handle, self._owner.actor.role
        if role in _NEVER_CHANGE:
            raise UsageError(f"the keys of a {role.value} never change; nothing was done", hint=_NEVER_CHANGE[role])
        found = self._owner.registered()
        if found is None:
            raise UnknownActorError(f"{handle} isn't registered, so there are no keys to replace")
        if found.status is not Status.ACTIVE:
            raise SuspendedError(f"{handle} is {found.status.name.lower()}; the keys stay as they are")
        newest = self._owner.seed.of_generation(len(found.earlier_keys)).public_keys().digest
        if newest != found.key_digest:
            raise IntegrityError(
                f"the registry names keys of {handle} that aren't this seed's: somebody else has the account's key",
                hint="the registrar suspends this account; a new profile is registered in its place",
            )
        return found

    def _planned(self, known: Actor, compromised_since: Moment | None, overlap: timedelta) -> KeyRotationReport:
        if not LEAST_OVERLAP <= overlap <= MOST_OVERLAP:
            raise UsageError(
                f"earlier keys can count for {LEAST_OVERLAP} to {MOST_OVERLAP} beside the new ones, not {overlap}"
            )
        chain, clock = self._head(known.role), int(self._network.clock())
        if compromised_since is None:
            ends_at = max(chain, clock) + overlap // timedelta(seconds=1)
        else:
            since = seconds(compromised_since, at=clock, past=True, name="compromised_since")
            if since > clock:
                raise UsageError("keys that will be compromised can't be told of; nothing was done")
            if since < max(chain, clock) - MOST_BACK // timedelta(seconds=1):
                raise UsageError(
                    f"keys can end at most {MOST_BACK.days} days ago, so that nobody who has the account makes a whole"
                    " history unreadable; nothing was done",
                    hint="say a later time; what was published before it under a stolen key is withdrawn, or erased",
                )
            # Before the block that says so, whatever this machine's clock shows.
            ends_at = min(since, chain - 1)
        generation = len(known.earlier_keys) + 1
        return KeyRotationReport(
            handle=known.handle,
            generation=generation,
            digest=self._owner.seed.of_generation(generation).public_keys().digest,
            earlier_digest=known.key_digest,
            earlier_ends_at=ends_at,
            compromised=compromised_since is not None,
            newest_spared=bool(known.key_changes) and ends_at < known.key_changes[-1].valid_from,
            sealed=tuple(self._owner.sealed()),
        )

    def _head(self, role: Role) -> int:
        chain = self._network.sidechain if role is Role.PRACTITIONER else self._network.mainchain
        return chain.source.head().time

    def _now(self, role: Role) -> int:
        return max(self._head(role), int(self._network.clock()))
