"""The client side of proxies: ask in parallel, take the first good answers, hedge, name who failed and why.

Never believes an answer: the caller hands in the check. Never waits for a proxy that others can do without, and never
longer than `PATIENCE`. Follows design section 8 (Open, step 5) and docs/spec/proxy.md, section "Clients".
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

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
    RateLimitedError,
    SuspendedError,
    UnavailableError,
    UsageError,
)
from panachain.http_client import httpx
from panachain.model.actors import Address
from panachain.model.policy import ProxyRef
from panachain.proxy import messages
from panachain.trust import Trust

PROBLEMS: Final[Mapping[str, type[PanaChainError]]] = {
    "policy-revoked": PolicyRevokedError,
    "policy-expired": PolicyExpiredError,
    "policy-not-active": PolicyNotActiveError,
    "policy-unknown": PolicyUnknownError,
    "out-of-scope": OutOfScopeError,
    "suspended": SuspendedError,
    "not-found": UnavailableError,
    "method-not-allowed": UnavailableError,
    "timeout": UnavailableError,
    "too-large": UsageError,
    "bad-request": UsageError,
    "invalid-request": UsageError,
    "rate-limited": RateLimitedError,
    "unavailable": UnavailableError,
    "internal": UnavailableError,
}
"""RFC 9457 problem types of the service, by the last part of their URI."""
PATIENCE: Final = 8.0
"""Seconds after which an answer comes too late."""
FIRST: Final = 32
"""Capsules of the first piece, which every proxy gets: it shows who is fast."""
PIECE: Final = 256
"""Capsules of the others at most: so many that a request's own cost is small, so few that work overlaps."""
_CONNECT: Final = 2.0
"""Seconds in which a proxy must take a connection."""
_SLOWER: Final = 3.0
"""How many times longer than its earlier pieces a proxy's piece may take before another proxy is asked too."""
_FLOOR: Final = 0.5
"""Seconds that a piece may always take."""
_AHEAD: Final = 2
"""Pieces that a proxy has at once, so that it works while the client does."""
_STRIKES: Final = 2
"""Failures after which a proxy isn't asked again."""
_GRACE: Final = 1.0
"""Seconds for which a failure that is sure waits for the other proxies' reasons."""
_RETRY_AFTER: Final = 60
A = TypeVar("A")


@dataclass(frozen=True)
class Failure:
    """Why one proxy gave no good answer."""

    proxy: ProxyRef
    error: PanaChainError

    def __str__(self) -> str:
        return f"proxy {self.proxy.address}: {self.error}"


@dataclass(frozen=True)
class Reply:
    """What came back over HTTP, bounded in size."""

    status: int
    content: bytes = field(repr=False)
    retry_after: str = ""


class Channels:
    """Connections to proxies, kept open; several threads may use them."""

    def __init__(self, *, ca: Path | None = None) -> None:
        """Take whom to trust.

        Args:
            ca: PEM file of the authority that signed the proxies' certificates; None takes the usual ones.

        Raises:
            ConfigurationError: the file can't be read.
        """
        self._clients: dict[str, httpx.Client] = {}
        self._lock = threading.Lock()
        self._trust = Trust(ca)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def post(self, endpoint: str, path: str, fields: Mapping[str, Any], *, timeout: float = PATIENCE) -> Reply:
        """Send one message and return what comes back.

        Raises:
            UnavailableError: no answer, or not in time.
            IntegrityError: the answer is too large.
        """
        return self._send("POST", endpoint, path, timeout, messages.canonical(fields))

    def get(self, endpoint: str, path: str, *, timeout: float = PATIENCE) -> Reply:
        """Ask for one path and return what comes back; raises as `post`."""
        return self._send("GET", endpoint, path, timeout, None)

    def _send(self, method: str, endpoint: str, path: str, timeout: float, body: bytes | None) -> Reply:
        deadline = time.monotonic() + timeout
        limits = httpx.Timeout(timeout, connect=min(_CONNECT, timeout))
        headers = {"content-type": "application/json"} if body is not None else None
        content = bytearray()
        try:
            client = self._client(endpoint)
            with client.stream(method, path, content=body, headers=headers, timeout=limits) as response:
                for piece in response.iter_raw():
                    content += piece
                    if len(content) > messages.MAX_ANSWER:
                        raise IntegrityError(f"{endpoint} answers with more than {messages.MAX_ANSWER} bytes")
                    if time.monotonic() > deadline:
                        raise UnavailableError(f"no whole answer from {endpoint} within {timeout:.0f} s")
                return Reply(response.status_code, bytes(content), response.headers.get("retry-after", ""))
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise UnavailableError(f"no answer from {endpoint}: {type(exc).__name__}") from exc

    def _client(self, endpoint: str) -> httpx.Client:
        with self._lock:
            if endpoint not in self._clients:
                # Nothing from the environment: a proxy on loopback must not be asked through a stranger.
                self._clients[endpoint] = httpx.Client(
                    base_url=endpoint.rstrip("/"),
                    trust_env=False,
                    verify=self._trust.context(endpoint),
                    headers={"accept-encoding": "identity"},
                    limits=httpx.Limits(max_keepalive_connections=8, keepalive_expiry=20),
                )
            return self._clients[endpoint]


