"""Deploy the contracts to both chains: what `panachain deploy` and `panachain devnet up` use.

Never keeps a key. Different accounts deploy the two chains: a contract's address follows from its creator's, and no
value of 16 bytes or more may be on both (design section 5). What is dangerous waits: the administrator of both
AccessManagers acts after a delay only, a new administrator or registrar counts after a second one, and the deployers
have no power left when this returns. That second delay exists from five days after the deployment on, AccessManager's
own setback; before, there is the first.

    1. The nonce and the block at which it begins, into the journal: from there all addresses follow.
    2. The contracts, all at once; their code is compared with the shipped one.
    3. Who may do what, all at once.
    4. The deployer's resignation, once every transaction before it has succeeded.

Both chains go through it beside each other. Broken off anywhere, the same call with the same journal goes on.
Follows design section 6 (no upgradable proxies, a new version is a new address), docs/security/contracts.md and ADR 23.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from panachain.chain import node
from panachain.chain.bound import BoundContract
from panachain.chain.config import ChainConfig
from panachain.chain.contracts.actor_registry import ActorRegistry
from panachain.chain.deployment_journal import Begun, Journal
from panachain.chain.fees import MAX_FEE
from panachain.chain.headers import read_header
from panachain.chain.plan import (
    ADMIN,
    APPOINT,
    CREATE,
    DELAY,
    LEAVE,
    REGISTRAR,
    SUSPENDER,
    Governance,
    Plan,
    created_at,
    plan_mainchain,
    plan_sidechain,
)
from panachain.chain.rpc import Rpc
from panachain.chain.series import SeriesSender
from panachain.chain.signing import Account
from panachain.chain.verify import check_codes
from panachain.errors import IntegrityError, TransactionError, UsageError

__all__ = ["ADMIN", "DELAY", "REGISTRAR", "SUSPENDER", "Cost", "Deployment", "Governance", "deploy", "estimate"]

_CALL_GAS: Final = {
    "labelRole": 29_000,
    "setTargetFunctionRole": 28_000,
    "grantRole": 55_000,
    "setGrantDelay": 51_000,
    "renounceRole": 30_000,
}
"""Gas of a call of the AccessManager: no node can estimate it before the contract is there."""
_SELECTOR_GAS: Final = 25_000
"""What `setTargetFunctionRole` takes for each function."""

Told = Callable[[str], None]
"""Hears in words what is done next."""


@dataclass(frozen=True)
class Deployment:
    """The contracts of both chains, behind the nodes by which they were deployed."""

    mainchain: ChainConfig
    sidechain: ChainConfig


@dataclass(frozen=True)
class Cost:
    """What a deployment takes at most on one chain, and what its deployer has."""

    chain: str
    chain_id: int
    deployer: str
    transactions: int
    gas: int
    price: int
    """Wei that a unit of gas costs at most."""
    balance: int
    """Wei that the deployer holds."""

    @property
    def fee(self) -> int:
        """Wei that all of it costs at most."""
        return self.gas * self.price


def deploy(
    main_rpc: Rpc,
    side_rpc: Rpc,
    deployer_key: bytes,
    governance: Governance,
    *,
    side_key: bytes,
    lock_folder: Path,
    side_paid: bool = False,
    max_fee: int = MAX_FEE,
    journal: Journal | None = None,
    told: Told = lambda _: None,
) -> Deployment:
    """Deploy everything and hand it over.

    Args:
        main_rpc: the mainchain's node; the deployer must hold ether there.
        side_rpc: the sidechain's node.
        deployer_key: secret key of the mainchain's deployer, who is neither registrar nor administrator, 32 bytes.
        governance: who is in charge afterwards.
        side_key: secret key of the sidechain's deployer, 32 bytes: the same holds for it, and it is another account.
        lock_folder: for the accounts' nonce lanes.
        side_paid: whether gas costs something on the sidechain, so that its deployer needs ether, too.
        max_fee: wei that a unit of gas may cost.
        journal: what an earlier run sent, which is waited for and not paid again; None forgets.
        told: hears what is done next, from two threads.

    Raises:
        UsageError: a deployer is registrar or administrator, or one account deploys both, or the journal is of another
            deployment; nothing was deployed.
        TransactionError: a transaction reverts, or isn't mined in time.
        IntegrityError: what lies on a chain isn't what ships.
    """
    journal = Journal() if journal is None else journal
    chains = _both(
        main_rpc, side_rpc, deployer_key, side_key, governance, lock_folder, side_paid=side_paid, max_fee=max_fee
    )
    with ThreadPoolExecutor(len(chains)) as pool:
        running = [pool.submit(chain.deploy, journal, told) for chain in chains]
    mainchain, sidechain = (one.result() for one in running)
    return Deployment(mainchain, replace(sidechain, paid=side_paid))


def estimate(
    main_rpc: Rpc,
    side_rpc: Rpc,
    deployer_key: bytes,
    governance: Governance,
    *,
    side_key: bytes,
    lock_folder: Path,
    side_paid: bool = False,
    max_fee: int = MAX_FEE,
    journal: Journal | None = None,
) -> list[Cost]:
    """Return what a deployment would cost from here on, on each chain; nothing is sent.

    Raises:
        UsageError: as `deploy`.
        TransactionError: a creation would revert.
    """
    journal = Journal() if journal is None else journal
    chains = _both(
        main_rpc, side_rpc, deployer_key, side_key, governance, lock_folder, side_paid=side_paid, max_fee=max_fee
    )
    return [chain.cost(journal) for chain in chains]


class _Chain:
    """One chain's deployment."""

    def __init__(
        self, name: str, rpc: Rpc, sender: SeriesSender, plan: Callable[[int], Plan], others: Callable[[Plan], None]
    ) -> None:
        self._name, self._rpc, self._sender = name, rpc, sender
        self._plan, self._others = plan, others

    def deploy(self, journal: Journal, told: Told) -> ChainConfig:
        begun, plan = self._begin(journal)
        written = journal.begin(self._name, begun, plan)
        for wave, words in ((CREATE, "creating contracts"), (APPOINT, "setting up roles"), (LEAVE, "handing over")):
            steps = [(nonce, step) for nonce, step in enumerate(plan.steps, start=plan.first) if step.wave == wave]
            told(f"{self._name}: {words} ({len(steps)} transactions)")
            receipts = self._sender.send_all([step for _, step in steps], first=steps[0][0], journal=written)
            if wave == CREATE:
                for (nonce, step), receipt in zip(steps, receipts, strict=True):
                    where = created_at(plan.deployer, nonce)
                    if str(receipt.contract).lower() != where.lower():
                        raise TransactionError(
                            f"{step.what}: transaction {receipt.tx_hash} made no contract at {where}"
                        )
                # Before anybody is appointed: a contract that isn't ours gets nobody into charge.
                check_codes(self._rpc, plan.contracts)
                self._others(plan)
        config = ChainConfig.at(self._rpc.url, begun.chain_id, plan.contracts, begun.block)
        return replace(config, from_block_hash=begun.block_hash)

    def cost(self, journal: Journal) -> Cost:
        begun, plan = self._begin(journal)
        gas = count = 0
        mined = node.transaction_count(self._rpc, self._sender.address)
        for step in plan.steps[max(mined - plan.first, 0) :]:
            count += 1
            if step.to is None:
                gas += self._sender.estimate(step)
            else:
                gas += _CALL_GAS[step.function] + step.functions * _SELECTOR_GAS
        return Cost(
            self._name,
            begun.chain_id,
            self._sender.address,
            count,
            gas,
            self._sender.price(),
            node.balance(self._rpc, self._sender.address),
        )

    def _begin(self, journal: Journal) -> tuple[Begun, Plan]:
        """Return where this deployment began, now or at an earlier run, and what it sends."""
        begun = journal.begun(self._name)
        if begun is None:
            first = node.transaction_count(self._rpc, self._sender.address)
            if node.pending_count(self._rpc, self._sender.address) != first:
                raise UsageError(
                    f"transactions of the {self._name}'s deployer {self._sender.address} wait to be mined; nothing was"
                    " deployed",
                    hint="wait for them, or take another account",
                )
            head = node.block_number(self._rpc)
            block_hash = read_header(self._rpc.call("eth_getBlockByNumber", [hex(head), False])).hash
            begun = Begun(self._sender.chain_id, self._sender.address, first, head, block_hash)
        elif (begun.chain_id, begun.deployer) != (self._sender.chain_id, self._sender.address):
            raise UsageError(
                f"the journal's deployment on the {self._name} is that of {begun.deployer} on chain {begun.chain_id},"
                f" not of {self._sender.address} on chain {self._sender.chain_id}; nothing was sent",
                hint="the same keys and nodes as then, or begin anew with --anew, which pays again",
            )
        return begun, self._plan(begun.first)


