"""How fast the portal is: its first page, each page beside 5,000 records, what pages weigh, uploads, 50 staff at once.

    ./pana bench portal [--records 5000] [--rounds 20] [--only start pages load] [--json] [--quick]

On a devnet whose proxies are processes of their own; the portal is `panachain portal` in a process of its own, asked
over loopback as a browser asks, so that a page takes from the request to its last byte. Timings never fail anything.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import _locks
from _running import running
from records import PASSPHRASE, Amount, bundles, join, world

from panachain.model.actors import Role
from panachain.portal.pages import navigation
from scripts.portal_process import running_portal

PEOPLE = {"patient": Role.PATIENT, "hospital": Role.HOSPITAL, "clinician": Role.PRACTITIONER}
"""Whose pages are asked for."""
START_GOAL, PAGE_GOAL, WEIGHT_GOAL = 1_500.0, 200.0, 150_000
"""Milliseconds until the first page, milliseconds of a page at the 95th percentile, bytes with all that it loads."""
_TIMEOUT = 120.0


@dataclass(frozen=True)
class Row:
    """One figure."""

    what: str
    figure: float
    unit: str
    goal: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None:
            return None
        return self.figure >= self.goal if self.at_least else self.figure <= self.goal


class Visitor:
    """A browser's requests, without a browser."""

    def __init__(self, entry: str) -> None:
        """Take the address that opens the portal."""
        self.origin, _, self._secret = entry.partition("/#")
        self._client = httpx.Client(base_url=self.origin, timeout=_TIMEOUT, follow_redirects=True)

    def enter(self) -> None:
        """Go to where a profile is unlocked."""
        self._client.get("/").raise_for_status()
        self._post("/enter", secret=self._secret)

    def unlock(self, profile: str) -> None:
        """Unlock a profile."""
        token = re.search(r'name="csrf" value="(\w+)"', self.get("/unlock"))
        assert token is not None
        self._post("/unlock", csrf=token[1], profile=profile, passphrase=PASSPHRASE)

    def get(self, path: str) -> str:
        """Return a page; where it is the outcome of work, the work is waited for."""
        while 'class="narrow job"' in (answer := self._client.get(path).raise_for_status()).text:
            path = answer.url.path
            time.sleep(0.05)
        return answer.text

    def timed(self, path: str) -> float:
        """Return the milliseconds of one page."""
        started = time.perf_counter()
        self._client.get(path).raise_for_status()
        return 1_000 * (time.perf_counter() - started)

    def weigh(self, path: str) -> tuple[int, int]:
        """Return the bytes of a page with all that it loads, and how many requests would go elsewhere."""
        page = self.get(path)
        loaded = set(re.findall(r'<(?:link|script|img)[^>]*(?:href|src)="([^"]+)"', page))
        own = [one for one in loaded if one.startswith("/") and not one.startswith("//")]
        weight = len(page.encode()) + sum(len(self._client.get(one).raise_for_status().content) for one in own)
        return weight, len(loaded) - len(own)

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def _post(self, path: str, **fields: str) -> None:
        self._client.post(path, data=fields, headers={"origin": self.origin}).raise_for_status()


@contextmanager
def visiting(home: Path, profile: str) -> Iterator[Visitor]:
    """Run somebody's portal, and unlock it."""
    with running_portal(home, profile) as entry:
        visitor = Visitor(entry)
        try:
            visitor.enter()
            visitor.unlock(profile)
            yield visitor
        finally:
            visitor.close()


def start(home: Path, rounds: int) -> Iterator[Row]:
    """Measure from the command to the first page, which asks for the passphrase."""
    took, spent = [], []
    for _ in range(rounds + 1):
        started, before = time.perf_counter(), _processor_time()
        with running_portal(home, "patient") as entry:
            visitor = Visitor(entry)
            visitor.enter()
            visitor.get("/unlock")
            took.append(1_000 * (time.perf_counter() - started))
            visitor.close()
        spent.append(1_000 * (_processor_time() - before))
    # The first one warms the disk's cache.
    yield Row("first page after `panachain portal`, median", statistics.median(took[1:]), "ms", START_GOAL)
    yield Row("processor time of that portal, until its end", statistics.median(spent[1:]), "ms")


