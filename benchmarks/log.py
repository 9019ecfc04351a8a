"""A log of 100,000 openings: how long it takes to verify it and to prove one receipt, and what deleting logs hides.

    ./pana bench log [--openings N] [--quick] [--json]

Receipts have the size of real ones; their signatures are random bytes, since each was checked when it came. `audit`
makes root and maps from all receipts, as whoever has the whole log; `share` is what a patient does: one policy's 1,000
openings, proven by the proxy in pages, parsed and checked. Last, 1,000 openings by t = 2 of 3 proxies each are written,
and every set of t - 1 logs is deleted in turn: how many openings a patient still finds. Timings never fail anything; a
hidden opening does.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import combinations
from pathlib import Path

from _running import running

from panachain.chain.receipts import log_domain
from panachain.consent.log_checkpoint import open_checkpoint
from panachain.consent.log_proof import Place, Share, check_share, leaf_hash
from panachain.consent.log_tree import check_inclusion
from panachain.crypto.hpke import SealingKey
from panachain.crypto.keys import Seed, address_of
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import Receipt, ReceiptKind
from panachain.model.scope import Purpose
from panachain.proxy import messages
from panachain.records.tree_hash import combined
from panachain.sdk.readings import readings
from panachain.sdk.results.log import LogEntry
from panachain.service.proxy.log import ProxyLog
from panachain.service.proxy.log_store import LogStore
from panachain.service.proxy.store import HeldPolicy, ProxyStore

GOALS = {"audit_seconds": 2.0, "share_seconds": 2.0, "inclusion_ms": 1.0}
DOMAIN = log_domain(31_337, "0x" + "22" * 20)
DETAIL = 1400
"""Bytes of a receipt's sealed detail."""
SHARE = 1000
"""Openings of one policy."""
AT = 1_800_000_000


class Proxy:
    """One proxy's database and log, without a service."""

    def __init__(self, folder: Path, number: int = 0) -> None:
        self.seed = Seed(bytes([number + 1]) * 32)
        self.address = address_of(self.seed.account_key())
        self.store = ProxyStore(folder / f"proxy-{number}.sqlite", self.seed.store_key(), proxy=self.address)
        self.log = ProxyLog(self.seed, self.store, domain=DOMAIN)

    def hold(self, policy_id: PolicyId, audit_key: bytes) -> None:
        """Know a policy, as after its deposit."""
        nobody = Address("0x" + "33" * 20)
        held = HeldPolicy(policy_id, nobody, b"", b"", audit_key, b"", (Purpose.TREAT,), 1)
        self.store.deposit(held, (), expires_at=AT, receipt=lambda *at: self.receipt(policy_id, *at))

    def receipt(self, policy_id: PolicyId, sequence: int, previous: bytes, at: int = AT) -> Receipt:
        """Return a receipt that nobody checks the signature of."""
        return Receipt(
            proxy=self.address,
            sequence=sequence,
            previous=previous,
            kind=ReceiptKind.REENCRYPTED,
            policy_id=policy_id,
            at=at,
            block=sequence,
            count=1,
            detail=os.urandom(DETAIL),
            signature=os.urandom(65),
        )

    def write(self, openings: Iterator[tuple[PolicyId, int]]) -> None:
        """Append the receipts of openings, in one transaction."""
        with self.store._write() as db:
            for policy_id, at in openings:
                self.store._append(db, partial(self.receipt, policy_id, at=at))


def policy(number: int) -> PolicyId:
    """Return a policy's ID."""
    return PolicyId(f"0x{number:040x}")


