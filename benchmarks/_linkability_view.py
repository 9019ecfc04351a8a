"""What an outsider sees of a simulated world: each field of each event, transaction and object, unit by unit.

Reads the chain through RPC and the blocks through the store, as anybody can. From the truth it takes the owners, by
which the attacker is judged, and, in the attacker's favour, which content belongs to which header.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from _linkability_attack import Array, Field, Units, View, combine, labels
from _linkability_plan import DAY, Plan, rewraps
from _linkability_world import World

from panachain.chain import node
from panachain.chain.abi import contract
from panachain.chain.logs import read_events
from panachain.ipld import dagcbor, unixfs
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.records.header import ENVELOPE_SIZE
from panachain.records.jitter import delay
from panachain.records.manifest import Manifest

HOSPITAL = "RecordsStored.hospital, the sender"
_RPC_CALLS = 400
_WINDOW = 16
"""Bytes; what two objects share of 16, 20 or 32 bytes, they share 16 of."""
_FEW = 4
"""Values that a byte of the format has at most, in all objects of a kind."""
_SAMPLE = 400
"""Objects by which the format is known."""
_EDGE = 64
"""Bytes of a content's beginning and of its end."""
_LONGEST = 4096
"""Bytes of any other object."""


@dataclass(frozen=True)
class Tx:
    """A transaction of the mainchain as everybody sees it."""

    block: int
    time: int
    place: int
    """In its block."""
    sender: str
    nonce: int
    gas_limit: int
    gas_used: int
    gas_price: int
    input_size: int
    data: bytes


def transactions(world: World) -> dict[str, Tx]:
    """Return all transactions by hash."""
    rpc = world.mainchain.rpc
    last = node.block_number(rpc)
    found: dict[str, Tx] = {}
    for start in range(0, last + 1, _RPC_CALLS):
        for block, receipts in node.full_blocks(rpc, range(start, min(start + _RPC_CALLS, last + 1))):
            used = {receipt["transactionHash"]: receipt for receipt in receipts}
            for tx in block["transactions"]:
                receipt = used[tx["hash"]]
                data = bytes.fromhex(tx["input"][2:])
                found[tx["hash"]] = Tx(
                    block=int(block["number"], 16),
                    time=int(block["timestamp"], 16),
                    place=int(tx["transactionIndex"], 16),
                    sender=tx["from"],
                    nonce=int(tx["nonce"], 16),
                    gas_limit=int(tx["gas"], 16),
                    gas_used=int(receipt["gasUsed"], 16),
                    gas_price=int(receipt["effectiveGasPrice"], 16),
                    input_size=len(data),
                    data=data,
                )
    return found


