"""Several relays, asked one after the other or all at once, until the chain shows what one of them was asked to do.

Never believes a relay: what it answers is a claim, for which the chain gets its time. What is brought, and to which
chain, is its callers': panachain/sdk/relay.py brings policy transactions, forwarding.py calls on the sidechain.
Follows docs/spec/relay.md, section "The client".
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from panachain.chain.evm import Receipt
from panachain.chain.refusals import refusal_words
from panachain.errors import (
    IntegrityError,
    PanaChainError,
    RelaysUnavailableError,
    TransactionError,
    UnavailableError,
)
from panachain.plain import were
from panachain.trust import Trust
from panachain.wire.client import Client, WireError, said
from panachain.wire.json_text import read_json
from panachain.wire.transport import Bounds

GRACE: Final = 2.0
"""Seconds that each relay gets to take a revocation, although the chain shows it already: a node may say so falsely."""
LONGEST: Final = 45.0
"""Seconds after which a revocation that the chain doesn't show isn't waited for any more."""
CONFIRM: Final = 5.0
"""Seconds that the chain gets to show what a relay says was mined."""
PATIENCE: Final = 30.0
"""Seconds that the chain gets to show what a relay says was sent."""
_POLL: Final = (0.05, 1.0)
"""Seconds between two looks at the chain: at first, and at most."""
_MAX_ANSWER: Final = 65_536
"""Bytes of a relay's answer."""
_MINED: Final = "mined"
_PENDING: Final = "pending"


