"""How far a long piece of work is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives progress: `done` of `total` units. Called in the thread that asked for the work."""

    def __call__(self, done: int, total: int, *, unit: str) -> None:
        """Take how far the work is.

        Args:
            done: units that are done.
            total: units that there are; 0 while nobody knows.
            unit: `bytes`, `blocks` or `records`; a piece of work may count several, each with its own total.
        """
        ...
