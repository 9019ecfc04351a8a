"""Splitting FHIR: nothing dropped, nothing changed, bad input refused."""

from __future__ import annotations

import io
import json
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.errors import InputError
from panachain.model.choices import Choices
from panachain.model.scope import RESTRICTED, UNDATED, Category
from panachain.records import split
from panachain.records.canonical import MAX_DEPTH, MAX_PIECE, canonical, resources
from panachain.records.fhir_sensitivity import findings
from panachain.records.samples import sample_bundle, sample_dicom
from panachain.records.sensitivity import DEFAULT, Matcher
from panachain.records.sensitivity.profiles import for_patient
from panachain.records.sources import read_bytes
from panachain.records.split import MEDIA_TYPE, Piece, entries_of, split_json, split_lines, split_stream, split_xml
from panachain.records.xml_cutter import Cutter as XmlCutter
from tests.unit.records.helpers import as_xml, bundles, content_of
from tests.unit.records.pdfs import pdf


def bundle(*entries: dict[str, Any] | bytes, **members: Any) -> bytes:
    texts = [entry if isinstance(entry, bytes) else json.dumps(entry).encode() for entry in entries]
    shell = json.dumps({"resourceType": "Bundle", "type": "transaction", **members}).encode()
    return shell[:-1] + b', "entry": [' + b", ".join(texts) + b"]}"


def condition(number: int, year: int = 2020, filler: str = "") -> dict[str, Any]:
    return {"resourceType": "Condition", "id": f"c{number}", "onsetDateTime": f"{year}-01-02", "x": filler}


def ndjson(*resources: dict[str, Any]) -> io.BytesIO:
    return io.BytesIO(b"\r\n".join(json.dumps(resource).encode() for resource in resources) + b"\n\n")


def all_resources(pieces: Iterable[Piece]) -> Counter[bytes]:
    return Counter(item for piece in pieces for item in resources(content_of(piece)))


def canonical_of(*resources: dict[str, Any]) -> Counter[bytes]:
    return Counter(canonical(json.dumps(resource).encode()) for resource in resources)


def test_sample_covers_every_category_and_is_the_same_each_time() -> None:
    assert sample_bundle(1) == sample_bundle(1) != sample_bundle(2)
    assert sample_dicom(1) == sample_dicom(1)
    assert {record.category for record in read_bytes(sample_bundle(1), ".json")} == set(Category)


def test_nothing_is_dropped_and_decimals_keep_their_zeros() -> None:
    pieces = [item for text in bundles(read_bytes(sample_bundle(1), ".json")) for item in resources(text)]
    assert Counter(pieces) == Counter(resources(sample_bundle(1)))
    assert any(b'"value":6.10' in item for item in pieces)


def test_entries_keep_their_very_bytes() -> None:
    odd = (
        b'{\n "fullUrl" : "urn:uuid:1",\t"resource": {"id":"\\u00e9\\/", "resourceType" : "Patient", "v":[1.10, 1e2 ]}}'
    )
    (piece,) = split_json(bundle(odd))
    assert piece.content == b'{"resourceType":"Bundle","type":"transaction","entry":[%b]}' % odd
    # A lone surrogate and a number beyond doubles are JSON too, if rarely read alike.
    rare = b'{"resource":{"resourceType":"Patient","a":"\\ud800","b":1e400, "c":1}}'
    (piece,) = split_json(bundle(rare))
    assert rare in content_of(piece)


@pytest.mark.parametrize("kind", ["transaction", "batch", "history", "searchset", "collection", "batch-response"])
def test_a_bundles_type_is_kept(kind: str) -> None:
    (piece,) = split_json(bundle({"resource": condition(1)}, type=kind))
    assert json.loads(content_of(piece))["type"] == kind
    assert (piece.category, piece.year, piece.media_type) == (Category.CONDITIONS, 2020, MEDIA_TYPE)


@pytest.mark.parametrize(
    "members",
    [
        {"id": "b", "meta": {"tag": []}},
        {"type": "searchset", "total": 1, "link": [{"relation": "self", "url": "x"}]},
        {"type": "document", "identifier": {"value": "1"}, "timestamp": "2020-01-01T00:00:00Z"},
        {"type": "message"},
        {"type": "something else"},
        {"type": 5},
    ],
)
def test_what_a_bundle_says_about_itself_is_a_record(members: dict[str, Any]) -> None:
    *_, shell = split_json(bundle({"resource": condition(1)}, **members))
    assert (shell.category, shell.year) == (Category.DOCUMENTS, UNDATED)
    assert json.loads(content_of(shell)) == {"resourceType": "Bundle", "type": "transaction", **members}


