"""Wards with real keys, terms and proxies: what a carer can do until when, and what then; each rule with its twin.

The patient is the ward; the parent cares for them through an account of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from panachain.crypto.keys import Seed, address_of
from panachain.errors import (
    AccessDeniedError,
    IntegrityError,
    NotPairedError,
    OutOfScopeError,
    PanaChainError,
    PartlyDoneError,
    SuspendedError,
    TransactionError,
    UnknownActorError,
    UsageError,
)
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Address, Role, Status
from panachain.model.choices import Choices
from panachain.model.scope import Category
from panachain.records import pairing
from panachain.records.findings import Strict
from panachain.sdk import base, care, wards
from panachain.sdk.patient import Patient
from panachain.sdk.profiles import Profile
from tests.keystores import make_cheap
from tests.support import chain_refuses
from tests.twin import world as twin
from tests.twin.chains import TwinSender
from tests.twin.world import World, resource, running_world, seed_of

DAY = 86_400
YEARS = 5 * 365 * DAY
PAPERS = "family court, file 7 F 12/26"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    make_cheap(monkeypatch, for_this_process_only=True)
    with running_world() as made:
        yield made


def person(world: World, name: str, seed: Seed | None = None) -> Patient:
    """Return a registered patient's session; with a seed, that of an account."""
    seed = seed or seed_of(name)
    folder = world.home / "profiles" / name
    folder.mkdir(parents=True, exist_ok=True)
    profile = Profile(name, Role.PATIENT, address_of(seed.account_key()), seed.public_keys(), folder)
    session = Patient.__new__(Patient)
    session.network, session.profile, session.address = world.network, profile, profile.address
    session._owns_network, session._unlocked, session._passphrase = False, seed, base.Hidden("")
    if world.network.sidechain.identities.identity_of(profile.address) is None:
        world.registrar.admit(profile.actor)
    world.sessions[name] = session
    return session


def account_for(world: World, carer: Patient, ward: Address) -> Patient:
    seed = carer.wards._care_seed(ward)
    return person(world, f"for-{ward[2:8]}-{carer.profile.name}", seed)


def propose(world: World, **more: Any) -> tuple[Patient, Patient, int]:
    """Return the carer, the account, and the number of a wardship that the carer accepted."""
    parent = person(world, "parent")
    account = account_for(world, parent, world.patient.address)
    terms = {"until": world.now + YEARS} | more
    made = account.wards.propose(world.patient.address, parent.address, PAPERS, **terms)
    parent.wards.accept(made)
    return parent, account, made.number


def start(world: World, **more: Any) -> tuple[Patient, Patient, int]:
    """Return the same of one that is in force, with both hospitals paired by the carer."""
    parent, account, number = propose(world, **more)
    world.registrar.wards.start(number)
    account.pair(world.hospital.address)
    return parent, account, number


def publish(world: World, *categories: str, whom: Address | None = None) -> Any:
    made = [resource(one, 2025, 1000 + world.now % 997 + number) for number, one in enumerate(categories)]
    world._uploads += 1
    folder = world.home / f"ward-{world._uploads}"
    folder.mkdir()
    for number, one in enumerate(made):
        (folder / f"{number}.json").write_text(json.dumps(one | {"id": f"w{world._uploads}-{number}"}))
    return world.hospital.upload([folder], whom or world.patient.address)


def kinds(session: Patient) -> list[str]:
    return sorted(record.info.category.value for record in session.records())


KEEPS = {"keeps": ("mental-health", "sexual-health")}


