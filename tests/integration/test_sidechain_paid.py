"""The development network's sidechain is a paid one: persons sign, its relay pays, and nobody else holds ether."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from panachain.chain import node
from panachain.chain.abi import contract
from panachain.chain.fees import takes_no_price
from panachain.chain.rpc import Rpc
from panachain.chain.signing import Account
from panachain.errors import RelaysUnavailableError, TransactionError
from panachain.model.actors import Address
from panachain.model.transactions import Call
from panachain.sdk.bringing import Desk, Patience
from panachain.sdk.forwarding import ForwardedSender, RemotePayer
from tests.support import World, chain_refuses

pytestmark = pytest.mark.deep

PERSONS = ("patient", "clinician", "stranger")


@pytest.fixture(scope="module")
def side(world: World) -> Iterator[Rpc]:
    """The sidechain's node itself, which no person asks."""
    state = json.loads((world.home / "devnet" / "processes.json").read_bytes())
    rpc = Rpc(state["sidechainUrl"])
    yield rpc
    rpc.close()


def act(world: World) -> None:
    """Let persons do whatever the SDK has."""
    patient, doctor, other = world.patient, world.clinician, world.stranger
    patient.unpair("hospital")
    patient.pair("hospital")
    for answer in (patient.deny, patient.approve):
        asked = doctor.request("patient", ["laboratory"], purpose="TREAT", until=timedelta(days=1))
        answer(asked.request_id)
    group = doctor.create_group().handle
    doctor.add_member(group, "stranger")
    other.accept_group(group)
    doctor.renew_group(group)
    doctor.hand_over_group(group, "stranger")
    doctor.leave_group(group)
    other.close_group(group)


def test_nobody_but_operators_holds_ether_anywhere(world: World, side: Rpc) -> None:
    act(world)
    accounts = [world.actors[name].address for name in PERSONS]
    for rpc in (side, world.network.mainchain.rpc):
        # Neither ether, nor a transaction of their own: nothing that they did was theirs to pay for.
        assert [node.balance(rpc, account) for account in accounts] == [0, 0, 0]
        assert [node.transaction_count(rpc, account) for account in accounts] == [0, 0, 0]
    forwarder = world.network.sidechain.forwarder
    assert all(forwarder.next_nonce(account) > 0 for account in accounts)


def test_the_chain_takes_nothing_for_nothing(world: World, side: Rpc) -> None:
    assert not takes_no_price(side, node.chain_id(side))


def test_a_refusal_is_told_as_the_contract_says_it(world: World) -> None:
    asked = world.clinician.request("patient", ["laboratory"], purpose="TREAT", until=timedelta(days=1))
    world.patient.deny(asked.request_id)
    # The patient's program says so by itself.
    sender = world.network.person(world.patient._seed.account_key())
    with chain_refuses("RequestNotOpen"):
        world.network.sidechain.requests.deny(sender, asked.request_id)


class TestForwarded:
    @pytest.fixture
    def sender(self, world: World) -> ForwardedSender:
        return self.of(world, world.network.sidechain_relays)

    def of(self, world: World, urls: Any, key: bytes | None = None) -> ForwardedSender:
        sidechain = world.network.sidechain
        payers = [RemotePayer(sidechain, url, timeout=20) for url in urls]
        account = Account(key or world.clinician._seed.account_key())
        return ForwardedSender(
            sidechain,
            account,
            payers,
            lock_folder=world.home / "nonces",
            clock=world.network.clock,
            patience=Patience(pending=20),
        )

    def create(self, world: World, sender: Any, number: int) -> str:
        return world.network.sidechain.groups.create(sender, b"\x02" + bytes(30) + bytes([number])).address

    def test_a_dead_relay_is_passed_over(self, world: World) -> None:
        sender = self.of(world, ["http://127.0.0.1:9", *world.network.sidechain_relays])
        assert self.create(world, sender, 1)

    def test_without_a_relay_nothing_is_done_and_each_is_named(self, world: World) -> None:
        with pytest.raises(RelaysUnavailableError, match=r"creating a group isn't on chain.*127\.0\.0\.1:9"):
            self.create(world, self.of(world, ["http://127.0.0.1:9"]), 2)

    def test_a_stranger_is_refused_before_anything_is_paid(self, world: World) -> None:
        key = b"\x09" * 32
        identities = world.network.sidechain.identities
        data = contract("IdentityRegistry").calldata(
            "approveRecovery", world.patient.address, world.stranger.address, [b"c" * 32], 0, b"s" * 32
        )
        with pytest.raises(TransactionError):
            self.of(world, world.network.sidechain_relays, key).send(identities.address, data, what="a recovery")

    def test_a_call_that_another_device_overtook_is_signed_anew(self, world: World, sender: ForwardedSender) -> None:
        forwarder = world.network.sidechain.forwarder
        asked: list[int] = []
        true = forwarder.next_nonce

        def stale(signer: Address) -> int:
            # As the first device saw it, before the second one's call.
            asked.append(true(signer))
            return asked[-1] - 1 if len(asked) == 1 else asked[-1]

        forwarder.next_nonce = stale  # type: ignore[method-assign]
        try:
            assert self.create(world, sender, 3)
        finally:
            del forwarder.next_nonce
        assert len(asked) == 3

    def test_a_relay_changes_nothing(self, world: World) -> None:
        forwarder, account = world.network.sidechain.forwarder, Account(world.patient._seed.account_key())
        identities = world.network.sidechain.identities
        data = bytes.fromhex(contract("IdentityRegistry").calldata("unpair", world.hospital.address)[2:])
        signer = Address(account.address)
        deadline = world.network.sidechain.head_block().time + 600
        call = Call(signer, Address(identities.address), data, 100_000, forwarder.next_nonce(signer), deadline)
        signature = forwarder.sign(account, call)
        changed = replace(call, deadline=deadline + 1)
        fields = {
            "signer": changed.signer,
            "to": changed.to,
            "data": changed.data.hex(),
            "gas": changed.gas,
            "nonce": changed.nonce,
            "deadline": changed.deadline,
            "signature": signature.hex(),
        }
        (url,) = world.network.sidechain_relays
        with pytest.raises(Exception, match="not-signed"):
            Desk(url, timeout=20).post("/v1/take-back", fields)
        assert identities.pairing_of(world.patient.address, world.hospital.address) is not None
