"""The contracts and the chain adapters on two real Anvil chains: who may do what, and what a node can't hide.

Each class has chains of its own with one deployment; what a test does to them is taken back after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from panachain.chain import anvil
from panachain.chain.abi import contract
from panachain.chain.contracts.guardianships import guardian_commitment
from panachain.chain.deploy import ADMIN, REGISTRAR, SUSPENDER, Deployment, Governance, deploy
from panachain.chain.evm import Sender
from panachain.chain.logs import read_events
from panachain.chain.mainchain import Mainchain
from panachain.chain.proofs import check_header, mapping_slot
from panachain.chain.receipts import receipt_hash, sign_head
from panachain.chain.rpc import Rpc
from panachain.chain.sidechain import Sidechain
from panachain.chain.signing import Account
from panachain.consent.receipts import check_receipt
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError, PolicyUnknownError, TransactionError, UsageError
from panachain.model.actors import Actor, Address, PolicyId, Role, Status
from panachain.model.guardianship import GuardianProof
from panachain.model.policy import Disclosure, PolicyStatus, Receipt, ReceiptKind
from panachain.model.transactions import Grant, Invitation
from tests.support import chain_refuses

MAIN_ID, SIDE_ID = 31_403, 31_404
DELAY = 3600
"""Seconds for which an administrator waits."""
SETBACK = 5 * 86_400
"""Seconds after which a changed delay of appointments counts, AccessManager's own."""
WEEK = 7 * 86_400
"""Seconds for which an announced operation may be executed, AccessManager's own."""
KEYS = b"k" * 32
"""A compressed point."""
EMPTY_ROOT = "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
"""Root of an empty tree, Yellow Paper."""
CHAINS = pytest.mark.parametrize("chain", ["mainchain", "sidechain"])


@dataclass
class Chains:
    """Two running chains, and where their state lies."""

    main: Rpc
    side: Rpc
    folder: Path

    def account(self) -> Account:
        """Return a new account with ether on the mainchain."""
        account = Account(Seed.random().account_key())
        anvil.fund(self.main, account.address)
        return account


@pytest.fixture(scope="class")
def chains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chains]:
    folder = tmp_path_factory.mktemp("chains")
    started: list[anvil.ChainProcess] = []
    try:
        for name, chain_id, free in (("main", MAIN_ID, False), ("side", SIDE_ID, True)):
            started.append(anvil.start(folder / name, chain_id=chain_id, free=free))
        main, side = (Rpc(chain.url) for chain in started)
        for rpc in (main, side):
            # No idle blocks: a test that takes blocks back must know how many there are.
            rpc.call("evm_setIntervalMining", [0])
            rpc.call("evm_setAutomine", [True])
        yield Chains(main, side, folder)
        main.close()
        side.close()
    finally:
        for chain in started:
            anvil.stop(chain.pid)


def pass_time(rpc: Rpc, seconds: int) -> None:
    rpc.call("evm_increaseTime", [seconds])
    rpc.call("evm_mine")


class Recorder:
    """A node that remembers what it was asked."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self.log_window = 0
        self.calls: list[tuple[str, Any]] = []

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        self.calls.append((method, params))
        return self._rpc.call(method, params)


@dataclass
class Network:
    """One deployment, and everybody who has a part in it."""

    chains: Chains
    validators: list[Account]
    registrar: Account
    admin: Account
    deployers: dict[str, Account]
    """By chain."""
    relay: Account
    deployment: Deployment
    mainchain: Mainchain
    sidechain: Sidechain

    @property
    def locks(self) -> Path:
        return self.chains.folder / "nonces"

    def on(self, chain: str) -> Mainchain | Sidechain:
        return self.mainchain if chain == "mainchain" else self.sidechain

    def sender(self, account: Account, chain: str = "mainchain") -> Sender:
        return self.on(chain).sender(account, lock_folder=self.locks)

    def send(self, account: Account, name: str, function: str, *args: Any, chain: str = "mainchain") -> None:
        self.on(chain).bind(name).send(self.sender(account, chain), function, *args, what=function)

    def read(self, name: str, function: str, *args: Any, chain: str = "mainchain") -> Any:
        return self.on(chain).bind(name).read(function, *args)

    def announce(self, account: Account, name: str, function: str, *args: Any, chain: str = "mainchain") -> None:
        """Schedule a call with the access manager, at the earliest time that it allows."""
        data = bytes.fromhex(contract(name).calldata(function, *args)[2:])
        self.send(account, "AccessManager", "schedule", self.on(chain).addresses[name], data, 0, chain=chain)

    def execute(self, account: Account, name: str, function: str, *args: Any, chain: str = "mainchain") -> None:
        """Let the access manager do what was announced."""
        data = bytes.fromhex(contract(name).calldata(function, *args)[2:])
        self.send(account, "AccessManager", "execute", self.on(chain).addresses[name], data, chain=chain)

    def has_role(self, role: int, account: Account, chain: str = "mainchain") -> bool:
        return bool(self.read("AccessManager", "hasRole", role, account.address, chain=chain)[0])

    def admit(self, role: Role, account: Account | None = None) -> Account:
        """Return an account that the registrar admitted to the mainchain."""
        account = account or self.chains.account()
        self.mainchain.actors.register(self.sender(self.registrar), actor(account, role))
        return account

    def grant(self, owner: Account, **change: Any) -> Grant:
        now = self.mainchain.head_block().time
        fields: dict[str, Any] = {"starts_at": now - 10, "expires_at": now + 9000, "deadline": now + 900}
        return Grant(owner=PolicyId(owner.address), **({"terms": b"t" * 32} | fields | change))

    def granted(self, **change: Any) -> Account:
        """Return the one-time key of a policy that was just granted."""
        owner = unfunded()
        grant = self.grant(owner, **change)
        self.mainchain.policies.grant_by_signature(
            self.sender(self.relay), grant, self.mainchain.policies.sign_grant(owner, grant)
        )
        return owner

    def revoke(self, owner: Account) -> None:
        signature = self.mainchain.policies.sign_revoke(owner)
        self.mainchain.policies.revoke_by_signature(self.sender(self.relay), PolicyId(owner.address), signature)

    def status(self, owner: Account) -> PolicyStatus:
        return self.mainchain.policies.policy_of(PolicyId(owner.address)).status


def actor(account: Account, role: Role, **change: Any) -> Actor:
    endpoint = "https://proxy.example" if role is Role.PROXY else ""
    return replace(Actor(account.address, role, Status.ACTIVE, KEYS, endpoint=endpoint), **change)


def unfunded() -> Account:
    """Return a new account that owns nothing, like each policy's one-time key."""
    return Account(Seed.random().account_key())


def build(chains: Chains, *, validators: Sequence[Account] = (), quorum: int = 2) -> Network:
    """Deploy for new accounts; three validators unless others are given."""
    deployer_key = Seed.random().account_key()
    anvil.fund(chains.main, Account(deployer_key).address)
    registrar, admin, relay = (chains.account() for _ in range(3))
    chosen = list(validators) or [unfunded() for _ in range(3)]
    names = tuple(validator.address for validator in chosen)
    governance = Governance(registrar.address, admin.address, names, quorum, DELAY)
    side_key = Seed.random().account_key()
    folder = chains.folder / "nonces"
    made = deploy(chains.main, chains.side, deployer_key, governance, side_key=side_key, lock_folder=folder)
    main, side = made.mainchain, made.sidechain
    return Network(
        chains=chains,
        validators=chosen,
        registrar=registrar,
        admin=admin,
        deployers={"mainchain": Account(deployer_key), "sidechain": Account(side_key)},
        relay=relay,
        deployment=made,
        mainchain=Mainchain(chains.main, main.contracts, main.chain_id, from_block=main.from_block),
        sidechain=Sidechain(chains.side, side.contracts, side.chain_id, from_block=side.from_block),
    )


@pytest.fixture(scope="class")
def deployed(chains: Chains) -> Network:
    return build(chains)


@pytest.fixture
def network(deployed: Network) -> Iterator[Network]:
    """The deployment of this class, untouched by other tests."""
    nodes = deployed.chains.main, deployed.chains.side
    snapshots = [rpc.call("evm_snapshot") for rpc in nodes]
    yield deployed
    for rpc, snapshot in zip(nodes, snapshots, strict=True):
        assert rpc.call("evm_revert", [snapshot])


@pytest.fixture
def stranger(chains: Chains) -> Account:
    return chains.account()


def members(network: Network, chain: str) -> dict[int, set[str]]:
    """Return who holds each role, as all events of the access manager add up."""
    found: dict[int, set[str]] = {}
    on = network.on(chain)
    for event in read_events(on.rpc, contract("AccessManager"), on.addresses["AccessManager"]):
        if event.name == "RoleGranted":
            found.setdefault(event.values["roleId"], set()).add(event.values["account"])
        elif event.name == "RoleRevoked":
            found[event.values["roleId"]].remove(event.values["account"])
    return found


