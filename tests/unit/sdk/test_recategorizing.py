"""Recategorizing: a patient has a record in another category, and whoever reads finds it there, once."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from panachain.errors import (
    AccessDeniedError,
    BlockNotFoundError,
    PartlyDoneError,
    TransactionError,
    UnknownActorError,
    UsageError,
)
from panachain.ipld import unixfs
from panachain.ipld.cid import CID
from panachain.records import merging
from panachain.records.locate import open_manifests
from panachain.sdk.opening import Opening
from tests.twin.chains import TwinSender
from tests.twin.world import World, resource
from tests.unit.sdk.helpers import again, grant
from tests.unit.sdk.test_changes import bundle, publish, stamped

LATER = "2024-08-01T00:00:00Z"


def observation(number: int, value: str, year: int = 2025) -> dict[str, Any]:
    return {**resource("laboratory", year, number), "valueString": value}


def published(world: World, folder: Path, *resources: dict[str, Any]) -> list[str]:
    """Publish resources in one batch, each a record of its own, and return the records' IDs."""
    folder.mkdir(exist_ok=True)
    for number, one in enumerate(resources):
        (folder / f"{number}.json").write_text(json.dumps(one))
    return [info.header_cid for info in world.hospital.upload([folder], world.patient.address).records]


def opening(world: World, category: str, **more: Any) -> Opening:
    """Return what a practitioner opens of a category that they were granted by name, at its end."""
    found: Opening = again(world, "clinician").open(grant(world, categories=(category,)).policy_id, **more)
    found.records = list(found)  # type: ignore[attr-defined]
    return found


def values(world: World, category: str) -> list[str]:
    """Return what the observations say that a practitioner opens of a category."""
    found = opening(world, category)
    assert (found.omissions, found.notices, found.withdrawn) == ([], [], [])
    return sorted(
        entry["resource"]["valueString"]
        for record in found.records  # type: ignore[attr-defined]
        for entry in json.loads(record.content)["entry"]
    )


def own(world: World) -> list[tuple[str, str]]:
    """Return category and value of all that the patient sees."""
    records = again(world).records()
    return sorted(
        (record.info.category.value, entry["resource"].get("valueString", ""))
        for record in records
        for entry in json.loads(record.content)["entry"]
    )


def moved(world: World, record_ids: Sequence[str], to: str = "private", **more: Any) -> Any:
    """Have records in another category, and return the hospital's report."""
    world.patient.choices.recategorize(record_ids, to, **more)
    return again(world, "hospital").rewrap()


