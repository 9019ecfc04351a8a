"""Word lists: what was put in comes out, nothing else opens, and what left an envelope leaves no word in it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panachain.crypto import labels, padding, stream
from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.compress import compress
from panachain.errors import IntegrityError, PanaChainError
from panachain.records import word_list
from panachain.records.record_words import RecordWords, Value
from panachain.records.word_list import WordList
from panachain.records.words import stem
from tests.unit.storage.memory_store import MemoryStore

KEY = EnvelopeKey(bytes(range(32)))

positions = st.lists(st.integers(0, 5000), min_size=1, max_size=6, unique=True).map(sorted)
places = st.dictionaries(st.integers(0, 300), positions, min_size=1, max_size=5).map(lambda one: sorted(one.items()))
vocabulary = st.sampled_from(["glucose", "pain", "chest", "血", "tablets", "мочевина", "a", "7"])
record = st.builds(
    lambda said, values: RecordWords(
        places={stem(word): where for word, where in said.items()},
        forms={word for word in said if len(word) > 2},
        values={"2345-7": values} if values else {},
        called={"glucos": {"2345-7"}} if values else {},
    ),
    st.dictionaries(vocabulary, places, max_size=5),
    st.lists(
        st.builds(Value, st.integers(0, 300), st.sampled_from(["1", "-2.5", "1e3"]), st.sampled_from(["", "mg/dL"])),
        max_size=3,
    ),
)


def opened(segments: list[bytes], key: EnvelopeKey = KEY) -> WordList:
    store = MemoryStore()
    return word_list.open_(store, store.add_file(segments), key)


def packed(records: list[RecordWords | None]) -> list[bytes | None]:
    return [None if one is None else word_list.packed(one) for one in records]


def check(words: WordList, records: list[RecordWords | None]) -> None:
    """Compare a list with a plain model of what it holds."""
    stems = {one for each in records if each for one in each.places}
    for one in stems | {"absent"}:
        model = {index: dict(each.places[one]) for index, each in enumerate(records) if each and one in each.places}
        assert words.places(one) == model
    forms = {one for each in records if each for one in each.forms}
    assert words.beginning("") == sorted(forms, key=str.encode) or not forms
    values = {index: each.values["2345-7"] for index, each in enumerate(records) if each and each.values}
    assert words.values("2345-7") == values
    assert words.called("glucos") == ({"2345-7"} if values else set())
    assert words.mute == {index for index, each in enumerate(records) if each is None}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | record, min_size=1, max_size=6))
def test_holds_what_a_plain_model_holds(records: list[RecordWords | None]) -> None:
    check(opened(word_list.seal(packed(records), KEY)), records)


@settings(max_examples=60, deadline=None)
@given(st.lists(record, min_size=1, max_size=6), st.sets(st.integers(0, 5)))
def test_what_left_leaves_no_word(records: list[RecordWords], gone: set[int]) -> None:
    gone = {index for index in gone if index < len(records)}
    without = opened(word_list.seal(packed(list(records)), KEY)).without(gone, KEY)
    check(opened(without), [None if index in gone else one for index, one in enumerate(records)])


def test_the_same_words_are_never_sealed_alike() -> None:
    one = packed([RecordWords(places={"pain": [(0, [0])]})])
    assert word_list.seal(one, KEY) != word_list.seal(one, KEY)


def test_another_key_and_a_changed_byte_open_nothing() -> None:
    (segment,) = word_list.seal(packed([RecordWords(places={"pain": [(0, [0])]})]), KEY)
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
        b"\x01\x00\x00\x05wpain\x7f",
        bytes([0xFF, 0xFF, 0x7F, 0, 0]),
    ],
)
def test_a_hospitals_nonsense_is_an_error(body: bytes) -> None:
    with pytest.raises(IntegrityError):
        opened(_sealed(body))


def test_what_would_swell_is_not_unpacked() -> None:
    with pytest.raises(IntegrityError, match="would take"):
        opened(_sealed(b"\x01\x00\x00", size=word_list.MAX_BYTES + 1))


def test_places_of_contents_that_are_not_there_are_refused() -> None:
    words = opened(_sealed(b"\x01\x00\x00" + b"\x05wpain" + b"\x04\x05\x01\x00\x00"))
    with pytest.raises(IntegrityError, match="content 5"):
        words.places("pain")


@pytest.mark.parametrize("said", [b"NaN ", b"sNaN mg", b"Infinity ", b"1_0 ", b"1e999 ", b" mg", b"1 " + b"m" * 41])
def test_numbers_that_are_none_are_refused(said: bytes) -> None:
    term = b"\x00\x01\x00" + bytes([len(said)]) + said
    words = opened(_sealed(b"\x01\x00\x00" + b"\x02#1" + bytes([len(term)]) + term))
    with pytest.raises(IntegrityError, match="number"):
        words.values("1")


def test_random_bytes_end_in_answers_or_errors_of_ours() -> None:
    source = random.Random(60)
    for _ in range(2000):
        body = source.randbytes(source.randrange(40))
        try:
            words = WordList(b"\x05\x00\x00" + b"\x05wpain" + bytes([len(body)]) + body)
            words.places("pain")
            words.without({0}, KEY)
        except PanaChainError:
            continue
