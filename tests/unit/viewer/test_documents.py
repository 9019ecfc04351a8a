"""Files that are records or stand in one: told by what they are, shown as far as that is safe."""

from __future__ import annotations

from base64 import b64encode

import pytest

from panachain.crypto.keys import Seed, address_of
from panachain.records import viewer_bundle
from panachain.viewer import folder
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


def bundle(**files: bytes) -> bytes:
    seed = Seed.random()
    content = {"index.html": b"<script>alert(1)</script>", "program.js": b"alert(1)"} | files
    said = ("<b>List</b>", "1.0", "Lists <values>.", (), "index.html", "", "program.js")
    made = viewer_bundle.ViewerBundle(address_of(seed.account_key()), *said, content)
    return viewer_bundle.sign_bundle(made, seed.signer())


def test_software_is_named_with_its_publisher_and_nothing_of_it_is_on_a_page() -> None:
    item = file(bundle(), viewer_bundle.MEDIA_TYPE, named=lambda _: "A publisher")
    chart = shown(item)
    (document,) = chart.section("documents").documents
    software = body_of(document).software
    assert document.kind == "viewer"
    assert software is not None
    assert (software.name, software.publisher, software.files) == (
        "<b>List</b>",
        "A publisher",
        ("index.html", "program.js"),
    )
    pages = {name: content.decode() for name, content in folder.files(chart)}
    page = pages[f"{folder.FOLDER}/document-1.html"]
    assert "A publisher" in page
    assert "run on this page, and nobody looked here" in page
    assert not [name for name, content in pages.items() if "<script" in content or "<b>List" in content]


def test_software_that_cannot_be_read_says_why() -> None:
    for content in (b"", viewer_bundle.MAGIC + bytes(80)):
        body = body_of(one(content, viewer_bundle.MEDIA_TYPE))
        assert body.software is None
        assert body.error
