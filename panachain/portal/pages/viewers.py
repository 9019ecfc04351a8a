"""Software that travels with records: who published it, what it shall get, and the page on which it runs.

Whatever runs here was signed by an admitted publisher, was confirmed by whoever runs it, and gets the records that the
confirmation named and nothing else: no network, no cookie, no page but its own frame. The server never runs any of it.
Follows docs/spec/viewers.md and ADR 46.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from panachain.errors import IntegrityError, UsageError
from panachain.model.actors import handle_of
from panachain.portal import i18n
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import _, ngettext
from panachain.portal.labels import CATEGORIES, ROLES, label
from panachain.portal.pages import Page
from panachain.portal.pages.viewing import chart_of
from panachain.portal.refusals import said
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.portal.security import FRAME
from panachain.portal.software import checked, viewers_of
from panachain.records.viewer_bundle import MEDIA_TYPE, ViewerBundle, read_bundle
from panachain.sdk.results.viewers import ViewerView
from panachain.viewer.chart import Chart
from panachain.viewer.documents import Document
from panachain.viewer.items import Item, UnreadableError

router = APIRouter()
PAGES: Final[tuple[Page, ...]] = ()
PROTOCOL: Final = 1
"""Version of what the software is told, docs/spec/viewers.md."""
MOST_BYTES: Final = 64 << 20
"""Bytes of records that one run gets."""
MOST_RECORDS: Final = 2_000
_RUNS: Final = 4
"""Runs that a seat keeps; the oldest goes first."""
Seated = Annotated[Seat, Depends(seated())]
Filled = Annotated[Form, Depends(checked_form)]


@dataclass(frozen=True)
class Run:
    """Software that somebody agreed to run, and what they agreed that it gets."""

    opening: str
    """The opening's name."""
    viewer: ViewerView
    bundle: ViewerBundle = field(repr=False)
    records: tuple[Item, ...] = field(repr=False)

    @property
    def described(self) -> dict[str, Any]:
        """What the software is told of its files and records, beside their bytes."""
        return {
            "protocol": PROTOCOL,
            "page": self.bundle.page,
            "style": self.bundle.style,
            "program": self.bundle.program,
            "files": [{"name": name, "size": len(file)} for name, file in self.bundle.files.items()],
            "records": [
                {
                    "number": one.number,
                    "category": one.category,
                    "year": one.year,
                    "mediaType": one.media_type,
                    "hospital": one.source,
                    "storedAt": one.stored_at,
                    "size": len(one.content),
                }
                for one in self.records
            ],
        }


@dataclass(frozen=True)
class Choice:
    """A category that the software can get."""

    category: str
    records: int
    size: int
    """Bytes."""
    wanted: bool
    """Whether the software says that it is made for it."""


@router.get("/opened/{name}/viewer/{key}")
async def viewer(request: Request, seat: Seated, name: str, key: str) -> Response:
    """Show what a bundle is, who published it, and what it could get."""
    shown = await chart_of(seat, name)
    found = viewer_of(shown, key)
    view = await seat.run(lambda actor: checked(actor, found))
    return render(
        request,
        "viewing/viewer.html",
        title=view.name,
        name=name,
        key=key,
        view=view,
        handle=_handle(view),
        choices=choices(shown, view),
    )


@router.post("/opened/{name}/viewer/{key}")
async def run(request: Request, seat: Seated, name: str, key: str, form: Filled) -> Response:
    """Run it over the records of some categories, once that was confirmed."""
    shown = await chart_of(seat, name)
    found = viewer_of(shown, key)
    # Once more at each of both forms: what was signed then may be by somebody who is suspended now.
    view, content = await seat.run(lambda actor: (checked(actor, found), found.read()))
    view.check()
    wanted = form.all("category")
    records = await seat.run(lambda _actor: _chosen(shown, wanted))
    if not confirmed(request, form):
        return confirm(
            request,
            title=_("Run %(name)s", name=view.name),
            sentences=_sentences(view, records, wanted),
            fields={"category": wanted, "sha256": view.sha256},
            button=_("Run it"),
            back=f"/opened/{name}/viewer/{key}",
        )
    if form["sha256"] != view.sha256:
        raise said(IntegrityError(_("This isn't the software that the confirmation named; nothing was run.")))
    runs: dict[str, Run] = seat.kept("running", dict)
    token = secrets.token_urlsafe(18)
    while len(runs) >= _RUNS:
        runs.pop(next(iter(runs)))
    runs[token] = Run(name, view, read_bundle(content).bundle, records)
    return to(f"/running/{token}")


