"""A patient's lanes: at which generation they are, which hospitals know them, and what lies in them.

Restored from the seed, the chains and the store alone. Follows design sections 3 and 8 (Revoke, R3 and R4).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from panachain.chain.evm import Receipt
from panachain.crypto import umbral
from panachain.crypto.keys import Seed
from panachain.errors import UnknownActorError
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Actor, Address, Role
from panachain.model.policy import GrantedLane
from panachain.model.scope import Category, Generations, Scope, path_of
from panachain.model.transactions import PairingEvent
from panachain.records import rewrap
from panachain.records.header import Header, seal_envelope
from panachain.records.locate import HospitalHeads, locate_all, open_manifests, remaining
from panachain.records.pairing import FIRST, Pairing, make_pairing, open_pairing, seal_pairing
from panachain.sdk.network import Network
from panachain.sdk.opening import envelope_wraps, open_records
from panachain.sdk.results.records import OpenedRecord, RecordProvenance
from panachain.storage.blocks import keep

_YEARS_AHEAD: Final = 2
"""Years after this one that a pairing has lanes for."""


@dataclass(frozen=True)
class OwnHeaders:
    """What one hospital put into a patient's lanes."""

    heads: HospitalHeads
    headers: tuple[Header, ...]
    envelope_keys: dict[str, bytes]
    """By the envelope's CID."""


