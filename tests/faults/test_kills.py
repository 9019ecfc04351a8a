"""Commands that change who somebody is, killed by the system at any moment: the same command then does all of it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.rpc import Rpc
from panachain.ethereum import keccak
from panachain.model.actors import Role, Status
from panachain.sdk import open_actor
from panachain.sdk.profiles import create_profile, load_profile, unlock
from tests.faults.conftest import LONG, contents, files
from tests.support import PASSPHRASE, World, running_world

pytestmark = pytest.mark.nightly

TIMES = 30 if LONG else 3


class Command:
    """One command as users run it, each time in a process of its own."""

    def __init__(self, world: World, profile: str, *words: str) -> None:
        self._line = [sys.executable, "-m", "panachain.cli", "--profile", profile, *words]
        self._environment = os.environ | {
            "PANACHAIN_HOME": str(world.home),
            "PANACHAIN_PASSPHRASE_FILE": str(world.passphrase_file),
        }

    def run(self) -> subprocess.CompletedProcess[str]:
        """Let it come to its end."""
        return subprocess.run(
            self._line, env=self._environment, capture_output=True, text=True, timeout=240, check=False
        )

    def timed(self) -> tuple[subprocess.CompletedProcess[str], float]:
        """Let it come to its end, and tell how long that took, seconds."""
        began = time.monotonic()
        return self.run(), time.monotonic() - began

    def killed_after(self, seconds: float) -> None:
        """Start it, and kill it as the system does where memory runs out."""
        process = subprocess.Popen(
            self._line, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait(60)


def moments(whole: float) -> tuple[int, list[float]]:
    """Return a seed, and moments from the start on, most of them where the command does its work."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    return seed, [chance.uniform(0.3 * whole, whole) for _ in range(TIMES)]


def test_a_change_of_keys_is_whole_after_the_same_command(world: World, patient: Any, tmp_path: Path) -> None:
    hospital = load_profile(world.home, "hospital")
    rotate = Command(world, "hospital", "key", "rotate", "--yes")
    done, whole = rotate.timed()
    assert done.returncode == 0, done.stderr
    paths: list[Path] = []
    seed, when = moments(whole)
    for number, moment in enumerate(when):
        rotate.killed_after(moment)
        done = rotate.run()
        assert done.returncode == 0, (seed, number, done.stderr)
        # The registry has the keys of a generation that the seed has, and what is signed with them is read.
        actor = world.network.resolve(hospital.handle)
        generation = len(actor.earlier_keys)
        known = unlock(hospital, PASSPHRASE)
        assert known.of_generation(generation).public_keys().digest == actor.key_digest, (seed, number)
        paths += files(tmp_path / f"in-{number}", 2)
        publishes = open_actor(world.network, load_profile(world.home, "hospital"), PASSPHRASE)
        publishes.upload([tmp_path / f"in-{number}"], patient.profile.handle)
        # Nothing of before is lost.
        assert contents(patient) == sorted(path.read_bytes() for path in paths), (seed, number)


def test_a_profile_is_restored_whole_or_not_at_all(world: World, patient: Any, tmp_path: Path) -> None:
    pages = [tmp_path / f"{number}.txt" for number in range(2)]
    words = [word for page in pages for word in ("-o", str(page))]
    name = patient.profile.name
    made = Command(world, name, "recovery", "shares", "--threshold", "2", "--of", "2", "--together", *words).run()
    assert made.returncode == 0, made.stderr
    # A machine that lost the profile: one that has the actor restores nobody a second time.
    before, profiles = unlock(patient.profile, PASSPHRASE), world.home / "profiles"
    shutil.move(profiles / name, tmp_path / "lost")
    restore = Command(world, "back", "restore", *(word for page in pages for word in ("--share", str(page))))
    done, whole = restore.timed()
    assert done.returncode == 0, done.stderr
    seed, when = moments(whole)
    for number, moment in enumerate(when):
        shutil.rmtree(profiles / "back")
        restore.killed_after(moment)
        done = restore.run()
        # Either nothing was there yet, or all of it: then it says so and leaves it.
        assert done.returncode == 0 or "left as it is" in done.stderr, (seed, number, done.stderr)
        profile = load_profile(world.home, "back")
        assert profile.address == patient.profile.address
        restored = unlock(profile, PASSPHRASE)
        assert restored.public_keys().digest == before.public_keys().digest, (seed, number)
        assert [one.name for one in profiles.iterdir() if one.name.startswith((".", "back"))] == ["back"], (
            seed,
            number,
        )


def end_delay(side: Rpc, registry: str, patient: str, successor: str) -> None:
    """Let the delay of a move be over at once: no command believes a chain that is a day ahead of its clock."""
    for place in range(32):
        first = int.from_bytes(keccak(bytes.fromhex(patient[2:]).rjust(32, b"\0") + place.to_bytes(32, "big")), "big")
        digest, following, numbers, successors = (
            int(side.call("eth_getStorageAt", [registry, hex(first + number), "latest"]), 16) for number in range(4)
        )
        # IdentityRegistry.Guardianship: threshold (8 bits), delay (32), round (40) and readyAt (48) share a word, which
        # the successor's follows.
        if digest and not following and successors % (1 << 160) == int(successor, 16):
            ready = numbers >> 80 & (1 << 48) - 1
            assert ready
            changed = numbers - (ready << 80) + (int(time.time()) - 60 << 80)
            side.call("anvil_setStorageAt", [registry, f"0x{first + 2:064x}", f"0x{changed:064x}"])
            side.call("evm_mine")
            return
    raise AssertionError("the registry has another layout")


def test_whoever_takes_a_patient_over_is_that_patient_after_the_same_command() -> None:
    # A network of its own: the state of its sidechain is changed.
    with running_world() as world:

        def newcomer(name: str) -> Any:
            create_profile(world.home, name, Role.PATIENT, PASSPHRASE)
            actor = open_actor(world.network, load_profile(world.home, name), PASSPHRASE)
            actor.register()
            return actor

        guardians, moved = (world.clinician, world.stranger), []
        for number in range(TIMES + 1):
            before, successor = newcomer(f"before-{number}"), newcomer(f"successor-{number}")
            before.guardians.set([one.address for one in guardians], threshold=2, delay=86_400)
            for guardian in guardians:
                guardian.guarding.approve(before.address, successor.address)
            moved.append((before, successor))
        processes = json.loads((world.home / "devnet" / "processes.json").read_bytes())
        side = Rpc(processes["sidechainUrl"])
        for before, successor in moved:
            end_delay(side, world.network.sidechain.guardianships.bound.address, before.address, successor.address)
        side.close()

        def complete(number: int) -> Command:
            before, successor = moved[number]
            return Command(world, successor.profile.name, "recovery", "complete", before.address)

        done, whole = complete(TIMES).timed()
        assert done.returncode == 0, done.stderr
        seed, when = moments(whole)
        for number, moment in enumerate(when):
            before, successor = moved[number]
            complete(number).killed_after(moment)
            for _ in range(2):
                # The second time nothing is left to do, as after a kill behind the transaction.
                done = complete(number).run()
                assert done.returncode == 0, (seed, number, moment, done.stderr)
            assert world.network.resolve(before.address).address == successor.address, (seed, number)
            # The account before never acts again.
            assert before.whoami().status is Status.REPLACED, (seed, number)
            # Nobody else becomes them.
            assert complete(number - 1).run().returncode == 0
            done = Command(world, "patient", "recovery", "complete", before.address).run()
            assert done.returncode != 0, (seed, number)