@router.get("/running/{token}")
async def running(request: Request, seat: Seated, token: str) -> Response:
    """Show the page on which software runs, in a frame that can do nothing but show it."""
    one = _run(seat, token)
    return render(
        request, "viewing/running.html", title=one.viewer.name, token=token, run=one, view=one.viewer, frame=FRAME
    )


@router.get("/running/{token}/told")
async def told(seat: Seated, token: str) -> Response:
    """Return what the software is told: names, sizes and where each record comes from, as JSON."""
    one, language = _run(seat, token), i18n.current()
    described = await seat.run(lambda _actor: json.dumps(one.described | {"language": language}))
    return Response(described, media_type="application/json")


@router.get("/running/{token}/bytes")
async def bytes_(seat: Seated, token: str) -> Response:
    """Return the bytes of its files and of its records, one after the other, in the order of `told`."""
    one = _run(seat, token)
    together = await seat.run(
        lambda _actor: b"".join([*one.bundle.files.values(), *(record.content for record in one.records)])
    )
    return Response(together, media_type="application/octet-stream")


@router.get(FRAME)
async def frame(request: Request, _seat: Seated) -> Response:
    """Return the page in the frame: the same for all software, of which it holds nothing."""
    return render(request, "viewing/frame.html")


def viewer_of(shown: Chart, key: str) -> Document:
    """Return the software of this key.

    Raises:
        HTTPException: there is none.
    """
    found = next((one for one in viewers_of(shown) if one.key == key), None)
    if found is None:
        raise HTTPException(404)
    return found


def choices(shown: Chart, view: ViewerView) -> list[Choice]:
    """Return what the software could get, by category."""
    found: dict[str, list[Item]] = {}
    for one in _data(shown):
        found.setdefault(one.category, []).append(one)
    return [
        Choice(word, len(some), sum(one.size for one in some), word in view.wants)
        for word, some in sorted(found.items(), key=lambda one: label(CATEGORIES, one[0]))
    ]


def _data(shown: Chart) -> list[Item]:
    """Return the records that software can get: no other software, and nothing too large."""
    return [one for one in shown.records if one.media_type != MEDIA_TYPE and not one.is_too_large]


def _chosen(shown: Chart, categories: Sequence[str]) -> tuple[Item, ...]:
    """Return the records of some categories whose bytes can be had."""
    records = [one for one in _data(shown) if one.category in categories]
    if not records:
        raise said(UsageError(_("No records were chosen, so there is nothing to run it over.")))
    if len(records) > MOST_RECORDS or sum(one.size for one in records) > MOST_BYTES:
        raise said(
            UsageError(
                _(
                    "These are more records than software gets at once (%(records)s, %(size)s MiB).",
                    records=MOST_RECORDS,
                    size=64,
                ),
                hint=_("Choose fewer categories, or open fewer records."),
            )
        )
    try:
        missing = [one for one in records if len(one.content) != one.size]
    except UnreadableError as exc:
        raise UsageError(str(exc)) from exc
    return tuple(one for one in records if one not in missing)


def _run(seat: Seat, token: str) -> Run:
    one: Run | None = seat.keep.get("running", {}).get(token)
    if one is None or seat.openings.get(one.opening) is None:
        raise HTTPException(404)
    return one


def _handle(view: ViewerView) -> str:
    return handle_of(view.publisher, view.role) if view.role is not None else view.publisher


def _sentences(view: ViewerView, records: Sequence[Item], wanted: Sequence[str]) -> list[str]:
    counted = [
        _(
            "%(category)s: %(count)s",
            category=label(CATEGORIES, word),
            count=sum(one.category == word for one in records),
        )
        for word in dict.fromkeys(wanted)
        if any(one.category == word for one in records)
    ]
    return [
        _(
            "%(name)s %(version)s runs: software of %(publisher)s (%(role)s, %(handle)s, %(address)s), who signed it.",
            name=view.name,
            version=view.version,
            publisher=view.publisher_name,
            role=label(ROLES, view.role.value if view.role is not None else ""),
            handle=_handle(view),
            address=view.publisher,
        ),
        ngettext(
            "It gets %(num)s record, and nothing else.", "It gets %(num)s records, and nothing else.", len(records)
        ),
        _("By category: %(categories)s", categories="; ".join(counted)),
        _("It runs apart from this page: it reaches no network, no other page, no file and none of your keys."),
        _("It keeps nothing."),
        _("What it shows is what its publisher makes of the records. It can be wrong; look at the records themselves."),
        _("Whatever it asks for: never type a passphrase into it."),
    ]
