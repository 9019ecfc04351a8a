"""`sidechain gate`, which is `gate serve`: the gate before the sidechain's RPC, in the foreground.

Follows docs/spec/cli.md and docs/spec/gate.md.
"""

from __future__ import annotations

from pathlib import Path

import click

from panachain.cli.app import LazyGroup, command


@click.group("sidechain", cls=LazyGroup, epilog="panachain sidechain gate --config gate.json")
def sidechain() -> None:
    """Keep the sidechain private."""


@command(
    "gate",
    unchanged="the chain and the audit log stay",
    after="panachain doctor",
    examples="panachain sidechain gate --config gate.json",
)
@click.option(
    "--config",
    "settings",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The gate's settings: the node behind it, the nodes that may pass, audit log, address to listen on.",
)
def gate(settings: Path) -> None:
    """Let admitted nodes, and nobody else, use the sidechain's RPC, until it is stopped with SIGTERM or Ctrl-C."""
    from panachain.service.gate.run import run_gate

    run_gate(settings)


sidechain.add_command(gate)
