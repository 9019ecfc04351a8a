"""The proxy: turns a key for a lane into a key for a grantee, and can read nothing.

Fails closed: no service without a fresh head, without a written receipt, or with a revocation in sight.
Follows design section 8 (Proxy), docs/spec/proxy.md and security rules 3, 8 and 12. HTTP is in proxy_app.py.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Protocol

from panachain.chain.evm import Account, recover_text
from panachain.chain.receipts import receipt_hash, sign_head
from panachain.consent.rules import check_access
from panachain.crypto import box, labels, umbral
from panachain.crypto.keys import Seed
from panachain.errors import (
    AccessDeniedError,
    ChainUnavailableError,
    OutOfScopeError,
    PolicyRevokedError,
    UsageError,
)
from panachain.model.actors import Actor, Address, PolicyId, Status
from panachain.model.policy import OnChainPolicy, PolicyStatus, Receipt, ReceiptKind
from panachain.model.scope import Purpose
from panachain.proxy import messages
from panachain.service.proxy_store import HeldKfrag, HeldPolicy, ProxyStore

_MAX_LANES: Final = 4096


class ChainView(Protocol):
    """What a proxy asks the chains."""

    def policy(self, policy_id: PolicyId) -> OnChainPolicy:
        """Return the policy at a confirmed block."""
        ...

    def revocation_in_sight(self, policy_id: PolicyId) -> bool:
        """Tell whether a revocation is mined or waits to be."""
        ...

    def head_time(self) -> int:
        """Return the newest block's time, Unix seconds."""
        ...

    def identity(self, account: Address) -> Actor | None:
        """Return a person of the sidechain."""
        ...


