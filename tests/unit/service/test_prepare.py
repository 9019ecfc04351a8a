"""What `init` writes can be read by the services, holds no secret, and makes units that systemd takes."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.errors import ConfigurationError
from panachain.service.gate.run import GateConfig
from panachain.service.prepare import gate_config, index_config, proxy_config, relay_config, toml, unit
from panachain.service.proxy.config import read_config
from panachain.service.relay.run import RelayConfig

ADDRESS = "0x52908400098527886E0F7030069857D2E4169EE7"
NETWORK: dict[str, Any] = {
    "schema": "panachain/network/1",
    "mainchain": {
        "url": ["https://one.example", {"url": "https://two.example", "headerFile": "secret/header"}],
        "chainId": 5,
        "contracts": {"PolicyRegistry": ADDRESS, "ActorRegistry": ADDRESS},
        "fromBlock": 7,
        "fromBlockHash": "0x" + "11" * 32,
        "quorum": 2,
        "maxHeadAge": 600,
    },
    "sidechain": {"url": "https://gate.example", "chainId": 6, "contracts": {}, "nodeKeyFile": "node.key"},
    "threshold": 2,
    "confirmations": 3,
}


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("database", ["proxy.sqlite", "postgresql+psycopg://panachain@127.0.0.1/proxy"])
@pytest.mark.parametrize("gated", [True, False])
def test_a_proxy_reads_its_own(tmp_path: Path, database: str, gated: bool) -> None:
    (tmp_path / "database.password").write_text("secret\n")
    (tmp_path / "database.password").chmod(0o600)
    text = proxy_config(NETWORK, Path("/etc/network"), host="127.0.0.1", port=8750, database=database, gated=gated)
    config = read_config(write(tmp_path, "proxy.toml", text))
    assert (config.host, config.port, config.confirmations, config.max_head_age) == ("127.0.0.1", 8750, 3, 600)
    assert config.keystore == tmp_path / "seed.json"
    first, second = config.mainchain.nodes
    assert (first.url, second.url) == ("https://one.example", "https://two.example")
    # Beside the network file, wherever the configuration is.
    assert second.header_file == Path("/etc/network/secret/header")
    assert (config.mainchain.quorum, config.mainchain.from_block) == (2, 7)
    assert config.mainchain.contracts == NETWORK["mainchain"]["contracts"]
    # The proxy's own key, where the network's readers have another.
    assert config.sidechain.nodes[0].node_key_file == (tmp_path if gated else Path("/etc/network")) / "node.key"


def test_a_relay_reads_its_own(tmp_path: Path) -> None:
    text = relay_config(NETWORK, Path("/etc/network"), host="::1", port=8760, database="relay.sqlite")
    config = RelayConfig.read(write(tmp_path, "relay.toml", text))
    assert (config.host, config.port, config.keystore, config.key_file) == ("::1", 8760, None, tmp_path / "relay.key")
    gas, reserve = astuple(config.budget)
    assert 0 < reserve < gas


def test_a_relay_of_the_sidechain_reads_its_own_and_has_one_chain(tmp_path: Path) -> None:
    text = relay_config(
        NETWORK, tmp_path, host="::1", port=8761, database="relay.sqlite", chain="sidechain", gated=True
    )
    config = RelayConfig.read(write(tmp_path, "relay.toml", text))
    assert "[mainchain]" not in text
    assert config.sidechain is not None
    assert config.sidechain.chain_id == NETWORK["sidechain"]["chainId"]
    assert config.sidechain.nodes[0].node_key_file == tmp_path / "node.key"


def test_a_gate_reads_its_own(tmp_path: Path) -> None:
    text = gate_config(
        NETWORK, tmp_path, host="127.0.0.1", port=8770, url="https://gate.example", node="http://127.0.0.1:8545"
    )
    config = GateConfig.read(write(tmp_path, "gate.toml", text))
    assert (config.url, config.sidechain.url, config.sidechain.chain_id) == (
        "https://gate.example",
        "http://127.0.0.1:8545",
        6,
    )
    # The key by which others pass isn't the gate's.
    assert config.sidechain.nodes[0].node_key_file is None
    assert config.mainchain is not None


def test_settings_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from panachain.config import Config

    write(tmp_path, "panachain.toml", index_config(tmp_path / "network.json"))
    config = Config.load({"home": str(tmp_path)}, {})
    assert config.network_file == tmp_path / "network.json"


@pytest.mark.parametrize("text", ["host = ", "[mainchain", "\xff"])
def test_what_is_no_toml_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gate.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError, match="can't be read as a gate's configuration"):
        GateConfig.read(path)


values = st.recursive(
    st.text() | st.booleans() | st.integers(-(2**63), 2**63 - 1),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(values)
def test_every_value_is_read_as_it_was(value: Any) -> None:
    assert tomllib.loads(f"key = {toml(value)}\n")["key"] == value


def test_what_toml_lacks_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="can't stand in a configuration"):
        toml(None)


SERVICES = {
    "proxy": {"passphrase": True},
    "relay": {"passphrase": False},
    "gate": {"passphrase": False},
    "index": {"passphrase": False, "home": True},
}


class TestUnits:
    def text(self, name: str, folder: Path, **more: Any) -> str:
        program = shutil.which("true") or "/bin/true"
        return unit(f"a {name}", (program, name, "serve"), folder, user="panachain", **SERVICES[name] | more)

    @pytest.mark.parametrize("name", SERVICES)
    def test_systemd_takes_them(self, tmp_path: Path, name: str) -> None:
        if (verify := shutil.which("systemd-analyze")) is None:
            pytest.skip("no systemd on this machine")
        path = write(tmp_path, f"panachain-{name}.service", self.text(name, tmp_path))
        done = subprocess.run(
            [verify, "verify", "--man=no", str(path)], capture_output=True, text=True, timeout=60, check=False
        )
        said = [line for line in done.stderr.splitlines() if path.name in line]
        assert (done.returncode, said) == (0, []), done.stderr

    def test_systemd_finds_them_hard(self, tmp_path: Path) -> None:
        if (verify := shutil.which("systemd-analyze")) is None:
            pytest.skip("no systemd on this machine")
        path = write(tmp_path, "panachain-proxy.service", self.text("proxy", tmp_path))
        done = subprocess.run(
            [verify, "security", "--offline=yes", "--threshold=25", str(path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr

    def test_the_passphrase_is_a_credential_and_in_no_unit(self, tmp_path: Path) -> None:
        text = self.text("proxy", tmp_path)
        assert f"LoadCredential=passphrase:{tmp_path}/passphrase\n" in text
        assert "PANACHAIN_PASSPHRASE_FILE=%d/passphrase" in text
        assert "LoadCredential" not in self.text("gate", tmp_path)

    def test_homes_stay_out_of_reach_unless_something_lies_there(self) -> None:
        assert "ProtectHome=yes" in self.text("gate", Path("/srv/gate"))
        assert "ProtectHome=read-only" in self.text("gate", Path("/home/operator/gate"))

    @pytest.mark.parametrize("folder", ['/srv/a"b', "/srv/100%", "/srv/$HOME", "/srv/a\nUser=root", "/srv/a\\b"])
    def test_a_path_that_would_be_read_otherwise_is_refused(self, folder: str) -> None:
        with pytest.raises(ConfigurationError, match="a unit can't name"):
            self.text("gate", Path(folder))
