"""Batches: what this hospital published in which transaction, what waits, and what patients asked to have moved.

Follows docs/spec/portal.md, section "Pages of a hospital", and design section 8 (Publish; Revoke, R4).
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response

from panachain.model.actors import Role
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _
from panachain.portal.pages import Page
from panachain.portal.paging import part_of
from panachain.portal.rendering import confirm, confirmed, render, to

PAGES: Final = (
    Page("/batches", N_("Batches"), frozenset({Role.HOSPITAL}), 30),
    Page("/moves", N_("Moves due"), frozenset({Role.HOSPITAL}), 40),
)
router: Final = APIRouter()
_Hospital = Annotated[Seat, Depends(seated(Role.HOSPITAL))]
_Form = Annotated[Form, Depends(checked_form)]
_AT_ONCE: Final = 5
"""Paired patients whose orders a page reads by itself; those of more are read as work that takes long."""


@router.get("/batches")
async def batches(request: Request, seat: _Hospital, page: int = 1) -> Response:
    """List storage transactions, and what waits."""
    seen = await seat.run(lambda hospital: hospital.overview.batches())
    part = part_of(seen.batches, page)
    return render(request, "hospital/batches.html", title=_("Batches"), seen=seen, shown=part.items, paging=part)


@router.post("/batches/settle")
async def settle(request: Request, seat: _Hospital, form: _Form) -> Response:
    """Finish what an interrupted upload began."""
    if not confirmed(request, form):
        return confirm(
            request,
            title=_("Finish"),
            sentences=[
                _("The journal of this hospital is compared with the chain."),
                _("Whatever was prepared and isn't on the chain is sent now, once; nothing is published twice."),
            ],
            fields={},
            button=_("Finish"),
            back="/batches",
        )
    job = seat.start(
        _("Finishing what was begun"),
        lambda hospital, _progress: hospital.settle(),
        template="hospital/settled.html",
        left=_("What is on the chain stays; the same again goes on where this stopped."),
    )
    return to(job)


@router.get("/moves")
async def moves(request: Request, seat: _Hospital) -> Response:
    """Show what patients asked to have moved; where many are paired, once somebody asks for it."""
    paired = await seat.run(lambda hospital: sum(one.paired for one in hospital.overview.patients()))
    due = await seat.run(lambda hospital: hospital.overview.due()) if paired <= _AT_ONCE else None
    return render(request, "hospital/moves.html", title=_("Moves due"), due=due, paired=paired)


@router.post("/moves/look")
async def look(seat: _Hospital, form: _Form) -> Response:
    """Read the orders of all paired patients."""
    del form
    job = seat.start(
        _("Reading what patients asked for"),
        lambda hospital, _progress: hospital.overview.due(),
        template="hospital/due.html",
        left=_("Nothing was changed."),
    )
    return to(job)


@router.post("/moves/do")
async def move(request: Request, seat: _Hospital, form: _Form) -> Response:
    """Follow the orders."""
    if not confirmed(request, form):
        return confirm(
            request,
            title=_("Move"),
            sentences=[
                _("Every record that a patient asked to have moved gets a new place; the old one is deleted."),
                _("No record is opened, but those that go into another category, with the key that the patient gave."),
                _("This takes transactions on the chain."),
            ],
            fields={},
            button=_("Move"),
            back="/moves",
        )
    job = seat.start(
        _("Moving records"),
        lambda hospital, progress: hospital.rewrap(progress=progress),
        template="hospital/moved.html",
        left=_("Every record can be found, in its old place or in its new one. The same again goes on."),
    )
    return to(job)
