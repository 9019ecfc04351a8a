"""PDF: what a file calls itself closes it, in whichever way PDF writes it, and so does its text."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import pytest

from panachain.model.scope import Category
from panachain.records import pdf
from panachain.records.classify import SCANS
from panachain.records.pdf import named, titles
from panachain.records.sensitivity import matcher_of
from panachain.records.sources import find_sources, read_bytes
from tests.bounds import processor_time
from tests.unit.records.pdfs import pdf as pdf_file

TITLE = "Psychotherapy notes (2024)"
HEX = b"<" + b"\xfe\xff".hex().encode() + TITLE.encode("utf-16-be").hex().upper().encode() + b">"


def file_of(inside: bytes) -> bytes:
    return b"%PDF-1.7\n1 0 obj<<" + inside + b">>endobj\ntrailer<<>>\n%%EOF\n"


def packed(inside: bytes, kind: bytes = b"ObjStm") -> bytes:
    data = zlib.compress(inside)
    return b"/Type/%b/Filter/FlateDecode/Length %d>>\nstream\r\n%b\nendstream" % (kind, len(data), data)


def test_its_text_closes_it_and_a_page_that_may_be_a_scan_is_told(tmp_path: Path) -> None:
    path = tmp_path / "letter.pdf"

    def found(content: bytes) -> tuple[Category, tuple[str, ...], tuple[str, ...]]:
        path.write_bytes(content)
        (source,) = find_sources([path])
        (record,), (one,) = source.records(), source.classified()
        assert record.category is one.category
        return one.category, one.why, one.unread

    assert found(pdf_file("page one", "since 2019 HIV disease")) == (Category.SEXUAL_HEALTH, ("words: hiv",), ())
    assert found(pdf_file("", "HIV disease")) == (Category.SEXUAL_HEALTH, ("words: hiv",), (SCANS,))
    assert found(pdf_file("a broken leg")) == (Category.DOCUMENTS, (), ())
    assert found(pdf_file("")) == (Category.DOCUMENTS, (), (SCANS,))


@pytest.mark.parametrize(
    "inside",
    [
        rb"/Title(Psychotherapy notes \(2024\))",
        rb"/Title (Psycho\164herapy\040notes \(2024\))",
        b"/Subject\n(Psychotherapy\\\n notes)",
        b"/Keywords (a, psychotherapy notes)",
        b"/Title " + HEX,
        b"/Title <" + HEX[1:40] + b"\n" + HEX[40:],
        b"/Title (\xfe\xff" + "Psychotherapy notes".encode("utf-16-be") + b")",
        b"/Title (\xef\xbb\xbfPsychoth\xc3\xa9rapie: Psychotherapy notes)",
        b"/Metadata>>stream\n<x:xmpmeta><dc:title><rdf:Alt><rdf:li>Psychotherapy notes</rdf:li></rdf:Alt></dc:title>",
        b'/Metadata>>stream\n<rdf:Description pdf:Keywords="psychotherapy notes"/>',
        packed(b"1 0 <</Title (Psychotherapy notes)>>"),
        packed(b"<dc:subject>psychotherapy notes</dc:subject>", b"Metadata"),
    ],
)
def test_what_a_file_calls_itself_closes_it(inside: bytes) -> None:
    for category in (None, Category.DOCUMENTS, Category.IMAGING):
        (record,) = read_bytes(file_of(inside), ".pdf", category)
        assert (record.category, record.media_type) == (Category.MENTAL_HEALTH, "application/pdf")
    (record,) = read_bytes(file_of(inside), ".pdf", Category.SUBSTANCE_USE)
    assert record.category is Category.SUBSTANCE_USE


@pytest.mark.parametrize(
    "inside",
    [
        b"/Title (Discharge summary)",
        b"/Title ()",
        b"/Producer (HIV)",
        b"/Title <4>",
        packed(b"/Title (x)")[:-20],
        b"/Type/ObjStm>>stream\nno zlib endstream",
    ],
)
def test_other_titles_and_what_cannot_be_read_close_nothing(inside: bytes) -> None:
    assert [one.category for one in read_bytes(file_of(inside), ".pdf")] == [Category.DOCUMENTS]


@pytest.mark.parametrize(
    "name", ["psychotherapy-notes.pdf", "PsychotherapyNotes.pdf", "2024_psychotherapy_notes_final.pdf"]
)
@pytest.mark.parametrize("content", [b"%PDF-1.4\n", b"\x01\x02"])
def test_the_name_of_a_file_counts(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    (source,) = find_sources([path], Category.IMAGING)
    assert [one.category for one in source.records()] == [Category.MENTAL_HEALTH]
    assert [one.category for one in source.classified()] == [Category.MENTAL_HEALTH]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, content)
    (member,) = find_sources([tmp_path / "a.zip"], Category.IMAGING)
    assert [one.category for one in member.records()] == [Category.MENTAL_HEALTH]
    # A folder's name is no file's.
    assert named(f"psychotherapy/{name[:4]}.zip!scan.pdf", matcher_of()) == []


def test_classify_says_why_and_that_the_text_is_unread(tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"
    path.write_bytes(file_of(b"/Title (Psychotherapy notes)"))
    (source,) = find_sources([path])
    (one,) = source.classified()
    assert one.category is Category.MENTAL_HEALTH
    assert one.kinds
    assert any("psychotherapy" in why for why in one.why)
    assert one.unread == (SCANS,)


def test_a_large_file_is_looked_through_in_bounded_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "_WINDOW", 1000)
    monkeypatch.setattr(pdf, "_OVERLAP", 200)
    for at in (900, 985, 1000, 2990):
        assert TITLE.partition(" (")[0] in " ".join(
            titles(io.BytesIO(b"%PDF-1.4" + b" " * at + b"/Title (Psychotherapy notes)" + b" " * 5000))
        )


def test_many_titles_end_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    monkeypatch.setattr(pdf, "findings_in", lambda text, _matcher: looked.append(text) or [])
    monkeypatch.setattr(pdf, "_MOST_TEXT", 10_000)
    for hostile in (b"<dc:title>" * 100_000, b"/Title (" * 100_000, b"/Title (x)" * 100_000):
        looked.clear()
        with processor_time(20):
            assert pdf.findings(io.BytesIO(hostile), "", matcher_of()) == []
        assert 0 < sum(map(len, looked)) < 20_000


def test_little_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = packed(b"/Title (Psychotherapy notes)" + b" " * (50 << 20))
    assert list(titles(io.BytesIO(bomb))) == ["Psychotherapy notes"]
    monkeypatch.setattr(pdf, "_STREAMS", 1)
    assert len(list(titles(io.BytesIO(packed(b"/Title (a)") + packed(b"/Title (b)"))))) == 1
