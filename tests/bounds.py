"""How long a piece of work may take, in processor time, so that what others do on the same machine doesn't count.

Bounds are for what would hang; no test asserts how fast something is (`scripts/check_clocks.py` holds that).
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TookTooLongError(BaseException):
    """A piece of work took more processor time than it may; no handler of ordinary errors catches this."""


@contextmanager
def processor_time(seconds: float) -> Iterator[None]:
    """End a block that takes more seconds of this process's time than that. For the main thread only.

    Raises:
        TookTooLongError: inside the block, at whatever it is doing then.
    """

    def stop(_: int, __: FrameType | None) -> None:
        raise TookTooLongError(f"more than {seconds:g} seconds of processor time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
