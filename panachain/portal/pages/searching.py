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
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _, current
from panachain.portal.jobs import JobProgress
from panachain.portal.pages import Page
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


def _granted(actor: Any) -> list[PolicyView]:
    return [view for view in actor.inbox() if view.status is PolicyStatus.ACTIVE]


@router.get("/search")
async def form(request: Request, seat: Sitting) -> Response:
    """Ask what shall be looked for, and where."""
    reads = seat.profile.role in _READERS
    granted = await seat.run(_granted) if reads else []
    return render(request, "everyone/search.html", title=_("Search"), reads=reads, granted=granted)


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

    # Whoever reads German looks for German words, too.
    spoken = {current()} & LANGUAGES.keys()

    def work(actor: Any, progress: JobProgress) -> Found:
        progress.stage(_("What hospitals published is looked through"))
        opening = actor.open(policy) if policy else actor.records()
        return Found(words, policy, opening.search(words, limit=SHOWN, languages=spoken))

    return to(seat.start(_("Searching"), work, template="everyone/found.html"))
