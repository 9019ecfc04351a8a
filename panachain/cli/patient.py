"""What patients type: `pair`, `grant`, `policies`, `reissue`, `revoke`, `settle`, `requests`, `approve` and more.

Never holds a key: the SDK's Patient does. Follows docs/spec/cli.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from panachain.cli import revocation, words
from panachain.cli.app import App, Function, as_far_as_done, command, current, end
from panachain.cli.blocked import show_left_out
from panachain.cli.choices import TITLES, listed, named
from panachain.cli.files import write_new
from panachain.cli.readings import show_readings
from panachain.cli.values import Categories, Duration, Moment, Purposes, Years, flat
from panachain.errors import IntegrityError, PartlyDoneError, UnavailableError, UsageError
from panachain.model.actors import PolicyId, Role
from panachain.model.scope import Purpose

if TYPE_CHECKING:
    from panachain.sdk import Patient
    from panachain.sdk.results.policies import PolicyView
    from panachain.sdk.results.revocations import RevocationReport

POLICY_COLUMNS = ("policy_id", "state", "grantee", "scopes", "purposes", "expires_at")
"""Of a patient's list."""
POLICY_MORE = ("starts_at", "threshold", "proxies", "deposited", "open", "terms_cid", "tx", "gas", "patient")
"""What `--long` adds to it."""
MADE = ("policy_id", "grantee", "scopes", "purposes", "starts_at", "expires_at", "proxies")
"""What a patient reads of a policy that was just made."""


def policy_words(policy: Mapping[str, object]) -> Mapping[str, object]:
    """Return what people read of a policy beside its fields: its state in one cell."""
    state = words.STATES.get(str(policy.get("status")), str(policy.get("status")))
    notes = []
    if isinstance(delay := policy.get("emergency_delay"), int):
        notes.append(f"in an emergency, {delay // 60} min after the second signature" if delay else "in an emergency")
    if stage := str(policy.get("stage") or ""):
        notes.append(revocation.stage(stage))
    if lacking := policy.get("lacking"):
        notes.append(f"{words.count(int(str(lacking)), 'proxy')} without a share")
    if alarms := policy.get("alarms"):
        notes.append(f"{words.count(len(_several(alarms)), 'proxy')} against it")
    if policy.get("open"):
        notes.append("open to researchers")
    told: dict[str, object] = {"state": ", ".join([state, *notes])}
    ends = words.moment(policy.get("expires_at"))
    if policy.get("status") == "revoked" and ends is not None:
        # How long it would have lasted doesn't matter any more.
        told["expires_at"] = words.when(ends)
    return told


def show_policies(app: App, policies: Iterable[PolicyView], *, empty: str) -> None:
    """Print a patient's policies as a list, and warn of proxies that act against a revocation."""
    alarms: dict[str, object] = {}

    def noted(policy: Mapping[str, object]) -> Mapping[str, object]:
        alarms[str(policy.get("policy_id"))] = policy.get("alarms")
        return policy_words(policy)

    app.output.many(policies, empty=empty, columns=POLICY_COLUMNS, more=POLICY_MORE, also=noted)
    show_left_out(app, policies)
    for policy_id, against in alarms.items():
        _warn(app, policy_id, against)


def _warn(app: App, policy_id: str, alarms: object) -> None:
    """Warn of proxies that act against a revocation."""
    brief = words.short(policy_id)
    for proxy, reason in alarms.items() if isinstance(alarms, Mapping) else ():
        app.output.warn(
            f"ALARM: proxy {proxy} acts against the revocation of policy {brief}: {words.line(str(reason))}; the"
            " evidence is in the profile's folder `evidence`"
        )


def show_policy(app: App, policy: PolicyView) -> None:
    """Print a policy that was just made, and what to do next."""
    needs = f"any {policy.threshold} of {policy.proxies} must help"
    app.output.one(policy, fields=MADE, also={"proxies": needs})
    brief = words.short(policy.policy_id)
    if policy.dry_run:
        app.output.say(f"Dry run: nothing was sent. It would take {policy.gas:,} gas.")
    elif policy.stage and policy.tx:
        app.output.say("Nobody can read by it yet: `panachain settle`, or your next command, hands out its shares.")
    elif policy.stage:
        app.output.say("It waits: `panachain settle` sends it once its time has come.")
    elif policy.lacking:
        app.output.say(
            f"{words.count(policy.lacking, 'proxy')} without a share yet: `panachain settle` hands them out."
        )
    else:
        app.output.next(f"panachain policy explain {brief}", f"panachain revoke {brief}  # takes it back")


