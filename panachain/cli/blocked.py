"""`block`, `unblock`, `blocked`: whom one doesn't want to hear of; and what lists say of what they leave out.

Never tells a blocked account, and never leaves this machine. Follows docs/spec/cli.md.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from panachain.cli import words
from panachain.cli.app import App, command, current
from panachain.model.actors import Role

if TYPE_CHECKING:
    from panachain.sdk.results.listings import LeftOut

SCHEMA: Final = "panachain/blocked/1"
_TOLD: Final = 10
"""Warnings about what a list leaves out: a stranger can send thousands of things that nobody can read."""


def show_left_out(app: App, listing: object) -> None:
    """Say what a list lacks: a line for each with --json and --long, else the first ones and how many more."""
    left_out: tuple[LeftOut, ...] = getattr(listing, "left_out", ())
    if app.output.as_json:
        app.output.many(left_out, empty="")
        return
    told = left_out if app.output.long else left_out[:_TOLD]
    for one in told:
        app.output.warn(str(one))
    if rest := len(left_out) - len(told):
        app.output.warn(f"and {rest} more are left out; --long names them all")


def things(left_out: Sequence[LeftOut]) -> str:
    """Return how many things of each kind a list lacks."""
    kinds = Counter("record" if one.kind == "records" else one.kind for one in left_out)
    return ", ".join(words.count(number, kind) for kind, number in kinds.items())


@command("block", examples="panachain --profile me block pra-mfrggzdfmy2tq", unchanged="nobody was blocked")
@click.argument("who")
def block(who: str) -> None:
    """Hear nothing more of WHO: neither requests nor invitations, policies or groups of theirs.

    WHO isn't told. It takes no grant back: `panachain revoke` does.
    """
    app = current()
    with app.acting(Role.PATIENT, Role.PRACTITIONER, Role.RESEARCHER) as actor:
        app.output.one(_row(actor.blocked.add(who)), whole=("account",))
    app.output.next(f"panachain unblock {shlex.quote(who)}  # hears of them again")


@command("unblock", examples="panachain --profile me unblock pra-mfrggzdfmy2tq", unchanged="the list is as it was")
@click.argument("who")
def unblock(who: str) -> None:
    """Hear of WHO again, also of what they sent meanwhile."""
    app = current()
    with app.acting(Role.PATIENT, Role.PRACTITIONER, Role.RESEARCHER) as actor:
        app.output.one({**_row(actor.blocked.remove(who)), "blocked": False}, whole=("account",))


@command("blocked", examples="panachain --profile me blocked --json")
def blocked() -> None:
    """List whom you block."""
    app = current()
    with app.acting(Role.PATIENT, Role.PRACTITIONER, Role.RESEARCHER) as actor:
        rows = [_row(account) for account in sorted(actor.blocked.accounts())]
        app.output.many(rows, empty="You block nobody.", columns=("account",))


def _row(account: str) -> dict[str, object]:
    return {"schema": SCHEMA, "account": account, "blocked": True}
