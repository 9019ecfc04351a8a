"""Umbral on libsecp256k1 against nucypher-core, step by step; what the time of a multiplication tells of its scalar.

    ./pana bench umbral [--rounds 200] [--threads 2] [--quick]

Prints medians of processor time, both in turns in one process, so that both see the same machine; then how much two
threads do; then, for secret scalars of two classes (three bits set, random), Welch's t of the functions secrets meet
and of the one that they must not, as dudect takes it, each beside a control of two equal classes. Fails nothing: a t
beyond 4.5 in either direction is what dudect calls a leak, if the control's isn't as far out.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import nucypher_core
from _running import running
from nucypher_core import umbral as nucypher

from panachain.crypto.umbral import scheme
from panachain.secp256k1 import ORDER, Scalar


def steps(library: Any, kits: Any) -> dict[str, Callable[[], object]]:
    """Return each step of a delegation, as one implementation does it."""
    lane, grantee, signing = (library.SecretKey.random() for _ in range(3))
    signer = library.Signer(signing)
    keys = signing.public_key(), lane.public_key(), grantee.public_key()
    kit = kits.MessageKit(keys[1], bytes(32), None)
    capsule = kit.capsule
    made = library.generate_kfrags(lane, keys[2], signer, 2, 3, True, True)
    encoded = [bytes(one) for one in made]
    kfrags = [library.KeyFrag.from_bytes(one).verify(*keys) for one in encoded]
    cfrags = [library.reencrypt(capsule, one) for one in kfrags]
    answers = [bytes(one) for one in cfrags]
    read = [library.CapsuleFrag.from_bytes(one).verify(capsule, *keys) for one in answers[:2]]
    # So many that none is only looked up.
    raw = itertools.cycle([bytes(kits.MessageKit(keys[1], bytes(32), None).capsule) for _ in range(32)])

    def deposit() -> None:
        # A kfrag that comes is new: nothing of it was checked before. Ours has one signature twice (ADR 63).
        scheme.check_signed.cache_clear()
        library.KeyFrag.from_bytes(encoded[0]).verify(*keys)

    def duty() -> bytes:
        parsed = library.Capsule.from_bytes(next(raw))
        return bytes(library.reencrypt(parsed, kfrags[0]).unverify().verify(parsed, *keys))

    return {
        "wrap": lambda: kits.MessageKit(keys[1], bytes(32), None),
        "kfrags, 2 of 3": lambda: library.generate_kfrags(lane, keys[2], signer, 2, 3, True, True),
        "check a kfrag": deposit,
        "parse and check a capsule": lambda: library.Capsule.from_bytes(next(raw)),
        "re-encrypt": lambda: library.reencrypt(capsule, kfrags[0]),
        "check an own cfrag": lambda: cfrags[0].unverify().verify(capsule, *keys),
        "check another's cfrag": lambda: library.CapsuleFrag.from_bytes(answers[0]).verify(capsule, *keys),
        "open with two cfrags": lambda: kit.decrypt_reencrypted(grantee, keys[1], read),
        "a proxy's whole duty": duty,
    }


def compare(rounds: int) -> None:
    """Print the median of each step, and how many times faster ours is."""
    ours, theirs = steps(scheme, scheme), steps(nucypher, nucypher_core)
    print(f"processor time, median of {rounds}, in turns")
    for name in ours:
        taken: dict[str, list[float]] = {"ours": [], "theirs": []}
        for _ in range(rounds):
            for which, one in (("ours", ours[name]), ("theirs", theirs[name])):
                started = time.thread_time()
                one()
                taken[which].append(time.thread_time() - started)
        mine, other = (1e6 * statistics.median(taken[which]) for which in ("ours", "theirs"))
        print(f"  {name:28} {mine:6.0f} us   nucypher-core {other:6.0f} us   {other / mine:5.2f} x")


def threads(count: int, rounds: int) -> None:
    """Print how much more several threads do than one, by the clock."""
    duty = steps(scheme, scheme)["a proxy's whole duty"]

    def work(_: int) -> None:
        for _ in range(rounds):
            duty()

    def rate(number: int) -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(number) as pool:
            list(pool.map(work, range(number)))
        return number * rounds / (time.perf_counter() - started)

    rates = [(rate(1), rate(count)) for _ in range(5)]
    one, many = (statistics.median(column) for column in zip(*rates, strict=True))
    print(f"\n  {count} threads: {many:.0f} duties/s, one thread {one:.0f}   {many / one:5.2f} x")


BATCH: Final = 500
"""Calls whose scalars are made beforehand."""
CROPS: Final = 20
"""Thresholds above which measurements are left out, as dudect does; and none."""


def welch(one: list[int], other: list[int]) -> float:
    """Return Welch's t of two samples."""
    spread = sum(statistics.variance(sample) / len(sample) for sample in (one, other))
    return (statistics.fmean(one) - statistics.fmean(other)) / spread**0.5 if spread else 0.0