def records(world: World, seen: Mapping[str, Tx]) -> Units:
    """Return the records that the manifests name, with everything that is visible about each."""
    store, rows = world.store, []
    lists = _lists(world)
    before = _groups_by_arrival(world)
    for number, event in enumerate(world.mainchain.ledger.events()):
        tx = seen[event.tx_hash]
        found = Manifest(store, CID(DAG_CBOR, event.manifest))
        counted = Counter(header for _, header in found.rows())
        raw = [cid for cid in lists[next(iter(counted))] if cid.codec == RAW]
        envelopes = sum(store.sizes[cid] == ENVELOPE_SIZE for cid in raw)
        for header, times in counted.items():
            content = world.content_of_header[header]
            size = world.sealed_sizes[content]
            rows.append(
                {
                    "owner": world.owner_of_header[header],
                    "hospital": event.hospital,
                    "batch": number,
                    "count": event.count,
                    "rows": times,
                    "header size": store.sizes[header],
                    "content size": size,
                    "content blocks": -(-size // unixfs.CHUNK),
                    "blocks of the batch": len(raw),
                    "envelopes of the batch": envelopes,
                    "gas": tx.gas_used,
                    "gas price": tx.gas_price,
                    "time": tx.time,
                    "nonce": tx.nonce,
                    "arrival": store.order[header],
                    "arrived after": before[header],
                }
            )
    return _record_units(rows)


def _record_units(rows: list[dict[str, Any]]) -> Units:
    def column(name: str) -> Array:
        return np.array([row[name] for row in rows], dtype=np.int64)

    hospital, time = labels([row["hospital"] for row in rows]), column("time")
    size = column("content size")
    fields = [
        Field(HOSPITAL, hospital),
        Field("manifest rows of a header", column("rows")),
        Field("header: size", column("header size")),
        Field("content: size", size),
        Field("content: blocks", column("content blocks")),
        Field(f"{HOSPITAL}, and content size", combine(hospital, size)),
        Field("size", size, label=False),
        Field("RecordsStored.manifest (what is in one batch)", column("batch"), View.BATCH),
        Field("RecordsStored.count", column("count"), View.BATCH),
        Field("batch: number of blocks", column("blocks of the batch"), View.BATCH),
        Field("batch: number of envelopes", column("envelopes of the batch"), View.BATCH),
        Field("storage transaction: gas", column("gas"), View.BATCH),
        Field("batch size", column("count"), View.BATCH, label=False),
        Field("block: time", time, View.TIME),
        Field("RecordsStored.sequence, the nonce", combine(hospital, column("nonce")), View.TIME),
        Field("day", time // DAY, View.TIME),
        Field("hospital and day", combine(hospital, time // DAY), View.TIME),
        Field("hospital and week", combine(hospital, time // (7 * DAY)), View.TIME),
        Field("storage transaction: gas price", column("gas price"), View.TIME),
        Field("store: envelope that arrived before the header", column("arrived after"), View.TIME),
        Field("when", time, View.TIME, label=False),
        Field("place among the hospital's records", _places(hospital, time), View.TIME, label=False),
        Field("arrival", column("arrival"), View.TIME, label=False),
    ]
    return Units(column("owner"), fields, hospital)


def policies(world: World, seen: Mapping[str, Tx]) -> Units:
    """Return the policies, with everything that is visible about each."""
    chain, registry = contract("PolicyRegistry"), world.mainchain.policies.address
    shown: dict[str, dict[str, Any]] = defaultdict(dict)
    for log in read_events(world.mainchain.rpc, chain, registry):
        row = shown[log.values["policyId"]]
        for name, value in log.values.items():
            row[f"{log.name}.{name}"] = value
        row.setdefault("first", log)
        if log.name == "PolicyRevoked":
            row["revoked"] = seen[log.tx_hash].time
    rows = []
    for event in world.mainchain.policies.events(kind="PolicyGranted"):
        row, tx = shown[str(event.policy_id).lower()], seen[event.tx_hash]
        row |= {"owner": world.owner_of_policy[str(event.policy_id)], "tx": tx, "event": event}
        row |= {f"calldata.{name}": value for name, value in _grant_fields(tx.data).items()}
        row["terms size"] = world.store.sizes[CID(RAW, event.terms)]
        rows.append(row)
    return _policy_units(rows)


def _policy_units(rows: list[dict[str, Any]]) -> Units:
    txs = [row["tx"] for row in rows]
    starts = np.array([row["event"].starts_at for row in rows])
    ends = np.array([row["event"].expires_at for row in rows])
    times = np.array([tx.time for tx in txs])
    relay = labels([tx.sender for tx in txs])
    size = np.array([row["terms size"] for row in rows])
    # Not twice: a revocation that never came groups nothing.
    revoked = np.array([row.get("revoked", -number - 1) for number, row in enumerate(rows)])
    fields = [
        Field("relay, the sender", relay),
        Field("window's length", ends - starts),
        Field("terms: size", size),
        Field("length, size and relay", combine(ends - starts, size, relay)),
        Field("transaction: gas limit", labels([tx.gas_limit for tx in txs])),
        Field("transaction: gas used", labels([tx.gas_used for tx in txs])),
        Field("transaction: input size", labels([tx.input_size for tx in txs])),
        Field("view tag", labels([row["event"].view_tag for row in rows])),
        Field("terms", size, label=False),
        Field("revoked or not", labels([row.get("revoked", 0) > 0 for row in rows])),
        Field("window: starts at", labels(starts.tolist()), View.TIME),
        Field("window: expires at", labels(ends.tolist()), View.TIME),
        Field("window: deadline", labels([_deadline(row) for row in rows]), View.TIME),
        Field("block: time", labels(times.tolist()), View.TIME),
        Field("day", times // DAY, View.TIME),
        Field("day and relay", combine(times // DAY, relay), View.TIME),
        Field("quarter of an hour", times // 900, View.TIME),
        Field("transaction: gas price", labels([tx.gas_price for tx in txs]), View.TIME),
        Field("PolicyRevoked: time", labels(revoked.tolist()), View.TIME),
        Field(
            "PolicyRevoked: quarter of an hour",
            labels((revoked // 900 * (revoked > 0) + revoked * (revoked < 0)).tolist()),
            View.TIME,
        ),
        Field("granted", times, View.TIME, label=False),
        Field("starts", starts, View.TIME, label=False),
        Field("ends", ends, View.TIME, label=False),
    ]
    plain = {name for row in rows for name in row if "." in name}
    for name in sorted(plain):
        values = [row.get(name, f"none {place}") for place, row in enumerate(rows)]
        view = View.TIME if name.endswith(("window", "startsAt", "expiresAt", "deadline")) else View.CONTENT
        fields.append(Field(name, labels(values), view))
    owners = np.array([row["owner"] for row in rows])
    return Units(owners, fields, np.zeros_like(owners))


def _deadline(row: Mapping[str, Any]) -> int:
    """Return until when a grant could be relayed, from its calldata."""
    word = row["calldata.deadline"] if "calldata.deadline" in row else row["calldata.window"]
    # The window's third field (contracts/types/PolicyWindow.sol); a field of its own has nothing above it.
    return int.from_bytes(word, "big") >> (0 if "calldata.deadline" in row else 96) & 0xFFFF_FFFF_FFFF


def together(left: Units, right: Units) -> Units:
    """Return records and policies as one set, with what both have: a time."""

    def number(units: Units, *names: str) -> Array:
        return next(field.values for field in units.fields if field.name in names)

    times = np.concatenate([number(left, "when"), number(right, "granted")])
    truth = np.concatenate([left.truth, right.truth])
    fields = [
        Field("block: time", times, View.TIME),
        Field("hour", times // 3600, View.TIME),
        Field("day", times // DAY, View.TIME),
    ]
    return Units(truth, fields, np.zeros_like(truth))


def _places(block: Array, time: Array) -> Array:
    """Return each unit's place in its block, in the order of time."""
    order = np.lexsort((time, block))
    places: Array = np.empty_like(order)
    places[order] = np.arange(len(order))
    return places


def shared_windows(world: World) -> int:
    """Return how many values of 16 bytes, at any offset, stand in more than one object, or twice in one.

    Of contents, beginning and end are looked at. Windows of which more than half is the format's are left out.
    """
    kinds: dict[str, list[bytes]] = defaultdict(list)
    contents = set(world.content_of_header.values())
    terms = {CID(RAW, event.terms) for event in world.mainchain.policies.events(kind="PolicyGranted")}
    for cid, data in world.store.held.items():
        if cid in world.content_of_header:
            kinds["header"].append(data)
        elif cid in contents and cid.codec == RAW:
            kinds["content"].append(data[:_EDGE] + data[-_EDGE:])
        elif cid in terms:
            kinds["terms"].append(data)
        elif cid.codec == RAW:
            kinds["envelope" if len(data) == ENVELOPE_SIZE else "other"].append(data[:_LONGEST])
    return _repeated(np.concatenate([_windows(found) for found in kinds.values()]))


def _windows(objects: Sequence[bytes]) -> Array:
    """Return all windows of objects of one kind, as pairs of words."""
    longest = max(map(len, objects))
    # A byte that has few values at its place in all objects is format: a version, a length, a point's parity.
    table = np.zeros((min(len(objects), _SAMPLE), longest), dtype=np.int16) - 1
    for row, data in zip(table, objects, strict=False):
        row[: len(data)] = np.frombuffer(data, np.uint8)
    few = np.array([len(np.unique(column[column >= 0])) <= _FEW for column in table.T])
    constant = np.convolve(few, np.ones(_WINDOW, dtype=np.int64))[_WINDOW - 1 :]
    found = []
    for data in objects:
        views = np.lib.stride_tricks.sliding_window_view(np.frombuffer(data, np.uint8), _WINDOW)
        found.append(views[constant[: len(views)] <= _WINDOW // 2])
    return np.ascontiguousarray(np.concatenate(found)).view(np.uint64)


def _repeated(windows: Array) -> int:
    """Return how many windows occur more than once."""
    # By their first word at first: hardly any are left then.
    words = np.sort(windows[:, 0])
    twice = np.unique(words[1:][words[1:] == words[:-1]])
    found = windows[np.isin(windows[:, 0], twice)]
    _, counts = np.unique(found, axis=0, return_counts=True)
    return int((counts > 1).sum())


def _lists(world: World) -> dict[CID, list[CID]]:
    """Return for each header the blocks of its batch, as the batch lists name them."""
    found: dict[CID, list[CID]] = {}
    for cid, data in world.store.held.items():
        if cid.codec != DAG_CBOR:
            continue
        node = dagcbor.decode(data)
        if isinstance(node, dict) and "blocks" in node:
            found |= {block: node["blocks"] for block in node["blocks"] if block in world.content_of_header}
    return found


def _groups_by_arrival(world: World) -> dict[CID, int]:
    """Return for each header which envelope came to the store before it."""
    last, found = 0, {}
    for cid, place in world.store.order.items():
        if cid in world.content_of_header:
            found[cid] = last
        elif world.store.sizes[cid] == ENVELOPE_SIZE:
            last = place
    return found


def _grant_fields(data: bytes) -> dict[str, Any]:
    """Return the fields of a signed grant in a transaction's calldata, whatever they are called."""
    chain = contract("PolicyRegistry")
    text = resources.files("panachain.chain").joinpath("artifacts", "PolicyRegistry.json").read_text()
    entry = next(one for one in json.loads(text)["abi"] if one.get("name") == "grantBySignature")
    if data[:4] != chain.selector("grantBySignature"):
        return {}
    # A struct of static fields stands in place, one word for each.
    parts: Iterable[Mapping[str, Any]] = entry["inputs"][0]["components"]
    return {part["name"]: data[4 + 32 * place : 36 + 32 * place] for place, part in enumerate(parts)}


def moved(plan: Plan, jitter: int) -> Units:
    """Return the headers that were wrapped anew after a rotation; they are known by what their batch lacks.

    By the plan alone: their bytes are those of other headers.
    """
    rows = np.array(rewraps(plan, lambda: delay(jitter), jitter=bool(jitter)), dtype=np.int64).reshape(-1, 4)
    time, house, batch, owner = rows.T
    fields = [
        Field("RecordsStored.hospital", house),
        Field("RecordsStored.manifest (what is in one batch)", batch, View.BATCH),
        Field("block: time", combine(house, time), View.TIME),
        Field("when", time, View.TIME, label=False),
    ]
    return Units(owner, fields, house)


def naive(units: Units) -> Units:
    """Return the control: the same records in a registry that is keyed by the patient's address."""
    address = units.truth * 7919 % 1_000_003
    kept = [field for field in units.fields if field.name in (HOSPITAL, "when")]
    return Units(units.truth, [Field("patient's address", address), *kept], np.zeros_like(units.truth))
