"""Files that say one thing again and again cost what their bytes cost, however they repeat.

The bounds are for what would take minutes to hours of an upload, which has the keys; no file is stored here, each is
made.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from panachain.errors import InputError
from panachain.records import hl7
from panachain.records.pdf import titles
from panachain.records.pdf_worker import seconds_for, text_in
from panachain.records.persons import _words
from panachain.records.sensitivity.matcher import plain_text
from panachain.records.sources import find_sources, read_source
from panachain.records.words import forms_of, normalized
from tests.bounds import processor_time
from tests.unit.records.pdfs import pdf

MIB = 1 << 20
MESSAGE = b"MSH|^~\\&|A|B|C|D|20240101||ORU^R01|1|P|2.5\rOBX|1|TX|a||"
MARKS = "\u0315\u0300"
"""Two marks that change places where they are normalised."""


@pytest.mark.parametrize("blank", [b" ", b"\t", b"\r\n \t", b"#\n", b" //\r"])
def test_blanks_before_a_message_that_never_comes(tmp_path: Path, blank: bytes) -> None:
    """A file of nothing but blanks kept an upload for an hour and a half."""
    path = tmp_path / "blank.txt"
    path.write_bytes(blank * (MIB // len(blank)))
    with processor_time(10):
        with pytest.raises(InputError, match="no reader knows"):
            list(read_source(path))
        (source,) = find_sources([path])
        assert source.persons() == []


@pytest.mark.parametrize(
    "before", [b"", b" \t\r\n", b"# a comment\n; another\r\n", b"\n" * 5000, b"\xef\xbb\xbf \x0b "]
)
def test_what_may_stand_before_a_message_still_does(before: bytes) -> None:
    assert hl7.begins_hl7(before + MESSAGE)


@pytest.mark.parametrize(
    "marks",
    [
        MARKS,
        # Without accents what stood on both sides of a joiner is one run.
        "\u05b0\u05b1" * 40 + "\u034f",
        # A letter by its class, and a mark once it is normalised.
        "\uff9e\u05b1",
        "\u0f73\u0f71",
    ],
    ids=["accents", "joined", "kana", "tibetan"],
)
def test_marks_upon_marks_are_put_in_order_in_bounded_time(marks: str) -> None:
    text = "metformin a" + marks * (MIB // 8 // len(marks)) + " glucose"
    with processor_time(10):
        assert {"metformin", "glucose"} <= set(forms_of(text))
        assert plain_text(text).startswith("metformin a")
        assert "glucose" in _words(text)
        assert normalized(normalized(text)) == normalized(text)


def test_a_message_of_marks_is_a_record_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / "marks.hl7"
    path.write_bytes(MESSAGE + (MARKS * (MIB // 16)).encode() + b"|||||F\r")
    with processor_time(10):
        (record,) = read_source(path)
    assert record.content == path.read_bytes()


def named_again(times: int) -> bytes:
    """Return a PDF file that names its one page so many times."""
    once = pdf("glucose")
    head, kids, tail = once.partition(b"/Kids[5 0 R]")
    assert kids
    # The places of objects behind this one move: the reader finds them all the same.
    return head + b"/Kids[" + b"5 0 R " * times + b"]" + tail


def test_a_page_that_a_pdf_names_again_and_again_is_read_once() -> None:
    assert text_in(io.BytesIO(named_again(300))) == (b"glucose", True)


def test_a_small_pdf_has_little_time_and_a_large_one_more() -> None:
    assert seconds_for(0) == 2
    assert seconds_for(100_000) < 6
    assert seconds_for(64 << 20) == 30


def test_objects_of_a_pdf_that_never_begin() -> None:
    """Each name of one was looked at a thousand bytes far: three seconds for each MiB, of an upload."""
    with processor_time(10):
        assert list(titles(io.BytesIO(b"%PDF-1.5\n" + b"/ObjStm" * (8 * MIB // 7)))) == []
