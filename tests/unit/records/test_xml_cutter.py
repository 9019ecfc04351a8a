"""XML is cut into its very bytes, means what JSON would mean, and each part is a document again."""

from __future__ import annotations

import io
import json
from typing import Any
from xml.sax import saxutils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.errors import InputError
from panachain.records import xml_cutter
from panachain.records.split import xml_form
from panachain.records.xml import MAX_DEPTH
from panachain.records.xml_cutter import Cutter, Form, Part, pieces_of
from tests.unit.records.helpers import as_xml

FHIR = 'xmlns="http://hl7.org/fhir"'
ENTRY = '<entry><fullUrl value="urn:uuid:1"/><resource><Basic><id value="b"/></Basic></resource></entry>'


def cut(text: str | bytes) -> tuple[list[Part], Cutter, Form]:
    file = io.BytesIO(text.encode() if isinstance(text, str) else text)
    form = xml_form(file)
    cutter = Cutter(form)
    return list(cutter.feed_all(pieces_of(file))), cutter, form


def value_of(inside: str) -> dict[str, Any]:
    _, cutter, _ = cut(f"<Basic {FHIR}>{inside}</Basic>")
    return cutter.value


@pytest.mark.parametrize(
    ("inside", "members"),
    [
        ('<id value="1"/>', {"id": "1"}),
        ('<status value="a&amp;b"/>', {"status": "a&b"}),
        ('<code><coding><code value="1"/></coding></code>', {"code": {"coding": [{"code": "1"}]}}),
        ('<given value="a"/><given value="b"/>', {"given": ["a", "b"]}),
        ('<birthDate value="1"><extension url="x"/></birthDate>',
         {"birthDate": "1", "_birthDate": {"extension": [{"url": "x"}]}}),
        ('<name id="n"><family value="f"/></name>', {"name": [{"id": "n", "family": "f"}]}),
        ('<name value="of an organization"/>', {"name": "of an organization"}),
        ("<contained><Patient/></contained>", {"contained": [{"resourceType": "Patient"}]}),
        ('<text><status value="x"/><div xmlns="http://www.w3.org/1999/xhtml"><b code="B20">x</b></div></text>',
         {"text": {"status": "x", "div": '<div><b code="B20">x</b></div>'}}),
        ('<valueQuantity><value value="1.10"/></valueQuantity>', {"valueQuantity": {"value": "1.10"}}),
    ],
)  # fmt: skip
def test_an_element_means_what_its_json_means(inside: str, members: dict[str, Any]) -> None:
    assert value_of(inside) == {"resourceType": "Basic", **members}


def test_a_part_has_its_very_bytes_whatever_stands_around_it() -> None:
    odd = "<entry\n><!-- a > b --><fullUrl value='a>b'/> <resource><Basic/></resource></entry >"
    parts, cutter, _ = cut(
        f'<?xml version="1.0"?>\n<Bundle {FHIR}>\n{ENTRY}\n\n{odd}<entry/><entry a="/>"></entry></Bundle>\n'
    )
    assert [kept.decode() for kept, *_ in parts] == [ENTRY, odd, "<entry/>", '<entry a="/>"></entry>']
    assert cutter.rest == f'<?xml version="1.0"?>\n<Bundle {FHIR}>\n</Bundle>\n'.encode()


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 16])
def test_pieces_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(xml_cutter, "_CHUNK", size)
    file = io.BytesIO(f"<Bundle {FHIR}><type value='batch'/>{ENTRY * 3}</Bundle>".encode())
    form = Form("x", lambda root, name: (root, name) == ("Bundle", "entry"))
    cutter = Cutter(form)
    assert [kept.decode() for kept, *_ in cutter.feed_all(pieces_of(file))] == [ENTRY] * 3
    assert cutter.value == {"resourceType": "Bundle", "type": "batch"}


def test_prefixes_languages_and_namespaces_hold_in_each_part() -> None:
    text = (
        '<f:Bundle xmlns:f="http://hl7.org/fhir" xmlns:o="urn:other" xml:lang="de" o:x="1"><f:entry><f:resource>'
        "<f:Basic><o:note/></f:Basic></f:resource></f:entry></f:Bundle>"
    )
    ((kept, value, *_),), cutter, form = cut(text)
    made = form.bundle(b'"batch"', [kept])
    assert b'xmlns:o="urn:other"' in made
    assert b'xml:lang="de"' in made
    assert b'<f:type value="batch"/>' in made
    ((again, same, *_),), _, _ = cut(made)
    assert (again, same) == (kept, value)
    assert form.value(kept) == value
    assert not cutter.is_plain


@pytest.mark.parametrize(
    ("encoding", "said", "bom"),
    [
        ("utf-8", "UTF-8", ""),
        ("utf-8", "UTF-8", "\ufeff"),
        ("latin-1", "ISO-8859-1", ""),
        ("cp1252", "windows-1252", ""),
    ],
)
def test_bytes_of_another_encoding_stay_readable(encoding: str, said: str, bom: str) -> None:
    entry = '<entry><fullUrl value="Ä"/></entry>'
    text = f'{bom}<?xml version="1.0" encoding="{said}"?><Bundle {FHIR}>{entry}{entry}</Bundle>'
    parts, _, form = cut(text.encode(encoding))
    assert [kept.decode(encoding) for kept, *_ in parts] == [entry, entry]
    assert form.value(parts[0][0]) == {"fullUrl": "Ä"}


