"""`proxy init`, `relay init`, `gate init`, `index init`, `index follow`: what an operator begins with.

Never overwrites a file, never shows a key, and never starts anything. Follows docs/spec/cli.md and docs/operate.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from panachain.cli.app import App, LazyGroup, command, current
from panachain.cli.sidechain import gate as gate_serve
from panachain.errors import UsageError

_USER: Final = "panachain"
_LONGEST: Final = 86_400


def _options(port: int, *, database: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add what all `init` take."""

    def added(function: Callable[..., None]) -> Callable[..., None]:
        options = [
            click.option("--host", default="127.0.0.1", show_default=True, help="Where it listens."),
            click.option("--port", type=click.IntRange(1, 65535), default=port, show_default=True, help="The same."),
            click.option("--user", default=_USER, show_default=True, help="The account that the service runs under."),
        ]
        if database:
            options.append(
                click.option("--database", metavar="FILE|URL", help="A file's name, or postgresql+psycopg://…")
            )
        for option in reversed(options):
            function = option(function)
        return click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))(function)

    return added


@command(
    "init",
    unchanged="a key store that was made is never written over",
    examples="panachain proxy init /srv/panachain/proxy --endpoint https://proxy.example",
)
@_options(8750, database=True)
@click.option("--endpoint", required=True, metavar="URL", help="Where patients and grantees reach it.")
def proxy_init(folder: Path, host: str, port: int, user: str, database: str | None, endpoint: str) -> None:
    """Make a proxy's folder DIR: keys, a commented configuration, a systemd unit, and a card for the registrar."""
    from panachain.service.prepare import proxy_config
    from panachain.wire.endpoints import check_form

    app = current()
    network, place = _network(app)
    endpoint = check_form(endpoint)
    files = _Files(app, folder, "proxy", user)
    gated = bool(network["sidechain"].get("nodeKeyFile"))
    text = proxy_config(network, place, host=host, port=port, database=database or "proxy.sqlite", gated=gated)
    passphrase = app.passphrase("the proxy's key store", confirm=True)
    files.begin()
    actor = _proxy_keys(folder / "seed.json", passphrase, endpoint)
    node = files.node_key("node.key") if gated else ""
    files.write("card.json", json.dumps(actor, indent=1))
    files.finish(text, "a re-encryption proxy", passphrase=True)
    files.show({"account": str(actor["address"]), "endpoint": endpoint, "node": node})
    passphrase_file = files.folder / "passphrase"
    app.output.say(
        f"Hand card.json to the registrar. When the folder is the service's (chown), put the passphrase into"
        f" {passphrase_file} (0600, root's): the service gets a copy."
    )
    app.output.next(f"panachain network add-proxy {folder / 'card.json'}  # the registrar", *files.start())


@command(
    "init",
    unchanged="a key that was made is never written over",
    examples="""
        panachain relay init /srv/panachain/relay
        panachain relay init /srv/panachain/sidechain-relay --sidechain --port 8761
    """,
)
@_options(8760, database=True)
@click.option("--sidechain", is_flag=True, help="It pays for what persons do on the sidechain, in place of policies.")
def relay_init(folder: Path, host: str, port: int, user: str, database: str | None, sidechain: bool) -> None:
    """Make a relay's folder DIR: the account that pays, a commented configuration, a systemd unit."""
    from panachain.service.prepare import relay_config

    app = current()
    network, place = _network(app)
    chain = "sidechain" if sidechain else "mainchain"
    gated = sidechain and bool(network[chain].get("nodeKeyFile"))
    files = _Files(app, folder, "relay", user, unit="sidechain-relay" if sidechain else "")
    database = database or "relay.sqlite"
    text = relay_config(network, place, host=host, port=port, database=database, chain=chain, gated=gated)
    files.begin()
    account = files.node_key("relay.key")
    node = files.node_key("node.key") if gated else ""
    files.finish(text, f"a relay that pays for {'persons' if sidechain else 'patients'}", passphrase=False)
    files.show({"account": account, "node": node})
    # Whole: half an address gets no ether.
    app.output.say(f"Send ether to {account} on the {chain}.", whole=True)
    if node:
        app.output.say(f"Ask the gate's operators to admit {node}: it goes into their `nodes`.", whole=True)
    app.output.say(f"Put the relay's URL into the network file's `{'sidechainRelays' if sidechain else 'relays'}`.")
    app.output.next(*files.start(), f"panachain network check {app.config.network_file}")


