"""Two devnets that do the same: one is empty beside its own actors, the other has a country's policies beside them.

Real: both chains and their blocks, contracts, proxies as processes, actors, records, policies, openings, and all code
that is measured. Synthetic: the others' events. They are put into the copies of the grown chain (the user's and each
proxy's) by the followers' own tables, into real blocks that Anvil made for them, since Anvil takes hours for a million
transactions; no receipts stand behind them. Their policies have announcements of real keys and the terms of one real
stranger's policy; their hospitals aren't registered.
"""

from __future__ import annotations

import itertools
import os
import random
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from _consent_keys import CATEGORIES, LANES
from _consent_world import publish
from commands import session, settle
from records import Amount, bundles, join, world

from panachain.chain import anvil
from panachain.chain.abi import contract
from panachain.chain.block_receipts import Log
from panachain.crypto import notice, umbral
from panachain.devnet import Devnet
from panachain.follow.follower import Follower
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import PolicyId, Role

_PLACE = 1000
"""Where synthetic logs begin in a block: above all places of real ones."""
_AT_ONCE = 50_000
"""Synthetic logs that one transaction puts in."""
_MINED = 20
"""Blocks that Anvil makes in one call."""
_DEEP = 80
"""Blocks that follow: more than reorganisations go deep."""
_HOSPITALS = 100
_KEYS = 512
"""Announcements of strangers that differ; view tags and policies differ in each."""
_DAYS = 30 * 86_400


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    policies: int = 1_000_000
    """Of strangers."""
    storage: int = 100_000
    """Storage transactions of strangers."""
    blocks: int = 200
    """Of both chains, over which the strangers' events are spread on one of them; Anvil keeps the state of each."""
    density: int = 2
    """Policies of strangers in each later block, also while calls are measured: of 12 s, five million a year."""
    own: int = 10
    """Policies of the actor who has few."""
    records: int = LANES
    """Of them: one for each category."""
    times: int = 10
    """Times as many policies and records of the actor who has many."""
    rounds: int = 7


@dataclass(frozen=True)
class Arm:
    """One of the devnets."""

    name: str
    home: Path
    network: Any
    patients: dict[str, Any]
    """By what they own: `few` and, on the grown chain, `many`."""
    policies: dict[str, Any] = field(default_factory=dict)
    """The policy that is opened, by whose it is."""
    later: Iterator[None] = field(default_factory=lambda: itertools.repeat(None))
    """Puts strangers' policies into the blocks that came since, each time it is asked for the next item."""


@dataclass(frozen=True)
class Took:
    """What one call took."""

    wall: float
    """Milliseconds."""
    cpu: float
    """Milliseconds of this process."""
    services: float
    """Milliseconds of the proxies' processes and those that they started; in ticks of 10."""
    events: int
    """Events that were read from the copies of the chains."""
    found: int
    """Items that were returned."""


Call = Callable[[Any], Sequence[Any]]


@contextmanager
def arms(folder: Path, size: Size) -> Iterator[list[Arm]]:
    """Run both devnets, with the same actors at work."""
    with ExitStack() as stack:
        made = []
        for name in ("empty", "grown"):
            place = folder / name
            place.mkdir()
            network, registrar = stack.enter_context(world(place))
            # The same actors and records on both; on the empty one who has many policies has none, and isn't measured.
            owners = ("few", "many") if name == "grown" else ("few",)
            patients = {owner: join(network, registrar, f"patient-{owner}", Role.PATIENT) for owner in ("few", "many")}
            for owner in patients:
                join(network, registrar, f"doctor-{owner}", Role.PRACTITIONER)
                publish(network, f"patient-{owner}", size.records * (size.times if owner == "many" else 1))
            arm = Arm(name, network.home, network, {owner: patients[owner] for owner in owners})
            for owner in owners:
                _grant_own(arm, owner, size)
            stranger = join(network, registrar, "stranger", Role.PATIENT)
            terms = _terms(network, stranger)
            # Both chains are as long; only what stands in the blocks differs.
            first = network.mainchain.source.head().number + 1
            for _ in range(0, size.blocks + _DEEP, _MINED):
                anvil.mine_many(network.mainchain.rpc, _MINED)
            if name == "grown":
                last = first + size.blocks - 1
                grow(network, size, terms, range(first, last + 1))
                arm = replace(arm, later=_later(network, size, terms, last + 1))
            made.append(arm)
        yield made


def _grant_own(arm: Arm, owner: str, size: Size) -> None:
    for _ in range(size.own * (size.times if owner == "many" else 1)):
        settle(arm.network)
        policy = arm.patients[owner].grant(f"doctor-{owner}", [CATEGORIES[0].value], until=int(time.time()) + _DAYS)
        arm.policies.setdefault(owner, policy.policy_id)


