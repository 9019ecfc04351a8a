"""Attachments: taken out as the files that they are, put back byte for byte."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panachain.errors import InputError, IntegrityError
from panachain.model.scope import Category
from panachain.records.attachments import MIN_SIZE, Attachment, pull_out, restore
from panachain.records.canonical import MAX_DEPTH, parse
from panachain.records.split import MEDIA_TYPE, split_json
from tests.unit.records.helpers import bundles, content_of

NOTE = b"Visit note: well."
SCAN = bytes(range(256)) * (MIN_SIZE // 256)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def document(data: bytes = NOTE, **members: Any) -> bytes:
    attachment = {"contentType": "text/plain", "data": b64(data), **members}
    return json.dumps({"resourceType": "DocumentReference", "content": [{"attachment": attachment}]}).encode()


def mark(data: bytes) -> dict[str, Any]:
    value = "sha256:" + sha256(data).hexdigest()
    return {"extension": [{"url": "urn:panachain:attachment", "valueString": value}]}


def put_back(content: bytes, files: list[Attachment]) -> bytes:
    return restore(content, {file.digest: file.data for file in files}.__getitem__)


def test_a_documents_file_is_taken_out_and_marked() -> None:
    kept, files = pull_out(document())
    assert files == [Attachment(sha256(NOTE).digest(), "text/plain", NOTE)]
    assert json.loads(kept)["content"][0]["attachment"] == {"contentType": "text/plain", "_data": mark(NOTE)}
    assert put_back(kept, files) == document()


def test_everything_else_stays_as_it_was_written() -> None:
    text = b'{ "resourceType":"Binary",\n\t"x":1.10, "data" :\r\n "%b" ,"contentType":"image/png" }'
    kept, files = pull_out(text % b64(NOTE).encode())
    assert (
        kept
        == text.replace(b'"data"', b'"_data"').replace(b'"%b"', b"%b")
        % json.dumps(mark(NOTE), separators=(",", ":")).encode()
    )
    assert [file.media_type for file in files] == ["image/png"]
    assert put_back(kept, files) == text % b64(NOTE).encode()


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "DiagnosticReport", "presentedForm": [{"data": b64(SCAN)}]},
        {"resourceType": "Media", "content": {"data": b64(SCAN)}},
        {"resourceType": "Patient", "photo": [{"data": b64(SCAN)}]},
        {"resourceType": "Communication", "payload": [{"contentAttachment": {"data": b64(SCAN)}}]},
        {"resourceType": "Consent", "sourceAttachment": {"data": b64(SCAN)}},
        {"resourceType": "List", "contained": [{"resourceType": "Unheard", "a": [{"b": {"data": b64(SCAN)}}]}]},
    ],
)
def test_large_files_are_taken_out_wherever_they_are(resource: dict[str, Any]) -> None:
    kept, files = pull_out(json.dumps(resource).encode())
    assert [(file.data, file.media_type) for file in files] == [(SCAN, "application/octet-stream")]
    assert put_back(kept, files) == json.dumps(resource).encode()
    small = json.dumps(resource).replace(b64(SCAN), b64(SCAN[1:])).encode()
    assert pull_out(small) == (small, [])


@pytest.mark.parametrize(
    "text",
    [
        *("", "====", "QUJ", "QUI", "QUJ=", "QUI=QUI=", "QR==", "QUJD\\n", " QUJD", "QU JD", "QUI-", "QU_D", "QUJD="),
        *("QU\\/D", "é", "\\u0051UJD"),
    ],
)
def test_base64_that_has_another_spelling_stays(text: str) -> None:
    resource = f'{{"resourceType":"Binary","data":"{text}"}}'.encode()
    assert pull_out(resource) == (resource, [])


def test_a_member_that_only_looks_like_data_stays() -> None:
    for member in (
        rb'"x\"data":"%b"',
        b'"xdata":"%b"',
        b'"data":["%b"]',
        rb'"x":"\"data\":\"%b\""',
        b'"dat\\u0061":"%b"',
    ):
        resource = b'{"resourceType":"Binary",%b}' % (member % b64(NOTE).encode())
        assert pull_out(resource) == (resource, [])


@pytest.mark.parametrize(
    "other", ['"_data":{"id":"x"}', '"_d\\u0061ta":null', '"d\\u0061ta":5', '"data":5', '"data":""']
)
def test_a_file_stays_where_its_mark_has_no_room(other: str) -> None:
    resource = f'{{"resourceType":"Binary","data":"{b64(NOTE)}",{other}}}'.encode()
    assert pull_out(resource) == (resource, [])


def test_a_file_stays_where_its_mark_would_be_too_deep() -> None:
    for levels, count in ((MAX_DEPTH - 4, 1), (MAX_DEPTH - 1, 0)):
        text = b'{"resourceType":"Binary","x":' + b"[" * (levels - 1) + b'{"data":"%b"}' + b"]" * (levels - 1) + b"}"
        resource = text % b64(NOTE).encode()
        kept, files = pull_out(resource)
        assert len(files) == count
        assert put_back(kept, files) == resource


def test_a_mark_that_was_there_before_is_nobodys_file() -> None:
    own = json.dumps(mark(NOTE), separators=(",", ":")).encode()
    resource = b'{"resourceType":"Binary","contained":[{"_data":%b}],"a":{"data":"%b"}}' % (own, b64(NOTE).encode())
    kept, files = pull_out(resource)
    assert b'"raw-sha256:' in kept
    assert put_back(kept, files) == resource
    # What comes out of one hospital and goes into another one is marked twice.
    again, more = pull_out(kept)
    assert again.count(b"raw-raw-sha256:") == 1
    assert put_back(again, more) == kept
    assert put_back(put_back(again, more), files) == resource


def test_restoring_takes_no_other_bytes() -> None:
    kept, _ = pull_out(document())
    with pytest.raises(IntegrityError, match="attachment of 5 bytes"):
        restore(kept, lambda _: b"other")


@pytest.mark.parametrize(
    ("given_type", "media_type"),
    [
        ("application/pdf", "application/pdf"),
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("application/fhir+json", "application/json"),
        ("Application/FHIR+JSON; fhirVersion=4.0", "application/json"),
        ("nonsense", "application/octet-stream"),
        ("a/" + "b" * 100, "application/octet-stream"),
        ("text/plain\n", "application/octet-stream"),
        (5, "application/octet-stream"),
    ],
)
def test_a_files_media_type_is_what_its_resource_says(given_type: Any, media_type: str) -> None:
    _, files = pull_out(document(contentType=given_type))
    assert [file.media_type for file in files] == [media_type]


def test_files_follow_their_bundle_each_of_them_once() -> None:
    report = {"resourceType": "DiagnosticReport", "presentedForm": [{"data": b64(SCAN)}], "issued": "2020-01-01"}
    letter = json.loads(document()) | {"date": "2021-05-05"}
    secret = json.loads(document()) | {"date": "2021-05-05", "meta": {"security": [{"code": "HIV"}]}}
    entries = [{"resource": resource} for resource in (report, letter, report, secret, letter)]
    source = json.dumps({"resourceType": "Bundle", "type": "batch", "entry": entries}).encode()
    pieces = list(split_json(source))
    assert [(piece.category, piece.year, piece.media_type) for piece in pieces] == [
        (Category.LABORATORY, 2020, MEDIA_TYPE),
        (Category.LABORATORY, 2020, "application/octet-stream"),
        (Category.DOCUMENTS, 2021, MEDIA_TYPE),
        (Category.DOCUMENTS, 2021, "text/plain"),
        (Category.SEXUAL_HEALTH, 2021, MEDIA_TYPE),
        (Category.SEXUAL_HEALTH, 2021, "text/plain"),
    ]
    assert [content_of(piece) for piece in pieces[1::2]] == [SCAN, NOTE, NOTE]
    back = [json.loads(text)["entry"] for text in bundles(pieces)]
    assert back == [[entries[0], entries[2]], [entries[1], entries[4]], [entries[3]]]


base64_texts = st.binary(max_size=40).map(b64) | st.sampled_from(["QUJ", "QR==", "A B=", b64(SCAN), "\\u0041"])
members = st.sampled_from(
    ['"data"', '"_data"', '"x"', '"contentType"', '"d\\u0061ta"', '"x\\"data"', '"resourceType"', '"x\\"_data"']
)
marks = st.sampled_from(["", "raw-", "raw-raw-", "war-"]).map(
    lambda raw: json.dumps(mark(NOTE), separators=(",", ":")).replace("sha256:", raw + "sha256:")
)
leaves = base64_texts.map(lambda text: f'"{text}"') | marks | st.sampled_from(['"Binary"', "5", '"a/b"', "{}", '"\\""'])
blanks = st.sampled_from(["", "", " ", "\n\t"])


def objects(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(members, blanks, blanks, inner).map(lambda p: p[0] + p[1] + ":" + p[2] + p[3])
    return st.lists(pairs, max_size=4).map(lambda items: "{" + ",".join(items) + "}") | st.lists(inner, max_size=3).map(
        lambda items: "[" + ",".join(items) + "]"
    )


@settings(max_examples=150)
@given(st.recursive(leaves, objects, max_leaves=15), st.booleans())
def test_what_is_put_back_is_what_was_taken_out(text: str, is_document: bool) -> None:
    resource = (f'{{"resourceType":"Binary","a":{text}}}' if is_document else text).encode()
    kept, files = pull_out(resource)
    assert put_back(kept, files) == resource
    try:
        value = parse(resource)
    except InputError:
        assert not files
        return
    # Nothing but the members that hold files has changed.
    parse(kept)
    assert files or b"raw-" in kept or parse(kept) == value


@settings(max_examples=100)
@given(st.data())
def test_bytes_that_are_no_json_come_back_too(data: st.DataObject) -> None:
    text = bytearray(document())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        text[start : start + data.draw(st.integers(0, 5))] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b'"data":"QUJD"', b'"_data":', b"urn:panachain:attachment", b'"'])
        )
    kept, files = pull_out(bytes(text))
    assert put_back(kept, files) == bytes(text)
