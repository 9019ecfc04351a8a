"""What patients ask a hospital to erase: doing it, or saying why not; and what was erased.

Says before it is done what can't be undone. A record of the hospital's own accord is erased at the command line, which
takes whole envelopes. Follows ADR 59.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.model.actors import Role
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _, ngettext
from panachain.portal.jobs import JobProgress
from panachain.portal.pages import Page
from panachain.portal.paging import PER_PAGE, part_of
from panachain.portal.refusals import RefusedError
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.records.statements import MAX_WHY
from panachain.sdk.hospital import Hospital
from panachain.sdk.results.erasures import EraseReport, Erasures

PAGES: Final = (Page("/erasures", N_("Erasures"), frozenset({Role.HOSPITAL}), 55),)

router = APIRouter()
_Hospital = Annotated[Seat, Depends(seated(Role.HOSPITAL))]
_Form = Annotated[Form, Depends(checked_form)]


@router.get("/erasures")
async def erasures(request: Request, seat: _Hospital, page: int = 1) -> Response:
    """List what was erased, and what of the wishes was found when they were looked for."""
    done = await seat.run(lambda hospital: hospital.erasures.all())
    part = part_of(list(reversed(done)), page, size=PER_PAGE)
    unfinished = sum(one.state != "attested" for one in done)
    return render(
        request,
        "hospital/erasures.html",
        title=_("Erasures"),
        asked=seat.keep.get("wishes"),
        done=part.items,
        paging=part,
        unfinished=unfinished,
        most=MAX_WHY,
    )


@router.post("/erasures/look")
async def look(seat: _Hospital, form: _Form) -> Response:
    """Read what patients ask for: the pairing of each is opened, which takes its time."""

    def work(hospital: Hospital, progress: JobProgress) -> Erasures:
        progress.stage(_("The patients' pairings are read"))
        found = hospital.erasures.asked()
        seat.put("wishes", found)
        return found

    return to(seat.start(_("Looking for what patients ask for"), work, template="hospital/erasures_looked.html"))


@router.post("/erasures/do")
async def do(request: Request, seat: _Hospital, form: _Form) -> Response:
    """Erase what was chosen of the wishes."""
    records = list(dict.fromkeys(form.all("record")))
    if not records:
        raise RefusedError(400, _("Choose the records. Nothing was erased."))
    if not confirmed(request, form):
        return confirm(
            request,
            title=_("Erase for ever"),
            sentences=[
                ngettext(
                    "%(num)d record is deleted from every store of this hospital, for ever.",
                    "%(num)d records are deleted from every store of this hospital, for ever.",
                    len(records),
                ),
                _("It can't be undone. What lies beside them stays, with new names."),
                _("Every store is asked afterwards, and what is gone is attested on chain."),
                _("Backups of the stores, and copies that pinning services keep, are yours to delete."),
            ],
            fields={"record": records},
            button=_("Erase"),
            danger=True,
            back="/erasures",
        )

    def work(hospital: Hospital, progress: JobProgress) -> EraseReport:
        progress.stage(_("They are erased, and looked for"))
        seat.put("wishes", None)
        return hospital.erasures.follow(records)

    left = _("What isn't listed as erased is as it was. The same again goes on.")
    return to(seat.start(_("Erasing"), work, template="hospital/erased.html", left=left))


@router.post("/erasures/finish")
async def finish(seat: _Hospital, form: _Form) -> Response:
    """Finish what was interrupted, or what a store kept."""

    def work(hospital: Hospital, progress: JobProgress) -> EraseReport:
        progress.stage(_("They are erased, and looked for"))
        return hospital.erasures.finish()

    left = _("What isn't listed as erased is as it was. The same again goes on.")
    return to(seat.start(_("Finishing erasures"), work, template="hospital/erased.html", left=left))


@router.post("/erasures/refuse")
async def refuse(request: Request, seat: _Hospital, form: _Form) -> Response:
    """Tell patients that what was chosen isn't erased, and why."""
    records, why = list(dict.fromkeys(form.all("record"))), " ".join(form.get("why", "").split())
    if not records or not 0 < len(why) <= MAX_WHY:
        raise RefusedError(400, _("Choose the records, and say why. Nothing was refused."))
    if not confirmed(request, form):
        return confirm(
            request,
            title=_("Refuse to erase"),
            sentences=[
                ngettext("%(num)d record stays as it is.", "%(num)d records stay as they are.", len(records)),
                _("Its patient is told so, with this reason, and nobody else: %(why)s", why=why),
                _("They may ask again."),
            ],
            fields={"record": records, "why": why},
            button=_("Refuse"),
            back="/erasures",
        )

    def work(hospital: Hospital, progress: JobProgress) -> str:
        progress.stage(_("The patient is told"))
        seat.put("wishes", None)
        return hospital.erasures.refuse(records, why)

    return to(seat.start(_("Refusing"), work, template="hospital/erasure_refused.html"))
