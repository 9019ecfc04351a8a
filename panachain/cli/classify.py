"""`classify`: what of a file is sensitive, and why, before anything is published.

Needs no profile and no network. Follows docs/spec/sensitivity.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from panachain.cli import words
from panachain.cli.app import App, command, current
from panachain.cli.values import Categories
from panachain.errors import InputError, PartlyDoneError, UsageError

if TYPE_CHECKING:
    from panachain.records.classify import Classified
    from panachain.records.sources import Source

_CLOSED: Final = "closed: `--category all` doesn't cover it"
_OPEN: Final = "open to whoever may read it or `all`"


@command(
    "classify",
    unchanged="nothing was published, and no file was changed",
    after="correct what the message names and try again",
    examples="""
        panachain classify bundle.json
        panachain classify export/ --sensitivity strict --json
    """,
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@click.option(
    "--sensitivity",
    metavar="PROFILE",
    help="Which kinds are closed: default, strict, us-42cfr2, us-ca-ab352 or minimal. The setting `sensitivity` if left"
    " out.",
)
@click.option("--category", type=Categories(), help="For files whose content doesn't tell their category.")
def classify(paths: tuple[Path, ...], sensitivity: str | None, category: tuple[str, ...] | None) -> None:
    """Show what an upload would close, and why.

    Shows whatever is sensitive, resource by resource, with the rule that says so; of the rest only how many there are
    of each category. `--long` and `--json` show every resource.
    """
    from panachain.model.scope import Category
    from panachain.records.sensitivity.profiles import profile_of
    from panachain.records.sources import find_sources
    from panachain.records.walk import spelled

    if category is not None and len(category) != 1:
        raise UsageError(f"--category takes one category here, {len(category)} were given")
    app, failed = current(), dict[Path, InputError]()
    profile = profile_of(app.config.sensitivity if sensitivity is None else sensitivity)
    rows: list[dict[str, object]] = []
    chosen = Category.parse(category[0]) if category else None
    passed_over: list[tuple[str, str]] = []
    for source in find_sources(
        paths, chosen, profile, passed_over=lambda source, what: passed_over.append((spelled(source.path), what))
    ):
        rows += [row(source.path, one) for one in _classified(source, failed)]
    show(app, rows)
    if passed_over:
        app.output.say(f"Passed over, no records: {words.files(passed_over)}.")
    for error in failed.values():
        app.output.warn(f"left out: {error}")
    if failed:
        raise PartlyDoneError(
            f"{words.count(len(failed), 'file')} of {len(failed) + len({row['file'] for row in rows})} can't be read",
            hint=next(iter(failed.values())).hint,
        )


def _classified(source: Source, failed: dict[Path, InputError]) -> Iterator[Classified]:
    """Yield what a source holds; one that can't be read is noted, and stops no other."""
    try:
        # All of it before any: half of a broken file would pass for the whole.
        yield from list(source.classified())
    except InputError as exc:
        failed[source.path] = exc


def row(path: Path, one: Classified) -> dict[str, object]:
    """Return one resource of a file as JSON, schema `panachain/classified/1`."""
    from panachain.model.scope import RESTRICTED, UNDATED

    return {
        "schema": "panachain/classified/1",
        "file": str(path),
        "resource": one.resource,
        "category": one.category.value,
        "year": None if one.year == UNDATED else one.year,
        "restricted": one.category in RESTRICTED,
        "kinds": list(one.kinds),
        "why": list(one.why),
        "emergency": one.emergency,
        "unread": list(one.unread),
    }


def show(app: App, rows: list[dict[str, object]]) -> None:
    """Print what is closed and why, and how much else there is; with --json and --long each resource."""
    output = app.output
    if output.as_json or output.long:
        columns = ("file", "resource", "category", "kinds", "why")
        output.many(rows, empty="There is nothing to classify.", columns=columns)
        return
    closed = [row for row in rows if row["restricted"]]
    if closed:
        several = len({one["file"] for one in rows}) > 1
        columns = (*(("file",) if several else ()), "resource", "category", "kinds", "why")
        output.many([_short(row) for row in closed], empty="", columns=columns)
        output.say("")
    counted: dict[tuple[bool, str], int] = {}
    for row in rows:
        key = (not row["restricted"], str(row["category"]))
        counted[key] = counted.get(key, 0) + 1
    told = [[name, str(number), _OPEN if common else _CLOSED] for (common, name), number in sorted(counted.items())]
    if told:
        output.table(("category", "resources", ""), told, right=("resources",))
    unread = sorted({one for row in rows for one in _texts(row["unread"])})
    if unread:
        output.say(f"Nobody looked at: {', '.join(unread)}. `--category` says what they belong to.")
    if not rows:
        output.say("There is nothing to classify.")


def _short(row: dict[str, object]) -> dict[str, object]:
    """Return a row as people read it: the file's name alone, kinds in words, and the first reason."""
    from panachain.records.sensitivity.kinds import kinds

    named = [kinds()[code].display if code in kinds() else code for code in _texts(row["kinds"])]
    first, *more = _texts(row["why"]) or [""]
    why = f"{first} ({len(more)} more)" if more else first
    return {**row, "file": Path(str(row["file"])).name, "kinds": ", ".join(named), "why": why}


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []
