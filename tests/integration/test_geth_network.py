"""The story on a mainchain of four geth nodes, of which some are killed, cut off and come back meanwhile.

Everybody's network file names all four with a quorum of three. The nodes are tests/geth_network.py's.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from panachain.chain import anvil
from panachain.chain.abi import contract
from panachain.chain.anvil import ChainProcess
from panachain.chain.logs import read_events
from panachain.chain.rpc import Rpc
from panachain.devnet import lifecycle
from panachain.errors import ChainUnavailableError, PolicyRevokedError, StuckError, UnavailableError
from panachain.private_files import write_private
from panachain.records.samples import sample_dicom
from panachain.sdk.results.policies import PolicyView
from tests import chains
from tests.geth_network import QUORUM, GethNetwork, running_network
from tests.support import World, running_world

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]
CHAIN_ID = 31_337


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="panachain-geth-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def geths(folder: Path) -> Iterator[GethNetwork]:
    with running_network(folder, CHAIN_ID) as network:
        yield network


@pytest.fixture(scope="module")
def world(geths: GethNetwork, folder: Path) -> Iterator[World]:
    real = lifecycle.write_network

    def first(place: Path, *, chain_id: int, free: bool) -> ChainProcess:
        return ChainProcess(geths.nodes[0].pid, int(geths.nodes[0].url.rpartition(":")[2]))

    def naming_all(home: Path, *arguments: Any, **named: Any) -> dict[str, Any]:
        network = real(home, *arguments, **named)
        network["mainchain"] |= {"url": [node.url for node in geths.nodes], "quorum": QUORUM}
        write_private(home / "network.json", json.dumps(network, indent=1).encode())
        return network

    with ExitStack() as stack:
        stack.enter_context(chains.chains_of(first, anvil.start, fund=giving(chains.Giver(folder / "giver"))))
        stack.enter_context(patch.object(lifecycle, "write_network", naming_all))
        yield stack.enter_context(running_world())


def giving(give: chains.Giver) -> Callable[..., None]:
    """Give as each chain can: the sidechain is Anvil."""
    real = anvil.fund

    def fund(rpc: Rpc, account: str, ether: int = 1000) -> None:
        if int(rpc.call("eth_chainId"), 16) == CHAIN_ID:
            give(rpc, account, ether)
        else:
            real(rpc, account, ether)

    return fund


@contextmanager
def meanwhile(do: Callable[[], None]) -> Iterator[None]:
    """Do something beside what the block does, all of it before this ends."""
    broken: list[BaseException] = []

    def run() -> None:
        try:
            do()
        except BaseException as exc:  # noqa: BLE001 - it is raised again below
            broken.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(300)
    assert not thread.is_alive()
    if broken:
        raise broken[0]


def harms(geths: GethNetwork, *, killed: int, cut: int) -> Callable[[], None]:
    """Kill one node and bring it back, then cut off another one and let it join again."""

    def harm() -> None:
        geths.kill(killed)
        geths.wait_blocks(2)
        geths.revive(killed)
        geths.wait_blocks(1)
        geths.cut(cut)
        geths.wait_blocks(2)
        geths.rejoin(cut)
        geths.wait_blocks(1)

    return harm


def await_agreement(geths: GethNetwork) -> None:
    deadline = time.monotonic() + 120
    while not geths.agree() and time.monotonic() < deadline:
        geths.check()
        time.sleep(0.2)
    assert geths.agree(), [node.head() for node in geths.nodes]


def source(folder: Path, first: int, count: int) -> Path:
    folder.mkdir()
    for number in range(first, first + count):
        (folder / f"{number}.dcm").write_bytes(sample_dicom(number))
    return folder


def events(world: World, name: str, event: str) -> list[dict[str, Any]]:
    on = world.network.mainchain
    found = read_events(on.rpc, contract(name), on.addresses[name], from_block=on.from_block)
    return [one.values for one in found if one.name == event]


def is_mended(world: World, policy: PolicyView, *, revoked: bool) -> bool:
    if revoked:
        report = world.patient.revocation(policy.policy_id)
        # A proxy that lacked its share when the policy was revoked has nothing that it could delete.
        return report.final and report.deleted >= policy.deposited
    return [one.lacking for one in world.patient.policies() if one.policy_id == policy.policy_id] == [0]


def settle(world: World, policy: PolicyView, *, revoked: bool) -> None:
    """Settle as often as it takes: a proxy on a busy machine may miss a call, which is left for the next time."""
    deadline = time.monotonic() + 120
    world.patient.settle()
    while not is_mended(world, policy, revoked=revoked) and time.monotonic() < deadline:
        time.sleep(1)
        world.patient.settle()
    assert is_mended(world, policy, revoked=revoked)


def test_nothing_is_lost_or_done_twice_while_nodes_die_and_are_cut_off(
    world: World, geths: GethNetwork, tmp_path: Path
) -> None:
    before = len(list(world.patient.records()))
    published, policies = 0, []
    for round_number in range(4):
        killed, cut = round_number, (round_number + 2) % 4
        with meanwhile(harms(geths, killed=killed, cut=cut)):
            for step in range(3):
                number = 100 * round_number + 10 * step
                folder = source(tmp_path / f"source-{number}", number + 1, 4)
                published += len(world.hospital.upload([folder], "patient").records)
            until = world.network.mainchain.head_block().time + 86_400
            policy = world.patient.grant("clinician", ["all"], until=until)
            # A proxy whose nodes don't agree at that moment is told as lacking, and gets its share later.
            assert policy.deposited >= 2
            assert policy.deposited + policy.lacking == 3
            policies.append(policy.policy_id)
            opened = [record.content for record in world.clinician.open(policy.policy_id)]
            assert len(opened) == len(set(opened)) == before + published
            if round_number % 2:
                world.patient.revoke(policy.policy_id)
        await_agreement(geths)
        # What couldn't be proven or deleted at once is said, and mended once the proxies answer again.
        settle(world, policy, revoked=bool(round_number % 2))
    assert len(list(world.patient.records())) == before + published
    granted = [str(one["policyId"]).lower() for one in events(world, "PolicyRegistry", "PolicyGranted")]
    assert sorted(granted) == sorted(policy.lower() for policy in policies)
    for number, policy_id in enumerate(policies):
        if number % 2:
            with pytest.raises(PolicyRevokedError):
                list(world.clinician.open(policy_id))
        else:
            assert len(list(world.clinician.open(policy_id))) == before + published


def test_the_first_node_may_lag_for_as_long_as_it_likes(world: World, geths: GethNetwork, tmp_path: Path) -> None:
    """It answers whoever asks, with what it saw before it was cut off."""
    before = len(list(world.patient.records()))
    geths.cut(0)
    published = len(world.hospital.upload([source(tmp_path / "source", 700, 3)], "patient").records)
    until = world.network.mainchain.head_block().time + 86_400
    policy = world.patient.grant("clinician", ["all"], until=until)
    assert (policy.deposited, policy.lacking) == (3, 0)
    assert len(list(world.clinician.open(policy.policy_id))) == before + published
    assert world.patient.revoke(policy.policy_id).deleted == 3
    geths.rejoin(0)
    await_agreement(geths)
    settle(world, policy, revoked=True)


def test_without_a_quorum_each_step_says_so_and_goes_on_later(world: World, geths: GethNetwork, tmp_path: Path) -> None:
    await_agreement(geths)
    before = len(list(world.patient.records()))
    folder = source(tmp_path / "source", 900, 3)
    # 1. Two are gone: nobody agrees on a head, and both are named.
    geths.kill(1)
    geths.kill(3)
    with pytest.raises(ChainUnavailableError, match=r"3 of 4 nodes must agree, too few do") as caught:
        world.hospital.upload([folder], "patient")
    assert all(geths.nodes[number].url in str(caught.value) for number in (1, 3))
    geths.revive(3)
    geths.wait_blocks(1)
    world.hospital.upload([folder], "patient")
    geths.revive(1)
    await_agreement(geths)
    assert len(list(world.patient.records())) == before + 3

    # 2. Two are cut off and answer whoever asks: the head that all know grows old, and nothing is mined.
    geths.cut(0)
    geths.cut(2)
    until = world.network.mainchain.head_block().time + 86_400
    with pytest.raises((UnavailableError, StuckError)) as stalled:
        world.patient.grant("clinician", ["imaging"], until=until)
    assert "no new block for" in str(stalled.value) or "agree" in str(stalled.value), stalled.value
    geths.rejoin(0)
    geths.rejoin(2)
    geths.wait_blocks(2)
    await_agreement(geths)
    assert world.patient.settle() is not None
    granted = [policy for policy in world.patient.policies() if policy.expires_at == until]
    assert len(granted) == 1
    assert {record.info.category.value for record in world.clinician.open(granted[0].policy_id)} == {"imaging"}
