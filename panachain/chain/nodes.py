"""Several nodes of one chain, of which none is believed: a head that enough of them agree on, and what it proves.

A node that lags is passed over; one that lies is named, and the next one is asked. With a single node its head is
believed and nothing else of what it says: what follows from a head is recomputed (ADR 14). It remembers no head from
one run to the next: whoever keeps a copy of the chain does.
Follows the Ethereum JSON-RPC specification, EIP-1186 (eth_getProof) and docs/spec/network.md, section "Nodes".
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from panachain.chain import node, proofs
from panachain.chain.ask import Answer, ask_all
from panachain.chain.block_receipts import Log, read_receipts
from panachain.chain.headers import Header, check_links, read_header
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.errors import ChainUnavailableError, IntegrityError, NodeRefusedError, PanaChainError

MAX_AHEAD: Final = 900
"""Seconds by which a head may be ahead of this machine's clock: less than the hour that a lie is worth, more than the
15 s that nodes themselves allow, since clocks of machines may be wrong."""
_MANY: Final = 500
"""Headers, or receipts of transactions, in one request."""
_BLOCKS: Final = 4
"""Blocks whose receipts are asked for in one request: few, so that one answer comes while the one before it is checked;
an answer that is too large is asked for in halves."""
_AT_ONCE: Final = 2
"""Such requests at once to a node."""
_BACK: Final = 64
"""Blocks below the newest in which nodes must agree on one: reorganisations seldom go deeper than a few."""
_SHUNNED: Final = 60.0
"""Seconds for which a node that gave no good answer is asked after the others."""
_ATTEMPTS: Final = 3
"""How often what follows from a head is asked for anew, because the head was replaced meanwhile."""
_LAGGING: Final = 30.0
"""Seconds that most of several nodes get to show a block that was seen before."""
_PAUSE: Final = 0.5
"""Seconds between two looks at their heads meanwhile."""
_LOG: Final = logging.getLogger(__name__)
T = TypeVar("T")


class ReorganisedError(ChainUnavailableError):
    """The chain replaced a block while it was read; the same question finds the new one."""


class LaggingError(ReorganisedError):
    """Nodes show an older block as the newest than was seen before: while one is down and one lags, most of them do."""


class UnprovableError(IntegrityError):
    """A node has no way to prove what a contract keeps; nothing it said is known to be false."""


@dataclass(frozen=True)
class Anchor:
    """What makes a chain this one: a block that every node of it has."""

    number: int = 0
    """The deployment's block, or 0 for the genesis."""
    hash: str = ""
    """Lower case hex after `0x`; empty where nobody told it, so that the nodes are only compared with each other."""


