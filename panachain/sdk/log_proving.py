"""Proving a patient's log: that each proxy showed all receipts of a policy that its log has, and has one log.

Asks each proxy for its proof, checks it against what the proxy showed, against what it proved the last time, against
what the other proxies cosigned and against its newest anchor on the mainchain. Believes no proxy, no witness and no
tile. Follows docs/spec/log.md, section "What a patient checks".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from panachain.consent.log_checkpoint import Cosigned, open_checkpoint
from panachain.consent.log_proof import Place, Share, check_share, leaf_hash
from panachain.consent.log_tree import LogTree, check_consistency
from panachain.crypto.hpke import SealingKey
from panachain.errors import IntegrityError, PanaChainError, UnavailableError
from panachain.model.actors import Address, Role, Status
from panachain.model.policy import LogHead, ProxyRef, Receipt
from panachain.proxy import messages
from panachain.proxy.race import Failure
from panachain.sdk.kept_receipts import KeptReceipts
from panachain.sdk.network import Network
from panachain.sdk.policies import OwnPolicies
from panachain.sdk.proxies import Proxies
from panachain.sdk.receipt_reading import PolicyLog
from panachain.sdk.results.log import LogProof

_PAGES: Final = 2000
"""Pages of one proxy's proof that are read: half a million receipts of one policy."""
_TRIES: Final = 3
"""Times that a proxy is asked again whose checkpoint is a little behind its own head."""
_WAIT: Final = 1.1
"""Seconds before that."""


@dataclass
class _Log:
    """What is known of one proxy's log while its policies are proven."""

    newest: Cosigned | None = None
    error: PanaChainError | None = None


