"""Break-glass: what patients prepare and are told, what practitioners ask for and open, what the registrar reviews.

No key waits anywhere that opens something alone: the desk's group has a receiving key, the proxies have kfrags for it,
and they serve while the sidechain says that two practitioners of one hospital broke the glass. Decides nothing about
who is served. Follows docs/spec/emergency.md, ADR 50 and design section 8 (Break glass).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from panachain.chain.bound import Sends
from panachain.consent.offer import Offer
from panachain.crypto import labels
from panachain.crypto.hpke import SealingKey
from panachain.crypto.keys import Seed
from panachain.errors import AccessDeniedError, OpensLaterError, OutOfScopeError, UnknownActorError, UsageError
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Actor, Address, PolicyId, Role
from panachain.model.emergencies import DELAYS, STEP
from panachain.model.policy import PolicyStatus
from panachain.model.scope import EMERGENCY, Category, Purpose
from panachain.model.transactions import Emergency
from panachain.records.findings import UNREADABLE
from panachain.sdk.access import unread
from panachain.sdk.desks import desk_of
from panachain.sdk.network import Network
from panachain.sdk.offers import Offers
from panachain.sdk.results.emergencies import EmergencyView
from panachain.sdk.results.listings import Listing
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.sealed_texts import open_text, seal_text
from panachain.sdk.times import Moment, iso
from panachain.storage.blocks import keep

if TYPE_CHECKING:
    from panachain.sdk.granted_records import GrantedOpening
    from panachain.sdk.grants import Grants
    from panachain.sdk.names import Names
    from panachain.sdk.policies import OwnPolicies, OwnPolicy
    from panachain.sdk.results.revocations import RevocationReport

_AGAIN: Final = 60
"""Seconds after which, at the soonest, more is said to open of what proxies refused."""
MAX_REASON: Final = 2000
"""Characters of a reason."""
_ALONE, _COSIGNED = 3, 16
"""Emergencies of one practitioner, newest first, whose reasons are looked for in a list: those that nobody co-signed,
and those that somebody did. Anybody may ask as often as they like, and what nobody stored takes long to miss."""
READERS: Final = 3
"""Patient, requester and the colleague who is asked to co-sign."""
AnyEmergency = int | EmergencyView
"""An emergency, or its number."""


def seal_reason(reason: str, *, readers: Sequence[bytes]) -> bytes:
    """Return why somebody breaks the glass, sealed to three sealing keys (1,216 bytes each): patient first."""
    return seal_text(labels.EMERGENCY_REASON, "reason", reason, readers=readers, purpose=Purpose.ETREAT.value)


def open_reason(block: bytes, secret: SealingKey) -> str:
    """Return a reason that is sealed to this key.

    Raises:
        IntegrityError: it is sealed to others, or says nonsense.
    """
    return open_text(block, secret, labels.EMERGENCY_REASON, "reason", readers=READERS, most=MAX_REASON)


def number_of(emergency: AnyEmergency) -> int:
    """Return the number of an emergency that is given as a view or as the number itself."""
    return emergency if isinstance(emergency, int) else emergency.emergency_id


def _beside(network: Network, patient: Address) -> tuple[Actor, ...]:
    # Imported here: most networks have no wards.
    from panachain.sdk.care import beside

    return tuple(network.resolve(one, Role.PATIENT) for one in beside(network, patient))


def _now(network: Network) -> int:
    # A development chain makes no block by itself: what is over mustn't be shown as active because nothing happened.
    return max(network.sidechain.emergency.now(), int(network.clock()))


@dataclass(frozen=True)
class _Part:
    """What of an emergency opens at which time."""

    words: tuple[str, ...]
    """Names of categories, or `emergency`."""
    delay: int
    """Seconds after the co-signature."""


def _parts(later: Sequence[str], delay: timedelta | None) -> list[_Part]:
    """Return what opens at once, if anything does, and what opens later.

    The second holds all of the first: whoever opens it opens everything with one policy.
    """
    named = list(dict.fromkeys(Category.parse(word) for word in later))
    if (delay is None) == bool(named):
        raise UsageError("name the categories that shall wait in an emergency, and for how long")
    if delay is None:
        return [_Part(("emergency",), 0)]
    waits = delay // timedelta(seconds=1)
    if waits not in DELAYS:
        raise UsageError(
            f"in an emergency something can wait for {DELAYS[0] // 60} to {DELAYS[-1] // 60} minutes, in steps of"
            f" {STEP // 60}: four hours after the second signature everything is closed again; nothing was changed"
        )
    beside = tuple(one.value for one in named if one not in EMERGENCY)
    second = _Part(("emergency", *beside), waits)
    if len(beside) == len(named):
        return [_Part(("emergency",), 0), second]
    # The emergency lane holds what shall wait: at once only lanes of single categories open.
    at_once = tuple(one.value for one in Category if one in EMERGENCY and one not in named)
    return [_Part(at_once, 0), second] if at_once else [second]


def _is_part(own: OwnPolicy, part: _Part) -> bool:
    lanes = {lane.scope.text for lane in own.terms.lanes}
    return own.terms.emergency_delay == part.delay and lanes == set(part.words)


class _Views:
    """Emergencies as somebody sees them."""

    def __init__(self, network: Network, secret: SealingKey, names: Names) -> None:
        self._network = network
        self._secret = secret
        self._names = names

    def of(self, emergencies: Sequence[Emergency], *, own: Address | None = None) -> list[EmergencyView]:
        """Return them with what this reader can read of their reasons; one that can't be read keeps no other back.

        Args:
            emergencies: oldest first. Of one practitioner's the reasons of the newest are looked for.
            own: whose reasons are all looked for: they asked, or co-signed, themselves.
        """
        houses = self.houses(emergencies)
        now, wanted = _now(self._network), _worth_reading(emergencies, own)
        return self._names.fill(
            self._of(one, houses.get(one.practitioner, ""), now, read=one.emergency_id in wanted) for one in emergencies
        )

    def houses(self, emergencies: Sequence[Emergency], *others: Address) -> dict[Address, str]:
        """Return at which hospital those work who asked, and others; empty for none."""
        whom = list(dict.fromkeys([*(one.practitioner for one in emergencies), *others]))
        return {actor.address: actor.organisation or "" for actor in self._network.sidechain.identities.find(whom)}

    def _of(self, one: Emergency, organisation: str, now: int, *, read: bool) -> EmergencyView:
        try:
            reason = open_reason(self._network.store.get_block(CID(RAW, one.reason)), self._secret) if read else ""
        except UNREADABLE:
            # The emergency is told all the same: whoever hides its reason mustn't hide it.
            reason = ""
        return EmergencyView(
            emergency_id=one.emergency_id,
            state=one.state(now),
            practitioner=one.practitioner,
            patient=one.patient,
            requested_at=one.requested_at,
            reason=reason,
            cosigner=one.cosigner or "",
            expires_at=one.expires_at,
            review_due_at=one.review_due_at,
            organisation=organisation,
        )


def _worth_reading(emergencies: Sequence[Emergency], own: Address | None) -> set[int]:
    """Return the emergencies whose reasons are looked for; see `_Views.of`."""
    found, counts = set[int](), Counter[tuple[Address, bool]]()
    for one in reversed(emergencies):
        kind = one.practitioner, one.cosigner is not None
        mine = own is not None and own in (one.practitioner, one.cosigner)
        counts[kind] += not mine
        if mine or counts[kind] <= (_COSIGNED if one.cosigner else _ALONE):
            found.add(one.emergency_id)
    return found


class OwnEmergencies:
    """What a patient prepares for an emergency, and what is told to them.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     patient.emergency.policies(), patient.emergency.veto()
        ([], [])
    """

    def __init__(
        self,
        network: Network,
        seed: Seed,
        patient: Address,
        *,
        grants: Grants,
        policies: OwnPolicies,
        revoke: Callable[[PolicyId], RevocationReport],
        falling: Callable[[], AbstractContextManager[None]],
        names: Names,
    ) -> None:
        """Take the patient's parts that grant and take back."""
        self._network = network
        self._patient = patient
        self._grants = grants
        self._policies = policies
        self._revoke = revoke
        self._falling = falling
        self._names = names
        self._views = _Views(network, seed.sealing(), names)

    def prepare(
        self,
        desks: Sequence[str],
        *,
        until: Moment,
        later: Sequence[str] = (),
        delay: timedelta | None = None,
    ) -> list[PolicyView]:
        """Let emergency desks open the emergency lane, in an emergency alone; one that may already stays as it is.

        Args:
            desks: groups, by handle or address.
            until: the end, exclusive.
            later: categories that open only when the delay is over, of the emergency summary or beside it. A desk that
                could open more, less or at another time is granted anew, and what it had is taken back.
            delay: how long after the second signature; a quarter of an hour to 225 minutes, in steps of 15.

        Returns:
            For each desk what opens at once, if anything does, and what opens later.

        Raises:
            UsageError: no desk, or one that is no group; categories without a delay, a delay without categories, or one
                that an emergency doesn't last for.
            ProxiesUnavailableError: as `Patient.grant`.
        """
        if not desks:
            raise UsageError("name at least one emergency desk: a group of practitioners")
        parts = _parts(later, delay)
        found = [self._network.resolve(desk, Role.GROUP) for desk in dict.fromkeys(desks)]
        ready: dict[Address, list[OwnPolicy]] = {}
        for own in self._active():
            ready.setdefault(desk_of(self._network, own.terms.key_digest).address, []).append(own)
        offers = Offers(self._network)
        made: list[PolicyView] = []
        for desk in found:
            had = ready.get(desk.address, [])
            if had and not later:
                made += [own.view() for own in had]
                continue
            fits: list[OwnPolicy] = []
            for part in parts:
                fit = next((one for one in had if _is_part(one, part)), None)
                fits += [] if fit is None else [fit]
                made.append(fit.view() if fit else self._grants.make(self._offer(offers, desk, until, part)))
            # After what replaces it: a desk never stands without anything.
            for own in had:
                if own not in fits:
                    self._revoke(own.policy_id)
        return self._names.fill(made)

    def policies(self) -> Listing[PolicyView]:
        """Return the policies by which desks could open the emergency lane now, in an emergency.

        `left_out` of the list names policies in force whose terms can't be read: they may be to desks, too.
        """
        active = self._active()
        return Listing(self._names.fill(own.view() for own in active), active.left_out)

    def beside(self) -> tuple[Actor, ...]:
        """Return the other account under which records of this patient lie, if they are in care: with desks of its own.

        For a ward it is the account of their carer, and for that one the ward's own.
        """
        return _beside(self._network, self._patient)

    def veto(self) -> Listing[RevocationReport]:
        """Take every such policy back: proxies refuse from the next block on, and delete their shares.

        `left_out` of the list is as that of `policies`: what it names is still in force, and `Patient.revoke` takes it.
        """
        active = self._active()
        # What isn't finished has no place in that list, and may be with a relay.
        # What is in force doesn't wait for it.
        with self._falling():
            return Listing([self._revoke(own.policy_id) for own in active], active.left_out)

    def all(self) -> list[EmergencyView]:
        """Return every emergency that anybody asked for with this patient, oldest first, co-signed or not."""
        return self._views.of(self._network.sidechain.emergency.find(patient=self._patient))

    def _active(self) -> Listing[OwnPolicy]:
        readable = self._policies.readable()
        active = [own for own in readable if own.terms.is_for_emergencies and not own.has_ended]
        return Listing(active, unread(readable.left_out))

    def _offer(self, offers: Offers, desk: Actor, until: Moment, part: _Part) -> Offer:
        offer = offers.first(desk.address, part.words, (), Purpose.ETREAT, until=until)
        return replace(offer, emergency=True, delay=part.delay)


