"""Unlinkability: whether an attacker can group what is public by patient (security rule 9).

    ./pana bench linkability [--columns ABCD] [--patients 1000] [--houses 30] [--seed 1] [--jitter 21]
                             [--grant-jitter 7] [--json] [--quick]

1,000 simulated patients live a year: 20 records each at 30 hospitals and clinics, grants and revocations, on the real
contracts and in the real formats. The attacker sees the mainchain, every IPFS object, sizes and times; of the sidechain
only that it exists. They group by each visible field, and train a classifier on 250 more patients whom they know.
Prints adjusted Rand indexes beside the limits, a column for each way of publishing, and beside a control, a naive
registry keyed by the patient's address; fails nothing. Beside that, a server that logs every lookup of readers groups
the rows of later manifests.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import _peers
from _running import running

with _peers.needed():
    import _linkability_view as view
    from _linkability_attack import Units, View, classify, groupings
    from _linkability_lookups import LOOKUPS, lookups
    from _linkability_plan import DAY, Sharing, joined, make_plan
    from _linkability_world import Simulation

LIMITS = {View.CONTENT: 0.02, View.BATCH: 0.02, View.TIME: 0.10}
CONTROL = 0.95
KNOWN = 4
"""One more patient for each so many, whose records the attacker knows and learns from."""
CLASSIFIER = "a trained classifier"
ALONE = f"{CLASSIFIER}, from {view.HOSPITAL} alone"


@dataclass(frozen=True)
class Way:
    """One way of publishing."""

    jitter: bool
    """Whether records and grants wait."""
    sharing: Sharing


WAYS = {
    "A": Way(jitter=False, sharing=Sharing.NOBODY),
    "B": Way(jitter=True, sharing=Sharing.NOBODY),
    "C": Way(jitter=True, sharing=Sharing.CLINICS),
    "D": Way(jitter=True, sharing=Sharing.REGION),
}


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument(
        "--columns", default="".join(WAYS), help="which of A, B, C and D; the first one has the control"
    )
    options.add_argument("--patients", type=int, default=1000)
    options.add_argument("--houses", type=int, default=30)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--jitter", type=float, default=21, help="days that a record waits at most")
    options.add_argument("--grant-jitter", type=float, default=7, help="days that a grant waits at most")
    options.add_argument("--json", action="store_true")
    options.add_argument("--quick", action="store_true", help="few patients and one column: whether it runs")
    given = options.parse_args()
    if given.quick:
        given.columns, given.patients, given.houses = "A", 60, 6
    if not given.columns or set(given.columns) - set(WAYS):
        options.error(f"--columns takes letters of {''.join(WAYS)}")
    started = time.perf_counter()
    # Two chains and two attackers at once: each has a core.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        people = given.patients, given.houses, given.seed
        waits = int(given.jitter * DAY), int(given.grant_jitter * DAY)
        ways = {name: WAYS[name] for name in given.columns}
        runs = {
            name: pool.submit(measure, *people, *(waits if way.jitter else (0, 0)), way.sharing)
            for name, way in ways.items()
        }
        found = {name: run.result() for name, run in runs.items()}
    size = {"manifests": 100, "patients": 20} if given.quick else {}
    looked = {name: lookups(**size, control=name == "control") for name in ("lookups", "control")}
    if given.json:
        named = {name: dict(zip(LOOKUPS, scores, strict=True)) for name, scores in looked.items()}
        print(json.dumps({"schema": "panachain/linkability/3", **found, "lookups": named}))
        return
    show(found, given)
    print("-- rows of later manifests, by what a server that logs every lookup has seen (control: keys from a counter)")
    for name, score, before in zip(LOOKUPS, looked["lookups"], looked["control"], strict=True):
        met = "+" if score <= LIMITS[View.CONTENT] else "-"
        print(f"{name:64} {'lookups':8}{score:10.4f} {met} (control {before:.4f}){LIMITS[View.CONTENT]:8.2f}")
    print(f"\n{time.perf_counter() - started:.0f} s")


def measure(
    patients: int, houses: int, seed: int, jitter: int, grant_jitter: int, sharing: Sharing = Sharing.NOBODY
) -> dict[str, Any]:
    """Let the patients live once, attack, and return all scores.

    Args:
        patients: how many.
        houses: how many hospitals and clinics.
        seed: the same seed gives the same lives.
        jitter: seconds that a record waits at most; 0 for the product without the option.
        grant_jitter: the same for grants.
        sharing: who publishes through one account.
    """
    # Those whom the attacker knows come after the others.
    plan = joined(make_plan(patients + max(patients // KNOWN, 2), houses, seed), sharing)
    with tempfile.TemporaryDirectory(dir=os.environ.get("PANA_BENCH_FOLDER")) as place:
        simulation = Simulation(plan, Path(place))
        with simulation.run(jitter=jitter, grant_jitter=grant_jitter) as world:
            seen = view.transactions(world)
            records, policies = view.records(world, seen), view.policies(world, seen)
            windows = view.shared_windows(world)
    moved = view.moved(plan, jitter)
    few = records.part(records.truth % 5 == 0)
    return {
        "units": {
            name: int((units.truth < patients).sum()) for name, units in (("records", records), ("policies", policies))
        },
        "records": fields(records, patients) + trained(records, patients, alone=view.HOSPITAL),
        "policies": fields(policies, patients) + trained(policies, patients),
        "records with policies": fields(view.together(records, policies), patients),
        "headers wrapped anew": fields(moved, patients) + trained(moved, patients, (View.TIME,)),
        "control": fields(view.naive(records), patients) + trained(view.naive(few), patients, (View.CONTENT,)),
        "shared windows": windows,
    }


Score = tuple[str, int, float]


def fields(units: Units, patients: int) -> list[Score]:
    """Return name, view and score of the grouping by each field, of the patients whom the attacker doesn't know."""
    return [(name, int(one), score) for name, one, score in groupings(units.part(units.truth < patients))]


