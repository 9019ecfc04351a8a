"""Metrics of a proxy in Prometheus' text format, added up over its worker processes.

No label names a person, a policy or a lane. Follows the Prometheus exposition format 0.0.4 and docs/spec/proxy.md,
section "Metrics".
"""

from __future__ import annotations

import os
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Where prometheus-client keeps what several processes count; run.py sets it before this file is imported."""
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """What one process counts."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "panachain_proxy_requests",
            "Requests by endpoint and outcome: `ok`, or the slug of the problem.",
            ("endpoint", "outcome"),
            registry=self._registry,
        )
        self.seconds = Histogram(
            "panachain_proxy_request_seconds",
            "Seconds from a request's arrival to its answer.",
            ("endpoint",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.cfrags = Counter(
            "panachain_proxy_cfrags", "cfrags made, verified and handed out.", registry=self._registry
        )

    def text(self, sequence: int, head_age: int | None) -> bytes:
        """Return all metrics.

        Args:
            sequence: receipts in the log.
            head_age: seconds since the mainchain's newest block; None when that is unknown.
        """
        gauges = [("panachain_proxy_log_sequence", "Receipts in the log.", float(sequence))]
        if head_age is not None:
            gauges.append(("panachain_proxy_head_age_seconds", "Age of the mainchain's head.", float(head_age)))
        lines = [f"# HELP {name} {text}\n# TYPE {name} gauge\n{name} {value}\n" for name, text, value in gauges]
        return self._counted() + "".join(lines).encode()

    def _counted(self) -> bytes:
        if _FOLDER not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
