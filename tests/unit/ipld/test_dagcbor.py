"""dag-cbor: one value has one encoding, and the decoder is total."""

from __future__ import annotations

import json
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
