"""The mainchain: public actors, storage transactions, policy transactions and log anchors.

Never reads a policy from an event alone: the status is the contract's answer at one block.
Follows design section 6; the contracts are in contracts/mainchain/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from eth_abi import encode
from eth_utils import keccak

from panachain.chain.abi import address, contract
from panachain.chain.evm import Account, Receipt, Sender
from panachain.chain.logs import Event, read_events
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.errors import IntegrityError, PolicyUnknownError
from panachain.model.actors import Actor, Address, PolicyId, Role, Status
from panachain.model.policy import OnChainPolicy, PolicyStatus

ROLES: Final = (None, Role.HOSPITAL, Role.PROXY, Role.RESEARCHER, Role.REGISTRAR)
"""`ActorRegistry.Role`, in the order of the contract."""
_GRANT_TYPES: Final = {
    "Grant": [
        {"name": "owner", "type": "address"},
        {"name": "startsAt", "type": "uint48"},
        {"name": "expiresAt", "type": "uint48"},
        {"name": "terms", "type": "bytes32"},
        {"name": "purposes", "type": "uint32"},
        {"name": "categories", "type": "uint32"},
        {"name": "dataUse", "type": "uint64"},
        {"name": "study", "type": "address"},
        {"name": "deadline", "type": "uint48"},
    ]
}
_REVOKE_TYPES: Final = {"Revoke": [{"name": "owner", "type": "address"}, {"name": "deadline", "type": "uint48"}]}
_NOBODY: Final = "0x" + "00" * 20


@dataclass(frozen=True)
class Grant:
    """What a patient signs: the public side of a policy."""

    owner: PolicyId
    starts_at: int
    """Unix seconds, inclusive."""
    expires_at: int
    """Unix seconds, exclusive."""
    terms: bytes
    """Digest of the CID of the sealed terms, 32 bytes."""
    purposes: int = 0
    categories: int = 0
    data_use: int = 0
    study: str = _NOBODY

    def fields(self) -> tuple[Any, ...]:
        """Return the values in the order of the contract's struct."""
        return (
            self.owner,
            self.starts_at,
            self.expires_at,
            self.terms,
            self.purposes,
            self.categories,
            self.data_use,
            self.study,
        )


@dataclass(frozen=True)
class Block:
    """A block's head."""

    number: int
    hash: str
    time: int
    """Unix seconds."""


@dataclass(frozen=True)
class StorageEvent:
    """One storage transaction."""

    hospital: Address
    sequence: int
    manifest: bytes
    """Digest of the manifest root's CID, 32 bytes."""
    count: int
    head: bytes
    block: int
    block_hash: str
    tx_hash: str
    index: int


@dataclass(frozen=True)
class PolicyEvent:
    """One policy transaction."""

    kind: str
    """`granted` or `revoked`."""
    policy_id: PolicyId
    starts_at: int
    expires_at: int
    terms: bytes
    purposes: int
    categories: int
    data_use: int
    study: Address | None
    block: int
    block_hash: str
    tx_hash: str
    index: int


