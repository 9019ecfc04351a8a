"""What stands on the chains beside storage transactions: policy transactions, requests and pairings.

Never asks a node: `panachain/chain` reads and writes these. Follows design section 6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from panachain.errors import UsageError
from panachain.model.actors import Address, PolicyId
from panachain.model.emergencies import LASTS, delay_of
from panachain.model.policy import SEALED, Disclosure
from panachain.model.scope import Category

ANNOUNCEMENT_SIZE: Final = 32
"""bytes, the x coordinate of a point whose y is even (BIP-340)."""
WINDOW_BITS: Final = (48, 48, 48, 8)
"""Bits of startsAt, expiresAt, deadline and viewTag, from the lowest on (contracts/types/PolicyWindow.sol)."""

COSIGN_DUE: Final = 3600
"""Seconds within which a second practitioner co-signs an emergency (`EmergencyAccess.COSIGN_DUE`)."""


@dataclass(frozen=True)
class Grant:
    """What a patient signs: the public side of a policy."""

    owner: PolicyId
    starts_at: int
    """Unix seconds, inclusive."""
    expires_at: int
    """Unix seconds, exclusive."""
    deadline: int
    """Unix seconds, inclusive: the signature can't be relayed later."""
    terms: bytes
    """Digest of the CID of the sealed terms, 32 bytes."""
    disclosure: Disclosure = SEALED
    view_tag: int = 0
    """One byte by which grantees pass most of the policies over that aren't theirs (ERC-5564)."""
    announcement: bytes = bytes(ANNOUNCEMENT_SIZE)
    """x coordinate of the one-time public key by which the grantee finds the policy, 32 bytes; zeros for none."""

    @property
    def window(self) -> int:
        """The word on chain: starts_at, expires_at, deadline and view_tag, from the lowest bit on.

        Raises:
            UsageError: a time or the view tag doesn't fit its bits.
        """
        word = shift = 0
        fields = (self.starts_at, self.expires_at, self.deadline, self.view_tag)
        for value, bits in zip(fields, WINDOW_BITS, strict=True):
            # It would run into its neighbour.
            if not 0 <= value < 1 << bits:
                raise UsageError(f"{value} doesn't fit the {bits} bits that a policy's window has for it")
            word |= value << shift
            shift += bits
        return word

    def fields(self) -> tuple[Any, ...]:
        """Return the values in the order of the contract's struct.

        Raises:
            UsageError: a field doesn't fit.
        """
        if len(self.announcement) != ANNOUNCEMENT_SIZE:
            raise UsageError(f"an announcement has {ANNOUNCEMENT_SIZE} bytes, not {len(self.announcement)}")
        return (self.owner, self.window, self.terms, self.announcement, self.disclosure.word)


@dataclass(frozen=True)
class Revocation:
    """A policy taken back, as its one-time account signed it: a proof by itself that never expires (ADR 4)."""

    policy_id: PolicyId
    signature: bytes
    """EIP-712, struct `Revoke` of the policy registry: 64 bytes r ‖ (parity, s) (ERC-2098)."""


@dataclass(frozen=True)
class PolicyEvent:
    """One policy transaction."""

    kind: str
    """`granted` or `revoked`; of a revocation, what follows up to the announcement is zero or empty."""
    policy_id: PolicyId
    starts_at: int
    """Unix seconds, inclusive."""
    expires_at: int
    """Unix seconds, exclusive."""
    terms: bytes
    """Digest of the CID of the sealed terms, 32 bytes."""
    disclosure: Disclosure
    block: int
    block_hash: str
    tx_hash: str
    index: int
    view_tag: int = 0
    """One byte, as `Grant.view_tag`."""
    announcement: bytes = b""
    """32 bytes, as `Grant.announcement`."""


@dataclass(frozen=True)
class AccessRequest:
    """One request for access."""

    request_id: int
    requester: Address
    patient: Address
    details: bytes
    """Digest of the CID of the sealed details, 32 bytes."""
    expires_at: int
    """Unix seconds, exclusive."""
    state: str
    """`none`, `open`, `approved`, `denied`, `withdrawn` or `expired`."""
    referrer: Address | None = None
    """Who made it in the requester's name; nobody if they did themselves."""


@dataclass(frozen=True)
class Wait:
    """How long somebody waits for what was granted to another account: to a group, or for a patient's emergencies."""

    until: int
    """Unix seconds; 0 where it opens at once. Where it doesn't open in time, when the emergency is over."""
    in_time: bool = True
    """Whether it opens before the emergency is over in which it waits."""


NO_WAIT: Final = Wait(0)
"""It opens at once."""


