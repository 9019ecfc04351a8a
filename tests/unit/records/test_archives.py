"""Archives: each file in a zip or gzip archive is a source of its own, within bounds, and a bad one stops no other."""

from __future__ import annotations

import gzip
import io
import random
import stat
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import pytest

from panachain.errors import InputError
from panachain.model.scope import RESTRICTED, UNDATED, Category
from panachain.records import archives, sources
from panachain.records.archives import Member, Refused, is_archive, is_document, members
from panachain.records.samples import sample_dicom
from panachain.records.sources import find_sources, read_source

PATIENT = b'{"resourceType":"Patient","id":"p"}'
GLUCOSE = b'{"resourceType":"Observation","effectiveDateTime":"2024-05-06","category":[{"text":"laboratory"}]}\n'
HIV = b'{"resourceType":"Condition","code":{"coding":[{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"B20"}]}}\n'
CDA_HIV = (
    b'<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"><value code="86406008"'
    b' codeSystem="2.16.840.1.113883.6.96"/></ClinicalDocument>'
)
PDF = b"%PDF-1.7\n"


def zipped(files: dict[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def opener(content: bytes) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(content)


def opened(content: bytes, held: int = 1 << 20) -> list[Member | Refused]:
    return list(members(opener(content), len(content), "packed", held))


def contents(content: bytes) -> dict[str, bytes | None]:
    """Return the members of an archive, None for those that are refused."""
    return {one.name: one.content if isinstance(one, Member) else None for one in opened(content)}


def reason(content: bytes) -> str:
    """Return why the last member, or the rest, of an archive was refused."""
    last = opened(content)[-1]
    assert isinstance(last, Refused)
    assert "unpack it and name the folder" in last.error.hint
    return str(last.error)


def with_flags(content: bytes, name: bytes, flags: int) -> bytes:
    """Return an archive in which the first member of this name bears these flags, in both of its headers."""
    made, local, central = bytearray(content), content.index(name) - 30, content.rindex(name) - 46
    assert (made[local : local + 4], made[central : central + 4]) == (b"PK\3\4", b"PK\1\2")
    made[local + 6] |= flags
    made[central + 8] |= flags
    return bytes(made)


# What is read.


def test_each_file_is_a_member_with_its_bytes_size_and_digest() -> None:
    content = zipped({"b/": b"", "b/x": PATIENT, "a.pdf": PDF * 100, "empty": b""})
    found = opened(content)
    assert [(one.name, one.size, one.digest, one.content) for one in found if isinstance(one, Member)] == [
        ("b/x", len(PATIENT), sha256(PATIENT).digest(), PATIENT),
        ("a.pdf", 900, sha256(PDF * 100).digest(), PDF * 100),
        ("empty", 0, sha256(b"").digest(), b""),
    ]
    assert len(found) == 3
    assert sum(one.packed for one in found if isinstance(one, Member)) < len(content)


def test_what_is_hidden_in_a_folder_is_hidden_in_an_archive() -> None:
    names = [".x", "a/.b/c", "__MACOSX/a", "a/._b", "a..b", "a/b", "__MACOSX.pdf"]
    assert list(contents(zipped(dict.fromkeys(names, PDF)))) == ["a..b", "a/b", "__MACOSX.pdf"]


def test_gzip_holds_one_file_in_any_number_of_parts() -> None:
    assert contents(gzip.compress(PATIENT) + gzip.compress(b"\n" + PATIENT)) == {"packed": PATIENT + b"\n" + PATIENT}
    assert contents(zipped({"o.ndjson.gz": gzip.compress(GLUCOSE), "x": PDF})) == {"o.ndjson": GLUCOSE, "x": PDF}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("inner", [bytes, gzip.compress])
def test_what_is_not_held_is_read_again_from_any_place(method: int, inner: Callable[[bytes], bytes]) -> None:
    given = random.Random(1).randbytes(6 << 20)
    (found,) = opened(zipped({"x": inner(given)}, method), held=10)
    assert isinstance(found, Member)
    assert (found.content, found.size, found.digest) == (None, len(given), sha256(given).digest())
    with found.open() as file:
        assert file.read(len(given)) == given
        assert not file.read(1)
        assert file.seek(100) == 100
        assert file.read(50) == given[100:150]
        assert file.seek(3 << 20) == file.tell() == 3 << 20
        assert file.read() == given[3 << 20 :]


def test_a_document_that_is_a_zip_archive_is_no_set_of_files() -> None:
    for name in ("[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF"):
        assert is_document(io.BytesIO(zipped({name: b"x", "word/document.xml": b"<x/>"})))
    for content in (zipped({"a.xml": b"x"}), b"PK\3\4damaged", gzip.compress(b"x")):
        assert not is_document(io.BytesIO(content))
        assert is_archive(content)


# What is refused, and stops no other.


def test_a_member_that_is_encrypted_is_refused_alone() -> None:
    for flags in (1, 0x40):
        content = with_flags(zipped({"a.json": PATIENT, "b.json": PATIENT}), b"a.json", flags)
        assert contents(content) == {"a.json": None, "b.json": PATIENT}
        assert str(opened(content)[0].error) == "it is encrypted"  # type: ignore[union-attr]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_is_packed_in_another_way_is_refused_alone(method: int) -> None:
    made = io.BytesIO(zipped({"a": PDF}, method))
    with zipfile.ZipFile(made, "a") as archive:
        archive.writestr("b", PDF)
    assert contents(made.getvalue()) == {"a": None, "b": PDF}


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_are_no_files(kind: int) -> None:
    link = zipfile.ZipInfo("a.json")
    link.external_attr = (kind | 0o777) << 16
    assert contents(zipped({link: b"/etc/passwd", "b.json": PATIENT})) == {"a.json": None, "b.json": PATIENT}


def test_a_damaged_member_is_refused_alone() -> None:
    content = zipped({"a.json": PATIENT * 50, "b.json": b"12345678" * 9}, zipfile.ZIP_STORED)
    assert contents(content.replace(PATIENT, PATIENT.swapcase(), 1)) == {"a.json": None, "b.json": b"12345678" * 9}
    packed = gzip.compress(PATIENT)
    for bad in (
        packed[:-1],
        packed[:15],
        packed + b"more",
        packed[:-8] + bytes(8),
        packed[:12] + b"\xff" + packed[13:],
    ):
        assert contents(zipped({"a.gz": bad, "b.json": PATIENT})) == {"a.gz": None, "b.json": PATIENT}
        assert contents(bad) == {"": None}


def test_what_is_left_of_a_broken_archive_says_so() -> None:
    whole = zipped({"a.json": PATIENT, "b.json": PATIENT})
    for content in (whole[:-1], whole[:40], b"PK\3\4" + bytes(20)):
        assert "damaged" in reason(content)
    for empty in (zipped({}), zipped({"a/": b"", ".b": b""})):
        assert "holds no files" in reason(empty)


def test_whatever_is_damaged_gives_members_or_reasons() -> None:
    chance = random.Random(7)
    whole = zipped({"a.json": PATIENT, "b.json.gz": gzip.compress(PATIENT), "c.pdf": random.Random(1).randbytes(200)})
    for content in (whole, gzip.compress(PATIENT * 9)):
        for _ in range(400):
            damaged = bytearray(content)
            for _ in range(chance.randint(1, 4)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            for found in opened(bytes(damaged)):
                assert isinstance(found, Member | Refused)


# Bombs.


def test_an_archive_swells_so_far_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE", 100_000)
    bomb = zipped({"a.json": PATIENT, "b": bytes(1 << 20), "c.json": PATIENT})
    assert list(contents(bomb)) == ["a.json", ""]
    assert "unpacks to more than" in reason(bomb)
    assert "unpacks to more than" in reason(gzip.compress(bytes(1 << 20)))
    # Many small ones are as much as a large one.
    assert "unpacks to more than" in reason(zipped({str(number): bytes(40_000) for number in range(20)}))


def test_what_swells_twice_is_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE", 100_000)
    # The inner archive alone is small; what it unpacks to isn't.
    inner = gzip.compress(bytes(1 << 20))
    assert "unpacks to more than" in reason(zipped({"a.gz": inner}))
    # Here the inner one has no end to speak of, and yet little comes out of it.
    padded = gzip.compress(b"") * 20_000
    assert "unpacks to more than" in reason(zipped({"a.gz": padded}))


def test_there_is_a_most_of_all_bytes_whatever_the_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    given = random.Random(1).randbytes(3000)
    monkeypatch.setattr(archives, "MAX_TOTAL", 5000)
    assert "more than 5000 bytes" in reason(zipped({"a": given, "b": given}))
    assert list(contents(zipped({"a": given}))) == ["a"]


def test_an_archive_has_so_many_files_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    assert len(contents(zipped({f"{number}/": b"" for number in range(9)} | dict.fromkeys("abc", b"x")))) == 3
    assert "more than 3 files" in reason(zipped(dict.fromkeys("abcd", b"x")))


def test_a_directory_is_read_as_far_as_the_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_AT_ONCE", 1000)
    assert "directory has more than 1000 bytes" in reason(zipped(dict.fromkeys(map(str, range(50)), b"x")))


# In a folder.


def found(path: Path, category: Category | None = None) -> dict[str, tuple[str, int] | str]:
    """Return where the records of each source go, or why it can't be read."""
    told: dict[str, tuple[str, int] | str] = {}
    for source in find_sources([path], category):
        try:
            (told[source.path.name],) = {(record.category.value, record.year) for record in source.records()}
        except InputError as exc:
            told[source.path.name] = str(exc)
    return told


def test_members_go_where_their_content_belongs_and_the_bad_one_is_named(tmp_path: Path) -> None:
    files = {"Observation.ndjson": GLUCOSE, "c.ndjson.gz": gzip.compress(HIV), "ct": sample_dicom(1), "x.pdf": PDF}
    content = with_flags(zipped({**files, "z.json": PATIENT}), b"x.pdf", 1)
    (tmp_path / "all.zip").write_bytes(content)
    for category in (None, Category.DOCUMENTS):
        told = found(tmp_path, category)
        assert told["all.zip!x.pdf"] == f"{tmp_path}/all.zip!x.pdf: it is encrypted; nothing was published"
        assert told["all.zip!Observation.ndjson"] == ("laboratory", 2024)
        assert told["all.zip!c.ndjson"] == ("sexual-health", UNDATED)
        assert told["all.zip!z.json"] == ("demographics", UNDATED)
        assert told["all.zip!ct"][0] == ("imaging" if category is None else "documents")


@pytest.mark.parametrize("category", [None, Category.DOCUMENTS, Category.IMAGING])
def test_no_hint_leads_around_what_is_closed(category: Category | None, tmp_path: Path) -> None:
    (tmp_path / "Condition.ndjson.gz").write_bytes(gzip.compress(HIV))
    (tmp_path / "export.zip").write_bytes(zipped({"DOC0001.XML": CDA_HIV}))
    assert {record.category for record in read_source(tmp_path, category)} == {Category.SEXUAL_HEALTH}


def test_archives_in_archives_are_refused_whatever_category_is_named(tmp_path: Path) -> None:
    inner = zipped({"a.ndjson": HIV})
    (tmp_path / "a.zip").write_bytes(zipped({"in.zip": inner, "b.gz": gzip.compress(inner), "c.json": PATIENT}))
    (tmp_path / "d.gz").write_bytes(gzip.compress(gzip.compress(HIV)))
    for category in (None, Category.DOCUMENTS):
        told = found(tmp_path, category)
        assert told.pop("a.zip!c.json") == ("demographics", UNDATED)
        assert len(told) == 3
        assert all("archive isn't opened" in str(reason) for reason in told.values())


@pytest.mark.parametrize(
    "name", ["../../escaped", "/escaped", "a/../../escaped", "C:\\escaped", "..\\escaped", "\x1b[1m"]
)
def test_a_members_name_is_no_path(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.zip").write_bytes(zipped({name: PDF, "b": b"?"}))
    good, bad = find_sources([tmp_path / "in"])
    assert [record.content for record in good.records()] == [PDF]
    with pytest.raises(InputError) as caught:
        list(bad.records())
    assert str(caught.value).isprintable()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.zip", "in"]
    assert not list(Path("/").glob("escaped"))


def test_a_packed_source_is_the_one_that_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(GLUCOSE)
    (tmp_path / "a.ndjson.gz").write_bytes(gzip.compress(GLUCOSE))
    (tmp_path / "b.zip").write_bytes(zipped({"a.ndjson": GLUCOSE}))
    all_of_them = list(find_sources([tmp_path]))
    assert {source.identity for source in all_of_them} == {sha256(GLUCOSE).digest()}
    assert {source.size for source in all_of_them} == {len(GLUCOSE)}
    # On disk they have less, or more.
    assert [source.on_disk for source in all_of_them][:2] == [len(GLUCOSE), (tmp_path / "a.ndjson.gz").stat().st_size]


def test_large_members_hold_the_same_as_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"a.ndjson": GLUCOSE * 50, "b.xml": CDA_HIV, "c.pdf": PDF * 50, "d.json": PATIENT}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "e.zip").write_bytes(zipped(files))  # type: ignore[arg-type]
    for name in ("INLINE", "_HELD"):
        monkeypatch.setattr(sources, name, 16)
    read = [
        [(record.category, record.year, record.part) for record in one.records()] for one in find_sources([tmp_path])
    ]
    assert read[:4] == read[4:]
    monkeypatch.setattr(sources, "_WHOLE", 100)
    assert "one record of more than 100 bytes" in str(found(tmp_path)["e.zip!c.pdf"])


def test_an_archive_that_changes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({"a.pdf": PDF * 10}, zipfile.ZIP_STORED))
    (source,) = find_sources([path])
    list(source.records())
    path.write_bytes(zipped({"a.pdf": PDF * 11}, zipfile.ZIP_STORED))
    with pytest.raises(InputError, match="changed while it was read"):
        list(source.records())


@pytest.mark.parametrize("category", sorted(RESTRICTED, key=str))
def test_what_is_packed_is_as_closed_as_whoever_names_a_restricted_category_says(
    category: Category, tmp_path: Path
) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"a.json": PATIENT, "b.pdf": PDF}))
    assert {record.category for record in read_source(tmp_path, category)} == {category}
