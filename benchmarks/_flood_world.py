"""A small world for floods: who is granted what, and one proxy as a process of its own in front of chains in memory.

    python benchmarks/_flood_world.py FOLDER NUMBER

Configuration, key store and chains are left out; HTTP, queue, database, Umbral and signatures are the program's own.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from panachain.chain.receipts import log_domain
from panachain.chain.signing import Account
from panachain.chain.typed import proxy_domain, sign_request
from panachain.crypto import box, labels, umbral
from panachain.crypto.hpke import SealingKey
from panachain.crypto.keys import Seed
from panachain.ethereum import keccak
from panachain.model.actors import Actor, Address, PolicyId, Role, Status
from panachain.model.key_block import PublicKeys
from panachain.model.policy import GrantedLane, OnChainPolicy, PolicyStatus, ProxyRef, Terms
from panachain.model.proxy_requests import DepositedLane, DepositRequest, ReencryptRequest
from panachain.model.scope import Category, Purpose, Scope
from panachain.model.transactions import Emergency
from panachain.proxy import messages
from panachain.sdk.proxies import Proxies, Reader
from panachain.service.proxy.app import create_app
from panachain.service.proxy.service import ProxyService
from panachain.service.proxy.store import ProxyStore

CHAIN_ID = 31_337
REGISTRY = "0x" + "11" * 20
DOMAIN = proxy_domain(CHAIN_ID, REGISTRY)
LOG_DOMAIN = log_domain(CHAIN_ID, "0x" + "22" * 20)
PROXIES, THRESHOLD = 3, 2
DAY = 86_400
KEYS: dict[bytes, PublicKeys] = {}
"""Key blocks of the proxies that `refs` returned, by their digests."""
AUDIT = SealingKey.random().public
"""Every policy's audit key: whose it is makes no difference to a proxy."""
LATE, DRIP = 4.0, 0.1
"""Seconds: of an answer that is late, and between two bytes of one that drips."""


def terms_digest(policy_id: str) -> bytes:
    """Return the digest of the terms of a policy in this world: the chain knows every policy, and no proxy is told."""
    return keccak(policy_id.lower())


