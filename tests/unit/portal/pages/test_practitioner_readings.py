"""What one opened: the newest first, by patient, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from panachain.model.actors import Role
from panachain.portal.pages import practitioner_readings
from tests.portal.conftest import Portal, text_of
from tests.twin.world import World, running_world
from tests.unit.sdk.helpers import grant, upload


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as made:
        yield made


def test_shows_when_what_and_why(portal: Portal, world: World) -> None:
    upload(world, 2)
    made = grant(world)
    client = portal.client_of(Role.PRACTITIONER)
    assert "You opened nothing yet." in text_of(client.page("/readings"))
    list(world.clinician.open(made))
    list(world.clinician.open(made, categories="laboratory", years=[2025, 0]))
    page = text_of(client.page("/readings"))
    assert "laboratory, without a date, 2025" in page
    assert "all that was granted" in page
    assert page.index("without a date") < page.index("all that was granted")
    assert made.policy_id in client.page("/readings")


def test_is_filtered_by_patient_and_paged(portal: Portal, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = grant(world)
    for _ in range(3):
        list(world.clinician.open(made))
    client = portal.client_of(Role.PRACTITIONER)
    monkeypatch.setattr(practitioner_readings, "PER_PAGE", 2)
    assert client.page("/readings").count("<time") == 2
    assert client.page("/readings", page=2).count("<time") == 1
    assert client.page("/readings", patient=world.patient.address, page=2).count("<time") == 1
    assert "You opened nothing yet." in text_of(client.page("/readings", patient="<b>"))


def test_is_ones_own(portal: Portal, world: World) -> None:
    list(world.clinician.open(grant(world)))
    assert "You opened nothing yet." in text_of(portal.client_of("nurse").page("/readings"))
    portal.client_of(Role.PATIENT).page("/readings", status=403)
