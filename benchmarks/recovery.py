"""Restore: from shares, chains and store alone to everything found and opened; then all lanes rotated and re-wrapped.

    ./pana bench recovery [--records 5000] [--policies 20] [--hospitals 5] [--quick] [--json]

A devnet with three proxies; the records are documents of their own, published by each hospital's own upload. The
restored profile lies in a home that has the network's file and nothing else; the store is the devnet's. Rotating is the
patient's `revoke` with `rotate` of a policy of all lanes; re-wrapping is each hospital's own `rewrap`. Figures never
fail anything.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _measure import row
from _running import running
from commands import settle
from records import PASSPHRASE, join, world

from panachain.config import Config
from panachain.model.actors import Role
from panachain.model.scope import Category
from panachain.sdk import Network, open_actor
from panachain.sdk.profiles import load_profile
from panachain.sdk.restoring import look_around, restore_profile

CATEGORIES = [one.value for one in Category][:10]
_DAY = 86_400
GOAL_SECONDS = 120
GOAL_HEADERS = 500
"""A second."""


def measure(folder: Path, records: int, policies: int, hospitals: int) -> dict[str, Any]:
    """Return the figures of one patient."""
    with world(folder) as (network, registrar):
        patient = join(network, registrar, "patient", Role.PATIENT)
        houses = ["hospital", *(f"house-{number}" for number in range(1, hospitals))]
        for name in houses[1:]:
            join(network, registrar, name, Role.HOSPITAL)
            patient.pair(name)
        for name in houses:
            publish(network, folder, name, records // hospitals)
        until = network.mainchain.head_block().time + 30 * _DAY
        for number in range(policies):
            settle(network)
            # The last one has all lanes: revoking it rotates them.
            wanted = CATEGORIES if number == policies - 1 else [CATEGORIES[number % len(CATEGORIES)]]
            last = patient.grant("clinician", wanted, until=until)
        opened = open_some(network)
        shares = patient.recovery.shares(threshold=2, of=3)
        patient.close()
        found, seconds = restored(network, folder, shares[1:])
        rotation = rotated(network, houses, last)
        return {
            "records": found.records,
            "policies": found.policies,
            "hospitals": found.hospitals,
            "readings": found.readings,
            "openings": opened,
            "left_out": len(found.omissions),
            "restore_s": round(seconds, 2),
            **rotation,
        }


def publish(network: Network, folder: Path, name: str, count: int) -> None:
    """Let a hospital upload documents of the patient, each a record of its own, in ten categories."""
    place = folder / "documents" / name
    place.mkdir(parents=True)
    with at_work(network, name) as hospital:
        for part, category in enumerate(CATEGORIES):
            inside = place / category
            inside.mkdir()
            for number in range(part, count, len(CATEGORIES)):
                (inside / f"{number}.txt").write_text(f"{name}, {category}, document {number}\n" * 20)
            if any(inside.iterdir()):
                hospital.upload([inside], "patient", category=Category.parse(category))
    shutil.rmtree(place)


def open_some(network: Network) -> int:
    """Let the practitioner open one policy, so that the log has something, and return how many records that were."""
    with at_work(network, "clinician") as clinician:
        return len(list(clinician.open(next(clinician.inbox()))))


def restored(network: Network, folder: Path, shares: Sequence[Any]) -> tuple[Any, float]:
    """Restore into a home that knows nothing, and return what was found, and the seconds of all of it."""
    home = folder / "restored"
    home.mkdir(mode=0o700)
    description = json.loads((network.home / "network.json").read_bytes())
    description["ipfs"] = {"kind": "embedded", "folders": [str(network.home / "blocks")]}
    where = network.home / "restored.json"
    where.write_text(json.dumps(description))
    started = time.perf_counter()
    with Network.open(Config.load({"home": str(home), "network_file": str(where)}, {})) as fresh:
        profile = restore_profile(home, "me", shares, PASSPHRASE, network=fresh)
        with open_actor(fresh, profile, PASSPHRASE) as actor:
            found = look_around(actor)
    return found, time.perf_counter() - started


def rotated(network: Network, houses: Sequence[str], policy: Any) -> dict[str, Any]:
    """Rotate all lanes and let each hospital re-wrap, and return how fast headers were made anew."""
    with at_work(network, "patient") as patient:
        settle(network)
        before = {record.info.content_cid for record in patient.records()}
        started = time.perf_counter()
        patient.revoke(policy, rotate=True)
        revoking = time.perf_counter() - started
    moved, seconds, spent = 0, 0.0, 0.0
    for name in houses:
        with at_work(network, name) as hospital:
            started, used = time.perf_counter(), time.process_time()
            moved += hospital.rewrap().moved
            seconds += time.perf_counter() - started
            spent += time.process_time() - used
    with at_work(network, "patient") as patient:
        after = {record.info.content_cid for record in patient.records()}
    return {
        "headers": moved,
        "headers_per_s": round(moved / seconds, 1) if seconds else 0.0,
        "headers_per_cpu_s": round(moved / spent, 1) if spent else 0.0,
        "rotate_s": round(revoking, 2),
        "contents_moved": len(before ^ after),
    }


@contextmanager
def at_work(network: Network, name: str) -> Iterator[Any]:
    """Open a profile of the devnet's home."""
    with open_actor(network, load_profile(network.home, name), PASSPHRASE) as actor:
        yield actor


def show(found: dict[str, Any]) -> None:
    """Print the table."""
    what = f"restore: {found['records']:,} records, {found['policies']} policies, {found['hospitals']} hospitals"
    row(
        what,
        f"{found['restore_s']:.1f} s",
        f"<= {GOAL_SECONDS} s",
        found["restore_s"] / GOAL_SECONDS,
        at_least=False,
        bound=1,
    )
    row("  left out", str(found["left_out"]), "0", None)
    row("  readings of the log", f"{found['readings']} of 1", "", None)
    what = f"rotate: {found['headers']:,} headers re-wrapped"
    rate = found["headers_per_s"]
    row(what, f"{rate:,.0f} headers/s", f">= {GOAL_HEADERS}", rate / GOAL_HEADERS, bound=1)
    row("  by the hospitals' processor time", f"{found['headers_per_cpu_s']:,.0f} headers/s", "", None)
    row("  the patient's part: chain, proxies, lanes, orders", f"{found['rotate_s']:.1f} s", "", None)
    row("  contents that have another CID after it", str(found["contents_moved"]), "0", None)


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser()
    options.add_argument("--records", type=int, default=5000)
    options.add_argument("--policies", type=int, default=20)
    options.add_argument("--hospitals", type=int, default=5)
    options.add_argument("--quick", action="store_true", help="little of everything: whether it runs")
    options.add_argument("--json", action="store_true", help="one JSON object")
    given = options.parse_args()
    if given.quick:
        given.records, given.policies, given.hospitals = 40, 2, 2
    with tempfile.TemporaryDirectory(dir=os.environ.get("PANA_BENCH_FOLDER")) as place:
        found = measure(Path(place), given.records, given.policies, given.hospitals)
    if given.json:
        print(json.dumps(found))
    else:
        show(found)


if __name__ == "__main__":
    with running():
        main()
