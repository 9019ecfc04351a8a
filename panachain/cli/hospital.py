"""What hospitals type: `upload`, and `records` (which patients share).

Never uploads plaintext: the SDK seals, and there is no other path. Follows docs/spec/cli.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from panachain.cli.app import LazyGroup, command, current
from panachain.cli.files import write_new
from panachain.cli.output import size
from panachain.cli.values import Categories, Duration
from panachain.errors import UsageError
from panachain.model.actors import Role


@command(
    "upload",
    unchanged="what was published before stays; nothing is published twice",
    after="the same command again: it goes on where this one stopped",
    examples="""
        panachain --profile city upload bundle.json --patient pat-mfrggzdfmy2tq
        panachain --profile city upload scans/ --patient ada --category imaging --dry-run
        panachain --profile city upload --assign export/patients.csv
    """,
)
@click.argument("paths", nargs=-1, metavar="[PATH...]", type=click.Path(path_type=Path))
@click.option("--patient", metavar="PATIENT", help="Whose records they are.")
@click.option(
    "--assign",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A CSV file of path,patient lines: many patients in one storage transaction. Paths are relative to it.",
)
@click.option("--category", type=Categories(), help="For files whose content doesn't tell their category.")
@click.option(
    "--jitter",
    type=Duration(),
    help="Let each record wait a random time, this long at most, and publish it in a later round: run it daily. Who"
    " watches the chain then can't tell a visit by what is published together. The setting `jitter` if left out.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show categories, sizes and gas; publish nothing. CIDs come with fresh keys, so none is known before.",
)
def upload(
    paths: tuple[Path, ...],
    patient: str | None,
    assign: Path | None,
    category: tuple[str, ...] | None,
    jitter: int | None,
    dry_run: bool,
) -> None:
    """Seal patients' records and publish them.

    FHIR Bundles are split by category and year; DICOM, C-CDA, HL7 v2 and PDF files are taken whole. Folders are
    walked. The same source is published once, however often it is uploaded.
    """
    from panachain.model.scope import Category

    app = current()
    if category is not None and len(category) != 1:
        raise UsageError(f"--category takes one category here, {len(category)} were given")
    assigned = _assigned(paths, patient, assign)
    for path, _ in assigned:
        if not path.exists() and not path.is_symlink():
            raise UsageError(f"{str(path)!a}: there is no such file or folder")
    with app.acting(Role.HOSPITAL) as hospital, app.output.progress("upload") as progress:
        report = hospital.upload_many(
            assigned,
            category=Category.parse(category[0]) if category else None,
            dry_run=dry_run,
            jitter=jitter,
            progress=progress,
        )
    fields: dict[str, Any] = dict(report.to_json())
    if app.output.as_json:
        app.output.one(fields)
        return
    app.output.many(
        fields["records"],
        empty="There was nothing new to publish.",
        columns=("id", "category", "year", "media_type", "size", "content_cid"),
    )
    app.output.say(
        f"{len(fields['records'])} records, {size(fields['plain_bytes'])} sealed to {size(fields['sealed_bytes'])},"
        f" {fields['skipped']} published before, {fields['waiting']} waiting for a later round, {fields['gas']} gas."
    )
    app.output.detail(f"manifest {fields['manifest_cid'] or '-'}, transactions {fields['transactions'] or '-'}")
    if dry_run:
        app.output.say("Dry run: nothing was published.")


def _assigned(paths: tuple[Path, ...], patient: str | None, assign: Path | None) -> list[tuple[Path, str]]:
    """Return each path with its patient, from the arguments or from the file of --assign."""
    if assign is None:
        if patient is None or not paths:
            raise UsageError("upload needs PATH... with --patient, or --assign FILE")
        return [(path, patient) for path in paths]
    if patient is not None or paths:
        raise UsageError("--assign names the paths and their patients; it stands alone")
    import csv

    assigned = []
    try:
        with open(assign, newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(csv.reader(file), start=1):
                if not row:
                    continue
                if len(row) != 2 or not row[0] or not row[1].strip():
                    raise UsageError(f"{assign}, line {number}: a line is path,patient")
                assigned.append((assign.parent / row[0], row[1].strip()))
    except (OSError, ValueError, csv.Error) as exc:
        raise UsageError(f"{assign} can't be read as a CSV file of path,patient lines") from exc
    if not assigned:
        raise UsageError(f"{assign} names nothing")
    return assigned


@command(
    "rewrap",
    unchanged="every record can be found, by its old header or by its new one",
    after="the same command again goes on where this one stopped",
    examples="panachain --profile city rewrap",
)
def rewrap() -> None:
    """Move records to new lanes for patients who revoked a policy and rotated their lanes.

    The content stays where it is: only the headers are new. The old ones are deleted from the store.
    """
    app = current()
    with app.acting(Role.HOSPITAL) as hospital:
        app.output.one(hospital.rewrap())


@click.group(
    "records",
    cls=LazyGroup,
    invoke_without_command=True,
    epilog="""
        panachain --profile city records
        panachain --profile ada records get bafyreib... -o record.json
    """,
)
@click.pass_context
def records(context: click.Context) -> None:
    """List your records, or open one."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@command("list", examples="panachain --profile city records list --json")
def list_() -> None:
    """List the records that you published (hospital), or that are about you (patient)."""
    app = current()
    app.command = "records list"
    with app.acting(Role.HOSPITAL, Role.PATIENT) as actor:
        app.output.many(actor.records(), empty="There are no records.")


@command("get", examples="panachain --profile city records get bafyreib... -o record.json")
@click.argument("record", metavar="ID")
@click.option("-o", "--output", "target", required=True, type=click.Path(path_type=Path), help="A file to make.")
def get(record: str, target: Path) -> None:
    """Open record ID into a new file, readable by you only."""
    app = current()
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} exists already; it was left as it is", hint="name another file with -o")
    with app.acting(Role.HOSPITAL, Role.PATIENT) as actor:
        opened: Any = actor.get(record)
    write_new(target, opened.chunks())
    size_ = target.stat().st_size
    app.output.one({"schema": "panachain/file/1", "id": record, "file": str(target), "size": size_})


records.add_command(list_)
records.add_command(get)
