"""ActorRegistry, RecordLedger, AccessLog and the sidechain's contracts: the allowed and the denied side by side."""

from __future__ import annotations

from typing import Any

import ape
import pytest

from panachain.chain.mainchain import Mainchain
from tests.contracts.conftest import KEY

HOSPITAL, PROXY = 1, 2
PATIENT, PRACTITIONER = 1, 2
NOBODY = "0x" + "00" * 20


def admit(actors: Any, who: Any, role: int, registrar: Any) -> None:
    actors.register(who, role, KEY, KEY, "", NOBODY, sender=registrar)


class TestActorRegistry:
    def test_registrar_admits_and_stranger_does_not(self, actors: Any, registrar: Any, hospital: Any, stranger: Any) -> None:
        with ape.reverts(actors.AccessManagedUnauthorized):
            actors.register(hospital, HOSPITAL, KEY, KEY, "", NOBODY, sender=stranger)
        admit(actors, hospital, HOSPITAL, registrar)

        assert actors.isActive(hospital, HOSPITAL)
        assert not actors.isActive(hospital, PROXY)
        assert (actors.actorCount(), actors.actorAt(0)) == (1, hospital)

    def test_reverts_for_bad_admissions(self, actors: Any, registrar: Any, hospital: Any) -> None:
        with ape.reverts(actors.ActorInvalid):
            actors.register(NOBODY, HOSPITAL, KEY, KEY, "", NOBODY, sender=registrar)
        with ape.reverts(actors.ActorInvalid):
            actors.register(hospital, 0, KEY, KEY, "", NOBODY, sender=registrar)
        with ape.reverts(actors.ActorInvalidKey):
            actors.register(hospital, HOSPITAL, KEY[:-1], KEY, "", NOBODY, sender=registrar)
        admit(actors, hospital, HOSPITAL, registrar)
        with ape.reverts(actors.ActorAlreadyRegistered):
            admit(actors, hospital, HOSPITAL, registrar)

    def test_suspension_ends_and_comes_back(self, actors: Any, registrar: Any, hospital: Any, stranger: Any) -> None:
        admit(actors, hospital, HOSPITAL, registrar)
        with ape.reverts(actors.AccessManagedUnauthorized):
            actors.suspend(hospital, sender=stranger)
        actors.suspend(hospital, sender=registrar)
        assert not actors.isActive(hospital, HOSPITAL)
        with ape.reverts(actors.ActorUnexpectedStatus):
            actors.suspend(hospital, sender=registrar)
        with ape.reverts(actors.ActorUnexpectedStatus):
            actors.setEndpoint("http://elsewhere", sender=hospital)
        with ape.reverts(actors.AccessManagedUnauthorized):
            actors.reinstate(hospital, sender=stranger)
        actors.reinstate(hospital, sender=registrar)
        assert actors.isActive(hospital, HOSPITAL)
        actors.setEndpoint("http://elsewhere", sender=hospital)


class TestRecordLedger:
    def test_head_is_the_fold_of_what_was_stored(self, actors: Any, ledger: Any, registrar: Any, hospital: Any) -> None:
        admit(actors, hospital, HOSPITAL, registrar)
        batches = [(bytes([n]) * 32, n) for n in range(1, 5)]
        for manifest, count in batches:
            ledger.store(manifest, count, sender=hospital)
        sequence, head, manifest = ledger.headOf(hospital)
        assert (sequence, head, manifest) == (4, Mainchain.fold_heads(batches), batches[-1][0])

    def test_reverts_for_strangers_suspended_and_empty_batches(
        self, actors: Any, ledger: Any, registrar: Any, hospital: Any, stranger: Any
    ) -> None:
        admit(actors, hospital, HOSPITAL, registrar)
        with ape.reverts(ledger.LedgerNotActiveHospital):
            ledger.store(b"m" * 32, 1, sender=stranger)
        for manifest, count in ((bytes(32), 1), (b"m" * 32, 0)):
            with ape.reverts(ledger.LedgerEmptyBatch):
                ledger.store(manifest, count, sender=hospital)
        actors.suspend(hospital, sender=registrar)
        with ape.reverts(ledger.LedgerNotActiveHospital):
            ledger.store(b"m" * 32, 1, sender=hospital)


