"""Uploads: published once, attachments with their Bundle, and with jitter each record at a time of its own."""

from __future__ import annotations

import gc
import gzip
import json
import zipfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, ClassVar
from unittest.mock import patch

import pytest

from panachain.errors import AccessDeniedError, DiskError, InputError, PartlyDoneError, UsageError
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Address
from panachain.model.records import PlainRecord
from panachain.model.scope import UNDATED, Category, path_of
from panachain.records import publish, reading_ahead
from panachain.records.classify import Classified
from panachain.records.pairing import Pairing
from panachain.records.publish import BatchBuilder
from panachain.records.sensitivity import PROFILES
from panachain.records.sources import find_sources
from panachain.records.split import MEDIA_TYPE
from panachain.sdk.batches import open_batches
from panachain.sdk.kept_persons import KeptPersons
from panachain.sdk.results.uploads import UploadReport
from panachain.sdk.uploads import Tally, Upload, _with_leaders, size_of
from tests.twin.world import World, resource
from tests.unit.records.helpers import as_xml
from tests.unit.sdk.helpers import again

DAY = 86_400


def files(folder: Path, count: int, category: str = "laboratory") -> Path:
    """Write some resources, each a source of its own."""
    for number in range(count):
        (folder / f"{number}.json").write_text(json.dumps(resource(category, 2025, number)))
    return folder


def upload(world: World, folder: Path, **more: Any) -> UploadReport:
    report: UploadReport = world.hospital.upload([folder], world.patient.address, **more)
    return report


def held(root: object) -> list[object]:
    """Return everything that is kept in memory by something, but for what the program is made of."""
    seen: dict[int, object] = {}
    waiting: list[object] = [root]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type | ModuleType | FunctionType):
            continue
        seen[id(one)] = one
        waiting += gc.get_referents(one)
    return list(seen.values())


