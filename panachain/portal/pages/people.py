"""Whom somebody knows by names of their own, and whom they don't want to hear of.

Names stay on this machine, and the list of blocked accounts is sealed in the profile. Follows docs/spec/cli.md
(`contacts`, `block`).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.errors import UnavailableError, UnknownActorError
from panachain.model.actors import Actor, Address, Role
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _
from panachain.portal.labels import ROLES, label
from panachain.portal.pages import Page
from panachain.portal.refusals import RefusedError
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.portal.site import Site
from panachain.portal.whom import account_of, called
from panachain.sdk.contacts import (
    add_contact,
    check_address,
    check_name,
    find_contact,
    list_contacts,
    remove_contact,
    rename_contact,
)

router = APIRouter()
_BLOCKING: Final = (Role.PATIENT, Role.PRACTITIONER, Role.RESEARCHER)
PAGES: Final = (
    Page("/contacts", N_("Contacts"), frozenset(), 82),
    Page("/blocked", N_("Blocked"), frozenset(_BLOCKING), 84),
)
Anybody = Annotated[Seat, Depends(seated())]
Blocking = Annotated[Seat, Depends(seated(*_BLOCKING))]
Filled = Annotated[Form, Depends(checked_form)]
_NAMED: Final = re.compile(r"\b(?:[a-z]{3}-[a-z2-7]{13}|0x[0-9a-fA-F]{40})\b")
"""A handle or an address, wherever it stands in what was pasted, such as the text of a QR code."""


@router.get("/contacts")
async def contacts(request: Request, seat: Anybody) -> Response:
    """List names of one's own, with a form for another one."""
    return render(
        request,
        "everyone/contacts.html",
        title=_("Contacts"),
        contacts=list_contacts(seat.home),
        changeable=_changeable(request),
        who=request.query_params.get("who", "")[:64],
    )


def _changeable(request: Request) -> bool:
    """Tell whether contacts can be changed: only where one person sits at this machine.

    A contact says for everybody here whom a name means: one member of staff would decide whom all others mean.
    """
    site: Site = request.app.state.site
    return site.way is not None


async def own_book(request: Request, form: Filled) -> Form:
    """Return the form of somebody who may change contacts, for FastAPI's `Depends`.

    Raises:
        RefusedError: many people use this portal.
    """
    if not _changeable(request):
        raise RefusedError(
            403,
            _("Contacts can't be changed here: they say for everybody who uses this portal whom a name means."),
            hint=_("Whoever keeps this machine changes them there: panachain contacts"),
        )
    return form


Changing = Annotated[Form, Depends(own_book)]


@router.post("/contacts/add")
async def add(request: Request, seat: Anybody, form: Changing) -> Response:
    """Give somebody a name, after saying whom it would mean."""
    name = form["name"].strip()
    check_name(seat.home, name)
    found = _NAMED.findall(form["who"])
    if len(set(found)) != 1:
        raise RefusedError(
            400,
            _("This text names nobody, or several: it needs one handle such as pat-mfrggzdfmy2tq, or one address."),
            hint=_("Paste what the other person's page “Who I am” or their QR code says. Nobody was added."),
        )
    known, address, remark = await seat.run(_registered, found[0])
    role = known.role if known is not None else None
    if confirmed(request, form):
        add_contact(seat.home, name, address, role)
        return to("/contacts")
    whom = f"{label(ROLES, role)} {known.handle}" if known is not None and role is not None else str(address)
    sentences = [
        _("“%(name)s” will mean %(whom)s on this machine, wherever a name is typed or shown.", name=name, whom=whom),
        _("The whole address is %(address)s.", address=address),
        _("Compare the handle or the address with its owner by another way than the one by which it came."),
    ]
    return confirm(
        request,
        title=_("Add a contact"),
        sentences=[*sentences, *([remark] if remark else [])],
        fields={"name": name, "who": address},
        button=_("Add"),
        back="/contacts",
    )


def _registered(actor: Any, who: str) -> tuple[Actor | None, Address, str]:
    """Return whom a registry knows by a handle or an address, the address, and a remark where it isn't known.

    Names of this machine don't count: they would hide whom they stand for.
    """
    address = check_address(who) if who.startswith("0x") else None
    try:
        found: Actor = actor.network.resolver.registered(who)
    except UnavailableError:
        if address is None:
            raise
        return None, address, _("The registries don't answer, so nobody looked whether this account is registered.")
    except UnknownActorError:
        if address is None:
            raise
        return None, address, _("No registry knows this account.")
    return found, found.address, ""


@router.post("/contacts/rename")
async def rename(request: Request, seat: Anybody, form: Changing) -> Response:
    """Give a contact another name."""
    name, new = form["name"], form["new"].strip()
    known = find_contact(seat.home, name)
    if known is None:
        raise UnknownActorError("there is no such contact", hint="look at the list")
    check_name(seat.home, new)
    if confirmed(request, form):
        rename_contact(seat.home, name, new)
        return to("/contacts")
    return confirm(
        request,
        title=_("Rename a contact"),
        sentences=[
            _(
                "“%(new)s” will mean %(address)s, which “%(name)s” means now.",
                new=new,
                address=known.address,
                name=name,
            ),
            _("What was granted stays as it is: a name is for people on this machine only."),
        ],
        fields={"name": name, "new": new},
        button=_("Rename"),
        back="/contacts",
    )


@router.post("/contacts/remove")
async def remove(request: Request, seat: Anybody, form: Changing) -> Response:
    """Forget a contact."""
    name = form["name"]
    if confirmed(request, form):
        remove_contact(seat.home, name)
        return to("/contacts")
    return confirm(
        request,
        title=_("Remove a contact"),
        sentences=[
            _("“%(name)s” will mean nobody any more on this machine.", name=name),
            _("What was granted stays granted."),
        ],
        fields={"name": name},
        button=_("Remove"),
        back="/contacts",
    )


@router.get("/blocked")
async def blocked(request: Request, seat: Blocking) -> Response:
    """List whom somebody doesn't want to hear of."""

    def known(actor: Any) -> list[Address]:
        accounts = sorted(actor.blocked.accounts())
        seat.names.learn(accounts)
        return accounts

    return render(request, "everyone/blocked.html", title=_("Blocked"), accounts=await seat.run(known))


@router.post("/blocked/add")
async def block(request: Request, seat: Blocking, form: Filled) -> Response:
    """Block somebody."""
    if confirmed(request, form):
        await seat.run(lambda actor: actor.blocked.add(Address(form["who"])))
        return to("/blocked")
    who = await account_of(seat, form["who"], *_BLOCKING)
    return confirm(
        request,
        title=_("Block somebody"),
        sentences=[
            _(
                "You will hear nothing more of %(who)s: no requests, invitations, permissions or groups.",
                who=await called(seat, who),
            ),
            _("They aren't told."),
            _("It takes back nothing that you granted."),
        ],
        fields={"who": who},
        button=_("Block this account"),
        back="/blocked",
    )


@router.post("/blocked/remove")
async def unblock(request: Request, seat: Blocking, form: Filled) -> Response:
    """Hear of somebody again."""
    if confirmed(request, form):
        await seat.run(lambda actor: actor.blocked.remove(Address(form["who"])))
        return to("/blocked")
    who = await account_of(seat, form["who"], *_BLOCKING)
    return confirm(
        request,
        title=_("Unblock somebody"),
        sentences=[
            _("You will hear of %(who)s again, also of what they sent meanwhile.", who=await called(seat, who)),
        ],
        fields={"who": who},
        button=_("Unblock"),
        back="/blocked",
    )
