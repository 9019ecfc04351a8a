"""`devnet up`, `devnet status`, `devnet down`: a network of one's own on this machine.

Never listens beyond loopback. Follows docs/spec/cli.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from panachain.cli.app import App, LazyGroup, command, current
from panachain.errors import UsageError

if TYPE_CHECKING:
    from panachain.devnet.lifecycle import DevnetStatus


@click.group(
    "devnet",
    cls=LazyGroup,
    epilog="""
        panachain devnet up
        panachain devnet status --json
        panachain devnet down
    """,
)
def devnet() -> None:
    """Run a network of your own: two chains, a store, proxies."""


@command(
    "up",
    unchanged="what the chains and the store held before stays (unless --fresh was given)",
    after="panachain devnet status, then panachain doctor",
    examples="""
        panachain devnet up
        panachain devnet up --proxies 5 --threshold 3 --ipfs kubo
    """,
)
@click.option("--proxies", type=click.IntRange(2, 16), default=3, show_default=True, help="How many proxies run.")
@click.option("--threshold", type=click.IntRange(2, 16), default=2, show_default=True, help="How many must answer.")
@click.option("--ipfs", type=click.Choice(["auto", "embedded", "kubo"]), help="Which store; auto if left out.")
@click.option("--fresh", is_flag=True, help="Forget the state of an earlier devnet.")
def up(proxies: int, threshold: int, ipfs: str | None, fresh: bool) -> None:
    """Start the network, or go on with the one that was stopped."""
    app = current()
    if threshold > proxies:
        raise UsageError(f"--threshold {threshold} is more than --proxies {proxies}")
    store = ipfs or app.config.ipfs
    passphrase = app.passphrase("the devnet's registrar and proxies", confirm=True)
    app.output.detail(f"starting two chains and {proxies} proxies in {app.home}")
    from panachain.devnet import Devnet

    status = Devnet.up(app.home, proxies=proxies, threshold=threshold, ipfs=store, fresh=fresh, passphrase=passphrase)
    show(app, status)
    app.output.next("panachain init --role patient  # or hospital, practitioner, researcher", "panachain devnet down")


@command("status", examples="panachain devnet status --json")
def status() -> None:
    """Show what runs, and where."""
    from panachain.devnet import Devnet

    app = current()
    show(app, Devnet.status(app.home))


@command(
    "down",
    unchanged="what the chains and the store hold stays",
    after="panachain devnet status shows what still runs",
    examples="panachain devnet down",
)
def down() -> None:
    """Stop the network; its state stays for the next `devnet up`."""
    from panachain.devnet import Devnet

    app = current()
    app.output.one(Devnet.down(app.home), fields=("running",))
    app.output.say("What the chains and the store hold stays: `panachain devnet up` goes on with it.")


def show(app: App, status: DevnetStatus) -> None:
    """Print what runs: the chains and the store, then a line per proxy."""
    if app.output.as_json:
        app.output.one(status)
        return
    gate = " (its gate)" if status.gate else ""
    app.output.one(
        {
            "running": status.running,
            "mainchain": status.mainchain,
            "sidechain": f"{status.sidechain}{gate}",
            "store": status.ipfs,
            "proxies": f"any {status.threshold} of {len(status.proxies)} must help",
        }
    )
    proxies = [dict(proxy) for proxy in status.proxies]
    if proxies:
        titles = {"address": "proxy"}
        app.output.many(proxies, empty="", columns=("address", "endpoint", "running", "pid"), titles=titles)


devnet.add_command(up)
devnet.add_command(status)
devnet.add_command(down)
