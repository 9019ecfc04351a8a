"""PolicyRegistry on the mainchain: grants and revocations, signed by each policy's one-time key.

A policy is what its events and the time of one block say, so it is as good as the source of events (ADR 13); a node's
word is asked only where it can refuse, and never allow.
Follows design section 6 and contracts/interfaces/IPolicyRegistry.sol.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from panachain.chain.abi import address
from panachain.chain.bound import MANY, Adapter, Indexed, halves
from panachain.chain.evm import Receipt, Sender
from panachain.chain.logs import Event
from panachain.chain.node import calldata_of
from panachain.chain.signing import Account, compact
from panachain.errors import ChainUnavailableError, IntegrityError, PolicyUnknownError
from panachain.model.actors import Address, PolicyId
from panachain.model.block import Block
from panachain.model.policy import SEALED, Disclosure, OnChainPolicy, PolicyStatus
from panachain.model.sizes import SIGNATURE_SIZE
from panachain.model.transactions import WINDOW_BITS, Grant, PolicyEvent

_GRANT_TYPES: Final = {
    "Grant": [
        {"name": "owner", "type": "address"},
        {"name": "window", "type": "uint256"},
        {"name": "terms", "type": "bytes32"},
        {"name": "announcement", "type": "bytes32"},
        {"name": "disclosure", "type": "uint256"},
    ]
}
_REVOKE_TYPES: Final = {"Revoke": [{"name": "owner", "type": "address"}]}
_REVOKE_GAS: Final = 100_000
"""Gas for a revocation whose node gives no estimate: twice what one takes (tests/contracts/gas.json)."""
_LOGS_OF: Final = {"PolicyGranted": ("PolicyGranted", "PolicyDisclosed"), "PolicyRevoked": ("PolicyRevoked",)}
"""The logs of each kind of policy transaction: what an open policy tells stands right after its grant."""


class PolicyRegistry(Adapter):
    """Policy transactions."""

    # Grants and revocations

    def sign_grant(self, account: Account, grant: Grant) -> bytes:
        """Return the one-time key's EIP-712 signature of a grant; anyone may relay it until its deadline."""
        names = [field["name"] for field in _GRANT_TYPES["Grant"]]
        return self.bound.sign(account, _GRANT_TYPES, dict(zip(names, grant.fields(), strict=True)))

    def grant_by_signature(self, sender: Sender, grant: Grant, signature: bytes) -> Receipt:
        """Relay a signed grant."""
        data = self.grant_by_signature_calldata(grant, signature)
        return sender.send(self.address, data, what="the policy transaction (grant)")

    def grant_batch(self, sender: Sender, signed: Sequence[tuple[Grant, bytes]]) -> Receipt:
        """Relay several (grant, signature), all or none."""
        data = self.grant_batch_calldata(signed)
        return sender.send(self.address, data, what="the policy transaction (grants)")

    def sign_revoke(self, account: Account, *, heir: PolicyId | None = None) -> bytes:
        """Return the one-time key's EIP-712 signature of its policy's revocation; it never expires (ADR 4).

        Args:
            account: the policy's one-time account.
            heir: the policy that takes its place. Each heir makes another signature, which counts as much; nobody else
                can tell it from one without an heir (ADR 85).
        """
        more = None if heir is None else bytes.fromhex(heir[2:]).rjust(32, b"\0")
        return self.bound.sign(account, _REVOKE_TYPES, {"owner": account.address}, more=more)

    def revoked_with(self, event: PolicyEvent) -> bytes:
        """Return the signature by which a policy was revoked, as the node shows the transaction: 64 bytes.

        Empty where the transaction calls no function of the registry that takes one for this policy.

        Raises:
            ChainUnavailableError: no node that answers knows the transaction.
            IntegrityError: the node's answer is no transaction.
        """
        data = calldata_of(self.bound.rpc, event.tx_hash)
        if data is None:
            raise ChainUnavailableError(
                f"no node shows the transaction {event.tx_hash} that revoked policy {event.policy_id}"
            )
        try:
            if (one := self.bound.abi.arguments("revokeBySignature", data)) is not None:
                signed = [(one[0], one[1])]
            else:
                owners, signatures = self.bound.abi.arguments("revokeBatch", data) or ((), ())
                signed = [(owner, b"".join(halved)) for owner, halved in zip(owners, signatures, strict=True)]
        except ValueError:
            return b""
        found = [signature for owner, signature in signed if PolicyId(address(owner)) == event.policy_id]
        # Whoever passes it on may write it in the longer form.
        return compact(found[0]) if found and len(found[0]) == SIGNATURE_SIZE else b"".join(found[:1])

    def revoke_by_signature(self, sender: Sender, owner: PolicyId, signature: bytes) -> Receipt:
        """Relay a signed revocation, also where the node says that the contract would refuse it."""
        data = self.revoke_by_signature_calldata(owner, signature)
        return sender.send(self.address, data, what="the policy transaction (revoke)", gas=_REVOKE_GAS)

    def revoke_batch(self, sender: Sender, signed: Sequence[tuple[PolicyId, bytes]]) -> Receipt:
        """Relay several (owner, signature), all or none."""
        data = self.revoke_batch_calldata(signed)
        return sender.send(self.address, data, what="the policy transaction (revocations)")

    # Calldata, for whoever sends these transactions otherwise

    def grant_by_signature_calldata(self, grant: Grant, signature: bytes) -> str:
        """Return the calldata of `grant_by_signature`."""
        return self.bound.calldata("grantBySignature", grant.fields(), signature)

    def grant_batch_calldata(self, signed: Sequence[tuple[Grant, bytes]]) -> str:
        """Return the calldata of `grant_batch`."""
        signatures = [halves(signature) for _, signature in signed]
        return self.bound.calldata("grantBatch", [grant.fields() for grant, _ in signed], signatures)

    def revoke_by_signature_calldata(self, owner: PolicyId, signature: bytes) -> str:
        """Return the calldata of `revoke_by_signature`."""
        return self.bound.calldata("revokeBySignature", owner, signature)

    def revoke_batch_calldata(self, signed: Sequence[tuple[PolicyId, bytes]]) -> str:
        """Return the calldata of `revoke_batch`."""
        signatures = [halves(signature) for _, signature in signed]
        return self.bound.calldata("revokeBatch", [owner for owner, _ in signed], signatures)

    # Policies

    def policy_of(self, policy_id: PolicyId) -> OnChainPolicy:
        """Return what a policy is at the newest block.

        Raises:
            PolicyUnknownError: it was never granted.
        """
        with self.bound.source.pinned():
            block = self.bound.source.head()
            found = self._policies_at([policy_id], block)
        if not found:
            raise PolicyUnknownError(f"no policy {policy_id} is granted on the mainchain at block {block.number}")
        return found[policy_id]

    def policies_of(self, policy_ids: Sequence[PolicyId]) -> dict[PolicyId, OnChainPolicy]:
        """Return what some policies are at the newest block; what nobody granted is left out."""
        found: dict[PolicyId, OnChainPolicy] = {}
        with self.bound.source.pinned():
            block = self.bound.source.head()
            for start in range(0, len(policy_ids), MANY):
                found |= self._policies_at(policy_ids[start : start + MANY], block)
        return found

    def is_confirmed(self, policy_id: PolicyId, confirmations: int) -> bool:
        """Tell whether a policy is on chain in the block that has `confirmations` blocks above it."""
        return self.settled(policy_id, confirmations) is not None

    def settled(self, policy_id: PolicyId, confirmations: int) -> OnChainPolicy | None:
        """Return a policy as of the block that has `confirmations` blocks above it; None if it wasn't known there."""
        return next(iter(self.settled_of([policy_id], confirmations)), None)

    def settled_of(self, policy_ids: Sequence[PolicyId], confirmations: int) -> list[OnChainPolicy]:
        """Return some policies, at most 500, as `settled` does; those that weren't known there are left out."""
        with self.bound.source.pinned():
            number = self.bound.source.head().number - confirmations
            # Before the deployment there is no contract, and no event.
            if number < self.bound.from_block:
                return []
            return list(self._policies_at(policy_ids, self.bound.source.block(number)).values())

    def allowed_at(self, policy_id: PolicyId, at: int) -> bool:
        """Tell whether a policy allows or allowed access at a time, Unix seconds: by this a receipt is judged."""
        return at in self.allowed_times(policy_id)

    def allowed_times(self, policy_id: PolicyId) -> range:
        """Return the times, Unix seconds, at which a policy allows or allowed access, as far as is known now."""
        with self.bound.source.pinned():
            events = {event.kind: event for event in self.events(policy_ids=[policy_id])}
            granted, revoked = events.get("granted"), events.get("revoked")
            if granted is None:
                return range(0)
            # The second of the revocation still counts as allowed.
            last = None if revoked is None else self.bound.source.block(revoked.block).time
            ends = granted.expires_at if last is None else min(granted.expires_at, last + 1)
            return range(granted.starts_at, ends)

    def revocation_in_sight(self, policy_id: PolicyId) -> bool:
        """Tell whether a revocation is mined, or seen waiting: it counts at first sight (security rule 3)."""
        if next(self.events(policy_ids=[policy_id], kind="PolicyRevoked"), None) is not None:
            return True
        # No event shows what waits. A node that lies here can only refuse.
        number = self.bound.read("statusOf", policy_id, at="pending")
        if number not in {status.value for status in PolicyStatus}:
            raise IntegrityError(f"the node gives a policy the status {number}, which its contract doesn't know")
        return bool(number == PolicyStatus.REVOKED.value)

    def events(
        self,
        *,
        from_block: int | None = None,
        to_block: int | None = None,
        policy_ids: Sequence[PolicyId] = (),
        kind: str | None = None,
    ) -> Iterator[PolicyEvent]:
        """Yield policy transactions in the order of the chain.

        Args:
            from_block: first block; None means the deployment's.
            to_block: last block; None means the newest.
            policy_ids: of these policies only; empty takes all.
            kind: `PolicyGranted` or `PolicyRevoked`; None means both.

        Raises:
            IntegrityError: the node shows a disclosure that doesn't follow its grant.
        """
        names = () if kind is None else _LOGS_OF[kind]
        where: Sequence[Indexed] = [policy_ids] if policy_ids else ()
        waiting: PolicyEvent | None = None
        for event in self.bound.events(*names, where=where, from_block=from_block, to_block=to_block):
            if event.name == "PolicyDisclosed":
                waiting = _disclosed(waiting, event)
            elif event.name in _LOGS_OF:
                if waiting is not None:
                    yield waiting
                waiting = _policy_event(event)
        if waiting is not None:
            yield waiting

    def _policies_at(self, policy_ids: Sequence[PolicyId], block: Block) -> dict[PolicyId, OnChainPolicy]:
        granted: dict[PolicyId, PolicyEvent] = {}
        revoked: set[PolicyId] = set()
        for event in self.events(policy_ids=policy_ids, to_block=block.number):
            if event.kind == "granted":
                granted[event.policy_id] = event
            else:
                revoked.add(event.policy_id)
        known = dict.fromkeys(one for one in policy_ids if one in granted or one in revoked)
        return {one: _policy(one, granted.get(one), one in revoked, block) for one in known}