class Mainchain:
    """The contracts of the mainchain."""

    def __init__(self, rpc: Rpc, addresses: Mapping[str, str], chain_id: int, *, from_block: int = 0) -> None:
        """Take a node and the contracts' addresses by name.

        Args:
            rpc: the mainchain's node.
            addresses: `ActorRegistry`, `RecordLedger`, `PolicyRegistry` and `AccessLog`.
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
        return next((actor for actor in self.actors() if actor.address == account), None)

    def actors(self, role: Role | None = None) -> list[Actor]:
        """Return the actors in the order of their registration, with their present status."""
        found: dict[str, Actor] = {}
        statuses: dict[str, Status] = {}
        endpoints: dict[str, str] = {}
        for event in self._events("ActorRegistry"):
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
            if role is None or actor.role is role
        ]

    # Storage transactions

    def store(self, sender: Sender, manifest: bytes, count: int) -> Receipt:
        """Record a manifest; only an active hospital may.

        Args:
            sender: the hospital's.
            manifest: digest of the manifest root's CID, 32 bytes.
            count: records in the batch.
        """
        data = contract("RecordLedger").calldata("store", manifest, count)
        return sender.send(self.addresses["RecordLedger"], data, what="the storage transaction")

    def head(self, hospital: Address) -> tuple[int, bytes, bytes]:
        """Return a hospital's newest sequence (0 for none), hash-chained head and manifest digest."""
        sequence, head, manifest = self._read("RecordLedger", "headOf", hospital)
        return sequence, head, manifest

    @staticmethod
    def fold_heads(batches: Sequence[tuple[bytes, int]]) -> bytes:
        """Return the head that (manifest, count) pairs add up to, as the contract folds them."""
        head = bytes(32)
        for manifest, count in batches:
            head = keccak(encode(["bytes32", "bytes32", "uint32"], [head, manifest, count]))
        return head

    def storage_events(
        self, *, from_block: int | None = None, to_block: int | None = None, hospital: Address | None = None
    ) -> Iterator[StorageEvent]:
        """Yield storage transactions in the order of the chain."""
        topics: list[str | None] = [contract("RecordLedger").topic("RecordsStored")]
        if hospital is not None:
            topics.append("0x" + "00" * 12 + hospital[2:].lower())
        for event in self._events("RecordLedger", topics, from_block, to_block):
            values = event.values
            yield StorageEvent(
                Address(address(values["hospital"])),
                values["sequence"],
                values["manifest"],
                values["count"],
                values["head"],
                event.block,
                event.block_hash,
                event.tx_hash,
                event.index,
            )

    # Policy transactions

    def sign_grant(self, account: Account, grant: Grant, deadline: int) -> bytes:
        """Return the one-time key's EIP-712 signature of a grant; anyone may relay it until `deadline`."""
        names = [field["name"] for field in _GRANT_TYPES["Grant"]]
        message = dict(zip(names, (*grant.fields(), deadline), strict=True))
        return account.sign_typed(self._domain(), _GRANT_TYPES, message)

    def grant_by_signature(self, sender: Sender, grant: Grant, deadline: int, signature: bytes) -> Receipt:
        """Relay a signed grant."""
        data = contract("PolicyRegistry").calldata("grantBySignature", grant.fields(), deadline, signature)
        return sender.send(self.addresses["PolicyRegistry"], data, what="the policy transaction (grant)")

    def sign_revoke(self, account: Account, deadline: int) -> bytes:
        """Return the one-time key's EIP-712 signature of its policy's revocation."""
        return account.sign_typed(self._domain(), _REVOKE_TYPES, {"owner": account.address, "deadline": deadline})

    def revoke_by_signature(self, sender: Sender, owner: PolicyId, deadline: int, signature: bytes) -> Receipt:
        """Relay a signed revocation."""
        data = contract("PolicyRegistry").calldata("revokeBySignature", owner, deadline, signature)
        return sender.send(self.addresses["PolicyRegistry"], data, what="the policy transaction (revoke)")

    def policy(self, policy_id: PolicyId, *, confirmations: int = 0) -> OnChainPolicy:
        """Return what the contract says of a policy at the newest block that is `confirmations` deep.

        Raises:
            PolicyUnknownError: it was never granted, or not that deep yet.
        """
        latest = self.head_block()
        block = latest if confirmations == 0 else self.block(max(latest.number - confirmations, 0))
        # Pinned to one block: status and terms can't be of different histories.
        status = PolicyStatus(self._read("PolicyRegistry", "statusOf", policy_id, at=hex(block.number)))
        granted = next(self.policy_events(policy_id=policy_id, kind="PolicyGranted", to_block=block.number), None)
        if granted is None:
            if status is PolicyStatus.REVOKED:
                return OnChainPolicy(policy_id, status, 0, 0, b"", block=block.number, block_time=block.time)
            raise PolicyUnknownError(f"no policy {policy_id} is granted on the mainchain at block {block.number}")
        if status is PolicyStatus.UNKNOWN:
            raise IntegrityError(f"the node shows a grant of policy {policy_id} that its contract doesn't know")
        return OnChainPolicy(
            policy_id=policy_id,
            status=status,
            starts_at=granted.starts_at,
            expires_at=granted.expires_at,
            terms=granted.terms,
            purposes=granted.purposes,
            categories=granted.categories,
            data_use=granted.data_use,
            study=granted.study,
            block=block.number,
            block_time=block.time,
        )

    def revocation_in_sight(self, policy_id: PolicyId) -> bool:
        """Tell whether a revocation is mined, or seen waiting: it counts at first sight (security rule 3)."""
        status = self._read("PolicyRegistry", "statusOf", policy_id, at="pending")
        return PolicyStatus(status) is PolicyStatus.REVOKED

    def policy_events(
        self,
        *,
        from_block: int | None = None,
        to_block: int | None = None,
        policy_id: PolicyId | None = None,
        kind: str | None = None,
    ) -> Iterator[PolicyEvent]:
        """Yield policy transactions in the order of the chain."""
        topics: list[str | None] = [None if kind is None else contract("PolicyRegistry").topic(kind)]
        if policy_id is not None:
            topics.append("0x" + "00" * 12 + policy_id[2:].lower())
        for event in self._events("PolicyRegistry", topics, from_block, to_block):
            if event.name not in ("PolicyGranted", "PolicyRevoked"):
                continue
            values = event.values
            study = values.get("study", _NOBODY)
            yield PolicyEvent(
                kind="granted" if event.name == "PolicyGranted" else "revoked",
                policy_id=PolicyId(address(values["policyId"])),
                starts_at=values.get("startsAt", 0),
                expires_at=values.get("expiresAt", 0),
                terms=values.get("terms", b""),
                purposes=values.get("purposes", 0),
                categories=values.get("categories", 0),
                data_use=values.get("dataUse", 0),
                study=None if int(study, 16) == 0 else Address(address(study)),
                block=event.block,
                block_hash=event.block_hash,
                tx_hash=event.tx_hash,
                index=event.index,
            )

    # Log anchors

    def anchor(self, sender: Sender, sequence: int, head: bytes) -> Receipt:
        """Anchor the head of a proxy's receipt log."""
        data = contract("AccessLog").calldata("anchor", sequence, head)
        return sender.send(self.addresses["AccessLog"], data, what="anchoring the receipt log")

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

    def _events(
        self,
        name: str,
        topics: Sequence[str | None] = (),
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
        return Block(int(block["number"], 16), block["hash"], int(block["timestamp"], 16))


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