class TestDeploy:
    def test_roles_have_the_members_of_the_governance_and_nobody_else(self, network: Network) -> None:
        registrar, admin = network.registrar.address.lower(), network.admin.address.lower()
        contracts = {network.sidechain.addresses[name].lower() for name in ("EmergencyAccess", "Wardships")}

        assert members(network, "mainchain") == {ADMIN: {admin}, REGISTRAR: {registrar}}
        assert members(network, "sidechain") == {
            ADMIN: {admin},
            REGISTRAR: {registrar},
            SUSPENDER: {registrar, *contracts},
        }

    @CHAINS
    def test_administrator_has_the_delay_and_the_registrar_none(self, network: Network, chain: str) -> None:
        def holds(role: int, account: Account) -> Any:
            return network.read("AccessManager", "hasRole", role, account.address, chain=chain)

        assert holds(ADMIN, network.admin) == (True, DELAY)
        assert holds(REGISTRAR, network.registrar) == (True, 0)

    def test_each_restricted_function_has_its_role(self, network: Network) -> None:
        expected = {
            "mainchain": {
                "ActorRegistry": {"register": REGISTRAR, "suspend": REGISTRAR, "reinstate": REGISTRAR},
                "Checkpoints": {"setValidators": ADMIN},
            },
            "sidechain": {
                "IdentityRegistry": {"register": REGISTRAR, "suspend": SUSPENDER, "reinstate": REGISTRAR},
                "EmergencyAccess": {"review": REGISTRAR},
                "CareGroups": {"closeByRegistrar": REGISTRAR},
                "Wardships": {"start": REGISTRAR, "endByRegistrar": REGISTRAR},
            },
        }
        for chain, contracts in expected.items():
            for name, functions in contracts.items():
                target, manager = (network.on(chain).addresses[wanted] for wanted in (name, "AccessManager"))
                assert network.read(name, "authority", chain=chain) == manager.lower()
                for function, role in functions.items():
                    selector = contract(name).selector(function)
                    found = network.read("AccessManager", "getTargetFunctionRole", target, selector, chain=chain)
                    assert (function, found) == (function, role)

    def test_contracts_name_what_they_were_made_for(self, network: Network) -> None:
        validators = sorted(account.address.lower() for account in network.validators)

        assert network.read("Checkpoints", "validators") == (tuple(validators), 2)
        assert network.read("Checkpoints", "sidechainId") == SIDE_ID
        for name, function in (("RecordLedger", "recordLedger"), ("AccessLog", "accessLog")):
            assert network.read("ActorRegistry", function) == network.mainchain.addresses[name].lower()

    @CHAINS
    def test_deployer_has_no_power_left(self, network: Network, chain: str) -> None:
        deployer = network.deployers[chain]
        for role in (ADMIN, REGISTRAR, SUSPENDER):
            assert not network.has_role(role, deployer, chain)
            with chain_refuses("AccessManagerUnauthorizedAccount"):
                network.send(deployer, "AccessManager", "grantRole", role, deployer.address, 0, chain=chain)
        with chain_refuses("AccessManagerUnauthorizedCall"):
            network.announce(deployer, "AccessManager", "grantRole", REGISTRAR, deployer.address, 0, chain=chain)

    def test_deployer_admits_and_suspends_nobody(self, network: Network, stranger: Account) -> None:
        deployer, hospital = network.deployers["mainchain"], network.admit(Role.HOSPITAL)

        with chain_refuses("AccessManagedUnauthorized"):
            network.mainchain.actors.register(network.sender(deployer), actor(stranger, Role.HOSPITAL))
        with chain_refuses("AccessManagedUnauthorized"):
            network.mainchain.actors.suspend(network.sender(deployer), hospital.address)
        side = network.sender(network.deployers["sidechain"], "sidechain")
        with chain_refuses("AccessManagedUnauthorized"):
            network.sidechain.identities.register(side, actor(stranger, Role.PATIENT))

    def test_no_contract_has_an_address_that_is_on_the_other_chain(self, network: Network) -> None:
        main, side = (set(chain.contracts.values()) for chain in vars(network.deployment).values())

        assert main.isdisjoint(side)

    @pytest.mark.parametrize("who", ["registrar", "admin"])
    @pytest.mark.parametrize("place", [0, 1], ids=["mainchain", "sidechain"])
    def test_refuses_a_deployer_who_stays_in_charge(self, chains: Chains, who: str, place: int) -> None:
        deployers = [Seed.random().account_key() for _ in range(2)]
        in_charge = {name: unfunded().address for name in ("registrar", "admin")}
        in_charge[who] = Account(deployers[place]).address
        self.refuses(chains, *deployers, in_charge)

    def test_refuses_one_deployer_for_both_chains(self, chains: Chains) -> None:
        key = Seed.random().account_key()
        self.refuses(chains, key, key, {name: unfunded().address for name in ("registrar", "admin")})

    def refuses(self, chains: Chains, main_key: bytes, side_key: bytes, in_charge: dict[str, Address]) -> None:
        governance = Governance(**in_charge, validators=(unfunded().address,), quorum=1, delay=0)
        before = chains.main.call("eth_blockNumber"), chains.side.call("eth_blockNumber")
        folder = chains.folder / "nonces"

        with pytest.raises(UsageError, match="nothing was deployed"):
            deploy(chains.main, chains.side, main_key, governance, side_key=side_key, lock_folder=folder)

        assert (chains.main.call("eth_blockNumber"), chains.side.call("eth_blockNumber")) == before

    @pytest.mark.parametrize("quorum", [0, 4])
    def test_refuses_a_quorum_out_of_reach(self, chains: Chains, quorum: int) -> None:
        with chain_refuses("CheckpointInvalidQuorum"):
            build(chains, quorum=quorum)


class TestAdministration:
    def test_announced_operation_waits_for_the_delay(self, network: Network) -> None:
        admin, only = network.admin, network.validators[0].address
        network.announce(admin, "Checkpoints", "setValidators", [only], 1)

        with chain_refuses("AccessManagerNotReady"):
            network.send(admin, "Checkpoints", "setValidators", [only], 1)
        pass_time(network.chains.main, DELAY - 60)
        with chain_refuses("AccessManagerNotReady"):
            network.send(admin, "Checkpoints", "setValidators", [only], 1)
        assert network.read("Checkpoints", "validators")[1] == 2
        pass_time(network.chains.main, 60)
        network.send(admin, "Checkpoints", "setValidators", [only], 1)

        assert network.read("Checkpoints", "validators") == ((only.lower(),), 1)
        with chain_refuses("AccessManagerNotScheduled"):
            network.send(admin, "Checkpoints", "setValidators", [only], 1)

    def test_nothing_happens_unannounced(self, network: Network) -> None:
        admin, only = network.admin, network.validators[0].address
        network.announce(admin, "Checkpoints", "setValidators", [only], 1)
        pass_time(network.chains.main, DELAY)

        # Announced was something else.
        with chain_refuses("AccessManagerNotScheduled"):
            network.send(admin, "Checkpoints", "setValidators", [admin.address], 1)
        with chain_refuses("AccessManagerNotScheduled"):
            network.send(admin, "AccessManager", "grantRole", REGISTRAR, admin.address, 0)

    def test_announcement_is_cancelled_or_expires(self, network: Network) -> None:
        admin, only = network.admin, network.validators[0].address
        target = network.mainchain.checkpoints.address
        data = bytes.fromhex(contract("Checkpoints").calldata("setValidators", [only], 1)[2:])

        network.announce(admin, "Checkpoints", "setValidators", [only], 1)
        network.send(admin, "AccessManager", "cancel", admin.address, target, data)
        pass_time(network.chains.main, DELAY)
        with chain_refuses("AccessManagerNotScheduled"):
            network.send(admin, "Checkpoints", "setValidators", [only], 1)

        network.announce(admin, "Checkpoints", "setValidators", [only], 1)
        pass_time(network.chains.main, DELAY + WEEK)
        with chain_refuses("AccessManagerExpired"):
            network.send(admin, "Checkpoints", "setValidators", [only], 1)

    def test_rejects_registrar_and_stranger(self, network: Network, stranger: Account) -> None:
        for account in (network.registrar, stranger):
            with chain_refuses("AccessManagerUnauthorizedCall"):
                network.announce(account, "Checkpoints", "setValidators", [account.address], 1)
            with chain_refuses("AccessManagedUnauthorized"):
                network.send(account, "Checkpoints", "setValidators", [account.address], 1)
            with chain_refuses("AccessManagerUnauthorizedAccount"):
                network.send(account, "AccessManager", "grantRole", REGISTRAR, account.address, 0)

    @CHAINS
    def test_handover_in_two_steps(self, network: Network, chain: str) -> None:
        rpc, old, new = network.on(chain).rpc, network.admin, network.chains.account()
        appoint = ("AccessManager", "grantRole", ADMIN, new.address, DELAY)
        dismiss = ("AccessManager", "revokeRole", ADMIN, old.address)
        pass_time(rpc, SETBACK)

        # 1. The old one appoints: announced, executed after its delay, and counting after the delay of appointments.
        network.announce(old, *appoint, chain=chain)
        with chain_refuses("AccessManagerNotReady"):
            network.execute(old, *appoint, chain=chain)
        pass_time(rpc, DELAY)
        network.execute(old, *appoint, chain=chain)
        assert not network.has_role(ADMIN, new, chain)
        with chain_refuses("AccessManagerUnauthorizedCall"):
            network.announce(new, *dismiss, chain=chain)
        pass_time(rpc, DELAY)
        assert network.has_role(ADMIN, new, chain)

        # 2. The new one dismisses the old one, which shows that the new account works.
        network.announce(new, *dismiss, chain=chain)
        pass_time(rpc, DELAY)
        network.execute(new, *dismiss, chain=chain)
        assert members(network, chain)[ADMIN] == {new.address.lower()}
        with chain_refuses("AccessManagerUnauthorizedCall"):
            network.announce(old, *appoint, chain=chain)

    def test_old_administrator_takes_an_appointment_back_before_it_counts(self, network: Network) -> None:
        rpc, old, new = network.chains.main, network.admin, network.chains.account()
        pass_time(rpc, SETBACK)
        for call in (("grantRole", ADMIN, new.address, DELAY), ("revokeRole", ADMIN, new.address)):
            network.announce(old, "AccessManager", *call)
        pass_time(rpc, DELAY)
        network.send(old, "AccessManager", "grantRole", ADMIN, new.address, DELAY)
        network.send(old, "AccessManager", "revokeRole", ADMIN, new.address)
        pass_time(rpc, DELAY)

        assert not network.has_role(ADMIN, new)
        assert members(network, "mainchain")[ADMIN] == {old.address.lower()}

    def test_appointments_of_the_first_five_days_wait_once(self, network: Network) -> None:
        # AccessManager delays each change of the delay of appointments, the deployment's own too.
        rpc, admin, new = network.chains.main, network.admin, network.chains.account()
        assert network.read("AccessManager", "getRoleGrantDelay", REGISTRAR) == 0

        network.announce(admin, "AccessManager", "grantRole", REGISTRAR, new.address, 0)
        pass_time(rpc, DELAY)
        network.send(admin, "AccessManager", "grantRole", REGISTRAR, new.address, 0)

        assert network.has_role(REGISTRAR, new)
        pass_time(rpc, SETBACK - DELAY)
        for role in (ADMIN, REGISTRAR, SUSPENDER):
            assert network.read("AccessManager", "getRoleGrantDelay", role) == DELAY


