"""Twins of both chains, in memory: the contracts' rules once more in Python, with blocks and time in the test's hand.

`TwinMainchain` and `TwinSidechain` are the real adapters over these contracts: what they call, sign, decode and fold is
the real code, from calldata to events; only the node and the EVM are replaced. What the twins' policy registry says is
held against the real contract by test_differential.py. A twin of Anvil it isn't: no gas, and a reorganisation
is what a test takes away.

Follows contracts/mainchain and contracts/sidechain, function by function.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from eth_abi import decode, encode
from eth_utils import keccak
from eth_utils.abi import collapse_if_tuple

from panachain.chain.abi import Contract
from panachain.chain.bound import BoundContract
from panachain.chain.evm import Receipt, Signed
from panachain.chain.logs import Event, Topic
from panachain.chain.mainchain import Mainchain
from panachain.chain.sidechain import Sidechain
from panachain.chain.signing import Account, recover_digest
from panachain.errors import TransactionError
from panachain.model.block import Block
from panachain.model.policy import PolicyStatus

MAIN = {
    name: f"0x{number:040x}"
    for number, name in enumerate(("ActorRegistry", "RecordLedger", "PolicyRegistry", "AccessLog"), start=0xA0)
}
SIDE = {
    name: f"0x{number:040x}"
    for number, name in enumerate(
        ("IdentityRegistry", "AccessRequests", "CareGroups", "EmergencyAccess", "Wardships"), start=0xB0
    )
}
UNKNOWN, ACTIVE, SUSPENDED, REPLACED = 0, 1, 2, 3
"""contracts/types/Status.sol."""
HOSPITAL, PROXY, REGISTRAR = 1, 2, 4
"""`ActorRegistry.Role`."""
PATIENT, PRACTITIONER = 1, 2
"""`IdentityRegistry.Role`."""
MAX_GROUPS = 64
MAX_OVERLAP, MAX_BACK = 30 * 86_400, 180 * 86_400
PLACES, LEAST_HELD, IN_A_ROW, INTERVAL = 3, 86_400, 100, 600
"""Constants of CareGroups and AccessRequests."""
NOBODY = "0x" + "00" * 20
DAY = 86_400


class RevertError(Exception):
    """A contract refuses; the message is the custom error's name."""


def need(holds: bool, error: str) -> None:
    """Go on only if it holds."""
    if not holds:
        raise RevertError(error)


# ABIs, read anew: nothing of panachain.chain.abi decodes calldata.


@dataclass(frozen=True)
class Abi:
    """What calls and events of one contract look like."""

    functions: Mapping[bytes, tuple[str, tuple[str, ...]]]
    events: Mapping[str, tuple[str, tuple[tuple[str, str, bool], ...]]]
    """Topic, and (name, type, indexed) of each field."""


@lru_cache
def abi(name: str) -> Abi:
    text = resources.files("panachain.chain").joinpath("artifacts", f"{name}.json").read_text()
    functions, events = {}, {}
    for entry in json.loads(text)["abi"]:
        types = tuple(collapse_if_tuple(item) for item in entry.get("inputs", ()))
        digest = keccak(text=f"{entry.get('name')}({','.join(types)})")
        if entry["type"] == "function":
            functions[digest[:4]] = entry["name"], types
        elif entry["type"] == "event":
            named = tuple((i["name"], t, i["indexed"]) for i, t in zip(entry["inputs"], types, strict=True))
            events[entry["name"]] = "0x" + digest.hex(), named
    return Abi(functions, events)


def decode_call(name: str, data: str) -> tuple[str, tuple[Any, ...]]:
    """Return the function that calldata calls, and its arguments."""
    raw = bytes.fromhex(data[2:])
    function, types = abi(name).functions[raw[:4]]
    return function, decode(types, raw[4:])


# Blocks


@dataclass(frozen=True)
class Logged:
    """An event with its topics."""

    contract: str
    topics: tuple[str, ...]
    event: Event


Transaction = Callable[[], None]


@dataclass
class Chain:
    """Blocks, time, events, and transactions that wait to be mined."""

    chain_id: int
    clock: Callable[[], int]
    blocks: list[Block] = field(default_factory=list)
    logs: list[Logged] = field(default_factory=list)
    waiting: list[tuple[str, str, str]] = field(default_factory=list)
    """(sender, contract, calldata) of what the node has seen and not mined."""
    contracts: dict[str, Any] = field(default_factory=dict)
    counted: int = 0
    sent: str = ""
    """Hash of the transaction that runs."""
    nonces: dict[str, int] = field(default_factory=dict)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    calls: dict[str, str] = field(default_factory=dict)
    """Calldata of each transaction that was mined, by its hash."""
    forks: int = 0

    def __post_init__(self) -> None:
        self.mine()

    @property
    def head(self) -> Block:
        return self.blocks[-1]

    def mine(self) -> Block:
        """Make a block of what waits; what reverts is in it too, and does nothing."""
        number = len(self.blocks)
        time = max(self.clock(), self.blocks[-1].time if self.blocks else 0)
        self.blocks.append(Block(number, f"0x{self.chain_id:032x}{self.forks:08x}{number:024x}", time))
        waiting, self.waiting = self.waiting, []
        for sender, name, data in waiting:
            try:
                self.calls[f"0x{self.counted + 1:064x}"] = data
                self.execute(sender, name, *decode_call(name, data))
            except RevertError:
                continue
        return self.head

    def snapshot(self) -> tuple[Any, ...]:
        """Return what `roll_back` goes back to."""
        contracts = deepcopy(self.contracts, {id(self): self})
        return len(self.blocks), len(self.logs), contracts, dict(self.nonces), dict(self.receipts)

    def roll_back(self, snapshot: tuple[Any, ...]) -> None:
        """Take everything away that came after a snapshot, as a reorganisation does; nothing comes back by itself."""
        blocks, logs, contracts, nonces, receipts = snapshot
        del self.blocks[blocks:], self.logs[logs:]
        self.contracts = deepcopy(contracts, {id(self): self})
        self.nonces, self.receipts = dict(nonces), dict(receipts)
        self.forks += 1

    def execute(
        self, sender: str, name: str, function: str, args: Sequence[Any], tx_hash: str | None = None
    ) -> list[Logged]:
        """Run a transaction in the newest block, and return what it logged."""
        before = len(self.logs)
        if tx_hash is None:
            self.counted += 1
        self.sent = tx_hash or f"0x{self.counted:064x}"
        getattr(self.contracts[name], function)(sender.lower(), *args)
        return self.logs[before:]

    def emit(self, name: str, event: str, **values: Any) -> None:
        topic, fields = abi(name).events[event]
        topics = [topic]
        for field_name, kind, indexed in fields:
            if indexed:
                topics.append("0x" + encode([kind], [values[field_name]]).hex())
        block = self.head
        made = Event(event, values, block.number, block.hash, self.sent, len(self.logs))
        self.logs.append(Logged(name, tuple(topics), made))

    def events(
        self, name: str, topics: Sequence[str | list[str] | None], from_block: int, to_block: int | None
    ) -> Iterator[Event]:
        """Yield events as eth_getLogs finds them."""
        last = self.head.number if to_block is None else to_block
        # A copy: an answer doesn't grow while it is read.
        for log in list(self.logs):
            if log.contract == name and from_block <= log.event.block <= last and _match(log.topics, topics):
                yield log.event


