"""Run an issuer: read its configuration and its key, serve until it is told to stop.

Follows docs/spec/relay.md, section "Tokens".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panachain.chain.config import ChainConfig
from panachain.chain.issuing import issuer_domain
from panachain.chain.sidechain import Sidechain
from panachain.crypto.blind_rsa import IssuerKey
from panachain.errors import ConfigurationError, IntegrityError
from panachain.private_files import forbid_core_dumps, open_private
from panachain.service.config import check_private, configuration
from panachain.service.database import Place
from panachain.service.http import listen, serve
from panachain.service.issuer.service import Allowance, IssuerService
from panachain.service.issuer.store import IssuerStore
from panachain.service.tls import TlsConfig, read_tls

SCHEMA: Final = "panachain/issuer-config/1"
PASSWORD_VARIABLE: Final = "PANACHAIN_ISSUER_DATABASE_PASSWORD"  # noqa: S105
"""Environment variable that holds the database's password, where no file is named."""
_GRACE: Final = 15
"""Seconds that requests under way get when the issuer is told to stop."""


@dataclass(frozen=True)
class IssuerConfig:
    """An issuer's configuration file, checked."""

    host: str
    port: int
    sidechain: ChainConfig
    database: Place
    key_file: Path
    """PEM, 0600; made at the first start."""
    allowance: Allowance
    behind: str
    """Addresses of reverse proxies whose `X-Forwarded-For` is believed, with commas; empty for none."""
    tls: TlsConfig | None

    @classmethod
    def read(cls, path: Path, environment: Mapping[str, str] = os.environ) -> IssuerConfig:
        """Read a configuration file.

        Raises:
            ConfigurationError: it can't be read, a value doesn't fit, or a file with a secret is open to others.
        """
        with configuration(path, "issuer", schema=SCHEMA) as fields:
            usual = Allowance()
            allowance = Allowance(
                int(fields.get("tokensPerPeriod", usual.tokens)), int(fields.get("periodSeconds", usual.period))
            )
            if allowance.tokens < 1 or allowance.period < 60:
                raise ConfigurationError(f"{path}: a period has at least one token and 60 seconds")
            return cls(
                host=str(fields["host"]),
                port=int(fields["port"]),
                sidechain=ChainConfig.parse(
                    fields["sidechain"], path.parent, what=f"the section `sidechain` of {path}"
                ),
                database=Place.read(fields, path, environment, variable=PASSWORD_VARIABLE),
                key_file=path.parent / fields["keyFile"],
                allowance=allowance,
                behind=",".join(fields.get("behind", [])),
                tls=read_tls(fields.get("tls"), path.parent),
            )


def issuer_key(path: Path) -> IssuerKey:
    """Return the key in a file, which is made where there is none.

    Raises:
        ConfigurationError: it holds no such key, or others may read it.
    """
    try:
        if not path.exists():
            # Of two issuers that begin at once one must not overwrite the other's.
            with os.fdopen(open_private(path, os.O_WRONLY | os.O_EXCL), "wb") as file:
                file.write(IssuerKey.random().to_pem())
        check_private(path)
        return IssuerKey.from_pem(path.read_bytes())
    except (OSError, IntegrityError) as exc:
        raise ConfigurationError(f"{path} holds no issuer's key") from exc


def run_issuer(config: IssuerConfig) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: the key file holds no key.
        DiskError: the database can't be opened.
        UnavailableError: the address can't be listened on.
    """
    forbid_core_dumps()
    key = issuer_key(config.key_file)
    from panachain.service.issuer.app import create_app

    with (
        closing(listen(config.host, config.port)) as listening,
        closing(IssuerStore(config.database)) as store,
        closing(Sidechain.connect(config.sidechain)) as sidechain,
    ):
        identities = sidechain.identities
        service = IssuerService(
            key,
            identities,
            store,
            domain=issuer_domain(sidechain.chain_id, identities.address),
            allowance=config.allowance,
        )
        serve(
            create_app(service),
            listening,
            tls=config.tls,
            grace=_GRACE,
            behind=config.behind,
        )
