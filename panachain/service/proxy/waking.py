"""A chain that makes no empty blocks is asked for one: an old head may hide what came since, or nothing came.

No clock and no node can tell the two apart. A transaction of the proxy's own can: an idle chain mines it, a chain that
stands still doesn't, and a node that shows old heads shows no block with it. So an old head stays no reason to serve;
the proxy makes a new one, or serves nobody.
Follows security rules 3 and 19, and ADR 21.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from panachain.chain import node
from panachain.chain.evm import Sender
from panachain.chain.rpc import Rpc
from panachain.errors import PanaChainError

PATIENCE: Final = 5.0
"""Seconds that a request waits for the block: a chain that mines on demand takes less than one."""
_PAUSE: Final = 30.0
"""Seconds after an attempt that came to nothing, in which nobody tries again."""
_log = logging.getLogger("panachain.proxy")


class Waking:
    """Has a chain make a block, one attempt at a time; several threads may ask."""

    def __init__(self, rpc: Rpc, sender: Sender, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take the mainchain's node, and the proxy's account, which pays 21,000 gas for each block."""
        self._rpc = rpc
        self._sender = sender
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._running: threading.Thread | None = None
        self._not_before = 0.0
        self.said = ""
        """Why the newest attempt came to nothing, for messages."""

    def wake(self) -> None:
        """Wait until a transaction of this account is mined, but for `PATIENCE` seconds at most.

        Raises nothing: whoever asks looks at the head again, and judges by that alone.
        """
        with self._lock:
            if self._running is None or not self._running.is_alive():
                if self._monotonic() < self._not_before:
                    return
                # A daemon: a chain that stands still must not hold up the end of the process.
                self._running = threading.Thread(target=self._try, name="waking", daemon=True)
                self._running.start()
            running = self._running
        running.join(PATIENCE)

    def _try(self) -> None:
        try:
            # What waits already will be that block, or the chain stands still: nothing is piled up there.
            if not node.waiting_count(self._rpc, self._sender.address):
                self._sender.send(self._sender.address, "0x", what="a block that shows the mainchain's head to be new")
            self.said = ""
        except PanaChainError as exc:
            self.said = str(exc)
            self._not_before = self._monotonic() + _PAUSE
            _log.warning("the mainchain's head is old, and it made no new block for this proxy: %s", exc)