def test_a_bundle_without_entries_is_a_record() -> None:
    for text in (b'{"resourceType":"Bundle"}', b'{"entry":[],"resourceType":"Bundle","type":"batch"}'):
        (piece,) = split_json(text)
        assert json.loads(content_of(piece))["resourceType"] == "Bundle"


def test_a_restricted_bundles_own_members_are_restricted() -> None:
    meta = {"security": [{"code": "PSY"}]}
    *_, shell = split_json(bundle({"resource": condition(1)}, meta=meta))
    assert shell.category is Category.MENTAL_HEALTH


def test_order_of_a_bundles_members_does_not_matter() -> None:
    entry = json.dumps({"resource": condition(1)}).encode()
    late = b'{"entry":[%b],"id":"1","resourceType":"Bundle","type":"batch"}' % entry
    early = b'{"resourceType":"Bundle","type":"batch","id":"1","entry":[%b]}' % entry
    assert next(split_json(late)) == next(split_json(early)) == next(split_stream(io.BytesIO(late)))
    assert [json.loads(content_of(piece)).get("id") for piece in split_json(late)] == [None, "1"]


def test_a_resource_that_has_entries_of_its_own_is_one_resource() -> None:
    text = b'{"resourceType":"List","type":"Bundle?","title":"Bundle","entry":[{"item":{"display":"x"}}, 5]}'
    for wrapped in (text, text.replace(b'"Bundle"', b'"x"')):
        (piece,) = split_json(wrapped)
        assert content_of(piece) == b'{"resourceType":"Bundle","type":"collection","entry":[{"resource":%b}]}' % wrapped


def test_a_name_written_with_escapes_is_that_name() -> None:
    text = (
        bundle({"resource": condition(1)}).replace(b'"Bundle"', b'"Bun\\u0064le"').replace(b'"entry"', b'"entr\\u0079"')
    )
    assert [piece.category for piece in split_json(text)] == [Category.CONDITIONS]
    assert [piece.category for piece in split_lines(io.BytesIO(text))] == [Category.CONDITIONS]


def test_entries_without_a_resource_are_documents() -> None:
    (piece,) = split_json(bundle({"response": {"status": "200"}}, {"resource": None}, {"resource": {}}))
    assert (piece.category, piece.year, len(json.loads(content_of(piece))["entry"])) == (Category.DOCUMENTS, UNDATED, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"5",
        b'{"a":1}',
        b'{"resourceType":5}',
        b'{"resourceType":"Bundle","entry":{}}',
        b'{"resourceType":"Bundle","entry":null}',
        b'{"resourceType":"Bundle","entry":[1]}',
        b'{"resourceType":"Bundle","entry":[{"resource":[]}]}',
        b'{"resourceType":"Bundle","entry":[{}],"entry":[{}]}',
        b'{"resourceType":"Bundle","type":"batch","entry":[{}],"type":"batch"}',
        b'{"resourceType":"Bundle","type":"batch","entry":[{"a":1,"a":2}]}',
        b'{"resourceType":"Bundle","type":"batch","entry":[{}]}x',
        b'{"resourceType":"Bundle","type":"batch","entry":[{},]}',
        b'{"resourceType":"Bundle","type":"batch","id":NaN}',
        b'{"resourceType":"Patient","a":NaN}',
        b'{"resourceType":"Patient","a":1,"a":2}',
        b'{"resourceType":"Patient","a":"\\u0000"}',
        b'{"resourceType":"Patient","a":"\xff"}',
        b'{"resourceType":"Patient"} {"resourceType":"Patient"}',
        b"[" * 100_000,
        b'{"resourceType":"Bundle","type":"batch","entry":[{"resource":' + b'{"a":' * 100_000,
    ],
    ids=lambda content: repr(content[:60]),
)
def test_broken_json_is_refused(content: bytes) -> None:
    for reader in (lambda: read_bytes(content, ".json"), lambda: split_stream(io.BytesIO(content))):
        with pytest.raises(InputError):
            list(reader())


def test_depth_is_counted_from_the_source_and_not_from_the_record() -> None:
    def nested(levels: int) -> bytes:
        return b'{"resourceType":"Basic","a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"

    entry = b'{"resource":%b}'
    assert len(list(split_json(nested(MAX_DEPTH)))) == len(list(split_json(bundle(entry % nested(MAX_DEPTH - 3))))) == 1
    for deeper in (nested(MAX_DEPTH + 1), bundle(entry % nested(MAX_DEPTH - 2))):
        with pytest.raises(InputError, match="deeper"):
            list(split_json(deeper))


