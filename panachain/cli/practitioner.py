"""What practitioners type: `inbox`, `open`, `request`, `refer`.

Never writes a record that wasn't verified: the SDK hands out nothing else. Follows docs/spec/cli.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from panachain.cli.app import App, command, current
from panachain.cli.blocked import show_left_out
from panachain.cli.files import new_folder
from panachain.cli.hospital import show_records
from panachain.cli.life import show_life
from panachain.cli.values import Categories, Moment, Purposes, flat
from panachain.errors import PartlyDoneError
from panachain.model.actors import Role
from panachain.model.progress import Progress
from panachain.model.scope import Purpose

if TYPE_CHECKING:
    from panachain.sdk.granted_records import GrantedOpening
    from panachain.sdk.practitioner import Practitioner
    from panachain.sdk.researcher import Researcher


@command("inbox", examples="panachain --profile doctor inbox")
def inbox() -> None:
    """List the policies that were granted to you."""
    app = current()
    with app.acting(Role.PRACTITIONER, Role.RESEARCHER) as practitioner:
        own = practitioner.address
        found = practitioner.inbox()
        app.output.many(
            found,
            empty="Nobody granted you a policy.",
            columns=("policy_id", "status", "patient", "group", "scopes", "purposes", "expires_at"),
            more=("starts_at", "threshold", "proxies", "open", "terms_cid"),
            titles={"status": "state", "group": "as member of"},
            # To oneself needs no word; to a group of one's own does.
            also=lambda policy: {"group": "" if policy.get("grantee") == own else policy.get("grantee")},
        )
        show_left_out(app, found)


@command(
    "open",
    unchanged="no file was written",
    examples="""
        panachain --profile doctor open me -o opened/
        panachain --profile doctor open 0x52908400098527886E0F7030069857D2E4169EE7 --since 7d -o opened-new/
    """,
)
@click.argument("policy")
@click.option("--since", type=Moment(past=True), help="Only records stored at or after this: a date, or 7d for a week.")
@click.option(
    "--history",
    is_flag=True,
    help="Every record as it was published, also what was superseded since, and what each version changed.",
)
@click.option(
    "-o",
    "--output",
    "folder",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A folder to make, or an empty one. It gets index.html, index.json and provenance.fhir.json.",
)
def open_(policy: str, since: int | None, history: bool, folder: Path) -> None:
    """Open the records of POLICY into a folder, each checked against chain, CID and seal.

    Of each resource the version that counts now is in it; --history shows all of them.

    What a hospital did wrong costs its own records only: each is named, the others are opened, and the exit code is 3.
    After another failure no file is left.
    """
    app = current()
    open_into(
        app,
        folder,
        lambda practitioner, progress: practitioner.open(
            app.policy(practitioner, policy), since=since, history=history, progress=progress
        ),
        history=history,
    )


def open_into(
    app: App,
    folder: Path,
    begin: Callable[[Practitioner | Researcher, Progress], GrantedOpening],
    *,
    history: bool = False,
    summarized: bool = False,
) -> None:
    """Open records into a folder, say what was left out, and end with 3 if anything was.

    Args:
        app: the command's.
        folder: a new or empty one.
        begin: returns the opening of whoever acts.
        history: whether it holds what doesn't count any more, too.
        summarized: also write a patient summary of the records into the folder.
    """
    partly: PartlyDoneError | None = None
    with (
        new_folder(folder) as output,
        app.acting(Role.PRACTITIONER, Role.RESEARCHER) as practitioner,
        app.output.progress("open") as progress,
    ):
        opening = begin(practitioner, progress)
        try:
            output.take(opening)
        except PartlyDoneError as exc:
            partly = exc
            output.omissions += [omission.to_json() for omission in exc.omissions]
        output.withheld = [category.value for category in opening.withheld]
        output.readable = opening.readable if summarized else None
        output.withdrawn = [one.to_json() for one in opening.withdrawn]
        output.left_behind = opening.behind.to_json()
        versions = opening.histories() if history else []
        output.history = [one.to_json() for one in versions]
        output.name_of = partial(app.output.who, role=Role.HOSPITAL)
        output.language = (os.environ.get("LC_ALL") or os.environ.get("LANG", ""))[:2]
        app.output.left_out(opening.omissions, opening.notices)
    # After the folder is there: whoever reads the lines can open the files.
    if app.output.as_json or app.output.long:
        columns = ("file", "category", "year", "media_type", "size", "hospital")
        app.output.many(output.entries, empty="The policy covers no records yet.", columns=columns)
    else:
        show_records(app, output.entries, empty="The policy covers no records yet.", by=("hospital",))
    show_life(app, opening.behind, opening.withdrawn, versions)
    if output.withheld:
        # Also above --json, on standard error: nobody takes an emergency summary for whole.
        app.output.warn(
            f"something may be withheld: the emergency summary leaves out {', '.join(output.withheld)}, but for what"
            " the patient included; panachain request asks the patient for more"
        )
    if output.entries:
        app.output.say(f"The files are in {folder}; index.html shows them in a browser, index.json lists them.")
    if partly is not None:
        app.unchanged = f"{folder} holds what could be opened; index.json lists it, and what was left out"
        raise partly


@command(
    "request",
    unchanged="requests that were made before stayed as they were",
    after="panachain requests shows whether it was made",
    examples="panachain --profile doctor request me --category laboratory --purpose TREAT --note 'before surgery'",
)
@click.argument("patient")
@click.option(
    "--category", "categories", required=True, multiple=True, type=Categories(special=True), help="What to read."
)
@click.option("--purpose", required=True, type=Purposes(), help="Why: a word or a code.")
@click.option("--note", default="", metavar="TEXT", help="A word to the patient; it is sealed to them.")
@click.option("--until", type=Moment(), help="Until when you want to read; 30 days if left out.")
def request(
    patient: str, categories: tuple[tuple[str, ...], ...], purpose: Purpose, note: str, until: int | None
) -> None:
    """Ask PATIENT for access."""
    app = current()
    with app.acting(Role.PRACTITIONER) as practitioner:
        made = practitioner.request(patient, flat(categories), purpose, note, until=until)
    app.output.one(made, titles={"id": "request"})
    app.output.say("The patient decides. `panachain requests` shows the answer.")


@command(
    "refer",
    unchanged="requests that were made before stayed as they were",
    after="panachain requests shows whether it was made",
    examples="panachain --profile doctor refer me cardiologist --category vitals --purpose TREAT --reason 'murmur'",
)
@click.argument("patient")
@click.argument("specialist")
@click.option(
    "--category",
    "categories",
    required=True,
    multiple=True,
    type=Categories(special=True),
    help="What the specialist shall read.",
)
@click.option(
    "--purpose", default=Purpose.TREAT.value, type=Purposes(), help="Why: a word or a code; TREAT if left out."
)
@click.option("--reason", required=True, metavar="TEXT", help="Sealed to the patient, the specialist and you.")
@click.option("--until", type=Moment(), help="Until when the specialist wants to read; 30 days if left out.")
def refer(
    patient: str,
    specialist: str,
    categories: tuple[tuple[str, ...], ...],
    purpose: Purpose,
    reason: str,
    until: int | None,
) -> None:
    """Ask PATIENT, in the name of SPECIALIST, to let SPECIALIST read.

    The patient approves with `panachain approve ID`, and the specialist reads by that alone. You read nothing by it.
    """
    app = current()
    with app.acting(Role.PRACTITIONER) as practitioner:
        made = practitioner.request(patient, flat(categories), purpose, reason, until=until, specialist=specialist)
    app.output.one(made, titles={"id": "request"})
    app.output.say("The patient decides. `panachain requests` shows the answer, to the specialist too.")
