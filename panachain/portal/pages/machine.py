"""What this machine needs, each with a fix, and the settings with their origins: as `doctor` and `config show`.

Asks for no passphrase and changes nothing. Follows docs/spec/cli.md, sections "Doctor" and "Settings".
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.portal.desk import Desk, Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _
from panachain.portal.jobs import JobProgress
from panachain.portal.pages import Page
from panachain.portal.rendering import render, to
from panachain.portal.site import Site

router = APIRouter()
PAGES: Final = (
    Page("/checks", N_("Checks"), frozenset(), 94),
    Page("/settings", N_("Settings"), frozenset(), 96),
)
Anybody = Annotated[Seat, Depends(seated())]
Filled = Annotated[Form, Depends(checked_form)]


@router.get("/checks")
async def checks(request: Request, seat: Anybody) -> Response:
    """Show where the checks are begun; those that were made last stay until the lock."""
    return render(request, "everyone/checks.html", title=_("Checks"), result=seat.keep.get("checks"), job=None)


@router.post("/checks")
async def check(request: Request, seat: Anybody, form: Filled) -> Response:
    """Make all checks: each service is asked, which may take its time."""

    def look(actor: Any, progress: JobProgress) -> list[Any]:
        # Imported here: only whoever checks needs it.
        from panachain.cli.app import App
        from panachain.cli.doctor import all_checks

        config = actor.network.config
        app = App({"home": str(config.home), "network_file": str(config.network_file)})
        found = []
        for one in all_checks(app):
            found.append(one)
            progress(len(found), 0, unit="checks")
        seat.put("checks", found)
        return found

    return to(seat.start(_("Checking"), look, template="everyone/checks.html", left=_("Nothing was changed.")))


@router.get("/settings")
async def settings(request: Request, seat: Anybody) -> Response:
    """Show each setting and where it comes from."""
    fields = await seat.run(lambda actor: actor.network.config.to_json())
    desk: Desk = request.state.desk
    site: Site = request.app.state.site
    agent = await asyncio.to_thread(site.kept_until, seat.profile)
    rows = [(name, part["value"], part["origin"]) for name, part in fields.items() if isinstance(part, dict)]
    return render(
        request,
        "everyone/settings.html",
        title=_("Settings"),
        rows=rows,
        minutes=round(desk.idle / 60),
        until=int(time.time()) + agent.seconds if agent else None,
    )
