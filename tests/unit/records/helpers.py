"""What the tests of reading and splitting share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import zip_longest
from typing import Any
from xml.sax.saxutils import quoteattr

from panachain.model.records import PlainRecord
from panachain.records.attachments import restore
from panachain.records.split import MEDIA_TYPE, Piece


def content_of(record: PlainRecord | Piece) -> bytes:
    """Return the bytes of a record, wherever they are."""
    return record.content if isinstance(record.content, bytes) else record.content.path.read_bytes()


def bundles(records: Iterable[PlainRecord | Piece]) -> list[bytes]:
    """Return the Bundles among the records of one source, their attachments put back from the other records."""
    found = list(records)
    files = {sha256(content).digest(): content for content in map(content_of, found)}
    return [restore(content_of(record), files.__getitem__) for record in found if record.media_type == MEDIA_TYPE]


def as_xml(value: dict[str, Any], *, prefix: str = "") -> bytes:
    """Return a resource of FHIR in XML, as FHIR R4 writes what is JSON.

    Args:
        value: as JSON.
        prefix: of the elements' names, with its colon.
    """
    namespace = f"xmlns:{prefix[:-1]}" if prefix else "xmlns"
    text = _resource(value, prefix)
    return text.replace(value["resourceType"], f'{value["resourceType"]} {namespace}="http://hl7.org/fhir"', 1).encode()


def _resource(value: dict[str, Any], prefix: str) -> str:
    kind = f"{prefix}{value['resourceType']}"
    inside = "".join(_members({name: one for name, one in value.items() if name != "resourceType"}, prefix))
    return f"<{kind}>{inside}</{kind}>"


def _members(value: dict[str, Any], prefix: str) -> Iterator[str]:
    for name in dict.fromkeys(one.removeprefix("_") for one in value):
        found, more = value.get(name), value.get(f"_{name}")
        several = isinstance(found, list) or isinstance(more, list)
        for one, beside in zip_longest(_listed(found, several=several), _listed(more, several=several)):
            yield _element(name, one, beside, prefix)


def _listed(value: Any, *, several: bool) -> list[Any]:
    return (value or []) if several else [value]


def _element(name: str, value: Any, beside: dict[str, Any] | None, prefix: str) -> str:
    if name == "div":
        return str(value)
    tag = prefix + name
    if isinstance(value, dict) and "resourceType" in value:
        return f"<{tag}>{_resource(value, prefix)}</{tag}>"
    members = value if isinstance(value, dict) else beside or {}
    attributes = {one: members[one] for one in ("id", "url") if isinstance(members.get(one), str)}
    if name not in ("extension", "modifierExtension"):
        attributes.pop("url", None)
    inside = "".join(_members({one: found for one, found in members.items() if one not in attributes}, prefix))
    if not isinstance(value, dict) and value is not None:
        attributes["value"] = json.dumps(value) if isinstance(value, (bool, int, float)) else str(value)
    told = "".join(f" {one}={quoteattr(found)}" for one, found in attributes.items())
    return f"<{tag}{told}>{inside}</{tag}>" if inside else f"<{tag}{told}/>"
