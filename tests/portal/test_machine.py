"""What this machine needs, and its settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from panachain.cli import doctor
from panachain.cli.doctor import Check
from panachain.model.actors import Role
from tests.portal.conftest import Portal, text_of


def test_the_checks_are_those_of_the_command_line(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def checks(app: Any) -> Iterator[Check]:
        asked.append(app.home)
        yield Check("store", "ok", "embedded")
        yield Check("<b>relay</b>", "bad", "silent", "start it")

    monkeypatch.setattr(doctor, "all_checks", checks)
    client = portal.client_of(Role.PATIENT)
    page = client.finish(client.submit("/checks"))
    assert asked == [portal.world.home]
    told = text_of(page)
    assert "1 check isn't right." in told
    assert "start it" in told
    assert "<b>relay" not in page
    # They stay until the lock.
    assert "start it" in client.page("/checks")
    assert "start it" not in portal.client_of(Role.PATIENT).page("/checks")


def test_each_setting_has_its_origin(portal: Portal) -> None:
    told = text_of(portal.client_of(Role.HOSPITAL).page("/settings"))
    assert str(portal.world.home) in told
    assert "after 15 minutes" in told
    assert "flag" in told
