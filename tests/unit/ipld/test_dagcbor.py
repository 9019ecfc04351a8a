"""dag-cbor: one value has one encoding, and the decoder is total."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.errors import IntegrityError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, RAW
from tests.support import shared

values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.binary(max_size=40)
    | st.text(max_size=20)
    | st.binary(min_size=32, max_size=32).map(lambda d: CID(RAW, d)),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)


@given(values)
def test_dag_cbor_gives_the_value_back(value: Any) -> None:
    assert dagcbor.decode(dagcbor.encode(value)) == value


@given(st.binary(max_size=200))
def test_dag_cbor_decoder_is_total_and_accepts_canonical_bytes_only(data: bytes) -> None:
    try:
        value = dagcbor.decode(data)
    except IntegrityError:
        return
    assert dagcbor.encode(value) == data


class Slow(dagcbor._Reader):
    """The decoder without what reads most items of a list at once."""

    def _list(self, count: int, depth: int) -> list[Any]:
        return [self.value(depth) for _ in range(count)]


def outcome(reader: dagcbor._Reader) -> tuple[Any, int] | str:
    try:
        value = reader.value(0)
    except IntegrityError as exc:
        return str(exc)
    return repr(value), reader.position


@given(st.lists(values, max_size=12), st.data())
def test_lists_are_read_at_once_as_item_by_item_also_when_they_are_damaged(
    items: list[Any], data: st.DataObject
) -> None:
    encoded = bytearray(dagcbor.encode([*items, items]))
    for _ in range(data.draw(st.integers(0, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(encoded[: data.draw(st.integers(1, len(encoded)))])
    for given_bytes in (bytes(encoded), cut):
        assert outcome(dagcbor._Reader(given_bytes)) == outcome(Slow(given_bytes))


@pytest.mark.parametrize("item", ["1817", "1900ff", "1a0000ffff", "1b00000000ffffffff", "5817", "5800", "62c328", "f4"])
def test_an_item_of_a_list_that_is_not_in_its_shortest_form_is_refused(item: str) -> None:
    encoded = bytes.fromhex("82" + item) + b"\x78\x40" + b"x" * 64
    assert outcome(dagcbor._Reader(encoded)) == outcome(Slow(encoded))
    assert item == "f4" or isinstance(outcome(dagcbor._Reader(encoded)), str)


@pytest.mark.parametrize("depth", [15, 16, 17, 18])
def test_lists_are_followed_as_deep_as_anything(depth: int) -> None:
    for inner in (b"", b"\x80", b"\x01"):
        encoded = b"\x81" * depth + (inner or b"\x80")
        assert outcome(dagcbor._Reader(encoded)) == outcome(Slow(encoded))


def test_dag_cbor_agrees_with_the_fixtures_of_ipld() -> None:
    folder = shared("vectors", "ipld-codec-fixtures")
    agreed = refused = 0
    for path in sorted(folder.rglob("*.dag-cbor")):
        try:
            value = dagcbor.decode(path.read_bytes())
        except IntegrityError:
            # Floats, other CIDs and deep nesting are outside our formats.
            refused += 1
            continue
        assert dagcbor.encode(value) == path.read_bytes()
        agreed += 1
    assert agreed > refused
    for path in sorted(folder.rglob("*negative*/**/*.json")):
        cases = json.loads(path.read_text())
        for case in cases if isinstance(cases, list) else []:
            if (
                "dag-cbor" in str(path)
                and isinstance(case, dict)
                and "hex" in case
                and "decode" in str(case.get("type", "decode"))
            ):
                with pytest.raises(IntegrityError):
                    dagcbor.decode(bytes.fromhex(case["hex"]))


@given(st.lists(values, max_size=8), st.binary(max_size=3), st.integers(0, 9))
def test_items_without_their_head_are_those_of_the_list(items: list[Any], more: bytes, count: int) -> None:
    encoded = dagcbor.encode(items)[1:]
    assert dagcbor.decode_items(encoded, len(items)) == items

    def said(decode: Callable[[], Any]) -> str:
        try:
            return repr(decode())
        except IntegrityError as exc:
            return str(exc)

    # Also where they are others than they were said to be.
    whole = said(lambda: dagcbor.decode(bytes([0x80 + count]) + encoded + more))
    assert said(lambda: dagcbor.decode_items(encoded + more, count)) == whole


@pytest.mark.parametrize("depth", [14, 15, 16, 17])
def test_lists_in_lists_are_followed_as_deep_as_any_value(depth: int) -> None:
    encoded = b"\x81" * depth + b"\0"
    if depth <= dagcbor.MAX_DEPTH:
        assert dagcbor.encode(dagcbor.decode(encoded)) == encoded
    else:
        with pytest.raises(IntegrityError, match="nested deeper"):
            dagcbor.decode(encoded)


@pytest.mark.parametrize(
    "encoded", [b"\x82\x80", b"\x81\x97", b"\x81\x81", b"\x81\x58", b"\x81\x58\x20\0", b"\x81\x1a\xff"]
)
def test_lists_that_end_too_early_are_refused(encoded: bytes) -> None:
    with pytest.raises(IntegrityError, match="ends too early"):
        dagcbor.decode(encoded)
