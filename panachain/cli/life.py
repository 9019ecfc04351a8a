"""What commands say of records that don't count as they were published any more.

Follows docs/spec/cli.md, section "What counts".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from panachain.cli import words
from panachain.cli.app import App
from panachain.model.records import Reason

if TYPE_CHECKING:
    from panachain.sdk.results.records import LeftBehind, ResourceHistory, WithdrawnRecord

_REASONS: Final = {
    Reason.ENTERED_IN_ERROR.value: "entered in error",
    Reason.WRONG_PATIENT.value: "about another person",
    Reason.ERRONEOUS_CATEGORY.value: "in a wrong category",
}
_TOLD: Final = 20
"""Withdrawn records that are named on the screen."""
_WHY: Final = {
    "superseded": "superseded by a newer version",
    "in_error": "entered in error",
    "deleted": "deleted by the hospital",
    "elsewhere": "superseded in another category or year",
    "same": "the same as another hospital's, which is shown",
}


def show_life(
    app: App,
    behind: LeftBehind,
    withdrawn: Sequence[WithdrawnRecord] = (),
    histories: Sequence[ResourceHistory] = (),
    *,
    patient: bool = False,
) -> None:
    """Say what was left out because it doesn't count any more, and show what versions there are.

    Args:
        app: the run.
        behind: what was left out.
        withdrawn: records that their hospitals withdrew.
        histories: all versions of resources, where they were asked for.
        patient: whether the patient looks, who alone can see who opened a record.
    """
    told = [f"{getattr(behind, name)} {text}" for name, text in _WHY.items() if getattr(behind, name)]
    if told:
        left = words.count(behind.total, "resource")
        app.output.say(f"Left out, {left} not counting any more: {', '.join(told)}. --history shows them.")
    for one in withdrawn[:_TOLD]:
        place = f"{one.category}/{one.year or 'undated'}"
        if one.reason == Reason.ERASED.value:
            when = words.iso(one.withdrawn_at)
            attested = f", attested on {words.iso(one.attested_at)}" if one.attested_at else ", not attested yet"
            app.output.say(f"Erased by {one.hospital} on {when}{attested}: record {one.record_id} ({place}).")
            continue
        app.output.say(
            f"Withdrawn by {one.hospital} on {words.iso(one.withdrawn_at)}, {_REASONS[one.reason]}: record"
            f" {one.record_id} ({place}); it isn't shown."
        )
    if len(withdrawn) > _TOLD:
        app.output.say(f"{len(withdrawn) - _TOLD} more were withdrawn; index.json and --json name them all.")
    there = [one for one in withdrawn if one.reason != Reason.ERASED.value]
    if there and patient:
        # Whole: it is to be typed.
        app.output.say(f"Who opened it before: panachain log --record {there[0].record_id}", whole=True)
    if histories and not app.output.as_json:
        rows = [
            {
                "resource": history.resource,
                "hospital": history.hospital,
                "version": version.number,
                "stored_at": words.iso(version.stored_at),
                "state": version.state,
                "changed": ", ".join(version.changed),
            }
            for history in histories
            for version in history.versions
        ]
        app.output.many(rows, empty="", columns=("resource", "hospital", "version", "stored_at", "state", "changed"))
