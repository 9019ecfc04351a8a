"""One's own keys: which key blocks the chain has, and another one, after saying what stays readable.

Shows digests on request and never a key. A patient's keys never change: they have no such page. Follows ADR 58.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.model.actors import Role
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _, ngettext
from panachain.portal.pages import Page
from panachain.portal.refusals import RefusedError
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.sdk.results.keys import KeyBlockView, KeyRotationReport

_ROLES: Final = (Role.HOSPITAL, Role.PRACTITIONER, Role.RESEARCHER)
router = APIRouter()
PAGES: Final = (Page("/own-keys", N_("Keys"), frozenset(_ROLES), 86),)
Holder = Annotated[Seat, Depends(seated(*_ROLES))]
Filled = Annotated[Form, Depends(checked_form)]


@router.get("/own-keys")
async def keys(request: Request, seat: Holder) -> Response:
    """Show which key blocks this actor has and had."""
    views: Sequence[KeyBlockView] = await seat.run(lambda actor: actor.keys.all())
    return render(
        request,
        "everyone/own_keys.html",
        title=_("Keys"),
        views=views,
        strange=not all(view.is_own for view in views),
        lacking=any(view.is_own and not view.is_stored for view in views),
    )


@router.post("/own-keys/rotate")
async def rotate(request: Request, seat: Holder, form: Filled) -> Response:
    """Give this actor other keys, after saying what that means."""
    since = _moment(form.get("since")) if form.get("since").strip() else None
    if confirmed(request, form):
        await seat.run(lambda actor: actor.keys.rotate(compromised_since=since))
        return to("/own-keys")
    planned: KeyRotationReport = await seat.run(lambda actor: actor.keys.plan(compromised_since=since))
    return confirm(
        request,
        title=_("Change my keys"),
        sentences=_sentences(planned),
        fields={"since": form.get("since")},
        button=_("Change them"),
        danger=planned.compromised,
        back="/own-keys",
    )


@router.post("/own-keys/store")
async def store(seat: Holder, form: Filled) -> Response:
    """Put key blocks that the store lacks there again."""

    def again(actor: Any) -> None:
        actor.keys.store_again()

    await seat.run(again)
    return to("/own-keys")


def _sentences(planned: KeyRotationReport) -> list[str]:
    told = [_("You get other keys for what is sealed to you and for what you sign. Your account and your handle stay.")]
    counted = dict(planned.sealed)
    if counted.get("policies"):
        told.append(
            ngettext(
                "%(num)d permission that you were granted stays readable.",
                "%(num)d permissions that you were granted stay readable.",
                counted["policies"],
            )
        )
    if counted.get("pairings"):
        told.append(
            ngettext(
                "%(num)d patient's pairing stays as it is.",
                "%(num)d patients' pairings stay as they are.",
                counted["pairings"],
            )
        )
    if planned.compromised:
        told += [
            _("What was published under your keys since the day that you say doesn't count any more."),
            *([_("The keys of now began after that day: they are only replaced.")] if planned.newest_spared else []),
            _("Whoever has your keys still opens what was sealed to them: tell the patients whom it concerns."),
        ]
    else:
        told.append(_("What you signed stays good. Your keys of now count for one more day."))
    return told


def _moment(text: str) -> int:
    try:
        # A day of UTC, as the commands take it: the pages of all time zones mean the same one.
        return int(datetime.fromisoformat(text.strip()).replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        raise RefusedError(400, _("That is no day. Nothing was changed.")) from None
