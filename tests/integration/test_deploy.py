"""`ape run deploy`'s script deploys to the nodes that the settings name, and never overwrites a network file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from panachain.chain import anvil
from panachain.chain.config import ChainConfig
from panachain.chain.deploy import DELAY, Deployment, Governance, deploy, estimate
from panachain.chain.governance import check_deployment
from panachain.chain.rpc import Rpc
from panachain.chain.web3 import MainchainWeb3, SidechainWeb3
from panachain.crypto.keys import Seed, address_of
from panachain.errors import IntegrityError

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "deploy.py"


def check_with_another_administrator(home: Path, main_url: str, side_url: str) -> str:
    """Return what the check says when it expects somebody else in charge."""
    network = json.loads((home / "network.json").read_text())
    parts = {name: ChainConfig.parse(network[name], home, what=name) for name in ("mainchain", "sidechain")}
    stranger = address_of(Seed.random().account_key())
    with pytest.raises(IntegrityError) as raised:
        check_deployment(
            MainchainWeb3(Rpc(main_url), parts["mainchain"].contracts),
            SidechainWeb3(Rpc(side_url), parts["sidechain"].contracts),
            Deployment(parts["mainchain"], parts["sidechain"]),
            Governance(registrar=stranger, admin=stranger, validators=(stranger,), quorum=1),
        )
    return str(raised.value)


def test_a_dry_run_says_what_it_takes(tmp_path: Path) -> None:
    keys = [Seed.random().account_key() for _ in range(2)]
    registrar, admin = (address_of(Seed.random().account_key()) for _ in range(2))
    who = Governance(registrar, admin, (registrar, admin), 2)
    main = anvil.start(tmp_path / "main", chain_id=31_403, free=False)
    side = anvil.start(tmp_path / "side", chain_id=31_404, free=False)
    try:
        nodes = [Rpc(main.url), Rpc(side.url)]
        for rpc, key in zip(nodes, keys, strict=True):
            anvil.fund(rpc, address_of(key))
        arguments = {"side_key": keys[1], "lock_folder": tmp_path / "nonces", "side_paid": True}
        costs = estimate(*nodes, keys[0], who, **arguments)
        deploy(*nodes, keys[0], who, **arguments)
        for rpc, cost in zip(nodes, costs, strict=True):
            used = []
            for number in range(int(rpc.call("eth_blockNumber"), 16) + 1):
                receipts = rpc.call("eth_getBlockReceipts", [hex(number)])
                used += [int(one["gasUsed"], 16) for one in receipts if one["from"] == cost.deployer.lower()]
            assert len(used) == cost.transactions
            # No less than it takes, and not so much more that somebody sends ether in vain.
            assert sum(used) <= cost.gas <= 1.2 * sum(used), (cost.chain, sum(used), cost.gas)
    finally:
        anvil.stop(main.pid)
        anvil.stop(side.pid)


@pytest.mark.deep
def test_deploys_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    deployer, side_deployer, registrar, admin = (Seed.random().account_key() for _ in range(4))
    key_file, side_key_file = tmp_path / "deployer.key", tmp_path / "sidechain.key"
    for path, key in ((key_file, deployer), (side_key_file, side_deployer)):
        path.write_text(key.hex())
        path.chmod(0o600)
    main = anvil.start(tmp_path / "main", chain_id=31_401, free=False)
    side = anvil.start(tmp_path / "side", chain_id=31_402, free=True)
    try:
        anvil.fund(Rpc(main.url), address_of(deployer))
        environment = os.environ | {
            "PANACHAIN_HOME": str(home),
            "PANACHAIN_DEPLOYER_KEY_FILE": str(key_file),
            "PANACHAIN_SIDECHAIN_DEPLOYER_KEY_FILE": str(side_key_file),
            "PANACHAIN_REGISTRAR": address_of(registrar),
            "PANACHAIN_ADMIN": address_of(admin),
            "PANACHAIN_VALIDATORS": f"{address_of(registrar)},{address_of(admin)}",
            "PANACHAIN_MAINCHAIN_RPC": main.url,
            "PANACHAIN_SIDECHAIN_RPC": side.url,
            "PYTHONPATH": str(SCRIPT.parents[1]),
        }
        runs = [
            subprocess.run(
                [sys.executable, str(SCRIPT)], env=environment, capture_output=True, text=True, timeout=60, check=False
            )
            for _ in range(2)
        ]
        shown = subprocess.run(
            [sys.executable, str(SCRIPT.with_name("who_governs.py"))],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        misled = check_with_another_administrator(home, main.url, side.url)
        sent = {
            name: int(Rpc(chain.url).call("eth_getTransactionCount", [address_of(key), "latest"]), 16)
            for name, chain, key in (("mainchain", main, deployer), ("sidechain", side, side_deployer))
        }
    finally:
        anvil.stop(main.pid)
        anvil.stop(side.pid)
    assert runs[0].returncode == 0, runs[0].stderr
    network = json.loads((home / "network.json").read_text())
    assert network["confirmations"] == 1
    places = {name: set(network[name]["contracts"].values()) for name in sent}
    assert places["mainchain"].isdisjoint(places["sidechain"])
    assert all(sent.values()), sent
    assert runs[1].returncode != 0
    assert "nothing was deployed" in runs[1].stderr
    delay = f"acts after {DELAY} s"
    suspending = [network["sidechain"]["contracts"][name] for name in ("EmergencyAccess", "Wardships")]
    # web3.py says so, and nobody else is in charge: the deployers have resigned.
    assert sorted(shown.stdout.splitlines()) == sorted(
        [
            *(f"{name}  administrator  {address_of(admin)}  {delay}" for name in sent),
            *(f"{name}  registrar      {address_of(registrar)}  acts after 0 s" for name in sent),
            *(f"sidechain  suspender      {one}  acts after 0 s" for one in (*suspending, address_of(registrar))),
        ]
    ), shown.stderr
    assert "the mainchain's roles are administrator" in misled
