"""A relay that takes tokens: strangers spend nothing of its purse, each token pays once, and revocations need none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panachain.crypto.blind_rsa import IssuerKey
from panachain.crypto.tokens import ask, challenge
from panachain.errors import IntegrityError
from panachain.model.policy import OnChainPolicy, PolicyStatus
from panachain.service.problems import ProblemError
from panachain.service.relay.service import Budget, RelayService
from panachain.service.relay.store import RelayStore
from panachain.service.relay.tokens import Till, TokenRules
from tests.unit.service.relay.world import TwinSender, even, policy_id, running, signed_grant

KEY = IssuerKey.random()
RULES = TokenRules((KEY.public,), "issuer.test", "http://relay.test", 1000)


class Clock:
    now = 5500.0

    def __call__(self) -> float:
        return self.now


def token(*, period: int = 5, key: IssuerKey = KEY, origin: str = RULES.origin) -> bytes:
    made = ask(key.public, challenge(RULES.issuer, origin, period))
    return made.token(key.sign_blinded(made.blinded))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def relay(tmp_path: Path, clock: Clock) -> Iterator[RelayService]:
    with running(tmp_path, till=Till(RULES, clock=clock)) as service:
        yield service


def granted(relay: RelayService, number: int) -> None:
    """Let the chain know a policy."""
    known = OnChainPolicy(policy_id(number), PolicyStatus.ACTIVE, 1, 9, bytes(32))
    relay._mainchain.policies.policy_of = lambda _: known  # type: ignore[method-assign]


def slug(relay: RelayService, order: Any, paid: bytes = b"") -> str:
    """Return `mined`, or what an order's problem is."""
    try:
        return relay.submit(order, paid).result(60).state
    except ProblemError as exc:
        return exc.kind.slug


class TestGrants:
    def test_a_strangers_cost_nothing(self, relay: RelayService) -> None:
        asked: list[str] = []
        real = relay._mainchain.rpc.call
        relay._mainchain.rpc.call = lambda method, params=(): asked.append(method) or real(method, params)  # type: ignore[method-assign]
        left = relay.left()
        for number in range(30):
            assert slug(relay, relay.grant(*signed_grant(number))) == "token-needed"
        assert (relay.left(), asked) == (left, [])

    def test_a_token_pays_once(self, relay: RelayService) -> None:
        paid = token()
        assert slug(relay, relay.grant(*signed_grant(2)), paid) == "mined"
        assert slug(relay, relay.grant(*signed_grant(4)), paid) == "token-spent"
        assert slug(relay, relay.grant(*signed_grant(4)), token()) == "mined"

    def test_the_same_grant_again_needs_no_second_token(self, relay: RelayService) -> None:
        paid = token()
        for again in (paid, paid, b""):
            assert slug(relay, relay.grant(*signed_grant(2)), again) == "mined"

    def test_a_token_that_buys_nothing_is_not_spent(self, relay: RelayService) -> None:
        paid = token()
        grant, _ = signed_grant(3)
        # The twin refuses what has an odd last byte.
        assert slug(relay, relay.grant(grant, bytes(63) + b"\x01"), paid) == "would-revert"
        budget, relay._budget = relay._budget, Budget(0, 0)
        assert slug(relay, relay.grant(*signed_grant(6)), paid) == "budget-exhausted"
        relay._budget = budget
        assert slug(relay, relay.grant(*signed_grant(8)), paid) == "mined"

    def test_tokens_of_another_relay_issuer_or_time_are_none(self, relay: RelayService, clock: Clock) -> None:
        order = relay.grant(*signed_grant(2))
        others = [token(period=3), token(period=6), token(key=IssuerKey.random()), token(origin="http://other.test")]
        spoilt = bytearray(token())
        spoilt[200] ^= 1
        for wrong in (*others, bytes(spoilt), bytes(354), b"x"):
            assert slug(relay, order, wrong) == "token-needed"
        # Of this period and of the one before.
        assert slug(relay, order, token(period=4)) == "mined"
        clock.now += 1000
        assert slug(relay, relay.grant(*signed_grant(4)), token(period=4)) == "token-needed"
        assert slug(relay, relay.grant(*signed_grant(4)), token(period=5)) == "mined"

    def test_an_issuer_may_change_its_key(self, tmp_path: Path, clock: Clock) -> None:
        new = IssuerKey.random()
        both = replace(RULES, keys=(new.public, KEY.public))
        with running(tmp_path, till=Till(both, clock=clock)) as relay:
            assert slug(relay, relay.grant(*signed_grant(2)), token()) == "mined"
            assert slug(relay, relay.grant(*signed_grant(4)), token(key=new)) == "mined"

    def test_what_was_spent_is_known_after_a_restart(self, tmp_path: Path, clock: Clock) -> None:
        paid = token()
        for number, expected in ((2, "mined"), (4, "token-spent")):
            with running(tmp_path, till=Till(RULES, clock=clock)) as relay:
                assert slug(relay, relay.grant(*signed_grant(number)), paid) == expected


