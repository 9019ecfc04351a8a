"""An in-memory twin of everything around proxies: chains, a patient's policy, readers, and proxies of one's own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from panachain.chain.codec import encode
from panachain.chain.receipts import log_domain
from panachain.chain.revocations import registry_domain
from panachain.chain.signing import Account, compact, typed_digest
from panachain.chain.typed import proxy_domain, sign_request
from panachain.crypto import box, labels, umbral
from panachain.crypto.hpke import SealingKey
from panachain.crypto.keys import Seed
from panachain.errors import PolicyUnknownError
from panachain.ethereum import keccak
from panachain.model.actors import Actor, Address, PolicyId, Role, Status
from panachain.model.policy import GrantedLane, OnChainPolicy, PolicyStatus, ProxyRef, Terms
from panachain.model.proxy_requests import DepositedLane, DepositRequest, ReceiptsRequest, ReencryptRequest
from panachain.model.scope import Purpose, Scope
from panachain.model.transactions import NO_WAIT, Emergency, Revocation, Wait, opens_first
from panachain.proxy import messages
from panachain.sdk.network import Network
from panachain.sdk.proxies import Reader
from panachain.service.proxy.service import ProxyService
from panachain.service.proxy.store import ProxyStore
from panachain.wire.endpoints import Reach

PASSPHRASE = "correct horse battery staple"
CHAIN_ID = 31_337
REGISTRY = "0x" + "11" * 20
DOMAIN = proxy_domain(CHAIN_ID, REGISTRY)
LOG_DOMAIN = log_domain(CHAIN_ID, "0x" + "22" * 20)
REGISTRY_DOMAIN = registry_domain(CHAIN_ID, REGISTRY)


class Chain:
    """Both chains, as a test says they are."""

    def __init__(self) -> None:
        self.now = int(time.time())
        self.age = 0
        self.block = 100
        self.policies: dict[PolicyId, OnChainPolicy] = {}
        self.people: dict[Address, Status] = {}
        self.members: set[tuple[Address, Address]] = set()
        self.emergencies: dict[tuple[Address, Address], int] = {}
        """By patient and practitioner when an emergency that was co-signed is over."""
        self.cosignatures: list[Emergency] = []
        """Emergencies as the sidechain shows them."""
        self.waiting: set[PolicyId] = set()
        self.shallow: set[PolicyId] = set()
        """What stands in blocks only that may still be replaced."""

    def policy(self, policy_id: PolicyId) -> OnChainPolicy:
        if policy_id not in self.policies:
            raise PolicyUnknownError("no such policy")
        return replace(self.policies[policy_id], block=self.block, block_time=self.now - self.age)

    def settled(self, policy_id: PolicyId) -> OnChainPolicy | None:
        return self.policy(policy_id) if policy_id not in self.shallow else None

    def settled_of(self, policy_ids: Sequence[PolicyId]) -> list[OnChainPolicy]:
        return [one for one in map(self.settled, policy_ids) if one is not None]

    def revocation_in_sight(self, policy_id: PolicyId) -> bool:
        return policy_id in self.waiting or self.policies[policy_id].status is PolicyStatus.REVOKED

    def head_time(self) -> int:
        return self.now - self.age

    def pinned(self) -> AbstractContextManager[object]:
        return nullcontext()

    def identity(self, account: Address) -> Actor | None:
        status = self.people.get(account)
        return None if status is None else Actor(account, Role.PRACTITIONER, status, b"")

    def is_member(self, group: Address, person: Address) -> bool:
        return (group, person) in self.members

    def opens_at(
        self, grantee: Address, person: Address, *, at: int, counted: Callable[[Emergency], int]
    ) -> Wait | None:
        if at < self.emergencies.get((grantee, person), 0):
            return NO_WAIT
        active = [one for one in self.cosigned(since=at) if one.practitioner == person]
        return opens_first(active, grantee, counted=counted)

    def cosigned(self, *, since: int) -> Iterator[Emergency]:
        return (one for one in self.cosignatures if one.is_active(since))

    def revoke(self, policy_id: PolicyId) -> None:
        self.policies[policy_id] = replace(self.policies[policy_id], status=PolicyStatus.REVOKED)

    def expire(self, policy_id: PolicyId) -> None:
        policy = self.policies[policy_id]
        self.policies[policy_id] = replace(policy, status=PolicyStatus.EXPIRED, expires_at=self.now - 1)


@dataclass
class Policy:
    """A granted policy with one lane, and everybody's keys."""

    terms: Terms
    account: Account
    lane: umbral.SecretKey
    kfrags: list[bytes]
    audit: SealingKey
    grantee: Account
    secret: umbral.SecretKey
    digest: bytes = field(default_factory=lambda: os.urandom(32))

    def wraps(self, count: int) -> dict[str, bytes]:
        """Return wraps of random keys, by name."""
        return {f"{number:05}": umbral.wrap(self.lane.public, os.urandom(32)) for number in range(count)}

    def plain(self, wraps: dict[str, bytes]) -> dict[str, bytes]:
        """Return what the wraps hold, by the lane's own key."""
        return {name: umbral.unwrap(self.lane, wrap) for name, wrap in wraps.items()}

    def reader(self) -> Reader:
        return Reader(self.grantee, self.terms.grantee, self.secret, SealingKey.random())