def proxy_options(function: Function) -> Function:
    """Add the options by which a patient chooses who holds the shares of a policy."""
    options = [
        click.option("--threshold", type=click.IntRange(2, 255), help="How many proxies must help."),
        click.option(
            "--proxy",
            "proxies",
            multiple=True,
            metavar="PROXY",
            help="A proxy that gets a share; repeatable. Left out: all, limited by operator and the grantee's own.",
        ),
        click.option(
            "--any-operator", is_flag=True, help="Take the named proxies although one operator could open alone."
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@command(
    "pair",
    unchanged="a second `pair` with the same hospital replaces the first",
    examples="""
        panachain --profile me pair clinic
        panachain --profile me pair clinic --close pregnancy,alcohol
    """,
)
@click.argument("hospital")
@click.option(
    "--close",
    multiple=True,
    metavar="KIND",
    help="A kind of sensitive information that every hospital closes for you, such as hiv, pregnancy or genetics;"
    " repeatable, commas allowed. `panachain choices` shows and changes them.",
)
@click.option(
    "--emergency",
    multiple=True,
    metavar="KIND",
    help="A kind that the emergency summary holds although it is closed, such as antiretrovirals or methadone.",
)
def pair(hospital: str, close: tuple[str, ...], emergency: tuple[str, ...]) -> None:
    """Assent that HOSPITAL publishes to your records.

    The hospital gets public keys of your categories and their years, and what finds its own records under them,
    sealed to it. It can write with them, and read nothing that others wrote.
    """
    app = current()
    with app.acting(Role.PATIENT) as patient:
        paired = patient.pair(hospital, listed(close), listed(emergency))
        chosen = {"closed": named(paired.closed), "emergency": named(paired.emergency)}
        also = {name: kinds for name, kinds in chosen.items() if kinds}
        app.output.one(paired, fields=("hospital", *also), also=also, titles=TITLES)
    app.output.left_out(paired.omissions)
    app.output.say("It can add to your records from now on, and read nothing of them.")


@command(
    "unpair",
    unchanged="other pairings stayed as they were",
    examples="panachain --profile me unpair clinic",
)
@click.argument("hospital")
def unpair(hospital: str) -> None:
    """Take back the assent that HOSPITAL publishes to your records.

    What it published stays readable, as far as it is whole; what is broken of it stops nothing any more.
    """
    app = current()
    with app.acting(Role.PATIENT) as patient:
        app.output.one(patient.unpair(hospital), fields=("hospital",))
    app.output.say("It is told of no new keys, and isn't asked any more when keys change.")
    app.output.next("panachain revoke POLICY --rotate  # replaces keys that it knows")


@command(
    "grant",
    unchanged="what was granted before stayed as it was",
    after="the same command again goes on where this one stopped",
    examples="""
        panachain --profile me grant doctor --category laboratory,medications --purpose TREAT --until 30d
        panachain --profile me grant doctor --category all --year 2020-2024 --purpose TREAT --until 2027-01-31
        panachain --profile me grant doctor --category mental-health --purpose TREAT --until 8h --dry-run
    """,
)
@click.argument("grantee")
@click.option(
    "--category",
    "categories",
    required=True,
    multiple=True,
    type=Categories(special=True),
    help="What may be read; repeatable, commas allowed. `all` leaves the restricted categories out.",
)
@click.option("--year", "years", multiple=True, type=Years(), help="Only these years: 2024, 2019-2023, undated.")
@click.option(
    "--purpose", "purposes", required=True, multiple=True, type=Purposes(), help="Why, a word or a code; repeatable."
)
@click.option("--from", "starts_at", type=Moment(), help="When it begins; now if left out.")
@click.option(
    "--until",
    "expires_at",
    required=True,
    type=Moment(),
    help="When it ends, that moment excluded: a date (its first second, UTC) or a duration such as 30d.",
)
@proxy_options
@click.option("--open", "disclose", is_flag=True, help="Show purposes and categories on chain, for researchers.")
@click.option("--study", default="", metavar="ACCOUNT", help="The study that an open policy is for.")
@click.option(
    "--jitter",
    type=Duration(),
    default=0,
    help="Let the grant wait a random time, this long at most, before `panachain settle` sends it: run it daily."
    " Whoever watches the chain then can't tell by the time whom you saw. `revoke` takes it back before.",
)
@click.option(
    "--no-wait",
    is_flag=True,
    help="Don't wait for the blocks that proxies want above the policy's: `panachain settle`, or your next command,"
    " hands out the shares.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be granted, and the gas; send nothing.")
def grant(
    grantee: str,
    categories: tuple[tuple[str, ...], ...],
    years: tuple[tuple[int, ...], ...],
    purposes: tuple[Purpose, ...],
    starts_at: int | None,
    expires_at: int,
    threshold: int | None,
    proxies: tuple[str, ...],
    any_operator: bool,
    disclose: bool,
    study: str,
    jitter: int,
    no_wait: bool,
    dry_run: bool,
) -> None:
    """Let GRANTEE, a practitioner, a group or a researcher, read a part of your records.

    It covers what is published later too, until the policy ends or is revoked.
    """
    app = current()
    with app.acting(Role.PATIENT) as patient:
        policy = patient.grant(
            grantee,
            flat(categories),
            flat(years),
            purpose=list(purposes),
            starts=starts_at,
            until=expires_at,
            threshold=threshold,
            proxies=proxies,
            any_operator=any_operator,
            disclose=disclose,
            study=study,
            jitter=jitter,
            wait=not no_wait,
            dry_run=dry_run,
        )
        show_policy(app, policy)


@command("policies", examples="panachain --profile me policies --json")
def policies() -> None:
    """List the policies that you granted, with what the chain says of each, and how far each revocation has come."""
    app = current()
    with app.acting(Role.PATIENT) as patient:
        show_policies(app, patient.policies(), empty="There are no policies.")


@command(
    "reissue",
    unchanged="the old policy stands until the new one is there",
    after="the same command again goes on where this one stopped",
    examples="panachain --profile me reissue 0x52908400098527886E0F7030069857D2E4169EE7 --proxy pro-mfrggzdfmy2tq",
)
@click.argument("policy")
@proxy_options
def reissue(policy: str, threshold: int | None, proxies: tuple[str, ...], any_operator: bool) -> None:
    """Grant POLICY again with other proxies, and revoke the old one. No record is touched."""
    app = current()
    with app.acting(Role.PATIENT) as patient:
        found = app.policy(patient, policy)
        made = patient.reissue(found, threshold=threshold, proxies=proxies, any_operator=any_operator)
        show_policy(app, made)


@command(
    "revoke",
    unchanged="other policies stayed as they were",
    after="the same command again: a revocation is never lost by repeating it",
    examples="""
        panachain --profile me revoke 0x5290
        panachain --profile me revoke 0x5290 --rotate --yes
        panachain --profile me revoke 0x5290 --status
        panachain --profile me revoke 0x5290 --offline -o revocation.json
    """,
)
@click.argument("policy")
@click.option(
    "--rotate",
    is_flag=True,
    help="Also give what the policy opens new keys, grant these to the remaining grantees, and ask the hospitals to"
    " move what they published to them.",
)
@click.option("--status", is_flag=True, help="Only look how far it has come.")
@click.option("--offline", is_flag=True, help="Send nothing: write the signed revocation, which anybody may submit.")
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The new file for --offline.",
)
@click.option("--yes", is_flag=True, help="Don't ask.")
def revoke(policy: str, rotate: bool, status: bool, offline: bool, file: Path | None, yes: bool) -> None:
    """Take POLICY back.

    It is signed here and sent to every relay, node and proxy at once, whatever any of them says; it is done once the
    chain proves it. From then on honest proxies refuse; it is final once n-t+1 proxies signed that they deleted their
    key fragments (exit code 3 until then). After --rotate not even proxies that break their word can help the grantee
    to later records. What the grantee opened before can't be called back.
    """
    app = current()
    if offline is not (file is not None) or (offline and (rotate or status)):
        raise UsageError("--offline goes with -o FILE, and with neither --rotate nor --status")
    if not status and not offline:
        app.check_can_confirm(yes=yes)
    with app.acting(Role.PATIENT) as patient:
        found = app.own_policy(patient, policy)
        if file is not None:
            _write_revocation(app, patient, found, file)
            return
        if not status and not yes:
            app.confirm(_revoke_question(app, patient, found, rotate=rotate), yes=yes)
        with app.output.progress("revoke") as progress:
            report = patient.revocation(found) if status else patient.revoke(found, rotate=rotate, progress=progress)
        _show_revocation(app, report)
    _check_revoked(report, rotate=rotate, status=status)


def _write_revocation(app: App, patient: Patient, policy_id: PolicyId, file: Path) -> None:
    """Write a signed revocation into a new file."""
    from panachain.sdk import submitting

    content = submitting.sign(patient, policy_id)
    write_new(file, content)
    fields = {"schema": "panachain/revocation-file/1", "policy_id": policy_id, "file": str(file), "size": len(content)}
    app.output.one(fields)
    app.output.say("Nothing was sent. Whoever has the file can submit it, and can do nothing else with it.")
    app.output.next(f"panachain submit {file}")


def _check_revoked(report: RevocationReport, *, rotate: bool, status: bool) -> None:
    """End with exit code 3 where a revocation that was asked for isn't as far as it should be."""
    if status:
        return
    if not report.proven:
        raise PartlyDoneError(
            "the revocation was sent, and the chain doesn't prove it yet",
            hint="your next command goes on with it; panachain revoke --status shows how far it is",
        )
    if rotate and not report.rotated:
        raise PartlyDoneError(
            "no hospital is paired, so no keys were changed", hint="panachain pair, then the same again"
        )
    if not report.final:
        raise PartlyDoneError(
            f"the chain says revoked, but only {report.deleted} of the {report.needed} proxies that are needed"
            " signed the deletion",
            hint="the same command again, once more proxies answer",
        )
    if report.omissions:
        raise PartlyDoneError.of(
            report.omissions,
            done="the policy is revoked and its keys are new",
            hint="the same again once it is mended, or panachain unpair HOSPITAL",
        )


def _revoke_question(app: App, patient: Patient, policy_id: PolicyId, *, rotate: bool) -> str:
    """Return the question before a revocation: a few digits were typed, so it says whose policy they name."""
    about = ""
    # Whose policy it is helps to decide; where nobody can tell, it can be taken back all the same.
    with suppress(UnavailableError, IntegrityError):
        for view in patient.policies():
            if view.policy_id == policy_id:
                app.output.learn(view.grantee)
                who, what = app.output.person("grantee", view.grantee), app.output.text("scopes", view.scopes)
                about = f", by which {who} reads {what}"
    return words.line(f"Revoke policy {policy_id}{about}{', and give what it opens new keys' if rotate else ''}?")


def _show_revocation(app: App, report: RevocationReport) -> None:
    """Print how far a revocation has come: a line per step."""
    output = app.output
    if output.as_json or output.long:
        output.one(report)
        return
    fields = report.to_json()
    if not fields.get("shares"):
        output.one(report, fields=("policy_id", "stage"), also={"stage": revocation.stage(report.stage)})
        return
    output.table(revocation.TITLES, revocation.steps(fields))
    for reason in report.unsent:
        output.say(f"Not proven: {reason}")
    for reason in report.unreachable:
        output.say(f"No receipt: {reason}")
    _warn(app, report.policy_id, report.alarms)
    output.left_out(report.omissions)
    if report.regranted:
        output.say(f"{words.count(len(report.regranted), 'policy')} of others moved to the new keys.")
    brief = words.short(report.policy_id)
    state = "is revoked" if report.proven else "was sent its revocation, and the chain doesn't prove it yet"
    output.say(f"Policy {brief} {state}. What was opened before can't be called back by anybody.")
    if report.final and not report.rotated:
        output.next(f"panachain revoke {brief} --rotate  # closes later records to dishonest proxies")


@command(
    "settle",
    unchanged="what was finished stays as it was",
    after="the same command again, once more proxies answer",
    examples="panachain --profile me settle",
)
def settle() -> None:
    """Finish what was interrupted: shares and deletions that a proxy missed, storage transactions that aren't on chain.

    Grants that have waited long enough are sent. One that failed before it came on chain isn't: that takes the same
    grant again. A hospital's records that were sealed before their patient changed keys aren't sent either: they are
    named, until their files are uploaded again.
    """
    from panachain.sdk.hospital import Hospital
    from panachain.sdk.results.uploads import SettleReport

    app = current()
    with app.acting(Role.PATIENT, Role.HOSPITAL) as actor:
        if isinstance(actor, Hospital):
            report, partly = as_far_as_done(SettleReport, actor.settle)
            app.output.one(report, fields=("transactions",), titles={"transactions": "sent"})
            end(app, partly)
        else:
            with app.output.progress("settle") as progress:
                finished, partly = as_far_as_done(list, lambda: actor.settle(progress=progress))
            show_policies(app, finished, empty="Nothing was left to do." if partly is None else "Nothing was finished.")
            end(app, partly)


@command(
    "requests",
    examples="""
        panachain --profile me requests
        panachain --profile doctor requests --json
    """,
)
def requests() -> None:
    """List requests for access: those to you as a patient, or those that you or a colleague made as a practitioner.

    One that a practitioner made in a specialist's name says who referred; what you approve goes to the specialist.
    """
    app = current()
    with app.acting(Role.PATIENT, Role.PRACTITIONER) as actor:
        # Each sees the other side; who they are themselves, they know.
        other = "requester" if actor.role is Role.PATIENT else "patient"
        found = actor.requests()
        # A list without a referral looks as it always did; of one's own referrals it says in whose name they are.
        referred = ["referrer"] if any(one.referrer for one in found) else []
        named = ["requester"] if referred and other == "patient" else []
        app.output.many(
            found,
            empty="There are no requests.",
            columns=("id", "state", other, *named, *referred, "categories", "purpose", "note", "until"),
            more=("granted", "policy_id", "organisation", "expires_at"),
            titles={"id": "request", "expires_at": "lapses"},
        )
        show_left_out(app, found)


@command(
    "approve",
    unchanged="what was granted before stayed as it was",
    after="the same command again goes on where this one stopped",
    examples="""
        panachain --profile me approve 3
        panachain --profile me approve 3 --category laboratory --until 14d
    """,
)
@click.argument("request", metavar="ID", type=click.IntRange(0))
@click.option(
    "--category", "categories", multiple=True, type=Categories(special=True), help="Only these of those asked for."
)
@click.option("--until", "expires_at", type=Moment(), help="When the policy ends, not later than was asked for.")
def approve(request: int, categories: tuple[tuple[str, ...], ...], expires_at: int | None) -> None:
    """Grant what request ID asks for, or a part of it, or for shorter, and nothing more."""
    app = current()
    with app.acting(Role.PATIENT) as patient:
        show_policy(app, patient.approve(request, until=expires_at, categories=flat(categories)))


@command(
    "deny",
    unchanged="the request stays open unless `panachain requests` says otherwise",
    examples="panachain --profile me deny 3",
)
@click.argument("request", metavar="ID", type=click.IntRange(0))
def deny(request: int) -> None:
    """Refuse request ID, also one that can't be read."""
    app = current()
    with app.acting(Role.PATIENT) as patient:
        app.output.one(patient.deny(request), fields=("id", "state"), titles={"id": "request"})


_FAULTS = {"lied": "lies about who read what", "silent": "doesn't tell all that it signed"}


@command(
    "log",
    examples="""
        panachain --profile me log
        panachain --profile me log --policy 0x52908400098527886E0F7030069857D2E4169EE7 --json
        panachain --profile me log --record bafkreih...
        panachain --profile me log --verify
        panachain --profile me log --as fhir > audit.json
        panachain --profile me log --verify --proofs proofs/
        panachain --profile me log --report 2026 --to report.pdf
    """,
)
@click.option("--policy", metavar="POLICY", help="Only this policy.")
@click.option("--record", "records", metavar="ID", multiple=True, help="Only who could read this record; repeatable.")
@click.option("--report", "year", type=int, metavar="YEAR", help="A report of that year as PDF; needs --to.")
@click.option(
    "--to", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="With --report: where the PDF goes."
)
@click.option("--name", default="", metavar="NAME", help="With --report: your name, as it shall stand in it.")
@click.option("--with-records", is_flag=True, help="Say which records were in what was opened; looks them all up.")
@click.option("--verify", is_flag=True, help="Let each proxy prove that it left nothing out.")
@click.option("--as", "form", type=click.Choice(["csv", "fhir", "json"]), help="Write it for other programs.")
@click.option(
    "--proofs",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="With --verify: proofs as files.",
)
def log(
    policy: str | None,
    records: tuple[str, ...],
    year: int | None,
    to: Path | None,
    name: str,
    with_records: bool,
    verify: bool,
    form: str | None,
    proofs: Path | None,
) -> None:
    """Show who read what, when and why: once per opening, and refused attempts too, as the proxies signed it.

    A part of the records is what one hospital published at once of one category and year; whoever opens it can read
    all that is in it. With --record it shows who opened the part that the record lies in, also if its hospital withdrew
    it since.
    Each line tells how many proxies signed it. What fewer proxies say than it takes, and what single proxies say
    otherwise, is told beside it. Role and organisation are those that the registry has now.
    --json and --long show each receipt instead. --as writes the openings as FHIR AuditEvents (IHE BALP), CSV or JSON.

    With --verify each proxy proves that what it showed is all that its log has, and that it has one log: by what it
    proved before, by what the other proxies cosigned, and by what is anchored on the mainchain.

    With --report a PDF tells who opened what in a year, and what the proxies proved of it; it is written for you alone.
    """
    from panachain.cli import read_log
    from panachain.cli.emergency import warn_of_unreviewed
    from panachain.cli.ward import tell_of_wards
    from panachain.sdk.readings import readings

    app = current()
    if year is not None or to is not None or name:
        if policy or records or verify or form or proofs or with_records:
            raise UsageError("a report is of everything; leave the other options out", hint="--report YEAR --to FILE")
        read_log.report(app, year, to, name)
        return
    if verify or proofs:
        read_log.verify(app, policy, records, proofs)
        return
    if form:
        read_log.export(app, policy, records, form, with_records=with_records)
        return
    with app.acting(Role.PATIENT) as patient:
        from panachain.sdk.results.listings import unasked

        warn_of_unreviewed(app, patient)
        tell_of_wards(app, patient)
        chosen = app.policy(patient, policy) if policy else None
        with app.output.progress("log") as progress:
            entries = patient.receipts(chosen, records=records, progress=progress)
        lacks = bool(unasked(entries.left_out)) or any(one.reason for one in entries)
        # What moved had another place before, of which openings can't be told.
        now = " now" if entries.left_out and not lacks else ""
        whole = ", as far as could be read and asked" if lacks else ""
        nobody = f"Nobody has opened what that lies in{now}{whole}." if records else f"Nobody has read anything{whole}."
        # Before the lines: nobody takes a log for whole that isn't.
        for entry in {(entry.proxy, entry.kind): entry for entry in entries if entry.reason}.values():
            app.output.warn(f"proxy {entry.proxy} {_FAULTS[entry.kind]}: {entry.reason}")
        if app.output.as_json or app.output.long:
            app.output.many(entries, empty=nobody)
            show_left_out(app, entries)
            return
        show_left_out(app, entries)
        found = patient.auditing.named(readings(entries), records=with_records)
        show_left_out(app, found)
        show_readings(app.output, found, empty=nobody)
    if late := [reading for reading in found if reading.late]:
        app.output.warn(
            f"{words.were(len(late), 'opening')} served by a proxy when the policy didn't allow it; the proxy"
            f" signed that. Next: panachain convict {words.short(late[0].policy_id)}"
        )


@command(
    "convict",
    unchanged="policies stayed as they were",
    after="panachain log shows which services were late",
    examples="panachain --profile me convict 0x52908400098527886E0F7030069857D2E4169EE7",
)
@click.argument("policy")
def convict(policy: str) -> None:
    """Submit each receipt by which a proxy served POLICY when it wasn't allowed; the contract suspends the proxy."""
    app = current()
    with app.acting(Role.PATIENT) as patient:
        found = app.policy(patient, policy)
        sent = patient.convict(found)
    app.output.one(sent)
    if not sent.transactions:
        app.output.say("No receipt convicts anybody: no proxy served this policy when it wasn't allowed.")


def _several(value: object) -> Sequence[object]:
    return list(value) if isinstance(value, list | tuple | dict) else ()
