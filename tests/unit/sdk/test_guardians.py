"""Guardians of a patient: who is named when, what a thief of the key can't do, and the move to another account."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from panachain.errors import (
    AccessDeniedError,
    BlockNotFoundError,
    IntegrityError,
    SuspendedError,
    TransactionError,
    UnknownActorError,
    UsageError,
)
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Address, Role
from panachain.model.guardianship import RecoveryEvent
from panachain.sdk.contacts import add_contact
from panachain.sdk.guardian_blocks import open_own
from panachain.sdk.guardians import recovery_of
from panachain.sdk.named_blocks import named_blocks
from tests.twin.world import World
from tests.unit.sdk.helpers import admitted, again, grant, upload

DAY = 86_400
THREE = ("clinician", "nurse", "researcher")
PATIENT, OTHER, GUARDIAN = (Address(f"0x{number:040x}") for number in (1, 2, 3))


def name(world: World, *who: str, threshold: int = 2, delay: int = 3 * DAY) -> Any:
    """Let the patient name guardians, by their addresses."""
    people = [world.sessions[one].address for one in who or THREE]
    return world.patient.guardians.set(people, threshold=threshold, delay=delay)


def approve(world: World, *who: str, successor: str = "successor") -> None:
    """Let guardians speak for a move of the patient."""
    for one in who:
        world.sessions[one].guarding.approve(world.patient.address, world.sessions[successor].address)


@pytest.fixture
def moving(world: World) -> World:
    """A patient with three guardians, two of whom are needed, and an account to which they can be moved."""
    admitted(world, "successor")
    name(world)
    return world


class TestNaming:
    def test_guardians_are_found_again_by_the_names_that_the_patient_used(self, world: World) -> None:
        add_contact(world.home, "my-sister", world.nurse.address, Role.PRACTITIONER)
        report = world.patient.guardians.set(["my-sister", world.researcher.address], threshold=2)
        assert [one.address for one in report.guardians] == [world.nurse.address, world.researcher.address]
        assert report.guardians[0].name == "my-sister"
        assert (report.threshold, report.delay, report.changes_at, report.recovery) == (2, 3 * DAY, 0, None)
        assert world.patient.guardians.all().guardians == report.guardians
        status = world.patient.recovery.status()
        assert (status.threshold, status.count) == (2, 2)

    def test_the_chain_and_the_store_name_nobody_and_not_how_many(self, world: World) -> None:
        blocks, counts = [], []
        for who in (("clinician", "nurse"), THREE):
            name(world, *who)
            event = world.network.sidechain.guardianships.announced(world.patient.address)[-1]
            blocks.append(world.network.store.get_block(CID(RAW, event.invitations)))
            counts.append(len(event.commitments))
            for one in THREE:
                raw = bytes.fromhex(world.sessions[one].address[2:])
                assert raw not in blocks[-1]
                assert all(raw not in commitment for commitment in event.commitments)
        assert counts == [8, 8]
        assert len(blocks[0]) == len(blocks[1])
        # Not even a guardian reads who the others are.
        with pytest.raises(IntegrityError):
            open_own(blocks[0], world.nurse._seed)

    @pytest.mark.deep
    def test_numbers_that_dont_fit_make_no_shares(self, world: World) -> None:
        for count, threshold in ((3, 1), (3, 4), (1, 1), (17, 2)):
            with pytest.raises(UsageError):
                world.patient.guardians.set([world.nurse.address] * count, threshold=threshold)
        assert world.patient.recovery.status().state == "none"

    @pytest.mark.deep
    def test_nobody_twice_and_nobody_themselves_and_nobody_unknown(self, world: World) -> None:
        nurse, doctor = world.nurse.address, world.clinician.address
        for people in ([nurse, nurse], [nurse, world.patient.address]):
            with pytest.raises(UsageError):
                world.patient.guardians.set(people, threshold=2)
        with pytest.raises(UnknownActorError):
            world.patient.guardians.set([nurse, "0x" + "12" * 20], threshold=2)
        world.registrar.suspend(doctor)
        with pytest.raises(SuspendedError):
            world.patient.guardians.set([nurse, doctor], threshold=2)
        assert world.patient.guardians.all().threshold == 0

    @pytest.mark.deep
    def test_a_set_that_wasnt_handed_out_is_forgotten(self, world: World) -> None:
        with pytest.raises(TransactionError):
            name(world, delay=60)
        assert world.patient.recovery.status().state == "none"

    @pytest.mark.parametrize("fails", ["store", "before", "after", "report"])
    def test_what_broke_off_is_completed_with_the_same_shares(
        self, world: World, monkeypatch: pytest.MonkeyPatch, fails: str
    ) -> None:
        """Killed or cut off at each step: nothing is announced twice, and no set counts that nobody has."""
        guardianships, announced = world.network.sidechain.guardianships, []
        true = guardianships.set_guardians

        def send(*args: Any) -> Any:
            if fails == "before":
                raise KeyboardInterrupt
            announced.append(args[1:])
            mined = true(*args)
            if fails == "after":
                raise KeyboardInterrupt
            return mined

        with monkeypatch.context() as patch:
            patch.setattr(guardianships, "set_guardians", send)
            if fails == "store":
                patch.setattr("panachain.sdk.guardians.keep", Mock(side_effect=KeyboardInterrupt))
            if fails == "report":
                patch.setattr("panachain.sdk.guardian_blocks.open_own", Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                name(world)
        named = fails in ("after", "report")
        assert world.patient.recovery.status().state == ("untested" if fails == "report" else "none")
        world.patient = again(world, "patient")
        fails = ""
        monkeypatch.setattr(guardianships, "set_guardians", send)
        report = name(world)
        assert [one.address for one in report.guardians] == [world.sessions[one].address for one in THREE]
        assert (report.tx == "", len(announced), report.changes_at) == (named, 1, 0)
        status = world.patient.recovery.status()
        assert (status.state, status.count, status.earlier) == ("untested", 3, 0)
        # The next naming is one of its own.
        assert name(world).changes_at

    def test_others_than_those_of_a_naming_that_broke_off_are_named(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        guardianships = world.network.sidechain.guardianships
        with monkeypatch.context() as patch:
            patch.setattr(guardianships, "set_guardians", Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                name(world)
        assert [one.address for one in name(world, "nurse", "stranger").guardians] == [
            world.nurse.address,
            world.stranger.address,
        ]
        assert world.patient.recovery.status().earlier == 0

    def test_who_was_named_and_taken_back_meanwhile_is_named_anew(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name(world, "nurse", "stranger")
        with monkeypatch.context() as patch:
            patch.setattr(world.patient.guardians.__class__, "_complete", Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                name(world)
        world.patient.guardians.keep()
        report = name(world)
        assert (len(report.announced), bool(report.tx)) == (3, True)

    @pytest.mark.deep
    def test_the_store_is_told_to_keep_what_guardians_hold(self, world: World) -> None:
        name(world)
        name(world, "clinician", "nurse")
        found = [one for one in named_blocks(world.network, world.network.store).blocks if one.what == "invitation"]
        assert len(found) == 2


class TestWhoIsWell:
    def test_each_is_marked_and_whether_enough_are_left_is_counted(self, world: World) -> None:
        admitted(world, "other")
        admitted(world, "successor")
        name(world, "clinician", "nurse", "researcher", "other")
        report = world.patient.guardians.all()
        assert ([one.state for one in report.guardians], report.well, report.is_enough) == (["active"] * 4, 4, True)
        # One is suspended, and one is moved to another account by guardians of their own.
        world.registrar.suspend(world.clinician.address)
        world.other.guardians.set([world.nurse.address, world.researcher.address], threshold=2)
        for one in ("nurse", "researcher"):
            world.sessions[one].guarding.approve(world.other.address, world.successor.address)
        world.advance(3 * DAY)
        world.successor.guardians.complete(world.other.address)
        report = world.patient.guardians.all()
        assert [one.state for one in report.guardians] == ["suspended", "active", "active", "moved"]
        assert (report.well, report.is_enough, report.exposed) == (2, True, 0)
        # One says that others may know the keys, also that to which the share is sealed.
        world.researcher.keys.rotate(compromised_since=world.now - 60)
        report = world.patient.guardians.all()
        assert [one.state for one in report.guardians] == ["suspended", "active", "compromised", "moved"]
        assert (report.well, report.is_enough, report.exposed) == (1, False, 1)
        assert report.to_json()["well"] == 1

    def test_a_key_that_was_only_renewed_is_well_and_so_is_who_is_named_after_a_theft(self, world: World) -> None:
        name(world, "nurse", "researcher")
        world.researcher.keys.rotate()
        assert world.patient.guardians.all().well == 2
        world.researcher = again(world, "researcher")
        world.researcher.keys.rotate(compromised_since=world.now - 60)
        assert [one.state for one in world.patient.guardians.all().guardians] == ["active", "compromised"]
        name(world, "nurse", "researcher")
        assert [one.state for one in world.patient.guardians.all().announced] == ["active", "active"]


class TestChanges:
    def test_other_guardians_count_after_the_present_delay(self, world: World) -> None:
        name(world)
        report = name(world, "stranger", "nurse")
        assert (len(report.guardians), len(report.announced)) == (3, 2)
        assert report.changes_at == world.now + 3 * DAY
        world.advance(3 * DAY)
        report = world.patient.guardians.all()
        assert [one.address for one in report.guardians] == [world.stranger.address, world.nurse.address]
        assert report.changes_at == 0

    @pytest.mark.deep
    def test_what_was_announced_is_taken_back(self, world: World) -> None:
        name(world)
        world.patient.guardians.remove()
        assert world.patient.guardians.all().announced == ()
        assert world.patient.guardians.keep().changes_at == 0
        world.advance(4 * DAY)
        assert len(world.patient.guardians.all().guardians) == 3
        with pytest.raises(TransactionError):
            world.patient.guardians.keep()

    @pytest.mark.deep
    def test_nobody_is_guardian_after_a_removal(self, world: World) -> None:
        with pytest.raises(UsageError):
            world.patient.guardians.remove()
        name(world)
        world.patient.guardians.remove()
        world.advance(3 * DAY)
        assert world.patient.guardians.all().threshold == 0

    @pytest.mark.deep
    def test_a_list_that_is_lost_is_said(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        name(world)

        def lost(_: CID) -> bytes:
            raise BlockNotFoundError("nobody has it")

        monkeypatch.setattr(world.network.store, "get_block", lost)
        with pytest.raises(BlockNotFoundError):
            world.patient.guardians.all()


class TestStolenKey:
    """The thief has the patient's session; the owner has a new account and guardians."""

    def test_guardians_move_the_patient_and_the_successor_goes_on(self, moving: World) -> None:
        upload(moving)
        policy = grant(moving, "clinician")
        approve(moving, "nurse")
        told = moving.patient.guardians.recovery()
        assert (told.is_open, told.approved_by) == (False, (moving.nurse.address,))
        approve(moving, "researcher")
        told = moving.patient.guardians.recovery()
        assert told.is_open
        assert told.ready_at == moving.now + 3 * DAY
        assert told.approved_by == (moving.nurse.address, moving.researcher.address)
        with pytest.raises(TransactionError):
            moving.successor.guardians.complete(moving.patient.address)
        moving.advance(3 * DAY)
        with pytest.raises(TransactionError):
            # A guardian isn't who was chosen.
            moving.network.sidechain.guardianships.complete_recovery(moving.nurse._person(), moving.patient.address)
        report = moving.successor.guardians.complete(moving.patient.address)
        assert set(report.hospitals) == {moving.hospital.address, moving.clinic.address}
        assert moving.network.resolve(moving.patient.address).address == moving.successor.address
        # What the old key did on the sidechain is over; what it granted is revoked by the old seed.
        for act in (
            lambda: moving.patient.pair(moving.hospital.address),
            lambda: moving.patient.guardians.set([moving.nurse.address, moving.clinician.address], threshold=2),
            lambda: moving.patient.guardians.veto(),
            lambda: grant(moving, "nurse"),
        ):
            with pytest.raises((SuspendedError, TransactionError)):
                act()
        assert moving.patient.revoke(policy).final
        # New lanes for the new account, and nothing for the old one.
        moving.successor.pair(moving.hospital.address)
        (inherited,) = moving.successor.guardians.inherited()
        assert inherited.hospitals == (moving.clinic.address,)

    @pytest.mark.parametrize("sent", ["before", "meanwhile"])
    def test_a_move_that_broke_off_behind_its_transaction_is_told_by_the_same_call(
        self, moving: World, monkeypatch: pytest.MonkeyPatch, sent: str
    ) -> None:
        approve(moving, "nurse", "researcher")
        moving.advance(3 * DAY)
        guardianships, patient = moving.network.sidechain.guardianships, moving.patient.address
        real = guardianships.complete_recovery

        def broken(*given: Any) -> Any:
            real(*given)
            raise KeyboardInterrupt if sent == "before" else TransactionError("another one of this call was mined")

        monkeypatch.setattr(guardianships, "complete_recovery", broken)
        if sent == "before":
            with pytest.raises(KeyboardInterrupt):
                moving.successor.guardians.complete(patient)
            monkeypatch.setattr(guardianships, "complete_recovery", Mock(side_effect=AssertionError("sent twice")))
        report = moving.successor.guardians.complete(patient)
        assert (report.patient, report.successor, report.tx) == (patient, moving.successor.address, "")
        assert set(report.hospitals) == {moving.hospital.address, moving.clinic.address}
        # Nobody else is told that they are the patient.
        monkeypatch.undo()
        with pytest.raises(TransactionError):
            moving.patient.guardians.complete(patient)

    def test_a_thief_cant_exchange_guardians_first(self, moving: World) -> None:
        name(moving, "stranger", "clinic", delay=DAY)
        moving.advance(2 * DAY)
        approve(moving, "nurse", "researcher")
        # An open recovery holds the announcement up, and no other one is taken.
        with pytest.raises(TransactionError):
            name(moving, "stranger", "clinic", delay=DAY)
        moving.advance(3 * DAY)
        assert len(moving.patient.guardians.all().guardians) == 3
        moving.successor.guardians.complete(moving.patient.address)
        assert moving.network.resolve(moving.patient.address).address == moving.successor.address

    def test_a_thief_who_vetoes_loses_by_the_registrars_word(self, moving: World) -> None:
        name(moving, "stranger", "clinic", delay=DAY)
        approve(moving, "nurse", "researcher")
        moving.patient.guardians.veto()
        assert moving.patient.guardians.recovery() is None
        # The owner shows up in person.
        moving.registrar.suspend(moving.patient.address)
        assert moving.patient.guardians.all().changes_at == 0
        approve(moving, "nurse", "researcher")
        with pytest.raises(TransactionError):
            moving.patient.guardians.veto()
        moving.advance(3 * DAY)
        moving.successor.guardians.complete(moving.patient.address)
        assert moving.network.resolve(moving.patient.address).address == moving.successor.address

    @pytest.mark.deep
    def test_bad_guardians_are_vetoed_and_removed(self, moving: World) -> None:
        moving.patient.guardians.remove()
        for _ in range(2):
            approve(moving, "nurse", "researcher")
            moving.advance(2 * DAY)
            moving.patient.guardians.veto()
        # One delay after the first veto at the latest.
        moving.advance(2 * DAY)
        assert moving.patient.guardians.all().threshold == 0
        with pytest.raises(AccessDeniedError):
            approve(moving, "nurse")

    @pytest.mark.deep
    def test_a_recovery_that_nobody_completes_blocks_nothing(self, moving: World) -> None:
        admitted(moving, "second")
        approve(moving, "nurse", "researcher")
        moving.advance(3 * DAY + 14 * DAY)
        assert moving.patient.guardians.recovery() is None
        with pytest.raises(TransactionError):
            moving.successor.guardians.complete(moving.patient.address)
        approve(moving, "nurse", "clinician", successor="second")
        assert moving.patient.guardians.recovery().successor == moving.second.address

    def test_a_freeze_never_blocks_a_revocation(self, moving: World) -> None:
        upload(moving)
        policy, other = grant(moving, "clinician"), grant(moving, "nurse")
        moving.nurse.guarding.freeze(moving.patient.address)
        assert moving.patient.guardians.all().frozen_until == moving.now + 3 * DAY
        with pytest.raises(TransactionError):
            name(moving, "stranger", "nurse")
        moving.patient.unpair(moving.clinic.address)
        with pytest.raises(TransactionError):
            moving.patient.pair(moving.clinic.address)
        # R1 to R3: also the new lanes, which are a new pairing with a hospital that is paired.
        report = moving.patient.revoke(policy, rotate=True)
        assert report.final
        assert moving.patient.revoke(other).final
        # The owner's own freeze holds as much and no more.
        moving.advance(3 * DAY)
        assert moving.patient.guardians.freeze().frozen_until == moving.now + 3 * DAY
        approve(moving, "clinician", "nurse")
        moving.patient.guardians.veto()


