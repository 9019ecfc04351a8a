"""Uploading: what was dropped is read first, and only what was read is published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from panachain.errors import StoreUnavailableError, TransactionError, UsageError
from panachain.portal import uploading as subject
from panachain.portal.staging import Staged, stage
from panachain.portal.uploading import Choice, Upload, Uploads, publish, read, read_named
from panachain.records import sources
from panachain.sdk.contacts import add_contact, remove_contact
from tests.twin.chains import TwinSender
from tests.twin.world import World, resource, running_world

HOSTILE = "<script>alert(1)</script>\u202e\x1b[31m.json"
SYSTEM = "http://hospital.example/mrn"


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as running:
        yield running


def quiet(done: int, total: int, *, unit: str) -> None:
    """Take progress."""


def person(number: int) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": str(number),
        "identifier": [{"system": SYSTEM, "value": f"{number:08}"}],
        "name": [{"family": f"Family{number}", "given": ["Given"]}],
        "birthDate": f"19{50 + number}-01-01",
    }


def sample(number: int = 1, year: int = 2024, *, of: int = 1) -> dict[str, Any]:
    return {**resource("laboratory", year, number), "subject": {"reference": f"Patient/{of}"}}


def bundle(*resources: dict[str, Any]) -> bytes:
    return json.dumps(
        {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in resources]}
    ).encode()


def put(staged: Staged, files: dict[str, bytes]) -> Staged:
    for name, content in files.items():
        incoming = staged.begin(name)
        assert incoming is not None
        incoming.write(memoryview(content))
        incoming.close()
    return staged


def dropped(world: World, files: dict[str, bytes], **choice: Any) -> tuple[Uploads, Upload]:
    uploads = Uploads()
    staged = put(stage(world.hospital.profile.folder), files)
    upload = Upload(staged, Choice(**{"patient": world.patient.address, **choice}))
    uploads.add(upload)
    return uploads, upload


def published(world: World, uploads: Uploads, upload: Upload) -> subject.Published:
    mark = upload.preview.mark if upload.preview is not None else ""
    return publish(world.hospital, quiet, uploads, upload.staged.name, mark)


def looked(world: World, uploads: Uploads, upload: Upload) -> subject.Preview:
    return read(world.hospital, quiet, uploads, upload.staged.name, upload.choice)


def test_reading_tells_what_goes_where_and_publishes_nothing(world: World) -> None:
    hiv = {
        **resource("laboratory", 2020, 9),
        "code": {"coding": [{"system": "http://loinc.org", "code": "7917-8"}], "text": "HIV 1 Ab"},
    }
    uploads, upload = dropped(world, {"FOLDER/a.json": bundle(sample(), hiv), "export/README.txt": b"about"})
    found = looked(world, uploads, upload)
    groups = {group.category: group for group in found.groups}
    assert groups["laboratory"].records == 1
    assert groups["laboratory"].years == (2024,)
    assert not groups["laboratory"].restricted
    closed = next(group for group in found.groups if group.restricted)
    assert (closed.resources, closed.records) == (1, 1)
    (told,) = found.sensitive
    assert told.restricted
    assert told.why
    assert told.kinds
    assert told.file == "FOLDER/a.json"
    assert found.patients == ((world.patient.address, 2),)
    assert found.passed_over == (("export/README.txt", "a text about the folder"),)
    assert list(world.hospital.records()) == []
    assert upload.staged.folder.exists()


def test_what_was_read_is_published_and_the_files_are_gone(world: World) -> None:
    uploads, upload = dropped(world, {"a.json": bundle(sample())})
    found = looked(world, uploads, upload)
    told: list[str] = []

    def progress(done: int, total: int, *, unit: str) -> None:
        told.append(unit)

    done = publish(world.hospital, progress, uploads, upload.staged.name, found.mark, verify=True)
    assert (done.records, done.read_back, len(done.transactions)) == (found.records, 1, 1)
    assert done.patients == ((world.patient.address, 1),)
    assert {"bytes", "records"} <= set(told)
    assert not upload.staged.folder.exists()
    assert uploads.all() == []
    assert len(list(world.patient.records())) == 1
    with pytest.raises(UsageError, match="aren't kept any more"):
        published(world, uploads, upload)


def test_nothing_is_published_that_was_not_read(world: World) -> None:
    uploads, upload = dropped(world, {"a.json": bundle(sample())})
    with pytest.raises(UsageError, match="weren't looked at"):
        published(world, uploads, upload)
    assert list(world.hospital.records()) == []
    assert not upload.staged.folder.exists()


def test_what_was_confirmed_is_published_and_not_what_was_read_since(world: World) -> None:
    uploads, upload = dropped(world, {"a.json": bundle(sample())})
    confirmed = looked(world, uploads, upload)
    read(world.hospital, quiet, uploads, upload.staged.name, Choice(world.patient.address, category="imaging"))
    with pytest.raises(UsageError, match="in another way since"):
        publish(world.hospital, quiet, uploads, upload.staged.name, confirmed.mark)
    assert list(world.hospital.records()) == []
    # It still waits for a decision about what was read last.
    assert upload.staged.folder.exists()
    assert published(world, uploads, upload).records == 1


def test_a_reading_counts_for_the_choice_with_which_it_began(world: World) -> None:
    uploads, upload = dropped(world, {"a.json": bundle(sample())})
    own, run = upload.choice, subject._run

    def meanwhile(*args: Any, **how: Any) -> Any:
        upload.choice = Choice(world.patient.address, category="imaging", sure=True)
        return run(*args, **how)

    with patch.object(subject, "_run", meanwhile):
        assert read(world.hospital, quiet, uploads, upload.staged.name, own).choice == own
        assert published(world, uploads, upload).records == 1


def test_what_is_chosen_after_the_confirmation_is_not_published(world: World) -> None:
    uploads, upload = dropped(world, {"a.json": bundle(sample())})
    looked(world, uploads, upload)
    upload.choice = Choice("0x" + "11" * 20)
    assert published(world, uploads, upload).patients == ((world.patient.address, 1),)


@pytest.mark.parametrize("many", [False, True])
def test_a_name_is_looked_up_once_and_then_the_address_counts(world: World, many: bool) -> None:
    home = world.hospital.network.home
    add_contact(home, "whoever", world.patient.address)
    choice = {"patient": "", "named": (("Patient/1", "whoever"),)} if many else {"patient": "whoever"}
    uploads, upload = dropped(world, {"a.json": bundle(person(1), sample())}, **choice)
    found = looked(world, uploads, upload)
    assert [who for _, who in found.choice.named] == ([world.patient.address] if many else [])
    assert found.choice.patient == ("" if many else world.patient.address)
    remove_contact(home, "whoever")
    add_contact(home, "whoever", world.nurse.address)
    assert published(world, uploads, upload).patients == ((world.patient.address, found.records),)


def test_what_was_stopped_is_not_published(world: World) -> None:
    uploads, upload = dropped(world, {"a.json": bundle(sample())}, patient="nobody-of-this-name")
    assert looked(world, uploads, upload).stopped
    with pytest.raises(UsageError, match="as they were read"):
        published(world, uploads, upload)


def test_another_persons_file_is_a_question_that_somebody_may_answer(world: World) -> None:
    uploads, upload = dropped(world, {"a.json": bundle(person(1), sample())})
    looked(world, uploads, upload)
    published(world, uploads, upload)

    files = {"mine.json": bundle(person(1), sample(2)), "other.json": bundle(person(2), sample(3, of=2))}
    uploads, upload = dropped(world, files)
    found = looked(world, uploads, upload)
    (doubt,) = found.doubts
    assert doubt.person
    assert found.persons
    assert doubt.what == "other.json"
    assert "Family2" not in doubt.why
    before = found.records
    upload.choice = Choice(world.patient.address, sure=True)
    again = looked(world, uploads, upload)
    assert again.doubts == ()
    assert again.records > before
    assert again.mark != found.mark


def test_two_new_persons_for_one_patient_stop_it_all_and_can_be_answered_too(world: World) -> None:
    files = {"1.json": bundle(person(1), sample(1)), "2.json": bundle(person(2), sample(2, of=2))}
    uploads, upload = dropped(world, files)
    found = looked(world, uploads, upload)
    assert found.stopped
    assert found.persons
    assert found.records == 0
    assert str(upload.staged.folder) not in found.stopped
    assert upload.staged.folder.exists()


def test_an_export_goes_to_those_who_are_known_and_names_those_who_are_not(world: World) -> None:
    uploads, upload = dropped(world, {"a.json": bundle(person(1), sample())})
    looked(world, uploads, upload)
    published(world, uploads, upload)

    lines = [person(1), sample(5), person(2), sample(6, of=2)]
    files = {"export/all.ndjson": b"\n".join(json.dumps(one).encode() for one in lines)}
    uploads, upload = dropped(world, files, patient="")
    found = looked(world, uploads, upload)
    assert found.patients == ((world.patient.address, 1),)
    assert [count for _, count in found.unassigned] == [1]
    assert found.doubts
    assert not found.persons
    upload.choice = Choice("", named=(("Patient/2", world.patient.address),))
    # Even whoever is named by hand is one person.
    assert "several persons" in looked(world, uploads, upload).stopped


@pytest.mark.parametrize("choice", [{"patient": "nobody-of-this-name"}, {"patient": "0x" + "11" * 20}])
def test_a_choice_that_cannot_be_keeps_the_files_for_a_better_one(world: World, choice: dict[str, str]) -> None:
    uploads, upload = dropped(world, {"a.json": bundle(sample())}, **choice)
    assert looked(world, uploads, upload).stopped
    upload.choice = Choice(world.patient.address)
    assert looked(world, uploads, upload).records == 1


@pytest.mark.parametrize(
    "files", [{"a.json": b"{"}, {"empty.json": b""}, {HOSTILE: b"\0\1\2"}, {"a.zip": b"PK\x03\x04"}]
)
def test_what_cannot_be_read_is_told_by_its_own_name(world: World, files: dict[str, bytes]) -> None:
    uploads, upload = dropped(world, files)
    found = looked(world, uploads, upload)
    assert found.stopped
    assert str(upload.staged.folder) not in repr(found.doubts)
    assert "\x1b" not in found.stopped
    assert "\u202e" not in found.stopped


def test_an_unforeseen_end_removes_the_files(world: World) -> None:
    uploads, upload = dropped(world, {"a.json": bundle(sample())})
    lost = StoreUnavailableError(f"{upload.staged.folder}/a.json")
    with patch.object(subject, "_run", side_effect=lost), pytest.raises(StoreUnavailableError, match=r"^a\.json$"):
        looked(world, uploads, upload)
    assert not upload.staged.folder.exists()
    uploads, upload = dropped(world, {"a.json": bundle(sample())})
    looked(world, uploads, upload)
    with patch.object(TwinSender, "send", side_effect=TransactionError("no")), pytest.raises(TransactionError):
        published(world, uploads, upload)
    assert not upload.staged.folder.exists()


def test_what_an_interrupted_publishing_began_is_finished_by_dropping_the_same_again(world: World) -> None:
    files = {"a.json": bundle(sample())}
    uploads, upload = dropped(world, files)
    looked(world, uploads, upload)
    with patch.object(TwinSender, "send", side_effect=TransactionError("no")), pytest.raises(TransactionError):
        published(world, uploads, upload)
    uploads, upload = dropped(world, files)
    looked(world, uploads, upload)
    published(world, uploads, upload)
    assert len(list(world.patient.records())) == 1


def test_a_large_file_that_is_dropped_twice_is_published_once(world: World) -> None:
    content = bytes(range(256)) * 20
    with patch.object(sources, "LARGE", 1_000):
        for expected in (1, 0):
            uploads, upload = dropped(world, {"scan.bin": content}, category="imaging")
            found = looked(world, uploads, upload)
            assert (found.records, found.known) == (expected, 1 - expected)
            published(world, uploads, upload)
    assert len(list(world.hospital.records())) == 1


def test_a_page_about_many_resources_is_no_larger(world: World) -> None:
    hiv = {"code": {"coding": [{"system": "http://loinc.org", "code": "7917-8"}]}}
    with patch.object(subject, "SHOWN", 5):
        many = bundle(*[{**resource("laboratory", 2020, number), **hiv} for number in range(12)])
        uploads, upload = dropped(world, {"a.json": many})
        found = looked(world, uploads, upload)
    assert (len(found.sensitive), found.more_sensitive) == (5, 7)
    assert sum(group.resources for group in found.groups) == 12


def test_only_a_few_wait_and_the_oldest_gives_way(world: World) -> None:
    uploads = Uploads()
    made = [Upload(stage(world.hospital.profile.folder), Choice("p")) for _ in range(subject.HELD + 1)]
    for upload in made:
        uploads.add(upload)
    assert not made[0].staged.folder.exists()
    assert uploads.all() == made[:0:-1]
    uploads.close()
    assert not any(upload.staged.folder.exists() for upload in made)


def test_names_are_lines_of_what_and_whom() -> None:
    assert read_named("") == ()
    assert read_named('Patient/1, me \n\n"a,b",you\n') == (("Patient/1", "me"), ("a,b", "you"))
    assert read_named(Choice("", named=(("a,b", "you"),)).text) == (("a,b", "you"),)
    for wrong in ("one", "a,b,c", ",b", "a,", "a,b\na,c"):
        with pytest.raises(UsageError):
            read_named(wrong)
    with pytest.raises(UsageError, match="at most"):
        read_named("\n".join(f"{number},x" for number in range(1_001)))


def test_no_file_is_no_upload(world: World) -> None:
    uploads, upload = dropped(world, {})
    assert "no file was dropped" in looked(world, uploads, upload).stopped


def test_paths_of_the_folder_are_nowhere(world: World, tmp_path: Path) -> None:
    files = {
        "FOLDER/bad.json": b"{",
        "FOLDER/ok.json": bundle(sample()),
        "FOLDER/readme.md": b"x",
        f"in/{HOSTILE}": b"nonsense",
    }
    uploads, upload = dropped(world, files)
    found = looked(world, uploads, upload)
    assert found.records == 1
    assert str(upload.staged.folder) not in repr(found)
    done = published(world, uploads, upload)
    assert "profiles" not in repr(done)
