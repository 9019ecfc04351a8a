"""`group create|list|add|invitations|accept|leave|remove|renew|hand-over|close`: care teams and departments.

Never holds a key: the SDK's Practitioner does. Follows docs/spec/cli.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from panachain.cli import words
from panachain.cli.app import App, LazyGroup, command, current
from panachain.model.actors import Role

if TYPE_CHECKING:
    from panachain.sdk.results.groups import GroupView

COLUMNS = ("handle", "status", "manager", "members", "key")
FIELDS = ("handle", "status", "manager", "members", "invited", "key")
"""What people read of one group."""


def key_words(group: Mapping[str, object]) -> Mapping[str, object]:
    """Return how a group's key stands, in words."""
    generation = int(str(group.get("generation") or 0))
    told = f"renewed {words.count(generation, 'time')}" if generation else "the first one"
    return {"key": f"{told}; a renewal is due" if group.get("renewal_due") else told}


def show(app: App, group: GroupView) -> None:
    """Print one group, and that its key is to be renewed, if it is."""
    app.output.one(group, fields=FIELDS, also=key_words(group.to_json()))
    if group.renewal_due:
        app.output.next(f"panachain group renew {group.handle}")


@click.group(
    "group",
    cls=LazyGroup,
    epilog="""
        panachain --profile doctor group create
        panachain --profile doctor group add gro-mfrggzdfmy2tq pharmacist
        panachain --profile me grant gro-mfrggzdfmy2tq --category laboratory --purpose TREAT --until 30d
    """,
)
def group() -> None:
    """Manage care teams and departments."""


@command("create", examples="panachain --profile doctor group create")
def create() -> None:
    """Make a group that you manage; patients grant to its handle as to one person."""
    app = current()
    with app.acting(Role.PRACTITIONER) as practitioner:
        show(app, practitioner.create_group())


@command("list", examples="panachain --profile doctor group list --json")
def list_() -> None:
    """List the groups that you manage or are a member of, and whether one's key is to be renewed."""
    app = current()
    with app.acting(Role.PRACTITIONER) as practitioner:
        app.output.many(
            practitioner.groups(),
            empty="You are in no group.",
            columns=COLUMNS,
            more=("invited", "group", "organisation"),
            also=key_words,
        )
        waiting = len(practitioner.invitations())
    if waiting:
        invite = "invites" if waiting == 1 else "invite"
        app.output.say(f"{words.count(waiting, 'group')} {invite} you: panachain group invitations")


@command("add", examples="panachain --profile doctor group add gro-mfrggzdfmy2tq pharmacist")
@click.argument("name", metavar="GROUP")
@click.argument("member")
def add(name: str, member: str) -> None:
    """Invite MEMBER to GROUP: once they accept, they read what patients granted to it; patients needn't do anything."""
    app = current()
    with app.acting(Role.PRACTITIONER) as practitioner:
        group = practitioner.add_member(name, member)
        show(app, group)
    if group.invited:
        app.output.say(f"Whoever is invited joins by `group accept {group.handle}`.")


@command("invitations", examples="panachain --profile pharmacist group invitations")
def invitations() -> None:
    """List the groups that invite you; you are in none of them before you accept, and nothing of theirs is fetched."""
    app = current()
    with app.acting(Role.PRACTITIONER) as practitioner:
        waiting = practitioner.invitations()
        app.output.many(
            waiting,
            empty="No group invites you.",
            columns=("handle", "manager"),
            more=("group",),
        )
    if waiting:
        handle = waiting[0].handle
        app.output.next(f"panachain group accept {handle}", f"panachain group leave {handle}  # declines")


@command("accept", examples="panachain --profile pharmacist group accept gro-mfrggzdfmy2tq")
@click.argument("name", metavar="GROUP")
def accept(name: str) -> None:
    """Become a member of GROUP, which invites you."""
    app = current()
    with app.acting(Role.PRACTITIONER) as practitioner:
        show(app, practitioner.accept_group(name))


@command("leave", examples="panachain --profile pharmacist group leave gro-mfrggzdfmy2tq")
@click.argument("name", metavar="GROUP")
def leave(name: str) -> None:
    """Leave GROUP, or decline its invitation: what you haven't opened as a member by then, you can't open any more."""
    app = current()
    with app.acting(Role.PRACTITIONER) as practitioner:
        show(app, practitioner.leave_group(name))


@command(
    "remove",
    examples="panachain --profile doctor group remove gro-mfrggzdfmy2tq pharmacist",
    unchanged="who was taken out stays out; `group renew` does what is left",
)
@click.argument("name", metavar="GROUP")
@click.argument("member")
def remove(name: str, member: str) -> None:
    """Take MEMBER out of GROUP and renew its key, or leave it: what isn't opened by then, they can't open any more."""
    app = current()
    with app.acting(Role.PRACTITIONER) as practitioner:
        show(app, practitioner.remove_member(name, member))


@command("renew", examples="panachain --profile doctor group renew gro-mfrggzdfmy2tq")
@click.argument("name", metavar="GROUP")
def renew(name: str) -> None:
    """Give GROUP another key, after a member left: they can't even find what patients grant from now on."""
    app = current()
    with app.acting(Role.PRACTITIONER) as practitioner:
        show(app, practitioner.renew_group(name))


@command("hand-over", examples="panachain --profile doctor group hand-over gro-mfrggzdfmy2tq pharmacist")
@click.argument("name", metavar="GROUP")
@click.argument("manager")
def hand_over(name: str, manager: str) -> None:
    """Let a member manage GROUP."""
    app = current()
    with app.acting(Role.PRACTITIONER) as practitioner:
        show(app, practitioner.hand_over_group(name, manager))


@command("close", examples="panachain --profile doctor group close gro-mfrggzdfmy2tq --yes")
@click.argument("name", metavar="GROUP")
@click.option("--yes", is_flag=True, help="Don't ask.")
def close(name: str, yes: bool) -> None:
    """Close GROUP for ever: nobody reads as its member any more."""
    app = current()
    app.confirm(f"Close group {name} for ever?", yes=yes)
    with app.acting(Role.PRACTITIONER) as practitioner:
        show(app, practitioner.close_group(name))


for _command in (create, list_, add, invitations, accept, leave, remove, renew, hand_over, close):
    group.add_command(_command)
