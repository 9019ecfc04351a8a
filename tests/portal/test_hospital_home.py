"""A hospital's first page."""

from __future__ import annotations

from panachain.model.actors import Role
from tests.portal.conftest import Portal, text_of
from tests.twin.world import resource


def test_a_hospital_comes_to_its_overview_first_and_nobody_else_does(portal: Portal) -> None:
    portal.world.upload("hospital", [resource("laboratory", 2024, 1)])
    client = portal.client_of(Role.HOSPITAL)
    assert client.get("/").url.path == "/hospital"
    assert "Overview" in text_of(client.page("/hospital"))
    portal.client_of(Role.PATIENT).page("/hospital", status=403)
