"""The proxy: turns a key for a lane into a key for a grantee, and can read nothing.

Fails closed: no service without a fresh head, without a written receipt, or with a revocation in sight.
Follows design section 8 (Proxy), docs/spec/proxy.md and security rules 3, 8 and 12. HTTP is in app.py.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from panachain.chain import typed
from panachain.chain.receipts import receipt_hash, sign_head
from panachain.chain.revocations import check_revocation
from panachain.chain.signing import Account
from panachain.consent.receipts import marks_text
from panachain.consent.rules import check_access
from panachain.consent.times import MAX_AHEAD, check_head, is_over_for_good, stated_time
from panachain.crypto import box, labels
from panachain.crypto.hpke import SealingKey
from panachain.crypto.keys import Seed, generation_among
from panachain.errors import (
    AccessDeniedError,
    ChainUnavailableError,
    IntegrityError,
    OpensLaterError,
    OutOfScopeError,
    PanaChainError,
    PolicyExpiredError,
    PolicyRevokedError,
    PolicyUnknownError,
    RateLimitedError,
    UnavailableError,
    UsageError,
)
from panachain.model.actors import Actor, Address, PolicyId, Status
from panachain.model.emergencies import TOLERANCE
from panachain.model.policy import LogHead, OnChainPolicy, PolicyStatus, Receipt, ReceiptKind
from panachain.model.proxy_requests import (
    DepositedLane,
    DepositRequest,
    ReceiptPart,
    ReceiptsRequest,
    ReencryptRequest,
    SignedRequest,
)
from panachain.model.transactions import NO_WAIT, Emergency, Revocation, Wait
from panachain.proxy import messages
from panachain.service.limits import Limiter
from panachain.service.proxy.log import ProxyLog
from panachain.service.proxy.store import HeldPolicy, Nonce, ProxyStore, Quota, Refusal, Rest
from panachain.service.proxy.work import Deposit, Reencryption

_DENIALS: Final = 60
"""Refusals of one policy that are counted in a minute, strangers' apart: a flood mustn't become a flood of writes."""
_WINDOW: Final = 600
"""Seconds within which one person's refusals for one reason share a receipt."""
_LOOK: Final = 10.0
"""Seconds between two looks for one's own keys: whoever sends what doesn't open makes nobody ask a chain."""
_STALE: Final = 1.0
"""Seconds after which a look for a revocation is made again before a request is answered."""
_SWEPT: Final = 500
"""Policies that the chain is asked about at once, whether they are over."""
_MOST_DELETED: Final = 100
"""Policies whose kfrags one sweep deletes."""
_APART_WINDOW: Final = 3600
"""Seconds within which all strangers' refusals of one policy share a receipt."""
_log = logging.getLogger("panachain.proxy")


class ChainView(Protocol):
    """What a proxy asks the chains."""

    def policy(self, policy_id: PolicyId) -> OnChainPolicy:
        """Return the policy at a confirmed block."""
        ...

    def settled(self, policy_id: PolicyId) -> OnChainPolicy | None:
        """Return the policy as of the newest block that is deep enough to stay; None if it wasn't known there."""
        ...

    def settled_of(self, policy_ids: Sequence[PolicyId]) -> list[OnChainPolicy]:
        """Return those of some policies that `settled` knows, as it does."""
        ...

    def revocation_in_sight(self, policy_id: PolicyId) -> bool:
        """Tell whether a revocation is mined or waits to be."""
        ...

    def head_time(self) -> int:
        """Return the newest block's time, Unix seconds."""
        ...

    def pinned(self) -> AbstractContextManager[object]:
        """Return a context in which this thread reads proven blocks and events of the mainchain up to one head."""
        ...

    def identity(self, account: Address) -> Actor | None:
        """Return a person of the sidechain, or a public actor of the mainchain."""
        ...

    def is_member(self, group: Address, person: Address) -> bool:
        """Tell whether the sidechain counts a person to a group."""
        ...

    def opens_at(
        self, grantee: Address, person: Address, *, at: int, counted: Callable[[Emergency], int]
    ) -> Wait | None:
        """Return from when on a person's emergencies open what was granted.

        Args:
            grantee: a patient, or an account that stands for a delay in a patient's emergencies.
            person: who asked.
            at: Unix seconds of the mainchain's head.
            counted: returns from when on a delay counts in an emergency, Unix seconds; called only where there is one.

        Returns:
            None: no emergency of theirs that was co-signed and isn't over opens it.
        """
        ...

    def cosigned(self, *, since: int) -> Iterable[Emergency]:
        """Return the emergencies that end after a time, Unix seconds, and were co-signed since the last call."""
        ...


