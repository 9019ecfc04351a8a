"""XML documents: told apart, dated, restricted by their codes, and nothing that they declare is followed."""

from __future__ import annotations

from base64 import b64encode

import pytest

from panachain.errors import InputError
from panachain.model.scope import UNDATED, Category
from panachain.records.fhir_codes import RESTRICTED_DEFAULT
from panachain.records.xml import MAX_ATTRIBUTES, MAX_DEPTH, Document, read_document
from tests.unit.records.pdfs import pdf

CDA = '<ClinicalDocument xmlns="urn:hl7-org:v3">{}</ClinicalDocument>'
ACT = 'codeSystem="2.16.840.1.113883.5.4"'


def read(text: str | bytes) -> Document:
    return read_document([text.encode() if isinstance(text, str) else text])


@pytest.mark.parametrize(
    ("text", "media_type"),
    [
        ("<a/>", "application/xml"),
        ('<Patient xmlns="http://hl7.org/fhir"/>', "application/fhir+xml"),
        (CDA.format(""), "application/cda+xml"),
        ('<ClinicalDocument xmlns="urn:other"/>', "application/xml"),
    ],
)
def test_the_root_tells_the_kind(text: str, media_type: str) -> None:
    assert read(text).media_type == media_type


@pytest.mark.parametrize(
    ("inside", "year"),
    [
        ('<effectiveTime value="20240305"/>', 2024),
        ('<effectiveTime><low value="2023"/></effectiveTime>', 2023),
        ('<effectiveTime value="2024"/><effectiveTime value="2020"/>', 2024),
        ('<effectiveTime value="soon"/>', UNDATED),
        ('<section><effectiveTime value="2020"/></section>', UNDATED),
        ("", UNDATED),
    ],
)
def test_the_year_stands_below_the_root(inside: str, year: int) -> None:
    assert read(CDA.format(inside)).year == year


@pytest.mark.parametrize(
    ("inside", "category"),
    [
        ('<code code="86406008"/>', Category.SEXUAL_HEALTH),
        ('<a><b><value code="F329" codeSystem="2.16.840.1.113883.6.90"/></b></a>', Category.MENTAL_HEALTH),
        ('<a><b><value code="F32.9" codeSystem="1.2.3"/></b></a>', None),
        ('<code value="7200002"/>', Category.SUBSTANCE_USE),
        (f'<code code="PSY" {ACT}/>', Category.MENTAL_HEALTH),
        ('<code code="PSY"/>', None),
        ('<security><code value="HIV"/></security>', Category.SEXUAL_HEALTH),
        ('<confidentialityCode code="R"/>', RESTRICTED_DEFAULT),
        ('<confidentialityCode code="N"/>', None),
        ('<confidentialityCode code="V"/><code code="86406008"/>', Category.SEXUAL_HEALTH),
        ('<value code="R"/>', None),
        ("", None),
    ],
)
def test_a_sensitive_code_or_label_restricts(inside: str, category: Category | None) -> None:
    assert read(CDA.format(inside)).restricted is category


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a/>',
        '<!DOCTYPE a [<!ATTLIST a b CDATA "c">]><a/>',
        "",
        "<a>",
        "<a></b>",
        "text",
        b"\xff\xfe",
        '<?xml version="1.0" encoding="klingon"?><a/>',
        "<a>" * (MAX_DEPTH + 1),
    ],
)
def test_what_could_do_harm_or_is_no_xml_is_refused(text: str | bytes) -> None:
    with pytest.raises(InputError) as caught:
        read(text)
    assert "passwd" not in str(caught.value)


def test_a_tag_that_never_ends_is_refused_early() -> None:
    piece = b"".join(b' a%d="1"' % number for number in range(MAX_ATTRIBUTES))
    with pytest.raises(InputError, match="attributes in one tag"):
        read_document([b"<a", *[piece.replace(b" a", b" b%d" % number) for number in range(20)]])


def test_pieces_of_any_size_say_the_same() -> None:
    text = CDA.format('<effectiveTime value="2024"/><code code="F32.9"/>').encode()
    assert read_document([text[at : at + 1] for at in range(len(text))]) == read_document([text])


