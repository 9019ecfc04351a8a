"""A policy's times, status and ID."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from panachain.model.actors import Actor, Address
from panachain.model.policy import PolicyStatus
from panachain.sdk.resolve import Resolver
from panachain.sdk.results.policies import id_of
from tests.twin.world import World
from tests.unit.sdk.helpers import again, grant
from tests.unit.sdk.results.samples import POLICY, VIEW


def test_times_are_seconds_and_aware_datetimes() -> None:
    assert (VIEW.starts, VIEW.expires) == (datetime.fromtimestamp(10, UTC), datetime.fromtimestamp(20, UTC))
    assert VIEW.to_json()["expires_at"] == "1970-01-01T00:00:20Z"


@pytest.mark.parametrize("status", PolicyStatus)
def test_a_policy_is_active_by_its_status_alone(status: PolicyStatus) -> None:
    assert replace(VIEW, status=status).active is (status is PolicyStatus.ACTIVE)


def test_a_view_stands_for_its_id() -> None:
    assert id_of(VIEW) == id_of(POLICY) == id_of(str(POLICY)) == POLICY


def test_people_have_names_beside_their_addresses_and_json_keeps_the_addresses(world: World) -> None:
    made = grant(world)
    handle = world.clinician.whoami().handle
    for view in (made, *world.patient.policies(), *world.clinician.inbox()):
        assert view.grantee_name in (handle, world.clinician.profile.name)
        assert view.patient_name in (world.patient.profile.handle, world.patient.profile.name)
        assert (view.grantee, view.to_json()["grantee"]) == (world.clinician.address, world.clinician.address)
        assert "grantee_name" not in view.to_json()


def test_registries_are_asked_once_for_all_grantees(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for category in ("laboratory", "vitals", "imaging"):
        grant(world, categories=(category,))
    asked: list[list[str]] = []
    session = again(world)
    known = type(world.network.resolver).known

    def counted(resolver: Resolver, addresses: Iterable[Address]) -> list[Actor]:
        asked.append(list(addresses))
        return known(resolver, addresses)

    monkeypatch.setattr(Resolver, "known", counted)
    assert len(list(session.policies())) == len(list(session.policies())) == 3
    assert len(asked) <= 1
