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
    from panachain.sdk.results.listings import unasked

    lacking = unasked(left_out)
    told = lacking if app.output.long else lacking[:_TOLD]
    for one in told:
        app.output.warn(str(one))
    if rest := len(lacking) - len(told):
        app.output.warn(f"and {rest} more are left out; --long names them all")
    if moved := [one for one in left_out if one.since]:
        app.output.say(_moved(moved))


def _moved(found: Sequence[LeftOut]) -> str:
    """Say once of which records openings can't be told where they were before, and since when they lie elsewhere."""
    if len(found) == 1:
        those, place, lies = f"Record {words.short(found[0].item)} was", "the place where it was before is", "it lies"
    else:
        those, place, lies = f"{len(found)} of the records were", "the places where these were before are", "these lie"
    return (
        f"{those} moved, and {place} deleted: openings of where {lies} now are told here, from"
        f" {words.when(max(one.since for one in found))} on. Who opened the earlier place before, or later because they"
        " kept a copy of it, stands in the whole log, which doesn't say which records an opening was of: panachain log."
    )


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
