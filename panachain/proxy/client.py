"""The client side of proxies: ask in parallel, take the first good answers, name who failed and why.

Never believes an answer: the caller hands in the check. Follows design section 8 (Open, step 5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx

from panachain.errors import (
    AccessDeniedError,
    IntegrityError,
    OutOfScopeError,
    PanaChainError,
    PolicyExpiredError,
    PolicyNotActiveError,
    PolicyRevokedError,
    PolicyUnknownError,
    ProxiesUnavailableError,
    SuspendedError,
    UnavailableError,
    UsageError,
)
from panachain.model.policy import ProxyRef

PROBLEMS: Final[Mapping[str, type[PanaChainError]]] = {
    "policy-revoked": PolicyRevokedError,
    "policy-expired": PolicyExpiredError,
    "policy-not-active": PolicyNotActiveError,
    "policy-unknown": PolicyUnknownError,
    "out-of-scope": OutOfScopeError,
    "suspended": SuspendedError,
    "bad-request": UsageError,
    "unavailable": UnavailableError,
}
"""RFC 9457 problem types of the service, by the last part of their URI."""
T = TypeVar("T")
_MAX_ANSWER: Final = 8 << 20
"""Bytes of one answer."""


@dataclass(frozen=True)
class Failure:
    """Why one proxy gave no good answer."""

    proxy: ProxyRef
    error: PanaChainError

    def __str__(self) -> str:
        return f"proxy {self.proxy.address}: {self.error}"


def post(endpoint: str, path: str, fields: Mapping[str, Any], *, timeout: float) -> Any:
    """Send one request to one proxy and return its answer.

    Raises:
        UnavailableError: it doesn't answer, or not in time.
        IntegrityError: the answer isn't one.
        PanaChainError: what its problem document says, by its type.
    """
    try:
        with httpx.Client(timeout=timeout, trust_env=False) as client:
            response = client.post(endpoint.rstrip("/") + path, json=fields)
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise UnavailableError(f"no answer from {endpoint}: {type(exc).__name__}") from exc
    if len(response.content) > _MAX_ANSWER:
        raise IntegrityError(f"{endpoint} answered with {len(response.content)} bytes, at most {_MAX_ANSWER} are read")
    try:
        answer = response.json()
    except ValueError as exc:
        raise IntegrityError(f"{endpoint} answered with something that isn't JSON") from exc
    if response.status_code == 200:
        return answer
    slug = str(answer.get("type", "")).rpartition("/")[2] if isinstance(answer, dict) else ""
    detail = str(answer.get("detail", ""))[:300] if isinstance(answer, dict) else ""
    raise PROBLEMS.get(slug, UnavailableError)(detail or f"status {response.status_code}")


def collect(
    proxies: Sequence[ProxyRef], *, needed: int, ask: Callable[[ProxyRef], T], what: str
) -> tuple[list[tuple[ProxyRef, T]], list[Failure]]:
    """Ask all proxies at once and return as soon as `needed` gave a good answer.

    Args:
        proxies: whom to ask.
        needed: how many good answers are enough.
        ask: asks one proxy and checks the answer; raises PanaChainError for a bad one.
        what: what messages call it.

    Returns:
        The good answers in the order of their arrival, and the failures until then.

    Raises:
        AccessDeniedError: too few good answers, and proxies refused for this reason.
        IntegrityError: too few good answers, and proxies lied.
        ProxiesUnavailableError: too few answered.
    """
    good: list[tuple[ProxyRef, T]] = []
    failures: list[Failure] = []
    pool = ThreadPoolExecutor(max_workers=max(len(proxies), 1))
    try:
        futures = {pool.submit(ask, proxy): proxy for proxy in proxies}
        for future in as_completed(futures):
            try:
                good.append((futures[future], future.result()))
            except PanaChainError as exc:
                failures.append(Failure(futures[future], exc))
            if len(good) >= needed:
                return good, failures
    finally:
        # The slow ones may finish by themselves; nobody waits for them.
        pool.shutdown(wait=False, cancel_futures=True)
    raise _shortfall(good, failures, needed, what)


def _shortfall(good: list[tuple[ProxyRef, T]], failures: list[Failure], needed: int, what: str) -> PanaChainError:
    reasons = "; ".join(str(failure) for failure in failures)
    denials = [failure.error for failure in failures if isinstance(failure.error, AccessDeniedError)]
    if denials:
        return type(denials[0])(f"{what}: {len(denials)} of {len(good) + len(failures)} proxies refuse: {denials[0]}")
    if any(isinstance(failure.error, IntegrityError) for failure in failures):
        return IntegrityError(f"{what}: {len(good)} good answers, {needed} are needed: {reasons}")
    return ProxiesUnavailableError(
        f"{what}: {len(good)} of {len(good) + len(failures)} proxies answered, {needed} are needed: {reasons}",
        answered=len(good),
        needed=needed,
        hint="panachain doctor shows which proxies are down; try again when they are back",
    )
