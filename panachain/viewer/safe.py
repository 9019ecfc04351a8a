"""Markup of others, made harmless: a few elements of text and tables, and nothing that runs, loads, leads or looks.

Everything that isn't on the list is left out: links, pictures, forms, frames, styles, classes, ids, namespaces. The
page that shows it forbids the same once more by its policy (`rendering.py`). Follows FHIR R4 (Narrative), CDA R2
section 4.3.5 and OWASP on cross-site scripting.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Final

import nh3

from panachain.plain import clean

MOST_MARKUP: Final = 512 << 10
"""Characters of markup that are looked at; of more only the text is shown."""
MOST_TAGS: Final = 50_000
_MOST_DEPTH: Final = 200
"""Elements inside one another; a browser closes them in the end, and so would the page."""
_TAGS: Final = frozenset(
    {
        *("p", "br", "div", "span", "hr", "b", "i", "em", "strong", "u", "s", "small", "sub", "sup", "code", "pre"),
        *("blockquote", "ul", "ol", "li", "dl", "dt", "dd", "h1", "h2", "h3", "h4", "h5", "h6"),
        *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"),
    }
)
_DROPPED: Final = frozenset(
    {
        *("script", "style", "title", "template", "noscript", "iframe", "object", "embed", "applet", "svg", "math"),
        *("textarea", "select", "button", "xmp", "noembed", "noframes", "plaintext", "audio", "video", "canvas"),
    }
)
"""Elements that go with what is in them."""
_SPANS: Final = re.compile(r"[1-9][0-9]?")
_HEADING: Final = re.compile(r"<(/?)h[1-6]>")
_OPENING: Final = re.compile(r"<[A-Za-z]")
_TAG: Final = re.compile(r"<[^<>]{0,10000}>?")
_BLOCK: Final = re.compile(r"</?(?:p|div|br|li|tr|h[1-6]|table|ul|ol)\b", re.IGNORECASE)


def markup(source: str) -> str:
    """Return HTML of somebody that is safe in a page, inside of an element of its own.

    Args:
        source: HTML or XHTML of any kind; more than MOST_MARKUP characters or MOST_TAGS elements become text.
    """
    if len(source) > MOST_MARKUP or len(_OPENING.findall(source)) > MOST_TAGS or _depth(source) > _MOST_DEPTH:
        return f"<pre>{nh3.clean_text(plain(source[:MOST_MARKUP]))}</pre>"
    kept = nh3.clean(
        # Letters that nobody sees or that turn the writing around go first; inside of a tag they end nothing.
        clean(unescaped_controls(source), most=MOST_MARKUP),
        tags=set(_TAGS),
        clean_content_tags=set(_DROPPED),
        attributes={"td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan"}},
        attribute_filter=_attribute,
        strip_comments=True,
        link_rel=None,
        generic_attribute_prefixes=set(),
        url_schemes=set(),
    )
    # Headings of others would stand among the page's own.
    return _HEADING.sub(lambda found: "</p>" if found[1] else '<p class="v-heading">', kept)


def plain(source: str) -> str:
    """Return the text of HTML, block by block on lines of its own; it isn't safe in a page until it is escaped."""
    text = unescape(_TAG.sub(" ", _BLOCK.sub("\n<x", source)))
    lines = (" ".join(one.split()) for one in clean(text, most=MOST_MARKUP).splitlines())
    return "\n".join(one for one in lines if one)


def unescaped_controls(source: str) -> str:
    """Return markup in which references to letters that nobody sees are those letters, so that `clean` finds them."""
    return _REFERENCE.sub(lambda found: _letter(found[0]), source)


_REFERENCE: Final = re.compile(r"&(?:#[xX][0-9a-fA-F]{1,6}|#[0-9]{1,7}|zwj|zwnj|lrm|rlm|shy|ZeroWidthSpace|NoBreak);?")


def _letter(reference: str) -> str:
    letter = unescape(reference if reference.endswith(";") else f"{reference};")
    return reference if len(letter) != 1 or letter.isprintable() or letter in "\n\t" else letter


def _attribute(_tag: str, _name: str, value: str) -> str | None:
    return value if _SPANS.fullmatch(value) else None


def _depth(source: str) -> int:
    """Return at most how many elements lie inside one another: opening tags that nothing closes count."""
    depth = deepest = 0
    for found in re.finditer(r"<(/?)[A-Za-z][^<>]*?(/?)>", source):
        depth += -1 if found[1] else 0 if found[2] else 1
        deepest = max(deepest, depth)
    # Elements such as <br> and <p> may stay open: they are told apart by the parser alone, so many are allowed.
    voids = len(re.findall(r"<(?:br|hr|img|input|meta|link|col|li|p|td|tr|th|dt|dd)\b", source, re.IGNORECASE))
    return deepest - voids