def test_an_error_names_its_entry_or_line() -> None:
    with pytest.raises(InputError, match="entry 2: "):
        list(split_json(bundle({"resource": condition(1)}, b'{"a":1,"a":2}')))
    with pytest.raises(InputError, match="line 3: "):
        list(split_lines(io.BytesIO(b'{"resourceType":"Patient"}\n\n{}\n')))


def test_lines_become_bundles_and_bundles_on_lines_are_split() -> None:
    inner = json.loads(bundle({"resource": condition(3)}, {"resource": condition(4, 2021)}, id="shell"))
    pieces = list(split_lines(ndjson(condition(1), condition(2), inner)))
    assert [(piece.year, json.loads(content_of(piece)).get("id")) for piece in pieces] == [
        *((2020, None), (2020, None), (2021, None)),
        (UNDATED, "shell"),
    ]
    assert Counter(item for piece in pieces for item in resources(content_of(piece))) == Counter(
        item
        for c in (condition(1), condition(2), condition(3), condition(4, 2021))
        for item in resources(json.dumps(c).encode())
    )


def test_streamed_groups_are_emitted_when_they_are_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "GROUP_SIZE", 4000)
    monkeypatch.setattr(split, "GROUPS_SIZE", 9000)
    many = [condition(number, 2000 + number % 7, "x" * (number % 50 * 10)) for number in range(300)]
    pieces = list(split_lines(ndjson(*many)))
    assert len(pieces) > 7
    assert max(len(content_of(piece)) for piece in pieces) < 4000 + 1000
    assert all_resources(pieces) == canonical_of(*many)
    assert pieces == list(split_lines(ndjson(*many)))
    whole = bundle(*({"resource": one} for one in many))
    assert list(split_stream(io.BytesIO(whole))) == list(split_stream(io.BytesIO(whole)))
    assert len(list(split_json(whole))) > 7
    monkeypatch.undo()
    assert len(list(split_json(whole))) == 7


