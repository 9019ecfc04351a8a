"""Lexicons: the forms of a word are found in each language that counts, and nothing else is."""

from __future__ import annotations

import sys
from contextlib import suppress
from itertools import product

import pytest
import Stemmer
from hypothesis import given, settings
from hypothesis import strategies as st

from panachain.errors import IntegrityError, TooLargeError, UsageError
from panachain.records import lexicon as lexicons
from panachain.records import word_list
from panachain.records.lexicon import ENOUGH, LANGUAGES, MOST_LANGUAGES, Lexicon, tags_of
from panachain.records.record_words import RecordWords
from panachain.records.search import MOST_BEGINNINGS, Query
from panachain.records.word_list import WordList
from panachain.records.words import forms_of

GERMAN = "Die Tabletten wurde nicht genommen und eine Untersuchung wird durch den Arzt ohne Befund"
GREEK = "\u03c7\u03ac\u03c0\u03b9"


def listed(*texts: str, languages: tuple[str, ...] = ()) -> WordList:
    """Return a list of contents that have one text each."""
    contents: list[bytes | None] = []
    for text in texts:
        places: dict[str, list[int]] = {}
        for at, word in enumerate(forms_of(text)):
            places.setdefault(word, []).append(at)
        contents.append(word_list.packed(RecordWords(places, languages=set(languages))))
    return WordList(word_list.body_of(contents))


def lexicon(*texts: str, languages: tuple[str, ...] = ()) -> Lexicon:
    found = Lexicon()
    found.add(listed(*texts, languages=languages))
    return found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("glucose", "glucoses"),
        ("tablet", "tablets"),
        ("allergy", "allergies"),
        ("\u0442\u0430\u0431\u043b\u0435\u0442\u043a\u0430", "\u0442\u0430\u0431\u043b\u0435\u0442\u043a\u0438"),
        (GREEK, GREEK + "\u03b1"),
    ],
)
def test_forms_of_one_word_are_found_by_each(one: str, other: str) -> None:
    (first,), (second,) = forms_of(one), forms_of(other)
    found = lexicon(one, other)
    assert found.forms(first) == found.forms(second) == sorted({first, second})


@pytest.mark.parametrize(("one", "other"), [("liver", "live"), ("120s", "120"), ("as", "a"), ("insulin", "inulin")])
def test_other_words_are_not(one: str, other: str) -> None:
    assert other not in lexicon(one, other).forms(one)


@pytest.mark.parametrize(
    ("tag", "one", "other"),
    [
        ("de", "Tablette", "Tabletten"),
        ("de", "Arzt", "\u00c4rzte"),
        ("de", "Entz\u00fcndung", "Entz\u00fcndungen"),
        ("fr", "m\u00e9dical", "m\u00e9dicaux"),
        ("es", "infecci\u00f3n", "infecciones"),
        ("it", "esame", "esami"),
        ("nl", "ziekte", "ziekten"),
        ("sv", "sjukdom", "sjukdomar"),
        ("da", "sygdom", "sygdomme"),
        ("pt", "dor", "dores"),
        ("pl", "tabletka", "tabletki"),
        ("cs", "tableta", "tablety"),
        ("tr", "tablet", "tabletler"),
        ("hu", "tabletta", "tabletta"),
        ("fi", "tabletti", "tabletit"),
        ("no", "tablett", "tabletter"),
        ("ro", "tableta", "tablete"),
        ("ca", "malaltia", "malalties"),
    ],
)
def test_plurals_are_found_where_records_name_their_language_or_a_reader_does(tag: str, one: str, other: str) -> None:
    (first,), (second,) = forms_of(one), forms_of(other)
    assert second in lexicon(one, other, languages=(tag,)).forms(first)
    assert second in lexicon(one, other).naming({tag}).forms(first)


def test_a_language_shows_in_its_common_words() -> None:
    assert lexicon("Tablette Tabletten").languages == ("en",)
    found = lexicon(GERMAN, "Tablette")
    assert found.languages == ("en", "de")
    assert found.forms("tablette") == ["tablette", "tabletten"]
    # English medicine shows no other language.
    text = "The patient was seen by Dr. van der Berg in Los Angeles; con leche, per os, pro re nata, status post"
    assert lexicon(text).languages == ("en",)


def test_common_words_are_words_as_lists_have_them_and_no_more_than_two_of_any_language_are_english() -> None:
    for tag, (algorithm, common) in LANGUAGES.items():
        words = common.split()
        assert forms_of(common) == words == list(dict.fromkeys(words)), tag
        assert not words or len(words) >= 2 * ENOUGH - 2, tag
        assert algorithm in Stemmer.algorithms()


def test_a_hostile_list_makes_only_a_few_languages_count() -> None:
    everything = " ".join(common for _, common in LANGUAGES.values())
    assert len(lexicon(everything, languages=tuple(LANGUAGES)).languages) == 1 + MOST_LANGUAGES
    assert lexicon("word", languages=("xx", "zh")).languages == ("en",)


def test_too_many_different_words_are_refused_and_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicons, "MOST_WORDS", 3)
    found = lexicon("glucose", "pain 1 2 3 4 5 6 ab")
    with pytest.raises(IntegrityError, match="3 different words"):
        found.add(listed("chest tablets"))
    assert found.forms("tablet") == ["tablet"]
    found.add(listed("glucoses"))
    assert found.forms("glucose") == ["glucose", "glucoses"]


