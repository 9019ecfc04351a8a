"""The commands of the address book."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.cli.app import App
from panachain.errors import ChainUnavailableError, UnknownActorError
from panachain.model.actors import Actor, Address, Role, Status
from panachain.sdk.contacts import list_contacts
from tests.cli.twin import Outcome

CARDIOLOGIST = Address("0x52908400098527886E0F7030069857D2E4169EE7")
Run = Callable[..., Outcome]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Let the registry answer what a test sets."""
    found: dict[str, Any] = {}

    class Registry:
        def registered(self, text: str) -> Actor:
            answer = found.get(text, UnknownActorError("nobody has it"))
            if isinstance(answer, Exception):
                raise answer
            assert isinstance(answer, Actor)
            return answer

    @contextmanager
    def network(self: App) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(resolver=Registry())

    monkeypatch.setattr(App, "network", network)
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_a_handle_is_looked_up_and_keeps_its_role(run: Run, registry: dict[str, Any], home: Path) -> None:
    actor = Actor(CARDIOLOGIST, Role.PRACTITIONER, Status.ACTIVE, b"")
    registry[actor.handle] = actor

    assert run("contacts", "add", "cardiologist", actor.handle).code == 0

    (contact,) = list_contacts(home)
    assert (contact.name, contact.address, contact.role) == ("cardiologist", CARDIOLOGIST, Role.PRACTITIONER)
    shown = run("contacts").out.splitlines()
    assert shown[0].split() == ["name", "role", "handle"]
    assert shown[1].split() == ["cardiologist", "practitioner", actor.handle]
    assert json.loads(run("contacts", "list", "--json").out)["address"] == CARDIOLOGIST
    assert CARDIOLOGIST in run("contacts", "--long").out


def test_an_unknown_handle_is_refused(run: Run, registry: dict[str, Any], home: Path) -> None:
    outcome = run("contacts", "add", "cardiologist", "pra-mfrggzdfmy2tq")
    assert outcome.code == 2
    assert list_contacts(home) == []


@pytest.mark.parametrize("error", [ChainUnavailableError("it is down"), UnknownActorError("nobody has it")])
def test_an_address_is_taken_with_a_warning_where_no_registry_knows_it(
    run: Run, registry: dict[str, Any], home: Path, error: Exception
) -> None:
    registry[CARDIOLOGIST] = error
    outcome = run("contacts", "add", "a-study", CARDIOLOGIST)
    assert outcome.code == 0
    assert "warning:" in outcome.err
    assert list_contacts(home)[0].role is None


def test_a_bad_name_is_refused_before_anybody_is_asked(run: Run, home: Path) -> None:
    outcome = run("contacts", "add", "Cardiologist", CARDIOLOGIST)
    assert outcome.code == 2
    assert "use 1 to 64 of" in outcome.err


def test_removing_says_what_stays(run: Run, registry: dict[str, Any], home: Path) -> None:
    run("contacts", "add", "cardiologist", CARDIOLOGIST)
    outcome = run("contacts", "remove", "cardiologist")
    assert outcome.code == 0
    assert "stays granted" in outcome.err
    assert list_contacts(home) == []
    assert run("contacts").err == "There are no contacts.\n"
    assert run("contacts", "remove", "cardiologist").code == 2
