"""Others: what lies beside records and is none, and what the words of an unknown file give away."""

from __future__ import annotations

import io
import json
import os
import random
from pathlib import Path

import pytest

from panachain.errors import InputError
from panachain.model.scope import Category
from panachain.records import others
from panachain.records.others import restricted_text, server_of, what_it_is

MANIFEST = {"transactionTime": "2024-01-01T00:00:00Z", "request": "https://h.example/$export", "output": []}
EBXML = b'<?xml version="1.0"?><lcm:SubmitObjectsRequest xmlns:lcm="urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0"/>'
STYLE = (
    b'<?xml version="1.0"?>\n<!-- shows C-CDA -->\n<xsl:stylesheet version="1.0"'
    b' xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:n1="urn:hl7-org:v3"/>'
)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("README.txt", b"read me", "a text about the folder"),
        ("readme", b"read me", "a text about the folder"),
        ("LICENSE.md", b"", "a text about the folder"),
        ("export.zip!INDEX.HTM", b"<html>", "a text about the folder"),
        ("Thumbs.db", b"\xd0\xcf\x11\xe0", "a file of the desktop"),
        ("desktop.ini", b"[x]", "a file of the desktop"),
        ("a.ndjson.sha256", b"00", "checksums"),
        ("manifest.json", json.dumps(MANIFEST).encode(), "the manifest of a bulk export"),
        ("other.json", json.dumps(MANIFEST).encode("utf-16"), "the manifest of a bulk export"),
        ("x.zip!IHE_XDM/SUBSET01/METADATA.XML", b"<x/>", "the metadata of an XDM archive"),
        ("x/metadata.xml", EBXML, "the metadata of an XDM archive"),
        ("x/METADATA.XML", EBXML.decode().encode("utf-16"), "the metadata of an XDM archive"),
        ("x.zip!IHE_XDM/SUBSET01/STYLE.XSL", STYLE, "a style sheet"),
        ("CDA.xslt", STYLE, "a style sheet"),
        ("main.css", b"p {}", "a style sheet"),
        # What could be a record is none of these.
        ("x/metadata.xml", b"<x/>", ""),
        ("x/IHE_XDM/SUBSET01/METADATA.XML", b'<ClinicalDocument xmlns="urn:hl7-org:v3">', ""),
        ("x/IHE_XDM/SUBSET01/METADATA.XML", b'<Bundle xmlns="http://hl7.org/fhir">', ""),
        ("x/IHE_XDM/SUBSET01/DOC0001.XML", b"<x/>", ""),
        ("x/submission.xml", EBXML, ""),
        ("style.xsl", b"<x/>", ""),
        ("style.xsl", b'<ClinicalDocument xmlns="urn:hl7-org:v3"><!-- ' + STYLE[21:] + b"-->", ""),
        ("style.xml", STYLE, ""),
        ("manifest.json", json.dumps({**MANIFEST, "resourceType": "Basic"}).encode(), ""),
        ("manifest.json", b'{"transactionTime":1}', ""),
        ("manifest.json", b'{"transactionTime":', ""),
        ("manifest.json", b'{"resourceType":"DocumentManifest"}', ""),
        ("readme.pdf", b"%PDF-1.7", ""),
        ("readme.json", b"{}", ""),
        ("notes.txt", b"read me", ""),
        ("readme-of-a-patient.txt", b"", ""),
        ("thumbs.db.pdf", b"%PDF-1.7", ""),
    ],
)
def test_what_lies_beside_records_is_named(name: str, content: bytes, what: str) -> None:
    found = what_it_is(Path("folder", name), content)
    # UTF-16 hides the word that is looked for, unless it is read as what it is.
    assert found == what


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "latin-1"])
def test_words_tell_in_each_encoding(encoding: str) -> None:
    def category(text: str) -> Category | None:
        return restricted_text(io.BytesIO(text.encode(encoding)))

    assert category("Größe 1,80 m, HIV infection since 2019") is Category.SEXUAL_HEALTH
    assert category("Größe 1,80 m, verstauchter Knöchel") is None
    # A line is looked at in parts: no word falls between two of them.
    for length in range(1900, 2100, 3):
        assert category("é" * length + " HIV infection") is Category.SEXUAL_HEALTH


@pytest.mark.parametrize("preface", ["Sent by the gateway:\n", "x" * 5000 + "\r\n", "# a\n" * 30])
def test_a_message_after_a_preface_tells_by_its_codes(preface: str) -> None:
    message = "MSH|^~\\&|a|b|c|d|20240506||ADT^A01|1|P|2.5\rDG1|1||{}^^I10\r"
    assert restricted_text(io.BytesIO((preface + message.format("B20")).encode())) is Category.SEXUAL_HEALTH
    assert restricted_text(io.BytesIO((preface + message.format("S93.4")).encode())) is None


def test_what_is_no_text_has_no_words() -> None:
    chance = random.Random(3)
    for _ in range(20):
        content = chance.randbytes(5000) + b" HIV infection " + chance.randbytes(5000)
        assert restricted_text(io.BytesIO(content)) is None


def test_no_text_passes_of_which_only_a_part_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "_MOST_TEXT", 1000)
    assert restricted_text(io.BytesIO(b"word " * 200)) is None
    with pytest.raises(InputError, match="nobody looks at all of its words"):
        restricted_text(io.BytesIO(b"word " * 200 + b"HIV"))
    assert restricted_text(io.BytesIO(bytes(2000))) is None


@pytest.mark.parametrize(
    ("request_", "server"),
    [
        ("https://h.example/fhir/$export?_type=Patient", "https://h.example/fhir"),
        ("https://h.example/fhir/Patient/$export", "https://h.example/fhir"),
        ("https://h.example/Group/7-a/$export", "https://h.example"),
        ("https://h.example/else", ""),
        (7, ""),
    ],
)
def test_the_manifest_says_of_which_server_an_export_is(request_: object, server: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({**MANIFEST, "request": request_}))
    (tmp_path / "other.json").write_text("{")
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "nowhere.json").symlink_to("nowhere")
    assert server_of(tmp_path) == server
    assert server_of(tmp_path / "manifest.json") == ""
    # Two that contradict each other say nothing.
    (tmp_path / "second.json").write_text(json.dumps({**MANIFEST, "request": "https://b.example/$export"}))
    assert server_of(tmp_path) == ""
