"""Witnessing: a proxy asks the network's other proxies to cosign its log, so that it can't show two of them.

Serving never waits for it. All are asked at once, and for so long only: a witness that is slow or down costs its
cosignature and nothing else; one that knows a longer log than this one says so, and the log tells of it.
Follows docs/spec/log.md, section "Witnesses", and C2SP tlog-witness.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from panachain.errors import PanaChainError, UnavailableError
from panachain.model.actors import Actor, Address, Status
from panachain.proxy.client import Channels, read_bytes
from panachain.service.proxy.log import ProxyLog

_PATH: Final = "/v1/witness/add-checkpoint"
_CONFLICT: Final = 409
_PATIENCE: Final = 5.0
"""Seconds that one witness may take for an answer."""
_ALTOGETHER: Final = 12.0
"""Seconds that all of them may take: two answers of each, and a little. Then the log is anchored without the rest."""
_AT_ONCE: Final = 16
"""Witnesses that are asked at once."""
_DIGITS: Final = 16
_log = logging.getLogger("panachain.proxy")


class Witnessing:
    """Has one proxy's log cosigned."""

    def __init__(
        self,
        log: ProxyLog,
        find: Callable[[], Iterable[Actor]],
        channels: Channels,
        *,
        altogether: float = _ALTOGETHER,
    ) -> None:
        """Take the log, what gives the network's proxies, connections to them, and seconds that all may take."""
        self._altogether = altogether
        self._log = log
        self._find = find
        self._channels = channels
        self._known: dict[Address, int] = {}
        """What each witness cosigned last, as far as this process knows."""

    def close(self) -> None:
        """Close all connections."""
        self._channels.close()

    def gather(self) -> int:
        """Have the others cosign the log as it is now, and return how many did.

        Raises:
            PanaChainError: the chain or the database doesn't answer.
        """
        own = self._log.address
        others = [one for one in self._find() if one.status is Status.ACTIVE and one.address != own and one.endpoint]
        return self._log.gather(lambda question: self._asked(others, question))

    def _asked(self, others: Sequence[Actor], question: Callable[[int], str]) -> Iterable[str]:
        """Yield what each of them answers, as it comes; the others' cosignatures count without one that doesn't."""
        waiting, done = deque(others), queue.SimpleQueue[tuple[Actor, str | PanaChainError]]()

        def work() -> None:
            while True:
                try:
                    witness = waiting.popleft()
                except IndexError:
                    return
                try:
                    done.put((witness, self._ask(witness, question)))
                except PanaChainError as exc:
                    done.put((witness, exc))
                except Exception as exc:  # noqa: BLE001
                    # A thread's last frame: whoever waits must hear of the fault.
                    done.put((witness, UnavailableError(f"failed: {type(exc).__name__}")))

        for _ in range(min(_AT_ONCE, len(others))):
            # Daemons: nobody waits for a witness that hangs, not even the end of the process.
            threading.Thread(target=work, name="ask a witness", daemon=True).start()
        until, silent = time.monotonic() + self._altogether, {one.address: one for one in others}
        while silent:
            try:
                witness, said = done.get(timeout=max(until - time.monotonic(), 0))
            except queue.Empty:
                break
            del silent[witness.address]
            if isinstance(said, str):
                yield said
            else:
                _log.warning("proxy %s doesn't cosign the log: %s", witness.address, said)
        # Nobody who wasn't asked yet is asked about a log that has grown by then.
        waiting.clear()
        for address in silent:
            _log.warning("proxy %s doesn't cosign the log: no answer in time", address)

    def _ask(self, witness: Actor, question: Callable[[int], str]) -> str:
        known = self._known.get(witness.address, 0)
        for _ in range(2):
            text = question(known)
            reply = self._channels.post_text(witness.endpoint, _PATH, text, timeout=_PATIENCE)
            if reply.status != _CONFLICT:
                break
            said = reply.content[:_DIGITS].strip()
            known = int(said) if said.isdigit() else 0
        if reply.status == _CONFLICT:
            raise UnavailableError(f"it knows the log with {known} receipts, which was cosigned meanwhile")
        lines = read_bytes(reply).decode("utf-8", "replace")
        # The question's own size: the next one begins there.
        self._known[witness.address] = int(text.partition("\n\n")[2].split("\n")[1])
        return lines
