"""A request's number."""

from __future__ import annotations

from panachain.sdk.results.requests import RequestReport, number_of


def test_a_request_stands_for_its_number() -> None:
    assert [number_of(one) for one in (7, RequestReport(7))] == [7, 7]
