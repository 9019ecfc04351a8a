"""What refers to what in FHIR: by which names a resource is meant, and which references carry meaning.

A reference carries meaning unless its element only says in which context something happened or who took part: a blood
pressure that was taken at a psychiatrist's is no secret, a prescription for a psychosis is one.
Follows FHIR R4 (References, Bundle: resolving references).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from json import JSONDecoder
from re import compile as regex
from typing import Any, Final

_MARK: Final = b'"reference":"'
_RELATIVE: Final = regex(r"(?:^|/)([A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64})(?:/_history/[^/]+)?$")
CONTEXT: Final = frozenset(
    {
        *("subject", "patient", "beneficiary", "individual", "encounter", "context", "episodeOfCare", "account"),
        *("performer", "actor", "author", "recorder", "asserter", "requester", "sender", "recipient", "participant"),
        *(
            "practitioner",
            "provider",
            "serviceProvider",
            "organization",
            "managingOrganization",
            "custodian",
            "location",
        ),
        *("payor", "insurer", "enterer", "facility", "source", "informationSource", "who", "onBehalfOf", "agent"),
        *("generalPractitioner", "careTeam", "careManager", "team", "attester", "party", "owner", "subscriber"),
        *("policyHolder", "coverage", "insurance", "assigner", "referrer", "interpreter", "endpoint", "admitter"),
        *("collector", "receiver", "supporter", "link", "responsible", "device", "manufacturer", "healthcareService"),
    }
)
"""Elements whose references say where, when, by whom and for whom: they close nothing."""
_FILES: Final = frozenset(
    {"attachment", "content", "presentedForm", "valueAttachment", "contentAttachment", "sourceAttachment"}
)
"""Elements of type Attachment, whose URL may name a Binary."""
_HOLDERS: Final = (b"ttachment", b"content", b"presentedForm", b"media")
"""Of the elements that name files and pictures, how they end."""
_URL: Final = regex(rb'"url":"([^"\\]*)')
_CONTEXT_ENDS: Final = frozenset(f'"{name}":{sign}'.encode() for name in CONTEXT for sign in ("{", "[{"))
_LONGEST_END: Final = max(map(len, _CONTEXT_ENDS))
_OPENING: Final = len(b'":[{')
"""Bytes before which the quote that begins a member's name stands, whichever way its value opens."""
_NONE: Final[frozenset[bytes]] = frozenset()


def names_of(resource: dict[str, Any], full_url: Any = None) -> tuple[bytes, ...]:
    """Return by which references in its source a resource is meant.

    Args:
        resource: with its type and id.
        full_url: of its entry.
    """
    kind, number = resource.get("resourceType"), resource.get("id")
    own = _kept(f"{kind}/{number}") if isinstance(kind, str) and isinstance(number, str) else b""
    url = _plain(full_url) if isinstance(full_url, str) and full_url else own
    if not url or url == own:
        return (own,) if own else ()
    return (url, own) if own else (url,)


def references_in(compact: bytes) -> frozenset[bytes]:
    """Return the references in a resource's JSON without blanks that may carry meaning, never too few."""
    pieces = compact.split(_MARK)
    urls = _URL.findall(compact)
    # Most are requests of the Bundle, such as `Observation`: to look for files costs more than to keep them.
    targets = {url for url in urls if b"/" not in url}
    if len(targets) < len(urls) and may_have_contents(compact):
        targets |= {_plain(_text(url)) for url in urls}
    # What stands right before a reference names its element, or opens a list: in doubt it carries meaning.
    for after in [
        after
        for before, after in pairwise(pieces)
        if before[before.rfind(b'"', -_LONGEST_END, -_OPENING) :] not in _CONTEXT_ENDS
    ]:
        raw = after[: after.find(b'"')]
        if b"\\" in raw:
            # An escape, perhaps of the quote that seemed to end it.
            targets.add(_plain(str(JSONDecoder().raw_decode('"' + _text(after))[0])))
        else:
            # Most are urn:uuid, which stands in the text as names are kept.
            targets.add(_plain(_text(raw)) if b"/" in raw else raw)
    return frozenset(targets) if targets else _NONE


def meaning_references(entry: Any) -> Iterator[bytes]:
    """Yield what an entry refers to by elements that carry meaning."""
    for name, item in _objects_in(entry):
        reference = item.get("reference")
        if name not in CONTEXT and isinstance(reference, str):
            yield _plain(reference)
    yield from contents_of(entry)


def _objects_in(entry: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object of an entry, with the member that it is or stands in a list of; empty for the entry itself."""
    stack: list[tuple[str, Any]] = [("", entry)]
    while stack:
        name, item = stack.pop()
        if isinstance(item, list):
            stack.extend((name, one) for one in item)
        elif isinstance(item, dict):
            yield name, item
            stack.extend((key, value) for key, value in item.items() if isinstance(value, (dict, list)))


def may_have_contents(text: bytes, quote: bytes = b'"') -> bool:
    """Tell whether `contents_of` may find something, never too seldom; each look costs, so they are few.

    Args:
        text: of a resource.
        quote: what stands behind a member's name; nothing in XML.
    """
    return any(name + quote in text for name in _HOLDERS)


def contents_of(entry: Any) -> Iterator[bytes]:
    """Yield what in other entries is an entry's own content: files that it names by URL, and pictures of a report."""
    for name, item in _objects_in(entry):
        url = item.get("url")
        if isinstance(url, str) and name in _FILES:
            yield _plain(url)
        link = item.get("link")
        if name == "media" and isinstance(link, dict) and isinstance(link.get("reference"), str):
            yield _plain(link["reference"])


def _plain(reference: str) -> bytes:
    """Return a reference in the form in which names are kept: type and id where it ends so, else as it is."""
    found = _RELATIVE.search(reference) if "/" in reference else None
    return _kept(found[1] if found else reference)


def _kept(name: str) -> bytes:
    # JSON may name half of a surrogate pair: no valid id, and no reason to lose the record.
    return name.encode("utf-8", "surrogatepass")


def _text(kept: bytes) -> str:
    return kept.decode("utf-8", "surrogatepass")
