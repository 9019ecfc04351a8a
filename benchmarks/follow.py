"""Following a chain: how fast events get from a node into the local copy, against web3.py's get_logs into SQLite.

    ./pana bench follow [--json] [--quick] [--events NUMBER]

Anvil stands for the node, the same for both, and both run in this process one after the other, so that a busy machine
slows both. The events are of the shape of PolicyGranted. Both end with all events in an indexed file of SQLite; ours
proves each of them besides. By the clock, most of it is the node's own time; timings never fail anything.
"""

from __future__ import annotations

import argparse
import json
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _running import running

from panachain.chain import anvil
from panachain.chain.abi import contract
from panachain.chain.nodes import Nodes
from panachain.chain.rpc import Rpc
from panachain.follow.follower import Follower

ADDRESS = "0x" + "c0" * 20
SENDER = "0x" + "5e" * 20
GOAL = 10.0
"""Times as many events a second as web3.py."""


@dataclass(frozen=True)
class Taken:
    """What one way took, in seconds."""

    wall: float
    cpu: float


def program() -> str:
    """Return EVM code that writes as many logs as its calldata says, each as PolicyGranted, under keys that differ."""
    topic = contract("PolicyRegistry").topic("PolicyGranted")[2:]
    code = "5f35"  # PUSH0 CALLDATALOAD: how many are left
    loop = len(code) // 2
    code += "5b"  # JUMPDEST
    code += "80" + "5f52" + "6020356020" + "52"  # MSTORE of the count, and of the transaction's number beside it
    code += "60405f20"  # KECCAK256 of both is what differs
    code += "80" + "608052" + "80" + "60a052" + "80" + "606052"  # window, terms, announcement are this hash
    code += "73" + "ff" * 20 + "16"  # AND: an address of it
    code += "7f" + topic
    code += "60606060a2"  # LOG2 of 96 bytes from 0x60
    code += "600190" + "03"  # SWAP1 SUB: count - 1
    code += "80" + f"60{loop:02x}" + "57" + "00"  # JUMPI while there are some
    return "0x" + code


def fill(rpc: Rpc, events: int, each: int, blocks: int) -> None:
    """Make blocks with events, `each` of them in one transaction."""
    rpc.call("anvil_setCode", [ADDRESS, program()])
    rpc.call("anvil_setBalance", [SENDER, hex(10**24)])
    rpc.call("anvil_impersonateAccount", [SENDER])
    rpc.call("evm_setAutomine", [False])
    rpc.call("evm_setIntervalMining", [0])
    rpc.call("evm_setBlockGasLimit", [hex(10**11)])
    transactions = events // each
    gas = hex(60_000 + 6_000 * each)
    sent = 0
    for block in range(1, blocks + 1):
        wanted = transactions * block // blocks
        while sent < wanted:
            some = min(500, wanted - sent)
            calls = [
                {"from": SENDER, "to": ADDRESS, "data": f"0x{each:064x}{nonce:064x}", "gas": gas, "nonce": hex(nonce)}
                for nonce in range(sent, sent + some)
            ]
            rpc.batch([("eth_sendTransaction", [call]) for call in calls])
            sent += some
        rpc.call("evm_mine", [])


@contextmanager
def chain(folder: Path) -> Iterator[Rpc]:
    """Run a chain."""
    started = anvil.start(folder, chain_id=31_337, free=False)
    rpc = Rpc(started.url, timeout=120)
    try:
        yield rpc
    finally:
        rpc.close()
        anvil.stop(started.pid)


def timed(act: Callable[[], Any]) -> Taken:
    """Run something and return what it took in this process."""
    before, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    act()
    after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime
    return Taken(time.perf_counter() - before, used)


def by_follower(rpc: Rpc, path: Path) -> int:
    """Follow the chain into a new copy, and return how many events it holds."""
    following = Follower(Nodes([rpc], chain_id=31_337), path, chain_id=31_337, addresses={"PolicyRegistry": ADDRESS})
    following.sync()
    with following._database.reading() as session:
        found: int = session.run("SELECT count(*) FROM log").fetchone()[0]
    following.close()
    return found


def by_web3(url: str, path: Path) -> int:
    """Read all events by web3.py's get_logs, decoded, into SQLite, and return how many there are."""
    from web3 import HTTPProvider, Web3

    web3 = Web3(HTTPProvider(url, request_kwargs={"timeout": 300}))
    registry = web3.eth.contract(address=Web3.to_checksum_address(ADDRESS), abi=contract("PolicyRegistry").entries)
    database = sqlite3.connect(path)
    database.execute(
        "CREATE TABLE granted (block INTEGER, place INTEGER, block_hash TEXT, tx TEXT, policy TEXT, window TEXT,"
        " terms BLOB, announcement BLOB, PRIMARY KEY (block, place))"
    )
    database.execute("CREATE INDEX by_policy ON granted (policy)")
    newest = web3.eth.block_number
    # Ten blocks at once, since nodes bound their answers.
    for first in range(0, newest + 1, 10):
        logs = registry.events.PolicyGranted().get_logs(from_block=first, to_block=min(first + 9, newest))
        rows = [
            (
                *(log["blockNumber"], log["logIndex"], log["blockHash"].hex(), log["transactionHash"].hex()),
                *(log["args"]["policyId"], str(log["args"]["window"])),
                *(log["args"]["terms"], log["args"]["announcement"]),
            )
            for log in logs
        ]
        database.executemany("INSERT INTO granted VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        database.commit()
    found: int = database.execute("SELECT count(*) FROM granted").fetchone()[0]
    database.close()
    return found


def measure(events: int, shapes: Sequence[int] = (1, 30)) -> list[dict[str, Any]]:
    """Return a row for each shape of the chain: how many events one transaction has."""
    rows = []
    for each in shapes:
        with tempfile.TemporaryDirectory() as name, chain(Path(name) / "chain") as rpc:
            folder = Path(name)
            fill(rpc, events, each, blocks=events // each // 100 + 1)
            counts: list[int] = []
            ours = timed(lambda: counts.append(by_follower(rpc, folder / "ours.db")))  # noqa: B023
            theirs = timed(lambda: counts.append(by_web3(rpc.url, folder / "theirs.db")))  # noqa: B023
            if counts[0] != counts[1]:
                raise SystemExit(f"the two ways found {counts[0]} and {counts[1]} events")
            rows.append(
                {
                    "events": counts[0],
                    "events_in_a_transaction": each,
                    "ours_wall_s": round(ours.wall, 2),
                    "ours_cpu_s": round(ours.cpu, 2),
                    "web3_wall_s": round(theirs.wall, 2),
                    "web3_cpu_s": round(theirs.cpu, 2),
                    "wall_ratio": round(theirs.wall / ours.wall, 1),
                    "cpu_ratio": round(theirs.cpu / ours.cpu, 1),
                    "goal": GOAL,
                }
            )
    return rows


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--events", type=int, default=100_000)
    given = parser.parse_args()
    rows = measure(3_000 if given.quick else given.events)
    if given.json:
        json.dump(rows, sys.stdout, indent=1)
        return
    for row in rows:
        print(
            f"{row['events']:,} events, {row['events_in_a_transaction']} in a transaction: "
            f"ours {row['ours_wall_s']} s ({row['ours_cpu_s']} s CPU), "
            f"web3.py {row['web3_wall_s']} s ({row['web3_cpu_s']} s CPU): "
            f"{row['wall_ratio']} x by the clock, {row['cpu_ratio']} x CPU; goal {row['goal']} x"
        )


if __name__ == "__main__":
    with running():
        main()
