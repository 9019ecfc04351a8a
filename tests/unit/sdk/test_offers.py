"""Offers: what a patient says becomes accounts, a window and proxies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panachain.consent.offer import Offer
from panachain.consent.times import MAX_DIFFERENCE
from panachain.errors import ChainUnavailableError, UnknownActorError, UsageError
from panachain.model.actors import Role
from panachain.model.policy import SEALED
from panachain.model.scope import Purpose, Scope
from panachain.sdk.offers import Offers
from tests.twin.world import PROXIES, THRESHOLD, World
from tests.unit.sdk.helpers import DAY, grant


def offer(world: World, **changed: Any) -> Offer:
    chosen: dict[str, Any] = {
        "grantee": world.clinician.address,
        "categories": ["laboratory"],
        "years": (),
        "purposes": (Purpose.TREAT,),
        "starts": None,
        "until": world.now + 30 * DAY,
        "threshold": None,
        "proxies": (),
        "any_operator": False,
        "disclose": False,
        "data_use": 0,
        "study": "",
        "request": None,
        "jitter": 0,
        **changed,
    }
    named = [chosen.pop(name) for name in ("grantee", "categories", "years", "purposes")]
    return Offers(world.network).first(*named, **chosen)


@pytest.mark.parametrize("over", [0, 1])
def test_nothing_begins_by_a_head_from_the_future(world: World, monkeypatch: pytest.MonkeyPatch, over: int) -> None:
    """A node that shows a later time would let a grant begin then, or let one that waits seem to be over."""
    real = world.network.mainchain.head_block()
    shown = replace(real, time=real.time + MAX_DIFFERENCE + over)
    monkeypatch.setattr(world.network.mainchain, "head_block", lambda: shown)
    if not over:
        assert offer(world).starts_at == shown.time
        return
    with pytest.raises(ChainUnavailableError, match="the node or the clock is wrong"):
        offer(world)
    with pytest.raises(ChainUnavailableError, match="the node or the clock is wrong"):
        world.patient._grants._now()


def test_the_least_that_is_said_means_now_every_year_and_all_proxies(world: World) -> None:
    made = offer(world)
    assert (made.starts_at, made.expires_at) == (world.now, world.now + 30 * DAY)
    assert made.scopes == (Scope.parse("laboratory"),)
    assert (len(made.proxies), made.threshold, made.disclosure) == (PROXIES, THRESHOLD, SEALED)
    assert made.grantee.key_digest == world.clinician.whoami().key_digest


def test_only_practitioners_groups_and_researchers_are_grantees(world: World) -> None:
    assert offer(world, grantee=world.researcher.address).grantee.role is Role.RESEARCHER
    for who in (world.hospital.address, world.patient.address, "nobody"):
        with pytest.raises(UnknownActorError):
            offer(world, grantee=who)


def test_with_jitter_the_window_tells_no_second(world: World) -> None:
    made = offer(world, jitter=2 * DAY)
    assert made.starts_at % (2 * DAY) == 0
    assert (made.expires_at - made.starts_at) % DAY == 0
    assert made.starts_at <= world.now
    assert made.expires_at >= world.now + 30 * DAY


def test_a_purpose_said_twice_counts_once_and_none_is_refused(world: World) -> None:
    assert offer(world, purposes=(Purpose.TREAT, Purpose.ETREAT, Purpose.TREAT)).purposes == (
        Purpose.TREAT,
        Purpose.ETREAT,
    )
    with pytest.raises(UsageError, match="needs a purpose"):
        offer(world, purposes=())


def test_an_open_one_may_name_a_study_that_no_registry_knows_and_a_sealed_one_may_not(world: World) -> None:
    study = "0x" + "12" * 20
    assert offer(world, disclose=True, study=study, data_use=4).disclosure.study == study
    with pytest.raises(UsageError, match="only an open one"):
        offer(world, study=study)
    with pytest.raises(UsageError, match="only an open one"):
        offer(world, data_use=4)


def test_named_proxies_are_taken_as_far_as_the_rule_allows(world: World) -> None:
    names = [proxy.address for proxy in world.proxies[:2]]
    assert [proxy.address for proxy in offer(world, proxies=names).proxies] == names
    with pytest.raises(UsageError, match="doesn't fit 1 proxies"):
        offer(world, proxies=names[:1], any_operator=True)


def test_again_it_offers_the_same_to_todays_key(world: World) -> None:
    made = grant(world, until=world.now + DAY)
    own = world.patient._policies.find(made.policy_id)
    again = Offers(world.network).again(own, threshold=None, proxies=(), any_operator=False)
    assert replace(again, replaces=None).is_that_of(own.terms)
    assert again.replaces == made.policy_id
    assert Offers(world.network).again(own, threshold=3, proxies=(), any_operator=False).threshold == 3
