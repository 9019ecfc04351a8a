"""Links by pages: what they lead to is said first, they are shown once, and end when they are ended."""

from __future__ import annotations

import re

import pytest

from panachain.model.actors import Role
from panachain.sdk.sharing import Sharing
from panachain.sharing.link import PASSCODE, read_link
from tests.portal.conftest import ORIGIN, Client, Portal, text_of
from tests.unit.portal.hostile import TEXTS, harmless
from tests.unit.sdk.helpers import upload

FORM = {"kind": "records", "category": "laboratory", "url": "https://links.example", "days": "7", "label": "For Lyon"}


@pytest.fixture
def client(portal: Portal) -> Client:
    return portal.client_of(Role.PATIENT)


def made(portal: Portal, client: Client, **fields: str) -> tuple[str, str]:
    """Make a link by pages; return it, and the page that shows it."""
    upload(portal.world)
    question = client.submit("/links/make", **(FORM | fields))
    assert "can hand it on unseen" in text_of(question.text)
    page = client.finish(client.agree(question))
    found = re.search(r"shlink:/[A-Za-z0-9_-]+", page)
    assert found
    return found[0], page


def test_one_that_is_damaged_is_named_beside_the_others(portal: Portal, client: Client) -> None:
    made(portal, client)
    bad = portal.site.home / "shares" / ("0f" * 32)
    bad.mkdir(mode=0o700)
    try:
        (bad / "share.json").write_bytes(b"\xff")
        page = text_of(client.page("/links"))
        assert "What is known of the link 0f0f0f0f0f0f can't be read" in page
        assert "For Lyon" in page
    finally:
        (bad / "share.json").unlink()
        bad.rmdir()


@pytest.mark.parametrize("kind", ["summary", "records"])
def test_a_link_is_shown_once_with_its_code(portal: Portal, client: Client, kind: str) -> None:
    before = {one.name for one in Sharing(portal.world.home).shares()}
    text, page = made(portal, client, kind=kind, passcode="yes")
    link = read_link(text)
    assert (link.label, PASSCODE in link.flags) == ("For Lyon", True)
    assert "<svg" in page
    assert re.search(r"<code>\d{3} \d{3} \d{3}</code>", page)
    # Nowhere else, and nothing that opens it.
    listed = client.page("/links")
    assert "For Lyon" in listed
    assert text not in listed
    (share,) = [one for one in Sharing(portal.world.home).shares() if one.name not in before]
    assert (share.label, share.passcode, share.files) == ("For Lyon", True, 1)
    assert not any(text.encode() in path.read_bytes() for path in portal.world.home.rglob("*") if path.is_file())


def test_a_link_is_ended(portal: Portal, client: Client) -> None:
    made(portal, client)
    share = Sharing(portal.world.home).shares()[-1]
    question = client.submit("/links/revoke", name=share.name)
    assert "keeps what they read" in text_of(question.text)
    assert share.name in {one.name for one in Sharing(portal.world.home).shares()}
    assert "The link is over" in text_of(client.finish(client.agree(question)))
    assert share.name not in {one.name for one in Sharing(portal.world.home).shares()}
    client.submit("/links/revoke", 400, name=share.name)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "everything"},
        {"category": "secrets"},
        {"category": ""},
        {"days": "8"},
        {"url": ""},
        {"url": "https://" + "x" * 130},
        {"label": "x" * 81},
    ],
)
def test_what_the_form_does_not_offer_is_refused(client: Client, fields: dict[str, str]) -> None:
    client.submit("/links/make", 400, **(FORM | fields))


def test_nobody_makes_links_where_many_use_the_portal(portal: Portal, client: Client) -> None:
    token = client.token()
    portal.site.way = None
    assert "would see them" in text_of(client.page("/links", 403))
    answer = client.post("/links/make", data={"csrf": token, **FORM}, headers={"origin": str(ORIGIN)})
    assert answer.status_code == 403


@pytest.mark.parametrize("text", TEXTS)
def test_a_hostile_label_is_harmless(portal: Portal, client: Client, text: str) -> None:
    if not list(portal.world.patient.records()):
        upload(portal.world)
    asked = client.post(
        "/links/make", data={"csrf": client.token(), **FORM, "label": text[:80]}, headers={"origin": str(ORIGIN)}
    )
    assert harmless(asked.text)
    if asked.status_code == 200:
        client.finish(client.agree(asked))
        assert harmless(client.page("/links"))
