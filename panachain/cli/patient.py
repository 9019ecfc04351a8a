"""What patients type: `pair`, `grant`, `policies`, `reissue`, `revoke`, `settle`, `requests`, `approve` and more.

Never holds a key: the SDK's Patient does. Follows docs/spec/cli.md.
"""

from __future__ import annotations

import click

from panachain.cli.app import Function, command, current
from panachain.cli.values import Categories, Duration, Moment, Years, flat
from panachain.errors import PartlyDoneError
from panachain.model.actors import PolicyId, Role
from panachain.model.scope import Purpose

PURPOSES = click.Choice([purpose.value for purpose in Purpose], case_sensitive=False)
POLICY_COLUMNS = ("policy_id", "status", "stage", "patient", "grantee", "scopes", "purposes", "starts_at", "expires_at")


def proxy_options(function: Function) -> Function:
    """Add the options by which a patient chooses who holds the shares of a policy."""
    options = [
        click.option("--threshold", type=click.IntRange(2, 255), help="How many proxies must help."),
        click.option(
            "--proxy",
            "proxies",
            multiple=True,
            metavar="PROXY",
            help="Who holds a share; repeatable. Left out: all, but one operator's and the grantee's own are limited.",
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
    examples="panachain --profile ada pair city-hospital",
)
@click.argument("hospital")
def pair(hospital: str) -> None:
    """Assent that HOSPITAL publishes to your lanes.

    The hospital gets the lanes' public keys and its own locator keys, sealed to it. It can write with them,
    and read nothing that others wrote.
    """
    app = current()
    with app.acting(Role.PATIENT) as patient:
        app.output.one(patient.pair(hospital))


@command(
    "grant",
    unchanged="what was granted before stayed as it was",
    after="the same command again goes on where this one stopped",
    examples="""
        panachain --profile ada grant dr-lee --category laboratory,medications --purpose TREAT --until 30d
        panachain --profile ada grant dr-lee --category all --year 2020-2024 --purpose TREAT --until 2027-01-31
        panachain --profile ada grant dr-lee --category mental-health --purpose TREAT --until 8h --dry-run
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
@click.option("--purpose", "purposes", required=True, multiple=True, type=PURPOSES, help="Why; repeatable.")
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
    help="Let the grant wait a random time, this long at most, before `panachain settle` sends it: run it daily. Who"
    " watches the chain then can't tell by the time whom you saw. `revoke` takes it back before.",
)
@click.option("--dry-run", is_flag=True, help="Show lanes and gas; send nothing.")
def grant(
    grantee: str,
    categories: tuple[tuple[str, ...], ...],
    years: tuple[tuple[int, ...], ...],
    purposes: tuple[str, ...],
    starts_at: int | None,
    expires_at: int,
    threshold: int | None,
    proxies: tuple[str, ...],
    any_operator: bool,
    disclose: bool,
    study: str,
    jitter: int,
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
            purpose=[Purpose.parse(purpose) for purpose in purposes],
            starts_at=starts_at,
            expires_at=expires_at,
            threshold=threshold,
            proxies=proxies,
            any_operator=any_operator,
            disclose=disclose,
            study=study,
            jitter=jitter,
            dry_run=dry_run,
        )
    app.output.one(policy)
    if jitter and not dry_run:
        app.output.say("It waits: `panachain settle` sends it once its time has come.")
    elif policy.lacking:
        app.output.say(f"{policy.lacking} proxies have no share yet: `panachain settle` hands them out.")
    if dry_run:
        app.output.say("Dry run: nothing was sent.")


@command("policies", examples="panachain --profile ada policies --json")
def policies() -> None:
    """List the policies that you granted, with what the chain says of each, and how far each revocation has come."""
    app = current()
    with app.acting(Role.PATIENT) as patient:
        app.output.many(patient.policies(), empty="There are no policies.", columns=POLICY_COLUMNS)


@command(
    "reissue",
    unchanged="the old policy stands until the new one is there",
    after="the same command again goes on where this one stopped",
    examples="panachain --profile ada reissue 0x52908400098527886E0F7030069857D2E4169EE7 --proxy pro-mfrggzdfmy2tq",
)
@click.argument("policy")
@proxy_options
def reissue(policy: str, threshold: int | None, proxies: tuple[str, ...], any_operator: bool) -> None:
    """Grant POLICY again with other proxies, and revoke the old one. No record is touched."""
    app = current()
    with app.acting(Role.PATIENT) as patient:
        made = patient.reissue(PolicyId(policy), threshold=threshold, proxies=proxies, any_operator=any_operator)
    app.output.one(made)


@command(
    "revoke",
    unchanged="other policies stayed as they were",
    after="the same command again: a revocation is never lost by repeating it",
    examples="""
        panachain --profile ada revoke 0x52908400098527886E0F7030069857D2E4169EE7
        panachain --profile ada revoke 0x52908400098527886E0F7030069857D2E4169EE7 --rotate --yes
        panachain --profile ada revoke 0x52908400098527886E0F7030069857D2E4169EE7 --status
    """,
)
@click.argument("policy")
@click.option(
    "--rotate",
    is_flag=True,
    help="Also give the policy's lanes a new generation, grant it to the remaining grantees, and ask the hospitals to"
    " re-wrap what they published.",
)
@click.option("--status", is_flag=True, help="Only look how far it has come.")
@click.option("--yes", is_flag=True, help="Don't ask.")
def revoke(policy: str, rotate: bool, status: bool, yes: bool) -> None:
    """Take POLICY back.

    From the next block on honest proxies refuse; it is final once n-t+1 proxies signed that they deleted their
    key fragments (exit code 3 until then). After --rotate not even proxies that break their word can help the grantee
    to later records. What the grantee opened before can't be called back.
    """
    app = current()
    if status:
        with app.acting(Role.PATIENT) as patient:
            app.output.one(patient.revocation(PolicyId(policy)))
        return
    app.confirm(f"Revoke policy {policy}{' and rotate its lanes' if rotate else ''}?", yes=yes)
    with app.acting(Role.PATIENT) as patient:
        report = patient.revoke(PolicyId(policy), rotate=rotate)
    app.output.one(report)
    app.output.say("What was opened before the revocation can't be called back.")
    if rotate and not report.rotated:
        raise PartlyDoneError(
            "no hospital is paired, so no lane was rotated", hint="panachain pair, then the same again"
        )
    if not report.final:
        raise PartlyDoneError(
            f"the chain says revoked, but only {report.deleted} of the {report.needed} proxies that are needed"
            " signed the deletion",
            hint="the same command again, once more proxies answer",
        )


@command(
    "settle",
    unchanged="what was finished stays as it was",
    after="the same command again, once more proxies answer",
    examples="panachain --profile ada settle",
)
def settle() -> None:
    """Finish what was interrupted: shares and deletions that a proxy missed, storage transactions that aren't on chain.

    Grants that have waited long enough are sent. One that failed before it came on chain isn't: that takes the same
    grant again.
    """
    app = current()
    with app.acting(Role.PATIENT, Role.HOSPITAL) as actor:
        done = actor.settle()
        if isinstance(done, int):
            app.output.one({"schema": "panachain/settled/1", "transactions": done})
        else:
            app.output.many(done, empty="Nothing was left to do.", columns=POLICY_COLUMNS)


@command(
    "requests",
    examples="""
        panachain --profile ada requests
        panachain --profile dr-lee requests --json
    """,
)
def requests() -> None:
    """List requests for access: those to you as a patient, or those that you made as a practitioner."""
    app = current()
    with app.acting(Role.PATIENT, Role.PRACTITIONER) as actor:
        app.output.many(actor.requests(), empty="There are no requests.")


@command(
    "approve",
    unchanged="what was granted before stayed as it was",
    after="the same command again goes on where this one stopped",
    examples="""
        panachain --profile ada approve 3
        panachain --profile ada approve 3 --category laboratory --until 14d
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
        app.output.one(patient.approve(request, expires_at=expires_at, categories=flat(categories)))


@command(
    "deny",
    unchanged="the request stays open unless `panachain requests` says otherwise",
    examples="panachain --profile ada deny 3",
)
@click.argument("request", metavar="ID", type=click.IntRange(0))
def deny(request: int) -> None:
    """Refuse request ID."""
    app = current()
    with app.acting(Role.PATIENT) as patient:
        app.output.one(patient.deny(request))


@command(
    "log",
    examples="""
        panachain --profile ada log
        panachain --profile ada log --policy 0x52908400098527886E0F7030069857D2E4169EE7 --json
    """,
)
@click.option("--policy", metavar="POLICY", help="Only this policy.")
def log(policy: str | None) -> None:
    """Show who read what: what the proxies signed, permitted and denied."""
    app = current()
    with app.acting(Role.PATIENT) as patient:
        entries = patient.log(PolicyId(policy) if policy else None)
        app.output.many(entries, empty="Nobody has read anything.")


@command(
    "convict",
    unchanged="policies stayed as they were",
    after="panachain log shows which services were late",
    examples="panachain --profile ada convict 0x52908400098527886E0F7030069857D2E4169EE7",
)
@click.argument("policy")
def convict(policy: str) -> None:
    """Submit each receipt by which a proxy served POLICY when it wasn't allowed; the contract suspends the proxy."""
    app = current()
    with app.acting(Role.PATIENT) as patient:
        sent = patient.convict(PolicyId(policy))
    app.output.one({"schema": "panachain/conviction/1", "policy_id": policy, "transactions": sent})
