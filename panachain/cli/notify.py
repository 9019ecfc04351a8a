"""`notify add|list|remove|choose|test` and `watch`: messages about what happened, without names or anything of health.

Never takes an address of a service as an argument, and never shows one: it may hold a password. Follows
docs/spec/messages.md.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from panachain.cli import words
from panachain.cli.app import App, LazyGroup, command, current
from panachain.cli.blocked import things
from panachain.cli.files import read_file
from panachain.cli.values import Duration
from panachain.errors import PanaChainError, PartlyDoneError, UsageError
from panachain.model.actors import Role

if TYPE_CHECKING:
    from panachain.sdk.watching import Happening, Watching

_LONGEST = 4096
"""Bytes of a file with an address."""
_WATCHED = (Role.PATIENT, Role.PRACTITIONER, Role.RESEARCHER, Role.HOSPITAL, Role.REGISTRAR)
"""To whom something happens; a proxy's operator is told as a hospital."""
_LEAST = 10
"""Seconds between two looks."""


@click.group("notify", cls=LazyGroup, epilog="panachain --profile me notify test")
def notify() -> None:
    """Choose where messages go about what happens to you."""


@command(
    "add",
    unchanged="messages go where they went",
    examples="""
        panachain --profile me notify add
        panachain --profile me notify add --url-file address.txt
    """,
)
@click.option(
    "--url-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A private file with the address; without it you are asked for it.",
)
def add(url_file: Path | None) -> None:
    """Send messages to one more address, such as ntfys://TOPIC; apprise lists the services.

    Whoever runs that service reads the messages. They say what to run, and nothing else.
    """
    app = current()
    app.command = "notify add"
    if url_file is not None:
        url = read_file(url_file, _LONGEST).decode("utf-8", "replace")
    elif sys.stdin.isatty():
        url = str(click.prompt("The address", hide_input=True, err=True, show_default=False))
    else:
        url = sys.stdin.readline(_LONGEST)
    with app.acting(*_WATCHED) as actor:
        service = actor.watching.notifier.add(url)
        app.output.one({"schema": "panachain/notify/1", "service": service})
    app.output.say("Next: panachain notify test")


@command("list", examples="panachain --profile me notify list --json")
def list_() -> None:
    """List where messages go: the services, since an address may hold a password."""
    app = current()
    app.command = "notify list"
    with app.acting(*_WATCHED) as actor:
        services = actor.watching.notifier.services()
        rows = [
            {"schema": "panachain/notify/1", "number": number, "service": service}
            for number, service in enumerate(services, start=1)
        ]
        app.output.many(rows, empty="Messages go nowhere.", columns=("number", "service"))


@command("remove", unchanged="messages go where they went", examples="panachain --profile me notify remove 1")
@click.argument("number", type=int)
def remove(number: int) -> None:
    """Send nothing more to address NUMBER of `notify list`."""
    app = current()
    app.command = "notify remove"
    with app.acting(*_WATCHED) as actor:
        service = actor.watching.notifier.remove(number)
        app.output.one({"schema": "panachain/notify/1", "service": service})


@command(
    "choose",
    unchanged="messages are about what they were about",
    examples="""
        panachain --profile me notify choose --kind request,expiry --digest 1d
        panachain --profile me notify choose --kind all
    """,
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="Of what you are told, such as request or expiry, or all; commas allowed.",
)
@click.option("--digest", type=Duration(), help="One message in this time; at once if left out.")
def choose(kinds: tuple[str, ...], digest: int | None) -> None:
    """Choose of what messages are sent, and how often; without options it shows what was chosen.

    What can't wait is always told, and at once: emergencies, their reviews, and suspensions.
    """
    from panachain.sdk.watching import Kind

    app = current()
    app.command = "notify choose"
    with app.acting(*_WATCHED) as actor:
        watching = actor.watching
        chosen = watching.choice()
        if kinds or digest is not None:
            named = [word.strip() for one in kinds for word in one.split(",") if word.strip()]
            wanted = [kind.value for kind in Kind] if "all" in named else named
            wanted = wanted or [kind.value for kind in chosen.kinds]
            chosen = watching.choose(wanted, every=digest or 0)
        app.output.one(chosen, fields=("kinds", "every"), titles={"every": "seconds between two"})


@command("test", unchanged="messages go where they went", examples="panachain --profile me notify test")
def test() -> None:
    """Send a test message to each address."""
    from panachain.sdk.watching import TEST

    app = current()
    app.command = "notify test"
    with app.acting(*_WATCHED) as actor:
        notifier = actor.watching.notifier
        sent, known = notifier.send(TEST), len(notifier.services())
        app.output.say(f"The test went to {sent} of {words.count(known, 'address')}.")


@command(
    "watch",
    unchanged="what was told before stays told",
    after="the same command again goes on where it was",
    examples="""
        panachain --profile me watch
        panachain --profile me watch --every 5m --digest 1d
        panachain --profile me watch --once --no-send
    """,
)
@click.option("--every", type=Duration(), default="1m", show_default=True, help="How often to look.")
@click.option("--digest", type=Duration(), help="One message in this time; left out: what `notify choose` chose.")
@click.option("--once", is_flag=True, help="Look once, and end.")
@click.option("--no-send", is_flag=True, help="Show what happened, and send nothing.")
def watch(every: int, digest: int | None, once: bool, no_send: bool) -> None:
    """Follow the chains and the proxies' log on this machine, and tell what happens to you.

    Told are: requests, permissions given, used for the first time and about to end, emergencies, renewed keys, what was
    withdrawn, and suspensions of people whom you let read. Practitioners hear of answers to their requests and of
    emergencies that wait; hospitals of erasures and moves that patients ask for, and of their proxies' logs.
    Messages go where `notify add` says.
    """
    app = current()
    if every < _LEAST:
        raise UsageError(f"--every is at least {_LEAST}s")
    with app.acting(*_WATCHED) as actor:
        watching = actor.watching
        if not no_send and not watching.notifier.services():
            raise UsageError("there is no address to send messages to", hint="panachain notify add, or --no-send")
        while True:
            happened, left_out = watching.look()
            for one in left_out:
                app.output.warn(f"couldn't look at {one}")
            nothing = "Nothing new in what could be looked at." if left_out else "Nothing new."
            app.output.many(happened, empty=nothing, columns=("kind", "text"))
            if not no_send:
                _send(app, watching, happened, every=digest, once=once)
            if once and left_out:
                raise PartlyDoneError(
                    f"{things(left_out)} couldn't be looked at; what happened there isn't told yet",
                    hint="the same command again; panachain doctor shows what doesn't answer",
                )
            if once:
                return
            time.sleep(every)


def _send(app: App, watching: Watching, happened: Sequence[Happening], *, every: int | None, once: bool) -> None:
    try:
        if watching.tell(happened, every=every):
            app.output.say("A message was sent.")
    except PanaChainError as exc:
        # It is told at the next look: a mail server that is down ends no watching.
        if once:
            raise
        app.output.warn(str(exc))


for _command in (add, list_, remove, choose, test):
    notify.add_command(_command)
