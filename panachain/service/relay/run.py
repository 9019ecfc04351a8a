"""Run a relay: read its configuration, unlock its account, serve until it is told to stop.

Nothing secret is in memory before the key opened, and nothing secret is ever logged.
Follows docs/spec/relay.md, section "Configuration".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from panachain.chain.access import read_key
from panachain.chain.config import ChainConfig
from panachain.chain.evm import Sender
from panachain.chain.mainchain import Mainchain
from panachain.chain.sidechain import Sidechain
from panachain.chain.signing import Account
from panachain.crypto import keystore
from panachain.errors import ConfigurationError, IntegrityError
from panachain.follow.opening import following
from panachain.private_files import forbid_core_dumps
from panachain.service.config import configuration
from panachain.service.database import Place
from panachain.service.http import listen, serve
from panachain.service.relay.calls import CALLS_PER_DAY, CallRelayService
from panachain.service.relay.service import MAX_BATCH, Budget, Relaying, RelayService
from panachain.service.relay.store import RelayStore
from panachain.service.relay.tokens import Till, TokenRules
from panachain.service.tls import TlsConfig, read_tls

SCHEMA: Final = "panachain/relay-config/1"
PASSWORD_VARIABLE: Final = "PANACHAIN_RELAY_DATABASE_PASSWORD"  # noqa: S105
"""Environment variable that holds the database's password, where no file is named."""
_PER_MINUTE: Final = 30
"""Requests that one source may make in a minute, if the configuration doesn't say."""
_WAIT: Final = 8.0
"""Seconds that a request waits for its transaction, if the configuration doesn't say."""
_GRACE: Final = 30
"""Seconds that requests under way get when the relay is told to stop."""


@dataclass(frozen=True)
class RelayConfig:
    """A relay's configuration file, checked."""

    host: str
    port: int
    mainchain: ChainConfig | None
    """Whose policies it pays for; None for a relay of the sidechain."""
    sidechain: ChainConfig | None
    """Whose calls it pays for. A relay has one chain: it would know too much of whoever uses both."""
    database: Place
    keystore: Path | None
    key_file: Path | None
    budget: Budget
    per_minute: int
    wait: float
    """Seconds."""
    max_batch: int
    behind: str
    """Addresses of reverse proxies whose `X-Forwarded-For` is believed, with commas; empty for none."""
    calls_per_day: int
    """Calls of one account that a relay of the sidechain pays for."""
    tokens: TokenRules | None
    """Which tokens pay for grants; None pays for anybody's."""
    tls: TlsConfig | None

    @classmethod
    def read(cls, path: Path, environment: Mapping[str, str] = os.environ) -> RelayConfig:
        """Read a configuration file.

        Raises:
            ConfigurationError: it can't be read, or a file with a secret is open to others.
        """
        with configuration(path, "relay", schema=SCHEMA) as fields:
            if ("keystore" in fields) == ("keyFile" in fields):
                raise ConfigurationError(f"{path} must name either a keystore or a keyFile")
            if ("mainchain" in fields) == ("sidechain" in fields):
                raise ConfigurationError(
                    f"{path} must name either `mainchain` or `sidechain`: both would tell it whose policies are whose"
                )
            return cls(
                host=str(fields["host"]),
                port=int(fields["port"]),
                mainchain=_chain("mainchain", fields, path),
                sidechain=_chain("sidechain", fields, path),
                database=Place.read(fields, path, environment, variable=PASSWORD_VARIABLE),
                keystore=path.parent / fields["keystore"] if "keystore" in fields else None,
                key_file=path.parent / fields["keyFile"] if "keyFile" in fields else None,
                budget=Budget(int(fields["gasPerDay"]), int(fields["revocationReserve"])),
                per_minute=int(fields.get("perMinute", _PER_MINUTE)),
                wait=float(fields.get("waitSeconds", _WAIT)),
                max_batch=int(fields.get("maxBatch", MAX_BATCH)),
                behind=",".join(fields.get("behind", [])),
                calls_per_day=int(fields.get("callsPerDay", CALLS_PER_DAY)),
                tokens=_token_rules(fields.get("tokens"), path),
                tls=read_tls(fields.get("tls"), path.parent),
            )


def run_relay(config: RelayConfig, passphrase: str) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        config: what to serve.
        passphrase: of the key store; empty with a key file.

    Raises:
        ConfigurationError: a TLS file of the section `mainchain` can't be read.
        LockedError: the account's key doesn't open.
        UnavailableError: the address can't be listened on.
    """
    # 1. The chain that the configuration names.
    chain = _connected(config)
    # 2. The account that pays.
    forbid_core_dumps()
    account = Account(_key(config, passphrase))
    sender = chain.sender(account, lock_folder=config.database.beside / "nonces")
    # 3. The service, until it is told to stop.
    from panachain.service.relay.app import create_app

    with closing(listen(config.host, config.port)) as listening, closing(RelayStore(config.database)) as store:
        serve(
            create_app(_service(config, chain, sender, store), per_minute=config.per_minute, wait=config.wait),
            listening,
            tls=config.tls,
            grace=_GRACE,
            behind=config.behind,
        )


def _connected(config: RelayConfig) -> Mainchain | Sidechain:
    beside = config.database.beside
    if config.sidechain is not None:
        return Sidechain.connect(config.sidechain, source=following(config.sidechain, beside))
    if config.mainchain is None:
        raise ConfigurationError("the relay's configuration names no chain")
    return Mainchain.connect(config.mainchain, source=following(config.mainchain, beside))


def _service(config: RelayConfig, chain: Mainchain | Sidechain, sender: Sender, store: RelayStore) -> Relaying:
    if isinstance(chain, Sidechain):
        given = {"max_batch": config.max_batch, "calls_per_day": config.calls_per_day}
        return CallRelayService(chain, sender, store, config.budget, **given)
    till = None if config.tokens is None else Till(config.tokens)
    return RelayService(chain, sender, store, config.budget, max_batch=config.max_batch, till=till)


def _chain(name: str, fields: Mapping[str, Any], path: Path) -> ChainConfig | None:
    if name not in fields:
        return None
    return ChainConfig.parse(fields[name], path.parent, what=f"the section `{name}` of {path}")


def _token_rules(fields: Mapping[str, Any] | None, path: Path) -> TokenRules | None:
    try:
        return None if fields is None else TokenRules.parse(fields)
    except IntegrityError as exc:
        raise ConfigurationError(f"the section `tokens` of {path}: {exc}") from exc


def _key(config: RelayConfig, passphrase: str) -> bytes:
    if config.keystore is not None:
        return keystore.open(config.keystore, passphrase, upgrade=False).account_key()
    if config.key_file is None:
        raise ConfigurationError("the relay's configuration names no key")
    return read_key(config.key_file)
