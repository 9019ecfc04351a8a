"""Proxies: re-encryptions per second over HTTP against a bare loop, and openings with a proxy that is dead or slow.

    python benchmarks/_proxy.py [--rounds 3]

Prints figures and ratios, and fails nothing. The devnet's chains, gate and proxies are real; the bare loop is
nucypher_core alone on objects in memory, in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import nucypher_core

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _measure import row

from panachain.chain import anvil
from panachain.chain.typed import proxy_domain, sign_request
from panachain.config import Config
from panachain.crypto import umbral
from panachain.devnet import Devnet
from panachain.model.actors import Role
from panachain.model.policy import Terms
from panachain.model.proxy_requests import ReencryptRequest
from panachain.proxy import messages
from panachain.sdk import Network, open_actor
from panachain.sdk.profiles import create_profile, load_profile
from panachain.sdk.proxies import Proxies, Reader

PASSPHRASE = "correct horse battery staple"  # noqa: S105
BATCH, BATCHES = 500, 8
_MORE = 8
"""Times as many rounds for what is quick: waiting for the disk makes it uneven."""
UNCHECKED = """
import sys
from pathlib import Path
from panachain.crypto import umbral
def unchecked(capsules, kfrag, **_):
    return [bytes(umbral._umbral.reencrypt(umbral._capsule(capsule), kfrag._inner)) for capsule in capsules]
umbral.reencrypt_many = unchecked
from panachain.service.proxy.run import run_proxy
run_proxy(Path(sys.argv[1]), Path(sys.argv[2]).read_text())
"""
"""A proxy that doesn't verify its own cfrags: what that duty costs."""
SLOW = """
import sys, time
from pathlib import Path
from panachain.service.proxy.service import ProxyService
served = ProxyService.reencrypt
def slowly(self, request):
    time.sleep(2)
    return served(self, request)
ProxyService.reencrypt = slowly
from panachain.service.proxy.run import run_proxy
run_proxy(Path(sys.argv[1]), Path(sys.argv[2]).read_text())
"""


def main() -> None:
    """Print both tables."""
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--only", choices=["throughput", "openings"])
    given = options.parse_args()
    # So that the devnet ends, too, when this program is told to.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(dir=os.environ.get("PANA_BENCH_FOLDER")) as place, granted(Path(place)) as bench:
        if given.only != "openings":
            throughput(bench, given.rounds)
        if given.only != "throughput":
            openings(bench, 3 * given.rounds)


class Bench:
    """A devnet with one policy, whose first proxy is started as a measurement needs it."""

    def __init__(self, home: Path, network: Network, reader: Reader, terms: Terms) -> None:
        self.home = home
        self.network = network
        self.reader = reader
        self.terms = terms
        mainchain = network.mainchain
        self.domain = proxy_domain(mainchain.chain_id, mainchain.policies.address)
        self.first = Devnet.status(home).proxies[0]
        self.process: subprocess.Popen[bytes] | None = None

    def start_first(self, *, code: str = "", workers: int = 1) -> None:
        """Start the first proxy anew."""
        self.stop_first()
        place = self.home / "devnet" / "proxy-1"
        config = json.loads((place / "proxy.json").read_bytes())
        # No limit is what is measured.
        config |= {"workers": workers, "ratePerSender": 1_000_000, "ratePerAddress": 0}
        (place / "proxy.json").write_text(json.dumps(config))
        secret = self.home / "devnet" / "proxies.pass"
        ours = ["-m", "panachain.cli", "proxy", "serve", "--config", str(place / "proxy.json")]
        self.process = subprocess.Popen(
            [sys.executable, *(["-c", code, str(place / "proxy.json"), str(secret)] if code else ours)],
            env=os.environ | {"PANACHAIN_PASSPHRASE_FILE": str(secret)},
            stdin=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.first.endpoint}/readyz", timeout=5, trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                # Not listening yet.
                time.sleep(0.05)
        raise RuntimeError("the first proxy didn't start")

    def stop_first(self) -> None:
        """Stop the first proxy."""
        if self.process is None:
            anvil.stop(self.first.pid)
            return
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    def workers(self) -> list[int]:
        """Return the process IDs of the first proxy's workers."""
        assert self.process is not None
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(child) for child in listed.split()]

    def requests(self, count: int, size: int) -> list[bytes]:
        """Return signed requests to the first proxy, each with new capsules."""
        lane = self.terms.lanes[0].delegating_key
        made = []
        for _ in range(count):
            capsules = tuple(umbral.capsule_of(umbral.wrap(lane, os.urandom(32))) for _ in range(size))
            unsigned = ReencryptRequest(
                self.terms.proxies[0].address,
                self.terms.policy_id,
                self.reader.grantee,
                self.reader.requester.address,
                self.terms.purposes[0],
                0,
                capsules,
                int(time.time()) + 59,
                os.urandom(16),
            )
            signed = sign_request(self.reader.requester, self.domain, unsigned)
            made.append(messages.canonical(messages.reencrypt_fields(signed)))
        return made


