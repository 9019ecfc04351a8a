"""What researchers type: `query`.

Never counts what the chain doesn't show to everybody. Follows docs/spec/cli.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import click

from panachain.cli import words
from panachain.cli.app import App, LazyGroup, command, current
from panachain.cli.values import Categories, Moment, Purposes, flat
from panachain.errors import UsageError
from panachain.model.actors import Role
from panachain.model.scope import Category, Purpose

_COLUMNS: Final = {
    "policies": ("policy_id", "status", "categories", "purposes", "study", "granted_at", "expires_at"),
    "storage": ("hospital", "sequence", "count", "stored_at"),
}
_MORE: Final = {
    "policies": ("starts_at", "data_use", "block", "log", "tx", "terms", "view_tag", "announcement", "revoked_block"),
    "storage": ("block", "log", "tx", "manifest", "previous"),
}
"""Technical columns, shown on --long."""
_STATES = click.Choice(["not_yet", "active", "expired", "revoked"])


@click.group(
    "query",
    cls=LazyGroup,
    epilog="""
        panachain --profile study query policies --state active
        panachain --profile study query storage --hospital clinic --as-of-block 120 --format csv
    """,
)
def query() -> None:
    """Query policies or storage transactions on chain."""


def _window(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that both queries take."""
    for option in (
        click.option(
            "--columns", default="", metavar="NAME,…", help="These columns of the chain's, as --json names them."
        ),
        click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table"),
        click.option("--limit", type=click.IntRange(1), help="At most so many rows."),
        click.option("--as-of-block", type=click.IntRange(0), help="As the chain stood at this block."),
        click.option("--until", type=Moment(past=True), help="Before this time."),
        click.option("--since", type=Moment(past=True), help="At or after this time."),
    ):
        function = option(function)
    return function


@command(
    "policies",
    examples="""
        panachain --profile study query policies --state active --json
        panachain --profile study query policies --purpose HRESCH --category laboratory --as-of-block 120
    """,
)
@_window
@click.option("--state", type=_STATES, help="What the policy is at that block.")
@click.option("--category", "categories", multiple=True, type=Categories(), help="Open policies on these categories.")
@click.option("--purpose", type=Purposes(), help="Open policies for this, a word or a code.")
def policies(
    state: str | None,
    categories: tuple[tuple[str, ...], ...],
    purpose: Purpose | None,
    form: str,
    columns: str,
    **window: int | None,
) -> None:
    """List policy transactions. Sealed policies show neither purpose nor category."""
    filters: dict[str, Any] = dict(window)
    filters["status"] = state
    filters["categories"] = tuple(Category.parse(name) for name in flat(categories)) or None
    filters["purpose"] = purpose
    _print("policies", filters, form, columns)


@command("storage", examples="panachain --profile study query storage --hospital clinic --format csv")
@_window
@click.option("--hospital", metavar="HOSPITAL", help="Only this hospital's.")
def storage(hospital: str | None, form: str, columns: str, **window: int | None) -> None:
    """List storage transactions."""
    _print("storage", {**window, "hospital": hospital}, form, columns)


def _print(what: str, filters: dict[str, Any], form: str, columns: str) -> None:
    app = current()
    with app.acting(Role.RESEARCHER) as researcher:
        result = researcher.query(what, **{name: value for name, value in filters.items() if value is not None})
        rows: list[dict[str, object]] = [row.to_json() for row in result]
        if app.output.as_json or form == "json":
            app.output.as_json = True
            app.output.one(result)
            return
        if form == "csv":
            app.output.many(rows, empty="No row fits.", form=form, columns=_chosen(columns, rows))
        elif chosen := _chosen(columns, rows):
            app.output.many(rows, empty="No row fits.", columns=chosen)
        else:
            app.output.many(rows, empty="No row fits.", columns=_COLUMNS[what], more=_MORE[what], also=_words)
    _say_provenance(app, len(rows), result.provenance.to_json())


def _chosen(columns: str, rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the columns that were asked for.

    Raises:
        UsageError: there is no such column.
    """
    names = [name.strip() for name in columns.split(",") if name.strip()]
    if rows and (unknown := [name for name in names if name not in rows[0]]):
        raise UsageError(f"there is no column {unknown[0]!a}; there are: {', '.join(rows[0])}")
    return names


def _words(row: Mapping[str, object]) -> Mapping[str, object]:
    """Return bits of purposes and categories as names; a sealed policy's say nothing."""
    if "purposes" not in row:
        return {}
    # The bits are those that the contract stores (docs/spec/formats.md).
    purposes, categories = int(str(row["purposes"] or 0)), int(str(row["categories"] or 0))
    named = (
        [one.value for one in Purpose if purposes & one.bit],
        [one.value for one in Category if categories & one.bit],
    )
    study = str(row.get("study") or "")
    return {
        "purposes": named[0],
        "categories": named[1] or ("sealed" if not purposes else ""),
        "study": study if study.strip("0x") else "",
    }


def _say_provenance(app: App, rows: int, provenance: Mapping[str, object]) -> None:
    """Say of which block the rows are, so that the query can be made again."""
    told = [words.count(rows, "row")]
    if "block" in provenance:
        told.append(f"as of block {provenance['block']}")
    if (seconds := words.moment(provenance.get("block_time"))) is not None:
        told.append(words.when(seconds))
    app.output.say(
        ", ".join(told) + (f". The same again: --as-of-block {provenance['block']}" if "block" in provenance else "")
    )
    app.output.detail(", ".join(f"{name} {value}" for name, value in provenance.items()))


query.add_command(policies)
query.add_command(storage)