class TestRecoveryOf:
    @staticmethod
    def spoke(successor: Address = OTHER, guardian: Address = GUARDIAN) -> RecoveryEvent:
        return RecoveryEvent("RecoveryApproved", successor, guardian)

    def test_the_newest_that_isnt_over_is_told(self) -> None:
        opened = RecoveryEvent("RecoveryOpened", OTHER, None, 100)
        veto = RecoveryEvent("RecoveryCancelled")
        assert recovery_of(PATIENT, [], 5) is None
        assert recovery_of(PATIENT, [self.spoke(), veto], 5) is None
        found = recovery_of(PATIENT, [self.spoke(), self.spoke()], 5)
        assert found is not None
        assert (found.is_open, found.approved_by) == (False, (GUARDIAN,))
        found = recovery_of(PATIENT, [self.spoke(), opened], 5)
        assert found is not None
        assert (found.successor, found.ready_at) == (OTHER, 100)
        # It is over two weeks after its time, or when the patient is moved.
        assert recovery_of(PATIENT, [self.spoke(), opened], 100 + 14 * DAY) is None
        # Who speaks for the same one again begins anew, and that is told too.
        again = recovery_of(PATIENT, [self.spoke(), opened, self.spoke()], 100 + 14 * DAY)
        assert again is not None
        assert not again.is_open
        assert recovery_of(PATIENT, [self.spoke(), opened, RecoveryEvent("IdentityReplaced", OTHER)], 5) is None
        # Another candidate beside an open one doesn't hide it.
        found = recovery_of(PATIENT, [self.spoke(), opened, self.spoke(PATIENT)], 5)
        assert found is not None
        assert found.successor == OTHER


@pytest.mark.deep
def test_a_node_that_hides_what_was_announced_is_said(world: World) -> None:
    name(world)
    own = world.patient.guardians
    own._network = SimpleNamespace(
        sidechain=SimpleNamespace(
            guardianships=SimpleNamespace(
                guardianship_of=world.network.sidechain.guardianships.guardianship_of,
                announced=lambda _: [],
                recoveries=lambda _: [],
            ),
            source=world.network.sidechain.source,
        ),
        clock=world.network.clock,
    )
    with pytest.raises(UnknownActorError, match="hides"):
        own.all()


@pytest.mark.deep
def test_seeds_and_salts_are_on_no_disk(world: World) -> None:
    name(world)
    # The registrar's view of the patient's folder: the names of sets, and no word of a share.
    for path in Path(world.patient.profile.folder).rglob("*"):
        if path.is_file():
            assert b"panachain/share/1" not in path.read_bytes()
