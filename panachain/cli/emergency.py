"""`emergency prepare|card|veto|status|request|cosign|open|review|enforce`: break-glass, from the card to the review.

Decides nothing: the sidechain says whether the glass is broken, and the proxies serve by it. The card holds a handle
and no name or key. Follows docs/spec/cli.md and docs/spec/emergency.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from panachain.cli import words
from panachain.cli.app import App, LazyGroup, command, current
from panachain.cli.blocked import show_left_out
from panachain.cli.files import write_new
from panachain.cli.values import Categories, Duration, Moment, flat
from panachain.errors import PartlyDoneError
from panachain.model.actors import Role
from panachain.model.scope import EMERGENCY, Category

if TYPE_CHECKING:
    from panachain.model.actors import Actor
    from panachain.sdk.granted_records import GrantedOpening
    from panachain.sdk.patient import Patient
    from panachain.sdk.practitioner import Practitioner
    from panachain.sdk.results.emergencies import EmergencyView

COLUMNS: Final = ("id", "state", "practitioner", "patient", "requested_at", "expires_at", "reason")
FIELDS: Final = (
    *("id", "state", "practitioner", "organisation", "patient", "reason"),
    *("requested_at", "cosigner", "expires_at", "review_due_at"),
)
"""What people read of one emergency."""
_TITLES: Final = {"id": "emergency"}


@click.group(
    "emergency",
    cls=LazyGroup,
    epilog="""
        panachain --profile me emergency prepare gro-mfrggzdfmy2tq --until 3y
        panachain --profile me emergency card -o card.html
        panachain --profile doctor emergency request pat-mfrggzdfmy2tq --colleague nurse --reason "unconscious"
    """,
)
def emergency() -> None:
    """Prepare for an emergency, or break the glass."""


@command(
    "prepare",
    unchanged="what was granted before stayed as it was",
    after="the same command again goes on",
    examples="panachain --profile me emergency prepare gro-mfrggzdfmy2tq --until 3y",
)
@click.argument("desks", metavar="DESK…", nargs=-1, required=True)
@click.option("--until", required=True, type=Moment(), help="When it ends, excluded: a date, or 3y for three years.")
@click.option("--later", multiple=True, type=Categories(), help="What opens only when the delay is over; with commas.")
@click.option("--delay", type=Duration(), help="How long that waits after the second signature: 15m to 225m, by 15.")
def prepare(desks: tuple[str, ...], until: int, later: tuple[tuple[str, ...], ...], delay: int | None) -> None:
    """Let emergency desks open your emergency summary, in an emergency alone.

    A DESK is a group of practitioners. Nothing opens until one of them asks with a reason and a second practitioner of
    the same hospital co-signs; then it is open to the one who asked for four hours, and you are told.

    What --later names waits for --delay more: proxies serve it to nobody before, and you can veto meanwhile. It may be
    of the emergency summary, or beside it. To have nothing wait any more, veto and prepare again.
    """
    app = current()
    waits = None if delay is None else timedelta(seconds=delay)
    named = flat(later)
    with app.acting(Role.PATIENT) as patient:
        made = patient.emergency.prepare(desks, until=until, later=named, delay=waits)
        mine = {one.policy_id for one in made}
        others = [one for one in patient.emergency.policies() if one.policy_id not in mine] if named else []
        app.output.many(made, empty="", columns=("policy_id", "status", "scopes", "purposes", "expires_at"))
    if others:
        app.output.warn(
            f"other desks keep what they may open ({words.count(len(others), 'permission')}): what waits here may open"
            " there at once; name these desks, too"
        )
    if delay and Category.LABORATORY.value not in named and {*named} & {one.value for one in EMERGENCY}:
        app.output.say("Blood groups of laboratory results wait as long: they stand in the emergency summary alone.")
    app.output.next("panachain emergency card -o card.html")


@command("card", examples="panachain --profile me emergency card -o card.html")
@click.option(
    "-o",
    "--output",
    "file",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A new page to print.",
)
def card(file: Path) -> None:
    """Write a card to print: your handle, as text and as a QR code. It holds no name and no key, and opens nothing."""
    app = current()
    profile = app.profile(Role.PATIENT)
    write_new(file, card_page(profile.handle).encode())
    app.output.one({"schema": "panachain/emergency-card/1", "file": str(file), "handle": profile.handle})
    app.output.say(
        "Print it and carry it. Whoever finds it learns a handle, and needs two signatures to open anything."
    )


def card_page(handle: str) -> str:
    """Return the card as a page that loads nothing."""
    # Imported here: most commands draw nothing.
    import segno

    code = segno.make(handle, error="q", micro=False).svg_inline(scale=4, border=4)
    told = escape(handle)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Emergency card</title>'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<style>body{font:12pt sans-serif}main{border:1pt solid;padding:8mm;width:85mm}"
        "code{font-size:14pt}</style></head><body><main><h1>In an emergency</h1>"
        f"<p>{code}</p><p><code>{told}</code></p>"
        "<p>My records can be opened by the emergency desk of a hospital that uses PanaChain:</p>"
        f"<p><code>panachain emergency request {told} --colleague NAME --reason TEXT</code></p>"
        "<p>A second practitioner of the hospital co-signs. I am told.</p></main></body></html>\n"
    )


@command(
    "veto",
    unchanged="what isn't listed stayed as it was",
    after="the same command again: nothing is taken back twice",
    examples="panachain --profile me emergency veto --yes",
)
@click.option("--yes", is_flag=True, help="Don't ask.")
def veto(yes: bool) -> None:
    """Take back that emergency desks may open anything, also in the middle of an emergency."""
    app = current()
    app.check_can_confirm(yes=yes)
    with app.acting(Role.PATIENT) as patient:
        if not yes:
            app.confirm("Nobody will be able to open your emergency summary, whatever happens to you. Go on?", yes=yes)
        reports = patient.emergency.veto()
        none = "" if reports.left_out else "No emergency desk could open anything."
        app.output.many(reports, empty=none, columns=("policy_id", "stage"))
        show_left_out(app, reports)
        if reports.left_out:
            raise PartlyDoneError(
                f"{words.count(len(reports.left_out), 'policy')} in force can't be read, and may be to emergency desks",
                hint=f"panachain revoke {reports.left_out[0].item} takes one back",
            )
    if not all(one.final for one in reports):
        raise PartlyDoneError(
            "the veto was sent, and it isn't proven or too few proxies signed the deletion",
            hint="panachain policies shows how far it is; the next command goes on with it",
        )


@command("status", examples="panachain --profile me emergency status")
def status() -> None:
    """List emergencies: yours as a patient; what you asked for, co-signed or are asked to; what is to be reviewed."""
    app = current()
    acting: Any
    with app.acting(Role.PATIENT, Role.PRACTITIONER, Role.REGISTRAR) as acting:
        part = acting.emergency
        # The registrar's are those to be reviewed; everybody else's are their own.
        found = part.due() if hasattr(part, "due") else part.all()
        app.output.many(found, empty="There was no emergency.", columns=COLUMNS, titles=_TITLES)
        if hasattr(part, "policies"):
            for other in part.beside():
                app.output.warn(
                    f"records lie under {other.handle}, too, because of a wardship: an emergency of this account opens"
                    " nothing of it, so that one needs desks and a card of its own"
                )
            prepared = len(part.policies())
            app.output.say(
                f"{words.count(prepared, 'emergency desk')} could open your emergency summary in an emergency."
                if prepared
                else "No emergency desk can open anything: `panachain emergency prepare` lets one."
            )


@command(
    "request",
    unchanged="nothing was opened, and nobody was told",
    after="panachain emergency status shows whether it was made",
    examples='panachain --profile doctor emergency request pat-mfrggzdfmy2tq --colleague nurse --reason "unconscious"',
)
@click.argument("patient")
@click.option(
    "--reason", required=True, metavar="TEXT", help="Why; sealed to the patient, to you and to the colleague."
)
@click.option("--colleague", required=True, metavar="NAME", help="Who shall co-sign, of your own hospital.")
def request(patient: str, reason: str, colleague: str) -> None:
    """Break the glass: ask for PATIENT's emergency summary. The patient is told, whatever comes of it."""
    app = current()
    with app.acting(Role.PRACTITIONER) as practitioner:
        made = practitioner.emergency.request(patient, reason, colleague=colleague)
        _show(app, made)
        _tell_beside(app, practitioner.emergency.beside(made.patient))
    app.output.say(
        f"Within an hour your colleague types: panachain --profile COLLEAGUE emergency cosign {made.emergency_id}"
    )
    app.output.next(f"panachain emergency open {made.emergency_id} -o opened/")


