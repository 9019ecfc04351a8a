"""Word lists: which words the records of one envelope have, sealed under the envelope's key.

A list lies beside the inventory, which names it, and is opened by whoever opens the envelope: so a grant covers it, a
revocation ends it, a re-wrapped envelope takes it along, and what leaves an envelope leaves its list. A reader fetches
lists whole and looks words up by themselves: nobody else learns what they look for. Words are as they are written: a
list knows nothing of languages (records/lexicon.py), and says of each word which content has it. Never holds a word
outside its seal, and never more than its limits, whoever made it. Follows docs/spec/search.md (`panachain/words/1`),
ADR 60 and ADR 65.

    list = stream(words key, padded (size of the body (8) ‖ packed body))
    body = contents ‖ those without words, after their count ‖ terms
    term = length ‖ kind (1) and name ‖ length ‖ what it says
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from panachain.crypto import labels, padding, stream
from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.compress import compress, decompress
from panachain.errors import IntegrityError, TooLargeError
from panachain.ipld.cid import CID
from panachain.records.inventory import MAX_RECORDS
from panachain.records.record_words import LONGEST_UNIT, NUMBER, RecordWords, Value
from panachain.records.words import LONGEST, forms_of
from panachain.storage.blocks import BlobStore

MAX_BYTES: Final = 16 << 20
"""Bytes of a list's body."""
MAX_SEALED: Final = MAX_BYTES + (MAX_BYTES >> 2)
"""Bytes of a sealed list: what padding adds is at most an eighth, and packing adds one byte."""
MOST_TERMS: Final = 1_000_000
"""Different words, codes, words of what codes are called, and languages of one list."""
MOST_OCCURRENCES: Final = 500_000
"""Places where words of one list stand, with its numbers, and the words of what these are called."""
_SIZE: Final = 8
_WORD: Final = b"w"
_NUMBERS: Final = b"#"
_CALLED: Final = b"d"
_LANGUAGE: Final = b"l"
_TAG: Final = re.compile(rb"[a-z]{2,3}")
"""The first part of a tag, RFC 5646, section 2.2.1, in small letters."""
_TERM_OF_LIST: Final = 8
"""Bytes by which a term takes more room in a list than alone, at most: longer lengths, and which content it is of."""
_CODE_OF_LIST: Final = 4
"""The same for a code in a word's term: its contents, and their count."""
_OFFSET: Final = 4
"""Bytes in which an open list keeps where a term begins."""

Places = dict[int, dict[int, list[int]]]
"""Positions in the entries of contents, by the content's index and the entry's place."""


@dataclass(frozen=True)
class Room:
    """What the words of some contents take in a list, at most."""

    size: int = 0
    """Bytes of its body."""
    terms: int = 0
    occurrences: int = 0

    def __add__(self, other: Room) -> Room:
        """Return what both take in one list."""
        return Room(self.size + other.size, self.terms + other.terms, self.occurrences + other.occurrences)

    def fits(self, *, parts: int = 1) -> bool:
        """Tell whether a list takes them, or so many lists' worth of them."""
        limits = (MAX_BYTES, MOST_TERMS, MOST_OCCURRENCES)
        taken = (self.size, self.terms, self.occurrences)
        return all(one * parts <= limit for one, limit in zip(taken, limits, strict=True))


def room_of(words: RecordWords, content: bytes) -> Room:
    """Return what a record's words take in a list.

    Args:
        words: the record's.
        content: what `packed` returned of them.
    """
    terms = len(words.places) + len(words.values) + len(words.called) + len(words.languages)
    codes = sum(map(len, words.called.values()))
    positions = sum(len(where) for places in words.places.values() for _, where in places)
    size = len(content) + _TERM_OF_LIST * terms + _CODE_OF_LIST * codes
    return Room(size, terms, positions + sum(map(len, words.values.values())) + codes)


def packed(words: RecordWords) -> bytes:
    """Return the words of one record as they wait for their list: small, since a batch holds all of its records'."""
    out = bytearray()
    for word, places in words.places.items():
        _put(out, _WORD + word.encode(), _posting(places))
    for code, values in words.values.items():
        _put(out, _NUMBERS + code.encode(), _written(values))
    for word, codes in words.called.items():
        said = bytearray()
        for code in sorted(codes, key=str.encode):
            _text(said, code.encode())
        _put(out, _CALLED + word.encode(), bytes(said))
    for language in words.languages:
        _put(out, _LANGUAGE + language.encode(), b"")
    return bytes(out)