class TestRedeployment:
    @pytest.fixture
    def second(self, chains: Chains, network: Network) -> Network:
        """The next version on the same chains; the validators stay."""
        return build(chains, validators=network.validators)

    def test_second_deployment_has_addresses_of_its_own(self, network: Network, second: Network) -> None:
        for one, other in (
            (network.deployment.mainchain, second.deployment.mainchain),
            (network.deployment.sidechain, second.deployment.sidechain),
        ):
            assert one.contracts.keys() == other.contracts.keys()
            assert not set(one.contracts.values()) & set(other.contracts.values())
            assert one.chain_id == other.chain_id

    def test_first_works_beside_the_second(self, network: Network, second: Network) -> None:
        hospitals = [made.admit(Role.HOSPITAL) for made in (network, second)]
        for made, hospital in zip((network, second), hospitals, strict=True):
            made.mainchain.ledger.store(made.sender(hospital), b"m" * 32, 2)

        for made, hospital in zip((network, second), hospitals, strict=True):
            assert [found.address for found in made.mainchain.actors.find()] == [hospital.address]
            assert [event.hospital for event in made.mainchain.ledger.events()] == [hospital.address]
            assert made.status(made.granted()) is PolicyStatus.ACTIVE
        with chain_refuses("LedgerNotActiveHospital"):
            second.mainchain.ledger.store(second.sender(hospitals[0]), b"m" * 32, 2)

    def test_registrar_of_the_first_has_no_power_over_the_second(
        self, network: Network, second: Network, stranger: Account
    ) -> None:
        with chain_refuses("AccessManagedUnauthorized"):
            second.mainchain.actors.register(second.sender(network.registrar), actor(stranger, Role.HOSPITAL))

    def test_grants_and_revocations_for_the_first_are_refused_by_the_second(
        self, network: Network, second: Network
    ) -> None:
        owner = unfunded()
        grant = network.grant(owner)
        granted, revoked = (
            network.mainchain.policies.sign_grant(owner, grant),
            network.mainchain.policies.sign_revoke(owner),
        )
        relay = second.sender(second.relay)

        with chain_refuses("PolicyInvalidSignature"):
            second.mainchain.policies.grant_by_signature(relay, grant, granted)
        with chain_refuses("PolicyInvalidSignature"):
            second.mainchain.policies.grant_batch(relay, [(grant, granted)])
        with chain_refuses("PolicyInvalidSignature"):
            second.mainchain.policies.revoke_by_signature(relay, grant.owner, revoked)
        with chain_refuses("PolicyInvalidSignature"):
            second.mainchain.policies.revoke_batch(relay, [(grant.owner, revoked)])

        network.mainchain.policies.grant_by_signature(network.sender(network.relay), grant, granted)
        assert network.status(owner) is PolicyStatus.ACTIVE
        network.mainchain.policies.revoke_by_signature(network.sender(network.relay), grant.owner, revoked)
        assert network.status(owner) is PolicyStatus.REVOKED

    def test_checkpoints_for_the_first_are_refused_by_the_second(self, network: Network, second: Network) -> None:
        signatures = signed_checkpoint(network, 5, b"h" * 32)

        with chain_refuses("CheckpointInvalidSignature"):
            second.mainchain.checkpoints.checkpoint(second.sender(second.relay), 5, b"h" * 32, signatures)
        network.mainchain.checkpoints.checkpoint(network.sender(network.relay), 5, b"h" * 32, signatures)

        assert network.mainchain.checkpoints.newest() == (5, b"h" * 32)
        assert second.mainchain.checkpoints.newest() == (0, bytes(32))

    def test_heads_for_the_first_convict_nobody_at_the_second(self, network: Network, second: Network) -> None:
        proxy = network.admit(Role.PROXY)
        second.admit(Role.PROXY, proxy)
        pairs = [(head, signed_head(network, proxy, 3, head)) for head in (b"a" * 32, b"b" * 32)]

        with chain_refuses("LogInvalidSignature"):
            second.mainchain.log.prove_fork(second.sender(second.relay), proxy.address, 3, *pairs)
        network.mainchain.log.prove_fork(network.sender(network.relay), proxy.address, 3, *pairs)

        assert (status_of(network, proxy), status_of(second, proxy)) == (Status.SUSPENDED, Status.ACTIVE)


class TestActorsAndRecords:
    def test_registrar_admits_and_stranger_does_not(self, network: Network, stranger: Account) -> None:
        proxy = actor(unfunded(), Role.PROXY, endpoint="http://127.0.0.1:8081", organisation=stranger.address)
        hospital = actor(unfunded(), Role.HOSPITAL)

        with chain_refuses("AccessManagedUnauthorized"):
            network.mainchain.actors.register(network.sender(stranger), hospital)
        for admitted in (hospital, proxy):
            network.mainchain.actors.register(network.sender(network.registrar), admitted)
        with chain_refuses("ActorAlreadyRegistered"):
            network.mainchain.actors.register(network.sender(network.registrar), hospital)

        assert network.mainchain.actors.find() == [hospital, proxy]
        assert network.mainchain.actors.find(Role.PROXY) == [proxy]
        assert network.mainchain.actors.actor_of(stranger.address) is None

    def test_one_actor_is_read_by_one_query_with_his_status_and_endpoint(self, network: Network) -> None:
        mainchain, registrar = network.mainchain, network.sender(network.registrar)
        others = [network.admit(Role.HOSPITAL) for _ in range(2)]
        proxy = network.admit(Role.PROXY)
        network.send(proxy, "ActorRegistry", "setEndpoint", "https://moved.example")
        mainchain.actors.suspend(registrar, others[0].address)
        asked = Recorder(mainchain.rpc)
        reader = Mainchain(asked, mainchain.addresses, mainchain.chain_id, from_block=mainchain.from_block)  # type: ignore[arg-type]

        found = reader.actors.actor_of(proxy.address)

        assert found == actor(proxy, Role.PROXY, endpoint="https://moved.example")
        assert [method for method, _ in asked.calls] == ["eth_blockNumber", "eth_getLogs"]
        assert asked.calls[-1][1][0]["topics"] == [None, "0x" + "00" * 12 + proxy.address[2:].lower()]
        assert found in mainchain.actors.find()
        assert [status_of(network, other) for other in others] == [Status.SUSPENDED, Status.ACTIVE]

    def test_heads_add_up_from_the_storage_transactions(self, network: Network) -> None:
        hospital, mainchain = network.admit(Role.HOSPITAL), network.mainchain
        first = mainchain.ledger.first_head(hospital.address)
        assert mainchain.ledger.ledger_of(hospital.address) == (0, first)
        batches = [(bytes([number]) * 32, number) for number in (1, 2, 3)]

        for manifest, count in batches:
            mainchain.ledger.store(network.sender(hospital), manifest, count)

        events = list(mainchain.ledger.events(hospital=hospital.address))
        assert [(event.sequence, event.manifest, event.count) for event in events] == [
            (number, manifest, count) for number, (manifest, count) in enumerate(batches, 1)
        ]
        assert [event.previous for event in events] == [
            mainchain.ledger.fold_heads(first, batches[:n]) for n in range(3)
        ]
        assert mainchain.ledger.ledger_of(hospital.address) == (3, mainchain.ledger.fold_heads(first, batches))

    def test_only_active_hospitals_store(self, network: Network, stranger: Account) -> None:
        hospital, proxy = network.admit(Role.HOSPITAL), network.admit(Role.PROXY)
        mainchain, registrar = network.mainchain, network.sender(network.registrar)

        for account in (stranger, proxy):
            with chain_refuses("LedgerNotActiveHospital"):
                mainchain.ledger.store(network.sender(account), b"m" * 32, 1)
        mainchain.actors.suspend(registrar, hospital.address)
        with chain_refuses("LedgerNotActiveHospital"):
            mainchain.ledger.store(network.sender(hospital), b"m" * 32, 1)
        mainchain.actors.reinstate(registrar, hospital.address)
        mainchain.ledger.store(network.sender(hospital), b"m" * 32, 1)

        assert [event.sequence for event in mainchain.ledger.events()] == [1]