class TestActing:
    def test_a_carer_grants_revokes_and_sees_the_log_in_the_wards_place(self, world: World) -> None:
        _, account, _ = start(world)
        publish(world, "laboratory")

        policy = account.grant(world.clinician.address, ["laboratory"], until=world.now + DAY)

        (record,) = world.clinician.open(policy)
        assert record.info.category is Category.LABORATORY
        world.wait()
        assert len(list(account.log(policy))) == 1
        assert account.revoke(policy).final
        with pytest.raises(AccessDeniedError):
            list(world.clinician.open(policy))

    def test_nothing_goes_to_the_carer_before_the_registrar_attested_it(self, world: World) -> None:
        _, account, number = propose(world)
        with pytest.raises(SuspendedError, match="isn't attested"):
            account.pair(world.hospital.address)
        with pytest.raises(SuspendedError, match="isn't attested"):
            account.grant(world.clinician.address, ["laboratory"], until=world.now + DAY)
        publish(world, "laboratory")
        assert kinds(world.patient) == ["laboratory"]
        assert world.patient.wards.all() == []
        assert world.registrar.wards.find(number).state == "accepted"

    def test_records_of_the_carers_categories_lie_in_the_carers_lanes_and_in_no_others(self, world: World) -> None:
        _, account, _ = start(world, **KEEPS)
        publish(world, "laboratory", "mental-health")
        assert kinds(account) == ["laboratory"]
        assert kinds(world.patient) == ["mental-health"]

    def test_a_hospital_that_names_the_account_publishes_the_same_way(self, world: World) -> None:
        _, account, _ = start(world, **KEEPS)
        publish(world, "laboratory", "mental-health", whom=account.address)
        assert (kinds(account), kinds(world.patient)) == (["laboratory"], ["mental-health"])

    def test_a_carer_who_did_not_pair_costs_the_ward_their_own_categories_nothing(self, world: World) -> None:
        _, account, number = propose(world, **KEEPS)
        world.registrar.wards.start(number)
        with pytest.raises(PartlyDoneError) as failed:
            publish(world, "laboratory", "mental-health")
        assert "hasn't paired" in str(failed.value.omissions[0].error)
        assert kinds(world.patient) == ["mental-health"]
        assert kinds(account) == []


