"""Actors have the keys that the chain names, or none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panachain.crypto.keys import Seed, address_of
from panachain.errors import IntegrityError
from panachain.model.actors import Actor, Role, Status

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