class TestRevocations:
    def test_of_a_granted_policy_need_no_token_also_with_an_empty_purse(self, relay: RelayService) -> None:
        granted(relay, 2)
        relay._budget = Budget(0, 10**6)
        assert slug(relay, relay.revocation(policy_id(2), even())) == "mined"

    def test_of_what_was_never_granted_need_one(self, relay: RelayService) -> None:
        order = relay.revocation(policy_id(2), even())
        assert slug(relay, order) == "token-needed"
        assert slug(relay, order, token()) == "mined"

    def test_one_policy_has_one_on_its_way(self, tmp_path: Path, clock: Clock) -> None:
        sent: list[str] = []

        class Counting(TwinSender):
            def send(self, to: str, data: str, *, what: str, signed: Any) -> Any:
                sent.append(data)
                return super().send(to, data, what=what, signed=signed)

        store = RelayStore(tmp_path / "own.sqlite")
        with running(tmp_path, till=Till(RULES, clock=clock), sender=Counting()) as started:
            granted(started, 2)
            # One that isn't started: what it takes waits.
            waiting = RelayService(
                started._mainchain, started._sender, store, Budget(10**9, 0), till=Till(RULES, clock=clock)
            )
            outcomes = [waiting.submit(waiting.revocation(policy_id(2), even(number))) for number in range(2, 20)]
            assert (len(set(map(id, outcomes))), waiting.waiting()) == (1, 1)
        store.close()


def test_without_an_issuer_anybody_is_paid_for(tmp_path: Path) -> None:
    with running(tmp_path) as relay:
        assert slug(relay, relay.grant(*signed_grant(2))) == "mined"
        assert relay.describe()["token_issuer"] == ""


def test_says_whose_tokens_it_takes(relay: RelayService) -> None:
    assert relay.describe()["token_issuer"] == "issuer.test"


class TestRules:
    GOOD: dict[str, Any] = {"issuer": "i", "url": "https://r/", "keys": [KEY.public.encoded.hex()]}  # noqa: RUF012

    def test_are_read_from_a_configuration(self) -> None:
        rules = TokenRules.parse(self.GOOD | {"periodSeconds": 60})
        assert (rules.issuer, rules.origin, rules.period, len(rules.keys)) == ("i", "https://r", 60, 1)

    @pytest.mark.parametrize("change", [{"keys": []}, {"keys": ["00"]}, {"keys": ["zz"]}, {"periodSeconds": 0}])
    def test_what_does_not_fit_is_told(self, change: dict[str, Any]) -> None:
        with pytest.raises((ValueError, IntegrityError)):
            TokenRules.parse(self.GOOD | change)


def test_spent_tokens_are_forgotten_when_their_periods_are_over(tmp_path: Path) -> None:
    clock = Clock()
    store = RelayStore(tmp_path / "own.sqlite", clock=clock)
    assert store.spend(b"a" * 32, "one", since=0)
    assert store.spend(b"a" * 32, "one", since=0)
    assert not store.spend(b"a" * 32, "two", since=0)
    clock.now += 10 * 86_400
    assert store.spend(b"b" * 32, "two", since=int(clock.now))
    assert store._durable._db.execute("SELECT count(*) FROM spent").fetchone() == (1,)
    store.close()
