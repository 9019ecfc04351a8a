"""What takes long: how far it is, and how it ended. A page shows it; nothing here touches a chain or a store.

Written by the thread that works, read by the one that answers pages: each field is replaced whole.
Follows docs/spec/portal.md, section "Work that takes long".
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from panachain.errors import PanaChainError, PartlyDoneError, UsageError

_KEPT: Final = 32
"""Pieces of work whose outcome is kept; the oldest that has ended goes first."""
_RESULTS: Final = 2
"""Outcomes of one kind of work that are kept once they were shown: some hold all that was read."""
_WAITING: Final = 8
"""That may wait or run at once."""


@dataclass(frozen=True)
class Count:
    """How many units of a stage are done."""

    unit: str
    done: int
    total: int
    """0 while nobody knows."""


@dataclass(frozen=True)
class Stage:
    """One step of the work."""

    text: str
    counts: tuple[Count, ...] = ()
    over: bool = False


class JobProgress:
    """Takes progress as the SDK tells it (`model.progress.Progress`), and names of stages."""

    def __init__(self, job: Job) -> None:
        """Take the job; its `progress` is one."""
        self._job = job

    def __call__(self, done: int, total: int, *, unit: str) -> None:
        """Take how far the work is."""
        *before, last = self._job.stages or (Stage(""),)
        counts = {count.unit: count for count in last.counts} | {unit: Count(unit, done, total)}
        self._job.stages = (*before, Stage(last.text, tuple(counts.values())))

    def stage(self, text: str) -> None:
        """Begin another stage: those before it are over."""
        self._job.stages = (*self._over(), Stage(text))

    def end(self) -> None:
        """Note that the last stage is over, too."""
        self._job.stages = self._over()

    def _over(self) -> tuple[Stage, ...]:
        return tuple(Stage(stage.text, stage.counts, over=True) for stage in self._job.stages)


@dataclass
class Job:
    """One piece of work."""

    name: str
    title: str
    template: str
    """Shows the outcome."""
    left: str = ""
    """Which state a failure leaves, in a sentence."""
    context: Mapping[str, Any] = field(default_factory=dict)
    stages: tuple[Stage, ...] = ()
    result: Any = None
    error: PanaChainError | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    is_shown: bool = False
    """Whether somebody saw its outcome."""
    is_dropped: bool = False
    """Whether its outcome isn't kept any more."""

    @property
    def progress(self) -> JobProgress:
        """What the work tells how far it is."""
        return JobProgress(self)

    @property
    def running(self) -> bool:
        """Whether it hasn't ended yet; it may still wait for another one."""
        return not self.ended.is_set()

    def finish(self, result: Any) -> None:
        """Note that it is done."""
        self.result = result
        self.progress.end()
        self.ended.set()

    def drop(self) -> None:
        """Forget what came of it."""
        self.result, self.error, self.context, self.is_dropped = None, None, {}, True

    def fail(self, error: PanaChainError) -> None:
        """Note that it failed, or was done in part."""
        self.error = error
        if isinstance(error, PartlyDoneError):
            self.result = error.result
        self.ended.set()


class Jobs:
    """Those of one seat."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Job] = OrderedDict()

    @property
    def running(self) -> list[Job]:
        """Those that haven't ended, oldest first."""
        return [job for job in list(self._known.values()) if job.running]

    def check_room(self) -> None:
        """Check that another piece of work can be entered.

        Raises:
            UsageError: too many wait already.
        """
        if len(self.running) >= _WAITING:
            raise UsageError(f"{_WAITING} pieces of work wait already; nothing was begun", hint="wait until one ends")

    def add(self, title: str, *, template: str, left: str = "", context: Mapping[str, Any] | None = None) -> Job:
        """Enter a piece of work.

        Raises:
            UsageError: too many wait already.
        """
        self.check_room()
        job = Job(secrets.token_urlsafe(12), title, template, left, context or {})
        of_kind = [one for one in self._known.values() if one.template == template and not one.running]
        # What somebody saw goes first; what nobody looked at yet isn't kept without end, either.
        for ones, most in (([one for one in of_kind if one.is_shown], _RESULTS), (of_kind, _WAITING)):
            for one in ones[: max(0, len(ones) - most + 1)]:
                one.drop()
        self._known[job.name] = job
        ended = [name for name, one in self._known.items() if not one.running]
        for name in ended[: max(0, len(self._known) - _KEPT)]:
            del self._known[name]
        return job

    def get(self, name: str) -> Job | None:
        """Return what has this name, or None."""
        return self._known.get(name)

    def latest(self) -> list[Job]:
        """Return all that are known, the newest first."""
        return list(reversed(list(self._known.values())))

    def drop(self) -> None:
        """Forget what came of all that has ended; what runs is known until its end."""
        for job in list(self._known.values()):
            if not job.running:
                job.drop()

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()
