"""`trace` and `suspend`: whose key leaked, who opened what leaked, and ending everything that was granted to somebody.

What leaked is read from a file or from standard input, never from the command line, which other programs of this
machine can read. Follows docs/spec/tracing.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from panachain.cli import words
from panachain.cli.app import App, command, current
from panachain.cli.blocked import show_left_out, things
from panachain.cli.files import read_file
from panachain.errors import PartlyDoneError, UnknownActorError, UsageError
from panachain.model.actors import Role

if TYPE_CHECKING:
    from panachain.sdk.auditing import Suspects

_RECORD_SIZE = 64 << 20
"""Bytes of a leaked record."""


@command(
    "trace",
    unchanged="nothing was sent, and nothing was changed",
    examples="""
        panachain --profile registrar trace leaked.txt
        pbpaste | panachain --profile registrar trace -
        panachain --profile me trace --record leaked.json
    """,
)
@click.argument("file", required=False, metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--record", is_flag=True, help="FILE is a record as it was opened: show who ever opened it.")
def trace(file: Path | None, record: bool) -> None:
    """Find whose secret or public key is in FILE (- for standard input), or with --record who opened what is in it.

    A key is looked for raw, as hex or as base64, within any text. It is compared on this machine, with the public keys
    of everybody in the registries. Nothing of FILE is shown or sent.
    """
    app = current()
    if file is None:
        raise UsageError("trace needs a FILE, or - for standard input", hint="panachain trace FILE")
    if record:
        _trace_record(app, _read(file, _RECORD_SIZE))
        return
    from panachain.sdk.tracing import MOST, Tracing

    leaked = _read(file, MOST)
    with app.acting(*Role.__members__.values()) as actor:
        found = Tracing(actor.network).trace(leaked)
        whose = "anybody's in the registries" if not found.left_out else "that of anybody whose keys could be read"
        app.output.many(
            found,
            empty=f"No key in it is {whose}.",
            columns=("who", "role", "what", "status"),
            titles={"what": "its"},
        )
        show_left_out(app, found)
        for one in found:
            if one.secret:
                app.output.say(
                    f"Whoever has it can read and act as {one.actor.handle}. Next: the registrar runs "
                    f"panachain suspend {one.actor.handle}"
                )
        if found.left_out:
            raise PartlyDoneError(
                f"this isn't the whole answer: {things(found.left_out)} couldn't be read, and whoever has such keys is"
                " known by their account alone",
                hint="the same command again, when the stores answer; panachain doctor shows which don't",
            )


@command(
    "suspend",
    unchanged="nobody was suspended",
    after="panachain trace shows the status",
    examples="panachain --profile registrar suspend pra-mfrggzdfmy2tq --yes",
)
@click.argument("who", metavar="WHO")
@click.option("--yes", is_flag=True, help="Don't ask.")
def suspend(who: str, yes: bool) -> None:
    """End everything that was granted to WHO, in one transaction: proxies refuse them from the next block on.

    What they opened before, they keep.
    """
    from panachain.sdk.base import Registrar

    app = current()
    with app.acting(Role.REGISTRAR) as registrar:
        if not isinstance(registrar, Registrar):
            raise UsageError("only a registrar suspends", hint="panachain --profile REGISTRAR suspend WHO")
        actor = registrar.network.resolve(who)
        known = app.output.who(actor.address, actor.role)
        whom = actor.handle if known == actor.handle else f"{known} ({actor.handle})"
        app.confirm(f"Suspend {whom}, a {actor.role.value}, for everybody?", yes=yes)
        done = registrar.suspend(who)
        shown = {"who": done.address, "role": done.role.value, "status": done.status.name.lower()}
        app.output.one({"schema": "panachain/suspended/1", **shown})


def _trace_record(app: App, plaintext: bytes) -> None:
    from panachain.cli.readings import show_readings
    from panachain.sdk.auditing import Suspects
    from panachain.sdk.results.listings import Listing

    with app.acting(Role.PATIENT) as patient:
        records = patient.auditing.find_record(plaintext)
        if not records:
            show_left_out(app, records)
            if records.left_out:
                raise PartlyDoneError(
                    "no record that could be read holds what is in the file, and"
                    f" {things(records.left_out)} couldn't be",
                    hint="panachain records list shows why; then the same command again",
                )
            raise UnknownActorError(
                "no record of this patient holds what is in the file", hint="panachain trace FILE looks for keys in it"
            )
        app.output.say(f"It is in {words.count(len(records), 'record')}: {', '.join(records)}.")
        with app.output.progress("log") as progress:
            log = patient.log(records=records, progress=progress)
        found = list(log)
        lacking = Listing(found, [*records.left_out, *log.left_out])
        suspects = Suspects.of(found, lacking.left_out)
        show_readings(app.output, found, empty="No proxy that answered knows of an opening but yours.")
        show_left_out(app, lacking)
    for sentence in _verdict(suspects):
        app.output.say(sentence)
    if suspects.unasked:
        raise PartlyDoneError(
            f"this isn't the whole answer: {things(suspects.unasked)} couldn't be read or asked, and whoever opened"
            " it there isn't named",
            hint="the same command again, when proxies and stores answer; panachain doctor shows which don't",
        )


def _verdict(suspects: Suspects) -> Iterator[str]:
    """Yield from whom it may have leaked, as far as was read and asked."""
    if suspects.people:
        who = "the one person" if len(suspects.people) == 1 else f"one of the {len(suspects.people)} people"
        yield f"It leaked from {who} who opened it, from the hospital that wrote it, or from you."
    elif not suspects.doubtful:
        told = "Then it" if suspects.is_whole else "If nobody else opened it, it"
        yield f"{told} leaked from the hospital that wrote it, or from you."
    if suspects.doubtful:
        yield (
            f"{words.count(len(suspects.doubtful), 'opening')} too few proxies signed for: it failed, or the others"
            " keep silent, and then it may have leaked there."
        )
    if suspects.refused:
        yield f"{words.count(len(suspects.refused), 'attempt')} got nothing: it didn't leak by what was refused."


def _read(file: Path, most: int) -> bytes:
    if str(file) != "-":
        return read_file(file, most)
    content = sys.stdin.buffer.read(most + 1)
    if len(content) > most:
        raise UsageError(f"standard input has more than {most} bytes")
    return content
