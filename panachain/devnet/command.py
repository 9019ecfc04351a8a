"""`devnet install`, `up`, `status`, `down`, `records`: a network of one's own on this machine.

Never listens beyond loopback. Follows docs/spec/cli.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from panachain.cli.app import App, LazyGroup, command, current
from panachain.errors import UsageError

if TYPE_CHECKING:
    from panachain.devnet.lifecycle import DevnetStatus


@click.group(
    "devnet",
    cls=LazyGroup,
    epilog="""
        panachain devnet install
        panachain devnet up
        panachain devnet status --json
        panachain devnet records records/
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
    asked = {"proxies": (proxies, len(status.proxies)), "threshold": (threshold, status.threshold)}
    context = click.get_current_context()
    typed = [name for name in asked if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if any(asked[name][0] != asked[name][1] for name in typed):
        app.output.warn("it ran already, and stayed as it was: `panachain devnet down`, then the same again")
    app.output.next("panachain init --role patient  # or hospital, practitioner, researcher", "panachain devnet down")


@command(
    "install",
    after="name an anvil program in PANACHAIN_ANVIL, or put one on the path",
    examples="panachain devnet install",
)
def install() -> None:
    """Fetch Anvil, which runs the chains, from npm: one pinned version, its hash checked.

    Needed once, where no anvil program is on the path and PANACHAIN_ANVIL names none. It needs npm and a network.
    """
    from panachain.chain.anvil import find_anvil
    from panachain.devnet.install import VERSION, install_anvil

    app = current()
    app.output.detail(f"fetching anvil {VERSION}")
    place = install_anvil()
    app.output.one({"schema": "panachain/anvil/1", "program": str(place), "version": VERSION})
    if (used := find_anvil()) != place:
        app.output.say(f"The development network takes {used}, which comes first.")
    app.output.next("panachain devnet up")


@command(
    "records",
    unchanged="the folder is as it was",
    examples="panachain devnet records records/",
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def records(folder: Path) -> None:
    """Write sample records into DIR, a new folder: a FHIR Bundle and an image of a patient who doesn't exist."""
    from panachain.records.samples import sample_bundle, sample_dicom

    app = current()
    samples = {"patient.json": sample_bundle(1), "image.dcm": sample_dicom(1)}
    try:
        folder.mkdir()
    except FileExistsError:
        raise UsageError(f"{folder} exists already; it was left as it is", hint="another DIR") from None
    for name, content in samples.items():
        (folder / name).write_bytes(content)
    files = [
        {"schema": "panachain/file/1", "file": str(folder / name), "size": len(content)}
        for name, content in samples.items()
    ]
    app.output.many(files, empty="", columns=("file", "size"))
    app.output.next(f"panachain upload {folder} --patient PATIENT --dry-run")


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
            "proxies": f"any {status.threshold} of {len(status.proxies)} must help" if status.proxies else "none runs",
        }
    )
    if status.proxies:
        columns = ("proxy", "endpoint", "running", "pid")
        app.output.many(status.proxies, empty="", columns=columns, also=lambda one: {"proxy": one["address"]})


devnet.add_command(install)
devnet.add_command(up)
devnet.add_command(status)
devnet.add_command(down)
devnet.add_command(records)
