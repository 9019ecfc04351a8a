"""Word lists: what was put in comes out, nothing else opens, and what left an envelope leaves no word in it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panachain.crypto import labels, padding, stream
from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.compress import compress
from panachain.errors import IntegrityError, PanaChainError, TooLargeError
from panachain.records import word_list
from panachain.records.record_words import PLACE, RecordWords, Value
from panachain.records.word_list import Room, WordList
from panachain.records.words import forms_of
from tests.unit.storage.memory_store import MemoryStore

KEY = EnvelopeKey(bytes(range(32)))


def standing(places: Sequence[tuple[int, Sequence[int]]]) -> list[int]:
    """Return positions in entries as `RecordWords` has them."""
    return [place << PLACE | one for place, where in places for one in where]


def entries_of(standing: Sequence[int]) -> dict[int, list[int]]:
    """Return the other way round what `standing` returns."""
    found: dict[int, list[int]] = {}
    for at in standing:
        found.setdefault(at >> PLACE, []).append(at % (1 << PLACE))
    return found


positions = st.lists(st.integers(0, 5000) | st.just(199_999), min_size=1, max_size=6, unique=True).map(sorted)
entries = st.integers(0, 300) | st.sampled_from([8191, 8192, 150_000])
places = st.dictionaries(entries, positions, min_size=1, max_size=5).map(lambda one: standing(sorted(one.items())))
vocabulary = st.sampled_from(["glucose", "glucoses", "pain", "chest", "血", "tablets", "мочевина", "a", "7"])
codes = st.sampled_from(["2345-7", "8480-6", "in\ntwo lines", "", "gr\u00f6\u00dfe", "\U0001f321" * 40])
values = st.lists(
    st.tuples(entries, st.sampled_from(["1", "-2.5", "1e3"]), st.sampled_from(["", "mg/dL", "\u00b5g"])),
    min_size=1,
    max_size=3,
)
record = st.builds(
    RecordWords,
    places=st.dictionaries(vocabulary, places, max_size=5),
    values=st.dictionaries(codes, values, max_size=3),
    called=st.dictionaries(vocabulary, st.sets(codes, min_size=1, max_size=3), max_size=4),
    languages=st.sets(st.sampled_from(["de", "en", "fr"]), max_size=2),
)


def opened(segments: list[bytes], key: EnvelopeKey = KEY) -> WordList:
    store = MemoryStore()
    return word_list.open_(store, store.add_file(segments), key)


def packed(records: Sequence[RecordWords | None]) -> list[bytes | None]:
    return [None if one is None else word_list.packed(one) for one in records]


def check(words: WordList, records: Sequence[RecordWords | None]) -> None:
    """Compare a list with a plain model of what it holds."""
    here = [(index, each) for index, each in enumerate(records) if each]
    written = {one for _, each in here for one in each.places}
    for one in written | {"absent"}:
        assert words.places(one) == {index: entries_of(each.places[one]) for index, each in here if one in each.places}
    assert words.beginning("") == sorted(written, key=str.encode)
    called = {one for _, each in here for one in each.called}
    assert set(words.written()) == written | called
    for one in called | {"absent"}:
        assert words.called(one) == {code for _, each in here for code in each.called.get(one, ())}
    for code in {code for _, each in here for code in each.values} | {"absent"}:
        assert words.values(code) == {
            index: [Value(*value) for value in each.values[code]] for index, each in here if code in each.values
        }
    said = [one for _, each in here for one in each.languages]
    assert words.languages() == {one: said.count(one) for one in said}
    assert words.mute == {index for index, each in enumerate(records) if each is None}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.none() | record, min_size=1, max_size=6))
def test_holds_what_a_plain_model_holds(records: list[RecordWords | None]) -> None:
    check(opened(word_list.seal(packed(records), KEY)), records)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.none() | record, min_size=1, max_size=6), st.sets(st.integers(0, 5)))
def test_what_left_leaves_a_list_as_if_it_never_was(records: list[RecordWords | None], gone: set[int]) -> None:
    """No word, no other form of one, no name of a code and no language stays that only a record had which left."""
    gone = {index for index in gone if index < len(records)}
    stay = [None if index in gone else one for index, one in enumerate(records)]
    without = opened(opened(word_list.seal(packed(records), KEY)).without(gone, KEY))
    check(without, stay)
    assert without.body == word_list.body_of(packed(stay))
    # And again, one by one.
    again = opened(word_list.seal(packed(records), KEY))
    for index in sorted(gone):
        again = opened(again.without({index}, KEY))
    assert again.body == without.body


@settings(max_examples=25, deadline=None)
@given(st.lists(record, min_size=1, max_size=6))
def test_the_room_that_contents_are_told_to_take_is_enough(records: list[RecordWords]) -> None:
    room = sum((word_list.room_of(word_list.packed(one)) for one in records), Room())
    words = WordList(word_list.body_of(packed(records)))
    # The list's own head is no content's.
    assert words.size <= room.size + 8
    assert words.terms <= room.terms


@settings(max_examples=50, deadline=None)
@given(st.lists(st.none() | record, min_size=1, max_size=6), st.integers(0, 40), st.integers(0, 12))
def test_what_is_made_is_refused_just_where_a_reader_refuses_it(
    records: list[RecordWords | None], occurrences: int, terms: int
) -> None:
    """Who makes a list doesn't read it: its bounds are counted as any reader counts them, and all else is right."""
    made = packed(records)
    body = word_list.body_of(made)
    assert WordList(body).split() == [one or b"" for one in made]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(word_list, "MOST_OCCURRENCES", occurrences)
        patched.setattr(word_list, "MOST_TERMS", terms)
        try:
            WordList(body)
        except IntegrityError:
            with pytest.raises(IntegrityError):
                word_list.body_of(made)
        else:
            assert word_list.body_of(made) == body


