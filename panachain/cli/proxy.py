"""`proxy init`, `proxy serve`, `proxy announce`, `proxy rotate-keys`: a re-encryption proxy in the foreground.

Never reads a key from an argument. Follows docs/spec/cli.md and docs/spec/proxy.md.
"""

from __future__ import annotations

from pathlib import Path

import click

from panachain.cli.app import LazyGroup, command, current
from panachain.cli.key_rotation import rotate_proxy
from panachain.cli.services import proxy_init


@click.group("proxy", cls=LazyGroup, epilog="panachain proxy serve --config proxy.json")
def proxy() -> None:
    """Run a re-encryption proxy."""


@command(
    "serve",
    unchanged="kept key fragments and receipts stay",
    after="panachain doctor",
    examples="PANACHAIN_PASSPHRASE_FILE=pass.txt panachain proxy serve --config proxy.json",
)
@click.option(
    "--config",
    "settings",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The proxy's settings: key store, chains, contracts, database, address to listen on.",
)
def serve(settings: Path) -> None:
    """Serve until it is stopped with SIGTERM or Ctrl-C."""
    passphrase = current().passphrase("the proxy's key store")
    from panachain.service.proxy.run import run_proxy

    run_proxy(settings, passphrase)


@command(
    "announce",
    unchanged="the registry's endpoint of the proxy is the one before",
    after="panachain network check shows what the registry says",
    examples="PANACHAIN_PASSPHRASE_FILE=pass.txt panachain proxy announce https://proxy.example --config proxy.toml",
)
@click.argument("endpoint", metavar="URL")
@click.option(
    "--config",
    "settings",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The proxy's settings.",
)
def announce(endpoint: str, settings: Path) -> None:
    """Tell the registry where a registered proxy answers from now on; its account pays."""
    app = current()
    passphrase = app.passphrase("the proxy's key store")
    from panachain.service.proxy.run import announce_endpoint

    receipt = announce_endpoint(settings, passphrase, endpoint)
    app.output.one(
        {"schema": "panachain/announcement/1", "endpoint": endpoint, "tx": receipt.tx_hash, "block": receipt.block}
    )


proxy.add_command(announce)
proxy.add_command(serve)
proxy.add_command(proxy_init)
proxy.add_command(rotate_proxy)
