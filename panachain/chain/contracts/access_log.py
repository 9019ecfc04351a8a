"""AccessLog on the mainchain: anchors of the proxies' logs, and evidence that convicts a proxy.

Follows design section 6, contracts/interfaces/IAccessLog.sol and docs/spec/proxy.md.
"""

from __future__ import annotations

from panachain.chain.abi import address
from panachain.chain.bound import Adapter, halves
from panachain.chain.evm import Receipt, Sender
from panachain.chain.logs import Event
from panachain.chain.receipts import log_domain, receipt_fields, sign_head
from panachain.chain.signing import Account, compact
from panachain.model.actors import Address
from panachain.model.policy import Receipt as ProxyReceipt


class AccessLog(Adapter):
    """Anchors of the proxies' logs, and evidence against proxies."""

    @property
    def domain(self) -> bytes:
        """The EIP-712 domain under which proxies sign their receipts, 32 bytes."""
        return log_domain(self.bound.chain_id, self.address)

    def sign_anchor(self, account: Account, sequence: int, head: bytes) -> bytes:
        """Return a proxy's signature of its log's head as `anchor` takes it, 64 bytes; anyone may relay it."""
        return compact(sign_head(account, self.domain, sequence=sequence, head=head))

    def anchor(self, sender: Sender, proxy: Address, sequence: int, head: bytes, signature: bytes) -> Receipt:
        """Anchor the head of a proxy's receipt log, signed by `sign_anchor`."""
        return self.bound.send(
            sender, "anchor", proxy, sequence, head, halves(signature), what="anchoring the receipt log"
        )

    def anchor_of(self, proxy: Address) -> tuple[int, bytes]:
        """Return the newest anchored sequence (0 for none) and head of a proxy."""
        newest = (0, bytes(32))
        for event in self.bound.events("HeadAnchored", where=[proxy]):
            newest = event.values["sequence"], event.values["head"]
        return newest

    def prove_late_service(self, sender: Sender, receipt: ProxyReceipt) -> Receipt:
        """Convict a proxy by its own receipt for a re-encryption that the policy didn't allow; anyone may."""
        return sender.send(self.address, self.prove_late_service_calldata(receipt), what="the evidence of late service")

    def prove_late_service_calldata(self, receipt: ProxyReceipt) -> str:
        """Return the calldata of `prove_late_service`, for whoever sends it otherwise."""
        return self.bound.calldata("proveLateService", receipt.proxy, receipt_fields(receipt), receipt.signature)

    def proof_of_late_service(self, receipt: ProxyReceipt) -> Event | None:
        """Return the event by which a proxy was convicted by this receipt, or None when there is none."""
        for event in self.bound.events("LateServiceProven", where=[receipt.proxy]):
            values = event.values
            if values["sequence"] == receipt.sequence and address(values["policyId"]) == receipt.policy_id:
                return event
        return None

    def convictions_of(self, proxy: Address) -> list[Event]:
        """Return the events by which a proxy was convicted, of late service or of two histories."""
        return list(self.bound.events("LateServiceProven", "ForkProven", where=[proxy]))

    def prove_fork(
        self, sender: Sender, proxy: Address, sequence: int, first: tuple[bytes, bytes], second: tuple[bytes, bytes]
    ) -> Receipt:
        """Convict a proxy by two (head, signature) pairs for one sequence; anyone may."""
        return self.bound.send(
            sender, "proveFork", proxy, sequence, *first, *second, what="the evidence of two histories"
        )
