"""`deploy`: the contracts of a new network, once on each chain, and its network file.

Never takes a key as an argument or from a variable's value, and never overwrites a network file: a new version is a new
address, and a new file. Follows docs/spec/cli.md and docs/spec/network.md, section "Deployment".
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from panachain.cli.app import App, command, current
from panachain.errors import ConfigurationError, LockedError, UsageError

if TYPE_CHECKING:
    from panachain.chain.config import ChainConfig
    from panachain.chain.deploy import Cost, Deployment, Governance
    from panachain.model.actors import Address

CONFIRMATIONS: Final = 1
"""Blocks; the proxies' configuration must ask for no more."""
MAX_HEAD_AGE: Final = 600
"""Seconds by which the mainchain's newest block may be behind a clock: public chains make one each few seconds."""
_ETHER: Final = 10**18
"""Wei."""
_MAX_KEY: Final = 200
"""Bytes of what a descriptor gives for a key."""


@command(
    "deploy",
    unchanged="what was sent stands in the journal beside the network file, and isn't paid twice",
    after="the same command again goes on where this one stopped",
    examples="""
        panachain deploy --mainchain https://node.example --sidechain http://10.0.0.7:8545 --key-file deployer.key \\
          --registrar 0x… --admin 0x… --validator 0x… --validator 0x… --dry-run
        panachain deploy --mainchain https://node.example --sidechain http://10.0.0.7:8545 --key-file deployer.key \\
          --registrar 0x… --admin 0x… --validator 0x… --validator 0x… --yes
    """,
)
@click.option("--mainchain", metavar="URL", help="The mainchain's node, or several with commas.")
@click.option("--sidechain", metavar="URL", help="The sidechain's node, or several with commas.")
@click.option(
    "--key-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    envvar="PANACHAIN_DEPLOYER_KEY_FILE",
    help="Secret key (hex, 0600) of the account that pays on the mainchain.",
)
@click.option("--key-fd", metavar="N", type=click.IntRange(0), help="Read that key from this file descriptor.")
@click.option(
    "--side-key-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    envvar="PANACHAIN_SIDECHAIN_DEPLOYER_KEY_FILE",
    help="The same for the sidechain; a random key if left out, where gas costs nothing.",
)
@click.option("--registrar", metavar="ADDRESS", envvar="PANACHAIN_REGISTRAR", help="Who admits and suspends.")
@click.option(
    "--admin",
    metavar="ADDRESS",
    envvar="PANACHAIN_ADMIN",
    help="Who changes roles, after a delay; best a multisig, and not the registrar.",
)
@click.option(
    "--validator",
    "validators",
    metavar="ADDRESS",
    multiple=True,
    help="Whose signatures checkpoint the sidechain; several times, or with commas.",
)
@click.option(
    "--quorum",
    type=click.IntRange(1),
    envvar="PANACHAIN_QUORUM",
    help="How many validators must sign; more than half if left out.",
)
@click.option(
    "--admin-delay",
    metavar="SECONDS",
    type=click.IntRange(0),
    envvar="PANACHAIN_ADMIN_DELAY",
    help="What the administrator announces takes effect after so long; two days if left out.",
)
@click.option(
    "--threshold", type=click.IntRange(2, 16), default=2, show_default=True, help="How many proxies must help."
)
@click.option("--relay", "relays", metavar="URL", multiple=True, help="A relay that pays for patients.")
@click.option(
    "--sidechain-relay",
    "sidechain_relays",
    metavar="URL",
    multiple=True,
    help="A relay that pays for what persons do on the sidechain.",
)
@click.option("--network", metavar="FILE", type=click.Path(path_type=Path), help="The network file to write.")
@click.option("--dry-run", is_flag=True, help="Show what it costs, and send nothing.")
@click.option("--anew", is_flag=True, help="Forget what an earlier run sent, and pay again.")
@click.option("--yes", is_flag=True, help="Don't ask before paying.")
def deploy(**given: Any) -> None:
    """Deploy the contracts to both chains and write the network file.

    Broken off anywhere, the same command goes on and pays nothing twice. The deployers have no power afterwards. The
    key is asked for where neither a file nor a descriptor gives it.
    """
    app = current()
    app.flags |= {
        name: str(value)
        for name, value in (
            ("mainchain_rpc", given["mainchain"]),
            ("sidechain_rpc", given["sidechain"]),
            ("network_file", given["network"]),
        )
        if value
    }
    config = app.config
    if not (config.mainchain_rpc and config.sidechain_rpc):
        raise ConfigurationError("name both nodes: --mainchain and --sidechain", hint="panachain deploy --help")
    if config.network_file.exists():
        raise ConfigurationError(
            f"{config.network_file} exists; nothing was deployed",
            hint="panachain network check shows whether it is right; --network names another file",
        )
    who = _governance(given)
    if not given["dry_run"]:
        app.check_can_confirm(yes=given["yes"])
    run = _Run(app, given, who)
    try:
        run.show_costs()
        if given["dry_run"]:
            app.output.say("Nothing was sent.")
            return
        run.check_funds()
        question = f"Deploy, for at most {ether(sum(cost.fee for cost in run.costs))}?"
        app.confirm(question, yes=given["yes"])
        run.deploy()
    finally:
        run.close()