def _processor_time() -> float:
    """Return the seconds of all programs that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def pages(home: Path, rounds: int) -> Iterator[Row]:
    """Measure each page of the navigation for everybody."""
    for name, role in PEOPLE.items():
        with visiting(home, name) as visitor:
            weights, elsewhere = {}, 0
            for path in dict.fromkeys(page.path for page in navigation(role)):
                # Asked once before: opening databases, which only the first one does, is the seat's.
                weights[path], others = visitor.weigh(path)
                elsewhere += others
                times = sorted(visitor.timed(path) for _ in range(rounds))
                worst = times[min(len(times) - 1, int(0.95 * len(times)))]
                yield Row(f"{name} {path}, 95th percentile", worst, "ms", PAGE_GOAL)
            heaviest = max(weights, key=lambda path: weights[path])
            yield Row(f"{name}: weight of the heaviest, {heaviest}", weights[heaviest], "bytes", WEIGHT_GOAL)
            yield Row(f"{name}: requests elsewhere of {len(weights)} pages", elsewhere, "", 0)


def load(*, quick: bool) -> Iterator[Row]:
    """Measure an upload of 1 GiB and 50 staff at once."""
    from _portal_load import staff, upload

    sent = upload(size=4, rounds=1) if quick else upload()
    size = f"upload of {sent.size / 2**30:.3g} GiB"
    yield Row(f"{size}: speed, the command line's being 1", sent.ratio, "x", 0.5, at_least=True)
    yield Row(f"{size}: memory that it took", sent.grown / 2**20, "MiB", 100)
    many = staff(people=3, seconds=3, patients=1) if quick else staff()
    at_once = f"{many.staff} staff for {many.seconds:.0f} s"
    yield Row(f"{at_once}: errors of {many.answers:,} answers", many.errors, "", 0)
    yield Row(f"{at_once}: 95th percentile", 1_000 * many.p95, "ms", 500)


def measure(records: int, rounds: int, only: Sequence[str], *, quick: bool) -> Iterator[Row]:
    """Yield each figure as it comes."""
    if {"start", "pages"} & set(only):
        with tempfile.TemporaryDirectory() as place, world(Path(place)) as (network, registrar):
            # Its cheap lock is none that a portal opens.
            _locks.make_usual()
            patient = join(network, registrar, "patient", Role.PATIENT)
            bundles(Path(place) / "bundles", Amount(patients=max(1, records // 100), resources=min(100, records)))
            hospital = _hospital(network)
            hospital.upload([Path(place) / "bundles"], "patient", confirm_patient=True)
            patient.grant("clinician", ["laboratory"], until=int(time.time()) + 30 * 86_400)
            if "start" in only:
                yield from start(network.home, min(5, rounds))
            if "pages" in only:
                yield from pages(network.home, rounds)
    if "load" in only:
        yield from load(quick=quick)


def _hospital(network: Any) -> Any:
    from panachain.sdk import open_actor
    from panachain.sdk.profiles import load_profile

    return open_actor(network, load_profile(network.home, "hospital"), PASSPHRASE)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--records", type=int, default=5_000)
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--only", nargs="+", choices=["start", "pages", "load"], default=["start", "pages", "load"])
    options.add_argument("--json", action="store_true")
    options.add_argument("--quick", action="store_true", help="little of everything: whether it runs")
    given = options.parse_args(arguments)
    if given.quick:
        given.records, given.rounds = 20, 1
    rows = []
    for row in measure(given.records, given.rounds, given.only, quick=given.quick):
        rows.append(row)
        if not given.json:
            goal = "" if row.goal is None else f"{'>=' if row.at_least else '<='} {row.goal:,.10g} {row.unit}"
            met = {None: "", True: "met", False: "SHORT"}[row.met]
            digits = 2 if row.unit == "x" else 1
            print(f"{row.what:58} {row.figure:12,.{digits}f} {row.unit:6} {goal:20} {met}", flush=True)
    if given.json:
        json.dump([asdict(row) | {"met": row.met} for row in rows], sys.stdout, indent=1)


if __name__ == "__main__":
    with running():
        main()