def read_answer(reply: Reply) -> dict[str, Any]:
    """Return the object that a proxy answered.

    Raises:
        IntegrityError: it isn't one.
        PanaChainError: what its problem document says, by its type.
    """
    if reply.status != 200:
        raise _problem(reply)
    try:
        return messages.parse_json(reply.content)
    except UsageError as exc:
        raise IntegrityError(f"the proxy's answer can't be read: {exc}") from None


def ask_all(
    proxies: Sequence[ProxyRef], ask: Callable[[ProxyRef], A], *, timeout: float = PATIENCE
) -> tuple[list[tuple[ProxyRef, A]], list[Failure]]:
    """Ask all proxies at once, and return the good answers and the failures, each in the order of the proxies.

    Args:
        proxies: whom to ask.
        ask: asks one proxy and checks the answer; raises PanaChainError for a bad one.
        timeout: seconds; who is silent for longer has failed.
    """
    done: queue.Queue[_Event[A]] = queue.Queue()
    for proxy in proxies:
        _launch(done, proxy, 0, lambda proxy, _: ask(proxy))
    deadline = time.monotonic() + timeout + _GRACE
    events: dict[Address, _Event[A]] = {}
    while len(events) < len(proxies):
        try:
            event = done.get(timeout=max(deadline - time.monotonic(), 0.0))
        except queue.Empty:
            break
        events[event.proxy.address] = event
    good, failures = [], []
    for proxy in proxies:
        found = events.get(proxy.address)
        if found is None:
            failures.append(Failure(proxy, UnavailableError(f"no answer within {timeout:.0f} s")))
        elif found.error is not None:
            failures.append(Failure(proxy, found.error))
        else:
            good.append((proxy, found.good()))
    return good, failures


