"""Software that travels, in a real Chromium: it shows what it was granted with, and a hostile one reaches nobody.

What is counted is what arrives: at a web site, at a bare TCP port, at a UDP port, and at the portal itself.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Frame, expect

from panachain.records.samples import sample_bundle
from panachain.sdk.patient import Patient
from tests.portal.browser import NEEDS_CHROMIUM, Chromium, Window
from tests.portal.elsewhere import Site, site
from tests.portal.serving import Portal, Served, enter, served_world
from tests.portal.viewers import BUNDLES, hostile, write
from tests.twin.world import resource

pytestmark = [pytest.mark.deep, NEEDS_CHROMIUM]
REFUSED = (
    "violates|Refused to|ERR_|blocked|Failed to|SecurityError|sandbox|Content Security Policy|refused|WebSocket"
    "|Unsafe attempt"
)
"""What the console says of what the browser stopped."""


@dataclass
class Trap:
    """A port of this machine at which nobody may ever knock, over TCP and over UDP."""

    port: int
    knocks: list[str] = field(default_factory=list)


@contextmanager
def trap() -> Iterator[Trap]:
    """Listen at a port of both kinds."""
    with ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        made = Trap(tcp.getsockname()[1])
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", made.port))
        over = threading.Event()
        tcp.settimeout(0.2)
        udp.settimeout(0.2)

        def listen(one: socket.socket, kind: str) -> None:
            while not over.is_set():
                try:
                    if kind == "tcp":
                        one.accept()[0].close()
                    else:
                        one.recv(2048)
                    made.knocks.append(kind)
                except TimeoutError:
                    continue

        threads = [threading.Thread(target=listen, args=one, daemon=True) for one in ((tcp, "tcp"), (udp, "udp"))]
        for thread in threads:
            thread.start()
        try:
            yield made
        finally:
            over.set()
            for thread in threads:
                thread.join(10)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with served_world() as world:
        yield world


@pytest.fixture
def evil() -> Iterator[Site]:
    with site() as made:
        yield made


def travelled(served: Served, folder: Path, tmp_path: Path) -> None:
    """Let a hospital publish software, put it beside a patient's laboratory values, and the patient grant both."""
    people = served.people
    packed = tmp_path / "any.viewer"
    packed.write_bytes(people.researcher.viewers.pack(folder))
    values = tmp_path / "values.json"
    values.write_bytes(sample_bundle(1))
    people.hospital.upload([packed], people.patient.address, "laboratory")
    people.hospital.upload([values], people.patient.address)
    people.upload("hospital", [resource("allergies", 2024, 77)])
    patient: Patient = people.patient
    for policy in patient.policies():
        if policy.active:
            patient.revoke(policy.policy_id)
    patient.grant(people.clinician.address, ["laboratory"], until=timedelta(days=30))
    people.wait()


def run(window: Window, portal: Portal, patient: str, name: str) -> Frame:
    """Open what was granted, and run the software of a name, as a practitioner does; return its frame."""
    page = window.page
    enter(window, portal)
    page.goto(f"{portal.origin}/inbox/{patient}")
    page.get_by_role("button", name="Open", exact=True).click()
    page.get_by_role("button", name="Open", exact=True).click()
    page.get_by_role("link", name="Look at the records").click()
    page.get_by_role("link", name=name).last.click()
    assert window.violations() == []
    page.get_by_role("button", name="Run …").click()
    expect(page.get_by_text("and nothing else.")).to_be_visible()
    page.get_by_role("button", name="Run it").click()
    page.locator("iframe.software").wait_for()
    (frame,) = page.frames[1:]
    return frame


def test_software_that_came_with_records_shows_them_and_no_other(
    chromium: Chromium, served: Served, tmp_path: Path
) -> None:
    travelled(served, write(tmp_path / "honest"), tmp_path)
    portal = served.portal("clinician")
    with chromium.window() as window:
        frame = run(window, portal, served.people.patient.address, "Laboratory list")
        expect(frame.locator("#count")).to_contain_text(re.compile(r"\d+ records, [1-9]\d* values"))
        rows = frame.locator("#values tr")
        assert rows.count() > 3
        # What it says that it got is what was opened of the laboratory: the allergy was not granted.
        told = json.loads(window.page.evaluate("fetch(location.pathname + '/told').then((one) => one.text())"))
        assert {one["category"] for one in told["records"]} == {"laboratory"}
        assert "n77" not in frame.content()
        # The sum is WebAssembly's.
        values = [float(str(one).split()[0]) for one in rows.locator("td:nth-child(2)").all_inner_texts()]
        frame.locator("#sum").click()
        expect(frame.locator("#total")).not_to_be_empty()
        assert float(frame.locator("#total").inner_text()) == pytest.approx(sum(values))
        assert frame.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(11, 93, 107)"
        assert window.seen.elsewhere(portal.origin) == []
        assert window.seen.dialogs == []
        for width in (320, 1280):
            window.resize(width)
            assert window.sideways() == []
        assert window.violations() == []