def _both(
    main_rpc: Rpc,
    side_rpc: Rpc,
    main_key: bytes,
    side_key: bytes,
    governance: Governance,
    lock_folder: Path,
    *,
    side_paid: bool,
    max_fee: int,
) -> tuple[_Chain, _Chain]:
    main_deployer, side_deployer = Account(main_key), Account(side_key)
    for deployer in (main_deployer, side_deployer):
        # The deployer resigns at the end: an administrator of the same account would be gone for good.
        if deployer.address in (governance.registrar, governance.admin):
            raise UsageError(f"the deployer {deployer.address} is registrar or administrator; nothing was deployed")
    if main_deployer.address == side_deployer.address:
        raise UsageError(f"{side_deployer.address} can't deploy both chains, to equal addresses; nothing was deployed")
    main = _sender(main_rpc, main_deployer, lock_folder, max_fee, free=False)
    side = _sender(side_rpc, side_deployer, lock_folder, max_fee, free=not side_paid)
    if main.chain_id == side.chain_id:
        raise UsageError(f"both nodes are of chain {main.chain_id}; nothing was deployed")
    return (
        _Chain(
            "mainchain",
            main_rpc,
            main,
            lambda first: plan_mainchain(main.address, first, governance, sidechain_id=side.chain_id),
            lambda plan: _check_made(main_rpc, main.chain_id, plan),
        ),
        _Chain(
            "sidechain",
            side_rpc,
            side,
            lambda first: plan_sidechain(side.address, first, governance),
            lambda _: None,
        ),
    )


def _check_made(rpc: Rpc, chain_id: int, plan: Plan) -> None:
    """Check that the registry's own contracts are where the plan says."""
    where = plan.contracts["ActorRegistry"]
    registry = ActorRegistry(BoundContract(rpc, "ActorRegistry", where, chain_id=chain_id))
    made = {"RecordLedger": registry.record_ledger(), "AccessLog": registry.access_log()}
    if wrong := {name: one for name, one in made.items() if one != plan.contracts[name]}:
        raise IntegrityError(f"the registry at {where} made other contracts than were planned: {wrong}")


def _sender(rpc: Rpc, account: Account, lock_folder: Path, max_fee: int, *, free: bool) -> SeriesSender:
    return SeriesSender(rpc, node.chain_id(rpc), account, lock_folder=lock_folder, free=free, max_fee=max_fee)
