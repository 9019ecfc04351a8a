"""What the SDK says to proxies, and that it believes none of them; tests/unit/proxy lets them lie."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panachain.crypto import umbral
from panachain.errors import ChainUnavailableError, IntegrityError, PanaChainError, ProxiesUnavailableError
from panachain.model.actors import Actor, Role
from panachain.model.policy import ReceiptKind, Terms
from panachain.model.scope import Purpose
from panachain.proxy import messages
from panachain.sdk import proxies as subject
from tests.twin.world import PROXIES, THRESHOLD, TwinProxy, World
from tests.unit.sdk.helpers import grant, upload


def terms_of(world: World) -> Terms:
    made = grant(world)
    terms: Terms = world.patient._policies.find(made.policy_id).terms
    return terms


def test_ready_means_at_least_the_threshold(world: World) -> None:
    proxies, parts = world.network.proxies(), world.patient._proxies
    world.proxies[0].up = False
    parts.check_ready(proxies, THRESHOLD)
    world.proxies[1].up = False
    with pytest.raises(ProxiesUnavailableError, match="1 of 3 proxies are ready, 2 are needed"):
        parts.check_ready(proxies, THRESHOLD)


def test_a_deposit_that_is_repeated_gives_the_same_receipt(world: World) -> None:
    world.proxies[0].up = False
    made = grant(world)
    world.proxies[0].up = True
    (pending,) = world.patient._grants._journal.read()
    account, digest = world.patient._policies.account(pending.index), pending.grant.terms
    first, failures = world.patient._proxies.deposit(pending.terms, pending.shares, account, digest)
    second, _ = world.patient._proxies.deposit(pending.terms, pending.shares, account, digest)
    assert (len(first), failures, first) == (1, [], second)
    assert (first[0].proxy, first[0].policy_id) == (world.proxies[0].address, made.policy_id)


def test_a_deletion_says_who_signed_it_and_why_others_did_not(world: World) -> None:
    made = grant(world)
    own = world.patient._policies.find(made.policy_id)
    right = world.patient._policies.sign_revocation(own.index)
    wrong = replace(world.patient._policies.sign_revocation(own.index + 1), policy_id=made.policy_id)
    # The owner didn't sign it: no proxy deletes for somebody who only says so.
    good, failures = world.patient._proxies.delete(own.terms.proxies, wrong)
    assert (good, len(failures)) == ([], PROXIES)
    world.proxies[2].up = False
    good, failures = world.patient._proxies.delete(own.terms.proxies, right)
    assert {receipt.kind for receipt in good} == {ReceiptKind.DELETED}
    assert (len(good), len(failures)) == (PROXIES - 1, 1)


def test_a_proxy_of_an_earlier_version_looks_at_the_chain(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = grant(world)
    own = world.patient._policies.find(made.policy_id)
    revocation = world.patient._policies.sign_revocation(own.index)
    real, not_found = TwinProxy.answer, b'{"type":"urn:panachain:problem/not-found","detail":"no such path"}'
    monkeypatch.setattr(
        TwinProxy,
        "answer",
        lambda proxy, path, body: (404, not_found) if path == "/v1/delete" else real(proxy, path, body),
    )
    good, failures = world.patient._proxies.delete(own.terms.proxies, revocation)
    assert (good, len(failures)) == ([], PROXIES)
    world.network.relay().revoke(made.policy_id, revocation.signature)
    good, failures = world.patient._proxies.delete(own.terms.proxies, revocation)
    assert (len(good), failures) == (PROXIES, [])


def test_receipts_are_told_to_the_policys_own_key_only(world: World) -> None:
    terms = terms_of(world)
    parts = world.patient._proxies
    receipts, failures = parts.receipts(terms, world.patient._policies.account(0))
    assert (len(receipts), failures) == (PROXIES, [])
    with pytest.raises(PanaChainError):
        parts.receipts(terms, world.patient._policies.account(1))


def test_a_receipt_of_another_policy_is_a_lie(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    terms = terms_of(world)
    real = messages.parse_receipt
    monkeypatch.setattr(
        subject.messages, "parse_receipt", lambda fields: replace(real(fields), policy_id="0x" + "11" * 20)
    )
    with pytest.raises(IntegrityError, match="is about something else"):
        world.patient._proxies.receipts(terms, world.patient._policies.account(0))


def test_unwrapping_needs_the_threshold_and_gives_every_key(world: World) -> None:
    upload(world, 2)
    made = grant(world)
    reader, terms = world.clinician._own_terms(world.network.mainchain.policies.policy_of(made.policy_id))
    assert world.clinician._proxies.unwrap(reader, terms, 0, {}, Purpose.TREAT).messages == {}
    assert len(list(world.clinician.open(made.policy_id))) == 2
    for proxy in world.proxies[:2]:
        proxy.up = False
    with pytest.raises(ProxiesUnavailableError):
        list(world.clinician.open(made.policy_id))


class TestClock:
    def test_a_clock_that_is_clearly_ahead_gives_way_to_the_chains(self, world: World) -> None:
        parts = world.patient._proxies
        assert parts.now() == world.now
        head = world.network.mainchain.head_block().time
        for wrong, expected in ((120, head + 120), (121, head), (-120, head - 120)):
            world.network.clock = lambda wrong=wrong: float(head + wrong)
            assert parts.now() == expected

    @pytest.mark.parametrize("ahead", [121, 3600, 30 * 86_400])
    def test_nothing_is_signed_for_the_time_of_a_head_from_the_future(self, world: World, ahead: int) -> None:
        head = world.network.mainchain.head_block().time
        world.network.clock = lambda: float(head - ahead)
        with pytest.raises(ChainUnavailableError, match=f"{ahead} s ahead of this machine's clock"):
            world.patient._proxies.now()

    @pytest.mark.parametrize("ahead", [3600, 30 * 86_400])
    def test_a_receipt_from_the_future_is_none(self, world: World, ahead: int) -> None:
        terms = terms_of(world)
        ((receipt, *_), _) = world.patient._proxies.receipts(terms, world.patient._policies.account(0))
        proxy = terms.proxies[0]
        wrong = replace(receipt, at=world.now + ahead)
        with pytest.raises(IntegrityError, match=f"{ahead} s from now"):
            world.patient._proxies._check(wrong, proxy, terms.policy_id)

    def test_requests_count_for_less_than_a_minute(self, world: World) -> None:
        """A proxy whose clock is an hour ahead refuses them."""
        upload(world)
        made = grant(world)
        world.clock.now += 3600
        world.network.clock = lambda: float(world.now - 3600)
        with pytest.raises(PanaChainError):
            list(world.clinician.open(made.policy_id))


def test_proxies_that_no_registry_knows_are_asked_nothing_whatever_the_terms_say(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(world)
    made = grant(world)
    reader, terms = world.clinician._own_terms(world.network.mainchain.policies.policy_of(made.policy_id))
    asked: list[str] = []
    monkeypatch.setattr(world, "answer", lambda request: asked.append(str(request.url)))
    stranger = replace(terms.proxies[0], address=world.patient.address, endpoint="https://inside.example/shutdown")
    strangers = replace(terms, proxies=(stranger, replace(stranger, address=world.hospital.address)))
    with pytest.raises(ProxiesUnavailableError, match="0 of 2") as caught:
        world.clinician._proxies.unwrap(reader, strangers, 0, {"x": _wrap(terms)}, Purpose.TREAT)
    assert asked == []
    assert world.patient.address in str(caught.value)
    revocation = world.patient._policies.sign_revocation(0)
    good, failures = world.patient._proxies.delete(world.network.reachable(strangers.proxies), revocation)
    assert (good, len(failures), asked) == ([], 2, [])
    assert "endpoint" in str(failures[0])


def _wrap(terms: Terms) -> bytes:
    return umbral.wrap(terms.lanes[0].delegating_key, b"k" * 32)


def test_a_registered_proxy_that_moved_to_an_address_inside_counts_as_down(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(world)
    made = grant(world)
    actors = world.network.mainchain.actors
    find, moved = actors.find, world.proxies[0].address

    def found(*roles: Role) -> list[Actor]:
        return [
            replace(actor, endpoint="http://127.0.0.1:5001/api/v0/shutdown?") if actor.address == moved else actor
            for actor in find(*roles)
        ]

    monkeypatch.setattr(actors, "find", found)
    with pytest.raises(ProxiesUnavailableError, match="2 of 3 proxies are ready"):
        world.patient._proxies.check_ready(world.network.proxies(), PROXIES)
    assert len(list(world.clinician.open(made.policy_id))) == 1
