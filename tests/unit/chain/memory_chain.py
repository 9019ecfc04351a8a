"""A chain in memory that takes signed transactions: nonces, a pool, receipts, and the code of contracts of ours.

It executes nothing: a contract's code is there once its creation is mined, and every call of one succeeds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from eth_account import Account as EthAccount

from panachain.chain.abi import contract
from panachain.chain.plan import created_at
from panachain.chain.rpc import RpcAnswerError
from panachain.chain.signing import decode_transaction
from panachain.ethereum import keccak
from tests.unit.chain.test_headers import block_of

NAMES = (
    *("AccessManager", "ActorRegistry", "PolicyRegistry", "Checkpoints"),
    *("Forwarder", "IdentityRegistry", "AccessRequests", "EmergencyAccess", "CareGroups", "Wardships"),
)


class Killed(BaseException):
    """What a process that is killed would notice: nothing; no handler may catch it."""


class MemoryChain:
    """One node and its chain, which mines what waits when somebody asks for a receipt."""

    def __init__(self, chain_id: int, before: Callable[[str], None] = lambda _: None) -> None:
        """Make an empty chain.

        Args:
            chain_id: its ID.
            before: called with the method before each call has its effect, and again after it.
        """
        self.url, self.chain_id, self.before = f"http://chain-{chain_id}.test", chain_id, before
        self.pool: dict[tuple[str, int], tuple[str, dict[str, Any]]] = {}
        self.mined: dict[str, dict[str, Any]] = {}
        """Receipts by hash."""
        self.paid: list[tuple[str, int]] = []
        """Sender and nonce of each mined transaction."""
        self.code: dict[str, str] = {}
        self.reverts: set[str] = set()
        """Creations of these contracts revert when they are mined."""
        self.balance = 10**21
        self.base_fee = 7
        """Wei that a unit of gas costs at least."""
        self._lock = threading.RLock()

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        with self._lock:
            self.before(method)
            if not hasattr(self, f"_{method}"):
                raise RpcAnswerError(f"the method {method} does not exist", code=-32601)
            answer = getattr(self, f"_{method}")(*params)
            self.before(method)
            return answer

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [self.call(*one) for one in calls]

    def close(self) -> None:
        """Nothing is open."""

    def forget(self) -> None:
        """Lose what waits, as a pool does that is full or starts anew."""
        self.pool.clear()

    def count(self, account: str) -> int:
        return sum(sender == account.lower() for sender, _ in self.paid)

    def _eth_chainId(self) -> str:
        return hex(self.chain_id)

    def _eth_blockNumber(self) -> str:
        return "0x7"

    def _eth_getBlockByNumber(self, *_: Any) -> Any:
        return block_of(7, base_fee_per_gas=self.base_fee)

    def _eth_getTransactionCount(self, account: str, tag: str) -> str:
        nonce = self.count(account)
        while tag == "pending" and (account.lower(), nonce) in self.pool:
            nonce += 1
        return hex(nonce)

    def _eth_getBalance(self, *_: Any) -> str:
        return hex(self.balance)

    def _eth_estimateGas(self, call: Any) -> str:
        return hex(2_000_000 if "to" not in call else 50_000)

    def _eth_getCode(self, address: str, _: str) -> str:
        return self.code.get(address.lower(), "0x")

    def _eth_call(self, call: Any, _: str) -> str:
        made = {
            contract("ActorRegistry").calldata("recordLedger"): 1,
            contract("ActorRegistry").calldata("accessLog"): 2,
        }
        return "0x" + "00" * 12 + created_at(call["to"], made[call["data"]])[2:]

    def _eth_sendRawTransaction(self, raw: str) -> str:
        transaction = decode_transaction(raw)
        sender, tx_hash = EthAccount.recover_transaction(raw).lower(), "0x" + keccak(bytes.fromhex(raw[2:])).hex()
        place = (sender, transaction["nonce"])
        if transaction["nonce"] < self.count(sender):
            raise RpcAnswerError("nonce too low")
        if place in self.pool:
            raise RpcAnswerError("already known" if self.pool[place][0] == tx_hash else "replacement underpriced")
        self.pool[place] = tx_hash, transaction
        return tx_hash

    def _eth_getTransactionReceipt(self, tx_hash: str) -> Any:
        for place in sorted(self.pool):
            if place[1] == self.count(place[0]):
                self._mine(place, *self.pool.pop(place))
        return self.mined.get(tx_hash)

    def _mine(self, place: tuple[str, int], tx_hash: str, transaction: dict[str, Any]) -> None:
        self.paid.append(place)
        made, fits = None, True
        if "to" not in transaction:
            made = created_at(place[0], place[1])
            name = next(name for name in NAMES if transaction["data"].startswith(contract(name).bytecode))
            fits = name not in self.reverts
            if fits:
                self.code[made.lower()] = "0x" + contract(name).runtime.hex()
                if name == "ActorRegistry":
                    for nonce, own in ((1, "RecordLedger"), (2, "AccessLog")):
                        self.code[created_at(made, nonce).lower()] = "0x" + contract(own).runtime.hex()
        self.mined[tx_hash] = {
            "transactionHash": tx_hash,
            "blockNumber": "0x8",
            "gasUsed": "0x5208",
            "contractAddress": made if fits else None,
            "logs": [],
            "status": "0x1" if fits else "0x0",
        }
