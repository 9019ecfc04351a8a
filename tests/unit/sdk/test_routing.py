"""An export of many patients in one call: each gets what is theirs, whoever isn't known for sure gets nothing."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from zipfile import ZipFile

import pytest

from panachain.errors import DiskError, InputError, PanaChainError, PartlyDoneError, UnknownActorError, UsageError
from panachain.model.actors import Role
from panachain.records.exports import Export
from panachain.sdk.patient import Patient
from panachain.sdk.profiles import Profile
from panachain.sdk.results.uploads import UploadReport
from tests.twin.world import World, actor_of
from tests.unit.records.test_exports import about, bundle, ndjson, observation, patient
from tests.unit.sdk.helpers import again


@contextmanager
def known(world: World, folder: Path, *names: str, paired: bool = True) -> Iterator[dict[str, str]]:
    """Give patients of whom the hospital published something, by the id that they have in exports."""
    found = {}
    for name in names:
        actor = actor_of(f"patient-{name}", Role.PATIENT)
        place = world.home / "profiles" / f"patient-{name}"
        place.mkdir(parents=True)
        profile = Profile(place.name, Role.PATIENT, actor.address, actor.public_keys, place)
        session = world.sessions[f"patient-{name}"] = Patient(world.network, profile, "")
        world.registrar.admit(replace(actor, organisation=None))
        session.pair(world.hospital.address)
        first = ndjson(folder / f"first-{name}" / "in.ndjson", patient(name), about(f"first-{name}", name))
        again(world, "hospital").upload([first], actor.address)
        if not paired:
            session.unpair(world.hospital.address)
        found[name] = actor.address
    yield found


def upload(world: World, *paths: Path, named: Mapping[str, str] | None = None, **more: Any) -> UploadReport:
    """Upload in a new session, and return the report, also of what was done in part."""
    report: Any
    try:
        report = again(world, "hospital").upload_each(list(paths), named, **more)
    except PartlyDoneError as exc:
        report = exc.result
    return cast("UploadReport", report)


def opened(world: World, name: str) -> set[str]:
    """Return the resources that a patient opens of theirs, without those that made them known."""
    found = set()
    for record in again(world, f"patient-{name}").records():
        entries = json.loads(record.content)["entry"]
        found |= {f"{one['resource']['resourceType']}/{one['resource']['id']}" for one in entries}
    return found - {f"Observation/first-{name}"}


def export(folder: Path, *names: str) -> Path:
    """Write a bulk export."""
    ndjson(folder / "Patient.ndjson", *(patient(name) for name in names))
    ndjson(folder / "Observation.ndjson", *(about(f"o{name}", name) for name in names))
    return folder


def test_each_patient_gets_what_is_theirs_and_the_same_again_publishes_nothing(world: World, tmp_path: Path) -> None:
    with known(world, tmp_path, "a", "b"):
        folder = export(tmp_path / "export", "b", "a")
        report = again(world, "hospital").upload_each([folder], verify=True)
        assert report.omissions == ()
        assert report.read_back is not None
        for name in "ab":
            assert opened(world, name) == {f"Patient/{name}", f"Observation/o{name}"}
        # Another order of files and lines is the same export.
        ndjson(folder / "Observation.ndjson", about("oa", "a"), about("ob", "b"))
        repeated = again(world, "hospital").upload_each([folder])
        assert (len(repeated.records), repeated.skipped) == (0, len(report.records))


def test_in_each_patients_part_is_closed_what_they_chose(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.network, "config", replace(world.network.config, sensitivity="minimal"))
    drinks = {"code": {"text": "alcohol dependence"}}
    with known(world, tmp_path, "a", "b", "c") as addresses:
        again(world, "patient-a").choices.change(close=["alcohol"])
        folder = tmp_path / "export"
        ndjson(folder / "Patient.ndjson", *(patient(name) for name in "ab"))
        ndjson(folder / "Observation.ndjson", *(about(f"o{name}", name, **drinks) for name in "ab"))
        # A file of one person goes by another way.
        monkeypatch.setattr(world.network.mainchain.ledger, "estimate_store", lambda *_: 1)
        named = {}
        for name in "ac":
            path = tmp_path / f"{name}.hl7"
            head = "MSH|^~\\&|a|b|c|d|20240506||ADT^A01|1|P|2.5"
            path.write_text(f"{head}\rPID|1||{name}\rPV2|||^alcohol dependence")
            named[str(path)] = addresses[name]
        told = dict[str, str]()

        def explain(path: Path, one: Any) -> None:
            if one.resource.startswith(("Observation", "ADT")):
                told[f"{one.resource} {path.name[0]}"] = one.category.value

        paths = [folder, *map(Path, named)]
        upload(world, *paths, named=named, dry_run=True, explain=explain)
        assert sorted(told.values()) == ["encounters", "laboratory", "substance-use", "substance-use"]
        report = upload(world, *paths, named=named)
        closed = sorted((one.category.value, str(one.media_type)) for one in report.records)
        assert [kind for category, kind in closed if category == "substance-use"] == [
            "application/fhir+json",
            "application/hl7-v2",
        ]


def test_a_killed_upload_is_finished_by_the_same_call(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with known(world, tmp_path, "a", "b"):
        folder = export(tmp_path / "export", "a", "b")
        hospital = again(world, "hospital")
        monkeypatch.setattr("panachain.sdk.batches.Batches.send", _killed)
        with pytest.raises(KeyboardInterrupt):
            hospital.upload_each([folder])
        monkeypatch.undo()
        # The Patients were published before, with what made them known.
        assert len(upload(world, folder).records) == 2
        assert len(upload(world, folder).records) == 0


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_whoever_isnt_known_or_paired_gets_nothing_and_is_told_by_place(world: World, tmp_path: Path) -> None:
    with known(world, tmp_path, "a"), known(world, tmp_path, "gone", paired=False):
        folder = export(tmp_path / "export", "a", "stranger", "gone")
        with pytest.raises(PartlyDoneError) as caught:
            again(world, "hospital").upload_each([folder])
        assert caught.value.exit_code == 3
        assert opened(world, "a") == {"Patient/a", "Observation/oa"}
        stranger, gone = map(str, caught.value.omissions)
        assert "Patient.ndjson, resource 2: no patient is known by it (Patient.identifier)" in stranger
        assert "hasn't paired" in gone
        assert opened(world, "gone") == {"Patient/gone"}
        assert caught.value.result.unassigned == {
            "no patient is known by it (Patient.identifier)": 1,
            "they aren't paired with this hospital": 1,
        }
        with pytest.raises(InputError, match="no patient is known"):
            upload(world, folder, strict=True)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": [{"family": "Another"}]}, "Patient.name"),
        ({"birthDate": "1999-09-09"}, "Patient.birthDate"),
        ({"name": []}, "Patient.name"),
        ({"birthDate": None}, "Patient.birthDate"),
        ({"identifier": [{"system": "urn:mrn", "value": "else"}]}, "Patient.identifier"),
        ({"identifier": []}, "Patient.identifier"),
    ],
)
def test_whoever_isnt_known_for_sure_gets_nothing(
    changed: dict[str, Any], field: str, world: World, tmp_path: Path
) -> None:
    with known(world, tmp_path, "a") as patients:
        path = ndjson(tmp_path / "in.ndjson", patient("a", **changed), about("o", "a"))
        with pytest.raises(PanaChainError) as caught:
            again(world, "hospital").upload_each([path])
        assert field in str(caught.value)
        assert opened(world, "a") == {"Patient/a"}
        # No value, and nobody's name.
        told = f"{caught.value} {caught.value.hint}"
        assert not [one for one in ("Namea", "mrn-a", "Another", "1970", "1999", patients["a"]) if one in told]


def test_a_table_names_whom_nobody_knows_yet(world: World, tmp_path: Path) -> None:
    with known(world, tmp_path, "a") as patients:
        path = ndjson(tmp_path / "in.ndjson", patient("new"), about("o", "new"), about("x", "only-referred-to"))
        address = world.patient.address
        with pytest.raises(UsageError, match="line 1 of the table means nobody"):
            upload(world, path, named={"Patient/nobody": address})
        with pytest.raises(UsageError, match="line 2 of the table gives a person to another"):
            upload(world, path, named={"Patient/new": address, "urn:mrn|mrn-new": patients["a"]})
        report = upload(world, path, named={"urn:mrn|mrn-new": address})
        assert len(report.omissions) == 1
        # From now on the patient is known.
        more = ndjson(tmp_path / "more.ndjson", patient("new"), about("o2", "new"))
        assert upload(world, more).omissions == ()
        # A table doesn't outweigh what is known.
        wrong = ndjson(tmp_path / "wrong.ndjson", patient("new"), about("o3", "new"))
        with pytest.raises(InputError, match=r"another patient's records|is another one"):
            upload(world, wrong, named={"Patient/new": patients["a"]})


def test_files_that_are_one_persons_go_to_them_and_others_to_nobody(world: World, tmp_path: Path) -> None:
    head = "MSH|^~\\&|A|B|C|D|20240611101500||ORU^R01|1|P|2.5.1\r"
    pid = "PID|1||{0}^^^&2.999.1&ISO^MR||Name{0}||19700101\r"
    with known(world, tmp_path, "a"):
        first = tmp_path / "first.hl7"
        first.write_text(head + pid.format("7"))
        again(world, "hospital").upload([first], world.patient.address)
        folder = export(tmp_path / "mixed", "a")
        (folder / "right.hl7").write_text(head + pid.format("7") + "OBX|1|ST|x||1\r")
        (folder / "several.hl7").write_text(head + pid.format("7") + head + pid.format("8"))
        (folder / "unknown.hl7").write_text(head + pid.format("9"))
        (folder / "scan.pdf").write_bytes(b"%PDF-1.7\n1 0 obj\n")
        (folder / "broken.json").write_bytes(b'{"resourceType":')
        report = upload(world, folder)
        told = {Path(one.what.partition(",")[0]).name: str(one.error) for one in report.omissions}
        assert sorted(told) == ["broken.json", "scan.pdf", "several.hl7", "unknown.hl7"]
        assert "several persons (PID-3)" in told["several.hl7"]
        assert "doesn't say whom" in told["scan.pdf"]
        assert {record.media_type for record in report.records} == {"application/fhir+json", "application/hl7-v2"}
        scan = folder / "scan.pdf"
        assert len(upload(world, scan, named={str(scan): world.patient.address}).records) == 1


def test_nobody_gets_what_is_anothers_in_random_mixtures(world: World, tmp_path: Path) -> None:
    chance = random.Random(15)
    names = ["a", "b", "c"]
    with known(world, tmp_path, *names):
        for turn in range(6):
            who = chance.sample([*names, "stranger"], 3)
            resources = [patient(name) for name in who]
            resources += [about(f"t{turn}-{name}-{number}", name) for name in who for number in range(2)]
            resources.append(about(f"t{turn}-mixed", who[0], performer=[{"reference": f"Patient/{who[1]}"}]))
            chance.shuffle(resources)
            if chance.random() < 0.5:
                path = ndjson(tmp_path / f"{turn}.ndjson", *resources)
            else:
                path = bundle(tmp_path / f"{turn}.json", *({"resource": one} for one in resources))
            upload(world, path)
        for name in names:
            got = {one for one in opened(world, name) if "Observation" in one}
            assert got
            assert all(one.split("-")[1] == name for one in got)


def test_whom_two_accounts_two_names_or_two_numbers_fit_gets_nothing(world: World, tmp_path: Path) -> None:
    with known(world, tmp_path, "a", "b"):
        twice = ndjson(tmp_path / "twice.ndjson", patient("a"), patient("a", name=[{"family": "Other"}]))
        with pytest.raises(InputError, match=r"two Patients of one id are different ones \(Patient\.name\)"):
            upload(world, twice)
        link = [{"other": {"reference": "Patient/x"}, "type": "seealso"}]
        other = patient("x", name=[{"family": "Namea"}])
        with pytest.raises(InputError, match=r"Patient\.identifier is another one"):
            upload(world, ndjson(tmp_path / "linked.ndjson", patient("a", link=link), other))
        # One person has two accounts here, as somebody confirmed.
        first = ndjson(tmp_path / "again.ndjson", patient("a"), about("again", "a"))
        again(world, "hospital").upload([first], world.patient.address, confirm_patient=True)
        with pytest.raises(InputError, match=r"several patients are known by the same \(Patient\.identifier\)"):
            upload(world, ndjson(tmp_path / "in.ndjson", patient("a"), about("o", "a")))


def test_several_patients_with_one_number_are_told_apart_or_get_nothing(world: World, tmp_path: Path) -> None:
    """Twins on one insurance number: the name alone tells them apart, and one of them isn't known yet."""
    family = [{"system": "urn:family", "value": "1"}]
    one, other = (patient(name, identifier=family, name=[{"given": [name]}]) for name in ("Ada", "Ida"))
    first = ndjson(tmp_path / "first.ndjson", one)
    again(world, "hospital").upload([first], world.patient.address)
    path = ndjson(tmp_path / "both.ndjson", other, one, about("ida", "Ida"), about("ada", "Ada"))
    report = upload(world, path)
    assert len(report.omissions) == 1
    assert "Patient.name" in str(report.omissions[0])
    assert "resource 1" in str(report.omissions[0])


