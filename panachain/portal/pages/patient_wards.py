"""Whom a patient cares for, and who cares for them: in what, until when, and what was done; accepting it, and its end.

Proposing takes a profile more: ward_proposals.py. Follows docs/spec/wards.md.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.errors import UsageError
from panachain.model.actors import Role
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _
from panachain.portal.jobs import JobProgress
from panachain.portal.pages import Page
from panachain.portal.paging import part_of
from panachain.portal.refusals import said
from panachain.portal.rendering import confirm, confirmed, moment, render, to
from panachain.sdk.patient import Patient
from panachain.sdk.results.wards import WardAct, WardshipView

PAGES: Final = (Page("/wards", N_("Care"), frozenset({Role.PATIENT}), 65),)
STATES: Final = {
    "proposed": N_("waits for the carer"),
    "accepted": N_("waits for the registrar"),
    "in force": N_("in force"),
    "over": N_("over"),
    "ended": N_("ended early"),
}
ACTS: Final = {
    "proposed": N_("proposed to act for the ward"),
    "accepted": N_("accepted to act for the ward"),
    "started": N_("attested it"),
    "ended": N_("ended it"),
    "concluded": N_("had the account closed after the end"),
    "paired": N_("let a hospital publish"),
    "unpaired": N_("let a hospital publish no more"),
    "approved": N_("approved a request"),
    "denied": N_("refused a request"),
    "granted": N_("granted"),
    "revoked": N_("took a grant back"),
}

router = APIRouter()
Sitting = Annotated[Seat, Depends(seated(Role.PATIENT))]
Filled = Annotated[Form, Depends(checked_form)]


@router.get("/wards")
async def wards(request: Request, seat: Sitting, page: str = "1") -> Response:
    """List the wardships of this patient."""

    def look(patient: Patient) -> tuple[list[WardshipView], str]:
        return patient.wards.all(), patient.address

    found, own = await seat.run(look)
    return render(request, "patient/wards.html", part=part_of(found[::-1], page), own=own, states=STATES)


@router.get("/wards/{number}")
async def acts(request: Request, seat: Sitting, number: str, page: str = "1") -> Response:
    """Show what was done in a wardship, the newest first."""
    which = _number(number)

    def look(patient: Patient) -> tuple[list[WardAct], WardshipView]:
        return patient.wards.acts(which), patient.wards.find(which)

    found, wardship = await seat.run(look)
    return render(request, "patient/ward_acts.html", part=part_of(found[::-1], page), wardship=wardship, acts=ACTS)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise said(UsageError(_("That is no number of a wardship.")))
    return int(text)


@router.post("/wards/accept")
async def accept(request: Request, seat: Sitting, form: Filled) -> Response:
    """Accept to act for a ward."""
    number = _number(form["wardship"])
    if not confirmed(request, form):
        found: WardshipView = await seat.run(lambda patient: patient.wards.find(number))
        return confirm(
            request,
            title=_("Act for a ward"),
            sentences=[
                _("You act for %(who)s until %(until)s.", who=found.ward_name, until=moment(found.ends_at)),
                _("It counts once the registrar has seen your papers."),
                _("What you do for the ward is told to them with your name."),
            ],
            fields={"wardship": str(number)},
            button=_("Accept"),
            back="/wards",
        )

    def work(patient: Patient, progress: JobProgress) -> WardshipView:
        progress.stage(_("It goes on the sidechain"))
        return patient.wards.accept(number)

    return to(seat.start(_("Accepting"), work, template="patient/ward_done.html"))


@router.post("/wards/end")
async def end(request: Request, seat: Sitting, form: Filled) -> Response:
    """End a wardship ahead of its time."""
    number = _number(form["wardship"])
    if not confirmed(request, form):
        found: WardshipView = await seat.run(lambda patient: patient.wards.find(number))
        return confirm(
            request,
            title=_("End the wardship"),
            sentences=[
                _("%(carer)s acts no more for %(who)s, from now on.", carer=found.carer_name, who=found.ward_name),
                _("Hospitals publish to the ward's own account then. Honest readers refuse what was granted."),
                _("What was read before can't be called back."),
            ],
            fields={"wardship": str(number)},
            button=_("End it"),
            danger=True,
            back="/wards",
        )

    def work(patient: Patient, progress: JobProgress) -> WardshipView:
        progress.stage(_("It goes on the sidechain"))
        return patient.wards.end(number)

    return to(seat.start(_("Ending"), work, template="patient/ward_done.html"))
