"""Sending: estimated before it is signed, journaled before it is sent, and never twice for a lost answer."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak

from panachain.chain import evm
from panachain.chain.evm import Sender, receipt_of
from panachain.chain.rpc import RpcAnswerError
from panachain.chain.signing import Account, decode_transaction
from panachain.errors import IntegrityError, TransactionError

ACCOUNT = Account(b"\x01" * 32)
SOMEBODY = "0x" + "11" * 20


class Node:
    """A chain that mines what it gets at once, or keeps it waiting."""

    def __init__(self) -> None:
        self.mined: dict[str, dict[str, Any]] = {}
        self.raws: list[str] = []
        self.refusals: list[RpcAnswerError] = []
        """What it says to the next transactions."""
        self.mines = True
        self.status = "0x1"
        self.nonce = 0
        self.estimate: Any = "0x5208"
        self.base_fee = "0x64"
        self.head = 0
        self.answers: dict[str, Any] = {}
        """To methods that not every node has."""

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        if method == "eth_estimateGas":
            if isinstance(self.estimate, Exception):
                raise self.estimate
            return self.estimate
        if method == "eth_sendRawTransaction":
            return self._take(params[0])
        if method == "eth_getTransactionReceipt":
            return self.mined.get(params[0])
        if method == "eth_getTransactionCount":
            return hex(self.nonce)
        if method == "eth_blockNumber":
            # Time goes on, and so does the chain.
            self.head += 1
            return hex(self.head)
        if method in self.answers:
            return self.answers[method]
        if method != "eth_getBlockByNumber":
            raise RpcAnswerError(f"{method}: the method isn't here", code=-32601)
        return {"baseFeePerGas": self.base_fee}

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [self.call(*one) for one in calls]

    def mine(self, raw: str) -> str:
        tx_hash = "0x" + keccak(hexstr=raw).hex()
        self.mined[tx_hash] = {
            "transactionHash": tx_hash,
            "blockNumber": "0x9",
            "gasUsed": "0x5208",
            "logs": [],
            "status": self.status,
        }
        self.nonce += 1
        return tx_hash

    def _take(self, raw: str) -> str:
        self.raws.append(raw)
        if self.refusals:
            raise self.refusals.pop(0)
        return self.mine(raw) if self.mines else "0x" + keccak(hexstr=raw).hex()


@pytest.fixture
def node() -> Node:
    return Node()


def sender(node: Node, folder: Path, **more: Any) -> Sender:
    return Sender(node, 5, ACCOUNT, lock_folder=folder, **more)  # type: ignore[arg-type]


class TestSend:
    def test_is_estimated_signed_journaled_and_sent(self, node: Node, tmp_path: Path) -> None:
        held: list[tuple[str, str]] = []

        def journal(tx_hash: str, raw: str) -> None:
            assert node.raws == []
            held.append((tx_hash, raw))

        receipt = sender(node, tmp_path).send(SOMEBODY, "0x1234", what="a call", signed=journal)
        assert held == [(receipt.tx_hash, node.raws[0])]
        made = decode_transaction(node.raws[0])
        assert (made["nonce"], made["chainId"], made["data"], made["gas"]) == (0, 5, "0x1234", 21_000 * 12 // 10)
        assert made["maxFeePerGas"] == 2 * 100 + 10**9

    def test_a_free_chain_takes_no_price(self, node: Node, tmp_path: Path) -> None:
        sender(node, tmp_path, free=True).send(SOMEBODY, "0x", what="a call")
        made = decode_transaction(node.raws[0])
        assert (made["maxFeePerGas"], made["maxPriorityFeePerGas"]) == (0, 0)

    def test_a_revert_shows_before_anything_is_signed(self, node: Node, tmp_path: Path) -> None:
        data = keccak(text="PolicyAlreadyRevoked(address)")[:4] + encode(["address"], [SOMEBODY])
        node.estimate = RpcAnswerError("execution reverted", data=data)
        with pytest.raises(TransactionError, match="a call: the chain refuses: ") as caught:
            sender(node, tmp_path).send(SOMEBODY, "0x", what="a call", signed=lambda *_: pytest.fail("signed"))
        assert caught.value.reason.startswith("PolicyAlreadyRevoked")
        assert node.raws == []

    def test_one_that_is_mined_and_reverts_is_an_error(self, node: Node, tmp_path: Path) -> None:
        node.status = "0x0"
        with pytest.raises(TransactionError, match="was mined and reverted"):
            sender(node, tmp_path).send(SOMEBODY, "0x", what="a call")

    @pytest.mark.parametrize("words", ["already known", "ALREADY IMPORTED", "known transaction: 0x12"])
    def test_a_node_that_has_it_already_is_no_error(self, node: Node, tmp_path: Path, words: str) -> None:
        take = node._take

        def again(raw: str) -> str:
            take(raw)
            raise RpcAnswerError(words)

        node._take = again  # type: ignore[method-assign]
        sender(node, tmp_path).send(SOMEBODY, "0x", what="a call")

    @pytest.mark.parametrize("words", ["nonce too low", "replacement transaction underpriced", "insufficient funds"])
    def test_another_transaction_with_the_nonce_is_an_error(self, node: Node, tmp_path: Path, words: str) -> None:
        node.refusals = [RpcAnswerError(words)]
        with pytest.raises(TransactionError, match=words):
            sender(node, tmp_path).send(SOMEBODY, "0x", what="a call")

    def test_no_two_threads_take_one_nonce(self, node: Node, tmp_path: Path) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: sender(node, tmp_path).send(SOMEBODY, "0x", what="a call"), range(16)))
        assert sorted(decode_transaction(raw)["nonce"] for raw in node.raws) == list(range(16))

    def test_the_lock_folder_names_no_account(self, node: Node, tmp_path: Path) -> None:
        sender(node, tmp_path / "nonces").send(SOMEBODY, "0x", what="a call")
        (lock,) = (tmp_path / "nonces").iterdir()
        assert ACCOUNT.address[2:].lower() not in lock.name.lower()
        assert (tmp_path / "nonces").stat().st_mode & 0o077 == 0


def questions(node: Node) -> list[tuple[str, Any]]:
    """Return what a node is asked from now on, as it grows."""
    asked: list[tuple[str, Any]] = []
    real = node.call

    def call(method: str, params: Sequence[Any] = ()) -> Any:
        asked.append((method, params))
        return real(method, params)

    node.call = call  # type: ignore[method-assign]
    return asked


def test_a_free_chain_is_not_asked_what_it_costs(node: Node, tmp_path: Path) -> None:
    asked = questions(node)
    sender(node, tmp_path, free=True).send(SOMEBODY, "0x", what="a call")
    assert not {method for method, _ in asked} & {"eth_getBlockByNumber", "eth_feeHistory", "eth_maxPriorityFeePerGas"}


def test_once_one_is_mined_nobody_asks_for_it_again(node: Node, tmp_path: Path) -> None:
    asked = questions(node)
    for _ in range(2):
        sender(node, tmp_path).send(SOMEBODY, "0x", what="a call")
    # Only where something is still remembered is it of interest how much is mined.
    counted = [params[1] for method, params in asked if method == "eth_getTransactionCount"]
    assert set(counted) == {"pending"}


class TestOverride:
    """One that leaves although the node says that it would revert: it is told how much gas it takes at most."""

    DATA = keccak(text="PolicyAlreadyRevoked(address)")[:4] + encode(["address"], [SOMEBODY])

    @pytest.mark.parametrize("answer", [RpcAnswerError("execution reverted", data=DATA), "zz", None, hex(1 << 64)])
    def test_it_leaves_with_the_gas_that_was_given(self, node: Node, tmp_path: Path, answer: Any) -> None:
        node.estimate = answer
        sender(node, tmp_path).send(SOMEBODY, "0x1234", what="a call", gas=100_000)
        assert decode_transaction(node.raws[0])["gas"] == 100_000 * 12 // 10

    def test_one_that_the_node_can_estimate_takes_what_it_says(self, node: Node, tmp_path: Path) -> None:
        sender(node, tmp_path).send(SOMEBODY, "0x1234", what="a call", gas=100_000)
        assert decode_transaction(node.raws[0])["gas"] == 21_000 * 12 // 10

    @pytest.mark.parametrize("data", [DATA, b""])
    def test_what_the_node_said_is_true_once_it_reverts(self, node: Node, tmp_path: Path, data: bytes) -> None:
        node.estimate, node.status = RpcAnswerError("execution reverted", data=data), "0x0"
        with pytest.raises(TransactionError, match="was mined and reverted") as caught:
            sender(node, tmp_path).send(SOMEBODY, "0x", what="a call", gas=100_000)
        assert caught.value.reason.startswith("PolicyAlreadyRevoked") is bool(data)

    @pytest.mark.parametrize("answer", ["zz", None, hex(1 << 64)])
    def test_without_gas_an_estimate_that_is_none_is_the_nodes(self, node: Node, tmp_path: Path, answer: Any) -> None:
        node.estimate = answer
        with pytest.raises(IntegrityError, match="the node gives gas that is no number of 64 bits"):
            sender(node, tmp_path).send(SOMEBODY, "0x", what="a call")
        assert node.raws == []


def test_creating_a_contract_goes_to_nobody_and_a_call_to_its_contract(node: Node, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []
    real = node.call

    def call(method: str, params: Sequence[Any] = ()) -> Any:
        if method == "eth_estimateGas":
            asked.append(params[0])
        return real(method, params)

    node.call = call  # type: ignore[method-assign]
    for to in (None, SOMEBODY):
        sender(node, tmp_path).send(to, "0x1234", what="it")
    common = {"from": ACCOUNT.address, "data": "0x1234"}
    assert asked == [common, common | {"to": SOMEBODY}]
    assert [decode_transaction(raw).get("to") for raw in node.raws] == [None, SOMEBODY]


@pytest.mark.parametrize("method", ["eth_getTransactionCount", "eth_blockNumber"])
def test_a_number_that_no_chain_reaches_is_the_nodes(node: Node, tmp_path: Path, method: str) -> None:
    real = node.call
    node.mines = False
    told = [hex(1 << 64)]

    def call(asked: str, params: Sequence[Any] = ()) -> Any:
        return told[0] if asked == method else real(asked, params)

    node.call = call  # type: ignore[method-assign]
    with pytest.raises(IntegrityError, match="no number of 64 bits"):
        sender(node, tmp_path).send(SOMEBODY, "0x", what="a call")


@pytest.mark.parametrize("field", ["blockNumber", "gasUsed"])
def test_a_receipt_s_numbers_have_64_bits(node: Node, field: str) -> None:
    good = TestReceipt.GOOD | {field: hex((1 << 64) - 1)}
    node.mined["0x01"] = good
    found = receipt_of(node, "0x01")  # type: ignore[arg-type]
    assert found is not None
    node.mined["0x01"] = good | {field: hex(1 << 64)}
    with pytest.raises(IntegrityError, match="lacks a field"):
        receipt_of(node, "0x01")  # type: ignore[arg-type]


@pytest.mark.parametrize(("status", "succeeded"), [("0x0", False), ("0x1", True), ("0x2", False)])
def test_only_one_status_is_a_success(node: Node, status: str, succeeded: bool) -> None:
    node.mined["0x01"] = TestReceipt.GOOD | {"status": status, "contractAddress": SOMEBODY, "logs": [{"a": 1}]}
    found = receipt_of(node, "0x01")  # type: ignore[arg-type]
    assert found is not None
    assert (found.succeeded, found.contract, found.logs) == (succeeded, SOMEBODY, ({"a": 1},))


class TestStuck:
    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(evm, "_STUCK", 0.0)

    def test_it_is_replaced_by_one_that_pays_more(self, node: Node, tmp_path: Path) -> None:
        node.mines = False
        held: list[str] = []

        def journal(_: str, raw: str) -> None:
            held.append(raw)
            if len(held) == 3:
                node.mines = True

        sender(node, tmp_path).send(SOMEBODY, "0x", what="a call", signed=journal)
        made = [decode_transaction(raw) for raw in held[:3]]
        assert [one["nonce"] for one in made] == [0, 0, 0]
        for before, after in pairwise(made):
            # Nodes take a replacement from 10 % more on.
            for fee in ("maxFeePerGas", "maxPriorityFeePerGas"):
                assert after[fee] * 10 >= before[fee] * 11

    def test_it_is_given_up_with_what_to_do(self, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        node.mines = False
        monkeypatch.setattr(evm, "_RECEIPT_TIMEOUT", 0)
        monkeypatch.setattr(evm, "_LEAST_BLOCKS", 0)
        with pytest.raises(TransactionError, match=r"wasn't mined within \d+ s") as caught:
            sender(node, tmp_path).send(SOMEBODY, "0x", what="a call")
        assert "sends nothing twice" in caught.value.hint


class TestResend:
    def sent(self, node: Node, folder: Path) -> tuple[str, str]:
        held: list[tuple[str, str]] = []
        sender(node, folder).send(SOMEBODY, "0x", what="a call", signed=lambda *one: held.append(one))
        return held[0]

    def test_one_that_is_mined_is_not_sent_again(self, node: Node, tmp_path: Path) -> None:
        one = self.sent(node, tmp_path)
        receipt = sender(node, tmp_path).resend([one], what="a call")
        assert receipt is not None
        assert (receipt.tx_hash, len(node.raws)) == (one[0], 1)

    def test_one_that_another_overtook_is_none(self, node: Node, tmp_path: Path) -> None:
        one = self.sent(node, tmp_path)
        node.mined.clear()
        assert sender(node, tmp_path).resend([one], what="a call") is None

    def test_one_that_was_never_mined_is_sent(self, node: Node, tmp_path: Path) -> None:
        one = self.sent(node, tmp_path)
        node.mined.clear()
        node.nonce = 0
        receipt = sender(node, tmp_path).resend([one], what="a call")
        assert receipt is not None
        assert node.raws == [one[1], one[1]]

    def test_a_node_that_refuses_it_is_told(self, node: Node, tmp_path: Path) -> None:
        one = self.sent(node, tmp_path)
        node.mined.clear()
        node.nonce = 0
        node.refusals = [RpcAnswerError("intrinsic gas too low")]
        with pytest.raises(TransactionError, match="refuses to take a transaction again"):
            sender(node, tmp_path).resend([one], what="a call")

    def test_one_that_reverted_is_no_reason_never_to_do_it(self, node: Node, tmp_path: Path) -> None:
        node.status = "0x0"
        held: list[tuple[str, str]] = []
        with pytest.raises(TransactionError, match="was mined and reverted"):
            sender(node, tmp_path).send(SOMEBODY, "0x", what="a call", signed=lambda *one: held.append(one))
        assert sender(node, tmp_path).resend(held, what="a call") is None

    def test_one_of_another_chain_is_none(self, node: Node, tmp_path: Path) -> None:
        one = self.sent(node, tmp_path)
        other = Sender(node, 6, ACCOUNT, lock_folder=tmp_path)  # type: ignore[arg-type]
        node.nonce = 0
        assert other.resend([one], what="a call") is None
        other.bury([one])
        assert node.raws == [one[1]]

    def test_nonces_before_it_that_a_reorganisation_freed_are_used_up(self, node: Node, tmp_path: Path) -> None:
        for _ in range(2):
            self.sent(node, tmp_path)
        one = self.sent(node, tmp_path)
        node.mined.clear()
        node.raws.clear()
        node.nonce = 0
        receipt = sender(node, tmp_path).resend([one], what="a call")
        assert receipt is not None
        assert receipt.tx_hash == one[0]
        made = [decode_transaction(raw) for raw in node.raws]
        assert [transaction["nonce"] for transaction in made] == [0, 1, 2]
        assert {(transaction["to"].lower(), transaction["value"]) for transaction in made[:2]} == {
            (ACCOUNT.address.lower(), 0)
        }


class TestBury:
    def test_what_waits_can_not_be_mined_any_more(self, node: Node, tmp_path: Path) -> None:
        held: list[tuple[str, str]] = []
        sender(node, tmp_path).send(SOMEBODY, "0x1234", what="a call", signed=lambda *one: held.append(one))
        node.mined.clear()
        node.nonce = 0
        sender(node, tmp_path).bury(held)
        before, after = (decode_transaction(raw) for raw in node.raws)
        assert (after["nonce"], after["data"]) == (0, "0x")
        # Nodes take a replacement from 10 % more on.
        for fee in ("maxFeePerGas", "maxPriorityFeePerGas"):
            assert after[fee] * 10 >= before[fee] * 11

    def test_what_is_mined_needs_nothing(self, node: Node, tmp_path: Path) -> None:
        held: list[tuple[str, str]] = []
        sender(node, tmp_path).send(SOMEBODY, "0x", what="a call", signed=lambda *one: held.append(one))
        sender(node, tmp_path).bury(held)
        sender(node, tmp_path).bury([])
        assert len(node.raws) == 1

    def test_a_chain_that_takes_nothing_is_told(
        self, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held: list[tuple[str, str]] = []
        sender(node, tmp_path).send(SOMEBODY, "0x", what="a call", signed=lambda *one: held.append(one))
        node.mines = False
        node.nonce = 0
        now = iter(range(0, 10_000, 50))
        waiting = sender(node, tmp_path, clock=lambda: next(now), sleep=lambda _: None)
        with pytest.raises(TransactionError, match="wasn't mined within 120 s"):
            waiting.bury(held)


def test_one_that_goes_alone_takes_the_nonce_after_the_mined_ones(node: Node, tmp_path: Path) -> None:
    asked: list[str] = []
    real = node.call

    def call(method: str, params: Sequence[Any] = ()) -> Any:
        if method == "eth_getTransactionCount":
            asked.append(params[1])
            return "0x7" if params[1] == "pending" else "0x3"
        return real(method, params)

    node.call = call  # type: ignore[method-assign]
    for alone, nonce in ((False, 7), (True, 3)):
        sender(node, tmp_path).send(SOMEBODY, "0x", what="a call", alone=alone)
        assert decode_transaction(node.raws[-1])["nonce"] == nonce
    assert "latest" in asked


class TestReceipt:
    GOOD: dict[str, Any] = {  # noqa: RUF012
        "transactionHash": "0x01",
        "blockNumber": "0x9",
        "gasUsed": "0x5",
        "logs": [],
        "status": "0x0",
    }

    def test_is_what_the_node_says(self, node: Node) -> None:
        assert receipt_of(node, "0x01") is None  # type: ignore[arg-type]
        node.mined["0x01"] = self.GOOD
        found = receipt_of(node, "0x01")  # type: ignore[arg-type]
        assert found is not None
        assert (found.block, found.gas_used, found.succeeded, found.contract) == (9, 5, False, None)

    @pytest.mark.parametrize("field", ["blockNumber", "gasUsed"])
    def test_a_number_that_no_text_shows_is_the_nodes(self, node: Node, field: str) -> None:
        node.mined["0x01"] = self.GOOD | {field: "0x" + "f" * 5000}
        with pytest.raises(IntegrityError, match="lacks a field"):
            receipt_of(node, "0x01")  # type: ignore[arg-type]

    @pytest.mark.parametrize("field", GOOD)
    @pytest.mark.parametrize("value", [None, "zz", {}])
    def test_a_damaged_field_is_the_nodes(self, node: Node, field: str, value: object) -> None:
        if field == "transactionHash" or (field, value) in (("logs", "zz"), ("logs", {})):
            value = None
            node.mined["0x01"] = {name: one for name, one in self.GOOD.items() if name != field}
        else:
            node.mined["0x01"] = self.GOOD | {field: value}
        with pytest.raises(IntegrityError, match="lacks a field"):
            receipt_of(node, "0x01")  # type: ignore[arg-type]
