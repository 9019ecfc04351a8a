"""URLs of services that a store's operator chose: over TLS, or on this machine, and without a credential.

Never shows a URL that it refuses: what is too much in it may be a secret. Follows RFC 3986.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from panachain.errors import ConfigurationError


def check_service_url(text: str, what: str, *, path: bool = False) -> None:
    """Check the URL of a service.

    Args:
        text: the URL.
        what: whose it is, for messages.
        path: whether it may have one.

    Raises:
        ConfigurationError: it is no URL of http or https, holds a credential or a query, or is reached without TLS
            beyond this machine.
    """
    try:
        url = urlsplit(text)
        host = url.hostname or ""
        _ = url.port
    except ValueError:
        url, host = urlsplit(""), ""
    wrong = "@" in url.netloc or url.query or url.fragment or (url.path and not path)
    if url.scheme not in ("http", "https") or not host or wrong:
        raise ConfigurationError(f"{what} isn't https://HOST[:PORT]{'[/PATH]' if path else ''}")
    if url.scheme == "http" and not _is_loopback(host):
        raise ConfigurationError(
            f"{what}, at {host}, is reached without TLS", hint="write https://, or use an address of this machine"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
