"""What contracts keep, read from the storage of real ones, and proven; and what a forged key gets from it: nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from eth_abi import decode, encode

from panachain.chain import proven
from panachain.chain.abi import contract
from panachain.config import Config
from panachain.crypto import umbral
from panachain.errors import IntegrityError, SuspendedError
from panachain.model.actors import Role
from panachain.model.scope import Purpose
from panachain.sdk import Network, open_actor
from panachain.sdk.patient import Patient
from panachain.sdk.profiles import load_profile
from tests.hostile.lying_node import Lie, LyingNode, changing_logs, hiding_logs, is_log_of, together, without
from tests.support import PASSPHRASE, World

EVIL = umbral.SecretKey.random().public


@contextmanager
def seen_through(world: World, lie: Lie) -> Iterator[tuple[Patient, LyingNode]]:
    """Yield the patient, whose only mainchain node lies."""
    with LyingNode(world.network.mainchain.rpc.url, lie) as node:
        config = Config.load({"home": str(world.home), "mainchain_rpc": node.url}, {})
        with Network.open(config) as network:
            patient = open_actor(network, load_profile(world.home, "patient"), PASSPHRASE)
            assert isinstance(patient, Patient)
            yield patient, node


def forging_keys(*accounts: str, receiving_key: bytes = EVIL, endpoint: str | None = None) -> Lie:
    """Show other keys, and another endpoint, in the registrations of some actors."""
    entry = next(one for one in contract("ActorRegistry").entries if one.get("name") == "ActorRegistered")
    rest = [item for item in entry["inputs"] if not item["indexed"]]
    names, types = [item["name"] for item in rest], [item["type"] for item in rest]
    topic = contract("ActorRegistry").topic("ActorRegistered")
    forged = {account.lower()[2:] for account in accounts}

    def change(logs: list[Any]) -> list[Any]:
        for log in logs:
            if log["topics"][0] != topic or log["topics"][1][-40:] not in forged:
                continue
            values = dict(zip(names, decode(types, bytes.fromhex(log["data"][2:])), strict=True))
            values["receivingKey"] = receiving_key
            values["endpoint"] = values["endpoint"] if endpoint is None else endpoint
            log["data"] = "0x" + encode(types, [values[name] for name in names]).hex()
        return logs

    return changing_logs(change)


def grant(patient: Patient, grantee: str = "researcher", purpose: Purpose = Purpose.HRESCH) -> Any:
    return patient.grant(grantee, ["laboratory"], purpose=purpose, until=int(time.time()) + 86_400)


class TestStorage:
    def test_of_public_actors_is_what_they_registered_with(self, world: World) -> None:
        chain = world.network.mainchain
        actors = chain.actors.find()
        assert {actor.role for actor in actors} >= {Role.HOSPITAL, Role.PROXY, Role.RESEARCHER}

        kept = proven.prove_actors(chain, chain.nodes.head(), [actor.address for actor in actors])

        assert all(one.fits(actor) and one.status is actor.status for one, actor in zip(kept, actors, strict=True))

    def test_of_persons_is_what_they_registered_with(self, world: World) -> None:
        chain = world.network.sidechain
        persons = chain.identities.find()
        assert {actor.role for actor in persons} == {Role.PATIENT, Role.PRACTITIONER}

        kept = proven.prove_identities(chain, chain.nodes.head(), [actor.address for actor in persons])

        assert all(one.fits(actor) and one.status is actor.status for one, actor in zip(kept, persons, strict=True))

    def test_of_groups_and_their_members_is_what_the_contract_says(self, world: World) -> None:
        chain, manager, member = world.network.sidechain, world.clinician, world.stranger
        view = manager.create_group()
        group = world.network.resolve(view.group, Role.GROUP)
        manager.add_member(group.address, member.address)

        def members() -> list[bool]:
            people = [manager.address, member.address, world.patient.address]
            found = proven.prove_members(chain, chain.nodes.head(), group.address, people)
            assert found == [chain.groups.is_member(group.address, person) for person in people]
            return found

        assert members() == [True, False, False]
        member.accept_group(group.address)
        assert members() == [True, True, False]
        (kept,) = proven.prove_groups(chain, chain.nodes.head(), [group.address])
        assert kept.fits(group)
        assert (kept.manager, kept.closed) == (manager.address, False)
        chain.groups.close(manager._sender(sidechain=True), group.address)
        (kept,) = proven.prove_groups(chain, chain.nodes.head(), [group.address])
        assert kept.closed

    def test_of_policies_is_what_the_contract_says(self, world: World) -> None:
        chain = world.network.mainchain
        view = grant(world.patient)
        on_chain = chain.policies.policy_of(view.policy_id)

        (kept,) = proven.prove_policies(chain, chain.nodes.head(), [view.policy_id])
        assert (kept.starts_at, kept.expires_at, kept.revoked_at) == (on_chain.starts_at, on_chain.expires_at, 0)

        world.patient.revoke(view.policy_id)
        (kept,) = proven.prove_policies(chain, chain.nodes.head(), [view.policy_id])
        assert kept.revoked_at == chain.nodes.head().time or kept.revoked_at > on_chain.starts_at


class TestForgedKeys:
    @pytest.fixture
    def accounts(self, world: World) -> list[str]:
        return [*(proxy.address for proxy in world.network.proxies()), world.researcher.address]

    def test_of_proxies_and_grantee_get_nothing(self, world: World, accounts: list[str]) -> None:
        before = world.network.mainchain.policies.bound.rpc.call("eth_blockNumber")
        lie = forging_keys(*accounts)

        with seen_through(world, lie) as (patient, node), pytest.raises(IntegrityError, match=node.url):
            grant(patient)

        assert world.network.mainchain.rpc.call("eth_blockNumber") == before

    def test_of_the_grantee_alone_get_nothing(self, world: World) -> None:
        with (
            seen_through(world, forging_keys(world.researcher.address)) as (patient, node),
            pytest.raises(IntegrityError, match=node.url),
        ):
            grant(patient)

    def test_of_one_proxy_get_nothing(self, world: World, accounts: list[str]) -> None:
        with (
            seen_through(world, forging_keys(accounts[0])) as (patient, node),
            pytest.raises(IntegrityError, match=node.url),
        ):
            grant(patient)

    def test_get_nothing_either_when_the_node_says_that_it_can_not_prove(
        self, world: World, accounts: list[str]
    ) -> None:
        lie = together(forging_keys(*accounts), without("eth_getProof"))

        with seen_through(world, lie) as (patient, node), pytest.raises(IntegrityError, match=node.url):
            grant(patient)

    def test_of_a_hospital_get_no_pairing(self, world: World) -> None:
        lie = forging_keys(world.hospital.address)

        with seen_through(world, lie) as (patient, node), pytest.raises(IntegrityError, match=node.url):
            patient.pair("hospital")

    def test_the_honest_node_is_believed_on_the_same_path(self, world: World) -> None:
        with seen_through(world, without()) as (patient, _):
            assert grant(patient).lacking == 0
        with seen_through(world, without("eth_getBlockReceipts")) as (patient, _):
            assert grant(patient).lacking == 0


class TestSuspended:
    def test_a_suspension_that_a_node_hides_is_an_error_that_names_it(self, world: World) -> None:
        chain, proxy = world.network.mainchain, world.network.proxies()[0]
        topic = contract("ActorRegistry").topic("ActorSuspended")
        registrar = open_actor(world.network, load_profile(world.home, "registrar"), PASSPHRASE)
        sender = world.network.sender(registrar._seed.account_key())
        chain.actors.suspend(sender, proxy.address)
        try:
            lie = hiding_logs(is_log_of(chain.actors.address, topic))
            with seen_through(world, lie) as (patient, node), pytest.raises(IntegrityError, match=node.url):
                grant(patient)
        finally:
            chain.actors.reinstate(sender, proxy.address)

    def test_who_was_suspended_meanwhile_is_passed_over(self, world: World) -> None:
        chain, proxies = world.network.mainchain, world.network.proxies()
        registrar = open_actor(world.network, load_profile(world.home, "registrar"), PASSPHRASE)
        sender = world.network.sender(registrar._seed.account_key())
        chain.actors.suspend(sender, proxies[0].address)
        try:
            assert world.network.keys.check_proxies(proxies) == {proxies[0].address}
            with pytest.raises(SuspendedError, match="suspended"):
                world.network.keys.check_active([world.network.resolve(proxies[0].address)])
        finally:
            chain.actors.reinstate(sender, proxies[0].address)
