"""Whom a form means: what is confirmed is an account, shown whole, and no name is looked up after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from panachain.errors import UnavailableError, UnknownActorError, UsageError
from panachain.model.actors import Address, Role
from panachain.portal.whom import account_of, called
from panachain.sdk.contacts import add_contact, remove_contact
from panachain.sdk.resolve import Resolver
from tests.portal.conftest import Client, Portal, forms_of, text_of

STRANGER = Address("0x52908400098527886E0F7030069857D2E4169EE7")


@pytest.fixture
def book(portal: Portal) -> Iterator[Callable[[str, Any], None]]:
    """Let a contact mean somebody, or somebody else from now on."""
    known: set[str] = set()

    def mean(name: str, session: Any) -> None:
        if name in known:
            remove_contact(portal.world.home, name)
        known.add(name)
        # Profiles have names of their own, by which they would be shown.
        (portal.world.home / "profiles" / session.profile.name / "profile.json").unlink(missing_ok=True)
        add_contact(portal.world.home, name, session.address, session.profile.role)

    yield mean
    for name in known:
        remove_contact(portal.world.home, name)


def seat_of(portal: Portal) -> Any:
    return next(session.seat for session in reversed(portal.desk._sessions.values()) if session.seat is not None)


CONFIRMED: list[tuple[Role | str, str, str, dict[str, Any], str]] = [
    (Role.PATIENT, "/blocked/add", "who", {}, "nurse"),
    (Role.PATIENT, "/blocked/remove", "who", {}, "nurse"),
    (Role.PATIENT, "/hospitals/pair", "hospital", {}, "clinic"),
    (Role.PATIENT, "/hospitals/unpair", "hospital", {}, "clinic"),
    (
        Role.PATIENT,
        "/grants/new",
        "who",
        {"categories": "all", "purposes": "treat", "length": "30d"},
        "nurse",
    ),
    (
        "clinician",
        "/asked/new",
        "patient",
        {"category": "laboratory", "purpose": "treat", "days": "30"},
        "patient",
    ),
]
"""Who confirms what, the field that says whom, other fields, and whom the name means."""


@pytest.mark.parametrize(("who", "path", "field", "others", "first"), CONFIRMED, ids=[one[1] for one in CONFIRMED])
def test_a_confirmation_shows_the_account_whole_and_sends_it_in_place_of_the_name(
    portal: Portal,
    book: Callable[[str, Any], None],
    who: Role | str,
    path: str,
    field: str,
    others: dict[str, Any],
    first: str,
) -> None:
    client, world = portal.client_of(who), portal.world
    meant = world.sessions[first]
    book("somebody", meant)
    asked = client.submit(path, **{field: "somebody", **others})
    told = text_of(asked.text)
    assert f"somebody ({meant.profile.handle}, {meant.address})" in told
    (hidden,) = [dict(fields) for _, fields in forms_of(asked.text) if "confirmation" in dict(fields)]
    assert meant.address in hidden.values()
    # Nothing that is sent is the name: so nothing can look it up once more.
    assert "somebody" not in hidden.values()


def test_whoever_was_shown_is_blocked_and_nobody_else(portal: Portal, book: Callable[[str, Any], None]) -> None:
    client, world = portal.client_of(Role.PATIENT), portal.world
    book("somebody", world.nurse)
    asked = client.submit("/blocked/add", who="somebody")
    book("somebody", world.clinician)
    client.agree(asked)
    assert world.patient.blocked.accounts() == {world.nurse.address}
    world.patient.blocked.remove(world.nurse.address)


@pytest.fixture
def client(portal: Portal) -> Client:
    return portal.client_of(Role.PATIENT)


def test_an_address_stands_for_itself_though_no_registry_answers(
    portal: Portal, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> None:
        raise UnavailableError("nobody answers")

    monkeypatch.setattr(Resolver, "registered", silent)
    monkeypatch.setattr(Resolver, "resolve", silent)
    seat = seat_of(portal)
    assert asyncio.run(account_of(seat, f" {STRANGER} ")) == STRANGER
    assert asyncio.run(called(seat, STRANGER)) == STRANGER
    with pytest.raises(UnavailableError):
        asyncio.run(account_of(seat, "nurse"))


@pytest.mark.parametrize("text", ["", "nobody", "0x12", STRANGER.lower(), "hospital"])
def test_what_means_nobody_is_refused(portal: Portal, client: Client, text: str) -> None:
    assert client
    with pytest.raises((UnknownActorError, UsageError)):
        asyncio.run(account_of(seat_of(portal), text, Role.PATIENT))


def test_nobody_is_called_by_the_same_twice(portal: Portal, client: Client) -> None:
    assert client
    shown = asyncio.run(called(seat_of(portal), STRANGER, Role.PATIENT))
    assert shown.count("pat-") == 1
    assert shown.count(STRANGER) == 1