class TestAMove:
    def test_into_a_restricted_category_takes_one_record_out_of_its_envelope(
        self, world: World, tmp_path: Path
    ) -> None:
        ids = published(world, tmp_path / "1", *(observation(one, f"v{one}") for one in range(3)))
        before = {one.info.header_cid: one.info for one in world.patient.records()}
        assert len({info.envelope_cid for info in before.values()}) == 1
        gone = next(one for one in before if "v1" in world.patient.get(one).content.decode())
        report = world.patient.choices.recategorize([gone], "private")
        assert ([one.record_id for one in report.asked], report.wider, report.omissions) == ([gone], (), ())
        # Nothing happens before the hospital does it.
        assert values(world, "laboratory") == ["v0", "v1", "v2"]
        done = again(world, "hospital").rewrap()
        assert (done.resealed, done.moved, len(done.transactions)) == (1, 2, 1)
        assert values(world, "laboratory") == ["v0", "v2"]
        assert values(world, "private") == ["v1"]
        assert own(world) == [("laboratory", "v0"), ("laboratory", "v2"), ("private", "v1")]
        # Content, header and inventory are gone; what stays is what it was.
        for cid in (before[gone].content_cid, *ids):
            with pytest.raises(BlockNotFoundError):
                world.network.store.get_block(CID.parse(cid))
        after = [one.info for one in world.patient.records()]
        stays = {info.content_cid for info in after if info.category.value == "laboratory"}
        assert stays == {info.content_cid for cid, info in before.items() if cid != gone}
        (private,) = (info for info in after if info.category.value == "private")
        assert private.stored_at == before[gone].stored_at
        assert private.envelope_cid not in {info.envelope_cid for info in after if info is not private}

    def test_of_the_only_record_of_an_envelope_leaves_nothing_there(self, world: World, tmp_path: Path) -> None:
        moved(world, published(world, tmp_path / "1", observation(1, "v")))
        assert values(world, "laboratory") == []
        assert values(world, "private") == ["v"]

    def test_is_done_once(self, world: World, tmp_path: Path) -> None:
        assert moved(world, published(world, tmp_path / "1", observation(1, "v"))).resealed == 1
        report = again(world, "hospital").rewrap()
        assert (report.resealed, report.moved, report.transactions) == (0, 0, ())

    @pytest.mark.parametrize("lost", [False, True])
    def test_drops_out_of_merged_manifests_what_went_and_nobody_misses_it(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool
    ) -> None:
        monkeypatch.setattr(merging, "FAN", 2)
        ids = published(world, tmp_path / "1", *(observation(one, f"v{one}") for one in range(3)))
        policy = grant(world, categories=("laboratory",)).policy_id
        assert len(list(again(world, "clinician").open(policy))) == len(own(world)) == 3
        moved(world, ids[:1])
        if lost:
            (world.hospital.profile.folder / "journal.sqlite").unlink()
        for number in (3, 4):
            published(world, tmp_path / str(number), observation(number, f"v{number}"))
        hospital = world.hospital.whoami()
        (only,) = open_manifests(world.network.store, world.network.heads_of(hospital))
        assert (only.first, only.sequence) == (1, 4)
        # Of what went nothing is left, and of what stayed its new header; with the statement there are 6.
        rows = {str(cid) for _, cid in only.rows()}
        assert not rows & set(ids)
        assert len(rows) == 6
        for reading, count in ((again(world).records(), 5), (again(world, "clinician").open(policy), 4)):
            assert len(list(reading)) == count
            assert (reading.omissions, reading.notices) == ([], [])
        assert [value for category, value in own(world) if category == "private"] == ["v0"]

    def test_and_back_again(self, world: World, tmp_path: Path) -> None:
        moved(world, published(world, tmp_path / "1", observation(1, "v"), observation(2, "w")))
        there = {one.info.header_cid for one in again(world).records() if one.info.category.value == "private"}
        asked: list[Sequence[str]] = []
        moved(world, list(there), "laboratory", confirm=asked.append)
        assert [set(one) for one in asked] == [there]
        assert values(world, "laboratory") == ["v", "w"]
        assert values(world, "private") == []

    def test_that_was_interrupted_is_finished_by_the_same_call(self, world: World, tmp_path: Path) -> None:
        ids = published(world, tmp_path / "1", observation(1, "v"), observation(2, "w"))
        world.patient.choices.recategorize(ids[:1], "private")
        with patch.object(TwinSender, "send", side_effect=TransactionError("no")), pytest.raises(TransactionError):
            world.hospital.rewrap()
        report = again(world, "hospital").rewrap()
        assert (report.resealed, report.deleted) == (0, 2)
        assert len(own(world)) == 2
        assert {category for category, _ in own(world)} == {"laboratory", "private"}

    def test_keeps_a_rotation_and_what_it_asked_for(self, world: World, tmp_path: Path) -> None:
        """Whichever was asked for first, all of it lies in the new lanes."""
        ids = published(world, tmp_path / "1", observation(1, "v"), observation(2, "w"))
        lost = grant(world)
        world.patient.choices.recategorize(ids[:1], "private")
        world.patient.revoke(lost.policy_id, rotate=True)
        other = published(world, tmp_path / "2", observation(3, "x"), observation(4, "y"))
        world.patient.choices.recategorize(other[:1], "private")
        report = again(world, "hospital").rewrap()
        assert (report.resealed, report.omissions) == (2, ())
        assert len(values(world, "laboratory")) == len(values(world, "private")) == 2
        again(world).revoke(grant(world).policy_id, rotate=True)
        assert again(world, "hospital").rewrap().omissions == ()
        assert len(values(world, "laboratory")) == len(values(world, "private")) == 2

    def test_that_was_asked_for_twice_goes_where_it_was_asked_last(self, world: World, tmp_path: Path) -> None:
        ids = published(world, tmp_path / "1", observation(1, "v"), observation(2, "w"))
        world.patient.choices.recategorize(ids[:1], "private")
        world.patient.choices.recategorize(ids[:1], "gender")
        world.patient.choices.recategorize(ids[1:], "violence")
        assert again(world, "hospital").rewrap().resealed == 2
        assert sorted(category for category, _ in own(world)) == ["gender", "violence"]

    def test_after_it_was_re_wrapped_deletes_the_content_as_well(self, world: World, tmp_path: Path) -> None:
        published(world, tmp_path / "1", observation(1, "v"), observation(2, "w"))
        world.patient.revoke(grant(world).policy_id, rotate=True)
        world.hospital.rewrap()
        (info, _) = (one.info for one in again(world).records())
        moved(world, [info.header_cid])
        with pytest.raises(BlockNotFoundError):
            world.network.store.get_block(CID.parse(info.content_cid))
        assert len(values(world, "laboratory")) == len(values(world, "private")) == 1

    def test_takes_the_files_of_a_record_along(self, world: World, tmp_path: Path) -> None:
        data = base64.b64encode(b"a scan" * 1000).decode()
        first, second = (
            {
                "resourceType": "DocumentReference",
                "id": f"d{one}",
                "date": "2025-01-01T00:00:00Z",
                "content": [{"attachment": {"contentType": "image/png", "data": data}}],
            }
            for one in range(2)
        )
        published(world, tmp_path / "1", first, second)
        infos = [one.info for one in world.patient.records()]
        whole = [info for info in infos if info.media_type == "application/fhir+json"]
        file = next(info for info in infos if info.media_type == "image/png")
        with pytest.raises(UsageError, match="is a file of record"):
            world.patient.choices.recategorize([file.header_cid], "private")
        moved(world, [whole[0].header_cid])
        for category in ("private", "documents"):
            found = opening(world, category)
            assert found.omissions == []
            texts = [b"".join(one.chunks()) for one in found.records if one.attachments]  # type: ignore[attr-defined]
            assert [data.encode() in text for text in texts] == [True]

    def test_of_a_file_that_is_no_fhir(self, world: World, tmp_path: Path) -> None:
        file = tmp_path / "scan.pdf"
        file.write_bytes(b"%PDF-1.4 a letter\n%%EOF")
        (info,) = world.hospital.upload([file], world.patient.address, "documents").records
        moved(world, [info.header_cid])
        assert [one.content for one in opening(world, "private").records] == [file.read_bytes()]  # type: ignore[attr-defined]
        assert opening(world, "documents").delivered == 0
        # The same bytes, as part of something else, or after the journal was lost.
        copy = tmp_path / "copy" / "scan.pdf"
        copy.parent.mkdir()
        copy.write_bytes(file.read_bytes())
        report = world.hospital.upload([copy], world.patient.address, "documents")
        assert {one.category.value for one in report.records} <= {"private"}

    def test_takes_it_from_everybody_who_had_it_by_a_wider_lane(self, world: World, tmp_path: Path) -> None:
        one, two = ({**resource("allergies", 2025, number), "criticality": f"c{number}"} for number in range(2))
        ids = published(world, tmp_path / "1", one, two)
        policies = [
            grant(world, categories=("all",)).policy_id,
            grant(world, categories=("emergency",), purpose="ETREAT").policy_id,
        ]
        for policy in policies:
            assert len(list(again(world, "clinician").open(policy))) == 2
        moved(world, ids[:1])
        for policy in policies:
            found = again(world, "clinician").open(policy)
            assert len(list(found)) == 1
            assert (found.omissions, found.notices) == ([], [])

    def test_deletes_each_leaf_of_a_large_content(self, world: World, tmp_path: Path) -> None:
        file = tmp_path / "scan.pdf"
        file.write_bytes(b"%PDF-1.4 " + random.Random(1).randbytes(3 << 20))
        (info,) = world.hospital.upload([file], world.patient.address, "documents").records
        leaves = [leaf for leaf, _ in unixfs.leaves_of(CID.parse(info.content_cid), world.network.store.get_block)]
        assert len(leaves) > 2
        moved(world, [info.header_cid])
        assert not any(world.network.store.has_block(leaf) for leaf in leaves)
        assert [one.content for one in again(world).records()] == [file.read_bytes()]


