"""The commitment tells envelope keys apart, and nothing that is derived from one equals another."""

from __future__ import annotations

from panachain.crypto.commit import EnvelopeKey


def test_commitment_tells_keys_apart_and_is_no_content_key() -> None:
    key = EnvelopeKey(bytes(32))
    assert key.commitment != EnvelopeKey(bytes(31) + b"\1").commitment
    assert len({key.commitment, key.inventory_key(), *(key.content_key(i) for i in range(9))}) == 11


def test_everything_follows_from_the_key_alone() -> None:
    first, second = EnvelopeKey(b"k" * 32), EnvelopeKey(b"k" * 32)
    assert (first.commitment, first.inventory_key(), first.content_key(5)) == (
        second.commitment,
        second.inventory_key(),
        second.content_key(5),
    )
    assert {len(first.commitment), len(first.inventory_key()), len(first.content_key(0))} == {32}
