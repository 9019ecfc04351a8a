"""ActorRegistry: who admits, suspends and reinstates, and what ledger and log learn of it."""

from __future__ import annotations

from typing import Any

import ape
import pytest
from eth_abi import encode
from eth_utils import keccak

from tests.contracts.conftest import HOSPITAL, KEYS, NOBODY, PROXY, RESEARCHER

UNKNOWN, ACTIVE, SUSPENDED = range(3)


class TestRegister:
    def test_registrar_admits_and_others_do_not(
        self, actors: Any, registrar: Any, hospital: Any, stranger: Any, admin: Any
    ) -> None:
        for nobody in (stranger, hospital, admin):
            with ape.reverts(actors.AccessManagedUnauthorized):
                actors.register(hospital, HOSPITAL, KEYS, "", NOBODY, sender=nobody)
        receipt = actors.register(hospital, HOSPITAL, KEYS, "https://hospital.example", NOBODY, sender=registrar)

        assert actors.isActive(hospital, HOSPITAL)
        assert not actors.isActive(hospital, PROXY)
        event = next(iter(receipt.decode_logs(actors.ActorRegistered)))
        assert (event.account, event.role, event.endpoint) == (hospital, HOSPITAL, "https://hospital.example")
        assert (event.keyDigest, event.organisation) == (KEYS, NOBODY)

    def test_commits_to_keys_and_organisation(self, actors: Any, registrar: Any, relay: Any, hospital: Any) -> None:
        actors.register(relay, PROXY, KEYS, "", hospital, sender=registrar)

        details = keccak(encode(["bytes32", "address"], [KEYS, hospital.address]))[:30]
        assert tuple(actors.actorOf(relay)) == (PROXY, ACTIVE, details)

    @pytest.mark.parametrize(("role", "ledger_opens", "log_opens"), [(1, 1, 0), (2, 0, 1), (3, 0, 0), (4, 0, 0)])
    def test_tells_the_ledger_of_hospitals_and_the_log_of_proxies(
        self,
        actors: Any,
        ledger: Any,
        access_log: Any,
        registrar: Any,
        relay: Any,
        role: int,
        ledger_opens: int,
        log_opens: int,
    ) -> None:
        actors.register(relay, role, KEYS, "", NOBODY, sender=registrar)

        assert (ledger.ledgerOf(relay).admitted, access_log.anchorOf(relay).admitted) == (ledger_opens, log_opens)

    def test_reverts_for_the_zero_account_and_for_no_role(self, actors: Any, registrar: Any, hospital: Any) -> None:
        for account, role in ((NOBODY, HOSPITAL), (hospital, 0)):
            with ape.reverts(actors.ActorInvalid):
                actors.register(account, role, KEYS, "", NOBODY, sender=registrar)

    def test_reverts_for_who_has_no_keys(self, actors: Any, registrar: Any, hospital: Any) -> None:
        with ape.reverts(actors.ActorWithoutKeys, account=hospital.address):
            actors.register(hospital, HOSPITAL, bytes(32), "", NOBODY, sender=registrar)

    def test_reverts_if_registered_already(self, actors: Any, registrar: Any, hospital: Any) -> None:
        actors.register(hospital, HOSPITAL, KEYS, "", NOBODY, sender=registrar)
        for role in (HOSPITAL, PROXY):
            with ape.reverts(actors.ActorAlreadyRegistered):
                actors.register(hospital, role, KEYS, "", NOBODY, sender=registrar)


class TestSuspend:
    def test_registrar_suspends_and_stranger_does_not(
        self, actors: Any, ledger: Any, registrar: Any, hospital: Any, stranger: Any
    ) -> None:
        actors.register(hospital, HOSPITAL, KEYS, "", NOBODY, sender=registrar)
        with ape.reverts(actors.AccessManagedUnauthorized):
            actors.suspend(hospital, sender=stranger)
        receipt = actors.suspend(hospital, sender=registrar)

        assert next(iter(receipt.decode_logs(actors.ActorSuspended))).account == hospital
        assert actors.actorOf(hospital).status == SUSPENDED
        assert not actors.isActive(hospital, HOSPITAL)
        assert not ledger.ledgerOf(hospital).admitted

    def test_reverts_if_unknown_or_suspended(self, actors: Any, registrar: Any, hospital: Any) -> None:
        with ape.reverts(actors.ActorUnexpectedStatus):
            actors.suspend(hospital, sender=registrar)
        actors.register(hospital, HOSPITAL, KEYS, "", NOBODY, sender=registrar)
        actors.suspend(hospital, sender=registrar)
        with ape.reverts(actors.ActorUnexpectedStatus):
            actors.suspend(hospital, sender=registrar)


