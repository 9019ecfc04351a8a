"""`panachain key`: what a key store is locked with, and another passphrase for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from panachain.crypto import keystore
from panachain.errors import LockedError
from panachain.model.actors import Role
from panachain.sdk.profiles import create_profile
from tests.cli.twin import Outcome
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