def _match(found: Sequence[str], wanted: Sequence[str | list[str] | None]) -> bool:
    if len(wanted) > len(found):
        return False
    return all(
        one is None or have == one or (isinstance(one, list) and have in one)
        for have, one in zip(found, wanted, strict=False)
    )


class TwinSender:
    """Sends one account's transactions to a twin."""

    def __init__(self, chain: Chain, account: Account, addresses: Mapping[str, str]) -> None:
        self.account = account
        self.address = account.address
        self._chain = chain
        self._names = {where: name for name, where in addresses.items()}

    def send(
        self,
        to: str | None,
        data: str,
        *,
        what: str,
        signed: Signed | None = None,
        alone: bool = False,
        gas: int | None = None,
        taken: Callable[[], None] | None = None,
    ) -> Receipt:
        """Mine a transaction in a block of its own."""
        nonce, tx_hash = self._chain.nonces.get(self.address, 0), f"0x{self._chain.counted + 1:064x}"
        self._chain.mine()
        if taken is not None:
            taken()
        if signed is not None:
            signed(tx_hash, json.dumps([nonce, str(to), data]))
        # Counted though it may be lost: no two transactions have one hash.
        self._chain.counted += 1
        return self._run(tx_hash, str(to), data, what)

    def resend(self, sent: Sequence[tuple[str, str]], *, what: str, signed: Signed | None = None) -> Receipt | None:
        """Mine a transaction that was signed before, unless its nonce is used up."""
        for tx_hash, raw in reversed(sent):
            nonce, to, data = json.loads(raw)
            if tx_hash in self._chain.receipts:
                return self._chain.receipts[tx_hash]
            if nonce >= self._chain.nonces.get(self.address, 0):
                self.bury([(tx_hash, json.dumps([nonce - 1, to, data]))])
                self._chain.mine()
                return self._run(tx_hash, to, data, what)
        return None

    def bury(self, sent: Sequence[tuple[str, str]]) -> None:
        """Use up the nonces of transactions that were signed before."""
        used = [json.loads(raw)[0] + 1 for _, raw in sent]
        self._chain.nonces[self.address] = max([self._chain.nonces.get(self.address, 0), *used])

    def _run(self, tx_hash: str, to: str, data: str, what: str) -> Receipt:
        name = self._names[to]
        self._chain.calls[tx_hash] = data
        try:
            logs = self._chain.execute(self.address, name, *decode_call(name, data), tx_hash)
        except RevertError as exc:
            raise TransactionError(f"{what}: the chain refuses: {exc}", reason=str(exc)) from exc
        self._chain.nonces[self.address] = self._chain.nonces.get(self.address, 0) + 1
        made = Receipt(tx_hash, self._chain.head.number, 0, None, tuple(_raw(log) for log in logs))
        self._chain.receipts[tx_hash] = made
        return made

    def submit(self, to: str, data: str) -> None:
        """Let the node see a transaction that nobody mines yet."""
        self._chain.waiting.append((self.address, self._names[to], data))


def _raw(log: Logged) -> dict[str, Any]:
    """Return a log as a node's receipt has it."""
    _, fields = abi(log.contract).events[log.event.name]
    rest = [(kind, log.event.values[name]) for name, kind, indexed in fields if not indexed]
    data = encode([kind for kind, _ in rest], [value for _, value in rest])
    return {"topics": list(log.topics), "data": "0x" + data.hex()}


# Contracts of the mainchain


@dataclass
class PolicyState:
    """contracts/types/PolicyState.sol, and in which blocks it changed."""

    starts_at: int = 0
    expires_at: int = 0
    granted_in: int = 1 << 62
    revoked_at: int = 0
    revoked_in: int = 1 << 62


class PolicyRegistry:
    """contracts/mainchain/PolicyRegistry.sol."""

    def __init__(self, chain: Chain, where: str = MAIN["PolicyRegistry"]) -> None:
        self._chain = chain
        self._policies: dict[str, PolicyState] = {}
        # EIP-712: EIP712Domain(name, version, chainId, verifyingContract).
        types = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
        fields = [keccak(text=types), keccak(text="PanaChain PolicyRegistry"), keccak(text="1")]
        fields += [chain.chain_id, where]
        self._domain = keccak(encode(["bytes32"] * 3 + ["uint256", "address"], fields))
        self._grant_type = keccak(
            text="Grant(address owner,uint256 window,bytes32 terms,bytes32 announcement,uint256 disclosure)"
        )
        self._revoke_type = keccak(text="Revoke(address owner)")

    def grantBySignature(self, _: str, policy: tuple[Any, ...], signature: bytes) -> None:
        types = ["bytes32", "address", "uint256", "bytes32", "bytes32", "uint256"]
        self._check_signed(policy[0], keccak(encode(types, [self._grant_type, *policy])), signature)
        self._grant(*policy)

    def revokeBySignature(self, _: str, owner: str, signature: bytes) -> None:
        self._check_signed(owner, keccak(encode(["bytes32", "address"], [self._revoke_type, owner])), signature)
        self._revoke(owner)

    def revoke(self, sender: str) -> None:
        self._revoke(sender)

    def slot(self, policy_id: str) -> tuple[int, int, int]:
        """Return what the contract keeps of a policy: begin, end, and when it was revoked."""
        state = self._policies.get(policy_id.lower(), PolicyState())
        return state.starts_at, state.expires_at, state.revoked_at

    def statusOf(self, policy_id: str, *, at: int | None) -> int:
        """Return the status in a block, or in the one that would be mined now."""
        state = self._policies.get(policy_id.lower(), PolicyState())
        if at is None:
            waits = any(
                name == "PolicyRegistry" and self._revokes(data, policy_id.lower())
                for _, name, data in self._chain.waiting
            )
            if waits:
                return PolicyStatus.REVOKED.value
            at = self._chain.head.number
        return self._status(state, self._chain.blocks[at]).value

    def allowedAt(self, policy_id: str, time: int, *, at: int | None) -> bool:
        state = self._policies.get(policy_id.lower(), PolicyState())
        return state.starts_at <= time < state.expires_at and (not state.revoked_at or time <= state.revoked_at)

    def _status(self, state: PolicyState, block: Block) -> PolicyStatus:
        if state.revoked_in <= block.number:
            return PolicyStatus.REVOKED
        if state.granted_in > block.number:
            return PolicyStatus.UNKNOWN
        if block.time < state.starts_at:
            return PolicyStatus.NOT_YET
        return PolicyStatus.ACTIVE if block.time < state.expires_at else PolicyStatus.EXPIRED

    def _revokes(self, data: str, owner: str) -> bool:
        function, args = decode_call("PolicyRegistry", data)
        return function == "revokeBySignature" and args[0].lower() == owner

    def _check_signed(self, owner: str, struct: bytes, signature: bytes) -> None:
        full = signature
        if len(signature) == 64:
            # ERC-2098: the parity stands in the highest bit of s.
            full = signature[:32] + bytes([signature[32] & 0x7F]) + signature[33:] + bytes([27 + (signature[32] >> 7)])
        signer = recover_digest(keccak(b"\x19\x01" + self._domain + struct), full)
        need(signer is not None and signer.lower() == owner.lower(), "PolicyInvalidSignature")

    def _grant(self, owner: str, window: int, terms: bytes, announcement: bytes, disclosure: int) -> None:
        state = self._policies.setdefault(owner.lower(), PolicyState())
        now = self._chain.head
        need(not state.revoked_at, "PolicyAlreadyRevoked")
        need(not state.expires_at, "PolicyAlreadyGranted")
        need(window >> 152 == 0, "PolicyMalformedWindow")
        starts_at, expires_at, deadline = (window >> shift & (1 << 48) - 1 for shift in (0, 48, 96))
        need(deadline >= now.time, "PolicyDeadlineOver")
        need(starts_at < expires_at and expires_at > now.time, "PolicyInvalidWindow")
        need(any(terms), "PolicyWithoutTerms")
        state.starts_at, state.expires_at, state.granted_in = starts_at, expires_at, now.number
        log = {"policyId": owner, "window": window, "terms": terms, "announcement": announcement}
        self._chain.emit("PolicyRegistry", "PolicyGranted", **log)
        if disclosure:
            self._chain.emit("PolicyRegistry", "PolicyDisclosed", policyId=owner, disclosure=disclosure)

    def _revoke(self, owner: str) -> None:
        state = self._policies.setdefault(owner.lower(), PolicyState())
        need(not state.revoked_at, "PolicyAlreadyRevoked")
        state.revoked_at, state.revoked_in = self._chain.head.time, self._chain.head.number
        self._chain.emit("PolicyRegistry", "PolicyRevoked", policyId=owner)


