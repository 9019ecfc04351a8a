"""What patients and grantees ask of a proxy, as it is signed.

Holds values only: chain/typed.py hashes and signs them, proxy/messages.py writes them as JSON.
Follows docs/spec/proxy.md (version 2).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from panachain.model.actors import Address, PolicyId
from panachain.model.scope import Purpose


@dataclass(frozen=True)
class ReencryptRequest:
    """A grantee asks for cfrags."""

    proxy: Address
    """The only proxy that may serve it."""
    policy_id: PolicyId
    grantee: Address
    """To whom the patient granted the policy: a person, or a group."""
    requester: Address
    """The person who asks, and signs."""
    purpose: Purpose
    lane: int
    """Position among the policy's lanes, from 0 on."""
    capsules: tuple[bytes, ...] = field(repr=False)
    """`CAPSULE_SIZE` bytes each."""
    expires_at: int
    """Unix seconds, exclusive."""
    nonce: bytes
    """16 bytes, used once."""
    signature: bytes = b""
    """The requester's, `SIGNATURE_SIZE` bytes r ‖ s ‖ v; empty until it is signed."""


@dataclass(frozen=True)
class DepositedLane:
    """One lane's key fragment on its way to a proxy."""

    delegating_key: bytes
    """The lane's Umbral public key, 33 bytes."""
    kfrag: bytes = field(repr=False)
    """`KFRAG_SIZE` bytes."""


@dataclass(frozen=True)
class DepositRequest:
    """A patient hands a proxy its kfrags for one policy."""

    proxy: Address
    policy_id: PolicyId
    grantee: Address
    receiving_key: bytes
    """The grantee's Umbral public key, 33 bytes."""
    verifying_key: bytes
    """The policy's one-time Umbral signer, 33 bytes."""
    audit_key: bytes
    """The patient's key that receipts are sealed to, 1,216 bytes."""
    terms: bytes
    """Digest of the CID of the sealed terms, 32 bytes."""
    purposes: tuple[Purpose, ...]
    lanes: tuple[DepositedLane, ...]
    expires_at: int
    """Unix seconds, exclusive."""
    nonce: bytes
    """16 bytes, used once."""
    signature: bytes = b""
    """By the policy's one-time account, 65 bytes."""


class ReceiptPart(Enum):
    """A part of a policy's receipts, each with pages of its own: nobody's refusals stand before what was served."""

    SERVED = "served"
    """What was deposited, re-encrypted and deleted."""
    REFUSED = "refused"
    """Refusals of people whom the registry knows."""
    STRANGERS = "strangers"
    """Refusals of everybody else: anybody can make an account and be refused."""
    ALL = "all"
    """Everything: one question for whoever read all parts to their ends before."""
    PROOF = "proof"
    """No receipts, but the proof of which there are; only `POST /v1/proof` answers it."""


@dataclass(frozen=True)
class ReceiptsRequest:
    """A patient asks for a page of a policy's receipts."""

    proxy: Address
    policy_id: PolicyId
    expires_at: int
    """Unix seconds, exclusive."""
    nonce: bytes
    """16 bytes, used once."""
    signature: bytes = b""
    """By the policy's one-time account, 65 bytes."""
    part: ReceiptPart = ReceiptPart.SERVED
    after: int = 0
    """The sequence after which the page begins."""


SignedRequest = ReencryptRequest | DepositRequest | ReceiptsRequest
