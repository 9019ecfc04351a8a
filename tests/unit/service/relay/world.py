"""A mainchain in memory for a relay: it takes some orders, refuses others, and mines at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from panachain.chain.evm import Receipt
from panachain.chain.mainchain import Mainchain
from panachain.chain.rpc import RpcAnswerError
from panachain.errors import PolicyUnknownError
from panachain.model.actors import PolicyId
from panachain.model.policy import OnChainPolicy
from panachain.model.transactions import Grant
from panachain.service.relay.service import Budget, RelayService
from panachain.service.relay.store import RelayStore

CONTRACT = "0x" + "11" * 20
PLENTY = Budget(10**9, 10**6)


class TwinMainchain(Mainchain):
    """A mainchain that would take what has an even last byte, and knows no policy."""

    def __init__(self) -> None:
        rpc: Any = SimpleNamespace(call=self.answer)
        super().__init__(rpc, dict.fromkeys(("PolicyRegistry", "AccessLog"), CONTRACT), 31_337)
        self.block_gas = 30_000_000
        self.policies.policy_of = self.nothing  # type: ignore[method-assign]

    def answer(self, method: str, params: Any = ()) -> Any:
        if method == "eth_estimateGas" and int(params[0]["data"][-1], 16) % 2:
            raise RpcAnswerError("execution reverted", code=3)
        return {"gasLimit": hex(self.block_gas)} if method == "eth_getBlockByNumber" else "0x10000"

    def nothing(self, policy_id: PolicyId) -> OnChainPolicy:
        raise PolicyUnknownError("nobody granted it")


class TwinSender:
    """Mines at once."""

    address = "0x" + "22" * 20

    def send(self, to: str, data: str, *, what: str, signed: Any) -> Receipt:
        tx_hash = "0x" + hashlib.sha256(data.encode()).hexdigest()
        signed(tx_hash, "0x02")
        return Receipt(tx_hash, 7, 50_000)


@contextmanager
def running(folder: Path, *, budget: Budget = PLENTY, sender: Any = None, **settings: Any) -> Iterator[RelayService]:
    """Run a relay before the twin; `settings` are its service's."""
    store = RelayStore(folder / "relay.sqlite")
    chain = TwinMainchain()
    chain.block_gas = settings.pop("block_gas", chain.block_gas)
    service = RelayService(chain, sender or TwinSender(), store, budget, **settings)
    service.start()
    try:
        yield service
    finally:
        service.stop(timeout=60)
        store.close()


def even(policy: int = 1) -> bytes:
    """Return a signature whose order the twin takes."""
    return policy.to_bytes(32, "big") + bytes(32)


def policy_id(number: int) -> PolicyId:
    return PolicyId(f"0x{number:040x}")


def signed_grant(number: int) -> tuple[Grant, bytes]:
    """Return a grant of a policy of its own; signatures mean nothing to the twin."""
    grant = Grant(owner=policy_id(number), starts_at=1, expires_at=9, deadline=5, terms=bytes(32))
    return grant, even(number)
