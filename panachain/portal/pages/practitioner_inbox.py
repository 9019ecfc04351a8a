"""What was granted to a practitioner or researcher: by patient, why, until when; looked at, and opened.

Opening is confirmed first, since proxies sign it to the patient. What can't be opened is named, and costs nothing else.
Never shows a record: that is the viewer's. Follows design section 8 (Open) and security rule 22.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response

from panachain.errors import (
    Omission,
    PanaChainError,
    PartlyDoneError,
    UsageError,
)
from panachain.model.actors import Address, PolicyId, Role
from panachain.model.policy import PolicyStatus
from panachain.model.scope import UNDATED, Category, Purpose
from panachain.plain import line
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _
from panachain.portal.jobs import JobProgress
from panachain.portal.labels import CATEGORIES, PURPOSES, label
from panachain.portal.pages import Page
from panachain.portal.pages.viewing import prepare
from panachain.portal.paging import part_of
from panachain.portal.refusals import RefusedError, said
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.portal.whom import called
from panachain.records.findings import LEFT_OUT
from panachain.sdk.opening import Opening
from panachain.sdk.reader import ReadingSession
from panachain.sdk.results.listings import LeftOut
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.results.records import OpenedRecord, Survey, WithdrawnRecord
from panachain.viewer.items import Told, Withdrawn

router = APIRouter()
PAGES: Final = (
    Page("/inbox", N_("What you can read"), frozenset({Role.PRACTITIONER}), 0),
    Page("/inbox", N_("What you can read"), frozenset({Role.RESEARCHER}), 10),
)
ENDS_SOON: Final = 3 * 86_400
"""Seconds before its end from which on a grant is said to end soon."""
FETCHED: Final = 16 << 20
"""Bytes of a record that is fetched at once; the content of a larger one is fetched when somebody looks at it."""
_LEFT: Final = N_("What the proxies signed until then stands in the patient's log; nothing was kept here.")
Reading = Annotated[Seat, Depends(seated(Role.PRACTITIONER, Role.RESEARCHER))]


@dataclass(frozen=True)
class Granted:
    """The grants of one patient to whoever reads this."""

    patient: Address
    name: str
    in_force: tuple[PolicyView, ...]
    """Those that end first come first."""
    later: tuple[PolicyView, ...]
    """Those that haven't begun."""
    revoked: tuple[PolicyView, ...]
    """The patient took them back."""
    expired: tuple[PolicyView, ...]
    """They ended by themselves."""

    @property
    def over(self) -> tuple[PolicyView, ...]:
        """Those that open nothing any more, the newest first."""
        return tuple(sorted((*self.revoked, *self.expired), key=lambda view: -view.expires_at))

    @property
    def purposes(self) -> tuple[str, ...]:
        """What those in force may be opened for."""
        return tuple(dict.fromkeys(purpose for view in self.in_force for purpose in view.purposes))


@dataclass(frozen=True)
class Inbox:
    """All that was granted, by patient, and what can't be shown."""

    patients: tuple[Granted, ...]
    """Those who granted something that is in force come first, by the end that comes first."""
    left_out: tuple[LeftOut, ...]
    own: Address
    """The reader's account: what was granted to another one was granted to a group."""
    now: int

    def of(self, patient: str) -> Granted:
        """Return one patient's grants.

        Raises:
            RefusedError: they granted nothing.
        """
        for one in self.patients:
            if one.patient.lower() == patient.lower():
                return one
        raise RefusedError(404, _("This patient granted you nothing, or nothing that can be read."))

    @property
    def soon(self) -> frozenset[PolicyId]:
        """The grants in force that end soon."""
        views = (view for one in self.patients for view in one.in_force)
        return frozenset(view.policy_id for view in views if view.expires_at - self.now <= ENDS_SOON)


@dataclass(frozen=True)
class Looked:
    """What is there of one patient's, grant by grant."""

    patient: Address
    surveys: tuple[Survey, ...]


