"""What somebody opened, in the viewer: its pages, pictures and files, and records as they were published.

An opening is in memory and goes when the seat locks; nothing of it has an address that another session could use. A
file goes out as a download that no browser shows. Follows docs/spec/portal.md and docs/adr/0039.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from panachain.model.actors import Role
from panachain.plain import clean
from panachain.portal import i18n
from panachain.portal.desk import Opening, Seat, seated
from panachain.portal.i18n import N_, gettext
from panachain.portal.pages import Page
from panachain.portal.rendering import render
from panachain.portal.software import Listed, listed
from panachain.viewer import rendering
from panachain.viewer.chart import Chart, chart
from panachain.viewer.documents import SUFFIXES, Document
from panachain.viewer.images import Picture, Window, cine, drawn, picture
from panachain.viewer.items import UnreadableError, items_of

router = APIRouter()
PAGES: Final[tuple[Page, ...]] = (
    Page("/opened", N_("Opened records"), frozenset({Role.PATIENT, Role.PRACTITIONER, Role.RESEARCHER}), 60),
)
_MOST_RAW: Final = 100_000
"""Characters of a record that one page shows as it was published."""
_CHARTS: Final = 4
"""Charts that a seat keeps: an opening in a language each."""
Seated = Annotated[Seat, Depends(seated())]


@dataclass(frozen=True)
class _Links:
    """Addresses of one opening."""

    base: str

    def section(self, key: str, page: int) -> str:
        return f"{self.base}/section/{key}?page={page}" if key else self.base

    def analyte(self, key: str, number: int) -> str:
        return f"{self.base}/section/{key}/{number}"

    def document(self, key: str) -> str:
        return f"{self.base}/document/{quote(key, safe='')}"

    def image(self, key: str, what: str) -> str:
        return f"{self.base}/picture/{quote(key, safe='')}/{quote(what, safe='')}"

    def file(self, document: Document) -> str:
        return "" if document.key.endswith("-file") else f"{self.base}/file/{quote(document.key, safe='')}"

    def raw(self, record: int) -> str:
        return f"{self.base}/record/{record}"

    def window(self, document: Document) -> str:
        return self.document(document.key)


@router.get("/opened")
async def opened(request: Request, seat: Seated) -> Response:
    """Show what was opened since the seat was unlocked."""
    return render(request, "viewing/list.html", title=gettext(N_("Opened records")), openings=seat.openings.items())


@router.get("/opened/{name}")
async def overview(request: Request, seat: Seated, name: str) -> Response:
    """Show the overview of an opening."""
    shown = await chart_of(seat, name)
    body = await seat.run(lambda _: rendering.overview(shown, _Links(f"/opened/{name}")))
    return _page(request, seat, name, shown, body, key="", software=await listed(seat, name, shown))


@router.get("/opened/{name}/section/{key}")
async def section(request: Request, seat: Seated, name: str, key: str, page: int = 1) -> Response:
    """Show one page of a section."""
    shown = await chart_of(seat, name)
    if not shown.section_is_known(key):
        raise HTTPException(404)
    body = await seat.run(lambda _: rendering.section(shown, key, page, _Links(f"/opened/{name}")))
    return _page(request, seat, name, shown, body, key=key, title=rendering.title_of(shown, key))


@router.get("/opened/{name}/section/{key}/{number}")
async def analyte(request: Request, seat: Seated, name: str, key: str, number: int) -> Response:
    """Show all values of one analyte."""
    shown = await chart_of(seat, name)
    if not 0 < number <= len(shown.section(key).analytes):
        raise HTTPException(404)
    body = await seat.run(lambda _: rendering.analyte(shown, key, number, _Links(f"/opened/{name}")))
    title = shown.section(key).analytes[number - 1].title or rendering.title_of(shown, key)
    return _page(request, seat, name, shown, body, key=key, title=title)


@router.get("/opened/{name}/document/{key}")
async def document(
    request: Request, seat: Seated, name: str, key: str, centre: float = 0.0, width: float = 0.0
) -> Response:
    """Show a document; a DICOM object in a window that somebody chose, if they did."""
    shown = await chart_of(seat, name)
    found = _document(shown, key)
    own = Window(centre, width) if width >= 1 and abs(centre) < 1e6 and width < 1e6 else None
    body = await seat.run(lambda _: rendering.document(shown, found, _Links(f"/opened/{name}"), own=own))
    title = rendering.document_title(shown, found)
    return _page(request, seat, name, shown, body, key="document", title=title)


@router.get("/opened/{name}/picture/{key}/{what}")
async def picture_of(seat: Seated, name: str, key: str, what: str) -> Response:
    """Return a picture, drawn anew: nothing of the file itself goes out."""
    shown = await chart_of(seat, name)
    found = _document(shown, key)
    made = await seat.run(lambda _: _drawn(shown, found, what))
    if not made.content:
        raise HTTPException(404)
    return Response(made.content, media_type="image/png")


@router.get("/opened/{name}/file/{key}")
async def file_of(seat: Seated, name: str, key: str) -> Response:
    """Return a file as it was published, to be saved."""
    shown = await chart_of(seat, name)
    found = _document(shown, key)
    try:
        content = await seat.run(lambda _: found.read())
    except UnreadableError:
        raise HTTPException(404) from None
    suffix = SUFFIXES.get(found.kind, "bin")
    # Of no type that a browser shows, and under a name of ours.
    saved = {"content-disposition": f'attachment; filename="record-{found.record}.{suffix}"'}
    return Response(content, media_type="application/octet-stream", headers=saved)


@router.get("/opened/{name}/record/{number}")
async def record(request: Request, seat: Seated, name: str, number: int, start: int = 0) -> Response:
    """Show a record as it was published, as a text."""
    shown = await chart_of(seat, name)
    item = next((one for one in shown.records if one.number == number), None)
    if item is None:
        raise HTTPException(404)
    start = max(start, 0)

    def read(_: Any) -> tuple[str, int]:
        text = item.content.decode("utf-8", "replace")
        return clean(text[start : start + _MOST_RAW], most=_MOST_RAW), len(text)

    try:
        text, size = await seat.run(read)
    except UnreadableError:
        raise HTTPException(404) from None
    following = start + _MOST_RAW if start + _MOST_RAW < size else None
    title = gettext(N_("Record %(number)s as it was published")) % {"number": number}
    return render(
        request,
        "viewing/record.html",
        title=title,
        name=name,
        item=item,
        text=text,
        following=following,
        number=number,
        shown=shown,
    )


@router.get("/viewer.css")
async def style(_: Seated) -> Response:
    """Return the viewer's style sheet."""
    return Response(rendering.style(), media_type="text/css; charset=utf-8")


