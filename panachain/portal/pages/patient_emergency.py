"""What a patient prepares for an emergency: which desks may open, the card, the veto; and who broke the glass, and why.

Opens nothing. Follows ADR 50 and docs/spec/emergency.md.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.errors import UsageError
from panachain.model.actors import Actor, Address, Role
from panachain.model.emergencies import DELAYS
from panachain.model.scope import EMERGENCY, Category
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _, gettext, ngettext
from panachain.portal.jobs import JobProgress
from panachain.portal.pages import Page
from panachain.portal.pages.everyone import qr
from panachain.portal.paging import part_of
from panachain.portal.refusals import said
from panachain.portal.rendering import category, confirm, confirmed, render, to
from panachain.portal.whom import called
from panachain.sdk.patient import Patient
from panachain.sdk.results.emergencies import EmergencyView
from panachain.sdk.results.listings import Listing
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.results.revocations import RevocationReport

PAGES: Final = (Page("/emergency/own", N_("Emergencies"), frozenset({Role.PATIENT}), 45),)
YEARS: Final = (1, 2, 3, 5)
"""For how long a desk may be prepared, as the form offers it."""
WAITS: Final = tuple(seconds // 60 for seconds in DELAYS)
"""Minutes for which something may wait in an emergency."""
STATES: Final = {
    "asked": N_("asked for; nobody co-signed it yet"),
    "lapsed": N_("lapsed: nobody co-signed it in time"),
    "active": N_("active now"),
    "over": N_("over; its review is due"),
    "reviewed": N_("reviewed"),
    "overdue": N_("its review is overdue"),
    "suspended": N_("without a review: whoever asked is suspended"),
}

router = APIRouter()
_Patient = Annotated[Seat, Depends(seated(Role.PATIENT))]
_Form = Annotated[Form, Depends(checked_form)]


def states() -> dict[str, str]:
    """Return what the states of an emergency are called."""
    return {name: gettext(text) for name, text in STATES.items()}


@router.get("/emergency/own")
async def emergencies(request: Request, seat: _Patient, page: str = "1") -> Response:
    """Show who may open in an emergency, and every emergency that anybody asked for."""
    prepared: Listing[PolicyView] = await seat.run(lambda patient: patient.emergency.policies())
    found: list[EmergencyView] = await seat.run(lambda patient: patient.emergency.all())
    beside: tuple[Actor, ...] = await seat.run(lambda patient: patient.emergency.beside())
    return render(
        request,
        "patient/emergency.html",
        title=_("Emergencies"),
        prepared=prepared,
        unread=prepared.left_out,
        beside=[one.handle for one in beside],
        part=part_of(list(reversed(found)), page),
        states=states(),
        years=YEARS,
        waits=WAITS,
        categories=[one.value for one in Category],
    )


@router.get("/emergency/own/card")
async def card(request: Request, seat: _Patient) -> Response:
    """Show the card to print: the handle, and nothing that opens anything."""
    actor: Actor = await seat.run(lambda patient: patient.whoami())
    return render(
        request, "patient/emergency_card.html", title=_("Emergency card"), handle=actor.handle, code=qr(actor.handle)
    )


@router.post("/emergency/own/prepare")
async def prepare(request: Request, seat: _Patient, form: _Form) -> Response:
    """Let a desk open the emergency lane, in an emergency alone."""
    if form.get("years", "") not in {str(years) for years in YEARS}:
        raise said(UsageError(_("Choose one of the lengths of the form; nothing was prepared.")))
    years = int(form["years"])
    later, minutes = form.all("later"), form.get("delay", "0")
    if set(later) - {one.value for one in Category} or minutes not in {"0", *map(str, WAITS)}:
        raise said(UsageError(_("Choose from what the form offers; nothing was prepared.")))
    if bool(later) != (minutes != "0"):
        raise said(UsageError(_("Choose both what shall wait and for how long, or neither; nothing was prepared.")))
    if not confirmed(request, form):
        name = form["desk"].strip()[:200]
        found: Actor = await seat.run(lambda patient: patient.network.resolve(name, Role.GROUP))
        return confirm(
            request,
            title=_("Prepare for an emergency"),
            sentences=[
                _("The desk is %(who)s.", who=await called(seat, found.address, Role.GROUP)),
                _(
                    "In an emergency one of its practitioners asks with a reason, and a second one of the same hospital"
                    " co-signs. Then your emergency summary is open to the one who asked, for four hours."
                ),
                _("You are told who asked and why, whatever comes of it. You can take this back at any time."),
                *_waiting(later, int(minutes)),
                ngettext("It ends in one year.", "It ends in %(num)d years.", years),
            ],
            fields={"desk": found.address, "years": str(years), "later": later, "delay": minutes},
            button=_("Prepare"),
            back="/emergency/own",
        )
    desk = Address(form["desk"])
    delay = timedelta(minutes=int(minutes)) or None

    def work(patient: Patient, progress: JobProgress) -> list[PolicyView]:
        progress.stage(_("The proxies get their shares"))
        return patient.emergency.prepare([desk], until=timedelta(days=365 * years), later=later, delay=delay)

    return to(seat.start(_("Preparing for an emergency"), work, template="patient/emergency_prepared.html"))


def _waiting(later: list[str], minutes: int) -> list[str]:
    """Return what a patient should know of what waits, before they choose it."""
    if not later:
        return []
    told = [
        _(
            "This opens only %(minutes)d minutes after the second signature: %(what)s. You can veto it meanwhile.",
            minutes=minutes,
            what=", ".join(map(category, later)),
        ),
        _("Who reads is told when more opens, and not what it is."),
        _("Other desks stay as they were: what waits here may open there at once."),
    ]
    if {*later} & {one.value for one in EMERGENCY}:
        told.append(_("Until then your emergency summary says of each of these that something is withheld."))
        if Category.LABORATORY.value not in later:
            told.append(_("Blood groups, and what you put into the emergency summary yourself, wait as well."))
    return told


@router.post("/emergency/own/veto")
async def veto(request: Request, seat: _Patient, form: _Form) -> Response:
    """Take back that desks may open anything."""
    if not confirmed(request, form):
        return confirm(
            request,
            title=_("Veto emergency access"),
            sentences=[
                _("Nobody will be able to open your emergency summary, whatever happens to you."),
                _("It holds at once, also in the middle of an emergency. Proxies delete their shares."),
                _("You can prepare again later."),
            ],
            fields={},
            button=_("Veto"),
            danger=True,
            back="/emergency/own",
        )

    def work(patient: Patient, progress: JobProgress) -> Listing[RevocationReport]:
        progress.stage(_("The chain is told, and each proxy"))
        return patient.emergency.veto()

    return to(seat.start(_("Vetoing"), work, template="patient/emergency_vetoed.html"))
