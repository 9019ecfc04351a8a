"""Pages that everybody has."""

from __future__ import annotations

import re
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

import panachain
from panachain.model.actors import Role
from panachain.sdk.results.listings import LeftOut, Listing
from tests.portal.conftest import NAMES, ORIGIN, PASSPHRASE, Portal, forms_of, text_of


@pytest.mark.parametrize("role", NAMES)
def test_everybody_sees_who_they_are_with_a_code_for_others(portal: Portal, role: Role) -> None:
    actor = portal.world.sessions[NAMES[role]].profile.actor
    page = portal.client_of(role).page("/me")

    assert actor.handle in text_of(page)
    assert actor.address in page
    assert page.count('<svg class="qr"') == 1 or 'class="qr"' in page


def test_pages_are_in_the_language_that_the_browser_asks_for_or_that_was_chosen(portal: Portal) -> None:
    client = portal.client_of(Role.PATIENT)
    assert '<html lang="en">' in client.page("/me")
    client.submit("/language", language="de", back="/me")
    page = client.page("/me")
    assert '<html lang="de">' in page
    assert "Wer ich bin" in text_of(page)
    # It stays over the lock, and another session has its own.
    client.submit("/lock")
    assert "Entsperren" in text_of(client.get("/unlock").text)
    german = portal.client_of(Role.HOSPITAL, language="de-AT,de;q=0.9")
    assert "Wer ich bin" in text_of(german.page("/me"))
    german.submit("/language", language="tlh", back="/me")
    assert '<html lang="de">' in german.page("/me")


def test_a_wrong_passphrase_unlocks_nothing_and_stands_on_no_page(portal: Portal) -> None:
    client = portal.entered()
    csrf = dict(forms_of(client.get("/unlock").text)[-1][1])["csrf"]
    for name, passphrase in (("patient", "not this one"), ("nobody", PASSPHRASE), ("proxy-0", PASSPHRASE)):
        fields = {"csrf": csrf, "profile": name, "passphrase": passphrase}
        answer = client.post("/unlock", data=fields, headers={"origin": str(ORIGIN)})
        assert answer.status_code == 403
        assert passphrase not in answer.text
    assert client.get("/me", follow_redirects=False).status_code == 303


def test_whoever_was_sent_to_unlock_comes_to_the_page_that_they_wanted(portal: Portal) -> None:
    client = portal.entered()
    page = client.get("/contacts").text
    hidden = dict(forms_of(page)[-1][1])
    assert hidden["next"] == "/contacts"
    fields = hidden | {"profile": "patient", "passphrase": PASSPHRASE}
    assert client.post("/unlock", data=fields, headers={"origin": str(ORIGIN)}).url.path == "/contacts"


def test_a_damaged_profile_is_named_and_the_others_are_unlocked(portal: Portal) -> None:
    bad = portal.site.home / "profiles" / "bad"
    bad.mkdir(mode=0o700)
    (bad / "profile.json").write_bytes(b"\xff{")
    try:
        for language, told in (
            ("en", "The profile bad can't be read"),
            ("de", "Das Profil bad lässt sich nicht lesen"),
        ):
            client = portal.entered()
            page = client.get("/unlock", headers={"accept-language": language}).text
            assert told in text_of(page)
            assert "panachain doctor" in page
            assert 'value="patient"' in page
            assert 'value="bad"' not in page
        hidden = dict(forms_of(page)[-1][1])
        fields = hidden | {"profile": "patient", "passphrase": PASSPHRASE}
        assert client.post("/unlock", data=fields, headers={"origin": str(ORIGIN)}).status_code == 200
        # Whoever may unlock one alone needn't know of others, nor does a stranger.
        portal.site.only = "patient"
        assert "profile bad" not in text_of(portal.entered().get("/unlock").text)
        portal.site.only, portal.site.listed = "", False
        assert "profile bad" not in text_of(portal.entered().get("/unlock").text)
    finally:
        portal.site.only, portal.site.listed = "", True
        shutil.rmtree(bad)


def test_where_all_are_damaged_nobody_is_told_to_make_one(portal: Portal) -> None:
    portal.site.home = portal.site.home / "another"
    bad = portal.site.home / "profiles" / "bad"
    bad.mkdir(parents=True, mode=0o700)
    (bad / "profile.json").mkdir()
    page = text_of(portal.entered().get("/unlock").text)
    assert ("The profile bad can't be read" in page, "init --role" in page) == (True, False)


def test_only_the_profile_that_was_named_can_be_unlocked(portal: Portal) -> None:
    portal.site.only = "patient"
    client = portal.entered()
    page = client.get("/unlock").text
    assert 'value="patient"' in page
    assert 'value="hospital"' not in page
    csrf = dict(forms_of(page)[-1][1])["csrf"]
    fields = {"csrf": csrf, "profile": "hospital", "passphrase": PASSPHRASE}
    assert client.post("/unlock", data=fields, headers={"origin": str(ORIGIN)}).status_code == 403


