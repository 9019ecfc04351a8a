"""`unlock` and `lock`: other commands of the profile need no passphrase meanwhile."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from panachain.agent import client
from panachain.cli.app import App
from panachain.crypto import keystore
from panachain.crypto.wraps import DataKey
from panachain.errors import LockedError
from panachain.model.actors import Role
from panachain.sdk.profiles import create_profile, load_profile, unlock, unlocked_by_agent
from panachain.sdk.unlocking import Unlocking
from tests.cli.twin import Outcome
from tests.keystores import make_cheap

Run = Callable[..., Outcome]
PASSPHRASE = "words of a test"


@pytest.fixture(autouse=True)
def home(environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A home with two profiles, whose passphrase a file holds."""
    make_cheap(monkeypatch, for_this_process_only=True)
    place = tmp_path / "home"
    for name, role in (("me", Role.PATIENT), ("clinic", Role.HOSPITAL)):
        create_profile(place, name, role, PASSPHRASE)
    # Without one `whoami` shows the card alone, and opens nothing.
    (place / "network.json").touch(mode=0o600)
    file = tmp_path / "pass"
    file.touch(mode=0o600)
    file.write_text(PASSPHRASE)
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", str(file))
    yield place
    for name in client.names(place):
        client.lock(place, name)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Note what opens the actors of commands, and let nothing else of them happen."""
    found: list[Any] = []

    @contextmanager
    def opened(_: object, profile: object, secret: object) -> Iterator[Any]:
        found.append(secret.hidden.reveal() if isinstance(secret, Unlocking) else secret)
        raise KeyboardInterrupt
        yield

    @contextmanager
    def network(_: App) -> Iterator[None]:
        yield

    monkeypatch.setattr("panachain.sdk.open_actor", opened)
    monkeypatch.setattr(App, "network", network)
    return found


def test_an_unlocked_profile_needs_no_passphrase_until_it_is_locked(
    run: Run, home: Path, given: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("--profile", "me", "unlock", "--for", "2m", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["schema"], told["profile"]) == ("panachain/unlocked/1", "me")
    assert PASSPHRASE not in done.out + done.err
    monkeypatch.delenv("PANACHAIN_PASSPHRASE_FILE")
    run("--profile", "me", "whoami")
    (key,) = given
    assert isinstance(key, DataKey)
    assert unlock(load_profile(home, "me"), key).reveal()
    # Another profile stays locked.
    assert run("--profile", "clinic", "whoami").code == 4
    assert run("--profile", "me", "lock").err.startswith("Locked: me.")
    assert run("--profile", "me", "whoami").code == 4
    assert run("--profile", "me", "lock").err.startswith("Nothing was unlocked.")
    assert len(given) == 1


@pytest.mark.parametrize("how", ["option", "setting", "descriptor"])
def test_whoever_wants_to_gives_the_passphrase_all_the_same(
    run: Run, given: list[Any], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    run("--profile", "me", "unlock")
    arguments = ["--profile", "me", "whoami"]
    if how == "option":
        arguments.append("--no-agent")
    elif how == "setting":
        monkeypatch.setenv("PANACHAIN_AGENT", "no")
    else:
        reader, writer = os.pipe()
        os.write(writer, PASSPHRASE.encode())
        os.close(writer)
        arguments += ["--passphrase-fd", str(reader)]
    run(*arguments)
    assert given == [PASSPHRASE]


def test_a_key_store_that_was_replaced_or_opened_to_others_is_not_opened_by_an_agent(
    run: Run, home: Path, given: list[Any]
) -> None:
    run("--profile", "me", "unlock")
    profile = load_profile(home, "me")
    assert unlocked_by_agent(home, profile) is not None
    path = profile.folder / "seed.json"
    path.chmod(0o644)
    assert unlocked_by_agent(home, profile) is None
    path.chmod(0o600)
    seed = keystore.open(path, PASSPHRASE)
    path.unlink()
    keystore.create(path, seed, PASSPHRASE)
    assert unlocked_by_agent(home, profile) is None
    run("--profile", "me", "whoami")
    assert given == [PASSPHRASE]


def test_another_profiles_key_opens_nothing(run: Run, home: Path) -> None:
    run("--profile", "clinic", "unlock")
    (home / "agent" / "clinic.sock").rename(home / "agent" / "me.sock")
    assert client.ask(home, "me") is not None
    assert unlocked_by_agent(home, load_profile(home, "me")) is None


def test_a_changed_passphrase_leaves_what_is_unlocked(run: Run, home: Path, tmp_path: Path) -> None:
    run("--profile", "me", "unlock")
    new = tmp_path / "new"
    new.touch(mode=0o600)
    new.write_text("other words")
    assert run("--profile", "me", "key", "passphrase", "--new-passphrase-file", str(new)).code == 0
    assert unlocked_by_agent(home, load_profile(home, "me")) is not None


def test_registering_asks_for_the_passphrase_which_may_be_the_registrars_too(run: Run, given: list[Any]) -> None:
    run("--profile", "me", "unlock")
    run("--profile", "me", "register")
    assert given == [PASSPHRASE]


def test_all_are_locked_at_once(run: Run, home: Path) -> None:
    for name in ("me", "clinic"):
        run("--profile", name, "unlock")
    assert "Locked: clinic, me." in run("lock", "--all").err
    assert client.ask(home, "me") is client.ask(home, "clinic") is None
    assert "Nothing was unlocked." in run("lock", "--all").err


def test_all_are_locked_though_one_is_damaged(run: Run, home: Path) -> None:
    for name in ("me", "clinic"):
        run("--profile", name, "unlock")
    (home / "profiles" / "clinic" / "profile.json").write_bytes(b"")
    assert "Locked: clinic, me." in run("lock", "--all").err
    assert client.ask(home, "me") is client.ask(home, "clinic") is None


def test_one_that_portals_cannot_be_told_of_stops_none_of_the_others(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, told = client.tell_locked, list[str]()

    def refuses(place: Path, name: str) -> None:
        if name == "clinic":
            raise LockedError("it can't be written")
        real(place, name)
        told.append(name)

    monkeypatch.setattr(client, "tell_locked", refuses)
    for name in ("me", "clinic"):
        run("--profile", name, "unlock")
    done = run("lock", "--all")
    assert (done.code, "Locked: clinic, me." in done.err, told) == (3, True, ["me"])
    assert "profile clinic: it can't be written" in done.err
    assert run("--profile", "clinic", "lock").code == LockedError.exit_code


@pytest.mark.parametrize("time", ["0", "13h", "1y"])
def test_a_time_that_is_none_or_too_long_unlocks_nothing(run: Run, home: Path, time: str) -> None:
    assert run("--profile", "me", "unlock", "--for", time).code == 2
    assert client.names(home) == []


def test_a_wrong_passphrase_unlocks_nothing(run: Run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("wrong")
    assert run("--profile", "me", "unlock").code == 4
    assert client.names(home) == []


def test_a_key_store_that_keeps_its_old_lock_stays_locked(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keystore, "unlock", lambda *_: (None, None))
    done = run("--profile", "me", "unlock")
    assert (done.code, "kept the lock of an earlier program" in done.err) == (4, True)
    assert client.names(home) == []


def test_a_setting_says_where_the_passphrase_comes_from(
    run: Run, home: Path, given: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PANACHAIN_PASSPHRASE_FILE")
    (home / "panachain.toml").write_text(f'passphrase_command = "cat {tmp_path / "pass"}"\n')
    run("--profile", "me", "whoami")
    assert given == [PASSPHRASE]
    shown = run("config", "show")
    assert "passphrase_command" in shown.out
    assert PASSPHRASE not in shown.out
