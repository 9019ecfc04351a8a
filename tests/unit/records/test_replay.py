"""Replay: pieces are one file, read from wherever one likes, as often as one likes."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Iterator

import pytest

from panachain.errors import InputError
from panachain.records.replay import replayed


def test_it_reads_as_the_bytes_in_memory_do() -> None:
    chance = random.Random(7)
    pieces = [chance.randbytes(chance.choice((1, 3, 1000, 70_000))) for _ in range(40)]
    file, whole = replayed(lambda: iter(pieces)), io.BytesIO(b"".join(pieces))
    for _ in range(300):
        if chance.random() < 0.4:
            place = chance.randrange(len(whole.getvalue()))
            assert file.seek(place) == whole.seek(place)
        else:
            size = chance.choice((0, 1, 50, 100_000))
            assert file.read(size) == whole.read(size)
        assert file.tell() == whole.tell()
    file.seek(0)
    assert file.read() == whole.getvalue()
    assert file.read(1) == b""


def test_nothing_is_kept_of_what_was_read() -> None:
    made = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            made.append(number)
            yield b"x" * 200_000

    file = replayed(pieces)
    assert file.read(1) == b"x"
    assert made == [0]
    file.seek(500_000)
    file.seek(0)
    file.read(1)
    assert made == [0, 1, 2, 0]


def test_what_could_not_be_made_is_no_end() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * 10
        raise InputError("torn")

    file = replayed(pieces)
    for _ in range(3):
        with pytest.raises(InputError, match="torn"):
            file.read(100)
    file.seek(0)
    assert file.read(1) == b"x"


def test_the_end_is_not_known_before_all_is_read() -> None:
    with pytest.raises(io.UnsupportedOperation, match="isn't known"):
        replayed(lambda: iter([b"x"])).seek(0, os.SEEK_END)
