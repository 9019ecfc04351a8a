"""Upload: files and folders are dropped, read, looked at and, once somebody says so, published.

Nothing is published that wasn't shown first. Follows docs/spec/portal.md, section "Uploads", and ADR 41.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from starlette.requests import ClientDisconnect

from panachain.model.actors import Role
from panachain.model.scope import Category
from panachain.plain import line
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import TOKEN, Form, check_token, checked_form
from panachain.portal.i18n import N_, _, ngettext
from panachain.portal.pages import Page
from panachain.portal.receiving import receive
from panachain.portal.refusals import RefusedError
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.portal.staging import stage, sweep
from panachain.portal.uploading import Choice, Preview, Upload, Uploads, publish, read, read_named
from panachain.portal.whom import called

PAGES: Final = (Page("/upload", N_("Upload"), frozenset({Role.HOSPITAL}), 10),)
router: Final = APIRouter()
_Hospital = Annotated[Seat, Depends(seated(Role.HOSPITAL))]
_Form = Annotated[Form, Depends(checked_form)]
_PATIENTS: Final = 500
"""Patients that the form offers; anybody else's name can be typed."""
_NAMED: Final = 50
"""Named persons of an export that the confirmation lists; of the others it says how many there are."""
_MANY: Final = "many"


@router.get("/upload")
async def form(request: Request, seat: _Hospital) -> Response:
    """Show where files are dropped, and which uploads wait for a decision."""
    return render(
        request, "hospital/upload.html", title=_("Upload"), uploads=uploads_of(seat).all(), **await _choices(seat)
    )


@router.post("/upload")
async def drop(request: Request, seat: _Hospital) -> Response:
    """Take files while they arrive, and read them."""
    length = request.headers.get("content-length", "")
    size = int(length[:20]) if length.isdecimal() else 0
    try:
        received, staged = await receive(
            arriving(request, seat),
            request.headers.get("content-type", ""),
            # Made in the thread that takes the form apart, once its token was checked.
            staged=lambda: stage(seat.profile.folder, size),
            token=TOKEN,
            check=lambda token: check_token(request, token),
        )
    except ClientDisconnect:
        raise RefusedError(400, _("The files didn't arrive whole. Nothing of them was kept.")) from None
    try:
        _check_open(seat)
        choice = _choice(received.get)
    except BaseException:
        staged.close()
        raise
    uploads_of(seat).add(Upload(staged, choice))
    return await _begin_reading(seat, staged.name, choice)


@router.get("/upload/{name}")
async def preview(request: Request, seat: _Hospital, name: str) -> Response:
    """Show once more what a reading found."""
    upload = uploads_of(seat).get(name)
    if upload.preview is None:
        return to("/upload")
    return render(
        request,
        "hospital/preview.html",
        title=_("Look before you publish"),
        result=upload.preview,
        **await _choices(seat),
    )


@router.post("/upload/read")
async def again(seat: _Hospital, form: _Form) -> Response:
    """Read the same files with another choice."""
    return await _begin_reading(seat, form["upload"], _choice(form.get))


@router.post("/upload/publish")
async def send(request: Request, seat: _Hospital, form: _Form) -> Response:
    """Publish what was read and shown."""
    uploads = uploads_of(seat)
    upload = uploads.get(form["upload"])
    found = upload.preview
    if found is None or found.mark != form["mark"]:
        raise RefusedError(409, _("The files were read in another way since. Nothing was published."))
    if found.stopped:
        raise RefusedError(409, _("Nothing can be published as it is."))
    verify = form.get("verify") == "on"
    if not confirmed(request, form):
        fields = {"upload": found.upload, "mark": found.mark, "verify": "on" if verify else ""}
        return confirm(
            request,
            title=_("Publish"),
            sentences=await _sentences(seat, found, verify=verify),
            fields=fields,
            button=_("Publish"),
            back=f"/upload/{found.upload}",
        )
    _check_idle(upload)
    name, mark = found.upload, found.mark
    upload.work = seat.start(
        _("Publishing"),
        lambda hospital, progress: publish(hospital, progress, uploads, name, mark, verify=verify),
        template="hospital/published.html",
        left=_(
            "What was published before stays, and nothing is published twice. The files aren't kept here any more:"
            " upload them again, and it goes on where it stopped."
        ),
    )
    return to(upload.work)


@router.post("/upload/discard")
async def discard(seat: _Hospital, form: _Form) -> Response:
    """Remove files that wait for a decision; nothing of them was published."""
    uploads_of(seat).drop(form["upload"])
    return to("/upload")