def _terms(network: Any, stranger: Any) -> bytes:
    """Return the digest of the terms of a stranger's policy to somebody who isn't measured."""
    settle(network)
    policy = stranger.grant("clinician", [CATEGORIES[0].value], until=int(time.time()) + _DAYS)
    (event,) = network.mainchain.policies.events(policy_ids=[policy.policy_id], kind="PolicyGranted")
    # It is there, as everybody's terms are in a public store.
    network.store.get_block(CID(RAW, event.terms))
    return bytes(event.terms)


# Others' events


def grow(network: Any, size: Size, terms: bytes, blocks: range) -> None:
    """Put the others' events into the user's copy and each proxy's."""
    source: Follower = network.mainchain.source
    source.sync()
    logs = strangers(network, size, terms, blocks)
    while piece := list(itertools.islice(logs, _AT_ONCE)):
        with source._database.writing() as writing:
            source._tables.add(writing, [], piece)
    where = source._where
    assert isinstance(where, Path)
    with sqlite3.connect(where, timeout=120) as own:
        own.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    own.close()
    for path in sorted(network.home.glob(f"devnet/proxy-*/follow/{where.name}")):
        # No more than a devnet's proxies share a file by: SQLite's own lock.
        with sqlite3.connect(path, timeout=120) as database:
            database.execute("ATTACH ? AS grown", (str(where),))
            database.execute("INSERT INTO log SELECT * FROM grown.log WHERE place >= ?", (_PLACE,))
        # Into the file itself, where it would be by now if it had come bit by bit.
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        database.close()


def _later(network: Any, size: Size, terms: bytes, start: int) -> Iterator[None]:
    """Put strangers' policies into each block from `start` on, as far as the chain goes when the next item is asked."""
    source: Follower = network.mainchain.source
    while True:
        head = source.sync().number
        blocks = range(start, head + 1)
        some = replace(size, policies=size.density * len(blocks), storage=0)
        with source._database.writing() as writing:
            source._tables.add(writing, [], strangers(network, some, terms, blocks) if some.policies else ())
        start = head + 1
        yield


def strangers(network: Any, size: Size, terms: bytes, blocks: range) -> Iterator[Log]:
    """Yield the logs of strangers' policies and storage transactions, spread evenly over some blocks."""
    chance = random.Random(blocks.start)
    policies, ledger = network.mainchain.policies.address, network.mainchain.ledger.address
    granted = bytes.fromhex(contract("PolicyRegistry").topic("PolicyGranted")[2:])
    stored = bytes.fromhex(contract("RecordLedger").topic("RecordsStored")[2:])
    policy = PolicyId(policies)
    shown = [notice.announce(umbral.SecretKey.random().public, policy)[0] for _ in range(min(_KEYS, size.policies))]
    hospitals = [chance.randbytes(20).rjust(32, b"\0") for _ in range(min(_HOSPITALS, size.storage))]
    addresses = bytes.fromhex(policies[2:]), bytes.fromhex(ledger[2:])
    topics: tuple[bytes, ...]
    now = int(time.time())
    for offset, number in enumerate(blocks):
        place = _PLACE
        for _ in _share(size.policies, offset, len(blocks)):
            # The window: start, end, deadline and view tag (docs/spec/formats.md, "Words").
            window = now | (now + _DAYS) << 48 | (now + 3600) << 96 | chance.randrange(256) << 144
            data = window.to_bytes(32, "big") + terms + chance.choice(shown)
            topics = granted, chance.randbytes(20).rjust(32, b"\0")
            yield Log(addresses[0], topics, data, number, "", "0x" + chance.randbytes(32).hex(), place)
            place += 1
        for index in _share(size.storage, offset, len(blocks)):
            hospital, sequence = hospitals[index % len(hospitals)], 1 + index // len(hospitals)
            topics = stored, hospital, sequence.to_bytes(32, "big")
            data = chance.randbytes(32) + (100).to_bytes(32, "big") + chance.randbytes(32)
            yield Log(addresses[1], topics, data, number, "", "0x" + chance.randbytes(32).hex(), place)
            place += 1


