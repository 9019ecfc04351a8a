"""Floods: honest openings and grants while strangers attack the proxies and proxies fail, and grants through a relay.

    ./pana bench floods [--seconds 6] [--wraps 64] [--lanes 18] [--whole 3] [--period 2] [--only KIND …]
                        [--places shared apart] [--code FOLDER] [--quick]

Each attack is measured beside the same time without one, just before it, in the same processes. There are two ways to
share this machine. "Shared": three proxies, strangers and honest people take whatever processor is free, so an attack
also takes the processor of whoever is attacked. "Apart": the proxies have one processor, the honest people another one,
where strangers get only what they leave (the lowest priority), which is nearer to machines of their own. Besides
openings and hand-outs, whole grants are measured as a patient waits for them: signed, sent, waited for until a block of
2 s has another one above it, and handed out. Prints tables of medians and ratios; fails nothing. `--code` names a
folder with another version of the package, which is measured in place of this one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from _running import running

if TYPE_CHECKING:
    from _flood_chain import Registry

HERE = Path(__file__).resolve().parent
KINDS = {
    "nobody": "no attack",
    "busy": "no attack, three programs that only compute",
    "deposits": "deposits of 512 lanes whose last is bad",
    "requests": "1,000 capsules whose last is bad, again and again",
    "refused": "refusals of new accounts",
    "slow": "bodies that never come",
    "all": "all of them at three proxies",
    "late": "all of them at two proxies, the third answers 4 s late",
    "drips": "all of them at two proxies, the third sends a byte each 0.1 s",
    "lies": "all of them at two proxies, the third signs false answers",
    "down": "all of them at two proxies, the third is down",
    "relay": "orders without tokens, with false ones, and revocations that the contract refuses",
}
FAULTS = ("late", "drips", "lies", "down")
BAD = 2
"""Which proxy has the fault."""
_LOWEST = 19
"""Priority of strangers, where they aren't to take the processor of those that they attack."""


@dataclass(frozen=True)
class Place:
    """Who gets which processors."""

    name: str
    proxies: frozenset[int]
    people: frozenset[int]
    strangers: int
    """Priority of strangers, as `nice` takes it."""

    def start(self, command: Sequence[str], *, strangers: bool = False) -> subprocess.Popen[str]:
        """Start a program of proxies, or of strangers."""

        def settle() -> None:
            os.sched_setaffinity(0, self.people if strangers else self.proxies)
            if strangers:
                os.nice(self.strangers)

        return subprocess.Popen([sys.executable, *command], text=True, stdout=subprocess.PIPE, preexec_fn=settle)


