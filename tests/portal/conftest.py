"""The portal over the twins' world, without a browser and without processes: a client for each role.

def test_something(portal: Portal) -> None:
    client = portal.client_of(Role.PATIENT)
    page = client.page("/me")                                   # GET; fails unless it is 200
    asked = client.submit("/grants/revoke", policy="0x…")         # POST with token and Origin
    ended = client.agree(asked)                                 # presses the confirmation's button
    shown = client.finish(ended)                                # waits for the work, and returns its outcome
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, ClassVar

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.testclient import TestClient

from panachain.model.actors import Role
from panachain.portal.app import create_app
from panachain.portal.desk import Desk
from panachain.portal.security import Origin
from panachain.portal.site import Site, Way
from tests.portal.keyed import lock_up, opener_of
from tests.twin.world import World, running_world

PASSPHRASE = "a passphrase of the tests"
ORIGIN = Origin.of("portal-of-the-tests.localhost", 8787)
NAMES = {
    Role.PATIENT: "patient",
    Role.HOSPITAL: "hospital",
    Role.PRACTITIONER: "clinician",
    Role.RESEARCHER: "researcher",
    Role.REGISTRAR: "registrar",
}
"""Whose profile stands for a role."""


class _Forms(HTMLParser):
    """Reads forms with their hidden fields, and the text that a page shows."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, list[tuple[str, str]]]] = []
        self.text: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append((found.get("action", ""), []))
        elif tag == "input" and self.forms and found.get("type") == "hidden":
            self.forms[-1][1].append((found["name"], found.get("value", "")))
        self._silent += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.text.append(data)


def forms_of(html: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return each form's path with its hidden fields."""
    reader = _Forms()
    reader.feed(html)
    return reader.forms


def text_of(html: str) -> str:
    """Return what a page shows, on one line."""
    reader = _Forms()
    reader.feed(html)
    return " ".join(" ".join(reader.text).split())


class Client(TestClient):
    """A browser of somebody, as far as pages need none."""

    loop: ClassVar[BlockingPortal | None] = None
    """Where all requests of this process are answered: by itself each would start a loop and a thread of its own."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.portal = self.loop

    def page(self, path: str, status: int = 200, **query: Any) -> str:
        """Return a page's HTML."""
        answer = self.get(path, params=query or None)
        assert answer.status_code == status, text_of(answer.text)
        return answer.text

    def submit(self, path: str, /, status: int = 200, **fields: Any) -> Any:
        """Send a form as a page of this session does; redirects are followed."""
        answer = self.post(path, data={"csrf": self.token(), **fields}, headers={"origin": str(ORIGIN)})
        assert answer.status_code == status, text_of(answer.text)
        return answer

    def token(self) -> str:
        """Return what the session's forms carry."""
        for _, hidden in forms_of(self.get("/me").text):
            for name, value in hidden:
                if name == "csrf":
                    return value
        raise AssertionError("no page of this session has a form")

    def agree(self, asked: Any, status: int = 200, **changed: Any) -> Any:
        """Press the button of a confirmation, with other fields if a test wants to cheat."""
        path, hidden = next((path, hidden) for path, hidden in forms_of(asked.text) if "confirmation" in dict(hidden))
        fields: dict[str, list[str]] = {}
        for name, value in hidden:
            fields.setdefault(name, []).append(value)
        answer = self.post(path, data=fields | changed, headers={"origin": str(ORIGIN)})
        assert answer.status_code == status, text_of(answer.text)
        return answer

    def finish(self, answer: Any, status: int = 200) -> str:
        """Wait for the work whose page was answered, and return the page of its outcome."""
        for _ in range(2_000):
            if "data-running" not in answer.text:
                assert answer.status_code == status, text_of(answer.text)
                return str(answer.text)
            time.sleep(0.02)
            answer = self.get(answer.url.path)
        raise AssertionError("the work doesn't end")


@dataclass
class Clock:
    """Seconds of the desk, which the test moves."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Portal:
    """A portal over a world."""

    world: World
    site: Site
    desk: Desk
    clock: Clock
    app: Any
    clients: list[Client] = field(default_factory=list)

    def browser(self) -> Client:
        """Return a browser that has no session."""
        made = Client(self.app, base_url=str(ORIGIN))
        self.clients.append(made)
        return made

    def entered(self) -> Client:
        """Return a browser that has taken the secret, and has unlocked nothing."""
        made = self.browser()
        assert self.site.way is not None
        secret = self.site.way.url.partition("#")[2]
        made.post("/enter", data={"secret": secret}, headers={"origin": str(ORIGIN)}).raise_for_status()
        return made

    def client_of(self, who: Role | str, *, language: str = "en") -> Client:
        """Return a browser in which a profile is unlocked.

        Args:
            who: a role, or the name of somebody in the world, such as "nurse".
            language: that the browser asks for.
        """
        made = self.entered()
        made.headers["accept-language"] = language
        name = NAMES[who] if isinstance(who, Role) else who
        csrf = dict(forms_of(made.get("/unlock").text)[-1][1])["csrf"]
        fields = {"csrf": csrf, "profile": name, "passphrase": PASSPHRASE}
        answer = made.post("/unlock", data=fields, headers={"origin": str(ORIGIN)}, follow_redirects=False)
        assert answer.status_code == 303, text_of(answer.text)
        return made


def make_portal(world: World, *, way: bool = True, **options: Any) -> Portal:
    """Return a portal over a world; its folder is the world's."""
    for name, session in world.sessions.items():
        place = world.home / "profiles" / name / "profile.json"
        place.write_text(json.dumps(session.profile.to_json()))
    lock_up(world, PASSPHRASE)
    made_way = Way(world.home / "portal", ORIGIN) if way else None
    site = Site(world.home, ORIGIN, opener_of(world, PASSPHRASE), made_way, guesses=1_000, debug=True)
    for name, value in options.items():
        setattr(site, name, value)
    clock = Clock()
    desk = Desk(idle=site.idle, clock=clock)
    return Portal(world, site, desk, clock, create_app(site, desk))


@pytest.fixture(scope="session", autouse=True)
def one_loop() -> Iterator[None]:
    """One loop of events for all clients of this process."""
    with start_blocking_portal() as Client.loop:
        yield
    Client.loop = None


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Everybody, admitted and paired; one for all tests of a file."""
    with running_world() as made:
        yield made


@pytest.fixture
def portal(world: World) -> Iterator[Portal]:
    """A portal over the world."""
    made = make_portal(world)
    # Limits of guesses are shown by their own tests; here one address unlocks whatever it likes.
    made.app.state.guesses.take = lambda *_: 0
    yield made
    for client in made.clients:
        client.close()
    made.desk.close()
