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
_MANY: Final = 4_000
"""Elements from which on it must be plain to see how deep they lie: a parser's work grows with its square."""
_EMPTY: Final = frozenset({"br", "hr", "img", "input", "meta", "link", "col", "wbr", "area", "base", "source", "track"})
"""Elements that end at once (HTML, section 13.1.2)."""
_ENDS_ITSELF: Final = frozenset(
    {"p", "li", "td", "tr", "th", "dt", "dd", "thead", "tbody", "tfoot", "colgroup", "option"}
)
"""Elements that end where the next one of their kind begins, whether or not an end tag says so (section 13.1.2.4)."""
_ITEMS: Final = {"li": "li", "dd": "dd", "dt": "dd"}
"""Of those, the ones that end where the next one of their kind begins, and not where one of the other kind does."""
_LISTS: Final = frozenset({"ul", "ol", "dl"})
"""Elements in which items of either kind begin anew (section 13.2.6.4.7)."""
_OTHER_INSIDE: Final = frozenset(
    {
        *("script", "style", "title", "textarea", "xmp", "plaintext", "noscript", "noembed", "iframe", "noframes"),
        *("svg", "math"),
    }
)
"""Elements in which a tag is none, or ends nothing by itself (section 13.2.6.5)."""
_PLAIN: Final = re.compile(
    r"[^<]*+(?:(?:<!--[^<>-]*-->|<!DOCTYPE[^<>]*>|<(?P<text>style|script|title)(?:\s[^<>]*)?>[^<]*</(?P=text)>)[^<]*+)*+"
    r"(?:<(?P<closes>/?)(?P<name>[a-z][a-z0-9]*)(?:\s[^<>]*?)?(?P<ends>/?)>|\Z)",
    re.IGNORECASE | re.ASCII,
)
"""What stands before a tag, and the tag, where every reader finds the same ones."""
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
    if len(source) > MOST_MARKUP or _is_too_much(source):
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


def _is_too_much(source: str) -> bool:
    tags = len(_OPENING.findall(source))
    return tags > MOST_TAGS or _depth(source) > _MOST_DEPTH or (tags > _MANY and not _is_plain(source))


def _is_plain(source: str) -> bool:
    """Tell whether it is sure how deep elements lie inside one another, and that it isn't too deep.

    A slash at a tag's end closes nothing in HTML, and what stands in an attribute or a comment may look like a tag: to
    `_depth` such markup is flat.
    """
    opened: list[str] = []
    # Which items there are in each list that is open, and outside of any.
    items: list[set[str]] = [set()]
    at = 0
    while at < len(source):
        found = _PLAIN.match(source, at)
        if found is None or found.end() == at:
            return False
        at, closes, ends = found.end(), found["closes"], found["ends"]
        name = (found["name"] or "").lower()
        if name in _OTHER_INSIDE or (ends and name and name not in _EMPTY and name not in _ENDS_ITSELF):
            return False
        if name in _ITEMS and not closes:
            items[-1].add(_ITEMS[name])
            if len(items[-1]) > 1:
                # Each stays open in the other one.
                return False
        if not name or name in _EMPTY or name in _ENDS_ITSELF:
            continue
        if not closes:
            opened.append(name)
            if name in _LISTS:
                items.append(set())
        elif not opened or opened.pop() != name:
            return False
        elif name in _LISTS:
            items.pop()
        if len(opened) > _MOST_DEPTH:
            return False
    return not opened


def _depth(source: str) -> int:
    """Return at most how many elements lie inside one another: opening tags that nothing closes count."""
    depth = deepest = 0
    for found in re.finditer(r"<(/?)[A-Za-z][^<>]*?(/?)>", source):
        depth += -1 if found[1] else 0 if found[2] else 1
        deepest = max(deepest, depth)
    # Elements such as <br> and <p> may stay open: they are told apart by the parser alone, so many are allowed.
    voids = len(re.findall(r"<(?:br|hr|img|input|meta|link|col|li|p|td|tr|th|dt|dd)\b", source, re.IGNORECASE))
    return deepest - voids
