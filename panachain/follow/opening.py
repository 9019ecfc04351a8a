"""Where the copy of a described chain lies, and a follower over it.

Never asks a node by itself. Follows docs/spec/follower.md (section "Where").
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from panachain.chain.config import ChainConfig
from panachain.chain.nodes import Nodes
from panachain.follow.follower import Follower
from panachain.model.progress import Progress

FOLDER: Final = "follow"
"""Name of the folder that holds the copies."""


def following(config: ChainConfig, folder: Path, *, progress: Progress | None = None) -> Callable[[Nodes], Follower]:
    """Return what makes the follower of a chain, given its nodes; `Contracts.connect` takes it.

    Args:
        config: the chain and its contracts.
        folder: where the SQLite file lies, if the description names no database.
        progress: is told the blocks, while a long sync runs.
    """
    where: Path | str = config.copy or folder / FOLDER / f"{config.chain_id}-{_name(config)}.db"

    def made(nodes: Nodes) -> Follower:
        return Follower(
            nodes,
            where,
            chain_id=config.chain_id,
            addresses=config.contracts,
            from_block=config.from_block,
            progress=progress,
        )

    return made


def _name(config: ChainConfig) -> str:
    """Return what tells a deployment from others on chains with the same ID: local ones all have the same."""
    text = f"{config.from_block}," + ",".join(sorted(address.lower() for address in config.contracts.values()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
