"""A node that has no state and no transactions: blocks whose headers, blooms and receipts are consistent, by JSON-RPC.

A follower proves of it what it proves of a real node: each header's hash, its parent, its bloom and its receipts root.
Blocks can be taken back, so that a chain is reorganised as often as somebody wants.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from panachain.chain import rlp
from panachain.chain.abi import contract
from panachain.chain.block_receipts import ordered_root
from panachain.chain.headers import bloom_bits
from panachain.chain.nodes import Nodes
from panachain.ethereum import keccak
from panachain.follow.follower import SETTLED, Follower

CHAIN_ID = 31_337
ADDRESSES = {"PolicyRegistry": "0x" + "c0" * 20, "RecordLedger": "0x" + "c1" * 20}
_EMPTY = "0x" + keccak(rlp.encode(b"")).hex()
_OMMERS = "0x" + keccak(rlp.encode([])).hex()


class SyntheticNode:
    """A node that answers as the Ethereum JSON-RPC specification says, as far as a follower asks."""

    url = "http://synthetic.example"

    def __init__(self) -> None:
        """Begin with a block without logs."""
        self.blocks: list[dict[str, Any]] = []
        self._receipts: dict[str, list[dict[str, Any]]] = {}
        self._made = 0
        self.mine([])

    def mine(self, logs: Sequence[tuple[str, Sequence[bytes], bytes]]) -> None:
        """Add a block, with a transaction for each log: its contract's name, topics and data."""
        self._made += 1
        number = len(self.blocks)
        blooms = [bloom_bits(bytes.fromhex(ADDRESSES[name][2:])) for name, _, _ in logs]
        receipts, encoded = [], []
        for place, ((name, topics, data), bloom) in enumerate(zip(logs, blooms, strict=True)):
            address, gas, bits = bytes.fromhex(ADDRESSES[name][2:]), 60_000 * (place + 1), bloom.to_bytes(256, "big")
            body: rlp.Encodable = [rlp.number(1), rlp.number(gas), bits, [[address, list(topics), data]]]
            encoded.append(b"\x02" + rlp.encode(body))
            receipts.append(
                {
                    "type": "0x2",
                    "status": "0x1",
                    "cumulativeGasUsed": hex(gas),
                    "logsBloom": "0x" + bits.hex(),
                    "logs": [
                        {
                            "address": ADDRESSES[name],
                            "topics": ["0x" + topic.hex() for topic in topics],
                            "data": "0x" + data.hex(),
                        }
                    ],
                    "transactionHash": "0x" + hashlib.sha256(b"%d %d" % (self._made, place)).hexdigest(),
                }
            )
        whole = 0
        for bloom in blooms:
            whole |= bloom
        # What makes this block another one than those that stood in its place before.
        extra = b"block %d" % self._made
        parent = self.blocks[-1]["hash"] if self.blocks else "0x" + bytes(32).hex()
        block = {
            "parentHash": parent,
            "sha3Uncles": _OMMERS,
            "miner": "0x" + bytes(20).hex(),
            "stateRoot": _EMPTY,
            "transactionsRoot": _EMPTY,
            "receiptsRoot": "0x" + ordered_root(encoded).hex(),
            "logsBloom": "0x" + whole.to_bytes(256, "big").hex(),
            "difficulty": "0x0",
            "number": hex(number),
            "gasLimit": hex(30_000_000),
            "gasUsed": hex(60_000 * len(logs)),
            "timestamp": hex(1_700_000_000 + 12 * number),
            "extraData": "0x" + extra.hex(),
            "mixHash": "0x" + bytes(32).hex(),
            "nonce": "0x" + bytes(8).hex(),
        }
        block["hash"] = "0x" + keccak(rlp.encode(_fields(block))).hex()
        self.blocks.append(block)
        self._receipts[block["hash"]] = receipts

    def take_back(self, count: int) -> None:
        """Forget the newest blocks."""
        del self.blocks[len(self.blocks) - count :]

    # What a follower's nodes ask

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Return what a node would."""
        if method == "eth_chainId":
            return hex(CHAIN_ID)
        if method == "eth_blockNumber":
            return self.blocks[-1]["number"]
        if method == "eth_getBlockByNumber":
            number = len(self.blocks) - 1 if params[0] == "latest" else int(params[0], 16)
            return self.blocks[number] if number < len(self.blocks) else None
        if method == "eth_getBlockReceipts":
            return self._receipts.get(params[0])
        raise ValueError(f"the synthetic node has no {method}")

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Return what a node would of several calls."""
        return [self.call(method, params) for method, params in calls]

    def close(self) -> None:
        """Close nothing."""


