"""Asking patients for access: who, what, why and how long; what became of it, and taking it back.

Follows design section 8 and docs/spec/formats.md, section "Requests".
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from panachain.errors import UsageError
from panachain.model.actors import Actor, Address, Role
from panachain.model.scope import Category, Purpose
from panachain.plain import line
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _, ngettext
from panachain.portal.labels import CATEGORIES, PURPOSES, label
from panachain.portal.pages import Page
from panachain.portal.paging import part_of
from panachain.portal.refusals import said
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.portal.whom import called
from panachain.sdk.practitioner import Practitioner
from panachain.sdk.requests import MAX_NOTE
from panachain.sdk.results.listings import Listing
from panachain.sdk.results.requests import RequestView
from panachain.sdk.words import WHOLE

router = APIRouter()
PAGES: Final = (Page("/asked", N_("Requests"), frozenset({Role.PRACTITIONER}), 20),)
LENGTHS: Final = (1, 7, 14, 30, 90, 365)
"""Days that the form offers."""
WORDS: Final = (*WHOLE, *(one.value for one in Category))
"""What can be asked for, in the order of the form."""
_DAY: Final = 86_400
Asking = Annotated[Seat, Depends(seated(Role.PRACTITIONER))]
Checked = Annotated[Form, Depends(checked_form)]


@router.get("/asked")
async def asked(request: Request, seat: Asking, page: int = 1) -> Response:
    """Show the requests that were made, the newest first, and what became of each."""
    found: Listing[RequestView] = await seat.run(lambda actor: actor.requests())
    part = part_of(list(reversed(found)), page)
    return render(
        request,
        "practitioner/requests.html",
        title=_("Requests"),
        requests=part.items,
        left_out=found.left_out,
        page=part.number,
        last=part.pages,
    )


@router.get("/asked/new")
async def new(request: Request, seat: Asking, patient: str = "") -> Response:
    """Show the form."""
    return render(
        request,
        "practitioner/request.html",
        title=_("Ask for access"),
        patient=line(patient[:200]),
        words=WORDS,
        purposes=[one.value for one in Purpose],
        lengths=LENGTHS,
        most=MAX_NOTE,
    )


@router.post("/asked/new")
async def ask(request: Request, seat: Asking, form: Checked) -> Response:
    """Ask, once whoever asks has seen whom and for what."""
    chosen = form.all("category")
    words = [word for word in WORDS if word in chosen]
    if not words or set(chosen) - set(WORDS):
        raise said(UsageError(_("Choose at least one category; nothing was asked.")))
    purpose, note, days = Purpose.parse(form["purpose"]), form.get("note", ""), _days(form.get("days", ""))
    if len(note) > MAX_NOTE:
        raise said(UsageError(_("The note has more than %(most)d characters; nothing was asked.", most=MAX_NOTE)))
    to_whom = form.get("specialist", "").strip()[:200]
    if to_whom and not note.strip():
        raise said(UsageError(_("A referral needs a reason: write it into the note; nothing was asked.")))
    if not confirmed(request, form):
        name = form["patient"].strip()[:200]
        found: Actor = await seat.run(lambda actor: actor.network.resolve(name, Role.PATIENT))
        if to_whom:
            other: Actor = await seat.run(lambda actor: actor.network.resolve(to_whom, Role.PRACTITIONER))
            to_whom = other.address
        return confirm(
            request,
            title=_("Ask for access"),
            sentences=[
                _("You ask %(who)s.", who=await called(seat, found.address, Role.PATIENT)),
                *(
                    [
                        _(
                            "You ask in the name of %(who)s, who alone reads what is granted.",
                            who=await called(seat, Address(to_whom), Role.PRACTITIONER),
                        )
                    ]
                    if to_whom
                    else []
                ),
                _("You ask for: %(what)s.", what=", ".join(label(CATEGORIES, word) for word in words)),
                _("The purpose is: %(purpose)s.", purpose=label(PURPOSES, purpose)),
                ngettext("You want to read for one day.", "You want to read for %(num)d days.", days),
                _("Your note: %(note)s", note=line(note)) if note else _("You write no note."),
                _("What you ask is sealed to the patient. That you asked them is on the sidechain, and stays there."),
                _("The patient decides; you read nothing before."),
            ],
            fields={
                "patient": found.address,
                "category": words,
                "purpose": purpose.value,
                "days": str(days),
                "note": note,
                "specialist": to_whom,
            },
            button=_("Ask"),
            back="/asked/new",
        )

    who = Address(form["patient"])

    def work(actor: Practitioner, progress: Any) -> object:
        until = int(actor.network.clock()) + days * _DAY
        return actor.request(who, words, purpose, note, until=until, specialist=to_whom or None)

    return to(seat.start(_("Asking"), work, template="practitioner/asked.html", patient=who))


@router.post("/asked/withdraw")
async def withdraw(request: Request, seat: Asking, form: Checked) -> Response:
    """Take a request back that nobody answered."""
    number = _number(form["request"])
    found: Listing[RequestView] = await seat.run(lambda actor: actor.requests())
    made = next((one for one in found if one.request_id == number), None)
    if made is None or made.state != "open":
        raise said(UsageError(_("Request %(number)d isn't open, so there is nothing to take back.", number=number)))
    if not confirmed(request, form):
        return confirm(
            request,
            title=_("Take the request back"),
            sentences=[
                _(
                    "You take back request %(number)d to %(who)s.",
                    number=number,
                    who=line(made.patient_name) or made.patient,
                ),
                _("The patient can't approve it any more. That it was made stays on the sidechain."),
                _("It counts among the requests that may wait at one patient until a day after it was made."),
            ],
            fields={"request": str(number)},
            button=_("Take back"),
            back="/asked",
        )
    return to(
        seat.start(
            _("Taking the request back"),
            lambda actor, progress: actor.withdraw_request(number),
            template="practitioner/withdrawn.html",
        )
    )


def _days(text: str) -> int:
    if text not in {str(days) for days in LENGTHS}:
        raise said(UsageError(_("Choose one of the lengths of the form; nothing was asked.")))
    return int(text)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise said(UsageError(_("A request has a number; nothing was done.")))
    return int(text)