class TestAccessLog:
    def test_sequence_only_grows(self, actors: Any, access_log: Any, registrar: Any, relay: Any, stranger: Any) -> None:
        admit(actors, relay, PROXY, registrar)
        with ape.reverts(access_log.LogNotActiveProxy):
            access_log.anchor(1, b"h" * 32, sender=stranger)
        access_log.anchor(5, b"h" * 32, sender=relay)
        with ape.reverts(access_log.LogSequenceNotGrowing):
            access_log.anchor(5, b"i" * 32, sender=relay)
        assert tuple(access_log.anchorOf(relay)) == (5, b"h" * 32)


@pytest.fixture
def people(identities: Any, registrar: Any, accounts: Any, hospital: Any) -> dict[str, Any]:
    names = {"patient": PATIENT, "doctor": PRACTITIONER, "nurse": PRACTITIONER, "elsewhere": PRACTITIONER}
    people = dict(zip(names, accounts[4:8], strict=True))
    for name, role in names.items():
        organisation = NOBODY if role == PATIENT else (accounts[8] if name == "elsewhere" else hospital)
        identities.register(people[name], role, bytes(32), KEY, KEY, organisation, b"", sender=registrar)
    return people


class TestIdentityRegistry:
    def test_reverts_for_bad_admissions(self, identities: Any, registrar: Any, stranger: Any, relay: Any) -> None:
        with ape.reverts(identities.AccessManagedUnauthorized):
            identities.register(relay, PATIENT, bytes(32), KEY, KEY, NOBODY, b"", sender=stranger)
        with ape.reverts(identities.IdentityInvalid):
            identities.register(relay, 0, bytes(32), KEY, KEY, NOBODY, b"", sender=registrar)
        with ape.reverts(identities.IdentityInvalidKey):
            identities.register(relay, PATIENT, bytes(32), b"", KEY, NOBODY, b"", sender=registrar)
        identities.register(relay, PATIENT, b"l" * 32, KEY, KEY, NOBODY, b"", sender=registrar)
        assert identities.accountOf(b"l" * 32) == relay
        with ape.reverts(identities.IdentityAlreadyRegistered):
            identities.register(relay, PATIENT, bytes(32), KEY, KEY, NOBODY, b"", sender=registrar)
        with ape.reverts(identities.IdentityLookupTaken):
            identities.register(stranger, PATIENT, b"l" * 32, KEY, KEY, NOBODY, b"", sender=registrar)

    def test_only_active_patients_pair(self, identities: Any, people: Any, hospital: Any, registrar: Any) -> None:
        with ape.reverts(identities.IdentityNotActivePatient):
            identities.pair(hospital, b"p" * 32, sender=people["doctor"])
        identities.pair(hospital, b"p" * 32, sender=people["patient"])
        assert identities.pairingOf(people["patient"], hospital) == b"p" * 32
        identities.unpair(hospital, sender=people["patient"])
        with ape.reverts(identities.IdentityNotPaired):
            identities.unpair(hospital, sender=people["patient"])
        identities.suspend(people["patient"], sender=registrar)
        with ape.reverts(identities.IdentityNotActivePatient):
            identities.pair(hospital, b"p" * 32, sender=people["patient"])
        identities.reinstate(people["patient"], sender=registrar)
        with ape.reverts(identities.IdentityUnexpectedStatus):
            identities.reinstate(people["patient"], sender=registrar)


