"""What `inbox`, `open`, `policies`, `log` and `records` cost beside everybody's policies and many of one's own.

    ./pana bench commands [--foreign 2000] [--own 20 200] [--rounds 5] [--code FOLDER] [--json] [--quick]

On a devnet whose proxies are processes of their own. Each call is made by a new session over a network that was opened
anew, as a command's is, without unlocking the key store: the first of its kind, and the median of those after it.
"log, something new" is the call after an opening, which two proxies or more signed.
`--code` measures another version of the package. Timings never fail anything.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from _running import running

DAY = 86_400
AHEAD = 60
"""Seconds that the chain, which makes a block for each transaction, may be ahead of the clock."""
BATCH = 50
"""Grants of strangers in one transaction."""


@dataclass(frozen=True)
class Row:
    """What calls took, in milliseconds."""

    command: str
    own: int
    """Policies of the patient's own."""
    foreign: int
    found: int
    """Items that the call returned."""
    first_wall: float
    first_cpu: float
    wall: float
    """Median of the calls after the first one."""
    cpu: float


@contextmanager
def session(home: Path, name: str) -> Iterator[Any]:
    """Open a network and an actor as a command does."""
    from records import PASSPHRASE

    from panachain.config import Config
    from panachain.sdk import Network, open_actor
    from panachain.sdk.profiles import load_profile

    with Network.open(Config.load({"home": str(home)}, {})) as network:
        yield open_actor(network, load_profile(home, name), PASSPHRASE)


def timed(home: Path, name: str, act: Callable[[Any], Sequence[Any]]) -> tuple[int, float, float]:
    """Return how many items a call returned, and its milliseconds by the clock and of this process."""
    with session(home, name) as actor:
        wall, cpu = time.perf_counter(), time.process_time()
        found = len(act(actor))
        return found, 1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu)


def row(
    home: Path, command: str, name: str, act: Callable[[Any], Sequence[Any]], own: int, foreign: int, rounds: int
) -> Row:
    """Measure one command."""
    first, *others = [timed(home, name, act) for _ in range(1 + rounds)]
    walls, cpus = [one[1] for one in others], [one[2] for one in others]
    return Row(command, own, foreign, *first, statistics.median(walls), statistics.median(cpus))


def settle(network: Any) -> None:
    """Wait until the chain isn't far ahead of the clock any more."""
    while network.mainchain.head_block().time > time.time() + AHEAD:
        time.sleep(0.5)


def grant_strangers(network: Any, payer: Any, count: int) -> None:
    """Put policies of strangers to strangers on chain."""
    from panachain.chain.signing import Account
    from panachain.crypto import notice, umbral
    from panachain.model.actors import PolicyId
    from panachain.model.transactions import Grant

    registry = network.mainchain.policies
    for start in range(0, count, BATCH):
        settle(network)
        signed = []
        for _ in range(start, min(start + BATCH, count)):
            owner = Account(os.urandom(32))
            policy_id = PolicyId(owner.address)
            shown, tag = notice.announce(umbral.SecretKey.random().public, policy_id)
            now = network.mainchain.head_block().time
            times = now, now + DAY, now + 3600
            grant = Grant(policy_id, *times, terms=os.urandom(32), view_tag=tag, announcement=shown)
            signed.append((grant, registry.sign_grant(owner, grant)))
        registry.grant_batch(payer, signed)


def measure(foreign: int, owns: Sequence[int], rounds: int) -> list[Row]:
    """Return the rows for each number of own policies."""
    from _consent_world import publish
    from records import PASSPHRASE, join, world

    from panachain.model.actors import Role
    from panachain.sdk.profiles import load_profile, unlock

    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("PANA_BENCH_FOLDER")) as place,
        world(Path(place)) as (
            network,
            registrar,
        ),
    ):
        home = network.home
        patient = join(network, registrar, "patient", Role.PATIENT)
        doctor = join(network, registrar, "doctor", Role.PRACTITIONER)
        publish(network, "patient", 10)
        payer = network.sender(unlock(load_profile(home, "hospital"), PASSPHRASE).account_key())
        grant_strangers(network, payer, foreign)
        made: list[Any] = []
        for own in sorted(owns):
            while len(made) < own:
                settle(network)
                made.append(patient.grant(doctor.address, ["laboratory"], until=int(time.time()) + 30 * DAY))
            settle(network)
            opened = made[0].policy_id

            def opening(actor: Any, policy: Any = opened) -> list[Any]:
                return list(actor.open(policy))

            calls: list[tuple[str, str, Callable[[Any], Sequence[Any]]]] = [
                ("inbox", "doctor", lambda actor: list(actor.inbox())),
                ("open", "doctor", opening),
                ("policies", "patient", lambda actor: list(actor.policies())),
                ("records", "patient", lambda actor: list(actor.records())),
                ("log", "patient", lambda actor: list(actor.receipts())),
            ]
            rows += [row(home, *call, own, foreign, rounds) for call in calls]
            rows.append(news(home, opening, own, foreign, rounds))
    return rows


def news(home: Path, opening: Callable[[Any], Sequence[Any]], own: int, foreign: int, rounds: int) -> Row:
    """Measure `log` after each of some openings."""
    took = []
    for _ in range(rounds):
        timed(home, "doctor", opening)
        took.append(timed(home, "patient", lambda actor: list(actor.receipts())))
    walls, cpus = [one[1] for one in took], [one[2] for one in took]
    median = statistics.median(walls), statistics.median(cpus)
    return Row("log, something new", own, foreign, took[-1][0], walls[0], cpus[0], *median)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--foreign", type=int, default=2000, help="policies of strangers")
    options.add_argument("--own", type=int, nargs="+", default=[20, 200], help="policies of the patient's own")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--code", type=Path, help="folder of the version that is measured")
    options.add_argument("--json", action="store_true")
    options.add_argument("--quick", action="store_true", help="little of everything: whether it runs")
    given = options.parse_args(arguments)
    if given.code is not None:
        environment = os.environ | {"PYTHONPATH": str(given.code)}
        passed = [argument for argument in sys.argv[1:] if argument not in ("--code", str(given.code))]
        raise SystemExit(subprocess.call([sys.executable, __file__, *passed], env=environment))
    if given.quick:
        given.foreign, given.own, given.rounds = 3, [2], 1
    rows = measure(given.foreign, given.own, given.rounds)
    if given.json:
        json.dump([asdict(one) for one in rows], sys.stdout, indent=1)
        return
    print(f"{'command':20} {'own':>5} {'foreign':>8} {'found':>6} {'first, ms (CPU)':>20} {'then, ms (CPU)':>20}")
    for one in rows:
        first, then = f"{one.first_wall:,.0f} ({one.first_cpu:,.0f})", f"{one.wall:,.0f} ({one.cpu:,.0f})"
        print(f"{one.command:20} {one.own:5} {one.foreign:8} {one.found:6} {first:>20} {then:>20}")


if __name__ == "__main__":
    with running():
        main()