class OwnLanes:
    """The lanes of one patient."""

    def __init__(self, network: Network, seed: Seed, address: Address) -> None:
        """Take the patient's seed and account."""
        self._network = network
        self._seed = seed
        self._address = address

    def generations(self) -> Generations:
        """Return which generations the lanes have had, as the newest pairing states them.

        Raises:
            IntegrityError: a pairing on chain isn't this patient's own.
            BlockNotFoundError: the store lost one; guessing could wrap new records to lanes that were given up.
        """
        newest = FIRST
        for event in self._network.sidechain.identities.paired(patient=self._address):
            generations = self._open(event).generations
            # The newest over all pairings: a rotation that was interrupted has told some hospitals and not others.
            if generations.epoch > newest.epoch:
                newest = generations
        return newest

    def pair(
        self, hospital: Actor, generations: Generations, orders: Sequence[CID] = ()
    ) -> tuple[Pairing, CID, Receipt]:
        """Give a hospital the lanes as they are now.

        Args:
            hospital: who may publish.
            generations: of the lanes.
            orders: what the hospital shall move to new lanes.
        """
        pairing = make_pairing(
            self._seed,
            patient=self._address,
            hospital=hospital.address,
            generations=generations,
            last_year=datetime.fromtimestamp(self._network.clock(), UTC).year + _YEARS_AHEAD,
            orders=orders,
        )
        blob = seal_pairing(
            pairing,
            receiving_key=hospital.receiving_key,
            patient_key=self._seed.receiving().public,
            signer=self._seed.signer(),
        )
        cid = keep(self._network.store, blob)
        sender = self._network.sender(self._seed.account_key(), sidechain=True)
        receipt = self._network.sidechain.identities.pair(sender, hospital.address, cid.digest)
        return pairing, cid, receipt

    def pair_again(self, generations: Generations) -> list[Address]:
        """Tell every paired hospital the present lanes, and what it shall move there.

        A hospital that knows them already and has nothing to move isn't told again.

        Returns:
            Whom it told.
        """
        told = []
        hospitals = {actor.address: actor for actor in self._network.mainchain.actors.find(Role.HOSPITAL)}
        for event in self._network.sidechain.identities.paired(patient=self._address):
            if not event.paired or event.hospital not in hospitals:
                continue
            hospital = hospitals[event.hospital]
            orders = self.orders(hospital, generations)
            # Pairing again is a transaction: it would show everybody on the sidechain that the patient rotated
            # something.
            if orders or self._open(event).generations.epoch < generations.epoch:
                self.pair(hospital, generations, orders)
                told.append(hospital.address)
        return told

    def orders(self, hospital: Actor, generations: Generations) -> list[CID]:
        """Store what a hospital shall move to new lanes, and return the orders' CIDs; none before a rotation."""
        if not generations.epoch:
            return []
        heads = HospitalHeads(hospital.address, hospital.verifying_key, self._network.manifests_of(hospital.address))
        own = self._headers(heads, generations)
        envelopes: dict[str, list[Header]] = defaultdict(list)
        for found in own.headers:
            path = path_of(found.info.category, found.info.year)
            # One rotated lane is enough: whoever had it has a path to the envelope's key.
            if any(generations.current(scope) > found.epoch for scope in path):
                envelopes[found.info.envelope_cid].append(found)
        moves: list[rewrap.Move] = []
        for cid, members in envelopes.items():
            path = path_of(members[0].info.category, members[0].info.year)
            publics = [self._seed.lane(scope, generations.current(scope)).public for scope in path]
            envelope = seal_envelope(own.envelope_keys[cid], publics)
            moves += [
                rewrap.Move(CID.parse(found.info.header_cid), found.locator_key, found.brief_id, envelope)
                for found in members
            ]
        return [
            keep(
                self._network.store,
                rewrap.seal_order(
                    moves[start : start + rewrap.MAX_HEADERS],
                    receiving_key=hospital.receiving_key,
                    patient_key=self._seed.receiving().public,
                    signer=self._seed.signer(),
                ),
            )
            for start in range(0, len(moves), rewrap.MAX_HEADERS)
        ]

    def headers(self) -> Iterator[OwnHeaders]:
        """Yield what each hospital put into the lanes, restricted categories too, with the keys of its envelopes."""
        generations = self.generations()
        # Hospitals of former pairings too: what they published stays the patient's.
        ever = {event.hospital for event in self._network.sidechain.identities.paired(patient=self._address)}
        for heads in self._network.hospital_heads():
            if heads.hospital in ever:
                yield self._headers(heads, generations)

    def records(self) -> Iterator[OpenedRecord]:
        """Yield every record in the lanes, opened with the patient's own keys."""
        for own in self.headers():
            for _, record in open_records(self._network.store, own.headers, own.envelope_keys):
                yield replace(record, provenance=RecordProvenance(own.heads.hospital, opened_as="patient"))

    def record(self, record_id: str) -> OpenedRecord:
        """Return one record by the CID of its header.

        Raises:
            UnknownActorError: no record in the lanes has this ID.
        """
        for record in self.records():
            if record.info.header_cid == record_id:
                return record
        raise UnknownActorError(f"no record {record_id} is in this patient's lanes", hint="panachain records list")

    def still_there(self, lanes: Sequence[GrantedLane]) -> int:
        """Return how many headers of some lanes the store still has."""
        count = 0
        for heads in self._network.hospital_heads():
            manifests = open_manifests(self._network.store, heads)
            count += sum(len(remaining(self._network.store, heads, manifests, lane.locator_key)) for lane in lanes)
        return count

    def _headers(self, heads: HospitalHeads, generations: Generations) -> OwnHeaders:
        store = self._network.store
        # The lanes of the categories: every record is in exactly one of them, whatever else it is wrapped to.
        scopes = [Scope.of(category) for category in Category]
        lanes = [(scope, number) for scope in scopes for number in generations.of(scope)]
        locators = [self._seed.locator_key(*lane) for lane in lanes]
        found = locate_all(store, heads, open_manifests(store, heads), locators)
        headers: list[Header] = []
        keys: dict[str, bytes] = {}
        for lane, mine in zip(lanes, found, strict=True):
            if not mine:
                continue
            secret = self._seed.lane(*lane)
            keys |= {cid: umbral.unwrap(secret, wrap) for cid, wrap in envelope_wraps(store, mine).items()}
            headers += mine
        return OwnHeaders(heads, tuple(headers), keys)

    def _open(self, event: PairingEvent) -> Pairing:
        return open_pairing(
            self._network.store.get_block(CID(RAW, event.digest)),
            secret=self._seed.receiving(),
            hospital=event.hospital,
            patient=self._address,
            verifying_key=self._seed.signer().public,
        )
