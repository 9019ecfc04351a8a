"""How long it takes to prove a block's logs: the tree of its receipts, built anew, against the header's root.

    ./pana bench receipts [--receipts N] [--rounds N] [--quick]

Each receipt is like one of a storage or policy transaction: type 2, two logs of three topics and 96 bytes. py-trie with
the `rlp` package does the same in the same run, if they are installed. Timings never fail anything.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import time
from collections.abc import Callable
from typing import Any

from _running import running

from panachain.chain import block_receipts
from panachain.chain.block_receipts import ordered_root, read_receipts
from panachain.chain.headers import Header

GOAL = 5.0
"""Milliseconds for 200 receipts on an idle core."""


def word(*parts: object) -> str:
    """Return 32 bytes as hex, which are others for other parts."""
    return "0x" + hashlib.sha256(repr(parts).encode()).hexdigest()


def receipt_of(place: int) -> dict[str, Any]:
    """Return a receipt as a node gives it."""
    logs = [
        {
            "address": word("contract", place % 7, number)[:42],
            "topics": [word("topic", place, number, topic) for topic in range(3)],
            "data": "0x" + "".join(word("data", place, number, part)[2:] for part in range(3)),
        }
        for number in range(2)
    ]
    bloom = "0x" + "".join(word("bloom", place, part)[2:] for part in range(8))
    gas = hex(60_000 * (place + 1))
    return {
        "type": "0x2",
        "status": "0x1",
        "cumulativeGasUsed": gas,
        "logsBloom": bloom,
        "logs": logs,
        "transactionHash": word("transaction", place),
    }


def header_of(receipts: list[dict[str, Any]]) -> Header:
    """Return a header that has these receipts' root."""
    encoded = [
        block_receipts._encode(one, [block_receipts._read_log(log)[0] for log in one["logs"]]) for one in receipts
    ]
    return Header(1, word("block"), word("parent"), 0, bytes(256), ordered_root(encoded), bytes(32))


def by_the_oracle(receipts: list[dict[str, Any]]) -> Callable[[], bytes] | None:
    """Return what computes the root with outside packages, or None where they aren't installed."""
    try:
        import rlp
        from trie import HexaryTrie  # type: ignore[import-untyped]
    except ImportError:
        return None

    def root() -> bytes:
        grown = HexaryTrie({})
        for place, one in enumerate(receipts):
            logs = [
                [raw(log["address"]), [raw(topic) for topic in log["topics"]], raw(log["data"])] for log in one["logs"]
            ]
            body = rlp.encode([1, int(one["cumulativeGasUsed"], 16), raw(one["logsBloom"]), logs])
            grown[rlp.encode(place)] = b"\x02" + body
        return bytes(grown.root_hash)

    return root


def raw(text: str) -> bytes:
    """Return the bytes of hex."""
    return bytes.fromhex(text[2:])


def milliseconds(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Return the least and the median processor time of one round."""
    taken = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        taken.append((time.process_time() - started) * 1000)
    return min(taken), statistics.median(taken)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--receipts", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="little of everything: whether it runs")
    options = parser.parse_args()
    if options.quick:
        options.receipts, options.rounds = 20, 2
    receipts = [receipt_of(place) for place in range(options.receipts)]
    header = header_of(receipts)
    least, median = milliseconds(lambda: read_receipts(header, receipts), options.rounds)
    print(f"{options.receipts} receipts proven: least {least:.2f} ms, median {median:.2f} ms of processor time")
    print(f"goal for 200: {GOAL:.0f} ms on an idle core")
    root = by_the_oracle(receipts)
    if root is not None:
        assert root() == header.receipts_root
        least, median = milliseconds(root, max(options.rounds // 10, 3))
        print(f"by py-trie and rlp: least {least:.2f} ms, median {median:.2f} ms")


if __name__ == "__main__":
    with running():
        main()
