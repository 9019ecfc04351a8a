"""Files that are records or stand in one: told by what they are, shown as far as that is safe."""

from __future__ import annotations

from base64 import b64encode

import pytest

from panachain.viewer.documents import Document, body_of, kind_of
from tests.unit.viewer.helpers import file, of, shown


def one(content: bytes, media_type: str) -> Document:
    (found,) = shown(file(content, media_type)).section("documents").documents
    return found


@pytest.mark.parametrize(
    ("media_type", "start", "kind"),
    [
        ("application/pdf", b"%PDF-1.7", "pdf"),
        ("application/pdf", b"<html>", "file"),
        ("text/plain", b"%PDF-1.7", "pdf"),
        ("application/xml", b'<?xml version="1.0"?><ClinicalDocument>', "cda"),
        ("application/xml", b"<HealthData>", "apple"),
        ("application/xml", b"<html>", "text"),
        ("text/html", b"<p>", "html"),
        ("text/csv; charset=utf-8", b"a,b", "csv"),
        ("image/png", b"\x89PNG", "picture"),
        ("image/svg+xml", b"<svg>", "file"),
        ("application/x-shockwave-flash", b"FWS", "file"),
        ("", b"", "file"),
    ],
)
def test_what_a_file_is(media_type: str, start: bytes, kind: str) -> None:
    assert kind_of(media_type, start) == kind


def test_csv_is_a_table_of_cleaned_cells() -> None:
    body = body_of(one(b"what;value\nweight;70\nonly one cell\n", "text/csv"))
    assert body.tables[0].columns == ("what", "value")
    assert body.tables[0].rows == (("weight", "70"), ("only one cell", ""))


def test_xml_of_no_known_kind_is_shown_as_text() -> None:
    body = body_of(one(b"<html><script>alert(1)</script></html>", "application/xml"))
    assert (body.text, body.markup) == ("<html><script>alert(1)</script></html>", "")


def test_a_damaged_document_says_why() -> None:
    assert body_of(one(b"<?xml version='1.0'?><ClinicalDocument>", "application/cda+xml")).error


def test_a_file_in_a_resource_is_a_document_of_it_and_shares_its_marks() -> None:
    attachment = {"contentType": "text/plain", "data": b64encode("Grüße".encode()).decode(), "title": "Letter"}
    chart = of(
        {"resourceType": "DocumentReference", "status": "entered-in-error", "content": [{"attachment": attachment}]}
    )
    (found,) = chart.section("documents").documents
    assert (found.title, found.kind, "in_error" in found.marks) == ("Letter", "text", True)
    assert body_of(found).text == "Grüße"


def test_a_document_around_a_file_shows_both() -> None:
    inner = '<nonXMLBody><text mediaType="text/plain" representation="B64">eA==</text></nonXMLBody>'
    content = f"<ClinicalDocument><title>t</title><component>{inner}</component></ClinicalDocument>".encode()
    body = body_of(one(content, "application/cda+xml"))
    assert body.inner is not None
    assert body.inner_body is not None
    assert body.inner_body.text == "x"


def test_windows_letters_are_read() -> None:
    assert body_of(one("Grüße".encode("windows-1252"), "text/plain")).text == "Grüße"
