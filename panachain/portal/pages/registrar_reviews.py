"""Reviews of emergencies: the registrar states that one was held, or has whoever asked suspended where it is overdue.

Opens nothing, and reads no reason. Follows ADR 50 and docs/spec/emergency.md.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.model.actors import Role
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _
from panachain.portal.jobs import JobProgress
from panachain.portal.pages import Page
from panachain.portal.pages.patient_emergency import states
from panachain.portal.pages.practitioner_emergency import number_in
from panachain.portal.paging import part_of
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.portal.whom import called
from panachain.sdk.base import Registrar
from panachain.sdk.results.emergencies import EmergencyView

PAGES: Final = (Page("/reviews", N_("Reviews"), frozenset({Role.REGISTRAR}), 20),)

router = APIRouter()
_Registrar = Annotated[Seat, Depends(seated(Role.REGISTRAR))]
_Form = Annotated[Form, Depends(checked_form)]


@router.get("/reviews")
async def reviews(request: Request, seat: _Registrar, page: str = "1") -> Response:
    """Show the emergencies that are to be reviewed."""
    found: list[EmergencyView] = await seat.run(lambda registrar: registrar.emergency.due())
    return render(request, "operator/reviews.html", title=_("Reviews"), part=part_of(found, page), states=states())


@router.post("/reviews/hold")
async def hold(request: Request, seat: _Registrar, form: _Form) -> Response:
    """State that a review was held."""
    number = number_in(form)
    if not confirmed(request, form):
        found: EmergencyView = await seat.run(lambda registrar: registrar.emergency.find(number))
        return confirm(
            request,
            title=_("State that the review was held"),
            sentences=[
                _(
                    "You state that the emergency access of %(who)s to %(patient)s was reviewed.",
                    who=await called(seat, found.practitioner, Role.PRACTITIONER),
                    patient=await called(seat, found.patient, Role.PATIENT),
                ),
                _("It stands on the sidechain, and can't be taken back."),
            ],
            fields={"emergency": str(number)},
            button=_("It was held"),
            back="/reviews",
        )

    def work(registrar: Registrar, progress: JobProgress) -> EmergencyView:
        progress.stage(_("The sidechain is told"))
        return registrar.emergency.review(number)

    return to(seat.start(_("Stating a review"), work, template="operator/reviewed.html"))


@router.post("/reviews/enforce")
async def enforce(request: Request, seat: _Registrar, form: _Form) -> Response:
    """Have whoever asked suspended, because the review is overdue."""
    number = number_in(form)
    if not confirmed(request, form):
        found: EmergencyView = await seat.run(lambda registrar: registrar.emergency.find(number))
        return confirm(
            request,
            title=_("Suspend for a missing review"),
            sentences=[
                _("%(who)s is suspended.", who=await called(seat, found.practitioner, Role.PRACTITIONER)),
                _("From the next block on they can open nothing, until the registrar reinstates them."),
            ],
            fields={"emergency": str(number)},
            button=_("Suspend"),
            danger=True,
            back="/reviews",
        )

    def work(registrar: Registrar, progress: JobProgress) -> EmergencyView:
        progress.stage(_("The sidechain is told"))
        return registrar.emergency.enforce(number)

    return to(seat.start(_("Suspending"), work, template="operator/reviewed.html"))
