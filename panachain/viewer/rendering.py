"""Rendering: a chart as HTML, for pages of the portal and for pages that stand in a folder.

Every text is escaped by the templates; the only markup that isn't are plots of ours and what went through the allow-
list (`safe.py`). A page in a folder forbids scripts, frames, forms and everything from elsewhere by a policy of its
own. Follows HTML, WCAG 2.2 and Content Security Policy 3.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from panachain.viewer import documents, kinds, plots
from panachain.viewer.chart import Chart, Section
from panachain.viewer.documents import Document
from panachain.viewer.fhir import Entry
from panachain.viewer.images import DicomHeader, Window
from panachain.viewer.moments import Moment, of_seconds
from panachain.viewer.observations import Analyte, Point, Series
from panachain.viewer.plots import Plot
from panachain.viewer.words import N_, translations

ON_PAGE: Final = 100
"""Entries or documents of one page."""
ANALYTES_ON_PAGE: Final = 12
FEW_VALUES: Final = 8
"""Values of one analyte that the page of its section lists; its own page has more."""
MOST_VALUES: Final = 400
"""Values of one analyte that its own page lists."""
_FEW_POINTS: Final = 100
"""Points of a line on the page of its section."""
MOST_IMAGES: Final = 60
"""Objects of one series that a page shows."""
_NEWEST: Final = 15
_OWN: Final = re.compile(r"own_(-?\d{1,7}(?:\.\d{1,4})?)_(\d{1,7}(?:\.\d{1,4})?)")
"""Name of a picture in a window that somebody chose: its centre and its width."""
_FOLDER: Final = Path(__file__).parent
_SHAPES: Final = (N_("circle"), N_("square"), N_("triangle"), N_("diamond"), N_("triangle upside down"))
REASONS: Final = {
    "entered-in-error": N_("entered in error"),
    "erased": N_("it was erased"),
    "wrong-patient": N_("it was another patient's"),
    "erroneous-category": N_("it was in the wrong category"),
}
BEHIND: Final = {
    "superseded": N_("Older versions of resources"),
    "in_error": N_("Resources that were entered in error"),
    "deleted": N_("Resources that their hospital deleted"),
    "elsewhere": N_("Resources of which a newer version is in another category or year"),
    "same": N_("Resources that another hospital's record holds as they are"),
    "attachments": N_("Files that only such resources name"),
}


class Links(Protocol):
    """Where things of a chart are; each gives an address without a scheme, or an empty text."""

    def section(self, key: str, page: int) -> str:
        """Return the page of a section; of an empty key the overview."""
        ...

    def analyte(self, key: str, number: int) -> str:
        """Return the page of an analyte, by its section and its place there from 1."""
        ...

    def document(self, key: str) -> str:
        """Return the page of a document."""
        ...

    def image(self, key: str, what: str) -> str:
        """Return a picture of a document: `frame`, `cine`, or `window-1` and so on."""
        ...

    def file(self, document: Document) -> str:
        """Return the file that a document is, if a browser may have it."""
        ...

    def window(self, document: Document) -> str:
        """Return the page that takes a window somebody chooses; empty where none can be chosen."""
        ...

    def raw(self, record: int) -> str:
        """Return a record as it was published, if a browser may have it."""
        ...


@cache
def style() -> str:
    """Return the style sheet."""
    return (_FOLDER / "viewer.css").read_text(encoding="utf-8")


@cache
def policy() -> str:
    """Return the policy of a page in a folder: its own style, pictures beside it, and nothing else."""
    digest = b64encode(sha256(style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src 'self' file:; form-action 'none'; base-uri 'none'"


def page_count(section: Section) -> int:
    """Return how many pages a section takes."""
    lists = (len(section.entries), len(section.documents), len(section.studies) * 20)
    return max([1, -(-len(section.analytes) // ANALYTES_ON_PAGE), *(-(-size // ON_PAGE) for size in lists)])


def overview(chart: Chart, links: Links) -> Markup:
    """Return what stands first: who it is about, what isn't there, and what holds now."""
    newest = [
        (one.title, point)
        for key in ("laboratory", "vitals")
        for one in chart.section(key).analytes
        if (point := plots.latest(one.points)) is not None
    ]
    newest.sort(key=lambda pair: -(pair[1].when.seconds or 0.0))
    behind = [(why, number) for why, number in chart.told.left_behind.items() if why in BEHIND and number]
    return _render(chart, links, "overview.html", told=chart.told, newest=newest[:_NEWEST], left_behind=behind)


