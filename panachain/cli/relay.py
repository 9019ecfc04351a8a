"""`relay init`, `relay serve`: a relay that pays for patients' policy transactions; `relay issue`: an issuer of tokens.

Never reads a key from an argument. Follows docs/spec/cli.md and docs/spec/relay.md.
"""

from __future__ import annotations

from pathlib import Path

import click

from panachain.cli.app import LazyGroup, command, current
from panachain.cli.services import relay_init


@click.group("relay", cls=LazyGroup, epilog="panachain relay serve --config relay.json")
def relay() -> None:
    """Pay for patients' policy transactions."""


@command(
    "serve",
    unchanged="what was paid stays written down, and a transaction under way is waited for at the next start",
    after="panachain doctor",
    examples="PANACHAIN_PASSPHRASE_FILE=pass.txt panachain relay serve --config relay.json",
)
@click.option(
    "--config",
    "settings",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The relay's settings: account, mainchain, budget, database, address to listen on.",
)
def serve(settings: Path) -> None:
    """Serve until it is stopped with SIGTERM or Ctrl-C."""
    from panachain.service.relay.run import RelayConfig, run_relay

    config = RelayConfig.read(settings)
    run_relay(config, current().passphrase("the relay's key store") if config.keystore else "")


@command(
    "issue",
    unchanged="tokens that were given out stay good, and how many each patient had stays written down",
    examples="panachain relay issue --config issuer.json",
)
@click.option(
    "--config",
    "settings",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The issuer's settings: sidechain, database, key file, address to listen on.",
)
def issue(settings: Path) -> None:
    """Give registered patients tokens for relays, until it is stopped with SIGTERM or Ctrl-C."""
    from panachain.service.issuer.run import IssuerConfig, run_issuer

    run_issuer(IssuerConfig.read(settings))


relay.add_command(relay_init)
relay.add_command(serve)
relay.add_command(issue)
