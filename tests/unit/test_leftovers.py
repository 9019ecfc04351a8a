"""What a run of tests starts doesn't outlive it, whichever way it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from panachain.chain import anvil
from panachain.chain.anvil import ChainProcess
from tests import chains, leftovers

TESTS = Path(__file__).resolve().parents[1]
STARTER = """
import signal, subprocess, sys, time
import leftovers
# Whoever runs the tests in the background of a script has SIGINT ignored, and so would this.
signal.signal(signal.SIGINT, signal.default_int_handler)
leftovers.watch()
# A shell that is gone at once: its child is nobody's any more, and hears nothing from a terminal.
shell = ["sh", "-c", '"$0" -c "import time; time.sleep(600)" >&2 & echo $!', sys.executable]
subprocess.run(shell, start_new_session=True)
time.sleep(600)
"""
linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc on this machine")


def await_end(pid: int) -> None:
    # The test's own limit ends it.
    while anvil.is_running(pid):
        time.sleep(0.01)


@linux
@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_a_run_started_ends_with_it_whatever_ends_it(how: signal.Signals) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER], cwd=TESTS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert starter.stdout is not None
    left = int(starter.stdout.readline())
    assert anvil.is_running(left)
    starter.send_signal(how)
    starter.communicate()
    await_end(left)


@linux
@pytest.mark.timeout(60)
def test_what_refuses_to_end_is_killed_and_no_process_of_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "PATIENCE", 0.0)
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(600)"
    ours, other = (
        subprocess.Popen([sys.executable, "-c", deaf], env={leftovers.NAME: mark}, stdout=subprocess.PIPE)
        for mark in ("mark-1", "mark-12")
    )
    try:
        for process in (ours, other):
            assert process.stdout is not None
            process.stdout.readline()
        assert leftovers.marked("mark-1") == [ours.pid]
        monkeypatch.setattr(leftovers.time, "sleep", lambda _: ours.poll())
        leftovers.end_all("mark-1")
        assert (ours.wait(), other.poll()) == (-signal.SIGKILL, None)
    finally:
        other.kill()
        for process in (ours, other):
            process.communicate()


def test_this_run_is_watched() -> None:
    assert len(os.environ[leftovers.NAME]) == 36


def test_a_chain_in_the_place_of_anvil_ends_with_the_test_whatever_it_is_called(tmp_path: Path) -> None:
    def start(folder: Path, *, chain_id: int, free: bool) -> ChainProcess:
        command = [sys.executable, "-c", "import time; time.sleep(600)", folder.name, str((chain_id, free))]
        return ChainProcess(subprocess.Popen(command, start_new_session=True).pid, 1)

    started: list[ChainProcess] = []

    def interrupted() -> None:
        with chains.chains_of(start, start):
            started.extend(anvil.start(tmp_path / one, chain_id=5, free=False) for one in ("mainchain", "sidechain"))
            assert all(anvil.is_running(chain.pid) for chain in started)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(started) == 2
    assert not any(anvil.is_running(chain.pid) for chain in started)
