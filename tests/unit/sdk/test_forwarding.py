"""A person's calls on the sidechain without a chain: what is signed, who is asked, and what counts as done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.chain.contracts.forwarder import Forwarder
from panachain.chain.rpc import RpcAnswerError
from panachain.chain.signing import Account
from panachain.errors import (
    ConfigurationError,
    IntegrityError,
    RelaysUnavailableError,
    TransactionError,
    UnavailableError,
)
from panachain.model.block import Block
from panachain.model.transactions import Call
from panachain.sdk.bringing import Patience
from panachain.sdk.forwarding import LIFE, ForwardedSender, LocalPayer, RemotePayer
from tests.unit.chain.contracts.node import HOSPITAL, WHERE, Node

PERSON = Account(b"\x07" * 32)
NOW, HEAD = 1_800_000_000, 1_800_000_050
"""Unix seconds: this machine's time, and the newest block's."""
BRIEF = Patience(grace=0.05, confirm=0.05, pending=0.05, longest=5.0)
TX_HASH = "0x" + "7e" * 32


class Chain:
    """A sidechain whose forwarder makes what a test says."""

    def __init__(self) -> None:
        self.node = Node("Forwarder", {"nonces": lambda _: self.nonce})
        self.forwarder = self.node.adapter(Forwarder)
        self.chain_id, self.nonce, self.reverts = 31_337, 4, b""
        self.logs: list[dict[str, Any]] = []
        self.rpc = SimpleNamespace(call=self.call)

    def call(self, method: str, params: Any) -> Any:
        if method == "eth_estimateGas":
            if self.reverts:
                raise RpcAnswerError("execution reverted", code=3, data=self.reverts)
            return hex(50_000)
        assert method == "eth_getTransactionReceipt"
        receipt = {"transactionHash": params[0], "blockNumber": "0x7", "gasUsed": "0x5208", "status": "0x1"}
        return receipt | {"logs": self.logs}

    def head_block(self) -> Block:
        return Block(7, "0x" + "11" * 32, HEAD)

    def takes_back(self, _: str, data: bytes) -> bool:
        return data == b"\x01"

    def make(self, call: Call) -> None:
        """Make a call, as the contract does: its event last, behind those of the contract that was called."""
        self.nonce = call.nonce + 1
        log = self.node.emit("Forwarded", signer=call.signer, digest=self.forwarder.digest_of(call))
        self.node.logs.append(log)
        self.logs += [{"address": HOSPITAL, "topics": [], "data": call.data.hex()}, log | {"address": WHERE}]


class Payer:
    """Does what a test says with what it is handed."""

    timeout = 5.0

    def __init__(self, does: Callable[[Call], object], name: str = "a relay") -> None:
        self.name = name
        self.does = does
        self.handed: list[tuple[Call, bytes]] = []

    def make(self, call: Call, signature: bytes) -> object:
        self.handed.append((call, signature))
        return self.does(call) or "mined"


@pytest.fixture
def chain() -> Chain:
    return Chain()


def sender(chain: Chain, folder: Path, *payers: Any) -> ForwardedSender:
    given: Any = chain
    return ForwardedSender(given, PERSON, payers, lock_folder=folder, clock=lambda: float(NOW), patience=BRIEF)


def test_what_is_signed_is_the_call_in_time(chain: Chain, tmp_path: Path) -> None:
    payer = Payer(chain.make)
    receipt = sender(chain, tmp_path, payer).send(HOSPITAL, "0x0102", what="pairing")
    ((call, signature),) = payer.handed
    assert call == Call(PERSON.address, HOSPITAL, b"\x01\x02", 60_000, 4, HEAD + LIFE)
    assert chain.forwarder.is_signed(call, signature)
    assert receipt.block == 7


def test_only_its_own_events_are_told(chain: Chain, tmp_path: Path) -> None:
    def with_others(call: Call) -> None:
        # Another person's call before it, and one behind it, in the same transaction.
        chain.make(Call(HOSPITAL, HOSPITAL, b"\xaa", 1, 0, 1))
        chain.make(call)
        chain.make(Call(HOSPITAL, HOSPITAL, b"\xbb", 1, 1, 1))

    receipt = sender(chain, tmp_path, Payer(with_others)).send(HOSPITAL, "0x0102", what="pairing")
    assert [log["data"] for log in receipt.logs] == ["0102"]


def test_a_transaction_that_shows_another_call_is_a_lie(chain: Chain, tmp_path: Path) -> None:
    def hides(call: Call) -> None:
        chain.make(call)
        chain.logs.clear()

    with pytest.raises(IntegrityError, match="doesn't show the call"):
        sender(chain, tmp_path, Payer(hides)).send(HOSPITAL, "0x0102", what="pairing")


def test_a_relay_that_lies_or_hangs_is_passed_over_with_the_same_signature(chain: Chain, tmp_path: Path) -> None:
    liar, honest = Payer(lambda _: None, "a liar"), Payer(chain.make)
    sender(chain, tmp_path, liar, honest).send(HOSPITAL, "0x0102", what="pairing")
    # One signature, one nonce: whoever brings it, it counts once.
    assert liar.handed == honest.handed


def test_a_revert_shows_before_anything_is_signed(chain: Chain, tmp_path: Path) -> None:
    chain.reverts = bytes.fromhex("deadbeef")
    payer = Payer(chain.make)
    with pytest.raises(TransactionError, match="pairing: the chain refuses"):
        sender(chain, tmp_path, payer).send(HOSPITAL, "0x0102", what="pairing")
    assert payer.handed == []


def refuse(_: Call) -> object:
    raise TransactionError("refuses", reason="ERC2771ForwarderInvalidSigner()")


def test_a_nonce_that_another_call_had_is_taken_anew(chain: Chain, tmp_path: Path) -> None:
    def overtaken(call: Call) -> object:
        if call.nonce == 4:
            chain.nonce = 5
            return refuse(call)
        chain.make(call)
        return None

    payer = Payer(overtaken)
    sender(chain, tmp_path, payer).send(HOSPITAL, "0x0102", what="pairing")
    assert [call.nonce for call, _ in payer.handed] == [4, 5]


def test_a_refusal_is_no_reason_to_sign_anew(chain: Chain, tmp_path: Path) -> None:
    payer = Payer(refuse)
    with pytest.raises(TransactionError):
        sender(chain, tmp_path, payer).send(HOSPITAL, "0x0102", what="pairing")
    assert len(payer.handed) == 1


def test_what_nobody_brings_names_each_relay(chain: Chain, tmp_path: Path) -> None:
    def down(_: Call) -> object:
        raise UnavailableError("no answer")

    with pytest.raises(RelaysUnavailableError, match=r"pairing isn't on chain .* a relay: no answer"):
        sender(chain, tmp_path, Payer(down)).send(HOSPITAL, "0x0102", what="pairing")


def test_somebody_must_pay(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        sender(chain, tmp_path)


def test_what_takes_back_has_a_path_of_its_own(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    given: Any = chain
    payer, posted = RemotePayer(given, "http://relay.test/", timeout=1), []
    monkeypatch.setattr(payer._desk, "post", lambda path, fields: posted.append((path, fields)) or "mined")
    call = Call(PERSON.address, HOSPITAL, b"\x01", 60_000, 4, NOW)
    assert payer.make(call, b"s" * 65) == "mined"
    payer.make(Call(PERSON.address, HOSPITAL, b"\x02", 60_000, 5, NOW), b"s" * 65)
    assert [path for path, _ in posted] == ["/v1/take-back", "/v1/call"]
    assert posted[0][1] == {
        "signer": PERSON.address,
        "to": HOSPITAL,
        "data": "01",
        "gas": 60_000,
        "nonce": 4,
        "deadline": NOW,
        "signature": "73" * 65,
    }


def test_an_own_account_pays_by_itself(chain: Chain) -> None:
    given: Any = chain
    sent: list[tuple[str, str]] = []
    own: Any = SimpleNamespace(send=lambda to, data, what: sent.append((to, data)))
    call = Call(PERSON.address, HOSPITAL, b"\x01", 60_000, 4, NOW)
    LocalPayer(given, own).make(call, b"s" * 65)
    assert sent == [(WHERE, chain.forwarder.execute_calldata(call, b"s" * 65))]
