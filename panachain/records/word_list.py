"""Word lists: which words the records of one envelope have, sealed under the envelope's key.

A list lies beside the inventory, which names it, and is opened by whoever opens the envelope: so a grant covers it, a
revocation ends it, a re-wrapped envelope takes it along, and what leaves an envelope leaves its list. A reader fetches
lists whole and looks words up by themselves: nobody else learns what they look for. Never holds a word outside its
seal. Follows docs/spec/search.md (`panachain/words/1`) and ADR 60.

    list   = stream(words key, padded (size of the body (8) ‖ packed body))
    body   = contents ‖ those without words, after their count ‖ length of the forms ‖ forms ‖ terms
    forms  = the words as they are written, sorted, a line feed between them
    term   = length ‖ kind (1) and name ‖ length ‖ what it says
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from panachain.crypto import labels, padding, stream
from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.compress import compress, decompress
from panachain.errors import IntegrityError
from panachain.ipld.cid import CID
from panachain.records.inventory import MAX_RECORDS
from panachain.records.record_words import LONGEST_UNIT, NUMBER, RecordWords, Value
from panachain.records.words import stem
from panachain.storage.blocks import BlobStore

MAX_BYTES: Final = 256 << 20
"""Bytes of a list that is read."""
_SIZE: Final = 8
_WORD: Final = b"w"
_NUMBERS: Final = b"#"
_CALLED: Final = b"d"
_FORMS: Final = b"f"

Places = dict[int, dict[int, list[int]]]
"""Positions in the entries of contents, by the content's index and the entry's place."""


def packed(words: RecordWords) -> bytes:
    """Return the words of one record as they wait for their list: small, since a batch holds all of its records'."""
    out = bytearray()
    if words.forms:
        _put(out, _FORMS, "\n".join(sorted(words.forms)).encode())
    for word, places in words.places.items():
        _put(out, _WORD + word.encode(), _posting(places))
    for code, values in words.values.items():
        _put(out, _NUMBERS + code.encode(), _written(values))
    for word, codes in words.called.items():
        _put(out, _CALLED + word.encode(), "\n".join(sorted(codes)).encode())
    return bytes(out)


def seal(contents: Sequence[bytes | None], envelope_key: EnvelopeKey) -> list[bytes]:
    """Return the segments of a sealed list.

    Args:
        contents: what `packed` returned of each content of the envelope, in the order of their indexes; None where no
            word could be read, or where the record left.
        envelope_key: of their envelope.
    """
    forms: set[bytes] = set()
    said: dict[bytes, bytearray] = defaultdict(bytearray)
    last: dict[bytes, int] = {}
    sets: dict[bytes, set[bytes]] = defaultdict(set)
    for index, one in enumerate(contents):
        for name, what in _terms(one or b"", 0):
            kind = name[:1]
            if kind == _FORMS:
                forms.update(what.split(b"\n"))
            elif kind == _CALLED:
                sets[name].update(what.split(b"\n"))
            else:
                said[name] += _varint(index - last.get(name, 0)) + what
                last[name] = index
    terms = {name: bytes(what) for name, what in said.items()}
    terms |= {name: b"\n".join(sorted(codes)) for name, codes in sets.items()}
    mute = [index for index, one in enumerate(contents) if one is None]
    return _sealed(len(contents), mute, forms - {b""}, terms, envelope_key)


def _sealed(
    count: int, mute: Sequence[int], forms: Collection[bytes], terms: dict[bytes, bytes], envelope_key: EnvelopeKey
) -> list[bytes]:
    written = b"\n".join(sorted(forms))
    body = bytearray(_varint(count) + _varint(len(mute)))
    for index in mute:
        body += _varint(index)
    body += _varint(len(written)) + written
    for name in sorted(terms):
        _put(body, name, terms[name])
    plain = padding.pad(len(body).to_bytes(_SIZE, "big") + compress(bytes(body)))
    return list(stream.seal_segments(plain, envelope_key.words_key(), labels.ENVELOPE_WORDS))


