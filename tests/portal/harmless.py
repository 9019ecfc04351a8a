"""Reads a page of the viewer as a browser's parser does, and names what of it could run, load or lead away."""

from __future__ import annotations

import re
from collections.abc import Collection
from html.parser import HTMLParser

ELEMENTS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "header",
    "nav",
    "main",
    "footer",
    "section",
    "ul",
    "ol",
    "li",
    "h1",
    "h2",
    "h3",
    "h4",
    "p",
    "a",
    "span",
    "strong",
    "div",
    "dl",
    "dt",
    "dd",
    "table",
    "caption",
    "thead",
    "tbody",
    "tfoot",
    "tr",
    "th",
    "td",
    "br",
    "small",
    "s",
    "pre",
    "code",
    "figure",
    "figcaption",
    "details",
    "summary",
    "img",
    "svg",
    "desc",
    "rect",
    "line",
    "text",
    "polyline",
    "circle",
    "polygon",
    "b",
    "i",
    "em",
    "u",
    "sub",
    "sup",
    "hr",
    "blockquote",
}
FORBIDDEN = {"style", "srcdoc", "formaction", "ping", "srcset", "background", "data"}
PATH = r"(?:\.\./|view/)?[A-Za-z0-9-]+(?:\.[a-z0-9]+)+(?:#[a-z0-9]+)?|#[a-z0-9-]+"


class Page(HTMLParser):
    """Collects what of a page could do anything."""

    def __init__(self, path: str = PATH, more: Collection[str] = ()) -> None:
        """Take what addresses look like, and which elements there may be besides."""
        super().__init__()
        self._path = re.compile(path)
        self._elements = ELEMENTS | set(more)
        self.wrong: list[str] = []
        self.links: set[str] = set()
        self.policies: list[str] = []
        self.style: list[str] = []
        self.ids: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self._in_style = tag == "style"
        if tag not in self._elements:
            self.wrong.append(f"<{tag}>")
        for name, value in attrs:
            if name.startswith("on") or name in FORBIDDEN:
                self.wrong.append(f"<{tag} {name}>")
            if name in ("href", "src", "action"):
                self.links.add(value or "")
                if not self._path.fullmatch(value or ""):
                    self.wrong.append(f"<{tag} {name}={value}>")
            if name == "id":
                self.ids.append(value or "")
        if tag == "meta" and "http-equiv" in named:
            self.policies.append(named.get("content") or "")
            if named["http-equiv"] != "Content-Security-Policy":
                self.wrong.append("a meta of somebody else")

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.style.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False
