"""Wardships: who proposes, accepts and attests, in what the carer acts until when, and what an end does."""

from __future__ import annotations

from typing import Any

import ape
import pytest

from tests.contracts.conftest import KEYS, NOBODY, PATIENT

NONE, PROPOSED, ACCEPTED, IN_FORCE, OVER, ENDED = range(6)
ACTIVE, SUSPENDED = 1, 2
PAPERS, HANDOVER = b"p" * 32, b"h" * 32
ALL, KEPT = 0x1FFFFF, 1 << 15
DAY = 86_400


@pytest.fixture
def family(identities: Any, people: dict[str, Any], registrar: Any, stranger: Any, relay: Any) -> dict[str, Any]:
    """The ward, the carer, and the account through which the carer acts."""
    for account in (stranger, relay):
        identities.register(account, PATIENT, bytes(32), KEYS, NOBODY, b"", sender=registrar)
    return {"ward": people["patient"], "carer": stranger, "account": relay}


@pytest.fixture
def ends_at(chain: Any) -> int:
    return int(chain.pending_timestamp) + 100 * DAY


def terms(family: dict[str, Any], ends_at: int, keeps_from: int = 0, keeps: int = 0) -> tuple[Any, ...]:
    return (family["ward"], ends_at, family["carer"], keeps_from, ALL, keeps, PAPERS, HANDOVER)


@pytest.fixture
def number(wardships: Any, family: dict[str, Any], ends_at: int, registrar: Any) -> int:
    """Of a wardship that is in force."""
    wardships.propose(terms(family, ends_at, ends_at - DAY, KEPT), sender=family["account"])
    made = int(wardships.wardshipCount())
    wardships.accept(made, sender=family["carer"])
    wardships.start(made, sender=registrar)
    return made


class TestBeginning:
    def test_three_sign_and_the_carer_acts(
        self, wardships: Any, family: dict[str, Any], ends_at: int, registrar: Any
    ) -> None:
        receipt = wardships.propose(terms(family, ends_at), sender=family["account"])
        event = next(iter(receipt.decode_logs(wardships.WardshipProposed)))
        assert (event.id, event.ward, event.account) == (1, family["ward"].address, family["account"].address)
        assert (event.carer, event.categories, event.endsAt) == (family["carer"].address, ALL, ends_at)
        assert (event.papers, event.handover) == (PAPERS, HANDOVER)
        assert wardships.stateOf(1) == PROPOSED
        wardships.accept(1, sender=family["carer"])
        assert (wardships.stateOf(1), wardships.categoriesOf(1)) == (ACCEPTED, 0)
        wardships.start(1, sender=registrar)
        assert (wardships.stateOf(1), wardships.categoriesOf(1)) == (IN_FORCE, ALL)
        assert wardships.currentOf(family["ward"]) == wardships.wardshipOfAccount(family["account"]) == 1

    def test_nobody_signs_for_another(
        self, wardships: Any, family: dict[str, Any], ends_at: int, people: dict[str, Any]
    ) -> None:
        wardships.propose(terms(family, ends_at), sender=family["account"])
        for caller in (family["ward"], family["account"], people["doctor"]):
            with ape.reverts(wardships.WardshipNotYours, id=1, caller=caller.address):
                wardships.accept(1, sender=caller)
        wardships.accept(1, sender=family["carer"])
        for caller in family.values():
            with ape.reverts():
                wardships.start(1, sender=caller)
        assert wardships.stateOf(1) == ACCEPTED


class TestEnd:
    def test_at_its_time_it_is_over_without_a_transaction(
        self, wardships: Any, family: dict[str, Any], number: int, ends_at: int, chain: Any
    ) -> None:
        chain.mine(timestamp=ends_at - DAY)
        assert wardships.categoriesOf(number) == ALL & ~KEPT
        chain.mine(timestamp=ends_at)
        assert (wardships.stateOf(number), wardships.categoriesOf(number)) == (OVER, 0)
        assert wardships.currentOf(family["ward"]) == 0

    def test_anybody_has_the_account_suspended_afterwards_and_not_before(
        self, wardships: Any, family: dict[str, Any], number: int, ends_at: int, chain: Any, people: dict[str, Any],
        identities: Any,
    ) -> None:  # fmt: skip
        with ape.reverts(wardships.WardshipUnexpectedState, id=number, state=IN_FORCE):
            wardships.conclude(number, sender=people["doctor"])
        chain.mine(timestamp=ends_at)
        wardships.conclude(number, sender=people["doctor"])
        assert identities.identityOf(family["account"]).status == SUSPENDED
        assert identities.identityOf(family["carer"]).status == ACTIVE
        assert wardships.wardshipOf(number).concluded
        with ape.reverts(identities.IdentityNotActivePatient, account=family["account"].address):
            identities.pair(people["doctor"], PAPERS, sender=family["account"])

    def test_what_is_reinstated_afterwards_stays_so(
        self, wardships: Any, family: dict[str, Any], number: int, ends_at: int, chain: Any, identities: Any,
        registrar: Any,
    ) -> None:  # fmt: skip
        chain.mine(timestamp=ends_at)
        wardships.conclude(number, sender=family["ward"])
        identities.reinstate(family["account"], sender=registrar)
        with ape.reverts(wardships.WardshipNothingToConclude, id=number):
            wardships.conclude(number, sender=family["ward"])
        assert identities.identityOf(family["account"]).status == ACTIVE

    def test_what_never_began_closes_no_account(
        self, wardships: Any, family: dict[str, Any], ends_at: int, chain: Any, identities: Any
    ) -> None:
        wardships.propose(terms(family, ends_at), sender=family["account"])
        chain.mine(timestamp=ends_at)
        with ape.reverts(wardships.WardshipNothingToConclude, id=1):
            wardships.conclude(1, sender=family["ward"])
        assert identities.identityOf(family["account"]).status == ACTIVE

    @pytest.mark.parametrize("who", ["carer", "account", "registrar"])
    def test_who_may_end_it_ahead_of_its_time(
        self, wardships: Any, family: dict[str, Any], number: int, registrar: Any, identities: Any, who: str
    ) -> None:
        with ape.reverts(wardships.WardshipNotYours, id=number):
            wardships.end(number, sender=family["ward"])
        if who == "registrar":
            wardships.endByRegistrar(number, sender=registrar)
        else:
            wardships.end(number, sender=family[who])
        assert wardships.stateOf(number) == ENDED
        assert identities.identityOf(family["account"]).status == SUSPENDED
