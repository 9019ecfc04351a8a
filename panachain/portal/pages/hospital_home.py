"""A hospital's first page: what waits, and how much there is.

Follows docs/spec/portal.md, section "Pages of a hospital".
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from panachain.model.actors import Role
from panachain.portal.desk import Seat, seated
from panachain.portal.i18n import N_, _
from panachain.portal.pages import Page
from panachain.portal.pages.hospital_upload import uploads_of
from panachain.portal.rendering import render

PAGES: Final = (Page("/hospital", N_("Overview"), frozenset({Role.HOSPITAL}), 0),)
router: Final = APIRouter()


@router.get("/hospital")
async def home(request: Request, seat: Annotated[Seat, Depends(seated(Role.HOSPITAL))]) -> Response:
    """Show what waits, and how much there is."""

    def look(hospital: Any) -> dict[str, Any]:
        patients = hospital.overview.patients()
        return {
            "paired": sum(one.paired for one in patients),
            "records": sum(one.records for one in patients),
            "seen": hospital.overview.batches(),
            "withdrawals": len(hospital.overview.life().withdrawals),
        }

    told = await seat.run(look)
    return render(
        request,
        "hospital/home.html",
        title=_("Overview"),
        uploads=uploads_of(seat).all(),
        running=seat.jobs.running,
        **told,
    )
