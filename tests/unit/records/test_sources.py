"""Sources: every kind of file becomes records that hold all of it; the same source always splits the same way."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pydicom
import pytest

from panachain.errors import InputError, UsageError
from panachain.ipld import dagcbor
from panachain.model.records import FileContent, PlainRecord
from panachain.model.scope import UNDATED, Category
from panachain.records import hl7, sources, split
from panachain.records.canonical import canonical
from panachain.records.dicom import study_year
from panachain.records.samples import sample_bundle, sample_dicom
from panachain.records.sources import INLINE, LARGE, find_sources, read_bytes, read_source
from panachain.records.split import MEDIA_TYPE
from tests.support import shared
from tests.unit.records.helpers import as_xml, bundles, content_of
from tests.unit.records.test_others import STYLE

CDA = (
    '<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"><effectiveTime value="20130815"/>'
    '<confidentialityCode code="{}" codeSystem="2.16.840.1.113883.5.25"/><component>{}</component></ClinicalDocument>'
)
ORU = b"MSH|^~\\&|a|b|c|d|20200131||ORU^R01|1|P|2.5\rOBX|1|CWE|%b||%b\r"


def one(content: bytes, suffix: str = "", category: Category | None = None) -> PlainRecord:
    (record,) = read_bytes(content, suffix, category)
    return record


# Real data: what goes in comes out.


def shared_files(*parts: str) -> list[Path]:
    return sorted(path for path in shared("data", *parts).rglob("*") if path.is_file())


def fallback(path: Path) -> Category | None:
    """Return the category that a person would name for a file that no reader knows."""
    try:
        list(read_source(path))
    except InputError:
        return Category.IMAGING if path.suffix == ".dcm" else Category.DOCUMENTS
    return None


@pytest.mark.parametrize(
    "folder", [pytest.param("fhir-r4", marks=pytest.mark.deep), "ccda", "hl7v2", "dicom", "pdf", "shl-vectors"]
)
def test_every_resource_and_byte_of_real_data_comes_out(folder: str) -> None:
    for path in shared_files(folder):
        category = fallback(path)
        records = list(read_source(path, category))
        given = path.read_bytes()
        assert all(record.source == sha256(given).digest() for record in records)
        assert [record.part for record in records] == list(range(len(records)))
        if records[0].media_type == MEDIA_TYPE:
            assert category is None
            assert sum((resources(text) for text in bundles(records)), Counter()) == resources(given)
            assert_shell_is_kept(given, records)
        elif records[0].media_type == "application/cda+xml":
            # The document is one record as it is; beside it are excerpts that say that they are some.
            assert content_of(records[0]) == given
            assert all(b'typeCode="XFRM"' in content_of(record) for record in records[1:])
        else:
            assert b"".join(content_of(record) for record in records) == given


def resources(text: bytes) -> Counter[str]:
    """Return the resources in a text, by a parser that isn't ours; decimals keep their spelling."""
    value = json.loads(text.decode("utf-8-sig"), parse_float=lambda decimal: f"decimal {decimal}")
    found = [value]
    if value["resourceType"] == "Bundle":
        found = [entry["resource"] for entry in value.get("entry", []) if "resource" in entry]
    return Counter(json.dumps(resource, sort_keys=True) for resource in found)


def assert_shell_is_kept(given: bytes, records: list[PlainRecord]) -> None:
    whole = json.loads(given)
    whole.pop("entry", None)
    said = [json.loads(content_of(record)) for record in records if record.media_type == MEDIA_TYPE]
    if whole["resourceType"] == "Bundle" and set(whole) > {"resourceType", "type"}:
        assert canonical(json.dumps(whole).encode()) in [canonical(json.dumps(item).encode()) for item in said]


