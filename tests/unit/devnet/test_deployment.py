"""The devnet's network file: made once with its contracts, and afterwards only told where the chains answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.config import ChainConfig
from panachain.chain.deploy import Deployment, Governance
from panachain.devnet import deployment as subject
from panachain.devnet.deployment import NODE_KEY, REGISTRAR, write_network
from panachain.errors import ConfigurationError, LockedError
from panachain.model.actors import Role
from panachain.sdk.profiles import create_profile, load_profile
from tests.keystores import make_cheap

PASSPHRASE = "correct horse battery"
MAIN, SIDE = "http://127.0.0.1:1", "http://127.0.0.1:2"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the deployment and the faucet were asked for."""
    found: dict[str, Any] = {"funded": [], "deployed": []}

    def deploy(main: Any, side: Any, key: bytes, governance: Governance, **more: Any) -> Deployment:
        found["deployed"].append((key, governance, more["side_key"]))
        contracts = {"PolicyRegistry": "0x" + "11" * 20}
        return Deployment(ChainConfig.at(main.url, 5, contracts, 3), ChainConfig.at(side.url, 6, contracts, 4))

    monkeypatch.setattr(subject, "deploy", deploy)
    monkeypatch.setattr(subject.anvil, "fund", lambda _, account: found["funded"].append(account))
    make_cheap(monkeypatch, for_this_process_only=True)
    return found


def write(home: Path, main: str = MAIN, threshold: int = 2, ipfs: str = "auto") -> dict[str, Any]:
    return write_network(home, main, SIDE, threshold, ipfs, PASSPHRASE)


def prepare(home: Path) -> None:
    (home / "devnet").mkdir(mode=0o700, parents=True)


def test_the_first_time_everything_is_deployed_and_private(told: dict[str, Any], tmp_path: Path) -> None:
    prepare(tmp_path)
    network = write(tmp_path)
    assert json.loads((tmp_path / "network.json").read_text()) == network
    assert (network["schema"], network["threshold"], network["faucet"]) == ("panachain/network/1", 2, True)
    assert (network["mainchain"]["url"], network["mainchain"]["chainId"]) == (MAIN, 5)
    assert network["sidechain"]["nodeKeyFile"] == NODE_KEY
    # Not the node's own address: the gate's, which listens later.
    assert network["sidechain"]["url"] != SIDE
    assert network["sidechain"]["url"].startswith("http://127.0.0.1:")
    for name in ("network.json", "devnet/relay.key", "devnet/sidechain-relay.key"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_the_registrar_is_in_charge_and_no_deployer_is(told: dict[str, Any], tmp_path: Path) -> None:
    prepare(tmp_path)
    write(tmp_path)
    ((key, governance, side_key),) = told["deployed"]
    registrar = load_profile(tmp_path, REGISTRAR)
    assert registrar.role is Role.REGISTRAR
    assert (governance.registrar, governance.admin, governance.validators) == (
        registrar.address,
        registrar.address,
        (registrar.address,),
    )
    assert key != side_key
    # On both chains the registrar, a deployer and what pays for persons, who hold nothing anywhere.
    assert len(told["funded"]) == 6
    assert len(set(told["funded"])) == 5


def test_no_secret_stands_in_the_file(told: dict[str, Any], tmp_path: Path) -> None:
    prepare(tmp_path)
    write(tmp_path)
    text = (tmp_path / "network.json").read_text()
    ((key, _, side_key),) = told["deployed"]
    for secret in (key.hex(), side_key.hex(), (tmp_path / "devnet/relay.key").read_text(), PASSPHRASE):
        assert secret not in text


def test_a_second_start_keeps_what_was_deployed(told: dict[str, Any], tmp_path: Path) -> None:
    prepare(tmp_path)
    first = write(tmp_path)
    second = write(tmp_path, main="http://127.0.0.1:7", threshold=3)
    assert len(told["deployed"]) == 1
    assert second["mainchain"] == first["mainchain"] | {"url": "http://127.0.0.1:7"}
    assert (second["threshold"], second["sidechain"]["contracts"]) == (3, first["sidechain"]["contracts"])


@pytest.mark.parametrize(("asked", "kind"), [("auto", "kubo"), ("embedded", "embedded"), ("kubo", "kubo")])
def test_auto_keeps_the_store_that_was_chosen(told: dict[str, Any], tmp_path: Path, asked: str, kind: str) -> None:
    prepare(tmp_path)
    assert write(tmp_path)["ipfs"] == {"kind": "embedded"}
    write(tmp_path, ipfs="kubo")
    assert write(tmp_path, ipfs=asked)["ipfs"] == {"kind": kind}


def test_a_registrar_who_is_there_is_kept_and_their_passphrase_checked(told: dict[str, Any], tmp_path: Path) -> None:
    prepare(tmp_path)
    made = create_profile(tmp_path, REGISTRAR, Role.REGISTRAR, "another passphrase")
    with pytest.raises(LockedError):
        write(tmp_path)
    assert told["deployed"] == []
    assert not (tmp_path / "network.json").exists()
    assert load_profile(tmp_path, REGISTRAR) == made


def test_a_damaged_file_is_never_overwritten(told: dict[str, Any], tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "network.json").write_text("{")
    with pytest.raises(ConfigurationError):
        write(tmp_path)
    assert (tmp_path / "network.json").read_text() == "{"