def test_a_list_takes_what_its_room_says_whatever_contents_call_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_list, "MOST_OCCURRENCES", 5_000)
    codes = [f"c{number}" for number in range(40)]
    room, contents = Room(), list[bytes]()
    while True:
        # Each calls the codes otherwise, so that the list names the contents of each.
        names = {f"n{len(contents)}x{number}": set(codes) for number in range(20)}
        more = word_list.packed(RecordWords(values={code: [(0, "1", "")] for code in codes}, called=names))
        if not (room + word_list.room_of(more)).fits():
            break
        room += word_list.room_of(more)
        contents.append(more)
    assert len(contents) == 3
    assert WordList(word_list.body_of(contents)).contents == 3


def test_the_same_words_are_never_sealed_alike() -> None:
    one = packed([RecordWords(places={"pain": [0]})])
    assert word_list.seal(one, KEY) != word_list.seal(one, KEY)


def test_another_key_and_a_changed_byte_open_nothing() -> None:
    (segment,) = word_list.seal(packed([RecordWords(places={"pain": [0]})]), KEY)
    with pytest.raises(IntegrityError):
        opened([segment], EnvelopeKey(bytes(32)))
    # The inventory's key is another one, though both are of one envelope.
    with pytest.raises(IntegrityError):
        stream.open_(segment, KEY.inventory_key(), labels.ENVELOPE_WORDS)
    for at in range(0, len(segment), 7):
        with pytest.raises(IntegrityError):
            opened([segment[:at] + bytes([segment[at] ^ 1]) + segment[at + 1 :]])


