"""Padding gives the message back, costs little, and every byte of it is checked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.crypto import padding
from panachain.errors import IntegrityError


@given(st.binary(max_size=5000), st.integers(min_value=0, max_value=6000))
def test_gives_the_message_back(message: bytes, minimum: int) -> None:
    padded = padding.pad(message, minimum)
    assert len(padded) == padding.padded_size(len(message), minimum) >= minimum
    assert padding.unpad(padded, minimum) == message


@given(st.lists(st.binary(max_size=500), max_size=8))
def test_pieces_are_padded_as_the_whole_is(pieces: list[bytes]) -> None:
    assert b"".join(padding.pad_pieces(pieces)) == padding.pad(b"".join(pieces))


@given(st.integers(min_value=2, max_value=1 << 40))
def test_is_the_next_multiple_that_the_paper_names(size: int) -> None:
    """Algorithm 1 of the paper: L, E = floor(log2 L), S = floor(log2 E) + 1; the last E - S bits are zero."""
    exponent = max(number for number in range(64) if 2**number <= size)
    kept = max(number for number in range(7) if 2**number <= max(exponent, 1)) + 1
    step = 2 ** max(exponent - kept, 0)
    assert padding.padme(size) == -(-size // step) * step


@given(st.integers(min_value=1, max_value=1 << 40))
def test_costs_at_most_twelve_percent(size: int) -> None:
    assert size <= padding.padme(size) <= size * 1.12 + 1


@pytest.mark.parametrize("size", [1 << 10, 1 << 20, 1 << 30])
def test_few_sizes_are_seen(size: int) -> None:
    """Of all sizes between a power of two and the next, at most as many are seen as the exponent has values twice."""
    seen = {padding.padme(one) for one in range(size, 2 * size, max(size // 4096, 1))}
    assert len(seen) <= 2 * size.bit_length()


@pytest.mark.parametrize("bad", [b"", bytes(7), b"\xff" * 16, bytes(8) + b"\1", (3).to_bytes(8, "big") + b"ab"])
def test_padding_that_was_changed_is_found(bad: bytes) -> None:
    with pytest.raises(IntegrityError):
        padding.unpad(bad)


def test_every_zero_is_checked() -> None:
    padded = padding.pad(b"message" * 100)
    for at in range(700, len(padded) - padding.LENGTH_SIZE):
        changed = padded[:at] + b"\1" + padded[at + 1 :]
        with pytest.raises(IntegrityError):
            padding.unpad(changed)
