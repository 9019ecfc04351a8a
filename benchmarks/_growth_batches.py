"""A hospital that has published for years: how many blocks a reader fetches to find one lane's records.

Everything is sealed and written as a hospital does it, into a store in memory that counts what is read. There is no
chain: the manifests' digests come to the reader as the chain would tell them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from panachain.crypto.keys import Seed, address_of
from panachain.ipld import unixfs
from panachain.ipld.cid import CALLER, CID, DAG_CBOR
from panachain.model.records import PlainRecord
from panachain.model.scope import Category, Scope
from panachain.records.locate import HospitalHeads, Sought, locate_all, open_manifests
from panachain.records.pairing import make_pairing
from panachain.records.publish import BatchBuilder

YEAR = 2024
EACH = 100
"""Of so many batches one holds a record of the lane that is looked up."""


class CountingStore:
    """Blocks in memory."""

    def __init__(self) -> None:
        """Begin with none."""
        self.held: dict[CID, bytes] = {}
        self.fetched: set[CID] = set()
        """Blocks that were read since this was last emptied; a reader keeps what it read."""

    def put_block(self, cid: CID, data: bytes) -> None:
        """Keep a block."""
        self.held.setdefault(cid, cid.check(data, CALLER))

    def put_blocks(self, blocks: Iterable[tuple[CID, bytes]]) -> None:
        """Keep some blocks."""
        for cid, data in blocks:
            self.put_block(cid, data)

    def get_block(self, cid: CID) -> bytes:
        """Return a block, and count it."""
        self.fetched.add(cid)
        return cid.check(self.held[cid], "memory")

    def has_block(self, cid: CID) -> bool:
        """Tell whether a block is there."""
        return cid in self.held

    def add_file(self, leaves: Iterable[bytes]) -> CID:
        """Keep a file."""
        return unixfs.build(leaves, self.put_block)

    def add_made(self, size: int, make: Callable[[int, memoryview], None]) -> CID:
        """Keep a file that is made leaf by leaf."""
        return self.add_file(unixfs.made(size, make))

    def pin(self, cid: CID) -> None:
        """Keep everything anyway."""

    def pins(self) -> Iterator[CID]:
        """Yield nothing: no list is looked for here."""
        return iter(())


def lookup(batches: int) -> dict[str, Any]:
    """Publish batches, of which a few have a record of one lane, and look that lane up."""
    store: Any = CountingStore()
    seeds = {name: Seed.random() for name in ("hospital", "patient", "other")}
    who = {name: address_of(seed.account_key()) for name, seed in seeds.items()}
    pairings = {
        name: make_pairing(seeds[name], patient=who[name], hospital=who["hospital"], last_year=YEAR + 1)
        for name in ("patient", "other")
    }
    counters: dict[str, Any] = {name: {} for name in pairings}
    digests: list[bytes] = []
    started = time.process_time()
    expected = 0
    for sequence in range(1, batches + 1):
        name = "patient" if sequence % EACH == 1 else "other"
        expected += name == "patient"
        previous = CID(DAG_CBOR, digests[-1]) if digests else None
        builder = BatchBuilder(
            store,
            hospital=who["hospital"],
            signer=seeds["hospital"].signer(),
            sequence=sequence,
            previous=previous,
            at=1_700_000_000,
        )
        try:
            record = PlainRecord(Category.LABORATORY, YEAR, "text/plain", b"%d" % sequence, os.urandom(32))
            builder.add(record, pairings[name], counters[name])
            batch = builder.finish()
        finally:
            builder.close()
        counters[name] = dict(batch.counters[0].following)
        digests.append(batch.root.digest)
    published = time.process_time() - started
    heads = HospitalHeads(who["hospital"], seeds["hospital"].signer().public, tuple(digests))
    scope = Scope.of(Category.LABORATORY)
    lane = Sought(scope, 0, seeds["patient"].locator_key(scope, 0))
    store.fetched.clear()
    started = time.process_time()
    (found,) = locate_all(store, heads, open_manifests(store, heads), [lane])
    took = time.process_time() - started
    if len(found) != expected:
        raise SystemExit(f"{len(found)} of {expected} records were found")
    # A record's own header is fetched whatever the index is.
    return {
        "batches": batches,
        "records": expected,
        "blocks_fetched": len(store.fetched) - expected,
        "headers_fetched": expected,
        "lookup_cpu_s": round(took, 3),
        "publishing_cpu_s": round(published, 1),
    }