def section(chart: Chart, key: str, page: int, links: Links) -> Markup:
    """Return one page of a section.

    Args:
        chart: what is shown.
        key: of `kinds.SECTIONS`.
        page: from 1; one that isn't there is the last one.
        links: where things are.
    """
    shown = chart.section(key)
    count = page_count(shown)
    page = min(max(page, 1), count)
    _ = translations(chart.language).gettext
    studies = shown.studies[(page - 1) * 5 : page * 5]
    timeline = None
    if key == "encounters" and page == 1:
        so = [one for one in shown.entries if one.is_fact]
        timeline = plots.of_encounters(
            so,
            _("Encounters over time"),
            identifier="timeline",
            description=_("Each row is a kind of encounter, each bar one of them; the list below has the same."),
            tick=_ticks(chart.language),
            words=lambda title: title or _("Encounter"),
        )
    return _render(
        chart,
        links,
        "section.html",
        section=shown,
        page=page,
        count=count,
        groups=list(_groups(shown, page, _)),
        analytes=shown.analytes[(page - 1) * ANALYTES_ON_PAGE : page * ANALYTES_ON_PAGE],
        before=(page - 1) * ANALYTES_ON_PAGE,
        studies=studies,
        documents=shown.documents[(page - 1) * ON_PAGE : page * ON_PAGE],
        timeline=timeline,
    )


def analyte(chart: Chart, key: str, number: int, links: Links) -> Markup:
    """Return the page of one analyte.

    Args:
        chart: what is shown.
        key: of its section.
        number: its place in the section, from 1.
        links: where things are.

    Raises:
        IndexError: the section has none of this number.
    """
    one = chart.section(key).analytes[number - 1]
    return _render(chart, links, "analyte.html", one=one, number=number, few=False, key=key)


def document(
    chart: Chart, shown: Document, links: Links, *, failures: Sequence[str] = (), own: Window | None = None
) -> Markup:
    """Return what a document shows.

    Args:
        chart: what it is of.
        shown: the document.
        links: where things are.
        failures: why pictures of it couldn't be drawn.
        own: a window that somebody chose, which is shown first.
    """
    header = header_of(chart, shown)
    pictures = list(pictures_of(chart, shown))
    if own is not None and header is not None and header.has_image:
        pictures.insert(0, (f"own_{own.centre:g}_{own.width:g}", _window_caption(own, chart.language), own))
    return _render(
        chart,
        links,
        "document.html",
        document=shown,
        body=documents.body_of(shown),
        header=header,
        pictures=[(what, caption) for what, caption, _ in pictures],
        failures=failures,
    )


def pictures_of(chart: Chart, shown: Document) -> Iterator[tuple[str, str, Window | None]]:
    """Yield name, caption and window of each picture of a DICOM object; None is its own first window."""
    header = header_of(chart, shown)
    _ = translations(chart.language).gettext
    if header is None or not header.has_image:
        return
    own = header.windows[0] if header.windows else None
    yield "frame", _("First frame, in the window that it proposes") if own else _("First frame, all its values"), None
    for place, window in enumerate(header.more_windows, 1):
        named = _(window.name) if window.name else ""
        yield f"window-{place}", " · ".join(filter(None, (named, _window_caption(window, chart.language)))), window
    if header.frames > 1:
        yield "cine", _("Frames one after the other"), None


def window_of(what: str) -> Window | None:
    """Return the window that a picture's name says somebody chose; None for other names."""
    found = _OWN.fullmatch(what)
    return Window(float(found[1]), float(found[2])) if found is not None else None


def _window_caption(window: Window, language: str) -> str:
    told = translations(language).gettext(N_("First frame, centre %(centre)g, width %(width)g"))
    return told % {"centre": window.centre, "width": window.width}


def header_of(chart: Chart, shown: Document) -> DicomHeader | None:
    """Return the header of a document that is a DICOM object."""
    found = chart.instance(shown.key)
    return found.header if found is not None else None


def title_of(chart: Chart, key: str) -> str:
    """Return what a section is called; of an empty key, the whole."""
    _ = translations(chart.language).gettext
    return _(kinds.SECTIONS[key]) if key else _("Health records")


def document_title(chart: Chart, shown: Document) -> str:
    """Return what a document is called."""
    return shown.title or translations(chart.language).gettext(shown.kind_name)


def page(chart: Chart, title: str, body: Markup, links: Links, *, key: str = "") -> str:
    """Return a page that stands by itself."""
    return str(
        _render(
            chart,
            links,
            "page.html",
            title=title,
            body=body,
            key=key,
            policy=policy(),
            style=style(),
            day=of_seconds(chart.now).shown(chart.language),
        )
    )


