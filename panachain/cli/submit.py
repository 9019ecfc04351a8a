"""`submit FILE`: anybody sends a patient's signed revocation; no profile and no key is needed.

Never shows anything of the file before its signature is checked. Follows docs/spec/cli.md and docs/spec/formats.md.
"""

from __future__ import annotations

from pathlib import Path

import click

from panachain.cli import words
from panachain.cli.app import command, current
from panachain.cli.files import read_file
from panachain.errors import PartlyDoneError


@command(
    "submit",
    unchanged="the file stays as it is, and counts for ever",
    after="the same command again, here or on another machine",
    examples="panachain submit revocation.json",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def submit(file: Path) -> None:
    """Send the signed revocation in FILE to every relay, node and proxy of the network.

    `panachain revoke --offline` wrote it. Exit code 3 until the chain proves it.
    """
    from panachain.consent.revocation_file import MAX_SIZE
    from panachain.sdk import submitting

    app = current()
    content = read_file(file, MAX_SIZE + 1)
    with app.network() as network:
        report = submitting.submit(network, content)
    app.output.one(report, fields=("policy_id", "stage"))
    for reason in report.unsent:
        app.output.say(f"Not proven: {reason}")
    if not report.proven:
        raise PartlyDoneError(
            "the revocation was sent, and the chain doesn't prove it yet", hint="the same again later"
        )
    app.output.say(f"{words.count(report.deleted, 'proxy')} signed that they deleted their shares.")
    app.output.say("The policy is revoked. What was opened before can't be called back by anybody.")
