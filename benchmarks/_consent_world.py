"""What consent costs on a running devnet: a grant's price by records, and how soon a revocation counts."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from _consent_keys import CATEGORIES, LANES, YEAR
from _measure import row
from records import PASSPHRASE, join

from panachain.chain import anvil
from panachain.chain.evm import Receipt
from panachain.chain.signing import Account
from panachain.chain.typed import proxy_domain, sign_request
from panachain.crypto import keys, umbral
from panachain.errors import PolicyRevokedError
from panachain.ipld.cid import CID, DAG_CBOR
from panachain.model.actors import PolicyId, Role
from panachain.model.policy import ProxyRef, Terms
from panachain.model.proxy_requests import ReencryptRequest
from panachain.model.records import PlainRecord
from panachain.model.scope import Category
from panachain.model.sizes import NONCE_SIZE
from panachain.proxy import messages
from panachain.proxy.client import Channels, read_answer
from panachain.proxy.race import ask_all
from panachain.records.pairing import Pairing
from panachain.records.publish import BatchBuilder
from panachain.sdk import Network, open_actor
from panachain.sdk.base import Registrar
from panachain.sdk.profiles import load_profile, unlock

BATCH = 10_000
"""Records of one storage transaction."""
INTERVAL = 1
"""Seconds between blocks, where blocks come by the clock."""
_TIMEOUT = 60.0


# A grant's price


def cost(network: Network, registrar: Registrar, large: int, rounds: int) -> None:
    """Grant 12 lanes by the SDK for a patient with 10 records and for one with many, by turns."""
    names = {"few": 10, "many": large}
    patients = {name: join(network, registrar, name, Role.PATIENT) for name in names}
    started = time.perf_counter()
    batches = sum(publish(network, name, count) for name, count in names.items())
    spent = time.perf_counter() - started
    row(f"publishing 10 and {large:,} records for the next rows", f"{spent:.0f} s, {batches} transactions", "", None)
    prices: dict[str, list[tuple[float, int, int]]] = {name: [] for name in names}
    # The first ones load modules and open connections.
    for number in range(rounds + 2):
        for name, patient in patients.items():
            price = _priced(network, patient)
            if number >= 2:
                prices[name].append(price)
    for place, (what, unit) in enumerate([("owner's CPU", "ms"), ("bytes sent", "B"), ("gas", "gas")]):
        few, many = (statistics.median(price[place] for price in prices[name]) for name in names)
        row(
            f"grant of {LANES} lanes, {what}: 10 and {large:,} records",
            f"{few:,.1f} {unit}, {many:,.1f} {unit}",
            "equal within 5 %",
            max(few, many) / min(few, many),
            at_least=False,
            bound=1.05,
        )


def publish(network: Network, patient: str, count: int) -> int:
    """Put tiny records of 12 categories of one year on chain, and return in how many storage transactions."""
    profile = load_profile(network.home, "hospital")
    hospital: Any = open_actor(network, profile, PASSPHRASE)
    seed = unlock(profile, PASSPHRASE)
    pairing = hospital.pairing(network.resolve(patient, Role.PATIENT))
    sender = network.sender(seed.account_key())
    for start in range(0, count, BATCH):
        known = network.manifests_of(profile.address)
        builder = BatchBuilder(
            network.store,
            hospital=profile.address,
            signer=seed.signer(),
            sequence=len(known) + 1,
            previous=CID(DAG_CBOR, known[-1]) if known else None,
            at=int(time.time()),
        )
        try:
            _fill(builder, pairing, range(start, min(start + BATCH, count)))
            batch = builder.finish()
        finally:
            builder.close()
        network.mainchain.ledger.store(sender, batch.root.digest, len(batch.records))
    return -(-count // BATCH)


def _fill(builder: BatchBuilder, pairing: Pairing, numbers: range) -> None:
    for number in numbers:
        category: Category = CATEGORIES[number % LANES]
        content = b"record %d" % number
        builder.add(PlainRecord(category, YEAR, "text/plain", content, os.urandom(32)), pairing)


def _priced(network: Network, patient: Any) -> tuple[float, int, int]:
    """Grant once; return milliseconds of the owner's CPU, bytes that they sent to store and proxies, and gas."""
    sent = [0]
    until = network.mainchain.head_block().time + 86_400
    with _counting(network, sent):
        started = time.process_time()
        policy = patient.grant("clinician", [category.value for category in CATEGORIES], until=until)
        spent = time.process_time() - started
    assert policy.deposited == len(network.proxies())
    return 1000 * spent, sent[0], policy.gas