def follower(node: SyntheticNode, where: Path) -> Follower:
    """Return a follower of a synthetic node."""
    nodes = Nodes([node], chain_id=CHAIN_ID)  # type: ignore[list-item]
    return Follower(nodes, where, chain_id=CHAIN_ID, addresses=ADDRESSES, from_block=1)


def reorganisations(folder: Path, cases: int, depth: int = SETTLED, seed: int = 16) -> dict[str, Any]:
    """Take back up to `depth` blocks at random, and compare the copy with a fresh one each time.

    Half of the cases go to the full depth.
    """
    chance, node = random.Random(seed), SyntheticNode()
    for _ in range(2 * depth):
        node.mine(_logs(chance))
    kept = follower(node, folder / "kept.db")
    kept.sync()
    equal, deepest = 0, 0
    for case in range(cases):
        back = depth if case % 2 else chance.randrange(1, depth + 1)
        node.take_back(back)
        # At least as many as went: with one node alone the newest block ever seen is what the depth is counted from.
        for _ in range(back + chance.randrange(1, 4)):
            node.mine(_logs(chance))
        kept.sync()
        path = folder / f"fresh-{case}.db"
        fresh = follower(node, path)
        equal += _everything(kept, node) == _everything(fresh, node)
        deepest = max(deepest, back)
        fresh.close()
        path.unlink()
    kept.close()
    return {"cases": cases, "equal": equal, "deepest": deepest}


def _logs(chance: random.Random) -> list[tuple[str, list[bytes], bytes]]:
    """Return the logs of a block: policies and storage transactions whose keys come again."""
    granted = bytes.fromhex(contract("PolicyRegistry").topic("PolicyGranted")[2:])
    stored = bytes.fromhex(contract("RecordLedger").topic("RecordsStored")[2:])
    logs: list[tuple[str, list[bytes], bytes]] = []
    for _ in range(chance.choice((0, 0, 1, 3))):
        who = chance.randrange(1, 40).to_bytes(32, "big")
        if chance.randrange(2):
            logs.append(("PolicyRegistry", [granted, who], chance.randbytes(96)))
        else:
            sequence = chance.randrange(1, 1000).to_bytes(32, "big")
            data = chance.randbytes(32) + (7).to_bytes(32, "big") + chance.randbytes(32)
            logs.append(("RecordLedger", [stored, who, sequence], data))
    return logs


def _everything(following: Follower, node: SyntheticNode) -> list[Any]:
    """Return all that a copy tells."""
    head = following.head()
    if head.hash != node.blocks[-1]["hash"]:
        raise SystemExit("a follower that has synced isn't at the head of its chain")
    blocks = [following.block(number) for number in range(1, head.number + 1)]
    return [head, blocks, *(list(following.events(contract(name), where)) for name, where in ADDRESSES.items())]


def _fields(block: dict[str, Any]) -> list[bytes]:
    numbers = {"difficulty", "number", "gasLimit", "gasUsed", "timestamp"}
    return [
        rlp.number(int(value, 16)) if name in numbers else bytes.fromhex(value[2:])
        for name, value in block.items()
        if name != "hash"
    ]