def test_hostile_software_reaches_nobody(chromium: Chromium, served: Served, evil: Site, tmp_path: Path) -> None:
    portal = served.portal("clinician")
    with trap() as trapped, chromium.window(expects=REFUSED) as window:
        made = hostile(tmp_path / "bad", evil=evil.url("", "evil.test"), portal=portal.origin, trap=trapped.port)
        travelled(served, made, tmp_path)
        popups: list[str] = []
        downloads: list[str] = []
        window.context.on("page", lambda one: popups.append(one.url))
        window.page.on("download", lambda one: downloads.append(one.url))
        frame = run(window, portal, served.people.patient.address, "Nothing to see")
        place = window.page.url
        expect(frame.locator("#over")).to_have_text("OVER", timeout=120_000)
        told = dict(line.split(": ", 1) for line in frame.locator("#told li").all_inner_texts())
        assert len(told) == 39
        assert {name: what for name, what in told.items() if what.startswith("DONE")} == {}
        # What it showed holds nothing that loads, leads or runs, and what is left of it can be pressed.
        left = frame.evaluate("[...document.querySelectorAll('main *')].map((one) => one.localName)")
        assert {"li", "p", "svg", "rect", "button", "details"} <= set(left)
        assert not {"script", "img", "iframe", "a", "link", "meta", "form", "style", "image", "use", "template"} & set(
            left
        )
        named = frame.evaluate(
            "[...document.querySelectorAll('main *')].flatMap((one) => [...one.attributes].map((a) => a.name))"
        )
        assert not [
            one for one in named if one.startswith("on") or one in ("href", "src", "style", "formaction", "action")
        ]
        frame.locator("#press").click()
        window.page.wait_for_timeout(1_500)
        assert (window.page.url, [one.url for one in window.page.frames[1:]]) == (
            place,
            [f"{portal.origin}/viewer-frame"],
        )
        assert (popups, downloads, window.seen.dialogs) == ([], [], [])
        assert evil.visits == []
        assert trapped.knocks == []


BEHIND = (BUNDLES / "behind.js").read_text("utf-8")
"""What tries to get out of the frame's document, where only the policies are left."""


KNOCK = """async (trap) => {
  const urls = `turn:evil.test:${trap}?transport=tcp`;
  knocking = new RTCPeerConnection({ iceServers: [{ urls, username: "a", credential: "b" }] });
  knocking.createDataChannel("x");
  await knocking.setLocalDescription(await knocking.createOffer());
}"""
LEAVING = (BUNDLES / "leaving.js").read_text("utf-8").splitlines()[1:]
"""Ways to leave the frame, or to take somebody along."""


def test_behind_the_worker_stands_a_second_wall(chromium: Chromium, served: Served, evil: Site, tmp_path: Path) -> None:
    travelled(served, write(tmp_path / "honest"), tmp_path)
    portal = served.portal("clinician")
    with trap() as trapped, chromium.window(expects=REFUSED + "|Ignored call|allow-|Not allowed") as window:
        popups: list[str] = []
        window.context.on("page", lambda one: popups.append(one.url))
        frame = run(window, portal, served.people.patient.address, "Laboratory list")
        expect(frame.locator("#count")).to_contain_text("values")
        place = window.page.url
        told = frame.evaluate(BEHIND, [evil.url("", "evil.test"), trapped.port, portal.origin])
        assert {name: what for name, what in told.items() if what.startswith("DONE")} == {}
        window.page.wait_for_timeout(2_500)
        # A frame that tried to leave shows an error of the browser, so each attempt has a frame of its own.
        for way in LEAVING:
            window.page.reload()
            (frame,) = window.page.frames[1:]
            expect(frame.locator("#count")).to_contain_text("values")
            frame.evaluate(
                f"([evil, portal]) => {{ setTimeout(() => {{ {way} }}, 0) }}",
                [evil.url("", "evil.test"), portal.origin],
            )
            window.page.wait_for_timeout(600)
            assert window.page.url == place, way
            for one in window.page.frames[1:]:
                assert one.url in (f"{portal.origin}/viewer-frame", "chrome-error://chromewebdata/"), (way, one.url)
        assert window.page.url == place
        assert (popups, window.seen.dialogs) == ([], [])
        assert evil.visits == []
        assert trapped.knocks == []
        # What counts here would hear it: the same from a page that may do it.
        evil.pages["/"] = "<h1>Nothing to see</h1>"
        window.page.goto(evil.url("/", "evil.test"))
        window.page.evaluate(KNOCK, trapped.port)
        window.page.wait_for_timeout(1_500)
        assert trapped.knocks
        assert evil.visits


def test_the_frame_alone_is_nobody(chromium: Chromium, served: Served) -> None:
    portal = served.portal("clinician")
    with chromium.window(expects=REFUSED + "|403") as window:
        enter(window, portal)
        answer = window.page.goto(f"{portal.origin}/viewer-frame")
        assert answer is not None
        assert answer.status == 403
