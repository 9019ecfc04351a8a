"""Passkeys in a real browser, with the authenticator of its developer tools: made, asked, and asked by others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from panachain.model.credentials import PASSKEY
from panachain.sdk.locks import Locks
from panachain.sdk.profiles import load_profile
from tests.portal.browser import NARROW, NEEDS_CHROMIUM, PATIENCE, Chromium, Window
from tests.portal.elsewhere import site
from tests.portal.keyed import lock_up
from tests.portal.person import Name, Person, speaker
from tests.portal.serving import PASSPHRASE, Portal, Served, enter, served_world

pytestmark = [pytest.mark.deep, NEEDS_CHROMIUM]
ASK = """async ({host, id, salt, patience}) => {
  const bytes = text => Uint8Array.from(text.match(/../g) || [], two => parseInt(two, 16));
  try {
    const found = await navigator.credentials.get({publicKey: {
      rpId: host, challenge: new Uint8Array(32), userVerification: 'required', timeout: patience,
      allowCredentials: id ? [{type: 'public-key', id: bytes(id)}] : [],
      extensions: {prf: {eval: {first: bytes(salt)}}}}});
    const first = found.getClientExtensionResults().prf.results.first;
    return [...new Uint8Array(first)].map(one => one.toString(16).padStart(2, '0')).join('');
  } catch (error) { return error.name; }
}"""
"""What a page asks a passkey for."""


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with served_world(paired=False) as made:
        yield made


@pytest.fixture(autouse=True)
def _locks(served: Served) -> None:
    lock_up(served.people, PASSPHRASE)


@contextmanager
def authenticator(window: Window, *, prf: bool = True, verified: bool = True) -> Iterator[tuple[Any, str]]:
    """Give a window an authenticator of its machine, which checks a finger by itself."""
    session = window.context.new_cdp_session(window.page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "ctap2Version": "ctap2_1",
        "transport": "internal",
        "hasUserVerification": True,
        "isUserVerified": verified,
        "hasResidentKey": True,
        "hasPrf": prf,
        "automaticPresenceSimulation": True,
    }
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    yield session, made["authenticatorId"]


def begin(window: Window, portal: Portal, language: str = "en") -> Person:
    """Sit down at an unlocked portal, and come to where a passkey is made."""
    person = Person(window, portal.origin, speaker(language))
    person.unlock(portal.entry, portal.name, PASSPHRASE)
    person.page.goto(f"{portal.origin}/keys")
    person.fill("What you call it", "laptop")
    person.press("Add a passkey")
    person.press("Go on")
    person.fill("Passphrase", PASSPHRASE)
    return person


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_passkey_is_made_and_opens_the_portal(chromium: Chromium, served: Served, language: str) -> None:
    portal = served.portal("patient")
    with chromium.window(language=language) as window, authenticator(window):
        person = begin(window, portal, language)
        person.press("Make the passkey")
        person.sees("What opens this profile")
        person.sees(Name("laptop"))
        person.press("Lock")
        assert window.violations() == []
        person.press("Open %(name)s by passkey".replace("%(name)s", "patient") if language == "en" else Name("patient"))
        window.page.locator("nav.pages").wait_for()
        assert window.seen.elsewhere(portal.origin) == []
    (made,) = Locks(load_profile(served.people.home, "patient")).credentials(PASSKEY)
    assert made.host == portal.origin.removeprefix("http://").partition(":")[0]


def test_other_pages_of_this_machine_get_nothing_of_it(chromium: Chromium, served: Served) -> None:
    portal = served.portal("patient")
    with chromium.window() as window, authenticator(window) as (session, name):
        begin(window, portal).press("Make the passkey")
        window.page.get_by_text("What opens this profile").first.wait_for()
        (made,) = Locks(load_profile(served.people.home, "patient")).credentials(PASSKEY)
        own = {"host": made.host, "id": made.id.hex(), "salt": made.salt.hex(), "patience": PATIENCE}
        # It can't be found by whoever lacks its ID.
        (kept,) = session.send("WebAuthn.getCredentials", {"authenticatorId": name})["credentials"]
        assert kept["isResidentCredential"] is False
        # A browser that has nothing to answer with waits until the end.
        hasty = own | {"patience": 1_000}
        # The portal's own page gets an answer, the same each time.
        answer = window.page.evaluate(ASK, own)
        assert len(answer) == 64
        assert window.page.evaluate(ASK, own) == answer
        with site() as elsewhere:
            elsewhere.pages["/x"] = "<!doctype html><title>x</title>"
            port = elsewhere.url("/x").partition("://")[2].partition("/")[0].rpartition(":")[2]
            # `localhost` is a name of every program's; this passkey isn't bound to it.
            window.page.goto(f"http://localhost:{port}/x")
            assert window.page.evaluate(ASK, own) == "SecurityError"
            assert window.page.evaluate(ASK, hasty | {"host": "localhost"}) == "NotAllowedError"
            # One that knew the portal's secret name, on a port of its own, needs the credential's ID and the salt, too.
            window.page.goto(f"http://{made.host}:{port}/x")
            assert window.page.evaluate(ASK, hasty | {"id": ""}) == "NotAllowedError"
            assert window.page.evaluate(ASK, own | {"salt": "00" * 32}) not in (answer, "NotAllowedError")
            # With all of these it has an answer, which opens nothing without the profile's files. That is what is left.
            assert window.page.evaluate(ASK, own) == answer


@pytest.mark.parametrize(
    ("prf", "verified", "said"), [(False, True, "PRF"), (True, False, "it was given up, or the browser refused it")]
)
def test_one_that_cannot_do_it_is_told_and_changes_nothing(
    chromium: Chromium, served: Served, prf: bool, verified: bool, said: str
) -> None:
    portal = served.portal("patient")
    with chromium.window(width=NARROW) as window, authenticator(window, prf=prf, verified=verified):
        person = begin(window, portal)
        assert window.violations() == []
        assert window.sideways() == []
        window.page.get_by_role("button", name="Make the passkey").click()
        window.page.locator("[data-failed]:not([hidden])").filter(has_text=said).wait_for()
        assert person.page.url.endswith("/keys/passkey")
    assert Locks(load_profile(served.people.home, "patient")).credentials(PASSKEY) == []


def test_a_passkey_that_is_gone_leaves_the_passphrase(chromium: Chromium, served: Served) -> None:
    portal = served.portal("patient")
    with chromium.window() as window, authenticator(window) as (session, name):
        person = begin(window, portal)
        person.press("Make the passkey")
        person.press("Lock")
        session.send("WebAuthn.clearCredentials", {"authenticatorId": name})
        window.page.get_by_role("button", name="Open patient by passkey").click()
        window.page.locator("[data-failed=refused]:not([hidden])").wait_for()
        person.tick(Name("patient"))
        person.fill("Passphrase", PASSPHRASE)
        person.press("Unlock")
        window.page.locator("nav.pages").wait_for()


def test_without_scripts_the_page_says_what_is_missing(chromium: Chromium, served: Served) -> None:
    portal = served.portal("patient")
    with chromium.window(scripts=False) as window:
        person = Person(window, portal.origin, speaker("en"))
        person.unlock(portal.entry, portal.name, PASSPHRASE, paste=True)
        window.page.goto(f"{portal.origin}/keys")
        person.press("Add a passkey")
        person.press("Go on")
        person.sees("This needs JavaScript, and a browser that knows passkeys.")


def test_the_agent_of_the_terminal_is_offered(chromium: Chromium, served: Served) -> None:
    from panachain.agent import client as agents
    from panachain.sdk.profiles import start_agent

    portal, home = served.portal("patient"), served.people.home
    with chromium.window() as window:
        enter(window, portal)
        Person(window, portal.origin, speaker("en")).press("Lock")
        start_agent(home, load_profile(home, "patient"), PASSPHRASE, 120)
        try:
            window.page.reload()
            person = Person(window, portal.origin, speaker("en"))
            assert window.violations() == []
            person.press("Open patient")
            person.page.goto(f"{portal.origin}/keys")
            person.sees("Kept unlocked")
            person.press("Lock")
            assert agents.status(home, "patient") is None
        finally:
            agents.lock(home, "patient")
