"""Proposing to act for a ward, and taking over at its end: both make a profile, whose passphrase is typed once.

A passphrase waits in this session's memory until what it is for is confirmed: it stands on no page and in no form.
Follows docs/spec/wards.md and ADR 55.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.errors import UsageError
from panachain.model.actors import Actor, Role
from panachain.model.scope import Category
from panachain.passphrase import Hidden
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import _
from panachain.portal.jobs import JobProgress
from panachain.portal.labels import CATEGORIES, label
from panachain.portal.pages import Page
from panachain.portal.pages.patient_choosing import day_of
from panachain.portal.refusals import RefusedError, said
from panachain.portal.rendering import confirm, confirmed, moment, render, to
from panachain.portal.site import Site
from panachain.portal.whom import called
from panachain.sdk import open_actor
from panachain.sdk.patient import Patient
from panachain.sdk.profiles import Profile, find_profile
from panachain.sdk.results.wards import WardshipView
from panachain.sdk.wards import MAX_PAPERS

PAGES: Final[tuple[Page, ...]] = ()
"""The page of care leads to it."""
_PENDING: Final = "wards/pending"
_LEAST: Final = 8
"""Characters of a passphrase."""

router = APIRouter()
Filled = Annotated[Form, Depends(checked_form)]


def own_machine(request: Request, seat: Annotated[Seat, Depends(seated(Role.PATIENT))]) -> Seat:
    """Return the seat of somebody on a machine of their own, for FastAPI's `Depends`.

    Raises:
        RefusedError: many people use this portal, and a profile more would lie on their machine.
    """
    site: Site = request.app.state.site
    if site.way is None:
        raise RefusedError(
            403,
            _("No profile is made here: it would lie on a machine that others use."),
            hint=_("Do it on a machine of your own."),
        )
    return seat


Sitting = Annotated[Seat, Depends(own_machine)]


def _hold(seat: Seat, form: Form) -> str:
    """Keep the passphrase of a form until the confirmation, and return by what it is found."""
    secret, again = form["passphrase"], form["again"]
    if len(secret) < _LEAST or secret != again:
        raise said(
            UsageError(
                _("The passphrase has fewer than %(least)d characters, or isn't the same twice.", least=_LEAST),
                hint=_("Type it twice. Nothing was done."),
            )
        )
    return seat.hold(_PENDING, Hidden(secret))


def _held(seat: Seat, number: str) -> Hidden:
    held = seat.take(_PENDING, number)
    if held is None:
        raise said(UsageError(_("That passphrase isn't known any more; begin again. Nothing was done.")))
    return held


@router.get("/wards/new")
async def ask(request: Request, seat: Sitting) -> Response:
    """Show what a proposal needs."""
    kept: tuple[str, ...] = await seat.run(lambda patient: patient.network.config.ward_keeps)
    return render(
        request,
        "patient/ward_new.html",
        title=_("Care for somebody"),
        categories=[one.value for one in Category],
        kept=kept,
        most=MAX_PAPERS,
    )


@router.post("/wards/new")
async def propose(request: Request, seat: Sitting, form: Filled) -> Response:
    """Say what a proposal means, then make the account's profile, propose, and accept."""
    ward, name, papers = form["ward"].strip()[:200], form["name"].strip()[:64], form["papers"].strip()
    words = [one.value for one in Category]
    chosen, keeps = form.all("category"), form.all("keeps")
    if set(chosen + keeps) - set(words):
        raise said(UsageError(_("Choose from what the form offers; nothing was proposed.")))
    until, keeps_from = day_of(form["until"]), day_of(form.get("keeps_from"))
    if not ward or not name or not papers or len(papers) > MAX_PAPERS or until is None:
        raise said(
            UsageError(
                _("Whom you care for, a name for the profile, the papers and the end are needed."),
                hint=_("Nothing was proposed."),
            )
        )
    if not confirmed(request, form):
        found: Actor = await seat.run(lambda patient: patient.network.resolve(ward, Role.PATIENT))
        what = ", ".join(label(CATEGORIES, word) for word in chosen) if chosen else _("everything")
        sentences = [
            _("You propose to act for %(who)s.", who=await called(seat, found.address, Role.PATIENT)),
            _("You act in: %(what)s.", what=what),
            _("It ends by itself at %(until)s. Then they act for themselves.", until=moment(until)),
        ]
        if keeps:
            sentences.append(
                _(
                    "They keep to themselves: %(what)s, from %(begin)s on.",
                    what=", ".join(label(CATEGORIES, word) for word in keeps),
                    begin=moment(keeps_from) if keeps_from is not None else _("the beginning"),
                )
            )
        sentences += [
            _("Your papers: %(papers)s", papers=papers),
            _("The papers are sealed to them and to you. The registrar looks at the papers themselves, and attests."),
            _(
                "A profile “%(name)s” is made on this machine. With it you act for them, and they are told all of it.",
                name=name,
            ),
            _("Its key is sealed to them from now on: they take it over at the end, and need nobody for that."),
        ]
        fields = {
            "ward": found.address,
            "name": name,
            "papers": papers,
            "category": chosen,
            "keeps": keeps,
            "until": form["until"],
            "keeps_from": form.get("keeps_from"),
            "pending": _hold(seat, form),
        }
        return confirm(
            request,
            title=_("Care for somebody"),
            sentences=sentences,
            fields=fields,
            button=_("Propose it"),
            back="/wards",
        )
    secret = _held(seat, form["pending"])

    def work(patient: Patient, progress: JobProgress) -> WardshipView:
        progress.stage(_("The profile is made, and admitted"))
        profile = find_profile(patient.network.home, name) or patient.wards.profile(ward, name, secret)
        with open_actor(patient.network, profile, secret) as account:
            if not isinstance(account, Patient) or not patient.wards.is_account(profile.address, ward):
                text = _("There is a profile of this name already, which is for something else; it stays as it is.")
                raise said(UsageError(text))
            account.register()
            progress.stage(_("It goes on the sidechain"))
            made = patient.wards.of_account(account.address) or account.wards.propose(
                ward,
                patient.address,
                papers,
                until=until,
                categories=chosen or "all",
                keeps=keeps,
                keeps_from=keeps_from,
            )
        return patient.wards.accept(made) if made.state == "proposed" else made

    left = _("The same again, with the same name and passphrase, goes on where this one stopped.")
    return to(seat.start(_("Proposing"), work, template="patient/ward_proposed.html", left=left, path="/wards"))


