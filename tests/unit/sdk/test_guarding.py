"""What guardians do and can't: whom they guard, whom an invitation deceives, and to which device a share goes."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from panachain.crypto.hpke import SealingKey
from panachain.errors import (
    AccessDeniedError,
    BlockNotFoundError,
    ShareDamagedError,
    SharesMixedError,
    SharesTooFewError,
    TransactionError,
    UnknownActorError,
    UsageError,
)
from panachain.ipld.cid import CID
from panachain.sdk import guardian_blocks
from panachain.sdk.asking import Asking
from panachain.sdk.guardian_blocks import ANSWER, ASK, line, question, read_line, read_question, seal_answer
from panachain.sdk.recovery import restored
from panachain.storage.blocks import keep
from tests.keystores import make_cheap
from tests.twin.world import World
from tests.unit.sdk.helpers import admitted, again
from tests.unit.sdk.test_guardians import DAY, THREE, name


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    make_cheap(monkeypatch, for_this_process_only=True)
    monkeypatch.setattr(guardian_blocks, "_COST", 1 << 4)


@pytest.fixture
def asking(world: World, tmp_path: Path) -> Any:
    """A new device that has asked for the patient's seed; `world` has named three guardians, two of them needed."""
    name(world)
    device = Asking(tmp_path)
    device.ask(world.network, world.patient.address, "a passphrase")
    return device


def release(world: World, asking: Asking, who: str) -> str:
    """Let a guardian release a share to who truly asked."""
    asked = asking.view()
    return str(world.sessions[who].guarding.release(asked.ask, asked.code).answer)


def test_everybody_sees_whom_they_guard_and_nobody_else_does(world: World) -> None:
    name(world)
    for number, who in enumerate(THREE, 1):
        (one,) = world.sessions[who].guarding.all()
        assert (one.patient, one.state, one.threshold, one.share) == (world.patient.address, "guardian", 2, number)
        assert (one.recovery, one.frozen_until, one.moved_to, one.delay) == (None, 0, None, 3 * DAY)
    assert world.stranger.guarding.all() == []
    assert world.patient.guarding.all() == []


@pytest.mark.deep
def test_a_block_that_was_for_others_is_tried_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    name(world)
    assert world.stranger.guarding.all() == []
    stranger = again(world, "stranger")

    def never(_: CID) -> bytes:
        raise AssertionError("it was fetched again")

    monkeypatch.setattr(world.network.store, "get_block", never)
    assert stranger.guarding.all() == []


@pytest.mark.deep
def test_a_block_that_is_lost_keeps_no_other_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    admitted(world, "successor")
    name(world)
    world.successor.guardians.set([world.nurse.address, world.clinician.address], threshold=2)
    lost = CID.of(0x55, b"").digest
    true = world.network.store.get_block
    first = world.network.sidechain.guardianships.announced(world.patient.address)[0].invitations

    def some(cid: CID) -> bytes:
        if cid.digest in (first, lost):
            raise BlockNotFoundError("nobody has it")
        return bytes(true(cid))

    monkeypatch.setattr(world.network.store, "get_block", some)
    found = world.nurse.guarding.all()
    assert [one.patient for one in found] == [world.successor.address]
    assert [left.sender for left in found.left_out] == [world.patient.address]
    with pytest.raises(UnknownActorError, match="can't be read now"):
        world.nurse.guarding.freeze(world.patient.address)


@pytest.mark.deep
def test_who_was_dismissed_is_told_so_and_speaks_for_nobody(world: World) -> None:
    admitted(world, "successor")
    name(world)
    name(world, "stranger", "nurse")
    assert [one.state for one in world.stranger.guarding.all()] == ["announced"]
    with pytest.raises(AccessDeniedError):
        world.stranger.guarding.approve(world.patient.address, world.successor.address)
    world.advance(3 * DAY)
    assert [one.state for one in world.researcher.guarding.all()] == ["former"]
    assert [one.state for one in world.stranger.guarding.all()] == ["guardian"]
    for act in (world.researcher.guarding.freeze, lambda who: world.researcher.guarding.approve(who, who)):
        with pytest.raises(AccessDeniedError):
            act(world.patient.address)