@dataclass
class Opened:
    """What came of an opening."""

    patient: Address
    opening: str = ""
    """Where the viewer finds the records; empty if there were none."""
    records: int = 0
    omissions: list[Omission] = field(default_factory=list)
    notices: list[Omission] = field(default_factory=list)
    failures: list[tuple[PolicyView, PanaChainError]] = field(default_factory=list)
    """Grants of which nothing could be opened, with the reason."""
    withdrawn: list[WithdrawnRecord] = field(default_factory=list)
    withheld: tuple[str, ...] = ()
    behind: int = 0
    """How many resources don't count any more."""
    more_at: int = 0
    """When more opens in an emergency, Unix seconds; 0 for nothing that waits."""
    beside: tuple[str, ...] = ()
    """Handles of the other account of a patient who is in care, of which an emergency opened nothing."""


@dataclass(frozen=True)
class Wish:
    """What of a patient's records shall be opened."""

    category: str = ""
    year: int | None = None
    purpose: str = ""

    @classmethod
    def of(cls, form: Form) -> Wish:
        """Return what a form says.

        Raises:
            UsageError: a word that isn't on the page.
        """
        category, year, purpose = form.get("category", ""), form.get("year", ""), form.get("purpose", "")
        if category:
            Category.parse(category)
        if purpose:
            Purpose.parse(purpose)
        if year and not (year.isascii() and year.isdigit() and len(year) <= 4):
            raise said(UsageError(_("A year has at most four digits; 0 means records without a date.")))
        return cls(category, int(year) if year else None, purpose)

    def fits(self, view: PolicyView) -> bool:
        """Return whether a grant is for this purpose."""
        return not self.purpose or self.purpose in view.purposes


def inbox_of(actor: ReadingSession) -> Inbox:
    """Return what was granted to somebody, by patient."""
    listed = actor.inbox()
    views: dict[Address, list[PolicyView]] = {}
    for view in listed:
        views.setdefault(view.patient, []).append(view)
    found = [_granted(patient, of) for patient, of in views.items()]
    found.sort(key=lambda one: (not one.in_force, one.in_force[0].expires_at if one.in_force else 0, one.name))
    return Inbox(tuple(found), listed.left_out, actor.address, int(actor.network.clock()))


def _granted(patient: Address, views: Sequence[PolicyView]) -> Granted:
    def of(status: PolicyStatus) -> tuple[PolicyView, ...]:
        return tuple(sorted((one for one in views if one.status is status), key=lambda one: one.expires_at))

    return Granted(
        patient,
        views[0].patient_name,
        in_force=of(PolicyStatus.ACTIVE),
        later=of(PolicyStatus.NOT_YET),
        revoked=of(PolicyStatus.REVOKED),
        expired=of(PolicyStatus.EXPIRED),
    )


@router.get("/inbox")
async def inbox(request: Request, seat: Reading, q: str = "", page: int = 1) -> Response:
    """Show who granted what, why and until when."""
    found = await seat.run(inbox_of)
    word = q.strip().casefold()[:100]
    patients = [one for one in found.patients if word in one.name.casefold() or word in one.patient.casefold()]
    part = part_of(patients, page)
    return render(
        request,
        "practitioner/inbox.html",
        title=_("What you can read"),
        inbox=found,
        soon=found.soon,
        patients=part.items,
        count=part.total,
        q=q,
        page=part.number,
        last=part.pages,
        address=lambda number: f"/inbox?{urlencode({'q': q, 'page': number})}",
    )


@router.get("/inbox/{patient}")
async def patient(request: Request, seat: Reading, patient: str) -> Response:
    """Show what one patient granted, and what is there."""
    found = await seat.run(inbox_of)
    granted = found.of(patient)
    surveys: Sequence[Survey] = _surveys(seat).get(granted.patient, ())
    return render(
        request,
        "practitioner/patient.html",
        title=line(granted.name),
        inbox=found,
        soon=found.soon,
        granted=granted,
        surveys=surveys,
        hospitals={part.hospital: _hospital(seat, part.hospital) for survey in surveys for part in survey.parts},
        categories=_categories(granted.in_force),
    )


