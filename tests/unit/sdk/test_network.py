"""What an actor works in: read from a file, closed as a whole, and never believed where the contract says otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panachain.config import Config
from panachain.errors import ConfigurationError, IntegrityError, LockedError
from panachain.model.policy import ProxyRef
from panachain.sdk.network import Network
from panachain.sdk.relay import LocalRelay, Relays
from tests.twin.chains import MAIN
from tests.twin.world import START, World
from tests.unit.sdk.helpers import upload

CHAIN = {"url": "http://127.0.0.1:1", "chainId": 5, "contracts": {}}
DESCRIPTION: dict[str, Any] = {
    "schema": "panachain/network/1",
    "mainchain": CHAIN | {"contracts": MAIN},
    "sidechain": CHAIN | {"chainId": 6, "url": "http://127.0.0.1:2"},
    "threshold": 2,
    "ipfs": {"kind": "embedded"},
}


def settings(home: Path, **more: str) -> Config:
    return Config.load({"home": str(home), **more}, {})


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with Network(settings(tmp_path), DESCRIPTION, clock=lambda: float(START)) as network:
        yield network


class TestOpen:
    def test_reads_the_file_of_the_settings(self, tmp_path: Path) -> None:
        (tmp_path / "network.json").write_text(json.dumps(DESCRIPTION))
        with Network.open(settings(tmp_path)) as network:
            assert (network.threshold, network.faucet, network.relays) == (2, False, ())
            assert (network.mainchain.chain_id, network.sidechain.chain_id) == (5, 6)
            assert network.home == tmp_path

    def test_no_file_is_told_with_what_makes_one(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="no network is set up") as caught:
            Network.open(settings(tmp_path))
        assert "devnet up" in caught.value.hint

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "[]",
            "{}",
            "\x00",
            json.dumps(DESCRIPTION | {"schema": "panachain/network/2"}),
            json.dumps({name: value for name, value in DESCRIPTION.items() if name != "threshold"}),
            json.dumps({name: value for name, value in DESCRIPTION.items() if name != "sidechain"}),
            json.dumps(DESCRIPTION | {"mainchain": CHAIN | {"chainId": "five"}}),
            json.dumps(DESCRIPTION | {"mainchain": []}),
        ],
    )
    def test_a_damaged_file_is_a_configuration_error(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "network.json").write_text(content)
        with pytest.raises(ConfigurationError, match=r"network\.json"):
            Network.open(settings(tmp_path))


def test_files_are_beside_the_network_file(tmp_path: Path) -> None:
    described = DESCRIPTION | {"proxyCaFile": "tls/ca.pem"}
    with Network(settings(tmp_path), described) as network:
        assert network.proxy_ca == tmp_path / "tls" / "ca.pem"


def test_the_clock_is_the_callers(network: Network) -> None:
    assert network.clock() == START


class TestRelay:
    def test_a_network_without_one_says_where_to_name_it(self, network: Network) -> None:
        with pytest.raises(ConfigurationError, match="names no relay") as caught:
            network.relay()
        assert "relayKeyFile" in caught.value.hint

    def test_the_own_account_alone_needs_no_other(self, tmp_path: Path) -> None:
        key = tmp_path / "relay.key"
        key.write_text("11" * 32)
        key.chmod(0o600)
        with Network(settings(tmp_path), DESCRIPTION | {"relayKeyFile": "relay.key"}) as network:
            assert isinstance(network.relay(), LocalRelay)

    def test_a_key_that_others_may_read_pays_nothing(self, tmp_path: Path) -> None:
        key = tmp_path / "relay.key"
        key.write_text("11" * 32)
        key.chmod(0o644)
        with (
            Network(settings(tmp_path), DESCRIPTION | {"relayKeyFile": "relay.key"}) as network,
            pytest.raises(LockedError),
        ):
            network.relay()

    def test_relays_elsewhere_are_never_believed(self, tmp_path: Path) -> None:
        with Network(settings(tmp_path), DESCRIPTION | {"relays": ["http://127.0.0.1:3"]}) as network:
            assert network.relays == ("http://127.0.0.1:3",)
            assert isinstance(network.relay(), Relays)


class TestProxies:
    def test_are_those_that_are_not_suspended(self, world: World) -> None:
        assert [proxy.address for proxy in world.network.proxies()] == [proxy.address for proxy in world.proxies]
        world.registrar.suspend(world.proxies[0].address)
        assert [proxy.address for proxy in world.network.proxies()] == [proxy.address for proxy in world.proxies[1:]]

    def test_of_a_policy_are_asked_where_the_registry_says_with_the_policys_keys(self, world: World) -> None:
        known = world.network.proxies()
        moved = [replace(proxy, endpoint="http://old.test", key_digest=b"kept") for proxy in known]
        unknown = ProxyRef(world.patient.address, "http://gone.test", b"")
        found = world.network.reachable([*moved, unknown])
        assert [proxy.endpoint for proxy in found] == [*(proxy.endpoint for proxy in known), ""]
        assert {proxy.key_digest for proxy in found[:-1]} == {b"kept"}


class TestHeads:
    def test_every_hospital_has_one_also_a_suspended_one(self, world: World) -> None:
        upload(world)
        world.registrar.suspend(world.hospital.address)
        heads = {head.hospital: head.manifests for head in world.network.hospital_heads()}
        assert {where: len(manifests) for where, manifests in heads.items()} == {
            world.hospital.address: 1,
            world.clinic.address: 0,
        }

    @pytest.mark.parametrize("shown", [(1,), (0, 2), (0, 2, 1)])
    def test_a_history_with_a_gap_is_noticed(
        self, world: World, monkeypatch: pytest.MonkeyPatch, shown: tuple[int, ...]
    ) -> None:
        # What is left out at the end is the follower's to notice: tests/hostile/test_follower.py.
        for _ in range(3):
            upload(world)
        events = list(world.network.mainchain.ledger.events(hospital=world.hospital.address))
        monkeypatch.setattr(world.network.mainchain.ledger, "events", lambda **_: iter([events[at] for at in shown]))
        with pytest.raises(IntegrityError, match="doesn't follow"):
            world.network.manifests_of(world.hospital.address)

    def test_a_node_that_shows_another_manifest_is_noticed(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        upload(world)
        upload(world)
        events = list(world.network.mainchain.ledger.events(hospital=world.hospital.address))
        forged = [replace(events[0], manifest=b"\x01" * 32), events[1]]
        monkeypatch.setattr(world.network.mainchain.ledger, "events", lambda **_: iter(forged))
        with pytest.raises(IntegrityError):
            world.network.hospital_heads()