class TestIdentities:
    @pytest.fixture
    def patient(self, network: Network) -> Account:
        return self.admit(network, Role.PATIENT)

    def admit(self, network: Network, role: Role) -> Account:
        # No ether: the sidechain takes no gas price.
        account = unfunded()
        registrar = network.sender(network.registrar, "sidechain")
        network.sidechain.identities.register(registrar, actor(account, role))
        return account

    def test_patient_pairs_and_unpairs(self, network: Network, patient: Account, stranger: Account) -> None:
        sidechain, hospital = network.sidechain, unfunded().address

        with chain_refuses("IdentityNotActivePatient"):
            sidechain.identities.pair(network.sender(stranger, "sidechain"), hospital, b"p" * 32)
        sidechain.identities.pair(network.sender(patient, "sidechain"), hospital, b"p" * 32)
        assert sidechain.identities.pairing_of(patient.address, hospital) == b"p" * 32
        sidechain.identities.unpair(network.sender(patient, "sidechain"), hospital)

        assert sidechain.identities.pairing_of(patient.address, hospital) is None

    def test_request_is_approved_by_its_patient_only(self, network: Network, patient: Account) -> None:
        sidechain, clinician, other = (
            network.sidechain,
            *(self.admit(network, role) for role in (Role.PRACTITIONER, Role.PATIENT)),
        )
        until = int(network.chains.side.call("eth_getBlockByNumber", ["latest", False])["timestamp"], 16) + 900

        number = sidechain.requests.request(network.sender(clinician, "sidechain"), patient.address, b"d" * 32, until)
        with chain_refuses("RequestNotYours"):
            sidechain.requests.approve(network.sender(other, "sidechain"), number)
        sidechain.requests.approve(network.sender(patient, "sidechain"), number)

        assert [request.state for request in sidechain.requests.find(patient=patient.address)] == ["approved"]
        assert list(sidechain.requests.find(patient=other.address)) == []

    def test_suspended_and_replaced_people_are_not_active(self, network: Network, patient: Account) -> None:
        sidechain, registrar = network.sidechain, network.sender(network.registrar, "sidechain")
        successor, suspended = (self.admit(network, Role.PATIENT) for _ in range(2))
        guardians = [unfunded() for _ in range(2)]
        sidechain.identities.suspend(registrar, suspended.address)

        salt, guardianships = b"s" * 32, sidechain.guardianships
        own = [guardian_commitment(patient.address, one.address, salt) for one in guardians]
        named = tuple(sorted(own))
        guardianships.set_guardians(network.sender(patient, "sidechain"), named, 2, 72 * 3600, b"i" * 32)
        for guardian, commitment in zip(guardians, own, strict=True):
            proof = GuardianProof(named, named.index(commitment), salt)
            assert guardianships.is_guardian(patient.address, guardian.address, proof)
            sender = network.sender(guardian, "sidechain")
            guardianships.approve_recovery(sender, patient.address, successor.address, proof)
        assert guardianships.guardianship_of(patient.address).successor == successor.address
        pass_time(network.chains.side, 72 * 3600)
        with chain_refuses("IdentityNotSuccessor"):
            network.send(guardians[0], "IdentityRegistry", "completeRecovery", patient.address, chain="sidechain")
        network.send(successor, "IdentityRegistry", "completeRecovery", patient.address, chain="sidechain")

        assert {identity.address: identity.status for identity in sidechain.identities.find()} == {
            patient.address: Status.REPLACED,
            successor.address: Status.ACTIVE,
            suspended.address: Status.SUSPENDED,
        }
        found = sidechain.identities.identity_of(patient.address)
        assert found is not None
        assert found.status is Status.REPLACED
        with chain_refuses("IdentityNotActivePatient"):
            sidechain.identities.pair(network.sender(patient, "sidechain"), unfunded().address, b"p" * 32)