@command(
    "init",
    unchanged="a configuration that is there stays",
    examples="panachain gate init /srv/panachain/gate --url https://gate.example --node http://127.0.0.1:8545",
)
@_options(8770, database=False)
@click.option("--url", required=True, metavar="URL", help="Under which nodes reach it.")
@click.option("--node", required=True, metavar="URL", help="The sidechain's own node, behind the gate.")
def gate_init(folder: Path, host: str, port: int, user: str, url: str, node: str) -> None:
    """Make the folder DIR of the sidechain's gate: a commented configuration and a systemd unit."""
    from panachain.service.prepare import gate_config

    app = current()
    network, place = _network(app)
    files = _Files(app, folder, "gate", user)
    text = gate_config(network, place, host=host, port=port, url=url, node=node)
    files.begin()
    files.finish(text, "the gate before the sidechain", passphrase=False, start=("gate", "serve"))
    files.show({"url": url})
    app.output.say("Put the gate's url into the network file's sidechain, and the nodes' addresses into gate.toml.")
    app.output.next(*files.start(), f"panachain network check {app.config.network_file}")


@click.group("gate", cls=LazyGroup, epilog="panachain gate serve --config gate.toml")
def gate() -> None:
    """Run the gate before the sidechain."""


@command(
    "key",
    unchanged="a key that is there stays",
    examples="panachain gate key /etc/panachain/node.key",
)
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
def gate_key(file: Path) -> None:
    """Make the key FILE by which this machine passes a gate, if it isn't there, and show its account.

    The network file's `nodeKeyFile` names it; the gate's operators put the account into their `nodes`.
    """
    account = _key_of(file)
    current().output.one(
        {"schema": "panachain/node-key/1", "file": str(file), "account": account},
        fields=("file", "account"),
        whole=("account",),
    )


@click.group("index", cls=LazyGroup, epilog="panachain index follow --every 15")
def index() -> None:
    """Keep this machine's copies of both chains current."""


@command(
    "init",
    unchanged="settings that are there stay",
    examples="panachain index init /srv/panachain/index",
)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--user", default=_USER, show_default=True, help="The account that the service runs under.")
def index_init(folder: Path, user: str) -> None:
    """Make a home DIR whose copies of both chains are kept current: commented settings and a systemd unit."""
    from panachain.service.prepare import index_config, unit

    app = current()
    _network(app)
    files = _Files(app, folder, "index", user, config="panachain.toml")
    command_line = (*_program(), "index", "follow")
    text = unit("copies of both chains", command_line, files.folder, user=user, passphrase=False, home=True)
    files.begin()
    files.write("panachain.toml", index_config(app.config.network_file))
    files.write_unit(text)
    files.show({})
    app.output.next(*files.start(), f"panachain --home {folder} query storage")


@command(
    "follow",
    unchanged="what was read of the chains stays, and is gone on with",
    examples="panachain index follow --every 15",
)
@click.option(
    "--every", type=click.IntRange(1, _LONGEST), default=15, show_default=True, help="Seconds between two looks."
)
@click.option("--once", is_flag=True, help="Look once, and end.")
def follow(every: int, once: bool) -> None:
    """Read what is new on both chains, again and again, until it is stopped with SIGTERM or Ctrl-C.

    A node that doesn't answer is told and asked again. With --once the failure is the command's.
    """
    import signal
    import threading

    from panachain.errors import PanaChainError

    app = current()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    with app.network() as network:
        chains = {"mainchain": network.mainchain, "sidechain": network.sidechain}
        while True:
            for name, chain in chains.items():
                try:
                    block = chain.head_block()
                except PanaChainError as exc:
                    if once:
                        raise
                    app.output.warn(f"{name}: {exc}")
                else:
                    head = {"schema": "panachain/head/1", "chain": name, "block": block.number, "time": block.time}
                    if once:
                        app.output.one(head)
                    else:
                        app.output.detail(f"{name}: block {block.number}")
            if once or stopped.wait(every):
                return


