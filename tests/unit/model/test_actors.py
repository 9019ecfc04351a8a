"""Actors have the keys that the chain names, or none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panachain.crypto.keys import Seed, address_of
from panachain.errors import IntegrityError
from panachain.model.actors import Actor, KeyChange, KeyEnd, Role, Status

SEED, OTHER = Seed(b"a" * 32), Seed(b"b" * 32)
KEYS = SEED.public_keys()
ACTOR = Actor.of(address_of(SEED.account_key()), Role.PRACTITIONER, KEYS)


def test_keys_that_were_fetched_are_read() -> None:
    assert (ACTOR.sealing_key, ACTOR.receiving_key, ACTOR.verifying_key) == (
        KEYS.sealing,
        KEYS.receiving,
        KEYS.verifying,
    )
    assert (ACTOR.key_digest, ACTOR.status, ACTOR.public_keys) == (KEYS.digest, Status.UNKNOWN, KEYS)


def test_keys_that_were_not_fetched_are_an_error_that_names_whose_they_are() -> None:
    bare = replace(ACTOR, keys=None)
    # Whoever they are, they are the same actor.
    assert bare == ACTOR
    for name in ("sealing_key", "receiving_key", "verifying_key"):
        with pytest.raises(IntegrityError, match=f"key block of {ACTOR.handle} wasn't fetched"):
            getattr(bare, name)
    assert bare.with_keys(KEYS).receiving_key == KEYS.receiving


def test_nobody_has_other_keys_than_the_chain_names() -> None:
    with pytest.raises(IntegrityError, match=f"keys of {ACTOR.handle} aren't those"):
        ACTOR.with_keys(OTHER.public_keys())
    with pytest.raises(IntegrityError):
        replace(ACTOR, key_digest=OTHER.public_keys().digest)


def test_messages_show_no_keys() -> None:
    assert KEYS.receiving.hex() not in repr(ACTOR)
    assert repr(KEYS.receiving) not in repr(ACTOR)


def test_an_end_in_the_past_ends_every_block_that_had_begun_by_then() -> None:
    first, second, third, fourth = (bytes([number]) * 32 for number in range(1, 5))
    actor = replace(ACTOR, keys=None, key_digest=first)
    # Two ordinary changes; then it is noticed that the first keys were stolen before the first change.
    ordinary = actor.changed(second, KeyChange(100, 200)).changed(third, KeyChange(300, 400))
    assert ordinary.key_ends() == (KeyEnd(200, False), KeyEnd(400, False))
    assert [ordinary.is_ended(one) for one in (first, second, third, fourth)] == [False, False, False, True]

    late = ordinary.changed(fourth, KeyChange(500, 50))
    assert late.key_ends() == (KeyEnd(50, True), KeyEnd(400, False), KeyEnd(500, False))
    assert [late.is_ended(one) for one in (first, second, third, fourth)] == [True, False, False, False]

    # An end that came after a block had ended anyway says nothing of it.
    later = ordinary.changed(fourth, KeyChange(500, 450))
    assert later.key_ends() == (KeyEnd(200, False), KeyEnd(400, False), KeyEnd(450, True))
    # No later end gives time back.
    assert late.changed(bytes(32), KeyChange(600, 40)).key_ends()[0] == KeyEnd(40, True)
    assert late.changed(bytes(32), KeyChange(600, 60)).key_ends()[0] == KeyEnd(50, True)


def test_a_block_that_comes_back_has_ended_and_a_groups_never_does() -> None:
    first, second = bytes([1]) * 32, bytes([2]) * 32
    back = replace(ACTOR, keys=None, key_digest=first).changed(second, KeyChange(5, 6)).changed(first, KeyChange(7, 8))
    assert back.is_ended(first)
    assert not back.is_ended(second)
    group = replace(ACTOR, keys=None, role=Role.GROUP, key_digest=second, earlier_keys=(first,))
    assert [group.is_ended(one) for one in (first, second, bytes(32))] == [False, False, True]
    assert group.key_ends() == ()
