"""Run a proxy: read its configuration, unlock its keys once, serve by worker processes until it is told to stop.

Nothing secret is in memory before the key store opened, and nothing secret is ever logged. No thread, connection or
database is opened before the workers are forked; each opens its own.
Follows docs/spec/proxy.md, sections "Configuration" and "Processes".
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Final

from panachain.chain.evm import Receipt
from panachain.chain.mainchain import Mainchain
from panachain.chain.revocations import registry_domain
from panachain.chain.sidechain import Sidechain
from panachain.chain.signing import Account
from panachain.chain.typed import proxy_domain
from panachain.crypto import keystore, umbral
from panachain.crypto.keys import Seed
from panachain.errors import PanaChainError, PolicyUnknownError, UnavailableError
from panachain.follow.follower import SETTLED
from panachain.follow.opening import following
from panachain.model.actors import Actor, Address, PolicyId, Role
from panachain.model.policy import OnChainPolicy, PolicyStatus
from panachain.model.transactions import Emergency, Wait
from panachain.private_files import forbid_core_dumps, make_private_folder
from panachain.proxy.client import Channels
from panachain.service.http import listen, serve
from panachain.service.periodic import Periodic
from panachain.service.proxy.anchoring import Anchoring
from panachain.service.proxy.config import ProxyConfig, read_config
from panachain.service.proxy.database import WHAT
from panachain.service.proxy.service import ProxyService, Rates
from panachain.service.proxy.store import ProxyStore
from panachain.service.proxy.waking import Waking
from panachain.service.proxy.witnessing import Witnessing
from panachain.service.workers import Supervisor

_SWITCH: Final = 0.0005
"""Seconds after which a thread that computes lets the event loop have the GIL."""
_KEEP_ALIVE: Final = 30
"""Seconds that an idle connection is kept."""
_MOST_THREADS: Final = 4
"""Threads of a worker that compute: beyond these, a second worker serves more than a fifth one."""
_LOOK: Final = 30.0
"""Seconds between two looks for emergencies: a quarter of what a co-signature may be older than known."""
_RPC_TIMEOUT: Final = 5.0
"""Seconds that a chain may take for one answer."""
_log = logging.getLogger("panachain.proxy")


class Chains:
    """A proxy's view of both chains."""

    def __init__(self, mainchain: Mainchain, sidechain: Sidechain, confirmations: int) -> None:
        """Take both chains, and how many blocks deep a grant must be."""
        self._mainchain = mainchain
        self._sidechain = sidechain
        self._confirmations = confirmations
        self._looked_to = 0

    def policy(self, policy_id: PolicyId) -> OnChainPolicy:
        """Return the policy at the newest block, once its grant is as deep as it must be.

        Raises:
            PolicyUnknownError: it was never granted, or isn't that deep yet.
        """
        newest = self._mainchain.policies.policy_of(policy_id)
        if self._confirmations and newest.status is not PolicyStatus.REVOKED:
            self._check_confirmed(policy_id, newest.block)
        # The newest block, not the confirmed one, is what a receipt states: there the revocation was looked for.
        return newest

    def settled(self, policy_id: PolicyId) -> OnChainPolicy | None:
        """Return the policy as of the block that is as deep as a grant must be; None if it wasn't known there."""
        return self._mainchain.policies.settled(policy_id, self._confirmations)

    def settled_of(self, policy_ids: Sequence[PolicyId]) -> list[OnChainPolicy]:
        """Return those of some policies that were known at the block that is as deep as a grant must be."""
        return self._mainchain.policies.settled_of(policy_ids, self._confirmations)

    def revocation_in_sight(self, policy_id: PolicyId) -> bool:
        """Tell whether a revocation is mined or waits to be."""
        return self._mainchain.policies.revocation_in_sight(policy_id)

    def head_time(self) -> int:
        """Return the newest block's time."""
        return self._mainchain.head_block().time

    def pinned(self) -> AbstractContextManager[object]:
        """Return a context in which this thread reads proven blocks and events of the mainchain up to one head."""
        return self._mainchain.source.pinned()

    def identity(self, account: Address) -> Actor | None:
        """Return a person of the sidechain, or a public actor of the mainchain, such as a researcher."""
        return self._sidechain.identities.identity_of(account) or self._mainchain.actors.actor_of(account)

    def is_member(self, group: Address, person: Address) -> bool:
        """Tell whether the sidechain counts a person to a group now."""
        return self._sidechain.groups.is_member(group, person)

    def opens_at(
        self, grantee: Address, person: Address, *, at: int, counted: Callable[[Emergency], int]
    ) -> Wait | None:
        """Return from when on a person's emergencies open what was granted to this account, as the sidechain says."""
        return self._sidechain.emergency.opens_at(grantee, person, at=at, counted=counted)

    def cosigned(self, *, since: int) -> Iterator[Emergency]:
        """Yield the emergencies that end after a time and were co-signed since the last look, or shortly before it."""
        found, head = self._sidechain.emergency.cosigned(since=since, from_block=self._looked_to - SETTLED)
        yield from found
        # Only now: what couldn't be dealt with comes again.
        self._looked_to = head

    def _check_confirmed(self, policy_id: PolicyId, newest: int) -> None:
        if not self._mainchain.policies.is_confirmed(policy_id, self._confirmations):
            raise PolicyUnknownError(
                f"policy {policy_id} isn't {self._confirmations} blocks deep on the mainchain yet at block {newest}"
            )


