"""Attacks on a web application on one's own machine: each is tried, and gets nothing.

Those that a browser decides are in a real one (tests/portal, `chromium`). Follows docs/spec/portal.md, section "Who may
ask", and security rule 28.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import stat
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute

from panachain.errors import DiskError
from panachain.model.actors import Role
from panachain.passphrase import Hidden
from panachain.portal import pages
from panachain.portal.command import _show
from panachain.portal.forms import FIELDS, MOST
from panachain.portal.guesses import AT_ONCE, BEGUN, OF_A_PROFILE, OF_A_SOURCE
from panachain.portal.rendering import own_path
from panachain.portal.security import (
    FRAME,
    FRAME_POLICY,
    HEADERS,
    METHODS,
    MOST_HEADERS,
    MOST_QUERY,
    POLICY,
    Origin,
)
from panachain.portal.site import Way, nobody, sweep_ways
from panachain.sdk.profiles import Profile
from panachain.sdk.profiles import unlock as open_profile
from tests.portal.conftest import ORIGIN, PASSPHRASE, Client, Portal, forms_of, make_portal, text_of
from tests.twin.world import World, seed_of

EVIL = "http://evil.example"
OPEN_TO_ALL = {"/", "/enter", "/unlock", "/static/{name}"}
"""What answers without a session: the way in, and files that hold nothing of anybody."""


def routes(portal: Portal, method: str) -> Iterator[str]:
    """Yield the path of each route that takes a method."""
    known = [*portal.app.routes, *(route for module in pages.modules() for route in module.router.routes)]
    for route in known:
        if isinstance(route, APIRoute) and method in route.methods:
            yield route.path


def filled(path: str) -> str:
    """Return a path whose parts are given."""
    return re.sub(r"\{[^}]*\}", "x", path)


@pytest.fixture
def patient(portal: Portal) -> Client:
    return portal.client_of(Role.PATIENT)


# DNS rebinding, and other names


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8787",
        "evil.example",
        "127.0.0.1:8787",
        "localhost:8787",
        "[::1]:8787",
        ORIGIN.host.partition(":")[0],
        f"{ORIGIN.host}.evil.example",
        f"evil.{ORIGIN.host}",
        f"{ORIGIN.host.partition(':')[0]}.:8787",
        f"user@{ORIGIN.host}",
        "",
    ],
)
def test_a_name_that_was_made_to_point_here_gets_nothing(patient: Client, host: str) -> None:
    # After rebinding, Origin and Host say the same: only the exact list of hosts tells.
    for path in ("/", "/me", "/static/portal.css"):
        answer = patient.get(path, headers={"host": host, "origin": f"http://{host}"}, follow_redirects=False)
        assert answer.status_code == 421
        assert "PanaChain" not in answer.text
    answer = patient.post("/lock", data={"csrf": patient.token()}, headers={"host": host, "origin": f"http://{host}"})
    assert answer.status_code == 421
    patient.page("/me")


def test_two_names_are_none(patient: Client) -> None:
    answer = patient.get("/me", headers=[("host", ORIGIN.host), ("host", "evil.example")])
    assert answer.status_code == 421


# Pages of other origins


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": EVIL},
        {"origin": "null"},
        {"origin": "https://" + ORIGIN.host},
        {"origin": f"http://{ORIGIN.host.partition(':')[0]}:9999"},
        {},
        {"origin": str(ORIGIN), "sec-fetch-site": "cross-site"},
        {"origin": str(ORIGIN), "sec-fetch-site": "same-site"},
        {"origin": str(ORIGIN), "sec-fetch-site": "none"},
    ],
)
def test_another_page_can_send_no_form(portal: Portal, patient: Client, headers: dict[str, str]) -> None:
    token = patient.token()
    for path in routes(portal, "POST"):
        assert patient.post(filled(path), data={"csrf": token}, headers=headers).status_code == 403
    patient.page("/me")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(("mode", "destination"), [("no-cors", "image"), ("cors", "empty"), ("no-cors", "script")])
def test_another_page_can_load_nothing(patient: Client, site: str, mode: str, destination: str) -> None:
    headers = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": destination}
    for path in ("/me", "/static/portal.js"):
        assert patient.get(path, headers=headers).status_code == 403


@pytest.mark.parametrize("destination", ["iframe", "frame", "object", "embed"])
@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_another_page_can_frame_nothing(patient: Client, site: str, destination: str) -> None:
    headers = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": destination}
    assert patient.get("/me", headers=headers).status_code == 403


def test_another_page_can_link_to_a_page(patient: Client) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert patient.get("/me", headers=headers).status_code == 200


def test_there_is_no_cors(portal: Portal, patient: Client) -> None:
    preflight = {"origin": EVIL, "access-control-request-method": "POST", "access-control-request-headers": "x-csrf"}
    for path in ("/", "/me", "/lock"):
        answers = [patient.options(path, headers=preflight), patient.get(path, headers={"origin": EVIL})]
        for answer in answers:
            assert answer.status_code in (403, 405)
            assert not [name for name in answer.headers if name.startswith("access-control")]
    for method in ("HEAD", "PUT", "DELETE", "PATCH", "TRACE", "QUERY"):
        for path in ("/me", "/static/portal.css"):
            assert patient.request(method, path, headers={"origin": str(ORIGIN)}).status_code == 405


def test_what_the_guard_lets_pass_is_what_routes_take(portal: Portal) -> None:
    known = [*portal.app.routes, *(route for module in pages.modules() for route in module.router.routes)]
    assert {method for route in known if isinstance(route, APIRoute) for method in route.methods} == METHODS


# Forms


def test_every_form_needs_the_token_of_its_session(portal: Portal, patient: Client) -> None:
    other = portal.client_of("nurse").token()
    paths = [path for path in routes(portal, "POST") if path != "/enter"]
    assert len(paths) >= 3
    for path in paths:
        for fields in ({}, {"csrf": ""}, {"csrf": other}, {"csrf": ["a", "b"]}):
            answer = patient.post(filled(path), data=fields, headers={"origin": str(ORIGIN)}, follow_redirects=False)
            assert answer.status_code in (400, 403, 415), path
    patient.page("/me")


def test_a_token_from_before_the_unlocking_counts_no_more(portal: Portal) -> None:
    client = portal.entered()
    before = dict(forms_of(client.get("/unlock").text)[-1][1])["csrf"]
    fields = {"csrf": before, "profile": "patient", "passphrase": PASSPHRASE}
    client.post("/unlock", data=fields, headers={"origin": str(ORIGIN)})
    assert client.token() != before
    answer = client.post("/lock", data={"csrf": before}, headers={"origin": str(ORIGIN)})
    assert answer.status_code == 403
    client.page("/me")


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "multipart/form-data; boundary=x", ""])
def test_only_forms_are_forms(patient: Client, content_type: str) -> None:
    headers = {"origin": str(ORIGIN), "content-type": content_type}
    answer = patient.post("/lock", content=f"csrf={patient.token()}", headers=headers)
    assert answer.status_code == 415


def test_a_form_is_bounded(patient: Client) -> None:
    form = {"origin": str(ORIGIN), "content-type": "application/x-www-form-urlencoded"}
    token = f"csrf={patient.token()}"

    def pieces() -> Iterator[bytes]:
        # Without an announced length.
        yield token.encode()
        for _ in range(MOST // 1024 + 1):
            yield b"&a=" + b"x" * 1021

    assert patient.post("/lock", content=f"{token}&a={'x' * MOST}", headers=form).status_code == 413
    assert patient.post("/lock", content=pieces(), headers=form).status_code == 413
    assert patient.post("/lock", content=token + "&a=1" * (FIELDS + 1), headers=form).status_code == 400
    assert patient.post("/lock", content=token + "&a=%ff", headers=form).status_code == 200
    assert patient.post("/enter", content=b"secret=" + b"x" * 600, headers=form).status_code == 413


def test_headers_and_queries_are_bounded(patient: Client) -> None:
    many = {f"x-{number}": "1" for number in range(MOST_HEADERS)}
    assert patient.get("/me", headers=many).status_code == 431
    assert patient.get("/me", params={"q": "x" * MOST_QUERY}).status_code == 431


# The secret, and sessions


def test_the_secret_counts_once_and_only_from_this_portals_own_page(portal: Portal) -> None:
    way = portal.site.way
    assert way is not None
    secret = way.url.partition("#")[2]
    assert len(secret) >= 43
    stranger = portal.browser()
    for wrong in ("", "x", secret[:-1], secret + "a", secret.swapcase()):
        answer = stranger.post("/enter", data={"secret": wrong}, headers={"origin": str(ORIGIN)})
        assert answer.status_code == 403
    assert stranger.post("/enter", data={"secret": secret}, headers={"origin": EVIL}).status_code == 403
    assert not stranger.cookies
    first, second = portal.browser(), portal.browser()
    assert first.post("/enter", data={"secret": secret}, headers={"origin": str(ORIGIN)}).status_code == 200
    assert second.post("/enter", data={"secret": secret}, headers={"origin": str(ORIGIN)}).status_code == 403
    assert not second.cookies
    # Not in a query, which stands in histories and logs.
    again = way.url.partition("#")[2]
    assert again != secret
    second.get("/", params={"secret": again})
    second.get(f"/enter?secret={again}")
    assert not second.cookies


def test_nothing_is_shown_without_a_session(portal: Portal) -> None:
    stranger = portal.browser()
    for path in routes(portal, "GET"):
        if path in OPEN_TO_ALL:
            continue
        answer = stranger.get(filled(path), follow_redirects=False)
        assert (answer.status_code, answer.text) == (303, ""), path
        assert answer.headers["location"] == "/"
    page = text_of(stranger.get("/").text)
    assert not [name for name in portal.world.sessions if name in page]


def test_nothing_is_shown_while_nothing_is_unlocked(portal: Portal) -> None:
    client = portal.entered()
    for path in routes(portal, "GET"):
        if path not in OPEN_TO_ALL:
            answer = client.get(filled(path), follow_redirects=False)
            assert (answer.status_code, answer.text) == (303, ""), path


def test_a_session_changes_its_name_when_it_is_unlocked_and_when_it_is_locked(portal: Portal) -> None:
    client = portal.entered()
    (name,) = client.cookies
    names = [client.cookies[name]]
    csrf = dict(forms_of(client.get("/unlock").text)[-1][1])["csrf"]
    fields = {"csrf": csrf, "profile": "patient", "passphrase": PASSPHRASE}
    answer = client.post("/unlock", data=fields, headers={"origin": str(ORIGIN)}, follow_redirects=False)
    told = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in told.split(";")}
    assert "Domain" not in told
    names.append(client.cookies[name])
    client.submit("/lock")
    names.append(client.cookies[name])

    assert len(set(names)) == 3
    for old in names[:2]:
        thief = portal.browser()
        thief.cookies.set(name, old)
        assert thief.get("/me", follow_redirects=False).headers["location"] == "/"


def test_a_session_that_somebody_else_began_is_never_the_one_that_is_unlocked(portal: Portal) -> None:
    """Session fixation: the attacker puts their own session's cookie into the victim's browser."""
    attacker, victim = portal.entered(), portal.browser()
    (name,) = attacker.cookies
    victim.cookies.set(name, attacker.cookies[name])
    csrf = dict(forms_of(victim.get("/unlock").text)[-1][1])["csrf"]
    fields = {"csrf": csrf, "profile": "patient", "passphrase": PASSPHRASE}
    victim.post("/unlock", data=fields, headers={"origin": str(ORIGIN)})

    assert attacker.get("/me", follow_redirects=False).status_code == 303


def test_two_cookies_of_one_name_are_none(patient: Client, portal: Portal) -> None:
    (name,) = patient.cookies
    value = patient.cookies[name]
    thief = portal.browser()
    for cookie in (f"{name}={value}; {name}=x", f"{name}=x; {name}={value}"):
        assert thief.get("/me", headers={"cookie": cookie}, follow_redirects=False).headers["location"] == "/"
    assert thief.get("/me", headers={"cookie": f"{name}={value}"}, follow_redirects=False).status_code == 200


def test_with_tls_the_cookie_is_bound_to_this_very_host() -> None:
    origin = Origin.of("records.clinic.example", 443, tls=True)
    assert (str(origin), origin.cookie) == ("https://records.clinic.example", "__Host-panachain")
    # Cookies don't tell ports apart, so two portals of one machine have two names.
    assert Origin.of("127.0.0.1", 8787).cookie != Origin.of("127.0.0.1", 8788).cookie


def test_what_nobody_uses_locks_and_forgets(portal: Portal, patient: Client) -> None:
    (session,) = [one for one in portal.desk._sessions.values() if one.seat]
    seat = session.seat
    assert seat is not None
    (cookie,) = patient.cookies
    before = patient.cookies[cookie]
    name = seat.openings.add("laboratory", ["a record"])
    opening = seat.openings.get(name)
    seat.put("search", "asthma")
    portal.clock.now += portal.desk.idle - 1
    assert patient.get("/me").status_code == 200
    portal.clock.now += portal.desk.idle - 1
    # A page that asks by itself how far something is doesn't keep the seat open.
    patient.get("/jobs/x/progress")
    portal.clock.now += 2
    portal.desk.sweep()
    assert seat.closed
    assert patient.get("/me", follow_redirects=False).headers["location"] == "/unlock?next=/me"
    assert patient.cookies[cookie] != before
    thief = portal.browser()
    thief.cookies.set(cookie, before)
    assert thief.get("/unlock", follow_redirects=False).headers["location"] == "/"
    assert patient.get("/unlock", follow_redirects=False).status_code == 200
    assert opening is not None
    assert not opening.records
    assert not seat.keep
    seat._desk.shutdown()
    assert seat._at_desk is None


def test_the_lock_forgets_at_once(portal: Portal, patient: Client) -> None:
    (seat,) = [one.seat for one in portal.desk._sessions.values() if one.seat]
    actor = seat._at_desk
    page = patient.page("/me")
    assert "data-locked" not in page
    # Whoever has no session yet, such as behind another page's link, locks nobody's tabs.
    assert "data-locked" not in portal.browser().get("/").text
    assert f'<body data-locks-after="{portal.desk.idle:.0f}">' in page
    locked = patient.submit("/lock")
    # Neither by the page's own clock nor by going back does anything stay on the screen.
    assert locked.history[0].headers["clear-site-data"] == '"cache"'
    assert "data-locks-after" not in locked.text
    # It tells the other tabs of the browser.
    assert "<body data-locked>" in locked.text
    seat._desk.shutdown()
    assert "_unlocked" not in vars(actor)
    assert patient.get("/me", follow_redirects=False).status_code == 303


# What answers say


def test_every_answer_says_what_a_browser_may_do_with_it(portal: Portal, patient: Client) -> None:
    stranger = portal.browser()
    nonces = []
    for path in [*map(filled, routes(portal, "GET")), "/nothing-here"]:
        for client in (patient, stranger):
            answer = client.get(path, follow_redirects=False)
            framed = {"x-frame-options": "SAMEORIGIN"} if path == FRAME else {}
            for name, value in (HEADERS | framed).items():
                assert answer.headers[name] == value, (path, name)
            (policy,) = answer.headers.get_list("content-security-policy")
            (nonce,) = re.findall(r"script-src 'nonce-([^']+)'", policy)
            if path == "/running/x":
                # The page around software: the one frame, by its whole address.
                policy = policy.removesuffix(f"; frame-src {ORIGIN}{FRAME}")
            assert policy == (FRAME_POLICY if path == FRAME else POLICY).format(nonce=nonce)
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy.replace("'wasm-unsafe-eval'", "" if path == FRAME else "*")
            assert "*" not in policy
            assert "http:" not in policy
            nonces.append(nonce)
            assert "server" not in answer.headers
    assert len(set(nonces)) == len(nonces)


def test_our_own_files_may_be_kept_and_hold_nothing_of_anybody(portal: Portal, patient: Client) -> None:
    for name in ("portal.css", "portal.js", "htmx.min.js", "icon.svg"):
        answers = [client.get(f"/static/{name}") for client in (patient, portal.browser())]
        assert answers[0].content == answers[1].content
        assert answers[0].headers["cache-control"].startswith("public")
    for name in ("README.md", "..%2fapp.css", "../app.css", "%2e%2e/app.css", ".hidden"):
        assert patient.get(f"/static/{name}").status_code == 404


def test_no_page_has_a_script_or_a_style_within(portal: Portal, patient: Client) -> None:
    for path in [*map(filled, routes(portal, "GET")), "/nothing-here"]:
        page = patient.get(path).text
        if path == FRAME:
            # An origin of its own can load none of our files: its one script stands in it, and is named by the nonce.
            (script,) = re.findall(r'<script nonce="[\w-]{20,}">.*?</script>', page, re.DOTALL)
            page = page.replace(script, "")
        assert not re.search(r"<script(?![^>]*\bsrc=\"/static/)", page), path
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page), path
        assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", page), path


def test_no_secret_stands_on_a_page_in_an_address_or_in_a_log(portal: Portal, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert portal.site.way is not None
    secrets = [portal.site.way.url.partition("#")[2]]
    client = portal.client_of(Role.PATIENT)
    (name,) = client.cookies
    secrets += [client.cookies[name], PASSPHRASE, seed_of("patient").reveal().hex(), portal.site.way.url[-20:]]
    (session,) = [one for one in portal.desk._sessions.values() if one.seat]
    secrets += [session.key.hex(), repr(session.key)]
    seen = []
    for path in map(filled, routes(portal, "GET")):
        answer = client.get(path)
        seen += [answer.text, str(answer.url), *(str(one.headers) for one in answer.history)]
    seen += [repr(session), repr(session.seat), repr(portal.site), caplog.text]
    for secret in secrets:
        assert not [text for text in seen if secret in text], secret[:6]


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "https://evil.example", "/\x09/evil", ""])
def test_nobody_is_sent_elsewhere(portal: Portal, path: str) -> None:
    assert not own_path(path)
    client = portal.entered()
    page = client.page("/unlock", next=path)
    assert "evil" not in page
    csrf = dict(forms_of(page)[-1][1])["csrf"]
    fields = {"csrf": csrf, "profile": "patient", "passphrase": PASSPHRASE, "next": path}
    answer = client.post("/unlock", data=fields, headers={"origin": str(ORIGIN)}, follow_redirects=False)
    assert answer.headers["location"] == "/"
    answer = client.post(
        "/language",
        data={"csrf": client.token(), "language": "en", "back": path},
        headers={"origin": str(ORIGIN)},
        follow_redirects=False,
    )
    assert answer.headers["location"] == "/"


# Other users of the machine


def test_other_local_users_get_neither_the_file_nor_the_secret(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    way = portal.site.way
    assert way is not None
    assert stat.S_IMODE(way.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(way.path.parent.stat().st_mode) == 0o700
    started: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: started.append(url) or True)
    _show(way)
    # A program's arguments are everybody's to read: they name a file, and hold nothing of what is in it.
    secret = way.url.partition("#")[2]
    assert started == [way.path.as_uri()]
    assert secret in way.path.read_text()
    assert secret not in started[0]
    assert ORIGIN.host not in started[0]


def test_the_file_holds_the_secret_that_counts_and_goes_at_the_end(world: World) -> None:
    way = Way(world.home / "portal", ORIGIN)
    for _ in range(3):
        secret = way.url.partition("#")[2]
        assert secret in way.path.read_text()
        assert way.enter(secret)
        assert secret not in way.path.read_text()
        assert stat.S_IMODE(way.path.stat().st_mode) == 0o600
    way.close()
    assert not way.path.exists()


def test_an_open_folder_is_closed_before_the_secret_is_written(world: World) -> None:
    folder = world.home / "lax"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    way = Way(folder, ORIGIN)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    way.close()


def test_a_start_removes_the_ways_into_portals_that_are_gone(world: World) -> None:
    folder = world.home / "ways"
    living, killed = Way(folder, ORIGIN), Way(folder, ORIGIN)
    # The end of a process takes its locks away, and nothing else.
    os.close(killed._held)
    killed._held = -1
    older = folder / "open-00000000.html"
    older.write_text("from before there were locks")
    (folder / f".{killed.path.name}.0a0a0a0a.new").write_text("half of one")
    started = Way(folder, ORIGIN)
    assert {one.name for one in folder.glob("*.html")} == {living.path.name, started.path.name}
    # Also after it was written anew.
    assert living.enter(living.url.partition("#")[2])
    assert sweep_ways(folder) == 0
    # What can't be removed is named, and keeps no other from being removed: it may lead to another user's page.
    killed = Way(folder, ORIGIN)
    os.close(killed._held)
    killed._held = -1
    odd = folder / "open-0.html"
    assert odd.name < killed.path.name
    odd.mkdir()
    with pytest.raises(DiskError, match="can't be removed") as caught:
        sweep_ways(folder)
    assert str(odd) in caught.value.hint
    assert not killed.path.exists()
    odd.rmdir()
    sweep_ways(folder)
    assert living.path.exists()
    for way in (living, started):
        way.close()
        way.close()
    assert not list(folder.iterdir())


def test_a_file_that_a_start_took_away_is_no_way_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A portal that starts at the same moment sees the lock before it is taken."""
    folder = world.home / "raced"
    folder.mkdir(mode=0o700)
    locks: list[int] = []

    def flock(descriptor: int, operation: int) -> None:
        locks.append(operation)
        if len(locks) == 1:
            for lock in folder.iterdir():
                lock.unlink()

    monkeypatch.setattr("panachain.portal.site.fcntl.flock", flock)
    way = Way(folder, ORIGIN)
    assert len(locks) == 2
    assert way.path.with_suffix(".lock").exists()
    way.close()


