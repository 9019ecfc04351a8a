"""What a hospital knows its patients by: another person's file is refused before anything is published."""

from __future__ import annotations

import json
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from panachain.crypto.keys import Seed
from panachain.errors import InputError, PartlyDoneError
from panachain.model.actors import Address
from panachain.records.sources import find_sources
from panachain.sdk.kept_persons import KeptPersons
from panachain.sdk.results.uploads import UploadReport
from tests.support import shared
from tests.twin.world import World
from tests.unit.sdk.helpers import again


def patient(value: str, family: str, birth: str) -> dict[str, Any]:
    identifier = [{"system": "urn:mrn", "value": value}]
    names = [{"family": family}]
    return {"resourceType": "Patient", "id": value, "identifier": identifier, "name": names, "birthDate": birth}


def write(path: Path, *persons: dict[str, Any]) -> Path:
    entries = [{"resource": one} for one in persons]
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
    return path


ASTER, BIRCH = patient("111", "Aster", "1970-01-01"), patient("222", "Birch", "1988-08-08")


HOSPITAL, ONE, OTHER = Seed(b"h" * 32), Address("0x" + "1" * 40), Address("0x" + "2" * 40)


def check(folder: Path, path: Path, whom: Address, *, published: bool = False, confirmed: bool = False) -> None:
    """Check a file in a session of its own, and keep what it taught."""
    kept = KeptPersons(folder, HOSPITAL, confirmed=confirmed)
    kept.check(next(iter(find_sources([path]))), whom, lambda: published)
    kept.publishes()
    kept.keep()


def upload(world: World, *paths: Path, **more: Any) -> UploadReport:
    report: UploadReport = again(world, "hospital").upload(list(paths), world.patient.address, **more)
    return report


def test_another_persons_file_is_refused_by_the_name_of_the_field(world: World, tmp_path: Path) -> None:
    upload(world, write(tmp_path / "right.json", ASTER))
    with pytest.raises(InputError) as caught:
        upload(world, write(tmp_path / "other.json", BIRCH))
    told = f"{caught.value} {caught.value.hint}"
    assert "other.json: Patient.identifier is another one" in told
    assert "--confirm-patient" in told
    assert caught.value.exit_code == 2
    assert not any(value in told for value in ("111", "222", "Aster", "Birch"))


def test_several_persons_of_one_source_or_of_one_call_publish_nothing(world: World, tmp_path: Path) -> None:
    block = world.network.mainchain.head_block().number
    with pytest.raises(InputError, match="several persons"):
        upload(world, write(tmp_path / "two.json", ASTER, BIRCH))
    right, other = write(tmp_path / "a.json", ASTER), write(tmp_path / "b.json", BIRCH)
    for dry_run in (True, False):
        with pytest.raises(InputError, match=r"b\.json: Patient\.identifier"):
            upload(world, right, other, dry_run=dry_run)
    assert world.network.mainchain.head_block().number == block
    assert len(upload(world, other).records) == 1  # a refused call has taught nothing


def test_another_persons_file_keeps_none_of_the_others_back(world: World, tmp_path: Path) -> None:
    upload(world, write(tmp_path / "right.json", ASTER))
    other, two = write(tmp_path / "a.json", BIRCH), write(tmp_path / "b.json", ASTER, BIRCH)
    more = write(tmp_path / "c.json", {**ASTER, "gender": "male"})
    with pytest.raises(PartlyDoneError) as caught:
        upload(world, other, two, more)
    assert [Path(one.what).name for one in caught.value.omissions] == ["a.json", "b.json"]
    assert len(caught.value.result.records) == 1
    with pytest.raises(InputError, match=r"a\.json: Patient\.identifier"):
        upload(world, other, two, more, strict=True)


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_file_that_proves_unreadable_teaches_nothing(world: World, tmp_path: Path, dry_run: bool) -> None:
    torn = tmp_path / "a.ndjson"
    torn.write_text(json.dumps(ASTER) + '\n{"resourceType":')
    good = write(tmp_path / "b.json", BIRCH)
    with pytest.raises(PartlyDoneError, match=r"a\.ndjson") as caught:
        upload(world, torn, good, dry_run=dry_run)
    assert len(caught.value.result.records) == 1
    torn.write_text(json.dumps(ASTER))
    if dry_run:
        # Neither does a dry run: nothing was published.
        assert len(upload(world, torn).records) == 1
        return
    # Mended, it is another person's: the patient is known by what was published.
    with pytest.raises(InputError, match="another one than in the patient's other records"):
        upload(world, torn)


