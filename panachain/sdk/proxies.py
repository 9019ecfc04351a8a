"""What the SDK says to proxies: deposits, deletions, receipts and re-encryptions, each answer checked.

Never believes an answer: a receipt must convict its proxy, a cfrag must verify. Follows docs/spec/proxy.md.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx

from panachain.chain.evm import Account
from panachain.consent.grant import PreparedGrant
from panachain.consent.receipts import check_receipt
from panachain.crypto import box, labels, umbral
from panachain.errors import IntegrityError, PanaChainError, PolicyUnknownError, ProxiesUnavailableError
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import ProxyRef, Receipt, ReceiptKind, Terms
from panachain.model.scope import Purpose
from panachain.proxy import messages
from panachain.proxy.client import collect, post
from panachain.sdk.network import Network

_TIMEOUT: Final = 15.0
"""Seconds that one proxy may take."""
T = TypeVar("T")


@dataclass(frozen=True)
class Reader:
    """Who opens: the person who asks, and the key that he reads with."""

    requester: Account
    """The person's account; signs the requests."""
    grantee: Address
    """To whom the patient granted it: the person himself, or a group of his."""
    secret: umbral.SecretKey
    """The receiving key of the grantee."""


class Proxies:
    """The proxies of a network, as its actors talk to them."""

    def __init__(self, network: Network) -> None:
        """Take the network, whose registry says where each proxy answers."""
        self._network = network

    def check_ready(self, proxies: Sequence[ProxyRef], threshold: int) -> None:
        """Check that enough proxies can serve.

        Raises:
            ProxiesUnavailableError: fewer than the threshold are ready.
        """
        count = sum(_is_ready(proxy) for proxy in proxies)
        if count < threshold:
            raise ProxiesUnavailableError(
                f"{count} of {len(proxies)} proxies are ready, {threshold} are needed; nothing was granted",
                answered=count,
                needed=threshold,
                hint="panachain doctor shows which proxies are down",
            )

    def deposit(self, prepared: PreparedGrant, account: Account, terms_digest: bytes) -> list[Receipt]:
        """Hand every proxy of a policy its kfrags.

        Args:
            prepared: the grant.
            account: the policy's one-time account.
            terms_digest: of the CID of the sealed terms, 32 bytes.

        Returns:
            The receipts of those who took them.

        Raises:
            ProxiesUnavailableError: fewer than the threshold took them: nobody could use the policy.
        """
        terms = prepared.terms
        shares = dict(zip((proxy.address for proxy in terms.proxies), prepared.kfrags, strict=True))

        def deposit(proxy: ProxyRef) -> Receipt:
            fields: dict[str, Any] = {
                "schema": messages.DEPOSIT,
                "proxy": proxy.address,
                "policy_id": terms.policy_id,
                "grantee": terms.grantee,
                "receiving_key": terms.receiving_key.hex(),
                "verifying_key": terms.verifying_key.hex(),
                "audit_key": terms.audit_key.hex(),
                "terms": terms_digest.hex(),
                "purposes": [purpose.value for purpose in terms.purposes],
                "lanes": [
                    {"delegating_key": lane.delegating_key.hex(), "kfrag": kfrag.hex()}
                    for lane, kfrag in zip(terms.lanes, shares[proxy.address], strict=True)
                ],
            }
            fields["signature"] = account.sign_text(messages.signed_bytes(fields)).hex()
            sealed = box.seal_to(proxy.receiving_key, messages.canonical(fields), labels.DEPOSIT)
            answer = post(
                proxy.endpoint, "/v1/deposit", {"schema": messages.DEPOSIT, "sealed": sealed.hex()}, timeout=_TIMEOUT
            )
            return self._receipt(answer, proxy, terms.policy_id, ReceiptKind.DEPOSITED)

        # Every proxy gets its share; fewer than the threshold would be a policy that nobody can use.
        good, failures = _each(terms.proxies, deposit)
        if len(good) < terms.threshold:
            raise ProxiesUnavailableError(
                f"policy {terms.policy_id} is on chain, only {len(good)} of {len(terms.proxies)} proxies took a share, "
                f"{terms.threshold} are needed: {'; '.join(failures)}",
                answered=len(good),
                needed=terms.threshold,
                hint=f"panachain revoke {terms.policy_id} --yes, then grant again",
            )
        return good

    def delete(self, terms: Terms) -> tuple[list[Receipt], list[str]]:
        """Ask every proxy of a revoked policy to delete its kfrags.

        Returns:
            The deletion receipts, and why each of the others gave none, one line each.
        """
        policy_id = terms.policy_id

        def delete(proxy: ProxyRef) -> Receipt:
            fields = {"schema": messages.REVOKE, "policy_id": policy_id}
            answer = post(proxy.endpoint, "/v1/revoke", fields, timeout=_TIMEOUT)
            return self._receipt(answer, proxy, policy_id, ReceiptKind.DELETED)

        return _each(self._network.reachable(terms.proxies), delete)

    def receipts(self, terms: Terms, account: Account) -> list[Receipt]:
        """Return what the proxies of a policy signed about it.

        Args:
            terms: of the policy.
            account: the policy's one-time account.

        Raises:
            ProxiesUnavailableError: none of them answered.
            IntegrityError: one of them lies.
        """

        def ask(proxy: ProxyRef) -> list[Receipt]:
            fields: dict[str, Any] = {
                "schema": messages.RECEIPTS,
                "policy_id": terms.policy_id,
                "issued_at": int(time.time()),
                "nonce": os.urandom(16).hex(),
            }
            fields["signature"] = account.sign_text(messages.signed_bytes(fields)).hex()
            answer = post(proxy.endpoint, "/v1/receipts", fields, timeout=_TIMEOUT)
            receipts = [messages.parse_receipt(r) for r in answer["receipts"]]
            for receipt in receipts:
                self._check(receipt, proxy, terms.policy_id)
            return receipts

        found: list[Receipt] = []
        answered = 0
        for proxy in self._network.reachable(terms.proxies):
            try:
                found += ask(proxy)
            except PolicyUnknownError:
                # It never got a share: that is an answer too.
                pass
            except PanaChainError as exc:
                if isinstance(exc, IntegrityError):
                    raise
                continue
            answered += 1
        if not answered:
            raise ProxiesUnavailableError(
                f"no proxy of policy {terms.policy_id} answered, so its log can't be read", answered=0, needed=1
            )
        return found

    def unwrap(
        self, reader: Reader, terms: Terms, number: int, wraps: Mapping[str, bytes], purpose: Purpose
    ) -> dict[str, bytes]:
        """Return the envelope keys in wraps of one lane, each re-encrypted by `threshold` proxies.

        Args:
            reader: who opens.
            terms: of the policy.
            number: which of the terms' lanes the wraps were made for.
            wraps: by a name of the caller's, such as the envelope's CID.
            purpose: for what.

        Raises:
            AccessDeniedError: the proxies refuse.
            ProxiesUnavailableError: fewer than the threshold gave a good answer.
            IntegrityError: too few good answers, and proxies lied.
        """
        keys: dict[str, bytes] = {}
        ordered = sorted(wraps)
        for start in range(0, len(ordered), messages.MAX_CAPSULES):
            part = {name: wraps[name] for name in ordered[start : start + messages.MAX_CAPSULES]}
            keys |= self._unwrap(reader, terms, number, part, purpose)
        return keys

    def _unwrap(
        self, reader: Reader, terms: Terms, number: int, wraps: Mapping[str, bytes], purpose: Purpose
    ) -> dict[str, bytes]:
        not_before = self._network.mainchain.head_block().time
        lane = terms.lanes[number]
        capsules = [umbral.capsule_of(wrap) for wrap in wraps.values()]
        keys = {
            "verifying": terms.verifying_key,
            "delegating": lane.delegating_key,
        }

        def ask(proxy: ProxyRef) -> list[bytes]:
            fields: dict[str, Any] = {
                "schema": messages.REENCRYPT,
                "proxy": proxy.address,
                "policy_id": terms.policy_id,
                "grantee": reader.requester.address,
                "purpose": purpose.value,
                "lane": number,
                "capsules": [capsule.hex() for capsule in capsules],
                "issued_at": int(time.time()),
                "nonce": os.urandom(16).hex(),
            }
            fields["signature"] = reader.requester.sign_text(messages.signed_bytes(fields)).hex()
            answer = post(proxy.endpoint, "/v1/reencrypt", fields, timeout=_TIMEOUT)
            receipt = self._receipt(answer, proxy, terms.policy_id, ReceiptKind.REENCRYPTED, not_before=not_before)
            return _cfrags(answer, receipt, capsules, receiving=reader.secret.public, **keys)

        # Ask proxies in parallel until t gave cfrags for every capsule, each verified.
        answers, _ = collect(
            self._network.reachable(terms.proxies),
            needed=terms.threshold,
            ask=ask,
            what=f"opening lane {lane.scope.text} of policy {terms.policy_id}",
        )
        return {
            name: umbral.unwrap_reencrypted(
                reader.secret,
                wrap,
                [cfrags[position] for _, cfrags in answers],
                threshold=terms.threshold,
                **keys,
            )
            for position, (name, wrap) in enumerate(wraps.items())
        }

    def _receipt(
        self, answer: Any, proxy: ProxyRef, policy_id: PolicyId, kind: ReceiptKind, *, not_before: int = 0
    ) -> Receipt:
        receipt = messages.parse_receipt(answer.get("receipt") if isinstance(answer, dict) else None)
        self._check(receipt, proxy, policy_id, kind, not_before)
        return receipt

    def _check(
        self,
        receipt: Receipt,
        proxy: ProxyRef,
        policy_id: PolicyId,
        kind: ReceiptKind | None = None,
        not_before: int = 0,
    ) -> None:
        domain = self._network.mainchain.log_domain
        check_receipt(
            receipt, proxy=proxy.address, domain=domain, policy_id=policy_id, kind=kind, not_before=not_before
        )


