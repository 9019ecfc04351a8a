"""A block of a chain, as far as anybody needs it: where it stands, which one it is, and when.

Apart from what stands in blocks (`model/transactions.py`), because every command reads blocks and few read all those.
Follows design section 6.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """A block's head."""

    number: int
    hash: str
    time: int
    """Unix seconds."""
