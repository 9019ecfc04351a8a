"""Metrics in Prometheus' text format: what was counted, and a gauge only where its value is known."""

from __future__ import annotations

from panachain.service.proxy.metrics import Metrics


def lines(text: bytes) -> list[str]:
    return [line for line in text.decode().splitlines() if not line.startswith("#")]


def test_what_was_counted_is_told_by_endpoint_and_outcome() -> None:
    metrics = Metrics()
    metrics.requests.labels("/v1/reencrypt", "ok").inc()
    metrics.requests.labels("/v1/reencrypt", "policy-revoked").inc(2)
    metrics.cfrags.inc(1000)
    told = lines(metrics.text(7, 12))
    assert 'panachain_proxy_requests_total{endpoint="/v1/reencrypt",outcome="ok"} 1.0' in told
    assert 'panachain_proxy_requests_total{endpoint="/v1/reencrypt",outcome="policy-revoked"} 2.0' in told
    assert "panachain_proxy_cfrags_total 1000.0" in told
    assert "panachain_proxy_log_sequence 7.0" in told
    assert "panachain_proxy_head_age_seconds 12.0" in told


def test_an_unknown_age_of_the_head_is_no_gauge() -> None:
    told = lines(Metrics().text(0, None))
    assert "panachain_proxy_log_sequence 0.0" in told
    assert not any("head_age" in line for line in told)


def test_two_processes_objects_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.cfrags.inc(3)
    assert "panachain_proxy_cfrags_total 0.0" in lines(second.text(0, None))