class TestGroups:
    def admit(self, network: Network, organisation: Address | None = None) -> Account:
        account = unfunded()
        person = actor(account, Role.PRACTITIONER, organisation=organisation)
        network.sidechain.identities.register(network.sender(network.registrar, "sidechain"), person)
        return account

    @pytest.fixture
    def manager(self, network: Network) -> Account:
        return self.admit(network, unfunded().address)

    def on(self, network: Network, account: Account) -> Sender:
        return network.sender(account, "sidechain")

    def join(self, network: Network, manager: Account, group: Address, member: Account, sealed: bytes) -> None:
        """Let the manager invite a member, and the member accept."""
        network.sidechain.groups.add_member(self.on(network, manager), group, member.address, sealed)
        network.sidechain.groups.accept(self.on(network, member), group)

    def test_manager_creates_and_lists_and_hands_over(self, network: Network, manager: Account) -> None:
        sidechain, organisation = network.sidechain, network.sidechain.identities.identity_of(manager.address)
        first, second, outsider = (self.admit(network) for _ in range(3))
        assert organisation is not None

        group = sidechain.groups.create(self.on(network, manager), KEYS)
        for number, member in enumerate((first, second), 1):
            sidechain.groups.add_member(self.on(network, manager), group.address, member.address, bytes([number]) * 32)
        assert sidechain.groups.members(group.address) == sidechain.groups.find(member=first.address) == []
        assert sidechain.groups.invited(group.address) == [first.address, second.address]
        assert sidechain.groups.invitations(first.address) == [Invitation(group.address, manager.address)]
        assert not sidechain.groups.is_member(group.address, first.address)
        with chain_refuses("GroupNotListed"):
            sidechain.groups.accept(self.on(network, outsider), group.address)
        for member in (first, second):
            sidechain.groups.accept(self.on(network, member), group.address)
        assert sidechain.groups.invited(group.address) == sidechain.groups.invitations(first.address) == []

        expected = Actor(group.address, Role.GROUP, Status.ACTIVE, KEYS, organisation=organisation.organisation)
        assert group == sidechain.groups.group_of(group.address) == expected
        assert group.handle.startswith("gro-")
        assert sidechain.groups.members(group.address) == [first.address, second.address]
        assert sidechain.groups.sealed_key_of(group.address, second.address) == b"\x02" * 32
        assert sidechain.groups.sealed_key_of(group.address, outsider.address) is None
        assert [sidechain.groups.is_member(group.address, one.address) for one in (first, manager, outsider)] == [
            True,
            False,
            False,
        ]
        with chain_refuses("GroupNotManager"):
            sidechain.groups.hand_over(self.on(network, outsider), group.address, outsider.address)
        with chain_refuses("GroupNotAccepted"):
            sidechain.groups.hand_over(self.on(network, manager), group.address, outsider.address)
        sidechain.groups.hand_over(self.on(network, manager), group.address, second.address)
        assert sidechain.groups.manager_of(group.address) == second.address
        with chain_refuses("GroupNotManager"):
            sidechain.groups.add_member(self.on(network, manager), group.address, first.address, b"x" * 32)

    def test_a_renewal_replaces_the_key_and_what_is_sealed(self, network: Network, manager: Account) -> None:
        sidechain, first, second = network.sidechain, *(self.admit(network) for _ in range(2))
        group, newest = sidechain.groups.create(self.on(network, manager), KEYS).address, b"n" * 32
        for member in (first, second):
            self.join(network, manager, group, member, b"s" * 32)
        sidechain.groups.remove_member(self.on(network, second), group, second.address)
        assert sidechain.groups.holders(group) == [first.address, second.address]

        sealed = {first.address: b"t" * 32}
        sidechain.groups.renew(self.on(network, manager), group, newest, sealed, generation=1)

        found = sidechain.groups.group_of(group)
        assert found is not None
        assert (found.key_digest, found.earlier_keys) == (newest, (KEYS,))
        assert sidechain.groups.find(member=first.address) == sidechain.groups.find(manager=manager.address) == [found]
        assert sidechain.groups.sealed_key_of(group, first.address) == b"t" * 32
        assert sidechain.groups.holders(group) == sidechain.groups.members(group) == [first.address]
        with chain_refuses("GroupNotNextGeneration"):
            sidechain.groups.renew(self.on(network, manager), group, KEYS, sealed, generation=1)
        with chain_refuses("GroupNotListed"):
            sidechain.groups.renew(self.on(network, manager), group, KEYS, {second.address: b"t" * 32}, generation=2)

    def test_groups_are_found_by_member_and_manager(self, network: Network, manager: Account) -> None:
        sidechain, member, other = network.sidechain, *(self.admit(network) for _ in range(2))
        one, two = (sidechain.groups.create(self.on(network, manager), bytes([n]) * 32) for n in (1, 2))
        three = sidechain.groups.create(self.on(network, other), KEYS)
        for group, sender in ((one, manager), (two, manager), (three, other)):
            self.join(network, sender, group.address, member, b"s" * 32)
        self.join(network, manager, two.address, other, b"s" * 32)
        sidechain.groups.remove_member(self.on(network, member), one.address, member.address)
        sidechain.groups.hand_over(self.on(network, manager), two.address, other.address)

        assert sidechain.groups.find() == [one, two, three]
        assert sidechain.groups.find(member=member.address) == [two, three]
        assert sidechain.groups.find(manager=manager.address) == [one]
        assert sidechain.groups.find(manager=other.address) == [two, three]
        assert sidechain.groups.find(member=member.address, manager=manager.address) == []
        assert sidechain.groups.find(member=member.address, manager=other.address) == [two, three]
        assert sidechain.groups.find(member=manager.address) == []
        assert sidechain.groups.find(member=other.address) == [two]

    def test_suspended_members_do_not_count_until_reinstated(self, network: Network, manager: Account) -> None:
        sidechain, member = network.sidechain, self.admit(network)
        group = sidechain.groups.create(self.on(network, manager), KEYS).address
        self.join(network, manager, group, member, b"s" * 32)

        sidechain.identities.suspend(self.on(network, network.registrar), member.address)
        assert sidechain.groups.members(group) == []
        assert not sidechain.groups.is_member(group, member.address)
        network.send(network.registrar, "IdentityRegistry", "reinstate", member.address, chain="sidechain")

        assert sidechain.groups.members(group) == [member.address]

    @pytest.mark.parametrize("by_registrar", [False, True], ids=["manager", "registrar"])
    def test_closed_group_has_no_members(self, network: Network, manager: Account, by_registrar: bool) -> None:
        sidechain, member = network.sidechain, self.admit(network)
        group = sidechain.groups.create(self.on(network, manager), KEYS).address
        self.join(network, manager, group, member, b"s" * 32)
        refused, closer = (manager, network.registrar) if by_registrar else (network.registrar, manager)
        close = sidechain.groups.close_by_registrar if by_registrar else sidechain.groups.close

        with chain_refuses(r"AccessManagedUnauthorized|GroupNotManager"):
            close(self.on(network, refused), group)
        close(self.on(network, closer), group)

        found = sidechain.groups.group_of(group)
        assert found is not None
        assert found.status is Status.SUSPENDED
        assert sidechain.groups.members(group) == []
        assert sidechain.groups.find(member=member.address) == [found]
        with chain_refuses("GroupAlreadyClosed"):
            sidechain.groups.add_member(self.on(network, manager), group, member.address, b"s" * 32)

    def test_unknown_group_is_none(self, network: Network, stranger: Account) -> None:
        assert network.sidechain.groups.group_of(stranger.address) is None
        assert network.sidechain.groups.members(stranger.address) == []
        with pytest.raises(UsageError, match="no group"):
            network.sidechain.groups.manager_of(stranger.address)

    def test_creation_that_the_node_hides_is_an_integrity_error(self, network: Network, manager: Account) -> None:
        sidechain = network.sidechain
        # A node that looks at blocks from tomorrow on shows no event.
        blind = Sidechain(sidechain.rpc, sidechain.addresses, sidechain.chain_id, from_block=10**6)

        with pytest.raises(IntegrityError, match="shows no group"):
            blind.groups.create(self.on(network, manager), KEYS)


class TestPolicies:
    def test_events_carry_announcement_and_disclosure(self, network: Network) -> None:
        mainchain, relay = network.mainchain, network.sender(network.relay)
        fields: list[dict[str, Any]] = [
            {"view_tag": 255, "announcement": b"\xa1" * 32},
            {"view_tag": 7, "announcement": b"\xa2" * 32, "disclosure": Disclosure(purposes=5, data_use=1)},
            {},
            {"disclosure": Disclosure(categories=2**31, study=network.registrar.address)},
        ]
        owners = [unfunded() for _ in fields]
        grants = [network.grant(owner, **change) for owner, change in zip(owners, fields, strict=True)]
        signed = [
            (grant, mainchain.policies.sign_grant(owner, grant)) for owner, grant in zip(owners, grants, strict=True)
        ]

        mainchain.policies.grant_by_signature(relay, *signed[0])
        mainchain.policies.grant_batch(relay, signed[1:])
        network.revoke(owners[1])

        for found in (mainchain.policies.events(kind="PolicyGranted"), list(mainchain.policies.events())[:-1]):
            assert [
                (e.policy_id, e.starts_at, e.expires_at, e.terms, e.view_tag, e.announcement, e.disclosure.word)
                for e in found
            ] == [
                (g.owner, g.starts_at, g.expires_at, g.terms, g.view_tag, g.announcement, g.disclosure.word)
                for g in grants
            ]
        revoked = list(mainchain.policies.events(kind="PolicyRevoked"))
        assert [(e.kind, e.policy_id, e.announcement) for e in revoked] == [("revoked", owners[1].address, b"")]
        for grant in grants:
            policy = mainchain.policies.policy_of(grant.owner)
            assert (policy.terms, policy.disclosure.word) == (grant.terms, grant.disclosure.word)

    def test_relay_grants_and_revokes_for_a_key_that_owns_nothing(self, network: Network) -> None:
        mainchain, relay, owner = network.mainchain, network.sender(network.relay), unfunded()
        grant = network.grant(owner, disclosure=Disclosure(purposes=5, study=network.registrar.address))
        with pytest.raises(PolicyUnknownError):
            mainchain.policies.policy_of(grant.owner)

        mainchain.policies.grant_by_signature(relay, grant, mainchain.policies.sign_grant(owner, grant))
        policy = mainchain.policies.policy_of(grant.owner)
        assert policy.status is PolicyStatus.ACTIVE
        assert (policy.starts_at, policy.expires_at, policy.terms) == (grant.starts_at, grant.expires_at, grant.terms)
        assert policy.disclosure.word == grant.disclosure.word
        assert not mainchain.policies.revocation_in_sight(grant.owner)

        network.revoke(owner)
        assert network.status(owner) is PolicyStatus.REVOKED
        assert mainchain.policies.revocation_in_sight(grant.owner)
        assert [event.kind for event in mainchain.policies.events(policy_ids=[grant.owner])] == ["granted", "revoked"]
        assert int(network.chains.main.call("eth_getBalance", [owner.address, "latest"]), 16) == 0

    def test_relay_can_neither_change_nor_repeat(self, network: Network) -> None:
        mainchain, relay, owner = network.mainchain, network.sender(network.relay), unfunded()
        grant = network.grant(owner)
        signature = mainchain.policies.sign_grant(owner, grant)

        changes: list[dict[str, Any]] = [
            {"owner": PolicyId(network.relay.address)},
            {"starts_at": grant.starts_at + 1},
            {"expires_at": grant.expires_at + 1},
            {"deadline": grant.deadline + 1},
            {"terms": b"u" * 32},
            {"view_tag": 1},
            {"announcement": b"a" * 32},
            {"disclosure": Disclosure(purposes=1)},
        ]
        for change in changes:
            with chain_refuses("PolicyInvalidSignature"):
                mainchain.policies.grant_by_signature(relay, replace(grant, **change), signature)
        mainchain.policies.grant_by_signature(relay, grant, signature)
        with chain_refuses("PolicyAlreadyGranted"):
            mainchain.policies.grant_by_signature(relay, grant, signature)
        network.revoke(owner)
        with chain_refuses("PolicyAlreadyRevoked"):
            network.revoke(owner)
        with chain_refuses("PolicyAlreadyRevoked"):
            mainchain.policies.grant_by_signature(relay, grant, signature)

    def test_only_the_owner_revokes(self, network: Network, stranger: Account) -> None:
        owner = network.granted()

        with chain_refuses("PolicyInvalidSignature"):
            network.mainchain.policies.revoke_by_signature(
                network.sender(stranger), PolicyId(owner.address), network.mainchain.policies.sign_revoke(stranger)
            )

        assert network.status(owner) is PolicyStatus.ACTIVE

    def test_revocation_that_overtakes_its_grant_prevents_it(self, network: Network) -> None:
        owner = unfunded()
        grant = network.grant(owner)
        network.revoke(owner)

        with chain_refuses("PolicyAlreadyRevoked"):
            network.mainchain.policies.grant_by_signature(
                network.sender(network.relay), grant, network.mainchain.policies.sign_grant(owner, grant)
            )

        assert network.status(owner) is PolicyStatus.REVOKED

    def test_status_follows_the_half_open_window(self, network: Network) -> None:
        now = network.mainchain.head_block().time
        owner = network.granted(starts_at=now + 1000, expires_at=now + 2000)
        found = []

        for at in (now + 999, now + 1000, now + 1999, now + 2000):
            network.chains.main.call("evm_setNextBlockTimestamp", [at])
            network.chains.main.call("evm_mine")
            found.append(network.status(owner))

        active = PolicyStatus.ACTIVE
        assert found == [PolicyStatus.NOT_YET, active, active, PolicyStatus.EXPIRED]

    def test_grant_is_not_relayed_after_its_deadline(self, network: Network) -> None:
        owner = unfunded()
        grant = network.grant(owner)
        pass_time(network.chains.main, 901)

        with chain_refuses("PolicyDeadlineOver"):
            network.mainchain.policies.grant_by_signature(
                network.sender(network.relay), grant, network.mainchain.policies.sign_grant(owner, grant)
            )

    def test_batches_are_all_or_none(self, network: Network) -> None:
        mainchain, relay = network.mainchain, network.sender(network.relay)
        owners = [unfunded() for _ in range(3)]
        grants = [
            (grant, mainchain.policies.sign_grant(owner, grant)) for owner in owners for grant in [network.grant(owner)]
        ]

        with chain_refuses("PolicyInvalidSignature"):
            mainchain.policies.grant_batch(relay, [*grants[:2], (grants[2][0], grants[1][1])])
        assert list(mainchain.policies.events()) == []
        mainchain.policies.grant_batch(relay, grants)
        assert {network.status(owner) for owner in owners} == {PolicyStatus.ACTIVE}
        mainchain.policies.revoke_batch(
            relay, [(PolicyId(o.address), mainchain.policies.sign_revoke(o)) for o in owners]
        )

        assert {network.status(owner) for owner in owners} == {PolicyStatus.REVOKED}


