"""Break-glass with real keys, terms and proxies: what two of one hospital open; each rule has its denied twin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from panachain.errors import (
    AccessDeniedError,
    OpensLaterError,
    OutOfScopeError,
    PanaChainError,
    SuspendedError,
    UsageError,
)
from panachain.model.actors import Address, Role
from panachain.model.emergencies import TOLERANCE
from panachain.model.policy import PolicyStatus
from panachain.model.scope import Category
from panachain.model.transactions import Wait
from panachain.sdk.emergencies import open_reason
from panachain.sdk.times import iso
from tests.support import chain_refuses
from tests.twin.world import World, resource, running_world
from tests.unit.sdk.helpers import again, grant
from tests.unit.summary.helpers import allergy, condition
from tests.unit.summary.ips import faults

HOUR = 3600
REASON = "found unconscious, no relatives"


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as made:
        yield made


@pytest.fixture
def desk(world: World) -> Address:
    """An emergency desk: the clinician, and a nurse of the same hospital."""
    group = world.clinician.create_group()
    world.clinician.add_member(group.group, world.nurse.address)
    world.nurse.accept_group(group.group)
    return Address(group.group)


@pytest.fixture
def prepared(world: World, desk: Address) -> World:
    """A patient with an allergy whose emergency lane the desk may open."""
    told = allergy(id="a", recordedDate="2025-01-02", subject={"reference": "Patient/p"})
    world.upload_each("hospital", [told])
    world.patient.emergency.prepare([desk], until=world.now + 1_000 * 86_400)
    return world


def ask(world: World, who: str = "clinician", colleague: str = "nurse") -> int:
    """Break the glass, and return the number of the emergency."""
    made = world.sessions[who].emergency.request(
        world.patient.address, REASON, colleague=world.sessions[colleague].address
    )
    return int(made.emergency_id)


def broken(world: World) -> int:
    """Break the glass with both signatures."""
    number = ask(world)
    world.nurse.emergency.cosign(number)
    return number


def opened(world: World, number: int, who: str = "clinician") -> list[Any]:
    return list(world.sessions[who].emergency.open(number))


def move(world: World, who: str, where: str) -> None:
    """Let the sidechain say that somebody works elsewhere."""
    people = world.network.sidechain.chain.contracts["IdentityRegistry"].people
    people[world.sessions[who].address.lower()][2] = world.sessions[where].address


def asks_proxies(world: World, who: str = "clinician") -> None:
    """Ask the proxies past all rules of the SDK, as a dishonest client would."""
    session = again(world, who)
    session.ask_proxies(next(iter(session._for_emergencies(world.patient.address))))


def test_two_of_one_hospital_open_the_emergency_lane_and_nothing_else(prepared: World) -> None:
    world = prepared
    world.upload_each("hospital", [resource("laboratory", 2025, 7)])
    number = broken(world)
    records = opened(world, number)
    assert [record.info.category.value for record in records] == ["allergies"]
    made = world.clinician.emergency.open(number).summary(now=float(world.now))
    assert faults(made.content) == []
    assert made.sections["allergies"] == 1
    assert "mental-health" in made.withheld


def test_before_the_cosignature_nothing_opens(prepared: World) -> None:
    number = ask(prepared)
    with pytest.raises(OutOfScopeError, match="is asked"):
        opened(prepared, number)
    with pytest.raises(AccessDeniedError):
        asks_proxies(prepared)
    prepared.nurse.emergency.cosign(number)
    assert len(opened(prepared, number)) == 1
    asks_proxies(prepared)


def test_without_an_emergency_a_desk_opens_nothing(prepared: World) -> None:
    for who in ("clinician", "nurse"):
        with pytest.raises(AccessDeniedError):
            asks_proxies(prepared, who)


def test_nobody_cosigns_for_themselves(prepared: World) -> None:
    number = ask(prepared)
    with chain_refuses("EmergencyInvalidCosigner"):
        prepared.clinician.emergency.cosign(number)
    with pytest.raises(UsageError, match="nobody co-signs their own"):
        ask(prepared, colleague="clinician")
    with pytest.raises(AccessDeniedError):
        asks_proxies(prepared)


def test_nobody_of_another_hospital_cosigns(prepared: World) -> None:
    move(prepared, "nurse", "clinic")
    number = ask(prepared)
    with chain_refuses("EmergencyInvalidCosigner"):
        prepared.nurse.emergency.cosign(number)
    with pytest.raises(AccessDeniedError):
        asks_proxies(prepared)
    move(prepared, "nurse", "hospital")
    prepared.nurse.emergency.cosign(number)
    assert len(opened(prepared, number)) == 1


def test_a_request_of_an_hour_ago_is_not_cosigned(prepared: World) -> None:
    number = ask(prepared)
    prepared.advance(HOUR)
    with chain_refuses("EmergencyRequestExpired"):
        prepared.nurse.emergency.cosign(number)
    assert prepared.clinician.emergency.find(number).state == "lapsed"


def test_after_four_hours_it_is_over(prepared: World) -> None:
    number = broken(prepared)
    prepared.advance(4 * HOUR - 1)
    assert len(opened(prepared, number)) == 1
    prepared.advance(1)
    with pytest.raises(OutOfScopeError, match="is over"):
        opened(prepared, number)
    with pytest.raises(AccessDeniedError):
        asks_proxies(prepared)


def test_a_sidechain_that_stands_still_prolongs_nothing(prepared: World) -> None:
    """Its newest block is as old as the co-signature; the mainchain's says what time it is."""
    broken(prepared)
    prepared.clock.now += 4 * HOUR
    prepared.network.mainchain.chain.mine()
    with pytest.raises(AccessDeniedError):
        asks_proxies(prepared)


