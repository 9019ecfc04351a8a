"""Excerpts of C-CDA: an emergency gets what closes nothing, the document stays whole, and nothing closed leaks."""

from __future__ import annotations

import io
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from panachain.model.scope import EMERGENCY, Category, Scope, path_of
from panachain.records import cda
from panachain.records.cda import Excerpt, excerpts
from panachain.records.sources import find_sources, read_bytes
from panachain.records.xml import read_document
from tests.unit.records.helpers import as_xml

ICD = 'codeSystem="2.16.840.1.113883.6.3"'
SNOMED = 'codeSystem="2.16.840.1.113883.6.96"'
HEADER = (
    '<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/><templateId root="1.2"/>'
    '<id root="1.2.3" extension="9"/>'
    '<code code="34133-9"/><title>Summary</title><effectiveTime value="20230101"/><confidentialityCode code="N"/>'
    '<recordTarget><patientRole><id root="1.9" extension="m1"/><patient><birthTime value="19700102"/></patient>'
    "</patientRole></recordTarget><author/><custodian/><legalAuthenticator><time/></legalAuthenticator>"
)
PENICILLIN = f'<observation><id root="a"/><value code="91936005" {SNOMED} displayName="Allergy"/></observation>'
ASTHMA = f'<observation><id root="b"/><value code="370221004" {SNOMED} displayName="Severe asthma"/></observation>'
HIV = f'<observation><id root="c"/><value code="B20" {ICD}/></observation>'


def section(code: str, *acts: str, text: str = "words", more: str = "") -> str:
    entries = "".join(f"<entry>{act}</entry>" for act in acts)
    return f'<component><section><code code="{code}"/>{more}<text>{text}</text>{entries}</section></component>'


def document(*sections: str, header: str = HEADER, prefix: str = "") -> bytes:
    body = f"{header}<component><structuredBody>{''.join(sections)}</structuredBody></component>"
    space = 'xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc"'
    text = f"<ClinicalDocument {space}>{body}</ClinicalDocument>"
    if prefix:
        text = text.replace("</", "\0").replace("<", f"<{prefix}").replace("\0", f"</{prefix}")
        text = text.replace('xmlns="', f'xmlns:{prefix[:-1]}="')
    return text.encode()


def made(*sections: str, header: str = HEADER, prefix: str = "") -> list[Excerpt]:
    return list(excerpts(io.BytesIO(document(*sections, header=header, prefix=prefix))))


def test_an_emergency_gets_allergies_and_problems_of_a_document_that_is_closed() -> None:
    content = document(
        section("48765-2", PENICILLIN), section("11450-4", ASTHMA, HIV), section("10157-6", HIV), section("29762-2")
    )
    whole, *more = read_bytes(content, ".xml")
    assert (whole.category, whole.content) == (Category.SEXUAL_HEALTH, content)
    assert [one.category for one in more] == [Category.ALLERGIES, Category.CONDITIONS]
    assert all(Scope.emergency() in path_of(one.category, one.year) for one in more)
    assert [one.year for one in more] == [2023, 2023]
    allergies, problems = (one.content for one in more if isinstance(one.content, bytes))
    assert b"91936005" in allergies
    assert b"<text>words</text>" in allergies
    # What is closed is gone, and with it the text that may tell of it.
    assert b"370221004" in problems
    assert b"B20" not in problems
    assert b"words" not in problems


@pytest.mark.parametrize("form", ["json", "xml", "cda"])
def test_severe_asthma_and_an_allergy_to_penicillin_reach_an_emergency_beside_hiv(form: str) -> None:
    if form == "cda":
        content = document(section("48765-2", PENICILLIN), section("11450-4", ASTHMA, HIV))
    else:
        codes = ("AllergyIntolerance", "91936005"), ("Condition", "370221004"), ("Condition", "86406008")
        entries = [
            {
                "resource": {
                    "resourceType": kind,
                    "code": {"coding": [{"system": "http://snomed.info/sct", "code": one}]},
                }
            }
            for kind, one in codes
        ]
        value = {"resourceType": "Bundle", "type": "collection", "entry": entries}
        content = json.dumps(value).encode() if form == "json" else as_xml(value)
    found = {
        code: {scope for one in read_bytes(content, ".xml" if form != "json" else ".json")
               if isinstance(one.content, bytes) and code in one.content for scope in path_of(one.category, one.year)}
        for code in (b"91936005", b"370221004", b"86406008", b"B20")
    }  # fmt: skip
    assert Scope.emergency() in found[b"91936005"]
    assert Scope.emergency() in found[b"370221004"]
    assert Scope.emergency() not in found[b"86406008"] | found[b"B20"]
    assert Scope.all() not in found[b"86406008"] | found[b"B20"]


@pytest.mark.parametrize("prefix", ["", "cda:"])
def test_an_excerpt_is_a_document_that_says_of_which_one_and_bears_no_signature(prefix: str) -> None:
    (one,) = made(section("48765-2", PENICILLIN), prefix=prefix)
    root = ET.fromstring(one.content)
    space = "{urn:hl7-org:v3}"
    assert [child.tag.removeprefix(space) for child in root] == [
        *("typeId", "id", "code", "effectiveTime", "confidentialityCode", "recordTarget", "author", "custodian"),
        *("relatedDocument", "component"),
    ]
    parent = root.find(f"{space}relatedDocument/{space}parentDocument/{space}id")
    own = root.find(f"{space}id")
    assert parent is not None
    assert own is not None
    assert parent.attrib == {"root": "1.2.3", "extension": "9"}
    assert own.attrib["root"] != "1.2.3"
    assert root.find(f"{space}component/{space}structuredBody/{space}component/{space}section/{space}entry") is not None
    told = read_document([one.content])
    assert (told.media_type, told.restricted, told.year) == ("application/cda+xml", None, 2023)
    assert made(section("48765-2", PENICILLIN), prefix=prefix) == [one]


