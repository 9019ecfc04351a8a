"""Offers: one that exists can be granted, and the same one is known again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panachain.consent.grant import prepare_grant
from panachain.consent.offer import Offer, disclosure_of, scopes_of
from panachain.crypto.keys import Seed, address_of
from panachain.errors import UsageError
from panachain.model.actors import Actor, Address, Role, Status
from panachain.model.policy import ProxyRef, Terms
from panachain.model.scope import EMERGENCY, RESTRICTED, Category, Generations, Purpose, Scope

PATIENT, READER, OTHER = (Seed(bytes([number]) * 32) for number in (1, 2, 3))
DAY = 86_400


def actor(seed: Seed) -> Actor:
    account = address_of(seed.account_key())
    return Actor.of(account, Role.PRACTITIONER, seed.public_keys(), status=Status.ACTIVE)


def proxies(count: int) -> tuple[ProxyRef, ...]:
    return tuple(ProxyRef(Address(f"0x{number:040x}"), "", b"\2" * 32) for number in range(count))


OFFER = Offer(
    grantee=actor(READER),
    scopes=(Scope.of(Category.LABORATORY), Scope.of(Category.VITALS, 2024)),
    purposes=(Purpose.TREAT,),
    starts_at=1000,
    expires_at=1000 + 30 * DAY,
    threshold=2,
    proxies=proxies(3),
)


def terms_of(offer: Offer) -> Terms:
    patient = address_of(PATIENT.account_key())
    return prepare_grant(PATIENT, offer, index=0, patient=patient, generations=Generations()).terms


@pytest.mark.parametrize("expires_at", [1000, 999, 0])
def test_an_empty_window_is_refused(expires_at: int) -> None:
    with pytest.raises(UsageError, match="the window is empty"):
        replace(OFFER, expires_at=expires_at)


@pytest.mark.parametrize("threshold", [0, 1, 4])
def test_a_threshold_that_doesnt_fit_is_refused(threshold: int) -> None:
    with pytest.raises(UsageError, match="doesn't fit 3 proxies"):
        replace(OFFER, threshold=threshold)


def test_terms_are_those_of_their_offer_and_of_the_same_one_a_moment_later() -> None:
    terms = terms_of(OFFER)
    assert OFFER.is_that_of(terms)
    assert replace(OFFER, starts_at=1010, expires_at=OFFER.expires_at + 10).is_that_of(terms)
    assert replace(OFFER, scopes=OFFER.scopes[::-1]).is_that_of(terms)


@pytest.mark.parametrize("seconds", [-DAY, DAY])
def test_an_end_a_day_off_is_still_the_same_offers(seconds: int) -> None:
    assert replace(OFFER, expires_at=OFFER.expires_at + seconds).is_that_of(terms_of(OFFER))


@pytest.mark.parametrize(
    "changed",
    [
        {"grantee": actor(OTHER)},
        {"grantee": replace(actor(READER), key_digest=actor(OTHER).key_digest, keys=actor(OTHER).keys)},
        {"scopes": OFFER.scopes[:1]},
        {"purposes": (Purpose.ETREAT,)},
        {"threshold": 3},
        {"proxies": proxies(2)},
        {"expires_at": OFFER.expires_at + DAY + 1},
    ],
)
def test_terms_are_not_those_of_another_offer(changed: dict[str, object]) -> None:
    assert not replace(OFFER, **changed).is_that_of(terms_of(OFFER))  # type: ignore[arg-type]


def test_years_narrow_categories_and_not_everything() -> None:
    assert scopes_of(["vitals", "laboratory", "vitals"], [2024]) == (
        Scope.of(Category.VITALS, 2024),
        Scope.of(Category.LABORATORY, 2024),
    )
    with pytest.raises(UsageError, match="years can't narrow"):
        scopes_of(["all"], [2024])
    with pytest.raises(UsageError, match="at least one category"):
        scopes_of([])


def test_an_open_policy_tells_no_year_and_of_everything_no_restricted_category() -> None:
    narrow = disclosure_of([Scope.of(Category.VITALS, 2024)], [Purpose.HRESCH])
    assert narrow == disclosure_of([Scope.of(Category.VITALS)], [Purpose.HRESCH])
    assert (narrow.purposes, narrow.categories) == (Purpose.HRESCH.bit, Category.VITALS.bit)
    everything = disclosure_of([Scope.all()], [Purpose.HRESCH]).categories
    assert not any(everything & category.bit for category in RESTRICTED)
    assert everything & Category.VITALS.bit


def test_an_open_emergency_policy_tells_the_categories_of_the_summary() -> None:
    told = disclosure_of([Scope.emergency()], [Purpose.HRESCH]).categories
    assert told == sum(category.bit for category in EMERGENCY)