def status_of(network: Network, account: Account) -> Status:
    found = network.mainchain.actors.actor_of(account.address)
    return found.status if found else Status.UNKNOWN


def signed_head(network: Network, proxy: Account, sequence: int, head: bytes) -> bytes:
    return sign_head(proxy, network.mainchain.log.domain, sequence=sequence, head=head)


def signed_receipt(network: Network, proxy: Account, owner: Account, at: int, **change: Any) -> Receipt:
    """Return a proxy's receipt for a re-encryption at a time."""
    made = Receipt(
        proxy=proxy.address,
        sequence=1,
        previous=bytes(32),
        kind=ReceiptKind.REENCRYPTED,
        policy_id=PolicyId(owner.address),
        at=at,
        block=network.mainchain.head_block().number,
        count=1,
        detail=b"sealed",
        signature=b"",
    )
    made = replace(made, **change)
    return replace(made, signature=signed_head(network, proxy, made.sequence, receipt_hash(made)))


def anchor(network: Network, proxy: Account, sequence: int, head: bytes) -> None:
    signature = network.mainchain.log.sign_anchor(proxy, sequence, head)
    network.mainchain.log.anchor(network.sender(proxy), proxy.address, sequence, head, signature)


class TestProxies:
    @pytest.fixture
    def proxy(self, network: Network) -> Account:
        return network.admit(Role.PROXY)

    def test_anchors_grow(self, network: Network, proxy: Account, stranger: Account) -> None:
        mainchain = network.mainchain
        assert mainchain.log.anchor_of(proxy.address)[0] == 0

        anchor(network, proxy, 3, b"a" * 32)
        for sequence in (2, 3):
            with chain_refuses("LogSequenceNotGrowing"):
                anchor(network, proxy, sequence, b"b" * 32)
        with chain_refuses("LogNotActiveProxy"):
            anchor(network, stranger, 4, b"b" * 32)
        anchor(network, proxy, 4, b"c" * 32)

        assert mainchain.log.anchor_of(proxy.address) == (4, b"c" * 32)

    def test_late_service_suspends_the_proxy(self, network: Network, proxy: Account, stranger: Account) -> None:
        mainchain, owner = network.mainchain, network.granted()
        network.revoke(owner)
        pass_time(network.chains.main, 60)
        receipt = signed_receipt(network, proxy, owner, mainchain.head_block().time)
        check_receipt(receipt, proxy=proxy.address, domain=mainchain.log.domain, policy_id=receipt.policy_id)

        mainchain.log.prove_late_service(network.sender(stranger), receipt)

        assert status_of(network, proxy) is Status.SUSPENDED
        with chain_refuses("LogNotActiveProxy"):
            anchor(network, proxy, 1, b"a" * 32)
        mainchain.actors.reinstate(network.sender(network.registrar), proxy.address)
        with chain_refuses("LogEvidenceUsed"):
            mainchain.log.prove_late_service(network.sender(stranger), receipt)
        assert status_of(network, proxy) is Status.ACTIVE

    def test_so_does_service_outside_the_window_or_without_a_grant(self, network: Network, stranger: Account) -> None:
        owner = network.granted()
        now = network.mainchain.head_block().time
        for policy, at in ((owner, now - 1000), (owner, now + 9000), (unfunded(), now)):
            proxy = network.admit(Role.PROXY)
            receipt = signed_receipt(network, proxy, policy, at)
            network.mainchain.log.prove_late_service(network.sender(stranger), receipt)
            assert status_of(network, proxy) is Status.SUSPENDED

    def test_service_in_time_convicts_nobody(self, network: Network, proxy: Account, stranger: Account) -> None:
        mainchain, owner = network.mainchain, network.granted()
        in_time = mainchain.head_block().time
        network.revoke(owner)
        pass_time(network.chains.main, 60)
        late = mainchain.head_block().time
        other_kinds = [kind for kind in ReceiptKind if kind is not ReceiptKind.REENCRYPTED]

        harmless = [signed_receipt(network, proxy, owner, late, kind=kind) for kind in other_kinds]
        for receipt in [signed_receipt(network, proxy, owner, in_time), *harmless]:
            with chain_refuses("LogNotLate"):
                mainchain.log.prove_late_service(network.sender(stranger), receipt)

        assert status_of(network, proxy) is Status.ACTIVE

    def test_forged_evidence_convicts_nobody(self, network: Network, proxy: Account, stranger: Account) -> None:
        mainchain, sender = network.mainchain, network.sender(stranger)
        receipt = signed_receipt(network, proxy, unfunded(), mainchain.head_block().time)
        forged = replace(signed_receipt(network, stranger, unfunded(), receipt.at), proxy=proxy.address)

        for bad in (forged, replace(receipt, at=receipt.at + 1), replace(receipt, signature=bytes(65))):
            with pytest.raises(IntegrityError):
                check_receipt(bad, proxy=proxy.address, domain=mainchain.log.domain, policy_id=bad.policy_id)
            with chain_refuses("LogInvalidSignature"):
                mainchain.log.prove_late_service(sender, bad)

        assert status_of(network, proxy) is Status.ACTIVE

    def test_reader_refuses_the_signature_that_the_contract_refuses(self, network: Network, proxy: Account) -> None:
        # The same signature with the other s: a proxy that hands it out would escape conviction.
        order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
        mainchain = network.mainchain
        good = signed_receipt(network, proxy, unfunded(), mainchain.head_block().time)
        r, s, v = good.signature[:32], int.from_bytes(good.signature[32:64], "big"), good.signature[64]
        twin = replace(good, signature=r + (order - s).to_bytes(32, "big") + bytes([27 + 28 - v]))

        with chain_refuses("LogInvalidSignature"):
            mainchain.log.prove_late_service(network.sender(network.relay), twin)
        with pytest.raises(IntegrityError):
            check_receipt(twin, proxy=proxy.address, domain=mainchain.log.domain, policy_id=twin.policy_id)

    def test_two_heads_for_one_sequence_suspend(self, network: Network, proxy: Account, stranger: Account) -> None:
        mainchain, sender = network.mainchain, network.sender(stranger)
        first, second, third = (
            (head, signed_head(network, proxy, 3, head)) for head in (b"a" * 32, b"b" * 32, b"c" * 32)
        )
        elsewhere = (b"d" * 32, signed_head(network, proxy, 4, b"d" * 32))

        with chain_refuses("LogNotFork"):
            mainchain.log.prove_fork(sender, proxy.address, 3, first, first)
        with chain_refuses("LogInvalidSignature"):
            mainchain.log.prove_fork(sender, proxy.address, 3, first, elsewhere)
        assert status_of(network, proxy) is Status.ACTIVE
        mainchain.log.prove_fork(sender, proxy.address, 3, first, second)

        assert status_of(network, proxy) is Status.SUSPENDED
        with chain_refuses("LogEvidenceUsed"):
            mainchain.log.prove_fork(sender, proxy.address, 3, second, third)

    def test_head_that_contradicts_an_old_anchor_suspends(
        self, network: Network, proxy: Account, stranger: Account
    ) -> None:
        mainchain, sender = network.mainchain, network.sender(stranger)
        anchored, rewritten = b"a" * 32, b"b" * 32
        anchor(network, proxy, 3, anchored)
        anchor(network, proxy, 4, b"c" * 32)
        # What anybody reads in the event of the anchor.
        published = anchored, mainchain.log.sign_anchor(proxy, 3, anchored)

        with chain_refuses("LogInvalidSignature"):
            mainchain.log.prove_fork(
                sender, proxy.address, 3, published, (rewritten, signed_head(network, proxy, 4, rewritten))
            )
        assert status_of(network, proxy) is Status.ACTIVE
        mainchain.log.prove_fork(
            sender, proxy.address, 3, published, (rewritten, signed_head(network, proxy, 3, rewritten))
        )

        assert status_of(network, proxy) is Status.SUSPENDED