def test_a_confirmed_file_is_published_and_known_from_then_on(world: World, tmp_path: Path) -> None:
    upload(world, write(tmp_path / "right.json", ASTER))
    assert len(upload(world, write(tmp_path / "other.json", BIRCH), confirm_patient=True).records) == 1
    assert len(upload(world, write(tmp_path / "more.json", {**BIRCH, "gender": "female"})).records) == 1
    third = patient("333", "Cedar", "1950-05-05")
    with pytest.raises(InputError):
        upload(world, write(tmp_path / "third.json", third))


def test_a_confirmed_file_of_several_persons_teaches_nothing(world: World, tmp_path: Path) -> None:
    upload(world, write(tmp_path / "right.json", ASTER))
    upload(world, write(tmp_path / "two.json", ASTER, BIRCH), confirm_patient=True)
    with pytest.raises(InputError):
        upload(world, write(tmp_path / "other.json", BIRCH))


def test_a_file_for_two_patients_is_refused_for_the_second_one(world: World, tmp_path: Path) -> None:
    path = write(tmp_path / "in.json", ASTER)
    kept = KeptPersons(tmp_path, HOSPITAL)
    source = next(iter(find_sources([path])))
    kept.check(source, ONE, lambda: False)
    kept.publishes()
    with pytest.raises(InputError, match="another patient's records"):
        kept.check(source, OTHER, lambda: False)  # in one call
    kept.keep()
    with pytest.raises(InputError, match=r"another patient's records are about \(Patient\.identifier\)"):
        check(tmp_path, path, OTHER)
    check(tmp_path, path, OTHER, confirmed=True)
    for whom in (ONE, OTHER):
        check(tmp_path, path, whom, published=True)


def test_a_person_without_a_number_is_found_by_name_and_birth_date(tmp_path: Path) -> None:
    path = write(tmp_path / "in.json", {key: value for key, value in ASTER.items() if key != "identifier"})
    check(tmp_path, path, ONE)
    with pytest.raises(InputError, match="another patient's records"):
        check(tmp_path, path, OTHER)


def test_a_number_that_a_family_shares_asks_nobody(tmp_path: Path) -> None:
    insurance = {"system": "urn:insurance", "value": "F1"}
    for whom, who in ((ONE, ASTER), (OTHER, BIRCH)):
        shared = {**who, "identifier": [*who["identifier"], insurance]}
        check(tmp_path, write(tmp_path / f"{whom}.json", shared), whom)


def damage(path: Path) -> None:
    *before, last = path.read_bytes()
    path.write_bytes(bytes([*before, last ^ 1]))