def largest(times: list[list[int]]) -> float:
    """Return the t that is farthest from 0 among those of all measurements and of those below some thresholds.

    A threshold is one of all measurements, not of each class: were the slowest of each class left out by themselves,
    the variance of what stays would be too small for its mean, and t too large. As dudect does (Reparaz, Balasch,
    Verbauwhede, "Dude, is my code constant time?", 2017, section III).
    """
    pooled = sorted(times[0] + times[1])
    found = [welch(*times)]
    for number in range(CROPS):
        most = pooled[min(len(pooled) - 1, int(len(pooled) * (1 - 0.5 ** (10 * (number + 1) / CROPS))))]
        kept = [[taken for taken in one if taken <= most] for one in times]
        if min(map(len, kept)) > 1:
            found.append(welch(*kept))
    return max(found, key=abs)


def leakage(samples: int) -> None:
    """Print Welch's t of two classes of scalars, for the functions that secrets meet and for one that they must not.

    Each call has a scalar of its own. Its class is drawn when it is made, so that neither its place in memory nor what
    runs beside it tells the class; few scalars come twice in either class, since a processor learns what repeats. The
    control is the same measurement of two classes that are the same.
    """
    source = random.Random(1)
    point = Scalar.random().public()
    few = (lambda: sum(1 << at for at in source.sample(range(255), 3)), lambda: source.randrange(1, ORDER))
    same = (few[1], few[1])
    ways: dict[str, tuple[Callable[[Any], object], Callable[[bytes], Any]]] = {
        "secp256k1_ecdh (secrets meet it)": (lambda scalar: scalar.times(point), Scalar),
        "secp256k1_ec_pubkey_create (secrets meet it)": (lambda scalar: scalar.public(), Scalar),
        "secp256k1_ec_pubkey_tweak_mul (they must not)": (point.times, bytes),
    }
    print(
        f"\nWelch's t, {2 * samples} calls, each of a class that is drawn; the largest of {CROPS} thresholds and none"
    )
    for title, (call, made) in ways.items():
        told = []
        for classes in (few, same):
            times: list[list[int]] = [[], []]
            for start in range(0, 2 * samples, BATCH):
                drawn = [source.randrange(2) for _ in range(min(BATCH, 2 * samples - start))]
                scalars = [made(classes[which]().to_bytes(32, "big")) for which in drawn]
                gc.disable()
                for which, scalar in zip(drawn, scalars, strict=True):
                    started = time.perf_counter_ns()
                    call(scalar)
                    times[which].append(time.perf_counter_ns() - started)
                gc.enable()
            told.append((largest(times), [statistics.median(one) / 1000 for one in times]))
        (t, (mine, other)), (control, _) = told
        print(f"  {title:46} t = {t:7.1f}   control {control:5.1f}   {mine:6.1f} us, {other:6.1f} us")


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    options.add_argument("--rounds", type=int, default=200)
    options.add_argument("--threads", type=int, default=os.cpu_count() or 2)
    options.add_argument("--quick", action="store_true")
    given = options.parse_args()
    rounds = 20 if given.quick else given.rounds
    compare(rounds)
    threads(given.threads, rounds)
    leakage(50 * rounds)


if __name__ == "__main__":
    with running():
        main()
