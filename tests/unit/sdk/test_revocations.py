"""Revocations, R1 to R4; tests/twin/test_rotation.py lets proxies collude."""

from __future__ import annotations

import pytest

from panachain.errors import AccessDeniedError, PolicyUnknownError
from panachain.model.actors import PolicyId
from panachain.model.policy import PolicyStatus
from tests.twin.world import PROXIES, THRESHOLD, World
from tests.unit.sdk.helpers import DAY, again, grant, opened, upload


def test_r1_and_r2_make_it_final(world: World) -> None:
    upload(world)
    made = grant(world)
    report = world.patient.revoke(made.policy_id)
    assert (report.deleted, report.needed, report.final, report.stage) == (
        PROXIES,
        PROXIES - THRESHOLD + 1,
        True,
        "final",
    )
    assert bool(report.tx)
    with pytest.raises(AccessDeniedError):
        opened(world, made.policy_id)


def test_with_proxies_down_it_says_how_far_it_is_and_a_second_call_goes_on(world: World) -> None:
    made = grant(world)
    for proxy in world.proxies[:2]:
        proxy.up = False
    first = world.patient.revoke(made.policy_id)
    assert (first.final, first.stage, len(first.unreachable)) == (False, f"1 of {PROXIES} proxies deleted", 2)
    for proxy in world.proxies:
        proxy.up = True
    second = again(world).revoke(made.policy_id)
    assert (second.tx, second.deleted, second.stage) == ("", PROXIES, "final")


def test_nobody_elses_policy_is_revoked(world: World) -> None:
    with pytest.raises(PolicyUnknownError):
        world.patient.revoke(PolicyId("0x" + "11" * 20))


def test_status_asks_the_proxies_and_sends_nothing(world: World) -> None:
    made = grant(world)
    with pytest.raises(PolicyUnknownError, match="isn't revoked: it is active"):
        world.patient.revocation(made.policy_id)
    world.patient.revoke(made.policy_id)
    (world.patient.profile.folder / "revocations.json").unlink()
    block = world.network.mainchain.head_block().number
    assert again(world).revocation(made.policy_id).deleted == PROXIES
    assert world.network.mainchain.head_block().number == block


def test_what_waits_is_withdrawn_and_leaves_no_trace(world: World) -> None:
    world.patient._grants._delay = lambda _: DAY
    made = grant(world, until=world.now + 30 * DAY, jitter=2 * DAY)
    block = world.network.mainchain.head_block().number
    assert world.patient.revoke(made.policy_id).stage == "withdrawn before it was sent"
    assert world.network.mainchain.head_block().number == block
    assert list(world.patient.policies()) == []


def test_policies_lists_with_the_step_that_is_reached(world: World) -> None:
    kept, gone = grant(world), grant(world, "nurse")
    world.patient.revoke(gone.policy_id)
    assert [(view.policy_id, view.status, view.stage) for view in world.patient.policies()] == [
        (kept.policy_id, PolicyStatus.ACTIVE, ""),
        (gone.policy_id, PolicyStatus.REVOKED, "final"),
    ]


class TestRotation:
    def test_r3_tells_hospitals_and_grants_the_others_anew(self, world: World) -> None:
        upload(world)
        lost, kept, apart = grant(world), grant(world, "nurse"), grant(world, "nurse", ("vitals",))
        report = world.patient.revoke(lost.policy_id, rotate=True)
        assert set(report.hospitals) == {world.hospital.address, world.clinic.address}
        # What has no lane in common with the lost one stays as it is.
        assert set(report.regranted) == {kept.policy_id}
        assert (report.rotated, report.rewrapped, report.stage) == (True, False, "lane rotated")
        upload(world)
        assert opened(world, report.regranted[kept.policy_id], "nurse") == 2
        status = {view.policy_id: view.status for view in world.patient.policies()}
        assert (status[kept.policy_id], status[apart.policy_id]) == (PolicyStatus.REVOKED, PolicyStatus.ACTIVE)

    def test_a_second_call_rotates_nothing_again(self, world: World) -> None:
        lost = grant(world)
        world.patient.revoke(lost.policy_id, rotate=True)
        epoch = world.patient._lanes.generations().epoch
        report = again(world).revoke(lost.policy_id, rotate=True)
        assert (world.patient._lanes.generations().epoch, report.hospitals, report.regranted) == (epoch, (), {})

    def test_r4_is_seen_once_the_old_headers_are_gone(self, world: World) -> None:
        upload(world)
        lost = grant(world)
        world.patient.revoke(lost.policy_id, rotate=True)
        assert world.patient.revocation(lost.policy_id).stage == "lane rotated"
        world.hospital.rewrap()
        assert world.patient.revocation(lost.policy_id).stage == "headers re-wrapped"
        # It is remembered, and needs no look into the store again.
        assert [view.stage for view in again(world).policies()] == ["headers re-wrapped"]
        assert len(list(world.patient.records())) == 1

    def test_proxies_that_no_longer_serve_are_replaced(self, world: World) -> None:
        names = [proxy.address for proxy in world.proxies[:2]]
        lost, kept = grant(world), grant(world, "nurse", proxies=names)
        world.registrar.suspend(names[0])
        report = world.patient.revoke(lost.policy_id, rotate=True)
        own = world.patient._policies.find(report.regranted[kept.policy_id])
        assert {proxy.address for proxy in own.terms.proxies} == {proxy.address for proxy in world.proxies[1:]}