class _Run:
    """One run of the command: its keys, nodes and journal."""

    def __init__(self, app: App, given: dict[str, Any], who: Governance) -> None:
        from panachain.chain.deployment_journal import Journal
        from panachain.chain.fees import MAX_FEE, has_base_fee, read_max_fee
        from panachain.chain.rpc import Rpc

        self._app, self._who, self._given = app, who, given
        path = app.config.network_file
        self._journal_path = path.with_suffix(".deployment.json")
        self._side_key_path = path.with_suffix(".deployer.key")
        if given["anew"] and not given["dry_run"]:
            _set_aside(self._journal_path)
            _set_aside(self._side_key_path)
        self._journal = Journal(None if given["anew"] and given["dry_run"] else self._journal_path)
        self._main_key = _main_key(given["key_file"], given["key_fd"])
        self._side_key = self._side(given["side_key_file"])
        self._main_urls = app.config.mainchain_rpc.split(",")
        self._side_urls = app.config.sidechain_rpc.split(",")
        self._main, self._rest = Rpc(self._main_urls[0]), Rpc(self._side_urls[0])
        self._max_fee = MAX_FEE if app.config.max_fee is None else read_max_fee(app.config.max_fee)
        self._side_paid = has_base_fee(self._rest)
        if self._side_paid and not given["side_key_file"]:
            raise UsageError(
                "gas costs something on the sidechain, and a random account holds nothing; nothing was deployed",
                hint="--side-key-file names the key of an account that holds ether there",
            )
        self.costs: list[Cost] = []

    def show_costs(self) -> None:
        from panachain.chain.deploy import estimate

        self.costs = estimate(
            self._main,
            self._rest,
            self._main_key,
            self._who,
            side_key=self._side_key,
            lock_folder=self._app.home / "nonces",
            side_paid=self._side_paid,
            max_fee=self._max_fee,
            journal=self._journal,
        )
        if self._app.output.as_json and not self._given["dry_run"]:
            # One command gives one result.
            return
        shown = {one.chain: one for one in self.costs}
        self._app.output.many(
            [described_cost(one) for one in self.costs],
            empty="",
            columns=("chain", "chain_id", "deployer", "transactions", "gas", "at_most", "holds"),
            also=lambda row: {
                "at_most": ether(shown[str(row["chain"])].fee),
                "holds": ether(shown[str(row["chain"])].balance),
            },
        )

    def check_funds(self) -> None:
        for cost in self.costs:
            if cost.fee > cost.balance:
                raise UsageError(
                    f"the {cost.chain}'s deployer {cost.deployer} holds {ether(cost.balance)}, and at most"
                    f" {ether(cost.fee)} is needed; nothing was deployed",
                    hint=f"send it {ether(cost.fee - cost.balance)}: what isn't used stays its own",
                )

    def deploy(self) -> None:
        from panachain.chain.deploy import deploy
        from panachain.chain.governance import check_deployment
        from panachain.chain.web3 import MainchainWeb3, SidechainWeb3
        from panachain.private_files import make_private_folder, write_private

        app, config = self._app, self._app.config
        make_private_folder(config.network_file.parent)
        if not self._given["side_key_file"] and not self._side_key_path.exists():
            # Kept until all is done: whoever goes on needs it, and afterwards it has no power.
            write_private(self._side_key_path, self._side_key.hex().encode())
        deployment = deploy(
            self._main,
            self._rest,
            self._main_key,
            self._who,
            side_key=self._side_key,
            lock_folder=app.home / "nonces",
            side_paid=self._side_paid,
            max_fee=self._max_fee,
            journal=self._journal,
            told=app.output.say,
        )
        app.output.say("checking who is in charge")
        main, side = deployment.mainchain, deployment.sidechain
        check_deployment(
            MainchainWeb3(self._main, main.contracts, main.from_block),
            SidechainWeb3(self._rest, side.contracts, side.from_block),
            deployment,
            self._who,
        )
        network = self._network(deployment)
        write_private(config.network_file, json.dumps(network, indent=1).encode())
        self._side_key_path.unlink(missing_ok=True)
        app.output.one(
            {
                "schema": "panachain/deployed/1",
                "network_file": str(config.network_file),
                "mainchain": main.chain_id,
                "sidechain": side.chain_id,
                "contracts": dict(main.contracts) | {f"sidechain {name}": at for name, at in side.contracts.items()},
                "registrar": self._who.registrar,
                "administrator": self._who.admin,
            },
            fields=("network_file", "mainchain", "sidechain", "registrar", "administrator"),
            whole=("registrar", "administrator"),
        )
        app.output.next(
            f"panachain network check {config.network_file}",
            "panachain network add-proxy card.json  # of each proxy; then add-hospital, add-person",
        )

    def close(self) -> None:
        self._main.close()
        self._rest.close()

    def _side(self, file: Path | None) -> bytes:
        from panachain.crypto.keys import Seed

        if file is not None:
            return _key_of(file)
        if self._side_key_path.exists():
            return _key_of(self._side_key_path)
        if self._journal.begun("sidechain") is not None:
            raise LockedError(
                f"{self._journal_path} tells of a deployment whose sidechain key isn't in {self._side_key_path}: it is"
                " finished, or the key is lost; nothing was sent",
                hint="restore the network file or the key, or begin anew with --anew, which pays again",
            )
        return Seed.random().account_key()

    def _network(self, deployment: Deployment) -> dict[str, Any]:
        config, who = self._app.config, self._who
        relays = {"relays": self._given["relays"], "sidechainRelays": self._given["sidechain_relays"]}
        return {
            "schema": "panachain/network/1",
            "mainchain": _described(deployment.mainchain, self._main_urls, max_head_age=MAX_HEAD_AGE),
            "sidechain": _described(deployment.sidechain, self._side_urls),
            "ipfs": {"kind": "embedded"},
            "threshold": self._given["threshold"],
            "confirmations": CONFIRMATIONS if config.confirmations is None else config.confirmations,
            "governance": who.describe(),
        } | {name: list(urls) for name, urls in relays.items() if urls}


