"""An in-memory twin of the SDK's actors, for the tests of the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from panachain.sdk.results.listings import Listing


@dataclass
class Outcome:
    """What one run of the command line gave."""

    code: int
    out: str
    err: str


@dataclass
class Twin:
    """Stands in for Patient, Hospital, …: answers what a test sets, and keeps what it was asked."""

    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    emergency: Any = field(default_factory=lambda: SimpleNamespace(all=list))
    """Nobody broke the glass."""
    auditing: Any = field(default_factory=lambda: SimpleNamespace(named=lambda found, **_: Listing(found)))
    """No registry has anything to add."""
    wards: Any = field(default_factory=lambda: SimpleNamespace(all=list))
    """Nobody is under care."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def method(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, args, kwargs))
            answer = self.answers.get(name)
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return method
