"""C-CDA: header and narrative as its author attested them, harmless; declared entities are refused."""

from __future__ import annotations

import pytest

from panachain.viewer.cda import MOST_ROWS, head_of, read_cda
from panachain.viewer.items import UnreadableError
from tests.support import shared

DOCUMENT = """<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"><title>Summary</title>
<effectiveTime value="20230405"/><recordTarget><patientRole><patient><name><given>A</given><family>B</family></name>
<birthTime value="19700102"/></patient></patientRole></recordTarget>
<author><assignedAuthor><assignedPerson><name>Dr C</name></assignedPerson></assignedAuthor></author>
<component><structuredBody><component><section nullFlavor="NI">
<title>Allergies</title><text>None &lt;b&gt;</text></section></component><component><section><title>Results</title>
<text>%s</text><entry><observation><value>hidden</value></observation></entry></section></component></structuredBody>
</component></ClinicalDocument>"""


def test_reads_header_and_sections() -> None:
    found = read_cda((DOCUMENT % "<paragraph>p</paragraph>").encode())
    assert (found.title, found.patients, found.authors) == ("Summary", ["A B"], ["Dr C"])
    assert (found.when.shown("en"), found.born.shown("en")) == ("5 Apr 2023", "2 Jan 1970")
    first, second = found.sections
    assert (first.title, first.has_nothing, first.markup) == ("Allergies", True, "None &lt;b&gt;")
    assert (second.title, second.markup) == ("Results", "<p>p</p>")


def test_narrative_elements_become_those_of_html() -> None:
    text = (
        '<list listType="ordered"><item><content styleCode="Bold">x</content></item></list>'
        "<table><caption>c</caption><thead><tr><th>h</th></tr></thead><tbody><tr>"
        '<td colspan="2">d</td></tr></tbody></table>'
        '<linkHtml href="http://trap.invalid">l</linkHtml><renderMultiMedia referencedObject="r"/>'
    )
    markup = read_cda((DOCUMENT % text).encode()).sections[1].markup
    assert "<ol><li><strong>x</strong></li></ol>" in markup
    assert '<td colspan="2">d</td>' in markup
    assert "trap" not in markup


def test_a_huge_table_is_cut_and_says_so() -> None:
    section = read_cda(
        (DOCUMENT % ("<table>" + "<tr><td>1</td></tr>" * (MOST_ROWS + 5) + "</table>")).encode()
    ).sections[1]
    assert section.is_cut
    assert section.markup.count("<tr>") <= MOST_ROWS


@pytest.mark.parametrize("prolog", ['<!DOCTYPE a [<!ENTITY e "x">]>', '<!DOCTYPE a SYSTEM "http://trap.invalid/x">'])
def test_declarations_are_refused(prolog: str) -> None:
    with pytest.raises(UnreadableError):
        read_cda(prolog.encode() + b"<ClinicalDocument/>")


def test_the_head_is_read_without_the_body_and_whatever_follows() -> None:
    whole = (DOCUMENT % "x").encode()
    head = head_of(whole[: whole.index(b"<section")] + b"</broken>")
    assert (head.title, head.when.shown("en")) == ("Summary", "5 Apr 2023")


def test_a_document_that_is_a_file_gives_it() -> None:
    body = '<nonXMLBody><text mediaType="text/plain" representation="B64">eA==</text></nonXMLBody>'
    found = read_cda(f"<ClinicalDocument><component>{body}</component></ClinicalDocument>".encode())
    assert (found.file_type, found.file) == ("text/plain", b"x")


def test_every_official_example_shows_its_sections() -> None:
    for path in sorted(shared("data", "ccda").glob("*.[xX][mM][lL]")):
        found = read_cda(path.read_bytes())
        assert found.title, path.name
        assert found.sections or found.file or found.file_type, path.name
