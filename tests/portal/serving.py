"""The portal as its own server serves it, in this process, over the twin's world: for tests in a browser.

One server has everybody's profiles; each person comes with a window, and so with a session, of their own.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import uvicorn

from panachain.model.actors import Role
from panachain.portal import guesses
from panachain.portal.app import create_app
from panachain.portal.security import Origin
from panachain.portal.site import Site, Way
from panachain.records.samples import sample_bundle
from panachain.sdk.patient import Patient
from tests.portal import showing
from tests.portal.browser import Window
from tests.portal.keyed import lock_up, opener_of
from tests.twin import world as twin
from tests.twin.world import World, running_world

ROLES: Final = ("patient", "hospital", "clinician", "researcher", "registrar")
"""People of the world, a portal's user of each role."""
PASSPHRASE: Final = "four words of nobody"
_PATIENCE: Final = 60.0
_NAME: Final = re.compile(r"0x[0-9a-fA-F]+|(?![a-z]+\b)[\w-]{12,}|\d+")
"""What differs from one thing to the next in a path; a long word of ours isn't one."""
_LINKS: Final = "links => links.map(one => [one.getAttribute('href'), one.textContent])"


@dataclass
class Portal:
    """The portal, as one person comes to it."""

    origin: str
    port: int
    name: str
    """Whose profile they unlock."""
    way: Way
    actor: Any
    """Their session outside of the portal, to look at what became of something."""
    patient: str
    """The patient's address."""

    @property
    def entry(self) -> str:
        """The address that opens the portal once."""
        return self.way.url


@dataclass
class Served:
    """A world and its portal."""

    people: World
    site: Site
    port: int

    def portal(self, name: str) -> Portal:
        """Return the portal for one person."""
        assert self.site.way is not None
        origin = str(self.site.origin)
        return Portal(origin, self.port, name, self.site.way, self.people.sessions[name], self.people.patient.address)

    def role(self, name: str) -> Role:
        """Return a person's role."""
        return Role(self.people.sessions[name].role)


def enter(window: Window, portal: Portal) -> None:
    """Open the portal with its address, and unlock a profile, as its user does."""
    page = window.page
    page.goto(portal.entry)
    page.locator("input[name=passphrase]").wait_for()
    page.locator(f"input[name=profile][value='{portal.name}']").check()
    page.locator("input[name=passphrase]").fill(PASSPHRASE)
    page.locator("main form button").click()
    page.locator("nav.pages").wait_for()


def walk(window: Window, portal: Portal) -> Iterator[str]:
    """Go to each page that links lead to from somebody's first one, one of each kind, and yield its path.

    A kind is a path without its names and numbers, so of many records one is looked at.
    """
    todo, seen = [("/", "/")], set()
    while todo:
        path, kind = todo.pop(0)
        if kind in seen:
            continue
        seen.add(kind)
        answer = window.page.goto(f"{portal.origin}{path}")
        assert answer is not None
        assert answer.status == 200, f"{path} answers {answer.status}"
        if path == "/":
            # It leads on to the page that is somebody's first.
            path = window.page.url.removeprefix(portal.origin)
            seen.add(_kind(path))
        window.page.locator("section.job").wait_for(state="detached")
        yield path
        # All at once: two questions for each of a page's sixty links took as long as the page itself.
        for href, text in window.page.eval_on_selector_all("a[href^='/']:not([download])", _LINKS):
            path = href.partition("#")[0]
            todo.append((path, _kind(path, text)))


def open_records(window: Window, portal: Portal) -> None:
    """Open all that a patient has, or that a practitioner was granted, so that there is something to look at."""
    page = window.page
    first, form = {
        "patient": ("/records", "form[action='/records/view']"),
        "practitioner": (f"/inbox/{portal.patient}", "form[action$='/open']"),
    }.get(str(portal.actor.role.value), ("", ""))
    if not first:
        return
    page.goto(f"{portal.origin}{first}")
    page.locator(form).first.locator("button").click()
    if first != "/records":
        page.locator(".confirm form button").click()
        page.locator("main a[href^='/opened/']").click()
    page.wait_for_url("**/opened/*")


def _kind(path: str, text: str = "") -> str:
    # What a document is says its title.
    title = _NAME.sub("*", text.strip()) if "/document/" in path else ""
    return _NAME.sub("*", path.partition("?")[0]) + title


@contextmanager
def served_world(name: str = "portal-of-the-tests.localhost", *, paired: bool = True) -> Iterator[Served]:
    """Serve a world in which everybody is admitted, and served.

    Args:
        name: under which the portal is asked.
        paired: whether the patient is paired already.
    """
    with ExitStack() as stack:
        # Pages count from the clock of this machine.
        stack.enter_context(patch.object(twin, "START", int(time.time())))
        # The samples begin there.
        stack.enter_context(patch.object(twin, "FIRST_YEAR", 2019))
        stack.enter_context(patch.object(guesses, "OF_A_SOURCE", 10_000))
        stack.enter_context(patch.object(guesses, "OF_A_PROFILE", 10_000))
        with ExitStack() if paired else patch.object(Patient, "pair"):
            world = stack.enter_context(running_world())
        listening = socket.create_server(("127.0.0.1", 0))
        stack.callback(listening.close)
        port = listening.getsockname()[1]
        origin = Origin.of(name, port)
        lock_up(world, PASSPHRASE)
        way = Way(world.home / "way", origin)
        stack.callback(way.close)
        for person, session in world.sessions.items():
            place = world.home / "profiles" / person / "profile.json"
            place.write_text(json.dumps(session.profile.to_json()))
        site = Site(world.home, origin, opener_of(world, PASSPHRASE), way, guesses=10_000, debug=True)
        stack.enter_context(serving(site, listening))
        yield Served(world, site, port)


@contextmanager
def serving(site: Site, listening: socket.socket) -> Iterator[None]:
    """Run the server in a thread of its own."""
    config = uvicorn.Config(create_app(site), log_level="error", lifespan="on", access_log=False, server_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), name="portal", daemon=True)
    thread.start()
    until = time.monotonic() + _PATIENCE
    while not server.started and thread.is_alive() and time.monotonic() < until:
        time.sleep(0.01)
    assert server.started, "the portal's server didn't start"
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_PATIENCE)
        assert not thread.is_alive(), "the portal's server didn't end"


def tell(people: World, folder: Path) -> None:
    """Let happen what the demo tells: so no page is empty."""
    showing.write(folder)
    (folder / "patient.json").write_bytes(sample_bundle(1))
    people.hospital.upload([folder], people.patient.address)
    wanted = ["laboratory", "medications", "imaging", "documents"]
    policy = people.patient.grant(people.clinician.address, wanted, until=timedelta(days=30))
    list(people.clinician.open(policy.policy_id))
    people.patient.grant(people.nurse.address, ["medications", "vitals"], until=timedelta(days=7))
    taken = people.patient.grant(people.stranger.address, ["immunizations"], until=timedelta(days=30))
    people.patient.revoke(taken.policy_id)
    people.stranger.request(people.patient.address, ["allergies"], note="before surgery")
    people.wait()


@contextmanager
def served_story() -> Iterator[Served]:
    """Serve a world in which something has happened."""
    with served_world() as made:
        tell(made.people, made.people.home / "story")
        yield made
