"""Forwarder: the sidechain's contracts are called in the name of whoever signed, as the SDK's adapter signs."""

from __future__ import annotations

from typing import Any

import ape
import pytest

from panachain.chain.abi import contract
from panachain.chain.bound import BoundContract
from panachain.chain.contracts.forwarder import Forwarder
from panachain.chain.signing import Account
from panachain.model.actors import Address
from panachain.model.transactions import Call


class Person:
    """Somebody who signs and holds nothing."""

    def __init__(self, account: Any, forwarder: Any, chain: Any) -> None:
        self.account = Account(bytes.fromhex(account.private_key[2:]))
        self.address = Address(account.address)
        self._chain, self._contract = chain, forwarder
        bound = BoundContract(None, "Forwarder", forwarder.address, chain_id=chain.chain_id)  # type: ignore[arg-type]
        self.forwarder = Forwarder(bound)

    def signed(self, target: Any, function: str, *args: Any) -> tuple[Call, tuple[Any, ...]]:
        """Return a call, and the struct that the forwarder takes."""
        name = target.contract_type.name
        call = Call(
            signer=self.address,
            to=Address(target.address),
            data=bytes.fromhex(contract(name).calldata(function, *args)[2:]),
            gas=300_000,
            nonce=self._contract.nonces(self.address),
            deadline=int(self._chain.pending_timestamp) + 600,
        )
        signature = self.forwarder.sign(self.account, call)
        return call, (call.signer, call.to, 0, call.gas, call.deadline, call.data, signature)


@pytest.fixture
def patient(people: dict[str, Any], forwarder: Any, chain: Any) -> Person:
    return Person(people["patient"], forwarder, chain)


@pytest.fixture
def doctor(people: dict[str, Any], forwarder: Any, chain: Any) -> Person:
    return Person(people["doctor"], forwarder, chain)


def test_what_the_sdk_signs_is_made_in_its_signers_name(
    forwarder: Any, identities: Any, patient: Person, hospital: Any, relay: Any
) -> None:
    call, request = patient.signed(identities, "pair", hospital.address, b"p" * 32)
    receipt = forwarder.execute(request, sender=relay)

    assert identities.pairingOf(patient.address, hospital) == b"p" * 32
    (event,) = forwarder.Forwarded.from_receipt(receipt)
    assert (event.signer, event.digest) == (patient.address, patient.forwarder.digest_of(call))


def test_each_contract_of_persons_believes_it(
    forwarder: Any,
    identities: Any,
    requests: Any,
    groups: Any,
    emergency: Any,
    patient: Person,
    doctor: Person,
    relay: Any,
    chain: Any,
) -> None:
    later = int(chain.pending_timestamp) + 1000
    for target, function, args in (
        (requests, "request", (patient.address, b"d" * 32, later)),
        (groups, "create", (b"k" * 32,)),
        (emergency, "request", (patient.address, b"r" * 32)),
    ):
        forwarder.execute(doctor.signed(target, function, *args)[1], sender=relay)
    forwarder.execute(patient.signed(requests, "deny", 1)[1], sender=relay)
    assert requests.requestOf(1).requester == doctor.address
    assert emergency.emergencyOf(1).practitioner == doctor.address
    assert groups.managedBy(doctor.address) == 1
    assert all(one.trustedForwarder() == forwarder.address for one in (identities, requests, groups, emergency))


def test_nobody_is_called_in_anothers_name(
    forwarder: Any, identities: Any, patient: Person, doctor: Person, hospital: Any, relay: Any, stranger: Any
) -> None:
    _, request = doctor.signed(identities, "pair", hospital.address, b"p" * 32)
    stolen = (patient.address, *request[1:])
    with ape.reverts(forwarder.ERC2771ForwarderInvalidSigner):
        forwarder.execute(stolen, sender=relay)
    # The doctor's own is made, and refused as the doctor's.
    with ape.reverts(forwarder.FailedCall):
        forwarder.execute(request, sender=relay)
    data = contract("IdentityRegistry").calldata("pair", hospital.address, b"p" * 32) + patient.address[2:]
    with ape.reverts(identities.IdentityNotActivePatient):
        stranger.transfer(identities, 0, data=data)
    assert identities.pairingOf(patient.address, hospital) == bytes(32)


def test_a_signature_counts_once_and_in_time(
    forwarder: Any, identities: Any, patient: Person, hospital: Any, relay: Any, chain: Any
) -> None:
    _, first = patient.signed(identities, "pair", hospital.address, b"p" * 32)
    forwarder.execute(first, sender=relay)
    with ape.reverts(forwarder.ERC2771ForwarderInvalidSigner):
        forwarder.execute(first, sender=relay)
    _, late = patient.signed(identities, "unpair", hospital.address)
    chain.pending_timestamp += 3600
    with ape.reverts(forwarder.ERC2771ForwarderExpiredRequest):
        forwarder.execute(late, sender=relay)
    assert identities.pairingOf(patient.address, hospital) == b"p" * 32
