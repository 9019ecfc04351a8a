"""A mainchain with blocks at intervals, on which whole grants among floods are made: our registry on Anvil."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Final

from _flood_world import Granted, terms_digest

from panachain.chain import anvil, node
from panachain.chain.abi import contract
from panachain.chain.bound import BoundContract
from panachain.chain.contracts.policy_registry import PolicyRegistry
from panachain.chain.evm import Sender
from panachain.chain.rpc import Rpc
from panachain.chain.signing import Account
from panachain.model.transactions import Grant
from panachain.sdk.confirmations import POLL

CHAIN_ID: Final = 31_339
CONFIRMATIONS: Final = 1
_PAYS: Final = b"\x08" * 32
"""Key of the account that sends the grants."""


class Registry:
    """The contract of policies on a chain of its own, which makes a block each some seconds."""

    def __init__(self, folder: Path, period: int) -> None:
        """Start the chain.

        Args:
            folder: for its state.
            period: seconds between two blocks.

        Raises:
            ConfigurationError: there is no Anvil.
        """
        self._period = period
        self._chain = anvil.start(folder / "chain", chain_id=CHAIN_ID, free=False)
        self._rpc = Rpc(self._chain.url)
        try:
            account = Account(_PAYS)
            anvil.fund(self._rpc, account.address)
            self._sender = Sender(self._rpc, CHAIN_ID, account, lock_folder=folder / "nonces")
            made = self._sender.send(None, contract("PolicyRegistry").creation(), what="the registry").contract
            self._policies = PolicyRegistry(BoundContract(self._rpc, "PolicyRegistry", str(made), chain_id=CHAIN_ID))
            anvil.mine_at_once(self._rpc, False)
            anvil.mine_every(self._rpc, period)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the chain."""
        with closing(self._rpc):
            anvil.stop(self._chain.pid)

    def await_middle(self) -> None:
        """Wait for the middle between two blocks, so that each grant waits for its block for as long."""
        newest = node.block_number(self._rpc)
        while node.block_number(self._rpc) == newest:
            time.sleep(0.01)
        time.sleep(self._period / 2)

    def grant(self, policy: Granted) -> None:
        """Sign a grant, send it, and wait until it is as deep in the chain as proxies want it."""
        terms = policy.terms
        grant = Grant(
            owner=terms.policy_id,
            starts_at=terms.starts_at,
            expires_at=terms.expires_at,
            deadline=int(time.time()) + 3600,
            terms=terms_digest(terms.policy_id),
        )
        signature = self._policies.sign_grant(policy.account, grant)
        self._policies.grant_by_signature(self._sender, grant, signature)
        while not self._policies.is_confirmed(terms.policy_id, CONFIRMATIONS):
            time.sleep(POLL)
