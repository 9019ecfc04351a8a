"""`panachain key`: what a key store is locked with, and another passphrase for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from panachain import security_keys
from panachain.agent import client
from panachain.crypto import keystore
from panachain.errors import LockedError
from panachain.model.actors import Role
from panachain.sdk.profiles import create_profile
from tests.cli.twin import Outcome
from tests.ctap import SoftKey
from tests.golden.formats import FOLDER as GOLDEN
from tests.keystores import make_cheap
from tests.unit.test_passphrase import Memory

Run = Callable[..., Outcome]
OLD = json.loads((GOLDEN / "key-store-1.json").read_text())


@pytest.fixture(autouse=True)
def home(environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home with one profile, whose passphrase a file holds."""
    make_cheap(monkeypatch, for_this_process_only=True)
    place = tmp_path / "home"
    create_profile(place, "me", Role.PATIENT, "the old one")
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", str(secret(tmp_path / "pass", "the old one")))
    return place


def secret(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(f"{text}\n")
    return path


def old_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a service's key store that an earlier program wrote."""
    folder = tmp_path / "proxy"
    folder.mkdir(mode=0o700)
    path = folder / "seed.json"
    path.touch(mode=0o600)
    path.write_bytes(bytes.fromhex(OLD["bytes"]["keystore"]))
    monkeypatch.setenv(
        "PANACHAIN_PASSPHRASE_FILE", str(secret(tmp_path / "service-pass", "correct horse battery staple"))
    )
    return path


def test_status_asks_for_nothing_and_shows_the_lock(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PANACHAIN_PASSPHRASE_FILE")
    done = run("key", "status")
    assert done.code == 0
    assert "Argon2id" in done.out
    told = json.loads(run("key", "status", "--json").out)
    assert told["schema"] == "panachain/key-lock/1"
    assert (told["format"], told["kind"], told["current"]) == ("panachain/key-store/2", "passphrase", True)
    assert told["file"] == str(home / "profiles" / "me" / "seed.json")


@pytest.mark.parametrize("source", ["file", "descriptor"])
def test_another_passphrase_opens_it_from_now_on(run: Run, home: Path, tmp_path: Path, source: str) -> None:
    new = secret(tmp_path / "new", "the new one")
    descriptor = os.open(new, os.O_RDONLY)
    options = ["--new-passphrase-file", str(new)] if source == "file" else ["--new-passphrase-fd", str(descriptor)]
    done = run("key", "passphrase", *options)
    os.close(descriptor)
    assert done.code == 0, done.err
    assert "the new one" not in done.out + done.err
    path = home / "profiles" / "me" / "seed.json"
    assert keystore.open(path, "the new one")
    with pytest.raises(LockedError):
        keystore.open(path, "the old one")


def test_the_new_passphrase_never_comes_from_where_the_old_one_does(run: Run, home: Path) -> None:
    before = (home / "profiles" / "me" / "seed.json").read_bytes()
    done = run("key", "passphrase")
    assert done.code == 4
    assert "the new passphrase of profile me is needed" in done.err
    done = run("key", "passphrase", "--new-passphrase-fd", "3", "--new-passphrase-file", "x")
    assert (done.code, "two sources" in done.err) == (2, True)
    assert (home / "profiles" / "me" / "seed.json").read_bytes() == before


def test_a_wrong_old_passphrase_changes_nothing(run: Run, home: Path, tmp_path: Path) -> None:
    before = (home / "profiles" / "me" / "seed.json").read_bytes()
    secret(tmp_path / "pass", "wrong")
    done = run("key", "passphrase", "--new-passphrase-file", str(secret(tmp_path / "new", "the new one")))
    assert (done.code, "wrong passphrase" in done.err) == (4, True)
    assert (home / "profiles" / "me" / "seed.json").read_bytes() == before


def test_a_services_old_lock_is_told_and_upgraded_on_request(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = old_service(tmp_path, monkeypatch)
    done = run("key", "status", "--file", str(path))
    assert "scrypt" in done.out
    assert f"panachain key upgrade --file {path}" in done.err.replace("\n", "")
    assert run("key", "upgrade", "--file", str(path)).code == 0
    assert "Argon2id" in run("key", "status", "--file", str(path)).out
    assert keystore.open(path, "correct horse battery staple").reveal().hex() == OLD["seeds"]["patient"]
    monkeypatch.delenv("PANACHAIN_PASSPHRASE_FILE")
    # Nothing is left to be done, so nothing is asked.
    assert run("key", "upgrade", "--file", str(path)).code == 0


def test_what_is_no_key_store_is_told_before_anything_is_asked(run: Run, tmp_path: Path) -> None:
    for name in ("status", "upgrade", "passphrase"):
        done = run("key", name, "--file", str(tmp_path / "nothing.json"))
        assert (done.code, "key store" in done.err or "permissions" in done.err) == (4, True)


def test_the_keychain_remembers_what_opens_the_profile_and_forgets_it(
    run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Memory()
    monkeypatch.setattr("keyring.get_keyring", lambda: chain)
    secret(tmp_path / "pass", "wrong")
    assert run("key", "remember").code == 4
    assert chain.held == {}
    secret(tmp_path / "pass", "the old one")
    done = run("key", "remember")
    assert (done.code, list(chain.held.values())) == (0, ["the old one"])
    assert "the old one" not in done.out + done.err
    monkeypatch.delenv("PANACHAIN_PASSPHRASE_FILE")
    assert run("unlock").code == 4
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_KEYCHAIN", "yes")
    assert run("unlock").code == 0
    assert run("lock").code == 0
    assert (run("key", "forget").code, chain.held) == (0, {})
    assert run("unlock").code == 4


PIN = "471147"


class Typist:
    """Whoever sits at the terminal: a key on USB, and what is typed at each prompt."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, key: SoftKey, *typed: str) -> None:
        self.asked: list[str] = []
        self.typed = list(typed)
        self.keys = [key]
        monkeypatch.setattr(security_keys, "usb_devices", lambda: self.keys)
        monkeypatch.setattr("sys.stdin.isatty", lambda: True)
        monkeypatch.setattr("click.prompt", self._prompt)

    def _prompt(self, text: str, **options: object) -> str:
        assert options["hide_input"] is True
        assert options["err"] is True
        self.asked.append(text)
        return self.typed.pop(0)


@pytest.fixture
def typist(monkeypatch: pytest.MonkeyPatch) -> Typist:
    monkeypatch.delenv("PANACHAIN_PASSPHRASE_FILE")
    return Typist(monkeypatch, SoftKey(PIN))


def added(run: Run, typist: Typist, *options: str) -> Outcome:
    typist.typed = ["the old one", PIN]
    return run("--profile", "me", "key", "add", "security-key", *options)


def test_a_security_key_opens_the_profile_and_its_pin_is_never_an_argument(
    run: Run, home: Path, typist: Typist
) -> None:
    done = added(run, typist, "--label", "blue key")
    assert done.code == 0, done.err
    assert "'blue key' opens profile me now, and was read back" in done.err
    assert done.err.count("Touch") == 2
    assert typist.asked == ["Passphrase of profile me", "PIN of the security key"]
    for secret in (PIN, "the old one"):
        assert secret not in done.out + done.err
    told = [json.loads(line) for line in run("--profile", "me", "key", "list", "--json").out.splitlines()]
    assert [(one["number"], one["kind"], one["label"]) for one in told] == [
        (1, "passphrase", ""),
        (2, "security-key", "blue key"),
    ]
    shown = run("--profile", "me", "key", "list").out
    assert "blue key" in shown
    assert "PIN or fingerprint" in shown
    # An agent is started with it, and no passphrase is asked for.
    typist.asked, typist.typed = [], [PIN]
    try:
        done = run("--profile", "me", "unlock", "--for", "1m")
        assert done.code == 0, done.err
        assert typist.asked == ["PIN of the security key"]
        assert "Touch your security key now" in done.err
        assert client.ask(home, "me") is not None
        # What the agent holds adds no lock: it is opened anew.
        typist.asked, typist.typed = [], [""]
        done = run("--profile", "me", "key", "add", "passphrase")
        assert (done.code, typist.asked) == (4, ["PIN of the security key"])
    finally:
        client.lock(home, "me")


def test_a_key_that_isnt_there_leaves_the_passphrase(run: Run, typist: Typist) -> None:
    assert added(run, typist).code == 0
    typist.keys, typist.asked, typist.typed = [], [], ["wrong"]
    assert run("--profile", "me", "unlock").code == 4
    assert typist.asked == ["Passphrase of profile me"]
    typist.keys, typist.asked, typist.typed = [SoftKey(PIN)], [], ["wrong"]
    assert run("--profile", "me", "unlock").code == 4
    assert typist.asked == ["Passphrase of profile me"]


def test_a_blocked_or_forgotten_pin_leaves_the_passphrase_and_says_why(run: Run, typist: Typist) -> None:
    assert added(run, typist).code == 0
    typist.keys[0].tries = 0
    typist.asked, typist.typed = [], ["wrong"]
    done = run("--profile", "me", "unlock")
    assert (done.code, typist.asked) == (4, ["Passphrase of profile me"])
    assert "too many wrong PINs" in done.err
    typist.keys[0].tries = 8
    typist.asked, typist.typed = [], ["0000", "", "wrong"]
    done = run("--profile", "me", "unlock")
    assert (done.code, typist.asked[:2]) == (4, ["PIN of the security key", "PIN of the security key"])
    assert "no PIN was given" in done.err


def test_the_setting_leaves_the_key_alone(run: Run, typist: Typist, monkeypatch: pytest.MonkeyPatch) -> None:
    assert added(run, typist).code == 0
    monkeypatch.setenv("PANACHAIN_SECURITY_KEY", "no")
    typist.keys[0].asked, typist.asked, typist.typed = [], [], ["wrong"]
    assert run("--profile", "me", "unlock").code == 4
    assert (typist.asked, typist.keys[0].asked) == (["Passphrase of profile me"], [])


def test_what_goes_is_never_what_opened_it(run: Run, home: Path, typist: Typist) -> None:
    assert added(run, typist, "--label", "blue").code == 0
    path = home / "profiles" / "me" / "seed.json"
    # The passphrase goes: the key opens, and stays.
    typist.asked, typist.typed = [], [PIN]
    done = run("--profile", "me", "key", "remove", "passphrase", "--yes")
    assert done.code == 0, done.err
    assert typist.asked == ["PIN of the security key"]
    assert "needs recovery shares" in done.err
    with pytest.raises(LockedError):
        keystore.open(path, "the old one")
    done = run("--profile", "me", "key", "remove", "blue", "--yes")
    assert (done.code, "only one that opens the profile" in done.err) == (2, True)
    assert "It is the only one" in run("--profile", "me", "key", "list").err
    # A passphrase comes back by the key, and the key goes by the passphrase.
    typist.asked, typist.typed = [], [PIN, "new words"]
    assert run("--profile", "me", "key", "add", "passphrase").code == 0
    typist.asked, typist.typed = [], ["new words"]
    assert run("--profile", "me", "key", "remove", "blue", "--yes").code == 0
    assert typist.asked == ["Passphrase of profile me"]
    assert keystore.open(path, "new words")
    assert keystore.credentials(path) == []


def test_nothing_is_removed_without_a_word_or_a_lock(run: Run, home: Path, typist: Typist) -> None:
    assert added(run, typist, "--label", "blue").code == 0
    before = (home / "profiles" / "me" / "seed.json").read_bytes()
    assert "0 locks of profile 'me' are called 'green'" in run("--profile", "me", "key", "remove", "green").err
    typist.typed = ["wrong"]
    assert run("--profile", "me", "key", "remove", "blue", "--yes").code == 4
    assert (home / "profiles" / "me" / "seed.json").read_bytes() == before


def test_a_touch_alone_is_said_to_be_one(run: Run, typist: Typist) -> None:
    typist.keys = [SoftKey()]
    done = added(run, typist, "--touch-only")
    assert done.code == 0, done.err
    assert "whoever has this key and this machine opens the profile" in done.err
    assert "touch alone" in run("--profile", "me", "key", "list").out
    typist.keys = [SoftKey()]
    typist.typed = ["the old one"]
    done = run("--profile", "me", "key", "add", "security-key")
    assert (done.code, "neither a PIN nor a fingerprint" in done.err) == (4, True)
