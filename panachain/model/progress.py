"""How far a long piece of work is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives progress: `done` of `total` units. Called in the thread that asked for the work.

    Examples:
        >>> def show(done: int, total: int, *, unit: str) -> None:
        ...     print(f"{done} of {total or 'many'} {unit}")
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     policy = next(one for one in doctor.inbox() if one.active)
        ...     opened = [record.info.category for record in doctor.open(policy, progress=show)]
        1 of 1 records
    """

    def __call__(self, done: int, total: int, *, unit: str) -> None:
        """Take how far the work is.

        Args:
            done: units that are done.
            total: units that there are; 0 while nobody knows.
            unit: `bytes`, `blocks`, `nodes`, `records`, `policies`, `grants`, `proxies`, `proofs` or `confirmations`; a
                piece of work may count several, each with its own total.
        """
        ...