def test_an_invitation_that_the_chain_doesnt_confirm_is_none(world: World) -> None:
    """Somebody announces the patient's own block as theirs, or seals to a nurse whom they didn't commit to."""
    admitted(world, "evil")
    name(world)
    event = world.network.sidechain.guardianships.announced(world.patient.address)[0]
    guardianships, sender = world.network.sidechain.guardianships, world.evil._person()
    guardianships.set_guardians(sender, event.commitments, 2, 3 * DAY, event.invitations)
    assert [one.patient for one in world.nurse.guarding.all()] == [world.patient.address]
    # What was tried in vain is remembered, and that block isn't in vain in the patient's own announcement.
    assert [one.state for one in world.nurse.guarding.all()] == ["guardian"]
    assert world.patient.guardians.all().threshold == 2


@pytest.mark.deep
def test_an_own_block_that_is_announced_anew_with_another_list_hides_nothing(world: World) -> None:
    """Whoever took the key announces the block once more, with commitments that nobody has."""
    name(world)
    event = world.network.sidechain.guardianships.announced(world.patient.address)[0]
    strange = sorted(bytes([number]) * 32 for number in range(1, 9))
    world.network.sidechain.guardianships.set_guardians(world.patient._person(), strange, 2, 3 * DAY, event.invitations)
    for _ in range(2):
        assert [one.state for one in world.nurse.guarding.all()] == ["guardian"]


@pytest.mark.deep
def test_one_alone_moves_nobody_and_freezes_once(world: World) -> None:
    admitted(world, "successor")
    name(world)
    patient, successor = world.patient.address, world.successor.address
    seen = world.nurse.guarding.approve(patient, successor)
    assert (seen.recovery.is_open, seen.recovery.approved_by) == (False, (world.nurse.address,))
    with pytest.raises(TransactionError):
        world.nurse.guarding.approve(patient, successor)
    assert world.nurse.guarding.freeze(patient).frozen_until == world.now + 3 * DAY
    world.advance(3 * DAY)
    with pytest.raises(TransactionError):
        world.nurse.guarding.freeze(patient)
    with pytest.raises(TransactionError):
        world.successor.guardians.complete(patient)
    for nobody in ("0x12", "pat-aaaaaaaaaaaaa"):
        with pytest.raises(UnknownActorError):
            world.nurse.guarding.freeze(nobody)
    # Only a patient's account takes a patient over.
    with pytest.raises(UsageError):
        world.clinician.guarding.approve(patient.lower(), world.stranger.address)


def test_any_two_restore_the_seed_and_one_restores_nothing(world: World, asking: Asking) -> None:
    answers = [release(world, asking, who) for who in THREE]
    for alone in answers:
        with pytest.raises(SharesTooFewError):
            restored(asking.answers(world.network, [alone], "a passphrase"))
        # Nothing of it stands in the store.
        assert b"panachain/share" not in world.network.store.get_block(read_line(alone, ANSWER))
    for pair in combinations(answers, 2):
        seed, address = restored(asking.answers(world.network, pair, "a passphrase"))
        assert address == world.patient.address
        assert seed.reveal() == world.patient._seed.reveal()


def test_a_share_goes_to_nobody_who_slips_in_another_key(world: World, asking: Asking) -> None:
    key = SealingKey.random()
    theirs = line(ASK, keep(world.network.store, question(world.patient.address, key.public)))
    true = asking.view()
    assert world.nurse.guarding.asked(theirs)[0] == world.patient.address
    for code in (true.code, "", "academic " * 5):
        with pytest.raises(AccessDeniedError, match="no share was released"):
            world.nurse.guarding.release(theirs, code)
    # Four letters and any case are enough of the true one.
    typed = " ".join(word[:4].upper() for word in true.code.split())
    assert world.nurse.guarding.release(true.ask, typed).share == 2


