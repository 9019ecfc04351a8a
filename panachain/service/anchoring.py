"""Anchoring: a proxy puts the head of its receipt log on the mainchain at intervals, so that it can't rewrite it.

Serving never waits for it: a proxy that can't anchor says so in its log and tries again.
Follows docs/spec/proxy.md, section "Anchors".
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType

from panachain.chain.evm import Sender
from panachain.chain.mainchain import Mainchain
from panachain.errors import PanaChainError
from panachain.service.proxy_store import ProxyStore

_log = logging.getLogger("panachain.proxy")


class Anchoring:
    """A context in which a thread anchors the log's head, and once more at the end."""

    def __init__(self, mainchain: Mainchain, sender: Sender, store: ProxyStore, *, every: float) -> None:
        """Take what to anchor and where.

        Args:
            mainchain: with the access log.
            sender: the proxy's.
            store: its receipt log.
            every: seconds between two anchors; 0 anchors nothing.
        """
        self._mainchain = mainchain
        self._sender = sender
        self._store = store
        self._every = every
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="anchoring", daemon=True)

    def __enter__(self) -> Anchoring:
        if self._every > 0:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        if self._every > 0:
            self._thread.join(timeout=30)

    def anchor(self) -> bool:
        """Anchor the head if it has grown, and tell whether it had.

        Raises:
            PanaChainError: the chain doesn't answer, or refuses.
        """
        sequence, head = self._store.head()
        anchored, _ = self._mainchain.anchored(self._sender.address)
        if sequence <= anchored:
            return False
        signature = self._mainchain.sign_anchor(self._sender.account, sequence, head)
        self._mainchain.anchor(self._sender, self._sender.address, sequence, head, signature)
        return True

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._stopped.wait(self._every)
            try:
                self.anchor()
            except PanaChainError as exc:
                _log.warning("the receipt log can't be anchored: %s", exc)
