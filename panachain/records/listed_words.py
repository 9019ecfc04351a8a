"""Listed words: the words of one record as their list takes them, and the room that they take there.

Pure; a process beside the upload's may have read them already, together with the record (`reading_ahead.py`). Follows
docs/spec/search.md and ADR 74.
"""

from __future__ import annotations

from typing import NamedTuple

from panachain.model.records import PlainRecord
from panachain.records import word_list
from panachain.records.record_words import words_of
from panachain.records.versions import Bundle
from panachain.records.word_list import Room


class ListedWords(NamedTuple):
    """What a record is found by."""

    packed: bytes | None
    """What `word_list.packed` returns; None where there are no words, or too many."""
    room: Room
    """What they take in a list."""


def listed_words(record: PlainRecord, bundle: Bundle | None) -> ListedWords:
    """Return the words of a record as their list takes them; those that were read with its content, if there are any.

    Args:
        record: as it is published.
        bundle: its entries, if they are known.
    """
    known = record.known
    # Whatever was taken out of a record since made other bytes of its content.
    if known is not None and known.content is record.content:
        return ListedWords(known.packed, Room() if known.packed is None else word_list.room_of(known.packed))
    words = words_of(record, bundle)
    if words is None:
        return ListedWords(None, Room())
    packed = word_list.packed(words)
    room = word_list.room_of(packed)
    # One record takes half a list at most: so whatever comes before it, there is a list that takes it.
    return ListedWords(packed, room) if room.fits(parts=2) else ListedWords(None, Room())
