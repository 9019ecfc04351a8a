"""`key rotate`, `key history` and `proxy rotate-keys`: another key block for an actor, and which ones there are.

Never shows a key, and changes nothing before it was said what that means. Follows docs/spec/cli.md and ADR 58.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from panachain.cli import words
from panachain.cli.app import App, command, current
from panachain.cli.values import Duration, Moment

if TYPE_CHECKING:
    from panachain.sdk.key_rotation import OwnKeys
    from panachain.sdk.results.keys import KeyRotationReport

_COLUMNS: Final = ("generation", "state", "valid_from", "ends_at", "note")
_TITLES: Final = {
    "generation": "keys",
    "valid_from": "since",
    "ends_at": "signatures count until",
    "earlier_ends_at": "signatures of the keys before count until",
    "note": "",
}
_KINDS: Final = {
    "policies": ("policy", "that patients granted"),
    "pairings": ("pairing", "of patients"),
    "groups": ("group", "with its secrets"),
    "requests": ("request", "that was made"),
    "shares": ("policy", "whose shares the proxy keeps"),
}


def _options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            click.option(
                "--compromised-since",
                type=Moment(past=True),
                help="Others may know the keys of then: a date, or 2d. What they signed since then counts no more.",
            ),
            click.option(
                "--overlap",
                type=Duration(),
                default="1d",
                show_default=True,
                help="How long signatures of the keys before still count.",
            ),
            click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing."),
            click.option("--yes", is_flag=True, help="Don't ask."),
        )
    ):
        function = option(function)
    return function


@command(
    "rotate",
    unchanged="the keys are as they were",
    after="panachain key history",
    examples="""
        panachain --profile clinic key rotate --dry-run
        panachain --profile clinic key rotate --yes
        panachain --profile doctor key rotate --compromised-since 2d
    """,
)
@_options
def rotate(**how: Any) -> None:
    """Give the profile's actor other keys for sealing, receiving and signing.

    What was sealed to the keys before still opens, and what they signed until their end stays good. The account stays.
    A patient's keys never change: `revoke --rotate` changes those of their records.
    """
    app = current()
    if not how["dry_run"]:
        app.check_can_confirm(yes=how["yes"])
    with app.acting() as actor:
        _rotate(app, actor.keys, **how)


@command("history", examples="panachain --profile clinic key history")
def generations() -> None:
    """Show which keys the profile's actor has and had, as the chain says."""
    app = current()
    with app.acting() as actor:
        _list(app, actor.keys)


@command(
    "rotate-keys",
    unchanged="the proxy's keys are as they were",
    after="panachain proxy rotate-keys --config proxy.toml --dry-run shows which they are",
    examples="PANACHAIN_PASSPHRASE_FILE=pass.txt panachain proxy rotate-keys --config proxy.toml --dry-run",
)
@click.option(
    "--config",
    "settings",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The proxy's settings.",
)
@_options
def rotate_proxy(settings: Path, **how: Any) -> None:
    """Give a registered proxy other keys; its account pays, and a running one goes on.

    Shares that were deposited stay usable, whichever keys they were sealed to on their way. Receipts are signed by the
    account, which stays.
    """
    from panachain.chain.signing import Account
    from panachain.crypto import keystore
    from panachain.model.actors import Actor, Role
    from panachain.sdk.key_rotation import Owner, OwnKeys
    from panachain.service.proxy.config import read_config

    app = current()
    if not how["dry_run"]:
        app.check_can_confirm(yes=how["yes"])
    config = read_config(settings)
    seed = keystore.open(config.keystore, app.passphrase("the proxy's key store"), upgrade=False)
    account = Account(seed.account_key())
    with app.network() as network:
        actors = network.mainchain.actors
        owner = Owner(
            Actor.of(account.address, Role.PROXY, seed.public_keys()),
            seed,
            registered=lambda: actors.actor_of(account.address),
            # As the running proxy: one nonce for both.
            sender=lambda: network.mainchain.sender(account, lock_folder=config.folder / "nonces"),
        )
        _rotate(app, OwnKeys(network, owner), **how)


def _rotate(app: App, keys: OwnKeys, *, compromised_since: int | None, overlap: int, dry_run: bool, yes: bool) -> None:
    how: dict[str, Any] = {"compromised_since": compromised_since, "overlap": timedelta(seconds=overlap)}
    planned = keys.plan(**how)
    _explain(app, planned)
    if dry_run:
        _show(app, planned)
        app.output.say("Nothing was changed.")
        return
    app.confirm("Change the keys?", yes=yes)
    done = keys.rotate(**how)
    _show(app, done)
    app.output.say(f"{done.handle} has new keys: what is sealed from now on is sealed to them.")
    if done.compromised:
        app.output.next("panachain register  # puts every block into the store again, if one is lost")


def _explain(app: App, planned: KeyRotationReport) -> None:
    """Say what a change means, before it is made."""
    until = words.when(planned.earlier_ends_at)
    counted = [_counted(what, count) for what, count in planned.sealed if count]
    if counted:
        app.output.say(f"Stay readable, with the keys before: {', '.join(counted)}.")
    if planned.compromised:
        app.output.say(
            f"What was signed with the keys before and published since {until} won't count any more. Whoever has those "
            "keys still opens what was sealed to them: patients revoke and grant again what shall be closed to them."
        )
        if planned.newest_spared:
            app.output.say("The keys of now began after that: they are replaced, and nobody is said to know them.")
    else:
        app.output.say(f"What is signed with the keys before counts until {until}; what was signed stays good.")


def _counted(what: str, number: int) -> str:
    noun, rest = _KINDS[what]
    many = rest.replace("its secrets", "their secrets").replace("was", "were")
    return f"{words.count(number, noun)} {rest if number == 1 else many}"


def _show(app: App, report: KeyRotationReport) -> None:
    app.output.one(report, fields=("handle", "generation", "earlier_ends_at", "tx"), titles=_TITLES)


def _list(app: App, keys: OwnKeys) -> None:
    def note(row: Mapping[str, object]) -> Mapping[str, object]:
        told = [
            *([] if row["own"] else ["not of this profile's seed"]),
            *([] if row["stored"] else ["the store lacks its block"]),
        ]
        times = {name: row[name] or words.ABSENT for name in ("valid_from", "ends_at")}
        return {"note": "; ".join(told) or words.ABSENT, **times}

    views = keys.all()
    app.output.many(
        views, empty="No keys are registered yet.", columns=_COLUMNS, more=("key_digest",), titles=_TITLES, also=note
    )
    if not all(view.is_stored for view in views if view.is_own):
        app.output.next("panachain register  # puts the missing blocks into the store")
    if not all(view.is_own for view in views):
        app.output.warn("somebody who has the account's key, and not this seed, changed the keys: tell the registrar")
