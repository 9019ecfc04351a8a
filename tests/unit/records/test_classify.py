"""Why a record is where it is: what splitting does and what is said of it are the same."""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import InputError
from panachain.model.scope import RESTRICTED, Category
from panachain.records.classify import ATTACHMENTS, PIXELS, WHOLE, Classified
from panachain.records.samples import sample_bundle, sample_dicom
from panachain.records.sensitivity import DEFAULT, PROFILES
from panachain.records.sources import find_sources
from tests.unit.records.helpers import content_of

BODY = "<component><structuredBody>{}</structuredBody></component>"
ICD = "http://hl7.org/fhir/sid/icd-10"


def classified(path: Path, category: Category | None = None, profile: str = "default") -> list[Classified]:
    return [one for source in find_sources([path], category, PROFILES[profile]) for one in source.classified()]


def written(folder: Path, name: str, content: bytes | dict[str, Any]) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def condition(number: str, code: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "id": number, "code": {"coding": [{"system": ICD, "code": code}]}, **more}


def test_each_resource_is_named_with_its_category_its_kind_and_the_rule(tmp_path: Path) -> None:
    (one,) = classified(written(tmp_path, "a.json", condition("c1", "B20", onsetDateTime="2021-03-04")))
    assert (one.resource, one.category, one.year, one.kinds) == ("Condition/c1", Category.SEXUAL_HEALTH, 2021, ("HIV",))
    assert any("B20" in rule for rule in one.why)


def test_what_closes_a_resource_beside_its_own_content_is_said(tmp_path: Path) -> None:
    refers = {"resourceType": "Observation", "id": "o", "focus": [{"reference": "Condition/c1"}]}
    entries = [{"resource": refers}, {"resource": condition("c1", "B20")}]
    found = classified(written(tmp_path, "a.json", {"resourceType": "Bundle", "type": "collection", "entry": entries}))
    assert [one.resource for one in found] == ["Observation/o", "Condition/c1"]
    assert found[0].why == ("it refers to Condition/c1",)
    assert found[0].kinds == ()


@pytest.mark.parametrize("profile", ["default", "strict", "us-42cfr2"])
def test_what_is_said_is_what_splitting_does(tmp_path: Path, profile: str) -> None:
    path = written(tmp_path, "a.json", sample_bundle())
    said = Counter((one.category, one.year) for one in classified(path, profile=profile))
    done: Counter[tuple[Category, int]] = Counter()
    for source in find_sources([path], None, PROFILES[profile]):
        for record in source.records():
            if record.media_type == "application/fhir+json":
                done[record.category, record.year] += len(json.loads(content_of(record)).get("entry", [0]))
    assert said == done


def test_a_profile_decides_what_is_closed(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", condition("c1", "B20"))
    assert classified(path, profile="us-42cfr2")[0].category is Category.CONDITIONS
    assert classified(path, profile=DEFAULT.name)[0].category in RESTRICTED


def test_a_message_is_named_by_its_type_and_control_id(tmp_path: Path) -> None:
    message = b"MSH|^~\\&|A|B|C|D|20240102||ADT^A01|M77|P|2.5\rDG1|1||F11.20^Opioid dependence^I10\r"
    (one,) = classified(written(tmp_path, "a.hl7", message))
    assert (one.resource, one.category) == ("ADT^A01/M77", Category.SUBSTANCE_USE)
    assert "OPIOIDUD" in one.kinds


def test_a_document_says_why_and_that_its_text_was_not_looked_at(tmp_path: Path) -> None:
    document = (
        b'<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3">'
        b'<code code="B20" codeSystem="2.16.840.1.113883.6.3"/></ClinicalDocument>'
    )
    (one,) = classified(written(tmp_path, "a.xml", document))
    assert one.kinds == ("HIV",)
    assert one.unread == ()


def test_what_nobody_looks_at_is_said(tmp_path: Path) -> None:
    assert classified(written(tmp_path, "a.dcm", sample_dicom()))[0].unread == (PIXELS,)
    assert classified(written(tmp_path, "a.bin", b"\x01\x02"), Category.DOCUMENTS)[0].unread == (WHOLE,)
    binary = {"resourceType": "Binary", "id": "b", "contentType": "application/pdf", "data": "JVBERi0xLjQ="}
    assert classified(written(tmp_path, "b.json", binary))[0].unread == (ATTACHMENTS,)
    for data in (b"short", b"long " * 2000):
        text = binary | {"contentType": "text/plain", "data": b64encode(data).decode()}
        assert classified(written(tmp_path, "b.json", text))[0].unread == ()
        picture = binary | {"data": b64encode(bytes(range(256)) * 9 + data).decode()}
        assert classified(written(tmp_path, "b.json", picture))[0].unread == (ATTACHMENTS,)
    elsewhere = {
        "resourceType": "Media",
        "id": "m",
        "content": {"contentType": "text/plain", "url": "https://h.example/x"},
    }
    assert classified(written(tmp_path, "m.json", elsewhere))[0].unread == (ATTACHMENTS,)


def test_what_closes_a_file_is_said_with_whose_it_is(tmp_path: Path) -> None:
    note = {"resourceType": "DocumentReference", "id": "d", "type": {"text": "Psychotherapy note"}}
    note["content"] = [{"attachment": {"url": "Binary/b"}}]
    words = {
        "resourceType": "Binary",
        "id": "b",
        "contentType": "text/plain",
        "data": b64encode(b"word " * 999).decode(),
    }
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in (note, words)]}
    found = classified(written(tmp_path, "a.json", bundle))
    assert [one.why for one in found] == [("words: psychotherapy",), ("it is content of DocumentReference/d",)]
    told = words | {"data": b64encode(b"HIV disease " * 999).decode()}
    (one,) = classified(written(tmp_path, "b.json", told))
    assert (one.category, one.kinds, one.why) == (Category.SEXUAL_HEALTH, ("HIV",), ("words: hiv",))


def test_a_category_that_is_named_is_a_reason(tmp_path: Path) -> None:
    (one,) = classified(written(tmp_path, "a.bin", b"\x01\x02"), Category.IMAGING)
    assert one.category is Category.IMAGING
    assert one.why == ("--category imaging",)


def test_a_file_that_cannot_be_read_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"bad\.json"):
        classified(written(tmp_path, "bad.json", b'{"resourceType":'))


def test_a_document_says_which_section_closes_it(tmp_path: Path) -> None:
    entry = '<entry><value code="{}" codeSystem="2.16.840.1.113883.6.3"/></entry>'
    section = f'<component><section><code code="{{}}"/>{entry}</section></component>'
    body = section.format("48765-2", "Z88") + section.format("11450-4", "B20") + section.format("10160-0", "F10.2")
    text = f'<ClinicalDocument xmlns="urn:hl7-org:v3">{BODY.format(body)}</ClinicalDocument>'
    one, *_ = classified(written(tmp_path, "a.xml", text.encode()))
    assert one.category is Category.SEXUAL_HEALTH
    assert "the whole document is as closed as its section 11450-4 Problem list" in one.why
    assert not any("as closed as its section 10160-0" in why for why in one.why)
    assert any("B20" in why and why.endswith("in section 11450-4 Problem list") for why in one.why)