def seal(contents: Sequence[bytes | None], envelope_key: EnvelopeKey) -> list[bytes]:
    """Return the segments of a sealed list.

    Args:
        contents: what `packed` returned of each content of the envelope, in the order of their indexes; None where no
            word could be read, or where the record left.
        envelope_key: of their envelope.

    Raises:
        TooLargeError: a list doesn't take so much, so no reader would take it: whoever publishes asks `Room` first.
        IntegrityError: as `TooLargeError`, for the number of terms or places; or what is given isn't of `packed`.
    """
    return seal_made(made_of(contents), envelope_key)


def made_of(contents: Sequence[bytes | None]) -> bytes:
    """Return what is padded and sealed as a list, in whichever process: the same bytes for the same words.

    Args:
        contents: as `seal` takes them.

    Raises:
        TooLargeError, IntegrityError: as `seal`.
    """
    body = body_of(contents)
    return len(body).to_bytes(_SIZE, "big") + compress(body)


def seal_made(made: bytes, envelope_key: EnvelopeKey) -> list[bytes]:
    """Return the segments of a sealed list.

    Args:
        made: from `made_of`.
        envelope_key: of the envelope whose contents it lists.
    """
    plain = padding.pad(made)
    return list(stream.seal_segments(plain, envelope_key.words_key(), labels.ENVELOPE_WORDS))


