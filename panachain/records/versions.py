"""Versions: which resources a FHIR record holds, each with its logical id, version and status.

A resource is the same one as another if type and id are the same and both are of the same server, as far as their
`fullUrl` tells. Two versions have the same content if they differ in nothing but `meta.versionId` and
`meta.lastUpdated`. Opens no file and seals nothing.
Follows FHIR R4 (Resource.id, Meta, Bundle.entry, history) and ADR 28.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, TypeVar

from panachain.errors import InputError
from panachain.model.records import PlainRecord
from panachain.records.canonical import MAX_PIECE, STORED_DEPTH, Cutter, fingerprint_text, items_in, literal

HISTORY: Final = b'"history"'
"""The type of a Bundle that names the newest version first, as JSON."""
PRINT_SIZE: Final = 16
"""Bytes of a fingerprint of content."""
SAME_SIZE: Final = 12
"""Bytes of it that tell of all but `meta`, which two hospitals write differently; as many as no second content has by
chance. The others tell of `meta`."""
ERROR: Final = "entered-in-error"
DELETED: Final = "deleted"
STATES: Final = ("", ERROR, DELETED)
"""A version that says something, one that takes back what was said, and one that says that the resource is gone."""

_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_TYPE: Final = re.compile(r"[A-Za-z]{1,64}")
_PLACE: Final = re.compile(r"(?:(https?://[!-~]{1,256})/)?([A-Za-z]{1,64})/([A-Za-z0-9\-.]{1,64})(?:/_history/[!-~]*)?")
_URN: Final = re.compile(r"urn:(?:uuid|oid):[0-9A-Za-z.\-]{1,64}")
_ETAG: Final = re.compile(r'(?:W/)?"([A-Za-z0-9\-.]{1,64})"')
_INSTANT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,20}(?:Z|[+-][0-9]{2}:[0-9]{2})")
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_OWN_HEAD: Final = re.compile(rb'\{"resourceType":"Bundle","type":("[a-z-]*"),"entry":(?=\[)')
"""How a record begins that this program made."""
_NO_META: Final = b"null"
_OF_ONE_EXPORT: Final = frozenset({"id", "timestamp", "total", "link"})
"""What a Bundle says about itself that is another one in each export of the same."""


@dataclass(frozen=True)
class Version:
    """One version of a resource."""

    name: str
    """Type and id, such as `Observation/o9`; a URN where there is no id; empty for what can't be told again."""
    number: str = ""
    """`meta.versionId`, or that of `response.etag`; empty if there is none."""
    updated: str = ""
    """`meta.lastUpdated`, or `response.lastModified`, an instant; empty if there is none."""
    state: str = ""
    """One of `STATES`."""
    base: str = ""
    """The server's address, from an absolute `fullUrl`; else empty."""
    print: bytes = b""
    """What tells whether two versions have the same content."""


@dataclass(frozen=True)
class Entry:
    """One entry of a Bundle."""

    text: bytes = field(repr=False)
    version: Version


@dataclass(frozen=True)
class Bundle:
    """A FHIR record, cut into its entries."""

    before: bytes = field(repr=False)
    """Its text up to the first entry."""
    entries: tuple[Entry, ...]
    newest_first: bool
    """Whether it is a history, which names the newest version first."""

    def holding(self, places: Iterable[int]) -> bytes:
        """Return the text of the record with some of its entries, each with its very bytes."""
        return self.before + b",".join(self.entries[place].text for place in places) + b"]}"


def bundle_in(record: PlainRecord) -> Bundle | None:
    """Return the entries of a record as `bundle_of`; those that were read with its content, if there are any.

    Raises:
        InputError: as `bundle_of`, or the content isn't held.
    """
    known = record.known
    if known is not None and known.content is record.content and isinstance(known.bundle, Bundle):
        return known.bundle
    if not isinstance(record.content, bytes):
        raise InputError("a Bundle that isn't held")
    return bundle_of(record.content)


