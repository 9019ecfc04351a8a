"""What everybody has: the way in, unlocking, the lock, the language, who they are, and work that takes long.

Follows docs/spec/portal.md, sections "The way in" and "Pages".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from markupsafe import Markup

from panachain.errors import ConfigurationError, LockedError, PartlyDoneError
from panachain.model.actors import Actor, PolicyId, Role, Status
from panachain.portal import i18n
from panachain.portal.desk import Desk, Seat, Session, seated
from panachain.portal.failures import failure
from panachain.portal.forms import Form, checked_form, read_body
from panachain.portal.i18n import N_, _
from panachain.portal.jobs import Job, JobProgress
from panachain.portal.pages import Page, navigation
from panachain.portal.refusals import RefusedError
from panachain.portal.rendering import own_path, render, to
from panachain.portal.site import Site
from panachain.portal.unlocking import PERIODS, lock_agent, seat_of
from panachain.sdk.qr import inline

router = APIRouter()
PAGES: Final = (Page("/me", N_("Who I am"), frozenset(), 80),)
_SECRET: Final = 512
"""Bytes of the form that brings the secret, at most."""
Anybody = Annotated[Seat, Depends(seated())]
Filled = Annotated[Form, Depends(checked_form)]


def _site(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


@router.get("/")
async def home(request: Request) -> Response:
    """Send somebody to their first page; a browser without a session is let in, or asked for the secret."""
    session: Session | None = request.state.session
    if session is None:
        if _site(request).way is not None:
            return render(request, "enter.html", title=_("Open the portal"))
        return _begin(request)
    return to(navigation(session.seat.role)[0].path if session.seat else "/unlock")


def _begin(request: Request) -> Response:
    """Begin a session of one of the staff, whom their passphrase lets in."""
    if request.headers.get("sec-fetch-site", "") in ("cross-site", "same-site"):
        # A browser that follows another page's link sends no cookie with it, and has a session perhaps. A new one's
        # cookie would take the place of that one's, whose seat nobody could lock then.
        return render(request, "linked.html", title=_("Open the portal"))
    if wait := request.app.state.guesses.begin(_address(request)):
        told = i18n.ngettext(
            "Too many sessions were begun at this address: try again in %(num)d second.",
            "Too many sessions were begun at this address: try again in %(num)d seconds.",
            wait,
        )
        raise RefusedError(429, told)
    desk: Desk = request.state.desk
    request.state.session = desk.begin()
    return to("/unlock")


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


@router.post("/enter")
async def enter(request: Request) -> Response:
    """Take the secret of the portal's address, and begin a session."""
    site = _site(request)
    if site.way is None:
        # Staff have no secret, so nothing of what a stranger sends is read.
        raise RefusedError(404, _("There is no such page."))
    body = await read_body(request, most=_SECRET)
    secret = body.removeprefix(b"secret=").decode("ascii", "replace").strip()
    if not site.way.enter(secret):
        raise RefusedError(
            403,
            _("This address was used already, or is from another start of the portal."),
            hint=_("The portal says where a fresh one is, in the window where it was started."),
        )
    desk: Desk = request.state.desk
    # A session that the browser had before isn't gone on with: somebody else may have put it there.
    if request.state.session is not None:
        desk.rotate(request.state.session, None)
    request.state.session = desk.begin()
    return to("/unlock")


@router.get("/unlock")
async def unlocking(request: Request) -> Response:
    """Show where a profile is unlocked."""
    session: Session | None = request.state.session
    if session is None:
        return to("/")
    if session.seat is not None:
        return to("/")
    return _unlock_page(request)


def _unlock_page(request: Request, *, chosen: str = "", wrong: str = "", status: int = 200) -> Response:
    site = _site(request)
    wanted = request.query_params.get("next", "")
    profiles, damaged = site.look() if site.listed else ([], [])
    now = int(time.time())
    kept = [(one, now + state.seconds) for one in profiles if (state := site.kept_until(one)) is not None]
    asked = [(one, [f"{key.id.hex()}:{key.salt.hex()}" for key in site.passkeys(one)]) for one in profiles]
    passkeys = [(one, " ".join(known)) for one, known in asked if known]
    return render(
        request,
        "unlock.html",
        status,
        title=_("Unlock"),
        profiles=profiles,
        damaged=damaged,
        listed=site.listed,
        # Strangers learn of no profile, not of the only one either.
        chosen=chosen or (site.only if site.listed else ""),
        wrong=wrong,
        next=wanted if own_path(wanted) else "",
        periods=PERIODS if site.keeps else (),
        kept=kept,
        passkeys=passkeys,
        host=site.host,
    )