def _sealed(body: bytes, size: int | None = None) -> list[bytes]:
    plain = padding.pad((len(body) if size is None else size).to_bytes(8, "big") + compress(body))
    return list(stream.seal_segments(plain, KEY.words_key(), labels.ENVELOPE_WORDS))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x80",
        b"\xff" * 12,
        b"\x01\x02\x00\x01\x00",
        b"\x01\x00\x7fabc",
        b"\x01\x00\x05wpain\x7f",
        b"\x01\x00\x02zz\x00",
        b"\x01\x00\x02wb\x00\x02wa\x00",
        b"\x01\x00\x02wa\x00\x02wa\x00",
        b"\x02\x00\x02wa\x06\x01\x00\x00\x00\x00\x00",
        b"\x01\x00\x02wa\x03\x00\x02\x00",
        b"\x01\x00\x02dg\x04\x02ab\x09",
        b"\x01\x00\x03lde\x01\x01",
        # Languages that are none, or that no content names.
        b"\x01\x00\x02ld\x01\x00",
        b"\x01\x00\x03lDE\x01\x00",
        b"\x01\x00\x05ldeut\x01\x00",
        b"\x01\x00\x03lde\x00",
        # A word that stands nowhere, in no entry, and at no position; a code without numbers; a name of nothing.
        b"\x01\x00\x02wa\x00",
        b"\x01\x00\x02wa\x02\x00\x00",
        b"\x01\x00\x02wa\x04\x00\x01\x01\x00",
        b"\x01\x00\x02#1\x00",
        b"\x01\x00\x02#1\x02\x00\x00",
        b"\x01\x00\x02da\x00",
        bytes([0xFF, 0xFF, 0x7F, 0, 0]),
    ],
)
def test_a_hospitals_nonsense_is_an_error(body: bytes) -> None:
    with pytest.raises(IntegrityError):
        opened(_sealed(body))


UNCUT = ["Pain", "tablet'ten", "chest pain", "caf\u00e9", "\u0130le", "", "a" * 65, "\u00e4" * 65, "\ufb01bre", "_x"]


@pytest.mark.parametrize("word", UNCUT)
@pytest.mark.parametrize("kind", [b"w", b"d"])
def test_a_word_that_is_cut_from_no_text_is_refused_and_never_sealed(word: str, kind: bytes) -> None:
    said = b"\x00\x01\x00\x00" if kind == b"w" else b"\x021a\x00"
    with pytest.raises(IntegrityError, match="word that"):
        opened(_sealed(_terms((kind + word.encode(), said))))
    mine = RecordWords({word: [0]}) if kind == b"w" else RecordWords(called={word: {"1a"}})
    with pytest.raises(IntegrityError, match="word that"):
        word_list.seal(packed([mine]), KEY)


def test_a_word_that_is_no_text_is_refused() -> None:
    with pytest.raises(IntegrityError, match="word that is none"):
        opened(_sealed(_terms((b"w\xff\xfe", b"\x00\x01\x00\x00"))))


def test_a_letter_of_a_newer_unicode_costs_no_list() -> None:
    # U+0378 is assigned in no version so far.
    assert opened(_sealed(_terms(("wab\u0378c".encode(), b"\x00\x01\x00\x00")))).places("ab\u0378c") == {0: {0: [0]}}


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=100))
def test_any_word_that_is_cut_from_a_text_may_be_sealed(text: str) -> None:
    """Cutting a word again gives the word: else a hospital's own list would be refused."""
    assert all(forms_of(word) == [word] for word in forms_of(text))


def test_contents_that_have_nothing_take_no_time_that_nobody_counts() -> None:
    many = 9_000
    body = bytearray(word_list._varint(many + 1) + b"\x00")
    word_list._put(body, b"wpain", b"\x00\x00" + b"\x01\x00" * many)
    with pytest.raises(IntegrityError, match="nothing of a term"):
        opened(_sealed(bytes(body)))


def test_what_is_looked_for_in_a_list_is_no_more_than_it_has() -> None:
    words = opened(word_list.seal(packed([RecordWords({"pain": [0], "chest": [1]})]), KEY))
    assert words.among([f"word{number}" for number in range(500)] + ["pain"]) == ["pain"]
    assert words.among(["absent"]) == ["absent"]


def test_what_would_swell_is_not_unpacked() -> None:
    with pytest.raises(IntegrityError, match="would take"):
        opened(_sealed(b"\x01\x00", size=word_list.MAX_BYTES + 1))