class ActorRegistry:
    """contracts/mainchain/ActorRegistry.sol."""

    def __init__(self, chain: Chain, registrar: str) -> None:
        self._chain = chain
        self._registrar = registrar.lower()
        self._actors: dict[str, list[int]] = {}
        self.keys: dict[str, bytes] = {}
        """Digests of newest key blocks, here and in the identities' registry: as a proof of storage would say."""
        self._folded: dict[str, bytes] = {}

    def register(self, sender: str, account: str, role: int, *values: Any) -> None:
        digest, endpoint, organisation = values
        need(sender == self._registrar, "AccessManagedUnauthorized")
        need(account not in self._actors, "ActorAlreadyRegistered")
        need(any(digest), "ActorWithoutKeys")
        self._actors[account] = [role, ACTIVE]
        self.keys[account] = digest
        self._folded[account] = keccak(encode(["bytes32", "address"], [digest, organisation]))[:30]
        names = ("account", "role", "keyDigest", "endpoint", "organisation")
        values = (account, role, digest, endpoint, organisation)
        self._chain.emit("ActorRegistry", "ActorRegistered", **dict(zip(names, values, strict=True)))
        self._tell(account, True)

    def suspend(self, sender: str, account: str) -> None:
        need(sender == self._registrar, "AccessManagedUnauthorized")
        self._change(account, ACTIVE, SUSPENDED, "ActorSuspended")

    def reinstate(self, sender: str, account: str) -> None:
        need(sender == self._registrar, "AccessManagedUnauthorized")
        self._change(account, SUSPENDED, ACTIVE, "ActorReinstated")

    def changeKeys(self, sender: str, expected: bytes, digest: bytes, ends_at: int) -> None:
        need(self._actors.get(sender, [0, UNKNOWN])[1] == ACTIVE, "ActorUnexpectedStatus")
        need(any(digest), "ActorWithoutKeys")
        need(self._folded[sender] == expected, "ActorKeysChangedMeanwhile")
        now = self._chain.head.time
        need(ends_at <= now + MAX_OVERLAP, "ActorKeysEndTooLate")
        need(ends_at + MAX_BACK >= now, "ActorKeysEndTooEarly")
        self._folded[sender] = keccak(
            encode(["bytes30", "bytes32", "uint48", "uint48"], [expected, digest, now, ends_at])
        )[:30]
        self.keys[sender] = digest
        log = {"account": sender, "keyDigest": digest, "validFrom": now, "earlierEndsAt": ends_at}
        self._chain.emit("ActorRegistry", "ActorKeysChanged", **log)

    def convict(self, proxy: str) -> None:
        if self._actors[proxy][1] == ACTIVE:
            self._change(proxy, ACTIVE, SUSPENDED, "ActorSuspended")

    def is_proxy(self, account: str) -> bool:
        return self._actors.get(account, [0])[0] == PROXY

    def _change(self, account: str, expected: int, following: int, event: str) -> None:
        need(self._actors.get(account, [0, UNKNOWN])[1] == expected, "ActorUnexpectedStatus")
        self._actors[account][1] = following
        self._chain.emit("ActorRegistry", event, account=account)
        self._tell(account, following == ACTIVE)

    def _tell(self, account: str, admitted: bool) -> None:
        if self._actors[account][0] == HOSPITAL:
            self._chain.contracts["RecordLedger"].set_admitted(account, admitted)


class RecordLedger:
    """contracts/mainchain/RecordLedger.sol."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._ledgers: dict[str, tuple[bool, int, bytes]] = {}

    def store(self, sender: str, manifest: bytes, count: int) -> None:
        admitted, sequence, previous = self._ledgers.get(sender, (False, 0, bytes(32)))
        need(admitted, "LedgerNotActiveHospital")
        need(any(manifest) and count > 0, "LedgerEmptyBatch")
        head = keccak(encode(["bytes32", "bytes32", "uint32"], [previous, manifest, count]))
        self._ledgers[sender] = True, sequence + 1, head
        log = {"hospital": sender, "sequence": sequence + 1, "manifest": manifest, "count": count, "previous": previous}
        self._chain.emit("RecordLedger", "RecordsStored", **log)

    def set_admitted(self, hospital: str, admitted: bool) -> None:
        first = keccak(
            encode(["uint256", "address", "address"], [self._chain.chain_id, MAIN["RecordLedger"], hospital])
        )
        _, sequence, head = self._ledgers.get(hospital, (False, 0, first))
        self._ledgers[hospital] = admitted, sequence, head

    def ledgerOf(self, hospital: str, *, at: int | None) -> tuple[bool, int, bytes]:
        return self._ledgers.get(hospital.lower(), (False, 0, bytes(32)))


class AccessLog:
    """contracts/mainchain/AccessLog.sol, as far as late service goes."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._used: set[bytes] = set()
        types = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
        fields = [keccak(text=types), keccak(text="PanaChain AccessLog"), keccak(text="1")]
        where = [chain.chain_id, MAIN["AccessLog"]]
        self._domain = keccak(encode(["bytes32"] * 3 + ["uint256", "address"], [*fields, *where]))

    def proveLateService(self, _: str, proxy: str, receipt: tuple[Any, ...], signature: bytes) -> None:
        sequence, _previous, kind, policy_id, time, *_rest = receipt
        struct = (
            "Receipt(uint64 sequence,bytes32 previous,uint8 kind,address policyId,uint48 blockTime,uint64 blockNumber,"
            "uint32 count,bytes32 detail)"
        )
        types = ["uint64", "bytes32", "uint8", "address", "uint48", "uint64", "uint32", "bytes32"]
        head = keccak(encode(["bytes32", *types], [keccak(text=struct), *receipt]))
        signed = [keccak(text="LogHead(uint64 sequence,bytes32 head)"), sequence, head]
        digest = keccak(b"\x19\x01" + self._domain + keccak(encode(["bytes32", "uint64", "bytes32"], signed)))
        registry: ActorRegistry = self._chain.contracts["ActorRegistry"]
        need(registry.is_proxy(proxy), "LogNotProxy")
        signer = recover_digest(digest, signature)
        need(signer is not None and signer.lower() == proxy, "LogInvalidSignature")
        policies: PolicyRegistry = self._chain.contracts["PolicyRegistry"]
        need(kind == 2 and not policies.allowedAt(policy_id, time, at=None), "LogNotLate")
        need(head not in self._used, "LogEvidenceUsed")
        self._used.add(head)
        log = {"proxy": proxy, "policyId": policy_id, "sequence": sequence, "head": head}
        self._chain.emit("AccessLog", "LateServiceProven", **log)
        registry.convict(proxy)


