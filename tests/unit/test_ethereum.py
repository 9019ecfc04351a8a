"""Keccak-256 and EIP-55, with eth_utils as the oracle."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import eth_utils
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain import ethereum
from panachain.errors import IntegrityError
from panachain.ethereum import checksum_address, keccak, parse_address


@given(data=st.binary(max_size=500))
def test_hashes_as_eth_utils_does(data: bytes) -> None:
    assert keccak(data) == eth_utils.keccak(data)


def test_hashes_the_known_vectors() -> None:
    # Of the Keccak team, the empty message; and that of a text is that of its UTF-8.
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak("ß") == keccak("ß".encode())


@given(raw=st.binary(min_size=20, max_size=20))
def test_writes_addresses_as_eth_utils_does(raw: bytes) -> None:
    expected = eth_utils.to_checksum_address(raw)
    assert checksum_address(raw) == expected
    for text in (expected, expected.lower(), "0x" + expected[2:].upper()):
        assert parse_address(text) == expected


@pytest.mark.parametrize("raw", [b"", bytes(19), bytes(21), "0x" + "00" * 20, None, [0] * 20], ids=repr)
def test_refuses_what_has_not_20_bytes(raw: object) -> None:
    with pytest.raises(IntegrityError):
        checksum_address(raw)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "0x", "00" * 20, "0x" + "0g" * 20, "0x" + "00" * 20 + "\n", 7, None, bytes(20)])
def test_refuses_what_spells_no_address(text: object) -> None:
    with pytest.raises(ValueError, match="40 hex digits"):
        parse_address(text)  # type: ignore[arg-type]


def test_hashes_of_every_length_are_the_oracles() -> None:
    data = bytes(range(256)) * 3
    for length in range(len(data)):
        assert keccak(data[:length]) == eth_utils.keccak(data[:length])


def test_threads_disturb_no_hash() -> None:
    data = [bytes([number]) * (number * 7) for number in range(256)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert list(pool.map(keccak, data)) == [eth_utils.keccak(one) for one in data]


@pytest.mark.parametrize("library", [object(), None])
def test_a_library_without_the_functions_hashes_by_its_object(monkeypatch: pytest.MonkeyPatch, library: object) -> None:
    def found() -> object:
        if library is None:
            raise OSError
        return library

    monkeypatch.setattr(ethereum, "_library", found)
    hashes = ethereum._made()
    assert hashes is ethereum._by_the_library
    assert hashes(b"abc") == eth_utils.keccak(b"abc")


def test_here_the_librarys_functions_hash() -> None:
    assert ethereum._hash is not ethereum._by_the_library
