"""Reports on paper: text that can be selected, whole tables over pages, and nothing of others' that does harm."""

from __future__ import annotations

import io
import sys

import pytest
from pypdf import PdfReader

from panachain.errors import ConfigurationError
from panachain.sdk.report_pdf import Part, Report


def report(*rows: tuple[str, ...], title: str = "A report") -> Report:
    part = Part("A table", ("A sentence.",), ("Who", "What"), (1, 1), rows)
    return Report(title, 2026, 1_790_000_000, len(rows), (("Patient", "me"),), ("All of it.",), (part,), complete=True)


def pages(made: Report) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(made.pdf())).pages]


def test_text_can_be_selected_and_every_page_has_its_number_and_the_titles() -> None:
    found = pages(report(*((f"person-{number}", "opened") for number in range(80))))
    assert len(found) > 1
    for number, page in enumerate(found, start=1):
        assert f"Page {number} of {len(found)}" in page
        assert "Who" in page
    text = "\n".join(found)
    assert all(f"person-{number}\n" in text or f"person-{number} " in text for number in range(80))


def test_letters_of_latin_greek_and_cyrillic_are_drawn_and_others_are_numbered() -> None:
    (text,) = pages(report(("Zoë Ελένη Жанна", "Łódź"), ("نورة", "中文 שלום")))
    assert "Zoë Ελένη Жанна" in text
    assert "Łódź" in text
    assert "[U+0646]" in text
    assert "[U+4E2D][U+6587]" in text
    assert "written by their numbers" in text
    assert "written by their numbers" not in pages(report(("Zoë", "x")))[0]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\x1b[2Jb", "a�[2Jb"),
        ("a\u202eb\u2066c", "a�b�c"),
        ("a\nPage 1 of 1", "a Page 1 of 1"),
        ("a {nb} b", "a { nb } b"),
        ("**bold** [link](https://example.test) <b>x</b>", "**bold** [link](https://example.test) <b>x</b>"),
        (") Tj ET (", ") Tj ET ("),
        ("a\u0301", "á"),
        ("a\u00adb\u200bc", "a�b�c"),
        ("\U0001f600", "[U+1F600]"),
    ],
)
def test_others_text_is_harmless(name: str, shown: str) -> None:
    made = report((name, "x"), title=name).pdf()
    reader = PdfReader(io.BytesIO(made))
    text = " ".join(reader.pages[0].extract_text().split())
    assert shown in text
    assert len(reader.pages) == 1
    # Nothing that a reader would do by itself, or that leads anywhere.
    assert isinstance(reader.trailer["/Root"]["/OpenAction"], list), "more than where to look at first"  # type: ignore[index]
    for forbidden in (b"/JavaScript", b"/JS", b"/Launch", b"/URI", b"/EmbeddedFile", b"/Annots"):
        assert forbidden not in made


def test_what_is_long_is_cut_and_says_so_and_never_hides_the_next_row() -> None:
    found = " ".join(pages(report(("x" * 100_000, "w " * 50_000), ("next", "row"))))
    assert "more characters" in found
    assert "next" in found


def test_it_is_the_same_each_time() -> None:
    first, second = (report(("a", "b")).pdf() for _ in range(2))
    assert first == second
    assert b"/home/" not in first
    assert b"site-packages" not in first


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fpdf", None)
    with pytest.raises(ConfigurationError, match="fpdf2"):
        report().pdf()
