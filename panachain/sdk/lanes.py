"""A patient's lanes: at which generation they are, which hospitals know them, and what lies in them.

Restored from the seed, the chains and the store alone. What one hospital did wrong keeps nobody from the others'
records, nor the others from new lanes (security rule 22). Follows design sections 3 and 8 (Revoke, R3 and R4).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final

from panachain.chain.evm import Receipt
from panachain.crypto import umbral
from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.keys import Seed, hospital_key
from panachain.errors import BlockNotFoundError, IntegrityError, Omission, UnknownActorError
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Actor, Address, Role
from panachain.model.choices import NONE, Choices
from panachain.model.policy import GrantedLane
from panachain.model.records import STATEMENT
from panachain.model.scope import IN_PART, Category, Generations, Scope, path_of
from panachain.model.transactions import PairingEvent
from panachain.plain import count
from panachain.records import rewrap
from panachain.records.findings import LEFT_OUT, Findings, Strict
from panachain.records.header import SLOTS, Header, seal_envelope, wrap_at
from panachain.records.locate import (
    HospitalHeads,
    LaneRows,
    Named,
    Sought,
    locate_all,
    locate_beside,
    open_manifests,
    remaining,
    stored_last,
)
from panachain.records.pairing import FIRST, Pairing, hospital_lane, make_pairing, open_pairing, seal_pairing
from panachain.records.statements import Statement
from panachain.sdk.kept_headers import KeptHeaders
from panachain.sdk.network import Network
from panachain.sdk.opening import (
    Allowance,
    Checked,
    Current,
    FormerHospital,
    Opening,
    check_envelopes,
    envelope_wraps,
    open_checked,
    unmasked,
)
from panachain.sdk.results.listings import LeftOut, Listing
from panachain.sdk.results.records import OpenedRecord, RecordProvenance
from panachain.sdk.searching import Searchable
from panachain.storage.ahead import reading_beside
from panachain.storage.blocks import keep

NEWEST_PAIRING: Final = "the newest pairing, and keys that it alone names"
"""What can't be told where nobody has it."""
_ATTEMPTS: Final = 4
"""How often everybody is told anew because another device of the patient's told something meanwhile."""
_YEARS_AHEAD: Final = 2
"""Years after this one that a pairing has lanes for."""


def _own(header: Header) -> RecordProvenance:
    return RecordProvenance(header.info.hospital, opened_as="patient")


@dataclass(frozen=True)
class OwnHeaders:
    """What one hospital put into a patient's lanes."""

    heads: HospitalHeads
    headers: tuple[Header, ...]
    envelope_keys: dict[str, bytes]
    """By the envelope's CID."""
    findings: Findings
    """What of it had to be left out."""
    named: Named
    """What its manifests have there."""
    hidden: frozenset[str] = frozenset()
    """The notices of what it shows to others only, or to the patient only: all of that was read."""


