"""The page about the public services, for everybody."""

from __future__ import annotations

import json

import pytest

from panachain.model.actors import Role
from tests.portal.conftest import NAMES, Portal, text_of
from tests.unit.sdk.helpers import grant

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.mark.parametrize("role", NAMES)
def test_everybody_sees_proxies_and_the_heads_of_their_logs(portal: Portal, role: Role) -> None:
    if not portal.world.proxies[0].service.head()["sequence"]:
        # Each of them signs that it took its share.
        grant(portal.world)
        portal.world.wait()
    page = portal.client_of(role).page("/services")
    told = text_of(page)
    assert "3 proxies are ready" in told
    assert "2 are needed for an opening" in told
    for proxy in portal.world.proxies:
        assert proxy.address in page
        assert proxy.service.head()["head"] in page


def test_one_that_is_down_is_told(portal: Portal) -> None:
    portal.world.proxies[0].up = False
    try:
        told = text_of(portal.client_of(Role.REGISTRAR).page("/services"))
    finally:
        portal.world.proxies[0].up = True
    assert "2 proxies are ready" in told
    assert "it doesn't answer" in told


def test_the_services_are_not_asked_again_for_each_look(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    client = portal.client_of(Role.REGISTRAR)
    answer = portal.world.answer
    monkeypatch.setattr(portal.world, "answer", lambda request: asked.append(request.url.path) or answer(request))
    client.page("/services")
    first = len(asked)
    client.page("/services")
    assert len(asked) == first > 0
    portal.world.advance(60)
    client.page("/services")
    assert len(asked) == 2 * first


def test_evidence_of_the_own_profile_is_listed_and_no_other(portal: Portal) -> None:
    folder = portal.world.patient.profile.folder / "evidence"
    folder.mkdir(exist_ok=True)
    kept = {"schema": "panachain/proxy-lie/1", "proxy": portal.world.proxies[0].address, "at": 5, "reason": HOSTILE}
    (folder / "5-lie.json").write_text(json.dumps(kept))
    page = portal.client_of(Role.PATIENT).page("/services")
    assert "5-lie.json" in page
    assert HOSTILE not in page
    assert "&lt;img" in page
    assert "5-lie.json" not in portal.client_of(Role.PRACTITIONER).page("/services")