def test_places_of_contents_that_are_not_there_are_refused() -> None:
    with pytest.raises(IntegrityError, match="content 5"):
        opened(_sealed(b"\x01\x00" + b"\x05wpain" + b"\x04\x05\x01\x00\x00"))


@pytest.mark.parametrize("said", [b"NaN ", b"sNaN mg", b"Infinity ", b"1_0 ", b"1e999 ", b" mg", b"1 " + b"m" * 41])
def test_numbers_that_are_none_are_refused(said: bytes) -> None:
    term = b"\x00\x01\x00" + bytes([len(said)]) + said
    with pytest.raises(IntegrityError, match="number"):
        opened(_sealed(b"\x01\x00" + b"\x02#1" + bytes([len(term)]) + term))


def test_random_bytes_end_in_answers_or_errors_of_ours() -> None:
    source = random.Random(60)
    for _ in range(2000):
        body, kind = source.randbytes(source.randrange(40)), source.choice(b"w#dl").to_bytes()
        try:
            words = WordList(b"\x05\x00" + b"\x05" + kind + b"pain" + bytes([len(body)]) + body)
        except PanaChainError:
            continue
        # What was opened answers all that is asked.
        words.places("pain")
        words.called("pain")
        words.values("pain")
        words.languages()
        words.without({0}, KEY)


def _terms(*terms: tuple[bytes, bytes]) -> bytes:
    body = bytearray(b"\x01\x00")
    for name, said in terms:
        word_list._put(body, name, said)
    return bytes(body)


def _large(kind: str) -> bytes:
    """Return a list that small tricks make large: nothing of it swells before it is refused."""
    many = word_list.MOST_OCCURRENCES + 1
    places = word_list._varint(many)
    if kind == "terms":
        return _terms(*((b"w%07d" % number, b"\x00\x01\x00\x00") for number in range(word_list.MOST_TERMS + 1)))
    if kind == "places":
        return _terms((b"wpain", b"\x00" + places + b"\x02\x00" * many))
    if kind == "positions":
        return _terms((b"wpain", b"\x00\x01\x01" + places + b"\x01" * many))
    if kind == "said positions":
        return _terms((b"wpain", b"\x00\x01\x01" + word_list._varint(1 << 60)))
    if kind == "numbers":
        return _terms((b"#1", b"\x00" + places + b"\x00\x021 " * many))
    return _terms((b"dpain", b"\x00\x00" * many))


@pytest.mark.parametrize("kind", ["terms", "places", "positions", "said positions", "numbers", "codes"])
def test_a_hospitals_list_that_would_swell_is_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A hundredth of the limits, so that the test is quick; the body is as small as its kind allows.
    monkeypatch.setattr(word_list, "MOST_TERMS", word_list.MOST_TERMS // 100)
    monkeypatch.setattr(word_list, "MOST_OCCURRENCES", word_list.MOST_OCCURRENCES // 100)
    body = _large(kind)
    assert len(body) < word_list.MAX_BYTES // 100
    with pytest.raises(IntegrityError, match=r"more than|places of one word"):
        opened(_sealed(body))


def test_a_list_is_held_in_little_more_than_its_own_bytes() -> None:
    body = _terms(*((b"w%05d" % number, b"\x00\x01\x00\x00") for number in range(10_000)))
    words = WordList(body)
    assert words.memory == len(body) + 4 * 10_000


def test_what_no_reader_takes_is_never_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    one = packed([RecordWords(places={f"word{number}": [number] for number in range(50)})])
    assert opened(word_list.seal(one, KEY)).terms == 50
    with monkeypatch.context() as patched:
        patched.setattr(word_list, "MAX_BYTES", 300)
        with pytest.raises(TooLargeError):
            word_list.seal(one, KEY)
    monkeypatch.setattr(word_list, "MOST_TERMS", 49)
    with pytest.raises(IntegrityError, match="49"):
        word_list.seal(one, KEY)