class Nodes:
    """The nodes of one chain; several threads may use them."""

    def __init__(
        self,
        nodes: Sequence[Rpc],
        *,
        chain_id: int,
        quorum: int | None = None,
        anchor: Anchor | None = None,
        max_age: int = 0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the nodes; nothing is asked yet.

        Args:
            nodes: at least one.
            chain_id: what each of them must say.
            quorum: how many must agree on a head; None takes the smallest majority.
            anchor: the block that each of them must have; None compares the genesis only.
            max_age: seconds that a head may be old where freshness decides; 0 for a chain that makes blocks only when
                something happens.
            clock: the time, Unix seconds.
            monotonic: seconds that only go forward.
            sleep: waits for some seconds.

        Raises:
            ValueError: so many nodes there aren't, or so few could agree with liars only.
        """
        self._nodes = tuple(nodes)
        self._chain_id = chain_id
        self.quorum = majority(len(nodes)) if quorum is None else quorum
        """How many nodes must agree on a head."""
        if not 1 <= self.quorum <= len(nodes):
            raise ValueError(f"{self.quorum} of {len(nodes)} nodes can't agree")
        self._anchor = anchor or Anchor()
        self._max_age = max_age
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._identity: tuple[str, str] | None = None
        """Hashes of genesis and anchor, once they are agreed on."""
        self._admitted: set[str] = set()
        """URLs of the nodes that were found to be of this chain."""
        self._shunned: dict[str, float] = {}
        """Until when nodes are asked last, by URL."""
        self._head: Header | None = None
        self.named: dict[str, str] = {}
        """Why nodes weren't believed, by URL."""

    @property
    def urls(self) -> tuple[str, ...]:
        """The nodes' URLs, in their order."""
        return tuple(rpc.url for rpc in self._nodes)

    @property
    def several(self) -> bool:
        """Whether more than one node vouches for a head."""
        return self.quorum > 1

    def head(self) -> Header:
        """Return the newest header that enough nodes agree on, once their chain has been compared with ours.

        Raises:
            IntegrityError: too few nodes are left after those that lie: of another chain, from the future, malformed.
            ChainUnavailableError: too few nodes answer.
        """
        answers = self._ask(self._read_head)
        found = answers.good
        # So many nodes have this block or a newer one: whoever lags holds up nobody else.
        number = sorted((header.number for _, header in found), reverse=True)[self.quorum - 1]
        heads = {rpc.url: header for rpc, header in found}
        for back in _steps(min(_BACK, number)):
            votes = self._votes(number - back, heads)
            agreed = self._counted(votes)
            if agreed is not None:
                self._name_forks(agreed, votes)
                self._head = agreed
                return agreed
        raise IntegrityError(
            f"fewer than {self.quorum} nodes agree on any of the newest {_BACK} blocks from {number} down: "
            + "; ".join(f"{rpc.url} shows {header.hash} at {header.number}" for rpc, header in found),
            hint="ask their operators which of them is on another chain; nothing was decided",
        )

    def header_at(self, number: int) -> Header:
        """Return the header of one block of the chain that enough nodes agree on.

        Raises:
            IntegrityError: a node's header isn't one, or too few agree.
            ChainUnavailableError: too few nodes answer.
        """
        if self._head is not None and self._head.number == number:
            return self._head
        answers = self._ask(lambda rpc: _header_at(rpc, number))
        votes = {rpc.url: header for rpc, header in answers.good}
        agreed = self._counted(votes)
        if agreed is None:
            raise IntegrityError(
                f"fewer than {self.quorum} nodes agree on block {number}: "
                + "; ".join(f"{url} shows {header.hash}" for url, header in votes.items())
            )
        return agreed

    def headers(self, first: int, last: int) -> list[Header]:
        """Return the headers of the blocks from `first` to `last`, each the parent of the next.

        The last one is agreed on, so the others are, too.

        Raises:
            IntegrityError: every node's headers are malformed or not linked, or too few agree on the last one.
            ChainUnavailableError: too few nodes answer.
        """
        if last < first:
            return []
        agreed = self.header_at(last)
        if first == last:
            return [agreed]
        return self._from_any(lambda rpc: [*_headers(rpc, first, agreed), agreed])

    def logs(self, headers: Sequence[Header]) -> list[list[Log]]:
        """Return all logs of each of some blocks, proven by the receipts root of its header.

        Args:
            headers: checked ones.

        Raises:
            IntegrityError: every node that answers leaves out, adds or alters a log.
            ReorganisedError: the chain has replaced a block.
            ChainUnavailableError: no node answers.
        """
        pieces = [headers[start : start + _BLOCKS] for start in range(0, len(headers), _BLOCKS)]

        def read(some: Sequence[Header]) -> list[list[Log]]:
            return self._from_any(lambda rpc: _logs(rpc, some))

        if len(pieces) < 2:
            return [logs for some in pieces for logs in read(some)]
        # Imported here: most commands have nothing to read, or one piece.
        from concurrent.futures import ThreadPoolExecutor

        # One answer is on its way while the one before it is checked.
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return [logs for found in pool.map(read, pieces) for logs in found]

    def storage(self, header: Header, account: str, slots: Sequence[bytes]) -> list[int]:
        """Return slots of a contract as they were after a block, proven by its state root.

        Args:
            header: a checked one, of a block so new that nodes still have its state.
            account: the contract.
            slots: 32 bytes each.

        Raises:
            IntegrityError: every node that answers proves something else.
            UnprovableError: every node that answers has no way to prove anything.
            ChainUnavailableError: no node answers.
        """
        return self._from_any(lambda rpc: _storage(rpc, header, account, slots))

    def at_head(self, ask: Callable[[Header], T]) -> T:
        """Return what follows from the newest head, which must be fresh; from a newer one, if that is replaced.

        Raises:
            IntegrityError: as `head`, or what `ask` raises.
            ChainUnavailableError: too few nodes answer, the head is too old, or the chain is replaced again and again.
        """
        until = self._monotonic() + _LAGGING
        attempts = 0
        while True:
            try:
                return ask(self.fresh_head())
            except ReorganisedError as exc:
                if isinstance(exc, LaggingError) and self.several and self._monotonic() < until:
                    self._sleep(_PAUSE)
                    continue
                attempts += 1
                if attempts == _ATTEMPTS:
                    raise

    def fresh_head(self) -> Header:
        """Return the head, unless it is too old to decide by, with this machine's clock.

        Raises:
            IntegrityError: as `head`.
            ChainUnavailableError: as `head`, or it is too old.
        """
        header = self.head()
        age = int(self._clock()) - header.time
        if self._max_age and age > self._max_age:
            raise ChainUnavailableError(
                f"the newest block that {', '.join(self.urls)} show is {age} s old, at most {self._max_age} s are "
                "allowed: it may hide what came since; nothing was decided",
                hint="look whether the nodes keep up, or whether this machine's clock is right",
            )
        return header

    # Whose answer counts

    def _ask(self, ask: Callable[[Rpc], T]) -> Answer[T]:
        """Ask all nodes at once, and return the good answers, at least as many as must agree.

        Raises:
            IntegrityError: too few are good, and some lie.
            ChainUnavailableError: too few answer.
        """
        self._compare()

        return self._enough(
            ask_all(self._nodes, lambda rpc: self._asked(rpc, ask), needed=self.quorum, late=self._late)
        )

    @property
    def _late(self) -> frozenset[str]:
        """URLs of the nodes that gave no good answer lately."""
        now = self._monotonic()
        return frozenset(url for url, until in self._shunned.items() if until > now)

    def _asked(self, rpc: Rpc, ask: Callable[[Rpc], T]) -> T:
        """Ask one node, once it is known to be of this chain."""
        try:
            self._admit(rpc)
            return ask(rpc)
        except RpcAnswerError as exc:
            raise ChainUnavailableError(f"the chain node at {rpc.url} refuses a question: {exc}") from exc

    def _enough(self, answers: Answer[T]) -> Answer[T]:
        self._shun_all(answers.bad)
        if len(answers.good) < self.quorum:
            raise self._too_few(answers.bad)
        return answers

    def _compare(self) -> None:
        """Agree on genesis and anchor, once in a session."""
        if self._identity is not None:
            return
        answers = self._enough(ask_all(self._nodes, self._identity_of, needed=self.quorum, late=self._late))
        identity, count = Counter(found for _, found in answers.good).most_common(1)[0]
        if count < self.quorum:
            raise IntegrityError(
                "the nodes are of different chains: "
                + "; ".join(f"{rpc.url} has genesis {found[0]}, block {found[1]}" for rpc, found in answers.good)
            )
        self._identity = identity
        self._admitted |= {rpc.url for rpc, found in answers.good if found == identity}

    def _admit(self, rpc: Rpc) -> None:
        """Check that a node is of this chain, the first time that it answers in a session."""
        if rpc.url in self._admitted:
            return
        found = self._identity_of(rpc)
        if found != self._identity:
            raise IntegrityError(f"its genesis or block {self._anchor.number} is another one than the others'")
        self._admitted.add(rpc.url)

    def _identity_of(self, rpc: Rpc) -> tuple[str, str]:
        numbers = [0, self._anchor.number] if self._anchor.number else [0]
        calls = [("eth_getBlockByNumber", [hex(number), False]) for number in numbers]
        try:
            told, *blocks = rpc.batch([("eth_chainId", []), *calls])
        except RpcAnswerError as exc:
            raise ChainUnavailableError(f"the chain node at {rpc.url} refuses a question: {exc}") from exc
        chain_id = node.quantity(told, "a chain's ID")
        if chain_id != self._chain_id:
            raise IntegrityError(f"it is of chain {chain_id}, not {self._chain_id}")
        if None in blocks:
            raise ChainUnavailableError(f"the chain node at {rpc.url} doesn't have block {self._anchor.number} yet")
        genesis, anchor = (read_header(blocks[0]), read_header(blocks[-1]))
        if (genesis.number, anchor.number) != (numbers[0], numbers[-1]):
            raise IntegrityError("it gives another block than the one that was asked for")
        if self._anchor.hash and anchor.hash != self._anchor.hash.lower():
            raise IntegrityError(
                f"its block {anchor.number} is {anchor.hash}, the network's description says {self._anchor.hash}"
            )
        return genesis.hash, anchor.hash

    def _read_head(self, rpc: Rpc) -> Header:
        header = read_header(rpc.call("eth_getBlockByNumber", ["latest", False]))
        ahead = header.time - int(self._clock())
        if ahead > MAX_AHEAD:
            raise IntegrityError(
                f"its newest block is {ahead} s ahead of this machine's clock, {MAX_AHEAD} s are allowed",
                hint="if this machine's clock is wrong, set it; nothing was decided",
            )
        return header

    def _votes(self, number: int, heads: Mapping[str, Header]) -> dict[str, Header]:
        """Return which block each node has at a height, of those that have come so far."""
        votes = {url: header for url, header in heads.items() if header.number == number}
        ahead = [rpc for rpc in self._nodes if rpc.url in heads and heads[rpc.url].number > number]
        # Nobody waits for what isn't needed: one that runs ahead alone may hang for as long as it likes.
        most = max(Counter(header.hash for header in votes.values()).values(), default=0)
        needed = min(max(self.quorum - most, 0), len(ahead))
        answers = ask_all(
            ahead, lambda rpc: self._asked(rpc, lambda one: _header_at(one, number)), needed=needed, late=self._late
        )
        self._shun_all(answers.bad)
        return votes | {rpc.url: header for rpc, header in answers.good}

    def _counted(self, votes: Mapping[str, Header]) -> Header | None:
        """Return the header that enough nodes have."""
        counts = Counter(header.hash for header in votes.values())
        return next((header for header in votes.values() if counts[header.hash] >= self.quorum), None)

    def _name_forks(self, agreed: Header, votes: Mapping[str, Header]) -> None:
        """Name the nodes that are on another chain; two blocks on one parent are a race, and nobody's lie."""
        for rpc in self._nodes:
            other = votes.get(rpc.url)
            if other is not None and other.hash != agreed.hash and other.parent_hash != agreed.parent_hash:
                reason = f"it shows block {other.hash} at {agreed.number}, {self.quorum} others or more {agreed.hash}"
                self._shun(rpc, IntegrityError(reason))

    def _shun(self, rpc: Rpc, error: PanaChainError) -> None:
        self._shunned[rpc.url] = self._monotonic() + _SHUNNED
        if isinstance(error, IntegrityError) and self.named.get(rpc.url) != str(error):
            self.named[rpc.url] = str(error)
            if len(self._nodes) > 1:
                _LOG.warning("the node at %s isn't believed: %s", rpc.url, error)

    def _shun_all(self, bad: Iterable[tuple[Rpc, PanaChainError]]) -> None:
        late = self._late
        for rpc, error in bad:
            # Its time isn't drawn out by not being waited for, so that it is waited for once a minute.
            if isinstance(error, IntegrityError) or rpc.url not in late:
                self._shun(rpc, error)

    def _too_few(self, bad: Iterable[tuple[Rpc, PanaChainError]]) -> PanaChainError:
        """Return the error that names each node that gave no good answer."""
        errors = list(bad)
        lies: list[PanaChainError] = [error for _, error in errors if isinstance(error, IntegrityError)]
        hints = [error.hint for error in lies or [e for _, e in errors] if error.hint != error.usual_hint]
        hint = hints[0] if hints else ""
        if len(self._nodes) == 1:
            rpc, error = errors[0]
            return IntegrityError(_accused(rpc, error), hint=hint) if lies else error
        told = "; ".join(_accused(rpc, e) if isinstance(e, IntegrityError) else str(e) for rpc, e in errors)
        kind = IntegrityError if lies else ChainUnavailableError
        return kind(f"{self.quorum} of {len(self._nodes)} nodes must agree, too few do: {told}", hint=hint)

    def _from_any(self, ask: Callable[[Rpc], T]) -> T:
        """Return the first good answer; nodes that gave none lately are asked last."""
        self._compare()
        now = self._monotonic()
        bad: list[tuple[Rpc, PanaChainError]] = []
        for rpc in sorted(self._nodes, key=lambda rpc: self._shunned.get(rpc.url, 0) > now):
            try:
                return self._asked(rpc, ask)
            except (IntegrityError, ChainUnavailableError) as exc:
                if not isinstance(exc, ReorganisedError | UnprovableError):
                    self._shun(rpc, exc)
                bad.append((rpc, exc))
        # Before all others: asked about the new block, the node that saw the chain move may tell what the others don't.
        for _, error in bad:
            if isinstance(error, ReorganisedError):
                raise error
        for kind in (IntegrityError, UnprovableError):
            for rpc, error in bad:
                if type(error) is kind:
                    raise kind(_accused(rpc, error), hint=error.hint) from error
        raise bad[0][1]


def majority(count: int) -> int:
    """Return how many of some nodes must agree unless it is set: more than half."""
    return count // 2 + 1


def _accused(rpc: Rpc, error: PanaChainError) -> str:
    return f"the node at {rpc.url} isn't believed: {error}"


def _steps(back: int) -> Iterable[int]:
    """Yield how far below the newest block agreement is looked for."""
    yield 0
    step = 1
    while step < back:
        yield step
        step *= 2
    if back:
        yield back


def _header_at(rpc: Rpc, number: int) -> Header:
    block = rpc.call("eth_getBlockByNumber", [hex(number), False])
    if block is None:
        raise ChainUnavailableError(f"the chain node at {rpc.url} doesn't have block {number}")
    header = read_header(block)
    if header.number != number:
        raise IntegrityError(f"it gives block {header.number} for block {number}")
    return header


def _headers(rpc: Rpc, first: int, child: Header) -> list[Header]:
    """Return the headers from `first` up to the parent of a block that is agreed on."""
    found: list[Header] = []
    for start in range(first, child.number, _MANY):
        numbers = range(start, min(start + _MANY, child.number))
        blocks = _blocks(rpc, numbers)
        if None in blocks:
            raise ChainUnavailableError(f"the chain node at {rpc.url} doesn't have block {start + blocks.index(None)}")
        found += map(read_header, blocks)
    try:
        check_links([*found, child])
    except IntegrityError:
        # A chain that is reorganised while it is read gives old blocks and new ones, and no node lied.
        _check_kept(rpc, child)
        raise
    return found


def _blocks(rpc: Rpc, numbers: Sequence[int]) -> list[Any]:
    """Return blocks as a node gives them; an answer that is too large, for one or for the other, is asked in halves."""
    try:
        return rpc.batch([("eth_getBlockByNumber", [hex(number), False]) for number in numbers])
    except RpcAnswerError:
        # Full blocks name thousands of transactions each.
        if len(numbers) == 1:
            raise
        half = len(numbers) // 2
        return _blocks(rpc, numbers[:half]) + _blocks(rpc, numbers[half:])


def _logs(rpc: Rpc, headers: Sequence[Header]) -> list[list[Log]]:
    return [
        _read_logs(rpc, header, receipts) for header, receipts in zip(headers, _receipts(rpc, headers), strict=True)
    ]


def _read_logs(rpc: Rpc, header: Header, receipts: Any) -> list[Log]:
    try:
        if receipts is None:
            raise IntegrityError(f"it gives no receipts of block {header.number}, though it has the block")
        return read_receipts(header, receipts)
    except IntegrityError:
        # One by one, receipts may come from the blocks that replaced this one meanwhile.
        _check_kept(rpc, header)
        raise


def _receipts(rpc: Rpc, headers: Sequence[Header]) -> list[Any]:
    """Return the receipts of each of some blocks as the node gives them, None for a block that it doesn't have."""
    # By hash: a chain that is reorganised meanwhile has another block at this height, and its node doesn't lie.
    asked = [("eth_getBlockReceipts", [header.hash]) for header in headers]
    try:
        return rpc.batch(asked)
    except (RpcAnswerError, NodeRefusedError) as exc:
        if isinstance(exc, NodeRefusedError) or exc.is_missing_method:
            return [_one_by_one(rpc, header) for header in headers]
        if len(headers) == 1:
            # Some nodes answer with an error where they don't have the block.
            _check_kept(rpc, headers[0])
            raise IntegrityError(f"it doesn't give the receipts of block {headers[0].number}: {exc}") from exc
        half = len(headers) // 2
        return _receipts(rpc, headers[:half]) + _receipts(rpc, headers[half:])


def _one_by_one(rpc: Rpc, header: Header) -> list[Any] | None:
    """Return a block's receipts from a node that gives each by its transaction only.

    Raises:
        IntegrityError: it doesn't give them this way either.
    """
    try:
        block = rpc.call("eth_getBlockByHash", [header.hash, False])
        if block is None:
            return None
        hashes = block["transactions"]
        return [
            receipt
            for start in range(0, len(hashes), _MANY)
            for receipt in rpc.batch(
                [("eth_getTransactionReceipt", [tx_hash]) for tx_hash in hashes[start : start + _MANY]]
            )
        ]
    except (KeyError, TypeError, RpcAnswerError) as exc:
        raise IntegrityError(
            f"it has neither eth_getBlockReceipts nor the receipts of block {header.number} one by one",
            hint="events can be proven by a node with eth_getBlockReceipts or eth_getTransactionReceipt",
        ) from exc


def _storage(rpc: Rpc, header: Header, account: str, slots: Sequence[bytes]) -> list[int]:
    # By number: not every node takes a hash here (EIP-1898). The proof is checked against this block either way.
    try:
        answer = node.proof(rpc, account, slots, at=hex(header.number))
        return proofs.check_storage(header.state_root, answer, account=account, slots=slots)
    except (RpcAnswerError, NodeRefusedError) as exc:
        if isinstance(exc, RpcAnswerError) and not exc.is_missing_method:
            _check_kept(rpc, header)
            if exc.is_pruned:
                raise pruned(rpc, f"{header.number}") from exc
            raise IntegrityError(f"it can't prove block {header.number}: {exc}") from exc
        raise UnprovableError(f"it has no eth_getProof: {exc}") from exc
    except IntegrityError:
        _check_kept(rpc, header)
        raise


def pruned(rpc: Rpc, block: str) -> ChainUnavailableError:
    """Return the error of a node that keeps no state of a block any more: it told no lie."""
    return ChainUnavailableError(
        f"the chain node at {rpc.url} doesn't keep the state of block {block} any more: it is no archive node",
        hint="ask for a newer block, or name a node that keeps older states (an archive node)",
    )


def _check_kept(rpc: Rpc, header: Header) -> None:
    """Check that a node still has a block: else what it says of the block is no lie.

    Raises:
        ReorganisedError: it has another block at this height.
        ChainUnavailableError: it doesn't come so far.
    """
    if _header_at(rpc, header.number).hash != header.hash:
        raise ReorganisedError(f"block {header.number} was replaced while it was read from {rpc.url}") from None