SECTION = '<component><section><code code="{}"{}/><text>x</text>{}</section></component>'
BODY = "<component><structuredBody>{}</structuredBody></component>"
HIV = '<entry><observation><value code="B20" codeSystem="2.16.840.1.113883.6.3"/></observation></entry>'


def test_a_document_names_the_section_that_closes_it() -> None:
    allergies = SECTION.format("48765-2", "", "")
    problems = SECTION.format("11450-4", ' displayName="Problems"', HIV)
    nested = SECTION.format("29762-2", "", SECTION.format("72166-2", "", HIV))
    found = read(CDA.format(BODY.format(allergies + problems + nested)))
    assert [one.name for one in found.sections] == [
        "section 48765-2 Allergies", "section 11450-4 Problems", "section 29762-2 Social history"]  # fmt: skip
    assert found.restricted is Category.SEXUAL_HEALTH
    assert found.closed_by == ("section 11450-4 Problems", "section 29762-2 Social history")
    assert {found.where(one) for one in found.findings} == {found.closed_by}


def test_what_closes_a_document_by_its_header_is_of_no_section() -> None:
    open_one = SECTION.format("48765-2", "", "")
    found = read(CDA.format('<confidentialityCode code="R"/>' + BODY.format(open_one)))
    assert (found.restricted, found.closed_by) == (RESTRICTED_DEFAULT, ())
    assert [found.where(one) for one in found.findings] == [()]
    assert read(CDA.format(BODY.format(open_one))).closed_by == ()


def test_a_name_without_a_code_counts() -> None:
    assert (
        read(CDA.format('<value nullFlavor="OTH" displayName="HIV infection"/>')).restricted is Category.SEXUAL_HEALTH
    )


@pytest.mark.parametrize(
    ("inside", "closed"),
    [
        ("<text><paragraph>treated for <content>HIV</content> disease</paragraph></text>", True),
        ("<text>opioid <content styleCode='Bold'>dependence</content></text>", True),
        ("<text><table><tr><td>Truvada 200/300 mg</td></tr></table></text>", True),
        ("<title>HIV clinic</title>", True),
        ("<originalText>HIV disease</originalText>", True),
        ("<manufacturedMaterial><name>Truvada</name></manufacturedMaterial>", True),
        ("<text>a broken leg</text>", False),
        # Two cells are two texts: what the one denies isn't the other.
        ("<text><tr><td>Smoker: no</td><td>depression</td></tr></text>", True),
        ("<text>no depression</text>", False),
        ("<patient><name><given>Hiv</given><family>Suizid</family></name></patient>", False),
        ("<addr><streetAddressLine>1 Heroin Street</streetAddressLine><city>Aids</city></addr>", False),
        ("<representedOrganization><name>Methadone clinic</name></representedOrganization>", False),
    ],
)
def test_what_a_narrative_says_tells_and_who_somebody_is_does_not(inside: str, closed: bool) -> None:
    assert (read(CDA.format(f"<component>{inside}</component>")).restricted is not None) is closed


def test_a_narrative_is_read_however_its_bytes_come() -> None:
    text = CDA.format("<text>treated for HIV disease &amp; asthma</text>").encode()
    assert read_document(bytes([one]) for one in text).restricted is Category.SEXUAL_HEALTH


@pytest.mark.parametrize(
    ("content", "closed", "is_read"),
    [
        (b"HIV disease", True, True),
        (pdf("since 2019 HIV disease"), True, True),
        (pdf("", "HIV disease"), True, False),
        (pdf(""), False, False),
        (bytes(range(256)), False, False),
        (b"a broken leg", False, True),
    ],
)
def test_a_file_in_a_document_is_read_if_it_is_a_text(content: bytes, closed: bool, is_read: bool) -> None:
    body = f'<nonXMLBody><text mediaType="x/y" representation="B64">{b64encode(content).decode()}</text></nonXMLBody>'
    found = read(CDA.format(f"<component>{body}</component>"))
    assert (found.restricted is not None, found.is_read) == (closed, is_read)


def test_a_root_of_any_name_is_read() -> None:
    assert read("<name>HIV</name>").restricted is None
    assert read("<a>HIV</a>").restricted is Category.SEXUAL_HEALTH
