"""Boxes open for those to whom they were sealed, under their context, and show their size only roughly."""

from __future__ import annotations

import pytest

from panachain.crypto import box, hpke
from panachain.errors import IntegrityError

OWNER, OTHER, STRANGER = (hpke.SealingKey.random() for _ in range(3))


def test_opens_for_its_owner_and_context_only() -> None:
    sealed = box.seal_to(OWNER.public, b"message", b"context")
    assert box.open_box(OWNER, sealed, b"context") == b"message"
    for secret, context in ((OWNER, b"other"), (STRANGER, b"context")):
        with pytest.raises(IntegrityError):
            box.open_box(secret, sealed, context)


def test_sealing_twice_shows_no_equal_messages() -> None:
    assert box.seal_to(OWNER.public, b"message", b"c") != box.seal_to(OWNER.public, b"message", b"c")
    assert len(box.seal_to(OWNER.public, b"a" * 1000, b"c")) == len(box.seal_to(OWNER.public, b"a" * 1010, b"c"))


@pytest.mark.parametrize("at", [0, 40, 1100, box.SEAL_SIZE - 1, box.SEAL_SIZE, box.SEAL_SIZE + 5, -1])
def test_a_changed_byte_opens_nothing(at: int) -> None:
    sealed = bytearray(box.seal_to(OWNER.public, b"message", b"context"))
    sealed[at] ^= 1
    with pytest.raises(IntegrityError):
        box.open_box(OWNER, bytes(sealed), b"context")


@pytest.mark.parametrize("size", [0, 1, 1135, 1136, box.SEAL_SIZE - 1, box.SEAL_SIZE])
def test_a_box_that_is_cut_short_is_told(size: int) -> None:
    with pytest.raises(IntegrityError):
        box.open_box(OWNER, box.seal_to(OWNER.public, b"message", b"context")[:size], b"context")


class TestShared:
    def test_any_of_its_readers_opens_it(self) -> None:
        sealed = box.seal_to_each([OWNER.public, OTHER.public], b"message", b"context")
        for secret in (OWNER, OTHER):
            assert box.open_shared(secret, sealed, b"context", readers=2) == b"message"

    def test_nobody_else_does(self) -> None:
        sealed = box.seal_to_each([OWNER.public, OTHER.public], b"message", b"context")
        with pytest.raises(IntegrityError, match="isn't sealed to this key"):
            box.open_shared(STRANGER, sealed, b"context", readers=2)
        with pytest.raises(IntegrityError):
            box.open_shared(OWNER, sealed, b"other", readers=2)
        with pytest.raises(IntegrityError):
            box.open_shared(OTHER, sealed, b"context", readers=1)

    @pytest.mark.parametrize("likely", [0, 1])
    def test_the_likely_place_is_tried_first_and_the_others_too(
        self, likely: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sealed = box.seal_to_each([OWNER.public, OTHER.public], b"message", b"context")
        tries: list[bytes] = []
        opens = hpke.open_
        monkeypatch.setattr(hpke, "open_", lambda *args: tries.append(args[1]) or opens(*args))
        for place, secret in enumerate((OWNER, OTHER)):
            tries.clear()
            assert box.open_shared(secret, sealed, b"context", readers=2, likely=likely) == b"message"
            assert len(tries) == (1 if place == likely else 2)

    def test_both_readers_hold_one_key(self) -> None:
        # With a key for each, a forger could make a stream that says one thing to one reader and another to the other.
        sealed = box.seal_to_each([OWNER.public, OTHER.public], b"message", b"context")
        seals = [sealed[: box.SEAL_SIZE], sealed[box.SEAL_SIZE : 2 * box.SEAL_SIZE]]
        keys = {hpke.open_(who, seal, b"context") for who, seal in zip((OWNER, OTHER), seals, strict=True)}
        assert len(keys) == 1


def test_a_seal_of_something_else_than_a_key_opens_nothing() -> None:
    sealed = hpke.seal(OWNER.public, bytes(16), b"context")
    for rest in (b"", bytes(40)):
        with pytest.raises(IntegrityError):
            box.open_box(OWNER, sealed + rest, b"context")


def test_its_size_is_a_seal_and_a_padded_stream() -> None:
    assert box.SEAL_SIZE == 1168
    assert len(box.seal_to(OWNER.public, b"", b"c")) == 1168 + 40 + 8 + 16
    assert len(box.seal_to_each([OWNER.public, OTHER.public], b"", b"c")) == 2 * 1168 + 40 + 8 + 16


class TestOne:
    def test_opens_under_its_key_and_context_only(self) -> None:
        sealed = box.aead_one(b"k" * 32, b"plain", b"context")
        assert box.open_one(b"k" * 32, sealed, b"context") == b"plain"
        for key, content, context in (
            (b"x" * 32, sealed, b"context"),
            (b"k" * 32, sealed, b"other"),
            (b"k" * 32, sealed[:-1], b"context"),
            (b"k" * 32, b"", b"context"),
            (b"k" * 5, sealed, b"context"),
        ):
            with pytest.raises(IntegrityError, match="doesn't open"):
                box.open_one(key, content, context)