# Contracts of the sidechain


@dataclass
class _Guarded:
    """A patient's guardians."""

    digest: bytes = bytes(32)
    threshold: int = 0
    delay: int = 0
    following: tuple[bytes, int, int] = (bytes(32), 0, 0)
    changes_at: int = 0
    deferred: bool = False
    round: int = 0
    successor: str = ""
    ready_at: int = 0
    frozen_until: int = 0

    def void(self) -> None:
        self.round += 1
        self.successor, self.ready_at = "", 0


class IdentityRegistry:
    """contracts/sidechain/IdentityRegistry.sol."""

    def __init__(self, chain: Chain, registrar: str) -> None:
        self._chain = chain
        self._registrar = registrar.lower()
        self.people: dict[str, list[Any]] = {}
        """Role, status and organisation."""
        self.keys: dict[str, bytes] = {}
        self._folded: dict[str, bytes] = {}
        self._pairings: dict[tuple[str, str], bytes] = {}
        self._guarded: dict[str, _Guarded] = {}
        self._approvals: dict[tuple[str, int, str], tuple[int, set[int]]] = {}
        self._froze: set[tuple[str, bytes, str]] = set()
        self.successors: dict[str, str] = {}

    def register(self, sender: str, account: str, role: int, _lookup: bytes, *values: Any) -> None:
        digest, organisation, personal = values
        need(sender == self._registrar, "AccessManagedUnauthorized")
        need(account not in self.people, "IdentityAlreadyRegistered")
        need(any(digest), "IdentityWithoutKeys")
        self.people[account] = [role, ACTIVE, organisation]
        self.keys[account] = self._folded[account] = digest
        names = ("account", "role", "organisation", "keyDigest", "personal")
        log = dict(zip(names, (account, role, organisation, digest, personal), strict=True))
        self._chain.emit("IdentityRegistry", "IdentityRegistered", **log)

    def suspend(self, sender: str, account: str) -> None:
        need(sender == self._registrar, "AccessManagedUnauthorized")
        self._change(account, ACTIVE, SUSPENDED, "IdentitySuspended")
        if self._settled(account).changes_at:
            self._withdraw(account)

    def reinstate(self, sender: str, account: str) -> None:
        need(sender == self._registrar, "AccessManagedUnauthorized")
        self._change(account, SUSPENDED, ACTIVE, "IdentityReinstated")

    def changeKeys(self, sender: str, expected: bytes, digest: bytes, ends_at: int) -> None:
        need(self.is_active(sender, PRACTITIONER), "IdentityNotActivePractitioner")
        need(any(digest), "IdentityWithoutKeys")
        need(self._folded[sender] == expected, "IdentityKeysChangedMeanwhile")
        now = self._chain.head.time
        need(ends_at <= now + MAX_OVERLAP, "IdentityKeysEndTooLate")
        need(ends_at + MAX_BACK >= now, "IdentityKeysEndTooEarly")
        self._folded[sender] = keccak(
            encode(["bytes32", "bytes32", "uint48", "uint48"], [expected, digest, now, ends_at])
        )
        self.keys[sender] = digest
        log = {"account": sender, "keyDigest": digest, "validFrom": now, "earlierEndsAt": ends_at}
        self._chain.emit("IdentityRegistry", "IdentityKeysChanged", **log)

    def pair(self, sender: str, hospital: str, pairing: bytes) -> None:
        need(self.is_active(sender, PATIENT), "IdentityNotActivePatient")
        need(any(pairing) and hospital != NOBODY, "IdentityNotPaired")
        need((sender, hospital) in self._pairings or not self._is_frozen(sender), "IdentityIsFrozen")
        self._pairings[sender, hospital] = pairing
        self._chain.emit("IdentityRegistry", "HospitalPaired", patient=sender, hospital=hospital, pairing=pairing)

    def unpair(self, sender: str, hospital: str) -> None:
        need(self.status_of(sender) != REPLACED, "IdentityNotActivePatient")
        need((sender, hospital) in self._pairings, "IdentityNotPaired")
        del self._pairings[sender, hospital]
        self._chain.emit("IdentityRegistry", "HospitalUnpaired", patient=sender, hospital=hospital)

    def pairingOf(self, patient: str, hospital: str, *, at: int | None) -> bytes:
        return self._pairings.get((patient.lower(), hospital.lower()), bytes(32))

    def recover(self, patient: str, successor: str) -> None:
        """Let the patient's guardians have spoken for a move, whose delay is over."""
        guarded = self._settled(patient.lower())
        guarded.successor, guarded.ready_at = successor.lower(), self._now

    def setGuardians(self, sender: str, commitments: Any, threshold: int, delay: int, invitations: bytes) -> None:
        need(self.is_active(sender, PATIENT), "IdentityNotActivePatient")
        fits = len(commitments) <= 16 and threshold <= len(commitments) and (threshold == 0) == (not commitments)
        need(fits, "IdentityInvalidGuardians")
        need(DAY <= delay <= 30 * DAY, "IdentityInvalidDelay")
        ascending = list(commitments) == sorted(set(commitments)) and bytes(32) not in commitments
        need(ascending, "IdentityInvalidCommitment")
        need(not self._is_frozen(sender), "IdentityIsFrozen")
        guarded = self._settled(sender)
        digest = keccak(encode(["bytes32[]"], [list(commitments)])) if commitments else bytes(32)
        guarded.following = digest, threshold, delay
        guarded.changes_at = self._now + (guarded.delay if guarded.threshold else 0)
        guarded.deferred = False
        log = {"commitments": list(commitments), "threshold": threshold, "delay": delay, "invitations": invitations}
        self._emit("GuardiansAnnounced", patient=sender, **log, takesEffectAt=guarded.changes_at)
        self._settled(sender)

    def cancelGuardians(self, sender: str) -> None:
        need(self.people.get(sender, [0, UNKNOWN])[1] in (ACTIVE, SUSPENDED), "IdentityUnexpectedStatus")
        need(self._settled(sender).changes_at > 0, "IdentityNothingAnnounced")
        self._withdraw(sender)

    def freeze(self, sender: str) -> None:
        need(self.is_active(sender, PATIENT), "IdentityNotActivePatient")
        self._freeze(sender)

    def freezeFor(self, sender: str, patient: str, commitments: Any, place: int, salt: bytes) -> None:
        self._need_guardian(sender, patient, commitments, place, salt)
        once = patient, self._settled(patient).digest, sender
        need(once not in self._froze, "IdentityAlreadyFrozen")
        self._froze.add(once)
        self._freeze(patient)

    def approveRecovery(
        self, sender: str, patient: str, successor: str, commitments: Any, place: int, salt: bytes
    ) -> None:
        self._need_guardian(sender, patient, commitments, place, salt)
        guarded, now = self._settled(patient), self._now
        fits = self.people[patient][1] != REPLACED and successor != patient and self.is_active(successor, PATIENT)
        need(fits, "IdentityInvalidSuccessor")
        need(not (self._is_open(guarded) and guarded.successor == successor), "IdentityRecoveryOpen")
        vote = patient, guarded.round, successor
        since, places = self._approvals.get(vote, (0, set()))
        if now >= since + 14 * DAY:
            since, places = now, set()
        need(place not in places, "IdentityAlreadyApproved")
        self._approvals[vote] = since, places | {place}
        self._emit("RecoveryApproved", patient=patient, successor=successor, guardian=sender)
        if len(places) + 1 < guarded.threshold:
            return
        guarded.round += 1
        guarded.successor, guarded.ready_at = successor, now + guarded.delay
        self._emit("RecoveryOpened", patient=patient, successor=successor, readyAt=guarded.ready_at)

    def cancelRecovery(self, sender: str) -> None:
        need(self.is_active(sender, PATIENT), "IdentityNotActivePatient")
        guarded = self._settled(sender)
        guarded.void()
        self._emit("RecoveryCancelled", patient=sender)
        if guarded.changes_at and not guarded.deferred:
            guarded.deferred, guarded.changes_at = True, self._now + guarded.delay
            self._emit("GuardiansDeferred", patient=sender, takesEffectAt=guarded.changes_at)
        self._settled(sender)

    def completeRecovery(self, sender: str, patient: str) -> None:
        guarded = self._guarded.get(patient, _Guarded())
        need(self._is_open(guarded) and self._now >= guarded.ready_at, "IdentityRecoveryNotReady")
        successor = guarded.successor
        need(sender == successor, "IdentityNotSuccessor")
        need(self.is_active(successor, PATIENT), "IdentityInvalidSuccessor")
        self.people[patient][1] = REPLACED
        self.successors[patient] = successor
        guarded.changes_at = 0
        guarded.void()
        self._emit("IdentityReplaced", patient=patient, successor=successor)

    def guardianshipOf(self, patient: str, *, at: int | None) -> tuple[Any, ...]:
        guarded = self._settled(patient.lower())
        following = guarded.following[0] if guarded.changes_at else bytes(32)
        present = guarded.digest, guarded.threshold, guarded.delay
        return (*present, following, guarded.changes_at, guarded.frozen_until)

    def recoveryOf(self, patient: str, *, at: int | None) -> tuple[str, int]:
        guarded = self._guarded.get(patient.lower(), _Guarded())
        return (guarded.successor, guarded.ready_at) if self._is_open(guarded) else (NOBODY, 0)

    def isGuardian(self, patient: str, account: str, *proof: Any, at: int | None) -> bool:
        return self._is_guardian(account.lower(), patient.lower(), *proof)

    def _need_guardian(self, sender: str, patient: str, commitments: Any, place: int, salt: bytes) -> None:
        need(self._is_guardian(sender, patient, commitments, place, salt), "IdentityNotGuardian")

    def _is_guardian(self, account: str, patient: str, commitments: Any, place: int, salt: bytes) -> bool:
        own = keccak(encode(["address", "address", "bytes32"], [patient, account, salt]))
        listed = keccak(encode(["bytes32[]"], [list(commitments)]))
        named = place < len(commitments) and commitments[place] == own
        return account != patient and named and listed == self._settled(patient).digest

    def _freeze(self, patient: str) -> None:
        self._settled(patient).frozen_until = self._now + 3 * DAY
        self._emit("IdentityFrozen", patient=patient, until=self._now + 3 * DAY)

    def _withdraw(self, patient: str) -> None:
        self._guarded[patient].changes_at = 0
        self._emit("GuardiansWithdrawn", patient=patient)

    def _settled(self, patient: str) -> _Guarded:
        guarded = self._guarded.setdefault(patient, _Guarded())
        now = self._now
        due = 0 < guarded.changes_at <= now and now >= guarded.frozen_until and not self._is_open(guarded)
        if due:
            guarded.digest, guarded.threshold, guarded.delay = guarded.following
            guarded.changes_at = 0
            guarded.void()
        return guarded

    def _is_open(self, guarded: _Guarded) -> bool:
        return bool(guarded.successor) and self._now < guarded.ready_at + 14 * DAY

    def _is_frozen(self, patient: str) -> bool:
        guarded = self._guarded.get(patient, _Guarded())
        return self._now < guarded.frozen_until or self._is_open(guarded)

    @property
    def _now(self) -> int:
        return self._chain.head.time

    def _emit(self, event: str, **log: Any) -> None:
        self._chain.emit("IdentityRegistry", event, **log)

    def status_of(self, account: str) -> int:
        return int(self.people.get(account, [0, UNKNOWN])[1])

    def newest_of(self, account: str) -> str:
        while account in self.successors:
            account = self.successors[account]
        return account

    def same_as(self, account: str) -> set[str]:
        """Return an account and those that were moved to it."""
        return {account, *(one for one in self.successors if self._leads_to(one, account))}

    def _leads_to(self, earlier: str, account: str) -> bool:
        while earlier in self.successors and earlier != account:
            earlier = self.successors[earlier]
        return earlier == account

    def is_active(self, account: str, role: int) -> bool:
        return self.people.get(account, [0, UNKNOWN])[:2] == [role, ACTIVE]

    def organisation_of(self, account: str) -> str:
        return str(self.people.get(account, [0, UNKNOWN, NOBODY])[2] or NOBODY).lower()

    def _change(self, account: str, expected: int, following: int, event: str) -> None:
        need(self.people.get(account, [0, UNKNOWN])[1] == expected, "IdentityUnexpectedStatus")
        self.people[account][1] = following
        self._chain.emit("IdentityRegistry", event, account=account)


