"""`init`, `register`, `whoami`: one actor and its place on the chain.

Never shows a seed: it stays in the key store. Follows docs/spec/cli.md.
"""

from __future__ import annotations

import os

import click

from panachain.cli.app import App, command, current
from panachain.model.actors import Actor, Role, Status

_ROLES = (Role.PATIENT, Role.HOSPITAL, Role.PRACTITIONER, Role.RESEARCHER, Role.REGISTRAR)


@command(
    "init",
    unchanged="no profile was made; those that exist stayed as they were",
    examples="""
        panachain --profile me init --role patient
        PANACHAIN_PASSPHRASE_FILE=pass.txt panachain --profile clinic init --role hospital --name 'City Hospital'
    """,
)
@click.option("--role", required=True, type=click.Choice([role.value for role in _ROLES]), help="What the actor is.")
@click.option("--name", default="", metavar="TEXT", help="A name to show; it stays on this machine.")
def init(role: str, name: str) -> None:
    """Make a profile: one actor with one seed.

    The seed is drawn here, locked under the passphrase, and never leaves this machine. Without --profile
    the profile is called like its role.
    """
    from panachain.sdk.profiles import create_profile

    app = current()
    profile_name = app.config.profile or role
    passphrase = app.passphrase(f"profile {profile_name}", confirm=True)
    profile = create_profile(app.home, profile_name, Role(role), passphrase, name)
    app.output.one(profile, fields=("name", "role", "handle", "display_name"), titles={"display_name": "called"})
    # Nobody registers a registrar: a deployment names the account.
    registers = f"panachain --profile {profile_name} register"
    account = f"panachain --profile {profile_name} --long whoami  # the account, for the deployment"
    app.output.next(
        account if profile.role is Role.REGISTRAR else registers,
        f"panachain --profile {profile_name} recovery shares  # there is no backup of the seed yet",
    )


@command(
    "register",
    unchanged="a second `register` enters nothing twice",
    after="panachain whoami shows whether the actor is registered",
    examples="""
        panachain --profile me register
        panachain --profile doctor register --organisation clinic
    """,
)
@click.option(
    "--organisation",
    default="",
    metavar="HOSPITAL",
    help="Where a practitioner works, or the house that a hospital is a branch of. It never changes.",
)
def register(organisation: str) -> None:
    """Enter the profile's actor on its chain.

    The registrar admits actors. Where the registrar's profile is on this machine too, it does so at once.
    """
    app = current()
    with app.acting() as actor:
        _show(app, actor.register(organisation), actor.profile.name)


@command("whoami", examples="panachain --profile me whoami --json")
def whoami() -> None:
    """Show the profile's actor: address, handle, role, and what the chain says of it.

    Without a network it is the card that the registrar needs, and no passphrase is asked for: nothing in it is secret.
    """
    app = current()
    # The registrar's account goes into a deployment, and a hospital's card to the registrar, before there is a network.
    if not os.path.lexists(app.config.network_file):
        profile = app.profile()
        app.output.say(f"No network is set up: {app.config.network_file} doesn't exist. So this is the profile alone.")
        _show(app, profile.actor, profile.name, then="whoami --json  # the card, for the registrar")
        return
    with app.acting() as actor:
        _show(app, actor.whoami(), actor.profile.name)


def _show(app: App, actor: Actor, name: str, *, then: str = "register") -> None:
    """Print an actor, a noun of the model, which has no JSON form of its own, and what an unknown one does then."""
    fields = {
        "schema": "panachain/actor/2",
        "address": actor.address,
        "handle": actor.handle,
        "role": actor.role.value,
        "status": actor.status.name.lower(),
        "key_digest": actor.key_digest.hex(),
        "key_block": actor.keys.encode().hex() if actor.keys else "",
        "endpoint": actor.endpoint,
        "organisation": actor.organisation or "",
    }
    shown = ("profile", "role", "status", "handle", "organisation", "endpoint")
    status = "not registered yet" if actor.status is Status.UNKNOWN else actor.status.name.lower()
    app.output.one(
        fields,
        fields=shown,
        also={"profile": name, "status": status},
        whole=("address",),
    )
    if actor.status is Status.UNKNOWN:
        app.output.next(f"panachain --profile {name} {then}")