class Process:
    """What one process of a proxy opens for itself, after the fork."""

    def __init__(self, config: ProxyConfig, seed: Seed) -> None:
        """Connect to both chains and to the database.

        Raises:
            DiskError: the database can't be opened.
            ConfigurationError: it is another proxy's.
        """
        # One copy of each chain for all workers: whichever of them asks first reads what is new.
        main, side = config.mainchain, config.sidechain
        mainchain = Mainchain.connect(main, timeout=_RPC_TIMEOUT, source=following(main, config.folder))
        sidechain = Sidechain.connect(side, timeout=_RPC_TIMEOUT, source=following(side, config.folder))
        self._chains = mainchain, sidechain
        account = Account(seed.account_key())
        self.store = ProxyStore(config.database.url(WHAT), seed.store_key(), proxy=account.address)
        sender = mainchain.sender(account, lock_folder=config.folder / "nonces")
        self.anchoring = Anchoring(mainchain, sender, self.store)
        self.service = ProxyService(
            seed,
            self.store,
            Chains(mainchain, sidechain, config.confirmations),
            domain=proxy_domain(mainchain.chain_id, mainchain.policies.address),
            log_domain=mainchain.log.domain,
            registry_domain=registry_domain(mainchain.chain_id, mainchain.policies.address),
            max_head_age=config.max_head_age,
            max_head_ahead=config.max_head_ahead,
            rates=Rates(requests=config.sender_rate, capsules=config.capsule_rate, opened=2 * config.capsule_rate),
            wake=Waking(mainchain.rpc, sender).wake,
            check_log=self.anchoring.check_log,
        )
        self.witnessing = Witnessing(
            self.service.log, lambda: mainchain.actors.find(Role.PROXY), Channels(reach=config.reach)
        )

    def close(self) -> None:
        """Close all connections."""
        self.witnessing.close()
        self.store.close()
        for chain in self._chains:
            chain.close()