# Guessing


def guess(client: Client, profile: str, passphrase: str) -> Any:
    csrf = dict(forms_of(client.get("/unlock").text)[-1][1])["csrf"]
    fields = {"csrf": csrf, "profile": profile, "passphrase": passphrase}
    return client.post("/unlock", data=fields, headers={"origin": str(ORIGIN)}, follow_redirects=False)


def test_a_passphrase_is_guessed_five_times_a_minute(world: World) -> None:
    portal = make_portal(world, guesses=5)
    portal.app.state.guesses = type(portal.app.state.guesses)(5, clock=portal.clock)
    client = portal.entered()
    statuses = [guess(client, "patient", "wrong").status_code for _ in range(7)]
    assert statuses == [403] * 5 + [429] * 2
    # Also the right one isn't looked at now.
    assert guess(client, "patient", PASSPHRASE).status_code == 429
    portal.clock.now += 60
    assert guess(client, "patient", PASSPHRASE).status_code == 303
    portal.desk.close()


def test_strangers_learn_of_no_profile_and_lock_nobody_out(world: World) -> None:
    portal = make_portal(world, way=False)
    portal.app.state.guesses = type(portal.app.state.guesses)(5, clock=portal.clock)
    known = Client(portal.app, base_url=str(ORIGIN), client=("192.0.2.1", 1))
    known.get("/")
    assert guess(known, "hospital", PASSPHRASE).status_code == 303
    strangers = [Client(portal.app, base_url=str(ORIGIN), client=(f"198.51.100.{n}", 1)) for n in range(6)]
    answers = []
    for stranger in strangers:
        stranger.get("/")
        page = stranger.get("/unlock").text
        assert not [name for name in world.sessions if f'value="{name}"' in page]
        answers += [guess(stranger, name, "wrong") for name in ("hospital", "nobody") for _ in range(3)]
    told = {text_of(a.text) for a in answers if a.status_code == 403}
    # Whether a profile is there makes no difference, but for the name that was typed.
    assert len({re.sub("hospital|nobody", "NAME", one) for one in told}) == 1
    assert sum(a.status_code == 429 for a in answers) >= 10
    assert guess(known, "hospital", PASSPHRASE).status_code == 303
    portal.desk.close()


