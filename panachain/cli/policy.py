"""What patients and practitioners type about one policy: `policy explain`, `policy export`, `policy import`.

Never prints anything but the document on standard output when it exports. Follows docs/spec/cli.md and
docs/spec/consent.md.
"""

from __future__ import annotations

from pathlib import Path

import click

from panachain.cli.app import LazyGroup, command, current
from panachain.cli.files import read_file, write_new
from panachain.cli.output import put
from panachain.cli.values import Moment
from panachain.model.actors import Role
from panachain.plain import json_line

MAX_FILE = 1 << 20
"""Bytes of a Consent that is read."""


@click.group(
    "policy",
    cls=LazyGroup,
    epilog="""
        panachain --profile me policy explain 0x5290
        panachain --profile me policy export 0x5290 --output consent.json
        panachain --profile me policy import consent.json --grantee doctor --until 30d --dry-run
    """,
)
def policy() -> None:
    """Say what a policy allows, and carry it as a FHIR Consent."""


@command(
    "explain",
    examples="""
        panachain --profile me policy explain 0x5290
        panachain --profile doctor policy explain me --json
    """,
)
@click.argument("policy_id", metavar="POLICY")
def explain(policy_id: str) -> None:
    """Say what POLICY allows, and what of it mathematics holds, what honest proxies hold, and what nobody holds."""
    from panachain.sdk import consents

    app = current()
    with app.acting(Role.PATIENT, Role.PRACTITIONER, Role.RESEARCHER) as actor:
        found = consents.explain(actor, app.policy(actor, policy_id))
    if app.output.as_json:
        app.output.one(found)
    else:
        app.output.prose(found.text())


@command(
    "export",
    examples="""
        panachain --profile me policy export 0x5290 > consent.json
        panachain --profile me policy export 0x5290 --output consent.json
    """,
)
@click.argument("policy_id", metavar="POLICY")
@click.option(
    "--output", "file", type=click.Path(path_type=Path), metavar="FILE", help="A new file instead of standard output."
)
def export(policy_id: str, file: Path | None) -> None:
    """Print POLICY as a FHIR R4 Consent (IHE PCF): one JSON document.

    It names patient, grantee and categories in the open: keep it where you keep records.
    """
    from panachain.sdk import consents

    app = current()
    with app.acting(Role.PATIENT, Role.PRACTITIONER, Role.RESEARCHER) as actor:
        found = app.policy(actor, policy_id)
        document = consents.export_consent(actor, found)
    if file is None:
        put(json_line(document, indent=None if app.output.as_json else 2) + "\n")
        return
    content = json_line(document, indent=2).encode() + b"\n"
    write_new(file, content)
    app.output.one(
        {
            "schema": "panachain/consent-file/1",
            "policy_id": found,
            "file": str(file),
            "size": len(content),
            "status": document["status"],
        }
    )


@command(
    "import",
    unchanged="what was granted before stayed as it was",
    after="panachain policies shows which policies were made; the same Consent again makes new ones",
    examples="""
        panachain --profile me policy import consent.json --dry-run
        panachain --profile me policy import consent.json --grantee doctor --until 30d
    """,
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--grantee", metavar="NAME", help="Who the recipient is, if the Consent names nobody of this network.")
@click.option("--until", "expires_at", type=Moment(), help="When it ends, if the Consent has no end or a later one.")
@click.option("--dry-run", is_flag=True, help="Show the policies; send nothing.")
def import_(file: Path, grantee: str | None, expires_at: int | None, dry_run: bool) -> None:
    """Grant what the FHIR R4 Consent in FILE permits, where it can be enforced.

    Never grants more than it says. What can't be enforced is named by its place, and nothing is granted.
    """
    from panachain.cli.patient import show_policies
    from panachain.consent.fhir_consent import from_consent, read_consent
    from panachain.sdk import consents

    app = current()
    document = read_consent(read_file(file, MAX_FILE + 1))
    # Before the passphrase is asked: what can't be enforced needs no key to be refused.
    from_consent(document)
    with app.acting(Role.PATIENT) as patient:
        plan, made = consents.import_consent(patient, document, grantee=grantee, until=expires_at, dry_run=dry_run)
        show_policies(app, made, empty="")
    if plan.excepted:
        app.output.say(f"Left out because the Consent denies it: {', '.join(plan.excepted)}.")
    for note in plan.notes:
        app.output.say(note)
    if dry_run:
        app.output.say("Dry run: nothing was sent.")


policy.add_command(explain)
policy.add_command(export)
policy.add_command(import_)