class TestVersions:
    def test_an_older_one_that_stays_does_not_count_again(self, world: World, tmp_path: Path) -> None:
        publish(
            world, tmp_path / "1", bundle(stamped(1, valueString="old"), stamped(1, id="other", valueString="other"))
        )
        publish(world, tmp_path / "2", bundle(stamped(1, LATER, valueString="new")))
        newest = next(one.info.header_cid for one in world.patient.records() if b'"new"' in one.content)
        moved(world, [newest])
        assert not any(b'"old"' in one.content for one in opening(world, "laboratory").records)  # type: ignore[attr-defined]
        assert [b'"new"' in one.content for one in opening(world, "private").records] == [True]  # type: ignore[attr-defined]
        seen = again(world).records(history=True)
        assert len(list(seen)) == 2
        (history,) = seen.histories()
        assert [one.state for one in history.versions] == ["superseded", "current"]

    def test_an_older_one_counts_again_once_the_one_that_went_is_withdrawn(self, world: World, tmp_path: Path) -> None:
        publish(world, tmp_path / "1", bundle(stamped(1, valueString="right")))
        publish(world, tmp_path / "2", bundle(stamped(1, LATER, valueString="wrong")))
        moved(world, [next(one.info.header_cid for one in world.patient.records() if b'"wrong"' in one.content)])
        assert opening(world, "laboratory").delivered == 0
        wrong = next(one.info.header_cid for one in again(world).records() if b'"wrong"' in one.content)
        again(world, "hospital").withdraw([wrong], "entered-in-error")
        assert opening(world, "laboratory").delivered == 1

    def test_an_older_one_that_goes_does_not_count_there(self, world: World, tmp_path: Path) -> None:
        (old,) = publish(world, tmp_path / "1", bundle(stamped(1, valueString="old"))).records
        publish(world, tmp_path / "2", bundle(stamped(1, LATER, valueString="new")))
        moved(world, [old.header_cid])
        assert opening(world, "private").delivered == 0
        assert opening(world, "laboratory").delivered == 1

    def test_a_re_export_publishes_only_what_changed_and_that_where_it_was_asked(
        self, world: World, tmp_path: Path
    ) -> None:
        one, two = stamped(1, id="a", valueString="a1"), stamped(1, id="b", valueString="b1")
        publish(world, tmp_path / "1", bundle(one))
        publish(world, tmp_path / "2", bundle(two))
        moved(world, [next(r.info.header_cid for r in world.patient.records() if b'"a1"' in r.content)])
        unchanged = publish(world, tmp_path / "3", bundle(two, one))
        assert (unchanged.records, unchanged.unchanged) == ((), 2)
        newer = publish(world, tmp_path / "4", bundle(stamped(1, LATER, id="a", valueString="a2"), two)).records
        assert [info.category.value for info in newer] == ["private"]
        assert own(world) == [("laboratory", "b1"), ("private", "a2")]

    def test_a_wish_counts_before_the_hospital_followed_it(self, world: World, tmp_path: Path) -> None:
        (old,) = publish(world, tmp_path / "1", bundle(stamped(1, valueString="old"))).records
        world.patient.choices.recategorize([old.header_cid], "private")
        (info,) = publish(world, tmp_path / "2", bundle(stamped(1, LATER, valueString="new"))).records[:1]
        assert info.category.value == "private"
        # The older one goes there as well, and the newer one counts.
        assert again(world, "hospital").rewrap().resealed == 1
        assert own(world) == [("private", "new")]

    def test_nothing_newer_is_opened_by_a_wish_about_what_the_patient_saw(self, world: World, tmp_path: Path) -> None:
        code = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "F10.20"}]}
        one = {"resourceType": "Condition", "id": "c", "recordedDate": "2025-01-01", "code": code}
        record = published(world, tmp_path / "1", one)[0]
        moved(world, [record], "conditions", confirm=lambda _: None)
        assert [category for category, _ in own(world)] == ["conditions"]
        assert published(world, tmp_path / "2", {**one, "meta": {"lastUpdated": "2025-02-02T00:00:00Z"}}) == []
        published(world, tmp_path / "3", {**one, "note": [{"text": "drinks again"}]})
        assert [category for category, _ in own(world)] == ["substance-use"]


