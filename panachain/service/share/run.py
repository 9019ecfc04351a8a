"""Run the server of links: loopback by default, until it is told to stop.

Never serves beyond this machine without TLS, unless a reverse proxy is said to stand before it. Follows
docs/spec/sharing.md, section "Serving".
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panachain.errors import ConfigurationError
from panachain.private_files import forbid_core_dumps
from panachain.service.http import listen, serve
from panachain.service.periodic import Periodic
from panachain.service.tls import TlsConfig
from panachain.sharing.shelf import Shelf

_GRACE: Final = 15
"""Seconds that requests under way get when the server is told to stop."""
_SWEEP: Final = 30.0
"""Seconds between two looks for links that are over. Nobody is given one meanwhile: each request looks, too."""
_log = logging.getLogger("panachain.share")


@dataclass(frozen=True)
class ShareConfig:
    """How links are served."""

    folder: Path
    """The shelf."""
    url: str
    """Under which the world reaches it, without a slash at its end."""
    host: str = "127.0.0.1"
    port: int = 8790
    behind: str = ""
    """Addresses of reverse proxies whose `X-Forwarded-For` is believed, with commas; empty for none."""
    tls: TlsConfig | None = None

    def check(self) -> None:
        """Check that nothing is served in the clear beyond this machine.

        Raises:
            ConfigurationError: it would be.
        """
        try:
            local = ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            local = self.host == "localhost"
        if not local and self.tls is None and not self.behind:
            raise ConfigurationError(
                f"links would be served at {self.host} without TLS",
                hint="give --tls-certificate and --tls-key, or --behind with your reverse proxy's address",
            )


def run_share(config: ShareConfig, *, begun: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        config: what is served, and where.
        begun: called once the address is listened on.

    Raises:
        ConfigurationError: it would be served in the clear.
        UnavailableError: the address can't be listened on.
        DiskError: the shelf can't be used.
    """
    config.check()
    forbid_core_dumps()
    from panachain.service.share.app import create_app

    shelf = Shelf(config.folder)
    shelf.sweep()
    duties = {"links that are over can't be deleted": shelf.sweep}
    with (
        closing(listen(config.host, config.port)) as listening,
        Periodic(duties, every=_SWEEP, name="share-sweep", log=_log),
    ):
        begun()
        serve(
            create_app(shelf, url=config.url.rstrip("/")),
            listening,
            tls=config.tls,
            grace=_GRACE,
            behind=config.behind,
        )
