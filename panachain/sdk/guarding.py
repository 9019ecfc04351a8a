"""What a guardian does: sees whom they guard, speaks for a recovery, freezes, and releases their share to a new device.

Anybody who is registered can be a guardian; an invitation that the chain's commitment doesn't confirm is none. Never
shows a share: it goes sealed from the patient's machine to the new one. Follows docs/spec/recovery.md and ADR 54.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from panachain.chain.contracts.guardianships import list_digest
from panachain.errors import AccessDeniedError, PanaChainError, ShareError, UnknownActorError, UsageError
from panachain.ethereum import parse_address
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Address, Role
from panachain.model.guardianship import GuardiansEvent, Guardianship
from panachain.records.findings import UNREADABLE
from panachain.sdk.guardian_blocks import (
    ANSWER,
    ASK,
    Invitation,
    is_code,
    line,
    open_invitation,
    read_line,
    read_question,
    seal_answer,
)
from panachain.sdk.guardians import now_of, recovery_of
from panachain.sdk.kept import Kept
from panachain.sdk.recovery import read_share
from panachain.sdk.results.guardians import GuardedView, ReleaseReport
from panachain.sdk.results.listings import LeftOut, Listing
from panachain.storage.blocks import keep

if TYPE_CHECKING:
    from panachain.chain.bound import Sends
    from panachain.crypto.keys import Seed
    from panachain.sdk.names import Names
    from panachain.sdk.network import Network

_LOG: Final = logging.getLogger(__name__)
_VERSION: Final = 3
_MOST_LOOKS: Final = 8
"""Announcements of one patient that are looked at in one search; each costs a block and sixteen openings."""
_MOST_UNREAD: Final = 20_000
"""Announcements that couldn't be read, of which it is remembered: more than a relay takes of one patient in three
months."""


@dataclass(frozen=True)
class _Guarded:
    """One patient of a guardian's."""

    invitation: Invitation
    event: GuardiansEvent
    known: Guardianship

    @property
    def state(self) -> str:
        digest = list_digest(self.event.commitments)
        if digest == self.known.digest:
            return "guardian"
        return "announced" if self.known.changes_at and digest == self.known.next_digest else "former"


@dataclass
class _Tried:
    """The marks of announcements that were tried in vain."""

    others: set[bytes]
    """They hold nothing for this actor."""
    unread: list[bytes]
    """They couldn't be read; the longest ago first."""

    def fails(self, mark: bytes) -> None:
        """Note one that can't be read."""
        self.unread = [*(one for one in self.unread if one != mark), mark][-_MOST_UNREAD:]

    def content(self) -> dict[str, object]:
        """Return what is kept of them."""
        return {"v": _VERSION, "others": sorted(self.others), "unread": list(self.unread)}


