"""A mainchain in memory for a relay: it takes some orders, refuses others, and mines at once."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any

from panachain.chain.evm import Receipt
from panachain.chain.mainchain import Mainchain
from panachain.chain.rpc import RpcAnswerError
from panachain.errors import PolicyUnknownError
from panachain.model.actors import PolicyId
from panachain.model.policy import OnChainPolicy

CONTRACT = "0x" + "11" * 20


class TwinMainchain(Mainchain):
    """A mainchain that would take what has an even last byte, and knows no policy."""

    def __init__(self) -> None:
        rpc: Any = SimpleNamespace(call=self.answer)
        super().__init__(rpc, dict.fromkeys(("PolicyRegistry", "AccessLog"), CONTRACT), 31_337)
        self.policies.policy_of = self.nothing  # type: ignore[method-assign]

    def answer(self, method: str, params: Any = ()) -> Any:
        if method == "eth_estimateGas" and int(params[0]["data"][-1], 16) % 2:
            raise RpcAnswerError("execution reverted", code=3)
        return "0x10000"

    def nothing(self, policy_id: PolicyId, *, confirmations: int = 0) -> OnChainPolicy:
        raise PolicyUnknownError("nobody granted it")


class TwinSender:
    """Mines at once."""

    address = "0x" + "22" * 20

    def send(self, to: str, data: str, *, what: str, signed: Any) -> Receipt:
        tx_hash = "0x" + hashlib.sha256(data.encode()).hexdigest()
        signed(tx_hash, "0x02")
        return Receipt(tx_hash, 7, 50_000)
