"""Pairings as a hospital sees them: the lanes of its patients, fetched from the store and checked.

Never makes one: patients do (sdk/lanes.py). Follows design section 8 (Pair).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import TypeVar

from panachain.crypto.hpke import SealingKey
from panachain.errors import AccessDeniedError, NotPairedError, PanaChainError, UnknownActorError
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Actor, Address, Role, Status
from panachain.model.choices import Choices
from panachain.model.scope import Category
from panachain.records.findings import LEFT_OUT, Findings, Strict
from panachain.records.pairing import Pairing, open_pairing
from panachain.records.rewrap import Move, Reseal, Wishes, open_order
from panachain.records.sensitivity.kinds import kinds
from panachain.records.sensitivity.profiles import Profile, for_patient
from panachain.sdk.care import in_care, split
from panachain.sdk.network import Network

_Name = TypeVar("_Name", bound=str)


class Pairings:
    """The pairings of one hospital."""

    def __init__(self, network: Network, hospital: Actor, secret: SealingKey) -> None:
        """Take the hospital, and its receiving secret, to which patients seal pairings."""
        self._network = network
        self._hospital = hospital
        self._secret = secret

    def of(self, patients: Sequence[Actor], findings: Findings | None = None) -> list[Pairing | None]:
        """Return the pairing with each of some patients.

        Args:
            patients: whose.
            findings: is told of each patient without a good one, in the place of whose pairing None stands; without it
                the first one is an error.

        Raises:
            NotPairedError: one of them hasn't paired with this hospital.
            IntegrityError: a pairing isn't its patient's.
        """
        findings = findings or Strict()
        found: list[Pairing | None] = []
        for patient, one in zip(patients, self._each(patients), strict=True):
            if isinstance(one, PanaChainError):
                findings.left_out("", f"patient {patient.handle}", one)
            found.append(None if isinstance(one, PanaChainError) else one)
        return found

    def _each(self, patients: Sequence[Actor]) -> Iterator[Pairing | PanaChainError]:
        """Yield the pairing with each of some patients, or what keeps it from being one."""
        accounts = [patient.address for patient in patients]
        digests = self._network.sidechain.identities.pairings_of(accounts, self._hospital.address)
        for patient, digest in zip(patients, digests, strict=True):
            try:
                yield self._open(patient, digest)
            except (*LEFT_OUT, AccessDeniedError) as exc:
                yield exc

    def ways(self, patients: Sequence[Actor], findings: Findings) -> list[list[tuple[Actor, Pairing]]]:
        """Return for each of some patients to whose lanes their records go: of a ward also to the carer's.

        Args:
            patients: whom a hospital names; of a ward, either account.
            findings: is told of each account without a good pairing.

        Returns:
            Accounts with their pairings, which say what they take; none for whoever has no good one. Both of a ward say
            the same choices, so that each record goes one of the two ways. If what a ward closes can't be read, nothing
            of theirs goes to the carer; that ward is named, and nobody else waits.
        """
        wardships, now = in_care(self._network)
        wanted: list[list[tuple[Actor, frozenset[Category], Address]]] = []
        for patient in patients:
            wanted.append([])
            try:
                person, parts = split(wardships, patient.address, now=now)
                for account, categories in parts:
                    actor = patient if account == patient.address else self._network.resolve(account, Role.PATIENT)
                    if actor.status is Status.REPLACED:
                        findings.left_out("", f"patient {actor.handle}", _moved(actor, person))
                        continue
                    wanted[-1].append((actor, categories, person))
            except (*LEFT_OUT, AccessDeniedError, UnknownActorError) as exc:
                findings.left_out("", f"patient {patient.handle}", exc)
        # One look-up for all of them.
        opened = self._each([actor for parts in wanted for actor, _, _ in parts])
        found: list[list[tuple[Actor, Pairing]]] = []
        for asked in wanted:
            good, is_unread = [], False
            for (actor, takes, person), one in zip(asked, opened, strict=False):
                if not isinstance(one, PanaChainError):
                    part = replace(one, takes=None if len(takes) == len(Category) else takes, person=person)
                    good.append((actor, part))
                    continue
                findings.left_out("", f"patient {actor.handle}", one)
                # Whoever hasn't paired closes nothing; what somebody closes who has may be in what can't be read.
                is_unread |= actor.address == person and not isinstance(one, NotPairedError)
            found.append(_sorted_alike([] if is_unread else good))
        return found

    def all(self, findings: Findings) -> Iterator[tuple[Actor, Pairing]]:
        """Yield every patient who is paired with this hospital now, and the pairing.

        Args:
            findings: is told of patients whose pairing can't be read.
        """
        for event in self._network.sidechain.identities.paired(hospital=self._hospital.address):
            patient = self._network.sidechain.identities.identity_of(event.patient)
            if event.paired and patient is not None:
                try:
                    pairing = self._open(patient, event.digest)
                except LEFT_OUT as exc:
                    findings.left_out("", f"patient {patient.handle}", exc)
                    continue
                yield patient, pairing

    def with_wishes(
        self, pairings: Mapping[_Name, Pairing], actors: Mapping[_Name, Actor], findings: Findings
    ) -> dict[_Name, Pairing]:
        """Return pairings with what their orders ask to have in other categories.

        Args:
            pairings: by name.
            actors: their patients, by name.
            findings: is told of patients of whom an order can't be read: to publish without it could open what they
                closed.
        """
        found = {}
        for name, pairing in pairings.items():
            with findings.alone("", f"patient {name}"):
                opened = [self.order(actors[name], cid) for cid in pairing.orders]
                wishes = Wishes.of(order for order in opened if isinstance(order, Reseal))
                found[name] = replace(pairing, wishes=wishes)
        return found

    def order(self, patient: Actor, cid: CID) -> list[Move] | Reseal:
        """Return one of a patient's orders.

        Raises:
            IntegrityError: it isn't theirs, or is malformed.
            BlockNotFoundError: the store lost it.
        """
        block = self._network.store.get_block(cid)
        return self._network.keys.signed(
            patient,
            "the moves of the order",
            lambda verifying: open_order(block, secret=self._secret, verifying_key=verifying),
        )

    def _open(self, patient: Actor, digest: bytes | None) -> Pairing:
        if digest is None:
            raise NotPairedError(
                f"{patient.handle} hasn't paired with {self._hospital.handle}; nothing was published",
                hint=f"the patient runs: panachain --profile PATIENT pair {self._hospital.handle}",
            )
        block = self._network.store.get_block(CID(RAW, digest))
        found = self._network.keys.signed(
            patient,
            "the keys of the pairing",
            lambda verifying: open_pairing(
                block,
                secret=self._secret,
                hospital=self._hospital.address,
                patient=patient.address,
                verifying_key=verifying,
            ),
        )
        return replace(found, digest=digest)


def _sorted_alike(parts: Sequence[tuple[Actor, Pairing]]) -> list[tuple[Actor, Pairing]]:
    """Return the ways of one person with the choices of all of them.

    What a record is decides which way it goes. If each way asked its own account, one record could go both ways, or
    none. A carer who closes what this program doesn't know has no say in the ward's own lanes by that, nor keeps
    anything back from them.
    """
    if len(parts) < 2:
        return list(parts)
    joined = reduce(Choices.together, [pairing.choices for _, pairing in parts])
    return [
        (actor, replace(pairing, choices=joined if pairing.patient != pairing.about else _without(joined, pairing)))
        for actor, pairing in parts
    ]


def _without(joined: Choices, own: Pairing) -> Choices:
    """Return the choices of both without kinds that this program doesn't know and that the ward didn't name."""
    return replace(joined, closed=joined.closed & (kinds().keys() | own.choices.closed))


def _moved(account: Actor, person: Address) -> NotPairedError:
    return NotPairedError(
        f"account {account.handle}, made for a wardship, was moved by its guardians: nothing is published to it",
        hint=f"the registrar ends the wardship; then all goes to the ward: {person}",
    )


def closed_for(pairings: Mapping[_Name, Pairing], profile: Profile, findings: Findings) -> dict[_Name, Profile]:
    """Return what is closed for each patient: what the hospital closes, and what they do.

    Args:
        pairings: of patients, by name.
        profile: the hospital's.
        findings: is told of patients who close what this program doesn't know: nothing of theirs may be published.
    """
    found = {}
    for name, pairing in pairings.items():
        with findings.alone("", f"patient {name}"):
            found[name] = for_patient(profile, pairing.choices)
    return found
