"""Standing: whoever opened what was granted to others was a member, or in an emergency, or is told to be outside."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from panachain.errors import ChainUnavailableError
from panachain.model.actors import Address, PolicyId
from panachain.model.emergencies import LASTS, waiting_account
from panachain.model.transactions import Emergency
from panachain.sdk.readings import Reading
from panachain.sdk.standing import EMERGENCY, MEMBER, OUTSIDE, Standing
from tests.twin.world import World
from tests.unit.sdk.helpers import again, upload

POLICY = PolicyId("0x52908400098527886E0F7030069857D2E4169EE7")
ME, TEAM, DOCTOR = (Address("0x" + one * 20) for one in ("11", "22", "33"))
AT = 1_760_000_000


def reading(granted_to: str, at: int = AT, requester: str = DOCTOR) -> Reading:
    return Reading(requester, granted_to, POLICY, ("vitals",), "TREAT", at, at + 5, True, 1, ())


def standing(*times: range, emergencies: tuple[Emergency, ...] = ()) -> Standing:
    groups = SimpleNamespace(times_of=lambda group, person: list(times) if (group, person) == (TEAM, DOCTOR) else [])
    found = SimpleNamespace(find=lambda **_: list(emergencies))
    return Standing(cast(Any, SimpleNamespace(groups=groups, emergency=found)), ME)


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ((), OUTSIDE),
        ((range(AT - 1000, AT - 500),), OUTSIDE),
        ((range(AT + 500, AT + 1000),), OUTSIDE),
        ((range(AT - 1000, AT + 1000),), MEMBER),
        ((range(AT - 1000, AT - 60),), MEMBER),
        ((range(AT - 1000, AT - 500), range(AT - 10, AT + 10)), MEMBER),
    ],
)
def test_a_member_is_one_of_that_time(times: tuple[range, ...], told: str) -> None:
    assert standing(*times).of(reading(TEAM)) == told


def test_whom_it_was_granted_to_has_none() -> None:
    assert standing().of(reading(DOCTOR)) == ""
    assert standing().of(reading("")) == ""
    assert standing().of(reading(TEAM, requester="")) == ""


@pytest.mark.parametrize(
    ("cosigned", "delay", "told"),
    [
        (AT - 100, 0, EMERGENCY),
        (AT - 100, 900, OUTSIDE),
        (AT - 1000, 900, EMERGENCY),
        (AT - LASTS - 200, 0, OUTSIDE),
        (AT + 500, 0, OUTSIDE),
        (None, 0, OUTSIDE),
    ],
)
def test_a_glass_that_is_broken_counts_while_it_is(cosigned: int | None, delay: int, told: str) -> None:
    ends = 0 if cosigned is None else cosigned + LASTS
    broken = Emergency(1, DOCTOR, ME, b"r" * 32, AT - 5000, TEAM, ends, ends)
    grantee = "0x" + waiting_account(ME, delay).hex() if delay else ME
    assert standing(emergencies=(broken,)).of(reading(grantee)) == told
    assert standing().of(reading(grantee)) == OUTSIDE


def test_a_member_who_left_is_marked_and_what_they_opened_before_isnt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = world.clinician.create_group().group
    world.clinician.add_member(group, world.nurse.address)
    world.nurse.accept_group(group)
    upload(world)
    made = world.patient.grant(group, ["laboratory"], until=timedelta(days=1))
    world.wait()
    nurse = again(world, "nurse")
    assert len(list(nurse.open(made.policy_id))) == 1
    world.wait()
    (before,) = world.patient.log()
    assert (before.requester, before.standing) == (world.nurse.address, MEMBER)
    world.clinician.remove_member(group, world.nurse.address)
    world.advance(600)
    # Proxies that serve all the same sign it: the same receipts, ten minutes later.
    later = replace(before, at=world.now, ended_at=world.now, standing="")
    told = world.patient.auditing.named([before, later])
    assert [one.standing for one in told] == [MEMBER, OUTSIDE]

    def silent(*_: object) -> list[range]:
        raise ChainUnavailableError("silent")

    monkeypatch.setattr(world.network.sidechain.groups.__class__, "times_of", silent)
    # Nobody is accused by what isn't known.
    assert [one.standing for one in world.patient.auditing.named([later])] == [""]
