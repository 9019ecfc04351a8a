"""Standing: whoever opened what was granted to others was a member, or in an emergency, or is told to be outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from panachain.errors import ChainUnavailableError, IntegrityError
from panachain.model.actors import Address, PolicyId
from panachain.model.emergencies import LASTS, waiting_account
from panachain.model.transactions import Emergency
from panachain.sdk.readings import Reading
from panachain.sdk.standing import EMERGENCY, MEMBER, NO_EMERGENCY, OUTSIDE, Standing
from tests.twin.world import World
from tests.unit.sdk.helpers import again, upload

POLICY = PolicyId("0x52908400098527886E0F7030069857D2E4169EE7")
ME, TEAM, DOCTOR = (Address("0x" + one * 20) for one in ("11", "22", "33"))
AT = 1_760_000_000


def reading(granted_to: str, at: int = AT, requester: str = DOCTOR) -> Reading:
    return Reading(requester, granted_to, POLICY, ("vitals",), "TREAT", at, at + 5, True, 1, ())


def standing(*times: range, emergencies: tuple[Emergency, ...] = ()) -> Standing:
    return Sidechain(times, emergencies).standing


class Sidechain:
    """Knows one group's member, and emergencies; counts what it is asked, and is silent of some."""

    def __init__(self, times: Sequence[range] = (), emergencies: Sequence[Emergency] = ()) -> None:
        self._times, self._emergencies = times, emergencies
        self.asked: list[tuple[str, ...]] = []
        self.fails: dict[str, Exception] = {}
        own = SimpleNamespace(groups=SimpleNamespace(times_of=self.times_of), emergency=SimpleNamespace(find=self.find))
        self.standing = Standing(cast(Any, own), ME)

    def times_of(self, group: str, people: Sequence[str]) -> dict[str, list[range]]:
        self.asked.append((group, *people))
        if group in self.fails:
            raise self.fails[group]
        return {one: list(self._times) if (group, one) == (TEAM, DOCTOR) else [] for one in people}

    def find(self, *, practitioner: str, patient: str) -> list[Emergency]:
        assert patient == ME
        self.asked.append(("emergency", practitioner))
        if practitioner in self.fails:
            raise self.fails[practitioner]
        return [one for one in self._emergencies if one.practitioner == practitioner]


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
    assert standing(*times).of([reading(TEAM)]) == [told]


def test_whom_it_was_granted_to_has_none() -> None:
    sidechain = Sidechain()
    assert sidechain.standing.of([reading(DOCTOR), reading(""), reading(TEAM, requester="")]) == ["", "", ""]
    assert sidechain.asked == []


@pytest.mark.parametrize(
    ("cosigned", "delay", "told"),
    [
        (AT - 100, 0, EMERGENCY),
        (AT - 100, 900, NO_EMERGENCY),
        (AT - 1000, 900, EMERGENCY),
        (AT - LASTS - 200, 0, NO_EMERGENCY),
        (AT + 500, 0, NO_EMERGENCY),
        (None, 0, NO_EMERGENCY),
    ],
)
def test_a_glass_that_is_broken_counts_while_it_is(cosigned: int | None, delay: int, told: str) -> None:
    ends = 0 if cosigned is None else cosigned + LASTS
    broken = Emergency(1, DOCTOR, ME, b"r" * 32, AT - 5000, TEAM, ends, ends)
    assert standing(emergencies=(broken,)).of([reading(waits(delay))]) == [told]
    assert standing().of([reading(waits(delay))]) == [NO_EMERGENCY]


def waits(delay: int) -> str:
    return "0x" + waiting_account(ME, delay).hex() if delay else ME


def test_each_group_and_person_is_asked_of_once() -> None:
    sidechain = Sidechain([range(AT - 1000, AT + 1000)])
    mine = [reading(TEAM, at) for at in range(AT, AT + 50)]
    several = [*mine, reading(TEAM, requester=ME), reading(ME), reading(ME, AT + 1), reading(waits(900))]
    told = [*[MEMBER] * 50, OUTSIDE, *[NO_EMERGENCY] * 3]
    assert sidechain.standing.of(several) == told
    assert sidechain.asked == [(TEAM, DOCTOR, ME), ("emergency", DOCTOR)]


@pytest.mark.parametrize("error", [ChainUnavailableError("silent"), IntegrityError("wrong")])
def test_what_one_group_fails_by_keeps_nobody_from_the_others(error: Exception) -> None:
    sidechain = Sidechain([range(AT - 1000, AT + 1000)])
    other = "0x" + "44" * 20
    sidechain.fails = {other: error, DOCTOR: error}
    several = [reading(other), reading(TEAM), reading(TEAM, requester=ME), reading(ME), reading(waits(900))]
    # By the grant itself it was an emergency: only the check is missing.
    assert sidechain.standing.of(several) == ["", MEMBER, OUTSIDE, EMERGENCY, EMERGENCY]


def test_a_silent_sidechain_is_not_asked_without_end() -> None:
    sidechain = Sidechain()
    groups = [f"0x{number:040x}" for number in range(1, 40)]
    sidechain.fails = dict.fromkeys(groups, ChainUnavailableError("silent"))
    assert sidechain.standing.of(map(reading, groups)) == [""] * len(groups)
    assert len(sidechain.asked) == 3


def test_one_proxy_signs_as_many_as_it_likes_and_takes_nobodys_place() -> None:
    sidechain = Sidechain([range(AT - 1000, AT + 1000)])
    said = [
        replace(reading(TEAM, requester=f"0x{number:040x}"), envelopes=0, unconfirmed=1, permitted=number % 2 == 0)
        for number in range(1, 1001)
    ]
    told = sidechain.standing.of([*said, reading(TEAM)])
    assert told[-1] == MEMBER
    (asked,) = sidechain.asked
    assert (len(asked), told.count(OUTSIDE), told.count("")) == (257, 255, 745)


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
    later = replace(before, at=world.now, ended_at=world.now, standing="", who="")
    told = world.patient.auditing.named([before, later])
    assert [one.standing for one in told] == [MEMBER, OUTSIDE]
    assert [one.who for one in told] == [before.who] * 2

    def silent(*_: object) -> None:
        raise ChainUnavailableError("silent")

    monkeypatch.setattr(world.network.sidechain.groups.__class__, "times_of", silent)
    # Nobody is accused by what isn't known.
    assert [one.standing for one in world.patient.auditing.named([later])] == [""]