class OwnLanes:
    """The lanes of one patient."""

    def __init__(
        self, network: Network, seed: Seed, address: Address, *, granted: Callable[[], Iterable[Scope]] = tuple
    ) -> None:
        """Take the patient's seed and account, and what returns the scopes that somebody was granted."""
        self._granted = granted
        self._network = network
        self._seed = seed
        self._address = address
        self._known: dict[bytes, Pairing] = {}
        """Pairings that others displaced, by their digests: they are read once in a session."""

    def generations(self, findings: Findings | None = None) -> Generations:
        """Return which generations the lanes have had, as the newest pairing states them.

        A pairing that was taken back counts too: what it says of the lanes stays true. An older one that the store lost
        keeps nobody from rotating, since the one that was made last says all that is true.

        Args:
            findings: of a caller that only looks: is told that the pairing which was made last can't be read, and the
                others tell what they can. Without it that is an error.

        Raises:
            IntegrityError: the pairing that was made last isn't this patient's own.
            StoreUnavailableError: the store lost it; guessing could wrap new records to lanes that were given up.
        """
        return self._stated(findings or Strict())[0]

    def choices(self) -> Choices:
        """Return what the patient chose last, as all pairings together state it.

        Raises:
            IntegrityError: the pairing that was made last isn't this patient's own.
            StoreUnavailableError: the store lost it; guessing could open what the patient closed.
        """
        return self.stated()[1]

    def stated(self) -> tuple[Generations, Choices]:
        """Return both, as `generations` and `choices` do, at one reading."""
        return self._stated(Strict())

    def seen(self, findings: Findings | None = None) -> tuple[Generations, Choices]:
        """Return both as the newest pairings state them, for whoever looks and states them to nobody.

        What those displaced isn't read for it.

        Args:
            findings: as `generations`.
        """
        return self._stated(findings or Strict(), displaced=False)

    def _stated(self, findings: Findings, *, displaced: bool = True) -> tuple[Generations, Choices]:
        stated, choices, identities = [FIRST], NONE, self._network.sidechain.identities
        for event in self._with_others(identities.paired(patient=self._address)):
            try:
                pairing = self.stated_by(event)
            except LEFT_OUT as exc:
                if event.digest == self._with_others(identities.ever_paired(patient=self._address))[-1].digest:
                    findings.left_out(event.hospital, NEWEST_PAIRING, exc)
                continue
            stated.append(pairing.generations)
            choices = choices.merged(pairing.choices)
        # Whoever goes on with it states it to others: then nothing may be lost of it.
        for pairing in self._displaced() if displaced and isinstance(findings, Strict) else ():
            stated.append(pairing.generations)
            choices = choices.merged(pairing.choices)
        return Generations.merged(stated), choices

    def _displaced(self, hospital: Address | None = None) -> list[Pairing]:
        """Return what the pairing before the newest one of each hospital, or of one, states, as far as a store has it.

        Two devices may pair at the same time, and the later pairing is the only one that counts: it may have been made
        by whoever didn't know the other one yet.
        """
        events: dict[Address, list[PairingEvent]] = defaultdict(list)
        for event in self._network.sidechain.identities.ever_paired(hospital, patient=self._address):
            if event.hospital != self._address:
                events[event.hospital].append(event)
        found = []
        for before in (each[-2] for each in events.values() if len(each) > 1):
            if before.digest not in self._known:
                with suppress(*LEFT_OUT):
                    self._known[before.digest] = self.stated_by(before)
            if before.digest in self._known:
                found.append(self._known[before.digest])
        return found

    def _with_others(self, events: Iterable[PairingEvent]) -> list[PairingEvent]:
        """Return the pairings but that with oneself, which names the patient's books (sdk/books.py)."""
        return [event for event in events if event.hospital != self._address]

    def hospitals(self) -> list[tuple[Actor, PairingEvent]]:
        """Return the registered hospitals with whom the patient is or was paired, in the order of registration.

        Those of former pairings too: what they published stays the patient's.
        """
        events = {event.hospital: event for event in self._network.sidechain.identities.paired(patient=self._address)}
        actors = self._network.mainchain.actors.find(Role.HOSPITAL)
        return [(actor, events[actor.address]) for actor in actors if actor.address in events]

    def stated_by(self, event: PairingEvent) -> Pairing:
        """Return what one pairing of this patient's states.

        Raises:
            IntegrityError: it isn't this patient's own.
            StoreUnavailableError: no store has it.
        """
        return open_pairing(
            self._network.store.get_block(CID(RAW, event.digest)),
            secret=self._seed.sealing(),
            hospital=event.hospital,
            patient=self._address,
            verifying_key=self._seed.signer().public,
        )

    def pair(
        self,
        hospital: Actor,
        generations: Generations,
        orders: Sequence[CID] | None = None,
        choices: Choices | None = None,
        findings: Findings | None = None,
        also: Sequence[rewrap.Reseal] = (),
    ) -> tuple[Pairing, CID, Receipt]:
        """Give a hospital the lanes as they are now, and what the patient chose and asked for.

        What was asked for before stands, so that the hospital knows it at every upload; but orders to re-wrap are of
        one rotation, and those of an earlier one are forgotten. What it was told before of lanes and choices is never
        taken back: another device may have told it a moment ago, or between the look at that and the transaction. Then
        the hospital is told once more, all of it together.

        Args:
            hospital: who may publish.
            generations: of the lanes.
            orders: all that the hospital shall move to new lanes; None leaves what it was asked before.
            choices: the patient's; None takes the last ones.
            findings: is told of orders that the store lost, and they are asked for no more; without it they stand, and
                the hospital publishes nothing before it can read them.
            also: what it is asked beside all that.

        Raises:
            TooLargeError: one of those is about more resources than an order can name.
        """
        if choices is None:
            choices = self.choices()
        hospital = self._network.keys.check(hospital)
        identities, whose = self._network.sidechain.identities, {"patient": self._address}
        known = {event.digest for event in identities.ever_paired(hospital.address, **whose)}
        before = self._told(hospital, findings)
        # All of them before one is stored: one that is too large stops the rest.
        blocks = [
            rewrap.seal_reseal(
                one,
                hospital_key=hospital.sealing_key,
                patient_key=self._seed.sealing().public,
                signer=self._seed.signer(),
            )
            for one in also
        ]
        asked = [keep(self._network.store, block) for block in blocks]
        for _ in range(_ATTEMPTS):
            together = Generations.merged([generations, *(one.generations for one in before)])
            for one in before:
                choices = choices.merged(one.choices)
            if together != generations:
                # What was to be moved was sealed to other lanes: it is asked for anew, by whoever tells these lanes.
                generations, orders = together, None
            standing = self._standing(before, None if orders is not None else generations, findings)
            pairing = make_pairing(
                self._seed,
                patient=self._address,
                hospital=hospital.address,
                generations=generations,
                last_year=datetime.fromtimestamp(self._network.clock(), UTC).year + _YEARS_AHEAD,
                orders=list(dict.fromkeys([*standing, *(orders or ()), *asked])),
                choices=choices,
            )
            blob = seal_pairing(
                pairing,
                hospital_key=hospital.sealing_key,
                patient_key=self._seed.sealing().public,
                signer=self._seed.signer(),
            )
            cid = keep(self._network.store, blob)
            sender = self._network.person(self._seed.account_key())
            receipt = identities.pair(sender, hospital.address, cid.digest)
            # What this one displaced without knowing it, or what did so to this one; usually there is nothing to read.
            known.add(cid.digest)
            meanwhile = []
            for event in identities.ever_paired(hospital.address, **whose):
                if event.digest not in known:
                    known.add(event.digest)
                    with suppress(*LEFT_OUT):
                        meanwhile.append(self.stated_by(event))
            before = [*before, *meanwhile]
            if all(
                generations.covers(one.generations)
                and choices.merged(one.choices) == choices
                and set(pairing.orders).issuperset(
                    self._standing([one], None if orders is not None else generations, findings)
                )
                for one in meanwhile
            ):
                break
        return pairing, cid, receipt

    def _pair_again(
        self,
        hospital: Actor,
        generations: Generations,
        orders: Sequence[CID] | None = None,
        choices: Choices | None = None,
        also: Sequence[rewrap.Reseal] = (),
    ) -> tuple[Pairing, CID, Receipt]:
        """Pair with a hospital that is paired, as `pair` does: whoever takes the assent back meanwhile means this, too.

        Raises:
            IntegrityError: somebody did, on another device of the patient's; the hospital is unpaired again.
        """
        identities = self._network.sidechain.identities
        both = {"patient": self._address, "hospital": hospital.address}
        meanwhile = IntegrityError(
            f"the patient unpaired hospital {hospital.address} on another device meanwhile: it stays unpaired"
        )
        before = identities.times_unpaired(**both)
        if not any(event.paired for event in identities.paired(**both)):
            raise meanwhile
        made = self.pair(hospital, generations, orders, choices, also=also)
        if identities.times_unpaired(**both) > before:
            self.unpair(hospital)
            raise meanwhile
        return made

    def _told(self, hospital: Actor, findings: Findings | None) -> list[Pairing]:
        """Return the newest pairing with a hospital and the one that it displaced, as far as they can be read.

        Args:
            hospital: which.
            findings: as `pair`.
        """
        try:
            newest = [self.stated_by(event) for other, event in self.hospitals() if other.address == hospital.address]
        except LEFT_OUT as exc:
            newest = []
            if findings is not None:
                findings.left_out(hospital.address, "what it was asked before", exc)
        return [*self._displaced(hospital.address), *newest]

    def _standing(
        self, before: Sequence[Pairing], generations: Generations | None, findings: Findings | None
    ) -> list[CID]:
        """Return the orders of the last pairings with a hospital that still stand.

        Args:
            before: from `_told`.
            generations: of the lanes, if orders to re-wrap stand too, as long as these are the same.
            findings: as `pair`.
        """
        found = []
        for pairing in before:
            for cid in pairing.orders:
                try:
                    order = self._order(cid)
                except LEFT_OUT as exc:
                    if findings is None:
                        found.append(cid)
                    else:
                        findings.left_out(pairing.hospital, f"order {cid}", exc)
                    continue
                if isinstance(order, rewrap.Reseal) or pairing.generations == generations:
                    found.append(cid)
        return found

    def standing_orders(self, event: PairingEvent, findings: Findings) -> list[list[rewrap.Move] | rewrap.Reseal]:
        """Return what a hospital is asked for by a pairing.

        Args:
            event: of the pairing.
            findings: is told of orders that can't be read.

        Raises:
            IntegrityError: the pairing isn't this patient's own.
            StoreUnavailableError: no store has it.
        """
        found = []
        for cid in self.stated_by(event).orders:
            with findings.alone(event.hospital, f"order {cid}"):
                found.append(self._order(cid))
        return found

    def _order(self, cid: CID) -> list[rewrap.Move] | rewrap.Reseal:
        block, signer = self._network.store.get_block(cid), self._seed.signer()
        return rewrap.open_order(block, secret=self._seed.sealing(), verifying_key=signer.public)

    def ask(self, hospital: Actor, orders: Sequence[rewrap.Reseal]) -> Receipt:
        """Ask a hospital to seal records anew in other categories, beside what it was asked before.

        Raises:
            TooLargeError: an order is about more resources than one can name.
        """
        _, _, receipt = self._pair_again(hospital, self.generations(), also=orders)
        return receipt

    def unpair(self, hospital: Actor) -> Receipt:
        """Take the assent to one hospital back."""
        sender = self._network.person(self._seed.account_key())
        return self._network.sidechain.identities.unpair(sender, hospital.address)

    def pair_again(self, generations: Generations, findings: Findings, choices: Choices | None = None) -> list[Address]:
        """Tell every paired hospital the present lanes and choices, and what it shall move there.

        A hospital that knows them already and has nothing to move isn't told again.

        Args:
            generations: of the lanes.
            findings: is told of hospitals whose records couldn't be looked through for orders.
            choices: what the patient chose just now; None takes the last ones.

        Returns:
            Whom it told.
        """
        if choices is None:
            choices = self.choices()
        told: dict[Address, None] = {}
        for _ in range(_ATTEMPTS):
            # Everybody first, before anything is read that a hospital published: none of them can keep the others from
            # learning the new lanes.
            first, generations, choices = self._tell_all(generations, choices, findings)
            told |= dict.fromkeys(first)
            asked, granted = generations, cache(lambda: tuple(self._granted()))
            for hospital, event in self.hospitals():
                if event.paired:
                    with findings.alone(hospital.address):
                        if orders := self.orders(hospital, asked, findings, granted):
                            pairing, _, _ = self._pair_again(hospital, generations, orders, choices)
                            generations, choices = pairing.generations, pairing.choices
                            told[hospital.address] = None
            if generations == asked:
                break
            # Another device told newer lanes meanwhile: everybody learns them, and moves what lies in those before.
        return list(told)

    def tell(self, generations: Generations, choices: Choices, findings: Findings) -> list[Address]:
        """Tell the present lanes and choices to every paired hospital that doesn't know them, and return whom.

        Args:
            generations: of the lanes.
            choices: the patient's.
            findings: is told of hospitals that couldn't be told.
        """
        told, _, _ = self._tell_all(generations, choices, findings)
        return told

    def _tell_all(
        self, generations: Generations, choices: Choices, findings: Findings
    ) -> tuple[list[Address], Generations, Choices]:
        """Do what `tell` says, and return lanes and choices with what another device told meanwhile."""
        told: dict[Address, None] = {}
        for _ in range(_ATTEMPTS):
            anybody = False
            for hospital, event in self.hospitals():
                # Pairing again is a transaction: it would show everybody on the sidechain that the patient rotated
                # something.
                if event.paired and not self._knows(event, generations, choices):
                    # One whose key is none, or isn't proven, keeps the others from nothing.
                    with findings.alone(hospital.address, "the new keys and choices"):
                        pairing, _, _ = self._pair_again(hospital, generations, choices=choices)
                        generations, choices = pairing.generations, pairing.choices
                        told[hospital.address], anybody = None, True
            if not anybody:
                break
            # By whom nobody waited for. Whether everybody knows it is asked anew even if nothing is new here: another
            # device may have told somebody less.
            with suppress(*LEFT_OUT):
                stated, chosen = self._stated(Strict())
                generations, choices = Generations.merged([generations, stated]), choices.merged(chosen)
        return list(told), generations, choices

    def _knows(self, event: PairingEvent, generations: Generations, choices: Choices) -> bool:
        """Tell whether a hospital knows lanes and choices as they are now; unsure means no."""
        try:
            pairing = self.stated_by(event)
        except LEFT_OUT:
            return False
        # By all of its lanes: two devices may have counted the same epoch.
        return pairing.generations.covers(generations) and pairing.choices == choices

    def orders(
        self,
        hospital: Actor,
        generations: Generations,
        findings: Findings,
        granted: Callable[[], Iterable[Scope]] | None = None,
    ) -> list[CID]:
        """Store what a hospital shall move to new lanes, and return the orders' CIDs; none before a rotation.

        Args:
            hospital: which one.
            generations: of the lanes.
            findings: is told which of its records can't be moved.
            granted: the scopes that somebody was granted, of a caller who asks for several hospitals.
        """
        if not generations.epoch:
            return []
        own = self._headers(hospital, generations, findings, (granted or self._granted)())
        emergency = self.in_emergency(own, generations)
        envelopes: dict[str, list[Header]] = defaultdict(list)
        for found in own.headers:
            by_itself = found.info.envelope_cid in emergency
            path = path_of(found.info.category, found.info.year, emergency=by_itself)
            # One rotated lane is enough: whoever had it has a path to the envelope's key.
            if found.info.envelope_cid in own.envelope_keys and any(
                generations.current(scope) > found.epoch for scope in path
            ):
                envelopes[found.info.envelope_cid].append(found)
        moves: list[rewrap.Move] = []
        for cid, members in envelopes.items():
            path = path_of(members[0].info.category, members[0].info.year, emergency=cid in emergency)
            lanes = [hospital_lane(self._seed, hospital.address, scope, generations.current(scope)) for scope in path]
            envelope = seal_envelope(EnvelopeKey(own.envelope_keys[cid]), lanes)
            moves += [
                rewrap.Move(CID.parse(found.info.header_cid), found.locator_key, envelope, cid in emergency)
                for found in members
            ]
        if moves:
            hospital = self._network.keys.check(hospital)
        return [
            keep(
                self._network.store,
                rewrap.seal_order(
                    moves[start : start + rewrap.MAX_HEADERS],
                    hospital_key=hospital.sealing_key,
                    patient_key=self._seed.sealing().public,
                    signer=self._seed.signer(),
                ),
            )
            for start in range(0, len(moves), rewrap.MAX_HEADERS)
        ]

    def in_emergency(self, own: OwnHeaders, generations: Generations) -> set[str]:
        """Return the envelopes of records that lie by themselves in the emergency lane.

        They stay there, whatever the patient chooses now: a reader who finds a record in an older generation and
        nothing that replaces it takes it for lost.

        Args:
            own: of one hospital.
            generations: of the lanes.
        """
        store, scope, findings = self._network.store, Scope.emergency(), Findings()
        lanes = [Sought(scope, one, self._seed.locator_key(scope, one)) for one in generations.of(scope)]
        manifests = open_manifests(store, own.heads, findings)
        # What can't be read here was told where the lanes of the categories were looked through.
        located = locate_all(store, own.heads, manifests, lanes, patient=self._address, findings=findings)
        return {found.info.envelope_cid for mine in located for found in mine if found.info.category in IN_PART}

    def headers(self, findings: Findings | None = None) -> Iterator[OwnHeaders]:
        """Yield what each hospital put into the lanes, restricted categories too, with the keys of its envelopes.

        Args:
            findings: is told what had to be left out; without it the first omission is an error.
        """
        findings = findings or Strict()
        generations = self.generations(findings)
        # Once for all hospitals: it asks the chain.
        granted = cache(lambda: tuple(self._granted()))
        for hospital, event in self.hospitals():
            own = findings if event.paired else FormerHospital(findings)
            with own.alone(hospital.address):
                yield self._headers(hospital, generations, own, granted())

    def records(self, opening: Opening, kept: KeptHeaders) -> Iterator[OpenedRecord]:
        """Yield every record in the lanes, opened with the patient's own keys.

        Args:
            opening: is told what is left out.
            kept: what the patient saw before.
        """
        allowance = Allowance.of(self._network.config)
        # All hospitals' lists before the first record: what counts isn't known before.
        _, found = self._checked(opening, kept)
        current = Current(opening)
        with reading_beside(self._network.store, (len(checked.headers) for checked in found)) as beside:
            for checked in found:
                for _, record in open_checked(checked, allowance, current, _own, beside):
                    yield record

    def searchable(self, opening: Opening, kept: KeptHeaders) -> Searchable:
        """Return what there is to search in, opened as far as its inventories.

        Args:
            opening: is told what is left out.
            kept: what the patient saw before.
        """
        headers, found = self._checked(opening, kept)
        return Searchable(opening, [own.heads for own in headers], found, int(self._network.clock()))

    def heads(self, findings: Findings) -> list[HospitalHeads]:
        """Return the hospitals of the patient, as the chain tells of them now."""
        heads = []
        for hospital, event in self.hospitals():
            own = findings if event.paired else FormerHospital(findings)
            with own.alone(hospital.address):
                heads.append(self._network.heads_of(hospital))
        return heads

    def _checked(self, opening: Opening, kept: KeptHeaders) -> tuple[list[OwnHeaders], list[Checked]]:
        """Return what each hospital put into the lanes; the opening's life is settled then."""
        store = self._network.store
        headers = list(self.headers(opening.findings))
        found = [check_envelopes(store, own.headers, own.envelope_keys, own.findings, opening.life) for own in headers]
        opening.life.settle()
        for own in headers:
            hospital = own.heads.hospital
            kept.compare(self._address, hospital, own.named, life=opening.life, findings=own.findings)
        return headers, found

    def capsules_of(
        self, record_ids: Collection[str], read: tuple[Iterable[OwnHeaders], Findings] | None = None
    ) -> Listing[bytes]:
        """Return the capsules of the envelopes that some records lie in: of all lanes, withdrawn records too.

        Those of the envelopes that a record lay in before it was moved to other lanes count, as far as the store has
        them still; `left_out` names the records of which one is gone, and where that stays so, since when they lie
        where all is known. Whoever kept what is gone may open that later, too, by capsules that nobody knows any more.

        Args:
            record_ids: CIDs of headers.
            read: what `headers` yielded, and what that left out, where the caller has it already.

        Raises:
            UnknownActorError: none of these lanes has such a record, or it can't be read.
            StoreUnavailableError: the store lost an envelope.
        """
        wanted, findings = set(record_ids), Findings() if read is None else read[1]
        envelopes: dict[str, None] = {}
        moved: list[_Moved] = []
        for own in self.headers(findings) if read is None else read[0]:
            # What stands for them is among the headers: these are left only until their hospital deleted them.
            old = {one.info.header_cid: one for lane in own.named.lanes for one in lane.opened}
            for found in own.headers:
                if found.info.header_cid in wanted:
                    wanted.discard(found.info.header_cid)
                    envelopes[found.info.envelope_cid] = None
                    moved.append(_Moved(own, found, [old.get(str(cid)) for cid in found.replaces]))
        if wanted:
            raise no_record(min(wanted), findings)
        blocks = {cid: self._network.store.get_block(CID.parse(cid)) for cid in envelopes}
        left_out = []
        for one in moved:
            for cid in {before.info.envelope_cid for before in one.before if before is not None} - blocks.keys():
                with suppress(BlockNotFoundError):
                    blocks[cid] = self._network.store.get_block(CID.parse(cid))
            known = [before for before in one.before if before and before.info.envelope_cid in blocks]
            if len(known) < len(one.before):
                # A header that is there may get its envelope back, and what couldn't be read may be one.
                stays = one.before.count(None) == len(one.before) - len(known) and one.is_all_read(findings)
                since = self._moved_at(one, [*known, one.record]) if stays else 0
                left_out.append(LeftOut("record", one.record.info.header_cid, _MOVED, since=since))
        capsules = [umbral.capsule_of(wrap_at(block, place)) for block in blocks.values() for place in range(SLOTS)]
        return Listing(capsules, left_out)

    def _moved_at(self, one: _Moved, known: Sequence[Header]) -> int:
        """Return from when on a record that moved lies where openings of it can be told, Unix seconds.

        Args:
            one: the record.
            known: its headers whose envelopes are known.
        """
        heads = one.own.heads
        manifests = open_manifests(self._network.store, heads, Findings())
        stored = []
        for header in known:
            cid = CID.parse(header.info.header_cid)
            lane = next((rows.lane for rows in one.own.named.lanes if cid in rows.named), None)
            sequence = None if lane is None else stored_last(heads, manifests, lane, cid)
            if sequence is not None:
                stored.append(sequence)
        if not stored:
            return 0
        event = self._network.stored_by(heads.hospital)[min(stored) - 1]
        return self._network.mainchain.source.block(event.block).time

    def still_there(self, lanes: Sequence[GrantedLane], findings: Findings) -> int:
        """Return how many headers of some lanes the store still has, of hospitals that are paired now.

        Args:
            lanes: which.
            findings: is told of hospitals of which it can't be known.
        """
        store, count = self._network.store, 0
        for hospital, event in self.hospitals():
            if not event.paired:
                continue
            with findings.alone(hospital.address):
                heads = self._network.heads_of(hospital)
                count += len(remaining(store, heads, open_manifests(store, heads), lanes))
        return count

    def _headers(
        self, hospital: Actor, generations: Generations, findings: Findings, granted: Iterable[Scope]
    ) -> OwnHeaders:
        store, heads = self._network.store, self._network.heads_of(hospital)
        # The lanes of the categories: every record is in exactly one of them, whatever else it is wrapped to.
        scopes = [Scope.of(category) for category in Category]
        lanes = [
            Sought(scope, number, self._seed.locator_key(scope, number))
            for scope in scopes
            for number in generations.of(scope)
        ]
        manifests = open_manifests(store, heads, findings)
        named = Named()
        found = locate_all(store, heads, manifests, lanes, patient=self._address, findings=findings, named=named)
        _check_nothing_vanished(heads.hospital, [one for mine in found for one in mine], findings)
        # What others are shown is shown to the patient: whoever has one of these lanes finds records by it alone.
        beside = [
            Sought(scope, number, self._seed.locator_key(scope, number))
            for scope in dict.fromkeys([Scope.all(), Scope.emergency(), *granted])
            if scope not in scopes
            for number in generations.of(scope)
        ]
        hidden = locate_beside(store, heads, manifests, beside, named=named, patient=self._address, findings=findings)
        told = _tell_hidden(heads.hospital, hidden, [one for mine in found for one in mine], named, findings)
        headers: list[Header] = []
        keys: dict[str, bytes] = {}
        for lane, mine in zip([*lanes, *beside], [*found, *(one.opened for one in hidden)], strict=True):
            if not mine:
                continue
            secret, messages = self._seed.lane(lane.scope, lane.generation), dict[str, bytes]()
            for cid, wrap in envelope_wraps(store, mine, findings).items():
                with findings.alone(heads.hospital, f"envelope {cid}"):
                    messages[cid] = umbral.unwrap(secret, wrap)
            pepper = hospital_key(self._seed.pepper(lane.scope, lane.generation), heads.hospital)
            keys |= unmasked(mine, messages, pepper, findings)
            headers += mine
        return OwnHeaders(heads, tuple(headers), keys, findings, named, told)


