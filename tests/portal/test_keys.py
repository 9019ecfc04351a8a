"""What opens a profile in the portal: a passkey beside the passphrase, and an agent, which ends with the lock."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from panachain.agent import client as agents
from panachain.cli.main import main
from panachain.model.actors import Role
from panachain.model.credentials import PASSKEY, Answer, Credential
from panachain.portal.guesses import OF_A_PROFILE
from panachain.portal.security import Origin
from panachain.portal.site import kept_name
from panachain.sdk.locks import Locks
from panachain.sdk.profiles import data_key, load_profile
from tests.portal.conftest import ORIGIN, PASSPHRASE, Client, Portal, forms_of, make_portal, text_of
from tests.portal.keyed import lock_up
from tests.twin.world import World

HOST = ORIGIN.host.partition(":")[0]
ID, ANSWER = b"\x07" * 32, b"\x09" * 32


@pytest.fixture(autouse=True)
def _locked(world: World) -> Iterator[None]:
    """No passkey of another test, and no agent that outlives one."""
    lock_up(world, PASSPHRASE)
    yield
    for name in agents.names(world.home):
        agents.lock(world.home, name)


def bound(world: World, name: str = "patient", host: str = HOST, secret: bytes = ANSWER) -> Credential:
    """Give somebody a passkey, as a page would."""
    locks = Locks(load_profile(world.home, name))
    credential = Credential(PASSKEY, ID, b"\x08" * 32, True, host, "laptop")
    answer = Answer(PASSKEY, ID, secret)
    locks.add_passkey(locks.open(PASSPHRASE), credential, answer, answer)
    return credential


def unlock(browser: Client, status: int = 303, **fields: Any) -> Any:
    csrf = dict(forms_of(browser.get("/unlock").text)[-1][1])["csrf"]
    answer = browser.post(
        "/unlock",
        data={"csrf": csrf, "profile": "patient"} | fields,
        headers={"origin": str(ORIGIN)},
        follow_redirects=False,
    )
    assert answer.status_code == status, text_of(answer.text)
    return answer


def by_passkey(browser: Client, status: int = 303, **fields: Any) -> Any:
    return unlock(browser, status, **{"credential": ID.hex(), "answer": ANSWER.hex()} | fields)


def agree(client: Client, label: str = "laptop") -> None:
    page = client.agree(client.submit("/keys/passkey", label=label))
    assert page.url.path == "/keys/passkey"


def add(client: Client, status: int = 200, **fields: Any) -> Any:
    given = {"passphrase": PASSPHRASE, "credential": ID.hex(), "first": ANSWER.hex(), "second": ANSWER.hex()}
    return client.submit("/keys/passkey/add", status, **given | fields)


class TestPasskey:
    def test_it_opens_the_profile_once_that_was_agreed_to(self, portal: Portal, world: World) -> None:
        client = portal.client_of(Role.PATIENT)
        agree(client)
        page = client.get("/keys/passkey").text
        assert f'data-host="{HOST}"' in page
        assert "laptop" in text_of(add(client).text)
        (credential,) = Locks(load_profile(world.home, "patient")).credentials(PASSKEY)
        assert (credential.host, credential.label, credential.verified) == (HOST, "laptop", True)
        # The salt that the browser was shown is the one over which it is asked, and the file's key never left it.
        assert credential.salt.hex() in page
        file_key = json.loads((world.home / "profiles" / "patient" / "seed.json").read_text())["wraps"][1]["file-key"]
        browser = portal.entered()
        shown = browser.get("/unlock").text
        assert f"{ID.hex()}:{credential.salt.hex()}" in shown
        assert file_key not in page + shown
        by_passkey(browser)
        browser.page("/me")
        # The passphrase opens it as before.
        portal.client_of(Role.PATIENT).page("/me")

    def test_whoever_adds_one_types_the_passphrase_anew(self, portal: Portal, world: World) -> None:
        client = portal.client_of(Role.PATIENT)
        agree(client)
        answer = add(client, 403, passphrase="not this one")
        assert "The passphrase isn't right" in text_of(answer.text)
        for secret in ("not this one", ANSWER.hex()):
            assert secret not in answer.text
        assert "the same twice" in text_of(add(client, 403, second="00" * 32).text)
        assert Locks(load_profile(world.home, "patient")).credentials(PASSKEY) == []

    def test_nobody_adds_one_without_having_agreed(self, portal: Portal, world: World) -> None:
        client = portal.client_of(Role.PATIENT)
        client.submit("/keys/passkey", label="laptop")
        add(client, 409)
        agree(client)
        add(client)
        add(client, 409)
        assert client.get("/keys/passkey").url.path == "/keys"
        assert len(Locks(load_profile(world.home, "patient")).credentials(PASSKEY)) == 1

    @pytest.mark.parametrize(
        "change",
        [
            {"credential": ""},
            {"credential": "00" * 513},
            {"credential": "0G"},
            {"first": "00" * 31},
            {"first": "00" * 33, "second": "00" * 33},
            {"second": ANSWER.hex().upper().replace("0", "O")},
        ],
        ids=str,
    )
    def test_what_is_no_answer_is_refused(self, portal: Portal, change: dict[str, str]) -> None:
        client = portal.client_of(Role.PATIENT)
        agree(client)
        add(client, 400, **change)

    def test_no_other_answer_opens_anything(self, portal: Portal, world: World) -> None:
        bound(world)
        browser = portal.entered()
        for fields in (
            {"answer": "00" * 32},
            {"credential": "00" * 32},
            {"profile": "hospital"},
            {"profile": "nobody"},
        ):
            answer = by_passkey(browser, 403, **fields)
            assert "doesn't open the profile" in text_of(answer.text) or "isn't right" in text_of(answer.text)
        by_passkey(browser, 400, answer="00")
        assert browser.get("/me", follow_redirects=False).status_code == 303

    def test_one_that_is_bound_to_another_name_is_neither_shown_nor_taken(self, portal: Portal, world: World) -> None:
        bound(world, host="0123456789abcdef.localhost")
        browser = portal.entered()
        assert ID.hex() not in browser.get("/unlock").text
        by_passkey(browser, 403)

    def test_answers_are_guessed_no_oftener_than_passphrases(self, world: World) -> None:
        portal = make_portal(world)
        bound(world)
        browser = portal.entered()
        answers = [by_passkey_status(browser, f"{number:064x}") for number in range(OF_A_PROFILE + 1)]
        assert answers == [403] * OF_A_PROFILE + [429]
        # The right one comes too late as well.
        assert by_passkey_status(browser, ANSWER.hex()) == 429
        portal.desk.close()

    def test_staff_and_a_numeric_address_have_none(self, world: World) -> None:
        bound(world)
        for options in ({"way": False}, {"origin": Origin.of("127.0.0.1", 8787)}):
            portal = make_portal(world, **options)
            assert portal.site.host == ""
            assert portal.site.passkeys(load_profile(world.home, "patient")) == []
            portal.desk.close()

    def test_it_is_refused_where_the_portal_has_no_name_of_its_own(self, world: World) -> None:
        portal = make_portal(world, way=False)
        portal.app.state.guesses.take = lambda *_: 0
        browser = portal.browser()
        browser.get("/")
        unlock(browser, passphrase=PASSPHRASE)
        assert "Passkeys need a portal of one's own" in text_of(browser.page("/keys"))
        browser.submit("/keys/passkey", 404, label="x")
        browser.submit("/keys/passkey/add", 404)
        portal.desk.close()

    def test_the_name_stays_while_a_passkey_is_bound_to_it(self, world: World) -> None:
        profile = load_profile(world.home, "patient")
        drawn = {kept_name([profile]) for _ in range(3)}
        assert len(drawn) == 3
        bound(world, host="0123456789abcdef.localhost")
        assert {kept_name([profile]) for _ in range(3)} == {"0123456789abcdef.localhost"}
        # A file that somebody wrote leads to no name of another kind.
        lock_up(world, PASSPHRASE)
        bound(world, host="evil.example")
        assert kept_name([profile]).endswith(".localhost")
        (profile.folder / "seed.json").chmod(0o644)
        assert kept_name([profile]).endswith(".localhost")

    def test_no_secret_of_it_is_in_a_log(self, portal: Portal, world: World, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            bound(world)
            browser = portal.entered()
            by_passkey(browser, 403, answer="0a" * 32)
            by_passkey(browser)
        for secret in (ANSWER.hex(), "0a" * 32, PASSPHRASE):
            assert secret not in caplog.text


def by_passkey_status(browser: Client, answer: str) -> int:
    csrf = dict(forms_of(browser.get("/unlock").text)[-1][1])["csrf"]
    fields = {"csrf": csrf, "profile": "patient", "credential": ID.hex(), "answer": answer}
    return int(browser.post("/unlock", data=fields, headers={"origin": str(ORIGIN)}).status_code)


def kept(world: World, name: str = "patient", seconds: int = 120) -> None:
    """Keep a profile unlocked, as `panachain unlock` does."""
    profile = load_profile(world.home, name)
    agents.start(world.home, name, data_key(profile, PASSPHRASE).reveal(), seconds)


class TestAgent:
    def test_what_a_command_unlocked_needs_no_passphrase_and_the_lock_ends_both(
        self, portal: Portal, world: World
    ) -> None:
        browser = portal.entered()
        unlock(browser, 403, agent="1")
        kept(world)
        assert "patient is kept unlocked until" in text_of(browser.get("/unlock").text)
        assert "Open hospital" not in browser.get("/unlock").text
        unlock(browser, 403, agent="1", profile="hospital")
        unlock(browser, agent="1")
        for path in ("/keys", "/settings"):
            assert "an agent" in text_of(browser.page(path)).lower()
        browser.submit("/lock")
        assert agents.status(world.home, "patient") is None
        unlock(browser, 403, agent="1")

    def test_locking_at_the_terminal_locks_the_portal(self, portal: Portal, world: World) -> None:
        kept(world)
        browser, other, typed = portal.entered(), portal.client_of(Role.HOSPITAL), portal.client_of(Role.PATIENT)
        unlock(browser, agent="1")
        browser.page("/me")
        assert main(["--home", str(world.home), "--profile", "patient", "lock"]) == 0
        for one in (browser, typed):
            assert one.get("/me", follow_redirects=False).status_code == 303
        other.page("/me")
        # Whoever unlocks it after that sits as long as ever.
        again = portal.client_of(Role.PATIENT)
        again.page("/me")
        assert main(["--home", str(world.home), "lock", "--all"]) == 0
        assert again.get("/me", follow_redirects=False).status_code == 303

    def test_its_end_is_the_end_of_what_it_opened(self, portal: Portal, world: World) -> None:
        kept(world)
        browser, typed = portal.entered(), portal.client_of(Role.PATIENT)
        unlock(browser, agent="1")
        seats = [one.seat for one in portal.desk._sessions.values() if one.seat is not None]
        agents.lock(world.home, "patient")
        # Also without a request.
        portal.desk.sweep()
        assert sorted(seat.closed for seat in seats) == [False, True]
        assert browser.get("/me", follow_redirects=False).status_code == 303
        # A passphrase that was typed here needed no agent.
        typed.page("/me")

    def test_the_page_keeps_it_unlocked_for_a_time_that_is_chosen(self, portal: Portal, world: World) -> None:
        browser = portal.entered()
        assert "for 15 minutes" in text_of(browser.get("/unlock").text)
        unlock(browser, passphrase=PASSPHRASE, keep="900")
        state = agents.status(world.home, "patient")
        assert state is not None
        assert 0 < state.seconds <= 900
        # Nobody used it: the portal locks, and the agent keeps what was chosen.
        portal.clock.now += portal.site.idle + 1
        assert browser.get("/me", follow_redirects=False).status_code == 303
        unlock(browser, agent="1")
        browser.page("/me")

    def test_a_passkey_can_keep_it_unlocked_too(self, portal: Portal, world: World) -> None:
        bound(world)
        browser = portal.entered()
        by_passkey(browser, keep="900")
        assert agents.status(world.home, "patient") is not None

    @pytest.mark.parametrize("keep", ["1", "-900", "43201", "900.0", "٩٠٠", "9" * 40])
    def test_another_time_is_refused(self, portal: Portal, world: World, keep: str) -> None:
        unlock(portal.entered(), 400, passphrase=PASSPHRASE, keep=keep)
        assert agents.names(world.home) == []

    def test_a_wrong_passphrase_starts_no_agent(self, portal: Portal, world: World) -> None:
        unlock(portal.entered(), 403, passphrase="not this one", keep="900")
        assert agents.names(world.home) == []

    def test_none_counts_where_many_come_by_or_the_settings_say_no(self, world: World) -> None:
        kept(world)
        for options in ({"way": False}, {"agent": False}):
            portal = make_portal(world, **options)
            portal.app.state.guesses.take = lambda *_: 0
            browser = portal.entered() if portal.site.way else portal.browser()
            browser.get("/")
            page = text_of(browser.get("/unlock").text)
            assert "kept unlocked" not in page
            assert "for 15 minutes" not in page
            unlock(browser, 403, agent="1")
            unlock(browser, 400, passphrase=PASSPHRASE, keep="900")
            unlock(browser, passphrase=PASSPHRASE)
            browser.submit("/lock")
            # Staff lock what is theirs, and nobody's agent.
            assert agents.status(world.home, "patient") is not None
            portal.desk.close()
