"""What a patient has erased: asking for it, and what came of it.

Says before it is asked for what can't be undone and what nobody can reach. Follows ADR 59.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.model.actors import Role
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _, gettext
from panachain.portal.jobs import JobProgress
from panachain.portal.pages import Page
from panachain.portal.pages.patient_records import KEPT, Records, known_record
from panachain.portal.paging import part_of
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.sdk.patient import Patient
from panachain.sdk.results.erasures import AskErasureReport, DroppedShares, Erasures

PAGES: Final = (Page("/erasures/own", N_("Erasures"), frozenset({Role.PATIENT}), 81),)
STATES: Final = {
    "asked": N_("asked for"),
    "refused": N_("refused by the hospital"),
    "erased": N_("erased; the hospital hasn't attested it yet"),
    "attested": N_("erased, and attested on chain"),
    "lapsed": N_("it lies elsewhere now: ask again"),
}

router = APIRouter()
_Patient = Annotated[Seat, Depends(seated(Role.PATIENT))]
_Form = Annotated[Form, Depends(checked_form)]


@router.get("/erasures/own")
async def erasures(request: Request, seat: _Patient, page: str = "1") -> Response:
    """Show what was asked for, refused, erased and attested, as far as it was looked for."""
    kept: Erasures | None = seat.keep.get("erasures")
    if kept is None:
        return _looking(seat)
    return render(
        request,
        "patient/erasures.html",
        title=_("Erasures"),
        part=part_of(list(reversed(kept.records)), page),
        omissions=kept.omissions,
        states={name: gettext(text) for name, text in STATES.items()},
        idle=kept.idle,
    )


@router.post("/erasures/own/look")
async def look(seat: _Patient, form: _Form) -> Response:
    """Look again."""
    return _looking(seat)


@router.post("/erasures/own/ask")
async def ask(request: Request, seat: _Patient, form: _Form) -> Response:
    """Ask the hospital of one record to erase it."""
    kept: Records | None = seat.keep.get(KEPT)
    if kept is None:
        return to("/records")
    record = known_record(kept, form["record"])
    if not confirmed(request, form):
        return confirm(
            request,
            title=_("Ask to erase the record for ever"),
            sentences=[
                _(
                    "The hospital %(who)s is asked to delete it from all its stores, with its files.",
                    who=seat.names.of(record.info.hospital),
                ),
                _("It can't be undone, and the hospital publishes it no more, newer versions of it neither."),
                _("The hospital may refuse, if it must keep it, and says why."),
                _("Whoever opened it before keeps what they saw. Look first who that was."),
                _("Links and exports that you made hold copies of their own."),
            ],
            fields={"record": form["record"]},
            button=_("Ask the hospital"),
            danger=True,
            back=f"/records/{form['record']}",
        )

    def work(patient: Patient, progress: JobProgress) -> AskErasureReport:
        progress.stage(_("The hospital is told"))
        report = patient.erasures.ask([record.info.header_cid])
        seat.put("erasures", None)
        return report

    return to(seat.start(_("Asking to erase a record"), work, template="patient/erasure_asked.html"))


@router.post("/erasures/own/end")
async def end(request: Request, seat: _Patient, form: _Form) -> Response:
    """End the grants in whose lanes nothing is left, and have the proxies delete their shares."""
    if not confirmed(request, form):
        return confirm(
            request,
            title=_("End grants that open nothing any more"),
            sentences=[
                _("All that these grants opened is erased. They are taken back, and the proxies delete their shares."),
                _("The proxies' logs are asked afterwards whether the shares are gone."),
                _("What hospitals publish there later isn't granted to anybody any more: grant it anew if you want."),
            ],
            fields={},
            button=_("End them"),
            danger=True,
            back="/erasures/own",
        )

    def work(patient: Patient, progress: JobProgress) -> DroppedShares:
        progress.stage(_("The chain is told, and each proxy"))
        seat.put("erasures", None)
        return patient.erasures.drop_shares()

    return to(seat.start(_("Ending grants"), work, template="patient/shares_dropped.html"))


def _looking(seat: Seat) -> Response:
    def work(patient: Patient, progress: JobProgress) -> Erasures:
        progress.stage(_("Your records are looked through"))
        found = patient.erasures.all()
        seat.put("erasures", found)
        return found

    return to(
        seat.start(_("Looking for erasures"), work, template="patient/erasures_looked.html", path="/erasures/own")
    )
