"""The follower: it keeps a checked copy of one chain's blocks and of our contracts' events, and answers from it.

What it takes in is proven by the blocks themselves (chain/nodes.py): each header is linked to the one before it, up to
a head that enough nodes agree on, and each block's logs have the receipts root of its header. So an event that is
missing here happened nowhere on that chain, whatever a node says. It never goes back below what it has seen unless
the chain was really reorganised: a node that lags or lies changes nothing.
Follows docs/spec/follower.md and ADR 13.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from panachain.chain.abi import Contract
from panachain.chain.block_receipts import Log
from panachain.chain.headers import Header, may_hold
from panachain.chain.logs import Event, Topic
from panachain.chain.nodes import ReorganisedError
from panachain.errors import ChainUnavailableError, IntegrityError
from panachain.ethereum import keccak
from panachain.follow.collector import standing_still
from panachain.follow.database import Database, RenewedError, Session, open_database
from panachain.follow.derived import Derivation, Derived, Read, insert
from panachain.follow.tables import Tables, kind_of
from panachain.model.block import Block
from panachain.model.progress import Progress

SETTLED: Final = 64
"""Blocks under the newest one ever seen from which on one node alone isn't believed that they were taken back."""
_BATCH: Final = 1000
"""Headers that are read, checked and put in together: what is lost at most when a first sync is stopped."""
_MANY: Final = 16
"""Blocks from which on reading makes so much that Python's collector of cycles costs."""
_NEAR: Final = 32
"""Headers that are compared at once where the chain left the copy; reorganisations seldom go deeper."""
_ATTEMPTS: Final = 5
"""How often a sync begins anew because the chain moved under it."""
_DERIVED_AT_ONCE: Final = 10_000
"""Blocks whose events are put into derived tables by one transaction: others wait for it."""
_PAGE: Final = 2000
"""Rows that are read at once."""
_LOG: Final = logging.getLogger(__name__)
_T = TypeVar("_T")


class Source(Protocol):
    """Where checked blocks come from: `chain.nodes.Nodes`."""

    @property
    def several(self) -> bool:
        """Whether more than one node vouches for a head."""
        ...

    @property
    def urls(self) -> tuple[str, ...]:
        """The nodes' URLs."""
        ...

    def head(self) -> Header:
        """Return the newest header that enough nodes agree on."""
        ...

    def header_at(self, number: int) -> Header:
        """Return the header of one block."""
        ...

    def headers(self, first: int, last: int) -> list[Header]:
        """Return headers, each the parent of the next; enough nodes agree on the last one."""
        ...

    def logs(self, headers: Sequence[Header]) -> list[list[Log]]:
        """Return all logs of each of some blocks, proven by its receipts root."""
        ...


class _MovedError(ReorganisedError):
    """The chain, or the copy, changed while a step was prepared: it is prepared anew."""


@dataclass(frozen=True)
class _Step:
    """What one transaction does to the copy."""

    tip: bytes | None
    """Hash of the newest header that the copy must have; None for an empty copy."""
    keep: int
    """The block above which all is taken away."""
    headers: list[Header]
    logs: list[Log]


