"""What researchers type: `query`.

Never counts what the chain doesn't show to everybody. Follows docs/spec/cli.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from panachain.cli.app import LazyGroup, command, current
from panachain.cli.values import Categories, Moment, flat
from panachain.model.actors import Role
from panachain.model.scope import Category, Purpose

_STATES = click.Choice(["not_yet", "active", "expired", "revoked"])


@click.group(
    "query",
    cls=LazyGroup,
    epilog="""
        panachain --profile lab query policies --state active
        panachain --profile lab query storage --hospital city --as-of-block 120 --format csv
    """,
)
def query() -> None:
    """Query policies or storage transactions on chain."""


def _window(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that both queries take."""
    for option in (
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
        panachain --profile lab query policies --state active --json
        panachain --profile lab query policies --purpose HRESCH --category laboratory --as-of-block 120
    """,
)
@_window
@click.option("--state", type=_STATES, help="What the policy is at that block.")
@click.option("--category", "categories", multiple=True, type=Categories(), help="Open policies on these categories.")
@click.option("--purpose", type=click.Choice([one.value for one in Purpose], case_sensitive=False))
def policies(
    state: str | None, categories: tuple[tuple[str, ...], ...], purpose: str | None, form: str, **window: int | None
) -> None:
    """List policy transactions. Sealed policies show neither purpose nor category."""
    filters: dict[str, Any] = dict(window)
    filters["status"] = state
    filters["categories"] = tuple(Category.parse(name) for name in flat(categories)) or None
    filters["purpose"] = Purpose.parse(purpose) if purpose else None
    _print("policies", filters, form)


@command("storage", examples="panachain --profile lab query storage --hospital city --format csv")
@_window
@click.option("--hospital", metavar="HOSPITAL", help="Only this hospital's.")
def storage(hospital: str | None, form: str, **window: int | None) -> None:
    """List storage transactions."""
    _print("storage", {**window, "hospital": hospital}, form)


def _print(what: str, filters: dict[str, Any], form: str) -> None:
    app = current()
    with app.acting(Role.RESEARCHER) as researcher:
        result = researcher.query(what, **{name: value for name, value in filters.items() if value is not None})
    if app.output.as_json or form == "json":
        app.output.as_json = True
        app.output.one(result)
        return
    fields: dict[str, Any] = dict(result.to_json())
    rows, provenance = fields["rows"], fields.get("provenance", {})
    app.output.many(rows, empty="No row fits.", form=form)
    app.output.say(f"{len(rows)} rows; " + ", ".join(f"{name} {value}" for name, value in provenance.items()))


query.add_command(policies)
query.add_command(storage)
