"""Tracing: a leaked key names its holder in every form that it may have, and nobody else."""

from __future__ import annotations

import os
from base64 import b64encode, urlsafe_b64encode

import pytest

from panachain.errors import BlockNotFoundError, PolicyRevokedError, SuspendedError, TooLargeError, UsageError
from panachain.model.actors import Address
from panachain.sdk.tracing import MOST, Tracing
from tests.twin.world import World, seed_of
from tests.unit.sdk.helpers import grant, opened, upload


def traced(world: World, leaked: bytes) -> list[tuple[Address, str, bool]]:
    found = Tracing(world.network).trace(leaked)
    assert not found.left_out
    return [(one.actor.address, one.what, one.secret) for one in found]


def test_a_leaked_key_names_its_holder(world: World) -> None:
    seed, address = seed_of("clinician"), world.clinician.address
    scalar = seed.account_key()
    receiving = seed._factory.scalar(b"panachain/1/receiving")
    secret = (address, "secret receiving key or signer", True)
    for leaked in (
        receiving,
        receiving.hex().encode(),
        b"0x" + receiving.hex().upper().encode(),
        b'{"key": "' + b64encode(receiving) + b'"}',
        b"paste: " + urlsafe_b64encode(receiving) + b"\n",
        b"\xff\x00 rubbish\n" + receiving.hex().encode() + b"\nmore",
    ):
        assert traced(world, leaked) == [secret], leaked
    assert traced(world, scalar) == [(address, "secret account key", True)]
    assert traced(world, seed.reveal()) == [(address, "seed", True)]
    sealing = seed._factory.secret(b"panachain/1/sealing")
    assert traced(world, sealing.hex().encode()) == [(address, "secret sealing key", True)]
    assert traced(world, seed.public_keys().receiving) == [(address, "public key", False)]
    assert traced(world, seed_of("hospital").account_key()) == [(world.hospital.address, "secret account key", True)]


def test_a_key_of_before_a_change_names_its_holder_too(world: World) -> None:
    before = seed_of("researcher")
    receiving = before._factory.scalar(b"panachain/1/receiving")
    world.researcher.keys.rotate()
    address = world.researcher.address
    assert traced(world, receiving) == [(address, "secret receiving key or signer", True)]
    assert traced(world, before.reveal()) == [(address, "seed", True)]


def test_keys_of_nobody_name_nobody(world: World) -> None:
    assert traced(world, os.urandom(32)) == []
    # No scalar of the curve.
    assert traced(world, b"\xff" * 32) == []


def test_several_in_one_text_are_all_named(world: World) -> None:
    text = " ".join(seed_of(name).account_key().hex() for name in ("clinician", "nurse", "patient"))
    assert {address for address, _, _ in traced(world, text.encode())} == {
        world.sessions[name].address for name in ("clinician", "nurse", "patient")
    }


def test_what_holds_no_key_is_told(world: World) -> None:
    for leaked in (b"", b"no key", b"00" * 31, b"ab" * 40):
        with pytest.raises(UsageError, match="could be a key"):
            Tracing(world.network).trace(leaked)
    with pytest.raises(TooLargeError):
        Tracing(world.network).trace(bytes(MOST + 1))


def test_a_block_that_nobody_has_hides_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(digest: bytes, whose: str) -> object:
        raise BlockNotFoundError("nobody has it")

    monkeypatch.setattr(world.network.key_blocks, "find", gone)
    found = Tracing(world.network).trace(seed_of("clinician").account_key())
    # By the account, which the registry itself names.
    assert [one.actor.address for one in found] == [world.clinician.address]
    assert found.left_out


def test_whoever_is_traced_is_suspended_by_one_transaction(world: World) -> None:
    upload(world)
    first, second = grant(world), grant(world)
    assert opened(world, first.policy_id)
    leaked = seed_of("clinician").account_key()
    ((who, _, _),) = traced(world, leaked)
    before = world.network.sidechain.chain.counted
    world.registrar.suspend(who)
    assert world.network.sidechain.chain.counted == before + 1
    for policy in (first, second):
        with pytest.raises((SuspendedError, PolicyRevokedError)):
            opened(world, policy.policy_id)
    (found,) = Tracing(world.network).trace(leaked)
    assert found.to_json()["status"] == "suspended"
