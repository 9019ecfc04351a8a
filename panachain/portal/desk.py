"""Who sits at the portal: sessions of browsers, and the unlocked actor of each, which lives in threads of its own.

A seed is in memory from the unlocking to the lock, and no longer. No page holds one, and no other session reaches it.
Follows docs/spec/portal.md, section "Sessions", and security rule 10.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from fastapi import Request

from panachain.crypto.wraps import DataKey
from panachain.errors import LockedError, PanaChainError
from panachain.model.actors import Address, Role
from panachain.passphrase import Hidden
from panachain.portal.holding import Places
from panachain.portal.i18n import N_, gettext
from panachain.portal.jobs import Job, Jobs
from panachain.portal.refusals import LockedPageError, RefusedError, said
from panachain.sdk.names import Names
from panachain.sdk.profiles import Profile
from panachain.viewer.images import Worker, drawing_by

if TYPE_CHECKING:
    from panachain.sdk.actors import AnyActor

Result = TypeVar("Result")

_LOG: Final = logging.getLogger(__name__)
IDLE: Final = 15 * 60.0
"""Seconds after which a session that nobody uses is locked."""
_ANONYMOUS: Final = 512
"""Sessions without a seat that are kept; the one that was unused for the longest time goes first."""
_OPENINGS: Final = 16
"""Openings that a seat keeps; the oldest goes first."""
_SECRET: Final = 32
"""Bytes of a session's name and of its key."""


class Opener(Protocol):
    """Unlocks a profile and connects it: the SDK's actor comes out, of the thread that asked."""

    def __call__(self, profile: Profile, secret: Hidden | DataKey, /) -> AnyActor:
        """Open it; raises what `connect` raises."""
        ...


@dataclass
class Opening:
    """Records that were opened: they are in memory, and go when the seat locks."""

    title: str
    records: Sequence[Any]
    told: Any = None
    """What isn't among them, and why: `viewer.items.Told`, or None."""