def test_several_sit_at_one_portal_each_as_themselves(portal: Portal) -> None:
    clients = {role: portal.client_of(role) for role in NAMES}
    for role, client in clients.items():
        assert portal.world.sessions[NAMES[role]].address in client.page("/me")


def test_what_a_patient_began_is_gone_on_with_first(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def go_on(actor: Any) -> list[str]:
        asked.append(actor.profile.name)
        return ["0x" + "a1" * 20]

    monkeypatch.setattr("panachain.sdk.submitting.go_on", go_on)
    orders = portal.world.patient.profile.orders
    portal.client_of(Role.PATIENT)
    portal.client_of(Role.HOSPITAL)
    assert not asked
    orders.write_text("{}")
    try:
        client = portal.client_of(Role.PATIENT)
    finally:
        orders.unlink()
    (seat,) = [one.seat for one in portal.desk._sessions.values() if one.seat and one.seat.jobs.latest()]
    (job,) = seat.jobs.latest()
    job.ended.wait(60)
    assert asked == ["patient"]
    assert "1 revocation was sent again" in text_of(client.page(f"/jobs/{job.name}"))


def test_a_list_of_revocations_that_cannot_be_read_is_told(portal: Portal) -> None:
    orders = portal.world.patient.profile.orders
    orders.write_text("{")
    try:
        client = portal.client_of(Role.PATIENT)
        (seat,) = [one.seat for one in portal.desk._sessions.values() if one.seat and one.seat.jobs.latest()]
        (job,) = seat.jobs.latest()
        job.ended.wait(60)
    finally:
        orders.unlink()
    shown = text_of(client.page(f"/jobs/{job.name}"))
    assert "The list of what you took back from this machine can't be read" in shown
    assert "move both away" in shown


def test_what_was_taken_back_before_it_was_finished_is_told(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    fallen = LeftOut("policy", "0x" + "a1" * 20, "it was to replace one that was revoked")
    torn = LeftOut("file", "00000099.sealed.damaged", "it can't be read")
    monkeypatch.setattr("panachain.sdk.submitting.hand_out", lambda _: Listing([], [fallen, torn]))
    folder = portal.world.patient.profile.folder / "grants"
    folder.mkdir(exist_ok=True)
    unfinished = folder / "00000099.sealed"
    unfinished.write_bytes(b"")
    try:
        client = portal.client_of(Role.PATIENT)
    finally:
        unfinished.unlink()
    (seat,) = [one.seat for one in portal.desk._sessions.values() if one.seat and one.seat.jobs.latest()]
    (job,) = seat.jobs.latest()
    job.ended.wait(60)
    shown = text_of(client.page(f"/jobs/{job.name}"))
    assert "1 permission was taken back before it was finished" in shown
    assert "It was set aside as 00000099.sealed.damaged" in shown
    assert "Nothing is left to do" not in shown


def test_work_that_is_under_way_is_found_again(portal: Portal) -> None:
    client = portal.client_of(Role.HOSPITAL)
    (seat,) = [one.seat for one in portal.desk._sessions.values() if one.seat]
    go = threading.Event()
    job = seat.start("Counting sheep", lambda _, progress: progress(1, 2, unit="records") or go.wait(60), template="x")
    try:
        page = client.page("/me")
        assert f'href="/jobs/{job.name}"' in page
        shown = client.page(f"/jobs/{job.name}")
        assert "Counting sheep" in text_of(shown)
        # Without a script the page loads itself anew.
        assert '<noscript><meta http-equiv="refresh"' in shown
        assert "hx-refresh" not in client.get(f"/jobs/{job.name}/progress").headers
    finally:
        go.set()
    job.ended.wait(60)
    assert client.get(f"/jobs/{job.name}/progress").headers["hx-refresh"] == "true"


def test_each_table_turns_into_cards_that_tell_in_each_cell_what_it_is() -> None:
    """Where there is little room a row is a card: its cells need their titles, and roles in place of the layout's."""
    package = Path(panachain.__file__).parent
    found = 0
    for path in sorted([*package.glob("portal/templates/**/*.html"), *package.glob("viewer/templates/**/*.html")]):
        for table in re.findall(r"<table\b.*?</table>", path.read_text(), re.DOTALL):
            found += 1
            assert re.match(r'<table class="(matrix|v-table)" role="table">', table), path
            cells = re.findall(r"<td\b[^>]*>", re.sub(r"\{[{%].*?[%}]\}", "x", table))
            assert cells, path
            for cell in cells:
                assert 'role="cell"' in cell, (path, cell)
                assert "data-label=" in cell, (path, cell)
    assert found > 25