@router.post("/unlock")
async def unlock(request: Request, form: Filled) -> Response:
    """Unlock a profile; the session gets another name, so that nobody who knew the old one is in."""
    site, desk = _site(request), request.state.desk
    name = form["profile"][:64]
    address = _address(request)
    if wait := request.app.state.guesses.take(address, name):
        told = i18n.ngettext(
            "Too many wrong passphrases: try again in %(num)d second.",
            "Too many wrong passphrases: try again in %(num)d seconds.",
            wait,
        )
        return _unlock_page(request, chosen=name, wrong=told, status=429)
    try:
        async with request.app.state.guesses.turn:
            seat = await seat_of(site, site.profile(name), form)
    except LockedError:
        told = _("The passphrase isn't right.") if site.listed else _("The profile or its passphrase isn't right.")
        if "agent" in form:
            told = _("This profile isn't kept unlocked any more.")
        elif "answer" in form:
            told = _("This passkey doesn't open the profile.")
        return _unlock_page(request, chosen=name, wrong=told, status=403)
    request.app.state.guesses.right(address, name)
    request.state.session = desk.rotate(request.state.session, seat)
    _go_on(seat)
    wanted = form.get("next")
    return to(wanted if own_path(wanted) else "/")


def _go_on(seat: Seat) -> None:
    """Go on with what a patient began, as every command of theirs does: what takes a right away comes first."""
    revoked, unfinished = seat.profile.has_revoked, seat.profile.has_unfinished
    if seat.role is not Role.PATIENT or not (revoked or unfinished):
        return

    def work(actor: Any, _progress: JobProgress) -> dict[str, Sequence[object]]:
        # Imported here: most profiles have nothing to go on with.
        from panachain.sdk import submitting
        from panachain.sdk.results.listings import Listing

        fallen = submitting.fallen(actor)
        going, lost = list[PolicyId](), list[str]()
        try:
            going = submitting.go_on(actor) if revoked else going
        except ConfigurationError as exc:
            # The list of what was revoked; grants go on by themselves, as far as they don't need it.
            lost = [f"{exc}: {exc.hint}"]
        handed = submitting.hand_out(actor) if unfinished else Listing[PolicyId]()
        files = [left for left in handed.left_out if left.kind == "file"]
        fallen += [left for left in handed.left_out if left.kind != "file"]
        submitting.told(actor)
        return {"unproven": going, "handed_out": handed, "fallen": fallen, "files": files, "lost": lost}

    seat.start(_("Going on with what was begun before"), work, template="everyone/resumed.html")


@router.post("/lock")
async def lock(request: Request, form: Filled) -> Response:
    """Forget the seed and all that was opened; an agent that kept the profile unlocked forgets, too."""
    seat = request.state.session.seat
    if seat is not None:
        await asyncio.to_thread(lock_agent, _site(request), seat.profile)
    request.state.session = request.state.desk.rotate(request.state.session, None)
    locked = to("/unlock")
    # Nor can what was shown be had by going back.
    locked.headers["clear-site-data"] = '"cache"'
    return locked


@router.post("/language")
async def language(request: Request, form: Filled) -> Response:
    """Choose a language for this session."""
    session: Session = request.state.session
    if form["language"] in i18n.languages():
        session.language = form["language"]
    back = form.get("back")
    return to(back if own_path(back) else "/")


@router.get("/me")
async def me(request: Request, seat: Anybody) -> Response:
    """Show who somebody is, to be copied or read by a camera."""
    actor: Actor = await seat.run(lambda actor: actor.whoami())
    return render(
        request,
        "everyone/me.html",
        title=_("Who I am"),
        actor=actor,
        profile=seat.profile,
        registered=actor.status is not Status.UNKNOWN,
        code=qr(actor.handle),
    )


def qr(text: str) -> Markup:
    """Return a QR code as SVG that stands within a page: no style, no script, no size of its own."""
    # Made by segno of a handle: letters, digits and a dash.
    return Markup(inline(text, border=3, name="qr"))  # noqa: S704


@router.get("/jobs/{name}")
async def job(request: Request, seat: Anybody, name: str) -> Response:
    """Show how far a piece of work is, or what came of it."""
    found = _job(seat, name)
    if found.running:
        return render(request, "job.html", title=found.title, job=found)
    found.is_shown = True
    if found.is_dropped:
        raise RefusedError(
            410,
            _("What came of this isn't kept any more: newer work of the same kind took its place."),
            hint=_("What it did stays done."),
        )
    if found.error is not None and not (isinstance(found.error, PartlyDoneError) and found.result is not None):
        return failure(request, found.error, left=found.left or _("What was done before stays done."), job=found)
    values: dict[str, Any] = {"title": found.title, "job": found, "result": found.result, "error": found.error}
    return render(request, found.template, **(values | dict(found.context)))


@router.get("/jobs/{name}/progress")
async def progress(request: Request, seat: Anybody, name: str) -> Response:
    """Return the part of the page that changes; when all is done, the browser loads the page once more."""
    found = _job(seat, name)
    if found.running:
        return render(request, "job_stages.html", job=found)
    return Response(status_code=200, headers={"hx-refresh": "true"})


def _job(seat: Seat, name: str) -> Job:
    found = seat.jobs.get(name)
    if found is None:
        raise RefusedError(
            404, _("This piece of work isn't known here: the portal was locked since, or it is long ago.")
        )
    return found
