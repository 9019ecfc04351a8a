"""Leaks: whose key it is that leaked, who opened what leaked, and ending what was granted to them.

What leaked comes in the body of a form, is looked at in memory on this machine, and is never shown, kept or sent.
Follows docs/spec/tracing.md and ADR 62.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from starlette.requests import ClientDisconnect

from panachain.errors import PanaChainError, UsageError
from panachain.model.actors import Actor, Address, Role, Status
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import TOKEN, Form, check_token, checked_form
from panachain.portal.holding import Held, Places
from panachain.portal.i18n import N_, _, ngettext
from panachain.portal.jobs import Job, JobProgress
from panachain.portal.pages import Page
from panachain.portal.pages.hospital_upload import arriving
from panachain.portal.pages.patient_records import Openings
from panachain.portal.receiving import receive
from panachain.portal.refusals import RefusedError, said
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.portal.whom import called
from panachain.sdk.access import in_force, unread
from panachain.sdk.auditing import Suspects
from panachain.sdk.base import Registrar
from panachain.sdk.patient import Patient
from panachain.sdk.results.listings import LeftOut, Listed, Listing
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.results.revocations import RevocationReport
from panachain.sdk.results.tracing import Traced
from panachain.sdk.tracing import MOST, Tracing

PAGES: Final = (Page("/leaks", N_("Leaks"), frozenset(), 88),)
MOST_OF_A_RECORD: Final = 64 << 20
"""Bytes of a leaked record."""
WHAT: Final = {
    "seed": N_("the seed: everything of theirs follows from it"),
    "secret receiving key or signer": N_("a secret key that opens what was granted to them, or signs for them"),
    "secret account key": N_("the secret key of their account"),
    "secret sealing key": N_("the secret key that opens what was sealed to them"),
    "public key": N_("a public key, which names them and opens nothing"),
}

router = APIRouter()
Anybody = Annotated[Seat, Depends(seated())]
_Patient = Annotated[Seat, Depends(seated(Role.PATIENT))]
_Registrar = Annotated[Seat, Depends(seated(Role.REGISTRAR))]
Filled = Annotated[Form, Depends(checked_form)]


@dataclass(frozen=True)
class Culprit:
    """Somebody whose key leaked."""

    actor: Actor
    leaked: Sequence[Traced]
    own: bool
    """Whether it is whoever looks."""
    policies: Sequence[PolicyView] = ()
    """Of the patient who looks: what they granted to this actor and is in force."""

    @property
    def secret(self) -> bool:
        """Whether whoever has it can act or read as this actor."""
        return any(one.secret for one in self.leaked)

    @property
    def suspended(self) -> bool:
        """Whether the registrar suspended them already."""
        return self.actor.status is Status.SUSPENDED


@dataclass(frozen=True)
class Found:
    """Whose keys there were in what leaked."""

    culprits: Sequence[Culprit]
    left_out: Sequence[LeftOut]
    unread: Sequence[LeftOut] = ()
    """Of the patient who looks: grants in force that can't be read now, which may be to anybody."""


@dataclass(frozen=True)
class Leaked:
    """Which records hold what leaked, and who ever opened them."""

    records: Sequence[str]
    openings: Openings

    @property
    def suspects(self) -> Suspects:
        """From whom it may have leaked."""
        return Suspects.of(self.openings.readings, self.openings.left_out)


@dataclass(frozen=True)
class Ended:
    """What became of one grant that was to be taken back."""

    view: PolicyView
    report: RevocationReport | None
    error: PanaChainError | None = None

    @property
    def proven(self) -> bool:
        """Whether the chain proves that it is taken back."""
        return self.report is not None and self.report.proven


@dataclass(frozen=True)
class TakenBack:
    """What became of all grants that were to be taken back."""

    ended: Sequence[Ended]
    unread: Sequence[LeftOut]
    """Grants in force that can't be read now: they may be to the same account."""

    @property
    def certain(self) -> bool:
        """Whether the chain proves it of each."""
        return all(one.proven for one in self.ended)


@router.get("/leaks")
async def leaks(request: Request, seat: Anybody) -> Response:
    """Show where something that leaked is looked up."""
    return render(
        request,
        "everyone/leaks.html",
        title=_("Leaks"),
        is_patient=seat.role is Role.PATIENT,
        is_registrar=seat.role is Role.REGISTRAR,
    )


