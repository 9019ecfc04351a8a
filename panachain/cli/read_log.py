"""What `log` does beside showing: having proxies prove it, and writing it for other programs.

Never holds a key: the SDK's Patient does. Follows docs/spec/cli.md and docs/spec/log.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from panachain.cli import words
from panachain.cli.app import App
from panachain.cli.blocked import show_left_out
from panachain.cli.output import put
from panachain.errors import IntegrityError, PartlyDoneError, UsageError
from panachain.model.actors import Role
from panachain.plain import json_line
from panachain.private_files import make_private_folder, write_private

if TYPE_CHECKING:
    from panachain.sdk.report_pdf import Report
    from panachain.sdk.results.log import LogProof


def verify(app: App, policy: str | None, records: Collection[str], folder: Path | None) -> None:
    """Have the proxies prove their logs, and show what each of them proved.

    Raises:
        IntegrityError: one of them contradicts its own log.
        PartlyDoneError: one of them proved nothing.
    """
    if records:
        raise UsageError("--verify is of whole policies; leave --record out", hint="panachain log --verify")
    with app.acting(Role.PATIENT) as patient:
        chosen = app.policy(patient, policy) if policy else None
        with app.output.progress("proofs") as progress:
            proofs = patient.auditing.verify(chosen, progress=progress)
        if folder is not None:
            from panachain.sdk.log_exports import proof_files

            written = 0
            make_private_folder(folder)
            domain = patient.network.mainchain.log.domain
            for file in proof_files(patient.receipts(chosen), proofs, domain=domain):
                write_private(folder / file.name, file.content)
                written += file.name.endswith(".tlog-proof")
            app.output.say(f"{words.count(written, 'proof')} written to {folder}.")
        app.output.many(
            proofs,
            empty="There is no policy of which anything could be proven.",
            columns=("policy_id", "proxy", "outcome", "receipts", "seen_by"),
            also=_told,
            titles={"outcome": "proved", "seen_by": "cosigned"},
        )
        show_left_out(app, proofs)
    _conclude(app, proofs)


def export(app: App, policy: str | None, records: Collection[str], form: str, *, with_records: bool = False) -> None:
    """Write the openings as FHIR AuditEvents, CSV or JSON to standard output."""
    from panachain.sdk.log_exports import audit_events, rows

    with app.acting(Role.PATIENT) as patient:
        chosen = app.policy(patient, policy) if policy else None
        with app.output.progress("log") as progress:
            found = patient.log(chosen, records=records, progress=progress)
        readings = list(found)
        if with_records:
            named = patient.auditing.named(readings, records=True)
            show_left_out(app, named)
            readings = list(named)
        if form == "fhir":
            text = json_line(audit_events(readings, patient.address), indent=2) + "\n"
        elif form == "csv":
            text = rows(readings)
        else:
            text = json_line([one.to_json() for one in readings], indent=2) + "\n"
        put(text)
        show_left_out(app, found)


def report(app: App, year: int | None, to: Path | None, name: str) -> None:
    """Write a patient's report of a year."""
    year, to = wanted(year, to)
    with app.acting(Role.PATIENT) as patient:
        with app.output.progress("log") as progress:
            made = patient.auditing.report(year, name=name, progress=progress)
        write_report(app, made, to)


def wanted(year: int | None, to: Path | None) -> tuple[int, Path]:
    """Return the year and file of a report.

    Raises:
        UsageError: one of them wasn't named, or the file is there already.
    """
    if year is None or to is None:
        raise UsageError("a report needs a year and a file", hint="--report YEAR --to FILE")
    if to.exists():
        raise UsageError(f"{to} is there already, and nothing was written", hint="name another file")
    return year, to


def write_report(app: App, made: Report, to: Path) -> None:
    """Write a report that only its owner reads, and say what it lacks."""
    write_private(to, made.pdf())
    result = {"schema": "panachain/report/1", "year": made.year, "openings": made.openings, "file": str(to)}
    app.output.one(result | {"complete": made.complete})
    if made.openings > made.shown:
        app.output.warn(f"it shows {made.shown:,} of {made.openings:,} openings; --as csv writes all")
    if not made.complete:
        app.output.warn("it may not be complete: what couldn't be proven or looked at stands in it")


def _told(proof: Mapping[str, object]) -> Mapping[str, object]:
    size, cosigned, witnesses = proof.get("size"), proof.get("cosigned"), proof.get("witnesses")
    count = len(witnesses) if isinstance(witnesses, list | tuple) else 0
    if proof.get("proven"):
        seen = f"up to {cosigned} of {size}, by {words.count(count, 'other')}" if count else "by nobody yet"
        return {"outcome": "nothing is left out", "seen_by": seen}
    return {"outcome": "contradicts itself" if proof.get("lied") else "nothing", "seen_by": ""}


def _conclude(app: App, proofs: Collection[LogProof]) -> None:
    faults = [proof for proof in proofs if not proof.proven]
    for proof in faults:
        app.output.warn(f"proxy {proof.proxy}, policy {words.short(proof.policy_id)}: {proof.reason}")
    if lied := [proof for proof in faults if proof.lied]:
        raise IntegrityError(
            f"{words.count(len({proof.proxy for proof in lied}), 'proxy')} can't prove what it showed; what the others "
            "proved counts",
            hint="keep what it said, tell the registrar; panachain log shows what all of them signed",
        )
    if faults:
        raise PartlyDoneError(
            f"{words.count(len(faults), 'log')} of {len(proofs)} couldn't be proven; what the others proved counts",
            hint="panachain log --verify asks again",
        )
    if proofs:
        app.output.say("Each proxy proved that it left nothing out.")