class CareGroups:
    """contracts/sidechain/CareGroups.sol."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._groups: dict[str, list[Any]] = {}
        """Manager, closed, generation, organisation."""
        self._keys: dict[tuple[str, str], bytes] = {}
        self._accepted: set[tuple[str, str]] = set()

    @property
    def _identities(self) -> IdentityRegistry:
        found: IdentityRegistry = self._chain.contracts["IdentityRegistry"]
        return found

    def create(self, sender: str, digest: bytes) -> None:
        need(self._identities.is_active(sender, PRACTITIONER), "GroupNotActivePractitioner")
        need(any(digest), "GroupWithoutKeys")
        named = [self._chain.chain_id, SIDE["CareGroups"], sender, digest]
        group = "0x" + keccak(encode(["uint256", "address", "address", "bytes32"], named))[12:].hex()
        need(group not in self._groups, "GroupAlreadyCreated")
        need(self._managed(sender) < MAX_GROUPS, "GroupTooMany")
        organisation = self._identities.people[sender][2]
        self._groups[group] = [sender, False, 0, organisation]
        log = {"group": group, "manager": sender, "organisation": organisation, "keyDigest": digest}
        self._chain.emit("CareGroups", "GroupCreated", **log)

    def handOver(self, sender: str, group: str, manager: str) -> None:
        self._check_manager(sender, group)
        need(self._identities.is_active(manager, PRACTITIONER), "GroupNotActivePractitioner")
        need((group, manager) in self._accepted, "GroupNotAccepted")
        need(manager == sender or self._managed(manager) < MAX_GROUPS, "GroupTooMany")
        self._groups[group][0] = manager
        self._chain.emit("CareGroups", "GroupHandedOver", group=group, manager=manager)

    def close(self, sender: str, group: str) -> None:
        self._check_manager(sender, group)
        self._groups[group][1] = True
        self._chain.emit("CareGroups", "GroupClosed", group=group)

    def addMember(self, sender: str, group: str, member: str, sealed: bytes) -> None:
        self._check_manager(sender, group)
        need(self._identities.is_active(member, PRACTITIONER), "GroupNotActivePractitioner")
        need(any(sealed), "GroupWithoutSealedKey")
        self._seal(group, member, sealed)
        if member == sender and (group, member) not in self._accepted:
            self._accept(group, member)

    def accept(self, sender: str, group: str) -> None:
        need((group, sender) in self._keys, "GroupNotListed")
        need((group, sender) not in self._accepted, "GroupAlreadyAccepted")
        need(not self._groups[group][1], "GroupAlreadyClosed")
        need(self._identities.is_active(sender, PRACTITIONER), "GroupNotActivePractitioner")
        self._accept(group, sender)

    def renew(
        self,
        sender: str,
        group: str,
        generation: int,
        digest: bytes,
        members: Sequence[str],
        sealed: Sequence[bytes],
    ) -> None:
        self._check_manager(sender, group)
        need(any(digest), "GroupWithoutKeys")
        need(generation == self._groups[group][2] + 1, "GroupNotNextGeneration")
        need(len(members) == len(sealed), "GroupRenewalLengths")
        # All or nothing: nothing is changed before everything is checked.
        need(all((group, member) in self._keys for member in members), "GroupNotListed")
        need(all(any(one) for one in sealed), "GroupWithoutSealedKey")
        self._groups[group][2] = generation
        self._chain.emit("CareGroups", "GroupRenewed", group=group, generation=generation, keyDigest=digest)
        for member, one in zip(members, sealed, strict=True):
            self._seal(group, member, one)

    def removeMember(self, sender: str, group: str, member: str) -> None:
        if sender != member:
            self._check_manager(sender, group)
        need((group, member) in self._keys, "GroupNotListed")
        del self._keys[group, member]
        self._accepted.discard((group, member))
        self._chain.emit("CareGroups", "MemberRemoved", group=group, member=member)

    def isMember(self, group: str, person: str, *, at: int | None) -> bool:
        group, person = group.lower(), person.lower()
        accepted = (group, person) in self._accepted and not self._groups[group][1]
        return accepted and self._identities.is_active(person, PRACTITIONER)

    def groupOf(self, group: str, *, at: int | None) -> tuple[Any, ...]:
        return tuple(self._groups.get(group.lower(), (NOBODY, False, 0, NOBODY)))

    def sealedKeyOf(self, group: str, member: str, *, at: int | None) -> bytes:
        return self._keys.get((group.lower(), member.lower()), bytes(32))

    def _managed(self, manager: str) -> int:
        return sum(1 for now, closed, *_ in self._groups.values() if now == manager and not closed)

    def _accept(self, group: str, member: str) -> None:
        self._accepted.add((group, member))
        self._chain.emit("CareGroups", "MemberAccepted", group=group, member=member)

    def _seal(self, group: str, member: str, sealed: bytes) -> None:
        self._keys[group, member] = sealed
        self._chain.emit("CareGroups", "MemberAdded", group=group, member=member, sealedKey=sealed)

    def _check_manager(self, sender: str, group: str) -> None:
        manager, closed, *_ = self._groups.get(group, (NOBODY, False))
        need(manager == sender, "GroupNotManager")
        need(not closed, "GroupAlreadyClosed")
        need(self._identities.is_active(sender, PRACTITIONER), "GroupNotActivePractitioner")


class AccessRequests:
    """contracts/sidechain/AccessRequests.sol."""

    STATES = ("none", "open", "approved", "denied", "withdrawn", "expired")

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._requests: list[list[Any]] = []
        """Requester, patient, end, state and when it was made."""
        self._rested: dict[str, int] = {}
        self._makers: list[str] = []
        """Who made each request, in whoever's name."""

    def request(self, sender: str, patient: str, details: bytes, expires_at: int) -> None:
        self._ask(sender, sender, patient, details, expires_at)

    def refer(self, sender: str, patient: str, specialist: str, details: bytes, expires_at: int) -> None:
        identities: IdentityRegistry = self._chain.contracts["IdentityRegistry"]
        need(specialist != sender, "RequestReferredToOneself")
        need(identities.is_active(sender, PRACTITIONER), "RequestNotActivePractitioner")
        self._ask(sender, specialist, patient, details, expires_at)
        self._chain.emit("AccessRequests", "AccessReferred", id=len(self._requests), referrer=sender)

    def _ask(self, sender: str, requester: str, patient: str, details: bytes, expires_at: int) -> None:
        identities: IdentityRegistry = self._chain.contracts["IdentityRegistry"]
        need(identities.is_active(requester, PRACTITIONER), "RequestNotActivePractitioner")
        need(identities.is_active(patient, PATIENT), "RequestUnknownPatient")
        need(any(details) and expires_at > self._chain.head.time, "RequestInvalid")
        now = self._chain.head.time
        made = [one for one, maker in zip(self._requests, self._makers, strict=True) if maker == sender]
        held = [one for one in made if one[1] == patient and self._held_until(one) > now]
        need(len(held) < PLACES, "RequestTooManyOpen")
        rested = max(self._rested.get(sender, 0), now)
        need(rested <= now + (IN_A_ROW - 1) * INTERVAL, "RequestTooOften")
        self._rested[sender] = rested + INTERVAL
        self._requests.append([requester, patient, expires_at, "open", now])
        self._makers.append(sender)
        names = ("id", "requester", "patient", "details", "expiresAt")
        log = dict(zip(names, (len(self._requests), requester, patient, details, expires_at), strict=True))
        self._chain.emit("AccessRequests", "AccessRequested", **log)

    def approve(self, sender: str, number: int, outcome: bytes) -> None:
        self._check_answers(sender, number, ACTIVE)
        self._close(sender, number, 1, "approved")
        self._chain.emit("AccessRequests", "AccessApproved", id=number, outcome=outcome)

    def deny(self, sender: str, number: int) -> None:
        self._check_answers(sender, number, ACTIVE, SUSPENDED)
        self._close(sender, number, 1, "denied")
        self._chain.emit("AccessRequests", "AccessDenied", id=number)

    def withdraw(self, sender: str, number: int) -> None:
        self._close(sender, number, 0, "withdrawn")
        self._chain.emit("AccessRequests", "AccessWithdrawn", id=number)

    def stateOf(self, number: int, *, at: int | None) -> int:
        _, _, expires_at, state, _ = self._requests[number - 1]
        over = state == "open" and self._chain.head.time >= expires_at
        return self.STATES.index("expired" if over else state)

    def _held_until(self, asked: Sequence[Any]) -> int:
        """Return until when a request takes one of its requester's places with its patient."""
        _, _, expires_at, state, made = asked
        if state not in ("open", "withdrawn"):
            return 0
        return int(max(expires_at if state == "open" else 0, made + LEAST_HELD))

    def _check_answers(self, sender: str, number: int, *statuses: int) -> None:
        identities: IdentityRegistry = self._chain.contracts["IdentityRegistry"]
        asked = 0 < number <= len(self._requests) and self._requests[number - 1][1] == sender
        need(not asked or identities.status_of(sender) in statuses, "RequestNotActivePatient")

    def _close(self, sender: str, number: int, side: int, following: str) -> None:
        need(0 < number <= len(self._requests), "RequestNotYours")
        allowed = {self._requests[number - 1][side], *([] if side else [self._makers[number - 1]])}
        need(sender in allowed, "RequestNotYours")
        need(self.STATES[self.stateOf(number, at=None)] == "open", "RequestNotOpen")
        self._requests[number - 1][3] = following