class Openings:
    """What a seat has opened."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._known: OrderedDict[str, Opening] = OrderedDict()
        self._over = False
        self._lock = Lock()

    def add(self, title: str, records: Sequence[Any], told: Any = None) -> str:
        """Keep opened records, and return the name under which `/opened/NAME` shows them.

        Args:
            title: what people know the opening by.
            records: opened ones.
            told: what isn't among them, and why (`viewer.items.Told`).

        Raises:
            LockedPageError: they were closed: nothing that is opened later is wanted in memory.
        """
        name = secrets.token_urlsafe(12)
        with self._lock:
            if self._over:
                raise LockedPageError
            self._known[name] = Opening(title, records, told)
            while len(self._known) > _OPENINGS:
                self._known.popitem(last=False)[1].records = ()
        return name

    def get(self, name: str) -> Opening | None:
        """Return what has this name, or None."""
        return self._known.get(name)

    def items(self) -> list[tuple[str, Opening]]:
        """Return all, the newest first."""
        return list(reversed(self._known.items()))

    def close(self) -> None:
        """Forget all of them, for whoever holds one too, and take no more."""
        with self._lock:
            self._over = True
            for opening in self._known.values():
                opening.records = ()
            self._known.clear()


class Seat:
    """The unlocked actor of one browser session.

    It has two threads, each with a session of the SDK of its own: one answers pages, one does what takes long. So a
    page never waits for an upload, and no session of the SDK is shared between threads.
    """

    def __init__(
        self,
        profile: Profile,
        secret: Hidden | DataKey,
        opener: Opener,
        home: Path,
        lasts: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take what opens the profile; `sit` opens it.

        Args:
            profile: whose.
            secret: its passphrase, or the data key of its key store.
            opener: opens it.
            home: the folder of all state.
            lasts: tells whether it may stay open: an agent that it came from may have been locked since.
        """
        self.profile = profile
        self.lasts = lasts
        self.role = profile.role
        self.address: Address = profile.address
        self.home = home
        self.openings = Openings()
        self.jobs = Jobs()
        self.closed = False
        self._kept: dict[str, Any] = {}
        self._keeping = Lock()
        self._images = Worker()
        """Draws what this seat opens, and no other's: a hostile picture makes only its own seat wait."""
        self.put("images", self._images)
        self._secret: Hidden | DataKey = secret
        self._open_actor = opener
        self._desk = ThreadPoolExecutor(1, f"desk {profile.name}")
        self._bench = ThreadPoolExecutor(1, f"bench {profile.name}")
        self._at_desk: Any = None
        self._at_bench: Any = None
        self._names: Names | None = None
        self._book: int = -1

    async def sit(self) -> None:
        """Unlock the profile, in the seat's thread; raises what `connect` raises."""

        def unlock() -> None:
            # Set here: it is closed also if nobody waits for it any more.
            self._at_desk = self._open_actor(self.profile, self._secret)

        try:
            await _in(self._desk, unlock)
        except BaseException:
            self.leave()
            raise

    @property
    def keep(self) -> Mapping[str, Any]:
        """What pages keep for this seat: to be read. `put` and `kept` add to it; all of it goes when the seat locks."""
        return MappingProxyType(self._kept)

    def put(self, key: str, value: Any) -> None:
        """Keep something until the lock, which closes what has a `close`; works in each of the threads.

        Raises:
            LockedPageError: the seat was locked meanwhile. What was to be kept is closed.
        """
        with self._keeping:
            open_still = not self.closed
            if open_still:
                self._kept[key] = value
        if not open_still:
            _close(value)
            raise LockedPageError

    def hold(self, key: str, secret: Hidden) -> str:
        """Keep a secret that was typed until it is confirmed, in place of one before; return by what it is taken out.

        So the secret itself stands on no page.
        """
        number = secrets.token_urlsafe(12)
        self.put(key, (number, secret))
        return number

    def take(self, key: str, number: str) -> Hidden | None:
        """Return a secret that is held, and hold it no more; None if another one is held by now, or none."""
        held: tuple[str, Hidden] | None = self.keep.get(key)
        if held is None or held[0] != number:
            return None
        self.put(key, None)
        return held[1]

    def kept(self, key: str, make: Callable[[], Result]) -> Result:
        """Return what is kept under a key, and make it first if it isn't there.

        Raises:
            LockedPageError: the seat was locked meanwhile; nothing was made.
        """
        with self._keeping:
            self._check_open()
            if key not in self._kept:
                self._kept[key] = make()
            found: Result = self._kept[key]
            return found

    @property
    def names(self) -> Names:
        """What this machine calls everybody; read anew when the address book changed."""
        try:
            book = (self.home / "contacts.json").stat().st_mtime_ns
        except OSError:
            book = 0
        if self._names is None or book != self._book:
            # The actor isn't there while a seat closes.
            network = getattr(self._at_desk, "network", None)
            self._names = Names(self.home, network.resolver if network is not None else None)
            self._book = book
        return self._names

    async def run(self, function: Callable[..., Result], *args: Any) -> Result:
        """Call `function(actor, *args)` in the thread that answers pages, and return what it returns.

        What it returns is used outside of that thread: lists in place of the SDK's iterators.

        Raises:
            LockedPageError: the seat was locked, also while this waited for another page.
        """

        def answer() -> Result:
            self._check_open()
            with drawing_by(self._images):
                return function(self._at_desk, *args)

        self._check_open()
        return await _in(self._desk, answer)

    def _check_open(self) -> None:
        if self.closed:
            raise LockedPageError

    def start(self, title: str, function: Callable[..., Any], *, template: str, left: str = "", **context: Any) -> Job:
        """Begin what takes long: `function(actor, progress)` runs in the other thread, and a page shows how far it is.

        Args:
            title: what is done, such as "Revoking", in the language of this request.
            function: does it. `progress` is the SDK's, and `progress.stage("text")` begins a stage of its own.
            template: shows the outcome, as `result`.
            left: which state a failure leaves, in a sentence; empty for the usual words.
            context: further values for the template.

        Raises:
            LockedPageError: the seat was locked.
            UsageError: too much waits already.
        """
        self._check_open()
        job = self.jobs.add(title, template=template, left=left, context=context)

        def work() -> None:
            try:
                # What waited doesn't begin after a lock, and nothing is unlocked for it anew.
                self._check_open()
                if self._at_bench is None:
                    self._at_bench = self._open_actor(self.profile, self._secret)
                    self._check_open()
                with drawing_by(self._images):
                    job.finish(function(self._at_bench, job.progress))
            except LockedPageError:
                job.fail(said(LockedError(gettext(N_("The portal was locked before this was done; do it again.")))))
            except PanaChainError as exc:
                job.fail(exc)
            except Exception as exc:  # noqa: BLE001 - whoever waits for it must hear of it; only its type is told.
                job.fail(PanaChainError(f"unforeseen {type(exc).__name__}", hint="do it again, and report it"))

        context_of_now = copy_context()
        self._bench.submit(context_of_now.run, work)
        return job

    def leave(self) -> None:
        """Forget the seed and all that was opened; what is being done ends first, and begins nothing more."""
        with self._keeping:
            if self.closed:
                return
            self.closed = True
            kept = list(self._kept.values())
            self._kept.clear()
        self._secret = Hidden("")
        try:
            # At once: what runs may take a while, and what came of the others isn't for anybody any more.
            self.jobs.drop()
            for one in (self.openings, *kept):
                _close(one)
        finally:
            # Whatever went wrong before: no seed stays in memory.
            for thread, close in ((self._desk, self._close_desk), (self._bench, self._close_bench)):
                thread.submit(close)
                thread.shutdown(wait=False)

    def _close_desk(self) -> None:
        actor, self._at_desk = self._at_desk, None
        self._names = None
        _close(actor)

    def _close_bench(self) -> None:
        actor, self._at_bench = self._at_bench, None
        self.jobs.clear()
        _close(actor)


def _close(kept: Any) -> None:
    """Close what can be closed; what fails is logged, and keeps nothing else open."""
    try:
        getattr(kept, "close", lambda: None)()
    except Exception as exc:  # noqa: BLE001 - others wait to be closed.
        _LOG.error("closing %s failed: %s", type(kept).__name__, type(exc).__name__)