def frame(chart: Chart, links: Links, *, key: str = "") -> Callable[[str, Markup], str]:
    """Return what makes a page of its title and its body, as `page` does: all else is the same, and rendered once."""
    # Nobody who wrote a record knows them, so they stand where the template puts them and nowhere else.
    title, body = token_hex(16), token_hex(16)
    made = page(chart, title, Markup(body), links, key=key)  # noqa: S704  # Hex digits.
    before, behind = made.split(body)
    beginning = before.split(title)

    def filled(shown: str, content: Markup) -> str:
        return f"{str(escape(shown)).join(beginning)}{content}{behind}"

    return filled


def _groups(shown: Section, page: int, _: Any) -> Iterator[tuple[str, list[Entry]]]:
    names = kinds.GROUPS.get(shown.key, {"current": kinds.SECTIONS[shown.key]})
    ordered = [(group, one) for group in ("current", "unsure", "past", "not") for one in shown.of(group)]
    here = ordered[(page - 1) * ON_PAGE : page * ON_PAGE]
    titles = {**names, "unsure": kinds.UNSURE, "not": kinds.NOT}
    for group in ("current", "unsure", "past", "not"):
        yield _(titles.get(group, names["current"])), [one for name, one in here if name == group]


def _render(chart: Chart, links: Links, template: str, **values: Any) -> Markup:
    sources = [one.name for one in chart.sources]
    _ = translations(chart.language).gettext

    def plot(analyte: Analyte, series: Series, identifier: str, few: bool) -> Plot:
        most = _FEW_POINTS if few else plots.MOST_POINTS
        return _plot(analyte, series, identifier, sources, chart.language, most)

    def legend(series: Series) -> str:
        used = list(dict.fromkeys(point.source for point in series.points))
        if len(used) < 2:
            return ""
        return ", ".join(f"{_(_SHAPES[sources.index(one) % len(_SHAPES)])}: {one}" for one in used if one in sources)

    made = _environment(chart.language).get_template(template)
    return Markup(made.render(chart=chart, links=links, plot=plot, legend=legend, **values))  # noqa: S704  # Autoescaped.


def _plot(analyte: Analyte, series: Series, identifier: str, sources: Sequence[str], language: str, most: int) -> Plot:
    _ = translations(language).gettext
    points = series.points
    title = f"{analyte.title}, {series.unit}" if series.unit else analyte.title
    told = _("%(number)d values from %(begin)s to %(end)s: lowest %(low)s, highest %(high)s, newest %(newest)s.") % {
        "number": len(points),
        "begin": points[0].when.shown(language),
        "end": points[-1].when.shown(language),
        "low": min(points, key=_number).value,
        "high": max(points, key=_number).value,
        "newest": points[-1].value,
    }
    return plots.of_series(
        series, title, sources, identifier=identifier, description=told, tick=_ticks(language), most=most
    )


def _number(point: Point) -> float:
    return point.number or 0.0


def _ticks(language: str) -> Any:
    def tick(seconds: float) -> str:
        found = of_seconds(seconds)
        # The first of January stands for its year.
        return (Moment("", seconds, found.parts[:1]) if found.parts[1:] == (1, 1) else found).shown(language)

    return tick


@lru_cache(maxsize=8)
def _environment(language: str) -> Environment:
    made = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    words = translations(language)
    made.install_gettext_translations(words, newstyle=True)  # type: ignore[attr-defined]

    def told(text: str) -> str:
        # Jinja's own takes each text for a format, and one of a record isn't.
        return words.gettext(text) if text else ""

    made.filters["size"] = _size
    made.filters["category"] = lambda word: told(kinds.CATEGORIES.get(word, word))
    made.globals.update(
        language=language,
        t=told,
        MARKS=kinds.MARKS,
        DENIED=kinds.DENIED,
        STATES=kinds.STATES,
        GROUPS=kinds.GROUPS,
        NOT=kinds.NOT,
        CATEGORIES=kinds.CATEGORIES,
        REASONS=REASONS,
        BEHIND=BEHIND,
        FEW_VALUES=FEW_VALUES,
        MOST_VALUES=MOST_VALUES,
        MOST_IMAGES=MOST_IMAGES,
    )
    return made


def _size(amount: int) -> str:
    left = float(amount)
    for unit in ("B", "KiB", "MiB"):
        if left < 1024:
            return f"{left:.0f} {unit}" if unit == "B" else f"{left:.1f} {unit}"
        left /= 1024
    return f"{left:.1f} GiB"
