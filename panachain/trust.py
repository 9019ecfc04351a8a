"""Whom a client trusts over HTTPS: TLS contexts, made once, and loaded only where there is TLS.

Reading the usual authorities takes 30 ms, and httpx does it for every client, also for one that never speaks TLS.
A context for plain HTTP knows no authority, so that TLS with it fails. Never writes down the keys of a connection.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from panachain.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl


class Trust:
    """The authorities that certificates are checked against."""

    def __init__(self, ca: Path | None = None, *, context: ssl.SSLContext | None = None) -> None:
        """Create trust in an authority.

        Args:
            ca: PEM file of an authority; None takes the usual ones.
            context: whom to trust and what to show, in place of `ca`.

        Raises:
            ConfigurationError: the file can't be read.
        """
        self._own = context
        if ca is not None:
            import ssl

            try:
                self._own = keeping_keys(ssl.create_default_context(cafile=str(ca)))
            except (OSError, ssl.SSLError) as exc:
                raise ConfigurationError(f"{ca} can't be read as a certificate authority") from exc

    def context(self, url: str) -> ssl.SSLContext:
        """Return what a client of this URL checks certificates with."""
        if not url.lower().startswith("https:"):
            return _nobody()
        return self._own or _usual()


def keeping_keys(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return a context that writes the keys of its connections nowhere.

    Python lets the variable SSLKEYLOGFILE name a file for them: whoever reads that reads all that was sent.
    """
    # None takes the file back; typeshed knows texts only.
    context.keylog_filename = None  # type: ignore[assignment]
    return context


@lru_cache(maxsize=1)
def _usual() -> ssl.SSLContext:
    # Imported here: a client that speaks no TLS needs neither it nor the authorities.
    from panachain.http_client import httpx

    return keeping_keys(httpx.create_ssl_context(trust_env=False))


@lru_cache(maxsize=1)
def _nobody() -> ssl.SSLContext:
    import ssl

    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