@router.post("/inbox/{patient}/look")
async def look(request: Request, seat: Reading, patient: str, form: Annotated[Form, Depends(checked_form)]) -> Response:
    """Count what is there, by category and year. Nothing is opened, so nothing has to be confirmed."""
    granted = (await seat.run(inbox_of)).of(patient)

    def count(actor: ReadingSession, progress: Any) -> Looked:
        surveys = []
        for number, view in enumerate(granted.in_force, start=1):
            surveys.append(actor.open(view).survey())
            progress(number, len(granted.in_force), unit="policies")
        _surveys(seat)[granted.patient] = surveys
        return Looked(granted.patient, tuple(surveys))

    return to(seat.start(_("Looking what is there"), count, template="practitioner/looked.html"))


@router.post("/inbox/{patient}/open")
async def open_(
    request: Request, seat: Reading, patient: str, form: Annotated[Form, Depends(checked_form)]
) -> Response:
    """Open all, a category or a year, as a piece of work with progress; then the viewer shows it."""
    wish = Wish.of(form)
    granted = (await seat.run(inbox_of)).of(patient)
    confirming = confirmed(request, form)
    # Once it is confirmed, only the grants of which the confirmation told.
    told = set(form.all("policy")) if confirming else None
    views = [view for view in granted.in_force if wish.fits(view) and (told is None or view.policy_id in told)]
    if not views:
        raise said(
            UsageError(
                _("No grant of this patient's that is in force fits, so nothing was opened."),
                hint=_("The patient can be asked for access."),
            )
        )
    if not confirming:
        fields: dict[str, str | Sequence[str]] = {name: form.get(name) for name in ("category", "year", "purpose")}
        fields["policy"] = [view.policy_id for view in views]
        return confirm(
            request,
            title=_("Open records"),
            sentences=_sentences(await called(seat, granted.patient, Role.PATIENT), wish, views),
            fields=fields,
            button=_("Open"),
            back=f"/inbox/{granted.patient}",
        )
    work = opening(seat, granted, wish, views)
    return to(seat.start(_("Opening records"), work, template="practitioner/opened.html", left=_(_LEFT)))


def opening(
    seat: Seat, granted: Granted, wish: Wish, views: Sequence[PolicyView]
) -> Callable[[ReadingSession, Any], Opened]:
    """Return the work that opens what is wished by some grants, each record once."""

    def work(actor: ReadingSession, progress: Any) -> Opened:
        done, records = Opened(granted.patient), dict[str, OpenedRecord]()
        for view in views:
            _open(actor, view, wish, progress, done, records)
        if not records and not done.omissions and len(done.failures) == len(views):
            raise done.failures[0][1]
        return shelve(seat, granted.name, done, records, progress)

    return work


def shelve(seat: Seat, name: str, done: Opened, records: Mapping[str, OpenedRecord], progress: JobProgress) -> Opened:
    """Give opened records to the viewer, and return what came of the opening.

    Args:
        seat: of whoever opened them.
        name: what the patient is called.
        done: what came of it so far.
        records: by the CIDs of their headers.
        progress: is told.
    """
    done.records = len(records)
    if records:
        done.opening = seat.openings.add(name, list(records.values()), _told(done, seat))
        # A large one is fetched when somebody looks at it, and nobody does yet.
        if all(record.info.size <= FETCHED for record in records.values()):
            progress.stage(_("They are put in order, to be looked at"))
            prepare(seat, done.opening)
    return done


def _told(done: Opened, seat: Seat) -> Told:
    """Return what the pages that show the records say of what isn't among them."""
    return Told(
        omissions=tuple(f"{seat.names.of(one.hospital)}, {one.what}: {one.error}" for one in done.omissions),
        withdrawn=tuple(
            Withdrawn(seat.names.of(one.hospital), one.category, one.year, one.withdrawn_at, one.reason)
            for one in done.withdrawn
        ),
        withheld=done.withheld,
    )


