"""Exports: every record in an archive of the user's own, which goes when the seat locks; grants as FHIR."""

from __future__ import annotations

import io
import json
import re
import threading
import zipfile
from typing import Any
from urllib.parse import quote

import pytest

from panachain.model.actors import Role
from panachain.portal.pages import patient_export
from panachain.portal.staging import FOLDER, sweep
from tests.portal.conftest import Client, Portal, text_of
from tests.unit.portal.hostile import TEXTS, harmless, label
from tests.unit.sdk.helpers import grant, upload


@pytest.fixture
def client(portal: Portal) -> Client:
    return portal.client_of(Role.PATIENT)


def link(page: str) -> str:
    found = re.search(r'href="(/export/[^"]+)"', page)
    assert found
    return found[1]


def test_all_records_are_in_the_archive_with_index_and_provenance(portal: Portal, client: Client) -> None:
    upload(portal.world, 3)
    asked = client.submit("/export/records")
    assert "The archive isn't encrypted" in text_of(asked.text)
    page = client.finish(client.agree(asked))
    answer = client.get(link(page))
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = set(archive.namelist())
        index = json.loads(archive.read("index.json"))
        held = [archive.read(one["file"]) for one in index["records"]]
    records = list(portal.world.patient.records())
    assert len(records) == len(index["records"])
    pages = {name for name in names if name.startswith("view/")}
    files = {one["file"] for one in index["records"]}
    assert names - pages == {*files, "index.json", "index.html", "provenance.fhir.json"}
    assert pages
    assert sorted(held) == sorted(record.content for record in records)
    assert answer.headers["content-disposition"] == 'attachment; filename="records.zip"'


def test_the_archive_is_this_user_s_alone_and_goes_with_the_seat(portal: Portal, client: Client) -> None:
    page = client.finish(client.agree(client.submit("/export/records", history="yes")))
    profile = portal.world.home / "profiles" / "patient"
    (folder,) = (profile / FOLDER).iterdir()
    (file,) = folder.iterdir()
    # What a program left that was killed goes at the next start; what is in use stays.
    assert sweep(profile) == 0
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    client.submit("/lock")
    assert not folder.exists()
    other = portal.client_of(Role.PATIENT)
    other.page(link(page), status=404)


def test_grants_are_a_bundle_of_consents(portal: Portal, client: Client) -> None:
    made = grant(portal.world)
    page = client.finish(client.submit("/export/consents"))
    document = json.loads(client.get(link(page)).text)
    assert (document["resourceType"], document["type"]) == ("Bundle", "collection")
    assert made.policy_id in json.dumps(document)
    assert link(client.page("/export")) == link(page)


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e%2fprofile.json", "profile.json", *[text[:40] for text in TEXTS]], ids=label
)
def test_no_other_file_can_be_had(client: Client, name: str) -> None:
    answer = client.get(f"/export/{quote(name, safe='')}")
    assert answer.status_code == 404 or answer.url.path in ("/", "/export", "/home")
    assert harmless(answer.text)


def test_a_lock_during_an_export_leaves_no_file(
    portal: Portal, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, go = threading.Event(), threading.Event()
    made = patient_export._zip

    def slow(*args: Any) -> None:
        writing.set()
        go.wait(30)
        made(*args)

    monkeypatch.setattr(patient_export, "_zip", slow)
    client.agree(client.submit("/export/records"))
    assert writing.wait(30)
    above = portal.world.home / "profiles" / "patient" / FOLDER
    assert len(list(above.iterdir())) == 1
    (seat,) = {one.seat for one in portal.desk._sessions.values() if one.seat is not None}
    client.submit("/lock")
    # What is being written isn't half removed, and goes when the writing ends.
    assert len(list(above.iterdir())) == 1
    go.set()
    seat._bench.shutdown()
    assert not list(above.iterdir())
