"""Guardians: whom a patient named and what they began, with the veto; and whom one guards, with what one can do.

Never shows a share: it is sealed to the device that asked, if the words are those that the patient read out. Who is
meant is looked up before anything is confirmed. Follows docs/spec/recovery.md, section "Guardians", and ADR 54.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.errors import UsageError
from panachain.model.actors import Role
from panachain.model.guardianship import DAY, USUAL_DELAY
from panachain.plain import line
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _, ngettext
from panachain.portal.pages import Page
from panachain.portal.refusals import said
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.portal.whom import account_of, called
from panachain.sdk.results.guardians import GuardedView, GuardiansReport, MovedReport, ReleaseReport
from panachain.sdk.results.listings import Listing

router = APIRouter()
_ROLES: Final = (Role.PATIENT, Role.PRACTITIONER, Role.HOSPITAL, Role.RESEARCHER)
PAGES: Final = (Page("/guardians", N_("Guardians"), frozenset(_ROLES), 88),)
Guards = Annotated[Seat, Depends(seated(*_ROLES))]
Patients = Annotated[Seat, Depends(seated(Role.PATIENT))]
Filled = Annotated[Form, Depends(checked_form)]
_MOST: Final = 16
_LINE: Final = 200
"""Characters of a line or of words that are looked at."""
_DELAYS: Final = (1, 3, 7, 14, 30)
"""Days that the form offers."""


@router.get("/guardians")
async def guardians(request: Request, seat: Guards) -> Response:
    """Show one's guardians and what they began, and whom one guards."""
    own: GuardiansReport | None = None
    moved: list[MovedReport] = []
    if seat.role is Role.PATIENT:
        own = await seat.run(lambda actor: actor.guardians.all())
        moved = await seat.run(lambda actor: actor.guardians.inherited())
    guarded: Listing[GuardedView] = await seat.run(lambda actor: actor.guarding.all())
    return render(
        request,
        "everyone/guardians.html",
        title=_("Guardians"),
        own=own,
        moved=moved,
        guarded=guarded,
        left_out=guarded.left_out,
        delays=_DELAYS,
        usual=USUAL_DELAY // DAY,
    )


@router.post("/guardians/set")
async def set_(request: Request, seat: Patients, form: Filled) -> Response:
    """Name people as guardians, after saying what they can."""
    threshold, days = _number(form["threshold"]), _number(form["days"])
    if confirmed(request, form):
        people = form.all("person")
        await seat.run(lambda actor: actor.guardians.set(people, threshold=threshold, delay=days * DAY))
        return to("/guardians")
    typed = [text for text in form.get("people", "").splitlines() if text.strip()]
    if not 2 <= threshold <= len(typed) <= _MOST:
        raise said(UsageError(_("Name two to sixteen people, of whom two or more are needed; nobody was named.")))
    accounts = [await account_of(seat, text, *_ROLES) for text in typed]
    sentences = [_("You name %(who)s.", who=await called(seat, one)) for one in accounts]
    return confirm(
        request,
        title=_("Name guardians"),
        sentences=[
            *sentences,
            ngettext(
                "Any %(num)d of them together have your key, and can open everything of yours.",
                "Any %(num)d of them together have your key, and can open everything of yours.",
                threshold,
            ),
            _("Together they can move you to another account, if your key is lost or stolen."),
            ngettext(
                "You can stop that for one day. Other guardians count after as long.",
                "You can stop that for %(num)d days. Other guardians count after as long.",
                days,
            ),
            _("The sidechain's nodes see that you have guardians and how many are needed, and no name."),
        ],
        fields={"person": accounts, "threshold": str(threshold), "days": str(days)},
        button=_("Name guardians"),
        back="/guardians",
    )


@router.post("/guardians/remove")
async def remove(request: Request, seat: Patients, form: Filled) -> Response:
    """Announce that nobody is guardian any more."""
    return await _one(
        request,
        seat,
        form,
        _("Remove my guardians"),
        [
            _("Nobody can move you to another account any more, when the present delay is over."),
            _("The shares that they hold still restore your key: nobody can take them back."),
        ],
        lambda actor: actor.guardians.remove(),
        danger=True,
    )


@router.post("/guardians/keep")
async def keep(request: Request, seat: Patients, form: Filled) -> Response:
    """Take back what was announced."""
    return await _one(
        request,
        seat,
        form,
        _("Keep my guardians"),
        [_("What was announced doesn't count. Your present guardians stay.")],
        lambda actor: actor.guardians.keep(),
    )