def run_proxy(config_path: Path, passphrase: str) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: the configuration can't be read.
        LockedError: the key store doesn't open.
        UnavailableError: the address can't be listened on, or workers had to be killed.
    """
    # 1. The configuration, and the keys behind it.
    config = read_config(config_path)
    forbid_core_dumps()
    seed = keystore.open(config.keystore, passphrase, upgrade=False)
    _share_metrics(config.folder / "metrics")
    # 2. The workers. The server's code is loaded before the fork, so that they share the memory.
    import uvicorn  # noqa: F401

    from panachain.service.proxy import app  # noqa: F401

    with closing(listen(config.host, config.port)) as listening:
        supervisor = Supervisor(
            config.workers, lambda number: _work(config, seed, listening, number), grace=config.grace + 5
        )
        orderly = supervisor.run()
    # 3. The log's end: no worker is left that could make it longer.
    _anchor_once(config, seed)
    if not orderly:
        raise UnavailableError("workers of the proxy failed, or didn't end in time and were killed")


def announce_endpoint(config_path: Path, passphrase: str, endpoint: str) -> Receipt:
    """Tell the registry where the proxy answers from now on.

    Raises:
        UsageError: nobody would ask there.
        LockedError: the key store doesn't open.
        TransactionError: the proxy isn't registered, or suspended.
    """
    config = read_config(config_path)
    account = Account(keystore.open(config.keystore, passphrase, upgrade=False).account_key())
    with closing(Mainchain.connect(config.mainchain, timeout=_RPC_TIMEOUT)) as mainchain:
        sender = mainchain.sender(account, lock_folder=config.folder / "nonces")
        return mainchain.actors.set_endpoint(sender, endpoint)


def _work(config: ProxyConfig, seed: Seed, listening: socket.socket, number: int) -> None:
    """Serve in one worker process; number 0 anchors the log and sweeps, too."""
    from panachain.service.connections import ConnectionLimits
    from panachain.service.proxy.app import Limits, create_app

    sys.setswitchinterval(_SWITCH)
    first = number == 0
    with (
        closing(Process(config, seed)) as process,
        _upkeep(config, process) if first else nullcontext(),
        _looking(process) if first else nullcontext(),
    ):
        limits = Limits(config.sender_rate, config.address_rate)
        app = create_app(process.service, limits, threads=_threads(config.workers, os.cpu_count() or 1))
        connections = ConnectionLimits(most_per_source=config.connections_per_address)
        serve(app, listening, tls=config.tls, grace=config.grace, limits=connections, timeout_keep_alive=_KEEP_ALIVE)


def _threads(workers: int, processors: int) -> int:
    """Return how many threads of a worker compute: its share of the machine, where they compute beside each other."""
    return max(1, min(_MOST_THREADS, processors // workers)) if umbral.PARALLEL else 1


def _upkeep(config: ProxyConfig, process: Process) -> AbstractContextManager[object]:
    """Return what one worker does beside serving."""
    if config.anchor_every <= 0:
        return nullcontext()
    # In this order, so that the receipts of what was deleted are anchored too. The parent anchors the log's end.
    duties = {
        "kfrags of policies that are over can't be deleted": process.service.sweep,
        "refusals can't be told of": process.service.tell_refusals,
        "the receipt log can't be cosigned": process.witnessing.gather,
        "the receipt log can't be anchored": process.anchoring.anchor,
    }
    return Periodic(duties, every=config.anchor_every, name="upkeep", log=_log)


def _looking(process: Process) -> Periodic:
    """Return what notes when this proxy first saw a co-signature, also while nobody asks it anything."""
    duties = {"emergencies can't be looked for": process.service.look_for_emergencies}
    return Periodic(duties, every=_LOOK, name="emergencies", log=_log, at_start=True)


def _anchor_once(config: ProxyConfig, seed: Seed) -> None:
    if config.anchor_every <= 0:
        return
    try:
        with closing(Process(config, seed)) as process:
            process.anchoring.anchor()
    except PanaChainError as exc:
        _log.warning("the receipt log can't be anchored at the end: %s", exc)


def _share_metrics(folder: Path) -> None:
    # prometheus-client reads it once, when it is imported: the workers count together through files in this folder.
    shutil.rmtree(folder, ignore_errors=True)
    make_private_folder(folder)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
