"""Evidence against proxies that lie: what they were asked, what they answered, and why it is wrong.

Holds no secret, no plaintext and no key but public ones. Anybody can judge it again, without asking anybody.
Follows docs/spec/proxy.md, section "Evidence of a lie" (`panachain/proxy-lie/1`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from panachain.chain import typed
from panachain.chain.receipts import receipt_hash
from panachain.consent.receipts import check_receipt
from panachain.crypto import umbral
from panachain.errors import IntegrityError, PanaChainError, UsageError
from panachain.model.policy import LogHead, ProxyRef, ReceiptKind
from panachain.model.proxy_requests import ReencryptRequest
from panachain.model.transactions import Revocation
from panachain.plain import line
from panachain.private_files import make_private_folder, read_regular, write_private
from panachain.proxy import messages

SCHEMA: Final = "panachain/proxy-lie/1"
REFUSAL: Final = "panachain/ignored-revocation/1"
FORK: Final = "panachain/proxy-fork/1"
_SHOWN: Final = 2 << 20
"""Bytes of an answer that are kept; of a longer one its start and its hash."""
_MOST: Final = 100
"""Pieces of evidence that are listed."""
_LARGEST: Final = 8 << 20
"""Bytes of one that is read: an answer in hex, and what surrounds it."""
_log = logging.getLogger("panachain.proxies")


@dataclass(frozen=True)
class Keys:
    """The public keys against which a lane's cfrags are checked, 33 bytes each."""

    verifying: bytes
    delegating: bytes
    receiving: bytes


@dataclass(frozen=True)
class Domains:
    """The EIP-712 domains under which a proxy signs, 32 bytes each."""

    proxy: bytes
    log: bytes


def describe(
    proxy: ProxyRef,
    request: ReencryptRequest,
    answer: bytes,
    reason: str,
    *,
    keys: Keys,
    domains: Domains,
    not_before: int,
    at: int,
) -> dict[str, Any]:
    """Return the evidence of one lie.

    Args:
        proxy: who lied.
        request: as it was signed and sent.
        answer: the body that came back.
        reason: what is wrong with it.
        keys: of the lane.
        domains: under which it should have signed.
        not_before: time of the newest block that the client knew, Unix seconds.
        at: when the lie was noticed, Unix seconds.
    """
    return _noted(SCHEMA, proxy, messages.reencrypt_fields(request), answer, reason, at) | {
        "keys": {
            "verifying": keys.verifying.hex(),
            "delegating": keys.delegating.hex(),
            "receiving": keys.receiving.hex(),
        },
        "domains": {"proxy": domains.proxy.hex(), "log": domains.log.hex()},
        "not_before": not_before,
    }


def describe_refusal(proxy: ProxyRef, revocation: Revocation, answer: bytes, reason: str, *, at: int) -> dict[str, Any]:
    """Return the evidence that a proxy was given a policy's signed revocation, and didn't delete.

    Its own signature isn't on it, so it convicts nobody: it is what one client saw, with what anybody can check.

    Args:
        proxy: who answered.
        revocation: that it was given.
        answer: the body that came back.
        reason: what is wrong with it.
        at: when, Unix seconds.
    """
    return _noted(REFUSAL, proxy, messages.delete_fields(revocation), answer, reason, at)


def describe_fork(proxy: ProxyRef, first: LogHead, second: LogHead, reason: str, *, at: int) -> dict[str, Any]:
    """Return the evidence that a proxy signed two heads of one sequence, as `AccessLog.proveFork` takes it.

    Args:
        proxy: who did.
        first: one of the heads.
        second: the other.
        reason: what is wrong with them, for people.
        at: when it was noticed, Unix seconds.
    """
    return {
        "schema": FORK,
        "proxy": proxy.address,
        "endpoint": proxy.endpoint,
        "at": at,
        "reason": reason,
        "sequence": first.sequence,
        "heads": [{"head": one.head.hex(), "signature": one.signature.hex()} for one in (first, second)],
    }


def _noted(
    schema: str, proxy: ProxyRef, request: dict[str, Any], answer: bytes, reason: str, at: int
) -> dict[str, Any]:
    """Return what all evidence has: who was asked what and when, and what came back."""
    return {
        "schema": schema,
        "proxy": proxy.address,
        "endpoint": proxy.endpoint,
        "at": at,
        "reason": reason,
        "request": request,
        "answer": answer[:_SHOWN].hex(),
        "answer_sha256": hashlib.sha256(answer).hexdigest(),
    }


