"""Searching: what is typed becomes what is looked for, and finds what a plain model finds."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import Stemmer
from hypothesis import given, settings
from hypothesis import strategies as st

from panachain.crypto.commit import EnvelopeKey
from panachain.errors import TooLargeError, UsageError
from panachain.model.records import PlainRecord
from panachain.model.scope import Category
from panachain.records import word_list
from panachain.records.findings import LEFT_OUT
from panachain.records.record_words import words_of
from panachain.records.search import Beginning, Compared, Phrase, Query
from panachain.records.split import MEDIA_TYPE
from panachain.records.versions import bundle_of
from panachain.records.word_list import WordList
from panachain.records.words import forms_of
from tests.unit.storage.memory_store import MemoryStore

KEY = EnvelopeKey(bytes(32))


def listed(*bundles: list[dict[str, Any]]) -> WordList:
    """Return the list of words of Bundles of these resources."""
    found: list[bytes | None] = []
    for resources in bundles:
        held = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in resources]}
        content = json.dumps(held, separators=(",", ":"), ensure_ascii=False).encode()
        record = PlainRecord(Category.LABORATORY, 2024, MEDIA_TYPE, content, source=bytes(32))
        words = words_of(record, bundle_of(content))
        assert words is not None
        found.append(word_list.packed(words))
    store = MemoryStore()
    return word_list.open_(store, store.add_file(word_list.seal(found, KEY)), KEY)


def note(*texts: str) -> dict[str, Any]:
    return {"resourceType": "Observation", "note": [{"text": text} for text in texts]}


def entries(words: WordList, *typed: str) -> set[tuple[int, int]]:
    return set(Query.parse(typed).find(words))


class TestParsing:
    @pytest.mark.parametrize(
        ("typed", "clause"),
        [
            ("Glucose", Phrase(("glucose",))),
            ('"chest pain"', Phrase(("chest", "pain"))),
            ("chest pain", Phrase(("chest", "pain"))),
            ("2345-7", Phrase(("2345", "7"))),
            ("LN|2345-7", Phrase(("loinc", "2345", "7"))),
            ("http://loinc.org|2345-7", Phrase(("loinc", "2345", "7"))),
            ("Gluc*", Beginning("gluc")),
            ("glucose>126", Compared(("glucose",), ">", Decimal(126), "")),
            ("glucose <= 7,0 mmol/L", Compared(("glucose",), "<=", Decimal("7.0"), "mmol/l")),
            ("2345-7=-1.5", Compared(("2345", "7"), "=", Decimal("-1.5"), "")),
        ],
    )
    def test_each_form_is_read_as_what_it_is(self, typed: str, clause: object) -> None:
        assert Query.parse([typed]).clauses == (clause,)

    def test_a_line_is_parted_at_blanks_outside_of_quotation_marks(self) -> None:
        assert len(Query.of_line('metformin "chest pain" gluc* glucose>126').clauses) == 4

    @pytest.mark.parametrize("typed", ["gl*", "a b*", "***", "|", '""', "--", "> 5"])
    def test_what_says_nothing_is_refused(self, typed: str) -> None:
        with pytest.raises(UsageError):
            Query.parse([typed])


class TestFinding:
    def test_a_phrase_does_not_go_from_one_text_into_the_next(self) -> None:
        words = listed([note("severe chest", "pain at night"), note("severe chest pain")])
        assert entries(words, "chest pain") == {(0, 1)}
        assert entries(words, "chest", "pain") == {(0, 0), (0, 1)}

    def test_all_words_must_be_in_one_entry(self) -> None:
        words = listed([note("chest"), note("pain")], [note("pain in the chest")])
        assert entries(words, "chest", "pain") == {(1, 0)}

    def test_a_number_is_compared_as_it_is_written(self) -> None:
        def measured(value: Any, unit: str = "mg/dL") -> dict[str, Any]:
            coding = [{"system": "http://loinc.org", "code": "2345-7", "display": "Glucose in Serum"}]
            return {"code": {"coding": coding}, "valueQuantity": {"value": value, "unit": unit}}

        words = listed([measured(126), measured(126.5), measured(7, "mmol/L"), measured(-1)])
        assert entries(words, "glucose>126") == {(0, 1)}
        assert entries(words, "glucose serum>=126") == {(0, 0), (0, 1)}
        assert entries(words, "glucose<10mmol/L") == {(0, 2)}
        assert entries(words, "2345-7=-1") == {(0, 3)}
        assert entries(words, "potassium>0") == set()
        assert [value.number for value in Query.parse(["glucose=126.5"]).find(words)[0, 1]] == ["126.5"]

    def test_too_many_words_of_one_list_are_an_error_that_is_left_out(self) -> None:
        words = listed([note(" ".join(f"dia{number}" for number in range(2001)))])
        with pytest.raises(TooLargeError, match="2,001 words"):
            Query.parse(["dia*"]).find(words)
        assert TooLargeError in LEFT_OUT
        assert entries(words, "dia20*") == {(0, 0)}

    def test_a_component_is_found_by_its_own_code(self) -> None:
        pressure = {
            "code": {"text": "Blood pressure"},
            "component": [
                {"code": {"text": "Systolic"}, "valueQuantity": {"value": 150}},
                {"code": {"text": "Diastolic"}, "valueQuantity": {"value": 90}},
            ],
        }
        words = listed([pressure])
        assert entries(words, "systolic>140") == {(0, 0)}
        assert entries(words, "diastolic>140") == set()


vocabulary = st.sampled_from(["pain", "Chest", "tablets", "tablet", "7.2", "Straße", "血糖", "x-ray"])
texts = st.lists(vocabulary, min_size=1, max_size=5).map(" ".join)
bundles = st.lists(st.lists(st.lists(texts, min_size=1, max_size=3), min_size=1, max_size=3), min_size=1, max_size=3)


@settings(max_examples=80, deadline=None)
@given(bundles, st.lists(texts, min_size=1, max_size=3))
def test_finds_what_a_plain_model_finds(said: list[list[list[str]]], typed: list[str]) -> None:
    words = listed(*([note(*entry) for entry in bundle] for bundle in said))

    stemmer = Stemmer.Stemmer("english", 0)

    def stems(text: str) -> list[str]:
        return [stemmer.stemWord(one) if len(one) > 2 and one.isalpha() else one for one in forms_of(text)]

    def has(entry: list[str], phrase: str) -> bool:
        wanted = stems(phrase)
        return any(stems(text)[at : at + len(wanted)] == wanted for text in entry for at in range(len(stems(text))))

    model = {
        (index, place)
        for index, bundle in enumerate(said)
        for place, entry in enumerate(bundle)
        if all(has(entry, phrase) for phrase in typed)
    }
    assert entries(words, *typed) == model


VECTOR = json.loads((Path(__file__).parents[2] / "vectors/search/list.json").read_text(encoding="utf-8"))


def test_the_vectors_list_opens_and_answers() -> None:
    """What is published is found for ever, whatever becomes of stemmers."""
    key = EnvelopeKey(bytes.fromhex(VECTOR["envelope_key"]))
    assert key.words_key().hex() == VECTOR["words_key"]
    store = MemoryStore()
    words = word_list.open_(store, store.add_file([bytes.fromhex(VECTOR["list"])]), key)
    assert (words.contents, words.mute) == (3, {2})
    for query in VECTOR["queries"]:
        assert sorted(map(list, Query.parse([query["typed"]]).find(words))) == query["entries"], query["typed"]


def test_the_vectors_contents_have_its_words() -> None:
    contents = []
    for content in VECTOR["contents"]:
        words = None
        if content is not None:
            record = PlainRecord(Category.LABORATORY, 2024, MEDIA_TYPE, content.encode(), source=bytes(32))
            words = words_of(record, bundle_of(content.encode()))
            assert words is not None
        contents.append(None if words is None else word_list.packed(words))
    assert word_list.body_of(contents).hex() == VECTOR["body"]
    assert word_list.WordList(bytes.fromhex(VECTOR["body"])).split() == [one or b"" for one in contents]
