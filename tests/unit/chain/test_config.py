"""How a chain's section of a file is read: what is missing is named, and paths start where the file lies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.access import SCHEME, GateDomain, NodeKey, decode_token
from panachain.chain.config import ChainConfig
from panachain.chain.failover import Failover
from panachain.chain.rpc import Rpc
from panachain.errors import ConfigurationError, LockedError
from tests.unit.service.authority import Authority

KEY = bytes(31) + b"\x07"
URL = "https://gate.example:8443"
CONTRACT = "0x" + "ab" * 20
SECTION: dict[str, Any] = {"url": URL, "chainId": 5, "contracts": {"PolicyRegistry": CONTRACT}, "fromBlock": 3}


def parse(description: Any, folder: Path, **more: str) -> ChainConfig:
    return ChainConfig.parse(description, folder, what="the section", **more)


def headers_of(rpc: Rpc, body: bytes) -> Mapping[str, str]:
    assert rpc._authorise is not None
    return rpc._authorise(body)


def test_a_chain_that_is_described_in_code_has_what_a_section_has_that_names_no_more(tmp_path: Path) -> None:
    alone = {name: SECTION[name] for name in ("url", "chainId", "contracts")}
    made = ChainConfig.at(URL, 5, parse(SECTION, tmp_path).contracts)
    assert made == parse(alone, tmp_path)
    assert (made.from_block, made.max_head_age, made.quorum, made.paid, made.copy) == (0, 0, None, False, "")


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

    def test_a_head_may_have_any_age_where_none_is_named(self, tmp_path: Path) -> None:
        assert parse(SECTION, tmp_path).max_head_age == 0
        assert parse(SECTION | {"maxHeadAge": 60}, tmp_path).max_head_age == 60

    @pytest.mark.parametrize("age", [-1, -60])
    def test_an_age_below_none_is_refused(self, tmp_path: Path, age: int) -> None:
        with pytest.raises(ConfigurationError, match="from 0 on"):
            parse(SECTION | {"maxHeadAge": age}, tmp_path)
        assert parse(SECTION | {"maxHeadAge": 0}, tmp_path).max_head_age == 0

    def test_a_description_says_what_was_said_and_nothing_more(self, tmp_path: Path) -> None:
        more: list[dict[str, Any]] = [
            {},
            {"fromBlockHash": "0x" + "ab" * 32},
            {"maxHeadAge": 60},
            {"quorum": 1},
            {"paid": True},
        ]
        told = [parse(SECTION | one, tmp_path).describe() for one in more]
        assert [set(one) - set(told[0]) for one in told] == [set(one) for one in more]
        for one, description in zip(more, told, strict=True):
            assert {name: description[name] for name in one} == one
            assert parse(description, tmp_path) == parse(SECTION | one, tmp_path)

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


class TestSeveral:
    def test_a_list_of_urls_shares_what_the_section_says(self, tmp_path: Path) -> None:
        config = parse(SECTION | {"url": [URL, "http://127.0.0.1:9"], "nodeKeyFile": "k", "caFile": "ca"}, tmp_path)

        assert [one.url for one in config.nodes] == [URL, "http://127.0.0.1:9"]
        assert {(one.node_key_file, one.ca_file) for one in config.nodes} == {(tmp_path / "k", tmp_path / "ca")}
        assert (config.url, config.quorum) == (URL, None)

    def test_an_entry_may_say_its_own(self, tmp_path: Path) -> None:
        entries = [{"url": URL, "headerFile": "h"}, {"url": "http://b", "caFile": "b.pem"}, "http://c"]
        config = parse(SECTION | {"url": entries, "nodeKeyFile": "k", "caFile": "ca"}, tmp_path)

        assert [(one.header_file, one.node_key_file, one.ca_file) for one in config.nodes] == [
            (tmp_path / "h", None, tmp_path / "ca"),
            (None, tmp_path / "k", tmp_path / "b.pem"),
            (None, tmp_path / "k", tmp_path / "ca"),
        ]

    def test_a_setting_names_several_with_commas(self, tmp_path: Path) -> None:
        config = parse(SECTION, tmp_path, urls="http://a, https://b")
        assert [one.url for one in config.nodes] == ["http://a", "https://b"]

    def test_one_operators_secret_is_sent_to_no_other(self, tmp_path: Path) -> None:
        for section, urls in ((SECTION | {"url": [URL, "http://b"]}, ""), (SECTION, "http://a,http://b")):
            with pytest.raises(ConfigurationError, match="one headerFile for several nodes"):
                parse(section | {"headerFile": "h"}, tmp_path, urls=urls)

    @pytest.mark.parametrize("urls", [["http://a", "http://a"], ["http://a", {"url": "http://a/"}]])
    def test_a_node_has_one_vote(self, tmp_path: Path, urls: Any) -> None:
        with pytest.raises(ConfigurationError, match="names a node twice"):
            parse(SECTION | {"url": urls}, tmp_path)

    @pytest.mark.parametrize("entries", [[], [{}], [{"nodeKeyFile": "k"}]])
    def test_refuses_what_names_no_node(self, tmp_path: Path, entries: Any) -> None:
        with pytest.raises(ConfigurationError, match="the section"):
            parse(SECTION | {"url": entries}, tmp_path)

    def test_the_quorum_is_the_sections_unless_a_setting_says_another(self, tmp_path: Path) -> None:
        section = SECTION | {"url": ["http://a", "http://b", "http://c"], "quorum": 3}
        assert parse(section, tmp_path).quorum == 3
        assert ChainConfig.parse(section, tmp_path, what="the section", quorum=2).quorum == 2
        assert parse(parse(section, tmp_path).describe(), tmp_path).quorum == 3

    @pytest.mark.parametrize("quorum", [0, -1, 4, "x"])
    def test_a_quorum_that_can_not_be_reached_is_refused(self, tmp_path: Path, quorum: Any) -> None:
        with pytest.raises(ConfigurationError, match="the section"):
            parse(SECTION | {"url": ["http://a", "http://b", "http://c"], "quorum": quorum}, tmp_path)

    def test_the_deployments_block_is_read_and_described(self, tmp_path: Path) -> None:
        config = parse(SECTION | {"fromBlockHash": "0x" + "AB" * 32}, tmp_path)

        assert config.from_block_hash == "0x" + "ab" * 32
        assert parse(config.describe(), tmp_path) == config
        with pytest.raises(ConfigurationError, match="32 bytes"):
            parse(SECTION | {"fromBlockHash": "0xab"}, tmp_path)

    def test_the_hash_of_the_deployments_block_is_compared_as_headers_have_it(self, tmp_path: Path) -> None:
        assert parse(SECTION | {"fromBlockHash": "AB" * 32}, tmp_path).from_block_hash == "0x" + "ab" * 32

    @pytest.mark.parametrize("number", [-1, 1 << 63, float("inf")])
    def test_a_deployments_block_that_no_chain_has_is_a_typed_error(self, tmp_path: Path, number: float) -> None:
        with pytest.raises(ConfigurationError):
            parse(SECTION | {"fromBlock": number}, tmp_path)

    def test_several_are_asked_one_after_the_other_for_what_decides_nothing(self, tmp_path: Path) -> None:
        config = parse(SECTION | {"url": ["http://a", "http://b"]}, tmp_path)

        assert isinstance(config.rpc(), Failover)
        assert [rpc.url for rpc in config.rpcs()] == ["http://a", "http://b"]


class TestRpc:
    def connect(self, folder: Path, *, url: str = "", **more: str) -> Rpc:
        (folder / "node.key").write_text(KEY.hex() + "\n")
        (folder / "node.key").chmod(0o600)
        return parse(SECTION | more, folder, urls=url).rpc()

    def test_without_a_key_nothing_is_signed(self, tmp_path: Path) -> None:
        assert self.connect(tmp_path)._authorise is None

    def test_node_key_signs_for_the_url_that_is_asked(self, tmp_path: Path) -> None:
        rpc = self.connect(tmp_path, nodeKeyFile="node.key", url="http://127.0.0.1:9")
        token = decode_token(headers_of(rpc, b"x")["Authorization"].removeprefix(f"{SCHEME} "))
        assert token is not None
        assert GateDomain("http://127.0.0.1:9", 5).signer(token) == token.node == NodeKey(KEY).address
        assert token.body == hashlib.sha256(b"x").digest()

    def test_header_file_is_read_for_each_request(self, tmp_path: Path) -> None:
        rpc = self.connect(tmp_path, headerFile="header")
        for value in ("one", "two"):
            (tmp_path / "header").write_text(f"Authorization: Bearer {value}\n")
            (tmp_path / "header").chmod(0o600)
            assert headers_of(rpc, b"")["Authorization"] == f"Bearer {value}"

    def test_a_missing_key_file_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(LockedError):
            self.connect(tmp_path, nodeKeyFile="other.key")

    def test_tls_believes_the_authority_and_brings_the_certificate_that_are_named(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path, "ca")
        certificate, key = authority.issue("node")
        alone = parse(SECTION | {"caFile": "ca.pem"}, tmp_path).nodes[0]._tls()
        assert alone is not None
        assert len(alone.get_ca_certs()) == 1
        files = {"certificateFile": certificate.name, "certificateKeyFile": key.name}
        assert parse(SECTION | {"caFile": "ca.pem"} | files, tmp_path).nodes[0]._tls() is not None
        key.write_text("no key")
        with pytest.raises(ConfigurationError, match="TLS"):
            parse(SECTION | files, tmp_path).rpc()

    def test_missing_tls_file_is_named_as_configuration(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="TLS"):
            self.connect(tmp_path, caFile="ca.pem")
