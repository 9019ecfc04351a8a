"""A patient's first page: who can read what now, and what waits for a decision. And `settle`, for what is unfinished.

Asks no proxy. Follows design section 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.model.actors import Role
from panachain.model.policy import PolicyStatus
from panachain.model.progress import Progress
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _
from panachain.portal.pages import Page
from panachain.portal.paging import part_of
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.sdk.access import readers
from panachain.sdk.patient import Patient
from panachain.sdk.results.guardians import RecoveryView
from panachain.sdk.results.listings import Listing
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.results.requests import RequestView

PAGES: Final = (Page("/home", N_("Overview"), frozenset({Role.PATIENT}), 0),)
SOON: Final = 14 * 86_400
"""Seconds before its end from which a grant is shown as one that ends soon."""
_DONE: Final = ("final", "lane rotated", "headers re-wrapped", "withdrawn before it was sent")
"""Stages of revocations after which nobody has to do anything."""

router = APIRouter()
Sitting = Annotated[Seat, Depends(seated(Role.PATIENT))]
Filled = Annotated[Form, Depends(checked_form)]


@dataclass(frozen=True)
class Waiting:
    """What waits for the patient."""

    requests: tuple[RequestView, ...]
    """That nobody answered yet."""
    revocations: tuple[PolicyView, ...]
    """That aren't final."""
    unfinished: tuple[PolicyView, ...]
    """Grants that lack shares, or wait to be sent."""
    ending: tuple[PolicyView, ...]
    """Grants that end soon."""
    alarms: tuple[PolicyView, ...]
    """Revoked policies of which a proxy acts against the revocation."""

    @property
    def total(self) -> int:
        """How much there is."""
        return sum(map(len, (self.requests, self.revocations, self.unfinished, self.ending, self.alarms)))


def waiting(policies: Iterable[PolicyView], requests: Iterable[RequestView], *, now: float) -> Waiting:
    """Return what waits for a patient at a time."""
    views = list(policies)
    return Waiting(
        requests=tuple(one for one in requests if one.state == "open"),
        revocations=tuple(
            one for one in views if one.stage not in _DONE and (one.status is PolicyStatus.REVOKED or _is_sent(one))
        ),
        unfinished=tuple(
            one for one in views if one.status is not PolicyStatus.REVOKED and not _is_sent(one) and _lacks(one)
        ),
        ending=tuple(one for one in views if one.active and not _is_sent(one) and one.expires_at - now <= SOON),
        alarms=tuple(one for one in views if one.alarms),
    )


def _is_sent(view: PolicyView) -> bool:
    """Tell whether a revocation was sent that the chain doesn't prove yet."""
    return view.stage == "sent, not proven yet"


def _lacks(view: PolicyView) -> bool:
    return bool(view.lacking or view.stage) and view.status is not PolicyStatus.EXPIRED


def _look(patient: Patient) -> tuple[Listing[PolicyView], Listing[RequestView], RecoveryView | None, float]:
    policies = patient.policies()
    moving = patient.guardians.recovery()
    return Listing(policies, policies.left_out), patient.requests(), moving, patient.network.clock()


@router.get("/home")
async def home(request: Request, seat: Sitting, page: str = "1") -> Response:
    """Show who can read what, and what waits."""
    policies, requests, moving, now = await seat.run(_look)
    found = readers(policies)
    return render(
        request,
        "patient/home.html",
        moving=moving,
        matrix=found,
        people=part_of(found.rows, page, size=25),
        waiting=waiting(policies, requests, now=now),
        left_out=(*policies.left_out, *requests.left_out),
        now=now,
    )


@router.post("/settle")
async def settle(request: Request, seat: Sitting, form: Filled) -> Response:
    """Finish what was interrupted."""
    if not confirmed(request, form):
        return confirm(
            request,
            title=_("Finish what is unfinished"),
            sentences=[
                _("Proxies that lack a share of a grant are given it, and grants that waited long enough are sent."),
                _("Proxies that haven't signed the deletion of a revoked grant are asked again."),
                _("Grants that new keys left behind are granted anew."),
                _("Nothing is granted that you didn't grant before."),
            ],
            fields={},
            button=_("Finish it"),
        )

    def work(patient: Patient, progress: Progress) -> Sequence[PolicyView]:
        return patient.settle(progress=progress)

    return to(seat.start(_("Finishing what is unfinished"), work, template="patient/settled.html"))