@dataclass(frozen=True)
class _Moved:
    """A record whose openings are sought, with what it was before it moved."""

    own: OwnHeaders
    record: Header
    before: list[Header | None]
    """The headers that it stands for; None for one that is gone."""

    def is_all_read(self, findings: Findings) -> bool:
        """Tell whether all that its hospital has in the lanes was read: what wasn't may be a header of before.

        What is broken at other hospitals doesn't matter. What a former one lacks is a notice, and lacks all the same.

        Args:
            findings: of the whole search.
        """
        # What is nobody's may be theirs, and without the newest pairing not all lanes are known.
        theirs = self.own.heads.hospital, ""
        # What it hides from somebody was found all the same.
        told = (*findings.omissions, *(one for one in findings.notices if str(one) not in self.own.hidden))
        return all(one.hospital not in theirs and one.what != NEWEST_PAIRING for one in told)


_MOVED: Final = "it was moved, and who opened where it lay before can't be told by its name any more"


def no_record(record_id: str, findings: Findings) -> UnknownActorError:
    """Return the error that a patient's lanes have no such record; what couldn't be read may be it, and is told.

    Args:
        record_id: CID of a header, as somebody gave it.
        findings: what had to be left out of the lanes.
    """
    unread = "; ".join(map(str, findings.omissions))
    told = f", of which not all could be read: {unread}" if unread else ""
    return UnknownActorError(f"this patient has no record {record_id}{told}", hint="panachain records list")


