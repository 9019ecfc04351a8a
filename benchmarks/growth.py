"""Costs that don't grow with the world: what stays as it is beside everybody's policies, and what grows with one's own.

    ./pana bench growth [--json] [--quick] [--only PART ...] [--policies 1000000] [--storage 100000] [--blocks 200]
                        [--own 10] [--times 10] [--batches 10000] [--events 100000] [--cases 200] [--resources 100]
                        [--rounds 7]
    ./pana bench growth --plot docs/growth.svg --results FILE ...

Parts: `commands` (two devnets, see _growth_world.py), `steps` (publish, grant and open, on the empty one), `lookup` (a
lane in the batches of one hospital), `follow` (against web3.py, see follow.py), `reorganisations` (a synthetic node,
see _growth_chain.py), `receipts` and `gas`. All take about a quarter of an hour. Figures never fail anything.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _running import running

PARTS = ("commands", "steps", "lookup", "follow", "reorganisations", "receipts", "gas")


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of all parts that are wanted."""
    found: dict[str, Any] = {}
    wanted = set(given.only or PARTS)
    place = os.environ.get("PANA_BENCH_FOLDER")
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        if wanted & {"commands", "steps"}:
            found |= _in_worlds(given, folder, wanted)
        if "lookup" in wanted:
            from _growth_batches import lookup

            found["lookup"] = lookup(given.batches) | {"goal_blocks": 40}
        if "follow" in wanted:
            from follow import measure as follow

            found["follow"] = follow(given.events, shapes=(30,))
        if "reorganisations" in wanted:
            from _growth_chain import reorganisations

            found["reorganisations"] = reorganisations(folder, given.cases)
        if "receipts" in wanted:
            found["receipts"] = _receipts(200)
        if "gas" in wanted:
            from gas import measure as gas

            (folder / "gas").mkdir()
            found["gas"] = gas(folder / "gas")
    return found


def _in_worlds(given: argparse.Namespace, folder: Path, wanted: set[str]) -> dict[str, Any]:
    from _growth_world import Size, arms, ratios, steps
    from _growth_world import measure as commands

    size = Size(
        policies=given.policies,
        storage=given.storage,
        blocks=given.blocks,
        own=given.own,
        times=given.times,
        rounds=given.rounds,
    )
    if "commands" not in wanted:
        size = Size(policies=1, storage=1, blocks=1, own=1, times=1, rounds=given.rounds)
    found: dict[str, Any] = {}
    with arms(folder, size) as made:
        if "commands" in wanted:
            rows = commands(made, size.rounds)
            found["world"] = {"policies": size.policies, "storage": size.storage, "blocks": size.blocks}
            found["commands"], found["ratios"] = rows, ratios(rows)
        if "steps" in wanted:
            found["steps"] = steps(made[0], folder, given.rounds, given.resources)
    return found


def _receipts(count: int) -> dict[str, Any]:
    from receipts import GOAL, header_of, milliseconds, receipt_of

    from panachain.chain.block_receipts import read_receipts

    receipts = [receipt_of(place) for place in range(count)]
    header = header_of(receipts)
    least, median = milliseconds(lambda: read_receipts(header, receipts), 50)
    return {"receipts": count, "cpu_ms": round(least, 2), "cpu_median_ms": round(median, 2), "goal_ms": GOAL}


def draw(results: Sequence[Path], where: Path) -> None:
    """Draw curves of results that were kept: processor time by strangers' policies, and blocks by batches."""
    from _plot import Panel
    from _plot import draw as draw_panels

    found = [json.loads(path.read_text()) for path in results]
    worlds = sorted((one for one in found if "commands" in one), key=lambda one: int(one["world"]["policies"]))
    panels = []
    for command in dict.fromkeys(row["command"] for one in worlds for row in one["commands"]):
        points = [
            (one["world"]["policies"], row["cpu_ms"])
            for one in worlds
            for row in one["commands"]
            if (row["command"], row["chain"], row["own"]) == (command, "grown", "few")
        ]
        panels.append(Panel(command, "policies of strangers", "ms", points))
    fetched = sorted(
        (one["lookup"]["batches"], one["lookup"]["few"]["blocks_fetched"]) for one in found if "lookup" in one
    )
    if fetched:
        panels.append(Panel("looking up a lane", "batches of the hospital", "blocks", fetched))
    draw_panels(panels, where)


def lines(found: dict[str, Any]) -> list[str]:
    """Return what is printed for people."""
    told = []
    for row in found.get("commands", []):
        told.append(
            f"{row['command']:9} {row['chain']:6} {row['own']:5} {row['found']:5} found, {row['events']:6} events,"
            f" {row['cpu_ms']:8.1f} ms of processor time ({row['first_cpu_ms']:,.0f} the first time),"
            f" {row['wall_ms']:8.1f} ms by the clock, proxies {row['proxies_cpu_ms']:.0f} ms"
        )
    for row in found.get("ratios", []):
        told.append(
            f"{row['command']:9} beside everybody's {row['grown_cpu']:.2f} x ({row['grown_wall']:.2f} x by the clock),"
            f" goal {row['grown_goal']} x; with more of one's own {row['many_cpu']:.2f} x"
            f" ({row['many_wall']:.2f} x), goal {row['many_goal']} x"
        )
    for name in ("steps", "lookup", "reorganisations", "receipts", "gas"):
        if name in found:
            told.append(f"{name:15} " + ", ".join(f"{what} {value}" for what, value in found[name].items()))
    for row in found.get("follow", []):
        told.append(f"{'follow':15} " + ", ".join(f"{what} {value}" for what, value in row.items()))
    return told


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one object, or a table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", nargs="+", choices=PARTS, help="what is measured; everything without it")
    options.add_argument("--policies", type=int, default=1_000_000, help="policies of strangers")
    options.add_argument("--storage", type=int, default=100_000, help="storage transactions of strangers")
    options.add_argument("--blocks", type=int, default=200, help="blocks over which those are spread")
    options.add_argument("--own", type=int, default=10, help="own policies of the actor who has few")
    options.add_argument("--times", type=int, default=10, help="times as many own policies and records")
    options.add_argument("--batches", type=int, default=10_000, help="storage transactions of one hospital")
    options.add_argument("--events", type=int, default=100_000, help="events that are followed")
    options.add_argument("--cases", type=int, default=200, help="reorganisations")
    options.add_argument("--resources", type=int, default=100, help="resources that are published, granted and opened")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--plot", type=Path, help="draw curves of --results into this file, and measure nothing")
    options.add_argument("--results", type=Path, nargs="+", default=[], help="what runs with --json printed")
    options.add_argument("--json", action="store_true")
    options.add_argument("--quick", action="store_true", help="little of everything: whether it runs")
    given = options.parse_args(arguments)
    if given.plot is not None:
        draw(given.results, given.plot)
        return
    if given.quick:
        given.policies, given.storage, given.blocks, given.own, given.times, given.rounds = 400, 20, 20, 1, 2, 1
        given.batches, given.events, given.cases, given.resources = 20, 300, 3, 3
    found = measure(given)
    if given.json:
        print(json.dumps(found))
        return
    for line in lines(found):
        print(line)


if __name__ == "__main__":
    with running():
        main(sys.argv[1:])
