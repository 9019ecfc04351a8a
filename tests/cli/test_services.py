"""`init` of the services: commented files, private, never over those that are there; and `index follow`."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.chain.access import read_key
from panachain.cli.app import App
from panachain.crypto import keystore
from panachain.crypto.keys import address_of
from panachain.errors import ChainUnavailableError
from tests.cli.twin import Outcome
from tests.keystores import make_cheap
from tests.unit.service.test_prepare import NETWORK

Run = Callable[..., Outcome]
PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def home(environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "home"
    made.mkdir()
    (made / "network.json").write_text(json.dumps(NETWORK))
    (tmp_path / "pass").write_text(PASSPHRASE)
    (tmp_path / "pass").chmod(0o600)
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", str(tmp_path / "pass"))
    make_cheap(monkeypatch, for_this_process_only=True)
    return made


INITS = {
    "proxy": ("--endpoint", "https://proxy.example"),
    "relay": (),
    "gate": ("--url", "https://gate.example", "--node", "http://127.0.0.1:8545"),
    "index": (),
}


@pytest.mark.parametrize("name", INITS)
def test_init_writes_a_commented_configuration_and_a_unit(run: Run, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    done = run(name, "init", str(folder), *INITS[name])
    assert done.code == 0, done.err
    assert all(len(line) <= 100 for line in (done.out + done.err).splitlines() if str(tmp_path) not in line)
    config = folder / ("panachain.toml" if name == "index" else f"{name}.toml")
    text = config.read_text()
    assert tomllib.loads(text)
    assert sum(line.startswith("#") for line in text.splitlines()) > 4
    unit = (folder / f"panachain-{name}.service").read_text()
    assert "NoNewPrivileges=yes" in unit
    assert f"panachain-{name}.service" in done.err
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    shown = json.loads(run(name, "init", str(tmp_path / "other"), *INITS[name], "--json").out)
    assert shown["schema"] == "panachain/service/1"


def test_the_address_that_ether_goes_to_is_said_whole(run: Run, tmp_path: Path) -> None:
    done = run("relay", "init", str(tmp_path / "relay"))
    assert re.search(r"Send ether to 0x[0-9a-fA-F]{40} on the mainchain\.", done.err)


def test_a_relay_of_the_sidechain_has_a_unit_and_a_key_for_the_gate_of_its_own(run: Run, tmp_path: Path) -> None:
    done = run("relay", "init", str(tmp_path / "relay"), "--sidechain")
    assert done.code == 0, done.err
    assert re.search(r"Send ether to 0x[0-9a-fA-F]{40} on the sidechain\.", done.err)
    assert "`sidechainRelays`" in done.err
    config = tomllib.loads((tmp_path / "relay" / "relay.toml").read_text())
    assert ("mainchain" in config, config["sidechain"]["nodeKeyFile"]) == (False, "node.key")
    # Two relays on one machine: systemd knows a unit by its file's name.
    assert (tmp_path / "relay" / "panachain-sidechain-relay.service").exists()
    assert address_of(read_key(tmp_path / "relay" / "node.key")) in done.err


def test_a_key_for_a_gate_is_made_once_and_only_its_account_is_shown(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    shown = json.loads(run("gate", "key", str(path), "--json").out)
    assert (shown["account"], path.stat().st_mode & 0o777) == (address_of(read_key(path)), 0o600)
    again = run("gate", "key", str(path))
    assert shown["account"] in again.out
    assert read_key(path).hex() not in again.out + again.err
    path.write_text("no key")
    refused = run("gate", "key", str(path))
    assert (refused.code, "passphrase" in refused.err) == (4, False)
    assert path.read_text() == "no key"


@pytest.mark.parametrize("name", INITS)
def test_what_is_there_is_never_overwritten(run: Run, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    assert run(name, "init", str(folder), *INITS[name]).code == 0
    before = {path: path.read_bytes() for path in folder.iterdir()}
    again = run(name, "init", str(folder), *INITS[name])
    assert again.code == 2
    assert "exists; it was left as it is" in again.err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_proxys_card_is_that_of_its_keys_and_tells_no_secret(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "proxy"
    done = run("proxy", "init", str(folder), *INITS["proxy"])
    seed = keystore.open(folder / "seed.json", PASSPHRASE)
    card = json.loads((folder / "card.json").read_text())
    assert card["schema"] == "panachain/actor/2"
    assert (card["address"], card["role"]) == (address_of(seed.account_key()), "proxy")
    assert bytes.fromhex(card["key_block"]) == seed.public_keys().encode()
    assert bytes.fromhex(card["key_digest"]) == seed.public_keys().digest
    everything = (
        done.out
        + done.err
        + "".join(path.read_text() for path in folder.iterdir() if path.name not in ("seed.json", "node.key"))
    )
    assert PASSPHRASE not in everything
    assert read_key(folder / "node.key").hex() not in everything
    assert address_of(read_key(folder / "node.key")) in done.out
    # A key store that is there is kept: what it is registered with can't be made again.
    (folder / "proxy.toml").unlink()
    (folder / "panachain-proxy.service").unlink()
    assert run("proxy", "init", str(folder), *INITS["proxy"]).code == 0
    assert json.loads((folder / "card.json").read_text()) == card


@pytest.mark.parametrize("endpoint", ["http://proxy.example", "https://user@proxy.example", "ftp://proxy.example"])
def test_an_endpoint_that_nobody_would_ask_makes_nothing(run: Run, tmp_path: Path, endpoint: str) -> None:
    done = run("proxy", "init", str(tmp_path / "proxy"), "--endpoint", endpoint)
    assert done.code == 2
    assert not (tmp_path / "proxy").exists()


def test_without_a_network_nothing_is_made(run: Run, home: Path, tmp_path: Path) -> None:
    (home / "network.json").write_text("{}")
    assert run("relay", "init", str(tmp_path / "relay")).code == 2
    assert not (tmp_path / "relay").exists()


class TestFollow:
    @pytest.fixture
    def heads(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
        """What each chain answers, in turn; the last one stays."""
        answers: dict[str, list[Any]] = {
            name: [SimpleNamespace(number=7, time=1_700_000_000)] for name in ("mainchain", "sidechain")
        }

        def chain(name: str) -> Any:
            def head_block() -> Any:
                found = answers[name].pop(0) if len(answers[name]) > 1 else answers[name][0]
                if isinstance(found, Exception):
                    raise found
                return found

            return SimpleNamespace(head_block=head_block)

        @contextmanager
        def network(self: App) -> Iterator[Any]:
            yield SimpleNamespace(mainchain=chain("mainchain"), sidechain=chain("sidechain"))

        monkeypatch.setattr(App, "network", network)
        return answers

    def test_once_says_where_the_copies_are(self, run: Run, heads: dict[str, list[Any]]) -> None:
        done = run("index", "follow", "--once", "--json")
        told = [json.loads(line) for line in done.out.splitlines()]
        assert [(one["schema"], one["chain"], one["block"]) for one in told] == [
            ("panachain/head/1", "mainchain", 7),
            ("panachain/head/1", "sidechain", 7),
        ]

    def test_once_ends_with_a_failure(self, run: Run, heads: dict[str, list[Any]]) -> None:
        heads["sidechain"] = [ChainUnavailableError("no answer")]
        assert run("index", "follow", "--once").code == 7

    def test_a_failure_is_told_and_the_next_look_comes(
        self, run: Run, heads: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heads["mainchain"].insert(0, ChainUnavailableError("no answer"))
        waits: list[float] = []

        class Stopped:
            def wait(self, seconds: float) -> bool:
                waits.append(seconds)
                if len(waits) == 3:
                    os.kill(os.getpid(), signal.SIGTERM)
                return self.over

            over = False

            def set(self) -> None:
                self.over = True

        before = signal.getsignal(signal.SIGTERM)
        monkeypatch.setattr(threading, "Event", Stopped)
        try:
            done = run("index", "follow", "--every", "5")
        finally:
            signal.signal(signal.SIGTERM, before)
        assert (done.code, waits) == (0, [5, 5, 5])
        assert done.err.count("mainchain: no answer") == 1