@contextmanager
def _counting(network: Network, sent: list[int]) -> Iterator[None]:
    """Count the bytes of sealed terms that go to the store and of deposits that go to proxies."""
    put_block, send = network.store.put_block, httpx.Client.send

    def counting_put(cid: CID, data: bytes) -> Any:
        sent[0] += len(data)
        return put_block(cid, data)

    def counting_send(client: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        if request.url.path == "/v1/deposit":
            sent[0] += int(request.headers["content-length"])
        return send(client, request, **options)

    network.store.put_block = counting_put  # type: ignore[method-assign]
    httpx.Client.send = counting_send  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        network.store.put_block = put_block  # type: ignore[method-assign]
        httpx.Client.send = send  # type: ignore[method-assign]


# A revocation


@dataclass(frozen=True)
class Watch:
    """One policy of a patient, and what its grantee needs to ask each of its proxies."""

    network: Network
    channels: Channels
    owner: Account
    """The policy's one-time account."""
    requester: Account
    terms: Terms
    proxies: tuple[ProxyRef, ...]

    def served(self) -> int:
        """Ask every proxy at once for one cfrag; return how many serve, and know that the others say: revoked."""
        good, failures = ask_all(self.proxies, self._ask)
        for failure in failures:
            if not isinstance(failure.error, PolicyRevokedError):
                raise failure.error
        return len(good)

    def revoke(self) -> Receipt:
        """Bring the revocation on chain, and nowhere else: no proxy is told."""
        chain = self.network.mainchain
        return self.network.relay().revoke(self.terms.policy_id, chain.policies.sign_revoke(self.owner))

    def _ask(self, proxy: ProxyRef) -> messages.Answer:
        lane = self.terms.lanes[0].delegating_key
        chain = self.network.mainchain
        request = ReencryptRequest(
            proxy=proxy.address,
            policy_id=self.terms.policy_id,
            grantee=self.terms.grantee,
            requester=self.requester.address,
            purpose=self.terms.purposes[0],
            lane=0,
            capsules=(umbral.capsule_of(umbral.wrap(lane, os.urandom(32))),),
            expires_at=int(time.time()) + 45,
            nonce=os.urandom(NONCE_SIZE),
        )
        domain = proxy_domain(chain.chain_id, chain.policies.address)
        fields = messages.reencrypt_fields(sign_request(self.requester, domain, request))
        reply = self.channels.post(proxy.endpoint, "/v1/reencrypt", fields)
        return messages.parse_answer(read_answer(reply), count=1)


def revoking(network: Network, registrar: Registrar, rounds: int) -> None:
    """Print how soon every proxy refuses after a revocation; the chain's mining is left changed."""
    patient = join(network, registrar, "revoking", Role.PATIENT)
    clinician = unlock(load_profile(network.home, "clinician"), PASSPHRASE)
    reader, seed = Account(clinician.account_key()), unlock(patient.profile, PASSPHRASE)
    channels = Channels(reach=network.reach)
    try:
        watches = [_watch(network, channels, patient, seed, reader) for _ in range(3 * rounds)]
        count = len(network.proxies())
        assert all(watch.served() == count for watch in watches)
        at_once(watches[:rounds])
        anvil.mine_every(network.mainchain.rpc, INTERVAL)
        by_the_clock(watches[rounds : 2 * rounds])
        anvil.mine_every(network.mainchain.rpc, 0)
        waiting(watches[2 * rounds :])
    finally:
        anvil.mine_every(network.mainchain.rpc, INTERVAL)
        channels.close()


def at_once(watches: list[Watch]) -> None:
    """Each transaction is a block: ask in the moment after."""
    took, blocks = [], []
    for watch in watches:
        block = watch.revoke().block
        mined = time.perf_counter()
        assert watch.served() == 0
        took.append(1000 * (time.perf_counter() - mined))
        blocks.append(watch.network.mainchain.head_block().number - block)
    _row("mined at once", f"{statistics.median(took):.0f} ms after it is mined", max(blocks))


def by_the_clock(watches: list[Watch]) -> None:
    """A block each second: ask without a pause from before it is sent until it is mined and everybody refuses."""
    took, blocks = [], []
    for watch in watches:
        sent = time.perf_counter()
        with _sending(watch.revoke) as receipts:
            deadline = sent + _TIMEOUT
            while watch.served():
                assert time.perf_counter() < deadline
            took.append(1000 * (time.perf_counter() - sent))
            head = watch.network.mainchain.head_block().number
        blocks.append(head - receipts[0].block)
    sooner = "" if max(blocks) >= 0 else ", before it is mined"
    _row(f"{INTERVAL} s blocks", f"{statistics.median(took):.0f} ms after sending{sooner}", max(blocks))


def waiting(watches: list[Watch]) -> None:
    """No block comes: the revocation only waits in the node's pool."""
    took = []
    for watch in watches:
        rpc = watch.network.mainchain.rpc
        with _sending(watch.revoke) as receipts:
            try:
                deadline = time.perf_counter() + _TIMEOUT
                while anvil.waiting(rpc) == 0:
                    assert time.perf_counter() < deadline
                    time.sleep(0.002)
                seen = time.perf_counter()
                assert watch.served() == 0
                took.append(1000 * (time.perf_counter() - seen))
                head = watch.network.mainchain.head_block().number
            finally:
                anvil.mine(rpc)
        assert receipts[0].block > head
    _row("only pending", f"{statistics.median(took):.0f} ms after the pool has it", -1)


def _row(how: str, figure: str, blocks: int) -> None:
    what = f"revoke to refusal by every proxy, {how}"
    row(what, figure, "within one block", max(blocks, 0), at_least=False, bound=1)


def _watch(network: Network, channels: Channels, patient: Any, seed: keys.Seed, reader: Account) -> Watch:
    until = network.mainchain.head_block().time + 86_400
    policy_id = patient.grant("clinician", ["documents"], until=until).policy_id
    _, terms = patient.terms_of(policy_id)
    proxies = tuple(network.reachable(terms.proxies))
    return Watch(network, channels, Account(_one_time(seed, policy_id)), reader, terms, proxies)


def _one_time(seed: keys.Seed, policy_id: PolicyId) -> bytes:
    for index in range(1000):
        key = seed.policy_account(index)
        if PolicyId(keys.address_of(key)) == policy_id:
            return key
    raise AssertionError("no policy of this patient")


@contextmanager
def _sending(revoke: Callable[[], Receipt]) -> Iterator[list[Receipt]]:
    """Revoke in a thread, and have its receipt at the end."""
    receipts: list[Receipt] = []
    thread = threading.Thread(target=lambda: receipts.append(revoke()), daemon=True)
    thread.start()
    try:
        yield receipts
    finally:
        thread.join(_TIMEOUT)
    assert receipts