class TestAccessRequests:
    @pytest.fixture
    def requests(self, project: Any, registrar: Any, identities: Any) -> Any:
        return registrar.deploy(project.AccessRequests, identities)

    def test_only_its_patient_decides_and_once(self, requests: Any, people: Any, chain: Any, stranger: Any) -> None:
        until = chain.pending_timestamp + 1000
        with ape.reverts(requests.RequestNotActivePractitioner):
            requests.request(people["patient"], b"d" * 32, until, sender=people["patient"])
        with ape.reverts(requests.RequestUnknownPatient):
            requests.request(stranger, b"d" * 32, until, sender=people["doctor"])
        with ape.reverts(requests.RequestInvalid):
            requests.request(people["patient"], b"d" * 32, 1, sender=people["doctor"])
        for _ in range(3):
            requests.request(people["patient"], b"d" * 32, until, sender=people["doctor"])
        for call in (requests.approve, requests.deny):
            with ape.reverts(requests.RequestNotYours):
                call(*((1, bytes(32)) if call is requests.approve else (1,)), sender=people["doctor"])
        with ape.reverts(requests.RequestNotYours):
            requests.deny(99, sender=people["patient"])
        requests.approve(1, bytes(32), sender=people["patient"])
        requests.deny(2, sender=people["patient"])
        with ape.reverts(requests.RequestNotOpen):
            requests.deny(1, sender=people["patient"])
        with ape.reverts(requests.RequestNotYours):
            requests.withdraw(3, sender=people["patient"])
        chain.mine(timestamp=until)
        assert [requests.stateOf(n) for n in (1, 2, 3)] == [2, 3, 5]
        with ape.reverts(requests.RequestNotOpen):
            requests.withdraw(3, sender=people["doctor"])


class TestEmergencyAccess:
    @pytest.fixture
    def emergency(self, project: Any, registrar: Any, manager: Any, identities: Any) -> Any:
        contract = registrar.deploy(project.EmergencyAccess, manager, identities)
        selector = bytes(identities.suspend.abis[0].selector.encode())
        from eth_utils import keccak

        manager.setTargetFunctionRole(identities, [keccak(selector)[:4]], 1, sender=registrar)
        manager.grantRole(1, contract, 0, sender=registrar)
        return contract

    def test_a_second_person_of_the_same_hospital_opens_four_hours(
        self, emergency: Any, people: Any, chain: Any, stranger: Any
    ) -> None:
        with ape.reverts(emergency.EmergencyNotActivePractitioner):
            emergency.request(people["patient"], b"r" * 32, sender=stranger)
        with ape.reverts(emergency.EmergencyUnknownPatient):
            emergency.request(stranger, b"r" * 32, sender=people["doctor"])
        with ape.reverts(emergency.EmergencyWithoutReason):
            emergency.request(people["patient"], bytes(32), sender=people["doctor"])
        emergency.request(people["patient"], b"r" * 32, sender=people["doctor"])
        for who in ("doctor", "elsewhere"):
            with ape.reverts(emergency.EmergencyInvalidCosigner):
                emergency.cosign(1, sender=people[who])
        with ape.reverts(emergency.EmergencyUnknown):
            emergency.cosign(2, sender=people["nurse"])
        assert not emergency.isActive(1)
        emergency.cosign(1, sender=people["nurse"])
        assert emergency.isActive(1)
        chain.mine(deltatime=4 * 3600)
        assert not emergency.isActive(1)

    def test_missed_review_suspends_and_held_review_does_not(
        self, emergency: Any, identities: Any, people: Any, chain: Any, registrar: Any, stranger: Any
    ) -> None:
        for _ in range(2):
            emergency.request(people["patient"], b"r" * 32, sender=people["doctor"])
        emergency.cosign(1, sender=people["nurse"])
        with ape.reverts(emergency.EmergencyNotOverdue):
            emergency.enforce(1, sender=stranger)
        with ape.reverts(emergency.AccessManagedUnauthorized):
            emergency.review(2, bytes(32), sender=stranger)
        emergency.review(2, bytes(32), sender=registrar)
        chain.mine(deltatime=72 * 3600 + 1)
        with ape.reverts(emergency.EmergencyClosed):
            emergency.enforce(2, sender=stranger)
        emergency.enforce(1, sender=stranger)
        assert not identities.isActive(people["doctor"], PRACTITIONER)
        with ape.reverts(emergency.EmergencyClosed):
            emergency.enforce(1, sender=stranger)
