"""Policies, their terms, and proxies' receipts.

Never decides whether an access is allowed: consent/rules.py does. Follows design sections 5 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Self

from panachain.model.actors import Actor, Address, PolicyId
from panachain.model.codes import Coded
from panachain.model.emergencies import delay_of
from panachain.model.scope import Purpose, Scope


class PolicyStatus(Enum):
    """What `PolicyRegistry.statusOf` answers; the value is the contract's number.

    Examples:
        >>> PolicyStatus(2).name.lower()
        'active'
    """

    UNKNOWN = 0
    NOT_YET = 1
    ACTIVE = 2
    EXPIRED = 3
    REVOKED = 4


@dataclass(frozen=True)
class Disclosure:
    """What an open policy tells everybody; nothing of it in a sealed one (contracts/types/Disclosure.sol)."""

    purposes: int = 0
    """Bits of `Purpose.bit`, 32."""
    categories: int = 0
    """Bits of `Category.bit`, 32."""
    data_use: int = 0
    """DUO codes as bits, 32."""
    study: Address | None = None

    @property
    def word(self) -> int:
        """The word on chain: purposes, categories, DUO codes and study, from the lowest bit on."""
        study = int(self.study, 16) if self.study else 0
        return self.purposes | self.categories << 32 | self.data_use << 64 | study << 96

    @classmethod
    def from_word(cls, word: int) -> Self:
        """Return what a word on chain says."""
        study = word >> 96
        return cls(
            purposes=word & 0xFFFF_FFFF,
            categories=word >> 32 & 0xFFFF_FFFF,
            data_use=word >> 64 & 0xFFFF_FFFF,
            study=Address(f"0x{study:040x}") if study else None,
        )


SEALED: Final = Disclosure()
"""What a sealed policy tells: nothing."""


@dataclass(frozen=True)
class OnChainPolicy:
    """What the mainchain says of a policy at one block."""

    policy_id: PolicyId
    status: PolicyStatus
    starts_at: int
    """Unix seconds, inclusive."""
    expires_at: int
    """Unix seconds, exclusive."""
    terms: bytes
    """The sha2-256 digest in the CID of the sealed terms, 32 bytes (codec raw, sha2-256)."""
    disclosure: Disclosure = SEALED
    block: int = 0
    """The block at which this was read."""
    block_time: int = 0
    """That block's time, Unix seconds."""


@dataclass(frozen=True)
class GrantedLane:
    """One lane of a policy, as its grantee learns it from the terms."""

    scope: Scope
    generation: int
    delegating_key: bytes
    """The lane's Umbral public key, 33 bytes."""
    locator_key: bytes = field(repr=False)
    """32 bytes; HMAC under it with a hospital's address gives that hospital's locator key."""
    pepper: bytes = field(repr=False)
    """32 bytes; HMAC under it with a hospital's address gives that hospital's own pepper."""


@dataclass(frozen=True)
class ProxyRef:
    """A proxy of a policy."""

    address: Address
    endpoint: str
    key_digest: bytes
    """SHA-256 of the proxy's key block, 32 bytes."""

    @classmethod
    def of(cls, actor: Actor) -> Self:
        """Return what a policy keeps of a proxy, as the registry has it now."""
        return cls(actor.address, actor.endpoint, actor.key_digest)


@dataclass(frozen=True)
class Terms:
    """What a policy allows, sealed to its grantee (`panachain/terms/3`, docs/spec/formats.md)."""

    policy_id: PolicyId
    patient: Address
    grantee: Address
    key_digest: bytes
    """SHA-256 of the grantee's key block that the policy was made for, 32 bytes."""
    receiving_key: bytes
    """The grantee's Umbral public key, 33 bytes."""
    verifying_key: bytes
    """The policy's one-time Umbral signer, 33 bytes: it signed the kfrags."""
    purposes: tuple[Purpose, ...]
    starts_at: int
    expires_at: int
    threshold: int
    proxies: tuple[ProxyRef, ...]
    lanes: tuple[GrantedLane, ...]
    audit_key: bytes
    """The patient's key that receipts are sealed to, 1,216 bytes."""
    kfrag_digests: tuple[bytes, ...] = ()
    """SHA-256 of each kfrag, lane by lane, proxy by proxy."""
    hospitals: tuple[Address, ...] = ()
    """Whom the patient had paired with when they granted, then or before: whose records the policy covers. It covers
    those that the patient pairs with later too, as the sidechain tells (ADR 17)."""

    @property
    def is_for_emergencies(self) -> bool:
        """Whether it opens in an emergency alone: its keys are a desk's, its grantee stands for emergencies."""
        return self.emergency_delay is not None

    @property
    def emergency_delay(self) -> int | None:
        """Seconds after an emergency's co-signature from which it opens, 0 for at once; None if it isn't for them."""
        return delay_of(self.patient, self.grantee)

    @property
    def shown_grantee(self) -> Address:
        """Whom people are told as the grantee: for emergencies the patient, whatever account stands for a delay."""
        return self.patient if self.is_for_emergencies else self.grantee


class ReceiptKind(Coded):
    """What a proxy states that it did. The code is the number of `AccessLog.Kind`, which the receipt's hash covers."""

    DEPOSITED = "deposited", 1
    REENCRYPTED = "reencrypted", 2
    DENIED = "denied", 3
    DELETED = "deleted", 4


@dataclass(frozen=True)
class Receipt:
    """A proxy's signed, hash-chained statement (`panachain/receipt/2`, docs/spec/proxy.md)."""

    proxy: Address
    sequence: int
    previous: bytes
    """Hash of the receipt before it in this proxy's log, 32 bytes; zeros for the first."""
    kind: ReceiptKind
    policy_id: PolicyId
    at: int
    """Unix seconds of the block that the proxy looked at."""
    block: int
    """Number of the mainchain block that the proxy looked at."""
    count: int
    """How many kfrags were stored or deleted, or keys re-encrypted."""
    detail: bytes
    """Sealed to the patient's audit key: who asked, for which purpose and lanes; may be empty."""
    signature: bytes
    """The proxy's account signed `LogHead(sequence, hash of the above)`, 65 bytes r ‖ s ‖ v."""


@dataclass(frozen=True)
class LogHead:
    """How far a proxy's log goes, as it signed it (`panachain/log-head/2`, docs/spec/proxy.md)."""

    proxy: Address
    sequence: int
    """Receipts in the log; 0 for none."""
    head: bytes
    """Hash of the last of them, 32 bytes; zeros for none."""
    signature: bytes
    """The proxy's account signed `LogHead(sequence, head)`, 65 bytes r ‖ s ‖ v."""
