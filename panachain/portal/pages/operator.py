"""Services: proxies, relays, gate and store, as anybody sees them from outside, and evidence that this profile keeps.

No actor of its own runs these services, so the page is for everybody: it shows what is public, and of evidence only
what the seat's own profile found. Follows docs/spec/portal.md, section "Services", and docs/spec/proxy.md.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from panachain.portal.desk import Seat, seated
from panachain.portal.i18n import N_, _
from panachain.portal.pages import Page
from panachain.portal.rendering import render
from panachain.sdk.proxy_evidence import EvidenceFolder
from panachain.sdk.services import look

PAGES: Final = (Page("/services", N_("Services"), frozenset(), 92),)
router: Final = APIRouter()
_FRESH: Final = 10
"""Seconds for which an answer is shown again: nobody's reloading asks the services more often."""


@router.get("/services")
async def services(request: Request, seat: Annotated[Seat, Depends(seated())]) -> Response:
    """Show how the services are."""
    seen = seat.keep.get("services")

    def ask(actor: Any) -> Any:
        now = int(actor.network.clock())
        return seen if seen is not None and 0 <= now - seen.at < _FRESH else look(actor.network)

    found = await seat.run(ask)
    seat.put("services", found)
    evidence = await seat.run(lambda _actor: EvidenceFolder(seat.profile.folder / "evidence").listed())
    return render(request, "operator/services.html", title=_("Services"), seen=found, evidence=evidence)
