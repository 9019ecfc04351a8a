"""How a chain's section of a file is read: what is missing is named, and paths start where the file lies."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.access import SCHEME, GateDomain, NodeKey, decode_token
from panachain.chain.config import ChainConfig
from panachain.chain.rpc import Rpc
from panachain.errors import ConfigurationError, LockedError

KEY = bytes(31) + b"\x07"
URL = "https://gate.example:8443"
CONTRACT = "0x" + "ab" * 20
SECTION: dict[str, Any] = {"url": URL, "chainId": 5, "contracts": {"PolicyRegistry": CONTRACT}, "fromBlock": 3}


def parse(description: Any, folder: Path, **more: str) -> ChainConfig:
    return ChainConfig.parse(description, folder, what="the section", **more)


class TestParse:
    def test_reads_what_a_description_says(self, tmp_path: Path) -> None:
        config = parse(SECTION | {"caFile": "ca.pem", "nodeKeyFile": "/keys/node.key"}, tmp_path)

        assert (config.url, config.chain_id, config.from_block) == (URL, 5, 3)
        assert config.contracts["PolicyRegistry"].lower() == CONTRACT
        assert (config.nodes[0].ca_file, config.nodes[0].node_key_file) == (tmp_path / "ca.pem", Path("/keys/node.key"))

    def test_describes_what_it_read(self, tmp_path: Path) -> None:
        config = parse(SECTION, tmp_path)
        assert config == parse(config.describe(), tmp_path)

    def test_a_setting_replaces_the_url(self, tmp_path: Path) -> None:
        assert parse(SECTION, tmp_path, urls="http://127.0.0.1:9").url == "http://127.0.0.1:9"

    def test_every_block_is_read_where_no_first_one_is_named(self, tmp_path: Path) -> None:
        assert parse({key: SECTION[key] for key in ("url", "chainId", "contracts")}, tmp_path).from_block == 0

    @pytest.mark.parametrize("missing", ["url", "chainId", "contracts"])
    def test_names_a_missing_field(self, tmp_path: Path, missing: str) -> None:
        description = {key: value for key, value in SECTION.items() if key != missing}
        with pytest.raises(ConfigurationError, match=f"the section lacks the field '{missing}'"):
            parse(description, tmp_path)

    @pytest.mark.parametrize(
        "description",
        [None, [], 5, "x", SECTION | {"chainId": "five"}, SECTION | {"contracts": []}, SECTION | {"fromBlock": None}],
    )
    def test_refuses_what_describes_no_chain(self, tmp_path: Path, description: Any) -> None:
        with pytest.raises(ConfigurationError, match="the section"):
            parse(description, tmp_path)

    @pytest.mark.parametrize("where", ["", "0x12", None, 5, CONTRACT + "00"])
    def test_refuses_a_contract_without_an_address(self, tmp_path: Path, where: Any) -> None:
        with pytest.raises(ConfigurationError, match="doesn't describe a chain"):
            parse(SECTION | {"contracts": {"PolicyRegistry": where}}, tmp_path)

    def test_two_ways_to_pass_contradict(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="both"):
            parse(SECTION | {"nodeKeyFile": "node.key", "headerFile": "h"}, tmp_path)

    def test_a_certificate_needs_its_key(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="certificateKeyFile"):
            parse(SECTION | {"certificateFile": "client.pem"}, tmp_path)


class TestRpc:
    def connect(self, folder: Path, *, url: str = "", **more: str) -> Rpc:
        (folder / "node.key").write_text(KEY.hex() + "\n")
        (folder / "node.key").chmod(0o600)
        return parse(SECTION | more, folder, urls=url).rpc()

    def test_without_a_key_nothing_is_signed(self, tmp_path: Path) -> None:
        assert "Authorization" not in self.connect(tmp_path)._headers(b"")

    def test_node_key_signs_for_the_url_that_is_asked(self, tmp_path: Path) -> None:
        rpc = self.connect(tmp_path, nodeKeyFile="node.key", url="http://127.0.0.1:9")
        token = decode_token(rpc._headers(b"x")["Authorization"].removeprefix(f"{SCHEME} "))
        assert token is not None
        assert GateDomain("http://127.0.0.1:9", 5).signer(token) == token.node == NodeKey(KEY).address
        assert token.body == hashlib.sha256(b"x").digest()

    def test_header_file_is_read_for_each_request(self, tmp_path: Path) -> None:
        rpc = self.connect(tmp_path, headerFile="header")
        for value in ("one", "two"):
            (tmp_path / "header").write_text(f"Authorization: Bearer {value}\n")
            (tmp_path / "header").chmod(0o600)
            assert rpc._headers(b"")["Authorization"] == f"Bearer {value}"

    def test_a_missing_key_file_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(LockedError):
            self.connect(tmp_path, nodeKeyFile="other.key")

    def test_missing_tls_file_is_named_as_configuration(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="TLS"):
            self.connect(tmp_path, caFile="ca.pem")