class WordList:
    """What the records of one envelope are found by."""

    def __init__(self, body: bytes) -> None:
        """Take what was under the seal.

        Raises:
            IntegrityError: it is no list.
        """
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
        size, at = _read(body, at)
        self._written = body[at : at + size]
        if len(self._written) != size:
            raise IntegrityError("a list of words ends within its words")
        self._forms: list[str] | None = None
        self._terms: dict[bytes, bytes] = dict(_terms(body, at + size))

    def places(self, word: str) -> Places:
        """Return where a word is, given its stem.

        Raises:
            IntegrityError: the list says it in no form that we write.
        """
        said = self._terms.get(_WORD + word.encode())
        return {} if said is None else _places(said, self.contents)

    def called(self, word: str) -> set[str]:
        """Return the codes of numbers whose names have a word, given its stem."""
        said = self._terms.get(_CALLED + word.encode())
        return set(said.decode("utf-8", "replace").split("\n")) if said else set()

    def values(self, code: str) -> dict[int, list[Value]]:
        """Return the numbers under a code, by the index of their content.

        Raises:
            IntegrityError: as `places`.
        """
        return _values(self._terms.get(_NUMBERS + code.encode(), b""), self.contents)

    def beginning(self, prefix: str) -> list[str]:
        """Return the words that begin like this, as they are written."""
        if self._forms is None:
            self._forms = self._written.decode("utf-8", "replace").split("\n")
        # Sorted as bytes, which is the order of the letters' numbers, too.
        start = bisect_left(self._forms, prefix)
        found = []
        for form in self._forms[start:]:
            if not form.startswith(prefix):
                break
            found.append(form)
        return found

    def without(self, gone: Collection[int], envelope_key: EnvelopeKey) -> list[bytes]:
        """Return the segments of the same list without the words of contents that left.

        Args:
            gone: indexes of those contents.
            envelope_key: of their envelope.

        Raises:
            IntegrityError: as `places`.
        """
        terms: dict[bytes, bytes] = {}
        for name, said in self._terms.items():
            if name[:1] == _WORD:
                stay = {index: one for index, one in _places(said, self.contents).items() if index not in gone}
                kept = _gaps((index, _posting(sorted(one.items()))) for index, one in sorted(stay.items()))
            elif name[:1] == _NUMBERS:
                values = {index: one for index, one in _values(said, self.contents).items() if index not in gone}
                kept = _gaps((index, _written(one)) for index, one in sorted(values.items()))
            else:
                continue
            if kept:
                terms[name] = kept
        for name, said in self._terms.items():
            if name[:1] == _CALLED and (codes := [one for one in said.split(b"\n") if _NUMBERS + one in terms]):
                terms[name] = b"\n".join(codes)
        # A word of which nothing is left would tell what the records said that went.
        forms = [one for one in self._written.split(b"\n") if _WORD + stem(one.decode()).encode() in terms]
        return _sealed(self.contents, sorted(self.mute | set(gone)), forms, terms, envelope_key)


def open_(store: BlobStore, cid: CID, envelope_key: EnvelopeKey) -> WordList:
    """Fetch and open a list.

    Raises:
        IntegrityError: it doesn't open, or isn't one.
        BlockNotFoundError: the store lacks a block.
    """
    segments: list[bytes] = []
    size = 0
    for segment in store.read_file(cid):
        segments.append(segment)
        size += len(segment)
        if size > MAX_BYTES:
            raise IntegrityError(f"list of words {cid} is larger than {MAX_BYTES:,} bytes")
    opened = b"".join(stream.open_segments(segments, envelope_key.words_key(), labels.ENVELOPE_WORDS))
    plain = padding.unpad(opened)
    unpacked = int.from_bytes(plain[:_SIZE], "big")
    if unpacked > MAX_BYTES:
        raise IntegrityError(f"list of words {cid} would take {unpacked:,} bytes")
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
        text = f"{value.number} {value.unit}".encode()
        said += _varint(value.place) + _varint(len(text)) + text
    return bytes(said)


def _gaps(said: Iterator[tuple[int, bytes]]) -> bytes:
    out, last = bytearray(), 0
    for index, one in said:
        out += _varint(index - last) + one
        last = index
    return bytes(out)


def _places(said: bytes, contents: int) -> Places:
    found: Places = {}
    at, index = 0, 0
    while at < len(said):
        gap, at = _read(said, at)
        index += gap
        if index >= contents:
            raise IntegrityError(f"a list of words names content {index} of {contents}")
        count, at = _read(said, at)
        entries: dict[int, list[int]] = {}
        place = 0
        for _ in range(count):
            gap, at = _read(said, at)
            place += gap >> 1
            if not gap & 1:
                one, at = _read(said, at)
                entries[place] = [one]
                continue
            many, at = _read(said, at)
            positions, last = [], 0
            for _ in range(many):
                step, at = _read(said, at)
                last += step
                positions.append(last)
            entries[place] = positions
        found[index] = entries
    return found


def _values(said: bytes, contents: int) -> dict[int, list[Value]]:
    found: dict[int, list[Value]] = {}
    at, index = 0, 0
    while at < len(said):
        gap, at = _read(said, at)
        index += gap
        if index >= contents:
            raise IntegrityError(f"a list of words names content {index} of {contents}")
        count, at = _read(said, at)
        for _ in range(count):
            place, at = _read(said, at)
            size, at = _read(said, at)
            number, _, unit = said[at : at + size].decode("utf-8", "replace").partition(" ")
            at += size
            if not NUMBER.fullmatch(number) or len(unit) > LONGEST_UNIT:
                raise IntegrityError("a list of words has a number that is none, or a unit that is too long")
            found.setdefault(index, []).append(Value(place, number, unit))
    return found


def _put(out: bytearray, name: bytes, said: bytes) -> None:
    out += _varint(len(name)) + name + _varint(len(said)) + said


def _terms(words: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    end = len(words)
    while at < end:
        size, at = _read(words, at)
        name = words[at : at + size]
        at += size
        size, at = _read(words, at)
        if at + size > end:
            raise IntegrityError("a list of words ends within a term")
        yield name, words[at : at + size]
        at += size


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