def trained(units: Units, patients: int, views: Iterable[View] = View, *, alone: str = "") -> list[Score]:
    """Return the scores of classifiers that learned from the others.

    Args:
        units: of all patients.
        patients: how many the attacker doesn't know.
        views: what the attacker sees.
        alone: a field that is tried by itself first, as a baseline.
    """
    known, targets = units.part(units.truth >= patients), units.part(units.truth < patients)
    found: list[Score] = []
    if alone:
        found.append((ALONE, int(View.CONTENT), classify(known, targets, View.CONTENT, only=alone)))
    return found + [(CLASSIFIER, int(one), classify(known, targets, one)) for one in views]


def show(found: dict[str, dict[str, Any]], given: argparse.Namespace) -> None:
    """Print the runs beside each other."""
    first = next(iter(found.values()))
    units = first["units"]
    print(f"{units['records']:,} records and {units['policies']:,} policies of {given.patients:,} patients")
    for name in found:
        way = WAYS[name]
        waits = (
            f"records wait up to {given.jitter:g} days, grants up to {given.grant_jitter:g}" if way.jitter else "now"
        )
        print(f"{name}: {waits}; one account for {way.sharing.value}")
    print(f"{'grouped by':64} {'sees':8}" + "".join(f"{name:>12}" for name in found) + f"{'limit':>8}")
    for kind in ("records", "policies", "records with policies", "headers wrapped anew"):
        print(f"-- {kind}")
        for row in zip(*(run[kind] for run in found.values()), strict=True):
            name, one, _ = row[0]
            limit = LIMITS[View(one)]
            # The publisher is public by design, so that this name alone has no limit.
            cells = [
                f"{score:.4f} {'' if view.HOSPITAL in name else '+' if score <= limit else '-'}" for *_, score in row
            ]
            print(
                f"{name[:64]:64} {View(one).name.lower():8}"
                + "".join(f"{cell:>12}" for cell in cells)
                + f"{limit:8.2f}"
            )
    print("+ met, - short")
    print(f"-- control: a registry keyed by the patient's address, at least {CONTROL}")
    for name, one, score in first["control"]:
        print(f"{name:64} {View(one).name.lower():8}{score:12.4f}")
    windows = ", ".join(f"{name} {run['shared windows']}" for name, run in found.items())
    print(f"-- values of 16 bytes that two objects share, the format's constants aside: {windows}")


if __name__ == "__main__":
    with running():
        main()
