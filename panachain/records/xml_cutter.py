"""XML of any size is cut into parts of its root, each with its very bytes and what it says as JSON would say it.

The rules of FHIR's JSON hold for its XML because this reader gives them the same: an element becomes a member, one that
is repeated a list, a resource an object with `resourceType`. Holds one part at a time. Namespaces and prefixes that the
root declares hold in each part again, when `Form` writes it. Seals nothing and opens no file. Follows FHIR R4 (XML and
JSON representation), XML 1.0 and Namespaces in XML 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, Final, NamedTuple

from panachain.errors import InputError
from panachain.records.canonical import MAX_PIECE, MAX_VALUES
from panachain.records.xml import (
    DECLARATION,
    FHIR,
    MAX_DEPTH,
    SEPARATOR,
    TAG,
    UTF8,
    Bounded,
    encoding_of,
    name_of,
)

_CHUNK: Final = 1 << 16
_XHTML: Final = "http://www.w3.org/1999/xhtml"
_XML: Final = "http://www.w3.org/XML/1998/namespace"
_LISTS: Final = frozenset(
    {
        *("coding", "category", "identifier", "name", "extension", "modifierExtension", "contained"),
        *(
            "security",
            "securityLabel",
            "tag",
            "profile",
            "entry",
            "parameter",
            "answer",
            "reasonCode",
            "reasonReference",
        ),
    }
)
"""Elements that JSON has lists of, also where there is one; of others the rules take one for a list of one."""
_ONCE: Final = frozenset({"system", "code", "display", "text", "reference", "resourceType", "id", "fullUrl"})
"""Simple elements that occur once: a second one would hide the first."""


class Part(NamedTuple):
    """A child of the root that was cut out."""

    kept: bytes
    """Its very bytes."""
    value: dict[str, Any]
    name: str
    """Of its element."""
    kind: str
    """The root's `type`, if it stands before."""


class Form:
    """How parts are written as a document again."""

    def __init__(self, media_type: str, is_part: Callable[[str, str], bool]) -> None:
        """Take the media type and what tells parts, by the names of the root and its child; the root tells the rest."""
        self.media_type = media_type
        self.quote = b""
        """What stands behind an element's name: a blank, a slash, the end of the tag."""
        self.is_part = is_part
        self.encoding: str | None = None
        """Counts instead of the document's own declaration."""
        self.declaration = b""
        self.prefix = b""
        """Of the root's name, with its colon."""
        self.start = b""
        """The root's tag, with nothing but what holds in its parts, too."""
        self.is_bundle = False
        """Whether the root is FHIR's Bundle, which has a type."""
        self.whole = False
        """Whether the document is one part."""

    @property
    def end(self) -> bytes:
        """The tag that ends the root."""
        return b"</%b>" % name_of(self.start)

    def bundle(self, kind: bytes, parts: Iterable[bytes]) -> bytes:
        """Return parts as one document.

        Args:
            kind: the Bundle's type, as JSON; empty for none. What is no Bundle has none.
            parts: as they were cut.
        """
        if self.whole:
            return b"".join(parts)
        told = b'<%btype value="%b"/>' % (self.prefix, kind.strip(b'"')) if kind and self.is_bundle else b""
        return b"".join((self.declaration, self.start, told, *parts, self.end))

    def value(self, part: bytes) -> Any:
        """Return what a part says, as it did when it was cut."""
        cutter = Cutter(self)
        found = list(cutter.feed_all([self.bundle(b"", [part])]))
        return cutter.value if self.whole else found[0].value

    def rest(self, text: bytes) -> Any:
        """Return what a document without its parts says."""
        cutter = Cutter(self)
        list(cutter.feed_all([text]))
        return cutter.value


