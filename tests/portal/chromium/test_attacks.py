"""What a hostile page in the same browser can do to an unlocked portal: nothing. Here the browser decides.

`http://127.0.0.1` with another port is the same site as the portal, so that the strictest cookie is sent along;
`http://evil.test` is another site on the same machine. Each attack is made from both.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from panachain.model.policy import PolicyStatus
from tests.portal.browser import NEEDS_CHROMIUM, Chromium, Window
from tests.portal.elsewhere import Site, site
from tests.portal.serving import Portal, enter, served_world
from tests.twin.world import resource

pytestmark = [pytest.mark.deep, NEEDS_CHROMIUM]
HOSTS = ("127.0.0.1", "evil.test")
REFUSED = "Failed to load resource|Refused to|Cross-Origin-Opener-Policy|CORS|violates|blocked|ERR_"
"""What the console says about an attack that the browser or the portal stopped."""


@pytest.fixture(scope="module")
def portal() -> Iterator[Portal]:
    """A patient's portal, in which one grant is in force."""
    with served_world("127.0.0.1") as world:
        world.people.upload("hospital", [resource("laboratory", 2024, 1)])
        world.people.patient.grant(world.people.clinician.address, ["laboratory"], until=timedelta(days=30))
        yield world.portal("patient")


@pytest.fixture
def evil() -> Iterator[Site]:
    with site() as made:
        yield made


@pytest.fixture
def victim(chromium: Chromium, portal: Portal) -> Iterator[Window]:
    """A window in which the patient is at work, and now looks at a page of somebody else's."""
    with chromium.window(expects=REFUSED) as window:
        enter(window, portal)
        yield window


def token(window: Window) -> str:
    """Return the token of the patient's own forms, which no attacker has: with it, something else must stop them."""
    return str(window.page.locator("input[name=csrf]").first.get_attribute("value"))


def policy_of(portal: Portal) -> str:
    (view,) = portal.actor.policies()
    return str(view.policy_id)


def in_force(portal: Portal) -> int:
    return sum(policy.status is PolicyStatus.ACTIVE for policy in portal.actor.policies())


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("knows", [False, True], ids=["without the token", "with the token"])
def test_a_form_that_is_posted_from_elsewhere_does_nothing(
    victim: Window, portal: Portal, evil: Site, host: str, knows: bool
) -> None:
    fields = {"policy": policy_of(portal), "confirmed": "yes"} | ({"csrf": token(victim)} if knows else {})
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    evil.pages["/"] = (
        f'<form method="post" action="{portal.origin}/grants/revoke">{inputs}</form>'
        "<script>document.forms[0].submit()</script>"
    )
    with victim.page.expect_response(lambda one: one.request.method == "POST") as answered:
        victim.page.goto(evil.url("/", host))
    assert answered.value.status in (400, 403)
    assert in_force(portal) == 1


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("way", ["fetch", "beacon"])
def test_a_request_without_a_form_does_nothing(victim: Window, portal: Portal, evil: Site, host: str, way: str) -> None:
    body = f"new URLSearchParams({{csrf: '{token(victim)}', policy: '{policy_of(portal)}'}})"
    target = f"'{portal.origin}/grants/revoke'"
    options = f"{{method: 'POST', mode: 'no-cors', credentials: 'include', body: {body}}}"
    evil.pages["/"] = "<h1>Nothing to see</h1>"
    victim.page.goto(evil.url("/", host))
    with victim.page.expect_request(lambda one: one.method == "POST"):
        victim.page.evaluate(
            {
                # A browser gives the page no answer at all, not even one that it can't look into.
                "fetch": f"fetch({target}, {options}).then(() => 'answered').catch(() => 'refused')",
                "beacon": f"navigator.sendBeacon({target}, {body})",
            }[way]
        )
    # Whatever the portal was asked before this, it has done when it answers.
    assert victim.context.new_page().goto(f"{portal.origin}/unlock") is not None
    assert in_force(portal) == 1


@pytest.mark.parametrize("host", HOSTS)
def test_no_page_of_others_reads_the_portal(victim: Window, portal: Portal, evil: Site, host: str) -> None:
    evil.pages["/"] = "<h1>Nothing to see</h1>"
    victim.page.goto(evil.url("/", host))
    for options in ("{credentials: 'include'}", "{credentials: 'include', headers: {'X-Own': '1'}}", "{}"):
        read = f"fetch('{portal.origin}/', {options}).then(one => one.text()).catch(() => 'refused')"
        assert victim.page.evaluate(read) == "refused"
    opaque = f"fetch('{portal.origin}/', {{mode: 'no-cors', credentials: 'include'}}).then(one => one.type)"
    # A browser that honours the portal's resource policy gives not even an opaque answer.
    assert victim.page.evaluate(f"{opaque}.catch(() => 'refused')") == "refused"


