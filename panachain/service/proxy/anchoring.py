"""Anchoring: a proxy puts the head of its receipt log on the mainchain at intervals, so that it can't rewrite it.

Serving never waits for it: a proxy that can't anchor says so in its log and tries again.
Follows docs/spec/proxy.md, section "Anchors".
"""

from __future__ import annotations

from panachain.chain.evm import Sender
from panachain.chain.mainchain import Mainchain
from panachain.service.proxy.store import ProxyStore


class Anchoring:
    """Anchors the head of one proxy's receipt log."""

    def __init__(self, mainchain: Mainchain, sender: Sender, store: ProxyStore) -> None:
        """Take what to anchor and where.

        Args:
            mainchain: with the access log.
            sender: the proxy's.
            store: its receipt log.
        """
        self._mainchain = mainchain
        self._sender = sender
        self._store = store

    def anchor(self) -> bool:
        """Anchor the head if it has grown, and tell whether it had.

        Raises:
            PanaChainError: the chain doesn't answer, or refuses.
        """
        sequence, head = self._store.head()
        anchored, _ = self._mainchain.log.anchor_of(self._sender.address)
        if sequence <= anchored:
            return False
        signature = self._mainchain.log.sign_anchor(self._sender.account, sequence, head)
        self._mainchain.log.anchor(self._sender, self._sender.address, sequence, head, signature)
        return True
