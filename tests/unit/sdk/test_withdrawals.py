"""Withdrawals: who withdraws what, what everybody sees after that, and how the same file is published again."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import AccessDeniedError, UnknownActorError, UsageError
from panachain.ipld.cid import CID
from panachain.sdk.opening import Opening
from tests.twin.world import World, resource
from tests.unit.sdk.helpers import again, grant
from tests.unit.sdk.test_changes import bundle, publish, stamped


def everywhere(world: World, **more: Any) -> list[Opening]:
    """Return what the patient and a practitioner open, at their ends."""
    policy = grant(world).policy_id
    openings = [again(world).records(**more), again(world, "clinician").open(policy, **more)]
    for opening in openings:
        list(opening)
    return openings


def ids(world: World) -> list[str]:
    return [record.record_id for record in world.hospital.records()]


class TestWithdraw:
    @pytest.mark.parametrize("reason", ["entered-in-error", "wrong-patient", "erroneous-category"])
    def test_nobody_gets_the_record_and_everybody_is_told_when_by_whom_and_why(
        self, world: World, tmp_path: Path, reason: str
    ) -> None:
        (wrong,) = publish(world, tmp_path / "1", bundle(stamped(1))).records
        publish(world, tmp_path / "2", bundle(stamped(2)))
        world.advance(60)
        report = world.hospital.withdraw([wrong.header_cid], reason)
        assert ([one.record_id for one in report.records], report.reason) == ([wrong.header_cid], reason)
        for opening in everywhere(world) + everywhere(world, history=True):
            assert opening.delivered == 1
            (gone,) = opening.withdrawn
            assert (gone.record_id, gone.hospital, gone.reason) == (wrong.header_cid, world.hospital.address, reason)
            assert (gone.category, gone.year, gone.withdrawn_at - gone.stored_at) == ("laboratory", 2024, 60)
        with pytest.raises(UnknownActorError, match=f"was withdrawn by its hospital: {reason}"):
            again(world).get(wrong.header_cid)

    def test_twice_says_so_and_sends_nothing(self, world: World, tmp_path: Path) -> None:
        (wrong,) = publish(world, tmp_path / "1", bundle(stamped(1))).records
        world.hospital.withdraw([wrong.header_cid, wrong.header_cid], "wrong-patient")
        block = world.network.mainchain.head_block().number
        second = again(world, "hospital").withdraw([wrong.header_cid], "wrong-patient")
        assert (second.records, [one.record_id for one in second.already]) == ((), [wrong.header_cid])
        assert world.network.mainchain.head_block().number == block

    def test_what_it_superseded_counts_again(self, world: World, tmp_path: Path) -> None:
        publish(world, tmp_path / "1", bundle(stamped(1, valueString="right")))
        (wrong,) = publish(
            world, tmp_path / "2", bundle(stamped(1, "2025-07-01T00:00:00Z", valueString="wrong"))
        ).records
        world.hospital.withdraw([wrong.header_cid], "entered-in-error")
        (record,) = again(world).records()
        assert b"right" in record.content

    def test_its_attachments_go_with_it(self, world: World, tmp_path: Path) -> None:
        held = {"contentType": "image/png", "data": base64.b64encode(b"image" * 1000).decode()}
        document = {"resourceType": "DocumentReference", "id": "d", "content": [{"attachment": held}]}
        report = publish(world, tmp_path / "1", bundle(document))
        world.hospital.withdraw([report.records[0].header_cid], "wrong-patient")
        assert len(report.records) == 2
        for opening in [again(world).records(), again(world).records(history=True)]:
            assert list(opening) == []

    def test_a_record_of_any_kind_can_be(self, world: World, tmp_path: Path) -> None:
        (tmp_path / "letter.pdf").write_bytes(b"%PDF-1.7 letter")
        report = world.hospital.upload([tmp_path], world.patient.address)
        world.hospital.withdraw([report.records[0].header_cid], "wrong-patient")
        opening = again(world).records()
        assert (list(opening), len(opening.withdrawn)) == ([], 1)

    def test_nothing_on_the_store_or_chain_tells_that_it_is_one(self, world: World, tmp_path: Path) -> None:
        """A statement's header has the size of any other one, and as many rows of its manifest."""
        policy = grant(world)
        (wrong,) = publish(world, tmp_path / "1", bundle(stamped(1))).records
        world.hospital.withdraw([wrong.header_cid], "wrong-patient")
        store = world.network.store
        assert len({len(store.get_block(CID.parse(one))) for one in ids(world)}) == 1
        world.patient.revoke(policy.policy_id, rotate=True)
        again(world, "hospital").rewrap()
        assert len({len(store.get_block(CID.parse(one))) for one in ids(world)}) == 1


