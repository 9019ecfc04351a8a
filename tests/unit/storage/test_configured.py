"""The store is the one that settings and network file describe, and contradictions are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from panachain.config import Config
from panachain.errors import ConfigurationError
from panachain.storage import configured
from panachain.storage.blocks import BlobStore
from panachain.storage.embedded import EmbeddedStore
from panachain.storage.kubo import KuboStore
from panachain.storage.replicated import ReplicatedStore
from panachain.storage.s3 import S3Store
from tests.unit.storage.s3_server import set_credentials


def config(tmp_path: Path, ipfs: str = "auto") -> Config:
    return Config(home=tmp_path, network_file=tmp_path / "network.json", ipfs=ipfs)


class TestOpening:
    def opened(self, tmp_path: Path, description: dict[str, Any], ipfs: str = "auto") -> BlobStore:
        return configured.open_store(config(tmp_path, ipfs), description, probe=False)

    def test_embedded_store_lies_in_the_home(self, tmp_path: Path) -> None:
        store = self.opened(tmp_path, {"kind": "embedded"})
        assert isinstance(store, EmbeddedStore)
        assert store.folder == tmp_path / "blocks"

    def test_folders_are_relative_to_the_network_file(self, tmp_path: Path) -> None:
        store = self.opened(tmp_path, {"kind": "embedded", "folders": ["a", str(tmp_path / "b")], "replication": 1})
        assert isinstance(store, ReplicatedStore)
        assert store.factor == 1
        assert [node.folder for node in store.nodes] == [tmp_path / "a", tmp_path / "b"]  # type: ignore[attr-defined]

    def test_several_nodes_must_be_two_by_default(self, tmp_path: Path) -> None:
        apis = [f"/ip4/127.0.0.1/tcp/{port}" for port in (1, 2, 3)]
        store = self.opened(tmp_path, {"kind": "kubo", "apis": apis})
        assert isinstance(store, ReplicatedStore)
        assert store.factor == 2
        assert [node.name for node in store.nodes] == [f"Kubo node {api}" for api in apis]

    def test_one_node_is_no_replicated_store(self, tmp_path: Path) -> None:
        for description in (
            {"kind": "kubo", "api": "/ip4/127.0.0.1/tcp/1"},
            {"kind": "kubo", "apis": ["/dns/x/tcp/1"]},
        ):
            assert isinstance(self.opened(tmp_path, description), KuboStore)

    def test_stores_of_several_kinds_stand_beside_each_other(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_credentials(monkeypatch)
        urls = ["embedded:a", "kubo:/ip4/127.0.0.1/tcp/1", "s3://records/clinic?endpoint=http://127.0.0.1:1"]
        store = self.opened(tmp_path, {"kind": "stores", "stores": urls, "replication": 2})
        assert isinstance(store, ReplicatedStore)
        assert [node.name for node in store.nodes] == [
            "embedded store",
            "Kubo node /ip4/127.0.0.1/tcp/1",
            "S3 store s3://records/clinic",
        ]
        store.close()
        assert isinstance(self.opened(tmp_path, {"kind": "stores", "stores": urls[2:]}), S3Store)

    @pytest.mark.parametrize("urls", [None, [], ["x"], ["embedded:"], ["s3://"], ["http://a"], ["embedded:a"] * 2])
    def test_what_is_no_store_is_refused(self, tmp_path: Path, urls: object) -> None:
        with pytest.raises(ConfigurationError):
            self.opened(tmp_path, {"kind": "stores", "stores": urls})

    def test_settings_win_over_the_network_file(self, tmp_path: Path) -> None:
        several = {"kind": "kubo", "apis": ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"], "replication": 2}
        assert isinstance(self.opened(tmp_path, several, "embedded"), EmbeddedStore)
        one = self.opened(tmp_path, {"kind": "embedded", "folders": ["a", "b"]}, "kubo")
        assert one.name == "Kubo node /ip4/127.0.0.1/tcp/5001"

    @pytest.mark.parametrize(
        "description",
        [
            {"kind": "cloud"},
            {"kind": "kubo", "apis": []},
            {"kind": "kubo", "apis": "/ip4/127.0.0.1/tcp/1"},
            {"kind": "kubo", "apis": [1]},
            {"kind": "kubo", "apis": ["/ip4/127.0.0.1/tcp/1"] * 2},
            {"kind": "kubo", "apis": ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"], "replication": 3},
            {"kind": "kubo", "apis": ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"], "replication": 0},
            {"kind": "kubo", "apis": ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"], "replication": "2"},
            {"kind": "kubo", "apis": ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"], "replication": True},
            {"kind": "kubo", "api": "http://127.0.0.1:5001"},
            {"kind": "kubo", "api": "/ip4/127.0.0.1"},
            {"kind": "embedded", "replication": 2},
        ],
    )
    def test_contradictions_are_refused(self, tmp_path: Path, description: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError):
            self.opened(tmp_path, description)

    def test_works_without_a_network_file_and_not_with_a_damaged_one(self, tmp_path: Path) -> None:
        store = configured.open_configured(config(tmp_path))
        assert isinstance(store, EmbeddedStore)
        for content in (b"{", b"[]", b'{"ipfs": 5}'):
            (tmp_path / "network.json").write_bytes(content)
            with pytest.raises(ConfigurationError):
                configured.open_configured(config(tmp_path))
        description = {"schema": "panachain/network/1", "ipfs": {"kind": "embedded", "folders": ["x", "y"]}}
        (tmp_path / "network.json").write_text(json.dumps(description))
        assert isinstance(configured.open_configured(config(tmp_path)), ReplicatedStore)
