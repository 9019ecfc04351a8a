"""The network file: read whole or refused by name, and what the settings replace of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from panachain.config import Config
from panachain.errors import ConfigurationError
from panachain.sdk.network_file import SCHEMA, chains_of, confirmations_of, read_description

CHAIN = {"url": "http://127.0.0.1:1", "chainId": 5, "contracts": {}}
DESCRIPTION: dict[str, Any] = {"schema": SCHEMA, "mainchain": CHAIN, "sidechain": CHAIN | {"chainId": 6}}


def settings(home: Path, **more: str) -> Config:
    return Config.load({"home": str(home), **more}, {})


def test_is_read_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "network.json").write_text(json.dumps(DESCRIPTION))
    assert read_description(settings(tmp_path)) == DESCRIPTION


def test_none_is_told_with_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no network is set up") as caught:
        read_description(settings(tmp_path))
    assert "devnet up" in caught.value.hint


@pytest.mark.usefixtures("ordinary_depth")
@pytest.mark.parametrize("content", ["", "[]", "{}", "null", "[" * 100_000, '{"schema": "panachain/network/2"}'])
def test_a_damaged_one_is_a_configuration_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "network.json").write_text(content)
    with pytest.raises(ConfigurationError, match=r"network\.json"):
        read_description(settings(tmp_path))


def test_settings_name_another_node(tmp_path: Path) -> None:
    main, side = chains_of(DESCRIPTION, settings(tmp_path, mainchain_rpc="http://127.0.0.1:9"))
    assert (main.url, side.url, side.chain_id) == ("http://127.0.0.1:9", "http://127.0.0.1:1", 6)


def test_a_chain_that_lacks_a_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the section `sidechain` of"):
        chains_of(DESCRIPTION | {"sidechain": {}}, settings(tmp_path))


@pytest.mark.parametrize("found", [-1, 1.5, "2", True, None, 1_000_000])
def test_confirmations_are_a_whole_number(tmp_path: Path, found: object) -> None:
    config = settings(tmp_path)
    assert confirmations_of({}, config) == 0
    assert confirmations_of({"confirmations": 3}, config) == 3
    with pytest.raises(ConfigurationError, match="must be a whole number"):
        confirmations_of({"confirmations": found}, config)
