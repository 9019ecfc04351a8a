"""A hospital whose lists of resources lie costs its own records only, and nobody else's are hidden by them.

Beside the evil hospital stands an honest one, whose records must come through. Follows ADR 28 and security rule 22.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from panachain.ipld.cid import CID
from panachain.model.records import STATEMENT, Reason
from panachain.records import version_list
from panachain.records.statements import Statement
from panachain.records.version_list import VersionList
from panachain.records.versions import DELETED, Version, bundle_of
from tests.hostile.evil_hospital import EvilHospital
from tests.hostile.test_hospitals import told
from tests.twin.world import World, resource
from tests.unit.sdk.helpers import again, grant


def bundle(*held: dict[str, Any]) -> bytes:
    entries = [{"resource": one} for one in held]
    return json.dumps(
        {"resourceType": "Bundle", "type": "collection", "entry": entries}, separators=(",", ":")
    ).encode()


def honest(world: World) -> dict[str, Any]:
    """Publish a record of the honest hospital."""
    one = resource("laboratory", 2025, 1)
    world.upload("hospital", [one])
    return one


def paired(world: World) -> EvilHospital:
    evil = EvilHospital(world)
    world.patient.pair(evil.address)
    return evil


def listed(content: bytes, index: int = 0) -> VersionList:
    cut = bundle_of(content)
    assert cut is not None
    return VersionList.of(cut, index)


def put(evil: EvilHospital, content: bytes, *lists: VersionList, media_type: str = "application/fhir+json") -> None:
    """Publish one record whose inventory says what a test has it say."""
    envelope = evil.envelope()
    envelope.sequence = 9
    evil.add(envelope, content, media_type)
    envelope.lists += lists
    evil.seal(envelope)
    evil.publish()


def everywhere(world: World) -> list[tuple[list[Any], list[str]]]:
    """Return what the patient and a practitioner get, with what is left out."""
    policy = grant(world).policy_id
    return [told(again(world).records()), told(again(world, "clinician").open(policy))]


class TestStatements:
    def statement(self, evil: EvilHospital, content: bytes) -> None:
        envelope = evil.envelope()
        evil.add(envelope, content, STATEMENT)
        evil.seal(envelope)
        evil.publish()

    def test_a_hospital_withdraws_nothing_of_another_one(self, world: World) -> None:
        honest(world)
        evil = paired(world)
        (record,) = again(world).records()
        own = evil.record(bundle(resource("laboratory", 2025, 5)))
        evil.publish()
        content = {one.info.header_cid: one.info.content_cid for one in again(world).records()}[str(own)]
        withdraws = (CID.parse(record.info.content_cid), CID.parse(content))
        self.statement(evil, Statement(Reason.WRONG_PATIENT, withdraws).encode())
        for opening in (again(world).records(), again(world, "clinician").open(grant(world).policy_id)):
            # Its own record is withdrawn, and the honest one stays.
            assert [one.info.header_cid for one in opening] == [record.info.header_cid]
            assert [one.record_id for one in opening.withdrawn] == [str(own)]

    @pytest.mark.parametrize("content", [b"", b"\xa0", b"text", bytes(2 << 20)], ids=["nothing", "map", "text", "long"])
    def test_what_is_no_statement_is_told_and_withdraws_nothing(self, world: World, content: bytes) -> None:
        honest(world)
        self.statement(paired(world), content)
        for records, omissions in everywhere(world):
            assert [record.info.hospital for record in records] == [world.hospital.address]
            assert [omission for omission in omissions if "statement" in omission]

    def test_a_file_that_calls_itself_a_statement_speaks_for_nobody(self, world: World) -> None:
        """Whoever sends a hospital a document chooses its media type."""
        honest(world)
        (record,) = again(world).records()
        said = Statement(Reason.WRONG_PATIENT, (CID.parse(record.info.content_cid),)).encode()
        held = {"contentType": STATEMENT, "data": base64.b64encode(said).decode()}
        document = {"resourceType": "DocumentReference", "id": "d", "content": [{"attachment": held}]}
        world.upload("hospital", [document])
        opening = again(world).records()
        assert record.info.header_cid in [one.info.header_cid for one in opening]
        assert opening.withdrawn == []


class TestLies:
    @pytest.mark.parametrize("before", [True, False])
    def test_a_list_of_what_is_not_inside_is_told_and_hides_nobody_elses_record(
        self, world: World, before: bool
    ) -> None:
        one, evil = honest(world), paired(world)
        if before:
            # Whoever has fewer envelopes comes first.
            world.upload("hospital", [resource("laboratory", 2025, 7)])
        content = bundle(resource("laboratory", 2025, 2))
        lie = listed(bundle(one))
        put(evil, content, lie)
        for records, omissions in everywhere(world):
            assert [record.info.hospital for record in records] == [world.hospital.address] * (2 if before else 1)
            assert json.dumps(one).encode() in b"".join(record.content for record in records)
            assert len(omissions) == 1
            assert "its hospital listed 1 resources in it, and other ones are there" in omissions[0]

    @pytest.mark.parametrize("broken", ["attachment", "size"])
    def test_the_same_resource_in_a_record_that_cannot_be_read_hides_nothing(self, world: World, broken: str) -> None:
        """It is there, rightly listed, and beside it something that nobody can open."""
        one, evil = honest(world), paired(world)
        # Whoever has fewer envelopes comes first.
        world.upload("hospital", [resource("laboratory", 2025, 7)])
        url = "urn:panachain:attachment"
        mark = {"_data": {"extension": [{"url": url, "valueString": "sha256:" + "ab" * 32}]}}
        other = {"resourceType": "Basic", "id": "b", **(mark if broken == "attachment" else {"text": "x" * 5000})}
        content = bundle(one, other)
        if broken == "size":
            limits = replace(world.network.config, record_limit=4000)
            world.network.config = limits
            content = bundle(one, *[other] * 500)
        put(evil, content, listed(content))
        for records, omissions in everywhere(world):
            assert json.dumps(one).encode() in b"".join(record.content for record in records)
            assert len(omissions) == 1

    @pytest.mark.parametrize("state", ["", DELETED])
    def test_it_can_take_back_nothing_of_another_hospital(self, world: World, state: str) -> None:
        """A newer version, or a deletion, of the honest hospital's resource, rightly listed."""
        one, evil = honest(world), paired(world)
        entry = {"request": {"method": "DELETE", "url": f"Observation/{one['id']}"}}
        newer = {"resource": one | {"meta": {"versionId": "99"}, "valueString": "forged"}}
        content = bundle().replace(b"[]", json.dumps([entry if state else newer], separators=(",", ":")).encode())
        put(evil, content, listed(content))
        for records, omissions in everywhere(world):
            assert omissions == []
            assert json.dumps(one).encode() in b"".join(
                record.content for record in records if record.info.hospital == world.hospital.address
            )

    @pytest.mark.parametrize("row", ["index", "twice", "not FHIR", "malformed", "far too many"])
    def test_what_no_hospital_of_ours_writes_is_left_out(
        self, world: World, monkeypatch: pytest.MonkeyPatch, row: str
    ) -> None:
        honest(world)
        evil = paired(world)
        content = bundle(resource("laboratory", 2025, 2))
        right = listed(content)
        many = VersionList(0, False, (Version(""),) * (version_list.MAX_ROWS + 1))
        lists = {
            "index": [replace(right, index=4)],
            "twice": [right, right],
            "not FHIR": [right],
            "malformed": [VersionList(0, False, (Version("two words"),))],
            "far too many": [many],
        }[row]
        put(evil, content, *lists, media_type="application/pdf" if row == "not FHIR" else "application/fhir+json")
        for records, omissions in everywhere(world):
            assert [record.info.hospital for record in records] == [world.hospital.address]
            assert len(omissions) == 1

    def test_a_version_that_comes_before_and_after_itself_is_one_version(self, world: World) -> None:
        """The same resource, version and content, again and again: it counts once, wherever it is."""
        one, evil = honest(world), paired(world)
        same = resource("laboratory", 2025, 3) | {"meta": {"versionId": "1"}}
        content = bundle(same, same, same)
        put(evil, content, listed(content))
        put(evil, content, listed(content))
        for records, omissions in everywhere(world):
            assert omissions == []
            assert sum(record.content.count(same["id"].encode()) for record in records) == 1
            assert any(one["id"].encode() in record.content for record in records)