class TestReinstate:
    def test_registrar_reinstates_and_stranger_does_not(
        self, actors: Any, access_log: Any, registrar: Any, relay: Any, stranger: Any
    ) -> None:
        actors.register(relay, PROXY, KEYS, "", NOBODY, sender=registrar)
        actors.suspend(relay, sender=registrar)
        assert not access_log.anchorOf(relay).admitted
        with ape.reverts(actors.AccessManagedUnauthorized):
            actors.reinstate(relay, sender=stranger)
        receipt = actors.reinstate(relay, sender=registrar)

        assert next(iter(receipt.decode_logs(actors.ActorReinstated))).account == relay
        assert actors.isActive(relay, PROXY)
        assert access_log.anchorOf(relay).admitted

    def test_reverts_if_unknown_or_active(self, actors: Any, registrar: Any, hospital: Any) -> None:
        with ape.reverts(actors.ActorUnexpectedStatus):
            actors.reinstate(hospital, sender=registrar)
        actors.register(hospital, HOSPITAL, KEYS, "", NOBODY, sender=registrar)
        with ape.reverts(actors.ActorUnexpectedStatus):
            actors.reinstate(hospital, sender=registrar)


class TestConvict:
    def test_rejects_everybody_but_the_access_log(
        self, actors: Any, registrar: Any, relay: Any, stranger: Any, admin: Any
    ) -> None:
        actors.register(relay, PROXY, KEYS, "", NOBODY, sender=registrar)
        for caller in (stranger, registrar, admin, relay):
            with ape.reverts(actors.ActorNotAccessLog):
                actors.convict(relay, sender=caller)
        assert actors.isActive(relay, PROXY)


class TestSetEndpoint:
    def test_the_actor_moves_himself_while_active(self, actors: Any, registrar: Any, relay: Any, stranger: Any) -> None:
        with ape.reverts(actors.ActorUnexpectedStatus):
            actors.setEndpoint("https://elsewhere.example", sender=stranger)
        actors.register(relay, RESEARCHER, KEYS, "", NOBODY, sender=registrar)
        receipt = actors.setEndpoint("https://elsewhere.example", sender=relay)
        event = next(iter(receipt.decode_logs(actors.ActorEndpointChanged)))
        assert (event.account, event.endpoint) == (relay, "https://elsewhere.example")
        actors.suspend(relay, sender=registrar)
        with ape.reverts(actors.ActorUnexpectedStatus):
            actors.setEndpoint("https://again.example", sender=relay)


@pytest.fixture
def ends_at(chain: Any) -> int:
    return int(chain.pending_timestamp) - 60


class TestChangeKeys:
    def test_folds_each_change_into_the_commitment(self, actors: Any, registrar: Any, relay: Any, ends_at: int) -> None:
        actors.register(relay, RESEARCHER, KEYS, "", NOBODY, sender=registrar)
        details = keccak(encode(["bytes32", "address"], [KEYS, NOBODY]))[:30]

        receipt = actors.changeKeys(details, b"\2" * 32, ends_at, sender=relay)

        event = next(iter(receipt.decode_logs(actors.ActorKeysChanged)))
        assert (event.account, event.keyDigest, event.earlierEndsAt) == (relay, b"\2" * 32, ends_at)
        assert event.validFrom == receipt.timestamp
        fields = [details, b"\2" * 32, receipt.timestamp, ends_at]
        folded = keccak(encode(["bytes30", "bytes32", "uint48", "uint48"], fields))[:30]
        assert actors.actorOf(relay).details == folded
        with ape.reverts(actors.ActorKeysChangedMeanwhile):
            actors.changeKeys(details, KEYS, ends_at, sender=relay)

    def test_only_the_actor_changes_keys_while_active(
        self, actors: Any, registrar: Any, relay: Any, stranger: Any, ends_at: int
    ) -> None:
        actors.register(relay, RESEARCHER, KEYS, "", NOBODY, sender=registrar)
        details = actors.actorOf(relay).details
        for nobody in (stranger, registrar):
            with ape.reverts(actors.ActorUnexpectedStatus):
                actors.changeKeys(details, KEYS, ends_at, sender=nobody)
        actors.suspend(relay, sender=registrar)
        with ape.reverts(actors.ActorUnexpectedStatus):
            actors.changeKeys(details, KEYS, ends_at, sender=relay)

    def test_keys_end_at_most_180_days_ago(self, actors: Any, registrar: Any, relay: Any, ends_at: int) -> None:
        actors.register(relay, RESEARCHER, KEYS, "", NOBODY, sender=registrar)
        details = actors.actorOf(relay).details
        for early in (0, ends_at - 181 * 86_400):
            with ape.reverts(actors.ActorKeysEndTooEarly, account=relay.address, earlierEndsAt=early):
                actors.changeKeys(details, b"\2" * 32, early, sender=relay)
        actors.changeKeys(details, b"\2" * 32, ends_at - 179 * 86_400, sender=relay)


class TestActorOf:
    def test_is_empty_for_a_stranger(self, actors: Any, stranger: Any) -> None:
        assert tuple(actors.actorOf(stranger)) == (0, UNKNOWN, bytes(30))
        assert not actors.isActive(stranger, HOSPITAL)