def test_a_word_with_more_forms_than_any_language_has_is_refused_and_other_words_are_found() -> None:
    # One stem in as many forms as somebody wants: the vowel marks of Arabic, behind each letter one or none.
    marks = ["", *map(chr, range(0x64B, 0x653))]
    marked = ["\u0643" + one + "\u062a" + two + "\u0628" + three for one, two, three in product(marks, repeat=3)]
    found = lexicon(" ".join(marked), "glucose glucoses")
    with pytest.raises(TooLargeError, match="729 forms of"):
        found.forms("\u0643\u062a\u0628")
    assert found.forms("glucose") == ["glucose", "glucoses"]


def test_the_limit_of_a_beginning_holds_for_the_forms_of_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = listed("glucose pains")
    found = Lexicon()
    found.add(mine)
    found.add(listed("pain pained paining"))
    assert found.all_forms(["pains"], MOST_BEGINNINGS) == {"pain", "pains", "pained", "paining"}
    monkeypatch.setattr("panachain.records.search.MOST_BEGINNINGS", 3)
    with pytest.raises(TooLargeError, match="4 words begin with pai"):
        Query.parse(["pai*"]).find(mine, found)
    monkeypatch.setattr("panachain.records.search.MOST_BEGINNINGS", 2000)
    monkeypatch.setattr(lexicons, "MOST_FORMS", 3)
    with pytest.raises(TooLargeError, match="4 forms of"):
        Query.parse(["pai*"]).find(mine, found)


def test_forms_are_found_once_for_all_lists_of_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    found, query, asked = lexicon("pain pains"), Query.parse(["pains", "pain>1"]), []
    stems = lexicons._stems
    mine = found.naming(())
    query.learn(mine)
    monkeypatch.setattr(lexicons, "_stems", lambda *given: asked.append(given) or stems(*given))
    for _ in range(3):
        query.find(listed("pain"), mine)
    assert asked == []
    # Another query's lexicon finds them anew: its reader may name other languages.
    query.find(listed("pain"), found.naming({"de"}))
    assert asked


@pytest.mark.parametrize(
    ("first", "letters"),
    [(0x61, 26), (0x430, 26), (0x3B3, 15), (0x915, 35), (0x5D0, 27), (0x10330, 16)],
    ids=["latin", "cyrillic", "greek", "devanagari", "hebrew", "gothic"],
)
@pytest.mark.parametrize("length", [3, 12, 64])
@pytest.mark.parametrize("named", [(), tuple(LANGUAGES)])
def test_what_it_takes_is_never_more_than_it_says(
    first: int, letters: int, length: int, named: tuple[str, ...]
) -> None:
    """Whatever the script: Python takes up to four bytes for each letter."""
    words = {
        "".join(chr(first + (number * (place + 3) + place) % letters) for place in range(length))
        for number in range(700)
    }
    found = lexicon(*words, languages=("de", "fr"))
    reader = found.naming(named)
    for one in sorted(words)[:50]:
        # Made-up words may have more forms than any language.
        with suppress(TooLargeError):
            reader.forms(one)
    seen: dict[int, int] = {}
    for word in found._words:
        seen[id(word)] = sys.getsizeof(word)
    for by_stem in found._forms.values():
        seen[id(by_stem)] = sys.getsizeof(by_stem)
        for stem, alike in by_stem.items():
            seen[id(stem)], seen[id(alike)] = sys.getsizeof(stem), sys.getsizeof(alike)
    true = sum(seen.values()) + sys.getsizeof(found._words)
    assert true <= found.memory
    # Nor is it so much more that what is kept would be let go for nothing.
    assert found.memory <= 6 * true


def test_languages_without_forms_take_no_room() -> None:
    found = lexicon("word", languages=("de", "xx", "xyz"))
    assert dict(found._said) == {"de": 1}


@pytest.mark.parametrize(
    ("given", "tags"), [("de", {"de"}), (["de-AT", "FR", "pt_BR"], {"de", "fr", "pt"}), ((), set())]
)
def test_readers_name_languages_by_tags(given: str | list[str], tags: set[str]) -> None:
    assert tags_of(given) == tags


@pytest.mark.parametrize("given", ["xx", ["de", "klingon"], ""])
def test_a_language_that_is_none_is_refused(given: str | list[str]) -> None:
    with pytest.raises(UsageError):
        tags_of(given)


ROOTS = ["tablette", "untersuchung", "douleur", "infeccion", "pain", "liver", "live", "esame", "arzt", "glucose"]
ENDINGS = ["", "n", "en", "s", "es", "e", "i", "ed", "ing"]
words = st.builds(str.__add__, st.sampled_from(ROOTS), st.sampled_from(ENDINGS))


@settings(max_examples=100, deadline=None)
@given(st.lists(words, min_size=1, max_size=12), words, st.sets(st.sampled_from(sorted(LANGUAGES)), max_size=4))
def test_what_a_search_finds_is_what_any_language_shortens_alike(said: list[str], typed: str, named: set[str]) -> None:
    """Complete and exact against a plain model: every word, each of its languages' stemmers, no index."""
    algorithms = [LANGUAGES[tag][0] for tag in {"en", *named}]

    def alike(one: str) -> bool:
        return any(len(set(Stemmer.Stemmer(name, 0).stemWords([one, typed]))) == 1 for name in algorithms)

    mine = listed(*said)
    found = Lexicon()
    found.add(mine)
    answered = Query.parse([typed]).find(mine, found.naming(named))
    assert answered.keys() == {(index, 0) for index, one in enumerate(said) if alike(one)}