@dataclass
class Row:
    """What one attack did to one kind of work."""

    usual: list[float] = field(default_factory=list)
    """Seconds without the attack, just before it."""
    attacked: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return the cells of a table."""
        if not self.attacked or not self.usual:
            return f"none of {len(self.failures)} | |"
        usual, median = statistics.median(self.usual), statistics.median(self.attacked)
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return (
            f"{median:.2f} (worst {max(self.attacked):.2f}, of {len(self.attacked)}{failed}) | {median / usual:.1f} |"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=6, help="of each attack")
    options.add_argument("--wraps", type=int, default=64, help="of an opening")
    options.add_argument("--lanes", type=int, default=18, help="of a grant")
    options.add_argument("--whole", type=int, default=3, help="whole grants of each row; 0 leaves their table out")
    options.add_argument("--period", type=int, default=2, help="seconds between two blocks, for whole grants")
    options.add_argument("--code", type=Path, help="folder of the version that is measured")
    options.add_argument("--quick", action="store_true", help="little of everything: whether it runs")
    options.add_argument("--only", choices=list(KINDS), nargs="+", default=list(KINDS))
    options.add_argument("--places", choices=["shared", "apart"], nargs="+", default=["shared", "apart"])
    given = options.parse_args(arguments)
    if given.quick:
        given.seconds, given.wraps, given.lanes, given.period, given.whole = 0.5, 2, 1, 1, min(given.whole, 1)
    if given.code is not None:
        # Everything that measures imports the package too, so it runs anew with the other one first.
        environment = os.environ | {"PYTHONPATH": str(given.code)}
        rest = [argument for argument in sys.argv[1:] if argument not in ("--code", str(given.code))]
        raise SystemExit(subprocess.call([sys.executable, str(Path(__file__)), *rest], env=environment))
    sys.path.insert(0, str(HERE))
    found = {place.name: _measure(place, given) for place in _places() if place.name in given.places}
    proxies, relay = ("opening", "grant"), ("grant through it", "revocation")
    tables: list[tuple[str, tuple[str, ...]]] = [("proxies", proxies), ("relay", relay)]
    if given.whole:
        tables.insert(1, (f"proxies, blocks of {given.period} s", ("whole grant",)))
    for title, works in tables:
        kinds = [kind for kind in KINDS if kind in given.only and (kind == "relay") == (title == "relay")]
        if kinds:
            _table(title, works, kinds, found)


def _places() -> list[Place]:
    every = frozenset(os.sched_getaffinity(0))
    if len(every) == 1:
        return [Place("shared", every, every, 0)]
    first = frozenset(sorted(every)[:1])
    return [Place("shared", every, every, 0), Place("apart", every - first, first, _LOWEST)]


def _measure(place: Place, given: argparse.Namespace) -> dict[tuple[str, str], Row]:
    """Return the rows of one way to share this machine, by attack and work."""
    rows: dict[tuple[str, str], Row] = {}
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, place.people)
    try:
        if any(kind != "relay" for kind in given.only):
            _measure_proxies(place, given, rows)
        if "relay" in given.only:
            _measure_relay(place, given, rows)
    finally:
        os.sched_setaffinity(0, every)
    return rows


def _measure_proxies(place: Place, given: argparse.Namespace, rows: dict[tuple[str, str], Row]) -> None:
    from _flood_honest import Honest

    with tempfile.TemporaryDirectory(prefix="panachain-floods-") as name, ExitStack() as stack:
        folder = Path(name)
        registry = _registry(folder, given.period, stack) if given.whole else None
        with _world(folder, place) as processes:
            honest = Honest(folder, wraps=given.wraps, lanes=given.lanes)
            (folder / "stranger.json").write_text(json.dumps(honest.strangers_policy()))
            honest.warm()
            # The proxy that is down stays down.
            for kind in sorted(set(given.only) - {"relay"}, key=list(KINDS).index):
                usual = honest.measure(time.monotonic() + given.seconds / 3)
                if registry is not None:
                    usual |= honest.measure_whole(registry, given.whole)
                if kind == "down":
                    processes[BAD].kill()
                    processes[BAD].wait()
                elif kind in FAULTS:
                    (folder / f"fault-{BAD}").write_text(kind)
                # A whole grant begins half a block after one, and takes two more blocks at least.
                longer = 3.5 * given.period * given.whole if registry is not None else 0.0
                with _strangers(folder, kind, place, given.seconds + longer) as flood:
                    times = honest.measure(time.monotonic() + given.seconds)
                    if registry is not None:
                        times |= honest.measure_whole(registry, given.whole)
                (folder / f"fault-{BAD}").unlink(missing_ok=True)
                _note(place, kind, usual, times, flood, rows)


def _registry(folder: Path, period: int, stack: ExitStack) -> Registry | None:
    """Start a chain with blocks at intervals; None, with a word on it, where there is no Anvil."""
    from _flood_chain import Registry

    from panachain.errors import ConfigurationError

    try:
        registry = Registry(folder, period)
    except ConfigurationError as exc:
        print(f"whole grants are left out: {exc}", file=sys.stderr)
        return None
    return stack.enter_context(closing(registry))


def _measure_relay(place: Place, given: argparse.Namespace, rows: dict[tuple[str, str], Row]) -> None:
    from _flood_relay import Patients

    with tempfile.TemporaryDirectory(prefix="panachain-floods-") as name:
        folder = Path(name)
        relay = place.start([str(HERE / "_flood_relay.py"), "serve", str(folder)])
        try:
            _await(folder / "relay", relay)
            patients = Patients(folder)
            usual = patients.measure(time.monotonic() + given.seconds / 2)
            command = [str(HERE / "_flood_relay.py"), "flood", str(folder), str(given.seconds + 3)]
            flood = place.start(command, strangers=True)
            _await(folder / "ready-relay", flood)
            time.sleep(min(2.0, given.seconds))
            times = patients.measure(time.monotonic() + given.seconds)
            _note(place, "relay", usual, times, flood, rows)
        finally:
            relay.kill()
            relay.communicate()


def _note(
    place: Place,
    kind: str,
    usual: Mapping[str, tuple[list[float], list[str]]],
    times: Mapping[str, tuple[list[float], list[str]]],
    flood: subprocess.Popen[str] | None,
    rows: dict[tuple[str, str], Row],
) -> None:
    answers = flood.communicate(timeout=120)[0].strip() if flood else ""
    for work, (seconds, failures) in times.items():
        row = rows[kind, work] = Row(usual[work][0], seconds, failures)
        before = " ".join(f"{one:.2f}" for one in row.usual)
        print(f"{place.name}: {kind}: {work}: {row.text()} before: {before} {failures[:1]}", file=sys.stderr)
    if answers:
        print(f"    strangers were answered: {answers}", file=sys.stderr, flush=True)


def _table(
    title: str, works: Sequence[str], kinds: Sequence[str], found: Mapping[str, Mapping[tuple[str, str], Row]]
) -> None:
    """Print a table in Markdown; its first column can be read as plain text too."""
    columns = [(place, work) for place in found for work in works]
    print(f"\nat the {title} | " + " | ".join(f"{work}, {place} | ×" for place, work in columns) + " |")
    print("|".join(["---"] * (1 + 2 * len(columns))) + "|")
    for kind in kinds:
        cells = [found[place][kind, work].text() if (kind, work) in found[place] else "| |" for place, work in columns]
        print(f"{KINDS[kind]} | {' '.join(cells)}", flush=True)


@contextmanager
def _world(folder: Path, place: Place) -> Iterator[list[subprocess.Popen[str]]]:
    from _flood_honest import GRANTEE, STRANGER
    from _flood_world import PROXIES

    from panachain.chain.signing import Account
    from panachain.crypto.keys import Seed

    people = [Account(key).address for key in (GRANTEE, STRANGER)]
    (folder / "people.json").write_text(json.dumps(people))
    processes = []
    for number in range(PROXIES):
        (folder / f"seed-{number}").write_bytes(Seed.random().reveal())
        processes.append(place.start([str(HERE / "_flood_world.py"), str(folder), str(number)]))
    try:
        for number, process in enumerate(processes):
            _await(folder / f"port-{number}", process)
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _await(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        if time.monotonic() > deadline or process.poll() is not None:
            raise RuntimeError(f"{path.name} isn't there within a minute")
        time.sleep(0.05)


@contextmanager
def _strangers(folder: Path, kind: str, place: Place, seconds: float) -> Iterator[subprocess.Popen[str] | None]:
    if kind == "nobody":
        yield None
        return
    if kind == "busy":
        # Proxies under attack compute all the time, and here they share their processors with whoever measures.
        spinning = [place.start(["-c", "while True: pass"]) for _ in range(3)]
        try:
            yield None
        finally:
            for process in spinning:
                process.kill()
                process.communicate()
        return
    attacked = [number for number in range(3) if kind not in FAULTS or number != BAD]
    attack = "all" if kind in FAULTS else kind
    ready = folder / f"ready-{attack}"
    ready.unlink(missing_ok=True)
    command = [str(HERE / "_flood_strangers.py"), str(folder), attack, str(seconds + 3), *map(str, attacked)]
    flood = place.start(command, strangers=True)
    _await(ready, flood)
    time.sleep(min(3.0, seconds))
    yield flood


if __name__ == "__main__":
    with running():
        main()