def _tell_hidden(
    hospital: Address, beside: Sequence[LaneRows], headers: Sequence[Header], named: Named, findings: Findings
) -> frozenset[str]:
    """Tell which records a hospital shows to others and not to the patient, and the other way round.

    Returns:
        The notices.

    Args:
        hospital: whose manifests were searched.
        beside: what they have in lanes that others can have.
        headers: of the lanes of the categories.
        named: what the manifests have in those.
        findings: is told of each lane.
    """
    told: list[Omission] = []
    in_scope: dict[Scope, set[str]] = defaultdict(set)
    for rows in beside:
        in_scope[rows.lane.scope].update(map(str, rows.named))
        for one in rows.opened:
            error = IntegrityError(
                f"it lies under {rows.lane.scope.text}, and not under its category, {one.info.category.value}:"
                " its hospital showed it to others only"
            )
            told.append(Omission(hospital, f"record {one.info.header_cid}", error))
    # What couldn't be read may be where they are named.
    lacking: dict[Scope, list[str]] = defaultdict(list)
    for one in headers if named.complete else ():
        for scope in path_of(one.info.category, one.info.year):
            if scope in in_scope and one.info.header_cid not in in_scope[scope]:
                lacking[scope].append(one.info.header_cid)
    for scope, cids in lacking.items():
        error = IntegrityError(
            f"not in it: {count(len(cids), 'record')}, such as {min(cids)}; nobody who was granted it finds that",
            hint="ask the hospital what became of them",
        )
        told.append(Omission(hospital, f"category {scope.text}", error))
    for notice in told:
        findings.notice(notice.hospital, notice.what, notice.error)
    return frozenset(map(str, told))


def _check_nothing_vanished(hospital: Address, headers: Sequence[Header], findings: Findings) -> None:
    """Tell of records for which a statement stands, as if they lay in another category, and that lie in none.

    Only the patient can see that, who has the lanes of all categories. A statement that was re-wrapped also stands for
    its own old header, which looks like any other: it tells nothing any more.
    """
    silent = len(Statement().encode())
    left = {
        cid
        for one in headers
        if one.info.media_type == STATEMENT and one.info.size == silent and one.epoch == one.info.generation
        for cid in one.replaces
    }
    there = {cid for one in headers if one.info.media_type != STATEMENT for cid in one.replaces}
    for cid in sorted(left - there):
        error = IntegrityError("its hospital says that it lies in another category, and it is in none")
        findings.left_out(hospital, f"record {cid}", error)