class TestOneOfSeveralWards:
    """A carer of two: what is wrong with one of them costs the other nothing."""

    @pytest.fixture
    def sibling(self, world: World) -> tuple[World, Patient, Patient, Patient]:
        """The world, the first ward's account, the other ward, and that one's account."""
        parent, first, _ = start(world, **KEEPS)
        other = person(world, "sibling")
        account = account_for(world, parent, other.address)
        made = account.wards.propose(other.address, parent.address, PAPERS, until=world.now + YEARS, **KEEPS)
        parent.wards.accept(made)
        world.registrar.wards.start(made.number)
        for one in (account, other):
            one.pair(world.hospital.address)
        return world, first, other, account

    def both(self, world: World, other: Patient) -> PartlyDoneError:
        """Publish the same for both wards in one call, and return what was left out."""
        assigned = []
        for whom in (world.patient.address, other.address):
            folder = world.home / f"for-{whom}"
            folder.mkdir()
            for number, one in enumerate(("laboratory", "mental-health")):
                (folder / f"{number}.json").write_text(json.dumps(resource(one, 2025, 1000) | {"id": f"x{number}"}))
            assigned.append((folder, whom))
        with pytest.raises(PartlyDoneError) as failed:
            world.hospital.upload_many(assigned)
        return failed.value

    @pytest.mark.parametrize("damage", ["lost", "nonsense"])
    @pytest.mark.parametrize("whose", ["ward", "carer"])
    def test_a_pairing_that_cannot_be_read_stops_nobody_elses_records(
        self, sibling: tuple[World, Patient, Patient, Patient], damage: str, whose: str
    ) -> None:
        world, first, other, account = sibling
        broken = world.patient if whose == "ward" else first
        identities = world.network.sidechain.identities
        if damage == "nonsense":
            block = os.urandom(500)
            cid = CID.of(RAW, block)
            world.network.store.put_block(cid, block)
            identities.pair(broken._person(), world.hospital.address, cid.digest)
        else:
            digest = identities.pairing_of(broken.address, world.hospital.address)
            assert digest is not None
            world.network.store.delete_block(CID(RAW, digest))

        failed = self.both(world, other)

        assert [one.what for one in failed.omissions] == [f"patient {broken.profile.handle}"]
        assert (kinds(account), kinds(other)) == (["laboratory"], ["mental-health"])
        # What the ward closes isn't known, so the carer gets nothing of theirs; what the carer closes is no business
        # of the ward's own lanes.
        published = sorted(one.category.value for one in failed.result.records)
        assert published == ["laboratory", "mental-health", *([] if whose == "ward" else ["mental-health"])]

    def test_a_lane_that_is_no_key_stops_nobody_elses_records(
        self, sibling: tuple[World, Patient, Patient, Patient], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A dishonest program signs a pairing whose lanes can't be sealed to."""
        world, _, other, account = sibling
        true = pairing.hospital_lane

        def bad(seed: Seed, hospital: Address, scope: Any, generation: int) -> Any:
            return replace(true(seed, hospital, scope, generation), public=b"\x02" + bytes(32))

        with monkeypatch.context() as patch:
            patch.setattr(pairing, "hospital_lane", bad)
            world.patient.pair(world.hospital.address)
        failed = self.both(world, other)
        assert len(failed.omissions) == 1
        assert (kinds(account), kinds(other)) == (["laboratory"], ["mental-health"])
        assert kinds(world.patient) == []


class TestKept:
    def test_the_carer_can_neither_open_nor_grant_what_the_ward_keeps(self, world: World) -> None:
        _, account, _ = start(world, **KEEPS)
        publish(world, "mental-health")
        assert kinds(account) == []
        for categories in (["mental-health"], ["laboratory", "sexual-health"]):
            with pytest.raises(OutOfScopeError, match=r"leaves .* to the ward"):
                account.grant(world.clinician.address, categories, until=world.now + DAY)
        assert list(account.policies()) == []
        policy = world.patient.grant(world.clinician.address, ["mental-health"], until=world.now + DAY)
        assert len(list(world.clinician.open(policy))) == 1

    def test_no_key_of_the_carers_opens_what_the_ward_keeps(self, world: World) -> None:
        """Not even with a program that asks nobody: the seeds have no lane in common."""
        parent, account, _ = start(world, **KEEPS)
        publish(world, "mental-health")
        (record,) = world.patient.records()
        own, theirs = (
            {lane.public for lane in world.hospital.pairing(session.whoami()).lanes.values()}
            for session in (world.patient, account)
        )
        assert not own & theirs
        for session in (parent, account):
            with pytest.raises(UnknownActorError):
                session.get(record.info.header_cid)

    def test_what_the_ward_keeps_later_is_the_carers_before(self, world: World) -> None:
        _, account, number = start(world, **KEEPS, keeps_from=world.now + 100 * DAY)
        publish(world, "mental-health")
        assert kinds(account) == ["mental-health"]
        with pytest.raises(OutOfScopeError, match="outlast"):
            account.grant(world.clinician.address, ["mental-health"], until=world.now + 101 * DAY)
        policy = account.grant(world.clinician.address, ["mental-health"], until=world.now + 100 * DAY)
        assert "mental-health" in account.wards.find(number).acts_in

        world.advance(100 * DAY)

        assert "mental-health" not in account.wards.find(number).acts_in
        with pytest.raises(AccessDeniedError):
            list(world.clinician.open(policy))
        publish(world, "mental-health", "laboratory")
        assert (kinds(account), kinds(world.patient)) == (["laboratory", "mental-health"], ["mental-health"])

    def test_the_registrar_attests_nothing_that_gives_away_for_good_what_the_law_leaves_to_wards(
        self, world: World
    ) -> None:
        _, _, number = propose(world)
        world.network.config = replace(world.network.config, ward_keeps=("sexual-health",))
        with pytest.raises(OutOfScopeError, match="sexual-health"):
            world.registrar.wards.start(number)
        assert world.registrar.wards.find(number).state == "accepted"
        other = person(world, "uncle")
        account = account_for(world, other, world.patient.address)
        made = account.wards.propose(
            world.patient.address, other.address, PAPERS, until=world.now + YEARS, **KEEPS, keeps_from=world.now + DAY
        )
        other.wards.accept(made)
        assert world.registrar.wards.start(made).state == "in force"


ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
PREGNANCY = {"coding": [{"system": ICD10, "code": "Z33.1", "display": "Pregnant state, incidental"}]}


def pregnancy(world: World) -> str:
    """Return the path of a condition that closing PREGNANT makes one of sexual health."""
    world._uploads += 1
    path = world.home / f"pregnancy-{world._uploads}.json"
    made = {"resourceType": "Condition", "id": f"p{world._uploads}", "subject": {"reference": "Patient/1"}}
    path.write_text(json.dumps(made | {"recordedDate": "2025-03-04", "code": PREGNANCY}))
    return str(path)


class TestSortedAlike:
    """What the ward and the carer close is closed for both ways: each record goes one of them, and never both."""

    @pytest.fixture
    def minimal(self, world: World) -> World:
        world.network.config = replace(world.network.config, sensitivity="minimal")
        return world

    @pytest.mark.parametrize("each", [False, True], ids=["upload", "upload --by-patient"])
    @pytest.mark.parametrize("who", ["carer", "ward", "both", "nobody"])
    def test_each_record_goes_exactly_one_way_whoever_closes_its_kind(
        self, minimal: World, who: str, each: bool
    ) -> None:
        world = minimal
        _, account, _ = start(world, keeps=("sexual-health",))
        if who in ("carer", "both"):
            account.choices.change(close=["pregnancy"])
        if who in ("ward", "both"):
            world.patient.choices.change(close=["pregnancy"])
        path = pregnancy(world)
        if each:
            world.hospital.upload_each([path], {"Patient/1": world.patient.address})
        else:
            world.hospital.upload([path], world.patient.address)
        theirs, own = (["conditions"], []) if who == "nobody" else ([], ["sexual-health"])
        assert (kinds(account), kinds(world.patient)) == (theirs, own)

    def test_an_emergency_summary_holds_what_both_want_in_it(self, world: World) -> None:
        one, other = (Choices(1, frozenset(), frozenset(kinds)) for kinds in (("ETHUD", "HIV"), ("HIV",)))
        assert one.together(other) == other.together(one) == Choices(1, frozenset(), frozenset({"HIV"}))

    def test_an_unknown_kind_of_the_carers_keeps_nothing_back_from_the_wards_lanes(self, world: World) -> None:
        _, account, _ = start(world, **KEEPS)
        unknown = Choices(1, frozenset({"A-KIND-OF-TOMORROW"}))
        account._lanes.tell(account._lanes.generations(), unknown, Strict())
        with pytest.raises(PartlyDoneError, match="doesn't know"):
            publish(world, "laboratory", "mental-health")
        assert (kinds(account), kinds(world.patient)) == ([], ["mental-health"])

    def test_an_unknown_kind_of_the_wards_opens_nothing_to_the_carer(self, world: World) -> None:
        _, account, _ = start(world, **KEEPS)
        unknown = Choices(1, frozenset({"A-KIND-OF-TOMORROW"}))
        world.patient._lanes.tell(world.patient._lanes.generations(), unknown, Strict())
        with pytest.raises(IntegrityError, match="doesn't know"):
            publish(world, "laboratory", "mental-health")
        assert (kinds(account), kinds(world.patient)) == ([], [])


def move(world: World, before: Address, name: str) -> Patient:
    """Return the session of somebody to whom guardians moved an account."""
    after = person(world, name)
    world.network.sidechain.chain.contracts["IdentityRegistry"].recover(before, after.address)
    world.network.sidechain.guardianships.complete_recovery(after._person(), before)
    return after


class TestMoved:
    """Guardians of the account are whom the carer named; those of ward and carer are their own."""

    def test_an_account_for_a_ward_that_was_moved_leads_nowhere(self, world: World) -> None:
        _, account, _ = start(world, **KEEPS)
        stranger = move(world, account.address, "accomplice")
        stranger.pair(world.hospital.address)

        found = world.network.resolve(account.address, Role.PATIENT)
        assert (found.address, found.status) == (account.address, Status.REPLACED)
        assert account.address not in world.network.resolver.moves()
        for whom in (account.address, world.patient.address):
            with pytest.raises(PartlyDoneError) as failed:
                publish(world, "laboratory", "mental-health", whom=whom)
            assert "was moved by its guardians" in str(failed.value.omissions[0].error)
        assert kinds(world.patient) == ["mental-health"] * 2
        assert (kinds(stranger), kinds(account)) == ([], [])

    @pytest.mark.parametrize("early", [False, True])
    def test_nor_does_it_after_the_end(self, world: World, early: bool) -> None:
        _, account, number = start(world, **KEEPS)
        stranger = move(world, account.address, "accomplice")
        stranger.pair(world.hospital.address)
        if early:
            world.registrar.wards.end(number)
        else:
            world.advance(YEARS)
        with pytest.raises(NotPairedError, match="nothing is published to it") as failed:
            publish(world, "laboratory", "mental-health", whom=account.address)
        assert world.patient.address in str(failed.value.hint)
        publish(world, "laboratory", "mental-health")
        assert (kinds(stranger), kinds(world.patient)) == ([], ["laboratory", "mental-health"])

    def test_everybody_elses_account_is_followed_as_before(self, world: World) -> None:
        """The twin: an account of which no wardship was ever attested is its person's own."""
        _, account, _ = propose(world, **KEEPS)
        uncle = person(world, "uncle")
        for before, name in ((account.address, "first"), (uncle.address, "second")):
            after = move(world, before, name)
            assert world.network.resolve(before, Role.PATIENT).address == after.address

    def test_a_ward_who_was_moved_stays_in_care(self, world: World) -> None:
        _, account, number = start(world, **KEEPS)
        after = move(world, world.patient.address, "moved-ward")
        after.pair(world.hospital.address)
        for whom in (world.patient.address, after.address, account.address):
            publish(world, "laboratory", "mental-health", whom=whom)
        assert kinds(account) == ["laboratory"] * 3
        assert kinds(after) == ["mental-health"] * 3
        (seen,) = after.wards.all()
        assert (seen.number, "account that guardians moved" in seen.handover) == (number, True)
        assert after.wards.acts(number)
        with pytest.raises(OutOfScopeError, match="the account that guardians moved"):
            after.wards.take_over(number, "childhood", "long enough")
        assert world.patient.wards.take_over(number, "childhood", "long enough").address == account.address

    def test_a_ward_who_was_moved_gets_no_second_wardship_and_their_carer_ends_the_first(self, world: World) -> None:
        parent, _, number = start(world)
        after = move(world, world.patient.address, "moved-ward")
        uncle = person(world, "uncle")
        account = account_for(world, uncle, after.address)
        second = account.wards.propose(after.address, uncle.address, PAPERS, until=world.now + YEARS)
        uncle.wards.accept(second)
        with chain_refuses("WardshipWardTaken"):
            world.registrar.wards.start(second)
        moved = move(world, parent.address, "moved-parent")
        with chain_refuses("WardshipNotYours"):
            parent.wards.end(number)
        moved.wards.end(number)
        assert world.registrar.wards.start(second).state == "in force"

    def test_a_carer_who_was_moved_goes_on_through_the_account(self, world: World) -> None:
        parent, account, number = start(world)
        after = move(world, parent.address, "moved-parent")
        care.check_acting(world.network, account.address)
        assert [one.number for one in after.wards.all()] == [number]
        assert person(world, "uncle").wards.all() == []

    def test_a_suspended_carers_account_acts_no_more_and_gets_nothing(self, world: World) -> None:
        parent, account, _ = start(world, **KEEPS)
        world.network.sidechain.identities.suspend(world.registrar._sender(sidechain=True), parent.address)
        for act in (
            lambda: account.pair(world.hospital.address),
            lambda: account.grant(world.clinician.address, ["laboratory"], until=world.now + DAY),
        ):
            with pytest.raises(SuspendedError, match="is suspended"):
                act()
        with pytest.raises(NotPairedError, match="whose carer is suspended"):
            publish(world, "laboratory", whom=account.address)
        publish(world, "laboratory")
        assert (kinds(account), kinds(world.patient)) == ([], ["laboratory"])
        world.reinstate("parent")
        publish(world, "vitals")
        assert kinds(account) == ["vitals"]


class TestInAnEmergency:
    """A ward has two accounts while they are in care, and an emergency is of one of them."""

    def broken(self, world: World, whom: Address) -> int:
        asked = world.clinician.emergency.request(whom, "unconscious", colleague=world.nurse.address)
        world.nurse.emergency.cosign(asked)
        return asked.emergency_id

    def test_each_account_is_opened_by_its_own_and_both_are_named(self, world: World) -> None:
        _, account, number = start(world, categories=["allergies"])
        group = world.clinician.create_group()
        world.clinician.add_member(group.group, world.nurse.address)
        world.nurse.accept_group(group.group)
        publish(world, "allergies", "medications")
        for patient in (world.patient, account):
            patient.emergency.prepare([group.group], until=world.now + DAY)
            assert len(patient.emergency.beside()) == 1
        ward, theirs = world.patient.address, account.address

        own = self.broken(world, ward)
        opened = [one.info.category.value for one in world.clinician.emergency.open(own)]
        assert "allergies" not in opened
        (other,) = world.clinician.emergency.beside(ward)
        assert other.address == theirs
        again = self.broken(world, other.handle)
        assert [one.info.category.value for one in world.clinician.emergency.open(again)] == ["allergies"]
        assert [one.address for one in world.clinician.emergency.beside(theirs)] == [ward]
        assert world.clinician.emergency.beside(world.registrar.wards.find(number).carer) == ()

    def test_nobody_is_named_before_and_after_the_care(self, world: World) -> None:
        _, account, number = propose(world)
        assert world.clinician.emergency.beside(world.patient.address) == ()
        world.registrar.wards.start(number)
        assert len(world.clinician.emergency.beside(world.patient.address)) == 1
        world.registrar.wards.end(number)
        assert world.clinician.emergency.beside(world.patient.address) == account.emergency.beside() == ()


class TestEnd:
    def test_at_the_date_control_passes_and_nobody_did_anything(self, world: World) -> None:
        _, account, number = start(world)
        publish(world, "laboratory")
        world.advance(YEARS)

        publish(world, "vitals")

        assert kinds(world.patient) == ["vitals"]
        assert kinds(account) == ["laboratory"]
        for act in (
            lambda: account.grant(world.clinician.address, ["laboratory"], until=world.now + DAY),
            lambda: account.pair(world.hospital.address),
        ):
            with pytest.raises(SuspendedError, match="the ward acts for themselves"):
                act()
        with pytest.raises(NotPairedError, match="nothing is published to it"):
            publish(world, "vitals", whom=account.address)
        assert account.wards.find(number).state == "over"

    def test_the_second_before_it_is_still_the_carers(self, world: World) -> None:
        _, account, _ = start(world, until=world.now + DAY)
        world.advance(DAY - 10 - (world.now - twin.START))
        publish(world, "laboratory")
        assert kinds(account) == ["laboratory"]

    def test_no_grant_outlasts_it_and_none_is_served_after_an_early_end(self, world: World) -> None:
        _, account, number = start(world, until=world.now + 10 * DAY)
        with pytest.raises(OutOfScopeError, match="outlast"):
            account.grant(world.clinician.address, ["laboratory"], until=world.now + 10 * DAY + 60)
        publish(world, "laboratory")
        policy = account.grant(world.clinician.address, ["laboratory"], until=world.now + DAY)
        assert len(list(world.clinician.open(policy))) == 1
        world.registrar.wards.end(number)
        with pytest.raises(OutOfScopeError, match="which is ended"):
            list(world.clinician.open(policy))

    def test_an_end_suspends_the_account_and_the_chain_refuses_it(self, world: World) -> None:
        parent, account, number = start(world)
        parent.wards.end(number)
        assert account.whoami().status is Status.SUSPENDED
        with pytest.raises(SuspendedError, match="the ward acts for themselves"):
            account.pair(world.hospital.address)
        with chain_refuses("IdentityNotActivePatient"):
            account._lanes.pair(world.hospital.whoami(), account._lanes.generations())
        with pytest.raises(PanaChainError):
            world.clinician.request(account.address, ["laboratory"])

    def test_anybody_concludes_one_that_is_over_and_none_that_is_not(self, world: World) -> None:
        _, account, number = start(world)
        with chain_refuses("WardshipUnexpectedState"):
            world.patient.wards.conclude(number)
        world.advance(YEARS)
        world.patient.wards.conclude(number)
        assert account.whoami().status is Status.SUSPENDED

    def test_a_chain_that_stands_still_prolongs_nothing(self, world: World) -> None:
        _, account, _ = start(world)
        world.clock.now += YEARS
        with pytest.raises(SuspendedError):
            account.grant(world.clinician.address, ["laboratory"], until=world.now + DAY)

    def test_a_clock_that_is_behind_prolongs_nothing(self, world: World) -> None:
        _, account, _ = start(world)
        world.advance(YEARS)
        world.clock.now -= YEARS
        with pytest.raises(SuspendedError):
            care.check_acting(world.network, account.address)

    def test_a_policy_by_a_dishonest_program_beyond_the_end_is_refused_by_its_reader(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, account, _ = start(world, until=world.now + 10 * DAY)
        publish(world, "laboratory")
        with monkeypatch.context() as patched:
            patched.setattr("panachain.sdk.grants.check_granting", lambda *_: None)
            policy = account.grant(world.clinician.address, ["laboratory"], until=world.now + 20 * DAY)
        with pytest.raises(OutOfScopeError, match="goes beyond"):
            list(world.clinician.open(policy))


class TestOthers:
    def test_another_carer_can_not_accept_end_or_look(self, world: World) -> None:
        _, _, number = start(world)
        other = person(world, "uncle")
        for act in (other.wards.accept, other.wards.end):
            with chain_refuses("WardshipNotYours"):
                act(number)
        with pytest.raises(OutOfScopeError, match="of others"):
            other.wards.acts(number)
        assert other.wards.find(number).papers == ""
        assert other.wards.all() == []

    def test_a_ward_has_one_carer_at_a_time(self, world: World) -> None:
        _, _, first = start(world)
        other = person(world, "uncle")
        account = account_for(world, other, world.patient.address)
        second = account.wards.propose(world.patient.address, other.address, PAPERS, until=world.now + YEARS)
        other.wards.accept(second)
        with chain_refuses("WardshipWardTaken"):
            world.registrar.wards.start(second)
        world.registrar.wards.end(first)
        assert world.registrar.wards.start(second).state == "in force"

    def test_nobody_but_the_registrar_attests(self, world: World) -> None:
        parent, account, number = propose(world)
        for session in (parent, account, world.patient):
            with chain_refuses("AccessManagedUnauthorized"):
                world.network.sidechain.wardships.start(session._person(), number)

    def test_a_proposal_that_nobody_accepted_is_in_nobodys_list(self, world: World) -> None:
        stranger = person(world, "uncle")
        account = account_for(world, stranger, world.patient.address)
        account.wards.propose(world.patient.address, stranger.address, PAPERS, until=world.now + YEARS)
        assert world.patient.wards.all() == []
        assert world.registrar.wards.all() == []

    def test_a_proposal_that_came_to_nothing_leaves_the_account_to_its_person(self, world: World) -> None:
        """Whoever proposes through their own account keeps care off until the registrar ends that, and no longer."""
        parent, _, number = propose(world)
        other = person(world, "uncle")
        bogus = world.patient.wards.propose(other.address, parent.address, PAPERS, until=world.now + YEARS)
        with chain_refuses("WardshipInvalidParties"):
            world.registrar.wards.start(number)
        with pytest.raises(SuspendedError):
            world.patient.pair(world.clinic.address)
        # Nobody is suspended for what never began.
        world.registrar.wards.end(bogus)
        assert world.registrar.wards.start(number).state == "in force"
        world.patient.pair(world.clinic.address)

    def test_what_is_reinstated_after_the_end_stays_so(self, world: World) -> None:
        _, account, number = start(world)
        world.advance(YEARS)
        world.patient.wards.conclude(number)
        with chain_refuses("WardshipNothingToConclude"):
            world.patient.wards.conclude(number)
        reinstated = world.registrar._sender(sidechain=True)
        world.network.sidechain.identities.reinstate(reinstated, account.address)
        assert account.whoami().status is Status.ACTIVE

    def test_a_proposal_that_lapsed_closes_nobodys_account(self, world: World) -> None:
        _, account, number = propose(world)
        world.advance(YEARS)
        with chain_refuses("WardshipNothingToConclude"):
            world.patient.wards.conclude(number)
        identity = world.network.sidechain.identities.identity_of(account.address)
        assert identity is not None
        assert identity.status is Status.ACTIVE

    def test_a_carer_whose_account_ended_gets_another_account(self, world: World) -> None:
        parent, account, number = start(world)
        parent.wards.end(number)
        again = account_for(world, parent, world.patient.address)
        assert again.address != account.address

    def test_a_proposal_needs_papers_and_an_end_that_can_be_meant(self, world: World) -> None:
        parent = person(world, "parent")
        account = account_for(world, parent, world.patient.address)
        for papers in ("", " ", "x" * 2001):
            with pytest.raises(UsageError):
                account.wards.propose(world.patient.address, parent.address, papers, until=world.now + YEARS)
        with chain_refuses("WardshipInvalid"):
            account.wards.propose(world.patient.address, parent.address, PAPERS, until=world.now + 26 * 365 * DAY)
        with pytest.raises(UsageError):
            parent.wards.profile(parent.address, "myself", "passphrase")


class TestTakingOver:
    def test_the_ward_takes_over_without_the_carer_reads_all_and_takes_grants_back(self, world: World) -> None:
        _, account, number = start(world)
        publish(world, "laboratory")
        policy = account.grant(world.clinician.address, ["laboratory"], until=world.now + 30 * DAY)
        assert world.patient.wards.find(number).handover == "good"

        profile = world.patient.wards.take_over(number, "childhood", "long enough")

        assert profile.address == account.address
        own = person(world, "childhood", wards.open_handover(
            world.network.store.get_block(CID(RAW, world.patient.wards._known(number).handover)),
            seed_of("patient").sealing(),
            account.address,
        ))  # fmt: skip
        assert kinds(own) == ["laboratory"]
        assert own.revoke(policy).final
        with pytest.raises(AccessDeniedError):
            list(world.clinician.open(policy))

    def test_nobody_else_takes_over(self, world: World) -> None:
        parent, account, number = start(world)
        for session in (parent, account, person(world, "uncle")):
            with pytest.raises(OutOfScopeError, match="another ward's"):
                session.wards.take_over(number, "mine", "long enough")
            block = world.network.store.get_block(CID(RAW, session.wards._known(number).handover))
            with pytest.raises(IntegrityError):
                wards.open_handover(block, session._seed.sealing(), account.address)

    def test_a_carer_who_sealed_nonsense_is_seen_by_the_ward_at_once(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = seed_of("uncle")
        monkeypatch.setattr(wards, "seal_handover", lambda _, key: wards.box.seal_to(
            key, other.reveal(), wards.labels.WARD_HANDOVER))  # fmt: skip
        _, _, number = start(world)
        assert "another account" in world.patient.wards.find(number).handover
        with pytest.raises(IntegrityError):
            world.patient.wards.take_over(number, "childhood", "long enough")

    def test_the_papers_are_read_by_ward_carer_and_account_alone(self, world: World) -> None:
        parent, account, number = start(world)
        for session in (parent, account, world.patient):
            assert session.wards.find(number).papers == PAPERS
        assert world.registrar.wards.find(number).papers == ""
        assert b"family" not in world.network.store.get_block(CID(RAW, world.patient.wards._known(number).papers))


class TestLog:
    def test_what_a_carer_did_is_told_to_the_ward_with_their_name(self, world: World) -> None:
        parent, account, number = start(world)
        asked = world.clinician.request(account.address, ["laboratory"], note="please")
        account.approve(asked)
        world.clinician.request(account.address, ["vitals"])
        account.deny(2)

        acts = world.patient.wards.acts(number)

        told = [(act.what, act.by) for act in acts]
        assert [what for what, _ in told] == ["proposed", "accepted", "started", "paired", "approved", "denied"]
        assert {by for what, by in told if what != "started"} == {parent.address}
        assert told[2] == ("started", world.registrar.address)
        assert {act.ward for act in acts} == {world.patient.address}
        assert acts[3].about == world.hospital.address

    def test_the_accounts_own_session_tells_grants_and_revocations_too(self, world: World) -> None:
        parent, account, number = start(world)
        policy = account.grant(world.clinician.address, ["laboratory"], until=world.now + DAY)
        account.revoke(policy)
        acts = {act.what: act for act in account.wards.acts(number)}
        assert (acts["granted"].by, acts["granted"].about) == (parent.address, world.clinician.address)
        assert "laboratory until" in acts["granted"].detail
        assert acts["revoked"].by == parent.address


def test_what_the_account_does_after_the_end_is_not_said_to_be_the_carers(world: World) -> None:
    parent, account, number = start(world, until=world.now + DAY)
    asked = world.clinician.request(account.address, ["laboratory"], until=world.now + 30 * DAY)
    world.advance(DAY)
    account.deny(asked)
    acts = {act.what: act.by for act in world.patient.wards.acts(number)}
    assert (acts["paired"], acts["denied"]) == (parent.address, account.address)


def test_a_network_of_before_has_no_wards_and_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.network.sidechain, "wardships", None)
    assert world.patient.wards.all() == []
    assert world.registrar.wards.all() == []
    with pytest.raises(UsageError, match="before there were wardships"):
        world.patient.wards.find(1)
    publish(world, "laboratory")
    assert kinds(world.patient) == ["laboratory"]


@pytest.mark.deep
def test_what_was_sealed_for_a_carer_goes_to_nobody_but_the_ward_once_the_wardship_is_over(
    world: World, tmp_path: Any
) -> None:
    """Their account's lanes are the carer's for good: what wasn't sent before the end isn't sent there behind it."""
    _, account, number = start(world)
    (tmp_path / "one.json").write_text(json.dumps(resource("laboratory", 2025, 7)))
    with patch.object(TwinSender, "_run", side_effect=TransactionError("killed")), pytest.raises(TransactionError):
        world.hospital.upload([tmp_path], world.patient.address)
    world.registrar.wards.end(number)
    with pytest.raises(PartlyDoneError, match="1 record of 1 file") as named:
        world.hospital.settle()
    assert account.profile.handle in str(named.value)
    world.hospital.upload([tmp_path], world.patient.address)
    assert (kinds(account), kinds(world.patient)) == ([], ["laboratory"])
    # The same file, for the ward: nothing is missing any more.
    assert world.hospital.settle().transactions == 0
