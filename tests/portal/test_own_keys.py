"""The page about one's own keys: what it says before they change, and who has no such page."""

from __future__ import annotations

import pytest

from panachain.model.actors import Role
from tests.portal.conftest import NAMES, Portal, text_of

ROLES = (Role.HOSPITAL, Role.PRACTITIONER, Role.RESEARCHER)


@pytest.mark.parametrize("role", ROLES)
def test_keys_change_after_it_was_said_what_stays(portal: Portal, role: Role) -> None:
    session = portal.world.sessions[NAMES[role]]
    client = portal.client_of(role)
    before = len(session.keys.all())
    assert "in use" in text_of(client.page("/own-keys"))

    asked = client.submit("/own-keys/rotate", since="")
    said = text_of(asked.text)
    assert "Your account and your handle stay." in said
    assert "count for one more day" in said
    assert len(session.keys.all()) == before

    client.agree(asked)
    assert [view.state for view in session.keys.all()[:2]] == ["current", "ending"]
    assert "still counts" in text_of(client.page("/own-keys"))


def test_keys_that_others_may_know_end_in_the_past(portal: Portal) -> None:
    client = portal.client_of(Role.RESEARCHER)
    asked = client.submit("/own-keys/rotate", since="2027-01-10")
    assert "doesn't count any more" in text_of(asked.text)
    client.agree(asked)
    assert "compromised" in [view.state for view in portal.world.researcher.keys.all()]
    assert "others may know them" in text_of(client.page("/own-keys"))

    answer = client.submit("/own-keys/rotate", 400, since="yesterday")
    assert "That is no day" in text_of(answer.text)


def test_a_patient_has_no_such_page(portal: Portal) -> None:
    client = portal.client_of(Role.PATIENT)
    assert 'href="/own-keys"' not in client.page("/")
    assert client.get("/own-keys").status_code in (403, 404)
