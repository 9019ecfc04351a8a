"""`key rotate`, `key history`, `proxy rotate-keys`: what they say before anything changes, and what programs read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.chain.signing import Account
from panachain.cli.app import App
from panachain.crypto import keystore
from panachain.model.actors import Actor, Address, KeyChange, Role, Status
from panachain.sdk.results.keys import KeyBlockView, KeyRotationReport
from tests.cli.twin import Outcome, Twin
from tests.keystores import make_cheap
from tests.twin.world import seed_of

Run = Callable[..., Outcome]
PLANNED = KeyRotationReport("hos-abc", 2, b"\2" * 32, b"\1" * 32, 1_800_086_400, False, False, (("pairings", 3),))


class Keys:
    """Stands in for a session's `keys`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.views: list[KeyBlockView] = []

    def all(self) -> list[KeyBlockView]:
        return self.views

    def plan(self, **how: Any) -> KeyRotationReport:
        self.asked.append(("plan", how))
        compromised = how["compromised_since"] is not None
        return KeyRotationReport(**(vars(PLANNED) | {"compromised": compromised}))

    def rotate(self, **how: Any) -> KeyRotationReport:
        self.asked.append(("rotate", how))
        return KeyRotationReport(**(vars(self.plan(**how)) | {"tx": "0x" + "ab" * 32}))


@pytest.fixture
def keys(twin: Twin) -> Keys:
    twin.keys = Keys()  # type: ignore[attr-defined]
    return twin.keys  # type: ignore[attr-defined, no-any-return]


def test_a_dry_run_says_what_stays_readable_and_asks_for_nothing_else(run: Run, keys: Keys) -> None:
    done = run("key", "rotate", "--dry-run")
    assert done.code == 0
    assert "3 pairings of patients" in done.err
    assert "Nothing was changed" in done.err
    assert [what for what, _ in keys.asked] == ["plan"]
    shown = json.loads(run("key", "rotate", "--dry-run", "--json").out)
    assert (shown["schema"], shown["generation"], shown["tx"]) == ("panachain/key-rotation/1", 2, "")
    assert shown["stays_readable"] == {"pairings": 3}


def test_a_change_is_confirmed_first(run: Run, keys: Keys) -> None:
    refused = run("key", "rotate")
    assert (refused.code, keys.asked) == (2, [])
    done = run("key", "rotate", "--yes", "--overlap", "2h")
    assert done.code == 0
    assert ("rotate", {"compromised_since": None, "overlap": timedelta(hours=2)}) in keys.asked
    assert "has new keys" in done.err


def test_keys_that_others_may_know_are_told_apart(run: Run, keys: Keys) -> None:
    done = run("key", "rotate", "--dry-run", "--compromised-since", "2026-11-01")
    assert "won't count any more" in done.err
    assert "revoke and grant again" in done.err
    assert keys.asked[0][1]["compromised_since"] == 1_793_491_200


def test_the_list_names_what_is_not_the_seeds_and_what_the_store_lacks(run: Run, keys: Keys) -> None:
    assert "No keys are registered yet" in run("key", "history").err
    keys.views = [
        KeyBlockView(1, b"\2" * 32, "current", 1_800_000_000, 0, False, True),
        KeyBlockView(0, b"\1" * 32, "compromised", 0, 1_799_000_000, True, False),
    ]
    done = run("key", "history")
    assert "not of this profile's seed" in done.out
    assert "the store lacks its block" in done.out
    assert "tell the registrar" in done.err
    assert "panachain register" in done.err
    first, second = (json.loads(line) for line in run("key", "history", "--json").out.splitlines())
    assert (first["schema"], first["own"], second["stored"]) == ("panachain/key-generation/1", False, False)
    assert "02" * 32 not in done.out


def test_a_proxys_operator_changes_its_keys_by_its_account(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_cheap(monkeypatch, for_this_process_only=True)
    seed = seed_of("proxy-0")
    keystore.create(tmp_path / "seed.json", seed, "secret")
    (tmp_path / "pass").touch(mode=0o600)
    (tmp_path / "pass").write_text("secret\n")
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", str(tmp_path / "pass"))
    chain = {"url": "http://127.0.0.1:1", "chainId": 1, "contracts": {}}
    config = tmp_path / "proxy.json"
    described = {
        "host": "127.0.0.1",
        "port": 1,
        "keystore": "seed.json",
        "database": "proxy.sqlite",
        "confirmations": 0,
        "maxHeadAge": 60,
    }
    config.write_text(json.dumps({**described, "mainchain": chain, "sidechain": chain}))
    account = Account(seed.account_key())
    known = Actor(account.address, Role.PROXY, Status.ACTIVE, seed.public_keys().digest)
    asked: list[Address] = []

    def actor_of(address: Address) -> Actor:
        asked.append(address)
        return known

    head = SimpleNamespace(head=lambda: SimpleNamespace(time=1_800_000_000))
    network = SimpleNamespace(
        mainchain=SimpleNamespace(actors=SimpleNamespace(actor_of=actor_of), source=head), clock=lambda: 1_800_000_000
    )

    @contextmanager
    def opened(self: App) -> Iterator[Any]:
        yield network

    monkeypatch.setattr(App, "network", opened)

    done = run("proxy", "rotate-keys", "--config", str(config), "--dry-run", "--json")

    assert done.code == 0, done.err
    shown = json.loads(done.out)
    assert shown["key_digest"] == seed.of_generation(1).public_keys().digest.hex()
    assert asked == [account.address]
    assert known.changed(b"x" * 32, KeyChange(2, 1)).is_ended(known.key_digest)
