"""A hospital that has published for years: how many blocks a reader fetches to find one lane's records.

Everything is sealed and written as a hospital does it, into a store in memory that counts what is read. There is no
chain: the manifests' digests come to the reader as the chain would tell them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from panachain.crypto.keys import Seed, address_of
from panachain.ipld import unixfs
from panachain.ipld.cid import CALLER, CID, DAG_CBOR
from panachain.model.records import PlainRecord
from panachain.model.scope import Category, Scope
from panachain.records.lane_walk import OwnLane, lanes_of
from panachain.records.locate import HospitalHeads, Sought, locate_all, open_manifests
from panachain.records.merging import Merging, firsts, merged
from panachain.records.pairing import make_pairing
from panachain.records.publish import BatchBuilder

YEAR = 2024
EACH = {"few": 1000, "many": 100}
"""Of so many batches one holds a record of a patient whose lane is looked up."""


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


def _merging(store: Any, heads: HospitalHeads, sequence: int, lanes: Sequence[OwnLane]) -> Merging | None:
    """Return what a batch carries of earlier ones, as the hospital's session does it (`OwnHistory.merging`)."""
    for first in firsts(sequence):
        live = [one for one in open_manifests(store, heads, since=first) if one is not None]
        found = merged(first, [(one.sequence, dict(one.rows())) for one in live], lanes, ())
        if not isinstance(found, Merging):
            raise SystemExit(f"{found.headers} headers of batches {first} to {sequence - 1} can't be merged")
        return found
    return None


def lookup(batches: int) -> dict[str, Any]:
    """Publish batches, of which a few have a record of a lane, and look that lane up; so for two patients."""
    store: Any = CountingStore()
    seeds = {name: Seed.random() for name in ("hospital", *EACH, "other")}
    who = {name: address_of(seed.account_key()) for name, seed in seeds.items()}
    pairings = {
        name: make_pairing(seeds[name], patient=who[name], hospital=who["hospital"], last_year=YEAR + 1)
        for name in (*EACH, "other")
    }
    signer = seeds["hospital"].signer()
    lanes = lanes_of(pairings.values())
    digests: list[bytes] = []
    started = time.process_time()
    expected = dict.fromkeys(pairings, 0)
    for sequence in range(1, batches + 1):
        # Each in batches of their own.
        hit = (name for place, (name, each) in enumerate(EACH.items(), start=1) if sequence % each == place)
        name = next(hit, "other")
        expected[name] += 1
        previous = CID(DAG_CBOR, digests[-1]) if digests else None
        builder = BatchBuilder(
            store,
            hospital=who["hospital"],
            signer=signer,
            sequence=sequence,
            previous=previous,
            at=1_700_000_000,
            merging=_merging(store, HospitalHeads(who["hospital"], signer.public, tuple(digests)), sequence, lanes),
        )
        try:
            record = PlainRecord(Category.LABORATORY, YEAR, "text/plain", b"%d" % sequence, os.urandom(32))
            builder.add(record, pairings[name])
            batch = builder.finish()
        finally:
            builder.close()
        digests.append(batch.root.digest)
    published = time.process_time() - started
    heads = HospitalHeads(who["hospital"], signer.public, tuple(digests))
    scope, lanes_found = Scope.of(Category.LABORATORY), dict[str, Any]()
    for name in EACH:
        sought = Sought(scope, 0, seeds[name].locator_key(scope, 0))
        store.fetched.clear()
        started = time.process_time()
        (found,) = locate_all(store, heads, open_manifests(store, heads), [sought])
        took = time.process_time() - started
        if len(found) != expected[name]:
            raise SystemExit(f"{len(found)} of {expected[name]} records were found")
        # A record's own header is fetched whatever the index is.
        blocks = len(store.fetched) - len(found)
        lanes_found[name] = {"records": len(found), "blocks_fetched": blocks, "cpu_s": round(took, 3)}
    return {"batches": batches, "publishing_cpu_s": round(published, 1), **lanes_found}
