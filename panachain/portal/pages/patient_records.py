"""A patient's own records: as a timeline and by category, each with who can read it, who did, and its versions.

Records are read once and kept with the seat, as they were sealed; a page tells when a hospital published something
since. Opens one only for the viewer. Follows design section 8 (Open) and ADR 28, 34.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from panachain.errors import Omission, PanaChainError, PartlyDoneError, UnknownActorError, UsageError
from panachain.model.actors import Address, Role
from panachain.model.records import Reason
from panachain.model.scope import Category, Scope, path_of
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _, ngettext
from panachain.portal.jobs import JobProgress
from panachain.portal.labels import CATEGORIES
from panachain.portal.pages import Page
from panachain.portal.paging import Part, part_of
from panachain.portal.refusals import said
from panachain.portal.rendering import confirm, confirmed, render, to, to_opened
from panachain.sdk.access import unread, who_reads
from panachain.sdk.auditing import Keeper
from panachain.sdk.patient import Patient
from panachain.sdk.readings import Reading
from panachain.sdk.results.choices import RecategorizeReport
from panachain.sdk.results.listings import LeftOut, Listing, unasked
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.results.records import LeftBehind, OpenedRecord, ResourceHistory, WithdrawnRecord

PAGES: Final = (Page("/records", N_("Records"), frozenset({Role.PATIENT}), 10),)
KEPT: Final = "records"
"""Under which name a seat keeps them."""
MOST_OPENED: Final = 500
"""Records that go to the viewer at once."""
_WIDE: Final = {Scope.all(), Scope.emergency()}

router = APIRouter()
Sitting = Annotated[Seat, Depends(seated(Role.PATIENT))]
Filled = Annotated[Form, Depends(checked_form)]


@dataclass
class Records:
    """All records of a patient, as they counted when they were read."""

    records: Sequence[OpenedRecord]
    """By year and time of storage, the newest first."""
    withdrawn: Sequence[WithdrawnRecord]
    omissions: Sequence[Omission]
    """What couldn't be read."""
    notices: Sequence[Omission]
    behind: LeftBehind
    published: tuple[tuple[str, bytes, int], ...]
    """What hospitals had published then."""
    at: int
    """When, Unix seconds."""
    histories: Sequence[ResourceHistory] | None = None
    """Versions; None before somebody asked for them."""
    by_id: dict[str, OpenedRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_id = {record.info.header_cid: record for record in self.records}


def read_all(patient: Patient, progress: JobProgress) -> Records:
    """Read all of a patient's records; what one hospital did wrong costs its own records only."""
    progress.stage(_("What hospitals published is looked through with your keys"))
    published = patient.hospitals.published()
    opening = patient.records(progress=progress)
    found: list[OpenedRecord] = []
    try:
        # One by one: the end raises what was left out, and what came before counts.
        for record in opening:
            found.append(record)
    except PanaChainError:
        # Where nothing at all could be read, the end is the first failure itself.
        if not opening.omissions:
            raise
    found.sort(key=lambda record: (record.info.year, record.info.stored_at, record.info.header_cid), reverse=True)
    return Records(
        records=found,
        withdrawn=sorted(opening.withdrawn, key=lambda gone: -gone.withdrawn_at),
        omissions=opening.omissions,
        notices=opening.notices,
        behind=opening.behind,
        published=published,
        at=int(patient.network.clock()),
    )


@dataclass(frozen=True)
class Listed:
    """What the list of records shows."""

    part: Part[OpenedRecord]
    category: str
    """Chosen; empty for all."""
    counts: Sequence[tuple[str, int]]
    """Categories with how many records lie in each."""
    kept: Records
    stale: bool = False
    """Whether a hospital published something since."""


def listed(kept: Records, category: str = "", page: str = "1", *, stale: bool = False) -> Listed:
    """Return one page of the list of records."""
    counts = Counter(record.info.category.value for record in kept.records)
    chosen = category if category in counts else ""
    records = [record for record in kept.records if not chosen or record.info.category.value == chosen]
    in_order = [(one.value, counts[one.value]) for one in Category if counts[one.value]]
    return Listed(part_of(records, page), chosen, in_order, kept, stale)


@dataclass(frozen=True)
class Openings:
    """Who opened what a record lies in, as the proxies told."""

    readings: Sequence[Reading]
    left_out: Sequence[LeftOut]
    at: int
    """When they were asked, Unix seconds."""
    keepers: Sequence[Keeper] = ()
    """Who may have kept the place in which it lay before it was moved."""

    @property
    def lacking(self) -> tuple[LeftOut, ...]:
        """What may still be told by who asks again."""
        return unasked(self.left_out)

    @property
    def told_from(self) -> int:
        """From when on all openings are told of what was moved and whose earlier place is gone; 0 where none is."""
        return max((one.since for one in self.left_out), default=0)


@dataclass(frozen=True)
class OneRecord:
    """What the page of one record shows."""

    record: OpenedRecord
    policies: Listing[PolicyView]
    """By which somebody can read it, now or from their beginning on; `left_out` names those in force that can't be
    read now."""
    openings: Openings | None = None
    """None before the proxies were asked."""
    versions: Sequence[ResourceHistory] | None = None
    """None before they were read."""

    @property
    def readers(self) -> list[Access]:
        """Who can read it, each once, whose permission ends last first."""
        people: dict[Address, list[PolicyView]] = {}
        for view in self.policies:
            people.setdefault(view.grantee, []).append(view)
        found = [Access(who, views[0].grantee_name, tuple(views)) for who, views in people.items()]
        return sorted(found, key=lambda one: (-one.until, one.name))

    @property
    def categories(self) -> list[str]:
        """Where else it could lie."""
        return [one.value for one in Category if one is not self.record.info.category]


@dataclass(frozen=True)
class Access:
    """One person or group who can read a record."""

    grantee: Address
    name: str
    policies: tuple[PolicyView, ...]

    @property
    def until(self) -> int:
        """When the last of it ends, Unix seconds."""
        return max(view.expires_at for view in self.policies)


def _openings_key(record_id: str) -> str:
    return f"openings/{record_id}"


def _own(patient: Patient) -> Listing[PolicyView]:
    policies = patient.policies()
    return Listing(policies, unread(policies.left_out))


def _one(seat: Seat, kept: Records, record: OpenedRecord, policies: Listing[PolicyView]) -> OneRecord:
    info = record.info
    versions = None
    if kept.histories is not None:
        versions = [one for one in kept.histories if any(of.record == info.header_cid for of in one.versions)]
    openings: Openings | None = seat.keep.get(_openings_key(info.header_cid))
    return OneRecord(
        record, Listing(who_reads(policies, info.category, info.year), policies.left_out), openings, versions
    )


def _reading_one(seat: Seat, record_id: str) -> Response:
    """Begin to read all records, and show one of them once they are there."""

    def work(patient: Patient, progress: JobProgress) -> OneRecord:
        kept = read_all(patient, progress)
        seat.put(KEPT, kept)
        return _one(seat, kept, known_record(kept, record_id), _own(patient))

    return to(seat.start(_("Reading your records"), work, template="patient/record.html", path="/records"))


def _reading(seat: Seat) -> Response:
    """Begin to read all records; their page shows itself once they are there."""

    def work(patient: Patient, progress: JobProgress) -> Listed:
        kept = read_all(patient, progress)
        seat.put(KEPT, kept)
        return listed(kept)

    # What it shows is the page itself, and its place in the navigation.
    return to(seat.start(_("Reading your records"), work, template="patient/records.html", path="/records"))


@router.get("/records")
async def records(request: Request, seat: Sitting, category: str = "", page: str = "1") -> Response:
    """List the records, the newest year first."""
    kept: Records | None = seat.keep.get(KEPT)
    if kept is None:
        return _reading(seat)
    published = await seat.run(lambda patient: patient.hospitals.published())
    shown = listed(kept, category, page, stale=published != kept.published)
    return render(request, "patient/records.html", result=shown)


@router.post("/records/again")
async def read_again(seat: Sitting, form: Filled) -> Response:
    """Read all records anew."""
    del form
    return _reading(seat)


@router.get("/records/withdrawn")
async def withdrawn(request: Request, seat: Sitting, page: str = "1") -> Response:
    """List the records that their hospitals withdrew."""
    kept: Records | None = seat.keep.get(KEPT)
    if kept is None:
        return _reading(seat)
    return render(request, "patient/withdrawn.html", part=part_of(kept.withdrawn, page))


@router.get("/records/{record_id}")
async def one_record(request: Request, seat: Sitting, record_id: str) -> Response:
    """Show where one record comes from, who can read it, and what became of it."""
    kept: Records | None = seat.keep.get(KEPT)
    if kept is None:
        return _reading_one(seat, record_id)
    record = known_record(kept, record_id)
    policies: Listing[PolicyView] = await seat.run(_own)
    return render(request, "patient/record.html", result=_one(seat, kept, record, policies))


def known_record(kept: Records, record_id: str) -> OpenedRecord:
    """Return a record by its ID.

    Raises:
        UnknownActorError: it isn't there, or was withdrawn.
    """
    if record_id in kept.by_id:
        return kept.by_id[record_id]
    for gone in kept.withdrawn:
        if gone.record_id == record_id and gone.reason == Reason.ERASED.value:
            raise said(
                UnknownActorError(_("Its hospital erased this record."), hint=_("Look through withdrawn records."))
            )
        if gone.record_id == record_id:
            raise said(
                UnknownActorError(_("Its hospital withdrew this record."), hint=_("Look through withdrawn records."))
            )
    raise said(
        UnknownActorError(
            _("There is no such record among yours, as far as they were read."), hint=_("Read your records again.")
        )
    )


@router.post("/records/versions")
async def versions(seat: Sitting, form: Filled) -> Response:
    """Read what every version of every resource changed, and go back to a record."""
    record_id = form["record"]

    def work(patient: Patient, progress: JobProgress) -> str:
        progress.stage(_("Every record is read as it was published"))
        opening = patient.records(history=True, progress=progress)
        try:
            for _record in opening:
                pass
        except PartlyDoneError:
            pass
        kept: Records | None = seat.keep.get(KEPT)
        if kept is not None:
            kept.histories = opening.histories()
        return record_id

    return to(seat.start(_("Reading all versions"), work, template="patient/versions_read.html"))


@router.post("/records/who")
async def who_read(seat: Sitting, form: Filled) -> Response:
    """Ask the proxies who opened what one record lies in."""
    record_id = form["record"]

    def work(patient: Patient, progress: JobProgress) -> Openings:
        progress.stage(_("The proxies are asked what they signed"))
        told = patient.auditing.access(record_id, progress=progress)
        found = Openings(told.readings[::-1], told.left_out, int(patient.network.clock()), told.keepers)
        seat.put(_openings_key(record_id), found)
        return found

    kept: Records | None = seat.keep.get(KEPT)
    # A withdrawn one has no page of its own.
    back = f"/records/{record_id}#did" if kept is not None and record_id in kept.by_id else "/records/withdrawn"
    return to(seat.start(_("Who opened a record"), work, template="patient/who_read.html", path="/records", back=back))


@router.post("/records/view")
async def view(seat: Sitting, form: Filled) -> Response:
    """Open records in the viewer: one, or those of a category."""
    kept: Records | None = seat.keep.get(KEPT)
    if kept is None:
        return _reading(seat)
    if "record" in form:
        chosen = [known_record(kept, form["record"])]
        title = _(CATEGORIES.get(chosen[0].info.category.value, chosen[0].info.category.value))
    else:
        word = form.get("category", "")
        chosen = [one for one in kept.records if not word or one.info.category.value == word]
        title = _(CATEGORIES.get(word, word)) if word else _("All records")
    if not chosen:
        raise said(UsageError(_("There is nothing to open.")))
    # As new ones: what the viewer reads of them goes with the viewer.
    return to_opened(seat.openings.add(title, [replace(one) for one in chosen[:MOST_OPENED]]))


def opens_wider(record: OpenedRecord, category: Category) -> bool:
    """Tell whether more people could open a record in another category: whoever has `all`, or an emergency."""
    info = record.info
    return bool(_WIDE & set(path_of(category, info.year)) - set(path_of(info.category, info.year)))


@router.post("/records/move")
async def move(request: Request, seat: Sitting, form: Filled) -> Response:
    """Ask for a record to lie in another category."""
    kept: Records | None = seat.keep.get(KEPT)
    if kept is None:
        return _reading(seat)
    record, category = known_record(kept, form["record"]), Category.parse(form["to"])
    wider = opens_wider(record, category)
    if not confirmed(request, form):
        word = _(CATEGORIES[category.value])
        sentences = [
            _("The hospital %(who)s is asked to seal it anew there.", who=seat.names.of(record.info.hospital)),
            _(
                "It lies in “%(category)s” once the hospital has done that, and until then where it lies now.",
                category=word,
            ),
            _("Newer versions that the hospital publishes go there, too. Its files go with it."),
            _("Whoever opened it before keeps what they saw."),
        ]
        if wider:
            sentences.append(
                _("More people can open it there: everybody who may read everything, or the emergency summary.")
            )
        return confirm(
            request,
            title=_("Move the record to “%(category)s”", category=word),
            sentences=sentences,
            fields={"record": form["record"], "to": category.value},
            button=_("Ask the hospital"),
            danger=wider,
            back=f"/records/{form['record']}",
        )

    def agreed(found: Sequence[str]) -> None:
        if not wider:
            raise said(
                UsageError(
                    ngettext(
                        "More people could open %(num)d record there than was said; nothing was asked for.",
                        "More people could open %(num)d records there than was said; nothing was asked for.",
                        len(found),
                    )
                )
            )

    def work(patient: Patient, progress: JobProgress) -> RecategorizeReport:
        progress.stage(_("The hospital is told"))
        return patient.choices.recategorize([record.info.header_cid], category, confirm=agreed)

    return to(seat.start(_("Moving a record"), work, template="patient/moved.html"))
