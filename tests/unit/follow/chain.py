"""A chain in memory for the follower: blocks with logs that can be taken back and replaced, as checked headers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eth_abi import encode
from eth_utils import keccak
from eth_utils.abi import collapse_if_tuple

from panachain.chain.abi import contract
from panachain.chain.block_receipts import Log
from panachain.chain.headers import Header, bloom_bits
from panachain.errors import ChainUnavailableError
from panachain.follow.follower import Follower

POLICIES, LEDGER = "0x" + "c0" * 20, "0x" + "c1" * 20
ADDRESSES = {"PolicyRegistry": POLICIES, "RecordLedger": LEDGER}
FIRST = 3
"""The deployment's block."""

Draft = tuple[str, str, dict[str, Any]]
"""Contract, event and values of a log to come."""


def revoked(number: int) -> Draft:
    return "PolicyRegistry", "PolicyRevoked", {"policyId": who(number)}


def granted(number: int) -> Draft:
    values = {"policyId": who(number), "window": number, "terms": b"t" * 32, "announcement": b"a" * 32}
    return "PolicyRegistry", "PolicyGranted", values


def stored(hospital: int, sequence: int) -> Draft:
    values = {"hospital": who(hospital), "sequence": sequence, "manifest": b"m" * 32, "count": 1, "previous": bytes(32)}
    return "RecordLedger", "RecordsStored", values


def who(number: int) -> str:
    return f"0x{number:040x}"


class Chain:
    """Blocks from 0 on; it counts what it is asked."""

    def __init__(self, *, blocks: int = FIRST + 1) -> None:
        self.found: list[Header] = []
        self.written: dict[str, list[Log]] = {}
        self.asked: list[tuple[str, int]] = []
        """What was asked, and for how many blocks."""
        self.down = False
        self.several = False
        self.urls = ("http://node.test",)
        self.salt = 0
        for _ in range(blocks):
            self.mine()

    def mine(self, *drafts: Draft) -> Header:
        """Add a block with some logs."""
        number = len(self.found)
        self.salt += 1
        parent = self.found[-1].hash if self.found else "0x" + "00" * 32
        block_hash = "0x" + keccak(f"{parent}{self.salt}".encode()).hex()
        logs = [_log(draft, number, block_hash, place) for place, draft in enumerate(drafts)]
        bloom = 0
        for log in logs:
            bloom |= bloom_bits(log.address)
        header = Header(
            number, block_hash, parent, 1000 + number * 12, bloom.to_bytes(256, "big"), bytes(32), bytes(32)
        )
        self.found.append(header)
        self.written[block_hash] = logs
        return header

    def take_back(self, blocks: int) -> None:
        """Forget the newest blocks."""
        del self.found[len(self.found) - blocks :]

    # What the follower asks

    def head(self) -> Header:
        self._ask("head", 1)
        return self.found[-1]

    def header_at(self, number: int) -> Header:
        return self.headers(number, number)[0]

    def headers(self, first: int, last: int) -> list[Header]:
        self._ask("headers", last - first + 1)
        return self.found[first : last + 1]

    def logs(self, headers: Sequence[Header]) -> list[list[Log]]:
        self._ask("logs", len(headers))
        return [self.written[header.hash] for header in headers]

    def _ask(self, what: str, count: int) -> None:
        if self.down:
            raise ChainUnavailableError("the node is down")
        self.asked.append((what, count))


def follower(chain: Any, where: Path | str, **more: Any) -> Follower:
    return Follower(chain, where, chain_id=5, addresses=ADDRESSES, from_block=FIRST, **more)


def events(following: Follower, name: str = "PolicyRegistry", **asked: Any) -> list[Any]:
    return list(following.events(contract(name), ADDRESSES[name], **asked))


def everything(following: Follower) -> list[Any]:
    """Return all that a copy tells."""
    head = following.head()
    blocks = [following.block(number) for number in range(FIRST, head.number + 1)]
    return [head, blocks, events(following), events(following, "RecordLedger")]


def _log(draft: Draft, number: int, block_hash: str, place: int) -> Log:
    name, event, values = draft
    entry = next(one for one in contract(name).entries if one["type"] == "event" and one["name"] == event)
    kinds = [collapse_if_tuple(item) for item in entry["inputs"]]
    topics = [keccak(text=f"{event}({','.join(kinds)})")]
    for item, kind in zip(entry["inputs"], kinds, strict=True):
        if item["indexed"]:
            topics.append(encode([kind], [values[item["name"]]]))
    rest = [
        (kind, values[item["name"]]) for item, kind in zip(entry["inputs"], kinds, strict=True) if not item["indexed"]
    ]
    data = encode([kind for kind, _ in rest], [value for _, value in rest])
    tx_hash = "0x" + keccak(f"{block_hash}{place}".encode()).hex()
    address = bytes.fromhex(ADDRESSES[name][2:])
    return Log(address, tuple(topics), data, number, block_hash, tx_hash, place)