def taken(function: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """Return the arguments that a function takes: a copy of an earlier version is measured by the same program."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in arguments.items() if name in known}


class Chain:
    """Both chains: every policy is granted, and the people of a file are registered."""

    def __init__(self, people: Sequence[str]) -> None:
        """Take the addresses of the people."""
        self._people = frozenset(people)

    def policy(self, policy_id: PolicyId) -> OnChainPolicy:
        now = int(time.time())
        status = PolicyStatus.ACTIVE
        return OnChainPolicy(policy_id, status, now - DAY, now + DAY, terms_digest(policy_id), block=9, block_time=now)

    settled = policy

    def revocation_in_sight(self, _: PolicyId) -> bool:
        return False

    def head_time(self) -> int:
        return int(time.time())

    def pinned(self) -> AbstractContextManager[object]:
        return nullcontext()

    def identity(self, account: Address) -> Actor | None:
        return Actor(account, Role.PRACTITIONER, Status.ACTIVE, b"") if account in self._people else None

    def is_member(self, _: Address, __: Address) -> bool:
        return False

    def opens_at(self, _: Address, __: Address, **___: Any) -> int | None:
        return None

    def in_emergency(self, _: Address, __: Address, *, at: int) -> bool:
        # Asked by earlier versions.
        return False

    def cosigned(self, *, since: int) -> Iterable[Emergency]:
        return ()


@dataclass
class Granted:
    """A policy with everybody's keys."""

    terms: Terms
    account: Account
    lanes: list[umbral.SecretKey]
    shares: dict[Address, list[bytes]]
    grantee: Account
    secret: umbral.SecretKey

    def wraps(self, count: int) -> dict[str, bytes]:
        """Return wraps of random keys for the first lane, by name."""
        return {f"{number:05}": umbral.wrap(self.lanes[0].public, os.urandom(32)) for number in range(count)}

    def reader(self) -> Reader:
        """Return the grantee as they open."""
        return Reader(self.grantee, self.terms.grantee, self.secret, SealingKey.random())


def grant(proxies: Sequence[ProxyRef], grantee: Account, *, lanes: int = 1) -> Granted:
    """Return a new policy that nobody deposited yet."""
    owner, secret = Account(os.urandom(32)), umbral.SecretKey.random()
    signer = umbral.Signer(umbral.SecretKey.random())
    keys = [umbral.SecretKey.random() for _ in range(lanes)]
    kfrags = [umbral.delegate(key, secret.public, signer, threshold=THRESHOLD, shares=PROXIES) for key in keys]
    now = int(time.time())
    scopes = [Scope.parse(category.value) for category in Category][:lanes]
    terms = Terms(
        policy_id=PolicyId(owner.address),
        patient=Address("0x" + "33" * 20),
        grantee=grantee.address,
        key_digest=bytes(32),
        receiving_key=secret.public,
        verifying_key=signer.public,
        purposes=(Purpose.TREAT,),
        starts_at=now - DAY,
        expires_at=now + DAY,
        threshold=THRESHOLD,
        proxies=tuple(proxies),
        lanes=tuple(
            GrantedLane(scope, 0, key.public, bytes(32), bytes(32)) for scope, key in zip(scopes, keys, strict=True)
        ),
        audit_key=AUDIT,
    )
    shares = {proxy.address: [kfrag[number] for kfrag in kfrags] for number, proxy in enumerate(proxies)}
    return Granted(terms, owner, keys, shares, grantee, secret)


def client() -> Proxies:
    """Return what an honest actor asks proxies with."""
    mainchain = SimpleNamespace(
        chain_id=CHAIN_ID,
        policies=SimpleNamespace(address=REGISTRY),
        log=SimpleNamespace(domain=LOG_DOMAIN),
        head_block=lambda: SimpleNamespace(time=int(time.time()), number=9),
    )
    network: Any = SimpleNamespace(
        clock=time.time, mainchain=mainchain, reachable=list, chain_time=lambda: int(time.time())
    )
    network.key_blocks = SimpleNamespace(find=lambda digest, whose: KEYS[digest])
    try:
        from panachain.wire.endpoints import Reach

        network.reach = Reach(development=True)
    except ImportError:
        # An earlier version reaches everything.
        pass
    return Proxies(network)


def deposit_body(
    proxy: ProxyRef, lanes: Sequence[DepositedLane], account: Account, verifying: bytes, key: bytes
) -> bytes:
    """Return a signed and sealed deposit for a policy of a stranger's own, with one key for all that it receives."""
    unsigned = DepositRequest(
        proxy=proxy.address,
        policy_id=PolicyId(account.address),
        grantee=account.address,
        receiving_key=key,
        verifying_key=verifying,
        audit_key=AUDIT,
        terms=terms_digest(account.address),
        purposes=(Purpose.TREAT,),
        lanes=tuple(lanes),
        expires_at=int(time.time()) + 55,
        nonce=os.urandom(16),
    )
    plain = messages.canonical(messages.deposit_fields(sign_request(account, DOMAIN, unsigned)))
    return messages.canonical(
        messages.sealed_fields(box.seal_to(KEYS[proxy.key_digest].sealing, plain, labels.DEPOSIT))
    )


def reencrypt_body(
    proxy: ProxyRef, policy_id: str, signer: Account, capsules: Sequence[bytes], *, grantee: str
) -> bytes:
    """Return a signed request for cfrags."""
    unsigned = ReencryptRequest(
        proxy=proxy.address,
        policy_id=PolicyId(policy_id),
        grantee=Address(grantee),
        requester=signer.address,
        purpose=Purpose.TREAT,
        lane=0,
        capsules=tuple(capsules),
        expires_at=int(time.time()) + 55,
        nonce=os.urandom(16),
    )
    return messages.canonical(messages.reencrypt_fields(sign_request(signer, DOMAIN, unsigned)))


def refs(folder: Path) -> list[ProxyRef]:
    """Return the proxies of a folder, whose processes listen by now."""
    found = []
    for number in range(PROXIES):
        seed = Seed((folder / f"seed-{number}").read_bytes())
        port, public = (folder / f"port-{number}").read_text(), seed.public_keys()
        KEYS[public.digest] = public
        address = Account(seed.account_key()).address
        found.append(ProxyRef(address, f"http://127.0.0.1:{port}", public.digest))
    return found


class Faulty:
    """A proxy that answers late, in drips, or with what it signs falsely, while a file says so."""

    def __init__(self, service: ProxyService, fault: Path) -> None:
        """Take the proxy's service, which signs falsely from then on, and the file."""
        self._fault = fault
        self._app = create_app(service)
        finish, keep = service.finish_reencryption, service.finish_deposit

        def lie(work: Any) -> dict[str, Any]:
            if self.fault() == "lies":
                # Each is good, and of another capsule.
                work.cfrags = work.cfrags[1:] + work.cfrags[:1]
            return finish(work)

        def lie_about(work: Any) -> dict[str, Any]:
            kept = keep(work)
            return kept | {"receipt": kept["receipt"] | {"count": 99}} if self.fault() == "lies" else kept

        service.finish_reencryption, service.finish_deposit = lie, lie_about  # type: ignore[method-assign]

    def fault(self) -> str:
        """Return which fault it has now."""
        return self._fault.read_text() if self._fault.exists() else ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request (ASGI)."""
        fault = self.fault() if scope["type"] == "http" else ""
        if fault == "late":
            await asyncio.sleep(LATE)

        async def drip(message: Any) -> None:
            if message["type"] != "http.response.body":
                await send(message)
                return
            for byte in message.get("body", b""):
                await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
                await asyncio.sleep(DRIP)
            await send({"type": "http.response.body", "body": b""})

        await self._app(scope, receive, drip if fault == "drips" else send)


def main() -> None:
    """Serve as one proxy until SIGTERM."""
    from panachain.service.http import serve

    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    seed = Seed((folder / f"seed-{number}").read_bytes())
    people = json.loads((folder / "people.json").read_text())
    store = ProxyStore(folder / f"proxy-{number}.sqlite", seed.store_key(), proxy=Account(seed.account_key()).address)
    domains = taken(ProxyService.__init__, domain=DOMAIN, log_domain=LOG_DOMAIN, registry_domain=bytes(32))
    chain: Any = Chain(people)
    service = ProxyService(seed, store, chain, **domains)
    sys.setswitchinterval(0.0005)
    listening = socket.socket()
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.bind(("127.0.0.1", 0))
    listening.listen(1024)
    (folder / f"port-{number}.new").write_text(str(listening.getsockname()[1]))
    (folder / f"port-{number}.new").rename(folder / f"port-{number}")
    app: Any = Faulty(service, folder / f"fault-{number}")
    serve(app, listening, tls=None, grace=1)


if __name__ == "__main__":
    main()
