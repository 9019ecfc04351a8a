"""Contacts, and the list of whom somebody blocks."""

from __future__ import annotations

import pytest

from panachain.model.actors import Role
from panachain.sdk.contacts import add_contact, list_contacts
from tests.portal.conftest import ORIGIN, PASSPHRASE, Client, Portal, forms_of, make_portal, text_of


@pytest.fixture
def patient(portal: Portal) -> Client:
    for contact in list_contacts(portal.world.home):
        # The world is one for the whole file.
        (portal.world.home / "contacts.json").unlink()
        assert contact
        break
    # The nurse has no profile here, so a contact is what names them.
    (portal.world.home / "profiles" / "nurse" / "profile.json").unlink(missing_ok=True)
    return portal.client_of(Role.PATIENT)


def test_somebody_is_added_after_it_was_said_whom_the_name_means(portal: Portal, patient: Client) -> None:
    nurse = portal.world.nurse.profile.actor
    asked = patient.submit("/contacts/add", name="night-nurse", who=f"Scan me: {nurse.handle}\n")
    assert nurse.address in asked.text
    assert "practitioner" in text_of(asked.text)
    assert not list_contacts(portal.world.home)
    patient.agree(asked)
    (contact,) = list_contacts(portal.world.home)
    assert (contact.name, contact.address, contact.role) == ("night-nurse", nurse.address, Role.PRACTITIONER)
    assert "night-nurse" in patient.page("/contacts")


@pytest.mark.parametrize("who", ["", "nobody", "0x12", "pat-mfrggzdfmy2tq pra-mfrggzdfmy2tq"])
def test_what_names_nobody_or_several_is_refused(portal: Portal, patient: Client, who: str) -> None:
    patient.submit("/contacts/add", name="x", who=who, status=400)
    assert not list_contacts(portal.world.home)


def test_an_account_that_no_registry_knows_is_added_with_a_remark(portal: Portal, patient: Client) -> None:
    stranger = "0x52908400098527886E0F7030069857D2E4169EE7"
    asked = patient.submit("/contacts/add", name="elsewhere", who=stranger)
    assert "No registry knows this account." in text_of(asked.text)
    patient.agree(asked)
    assert [one.role for one in list_contacts(portal.world.home)] == [None]


def test_a_contact_is_renamed_and_removed(portal: Portal, patient: Client) -> None:
    nurse = portal.world.nurse.profile.actor
    patient.agree(patient.submit("/contacts/add", name="a", who=nurse.address))
    patient.agree(patient.submit("/contacts/rename", name="a", new="b"))
    assert [one.name for one in list_contacts(portal.world.home)] == ["b"]
    # A profile of this machine has the name already.
    patient.submit("/contacts/rename", name="b", new="clinician", status=400)
    patient.agree(patient.submit("/contacts/remove", name="b"))
    assert not list_contacts(portal.world.home)


def test_whoever_is_blocked_is_listed_and_heard_again(portal: Portal, patient: Client) -> None:
    nurse = portal.world.nurse.address
    asked = patient.submit("/blocked/add", who=nurse)
    assert nurse not in portal.world.patient.blocked.accounts()
    patient.agree(asked)
    assert nurse in portal.world.patient.blocked.accounts()
    assert nurse in patient.page("/blocked")
    patient.agree(patient.submit("/blocked/remove", who=nurse))
    assert not portal.world.patient.blocked.accounts()


def test_hospitals_block_nobody(portal: Portal) -> None:
    client = portal.client_of(Role.HOSPITAL)
    client.page("/blocked", status=403)
    assert 'href="/blocked"' not in client.page("/me")


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/contacts/add", {"name": "b", "who": "0x52908400098527886E0F7030069857D2E4169EE7"}),
        ("/contacts/rename", {"name": "a", "new": "b"}),
        ("/contacts/remove", {"name": "a"}),
    ],
)
def test_where_many_use_the_portal_nobody_changes_whom_names_mean(
    portal: Portal, patient: Client, path: str, fields: dict[str, str]
) -> None:
    home, nurse = portal.world.home, portal.world.nurse.profile.actor
    add_contact(home, "a", nurse.address, nurse.role)
    before = list_contacts(home)
    many = make_portal(portal.world, way=False)
    try:
        browser = many.browser()
        browser.get("/")
        csrf = dict(forms_of(browser.get("/unlock").text)[-1][1])["csrf"]
        unlocking = {"csrf": csrf, "profile": "hospital", "passphrase": PASSPHRASE}
        browser.post("/unlock", data=unlocking, headers={"origin": str(ORIGIN)}).raise_for_status()
        answer = browser.submit(path, 403, **fields)
        assert "for everybody who uses this portal" in text_of(answer.text)
        page = browser.page("/contacts")
        assert "a" in text_of(page)
        assert not [action for action, _ in forms_of(page) if action.startswith("/contacts")]
    finally:
        for client in many.clients:
            client.close()
        many.desk.close()
    assert list_contacts(home) == before