def test_only_who_asked_is_served(prepared: World) -> None:
    number = broken(prepared)
    with pytest.raises(OutOfScopeError, match="was asked for by"):
        opened(prepared, number, "nurse")
    with pytest.raises(AccessDeniedError):
        asks_proxies(prepared, "nurse")


def test_an_emergency_with_one_patient_opens_no_other_ones_lane(prepared: World) -> None:
    """Whoever breaks the glass for an accomplice gets nothing of anybody else's."""
    world = prepared
    emergency = world.network.sidechain.emergency
    other = world.registrar.admit(_another_patient())
    emergency.request(world.clinician._person(), other.address, b"r" * 32)
    emergency.cosign(world.nurse._person(), 1)
    assert emergency.in_emergency(other.address, world.clinician.address, at=world.now)
    with pytest.raises(AccessDeniedError):
        asks_proxies(world)


def _another_patient() -> Any:
    from tests.twin.world import actor_of

    return actor_of("another", Role.PATIENT)


def test_who_is_in_no_desk_opens_nothing_with_both_signatures(prepared: World) -> None:
    """The contract alone gives nobody a key: the kfrags are for the desk's."""
    number = ask(prepared, "stranger")
    prepared.nurse.emergency.cosign(number)
    with pytest.raises(AccessDeniedError, match="no emergency desk of yours"):
        opened(prepared, number, "stranger")


def test_who_is_suspended_meanwhile_is_not_served(prepared: World) -> None:
    broken(prepared)
    prepared.registrar.suspend(prepared.clinician.address)
    with pytest.raises(SuspendedError):
        asks_proxies(prepared)


class TestVeto:
    def test_a_patient_who_vetoed_is_not_opened_whoever_signs(self, prepared: World) -> None:
        (report,) = prepared.patient.emergency.veto()
        assert report.final
        number = broken(prepared)
        with pytest.raises(AccessDeniedError, match="vetoed"):
            opened(prepared, number)
        assert prepared.patient.emergency.policies() == []

    def test_a_veto_holds_in_the_middle_of_an_access(self, prepared: World) -> None:
        number = broken(prepared)
        policies = list(prepared.clinician._for_emergencies(prepared.patient.address))
        assert len(opened(prepared, number)) == 1
        prepared.patient.emergency.veto()
        with pytest.raises(AccessDeniedError):
            again(prepared, "clinician").ask_proxies(policies[0])

    def test_who_prepared_nothing_is_not_opened(self, world: World, desk: Address) -> None:
        number = broken(world)
        with pytest.raises(AccessDeniedError, match="prepared none"):
            opened(world, number)

    def test_it_can_be_prepared_again(self, prepared: World, desk: Address) -> None:
        prepared.patient.emergency.veto()
        prepared.patient.emergency.prepare([desk], until=prepared.now + 86_400)
        assert len(opened(prepared, broken(prepared))) == 1