class ProxyService:
    """One proxy's duties, free of HTTP."""

    def __init__(
        self,
        seed: Seed,
        store: ProxyStore,
        chain: ChainView,
        *,
        log_domain: bytes,
        max_head_age: int = 120,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the proxy's keys, database and chains.

        Args:
            seed: the proxy's.
            store: its database.
            chain: how it sees both chains.
            log_domain: of the access log that judges its receipts, 32 bytes.
            max_head_age: seconds; an older head of the mainchain means no service.
            clock: Unix seconds; bounds the age of requests and of the head, never a policy's window.
        """
        self._receiving = seed.receiving()
        self._account = Account(seed.account_key())
        self.address = self._account.address
        self._log_domain = log_domain
        self._store = store
        self._chain = chain
        self._max_head_age = max_head_age
        self._clock = clock

    def deposit(self, request: dict[str, Any]) -> dict[str, Any]:
        """Take a patient's kfrags for one policy.

        Raises:
            IntegrityError: the seal, the signature or a kfrag doesn't fit.
            AccessDeniedError: the policy isn't granted, or is over.
        """
        self._check_head()
        plain = box.open_box(self._receiving, _hex(request, "sealed", messages.MAX_BODY), labels.DEPOSIT)
        try:
            fields: dict[str, Any] = json.loads(plain)
        except ValueError as exc:
            raise UsageError("the deposit isn't JSON") from exc
        policy_id = PolicyId(_text(fields, "policy_id"))
        self._check_signature(fields, policy_id)
        if _text(fields, "proxy") != self.address:
            raise OutOfScopeError("the deposit is for another proxy")
        policy, kfrags = _parse_deposit(fields, policy_id)
        for held in kfrags:
            umbral.check_kfrag(
                held.kfrag,
                verifying=policy.verifying_key,
                delegating=held.delegating_key,
                receiving=policy.receiving_key,
            )
        on_chain = self._chain.policy(policy_id)
        if on_chain.status is PolicyStatus.REVOKED or self._chain.revocation_in_sight(policy_id):
            raise PolicyRevokedError(f"policy {policy_id} was revoked by the patient")
        if on_chain.terms != policy.terms:
            raise OutOfScopeError(f"policy {policy_id} was granted with other terms")
        receipt = self._store.deposit(
            policy,
            kfrags,
            lambda sequence, previous: self._receipt(
                ReceiptKind.DEPOSITED, on_chain, sequence, previous, count=len(kfrags)
            ),
        )
        return {"schema": messages.DEPOSIT, "receipt": messages.receipt_fields(receipt)}

    def reencrypt(self, request: dict[str, Any]) -> dict[str, Any]:
        """Turn capsules of one lane into cfrags for the policy's grantee.

        Raises:
            AccessDeniedError: the rules forbid it; for a known policy the refusal is logged.
            UsageError: the request is malformed, too old, or repeated.
            ChainUnavailableError: no fresh view of the chain.
        """
        # 1. Authenticate: signature, freshness, single use.
        grantee = Address(_text(request, "grantee"))
        policy_id = PolicyId(_text(request, "policy_id"))
        purpose = Purpose.parse(_text(request, "purpose"))
        lane = _number(request, "lane", _MAX_LANES)
        capsules = [bytes.fromhex(c) for c in _list(request, "capsules", messages.MAX_CAPSULES, umbral.CAPSULE_SIZE)]
        if _text(request, "proxy") != self.address:
            raise OutOfScopeError("the request is for another proxy")
        self._check_signature(request, grantee)
        self._check_fresh(request)
        held = self._store.policy(policy_id)
        # 2. Read the policy: fresh head, confirmed grant, revocation at first sight.
        self._check_head()
        on_chain = self._chain.policy(policy_id)
        detail = {"grantee": grantee, "purpose": purpose.value, "lane": lane, "capsules": len(capsules)}
        # 3. The same rules as the SDK's.
        try:
            identity = self._chain.identity(grantee)
            check_access(
                on_chain,
                grantee=held.grantee,
                requester=grantee,
                requester_status=Status.UNKNOWN if identity is None else identity.status,
                is_member=False,
                purpose=purpose,
                purposes=held.purposes,
                terms=held.terms,
                revocation_in_sight=self._chain.revocation_in_sight(policy_id),
            )
            kfrag = self._store.kfrag(policy_id, lane)
            if kfrag is None:
                raise OutOfScopeError(f"this proxy holds no kfrag for lane {lane} of policy {policy_id}")
        except AccessDeniedError as denial:
            sealed = self._seal_detail(held, detail | {"reason": type(denial).__name__})
            self._store.log(
                lambda sequence, previous: self._receipt(
                    ReceiptKind.DENIED, on_chain, sequence, previous, detail=sealed
                )
            )
            raise
        # 4. Re-encrypt; the wrapper verifies each cfrag before it gives it out.
        keys = {
            "verifying": held.verifying_key,
            "delegating": kfrag.delegating_key,
            "receiving": held.receiving_key,
        }
        checked = umbral.check_kfrag(kfrag.kfrag, **keys)
        cfrags = [umbral.reencrypt(capsule, checked, **keys) for capsule in capsules]
        # 5. The receipt is on disk before the answer leaves.
        sealed = self._seal_detail(held, detail)
        receipt = self._store.log(
            lambda sequence, previous: self._receipt(
                ReceiptKind.REENCRYPTED, on_chain, sequence, previous, count=len(cfrags), detail=sealed
            )
        )
        return {
            "schema": messages.REENCRYPT,
            "cfrags": [cfrag.hex() for cfrag in cfrags],
            "receipt": messages.receipt_fields(receipt),
        }

    def revoke(self, request: dict[str, Any]) -> dict[str, Any]:
        """Look at the chain, and delete a revoked policy's kfrags; anybody may ask for the look.

        Raises:
            UsageError: the chain doesn't say that it is revoked.
            PolicyUnknownError: nothing was deposited here.
        """
        policy_id = PolicyId(_text(request, "policy_id"))
        self._store.policy(policy_id)
        on_chain = self._chain.policy(policy_id)
        # Only a mined revocation deletes: a pending one already stops service, and may yet be dropped.
        if on_chain.status is not PolicyStatus.REVOKED:
            raise UsageError(f"policy {policy_id} isn't revoked on chain at block {on_chain.block}")
        receipt = self._store.delete(
            policy_id,
            lambda sequence, previous, count: self._receipt(
                ReceiptKind.DELETED, on_chain, sequence, previous, count=count
            ),
        )
        return {"schema": messages.REVOKE, "receipt": messages.receipt_fields(receipt)}

    def receipts(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return a policy's receipts to its owner."""
        policy_id = PolicyId(_text(request, "policy_id"))
        self._check_signature(request, policy_id)
        self._check_fresh(request)
        found = self._store.receipts(policy_id)
        return {"schema": messages.RECEIPTS, "receipts": [messages.receipt_fields(receipt) for receipt in found]}

    def head(self) -> dict[str, Any]:
        """Return the signed head of the receipt log."""
        sequence, head = self._store.head()
        return {
            "schema": "panachain/log-head/2",
            "proxy": self.address,
            "sequence": sequence,
            "head": head.hex(),
            "signature": sign_head(self._account, self._log_domain, sequence=sequence, head=head).hex(),
        }

    def ready(self) -> dict[str, Any]:
        """Return that the proxy can serve.

        Raises:
            ChainUnavailableError: it can't.
        """
        self._check_head()
        return {"schema": "panachain/ready/1", "proxy": self.address}

    def _check_head(self) -> None:
        age = int(self._clock()) - self._chain.head_time()
        if age > self._max_head_age:
            raise ChainUnavailableError(
                f"the mainchain's head is {age} s old, at most {self._max_head_age} s are served"
            )

    def _check_signature(self, fields: dict[str, Any], expected: str) -> None:
        signature = _hex(fields, "signature", 65)
        if recover_text(messages.signed_bytes(fields), signature) != expected:
            raise OutOfScopeError("the request isn't signed by whom it names")

    def _check_fresh(self, request: dict[str, Any]) -> None:
        now = int(self._clock())
        issued_at = _number(request, "issued_at", 1 << 48)
        if abs(now - issued_at) > messages.MAX_AGE:
            raise UsageError(f"the request was signed {now - issued_at} s ago, at most {messages.MAX_AGE} s count")
        nonce = _text(request, "nonce")
        # Kept past both edges of the window, so that no clock skew lets a nonce live twice.
        if not self._store.use_nonce(nonce, now=now, expires_at=now + 3 * messages.MAX_AGE):
            raise UsageError("the request was sent before")

    def _seal_detail(self, held: HeldPolicy, detail: dict[str, Any]) -> bytes:
        return box.seal_to(held.audit_key, messages.canonical(detail), labels.RECEIPT_DETAIL)

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
            at=policy.block_time,
            block=policy.block,
            count=count,
            detail=detail,
            signature=b"",
        )
        head = receipt_hash(unsigned)
        return replace(unsigned, signature=sign_head(self._account, self._log_domain, sequence=sequence, head=head))


