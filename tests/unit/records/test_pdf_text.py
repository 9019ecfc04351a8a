"""Text of PDF files: whatever a file does to the process that reads it, the next one is read."""

from __future__ import annotations

import io
import random
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from panachain import beside
from panachain.beside import Asked
from panachain.errors import UnavailableError
from panachain.records import pdf_text
from panachain.records.pdf_text import PdfText, text_of_pdf
from panachain.records.pdf_worker import MOST_TEXT, text_in
from panachain.records.texts import is_read
from tests.support import SHARED
from tests.unit.records.pdfs import pdf


@pytest.fixture(autouse=True)
def _ended() -> None:
    pdf_text._WORKER.asked.end()
    pdf_text._WORKER._known.cache_clear()


def test_one_process_reads_them_all() -> None:
    assert text_of_pdf(pdf("first")) == PdfText("first", is_all=True)
    process = pdf_text._WORKER.asked.process
    assert text_of_pdf(pdf("second", "")) == PdfText("second\n", is_all=False)
    assert pdf_text._WORKER.asked.process is process


def test_one_that_dies_is_replaced() -> None:
    assert text_of_pdf(pdf("before")).text == "before"
    process = pdf_text._WORKER.asked.process
    assert process is not None
    process.kill()
    process.wait(60)
    # Nobody's text is lost that it wasn't at.
    assert text_of_pdf(pdf("after")).text == "after"
    # Nothing is left to be written to it when it is forgotten.
    assert process.stdin is not None
    assert process.stdin.closed
    assert pdf_text._WORKER.asked.process is not process


def samples() -> list[bytes]:
    """Return PDF files, small ones and those of others that are here."""
    others = sorted((SHARED / "data" / "pdf").glob("*.pdf"), key=lambda one: one.stat().st_size)
    return [pdf("first page", "second page"), pdf("x", packed=False), *(one.read_bytes() for one in others[:4])]


def test_what_has_no_startxref_is_not_given_to_the_reader_which_would_read_nothing() -> None:
    chance = random.Random(11)
    for whole in samples():
        assert text_in(io.BytesIO(whole))[0]
        for other in (b"", b"startxre", b"tartxref", b"STARTXREF", b"start xref"):
            assert text_in(io.BytesIO(whole.replace(b"startxref", other))) == (b"", False)
    for _ in range(100):
        whole = chance.choice(samples()[:3])
        broken = bytearray(whole[: chance.randrange(len(whole) // 2, len(whole))])
        for _ in range(chance.randrange(9)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        found, is_all = text_in(io.BytesIO(bytes(broken)))
        # Damaged ones are read as the reader reads them.
        assert b"startxref" in broken or (found, is_all) == (b"", False)
    process = pdf_text._WORKER.asked.process
    assert text_of_pdf(b"%PDF-1.7\n" + bytes(range(256)) * 16) == PdfText("", is_all=False)
    assert pdf_text._WORKER.asked.process is process is None


WORKER: Final = """
import os
from panachain.beside import answer_questions, bound

def answer(content):
    if b"crash" in content:
        os.abort()
    return {
        b"garbage": (b"\\xff", b"\\1"), b"no tell": (b"", b"\\2"), b"much": (bytes(5 << 20), b"\\1"),
    }.get(content[5:-10], (content, b"\\1"))

def main():
    bound(1 << 30)
    answer_questions(answer, parts=1)
"""


@pytest.mark.parametrize("what", [b"crash", b"garbage", b"no tell", b"much"])
def test_a_file_that_makes_it_say_anything_else_costs_only_its_own_words(
    what: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made_up_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made_up = Asked("made_up_worker", parts=2, most=MOST_TEXT, seconds=60)
    monkeypatch.setattr(pdf_text._WORKER, "asked", made_up)
    hostile, before, after = (b"%PDF-" + one + b" startxref" for one in (what, b"before", b"after"))
    try:
        assert text_of_pdf(before) == PdfText(before.decode(), is_all=True)
        first = made_up.process
        # No text, and not all of it was read: what reads the file says that there may be more.
        assert text_of_pdf(hostile) == PdfText("", is_all=False)
        assert not is_read(hostile)
        assert first is not None
        assert first.poll() is not None
        assert text_of_pdf(after) == PdfText(after.decode(), is_all=True)
    finally:
        made_up.close()


def test_where_none_can_be_started_no_file_is_said_to_have_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(beside, "start", refuses)
    with pytest.raises(UnavailableError, match="no process can be started"):
        text_of_pdf(pdf("first"))
    monkeypatch.undo()
    assert text_of_pdf(pdf("first")).text == "first"


def test_one_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_text, "MOST_BYTES", 10)
    assert text_of_pdf(pdf("first")) == PdfText("", is_all=False)
    assert pdf_text._WORKER.asked.process is None


def test_no_module_of_the_folder_that_somebody_works_in_is_run(tmp_path: Path) -> None:
    for name in ("io.py", "logging.py", "pypdf.py", "panachain.py"):
        (tmp_path / name).write_text("raise SystemExit(7)")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from panachain.records.pdf_text import text_of_pdf;"
        "sys.stdout.write(text_of_pdf(open(sys.argv[2], 'rb').read()).text)"
    )
    (tmp_path / "a.pdf").write_bytes(pdf("read"))
    root = Path(pdf_text.__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-P", "-c", program, str(root), str(tmp_path / "a.pdf")],
        cwd=tmp_path, capture_output=True, timeout=120, text=True,
    )  # fmt: skip
    assert (run.stdout, run.stderr) == ("read", "")
