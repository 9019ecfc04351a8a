"""Which words a record has, format by format, and that nothing of a record can fail an upload."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from panachain.model.records import STATEMENT, FileContent, PlainRecord
from panachain.model.scope import Category
from panachain.records import canonical, record_words
from panachain.records.record_words import NUMBER, RecordWords, is_number, words_of
from panachain.records.split import MEDIA_TYPE, XML_MEDIA_TYPE
from panachain.records.words import APART, forms_apart, forms_of
from tests.unit.records.pdfs import pdf

CDA = """<ClinicalDocument xmlns="urn:hl7-org:v3"><component><section>
<title>Results &amp; more</title><text>Feeling <b>dizzy</b></text>
<entry><observation><code code="2345-7" codeSystem="2.16.840.1.113883.6.1" displayName="Glucose"/>
<value xsi:type="PQ" value="131" unit="mg/dL"/></observation></entry></section></component></ClinicalDocument>"""
FHIR_XML = """<Observation xmlns="http://hl7.org/fhir"><code><coding><system value="http://loinc.org"/>
<code value="2345-7"/><display value="Glucose in Serum"/></coding></code>
<valueQuantity><value value="131"/><unit value="mg/dL"/></valueQuantity>
<note><text value="fasting &#228;gain"/></note></Observation>"""
HL7 = "\r".join(
    (
        "MSH|^~\\&|LAB|X|||20240506||ORU^R01|1|P|2.5",
        "OBR|1|||2345-7^Glucose^LN",
        "OBX|1|NM|2345-7^Glucose^LN||131|mg/dL",
        "NTE|1||patient\\.br\\dizzy",
    )
)
APPLE = (
    '<HealthData><Record type="HKQuantityTypeIdentifierBloodGlucose" sourceName="Watch" unit="mg/dL" value="131"/>'
    "</HealthData>"
)


def record(content: bytes | FileContent | str, media_type: str) -> PlainRecord:
    held = content.encode() if isinstance(content, str) else content
    return PlainRecord(Category.LABORATORY, 2024, media_type, held, source=bytes(32))


def found(content: bytes | str, media_type: str) -> RecordWords:
    words = words_of(record(content, media_type))
    assert words is not None
    return words


@pytest.mark.parametrize(
    ("content", "media_type", "words"),
    [
        (CDA, "application/cda+xml", "results dizzy glucose 2345 loinc"),
        (FHIR_XML, XML_MEDIA_TYPE, "glucose serum fasting again 2345"),
        (HL7, "application/hl7-v2", "glucose 2345 loinc dizzy"),
        (APPLE, "application/xml", "blood glucose"),
        (pdf("Feeling dizzy"), "application/pdf", "dizzy"),
        ("Feeling dizzy", "text/plain", "dizzy"),
        ("Feeling dizzy".encode("utf-16"), "text/plain", "dizzy"),
    ],
)
def test_each_format_has_its_words(content: bytes | str, media_type: str, words: str) -> None:
    places = found(content, media_type).places
    assert [one for one in forms_of(words) if one not in places] == []


@pytest.mark.parametrize(
    ("content", "media_type", "code"),
    [
        (CDA, "application/cda+xml", "2345-7"),
        (FHIR_XML, XML_MEDIA_TYPE, "2345-7"),
        (HL7, "application/hl7-v2", "2345-7"),
        (APPLE, "application/xml", "hkquantitytypeidentifierbloodglucose"),
    ],
)
def test_each_format_has_its_numbers(content: str, media_type: str, code: str) -> None:
    words = found(content, media_type)
    assert [number for _, number, _ in words.values[code]] == ["131"]
    assert code in words.called["glucose"]


def test_of_fhir_what_somebody_wrote_and_codes_are_words_and_identifiers_are_not() -> None:
    resource = {
        "resourceType": "MedicationRequest",
        "id": "abcdefgh",
        "status": "activestatus",
        "identifier": [{"system": "urn:x", "value": "secretnumber"}],
        "text": {"div": "<div>written <b>narrative</b> &amp; more</div>"},
        "medicationCodeableConcept": {
            "coding": [
                {"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "860975", "display": "Metformin"}
            ]
        },
        "dosageInstruction": [{"patientInstruction": "with meals"}],
        "subject": {"reference": "Patient/p", "display": "A Name"},
    }
    places = found(json.dumps({"resourceType": "Bundle", "entry": [{"resource": resource}]}), MEDIA_TYPE).places
    for word in ("narrative", "metformin", "860975", "rxnorm", "meals", "written"):
        assert forms_of(word)[0] in places, word
    for word in ("abcdefgh", "activestatus", "secretnumber"):
        assert forms_of(word)[0] not in places, word


@pytest.mark.parametrize("content", [bytes(range(256)) * 4, b"\x89PNG\r\n\x1a\n" + bytes(100), b"%PDF-1.7 nothing"])
def test_what_has_no_words_has_none(content: bytes) -> None:
    assert words_of(record(content, "application/octet-stream")) is None


@pytest.mark.parametrize("content", [b"{", b"[1,2", b'{"entry": 7}', b"\xff\xfe{", b"[" * 5000, b""])
def test_what_cannot_be_parsed_fails_nothing(content: bytes) -> None:
    words_of(record(content, MEDIA_TYPE))


def dicom_of(**elements: Any) -> bytes:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID, made.file_meta.MediaStorageSOPInstanceUID = CTImageStorage, "1.2.3"
    made.SOPClassUID, made.SOPInstanceUID, made.PatientName = CTImageStorage, "1.2.3", "Family^Given"
    for name, value in elements.items():
        setattr(made, name, value)
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def scan(**more: Any) -> bytes:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "2345-7", "LN", "Glucose"
    report = Dataset()
    report.TextValue = "small nodule"
    return dicom_of(
        Modality="CT",
        StudyDescription="Whole body bone",
        ConceptNameCodeSequence=[code],
        ContentSequence=[report],
        Rows=1,
        Columns=1,
        BitsAllocated=8,
        PixelRepresentation=0,
        **more,
    )


def test_dicom_has_what_a_person_reads_and_nobody_s_name() -> None:
    places = found(scan(PixelData=b"pixels "), "application/dicom").places
    assert places.keys() == {*forms_of("CT whole body bone glucose loinc 2345 7 small nodule")}


@pytest.mark.parametrize(
    ("document", "words"), [(pdf("Feeling dizzy"), "dizzy"), (CDA.encode(), "results dizzy glucose loinc")]
)
def test_a_document_within_dicom_has_its_words(document: bytes, words: str) -> None:
    held = found(dicom_of(DocumentTitle="Letter", EncapsulatedDocument=document), "application/dicom")
    assert {"letter", *forms_of(words)} <= held.places.keys()
    assert held.called.get("glucose", set()) == ({"2345-7"} if document == CDA.encode() else set())


def test_an_image_of_any_size_is_read_as_far_as_its_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = scan(PixelData=bytes(2000))
    monkeypatch.setattr(record_words, "MOST_BYTES", len(content) - 1)
    path = tmp_path / "scan.dcm"
    path.write_bytes(content)
    words = words_of(record(FileContent(path, len(content)), "application/dicom"))
    assert words is not None
    assert "bone" in words.places
    assert words_of(record(FileContent(tmp_path / "gone", 5), "application/dicom")) is None


def test_damaged_dicom_fails_nothing() -> None:
    source, content = random.Random(65), scan(PixelData=b"pixels ")
    for _ in range(300):
        broken = bytearray(content[: source.randrange(len(content))])
        for _ in range(source.randrange(8)):
            broken[source.randrange(len(broken) or 1) : 1] = source.randbytes(1)
        words_of(record(bytes(broken), "application/dicom"))


def test_a_statement_says_nothing_that_is_looked_for() -> None:
    assert words_of(record(b"whatever", STATEMENT)) == RecordWords()


def test_large_records_and_those_of_too_many_words_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_words, "MOST_BYTES", 10)
    assert words_of(record(b"eleven byte", "text/plain")) is None
    monkeypatch.setattr(record_words, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr(record_words, "MOST_WORDS", 10)
    assert words_of(record(b"word " * 11, "text/plain")) is None
    gone = FileContent(tmp_path / "gone", 5)
    assert words_of(record(gone, "text/plain")) is None


def test_random_bytes_of_any_type_fail_nothing() -> None:
    source = random.Random(60)
    base: list[tuple[bytes, str]] = [
        (one.encode(), kind)
        for one, kind in ((CDA, "application/cda+xml"), (HL7, "application/hl7-v2"), (APPLE, "text/xml"))
    ]
    for _ in range(300):
        content, media_type = source.choice(base)
        broken = bytearray(content)
        for _ in range(source.randrange(1, 20)):
            broken[source.randrange(len(broken))] = source.randrange(256)
        words_of(record(bytes(broken), media_type))


def test_hostile_xml_takes_time_in_proportion_to_its_size() -> None:
    """No pattern goes over a text again and again: counted in the words that come out, not in seconds."""
    for piece in ("<a b='", "<" * 50, "<a " + "x=1 " * 20, "&" * 50, "a", "<a" * 2 + "b", "<!-- ", "<a '"):
        assert words_of(record(piece * 2000, "text/xml")) is not None


def test_many_codings_of_a_number_are_no_product(monkeypatch: pytest.MonkeyPatch) -> None:
    coding = [{"code": f"c{number}", "display": f"n{number}"} for number in range(500)]
    resource = {"code": {"coding": coding}, "valueQuantity": {"value": 1}}
    content = json.dumps({"entry": [{"resource": resource}]})
    words = found(content, MEDIA_TYPE)
    assert sorted(words.values) == sorted(f"c{number}" for number in range(16))
    shown = "".join(f'<display value="n{number}"/>' for number in range(500))
    words = found(f'<Observation><code value="c"/>{shown}<value value="1"/></Observation>', XML_MEDIA_TYPE)
    assert len(words.called) == 17
    few = json.dumps({"entry": [{"resource": {**resource, "code": {"coding": coding[:16]}}}]})
    monkeypatch.setattr(record_words, "MOST_WORDS", 200)
    assert words_of(record(few, MEDIA_TYPE)) is None


def measured(value: Any) -> dict[str, Any]:
    return {"code": {"coding": [{"system": "http://loinc.org", "code": "1"}]}, "valueQuantity": {"value": value}}


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (
            '{"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Basic", "language": "de-AT"}}]}',
            MEDIA_TYPE,
        ),
        ('<ClinicalDocument><languageCode code="de-DE"/><title>x</title></ClinicalDocument>', "application/cda+xml"),
        ('<Basic xmlns="http://hl7.org/fhir"><language value="de"/></Basic>', XML_MEDIA_TYPE),
        (
            "MSH|^~\\&|LAB|X|||20240506||ORU^R01|1|P|2.5||||||UNICODE UTF-8|de^German^ISO639\rNTE|1||x",
            "application/hl7-v2",
        ),
    ],
)
def test_each_format_says_in_which_language_it_is(content: str, media_type: str) -> None:
    assert found(content, media_type).languages == {"de"}


@pytest.mark.parametrize("tag", ["", "123", "germanic", "d", "\x00de", "de1"])
def test_a_language_that_is_no_tag_is_none(tag: str) -> None:
    content = json.dumps({"entry": [{"resource": {"resourceType": "Basic", "language": tag}}]})
    assert found(content, MEDIA_TYPE).languages == set()


@pytest.mark.parametrize(("code", "unit"), [("\\ud800x", "mg"), ("x", "m\\udfffg")])
def test_half_of_a_surrogate_fails_no_upload(code: str, unit: str) -> None:
    content = (
        f'{{"entry":[{{"code":{{"coding":[{{"code":"{code}"}}]}},"valueQuantity":{{"value":1,"unit":"{unit}"}}}}]}}'
    )
    assert words_of(record(content, MEDIA_TYPE)) is None


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.text() | st.sampled_from(["Chest pain", "\u00c4rztin", "\u8840\u7cd6", "a\0b", "x" * 300, ""]), unique=True
    )
)
def test_texts_that_are_cut_together_are_cut_as_each_by_itself(texts: list[str]) -> None:
    each = [word for text in texts for word in (*forms_of(text), APART)][:-1]
    assert record_words._words_apart(texts) == each
    together = forms_apart(texts)
    assert together is None or together == each


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789.+-eE \u0663", max_size=20))
def test_a_number_is_one_by_the_pattern(text: str) -> None:
    assert is_number(text) == bool(NUMBER.fullmatch(text))


def test_long_names_of_many_codes_are_no_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_words, "MOST_WORDS", 1000)
    coding = [{"code": f"c{number}"} for number in range(16)]
    name = " ".join(f"n{number}" for number in range(300))
    resource = {"code": {"text": name, "coding": coding}, "valueQuantity": {"value": 1}}
    assert words_of(record(json.dumps({"entry": [{"resource": resource}]}), MEDIA_TYPE)) is None


@pytest.mark.parametrize("value", [None, True, "1; DROP", "NaN", "Infinity", {"x": 1}, [1], "1e999"])
def test_what_is_no_number_is_none(value: Any) -> None:
    words = words_of(record(json.dumps({"entry": [{"resource": measured(value)}]}), MEDIA_TYPE))
    assert words is None or words.values == {}


_SPELLED = st.sampled_from(["8480-6", "mg", "", " ", "\u00e4", "x" * 129, "http://loinc.org", "Two words", "\u8840"])
_WRITTEN = st.sampled_from(["1.50", "7", '"7.25"', '"none"', "-1e3", "1234567890123456789012", "true", "null", "[1]"])


def _member(name: str) -> st.SearchStrategy[tuple[str, str]]:
    return st.tuples(st.just(name), st.one_of(_SPELLED.map(json.dumps), st.just("null")))


def _object(*members: st.SearchStrategy[tuple[str, str]]) -> st.SearchStrategy[str]:
    """Return JSON of an object that has some of its members, in any order."""

    def written(pairs: list[tuple[str, str]]) -> str:
        return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in pairs) + "}"

    some = st.lists(st.one_of(*members), max_size=5, unique_by=lambda pair: pair[0])
    # Most are what is walked together: all members, in their order.
    return st.one_of(st.tuples(*members).map(list), some).map(written)


_CODING = _object(_member("system"), _member("code"), _member("display"))
_CONCEPT = _object(
    st.tuples(st.just("coding"), st.lists(_CODING, min_size=1, max_size=2).map(lambda all_: f"[{','.join(all_)}]")),
    _member("text"),
)
_QUANTITY_OF = _object(
    st.tuples(st.just("value"), _WRITTEN), *map(_member, ("comparator", "unit", "system", "code", "extension"))
)
_PLAIN_QUANTITY = st.tuples(_WRITTEN, _SPELLED).map(lambda told: f'{{"value":{told[0]},"unit":{json.dumps(told[1])}}}')
_COMPONENT = _object(
    st.tuples(st.just("code"), _CONCEPT), st.tuples(st.just("valueQuantity"), _QUANTITY_OF | _PLAIN_QUANTITY)
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_COMPONENT, min_size=4, max_size=6) | st.lists(_COMPONENT | st.just("7"), min_size=4, max_size=6))
def test_components_that_are_walked_together_say_what_each_says_by_itself(components: list[str]) -> None:
    text = f'{{"entry":[{{"resource":{{"component":[{",".join(components)}]}}}}]}}'.encode()
    node = canonical.literal(text)
    together, each = record_words.EntryWords(), record_words.EntryWords()
    record_words._walk(node, together, together.texts)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(record_words, "_RUN", len(components) + 1)
        record_words._walk(node, each, each.texts)
    assert (list(together.texts), together.values) == (list(each.texts), each.values)


def test_plain_components_are_walked_together() -> None:
    entry = record_words.EntryWords()
    coding = {"system": "http://loinc.org", "code": "8480-6", "display": "Systolic"}
    component = {"code": {"coding": [coding]}, "valueQuantity": {"value": 7, "unit": "mm", "system": "u", "code": "m"}}
    assert record_words._walk_measured([component] * 4, entry, entry.texts)
    assert list(entry.texts) == ["loinc 8480-6", "Systolic", " m"]
    assert entry.values == [("8480-6", "7", "mm", ("Systolic",))] * 4
