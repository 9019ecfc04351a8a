"""PDF worker: all text of a file, or as much as there is time and memory for, and never more than its own failure."""

from __future__ import annotations

import io
import random
import signal
import subprocess
import sys

import pytest

from panachain.records import pdf_worker
from panachain.records.pdf_worker import text_in
from tests.unit.records.pdfs import pdf


def test_the_text_of_all_pages_is_read() -> None:
    assert text_in(io.BytesIO(pdf("first page", "second page"))) == (b"first page\nsecond page", True)


def test_a_page_without_text_may_be_a_scan() -> None:
    assert text_in(io.BytesIO(pdf("first page", ""))) == (b"first page\n", False)
    assert text_in(io.BytesIO(pdf(""))) == (b"", False)


def test_whatever_is_damaged_has_no_more_text_than_was_read() -> None:
    whole, chance = pdf("first page", "second page"), random.Random(5)
    for _ in range(60):
        broken = bytearray(whole)
        for _ in range(chance.randrange(1, 30)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        text, _ = text_in(io.BytesIO(bytes(broken[: chance.randrange(len(broken))])))
        assert len(text) < 1000


def test_a_text_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_worker, "MOST_TEXT", 50)
    text, is_all = text_in(io.BytesIO(pdf("x" * 40, "y" * 40, "z" * 40)))
    assert (text, is_all) == (b"x" * 40 + b"\n" + b"y" * 9, False)


def test_a_file_that_takes_too_long_is_given_up() -> None:
    before = signal.signal(signal.SIGVTALRM, pdf_worker._stop)
    try:
        slow = pdf("last", before=["0 0 m"] * 200_000)
        assert text_in(io.BytesIO(slow), seconds=0.05) == (b"", False)
    finally:
        signal.signal(signal.SIGVTALRM, before)
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_files_are_answered_one_after_the_other_and_nothing_else_is_said() -> None:
    asked = b"".join(len(one).to_bytes(4, "big") + one for one in (pdf("first"), b"%PDF-none", pdf("third")))
    run = subprocess.run(
        [sys.executable, "-P", "-m", "panachain.records.pdf_worker"], input=asked, capture_output=True, timeout=120
    )
    one = b"\0\0\0\x01"
    assert run.stdout == b"\0\0\0\x05first" + one + b"\1" + bytes(4) + one + b"\0" + b"\0\0\0\x05third" + one + b"\1"
    assert (run.stderr, run.returncode) == (b"", 0)
