"""`readings`: what a practitioner or researcher opened, for whom; and what a hospital's practitioners handed in.

Never tells what anybody else opened: only patients read the log.
Follows docs/spec/log.md, section "A reader's own share".
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from panachain.cli.app import App, command, current
from panachain.cli.files import read_file
from panachain.cli.read_log import wanted, write_report
from panachain.errors import UsageError
from panachain.model.actors import Role
from panachain.private_files import write_private

if TYPE_CHECKING:
    from panachain.sdk.hospital import Hospital
    from panachain.sdk.practitioner import Practitioner

_MOST = 64 << 20
"""Bytes of a share."""


@command(
    "readings",
    unchanged="no file was written",
    examples="""
        panachain --profile doctor readings
        panachain --profile doctor readings --report 2026 --to mine.pdf
        panachain --profile doctor readings --hand-in 2026 --to doctor.share
        panachain --profile clinic readings --report 2026 --of doctor.share --of nurse.share --to ours.pdf
    """,
)
@click.option("--report", "year", type=int, metavar="YEAR", help="A report of that year as PDF; needs --to.")
@click.option("--hand-in", "handed", type=int, metavar="YEAR", help="A signed file for your hospital; needs --to.")
@click.option(
    "--of",
    "shares",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Hospital: what a practitioner handed in; repeatable.",
)
@click.option(
    "--to", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Where the report or file goes."
)
@click.option("--name", default="", metavar="NAME", help="With --report: your name, as it shall stand in it.")
def readings(year: int | None, handed: int | None, shares: tuple[Path, ...], to: Path | None, name: str) -> None:
    """Show what you opened, for whom, as this machine remembers it; the proxies' logs prove what they signed of it.

    With --report it is a PDF of one year. Practitioners hand in a year with --hand-in, and their hospital makes one
    report of what they state. What nobody remembers isn't in it: each patient's own log shows everything.
    """
    app = current()
    if handed is not None:
        if year is not None or shares or name:
            raise UsageError("--hand-in goes with --to alone", hint="--hand-in YEAR --to FILE")
        _hand_in(app, *wanted(handed, to))
        return
    if year is None and (to is not None or shares or name):
        raise UsageError("a report needs its year", hint="--report YEAR --to FILE")
    if year is None:
        _list(app)
        return
    year, file = wanted(year, to)
    with app.acting(Role.PRACTITIONER, Role.RESEARCHER, Role.HOSPITAL) as actor:
        if actor.role is not Role.HOSPITAL:
            if shares:
                raise UsageError("--of is for hospitals")
            write_report(app, cast("Practitioner", actor).share.report(year, name=name), file)
            return
        files = [(path.name, read_file(path, _MOST)) for path in shares]
        write_report(app, cast("Hospital", actor).report(year, files, name=name), file)


def _list(app: App) -> None:
    with app.acting(Role.PRACTITIONER, Role.RESEARCHER) as reader:
        found = reader.readings
        app.output.many(
            found,
            empty="This machine remembers no opening.",
            columns=("when", "patient", "records", "what", "purpose", "policy_id"),
            also=lambda one: {"what": one.get("categories")},
        )
        if found:
            first = datetime.fromtimestamp(found[0].at, UTC).year
            app.output.say(f"It remembers since {first}; each patient's own log shows everything of theirs.")


def _hand_in(app: App, year: int, to: Path) -> None:
    with app.acting(Role.PRACTITIONER, Role.RESEARCHER) as reader:
        content = reader.share.hand_in(year)
        write_private(to, content)
        app.output.one({"schema": "panachain/handed-in/1", "year": year, "file": str(to)})
    app.output.say("It names patients: give it to your hospital by a way that nobody else reads.")
