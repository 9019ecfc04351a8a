"""What a node is asked besides contracts; and that nothing outside chain/ asks a node by itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from panachain.chain import node
from panachain.chain.rpc import RpcAnswerError
from panachain.errors import IntegrityError
from panachain.model.block import Block

ROOT = Path(__file__).resolve().parents[3]
METHOD = re.compile(r"\b(eth|net|web3|evm|anvil|txpool|debug)_[a-zA-Z]+")
MAY_NAME = re.compile(r"(eth|net|web3|evm|anvil|txpool|debug)_")
"""What a file that names one has in its text, however it puts the name together."""
HASH = "0x" + "ab" * 32


class Node:
    """Answers each method with what the test says, and remembers what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, list[Any]]] = []

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        self.asked.append((method, list(params)))
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [self.call(*call) for call in calls]


def asked_of(name: str, answer: Any) -> Any:
    return Node(**{name: answer})


class TestBlocks:
    def test_head_is_the_newest_block(self) -> None:
        rpc = asked_of("eth_getBlockByNumber", {"number": "0x5", "hash": HASH, "timestamp": "0x64"})
        assert node.head_block(rpc) == Block(5, HASH, 100)
        assert rpc.asked == [("eth_getBlockByNumber", ["latest", False])]

    def test_block_is_asked_by_its_number(self) -> None:
        rpc = asked_of("eth_getBlockByNumber", {"number": "0xff", "hash": HASH, "timestamp": "0x0"})
        assert node.block_at(rpc, 255).number == 255
        assert rpc.asked == [("eth_getBlockByNumber", ["0xff", False])]

    @pytest.mark.parametrize("answer", [None, {}, [], "x", {"number": 5, "hash": HASH, "timestamp": "0x0"}])
    def test_what_is_no_block_is_an_integrity_error(self, answer: Any) -> None:
        with pytest.raises(IntegrityError):
            node.head_block(asked_of("eth_getBlockByNumber", answer))

    @pytest.mark.parametrize("answer", [None, "x", {}, {"hash": "0x" + "00" * 32}])
    def test_header_of_another_block_is_an_integrity_error(self, answer: Any) -> None:
        with pytest.raises(IntegrityError, match="doesn't have block"):
            node.header(asked_of("eth_getBlockByHash", answer), HASH)

    def test_full_blocks_come_with_their_receipts(self) -> None:
        rpc: Any = Node(eth_getBlockByNumber={"transactions": []}, eth_getBlockReceipts=None)
        assert node.full_blocks(rpc, [1, 2]) == [({"transactions": []}, [])] * 2


