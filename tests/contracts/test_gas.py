"""Gas of every transaction against the committed snapshot, so that no change makes one dearer unseen.

GAS_SNAPSHOT=write takes the measured figures into tests/contracts/gas.json.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from panachain.chain.contracts.guardianships import guardian_commitment
from panachain.chain.receipts import log_domain, sign_head
from panachain.chain.signing import Account, compact
from tests.contracts.conftest import HOSPITAL, KEYS, NOBODY, PATIENT, PROXY, halves
from tests.contracts.test_forwarder import Person

OTHER_KEYS = b"o" * 32
SNAPSHOT = Path(__file__).parent / "gas.json"
NOISE = 150
"""Random keys and signatures have more or fewer zero bytes, which cost 12 gas less each."""


def test_no_transaction_became_dearer_or_cheaper_unseen(
    actors: Any, ledger: Any, access_log: Any, policies: Any, identities: Any, requests: Any, emergency: Any,
    groups: Any, wardships: Any, accounts: Any, forwarder: Any, registrar: Any, hospital: Any, relay: Any,
    people: dict[str, Any], owner: Any, more_owners: list[Any], chain: Any,
) -> None:  # fmt: skip
    gas: dict[str, int] = {}

    def note(name: str, receipt: Any) -> None:
        gas[name] = receipt.gas_used

    note("ActorRegistry.register", actors.register(hospital, HOSPITAL, KEYS, "", NOBODY, sender=registrar))
    note("ActorRegistry.register, proxy", actors.register(relay, PROXY, KEYS, "", NOBODY, sender=registrar))
    note("RecordLedger.store, first", ledger.store(b"m" * 32, 1000, sender=hospital))
    note("RecordLedger.store", ledger.store(b"n" * 32, 1000, sender=hospital))
    proxy = Account(bytes.fromhex(relay.private_key[2:]))
    for name, sequence in (("AccessLog.anchor, first", 1), ("AccessLog.anchor", 2)):
        head, domain = bytes([sequence]) * 32, log_domain(chain.chain_id, access_log.address)
        signature = halves(compact(sign_head(proxy, domain, sequence=sequence, head=head)))
        note(name, access_log.anchor(relay, sequence, head, signature, sender=relay))
    note("ActorRegistry.suspend", actors.suspend(relay, sender=registrar))
    note("ActorRegistry.reinstate", actors.reinstate(relay, sender=registrar))

    grant = owner.grant()
    signature = owner.sign_grant(grant)
    note("PolicyRegistry.grantBySignature", policies.grantBySignature(grant.fields(), signature, sender=relay))
    signature = owner.sign_revoke()
    note("PolicyRegistry.revokeBySignature", policies.revokeBySignature(owner.address, signature, sender=relay))
    grants = [one.grant() for one in more_owners]
    signatures = [halves(one.sign_grant(each)) for one, each in zip(more_owners, grants, strict=True)]
    granted = policies.grantBatch([each.fields() for each in grants], signatures, sender=relay)
    note("PolicyRegistry.grantBatch of 3", granted)
    signatures = [halves(one.sign_revoke()) for one in more_owners]
    revoked = policies.revokeBatch([one.address for one in more_owners], signatures, sender=relay)
    note("PolicyRegistry.revokeBatch of 3", revoked)

    patient, doctor, nurse = people["patient"], people["doctor"], people["nurse"]
    later = int(chain.pending_timestamp) + 1000
    note("AccessRequests.request, first", requests.request(patient, b"d" * 32, later, sender=doctor))
    note("AccessRequests.request", requests.request(patient, b"d" * 32, later, sender=doctor))
    note("AccessRequests.refer", requests.refer(patient, nurse, b"d" * 32, later, sender=doctor))
    note("AccessRequests.approve", requests.approve(1, b"o" * 32, sender=patient))
    carer, account = accounts[8], relay
    for person in (carer, account):
        identities.register(person, PATIENT, bytes(32), KEYS, NOBODY, b"", sender=registrar)
    terms = (patient, later, carer, 0, 0x1FFFFF, 0, b"p" * 32, b"h" * 32)
    note("Wardships.propose", wardships.propose(terms, sender=account))
    note("Wardships.accept", wardships.accept(1, sender=carer))
    note("Wardships.start", wardships.start(1, sender=registrar))
    note("Wardships.end", wardships.end(1, sender=carer))
    note("EmergencyAccess.request", emergency.request(patient, b"r" * 32, sender=doctor))
    note("EmergencyAccess.cosign", emergency.cosign(1, sender=nurse))
    note("EmergencyAccess.review", emergency.review(1, b"o" * 32, sender=registrar))
    note("CareGroups.create", groups.create(KEYS, sender=doctor))
    created = groups.create.call(OTHER_KEYS, sender=doctor)
    groups.create(OTHER_KEYS, sender=doctor)
    note("CareGroups.addMember", groups.addMember(created, nurse, b"s" * 32, sender=doctor))
    note("CareGroups.accept", groups.accept(created, sender=nurse))
    renewal = groups.renew(created, 1, KEYS, [nurse], [b"z" * 32], sender=doctor)
    note("CareGroups.renew, one member", renewal)
    note("CareGroups.removeMember", groups.removeMember(created, nurse, sender=doctor))
    groups.addMember(created, nurse, b"s" * 32, sender=doctor)
    groups.accept(created, sender=nurse)
    note("CareGroups.handOver", groups.handOver(created, nurse, sender=doctor))
    note("CareGroups.close", groups.close(created, sender=nurse))
    signer = Person(patient, forwarder, chain)
    for name in ("IdentityRegistry.pair through Forwarder, first", "IdentityRegistry.pair through Forwarder"):
        pairing = hashlib.sha256(name.encode()).digest()
        note(name, forwarder.execute(signer.signed(identities, "pair", hospital.address, pairing)[1], sender=relay))
    note("IdentityRegistry.pair", identities.pair(hospital, b"p" * 32, sender=patient))
    own = guardian_commitment(patient.address, doctor.address, b"s" * 32)
    named = sorted([own, *(bytes([number]) * 32 for number in range(1, 8))])
    naming = identities.setGuardians(named, 1, 72 * 3600, KEYS, sender=patient)
    note("IdentityRegistry.setGuardians, eight", naming)
    successor = accounts[9]
    identities.register(successor, PATIENT, bytes(32), KEYS, NOBODY, b"", sender=registrar)
    proof = (named, named.index(own), b"s" * 32)
    note("IdentityRegistry.freezeFor", identities.freezeFor(patient, *proof, sender=doctor))
    note("IdentityRegistry.approveRecovery", identities.approveRecovery(patient, successor, *proof, sender=doctor))
    note("IdentityRegistry.cancelRecovery", identities.cancelRecovery(sender=patient))
    note("IdentityRegistry.suspend", identities.suspend(nurse, sender=registrar))

    if os.environ.get("GAS_SNAPSHOT") == "write":
        SNAPSHOT.write_text(json.dumps(gas, indent=2) + "\n")
    expected = json.loads(SNAPSHOT.read_text())
    assert set(gas) == set(expected)
    changed = {name: (expected[name], used) for name, used in gas.items() if abs(used - expected[name]) > NOISE}
    assert changed == {}, "GAS_SNAPSHOT=write takes these in, if they are meant"
