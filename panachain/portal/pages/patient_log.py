"""The read log: who read what of a patient's, when and why, refused attempts too, each with the receipts that prove it.

Asks the proxies once, and keeps with the seat what they told. Believes no proxy. Follows design section 8 and
docs/spec/proxy.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.model.actors import Role
from panachain.plain import json_line
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _
from panachain.portal.jobs import JobProgress
from panachain.portal.pages import Page
from panachain.portal.pages.patient_choosing import day_of
from panachain.portal.pages.patient_grants import own_policy
from panachain.portal.paging import Part, part_of
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.sdk.log_exports import audit_events, rows
from panachain.sdk.patient import Patient
from panachain.sdk.readings import Reading, readings
from panachain.sdk.results.listings import LeftOut
from panachain.sdk.results.log import LIED, ConvictionReport, LogEntry, LogProof
from panachain.sdk.results.revocations import receipt_json

PAGES: Final = (Page("/log", N_("Who read"), frozenset({Role.PATIENT}), 40),)
KEPT: Final = "log"
"""Under which name a seat keeps it."""

router = APIRouter()
Sitting = Annotated[Seat, Depends(seated(Role.PATIENT))]
Filled = Annotated[Form, Depends(checked_form)]


@dataclass(frozen=True)
class Log:
    """What the proxies told, and when they were asked."""

    entries: Sequence[LogEntry]
    readings: Sequence[Reading]
    """Each opening once, the newest first, with what this machine calls the reader."""
    left_out: tuple[LeftOut, ...]
    at: int

    @property
    def faults(self) -> list[LogEntry]:
        """One line for each proxy that lied or was silent."""
        return list({(entry.proxy, entry.kind): entry for entry in self.entries if entry.reason}.values())

    @property
    def lies(self) -> list[LogEntry]:
        """Those that lied."""
        return [entry for entry in self.faults if entry.kind == LIED]

    def number_of(self, reading: Reading) -> int:
        """Return the place of a reading in the log, from the oldest on: it stays as more are read."""
        return len(self.readings) - self.readings.index(reading)

    def receipts_of(self, reading: Reading) -> list[LogEntry]:
        """Return the lines that one reading was made of."""
        return [
            entry
            for entry in self.entries
            if entry.policy_id == reading.policy_id
            and entry.requester == reading.requester
            and entry.purpose == reading.purpose
            and reading.at <= entry.at <= reading.ended_at
            and entry.kind == ("reencrypted" if reading.permitted else "denied")
        ]


def ask(patient: Patient, progress: JobProgress) -> Log:
    """Ask the proxies for what they signed."""
    progress.stage(_("The proxies of your grants are asked what they signed"))
    entries = patient.receipts(progress=progress)
    progress.stage(_("The registries are asked who the readers are"))
    named = patient.auditing.named(readings(entries))
    return Log(entries, named[::-1], entries.left_out, int(patient.network.clock()))


def is_doubtful(reading: Reading) -> bool:
    """Tell whether the proxies don't agree on a reading, or fewer of them signed it than an opening takes."""
    return bool(reading.dissents or reading.unconfirmed)


def _about(reading: Reading) -> tuple[str, ...]:
    return reading.who, reading.requester, reading.organisation_name, reading.organisation


@dataclass(frozen=True)
class Wanted:
    """What of the log is shown."""

    who: str = ""
    """A part of a name, of an organisation or of an address."""
    category: str = ""
    since: str = ""
    """The first day, as a date; empty for any."""
    until: str = ""
    """The last day."""
    only: str = ""
    """`refused`, `late` or `doubtful`; empty for all."""
    policy: str = ""

    def chosen(self, found: Iterable[Reading]) -> list[Reading]:
        """Return the readings that are wanted.

        Raises:
            UsageError: a day is none.
        """
        first, last = day_of(self.since), day_of(self.until, later=1)
        name = self.who.strip().casefold()
        return [
            reading
            for reading in found
            if (not name or any(name in text.casefold() for text in _about(reading)))
            and (not self.category or any(what.partition("/")[0] == self.category for what in reading.what))
            and (first is None or reading.at >= first)
            and (last is None or reading.at < last)
            and (self.only != "refused" or not reading.permitted)
            and (self.only != "late" or reading.late)
            and (self.only != "doubtful" or is_doubtful(reading))
            and (not self.policy or reading.policy_id == self.policy)
        ]


@dataclass(frozen=True)
class Shown:
    """One page of the log."""

    part: Part[Reading]
    wanted: Wanted
    categories: Sequence[str]
    """That were read at all."""
    log: Log

    @property
    def base(self) -> str:
        """The address of this choice, without the number of the page."""
        chosen = {name: value for name, value in asdict(self.wanted).items() if value}
        return f"/log?{urlencode(chosen)}" if chosen else "/log"