class Cutter(Bounded):
    """Cuts one document into some children of its root, and the rest."""

    def __init__(self, form: Form) -> None:
        """Begin a document; the form is told what its root says."""
        super().__init__(form.encoding, namespaces=True, most=None)
        self._form = form
        self._text = bytearray()
        """Bytes that were parsed or are about to be, and aren't cut yet."""
        self._base = 0
        """Where they begin in the document."""
        self._rest: list[bytes] = []
        self._rest_size = 0
        self._nodes: list[tuple[str, dict[str, Any], str | None]] = []
        """The elements that are open: name, members, and attribute `value`."""
        self._names: dict[str, tuple[str, bool, bool]] = {}
        self._declared: list[tuple[str | None, str]] = []
        self._passed = 0
        """Depth inside of a narrative."""
        self._narrative: list[str] = []
        """What it says so far."""
        self._count = 0
        """Elements of this part, or of the rest."""
        self._rest_count = 0
        self._in_part = False
        self._empty = False
        self._cut: list[Part] = []
        self.value: dict[str, Any] = {}
        """What the root says without its parts, as far as it was read."""
        self.plain = True
        """Whether the root's tag says nothing but names."""
        self._parser.StartNamespaceDeclHandler = self._declare

    @property
    def rest(self) -> bytes:
        """The document without the parts that were cut out; blanks between them are gone."""
        return b"".join(self._rest)

    @property
    def is_plain(self) -> bool:
        """Whether nothing stands beside the parts but tags."""
        rest = DECLARATION.sub(b"", self.rest, count=1)
        return self.plain and b"<!" not in rest and b"<?" not in rest and not TAG.sub(b"", rest).strip()

    def feed_all(self, pieces: Iterable[bytes]) -> Iterator[Part]:
        """Yield each part of a document as soon as it ended.

        Args:
            pieces: the document in pieces of any size.

        Raises:
            InputError: it isn't well formed, declares what isn't harmless, or a part is too large or too deep.
        """
        for piece in pieces:
            self.feed(piece)
            yield from self._drained()
        self.end()
        yield from self._drained()
        self._keep(self._base + len(self._text))

    def _drained(self) -> list[Part]:
        cut, self._cut = self._cut, []
        return cut

    def _take(self, piece: bytes) -> None:
        self._text += piece
        if len(self._text) > MAX_PIECE + len(piece):
            raise InputError(f"one part of an XML document has more than {MAX_PIECE} bytes")

    def _declare(self, prefix: str | None, uri: str) -> None:
        if not self._nodes:
            self._declared.append((prefix, uri))

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        nodes = self._nodes
        depth = len(nodes)
        if depth + self._passed >= MAX_DEPTH:
            raise InputError(f"XML nested deeper than {MAX_DEPTH}")
        # The names of a document are few.
        local, is_resource, is_narrative = self._names.get(name) or self._named(name)
        if self._passed or (is_narrative and depth):
            # JSON has the markup of a narrative as one text.
            self._passed += 1
            told = "".join(f" {one}={_quoted(value)}" for one, value in attributes.items())
            self._narrative.append(f"<{local}{told}>")
            self._parser.CharacterDataHandler = self._write
            return
        if depth == 0:
            self._begin_root(attributes)
            self.value = attributes
            self._form.is_bundle = is_resource and local == "Bundle"
        elif depth == 1 and self._form.is_part(nodes[0][0], local):
            self._begin_part()
        if self._in_part:
            self._count += 1
        else:
            self._rest_count += 1
        if self._count > MAX_VALUES or self._rest_count > MAX_VALUES:
            raise InputError(f"one part of an XML document has more than {MAX_VALUES} elements")
        value = attributes.pop("value", None)
        if is_resource:
            attributes["resourceType"] = local
        nodes.append((local, attributes, value))

    def _end(self, name: str) -> None:
        nodes = self._nodes
        if self._passed:
            self._passed -= 1
            local = self._names[name][0]
            self._narrative.append(f"</{local}>")
            if not self._passed:
                self._parser.CharacterDataHandler = None
                _add(nodes[-1][1], local, "".join(self._narrative))
                self._narrative.clear()
            return
        local, node, value = nodes.pop()
        if len(nodes) > 1:
            parent = nodes[-1][1]
        elif not nodes:
            return
        elif self._in_part:
            self._end_part(local, node)
            return
        else:
            parent = nodes[0][1]
        if self._names[name][1]:
            if "resourceType" in parent:
                raise InputError("two FHIR resources in one element")
            parent.update(node)
        elif value is None:
            _add(parent, local, node)
        else:
            _add(parent, local, value)
            if node:
                _add(parent, f"_{local}", node)

    def _write(self, text: str) -> None:
        self._narrative.append(_escaped(text))

    def _named(self, name: str) -> tuple[str, bool, bool]:
        """Return an element's local name, and whether it is a FHIR resource or a part of a narrative."""
        namespace, _, local = name.rpartition(SEPARATOR)
        known = local, namespace == FHIR and local[:1].isupper(), namespace == _XHTML
        if len(self._names) > MAX_VALUES:
            raise InputError(f"an XML document with more than {MAX_VALUES} names of elements")
        self._names[name] = known
        return known

    def _begin_root(self, attributes: dict[str, str]) -> None:
        start = self._parser.CurrentByteIndex - self._base
        found = TAG.match(self._text, start)
        if found is None:
            raise InputError("not XML: its first element's tag can't be read")
        form = self._form
        kept = {(f"xmlns:{prefix}" if prefix else "xmlns"): uri for prefix, uri in self._declared}
        self.plain = not attributes
        for name in [one for one in attributes if one.rpartition(SEPARATOR)[0]]:
            # The language and the like hold in each part; what a schema is called stays with the rest.
            value = attributes.pop(name)
            if name.startswith(_XML + SEPARATOR):
                kept[f"xml:{name.rpartition(SEPARATOR)[2]}"] = value
        named = name_of(found[0])
        told = "".join(f" {name}={_quoted(value)}" for name, value in kept.items())
        form.start = b"<%b%b>" % (named, told.encode("ascii", "xmlcharrefreplace"))
        form.prefix = named[: named.rfind(b":") + 1]
        declared = DECLARATION.match(self._text)
        if declared is not None and not self._base:
            form.declaration = UTF8 if form.encoding is not None else declared[0]
            if form.encoding is not None:
                # It says UTF-16, and isn't any more.
                self._rest.append(UTF8)
                del self._text[: declared.end()]
                self._base += declared.end()

    def _begin_part(self) -> None:
        at = self._parser.CurrentByteIndex
        self._keep(at)
        found = TAG.match(self._text)
        self._in_part, self._count = True, 0
        self._empty = found is not None and found[0].endswith(b"/>")

    def _end_part(self, name: str, node: dict[str, Any]) -> None:
        end = self._parser.CurrentByteIndex - self._base
        if not self._empty:
            end = self._text.index(b">", end) + 1
        self._cut.append(Part(bytes(self._text[:end]), node, name, str(self.value.get("type"))))
        del self._text[:end]
        self._base += end
        self._in_part = False

    def _keep(self, at: int) -> None:
        """Put what stands before a place to the rest."""
        text = bytes(self._text[: at - self._base])
        del self._text[: at - self._base]
        self._base = at
        if not text.isspace():
            self._rest.append(text)
            self._rest_size += len(text)
        if self._rest_size > MAX_PIECE:
            raise InputError(f"more than {MAX_PIECE} bytes beside the parts of an XML document")


