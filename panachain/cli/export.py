"""`export`: a patient's own records as a folder that can be printed, or as one FHIR Bundle, sealed to a reader or not.

Never writes over a file, and never leaves half a one. Follows docs/spec/cli.md and docs/spec/sharing.md, section
"Exports".
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import click

from panachain.cli.app import App, command, current
from panachain.cli.values import Categories, Years, flat
from panachain.errors import PartlyDoneError, UsageError
from panachain.model.actors import Role

_MAX_KEY = 4096
"""Bytes of a public key's file."""


@command(
    "export",
    unchanged="no file was written",
    examples="""
        panachain --profile me export -o records/
        panachain --profile me export --category laboratory,medications --bundle -o records.fhir.json
        panachain --profile me export --category genomics --crypt4gh reader.pub -o genomics.c4gh
    """,
)
@click.option(
    "--category",
    "categories",
    multiple=True,
    type=Categories(special=True),
    help="Only these; repeatable, commas allowed. `all` leaves the restricted ones out. Without it: every record.",
)
@click.option("--year", "years", multiple=True, type=Years(), help="Only these years: 2024, 2019-2023, undated.")
@click.option("--bundle", is_flag=True, help="One FHIR Bundle of everything, each resource once, in place of a folder.")
@click.option(
    "--crypt4gh",
    "keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PUBKEY",
    help="Seal the Bundle to a reader's Crypt4GH public key; repeatable.",
)
@click.option(
    "-o",
    "--output",
    "target",
    required=True,
    metavar="DIR|FILE",
    type=click.Path(path_type=Path),
    help="A new folder, whose index.html shows and prints the records; or the new file.",
)
def export(
    categories: tuple[tuple[str, ...], ...],
    years: tuple[tuple[int, ...], ...],
    bundle: bool,
    keys: tuple[Path, ...],
    target: Path,
) -> None:
    """Take your own records along: a folder to look at and print, or one FHIR Bundle for another program.

    Nothing of it is sealed but with --crypt4gh: whoever gets it can read it.
    """
    app = current()
    chosen = flat(categories) or None
    if bundle or keys:
        partly = _bundle(app, chosen, flat(years), keys, target)
    else:
        partly = _folder(app, chosen, flat(years), target)
    if partly is not None:
        app.unchanged = f"{target} holds what could be read"
        raise partly


def _bundle(
    app: App, categories: tuple[str, ...] | None, years: tuple[int, ...], keys: tuple[Path, ...], target: Path
) -> PartlyDoneError | None:
    from panachain.cli.files import write_new
    from panachain.crypto.crypt4gh import read_public_key
    from panachain.sdk.exporting import BundleExport

    if target.exists():
        raise UsageError(f"{target} exists already; it was left as it is", hint="name another file")
    readers = []
    for key in keys:
        with key.open("rb") as file:
            readers.append(read_public_key(file.read(_MAX_KEY + 1)))
    with app.acting(Role.PATIENT) as patient, app.output.progress("export") as progress:
        opening = patient.records(progress=progress)
        made = BundleExport(opening, categories, years, beside=target.absolute().parent, readers=readers)
        write_new(target, made)
        try:
            made.check()
        except BaseException:
            target.unlink(missing_ok=True)
            raise
    size = target.stat().st_size
    app.output.one(
        {
            "schema": "panachain/export/1",
            "file": str(target),
            "resources": made.resources,
            "files": made.files,
            "readers": len(readers),
            "size": size,
        },
        fields=("file", "resources", "files", "size"),
    )
    if readers:
        app.output.say(f"Tell its reader that it has {size:,} bytes: a file that was cut short may open, too.")
    else:
        app.output.say("It isn't sealed: whoever gets it can read it.")
    app.output.left_out(made.omissions)
    return PartlyDoneError.of(made.omissions, done="the others were written") if made.omissions else None


def _folder(
    app: App, categories: tuple[str, ...] | None, years: tuple[int, ...], target: Path
) -> PartlyDoneError | None:
    from panachain.cli.files import new_folder
    from panachain.cli.hospital import show_records
    from panachain.records.findings import LEFT_OUT
    from panachain.sdk.exporting import Wanted

    wanted = Wanted(categories, years)
    partly: PartlyDoneError | None = None
    with (
        new_folder(target) as output,
        app.acting(Role.PATIENT) as patient,
        app.output.progress("export") as progress,
    ):
        opening = patient.records(progress=progress)
        try:
            for record in opening:
                if wanted.has(record.info):
                    try:
                        output.add(record.info, record.chunks(), record.to_json(), record.fhir_provenance())
                    except LEFT_OUT as exc:
                        # Its bytes are fetched only now; no part of it is in the folder.
                        opening.leave_out(record, exc)
        except PartlyDoneError as exc:
            partly = exc
            output.omissions += [omission.to_json() for omission in exc.omissions]
        if not output.entries:
            raise partly or UsageError("no record is of these categories and years; nothing was made")
        output.withdrawn = [one.to_json() for one in opening.withdrawn]
        output.left_behind = opening.behind.to_json()
        output.name_of = partial(app.output.who, role=Role.HOSPITAL)
        output.language = (os.environ.get("LC_ALL") or os.environ.get("LANG", ""))[:2]
        app.output.left_out(opening.omissions, opening.notices)
    if app.output.as_json or app.output.long:
        app.output.many(
            output.entries, empty="", columns=("file", "category", "year", "media_type", "size", "hospital")
        )
    else:
        show_records(app, output.entries, empty="", by=("hospital",))
    app.output.say(f"The files are in {target}; index.html shows them in a browser, which can print them.")
    return partly
