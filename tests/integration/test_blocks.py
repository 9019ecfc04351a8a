"""The whole story on chains with blocks of two seconds, on which proxies want a block above each grant."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from panachain.chain import anvil
from panachain.chain.rpc import Rpc
from panachain.crypto.keys import Seed, address_of
from panachain.devnet import Devnet
from panachain.errors import PolicyRevokedError
from panachain.records.samples import sample_bundle
from tests import chains
from tests.chains import Start
from tests.support import World, running_world

LONGEST_DEPLOYMENT = 15
"""Blocks: half a minute of them."""
LEAST = {"upload": 1, "grant": 2, "open": 0, "revoke": 1}
"""Blocks that each step needs one after the other: each transaction, and the one above a grant."""


def story(world: World, folder: Path) -> None:
    """Upload, grant, open, revoke, and look that each did what it should."""
    folder.mkdir()
    (folder / "bundle.json").write_bytes(sample_bundle(1))
    assert world.network.confirmations >= 1

    report = world.hospital.upload([folder], "patient")
    assert len(report.records) > 0
    assert len(list(world.patient.records())) == len(report.records)

    until = world.network.mainchain.head_block().time + 86_400
    policy = world.patient.grant("clinician", ["laboratory"], until=until)
    assert (policy.deposited, policy.lacking) == (3, 0)
    kept = world.patient.grant("researcher", ["medications"], until=until, purpose="HRESCH")
    assert {record.info.category.value for record in world.clinician.open(policy.policy_id)} == {"laboratory"}

    revoked = world.patient.revoke(policy.policy_id)
    assert (revoked.deleted, revoked.final) == (3, True)
    with pytest.raises(PolicyRevokedError):
        list(world.clinician.open(policy.policy_id))
    assert list(world.researcher.open(kept.policy_id))


@pytest.mark.deep
@pytest.mark.timeout(900)
class TestHardhat:
    @pytest.fixture(scope="class")
    def world(self) -> Iterator[World]:
        with chains.chains_of(chains.hardhat, anvil.start), running_world() as running:
            yield running

    def test_the_whole_story(self, world: World, tmp_path: Path) -> None:
        story(world, tmp_path / "source")


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_the_whole_story_where_no_block_is_made_at_once(tmp_path: Path) -> None:
    every = chains.anvil_at_intervals
    with chains.chains_of(every, every), running_world() as world:
        story(world, tmp_path / "source")


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_the_whole_story_on_geth(tmp_path: Path) -> None:
    giver = chains.Giver(tmp_path / "giver")
    with chains.chains_of(chains.geth, chains.geth, fund=giver), running_world() as world:
        story(world, tmp_path / "source")
    shutil.rmtree(tmp_path / "giver", ignore_errors=True)


def deployed(start: Start, fund: Callable[..., None], folder: Path) -> dict[str, list[int]]:
    """Run `panachain deploy` for two paid chains, and return by chain in which blocks its transactions are."""
    found: dict[str, list[int]] = {}
    running, urls, keys = [], {}, {}
    try:
        for name, chain_id in (("mainchain", 31_421), ("sidechain", 31_422)):
            chain = start(folder / name, chain_id=chain_id)
            running.append(chain)
            urls[name], keys[name] = chain.url, Seed.random().account_key()
            fund(Rpc(chain.url), address_of(keys[name]))
            (folder / f"{name}.key").write_text(keys[name].hex())
            (folder / f"{name}.key").chmod(0o600)
        who = [address_of(Seed.random().account_key()) for _ in range(2)]
        command = [
            *(sys.executable, "-m", "panachain.cli", "--home", str(folder / "home"), "deploy", "--yes"),
            *("--mainchain", urls["mainchain"], "--key-file", str(folder / "mainchain.key")),
            *("--sidechain", urls["sidechain"], "--side-key-file", str(folder / "sidechain.key")),
            *("--registrar", who[0], "--admin", who[1], "--validator", who[0], "--validator", who[1]),
            *("--network", str(folder / "network.json")),
        ]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
        print(f"deployed in {time.monotonic() - began:.1f} s")
        assert done.returncode == 0, done.stderr
        assert json.loads((folder / "network.json").read_text())["sidechain"]["paid"]
        for name, url in urls.items():
            rpc = Rpc(url)
            blocks = range(int(rpc.call("eth_blockNumber"), 16) + 1)
            contents = rpc.batch([("eth_getBlockByNumber", [hex(number), True]) for number in blocks])
            sender = address_of(keys[name]).lower()
            found[name] = [
                number
                for number, block in enumerate(contents)
                for one in block["transactions"]
                if one["from"] == sender
            ]
    finally:
        for chain in running:
            anvil.stop(chain.pid)
    return found


def check_deployment(found: dict[str, list[int]]) -> None:
    for name, blocks in found.items():
        assert len(blocks) > 10, name
        assert max(blocks) - min(blocks) < LONGEST_DEPLOYMENT, (name, blocks)
        # Three waves; a node may leave some of a wave to the next block.
        assert len(set(blocks)) <= 6, (name, blocks)


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_a_deployment_to_hardhat_takes_few_blocks(tmp_path: Path) -> None:
    check_deployment(deployed(chains.hardhat, chains.give, tmp_path))


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_deployment_to_geth_takes_few_blocks(tmp_path: Path) -> None:
    check_deployment(deployed(chains.geth, chains.Giver(tmp_path / "giver"), tmp_path))


class Miner:
    """Makes a block where transactions wait and no more come, and counts those that somebody waited for.

    So a slow machine makes no more blocks than a quick one: only what depends on what is in a block needs another.
    """

    def __init__(self, rpc: Rpc, *, others: set[str]) -> None:
        self._rpc = rpc
        self._others = others
        self._first = int(rpc.call("eth_blockNumber"), 16)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def count(self) -> int:
        """Return how many blocks were made since the start, without those that hold others' transactions only."""
        last = int(self._rpc.call("eth_blockNumber"), 16)
        asked = [("eth_getBlockByNumber", [hex(number), True]) for number in range(self._first + 1, last + 1)]
        senders = [{one["from"] for one in block["transactions"]} for block in self._rpc.batch(asked)]
        return sum(not found or bool(found - self._others) for found in senders)

    def _run(self) -> None:
        waited = 0
        while not self._over.wait(0.5):
            waiting = anvil.waiting(self._rpc)
            if waiting and waiting == waited:
                anvil.mine(self._rpc)
            waited = waiting

    def __enter__(self) -> Miner:
        anvil.mine_at_once(self._rpc, False)
        anvil.mine_every(self._rpc, 0)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)
        anvil.mine_at_once(self._rpc, True)


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_no_step_waits_for_more_blocks_than_depend_on_each_other(tmp_path: Path) -> None:
    waited: dict[str, int] = {}
    with running_world() as world:
        rpc = world.network.mainchain.rpc
        # Proxies anchor their logs when it is time, whatever goes on.
        anchoring = {proxy.address.lower() for proxy in Devnet.status(world.home).proxies}

        @contextmanager
        def step(name: str) -> Iterator[None]:
            with Miner(rpc, others=anchoring) as miner:
                yield
                waited[name] = miner.count()

        for name in ("first", "second"):
            (tmp_path / name).mkdir()
        (tmp_path / "first" / "bundle.json").write_bytes(sample_bundle(1))
        (tmp_path / "second" / "bundle.json").write_bytes(sample_bundle(2))
        # The first one gets ether, which a development network gives in a block of its own.
        world.hospital.upload([tmp_path / "first"], "patient")
        with step("upload"):
            assert world.hospital.upload([tmp_path / "second"], "patient").records
        until = world.network.mainchain.head_block().time + 86_400
        with step("grant"):
            policy: Any = world.patient.grant("clinician", ["laboratory"], until=until)
        assert policy.deposited == 3
        with step("open"):
            assert list(world.clinician.open(policy.policy_id))
        with step("revoke"):
            assert world.patient.revoke(policy.policy_id).deleted == 3
    assert waited == LEAST