@router.post("/leaks/text")
async def text(seat: Anybody, form: Filled) -> Response:
    """Look for keys in a text that was pasted."""
    leaked = form["leaked"].encode()
    if not leaked.strip():
        raise said(UsageError(_("Nothing was pasted and no file was chosen; nothing was looked at.")))
    return to(_tracing(seat, lambda: leaked))


@router.post("/leaks/file")
async def file(request: Request, seat: Anybody) -> Response:
    """Look for keys in a file."""
    held = await _taken(request, seat, MOST)
    return _begun(seat, held, lambda: _tracing(seat, held.take, done=held.done))


@router.post("/leaks/record")
async def record(request: Request, seat: _Patient) -> Response:
    """Look which record a file is, and who ever opened it."""
    held = await _taken(request, seat, MOST_OF_A_RECORD)

    def work(patient: Patient, progress: JobProgress) -> Leaked:
        progress.stage(_("It is compared with each of your records, on this machine"))
        try:
            records = patient.auditing.find_record(held.take())
        finally:
            # The proxies are asked without it.
            held.done()
        if not records:
            return Leaked((), Openings((), records.left_out, int(patient.network.clock())))
        progress.stage(_("The proxies are asked what they signed"))
        log = patient.log(records=records, progress=progress)
        left_out = (*records.left_out, *log.left_out)
        return Leaked(records, Openings(list(log)[::-1], left_out, int(patient.network.clock())))

    title = _("Who opened what leaked")
    return _begun(seat, held, lambda: seat.start(title, work, template="patient/leaked.html", path="/leaks"))


async def _taken(request: Request, seat: Seat, most: int) -> Held:
    """Return the one file of a form, whose first field is its token; whoever gets it gives its place back.

    Raises:
        RefusedError: another file of this seat is being looked at, or too many are in the portal.
        UsageError: too much work waits for the seat.
    """
    places: Places = request.state.desk.places
    # Before any of it is taken: what nobody could look at isn't held.
    places.check(seat)
    seat.jobs.check_room()
    try:
        _fields, held = await receive(
            arriving(request, seat),
            request.headers.get("content-type", ""),
            staged=lambda: places.take(seat, most),
            token=TOKEN,
            check=lambda token: check_token(request, token),
        )
    except ClientDisconnect:
        raise RefusedError(400, _("The file didn't arrive whole. Nothing of it was looked at.")) from None
    return held


def _begun(seat: Seat, held: Held, start: Callable[[], Job]) -> Response:
    """Begin to look at a file; whatever keeps that from beginning gives its place back."""
    try:
        held.check_begun()
        # A lock forgets it: work that waits for its turn never begins then.
        seat.put("leaked", held)
        return to(start())
    except BaseException:
        held.done()
        raise


def _tracing(seat: Seat, take: Callable[[], bytes], *, done: Callable[[], None] = lambda: None) -> Job:
    """Begin to look for keys in what `take` gives; `done` is called once it was looked through."""

    def work(actor: Any, progress: JobProgress) -> Found:
        progress.stage(_("It is compared with everybody's public keys, on this machine"))
        try:
            leaked = take()
            if not leaked.strip():
                raise said(UsageError(_("Nothing was pasted and no file was chosen; nothing was looked at.")))
            traced = Tracing(actor.network).trace(leaked)
            del leaked
        finally:
            done()
        policies = actor.policies() if isinstance(actor, Patient) else Listed(Listing[PolicyView]())
        granted = in_force(policies)
        people: dict[Address, list[Traced]] = {}
        for one in traced:
            people.setdefault(one.actor.address, []).append(one)
        culprits = [
            Culprit(of[0].actor, of, who == actor.address, [view for view in granted if view.grantee == who])
            for who, of in people.items()
        ]
        return Found(sorted(culprits, key=lambda one: not one.secret), traced.left_out, unread(policies.left_out))

    return seat.start(_("Whose key it is"), work, template="everyone/traced.html", path="/leaks", what=WHAT)


# Ending


