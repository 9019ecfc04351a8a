"""A patient's guardians: naming them, watching what they do, the veto, and moving to another account by their help.

The chain holds commitments; who is named stands in a block that only the patient and each guardian can read. Never
decides when something counts: the contract does. Follows docs/spec/recovery.md, section "Guardians", and ADR 54.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from panachain.chain.contracts.guardianships import list_digest
from panachain.errors import StuckError, TransactionError, UnknownActorError, UsageError
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Actor, Address, Role, Status
from panachain.model.guardianship import COMPLETION, MOST, USUAL_DELAY, GuardiansEvent, RecoveryEvent
from panachain.records.findings import UNREADABLE
from panachain.sdk.kept import Kept
from panachain.storage.blocks import keep

if TYPE_CHECKING:
    from panachain.chain.bound import Sends
    from panachain.crypto.keys import Seed
    from panachain.sdk.guardian_blocks import Named
    from panachain.sdk.names import Names
    from panachain.sdk.network import Network
    from panachain.sdk.recovery import Recovery
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


@dataclass(frozen=True)
class _Naming:
    """A naming that was begun: what is needed to send it once more, and to know it on the chain."""

    set: str
    """The two words of the shares' set."""
    people: tuple[bytes, ...]
    """Account and digest of the key block of each, 52 bytes, in the order in which they were named."""
    threshold: int
    delay: int
    commitments: tuple[bytes, ...]
    invitations: bytes
    """Digest of the CID of the sealed shares."""

    @classmethod
    def parse(cls, content: Any) -> _Naming | None:
        """Return what was kept; None for nothing, and for what this program didn't write."""
        try:
            name, people, threshold, delay, commitments, invitations = content["naming"]
            return cls(
                str(name),
                tuple(map(bytes, people)),
                int(threshold),
                int(delay),
                tuple(map(bytes, commitments)),
                bytes(invitations),
            )
        except (KeyError, TypeError, ValueError):
            return None


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
        folder: Path,
    ) -> None:
        """Take the patient's seed and account, what brings their calls, what makes shares, and the profile's folder."""
        self._network = network
        self._seed = seed
        self._patient = patient
        self._sender = sender
        self._backup = backup
        self._kept = Kept(folder, seed, "naming")
        self._names = names

    def set(self, people: Sequence[str], *, threshold: int, delay: int = USUAL_DELAY) -> GuardiansReport:
        """Name people as guardians: any `threshold` of them together have the seed, and can move the patient.

        The first ones count at once. Later ones count when the present delay is over, so that whoever took the key
        can't exchange them at once; shares that were sealed to earlier ones restore the seed all the same.
        What was interrupted, the same call completes with the same shares; if it was announced, nothing is sent anew.

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
        begun = _Naming.parse(self._kept.read())
        if begun is not None:
            marks = tuple(_mark(one) for one in named)
            same = (begun.people, begun.threshold, begun.delay) == (marks, threshold, delay)
            announced = self._is_announced(begun)
            if announced:
                self._backup.handed_out(begun.set)
            if same and announced and self._counts(begun):
                return self._complete(begun, "")
            if same and not announced:
                return self._announce(begun)
        return self._announce(self._seal(named, threshold, delay))

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

        The same once more sends nothing.

        Args:
            patient: the account before: handle or address.

        Raises:
            UnknownActorError: nobody is registered under it.
            TransactionError: no recovery to this account is open, or its delay isn't over.
        """
        before = self._network.resolver.registered(patient).address
        if self._is_moved(before):
            # A call before this one broke off behind its transaction.
            return self._moved(before)
        try:
            receipt = self._network.sidechain.guardianships.complete_recovery(self._sender(), before)
        except TransactionError:
            # The transaction of that call may have been mined meanwhile.
            if self._is_moved(before):
                return self._moved(before)
            raise
        return self._moved(before, receipt.tx_hash)

    def _is_moved(self, before: Address) -> bool:
        return self._network.sidechain.identities.moves().get(before) == self._patient

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
        return Named(actor.address, self._names.of(actor.address, actor.role), actor.sealing_key, actor.key_digest)

    def _seal(self, named: Sequence[Named], threshold: int, delay: int) -> _Naming:
        """Make shares, store them sealed, and write down what is to be announced, before anything is."""
        from panachain.sdk.guardian_blocks import seal_invitations

        made = self._backup.shares(threshold=threshold, of=len(named), pending=True)
        try:
            texts = [share.reveal() for share in made]
            commitments, block = seal_invitations(self._patient, self._seed, named, texts, threshold)
            cid = keep(self._network.store, block)
        except BaseException:
            self._backup.forget(made[0].set)
            raise
        people = tuple(_mark(one) for one in named)
        naming = _Naming(made[0].set, people, threshold, delay, tuple(commitments), cid.digest)
        self._kept.write({"naming": [list(one) if isinstance(one, tuple) else one for one in astuple(naming)]})
        return naming

    def _announce(self, naming: _Naming) -> GuardiansReport:
        try:
            receipt = self._network.sidechain.guardianships.set_guardians(
                self._sender(), naming.commitments, naming.threshold, naming.delay, naming.invitations
            )
        except StuckError:
            # It may be mined yet: the same call looks.
            raise
        except TransactionError:
            # Refused for good: nobody has these shares, or will be told of them.
            self._kept.write({})
            self._backup.forget(naming.set)
            raise
        return self._complete(naming, receipt.tx_hash)

    def _complete(self, naming: _Naming, tx: str) -> GuardiansReport:
        """Note that the guardians have their shares; what can't be told of them now is told by the same call again."""
        self._backup.handed_out(naming.set)
        report = self._report(tx)
        self._kept.write({})
        return report

    def _counts(self, naming: _Naming) -> bool:
        """Tell whether an announced list is the present one, or will be: it may have been taken back."""
        known = self._network.sidechain.guardianships.guardianship_of(self._patient)
        digest = list_digest(naming.commitments)
        return digest == known.digest or (known.changes_at > 0 and digest == known.next_digest)

    def _is_announced(self, naming: _Naming) -> bool:
        announced = self._network.sidechain.guardianships.announced(self._patient)
        return any((one.commitments, one.invitations) == (naming.commitments, naming.invitations) for one in announced)

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

        if not any(digest):
            return ()
        unread: Exception | None = None
        for event in reversed(announced):
            if list_digest(event.commitments) == digest:
                try:
                    block = self._network.store.get_block(CID(RAW, event.invitations))
                    return self._views(open_own(block, self._seed))
                except UNREADABLE as exc:
                    # Whoever took the key can announce the same list with another block.
                    unread = unread or exc
        if unread is not None:
            raise unread
        raise UnknownActorError("the sidechain's node hides whom you named", hint="another node: panachain doctor")

    def _views(self, named: Sequence[Named]) -> tuple[GuardianView, ...]:
        from panachain.sdk.results.guardians import GuardianView

        known = {actor.address: actor for actor in self._network.resolver.known(one.address for one in named)}
        return tuple(GuardianView(one.name, one.address, _state(known.get(one.address), one.digest)) for one in named)


def _mark(one: Named) -> bytes:
    """Return what somebody who was named is known by: another key of theirs needs another share."""
    return bytes.fromhex(one.address[2:]) + one.digest


def _state(actor: Actor | None, digest: bytes) -> str:
    """Return how a guardian is, as the registry shows them now.

    Args:
        actor: as the registry has them; None if it doesn't.
        digest: of the key block that their share is sealed to; empty if that wasn't written down.
    """
    if actor is None:
        return "unknown"
    if actor.status is Status.REPLACED:
        return "moved"
    if actor.status is not Status.ACTIVE:
        return "suspended"
    sealed_to = (digest,) if digest else actor.earlier_keys
    ended = any(one in actor.earlier_keys and actor.is_ended(one) for one in sealed_to)
    return "compromised" if ended else "active"


def _once(accounts: Iterable[Address]) -> tuple[Address, ...]:
    return tuple(dict.fromkeys(accounts))
