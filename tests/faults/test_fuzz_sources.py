"""Fuzzers over everything that reads a source: records that hold all of it, or one typed error; nothing else.

Each fuzzer changes whole files at random: a few of them, or with --deep until its time is over. PANACHAIN_FUZZ_SECONDS
is the time of all of them (30; 600 for the long profile), PANACHAIN_FUZZ_SEED repeats a run. What made one fail is left
in the test's folder.
"""

from __future__ import annotations

import io
import json
import os
import random
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from panachain.errors import InputError
from panachain.model.records import PlainRecord
from panachain.model.scope import Category
from panachain.records import canonical as json_module
from panachain.records import hl7, split, xml, xml_cutter
from panachain.records.canonical import Cutter, canonical, parse, read, resources
from panachain.records.persons import distinct, of_dicom, of_document, of_fhir, of_messages, read_quietly
from panachain.records.samples import sample_bundle, sample_dicom
from panachain.records.sources import read_bytes
from panachain.records.split import MEDIA_TYPE, split_lines, split_stream
from tests.bounds import processor_time
from tests.support import SHARED
from tests.unit.records.helpers import as_xml, bundles, content_of

FUZZERS = 9
SECONDS = float(os.environ.get("PANACHAIN_FUZZ_SECONDS", "30")) / FUZZERS
SEED = int(os.environ.get("PANACHAIN_FUZZ_SEED", random.SystemRandom().randrange(2**32)))
ALLOWED = 512 << 20
"""Bytes of address space on top of what is in use when a fuzzer starts."""
FEWEST = 100
"""Inputs that a fuzzer checks at least, also when its time is over."""
SOON = 20
"""Seconds of processor time for one input; the inputs are small."""

JSON_TOKENS = [bytes([byte]) for byte in b'"\\:,{}[]\n\x00\xff'] + [b"\xef\xbb\xbf", b"[" * 210, b"9" * 4400]
JSON_TOKENS += rb'{} [] "" \u003a \u0000 \ud800 \\ NaN 1e999 -0 1.10 true null "a":1,"a":2, "entry":{},'.split()
JSON_TOKENS += b'"resourceType":"Bundle", "resourceType":"Binary", "type":"batch", "entry":[], "_data":{},'.split()
JSON_TOKENS += (
    b'"meta":{"security":[{"code":"PSY"}]}, "contentType":"application/fhir+json", "code":"86406008",'.split()
)
JSON_TOKENS += [b'"data":"QUJD",', b'"data":"%b",' % (b"QUJD" * 1500), b'"date":"2020",']
JSON_TOKENS += [b'"_data":{"extension":[{"url":"urn:panachain:attachment","valueString":"sha256:%b"}]},' % (b"0" * 64)]

XML_TOKENS = b"< > /> </ & &a; = \" <a> </a> <!-- --> <![CDATA[ ]]> &#0; xmlns:x='y' x: \xff\xfe \x00 \xff".split()
XML_TOKENS += [b'<!DOCTYPE a [<!ENTITY a "b">]>', b'<!DOCTYPE a SYSTEM "b">', b' code="7200002"']
XML_TOKENS += [b'<?xml version="1.0" encoding="utf-7"?>', b'<confidentialityCode code="R"/>', b"<a>" * 210, b"<?x ?>"]

HL7_TOKENS = [bytes([byte]) for byte in b"\r\n|^~&\\\x0b\x1c\x00\xff"] + [b"\r\n", b"\x1c\r", b"\xef\xbb\xbf"]
HL7_TOKENS += [b"MSH|", b"MSH|^~\\&|", b"\rMSH|^~\\&|", b"\rMSH", b"\nMSH#*!?%#", b"\rOBX|1|CWE|24467-3"]
HL7_TOKENS += [b"\rFHS|^~\\&|", b"\rBHS|^~\\&|", b"\rBTS|1", b"\rFTS|1", b"|" * 100, b"\rTXA" + b"|" * 18]