class Follower:
    """One chain, as it was proven; several threads and processes may use one copy."""

    def __init__(
        self,
        source: Source,
        where: Path | str,
        *,
        chain_id: int,
        addresses: Mapping[str, str],
        from_block: int = 0,
        progress: Progress | None = None,
    ) -> None:
        """Take the nodes and where the copy is; nothing is opened or asked yet.

        Args:
            source: the chain's nodes.
            where: an SQLite file, or a URL of PostgreSQL.
            chain_id: of the chain.
            addresses: of the contracts whose logs are kept, by name.
            from_block: the block of the deployment; nothing of ours is older.
            progress: is told the blocks that were read, while a long sync runs.
        """
        self._source = source
        self._where = where
        self._first = from_block
        self._addresses = frozenset(bytes.fromhex(address[2:]) for address in addresses.values())
        self._bloomed = sorted(addresses.values())
        self._progress = progress
        chain = f"{chain_id}/{from_block}/" + ",".join(sorted(one.hex() for one in self._addresses))
        self._tables = Tables(chain, prefix="" if isinstance(where, Path) else f"follow_{chain_id}_{_short(chain)}_")
        self._opened: Database | None = None
        self._opening = threading.Lock()
        self._one = threading.Lock()
        """Held by the thread that syncs."""
        self._begun = 0
        self._last: Block | None = None
        self._pins = threading.local()

    # What EventSource asks for

    def head(self) -> Block:
        """Return the newest block, after a look for what is new; within `pinned`, the block that is pinned."""
        pin = self._pin
        return self.sync() if pin is None else pin[1]

    def block(self, number: int) -> Block:
        """Return one block of the chain.

        Raises:
            IntegrityError: there is no such block.
        """
        pin = self._pin
        head = self.sync() if pin is None else pin[1]
        if number == head.number:
            return head
        if number > head.number:
            raise IntegrityError(f"the chain has no block {number}: its newest one is {head.number}")
        if number < self._first:
            # Older than the deployment: kept nowhere, since nothing of ours is there.
            found = self._source.header_at(number)
            return Block(found.number, found.hash, found.time)
        row = self._read(lambda session: self._tables.header_at(session, number))
        if row is None:
            raise IntegrityError(f"the copy of the chain lacks block {number}")
        return Block(number, "0x" + row[0].hex(), row[1])

    def events(
        self,
        contract: Contract,
        where: str,
        *,
        topics: Sequence[Topic] = (),
        from_block: int = 0,
        to_block: int | None = None,
    ) -> Iterator[Event]:
        """Yield a contract's events, as `EventSource.events` does.

        Raises:
            IntegrityError: a log can't be read, or the contract isn't one that is followed.
        """
        address = bytes.fromhex(where[2:])
        if address not in self._addresses:
            raise IntegrityError(f"the contract {where} isn't followed: the chain's description doesn't name it")
        named = {kind_of(address, topic): topic for topic in contract.topics}
        first, *rest = topics or (None,)
        if first is not None:
            wanted = set(map(_word, [first] if isinstance(first, str) else first))
            named = {kind: topic for kind, topic in named.items() if topic in wanted}
        words = [None if one is None else [_word(w) for w in ([one] if isinstance(one, str) else one)] for one in rest]
        if not named or any(one is not None and not one for one in words):
            return iter(())
        last = self._reached(to_block)
        statement, values = self._tables.select(list(named), words, from_block, last)
        return _decoded(contract, named, self._pages(statement, values))

    def _reached(self, to_block: int | None) -> int:
        """Return the block up to which a question goes, once the copy goes as far."""
        known = self._last
        if to_block is not None and (self._pin is not None or (known is not None and to_block <= known.number)):
            return to_block
        head = self.head().number
        return head if to_block is None else to_block

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Let everything that this thread reads be of one history, up to the newest block of now."""
        if self._pin is not None:
            yield
            return
        self.sync()
        with self._database.reading() as session:
            newest = self._tables.newest(session)
            if newest is None:
                raise IntegrityError("the copy of the chain is empty")
            with self._pinned_to(session, _block(newest)):
                yield

    @contextmanager
    def derived(self, made: Derived, read: Read) -> Iterator[Derivation]:
        """Yield tables that follow from the events, brought up to the newest block.

        Args:
            made: which tables.
            read: reads what blocks add; what it asks this follower for is of one history.

        Raises:
            DiskError: the copy can't be written.
        """
        self.sync()
        while self._again(lambda: self._derive(made, read)):
            pass
        with self._database.reading() as session:
            upto = self._tables.derived_upto(session, made)
            found = None if upto is None else self._tables.header_at(session, upto)
            if upto is None or found is None:
                raise ChainUnavailableError("the chain changes faster than it can be read; nothing was decided")
            block = _block((upto, *found))
            with self._pinned_to(session, block):
                yield Derivation(session, block, self._tables.names_of(made))

    def _derive(self, made: Derived, read: Read) -> bool:
        """Bring derived tables forward by some blocks, in one transaction, and tell whether any are left."""
        tables = self._tables
        with self._database.writing() as session:
            newest = tables.newest(session)
            upto = tables.derived_upto(session, made)
            if newest is None:
                raise IntegrityError("the copy of the chain is empty")
            if upto is None:
                upto = self._first - 1
                tables.make_derived(session, made, upto)
            last = min(newest[0], upto + _DERIVED_AT_ONCE)
            # What is read is of this very transaction.
            with self._pinned_to(session, _block(newest)):
                rows = read(upto + 1, last) if last > upto else {}
            insert(session, tables.names_of(made), rows)
            if last > upto:
                tables.reach_derived(session, made, last)
            return last < newest[0]

    @contextmanager
    def _pinned_to(self, session: Session, block: Block) -> Iterator[None]:
        before = self._pin
        self._pins.pin = session, block
        try:
            yield
        finally:
            self._pins.pin = before

    # Keeping up

    def sync(self) -> Block:
        """Read what is new, take back what a reorganisation took away, and return the newest block.

        Raises:
            IntegrityError: the nodes contradict themselves, or take back blocks that are settled.
            ChainUnavailableError: too few nodes answer, or the chain moves faster than it is read.
            DiskError: the copy can't be written.
        """
        arrived = self._begun
        with self._one:
            # Whoever waited takes the answer of a sync that began after they came: it saw all that they may have seen.
            if self._begun > arrived and self._last is not None:
                return self._last
            self._begun += 1
            self._last = None
            self._last = self._sync()
            return self._last

    def close(self) -> None:
        """Close the copy."""
        with self._opening:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def _sync(self) -> Block:
        for _ in range(_ATTEMPTS):
            target = self._source.head()
            try:
                return self._reach(target)
            except ReorganisedError as exc:
                _LOG.debug("the sync begins anew: %s", exc)
            except RenewedError:
                continue
        raise ChainUnavailableError("the chain changes faster than it can be read; nothing was decided")

    def _reach(self, target: Header) -> Block:
        """Bring the copy to a head, in as many steps as it takes."""
        started: int | None = None
        while True:
            with self._database.reading() as session:
                newest = self._tables.newest(session)
                known = self._tables.header_at(session, target.number)
            is_kept = known is not None and known[0] == _raw(target.hash)
            if newest is not None and (is_kept or target.number < self._first):
                # The head itself, or an older block, also one before the deployment: a node that lags is no reason to
                # go back.
                return _block(newest)
            if target.number < self._first:
                return Block(target.number, target.hash, target.time)
            with standing_still(target.number - (self._first if newest is None else newest[0]) > _MANY):
                step = self._next(newest, target)
                self._do(step)
            started = step.keep if started is None else started
            if self._progress is not None and target.number - started > _BATCH:
                self._progress(step.headers[-1].number - started, target.number - started, unit="blocks")

    def _next(self, newest: tuple[int, bytes, int] | None, target: Header) -> _Step:
        tip = None if newest is None else newest[1]
        keep = self._first - 1 if newest is None else newest[0]
        if newest is not None and target.number <= newest[0]:
            keep = self._common(target.number - 1)
        headers = self._ahead(keep, target)
        if newest is not None and keep == newest[0] and headers[0].parent_hash != "0x" + newest[1].hex():
            # The chain left the copy below the copy's newest block.
            keep = self._common(keep - 1)
            headers = self._ahead(keep, target)
        found = self._source.logs([one for one in headers if may_hold(one, self._bloomed)])
        logs = [log for block in found for log in block if log.address in self._addresses]
        return _Step(tip, keep, headers, logs)

    def _ahead(self, keep: int, target: Header) -> list[Header]:
        """Return the next headers above a block, not beyond the target."""
        last = min(keep + _BATCH, target.number)
        # Mostly the head is all that is new, and known already.
        headers = [target] if keep + 1 == target.number else self._source.headers(keep + 1, last)
        if last == target.number and headers[-1].hash != target.hash:
            raise _MovedError(f"block {last} isn't the head of the chain any more")
        return headers

    def _common(self, highest: int) -> int:
        """Return the newest block that copy and chain share, at `highest` or below; the block before all if none."""
        at = highest
        while at >= self._first:
            low = max(at - _NEAR + 1, self._first)
            shown = {one.number: _raw(one.hash) for one in self._source.headers(low, at)}
            with self._database.reading() as session:
                kept = {number: self._tables.header_at(session, number) for number in shown}
            for number in range(at, low - 1, -1):
                row = kept[number]
                if row is not None and row[0] == shown[number]:
                    return number
            if at == highest:
                at = low - 1
                continue
            # Far below: equal blocks have equal ancestors, so the place is found by halving.
            return self._halved(low - 1)
        return self._first - 1

    def _halved(self, high: int) -> int:
        low = self._first - 1
        while low < high:
            middle = (low + high + 1) // 2
            shown = _raw(self._source.header_at(middle).hash)
            with self._database.reading() as session:
                row = self._tables.header_at(session, middle)
            low, high = (middle, high) if row is not None and row[0] == shown else (low, middle - 1)
        return low

    def _check_settled(self, keep: int, settled: int) -> None:
        if keep < settled and not self._source.several:
            raise IntegrityError(
                f"the node at {', '.join(self._source.urls)} takes back the blocks above {keep}; up to block {settled} "
                f"they are settled, since {SETTLED} others stood on them; nothing was changed",
                hint=f"name nodes of several operators; if the chain was really set back, remove {self._where}",
            )

    def _do(self, step: _Step) -> None:
        """Put a step into the copy, all of it or nothing."""
        tables = self._tables
        with self._database.writing() as session:
            newest = tables.newest(session)
            if (None if newest is None else newest[1]) != step.tip:
                raise _MovedError("another process was faster")
            below = tables.header_at(session, step.keep)
            if below is not None and _raw(step.headers[0].parent_hash) != below[0]:
                raise _MovedError("the chain left the copy meanwhile")
            settled = int(tables.recall(session, "settled") or self._first - 1)
            self._check_settled(step.keep, settled)
            if newest is not None and newest[0] > step.keep:
                _LOG.info("the chain took back %d blocks down to block %d", newest[0] - step.keep, step.keep)
                tables.forget_above(session, step.keep)
            tables.add(session, step.headers, step.logs)
            reached = step.headers[-1].number
            if newest is None or reached - SETTLED > settled or step.keep < settled:
                # It isn't taken back when a head is: or blocks could be taken back one by one, as far as one likes.
                tables.remember(session, "settled", str(max(reached - SETTLED, self._first - 1)))

    # Reading

    @property
    def _pin(self) -> tuple[Session, Block] | None:
        found: tuple[Session, Block] | None = getattr(self._pins, "pin", None)
        return found

    @property
    def _database(self) -> Database:
        with self._opening:
            if self._opened is None:
                self._opened = open_database(self._where, self._tables.prepare)
            return self._opened

    def _read(self, ask: Callable[[Session], _T]) -> _T:
        pin = self._pin
        if pin is not None:
            return ask(pin[0])

        def read() -> _T:
            with self._database.reading() as session:
                return ask(session)

        return self._again(read)

    def _again(self, ask: Callable[[], _T]) -> _T:
        """Ask once more where the file was found damaged, and is filled anew."""
        try:
            return ask()
        except RenewedError:
            if self._pin is not None:
                raise
            self.sync()
            return ask()

    def _pages(self, statement: str, values: Sequence[Any]) -> Iterator[Sequence[Any]]:
        """Yield rows in pages, all of one state: that of the call."""
        pin = self._pin
        if pin is not None:
            # All at once: nobody may read on once the pin is gone.
            return iter([pin[0].run(statement, values).fetchall()])

        def read() -> Iterator[Sequence[Any]]:
            with self._database.reading() as session:
                found = session.run(statement, values)
                while page := found.fetchmany(_PAGE):
                    yield page

        def begin() -> tuple[Sequence[Any], Iterator[Sequence[Any]]]:
            pages = read()
            page = next(pages, ())
            return page, pages

        first, pages = self._again(begin)
        # A short page is the only one: this ends its transaction at once.
        return itertools.chain([first], pages) if len(first) == _PAGE else iter([first, *pages])


def _decoded(contract: Contract, named: Mapping[int, bytes], pages: Iterable[Sequence[Any]]) -> Iterator[Event]:
    for kind, block, place, *words, data, tx_hash, block_hash in itertools.chain.from_iterable(pages):
        name, values = contract.decoded(named[kind], words, data)
        yield Event(name, values, block, "0x" + block_hash.hex(), "0x" + tx_hash.hex(), place)


def _word(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _raw(block_hash: str) -> bytes:
    return bytes.fromhex(block_hash[2:])


def _block(row: tuple[int, bytes, int]) -> Block:
    return Block(row[0], "0x" + row[1].hex(), row[2])


def _short(text: str) -> str:
    return keccak(text)[:6].hex()
