"""`unlock` and `lock`: a profile that stays unlocked for a while.

Never shows a key, and never keeps one in this process. Follows docs/spec/agent.md.
"""

from __future__ import annotations

import time
from typing import Final

import click

from panachain.cli.app import command, current, end
from panachain.cli.values import Duration
from panachain.errors import Omission, PanaChainError, PartlyDoneError

_USUAL: Final = 15 * 60
"""Seconds."""


@command(
    "unlock",
    unchanged="nothing was unlocked",
    examples="""
        panachain --profile me unlock
        panachain --profile clinic unlock --for 8h
    """,
)
@click.option(
    "--for",
    "seconds",
    type=Duration(),
    default=_USUAL,
    metavar="TIME",
    help="How long, such as 2h; 15m if left out, 12h at most.",
)
def unlock(seconds: int) -> None:
    """Keep the profile unlocked for a while: other commands don't ask for its passphrase.

    A small process holds what opens the profile, for you alone on this machine, until its time is over, you lock it, or
    the terminal in which you unlocked it is closed. Nothing of it is written to the disk.
    """
    from panachain.sdk.profiles import start_agent

    app = current()
    profile = app.profile()
    state = start_agent(app.home, profile, app.secret(profile, agent=False), seconds)
    fields = {
        "schema": "panachain/unlocked/1",
        "profile": profile.name,
        "until": int(time.time()) + state.seconds,
        "ends_with_session": state.ends_with_session,
        "memory_locked": state.memory_locked,
    }
    app.output.one(fields, fields=("profile", "until"), titles={"until": "unlocked until"})
    if state.ends_with_session:
        app.output.say("It is locked at the latest when this terminal is closed.")
    if not state.memory_locked:
        app.output.warn("this system doesn't let the agent keep its memory out of swap")
    app.output.next("panachain lock  # as soon as you leave the machine")


@command("lock", unchanged="what was locked stays locked", examples="panachain --profile me lock\npanachain lock --all")
@click.option("--all", "everyone", is_flag=True, help="Lock every profile of this home.")
def lock(everyone: bool) -> None:
    """Lock the profile again; its agent forgets what it held, and ends.

    A portal that has it open locks it at its next request, at the latest after 20 seconds.
    """
    from panachain.agent import client
    from panachain.sdk.profiles import profile_names

    app = current()
    names = sorted({*client.names(app.home), *profile_names(app.home)}) if everyone else [app.profile().name]
    rows = [
        {"schema": "panachain/locked/1", "profile": name, "was_unlocked": client.lock(app.home, name)} for name in names
    ]
    # Damaged ones too: what an agent holds needs no file of theirs.
    untold = []
    for name in names:
        try:
            client.tell_locked(app.home, name)
        except PanaChainError as exc:
            if not everyone:
                raise
            untold.append(Omission("", f"profile {name}", exc))
    locked = [str(row["profile"]) for row in rows if row["was_unlocked"]]
    if app.output.as_json:
        app.output.many(rows, empty="")
    app.output.say(f"Locked: {', '.join(locked)}." if locked else "Nothing was unlocked.")
    if untold:
        end(app, PartlyDoneError.of(untold, done="the agents forgot what they held"))
