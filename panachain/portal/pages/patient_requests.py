"""Requests to a patient: granted whole, in part or for shorter, or refused; whoever sends too much can be blocked.

Grants nothing that wasn't asked for, and nothing before the patient saw what it allows. Follows design section 8.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.consent.explain import Explanation
from panachain.consent.offer import Offer
from panachain.errors import UsageError
from panachain.model.actors import Role
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _
from panachain.portal.jobs import JobProgress
from panachain.portal.pages import Page
from panachain.portal.pages.patient_choosing import LENGTHS, categories_of, end_of
from panachain.portal.pages.patient_grants import lines_of, told
from panachain.portal.paging import part_of
from panachain.portal.refusals import said
from panachain.portal.rendering import confirm, confirmed, moment, render, to
from panachain.portal.whom import called
from panachain.sdk import consents
from panachain.sdk.patient import Patient
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.results.requests import DenialReport

PAGES: Final = (Page("/requests", N_("Requests"), frozenset({Role.PATIENT}), 30),)
_MOST: Final = 2**48
"""Numbers of requests are below it."""

router = APIRouter()
Sitting = Annotated[Seat, Depends(seated(Role.PATIENT))]
Filled = Annotated[Form, Depends(checked_form)]


@router.get("/requests")
async def requests(request: Request, seat: Sitting, show: str = "open", page: str = "1") -> Response:
    """List requests: those that wait for an answer, or those that were answered."""
    found = await seat.run(lambda patient: patient.requests())
    waiting = [one for one in found if one.state == "open"]
    answered = [one for one in found if one.state != "open"]
    chosen = answered if show == "answered" else waiting
    return render(
        request,
        "patient/requests.html",
        part=part_of(chosen[::-1], page, size=20),
        show="answered" if show == "answered" else "open",
        counts={"open": len(waiting), "answered": len(answered)},
        left_out=found.left_out,
        lengths={code: words for code, (words, _seconds) in LENGTHS.items()},
    )


def number_of(text: str) -> int:
    """Return a request's number.

    Raises:
        UsageError: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 16 and int(text) < _MOST):
        raise said(UsageError(_("That is no number of a request.")))
    return int(text)


@router.post("/requests/approve")
async def approve(request: Request, seat: Sitting, form: Filled) -> Response:
    """Show what a request would be granted, and grant it once that is confirmed."""
    number = number_of(form["request"])
    if confirmed(request, form):
        categories, until = form["categories"].split(","), int(form["until"])

        def work(patient: Patient, progress: JobProgress) -> PolicyView:
            progress.stage(_("Keys and shares are made, the grant is signed, and a relay brings it on chain"))
            return patient.approve(number, until=until, categories=categories)

        left = _("The same once more goes on where this one stopped; nothing is granted twice.")
        return to(seat.start(_("Granting"), work, template="patient/granted.html", left=left))

    def plan(patient: Patient) -> tuple[Offer, Explanation]:
        asked = next((one for one in patient.requests() if one.request_id == number), None)
        if asked is None or asked.state != "open":
            raise said(UsageError(_("This request doesn't wait for an answer."), hint=_("Look through your requests.")))
        until = asked.until
        if form.get("length", "") not in ("", "asked"):
            until = end_of(form.get("length", ""), form.get("day", ""), now=patient.network.clock())
        categories = categories_of(form.all("categories"))
        if until > asked.until or not set(categories) <= set(asked.categories):
            raise said(
                UsageError(
                    _("That is more than was asked for."), hint=_("Grant it by itself, if you mean to give more.")
                )
            )
        return consents.explain_offer(
            patient,
            asked.requester,
            categories,
            purpose=asked.purpose,
            until=until,
            request=number,
            translate=told,
            moment=moment,
            codes=False,
            names=seat.names,
        )

    offer, explanation = await seat.run(plan)
    account = await called(seat, offer.grantee.address, offer.grantee.role)
    return confirm(
        request,
        title=_("Grant what was asked for"),
        sentences=[_("It goes to the account %(address)s.", address=account), *lines_of(explanation)],
        fields={
            "request": str(number),
            "categories": ",".join(scope.text for scope in offer.scopes),
            "until": str(offer.expires_at),
        },
        button=_("Sign and grant"),
    )


@router.post("/requests/deny")
async def deny(request: Request, seat: Sitting, form: Filled) -> Response:
    """Refuse a request, also one that can't be read."""
    number = number_of(form["request"])
    if not confirmed(request, form):
        return confirm(
            request,
            title=_("Refuse the request"),
            sentences=[
                _("Request %(number)d is refused, and whoever made it can see that.", number=number),
                _("Nothing is granted. They can ask again, unless you block them."),
            ],
            fields={"request": str(number)},
            button=_("Refuse it"),
            danger=True,
        )

    def work(patient: Patient, progress: JobProgress) -> DenialReport:
        progress.stage(_("The answer goes on the sidechain"))
        return patient.deny(number)

    return to(seat.start(_("Refusing"), work, template="patient/denied.html"))
