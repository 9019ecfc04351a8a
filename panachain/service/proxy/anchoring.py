"""Anchoring: a proxy puts the head of its receipt log on the mainchain at intervals, so that it can't rewrite it.

Serving never waits for it: a proxy that can't anchor says so in its log and tries again. What else is due at intervals
is done before, so that its receipts are anchored too.
Follows docs/spec/proxy.md, section "Anchors".
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType

from panachain.chain.evm import Sender
from panachain.chain.mainchain import Mainchain
from panachain.errors import PanaChainError
from panachain.service.proxy.store import ProxyStore

_log = logging.getLogger("panachain.proxy")


class Anchoring:
    """A context in which a thread anchors the log's head."""

    def __init__(
        self,
        mainchain: Mainchain,
        sender: Sender,
        store: ProxyStore,
        *,
        every: float,
        also: Callable[[], object] = lambda: None,
        at_end: bool = True,
    ) -> None:
        """Take what to anchor and where.

        Args:
            mainchain: with the access log.
            sender: the proxy's.
            store: its receipt log.
            every: seconds between two anchors; 0 anchors nothing.
            also: what is done before each anchor; may raise PanaChainError.
            at_end: anchor once more at the end; False where somebody else does.
        """
        self._mainchain = mainchain
        self._sender = sender
        self._store = store
        self._every = every
        self._also = also
        self._at_end = at_end
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
        anchored, _ = self._mainchain.log.anchor_of(self._sender.address)
        if sequence <= anchored:
            return False
        signature = self._mainchain.log.sign_anchor(self._sender.account, sequence, head)
        self._mainchain.log.anchor(self._sender, self._sender.address, sequence, head, signature)
        return True

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._stopped.wait(self._every)
            if ended and not self._at_end:
                return
            for duty, what in (
                (self._also, "what is over can't be deleted"),
                (self.anchor, "the log can't be anchored"),
            ):
                try:
                    duty()
                except PanaChainError as exc:
                    _log.warning("%s: %s", what, exc)
