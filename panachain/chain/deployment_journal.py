"""A deployment's journal: what was planned and every transaction that was signed, on disk before it is sent.

Never holds a key: signed transactions can only be sent again. Follows docs/spec/network.md, section "Deployment".
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from panachain.chain.plan import Plan
from panachain.errors import ConfigurationError, UsageError
from panachain.private_files import make_private_folder, write_private

SCHEMA: Final = "panachain/deployment/1"


@dataclass(frozen=True)
class Begun:
    """Where one chain's deployment began."""

    chain_id: int
    deployer: str
    first: int
    """The nonce of the first transaction."""
    block: int
    """The newest block then: nothing of the deployment is older."""
    block_hash: str


class Journal:
    """What was planned and sent on both chains; without a path it is in memory only."""

    def __init__(self, path: Path | None = None) -> None:
        """Read what an earlier run left.

        Raises:
            ConfigurationError: the file can't be read as a journal.
        """
        self._path = path
        self._lock = threading.Lock()
        self._chains: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            try:
                content = json.loads(path.read_bytes())
                if content["schema"] != SCHEMA:
                    raise ValueError(content["schema"])
                self._chains = content["chains"]
                for chain in self._chains:
                    self.begun(chain)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
                raise ConfigurationError(f"{path} can't be read as a deployment's journal") from exc

    def begun(self, chain: str) -> Begun | None:
        """Return where a chain's deployment began, or None if it didn't."""
        if chain not in self._chains:
            return None
        found = self._chains[chain]
        return Begun(
            int(found["chainId"]),
            str(found["deployer"]),
            int(found["first"]),
            int(found["block"]),
            str(found["blockHash"]),
        )

    def begin(self, chain: str, begun: Begun, plan: Plan) -> ChainJournal:
        """Write down what is going to be sent, or compare it with what an earlier run was going to send.

        Raises:
            UsageError: the earlier run deployed something else.
        """
        with self._lock:
            found = self._chains.setdefault(
                chain,
                {
                    "chainId": begun.chain_id,
                    "deployer": begun.deployer,
                    "first": begun.first,
                    "block": begun.block,
                    "blockHash": begun.block_hash,
                    "plan": plan.digest,
                    "sent": {},
                },
            )
            if found["plan"] != plan.digest:
                raise UsageError(
                    f"{self._path} is the journal of another deployment on the {chain}: other people in charge, another"
                    " account, or another version of the contracts",
                    hint="repeat what was asked for then, or begin anew with --anew, which pays again",
                )
            self._write()
        return ChainJournal(self, chain)

    def sent(self, chain: str, nonce: int) -> list[tuple[str, str]]:
        """Return hash and raw of each transaction that was signed for a nonce, oldest first."""
        with self._lock:
            return [(str(tx_hash), str(raw)) for tx_hash, raw in self._chains[chain]["sent"].get(str(nonce), [])]

    def signed(self, chain: str, nonce: int, tx_hash: str, raw: str) -> None:
        """Write a signed transaction down."""
        with self._lock:
            self._chains[chain]["sent"].setdefault(str(nonce), []).append([tx_hash, raw])
            self._write()

    def _write(self) -> None:
        if self._path is not None:
            make_private_folder(self._path.parent)
            content = {"schema": SCHEMA, "chains": self._chains}
            write_private(self._path, json.dumps(content, indent=1).encode())


class ChainJournal:
    """One chain's part of a journal, as a series of transactions wants it."""

    def __init__(self, journal: Journal, chain: str) -> None:
        """Take the journal and the chain's name."""
        self._journal, self._chain = journal, chain

    def sent(self, nonce: int) -> list[tuple[str, str]]:
        """Return hash and raw of each transaction that was signed for a nonce, oldest first."""
        return self._journal.sent(self._chain, nonce)

    def signed(self, nonce: int, tx_hash: str, raw: str) -> None:
        """Write a signed transaction down."""
        self._journal.signed(self._chain, nonce, tx_hash, raw)
