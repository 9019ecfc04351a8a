"""`ward add|list|start|end|log|take-over`: who acts for a minor or an adult under care, from the papers to the end.

Decides nothing: the sidechain says who acts in what and until when. Follows docs/spec/cli.md and docs/spec/wards.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from panachain.cli import words
from panachain.cli.app import App, LazyGroup, command, current
from panachain.cli.values import Categories, Moment, flat
from panachain.errors import UsageError
from panachain.model.actors import Role

if TYPE_CHECKING:
    from panachain.sdk.patient import Patient
    from panachain.sdk.results.wards import WardshipView

COLUMNS: Final = ("id", "state", "ward", "carer", "acts_in", "ends_at")
FIELDS: Final = (
    *("id", "state", "ward", "carer", "account", "acts_in", "keeps", "keeps_from"),
    *("started_at", "ends_at", "ended_at", "papers", "handover"),
)
"""What people read of one wardship."""
_TITLES: Final = {"id": "wardship", "acts_in": "acts in", "ends_at": "until", "keeps_from": "kept from"}


@click.group(
    "ward",
    cls=LazyGroup,
    epilog="""
        panachain --profile me ward add child --as my-child --until 2041-05-17 --papers "birth certificate 112/2023"
        panachain --profile registrar ward start 1
        panachain --profile my-child grant doctor --category immunizations --purpose TREAT --until 30d
        panachain --profile child ward take-over 1 --as childhood
    """,
)
def ward() -> None:
    """Act for a minor or an adult under care, until a date and in named categories."""


@command(
    "add",
    unchanged="nobody acts for anybody whom they didn't act for before",
    after="the same command again goes on where this one stopped",
    examples="""
        panachain --profile me ward add child --as my-child --until 2041-05-17 --papers "birth certificate 112/2023"
        panachain --profile me ward add child --as my-child --until 2041-05-17 --papers "court, 7 F 12/26"
        --keeps mental-health,sexual-health --keeps-from 2037-05-17
    """,
)
@click.argument("who", metavar="WARD")
@click.option("--as", "name", required=True, metavar="NAME", help="The profile through which you will act for them.")
@click.option("--papers", required=True, metavar="TEXT", help="What entitles you; sealed to the ward and to you.")
@click.option("--until", required=True, type=Moment(), help="When it ends, excluded: the day they are of age.")
@click.option(
    "--category",
    "categories",
    multiple=True,
    type=Categories(),
    help="In what you act; repeatable, commas allowed. Left out: in everything.",
)
@click.option(
    "--keeps", multiple=True, type=Categories(), help="What of that they keep to themselves, such as mental-health."
)
@click.option("--keeps-from", type=Moment(), help="From when on they keep it; from now on if left out.")
def add(
    who: str,
    name: str,
    papers: str,
    until: int,
    categories: tuple[tuple[str, ...], ...],
    keeps: tuple[tuple[str, ...], ...],
    keeps_from: int | None,
) -> None:
    """Propose to act for WARD, a patient with an account of their own, and accept it.

    It makes the profile NAME: an account for this ward alone, whose secret follows from yours and is sealed to the ward
    from the first day. With --profile NAME every command acts for the ward. It counts once the registrar has seen your
    papers and attests it, and it ends by itself. What the setting ward_keeps names, the ward keeps from now on.
    """
    app = current()
    kept = flat(keeps) or app.config.ward_keeps
    secret = app.passphrase(f"profile {name}", confirm=True)
    with app.acting(Role.PATIENT) as carer:
        made = _proposed(app, carer, who, name, secret, papers, until, flat(categories) or "all", kept, keeps_from)
        if made.state == "proposed":
            made = carer.wards.accept(made)
        _show(app, made)
    app.output.say("The registrar looks at your papers and attests it; until then nobody acts for the ward.")
    app.output.next(
        f"panachain --profile registrar ward start {made.number}",
        f"panachain --profile {name} pair HOSPITAL  # once it is attested",
    )


def _proposed(
    app: App,
    carer: Patient,
    who: str,
    name: str,
    secret: str,
    papers: str,
    until: int,
    categories: Any,
    keeps: Any,
    keeps_from: int | None,
) -> WardshipView:
    """Make the account's profile, register it and propose; what an earlier call did isn't done again."""
    from panachain.sdk import open_actor
    from panachain.sdk.patient import Patient
    from panachain.sdk.profiles import find_profile

    profile = find_profile(app.home, name) or carer.wards.profile(who, name, secret)
    with open_actor(carer.network, profile, secret) as account:
        if not isinstance(account, Patient) or not carer.wards.is_account(profile.address, who):
            raise UsageError(f"profile {name!r} is somebody else than the account for this ward; it was left as it is")
        account.register()
        made = carer.wards.of_account(account.address)
        return made or account.wards.propose(
            who, carer.address, papers, until=until, categories=categories, keeps=keeps, keeps_from=keeps_from
        )


@command("list", examples="panachain --profile me ward list")
def list_() -> None:
    """List wardships: those of your wards, and your own; for the registrar all that were accepted."""
    app = current()
    acting: Any
    with app.acting(Role.PATIENT, Role.REGISTRAR) as acting:
        found = acting.wards.all()
        app.output.many(
            found,
            empty="Nobody is under care here.",
            columns=COLUMNS,
            more=("account", "keeps", "keeps_from", "started_at", "ended_at", "papers", "handover"),
            titles=_TITLES,
        )
        for one in found:
            if one.handover not in ("", "good"):
                app.output.warn(f"wardship {one.number}: you couldn't take over, {words.line(one.handover)}")


@command(
    "start",
    unchanged="nothing was attested",
    after="panachain ward list shows what waits",
    examples="panachain --profile registrar ward start 1",
)
@click.argument("number", metavar="ID", type=click.IntRange(min=1))
def start(number: int) -> None:
    """Attest wardship ID, whose papers you have seen: from now on the carer acts for the ward."""
    app = current()
    acting: Any
    with app.acting(Role.REGISTRAR) as acting:
        _show(app, acting.wards.start(number))


@command(
    "end",
    unchanged="the wardship is as it was",
    after="panachain ward list shows how it stands",
    examples="panachain --profile me ward end 1 --yes",
)
@click.argument("number", metavar="ID", type=click.IntRange(min=1))
@click.option("--yes", is_flag=True, help="Don't ask.")
def end(number: int, yes: bool) -> None:
    """End wardship ID ahead of its time, as its carer or as the registrar; of one that is over, close the account.

    The account can do nothing more. What the carer read, and what was published to it, can't be called back.
    """
    app = current()
    app.check_can_confirm(yes=yes)
    acting: Any
    with app.acting(Role.PATIENT, Role.REGISTRAR) as acting:
        if not yes:
            app.confirm(f"Nobody will act for the ward of wardship {number} any more. Go on?", yes=yes)
        over = acting.wards.find(number).state == "over" and hasattr(acting.wards, "conclude")
        _show(app, acting.wards.conclude(number) if over else acting.wards.end(number))


@command("log", examples="panachain --profile child ward log 1")
@click.argument("number", metavar="ID", type=click.IntRange(min=1))
def log(number: int) -> None:
    """Show what was done in wardship ID, as the chains have it: when, by whom, for whom, what.

    From the account's own profile it shows what was granted and taken back too.
    """
    app = current()
    with app.acting(Role.PATIENT) as patient:
        app.output.many(
            patient.wards.acts(number),
            empty="Nothing was done.",
            columns=("at", "by", "ward", "what", "about", "detail"),
            titles={"at": "when", "ward": "for"},
            also=lambda row: {"detail": app.output.people(str(row["detail"]))},
        )


@command(
    "take-over",
    unchanged="nothing was taken over",
    after="panachain ward list says whether the handover is good",
    examples="panachain --profile child ward take-over 1 --as childhood",
)
@click.argument("number", metavar="ID", type=click.IntRange(min=1))
@click.option("--as", "name", required=True, metavar="NAME", help="The profile to make of the account.")
def take_over(number: int, name: str) -> None:
    """Take the account of your wardship ID into a profile of yours; no carer is needed for it.

    With --profile NAME you read what was published to it, see who read, and take back what was granted.
    """
    app = current()
    secret = app.passphrase(f"profile {name}", confirm=True)
    with app.acting(Role.PATIENT) as patient:
        profile = patient.wards.take_over(number, name, secret)
    app.output.one(profile, fields=("name", "role", "handle"))
    app.output.next(
        f"panachain --profile {name} records", f"panachain --profile {name} policies", f"panachain ward log {number}"
    )


def tell_of_wards(app: App, patient: Patient) -> None:
    """Say beside a log who acts for this patient, or for whom this account acts: it is part of who did what."""
    for one in patient.wards.all():
        if one.account == patient.address:
            app.output.say(
                f"What this account does, {one.carer_name} does for {one.ward_name}: panachain ward log {one.number}"
            )
        elif one.ward == patient.address:
            when = "acts" if one.state == "in force" else "acted"
            app.output.say(f"{one.carer_name} {when} for you: panachain ward log {one.number}")


def _show(app: App, view: WardshipView) -> None:
    told: Mapping[str, object] = view.to_json()
    app.output.one(view, fields=[one for one in FIELDS if told.get(one)], titles=_TITLES)


for _one in (add, list_, start, end, log, take_over):
    ward.add_command(_one)
