"""The audit of the contracts, run beside the other tests: started first, asked last, so that both cores have work."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from scripts import audit_contracts

PARTS: Final = ("fuzz", "prove", "findings", "coverage")
_runs: dict[str, Future[Any]] = {}


def start() -> None:
    """Begin all parts, one after the other; a second call changes nothing."""
    if _runs or audit_contracts.missing():
        return
    pool = ThreadPoolExecutor(1, thread_name_prefix="audit")
    _runs.update((part, pool.submit(getattr(audit_contracts, part))) for part in PARTS)
    pool.shutdown(wait=False)


def result(part: str) -> Any:
    """Wait for one part's result."""
    start()
    return _runs[part].result(timeout=1200)
