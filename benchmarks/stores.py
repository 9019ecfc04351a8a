"""Stores: many small records into a Kubo node against `ipfs dag import`, and into a bucket by requests.

    ./pana bench stores [--records 20000] [--rounds 5] [--quick]

Prints figures and ratios, and fails nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _kubo import nodes_of_tests
from _measure import row
from _running import running

from panachain.ipld import car
from panachain.ipld.cid import CID, RAW

Blocks = list[tuple[CID, bytes]]


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--records", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--quick", action="store_true", help="little of everything: whether it runs")
    given = options.parse_args()
    if given.quick:
        given.records, given.rounds = 500, 1
    with tempfile.TemporaryDirectory(dir=os.environ.get("PANA_BENCH_FOLDER")) as place:
        into_kubo(Path(place), given.records, given.rounds)
        into_a_bucket(given.records)


def records(count: int) -> Blocks:
    """Return blocks as small records leave them: sealed, padded to steps, and each other bytes."""
    sizes = random.Random(14)
    data = [os.urandom(sizes.choice((320, 576, 1088, 2112))) for _ in range(count)]
    return [(CID.of(RAW, block), block) for block in data]


def into_kubo(folder: Path, count: int, rounds: int) -> None:
    """Store new blocks in one node by ourselves and in another one by its own program, by turns."""
    what, goal = f"{count:,} small records into Kubo", ">= 0.5 x ipfs dag import"
    nodes = nodes_of_tests(what, goal)
    if nodes is None:
        return
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    with nodes.running(folder / "a") as first, nodes.running(folder / "b") as second:
        ours, theirs = [], []
        for number in range(rounds):
            # New blocks each time, which neither node has; and the nodes change places.
            blocks = records(count)
            ours_into, theirs_into = (first, second) if number % 2 == 0 else (second, first)
            ours.append(put(ours_into, blocks))
            theirs.append(imported(theirs_into, folder / "records.car", blocks))
        ratio = statistics.median(theirs) / statistics.median(ours)
        figure = f"{statistics.median(ours):.2f} s, ipfs {statistics.median(theirs):.2f} s"
        row(what, figure, goal, ratio, bound=0.5)
        cid, data = blocks[len(blocks) // 2]
        assert first.store.get_block(cid) == second.store.get_block(cid) == data


def put(node: Any, blocks: Blocks) -> float:
    """Return the seconds that our store takes, CIDs checked."""
    started = time.perf_counter()
    node.store.put_blocks(iter(blocks))
    return time.perf_counter() - started


def imported(node: Any, path: Path, blocks: Sequence[tuple[CID, bytes]]) -> float:
    """Return the seconds that `ipfs dag import` takes for a file with the same blocks."""
    with path.open("wb") as file:
        car.write_car(file, [], iter(blocks))
    command = [node.program, "--api", node.api, "dag", "import", "--pin-roots=false", str(path)]
    started = time.perf_counter()
    subprocess.run(command, env=node.environment, stdout=subprocess.DEVNULL, check=True, timeout=300)
    return time.perf_counter() - started


def into_a_bucket(count: int) -> None:
    """Count the requests that storing and reading take in a bucket of moto's, which is no peer for times."""
    what = f"{count:,} small records into a bucket"
    try:
        import logging

        from moto.server import ThreadedMotoServer

        from panachain.storage.s3 import S3Store
        from panachain.storage.s3_client import S3Client, read_s3_url
    except ModuleNotFoundError as exc:
        row(what, f"no Python package {exc.name}: ./pana setup dev", "<= 0.01 requests each", None)
        return
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    asked = [0]

    class Counting(S3Client):
        def _ask(self, *given: Any, **named: Any) -> Any:
            asked[0] += 1
            return super()._ask(*given, **named)

    try:
        host, port = server.get_host_and_port()
        bucket = read_s3_url(f"s3://bench?endpoint=http://{host}:{port}")

        def opened() -> S3Store:
            return S3Store(bucket, client=Counting(bucket, name="bucket", timeout=60))

        Counting(bucket, name="bucket", timeout=60)._ask("PUT", None)
        blocks = records(count)
        asked[0] = 0
        opened().put_blocks(iter(blocks))
        each = asked[0] / count
        row(
            what,
            f"{asked[0]} requests",
            "<= 0.01 requests each",
            each,
            at_least=False,
            bound=0.01 if count > 5000 else 1,
        )
        asked[0], reader = 0, opened()
        for cid, data in blocks:
            assert reader.get_block(cid) == data
        row("  reading them in order", f"{asked[0]} requests", "", None)
    finally:
        server.stop()


if __name__ == "__main__":
    with running():
        main()
