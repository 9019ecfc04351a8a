"""What this machine needs, and its settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from panachain.cli import doctor
from panachain.cli.doctor import Check
from panachain.errors import UnavailableError
from panachain.model.actors import Role
from panachain.portal import i18n, rendering
from tests.portal.conftest import Portal, text_of


def test_the_checks_are_those_of_the_command_line(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def checks(app: Any) -> Iterator[Check]:
        asked.append(app.home)
        yield Check("store", "ok", "embedded")
        yield Check("<b>relay</b>", "bad", "silent", "start it: panachain relay")

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


def test_no_page_of_the_machine_shows_a_key_in_the_address_of_a_node(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, key = "https://eth.example/v2/", "7c4e1f0a9b"
    actor = portal.world.sessions["hospital"]
    monkeypatch.setattr(actor.network, "config", replace(actor.network.config, mainchain_rpc=f"{url}{key},{url}{key}"))

    def checks(app: Any) -> Iterator[Check]:
        yield Check(f"mainchain {url}{key}", "bad", f"{url}{key} is silent", f"ask {url}{key}")

    monkeypatch.setattr(doctor, "all_checks", checks)
    client = portal.client_of(Role.HOSPITAL)
    for page in (client.page("/settings"), client.finish(client.submit("/checks"))):
        assert "https://eth.example/…" in page
        assert key not in page

    def fails(*_: Any) -> Any:
        raise UnavailableError(f"the chain node at {url}{key} doesn't answer", hint=f"look at {url}{key}")

    monkeypatch.setattr(type(actor), "whoami", fails)
    page = client.page("/me", status=503)
    assert "https://eth.example/… doesn" in page
    assert key not in page


def test_commands_are_told_as_they_are_typed_here(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANA_LAUNCHER", "./pana%s")
    monkeypatch.setattr(doctor, "all_checks", lambda _: [Check("proxy", "bad", "silent", "panachain records")])
    client = portal.client_of(Role.PATIENT)
    assert "./pana%s --profile patient portal --lock-after 30" in text_of(client.page("/settings"))
    assert "./pana%s --profile patient key remove" in text_of(client.page("/keys"))
    assert "./pana%s --profile patient watch" in text_of(client.page("/messages"))
    assert "./pana%s --profile patient records" in text_of(client.finish(client.submit("/checks")))
    assert "`./pana%s share serve`" in text_of(client.page("/links"))
    with i18n.speaking("de"):
        assert "(./pana%s watch)" in i18n.gettext(
            "Everybody who reads the chain can see it. Patients who let them read are told by their watcher."
        )
        assert "http://x, wo das Programm `./pana%s share serve`" in i18n.gettext(
            "It leads to %(url)s, where the program `panachain share serve` has to run.", url="http://x"
        )


def test_no_template_writes_a_command_but_for_the_filter_that_types_it() -> None:
    for path in sorted(rendering.HERE.glob("templates/**/*.html")):
        said = re.sub(r"""_\(("[^"]*"|'[^']*')|\{\{ [^}]*\|typed[^}]*\}\}""", "", path.read_text())
        assert not re.search(r"\bpanachain\b", said), path
