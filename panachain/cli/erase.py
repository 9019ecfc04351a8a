"""`erase`: patients ask to have records erased, hospitals erase them or say why they don't.

Never says that something is gone which wasn't looked for. Follows ADR 59 and docs/spec/cli.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

import click

from panachain.cli import words
from panachain.cli.app import App, as_far_as_done, command, current, end
from panachain.errors import UsageError
from panachain.model.actors import Role

if TYPE_CHECKING:
    from panachain.sdk.hospital import Hospital
    from panachain.sdk.patient import Patient
    from panachain.sdk.results.erasures import EraseReport, Erasures, ErasureView

_STATES: Final = {
    "asked": "asked for",
    "refused": "refused",
    "erased": "erased",
    "attested": "erased, and attested",
    "lapsed": "lies elsewhere now: ask again",
}
_CANNOT: Final = (
    "Erasing can't be undone, and can't reach what others have: who opened a record before keeps what they saw,"
    " and so do backups and links that were made."
)


@command(
    "erase",
    unchanged="what isn't told as erased is as it was",
    after="the same command again goes on where this one stopped",
    examples="""
        panachain --profile me erase
        panachain --profile me erase bafkreih...
        panachain --profile clinic erase --asked
        panachain --profile clinic erase bafkreih... --refuse "we must keep it until 2034"
    """,
)
@click.argument("records", nargs=-1, metavar="[RECORD...]")
@click.option("--asked", is_flag=True, help="Hospital: erase what patients ask for; with RECORD only that of it.")
@click.option(
    "--patient", multiple=True, metavar="WHO", help="With --asked: only what this patient asks for; repeatable."
)
@click.option("--refuse", metavar="WHY", help="Hospital: don't erase RECORD, and tell its patient why.")
@click.option("--finish", is_flag=True, help="Hospital: finish what an interrupted run began, and begin nothing.")
@click.option("--done", is_flag=True, help="Hospital: list what was erased.")
@click.option("--shares", is_flag=True, help="Patient: end what opens nothing any more; proxies delete its shares.")
@click.option("--yes", is_flag=True, help="Don't ask.")
def erase(
    records: tuple[str, ...],
    asked: bool,
    patient: tuple[str, ...],
    refuse: str | None,
    finish: bool,
    done: bool,
    shares: bool,
    yes: bool,
) -> None:
    """Erase records for ever: header and content, from every store of their hospital.

    A patient asks for it with RECORD, an ID of `panachain --long records`, and sees without RECORD what came of it. A
    hospital sees without RECORD what patients ask for, and erases it with --asked, or whole envelopes of its own accord
    with RECORD alone. Each store is asked afterwards; what is gone is attested on chain, what isn't is named.
    """
    app = current()
    if shares and (records or asked or patient or refuse is not None or finish or done):
        raise UsageError("--shares stands alone")
    chosen = (refuse is not None) + finish + done
    if chosen + asked > 1 or (patient and not asked) or ((finish or done) and records):
        raise UsageError("--asked (with --patient), --refuse, --finish and --done stand each alone")
    if refuse is not None and not records:
        raise UsageError("--refuse names the records: panachain erase RECORD --refuse WHY")
    if (records or asked or shares) and refuse is None:
        app.check_can_confirm(yes=yes)
    with app.acting(Role.PATIENT, Role.HOSPITAL) as actor:
        if actor.role is Role.PATIENT:
            if asked or chosen:
                raise UsageError("a patient asks with RECORD alone; the other options are a hospital's")
            if shares:
                _drop_shares(app, cast("Patient", actor), yes=yes)
            else:
                _as_patient(app, cast("Patient", actor), records, yes=yes)
        elif shares:
            raise UsageError("--shares is a patient's: hospitals grant nothing")
        elif refuse is not None:
            tx = cast("Hospital", actor).erasures.refuse(records, refuse)
            app.output.one({"schema": "panachain/refuse-erasure/1", "records": list(records), "why": refuse, "tx": tx})
            app.output.say("Their patients read the reason, and nobody else. They may ask again.")
        else:
            _as_hospital(
                app, cast("Hospital", actor), records, asked=asked, patients=patient, finish=finish, done=done, yes=yes
            )


def _as_patient(app: App, patient: Patient, records: Sequence[str], *, yes: bool) -> None:
    from panachain.sdk.results.erasures import AskErasureReport

    if not records:
        _list(app, patient.erasures.all(), empty="You asked for nothing, and nothing was erased.", whose="hospital")
        return
    many = words.count(len(records), "record")
    app.confirm(f"{_CANNOT} Ask to erase {many} for ever?", yes=yes)
    report, partly = as_far_as_done(AskErasureReport, lambda: patient.erasures.ask(records))
    _show(app, report.asked, report, empty="There was nothing to ask for.", whose="hospital")
    if report.asked:
        app.output.say(
            "They are erased once their hospital ran `panachain --profile HOSPITAL erase --asked`, or it says why not:"
            " panachain erase shows it. Until then they lie where they lay."
        )
        app.output.say("Who opened them before: panachain log --record ID. Links that you made: panachain share list.")
    end(app, partly)


def _drop_shares(app: App, patient: Patient, *, yes: bool) -> None:
    from panachain.sdk.results.erasures import DroppedShares

    idle = patient.erasures.all().idle
    if not idle:
        app.output.one(DroppedShares(()), fields=("policies", "shares"))
        app.output.say("Every permission that holds still opens something, or not all of it could be looked at.")
        return
    app.confirm(
        f"{words.count(len(idle), 'permission')} opened only what was erased. They end, also for what hospitals publish"
        " later. Go on?",
        yes=yes,
    )
    report, partly = as_far_as_done(DroppedShares, patient.erasures.drop_shares)
    app.output.one(report, fields=("policies", "shares"))
    app.output.say(f"The proxies' logs were asked afterwards: {words.count(report.shares, 'share')} deleted.")
    app.output.left_out(report.omissions)
    end(app, partly)


def _as_hospital(
    app: App,
    hospital: Hospital,
    records: Sequence[str],
    *,
    asked: bool,
    patients: Sequence[str],
    finish: bool,
    done: bool,
    yes: bool,
) -> None:
    from panachain.sdk.results.erasures import EraseReport, Erasures

    if done:
        found = Erasures(tuple(hospital.erasures.all()))
        _list(app, found, empty="Nothing was erased.", whose="patient")
        return
    if not (records or asked or finish):
        _list(app, hospital.erasures.asked(), empty="No patient asks for it.", whose="patient")
        app.output.say("panachain erase --asked does it; panachain erase RECORD --refuse WHY says why not.")
        return
    if finish:
        report, partly = as_far_as_done(EraseReport, hospital.erasures.finish)
    elif asked:
        what = words.count(len(records), "record") if records else "all records that patients ask for"
        app.confirm(f"{_CANNOT} Erase {what} for ever?", yes=yes)
        report, partly = as_far_as_done(EraseReport, lambda: hospital.erasures.follow(records, patients=patients))
    else:
        many = words.count(len(records), "record")
        app.confirm(f"{_CANNOT} Nobody asked for it. Erase {many} for ever?", yes=yes)
        report, partly = as_far_as_done(EraseReport, lambda: hospital.erasures.erase(records))
    _show(app, report.erased, report, empty="There was nothing to erase.", whose="patient")
    if report.erased:
        stores, blocks = words.count(report.stores, "store"), words.count(report.blocks, "block")
        app.output.say(f"Looked for in {stores} afterwards, and gone: {blocks}. Attested on chain.")
    if report.kept:
        app.output.say(f"{words.count(report.kept, 'record')} beside them stay, with new IDs.")
    app.output.detail(f"transactions {', '.join(report.transactions) or '-'}")
    app.output.left_out(report.omissions, report.notices)
    end(app, partly)


def _list(app: App, found: Erasures, *, empty: str, whose: str) -> None:
    _show(app, found.records, found, empty=empty, whose=whose)
    app.output.left_out(found.omissions)
    for policy in found.idle:
        app.output.say(
            f"Policy {policy} opens nothing any more: `panachain erase --shares` has the proxies delete their shares."
        )


def _show(
    app: App, records: Sequence[ErasureView], result: Erasures | EraseReport | object, *, empty: str, whose: str
) -> None:
    if app.output.as_json:
        app.output.one(result)  # type: ignore[arg-type]
        return
    rows = [{**one.to_json(), "state": _STATES[one.state]} for one in records]
    columns = ("id", whose, "category", "year", "state", "at", *(("why",) if any(one.why for one in records) else ()))
    app.output.many(rows, empty=empty, columns=columns)
