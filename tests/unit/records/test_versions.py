"""Versions: which resource an entry holds, what its fingerprint tells, and which of several is the newest."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panachain.errors import InputError
from panachain.records import versions
from panachain.records.sources import read_bytes
from panachain.records.split import MEDIA_TYPE
from panachain.records.versions import (
    DELETED,
    ERROR,
    Stamp,
    Version,
    bundle_of,
    instant,
    newest,
    rank,
    same_server,
    shell_print,
    version_of,
)


def observation(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": "k", "status": "final", "code": {"text": "Potassium"}} | more


def entry(resource: dict[str, Any] | None = None, **more: Any) -> bytes:
    return json.dumps(({"resource": resource} if resource else {}) | more).encode()


def print_of(resource: dict[str, Any]) -> bytes:
    return version_of(entry(resource)).print


class TestNames:
    @pytest.mark.parametrize(
        ("more", "name", "base"),
        [
            ({}, "Observation/k", ""),
            ({"fullUrl": "https://h.example/fhir/Observation/k"}, "Observation/k", "https://h.example/fhir"),
            ({"fullUrl": "https://h.example/Observation/k/_history/2"}, "Observation/k", "https://h.example"),
            ({"fullUrl": "https://h.example/Observation/another"}, "Observation/k", ""),
            ({"fullUrl": "urn:uuid:7d0aab0c-0000-4000-8000-000000000001"}, "Observation/k", ""),
        ],
    )
    def test_type_and_id_name_a_resource_and_its_address_the_server(
        self, more: dict[str, str], name: str, base: str
    ) -> None:
        found = version_of(entry(observation(), **more))
        assert (found.name, found.base) == (name, base)

    def test_a_urn_names_what_has_no_id(self) -> None:
        bare = {"resourceType": "Observation"}
        urn = "urn:uuid:7d0aab0c-0000-4000-8000-000000000001"
        assert version_of(entry(bare, fullUrl=urn)).name == urn
        assert (
            version_of(entry(bare)) == version_of(entry(bare, fullUrl="https://h.example/Observation/9")) == Version("")
        )

    @pytest.mark.parametrize("wrong", ["", "a b", "k\n", "k\tv", "ü", "x" * 65, 7, None])
    def test_what_is_no_id_names_nothing(self, wrong: object) -> None:
        assert version_of(entry(observation(id=wrong))).name == ""

    def test_versions_and_times_come_from_the_resource_or_from_the_answer_of_its_server(self) -> None:
        meta = {"versionId": "3", "lastUpdated": "2024-05-06T10:00:00Z"}
        answer = {"etag": 'W/"2"', "lastModified": "2024-05-05T10:00:00Z"}
        both = version_of(entry(observation(meta=meta), response=answer))
        assert (both.number, both.updated) == ("3", "2024-05-06T10:00:00Z")
        only = version_of(entry(observation(), response=answer))
        assert (only.number, only.updated) == ("2", "2024-05-05T10:00:00Z")
        wrong = version_of(entry(observation(meta={"versionId": "1\t2", "lastUpdated": "yesterday"})))
        assert (wrong.number, wrong.updated) == ("", "")

    def test_two_servers_of_a_hospital_may_use_one_id(self) -> None:
        assert same_server(["", "a", ""], "a") == [0, 1, 2]
        assert same_server(["", "a", "b"], "a") == [1]
        assert same_server(["a", "b"], "") == []
        assert same_server(["a"], "") == [0]


class TestStates:
    @pytest.mark.parametrize(
        "more",
        [
            {"status": ERROR},
            {"docStatus": ERROR},
            {"verificationStatus": ERROR},
            {"verificationStatus": {"coding": [{"code": "confirmed"}, {"code": ERROR}]}},
        ],
    )
    def test_what_was_entered_in_error_says_so(self, more: dict[str, Any]) -> None:
        assert version_of(entry(observation(**more))).state == ERROR

    @pytest.mark.parametrize(
        "more", [{}, {"status": "final"}, {"verificationStatus": {"coding": [7, {"code": "refuted"}]}}]
    )
    def test_whatever_else_it_says_it_stands(self, more: dict[str, Any]) -> None:
        assert version_of(entry(observation(**more))).state == ""

    def test_a_deletion_names_what_is_gone(self) -> None:
        found = version_of(entry(request={"method": "DELETE", "url": "Observation/k"}, response={"etag": 'W/"4"'}))
        assert (found.name, found.state, found.number) == ("Observation/k", DELETED, "4")
        full = version_of(entry(fullUrl="https://h.example/Observation/k", request={"method": "delete", "url": "x"}))
        assert (full.name, full.base, full.state) == ("Observation/k", "https://h.example", DELETED)

    def test_a_deletion_by_search_names_nothing(self) -> None:
        assert version_of(entry(request={"method": "DELETE", "url": "Observation?code=x"})) == Version(
            "", state=DELETED
        )


class TestPrints:
    def test_only_version_and_time_make_no_other_content(self) -> None:
        first = observation(meta={"versionId": "1", "lastUpdated": "2024-05-06T10:00:00Z", "profile": ["p"]})
        second = observation(meta={"profile": ["p"], "lastUpdated": "2025-05-06T10:00:00Z"})
        assert print_of(first) == print_of(dict(reversed(list(second.items()))))
        assert print_of(observation()) == print_of(observation(meta={"versionId": "9"}))

    @pytest.mark.parametrize(
        "more", [{"valueString": "x"}, {"status": "amended"}, {"meta": {"security": [{"code": "R"}]}}, {"id": "l"}]
    )
    def test_anything_else_does(self, more: dict[str, Any]) -> None:
        assert print_of(observation()) != print_of(observation(**more))

    def test_a_decimal_counts_as_it_was_written(self) -> None:
        text = entry(observation(valueQuantity={"value": 1.5}))
        assert version_of(text).print != version_of(text.replace(b"1.5", b"1.50")).print

    def test_what_a_fast_reader_refuses_has_a_print_as_well(self) -> None:
        lone = entry(observation(valueString="x")).replace(b'"x"', rb'"\ud800"')
        assert version_of(lone).print == version_of(lone.replace(b": ", b":")).print

    def test_a_bundle_says_the_same_about_itself_whenever_it_is_exported(self) -> None:
        def shell(**more: Any) -> bytes:
            return shell_print(json.dumps({"resourceType": "Bundle", "type": "searchset"} | more).encode())

        stamped = {"id": "a", "timestamp": "2024", "total": 4, "link": [{"relation": "self", "url": "u"}]}
        assert shell() == shell(**stamped, meta={"lastUpdated": "2024-05-06T10:00:00Z"})
        assert shell() != shell(identifier={"value": "1"})


class TestBundles:
    @settings(max_examples=30)
    @given(st.lists(st.sampled_from([" ", "\n", "[", '"', "}", ",", "ü"]), max_size=4), st.integers(1, 4))
    def test_every_record_of_a_source_is_cut_and_put_together_again(self, texts: list[str], count: int) -> None:
        entries = [{"resource": observation(id=f"k{number}", valueString="".join(texts))} for number in range(count)]
        source = json.dumps({"resourceType": "Bundle", "type": "history", "entry": entries}, indent=2)
        for record in read_bytes(source.encode(), ".json"):
            assert record.media_type == MEDIA_TYPE
            assert isinstance(record.content, bytes)
            bundle = bundle_of(record.content)
            assert bundle is not None
            assert bundle.holding(range(count)) == record.content
            assert bundle.newest_first
            assert json.loads(bundle.holding([0]))["entry"] == entries[:1]

    def test_what_a_bundle_says_about_itself_has_no_entries(self) -> None:
        assert bundle_of(b'{"resourceType":"Bundle","type":"searchset","total":1}') is None

    @pytest.mark.parametrize(
        "text",
        [
            b'{"entry":[{}],"type":"x"}',
            b'{"entry":[{} ]}',
            b'{"entry":[{}] }',
            b'{"entry":[7]}',
            b"{",
        ],
    )
    def test_what_no_hospital_of_ours_writes_is_refused(self, text: bytes) -> None:
        with pytest.raises(InputError):
            bundle_of(text)


class TestNewest:
    def test_numbers_count_before_times_and_times_before_order(self) -> None:
        assert newest([(2, 1.0, (0,)), (10, 0.0, (1,)), (9, 9.0, (2,))]) == 1
        assert newest([(2, 5.0, (0,)), (None, 1.0, (1,))]) == 0
        assert newest([(2, None, (0,)), (None, 1.0, (1,))]) == 1
        assert newest([(1, 1.0, (0,)), (1, 1.0, (1,))]) == 1

    @given(
        st.lists(
            st.tuples(st.none() | st.integers(0, 3), st.none() | st.sampled_from([0.0, 1.0, 2.0])),
            min_size=1,
            max_size=4,
        )
    )
    def test_it_is_one_and_the_same_in_whatever_order_they_are_found(
        self, versions: list[tuple[int | None, float | None]]
    ) -> None:
        stamps: list[Stamp] = [(*version, (place,)) for place, version in enumerate(versions)]
        assert len({order[newest(order)] for order in itertools.permutations(stamps)}) == 1

    def test_only_numbers_and_instants_count(self) -> None:
        assert (rank("12"), rank("v12"), rank(""), rank("9" * 19)) == (12, None, None, None)
        assert instant("2024-05-06T10:00:00+02:00") == instant("2024-05-06T08:00:00Z")
        assert (instant(""), instant("2024-13-06T10:00:00Z")) == (None, None)


_HEADS = st.sampled_from(
    [
        b'{"resourceType":"Bundle","type":"collection","entry":[',
        b'{"resourceType":"Bundle","type":"history","entry":[',
        b'{"resourceType":"Bundle","type":"history", "entry":[',
        b'{"type":"batch","entry":[',
    ]
)
_DEEP = b"[" * 209 + b"]" * 209
_ENTRIES = st.sampled_from(
    [
        *(entry(observation()), entry(request={"method": "DELETE", "url": "Observation/k"}), b"{}", b"[]", b"7", b""),
        *(b'{"a":1}', b' {"a":1}', b'{"a":1} ', b'{"a":01}', b'{"a":1', b'"\xff"', b'{"resource":%b}' % _DEEP),
    ]
)


@settings(max_examples=150, deadline=None)
@given(_HEADS, st.lists(_ENTRIES, max_size=3), st.sampled_from([b"]}", b"] }", b"]", b"]}}", b'],"id":"x"}', b"]} "]))
def test_entries_that_are_read_at_once_are_those_that_are_cut_one_by_one(
    head: bytes, entries: list[bytes], end: bytes
) -> None:
    content = head + b",".join(entries) + end

    def cut() -> Any:
        try:
            return bundle_of(content)
        except InputError as exc:
            return str(exc)

    at_once = cut()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(versions, "_own_bundle", lambda _: None)
        assert cut() == at_once
