"""Transactions with nonces in a row leave together, and each is paid for once, wherever they are broken off."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.plan import APPOINT, Step
from panachain.chain.rpc import RpcAnswerError
from panachain.chain.series import SeriesSender
from panachain.chain.signing import Account
from panachain.errors import TransactionError
from tests.unit.chain.memory_chain import MemoryChain

ACCOUNT = Account(b"\x01" * 32)
STEPS = [Step(f"call {number}", APPOINT, ACCOUNT.address, f"0x{number:02x}") for number in range(4)]


class Written:
    """A journal in memory."""

    def __init__(self) -> None:
        self.raws: dict[int, list[tuple[str, str]]] = {}

    def sent(self, nonce: int) -> list[tuple[str, str]]:
        return list(self.raws.get(nonce, []))

    def signed(self, nonce: int, tx_hash: str, raw: str) -> None:
        self.raws.setdefault(nonce, []).append((tx_hash, raw))


def sender(chain: MemoryChain, folder: Path) -> SeriesSender:
    seconds = iter(range(10_000))
    return SeriesSender(
        chain,  # type: ignore[arg-type]
        chain.chain_id,
        ACCOUNT,
        lock_folder=folder,
        clock=lambda: float(next(seconds)),
        sleep=lambda _: None,
    )


def test_all_leave_before_any_is_awaited(tmp_path: Path) -> None:
    asked: list[str] = []
    chain = MemoryChain(5, asked.append)
    receipts = sender(chain, tmp_path).send_all(STEPS, first=0, journal=Written())
    assert [receipt.succeeded for receipt in receipts] == [True] * 4
    assert chain.paid == [(ACCOUNT.address.lower(), nonce) for nonce in range(4)]
    last_sent = max(at for at, method in enumerate(asked) if method == "eth_sendRawTransaction")
    assert last_sent < asked.index("eth_getTransactionReceipt")


def test_each_is_written_down_before_it_leaves(tmp_path: Path) -> None:
    written = Written()
    known: list[int] = []
    chain = MemoryChain(5, lambda method: known.append(len(written.raws)) if "sendRaw" in method else None)
    sender(chain, tmp_path).send_all(STEPS, first=0, journal=written)
    assert known[::2] == [1, 2, 3, 4]


def test_what_the_journal_holds_is_sent_as_it_stands_also_where_the_pool_forgot_it(tmp_path: Path) -> None:
    chain, written = MemoryChain(5), Written()

    def lost(method: str) -> None:
        if method == "eth_getTransactionReceipt":
            raise KeyboardInterrupt

    chain.before = lost
    with pytest.raises(KeyboardInterrupt):
        sender(chain, tmp_path).send_all(STEPS, first=0, journal=written)
    before = {nonce: list(sent) for nonce, sent in written.raws.items()}
    chain.before = lambda _: None
    chain.forget()
    sender(chain, tmp_path).send_all(STEPS, first=0, journal=written)
    assert written.raws == before
    assert len(chain.paid) == 4


def test_done_ones_are_neither_sent_nor_paid_again(tmp_path: Path) -> None:
    chain, written = MemoryChain(5), Written()
    sender(chain, tmp_path).send_all(STEPS, first=0, journal=written)
    asked: list[str] = []
    chain.before = asked.append
    sender(chain, tmp_path).send_all(STEPS, first=0, journal=written)
    assert "eth_sendRawTransaction" not in asked
    assert len(chain.paid) == 4


def test_a_nonce_that_went_elsewhere_is_told(tmp_path: Path) -> None:
    chain = MemoryChain(5)
    sender(chain, tmp_path).send_all(STEPS[:1], first=0, journal=Written())
    with pytest.raises(TransactionError, match=r"call 0: nonce 0 of 0x\w+ was used for another transaction"):
        sender(chain, tmp_path).send_all(STEPS, first=0, journal=Written())
    # Also where the journal has a transaction that another one overtook.
    other = Written()
    raw, tx_hash = ACCOUNT.sign_transaction(
        {
            "type": 2,
            "chainId": 5,
            "nonce": 0,
            "gas": 1,
            "maxFeePerGas": 1,
            "maxPriorityFeePerGas": 1,
            "value": 0,
            "data": "0x",
        }
    )
    other.signed(0, tx_hash, raw)
    with pytest.raises(TransactionError, match="was used for another transaction"):
        sender(chain, tmp_path).send_all(STEPS, first=0, journal=other)


def test_a_receipt_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    hidden: list[int] = []

    class Late(MemoryChain):
        """Counts a transaction as mined before it has its receipt, as nodes behind one address do."""

        def _eth_getTransactionReceipt(self, tx_hash: str) -> Any:
            found = super()._eth_getTransactionReceipt(tx_hash)
            return None if found and hidden and hidden.pop() is not None else found

    chain, written = Late(5), Written()
    sender(chain, tmp_path).send_all(STEPS[:2], first=0, journal=written)
    hidden += range(3)
    receipts = sender(chain, tmp_path).send_all(STEPS[:2], first=0, journal=written)
    assert [receipt.succeeded for receipt in receipts] == [True] * 2
    assert hidden == []


def test_one_that_the_node_refuses_is_told_by_its_name(tmp_path: Path) -> None:
    class Refusing(MemoryChain):
        def _eth_sendRawTransaction(self, raw: str) -> str:
            raise RpcAnswerError("insufficient funds")

    with pytest.raises(TransactionError, match=r"call 0: the chain refuses: .*insufficient funds") as caught:
        sender(Refusing(5), tmp_path).send_all(STEPS, first=0, journal=Written())
    assert caught.value.hint == f"send ether to {ACCOUNT.address}, which pays for it"


def test_one_that_would_revert_is_told_before_it_is_signed(tmp_path: Path) -> None:
    class Refusing(MemoryChain):
        def _eth_estimateGas(self, call: Any) -> str:
            if call["data"] == "0x02":
                raise RpcAnswerError("execution reverted")
            return super()._eth_estimateGas(call)

    written = Written()
    with pytest.raises(TransactionError, match="call 2: the chain refuses: execution reverted"):
        sender(Refusing(5), tmp_path).send_all(STEPS, first=0, journal=written)
    assert sorted(written.raws) == [0, 1]


def test_one_that_reverted_is_told(tmp_path: Path) -> None:
    class Reverting(MemoryChain):
        def _eth_getTransactionReceipt(self, tx_hash: str) -> Any:
            found = super()._eth_getTransactionReceipt(tx_hash)
            return found | {"status": "0x0"}

    with pytest.raises(TransactionError, match=r"call 0: .* was mined and reverted"):
        sender(Reverting(5), tmp_path).send_all(STEPS, first=0, journal=Written())


def test_the_price_is_what_is_signed(tmp_path: Path) -> None:
    chain = MemoryChain(5)
    prices: Sequence[int] = [sender(chain, tmp_path).price()]
    written = Written()
    sender(chain, tmp_path).send_all(STEPS[:1], first=0, journal=written)
    from panachain.chain.signing import decode_transaction

    assert prices == [decode_transaction(written.raws[0][0][1])["maxFeePerGas"]]