class Guarding:
    """The patients whose guardian one actor is.

    Examples:
        >>> with connect("me", role="patient") as patient, connect("nurse", role="practitioner") as nurse:
        ...     named = patient.guardians.set(["doctor", "nurse"], threshold=2)
        ...     [(one.state, one.threshold) for one in nurse.guarding.all()]
        [('guardian', 2)]
    """

    def __init__(
        self,
        network: Network,
        seed: Seed,
        account: Address,
        *,
        folder: Path,
        sender: Callable[[], Sends],
        names: Names,
    ) -> None:
        """Take the guardian's seed and account, the profile's folder, and what brings their calls."""
        self._network = network
        self._seed = seed
        self._account = account
        self._kept = Kept(folder, seed, "guarding")
        self._sender = sender
        self._names = names

    def all(self) -> Listing[GuardedView]:
        """Return the patients whose guardian this actor is, will be, or was, in the order in which they named them.

        `left_out` names those whose block can't be read now, and those who announced more lists than are looked at.
        """
        found, left_out = self._find()
        moves = self._network.sidechain.identities.moves()
        views = [self._view(one, moves.get(one.invitation.patient)) for one in found]
        return Listing(self._names.fill(views), left_out)

    def approve(self, patient: str, successor: str) -> GuardedView:
        """Speak for moving a patient to another account; enough guardians begin it, and the patient can veto.

        Who the successor is decides everything: ask the patient for the handle, face to face or by voice.

        Args:
            patient: handle, contact or address of the account that was lost or stolen.
            successor: handle or address of the patient's new account, which the registrar admitted.

        Raises:
            AccessDeniedError: this actor isn't a guardian of the patient now.
            TransactionError: the successor isn't another active patient, or they spoke for it already.
        """
        one = self._one(patient)
        # By handle or address alone: a name of this machine isn't what the patient read out.
        new = self._network.resolver.registered(successor)
        if new.role is not Role.PATIENT:
            raise UsageError(f"{new.handle} is a {new.role.value}: a patient moves to another patient's account")
        self._network.sidechain.guardianships.approve_recovery(
            self._sender(), one.invitation.patient, new.address, one.invitation.proof
        )
        return self._again(one)

    def freeze(self, patient: str) -> GuardedView:
        """Let nobody new be named or paired with in a patient's name for 72 hours; each guardian can once.

        Raises:
            AccessDeniedError: this actor isn't a guardian of the patient now.
            TransactionError: they froze this patient before.
        """
        one = self._one(patient)
        self._network.sidechain.guardianships.freeze_for(self._sender(), one.invitation.patient, one.invitation.proof)
        return self._again(one)

    def asked(self, ask: str) -> tuple[Address, CID]:
        """Return whose seed a question is about, and the question's CID.

        Raises:
            UsageError: it is no line of a question.
            BlockNotFoundError: no store has the question.
            IntegrityError: what the store has is no question.
        """
        cid = read_line(ask, ASK)
        return read_question(self._network.store.get_block(cid))[0], cid

    def release(self, ask: str, code: str) -> ReleaseReport:
        """Seal this guardian's share to the device that asked.

        Args:
            ask: the line that the device shows.
            code: the five words that the patient read out, by voice or face to face: a message can be anybody's.

        Raises:
            AccessDeniedError: the words aren't those of this question, or this actor never guarded that account.
            UsageError: it is no line of a question.
        """
        account, cid = self.asked(ask)
        if not is_code(code, cid):
            raise AccessDeniedError(
                "these words aren't those of this question; no share was released",
                hint="call the patient: let them read out the words that the new device shows, and type those",
            )
        _, key = read_question(self._network.store.get_block(cid))
        one = self._one(account, former=True)
        share = read_share(one.invitation.share)
        if share.address != account:
            raise ShareError("the share that was sealed to you is of another account; nothing was released")
        block = keep(self._network.store, seal_answer(cid, key, one.invitation.share))
        return ReleaseReport(account, share.number, line(ANSWER, block))

    def _one(self, patient: str, *, former: bool = False) -> _Guarded:
        address = _account(self._network, patient)
        found, left_out = self._find()
        for one in found:
            if one.invitation.patient == address and (former or one.state == "guardian"):
                return one
        if left_out:
            raise UnknownActorError(f"an invitation can't be read now: {left_out[0].reason}", hint=left_out[0].reason)
        raise AccessDeniedError(
            f"you aren't a guardian of {self._names.of(address, Role.PATIENT)}", hint="panachain guardian list"
        )

    def _again(self, one: _Guarded) -> GuardedView:
        known = self._network.sidechain.guardianships.guardianship_of(one.invitation.patient)
        return self._names.fill([self._view(_Guarded(one.invitation, one.event, known), None)])[0]

    def _view(self, one: _Guarded, moved_to: Address | None) -> GuardedView:
        patient = one.invitation.patient
        now = now_of(self._network)
        events = self._network.sidechain.guardianships.recoveries(patient)
        return GuardedView(
            patient=patient,
            state=one.state,
            threshold=one.invitation.threshold,
            share=_number(one.invitation.share),
            delay=one.known.delay,
            frozen_until=one.known.frozen_until if one.known.frozen_until > now else 0,
            recovery=recovery_of(patient, events, now),
            moved_to=moved_to,
        )

    def _find(self) -> tuple[list[_Guarded], list[LeftOut]]:
        """Return of each patient the invitation that counts most: the present one, else the newest."""
        tried = self._tried()
        before = tried.content()
        of: dict[Address, dict[bytes, GuardiansEvent]] = {}
        for event in self._network.sidechain.guardianships.announced():
            if event.patient != self._account and event.commitments and _mark(event) not in tried.others:
                of.setdefault(event.patient, {})[_mark(event)] = event
        found, left_out = [], []
        for patient, events in of.items():
            one, unread = self._look(events, tried)
            found += [one] if one is not None else []
            if unread:
                left_out.append(LeftOut("guardian", patient, "; ".join(dict.fromkeys(unread)), patient))
        for left in left_out:
            _LOG.info("%s", left)
        if tried.content() != before:
            self._kept.write(tried.content())
        return found, left_out

    def _look(self, events: Mapping[bytes, GuardiansEvent], tried: _Tried) -> tuple[_Guarded | None, list[str]]:
        """Look through what one patient announced, until something holds an invitation to this actor.

        Whoever announces costs their guardians a few blocks a time and no more; what can't be read comes last.

        Returns:
            What was found, and what couldn't be looked at.
        """
        patient = next(iter(events.values())).patient
        known = self._network.sidechain.guardianships.guardianship_of(patient)
        present = (known.digest, known.next_digest)
        later = {mark: place for place, mark in enumerate(tried.unread)}

        def turn(item: tuple[int, tuple[bytes, GuardiansEvent]]) -> tuple[int, int]:
            age, (mark, event) = item
            digest = list_digest(event.commitments)
            if digest in present:
                # The oldest first: whoever took the key can announce the same list again, and nobody could before.
                return present.index(digest), age
            return (3, later[mark]) if mark in later else (2, -age)

        unread: list[str] = []
        for looks, (_, (mark, event)) in enumerate(sorted(enumerate(events.items()), key=turn)):
            if looks == _MOST_LOOKS:
                unread.append(
                    f"{len(events) - looks} more lists that this patient announced weren't looked at; the same command"
                    " again goes on"
                )
                break
            try:
                invitation = self._open(event)
            except UNREADABLE as exc:
                tried.fails(mark)
                unread.append(str(exc))
                continue
            if invitation is not None:
                return _Guarded(invitation, event, known), unread
            tried.others.add(mark)
        return None, unread

    def _open(self, event: GuardiansEvent) -> Invitation | None:
        return open_invitation(
            self._network.store.get_block(CID(RAW, event.invitations)),
            self._seed.sealing(),
            patient=event.patient,
            guardian=self._account,
            commitments=event.commitments,
        )

    def _tried(self) -> _Tried:
        """Return what became of announcements that were tried."""
        content: Any = self._kept.read()
        try:
            if content["v"] == _VERSION:
                return _Tried({bytes(one) for one in content["others"]}, [bytes(one) for one in content["unread"]])
        except (KeyError, TypeError, ValueError):
            pass
        return _Tried(set(), [])


def _mark(event: GuardiansEvent) -> bytes:
    """Return what an announcement is known by, 32 bytes: of all of it, since anybody can announce another's block."""
    patient = bytes.fromhex(event.patient[2:])
    return sha256(patient + event.invitations + list_digest(event.commitments)).digest()


def _account(network: Network, patient: str) -> Address:
    """Return whom a text means; an address stands for itself, also of an account that was moved."""
    if not patient.startswith("0x"):
        return network.resolve(patient, Role.PATIENT).address
    try:
        return parse_address(patient)
    except ValueError:
        raise UnknownActorError(f"{patient[:80]!a} is no address") from None


def _number(share: str) -> int:
    """Return the number of a share; 0 for one that can't be right."""
    try:
        return read_share(share).number
    except PanaChainError:
        return 0
