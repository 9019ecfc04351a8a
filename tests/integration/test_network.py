"""`deploy` and `network check` on Anvil: killed and gone on with, and each difference is a finding of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from panachain.chain import anvil
from panachain.chain.node import pending_count, transaction_count
from panachain.chain.plan import Governance, plan_mainchain, plan_sidechain
from panachain.chain.rpc import Rpc
from panachain.crypto.keys import Seed, address_of

pytestmark = pytest.mark.deep
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Deployed:
    """Two chains with a deployment that was killed once, and whoever is in charge."""

    home: Path
    main: Rpc
    side: Rpc
    who: Governance
    sent: dict[str, tuple[int, int]]
    """By chain: transactions of the deployer, and how many a deployment takes."""

    @property
    def file(self) -> Path:
        return self.home / "network.json"

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "panachain.cli", *map(str, arguments)]
        return subprocess.run(
            command, env=environment(self.home), capture_output=True, text=True, timeout=200, check=False
        )

    def check(self, change: Callable[[dict[str, Any]], None] = lambda _: None) -> tuple[int, dict[str, dict[str, Any]]]:
        """Return the exit code of a check of a changed file, and its bad findings by name."""
        network = json.loads(self.file.read_text())
        change(network)
        other = self.home / "other.json"
        other.write_text(json.dumps(network))
        done = self.run("network", "check", other, "--json")
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert found, done.stderr
        return done.returncode, {one["name"]: one for one in found if one["state"] == "bad"}


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PANACHAIN_")}
    return kept | {"PANACHAIN_HOME": str(home), "PYTHONPATH": str(ROOT), "COLUMNS": "100"}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("network")
    home, key_file = folder / "home", folder / "deployer.key"
    deployer, registrar, admin = (Seed.random().account_key() for _ in range(3))
    key_file.write_text(deployer.hex())
    key_file.chmod(0o600)
    main = anvil.start(folder / "main", chain_id=31_411, free=False)
    try:
        side = anvil.start(folder / "side", chain_id=31_412, free=True)
    except BaseException:
        anvil.stop(main.pid)
        raise
    try:
        rpcs = Rpc(main.url), Rpc(side.url)
        anvil.fund(rpcs[0], address_of(deployer))
        who = Governance(address_of(registrar), address_of(admin), (address_of(registrar), address_of(admin)), 2)
        arguments = [
            *("deploy", "--mainchain", main.url, "--sidechain", side.url, "--key-file", str(key_file), "--yes"),
            *("--registrar", who.registrar, "--admin", who.admin, "--validator", ",".join(who.validators)),
        ]
        command = [sys.executable, "-m", "panachain.cli", *arguments]
        first = subprocess.Popen(command, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(1_200):
            if pending_count(rpcs[0], address_of(deployer)) >= 3:
                break
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        first.wait(60)
        assert not (home / "network.json").exists(), "it was killed too late"
        done = subprocess.run(command, env=environment(home), capture_output=True, text=True, timeout=250, check=False)
        assert done.returncode == 0, done.stderr
        journal = json.loads((home / "network.deployment.json").read_text())["chains"]
        plans = {
            "mainchain": plan_mainchain(address_of(deployer), 0, who, sidechain_id=31_412),
            "sidechain": plan_sidechain(journal["sidechain"]["deployer"], 0, who),
        }
        sent = {
            name: (transaction_count(rpc, journal[name]["deployer"]), len(plans[name].steps))
            for name, rpc in zip(plans, rpcs, strict=True)
        }
        yield Deployed(home, *rpcs, who, sent)
    finally:
        anvil.stop(main.pid)
        anvil.stop(side.pid)


def test_killed_by_the_system_it_goes_on_and_pays_nothing_twice(deployed: Deployed) -> None:
    for name, (sent, needed) in deployed.sent.items():
        assert sent == needed, name
    assert not (deployed.home / "network.deployer.key").exists()


def test_a_new_network_is_what_its_file_says_but_for_what_nobody_runs_yet(deployed: Deployed) -> None:
    code, bad = deployed.check()
    # The sidechain's own node answers strangers, nobody pays for patients, and there is no proxy.
    assert (code, set(bad)) == (3, {"gate", "relays", "threshold"})


CONTRACTS = "mainchain", "PolicyRegistry"
STRANGER = "0x52908400098527886E0F7030069857D2E4169EE7"


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        (lambda n: n["mainchain"].update(chainId=1), "mainchain node", "its chain ID is 31411, the file says 1"),
        (lambda n: n["mainchain"].update(fromBlockHash="0x" + "77" * 32), "mainchain node", "the file says 0x7777"),
        (lambda n: n["sidechain"].update(url="http://127.0.0.1:1"), "sidechain node", "doesn't answer"),
        (lambda n: n["mainchain"]["contracts"].update(PolicyRegistry=STRANGER), "mainchain PolicyRegistry", "no code"),
        (
            lambda n: n["mainchain"]["contracts"].update(AccessLog=n["mainchain"]["contracts"]["RecordLedger"]),
            "mainchain AccessLog of the registry",
            "the registry's is",
        ),
        (lambda n: n["governance"].update(registrar=STRANGER), "mainchain registrar", "has the role"),
        (lambda n: n["governance"].update(delay=5), "sidechain administrator", "with a delay of"),
        (lambda n: n["governance"].update(quorum=1), "mainchain validators", "2 of 2 must sign"),
        (lambda n: n["governance"].pop("validators"), "mainchain validators", "can't be read"),
        (lambda n: n.update(relays=["http://127.0.0.1:1"]), "relay http://127.0.0.1:1", "doesn't answer"),
        (
            lambda n: n.update(sidechainRelays=["http://127.0.0.1:1"]),
            "sidechain relay http://127.0.0.1:1",
            "doesn't answer",
        ),
        (lambda n: n["sidechain"].update(paid=True), "sidechain relays", "nobody pays for what persons do there"),
        (lambda n: n.update(tokens={"key": "00"}), "issuer of tokens", "can't be read"),
        (lambda n: n.update(ipfs={"kind": "kubo", "api": "/ip4/127.0.0.1/tcp/1"}), "store", "127.0.0.1"),
    ],
)
def test_each_difference_is_a_finding_and_the_others_are_looked_at(
    deployed: Deployed, change: Callable[[dict[str, Any]], None], name: str, words: str
) -> None:
    code, bad = deployed.check(change)
    assert code == 3
    (found,) = [one for label, one in bad.items() if label.startswith(name) and words in one["detail"]] or [None]
    assert found is not None, bad
    # What is wrong elsewhere is told as well.
    assert {"threshold", "proxies"} & set(bad)


def test_other_code_at_an_address_is_told(deployed: Deployed) -> None:
    where = json.loads(deployed.file.read_text())["mainchain"]["contracts"]["Checkpoints"]
    before = deployed.main.call("eth_getCode", [where, "latest"])
    deployed.main.call("anvil_setCode", [where, before[:-2] + ("00" if before[-2:] != "00" else "01")])
    try:
        code, bad = deployed.check()
    finally:
        deployed.main.call("anvil_setCode", [where, before])
    assert code == 3
    assert "isn't the one that ships with this version" in bad["mainchain Checkpoints"]["detail"]


def test_what_is_no_network_file_is_told_alone(deployed: Deployed) -> None:
    other = deployed.home / "none.json"
    other.write_text("{}")
    assert deployed.run("network", "check", other).returncode == 2


def test_the_screen_fits_100_columns(deployed: Deployed) -> None:
    done = deployed.run("network", "check", deployed.file)
    assert done.returncode == 3
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert done.stderr.splitlines()[-1].endswith("findings, 3 bad.")
