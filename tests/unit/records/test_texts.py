"""Texts: words tell in every encoding, and what is no text has none."""

from __future__ import annotations

import random

import pytest

from panachain.records.sensitivity import matcher_of
from panachain.records.texts import findings_in, is_read, text_of
from tests.unit.records.pdfs import pdf


def kinds(text: str) -> set[str]:
    return {one.kind for one in findings_in(text, matcher_of())}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "latin-1"])
def test_a_text_is_read_in_each_encoding(encoding: str) -> None:
    text = "Größe 1,80 m, HIV infection since 2019"
    assert (text_of(text.encode(encoding)) or "").endswith(text)


def test_pictures_packed_files_and_chance_are_no_texts() -> None:
    chance = random.Random(3)
    for content in (
        b"%PDF-1.4 HIV infection",
        b"\x89PNG\r\n\x1a\n" + bytes(300),
        *(chance.randbytes(999) for _ in range(20)),
    ):
        assert text_of(content) is None
        assert not is_read(content)


def test_a_pdf_is_read_and_a_page_that_may_be_a_scan_is_told() -> None:
    assert kinds(text_of(pdf("page one", "since 2019 HIV disease")) or "") == {"HIV"}
    assert is_read(pdf("page one", "page two"))
    assert is_read(b"a text")
    assert kinds(text_of(pdf("", "HIV disease")) or "") == {"HIV"}
    assert not is_read(pdf("", "HIV disease"))


def test_tags_hide_nothing() -> None:
    assert kinds("<p>opioid&nbsp;<b>dependence</b></p>") == {"OPIOIDUD"}
    assert kinds("CD4 < 200, HIV disease > 10 years") == {"HIV"}
    assert kinds('<value displayName="HIV disease"/>') == {"HIV"}
    assert kinds("<p>a broken leg</p>") == set()


def test_what_is_denied_is_denied_on_its_own_line_only() -> None:
    assert kinds("Smoker: no\nDepression") == {"PSY"}
    assert kinds("no depression") == set()


def test_each_thing_is_told_once() -> None:
    assert len(findings_in("HIV\nHIV\n" * 50, matcher_of())) == 1