class TestReview:
    def test_a_missed_review_suspends_who_asked_and_opens_nothing_more(self, prepared: World) -> None:
        number = broken(prepared)
        with chain_refuses("EmergencyNotOverdue"):
            prepared.nurse.emergency.enforce(number)
        prepared.advance(72 * HOUR)
        assert [one.state for one in prepared.registrar.emergency.due()] == ["overdue"]
        assert prepared.nurse.emergency.enforce(number).state == "suspended"
        with pytest.raises(SuspendedError):
            ask(prepared)
        assert prepared.nurse.whoami().status.name == "ACTIVE"

    def test_one_that_was_held_suspends_nobody(self, prepared: World) -> None:
        number = broken(prepared)
        prepared.registrar.emergency.review(number)
        prepared.advance(72 * HOUR)
        with chain_refuses("EmergencyClosed"):
            prepared.nurse.emergency.enforce(number)
        assert prepared.registrar.emergency.due() == []
        assert prepared.clinician.whoami().status.name == "ACTIVE"

    def test_nobody_but_the_registrar_states_it(self, prepared: World) -> None:
        number = broken(prepared)
        with chain_refuses("AccessManagedUnauthorized"):
            prepared.network.sidechain.emergency.review(prepared.clinician._person(), number)

    def test_what_nobody_cosigned_needs_none(self, prepared: World) -> None:
        number = ask(prepared)
        with chain_refuses("EmergencyNotCosigned"):
            prepared.registrar.emergency.review(number)


class TestTold:
    def test_the_patient_is_told_at_once_who_and_why(self, prepared: World) -> None:
        number = ask(prepared)
        (told,) = prepared.patient.emergency.all()
        assert (told.emergency_id, told.state, told.reason) == (number, "asked", REASON)
        assert (told.practitioner, told.organisation) == (prepared.clinician.address, prepared.hospital.address)
        prepared.nurse.emergency.cosign(number)
        (told,) = prepared.patient.emergency.all()
        assert (told.state, told.cosigner) == ("active", prepared.nurse.address)

    def test_the_log_shows_who_opened_what_and_for_what(self, prepared: World) -> None:
        opened(prepared, broken(prepared))
        prepared.wait()
        (reading,) = prepared.patient.log()
        assert (reading.requester, reading.purpose, reading.permitted) == (prepared.clinician.address, "ETREAT", True)

    def test_the_colleague_reads_the_reason_and_nobody_else(self, prepared: World) -> None:
        number = ask(prepared)
        assert [one.reason for one in prepared.nurse.emergency.all()] == [REASON]
        assert prepared.stranger.emergency.all() == []
        (found,) = prepared.registrar.emergency.due() or prepared.patient.emergency.all()
        assert found.emergency_id == number

    def test_a_reason_that_nobody_has_hides_no_emergency(self, prepared: World) -> None:
        prepared.network.sidechain.emergency.request(prepared.clinician._person(), prepared.patient.address, b"r" * 32)
        (told,) = prepared.patient.emergency.all()
        assert (told.state, told.reason) == ("asked", "")


def test_the_chains_hold_neither_the_reason_nor_a_policys_patient(prepared: World) -> None:
    broken(prepared)
    main = json.dumps([repr(log) for log in prepared.network.mainchain.chain.logs])
    side = json.dumps([repr(log) for log in prepared.network.sidechain.chain.logs])
    assert REASON not in main + side
    assert prepared.patient.address.lower() not in main.lower()


def test_a_desk_with_fewer_proxies_than_the_threshold_opens_nothing(prepared: World) -> None:
    """t−1 proxies that break every rule, with all keys of the desk at hand."""
    prepared.proxies[0].corrupt()
    with pytest.raises(PanaChainError):
        asks_proxies(prepared)


def test_proxies_of_the_threshold_that_break_the_rules_would_open(prepared: World) -> None:
    """The limit, told in docs/spec/emergency.md: what a threshold of proxies and a desk do together nobody prevents."""
    for proxy in prepared.proxies[:2]:
        proxy.corrupt()
    asks_proxies(prepared)


