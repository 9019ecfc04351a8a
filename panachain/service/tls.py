"""The section `tls` of a service's configuration file.

Never reads a key: it names files, and refuses at the start what would fail at the first connection. TLS itself is
OpenSSL's. Follows docs/spec/proxy.md, section "Configuration".
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panachain.errors import ConfigurationError
from panachain.service.config import check_private


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
        """Return them by the names that uvicorn has for them."""
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
