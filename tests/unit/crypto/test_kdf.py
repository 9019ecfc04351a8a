"""Key derivation is that of RFC 5869, under labels that can't run into a context."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from panachain.crypto.kdf import derive, deriver, hkdf, numbered_deriver


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=40), st.binary(max_size=100))
def test_derivation_is_hkdf_expand(key: bytes, label: bytes, context: bytes) -> None:
    info = bytes([len(label)]) + label + context
    assert derive(key, label, context) == HKDFExpand(SHA256(), 32, info).derive(key)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=40), st.lists(st.binary(max_size=100), max_size=3))
def test_many_contexts_of_one_key_are_derived_as_each(key: bytes, label: bytes, contexts: list[bytes]) -> None:
    derived = deriver(key, label)
    assert [derived(context) for context in contexts] == [derive(key, label, context) for context in contexts]


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=40), st.integers(0, 2**64 - 1))
def test_numbered_contexts_are_derived_as_others(key: bytes, label: bytes, number: int) -> None:
    assert numbered_deriver(key, label)(number) == derive(key, label, number.to_bytes(8, "big"))


@pytest.mark.parametrize("number", [-1, 2**64])
def test_a_number_of_more_than_8_bytes_is_refused(number: int) -> None:
    with pytest.raises(OverflowError):
        numbered_deriver(bytes(32), b"label")(number)


def test_no_label_with_a_context_is_another_label() -> None:
    assert derive(bytes(32), b"ab", b"c") != derive(bytes(32), b"a", b"bc") != derive(bytes(32), b"abc")


def test_a_label_that_its_length_can_not_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="256"):
        derive(bytes(32), b"x" * 256)


def test_the_first_vector_of_the_rfc() -> None:
    """RFC 5869, appendix A.1."""
    made = hkdf(b"\x0b" * 22, salt=bytes(range(13)), info=bytes(range(0xF0, 0xFA)), size=42)
    assert made.hex() == ("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80))
def test_32_bytes_are_the_first_of_a_longer_output(key: bytes, salt: bytes, info: bytes) -> None:
    """RFC 5869 section 2.3: the output is cut off, so that a shorter one begins a longer one."""
    for size in (1, 31, 32, 33, 63, 64, 65, 96):
        assert hkdf(key, salt=salt, info=info, size=size) == HKDF(SHA256(), 96, salt, info).derive(key)[:size]


def test_more_than_hkdf_has_is_refused() -> None:
    with pytest.raises(ValueError, match="large"):
        hkdf(bytes(32), salt=b"", info=b"", size=255 * 32 + 1)