class TestRefusals:
    def test_of_a_record_that_it_did_not_publish(self, world: World, tmp_path: Path) -> None:
        (one,) = publish(world, tmp_path / "1", bundle(stamped(1))).records
        for session in (world.clinic, world.hospital):
            with pytest.raises(UnknownActorError, match="published no record"):
                session.withdraw([one.header_cid if session is world.clinic else "bafy"], "wrong-patient")
        assert len(list(again(world).records())) == 1

    @pytest.mark.parametrize("reason", ["", "because", "deleted"])
    def test_for_a_reason_that_is_none(self, world: World, reason: str) -> None:
        with pytest.raises(UsageError, match="is no reason"):
            world.hospital.withdraw(["bafy"], reason)

    @pytest.mark.parametrize("count", [0, 1001])
    def test_of_none_or_too_many(self, world: World, count: int) -> None:
        with pytest.raises(UsageError, match="1 to 1,000 records"):
            world.hospital.withdraw([str(number) for number in range(count)], "wrong-patient")

    def test_of_a_statement(self, world: World, tmp_path: Path) -> None:
        (one,) = publish(world, tmp_path / "1", bundle(stamped(1))).records
        world.hospital.withdraw([one.header_cid], "wrong-patient")
        (statement,) = set(ids(world)) - {one.header_cid}
        with pytest.raises(UsageError, match="is a statement"):
            again(world, "hospital").withdraw([statement], "wrong-patient")

    def test_for_a_patient_who_is_not_paired_any_more(self, world: World, tmp_path: Path) -> None:
        (one,) = publish(world, tmp_path / "1", bundle(stamped(1))).records
        world.patient.unpair(world.hospital.address)
        with pytest.raises(AccessDeniedError):
            again(world, "hospital").withdraw([one.header_cid], "wrong-patient")
        assert len(list(again(world).records())) == 1


class TestAgain:
    def test_the_same_file_can_be_published_for_another_category(self, world: World, tmp_path: Path) -> None:
        (tmp_path / "letter.pdf").write_bytes(b"%PDF-1.7 letter")
        (first,) = world.hospital.upload([tmp_path], world.patient.address).records
        world.hospital.withdraw([first.header_cid], "erroneous-category")
        (second,) = again(world, "hospital").upload([tmp_path], world.patient.address, "mental-health").records
        (record,) = again(world).records()
        assert (record.info.header_cid, record.info.category.value) == (second.header_cid, "mental-health")

    def test_what_else_was_in_the_file_is_not_published_twice(self, world: World, tmp_path: Path) -> None:
        report = publish(world, tmp_path / "1", bundle(stamped(1), resource("vitals", 2024, 2)))
        wrong = next(one for one in report.records if one.category.value == "laboratory")
        world.hospital.withdraw([wrong.header_cid], "entered-in-error")
        second = again(world, "hospital").upload([tmp_path / "1"], world.patient.address)
        assert [one.category.value for one in second.records] == ["laboratory"]
        assert len(list(again(world).records())) == 2


class TestLater:
    def test_a_rotation_keeps_what_was_said(self, world: World, tmp_path: Path) -> None:
        policy = grant(world)
        (wrong,) = publish(world, tmp_path / "1", bundle(stamped(1))).records
        publish(world, tmp_path / "2", bundle(stamped(2)))
        world.hospital.withdraw([wrong.header_cid], "wrong-patient")
        world.patient.revoke(policy.policy_id, rotate=True)
        again(world, "hospital").rewrap()
        for opening in everywhere(world):
            assert (opening.delivered, len(opening.withdrawn)) == (1, 1)

    def test_a_record_that_was_re_wrapped_can_be_withdrawn(self, world: World, tmp_path: Path) -> None:
        policy = grant(world)
        publish(world, tmp_path / "1", bundle(stamped(1)))
        world.patient.revoke(policy.policy_id, rotate=True)
        again(world, "hospital").rewrap()
        world.hospital.withdraw(ids(world), "wrong-patient")
        for opening in everywhere(world):
            assert (opening.delivered, len(opening.withdrawn)) == (0, 1)

    def test_a_hospital_whose_journal_was_lost_withdraws_what_it_published_before(
        self, world: World, tmp_path: Path
    ) -> None:
        (wrong,) = publish(world, tmp_path / "1", bundle(stamped(1))).records
        for path in world.hospital.profile.folder.glob("journal.sqlite*"):
            path.unlink()
        again(world, "hospital").withdraw([wrong.header_cid], "wrong-patient")
        opening = again(world).records()
        assert (list(opening), len(opening.withdrawn)) == ([], 1)