class TestPublishing:
    def test_all_of_a_folder_goes_in_one_batch_and_is_read_by_the_patient(self, world: World, tmp_path: Path) -> None:
        report = upload(world, files(tmp_path, 3))
        assert (len(report.records), len(report.transactions), report.sequence, report.waiting) == (3, 1, 1, 0)
        assert {record.info.header_cid for record in world.patient.records()} == {
            info.header_cid for info in report.records
        }

    def test_a_source_is_published_once_for_one_patient(self, world: World, tmp_path: Path) -> None:
        first = upload(world, files(tmp_path, 2))
        block = world.network.mainchain.head_block().number
        second = again(world, "hospital").upload([tmp_path, tmp_path], world.patient.address)
        assert (len(first.records), len(second.records), second.skipped) == (2, 0, 4)
        assert world.network.mainchain.head_block().number == block

    def test_a_dry_run_reads_and_sends_nothing(self, world: World, tmp_path: Path) -> None:
        files(tmp_path, 2)
        block, blocks = world.network.mainchain.head_block().number, set(world.network.store.pinned)
        with patch.object(world.network.mainchain.ledger, "estimate_store", return_value=50_000):
            report = upload(world, tmp_path, dry_run=True)
        assert (report.dry_run, len(report.records), report.gas, report.tx) == (True, 2, 50_000, "")
        assert [info.header_cid for info in report.records] == ["", ""]
        assert world.network.mainchain.head_block().number == block
        assert set(world.network.store.pinned) == blocks

    def test_a_dry_run_explains_itself_as_classify_does_and_with_what_the_patient_closes(
        self, world: World, tmp_path: Path
    ) -> None:
        files(tmp_path, 1)
        coded = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "F10.20"}]}
        (tmp_path / "a.json").write_text(json.dumps({"resourceType": "Condition", "id": "a", "code": coded}))
        (tmp_path / "torn.json").write_text("{")
        world.network.config = replace(world.network.config, sensitivity="minimal")
        block, blocks = world.network.mainchain.head_block().number, set(world.network.store.pinned)

        def told() -> dict[str, str]:
            found: list[tuple[Path, Classified]] = []
            assigned = [(tmp_path, world.patient.address)]
            with (
                patch.object(world.network.mainchain.ledger, "estimate_store", return_value=1),
                pytest.raises(PartlyDoneError) as caught,
            ):
                world.hospital.upload_many(assigned, dry_run=True, explain=lambda *told: found.append(told))
            assert [one.what for one in caught.value.omissions] == [str(tmp_path / "torn.json")]
            shown = {path.name: one for path, one in found}
            by_itself = {source.path.name: source for source in find_sources([tmp_path], None, PROFILES["minimal"])}
            assert [one.resource for one in by_itself["a.json"].classified()] == [shown["a.json"].resource]
            return {name: one.category.value for name, one in shown.items()}

        assert told() == {"0.json": "laboratory", "a.json": "conditions"}
        world.patient.choices.change(close=["alcohol"])
        assert told() == {"0.json": "laboratory", "a.json": "substance-use"}
        assert world.network.mainchain.head_block().number == block
        assert {cid for cid in world.network.store.pinned if cid not in blocks} <= {
            CID(RAW, event.digest)
            for event in world.network.sidechain.identities.ever_paired(patient=world.patient.address)
        }

    def test_with_processes_what_is_whole_is_finished_early_and_a_broken_file_stops_nothing(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading_ahead, "WORTH", 0)
        monkeypatch.setattr(reading_ahead, "most_processes", lambda: 1)
        files(tmp_path, 3)
        (tmp_path / "torn.json").write_text("{")
        complete, early = BatchBuilder.complete, list[bool]()

        def at_once(builder: BatchBuilder, patient: Address) -> None:
            complete(builder, patient)
            for begun in list(builder._begun):
                begun.envelopes.result()
                if begun.words is not None:
                    begun.words._readers.answer(begun.words.job)  # type: ignore[attr-defined]
                early.append(builder.finish_next())

        with patch.object(BatchBuilder, "complete", at_once), pytest.raises(PartlyDoneError) as caught:
            world.hospital.upload_many([(tmp_path, world.patient.address)])
        assert [one.what for one in caught.value.omissions] == [str(tmp_path / "torn.json")]
        assert early
        assert all(early)
        assert len(list(world.patient.records())) == 3
        assert world.hospital.upload_many([(tmp_path / "0.json", world.patient.address)], verify=True).skipped == 1

    def test_only_a_dry_run_is_explained(self, world: World, tmp_path: Path) -> None:
        files(tmp_path, 1)
        with pytest.raises(UsageError, match="before anything is sent"):
            world.hospital.upload_many([(tmp_path, world.patient.address)], explain=lambda *_: None)

    def test_a_newer_category_goes_where_an_older_pairing_has_lanes(self, world: World, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text(json.dumps({"resourceType": "Condition", "code": {"text": "domestic abuse"}}))
        older = [one for one in Category if one.code < Category.GENDER.code]
        with patch.object(Pairing, "category_for", lambda _, one: one if one in older else Category.SEXUAL_HEALTH):
            assert [info.category for info in upload(world, tmp_path).records] == [Category.SEXUAL_HEALTH]

    def test_progress_counts_bytes_and_records_to_the_end(self, world: World, tmp_path: Path) -> None:
        seen: list[tuple[int, int, str]] = []
        upload(world, files(tmp_path, 3), progress=lambda done, total, unit: seen.append((done, total, unit)))
        size = size_of([tmp_path])
        assert [one for one in seen if one[2] == "bytes"][-1] == (size, size, "bytes")
        assert [one[0] for one in seen if one[2] == "records"] == [1, 2, 3]

    @pytest.mark.parametrize(("ahead", "shown"), [(1, 1), (2, None), (7000, None)])
    def test_a_year_further_away_than_the_next_one_by_the_networks_clock_is_a_mistake(
        self, world: World, tmp_path: Path, ahead: int, shown: int | None
    ) -> None:
        year = datetime.fromtimestamp(world.now, UTC).year
        (tmp_path / "0.json").write_text(json.dumps(resource("laboratory", year + ahead, 0)))
        expected = UNDATED if shown is None else year + shown
        with patch.object(world.network.mainchain.ledger, "estimate_store", return_value=1):
            assert [info.year for info in upload(world, tmp_path, dry_run=True).records] == [expected]
        assert [info.year for info in upload(world, tmp_path).records] == [expected]

    def test_nothing_to_publish_is_an_error(self, world: World, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="nothing to publish"):
            upload(world, tmp_path)

    def test_a_patient_who_has_not_paired_stops_it_before_anything(self, world: World, tmp_path: Path) -> None:
        world.network.sidechain.identities.unpair(world.patient._sender(sidechain=True), world.hospital.address)
        with pytest.raises(AccessDeniedError, match="nothing was published"):
            upload(world, files(tmp_path, 1))


class TestXml:
    """FHIR in XML, Apple Health and C-CDA are published as they are, cut as their content says."""

    BUNDLE: ClassVar[dict[str, Any]] = {
        "resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in (
            resource("allergies", 2024, 1), resource("laboratory", 2025, 2),
            {**resource("conditions", 2026, 3), "code": {"text": "HIV disease"}})]}  # fmt: skip
    EXPORT = (
        b'<HealthData locale="x"><Record type="HKQuantityTypeIdentifierHeartRate" startDate="2025-01-02"/>'
        b'<Record type="HKCategoryTypeIdentifierPregnancy" startDate="2024-01-02"/></HealthData>'
    )
    SECTION = (
        '<component><section><code code="{}"/><entry><act><value code="{}" {}/></act></entry></section></component>'
    )
    ICD = 'codeSystem="2.16.840.1.113883.6.3"'

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "bundle.xml").write_bytes(as_xml(self.BUNDLE))
        (tmp_path / "export.xml").write_bytes(self.EXPORT)
        body = self.SECTION.format("48765-2", "Z88.0", self.ICD) + self.SECTION.format("11450-4", "B20", self.ICD)
        (tmp_path / "note.cda").write_text(
            f'<ClinicalDocument xmlns="urn:hl7-org:v3"><effectiveTime value="2025"/><component><structuredBody>{body}'
            "</structuredBody></component></ClinicalDocument>"
        )
        return tmp_path

    @pytest.mark.parametrize("strict", [False, True])
    def test_each_part_is_read_where_its_content_belongs(self, world: World, folder: Path, strict: bool) -> None:
        report = upload(world, folder, strict=strict)
        read = {(one.info.category.value, one.info.year): one.content for one in world.patient.records()}
        assert set(read) == {
            *(("allergies", 2024), ("laboratory", 2025), ("sexual-health", 2026), ("vitals", 2025)),
            *(("sexual-health", 2024), ("documents", 0), ("sexual-health", 2025), ("allergies", 2025)),
        }
        assert read["sexual-health", 2025] == (folder / "note.cda").read_bytes()
        assert b"Z88.0" in read["allergies", 2025]
        assert b"B20" not in read["allergies", 2025]
        assert report.closed == ((str(folder / "note.cda"), "section 11450-4 Problem list"),)

    def test_the_emergency_lane_has_what_a_closed_document_holds_for_it(self, world: World, folder: Path) -> None:
        report = upload(world, folder)
        found = {
            path_of(info.category, info.year)[-1].text
            for info in report.records
            if info.year == 2025 and info.media_type == "application/cda+xml"
        }
        assert found == {"emergency", "sexual-health/2025"}


