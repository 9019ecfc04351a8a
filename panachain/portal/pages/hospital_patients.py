"""Patients: who is paired with this hospital, what was published for each, and what became of it.

Shows no record: a hospital has no key to what it published. Follows docs/spec/portal.md, section "Pages of a hospital".
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from panachain.errors import AccessDeniedError, IntegrityError, PanaChainError, UnavailableError, UsageError
from panachain.ethereum import parse_address
from panachain.model.actors import Address, Role
from panachain.model.records import Reason
from panachain.model.scope import Category
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _, gettext, ngettext
from panachain.portal.pages import Page
from panachain.portal.paging import PER_PAGE, Part, part_of, place_of
from panachain.portal.refusals import RefusedError
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.portal.whom import called

PAGES: Final = (
    Page("/patients", N_("Patients"), frozenset({Role.HOSPITAL}), 20),
    Page("/withdrawals", N_("Withdrawals"), frozenset({Role.HOSPITAL}), 50),
)
router: Final = APIRouter()
_Hospital = Annotated[Seat, Depends(seated(Role.HOSPITAL))]
_Form = Annotated[Form, Depends(checked_form)]
_MOST_PAGES: Final = 1_000_000
REASONS: Final = {
    Reason.ENTERED_IN_ERROR.value: N_("entered in error"),
    Reason.WRONG_PATIENT.value: N_("about another person"),
    Reason.ERRONEOUS_CATEGORY.value: N_("in a wrong category"),
}


@router.get("/patients")
async def patients(request: Request, seat: _Hospital, page: int = 1) -> Response:
    """List everybody who is or was paired, or of whom something is published."""
    everybody = await seat.run(lambda hospital: hospital.overview.patients())
    part = part_of(everybody, page, size=PER_PAGE)
    return render(request, "hospital/patients.html", title=_("Patients"), patients=part.items, paging=part)


@router.get("/patients/{address}")
async def patient(request: Request, seat: _Hospital, address: str, page: int = 1, category: str = "") -> Response:
    """Show one patient's pairing, and what was published for them."""
    whose = _address(address)
    kind = Category.parse(category) if category else None
    number = min(max(page, 1), _MOST_PAGES)
    start = (number - 1) * PER_PAGE

    def look(hospital: Any) -> dict[str, Any]:
        overview = hospital.overview
        problem, pairing = "", None
        try:
            pairing = overview.pairing(whose)
        except AccessDeniedError:
            # They took it back: what was published before stays.
            problem = ""
        except (IntegrityError, UnavailableError) as exc:
            problem = str(exc)
        return {
            "pairing": pairing,
            "problem": problem,
            "found": overview.records(whose, start=start, count=PER_PAGE, category=kind),
            "life": overview.life(whose),
        }

    told = await seat.run(look)
    total = told["found"].total
    return render(
        request,
        "hospital/patient.html",
        title=seat.names.of(whose),
        whose=whose,
        categories=[one.value for one in Category],
        category=category,
        paging=Part(told["found"].records, number, place_of(total, number, size=PER_PAGE)[1], total),
        reasons=_reasons(),
        **told,
    )


@router.post("/patients/withdraw")
async def withdraw(request: Request, seat: _Hospital, form: _Form) -> Response:
    """Say of records that they count no more."""
    records, reason, whose = form.all("record"), form.get("reason"), _address(form["patient"])
    if not records or reason not in REASONS:
        raise RefusedError(400, _("Choose the records, and a reason. Nothing was withdrawn."))
    if not confirmed(request, form):
        # What is confirmed is done afterwards by the records' names alone: a sentence about one patient is of theirs.
        records = list(dict.fromkeys(records))
        await seat.run(_check_theirs, whose, records)
        sentences = [
            ngettext(
                "%(num)d record of %(who)s counts no more, for ever: %(why)s.",
                "%(num)d records of %(who)s count no more, for ever: %(why)s.",
                len(records),
                who=await called(seat, whose, Role.PATIENT),
                why=gettext(REASONS[reason]),
            ),
            _("The patient, and everybody who may read them, are told so, with the reason."),
            _(
                "What somebody opened before can't be called back. Who that was, only the patient can see: tell the"
                " patient."
            ),
        ]
        return confirm(
            request,
            title=_("Withdraw"),
            sentences=sentences,
            fields={"record": records, "reason": reason, "patient": whose},
            button=_("Withdraw"),
            danger=True,
            back=f"/patients/{whose}",
        )
    job = seat.start(
        _("Withdrawing"),
        lambda hospital, _progress: hospital.withdraw(records, reason),
        template="hospital/withdrawn.html",
        left=_("What was withdrawn before stays so, and nothing else is."),
        whose=whose,
    )
    return to(job)


@router.get("/withdrawals")
async def withdrawals(request: Request, seat: _Hospital, page: int = 1) -> Response:
    """List what was withdrawn, of everybody."""
    life = await seat.run(lambda hospital: hospital.overview.life())
    part = part_of(life.withdrawals, page, size=PER_PAGE)
    return render(
        request,
        "hospital/withdrawals.html",
        title=_("Withdrawals"),
        withdrawals=part.items,
        paging=part,
        reasons=_reasons(),
    )


def _check_theirs(hospital: Any, whose: Address, records: list[str]) -> None:
    """Check that this hospital published each of these records for one patient.

    Raises:
        RefusedError: it published one for somebody else, or not at all; which of both isn't told.
    """
    patient, wanted = hospital.network.resolve(whose, Role.PATIENT).address, set(records)
    for one in hospital.records():
        if one.record_id in wanted and one.patient == patient:
            wanted.discard(one.record_id)
            if not wanted:
                return
    raise RefusedError(
        409,
        ngettext(
            "%(num)d record that was chosen isn't one of this patient. Nothing was withdrawn.",
            "%(num)d records that were chosen aren't ones of this patient. Nothing was withdrawn.",
            len(wanted),
        ),
        hint=_("Choose them on the patient's page."),
    )


def _reasons() -> dict[str, str]:
    return {value: gettext(text) for value, text in REASONS.items()}


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except (ValueError, PanaChainError):
        raise UsageError("this is no address of a patient", hint="choose one of the list of patients") from None
