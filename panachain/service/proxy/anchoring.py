"""Anchoring: a proxy puts the head of its receipt log on the mainchain at intervals, so that it can't rewrite it.

Serving never waits for it: a proxy that can't anchor says so in its log and tries again. What was anchored is also how
a proxy knows that its database is an old one: nothing is served on a log that ends before its newest anchor.
Follows docs/spec/proxy.md, section "Anchors".
"""

from __future__ import annotations

from panachain.chain.evm import Sender
from panachain.chain.mainchain import Mainchain
from panachain.errors import UnavailableError
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
        self._fits = False

    def check_log(self) -> None:
        """Check that the log holds what was anchored of it; once it does, this costs nothing.

        Raises:
            UnavailableError: it ends before, or is another one: the database was set back. A proxy that went on with it
                would sign numbers a second time, which is evidence of a fork.
            ChainUnavailableError: the chain doesn't answer.
        """
        if self._fits:
            return
        anchored, head = self._mainchain.log.anchor_of(self._sender.address)
        if anchored and self._store.hash_at(anchored) != head:
            here, _ = self._store.head()
            raise UnavailableError(
                f"the receipt log ends with receipt {here} or differs before it, and receipt {anchored} is anchored on "
                "the mainchain: this database is older than the proxy's newest one, or another's",
                hint="start it on its newest database, or have the registrar suspend the proxy and make a new one",
            )
        self._fits = True

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
