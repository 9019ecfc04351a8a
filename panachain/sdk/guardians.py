"""A patient's guardians: naming them, watching what they do, the veto, and moving to another account by their help.

The chain holds commitments; who is named stands in a block that only the patient and each guardian can read. Never
decides when something counts: the contract does. Follows docs/spec/recovery.md, section "Guardians", and ADR 54.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from panachain.chain.contracts.guardianships import list_digest
from panachain.errors import UnknownActorError, UsageError
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Address, Role
from panachain.model.guardianship import COMPLETION, MOST, USUAL_DELAY, GuardiansEvent, RecoveryEvent
from panachain.records.findings import UNREADABLE
from panachain.storage.blocks import keep

if TYPE_CHECKING:
    from panachain.chain.bound import Sends
    from panachain.crypto.keys import Seed
    from panachain.sdk.guardian_blocks import Named
    from panachain.sdk.names import Names
    from panachain.sdk.network import Network
    from panachain.sdk.recovery import Recovery, RecoveryShare
    from panachain.sdk.results.guardians import GuardiansReport, GuardianView, MovedReport, RecoveryView

_LEAST: Final = 2
"""Guardians who are needed: one alone would have the seed."""
_ROLES: Final = (Role.PATIENT, Role.PRACTITIONER, Role.HOSPITAL, Role.RESEARCHER)
"""Who has keys that a share is sealed to, and holds them alone."""


def recovery_of(patient: Address, events: Iterable[RecoveryEvent], now: int) -> RecoveryView | None:
    """Return the newest recovery of a patient that isn't over; None for none.

    Args:
        patient: whose.
        events: all of this patient's, oldest first.
        now: Unix seconds.
    """
    spoke: dict[Address, list[Address]] = {}
    since: dict[Address, list[Address]] = {}
    """Who spoke since the newest opening: they count for another one once its time is over."""
    opened: RecoveryEvent | None = None
    newest: Address | None = None
    for event in events:
        if event.name in ("RecoveryCancelled", "IdentityReplaced"):
            spoke, since, opened, newest = {}, {}, None, None
        elif event.successor is not None and event.guardian is not None:
            spoke.setdefault(event.successor, []).append(event.guardian)
            since.setdefault(event.successor, []).append(event.guardian)
            newest = event.successor
        elif event.successor is not None:
            opened, since = event, {}
    if opened is None and newest is None:
        return None
    # Imported here: of most patients there is none.
    from panachain.sdk.results.guardians import RecoveryView

    if opened is not None and opened.successor is not None and now < opened.ready_at + COMPLETION:
        return RecoveryView(patient, opened.successor, _once(spoke.get(opened.successor, ())), opened.ready_at)
    if newest is None or newest not in since:
        return None
    return RecoveryView(patient, newest, _once(since[newest]))


def told_of(network: Network, patients: Iterable[Address]) -> list[RecoveryView]:
    """Return what guardians began to move some patients, by proven events; needs nobody's seed."""
    guardianships, now = network.sidechain.guardianships, now_of(network)
    found = (recovery_of(one, guardianships.recoveries(one), now) for one in patients)
    return [one for one in found if one is not None]


def now_of(network: Network) -> int:
    """Return what time it is for the sidechain, Unix seconds: a development chain makes no block by itself."""
    return max(network.sidechain.source.head().time, int(network.clock()))