def test_a_line_without_end_is_refused() -> None:
    class Endless(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            return b"x" * (size or 0)

    with pytest.raises(InputError, match=str(MAX_PIECE)):
        list(split_lines(Endless()))


def test_other_json_is_one_record_of_the_category_that_is_named() -> None:
    (piece,) = split_json(b'{"url":"x"}', Category.INSURANCE)
    assert piece[:4] == (Category.INSURANCE, UNDATED, "application/json", b'{"url":"x"}')
    (piece,) = split_json(b'[{"code":"7200002"}]', Category.INSURANCE)
    assert piece.category is Category.SUBSTANCE_USE
    with pytest.raises(InputError):
        list(split_json(b'{"url":NaN}', Category.INSURANCE))


CLOSED = ("reasonReference", "diagnosis", "result", "focus", "basedOn", "addresses")
OPEN = ("subject", "encounter", "performer", "recorder")


@given(
    kinds=st.lists(st.booleans(), min_size=2, max_size=7),
    edges=st.lists(st.tuples(st.integers(0, 6), st.sampled_from(CLOSED + OPEN), st.integers(0, 6)), max_size=12),
    style=st.sampled_from(("{}", "https://fhir.example/r4/{}", "{}/_history/1")),
    streamed=st.booleans(),
)
def test_nothing_is_less_closed_than_what_it_means(
    kinds: list[bool], edges: list[tuple[int, str, int]], style: str, streamed: bool
) -> None:
    """An element that carries meaning closes whoever refers by it, however far; a context moves nothing."""
    resources = []
    for number, sensitive in enumerate(kinds):
        code = {"system": "http://hl7.org/fhir/sid/icd-10", "code": "B20" if sensitive else "J45"}
        made: dict[str, Any] = {"resourceType": "Condition", "id": f"c{number}", "code": {"coding": [code]}}
        for source, element, target in edges:
            if source == number and target < len(kinds):
                made.setdefault(element, []).append({"reference": style.format(f"Condition/c{target}")})
        resources.append(made)
    expected = {number for number, sensitive in enumerate(kinds) if sensitive}
    while True:
        more = {s for s, element, t in edges if element in CLOSED and t in expected and s < len(kinds)} | expected
        if more == expected:
            break
        expected = more
    content = bundle(*({"resource": made} for made in resources))
    pieces = list(split_stream(io.BytesIO(content)) if streamed else split_json(content))
    closed = set()
    for piece in pieces:
        for entry in json.loads(content_of(piece))["entry"]:
            if piece.category in RESTRICTED:
                closed.add(int(entry["resource"]["id"][1:]))
    assert closed == expected


FILE = b64encode(b"%PDF-1.4 " + bytes(range(256)) * 20).decode()
NOTE = {"resourceType": "DocumentReference", "id": "d", "type": {"text": "Psychotherapy note"}}
LETTER = {"resourceType": "DocumentReference", "id": "d", "type": {"text": "Letter"}}
BINARY = {"resourceType": "Binary", "id": "b", "contentType": "application/pdf", "data": FILE}


def closed_in(*resources: dict[str, Any]) -> set[str]:
    """Return the types of the resources that are closed, read whole and streamed, forwards and backwards: the same."""
    answers = []
    for ordered in (resources, resources[::-1]):
        content = bundle(*({"fullUrl": f"urn:x:{one['id']}", "resource": one} for one in ordered))
        for pieces in (split_json(content), split_stream(io.BytesIO(content))):
            answers.append(
                {
                    entry["resource"]["resourceType"]
                    for piece in pieces
                    if piece.category in RESTRICTED and piece.media_type == split.MEDIA_TYPE
                    for entry in json.loads(content_of(piece))["entry"]
                }
            )
    assert all(answer == answers[0] for answer in answers)
    return answers[0]


@pytest.mark.parametrize("url", ["Binary/b", "urn:x:b", "https://h.example/fhir/Binary/b", "Binary/b/_history/2"])
def test_the_file_of_a_closed_note_is_closed(url: str) -> None:
    named = {"content": [{"attachment": {"contentType": "application/pdf", "url": url}}]}
    assert closed_in(NOTE | named, BINARY) == {"DocumentReference", "Binary"}
    assert closed_in(LETTER | named, BINARY) == set()
    assert closed_in(NOTE, BINARY) == {"DocumentReference"}


def test_what_names_a_closed_file_is_closed() -> None:
    words = BINARY | {"contentType": "text/plain", "data": b64encode(b"HIV disease " * 500).decode()}
    for element in (
        {"content": [{"attachment": {"url": "Binary/b"}}]},
        {"extension": [{"valueAttachment": {"url": "urn:x:b"}}]},
    ):
        assert closed_in(LETTER | element, words) == {"DocumentReference", "Binary"}
    # An extension's name is no file.
    assert closed_in(LETTER | {"extension": [{"url": "urn:x:b", "valueCode": "x"}]}, words) == {"Binary"}


def test_the_pictures_of_a_closed_report_are_closed() -> None:
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r",
        "code": {"text": "HIV disease"},
        "media": [{"link": {"reference": "Media/m"}}],
    }
    picture = {"resourceType": "Media", "id": "m", "content": {"contentType": "image/png", "url": "Binary/b"}}
    assert closed_in(report, picture, BINARY) == {"DiagnosticReport", "Media", "Binary"}
    assert closed_in(report | {"code": {"text": "Knee"}}, picture, BINARY) == set()


@pytest.mark.parametrize("made", [lambda text: f"{text}. ".encode() * 600, pdf], ids=["text", "pdf"])
def test_the_words_of_a_file_that_is_taken_out_close_its_resource(made: Callable[[str], bytes]) -> None:
    for text, closed in (("HIV disease", {"DocumentReference"}), ("broken leg", set())):
        file = {"contentType": "application/octet-stream", "data": b64encode(made(text)).decode()}
        assert closed_in(LETTER | {"content": [{"attachment": file}]}) == closed


def test_a_bundle_that_is_labelled_closes_all_of_it() -> None:
    content = bundle({"resource": condition(1)}, {"resource": condition(2)}, meta={"security": [{"code": "R"}]})
    assert {piece.category in RESTRICTED for piece in split_json(content)} == {True}
    lines = io.BytesIO(content + b"\n" + bundle({"resource": condition(3)}))
    assert sorted({piece.category in RESTRICTED for piece in split_lines(lines)}) == [False, True]


