"""The devnet ends its own processes only, and waits no longer than it must."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.anvil import free_port, is_running
from panachain.devnet import processes
from panachain.errors import ConfigurationError, PanaChainError


@pytest.fixture
def stranger() -> Iterator[int]:
    # Not of Python, which may lie in a folder that is named after what a devnet starts.
    process = subprocess.Popen(["sleep", "600"])
    yield process.pid
    process.terminate()
    process.wait(20)


def write(folder: Path, begun: dict[str, str] | None = None, **pids: int) -> None:
    state: dict[str, Any] = {"mainchain": 0, "sidechain": 0, "gate": 0, "proxies": [], "begun": begun or {}} | pids
    (folder / "processes.json").write_text(json.dumps(state))


def test_a_process_that_got_an_old_id_is_left_alone(tmp_path: Path, stranger: int) -> None:
    write(tmp_path, mainchain=stranger, sidechain=stranger, gate=stranger)
    assert not processes.is_running(tmp_path)
    processes.stop(tmp_path)
    os.kill(stranger, 0)
    assert not (tmp_path / "processes.json").exists()


def test_what_was_started_here_is_ended_whatever_its_program_is_called(tmp_path: Path, stranger: int) -> None:
    write(tmp_path, {str(stranger): processes.begun(stranger)}, mainchain=stranger, sidechain=stranger, gate=stranger)
    assert processes.is_running(tmp_path)
    processes.stop(tmp_path)
    assert not is_running(stranger)


def test_a_later_process_of_the_same_id_is_left_alone_whatever_its_program_is_called(tmp_path: Path) -> None:
    # As a node of another home would be that got the ID after a restart of the machine.
    node = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "anvil"])
    try:
        write(tmp_path, {str(node.pid): "1"}, mainchain=node.pid, sidechain=node.pid, gate=node.pid)
        assert not processes.is_running(tmp_path)
        processes.stop(tmp_path)
        assert node.poll() is None
        command = Path(f"/proc/{node.pid}/cmdline")
        until = time.monotonic() + 60
        while command.exists() and b"anvil" not in command.read_bytes() and time.monotonic() < until:
            # A program that was just started has no command line for a moment.
            time.sleep(0.01)
        write(tmp_path, mainchain=node.pid, sidechain=node.pid, gate=node.pid)
        assert processes.is_running(tmp_path) or not Path("/proc").exists()
    finally:
        node.terminate()
        node.wait(20)


def test_nothing_runs_where_nothing_was_started(tmp_path: Path) -> None:
    assert not processes.is_running(tmp_path)


def test_files_that_are_missing_or_damaged_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no devnet in this home"):
        processes.read(tmp_path / "network.json")
    (tmp_path / "network.json").write_text("{")
    with pytest.raises(ConfigurationError, match="can't be read"):
        processes.read(tmp_path / "network.json")


def test_a_program_that_is_started_gets_no_passphrase_of_its_starter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", "/secret/of/the/registrar")
    pid = processes.spawn(["--version"], tmp_path / "log", {})
    os.waitpid(pid, 0)
    assert (tmp_path / "log").read_text().startswith("panachain ")
    assert (tmp_path / "log").stat().st_size < 100


def test_a_proxy_that_never_answers_is_given_up_in_time(stranger: int) -> None:
    now = 0.0
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += 10

    proxy = {"pid": stranger, "endpoint": f"http://127.0.0.1:{free_port()}"}
    with pytest.raises(PanaChainError, match="wasn't ready within 30 s"):
        processes.await_service(proxy, clock=lambda: now, sleep=sleep)
    assert len(slept) == 3


def test_a_process_that_ended_is_not_waited_for() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(20)
    slept: list[float] = []
    with pytest.raises(PanaChainError, match="wasn't ready"):
        processes.await_service({"pid": process.pid, "endpoint": "http://127.0.0.1:1"}, sleep=slept.append)
    assert not slept