def bundle_of(content: bytes) -> Bundle | None:
    """Return the entries of a record of FHIR that has any; None for what a Bundle says about itself.

    Raises:
        InputError: it is no JSON, or its entries aren't the last of its members, as they are in what is published.
    """
    if (found := _own_bundle(content)) is not None:
        return found
    file = io.BytesIO(content)
    cutter, kind = Cutter(file), b""
    for name in cutter.names():
        if name != "entry":
            kind = cutter.value() if name == "type" else (cutter.value() and kind)
            continue
        entries = [bytes(item) for item in cutter.items()]
        if cutter.peek() != b"}":
            raise InputError("the entries aren't the last member of the Bundle")
        size = sum(len(entry) for entry in entries) + max(len(entries) - 1, 0) + len(b"]}")
        found = Bundle(
            content[: len(content) - size],
            tuple(Entry(entry, version_of(entry)) for entry in entries),
            kind == HISTORY,
        )
        # What is put together again is what was there, or its blanks would be lost.
        if found.holding(range(len(entries))) != content:
            raise InputError("the entries of the Bundle are set apart by blanks")
        return found
    return None


def _own_bundle(content: bytes) -> Bundle | None:
    """Return the entries of a record that looks as `split.py` writes it, read at once; None for any other one."""
    head = _OWN_HEAD.match(content) if len(content) <= MAX_PIECE else None
    entries = None if head is None else items_in(content[head.end() : -1])
    if head is None or not entries or not content.endswith(b"}"):
        return None
    texts = list(map(bytes, entries))
    if texts[0].count(b"{") + texts[0].count(b"[") > STORED_DEPTH:
        # The cutter looks how deep the first one is.
        return None
    before = content[: head.end() + 1]
    if b"%b%b]}" % (before, b",".join(texts)) != content:
        return None
    return Bundle(before, tuple(Entry(text, version_of(text)) for text in texts), head[1] == HISTORY)


def version_of(entry: bytes) -> Version:
    """Return what an entry of a Bundle holds a version of."""
    return version_in(literal(entry))


def version_in(value: Any) -> Version:
    """Return what an entry of a Bundle holds a version of.

    Args:
        value: what `canonical.literal` returns of the entry.

    Raises:
        InputError: it is no object.
    """
    if not isinstance(value, dict):
        raise InputError("the Bundle's entry is no list of objects")
    resource = value.get("resource")
    request, response = _object(value.get("request")), _object(value.get("response"))
    deleted = str(request.get("method", "")).upper() == "DELETE"
    if isinstance(resource, dict):
        name = _name(resource.get("resourceType"), resource.get("id"))
        meta = _object(resource.get("meta"))
        state = DELETED if deleted else ERROR if _is_error(resource) else ""
    else:
        name, meta, state = "", {}, DELETED if deleted else ""
    place = _PLACE.fullmatch(_text(value.get("fullUrl"))) or (
        _PLACE.fullmatch(_text(request.get("url"))) if deleted else None
    )
    base = ""
    if place is not None and name in ("", f"{place[2]}/{place[3]}"):
        # Only of a deletion: what else has no id of its own was never stored under this one.
        name = name or (f"{place[2]}/{place[3]}" if deleted else "")
        base = (place[1] or "") if name else ""
    if not name and _URN.fullmatch(_text(value.get("fullUrl"))):
        name = _text(value.get("fullUrl"))
    if not name:
        return Version("", state=state)
    etag = _ETAG.fullmatch(_text(response.get("etag")))
    number = _matching(_ID, meta.get("versionId")) or (etag[1] if etag else "")
    updated = _matching(_INSTANT, meta.get("lastUpdated")) or _matching(_INSTANT, response.get("lastModified"))
    return Version(name, number, updated, state, base, _print(resource, state, name))


def deletion_print(name: str) -> bytes:
    """Return the fingerprint of a deletion, which has no content."""
    return sha256(f"{name}\0{DELETED}".encode()).digest()[:PRINT_SIZE]