class TestQuestions:
    def test_numbers_are_read_from_hex(self) -> None:
        rpc: Any = Node(
            eth_chainId="0x7a69", eth_blockNumber="0x10", eth_getBalance="0xff", eth_getTransactionCount="0x3"
        )
        assert node.chain_id(rpc) == 31_337
        assert node.block_number(rpc) == 16
        assert node.balance(rpc, "0x1") == 255
        assert node.transaction_count(rpc, "0x1") == 3

    def test_a_block_says_how_much_gas_it_may_use(self) -> None:
        rpc: Any = Node(eth_getBlockByNumber={"gasLimit": "0x1c9c380"})
        assert node.block_gas(rpc) == 30_000_000

    @pytest.mark.parametrize("answer", [None, [], {}, {"gasLimit": None}, {"gasLimit": "0x1" + "0" * 16}])
    def test_a_block_that_does_not_say_it_is_an_integrity_error(self, answer: Any) -> None:
        rpc: Any = Node(eth_getBlockByNumber=answer)
        with pytest.raises(IntegrityError, match="gas limit"):
            node.block_gas(rpc)

    @pytest.mark.parametrize("answer", [None, 5, True, [], {}, "", "0x", "5", "0x-5", " 0x5", "0x_5", "0x" + "f" * 65])
    def test_what_is_no_number_is_an_integrity_error(self, answer: Any) -> None:
        questions: list[Callable[[Any], int]] = [
            lambda rpc: node.chain_id(rpc),
            lambda rpc: node.block_number(rpc),
            lambda rpc: node.balance(rpc, "0x1"),
            lambda rpc: node.transaction_count(rpc, "0x1"),
            lambda rpc: node.estimate_gas(rpc, sender="0x1", to="0x2", data="0x"),
        ]
        names = ("eth_chainId", "eth_blockNumber", "eth_getBalance", "eth_getTransactionCount", "eth_estimateGas")
        for question in questions:
            with pytest.raises(IntegrityError, match="no number"):
                question(Node(**dict.fromkeys(names, answer)))

    @pytest.mark.parametrize(
        ("method", "question"),
        [
            ("eth_getTransactionCount", lambda rpc: node.transaction_count(rpc, "0x1")),
            ("eth_getTransactionCount", lambda rpc: node.pending_count(rpc, "0x1")),
            ("eth_getTransactionCount", lambda rpc: node.waiting_count(rpc, "0x1")),
            ("eth_blockNumber", node.block_number),
            ("eth_estimateGas", lambda rpc: node.estimate_gas(rpc, sender="0x1", to="0x2", data="0x")),
        ],
    )
    def test_what_no_account_and_no_chain_reaches_is_no_number(self, method: str, question: Any) -> None:
        most = (1 << 64) - 1
        assert question(asked_of(method, hex(most))) in (most, 0)
        with pytest.raises(IntegrityError, match="64 bits"):
            question(asked_of(method, hex(1 << 64)))

    @pytest.mark.parametrize("field", ["number", "timestamp"])
    def test_a_block_s_numbers_have_64_bits(self, field: str) -> None:
        block = {"number": "0x1", "hash": HASH, "timestamp": "0x2"}
        most = asked_of("eth_getBlockByNumber", block | {field: hex((1 << 64) - 1)})
        assert (1 << 64) - 1 in (node.head_block(most).number, node.head_block(most).time)
        with pytest.raises(IntegrityError, match="64 bits"):
            node.head_block(asked_of("eth_getBlockByNumber", block | {field: hex(1 << 64)}))

    def test_a_balance_has_256_bits(self) -> None:
        assert node.balance(asked_of("eth_getBalance", "0x" + "f" * 64), "0x1") == (1 << 256) - 1

    def test_an_account_without_code_is_no_contract(self) -> None:
        assert not node.has_code(asked_of("eth_getCode", "0x"), "0x1")
        assert node.has_code(asked_of("eth_getCode", "0x60"), "0x1")

    def test_a_transaction_is_known_or_not(self) -> None:
        assert node.has_transaction(asked_of("eth_getTransactionByHash", {"hash": HASH}), HASH)
        assert not node.has_transaction(asked_of("eth_getTransactionByHash", None), HASH)

    def test_a_transaction_s_calldata_is_bytes_or_unknown(self) -> None:
        rpc = asked_of("eth_getTransactionByHash", {"input": "0x0102"})
        assert node.calldata_of(rpc, HASH) == b"\x01\x02"
        assert node.calldata_of(asked_of("eth_getTransactionByHash", None), HASH) is None
        for told in ({}, {"input": 7}, {"input": "0x1"}, [], "0x"):
            with pytest.raises(IntegrityError, match="has no calldata"):
                node.calldata_of(asked_of("eth_getTransactionByHash", told), HASH)

    def test_estimate_names_who_calls_what(self) -> None:
        rpc = asked_of("eth_estimateGas", "0x5208")
        assert node.estimate_gas(rpc, sender="0x1", to="0x2", data="0x3") == 21_000
        assert rpc.asked == [("eth_estimateGas", [{"from": "0x1", "to": "0x2", "data": "0x3"}])]

    def test_a_refusal_stays_the_node_s_own_error(self) -> None:
        with pytest.raises(RpcAnswerError):
            node.estimate_gas(
                asked_of("eth_estimateGas", RpcAnswerError("reverted")), sender="0x1", to="0x2", data="0x"
            )

    def test_raw_transactions_go_in_one_request(self) -> None:
        rpc = asked_of("eth_sendRawTransaction", HASH)
        node.send_raw(rpc, ["0x01", "0x02"])
        assert [params for _, params in rpc.asked] == [["0x01"], ["0x02"]]

    def test_proof_asks_for_slots_in_hex(self) -> None:
        rpc = asked_of("eth_getProof", {})
        assert node.proof(rpc, "0x1", [bytes(32)], at="0x5") == {}
        assert rpc.asked == [("eth_getProof", ["0x1", ["0x" + "00" * 32], "0x5"])]


@pytest.mark.checkout
def test_nothing_outside_chain_names_a_method_of_a_node() -> None:
    # The gate's rules say which methods may pass, and the benchmarks' nodes answer some: none of them calls one.
    # The benchmark of following fills a chain of Anvil's with events that no program of ours would make.
    benchmarks = (
        ROOT / "benchmarks" / name for name in ("_node.py", "_flood_relay.py", "_growth_chain.py", "follow.py")
    )
    others = {ROOT / "panachain/service/gate/rules.py", *benchmarks}
    found = [
        f"{path.relative_to(ROOT)}:{line} {method}"
        for folder in ("panachain", "scripts", "benchmarks")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not path.is_relative_to(ROOT / "panachain/chain") and path not in others
        for line, method in _methods(path)
    ]
    assert found == []


def _methods(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the JSON-RPC methods that a file's texts name; what a docstring says is no call."""
    source = path.read_text()
    # Most files name none at all, and needn't be parsed.
    if not MAY_NAME.search(source):
        return
    tree = ast.parse(source)
    told = {
        id(statement.value)
        for statement in ast.walk(tree)
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    }
    for found in ast.walk(tree):
        if isinstance(found, ast.Constant) and isinstance(found.value, str | bytes) and id(found) not in told:
            text = found.value.decode("latin-1") if isinstance(found.value, bytes) else found.value
            if match := METHOD.search(text):
                yield found.lineno, match[0]


@pytest.mark.parametrize(("pending", "mined", "waiting"), [("0x5", "0x3", 2), ("0x3", "0x3", 0), ("0x2", "0x3", 0)])
def test_what_waits_is_what_is_counted_and_not_mined(pending: str, mined: str, waiting: int) -> None:
    class Counting(Node):
        def call(self, method: str, params: Sequence[Any] = ()) -> Any:
            assert method == "eth_getTransactionCount"
            return pending if params[1] == "pending" else mined

    assert node.waiting_count(Counting(), HASH) == waiting  # type: ignore[arg-type]
