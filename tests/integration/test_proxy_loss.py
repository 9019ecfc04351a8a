"""Openings go on while two of three proxies' processes are killed and started again, in turn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from panachain.devnet import Devnet
from panachain.errors import PanaChainError
from panachain.model.actors import PolicyId
from panachain.records.samples import sample_bundle
from tests.support import World

pytestmark = pytest.mark.deep

ROUNDS = 3
"""Times that each of the two proxies is killed."""


@dataclass
class Openings:
    """What became of the openings."""

    done: int = 0
    failures: list[str] = field(default_factory=list)
    kills: int = 0


class Process:
    """One of the devnet's proxies, which is killed as a power cut does it and started again."""

    def __init__(self, world: World, number: int) -> None:
        self._known = Devnet.status(world.home).proxies[number]
        self._folder = world.home / "devnet" / f"proxy-{number + 1}"
        self._secret = world.home / "devnet" / "proxies.pass"
        self._pid = self._known.pid
        self._process: subprocess.Popen[bytes] | None = None

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(30)

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "panachain.cli",
            "proxy",
            "serve",
            "--config",
            str(self._folder / "proxy.json"),
        ]
        with (self._folder / "again.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=os.environ | {"PANACHAIN_PASSPHRASE_FILE": str(self._secret)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._pid = self._process.pid
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self._known.endpoint}/readyz", timeout=5, trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            assert self._process.poll() is None, (self._folder / "again.log").read_text()
            time.sleep(0.05)
        raise AssertionError("the proxy isn't ready after two minutes")

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)


def granted(world: World, folder: Path) -> PolicyId:
    """Publish a record and grant it at all three proxies."""
    (folder / "bundle.json").write_bytes(sample_bundle(1))
    world.hospital.upload([folder], "patient")
    until = world.network.mainchain.head_block().time + 86_400
    policy = world.patient.grant("clinician", ["laboratory"], until=until)
    assert policy.deposited == 3
    policy_id: PolicyId = policy.policy_id
    return policy_id


def open_meanwhile(world: World, policy_id: PolicyId, rounds: int) -> Openings:
    """Open again and again, until both proxies were killed and started as often as that."""
    found, over = Openings(), threading.Event()
    processes = [Process(world, number) for number in (0, 1)]
    broken: list[BaseException] = []

    def kill_and_start() -> None:
        try:
            for number in range(2 * rounds):
                process = processes[number % 2]
                before = found.done
                process.kill()
                found.kills += 1
                # Some openings meet the gap, whatever the machine's pace is.
                deadline = time.monotonic() + 60
                while found.done < before + 3 and time.monotonic() < deadline:
                    time.sleep(0.01)
                process.start()
        except BaseException as exc:  # noqa: BLE001 - it is raised again below
            broken.append(exc)
        finally:
            over.set()

    expected = [record.content for record in world.clinician.open(policy_id)]
    thread = threading.Thread(target=kill_and_start)
    thread.start()
    try:
        while not over.is_set():
            try:
                assert [record.content for record in world.clinician.open(policy_id)] == expected
            except PanaChainError as exc:
                found.failures.append(f"{type(exc).__name__}: {exc}")
            found.done += 1
    finally:
        thread.join(300)
        for process in processes:
            process.end()
    if broken:
        raise broken[0]
    return found


def test_every_opening_succeeds_while_two_of_three_are_killed_and_started_in_turn(world: World, tmp_path: Path) -> None:
    found = open_meanwhile(world, granted(world, tmp_path), ROUNDS)
    assert found.failures == []
    assert found.kills == 2 * ROUNDS
    assert found.done >= 3 * found.kills