class _Files:
    """The files of one service, in a folder of its own."""

    def __init__(self, app: App, folder: Path, name: str, user: str, *, config: str = "", unit: str = "") -> None:
        self._app, self._name, self._user = app, name, user
        self.folder = folder.absolute()
        self.config_path = self.folder / (config or f"{name}.toml")
        # systemd links a unit by its file's name: two on one machine have two names.
        self.unit_path = self.folder / f"panachain-{unit or name}.service"
        for path in (self.config_path, self.unit_path):
            if path.exists():
                raise UsageError(f"{path} exists; it was left as it is", hint="another DIR")

    def begin(self) -> None:
        from panachain.private_files import make_private_folder

        make_private_folder(self.folder)

    def write(self, name: str, text: str) -> None:
        from panachain.private_files import write_private

        write_private(self.folder / name, text.encode())

    def node_key(self, name: str) -> str:
        """Make a key if it isn't there yet, and return its address."""
        return _key_of(self.folder / name)

    def finish(self, config: str, what: str, *, passphrase: bool, start: tuple[str, ...] = ()) -> None:
        from panachain.service.prepare import unit

        program = (*_program(), *(start or (self._name, "serve")), "--config", str(self.config_path))
        text = unit(what, program, self.folder, user=self._user, passphrase=passphrase)
        self.write(self.config_path.name, config)
        self.write_unit(text)

    def write_unit(self, text: str) -> None:
        self.write(self.unit_path.name, text)

    def start(self) -> tuple[str, str]:
        """Return what starts the service: whoever made its files isn't who it runs as."""
        return f"sudo chown -R {self._user}: {self.folder}", f"sudo systemctl enable --now {self.unit_path}"

    def show(self, more: dict[str, str]) -> None:
        fields = {
            "schema": "panachain/service/1",
            "service": self._name,
            "configuration": str(self.config_path),
            "unit": str(self.unit_path),
        } | {name: value for name, value in more.items() if value}
        self._app.output.one(fields, fields=[name for name in fields if name != "schema"], whole=("account", "node"))


def _key_of(path: Path) -> str:
    """Make an account's key if it isn't there yet, and return its address.

    Raises:
        ConfigurationError: what is there is no key, or others may read it.
    """
    from panachain.chain.access import read_key
    from panachain.crypto.keys import Seed, address_of
    from panachain.private_files import write_private

    if not path.exists():
        write_private(path, Seed.random().account_key().hex().encode())
    return address_of(read_key(path))


def _network(app: App) -> tuple[dict[str, Any], Path]:
    """Return the network file that the settings name, and where it lies."""
    from panachain.sdk.network_file import chains_of, read_description

    network = read_description(app.config)
    # Read once as every service will: what it can't read is told now.
    chains_of(network, app.config)
    return network, app.config.network_file.parent.absolute()


def _program() -> tuple[str, ...]:
    """Return how this very program is started, wherever it is installed and whichever folder that is done in."""
    return sys.executable, "-P", "-m", "panachain.cli"


def _proxy_keys(path: Path, passphrase: str, endpoint: str) -> dict[str, object]:
    """Make a proxy's key store, or open the one that is there, and return its card."""
    from panachain.crypto import keystore
    from panachain.crypto.keys import Seed, address_of
    from panachain.model.actors import Role, handle_of

    if path.exists():
        seed = keystore.open(path, passphrase)
    else:
        seed = Seed.random()
        keystore.create(path, seed, passphrase)
    address, keys = address_of(seed.account_key()), seed.public_keys()
    return {
        "schema": "panachain/actor/2",
        "address": address,
        "handle": handle_of(address, Role.PROXY),
        "role": Role.PROXY.value,
        "key_digest": keys.digest.hex(),
        "key_block": keys.encode().hex(),
        "endpoint": endpoint,
    }


gate.add_command(gate_init)
gate.add_command(gate_serve, "serve")
gate.add_command(gate_key)
index.add_command(index_init)
index.add_command(follow)