def shown(log: Log, wanted: Wanted, page: str = "1") -> Shown:
    """Return one page of the log."""
    words = dict.fromkeys(what.partition("/")[0] for reading in log.readings for what in reading.what)
    return Shown(part_of(wanted.chosen(log.readings), page), wanted, sorted(words), log)


def _asking(seat: Seat, wanted: Wanted) -> Response:
    def work(patient: Patient, progress: JobProgress) -> Shown:
        log = ask(patient, progress)
        seat.put(KEPT, log)
        return shown(log, wanted)

    # What it shows is the page itself, and its place in the navigation.
    return to(seat.start(_("Asking who read"), work, template="patient/log.html", path="/log"))


@router.get("/log")
async def log(
    request: Request,
    seat: Sitting,
    who: str = "",
    category: str = "",
    since: str = "",
    until: str = "",
    only: str = "",
    policy: str = "",
    page: str = "1",
) -> Response:
    """Show who read, with filters; the proxies are asked if they weren't yet."""
    wanted = Wanted(who[:100], category, since, until, only, policy)
    kept: Log | None = seat.keep.get(KEPT)
    if kept is None:
        return _asking(seat, wanted)
    return render(request, "patient/log.html", result=shown(kept, wanted, page))


@router.post("/log/again")
async def ask_again(seat: Sitting, form: Filled) -> Response:
    """Ask the proxies anew."""
    del form
    return _asking(seat, Wanted())


@router.post("/log/verify")
async def verify(seat: Sitting, form: Filled) -> Response:
    """Have each proxy prove that what it showed is all that its log has."""
    del form

    def work(patient: Patient, progress: JobProgress) -> Sequence[LogProof]:
        progress.stage(_("Each proxy proves its log"))
        return patient.auditing.verify(progress=progress)

    return to(seat.start(_("Proving the log"), work, template="patient/proven.html"))


@router.get("/log/audit.json")
async def audit_events_file(seat: Sitting) -> Response:
    """Give all readings as FHIR AuditEvents."""
    kept: Log | None = seat.keep.get(KEPT)
    if kept is None:
        return to("/log")
    return _file(json_line(audit_events(kept.readings, seat.profile.address), indent=2), "audit.json")


@router.get("/log/readings.csv")
async def readings_file(seat: Sitting) -> Response:
    """Give all readings as CSV."""
    kept: Log | None = seat.keep.get(KEPT)
    return to("/log") if kept is None else _file(rows(kept.readings), "readings.csv")


def _file(text: str, name: str) -> Response:
    kind = "text/csv; charset=utf-8" if name.endswith(".csv") else "application/fhir+json"
    return Response(text, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _reading(seat: Seat, number: str) -> tuple[Log, Reading] | None:
    """Return one reading by its place in the log, from the oldest on; None if there is none."""
    kept: Log | None = seat.keep.get(KEPT)
    if kept is None or not (number.isascii() and number.isdigit() and len(number) < 9):
        return None
    place = len(kept.readings) - int(number)
    return (kept, kept.readings[place]) if 0 <= place < len(kept.readings) else None


@router.get("/log/{number}")
async def one_reading(request: Request, seat: Sitting, number: str) -> Response:
    """Show the proof of one reading: who signed what."""
    found = _reading(seat, number)
    if found is None:
        return to("/log")
    kept, reading = found
    return render(
        request,
        "patient/reading.html",
        reading=reading,
        receipts=kept.receipts_of(reading),
        number=int(number),
        at=kept.at,
    )


@router.get("/log/{number}/receipts.json")
async def receipts(seat: Sitting, number: str) -> Response:
    """Give the signed receipts of one reading, so that anybody can check them."""
    found = _reading(seat, number)
    if found is None:
        return to("/log")
    kept, reading = found
    signed = [receipt_json(entry.receipt) for entry in kept.receipts_of(reading) if entry.receipt is not None]
    document = {"schema": "panachain/receipts/1", "reading": reading.to_json(), "receipts": signed}
    return Response(
        json_line(document, indent=2),
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="reading-{int(number)}.json"'},
    )


@router.post("/log/convict")
async def convict(request: Request, seat: Sitting, form: Filled) -> Response:
    """Submit what convicts proxies that served a grant when it wasn't allowed."""
    wanted = own_policy(form["policy"])
    if not confirmed(request, form):
        return confirm(
            request,
            title=_("Submit the evidence"),
            sentences=[
                _("Each receipt by which a proxy served this grant when it wasn't allowed goes to the contract."),
                _("The contract suspends such a proxy. Everybody can see that it was convicted, and of which policy."),
            ],
            fields={"policy": wanted},
            button=_("Submit it"),
            danger=True,
            back="/log",
        )

    def work(patient: Patient, progress: JobProgress) -> ConvictionReport:
        progress.stage(_("The evidence goes to the contract"))
        return patient.convict(wanted)

    return to(seat.start(_("Submitting evidence"), work, template="patient/convicted.html"))