def signed_checkpoint(network: Network, number: int, block_hash: bytes, signers: int = 2) -> dict[Address, bytes]:
    return {
        validator.address: network.mainchain.checkpoints.sign(validator, SIDE_ID, number, block_hash)
        for validator in network.validators[:signers]
    }


def side_head(chains: Chains) -> tuple[int, bytes]:
    """Return number and hash of the sidechain's newest block, with the hash checked against the header."""
    block = chains.side.call("eth_getBlockByNumber", ["latest", False])
    check_header(block)
    return int(block["number"], 16), bytes.fromhex(block["hash"][2:])


class TestCheckpoints:
    def test_quorum_states_the_sidechains_head(self, network: Network) -> None:
        mainchain, relay = network.mainchain, network.sender(network.relay)

        for signers in (2, 3):
            network.chains.side.call("evm_mine")
            number, block_hash = side_head(network.chains)
            mainchain.checkpoints.checkpoint(
                relay, number, block_hash, signed_checkpoint(network, number, block_hash, signers)
            )

            assert mainchain.checkpoints.newest() == (number, block_hash)

    def test_refuses_less_than_a_quorum(self, network: Network, stranger: Account) -> None:
        mainchain, relay = network.mainchain, network.sender(network.relay)
        number, block_hash = side_head(network.chains)
        by_stranger = {stranger.address: mainchain.checkpoints.sign(stranger, SIDE_ID, number, block_hash)}

        for signers in (0, 1):
            with pytest.raises(TransactionError, match=rf"CheckpointBelowQuorum\(signatures={signers}, quorum=2\)"):
                mainchain.checkpoints.checkpoint(
                    relay, number, block_hash, signed_checkpoint(network, number, block_hash, signers)
                )
        with chain_refuses("CheckpointNotValidator"):
            mainchain.checkpoints.checkpoint(
                relay, number, block_hash, signed_checkpoint(network, number, block_hash, 1) | by_stranger
            )

        assert mainchain.checkpoints.newest() == (0, bytes(32))

    def test_refuses_signatures_of_another_block_or_sidechain(self, network: Network) -> None:
        mainchain, relay = network.mainchain, network.sender(network.relay)
        number, block_hash = side_head(network.chains)
        elsewhere = {
            validator.address: mainchain.checkpoints.sign(validator, MAIN_ID, number, block_hash)
            for validator in network.validators
        }

        for signatures in (
            signed_checkpoint(network, number + 1, block_hash),
            signed_checkpoint(network, number, b"h" * 32),
            elsewhere,
        ):
            with chain_refuses("CheckpointInvalidSignature"):
                mainchain.checkpoints.checkpoint(relay, number, block_hash, signatures)

    def test_refuses_to_go_back(self, network: Network) -> None:
        mainchain, relay = network.mainchain, network.sender(network.relay)
        number, block_hash = side_head(network.chains)
        mainchain.checkpoints.checkpoint(relay, number, block_hash, signed_checkpoint(network, number, block_hash))

        for older in (number, number - 1):
            with chain_refuses("CheckpointNotGrowing"):
                mainchain.checkpoints.checkpoint(relay, older, b"h" * 32, signed_checkpoint(network, older, b"h" * 32))

        assert mainchain.checkpoints.newest() == (number, block_hash)

    def test_shows_that_the_sidechain_was_rewritten(self, network: Network) -> None:
        relay, registrar = network.sender(network.relay), network.sender(network.registrar, "sidechain")
        network.sidechain.identities.register(registrar, actor(unfunded(), Role.PATIENT))
        number, block_hash = side_head(network.chains)
        network.mainchain.checkpoints.checkpoint(
            relay, number, block_hash, signed_checkpoint(network, number, block_hash)
        )

        network.chains.side.call("anvil_reorg", [1, []])

        rewritten, other = side_head(network.chains)
        assert rewritten == number
        assert network.mainchain.checkpoints.newest() == (number, block_hash)
        assert other != block_hash


class LyingNode(Rpc):
    """A node that has one answer to one method, whatever is true."""

    def __init__(self, url: str, method: str, answer: Any) -> None:
        super().__init__(url)
        self._method = method
        self._answer = answer

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        return self._answer if method == self._method else super().call(method, params)


def seen_through(network: Network, method: str, answer: Any) -> Mainchain:
    """Return the mainchain as a lying node shows it."""
    mainchain = network.mainchain
    node = LyingNode(network.chains.main.url, method, answer)
    return Mainchain(node, mainchain.addresses, mainchain.chain_id, from_block=mainchain.from_block)


def flipped(text: str, position: int = -1) -> str:
    """Return hex with one digit changed; what is empty gets a byte."""
    if text == "0x":
        return "0x00"
    digits = list(text)
    digits[position] = f"{int(digits[position], 16) ^ 1:x}"
    return "".join(digits)


def proof_of(network: Network, name: str, hospital: Address, number: int) -> Any:
    """Return the node's answer that `prove_head` asks for, of any contract and block."""
    slots = ["0x" + mapping_slot(hospital, 0, offset).hex() for offset in (0, 1)]
    return network.chains.main.call("eth_getProof", [network.mainchain.addresses[name], slots, hex(number)])