DICOM_TOKENS = [b"DICM", bytes(4), b"\xff" * 4, b"\x00\x00\x00\x80", b"SQ\x00\x00", b"UN\x00\x00", b"OB", b"\x02\x00"]
DICOM_TOKENS += [b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0", b"\x08\x00\x20\x00DA\x08\x00"]
DICOM_TOKENS += [b"\x08\x00\x51\x00SQ\x00\x00" + b"\xff" * 4, b"\x08\x00\x05\x00CS\x04\x00ISO "]
DICOM_TOKENS += b"1.2.840.10008.1.2.1.99 1.2.840.10008.1.2.2 1.2.840.10008.1.2".split()

CDA = (
    b'<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"><effectiveTime><low value="2013"/></effectiveTime>'
    b'<confidentialityCode code="N"/><!-- x --><a b="c"><![CDATA[<x>]]>&amp;&#233;</a></ClinicalDocument>'
)
SECTION = (
    b'<component><section><code code="%b"/><text>x</text><entry><act><id root="1"/><code code="%b"/></act></entry>'
    b"<entry><act><id root='2'/></act></entry></section></component>"
)
SECTIONS = CDA.replace(
    b"<!-- x -->",
    b"<component><structuredBody>" + b"".join(SECTION % one for one in ((b"48765-2", b"1"), (b"11450-4", b"86406008")))
    + b"</structuredBody></component>",
)  # fmt: skip
BUNDLE = as_xml({**json.loads(sample_bundle(1)), "entry": json.loads(sample_bundle(1))["entry"][:6]})
EXPORT = (
    b'<?xml version="1.0"?><!DOCTYPE HealthData [<!ELEMENT Me EMPTY><!ATTLIST Record type CDATA #IMPLIED>]>'
    b'<HealthData locale="x">\n<ExportDate value="1"/><Me a="b"/><Record type="HKCategoryTypeIdentifierPregnancy" '
    b'startDate="2024-01-02"><MetadataEntry key="a" value="b"/></Record>'
    b'<Record type="HKQuantityTypeIdentifierHeartRate"/></HealthData>'
)
MESSAGES = b"FHS|^~\\&|\rBHS|^~\\&|\r" + b"".join(
    b"MSH|^~\\&|a|b|c|d|2020||%b^X|1|P|2.5\rPID|1||5\rOBX|1|CWE|1^x||%b\r" % code
    for code in ((b"ORU", b"9"), (b"ADT", b"8"))
)
MESSAGES += b"BTS|2\rFTS|1\r"
RESOURCES = b"\n".join(json.dumps(entry["resource"]).encode() for entry in json.loads(sample_bundle(1))["entry"][:8])


Check = Callable[[bytes, random.Random], None]
Fuzz = Callable[[list[bytes], list[bytes], Check], None]


def corpus(folder: str, largest: int = 60_000) -> list[bytes]:
    """Return files of the outside data, where it is there."""
    paths = sorted((SHARED / "data" / folder).rglob("*")) if SHARED.exists() else []
    return [path.read_bytes() for path in paths if path.is_file() and path.stat().st_size < largest]


def changed(rng: random.Random, text: bytes, tokens: list[bytes]) -> bytes:
    """Return `text` with some bytes of it replaced, doubled, moved or left out."""
    data = bytearray(text)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3, 8])):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice([0, 0, 0, 1, 1, 2, 4, 16, 200]))
        how = rng.randrange(6)
        if how <= 2:
            data[start:end] = rng.choice(tokens)
        elif how == 3:
            data[start:end] = bytes(rng.randrange(256) for _ in range(rng.randrange(4)))
        elif how == 4:
            data[start:start] = data[start:end] * rng.choice([1, 1, 2, 50])
        else:
            place = rng.randrange(len(data) + 1)
            data[place:place] = data[start:end]
            del data[start:end]
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.randrange(20) == 0 else data)


@pytest.fixture(params=[0, pytest.param(SECONDS, marks=pytest.mark.deep)], ids=["a few", "many"])
def fuzz(
    tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[list[bytes], list[bytes], Callable[[bytes, random.Random], None]], None]]:
    """Return what changes seeds and checks them until the time is over."""

    def run(seeds: list[bytes], tokens: list[bytes], check: Check) -> None:
        rng, count, ends = random.Random(SEED), 0, time.monotonic() + request.param
        print(f"PANACHAIN_FUZZ_SEED={SEED}")
        # However busy the machine is, some inputs are checked.
        while count < FEWEST or time.monotonic() < ends:
            text = changed(rng, rng.choice(seeds), tokens)
            try:
                with processor_time(SOON):
                    check(text, rng)
            except BaseException:
                (tmp_path / "failed").write_bytes(text)
                print(f"input {count} failed, it is in {tmp_path / 'failed'}: {text[:500]!r}")
                raise
            count += 1
        print(f"{count} inputs")

    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ALLOWED, before[1]))
    yield run
    resource.setrlimit(resource.RLIMIT_AS, before)


def taken(reader: Callable[[bytes], object], text: bytes) -> bool:
    try:
        reader(text)
    except InputError:
        return False
    return True


def records_of(text: bytes, suffix: str, rng: random.Random) -> list[PlainRecord]:
    try:
        return list(read_bytes(text, suffix, rng.choice([None, None, Category.DOCUMENTS, Category.SUBSTANCE_USE])))
    except InputError:
        return []


timeout = pytest.mark.timeout(SECONDS + 120)


