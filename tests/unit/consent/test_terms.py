"""Terms: opened ones show nothing before the patient's signature is checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panachain.consent import terms as terms_module
from panachain.consent.terms import UnverifiedTerms, open_terms, seal_terms
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import GrantedLane, ProxyRef, Terms
from panachain.model.scope import Purpose, Scope
from panachain.model.sizes import SEALING_SIZE

PATIENT, READER, FORGER = (Seed(bytes([number]) * 32) for number in (1, 2, 3))
ACCOUNT = Address("0x" + "00" * 19 + "01")
POLICY = PolicyId("0x" + "00" * 19 + "02")
TERMS = Terms(
    policy_id=POLICY,
    patient=ACCOUNT,
    grantee=Address("0x" + "00" * 19 + "03"),
    key_digest=READER.public_keys().digest,
    receiving_key=READER.receiving().public,
    verifying_key=b"\2" * 33,
    purposes=(Purpose.TREAT,),
    starts_at=1,
    expires_at=2,
    threshold=2,
    proxies=(ProxyRef(Address("0x" + "00" * 19 + "04"), "https://proxy.example", b"\2" * 32),) * 2,
    lanes=(GrantedLane(Scope.all(), 0, b"\2" * 33, b"\1" * 32, b"\3" * 32),),
    audit_key=b"\2" * SEALING_SIZE,
    kfrag_digests=(b"\1" * 32, b"\2" * 32),
)


def sealed(terms: Terms = TERMS, signer: Seed = PATIENT) -> bytes:
    return seal_terms(
        terms, grantee_key=READER.sealing().public, patient_key=PATIENT.sealing().public, signer=signer.signer()
    )


def verified(block: bytes, reader: Seed = READER, policy_id: PolicyId = POLICY, patient: Seed = PATIENT) -> Terms:
    opened = open_terms(block, reader.sealing())
    return opened.verified(policy_id=policy_id, patient_verifying_key=patient.signer().public)


def test_grantee_and_patient_read_them() -> None:
    block = sealed()
    assert verified(block) == verified(block, PATIENT) == TERMS


def test_they_say_their_version_first_and_another_one_is_refused() -> None:
    block = sealed()
    assert block[0] == 3
    for other in (0, 1, 2, 4):
        with pytest.raises(IntegrityError, match="aren't of version 3"):
            open_terms(bytes([other]) + block[1:], READER.sealing())


def test_nobody_else_opens_them() -> None:
    with pytest.raises(IntegrityError):
        open_terms(sealed(), FORGER.sealing())


def test_unverified_ones_show_whose_signature_is_needed_and_nothing_else() -> None:
    opened = open_terms(sealed(), READER.sealing())
    assert {name for name in dir(opened) if not name.startswith("_")} == {"claimed_patient", "verified"}
    assert opened.claimed_patient == ACCOUNT
    assert "0x" not in repr(opened).split(" at ")[0]
    assert not hasattr(opened, "__dict__")
    assert isinstance(opened, UnverifiedTerms)


def test_terms_that_somebody_else_signed_in_the_patients_name_are_refused() -> None:
    with pytest.raises(IntegrityError):
        verified(sealed(signer=FORGER))


def test_terms_of_another_policy_are_refused() -> None:
    other = PolicyId("0x" + "00" * 19 + "05")
    with pytest.raises(IntegrityError, match=f"expected {POLICY}"):
        verified(sealed(replace(TERMS, policy_id=other)))


@pytest.mark.parametrize("place", [0, -200, -1])
def test_a_changed_byte_is_noticed(place: int) -> None:
    block = bytearray(sealed())
    block[place] ^= 1
    with pytest.raises(IntegrityError):
        verified(bytes(block))


@pytest.mark.parametrize(
    "changes",
    [
        {"starts_at": "1"},
        {"expires_at": True},
        {"expires_at": -1},
        {"threshold": b"2"},
        {"keys": b"\2" * 33},
        {"receiving": "x" * 33},
        {"verifying": b"\2" * 32},
        {"audit": None},
        {"audit": b"\2" * 33},
        {"kfrags": "xy"},
        {"kfrags": [b"\1" * 31]},
        {"proxies": [[b"\4" * 20, 7, b"\2" * 32]]},
        {"proxies": [[b"\4" * 20, "https://proxy.example", b"\2" * 33]]},
        {"lanes": [["all", "0", b"\2" * 33, b"\1" * 32, b"\3" * 32]]},
        {"lanes": [["all", 0, b"\2" * 33, "\1" * 32, b"\3" * 32]]},
        {"lanes": [[0, 0, b"\2" * 33, b"\1" * 32, b"\3" * 32]]},
        {"lanes": [["all", 0, b"\2" * 33, b"\1" * 32, "\3" * 32]]},
        {"lanes": [["all", 0, b"\2" * 33, b"\1" * 32, b"\3" * 31]]},
        {"lanes": [["all", 0, b"\2" * 33, b"\1" * 32]]},
        {"purposes": ["FUN"]},
    ],
    ids=repr,
)
def test_a_patient_can_sign_nonsense_and_nobody_opens_it(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = terms_module._to_fields(TERMS)
    assert changes.keys() <= fields.keys()
    monkeypatch.setattr(terms_module, "_to_fields", lambda _: fields | changes)
    block = sealed()
    with pytest.raises(IntegrityError, match="wrong type"):
        open_terms(block, READER.sealing())
