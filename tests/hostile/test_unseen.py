"""A word with signs in it that nobody sees is closed in each format, as it is for whoever reads it on a screen."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable

import pytest

from panachain.model.scope import RESTRICTED
from panachain.records.sources import read_bytes

SIGNS = ["\u200b", "\u00ad", "\u2060", "\ufeff", "\u202e"]


def fhir(text: str) -> bytes:
    return json.dumps(
        {"resourceType": "Observation", "status": "final", "code": {"text": "note"}, "note": [{"text": text}]}
    ).encode()


def narrative(text: str) -> bytes:
    marked = f"<div xmlns='http://www.w3.org/1999/xhtml'>{''.join(f'&#{ord(one)};' for one in text)}</div>"
    return json.dumps({"resourceType": "Basic", "text": {"status": "generated", "div": marked}}).encode()


def cda(text: str) -> bytes:
    return (
        '<ClinicalDocument xmlns="urn:hl7-org:v3"><component><structuredBody><component><section>'
        f"<text>{text}</text></section></component></structuredBody></component></ClinicalDocument>"
    ).encode()


def message(text: str) -> bytes:
    return f"MSH|^~\\&|A|B|C|D|20240101||ORU^R01|1|P|2.5\rOBX|1|TX|a||{text}|||||F\r".encode()


def dicom(text: str) -> bytes:
    value = text.encode()
    value += b" " * (len(value) % 2)
    elements = [(0x0008, 0x0020, b"DA", b"20240101"), (0x0008, 0x1030, b"LO", value)]
    head = bytes(128) + b"DICM\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"
    return head + b"".join(
        struct.pack("<HH2sH", group, element, vr, len(one)) + one for group, element, vr, one in elements
    )


@pytest.mark.parametrize("sign", SIGNS, ids=[f"U+{ord(one):04X}" for one in SIGNS])
@pytest.mark.parametrize(
    ("write", "suffix"),
    [(fhir, ".json"), (narrative, ".json"), (cda, ".xml"), (message, ".hl7"), (dicom, ".dcm")],
    ids=["fhir", "narrative", "cda", "hl7", "dicom"],
)
def test_a_word_with_a_sign_in_it_that_nobody_sees_is_closed(
    write: Callable[[str], bytes], suffix: str, sign: str
) -> None:
    for text, is_closed in ((f"H{sign}IV positive", True), ("HIV positive", True), ("all is well", False)):
        (record,) = read_bytes(write(text), suffix)
        assert (record.category in RESTRICTED) is is_closed


@pytest.mark.parametrize(
    "written",
    [
        *(
            "&#72;&#73;&#86; positive",
            "H&#8203;IV positive",
            "HI&shy;V positive",
            "H<b>I</b>V positive",
            "HIV<br/>positive",
        ),
        *("<span>HIV</span><span>positive</span>", "H<!-- x -->IV positive", "H<span style='x'>I</span>V positive"),
    ],
)
@pytest.mark.parametrize("quote", ["'", '"'])
def test_references_and_tags_in_a_narrative_hide_no_word(written: str, quote: str) -> None:
    """Single quotes in it need no escape in JSON, by which nearly all narratives were looked at as a whole."""
    div = f"<div xmlns={quote}http://www.w3.org/1999/xhtml{quote}>{written}</div>"
    content = json.dumps({"resourceType": "Basic", "text": {"status": "generated", "div": div}}).encode()
    (record,) = read_bytes(content, ".json")
    assert record.category in RESTRICTED


FILE = base64.b64encode(b"HIV positive").decode()


@pytest.mark.parametrize(
    "text",
    [
        *(f'<text representation="{one}">{FILE}</text>' for one in ("B64", "b64")),
        f'<text mediaType="text/plain" representation="B64"><x/>{FILE}</text>',
        f'<text mediaType="text/plain" representation="B64"><x>{FILE}</x></text>',
        f'<text representation="B64">{FILE[:8]}<!-- -->{FILE[8:]}</text>',
    ],
)
def test_a_file_in_a_document_is_read_however_it_stands_there(text: str) -> None:
    body = f"<component><nonXMLBody>{text}</nonXMLBody></component><after>words that are no file</after>"
    (record,) = read_bytes(f'<ClinicalDocument xmlns="urn:hl7-org:v3">{body}</ClinicalDocument>'.encode(), ".xml")
    assert record.category in RESTRICTED


def test_words_behind_a_file_are_words_again() -> None:
    body = f'<text representation="B64">{base64.b64encode(b"well").decode()}</text><title>HIV positive</title>'
    (record,) = read_bytes(f'<ClinicalDocument xmlns="urn:hl7-org:v3">{body}</ClinicalDocument>'.encode(), ".xml")
    assert record.category in RESTRICTED


@pytest.mark.parametrize(
    "written", [r"H\H\IV\N\ positive", r"HIV\N\positive", r"\H\HIV\N\ positive", r"H\X49\V positive"]
)
def test_escapes_of_a_message_hide_no_word(written: str) -> None:
    (record,) = read_bytes(message(written), ".hl7")
    assert record.category in RESTRICTED


@pytest.mark.parametrize("undefined", [False, True])
def test_a_sequence_that_a_sender_did_not_know_is_looked_into(undefined: bool) -> None:
    """As a value of unknown type, whose elements have none."""
    meaning = struct.pack("<HHL", 0x0008, 0x0104, 12) + b"HIV positive"
    item = struct.pack("<HHL", 0xFFFE, 0xE000, len(meaning)) + meaning
    head = struct.pack("<HH2sHL", 0x0009, 0x1001, b"UN", 0, 0xFFFF_FFFF if undefined else len(item))
    (record,) = read_bytes(dicom("all is well") + head + item, ".dcm")
    assert record.category in RESTRICTED


@pytest.mark.parametrize("text", ["\x1b(BHIV positive", "H\x1b(BIV positive", "all \x1b$B\x1b(BHIV positive"])
def test_a_change_of_characters_hides_no_word(text: str) -> None:
    (record,) = read_bytes(dicom(text), ".dcm")
    assert record.category in RESTRICTED
