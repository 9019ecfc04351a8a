"""Reading worker: reads sources into records, and makes lists of words, in a process of its own, which is bounded.

A program beside the upload's (`reading_ahead.py`), which takes parcels of questions from its standard input, each with
its length before it (8 bytes, big-endian), and answers them likewise, in dag-cbor. Everything that it says follows from
what it was asked, in any process: it knows no key, no patient and no network, opens no file of anybody, writes none,
and logs nothing. Whatever it can't answer, it answers with nothing: whoever asked then does the same themselves, and
gets the error where it belongs. Follows ADR 74.

    question = [0, name of the file, content, category, profile, whether words are wanted] | [1, words of each content]
    answer = [records, what closes the document] | list, ready to be sealed | null
    record = [category, year, media type, content or null for all of it, in an emergency, known or null]
    known = [words, packed, or null, entries or null]
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final

from panachain.beside import bound
from panachain.errors import InputError
from panachain.ipld import dagcbor
from panachain.model.records import FileContent, PlainRecord
from panachain.model.scope import Category
from panachain.records import pdf_text, pdf_worker, word_list
from panachain.records.listed_words import bundle_read, listed_words, read_entry
from panachain.records.sensitivity import Profile
from panachain.records.sources import Reading
from panachain.records.split import MEDIA_TYPE, Piece
from panachain.records.version_list import to_told
from panachain.records.versions import bundle_of
from panachain.version import VERSION

HEAD: Final = 8
"""Bytes of a length."""
MOST_BYTES: Final = 512 << 20
"""Bytes of a parcel, and of what it is answered with."""
_MEMORY: Final = 2 << 30
"""Bytes that the process may take."""
_SECONDS: Final = 300.0
"""Processor time for one question; the process ends after it."""
_GARBAGE: Final = 100_000
"""Objects from which on Python looks for those that hold each other."""
_READ: Final = 0
_LIST: Final = 1


def to_read(reading: Reading, *, words: bool) -> list[Any]:
    """Return the question for the records of a source.

    Args:
        reading: what they follow from.
        words: whether it asks for their words as well.
    """
    profile = reading.profile
    told = profile and [profile.name, *map(sorted, (profile.kinds, profile.wished, profile.emergency)), profile.hints]
    category = None if reading.category is None else reading.category.value
    # Names of files needn't be UTF-8; and how this system writes them, the process needn't know.
    return [_READ, reading.name.encode("utf-8", "surrogateescape"), reading.content, category, told, words]


def to_list(contents: Sequence[bytes | None]) -> list[Any]:
    """Return the question for a list of words, as `word_list.made_of` takes it."""
    return [_LIST, list(contents)]


def to_parcel(questions: Sequence[Sequence[Any]]) -> bytes:
    """Return questions as they are asked, with their length before them."""
    text = dagcbor.encode([VERSION, list(questions)])
    return len(text).to_bytes(HEAD, "big") + text


def answer(question: Sequence[Any]) -> Any:
    """Return the answer to a question.

    Raises:
        InputError: the source can't be read as what it claims to be.
        IntegrityError, TooLargeError: as `word_list.made_of`.
    """
    kind, *given = question
    return _read(*given) if kind == _READ else word_list.made_of(*given)


def main() -> None:
    """Answer until the input ends."""
    bound(_MEMORY)
    pdf_worker.prepare()
    pdf_text.read_in_this_process()
    # What is read has no circles: looking for them in each resource is a tenth of all the time.
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(HEAD):
        version, parcel = dagcbor.decode(source.read(int.from_bytes(head, "big")), limit=MOST_BYTES)
        # Whoever asks may have been running since before an update: other code might answer something else.
        answers = dagcbor.encode([_attempt(question) if version == VERSION else None for question in parcel])
        del parcel
        sink.write(len(answers).to_bytes(HEAD, "big"))
        sink.write(answers)
        sink.flush()


def _attempt(question: Sequence[Any]) -> Any:
    # The default action ends the process.
    signal.setitimer(signal.ITIMER_PROF, _SECONDS)
    try:
        return answer(question)
    except Exception:  # noqa: BLE001  # It is asked again where the error belongs, whatever it is.
        return None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _read(name: bytes, content: bytes, category: str | None, told: Sequence[Any] | None, words: bool) -> list[Any]:
    profile = None
    if told is not None:
        kinds, wished, emergency = map(frozenset, told[1:4])
        profile = Profile(told[0], kinds, told[4], wished, emergency)
    named = None if category is None else Category(category)
    pieces, closed_by = Reading(name.decode("utf-8", "surrogateescape"), content, named, profile).pieces(
        read_entry if words else None
    )
    return [[_record(one, content, words=words) for one in pieces], list(closed_by)]


def _record(piece: Piece, content: bytes, *, words: bool) -> list[Any]:
    # What is the whole file, whoever asks has already.
    kept = None if piece.content == content else piece.content
    found = _known(piece) if words else None
    return [piece.category.value, piece.year, piece.media_type, kept, piece.emergency, found]


def _known(piece: Piece) -> list[Any] | None:
    """Return what is read of a record besides: its words and its entries."""
    record = PlainRecord(piece.category, piece.year, piece.media_type, piece.content, source=b"")
    if isinstance(record.content, FileContent):
        return None
    try:
        bundle = None
        if piece.seen is not None:
            bundle = bundle_read(record.content, piece.seen)
        elif record.media_type == MEDIA_TYPE:
            bundle = bundle_of(record.content)
    except InputError:
        # Whoever publishes it says so.
        return None
    return [listed_words(record, bundle, piece.seen).packed, None if bundle is None else to_told(bundle)]


if __name__ == "__main__":
    main()
