"""A folder of pages: what `open` writes beside the records, so that they can be read without a program.

Pages are static, need no script, load nothing and work from the disk. Pictures and files that stand in records lie
beside them; what a browser would run (XML, HTML, SVG) is never linked nor written under a name that makes it run.
Names are made of numbers, never taken from a record. Follows docs/spec/cli.md, section "Opened records".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import PurePosixPath
from typing import Final

from panachain.viewer import rendering
from panachain.viewer.chart import Chart
from panachain.viewer.documents import Document
from panachain.viewer.images import Picture, Window, cine, drawn, picture
from panachain.viewer.items import UnreadableError
from panachain.viewer.words import N_

INDEX: Final = "index.html"
FOLDER: Final = "view"
_LINKED: Final = frozenset({".json", ".pdf", ".dcm", ".txt", ".hl7"})
"""Ends of names of files that a browser shows as text, in a viewer of its own, or saves."""
MOST_PICTURES: Final = 1_000
"""Pictures that are drawn; of the rest it is said."""
TOO_MANY: Final = N_("there are too many pictures to draw all")


class _Links:
    """Addresses as a page sees them."""

    def __init__(self, chart: Chart, pictures: Collection[tuple[str, str]], *, inside: bool) -> None:
        """Take the chart, the pictures that there are, and whether the page stands in the folder of pages."""
        self._up = "../" if inside else ""
        self._down = "" if inside else f"{FOLDER}/"
        self._files = {item.number: item.file for item in chart.records}
        self._names = names(chart)
        self._pictures = pictures

    def section(self, key: str, page: int) -> str:
        return f"{self._down}{page_name(key, page)}" if key else f"{self._up}{INDEX}"

    def analyte(self, key: str, number: int) -> str:
        return f"{self._down}{key}-values-{number}.html"

    def document(self, key: str) -> str:
        return f"{self._down}{self._names[key]}.html"

    def image(self, key: str, what: str) -> str:
        return f"{self._down}{self._names[key]}-{what}.png" if (key, what) in self._pictures else ""

    def file(self, document: Document) -> str:
        if document.file:
            return self._linked(document.file)
        if document.kind == "pdf" and document.key in self._names:
            return f"{self._down}{self._names[document.key]}.pdf"
        return ""

    def window(self, document: Document) -> str:
        return ""

    def raw(self, record: int) -> str:
        return self._linked(self._files.get(record, ""))

    def _linked(self, name: str) -> str:
        return f"{self._up}{name}" if PurePosixPath(name).suffix in _LINKED else ""


def names(chart: Chart) -> dict[str, str]:
    """Return the name of each document's page, by the document's key."""
    return {one.key: f"document-{place}" for place, one in enumerate(chart.all_documents, 1)}


def page_name(key: str, page: int) -> str:
    """Return the name of a section's page."""
    return f"{key}.html" if page == 1 else f"{key}-{page}.html"


def files(chart: Chart) -> Iterator[tuple[str, bytes]]:
    """Yield each file to be written, its name relative to the folder of the records, and its content."""
    named = names(chart)
    pictures, failures = set[tuple[str, str]](), dict[str, list[str]]()
    for document in chart.all_documents:
        for what, content in _pictures(chart, document, failures, many=len(pictures) >= MOST_PICTURES):
            pictures.add((document.key, what))
            yield f"{FOLDER}/{named[document.key]}-{what}.png", content
        if document.kind == "pdf" and not document.file:
            yield f"{FOLDER}/{named[document.key]}.pdf", document.read()
    outside, inside = (_Links(chart, pictures, inside=inside) for inside in (False, True))
    title = rendering.title_of(chart, "")
    yield INDEX, rendering.page(chart, title, rendering.overview(chart, outside), outside).encode()
    for section in chart.sections:
        for number in range(1, rendering.page_count(section) + 1):
            body = rendering.section(chart, section.key, number, inside)
            made = rendering.page(chart, rendering.title_of(chart, section.key), body, inside, key=section.key)
            yield f"{FOLDER}/{page_name(section.key, number)}", made.encode()
        for number, analyte in enumerate(section.analytes, 1):
            if len(analyte.points) > rendering.FEW_VALUES or analyte.denied:
                body = rendering.analyte(chart, section.key, number, inside)
                made = rendering.page(chart, analyte.title or section.title, body, inside, key=section.key)
                yield f"{FOLDER}/{section.key}-values-{number}.html", made.encode()
    framed = rendering.frame(chart, inside, key="document")
    for document in chart.all_documents:
        body = rendering.document(chart, document, inside, failures=failures.get(document.key, ()))
        made = framed(rendering.document_title(chart, document), body)
        yield f"{FOLDER}/{named[document.key]}.html", made.encode()


def _pictures(
    chart: Chart, document: Document, failures: dict[str, list[str]], *, many: bool
) -> Iterator[tuple[str, bytes]]:
    """Yield the pictures of a document, and note why others can't be drawn."""
    wanted = [("frame", "", None)] if document.kind == "picture" else list(rendering.pictures_of(chart, document))
    for what, _, window in wanted:
        try:
            made = Picture(b"", TOO_MANY) if many else _drawn(document, what, window)
        except UnreadableError as exc:
            made = Picture(b"", str(exc))
        if made.content:
            yield what, made.content
        else:
            failures[document.key] = [made.error]
            return


def _drawn(document: Document, what: str, window: Window | None) -> Picture:
    content = document.read()
    if document.kind == "picture":
        return picture(content)
    return cine(content) if what == "cine" else drawn(content, window=window)
