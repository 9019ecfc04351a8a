"""A patient's hospitals: who may publish to the lanes, what each knows, and what every one of them closes.

Reads no record. Follows design section 8 (Pair) and docs/spec/sensitivity.md (What a patient chooses).
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.errors import UsageError
from panachain.model.actors import Actor, Address, Role
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _
from panachain.portal.jobs import JobProgress
from panachain.portal.pages import Page
from panachain.portal.paging import part_of
from panachain.portal.refusals import said
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.portal.whom import account_of, called
from panachain.records.sensitivity.kinds import Kind, kinds
from panachain.sdk.contacts import list_contacts
from panachain.sdk.patient import Patient
from panachain.sdk.profiles import list_profiles
from panachain.sdk.results.choices import ChoicesReport
from panachain.sdk.results.listings import Listing
from panachain.sdk.results.uploads import PairedHospital, PairingReport, UnpairingReport

PAGES: Final = (
    Page("/hospitals", N_("Hospitals"), frozenset({Role.PATIENT}), 50),
    Page("/choices", N_("What hospitals close"), frozenset({Role.PATIENT}), 60),
)

router = APIRouter()
Sitting = Annotated[Seat, Depends(seated(Role.PATIENT))]
Filled = Annotated[Form, Depends(checked_form)]


def _known(patient: Patient) -> list[str]:
    """Return the names of hospitals that this machine knows."""
    home = patient.network.home
    named = {one.name for one in list_contacts(home) if one.role is Role.HOSPITAL}
    return sorted(named | {one.name for one in list_profiles(home) if one.role is Role.HOSPITAL})


@router.get("/hospitals")
async def hospitals(request: Request, seat: Sitting, page: str = "1") -> Response:
    """List the hospitals with which the patient is or was paired."""

    def look(patient: Patient) -> tuple[Listing[PairedHospital], list[str]]:
        return patient.hospitals.all(), _known(patient)

    found, known = await seat.run(look)
    return render(
        request,
        "patient/hospitals.html",
        part=part_of(sorted(found, key=lambda one: not one.paired), page),
        left_out=found.left_out,
        known=known,
    )


@router.post("/hospitals/pair")
async def pair(request: Request, seat: Sitting, form: Filled) -> Response:
    """Let a hospital publish."""
    who = form["hospital"].strip()[:200]
    if not who:
        raise said(UsageError(_("It isn't said which hospital."), hint=_("Choose a contact, or paste an address.")))
    if not confirmed(request, form):
        found: Actor = await seat.run(lambda patient: patient.network.resolve(who, Role.HOSPITAL))
        return confirm(
            request,
            title=_("Let a hospital publish"),
            sentences=[
                _(
                    "%(who)s (%(handle)s, %(address)s) may publish records to you from now on.",
                    who=seat.names.of(found.address, found.role),
                    handle=found.handle,
                    address=found.address,
                ),
                _(
                    "It gets the public keys of your categories and their years, and reads nothing with them:"
                    " not even what it published."
                ),
                _("It is told which kinds of sensitive information you close."),
                _("Everybody can see on the sidechain that your account is paired with it, but nothing else."),
            ],
            fields={"hospital": found.address},
            button=_("Pair"),
            back="/hospitals",
        )

    def work(patient: Patient, progress: JobProgress) -> PairingReport:
        progress.stage(_("The public keys are sealed to the hospital, and the pairing goes on the sidechain"))
        return patient.pair(who)

    return to(seat.start(_("Pairing"), work, template="patient/paired.html"))


@router.post("/hospitals/unpair")
async def unpair(request: Request, seat: Sitting, form: Filled) -> Response:
    """Take the assent to a hospital back."""
    if not confirmed(request, form):
        # The account alone says which is meant, also where its registration ended.
        account = await account_of(seat, form["hospital"], Role.HOSPITAL)
        return confirm(
            request,
            title=_("Take the assent back"),
            sentences=[
                _("%(who)s may publish no more to you.", who=await called(seat, account, Role.HOSPITAL)),
                _("What it published stays readable. What is broken of it stops nothing any more."),
                _(
                    "It still knows these public keys; a grant that you take back with new keys replaces those that it"
                    " gave."
                ),
            ],
            fields={"hospital": account},
            button=_("Unpair"),
            danger=True,
            back="/hospitals",
        )

    who = Address(form["hospital"])

    def work(patient: Patient, progress: JobProgress) -> UnpairingReport:
        progress.stage(_("It goes on the sidechain"))
        return patient.unpair(who)

    return to(seat.start(_("Unpairing"), work, template="patient/unpaired.html"))


@router.get("/choices")
async def choices(request: Request, seat: Sitting) -> Response:
    """Show which kinds of sensitive information every hospital closes for the patient."""

    def look(patient: Patient) -> tuple[ChoicesReport, bool]:
        return patient.choices.now(), any(one.paired for one in patient.hospitals.all())

    found, paired = await seat.run(look)
    return render(request, "patient/choices.html", kinds=_in_order(), chosen=found, paired=paired)


def _in_order() -> list[Kind]:
    """Return all kinds, those that are part of one after it."""
    known = kinds()
    return sorted(known.values(), key=lambda kind: (kind.category.code, kind.parent or kind.code, bool(kind.parent)))


@router.post("/choices")
async def choose(request: Request, seat: Sitting, form: Filled) -> Response:
    """Change what hospitals close."""
    known = kinds()
    closed = [code for code in form.all("closed") if code in known]
    emergency = [code for code in form.all("emergency") if code in known]
    if not confirmed(request, form):
        before = await seat.run(lambda patient: patient.choices.now())
        sentences = _changes(before, closed, emergency)
        if not sentences:
            return to("/choices")
        return confirm(
            request,
            title=_("Change what hospitals close"),
            sentences=[
                *sentences,
                _("Every paired hospital is told. It counts for what they publish from then on."),
            ],
            fields={
                "closed": closed,
                "emergency": emergency,
                "was_closed": sorted(before.closed),
                "was_emergency": sorted(before.emergency),
            },
            button=_("Tell the hospitals"),
            back="/choices",
        )

    shown = set(form.all("was_closed")), set(form.all("was_emergency"))

    def work(patient: Patient, progress: JobProgress) -> ChoicesReport:
        now = patient.choices.now()
        if (set(now.closed), set(now.emergency)) != shown:
            # The sentences told what changes: from something else it would be another change.
            raise said(
                UsageError(_("What hospitals close was changed since. Nothing was done."), hint=_("Begin again."))
            )
        progress.stage(_("The hospitals are told"))
        return patient.choices.change(
            close=set(closed) - set(now.closed),
            reopen=set(now.closed) - set(closed),
            emergency=set(emergency) - set(now.emergency),
            no_emergency=set(now.emergency) - set(emergency),
        )

    return to(seat.start(_("Telling the hospitals"), work, template="patient/chosen.html"))


def _changes(before: ChoicesReport, closed: list[str], emergency: list[str]) -> list[str]:
    """Return what a change does, a sentence each; none where it changes nothing."""
    told = (
        (_("Closed from now on: %(kinds)s."), set(closed) - set(before.closed)),
        (_("Left to each hospital again: %(kinds)s."), set(before.closed) - set(closed)),
        (_("In the emergency summary although closed: %(kinds)s."), set(emergency) - set(before.emergency)),
        (_("In the emergency summary no more: %(kinds)s."), set(before.emergency) - set(emergency)),
    )
    return [sentence % {"kinds": ", ".join(sorted(map(word_of, changed)))} for sentence, changed in told if changed]


def word_of(code: str) -> str:
    """Return what people call a kind, in the language of this request; a code that isn't known stays as it is."""
    known = kinds()
    return _(known[code].display) if code in known else code
