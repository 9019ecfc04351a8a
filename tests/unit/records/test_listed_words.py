"""Listed words: those that were read with a content count for that very content, and for no other one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from panachain.errors import InputError
from panachain.model.records import PlainRecord, ReadBefore
from panachain.model.scope import Category
from panachain.records import split, word_list
from panachain.records.listed_words import bundle_read, listed_words, read_entry
from panachain.records.sources import Reading
from panachain.records.versions import bundle_of
from panachain.records.word_list import Room
from tests.support import shared

NOTE = PlainRecord(Category.DOCUMENTS, 2024, "text/plain", b"glucose was measured", b"")


def test_words_are_read_where_nobody_read_them() -> None:
    packed, room = listed_words(NOTE, None)
    assert packed is not None
    assert room.terms == 3


def test_those_that_were_read_with_a_content_count_for_no_other_one() -> None:
    other = listed_words(replace(NOTE, content=b"potassium"), None)
    known = replace(NOTE, known=ReadBefore(NOTE.content, other.packed))  # type: ignore[arg-type]
    assert listed_words(known, None) == other != listed_words(NOTE, None)
    assert listed_words(replace(known, year=2023), None).packed == other.packed
    assert listed_words(replace(known, content=b"sodium"), None) == listed_words(replace(NOTE, content=b"sodium"), None)
    assert known == NOTE


def test_a_record_with_half_a_list_of_words_has_none() -> None:
    with patch.object(word_list, "MOST_TERMS", 5):
        assert listed_words(NOTE, None) == (None, Room())


_CODED = {"coding": [{"system": "http://loinc.org", "code": "8480-6", "display": "Systolic"}], "text": "Pressure"}
_PLAIN: dict[str, Any] = {"resourceType": "Observation", "id": "o1", "status": "final", "code": _CODED}
_NUMBER = {"value": 1.50, "unit": "mm", "system": "http://unitsofmeasure.org", "code": "mm"}
_SENSITIVE = {"resourceType": "Condition", "id": "c1", "code": {"coding": [{"system": "icd-10", "code": "F20.0"}]}}
_REFERRING = {"resourceType": "Procedure", "reasonReference": [{"reference": "Condition/c1"}]}
_FILE = {
    "resourceType": "DocumentReference",
    "content": [{"attachment": {"data": "aGl2IHBvc2l0aXZl", "contentType": "x"}}],
}
_RESOURCES: list[Any] = [
    _PLAIN | {"valueQuantity": _NUMBER, "meta": {"versionId": "2", "tag": [{"display": "Tagged"}]}},
    _PLAIN | {"component": [{"code": _CODED, "valueQuantity": _NUMBER}] * 5, "language": "de"},
    _PLAIN | {"status": "entered-in-error", "effectiveDateTime": 2019.5},
    *(_SENSITIVE, _REFERRING, _FILE, {"resourceType": "Basic"}, {"resourceType": 1.5, "id": 2.5}, {}),
    {"resourceType": "Observation", "id": 1.5, "code": 309.81, "text": 2.5, "url": 1e400, "reference": 4.5},
    {"resourceType": "Condition", "code": {"coding": [{"system": "icd-9", "code": 309.81}], "text": "Ha\u0308mo"}},
]


def _written(value: Any) -> bytes:
    return json.dumps(value).replace("Infinity", "1e400").encode()


def _hostile() -> list[bytes]:
    """Return sources of all that is read at one look, and of what isn't."""
    plain = b'{"resource":%b}' % _written(_PLAIN)
    entries = [
        *(b'{"resource":%b}' % _written(one) for one in _RESOURCES),
        *(
            plain[:-1] + b"," + more + b"}"
            for more in (b'"fullUrl":1.5', b'"fullUrl":"urn:oid:1.2"', b'"x":[1,-0,9e9]')
        ),
        *(b'{"request":{"method":"DELETE","url":"Observation/o1"}}', b"{}", plain.replace(b"o1", b"\\ud800")),
        *(plain.replace(b'"id"', b'"\\u0069d"'), plain.replace(b"final", b"\\u003a"), plain.replace(b"{", b" {\n")),
        *(plain.replace(b'"status"', b'"id"'), plain.replace(b"final", b"\\u0000"), b"7", b'{"resource":[%b]}' % plain),
        plain.replace(b'"final"', b"[" * 201 + b"]" * 201),
    ]
    head = b'{"resourceType":"Bundle","type":"%b","entry":['
    whole = [head % kind + b",".join(entries[:18]) + b"]}" for kind in (b"history", b"searchset", b"odd")]
    return [*whole, *(head % b"batch" + one + b"," + plain + b"]}" for one in entries), *map(_written, _RESOURCES)]


def _of(content: bytes, *, at_one_look: bool) -> Any:
    """Return a source's records, with what their lists take, or what is wrong with it."""
    try:
        pieces, _ = Reading("a.json", content, None, None).pieces(read_entry if at_one_look else None)
    except InputError as exc:
        return str(exc)
    found = []
    for one in pieces:
        assert isinstance(one.content, bytes)
        record = PlainRecord(one.category, one.year, one.media_type, one.content, b"")
        bundle = None
        if one.seen is not None:
            bundle = bundle_read(one.content, one.seen)
        elif one.media_type == split.MEDIA_TYPE:
            bundle = bundle_of(one.content)
        assert at_one_look or one.seen is None
        found.append((one[:5], bundle, listed_words(record, bundle, one.seen)))
    return found


def _by_parts(content: bytes) -> Any:
    """Return the same, with each part read by itself, as a source that doesn't fit in memory is."""
    with patch.object(split, "_plain_entry", lambda *_: None):
        return _of(content, at_one_look=False)


@pytest.mark.parametrize("number", range(len(_hostile())))
def test_what_is_read_at_one_look_is_what_each_look_finds(number: int) -> None:
    content = _hostile()[number]
    assert _of(content, at_one_look=True) == _of(content, at_one_look=False) == _by_parts(content)


def test_entries_of_a_bundle_are_read_at_one_look() -> None:
    seen = []
    entry = b'{"resource":%b}' % _written(_PLAIN)
    list(
        split.split_json(
            b'{"resourceType":"Bundle","type":"batch","entry":[%b]}' % entry, look=lambda *one: seen.append(one)
        )
    )
    [(text, value)] = seen
    assert (text, value["resource"]["id"]) == (entry, "o1")


@pytest.mark.deep
def test_real_records_are_read_at_one_look_as_by_each() -> None:
    files = sorted(shared("data", "fhir-r4").rglob("*.json"), key=lambda file: file.stat().st_size)
    for file in files[:: max(len(files) // 60, 1)]:
        content = file.read_bytes()
        if len(content) < 4 << 20:
            assert _of(content, at_one_look=True) == _by_parts(content), file.name
