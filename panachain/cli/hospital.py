"""What hospitals type: `upload`, and `records` (which patients share).

Never uploads plaintext: the SDK seals, and there is no other path. Follows docs/spec/cli.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from panachain.cli import words
from panachain.cli.app import App, LazyGroup, as_far_as_done, command, current, end
from panachain.cli.assign import COMMENT
from panachain.cli.files import write_new
from panachain.cli.life import show_life
from panachain.cli.values import Categories, Duration
from panachain.errors import PartlyDoneError, UsageError
from panachain.model.actors import Role
from panachain.model.records import WITHDRAWING

if TYPE_CHECKING:
    from panachain.model.progress import Progress
    from panachain.sdk.auditing import Keeper, RecordAccess
    from panachain.sdk.opening import Opening
    from panachain.sdk.results.policies import PolicyView
    from panachain.sdk.results.uploads import PublishedView, UploadReport

_NONE: Final = "There are no records."
_PUBLISHING: Final = ("panachain.sdk.publishing", "panachain.sdk.pairings", "panachain.records.reading_ahead")
"""What an upload is made of: other commands of a hospital do without it."""


@command(
    "upload",
    unchanged="what was published before stays; nothing is published twice",
    after="the same command again: it goes on where this one stopped",
    examples="""
        panachain --profile clinic upload bundle.json --patient pat-mfrggzdfmy2tq
        panachain --profile clinic upload scans/ --patient me --category imaging --dry-run
        panachain --profile clinic upload --assign export/patients.csv
        panachain --profile clinic upload export/ --by-patient
    """,
)
@click.argument("paths", nargs=-1, metavar="[PATH...]", type=click.Path(path_type=Path))
@click.option("--patient", metavar="PATIENT", help="Whose records they are.")
@click.option(
    "--assign",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A CSV file of path,patient lines: many patients in one storage transaction. Paths are relative to it, lines"
    " that begin with `# ` are comments. `assign --propose` makes one.",
)
@click.option(
    "--by-patient",
    is_flag=True,
    help="A bulk export or Bundles of many patients: each resource goes to the patient whom it is about. Whoever the"
    " hospital doesn't know for sure gets nothing; --assign names such patients: Patient/ID,patient lines.",
)
@click.option("--category", type=Categories(), help="For files whose content doesn't tell their category.")
@click.option(
    "--jitter",
    type=Duration(),
    help="Let each record wait a random time, this long at most, and publish it in a later round: run it daily."
    " Whoever watches the chain then can't tell a visit by what is published together. The setting `jitter` if left"
    " out.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show categories, sizes and gas; publish nothing. CIDs come with fresh keys, so none is known before.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="With --dry-run: also show what is sensitive and why, as `classify` does, with what the patients themselves"
    " close.",
)
@click.option(
    "--verify",
    is_flag=True,
    help="Read back what is published of these files as the patients do: found by category, fetched whole, checked.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="End with the first file that can't be read or is no record. Without it, such files are named and all others"
    " are published.",
)
@click.option(
    "--confirm-patient",
    is_flag=True,
    help="Publish what names another person than the patient's other records, or several: you looked at it.",
)
def upload(
    paths: tuple[Path, ...],
    patient: str | None,
    assign: Path | None,
    by_patient: bool,
    category: tuple[str, ...] | None,
    jitter: int | None,
    dry_run: bool,
    explain: bool,
    verify: bool,
    strict: bool,
    confirm_patient: bool,
) -> None:
    """Seal patients' records and publish them.

    FHIR Bundles are split by category and year; DICOM, C-CDA, HL7 v2 and PDF files are taken whole. Folders are
    walked, zip and gzip are opened. The same source is published once, however often it is uploaded.
    """
    from panachain.cli import classify
    from panachain.model.scope import Category
    from panachain.records.reading_start import Spare

    app, rows = current(), list[dict[str, object]]()
    if explain and not dry_run:
        raise UsageError("--explain goes with --dry-run: it shows what would be published")
    if category is not None and len(category) != 1:
        raise UsageError(f"--category takes one category here, {len(category)} were given")
    if by_patient:
        if patient is not None or confirm_patient or not paths:
            raise UsageError("--by-patient takes PATH... and finds out whose they are, or --assign names the patients")
        named, assigned = _named(assign), [(path, "") for path in paths]
    else:
        named, assigned = {}, _assigned(paths, patient, assign)
    for path, _ in assigned:
        if not path.exists() and not path.is_symlink():
            raise UsageError(f"{str(path)!a}: there is no such file or folder")
    kind = Category.parse(category[0]) if category else None
    with (
        # They load while the key store is opened. Whatever fails from then on ends them.
        Spare() as spare,
        app.early(lambda: spare.start(path for path, _ in assigned), loads=_PUBLISHING),
        app.acting(Role.HOSPITAL) as hospital,
        app.output.progress("upload") as progress,
    ):
        how: dict[str, Any] = {
            "spare": spare,
            "category": kind,
            "dry_run": dry_run,
            "jitter": jitter,
            "verify": verify,
            "strict": strict,
            "explain": (lambda path, one: rows.append(classify.row(path, one))) if explain else None,
            "progress": progress,
        }
        # Loaded behind these processes' start.
        from panachain.sdk.results.uploads import UploadReport

        report, partly = as_far_as_done(
            UploadReport,
            lambda: (
                hospital.upload_each(paths, named, **how)
                if by_patient
                else hospital.upload_many(assigned, **how, confirm_patient=confirm_patient)
            ),
        )
    if explain:
        classify.show(app, rows)
        app.output.say("")
    _show_upload(app, report)
    end(app, partly)


def _show_upload(app: App, report: UploadReport) -> None:
    """Print what an upload published."""
    from panachain.sdk.results.records import record_json

    if app.output.as_json:
        app.output.one(report)
        return
    empty = "There was nothing new to publish."
    if app.output.long:
        columns = ("id", "category", "year", "media_type", "size", "content_cid")
        app.output.many([record_json(record) for record in report.records], empty=empty, columns=columns)
    else:
        show_records(app, [record_json(record) for record in report.records], empty=empty)
    _say_upload(app, report)


def _say_upload(app: App, report: UploadReport) -> None:
    """Say what an upload came to, and what to do next."""
    output = app.output
    told = []
    if report.records:
        sealed = f" sealed to {words.size(report.sealed_bytes)}" if report.sealed_bytes else ""
        told.append(f"{words.size(report.plain_bytes)}{sealed}")
    if report.skipped:
        told.append(f"{words.count(report.skipped, 'record')} published before")
    if report.unchanged:
        told.append(f"{words.count(report.unchanged, 'resource')} unchanged since an earlier export")
    if report.erased:
        told.append(f"{words.count(report.erased, 'resource')} left out, which their patient had erased")
    if report.waiting:
        told.append(f"{words.count(report.waiting, 'record')} waiting for a later round")
    if report.gas:
        told.append(f"{report.gas:,} gas in {words.count(len(report.transactions) or 1, 'transaction')}")
    if told:
        output.say(f"{', '.join(told)}.")
    for why, count in report.unassigned.items():
        output.say(f"To nobody: {count}, {why}.")
    if report.passed_over:
        output.say(f"Passed over, no records: {words.files(report.passed_over)}.")
    if report.wordless:
        named = words.files([(path, "no words") for path in report.wordless])
        output.say(f"Published, and found by no search: {named}.")
    if report.closed:
        output.say(f"Closed as a whole: {words.files(report.closed)}.")
    if report.read_back:
        read = report.read_back
        output.say(
            f"Read back: {words.count(read.records, 'record')}, each found by its category, in"
            f" {words.count(read.blocks, 'block')} ({words.size(read.size)} sealed)."
        )
    output.detail(f"manifest {report.manifest_cid or '-'}, transactions {', '.join(report.transactions) or '-'}")
    if report.dry_run:
        output.say("Dry run: nothing was published. The same without --dry-run publishes it.")
    elif report.waiting:
        output.next("the same command again, daily  # publishes what has waited long enough")
    elif report.records:
        # `storage` needs no profile, but for what one published.
        own = f"--profile {output.profile} " if output.profile else ""
        output.next(
            "panachain records  # lists what you published",
            f"panachain {own}storage export FILE --all  # keeps a copy",
        )


def show_records(
    app: App, records: Sequence[Mapping[str, object]], *, empty: str, by: Sequence[str] = (), sizes: bool = True
) -> None:
    """Print records as one small table: a line per category, or per category and what `by` names.

    Args:
        app: the run.
        records: with `category`, `year` and `size`, and the fields of `by`.
        empty: the talk when there is none.
        by: fields that come before the category, such as `hospital`.
        sizes: whether the records' sizes are known.
    """
    groups: dict[tuple[str, ...], list[Mapping[str, object]]] = {}
    for record in records:
        groups.setdefault((*(str(record[name]) for name in by), str(record["category"])), []).append(record)
    rows: list[dict[str, object]] = []
    for key, found in sorted(groups.items()):
        row: dict[str, object] = {**dict(zip((*by, "category"), key, strict=True)), "records": len(found)}
        row["years"] = words.years(int(str(record["year"] or 0)) for record in found)
        row["size"] = sum(int(str(record["size"])) for record in found) if sizes else None
        rows.append(row)
    if len(rows) > 1:
        total = sum(int(str(row["size"])) for row in rows) if sizes else None
        # Blank, not absent: a total is of no single year.
        blank: dict[str, object] = dict.fromkeys((*by, "category", "years"), " ")
        rows.append({**blank, (by or ("category",))[0]: "total", "records": len(records), "size": total})
    app.output.many(rows, empty=empty, columns=(*by, "category", "years", "records", "size"))


def _assigned(paths: tuple[Path, ...], patient: str | None, assign: Path | None) -> list[tuple[Path, str]]:
    """Return each path with its patient, from the arguments or from the file of --assign."""
    if assign is None:
        if patient is None or not paths:
            raise UsageError("upload needs PATH... with --patient, or --assign FILE")
        return [(path, patient) for path in paths]
    if patient is not None or paths:
        raise UsageError("--assign names the paths and their patients; it stands alone, or with --by-patient")
    return [(assign.parent / what, whose) for what, whose in _table(assign)]


def _named(assign: Path | None) -> dict[str, str]:
    """Return the patients of --assign by what means them in an export: a file's path, or as it stands there."""
    if assign is None:
        return {}
    rows, found = _table(assign), {}
    for what, whose in rows:
        try:
            is_file = (assign.parent / what).exists()
        except (OSError, ValueError):
            # An identifier that no path can be.
            is_file = False
        found[str(assign.parent / what) if is_file else what] = whose
    if len(found) < len(rows):
        raise UsageError(f"{assign} names one person or file twice")
    return found