@pytest.mark.deep
def test_a_former_guardian_still_helps_and_a_stranger_has_nothing(world: World, asking: Asking) -> None:
    name(world, "stranger", "nurse")
    world.advance(3 * DAY)
    mixed = [release(world, asking, who) for who in ("clinician", "stranger")]
    with pytest.raises(SharesMixedError):
        asking.answers(world.network, mixed, "a passphrase")
    first = [release(world, asking, who) for who in ("clinician", "researcher")]
    assert restored(asking.answers(world.network, first, "a passphrase"))[1] == world.patient.address
    with pytest.raises(AccessDeniedError):
        release(world, asking, "hospital")


@pytest.mark.deep
def test_bad_answers_are_told_apart(world: World, asking: Asking) -> None:
    asked = read_line(asking.view().ask, ASK)
    _, key = read_question(world.network.store.get_block(asked))
    other = CID.of(0x55, b"another question")
    for block in (
        seal_answer(asked, SealingKey.random().public, "panachain/share/1 patient"),
        seal_answer(other, key, "panachain/share/1 patient"),
        seal_answer(asked, key, "panachain/share/1 patient 0x12 none"),
        b"nonsense",
    ):
        answer = line(ANSWER, keep(world.network.store, block))
        with pytest.raises(ShareDamagedError):
            asking.answers(world.network, [answer], "a passphrase")
    with pytest.raises(BlockNotFoundError):
        asking.answers(world.network, [line(ANSWER, other)], "a passphrase")
    for text in ("", "nonsense", asking.view().ask):
        with pytest.raises(UsageError):
            asking.answers(world.network, [text], "a passphrase")


def announce(world: World, who: Any, number: int) -> None:
    """Announce a list that is nobody's, in a block that no store has."""
    strange = sorted(bytes([number, place]) * 16 for place in range(8))
    guardianships = world.network.sidechain.guardianships
    guardianships.set_guardians(who._person(), strange, 2, 3 * DAY, CID.of(0x55, bytes([number])).digest)


class TestLookingForInvitations:
    def test_costs_a_few_blocks_for_each_patient_and_says_what_was_left(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name(world)
        for number in range(1, 13):
            announce(world, world.patient, number)
        fetched: list[CID] = []
        true = world.network.store.get_block

        def get(cid: CID) -> bytes:
            fetched.append(cid)
            return bytes(true(cid))

        monkeypatch.setattr(world.network.store, "get_block", get)
        # Whom they guard now is looked at first.
        assert [(one.patient, one.state) for one in world.nurse.guarding.all()] == [(world.patient.address, "guardian")]
        assert len(fetched) == 1
        fetched.clear()
        found = world.stranger.guarding.all()
        # One is readable and somebody else's; seven can't be read; five weren't tried.
        assert (list(found), len(fetched)) == ([], 8)
        (left,) = found.left_out
        assert left.sender == world.patient.address
        assert "5 more lists that this patient announced weren't looked at" in left.reason

    def test_comes_to_all_of_them_in_the_end(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        name(world)
        name(world, "stranger", "nurse")
        world.advance(3 * DAY)
        for number in range(1, 13):
            announce(world, world.patient, number)
        world.advance(3 * DAY)
        # The list in force by now is the last of them, and twelve that nobody can read are newer than the researcher's.
        seen = [[one.state for one in again(world, "researcher").guarding.all()] for _ in range(2)]
        assert seen == [[], ["former"]]

    def test_whoever_took_the_key_hides_no_invitation_behind_copies_of_its_list(self, world: World) -> None:
        name(world)
        guardianships = world.network.sidechain.guardianships
        (real,) = guardianships.announced(world.patient.address)
        for number in range(20):
            lost = CID.of(0x55, bytes([number])).digest
            guardianships.set_guardians(world.patient._person(), real.commitments, 2, 3 * DAY, lost)
            assert [one.state for one in again(world, "nurse").guarding.all()] == ["guardian"]
