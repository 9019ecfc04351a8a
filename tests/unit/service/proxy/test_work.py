"""Work goes in pieces, looks first at what costs nothing, and ends at the first thing that is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from panachain.crypto import umbral
from panachain.errors import IntegrityError, PolicyRevokedError, RateLimitedError, UsageError
from panachain.model.proxy_requests import DepositedLane
from panachain.service.proxy.service import Rates
from panachain.service.proxy.work import PIECE
from tests.unit.service.proxy_world import Policy, ProxyWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ProxyWorld]:
    made = ProxyWorld(tmp_path, count=2)
    yield made
    made.close()


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What costs multiplications of the curve, in the order in which it was done."""
    done: list[str] = []

    def counted(name: str) -> None:
        real: Any = getattr(umbral, name)

        def call(first: Any, *args: Any, **keys: Any) -> Any:
            done.extend([name] * (len(first) if isinstance(first, tuple) else 1))
            return real(first, *args, **keys)

        monkeypatch.setattr(umbral, name, call)

    counted("check_kfrag")
    counted("reencrypt_many")
    return done


def lanes(policy: Policy, count: int, *, bad: int | None = None, at: int = 60) -> tuple[DepositedLane, ...]:
    """Return that many lanes with the same kfrag, one of which may be spoilt at a byte."""
    made = [DepositedLane(policy.lane.public, policy.kfrags[0])] * count
    if bad is not None:
        spoilt = bytearray(policy.kfrags[0])
        spoilt[at] ^= 1
        made[bad] = DepositedLane(policy.lane.public, bytes(spoilt))
    return tuple(made)


class TestDeposits:
    def test_the_first_bad_kfrag_ends_it(self, world: ProxyWorld, checked: list[str]) -> None:
        policy = world.grant(deposit=False)
        request = world.deposit_request(policy, 0, lanes=lanes(policy, 40, bad=2))
        with pytest.raises(IntegrityError):
            world.services[0].deposit(request)
        assert len(checked) == 3

    def test_what_is_none_at_a_look_costs_no_curve(self, world: ProxyWorld, checked: list[str]) -> None:
        policy = world.grant(deposit=False)
        # The last byte says which keys are signed; the base point begins at byte 4.
        for at in (309, 10):
            request = world.deposit_request(policy, 0, lanes=lanes(policy, 40, bad=39, at=at))
            with pytest.raises(IntegrityError):
                world.services[0].deposit(request)
        assert checked == []

    def test_one_whose_last_kfrag_is_bad_costs_its_sender_all_its_lanes(
        self, world: ProxyWorld, checked: list[str]
    ) -> None:
        service = world.service(world.seeds[0], world.stores[0], rates=Rates(lanes=100))
        policy = world.grant(deposit=False)
        with pytest.raises(IntegrityError):
            service.deposit(world.deposit_request(policy, 0, lanes=lanes(policy, 60, bad=59)))
        assert len(checked) == 60
        with pytest.raises(RateLimitedError, match="too many lanes of this policy: at most 100"):
            service.deposit(world.deposit_request(policy, 0, lanes=lanes(policy, 60, bad=59)))
        assert len(checked) == 60

    def test_the_same_one_again_is_refused_before_any_work(self, world: ProxyWorld, checked: list[str]) -> None:
        policy = world.grant(deposit=False)
        request = world.deposit_request(policy, 0, lanes=lanes(policy, 3, bad=2))
        with pytest.raises(IntegrityError):
            world.services[0].deposit(request)
        for _ in range(10):
            with pytest.raises(UsageError, match="sent before"):
                world.services[0].deposit(request)
        assert len(checked) == 3

    def test_what_is_known_is_not_checked_again(self, world: ProxyWorld, checked: list[str]) -> None:
        policy = world.grant()
        checked.clear()
        first = world.stores[0].receipts(policy.terms.policy_id)[0]
        answer = world.services[0].deposit(world.deposit_request(policy, 0, lanes=lanes(policy, 50, bad=49)))
        assert (checked, answer["receipt"]["signature"]) == ([], first.signature.hex())

    def test_of_a_stranger_who_has_no_policy_nothing_is_kept(self, world: ProxyWorld) -> None:
        policy = world.grant(deposit=False)
        del world.chain.policies[policy.terms.policy_id]
        store = world.stores[0]
        with pytest.raises(Exception, match="no such policy"):
            world.services[0].deposit(world.deposit_request(policy, 0))
        assert [store._read(f"SELECT count(*) FROM {table}")[0][0] for table in ("nonce", "counted")] == [0, 0]