def test_a_proposal_says_whose_each_file_is_and_names_fields_and_no_values(world: World, tmp_path: Path) -> None:
    with known(world, tmp_path, "a", "b") as patients, known(world, tmp_path, "gone", paired=False):
        folder = tmp_path / "mixed"
        folder.mkdir()
        bundle(folder / "a.json", {"resource": patient("a")}, {"resource": about("o", "a")})
        bundle(folder / "both.json", {"resource": patient("a")}, {"resource": patient("b")})
        bundle(folder / "gone.json", {"resource": patient("gone")})
        bundle(folder / "name.json", {"resource": patient("b", name=[{"family": "Hidden"}])})
        bundle(folder / "nobody.json", {"resource": {"resourceType": "Organization", "id": "x"}})
        some = [patient("a"), about("o", "a", performer=[{"reference": "Patient/x"}])]
        bundle(folder / "some.json", *({"resource": one} for one in some))
        ndjson(folder / "b.ndjson", patient("b"), about("p", "b"))
        # Of other systems: one of them has the same id for somebody else, the other one doesn't say who that is.
        ndjson(
            folder / "else.ndjson", patient("a", identifier=[{"system": "urn:else", "value": "1"}], birthDate="1999")
        )
        ndjson(folder / "refers.ndjson", about("r", "a"))
        (folder / "broken.json").write_text("{")
        (folder / "scan.pdf").write_bytes(b"%PDF-1.7\n")
        with ZipFile(folder / "mixed.zip", "w") as archive:
            for name in ("a.json", "b.ndjson"):
                archive.write(folder / name, name)
        with ZipFile(folder / "one.zip", "w") as archive:
            archive.write(folder / "a.json", "a.json")
        block = world.network.mainchain.head_block().number
        found = {Path(one.file).name: (one.patient, one.why) for one in again(world, "hospital").propose([folder])}
        assert world.network.mainchain.head_block().number == block
        assert {name: who for name, (who, _) in found.items() if who} == {
            "a.json": patients["a"],
            "b.ndjson": patients["b"],
            "one.zip": patients["a"],
        }
        whys = {name: why for name, (who, why) in found.items() if not who}
        assert "several patients" in whys.pop("both.json")
        assert "several patients" in whys.pop("mixed.zip")
        assert "Patient.name" in whys.pop("name.json")
        assert "no patient is known" in whys.pop("else.ndjson")
        assert "only referred to" in whys.pop("refers.ndjson")
        assert "paired" in whys.pop("gone.json")
        assert "about nobody" in whys.pop("nobody.json")
        assert "doesn't say" in whys.pop("scan.pdf")
        assert "several patients" in whys.pop("some.json")
        assert whys.pop("broken.json")
        assert whys == {}
        assert "Hidden" not in str(found)


