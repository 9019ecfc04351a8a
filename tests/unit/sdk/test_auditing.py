"""Auditing: proofs of one policy or all, who can read a record and who did, and where a leaked text is from."""

from __future__ import annotations

import json

import pytest

from panachain.errors import PolicyUnknownError, UnknownActorError
from tests.twin.world import PROXIES, World
from tests.unit.sdk.helpers import grant, opened, upload


def test_one_policy_or_all(world: World) -> None:
    first = grant(world)
    grant(world, "nurse")
    world.wait()
    told: list[tuple[int, int | None]] = []
    proofs = world.patient.auditing.verify(progress=lambda done, total, **_: told.append((done, total)))
    assert len(proofs) == 2 * PROXIES
    assert told == [(1, 2), (2, 2)]
    one = world.patient.auditing.verify(first)
    assert {proof.policy_id for proof in one} == {first.policy_id}
    assert all(proof.proven and proof.to_json()["schema"] == "panachain/log-verified/1" for proof in one)
    with pytest.raises(PolicyUnknownError):
        world.patient.auditing.verify("0x" + "11" * 20)


def test_who_can_read_a_record_and_who_did(world: World) -> None:
    upload(world)
    upload(world, category="vitals")
    made = grant(world)
    grant(world, "nurse", ("vitals",))
    opened(world, made.policy_id)
    world.wait()
    ids = {record.info.category.value: record.info.header_cid for record in world.patient.records()}
    access = world.patient.auditing.access(ids["laboratory"])
    assert [view.grantee for view in access.policies] == [world.clinician.address]
    assert [reading.requester for reading in access.readings] == [world.clinician.address]
    assert (access.category, access.year, access.hospital) == ("laboratory", 2025, world.hospital.address)
    other = world.patient.auditing.access(ids["vitals"])
    assert ([view.grantee for view in other.policies], other.readings) == ([world.nurse.address], ())
    fields = access.to_json()
    assert fields["schema"] == "panachain/record-access/1"
    world.patient.revoke(made.policy_id)
    ended = world.patient.auditing.access(ids["laboratory"])
    # It can't be read any more, and was.
    assert (ended.policies, len(ended.readings)) == ((), 1)
    with pytest.raises(UnknownActorError):
        world.patient.auditing.access("bafkreigone")


def test_what_leaked_is_found_in_whatever_form(world: World) -> None:
    upload(world)
    upload(world, category="vitals")
    (record,) = [one for one in world.patient.records() if one.info.category.value == "laboratory"]
    plain = record.content
    auditing = world.patient.auditing
    assert auditing.find_record(plain) == [record.info.header_cid]
    value = json.loads(plain)
    assert auditing.find_record(json.dumps(value, indent=4, sort_keys=True).encode()) == [record.info.header_cid]
    (resource,) = [entry["resource"] for entry in value["entry"]] if "entry" in value else [value]
    assert auditing.find_record(json.dumps(resource).encode()) == [record.info.header_cid]
    for nothing in (b"", b"other", b"{}", b"[]", b"[" * 100_000):
        assert auditing.find_record(nothing) == []
