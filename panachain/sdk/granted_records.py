"""Granted records: what a policy opens, hospital by hospital and lane by lane, each on its own.

Visits nobody but the hospitals of the grant: those that the terms name, and those that the patient paired with since.
A stranger's storage transactions are never looked at. Follows design section 8 (Open, from step 3 on, with its
numbers), ADR 17 and security rule 22.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from panachain.errors import IntegrityError
from panachain.model.actors import Actor, Role
from panachain.model.policy import GrantedLane, OnChainPolicy, Terms
from panachain.model.scope import Purpose
from panachain.records.findings import Findings
from panachain.records.header import Header
from panachain.records.locate import locate_all, open_manifests
from panachain.sdk.network import Network
from panachain.sdk.opening import Allowance, FormerHospital, Opening, envelope_wraps, open_records
from panachain.sdk.proxies import Proxies, Reader
from panachain.sdk.results.records import OpenedRecord, RecordProvenance


@dataclass(frozen=True)
class Asked:
    """What is opened, and for whom."""

    policy: OnChainPolicy
    terms: Terms
    """Verified."""
    reader: Reader
    purpose: Purpose
    earliest: int
    """Unix seconds; records that were stored before are passed over."""


class GrantedRecords:
    """The records of one opening of one policy."""

    def __init__(self, network: Network, proxies: Proxies, asked: Asked, opening: Opening) -> None:
        """Take what is asked, and the opening that is told what is left out."""
        self._network = network
        self._proxies = proxies
        self._asked = asked
        self._opening = opening
        self._allowance = Allowance.of(network.config)
        self._seen: set[str] = set()

    def records(self) -> Iterator[OpenedRecord]:
        """Yield the records, one hospital's after the other's."""
        for hospital, findings in self._hospitals():
            with findings.alone(hospital.address):
                yield from self._at(hospital, findings)

    def _hospitals(self) -> Iterator[tuple[Actor, Findings]]:
        """Yield the hospitals of the grant, each with what is told of its failures."""
        terms, findings = self._asked.terms, self._opening.findings
        events = self._network.sidechain.identities.paired(patient=terms.patient)
        paired = {event.hospital: event.paired for event in events}
        registered = {actor.address: actor for actor in self._network.mainchain.actors.find(Role.HOSPITAL)}
        for address in terms.hospitals:
            if address not in registered:
                # Its records can't be found without its keys, and whoever hides them would hide all of them.
                error = IntegrityError("the policy covers it, and the mainchain's node shows no such hospital")
                findings.left_out(address, "", error)
        for address, actor in registered.items():
            if address in paired or address in terms.hospitals:
                # What the sidechain's node hides of a pairing, the patient's signed terms say.
                yield actor, findings if paired.get(address, True) else FormerHospital(findings)

    def _at(self, hospital: Actor, findings: Findings) -> Iterator[OpenedRecord]:
        store, terms = self._network.store, self._asked.terms
        heads = self._network.heads_of(hospital)
        manifests = open_manifests(store, heads, findings)
        # 3. Locate the lanes' records, 4. fetch their headers, check CIDs and signatures.
        found = locate_all(store, heads, manifests, terms.lanes, patient=terms.patient, findings=findings)
        for number, (lane, headers) in enumerate(zip(terms.lanes, found, strict=True)):
            new = [
                one
                for one in headers
                if one.info.header_cid not in self._seen and one.info.stored_at >= self._asked.earliest
            ]
            self._opening.found += len(new)
            with findings.alone(hospital.address, f"lane {lane.scope.text}"):
                yield from self._in_lane(number, lane, new, findings)

    def _in_lane(
        self, number: int, lane: GrantedLane, headers: list[Header], findings: Findings
    ) -> Iterator[OpenedRecord]:
        store, asked = self._network.store, self._asked
        # 5. Ask proxies in parallel until t cfrags per capsule, each verified; 6. recover the envelope keys.
        wraps = envelope_wraps(store, headers, findings)
        unwrapped = self._proxies.unwrap(asked.reader, asked.terms, number, wraps, asked.purpose)
        for one in headers:
            cid = one.info.envelope_cid
            if cid in unwrapped.bad:
                findings.left_out(one.info.hospital, f"envelope {cid}", unwrapped.bad[cid])
        # 7. Fetch content, check key commitment and CID, open.
        for header, record in open_records(store, headers, unwrapped.keys, self._allowance, findings):
            # 8. Hand out the plaintext with its provenance.
            self._seen.add(header.info.header_cid)
            yield replace(record, provenance=_provenance(asked, lane, header))


def _provenance(asked: Asked, lane: GrantedLane, found: Header) -> RecordProvenance:
    return RecordProvenance(
        hospital=found.info.hospital,
        patient=asked.terms.patient,
        grantee=asked.terms.grantee,
        policy_id=asked.policy.policy_id,
        lane=lane.scope.text,
        purpose=asked.purpose.value,
        block=asked.policy.block,
        block_time=asked.policy.block_time,
        threshold=asked.terms.threshold,
    )