class ProxyWorld:
    """Some proxies on one chain."""

    def __init__(self, folder: Path, count: int = 3, **settings: Any) -> None:
        self.chain = Chain()
        self.folder = folder
        self.seeds = [Seed.random() for _ in range(count)]
        self.stores = [
            ProxyStore(folder / f"proxy-{number}.sqlite", seed.store_key(), proxy=address(seed))
            for number, seed in enumerate(self.seeds)
        ]
        self.services = [
            self.service(seed, store, **settings) for seed, store in zip(self.seeds, self.stores, strict=True)
        ]

    def service(self, seed: Seed, store: ProxyStore, **settings: Any) -> ProxyService:
        return ProxyService(
            seed,
            store,
            self.chain,
            domain=DOMAIN,
            log_domain=LOG_DOMAIN,
            registry_domain=REGISTRY_DOMAIN,
            **({"clock": lambda: self.chain.now} | settings),
        )

    def close(self) -> None:
        for store in self.stores:
            store.close()

    def refs(self, endpoints: Sequence[str] = ()) -> tuple[ProxyRef, ...]:
        named = endpoints or [""] * len(self.seeds)
        return tuple(
            ProxyRef(address(seed), endpoint, seed.public_keys().digest)
            for seed, endpoint in zip(self.seeds, named, strict=True)
        )

    def grant(self, endpoints: Sequence[str] = (), *, threshold: int = 2, deposit: bool = True) -> Policy:
        """Grant a policy to a new person, and deposit its kfrags."""
        owner, grantee = Account(os.urandom(32)), Account(os.urandom(32))
        lane, secret, audit = umbral.SecretKey.random(), umbral.SecretKey.random(), SealingKey.random()
        signer = umbral.Signer(umbral.SecretKey.random())
        kfrags = umbral.delegate(lane, secret.public, signer, threshold=threshold, shares=len(self.seeds))
        terms = Terms(
            policy_id=PolicyId(owner.address),
            patient=Address("0x" + "33" * 20),
            grantee=grantee.address,
            key_digest=bytes(32),
            receiving_key=secret.public,
            verifying_key=signer.public,
            purposes=(Purpose.TREAT,),
            starts_at=self.chain.now - 10_000,
            expires_at=self.chain.now + 3600,
            threshold=threshold,
            proxies=self.refs(endpoints),
            lanes=(GrantedLane(Scope.parse("laboratory"), 0, lane.public, bytes(32), bytes(32)),),
            audit_key=audit.public,
        )
        policy = Policy(terms, owner, lane, kfrags, audit, grantee, secret)
        self.chain.policies[terms.policy_id] = OnChainPolicy(
            terms.policy_id, PolicyStatus.ACTIVE, terms.starts_at, terms.expires_at, policy.digest
        )
        self.chain.people[grantee.address] = Status.ACTIVE
        if deposit:
            for number, service in enumerate(self.services):
                service.deposit(service.open_deposit(self.sealed(policy, number)))
        return policy

    def deposit_request(self, policy: Policy, number: int, **changes: Any) -> DepositRequest:
        terms = policy.terms
        fields: dict[str, Any] = {
            "proxy": terms.proxies[number].address,
            "policy_id": terms.policy_id,
            "grantee": terms.grantee,
            "receiving_key": terms.receiving_key,
            "verifying_key": terms.verifying_key,
            "audit_key": terms.audit_key,
            "terms": policy.digest,
            "purposes": terms.purposes,
            "lanes": (DepositedLane(policy.lane.public, policy.kfrags[number]),),
            "expires_at": self.chain.now + 45,
            "nonce": os.urandom(16),
        }
        return sign_request(policy.account, DOMAIN, DepositRequest(**(fields | changes)))

    def sealed(self, policy: Policy, number: int, **changes: Any) -> bytes:
        request = self.deposit_request(policy, number, **changes)
        plain = messages.canonical(messages.deposit_fields(request))
        return box.seal_to(self.seeds[number].sealing().public, plain, labels.DEPOSIT)

    def request(
        self, policy: Policy, number: int = 0, *, signer: Account | None = None, **changes: Any
    ) -> ReencryptRequest:
        """Return a signed request for one capsule; `changes` are made before it is signed."""
        fields: dict[str, Any] = {
            "proxy": policy.terms.proxies[number].address,
            "policy_id": policy.terms.policy_id,
            "grantee": policy.terms.grantee,
            "requester": policy.grantee.address,
            "purpose": Purpose.TREAT,
            "lane": 0,
            "capsules": (umbral.capsule_of(umbral.wrap(policy.lane.public, os.urandom(32))),),
            "expires_at": self.chain.now + 45,
            "nonce": os.urandom(16),
        }
        return sign_request(signer or policy.grantee, DOMAIN, ReencryptRequest(**(fields | changes)))

    def revocation(self, policy: Policy, signer: Account | None = None) -> Revocation:
        """Return a policy's revocation, signed by its own account or by somebody else."""
        struct = keccak(encode(["bytes32", "address"], [keccak("Revoke(address owner)"), policy.account.address]))
        signature = compact((signer or policy.account).sign_digest(typed_digest(REGISTRY_DOMAIN, struct)))
        return Revocation(policy.terms.policy_id, signature)

    def receipts_request(self, policy: Policy, number: int = 0) -> ReceiptsRequest:
        proxy = policy.terms.proxies[number].address
        unsigned = ReceiptsRequest(proxy, policy.terms.policy_id, self.chain.now + 45, os.urandom(16))
        return sign_request(policy.account, DOMAIN, unsigned)

    def network(self) -> Any:
        """Return what `Proxies` needs of a network."""
        mainchain = SimpleNamespace(
            chain_id=CHAIN_ID,
            policies=SimpleNamespace(address=REGISTRY),
            log=SimpleNamespace(domain=LOG_DOMAIN),
            head_block=lambda: SimpleNamespace(time=self.chain.now, number=self.chain.block),
        )
        network: Any = SimpleNamespace(
            clock=lambda: self.chain.now,
            mainchain=mainchain,
            reachable=lambda proxies: list(proxies),
            reach=Reach(development=True),
        )
        known = {seed.public_keys().digest: seed.public_keys() for seed in self.seeds}
        network.key_blocks = SimpleNamespace(find=lambda digest, whose: known[digest])
        network.chain_time = lambda: Network.chain_time(network)
        return network


def address(seed: Seed) -> Address:
    return Account(seed.account_key()).address
