"""Real chains behind nodes that lie: what contracts keep is proven, and each lie is an error that names its node.

Nothing is granted or opened meanwhile. The actors are on a machine that sees the chain for the first time, so that no
copy of theirs knows better; TestCopies is about what a copy adds.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from eth_abi import decode, encode

from panachain.chain import anvil, proven
from panachain.chain.abi import contract
from panachain.config import Config
from panachain.crypto import keys
from panachain.errors import ChainUnavailableError, IntegrityError, SuspendedError
from panachain.follow.follower import SETTLED
from panachain.follow.opening import FOLDER
from panachain.model.actors import Role
from panachain.model.policy import PolicyStatus
from panachain.model.scope import Purpose
from panachain.sdk import Network, open_actor
from panachain.sdk.patient import Patient
from panachain.sdk.profiles import load_profile
from tests.hostile.lying_node import (
    Lie,
    LyingNode,
    answering,
    changing_logs,
    forged_call,
    forked_after,
    head_ahead_of,
    hiding_blocks_of,
    hiding_logs,
    honest,
    is_log_of,
    rehashed,
    stopped_at,
    together,
    without,
)
from tests.support import PASSPHRASE, World

OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "category": [{"coding": [{"code": "laboratory"}]}],
    "code": {"text": "glucose"},
}
pytestmark = pytest.mark.deep

EVIL = keys.Seed.random().public_keys().digest


@contextmanager
def machine(world: World, *, copied: bool = False) -> Iterator[Path]:
    """Yield a home like the world's, without its copies of the chains, or with them."""
    folder = Path(tempfile.mkdtemp(prefix="panachain-test-"))
    left_out = shutil.ignore_patterns("*.sock", "*.lock", *(() if copied else (FOLDER,)))
    try:
        shutil.copytree(world.home, folder / "home", ignore=left_out)
        yield folder / "home"
    finally:
        shutil.rmtree(folder)


@contextmanager
def seen_through(
    world: World, lie: Lie = honest, who: str = "patient", *, home: Path | None = None
) -> Iterator[tuple[Any, LyingNode]]:
    """Yield an actor whose only mainchain node lies, and the node.

    Args:
        world: whose mainchain it is.
        lie: what it tells.
        who: the actor.
        home: the actor's machine; None makes one that never saw the chain.
    """
    with ExitStack() as stack:
        node = stack.enter_context(LyingNode(world.network.mainchain.rpc.url, lie))
        home = stack.enter_context(machine(world)) if home is None else home
        config = Config.load({"home": str(home), "mainchain_rpc": node.url}, {})
        network = stack.enter_context(Network.open(config))
        yield open_actor(network, load_profile(home, who), PASSPHRASE), node


def forging_keys(
    *accounts: str,
    endpoint: str | None = None,
    registry: tuple[str, str] = ("ActorRegistry", "ActorRegistered"),
) -> Lie:
    """Show another key block, and another endpoint, in the registrations of some actors."""
    name, event = registry
    entry = next(one for one in contract(name).entries if one.get("name") == event)
    rest = [item for item in entry["inputs"] if not item["indexed"]]
    names, types = [item["name"] for item in rest], [item["type"] for item in rest]
    topic = contract(name).topic(event)
    forged = {account.lower()[2:] for account in accounts}

    def change(logs: list[Any]) -> list[Any]:
        for log in logs:
            if log["topics"][0] != topic or log["topics"][1][-40:] not in forged:
                continue
            values = dict(zip(names, decode(types, bytes.fromhex(log["data"][2:])), strict=True))
            values["keyDigest"] = EVIL
            if endpoint is not None:
                values["endpoint"] = endpoint
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
            return [chain.groups.is_member(group.address, person) for person in people]

        assert members() == [True, False, False]
        member.accept_group(group.address)
        assert members() == [True, True, False]
        (kept,) = proven.prove_groups(chain, chain.nodes.head(), [group.address])
        assert kept.fits(group)
        assert (kept.manager, kept.closed) == (manager.address, False)
        manager.close_group(view.group)
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


