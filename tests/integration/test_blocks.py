"""The whole story on chains with blocks of two seconds, on which proxies want a block above each grant."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from panachain.chain import anvil
from panachain.errors import PolicyRevokedError
from panachain.records.samples import sample_bundle
from tests import chains
from tests.support import World, running_world


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
