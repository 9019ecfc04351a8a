"""Junk: what 100 groups and 300 requests of rubbish add to an honest user's `inbox`, `open` and `requests`.

    ./pana bench junk [--groups 100] [--requests 300] [--rounds 9] [--quick]

On a devnet, before and after, medians of processor time. The junk comes from two practitioners whom the registrar
admitted: nobody else reaches the sidechain. Prints how much of it the contracts let in. Timings never fail anything.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from _consent_world import publish
from _measure import row
from _running import running
from records import join, world

from panachain.crypto.keys import Seed
from panachain.errors import TransactionError
from panachain.model.actors import Address, Role
from panachain.sdk import Network, Practitioner
from panachain.storage.blocks import keep

GOAL = 1.2
"""How much longer a call may take."""
_DAY = 86_400


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--groups", type=int, default=100)
    options.add_argument("--requests", type=int, default=300)
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--quick", action="store_true", help="little of everything: whether it runs")
    given = options.parse_args(arguments)
    if given.quick:
        given.groups, given.requests, given.rounds = 2, 2, 1
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("PANA_BENCH_FOLDER")) as place,
        world(Path(place)) as (network, registrar),
    ):
        patient = join(network, registrar, "patient", Role.PATIENT)
        doctor = join(network, registrar, "doctor", Role.PRACTITIONER)
        senders = [join(network, registrar, f"junk-{number}", Role.PRACTITIONER) for number in range(2)]
        publish(network, "patient", 10)
        policy = patient.grant(doctor.address, ["laboratory"], until=int(time.time()) + _DAY)
        doctor.request(patient.address, ["laboratory"])
        calls: dict[str, Callable[[], Any]] = {
            "inbox": lambda: list(doctor.inbox()),
            "open": lambda: list(doctor.open(policy)),
            "requests": patient.requests,
        }
        before = {name: _seconds(call, given.rounds) for name, call in calls.items()}
        groups = _tried(lambda number: _invite(network, senders[number % 2], doctor.address), given.groups)
        requests = _tried(lambda number: senders[number % 2].request(patient.address, ["laboratory"]), given.requests)
        after = {name: _seconds(call, given.rounds) for name, call in calls.items()}
        for sender in senders:
            patient.blocked.add(sender.address)
        blocked = _seconds(calls["requests"], given.rounds)
    row(f"{given.groups} groups, {given.requests} requests of rubbish", f"{groups} and {requests} let in", "", None)
    for name in calls:
        shown = f"{1000 * before[name]:.1f} ms, {1000 * after[name]:.1f} ms"
        ratio = after[name] / before[name]
        row(f"{name}, before and after", shown, f"at most {GOAL} times", ratio, at_least=False, bound=GOAL)
    shown, ratio = f"{1000 * before['requests']:.1f} ms, {1000 * blocked:.1f} ms", blocked / before["requests"]
    row("requests, with both senders blocked", shown, f"at most {GOAL} times", ratio, at_least=False, bound=GOAL)


def _invite(network: Network, sender: Practitioner, victim: Address) -> None:
    """Make a group and list somebody in it, with a secret that nobody stored."""
    chain, paying = network.sidechain.groups, sender._person()
    group = chain.create(paying, keep(network.store, Seed.random().group_keys().encode()).digest)
    chain.add_member(paying, group.address, victim, os.urandom(32))


def _tried(act: Callable[[int], Any], count: int) -> int:
    """Try an act so often, and return how often the chain let it."""
    done = 0
    for number in range(count):
        try:
            act(number)
        except TransactionError:
            continue
        done += 1
    return done


def _seconds(call: Callable[[], Any], rounds: int) -> float:
    """Return the median processor time of a call, after a first one that reads what is new.

    Of this process: what nodes and proxies do doesn't grow with junk, and the machine may be busy.
    """
    times = []
    for _ in range(rounds + 1):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return statistics.median(times[1:])


if __name__ == "__main__":
    with running():
        main()