@pytest.fixture(scope="module")
def filled(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return the world with two records and one policy of the clinician's in force, and one that is revoked."""
    place = tmp_path_factory.mktemp("records")
    for number in range(2):
        path = place / f"observation-{number}.json"
        path.write_text(json.dumps(OBSERVATION | {"id": str(number), "effectiveDateTime": f"202{number}-02-03"}))
        world.hospital.upload([path], "patient")
    grant(world.patient, "clinician", Purpose.TREAT)
    revoked = grant(world.patient, "clinician", Purpose.TREAT)
    world.patient.revoke(revoked.policy_id)
    return world


def kinds_of_logs() -> dict[str, tuple[str, str]]:
    """Return contract and event of what a lying node would hide."""
    return {
        "an upload": ("RecordLedger", "RecordsStored"),
        "an actor": ("ActorRegistry", "ActorRegistered"),
        "a grant": ("PolicyRegistry", "PolicyGranted"),
        "a revocation": ("PolicyRegistry", "PolicyRevoked"),
    }


HIDDEN = kinds_of_logs()


class TestHidden:
    """The newest event of a kind is hidden; a node that hides all of them fares no better."""

    def newest(self, world: World, kind: str) -> Any:
        """Return what tells the newest log of a kind from all others."""
        name, event = HIDDEN[kind]
        chain = world.network.mainchain
        *_, last = chain.bind(name).events(event)
        topic = contract(name).topic(event)
        wanted = is_log_of(chain.addresses[name], topic)
        return lambda log: (
            wanted(log)
            and (log["transactionHash"], int(log["logIndex"], 16))
            == (
                last.tx_hash,
                last.index,
            )
        )

    @pytest.mark.parametrize("who", ["patient", "clinician"])
    @pytest.mark.parametrize("kind", HIDDEN)
    def test_is_found_by_the_receipts_root(self, filled: World, kind: str, who: str) -> None:
        with (
            seen_through(filled, hiding_logs(self.newest(filled, kind)), who) as (actor, node),
            pytest.raises(IntegrityError, match=rf"{node.url} .*receipts of block"),
        ):
            act(actor)

    @pytest.mark.parametrize(
        "kind", [pytest.param(kind, marks=[] if kind == "a revocation" else pytest.mark.deep) for kind in HIDDEN]
    )
    def test_is_found_by_the_header_if_its_bloom_is_cleared(self, filled: World, kind: str) -> None:
        with seen_through(filled, who="clinician") as (actor, node):
            node.lie = hiding_blocks_of(self.newest(filled, kind), node)
            with pytest.raises(IntegrityError, match=rf"{node.url} .*has hash"):
                act(actor)

    def test_a_receipt_that_is_left_out_is_found(self, filled: World) -> None:
        lie = answering("eth_getBlockReceipts", lambda answer: answer and answer[:-1])
        with (
            seen_through(filled, lie) as (actor, node),
            pytest.raises(IntegrityError, match=rf"{node.url} .*receipts of block"),
        ):
            act(actor)

    def test_all_receipts_withheld_are_found(self, filled: World) -> None:
        with (
            seen_through(filled, answering("eth_getBlockReceipts", lambda _: None)) as (actor, node),
            pytest.raises(IntegrityError, match=rf"{node.url} .*no receipts of block"),
        ):
            act(actor)


class TestHistory:
    def test_a_broken_link_is_found(self, filled: World) -> None:
        at = hex(filled.network.mainchain.nodes.head().number - 5)

        def lie(method: str, params: list[Any], answer: Any) -> Any:
            if method == "eth_getBlockByNumber" and params[0] == at:
                return rehashed(answer, parentHash="0x" + "77" * 32)
            return answer

        with seen_through(filled, lie) as (actor, node), pytest.raises(IntegrityError, match=rf"{node.url} .*parent"):
            act(actor)

    def test_another_chain_is_refused(self, filled: World) -> None:
        with (
            seen_through(filled, answering("eth_chainId", lambda _: "0x7")) as (actor, node),
            pytest.raises(IntegrityError, match=rf"{node.url} .*chain 7"),
        ):
            act(actor)

    def test_another_history_from_before_the_deployment_on_is_refused(self, filled: World) -> None:
        with seen_through(filled) as (actor, node):
            first = filled.network.mainchain.from_block
            node.lie = forked_after(first - 1, node, lambda block: {"extraData": "0x1234"})
            with pytest.raises(IntegrityError, match=rf"{node.url} .*network's description"):
                act(actor)

    @pytest.mark.parametrize("ahead", [3600, 30 * 86_400], ids=["hour", "month"])
    def test_a_head_from_the_future_is_refused(self, filled: World, ahead: int) -> None:
        with (
            seen_through(filled, head_ahead_of(time.time(), ahead)) as (actor, node),
            pytest.raises(IntegrityError, match=rf"{node.url} .*ahead of this machine's clock"),
        ):
            act(actor)

    def test_a_status_that_a_call_claims_decides_nothing(self, filled: World) -> None:
        revoked = "0x" + contract("PolicyRegistry").selector("policyOf").hex()
        status = "0x" + contract("PolicyRegistry").selector("statusOf").hex()
        active = f"{PolicyStatus.ACTIVE.value:064x}"
        lie = together(forged_call(revoked, active + f"{0:064x}" + f"{1 << 47:064x}" * 2), forged_call(status, active))

        with seen_through(filled, lie) as (patient, _):
            told = {view.policy_id: view.status for view in patient.policies()}
        assert told == {view.policy_id: view.status for view in filled.patient.policies()}


class TestCopies:
    """What a machine that has seen the chain knows better than any node."""

    def test_an_old_head_hides_nothing_that_was_seen(self, filled: World) -> None:
        policies = {view.policy_id: view.status for view in filled.patient.policies()}
        before = filled.network.mainchain.nodes.head().number - 10
        with machine(filled, copied=True) as home, seen_through(filled, home=home) as (patient, node):
            node.lie = stopped_at(before, node)
            assert {view.policy_id: view.status for view in patient.policies()} == policies

    def test_an_old_head_decides_nothing_where_blocks_come_all_the_time(self, filled: World) -> None:
        with machine(filled) as home:
            path = home / "network.json"
            description = json.loads(path.read_text())
            description["mainchain"]["maxHeadAge"] = 60
            path.write_text(json.dumps(description))
            with seen_through(filled, home=home) as (patient, node):
                node.lie = head_ahead_of(time.time(), -3600)
                with pytest.raises(ChainUnavailableError, match=rf"{node.url} show is 36.. s old, at most 60 s"):
                    patient.network.keys.check(filled.network.resolve("researcher"))

    def test_one_node_takes_back_nothing_that_is_settled(self, filled: World) -> None:
        rpc = filled.network.mainchain.rpc
        for _ in range(SETTLED + 10):
            anvil.mine(rpc)
        filled.network.mainchain.head_block()
        fork = filled.network.mainchain.nodes.head().number - SETTLED - 5
        with machine(filled, copied=True) as home, seen_through(filled, home=home) as (patient, node):
            node.lie = forked_after(fork, node, lambda block: {"extraData": "0x1234"})
            with pytest.raises(IntegrityError, match=rf"{node.url} takes back the blocks above"):
                list(patient.policies())


def act(actor: Any) -> None:
    """Do what gives something away: grant, or open what was granted."""
    if isinstance(actor, Patient):
        grant(actor)
    else:
        for view in actor.inbox():
            list(actor.open(view.policy_id))


class TestForgedKeys:
    @pytest.fixture
    def accounts(self, world: World) -> list[str]:
        return [*(proxy.address for proxy in world.network.proxies()), world.researcher.address]

    def test_of_proxies_and_grantee_get_nothing(self, world: World, accounts: list[str]) -> None:
        policies = world.network.mainchain.bind("PolicyRegistry")
        before = len(list(policies.events("PolicyGranted")))
        lie = forging_keys(*accounts, endpoint="http://127.0.0.1:9")

        with seen_through(world, lie) as (patient, node), pytest.raises(IntegrityError, match=node.url):
            grant(patient)

        assert len(list(policies.events("PolicyGranted"))) == before

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


class TestSidechain:
    def test_a_forged_key_of_a_practitioner_gets_nothing(self, world: World) -> None:
        lie = forging_keys(world.clinician.address, registry=("IdentityRegistry", "IdentityRegistered"))
        state = json.loads((world.home / "devnet" / "processes.json").read_text())
        with LyingNode(state["sidechainUrl"], lie) as node, machine(world) as home:
            config = Config.load({"home": str(home), "sidechain_rpc": node.url}, {})
            with Network.open(config) as network:
                patient = open_actor(network, load_profile(home, "patient"), PASSPHRASE)
                assert isinstance(patient, Patient)
                with pytest.raises(IntegrityError, match=node.url):
                    grant(patient, "clinician", Purpose.TREAT)


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