def _parse_deposit(fields: dict[str, Any], policy_id: PolicyId) -> tuple[HeldPolicy, list[HeldKfrag]]:
    lanes = fields.get("lanes")
    if not isinstance(lanes, list) or not 0 < len(lanes) <= _MAX_LANES:
        raise UsageError(f"a deposit has 1 to {_MAX_LANES} lanes")
    kfrags = [
        HeldKfrag(_hex(lane, "delegating_key", umbral.PUBLIC_SIZE), _hex(lane, "kfrag", umbral.KFRAG_SIZE))
        for lane in lanes
    ]
    purposes = _list(fields, "purposes", len(Purpose))
    policy = HeldPolicy(
        policy_id=policy_id,
        grantee=Address(_text(fields, "grantee")),
        receiving_key=_hex(fields, "receiving_key", umbral.PUBLIC_SIZE),
        verifying_key=_hex(fields, "verifying_key", umbral.PUBLIC_SIZE),
        audit_key=_hex(fields, "audit_key", umbral.PUBLIC_SIZE),
        terms=_hex(fields, "terms", 32),
        purposes=tuple(Purpose.parse(purpose) for purpose in purposes),
        lanes=len(kfrags),
    )
    return policy, kfrags


def _text(fields: Any, name: str) -> str:
    value = fields.get(name) if isinstance(fields, dict) else None
    if not isinstance(value, str) or not 0 < len(value) <= 128:
        raise UsageError(f"{name} must be a text of 1 to 128 characters")
    return value


def _number(fields: dict[str, Any], name: str, limit: int) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < limit:
        raise UsageError(f"{name} must be a whole number from 0 to below {limit}")
    return value


def _hex(fields: Any, name: str, limit: int) -> bytes:
    value = fields.get(name) if isinstance(fields, dict) else None
    if not isinstance(value, str) or len(value) > 2 * limit:
        raise UsageError(f"{name} must be at most {limit} bytes in hex")
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise UsageError(f"{name} must be bytes in hex") from None


def _list(fields: dict[str, Any], name: str, limit: int, size: int | None = None) -> list[str]:
    value = fields.get(name)
    if not isinstance(value, list) or not 0 < len(value) <= limit or any(not isinstance(v, str) for v in value):
        raise UsageError(f"{name} must be a list of 1 to {limit} texts")
    if size is not None and any(len(v) != 2 * size or not set(v) <= set("0123456789abcdef") for v in value):
        raise UsageError(f"{name} must be {size} bytes each, in lower-case hex")
    return value
