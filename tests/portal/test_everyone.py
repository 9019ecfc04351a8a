"""Pages that everybody has."""

from __future__ import annotations

import pytest

from panachain.model.actors import Role
from tests.portal.conftest import NAMES, Portal, text_of


@pytest.mark.parametrize("role", NAMES)
def test_everybody_sees_who_they_are_with_a_code_for_others(portal: Portal, role: Role) -> None:
    actor = portal.world.sessions[NAMES[role]].profile.actor
    page = portal.client_of(role).page("/me")

    assert actor.handle in text_of(page)
    assert actor.address in page
    assert page.count('<svg class="qr"') == 1 or 'class="qr"' in page


def test_pages_are_in_the_language_that_the_browser_asks_for(portal: Portal) -> None:
    client = portal.client_of(Role.PATIENT)
    assert '<html lang="en">' in client.page("/me")
