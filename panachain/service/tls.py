"""The section `tls` of a service's configuration file, and what a file with a secret must be like.

Never reads a key: it names files, and refuses at the start what would fail at the first connection. TLS itself is
OpenSSL's. Follows docs/spec/proxy.md, section "Configuration".
"""

from __future__ import annotations

import ssl
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panachain.errors import ConfigurationError


@dataclass(frozen=True)
class TlsConfig:
    """Files for TLS."""

    certificate: Path
    """PEM, the server's first."""
    key: Path
    """PEM, 0600."""
    client_ca: Path | None
    """PEM; with it, only clients with a certificate of this CA are served."""

    def settings(self) -> dict[str, Any]:
        """Return what uvicorn calls them."""
        found: dict[str, Any] = {"ssl_certfile": self.certificate, "ssl_keyfile": self.key}
        if self.client_ca is not None:
            found |= {"ssl_ca_certs": str(self.client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
        return found


def read_tls(raw: Mapping[str, Any] | None, folder: Path) -> TlsConfig | None:
    """Return what the section `tls` names, or None where there is none.

    Args:
        raw: the section.
        folder: where its relative file names start.

    Raises:
        ConfigurationError: a file doesn't exist, or the key is open to others.
        KeyError: a field is missing.
    """
    if raw is None:
        return None
    client_ca = folder / raw["clientCa"] if "clientCa" in raw else None
    config = TlsConfig(folder / raw["certificate"], folder / raw["key"], client_ca)
    for needed in (config.certificate, *([client_ca] if client_ca else [])):
        if not needed.is_file():
            raise ConfigurationError(f"the TLS file {needed} doesn't exist")
    check_private(config.key)
    return config


def check_private(path: Path) -> None:
    """Check that only its owner may read a file.

    Raises:
        ConfigurationError: others may, or it can't be read.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as exc:
        raise ConfigurationError(f"{path} can't be read") from exc
    if mode & 0o077:
        raise ConfigurationError(f"{path} is open to others (mode {mode:o})", hint=f"chmod 600 {path}")