def test_what_was_utf_16_says_that_it_is_utf_8() -> None:
    text = f'<?xml version="1.0" encoding="UTF-16"?><Bundle {FHIR}><id value="Ä"/>{ENTRY}</Bundle>'
    parts, cutter, form = cut(text)
    assert [kept.decode() for kept, *_ in parts] == [ENTRY]
    assert b"UTF-16" not in cutter.rest + form.bundle(b'"batch"', [parts[0][0]])
    assert form.rest(cutter.rest) == {"resourceType": "Bundle", "id": "Ä"}


@pytest.mark.parametrize(
    ("beside", "plain"),
    [
        ("", True),
        ('<type value="batch"/>', True),
        ("<!-- x -->", False),
        ("<?x y?>", False),
        ("text", False),
    ],
)
def test_what_stands_beside_the_parts_is_seen(beside: str, plain: bool) -> None:
    assert cut(f"<Bundle {FHIR}>{beside}{ENTRY}</Bundle>")[1].is_plain is plain


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f'<!DOCTYPE Bundle [<!ENTITY a "b">]><Bundle {FHIR}/>', "declares"),
        (f'<!DOCTYPE Bundle SYSTEM "file:///etc/passwd"><Bundle {FHIR}/>', "declares"),
        (f'<!DOCTYPE Bundle [<!ATTLIST Bundle a CDATA "b">]><Bundle {FHIR}/>', "declares"),
        (f'<Basic {FHIR}><code><coding><code value="1"/><code value="B20"/></coding></code></Basic>', "doubled"),
        (f"<Basic {FHIR}><contained><Patient/><Patient/></contained></Basic>", "two FHIR resources"),
        (f"<Basic {FHIR}>" + "<a>" * MAX_DEPTH, "deeper"),
        (f'<Basic {FHIR}><text><div xmlns="http://www.w3.org/1999/xhtml">' + "<a>" * MAX_DEPTH, "deeper"),
        (f"<Bundle {FHIR}><entry><x:y/></entry></Bundle>", "not XML"),
        (f"<Bundle {FHIR}><entry>", "not XML"),
        (f"<Bundle {FHIR}/><Bundle {FHIR}/>", "something follows"),
    ],
)
def test_what_could_hide_something_or_do_harm_is_refused(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        cut(text)
    assert "passwd" not in str(caught.value)


def test_a_part_and_what_stands_beside_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_cutter, "MAX_PIECE", 1000)
    monkeypatch.setattr(xml_cutter, "_CHUNK", 100)
    many = f"<Bundle {FHIR}>" + ENTRY * 100 + "</Bundle>"
    assert len(cut(many)[0]) == 100
    for text in (ENTRY.replace('"b"', f'"{"b" * 2000}"'), f"<!-- {'x' * 80} -->" * 5 + ENTRY):
        with pytest.raises(InputError, match="more than 1000 bytes"):
            cut(many.replace("</Bundle>", text * 5 + "</Bundle>"))
    monkeypatch.setattr(xml_cutter, "MAX_VALUES", 10)
    with pytest.raises(InputError, match="more than 10 names"):
        cut(f"<Bundle {FHIR}>" + "".join(f"<entry><a{at}/></entry>" for at in range(12)) + "</Bundle>")
    monkeypatch.setattr(xml_cutter, "MAX_VALUES", 3)
    with pytest.raises(InputError, match="more than 3 elements"):
        cut(f"<Bundle {FHIR}><entry><a/><a/><a/></entry></Bundle>")
    with pytest.raises(InputError, match="more than 3 elements"):
        cut(f"<Bundle {FHIR}><a/><a/><a/></Bundle>")


def test_a_narrative_is_no_part_and_hides_none() -> None:
    narrative = '<h:entry xmlns:h="http://www.w3.org/1999/xhtml"><h:b/></h:entry>'
    meta = '<meta><security><code value="ETH"/></security></meta>'
    parts, cutter, _ = cut(f"<Bundle {FHIR}>{narrative}{meta}{ENTRY}{narrative}</Bundle>")
    assert [kept.decode() for kept, *_ in parts] == [ENTRY]
    assert cutter.value["meta"] == {"security": [{"code": "ETH"}]}
    assert cutter.value["entry"] == ["<entry><b></b></entry>", "<entry><b></b></entry>"]
    assert cutter.rest.decode().count(narrative) == 2


def test_the_tests_converter_writes_what_is_read() -> None:
    resource = {
        "resourceType": "Patient", "id": "p", "active": True, "birthDate": "2000", "_birthDate": {"id": "x"},
        "name": [{"given": ["a", "b"], "_given": [None, {"id": "y"}]}], "contained": [{"resourceType": "Basic"}],
    }  # fmt: skip
    _, cutter, _ = cut(as_xml(json.loads(json.dumps(resource)), prefix="f:"))
    expected = {**resource, "active": "true"}
    expected["name"] = [{"given": ["a", "b"], "_given": {"id": "y"}}]
    assert cutter.value == expected


@given(st.text(alphabet=st.sampled_from("&<>\"'\n\r\tab ü"), max_size=12))
def test_text_is_escaped_as_pythons_library_does(text: str) -> None:
    assert xml_cutter._escaped(text) == saxutils.escape(text)
    assert xml_cutter._quoted(text) == saxutils.quoteattr(text)
