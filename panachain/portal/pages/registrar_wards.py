"""Wardships, as the registrar has them: those that wait for papers to be seen, attesting one, and ending one.

Reads no papers: they are sealed to ward and carer, and the carer shows them. Follows docs/spec/wards.md and ADR 55.
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
from panachain.portal.labels import CATEGORIES, label
from panachain.portal.pages import Page
from panachain.portal.pages.patient_wards import STATES
from panachain.portal.paging import part_of
from panachain.portal.refusals import said
from panachain.portal.rendering import confirm, confirmed, moment, render, to
from panachain.portal.whom import called
from panachain.sdk.base import Registrar
from panachain.sdk.results.wards import WardshipView

PAGES: Final = (Page("/wardships", N_("Wardships"), frozenset({Role.REGISTRAR}), 30),)

router = APIRouter()
Sitting = Annotated[Seat, Depends(seated(Role.REGISTRAR))]
Filled = Annotated[Form, Depends(checked_form)]


@router.get("/wardships")
async def wardships(request: Request, seat: Sitting, page: str = "1") -> Response:
    """List what carers accepted, what waits first."""
    found: list[WardshipView] = await seat.run(lambda registrar: registrar.wards.all())
    found.sort(key=lambda one: (one.state != "accepted", -one.number))
    return render(request, "operator/wardships.html", title=_("Wardships"), part=part_of(found, page), states=STATES)


@router.post("/wardships/start")
async def start(request: Request, seat: Sitting, form: Filled) -> Response:
    """Attest a wardship."""
    number = _number(form["wardship"])
    if not confirmed(request, form):
        found: WardshipView = await seat.run(lambda registrar: registrar.wards.find(number))
        if found.state != "accepted":
            raise said(UsageError(_("This wardship doesn't wait for you; nothing was attested.")))
        sentences = [
            _("You state that you have seen the papers of %(who)s.", who=await called(seat, found.carer)),
            _(
                "From now on they act for %(ward)s until %(until)s.",
                ward=await called(seat, found.ward, Role.PATIENT),
                until=moment(found.ends_at),
            ),
            _("What hospitals publish of the named categories goes to the carer's account meanwhile."),
        ]
        if found.keeps:
            what = ", ".join(label(CATEGORIES, word) for word in found.keeps)
            sentences.append(
                _(
                    "The ward keeps to themselves: %(what)s, from %(begin)s on.",
                    what=what,
                    begin=moment(found.keeps_from),
                )
            )
        sentences.append(_("You can end it early. What the carer read by then can't be called back."))
        return confirm(
            request,
            title=_("Attest a wardship"),
            sentences=sentences,
            fields={"wardship": str(number)},
            button=_("I have seen the papers: attest it"),
            back="/wardships",
        )

    def work(registrar: Registrar, progress: JobProgress) -> WardshipView:
        progress.stage(_("It goes on the sidechain"))
        return registrar.wards.start(number)

    return to(seat.start(_("Attesting"), work, template="operator/wardship_done.html", path="/wardships"))


@router.post("/wardships/end")
async def end(request: Request, seat: Sitting, form: Filled) -> Response:
    """End a wardship ahead of its time."""
    number = _number(form["wardship"])
    if not confirmed(request, form):
        found: WardshipView = await seat.run(lambda registrar: registrar.wards.find(number))
        return confirm(
            request,
            title=_("End the wardship"),
            sentences=[
                _(
                    "%(carer)s acts no more for %(who)s, from now on.",
                    carer=await called(seat, found.carer),
                    who=await called(seat, found.ward, Role.PATIENT),
                ),
                _("Hospitals publish to the ward's own account then. Honest readers refuse what was granted."),
                _("What was read before can't be called back."),
                _("It can't be undone: a new wardship has to be proposed."),
            ],
            fields={"wardship": str(number)},
            button=_("End it"),
            danger=True,
            back="/wardships",
        )

    def work(registrar: Registrar, progress: JobProgress) -> WardshipView:
        progress.stage(_("It goes on the sidechain"))
        return registrar.wards.end(number)

    return to(seat.start(_("Ending"), work, template="operator/wardship_done.html", path="/wardships"))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise said(UsageError(_("That is no number of a wardship.")))
    return int(text)
