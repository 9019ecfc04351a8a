"""The forwarder's adapter: it signs what eth_account signs, and only a call's own event says that it was made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account as EthAccount
from eth_account.messages import encode_typed_data

from panachain.chain.contracts.forwarder import Forwarder
from panachain.chain.evm import Receipt
from panachain.chain.signing import Account, compact
from panachain.errors import IntegrityError
from panachain.model.actors import Address
from panachain.model.transactions import Call
from tests.unit.chain.contracts.node import CHAIN_ID, DOCTOR, HOSPITAL, NOBODY, WHERE, Node, Sender, low

PERSON = Account(b"\x07" * 32)
CALL = Call(Address(PERSON.address), HOSPITAL, b"\x01\x02", gas=90_000, nonce=4, deadline=1_800_000_000)
STRUCT = (*low(PERSON.address, HOSPITAL), 0, 90_000, 1_800_000_000, b"\x01\x02")


@pytest.fixture
def node() -> Node:
    return Node("Forwarder")


def typed(call: Call) -> Any:
    """Return a call as a wallet is shown it."""
    kinds = ("address from", "address to", "uint256 value", "uint256 gas", "uint256 nonce", "uint48 deadline")
    fields = [dict(zip(("type", "name"), one.split(), strict=True)) for one in (*kinds, "bytes data")]
    return encode_typed_data(
        {"name": "PanaChain Forwarder", "version": "1", "chainId": CHAIN_ID, "verifyingContract": WHERE},
        {"ForwardRequest": fields},
        {
            "from": call.signer,
            "to": call.to,
            "value": 0,
            "gas": call.gas,
            "nonce": call.nonce,
            "deadline": call.deadline,
            "data": call.data,
        },
    )


class TestSigned:
    def test_is_what_a_wallet_signs(self, node: Node) -> None:
        signature = node.adapter(Forwarder).sign(PERSON, CALL)
        assert signature == EthAccount.sign_message(typed(CALL), b"\x07" * 32).signature

    def test_is_known_by_its_signer(self, node: Node) -> None:
        forwarder = node.adapter(Forwarder)
        signature = forwarder.sign(PERSON, CALL)
        assert forwarder.is_signed(CALL, signature)
        assert not forwarder.is_signed(replace(CALL, nonce=5), signature)
        assert not forwarder.is_signed(replace(CALL, signer=DOCTOR), signature)
        # The contract takes no compact one.
        assert not forwarder.is_signed(CALL, compact(signature))

    @pytest.mark.parametrize("field", ["nonce", "gas", "deadline", "data", "to", "signer"])
    def test_every_field_is_of_its_digest(self, node: Node, field: str) -> None:
        other = {"data": b"", "to": DOCTOR, "signer": DOCTOR}.get(field, 1)
        forwarder = node.adapter(Forwarder)
        assert forwarder.digest_of(CALL) != forwarder.digest_of(replace(CALL, **{field: other}))


def test_calls_go_with_all_but_their_nonce(node: Node) -> None:
    forwarder, sender = node.adapter(Forwarder), Sender(node)
    signature = forwarder.sign(PERSON, CALL)
    forwarder.execute(sender, CALL, signature, what="pairing")
    assert sender.sent == [("execute", ((*STRUCT, signature),))]
    batch = node.decoded(forwarder.execute_batch_calldata([(CALL, signature), (CALL, signature)]))
    # Nobody for refunds: all or none.
    assert batch == ("executeBatch", (((*STRUCT, signature),) * 2, NOBODY))


def test_a_nonce_is_the_contracts(node: Node) -> None:
    node.results["nonces"] = 9
    assert node.adapter(Forwarder).next_nonce(CALL.signer) == 9
    assert node.asked == [("nonces", low(PERSON.address), "latest")]


def test_a_nonce_that_is_none_is_no_answer(node: Node) -> None:
    node.results["nonces"] = IntegrityError("nothing")
    with pytest.raises(IntegrityError):
        node.adapter(Forwarder).next_nonce(CALL.signer)


def test_the_logs_of_a_call_are_those_between_the_call_before_it_and_its_own_event(node: Node) -> None:
    forwarder = node.adapter(Forwarder)
    others, last = replace(CALL, nonce=5), replace(CALL, nonce=6)

    def made(call: Call) -> dict[str, Any]:
        return node.emit("Forwarded", signer=call.signer, digest=forwarder.digest_of(call))

    elsewhere: list[dict[str, Any]] = [{"address": HOSPITAL, "topics": [], "data": f"0x0{n}"} for n in range(1, 6)]
    # An event of its own that says something else of no call belongs to nobody's call.
    domain = node.emit("EIP712DomainChanged")
    # Another contract can't say that a call was made.
    false = made(last) | {"address": HOSPITAL}
    logs = [elsewhere[0], made(others), elsewhere[1], domain, false, elsewhere[2], made(CALL), elsewhere[3], made(last)]
    receipt = Receipt("0x" + "7e" * 32, 7, 1, logs=tuple(logs))
    assert forwarder.logs_of(others, receipt) == (elsewhere[0],)
    assert forwarder.logs_of(CALL, receipt) == (elsewhere[1], false, elsewhere[2])
    assert forwarder.logs_of(last, receipt) == (elsewhere[3],)
    with pytest.raises(IntegrityError, match="doesn't show the call"):
        forwarder.logs_of(replace(CALL, nonce=7), receipt)


def test_a_contract_s_address_is_compared_however_a_node_writes_it(node: Node) -> None:
    forwarder = node.adapter(Forwarder)
    event = node.emit("Forwarded", signer=CALL.signer, digest=forwarder.digest_of(CALL))
    for written in (WHERE, WHERE.lower(), WHERE.upper().replace("X", "x")):
        assert forwarder.logs_of(CALL, Receipt("0x01", 7, 1, logs=(event | {"address": written},))) == ()


def test_only_its_own_event_says_that_a_call_was_made(node: Node) -> None:
    forwarder = node.adapter(Forwarder)
    node.logs = [node.emit("Forwarded", signer=CALL.signer, digest=forwarder.digest_of(replace(CALL, nonce=5)))]
    assert forwarder.forwarded(CALL) is None
    node.logs.append(node.emit("Forwarded", signer=CALL.signer, digest=forwarder.digest_of(CALL)))
    found = forwarder.forwarded(CALL)
    assert found is not None
    assert found.values["digest"] == forwarder.digest_of(CALL)
