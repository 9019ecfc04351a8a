"""Floods: honest openings and grants while strangers attack the proxies, and a proxy is down.

    ./pana bench floods [--seconds 20] [--wraps 64] [--lanes 18] [--code FOLDER] [--quick]

Prints the median and the worst time of each, and their ratio to the time without an attack; fails nothing. `--code`
names a folder with another version of the package, which is measured in place of this one. Three proxies, strangers and
honest people share this machine's processors; the row `busy` says what that alone does.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
KINDS = {
    "nobody": "no attack",
    "busy": "no attack, three programs that compute",
    "deposits": "deposits of 512 lanes whose last is bad",
    "requests": "1,000 capsules whose last is bad, again and again",
    "refused": "refusals of new accounts",
    "slow": "bodies that never come",
    "all": "all of them, and one proxy down",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=20, help="of each attack")
    options.add_argument("--wraps", type=int, default=64, help="of an opening")
    options.add_argument("--lanes", type=int, default=18, help="of a grant")
    options.add_argument("--code", type=Path, help="folder of the version that is measured")
    options.add_argument("--quick", action="store_true", help="little of everything: whether it runs")
    options.add_argument("--only", choices=list(KINDS), nargs="+", default=list(KINDS))
    given = options.parse_args(arguments)
    if given.quick:
        given.seconds, given.wraps, given.lanes = 0.5, 2, 1
    if given.code is not None:
        # Everything that measures imports the package too, so it runs anew with the other one first.
        environment = os.environ | {"PYTHONPATH": str(given.code)}
        rest = [argument for argument in sys.argv[1:] if argument not in ("--code", str(given.code))]
        raise SystemExit(subprocess.call([sys.executable, str(Path(__file__)), *rest], env=environment))
    sys.path.insert(0, str(HERE))
    from _flood_honest import Honest

    with tempfile.TemporaryDirectory(prefix="panachain-floods-") as name:
        folder = Path(name)
        with _world(folder) as processes:
            honest = Honest(folder, wraps=given.wraps, lanes=given.lanes)
            (folder / "stranger.json").write_text(json.dumps(honest.strangers_policy()))
            honest.warm()
            usual: dict[str, float] = {}
            for kind in given.only:
                if kind == "all":
                    processes.pop().terminate()
                with _strangers(folder, kind, given.seconds) as flood:
                    times = honest.measure(time.monotonic() + given.seconds)
                answers = flood.communicate(timeout=given.seconds + 60)[0].strip() if flood else ""
                for what, (seconds, failed) in times.items():
                    _row(kind, what, seconds, failed, usual)
                if answers:
                    print(f"    strangers were answered: {answers}", flush=True)


def _row(kind: str, what: str, seconds: Sequence[float], failed: Sequence[str], usual: dict[str, float]) -> None:
    if not seconds:
        print(f"{KINDS[kind]:55} {what:8} none of {len(failed)} succeeded: {failed[:1]}", flush=True)
        return
    median, worst = statistics.median(seconds), max(seconds)
    usual.setdefault(what, median)
    ratio = median / usual[what]
    print(
        f"{KINDS[kind]:55} {what:8} median {median:6.2f} s  worst {worst:6.2f} s  of {len(seconds):3}"
        f"  failed {len(failed):2}  ratio {ratio:5.2f} {failed[0][:90] if failed else ''}",
        flush=True,
    )


@contextmanager
def _world(folder: Path) -> Iterator[list[subprocess.Popen[str]]]:
    from _flood_honest import GRANTEE, STRANGER
    from _flood_world import PROXIES

    from panachain.chain.signing import Account
    from panachain.crypto.keys import Seed

    people = [Account(key).address for key in (GRANTEE, STRANGER)]
    (folder / "people.json").write_text(json.dumps(people))
    processes = []
    for number in range(PROXIES):
        (folder / f"seed-{number}").write_bytes(Seed.random().reveal())
        command = [sys.executable, str(HERE / "_flood_world.py"), str(folder), str(number)]
        processes.append(subprocess.Popen(command, text=True))
    try:
        deadline = time.monotonic() + 60
        while not all((folder / f"port-{number}").exists() for number in range(PROXIES)):
            if time.monotonic() > deadline:
                raise RuntimeError("the proxies don't listen within a minute")
            time.sleep(0.05)
        yield processes
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()


@contextmanager
def _strangers(folder: Path, kind: str, seconds: float) -> Iterator[subprocess.Popen[str] | None]:
    if kind == "nobody":
        yield None
        return
    if kind == "busy":
        # Proxies under attack compute all the time, and here they share their processors with whoever measures.
        spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
        try:
            yield None
        finally:
            for process in spinning:
                process.kill()
                process.wait()
        return
    command = [sys.executable, str(HERE / "_flood_strangers.py"), str(folder), kind, str(seconds + 3)]
    flood = subprocess.Popen(command, text=True, stdout=subprocess.PIPE)
    while not (folder / f"ready-{kind}").exists() and flood.poll() is None:
        time.sleep(0.05)
    time.sleep(min(3.0, seconds))
    yield flood


if __name__ == "__main__":
    main()