@timeout
def test_fuzz_json(fuzz: Fuzz, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(text: bytes, rng: random.Random) -> None:
        if len(text) > 20_000:
            return
        is_json = taken(parse, text)
        assert taken(read, text) == is_json
        for name, size in (("_WINDOW", 64), ("_BATCHES", (100, 1000))) if rng.randrange(2) else ():
            monkeypatch.setattr(json_module, name, size)
        cut = taken(lambda text: (lambda cutter: (cutter.value(), cutter.end()))(Cutter(io.BytesIO(text))), text)
        monkeypatch.undo()
        assert cut or not is_json
        if is_json:
            canonical(text)

    seeds = [
        b'{"a":1,"b":[1,2.50,"x\\n\\u00e9",null,true],"c":{"d":":","e\\"":"\\\\"}}',
        b"[]",
        sample_bundle(1)[:3000],
    ]
    fuzz(seeds + corpus("fhir-r4/hl7-examples-4.0.1", 8_000), JSON_TOKENS, check)


def whole(text: bytes) -> Counter[bytes] | None:
    """Return the resources of a FHIR text by the strict parser, or None if it isn't FHIR."""
    try:
        value = parse(text)
    except InputError:
        return None
    return Counter(resources(text)) if isinstance(value, dict) and isinstance(value.get("resourceType"), str) else None


def check_fhir(text: bytes, rng: random.Random) -> None:
    """Check that FHIR is taken as a whole or not at all, in memory and streamed."""
    for name, size in (("GROUP_SIZE", 2000), ("GROUPS_SIZE", 5000)) if rng.randrange(2) else ():
        setattr(split, name, size)
    found = [list(read_bytes(text, ".json")) if taken(lambda text: list(read_bytes(text, ".json")), text) else []]
    streamed = taken(lambda text: list(split_stream(io.BytesIO(text))), text)
    assert streamed == bool(found[0])
    if streamed:
        found.append(list(split_stream(io.BytesIO(text))))  # type: ignore[arg-type]
    for records in found if streamed else ():
        expected = whole(text)
        assert expected is not None
        assert sum((Counter(resources(item)) for item in bundles(records)), Counter()) == expected
        assert all(parse(content_of(r), depth=json_module.STORED_DEPTH) for r in records if r.media_type == MEDIA_TYPE)


@timeout
def test_fuzz_fhir(fuzz: Fuzz, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(text: bytes, rng: random.Random) -> None:
        with monkeypatch.context() as patch:
            for name in ("GROUP_SIZE", "GROUPS_SIZE"):
                patch.setattr(split, name, getattr(split, name))
            check_fhir(text, rng)
        records_of(text, rng.choice([".json", ".txt", ""]), rng)

    entries = json.loads(sample_bundle(1))["entry"]
    small = [
        json.dumps({"resourceType": "Bundle", "type": "batch", "entry": entries[n : n + 3]}).encode()
        for n in range(0, 60, 3)
    ]
    fuzz([*small, *corpus("fhir-r4/hl7-examples-4.0.1", 5_000)], JSON_TOKENS, check)


@timeout
def test_fuzz_lines(fuzz: Fuzz) -> None:
    def check(text: bytes, rng: random.Random) -> None:
        records_of(text, ".ndjson", rng)
        if taken(lambda text: list(split_lines(io.BytesIO(text))), text):
            expected = sum((whole(line.strip(b" \t\r\n")) or Counter() for line in text.split(b"\n")), Counter())
            pieces = list(split_lines(io.BytesIO(text)))
            assert sum((Counter(resources(item)) for item in bundles(pieces)), Counter()) == expected

    fuzz([RESOURCES], JSON_TOKENS, check)


@timeout
def test_fuzz_hl7(fuzz: Fuzz, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(text: bytes, rng: random.Random) -> None:
        if text:
            monkeypatch.setattr(hl7, "_WINDOW", rng.choice([16, 50, 1 << 20]))
            assert b"".join(content_of(piece) for piece in hl7.split_messages(io.BytesIO(text))) == text
            monkeypatch.undo()
        records = records_of(text, rng.choice([".hl7", ".txt", ""]), rng)
        assert not records or b"".join(map(content_of, records)) == text or records[0].media_type == MEDIA_TYPE

    fuzz([MESSAGES, *corpus("hl7v2", 20_000)], HL7_TOKENS, check)


@timeout
def test_fuzz_xml(fuzz: Fuzz, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(text: bytes, rng: random.Random) -> None:
        monkeypatch.setattr(xml, "_PIECE", rng.choice([1, 7, 1 << 16]))
        records = records_of(text, rng.choice([".xml", ""]), rng)
        monkeypatch.undo()
        # Beside a whole document are excerpts of it, which are documents, too.
        assert not records or content_of(records[0]) == text
        assert all(b'typeCode="XFRM"' in content_of(record) for record in records[1:])
        for record in records[1:]:
            assert xml.read_document([content_of(record)]).restricted is None

    fuzz([CDA, SECTIONS, SECTIONS.decode().encode("utf-16"), *corpus("ccda", 10_000)], XML_TOKENS, check)


def parts_of(text: bytes) -> Counter[str]:
    """Return what stands directly below the root of a document, each part in one form, by a parser of its own."""
    return Counter(str(_tree(one)) for one in ET.fromstring(text))


def _tree(element: ET.Element) -> tuple[object, ...]:
    inside = [(_tree(child), child.tail) for child in element]
    return element.tag, sorted(element.attrib.items()), element.text, inside


@timeout
@pytest.mark.parametrize("seed", [BUNDLE, EXPORT], ids=["FHIR", "Apple Health"])
def test_fuzz_cut_xml(fuzz: Fuzz, monkeypatch: pytest.MonkeyPatch, seed: bytes) -> None:
    """What is cut is there once, as it was, or nothing is."""

    def check(text: bytes, rng: random.Random) -> None:
        monkeypatch.setattr(xml_cutter, "_CHUNK", rng.choice([1, 7, 100, 1 << 16]))
        monkeypatch.setattr(xml, "_PIECE", rng.choice([1, 7, 1 << 16]))
        monkeypatch.setattr(split, "GROUP_SIZE", rng.choice([1000, 1 << 20]))
        records = records_of(text, ".xml", rng)
        monkeypatch.undo()
        if len(records) <= 1:
            assert not records or content_of(records[0]) == text or parts_of(content_of(records[0])) == parts_of(text)
            return
        whole = parts_of(text)
        made = sum((parts_of(content_of(record)) for record in records), Counter[str]())
        # Each record of a Bundle repeats its type.
        kinds = {one for one in made if one.partition(",")[0].endswith("type'")}
        assert {one: made[one] for one in made if one not in kinds} == {
            one: whole[one] for one in whole if one not in kinds
        }

    prefixed = BUNDLE.replace(b"</", b"</f:").replace(b"<", b"<f:").replace(b"<f:/f:", b"</f:")
    seeds = [seed] if seed is EXPORT else [seed, prefixed.replace(b"xmlns=", b"xmlns:f=")]
    fuzz([*seeds, seed.decode().encode("utf-16")], XML_TOKENS, check)


@timeout
def test_fuzz_dicom(fuzz: Fuzz) -> None:
    def check(text: bytes, rng: random.Random) -> None:
        records = records_of(text, rng.choice([".dcm", ""]), rng)
        assert not records or b"".join(map(content_of, records)) == text or records[0].media_type == MEDIA_TYPE

    # Only the header is read: more bytes than it has would be changed for nothing.
    seeds = [image[:2000] for image in (sample_dicom(1), *corpus("dicom", 1 << 20))]
    fuzz([*seeds, *(image[132:] for image in seeds)], DICOM_TOKENS, check)


@timeout
def test_fuzz_persons(fuzz: Fuzz) -> None:
    """Nothing but persons comes out, whatever a source is: the reader that splits it says what is wrong."""
    patient = json.loads(sample_bundle(1))["entry"][0]["resource"]
    patient |= {"link": [{"other": {"reference": "Patient/x"}}], "identifier": [{"system": "urn:a", "value": "1"}]}
    text = json.dumps(patient).encode()
    target = (
        b'<ClinicalDocument><recordTarget><patientRole><id root="1.2" extension="3"/><patient><name><given>A</given>'
        b'</name><birthTime value="1970"/></patient></patientRole></recordTarget><component/></ClinicalDocument>'
    )
    plain = (
        b'<Bundle><entry><fullUrl value="a"/><resource><Patient><identifier><type><coding><code value="VN"/></coding>'
        b'</type><system value="b"/><value value="c"/></identifier><name><family value="d"/></name></Patient>'
        b"</resource></entry></Bundle>"
    )
    message = b"MSH|^~\\&|A|B|C|D|2024\rPID|1||5^^^A&1.2&ISO^MR~6^^^^VN||A^B~C||1970\r" * 2
    readers = [
        lambda file: of_fhir(file, lines=False),
        lambda file: of_fhir(file, lines=True),
        of_messages,
        of_dicom,
        of_document,
    ]

    def check(text: bytes, rng: random.Random) -> None:
        found = read_quietly(rng.choice(readers)(io.BytesIO(text)))
        distinct(found, b"k" * 32)

    bundle = b'{"resourceType":"Bundle","entry":[{"resource":%b},{"resource":%b}]}' % (text, text)
    seeds = [text, text + b"\n" + text, bundle, target, plain, message, sample_dicom(1)[:2000]]
    tokens = JSON_TOKENS + XML_TOKENS + HL7_TOKENS + DICOM_TOKENS
    fuzz(seeds, [*tokens, b'"name":[1,{"family":{}}],', b'"identifier":"x",', b'"birthDate":[],', b'"link":{},'], check)
