"""What hostile tests share: a world of people who mean well, and a hospital that doesn't."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile.evil_hospital import EvilHospital
from tests.twin.world import World, running_world


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as running:
        yield running


@pytest.fixture
def evil(world: World) -> EvilHospital:
    """A hospital with which the patient has paired."""
    made = EvilHospital(world)
    world.patient.pair(made.address)
    return made
