"""The mainchain: public actors, storage transactions, policy transactions and log anchors.

Never reads a policy from an event alone: the status is the contract's answer at one block.
Follows design section 6; the contracts are in contracts/mainchain/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from panachain.chain import proofs
from panachain.chain.abi import address, contract, revert_reason
from panachain.chain.codec import encode
from panachain.chain.evm import Account, Receipt, Sender, Signed, compact
from panachain.chain.logs import Event, read_events
from panachain.chain.receipts import log_domain, receipt_fields, sign_head
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.errors import IntegrityError, PolicyUnknownError, TransactionError, UsageError
from panachain.ethereum import keccak
from panachain.model.actors import Actor, Address, PolicyId, Role, Status
from panachain.model.policy import SEALED, Disclosure, OnChainPolicy, PolicyStatus
from panachain.model.policy import Receipt as ProxyReceipt

ROLES: Final = (None, Role.HOSPITAL, Role.PROXY, Role.RESEARCHER, Role.REGISTRAR)
"""`ActorRegistry.Role`, in the order of the contract."""
_GRANT_TYPES: Final = {
    "Grant": [
        {"name": "owner", "type": "address"},
        {"name": "window", "type": "uint256"},
        {"name": "terms", "type": "bytes32"},
        {"name": "announcement", "type": "bytes32"},
        {"name": "disclosure", "type": "uint256"},
    ]
}
_LOGS_OF: Final = {"PolicyGranted": ("PolicyGranted", "PolicyDisclosed"), "PolicyRevoked": ("PolicyRevoked",)}
"""The logs of each kind of policy transaction."""
_CHECKPOINT_TYPES: Final = {
    "Checkpoint": [
        {"name": "sidechainId", "type": "uint64"},
        {"name": "number", "type": "uint64"},
        {"name": "blockHash", "type": "bytes32"},
    ]
}
_LEDGERS_SLOT: Final = 0
"""Where `RecordLedger` keeps its mapping; part of `IRecordLedger`."""
_WINDOW: Final = (48, 48, 48, 8)
"""Bits of startsAt, expiresAt, deadline and viewTag, from the lowest on (contracts/types/PolicyWindow.sol)."""
ANNOUNCEMENT_SIZE: Final = 32
"""bytes, the x coordinate of a point whose y is even (BIP-340)."""
STORING: Final = "the storage transaction"
"""What messages call it."""
_REVOKE_TYPES: Final = {"Revoke": [{"name": "owner", "type": "address"}]}
_NOBODY: Final = "0x" + "00" * 20


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
    """One byte by which the grantee passes most of the policies over that aren't his (ERC-5564)."""
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
        for value, bits in zip(fields, _WINDOW, strict=True):
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
class Block:
    """A block's head."""

    number: int
    hash: str
    time: int
    """Unix seconds."""


@dataclass(frozen=True)
class ProvenHead:
    """A hospital's history, proven by one block's state root."""

    sequence: int
    """Storage transactions; 0 for none."""
    head: bytes
    """32 bytes."""
    admitted: bool
    """Whether the hospital may store."""
    block: int
    block_hash: str


@dataclass(frozen=True)
class StorageEvent:
    """One storage transaction."""

    hospital: Address
    sequence: int
    manifest: bytes
    """Digest of the manifest root's CID, 32 bytes."""
    count: int
    previous: bytes
    """The hospital's head before this batch, 32 bytes."""
    block: int
    block_hash: str
    tx_hash: str
    index: int


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