def piece_sizes(count: int) -> list[int]:
    """Return how many capsules each piece of the work gets."""
    first = min(FIRST, count)
    rest = count - first
    if rest == 0:
        return [first]
    # Two at least, so that proxies and client work at the same time.
    pieces = max(-(-rest // PIECE), 2 if rest > FIRST else 1)
    return [first, *(rest // pieces + (number < rest % pieces) for number in range(pieces))]


class Race(Generic[A]):
    """Gets every piece of a work done by `needed` of some proxies, whatever the others do.

    The first piece goes to all proxies at once; the rest to those that were fastest. Who fails is replaced at once, who
    is late is doubled by another one. No proxy gets a piece twice.
    """

    def __init__(
        self,
        proxies: Sequence[ProxyRef],
        sizes: Sequence[int],
        *,
        needed: int,
        ask: Callable[[ProxyRef, int], A],
        settle: Callable[[int, Mapping[Address, A]], Mapping[Address, PanaChainError]],
        what: str,
    ) -> None:
        """Take the work.

        Args:
            proxies: whom to ask.
            sizes: of the pieces, for what a piece may take.
            needed: how many good answers a piece needs.
            ask: asks a proxy for a piece and checks what is cheap to check; runs in a thread; raises PanaChainError.
            settle: uses `needed` answers to a piece, and returns who of them lied and how; empty when it is done. Runs
                in the caller's thread, while proxies work at other pieces.
            what: what messages call it.
        """
        self._all = {proxy.address: _Runner(proxy) for proxy in proxies}
        self._pieces = [_Piece[A](number, size) for number, size in enumerate(sizes)]
        self._needed = needed
        self._ask = ask
        self._settle = settle
        self._what = what
        self._done: queue.Queue[_Event[A]] = queue.Queue()

    def run(self) -> None:
        """Do all pieces.

        Raises:
            AccessDeniedError: too few good answers to a piece, and proxies refused for this reason.
            IntegrityError: too few good answers, and proxies lied.
            ProxiesUnavailableError: too few answered.
        """
        while open_pieces := [piece for piece in self._pieces if not piece.settled]:
            for piece in open_pieces:
                self._staff(piece)
            ready = next((piece for piece in open_pieces if len(piece.good) >= self._needed), None)
            if ready is not None:
                self._try(ready)
                self._drain(wait=0.0)
            else:
                self._drain(wait=self._until_next_look())
                self._expire()

    # Who works at what

    def _staff(self, piece: _Piece[A]) -> None:
        """Let as many proxies work at a piece as it needs now."""
        if piece.number == 0:
            wanted = len(self._all) if not piece.asked else self._needed
        elif not self._pieces[0].settled and len(self._pieces[0].good) < self._needed:
            # Who is fast isn't known yet.
            return
        else:
            wanted = self._needed
        late = sum(self._is_late(piece, runner) for runner in piece.pending.values())
        missing = wanted + late - len(piece.good) - len(piece.pending)
        replaces = bool(late or piece.failures)
        for runner in sorted(self._free_for(piece), key=_Runner.rank):
            if missing <= 0:
                return
            if runner.pieces < _AHEAD or replaces:
                self._start(piece, runner)
                missing -= 1
            elif not replaces:
                # The fast ones are busy; they will be free sooner than a slow one is done.
                return

    def _free_for(self, piece: _Piece[A]) -> list[_Runner]:
        return [runner for address, runner in self._all.items() if address not in piece.asked and not runner.out]

    def _start(self, piece: _Piece[A], runner: _Runner) -> None:
        piece.asked[runner.proxy.address] = time.monotonic()
        piece.pending[runner.proxy.address] = runner
        runner.pieces += 1
        # Pieces of one proxy wait for each other.
        piece.limits[runner.proxy.address] = max(_FLOOR, _SLOWER * runner.rate * piece.size * runner.pieces)
        _launch(self._done, runner.proxy, piece.number, self._ask)

    def _is_late(self, piece: _Piece[A], runner: _Runner) -> bool:
        address = runner.proxy.address
        late = time.monotonic() - piece.asked[address] > piece.limits[address]
        if late and not runner.late and runner.rate > 0:
            runner.late = True
        return late

    # What comes back

    def _until_next_look(self) -> float:
        now = time.monotonic()
        moments = [
            piece.asked[address] + moment
            for piece in self._pieces
            for address in piece.pending
            for moment in (piece.limits[address], PATIENCE)
        ]
        return min((moment - now for moment in moments if moment > now), default=0.05) + 0.001

    def _drain(self, *, wait: float) -> None:
        try:
            self._take(self._done.get(timeout=wait) if wait > 0 else self._done.get_nowait())
            while True:
                self._take(self._done.get_nowait())
        except queue.Empty:
            return

    def _take(self, event: _Event[A]) -> None:
        piece, address = self._pieces[event.piece], event.proxy.address
        runner = piece.pending.pop(address, None)
        if runner is None:
            # It came after its time was over.
            return
        runner.pieces -= 1
        if event.error is None:
            piece.good[address] = event.good()
            runner.rate = (event.at - piece.asked[address]) / piece.size
            return
        self._failed(piece, runner, event.error)

    def _expire(self) -> None:
        for piece in self._pieces:
            for address, runner in list(piece.pending.items()):
                if time.monotonic() - piece.asked[address] > PATIENCE:
                    piece.pending.pop(address)
                    runner.pieces -= 1
                    runner.strikes = _STRIKES
                    self._failed(piece, runner, UnavailableError(f"no answer within {PATIENCE:.0f} s"))

    def _failed(self, piece: _Piece[A], runner: _Runner, error: PanaChainError) -> None:
        piece.failures.append(Failure(runner.proxy, error))
        runner.strikes += _STRIKES if isinstance(error, IntegrityError | AccessDeniedError) else 1
        self._check_possible(piece)

    def _try(self, piece: _Piece[A]) -> None:
        chosen = dict(list(piece.good.items())[: self._needed])
        liars = self._settle(piece.number, chosen)
        if not liars:
            piece.settled = True
            piece.good.clear()
            return
        for address, error in liars.items():
            piece.good.pop(address)
            self._failed(piece, self._all[address], error)

    def _check_possible(self, piece: _Piece[A]) -> None:
        """Check that a piece can still be done.

        Raises:
            PanaChainError: it can't, whatever comes.
        """
        if piece.settled or piece.failing:
            return
        if len(piece.good) + len(piece.pending) + len(self._free_for(piece)) >= self._needed:
            return
        piece.failing = True
        # What the others say belongs to the reason: a denial shouldn't look like a failure of the network.
        deadline = time.monotonic() + _GRACE
        while piece.pending and time.monotonic() < deadline:
            self._drain(wait=max(deadline - time.monotonic(), 0.001))
        raise shortfall(len(piece.good), piece.failures, len(self._all), self._needed, self._what)


def shortfall(good: int, failures: Sequence[Failure], asked: int, needed: int, what: str) -> PanaChainError:
    """Return the error that says why too few proxies gave a good answer."""
    reasons = "; ".join(str(failure) for failure in failures)
    denials = [failure.error for failure in failures if isinstance(failure.error, AccessDeniedError)]
    # Fewer refusals leave enough others, who may answer once they are back.
    if len(denials) > asked - needed:
        return type(denials[0])(f"{what}: {len(denials)} of {asked} proxies refuse: {denials[0]}")
    if any(isinstance(failure.error, IntegrityError) for failure in failures):
        return IntegrityError(f"{what}: {good} good answers, {needed} are needed: {reasons}")
    return ProxiesUnavailableError(
        f"{what}: {good} of {asked} proxies answered, {needed} are needed: {reasons}",
        answered=good,
        needed=needed,
        hint="panachain doctor shows which proxies are down; try again when they are back",
    )


@dataclass
class _Runner:
    """One proxy, as the race sees it."""

    proxy: ProxyRef
    rate: float = 0.0
    """Seconds per capsule of its newest piece; 0 before the first."""
    pieces: int = 0
    """How many it works at."""
    strikes: int = 0
    late: bool = False

    @property
    def out(self) -> bool:
        return self.strikes >= _STRIKES

    def rank(self) -> tuple[int, bool, bool, float]:
        """Whom to ask first: who never failed, wasn't late, has shown what it can, and is fast."""
        return self.strikes, self.late, self.rate == 0, self.rate


@dataclass
class _Piece(Generic[A]):
    number: int
    size: int
    asked: dict[Address, float] = field(default_factory=dict)
    """Monotonic seconds at which each proxy was asked."""
    limits: dict[Address, float] = field(default_factory=dict)
    """Seconds after which it is late."""
    pending: dict[Address, _Runner] = field(default_factory=dict)
    good: dict[Address, A] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    settled: bool = False
    failing: bool = False


@dataclass(frozen=True)
class _Event(Generic[A]):
    proxy: ProxyRef
    piece: int
    at: float
    """Monotonic seconds."""
    answer: A | None
    error: PanaChainError | None

    def good(self) -> A:
        if self.answer is None:
            raise TypeError("the event holds no answer")
        return self.answer


def _launch(done: queue.Queue[_Event[A]], proxy: ProxyRef, piece: int, ask: Callable[[ProxyRef, int], A]) -> None:
    def run() -> None:
        try:
            done.put(_Event(proxy, piece, time.monotonic(), ask(proxy, piece), None))
        except PanaChainError as exc:
            done.put(_Event(proxy, piece, time.monotonic(), None, exc))
        except Exception as exc:  # noqa: BLE001
            # A thread's last frame: the fault must reach whoever waits, as one of this proxy's.
            done.put(_Event(proxy, piece, time.monotonic(), None, UnavailableError(f"failed: {type(exc).__name__}")))

    # A daemon: nobody waits for a proxy that hangs, not even the end of the program.
    threading.Thread(target=run, name=f"ask {proxy.address}", daemon=True).start()


def _problem(reply: Reply) -> PanaChainError:
    try:
        fields = messages.parse_json(reply.content)
    except UsageError:
        fields = {}
    slug = str(fields.get("type", "")).rpartition("/")[2]
    detail = str(fields.get("detail", ""))[:300] or f"status {reply.status}"
    if slug == "rate-limited" or reply.status == 429:
        wait = int(reply.retry_after) if reply.retry_after.isdecimal() and len(reply.retry_after) < 6 else _RETRY_AFTER
        return RateLimitedError(detail, retry_after=wait)
    return PROBLEMS.get(slug, UnavailableError)(detail)
