"""Sending transactions to a node whose answers are lost on the way: each is sent again, and counts once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from panachain.chain import anvil
from panachain.chain.evm import Sender
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.chain.signing import Account
from panachain.crypto.keys import Seed
from panachain.errors import TransactionError

CHAIN_ID = 31_407
SOMEBODY = "0x" + "11" * 20


class LossyNode:
    """A node whose first answer to each transaction is lost, so that the transaction comes a second time."""

    def __init__(self, rpc: Rpc, first: str = "") -> None:
        self._rpc = rpc
        self._first = first
        self.said: list[str] = []

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        if method != "eth_sendRawTransaction":
            return self._rpc.call(method, params)
        self._rpc.call(method, [self._first or params[0]])
        try:
            return self._rpc.call(method, params)
        except RpcAnswerError as exc:
            self.said.append(str(exc).lower())
            self._rpc.call("evm_mine")
            raise

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return self._rpc.batch(calls)


@pytest.fixture
def rpc(tmp_path: Path) -> Iterator[Rpc]:
    node = anvil.start(tmp_path / "chain", chain_id=CHAIN_ID, free=False)
    try:
        rpc = Rpc(node.url)
        rpc.call("evm_setIntervalMining", [0])
        yield rpc
        rpc.close()
    finally:
        anvil.stop(node.pid)


@pytest.fixture
def account(rpc: Rpc) -> Account:
    account = Account(Seed.random().account_key())
    anvil.fund(rpc, account.address)
    return account


@pytest.mark.parametrize(("mined_at_once", "said"), [(True, "nonce too low"), (False, "already")])
def test_transaction_that_comes_twice_counts_once(
    rpc: Rpc, account: Account, tmp_path: Path, mined_at_once: bool, said: str
) -> None:
    rpc.call("evm_setAutomine", [mined_at_once])
    node = LossyNode(rpc)

    receipt = Sender(node, CHAIN_ID, account, lock_folder=tmp_path).send(SOMEBODY, "0x", what="a call")  # type: ignore[arg-type]

    assert said in node.said[0]
    assert rpc.call("eth_getTransactionReceipt", [receipt.tx_hash])["status"] == "0x1"
    assert rpc.call("eth_getTransactionCount", [account.address, "latest"]) == "0x1"


def test_another_transaction_with_the_nonce_is_an_error(rpc: Rpc, account: Account, tmp_path: Path) -> None:
    fees = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9, "gas": 30_000}
    other, _ = account.sign_transaction(
        {"type": 2, "chainId": CHAIN_ID, "nonce": 0, "to": account.address, "data": "0x", "value": 0} | fees
    )

    with pytest.raises(TransactionError, match=r"nonce too low|underpriced"):
        Sender(LossyNode(rpc, other), CHAIN_ID, account, lock_folder=tmp_path).send(SOMEBODY, "0x", what="a call")  # type: ignore[arg-type]