class EmergencyAccess:
    """contracts/sidechain/EmergencyAccess.sol."""

    COSIGN_DUE, DURATION, REVIEW_DUE = 3600, 4 * 3600, 72 * 3600

    def __init__(self, chain: Chain, registrar: str) -> None:
        self._chain = chain
        self._registrar = registrar.lower()
        self._emergencies: list[dict[str, Any]] = []

    def request(self, sender: str, patient: str, reason: bytes) -> None:
        self._check_practitioner(sender)
        identities: IdentityRegistry = self._chain.contracts["IdentityRegistry"]
        need(identities.is_active(patient, PATIENT), "EmergencyUnknownPatient")
        need(any(reason), "EmergencyWithoutReason")
        now = self._chain.head.time
        self._emergencies.append({"who": sender, "asked": now, "cosigned": 0, "closed": False})
        number = len(self._emergencies)
        self._emit("EmergencyRequested", id=number, practitioner=sender, patient=patient, reason=reason)

    def cosign(self, sender: str, number: int) -> None:
        one, now = self._known(number), self._chain.head.time
        need(one["who"] != sender and not one["cosigned"], "EmergencyInvalidCosigner")
        self._check_practitioner(sender)
        self._check_practitioner(one["who"])
        need(self._organisation(sender) == self._organisation(one["who"]), "EmergencyInvalidCosigner")
        need(now < one["asked"] + self.COSIGN_DUE, "EmergencyRequestExpired")
        one["cosigned"] = now
        until = {"expiresAt": now + self.DURATION, "reviewDueAt": now + self.REVIEW_DUE}
        self._emit("EmergencyCosigned", id=number, cosigner=sender, **until)

    def review(self, sender: str, number: int, outcome: bytes) -> None:
        need(sender == self._registrar, "AccessManagedUnauthorized")
        one = self._known(number)
        need(not one["closed"], "EmergencyClosed")
        need(one["cosigned"] != 0, "EmergencyNotCosigned")
        one["closed"] = True
        self._emit("EmergencyReviewed", id=number, outcome=outcome)

    def enforce(self, _: str, number: int) -> None:
        one = self._known(number)
        need(not one["closed"], "EmergencyClosed")
        need(one["cosigned"] != 0, "EmergencyNotCosigned")
        need(self._chain.head.time >= one["cosigned"] + self.REVIEW_DUE, "EmergencyNotOverdue")
        one["closed"] = True
        self._emit("EmergencyOverdue", id=number, practitioner=one["who"])
        identities: IdentityRegistry = self._chain.contracts["IdentityRegistry"]
        if identities.is_active(one["who"], PRACTITIONER):
            identities.suspend(self._registrar, one["who"])

    def _known(self, number: int) -> dict[str, Any]:
        need(0 < number <= len(self._emergencies), "EmergencyUnknown")
        return self._emergencies[number - 1]

    def _check_practitioner(self, account: str) -> None:
        identities: IdentityRegistry = self._chain.contracts["IdentityRegistry"]
        active = identities.is_active(account, PRACTITIONER) and self._organisation(account) != NOBODY
        need(active, "EmergencyNotActivePractitioner")

    def _organisation(self, account: str) -> str:
        identities: IdentityRegistry = self._chain.contracts["IdentityRegistry"]
        return identities.organisation_of(account)

    def _emit(self, event: str, **values: Any) -> None:
        self._chain.emit("EmergencyAccess", event, **values)


