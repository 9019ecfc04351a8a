"""Breaking the glass: asking with a reason, co-signing for a colleague, and opening what an emergency allows.

Follows ADR 50 and docs/spec/emergency.md.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.errors import UsageError
from panachain.model.actors import Actor, Address, Role
from panachain.plain import line
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _
from panachain.portal.jobs import JobProgress
from panachain.portal.pages import Page
from panachain.portal.pages.patient_emergency import states
from panachain.portal.pages.practitioner_inbox import Opened, shelve, take
from panachain.portal.paging import part_of
from panachain.portal.refusals import said
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.portal.whom import called
from panachain.sdk.emergencies import MAX_REASON
from panachain.sdk.practitioner import Practitioner
from panachain.sdk.results.emergencies import EmergencyView
from panachain.sdk.results.records import OpenedRecord

PAGES: Final = (Page("/emergency", N_("Emergencies"), frozenset({Role.PRACTITIONER}), 15),)

router = APIRouter()
_Practitioner = Annotated[Seat, Depends(seated(Role.PRACTITIONER))]
_Form = Annotated[Form, Depends(checked_form)]


@router.get("/emergency")
async def emergencies(request: Request, seat: _Practitioner, page: str = "1") -> Response:
    """Show what was asked for and co-signed, what waits for a co-signature, and the form."""
    found: list[EmergencyView] = await seat.run(lambda actor: actor.emergency.all())
    return render(
        request,
        "practitioner/emergency.html",
        title=_("Emergencies"),
        part=part_of(list(reversed(found)), page),
        own=seat.profile.address,
        states=states(),
        most=MAX_REASON,
    )


@router.post("/emergency/request")
async def ask(request: Request, seat: _Practitioner, form: _Form) -> Response:
    """Break the glass."""
    reason = form.get("reason", "").strip()
    if not 0 < len(reason) <= MAX_REASON:
        raise said(UsageError(_("An emergency needs a reason of at most %(most)d characters.", most=MAX_REASON)))
    if not confirmed(request, form):
        names = [form["patient"].strip()[:200], form["colleague"].strip()[:200]]
        patient: Actor = await seat.run(lambda actor: actor.network.resolve(names[0], Role.PATIENT))
        other: Actor = await seat.run(lambda actor: actor.network.resolve(names[1], Role.PRACTITIONER))
        return confirm(
            request,
            title=_("Break the glass"),
            sentences=[
                _(
                    "You ask for the emergency summary of %(who)s.",
                    who=await called(seat, patient.address, Role.PATIENT),
                ),
                _("Your reason: %(why)s", why=line(reason)),
                _(
                    "%(who)s, of your own hospital, has to co-sign within an hour.",
                    who=await called(seat, other.address, Role.PRACTITIONER),
                ),
                _("The patient is told at once who asked and why, whatever comes of it; it can't be taken back."),
                _("It is reviewed within 72 hours. Without a review you are suspended."),
            ],
            fields={"patient": patient.address, "colleague": other.address, "reason": reason},
            button=_("Break the glass"),
            danger=True,
            back="/emergency",
        )
    whom, colleague = Address(form["patient"]), Address(form["colleague"])

    def work(actor: Practitioner, progress: JobProgress) -> EmergencyView:
        progress.stage(_("The reason is sealed, and the patient is told"))
        return actor.emergency.request(whom, reason, colleague=colleague)

    return to(seat.start(_("Breaking the glass"), work, template="practitioner/emergency_asked.html"))


@router.post("/emergency/cosign")
async def cosign(request: Request, seat: _Practitioner, form: _Form) -> Response:
    """Co-sign a colleague's emergency."""
    number = number_in(form)
    if not confirmed(request, form):
        found: EmergencyView = await seat.run(lambda actor: actor.emergency.find(number))
        return confirm(
            request,
            title=_("Co-sign an emergency"),
            sentences=[
                _(
                    "%(who)s asks for the emergency summary of %(patient)s.",
                    who=await called(seat, found.practitioner, Role.PRACTITIONER),
                    patient=await called(seat, found.patient, Role.PATIENT),
                ),
                _("The reason: %(why)s", why=line(found.reason))
                if found.reason
                else _("The reason can't be read by you: ask your colleague why they didn't name you."),
                _("With your signature it is open to them for four hours. The patient sees that you signed."),
            ],
            fields={"emergency": str(number)},
            button=_("Co-sign"),
            danger=True,
            back="/emergency",
        )

    def work(actor: Practitioner, progress: JobProgress) -> EmergencyView:
        progress.stage(_("The sidechain is told"))
        return actor.emergency.cosign(number)

    return to(seat.start(_("Co-signing"), work, template="practitioner/emergency_cosigned.html"))


@router.post("/emergency/open")
async def open_(request: Request, seat: _Practitioner, form: _Form) -> Response:
    """Open the patient's emergency lane."""
    number = number_in(form)

    def work(actor: Practitioner, progress: JobProgress) -> Opened:
        progress.stage(_("The proxies ask the sidechain whether the emergency is active"))
        view = actor.emergency.find(number)
        done, records = Opened(view.patient), dict[str, OpenedRecord]()
        failure = take(actor.emergency.open(number), done, records)
        done.more_at = actor.emergency.more_at(number)
        done.beside = tuple(one.handle for one in actor.emergency.beside(view.patient))
        if failure is not None:
            raise failure
        return shelve(seat, view.patient_name or view.patient, done, records, progress)

    return to(seat.start(_("Opening in an emergency"), work, template="practitioner/emergency_opened.html"))


def number_in(form: Form) -> int:
    """Return the number of the emergency that a form names.

    Raises:
        UsageError: it names none.
    """
    text = form["emergency"]
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise said(UsageError(_("An emergency has a number; nothing was done.")))
    return int(text)
