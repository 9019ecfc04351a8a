"""The actors of the mainchain's registry, followed block by block: each look reads what is new, and no more.

Never keeps what a reorganisation took away: what is built on is the state at a block that is deep, and whose hash is
still the chain's; else everything is read anew. Follows docs/spec/gate.md, section "Who may pass".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from panachain.chain.contracts.actor_registry import actors_after
from panachain.chain.mainchain import Mainchain
from panachain.errors import ChainUnavailableError
from panachain.model.actors import Actor
from panachain.model.transactions import Block

DEPTH: Final = 64
"""Blocks that are read again at each look: a node may show their logs late, and reorganisations seldom go deeper."""
_RENEW: Final = 600.0
"""Seconds after which all is read anew, so that what a node once left out isn't left out for ever."""


@dataclass(frozen=True)
class _State:
    """The registry after one block."""

    block: Block
    actors: Mapping[str, Actor] = field(repr=False)


class FollowedActors:
    """The registry as one thread follows it."""

    def __init__(
        self, mainchain: Mainchain, *, depth: int = DEPTH, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the chain.

        Args:
            mainchain: with the registry.
            depth: blocks that are read again at each look.
            clock: seconds.
        """
        self._mainchain = mainchain
        self._depth = depth
        self._clock = clock
        self._base: _State | None = None
        self._renewed = clock()

    def actors(self) -> list[Actor]:
        """Return the actors in the order of their registration, with their status at the newest block.

        Raises:
            ChainUnavailableError: the node doesn't answer, or the chain changed while it was read.
            IntegrityError: the node's answers don't fit each other; the next look reads everything anew.
        """
        head = self._mainchain.head_block()
        base = self._valid_base(head)
        # The base comes back only if all goes well below.
        self._base = None
        start = self._mainchain.from_block if base is None else base.block.number + 1
        deep = head.number - self._depth
        # The base moves seldom: as long as little lies between, reading it again costs less.
        deepest = self._mainchain.block(deep) if deep - start >= self._depth else None
        events = list(self._mainchain.actors.events(from_block=start, to_block=head.number))
        # If the head is still the chain's, the blocks below it were so all the time between.
        if self._mainchain.block(head.number).hash != head.hash:
            raise ChainUnavailableError("the mainchain was reorganised while its registry was read")
        known: Mapping[str, Actor] = {} if base is None else base.actors
        if deepest is not None:
            base = _State(deepest, actors_after(known, (event for event in events if event.block <= deep)))
        actors = actors_after(known, events)
        self._base = base
        return list(actors.values())

    def _valid_base(self, head: Block) -> _State | None:
        """Return the state to build on, or None where everything is to be read."""
        base, now = self._base, self._clock()
        if base is None or now >= self._renewed + _RENEW:
            self._renewed = now
            return None
        number = base.block.number
        return base if number <= head.number and self._mainchain.block(number).hash == base.block.hash else None
