"""The command `summary`: one document of what counts now, made of all records that whoever asks can open.

Never prints anything but the document on standard output where it goes there. Follows docs/spec/cli.md and
docs/spec/summary.md.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from panachain.cli.app import App, command, current
from panachain.cli.files import write_new
from panachain.cli.output import put
from panachain.errors import PartlyDoneError, UsageError
from panachain.model.actors import Role
from panachain.model.progress import Progress
from panachain.plain import count

if TYPE_CHECKING:
    from panachain.sdk.results.summaries import PatientSummary


@command(
    "summary",
    unchanged="no file was written",
    examples="""
        panachain --profile me summary -o summary.json
        panachain --profile doctor summary me -o summary.json
    """,
)
@click.argument("policy", required=False)
@click.option(
    "-o", "--output", "file", type=click.Path(path_type=Path), metavar="FILE", help="A new file for the document."
)
def summary(policy: str | None, file: Path | None) -> None:
    """Make a patient summary: of your own records, or of those that POLICY opens.

    It is an International Patient Summary, a FHIR R4 document: allergies, medicines, problems, immunizations, results,
    procedures and devices as they are now, each with the hospital that says so. A program makes it, and nobody attests
    it. It says itself what it may lack; the exit code is 3 if records couldn't be opened or read.
    """
    app = current()
    if file is not None and (file.exists() or file.is_symlink()):
        raise UsageError(f"{file} exists already; it was left as it is", hint="name another file with -o")
    with app.output.progress("summary") as progress:
        made = _of_granted(app, policy, progress) if policy is not None else _of_own(app, progress)
    if file is None:
        put(made.content.decode() + "\n")
    else:
        write_new(file, made.content + b"\n")
        shown = made.to_json() | {"file": str(file)}
        sections = ", ".join(f"{name} ({number:,})" for name, number in made.sections.items() if number)
        app.output.one(
            shown, fields=("file", "records", "hospitals", "sections"), also={"sections": sections or "nothing"}
        )
    if made.withheld:
        app.output.warn(f"something may be withheld, or wasn't granted: {', '.join(made.withheld)}")
    if made.differs:
        app.output.warn("the records say of different persons that they are about them: make sure whose they are")
    if made.others:
        app.output.say(f"Not FHIR: {count(made.others, 'record')}; nothing of that is in the summary.")
    app.output.left_out(made.omissions)
    if made.omissions:
        app.unchanged = "the summary holds what could be read, and says what is missing"
        raise PartlyDoneError.of(made.omissions, done=f"a summary of {made.records} records was made")


def _of_own(app: App, progress: Progress) -> PatientSummary:
    with app.acting(Role.PATIENT) as patient:
        return patient.records(progress=progress).summary(now=time.time())


def _of_granted(app: App, policy: str, progress: Progress) -> PatientSummary:
    with app.acting(Role.PRACTITIONER) as practitioner:
        return practitioner.open(app.policy(practitioner, policy), progress=progress).summary(now=time.time())
