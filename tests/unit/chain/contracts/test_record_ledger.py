"""RecordLedger's adapter: batches and heads; tests/unit/chain/test_proofs.py holds what a proof proves."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak

from panachain.chain.bound import BoundContract
from panachain.chain.contracts.record_ledger import RecordLedger
from panachain.chain.rpc import RpcAnswerError
from panachain.errors import ChainUnavailableError, IntegrityError, TransactionError
from panachain.model.storage_transactions import StorageEvent
from tests.support import chain_refuses
from tests.unit.chain.contracts.node import CHAIN_ID, HOSPITAL, STRANGER, WHERE, Node, Sender
from tests.unit.chain.test_headers import block_of
from tests.unit.chain.test_proofs import CONTRACT, State

MANIFEST, HEAD = b"m" * 32, b"h" * 32


@pytest.fixture
def node() -> Node:
    return Node("RecordLedger")


def store(node: Node, hospital: str = HOSPITAL, sequence: int = 1, *, previous: bytes = HEAD, **more: int) -> None:
    values = {"hospital": hospital, "sequence": sequence, "manifest": MANIFEST, "count": 3, "previous": previous}
    node.emit("RecordsStored", **values, **more)


def test_a_batch_is_one_digest_and_a_count(node: Node) -> None:
    sender = Sender(node)
    given: list[Any] = []
    send = sender.send
    sender.send = lambda *args, **more: given.append(more) or send(*args, **more)  # type: ignore[method-assign]

    def signed(*_: str) -> None:
        raise AssertionError("nothing is signed here")

    node.adapter(RecordLedger).store(sender, MANIFEST, 3, signed=signed)
    assert sender.sent == [("store", (MANIFEST, 3))]
    # Before whatever else of this account waits: it would take the manifest's place.
    assert [(one["alone"], one["signed"]) for one in given] == [(True, signed)]


class TestEstimate:
    def estimate(self, node: Node, answer: Any) -> int:
        def call(method: str, params: Any = ()) -> Any:
            assert (method, params[0]["from"], params[0]["to"]) == ("eth_estimateGas", HOSPITAL, WHERE)
            # No zero byte: a real digest costs no more.
            assert node.decoded(params[0]["data"]) == ("store", (b"\xff" * 32, 3))
            if isinstance(answer, Exception):
                raise answer
            return answer

        node.call = call  # type: ignore[method-assign]
        return node.adapter(RecordLedger).estimate_store(HOSPITAL, 3)

    def test_is_the_node_s(self, node: Node) -> None:
        assert self.estimate(node, "0xc350") == 50_000

    def test_of_what_the_contract_refuses_names_its_error(self, node: Node) -> None:
        refusal = keccak(text="LedgerNotActiveHospital(address)")[:4] + encode(["address"], [HOSPITAL])
        with chain_refuses(r"LedgerNotActiveHospital.*0xa3a3"):
            self.estimate(node, RpcAnswerError("execution reverted", code=3, data=refusal))

    def test_without_a_reason_says_what_the_node_says(self, node: Node) -> None:
        with pytest.raises(TransactionError, match="out of memory"):
            self.estimate(node, RpcAnswerError("out of memory"))


class TestHeads:
    def test_ledger_is_sequence_and_head_that_the_batches_add_up_to(self, node: Node) -> None:
        ledger = node.adapter(RecordLedger)
        head = ledger.first_head(HOSPITAL)
        assert ledger.ledger_of(HOSPITAL) == (0, head)
        for sequence in (1, 2, 3):
            store(node, sequence=sequence, previous=head)
            store(node, STRANGER, sequence=sequence)
            head = ledger.fold_heads(head, [(MANIFEST, 3)])
        assert ledger.ledger_of(HOSPITAL) == (3, head)
        assert [event.sequence for event in ledger.batches_of(HOSPITAL)] == [1, 2, 3]
        assert node.asked == []

    @pytest.mark.parametrize("shown", [(1, 2), (0, 2), (0, 2, 1), (0, 0), (0, 1, 1)])
    def test_batches_that_do_not_follow_each_other_are_an_integrity_error(
        self, node: Node, shown: tuple[int, ...]
    ) -> None:
        ledger = node.adapter(RecordLedger)
        head = ledger.first_head(HOSPITAL)
        for sequence in (1, 2, 3):
            store(node, sequence=sequence, previous=head)
            head = ledger.fold_heads(head, [(MANIFEST, 3)])
        node.logs = [node.logs[place] for place in shown]
        for asked in (ledger.batches_of, ledger.ledger_of):
            with pytest.raises(IntegrityError, match="doesn't follow"):
                asked(HOSPITAL)

    def test_a_batch_that_names_another_history_is_an_integrity_error(self, node: Node) -> None:
        store(node)
        with pytest.raises(IntegrityError, match="doesn't follow the 0 before it"):
            node.adapter(RecordLedger).ledger_of(HOSPITAL)

    def test_first_head_names_chain_contract_and_hospital(self, node: Node) -> None:
        expected = keccak(encode(["uint256", "address", "address"], [CHAIN_ID, WHERE, HOSPITAL]))
        assert node.adapter(RecordLedger).first_head(HOSPITAL) == expected

    def test_heads_fold_batch_by_batch(self) -> None:
        folded = HEAD
        for manifest, count in ((b"a" * 32, 1), (b"b" * 32, 2)):
            folded = keccak(encode(["bytes32", "bytes32", "uint32"], [folded, manifest, count]))
        assert RecordLedger.fold_heads(HEAD, [(b"a" * 32, 1), (b"b" * 32, 2)]) == folded
        assert RecordLedger.fold_heads(HEAD, []) == HEAD
        assert RecordLedger.fold_heads(HEAD, [(b"b" * 32, 2), (b"a" * 32, 1)]) != folded


class TestEvents:
    def test_a_storage_transaction_has_its_place_on_the_chain(self, node: Node) -> None:
        store(node, block=8, tx=5)
        expected = StorageEvent(HOSPITAL, 1, MANIFEST, 3, HEAD, 8, "0x" + "0b" * 32, f"0x{5:064x}", 0)
        assert list(node.adapter(RecordLedger).events()) == [expected]

    def test_only_a_hospital_s_and_only_of_some_blocks(self, node: Node) -> None:
        for block, hospital in enumerate((HOSPITAL, STRANGER, HOSPITAL), start=1):
            store(node, hospital, sequence=block, block=block)
        ledger = node.adapter(RecordLedger)
        assert [event.sequence for event in ledger.events(hospital=HOSPITAL)] == [1, 3]
        assert [event.sequence for event in ledger.events(from_block=2, to_block=2)] == [2]

    def test_a_log_that_was_removed_is_none(self, node: Node) -> None:
        store(node)
        node.logs[0]["removed"] = True
        assert list(node.adapter(RecordLedger).events()) == []

    def test_a_log_of_the_wrong_shape_is_an_integrity_error(self, node: Node) -> None:
        store(node)
        node.logs[0]["data"] = "0x12"
        with pytest.raises(IntegrityError):
            list(node.adapter(RecordLedger).events())


class Proving:
    """A node that proves the slots of a hospital by the root of one block."""

    url = "http://node.test"

    def __init__(self, sequence: int, head: bytes, admitted: bool) -> None:
        # Solidity's layout: a mapping at slot 0, whose struct packs `admitted` and `sequence` into its first word.
        first = int.from_bytes(keccak(encode(["address", "uint256"], [HOSPITAL, 0])))
        packed = sequence << 8 | admitted
        self.state = State({first: packed, first + 1: int.from_bytes(head)}, others=2)
        self.block = block_of(7, state_root=self.state.root)

    def call(self, method: str, params: Any = ()) -> Any:
        if method == "eth_getProof":
            assert (params[0], params[2]) == (CONTRACT, self.block["number"])
            return self.state.answer(*[int(slot, 16) for slot in params[1]])
        assert method in ("eth_getBlockByNumber", "eth_getBlockByHash")
        return self.block

    def ledger(self) -> RecordLedger:
        return RecordLedger(BoundContract(self, "RecordLedger", CONTRACT, chain_id=CHAIN_ID))  # type: ignore[arg-type]


class TestProof:
    @pytest.mark.parametrize("admitted", [True, False])
    @pytest.mark.parametrize("sequence", [1, 255, 256, 2**64 - 1])
    def test_is_the_ledger_under_a_blocks_root(self, sequence: int, admitted: bool) -> None:
        node = Proving(sequence, HEAD, admitted)
        for block_hash in (None, node.block["hash"]):
            proven = node.ledger().prove_head(HOSPITAL, block_hash=block_hash)
            assert (proven.sequence, proven.head, proven.admitted) == (sequence, HEAD, admitted)
            assert (proven.block, proven.block_hash) == (7, node.block["hash"])

    def test_of_a_hospital_without_batches_is_empty(self) -> None:
        proven = Proving(3, HEAD, admitted=True).ledger().prove_head(STRANGER)
        assert (proven.sequence, proven.head, proven.admitted) == (0, bytes(32), False)

    def test_under_another_root_proves_nothing(self) -> None:
        node = Proving(3, HEAD, admitted=True)
        node.block = block_of(7, state_root=Proving(4, HEAD, admitted=True).state.root)
        with pytest.raises(IntegrityError):
            node.ledger().prove_head(HOSPITAL)

    @pytest.mark.parametrize(
        ("told", "expected"),
        [("the proof is refused", IntegrityError), ("missing trie node", ChainUnavailableError)],
    )
    def test_that_a_node_refuses_is_an_integrity_error_and_a_pruned_one_is_no_liar(
        self, told: str, expected: type[Exception]
    ) -> None:
        node = Proving(3, HEAD, admitted=True)

        def call(method: str, params: Any = ()) -> Any:
            if method == "eth_getProof":
                raise RpcAnswerError(told)
            return node.block

        node.call = call  # type: ignore[method-assign]
        with pytest.raises(expected):
            node.ledger().prove_head(HOSPITAL)