def test_a_right_passphrase_is_no_guess(world: World) -> None:
    portal = make_portal(world, guesses=5)
    guesses = portal.app.state.guesses = type(portal.app.state.guesses)(5, clock=portal.clock)
    for _ in range(3 * OF_A_SOURCE):
        assert guesses.take("192.0.2.1", "hospital") == 0
        guesses.right("192.0.2.1", "hospital")
    # Wrong ones count all the same, for this address and for strangers.
    assert [guesses.take("192.0.2.1", "hospital") == 0 for _ in range(6)] == [True] * 5 + [False]
    others = [guesses.take(f"198.51.100.{n}", "hospital") == 0 for n in range(OF_A_PROFILE + 1)]
    assert others == [True] * OF_A_PROFILE + [False]
    portal.desk.close()


# Staff, over a network


@pytest.fixture
def staffed(world: World) -> Iterator[Portal]:
    """A portal that serves a hospital's staff."""
    made = make_portal(world, way=False)
    made.app.state.guesses = type(made.app.state.guesses)(5, clock=made.clock)
    yield made
    made.desk.close()


def stranger_of(portal: Portal, address: str) -> Client:
    return Client(portal.app, base_url=str(ORIGIN), client=(address, 1))


def test_strangers_push_nobodys_session_out(staffed: Portal) -> None:
    nurse = stranger_of(staffed, "192.0.2.1")
    nurse.get("/")
    stranger = stranger_of(staffed, "198.51.100.1")
    statuses = []
    for _ in range(600):
        stranger.cookies.clear()
        statuses.append(stranger.get("/", follow_redirects=False).status_code)
    assert statuses == [303] * BEGUN + [429] * (600 - BEGUN)
    assert guess(nurse, "hospital", PASSPHRASE).status_code == 303
    staffed.clock.now += 60
    assert stranger.get("/", follow_redirects=False).status_code == 303


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("path", ["/", "/me", "/unlock"])
def test_a_link_on_another_page_takes_nobodys_session_away(staffed: Portal, site: str, path: str) -> None:
    nurse = stranger_of(staffed, "192.0.2.1")
    nurse.get("/")
    assert guess(nurse, "hospital", PASSPHRASE).status_code == 303
    # What a browser does with a Strict cookie where another page led there.
    linked = stranger_of(staffed, "192.0.2.1")
    headers = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    answer = linked.get(path, headers=headers)
    assert answer.status_code == 200
    assert not [one for one in [*answer.history, answer] if "set-cookie" in one.headers]
    assert '<a class="button" href="/">' in answer.text
    # A click on that page's link brings the cookie.
    nurse.page("/me")