@pytest.mark.parametrize("host", HOSTS)
def test_no_page_of_others_frames_the_portal(victim: Window, portal: Portal, evil: Site, host: str) -> None:
    evil.pages["/"] = f'<iframe src="{portal.origin}/"></iframe><object data="{portal.origin}/"></object>'
    victim.page.goto(evil.url("/", host), wait_until="networkidle")
    for frame in victim.page.frames[1:]:
        assert not frame.url.startswith(portal.origin)
        assert frame.locator("nav").count() == 0


@pytest.mark.parametrize("host", HOSTS)
def test_a_window_that_somebody_opened_on_the_portal_is_out_of_their_reach(
    victim: Window, portal: Portal, evil: Site, host: str
) -> None:
    evil.pages["/"] = f"<script>opened = open('{portal.origin}/')</script>"
    with victim.context.expect_page() as opened:
        victim.page.goto(evil.url("/", host))
    opened.value.wait_for_load_state()
    assert opened.value.evaluate("window.opener") is None
    assert victim.page.evaluate("opened === null || opened.closed") is True


def test_a_name_that_leads_here_all_of_a_sudden_gets_nothing(victim: Window, portal: Portal) -> None:
    answer = victim.page.goto(f"http://rebound.test:{portal.port}/")
    assert answer is not None
    assert answer.status in (400, 403, 421)
    assert "set-cookie" not in answer.headers
    assert victim.page.locator("nav").count() == 0
    for path in ("/static/portal.js", "/enter", "/unlock"):
        assert victim.page.evaluate(f"fetch('{path}', {{method: 'POST'}}).then(one => one.status)") in (400, 403, 421)


def test_a_page_reads_no_cookie_and_keeps_nothing(victim: Window) -> None:
    assert victim.page.evaluate("document.cookie") == ""
    assert victim.page.evaluate("localStorage.length + sessionStorage.length") == 0
    (cookie,) = victim.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")


def test_the_secret_of_the_address_leaves_no_trace(
    chromium: Chromium, portal: Portal, evil: Site, tmp_path: Path
) -> None:
    entry = portal.entry
    secret = entry.partition("#")[2]
    assert len(secret) > 20
    evil.pages["/"] = "<h1>Nothing to see</h1>"
    with chromium.lasting_window(tmp_path / "profile") as window:
        enter(window, portal)
        assert secret not in window.page.url
        assert secret not in window.page.content()
        window.page.evaluate(f"location.href = '{evil.url('/')}'")
        window.page.wait_for_url(evil.url("/"))
        window.page.go_back()
        assert secret not in window.page.url
    assert [secret in " ".join(visit) for visit in evil.visits] == [False] * len(evil.visits)
    assert evil.visits[0][1] == "", "no Referer"
    with sqlite3.connect(tmp_path / "profile/Default/History") as history:
        kept = [url for (url,) in history.execute("SELECT url FROM urls")]
    assert any(url.startswith(portal.origin) for url in kept)
    # What a browser wrote down before the page could take it back opens nothing: the secret has been used.
    with chromium.window(expects=REFUSED) as window:
        window.page.goto(entry)
        window.page.get_by_role("alert").wait_for()
        assert window.context.cookies() == []


def test_the_back_button_shows_nothing_after_locking(chromium: Chromium, portal: Portal) -> None:
    with chromium.window(expects=REFUSED) as window:
        enter(window, portal)
        window.page.goto(f"{portal.origin}/me")
        assert portal.actor.address in window.page.content()
        window.page.get_by_role("button", name="Lock").first.click()
        window.page.wait_for_url("**/unlock")
        window.page.go_back()
        window.page.wait_for_load_state()
        assert portal.actor.address not in window.page.content()


def test_no_other_tab_shows_anything_after_locking(chromium: Chromium, portal: Portal) -> None:
    with chromium.window(expects=REFUSED) as window:
        enter(window, portal)
        other = window.context.new_page()
        other.goto(f"{portal.origin}/me")
        assert portal.actor.address in other.content()
        window.page.get_by_role("button", name="Lock").first.click()
        window.page.wait_for_url("**/unlock")
        other.wait_for_url("**/unlock")
        assert portal.actor.address not in other.content()