@command(
    "cosign",
    unchanged="nothing was opened",
    after="panachain emergency status shows what waits for you",
    examples="panachain --profile nurse emergency cosign 1",
)
@click.argument("number", metavar="ID", type=click.IntRange(min=1))
def cosign(number: int) -> None:
    """Co-sign a colleague's emergency ID: it is open to them for four hours from now."""
    app = current()
    with app.acting(Role.PRACTITIONER) as practitioner:
        _show(app, practitioner.emergency.cosign(number))


@command("open", unchanged="no file was written", examples="panachain --profile doctor emergency open 1 -o opened/")
@click.argument("number", metavar="ID", type=click.IntRange(min=1))
@click.option(
    "-o",
    "--output",
    "folder",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A folder to make, or an empty one. It gets index.html and summary.fhir.json.",
)
def open_(number: int, folder: Path) -> None:
    """Open the patient's emergency summary in emergency ID, with one page made of it."""
    from panachain.cli.practitioner import open_into

    open_into(
        current(),
        folder,
        lambda practitioner, progress: _opening(practitioner, number),  # type: ignore[arg-type]
        summarized=True,
    )


def _opening(practitioner: Practitioner, number: int) -> GrantedOpening:
    """Return the opening of an emergency, and say when more opens; what it is isn't said."""
    opening = practitioner.emergency.open(number)
    _tell_beside(current(), practitioner.emergency.beside(practitioner.emergency.find(number).patient))
    if at := practitioner.emergency.more_at(number):
        current().output.warn(f"the patient lets something wait: more opens at {words.when(at)}, by the same command")
    return opening