class TestRefusals:
    def test_more_people_only_if_the_patient_confirms_it(self, world: World, tmp_path: Path) -> None:
        ids = published(world, tmp_path / "1", observation(1, "v"))
        block = world.network.sidechain.head_block().number
        with pytest.raises(UsageError, match="more people could open 1 of them"):
            # Everybody in an emergency.
            world.patient.choices.recategorize(ids, "medications")
        assert world.network.sidechain.head_block().number == block

    def test_an_unknown_record_keeps_no_other_back(self, world: World, tmp_path: Path) -> None:
        ids = published(world, tmp_path / "1", observation(1, "v"))
        unknown = str(CID.of(0x55, b"nothing"))
        with pytest.raises(PartlyDoneError) as caught:
            world.patient.choices.recategorize([unknown, *ids], "private")
        report = caught.value.result
        assert [one.record_id for one in report.asked] == ids  # type: ignore[attr-defined]
        assert [one.what for one in report.omissions] == [f"record {unknown}"]  # type: ignore[attr-defined]
        assert again(world, "hospital").rewrap().resealed == 1
        with pytest.raises(UnknownActorError, match="no record"):
            world.patient.choices.recategorize([unknown], "private")

    @pytest.mark.parametrize("count", [0, 1001])
    def test_none_or_too_many(self, world: World, count: int) -> None:
        with pytest.raises(UsageError, match="1 to 1,000 records"):
            world.patient.choices.recategorize([f"r{one}" for one in range(count)], "private")

    def test_what_lies_there_already_is_not_asked_for(self, world: World, tmp_path: Path) -> None:
        ids = published(world, tmp_path / "1", observation(1, "v"))
        block = world.network.sidechain.head_block().number
        report = world.patient.choices.recategorize(ids, "laboratory")
        assert (report.asked, list(report.already)) == ((), ids)
        assert world.network.sidechain.head_block().number == block

    def test_of_what_was_withdrawn(self, world: World, tmp_path: Path) -> None:
        ids = published(world, tmp_path / "1", observation(1, "v"))
        world.hospital.withdraw(ids, "wrong-patient")
        with pytest.raises(UnknownActorError, match="withdrawn by its hospital"):
            again(world).choices.recategorize(ids, "private")

    def test_of_a_hospital_that_is_paired_no_more(self, world: World, tmp_path: Path) -> None:
        ids = published(world, tmp_path / "1", observation(1, "v"))
        world.patient.unpair(world.hospital.address)
        with pytest.raises(AccessDeniedError, match="paired no more"):
            again(world).choices.recategorize(ids, "private")


