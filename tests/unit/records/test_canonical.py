"""JSON: the fast reader refuses exactly what the strict one refuses, and texts are cut where their values end."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panachain.errors import InputError
from panachain.plain import json_line
from panachain.records import canonical as module
from panachain.records.canonical import (
    MAX_DEPTH,
    MAX_PIECE,
    MAX_VALUES,
    Cutter,
    canonical,
    check_values,
    indented,
    parse,
    read,
    resources,
)

REFUSED = [
    *(b"", b" ", b"{", b"}", b"[1,]", b'{"a":1,}', b"[1 2]", b'{"a"}', b"{1:2}", b"'a'", b"/**/1", b"1 x", b"truex"),
    *(b"NaN", b"Infinity", b"-Infinity", b"+1", b"01", b".5", b"1.", b"1e", b"-", b"0x10", b"1_0", b"9" * 5000),
    *(b'"\x00"', b'"\x1f"', b'"\t"', b'"\\a"', b'"\\u12G4"', b'"\\u0000"', b'"\\\\u0000"', b'{"\\u0000":1}', b'"a'),
    *(b'"\xff"', b'{"\xff":1}', b'"\xed\xa0\x80"', b'"\xc0\x80"', b"\xa01", b"\x0c1"),
    *(b'{"a":1,"a":2}', b'{"a":{"b":1,"b":":"}}', b'{"ab":1,"a\\u0062":2}', b'{"a":1,"a":2,"b":"\\u003a"}'),
    *(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), b"[" * 100_000, b'{"a":' * 100_000),
]
TAKEN = [
    *(b"0", b"-0", b"1e400", b"1E+5", b"1e-999", b"1.10", b"9" * 4000),
    *(b'"\\/"', b'"\x7f"', b'"\\ud800"', b"\xef\xbb\xbf1"),
    *(b' {"a" : [1 , {"b":null}]} ', b'{"a":":","\\u003a":":"}', b'"\\\\"', b'{"a\\"":1,"a":2}', '"\u00e9"'.encode()),
    b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
    b"[" + b",".join([b"[[[[]]]]"] * 300) + b"]",
]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:20]))
def test_both_readers_refuse(text: bytes) -> None:
    for reader in (parse, read):
        with pytest.raises(InputError):
            reader(text)


@pytest.mark.parametrize("text", TAKEN, ids=lambda text: repr(text[:20]))
def test_both_readers_take(text: bytes) -> None:
    parse(text)
    read(text)


TOKENS = st.sampled_from(
    [
        *b'"\\:,{}[]01-.e \n',
        *(rb'"a":1,', rb"\u003a", rb"\u003A", rb"\u0000", rb"\ud800", rb"\"", rb"\\", b'"a"', b'""'),
    ]
).map(lambda token: token if isinstance(token, bytes) else bytes([token]))
SEEDS = st.sampled_from(
    [
        b'{"a":1,"b":[1,2.50,"x\\n\\u00e9",null,true],"c":{"d":":"}}',
        b'{"a:b":"c:\\"d\\":","\\u003a":1,"e\\\\":"\\\\"}',
        b'[[],{},"",0,-0,1e400,"\\ud800"]',
    ]
)


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Return JSON that is whole or a little broken."""
    text = bytearray(draw(SEEDS))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        text[start : start + draw(st.integers(0, 3))] = draw(TOKENS | st.binary(max_size=2))
    return bytes(text)


def taken(reader: Any, text: bytes) -> bool:
    try:
        reader(text)
    except InputError:
        return False
    return True


@settings(max_examples=250)
@given(texts())
def test_the_fast_reader_refuses_exactly_what_the_strict_one_refuses(text: bytes) -> None:
    assert taken(read, text) == taken(parse, text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "},{", 'a\\"b', "\u00e9", "]"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=100)