def pieces_of(file: BinaryIO) -> Iterator[bytes]:
    """Yield a file from its beginning on."""
    file.seek(0)
    while piece := file.read(_CHUNK):
        yield piece


def form_of(file: BinaryIO, media_type: str, is_part: Callable[[str, str], bool]) -> Form:
    """Return the form of a document that is about to be cut; see `Form`."""
    file.seek(0)
    form = Form(media_type, is_part)
    form.encoding = encoding_of(file.read(_CHUNK))
    return form


def _add(parent: dict[str, Any], name: str, value: Any) -> None:
    known = parent.get(name)
    if known is None:
        parent[name] = [value] if name in _LISTS and not isinstance(value, str) else value
    elif name in _ONCE and isinstance(value, str):
        raise InputError("an XML element that occurs once is doubled")
    elif isinstance(known, list):
        known.append(value)
    else:
        parent[name] = [known, value]


def _escaped(text: str) -> str:
    """Return text as it stands between tags: what xml.sax.saxutils makes of it, which loads urllib.request first."""
    return text.replace("&", "&amp;").replace(">", "&gt;").replace("<", "&lt;")


def _quoted(value: str) -> str:
    """Return an attribute's value with its quotes, as xml.sax.saxutils writes it."""
    value = _escaped(value).replace("\n", "&#10;").replace("\r", "&#13;").replace("\t", "&#9;")
    if '"' not in value:
        return f'"{value}"'
    if "'" not in value:
        return f"'{value}'"
    return '"' + value.replace('"', "&quot;") + '"'