def test_a_source_that_is_streamed_closes_what_comes_before_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resource that refers stands long before what it refers to."""
    monkeypatch.setattr(split, "GROUPS_SIZE", 2000)
    code = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "B20"}]}
    refers = {"resourceType": "Observation", "id": "o", "focus": [{"reference": "Condition/last"}]}
    last = {"resourceType": "Condition", "id": "last", "code": code}
    between = [condition(number, filler="x" * 500) for number in range(20)]
    content = bundle(*({"resource": one} for one in (refers, *between, last)))
    found = {piece.category for piece in split_stream(io.BytesIO(content)) if b'"Observation"' in content_of(piece)}
    assert found == {Category.SEXUAL_HEALTH}


@pytest.mark.parametrize("reader", ["memory", "stream", "lines"])
def test_a_restricted_category_that_is_named_closes_all_that_is_not_closed_by_itself(reader: str) -> None:
    code = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "B20"}]}
    content = bundle({"resource": condition(1)}, {"resource": {"resourceType": "Condition", "code": code}})
    named = Category.SUBSTANCE_USE
    readers = {
        "memory": lambda: split_json(content, named),
        "stream": lambda: split_stream(io.BytesIO(content), named),
        "lines": lambda: split_lines(io.BytesIO(content), named),
    }
    assert {piece.category for piece in readers[reader]()} == {Category.SUBSTANCE_USE, Category.SEXUAL_HEALTH}


def test_a_common_category_that_is_named_moves_no_fhir() -> None:
    content = bundle({"resource": condition(1)})
    assert {piece.category for piece in split_json(content, Category.IMAGING)} == {Category.CONDITIONS}


class TestEmergency:
    """What a patient includes of what is closed lies beside the rest of its category."""

    matcher = Matcher(for_patient(DEFAULT, Choices(1, frozenset(), frozenset({"HIV"}))))

    def resources(self) -> list[dict[str, Any]]:
        coding = {"system": "http://hl7.org/fhir/sid/icd-10", "code": "B20"}
        told = {"code": {"coding": [coding]}, "onsetDateTime": "2024-01-01"}
        note = {"contentType": "text/plain", "data": "SElWIG5v" * 1000}
        return [
            {"resourceType": "Condition", "id": "a", **told},
            # Nobody knows what else its file tells.
            {"resourceType": "Condition", "id": "f", **told, "extension": [{"url": "urn:x", "valueAttachment": note}]},
            {"resourceType": "Observation", "id": "b", **told},
            {"resourceType": "Encounter", "id": "c", **told},
        ]

    @pytest.mark.parametrize("reader", ["json", "stream", "lines"])
    def test_only_types_of_the_summary_are_in_it(self, reader: str) -> None:
        text = json.dumps({"resourceType": "Bundle", "entry": [{"resource": one} for one in self.resources()]}).encode()
        lines = io.BytesIO(b"\n".join(json.dumps(one).encode() for one in self.resources()))
        readers: dict[str, Callable[[], Iterable[Piece]]] = {
            "json": lambda: split_json(text, matcher=self.matcher),
            "stream": lambda: split_stream(io.BytesIO(text), matcher=self.matcher),
            "lines": lambda: split_lines(lines, matcher=self.matcher),
        }
        pieces = list(readers[reader]())
        assert {piece.category for piece in pieces} == {Category.SEXUAL_HEALTH}
        included = [piece for piece in pieces if piece.emergency]
        assert [piece.media_type for piece in included] == [MEDIA_TYPE]
        assert b'"id": "a"' in content_of(included[0])
        assert b'"id": "f"' not in content_of(included[0])
        assert not any(piece.emergency for piece in split_json(text))

    def test_a_blood_group_is_in_it_and_nothing_else_of_the_laboratory(self) -> None:
        def result(number: int, system: str, *codes: str, **more: Any) -> dict[str, Any]:
            coding = [{"system": system, "code": code} for code in codes]
            return {"resourceType": "Observation", "id": f"o{number}", "code": {"coding": coding}, **more}

        loinc = "http://loinc.org"
        resources = [
            result(0, loinc, "882-1"),
            result(1, "urn:oid:2.16.840.1.113883.6.1", "883-9"),
            result(2, loinc, "2345-7"),
            # Another code comes first, another system, another type, and a label that closes it.
            result(3, loinc, "2345-7", "882-1"),
            result(4, "http://snomed.info/sct", "882-1"),
            result(5, loinc, "882-1") | {"resourceType": "DiagnosticReport"},
            result(6, loinc, "882-1", meta={"security": [{"code": "HIV"}]}),
        ]
        text = json.dumps({"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]}).encode()
        pieces = list(split_json(text))
        (group,) = (piece for piece in pieces if piece.emergency)
        assert group.category is Category.LABORATORY
        found = json.loads(content_of(group))["entry"]
        assert [entry["resource"]["id"] for entry in found] == ["o0", "o1"]
        assert not any(piece.emergency for piece in split_json(text, Category.MENTAL_HEALTH))

    def test_a_restricted_category_that_is_named_or_a_labelled_bundle_takes_nothing_into_it(self) -> None:
        sickle = {"resourceType": "Condition", "id": "a", "code": {"text": "sickle cell disease"}}
        text = json.dumps({"resourceType": "Bundle", "entry": [{"resource": sickle}]}).encode()
        (open_,) = split_json(text)
        assert (open_.category, open_.emergency) == (Category.GENOMICS, True)
        (named,) = split_json(text, Category.MENTAL_HEALTH)
        labelled = {"resourceType": "Bundle", "meta": {"security": [{"code": "R"}]}, "entry": [{"resource": sickle}]}
        closed = list(split_json(json.dumps(labelled).encode()))
        assert not any(piece.emergency for piece in (named, *closed))
        assert {piece.category for piece in (named, *closed)} == {Category.MENTAL_HEALTH}


# XML.

LIST = {"resourceType": "List", "id": "l", "date": "2021", "entry": [{"item": {"reference": "Condition/hiv"}}]}
HIV = {"resourceType": "Condition", "id": "hiv", "recordedDate": "2019-04-05", "code": {"coding": [{
    "system": "http://hl7.org/fhir/sid/icd-10", "code": "B20"}]}}  # fmt: skip
BOTH_FORMS: list[dict[str, Any]] = [
    HIV,
    {"resourceType": "Patient", "id": "p", "name": [{"family": "f", "given": ["a"]}], "birthDate": "2000-01-02"},
    {"resourceType": "MedicationRequest", "authoredOn": "2024-01-02", "medicationCodeableConcept": {
        "text": "methadone"}},
    {"resourceType": "MedicationOrder", "dateWritten": "2012-03-04"},
    {"resourceType": "Basic", "text": {"status": "generated", "div":
        '<div xmlns="http://www.w3.org/1999/xhtml">treated for <b>syphi</b>lis<img alt="HIV"/> &amp; gout</div>'}},
    {"resourceType": "DocumentReference", "content": [{"attachment": {
        "contentType": "text/plain", "data": b64encode(b"history of heroin use").decode()}}]},
    {"resourceType": "Observation", "category": [{"coding": [{"code": "vital-signs"}]}], "effectivePeriod": {
        "start": "2020-01-01", "end": "2021-01-01"}},
    {"resourceType": "Observation", "code": {"coding": [{"system": "http://loinc.org", "code": "69548-6"}]}},
    {"resourceType": "Specimen", "collection": {"collectedDateTime": "2018-01-01"}},
    {"resourceType": "Claim", "item": [{"servicedDate": "2017-01-01"}], "diagnosis": [{
        "diagnosisReference": {"reference": "Condition/c"}}]},
    {"resourceType": "Basic", "meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                                                     "code": "PSY"}]}},
    {"resourceType": "Encounter", "actualPeriod": {"end": "2023"}, "serviceProvider": {"display": "HIV clinic"}},
    {"resourceType": "QuestionnaireResponse", "authored": "2022", "item": [{"linkId": "44250-9", "answer": [{
        "valueCoding": {"display": "Several days"}}]}]},
    {"resourceType": "Observation", "subject": {"reference": "Patient/p"}, "encounter": {"reference": "Encounter/e"},
     "focus": [{"reference": "Condition/x"}], "contained": [{
         "resourceType": "Condition", "code": {"text": "syphilis"}}]},
]  # fmt: skip


def same_of(found: Iterable[split.EntryFound]) -> list[tuple[Category, int, str, list[Any]]]:
    # JSON's files were taken out, XML's stay where they are: their words count in either.
    return [
        (one.category, one.year, one.closed_by, [*findings(one.value), *split.findings_of_files(one.attachments)])
        for one in found
    ]


@pytest.mark.parametrize("prefix", ["", "f:"])
@pytest.mark.parametrize("resource", BOTH_FORMS, ids=lambda one: str(one["resourceType"]))
def test_the_same_resource_goes_the_same_way_in_xml(resource: dict[str, Any], prefix: str) -> None:
    text, xml = json.dumps(resource).encode(), as_xml(resource, prefix=prefix)
    assert same_of(entries_of(io.BytesIO(xml), is_xml=True)) == same_of(entries_of(io.BytesIO(text)))
    (piece,) = split_xml(io.BytesIO(xml))
    told, *_ = split_json(text)
    assert (piece.category, piece.year) == (told.category, told.year)
    assert (piece.content, piece.media_type) == (xml, "application/fhir+xml")


def test_a_sample_splits_the_same_way_in_both_forms() -> None:
    value = json.loads(sample_bundle(1))
    xml = as_xml(value)
    pieces = list(split_xml(io.BytesIO(xml)))
    assert same_of(entries_of(io.BytesIO(xml), is_xml=True)) == same_of(entries_of(io.BytesIO(sample_bundle(1))))
    told = Counter((one.category, one.year) for one in entries_of(io.BytesIO(sample_bundle(1))))
    done = Counter[tuple[Category, int]]()
    for piece in pieces:
        parts = list(entries_of(io.BytesIO(content_of(piece)), is_xml=True))
        done[piece.category, piece.year] += len(parts)
        assert all((one.category, one.year) == (piece.category, piece.year) for one in parts)
        assert b'<type value="transaction"/>' in content_of(piece)
    assert done == told


@given(st.lists(st.sampled_from(range(len(BOTH_FORMS))), max_size=6), st.integers(0, 3), st.booleans())
def test_what_is_referred_to_closes_in_xml_as_in_json(chosen: list[int], place: int, labelled: bool) -> None:
    entries = [{"fullUrl": f"urn:uuid:{at}", "resource": BOTH_FORMS[at]} for at in chosen]
    entries.insert(place, {"resource": LIST})
    value: dict[str, Any] = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    if labelled:
        value["meta"] = {"security": [{"code": "ETH"}]}
    text, xml = json.dumps(value).encode(), as_xml(value)
    assert Counter(map(str, same_of(entries_of(io.BytesIO(xml), is_xml=True)))) == Counter(
        map(str, same_of(entries_of(io.BytesIO(text))))
    )


def test_what_a_bundle_in_xml_says_about_itself_is_a_record() -> None:
    value = {"resourceType": "Bundle", "id": "b", "type": "history", "entry": [{"resource": condition(1)}]}
    piece, shell = split_xml(io.BytesIO(as_xml(value)))
    assert (piece.category, piece.year) == (Category.CONDITIONS, 2020)
    assert (shell.category, shell.year) == (Category.DOCUMENTS, UNDATED)
    assert shell.content == b'<Bundle xmlns="http://hl7.org/fhir"><id value="b"/><type value="history"/></Bundle>'
    (piece,) = split_xml(io.BytesIO(b'<Bundle xmlns="http://hl7.org/fhir"><entry><link/></entry></Bundle>'))
    assert b'<type value="collection"/><entry><link/></entry>' in content_of(piece)
    # A type that comes late is no part's: it stays where it stood.
    late = b'<Bundle xmlns="http://hl7.org/fhir"><entry><link/></entry><type value="history"/></Bundle>'
    piece, shell = split_xml(io.BytesIO(late))
    assert b"collection" in content_of(piece)
    assert b"history" in content_of(shell)


def test_a_restricted_category_that_is_named_closes_xml_and_a_common_one_opens_nothing() -> None:
    value = {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": HIV}, {"resource": condition(1)}]}
    named = [piece.category for piece in split_xml(io.BytesIO(as_xml(value)), Category.SUBSTANCE_USE)]
    assert named == [Category.SEXUAL_HEALTH, Category.SUBSTANCE_USE]
    common = [piece.category for piece in split_xml(io.BytesIO(as_xml(value)), Category.DOCUMENTS)]
    assert common == [Category.SEXUAL_HEALTH, Category.CONDITIONS]


def test_xml_is_cut_with_bounded_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "GROUP_SIZE", 5000)
    monkeypatch.setattr(split, "GROUPS_SIZE", 9000)
    many = [{"resource": condition(number)} for number in range(200)]
    value = {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": LIST}, *many, {"resource": HIV}]}
    pieces = list(split_xml(io.BytesIO(as_xml(value))))
    assert all(len(content_of(piece)) < 6000 for piece in pieces)
    found = [one for piece in pieces for one in entries_of(io.BytesIO(content_of(piece)), is_xml=True)]
    assert len(found) == 202
    # What is referred to came last, and still closes.
    assert {piece.category for piece in pieces if b"<List>" in content_of(piece)} == {Category.SEXUAL_HEALTH}


# Bundles whose entries are more than resources, in both forms.

OBSERVED = {"resourceType": "Observation", "id": "7", "status": "final", "effectiveDateTime": "2024-05-06"}
URL = "https://hospital.example/Observation/7"
HISTORY = [
    {"fullUrl": URL, "resource": {**OBSERVED, "meta": {"versionId": "2"}},
     "request": {"method": "PUT", "url": "Observation/7"}, "response": {"status": "200", "etag": 'W/"2"'}},
    {"fullUrl": URL, "resource": {**OBSERVED, "meta": {"versionId": "1"}},
     "request": {"method": "POST", "url": "Observation"}, "response": {"status": "201"}},
    {"fullUrl": "https://hospital.example/Condition/8", "request": {"method": "DELETE", "url": "Condition/8"},
     "response": {"status": "204"}},
]  # fmt: skip
RESPONSE = [
    {"resource": OBSERVED, "response": {"status": "200"}},
    {"response": {"status": "404", "outcome": {"resourceType": "OperationOutcome", "issue": [{"code": "not-found"}]}}},
    {
        "resource": {"resourceType": "OperationOutcome", "issue": [{"severity": "warning"}]},
        "search": {"mode": "outcome"},
    },
]
DOUBLES = [
    {"fullUrl": "urn:uuid:a", "resource": {**OBSERVED, "valueString": "A"}},
    {"fullUrl": "urn:uuid:a", "resource": {**OBSERVED, "valueString": "B"}},
    {"resource": {**OBSERVED, "id": "8", "subject": {"reference": "#p"},
                  "contained": [{"resourceType": "Patient", "id": "p"}]}},
    {"resource": {**OBSERVED, "id": "9", "subject": {"identifier": {"system": "urn:x", "value": "y"}}}},
]  # fmt: skip


@pytest.mark.parametrize("form", ["json", "xml"])
@pytest.mark.parametrize(
    ("kind", "entries"), [("history", HISTORY), ("batch-response", RESPONSE), ("collection", DOUBLES)]
)
def test_each_entry_is_kept_whatever_it_shares_with_others(kind: str, entries: list[dict[str, Any]], form: str) -> None:
    value = {"resourceType": "Bundle", "type": kind, "entry": entries}
    text = as_xml(value) if form == "xml" else json.dumps(value).encode()
    pieces = list(split_xml(io.BytesIO(text)) if form == "xml" else split_json(text))
    found = [
        (piece.category, piece.year, entry) for piece in pieces for entry in _entries_in(content_of(piece), kind, form)
    ]
    observed = [entry for entry in entries if entry.get("resource", {}).get("resourceType") == "Observation"]
    others = [entry for entry in entries if entry not in observed]
    # Nothing is dropped or made one, the order in each record is the source's, and what has no resource isn't lost.
    assert [entry for category, year, entry in found if (category, year) == (Category.LABORATORY, 2024)] == observed
    assert [entry for category, year, entry in found if (category, year) == (Category.DOCUMENTS, UNDATED)] == others
    assert len(found) == len(entries)


def _entries_in(content: bytes, kind: str, form: str) -> list[dict[str, Any]]:
    """Return the entries of a record, as JSON."""
    if form == "json":
        value = json.loads(content)
        assert value["type"] == kind
        return list(value["entry"])
    file = io.BytesIO(content)
    cutter = XmlCutter(split.xml_form(file))
    entries = [part.value for part in cutter.feed_all([content])]
    assert cutter.value["type"] == kind
    return [_as_json(entry) for entry in entries]


def _as_json(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry with lists of one where JSON has them, and nowhere else."""
    subject = entry.get("resource", {}).get("subject", {})
    if "identifier" in subject:
        (subject["identifier"],) = subject["identifier"]
    for resource in (entry.get("resource", {}), entry.get("response", {}).get("outcome", {})):
        if isinstance(resource.get("issue"), dict):
            resource["issue"] = [resource["issue"]]
    return entry