@pytest.mark.parametrize("harm", [Path.unlink, damage, lambda path: path.write_bytes(b"")])
def test_what_is_lost_or_damaged_is_asked_anew(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    right, wrong = write(tmp_path / "a.json", ASTER), write(tmp_path / "b.json", BIRCH)
    check(tmp_path, right, ONE)
    harm(tmp_path / "kept" / f"person-{ONE}.sealed")
    for path in (wrong, right):
        with pytest.raises(InputError, match="lost or damaged") as caught:
            check(tmp_path, path, ONE, published=True)
        assert "--confirm-patient" in str(caught.value.hint)
    check(tmp_path, right, ONE, published=True, confirmed=True)
    check(tmp_path, right, ONE, published=True)
    with pytest.raises(InputError, match=r"Patient\.identifier is another one"):
        check(tmp_path, wrong, ONE, published=True)


@pytest.mark.parametrize("harm", [Path.unlink, damage])
def test_an_index_that_is_lost_or_damaged_is_made_anew(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    path = write(tmp_path / "a.json", ASTER)
    check(tmp_path, path, ONE)
    indexes = list((tmp_path / "kept").glob("persons-*.sealed"))
    assert len(indexes) == 16
    for index in indexes:
        harm(index)
    with pytest.raises(InputError, match="another patient's records"):
        check(tmp_path, path, OTHER)


def test_files_that_name_nobody_come_first_without_a_question(world: World, tmp_path: Path) -> None:
    scan = tmp_path / "scan.pdf"
    scan.write_bytes(b"%PDF-1.4 a page")
    upload(world, scan)
    upload(world, write(tmp_path / "right.json", ASTER))
    with pytest.raises(InputError):
        upload(world, write(tmp_path / "other.json", BIRCH))


def test_a_profile_that_lost_what_it_kept_asks(world: World, tmp_path: Path) -> None:
    upload(world, write(tmp_path / "right.json", ASTER))
    shutil.rmtree(world.hospital.profile.folder / "kept")
    with pytest.raises(InputError, match="lost or damaged"):
        upload(world, write(tmp_path / "other.json", BIRCH))
    with pytest.raises(InputError, match="lost or damaged"):
        upload(world, write(tmp_path / "other.json", BIRCH), dry_run=True)
    changed = write(tmp_path / "right-2.json", {**ASTER, "gender": "female"})
    assert len(upload(world, changed, confirm_patient=True).records) == 1


def test_what_was_published_before_teaches_it_anew(world: World, tmp_path: Path) -> None:
    upload(world, write(tmp_path / "right.json", ASTER))
    shutil.rmtree(world.hospital.profile.folder / "kept")
    (world.hospital.profile.folder / "journal.sqlite").unlink()
    # As after a restore with the seed alone: nothing of it is published twice.
    assert upload(world, tmp_path / "right.json").records == ()
    with pytest.raises(InputError, match=r"Patient\.identifier is another one"):
        upload(world, write(tmp_path / "other.json", BIRCH))


def test_no_log_argument_or_traceback_tells_who_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    check(tmp_path, write(tmp_path / "right.json", ASTER), ONE)
    wrong = write(tmp_path / "\x1b[31mwrong.json", BIRCH)
    with pytest.raises(InputError) as caught:
        check(tmp_path, wrong, ONE)
    (tmp_path / "kept" / f"person-{ONE}.sealed").write_bytes(b"?")
    check(tmp_path, wrong, ONE)  # is told in the log
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    # Paths apart: they are the hospital's own words.
    told = "".join(line for line in shown.format() if "test_kept_persons.py" not in line) + caplog.text
    assert "Person(form='fhir')" in told
    assert not any(value in told.replace(ONE, "") for value in ("Aster", "Birch", "ASTER", "1988", "urn:mrn"))
    assert "\x1b" not in str(caught.value)


def test_what_is_kept_is_sealed_and_private(world: World, tmp_path: Path) -> None:
    upload(world, write(tmp_path / "right.json", ASTER))
    files = list((world.hospital.profile.folder / "kept").glob("person*.sealed"))
    assert len(files) == 17
    for kept in files:
        assert kept.stat().st_mode & 0o777 == 0o600
        assert not any(word in kept.read_bytes() for word in (b"identifiers", b"patients", b"Aster", b"111"))


def test_the_reported_cases(tmp_path: Path) -> None:
    """Another patient's Bundle, several in one, a message of another PID, one file for two, two in a study."""
    cases = shared("cases")
    wrong = cases / "60-wrong-patient" / "in"
    check(tmp_path, wrong / "1-right.json", ONE)
    for name, told in (
        ("2-other-patient.json", r"Patient\.identifier is another one"),
        ("3-two-patients.json", r"several persons \(Patient\.identifier\)"),
        ("4-other.hl7", "PID-7 is another one"),
    ):
        with pytest.raises(InputError, match=told):
            check(tmp_path, wrong / name, ONE, published=True)
    same = cases / "61-same-file-two-patients" / "in" / "in.json"
    with pytest.raises(InputError, match=r"Patient\.identifier is another one"):
        check(tmp_path, same, ONE, published=True)
    check(tmp_path, same, OTHER)
    with pytest.raises(InputError, match="another patient's records"):
        check(tmp_path, same, Address("0x" + "3" * 40))
    study = cases / "50-dicom-two-patients-one-study" / "in"
    check(tmp_path / "study", study / "1.dcm", ONE)
    with pytest.raises(InputError, match="PatientID is another one"):
        check(tmp_path / "study", study / "2.dcm", ONE, published=True)
    (once,) = (cases / "62-two-hospitals" / "in").iterdir()
    for hospital in "ab":
        check(tmp_path / hospital, once, ONE)
