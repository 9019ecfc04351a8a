"""Worlds to search in: hospitals that publish into a folder, and a patient who looks words up; no chain, no proxies.

The patient reads with the lanes' own keys, as in the program; what proxies add to a practitioner's first search is an
opening's, which `./pana bench consent` measures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from panachain.crypto import umbral
from panachain.crypto.keys import Seed, address_of, hospital_key
from panachain.ipld.cid import CID, DAG_CBOR
from panachain.model.records import PlainRecord
from panachain.model.scope import RESTRICTED, Category, Scope
from panachain.records.findings import Findings
from panachain.records.locate import HospitalHeads, Sought, locate_all, open_manifests
from panachain.records.pairing import make_pairing
from panachain.records.publish import BatchBuilder
from panachain.sdk.opening import Opening, check_envelopes, envelope_wraps, unmasked
from panachain.sdk.searching import Searchable

AT = 1_700_000_000
SCOPES = [Scope.all(), *(Scope.of(one) for one in Category if one in RESTRICTED)]
"""Every record is in one of these lanes, and in one only."""


@dataclass
class Clinic:
    """A hospital, and what it published for one patient."""

    store: Any
    patient: Seed
    seed: Seed = field(default_factory=Seed.random)
    manifests: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.address = address_of(self.seed.account_key())
        self.pairing = make_pairing(
            self.patient, patient=address_of(self.patient.account_key()), hospital=self.address, last_year=2027
        )

    def publish(self, records: Iterable[PlainRecord]) -> None:
        """Publish records in one batch."""
        builder = BatchBuilder(
            self.store,
            hospital=self.address,
            signer=self.seed.signer(),
            sequence=len(self.manifests) + 1,
            previous=CID(DAG_CBOR, self.manifests[-1]) if self.manifests else None,
            at=AT,
        )
        for record in records:
            builder.add(record, self.pairing)
        self.manifests.append(builder.finish().root.digest)
        builder.close()

    @property
    def heads(self) -> HospitalHeads:
        """The hospital, as a chain tells of it."""
        return HospitalHeads(self.address, self.seed.signer().public, tuple(self.manifests))


def searchable(store: Any, clinics: Iterable[Clinic]) -> Searchable:
    """Open what there is to search in, as `OwnLanes` does; what fails is in the findings of its opening."""
    opening: Opening = Opening(lambda _: iter(()))
    found, heads = [], []
    for clinic in clinics:
        heads.append(clinic.heads)
        with opening.findings.alone(clinic.address):
            found.append(_opened(store, clinic, opening))
    opening.life.settle()
    return Searchable(opening, heads, [one for mine in found for one in mine], AT)


def _opened(store: Any, clinic: Clinic, opening: Opening) -> list[Any]:
    findings: Findings = opening.findings
    seed = clinic.patient
    lanes = [Sought(scope, 0, seed.locator_key(scope, 0)) for scope in SCOPES]
    manifests = open_manifests(store, clinic.heads, findings)
    found = []
    for lane, mine in zip(lanes, locate_all(store, clinic.heads, manifests, lanes, findings=findings), strict=True):
        secret, messages = seed.lane(lane.scope, 0), dict[str, bytes]()
        for cid, wrap in envelope_wraps(store, mine, findings).items():
            with findings.alone(clinic.address, f"envelope {cid}"):
                messages[cid] = umbral.unwrap(secret, wrap)
        pepper = hospital_key(seed.pepper(lane.scope, 0), clinic.address)
        keys = unmasked(mine, messages, pepper, findings)
        found.append(check_envelopes(store, mine, keys, findings, opening.life))
    return found