class _Charts:
    """Charts of a seat, by opening and language; two threads make them."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], Chart] = {}
        self._lock = Lock()

    def get(self, wanted: tuple[str, str]) -> Chart | None:
        return self._made.get(wanted)

    def put(self, wanted: tuple[str, str], made: Chart) -> None:
        with self._lock:
            while len(self._made) >= _CHARTS:
                self._made.pop(next(iter(self._made)))
            self._made[wanted] = made


def prepare(seat: Seat, name: str) -> None:
    """Make the chart of an opening in the language of this request, so that the first look at it waits for nothing.

    It is for the thread that opened the records: their content is fetched by its session of the SDK.
    """
    opening = seat.openings.get(name)
    if opening is not None:
        language = i18n.current()
        seat.kept("charts", _Charts).put((name, language), _made(seat, opening, language))


def _made(seat: Seat, opening: Opening, language: str) -> Chart:
    names = seat.names
    items = items_of(
        opening.records, names=lambda address: names.of(address, Role.HOSPITAL), named=lambda one: names.of(one)
    )
    return chart(items, language=language, now=time.time(), told=opening.told)


async def chart_of(seat: Seat, name: str) -> Chart:
    """Return the chart of an opening in the language of this request; it is made once."""
    opening = seat.openings.get(name)
    if opening is None:
        raise HTTPException(404)
    kept = seat.kept("charts", _Charts)
    language = i18n.current()
    found = kept.get((name, language))
    if found is None:
        # In the seat's thread: large records are fetched then.
        found = await seat.run(lambda _: _made(seat, opening, language))
        kept.put((name, language), found)
    return found


def _document(shown: Chart, key: str) -> Document:
    found = shown.document(key)
    if found is None:
        raise HTTPException(404)
    return found


def _drawn(shown: Chart, found: Document, what: str) -> Picture:
    try:
        if found.kind == "picture":
            return picture(found.read())
        if what == "cine":
            return cine(found.read())
        own = rendering.window_of(what)
        if own is not None:
            return drawn(found.read(), window=own)
        windows = {known: window for known, _, window in rendering.pictures_of(shown, found)}
        return drawn(found.read(), window=windows[what]) if what in windows else Picture(b"")
    except UnreadableError as exc:
        return Picture(b"", str(exc))


def _page(
    request: Request,
    seat: Seat,
    name: str,
    shown: Chart,
    body: Any,
    *,
    key: str,
    title: str = "",
    software: Sequence[Listed] = (),
) -> Response:
    opening = seat.openings.get(name)
    whole = opening.title if opening is not None else ""
    return render(
        request,
        "viewing/page.html",
        title=title or whole,
        whole=whole,
        name=name,
        sections=[(one.key, rendering.title_of(shown, one.key), one.count) for one in shown.sections],
        key=key,
        body=body,
        software=software,
    )
