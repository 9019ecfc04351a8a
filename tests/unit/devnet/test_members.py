"""Keys of the gate's and the proxies' nodes are made once, and belong to their owner."""

from __future__ import annotations

from pathlib import Path

import pytest

from panachain.devnet import members
from tests.keystores import make_cheap


def test_a_nodes_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "devnet" / "node.key"
    address = members._node_address(path)
    assert members._node_address(path) == address
    assert path.stat().st_mode & 0o777 == 0o600


def test_proxies_keep_their_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_cheap(monkeypatch, for_this_process_only=True)
    first = [seed.account_key() for seed in members.proxy_seeds(tmp_path, 2)]
    again = [seed.account_key() for seed in members.proxy_seeds(tmp_path, 3)]
    assert again[:2] == first
    assert len(set(again)) == 3
