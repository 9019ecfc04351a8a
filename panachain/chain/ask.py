"""Ask several nodes at once: whoever is slow or down keeps nobody waiting once enough have answered.

It decides nothing: what is a good answer, the caller says by raising an error of ours.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from panachain.chain.rpc import Rpc
from panachain.errors import ChainUnavailableError, PanaChainError

GRACE: Final = 1.0
"""Seconds that the others get after enough nodes have answered."""
T = TypeVar("T")


@dataclass
class Answer(Generic[T]):
    """What nodes answered, in the nodes' order."""

    good: list[tuple[Rpc, T]] = field(default_factory=list)
    bad: list[tuple[Rpc, PanaChainError]] = field(default_factory=list)


def ask_all(
    nodes: Sequence[Rpc],
    ask: Callable[[Rpc], T],
    *,
    needed: int,
    grace: float = GRACE,
    late: Collection[str] = (),
) -> Answer[T]:
    """Ask nodes at once, and return what they answered.

    Args:
        nodes: whom.
        ask: what; it takes a bounded time, and its errors of ours are answers, too.
        needed: so many good answers are enough: the others then get `grace` seconds.
        grace: seconds.
        late: URLs of nodes that gave no good answer lately: they are asked too, and get no such seconds.
    """
    # Without a thread where there is nothing to do at once: most networks have one node.
    if len(nodes) <= min(needed, 1):
        return _sorted(nodes, [_one(place, rpc, ask) for place, rpc in enumerate(nodes)])
    done: queue.SimpleQueue[tuple[int, T | None, BaseException | None]] = queue.SimpleQueue()
    for place, rpc in enumerate(nodes):
        # Daemons: a node that doesn't answer must not hold up the end of the program.
        threading.Thread(target=lambda place=place, rpc=rpc: done.put(_one(place, rpc, ask)), daemon=True).start()
    found: list[tuple[int, T | None, BaseException | None]] = []
    until = time.monotonic() + grace if needed <= 0 else None
    punctual = {place for place, rpc in enumerate(nodes) if rpc.url not in late}
    while len(found) < len(nodes):
        # The others have had as long as the slowest of these took.
        if until is not None and punctual <= {place for place, _, _ in found}:
            until = time.monotonic()
        try:
            found.append(done.get(timeout=None if until is None else max(until - time.monotonic(), 0)))
        except queue.Empty:
            break
        if until is None and sum(error is None for _, _, error in found) >= needed:
            until = time.monotonic() + grace
    return _sorted(nodes, found)


def _one(place: int, rpc: Rpc, ask: Callable[[Rpc], T]) -> tuple[int, T | None, BaseException | None]:
    try:
        return place, ask(rpc), None
    except BaseException as exc:  # noqa: BLE001
        # Raised again where it was asked, unless it is an error of ours.
        return place, None, exc


def _sorted(nodes: Sequence[Rpc], found: Sequence[tuple[int, T | None, BaseException | None]]) -> Answer[T]:
    answer: Answer[T] = Answer()
    by_place = {place: (result, error) for place, result, error in found}
    for place, rpc in enumerate(nodes):
        if place not in by_place:
            answer.bad.append(
                (rpc, ChainUnavailableError(f"the chain node at {rpc.url} answers more slowly than others"))
            )
            continue
        result, error = by_place[place]
        if error is None:
            answer.good.append((rpc, result))  # type: ignore[arg-type]
        elif isinstance(error, PanaChainError):
            answer.bad.append((rpc, error))
        else:
            raise error
    return answer