def _each(proxies: Sequence[ProxyRef], ask: Callable[[ProxyRef], T]) -> tuple[list[T], list[str]]:
    good: list[T] = []
    failures: list[str] = []
    for proxy in proxies:
        try:
            good.append(ask(proxy))
        except PanaChainError as exc:
            failures.append(f"proxy {proxy.address}: {exc}")
    return good, failures


def _is_ready(proxy: ProxyRef) -> bool:
    try:
        return httpx.get(f"{proxy.endpoint}/readyz", timeout=_TIMEOUT, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _cfrags(
    answer: Any, receipt: Receipt, capsules: Sequence[bytes], *, verifying: bytes, delegating: bytes, receiving: bytes
) -> list[bytes]:
    try:
        cfrags = [bytes.fromhex(cfrag) for cfrag in answer["cfrags"]]
    except (KeyError, TypeError, ValueError) as exc:
        raise IntegrityError("the proxy's answer lacks a field or has one of the wrong type") from exc
    if len(cfrags) != len(capsules) or receipt.count != len(capsules):
        raise IntegrityError(f"the proxy answered {len(cfrags)} cfrags for {len(capsules)} capsules")
    for cfrag, capsule in zip(cfrags, capsules, strict=True):
        umbral.check_cfrag(cfrag, capsule, verifying=verifying, delegating=delegating, receiving=receiving)
    return cfrags
