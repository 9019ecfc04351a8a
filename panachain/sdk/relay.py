"""Relays: who pays for a patient's signed transactions, and can neither change, repeat nor usefully withhold them.

Never believed: who asked looks at the chain afterwards. Follows design section 6 (patients are gasless).
"""

from __future__ import annotations

from typing import Protocol

from panachain.chain.evm import Receipt, Sender
from panachain.chain.mainchain import Grant, Mainchain
from panachain.model.actors import PolicyId
from panachain.model.policy import Receipt as ProxyReceipt


class Relay(Protocol):
    """What a relay does for patients."""

    def grant(self, grant: Grant, signature: bytes) -> Receipt:
        """Send a signed grant and wait until it is mined."""
        ...

    def revoke(self, policy_id: PolicyId, signature: bytes) -> Receipt:
        """Send a signed revocation and wait until it is mined."""
        ...

    def convict(self, receipt: ProxyReceipt) -> Receipt:
        """Submit a receipt by which a proxy served what wasn't allowed."""
        ...


class LocalRelay:
    """An account of this machine that pays."""

    def __init__(self, mainchain: Mainchain, sender: Sender) -> None:
        """Take the chain and the account that pays."""
        self._mainchain = mainchain
        self._sender = sender

    def grant(self, grant: Grant, signature: bytes) -> Receipt:
        """Send a signed grant."""
        return self._mainchain.grant_by_signature(self._sender, grant, signature)

    def revoke(self, policy_id: PolicyId, signature: bytes) -> Receipt:
        """Send a signed revocation."""
        return self._mainchain.revoke_by_signature(self._sender, policy_id, signature)

    def convict(self, receipt: ProxyReceipt) -> Receipt:
        """Submit the evidence of a late service."""
        return self._mainchain.prove_late_service(self._sender, receipt)