@contextmanager
def granted(folder: Path) -> Iterator[Bench]:
    """Run a devnet in which a patient granted one lane to a practitioner."""
    home = folder / "home"
    Devnet.up(home, passphrase=PASSPHRASE)
    bench: Bench | None = None
    try:
        with Network.open(Config.load({"home": str(home)}, {})) as network:
            people: dict[str, Any] = {}
            for name, role in (("patient", Role.PATIENT), ("clinician", Role.PRACTITIONER)):
                create_profile(home, name, role, PASSPHRASE)
                people[name] = open_actor(network, load_profile(home, name), PASSPHRASE)
                people[name].register()
            until = int(network.mainchain.head_block().time) + 86_400
            policy = people["patient"].grant("clinician", ["laboratory"], until=until)
            reader, terms = people["clinician"]._own_terms(network.mainchain.policies.policy_of(policy.policy_id))
            bench = Bench(home, network, reader, terms)
            yield bench
    finally:
        if bench is not None and bench.process is not None:
            bench.stop_first()
        Devnet.down(home)


def throughput(bench: Bench, rounds: int) -> None:
    """Print re-encryptions per second of one proxy against the bare loops, in turns."""
    ways: dict[str, list[float]] = {}
    setups = [("one worker", "", 1), ("two workers", "", 2)]
    setups += [
        ("one worker, own cfrags unverified", UNCHECKED, 1),
        ("two workers, own cfrags unverified", UNCHECKED, 2),
    ]
    for _ in range(rounds):
        for name, code, workers in setups:
            bench.start_first(code=code, workers=workers)
            before = cpu_of(bench.workers())
            ways.setdefault(name, []).append(over_http(bench, workers))
            spent = cpu_of(bench.workers()) - before
            ways.setdefault(f"{name}, CPU", []).append(BATCH * BATCHES / spent)
            for which, rate in zip(("bare", "same", "bare, CPU", "same, CPU"), bare_loops(), strict=True):
                ways.setdefault(which, []).append(rate)
    median = {name: statistics.median(rates) for name, rates in ways.items()}
    print(f"one proxy over HTTP, batches of {BATCH}; median of {rounds}; by the clock", flush=True)
    row("nucypher_core, reencrypt only", f"{median['bare']:.0f} /s", "", None)
    row("nucypher_core, parse + reencrypt + verify + serialise", f"{median['same']:.0f} /s", "", None)
    for name, _, workers in setups:
        goal = 1.3 if workers == 2 else 0.7
        for loop, against in (("bare", "reencrypt only"), ("same", "the same duties")):
            row(
                f"{name}: against {against}",
                f"{median[name]:.0f} /s",
                f">= {goal}",
                median[name] / median[loop],
                bound=goal,
            )
    # What other programs do on this machine doesn't change it.
    print("\nthe same by processor time of the workers: capsules per CPU second")
    for name, _, _ in setups:
        for loop, against in (("bare", "reencrypt only"), ("same", "the same duties")):
            ratio = median[f"{name}, CPU"] / median[f"{loop}, CPU"]
            row(f"{name}: against {against}", f"{median[f'{name}, CPU']:.0f} /CPU s", "", ratio, bound=0.7)