class OwnGuardians:
    """The guardians of one patient.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     named = patient.guardians.set(["doctor", "nurse"], threshold=2)
        ...     [(one.name, named.threshold) for one in named.guardians]
        [('doctor', 2), ('nurse', 2)]
    """

    def __init__(
        self,
        network: Network,
        seed: Seed,
        patient: Address,
        *,
        sender: Callable[[], Sends],
        backup: Recovery,
        names: Names,
    ) -> None:
        """Take the patient's seed and account, what brings their calls, and what makes shares of the seed."""
        self._network = network
        self._seed = seed
        self._patient = patient
        self._sender = sender
        self._backup = backup
        self._names = names

    def set(self, people: Sequence[str], *, threshold: int, delay: int = USUAL_DELAY) -> GuardiansReport:
        """Name people as guardians: any `threshold` of them together have the seed, and can move the patient.

        The first ones count at once. Later ones count when the present delay is over, so that whoever took the key
        can't exchange them at once; shares that were sealed to earlier ones restore the seed all the same.

        Args:
            people: contacts, profiles, handles or addresses of patients, practitioners, hospitals or researchers.
            threshold: how many are needed, from 2 on.
            delay: seconds that a recovery and the next change wait: a day to thirty days.

        Raises:
            UsageError: the numbers don't fit, or somebody is named twice or is the patient.
            UnknownActorError: nobody is registered under a name.
            SuspendedError: somebody is suspended.
            TransactionError: a freeze or an open recovery holds it up, or the delay doesn't fit.
        """
        if not _LEAST <= threshold <= len(people) <= MOST:
            raise UsageError(
                f"{threshold} of {len(people)} guardians: there are {_LEAST} to {MOST}, and {_LEAST} to all of them are"
                " needed"
            )
        named = [self._named(one) for one in people]
        if len({one.address for one in named}) != len(named):
            raise UsageError("somebody is named twice: each guardian holds one share")
        if any(one.address == self._patient for one in named):
            raise UsageError("nobody is their own guardian")
        made = self._backup.shares(threshold=threshold, of=len(named))
        try:
            return self._announce(named, made, threshold, delay)
        except BaseException:
            self._backup.forget(made[0].set)
            raise

    def remove(self) -> GuardiansReport:
        """Announce that nobody is to be guardian any more, from when the present delay is over.

        Raises:
            UsageError: nobody is named.
            TransactionError: a freeze or an open recovery holds it up.
        """
        known = self._network.sidechain.guardianships.guardianship_of(self._patient)
        if not known.threshold:
            raise UsageError("you have no guardians")
        receipt = self._network.sidechain.guardianships.set_guardians(self._sender(), [], 0, known.delay, bytes(32))
        return self._report(receipt.tx_hash)

    def keep(self) -> GuardiansReport:
        """Take back what was announced: the present guardians stay.

        Raises:
            TransactionError: nothing was announced.
        """
        return self._report(self._network.sidechain.guardianships.cancel_guardians(self._sender()).tx_hash)

    def freeze(self) -> GuardiansReport:
        """Let nobody new be named or paired with for 72 hours; revoking, unpairing and the veto go on."""
        return self._report(self._network.sidechain.guardianships.freeze(self._sender()).tx_hash)

    def veto(self) -> GuardiansReport:
        """Veto every approval until now, and an open recovery. A suspended patient can't."""
        return self._report(self._network.sidechain.guardianships.cancel_recovery(self._sender()).tx_hash)

    def all(self) -> GuardiansReport:
        """Return who is named, what is announced, and what guardians began.

        Raises:
            BlockNotFoundError: no store has the patient's own list any more.
        """
        return self._report("")

    def recovery(self) -> RecoveryView | None:
        """Return what guardians began to move this patient, by proven events; None for nothing."""
        events = self._network.sidechain.guardianships.recoveries(self._patient)
        return recovery_of(self._patient, events, now_of(self._network))

    def complete(self, patient: str) -> MovedReport:
        """Be a patient whom guardians moved here, from now on; the account before never acts again.

        Args:
            patient: the account before: handle or address.

        Raises:
            UnknownActorError: nobody is registered under it.
            TransactionError: no recovery to this account is open, or its delay isn't over.
        """
        before = self._network.resolver.registered(patient).address
        receipt = self._network.sidechain.guardianships.complete_recovery(self._sender(), before)
        return self._moved(before, receipt.tx_hash)

    def inherited(self) -> list[MovedReport]:
        """Return the accounts that guardians moved to this one, and the hospitals that have to be paired with anew."""
        moves = self._network.sidechain.identities.moves()
        return [self._moved(one) for one, newest in moves.items() if newest == self._patient]

    def _moved(self, before: Address, tx: str = "") -> MovedReport:
        from panachain.sdk.results.guardians import MovedReport

        identities = self._network.sidechain.identities
        own = {one.hospital for one in identities.paired(patient=self._patient) if one.paired}
        theirs = [one.hospital for one in identities.paired(patient=before) if one.paired and one.hospital != before]
        return MovedReport(before, self._patient, tuple(one for one in theirs if one not in own), tx)

    def _named(self, text: str) -> Named:
        from panachain.sdk.guardian_blocks import Named

        found = self._network.resolve(text, *_ROLES)
        self._network.keys.check_active([found])
        actor = self._network.key_blocks.of(found)
        return Named(actor.address, self._names.of(actor.address, actor.role), actor.sealing_key)

    def _announce(
        self, named: Sequence[Named], made: Sequence[RecoveryShare], threshold: int, delay: int
    ) -> GuardiansReport:
        from panachain.sdk.guardian_blocks import seal_invitations

        texts = [share.reveal() for share in made]
        commitments, block = seal_invitations(self._patient, self._seed, named, texts, threshold)
        cid = keep(self._network.store, block)
        receipt = self._network.sidechain.guardianships.set_guardians(
            self._sender(), commitments, threshold, delay, cid.digest
        )
        return self._report(receipt.tx_hash)

    def _report(self, tx: str) -> GuardiansReport:
        from panachain.sdk.results.guardians import GuardiansReport

        known = self._network.sidechain.guardianships.guardianship_of(self._patient)
        announced = self._network.sidechain.guardianships.announced(self._patient)
        return GuardiansReport(
            threshold=known.threshold,
            delay=known.delay,
            guardians=self._listed(announced, known.digest),
            changes_at=known.changes_at,
            announced=self._listed(announced, known.next_digest) if known.changes_at else (),
            frozen_until=known.frozen_until if known.frozen_until > now_of(self._network) else 0,
            recovery=self.recovery(),
            tx=tx,
        )

    def _listed(self, announced: Sequence[GuardiansEvent], digest: bytes) -> tuple[GuardianView, ...]:
        from panachain.sdk.guardian_blocks import open_own
        from panachain.sdk.results.guardians import GuardianView

        if not any(digest):
            return ()
        unread: Exception | None = None
        for event in reversed(announced):
            if list_digest(event.commitments) == digest:
                try:
                    block = self._network.store.get_block(CID(RAW, event.invitations))
                    return tuple(GuardianView(one.name, one.address) for one in open_own(block, self._seed))
                except UNREADABLE as exc:
                    # Whoever took the key can announce the same list with another block.
                    unread = unread or exc
        if unread is not None:
            raise unread
        raise UnknownActorError("the sidechain's node hides whom you named", hint="another node: panachain doctor")


def _once(accounts: Iterable[Address]) -> tuple[Address, ...]:
    return tuple(dict.fromkeys(accounts))
