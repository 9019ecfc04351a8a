"""Break-glass over real chains, relays and proxies: the drill, and that nothing opens without both signatures."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import AccessDeniedError, TransactionError
from panachain.model.actors import Role
from panachain.sdk import open_actor
from panachain.sdk.profiles import create_profile, load_profile
from tests.support import PASSPHRASE, World
from tests.unit.summary.helpers import allergy, condition, result

pytestmark = pytest.mark.deep


def practitioner(world: World, name: str, house: str = "hospital") -> Any:
    create_profile(world.home, name, Role.PRACTITIONER, PASSPHRASE)
    actor = open_actor(world.network, load_profile(world.home, name), PASSPHRASE)
    actor.register(house)
    return actor


def test_the_drill_from_request_to_open(world: World, tmp_path: Path) -> None:
    doctor, nurse = practitioner(world, "desk-doctor"), practitioner(world, "desk-nurse")
    create_profile(world.home, "elsewhere", Role.HOSPITAL, PASSPHRASE)
    open_actor(world.network, load_profile(world.home, "elsewhere"), PASSPHRASE).register()
    outsider = practitioner(world, "desk-outsider", "elsewhere")
    group = result(0, "2001-01-01", "882-1", id="b", valueCodeableConcept={"text": "A positive"})
    del group["valueQuantity"]
    glucose = result(92, "2024-01-01", id="g")
    for number, told in enumerate((allergy(id="a"), condition(id="c"), group, glucose)):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps({**told, "subject": {"reference": "Patient/p"}}))
        world.hospital.upload([path], "patient")
    group = doctor.create_group().handle
    for member, name in ((nurse, "desk-nurse"), (outsider, "desk-outsider")):
        doctor.add_member(group, name)
        member.accept_group(group)
    world.patient.emergency.prepare([group], until=timedelta(days=365))
    handle = world.patient.profile.handle

    begun = time.monotonic()
    asked = doctor.emergency.request(handle, "found unconscious", colleague="desk-nurse")
    with pytest.raises(AccessDeniedError):
        doctor.emergency.open(asked)
    with pytest.raises(TransactionError):
        outsider.emergency.cosign(asked)
    nurse.emergency.cosign(asked)
    made = doctor.emergency.open(asked).summary(now=time.time())
    print(f"break-glass drill, from request to open, both signatures included: {time.monotonic() - begun:.1f} s")

    # Of the results the blood group alone.
    assert [made.sections[name] for name in ("allergies", "problems", "results")] == [1, 1, 1]
    assert "A positive" in made.content.decode()
    with pytest.raises(AccessDeniedError):
        nurse.emergency.open(asked)
    (told,) = world.patient.emergency.all()
    assert (told.state, told.reason, told.practitioner) == ("active", "found unconscious", doctor.address)
    assert {reading.purpose for reading in world.patient.log() if reading.permitted} == {"ETREAT"}

    assert [one.final for one in world.patient.emergency.veto()] == [True]
    again = doctor.emergency.request(handle, "once more", colleague="desk-nurse")
    nurse.emergency.cosign(again)
    with pytest.raises(AccessDeniedError):
        doctor.emergency.open(again)
