"""A proxy's configuration file.

Never holds a secret: it names files that do. Follows docs/spec/proxy.md, section "Configuration".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from panachain.chain.config import ChainConfig
from panachain.consent.times import MAX_AHEAD
from panachain.errors import ConfigurationError
from panachain.service.config import configuration
from panachain.service.database import Place
from panachain.service.tls import TlsConfig, read_tls
from panachain.wire.endpoints import Reach

PASSWORD_VARIABLE: Final = "PANACHAIN_PROXY_DATABASE_PASSWORD"  # noqa: S105
"""Environment variable that holds the database's password, where no file is named."""
_MAX_WORKERS: Final = 64


@dataclass(frozen=True)
class ProxyConfig:
    """All settings of a proxy."""

    folder: Path
    """Of the configuration file: relative names start here."""
    host: str
    port: int
    database: Place
    keystore: Path
    mainchain: ChainConfig
    sidechain: ChainConfig
    confirmations: int
    """Blocks that a grant must be deep."""
    max_head_age: int
    """Seconds."""
    max_head_ahead: int
    """Seconds."""
    anchor_every: float
    """Seconds; 0 anchors nothing."""
    workers: int
    grace: float
    """Seconds that running requests get when the proxy ends."""
    sender_rate: int
    """Requests of one signer in a minute, for all workers together; 0 means any number."""
    address_rate: int
    """Requests from one network address in a minute, for each worker; 0 means any number."""
    capsule_rate: int
    """Capsules of one signer in a minute, for all workers together; 0 means any number."""
    connections_per_address: int
    """That one network address may have at one worker; 0 means any number."""
    tls: TlsConfig | None
    reach: Reach
    """Where the network's other proxies may answer, which cosign this one's log."""


def read_config(path: Path, environment: Mapping[str, str] = os.environ) -> ProxyConfig:
    """Return what a configuration file says.

    Raises:
        ConfigurationError: it can't be read, a value doesn't fit, or a file with a secret is open to others.
    """
    with configuration(path, "proxy") as fields:
        config = _parse(fields, path, environment)
    if not 1 <= config.workers <= _MAX_WORKERS:
        raise ConfigurationError(f"{path}: workers must be 1 to {_MAX_WORKERS}, not {config.workers}")
    return config


def _parse(raw: dict[str, Any], path: Path, environment: Mapping[str, str]) -> ProxyConfig:
    folder = path.parent
    return ProxyConfig(
        folder=folder,
        host=str(raw["host"]),
        port=int(raw["port"]),
        database=Place.read(raw, path, environment, variable=PASSWORD_VARIABLE),
        keystore=folder / raw["keystore"],
        mainchain=ChainConfig.parse(raw["mainchain"], folder, what=f"the section `mainchain` of {path}"),
        sidechain=ChainConfig.parse(raw["sidechain"], folder, what=f"the section `sidechain` of {path}"),
        confirmations=int(raw["confirmations"]),
        max_head_age=int(raw["maxHeadAge"]),
        max_head_ahead=int(raw.get("maxHeadAhead", MAX_AHEAD)),
        anchor_every=float(raw.get("anchorEvery", 3600)),
        workers=int(raw.get("workers", 1)),
        grace=float(raw.get("grace", 10)),
        sender_rate=int(raw.get("ratePerSender", 600)),
        address_rate=int(raw.get("ratePerAddress", 6000)),
        capsule_rate=int(raw.get("capsulesPerSender", 60_000)),
        connections_per_address=int(raw.get("connectionsPerAddress", 128)),
        tls=read_tls(raw.get("tls"), folder),
        reach=Reach.of(str(raw.get("proxyRanges", "")), development=bool(raw.get("development", False))),
    )