class LogProving:
    """One proving of what the proxies of some policies showed."""

    def __init__(
        self,
        network: Network,
        policies: OwnPolicies,
        proxies: Proxies,
        kept: KeptReceipts,
        audit: SealingKey,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take whom to ask, what was proven before, and the patient's audit key."""
        self._network = network
        self._policies = policies
        self._proxies = proxies
        self._kept = kept
        self._audit = audit.public
        self._sleep = sleep
        self._domain = network.mainchain.log.domain
        self._logs: dict[Address, _Log] = {}
        self._before: dict[Address, Cosigned] = {}
        for proxy, note in kept.checkpoints().items():
            self._before[proxy] = open_checkpoint(note, proxy=proxy, domain=self._domain)
        self._heads: dict[Address, LogHead] = {}
        self._others: frozenset[Address] | None = None

    def prove(self, log: PolicyLog) -> list[LogProof]:
        """Return what each proxy of a policy proved.

        Args:
            log: what the proxies showed; each receipt is checked.
        """
        own = log.own
        failed = {failure.proxy.address: failure.error for failure in log.failures}
        reached = self._network.reachable(list(own.terms.proxies))
        fresh = [proxy for proxy in reached if proxy.address not in self._heads]
        heads, silent = self._proxies.heads(fresh)
        self._heads |= heads
        failed |= {failure.proxy.address: failure.error for failure in silent if isinstance(failure, Failure)}
        shown: dict[Address, list[Receipt]] = {proxy.address: [] for proxy in reached}
        for one in log.statements:
            shown.setdefault(one.receipt.proxy, []).append(one.receipt)
        return [self._proven(log, proxy, shown[proxy.address], failed.get(proxy.address)) for proxy in reached]

    def keep(self) -> None:
        """Keep the checkpoints that were proven: the next time each log must go on from there."""
        found = {proxy: log.newest for proxy, log in self._logs.items() if log.newest is not None and log.error is None}
        notes = {proxy: opened.note.encode().encode() for proxy, opened in (self._before | found).items()}
        self._kept.keep_checkpoints(notes)

    # Inside

    def _proven(
        self, log: PolicyLog, proxy: ProxyRef, shown: Sequence[Receipt], failed: PanaChainError | None
    ) -> LogProof:
        policy_id = log.own.policy_id
        try:
            if failed is not None:
                raise failed
            return self._checked(log, proxy, shown)
        except PanaChainError as exc:
            # What another proxy proves counts without this one.
            lied = isinstance(exc, IntegrityError)
            return LogProof(policy_id, proxy.address, len(shown), 0, reason=str(exc), lied=lied)

    def _checked(self, log: PolicyLog, proxy: ProxyRef, shown: Sequence[Receipt]) -> LogProof:
        policy_id, state = log.own.policy_id, self._logs.setdefault(proxy.address, _Log())
        if state.error is not None:
            raise state.error
        account = self._policies.account(log.own.index)
        leaves = dict[int, tuple[bytes, tuple[bytes, ...]]]()
        # From the first receipt of all on: when the deposit was is what the proxy says.
        place, tries = Place(0), 0
        cosigned: Cosigned | None = None
        for _ in range(_PAGES):
            share = self._proxies.proof(proxy, policy_id, account, cursor=place.cursor)
            opened = open_checkpoint(share.checkpoint.encode(), proxy=proxy.address, domain=self._domain)
            if opened.checkpoint.size < self._least(proxy, shown) and tries < _TRIES:
                # A proxy with a large map makes it anew once a second.
                tries += 1
                self._sleep(_WAIT)
                continue
            self._check_newer(proxy, state, opened)
            found, place = check_share(
                share, opened.checkpoint, audit_key=self._audit, policy_id=policy_id, place=place
            )
            if leaves and found and min(found) <= max(leaves):
                raise IntegrityError(f"proxy {proxy.address} proves its receipts in another order")
            leaves |= found
            cosigned = self._cosigned(proxy, share, opened)
            if place.epoch >= opened.checkpoint.epochs:
                self._check_shown(proxy, shown, leaves)
                return self._outcome(log, proxy, leaves, opened, cosigned)
        raise UnavailableError(f"proxy {proxy.address} has more than {_PAGES} pages of proof")

    def _least(self, proxy: ProxyRef, shown: Sequence[Receipt]) -> int:
        """Return how many receipts the log must have: what the proxy signed, showed and anchored before."""
        anchored, _ = self._network.mainchain.log.anchor_of(proxy.address)
        head = self._heads[proxy.address].sequence if proxy.address in self._heads else 0
        return max(anchored, head, *(receipt.sequence for receipt in shown), 0)

    def _check_newer(self, proxy: ProxyRef, state: _Log, opened: Cosigned) -> None:
        """Check that a checkpoint goes on from the newest one that is known of the log."""
        known = state.newest or self._before.get(proxy.address)
        checkpoint = opened.checkpoint
        least = self._heads[proxy.address].sequence if proxy.address in self._heads else 0
        if checkpoint.size < least:
            raise IntegrityError(
                f"proxy {proxy.address} proves a log of {checkpoint.size} receipts, and signed that it has {least}"
            )
        anchored, _ = self._network.mainchain.log.anchor_of(proxy.address)
        if checkpoint.size < anchored:
            raise IntegrityError(
                f"proxy {proxy.address} proves a log of {checkpoint.size} receipts, and {anchored} are anchored"
            )
        if known is not None and known.checkpoint != checkpoint:
            before = known.checkpoint
            try:
                if before.size > checkpoint.size:
                    raise IntegrityError(f"its log had {before.size} receipts, and has {checkpoint.size} now")
                tree = LogTree(lambda *tile: self._proxies.tile(proxy, *tile), checkpoint.size)
                proof = tree.consistency(before.size)
                check_consistency(before.root, checkpoint.root, before=before.size, size=checkpoint.size, proof=proof)
            except IntegrityError as exc:
                state.error = IntegrityError(f"proxy {proxy.address} has another log than before: {exc}")
                raise state.error from exc
        state.newest = opened

    def _cosigned(self, proxy: ProxyRef, share: Share, opened: Cosigned) -> Cosigned | None:
        if not share.cosigned:
            return None
        found = open_checkpoint(share.cosigned.encode(), proxy=proxy.address, domain=self._domain)
        before, now = found.checkpoint, opened.checkpoint
        check_consistency(before.root, now.root, before=before.size, size=now.size, proof=share.growth)
        return found

    def _check_shown(
        self,
        proxy: ProxyRef,
        shown: Sequence[Receipt],
        leaves: Mapping[int, tuple[bytes, tuple[bytes, ...]]],
    ) -> None:
        """Check that what the proxy showed is what its log has."""
        known = {receipt.sequence: receipt for receipt in shown}
        for index, (leaf, _) in leaves.items():
            receipt = known.pop(index + 1, None)
            if receipt is None:
                raise IntegrityError(f"proxy {proxy.address} keeps back receipt {index + 1}, which its log has")
            if leaf_hash(messages.canonical(messages.receipt_fields(receipt))) != leaf:
                raise IntegrityError(f"receipt {index + 1} of proxy {proxy.address} is another one in its log")
        if known:
            raise IntegrityError(f"receipt {min(known)}, which proxy {proxy.address} signed, isn't in its log")

    def _outcome(
        self,
        log: PolicyLog,
        proxy: ProxyRef,
        leaves: Mapping[int, tuple[bytes, tuple[bytes, ...]]],
        opened: Cosigned,
        cosigned: Cosigned | None,
    ) -> LogProof:
        # Keys of whoever it may be cosign: what counts are the network's proxies.
        who = tuple(sorted(self._witnesses() & set(cosigned.witnesses))) if cosigned is not None else ()
        return LogProof(
            log.own.policy_id,
            proxy.address,
            len(leaves),
            opened.checkpoint.size,
            cosigned=cosigned.checkpoint.size if cosigned is not None and who else 0,
            witnesses=who,
            entries={index + 1: path for index, (_, path) in leaves.items()},
            checkpoint=opened.note.encode(),
        )

    def _witnesses(self) -> frozenset[Address]:
        if self._others is None:
            actors = self._network.mainchain.actors.find(Role.PROXY)
            self._others = frozenset(actor.address for actor in actors if actor.status is Status.ACTIVE)
        return self._others