def altered(answer: Any) -> Iterator[Any]:
    """Yield a proof with one digit of one node changed, or one node dropped."""

    def lists(of: Any) -> list[list[str]]:
        return [of["accountProof"], *(entry["proof"] for entry in of["storageProof"])]

    for which, nodes in enumerate(lists(answer)):
        for index, node in enumerate(nodes):
            for position in (2, 3, len(node) // 2, len(node) - 1):
                changed = deepcopy(answer)
                lists(changed)[which][index] = flipped(node, position)
                yield changed
            shorter = deepcopy(answer)
            lists(shorter)[which].pop(index)
            yield shorter


HEADER = (
    *("hash", "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom"),
    *("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce", "baseFeePerGas"),
    *("withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash"),
)
"""The hash of Anvil's blocks, and the fields that it covers."""
MALFORMED: tuple[Any, ...] = (None, {}, [], [{}], "", "0x", 7)


class TestProveHead:
    @pytest.fixture
    def hospital(self, network: Network) -> Address:
        """A hospital with two batches, and another one beside it."""
        hospital, other = network.admit(Role.HOSPITAL), network.admit(Role.HOSPITAL)
        for account, manifest in ((hospital, b"a" * 32), (other, b"b" * 32), (hospital, b"c" * 32)):
            network.mainchain.ledger.store(network.sender(account), manifest, 1)
        return hospital.address

    def test_proves_what_the_contract_says(self, network: Network, hospital: Address) -> None:
        mainchain = network.mainchain
        newest = mainchain.head_block()

        proven = mainchain.ledger.prove_head(hospital)

        assert (proven.sequence, proven.head) == mainchain.ledger.ledger_of(hospital)
        assert (proven.sequence, proven.admitted) == (2, True)
        assert (proven.block, proven.block_hash) == (newest.number, newest.hash)

    def test_proves_the_first_head_of_a_hospital_without_records(self, network: Network) -> None:
        hospital = network.admit(Role.HOSPITAL).address

        proven = network.mainchain.ledger.prove_head(hospital)

        assert (proven.sequence, proven.admitted) == (0, True)
        assert proven.head == network.mainchain.ledger.first_head(hospital)

    def test_proves_that_a_stranger_has_no_history(self, network: Network, hospital: Address) -> None:
        proven = network.mainchain.ledger.prove_head(unfunded().address)

        assert (proven.sequence, proven.head, proven.admitted) == (0, bytes(32), False)

    def test_proves_that_there_is_no_hospital_at_all(self, network: Network) -> None:
        # The ledger's storage is an empty tree.
        proven = network.mainchain.ledger.prove_head(unfunded().address)

        assert (proven.sequence, proven.head, proven.admitted) == (0, bytes(32), False)

    def test_proves_the_past_by_a_trusted_block(self, network: Network, hospital: Address) -> None:
        mainchain, events = network.mainchain, list(network.mainchain.ledger.events(hospital=hospital))
        mainchain.actors.suspend(network.sender(network.registrar), hospital)

        first, second = (mainchain.ledger.prove_head(hospital, block_hash=event.block_hash) for event in events)
        newest = mainchain.ledger.prove_head(hospital)

        assert (first.sequence, second.sequence) == (1, 2)
        assert first.head == events[1].previous
        assert (second.admitted, newest.admitted) == (True, False)
        assert newest.head == second.head

    def test_finds_every_lie_about_the_header(self, network: Network, hospital: Address) -> None:
        block = network.chains.main.call("eth_getBlockByNumber", ["latest", False])
        lies = [block | {name: flipped(block[name])} for name in HEADER]
        lies += [{key: value for key, value in block.items() if key != name} for name in HEADER]
        lies.append(block | {"number": "-0x1"})
        assert seen_through(network, "eth_getBlockByHash", block).ledger.prove_head(hospital, block_hash=block["hash"])

        for lie in lies:
            with pytest.raises(IntegrityError):
                seen_through(network, "eth_getBlockByHash", lie).ledger.prove_head(hospital, block_hash=block["hash"])

    def test_finds_another_block_or_none(self, network: Network, hospital: Address) -> None:
        newest = network.mainchain.head_block()
        older = network.chains.main.call("eth_getBlockByNumber", [hex(newest.number - 1), False])

        for lie in (older, older | {"hash": newest.hash}, *MALFORMED):
            with pytest.raises(IntegrityError):
                seen_through(network, "eth_getBlockByHash", lie).ledger.prove_head(hospital, block_hash=newest.hash)
        for lie in ({"number": "0x1"}, {"number": None, "hash": "", "timestamp": ""}, *MALFORMED):
            with pytest.raises(IntegrityError):
                seen_through(network, "eth_getBlockByNumber", lie).ledger.prove_head(hospital)

    def test_finds_every_altered_node_of_a_proof(self, network: Network, hospital: Address) -> None:
        honest = proof_of(network, "RecordLedger", hospital, network.mainchain.head_block().number)
        proven = network.mainchain.ledger.prove_head(hospital)
        assert seen_through(network, "eth_getProof", honest).ledger.prove_head(hospital) == proven
        assert min(len(honest["accountProof"]), *(len(entry["proof"]) for entry in honest["storageProof"])) > 1

        for lie in altered(honest):
            with pytest.raises(IntegrityError):
                seen_through(network, "eth_getProof", lie).ledger.prove_head(hospital)

    def test_finds_the_proof_of_something_else(self, network: Network, hospital: Address) -> None:
        number = network.mainchain.head_block().number
        honest = proof_of(network, "RecordLedger", hospital, number)

        lies = [
            proof_of(network, "RecordLedger", unfunded().address, number),
            proof_of(network, "RecordLedger", hospital, number - 1),
            proof_of(network, "AccessLog", hospital, number),
            honest | {"storageProof": honest["storageProof"][::-1]},
            honest | {"storageProof": honest["storageProof"][:1]},
            honest | {"storageProof": [{"proof": []}] * 2, "storageHash": "0x" + EMPTY_ROOT},
            honest | {"accountProof": []},
            *MALFORMED,
        ]
        for lie in lies:
            with pytest.raises(IntegrityError):
                seen_through(network, "eth_getProof", lie).ledger.prove_head(hospital)

    def test_what_the_node_says_beside_the_proof_does_not_count(self, network: Network, hospital: Address) -> None:
        lie = proof_of(network, "RecordLedger", hospital, network.mainchain.head_block().number)
        for entry in lie["storageProof"]:
            entry["value"] = "0x63"
        lie |= {"storageHash": "0x" + EMPTY_ROOT, "balance": "0x1"}

        proven = seen_through(network, "eth_getProof", lie).ledger.prove_head(hospital)

        assert proven == network.mainchain.ledger.prove_head(hospital)

    def test_neither_head_nor_prove_head_believes_a_forged_call(self, network: Network, hospital: Address) -> None:
        forged = (1).to_bytes(32, "big") + (99).to_bytes(32, "big") + b"f" * 32
        lying = seen_through(network, "eth_call", "0x" + forged.hex())

        assert lying.ledger.ledger_of(hospital) == network.mainchain.ledger.ledger_of(hospital)
        assert lying.ledger.prove_head(hospital) == network.mainchain.ledger.prove_head(hospital)

    def test_finds_answers_that_do_not_fit_the_abi(self, network: Network, hospital: Address) -> None:
        for answer in ("0x12", "0xzz", "0x" + "ff" * 32, *MALFORMED):
            with pytest.raises(IntegrityError):
                seen_through(network, "eth_call", answer).actors.record_ledger()

    def test_no_answer_to_a_call_hides_a_grant(self, network: Network) -> None:
        # What hides its event is found by the receipts root: tests/hostile/test_follower.py.
        owner = network.granted()

        seen = seen_through(network, "eth_call", "0x" + bytes(32).hex()).policies.policy_of(PolicyId(owner.address))

        assert seen.status is PolicyStatus.ACTIVE


class TestReorganisation:
    @pytest.fixture
    def hospital(self, network: Network) -> Account:
        """A hospital with one batch; what a test stores on top of it, the chain forgets."""
        hospital = network.admit(Role.HOSPITAL)
        network.mainchain.ledger.store(network.sender(hospital), b"a" * 32, 1)
        return hospital

    def forget(self, network: Network, way: str, act: Callable[[], object]) -> None:
        """Do something, and let the chain take its blocks back."""
        main = network.chains.main
        before, snapshot = network.mainchain.head_block().number, main.call("evm_snapshot")
        act()
        blocks = network.mainchain.head_block().number - before
        assert blocks > 0
        if way == "reorg":
            main.call("anvil_reorg", [blocks, []])
        else:
            assert main.call("evm_revert", [snapshot])

    @pytest.mark.parametrize("way", ["reorg", "revert"])
    def test_head_of_a_vanished_block_is_proven_no_more(self, network: Network, hospital: Account, way: str) -> None:
        mainchain = network.mainchain
        before, seen = mainchain.ledger.prove_head(hospital.address), []

        def store() -> None:
            mainchain.ledger.store(network.sender(hospital), b"b" * 32, 1)
            seen.append(mainchain.ledger.prove_head(hospital.address))

        self.forget(network, way, store)

        with pytest.raises(IntegrityError, match="doesn't have block"):
            mainchain.ledger.prove_head(hospital.address, block_hash=seen[0].block_hash)
        now = mainchain.ledger.prove_head(hospital.address)
        assert (seen[0].sequence, now.sequence, now.head) == (2, 1, before.head)
        assert mainchain.ledger.prove_head(hospital.address, block_hash=before.block_hash) == before

    @pytest.mark.parametrize("way", ["reorg", "revert"])
    def test_node_that_remembers_the_header_proves_nothing(self, network: Network, hospital: Account, way: str) -> None:
        mainchain, vanished = network.mainchain, []

        def store() -> None:
            mainchain.ledger.store(network.sender(hospital), b"b" * 32, 1)
            vanished.append(network.chains.main.call("eth_getBlockByNumber", ["latest", False]))

        self.forget(network, way, store)

        lying = seen_through(network, "eth_getBlockByHash", vanished[0])
        with pytest.raises(IntegrityError):
            lying.ledger.prove_head(hospital.address, block_hash=vanished[0]["hash"])

    def test_same_batch_again_gives_the_same_head_in_another_block(self, network: Network, hospital: Account) -> None:
        mainchain, seen = network.mainchain, []

        def store() -> None:
            mainchain.ledger.store(network.sender(hospital), b"b" * 32, 1)
            seen.append(mainchain.ledger.prove_head(hospital.address))

        self.forget(network, "reorg", store)
        store()

        assert seen[0].head == seen[1].head
        assert seen[0].block_hash != seen[1].block_hash

    def test_events_of_vanished_blocks_are_gone(self, network: Network, hospital: Account) -> None:
        mainchain = network.mainchain
        self.forget(network, "reorg", lambda: mainchain.ledger.store(network.sender(hospital), b"b" * 32, 1))

        events = list(mainchain.ledger.events(hospital=hospital.address))

        assert [event.manifest for event in events] == [b"a" * 32]
        folded = mainchain.ledger.fold_heads(mainchain.ledger.first_head(hospital.address), [(b"a" * 32, 1)])
        assert mainchain.ledger.ledger_of(hospital.address) == (1, folded)

    def test_policy_of_a_vanished_block_is_unknown_and_deep_ones_are_not(self, network: Network) -> None:
        mainchain, kept = network.mainchain, network.granted()
        granted: list[Account] = []

        def grant() -> None:
            granted.append(network.granted())
            # The newest block shows it, and a reader that waits for one more doesn't believe it yet.
            assert network.status(granted[0]) is PolicyStatus.ACTIVE
            assert not mainchain.policies.is_confirmed(PolicyId(granted[0].address), 1)
            assert mainchain.policies.is_confirmed(PolicyId(kept.address), 1)

        self.forget(network, "reorg", grant)

        with pytest.raises(PolicyUnknownError):
            network.status(granted[0])
        assert network.status(kept) is PolicyStatus.ACTIVE