def _policy(policy_id: PolicyId, granted: PolicyEvent | None, revoked: bool, block: Block) -> OnChainPolicy:
    if granted is None:
        # Whoever holds the one-time key may revoke what was never granted: nobody can grant it then.
        return OnChainPolicy(policy_id, PolicyStatus.REVOKED, 0, 0, b"", block=block.number, block_time=block.time)
    return OnChainPolicy(
        policy_id=policy_id,
        status=PolicyStatus.REVOKED if revoked else _status(granted, block.time),
        starts_at=granted.starts_at,
        expires_at=granted.expires_at,
        terms=granted.terms,
        disclosure=granted.disclosure,
        block=block.number,
        block_time=block.time,
    )


def _status(granted: PolicyEvent, at: int) -> PolicyStatus:
    """Return the status at a time of a policy that nobody revoked, as the contract's `statusOf` does."""
    if at < granted.starts_at:
        return PolicyStatus.NOT_YET
    return PolicyStatus.ACTIVE if at < granted.expires_at else PolicyStatus.EXPIRED


def _policy_event(event: Event) -> PolicyEvent:
    window, fields = event.values.get("window", 0), []
    for bits in WINDOW_BITS:
        fields.append(window & (1 << bits) - 1)
        window >>= bits
    starts_at, expires_at, _, view_tag = fields
    return PolicyEvent(
        kind="granted" if event.name == "PolicyGranted" else "revoked",
        policy_id=PolicyId(address(event.values["policyId"])),
        starts_at=starts_at,
        expires_at=expires_at,
        terms=event.values.get("terms", b""),
        disclosure=SEALED,
        block=event.block,
        block_hash=event.block_hash,
        tx_hash=event.tx_hash,
        index=event.index,
        view_tag=view_tag,
        announcement=event.values.get("announcement", b""),
    )


def _disclosed(granted: PolicyEvent | None, event: Event) -> PolicyEvent:
    """Return a grant with what the log after it discloses.

    Raises:
        IntegrityError: the log isn't the next one after the policy's grant.
    """
    policy_id = address(event.values["policyId"])
    if granted is None or (granted.kind, granted.policy_id, granted.tx_hash, granted.index + 1) != (
        "granted",
        policy_id,
        event.tx_hash,
        event.index,
    ):
        raise IntegrityError(f"the node shows a disclosure of policy {policy_id} without its grant")
    found = Disclosure.from_word(event.values["disclosure"])
    # A word has no capitals: the model's addresses have a checksum (EIP-55).
    return replace(granted, disclosure=replace(found, study=Address(address(found.study)) if found.study else None))
