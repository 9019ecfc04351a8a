"""Looking words up: a patient's in their own records, a reader's in those of a grant.

What is looked for stands in no address and in no log; it is forgotten with the piece of work that looked. Follows
docs/spec/search.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from panachain.errors import UsageError
from panachain.model.actors import Role
from panachain.model.policy import PolicyStatus
from panachain.model.scope import Category
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _, current
from panachain.portal.jobs import JobProgress
from panachain.portal.pages import Page
from panachain.portal.pages.patient_choosing import day_of
from panachain.portal.refusals import said
from panachain.portal.rendering import render, to
from panachain.records.lexicon import LANGUAGES
from panachain.records.search import Query
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.results.searches import SearchResult

_READERS: Final = (Role.PRACTITIONER, Role.RESEARCHER)
PAGES: Final = (
    Page("/search", N_("Search"), frozenset({Role.PATIENT}), 15),
    Page("/search", N_("Search"), frozenset(_READERS), 35),
)
SHOWN: Final = 200
"""Records that a page names."""

router = APIRouter()
Sitting = Annotated[Seat, Depends(seated(Role.PATIENT, *_READERS))]
Filled = Annotated[Form, Depends(checked_form)]


@dataclass(frozen=True)
class Found:
    """What a page shows of a search."""

    words: str
    policy: str
    """Empty for a patient's own records."""
    result: SearchResult
    category: str = ""
    """The only one that was looked through; empty for all."""
    days: tuple[str, str] = ("", "")
    """Published from which day to which, both included; empty for any."""


def _granted(actor: Any) -> list[PolicyView]:
    return [view for view in actor.inbox() if view.status is PolicyStatus.ACTIVE]


@router.get("/search")
async def form(request: Request, seat: Sitting) -> Response:
    """Ask what shall be looked for, and where."""
    reads = seat.profile.role in _READERS
    granted = await seat.run(_granted) if reads else []
    categories = [one.value for one in Category]
    return render(
        request, "everyone/search.html", title=_("Search"), reads=reads, granted=granted, categories=categories
    )


@router.post("/search")
async def search(seat: Sitting, filled: Filled) -> Response:
    """Look for words; the first time it takes as long as opening the records."""
    words, policy = filled["words"].strip(), ""
    try:
        Query.of_line(words)
    except UsageError as exc:
        text = _("Nothing can be looked for by this: it takes a word, or three letters before an asterisk.")
        raise said(UsageError(text)) from exc
    if seat.profile.role in _READERS:
        policy = filled["policy"]
    category, days = filled.get("category"), (filled.get("since"), filled.get("until"))
    if category and category not in {one.value for one in Category}:
        raise said(UsageError(_("Choose one of the categories of the form; nothing was looked for.")))
    since, until = day_of(days[0]), day_of(days[1], later=1)

    # Whoever reads German looks for German words, too.
    spoken = {current()} & LANGUAGES.keys()

    def work(actor: Any, progress: JobProgress) -> Found:
        progress.stage(_("What hospitals published is looked through"))
        opening = actor.open(policy) if policy else actor.records()
        chosen = (category,) if category else ()
        result = opening.search(words, categories=chosen, since=since, until=until, limit=SHOWN, languages=spoken)
        return Found(words, policy, result, category, days)

    return to(seat.start(_("Searching"), work, template="everyone/found.html", path="/search"))
