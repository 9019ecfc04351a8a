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

What waits for its list is, for each record, the terms of a list that has only this record, behind what they take there:
most lists are of one record, and then they are written already.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from operator import sub
from typing import Final, TypeVar

from panachain.crypto import labels, padding, stream
from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.compress import compress, decompress
from panachain.errors import IntegrityError, TooLargeError
from panachain.ipld.cid import CID
from panachain.records.inventory import MAX_RECORDS
from panachain.records.record_words import LONGEST_UNIT, PLACE, RecordWords, Value, is_number
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
_TERM_OF_LIST: Final = 7
"""Bytes by which a term takes more room in a list than alone, at most: longer lengths, and which content it is of."""
_CODE_OF_LIST: Final = 3
"""The same for a code in a word's term: its contents, and their count."""
_FEW: Final = 1 << 14
"""Numbers that take one byte or two."""
_OFFSET: Final = 4
"""Bytes in which an open list keeps where a term begins."""

_POSITION: Final = (1 << PLACE) - 1
_T = TypeVar("_T")

Places = dict[int, dict[int, list[int]]]
"""Positions in the entries of contents, by the content's index and the entry's place."""


@dataclass(frozen=True)
class Room:
    """What the words of some contents take in a list, at most."""

    size: int = 0
    """Bytes of its body."""
    terms: int = 0
    occurrences: int = 0
    codes: int = 0
    """Codes among the occurrences: each counts twice if other contents call it otherwise, and it names its own."""

    def __add__(self, other: Room) -> Room:
        """Return what both take in one list."""
        size, terms = self.size + other.size, self.terms + other.terms
        return Room(size, terms, self.occurrences + other.occurrences, self.codes + other.codes)

    def fits(self, *, parts: int = 1) -> bool:
        """Tell whether a list takes them, or so many lists' worth of them."""
        limits = (MAX_BYTES, MOST_TERMS, MOST_OCCURRENCES)
        taken = (self.size, self.terms, self.occurrences)
        fits = all(one * parts <= limit for one, limit in zip(taken, limits, strict=True))
        return fits and self.occurrences + self.codes <= MOST_OCCURRENCES


def room_of(content: bytes) -> Room:
    """Return what a record's words take in a list.

    Args:
        content: what `packed` returned of them.
    """
    if not content:
        return Room()
    terms, at = _read(content, 0)
    occurrences, at = _read(content, at)
    codes, at = _read(content, at)
    return Room(len(content) - at + _TERM_OF_LIST * terms + _CODE_OF_LIST * codes, terms, occurrences, codes)


def packed(words: RecordWords) -> bytes:
    """Return the words of one record as they wait for their list: small, since a batch holds all of its records'.

    Raises:
        IntegrityError: one of them is cut from no text, so no reader would take the list.
    """
    _check_words([*words.places, *words.called])
    try:
        return _packed(words, _numbers())
    except IndexError:
        return _packed(words, _AnyNumber())


