"""Everybody is told at once; a recipient that hangs, fails or lies holds up no other, and no word of theirs counts."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.errors import ChainUnavailableError, PolicyUnknownError, RelaysUnavailableError
from panachain.model.policy import Terms
from panachain.sdk import taking_back as subject
from panachain.sdk.taking_back import Background, proof_of, take_back
from tests.twin.world import PROXIES, World
from tests.unit.sdk.helpers import grant


def test_work_in_the_background_is_waited_for_as_long_as_one_says() -> None:
    hanging = threading.Event()
    slow, quick = Background(lambda: hanging.wait(60)), Background(lambda: 7)
    assert (quick.result(30), slow.result(0.01), slow.is_over) == (7, None, False)
    hanging.set()
    assert slow.result(30) is True


@pytest.mark.parametrize("error", [ChainUnavailableError("down"), ZeroDivisionError()])
def test_its_failure_is_kept_and_raised_nowhere(error: Exception) -> None:
    def fail() -> None:
        raise error

    work = Background(fail)
    assert (work.result(30), work.is_over) == (None, True)
    assert str(work.error) in ("down", "unforeseen ZeroDivisionError")


def test_pieces_of_work_share_the_seconds_that_somebody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = 100.0, []

    class Hangs:
        def result(self, seconds: float) -> None:
            nonlocal now
            asked.append(seconds)
            now += min(seconds, 30.0)

    monkeypatch.setattr(subject, "time", SimpleNamespace(monotonic=lambda: now))
    hanging: Any = [Hangs(), Hangs(), Hangs()]
    assert subject.results(hanging, 50.0) == [None, None, None]
    assert asked == [50.0, 20.0, 0.0]


def test_proxies_are_told_while_a_relay_hangs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made, hanging = grant(world), threading.Event()
    monkeypatch.setattr(world.network, "relay", lambda *_: SimpleNamespace(revoke=lambda *_: hanging.wait(60)))
    policies = world.patient._policies
    own = policies.find(made.policy_id)
    try:
        taken = take_back(
            world.network,
            world.patient._proxies,
            policies.sign_revocation(own.index),
            terms=lambda: own.terms,
            seconds=0.05,
        )
        assert (taken.proven, len(taken.receipts), taken.taken) == (False, PROXIES, PROXIES)
        assert taken.unsent == ("no relay answered in time",)
    finally:
        hanging.set()


def test_terms_that_hang_hold_up_no_relay(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made, hanging = grant(world), threading.Event()
    revocation = world.patient._policies.sign_revocation(world.patient._policies.index_of(made.policy_id))
    monkeypatch.setattr(subject, "LOOKING", 0.05)

    def terms() -> Terms:
        hanging.wait(60)
        raise PolicyUnknownError("too late")

    try:
        taken = take_back(world.network, world.patient._proxies, revocation, terms=terms)
        assert world.network.mainchain.policies.policy_of(made.policy_id).status.name == "REVOKED"
        assert taken.taken >= 1
    finally:
        hanging.set()


def test_relays_that_took_it_are_counted_though_none_proves_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = grant(world)

    def took(*_: object) -> Any:
        raise RelaysUnavailableError("a says mined, but the chain doesn't show it", taken=1)

    monkeypatch.setattr(world.network, "relay", lambda *_: SimpleNamespace(revoke=took))
    for proxy in world.proxies:
        proxy.up = False
    revocation = world.patient._policies.sign_revocation(world.patient._policies.index_of(made.policy_id))
    taken = take_back(
        world.network, world.patient._proxies, revocation, terms=lambda: world.patient._policies.at(0).terms
    )
    assert (taken.taken, taken.proven, len(taken.unreachable), dict(taken.alarms)) == (1, False, PROXIES, {})


def test_a_proof_is_of_this_policy(world: World) -> None:
    first, second = grant(world), grant(world, "nurse")
    policies = world.patient._policies
    revocations = [policies.sign_revocation(policies.index_of(one.policy_id)) for one in (first, second)]
    world.network.relay().revoke(first.policy_id, revocations[0].signature)
    assert proof_of(world.network, revocations[0]) is not None
    assert proof_of(world.network, revocations[1]) is None
    assert proof_of(world.network, policies.sign_revocation(9)) is None


def test_progress_names_the_proxies_that_deleted_and_then_the_proof(world: World) -> None:
    made, told = grant(world), list[tuple[int, int, str]]()
    world.proxies[2].up = False
    world.patient.revoke(made, progress=lambda done, total, *, unit: told.append((done, total, unit)))
    assert told == [(PROXIES - 1, PROXIES, "proxies"), (1, 1, "proofs")]