def judge(evidence: dict[str, Any]) -> bool:
    """Tell whether evidence convicts: the proxy itself signed this answer to this request, and it is wrong.

    Evidence that doesn't convict may still be true: a proxy that signs nothing can't be shown to have said it.

    Raises:
        UsageError: it isn't of this schema.
    """
    try:
        request = messages.parse_reencrypt(evidence["request"])
        content = bytes.fromhex(evidence["answer"])
        keys = {name: bytes.fromhex(value) for name, value in evidence["keys"].items()}
        domains = Domains(*(bytes.fromhex(evidence["domains"][name]) for name in ("proxy", "log")))
        not_before = int(evidence["not_before"])
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise UsageError(f"this isn't evidence of the schema {SCHEMA}") from exc
    try:
        answer = messages.parse_answer(messages.parse_json(content), count=len(request.capsules))
        signer = typed.answer_signer(
            domains.proxy,
            request=typed.request_hash(request),
            cfrags=answer.cfrags,
            receipt=receipt_hash(answer.receipt),
            signature=answer.signature,
        )
    except (IntegrityError, UsageError):
        return False
    if signer != request.proxy or typed.signer_of(domains.proxy, request) != request.requester:
        return False
    try:
        check_answer(answer, request, domains=domains, not_before=not_before)
        for cfrag, capsule in zip(answer.cfrags, request.capsules, strict=True):
            umbral.check_cfrag(cfrag, capsule, **keys)
    except IntegrityError:
        return True
    return False


def check_answer(
    answer: messages.Answer,
    request: ReencryptRequest,
    *,
    domains: Domains,
    not_before: int,
    now: float | None = None,
) -> None:
    """Check that a proxy signed an answer to this very request, with a receipt that could convict it.

    The cfrags are still unchecked.

    Args:
        answer: what came back.
        request: as it was signed and sent.
        domains: under which the proxy signs.
        not_before: as `check_receipt` takes it.
        now: as `check_receipt` takes it. A judge leaves it out: no signature covers what the client's clock said.

    Raises:
        IntegrityError: it didn't.
    """
    signer = typed.answer_signer(
        domains.proxy,
        request=typed.request_hash(request),
        cfrags=answer.cfrags,
        receipt=receipt_hash(answer.receipt),
        signature=answer.signature,
    )
    check_receipt(
        answer.receipt,
        proxy=request.proxy,
        domain=domains.log,
        policy_id=request.policy_id,
        kind=ReceiptKind.REENCRYPTED,
        not_before=not_before,
        now=now,
    )
    if signer != request.proxy:
        raise IntegrityError(f"proxy {request.proxy} didn't sign its answer to this request")
    if answer.receipt.count != len(request.capsules):
        raise IntegrityError(
            f"the receipt of proxy {request.proxy} is about {answer.receipt.count} capsules, {len(request.capsules)} "
            "were sent"
        )


@dataclass(frozen=True)
class KeptEvidence:
    """One piece of evidence, as a list names it."""

    file: str
    schema: str
    proxy: str
    """Against whom."""
    reason: str
    at: int
    """When it was noticed, Unix seconds."""


class EvidenceFolder:
    """Where evidence is kept: one file for each lie, 0600."""

    def __init__(self, folder: Path | None) -> None:
        """Take the folder; None keeps nothing but a line in the log."""
        self._folder = folder

    def keep(self, evidence: dict[str, Any], *, name: str = "") -> None:
        """Write one piece of evidence, and one line into the log; a full disk doesn't stop an opening.

        Args:
            evidence: as `describe` and its like make it.
            name: what tells it from other evidence against this proxy, where it may be found again and again.
        """
        place = "not kept"
        if self._folder is not None:
            brief = evidence["proxy"][2:10].lower()
            name = f"{name}-{brief}.json" if name else f"{evidence['at']}-{brief}-{os.urandom(4).hex()}.json"
            try:
                make_private_folder(self._folder)
                write_private(self._folder / name, json.dumps(evidence, indent=1).encode())
                place = str(self._folder / name)
            except (OSError, PanaChainError) as exc:
                place = f"not kept: {type(exc).__name__}"
        _log.warning("proxy %s lied: %s; evidence: %s", evidence["proxy"], evidence["reason"], place)

    def listed(self) -> list[KeptEvidence]:
        """Return what is kept, the newest first; a file that is none of ours is passed over."""
        found = []
        for path in sorted(self._folder.glob("*.json"))[-_MOST:] if self._folder is not None else ():
            try:
                if path.is_symlink():
                    continue
                told = messages.parse_json(read_regular(path, _LARGEST))
                schema, proxy, reason = (line(str(told[name])) for name in ("schema", "proxy", "reason"))
                found.append(KeptEvidence(line(path.name), schema, proxy, reason, int(told["at"])))
            except (OSError, ValueError, KeyError, TypeError, UsageError):
                continue
        return sorted(found, key=lambda one: one.at, reverse=True)
