"""What patients read: their own records without any proxy, and who else read them."""

from __future__ import annotations

import pytest

from panachain.errors import PolicyUnknownError, UnknownActorError
from panachain.model.actors import PolicyId
from tests.twin.world import World
from tests.unit.sdk.helpers import grant, opened, upload

NOBODYS = PolicyId("0x" + "11" * 20)


class TestRecords:
    def test_need_no_proxy_and_no_policy(self, world: World) -> None:
        upload(world, 2)
        for proxy in world.proxies:
            proxy.up = False
        records = list(world.patient.records())
        assert len(records) == 2
        assert {record.provenance.opened_as for record in records} == {"patient"}

    def test_of_every_hospital_and_category_are_found(self, world: World) -> None:
        upload(world)
        upload(world, where="clinic", category="vitals")
        found = {(record.info.hospital, record.info.category.value) for record in world.patient.records()}
        assert found == {(world.hospital.address, "laboratory"), (world.clinic.address, "vitals")}

    def test_each_is_told_before_it_is_handed_out(self, world: World) -> None:
        upload(world, 3)
        told: list[tuple[int, int, str]] = []
        records = world.patient.records(progress=lambda done, total, *, unit: told.append((done, total, unit)))
        next(records)
        assert told == [(1, 0, "records")]
        assert len(list(records)) == 2
        assert [done for done, _, _ in told] == [1, 2, 3]

    def test_one_is_found_by_its_id(self, world: World) -> None:
        upload(world, 2)
        first, second = world.patient.records()
        assert world.patient.get(second.info.header_cid).content == second.content
        assert first.content != second.content

    @pytest.mark.parametrize("record_id", ["", "bafy", "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"])
    def test_an_id_of_nothing_is_told(self, world: World, record_id: str) -> None:
        upload(world)
        with pytest.raises(UnknownActorError):
            world.patient.get(record_id)


class TestLog:
    def test_an_opening_is_one_reading_and_a_receipt_of_each_proxy(self, world: World) -> None:
        upload(world)
        made = grant(world)
        opened(world, made.policy_id)
        world.wait()
        (reading,) = world.patient.log(made)
        assert (reading.who, reading.policy_id) == (world.clinician.whoami().handle, made.policy_id)
        assert len([entry for entry in world.patient.receipts(made) if entry.kind == "reencrypted"]) >= 2

    def test_a_view_and_its_id_are_the_same(self, world: World) -> None:
        first = grant(world)
        grant(world, "nurse")
        assert world.patient.receipts(first) == world.patient.receipts(first.policy_id)
        assert len(world.patient.receipts()) > len(world.patient.receipts(first))

    def test_of_a_policy_of_others_is_nothing_told(self, world: World) -> None:
        for ask in (
            lambda: list(world.patient.log(NOBODYS)),
            lambda: world.patient.receipts(NOBODYS),
            lambda: world.patient.convict(NOBODYS),
        ):
            with pytest.raises(PolicyUnknownError):
                ask()


def test_honest_proxies_give_a_report_without_transactions(world: World) -> None:
    made = grant(world)
    report = world.patient.convict(made)
    assert (report.policy_id, report.transactions) == (made.policy_id, ())
