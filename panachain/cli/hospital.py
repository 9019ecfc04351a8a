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
from panachain.cli.values import Categories
from panachain.errors import UsageError
from panachain.model.actors import Role


@command(
    "upload",
    unchanged="what was published before stays; nothing is published twice",
    after="the same command again: it goes on where this one stopped",
    examples="""
        panachain --profile city upload bundle.json --patient pat-mfrggzdfmy2tq
        panachain --profile city upload scans/ --patient ada --category imaging --dry-run
    """,
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@click.option("--patient", required=True, metavar="PATIENT", help="Whose records they are.")
@click.option("--category", type=Categories(), help="For files whose content doesn't tell their category.")
@click.option("--dry-run", is_flag=True, help="Show categories, sizes, CIDs and gas; publish nothing.")
def upload(paths: tuple[Path, ...], patient: str, category: tuple[str, ...] | None, dry_run: bool) -> None:
    """Seal a patient's records and publish them.

    FHIR Bundles are split by category and year; DICOM, C-CDA, HL7 v2 and PDF files are taken whole. Folders are
    walked. The same source is published once, however often it is uploaded.
    """
    from panachain.model.scope import Category

    app = current()
    if category is not None and len(category) != 1:
        raise UsageError(f"--category takes one category here, {len(category)} were given")
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: there is no such file or folder")
    with app.acting(Role.HOSPITAL) as hospital, app.output.progress("upload") as progress:
        report = hospital.upload(
            list(paths),
            patient,
            category=Category.parse(category[0]) if category else None,
            dry_run=dry_run,
            progress=progress,
        )
    fields = report.to_json()
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
        f" {fields['skipped']} published before, {fields['gas']} gas."
    )
    app.output.detail(f"manifest {fields['manifest_cid'] or '-'}, transaction {fields['tx'] or '-'}")
    if dry_run:
        app.output.say("Dry run: nothing was published.")


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
    content: bytes = opened if isinstance(opened, bytes) else opened.content
    write_new(target, content)
    app.output.one({"schema": "panachain/file/1", "id": record, "file": str(target), "size": len(content)})


records.add_command(list_)
records.add_command(get)