class Wardships:
    """contracts/sidechain/Wardships.sol."""

    STATES = ("none", "proposed", "accepted", "in force", "over", "ended")
    LONGEST = 25 * 365 * 86_400

    def __init__(self, chain: Chain, registrar: str) -> None:
        self._chain = chain
        self._registrar = registrar.lower()
        self._wardships: list[dict[str, Any]] = []
        self._latest: dict[str, int] = {}
        self._of_account: dict[str, int] = {}

    def propose(self, sender: str, terms: Sequence[Any]) -> None:
        ward, ends_at, carer, keeps_from, categories, keeps, papers, handover = terms
        self._check_people(sender, ward, carer)
        need(len({sender, ward, carer}) == 3, "WardshipInvalidParties")
        need(sender not in self._of_account, "WardshipAccountTaken")
        now = self._chain.head.time
        said = categories and any(papers) and any(handover) and not keeps & ~categories
        need(now < ends_at <= now + self.LONGEST and bool(said), "WardshipInvalid")
        made = {"ward": ward, "account": sender, "carer": carer, "ends": ends_at, "started": 0, "ended": 0}
        self._wardships.append(made | {"accepted": False, "concluded": False})
        self._of_account[sender] = number = len(self._wardships)
        told = {"categories": categories, "keeps": keeps, "keepsFrom": keeps_from, "endsAt": ends_at}
        sealed = {"papers": papers, "handover": handover}
        self._emit("WardshipProposed", id=number, ward=ward, account=sender, carer=carer, **told, **sealed)

    def accept(self, sender: str, number: int) -> None:
        one = self._known(number, sender, "carer")
        self._check_state(number, "proposed")
        one["accepted"] = True
        self._emit("WardshipAccepted", id=number, carer=sender)

    def start(self, sender: str, number: int) -> None:
        need(sender == self._registrar, "AccessManagedUnauthorized")
        self._check_state(number, "accepted")
        one = self._wardships[number - 1]
        identities: IdentityRegistry = self._chain.contracts["IdentityRegistry"]
        latest = [self._latest.get(account, 0) for account in identities.same_as(one["ward"])]
        need(not any(self._state(current) == "in force" for current in latest), "WardshipWardTaken")
        self._check_people(one["account"], one["ward"], one["carer"])
        one["started"] = self._chain.head.time
        self._latest[one["ward"]] = number
        self._emit("WardshipStarted", id=number, ward=one["ward"], registrar=sender)

    def end(self, sender: str, number: int) -> None:
        need(0 < number <= len(self._wardships), "WardshipNotYours")
        identities: IdentityRegistry = self._chain.contracts["IdentityRegistry"]
        one = self._wardships[number - 1]
        need(sender in (one["account"], identities.newest_of(one["carer"])), "WardshipNotYours")
        self._end(sender, number)

    def endByRegistrar(self, sender: str, number: int) -> None:
        need(sender == self._registrar, "AccessManagedUnauthorized")
        self._end(sender, number)

    def conclude(self, sender: str, number: int) -> None:
        self._check_state(number, "over")
        one = self._wardships[number - 1]
        need(one["started"] and not one["concluded"], "WardshipNothingToConclude")
        one["concluded"] = True
        self._emit("WardshipConcluded", id=number, by=sender)
        self._suspend(number)

    def _end(self, sender: str, number: int) -> None:
        need(self._state(number) in ("proposed", "accepted", "in force"), "WardshipUnexpectedState")
        began = self._state(number) == "in force"
        self._wardships[number - 1]["ended"] = self._chain.head.time
        self._emit("WardshipEnded", id=number, by=sender)
        if began:
            self._suspend(number)

    def _suspend(self, number: int) -> None:
        identities: IdentityRegistry = self._chain.contracts["IdentityRegistry"]
        account = self._wardships[number - 1]["account"]
        if identities.is_active(account, PATIENT):
            identities.suspend(self._registrar, account)

    def _state(self, number: int) -> str:
        if not 0 < number <= len(self._wardships):
            return "none"
        one = self._wardships[number - 1]
        if one["ended"]:
            return "ended"
        if self._chain.head.time >= one["ends"]:
            return "over"
        return "in force" if one["started"] else "accepted" if one["accepted"] else "proposed"

    def _known(self, number: int, sender: str, *who: str) -> dict[str, Any]:
        need(0 < number <= len(self._wardships), "WardshipNotYours")
        one = self._wardships[number - 1]
        need(sender in [one[name] for name in who], "WardshipNotYours")
        return one

    def _check_people(self, account: str, ward: str, carer: str) -> None:
        identities: IdentityRegistry = self._chain.contracts["IdentityRegistry"]
        need(identities.is_active(account, PATIENT), "WardshipNotActivePatient")
        need(identities.is_active(ward, PATIENT), "WardshipNotActivePatient")
        need(identities.people.get(carer, [0, UNKNOWN])[1] == ACTIVE, "WardshipNotActiveCarer")
        alive = ("proposed", "accepted", "in force")
        serves = [self._state(self._of_account.get(one, 0)) in alive for one in (ward, carer)]
        need(not any(serves) and account not in self._latest, "WardshipInvalidParties")

    def _check_state(self, number: int, expected: str) -> None:
        need(self._state(number) == expected, "WardshipUnexpectedState")

    def _emit(self, event: str, **values: Any) -> None:
        self._chain.emit("Wardships", event, **values)