@router.post("/wards/take-over")
async def take_over(request: Request, seat: Sitting, form: Filled) -> Response:
    """Make a profile of the account through which somebody acted for this patient."""
    number, name = form["wardship"], form["name"].strip()[:64]
    if not (number.isascii() and number.isdigit() and len(number) < 16) or not name:
        raise said(UsageError(_("A wardship and a name for the profile are needed; nothing was taken over.")))
    if not confirmed(request, form):
        found: WardshipView = await seat.run(lambda patient: patient.wards.find(int(number)))
        return confirm(
            request,
            title=_("Take over"),
            sentences=[
                _(
                    "A profile “%(name)s” is made on this machine, of the account by which %(carer)s acted for you.",
                    name=name,
                    carer=found.carer_name,
                ),
                _("With it you read what was published to it, see who read that, and take back what was granted."),
                _("The carer keeps the key of that account, too: what is published to you later isn't there."),
            ],
            fields={"wardship": number, "name": name, "pending": _hold(seat, form)},
            button=_("Take over"),
            back="/wards",
        )
    secret = _held(seat, form["pending"])

    def work(patient: Patient, progress: JobProgress) -> Profile:
        progress.stage(_("What was sealed to you is opened, and a profile is made of it"))
        return patient.wards.take_over(int(number), name, secret)

    return to(seat.start(_("Taking over"), work, template="patient/ward_taken.html", path="/wards"))