def test_strangers_dont_learn_whose_the_portal_is(world: World) -> None:
    portal = make_portal(world, way=False, only="hospital")
    client = stranger_of(portal, "198.51.100.1")
    client.get("/")
    assert "hospital" not in client.get("/unlock").text
    portal.desk.close()


def posted(portal: Portal, path: str, receive: Any) -> int:
    """Send a form whose body comes as a test says, and return the status."""
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    form = (b"content-type", b"application/x-www-form-urlencoded")
    headers = [(b"host", ORIGIN.host.encode()), (b"origin", str(ORIGIN).encode()), form]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
    scope |= {"client": ("198.51.100.1", 1), "scheme": "http", "root_path": ""}
    asyncio.run(asyncio.wait_for(portal.app(scope, receive, send), 60))
    return int(said[0]["status"])


def test_nothing_is_read_of_a_secret_where_there_is_none(staffed: Portal) -> None:
    async def receive() -> Any:
        raise AssertionError("the body was read")

    assert posted(staffed, "/enter", receive) == 404


@pytest.mark.parametrize("path", ["/enter", "/unlock", "/lock"])
def test_every_form_has_its_time(portal: Portal, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr("panachain.portal.forms._SECONDS", 0.0)

    async def receive() -> Any:
        # One byte after another comes; the server's own clock begins anew with each.
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"", "more_body": True}

    assert posted(portal, path, receive) == 408


def test_a_name_that_isnt_there_is_tried_as_long_as_one_that_is(world: World) -> None:
    tried: list[tuple[str, bool]] = []
    with nobody() as stranger:
        portal = make_portal(world, way=False, nobody=stranger)

        def opener(profile: Profile, passphrase: Hidden) -> Any:
            # In a turn: else names that aren't there could be told by how many are tried at once.
            tried.append((profile.name, portal.app.state.guesses.turn._value == AT_ONCE - 1))
            return open_profile(profile, passphrase.reveal())

        portal.site.opener = opener
        client = stranger_of(portal, "198.51.100.1")
        client.get("/")
        for name in ("nobody-of-this-name", "nobody", "../nobody"):
            assert guess(client, name, "wrong").status_code == 403
        assert tried == [("nobody", True)] * 3
        # It has a key store like everybody's, below no profile of this machine.
        assert stranger.name not in {one.name for one in portal.site.profiles()}
    assert not stranger.folder.exists()
    portal.desk.close()