def _share(count: int, offset: int, blocks: int) -> range:
    return range(count * offset // blocks, count * (offset + 1) // blocks)


# What calls take


def timed(arm: Arm, name: str, act: Call) -> Took:
    """Return what a call takes, by a new session over a network that was opened anew."""
    pids = [proxy.pid for proxy in Devnet.status(arm.home).proxies]
    with session(arm.home, name) as actor, _events() as read:
        before = _ticks(pids)
        wall, cpu = time.perf_counter(), time.process_time()
        found = len(act(actor))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return Took(1000 * wall, 1000 * cpu, _ticks(pids) - before, read[0], found)


@contextmanager
def _events() -> Iterator[list[int]]:
    """Count the events that are read from a copy."""
    read, events = [0], Follower.events

    def counted(self: Follower, *given: Any, **named: Any) -> Iterator[Any]:
        for event in events(self, *given, **named):
            read[0] += 1
            yield event

    Follower.events = counted  # type: ignore[method-assign]
    try:
        yield read
    finally:
        Follower.events = events  # type: ignore[method-assign]


def _ticks(pids: Sequence[int]) -> float:
    """Return the milliseconds of processor time that some processes took, and those that they started."""
    spent = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # What ends meanwhile is none of a proxy's.
            fields = path.read_text().rpartition(")")[2].split()
            if int(path.parent.name) in pids or int(fields[1]) in pids:
                spent += int(fields[11]) + int(fields[12])
    return 1000 * spent / os.sysconf("SC_CLK_TCK")


def calls(arm: Arm, owner: str) -> dict[str, tuple[str, Call]]:
    """Return the calls that are measured, each with who makes it."""
    patient, doctor = f"patient-{owner}", f"doctor-{owner}"
    opened = arm.policies[owner]
    return {
        "inbox": (doctor, lambda actor: list(actor.inbox())),
        "open": (doctor, lambda actor: list(actor.open(opened))),
        "policies": (patient, lambda actor: list(actor.policies())),
        "records": (patient, lambda actor: list(actor.records())),
        "log": (patient, lambda actor: list(actor.receipts())),
    }


def measure(made: Sequence[Arm], rounds: int) -> list[dict[str, Any]]:
    """Return a row for each command, devnet and number of own things; the devnets take turns."""
    who = [(arm, owner) for arm in made for owner in arm.patients]
    took: dict[tuple[str, str, str], list[Took]] = {}
    for _ in range(1 + rounds):
        for arm in made:
            next(arm.later)
        for command in ("inbox", "open", "policies", "records", "log"):
            for arm, owner in who:
                name, act = calls(arm, owner)[command]
                took.setdefault((command, arm.name, owner), []).append(timed(arm, name, act))
    return [
        {
            "command": command,
            "chain": chain,
            "own": owner,
            "found": some[-1].found,
            "first_cpu_ms": round(some[0].cpu, 1),
            "first_events": some[0].events,
            **_least(some[1:]),
        }
        for (command, chain, owner), some in took.items()
    ]


def _least(some: Sequence[Took]) -> dict[str, Any]:
    # The least of some is what other work on the machine disturbs least.
    return {
        "cpu_ms": round(min(one.cpu for one in some), 1),
        "cpu_median_ms": round(statistics.median(one.cpu for one in some), 1),
        "wall_ms": round(min(one.wall for one in some), 1),
        "proxies_cpu_ms": round(statistics.mean(one.services for one in some), 1),
        "events": some[-1].events,
    }


def ratios(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return how many times as much each command takes beside everybody's, and with more of one's own."""
    by = {(row["command"], row["chain"], row["own"]): row for row in rows}
    found = []
    for command in dict.fromkeys(row["command"] for row in rows):
        base, grown, many = (by[command, *key] for key in (("empty", "few"), ("grown", "few"), ("grown", "many")))
        found.append(
            {
                "command": command,
                "grown_cpu": round(grown["cpu_ms"] / base["cpu_ms"], 2),
                "grown_wall": round(grown["wall_ms"] / base["wall_ms"], 2),
                "grown_goal": 1.2,
                "many_cpu": round(many["cpu_ms"] / grown["cpu_ms"], 2),
                "many_wall": round(many["wall_ms"] / grown["wall_ms"], 2),
                "many_goal": 10,
            }
        )
    return found


# Publishing, granting, opening


def steps(arm: Arm, folder: Path, rounds: int, resources: int) -> dict[str, float]:
    """Return this process's processor milliseconds for an upload, a grant of 12 lanes and an opening of all records."""
    bundles(folder / "steps", Amount(patients=rounds, resources=resources))
    spent: dict[str, list[float]] = {"publish": [], "grant": [], "open": []}
    until = int(time.time()) + _DAYS
    for number in range(rounds):
        with session(arm.home, "hospital") as hospital:
            file = folder / "steps" / f"{number:03}.json"
            _, took = _cpu(lambda: hospital.upload([file], "patient-few"))  # noqa: B023
            spent["publish"].append(took)
        settle(arm.network)
        with session(arm.home, "patient-few") as patient:
            words = [category.value for category in CATEGORIES]
            policy, took = _cpu(lambda: patient.grant("clinician", words, until=until))  # noqa: B023
            spent["grant"].append(took)
        with session(arm.home, "clinician") as doctor:
            opened, took = _cpu(lambda: list(doctor.open(policy.policy_id)))  # noqa: B023
            spent["open"].append(took / len(opened))
    return {
        "publish_cpu_ms": round(min(spent["publish"]), 1),
        "grant_cpu_ms": round(min(spent["grant"]), 1),
        "open_cpu_ms_a_record": round(min(spent["open"]), 3),
        "records": len(opened),
        "resources": resources,
    }


def _cpu(act: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    found = act()
    return found, 1000 * (time.process_time() - started)
