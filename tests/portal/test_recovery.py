"""The page about backup: what is known of shares, a drill that keeps nothing of them, and a patient's books."""

from __future__ import annotations

import html
from pathlib import Path

import pytest

from panachain.model.actors import Role
from panachain.sdk.contacts import add_contact
from panachain.sdk.recovery import Recovery, RecoveryShare
from tests.portal.conftest import NAMES, ORIGIN, PASSPHRASE, Client, Portal, forms_of, make_portal, text_of
from tests.twin.world import seed_of


@pytest.fixture
def patient(portal: Portal) -> Client:
    return portal.client_of(Role.PATIENT)


@pytest.fixture
def shares(portal: Portal) -> list[RecoveryShare]:
    path = portal.world.patient.profile.folder / "recovery.json"
    path.unlink(missing_ok=True)
    return Recovery(portal.world.patient.profile, lambda: seed_of("patient")).shares()


def kept(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("role", NAMES)
def test_everybody_is_told_that_there_are_no_shares_and_how_to_make_them(portal: Portal, role: Role) -> None:
    session = portal.world.sessions[NAMES[role]]
    (session.profile.folder / "recovery.json").unlink(missing_ok=True)
    page = portal.client_of(role).page("/recovery")
    assert "There are no shares yet" in text_of(page)
    assert f"panachain --profile {session.profile.name} recovery shares" in text_of(page)
    assert ("/recovery/books" in page) is (role is Role.PATIENT)


def test_a_drill_keeps_the_day_and_the_numbers_and_no_word(
    portal: Portal, patient: Client, shares: list[RecoveryShare]
) -> None:
    assert "Nobody has tried these shares" in text_of(patient.page("/recovery"))
    for given in ([shares[0].reveal(), " ".join(shares[2].words())], ["", shares[1].reveal(), shares[2].reveal()]):
        answer = patient.submit("/recovery/test", share=given)
        shown = text_of(answer.text)
        assert "Nobody has tried" not in shown
        assert shares[0].set in html.unescape(shown)
    assert "1, 2, 3" in text_of(patient.page("/recovery"))
    everything = patient.page("/recovery") + kept(portal.world.patient.profile.folder)
    assert not [share for share in shares if " ".join(share.words()[4:7]) in everything]


def test_shares_that_do_not_fit_are_told_and_stand_on_no_page(
    portal: Portal, patient: Client, shares: list[RecoveryShare]
) -> None:
    other = Recovery(portal.world.clinician.profile, lambda: seed_of("clinician")).shares()
    damaged = " ".join([*shares[0].words()[:-1], "zzzz"])
    for given, told in (
        ([shares[0].reveal()], "1 of the 2 shares"),
        ([shares[0].reveal(), shares[0].reveal()], "given twice"),
        ([shares[0].reveal(), other[1].reveal()], "different sets"),
        ([other[0].reveal(), other[1].reveal()], "make the seed of account"),
        ([damaged, shares[1].reveal()], "word 33"),
        (["\x1b[2J<script>alert(1)</script>"], "33 words"),
        ([], "0 of the 2 shares"),
    ):
        answer = patient.post(
            "/recovery/test", data={"csrf": patient.token(), "share": given}, headers={"origin": str(ORIGIN)}
        )
        assert answer.status_code >= 400, told
        assert told in text_of(answer.text)
        assert "alert(1)" not in answer.text
        assert " ".join(shares[0].words()[4:7]) not in answer.text
    assert "Nobody has tried these shares" in text_of(patient.page("/recovery"))


def test_a_drill_of_another_page_or_without_a_session_tries_nothing(
    portal: Portal, patient: Client, shares: list[RecoveryShare]
) -> None:
    fields = {"csrf": "00", "share": [share.reveal() for share in shares]}
    assert patient.post("/recovery/test", data=fields, headers={"origin": str(ORIGIN)}).status_code == 403
    assert "Nobody has tried these shares" in text_of(patient.page("/recovery"))


def test_names_are_kept_after_saying_who_sees_it(portal: Portal, patient: Client) -> None:
    add_contact(portal.world.home, "cardiologist", portal.world.clinician.address, Role.PRACTITIONER)
    asked = patient.submit("/recovery/books")
    assert "Nobody can read them" in text_of(asked.text)
    assert portal.world.patient.books.restore().contacts == 0
    patient.agree(asked)
    assert portal.world.patient.books.restore().contacts == 1


def test_nobody_but_a_patient_at_a_machine_of_their_own_keeps_names(portal: Portal) -> None:
    portal.client_of(Role.HOSPITAL).submit("/recovery/books", 403)
    many = make_portal(portal.world, way=False)
    try:
        browser = many.browser()
        browser.get("/")
        csrf = dict(forms_of(browser.get("/unlock").text)[-1][1])["csrf"]
        unlocking = {"csrf": csrf, "profile": "patient", "passphrase": PASSPHRASE}
        browser.post("/unlock", data=unlocking, headers={"origin": str(ORIGIN)}).raise_for_status()
        assert "/recovery/books" not in browser.page("/recovery")
        browser.submit("/recovery/books", 403)
    finally:
        many.desk.close()


def test_the_page_is_in_german(portal: Portal) -> None:
    page = portal.client_of(Role.PATIENT, language="de").page("/recovery")
    assert "Sicherung" in text_of(page)
    assert "Geben Sie genügend Teile ein" in text_of(page)
