"""`guardian …` and `recovery guardians|veto|freeze|ask|complete|inherited`: people who restore a seed together.

Never shows a share, and never takes one from an argument: what travels is a line that names a sealed block. Who a new
account or a new device belongs to is asked of people, by words that are read out.
Follows docs/spec/recovery.md, section "Guardians", and ADR 54.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from panachain.cli import words
from panachain.cli.app import App, LazyGroup, command, current
from panachain.cli.files import write_new
from panachain.errors import UsageError
from panachain.model.actors import Role
from panachain.model.guardianship import DAY, USUAL_DELAY

if TYPE_CHECKING:
    from panachain.sdk.results.guardians import GuardedView, GuardiansReport, GuardianView, MovedReport

_GUARDS: Final = (Role.PATIENT, Role.PRACTITIONER, Role.HOSPITAL, Role.RESEARCHER)
_STATES: Final = {
    "suspended": "suspended",
    "moved": "moved to another account",
    "compromised": "others may know their share",
    "unknown": "in no registry",
}
_TITLES: Final = {
    "threshold": "needed",
    "changes_at": "changes",
    "frozen_until": "frozen until",
    "moved_to": "moved to",
    "ready_at": "can be completed",
    "approved_by": "approved by",
}


# The patient's side


@click.group(
    "guardians",
    cls=LazyGroup,
    epilog="""
        panachain --profile me recovery guardians set sister doctor notary --threshold 2
        panachain --profile me recovery guardians list
    """,
)
def guardians() -> None:
    """Name people who restore your seed together, and move you to another account if your key is stolen."""


@command(
    "set",
    unchanged="the guardians before stay",
    after="panachain recovery guardians list shows whether they were named",
    examples="panachain --profile me recovery guardians set sister doctor notary --threshold 2",
)
@click.argument("people", metavar="NAME…", nargs=-1, required=True)
@click.option("--threshold", metavar="T", type=int, default=2, show_default=True, help="How many are needed.")
@click.option(
    "--delay",
    "days",
    metavar="DAYS",
    type=click.IntRange(1, 30),
    default=USUAL_DELAY // DAY,
    show_default=True,
    help="How long you can veto, and how long a change of guardians waits.",
)
@click.option("--yes", is_flag=True, help="Don't ask.")
def set_(people: tuple[str, ...], threshold: int, days: int, yes: bool) -> None:
    """Name each NAME as a guardian: contacts, handles or addresses of people and hospitals.

    Any T of them together have your seed, and fewer have nothing. The first guardians count at once; others count
    when the present delay is over, so that a thief of your key can't exchange them.
    """
    app = current()
    app.check_can_confirm(yes=yes)
    with app.acting(Role.PATIENT) as patient:
        app.confirm(
            f"Any {threshold} of {', '.join(people)} together will be able to open everything of yours. Go on?",
            yes=yes,
        )
        report = patient.guardians.set(people, threshold=threshold, delay=days * DAY)
        _show(app, report)
    if report.changes_at:
        app.output.say(f"They count from {words.when(report.changes_at)} on. Until then, those before do.")
    app.output.say("Tell them: `panachain guardian list` shows them that they are your guardians.")


@command("list", examples="panachain --profile me recovery guardians list --json")
def list_() -> None:
    """Show your guardians, what is announced, and what they began."""
    app = current()
    with app.acting(Role.PATIENT) as patient:
        _show(app, patient.guardians.all())


@command(
    "remove",
    unchanged="your guardians stay",
    examples="panachain --profile me recovery guardians remove --yes",
)
@click.option("--yes", is_flag=True, help="Don't ask.")
def remove(yes: bool) -> None:
    """Announce that nobody is your guardian any more; it counts when the present delay is over.

    Shares that they hold go on restoring your seed: nobody can take them back.
    """
    app = current()
    app.check_can_confirm(yes=yes)
    with app.acting(Role.PATIENT) as patient:
        app.confirm("Nobody will be able to move you to another account if your key is stolen. Go on?", yes=yes)
        _show(app, patient.guardians.remove())


@command(
    "keep",
    unchanged="what was announced still counts when its delay is over",
    examples="panachain --profile me recovery guardians keep",
)
def keep() -> None:
    """Take back what was announced: the present guardians stay."""
    app = current()
    with app.acting(Role.PATIENT) as patient:
        _show(app, patient.guardians.keep())


for _command in (set_, list_, remove, keep):
    guardians.add_command(_command)


@command(
    "veto",
    unchanged="what guardians began goes on",
    after="panachain recovery status shows whether it was stopped",
    examples="panachain --profile me recovery veto",
)
def veto() -> None:
    """Stop guardians who move you to another account: what they said until now counts no more.

    They may begin again. Whoever has your key can veto, too: then go to the registrar, who suspends the stolen account.
    """
    app = current()
    with app.acting(Role.PATIENT) as patient:
        _show(app, patient.guardians.veto())
    app.output.say("Nobody is moved. If guardians go on, name others: panachain recovery guardians set")


@command(
    "freeze",
    unchanged="nothing is frozen",
    examples="panachain --profile me recovery freeze",
)
def freeze() -> None:
    """Let nobody new be named as a guardian or paired with in your name for 72 hours, as when your key may be stolen.

    Revoking, unpairing, new keys and the veto go on, and so do your guardians.
    """
    app = current()
    with app.acting(Role.PATIENT) as patient:
        _show(app, patient.guardians.freeze())


@command(
    "ask",
    unchanged="no question was made",
    after="the same command again makes another question",
    examples="""
        panachain recovery ask --who pat-mfrggzdfmy2tq
        panachain recovery ask --again
    """,
)
@click.option("--who", default="", metavar="HANDLE|ADDRESS", help="The account whose seed was lost.")
@click.option("--again", is_flag=True, help="Show the question of this machine once more.")
@click.option(
    "--qr", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Draw the line into a new SVG file."
)
def ask(who: str, again: bool, qr: Path | None) -> None:
    """On a new device: ask your guardians for their shares, which come sealed to a one-time key of this device.

    Send each guardian the line, and read the five words out to them by voice or face to face. They send a line back.
    """
    from panachain.passphrase import Hidden
    from panachain.sdk.asking import Asking

    app = current()
    if again == bool(who):
        raise UsageError("say whose seed was lost, or ask for the question that there is", hint="--who, or --again")
    if qr is not None and qr.exists():
        raise UsageError(f"{qr} exists already; it was left as it is", hint="name another file")
    asking = Asking(app.home)
    if again:
        report = asking.view()
    else:
        with app.network() as network:
            hidden = Hidden(app.passphrase("the profile that is to come", confirm=True))
            report = asking.ask(network, who, hidden)
    if qr is not None:
        # Imported here: most commands draw nothing.
        import segno

        svg = segno.make(report.ask, error="m", micro=False).svg_inline(scale=4, border=4)
        write_new(qr, svg.encode())
    app.output.one(report, fields=("account", "ask", "code"), whole=("account", "ask"))
    app.output.say(
        "Send the line to your guardians. Read the words out to each of them: only who"
        " hears them from you may release a share."
    )
    app.output.next('panachain restore --answer "LINE" --answer "LINE"  # with what enough of them send back')


@command(
    "complete",
    unchanged="nobody was moved",
    examples="panachain --profile new recovery complete pat-mfrggzdfmy2tq",
)
@click.argument("patient", metavar="HANDLE|ADDRESS")
def complete(patient: str) -> None:
    """Be the patient whom guardians moved to this profile's account, when the delay is over.

    The account before never acts again. What was granted by its seed is revoked with that seed: `recovery ask` brings
    it back from the guardians.
    """
    app = current()
    with app.acting(Role.PATIENT) as me:
        _show_moved(app, [me.guardians.complete(patient)])


@command("inherited", examples="panachain --profile new recovery inherited")
def inherited() -> None:
    """Show the accounts that guardians moved to this one, and which hospitals have to be paired with anew."""
    app = current()
    with app.acting(Role.PATIENT) as me:
        _show_moved(app, me.guardians.inherited())


def _show_moved(app: App, moved: Sequence[MovedReport]) -> None:
    app.output.many(
        moved,
        empty="No account was moved to this one.",
        columns=("patient", "successor", "hospitals"),
        more=("tx",),
        titles={"patient": "before", "successor": "now", "hospitals": "to be paired with"},
    )
    hospitals = dict.fromkeys(one for report in moved for one in report.hospitals)
    app.output.next(*(f"panachain pair {one}" for one in hospitals))


def _show(app: App, report: GuardiansReport) -> None:
    """Print a patient's guardians, and what is begun."""
    named, announced = (", ".join(map(_called, some)) or "nobody" for some in (report.guardians, report.announced))
    also: dict[str, object] = {
        "guardians": named,
        "delay": words.count(report.delay // DAY, "day") if report.delay else "",
    }
    fields = ["guardians"]
    if report.guardians:
        fields += ["threshold", "delay"]
    if report.changes_at:
        also |= {"changes_at": words.when(report.changes_at), "announced": announced}
        fields += ["announced", "changes_at"]
    if report.frozen_until:
        also["frozen_until"] = words.when(report.frozen_until)
        fields.append("frozen_until")
    app.output.one(report, fields=fields, titles=_TITLES, also=also)
    if report.recovery:
        app.output.warn(words.moving(report.recovery))
    if report.guardians:
        well = f"{report.well} of {words.count(len(report.guardians), 'guardian')} can help"
        if report.is_enough:
            app.output.say(f"{well}, and {report.threshold} are needed: that is enough.")
        else:
            app.output.warn(f"{well}, and {report.threshold} are needed: that isn't enough, name others")
    if report.threshold and report.exposed >= report.threshold:
        app.output.warn(
            f"others may know {words.count(report.exposed, 'share')}, and {report.threshold} are your key: go to"
            " the registrar, and make a new account"
        )
    elif report.exposed:
        app.output.warn(f"others may know {words.count(report.exposed, 'share')}: name guardians anew")
    if report.well < len(report.guardians):
        app.output.next("panachain recovery guardians set NAME… --threshold T")


def _called(one: GuardianView) -> str:
    """Return a guardian's name, and what is wrong with them."""
    return one.name if one.is_well else f"{one.name} ({_STATES[one.state]})"


# The guardian's side


@click.group(
    "guardian",
    cls=LazyGroup,
    epilog="""
        panachain --profile doctor guardian list
        panachain --profile doctor guardian release "panachain/ask/1 bafkrei…"
        panachain --profile doctor guardian approve pat-mfrggzdfmy2tq --successor pat-nbswy3dpfqqho
    """,
)
def guardian() -> None:
    """See whom you guard, release your share to their new device, or move them to another account."""


@command("list", examples="panachain --profile doctor guardian list")
def guarded() -> None:
    """List the patients whose guardian you are, and what was begun for them."""
    app = current()
    with app.acting(*_GUARDS) as actor:
        found = actor.guarding.all()
        _show_guarded(app, found)
        for left in found.left_out:
            app.output.warn(str(left))


@command(
    "approve",
    unchanged="you spoke for nobody",
    examples="panachain --profile doctor guardian approve pat-mfrggzdfmy2tq --successor pat-nbswy3dpfqqho",
)
@click.argument("patient", metavar="PATIENT")
@click.option(
    "--successor", required=True, metavar="HANDLE|ADDRESS", help="The patient's new account, as they read it out."
)
@click.option("--yes", is_flag=True, help="Don't ask.")
def approve(patient: str, successor: str, yes: bool) -> None:
    """Speak for moving PATIENT to a new account, because the key of the present one was lost or stolen.

    When enough guardians spoke, the patient has the delay to veto; then the new account takes over.
    """
    app = current()
    app.check_can_confirm(yes=yes)
    with app.acting(*_GUARDS) as actor:
        app.confirm(
            f"Did {patient} tell you face to face or by voice that {successor} is their new account? Whoever has that"
            " account becomes this patient.",
            yes=yes,
        )
        _show_guarded(app, [actor.guarding.approve(patient, successor)])


@command(
    "freeze",
    unchanged="nothing is frozen",
    examples="panachain --profile doctor guardian freeze pat-mfrggzdfmy2tq",
)
@click.argument("patient", metavar="PATIENT")
def freeze_for(patient: str) -> None:
    """Let nobody new be named or paired with in PATIENT's name for 72 hours; you can do it once.

    It gives guardians time when a thief announces others. It stops no veto and no revocation.
    """
    app = current()
    with app.acting(*_GUARDS) as actor:
        _show_guarded(app, [actor.guarding.freeze(patient)])


@command(
    "release",
    unchanged="no share was released",
    examples="""
        panachain --profile doctor guardian release "panachain/ask/1 bafkrei…" --code "five words as they were heard"
    """,
)
@click.argument("line", metavar="LINE")
@click.option("--code", default="", metavar="WORDS", help="The five words that the patient read out to you.")
def release(line: str, code: str) -> None:
    """Seal your share to the device that shows LINE, and print the line to send back.

    Type the five words as you heard them from the patient, by voice or face to face; those of a message prove nothing.
    """
    app = current()
    with app.acting(*_GUARDS) as actor:
        account, _ = actor.guarding.asked(line)
        typed = code or click.prompt(
            f"The five words that {app.output.people(account)} read out to you", err=True, show_default=False
        )
        report = actor.guarding.release(line, typed)
        app.output.one(report, fields=("patient", "share", "answer"), whole=("answer",))
    app.output.say("Send the line back: only the device that asked can open it.")


for _command in (guarded, approve, freeze_for, release):
    guardian.add_command(_command)


def _show_guarded(app: App, found: Sequence[GuardedView]) -> None:
    app.output.many(
        found,
        empty="You are nobody's guardian.",
        columns=("patient", "state", "threshold", "share", "delay"),
        more=("frozen_until", "moved_to", "recovery"),
        titles=_TITLES,
        also=lambda row: {"delay": words.count(int(str(row["delay"] or 0)) // DAY, "day")},
    )
    for one in found:
        if one.moved_to:
            app.output.say(f"{one.patient} was moved to {one.moved_to}.")
        elif one.recovery:
            said = words.count(len(one.recovery.approved_by), "guardian")
            when = f"; it can be completed from {words.when(one.recovery.ready_at)} on" if one.recovery.is_open else ""
            app.output.say(f"{said} spoke for moving {one.patient} to {one.recovery.successor}{when}.")
