"""Worker processes: replaced when they die, given up when they fail at their start, ended in time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
VIRTUAL = """
import os, signal, sys, time
from pathlib import Path
from panachain.service.workers import Supervisor

folder = Path(sys.argv[1])
now = [0.0]

def sleep(seconds):
    # Virtual time goes on by what is slept; a little real time passes too, for the workers.
    now[0] += seconds
    time.sleep(0.001)

def clock():
    return now[0]

def note(number):
    with open(folder / "started", "a") as file:
        file.write(f"{number}\\n")

def until_told():
    # Rounds, because a signal may come before the pause.
    while True:
        time.sleep(1)
"""
"""What each of the programs below begins with."""


def supervised(folder: Path, code: str) -> tuple[str, str, list[str]]:
    """Return what a program printed, its log, and the numbers of its workers in the order of their start."""
    done = subprocess.run(
        [sys.executable, "-c", VIRTUAL + code, str(folder)], cwd=ROOT, capture_output=True, timeout=120, check=True
    )
    started = (folder / "started").read_text().split()
    return done.stdout.decode().strip(), done.stderr.decode(), started


def test_a_worker_that_ends_by_itself_is_replaced_and_all_end_on_a_signal(tmp_path: Path) -> None:
    code = """
def work(number):
    note(number)
    starts = len((folder / "started").read_text().split())
    if number == 1 and starts < 4:
        return
    if starts == 4:
        os.kill(os.getppid(), signal.SIGTERM)
    until_told()

print(Supervisor(2, work, grace=1000, clock=clock, sleep=sleep).run())
"""
    printed, log, started = supervised(tmp_path, code)
    assert printed == "True"
    assert sorted(started) == ["0", "1", "1", "1"]
    assert log.count("worker 1 ended by itself") == 2


def test_why_a_worker_failed_is_told_if_the_error_is_one_of_ours(tmp_path: Path) -> None:
    code = """
from panachain.errors import DiskError

def work(number):
    note(number)
    raise DiskError("the proxy's database can't be opened: connection refused", hint="start the server")

print(Supervisor(1, work, grace=10, clock=clock, sleep=lambda _: time.sleep(0.001)).run())
"""
    _, log, _ = supervised(tmp_path, code)
    assert (
        "worker 0 failed: DiskError: the proxy's database can't be opened: connection refused; start the server" in log
    )


def test_workers_that_fail_at_their_start_are_given_up(tmp_path: Path) -> None:
    code = """
def work(number):
    note(number)
    raise RuntimeError("what was secret")

print(Supervisor(1, work, grace=10, clock=clock, sleep=lambda _: time.sleep(0.001)).run())
"""
    printed, log, started = supervised(tmp_path, code)
    assert (printed, started) == ("False", ["0"] * 5)
    assert "workers fail at their start, 5 times in a row" in log
    assert "worker 0 failed: RuntimeError" in log
    assert "secret" not in log


def test_a_long_life_ends_a_row_of_failures(tmp_path: Path) -> None:
    code = """
def work(number):
    note(number)
    if len((folder / "started").read_text().split()) == 12:
        os.kill(os.getppid(), signal.SIGTERM)
        until_told()

def sleep(seconds):
    # Each look is a minute later: every worker lived for longer than a start takes.
    now[0] += 60
    time.sleep(0.001)

print(Supervisor(1, work, grace=1e6, clock=clock, sleep=sleep).run())
"""
    printed, _, started = supervised(tmp_path, code)
    assert (printed, len(started)) == ("True", 12)


def test_a_worker_that_does_not_end_is_killed_after_its_grace(tmp_path: Path) -> None:
    code = """
def work(number):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(number)
    os.kill(os.getppid(), signal.SIGTERM)
    until_told()

print(Supervisor(1, work, grace=3, clock=clock, sleep=sleep).run(), now[0] >= 3)
"""
    assert supervised(tmp_path, code)[0] == "False True"


def test_children_of_one_parent_draw_different_random_numbers() -> None:
    code = (
        "import os\n"
        "from panachain.crypto import umbral\n"
        "umbral.SecretKey.random()\n"
        "for _ in range(2):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        os.write(1, umbral.SecretKey.random().public.hex().encode() + b'\\n')\n"
        "        os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=60, check=True)
    assert len(set(done.stdout.split())) == 2
