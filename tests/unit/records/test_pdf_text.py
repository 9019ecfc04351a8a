"""Text of PDF files: whatever a file does to the process that reads it, the next one is read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from panachain.records import pdf_text
from panachain.records.pdf_text import PdfText, text_of_pdf
from tests.unit.records.pdfs import pdf


@pytest.fixture(autouse=True)
def _ended() -> None:
    pdf_text._WORKER.close()


def test_one_process_reads_them_all() -> None:
    assert text_of_pdf(pdf("first")) == PdfText("first", is_all=True)
    process = pdf_text._WORKER._process
    assert text_of_pdf(pdf("second", "")) == PdfText("second\n", is_all=False)
    assert pdf_text._WORKER._process is process


def test_one_that_dies_is_replaced() -> None:
    assert text_of_pdf(pdf("before")).text == "before"
    process = pdf_text._WORKER._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    assert text_of_pdf(pdf("lost")) == PdfText("", is_all=False)
    # Nothing is left to be written to it when it is forgotten.
    assert process.stdin is not None
    assert process.stdin.closed
    assert text_of_pdf(pdf("after")).text == "after"


def test_one_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_text, "MOST_BYTES", 10)
    assert text_of_pdf(pdf("first")) == PdfText("", is_all=False)
    assert pdf_text._WORKER._process is None


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