def over_http(bench: Bench, workers: int) -> float:
    """Return capsules per second."""
    bodies = bench.requests(BATCHES, BATCH)
    url = f"{bench.first.endpoint}/v1/reencrypt"

    def send(part: Sequence[bytes]) -> None:
        # A connection of its own, so that each worker gets some.
        with httpx.Client(timeout=60, trust_env=False) as client:
            for body in part:
                answer = client.post(url, content=body)
                assert answer.status_code == 200, answer.text[:300]

    lanes = 2 * workers
    started = time.perf_counter()
    with ThreadPoolExecutor(lanes) as pool:
        list(pool.map(send, [bodies[number::lanes] for number in range(lanes)]))
    return BATCH * BATCHES / (time.perf_counter() - started)


def cpu_of(processes: Sequence[int]) -> float:
    """Return the seconds of processor time that processes used so far, user and system."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def bare_loops() -> tuple[float, float, float, float]:
    """Return capsules per second of the library alone, by the clock and by processor time.

    Re-encryption only, with all duties of a proxy, and the same two by processor time.
    """
    core = nucypher_core.umbral
    secret, receiving, signing = (core.SecretKey.random() for _ in range(3))
    signer, public, reader = core.Signer(signing), secret.public_key(), receiving.public_key()
    keys = signer.verifying_key(), public, reader
    made = core.generate_kfrags(secret, reader, signer, 2, 3, True, True)[0]
    kfrag = core.KeyFrag.from_bytes(bytes(made)).verify(*keys)
    kits = [nucypher_core.MessageKit(public, os.urandom(32), None) for _ in range(BATCH)]
    capsules = [kit.capsule for kit in kits]
    raw = [bytes(capsule) for capsule in capsules]
    started, cpu_started = time.perf_counter(), time.process_time()
    for capsule in capsules:
        core.reencrypt(capsule, kfrag)
    between, cpu_between = time.perf_counter(), time.process_time()
    for one in raw:
        parsed = core.Capsule.from_bytes(one)
        bytes(core.reencrypt(parsed, kfrag).unverify().verify(parsed, *keys))
    ended, cpu_ended = time.perf_counter(), time.process_time()
    by_clock = BATCH / (between - started), BATCH / (ended - between)
    return *by_clock, BATCH / (cpu_between - cpu_started), BATCH / (cpu_ended - cpu_between)


def openings(bench: Bench, rounds: int) -> None:
    """Print how long an opening takes with 2 of 3 when one proxy is dead, hangs or is slow, against all healthy."""
    lane = bench.terms.lanes[0].delegating_key
    bench.start_first()
    healthy: dict[int, float] = {}
    troubles: tuple[tuple[str, Callable[[], None]], ...] = (
        ("all healthy", bench.start_first),
        ("one dead", bench.stop_first),
        ("one hangs", lambda: hang(bench)),
        ("one answers after 2 s", lambda: bench.start_first(code=SLOW)),
    )
    print(f"\nopening with 2 of 3; median of {rounds}, of one capsule {_MORE * rounds}")
    for name, prepare in troubles:
        prepare()
        for count in (1, 300):
            seconds = []
            for _ in range(rounds if count > 1 else _MORE * rounds):
                wraps = {str(number): umbral.wrap(lane, os.urandom(32)) for number in range(count)}
                # As a program that starts: no connection is open yet.
                proxies = Proxies(bench.network)
                started = time.perf_counter()
                proxies.unwrap(bench.reader, bench.terms, 0, wraps, bench.terms.purposes[0])
                seconds.append(time.perf_counter() - started)
            taken = statistics.median(seconds)
            healthy.setdefault(count, taken)
            ratio = taken / healthy[count]
            row(f"{count} capsules, {name}", f"{1000 * taken:.0f} ms", "<= 1.3", ratio, at_least=False, bound=1.3)
        release(bench)


def hang(bench: Bench) -> None:
    """Let the first proxy take connections and never answer."""
    bench.start_first()
    for worker in bench.workers():
        os.kill(worker, signal.SIGSTOP)


def release(bench: Bench) -> None:
    """Let a stopped worker go on, so that it can end."""
    if bench.process is not None and bench.process.poll() is None:
        for worker in bench.workers():
            os.kill(worker, signal.SIGCONT)


if __name__ == "__main__":
    main()
