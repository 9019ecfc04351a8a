"""Grants on their way: sealed to their patient, and nothing in them is believed that the patient didn't sign."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panachain.consent import pending as subject
from panachain.consent.grant import PreparedGrant, prepare_grant
from panachain.consent.life import State
from panachain.consent.pending import PendingGrant, open_pending, seal_pending
from panachain.consent.terms import seal_terms
from panachain.crypto import labels, padding, stream
from panachain.crypto.keys import Seed, address_of
from panachain.errors import IntegrityError
from panachain.ipld import dagcbor
from panachain.model.actors import PolicyId
from panachain.model.policy import Disclosure, OnChainPolicy, PolicyStatus
from panachain.model.scope import Generations
from tests.unit.consent.test_offer import OFFER, OTHER, PATIENT

OLD = PolicyId("0x" + "aa" * 20)


def prepared(seed: Seed = PATIENT) -> PreparedGrant:
    patient = address_of(seed.account_key())
    return prepare_grant(seed, OFFER, index=7, patient=patient, generations=Generations())


@pytest.fixture(scope="module")
def pending() -> PendingGrant:
    made = PendingGrant.of(replace(OFFER, replaces=OLD, disclosure=Disclosure(purposes=1)), prepared(), due=5)
    return replace(made, grant=replace(made.grant, deadline=9), signature=b"s" * 65)


def unsealed(block: bytes) -> bytes:
    return padding.unpad(stream.open_(block, subject._key(PATIENT), labels.PENDING_GRANT))


def sealed(plain: bytes) -> bytes:
    return stream.seal(padding.pad(plain), subject._key(PATIENT), labels.PENDING_GRANT)


@pytest.mark.parametrize("replacing", [False, True])
def test_comes_back_as_it_was(pending: PendingGrant, replacing: bool) -> None:
    pending = replace(pending, replacing=replacing)
    assert open_pending(seal_pending(pending, PATIENT), PATIENT) == pending


def test_keys_and_shares_are_shown_by_no_repr(pending: PendingGrant) -> None:
    assert "shares" not in repr(pending)
    assert not any(name in repr(prepared()) for name in ("account_key", "kfrags="))


def test_one_that_was_made_has_neither_a_deadline_nor_a_signature_yet() -> None:
    made = PendingGrant.of(OFFER, prepared(), due=5)
    assert (made.grant.deadline, made.signature, made.due, made.served) == (0, b"", 5, False)
    assert list(made.shares) == [proxy.address for proxy in OFFER.proxies]


def test_what_is_kept_has_the_written_form(pending: PendingGrant) -> None:
    plain = unsealed(seal_pending(pending, PATIENT))
    fields = dagcbor.decode(plain)
    assert (fields["v"], len(fields["disclosure"]), len(fields["signature"])) == (2, 32, 65)
    assert fields["times"] == [pending.grant.starts_at, pending.grant.expires_at, pending.grant.deadline]


def test_it_is_for_the_same_offer_again_and_for_no_other(pending: PendingGrant) -> None:
    offer = replace(OFFER, replaces=OLD, disclosure=Disclosure(purposes=1))
    assert pending.is_for(offer)
    others: list[dict[str, Any]] = [
        {"replaces": None},
        {"request": 7},
        {"disclosure": Disclosure()},
        {"threshold": OFFER.threshold + 1},
    ]
    for change in others:
        assert not pending.is_for(replace(offer, **change))


@pytest.mark.parametrize("broken", [{"times": [1, 2]}, {"v": 1}, {"v": None}, {"owner": 7}, {"shares": []}])
def test_a_field_of_a_wrong_form_is_noticed(pending: PendingGrant, broken: dict[str, Any]) -> None:
    plain = unsealed(seal_pending(pending, PATIENT))
    content = dagcbor.encode(dagcbor.decode(plain) | broken)
    with pytest.raises(IntegrityError):
        open_pending(sealed(content), PATIENT)


def test_a_file_of_before_says_not_that_what_it_replaces_is_being_taken_back(pending: PendingGrant) -> None:
    fields = dagcbor.decode(unsealed(seal_pending(replace(pending, replacing=True), PATIENT)))
    assert fields.pop("marked")
    # It began to take that back by a signature that says nothing.
    assert not open_pending(sealed(dagcbor.encode(fields)), PATIENT).marked
    assert fields.pop("replacing")
    before = open_pending(sealed(dagcbor.encode(fields)), PATIENT)
    assert (before.replacing, before.marked) == (False, True)


def test_opens_for_its_patient_only(pending: PendingGrant) -> None:
    with pytest.raises(IntegrityError):
        open_pending(seal_pending(pending, PATIENT), OTHER)


def test_terms_that_somebody_else_signed_are_refused(pending: PendingGrant) -> None:
    """Anybody can seal terms to the patient, and nobody else signs for them."""
    key = PATIENT.sealing().public
    forged = seal_terms(pending.terms, grantee_key=key, patient_key=key, signer=OTHER.signer())
    with pytest.raises(IntegrityError):
        open_pending(seal_pending(replace(pending, sealed_terms=forged), PATIENT), PATIENT)


@pytest.mark.parametrize("name", ["v", "index", "owner", "times", "terms", "shares", "due", "served"])
def test_a_field_that_is_missing_is_noticed(pending: PendingGrant, name: str) -> None:
    plain = unsealed(seal_pending(pending, PATIENT))
    fields = dagcbor.decode(plain)
    del fields[name]
    broken = sealed(dagcbor.encode(fields))
    with pytest.raises(IntegrityError):
        open_pending(broken, PATIENT)


def test_another_version_is_refused(pending: PendingGrant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_VERSION", 3)
    newer = seal_pending(pending, PATIENT)
    monkeypatch.undo()
    with pytest.raises(IntegrityError, match="version 3, expected 2"):
        open_pending(newer, PATIENT)


def test_every_proxy_gets_a_kfrag_for_each_lane_and_is_struck_off_once_it_has_it(pending: PendingGrant) -> None:
    assert {len(kfrags) for kfrags in pending.shares.values()} == {len(pending.terms.lanes)}
    first = OFFER.proxies[0].address
    left = pending.without_shares_of({first})
    assert (pending.held, left.held, left.lacking) == (0, 1, 2)
    assert first not in left.shares


def test_its_state_follows_from_what_it_holds(pending: PendingGrant) -> None:
    chain = OnChainPolicy(pending.policy_id, PolicyStatus.ACTIVE, 0, 0, pending.grant.terms)
    served = pending.without_shares_of({proxy.address for proxy in OFFER.proxies[:2]})
    assert [pending.state(None, now) for now in (4, 5, 10)] == [State.WAITING, State.SIGNED, State.OVERDUE]
    assert [one.state(chain, 5) for one in (pending, served, replace(served, served=True))] == [
        *(State.ON_CHAIN, State.SERVING, State.SERVED),
    ]


def test_is_the_grant_of_the_offer_that_replaces_or_answers_the_same(pending: PendingGrant) -> None:
    offer = replace(OFFER, replaces=OLD, disclosure=Disclosure(purposes=1))
    assert pending.is_for(offer)
    assert not pending.is_for(replace(offer, replaces=None))
    assert not pending.is_for(replace(offer, request=1))
    assert not pending.is_for(replace(offer, disclosure=Disclosure()))
    assert not pending.is_for(replace(offer, threshold=3))