def shell_print(content: bytes) -> bytes:
    """Return what tells whether two exports say the same about themselves, but for when they were made."""
    told = {key: item for key, item in _object(literal(content)).items() if key not in _OF_ONE_EXPORT}
    return sha256(b"Bundle\0" + fingerprint_text(_without_stamp(told))).digest()[:PRINT_SIZE]


def instant(text: str) -> float | None:
    """Return the Unix seconds of an instant, or None if it is none."""
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except (ValueError, OverflowError):
        return None


def rank(number: str) -> int | None:
    """Return the place of a version among those of its resource, or None if its number tells none."""
    return int(number) if _NUMBER.fullmatch(number) else None


T = TypeVar("T", str, bytes)
Stamp = tuple[int | None, float | None, tuple[int, ...]]
"""Rank of a version, when it was updated, and where it stands in the order of publication."""


def oldest_first(stamps: Sequence[Stamp]) -> list[int]:
    """Return the places of some versions of one resource, the newest one's last.

    By `meta.versionId` if each has one that is a number; else by `meta.lastUpdated` if each has one; else by the order
    of publication, which also decides between equals. One rule for all of them: rules that change from pair to pair
    could name no newest.
    """
    by_rank = all(one[0] is not None for one in stamps)
    by_time = all(one[1] is not None for one in stamps)

    def key(place: int) -> tuple[float, float, tuple[int, ...]]:
        number, updated, order = stamps[place]
        return (number or 0 if by_rank else 0, updated or 0.0 if by_time else 0.0, order)

    return sorted(range(len(stamps)), key=key)


def same_server(bases: Sequence[T], own: T) -> list[int]:
    """Return which resources of one type and id are the same one as a further one.

    Two servers of a hospital may use one id for different things; where only one of them is known, what doesn't name
    its server is of that one.

    Args:
        bases: the servers of those that are known; empty where it isn't said.
        own: the server of the further one.
    """
    known = {base for base in (*bases, own) if base}
    if len(known) <= 1:
        return list(range(len(bases)))
    return [place for place, base in enumerate(bases) if base == own]


def newest(stamps: Sequence[Stamp]) -> int:
    """Return the place of the newest of some versions of one resource."""
    return oldest_first(stamps)[-1]


def _print(resource: Any, state: str, name: str) -> bytes:
    if state == DELETED:
        return deletion_print(name)
    content = dict(_object(resource))
    meta = _text_of_meta(content.pop("meta", None))
    told = sha256(name.encode() + b"\0" + fingerprint_text(content)).digest()[:SAME_SIZE]
    return told + sha256(meta).digest()[: PRINT_SIZE - SAME_SIZE]


def _text_of_meta(meta: Any) -> bytes:
    """Return the fingerprint's text of what a resource says of itself, but for what each export writes anew."""
    kept = _without_times(meta) if isinstance(meta, dict) else meta
    return fingerprint_text(kept) if kept or not isinstance(meta, dict) else _NO_META


def _without_stamp(resource: dict[str, Any]) -> dict[str, Any]:
    """Return a resource without what each export writes anew."""
    meta = resource.get("meta")
    if not isinstance(meta, dict):
        return resource
    kept = _without_times(meta)
    rest = {key: value for key, value in resource.items() if key != "meta"}
    return rest | {"meta": kept} if kept else rest


def _without_times(meta: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in meta.items() if key not in ("versionId", "lastUpdated")}


def _is_error(resource: dict[str, Any]) -> bool:
    """Tell whether a resource says of itself that it was entered in error."""
    if ERROR in (resource.get("status"), resource.get("docStatus"), resource.get("verificationStatus")):
        return True
    coding = _object(resource.get("verificationStatus")).get("coding")
    return isinstance(coding, list) and any(_object(one).get("code") == ERROR for one in coding)


def _name(kind: Any, logical_id: Any) -> str:
    kind, logical_id = _matching(_TYPE, kind), _matching(_ID, logical_id)
    return f"{kind}/{logical_id}" if kind and logical_id else ""


def _matching(pattern: re.Pattern[str], value: Any) -> str:
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