class Mainchain:
    """The contracts of the mainchain."""

    def __init__(self, rpc: Rpc, addresses: Mapping[str, str], chain_id: int, *, from_block: int = 0) -> None:
        """Take a node and the contracts' addresses by name.

        Args:
            rpc: the mainchain's node.
            addresses: `ActorRegistry`, `RecordLedger`, `PolicyRegistry`, `AccessLog` and `Checkpoints`.
            chain_id: signed into transactions and policies.
            from_block: the block of the deployment; nothing of ours is older.
        """
        self.rpc = rpc
        self.addresses = dict(addresses)
        self.chain_id = chain_id
        self.from_block = from_block

    def sender(self, account: Account, *, lock_folder: Path) -> Sender:
        """Return what sends an account's transactions."""
        return Sender(self.rpc, self.chain_id, account, lock_folder=lock_folder)

    def head_block(self) -> Block:
        """Return the newest block."""
        return self._block("latest")

    def block(self, number: int) -> Block:
        """Return the head of one block."""
        return self._block(hex(number))

    # Actors

    def register_actor(self, sender: Sender, actor: Actor) -> Receipt:
        """Admit an actor; only the registrar may."""
        data = contract("ActorRegistry").calldata(
            "register",
            actor.address,
            ROLES.index(actor.role),
            actor.receiving_key,
            actor.verifying_key,
            actor.endpoint,
            actor.organisation or _NOBODY,
        )
        return sender.send(self.addresses["ActorRegistry"], data, what=f"registering {actor.handle}")

    def suspend_actor(self, sender: Sender, account: Address) -> Receipt:
        """Suspend an actor; only the registrar may."""
        data = contract("ActorRegistry").calldata("suspend", account)
        return sender.send(self.addresses["ActorRegistry"], data, what="suspending an actor")

    def reinstate_actor(self, sender: Sender, account: Address) -> Receipt:
        """Take a suspension back; only the registrar may."""
        data = contract("ActorRegistry").calldata("reinstate", account)
        return sender.send(self.addresses["ActorRegistry"], data, what="reinstating an actor")

    def actor(self, account: Address) -> Actor | None:
        """Return one actor, or None when the account isn't registered."""
        return next(iter(self._actors([None, _topic(account)])), None)

    def actors(self, role: Role | None = None) -> list[Actor]:
        """Return the actors in the order of their registration, with their present status."""
        return [actor for actor in self._actors(()) if role is None or actor.role is role]

    def _actors(self, topics: Sequence[str | list[str] | None]) -> list[Actor]:
        found: dict[str, Actor] = {}
        statuses: dict[str, Status] = {}
        endpoints: dict[str, str] = {}
        for event in self._events("ActorRegistry", topics):
            if "account" not in event.values:
                # AccessManaged tells of its authority in the same log.
                continue
            account = address(event.values["account"])
            if event.name == "ActorRegistered":
                found[account] = actor_from(event, ROLES[event.values["role"]])
                statuses[account] = Status.ACTIVE
                endpoints[account] = event.values["endpoint"]
            elif event.name == "ActorEndpointChanged":
                endpoints[account] = event.values["endpoint"]
            elif event.name in ("ActorSuspended", "ActorReinstated"):
                statuses[account] = Status.SUSPENDED if event.name == "ActorSuspended" else Status.ACTIVE
        return [
            Actor(
                actor.address,
                actor.role,
                statuses[account],
                actor.receiving_key,
                actor.verifying_key,
                endpoints[account],
                actor.organisation,
            )
            for account, actor in found.items()
        ]

    # Storage transactions

    def store(self, sender: Sender, manifest: bytes, count: int, *, signed: Signed | None = None) -> Receipt:
        """Record a manifest; only an active hospital may.

        Args:
            sender: the hospital's.
            manifest: digest of the manifest root's CID, 32 bytes.
            count: records in the batch.
            signed: called with hash and raw form before anything is sent.
        """
        data = contract("RecordLedger").calldata("store", manifest, count)
        return sender.send(self.addresses["RecordLedger"], data, what=STORING, signed=signed)

    def estimate_store(self, hospital: Address, count: int) -> int:
        """Return the gas that a storage transaction of this hospital would take, as the node estimates it.

        Raises:
            TransactionError: the contract would refuse it.
        """
        # Every manifest costs the same; this one has no zero bytes, which would be cheaper.
        data = contract("RecordLedger").calldata("store", b"\xff" * 32, count)
        call = {"from": hospital, "to": self.addresses["RecordLedger"], "data": data}
        try:
            return int(self.rpc.call("eth_estimateGas", [call]), 16)
        except RpcAnswerError as exc:
            reason = revert_reason(exc.data) if exc.data else str(exc)
            raise TransactionError(f"{STORING}: the chain would refuse it: {reason}", reason=reason) from exc

    def head(self, hospital: Address) -> tuple[int, bytes]:
        """Return a hospital's newest sequence (0 for none) and hash-chained head, as the node says."""
        _, sequence, head = self._read("RecordLedger", "ledgerOf", hospital)
        return sequence, head

    def prove_head(self, hospital: Address, *, block_hash: str | None = None) -> ProvenHead:
        """Return a hospital's sequence and head as proven by the state root of one block, whatever the node says.

        Args:
            hospital: whose history.
            block_hash: a block that the caller trusts; None takes the node's newest one, which proves only that the
                head belongs to the block whose hash is returned.

        Raises:
            IntegrityError: header, account or slots don't fit the block's hash, or the node can't prove them.
        """
        ledger = self.addresses["RecordLedger"]
        if block_hash is None:
            block_hash = self.head_block().hash
        block = self.rpc.call("eth_getBlockByHash", [block_hash, False])
        if not isinstance(block, dict) or str(block.get("hash")).lower() != block_hash.lower():
            raise IntegrityError(f"the node doesn't have block {block_hash}")
        state_root = proofs.check_header(block)
        slots = [proofs.mapping_slot(hospital, _LEDGERS_SLOT, offset) for offset in (0, 1)]
        wanted = ["0x" + slot.hex() for slot in slots]
        # By number: not every node takes a hash here (EIP-1898). The proof is checked against this block either way.
        try:
            answer = self.rpc.call("eth_getProof", [ledger, wanted, block["number"]])
        except RpcAnswerError as exc:
            raise IntegrityError(f"the node can't prove block {block_hash}: {exc}") from exc
        packed, head = proofs.check_storage(state_root, answer, account=ledger, slots=slots)
        # `admitted` is the lowest byte, `sequence` the eight above it.
        return ProvenHead(
            sequence=packed >> 8 & 0xFFFF_FFFF_FFFF_FFFF,
            head=head.to_bytes(32, "big"),
            admitted=bool(packed & 0xFF),
            block=int(block["number"], 16),
            block_hash=block_hash,
        )

    def first_head(self, hospital: Address) -> bytes:
        """Return the head before a hospital's first batch: it names chain, contract and hospital."""
        return keccak(
            encode(["uint256", "address", "address"], [self.chain_id, self.addresses["RecordLedger"], hospital])
        )

    @staticmethod
    def fold_heads(first: bytes, batches: Sequence[tuple[bytes, int]]) -> bytes:
        """Return the head that (manifest, count) pairs add up to from `first_head` on, as the contract folds them."""
        head = first
        for manifest, count in batches:
            head = keccak(encode(["bytes32", "bytes32", "uint32"], [head, manifest, count]))
        return head

    def storage_events(
        self, *, from_block: int | None = None, to_block: int | None = None, hospital: Address | None = None
    ) -> Iterator[StorageEvent]:
        """Yield storage transactions in the order of the chain."""
        topics: list[str | list[str] | None] = [contract("RecordLedger").topic("RecordsStored")]
        if hospital is not None:
            topics.append(_topic(hospital))
        for event in self._events("RecordLedger", topics, from_block, to_block):
            values = event.values
            yield StorageEvent(
                Address(address(values["hospital"])),
                values["sequence"],
                values["manifest"],
                values["count"],
                values["previous"],
                event.block,
                event.block_hash,
                event.tx_hash,
                event.index,
            )

    # Policy transactions

    def sign_grant(self, account: Account, grant: Grant) -> bytes:
        """Return the one-time key's EIP-712 signature of a grant; anyone may relay it until its deadline."""
        names = [field["name"] for field in _GRANT_TYPES["Grant"]]
        return account.sign_typed(self._domain(), _GRANT_TYPES, dict(zip(names, grant.fields(), strict=True)))

    def grant_by_signature(self, sender: Sender, grant: Grant, signature: bytes) -> Receipt:
        """Relay a signed grant."""
        data = contract("PolicyRegistry").calldata("grantBySignature", grant.fields(), signature)
        return sender.send(self.addresses["PolicyRegistry"], data, what="the policy transaction (grant)")

    def grant_batch(self, sender: Sender, signed: Sequence[tuple[Grant, bytes]]) -> Receipt:
        """Relay several (grant, signature), all or none."""
        grants = [grant.fields() for grant, _ in signed]
        data = contract("PolicyRegistry").calldata(
            "grantBatch", grants, [_halves(signature) for _, signature in signed]
        )
        return sender.send(self.addresses["PolicyRegistry"], data, what="the policy transaction (grants)")

    def sign_revoke(self, account: Account) -> bytes:
        """Return the one-time key's EIP-712 signature of its policy's revocation; it never expires (ADR 4)."""
        return account.sign_typed(self._domain(), _REVOKE_TYPES, {"owner": account.address})

    def revoke_by_signature(self, sender: Sender, owner: PolicyId, signature: bytes) -> Receipt:
        """Relay a signed revocation."""
        data = contract("PolicyRegistry").calldata("revokeBySignature", owner, signature)
        return sender.send(self.addresses["PolicyRegistry"], data, what="the policy transaction (revoke)")

    def revoke_batch(self, sender: Sender, signed: Sequence[tuple[PolicyId, bytes]]) -> Receipt:
        """Relay several (owner, signature), all or none."""
        owners = [owner for owner, _ in signed]
        data = contract("PolicyRegistry").calldata("revokeBatch", owners, [_halves(s) for _, s in signed])
        return sender.send(self.addresses["PolicyRegistry"], data, what="the policy transaction (revocations)")

    def policy(self, policy_id: PolicyId, *, confirmations: int = 0) -> OnChainPolicy:
        """Return what the contract says of a policy at the newest block that is `confirmations` deep.

        Raises:
            PolicyUnknownError: it was never granted, or not that deep yet.
        """
        latest = self.head_block()
        block = latest if confirmations == 0 else self.block(max(latest.number - confirmations, 0))
        found = self._policies([policy_id], block)
        if not found:
            raise PolicyUnknownError(f"no policy {policy_id} is granted on the mainchain at block {block.number}")
        return found[policy_id]

    def policies(self, policy_ids: Sequence[PolicyId]) -> dict[PolicyId, OnChainPolicy]:
        """Return what the contract says of some policies at the newest block; what nobody granted is left out."""
        return self._policies(policy_ids, self.head_block())

    def _policies(self, policy_ids: Sequence[PolicyId], block: Block) -> dict[PolicyId, OnChainPolicy]:
        # Pinned to one block: status and terms can't be of different histories.
        many = [(policy_id,) for policy_id in policy_ids]
        statuses = map(PolicyStatus, self._read_many("PolicyRegistry", "statusOf", many, at=hex(block.number)))
        known = dict(zip(policy_ids, statuses, strict=True))
        events = self.policy_events(policy_ids=policy_ids, kind="PolicyGranted", to_block=block.number)
        granted = {event.policy_id: event for event in events}
        return {
            one: self._policy(one, status, granted.get(one), block)
            for one, status in known.items()
            if status is not PolicyStatus.UNKNOWN or one in granted
        }

    def _policy(
        self, policy_id: PolicyId, status: PolicyStatus, granted: PolicyEvent | None, block: Block
    ) -> OnChainPolicy:
        if granted is None:
            if status is PolicyStatus.REVOKED:
                return OnChainPolicy(policy_id, status, 0, 0, b"", block=block.number, block_time=block.time)
            raise IntegrityError(f"the node hides the grant of policy {policy_id}, which its contract knows")
        if status is PolicyStatus.UNKNOWN:
            raise IntegrityError(f"the node shows a grant of policy {policy_id} that its contract doesn't know")
        return OnChainPolicy(
            policy_id=policy_id,
            status=status,
            starts_at=granted.starts_at,
            expires_at=granted.expires_at,
            terms=granted.terms,
            disclosure=granted.disclosure,
            block=block.number,
            block_time=block.time,
        )

    def allowed_at(self, policy_id: PolicyId, at: int) -> bool:
        """Tell whether a policy allows or allowed access at a time, Unix seconds: by this a receipt is judged."""
        return bool(self._read("PolicyRegistry", "allowedAt", policy_id, at))

    def revocation_in_sight(self, policy_id: PolicyId) -> bool:
        """Tell whether a revocation is mined, or seen waiting: it counts at first sight (security rule 3)."""
        status = self._read("PolicyRegistry", "statusOf", policy_id, at="pending")
        return PolicyStatus(status) is PolicyStatus.REVOKED

    def policy_events(
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
        registry = contract("PolicyRegistry")
        wanted = None
        if kind is not None:
            # What an open policy tells stands in a log of its own, right after that of its grant.
            wanted = [registry.topic(name) for name in _LOGS_OF[kind]]
        topics: list[str | list[str] | None] = [wanted]
        if policy_ids:
            topics.append([_topic(policy_id) for policy_id in policy_ids])
        waiting: PolicyEvent | None = None
        for event in self._events("PolicyRegistry", topics, from_block, to_block):
            if event.name == "PolicyDisclosed":
                waiting = _disclosed(waiting, event)
            elif event.name in _LOGS_OF:
                if waiting is not None:
                    yield waiting
                waiting = _policy_event(event)
        if waiting is not None:
            yield waiting

    # Log anchors

    def sign_anchor(self, account: Account, sequence: int, head: bytes) -> bytes:
        """Return a proxy's signature of its log's head as `anchor` takes it, 64 bytes; anyone may relay it."""
        return compact(sign_head(account, self.log_domain, sequence=sequence, head=head))

    def anchor(self, sender: Sender, proxy: Address, sequence: int, head: bytes, signature: bytes) -> Receipt:
        """Anchor the head of a proxy's receipt log, signed by `sign_anchor`."""
        data = contract("AccessLog").calldata("anchor", proxy, sequence, head, _halves(signature))
        return sender.send(self.addresses["AccessLog"], data, what="anchoring the receipt log")

    def anchored(self, proxy: Address) -> tuple[int, bytes]:
        """Return the newest anchored sequence (0 for none) and head of a proxy."""
        _, sequence, head = self._read("AccessLog", "anchorOf", proxy)
        return sequence, head

    @property
    def log_domain(self) -> bytes:
        """The EIP-712 domain under which proxies sign their receipts, 32 bytes."""
        return log_domain(self.chain_id, self.addresses["AccessLog"])

    def prove_late_service(self, sender: Sender, receipt: ProxyReceipt) -> Receipt:
        """Convict a proxy by its own receipt for a re-encryption that the policy didn't allow; anyone may."""
        data = contract("AccessLog").calldata(
            "proveLateService", receipt.proxy, receipt_fields(receipt), receipt.signature
        )
        return sender.send(self.addresses["AccessLog"], data, what="the evidence of late service")

    def prove_fork(
        self, sender: Sender, proxy: Address, sequence: int, first: tuple[bytes, bytes], second: tuple[bytes, bytes]
    ) -> Receipt:
        """Convict a proxy by two (head, signature) pairs for one sequence; anyone may."""
        data = contract("AccessLog").calldata("proveFork", proxy, sequence, *first, *second)
        return sender.send(self.addresses["AccessLog"], data, what="the evidence of two histories")

    def sign_checkpoint(self, account: Account, sidechain_id: int, number: int, block_hash: bytes) -> bytes:
        """Return a validator's EIP-712 signature of a block of the sidechain."""
        domain = self._domain() | {
            "name": "PanaChain Checkpoints",
            "verifyingContract": self.addresses["Checkpoints"],
        }
        message = {"sidechainId": sidechain_id, "number": number, "blockHash": block_hash}
        return account.sign_typed(domain, _CHECKPOINT_TYPES, message)

    def checkpoint(
        self, sender: Sender, number: int, block_hash: bytes, signatures: Mapping[Address, bytes]
    ) -> Receipt:
        """State a block of the sidechain, with the signatures of a quorum of its validators."""
        signers = sorted(signatures, key=str.lower)
        data = contract("Checkpoints").calldata(
            "checkpoint", number, block_hash, signers, [signatures[signer] for signer in signers]
        )
        return sender.send(self.addresses["Checkpoints"], data, what="the checkpoint of the sidechain")

    def newest_checkpoint(self) -> tuple[int, bytes]:
        """Return number (0 for none) and hash of the newest block of the sidechain that was stated."""
        number, block_hash = self._read("Checkpoints", "newest")
        return number, block_hash

    def _domain(self) -> dict[str, Any]:
        return {
            "name": "PanaChain PolicyRegistry",
            "version": "1",
            "chainId": self.chain_id,
            "verifyingContract": self.addresses["PolicyRegistry"],
        }

    def _read(self, name: str, function: str, *args: Any, at: str = "latest") -> Any:
        call = {"to": self.addresses[name], "data": contract(name).calldata(function, *args)}
        try:
            return contract(name).result(function, self.rpc.call("eth_call", [call, at]))
        except RpcAnswerError as exc:
            raise IntegrityError(f"the node can't answer {name}.{function} at block {at}: {exc}") from exc

    def _read_many(self, name: str, function: str, many: Sequence[tuple[Any, ...]], *, at: str) -> list[Any]:
        """Return the results of one function for many arguments at one block, asked in one request."""
        if len(many) == 1:
            return [self._read(name, function, *many[0], at=at)]
        to, asked = self.addresses[name], contract(name)
        calls = [("eth_call", [{"to": to, "data": asked.calldata(function, *args)}, at]) for args in many]
        try:
            answers = self.rpc.batch(calls)
        except RpcAnswerError as exc:
            raise IntegrityError(f"the node can't answer {name}.{function} at block {at}: {exc}") from exc
        return [asked.result(function, answer) for answer in answers]

    def _events(
        self,
        name: str,
        topics: Sequence[str | list[str] | None] = (),
        from_block: int | None = None,
        to_block: int | None = None,
    ) -> Iterator[Event]:
        return read_events(
            self.rpc,
            contract(name),
            self.addresses[name],
            topics=topics,
            from_block=self.from_block if from_block is None else from_block,
            to_block=to_block,
        )

    def _block(self, tag: str) -> Block:
        block = self.rpc.call("eth_getBlockByNumber", [tag, False])
        if block is None:
            raise IntegrityError(f"the node doesn't have block {tag}")
        try:
            return Block(int(block["number"], 16), str(block["hash"]), int(block["timestamp"], 16))
        except (KeyError, TypeError, ValueError) as exc:
            raise IntegrityError(f"the node's block {tag} lacks a header field or has a malformed one") from exc


def _topic(account: str) -> str:
    """Return an address as an event's topic."""
    return "0x" + "00" * 12 + account[2:].lower()


def _policy_event(event: Event) -> PolicyEvent:
    window, fields = event.values.get("window", 0), []
    for bits in _WINDOW:
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


def _halves(signature: bytes) -> tuple[bytes, bytes]:
    """Return r and (parity, s) of a compact signature (ERC-2098)."""
    return signature[:32], signature[32:]


def actor_from(event: Event, role: Role | None) -> Actor:
    """Return the actor that a registration event describes.

    Raises:
        IntegrityError: the event names no role.
    """
    if role is None:
        raise IntegrityError("a registration names no role")
    values = event.values
    organisation = values["organisation"]
    return Actor(
        address=Address(address(values["account"])),
        role=role,
        status=Status.ACTIVE,
        receiving_key=values["receivingKey"],
        verifying_key=values["verifyingKey"],
        endpoint=values.get("endpoint", ""),
        organisation=None if int(organisation, 16) == 0 else Address(address(organisation)),
    )
