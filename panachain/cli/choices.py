"""`choices` and `recategorize`: what a patient closes at every hospital, and records that go into another category.

Opens nothing of what a hospital's own profile closes but single records, which the patient names and confirms. Follows
docs/spec/sensitivity.md (What a patient chooses).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import click

from panachain.cli import words
from panachain.cli.app import App, as_far_as_done, command, current, end
from panachain.model.actors import Role
from panachain.model.scope import Category

if TYPE_CHECKING:
    from panachain.sdk.results.choices import ChoicesReport, RecategorizeReport


TITLES: Final = {"emergency": "in an emergency"}


@command(
    "choices",
    unchanged="`panachain choices` shows what hospitals were told",
    after="the same command again tells those that weren't",
    examples="""
        panachain --profile me choices
        panachain --profile me choices --close alcohol,genetics
        panachain --profile me choices --reopen alcohol
        panachain --profile me choices --emergency antiretrovirals,methadone
    """,
)
@click.option("--close", multiple=True, metavar="KIND", help="Close this kind; repeatable, commas allowed.")
@click.option("--reopen", multiple=True, metavar="KIND", help="Leave it to each hospital again.")
@click.option(
    "--emergency",
    multiple=True,
    metavar="KIND",
    help="Have it in the emergency summary although it is closed: its medicines, conditions, allergies, immunizations.",
)
@click.option("--no-emergency", multiple=True, metavar="KIND", help="Have it in there no more.")
def choices(
    close: tuple[str, ...], reopen: tuple[str, ...], emergency: tuple[str, ...], no_emergency: tuple[str, ...]
) -> None:
    """Show or change which kinds of sensitive information every hospital closes for you.

    A hospital closes what its own profile says, and what you close; the emergency summary holds of it what you say. It
    counts for what is published from then on. Kinds are words such as hiv, pregnancy, alcohol, genetics, or codes of
    HL7 v3 ActCode.
    """
    from panachain.sdk.results.choices import ChoicesReport

    app = current()
    with app.acting(Role.PATIENT) as patient:
        given = {"close": close, "reopen": reopen, "emergency": emergency, "no_emergency": no_emergency}
        changes = {name: listed(kinds) for name, kinds in given.items()}
        own = patient.choices
        report, partly = as_far_as_done(
            ChoicesReport, lambda: own.change(**changes) if any(changes.values()) else own.now()
        )
    _show(app, report)
    end(app, partly)


@command(
    "recategorize",
    unchanged="every record lies where it lay",
    after="the same command again asks for what wasn't asked for",
    examples="""
        panachain --profile me recategorize bafkreih... --to private
        panachain --profile me recategorize bafkreih... bafkreia... --to mental-health
    """,
)
@click.argument("records", nargs=-1, required=True, metavar="RECORD...")
@click.option(
    "--to",
    required=True,
    type=click.Choice([category.value for category in Category]),
    metavar="CATEGORY",
    help="The category in which they shall lie.",
)
@click.option("--yes", is_flag=True, help="Don't ask if more people could open one there.")
def recategorize(records: tuple[str, ...], to: str, yes: bool) -> None:
    """Ask for each RECORD to lie in another category, where its hospital seals it anew.

    RECORD is an ID of `panachain --long records`; its files go with it. It lies there once the hospital ran `panachain
    rewrap`; newer versions that the hospital publishes go there, too. Whoever opened it before keeps what they saw.
    """
    from panachain.sdk.results.choices import RecategorizeReport

    app = current()

    def confirm(wider: Sequence[str]) -> None:
        many = words.count(len(wider), "record")
        app.confirm(f"More people could open {many} in {to}: everybody with all, or an emergency. Go on?", yes=yes)

    with app.acting(Role.PATIENT) as patient:
        report, partly = as_far_as_done(
            RecategorizeReport, lambda: patient.choices.recategorize(records, to, confirm=confirm)
        )
        _show_asked(app, report)
    end(app, partly)


def _show_asked(app: App, report: RecategorizeReport) -> None:
    if app.output.as_json:
        app.output.one(report)
    else:
        rows = [{**one.to_json(), "to": report.to} for one in report.asked]
        columns = ("id", "hospital", "category", "year", "to")
        app.output.many(rows, empty="There was nothing to ask for.", columns=columns)
    if report.already:
        verb = "lies" if len(report.already) == 1 else "lie"
        app.output.say(f"{words.count(len(report.already), 'record')} {verb} in {report.to} already.")
    if report.asked:
        app.output.say(
            "It lies there once its hospital ran `panachain --profile HOSPITAL rewrap`, and until then where it lay."
        )
        app.output.say("Who opened it before keeps what they saw: panachain log shows who that was.")


def _show(app: App, report: ChoicesReport) -> None:
    also = {
        "closed": named(report.closed) or "nothing of your own",
        "emergency": named(report.emergency) or "nothing that is closed",
    }
    app.output.one(report, fields=tuple(also), also=also, titles=TITLES)
    if report.told:
        told = words.count(len(report.told), "hospital")
        verb = "was" if len(report.told) == 1 else "were"
        app.output.say(f"{told} {verb} told. What they published before stays as it is.")


def named(codes: Sequence[str]) -> str:
    """Return kinds as people call them; a code that isn't known here stays as it is."""
    from panachain.records.sensitivity.kinds import kinds

    return ", ".join(kinds()[code].word if code in kinds() else code for code in codes)


def listed(given: Iterable[str]) -> list[str]:
    """Return what an option names, which may be several with commas."""
    return [part.strip() for one in given for part in one.split(",") if part.strip()]