@command(
    "review",
    unchanged="no review was stated",
    after="panachain emergency status lists what is to be reviewed",
    examples="panachain --profile registrar emergency review 1",
)
@click.argument("number", metavar="ID", type=click.IntRange(min=1))
def review(number: int) -> None:
    """State that the review of emergency ID was held; without one in 72 hours whoever asked can be suspended."""
    app = current()
    acting: Any
    with app.acting(Role.REGISTRAR) as acting:
        _show(app, acting.emergency.review(number))


@command(
    "enforce",
    unchanged="nobody was suspended",
    after="panachain emergency status shows what is overdue",
    examples="panachain --profile nurse emergency enforce 1",
)
@click.argument("number", metavar="ID", type=click.IntRange(min=1))
def enforce(number: int) -> None:
    """Have whoever asked for emergency ID suspended, because its review is overdue; anybody at work may."""
    app = current()
    acting: Any
    with app.acting(Role.PRACTITIONER, Role.REGISTRAR) as acting:
        _show(app, acting.emergency.enforce(number))


def _tell_beside(app: App, others: Sequence[Actor]) -> None:
    for one in others:
        app.output.warn(
            f"this patient is in care: what else is known of them lies under {one.handle}, and this emergency opens"
            f" nothing of it; panachain emergency request {one.handle} asks for it"
        )


def warn_of_unreviewed(app: App, patient: Patient) -> None:
    """Say who broke the glass, or asked to, and isn't reviewed yet: a log that is empty so far mustn't hide it."""
    for one in patient.emergency.all():
        if one.state in ("asked", "active", "over", "overdue"):
            why = f": {one.reason}" if one.reason else ", and the reason can't be read"
            what = "asked for" if one.state == "asked" else "could open"
            app.output.warn(f"emergency {one.emergency_id}: {one.practitioner_name} {what} your emergency summary{why}")


def _show(app: App, view: EmergencyView) -> None:
    app.output.one(view, fields=FIELDS, titles=_TITLES)


for _one in (prepare, card, veto, status, request, cosign, open_, review, enforce):
    emergency.add_command(_one)