# The adapters over them


class TwinNode:
    """What a node says of its blocks; everything else is asked of the twin's contracts directly."""

    url = "http://node.test"

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        if method == "eth_getTransactionReceipt":
            # As a node that keeps none: events alone are proven.
            return None
        if method == "eth_getTransactionByHash":
            data = self._chain.calls.get(params[0])
            return None if data is None else {"hash": params[0], "input": data}
        if method == "eth_estimateGas":
            # There is no gas here: a figure that is always the same.
            return hex(100_000)
        if method != "eth_getBlockByNumber":
            raise NotImplementedError(f"the twin's node doesn't answer {method}")
        block = self._chain.head if params[0] == "latest" else self._chain.blocks[int(params[0], 16)]
        return {"number": hex(block.number), "hash": block.hash, "timestamp": hex(block.time)}


class TwinSource:
    """Blocks and events of a twin: all of them, whatever its node is made to say."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def head(self) -> Block:
        return self._chain.head

    def block(self, number: int) -> Block:
        return self._chain.blocks[number]

    def events(
        self,
        contract: Contract,
        where: str,
        *,
        topics: Sequence[Topic] = (),
        from_block: int = 0,
        to_block: int | None = None,
    ) -> Iterator[Event]:
        return self._chain.events(contract.name, topics, from_block, to_block)

    def pinned(self) -> AbstractContextManager[object]:
        # The twin's chain grows only where the test says so.
        return nullcontext()

    def close(self) -> None:
        """There is nothing to close."""


class TwinContract(BoundContract):
    """A bound contract whose answers come from the twin's contract of the same name."""

    def __init__(self, chain: Chain, name: str, address: str) -> None:
        super().__init__(
            TwinNode(chain),  # type: ignore[arg-type]
            name,
            address,
            chain_id=chain.chain_id,
            source=TwinSource(chain),
        )
        self._chain = chain

    def read(self, function: str, *args: Any, at: str = "latest") -> Any:
        number = {"latest": self._chain.head.number, "pending": None}.get(at, int(at, 16) if at[:2] == "0x" else 0)
        return getattr(self._chain.contracts[self.name], function)(*args, at=number)


class TwinMainchain(Mainchain):
    """The mainchain's real adapters over the twin's contracts."""

    def __init__(
        self, chain_id: int, clock: Callable[[], int], registrar: str, addresses: Mapping[str, str] = MAIN
    ) -> None:
        self.chain = Chain(chain_id, clock)
        super().__init__(TwinNode(self.chain), addresses, chain_id, source=TwinSource(self.chain))  # type: ignore[arg-type]
        self.chain.contracts = {
            "ActorRegistry": ActorRegistry(self.chain, registrar),
            "RecordLedger": RecordLedger(self.chain),
            "PolicyRegistry": PolicyRegistry(self.chain, addresses["PolicyRegistry"]),
            "AccessLog": AccessLog(self.chain),
        }

    def sender(self, account: Account, *, lock_folder: Path) -> TwinSender:  # type: ignore[override]
        return TwinSender(self.chain, account, self.addresses)

    def bind(self, name: str) -> BoundContract:
        return TwinContract(self.chain, name, self.addresses[name])


class TwinSidechain(Sidechain):
    """The sidechain's real adapters over the twin's contracts."""

    def __init__(self, chain_id: int, clock: Callable[[], int], registrar: str) -> None:
        self.chain = Chain(chain_id, clock)
        super().__init__(TwinNode(self.chain), SIDE, chain_id, source=TwinSource(self.chain))  # type: ignore[arg-type]
        made = (
            IdentityRegistry(self.chain, registrar),
            AccessRequests(self.chain),
            CareGroups(self.chain),
            EmergencyAccess(self.chain, registrar),
            Wardships(self.chain, registrar),
        )
        self.chain.contracts |= dict(zip(SIDE, made, strict=True))

    def sender(self, account: Account, *, lock_folder: Path) -> TwinSender:  # type: ignore[override]
        return TwinSender(self.chain, account, self.addresses)

    def bind(self, name: str) -> BoundContract:
        return TwinContract(self.chain, name, self.addresses[name])