def body_of(contents: Sequence[bytes | None]) -> bytes:
    """Return what lies under the seal of a list: the same bytes for the same words.

    Args:
        contents: as `seal` takes them.

    Raises:
        TooLargeError: as `seal`.
        IntegrityError: as `seal`.
    """
    said: dict[bytes, bytearray] = defaultdict(bytearray)
    last: dict[bytes, int] = {}
    having: dict[bytes, list[int]] = defaultdict(list)
    called: dict[bytes, dict[bytes, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, one in enumerate(contents):
        for name, what in _terms(one or b"", 0):
            if name[:1] == _CALLED:
                for code in _texts(what):
                    called[name][code].append(index)
                continue
            said[name] += _varint(index - last.get(name, 0)) + what
            last[name] = index
            if name[:1] == _NUMBERS:
                having[name[1:]].append(index)
    for name, codes in called.items():
        for code in sorted(codes):
            _text(said[name], code)
            # Nearly always the number's own contents, which needn't be named again.
            named = [] if codes[code] == having[code] else codes[code]
            said[name] += _varint(len(named)) + _gaps(named)
    mute = [index for index, one in enumerate(contents) if one is None]
    body = bytearray(_varint(len(contents)) + _varint(len(mute)))
    for index in mute:
        body += _varint(index)
    for name in sorted(said):
        _put(body, name, bytes(said[name]))
    if len(body) > MAX_BYTES:
        raise TooLargeError(f"a list of words has {len(body):,} bytes", size=len(body), limit=MAX_BYTES)
    # Read as any reader reads it: what is published is a list.
    WordList(bytes(body))
    return bytes(body)


class WordList:
    """What the records of one envelope are found by."""

    def __init__(self, body: bytes) -> None:
        """Take what was under the seal; all of it is looked at, so that what is asked later is answered.

        Raises:
            IntegrityError: it is no list, or a larger one than any hospital may make.
        """
        self.body = body
        """What was under the seal: the same bytes for the same words."""
        self.contents, at = _read(body, 0)
        """How many contents the envelope had when the list was made."""
        count, at = _read(body, at)
        if self.contents > MAX_RECORDS or count > self.contents:
            raise IntegrityError(f"a list of words is of {self.contents:,} contents, {count:,} of them without words")
        mute = set()
        for _ in range(count):
            index, at = _read(body, at)
            mute.add(index)
        self.mute = frozenset(mute)
        """Indexes of the contents of which no word could be read, and of those that left."""
        # Where each term begins, and nothing more: a list is held in little more than its own bytes.
        self._offsets = array("L" if array("L").itemsize == _OFFSET else "I")
        self._check(at)

    @property
    def memory(self) -> int:
        """Bytes that the open list takes."""
        return len(self.body) + _OFFSET * len(self._offsets)

    @property
    def size(self) -> int:
        """Bytes of its body."""
        return len(self.body)

    @property
    def terms(self) -> int:
        """How many terms it has."""
        return len(self._offsets)

    def places(self, word: str) -> Places:
        """Return where a word is, as it is written."""
        return _places(self._said(_WORD + word.encode()), self.contents)

    def called(self, word: str) -> set[str]:
        """Return the codes of numbers whose names have a word, as it is written."""
        codes = _codes(self._said(_CALLED + word.encode()), self.contents)
        return {code.decode("utf-8", "replace") for code, _ in codes}

    def values(self, code: str) -> dict[int, list[Value]]:
        """Return the numbers under a code, by the index of their content.

        Raises:
            IntegrityError: one of them is none.
        """
        return _values(self._said(_NUMBERS + code.encode()), self.contents)

    def beginning(self, prefix: str) -> list[str]:
        """Return the words that begin like this, as they are written."""
        # Sorted as bytes, which is the order of the letters' numbers, too.
        wanted = _WORD + prefix.encode()
        found = []
        for at in range(bisect_left(self._offsets, wanted, key=self._name), len(self._offsets)):
            name = self._name(self._offsets[at])
            if not name.startswith(wanted):
                break
            found.append(name[1:].decode("utf-8", "replace"))
        return found

    def among(self, words: Collection[str]) -> Collection[str]:
        """Return those of some words that it may have: no more of them than it has terms."""
        return words if len(words) <= self.terms else sorted(set(words).intersection(self.written()))

    def written(self) -> Iterator[str]:
        """Yield all words, those of what codes are called first, as they are written."""
        for kind in (_CALLED, _WORD):
            for at in self._of_kind(kind):
                yield self._name(at)[1:].decode("utf-8", "replace")

    def languages(self) -> dict[str, int]:
        """Return the languages that records name as theirs (BCP 47's first part), each with how many name it."""
        found = {}
        for at in self._of_kind(_LANGUAGE):
            name = self._name(at)
            found[name[1:].decode("utf-8", "replace")] = len(_indexes(self._said(name), self.contents))
        return found

    def without(self, gone: Collection[int], envelope_key: EnvelopeKey) -> list[bytes]:
        """Return the segments of the list that is made of the contents that stay, as if the others never were.

        Args:
            gone: indexes of the contents that left.
            envelope_key: of their envelope.

        Raises:
            IntegrityError: as `values`.
        """
        left = self.mute | set(gone)
        return seal([None if index in left else one for index, one in enumerate(self.split())], envelope_key)

    def split(self) -> list[bytes]:
        """Return what `packed` returned of each content.

        Raises:
            IntegrityError: as `values`.
        """
        contents = [bytearray() for _ in range(self.contents)]
        having: dict[bytes, list[int]] = {}
        later: list[tuple[bytes, bytes]] = []
        for offset in self._offsets:
            name = self._name(offset)
            said, kind = self._said(name), name[:1]
            if kind == _CALLED:
                later.append((name, said))
            elif kind == _LANGUAGE:
                for index in _indexes(said, self.contents):
                    _put(contents[index], name, b"")
            elif kind == _NUMBERS:
                values = _values(said, self.contents)
                having[name[1:]] = list(values)
                for index, measured in values.items():
                    _put(contents[index], name, _written(measured))
            else:
                for index, entries in _places(said, self.contents).items():
                    _put(contents[index], name, _posting(list(entries.items())))
        for name, said in later:
            codes: dict[int, bytearray] = defaultdict(bytearray)
            for code, named in _codes(said, self.contents):
                for index in named or having.get(code, []):
                    _text(codes[index], code)
            for index, mine in codes.items():
                _put(contents[index], name, bytes(mine))
        return [bytes(one) for one in contents]

    def _check(self, at: int) -> None:
        """Look at every term from a place on, and note where each begins."""
        body, end, before, left = self.body, len(self.body), b"", MOST_OCCURRENCES
        while at < end:
            if len(self._offsets) == MOST_TERMS:
                raise IntegrityError(f"a list of words has more than {MOST_TERMS:,} terms")
            self._offsets.append(at)
            name, at = _read_text(body, at)
            said, at = _read_text(body, at)
            # Each once, and in their order: else two readers might find different ones.
            if name <= before:
                raise IntegrityError("a list of words has terms that aren't in their order")
            before = name
            _check_name(name)
            if not said:
                raise IntegrityError("a list of words has a term that says nothing")
            left -= _count(name[:1], said, self.contents, left)
            if left < 0:
                raise IntegrityError(f"a list of words has more than {MOST_OCCURRENCES:,} places of words")

    def _name(self, offset: int) -> bytes:
        size, at = _read(self.body, offset)
        return self.body[at : at + size]

    def _said(self, name: bytes) -> bytes:
        """Return what the list says under a name; nothing if it hasn't got it."""
        at = bisect_left(self._offsets, name, key=self._name)
        if at == len(self._offsets) or self._name(self._offsets[at]) != name:
            return b""
        size, place = _read(self.body, self._offsets[at])
        size, place = _read(self.body, place + size)
        return self.body[place : place + size]

    def _of_kind(self, kind: bytes) -> Sequence[int]:
        first = bisect_left(self._offsets, kind, key=self._name)
        return self._offsets[first : bisect_left(self._offsets, bytes([kind[0] + 1]), key=self._name)]


def open_(store: BlobStore, cid: CID, envelope_key: EnvelopeKey) -> WordList:
    """Fetch and open a list.

    Raises:
        IntegrityError: it doesn't open, isn't one, or is larger than any hospital may make.
        BlockNotFoundError: the store lacks a block.
    """
    return opened(fetched(store, cid), cid, envelope_key)


def fetched(store: BlobStore, cid: CID) -> list[bytes]:
    """Fetch a sealed list, or just more of it than any hospital may make.

    Raises:
        IntegrityError: a block is damaged.
        BlockNotFoundError: the store lacks a block.
    """
    segments: list[bytes] = []
    size = 0
    for segment in store.read_file(cid):
        segments.append(segment)
        size += len(segment)
        if size > MAX_SEALED:
            break
    return segments


def opened(segments: list[bytes], cid: CID, envelope_key: EnvelopeKey) -> WordList:
    """Open a list that was fetched: what is refused of the same bytes is refused for ever.

    Args:
        segments: as `fetched` returns them.
        cid: the list's.
        envelope_key: of its envelope.

    Raises:
        IntegrityError: it doesn't open, isn't one, or is larger than any hospital may make.
    """
    if sum(map(len, segments)) > MAX_SEALED:
        raise IntegrityError(f"list of words {cid} is larger than {MAX_SEALED:,} bytes")
    whole = b"".join(stream.open_segments(segments, envelope_key.words_key(), labels.ENVELOPE_WORDS))
    plain = padding.unpad(whole)
    unpacked = int.from_bytes(plain[:_SIZE], "big")
    if unpacked > MAX_BYTES:
        raise IntegrityError(f"list of words {cid} would take {unpacked:,} bytes, more than {MAX_BYTES:,}")
    return WordList(decompress(plain[_SIZE:], unpacked))


def _posting(places: Sequence[tuple[int, Sequence[int]]]) -> bytes:
    out, last = bytearray(_varint(len(places))), 0
    for place, positions in places:
        gap, last = place - last, place
        if len(positions) == 1:
            out += _varint(2 * gap) + _varint(positions[0])
            continue
        out += _varint(2 * gap + 1) + _varint(len(positions))
        before = 0
        for one in positions:
            out += _varint(one - before)
            before = one
    return bytes(out)


def _written(values: Sequence[Value]) -> bytes:
    said = bytearray(_varint(len(values)))
    for value in values:
        said += _varint(value.place)
        _text(said, f"{value.number} {value.unit}".encode())
    return bytes(said)


def _gaps(indexes: Iterable[int]) -> bytes:
    out, last = bytearray(), 0
    for index in indexes:
        out += _varint(index - last)
        last = index
    return bytes(out)


def _check_name(name: bytes) -> None:
    """Look whether a term is named as a text that is cut into words names it.

    Raises:
        IntegrityError: no text has such a word, or no tag such a language.
    """
    kind, named = name[:1], name[1:]
    if kind == _LANGUAGE and not _TAG.fullmatch(named):
        raise IntegrityError("a list of words names a language that is none")
    # Nearly all words, and quickly: small letters and digits of ASCII.
    if kind not in (_WORD, _CALLED) or (named.isalnum() and named == named.lower() and len(named) <= LONGEST):
        return
    word = named.decode("utf-8", "replace")
    if word.encode() != named or not 0 < len(word) <= LONGEST:
        raise IntegrityError("a list of words has a word that is none, or that is too long")
    # A hospital's Unicode may be newer than this one's: what isn't known here may be a letter there.
    if forms_of(word) != [word] and "Cn" not in map(unicodedata.category, word):
        raise IntegrityError("a list of words has a word that isn't cut from any text")


def _count(kind: bytes, said: bytes, contents: int, most: int) -> int:
    """Return how many places, numbers or codes a term says, or more than `most` where there are more.

    Raises:
        IntegrityError: it says nothing that can be read.
    """
    count = 0
    if kind == _WORD:
        for *_, positions in _each_place(said, contents):
            count += len(positions)
            if count > most:
                break
    elif kind == _NUMBERS:
        for _ in _each_value(said, contents):
            count += 1
            if count > most:
                break
    elif kind == _CALLED:
        for _, named in _codes(said, contents):
            count += 1 + len(named)
            if count > most:
                break
    elif kind == _LANGUAGE:
        count = len(_indexes(said, contents))
    else:
        raise IntegrityError("a list of words has a term of a kind that isn't known")
    return count


def _places(said: bytes, contents: int) -> Places:
    found: Places = {}
    for index, place, positions in _each_place(said, contents):
        found.setdefault(index, {})[place] = positions
    return found


def _each_place(said: bytes, contents: int) -> Iterator[tuple[int, int, list[int]]]:
    at, index, end = 0, -1, len(said)
    while at < end:
        index, at = _next(said, at, index, contents)
        count, at = _read_count(said, at)
        place = 0
        for _ in range(count):
            gap, at = _read(said, at)
            place += gap >> 1
            if not gap & 1:
                one, at = _read(said, at)
                yield index, place, [one]
                continue
            many, at = _read(said, at)
            if not many:
                raise IntegrityError("a list of words has a word that stands nowhere in an entry")
            if many > MOST_OCCURRENCES:
                raise IntegrityError(f"a list of words has {many:,} places of one word")
            positions, last = [], 0
            for _ in range(many):
                step, at = _read(said, at)
                last += step
                positions.append(last)
            yield index, place, positions


def _values(said: bytes, contents: int) -> dict[int, list[Value]]:
    found: dict[int, list[Value]] = {}
    for index, value in _each_value(said, contents):
        found.setdefault(index, []).append(value)
    return found


def _each_value(said: bytes, contents: int) -> Iterator[tuple[int, Value]]:
    at, index, end = 0, -1, len(said)
    while at < end:
        index, at = _next(said, at, index, contents)
        count, at = _read_count(said, at)
        for _ in range(count):
            place, at = _read(said, at)
            written, at = _read_text(said, at)
            number, _, unit = written.decode("utf-8", "replace").partition(" ")
            if not NUMBER.fullmatch(number) or len(unit) > LONGEST_UNIT:
                raise IntegrityError("a list of words has a number that is none, or a unit that is too long")
            yield index, Value(place, number, unit)


def _codes(said: bytes, contents: int) -> Iterator[tuple[bytes, list[int]]]:
    """Yield the codes in whose names a word is, each with its contents; none where they are those of its numbers."""
    at, end = 0, len(said)
    while at < end:
        code, at = _read_text(said, at)
        count, at = _read(said, at)
        named, index = [], -1
        for _ in range(count):
            index, at = _next(said, at, index, contents)
            named.append(index)
        yield code, named


def _indexes(said: bytes, contents: int) -> list[int]:
    at, index, found = 0, -1, []
    while at < len(said):
        index, at = _next(said, at, index, contents)
        found.append(index)
    return found


def _next(said: bytes, at: int, index: int, contents: int) -> tuple[int, int]:
    """Return the index of the content that comes behind another one's (-1 for the first), and where it ends.

    Raises:
        IntegrityError: there is no such content, or it is named twice.
    """
    gap, at = _read(said, at)
    following = max(index, 0) + gap
    if not index < following < contents:
        raise IntegrityError(f"a list of words names content {following} of {contents} after content {index}")
    return following, at


def _read_count(said: bytes, at: int) -> tuple[int, int]:
    """Return how often a content has something, and where that ends.

    Raises:
        IntegrityError: never, and yet it is named: it would take time that nobody counts.
    """
    count, at = _read(said, at)
    if not count:
        raise IntegrityError("a list of words names a content that has nothing of a term")
    return count, at


def _texts(said: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(said):
        text, at = _read_text(said, at)
        yield text


def _read_text(said: bytes, at: int) -> tuple[bytes, int]:
    size, at = _read(said, at)
    if at + size > len(said):
        raise IntegrityError("a list of words ends within a text")
    return said[at : at + size], at + size


def _put(out: bytearray, name: bytes, said: bytes) -> None:
    _text(out, name)
    _text(out, said)


def _text(out: bytearray, text: bytes) -> None:
    out += _varint(len(text)) + text


def _terms(words: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    while at < len(words):
        name, at = _read_text(words, at)
        said, at = _read_text(words, at)
        yield name, said


_SMALL: Final = tuple(bytes([number]) for number in range(128))


def _varint(number: int) -> bytes:
    """Return an unsigned LEB128 number."""
    if number < 128:
        return _SMALL[number]
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place, and where it ends.

    Raises:
        IntegrityError: there is none.
    """
    if at < len(data) and data[at] < 128:
        return data[at], at + 1
    number = shift = 0
    while at < len(data) and shift < 63:
        one = data[at]
        at += 1
        number |= (one & 127) << shift
        if one < 128:
            return number, at
        shift += 7
    raise IntegrityError("a list of words ends within a number")