def test_the_policy_is_no_ordinary_one(prepared: World) -> None:
    """It stands in no inbox, and an ordinary grant to the same group is opened without any emergency."""
    assert list(prepared.clinician.inbox()) == []
    (view,) = prepared.patient.emergency.policies()
    assert (view.scopes, view.purposes, view.grantee) == (("emergency",), ("ETREAT",), prepared.patient.address)
    made = grant(prepared, "clinician", ("allergies",))
    assert len(list(prepared.clinician.open(made))) == 1


def test_a_desk_is_prepared_once(prepared: World, desk: Address) -> None:
    (first,) = prepared.patient.emergency.policies()
    (second,) = prepared.patient.emergency.prepare([desk], until=prepared.now + 86_400)
    assert second.policy_id == first.policy_id
    with pytest.raises(UsageError):
        prepared.patient.emergency.prepare([], until=prepared.now + 86_400)


def test_a_new_machine_finds_it_again(prepared: World) -> None:
    (first,) = prepared.patient.emergency.policies()
    (found,) = again(prepared, "patient").emergency.policies()
    assert found.policy_id == first.policy_id


def test_it_lives_on_when_lanes_rotate(prepared: World) -> None:
    """Somebody else's revocation rotates the lane: the desk is granted the new one, still for emergencies alone."""
    other = grant(prepared, "stranger", ("emergency",))
    prepared.patient.revoke(other, rotate=True)
    (view,) = prepared.patient.emergency.policies()
    assert view.grantee == prepared.patient.address
    with pytest.raises(AccessDeniedError):
        asks_proxies(prepared)
    assert len(opened(prepared, broken(prepared))) == 1


def test_it_outlives_a_renewal_of_the_desks_key(prepared: World, desk: Address) -> None:
    prepared.clinician.renew_group(desk)
    assert len(opened(prepared, broken(prepared))) == 1
    assert [view.status for view in prepared.patient.emergency.policies()] == [PolicyStatus.ACTIVE]


def test_whoever_left_the_desk_has_its_old_key_and_still_needs_both_signatures(prepared: World, desk: Address) -> None:
    (policy,) = prepared.nurse._for_emergencies(prepared.patient.address)
    prepared.clinician.remove_member(desk, prepared.nurse.address)
    with pytest.raises(AccessDeniedError):
        again(prepared, "nurse").ask_proxies(policy)


def test_a_reason_for_others_opens_for_nobody_else(prepared: World) -> None:
    ask(prepared)
    (one,) = prepared.network.sidechain.emergency.find()
    block = _block(prepared, one.reason)
    assert open_reason(block, prepared.patient._seed.sealing()) == REASON
    with pytest.raises(PanaChainError):
        open_reason(block, prepared.stranger._seed.sealing())


def _block(world: World, digest: bytes) -> bytes:
    from panachain.ipld.cid import CID, RAW

    return bytes(world.network.store.get_block(CID(RAW, digest)))