class Named(Protocol):
    """What messages say of a relay, and for how long it may take."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def timeout(self) -> float:
        """Seconds that its answer may take."""
        ...


R = TypeVar("R", bound=Named)


@dataclass(frozen=True)
class Patience:
    """For how long relays and the chain are waited for, in seconds."""

    grace: float = GRACE
    confirm: float = CONFIRM
    pending: float = PATIENCE
    longest: float = LONGEST

    @property
    def after(self) -> Mapping[str, float]:
        """How long the chain gets to show what a relay claims."""
        return {_MINED: self.confirm, _PENDING: self.pending}


class Desk:
    """One relay over HTTP: takes a signed statement and returns what the relay claims."""

    def __init__(self, url: str, *, timeout: float, ca: Path | None = None) -> None:
        """Take its URL.

        Args:
            url: where it answers.
            timeout: seconds that an answer may take.
            ca: PEM file of the authority that signed its certificate; None takes the usual ones.

        Raises:
            ConfigurationError: the file can't be read.
        """
        self.timeout = timeout
        self._client = Client(trust=Trust(ca))
        self.url = url.rstrip("/")

    def post(self, path: str, fields: Mapping[str, Any]) -> str:
        """Send one request and return the state that the answer claims.

        Raises:
            UnavailableError: no answer in time, or none that can be read.
            TransactionError: the relay says that the contract would refuse it.
        """
        bounds = Bounds(limit=_MAX_ANSWER, total=self.timeout)
        body = json.dumps(fields, separators=(",", ":")).encode()
        try:
            answer = self._client.post(
                self.url + path,
                body,
                bounds=bounds,
                timeout=self.timeout,
                headers={"Content-Type": "application/json"},
            )
        except WireError as exc:
            raise UnavailableError(f"no answer: {said(exc)}") from exc
        except IntegrityError as exc:
            raise UnavailableError(f"its answer doesn't end: {exc}") from exc
        return _claim(answer.status, answer.content)


def bring(
    what: str,
    relays: Sequence[R],
    send: Callable[[R], object],
    seen: Callable[[], Receipt | None],
    *,
    patience: Patience,
    at_once: bool = False,
) -> Receipt:
    """Ask one relay after the other until the chain shows the transaction.

    Args:
        what: what messages call it.
        relays: in the order in which they are asked.
        send: asks one relay; returns what it claims, or anything else where it saw the end itself.
        seen: looks at the chain.
        patience: for how long which relay and the chain are waited for.
        at_once: all relays are asked before the chain is, and each gets its time to take it: one node that says
            it is done keeps nothing back.

    Raises:
        RelaysUnavailableError: no relay did it; each is named.
        TransactionError: every relay says that the contract refuses it.
    """
    attempts: list[_Attempt] = []
    left = list(relays)
    began, pause = time.monotonic(), _POLL[0]
    news: queue.SimpleQueue[None] = queue.SimpleQueue()
    while True:
        if at_once and left:
            attempts, left = [_Attempt.begin(relay, send, news) for relay in left], []
        receipt = _look(seen, whatever=at_once)
        now = time.monotonic()
        all_over = all(attempt.is_over(now, patience.after) for attempt in attempts) or (
            at_once and now >= began + patience.longest
        )
        # One that answered was asked; one that hangs is waited for no longer than this.
        told = not at_once or now >= began + patience.grace or all(attempt.has_answered for attempt in attempts)
        if receipt is not None and told:
            return receipt
        if receipt is None and all_over:
            if not left:
                raise _shortfall(what, attempts)
            attempts.append(_Attempt.begin(left.pop(0), send, news))
            pause = _POLL[0]
        try:
            news.get(timeout=pause)
            pause = _POLL[0]
        except queue.Empty:
            pause = min(pause * 2, _POLL[1])


@dataclass
class _Attempt:
    """One relay at work."""

    name: str
    ends: float
    """When no answer is waited for any more, of `time.monotonic`."""
    claim: str = ""
    """What the relay says became of it."""
    claimed: float = 0.0
    """When it said so."""
    error: PanaChainError | None = None

    @classmethod
    def begin(cls, relay: R, send: Callable[[R], object], news: queue.SimpleQueue[None]) -> _Attempt:
        attempt = cls(relay.name, time.monotonic() + relay.timeout)

        def run() -> None:
            try:
                answer = send(relay)
                attempt.claimed = time.monotonic()
                attempt.claim = answer if isinstance(answer, str) else _MINED
            except PanaChainError as exc:
                attempt.error = exc
            except Exception as exc:  # noqa: BLE001 - a relay's fault must not hide the others.
                attempt.error = UnavailableError(f"unforeseen {type(exc).__name__}")
            news.put(None)

        # A thread that the program's end doesn't wait for: a relay may hang for as long as it likes.
        threading.Thread(target=run, name="relay-attempt", daemon=True).start()
        return attempt

    @property
    def has_answered(self) -> bool:
        """Whether the relay said something, good or bad."""
        return self.error is not None or bool(self.claim)

    def is_over(self, now: float, grace: Mapping[str, float]) -> bool:
        """Tell whether nothing more is expected of this relay."""
        if self.error is not None:
            return True
        if self.claim:
            return now >= self.claimed + grace[self.claim]
        return now >= self.ends

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.name}: {self.error}"
        if self.claim:
            return f"{self.name} says {self.claim}, but the chain doesn't show it"
        return f"{self.name}: no answer in time"


def _look(seen: Callable[[], Receipt | None], *, whatever: bool) -> Receipt | None:
    try:
        return seen()
    except UnavailableError:
        # The next look may succeed, and the relays go on meanwhile; without the chain none is believed.
        return None
    except PanaChainError:
        # A node that lies keeps no revocation from the relays that still have to take it.
        if not whatever:
            raise
        return None


def _shortfall(what: str, attempts: Sequence[_Attempt]) -> PanaChainError:
    reasons = "; ".join(map(str, attempts))
    refusals = [attempt.error for attempt in attempts if isinstance(attempt.error, TransactionError)]
    if refusals and len(refusals) == len(attempts):
        return TransactionError(f"{what}: {reasons}", reason=refusals[0].reason)
    return RelaysUnavailableError(
        f"{what} isn't on chain after {were(len(attempts), 'relay')} asked: {reasons}",
        hint="panachain doctor shows which relays answer; the same command again asks all of them anew",
        taken=sum(bool(attempt.claim) for attempt in attempts),
    )


def _claim(status: int, content: bytes) -> str:
    """Return the state that a relay's answer claims.

    Raises:
        UnavailableError: it claims none.
        TransactionError: the relay says that the contract would refuse it.
    """
    try:
        answer = read_json(content)
        slug, detail = str(answer.get("type", "")).rpartition("/")[2], str(answer.get("detail", ""))[:200]
        state = answer.get("state")
    except (ValueError, AttributeError, IntegrityError):
        raise UnavailableError(f"status {status} and no answer that can be read") from None
    if status in (200, 202) and state in (_MINED, _PENDING):
        return str(state)
    if slug == "would-revert":
        raise TransactionError(f"refuses: {refusal_words(detail)}", reason=detail)
    raise UnavailableError(f"status {status} {slug[:40]} {detail}".rstrip())
