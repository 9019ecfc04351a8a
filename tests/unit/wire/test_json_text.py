"""JSON of others: bounded in levels and values, and refused where two parsers would differ."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.errors import IntegrityError
from panachain.wire import json_text
from panachain.wire.json_text import MAX_DEPTH, MAX_VALUES, read_json


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_reads_what_was_written(value: object) -> None:
    assert read_json(json.dumps(value).encode(), depth=100) == value


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_levels_are_counted_and_not_brackets(opening: str) -> None:
    closing = "]" if opening == "[" else "}"

    def nested(levels: int) -> bytes:
        return (opening * (levels - 1) + ("[]" if opening == "[" else "{}") + closing * (levels - 1)).encode()

    read_json(nested(MAX_DEPTH))
    with pytest.raises(ValueError, match="levels"):
        read_json(nested(MAX_DEPTH + 1))
    with pytest.raises(ValueError, match=r"no JSON|levels"):
        read_json(nested(1_000))
    assert len(read_json(b"[" + b",".join([b"[]"] * 1000) + b"]")) == 1000


def test_depth_is_bounded_also_where_somebody_raised_the_limit_of_recursion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text.sys, "getrecursionlimit", lambda: 1 << 20)
    flat = b"[" + b",".join([b'{"a":"]]"}'] * 20_000) + b"]"
    assert len(read_json(flat)) == 20_000
    with pytest.raises(ValueError, match="levels"):
        read_json(b'["' + b"]" * 30_000 + b'",' + b"[" * 30_000 + b"]" * 30_000 + b"]")


def test_brackets_in_strings_are_no_levels() -> None:
    assert read_json(json.dumps(["[" * 1000]).encode()) == ["[" * 1000]


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff", b'{"a":1,"a":2}', b'[{"a":{"b":1,"b":1}}]', b"NaN", b"[-Infinity]", b"1e400", b"9" * 5000],
)
def test_what_others_would_read_otherwise_is_refused_without_quoting_it(text: bytes) -> None:
    with pytest.raises(ValueError, match="no JSON") as caught:
        read_json(text)
    assert caught.value.__cause__ is None


def test_many_values_are_refused_before_they_are_read() -> None:
    with pytest.raises(IntegrityError, match=str(MAX_VALUES)):
        read_json(b"[" + b"[]," * MAX_VALUES + b"[]]")