class TestFullBatches:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(publish, "MAX_RECORDS", 2)

    def test_what_doesnt_fit_goes_in_the_next_one(self, world: World, tmp_path: Path) -> None:
        report = upload(world, files(tmp_path, 5))
        assert (len(report.records), len(report.transactions), report.sequence) == (5, 3, 3)
        assert len(list(world.patient.records())) == 5

    def test_strict_ends_with_an_unreadable_file_leaves_earlier_batches_and_says_so(
        self, world: World, tmp_path: Path
    ) -> None:
        files(tmp_path, 3)
        (tmp_path / "9.json").write_text("{")
        with pytest.raises(InputError, match="after 2 records of earlier batches"):
            upload(world, tmp_path, strict=True)
        assert len(list(world.patient.records())) == 2
        (tmp_path / "9.json").unlink()
        # The same call publishes the rest, and no record twice.
        assert (len(upload(world, tmp_path).records), len(list(world.patient.records()))) == (1, 3)


class TestLeavingOut:
    """What can't be read keeps nothing else back; it is named, and so is what is no record."""

    def folder(self, folder: Path) -> Path:
        files(folder, 2)
        (folder / "README.txt").write_text("read me")
        # Its first lines are whole, and yet none of them goes.
        lines = [json.dumps(resource("laboratory", 2025, number)) for number in range(5)]
        (folder / "torn.ndjson").write_text("\n".join([*lines, '{"resourceType":']))
        packed = folder / "export.zip"
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("INDEX.HTM", "<html>")
            archive.writestr("good.json", json.dumps(resource("allergies", 2025, 1)))
            archive.writestr("bad.json", b"{BAD}")
        packed.write_bytes(packed.read_bytes().replace(b"{BAD}", b"{bad}"))
        return folder

    def test_the_rest_is_published_and_the_culprits_are_named(self, world: World, tmp_path: Path) -> None:
        self.folder(tmp_path)
        with pytest.raises(PartlyDoneError, match="3 records were published, of 1 patient") as caught:
            upload(world, tmp_path)
        report = caught.value.result
        assert isinstance(report, UploadReport)
        assert {one.what: str(one.error) for one in report.omissions} == {
            f"{tmp_path}/export.zip!bad.json": "it is damaged, and can't be unpacked",
            f"{tmp_path}/torn.ndjson": "line 6: not JSON: Expecting value: line 1 column 17 (char 16)",
        }
        assert caught.value.omissions == report.omissions
        assert [path.rpartition("/")[2] for path, _ in report.passed_over] == ["README.txt", "export.zip!INDEX.HTM"]
        assert (len(report.records), len(list(world.patient.records()))) == (3, 3)
        assert caught.value.exit_code == 3

    @pytest.mark.parametrize("name", ["torn.ndjson", "torn.json", "torn.xml"])
    def test_what_cannot_be_read_keeps_no_memory(
        self, world: World, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A folder of a million broken files takes their names, and not their bytes."""
        content = b"{" + b"torn " * 4000
        start = b"<Bundle xmlns='http://hl7.org/fhir'>" if name == "torn.xml" else b""
        (tmp_path / name).write_bytes(start + content)
        found: list[Tally] = []
        monkeypatch.setattr(Tally, "check", lambda tally: found.append(tally))
        with pytest.raises(PartlyDoneError):
            upload(world, files(tmp_path, 1))
        (tally,) = found
        assert tally.unread
        large = [one for one in held(tally.unread) if isinstance(one, bytes | str | bytearray) and len(one) > 10_000]
        assert large == []

    def test_what_is_no_record_is_refused_by_strict(self, world: World, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "xdm.zip", "w") as archive:
            archive.writestr("IHE_XDM/SUBSET01/METADATA.XML", "<?xml version='1.0'?><x/>")
            archive.writestr("IHE_XDM/SUBSET01/DOC.json", json.dumps(resource("allergies", 2025, 7)))
        with pytest.raises(InputError, match=r"METADATA\.XML: it is no record: the metadata of an XDM archive"):
            upload(world, tmp_path, strict=True)
        report = upload(world, tmp_path)
        assert [what for _, what in report.passed_over] == ["the metadata of an XDM archive"]
        assert len(report.records) == 1

    def test_once_it_is_mended_it_goes_and_nothing_twice(self, world: World, tmp_path: Path) -> None:
        self.folder(tmp_path)
        with pytest.raises(PartlyDoneError):
            upload(world, tmp_path)
        (tmp_path / "export.zip").unlink()
        text = (tmp_path / "torn.ndjson").read_text().rpartition("\n")[0]
        (tmp_path / "torn.ndjson").write_text(text)
        report = again(world, "hospital").upload([tmp_path], world.patient.address)
        assert (report.skipped, len(report.records), report.omissions) == (2, 1, ())

    def test_a_dry_run_names_the_same(self, world: World, tmp_path: Path) -> None:
        self.folder(tmp_path)
        with (
            patch.object(world.network.mainchain.ledger, "estimate_store", return_value=1),
            pytest.raises(PartlyDoneError, match="3 records were read, of 1 patient") as caught,
        ):
            upload(world, tmp_path, dry_run=True)
        assert len(caught.value.omissions) == 2
        assert not list(world.patient.records())

    @pytest.mark.parametrize("name", ["README.txt", "torn.ndjson", "export.zip"])
    def test_strict_refuses_each_of_them(self, world: World, tmp_path: Path, name: str) -> None:
        self.folder(tmp_path)
        for other in {"README.txt", "torn.ndjson", "export.zip"} - {name}:
            (tmp_path / other).unlink()
        with pytest.raises(InputError, match=f"{name}.*nothing was published"):
            upload(world, tmp_path, strict=True)
        assert not list(world.patient.records())

    def test_where_nothing_can_be_read_the_first_reason_is_the_error(self, world: World, tmp_path: Path) -> None:
        (tmp_path / "a.ndjson").write_text('{"resourceType":"Patient"},\n')
        (tmp_path / "b.json").write_text("{")
        with pytest.raises(InputError, match=r"a\.ndjson: line 1: .*; nothing was published") as caught:
            upload(world, tmp_path)
        assert "no comma" in caught.value.hint

    def test_progress_comes_to_the_end_with_archives_and_what_is_passed_over(
        self, world: World, tmp_path: Path
    ) -> None:
        (tmp_path / "README.txt").write_text("read me")
        text = json.dumps(resource("laboratory", 2025, 1)) + " " * 100_000
        (tmp_path / "a.json.gz").write_bytes(gzip.compress(text.encode()))
        seen: list[tuple[int, int, str]] = []
        upload(world, tmp_path, progress=lambda done, total, unit: seen.append((done, total, unit)))
        size = size_of([tmp_path])
        assert max(one for one in seen if one[2] == "bytes") == (size, size, "bytes")


class TestWaiting:
    def round(self, world: World, folder: Path, drawn: dict[int, int], *, jitter: int = 7 * DAY) -> Tally:
        """Publish in one round; the n-th draw is `drawn[n]`, seven days for those that aren't given."""
        session, draws = world.hospital, iter(range(1000))
        tally = Tally()
        pairing = session.pairing(world.patient.whoami())
        with open_batches(world.network, session.address, session._seed, session.profile.folder) as batches:
            persons = KeptPersons(session.profile.folder, session._seed)
            delay = lambda most: drawn.get(next(draws), most)  # noqa: E731
            upload = Upload(batches, tally, persons, jitter=jitter, now=world.now, delay=delay)
            upload.run((source, pairing) for source in find_sources([folder]))
        return tally

    def test_each_waits_for_its_own_time_and_one_of_a_patient_goes_in_a_round(
        self, world: World, tmp_path: Path
    ) -> None:
        files(tmp_path, 3)
        first = self.round(world, tmp_path, {0: 0, 1: 0, 2: DAY})
        assert (len(first.records), first.waiting) == (1, 2)
        # What was drawn first counts.
        second = self.round(world, tmp_path, {})
        assert (len(second.records), second.waiting) == (1, 1)
        third = self.round(world, tmp_path, {})
        assert (len(third.records), third.waiting) == (0, 1)
        world.advance(DAY)
        assert (len(self.round(world, tmp_path, {}).records), len(list(world.patient.records()))) == (1, 3)

    def test_whatever_has_waited_the_longest_time_goes_with_others(self, world: World, tmp_path: Path) -> None:
        files(tmp_path, 3)
        assert self.round(world, tmp_path, {}).waiting == 3
        world.advance(7 * DAY)
        assert len(self.round(world, tmp_path, {}).records) == 3

    def test_what_follows_a_bundle_goes_with_it(self) -> None:
        def record(media_type: str, part: int) -> PlainRecord:
            return PlainRecord(Category.DOCUMENTS, 2025, media_type, b"x", b"s" * 32, part)

        fhir = [record(media_type, part) for part, media_type in enumerate((MEDIA_TYPE, "image/png", MEDIA_TYPE))]
        assert [leads for _, leads in _with_leaders(fhir)] == [True, False, True]
        assert [leads for _, leads in _with_leaders([record("image/png", 0), record("image/png", 1)])] == [True, True]


class TestCutAnew:
    """A source of which a part is published may be cut in another way: settings and data say what is sensitive."""

    def bundle(self, folder: Path) -> Path:
        code = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "B20"}]}
        hiv = {"resourceType": "Condition", "id": "hiv", "onsetDateTime": "2025-01-01", "code": code}
        common = {"resourceType": "Condition", "id": "common", "onsetDateTime": "2025-01-01"}
        other = {"resourceType": "AllergyIntolerance", "id": "other", "recordedDate": "2025-01-01"}
        entries = [{"resource": one} for one in (hiv, other, common)]
        path = folder / "bundle.json"
        path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
        return path

    def broken_off(self, world: World, path: Path, profile: str) -> None:
        """Publish the first record of a source by one profile; then the disk is full."""
        world.network.config = replace(world.network.config, sensitivity=profile)
        real = publish.BatchBuilder.add
        added = []

        def add(builder: publish.BatchBuilder, record: PlainRecord, *rest: Any, **more: Any) -> None:
            if added:
                raise OSError(28, "No space left on device")
            added.append(record)
            real(builder, record, *rest, **more)

        with (
            patch.object(publish, "MAX_RECORDS", 1),
            patch.object(publish.BatchBuilder, "add", add),
            pytest.raises(DiskError),
        ):
            upload(world, path)
        assert len(list(again(world).records())) == 1

    @pytest.mark.parametrize(("before", "after"), [("us-42cfr2", "default"), ("default", "us-42cfr2")])
    def test_nothing_is_lost_and_what_did_not_change_goes_once(
        self, world: World, tmp_path: Path, before: str, after: str
    ) -> None:
        path = self.bundle(tmp_path)
        self.broken_off(world, path, before)
        world.network.config = replace(world.network.config, sensitivity=after)
        again(world, "hospital").upload([path], world.patient.address)
        read = [json.loads(record.content) for record in again(world).records()]
        found = Counter(entry["resource"]["id"] for bundle in read for entry in bundle["entry"])
        # By their numbers the first record of the new cut would pass for the first one of the old.
        assert found.keys() == {"hiv", "common", "other"}
        assert found["other"] == 1
        # And all of it is done: the same call has nothing left.
        assert not again(world, "hospital").upload([path], world.patient.address).records

    def test_two_records_that_are_alike_are_two(self, world: World, tmp_path: Path) -> None:
        """A source may hold the same content twice; what is published of it counts once each."""
        lines = "\n".join(json.dumps({"resourceType": "Bundle", "type": kind, "entry": []}) for kind in ("x", "x", "y"))
        path = tmp_path / "lines.ndjson"
        path.write_text(lines)
        self.broken_off(world, path, "default")
        again(world, "hospital").upload([path], world.patient.address)
        assert len(list(again(world).records())) == 3

    def test_a_journal_of_an_older_version_knows_records_by_their_number(self, world: World, tmp_path: Path) -> None:
        path = self.bundle(tmp_path)
        self.broken_off(world, path, "default")
        with open_batches(
            world.network, world.hospital.address, world.hospital._seed, world.hospital.profile.folder
        ) as b:
            b.journal._db.execute("DELETE FROM unfinished")
        again(world, "hospital").upload([path], world.patient.address)
        assert len(list(again(world).records())) == 3