def test_real_data_lands_where_it_belongs() -> None:
    def found(*parts: str) -> Counter[tuple[str, int]]:
        return Counter((r.category.value, r.year) for r in read_source(shared("data", *parts)))

    assert found("hl7v2")["encounters", 1989] == 23
    assert found("ccda")["documents", 2013] >= 4
    assert found("pdf") == {("documents", UNDATED): 11}
    assert {r.category for r in read_source(shared("data", "dicom", "CT_small.dcm"))} == {Category.IMAGING}


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_the_year_of_an_image_is_what_another_reader_reads() -> None:
    """The images are pydicom's own: every transfer syntax, with and without preamble, some of them broken."""
    years = Counter[bool]()
    for path in sorted((Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm")):
        image = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        date = str(image.get("StudyDate") or "")[:4]
        try:
            year = study_year(io.BytesIO(path.read_bytes()))
        except InputError:
            assert not any(name in image for name in ("SOPClassUID", "Modality", "StudyDate", "PatientID"))
            continue
        assert year == (int(date) if date else UNDATED), path.name
        years[year != UNDATED] += 1
    assert years[True] > 20


def test_sequences_before_the_date_are_passed_over() -> None:
    item, end = b"\xfe\xff\x00\xe0\xff\xff\xff\xff", b"\xfe\xff\x0d\xe0\x00\x00\x00\x00"
    sequence = b"\x08\x00\x06\x00SQ\x00\x00\xff\xff\xff\xff"
    value = b"\x08\x00\x00\x01SH\x02\x00en"
    close = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
    date = b"\x08\x00\x20\x00DA\x08\x0020190203"
    nested = sequence + item + value + sequence + item + value + end + close + end + close
    assert study_year(io.BytesIO(b"\x08\x00\x05\x00CS\x00\x00" + nested + date)) == 2019
    assert study_year(io.BytesIO(bytes(128) + b"DICM" + nested + nested + date)) == 2019


DATED = b"\x08\x00\x20\x00DA\x08\x0020190203\x08\x00\x60\x00CS\x02\x00CT"


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    uid = b"1.2.840.10008.1.2.1.99"
    head = bytes(128) + b"DICM\x02\x00\x10\x00UI" + len(uid).to_bytes(2, "little") + uid
    return head + packer.compress(data) + packer.flush()


def test_a_deflated_data_set_is_dated_and_a_damaged_one_refused() -> None:
    assert study_year(io.BytesIO(deflated(DATED))) == 2019
    # Pixels after the header, more than is unpacked.
    assert study_year(io.BytesIO(deflated(DATED + bytes(3 << 20)))) == 2019
    damaged = deflated(b"")[:-2] + b"\xff" * 20
    for category in (None, Category.IMAGING):
        with pytest.raises(InputError, match="damaged DICOM file"):
            one(damaged, ".dcm", category)


def test_variants_of_images_are_told_by_their_elements() -> None:
    swapped = b"\0\x08\0\x20DA\0\x0820190203\0\x08\0\x60CS\0\2CT"
    value = b"\x08\x00\x08\x00CS" + (114).to_bytes(2, "little") + (b"A" * 102 + b"DICM").ljust(114, b"B")
    inside = b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100" + value + DATED
    assert inside[128:132] == b"DICM"
    zip_like = b"PK\3\4".ljust(128, b"\0") + b"DICM" + DATED
    for content in (swapped, inside, zip_like, b"II*\0".ljust(128, b"\0") + b"DICM" + DATED):
        record = one(content)
        assert (record.category, record.year, record.content) == (Category.IMAGING, 2019, content)


# Identity.


def test_a_source_is_known_by_its_bytes(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_bytes(sample_bundle(1))
    found = list(find_sources([tmp_path]))
    assert [source.path.name for source in found] == ["a.json", "b.json"]
    assert {source.identity for source in found} == {sha256(sample_bundle(1)).digest()}
    assert {source.size for source in found} == {len(sample_bundle(1))}
    assert all(record.source == found[0].identity for record in found[0].records())


def test_a_large_source_is_known_by_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "large.pdf"
    with path.open("wb") as file:
        file.write(b"%PDF-1.7")
        file.truncate(LARGE + 1)
    (source,) = find_sources([path])
    status = path.stat()
    where = [str(path.resolve()), status.st_dev, status.st_ino, LARGE + 1, status.st_mtime_ns]
    assert source.identity == sha256(b"panachain/1/large-source" + dagcbor.encode(where)).digest()
    (record,) = source.records()
    assert record.content == FileContent(path.resolve(), LARGE + 1)
    os.utime(path)
    assert next(find_sources([path])).identity != source.identity


def test_a_large_source_with_a_strange_name_has_an_identity_too(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.pdf")
    path.write_bytes(b"%PDF-1.7")
    os.truncate(path, LARGE + 1)
    assert len(next(find_sources([path])).identity) == 32


def test_records_can_be_had_again(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(sample_bundle(1))
    (source,) = find_sources([tmp_path])
    assert list(source.records()) == list(source.records())
    (tmp_path / "a.json").write_bytes(sample_bundle(2))
    with pytest.raises(InputError, match="changed"):
        list(source.records())


def test_files_that_are_held_and_files_that_are_streamed_hold_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.json").write_bytes(sample_bundle(1))
    lines = b"\n".join(json.dumps(entry["resource"]).encode() for entry in json.loads(sample_bundle(1))["entry"])
    (tmp_path / "b.ndjson").write_bytes(lines)
    (tmp_path / "c.hl7").write_bytes(ORU % (b"1", b"2") * 3)
    (tmp_path / "d.xml").write_text(CDA.format("N", ""))
    held = list(read_source(tmp_path))
    for name in ("LARGE", "_HELD", "INLINE"):
        monkeypatch.setattr(sources, name, 16)
    streamed = list(read_source(tmp_path))
    assert [content_of(record) for record in streamed] == [content_of(record) for record in held]
    assert [record.part for record in streamed] == [record.part for record in held]
    assert {record.source for record in streamed}.isdisjoint(record.source for record in held)


@pytest.mark.parametrize("start", [b"%PDF-1.7", b"<?xml version='1.0'?><a>", sample_dicom(1)])
def test_a_file_that_stays_one_record_stays_in_its_file_when_it_is_large(start: bytes, tmp_path: Path) -> None:
    path = tmp_path / "scan.bin"
    end = b"</a>" if start.startswith(b"<") else b""
    path.write_bytes(start + b" " * INLINE + end)
    (record,) = read_source(path)
    assert record.content == FileContent(path.resolve(), path.stat().st_size)
    assert record.source == sha256(path.read_bytes()).digest()


# Kinds.


@pytest.mark.parametrize(
    ("content", "suffix", "category", "year", "media_type"),
    [
        (b'{"resourceType":"Patient"}', ".txt", Category.DEMOGRAPHICS, UNDATED, MEDIA_TYPE),
        (b'\xef\xbb\xbf \n{"resourceType":"Patient"}', ".json", Category.DEMOGRAPHICS, UNDATED, MEDIA_TYPE),
        (b'{"resourceType":"Patient"}\n', ".ndjson", Category.DEMOGRAPHICS, UNDATED, MEDIA_TYPE),
        (b'{"resourceType":"Patient"}\n', ".jsonl", Category.DEMOGRAPHICS, UNDATED, MEDIA_TYPE),
        (b"%PDF-1.7", ".json.pdf", Category.DOCUMENTS, UNDATED, "application/pdf"),
        (CDA.format("N", "").encode(), "", Category.DOCUMENTS, 2013, "application/cda+xml"),
        (CDA.format("N", "").encode("utf-16"), "", Category.DOCUMENTS, 2013, "application/cda+xml"),
        (b"<a/>", ".xml", Category.DOCUMENTS, UNDATED, "application/xml"),
        (b'<Patient xmlns="http://hl7.org/fhir"/>', ".xml", Category.DEMOGRAPHICS, UNDATED, "application/fhir+xml"),
        (b'<f:Patient xmlns:f="http://hl7.org/fhir"/>', "", Category.DEMOGRAPHICS, UNDATED, "application/fhir+xml"),
        (ORU % (b"1", b"2"), "", Category.LABORATORY, 2020, "application/hl7-v2"),
        (b"\xef\xbb\xbf\r\n" + ORU % (b"1", b"2"), ".txt", Category.LABORATORY, 2020, "application/hl7-v2"),
        (sample_dicom(1), "", Category.IMAGING, 2024, "application/dicom"),
        (sample_dicom(1)[132:], "", Category.IMAGING, 2024, "application/dicom"),
    ],
)
def test_a_file_is_what_its_bytes_say(
    content: bytes, suffix: str, category: Category, year: int, media_type: str
) -> None:
    record = one(content, suffix)
    assert (record.category, record.media_type) == (category, media_type)
    assert record.year == (study_year(io.BytesIO(content)) if "dicom" in media_type else year)


@pytest.mark.parametrize(
    "content",
    [
        *(b"\x00\x01", b"<html>", b"plain text", b"MSH is a name", b"{\\rtf1 text}", b"[section]", b"{"),
        b"\x08\x00\x05\x00CS",
    ],
)
def test_other_files_need_a_category(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.bin: .*; nothing was published"):
        list(read_source(tmp_path))
    (record,) = read_source(tmp_path, Category.IMAGING)
    assert (record.category, record.year, record.content) == (Category.IMAGING, UNDATED, content)


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (b"{", ".json"),
        (b'{"resourceType":"Patient"', ".txt"),
        (b"<a>", ".xml"),
        (b"\0", ".ndjson"),
    ],
)
def test_a_category_makes_no_broken_file_whole(content: bytes, suffix: str) -> None:
    with pytest.raises(InputError):
        list(read_bytes(content, suffix, Category.DOCUMENTS))


def test_a_category_is_for_everything_but_fhir() -> None:
    assert one(sample_dicom(1), "", Category.DOCUMENTS).category is Category.DOCUMENTS
    assert one(ORU % (b"1", b"2"), "", Category.ENCOUNTERS).category is Category.ENCOUNTERS
    assert one(b'{"resourceType":"Patient"}', "", Category.ENCOUNTERS).category is Category.DEMOGRAPHICS


def test_json_that_holds_fhir_somewhere_is_restricted_by_it() -> None:
    for inside, category in (('"code":"7200002"', Category.SUBSTANCE_USE), ('"code":"1"', Category.DOCUMENTS)):
        content = f'{{"iss":"x","vc":{{"bundle":{{"resourceType":"Condition",{inside}}}}}}}'.encode()
        with pytest.raises(InputError, match="resourceType is missing"):
            list(read_bytes(content, ".json"))
        assert one(content, ".json", Category.DOCUMENTS).category is category
    label = b'{"vc":{"resourceType":"Basic","meta":{"security":[{"code":"HIV"}]}}}'
    assert one(label, "", Category.DOCUMENTS).category is Category.SEXUAL_HEALTH


TAR = io.BytesIO()
with tarfile.open(fileobj=TAR, mode="w") as archive:
    archive.addfile(tarfile.TarInfo("a.json"), io.BytesIO(b""))
OLD_TAR = bytearray(TAR.getvalue())
# Before POSIX there was no magic; the sum leaves its own place out.
OLD_TAR[257:265] = bytes(8)
OLD_TAR[148:156] = b"%06o\0 " % (sum(OLD_TAR[:148]) + sum(OLD_TAR[156:512]) + 256)
ZIP = io.BytesIO()
with zipfile.ZipFile(ZIP, "w") as made:
    made.writestr("[Content_Types].xml", "<x/>")


@pytest.mark.parametrize(
    "content",
    [
        *(b"\x28\xb5\x2f\xfd" + bytes(20), b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07\x01", b"MSCF" + bytes(20), b"LZIP\1"),
        *(b"!<arch>\nx", b"070701" + b"0" * 90, b"BZh9", b"\xfd7zXZ\0", TAR.getvalue(), bytes(OLD_TAR), ZIP.getvalue()),
        # A program that unpacks itself.
        b"MZ" + bytes(5000) + ZIP.getvalue(),
    ],
    # Not their bytes: an archive holds the time at which it was made.
    ids=lambda content: content[:4].hex(),
)
def test_what_is_packed_and_not_opened_takes_a_restricted_category_only(content: bytes, tmp_path: Path) -> None:
    for suffix in ("", ".xml", ".bin"):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(content)
        for category in (None, Category.DOCUMENTS, Category.IMAGING):
            with pytest.raises(InputError) as caught:
                list(read_source(path, category))
            # The hint names no way around it.
            assert category is None or "unpack it" in caught.value.hint
        (record,) = read_source(path, Category.SUBSTANCE_USE)
        assert (record.category, record.content) == (Category.SUBSTANCE_USE, content)
        path.unlink()


def test_text_that_a_category_is_named_for_is_as_closed_as_its_words() -> None:
    for text, category in (("HIV infection", Category.SEXUAL_HEALTH), ("sprained ankle", Category.DOCUMENTS)):
        for content in (text.encode(), b"{" + text.encode(), b"[1] " + text.encode("utf-16-le"), text.encode("utf-16")):
            record = one(content, ".txt", Category.DOCUMENTS)
            assert (record.category, record.content) == (category, content)


@pytest.mark.parametrize("blanks", [0, 5000, 300_000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_what_comes_before_the_sign_that_tells_may_be_long(blanks: int, encoding: str) -> None:
    def told(text: str) -> tuple[Category, str]:
        record = one(text.encode(encoding), "")
        return record.category, record.media_type

    before = " " * blanks
    assert told(before + '{"resourceType":"Patient"}') == (Category.DEMOGRAPHICS, MEDIA_TYPE)
    assert told(before + (ORU % (b"1", b"2")).decode()) == (Category.LABORATORY, hl7.MEDIA_TYPE)
    comment = f"<!-- {before} -->"
    for document in (f"<?xml version='1.0'?>{comment}", comment, f"<!-- {'é' * blanks} -->"):
        document += '<ClinicalDocument xmlns="urn:hl7-org:v3"><value code="86406008"/></ClinicalDocument>'
        assert told(document) == (Category.SEXUAL_HEALTH, "application/cda+xml")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_read_like_utf_8(encoding: str) -> None:
    text = (ORU % (b"24467-3^CD4", b"5")).decode() * 2
    for category in (None, Category.DOCUMENTS):
        records = list(read_bytes(text.encode(encoding), ".hl7", category))
        assert [record.category for record in records] == [Category.SEXUAL_HEALTH] * 2
        assert b"".join(content_of(record) for record in records).decode("utf-8-sig") == text
    resource = '{"resourceType":"Patient","name":[{"family":"Größe"}]}'
    for suffix in (".json", ".dat", ".ndjson"):
        (record,) = read_bytes(resource.encode(encoding), suffix)
        assert "Größe" in content_of(record).decode()


@pytest.mark.parametrize("before", [" ", "\t", "\r\n ", "# from the router\r", "// a\n; b\n", "\x0b ", "# a\r\n" * 10])
def test_what_routers_write_before_a_message_stays_with_it(before: str) -> None:
    content = before.encode() + ORU % (b"1", b"2")
    record = one(content, ".txt")
    assert (record.category, record.year, record.content) == (Category.LABORATORY, 2020, content)


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("a.json", '{"resourceType":"Patient","name":[{"family":"Müller"}]}'.encode("cp1252"), "iconv"),
        ("a.ndjson", b'{"resourceType":"Patient"}\n{"resourceType":"Pat\nient"}\n', "one whole resource"),
        ("a.ndjson", b'{"resourceType":"Patient"},\n{"resourceType":"Patient"},\n', "no comma"),
        ("a.ndjson", '{"resourceType":"Patient","id":"ü"}'.encode("cp1252"), "iconv"),
        ("a.json", b'{"resourceType":', "correct that file, or leave it out"),
        ("a.txt", b"words", "--category"),
    ],
)
def test_the_hint_says_what_mends_the_file(name: str, content: bytes, hint: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        list(read_source(tmp_path))
    assert hint in caught.value.hint
    # No hint leads into a lane that is open to many.
    assert "--category documents" not in caught.value.hint


# Restricted documents.


@pytest.mark.parametrize(
    ("confidentiality", "body", "category"),
    [
        ("N", "", Category.DOCUMENTS),
        ("R", "", Category.MENTAL_HEALTH),
        ("V", "", Category.MENTAL_HEALTH),
        ("V", '<value code="86406008"/>', Category.SEXUAL_HEALTH),
        ("N", '<x:value x:a="1" code="7200002"/>', Category.SUBSTANCE_USE),
        ("N", '<a><confidentialityCode code="R"/></a>', Category.MENTAL_HEALTH),
        ("N", '<code code="ETH" codeSystem="2.16.840.1.113883.5.4"/>', Category.SUBSTANCE_USE),
        ("N", '<code code="ETH" codeSystem="2.16"/><text>86406008</text>', Category.DOCUMENTS),
    ],
)
def test_a_restricted_document_is_in_no_lane_for_all(confidentiality: str, body: str, category: Category) -> None:
    content = CDA.format(confidentiality, body).encode()
    assert one(content).category is category
    # A category that is named for a whole folder doesn't open it, unless it is as closed.
    named = one(content, "", Category.IMAGING).category
    assert named is (Category.IMAGING if category is Category.DOCUMENTS else category)
    assert one(content, "", Category.SEXUAL_HEALTH).category is Category.SEXUAL_HEALTH


def test_fhir_in_xml_is_cut_wherever_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = json.loads(sample_bundle(1))
    text = '<?xml version="1.0" encoding="UTF-8"?>' + as_xml(value).decode()
    (tmp_path / "a.xml").write_bytes(text.encode())
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("b.xml", text)
    told = {(record.category, record.year) for record in read_bytes(sample_bundle(1), ".json")}
    for held in (True, False):
        for name in ("a.xml", "b.zip"):
            records = list(read_source(tmp_path / name))
            assert {(record.category, record.year) for record in records} == told
            assert {record.media_type for record in records} == {"application/fhir+xml"}
        utf16 = list(read_bytes(text.replace("UTF-8", "UTF-16").encode("utf-16"), ".xml"))
        assert [(one.category, one.year) for one in utf16] == [(one.category, one.year) for one in records]
        if held:
            monkeypatch.setattr(sources, "_HELD", 10)
            monkeypatch.setattr(sources, "INLINE", 10)


@pytest.mark.parametrize("size", [10, INLINE])
def test_whose_record_fhir_in_xml_is_stands_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(sources, "_HELD", size)
    path = tmp_path / "a.xml"
    filler = {"resource": {"resourceType": "Basic", "id": "b", "code": {"text": "x" * 500_000}}}
    late = {"resourceType": "Patient", "id": "p", "birthDate": "1970-01-02", "name": [{"family": "f"}]}
    value = {"resourceType": "Bundle", "type": "batch", "entry": [filler, filler, filler, {"resource": late}]}
    path.write_bytes(as_xml(value))
    (source,) = find_sources([path])
    (person,) = source.persons()
    assert (person.form, person.births, person.names, person.marks) == ("fhir", {"19700102"}, ["f"], {"Patient/p"})
    two = [{"resource": {"resourceType": "Patient", "id": one}} for one in ("a", "b")]
    path.write_bytes(
        as_xml({"resourceType": "Bundle", "type": "batch", "entry": [two[0], filler, two[1]]}, prefix="f:")
    )
    (source,) = find_sources([path])
    assert [one.marks for one in source.persons()] == [{"Patient/a"}, {"Patient/b"}]
    path.write_bytes(as_xml({"resourceType": "Observation", "subject": {"reference": "Patient/q"}}))
    (source,) = find_sources([path])
    assert [one.identifiers for one in source.persons()] == [{("reference", "q")}]


def test_fhir_in_xml_is_restricted_by_its_codes_and_labels() -> None:
    text = '<Condition xmlns="http://hl7.org/fhir">{}</Condition>'
    code = '<code><coding><code value="{}"/></coding></code>'
    assert one(text.format(code.format("86406008")).encode(), ".xml").category is Category.SEXUAL_HEALTH
    assert one(text.format(code.format("38341003")).encode(), ".xml").category is Category.CONDITIONS
    for label, category in (("ETH", Category.SUBSTANCE_USE), ("R", Category.MENTAL_HEALTH), ("N", Category.CONDITIONS)):
        content = text.format(f'<meta><security><code value="{label}"/></security></meta>').encode()
        assert one(content, ".xml").category is category


@pytest.mark.parametrize(
    ("segment", "category"),
    [
        (b"OBX|1|CWE|24467-3^CD4||5", Category.SEXUAL_HEALTH),
        (b"OBX|1|CWE|1^x||a~86406008^HIV", Category.SEXUAL_HEALTH),
        (b"DG1|1||x^y&F32.9", Category.MENTAL_HEALTH),
        (b"ARV|1|A|PSY", Category.MENTAL_HEALTH),
        (b"ARV|1|A|HIV", Category.SEXUAL_HEALTH),
        (b"ARV|1|A|DRG", Category.SUBSTANCE_USE),
        (b"PV1|1|I|B20^B20|||||||PSY", Category.MENTAL_HEALTH),
        (b"PV1|1|I|B20^B20|||||||MED", Category.LABORATORY),
        (b"TXA|1||||||||||||||||V|V", Category.MENTAL_HEALTH),
        (b"NTE|1||24467-3", Category.LABORATORY),
    ],
)
def test_a_restricted_message_is_in_no_lane_for_all(segment: bytes, category: Category) -> None:
    assert one(ORU % (b"1", b"2") + segment).category is category
    assert one((ORU % (b"1", b"2") + segment).replace(b"|", b"#").replace(b"MSH#", b"MSH#", 1)).category is category


# HL7 v2: messages, batches, frames.


@pytest.mark.parametrize(
    ("code", "category"),
    [
        *(("ORU^R01", Category.LABORATORY), ("ADT^A01", Category.ENCOUNTERS), ("SIU^S12", Category.ENCOUNTERS)),
        *(("VXU^V04", Category.IMMUNIZATIONS), ("RDE^O11", Category.MEDICATIONS), ("OMP^O09", Category.MEDICATIONS)),
        *(("MDM^T02", Category.DOCUMENTS), ("DFT^P03", Category.DOCUMENTS), ("", Category.DOCUMENTS)),
    ],
)
def test_a_messages_type_tells_its_category(code: str, category: Category) -> None:
    record = one(f"MSH|^~\\&|a|b|c|d|1989||{code}|1\rPID|1".encode())
    assert (record.category, record.year) == (category, 1989)


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n", b"\r\r\n"])
@pytest.mark.parametrize("window", [17, 64, 1 << 20])
def test_messages_are_cut_and_nothing_between_them_is_lost(
    end: bytes, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hl7, "_WINDOW", window)
    first, second = (end.join([b"MSH|^~\\&|" + name, b"PID|1|MSH|^~\\&|", b""]) for name in (b"a", b"b"))
    plain = [first, second, first]
    batch = [b"FHS|^~\\&|f" + end + b"BHS|^~\\&|b" + end + first, second + b"BTS|2" + end]
    batch += [b"BHS|^~\\&|c" + end + first + b"BTS|1" + end + b"FTS|2" + end]
    framed = [b"\x0b" + message + b"\x1c\r" for message in plain]
    for messages in (plain, batch, framed, [b"FHS|^~\\&|no message" + end]):
        assert [record.content for record in read_bytes(b"".join(messages), ".hl7")] == messages


def test_a_message_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hl7, "MAX_MESSAGE", 1000)
    monkeypatch.setattr(hl7, "_WINDOW", 100)
    with pytest.raises(InputError, match="more than 1000 bytes"):
        list(read_bytes(b"MSH|^~\\&|" + b"x" * 2000, ".hl7"))


# Folders.


def test_folders_are_read_in_order_and_hidden_files_left_out(tmp_path: Path) -> None:
    for name in ("b/2.pdf", "b/1.pdf", "a.pdf", "c.pdf", ".hidden.pdf", ".git/x.pdf", "b/.x/y.pdf"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%PDF-" + name.encode())
    found = [str(source.path.relative_to(tmp_path)) for source in find_sources([tmp_path])]
    assert found == ["a.pdf", "b/1.pdf", "b/2.pdf", "c.pdf"]
    assert len(list(find_sources([tmp_path / ".hidden.pdf", tmp_path / "a.pdf"]))) == 2


def test_what_is_no_record_is_passed_over_and_named(tmp_path: Path) -> None:
    names = {
        "README.txt": b"read me",
        "Thumbs.db": b"\xd0\xcf",
        "manifest.json": b'{"transactionTime":"2024","request":"x","output":[]}',
        "Patient.ndjson": b'{"resourceType":"Patient"}',
    }
    for name, content in names.items():
        (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(tmp_path / "xdm.zip", "w") as made:
        made.writestr("INDEX.HTM", "<html>")
        made.writestr("README.TXT", "read me")
        made.writestr("IHE_XDM/SUBSET01/METADATA.XML", "<x/>")
        made.writestr("IHE_XDM/SUBSET01/STYLE.XSL", STYLE)
        made.writestr("IHE_XDM/SUBSET01/DOC0001.XML", CDA.format("N", ""))
    told: list[tuple[str, str]] = []
    found = list(find_sources([tmp_path], passed_over=lambda source, what: told.append((source.path.name, what))))
    assert [source.path.name for source in found] == ["Patient.ndjson", "DOC0001.XML"]
    assert [name for name, _ in told] == [
        *("README.txt", "Thumbs.db", "manifest.json", "xdm.zip!INDEX.HTM", "xdm.zip!README.TXT"),
        *("METADATA.XML", "STYLE.XSL"),
    ]
    assert all(what for _, what in told)
    # Whoever names a file, or a category, means it; and without somebody to tell, nothing is passed over.
    for more in ({"category": Category.DOCUMENTS, "passed_over": lambda *_: None}, {}):
        assert len(list(find_sources([tmp_path], **more))) == 9  # type: ignore[arg-type]
    assert list(find_sources([tmp_path / "README.txt"], passed_over=lambda *_: None))


def test_half_of_a_broken_source_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.ndjson"
    for held in (1 << 20, 16):
        monkeypatch.setattr(sources, "_HELD", held)
        path.write_bytes(b'{"resourceType":"Patient"}\n' * 3)
        (source,) = find_sources([path])
        assert [record.part for record in source.whole()] == [record.part for record in source.records()]
        path.write_bytes(b'{"resourceType":"Patient"}\n' * 3 + b"{")
        (source,) = find_sources([path])
        with pytest.raises(InputError) as caught:
            source.whole()
        assert str(caught.value).startswith("line 4: not JSON")


@pytest.mark.parametrize("groups", [300, 1 << 20])
@pytest.mark.parametrize("form", ["ndjson", "json", "hl7", "xml", "apple.xml"])
def test_no_record_of_a_broken_streamed_source_comes_wherever_it_is_broken(
    form: str, groups: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A streamed source is read once for that, not twice: all that can be wrong shows before the first record."""
    monkeypatch.setattr(sources, "_HELD", 16)
    monkeypatch.setattr(split, "GROUPS_SIZE", groups)
    monkeypatch.setattr(split, "GROUP_SIZE", 100)
    monkeypatch.setattr(hl7, "MAX_MESSAGE", 400)
    monkeypatch.setattr(hl7, "_WINDOW", 64)
    monkeypatch.setattr(hl7, "_REACH", 16)
    good = [json.dumps({"resourceType": "Observation", "id": str(number)}) for number in range(12)]
    around, between, bad = {
        "ndjson": ("%s", "\n", '{"resourceType":'),
        "json": ('{"resourceType":"Bundle","type":"batch","entry":[%s]}', ",", '{"resource":1}'),
        "hl7": ("%s", "\r", "MSH|^~\\&|" + "x" * 500),
        "xml": ('<Bundle xmlns="http://hl7.org/fhir">%s</Bundle>', "\n", "<entry>"),
        "apple.xml": ("<HealthData>%s</HealthData>", "\n", '<Record type="x">'),
    }[form]
    pieces = {
        "ndjson": good,
        "json": [f'{{"resource":{one}}}' for one in good],
        "hl7": [f"MSH|^~\\&|A|B|C|D|2024||ADT^A01|{number}|P|2.5" for number in range(12)],
        "xml": [f'<entry><resource><Basic><id value="{number}"/></Basic></resource></entry>' for number in range(12)],
        "apple.xml": [f'<Record type="x" startDate="{2000 + number}"/>' for number in range(12)],
    }[form]
    path = tmp_path / f"in.{form}"
    for place in range(12):
        text = between.join([*pieces[:place], bad, *pieces[place + 1 :]])
        path.write_text(around % text)
        (source,) = find_sources([path])
        with pytest.raises(InputError):
            source.whole()
    text = between.join(pieces)
    path.write_text(around % text)
    (source,) = find_sources([path])
    assert [one.content for one in source.whole()] == [one.content for one in source.records()]


def test_a_streamed_source_is_parsed_once_where_its_entries_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_HELD", 16)
    path = tmp_path / "in.ndjson"
    path.write_bytes(b'{"resourceType":"Patient"}\n' * 3)
    parsed: list[bytes] = []
    true = split._read_resource
    monkeypatch.setattr(split, "_read_resource", lambda text, *more: (parsed.append(text), true(text, *more))[1])
    (source,) = find_sources([path])
    assert len(list(source.whole())) == 1
    assert len(parsed) == 3


def test_what_changes_while_it_is_read_gives_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_HELD", 16)
    path = tmp_path / "in.ndjson"
    path.write_bytes(b'{"resourceType":"Patient"}\n' * 3)
    (source,) = find_sources([path])
    true = sources.split_lines

    def written_meanwhile(*what: Any) -> Iterator[Any]:
        path.write_bytes(b'{"resourceType":"Patient"}\n' * 4)
        yield from true(*what)

    monkeypatch.setattr(sources, "split_lines", written_meanwhile)
    with pytest.raises(InputError, match="changed"):
        source.whole()


def test_a_study_is_as_many_sources_as_it_has_files(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"IM{number}").write_bytes(sample_dicom(number))
    assert [record.category for record in read_source(tmp_path)] == [Category.IMAGING] * 3


def test_what_is_missing_is_the_askers_mistake(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / "a\0b", "", tmp_path / "none" / "deeper"):
        with pytest.raises(UsageError, match="there is no file or folder"):
            list(find_sources([path]))  # type: ignore[list-item]
