"""Compression gives the message back, and never more than its header declares."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from panachain.crypto import compress
from panachain.errors import IntegrityError


@given(st.binary(max_size=5000))
def test_gives_the_message_back_at_most_a_byte_longer(message: bytes) -> None:
    packed = compress.compress(message)
    assert len(packed) <= len(message) + 1
    assert compress.decompress(packed, len(message)) == message
    assert b"".join(compress.decompress_pieces([packed], len(message))) == message


@given(st.lists(st.binary(max_size=500), max_size=8))
def test_pieces_give_the_message_back(pieces: list[bytes]) -> None:
    message = b"".join(pieces)
    packed = list(compress.compress_pieces(pieces, len(message)))
    assert b"".join(compress.decompress_pieces(packed, len(message))) == message
    assert compress.decompress(b"".join(packed), len(message)) == message


@pytest.mark.parametrize("size", [0, 1, 300, compress._TINY, compress._TINY + 1, compress._SMALL, compress._SMALL + 1])
def test_packs_what_a_fresh_compressor_packs_whatever_came_before_and_in_each_thread(size: int) -> None:
    messages = [(os.urandom(8).hex() * (size // 16 + 1))[:size].encode() for _ in range(3)]
    level = compress.SMALL_LEVEL if size <= compress._SMALL else compress.LEVEL
    fresh = [zstandard.ZstdCompressor(level=level).compress(one) for one in messages]
    wanted = [
        compress.FRAME + packed if len(packed) < len(one) else compress.STORED + one
        for one, packed in zip(messages, fresh, strict=True)
    ]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(3):
            assert list(map(compress.compress, messages)) == list(pool.map(compress.compress, messages)) == wanted


BOMB = compress.compress(bytes(10_000_000))


@pytest.mark.parametrize(
    ("packed", "size"),
    [(BOMB, 100), (BOMB[:-1], 10_000_000), (b"\2abc", 3), (b"", 0), (b"\0abc", 2), (b"\0abc", 4), (b"\1abc", 3)],
)
def test_stops_at_the_declared_size(packed: bytes, size: int) -> None:
    with pytest.raises(IntegrityError):
        compress.decompress(packed, size)
    with pytest.raises(IntegrityError):
        list(compress.decompress_pieces([packed], size))


def test_a_bomb_is_never_held_whole() -> None:
    pieces = compress.decompress_pieces([BOMB], 100)
    with pytest.raises(IntegrityError, match="more bytes than the 100"):
        next(pieces)


def test_what_does_not_shrink_is_told() -> None:
    assert compress.shrinks(bytes(10_000))
    assert not compress.shrinks(os.urandom(10_000))


@pytest.mark.parametrize(("window", "opens"), [(0x00, True), (0x68, True), (0x69, False), (0x70, False), (0xF8, False)])
def test_a_frame_may_ask_for_eight_mebibytes_of_memory(window: int, opens: bool) -> None:
    """A frame by hand (RFC 8878, section 3.1.1): its window descriptor is an exponent, and eighths beside it."""
    block = (1 | 5 << 3).to_bytes(3, "little") + b"hello"
    packed = compress.FRAME + bytes.fromhex("28b52ffd") + bytes([0, window]) + block
    if opens:
        assert b"".join(compress.decompress_pieces([packed], 5)) == b"hello"
    else:
        with pytest.raises(IntegrityError, match="damaged"):
            list(compress.decompress_pieces([packed], 5))
