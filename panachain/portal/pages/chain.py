"""What both chains hold, as people understand it: who published, granted, read and took back, and when.

Reads this machine's checked copies through the SDK. Follows docs/spec/portal.md, section "The chains".
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.errors import NodeRefusedError, UnavailableError
from panachain.model.actors import Address
from panachain.portal.desk import Seat, seated
from panachain.portal.i18n import N_, _
from panachain.portal.pages import Page
from panachain.portal.refusals import RefusedError
from panachain.portal.rendering import render
from panachain.sdk.chain_pages import CHAINS, ChainPage, Happening, chain_page, happening_at, prove_history

router = APIRouter()
PAGES: Final = (Page("/chain", N_("The chains"), frozenset(), 90),)
Anybody = Annotated[Seat, Depends(seated())]
_LEAST: Final = 40
"""Events of a page at least; whole blocks make it more."""


@router.get("/chain")
async def chains(request: Request, seat: Anybody) -> Response:
    """Show what happened last on the mainchain, which everybody can read."""
    return await chain(request, seat, CHAINS[0])


@router.get("/chain/{name}")
async def chain(request: Request, seat: Anybody, name: str, before: int | None = None) -> Response:
    """Show what happened on a chain, newest first."""
    if name not in CHAINS:
        raise RefusedError(404, _("There is no such chain."))

    def look(actor: Any) -> ChainPage:
        found = chain_page(actor.network, name, before=before, least=_LEAST)
        seat.names.learn(address for one in found.happenings for address in one.people)
        return found

    shown, closed = None, None
    try:
        shown = await seat.run(look)
    except (NodeRefusedError, UnavailableError) as exc:
        # The sidechain's gate admits members only; whoever isn't one reads the other chain all the same.
        closed = exc
    return render(
        request,
        "chain/list.html",
        title=_("The chains"),
        chain=name,
        chains=CHAINS,
        shown=shown,
        closed=closed,
        newest=before is None,
    )


@router.get("/chain/{name}/{block}/{index}")
async def one(request: Request, seat: Anybody, name: str, block: int, index: int, prove: bool = False) -> Response:
    """Show one event with its fields and what proves it; with `prove`, a node is asked for a proof now."""
    if name not in CHAINS:
        raise RefusedError(404, _("There is no such chain."))

    def look(actor: Any) -> tuple[Happening, Any]:
        found = happening_at(actor.network, name, block, index)
        seat.names.learn(found.people)
        wanted = prove and found.event == "RecordsStored"
        proof = prove_history(actor.network, Address(found.values["hospital"])) if wanted else None
        return found, proof

    found, proof = await seat.run(look)
    fields = [(field, _shown(value)) for field, value in found.values.items()]
    return render(request, "chain/one.html", title=_("One entry"), found=found, fields=fields, proof=proof)


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, list | tuple):
        return ", ".join(_shown(part) for part in value)
    return str(value)