def _table(assign: Path) -> list[tuple[str, str]]:
    """Return the lines of a file of --assign."""
    import csv

    rows = []
    try:
        with open(assign, newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(csv.reader(file), start=1):
                if not row or row[0].startswith(COMMENT):
                    continue
                if len(row) != 2 or not row[0] or not row[1].strip():
                    raise UsageError(f"{assign}, line {number}: a line is path,patient")
                rows.append((row[0], row[1].strip()))
    except (OSError, ValueError, csv.Error) as exc:
        raise UsageError(f"{assign} can't be read as a CSV file of path,patient lines") from exc
    if not rows:
        raise UsageError(f"{assign} names nothing")
    return rows


@command(
    "withdraw",
    unchanged="what was withdrawn before stays so, and nothing else is",
    after="the same command again withdraws nothing twice",
    examples="panachain --profile clinic withdraw bafkreih... --reason wrong-patient",
)
@click.argument("records", nargs=-1, required=True, metavar="RECORD...")
@click.option(
    "--reason",
    required=True,
    type=click.Choice([reason.value for reason in WITHDRAWING]),
    help="Why; readers and the patient are told.",
)
@click.option("--yes", is_flag=True, help="Don't ask.")
def withdraw(records: tuple[str, ...], reason: str, yes: bool) -> None:
    """Say of each RECORD that it counts no more: readers and the patient leave it out, and are told.

    It can't be taken back. What somebody opened before can't be called back either; who that was only the patient can
    see.
    """
    app = current()
    many = words.count(len(records), "record")
    app.confirm(f"Withdraw {many} ({reason}) for ever?", yes=yes)
    with app.acting(Role.HOSPITAL) as hospital:
        report = hospital.withdraw(records, reason)
    if app.output.as_json:
        app.output.one(report)
    else:
        rows = [{**_by_scope(one.to_json()), "reason": report.reason} for one in report.records]
        columns = ("id", "patient", "category", "year", "reason")
        app.output.many(rows, empty="There was nothing left to withdraw.", columns=columns)
    if report.already:
        app.output.say(f"{words.count(len(report.already), 'record')} withdrawn before.")
    if report.records:
        app.output.say(
            "Who opened them before isn't known to a hospital. Tell the patient, who sees it with:"
            " panachain --profile PATIENT log --record ID"
        )


@command(
    "rewrap",
    unchanged="every record can be found, by its old header or by its new one",
    after="the same command again goes on where this one stopped",
    examples="panachain --profile clinic rewrap",
)
def rewrap() -> None:
    """Move records to new keys or into other categories, for patients who asked for it.

    After a patient changed keys the content stays where it is, and only the headers are new. What they asked to
    have in another category (`panachain recategorize`) is opened with the key that their order hands over, and sealed
    anew. What was there before is deleted from the store.
    """
    from panachain.sdk.results.uploads import RewrapReport

    app = current()
    with app.acting(Role.HOSPITAL) as hospital:
        with app.output.progress("rewrap") as progress:
            done, partly = as_far_as_done(RewrapReport, lambda: hospital.rewrap(progress=progress))
        titles = {"moved": "records moved", "resealed": "into another category", "deleted": "old deleted"}
        app.output.one(done, fields=tuple(titles), titles=titles)
    end(app, partly)
    if not done.moved and not done.resealed and not done.deleted:
        app.output.say("No patient asked for it.")


@click.group(
    "records",
    cls=LazyGroup,
    invoke_without_command=True,
    epilog="""
        panachain --profile clinic records
        panachain --profile me records get bafyreib... -o record.json
        panachain --profile me records access bafyreib...
    """,
)
@click.pass_context
def records(context: click.Context) -> None:
    """List your records, or open one."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


def _list_each(app: App, records: Sequence[Mapping[str, object]]) -> None:
    """Print a line per record, below its hospital or its patient."""
    whose = "patient" if records and "patient" in records[0] else "hospital"
    found: dict[str, list[Mapping[str, object]]] = {}
    for record in records:
        found.setdefault(str(record[whose]), []).append(record)
    for name, own in found.items():
        app.output.heading(f"{whose} {app.output.text(whose, name)}")
        columns = ("id", "category", "year", *(("size",) if "size" in own[0] else ()))
        app.output.many(own, empty="", columns=columns)
    if not records:
        app.output.say(_NONE)


def _by_scope(record: Mapping[str, object]) -> Mapping[str, object]:
    """Return a published record with its category and year, which its scope spells."""
    category, _, year = str(record["scope"]).partition("/")
    return {**record, "category": category, "year": int(year or 0)}


@command("list", examples="panachain --profile clinic records list --json")
@click.option(
    "--history",
    is_flag=True,
    help="For patients: also what was superseded since, and what each version changed.",
)
def list_(history: bool) -> None:
    """List the records that you published (hospital), or that are about you (patient).

    Counted by hospital or patient, category and year; --long lists each with its ID.
    """
    app = current()
    app.command = "records list"
    partly: PartlyDoneError | None = None
    with app.acting(Role.PATIENT, Role.HOSPITAL) as actor:
        # A hospital's records have a patient and a scope; those of a patient a hospital and a size.
        records = []
        with app.output.progress("records") as progress:
            found: Opening | Iterator[PublishedView] = actor.records(history=True) if history else actor.records()
            try:
                for record in found:
                    records.append(record.to_json())
                    progress(len(records), 0, unit="records")
            except PartlyDoneError as exc:
                partly = exc
        shown = [_by_scope(one) if "scope" in one else one for one in records]
        published = bool(records) and "scope" in records[0]
        if app.output.as_json:
            app.output.many([*records, *(one.to_json() for one in getattr(found, "withdrawn", ()))], empty=_NONE)
        elif app.output.long:
            _list_each(app, shown)
        else:
            show_records(app, shown, empty=_NONE, by=("patient",) if published else ("hospital",), sizes=not published)
        # A hospital's list is of its own journal, where nothing is left out.
        app.output.left_out(getattr(found, "omissions", ()), getattr(found, "notices", ()))
        if (behind := getattr(found, "behind", None)) is not None:
            # Asked for by name: the class is imported by commands that open something only.
            versions = found.histories() if history else ()  # type: ignore[union-attr]
            show_life(app, behind, found.withdrawn, versions, patient=True)  # type: ignore[union-attr]
    if partly is not None:
        app.unchanged = "the list holds what could be read"
        raise partly


@command("get", examples="panachain --profile clinic records get bafyreib... -o record.json")
@click.argument("record", metavar="ID")
@click.option("-o", "--output", "target", required=True, type=click.Path(path_type=Path), help="A file to make.")
def get(record: str, target: Path) -> None:
    """Open record ID into a new file, readable by you only."""
    app = current()
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} exists already; it was left as it is", hint="name another file with -o")
    with app.acting(Role.PATIENT, Role.HOSPITAL) as actor, app.output.progress("records get") as progress:
        opened = actor.get(record)
        write_new(target, _counted(opened.chunks(), opened.info.size, progress))
    size = target.stat().st_size
    app.output.one({"schema": "panachain/file/1", "id": record, "file": str(target), "size": size})


def _counted(chunks: Iterable[bytes], total: int, progress: Progress) -> Iterator[bytes]:
    """Yield the chunks, and say how many bytes have gone by."""
    done = 0
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        progress(done, total, unit="bytes")


@command("access", examples="panachain --profile me records access bafyreib...")
@click.argument("record", metavar="ID")
def access(record: str) -> None:
    """Show who can read record ID, by which policy and until when, and who did.

    Whoever opened the part that it lies in could read it. What somebody opened before, they keep. Ends with 3 if a
    grant can't be read or a proxy told nothing. Of a record that was moved and whose earlier place is deleted, openings
    of where it lies now are told, and from when on; whoever kept the earlier place may have opened that, later too: who
    may have is named, by the grants of then.
    """
    app = current()
    app.command = "records access"
    with app.acting(Role.PATIENT) as patient:
        with app.output.progress("log") as progress:
            found = patient.auditing.access(record, progress=progress)
        _show_access(app, found)
    if found.unasked:
        from panachain.cli.blocked import things

        unread = sum(one.kind == "policy" for one in found.unasked)
        grants = f"{words.count(unread, 'grant')} can't be read, and may be to anybody; " if unread else ""
        raise PartlyDoneError(
            f"this isn't the whole answer: {grants}{things(found.unasked)} couldn't be read or asked",
            hint="the same command again, when proxies and stores answer; panachain doctor shows which don't",
        )


def _show_access(app: App, found: RecordAccess) -> None:
    from panachain.cli.blocked import show_left_out
    from panachain.cli.readings import show_readings

    if app.output.as_json:
        app.output.one(found)
        return
    # Before the lists: nobody takes one for whole that isn't.
    show_left_out(app, found)
    whole = "" if not found.unasked else ", as far as could be read and asked"
    # What moved had another place before, of which openings can't be told.
    did = f"Nobody has{whole}." if found.unasked or not found.left_out else "Nobody has opened what it lies in now."
    app.output.heading("Who can read it")
    app.output.many(
        found.policies,
        empty=f"Nobody can{whole}.",
        columns=("grantee", "purposes", "starts_at", "expires_at", "policy_id"),
        titles={"grantee": "who"},
    )
    app.output.heading("Who opened what it lies in")
    show_readings(app.output, found.readings, empty=did, without=("what",))
    if found.keepers:
        app.output.heading("Who may have kept where it lay before it was moved")
        app.output.many(
            [_kept(one) for one in found.keepers],
            empty="",
            columns=("grantee", "starts_at", "expires_at", "policy_id"),
            titles={"grantee": "who"},
        )
        app.output.say(
            "They had a grant for where it lay. Its blocks could be fetched without asking anybody: whether they kept"
            " them, nobody can tell."
        )


def _kept(keeper: Keeper) -> PolicyView:
    """Return the grant of somebody who may have kept an earlier place, for the times at which it opened that."""
    from dataclasses import replace

    return replace(keeper.policy, starts_at=keeper.since, expires_at=keeper.until)


records.add_command(list_)
records.add_command(get)
records.add_command(access)
