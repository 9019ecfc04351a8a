"""Messages: where they go, of what, how often; and a test.

An address can hold a password: it is typed once, waits in this session's memory until it is confirmed, and stands on no
page and in no form afterwards. Sends nothing but a test: `panachain watch` does. Follows docs/spec/messages.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from panachain.errors import UnavailableError, UsageError
from panachain.model.actors import Role
from panachain.passphrase import Hidden
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _, ngettext
from panachain.portal.jobs import JobProgress
from panachain.portal.pages import Page
from panachain.portal.refusals import RefusedError, said
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.portal.site import Site
from panachain.sdk.notifying import service_of
from panachain.sdk.watching import TEST, URGENT, Choice, Kind

PAGES: Final = (Page("/messages", N_("Messages"), frozenset(), 84),)
_PENDING: Final = "messages/pending"
EVERY: Final = {
    "0": N_("at once"),
    "3600": N_("once an hour, together"),
    "86400": N_("once a day, together"),
    "604800": N_("once a week, together"),
}
"""How often messages are sent, by the seconds between two."""
KINDS: Final = {
    Kind.REQUEST: N_("somebody asks for something"),
    Kind.GRANT: N_("a grant was made"),
    Kind.FIRST_OPENING: N_("somebody reads by a grant for the first time"),
    Kind.BREAK_GLASS: N_("somebody stated an emergency"),
    Kind.EXPIRY: N_("a grant ends within a week"),
    Kind.ROTATION: N_("categories got new keys"),
    Kind.WITHDRAWN: N_("a hospital withdrew a record"),
    Kind.SUSPENDED: N_("somebody who may read was suspended"),
    Kind.GRANTED: N_("a request of yours was granted"),
    Kind.REFUSED: N_("a request of yours was refused"),
    Kind.REVIEW: N_("an emergency waits for its review"),
    Kind.ERASURE: N_("a patient wants something erased"),
    Kind.MOVE: N_("a patient wants records moved, or renewed keys"),
    Kind.PROXY_DOWN: N_("a proxy of yours doesn't answer"),
    Kind.NOT_ANCHORED: N_("a proxy of yours doesn't anchor its log"),
    Kind.NOT_COSIGNED: N_("nobody cosigns the log of a proxy of yours"),
}
_OF_COLLEAGUES: Final = N_("a colleague's emergency waits for your co-signature")
"""What practitioners hear of emergencies."""
_OFFERED: Final = {
    Role.PATIENT: (
        *(Kind.REQUEST, Kind.GRANT, Kind.FIRST_OPENING, Kind.BREAK_GLASS),
        *(Kind.EXPIRY, Kind.ROTATION, Kind.WITHDRAWN, Kind.SUSPENDED),
    ),
    Role.PRACTITIONER: (Kind.GRANTED, Kind.REFUSED, Kind.GRANT, Kind.EXPIRY, Kind.BREAK_GLASS, Kind.REVIEW),
    Role.RESEARCHER: (Kind.GRANT, Kind.EXPIRY),
    Role.HOSPITAL: (Kind.ERASURE, Kind.MOVE, Kind.PROXY_DOWN, Kind.NOT_ANCHORED, Kind.NOT_COSIGNED),
    Role.REGISTRAR: (Kind.REVIEW,),
}
"""What each role is told of: docs/spec/messages.md."""

router = APIRouter()
Filled = Annotated[Form, Depends(checked_form)]


def own_messages(request: Request, seat: Annotated[Seat, Depends(seated())]) -> Seat:
    """Return the seat of somebody on a machine of their own, for FastAPI's `Depends`.

    Raises:
        RefusedError: many people use this portal, whose machine would send what each of them typed to anywhere.
    """
    site: Site = request.app.state.site
    if site.way is None:
        raise RefusedError(
            403,
            _("Messages aren't set up here: this machine would send to wherever anybody says."),
            hint=_("Set them up on a machine of your own."),
        )
    return seat


Sitting = Annotated[Seat, Depends(own_messages)]


@dataclass(frozen=True)
class Tested:
    """To how many addresses a test went."""

    sent: int
    known: int


def _told(kind: Kind, role: Role) -> str:
    """Return what a kind is called, in the language of this request."""
    return _(_OF_COLLEAGUES if kind is Kind.BREAK_GLASS and role is Role.PRACTITIONER else KINDS[kind])


@router.get("/messages")
async def messages(request: Request, seat: Sitting) -> Response:
    """Show where messages go, of what, and how often."""

    def look(actor: Any) -> tuple[list[str], Choice]:
        return actor.watching.notifier.services(), actor.watching.choice()

    services, choice = await seat.run(look)
    return render(
        request,
        "everyone/messages.html",
        title=_("Messages"),
        services=services,
        choice=choice,
        kinds=[(kind.value, _told(kind, seat.role), kind in URGENT) for kind in _OFFERED[seat.role]],
        every=EVERY,
    )


@router.post("/messages/add")
async def add(request: Request, seat: Sitting, form: Filled) -> Response:
    """Send messages to one more address."""
    if not confirmed(request, form):
        url = form["url"].strip()
        try:
            service = service_of(url)
        except UsageError:
            # Not quoted, and not chained: it may hold a password.
            text = _("Messages can't be sent to this address; nothing was added.")
            hint = _("It begins with the service, such as ntfys://TOPIC or mailtos://NAME:PASSWORD@HOST.")
            raise said(UsageError(text, hint=hint)) from None
        return confirm(
            request,
            title=_("Send messages there, too"),
            sentences=[
                _("Messages go by %(service)s, too.", service=service),
                _("Whoever runs that service learns that you use PanaChain, of which kind a message is, and when."),
                _("They never hold a name, a number, a category or anything of your health."),
                _("The address is kept sealed under your key, and is never shown again."),
            ],
            fields={"pending": seat.hold(_PENDING, Hidden(url))},
            button=_("Add the address"),
            back="/messages",
        )
    held = seat.take(_PENDING, form["pending"])
    if held is None:
        raise said(UsageError(_("That address isn't known any more; type it once more. Nothing was added.")))
    await seat.run(lambda actor: actor.watching.notifier.add(held.reveal()))
    return to("/messages")


@router.post("/messages/remove")
async def remove(request: Request, seat: Sitting, form: Filled) -> Response:
    """Send nothing more to an address."""
    number = form["number"]
    services: list[str] = await seat.run(lambda actor: actor.watching.notifier.services())
    if not (number.isascii() and number.isdigit() and len(number) < 4 and 0 < int(number) <= len(services)):
        raise said(UsageError(_("There is no address of this number; nothing was removed.")))
    service = services[int(number) - 1]
    if not confirmed(request, form):
        sentences = [_("Nothing more is sent to address %(number)s, by %(service)s.", number=number, service=service)]
        if len(services) == 1:
            sentences.append(_("It is the only one: you will be told nothing any more, not of emergencies either."))
        return confirm(
            request,
            title=_("Remove an address"),
            sentences=sentences,
            # With how many there were: another number may stand for it by then.
            fields={"number": number, "known": ",".join(services)},
            button=_("Remove"),
            danger=True,
            back="/messages",
        )
    if form["known"] != ",".join(services):
        raise said(UsageError(_("The addresses changed meanwhile; nothing was removed.")))
    await seat.run(lambda actor: actor.watching.notifier.remove(int(number)))
    return to("/messages")


@router.post("/messages/choose")
async def choose(request: Request, seat: Sitting, form: Filled) -> Response:
    """Choose of what messages are sent, and how often."""
    kinds, every = form.all("kind"), form["every"]
    before: Choice = await seat.run(lambda actor: actor.watching.choice())
    offered = _OFFERED[seat.role]
    if set(kinds) - {kind.value for kind in offered} or every not in {*EVERY, str(before.every)}:
        raise said(UsageError(_("Choose from what the form offers; nothing was changed.")))
    told = [kind for kind in offered if kind.value in kinds or kind in URGENT]
    if not confirmed(request, form):
        silent = [_told(kind, seat.role) for kind in offered if kind not in told]
        often = _(EVERY[every]) if every in EVERY else ngettext("every second", "every %(num)d seconds", int(every))
        sentences = [
            _("You are told: %(what)s.", what="; ".join(_told(kind, seat.role) for kind in told)) if told else "",
            _("You aren't told: %(what)s.", what="; ".join(silent)) if silent else "",
            _("Messages are sent %(often)s.", often=often),
            _("What is always told is told at once, whatever you choose.") if URGENT & set(offered) else "",
        ]
        return confirm(
            request,
            title=_("What you are told"),
            sentences=[one for one in sentences if one],
            fields={"kind": kinds, "every": every},
            button=_("Choose it"),
            back="/messages",
        )
    # What this role isn't offered stays as it is.
    rest = [kind.value for kind in before.kinds if kind not in offered]
    await seat.run(lambda actor: actor.watching.choose([*kinds, *rest], every=int(every)))
    return to("/messages")


@router.post("/messages/test")
async def test(seat: Sitting, form: Filled) -> Response:
    """Send a test to each address."""
    del form

    def work(actor: Any, progress: JobProgress) -> Tested:
        progress.stage(_("A test goes to each address"))
        notifier = actor.watching.notifier
        known = len(notifier.services())
        if not known:
            raise said(UsageError(_("There is no address yet; nothing was sent.")))
        try:
            return Tested(notifier.send(TEST), known)
        except UnavailableError:
            # The page says what that means.
            return Tested(0, known)

    return to(seat.start(_("Sending a test"), work, template="everyone/messages_tested.html", path="/messages"))
