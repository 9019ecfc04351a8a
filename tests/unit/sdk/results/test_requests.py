"""A request's number."""

from __future__ import annotations

from panachain.sdk.results.requests import RequestReport, number_of
from tests.twin.world import World


def test_a_request_stands_for_its_number() -> None:
    assert [number_of(one) for one in (7, RequestReport(7))] == [7, 7]


def test_both_people_have_names_beside_their_addresses(world: World) -> None:
    world.clinician.request(world.patient.address, "vitals")
    for (view,) in (world.patient.requests(), world.clinician.requests()):
        assert view.requester_name in (world.clinician.profile.handle, world.clinician.profile.name)
        assert view.patient_name in (world.patient.profile.handle, world.patient.profile.name)
        assert not {"requester_name", "patient_name"} & view.to_json().keys()
