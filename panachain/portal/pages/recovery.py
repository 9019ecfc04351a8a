"""Backup of one's own seed: what is known of its shares, a drill, and a patient's books.

Shares are made at the terminal. Never shows one, keeps one, or puts a word of one on a page: a browser remembers more
than a terminal that is cleared. Follows docs/spec/recovery.md and docs/spec/portal.md, section "Pages".
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.model.actors import Role
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _
from panachain.portal.pages import Page
from panachain.portal.pages.people import Changing
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.portal.site import Site
from panachain.sdk.recovery import Recovery, read_share
from panachain.sdk.results.recovery import RecoveryStatus

router = APIRouter()
PAGES: Final = (Page("/recovery", N_("Backup"), frozenset(), 87),)
Anybody = Annotated[Seat, Depends(seated())]
Patients = Annotated[Seat, Depends(seated(Role.PATIENT))]
Filled = Annotated[Form, Depends(checked_form)]
_FIELDS: Final = 4
"""Shares that the form has room for where nobody knows how many are needed."""
_MOST: Final = 16


@router.get("/recovery")
async def recovery(request: Request, seat: Anybody) -> Response:
    """Show what is known of the shares, and a form for a drill."""
    site: Site = request.app.state.site
    known: RecoveryStatus = await seat.run(lambda actor: actor.recovery.status())
    return render(
        request,
        "everyone/recovery.html",
        title=_("Backup"),
        known=known,
        numbers=range(1, (known.threshold or _FIELDS) + 1),
        books=seat.role is Role.PATIENT and site.way is not None,
    )


@router.post("/recovery/test")
async def test(seat: Anybody, form: Filled) -> Response:
    """Try shares: what they are is forgotten with the answer, and the day is kept."""
    given = [read_share(text) for text in form.all("share")[:_MOST] if text.strip()]
    # Without the seat's session: neither seed nor network is needed.
    Recovery(seat.profile).test(given)
    return to("/recovery")


@router.post("/recovery/books")
async def books(request: Request, seat: Patients, form: Changing) -> Response:
    """Keep a patient's contacts and block list in the store, after saying who sees that.

    Only where one person sits at this machine: where many do, its contacts are everybody's.
    """
    if confirmed(request, form):
        await seat.run(_keep)
        return to("/recovery")
    return confirm(
        request,
        title=_("Keep my names"),
        sentences=[
            _("Your contacts and whom you block are sealed under your key, and the store keeps them."),
            _("The sidechain's nodes see that you keep them, and when they changed. Nobody can read them."),
            _("If this machine is lost, you find them again with your shares."),
        ],
        fields={},
        button=_("Keep"),
        back="/recovery",
    )


def _keep(actor: Any) -> None:
    actor.books.keep()