@pytest.mark.parametrize("form", ["json", "xml"])
def test_one_closed_version_closes_what_refers_to_it_by_the_id_that_both_have(form: str) -> None:
    entries = [{"resource": HIV}, {"resource": {**HIV, "code": {"text": "mistaken"}}}, {"resource": LIST}]
    value = {"resourceType": "Bundle", "type": "history", "entry": entries}
    text = as_xml(value) if form == "xml" else json.dumps(value).encode()
    found = list(entries_of(io.BytesIO(text), is_xml=form == "xml"))
    assert [one.category for one in found] == [Category.SEXUAL_HEALTH, Category.CONDITIONS, Category.SEXUAL_HEALTH]


@pytest.mark.parametrize("form", ["json", "xml"])
def test_the_file_of_a_closed_note_is_closed_in_either_form(form: str) -> None:
    note = {"resourceType": "DocumentReference", "id": "n", "description": "HIV clinic note",
            "content": [{"attachment": {"url": "Binary/b"}}]}  # fmt: skip
    entries = [{"resource": {"resourceType": "Binary", "id": "b"}}, {"resource": note}]
    value = {"resourceType": "Bundle", "type": "batch", "meta": {"tag": [{"code": "x"}]}, "entry": entries}
    text = as_xml(value) if form == "xml" else json.dumps(value).encode()
    found = list(entries_of(io.BytesIO(text), is_xml=form == "xml"))
    assert [one.category for one in found] == [Category.SEXUAL_HEALTH, Category.SEXUAL_HEALTH, Category.DOCUMENTS]