async def _in(thread: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
    """Run something in a thread, in the language of this request."""
    context = copy_context()
    return await asyncio.get_running_loop().run_in_executor(thread, context.run, work)


@dataclass
class Session:
    """One browser."""

    name: str = field(repr=False)
    """What its cookie says."""
    key: bytes = field(repr=False)
    """Of the tokens in its forms."""
    used: float
    """When somebody used it last, seconds of the desk's clock."""
    language: str = ""
    """Chosen; empty follows the browser."""
    seat: Seat | None = None
    told: bool = False
    """Whether its browser has come with this name: until then each answer tells it."""
    ended: bool = False
    """Whether it was locked while nobody used it: the next request gets another one in its place."""
    spent: OrderedDict[str, None] = field(default_factory=OrderedDict, repr=False)
    """Confirmations that were used."""

    def token(self, purpose: bytes, content: bytes = b"") -> str:
        """Return a MAC under the session's key."""
        return hmac.new(self.key, purpose + b"\x00" + content, hashlib.sha256).hexdigest()

    @property
    def csrf(self) -> str:
        """What each of its forms carries."""
        return self.token(b"form")


class Desk:
    """All sessions of one process."""

    def __init__(self, *, idle: float = IDLE, clock: Callable[[], float] = time.monotonic) -> None:
        """Take after how many seconds an unused session is locked, and a clock whose seconds only grow."""
        self.idle = idle
        self.places = Places()
        """For files that are held in memory alone."""
        self._clock = clock
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def begin(self) -> Session:
        """Begin a session in which nothing is unlocked."""
        session = Session(secrets.token_urlsafe(_SECRET), secrets.token_bytes(_SECRET), self._clock())
        self._sessions[session.name] = session
        unseated = [one for one in self._sessions.values() if one.seat is None]
        for oldest in unseated[: max(0, len(unseated) - _ANONYMOUS)]:
            del self._sessions[oldest.name]
        return session

    def find(self, name: str, *, use: bool = True) -> Session | None:
        """Return the session of a cookie, or None; one that was unused for too long is locked first.

        In place of a locked one it returns another, with another name and another key: the old ones count no more.

        Args:
            name: what the cookie says.
            use: whether somebody uses it now, and not a page by itself.
        """
        session = self._sessions.get(name)
        if session is None:
            return None
        self._lock_if_idle(session)
        if session.ended:
            return self.rotate(session, None)
        session.told = True
        if use:
            session.used = self._clock()
            self._sessions.move_to_end(name)
        return session

    def rotate(self, session: Session, seat: Seat | None) -> Session:
        """Give a session another name and another key, with this seat: what its old cookie says counts no more.

        Raises:
            LockedPageError: the session has another name already, such as where two pages unlocked it at once. The seat
                is locked: no browser would have it.
        """
        if self._sessions.pop(session.name, None) is not session:
            if seat is not None:
                _leave(seat)
            raise LockedPageError
        before, session.seat = session.seat, None
        if before is not None and before is not seat:
            _leave(before)
        fresh = self.begin()
        fresh.seat, fresh.language = seat, session.language
        return fresh

    def sweep(self) -> None:
        """Lock every session that was unused for too long."""
        for session in list(self._sessions.values()):
            try:
                self._lock_if_idle(session)
            except Exception as exc:  # noqa: BLE001 - the other sessions lock nevertheless.
                _LOG.error("a session can't be locked: %s", type(exc).__name__)

    async def watch(self, seconds: float = 20.0) -> None:
        """Sweep again and again: an idle seat locks though no request comes."""
        while True:
            await asyncio.sleep(seconds)
            self.sweep()

    def close(self) -> None:
        """Lock everything."""
        for session in self._sessions.values():
            if session.seat is not None:
                _leave(session.seat)
        self._sessions.clear()

    def _lock_if_idle(self, session: Session) -> None:
        if session.seat is None:
            return
        over = session.seat.closed or not session.seat.lasts()
        if session.seat.jobs.running and not over:
            # What was begun goes on, and counts as use until its end.
            session.used = self._clock()
        elif over or self._clock() - session.used >= self.idle:
            seat, session.seat = session.seat, None
            # Forms and confirmations of the time before count no more, whoever comes with the old name.
            session.key, session.ended = secrets.token_bytes(_SECRET), True
            session.spent.clear()
            _leave(seat)


def _leave(seat: Seat) -> None:
    """Lock a seat; a failure is logged, so that every other one locks."""
    try:
        seat.leave()
    except Exception as exc:  # noqa: BLE001 - others wait to be locked.
        _LOG.error("a seat can't be locked: %s", type(exc).__name__)


def seated(*roles: Role) -> Callable[[Request], Coroutine[Any, Any, Seat]]:
    """Return what gives a route its seat, for FastAPI's `Depends`.

    Args:
        roles: those that the page is for; none means any.
    """

    async def find(request: Request) -> Seat:
        session: Session | None = request.state.session
        if session is None or session.seat is None or session.seat.closed:
            raise LockedPageError
        if roles and session.seat.role not in roles:
            raise RefusedError(403, gettext(N_("This page is for somebody with another role.")))
        return session.seat

    return find
