"""Listed words: the words of one record as their list takes them, and the room that they take there.

Pure; a process beside the upload's may have read them already, together with the record (`reading_ahead.py`). Follows
docs/spec/search.md and ADR 74.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from panachain.model.records import PlainRecord
from panachain.records import word_list
from panachain.records.record_words import EntryWords, entry_words, words_of, words_of_entries
from panachain.records.versions import HISTORY, Bundle, Entry, version_in
from panachain.records.word_list import Room


class ListedWords(NamedTuple):
    """What a record is found by."""

    packed: bytes | None
    """What `word_list.packed` returns; None where there are no words, or too many."""
    room: Room
    """What they take in a list."""


class EntryRead(NamedTuple):
    """What is read of an entry of FHIR while its source is split."""

    entry: Entry
    words: EntryWords | None
    """None where they can't be read."""


def read_entry(text: bytes, value: Any) -> EntryRead:
    """Return what the list of versions and the list of words take of an entry, as `split.Look`.

    Args:
        text: of the entry, as it is published.
        value: what `canonical.literal` returns of it.
    """
    return EntryRead(Entry(text, version_in(value)), entry_words(value))


def bundle_read(content: bytes, seen: Sequence[EntryRead]) -> Bundle:
    """Return what `versions.bundle_of` returns of a record.

    Args:
        content: of the record, as `split.py` makes it.
        seen: what `read_entry` returned of its entries, in their order.
    """
    size = sum(len(one.entry.text) + 1 for one in seen) + 1
    before = content[: len(content) - size]
    return Bundle(before, tuple(one.entry for one in seen), HISTORY in before)


def listed_words(record: PlainRecord, bundle: Bundle | None, seen: Sequence[EntryRead] | None = None) -> ListedWords:
    """Return the words of a record as their list takes them; those that were read with its content, if there are any.

    Args:
        record: as it is published.
        bundle: its entries, if they are known.
        seen: what `read_entry` returned of them, if it was asked.
    """
    known = record.known
    # Whatever was taken out of a record since made other bytes of its content.
    if known is not None and known.content is record.content:
        return ListedWords(known.packed, Room() if known.packed is None else word_list.room_of(known.packed))
    words = words_of(record, bundle) if seen is None else words_of_entries([one.words for one in seen], record.size)
    if words is None:
        return ListedWords(None, Room())
    packed = word_list.packed(words)
    room = word_list.room_of(packed)
    # One record takes half a list at most: so whatever comes before it, there is a list that takes it.
    return ListedWords(packed, room) if room.fits(parts=2) else ListedWords(None, Room())
