"""Links to records for those who have no PanaChain: made, shown once with their QR code, listed and revoked.

The link and its passcode stand on the page that says that it was made, in this session's memory alone; nothing on the
machine can show them again. Follows ADR 53 and docs/spec/sharing.md.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.errors import Omission, PartlyDoneError, UsageError
from panachain.model.actors import Role
from panachain.model.scope import RESTRICTED, Category
from panachain.plain import line
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _, ngettext
from panachain.portal.jobs import JobProgress
from panachain.portal.labels import CATEGORIES, label
from panachain.portal.pages import Page
from panachain.portal.pages.everyone import qr
from panachain.portal.refusals import RefusedError, said
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.portal.site import Site
from panachain.sdk.patient import Patient
from panachain.sdk.results.listings import Listing
from panachain.sdk.results.shares import MadeLink, ShareView
from panachain.sdk.sharing import Sharing

PAGES: Final = (Page("/links", N_("Links"), frozenset({Role.PATIENT}), 81),)
DAYS: Final = (1, 7, 30, 90, 365)
"""For how long a link may live, as the form offers it."""
WORDS: Final = ("all", "emergency", *(one.value for one in Category))
_MOST_LABEL: Final = 80
_MOST_URL: Final = 128
_GROUPS: Final = 3
"""Groups of three digits in a passcode: a thousand million, of which ten may be tried."""

router = APIRouter()
_Form = Annotated[Form, Depends(checked_form)]


@dataclass(frozen=True)
class Made:
    """A link that was made just now."""

    link: MadeLink
    passcode: str = field(repr=False)
    """Empty if it has none."""
    omissions: tuple[Omission, ...] = ()
    """What couldn't be read and isn't in it."""

    @property
    def code(self) -> object:
        """The QR code of the link."""
        return qr(self.link.text)


def own_shelf(request: Request, seat: Annotated[Seat, Depends(seated(Role.PATIENT))]) -> Seat:
    """Return the seat of somebody who alone uses this machine's shelf, for FastAPI's `Depends`.

    Raises:
        RefusedError: many people use this portal, and would see and end each other's links.
    """
    site: Site = request.app.state.site
    if site.way is None:
        raise RefusedError(
            403,
            _("Links can't be made here: all who use this portal would see them and could end them."),
            hint=_("Make them on a machine of your own."),
        )
    return seat


_Patient = Annotated[Seat, Depends(own_shelf)]


@router.get("/links")
async def links(request: Request, seat: _Patient) -> Response:
    """List the links that aren't over, and show the form."""
    found: Listing[ShareView] = await seat.run(lambda _patient: Sharing(seat.home).shares())
    return render(
        request,
        "patient/links.html",
        title=_("Links"),
        links=list(reversed(found)),
        damaged=[left.item for left in found.left_out],
        words=WORDS,
        days=DAYS,
        restricted={one.value for one in RESTRICTED},
        url=seat.keep.get("links_url", ""),
        most_label=_MOST_LABEL,
        most_url=_MOST_URL,
    )


@router.post("/links/make")
async def make(request: Request, seat: _Patient, form: _Form) -> Response:
    """Make a link to a patient summary or to records of some categories."""
    chosen, kind, url = form.all("category"), form.get("kind", ""), form.get("url", "").strip()
    words = [word for word in WORDS if word in chosen]
    # As it stands in the link: readers see it before they open anything.
    text = line(form.get("label", "")).strip()
    if kind not in ("summary", "records") or set(chosen) - set(WORDS) or form.get("days") not in {str(d) for d in DAYS}:
        raise said(UsageError(_("Choose from what the form offers; no link was made.")))
    if not words:
        raise said(UsageError(_("Choose at least one category; no link was made.")))
    if not 0 < len(url) <= _MOST_URL or len(text) > _MOST_LABEL:
        raise said(UsageError(_("The address or the label is missing or too long; no link was made.")))
    days, asks = int(form["days"]), form.get("passcode", "") == "yes"
    if not confirmed(request, form):
        what = ", ".join(label(CATEGORIES, word) for word in words)
        sentences = [
            _("The link leads to a summary of: %(what)s.", what=what)
            if kind == "summary"
            else _("The link leads to your records of: %(what)s.", what=what),
            _("Whoever has it reads that, and can hand it on unseen. Nothing shows who did."),
            ngettext("It ends in one day.", "It ends in %(num)d days.", days),
            _("It leads to %(url)s, where the program `panachain share serve` has to run.", url=line(url)),
            _("A passcode is made, which the reader has to know as well. Tell it on another way.")
            if asks
            else _("It has no passcode: the link alone opens it."),
        ]
        if text:
            sentences.append(_("Its label isn't sealed: %(label)s", label=line(text)))
        return confirm(
            request,
            title=_("Make a link"),
            sentences=sentences,
            fields={
                "kind": kind,
                "category": words,
                "url": url,
                "days": str(days),
                "label": text,
                "passcode": "yes" if asks else "",
            },
            button=_("Make the link"),
            danger=not asks,
            back="/links",
        )

    def work(patient: Patient, progress: JobProgress) -> Made:
        progress.stage(_("Your records are read and sealed"))
        code = " ".join(f"{secrets.randbelow(1000):03}" for _number in range(_GROUPS)) if asks else ""
        sharing, until, opening = Sharing(seat.home), timedelta(days=days), patient.records(progress=progress)
        seat.put("links_url", url)
        try:
            if kind == "summary":
                made = sharing.share_summary(opening, words, url=url, until=until, label=text, passcode=code)
            else:
                made = sharing.share(opening, words, url=url, until=until, label=text, passcode=code)
        except PartlyDoneError as exc:
            if not isinstance(exc.result, MadeLink):
                raise
            return Made(exc.result, code, tuple(exc.omissions))
        return Made(made, code)

    return to(seat.start(_("Making a link"), work, template="patient/link_made.html"))


@router.post("/links/revoke")
async def revoke(request: Request, seat: _Patient, form: _Form) -> Response:
    """End a link: what it leads to is deleted."""
    name = form["name"][:64]
    if not confirmed(request, form):
        found: list[ShareView] = await seat.run(lambda _patient: Sharing(seat.home).shares())
        if name not in {one.name for one in found}:
            raise said(UsageError(_("There is no such link, or it is over.")))
        return confirm(
            request,
            title=_("End the link"),
            sentences=[
                _("What it leads to is deleted, and nobody opens it any more."),
                _("Whoever followed it before keeps what they read."),
            ],
            fields={"name": name},
            button=_("End it"),
            danger=True,
            back="/links",
        )

    def work(_patient: Patient, progress: JobProgress) -> ShareView:
        progress.stage(_("It is deleted, and looked for"))
        return Sharing(seat.home).revoke(name)

    return to(seat.start(_("Ending a link"), work, template="patient/link_ended.html"))