class TestWaiting:
    """What the patient lets wait, of the emergency summary and beside it."""

    DELAY = timedelta(minutes=30)

    def prepare(self, world: World, desk: Address, *later: str, delay: timedelta = DELAY) -> None:
        ill = condition(id="c", onsetDateTime="2025-05-01", subject={"reference": "Patient/p"})
        world.upload_each("hospital", [ill, resource("laboratory", 2025, 7)])
        world.patient.emergency.prepare([desk], until=world.now + 1_000 * 86_400, later=later, delay=delay)

    def kinds(self, world: World, number: int) -> list[str]:
        return sorted(record.info.category.value for record in opened(world, number))

    def ask_for_later(self, world: World) -> None:
        """Ask the proxies past all rules of the SDK for what waits."""
        session = again(world, "clinician")
        policies = session._for_emergencies(world.patient.address)
        session.ask_proxies(next(one for one, delay in policies.items() if delay))

    def test_a_category_of_the_summary_opens_when_the_delay_is_over(self, prepared: World, desk: Address) -> None:
        world = prepared
        self.prepare(world, desk, "conditions")
        number = broken(world)
        assert self.kinds(world, number) == ["allergies"]
        opening = world.clinician.emergency.open(number)
        made = opening.summary(now=float(world.now))
        assert faults(made.content) == []
        assert Category.CONDITIONS in opening.withheld
        assert {"conditions", "mental-health"} <= set(made.withheld)
        assert world.clinician.emergency.more_at(number) == world.now + 1800
        world.advance(1799)
        assert self.kinds(world, number) == ["allergies"]
        with pytest.raises(AccessDeniedError):
            self.ask_for_later(world)
        world.advance(1)
        assert self.kinds(world, number) == ["allergies", "conditions"]
        self.ask_for_later(world)
        assert world.clinician.emergency.more_at(number) == 0

    def test_a_category_beside_the_summary_opens_later_and_with_its_end(self, prepared: World, desk: Address) -> None:
        self.prepare(prepared, desk, "laboratory")
        number = broken(prepared)
        assert self.kinds(prepared, number) == ["allergies", "conditions"]
        prepared.advance(1800)
        assert self.kinds(prepared, number) == ["allergies", "conditions", "laboratory"]
        prepared.advance(4 * HOUR - 1800)
        with pytest.raises(AccessDeniedError):
            self.ask_for_later(prepared)

    def test_nothing_that_waits_opens_without_an_emergency_or_for_another(self, prepared: World, desk: Address) -> None:
        self.prepare(prepared, desk, "laboratory")
        with pytest.raises(AccessDeniedError):
            self.ask_for_later(prepared)
        # An emergency of somebody else has other accounts for its delays.
        other = prepared.registrar.admit(_another_patient())
        emergency = prepared.network.sidechain.emergency
        emergency.request(prepared.clinician._person(), other.address, b"r" * 32)
        emergency.cosign(prepared.nurse._person(), 1)
        prepared.advance(1800)
        with pytest.raises(AccessDeniedError):
            self.ask_for_later(prepared)

    def test_a_sidechain_that_is_ahead_opens_nothing_early(self, prepared: World, desk: Address) -> None:
        self.prepare(prepared, desk, "laboratory")
        broken(prepared)
        sidechain = prepared.network.sidechain.chain
        ahead = prepared.now + 3600
        sidechain.clock = lambda: ahead
        sidechain.mine()
        with pytest.raises(AccessDeniedError):
            self.ask_for_later(prepared)

    def test_a_veto_closes_what_waits(self, prepared: World, desk: Address) -> None:
        self.prepare(prepared, desk, "conditions")
        number = broken(prepared)
        assert len(prepared.patient.emergency.veto()) == 2
        prepared.advance(1800)
        with pytest.raises(AccessDeniedError, match="vetoed"):
            opened(prepared, number)

    def test_where_everything_waits_the_time_is_said(self, prepared: World, desk: Address) -> None:
        everything = ("allergies", "medications", "conditions", "immunizations", "demographics")
        self.prepare(prepared, desk, *everything)
        number = broken(prepared)
        with pytest.raises(OutOfScopeError, match=r"opens something at .*, and nothing before"):
            opened(prepared, number)
        prepared.advance(1800)
        assert self.kinds(prepared, number) == ["allergies", "conditions"]

    def test_what_was_prepared_before_is_taken_back_and_the_same_again_stays(
        self, prepared: World, desk: Address
    ) -> None:
        (before,) = prepared.patient.emergency.policies()
        self.prepare(prepared, desk, "conditions")
        made = {view.policy_id for view in prepared.patient.emergency.policies()}
        assert before.policy_id not in made
        assert len(made) == 2
        for later in ({}, {"later": ["conditions"], "delay": self.DELAY}):
            prepared.patient.emergency.prepare([desk], until=prepared.now + 1_000 * 86_400, **later)
            assert {view.policy_id for view in prepared.patient.emergency.policies()} == made

    def test_a_delay_lives_on_when_lanes_rotate(self, prepared: World, desk: Address) -> None:
        self.prepare(prepared, desk, "laboratory")
        other = grant(prepared, "stranger", ("laboratory",))
        prepared.patient.revoke(other, rotate=True)
        number = broken(prepared)
        assert self.kinds(prepared, number) == ["allergies", "conditions"]
        with pytest.raises(AccessDeniedError):
            self.ask_for_later(prepared)
        prepared.advance(1800)
        assert "laboratory" in self.kinds(prepared, number)

    @pytest.mark.parametrize("minutes", [0, 1, 14, 16, 226, 240, 24 * 60])
    def test_a_delay_that_an_emergency_does_not_last_for_is_refused(
        self, prepared: World, desk: Address, minutes: int
    ) -> None:
        before = prepared.patient.emergency.policies()
        with pytest.raises(UsageError, match="four hours after the second signature"):
            self.prepare(prepared, desk, "conditions", delay=timedelta(minutes=minutes))
        assert prepared.patient.emergency.policies() == before

    def early(self, world: World, seconds: int, *, looked: bool = True) -> int:
        """Break the glass, where the block of the co-signature is stamped long before it is made."""
        # Nothing happened on the sidechain for so long: its newest block is older than the stamp.
        chain, stamped = world.network.sidechain.chain, world.now
        world.clock.now += seconds
        world.network.mainchain.chain.mine()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chain, "clock", lambda: stamped)
            number = broken(world)
        for proxy in world.proxies if looked else ():
            proxy.service.look_for_emergencies()
        return number

    def test_an_early_stamp_shortens_the_wait_by_the_tolerance_alone(self, prepared: World, desk: Address) -> None:
        """A proposer in league with both practitioners says that they signed half an hour ago."""
        world = prepared
        self.prepare(world, desk, "conditions")
        number = self.early(world, 1800)
        (told,) = world.patient.emergency.all()
        assert told.expires_at == world.now + 4 * HOUR - 1800
        with pytest.raises(OpensLaterError):
            self.ask_for_later(world)
        # What opens at once does, and more at the proxies' time.
        assert self.kinds(world, number) == ["allergies"]
        assert world.clinician.emergency.more_at(number) == world.now + 1800 - TOLERANCE
        world.advance(1800 - TOLERANCE - 1)
        assert self.kinds(world, number) == ["allergies"]
        # Nobody is told to ask again within a minute.
        assert world.clinician.emergency.more_at(number) == world.now + 60
        world.advance(1)
        self.ask_for_later(world)
        assert self.kinds(world, number) == ["allergies", "conditions"]
        assert world.clinician.emergency.more_at(number) == 0

    def test_where_everything_waits_the_proxies_time_is_said(self, prepared: World, desk: Address) -> None:
        everything = ("allergies", "medications", "conditions", "immunizations", "demographics")
        self.prepare(prepared, desk, *everything)
        number = self.early(prepared, 1800)
        at = iso(prepared.now + 1800 - TOLERANCE)
        with pytest.raises(OutOfScopeError, match=f"opens something at {at}, and nothing before"):
            opened(prepared, number)

    def test_a_stamp_within_the_tolerance_is_believed(self, prepared: World, desk: Address) -> None:
        self.prepare(prepared, desk, "conditions")
        number = self.early(prepared, TOLERANCE)
        prepared.advance(1800 - TOLERANCE)
        assert self.kinds(prepared, number) == ["allergies", "conditions"]

    def test_proxies_that_start_again_go_on_counting(self, prepared: World, desk: Address) -> None:
        self.prepare(prepared, desk, "conditions")
        number = broken(prepared)
        prepared.advance(900)
        for proxy in prepared.proxies:
            proxy.restart()
        prepared.advance(900)
        assert self.kinds(prepared, number) == ["allergies", "conditions"]

    def test_a_proxy_that_was_down_counts_from_when_it_is_back_and_the_others_serve(
        self, prepared: World, desk: Address
    ) -> None:
        world = prepared
        self.prepare(world, desk, "conditions")
        late = world.proxies[0]
        late.up = False
        number = broken(world)
        world.advance(1800)
        late.up = True
        late.service.look_for_emergencies()
        # Two of three were there.
        assert self.kinds(world, number) == ["allergies", "conditions"]
        world.proxies[1].up = False
        assert self.kinds(world, number) == ["allergies"]
        # The one that is down may be back and serve long before the late one does.
        assert world.clinician.emergency.more_at(number) == world.now + 60
        world.advance(1800 - TOLERANCE)
        assert self.kinds(world, number) == ["allergies", "conditions"]

    @pytest.mark.parametrize("seconds", [0, 1, 10**5 - 1])
    def test_proxies_that_lie_about_the_time_never_let_it_be_said_that_nothing_more_opens(
        self, prepared: World, desk: Address, seconds: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = prepared
        self.prepare(world, desk, "conditions")
        number = broken(world)
        world.advance(1800)
        for proxy in world.proxies:
            real = proxy.service._opens_at

            def lying(grantee: Address, person: Address, *, at: int, real: Any = real) -> Wait | None:
                found: Wait | None = real(grantee, person, at=at)
                if found is not None and found.until:
                    raise OpensLaterError("not yet", retry_after=seconds)
                return found

            monkeypatch.setattr(proxy.service, "_opens_at", lying)
        assert self.kinds(world, number) == ["allergies"]
        at = world.clinician.emergency.more_at(number)
        # No time is shown at which it is over: a proxy can make none up.
        told = world.now + max(60, seconds)
        assert at == (told if told < world.now - 1800 + 4 * HOUR else 0)
        world.advance(120)
        # The time that they told is over, and nothing more opened yet; it may now.
        assert world.clinician.emergency.more_at(number) == (max(at, world.now + 60) if at else 0)
        monkeypatch.undo()
        assert self.kinds(world, number) == ["allergies", "conditions"]
        assert world.clinician.emergency.more_at(number) == 0

    def test_what_was_refused_and_then_vetoed_isnt_said_to_open(self, prepared: World, desk: Address) -> None:
        self.prepare(prepared, desk, "conditions")
        number = self.early(prepared, 1800)
        assert self.kinds(prepared, number) == ["allergies"]
        assert prepared.clinician.emergency.more_at(number) > 0
        prepared.patient.emergency.veto()
        assert prepared.clinician.emergency.more_at(number) == 0

    @pytest.mark.parametrize("seconds", [0, 1])
    def test_where_everything_waits_proxies_that_lie_about_the_time_show_none_of_1970(
        self, prepared: World, desk: Address, seconds: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        everything = ("allergies", "medications", "conditions", "immunizations", "demographics")
        self.prepare(prepared, desk, *everything)
        number = broken(prepared)
        prepared.advance(1800)

        def lying(*_: object, **__: object) -> None:
            raise OpensLaterError("not yet", retry_after=seconds)

        for proxy in prepared.proxies:
            monkeypatch.setattr(proxy.service, "_opens_at", lying)
        at = iso(prepared.now + 60)
        with pytest.raises(OutOfScopeError, match=f"opens something at {at}, and nothing before"):
            opened(prepared, number)

    def test_where_everything_waits_and_proxies_know_of_it_too_late_it_is_said_that_nothing_opens(
        self, prepared: World, desk: Address
    ) -> None:
        everything = ("allergies", "medications", "conditions", "immunizations", "demographics")
        self.prepare(prepared, desk, *everything)
        # They were down, and are back twenty minutes before its end.
        number = self.early(prepared, 4 * HOUR - 1200, looked=False)
        with pytest.raises(OutOfScopeError, match="opens nothing before it is over") as caught:
            opened(prepared, number)
        assert "begins another one" in caught.value.hint
        assert prepared.clinician.emergency.more_at(number) == 0

    def test_who_asks_before_a_proxy_looked_is_seen_by_it_then(self, prepared: World, desk: Address) -> None:
        self.prepare(prepared, desk, "conditions")
        number = self.early(prepared, 1800, looked=False)
        assert self.kinds(prepared, number) == ["allergies"]
        assert prepared.clinician.emergency.more_at(number) == prepared.now + 1800 - TOLERANCE

    def test_the_patients_log_says_that_it_had_to_wait(self, prepared: World, desk: Address) -> None:
        self.prepare(prepared, desk, "conditions")
        self.early(prepared, 1800)
        with pytest.raises(OpensLaterError):
            self.ask_for_later(prepared)
        prepared.wait()
        refused = [reading for reading in prepared.patient.log() if not reading.permitted]
        assert [reading.requester for reading in refused] == [prepared.clinician.address]

    def test_categories_and_delay_go_together(self, prepared: World, desk: Address) -> None:
        for how in ({"later": ["conditions"]}, {"delay": self.DELAY}):
            with pytest.raises(UsageError, match="for how long"):
                prepared.patient.emergency.prepare([desk], until=prepared.now + 86_400, **how)

    def test_people_are_shown_the_patient_and_not_the_account_of_a_delay(self, prepared: World, desk: Address) -> None:
        self.prepare(prepared, desk, "conditions")
        views = prepared.patient.emergency.policies()
        assert {view.grantee for view in views} == {prepared.patient.address}
        assert list(prepared.clinician.inbox()) == []
