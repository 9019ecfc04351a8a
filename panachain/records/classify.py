"""Why a record is where it is: each resource of a source with its category, the kinds that close it, and the rules.

Looks again at what splitting looked at, and tells what nobody looks at; changes nothing and publishes nothing.
Follows docs/spec/sensitivity.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from panachain.model.scope import RESTRICTED, Category
from panachain.records import apple, cda, hl7, xml
from panachain.records.fhir_sensitivity import file_in, findings
from panachain.records.sensitivity import Finding, Matcher
from panachain.records.split import EntryFound, entries_of, findings_of_files
from panachain.records.texts import is_read

PIXELS: Final = "pictures"
SCANS: Final = "text of scans"
ATTACHMENTS: Final = "files inside it that are no texts, or scans"
WHOLE: Final = "content"
_TAKEN_OUT: Final = "_data"
"""The mark of a file that was taken out (`attachments.py`)."""


@dataclass(frozen=True)
class Classified:
    """One resource, message, document or file, and where it goes."""

    resource: str
    """Its type and logical id, type and control ID of a message, or the media type of a file."""
    category: Category
    year: int
    kinds: tuple[str, ...] = ()
    """Codes of HL7 v3 ActCode that close it."""
    why: tuple[str, ...] = ()
    """Each rule that matched, or what closes it beside its own content."""
    unread: tuple[str, ...] = ()
    """What of it nobody looked at."""
    emergency: bool = False
    """Whether the emergency summary holds it."""


def of_fhir(
    file: BinaryIO, category: Category | None, matcher: Matcher, *, lines: bool = False, is_xml: bool = False
) -> Iterator[Classified]:
    """Yield each entry of FHIR.

    Args:
        file: a Bundle, a single resource, or NDJSON.
        category: as `split.split_stream`.
        matcher: says what is sensitive.
        lines: whether it is NDJSON.
        is_xml: whether it is XML.

    Raises:
        InputError: as `split.split_stream`.
    """
    for entry in entries_of(file, category, matcher, lines=lines, is_xml=is_xml):
        found = list(
            dict.fromkeys((*findings(entry.value, matcher=matcher), *findings_of_files(entry.attachments, matcher)))
        )
        chosen = category if entry.category is category and not found else None
        why = (*_rules(found, chosen), *((entry.closed_by,) if entry.closed_by else ()))
        unread = (ATTACHMENTS,) if _has_unread(entry) else ()
        yield Classified(_name(entry), entry.category, entry.year, _kinds(found), why, unread, entry.emergency)


def of_export(file: BinaryIO, category: Category | None, matcher: Matcher) -> Iterator[Classified]:
    """Yield what an export of Apple Health holds, all measurements of one type, year and way together.

    Args:
        file: the export.
        category: as `apple.split_export`.
        matcher: says what is sensitive.

    Raises:
        InputError: as `apple.split_export`.
    """
    for name, own, year, found, number in apple.counted(file, matcher):
        chosen = category if category in RESTRICTED and own not in RESTRICTED else None
        yield Classified(f"{name} ({number})", chosen or own, year, _kinds(found), _rules(found, chosen))


def of_messages(file: BinaryIO, category: Category | None, matcher: Matcher) -> Iterator[Classified]:
    """Yield each message of HL7 v2.

    Args:
        file: messages.
        category: as `hl7.split_messages`.
        matcher: says what is sensitive.

    Raises:
        InputError: as `hl7.split_messages`.
    """
    for number, piece in enumerate(hl7.split_messages(file, category, matcher), 1):
        message = piece.content
        if not isinstance(message, bytes):
            raise TypeError("a message is held in memory")
        kind, control, encoding = hl7.name_of(message)
        found = list(hl7.findings(message, encoding, matcher))
        name = f"{kind or 'message'}/{control or number}"
        yield Classified(name, piece.category, piece.year, _kinds(found), _rules(found, chosen=category))


def of_document(document: xml.Document, category: Category, chosen: Category | None) -> Classified:
    """Return an XML document.

    Args:
        document: as `xml.read_document` returns it.
        category: where it goes.
        chosen: the category that was named for the file.
    """
    found = document.findings
    why = [f"{one.rule}, in {where}" for one in found for where in document.where(one)]
    why += [one.rule for one in found if not document.where(one)]
    why += [f"the whole document is as closed as its {name}" for name in document.closed_by]
    why += [f"--category {chosen.value}"] if chosen is not None else []
    return Classified(
        document.media_type,
        category,
        document.year,
        _kinds(found),
        tuple(dict.fromkeys(why)),
        () if document.is_read else (ATTACHMENTS,),
    )


def of_excerpt(excerpt: cda.Excerpt, year: int) -> Classified:
    """Return an excerpt of a C-CDA document of a year."""
    return Classified(f"excerpt: {excerpt.name}", excerpt.category, year)


def of_file(
    media_type: str,
    category: Category,
    year: int,
    chosen: Category | None,
    found: Sequence[Finding] = (),
    *,
    is_read: bool = False,
) -> Classified:
    """Return a file that is one record.

    Args:
        media_type: of its content.
        category: where it goes.
        year: that it is about.
        chosen: the category that was named for the file.
        found: what its text, its title and its name tell.
        is_read: whether all of its text was looked at.
    """
    unread = () if is_read else {"application/dicom": (PIXELS,), "application/pdf": (SCANS,)}.get(media_type, (WHOLE,))
    return Classified(media_type, category, year, _kinds(found), _rules(found, chosen=chosen), unread)


def _rules(found: Iterable[Finding], chosen: Category | None = None) -> tuple[str, ...]:
    rules = dict.fromkeys(one.rule for one in found)
    if chosen is not None:
        rules[f"--category {chosen.value}"] = None
    return tuple(rules)


def _kinds(found: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.kind for one in found))


def _name(entry: EntryFound) -> str:
    kind, number = entry.value.get("resourceType"), entry.value.get("id")
    if not isinstance(kind, str):
        return "entry without a resource"
    return f"{kind}/{number}" if isinstance(number, str) else kind


def _has_unread(entry: EntryFound) -> bool:
    """Tell whether a resource holds or names a file of which nobody looks at the words."""
    if not all(is_read(one.data) for one in entry.attachments):
        return True
    stack: list[Any] = [entry.value]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            if "contentType" in item and _TAKEN_OUT not in item:
                data = item.get("data", item.get("content"))
                if not isinstance(data, str) or not is_read(file_in(data)):
                    return True
            stack.extend(item.values())
    return False