@router.post("/guardians/veto")
async def veto(request: Request, seat: Patients, form: Filled) -> Response:
    """Stop a move."""
    return await _one(
        request,
        seat,
        form,
        _("Stop the move"),
        [
            _("You aren't moved to another account. What guardians said until now counts no more."),
            _("They can begin again. If somebody has your key, go to the registrar, who suspends this account."),
        ],
        lambda actor: actor.guardians.veto(),
    )


@router.post("/guardians/freeze")
async def freeze(request: Request, seat: Patients, form: Filled) -> Response:
    """Freeze one's own account."""
    return await _one(
        request,
        seat,
        form,
        _("Freeze for 72 hours"),
        [
            _("Nobody new is named as a guardian or paired with in your name for 72 hours."),
            _("Taking grants back, leaving hospitals and stopping a move go on."),
        ],
        lambda actor: actor.guardians.freeze(),
    )


@router.post("/guardians/complete")
async def complete(request: Request, seat: Patients, form: Filled) -> Response:
    """Be the patient whom guardians moved here."""
    before = await account_of(seat, form["patient"], Role.PATIENT)
    if confirmed(request, form):
        await seat.run(lambda actor: actor.guardians.complete(before))
        return to("/guardians")
    return confirm(
        request,
        title=_("Take an account over"),
        sentences=[
            _("You are %(who)s from now on.", who=await called(seat, before, Role.PATIENT)),
            _("That account never acts again. You pair with its hospitals anew."),
        ],
        fields={"patient": before},
        button=_("Take an account over"),
        back="/guardians",
    )


@router.post("/guardians/approve")
async def approve(request: Request, seat: Guards, form: Filled) -> Response:
    """Speak for moving a patient whom one guards."""
    patient = await account_of(seat, form["patient"], Role.PATIENT)
    successor = line(form["successor"].strip()[:_LINE])
    if not confirmed(request, form):
        found = await seat.run(lambda actor: actor.network.resolver.registered(successor))
        return confirm(
            request,
            title=_("Agree to a move"),
            sentences=[
                _("You say that %(who)s moves to another account.", who=await called(seat, patient, Role.PATIENT)),
                _("The new account is %(who)s.", who=await called(seat, found.address, found.role)),
                _("The patient told you that account face to face or by voice. Whoever has it becomes this patient."),
                _("The sidechain's nodes see that you are this patient's guardian."),
            ],
            fields={"patient": patient, "successor": found.address},
            button=_("Agree to a move"),
            danger=True,
            back="/guardians",
        )
    await seat.run(lambda actor: actor.guarding.approve(patient, successor))
    return to("/guardians")


@router.post("/guardians/freeze-for")
async def freeze_for(request: Request, seat: Guards, form: Filled) -> Response:
    """Freeze a patient whom one guards."""
    patient = await account_of(seat, form["patient"], Role.PATIENT)
    if confirmed(request, form):
        await seat.run(lambda actor: actor.guarding.freeze(patient))
        return to("/guardians")
    who = await called(seat, patient, Role.PATIENT)
    return confirm(
        request,
        title=_("Freeze for 72 hours"),
        sentences=[
            _("Nobody new is named or paired with in the name of %(who)s.", who=who),
            _("You can do that once. The sidechain's nodes see that you are this patient's guardian."),
        ],
        fields={"patient": patient},
        button=_("Freeze for 72 hours"),
        back="/guardians",
    )


@router.post("/guardians/release")
async def release(request: Request, seat: Guards, form: Filled) -> Response:
    """Seal one's share to the device that asked."""
    ask, code = form["line"][:_LINE].strip(), form["code"][:_LINE]
    if confirmed(request, form):
        made: ReleaseReport = await seat.run(lambda actor: actor.guarding.release(ask, code))
        return render(request, "everyone/released.html", title=_("Your share is sealed"), made=made)
    account, _cid = await seat.run(lambda actor: actor.guarding.asked(ask))
    who = await called(seat, account, Role.PATIENT)
    return confirm(
        request,
        title=_("Release my share"),
        sentences=[
            _("Your share goes, sealed, to the device that asks for %(who)s.", who=who),
            _("You heard these words from the patient, face to face or by voice: %(words)s", words=line(code)),
            _("With enough shares that device has the patient's key."),
        ],
        fields={"line": ask, "code": code},
        button=_("Release my share"),
        danger=True,
        back="/guardians",
    )


async def _one(
    request: Request,
    seat: Seat,
    form: Form,
    title: str,
    sentences: Sequence[str],
    act: Callable[[Any], object],
    *,
    danger: bool = False,
) -> Response:
    """Confirm an action without fields, or do it."""
    if confirmed(request, form):
        await seat.run(act)
        return to("/guardians")
    return confirm(request, title=title, sentences=sentences, fields={}, button=title, danger=danger, back="/guardians")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 2:
        raise said(UsageError(_("A number is missing; nothing was changed.")))
    return int(text)