def _packed(words: RecordWords, small: Sequence[str] | _AnyNumber) -> bytes:
    """Return what `packed` does.

    Args:
        words: as there.
        small: numbers as the list has them.

    Raises:
        IndexError: there is a larger place, position, count or length of a name than `small` has.
    """
    # Text of which each letter is a byte: nothing in Python puts short pieces together as fast.
    values, called, places = _by_bytes(words.values), _by_bytes(words.called), _by_bytes(words.places)
    if not all(map(str.isascii, chain.from_iterable(words.called.values()))):
        called = {word: [_bytes(code) for code in codes] for word, codes in called.items()}
    terms: list[str] = []
    occurrences = codes = 0
    for code in sorted(values):
        measured = values[code]
        said, more = f"\0{small[len(measured)]}", []
        for place, number, unit in measured:
            text = f"{number} {unit}"
            if not text.isascii():
                text = _bytes(text)
            more.append(f"{small[place]}{small[len(text)]}{text}")
        said += more[0] if len(more) == 1 else "".join(more)
        size = small[len(said)] if len(said) < _FEW else _number(len(said))
        terms.append(f"{small[len(code) + 1]}#{code}{size}{said}")
        occurrences += len(measured)
    # A code of the record's own numbers doesn't name its contents.
    own, other = "\0", "\1\0"
    for word in sorted(called):
        mine = called[word]
        if len(mine) == 1:
            (code,) = mine
            said = f"{small[len(code)]}{code}{own if code in values else other}"
            occurrences += code not in values
        else:
            # Letters have the order of their bytes.
            said = "".join([f"{small[len(code)]}{code}{own if code in values else other}" for code in sorted(mine)])
            occurrences += len(mine) - sum(map(values.__contains__, mine))
        size = small[len(said)] if len(said) < _FEW else _number(len(said))
        terms.append(f"{small[len(word) + 1]}d{word}{size}{said}")
        codes += len(mine)
        occurrences += len(mine)
    terms += [f"{small[len(tag) + 1]}l{tag}\1\0" for tag in sorted(words.languages)]
    occurrences += len(words.languages)
    for word in sorted(places):
        where = places[word]
        if len(where) == 1:
            said = f"\0\1{small[where[0] >> PLACE << 1]}{small[where[0] & _POSITION]}"
        else:
            said = _posting(where, small)
        size = small[len(said)] if len(said) < _FEW else _number(len(said))
        terms.append(f"{small[len(word) + 1]}w{word}{size}{said}")
        occurrences += len(where)
    if not terms:
        return b""
    return _head(len(terms), occurrences, codes) + "".join(terms).encode("latin-1")


def _posting(where: Sequence[int], small: Sequence[str] | _AnyNumber) -> str:
    """Return what a word says of a record that has it in these places."""
    out, entries, last, at, many = [""], 0, 0, 0, len(where)
    while at < many:
        first, begin = where[at], at
        place = first >> PLACE
        at += 1
        if at == many or where[at] >> PLACE != place:
            out.append(f"{small[place - last << 1]}{small[first & _POSITION]}")
        else:
            at = many if where[-1] >> PLACE == place else bisect_left(where, (place + 1) << PLACE, at)
            out.append(f"{small[place - last << 1 | 1]}{small[at - begin]}{small[first & _POSITION]}")
            out += [small[step] for step in map(sub, where[begin + 1 : at], where[begin:at])]
        last = place
        entries += 1
    out[0] = f"\0{small[entries]}"
    return "".join(out)


def _head(terms: int, occurrences: int, codes: int) -> bytes:
    """Return what stands before the terms of one content."""
    return _varint(terms) + _varint(occurrences) + _varint(codes)


def _bytes(text: str) -> str:
    """Return a text of which each letter is a byte of this one in UTF-8."""
    return text if text.isascii() else text.encode().decode("latin-1")


