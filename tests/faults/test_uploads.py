"""Uploads that are killed, cut off or reorganised away: each record is published once, and nothing is lost."""

from __future__ import annotations

import errno
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.evm import Sender
from panachain.errors import ChainUnavailableError, DiskError
from panachain.records import publish
from panachain.records.canonical import resources
from panachain.records.journal import Journal
from panachain.records.samples import sample_bundle
from panachain.records.split import MEDIA_TYPE
from panachain.sdk import open_actor
from panachain.sdk.profiles import load_profile
from panachain.storage import embedded
from panachain.storage.embedded import EmbeddedStore
from tests.faults.conftest import LONG, contents, files
from tests.support import PASSPHRASE, World

pytestmark = pytest.mark.deep


def hospital(world: World) -> Any:
    """Return the hospital as a new process would open it."""
    return open_actor(world.network, load_profile(world.home, "hospital"), PASSPHRASE)


def expected(paths: list[Path]) -> list[bytes]:
    return sorted(path.read_bytes() for path in paths)


class Killed(BaseException):
    """What ends an upload in the midst: nothing catches it."""


@contextmanager
def killed_at(number: int, patch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """End the upload before its effect `number`; even numbers end it after the effect instead."""
    effects: list[str] = []

    def watch(owner: type, name: str) -> None:
        real = getattr(owner, name)

        def effect(*args: Any, **kwargs: Any) -> Any:
            effects.append(f"{owner.__name__}.{name}")
            here = len(effects) == (number + 1) // 2
            if here and number % 2:
                raise Killed
            result = real(*args, **kwargs)
            if here:
                raise Killed
            return result

        patch.setattr(owner, name, effect)

    with patch.context() as inner:
        patch = inner
        watch(EmbeddedStore, "put_blocks")
        watch(EmbeddedStore, "add_made")
        watch(EmbeddedStore, "pin")
        watch(Journal, "prepare")
        watch(Journal, "sending")
        watch(Journal, "mined")
        watch(Sender, "_wait")
        yield effects


def test_ended_before_and_after_each_effect(
    world: World, patient: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    paths = files(folder, 5)
    large = folder / "large.pdf"
    large.write_bytes(b"%PDF-1.7\n" + os.urandom(3 << 20))
    published: list[Path] = []
    seen: set[str] = set()
    number = 0
    while True:
        number += 1
        # A new file each time: else there would be nothing left to publish.
        fresh = folder / f"fresh-{number}.pdf"
        fresh.write_bytes(b"%PDF-1.7\n" + os.urandom(3 << 20 if number % 3 == 0 else 3000))
        try:
            with killed_at(number, monkeypatch) as effects:
                hospital(world).upload([folder], patient.profile.handle)
        except Killed:
            seen.update(effects)
            hospital(world).upload([folder], patient.profile.handle)
            published = [*paths, large, *folder.glob("fresh-*")]
            assert contents(patient) == expected(published)
            continue
        break
    assert number > 10
    assert {"EmbeddedStore.put_blocks", "Journal.prepare", "Journal.sending", "Journal.mined"} <= seen


def test_killed_at_any_moment(world: World, patient: Any, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    paths: list[Path] = []
    environment = os.environ | {
        "PANACHAIN_HOME": str(world.home),
        "PANACHAIN_PASSPHRASE_FILE": str(world.passphrase_file),
    }
    upload = [sys.executable, "-m", "panachain.cli", "--profile", "hospital", "upload"]
    whole = 0.0
    for number in range(300 if LONG else 8):
        folder = tmp_path / f"in-{number}"
        paths += files(folder, 50)
        command = [*upload, str(folder), "--patient", patient.profile.handle, "--json"]
        started = time.monotonic()
        if whole:
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0, whole))
            process.send_signal(signal.SIGKILL)
            process.wait(30)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, (seed, number, done.stderr)
        whole = whole or time.monotonic() - started
        database = sqlite3.connect(world.home / "profiles" / "hospital" / "journal.sqlite")
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
        if LONG and number % 25:
            continue
        assert contents(patient) == expected(paths), (seed, number)
    assert contents(patient) == expected(paths), seed


def test_two_uploads_at_once_share_a_folder(world: World, patient: Any, tmp_path: Path) -> None:
    paths = files(tmp_path / "in", 20)
    environment = os.environ | {
        "PANACHAIN_HOME": str(world.home),
        "PANACHAIN_PASSPHRASE_FILE": str(world.passphrase_file),
    }
    upload = [sys.executable, "-m", "panachain.cli", "--profile", "hospital", "upload", str(tmp_path / "in")]
    command = [*upload, "--patient", patient.profile.handle]
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for one in both:
        _, errors = one.communicate(timeout=120)
        assert one.returncode == 0, errors
    assert contents(patient) == expected(paths)


def test_a_bundle_and_its_attachments_stay_in_one_batch(
    world: World, patient: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "MAX_RECORDS", 1)
    (tmp_path / "bundle.json").write_bytes(sample_bundle(1))
    report = hospital(world).upload([tmp_path / "bundle.json"], patient.profile.handle)
    assert 1 < len(report.transactions) < len(report.records)
    opened = [item for r in patient.records() if r.info.media_type == MEDIA_TYPE for item in resources(r.content)]
    assert Counter(opened) == Counter(resources(sample_bundle(1)))


def test_a_dry_run_tells_the_gas_and_publishes_nothing(world: World, patient: Any, tmp_path: Path) -> None:
    files(tmp_path / "in", 3)
    before = world.network.mainchain.ledger.ledger_of(world.hospital.address)
    planned = hospital(world).upload([tmp_path / "in"], patient.profile.handle, dry_run=True)
    assert len(planned.records) == 3
    assert world.network.mainchain.ledger.ledger_of(world.hospital.address) == before
    done = hospital(world).upload([tmp_path / "in"], patient.profile.handle)
    assert abs(planned.gas - done.gas) < 500


class TestChain:
    def test_a_dropped_transaction_is_sent_again(
        self, world: World, patient: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        paths = files(tmp_path / "in", 3)
        rpc = world.network.mainchain.rpc
        monkeypatch.setattr("panachain.chain.evm._STUCK", 0.5)
        rpc.call("evm_setAutomine", [False])
        rpc.call("evm_setIntervalMining", [0])
        try:
            uploading = _Background(lambda: hospital(world).upload([tmp_path / "in"], patient.profile.handle))
            pending = _wait_for(lambda: _pending(world))
            rpc.call("anvil_dropTransaction", [pending[0]])
            _wait_for(lambda: _pending(world))
            rpc.call("evm_mine")
            uploading.join()
        finally:
            rpc.call("evm_setAutomine", [True])
            rpc.call("evm_setIntervalMining", [5])
        assert contents(patient) == expected(paths)

    def test_a_stuck_transaction_is_replaced_by_a_dearer_one(
        self, world: World, patient: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        paths = files(tmp_path / "in", 3)
        rpc = world.network.mainchain.rpc
        monkeypatch.setattr("panachain.chain.evm._STUCK", 0.5)
        before = world.network.mainchain.ledger.ledger_of(world.hospital.address)[0]
        rpc.call("evm_setAutomine", [False])
        rpc.call("evm_setIntervalMining", [0])
        try:
            uploading = _Background(lambda: hospital(world).upload([tmp_path / "in"], patient.profile.handle))
            (first,) = _wait_for(lambda: _pending(world))
            _wait_for(lambda: [tx for tx in _pending(world) if tx != first])
            rpc.call("evm_mine")
            uploading.join()
        finally:
            rpc.call("evm_setAutomine", [True])
            rpc.call("evm_setIntervalMining", [5])
        assert world.network.mainchain.ledger.ledger_of(world.hospital.address)[0] == before + 1
        assert contents(patient) == expected(paths)

    def test_what_a_reorganisation_took_away_is_stored_again(
        self, world: World, patient: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Anvil doesn't mine what a reorganisation gave back to it, until something new comes.
        monkeypatch.setattr("panachain.chain.evm._STUCK", 1.0)
        # Only what comes from here on is taken away.
        world.network.mainchain.rpc.call("anvil_mine", [hex(10)])
        first, second = files(tmp_path / "a", 2), files(tmp_path / "b", 2)
        hospital(world).upload([tmp_path / "a"], patient.profile.handle)
        hospital(world).upload([tmp_path / "b"], patient.profile.handle)
        before = world.network.mainchain.ledger.ledger_of(world.hospital.address)[0]
        world.network.mainchain.rpc.call("anvil_reorg", [10, []])
        assert world.network.mainchain.ledger.ledger_of(world.hospital.address)[0] < before

        assert hospital(world).settle().transactions > 0

        assert hospital(world).settle().transactions == 0
        assert world.network.mainchain.ledger.ledger_of(world.hospital.address)[0] == before
        assert contents(patient) == expected([*first, *second])

    def test_a_chain_that_is_down_publishes_nothing_and_later_all(
        self, world: World, patient: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        paths = files(tmp_path / "in", 3)

        def down(self: Sender, *_: Any, **__: Any) -> None:
            raise ChainUnavailableError("the chain node doesn't answer")

        at_work = hospital(world)
        with monkeypatch.context() as patch:
            patch.setattr(Sender, "send", down)
            with pytest.raises(ChainUnavailableError):
                at_work.upload([tmp_path / "in"], patient.profile.handle)
        assert contents(patient) == []
        hospital(world).upload([tmp_path / "in"], patient.profile.handle)
        assert contents(patient) == expected(paths)


class TestDisk:
    @pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
    def test_a_full_disk_publishes_nothing_and_later_all(
        self, world: World, patient: Any, tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        paths = files(tmp_path / "in", 3)

        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        at_work = hospital(world)
        with monkeypatch.context() as patch:
            patch.setattr(embedded.os, call, full)
            with pytest.raises(DiskError, match="No space left"):
                at_work.upload([tmp_path / "in"], patient.profile.handle)
        assert contents(patient) == []
        hospital(world).upload([tmp_path / "in"], patient.profile.handle)
        assert contents(patient) == expected(paths)


class _Background:
    """A call in another thread, whose failure is raised where it is awaited."""

    def __init__(self, call: Any) -> None:
        self._failure: BaseException | None = None
        self._call = call
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as exc:  # noqa: BLE001
            self._failure = exc

    def join(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self._failure is not None:
            raise self._failure


def _pending(world: World) -> list[str]:
    pool = world.network.mainchain.rpc.call("txpool_content")["pending"]
    mine = pool.get(world.hospital.address, pool.get(world.hospital.address.lower(), {}))
    return [tx["hash"] for tx in mine.values()]


def _wait_for(question: Any) -> Any:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        answer = question()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError("nothing happened within 30 s")