def verified(openings: int, folder: Path) -> dict[str, float]:
    """Return how long verification takes of a log with so many openings."""
    audit = SealingKey.random()
    proxy = Proxy(folder)
    several = max(openings // SHARE, 1)
    for number in range(several):
        proxy.hold(policy(number), audit.public)
    chance = random.Random(1)
    proxy.write((policy(chance.randrange(several)), AT + number) for number in range(openings))
    size, _ = proxy.store.head()
    # The proxy's own work after a start: everything is computed from its receipts.
    begun = time.perf_counter()
    proxy.log.checkpoint()
    made = time.perf_counter() - begun
    entries = [entry for _, entry in LogStore(proxy.store).entries(1, size)]
    begun = time.perf_counter()
    leaves = list(map(leaf_hash, entries))
    note = proxy.log.checkpoint().encode()
    checkpoint = open_checkpoint(note, proxy=proxy.address, domain=DOMAIN).checkpoint
    if combined(leaves) != checkpoint.root or len(leaves) != checkpoint.size:
        raise SystemExit("the log isn't what its checkpoint says")
    ProxyLog(proxy.seed, proxy.store, domain=DOMAIN)._viewed(size)
    audited = time.perf_counter() - begun
    begun = time.perf_counter()
    found, place = 0, Place()
    while place.epoch < checkpoint.epochs:
        answer = messages.canonical(proxy.log.share(policy(0), place.cursor).fields())
        share = Share.parse(messages.parse_json(answer))
        opened = open_checkpoint(share.checkpoint.encode(), proxy=proxy.address, domain=DOMAIN).checkpoint
        shown, place = check_share(share, opened, audit_key=audit.public, policy_id=policy(0), place=place)
        found += len(shown)
    shared = time.perf_counter() - begun
    if found != sum(1 for one, _ in LogStore(proxy.store).entries(1, size) if one == policy(0)):
        raise SystemExit("the share isn't the policy's")
    times = []
    for _ in range(200):
        index = chance.randrange(size)
        begun = time.perf_counter()
        path = proxy.log._now().tree.inclusion(index)
        check_inclusion(checkpoint.root, size=size, index=index, leaf=leaves[index], path=path)
        times.append(1000 * (time.perf_counter() - begun))
    proxy.store.close()
    return {
        "openings": openings,
        "start_seconds": made,
        "audit_seconds": audited,
        "share": found,
        "share_seconds": shared,
        "inclusion_ms": statistics.median(times),
    }


def hidden(openings: int, folder: Path, threshold: int = 2, count: int = 3) -> int:
    """Return of how many openings nothing is left when any t - 1 logs are deleted."""
    proxies = [Proxy(folder, number + 1) for number in range(count)]
    audit, chance = SealingKey.random(), random.Random(2)
    helped = [chance.sample(range(count), threshold) for _ in range(openings)]
    for number, proxy in enumerate(proxies):
        proxy.hold(policy(0), audit.public)
        # Further apart than the receipts of one opening.
        proxy.write((policy(0), AT + 1000 * at) for at, several in enumerate(helped, start=1) if number in several)
    worst = 0
    for gone in combinations(range(count), threshold - 1):
        entries = [
            LogEntry(one.at, one.kind.value, one.policy_id, one.proxy, one.count)
            for number, proxy in enumerate(proxies)
            if number not in gone
            for one in proxy.store.receipts(policy(0))
            if one.at > AT
        ]
        worst = max(worst, openings - len(readings(entries)))
    for proxy in proxies:
        proxy.store.close()
    return worst


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--openings", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="5,000 openings, and 100 that somebody hides")
    parser.add_argument("--json", action="store_true", help="one object")
    args = parser.parse_args()
    openings, few = (5_000, 100) if args.quick else (args.openings, 1_000)
    with tempfile.TemporaryDirectory(prefix="panachain-log-") as folder:
        found = verified(openings, Path(folder))
        lost = hidden(few, Path(folder))
    figures = {**found, "hidden_of": few, "hidden": lost, "goals": GOALS}
    if args.json:
        print(json.dumps({"schema": "panachain/bench-log/1", **figures}))
    else:
        for name, value in figures.items():
            print(f"{name:16} {value:.3f}" if isinstance(value, float) else f"{name:16} {value}")
    if lost:
        raise SystemExit(f"{lost} openings are hidden")


if __name__ == "__main__":
    with running():
        main()
