"""Listed words: those that were read with a content count for that very content, and for no other one."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

from panachain.model.records import PlainRecord, ReadBefore
from panachain.model.scope import Category
from panachain.records import word_list
from panachain.records.listed_words import listed_words
from panachain.records.word_list import Room

NOTE = PlainRecord(Category.DOCUMENTS, 2024, "text/plain", b"glucose was measured", b"")


def test_words_are_read_where_nobody_read_them() -> None:
    packed, room = listed_words(NOTE, None)
    assert packed is not None
    assert room.terms == 3


def test_those_that_were_read_with_a_content_count_for_no_other_one() -> None:
    other = listed_words(replace(NOTE, content=b"potassium"), None)
    known = replace(NOTE, known=ReadBefore(NOTE.content, other.packed))  # type: ignore[arg-type]
    assert listed_words(known, None) == other != listed_words(NOTE, None)
    assert listed_words(replace(known, year=2023), None).packed == other.packed
    assert listed_words(replace(known, content=b"sodium"), None) == listed_words(replace(NOTE, content=b"sodium"), None)
    assert known == NOTE


def test_a_record_with_half_a_list_of_words_has_none() -> None:
    with patch.object(word_list, "MOST_TERMS", 5):
        assert listed_words(NOTE, None) == (None, Room())