@dataclass(frozen=True)
class Emergency:
    """One emergency: who asked for whose emergency lane, who co-signed, and what became of it."""

    emergency_id: int
    practitioner: Address
    """Who asked, and alone is served."""
    patient: Address
    reason: bytes
    """Digest of the CID of the sealed reason, 32 bytes."""
    requested_at: int
    """Unix seconds."""
    cosigner: Address | None = None
    """Nobody before the co-signature."""
    expires_at: int = 0
    """Unix seconds, exclusive; 0 before the co-signature."""
    review_due_at: int = 0
    """Unix seconds; 0 before the co-signature."""
    reviewed: bool = False
    enforced: bool = False
    """Whether the review was missed, and who asked was suspended."""

    def state(self, at: int) -> str:
        """Return `asked`, `lapsed`, `active`, `over`, `reviewed`, `overdue` or `suspended` at a time, Unix seconds."""
        if self.enforced:
            return "suspended"
        if not self.expires_at:
            return "asked" if at < self.requested_at + COSIGN_DUE else "lapsed"
        if at < self.expires_at:
            return "active"
        if self.reviewed:
            return "reviewed"
        return "over" if at < self.review_due_at else "overdue"

    def is_active(self, at: int) -> bool:
        """Tell whether it opens something at a time, Unix seconds."""
        return at < self.expires_at

    @property
    def cosigned_at(self) -> int:
        """Unix seconds; 0 before the co-signature."""
        return max(0, self.expires_at - LASTS)

    def opens_at(self, grantee: Address, *, counted: Callable[[Emergency], int]) -> Wait | None:
        """Return from when on what was granted to an account is open to whoever asked.

        Args:
            grantee: the patient, or an account that stands for a delay.
            counted: returns from when on a delay counts, Unix seconds; called only where there is one.

        Returns:
            At once where there is no delay: two chains' clocks differ by seconds. None: it isn't for this patient's
            emergencies.
        """
        delay = delay_of(self.patient, grantee)
        if not delay:
            return None if delay is None else NO_WAIT
        opens = counted(self) + delay
        return Wait(min(opens, self.expires_at), in_time=opens < self.expires_at)


def opens_first(
    emergencies: Iterable[Emergency], grantee: Address, *, counted: Callable[[Emergency], int]
) -> Wait | None:
    """Return from when on the first of some emergencies opens what was granted to an account; see `Emergency.opens_at`.

    One in which it opens comes before one in which it doesn't.
    """
    found = [wait for one in emergencies if (wait := one.opens_at(grantee, counted=counted)) is not None]
    return min(found, key=lambda wait: (not wait.in_time, wait.until), default=None)


@dataclass(frozen=True)
class Wardship:
    """Who acts for a patient under care, through which account, in which categories, and until when."""

    number: int
    ward: Address
    account: Address
    """Through which the carer acts: a patient's account that was made for this ward alone."""
    carer: Address
    categories: int
    """Bits of the categories in which the carer acts."""
    keeps: int
    """Those of them that the ward keeps to themselves from `keeps_from` on."""
    keeps_from: int
    """Unix seconds, inclusive."""
    ends_at: int
    """Unix seconds, exclusive."""
    papers: bytes
    """Digest of the CID of the sealed papers, 32 bytes."""
    handover: bytes
    """Digest of the CID of the account's secret, sealed to the ward, 32 bytes."""
    accepted: bool = False
    started_at: int = 0
    """Unix seconds of the registrar's attestation; 0 before."""
    ended_at: int = 0
    """Unix seconds of an early end; 0 without one."""
    is_carer_active: bool = True
    """Whether the registry lets the carer act, as far as whoever looked it up asked that."""

    def state(self, at: int) -> str:
        """Return `proposed`, `accepted`, `in force`, `over` or `ended` at a time, Unix seconds."""
        if self.ended_at:
            return "ended"
        if at >= self.ends_at:
            return "over"
        if self.started_at:
            return "in force"
        return "accepted" if self.accepted else "proposed"

    def is_in_force(self, at: int) -> bool:
        """Tell whether the carer may act at a time, Unix seconds."""
        return self.state(at) == "in force" and self.is_carer_active

    def acts_in(self, at: int) -> frozenset[Category]:
        """Return the categories in which the carer acts at a time, Unix seconds; none unless it is in force."""
        bits = self.categories & ~(self.keeps if at >= self.keeps_from else 0)
        return frozenset(one for one in Category if one.bit & bits) if self.is_in_force(at) else frozenset()

    def until(self, category: Category) -> int:
        """Return until when the carer may grant of a category, Unix seconds, exclusive; 0 for one that isn't theirs."""
        if not category.bit & self.categories:
            return 0
        return min(self.ends_at, self.keeps_from) if category.bit & self.keeps else self.ends_at


@dataclass(frozen=True)
class Call:
    """A call of a contract of the sidechain that a person signs, and that somebody else pays for (ERC-2771)."""

    signer: Address
    """In whose name."""
    to: Address
    """The contract."""
    data: bytes
    """Calldata."""
    gas: int
    """That the call gets; a relay that brings less makes nothing of it."""
    nonce: int
    """The signer's next one: of two calls with one nonce one is made at most."""
    deadline: int
    """Unix seconds, inclusive: the signature can't be used later."""


@dataclass(frozen=True)
class Invitation:
    """A person whom a group's manager listed, and who hasn't accepted."""

    group: Address
    manager: Address
    """Who manages the group now."""


@dataclass(frozen=True)
class PairingEvent:
    """A patient's newest assent to one hospital."""

    patient: Address
    hospital: Address
    digest: bytes
    """Of the CID of the sealed pairing, 32 bytes."""
    paired: bool
    """Whether it still holds."""