def ether(wei: int) -> str:
    """Return an amount as people read it, never less than it is."""
    if not wei:
        return "0 ether"
    # Rounded up at the sixth place, which is worth looking at on every chain that takes a fee.
    millionths = -(-wei * 10**6 // _ETHER)
    return f"{millionths / 10**6:,.6f}".rstrip("0").rstrip(".") + " ether"


def described_cost(cost: Cost) -> dict[str, object]:
    """Return a cost as JSON, schema `panachain/cost/1`; amounts are wei, as texts, since they can pass 2**53."""
    return {
        "schema": "panachain/cost/1",
        "chain": cost.chain,
        "chain_id": cost.chain_id,
        "deployer": cost.deployer,
        "transactions": cost.transactions,
        "gas": cost.gas,
        "gas_price": str(cost.price),
        "fee": str(cost.fee),
        "balance": str(cost.balance),
    }


def _described(chain: ChainConfig, urls: list[str], *, max_head_age: int = 0) -> dict[str, Any]:
    """Return a chain's section of the network file, with all nodes that the settings name."""
    from panachain.chain.config import NodeConfig

    return replace(chain, nodes=tuple(map(NodeConfig, urls)), max_head_age=max_head_age).describe()


def _governance(given: dict[str, Any]) -> Governance:
    """Return who is in charge afterwards."""
    from panachain.chain.deploy import DELAY, Governance

    # Not click's envvar: of several values it takes blanks between them, and this variable has had commas.
    named = given["validators"] or (os.environ.get("PANACHAIN_VALIDATORS", ""),)
    texts = [text.strip() for one in named for text in one.split(",") if text.strip()]
    missing = [
        option for option, value in (("--registrar", given["registrar"]), ("--admin", given["admin"])) if not value
    ] + ([] if texts else ["--validator"])
    if missing:
        raise UsageError(f"say who is in charge afterwards: {', '.join(missing)}", hint="panachain deploy --help")
    validators = tuple(_account(text) for text in texts)
    quorum = given["quorum"] or len(validators) // 2 + 1
    if len(set(validators)) < len(validators):
        raise UsageError("a validator is named twice: it would have two votes")
    if quorum > len(validators):
        raise UsageError(f"{quorum} of {len(validators)} validators can't sign")
    delay = DELAY if given["admin_delay"] is None else given["admin_delay"]
    return Governance(_account(given["registrar"]), _account(given["admin"]), validators, quorum, delay)


def _account(text: str) -> Address:
    from panachain.ethereum import parse_address

    try:
        return parse_address(text.strip())
    except ValueError:
        raise UsageError(f"{text.strip()!r} isn't an address") from None


def _main_key(file: Path | None, descriptor: int | None) -> bytes:
    import sys

    if descriptor is not None:
        try:
            with os.fdopen(descriptor, "rb", closefd=False) as opened:
                return _key(opened.read(_MAX_KEY).decode("ascii", "replace"), f"file descriptor {descriptor}")
        except OSError as exc:
            raise UsageError(f"--key-fd {descriptor} can't be read: {exc.strerror}") from exc
    if file is not None:
        return _key_of(file)
    if not sys.stdin.isatty():
        raise LockedError(
            "the key of the mainchain's deployer is needed, and there is no terminal to ask on",
            hint="--key-file FILE, PANACHAIN_DEPLOYER_KEY_FILE or --key-fd N",
        )
    return _key(click.prompt("Secret key of the mainchain's deployer", hide_input=True, err=True), "what was typed")


def _key_of(path: Path) -> bytes:
    from panachain.chain.access import read_key

    return read_key(path)


def _key(text: str, source: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip().removeprefix("0x"))
    except ValueError:
        key = b""
    if len(key) != 32:
        # Not quoted: it could be a key with a slip in it.
        raise LockedError(f"{source} holds no secret key: 32 bytes in hex")
    return key


def _set_aside(path: Path) -> None:
    """Give a file another name: what was paid for stays known."""
    if path.exists():
        number = 1
        while (other := path.with_name(f"{path.name}.{number}")).exists():
            number += 1
        path.rename(other)