@router.post("/leaks/revoke")
async def revoke(request: Request, seat: _Patient, form: Filled) -> Response:
    """Take back all that this patient granted to somebody."""
    who = Address(form["who"])

    def look(patient: Patient) -> Listing[PolicyView]:
        policies = patient.policies()
        return Listing([view for view in in_force(policies) if view.grantee == who], unread(policies.left_out))

    granted: Listing[PolicyView] = await seat.run(look)
    if not granted and granted.left_out:
        raise said(UsageError(_unread(granted.left_out)))
    if not granted:
        raise said(UsageError(_("None of your grants to this account is in force; there was nothing to take back.")))
    wanted = ",".join(sorted(view.policy_id for view in granted))
    if not confirmed(request, form):
        sentences = [
            _("It is about %(who)s.", who=await called(seat, who)),
            ngettext(
                "Your one grant to them is taken back.", "Your %(num)d grants to them are taken back.", len(granted)
            ),
            _("Honest proxies refuse from the next block on. It is final once enough proxies signed the deletion."),
            _("What was opened before can't be called back by anybody, nor a copy of it."),
            _("What you granted to a group that they are a member of stays: they go on reading by it."),
            _("It can't be undone; you can grant anew once they have other keys."),
        ]
        if granted.left_out:
            sentences.insert(2, _unread(granted.left_out))
        return confirm(
            request,
            title=_("Take back all that you granted to them"),
            sentences=sentences,
            fields={"who": who, "policies": wanted},
            button=_("Take all of it back"),
            danger=True,
            back="/leaks",
        )
    chosen = set(form["policies"].split(","))

    def work(patient: Patient, progress: JobProgress) -> TakenBack:
        ended = [
            _end(patient, view, progress, number, len(chosen))
            for number, view in enumerate((one for one in granted if one.policy_id in chosen), start=1)
        ]
        return TakenBack(ended, granted.left_out)

    left = _("A revocation that was signed is sent again whenever you unlock the portal, until the chain proves it.")
    return to(seat.start(_("Taking it back"), work, template="patient/ended.html", left=left, path="/leaks", who=who))


def _unread(found: Sequence[LeftOut]) -> str:
    """Say which grants stay in force since nobody can tell whose they are: their IDs are all that is left of them."""
    text = ngettext(
        "One grant can't be read, and may be to them: it is still in force.",
        "%(num)d grants can't be read, and may be to them: these are still in force.",
        len(found),
    )
    return f"{text} {', '.join(one.item for one in found)}"


def _end(patient: Patient, view: PolicyView, progress: JobProgress, number: int, of: int) -> Ended:
    """Take one grant back; what goes wrong with it keeps no other one from its end."""
    progress.stage(_("Grant %(number)d of %(of)d goes to every relay, node and proxy", number=number, of=of))
    try:
        return Ended(view, patient.revoke(view.policy_id, progress=progress))
    except PanaChainError as exc:
        return Ended(view, None, exc)


@router.post("/leaks/suspend")
async def suspend(request: Request, seat: _Registrar, form: Filled) -> Response:
    """Suspend somebody: every policy to them ends with the next block."""
    name = form["who"].strip()[:200]
    if not confirmed(request, form):
        if not name:
            raise said(UsageError(_("It isn't said who is to be suspended; nobody was.")))
        found: Actor = await seat.run(lambda registrar: registrar.network.resolve(name))
        if found.role in (Role.GROUP, Role.REGISTRAR):
            raise said(UsageError(_("Only persons, hospitals, researchers and proxies are suspended; nobody was.")))
        return confirm(
            request,
            title=_("Suspend somebody for everybody"),
            sentences=[
                _("It is about %(who)s.", who=await called(seat, found.address, found.role)),
                _suspended(found.role),
                _("What they opened before, they and whoever has their key keep."),
                _("Everybody who reads the chain can see it. Patients who let them read are told by their watcher."),
                _("No page takes it back: that needs the registry's own function, once they have other keys."),
            ],
            fields={"who": found.address},
            button=_("Suspend"),
            danger=True,
            back="/leaks",
        )

    def work(registrar: Registrar, progress: JobProgress) -> Actor:
        progress.stage(_("It goes on the chain that has them"))
        return registrar.suspend(name)

    return to(seat.start(_("Suspending"), work, template="everyone/suspended.html", path="/leaks"))


def _suspended(role: Role) -> str:
    """Return what a suspension does to somebody of a role."""
    if role is Role.HOSPITAL:
        return _("It can publish nothing more, and no grant to it is served. What it published stays readable.")
    if role is Role.PROXY:
        return _("It is asked for nothing more: grants that it helps with have one proxy less.")
    if role is Role.PATIENT:
        return _("They can pair with nobody, and nobody can ask them for anything. What they granted goes on.")
    return _("Each grant to them, of every patient, ends with the next block: proxies refuse them, also as a member.")