class TestReencryptions:
    def test_goes_in_pieces(self, world: ProxyWorld) -> None:
        policy = world.grant()
        wraps = world.request(policy).capsules * (2 * PIECE + 1)
        work = world.services[0].begin_reencryption(world.request(policy, capsules=wraps))
        seen = []
        while not work.done:
            work.step()
            seen.append(len(work.cfrags))
        assert seen == [PIECE, 2 * PIECE, 2 * PIECE + 1]
        assert len(world.services[0].finish_reencryption(work)["cfrags"]) == len(wraps)

    def test_the_first_bad_capsule_ends_it(self, world: ProxyWorld, checked: list[str]) -> None:
        policy = world.grant()
        checked.clear()
        good = world.request(policy).capsules
        request = world.request(policy, capsules=good * 5 + (os.urandom(105),) + good * 3 * PIECE)
        with pytest.raises(IntegrityError):
            world.services[0].reencrypt(request)
        assert checked.count("reencrypt_many") <= PIECE

    def test_the_same_one_again_is_refused_before_any_work(self, world: ProxyWorld, checked: list[str]) -> None:
        policy = world.grant()
        checked.clear()
        request = world.request(policy, capsules=world.request(policy).capsules * 9 + (os.urandom(105),))
        with pytest.raises(IntegrityError):
            world.services[0].reencrypt(request)
        before = len(checked)
        for _ in range(80):
            with pytest.raises(UsageError, match="sent before"):
                world.services[0].reencrypt(request)
        assert len(checked) == before

    def test_a_bad_request_costs_its_sender_all_its_capsules(self, world: ProxyWorld) -> None:
        service = world.service(world.seeds[0], world.stores[0], rates=Rates(capsules=25))
        policy = world.grant()
        good = world.request(policy).capsules
        with pytest.raises(IntegrityError):
            service.reencrypt(world.request(policy, capsules=good * 19 + (os.urandom(105),)))
        with pytest.raises(RateLimitedError, match="too many capsules of this signer: at most 25"):
            service.reencrypt(world.request(policy, capsules=good * 6))
        assert service.reencrypt(world.request(policy, capsules=good * 5))["cfrags"]

    def test_members_of_a_group_share_what_its_policy_may_have(self, world: ProxyWorld) -> None:
        service = world.service(world.seeds[0], world.stores[0], rates=Rates(opened=10))
        policy = world.grant()
        good = world.request(policy).capsules
        service.reencrypt(world.request(policy, capsules=good * 6))
        with pytest.raises(RateLimitedError, match="too many capsules of this policy"):
            service.reencrypt(world.request(policy, capsules=good * 6))

    def test_one_that_waited_past_a_revocation_is_not_answered(self, world: ProxyWorld) -> None:
        policy = world.grant()
        work = world.services[0].begin_reencryption(world.request(policy))
        work.step()
        world.chain.waiting.add(policy.terms.policy_id)
        world.chain.now += 2
        with pytest.raises(PolicyRevokedError):
            world.services[0].finish_reencryption(work)
        assert len(world.stores[0].receipts(policy.terms.policy_id)) == 1

    def test_one_that_is_being_looked_at_is_not_looked_at_twice(self, world: ProxyWorld) -> None:
        policy = world.grant()
        request, service = world.request(policy), world.services[0]
        seen: list[str] = []
        real = world.chain.policy

        def policy_of(policy_id: Any) -> Any:
            # While the chain is asked for the first one, the second one comes.
            if not seen:
                seen.append("first")
                with pytest.raises(UsageError, match="sent before"):
                    service.begin_reencryption(request)
            return real(policy_id)

        world.chain.policy = policy_of  # type: ignore[method-assign]
        assert service.reencrypt(request)["cfrags"]
        assert service._in_hand == set()
