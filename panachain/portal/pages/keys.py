"""What opens a profile: its locks, a passkey more, and how long an agent keeps it unlocked.

Whoever adds a passkey types the passphrase anew, and no page holds it, a salt's answer or a key. Follows
docs/spec/portal.md, section "Unlocking", and ADR 57.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.errors import LockedError
from panachain.model.credentials import PASSKEY, Credential
from panachain.model.sizes import KEY_SIZE
from panachain.portal import i18n, labels
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _
from panachain.portal.pages import Page
from panachain.portal.refusals import RefusedError
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.portal.site import Site
from panachain.portal.unlocking import answer_of
from panachain.sdk.locks import Locks

router = APIRouter()
PAGES: Final = (Page("/keys", N_("Unlocking"), frozenset(), 86),)
Anybody = Annotated[Seat, Depends(seated())]
Filled = Annotated[Form, Depends(checked_form)]
_WAITING: Final = "passkey"
"""Under which name a seat keeps the passkey that is to be made."""


@dataclass(frozen=True)
class _Wanted:
    """A passkey that was agreed to, and isn't made yet."""

    label: str
    user: bytes
    """Drawn: an authenticator keeps it with the passkey, and learns no name."""
    salt: bytes


def _site(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


@router.get("/keys")
async def keys(request: Request, seat: Anybody) -> Response:
    """Show what opens the profile, each by itself."""
    site = _site(request)
    agent = await asyncio.to_thread(site.kept_until, seat.profile)
    return render(
        request,
        "everyone/keys.html",
        title=_("Unlocking"),
        locks=[(labels.label(labels.LOCKS, one.kind), one.label) for one in Locks(seat.profile).all()],
        until=int(time.time()) + agent.seconds if agent else None,
        agent=agent,
        keeps=site.keeps,
        host=site.host,
    )


@router.post("/keys/passkey")
async def passkey(request: Request, seat: Anybody, form: Filled) -> Response:
    """Say what a passkey does, and go on to where it is made."""
    _host(request)
    label = Locks(seat.profile).label(form["label"].strip(), PASSKEY)
    if confirmed(request, form):
        seat.put(_WAITING, _Wanted(label, os.urandom(16), os.urandom(KEY_SIZE)))
        return to("/keys/passkey")
    return confirm(
        request,
        title=_("Add a passkey"),
        sentences=[
            _(
                "A passkey of this browser opens the profile from now on, beside what opens it today: %(label)s.",
                label=label,
            ),
            _("Your fingerprint, face or PIN unlocks the passkey where it is kept, and never comes here."),
            _("It opens this profile on this machine alone: without this machine's files the passkey opens nothing."),
            _("From now on this portal keeps its name, to which the passkey is bound. You see it in the address."),
        ],
        fields={"label": label},
        button=_("Go on"),
        back="/keys",
    )


@router.get("/keys/passkey")
async def making(request: Request, seat: Anybody) -> Response:
    """Show where a passkey is made, once that was agreed to."""
    return _page(request, seat)


@router.post("/keys/passkey/add")
async def add(request: Request, seat: Anybody, form: Filled) -> Response:
    """Let a passkey open the profile, too: its two answers have to be one, and the passphrase has to be right."""
    host, wanted = _host(request), seat.keep.get(_WAITING)
    if not isinstance(wanted, _Wanted):
        raise RefusedError(409, _("Nobody agreed to a passkey, or it was added already."), hint=_("Begin again."))
    first, second = answer_of(form, "first"), answer_of(form, "second")
    credential = Credential(PASSKEY, first.credential, wanted.salt, True, host, wanted.label)
    locks, guesses = Locks(seat.profile), request.app.state.guesses
    address = request.client.host if request.client else ""
    if wait := guesses.take(address, seat.profile.name):
        return _page(request, seat, wrong=_too_many(wait), status=429)

    def work() -> None:
        # Without the seat's session: whoever adds a lock opens the key store anew.
        locks.add_passkey(locks.open(form["passphrase"]), credential, first, second)

    try:
        async with guesses.turn:
            await asyncio.to_thread(work)
    except LockedError as exc:
        wrong = _("The passkey doesn't answer the same twice.") if first != second else _("The passphrase isn't right.")
        return _page(request, seat, wrong=wrong, status=403, cause=exc)
    guesses.right(address, seat.profile.name)
    seat.put(_WAITING, None)
    return to("/keys")


def _too_many(wait: int) -> str:
    return i18n.ngettext(
        "Too many wrong passphrases: try again in %(num)d second.",
        "Too many wrong passphrases: try again in %(num)d seconds.",
        wait,
    )


def _host(request: Request) -> str:
    """Return the name to which passkeys are bound.

    Raises:
        RefusedError: this portal has none.
    """
    if host := _site(request).host:
        return host
    raise RefusedError(
        404,
        _("Passkeys need a portal of one's own, under its name below localhost."),
        hint=_("Start it without --numeric and --listen."),
    )


def _page(
    request: Request, seat: Seat, *, wrong: str = "", status: int = 200, cause: LockedError | None = None
) -> Response:
    wanted = seat.keep.get(_WAITING)
    if not isinstance(wanted, _Wanted):
        return to("/keys")
    host = _host(request)
    known = [one.id.hex() for one in Locks(seat.profile).credentials(PASSKEY) if one.host == host]
    return render(
        request,
        "everyone/passkey.html",
        status,
        title=_("Add a passkey"),
        host=host,
        wanted=wanted,
        known=known,
        wrong=wrong,
    )