def _by_bytes(named: dict[str, _T]) -> dict[str, _T]:
    return named if "".join(named).isascii() else {_bytes(name): what for name, what in named.items()}


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

    Whatever comes of `packed` is a list to every reader; that it is no larger than a reader takes is looked at here.

    Args:
        contents: as `seal` takes them.

    Raises:
        TooLargeError: as `seal`.
        IntegrityError: as `seal`.
    """
    mute = [index for index, one in enumerate(contents) if one is None]
    head = b"".join(map(_varint, (len(contents), len(mute), *mute)))
    spoken = [index for index, one in enumerate(contents) if one]
    if spoken == [0]:
        # Most lists are of one record, and these are their terms.
        content = contents[0] or b""
        count, at = _read(content, 0)
        occurrences, at = _read(content, at)
        _, at = _read(content, at)
        body = head + content[at:]
    else:
        terms, occurrences = _merged([(index, contents[index] or b"") for index in spoken])
        count, body = len(terms), head + b"".join(terms)
    if len(body) > MAX_BYTES:
        raise TooLargeError(f"a list of words has {len(body):,} bytes", size=len(body), limit=MAX_BYTES)
    if count > MOST_TERMS:
        raise IntegrityError(f"a list of words has more than {MOST_TERMS:,} terms")
    if occurrences > MOST_OCCURRENCES:
        raise IntegrityError(f"a list of words has more than {MOST_OCCURRENCES:,} places of words")
    return body


def _merged(contents: Iterable[tuple[int, bytes]]) -> tuple[list[bytes], int]:
    """Return the terms of a list in their order, and how many places, numbers and codes they say.

    Args:
        contents: what `packed` returned of each content that has words, with its index, in order.
    """
    said: dict[bytes, list[bytes]] = defaultdict(list)
    last: dict[bytes, int] = {}
    having: dict[bytes, list[int]] = defaultdict(list)
    called: dict[bytes, dict[bytes, list[int]]] = defaultdict(lambda: defaultdict(list))
    occurrences = 0
    for index, one in contents:
        _, at = _read(one, 0)
        alone, at = _read(one, at)
        _, at = _read(one, at)
        end = len(one)
        while at < end:
            name, at = _read_text(one, at)
            size, at = _read(one, at)
            start, at = at, at + size
            if name[:1] == _CALLED:
                codes = called[name]
                for code, named in _codes(one[start:at], 1):
                    codes[code].append(index)
                    # Counted anew below.
                    alone -= 1 + len(named)
                continue
            # Behind the index that it has alone, 0.
            said[name] += (_varint(index - last.get(name, 0)), one[start + 1 : at])
            last[name] = index
            if name[:1] == _NUMBERS:
                having[name[1:]].append(index)
        occurrences += alone
    for name, codes in called.items():
        out = said[name]
        for code in sorted(codes):
            # Nearly always the number's own contents, which needn't be named again.
            indexes = [] if codes[code] == having.get(code) else codes[code]
            out += (_varint(len(code)), code, _varint(len(indexes)), _gaps(indexes))
            occurrences += 1 + len(indexes)
    terms = []
    for name in sorted(said):
        what = b"".join(said[name])
        terms.append(b"".join((_varint(len(name)), name, _varint(len(what)), what)))
    return terms, occurrences


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
        contents = [_Content() for _ in range(self.contents)]
        having: dict[bytes, list[int]] = {}
        for offset in self._offsets:
            name = self._name(offset)
            said, kind = self._said(name), name[:1]
            if kind == _CALLED:
                mine: dict[int, bytearray] = defaultdict(bytearray)
                for code, named in _codes(said, self.contents):
                    numbers = having.get(code, [])
                    for index in named or numbers:
                        own = bisect_left(numbers, index)
                        here = own < len(numbers) and numbers[own] == index
                        mine[index] += _varint(len(code)) + code + (b"\0" if here else b"\1\0")
                        contents[index].codes += 1
                        contents[index].occurrences += 1 if here else 2
                for index, what in mine.items():
                    contents[index].put(name, bytes(what), 0)
                continue
            spans = _spans(kind, said, self.contents, MOST_OCCURRENCES)
            for index, start, end, count in spans:
                contents[index].put(name, b"\0" + said[start:end], count)
            if kind == _NUMBERS:
                having[name[1:]] = [index for index, *_ in spans]
        return [one.packed() for one in contents]

    def _check(self, at: int) -> None:
        """Look at every term from a place on, and note where each begins.

        One loop with as few calls as can be: a search looks at millions of terms.
        """
        body, end, contents, before, left = self.body, len(self.body), self.contents, b"", MOST_OCCURRENCES
        note = self._offsets.append
        while at < end:
            if len(self._offsets) == MOST_TERMS:
                raise IntegrityError(f"a list of words has more than {MOST_TERMS:,} terms")
            note(at)
            size, at = body[at], at + 1
            if size > 127:
                size, at = _read(body, at - 1)
            start, at = at, at + size
            if at >= end:
                raise IntegrityError("a list of words ends within a term")
            name = body[start:at]
            size, at = body[at], at + 1
            if size > 127:
                size, at = _read(body, at - 1)
            start, at = at, at + size
            if at > end:
                raise IntegrityError("a list of words ends within a text")
            said = body[start:at]
            # Each once, and in their order: else two readers might find different ones.
            if name <= before:
                raise IntegrityError("a list of words has terms that aren't in their order")
            before = name
            _check_name(name)
            if not said:
                raise IntegrityError("a list of words has a term that says nothing")
            kind = name[:1]
            if kind == _WORD and len(said) == 4 and said[1] == 1 and said.isascii() and not said[2] & 1:
                # Nearly all: a word that stands in one place of one content.
                if said[0] >= contents:
                    raise _no_content(said[0], contents, -1)
                left -= 1
            elif kind == _CALLED:
                left -= _count_codes(said, contents, left)
            else:
                left -= sum([count for *_, count in _spans(kind, said, contents, left)])
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
    if word.encode() != named:
        raise IntegrityError("a list of words has a word that is none, or that is too long")
    _check_word(word)


def _check_word(word: str) -> None:
    if not 0 < len(word) <= LONGEST:
        raise IntegrityError("a list of words has a word that is none, or that is too long")
    # A hospital's Unicode may be newer than this one's: what isn't known here may be a letter there.
    if forms_of(word) != [word] and "Cn" not in map(unicodedata.category, word):
        raise IntegrityError("a list of words has a word that isn't cut from any text")


def _check_words(words: Sequence[str]) -> None:
    """Look whether all words are such as a text is cut into, those of ASCII together.

    Raises:
        IntegrityError: one of them isn't.
    """
    joined = "".join(words)
    plain = joined.isascii() and not joined.encode().translate(None, _LETTERS)
    if plain and "" not in words and len(max(words, key=len, default="")) <= LONGEST:
        return
    for word in words:
        if not (word.isascii() and word.isalnum() and word == word.lower() and len(word) <= LONGEST):
            _check_word(word)


def _spans(kind: bytes, said: bytes, contents: int, most: int) -> list[tuple[int, int, int, int]]:
    """Return what a term of a word, of numbers or of a language says of each content.

    Args:
        kind: of the term.
        said: what it says.
        contents: how many there are.
        most: places or numbers that a reader takes; nothing is looked at behind them.

    Returns:
        Of each content that it names, in order: its index, where what is said of it begins and ends, and how many
        places or numbers that are.

    Raises:
        IntegrityError: it says nothing that can be read.
    """
    if kind == _WORD:
        count_of = _skip_places
    elif kind == _NUMBERS:
        count_of = _skip_values
    elif kind == _LANGUAGE:
        return [(index, 0, 0, 1) for index in _indexes(said, contents)]
    else:
        raise IntegrityError("a list of words has a term of a kind that isn't known")
    spans, at, index, end = [], 0, -1, len(said)
    while at < end and most >= 0:
        index, start = _next(said, at, index, contents)
        count, at = count_of(said, start, most)
        most -= count
        spans.append((index, start, at, count))
    return spans


def _skip_places(said: bytes, at: int, most: int) -> tuple[int, int]:
    """Return how many places a word has in the content that is told of from here, and where that ends.

    Args:
        said: what the word's term says.
        at: behind the index of the content.
        most: places that a reader takes; nothing is looked at behind them.

    Raises:
        IntegrityError: that can't be read.
    """
    entries, at = _read_count(said, at)
    count = 0
    for _ in range(entries):
        gap, at = _read(said, at)
        if not gap & 1:
            _, at = _read(said, at)
            count += 1
        else:
            many, at = _read(said, at)
            if not many:
                raise IntegrityError("a list of words has a word that stands nowhere in an entry")
            if many > MOST_OCCURRENCES:
                raise IntegrityError(f"a list of words has {many:,} places of one word")
            at = _skip(said, at, many)
            count += many
        if count > most:
            break
    return count, at


def _skip(said: bytes, at: int, many: int) -> int:
    """Return where so many numbers end.

    Raises:
        IntegrityError: there are fewer.
    """
    run = said[at : at + many]
    if len(run) == many and run.isascii():
        return at + many
    for _ in range(many):
        _, at = _read(said, at)
    return at


def _skip_values(said: bytes, at: int, most: int) -> tuple[int, int]:
    """Return how many numbers the content has that is told of from here, and where that ends.

    Args:
        said: what the code's term says.
        at: behind the index of the content.
        most: numbers that a reader takes; nothing is looked at behind them.

    Raises:
        IntegrityError: that can't be read, or one is no number.
    """
    many, at = _read_count(said, at)
    count = 0
    for _ in range(many):
        _, at = _read(said, at)
        written, at = _read_text(said, at)
        _number_of(written)
        count += 1
        if count > most:
            break
    return count, at


def _number_of(written: bytes) -> tuple[str, str]:
    """Return a number and its unit.

    Raises:
        IntegrityError: it is none, or the unit is too long.
    """
    number, _, unit = written.decode("utf-8", "replace").partition(" ")
    if not is_number(number) or len(unit) > LONGEST_UNIT:
        raise IntegrityError("a list of words has a number that is none, or a unit that is too long")
    return number, unit


def _count_codes(said: bytes, contents: int, most: int) -> int:
    """Return how many codes and contents a word of names says, or more than `most` where there are more.

    Raises:
        IntegrityError: it says nothing that can be read.
    """
    at, end, count = 0, len(said), 0
    while at < end and count <= most:
        size, at = _read(said, at)
        at += size
        if at > end:
            raise IntegrityError("a list of words ends within a text")
        many, at = _read(said, at)
        index = -1
        for _ in range(many):
            index, at = _next(said, at, index, contents)
        count += 1 + many
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
            yield index, Value(place, *_number_of(written))


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
        raise _no_content(following, contents, index)
    return following, at


def _no_content(index: int, contents: int, before: int) -> IntegrityError:
    return IntegrityError(f"a list of words names content {index} of {contents} after content {before}")


def _read_count(said: bytes, at: int) -> tuple[int, int]:
    """Return how often a content has something, and where that ends.

    Raises:
        IntegrityError: never, and yet it is named: it would take time that nobody counts.
    """
    count, at = _read(said, at)
    if not count:
        raise IntegrityError("a list of words names a content that has nothing of a term")
    return count, at


def _read_text(said: bytes, at: int) -> tuple[bytes, int]:
    size, at = _read(said, at)
    if at + size > len(said):
        raise IntegrityError("a list of words ends within a text")
    return said[at : at + size], at + size


def _put(out: bytearray, name: bytes, said: bytes) -> None:
    out += _varint(len(name)) + name + _varint(len(said)) + said


class _Content:
    """What one content says, on the way from a list back to what `packed` returned."""

    def __init__(self) -> None:
        self.terms = bytearray()
        self.count = self.occurrences = self.codes = 0

    def put(self, name: bytes, said: bytes, count: int) -> None:
        """Add a term, in order, with so many places or numbers."""
        _put(self.terms, name, said)
        self.count += 1
        self.occurrences += count

    def packed(self) -> bytes:
        """Return it."""
        return _head(self.count, self.occurrences, self.codes) + self.terms if self.count else b""


_SMALL: Final = tuple(bytes([number]) for number in range(128))
_LETTERS: Final = b"abcdefghijklmnopqrstuvwxyz0123456789"


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


def _number(number: int) -> str:
    """Return `_varint` as a text of which each letter is a byte."""
    return _varint(number).decode("latin-1")


@cache
def _numbers() -> Sequence[str]:
    """Return small numbers as `_number` does: all of one byte or two."""
    few = [chr(low) for low in range(128)]
    return (*few, *[chr(low | 128) + high for high in few[1:] for low in range(128)])


class _AnyNumber:
    """As `_numbers`, of numbers of any size."""

    def __getitem__(self, number: int) -> str:
        return _number(number)


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