def _open(
    actor: ReadingSession,
    view: PolicyView,
    wish: Wish,
    progress: Any,
    done: Opened,
    records: dict[str, OpenedRecord],
) -> None:
    """Open what one grant opens, and note what it doesn't."""
    found = actor.open(
        view,
        purpose=wish.purpose or None,
        categories=[wish.category] if wish.category else (),
        years=() if wish.year is None else [wish.year],
        progress=progress,
    )
    if (failure := take(found, done, records)) is not None:
        done.failures.append((view, failure))


def take(found: Opening, done: Opened, records: dict[str, OpenedRecord]) -> PanaChainError | None:
    """Fetch what an opening yields and isn't there yet, and note what it doesn't; return why nothing at all came."""
    failure: PanaChainError | None = None
    try:
        for record in found:
            if record.info.header_cid in records:
                continue
            try:
                _fetch(record)
            except LEFT_OUT as exc:
                found.leave_out(record, exc)
                continue
            records[record.info.header_cid] = record
    except PartlyDoneError:
        # Its omissions are told below, each by its name.
        pass
    except PanaChainError as exc:
        # Where nothing at all could be opened it is the first omission, and told with the others.
        if not found.omissions:
            failure = exc
    done.omissions += found.omissions
    done.notices += found.notices
    done.withdrawn += found.withdrawn
    done.behind += found.behind.total
    done.withheld = tuple(dict.fromkeys((*done.withheld, *(one.value for one in found.withheld))))
    return failure


def _fetch(record: OpenedRecord) -> None:
    """Fetch a record's content now, while the work's progress is shown and its failures are told; large ones later."""
    if record.info.size <= FETCHED:
        # Kept by the record itself, once it was asked for.
        _content = record.content


def _sentences(who: str, wish: Wish, views: Sequence[PolicyView]) -> list[str]:
    """Return what opening does, before it is done; `who` is what the patient is called."""
    values = {"who": who, "category": label(CATEGORIES, wish.category), "year": wish.year}
    if wish.category and wish.year == UNDATED:
        told = _("You open the records of %(who)s in one category: %(category)s, those without a date.", **values)
    elif wish.category and wish.year is not None:
        told = _("You open the records of %(who)s in one category: %(category)s, of the year %(year)s.", **values)
    elif wish.category:
        told = _("You open the records of %(who)s in one category: %(category)s.", **values)
    elif wish.year == UNDATED:
        told = _("You open the records of %(who)s that are without a date.", **values)
    elif wish.year is not None:
        told = _("You open the records of %(who)s of the year %(year)s.", **values)
    else:
        told = _("You open all records that %(who)s granted you.", **values)
    purposes = [wish.purpose] if wish.purpose else list(dict.fromkeys(view.purposes[0] for view in views))
    return [
        told,
        _("The purpose that you state is: %(purposes)s.", purposes=", ".join(label(PURPOSES, one) for one in purposes)),
        _(
            "Proxies sign that you opened them, when and for which purpose. The patient sees it in their log, and"
            " nobody can take it out of there."
        ),
        _("The records stay in this session, and go when it is locked."),
    ]


def _surveys(seat: Seat) -> dict[Address, Sequence[Survey]]:
    """Return what was counted since the session was unlocked, by patient."""
    return seat.kept("surveys", dict[Address, Sequence[Survey]])


def _hospital(seat: Seat, address: Address) -> str:
    return seat.names.of(address, Role.HOSPITAL)


def _categories(views: Sequence[PolicyView]) -> list[str]:
    """Return the categories that a choice offers: those that the grants name, or all of them."""
    words = {scope.partition("/")[0] for view in views for scope in view.scopes}
    if words & {"all", "emergency"}:
        return [one.value for one in Category]
    return [one.value for one in Category if one.value in words]