class _AtWork:
    """What everybody may do in an emergency who isn't its patient."""

    def __init__(self, network: Network, seed: Seed, *, sender: Callable[[], Sends], names: Names) -> None:
        """Take a seed, and what its owner's session signs with."""
        self._network = network
        self._sender = sender
        self._views = _Views(network, seed.sealing(), names)

    def find(self, emergency: AnyEmergency) -> EmergencyView:
        """Return one emergency.

        Raises:
            UnknownActorError: there is none of this number.
        """
        return self._views.of([self._known(number_of(emergency))])[0]

    def enforce(self, emergency: AnyEmergency) -> EmergencyView:
        """Have whoever asked suspended, because the review is overdue; anybody may.

        Raises:
            TransactionError: it isn't overdue, or was reviewed.
        """
        number = number_of(emergency)
        self._network.sidechain.emergency.enforce(self._sender(), number)
        return self.find(number)

    def _known(self, number: int) -> Emergency:
        for one in self._network.sidechain.emergency.find(number):
            return one
        raise UnknownActorError(f"there is no emergency {number}", hint="panachain emergency status")


class BreakGlass(_AtWork):
    """What a practitioner asks for, co-signs and opens in an emergency.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor, connect("nurse", role="practitioner") as nurse:
        ...     asked = doctor.emergency.request("me", "unconscious after a fall", colleague="nurse")
        ...     signed = nurse.emergency.cosign(asked)
        >>> asked.state, signed.state
        ('asked', 'active')
    """

    def __init__(
        self,
        network: Network,
        seed: Seed,
        practitioner: Address,
        *,
        sender: Callable[[], Sends],
        policies: Callable[[Address], dict[PolicyId, int]],
        opens: Callable[[PolicyId], GrantedOpening],
        names: Names,
        told: dict[int, int],
    ) -> None:
        """Take the practitioner's seed and account, and what their session signs, finds and opens with.

        Args:
            network: of the session.
            seed: the practitioner's.
            practitioner: their account.
            sender: returns what signs.
            policies: returns what waits and what doesn't in a patient's emergencies, with the delays.
            opens: opens one policy.
            names: of people.
            told: by emergency when it opens more by the proxies, Unix seconds; kept by the session.
        """
        super().__init__(network, seed, sender=sender, names=names)
        self._seed = seed
        self._practitioner = practitioner
        self._policies = policies
        self._opens = opens
        self._told = told

    def request(self, patient: str, reason: str, *, colleague: str) -> EmergencyView:
        """Break the glass: ask for a patient's emergency lane; the patient is told, and a colleague has to co-sign.

        Args:
            patient: profile name, handle (as on the patient's card) or address.
            reason: in words; sealed to the patient, to whoever asks and to the colleague.
            colleague: who is asked to co-sign, of the same hospital: profile name, handle or address.

        Raises:
            UsageError: no reason, one of more than 2,000 characters, or oneself as colleague.
            UnknownActorError: nobody is registered under a name.
            TransactionError: whoever asks is no active practitioner of a hospital.
        """
        if not reason.strip() or len(reason) > MAX_REASON:
            raise UsageError(f"an emergency needs a reason of at most {MAX_REASON} characters")
        keys = self._network.keys
        who = keys.check(self._network.resolve(patient, Role.PATIENT))
        other = keys.check(self._network.resolve(colleague, Role.PRACTITIONER))
        if other.address == self._practitioner:
            raise UsageError("nobody co-signs their own emergency: name another practitioner of your hospital")
        readers = [who.sealing_key, self._seed.sealing().public, other.sealing_key]
        cid = keep(self._network.store, seal_reason(reason, readers=readers))
        number = self._network.sidechain.emergency.request(self._sender(), who.address, cid.digest)
        return self.find(number)

    def cosign(self, emergency: AnyEmergency) -> EmergencyView:
        """Co-sign a colleague's emergency: they can open the patient's emergency lane for four hours from now.

        Raises:
            TransactionError: it is one's own, another hospital's, co-signed already, or older than an hour.
        """
        number = number_of(emergency)
        self._network.sidechain.emergency.cosign(self._sender(), number)
        return self.find(number)

    def open(self, emergency: AnyEmergency) -> GrantedOpening:
        """Return an opening of the patient's emergency lane; proxies refuse unless the emergency is active.

        Raises:
            UnknownActorError: there is no such emergency.
            AccessDeniedError: it isn't this practitioner's, isn't active, or the patient prepared nothing for a desk of
                theirs, or vetoed it.
        """
        found = self._known(number_of(emergency))
        if found.practitioner != self._practitioner:
            raise OutOfScopeError(f"emergency {found.emergency_id} was asked for by {found.practitioner}")
        now = _now(self._network)
        if not found.is_active(now):
            raise OutOfScopeError(
                f"emergency {found.emergency_id} is {found.state(now)}; it opens something only while it is active",
                hint="within an hour a colleague of your hospital runs: panachain --profile COLLEAGUE emergency cosign",
            )
        usable = self._usable(found)
        # What opens later holds what opens at once; of equal ones the newest, which comes first.
        newest = dict(reversed(usable))
        refused: list[int] = []
        for delay in sorted((one for one in newest if found.cosigned_at + one <= now), reverse=True):
            opening = self._opens(newest[delay])
            if not delay:
                return opening
            try:
                # Each proxy counts by its own clock, too: it may let wait for longer than the chain says.
                opening.begin()
            except OpensLaterError as exc:
                refused.append(now + exc.retry_after)
                self._told[found.emergency_id] = min(refused)
                continue
            if not refused:
                self._told.pop(found.emergency_id, None)
            return opening
        if usable and (next_at := self._next(found, usable, now)):
            raise OutOfScopeError(
                f"emergency {found.emergency_id} opens something at {iso(next_at)}, and nothing before: the patient's"
                " wish",
                hint="the same again then",
            )
        if usable:
            raise OutOfScopeError(
                f"emergency {found.emergency_id} opens nothing before it is over, at {iso(found.expires_at)}: what it"
                " opens waits, by the patient's wish, and too many proxies know of it for too short a time",
                hint="where it is still needed then: panachain emergency request begins another one",
            )
        raise AccessDeniedError(
            "the patient lets no emergency desk of yours open anything: they prepared none, or vetoed it",
            hint="panachain request asks the patient, or whoever acts for them",
        )

    def beside(self, patient: str) -> tuple[Actor, ...]:
        """Return the other account of a patient who is in care: what a carer is responsible for lies there.

        An emergency is of one account: it opens nothing of the other, for which another one is asked for.

        Args:
            patient: profile name, handle or address; a ward, or the account through which their carer acts.
        """
        who = self._network.resolve(patient, Role.PATIENT).address
        return _beside(self._network, who)

    def more_at(self, emergency: AnyEmergency) -> int:
        """Return when more opens than now in an active emergency of one's own, Unix seconds; 0 for never.

        What it is that waits isn't said: that a patient lets some category wait tells something of them.
        """
        found = self._known(number_of(emergency))
        now = _now(self._network)
        if found.practitioner != self._practitioner or not found.is_active(now):
            return 0
        return self._next(found, self._usable(found), now)

    def _next(self, found: Emergency, usable: Sequence[tuple[int, PolicyId]], now: int) -> int:
        """Return when more opens, by the chain, or as proxies said that let wait what the chain would open; else 0.

        What proxies refused stays refused until it opened: once the time that they told is over, it may be in a minute.
        What would open when the emergency is over doesn't open in it.
        """
        times = [found.cosigned_at + delay for delay, _ in usable]
        told = self._told.get(found.emergency_id)
        # Of what was taken back meanwhile nothing waits.
        if told is not None and any(delay and found.cosigned_at + delay <= now for delay, _ in usable):
            times.append(max(told, now + _AGAIN))
        return min((time for time in times if now < time < found.expires_at), default=0)

    def _usable(self, found: Emergency) -> list[tuple[int, PolicyId]]:
        """Return the policies that this practitioner's desks have for a patient's emergencies, with their delays."""
        delays = self._policies(found.patient)
        policies = self._network.mainchain.policies.policies_of(list(delays))
        return [(delays[one], one) for one, on_chain in policies.items() if on_chain.status is PolicyStatus.ACTIVE]

    def all(self) -> list[EmergencyView]:
        """Return the emergencies that this practitioner asked for or co-signed, and those that wait for them."""
        now = _now(self._network)
        found = [
            one for one in self._network.sidechain.emergency.find() if self._is_own(one) or one.state(now) == "asked"
        ]
        # Of another hospital nothing can wait for this practitioner.
        houses = self._views.houses(found, self._practitioner)
        house = houses.get(self._practitioner, "")
        found = [one for one in found if self._is_own(one) or (house and houses.get(one.practitioner, "") == house)]
        views = self._views.of(found, own=self._practitioner)
        # The reason opens for whoever was asked to co-sign.
        return [view for one, view in zip(found, views, strict=True) if self._is_own(one) or view.reason]

    def _is_own(self, emergency: Emergency) -> bool:
        return self._practitioner in (emergency.practitioner, emergency.cosigner)


class Reviews(_AtWork):
    """Emergencies that the registrar reviews.

    Examples:
        >>> with connect("registrar", role="registrar") as registrar:
        ...     due = registrar.emergency.due()
        >>> all(one.cosigner for one in due)
        True
    """

    def due(self) -> list[EmergencyView]:
        """Return the emergencies that were co-signed and not reviewed yet, oldest first."""
        found = self._network.sidechain.emergency.find()
        return self._views.of([one for one in found if one.cosigner and not (one.reviewed or one.enforced)])

    def review(self, emergency: AnyEmergency) -> EmergencyView:
        """State that the review of an emergency was held.

        Raises:
            TransactionError: nobody co-signed it, or it is closed already.
        """
        number = number_of(emergency)
        self._network.sidechain.emergency.review(self._sender(), number)
        return self.find(number)