@pytest.mark.parametrize(
    ("sections", "kept", "gone"),
    [
        # An entry that refers to a closed act, or holds it, is as closed.
        ((section("10160-0", '<act><id root="m"/><reference><act><id root="c"/></act></reference></act>'),
          section("11450-4", HIV, ASTHMA)), ["370221004"], ['root="m"']),
        ((section("11450-4", HIV, ASTHMA), section("11348-0", f'<act><id root="n"/>{HIV}</act>', ASTHMA)),
         ["370221004", "370221004"], ['root="n"']),
        # Words of the narrative and of an entry's own text count, too.
        ((section("48765-2", PENICILLIN, text="Tested positive for <b>HIV</b>"),), ["91936005"], ["Tested"]),
        ((section("10160-0", "<act><text>methadone</text></act>", ASTHMA),), ["370221004"], ["methadone"]),
        # A phrase is one, whatever tags stand inside it.
        ((section("11450-4", ASTHMA, text="<paragraph>opioid <content>dependence</content></paragraph>"),),
         ["370221004"], ["opioid"]),
        ((section("11450-4", "<act><text>opioid <b>depen</b>dence</text></act>", ASTHMA),), ["370221004"], ["opioid"]),
        # A section that is labelled, or closed by what it says of itself, gives none.
        ((section("48765-2", PENICILLIN, more='<confidentialityCode code="R"/>'),), [], []),
        ((section("48765-2", PENICILLIN, more="<title>Psychiatry</title>"),), [], []),
        ((section("48765-2", HIV),), [], []),
        # Sections that no emergency needs stay where they are.
        ((section("47519-4", PENICILLIN),), [], []),
    ],
)  # fmt: skip
def test_nothing_that_is_closed_is_in_an_excerpt(sections: tuple[str, ...], kept: list[str], gone: list[str]) -> None:
    found = made(*sections)
    assert len(found) == len(kept)
    for one, text in zip(found, kept, strict=True):
        assert text.encode() in one.content
        assert read_document([one.content]).restricted is None
        assert not any(word.encode() in one.content for word in gone)


@pytest.mark.parametrize(
    "more",
    [
        '<confidentialityCode code="V"/>',
        f'<x code="B20" {ICD}/>',
        "<title>Substance abuse treatment</title>",
        # An excerpt would repeat it.
        "<custodian><name>Methadone clinic</name></custodian>",
    ],
)
def test_a_sensitive_header_gives_none(more: str) -> None:
    assert made(section("48765-2", PENICILLIN), header=HEADER + more) == []


@pytest.mark.parametrize("tag", ["ClinicalDocument", "component", "structuredBody", "section"])
def test_a_sensitive_tag_around_a_section_gives_none(tag: str) -> None:
    # Every excerpt repeats these tags.
    text = document(section("48765-2", PENICILLIN)).replace(f"<{tag}".encode(), f'<{tag} code="B20" {ICD}'.encode(), 1)
    assert list(excerpts(io.BytesIO(text))) == []
    assert list(excerpts(io.BytesIO(text.replace(b'code="B20"', b'code="Z00.0"'))))


def test_entries_without_an_id_have_none_in_common() -> None:
    nobody = '<act><id nullFlavor="NI"/>{}</act>'
    (one,) = made(section("11450-4", nobody.format(HIV), nobody.format(ASTHMA)))
    assert b"370221004" in one.content


def test_a_text_too_long_to_look_at_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cda, "_MOST_TEXT", 100)
    (one,) = made(section("48765-2", PENICILLIN, text="word " * 30))
    assert b"91936005" in one.content
    assert b"word" not in one.content


def test_a_narrative_alone_is_an_excerpt() -> None:
    (one,) = made(section("48765-2", text="Penicillin: anaphylaxis"))
    assert b"anaphylaxis" in one.content


def test_declarations_around_a_section_and_encodings_hold() -> None:
    text = document(section("48765-2", PENICILLIN, text="Ä")).decode()
    text = text.replace("<structuredBody>", '<structuredBody xmlns:x="urn:x" classCode="DOCBODY">')
    text = text.replace("<observation>", '<observation x:y="1">')
    for encoding, said in (("utf-16", "UTF-16"), ("cp1252", "windows-1252"), ("utf-8", "UTF-8")):
        content = f'<?xml version="1.0" encoding="{said}"?>\n{text}'.encode(encoding)
        whole, one = read_bytes(content, ".xml")
        assert whole.content == content
        assert isinstance(one.content, bytes)
        assert "Ä" in "".join(ET.fromstring(one.content).itertext())


def test_a_category_that_is_named_counts_for_all_of_a_document(tmp_path: Path) -> None:
    content = document(section("48765-2", PENICILLIN))
    assert [one.category for one in read_bytes(content, ".xml", Category.DOCUMENTS)] == [Category.DOCUMENTS]
    assert [one.category for one in read_bytes(content, ".xml", Category.MENTAL_HEALTH)] == [Category.MENTAL_HEALTH]
    path = tmp_path / "a.xml"
    path.write_bytes(content)
    (source,) = find_sources([path])
    assert [(one.resource, one.category) for one in source.classified()] == [
        ("application/cda+xml", Category.DOCUMENTS),
        ("excerpt: section 48765-2 Allergies", Category.ALLERGIES),
    ]
    assert {one.category for one in source.classified()} == {one.category for one in source.records()}
    assert Category.ALLERGIES in EMERGENCY
