"""A prepared grant: a key of its own for each policy, a kfrag for each proxy and lane, and terms that say so."""

from __future__ import annotations

import hashlib

import pytest

from panachain.consent.grant import PreparedGrant, prepare_grant
from panachain.consent.offer import Offer
from panachain.consent.terms import open_terms
from panachain.crypto import keys, notice
from panachain.errors import IntegrityError
from panachain.model.actors import Actor, Address, Role, Status
from panachain.model.policy import ProxyRef
from panachain.model.scope import Category, Generations, Purpose, Scope

PATIENT, GRANTEE, STRANGER = (keys.Seed(name.ljust(32)) for name in (b"patient", b"grantee", b"stranger"))
WHO = Address("0x" + "11" * 20)
SCOPES = (Scope.of(Category.LABORATORY), Scope.of(Category.VITALS, 2024))
OFFER = Offer(
    grantee=Actor.of(WHO, Role.PRACTITIONER, GRANTEE.public_keys(), status=Status.ACTIVE),
    scopes=SCOPES,
    purposes=(Purpose.TREAT,),
    starts_at=10,
    expires_at=20,
    threshold=2,
    proxies=tuple(ProxyRef(Address(f"0x{number:040x}"), "", bytes([2] * 32)) for number in range(1, 4)),
)


def prepared(index: int = 0, offer: Offer = OFFER) -> PreparedGrant:
    return prepare_grant(PATIENT, offer, index=index, patient=WHO, generations=Generations())


def test_the_policy_is_its_one_time_key() -> None:
    first, second = prepared(0), prepared(1)
    assert first.terms.policy_id == keys.address_of(first.account_key)
    assert first.terms.policy_id != second.terms.policy_id
    assert first.terms.verifying_key != second.terms.verifying_key
    assert first.terms.policy_id == prepared(0).terms.policy_id


def test_each_proxy_gets_one_kfrag_of_each_lane_and_the_terms_name_them() -> None:
    made = prepared()
    assert (len(made.kfrags), {len(lanes) for lanes in made.kfrags}) == (3, {2})
    assert [lane.scope for lane in made.terms.lanes] == list(SCOPES)
    by_lane = [hashlib.sha256(made.kfrags[share][lane]).digest() for lane in range(2) for share in range(3)]
    assert made.terms.kfrag_digests == tuple(by_lane)
    assert len(set(by_lane)) == 6


def test_each_lane_is_delegated_by_a_key_of_its_own() -> None:
    first, second = prepared().terms.lanes
    assert first.delegating_key == PATIENT.lane(SCOPES[0], 0).public
    assert first.locator_key == PATIENT.locator_key(SCOPES[0], 0)
    assert (first.delegating_key, first.locator_key) != (second.delegating_key, second.locator_key)


def test_the_terms_tell_the_pepper_of_each_lane_and_no_proxy_gets_one() -> None:
    made = prepared()
    peppers = [lane.pepper for lane in made.terms.lanes]
    assert peppers == [PATIENT.pepper(scope, 0) for scope in SCOPES]
    assert len(set(peppers)) == 2
    deposited = b"".join(kfrag for kfrags in made.kfrags for kfrag in kfrags)
    assert not any(pepper in deposited for pepper in peppers)


def test_a_generation_has_a_pepper_of_its_own_and_the_terms_tell_those_of_their_time() -> None:
    scope = SCOPES[0]
    rotated = prepare_grant(PATIENT, OFFER, index=0, patient=WHO, generations=Generations().rotated([scope]))
    assert [lane.pepper for lane in rotated.terms.lanes if lane.scope == scope] == [
        PATIENT.pepper(scope, 0),
        PATIENT.pepper(scope, 1),
    ]
    assert PATIENT.pepper(scope, 1) not in [lane.pepper for lane in prepared().terms.lanes]


def test_terms_open_for_the_grantee_and_the_patient_only() -> None:
    made = prepared()
    for seed in (GRANTEE, PATIENT):
        unverified = open_terms(made.sealed_terms, seed.sealing())
        key = PATIENT.signer().public
        assert unverified.verified(policy_id=made.terms.policy_id, patient_verifying_key=key) == made.terms
    with pytest.raises(IntegrityError):
        open_terms(made.sealed_terms, STRANGER.sealing())


def test_the_notice_is_for_the_grantee() -> None:
    made = prepared()
    found = made.announcement, made.view_tag, made.terms.policy_id
    assert notice.is_for(GRANTEE.receiving(), *found)


def test_no_secret_is_shown() -> None:
    made = prepared()
    assert made.account_key.hex() not in repr(made)
    assert not any(repr(lane.pepper) in repr(made) for lane in made.terms.lanes)
    assert "kfrags" not in repr(made)
