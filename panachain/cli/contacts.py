"""`contacts add|list|remove`: names of one's own for actors elsewhere.

Never needs a key, and never leaves this machine. Follows docs/spec/cli.md.
"""

from __future__ import annotations

import click

from panachain.cli.app import LazyGroup, command, current
from panachain.errors import PanaChainError, UnavailableError

COLUMNS = ("name", "role", "handle")


@click.group(
    "contacts",
    cls=LazyGroup,
    invoke_without_command=True,
    epilog="""
        panachain contacts add cardiologist pra-mfrggzdfmy2tq
        panachain grant doctor --category laboratory --purpose TREAT --until 30d
        panachain contacts
    """,
)
@click.pass_context
def contacts(context: click.Context) -> None:
    """Give people and organisations names of your own.

    A contact can be typed wherever an actor is, and stands wherever one is shown. The names stay on this machine.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_)


@command(
    "add",
    examples="""
        panachain contacts add cardiologist pra-mfrggzdfmy2tq
        panachain contacts add st-marys 0x52908400098527886E0F7030069857D2E4169EE7
    """,
    unchanged="the address book is as it was",
)
@click.argument("name")
@click.argument("who", metavar="HANDLE|ADDRESS")
def add(name: str, who: str) -> None:
    """Call an actor NAME from now on.

    NAME is 1 to 64 of a-z, 0-9, dot, dash and underscore, and nobody else's: no profile's, and no other contact's.
    Compare the handle or the address with its owner by another way than the one by which it came.
    """
    from panachain.sdk.contacts import add_contact, check_address, check_name

    app = current()
    check_name(app.home, name)
    address = check_address(who) if who.startswith("0x") else None
    role = None
    try:
        with app.network() as network:
            # By handle or address only: a name would hide whom it stands for.
            actor = network.resolver.registered(who)
            address, role = actor.address, actor.role
    except UnavailableError:
        if address is None:
            raise
        app.output.warn("the registries don't answer, so nobody looked whether this account is registered")
    except PanaChainError as exc:
        if address is None:
            raise
        app.output.warn(f"{exc}; it was added all the same")
    app.output.one(add_contact(app.home, name, address, role), fields=(*COLUMNS, "address"), whole=("address",))


@command("list", examples="panachain contacts list --json")
def list_() -> None:
    """List your contacts."""
    from panachain.sdk.contacts import list_contacts

    app = current()
    app.command = "contacts list"
    app.output.many(list_contacts(app.home), empty="There are no contacts.", columns=COLUMNS, more=("address",))


@command("remove", examples="panachain contacts remove cardiologist", unchanged="the address book is as it was")
@click.argument("name")
def remove(name: str) -> None:
    """Forget the contact NAME; what was granted stays granted."""
    from panachain.sdk.contacts import remove_contact

    app = current()
    removed = remove_contact(app.home, name)
    app.output.one(removed, fields=(*COLUMNS, "address"), whole=("address",))
    app.output.say(f"{name} is forgotten on this machine. What was granted stays granted: panachain policies")


for _command in (add, list_, remove):
    contacts.add_command(_command)