def _leave_alone() -> None:
    """Do nothing: the head counts as it is, and so does the log."""


@dataclass(frozen=True)
class Rates:
    """What may be asked in a minute of the clock of all workers together; 0 means any number."""

    requests: int = 600
    """Of one signer."""
    capsules: int = 60_000
    """Of one signer: about what one core re-encrypts."""
    opened: int = 120_000
    """Capsules of one policy: a group's members together."""
    lanes: int = 8192
    """Deposited for one policy: the largest deposit, and once more."""


@dataclass(frozen=True)
class _Case:
    """An authenticated request, and what the proxy and the chain know of its policy."""

    request: ReencryptRequest
    held: HeldPolicy
    on_chain: OnChainPolicy
    nonce: Nonce


class ProxyService:
    """One proxy's duties, free of HTTP."""

    def __init__(
        self,
        seed: Seed,
        store: ProxyStore,
        chain: ChainView,
        *,
        domain: bytes,
        log_domain: bytes,
        registry_domain: bytes,
        max_head_age: int = 120,
        max_head_ahead: int = MAX_AHEAD,
        rates: Rates | None = None,
        clock: Callable[[], float] = time.time,
        wake: Callable[[], None] = _leave_alone,
        check_log: Callable[[], None] = _leave_alone,
    ) -> None:
        """Take the proxy's keys, database and chains.

        Args:
            seed: the proxy's.
            store: its database.
            chain: how it sees both chains.
            domain: of the proxy protocol, 32 bytes (`chain.typed.proxy_domain`).
            log_domain: of the access log that judges its receipts, 32 bytes.
            registry_domain: of the policy registry, for which owners sign revocations, 32 bytes.
            max_head_age: seconds; an older head of the mainchain means no service.
            max_head_ahead: seconds; nor does one that is further ahead of the clock.
            rates: what may be asked in a minute.
            clock: Unix seconds; bounds the times of requests and of heads, and no window ends for good before it says
                so; it never opens one.
            wake: has a mainchain make a block that makes none by itself; called where its head is too old, and the head
                is looked at again.
            check_log: raises where the log isn't the one that was anchored; called before anything is written to it.
        """
        self._seed = seed
        self._sealing = self._known_keys(0)
        self._looked = 0.0
        self._account = Account(seed.account_key())
        self.address = self._account.address
        self._domain = domain
        self._log_domain = log_domain
        self._registry_domain = registry_domain
        self._store = store
        self._chain = chain
        self._max_head_age = max_head_age
        self._max_head_ahead = max_head_ahead
        self._rates = rates or Rates()
        self._clock = clock
        self._wake = wake
        self._check_log = check_log
        self.log = ProxyLog(seed, store, domain=log_domain, clock=clock)
        self._denials = Limiter(_DENIALS, clock=clock)
        self._lock = threading.Lock()
        self._in_hand: set[bytes] = set()

    # Admission: cheap, without I/O

    def authenticate(self, request: SignedRequest) -> None:
        """Check that a request is for this proxy and for now, and signed by the account that it names.

        Raises:
            UsageError: it is over, or ends too late.
            OutOfScopeError: it is for another proxy, or isn't signed by its requester or by the policy's owner.
        """
        # A request that another proxy was sent must not be worth anything here.
        if request.proxy != self.address:
            raise OutOfScopeError("the request is for another proxy")
        now = int(self._clock())
        if not now < request.expires_at <= now + messages.MAX_AGE:
            raise UsageError(
                f"the request ends at {request.expires_at}; at {now} (Unix seconds) it may end within "
                f"{messages.MAX_AGE} s"
            )
        # After the times, which cost nothing to look at; a signature costs a curve multiplication.
        if typed.signer_of(self._domain, request) != _sender(request):
            raise OutOfScopeError("the request isn't signed by the account that it names")

    def open_deposit(self, sealed: bytes) -> DepositRequest:
        """Return a deposit that is sealed to this proxy and signed by the policy's owner, for now.

        Raises:
            IntegrityError: it isn't sealed to this proxy.
            UsageError: it is malformed or too old.
            OutOfScopeError: it is for another proxy, or isn't signed by the owner.
        """
        try:
            plain = box.open_box(self._sealing, sealed, labels.DEPOSIT)
        except IntegrityError:
            # To keys that the registry names since this process looked? Nobody makes it look at each deposit.
            if not self._learn_keys():
                raise
            plain = box.open_box(self._sealing, sealed, labels.DEPOSIT)
        request = messages.parse_deposit(messages.parse_json(plain))
        self.authenticate(request)
        return request

    def _known_keys(self, generation: int) -> SealingKey:
        """Return what opens what is sealed to this proxy's keys of an generation, of those before, or of the next."""
        return self._seed.following(lambda: generation).sealing()

    def _learn_keys(self) -> bool:
        """Look which key blocks the registry has of this proxy, at most every few seconds; tell whether it looked."""
        now = self._clock()
        with self._lock:
            if 0 <= now - self._looked < _LOOK:
                return False
            self._looked = now
        try:
            found = self._chain.identity(self.address)
        except UnavailableError as exc:
            _log.warning("which keys the registry has of this proxy can't be looked up: %s", exc)
            return False
        if found is not None:
            self._sealing = self._known_keys(generation_among(self._seed, found.key_digests))
        return True

    # Service

    def deposit(self, request: DepositRequest) -> dict[str, Any]:
        """Take a patient's kfrags for one policy, all steps at once; raises as they do."""
        work = self.begin_deposit(request)
        while not work.done:
            work.step()
        return self.finish_deposit(work)

    def begin_deposit(self, request: DepositRequest) -> Deposit:
        """Admit a deposit: it counts once, within its quotas, before a kfrag is looked at.

        Args:
            request: from `open_deposit`.

        Raises:
            IntegrityError: a kfrag is none at a look.
            AccessDeniedError: the policy isn't granted, or is over.
            UsageError: the deposit was sent before.
            RateLimitedError: its policy's account asks too often, or for too many lanes.
        """
        lanes = Quota(
            "lanes", request.policy_id, self._rates.lanes, "too many lanes of this policy", len(request.lanes)
        )
        with self._once(request, lanes) as nonce, self._at_head():
            on_chain = self._granted(request)
            self._store.use_nonce(nonce, before_receipt=True)
        return Deposit(request, on_chain, known=self._store.deposited(request.policy_id))

    def _granted(self, request: DepositRequest) -> OnChainPolicy:
        """Return the policy on chain, if it is granted as a deposit says."""
        on_chain = self._look(request.policy_id)
        # Asked before anything is kept: a share of a revoked policy would have to be deleted again.
        if on_chain.status is PolicyStatus.REVOKED or self._chain.revocation_in_sight(request.policy_id):
            raise PolicyRevokedError(f"policy {request.policy_id} was revoked by the patient")
        # The deposit says which terms it belongs to, the chain says which were granted. The proxy can't read them.
        if on_chain.terms != request.terms:
            raise OutOfScopeError(f"policy {request.policy_id} was granted with other terms")
        return on_chain

    def finish_deposit(self, work: Deposit) -> dict[str, Any]:
        """Keep the kfrags that were checked, and return their receipt: both or neither.

        Raises:
            DiskError: the database refuses.
        """
        request, on_chain = work.request, work.on_chain
        receipt = work.known or self._store.deposit(
            _held(request),
            request.lanes,
            expires_at=on_chain.expires_at,
            receipt=lambda sequence, previous: self._receipt(
                ReceiptKind.DEPOSITED, on_chain, sequence, previous, count=len(request.lanes)
            ),
        )
        return {"schema": messages.DEPOSIT, "receipt": messages.receipt_fields(receipt)}

    def reencrypt(self, request: ReencryptRequest) -> dict[str, Any]:
        """Turn capsules of one lane into cfrags for the policy's grantee, all steps at once; raises as they do."""
        work = self.begin_reencryption(request)
        while not work.done:
            work.step()
        return self.finish_reencryption(work)

    def begin_reencryption(self, request: ReencryptRequest) -> Reencryption:
        """Admit a request: it counts once, within its quotas, before a capsule is worked on.

        Args:
            request: authenticated already; that is step 1.

        Raises:
            AccessDeniedError: the rules forbid it; for a known policy the refusal is logged.
            UsageError: the request is repeated.
            RateLimitedError: its requester asks too often, or for too much.
            IntegrityError: a capsule is none at a look.
            ChainUnavailableError: no fresh view of the chain.
        """
        count = len(request.capsules)
        quotas = (
            Quota("capsules", request.requester, self._rates.capsules, "too many capsules of this signer", count),
            Quota("opened", request.policy_id, self._rates.opened, "too many capsules of this policy", count),
        )
        # From before the head is looked at, by which the answer is still true a moment later.
        begun = self._clock()
        with self._once(request, *quotas) as nonce, contextlib.ExitStack() as stack:
            held = self._store.policy(request.policy_id)
            stack.enter_context(self._at_head())
            # 2. Read the policy: fresh head, confirmed grant, revocation at first sight.
            on_chain = self._look(request.policy_id)
            # 3. Check the same rules as the SDK's.
            case = _Case(request, held, on_chain, nonce)
            try:
                kfrag = self._permitted(case)
            except AccessDeniedError as denial:
                self._deny(case, denial)
                raise
            # 4. From here on it counts, whatever becomes of it: a bad capsule costs its sender what a good one does.
            self._store.use_nonce(nonce, before_receipt=True)
        return Reencryption(request, held, on_chain, kfrag, begun=begun)

    def finish_reencryption(self, work: Reencryption) -> dict[str, Any]:
        """Write the receipt of a request whose cfrags are made, and return its answer.

        Raises:
            PolicyRevokedError: it waited for its turn, and the patient revoked meanwhile.
            DiskError: the receipt can't be written; nothing is answered.
        """
        request, on_chain, cfrags = work.request, work.on_chain, work.cfrags
        # Nobody keeps a request alive past a revocation by letting it wait.
        if self._clock() - work.begun >= _STALE and self._chain.revocation_in_sight(request.policy_id):
            raise PolicyRevokedError(f"policy {request.policy_id} was revoked by the patient")
        # 6. The receipt is on disk before the answer leaves.
        sealed = self._seal_detail(request, work.held, opened=marks_text(request.capsules))
        receipt = self._store.log(
            lambda sequence, previous: self._receipt(
                ReceiptKind.REENCRYPTED, on_chain, sequence, previous, count=len(cfrags), detail=sealed
            )
        )
        # Over request, cfrags and receipt together: so a false cfrag is evidence against this proxy, and no other's
        # answer can be passed off as its own.
        signature = typed.sign_answer(
            self._account,
            self._domain,
            request=typed.request_hash(request),
            cfrags=cfrags,
            receipt=receipt_hash(receipt),
        )
        return messages.answer_fields(messages.Answer(tuple(cfrags), receipt, signature))

    def revoke(self, policy_id: PolicyId) -> dict[str, Any]:
        """Look at the chain, and delete a revoked policy's kfrags; anybody may ask for the look.

        Raises:
            UsageError: the chain doesn't say that it is revoked, at a block that is deep enough.
            PolicyUnknownError: nothing was deposited here.
            ChainUnavailableError: no fresh view of the chain.
        """
        self._store.check_known(policy_id)
        self._check_head()
        on_chain = self._chain.settled(policy_id)
        # Only a mined and settled revocation deletes: any other already stops service, and may yet be dropped.
        if on_chain is None or on_chain.status is not PolicyStatus.REVOKED:
            raise UsageError(f"policy {policy_id} isn't revoked on chain at a block that is deep enough")
        return {"schema": messages.REVOKE, "receipt": messages.receipt_fields(self._delete(on_chain))}

    def delete(self, revocation: Revocation) -> dict[str, Any]:
        """Delete a policy's kfrags because its owner signed the revocation, which needs no chain to be true.

        Raises:
            PolicyUnknownError: nothing was deposited here.
            IntegrityError: the policy's own key didn't sign it.
        """
        check_revocation(self._registry_domain, revocation)
        # Without a chain nobody can tell whether the log is the newest, and a deletion that was ordered can't wait.
        with contextlib.suppress(ChainUnavailableError):
            self._check_log()
        self._store.check_known(revocation.policy_id)
        # It counts with a node that lies, and with none: the receipt states the clock's time, and 0 as the block.
        ordered = OnChainPolicy(revocation.policy_id, PolicyStatus.REVOKED, 0, 0, b"", block_time=int(self._clock()))
        return {"schema": messages.DELETE, "receipt": messages.receipt_fields(self._delete(ordered))}

    def receipts(self, request: ReceiptsRequest) -> dict[str, Any]:
        """Return a page of a policy's receipts to its owner.

        Args:
            request: authenticated already.

        Raises:
            UsageError: the request is repeated.
            RateLimitedError: its policy's account asks too often.
        """
        if request.part is ReceiptPart.PROOF:
            raise UsageError("a proof is asked for at /v1/proof")
        with self._once(request) as nonce:
            self._store.use_nonce(nonce)
        found, more = self._store.page(
            request.policy_id, request.part, after=request.after, size=messages.RECEIPTS_PAGE
        )
        return messages.page_fields(found, more=more)

    def proof(self, request: ReceiptsRequest) -> dict[str, Any]:
        """Return a page of the proof of which receipts of a policy there are to its owner; raises as `receipts`."""
        if request.part is not ReceiptPart.PROOF:
            raise UsageError("receipts are asked for at /v1/receipts")
        # A share of what was never deposited would have every map made anew, for whoever makes up an account.
        self._store.check_known(request.policy_id)
        with self._once(request) as nonce:
            self._store.use_nonce(nonce)
        return self.log.share(request.policy_id, request.after).fields()

    def cosign(self, body: bytes) -> tuple[int | None, str]:
        """Cosign another proxy's checkpoint; see `ProxyLog.cosign`."""
        return self.log.cosign(body, self._chain.identity)

    def sweep(self) -> int:
        """Delete the kfrags of policies that are over, each with its receipt, and return how many there were.

        A policy is over when the mainchain's settled block says that it is revoked, or that its window has ended and
        the clock agrees, with a margin. Whether anybody asks for it doesn't matter. At most `_MOST_DELETED` go at
        once: those who wait for anchors and receipts wait for no more.

        Raises:
            PanaChainError: one of them can't be deleted; the others are all the same.
        """
        self._check_head()
        count, after = 0, ""
        failed: PanaChainError | None = None
        # All that are held: the database knows the window as it was at the deposit, and of revocations nothing.
        while count < _MOST_DELETED and (held := self._store.held(after=after, size=_SWEPT)):
            for policy in self._chain.settled_of(held):
                if count < _MOST_DELETED and is_over_for_good(policy, now=self._clock()):
                    try:
                        self._delete(policy)
                        count += 1
                    except PanaChainError as exc:
                        failed = failed or exc
            after = held[-1]
        if failed is not None:
            raise failed
        return count

    def tell_refusals(self) -> int:
        """Write the receipts of refusals whose window is over, and return how many there were."""
        self._check_log()
        rests = self._store.rests(int(self._clock()) - _APART_WINDOW)
        for rest in rests:
            # A reorganisation took it away: the others are told of.
            with contextlib.suppress(PolicyUnknownError):
                self._tell(rest)
        return len(rests)

    def look_for_emergencies(self) -> None:
        """Note when this proxy first saw each co-signature of an emergency that isn't over, and forget the others.

        Raises:
            ChainUnavailableError: the sidechain doesn't answer.
            DiskError: the database refuses.
        """
        now = int(self._clock())
        # First: what is over goes whether or not the sidechain answers.
        self._store.emergencies.forget(now)
        for one in self._chain.cosigned(since=now):
            self._counted(one)

    def _tell(self, rest: Rest) -> None:
        on_chain = self._chain.policy(rest.policy_id)
        self._store.tell(
            rest,
            lambda sequence, previous: self._receipt(
                ReceiptKind.DENIED, on_chain, sequence, previous, count=rest.uses, detail=rest.detail
            ),
        )

    # State

    def head(self) -> dict[str, Any]:
        """Return the signed head of the receipt log."""
        sequence, head = self._store.head()
        signature = sign_head(self._account, self._log_domain, sequence=sequence, head=head)
        return messages.head_fields(LogHead(self.address, sequence, head, signature))

    def ready(self) -> dict[str, Any]:
        """Return that the proxy can serve: a fresh head, and a database that answers.

        Raises:
            ChainUnavailableError: no fresh head.
            DiskError: the database doesn't answer.
        """
        self._check_head()
        self._store.check_answers()
        return {"schema": "panachain/ready/1", "proxy": self.address}

    def gauges(self) -> tuple[int, int | None]:
        """Return the log's newest sequence, and the age of the mainchain's head in seconds or None if it is unknown."""
        sequence, _ = self._store.head()
        try:
            return sequence, int(self._clock()) - self._chain.head_time()
        except PanaChainError:
            # No answer is what the missing gauge says.
            return sequence, None

    # Inside

    @contextlib.contextmanager
    def _once(self, request: SignedRequest, *quotas: Quota) -> Iterator[Nonce]:
        """Yield a request's nonce, which the code inside uses up; the same request again gets no further than this.

        Raises:
            UsageError: it was sent before, or is being looked at.
            RateLimitedError: a quota is used up.
        """
        first = Quota("request", _sender(request), self._rates.requests, "too many requests of this signer")
        nonce = Nonce(request.nonce, int(self._clock()), (first, *quotas))
        # Of equal ones at once, one passes: here within a process, and by the database over all of them.
        with self._lock:
            if request.nonce in self._in_hand:
                raise UsageError("the request was sent before")
            self._in_hand.add(request.nonce)
        try:
            # Refuses early what needn't be asked of the chain; the transaction that uses the nonce up decides.
            self._store.check_nonce(nonce)
            yield nonce
        finally:
            with self._lock:
                self._in_hand.discard(request.nonce)

    def _check_head(self) -> None:
        with self._at_head():
            pass

    @contextlib.contextmanager
    def _at_head(self) -> Iterator[None]:
        """Read the mainchain up to one fresh head inside: each look for a new one is a question to its node.

        A revocation that comes after it is seen all the same: what waits, or was mined since, the node is asked for.

        Raises:
            ChainUnavailableError: the head is too old, or from the future.
        """
        self._check_log()
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._chain.pinned())
            if self._clock() - self._chain.head_time() > self._max_head_age:
                # It may be old because nothing happened: then a transaction of ours makes a new one.
                stack.close()
                self._wake()
                stack.enter_context(self._chain.pinned())
            self._check_time(self._chain.head_time())
            yield

    def _check_time(self, time: int) -> None:
        check_head(time, now=self._clock(), max_ahead=self._max_head_ahead, max_age=self._max_head_age)

    def _look(self, policy_id: PolicyId) -> OnChainPolicy:
        """Return what the head says of a policy; called within `_at_head`.

        Raises:
            ChainUnavailableError: the block is too old, or from the future.
        """
        on_chain = self._chain.policy(policy_id)
        # Of the very block that a receipt will state: a node may show one head and answer by another.
        self._check_time(on_chain.block_time)
        return on_chain

    def _delete_if_over(self, policy_id: PolicyId) -> bool:
        """Delete what a policy has here if nobody will ever be served with it again, and tell whether."""
        settled = self._chain.settled(policy_id)
        if settled is None or not is_over_for_good(settled, now=self._clock()):
            return False
        self._delete(settled)
        return True

    def _permitted(self, case: _Case) -> DepositedLane:
        """Return the kfrag of the lane that is asked for, if the rules permit it."""
        request, held, on_chain = case.request, case.held, case.on_chain
        if request.grantee != held.grantee:
            raise OutOfScopeError(f"policy {request.policy_id} wasn't granted to {request.grantee}")
        identity, at = self._chain.identity(request.requester), on_chain.block_time
        wait = self._opens_at(held.grantee, request.requester, at=at)
        check_access(
            on_chain,
            grantee=held.grantee,
            requester=request.requester,
            # Somebody whom the registry doesn't know is refused like somebody who is suspended.
            requester_status=Status.UNKNOWN if identity is None else identity.status,
            is_member=wait is not None,
            purpose=request.purpose,
            purposes=held.purposes,
            terms=held.terms,
            revocation_in_sight=self._chain.revocation_in_sight(request.policy_id),
        )
        # By the earlier of both clocks: a head that is a little ahead shortens no wait.
        now = min(at, int(self._clock()))
        # After the rules: nobody else hears of it.
        if wait is not None and now < wait.until:
            told = f"what waits in this emergency opens at this proxy at {wait.until} (Unix seconds)"
            if not wait.in_time:
                told = (
                    f"what waits in this emergency doesn't open at this proxy before it is over, at {wait.until} (Unix"
                    " seconds): the proxy knows of it for too short a time, or of too many of the same practitioner"
                )
            raise OpensLaterError(
                f"{told}; block {on_chain.block} is of {at}, and by the proxy's clock and that block it is {now}",
                retry_after=wait.until - now,
            )
        kfrag = self._store.kfrag(request.policy_id, request.lane)
        if kfrag is None:
            raise OutOfScopeError(f"this proxy holds no kfrag for lane {request.lane} of {request.policy_id}")
        return kfrag

    def _opens_at(self, grantee: Address, person: Address, *, at: int) -> Wait | None:
        """Return from when on a person reads what was granted to somebody else: a group, or a patient in emergencies.

        A policy whose grantee is a patient is that patient's own, for emergencies: nobody is its grantee by name. So is
        one whose grantee stands for a delay in a patient's emergencies.

        Args:
            grantee: to whom it was granted.
            person: who asks.
            at: Unix seconds of the mainchain's head.

        Returns:
            None: they don't.
        """
        if person == grantee:
            return None
        if self._chain.is_member(grantee, person):
            return NO_WAIT
        return self._chain.opens_at(grantee, person, at=at, counted=self._counted)

    def _counted(self, emergency: Emergency) -> int:
        """Return from when on delays count in an emergency, Unix seconds.

        It is the time of the co-signature's block. One that is older than this proxy has known of it counts from then
        on, less a tolerance: whoever makes the sidechain's blocks stamps none so early that something opens sooner.
        """
        # All that it says: taken back and written again, at another time or by others, it is another one.
        named = (emergency.emergency_id, emergency.practitioner, emergency.patient, emergency.cosigner)
        seen = self._store.emergencies.first_seen(
            "/".join(map(str, (*named, emergency.expires_at))),
            emergency.practitioner,
            ends_at=emergency.expires_at,
            now=int(self._clock()),
        )
        # Of more than are kept nobody knows how old they are: what waits in them waits until they are over.
        return emergency.expires_at if seen is None else max(emergency.cosigned_at, seen - TOLERANCE)

    def _deny(self, case: _Case, denial: AccessDeniedError) -> None:
        """Log a refusal, and delete what nobody will be served with any more."""
        apart = self._chain.identity(case.request.requester) is None
        # A flood at this process alone doesn't reach the database. Strangers use up nothing of what others get.
        if self._denials.take(f"{case.request.policy_id}/{apart}") == 0:
            self._log_denial(case, denial, apart=apart)
        # A kfrag that isn't kept can't leak.
        if case.on_chain.status is PolicyStatus.REVOKED or isinstance(denial, PolicyExpiredError):
            self._delete_if_over(case.request.policy_id)

    def _log_denial(self, case: _Case, denial: AccessDeniedError, *, apart: bool) -> None:
        request, reason = case.request, type(denial).__name__
        refusal = Refusal(
            request.policy_id,
            # Anybody can make accounts, so those whom nobody knows share one count for a policy.
            "strangers" if apart else f"{request.requester}/{reason}",
            apart,
            self._seal_detail(request, case.held, reason=reason),
            _APART_WINDOW if apart else _WINDOW,
        )
        quota = Quota("denial", f"{request.policy_id}/{apart}", _DENIALS, "too many refusals of this policy")
        # Beyond the quota of the policy or of the requester the answer is the same refusal, and counts nowhere.
        with contextlib.suppress(RateLimitedError):
            self._store.refuse(
                refusal,
                lambda sequence, previous, count: self._receipt(
                    ReceiptKind.DENIED, case.on_chain, sequence, previous, count=count, detail=refusal.detail
                ),
                # What was refused costs its requester one request, and none of the capsules that it named.
                nonce=replace(case.nonce, quotas=(case.nonce.quotas[0], quota)),
            )

    def _delete(self, on_chain: OnChainPolicy) -> Receipt:
        return self._store.delete(
            on_chain.policy_id,
            lambda sequence, previous, count: self._receipt(
                ReceiptKind.DELETED, on_chain, sequence, previous, count=count
            ),
        )

    def _seal_detail(self, request: ReencryptRequest, held: HeldPolicy, **more: str) -> bytes:
        detail = {
            "requester": request.requester,
            "grantee": request.grantee,
            "purpose": request.purpose.value,
            "lane": request.lane,
            "capsules": len(request.capsules),
        }
        return box.seal_to(held.audit_key, messages.canonical(detail | more), labels.RECEIPT_DETAIL)

    def _receipt(
        self,
        kind: ReceiptKind,
        policy: OnChainPolicy,
        sequence: int,
        previous: bytes,
        *,
        count: int = 0,
        detail: bytes = b"",
    ) -> Receipt:
        unsigned = Receipt(
            proxy=self.address,
            sequence=sequence,
            previous=previous,
            kind=kind,
            policy_id=policy.policy_id,
            at=stated_time(policy, now=self._clock()),
            block=policy.block,
            count=count,
            detail=detail,
            signature=b"",
        )
        head = receipt_hash(unsigned)
        return replace(unsigned, signature=sign_head(self._account, self._log_domain, sequence=sequence, head=head))


def _sender(request: SignedRequest) -> Address | PolicyId:
    """Return the account that must have signed a request."""
    return request.requester if isinstance(request, ReencryptRequest) else request.policy_id


def _held(request: DepositRequest) -> HeldPolicy:
    return HeldPolicy(
        policy_id=request.policy_id,
        grantee=request.grantee,
        receiving_key=request.receiving_key,
        verifying_key=request.verifying_key,
        audit_key=request.audit_key,
        terms=request.terms,
        purposes=request.purposes,
        lanes=len(request.lanes),
    )
