"""Honest people among floods: a grantee who opens, and a patient who grants, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _flood_world import THRESHOLD, client, grant, refs, terms_digest

from panachain.chain.signing import Account
from panachain.crypto import umbral
from panachain.errors import PanaChainError
from panachain.model.scope import Purpose

if TYPE_CHECKING:
    from _flood_chain import Registry

GRANTEE, STRANGER = b"\x05" * 32, b"\x06" * 32
"""Account keys: of the honest grantee, and of one whose own policy is granted too."""
Times = dict[str, tuple[list[float], list[str]]]


class Honest:
    """The honest people of one world."""

    def __init__(self, folder: Path, *, wraps: int, lanes: int) -> None:
        """Take the world's folder, how much is opened, and how many lanes are granted."""
        self._proxies = refs(folder)
        self._client = client()
        self._lanes = lanes
        self._policy = grant(self._proxies, Account(GRANTEE))
        self._deposit(self._policy, needed=len(self._proxies))
        self._wraps = self._policy.wraps(wraps)

    def strangers_policy(self) -> dict[str, str]:
        """Return what strangers need of a policy that one of them granted themselves."""
        policy = grant(self._proxies, Account(STRANGER))
        self._deposit(policy, needed=len(self._proxies))
        capsule = umbral.capsule_of(policy.wraps(1)["00000"])
        return {"policy_id": policy.terms.policy_id, "key": STRANGER.hex(), "capsule": capsule.hex()}

    def warm(self) -> None:
        """Do everything once."""
        self._open()
        self._grant()

    def measure(self, ends: float) -> Times:
        """Open and grant by turns until a time of `time.monotonic`; return seconds and failures of both."""
        found: Times = {"opening": ([], []), "grant": ([], [])}
        while time.monotonic() < ends or not all(good or bad for good, bad in found.values()):
            for what, work in (("opening", self._open), ("grant", self._grant)):
                _timed(found[what], work)
        return found

    def measure_whole(self, registry: Registry, count: int) -> Times:
        """Make some whole grants, one after the other, as a patient waits for them; return seconds and failures."""
        found: Times = {"whole grant": ([], [])}
        for _ in range(count):
            registry.await_middle()
            _timed(found["whole grant"], lambda: self._grant(registry))
        return found

    def _open(self) -> None:
        opened = self._client.unwrap(self._policy.reader(), self._policy.terms, 0, self._wraps, Purpose.TREAT)
        # An earlier version returns them alone.
        if len(opened if isinstance(opened, dict) else opened.messages) != len(self._wraps):
            raise RuntimeError("an opening lacks keys")

    def _grant(self, registry: Registry | None = None) -> None:
        policy = grant(self._proxies, Account(GRANTEE), lanes=self._lanes)
        if registry is not None:
            registry.grant(policy)
        self._deposit(policy, needed=THRESHOLD)

    def _deposit(self, policy: Any, *, needed: int) -> None:
        digest = terms_digest(policy.terms.policy_id)
        receipts, failures = self._client.deposit(policy.terms, policy.shares, policy.account, digest)
        if len(receipts) < needed:
            raise failures[0].error


def _timed(found: tuple[list[float], list[str]], work: Callable[[], None]) -> None:
    begun = time.monotonic()
    try:
        work()
        found[0].append(time.monotonic() - begun)
    except PanaChainError as exc:
        found[1].append(f"{type(exc).__name__} after {time.monotonic() - begun:.1f} s: {exc}")