def test_the_manifest_of_an_export_tells_which_server_its_lines_are_of(world: World, tmp_path: Path) -> None:
    with known(world, tmp_path, "a") as patients:
        folder = tmp_path / "export"
        server = "https://h.example/fhir"
        whole = [
            observation(f"o{place}", subject={"reference": f"{place}/Patient/a"}) for place in (server, "https://x")
        ]
        ndjson(folder / "Observation.ndjson", *whole, about("p", "a"), about("q", "only-referred-to"))
        ndjson(folder / "Patient.ndjson", patient("a"))
        manifest = {"transactionTime": "2024", "request": f"{server}/Patient/$export", "output": []}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        report = upload(world, folder)
        assert len(report.omissions) == 2
        assert [what for _, what in report.passed_over] == ["the manifest of a bulk export"]
        assert opened(world, "a") == {"Patient/a", f"Observation/o{server}", "Observation/p"}
        named = {"Patient/only-referred-to": patients["a"], "https://x/Patient/a": patients["a"]}
        assert upload(world, folder, named=named).omissions == ()


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), sqlite3.OperationalError("disk is full")])
def test_a_full_disk_is_said_to_be_full(
    failure: Exception, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(Export, "put", full)
    path = ndjson(tmp_path / "in.ndjson", patient("a"))
    with pytest.raises(DiskError):
        again(world, "hospital").upload_each([path])
    with pytest.raises(DiskError):
        again(world, "hospital").propose([path])


def test_a_patient_who_is_gone_from_the_registry_keeps_nobody_elses_part_back(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with known(world, tmp_path, "a", "b") as patients:
        folder = export(tmp_path / "export", "a", "b")
        resolver = type(world.network.resolver)
        true = resolver.resolve

        def resolve(self: Any, text: str, *roles: Role) -> Any:
            if text == patients["a"]:
                raise UnknownActorError("no registered patient")
            return true(self, text, *roles)

        def resolve_many(self: Any, texts: Any, *roles: Role) -> Any:
            return [resolve(self, text, *roles) for text in texts]

        monkeypatch.setattr(resolver, "resolve", resolve)
        monkeypatch.setattr(resolver, "resolve_many", resolve_many)
        report = upload(world, folder)
        assert [str(one.error) for one in report.omissions] == ["no registered patient"]
        assert opened(world, "b") == {"Patient/b", "Observation/ob"}
