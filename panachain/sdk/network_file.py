"""The network file: how a network is described, and what of it the settings replace.

Never connects to anything. Follows docs/spec/network.md (`panachain/network/1`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from panachain.chain.config import ChainConfig
from panachain.chain.fees import read_max_fee
from panachain.config import Config, read_network
from panachain.errors import ConfigurationError

SCHEMA: Final = "panachain/network/1"
ANOTHER_FILE: Final = "name another one, or compare it with docs/spec/network.md"
"""What to do about a network file that can't be read."""
_MAX_CONFIRMATIONS: Final = 1_000_000
"""Blocks; the setting takes as many digits."""


def read_description(config: Config) -> dict[str, Any]:
    """Return the network file that the settings name.

    Raises:
        ConfigurationError: there is none, or it is damaged, or of another schema.
    """
    try:
        description = json.loads(read_network(config.network_file))
        if description["schema"] != SCHEMA:
            raise ConfigurationError(f"{config.network_file} is of schema {description['schema']!r}")
    except FileNotFoundError:
        raise ConfigurationError(
            f"no network is set up: {config.network_file} doesn't exist",
            hint="`panachain devnet up` starts a local one; or name the network file in PANACHAIN_NETWORK_FILE",
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
        raise ConfigurationError(f"{config.network_file} can't be read as a network file", hint=ANOTHER_FILE) from exc
    found: dict[str, Any] = description
    return found


def chains_of(description: Mapping[str, Any], config: Config) -> tuple[ChainConfig, ChainConfig]:
    """Return mainchain and sidechain as a network file and the settings describe them.

    Raises:
        ConfigurationError: a section lacks a field, or a value doesn't fit.
    """
    folder = config.network_file.parent
    main, side = (
        ChainConfig.parse(
            description[name], folder, what=f"the section `{name}` of {config.network_file}", urls=urls, quorum=quorum
        )
        for name, urls, quorum in (
            ("mainchain", config.mainchain_rpc, config.mainchain_quorum),
            ("sidechain", config.sidechain_rpc, config.sidechain_quorum),
        )
    )
    if config.max_fee is not None:
        main, side = (replace(chain, max_fee=read_max_fee(config.max_fee)) for chain in (main, side))
    return main, side


def confirmations_of(description: Mapping[str, Any], config: Config) -> int:
    """Return how deep a grant must be: as the settings say, else the network file, else 0.

    Raises:
        ConfigurationError: the network file's is no such number.
    """
    if config.confirmations is not None:
        return config.confirmations
    found = description.get("confirmations", 0)
    # A bool is an int to Python, and none to whoever wrote the file.
    if type(found) is not int or not 0 <= found < _MAX_CONFIRMATIONS:
        raise ConfigurationError(
            f"`confirmations` of {config.network_file} is {found!r}; it must be a whole number from 0 on"
        )
    return found