def test_what_was_withdrawn_beside_it_stays_so(world: World, tmp_path: Path) -> None:
    ids = published(world, tmp_path / "1", *(observation(one, f"v{one}") for one in range(3)))
    world.hospital.withdraw(ids[:1], "wrong-patient")
    moved(world, ids[1:2])
    assert len(own(world)) == 2
    found = opening(world, "laboratory")
    assert (found.delivered, len(found.withdrawn)) == (1, 1)


def test_a_record_that_went_can_be_withdrawn(world: World, tmp_path: Path) -> None:
    moved(world, published(world, tmp_path / "1", observation(1, "v")))
    (info,) = (one.info for one in again(world).records())
    again(world, "hospital").withdraw([info.header_cid], "entered-in-error")
    assert own(world) == []


def test_what_was_withdrawn_after_it_was_asked_for_stays_withdrawn(world: World, tmp_path: Path) -> None:
    """A statement names a content, and what is sealed anew has another one."""
    wrong, right = published(world, tmp_path / "1", observation(1, "wrong"), observation(2, "right"))
    world.patient.choices.recategorize([wrong, right], "private")
    world.hospital.withdraw([wrong], "wrong-patient")
    again(world, "hospital").rewrap()
    assert own(world) == [("private", "right")]
    found = opening(world, "private")
    assert len(found.records) == 1  # type: ignore[attr-defined]
    again(world, "hospital").rewrap()
    assert own(world) == [("private", "right")]
