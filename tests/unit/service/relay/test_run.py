"""The relay's configuration file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import ConfigurationError
from panachain.service.connections import ConnectionLimits
from panachain.service.http import behind_limits
from panachain.service.relay.run import RelayConfig, run_relay
from panachain.service.relay.service import MAX_BATCH, Budget

FIELDS: dict[str, Any] = {
    "schema": "panachain/relay-config/1",
    "host": "127.0.0.1",
    "port": 1,
    "mainchain": {
        "url": "http://127.0.0.1:1",
        "chainId": 1,
        "contracts": {"PolicyRegistry": "0x" + "11" * 20},
    },
    "database": "relay.sqlite",
    "keyFile": "relay.key",
    "gasPerDay": 1,
    "revocationReserve": 2,
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "relay.json"
    path.write_text(json.dumps({name: value for name, value in (FIELDS | changes).items() if value != "nothing"}))
    return path


def test_defaults_and_names_beside_the_file(tmp_path: Path) -> None:
    config = RelayConfig.read(written(tmp_path))
    assert (config.budget, config.per_minute, config.wait, config.max_batch) == (Budget(1, 2), 30, 8.0, MAX_BATCH)
    assert (config.database.file, config.key_file, config.keystore) == (
        tmp_path / "relay.sqlite",
        tmp_path / "relay.key",
        None,
    )
    assert (config.behind, config.tls) == ("", None)


def test_reverse_proxies_are_those_that_it_names(tmp_path: Path) -> None:
    assert RelayConfig.read(written(tmp_path, behind=["10.0.0.1", "10.0.0.2"])).behind == "10.0.0.1,10.0.0.2"


def test_a_reverse_proxys_connections_are_not_one_clients(tmp_path: Path) -> None:
    assert behind_limits(RelayConfig.read(written(tmp_path)).behind) == ConnectionLimits()
    assert behind_limits(RelayConfig.read(written(tmp_path, behind=["10.0.0.1"])).behind).most_per_source == 0


@pytest.mark.parametrize(
    "changes",
    [{"keystore": "x"}, {"keyFile": "nothing"}, {"schema": "y"}, {"port": None}, {"host": "nothing"}, {"tls": {}}],
)
def test_what_does_not_fit_is_a_typed_error_that_names_the_file(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"relay\.json"):
        RelayConfig.read(written(tmp_path, **changes))


def test_a_mainchain_without_its_fields_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"`mainchain` of .*relay\.json"):
        run_relay(RelayConfig.read(written(tmp_path, mainchain={})), "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["relay.json"]
