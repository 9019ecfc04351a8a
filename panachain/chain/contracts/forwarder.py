"""Forwarder on the sidechain: it calls the other contracts in the name of whoever signed, for whoever pays (ERC-2771).

A signed call counts once, in the order of its signer's nonces. Whether it was made is what the event with its digest
says: no answer of a relay, and no nonce, since another call may have had it.
Follows ERC-2771, EIP-712, ADR 22 and contracts/interfaces/IForwarder.sol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from panachain.chain.bound import NOBODY, Adapter
from panachain.chain.evm import Receipt, Sender
from panachain.chain.logs import Event
from panachain.chain.signing import Account, expanded, recover_digest
from panachain.errors import IntegrityError
from panachain.model.actors import Address
from panachain.model.transactions import Call

_TYPES: Final = {
    "ForwardRequest": [
        {"name": "from", "type": "address"},
        {"name": "to", "type": "address"},
        {"name": "value", "type": "uint256"},
        {"name": "gas", "type": "uint256"},
        {"name": "nonce", "type": "uint256"},
        {"name": "deadline", "type": "uint48"},
        {"name": "data", "type": "bytes"},
    ]
}
"""As OpenZeppelin's ERC2771Forwarder has it."""


class Forwarder(Adapter):
    """Signed calls."""

    def next_nonce(self, signer: Address) -> int:
        """Return the nonce of somebody's next call; a node that lies here makes the contract refuse it."""
        found = self.bound.read("nonces", signer)
        if not isinstance(found, int):
            raise IntegrityError("the node gives no nonce")
        return found

    def sign(self, account: Account, call: Call) -> bytes:
        """Return a person's EIP-712 signature of a call, 65 bytes r ‖ s ‖ v: this contract takes no other form."""
        return expanded(self.bound.sign(account, _TYPES, _message(call)))

    def digest_of(self, call: Call) -> bytes:
        """Return what is signed of a call, 32 bytes."""
        return self.bound.digest(_TYPES, _message(call))

    def is_signed(self, call: Call, signature: bytes) -> bool:
        """Tell whether a signature is of a call, and of the person in whose name it is."""
        return recover_digest(self.digest_of(call), signature) == call.signer

    def execute(self, sender: Sender, call: Call, signature: bytes, *, what: str) -> Receipt:
        """Make a signed call, and pay for it."""
        return sender.send(self.address, self.execute_calldata(call, signature), what=what)

    def execute_calldata(self, call: Call, signature: bytes) -> str:
        """Return the calldata of `execute`."""
        return self.bound.calldata("execute", _fields(call, signature))

    def execute_batch_calldata(self, signed: Sequence[tuple[Call, bytes]]) -> str:
        """Return the calldata that makes several signed calls, all or none."""
        return self.bound.calldata("executeBatch", [_fields(*one) for one in signed], NOBODY)

    def forwarded(self, call: Call) -> Event | None:
        """Return the event that says that a call was made, or None where it wasn't."""
        digest = int.from_bytes(self.digest_of(call), "big")
        return next(self.bound.events("Forwarded", where=[call.signer, digest]), None)

    def logs_of(self, call: Call, receipt: Receipt) -> tuple[Mapping[str, Any], ...]:
        """Return which of a transaction's logs are of one call: those before its own event, after another call's."""
        found: list[Mapping[str, Any]] = []
        for log in receipt.logs:
            decoded = self.bound.abi.event(log) if _is_at(log, self.address) else None
            if decoded is None:
                found.append(log)
            elif decoded[0] == "Forwarded":
                if decoded[1]["digest"] == self.digest_of(call):
                    return tuple(found)
                found = []
        raise IntegrityError(f"transaction {receipt.tx_hash} doesn't show the call that it made")


def _is_at(log: Mapping[str, Any], address: str) -> bool:
    return str(log.get("address", "")).lower() == address.lower()


def _message(call: Call) -> dict[str, Any]:
    return {
        "from": call.signer,
        "to": call.to,
        "value": 0,
        "gas": call.gas,
        "nonce": call.nonce,
        "deadline": call.deadline,
        "data": call.data,
    }


def _fields(call: Call, signature: bytes) -> tuple[Any, ...]:
    """Return the contract's struct, which has no nonce: that is the contract's own."""
    return (call.signer, call.to, 0, call.gas, call.deadline, call.data, signature)
