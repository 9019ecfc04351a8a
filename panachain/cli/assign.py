"""`assign`: a proposal of whose each file of a mixed folder is, as a table that `upload --assign` takes.

Publishes nothing, and shows no value of what identifies anybody. Follows docs/spec/persons.md.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from panachain.cli import words
from panachain.cli.app import App, command, current
from panachain.cli.files import write_new
from panachain.errors import UsageError
from panachain.model.actors import Role

if TYPE_CHECKING:
    from panachain.sdk.results.uploads import Proposal

COMMENT: Final = "# "
"""Begins a line of a table that names nobody."""


@command(
    "assign",
    unchanged="nothing was published, and no file was changed",
    after="correct what the message names and try again",
    examples="""
        panachain --profile clinic assign --propose export/
        panachain --profile clinic assign --propose export/ -o export/patients.csv
    """,
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@click.option("--propose", is_flag=True, help="Say whose each file seems to be; nothing is published.")
@click.option(
    "-o",
    "--output",
    "target",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A CSV file to make, for `upload --assign`: look through it, and correct it.",
)
def assign(paths: tuple[Path, ...], propose: bool, target: Path | None) -> None:
    """Propose whose each file of a mixed folder is, as you know your patients.

    A file is a patient's whom you published for before, where identifier, name and birth date agree. Others are named
    with the field that differs.
    """
    app = current()
    if not propose:
        raise UsageError("assign needs --propose", hint="panachain assign --propose PATH")
    if target is not None and (target.exists() or target.is_symlink()):
        raise UsageError(f"{target} exists already; it was left as it is", hint="name another file with -o")
    for path in paths:
        if not path.exists():
            raise UsageError(f"{str(path)!a}: there is no such file or folder")
    with app.acting(Role.HOSPITAL) as hospital:
        found: list[Proposal] = hospital.propose(paths)
        columns = ("file", "patient", "why")
        app.output.many([one.to_json() for one in found], empty="There is nothing to assign.", columns=columns)
        if target is not None:
            write_new(target, _table(app, found, target).encode("utf-8", "surrogateescape"))
    known = [one for one in found if one.patient]
    several = words.count(len({one.patient for one in known}), "patient")
    app.output.say(f"{words.count(len(known), 'file')} of {len(found)} to {several}. Nothing was published.")
    if target is not None:
        app.output.next(f"panachain upload --assign {target}  # once you looked through it")


def _table(app: App, found: Sequence[Proposal], target: Path) -> str:
    """Return the lines of a table: those without a patient are comments, which somebody may turn into lines."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    above = os.path.realpath(target.parent)
    for one in found:
        path = os.path.relpath(os.path.realpath(one.file), above)
        if one.patient:
            name = app.output.names.of(one.patient, Role.PATIENT) if app.output.names else one.patient
            lines.writerow([f"./{path}" if path.startswith(COMMENT) else path, name])
        else:
            lines.writerow([f"{COMMENT}{words.line(path)}: {one.why}"])
    return text.getvalue()
