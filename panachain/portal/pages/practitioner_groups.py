"""Care teams and departments: made, joined, left, renewed, handed over and closed; and who invites.

Nobody is put into a group: an invitation is accepted or it isn't. Never holds a key: the SDK's Practitioner does.
Follows design section 8 and ADR 18.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from panachain.errors import UsageError
from panachain.model.actors import Role, Status
from panachain.plain import line
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _
from panachain.portal.pages import Page
from panachain.portal.refusals import RefusedError, said
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.portal.whom import called
from panachain.sdk.practitioner import Practitioner
from panachain.sdk.results.groups import GroupView, InvitationView

router = APIRouter()
PAGES: Final = (Page("/groups", N_("Groups"), frozenset({Role.PRACTITIONER}), 30),)
Member = Annotated[Seat, Depends(seated(Role.PRACTITIONER))]
Checked = Annotated[Form, Depends(checked_form)]


@dataclass(frozen=True)
class Act:
    """Something that is done to a group: what it says before it is done, and what does it."""

    title: str
    """Also on the button."""
    sentences: tuple[str, ...]
    """What it does; `%(group)s` and `%(who)s` stand for names."""
    done: str
    """What holds then."""
    does: Callable[[Practitioner, str, str], GroupView]
    """Takes the actor, the group and the other person."""
    names_somebody: bool = False
    """Whether it is about another person."""
    danger: bool = False


ACTS: Final[dict[str, Act]] = {
    "create": Act(
        N_("Make a group"),
        (
            N_("You make a group that you manage, and are its first member."),
            N_("Patients grant to its handle as to one person; its members read what is granted to it."),
            N_("Who manages a group and who its members are is on the sidechain."),
        ),
        N_("The group is there."),
        lambda actor, group, who: actor.create_group(),
    ),
    "accept": Act(
        N_("Accept"),
        (
            N_("You become a member of group %(group)s."),
            N_("You read then what patients granted to it, before and after; what you open is in their logs."),
            N_("That you are a member is on the sidechain. You can leave at any time."),
        ),
        N_("You are a member now."),
        lambda actor, group, who: actor.accept_group(group),
    ),
    "decline": Act(
        N_("Decline"),
        (N_("You decline the invitation of group %(group)s. Its manager can invite you again."),),
        N_("You aren't in the group."),
        lambda actor, group, who: actor.leave_group(group),
    ),
    "leave": Act(
        N_("Leave"),
        (
            N_("You leave group %(group)s."),
            N_("What you haven't opened as its member by then, you can't open any more."),
        ),
        N_("You aren't in the group any more."),
        lambda actor, group, who: actor.leave_group(group),
        danger=True,
    ),
    "invite": Act(
        N_("Invite"),
        (
            N_("You invite %(who)s into group %(group)s."),
            N_("Once they accept, they read what patients granted to it, before and after. Patients aren't asked."),
        ),
        N_("The invitation is there. Whoever is invited is a member once they accept."),
        lambda actor, group, who: actor.add_member(group, who),
        names_somebody=True,
    ),
    "remove": Act(
        N_("Take out"),
        (
            N_("You take %(who)s out of group %(group)s."),
            N_("What they haven't opened as a member by then, they can't open any more."),
            N_("The group gets another key, so that they can't even find what is granted to it afterwards."),
        ),
        N_("They are no member any more, and the group's key is renewed."),
        lambda actor, group, who: actor.remove_member(group, who),
        names_somebody=True,
        danger=True,
    ),
    "renew": Act(
        N_("Renew the key"),
        (
            N_("You give group %(group)s another key, and its members the secret of it."),
            N_("Somebody who has left can't find then what patients grant to it from now on."),
        ),
        N_("The group has another key."),
        lambda actor, group, who: actor.renew_group(group),
    ),
    "hand-over": Act(
        N_("Hand over"),
        (
            N_("You let %(who)s manage group %(group)s, with all of its keys."),
            N_("You stay a member, and can't take it back: only they can hand it over again."),
        ),
        N_("Somebody else manages the group now."),
        lambda actor, group, who: actor.hand_over_group(group, who),
        names_somebody=True,
        danger=True,
    ),
    "close": Act(
        N_("Close the group"),
        (
            N_("You close group %(group)s for ever."),
            N_("Nobody reads as its member any more. What was granted to it opens nothing then."),
        ),
        N_("The group is closed."),
        lambda actor, group, who: actor.close_group(group),
        danger=True,
    ),
}
"""By the last part of the path."""


@router.get("/groups")
async def groups(request: Request, seat: Member) -> Response:
    """Show one's groups, and the groups that invite."""
    found, waiting = await seat.run(_both)
    return render(
        request, "practitioner/groups.html", title=_("Groups"), groups=found, invitations=waiting, own=seat.address
    )


@router.get("/groups/{handle}")
async def group(request: Request, seat: Member, handle: str) -> Response:
    """Show one group: who is in it, who is invited, how its key stands, and what can be done."""
    found, _waiting = await seat.run(_both)
    shown = next((one for one in found if handle.lower() in (one.handle.lower(), one.group.lower())), None)
    if shown is None:
        raise RefusedError(404, _("You are in no group of this name."))
    return render(
        request,
        "practitioner/group.html",
        title=line(shown.group_name or shown.handle),
        group=shown,
        own=seat.address,
        manages=shown.manager == seat.address,
        is_open=shown.status is Status.ACTIVE,
    )


@router.post("/groups/{act}")
async def do(request: Request, seat: Member, act: str, form: Checked) -> Response:
    """Do something to a group, once it was said what that does."""
    if act not in ACTS:
        raise RefusedError(404, _("There is no such page."))
    chosen = ACTS[act]
    name, other = form.get("group", "").strip(), form.get("who", "").strip()
    if act != "create" and not name:
        raise said(UsageError(_("Which group is meant? Nothing was done.")))
    if chosen.names_somebody and not other:
        raise said(UsageError(_("Who is meant? Nothing was done.")))
    place, who = await seat.run(_resolve, "" if act == "create" else name, other if chosen.names_somebody else "")
    if not confirmed(request, form):
        values = {
            "group": await called(seat, place, Role.GROUP) if place else "",
            "who": await called(seat, who, Role.PRACTITIONER) if who else "",
        }
        return confirm(
            request,
            title=_(chosen.title),
            sentences=[_(sentence, **values) for sentence in chosen.sentences],
            fields={name: value for name, value in (("group", place), ("who", who)) if value},
            button=_(chosen.title),
            danger=chosen.danger,
            back="/groups",
        )

    def work(actor: Practitioner, progress: Any) -> GroupView:
        return chosen.does(actor, place, who)

    return to(seat.start(_(chosen.title), work, template="practitioner/group_done.html", done=_(chosen.done)))


def _both(actor: Practitioner) -> tuple[list[GroupView], list[InvitationView]]:
    return actor.groups(), actor.invitations()


def _resolve(actor: Practitioner, group: str, who: str) -> tuple[str, str]:
    """Return the accounts that names mean, so that what is confirmed is what is done."""
    resolve = actor.network.resolve
    return (
        resolve(group, Role.GROUP).address if group else "",
        resolve(who, Role.PRACTITIONER).address if who else "",
    )
