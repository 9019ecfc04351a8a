"""What a reader opened, as their own machine remembers it; the patients' logs have the same, signed by proxies.

Shows nothing of any record.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response

from panachain.model.actors import Role
from panachain.portal.desk import Seat, seated
from panachain.portal.i18n import N_, _
from panachain.portal.pages import Page
from panachain.portal.paging import PER_PAGE, part_of
from panachain.portal.rendering import render

router = APIRouter()
PAGES: Final = (Page("/readings", N_("What I opened"), frozenset({Role.PRACTITIONER, Role.RESEARCHER}), 40),)


@router.get("/readings")
async def readings(
    request: Request,
    seat: Annotated[Seat, Depends(seated(Role.PRACTITIONER, Role.RESEARCHER))],
    patient: str = "",
    page: int = 1,
) -> Response:
    """Show one's own openings, the newest first."""
    found = list(reversed(await seat.run(lambda actor: actor.readings)))
    patients = {one.patient: one.patient_name for one in found}
    shown = [one for one in found if not patient or one.patient.lower() == patient.lower()]
    part = part_of(shown, page, size=PER_PAGE)
    return render(
        request,
        "practitioner/readings.html",
        title=_("What I opened"),
        readings=part.items,
        patients=list(patients),
        names=patients,
        patient=next((one for one in patients if one.lower() == patient.lower()), ""),
        count=part.total,
        page=part.number,
        last=part.pages,
    )