async def arriving(request: Request, seat: Seat) -> AsyncIterator[bytes]:
    """Yield a body as it arrives: that is use of the session, which doesn't lock meanwhile.

    Raises:
        RefusedError: somebody locked it, so that nothing more is kept.
    """
    desk, session = request.state.desk, request.state.session
    async for piece in request.stream():
        _check_open(seat)
        desk.find(session.name)
        yield piece


def _check_open(seat: Seat) -> None:
    if seat.closed:
        raise RefusedError(409, _("The portal was locked while the files arrived. Nothing of them was kept."))


def uploads_of(seat: Seat) -> Uploads:
    """Return the uploads of a seat that wait for a decision."""
    if "uploads" not in seat.keep:
        # What a program left that ended without a word.
        sweep(seat.profile.folder)
    return seat.kept("uploads", Uploads)


async def _choices(seat: Seat) -> dict[str, Any]:
    """Return what can be chosen."""
    patients = await seat.run(lambda hospital: hospital.overview.patients())
    paired = [one.patient for one in patients if one.paired]
    return {"patients": paired[:_PATIENTS], "categories": [one.value for one in Category]}


def _choice(get: Any) -> Choice:
    """Return what a form says of the files; raises UsageError where it can't be meant."""
    whose = get("whose").strip()
    typed = get("patient").strip()
    many = whose == _MANY
    patient = "" if many else typed or whose
    if not many and not patient:
        raise RefusedError(400, _("Say whose the files are. Nothing of them was kept."))
    category = get("category").strip()
    return Choice(
        patient,
        Category.parse(category).value if category else "",
        read_named(get("named")) if many else (),
        sure=not many and get("sure") == "on",
    )


def _check_idle(upload: Upload) -> None:
    """Check that nothing is being done with the files; between this and what is begun then nothing may be awaited."""
    if upload.busy:
        raise RefusedError(
            409,
            _("These files are being read or published already. Nothing else was begun."),
            hint=_("Wait for its end."),
        )


async def _begin_reading(seat: Seat, name: str, choice: Choice) -> Response:
    uploads, choices = uploads_of(seat), await _choices(seat)
    upload = uploads.get(name)
    _check_idle(upload)
    upload.work = seat.start(
        _("Look before you publish"),
        lambda hospital, progress: read(hospital, progress, uploads, name, choice),
        template="hospital/preview.html",
        left=_("Nothing was published. The files aren't kept here any more."),
        **choices,
    )
    return to(upload.work)


async def _sentences(seat: Seat, found: Preview, *, verify: bool) -> list[str]:
    """Return what publishing does."""
    if found.choice.many:
        told = ngettext(
            "%(num)d record is sealed and published for the patient whom it is about.",
            "%(num)d records are sealed and published, each for the patient whom it is about.",
            found.records,
        )
        told += " " + ngettext("It is %(num)d patient.", "They are %(num)d patients.", len(found.patients))
    else:
        who = found.patients[0][0] if found.patients else found.choice.patient
        told = ngettext(
            "%(num)d record is sealed and published for %(who)s.",
            "%(num)d records are sealed and published for %(who)s.",
            found.records,
            who=await called(seat, who, Role.PATIENT),
        )
    sentences = [told]
    # Whoever else is in an export is known by their records, and not by a name that somebody typed.
    for what, who in found.choice.named[:_NAMED]:
        sentences.append(
            _("You say that %(what)s is %(who)s.", what=line(what), who=await called(seat, who, Role.PATIENT))
        )
    if (more := len(found.choice.named) - _NAMED) > 0:
        sentences.append(
            ngettext(
                "You name %(num)d more, whose address the page before has.",
                "You name %(num)d more, whose addresses the page before has.",
                more,
            )
        )
    closed = sum(group.records for group in found.groups if group.restricted)
    if closed:
        sentences.append(
            ngettext(
                "%(num)d of them is closed: only who is granted its category by name can read it.",
                "%(num)d of them are closed: only who is granted their categories by name can read them.",
                closed,
            )
        )
    if found.choice.sure:
        sentences.append(_("You say that you looked: also what names another person is this patient's."))
    if found.doubts:
        left = len(found.doubts) + found.more_doubts
        sentences.append(
            ngettext("%(num)d thing is left out.", "%(num)d things are left out.", left)
            + " "
            + _("The page before names them.")
        )
    if verify:
        sentences.append(_("What was published is read back and checked, as the patients would."))
    sentences.append(
        _("It can't be undone. A record that is wrong can be withdrawn, and stays on the chain, sealed, for ever.")
    )
    return sentences