@given(st.lists(values, max_size=30), values, st.sampled_from([None, 1, 2]), st.sampled_from([1, 7, 64, 1 << 20]))
def test_a_text_is_cut_where_its_values_end(entries: list[Any], other: Any, indent: int | None, window: int) -> None:
    whole = {"a": other, "entry": entries, "z": other}
    text = json.dumps(whole, indent=indent, ensure_ascii=False).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_WINDOW", window)
        cutter, found = Cutter(io.BytesIO(text)), {}
        for name in cutter.names():
            is_list = name == "entry"
            found[name] = [json.loads(bytes(i)) for i in cutter.items()] if is_list else json.loads(cutter.value())
        cutter.end()
    assert found == whole


@pytest.mark.parametrize(
    "text", [b'{"a":1', b'{"a":[1,2', b'{"a":[1 2]}', b'{"a" 1}', b'{"a":}', b"{,}", b'{"a":1}x', b'{"a":"']
)
def test_cutting_refuses_what_has_no_end_or_no_middle(text: bytes) -> None:
    def cut() -> None:
        cutter = Cutter(io.BytesIO(text))
        for _ in cutter.names():
            for _ in cutter.items() if cutter.peek() == b"[" else [cutter.value()]:
                pass
        cutter.end()

    with pytest.raises(InputError):
        cut()


class Endless(io.BytesIO):
    """A file whose one value never ends."""

    def __init__(self, start: bytes, more: bytes) -> None:
        super().__init__(start)
        self._more = more

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size) or self._more * ((size or 0) // len(self._more))


@pytest.mark.parametrize(
    ("start", "more"),
    [
        *((b'"', b"a"), (b"[", b"[],")),
        *(pytest.param(*one, marks=pytest.mark.deep) for one in ((b"[", b"1"), (b"1", b"1"), (b'["', b"["))),
    ],
)
def test_a_value_without_end_is_given_up(start: bytes, more: bytes) -> None:
    with pytest.raises(InputError, match=f"{MAX_PIECE} bytes|{MAX_VALUES} others"):
        Cutter(Endless(start, more)).value()


def test_texts_of_little_else_than_brackets_are_bounded() -> None:
    with pytest.raises(InputError, match=str(MAX_VALUES)):
        check_values(b"[" + b"[]," * MAX_VALUES + b"[]]")


def test_no_recursion_limit_is_needed_to_survive_depth() -> None:
    # Other packages raise Python's limit so far that a decoder in C would overrun its stack.
    code = """
import sys
from panachain.errors import InputError
from panachain.plain import json_line
from panachain.records.canonical import parse, read
from panachain.records.sources import read_bytes
sys.setrecursionlimit(10**6)
for text in (b"[" * 10**6, b'{"a":' * 10**6, b'{"resourceType":"Bundle","type":"batch","entry":[' + b"[" * 10**6):
    for reader in (parse, read, lambda text: list(read_bytes(text, ".json"))):
        try:
            reader(text)
        except InputError:
            continue
        sys.exit("accepted")
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == 0


def test_canonical_form_sorts_and_keeps_text() -> None:
    assert canonical(' {"b": 1.50, "a": ["é", 1e3]} '.encode()) == '{"a":["é",1e3],"b":1.50}'.encode()


def test_resources_of_a_stored_bundle_may_be_as_deep_as_the_source_was() -> None:
    deep = b'{"resourceType":"Basic","a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    assert resources(b'{"resourceType":"Bundle","entry":[{"resource":%b}]}' % deep) == [canonical(deep)]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        max_leaves=20,
    )
)
@settings(max_examples=100)
def test_what_is_indented_quickly_is_what_is_indented_slowly(value: Any) -> None:
    assert indented(value) == json_line(value, indent=1)


def test_what_the_quick_reader_refuses_is_indented_all_the_same() -> None:
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    for value in ("\ud800", float("nan"), 10**400, {"a\x7f": ["\x7f\x00", {}, []]}, {1: None}, deep):
        assert indented(value) == json_line(value, indent=1)
