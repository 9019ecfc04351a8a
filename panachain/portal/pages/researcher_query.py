"""The researcher's query builder: what is public on chain, as a table, as plots, and to take along.

A query has an address of its own: whoever opens it again sees the same, as it names the block as of which it is
answered. Shows public data only, and none that the chain doesn't show. Follows docs/spec/cli.md, section
"Values".
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from markupsafe import Markup

from panachain.cli import words
from panachain.errors import UsageError
from panachain.model.actors import Role
from panachain.model.scope import Category, Purpose
from panachain.plain import cell, json_line, line
from panachain.portal.desk import Seat, seated
from panachain.portal.i18n import N_, _
from panachain.portal.labels import CATEGORIES, PURPOSES, STATES, label
from panachain.portal.pages import Page
from panachain.portal.paging import PER_PAGE, place_of
from panachain.portal.plots import Bars
from panachain.portal.refusals import said
from panachain.portal.rendering import render
from panachain.research.index import KINDS, AnyResult, QueryProvenance, StorageRow, Tally, TallyGroup
from panachain.sdk.researcher import Researcher

router = APIRouter()
PAGES: Final = (Page("/research", N_("Query"), frozenset({Role.RESEARCHER}), 0),)
STATUSES: Final = ("not_yet", "active", "expired", "revoked")
FORMATS: Final = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
_MONTHS: Final = 36
"""Months that a plot shows one by one; more are put together by year."""
_HOSPITALS: Final = 20
"""Hospitals that a plot names; the others are put together."""
_DAY: Final = 86_400
Asker = Annotated[Seat, Depends(seated(Role.RESEARCHER))]


@dataclass(frozen=True)
class Question:
    """What is asked, as the form has it and as the address says it."""

    kind: str = "policies"
    since: str = ""
    """A day (UTC); from its beginning on."""
    until: str = ""
    """A day (UTC); before its beginning."""
    status: str = ""
    categories: tuple[str, ...] = ()
    purpose: str = ""
    hospital: str = ""
    """Profile name, handle or address."""
    block: str = ""
    """As of which the chain is read; empty for the newest."""

    @classmethod
    def of(cls, request: Request) -> Question:
        """Return what an address asks. What the kind doesn't know is left out, as the form shows it for both.

        Raises:
            UsageError: a word that means nothing.
        """
        given = request.query_params
        kind = given.get("kind", "policies")
        if kind not in KINDS:
            raise said(UsageError(_("There is nothing of this kind to be queried: %(kind)s", kind=line(kind[:40]))))
        since, until = (given.get(name, "").strip()[:200] for name in ("since", "until"))
        asked = cls(kind, since, until, block=given.get("block", "").strip())
        if kind == "storage":
            asked = replace(asked, hospital=given.get("hospital", "").strip()[:200])
        else:
            asked = replace(
                asked,
                status=given.get("status", ""),
                categories=tuple(dict.fromkeys(given.getlist("category"))),
                purpose=given.get("purpose", ""),
            )
        # Each word is looked at here, so that nothing else reaches the index or a file's name.
        asked.filters()
        return asked

    def filters(self) -> dict[str, Any]:
        """Return it by the names of `Researcher.query`.

        Raises:
            UsageError: a word that means nothing.
        """
        if self.status and self.status not in STATUSES:
            raise said(UsageError(_("There is no such state: %(state)s", state=line(self.status[:40]))))
        if self.block and not (self.block.isascii() and self.block.isdigit() and len(self.block) < 16):
            raise said(UsageError(_("A block has a number.")))
        found: dict[str, Any] = {
            "since": _moment(self.since),
            "until": _moment(self.until),
            "as_of_block": int(self.block) if self.block else None,
            "status": self.status or None,
            "categories": tuple(Category.parse(one) for one in self.categories) or None,
            "purpose": Purpose.parse(self.purpose) if self.purpose else None,
            "hospital": self.hospital or None,
        }
        return {name: value for name, value in found.items() if value is not None}

    def fields(self) -> list[tuple[str, str]]:
        """Return it as the address says it."""
        single = ("kind", "since", "until", "status", "purpose", "hospital", "block")
        named = [(name, str(getattr(self, name))) for name in single if getattr(self, name)]
        return [*named, *(("category", one) for one in self.categories)]

    def address(self, path: str = "/research", **more: object) -> str:
        """Return where it is asked."""
        return f"{path}?{urlencode([*self.fields(), *((name, str(value)) for name, value in more.items())])}"

    def command(self, profile: str) -> str:
        """Return the same question for the command line."""
        parts = ["panachain", "--profile", profile, "query", self.kind]
        for option, value in (
            ("--since", self.since),
            ("--until", self.until),
            ("--state", self.status),
            *(("--category", one) for one in self.categories),
            ("--purpose", self.purpose),
            ("--hospital", self.hospital),
            ("--as-of-block", self.block),
        ):
            parts += [option, value] if value else []
        return " ".join(map(shlex.quote, parts))


@dataclass(frozen=True)
class Answer:
    """What is shown of a question."""

    asked: Question
    """With the block as of which it was answered."""
    result: AnyResult
    """The rows of this page."""
    tally: Tally
    page: int
    last: int


@router.get("/research")
async def query(request: Request, seat: Asker, page: int = 1) -> Response:
    """Show the form, and what it finds."""
    asked = Question.of(request)
    answer = await seat.run(_answered, asked, page)
    return render(
        request,
        "researcher/query.html",
        title=_("Query"),
        asked=asked,
        answer=answer,
        address=lambda number: answer.asked.address(page=number),
        hospitals=_hospitals(seat, answer.result),
        provenance=answer.result.provenance,
        plots=_plots(seat, answer.tally),
        statuses=STATUSES,
        categories=[one.value for one in Category],
        purposes=[one.value for one in Purpose],
        command=answer.asked.command(seat.profile.name),
        citation=_citation(answer),
    )


@router.get("/research/download")
async def download(request: Request, seat: Asker, form: str = "csv") -> Response:
    """Return all rows of a question as a file; the address says as of which block."""
    asked = Question.of(request)
    if form not in FORMATS:
        raise said(UsageError(_("There is no such kind of file: %(form)s", form=line(form[:40]))))
    result: AnyResult = await seat.run(lambda actor: actor.query(asked.kind, **asked.filters()))
    of = result.provenance
    name = f"{asked.kind}-chain-{of.chain_id}-block-{of.block}.{form}"
    body = _json(result) if form == "json" else _csv(result)
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(body, media_type=FORMATS[form], headers=headers)


def _answered(actor: Researcher, asked: Question, page: int) -> Answer:
    """Answer a question: one page of its rows, and how all of them fall into groups, as of one block."""
    filters = asked.filters()
    tally = actor.tally(asked.kind, **filters)
    asked = replace(asked, block=str(tally.provenance.block))
    page, last = place_of(tally.rows, page, size=PER_PAGE)
    # As of the block of the tally, which a block that comes in between must not change.
    filters["as_of_block"] = tally.provenance.block
    result = actor.query(asked.kind, limit=PER_PAGE, offset=(page - 1) * PER_PAGE, **filters)
    return Answer(asked, result, tally, page, last)


def _plots(seat: Seat, tally: Tally) -> list[tuple[Bars, Markup]]:
    """Return the plots of an answer, each as numbers and as it is drawn."""
    return [(bars, bars.svg(name)) for name, bars in _bars_of(seat, tally)]


def _bars_of(seat: Seat, tally: Tally) -> list[tuple[str, Bars]]:
    """Return the plots of an answer, each with its name on the page."""
    if not tally.rows:
        return []
    if tally.kind == "storage":
        return [
            (
                "records-per-month",
                _over_time(tally, _("Records stored"), _("Records"), lambda group: group.records),
            ),
            ("records-per-hospital", _by_hospital(seat, tally)),
            ("transactions-per-month", _over_time(tally, _("Storage transactions"), _("Transactions"), _rows)),
        ]
    open_ones = [group for group in tally.groups if group.purpose_bits or group.category_bits]
    sealed = tally.rows - sum(group.rows for group in open_ones)
    plots = [
        ("policies-per-month", _over_time(tally, _("Policies granted"), _("Policies"), _rows)),
        (
            "policies-by-state",
            _bars(
                _("Policies by state"),
                {label(STATES, state): number for state, number in tally.by(lambda group: [group.status]).items()},
                label_=_("State"),
                measure=_("Policies"),
            ),
        ),
    ]
    if open_ones:
        categories = tally.by(lambda group: [one.value for one in Category if group.category_bits & one.bit])
        purposes = tally.by(lambda group: [one.value for one in Purpose if group.purpose_bits & one.bit])
        note = _("Policies that are sealed say neither, and aren't in it: %(count)s.", count=f"{sealed:,}")
        plots += [
            (
                "policies-by-category",
                _bars(
                    _("Open policies by category"),
                    {label(CATEGORIES, word): number for word, number in categories.items()},
                    label_=_("Category"),
                    measure=_("Policies"),
                    note=note,
                ),
            ),
            (
                "policies-by-purpose",
                _bars(
                    _("Open policies by purpose"),
                    {label(PURPOSES, word): number for word, number in purposes.items()},
                    label_=_("Purpose"),
                    measure=_("Policies"),
                    note=note,
                ),
            ),
        ]
    return plots


def _hospitals(seat: Seat, result: AnyResult) -> dict[str, str]:
    """Return what the hospitals of a page are called."""
    return {row.hospital: seat.names.of(row.hospital, Role.HOSPITAL) for row in result if isinstance(row, StorageRow)}


def _rows(group: TallyGroup) -> int:
    return group.rows


def _over_time(tally: Tally, title: str, measure: str, of: Any) -> Bars:
    """Return numbers by month, or by year where there are many months; months without any are there too."""
    months: Counter[str] = Counter()
    for group in tally.days:
        months[_month(group.day)] += of(group)
    named = _months(min(months), max(months))
    if len(named) <= _MONTHS:
        numbers, unit = {month: months[month] for month in named}, _("Month")
    else:
        numbers, unit = {}, _("Year")
        for month in named:
            numbers[month[:4]] = numbers.get(month[:4], 0) + months[month]
    most = max(numbers, key=lambda one: numbers[one])
    sentence = _(
        "From %(first)s to %(last)s: %(total)s in all, the most in %(most)s, which has %(number)s.",
        first=named[0],
        last=named[-1],
        total=f"{sum(numbers.values()):,}",
        most=most,
        number=f"{numbers[most]:,}",
    )
    return Bars.of(title, numbers, label=unit, measure=measure, sentence=sentence)


def _by_hospital(seat: Seat, tally: Tally) -> Bars:
    numbers = tally.by(lambda group: [group.hospital], measure=lambda group: group.records)
    largest = numbers.most_common(_HOSPITALS)
    named: dict[str, int] = {}
    for address, number in largest:
        name = line(seat.names.of(address, Role.HOSPITAL))
        # Two may be called the same by the address book.
        named[name if name not in named else f"{name} {words.short(address)}"] = number
    rest = sum(numbers.values()) - sum(number for _address, number in largest)
    if rest:
        named[_("others")] = rest
    return _bars(_("Records by hospital"), named, label_=_("Hospital"), measure=_("Records"))


def _bars(title: str, numbers: Mapping[str, int], *, label_: str, measure: str, note: str = "") -> Bars:
    sentence = ""
    if numbers:
        most = max(numbers, key=lambda one: numbers[one])
        sentence = _("The most: %(most)s, with %(number)s.", most=line(most), number=f"{numbers[most]:,}")
    sentence = " ".join(part for part in (sentence, note) if part)
    return Bars.of(title, numbers, label=label_, measure=measure, sentence=sentence, largest_first=True)


def _month(day: int) -> str:
    try:
        return datetime.fromtimestamp(day * _DAY, UTC).strftime("%Y-%m")
    except (ValueError, OverflowError, OSError):
        # No calendar has it.
        return "9999-12"


def _months(first: str, last: str) -> list[str]:
    """Return all months from the first to the last one."""
    year, month = int(first[:4]), int(first[5:])
    found = []
    while (told := f"{year:04d}-{month:02d}") <= last:
        found.append(told)
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return found


def _citation(answer: Answer) -> str:
    """Return how a publication names this answer."""
    of: QueryProvenance = answer.result.provenance
    asked = ", ".join(f"{name}={value}" for name, value in answer.asked.fields() if name not in ("kind", "block"))
    return (
        f"PanaChain, chain {of.chain_id}, {answer.asked.kind}{f' ({asked})' if asked else ''}:"
        f" {answer.tally.rows} rows as of block {of.block} ({of.block_hash}, {words.iso(of.block_time)}),"
        f" index version {of.index_version}."
    )


def _csv(result: AnyResult) -> Iterator[bytes]:
    """Yield the rows as CSV, as the command line writes them: no cell is a formula for a spreadsheet."""
    piece: list[str] = [",".join(map(cell, columns_of(result.kind))) + "\n"]
    for row in result:
        piece.append(",".join(cell(_text(name, value)) for name, value in row.to_json().items()) + "\n")
        if len(piece) >= 1000:
            yield "".join(piece).encode()
            piece.clear()
    yield "".join(piece).encode()


def columns_of(kind: str) -> list[str]:
    """Return what the columns of a kind are called, also where no row fits."""
    renamed = {"purpose_bits": "purposes", "category_bits": "categories"}
    return [renamed.get(one.name, one.name) for one in fields(KINDS[kind][0])]


def _json(result: AnyResult) -> Iterator[bytes]:
    """Yield the result as `panachain/query/1` has it."""
    yield json_line(result.to_json()).encode() + b"\n"


def _text(name: str, value: object) -> str:
    if value is None or value == "":
        return words.ABSENT
    if isinstance(value, int) and name.endswith("_at"):
        return words.iso(value)
    return line(str(value))


def _moment(text: str) -> int | None:
    """Return the beginning of a day (UTC), Unix seconds."""
    if not text:
        return None
    try:
        return int(datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC).timestamp())
    except (ValueError, OverflowError):
        raise said(UsageError(_("A day is written like this: 2026-11-29."))) from None
