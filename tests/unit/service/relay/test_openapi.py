"""The relay's OpenAPI document: its endpoints, and every refusal by its kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from panachain.service.relay.app import create_app
from panachain.service.relay.openapi import look, orders
from tests.unit.service.relay.world import running


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    with running(tmp_path) as service:
        return create_app(service, per_minute=0, wait=1, starts=False).openapi()


def test_every_endpoint_is_described(document: dict[str, Any]) -> None:
    assert set(document["paths"]) == {
        *("/v1/grant", "/v1/revoke", "/v1/evidence", "/v1/relay"),
        *("/healthz", "/readyz", "/metrics"),
    }


def test_orders_are_answered_mined_or_pending_or_refused(document: dict[str, Any]) -> None:
    assert set(orders(calls=False)) == {200, 202, 400, 401, 408, 409, 413, 422, 429, 500, 503}
    # Nobody pays with a token on the sidechain; whoever signed must be known there.
    assert set(orders(calls=True)) == set(orders(calls=False)) - {401} | {403}
    for path in ("/v1/grant", "/v1/revoke", "/v1/evidence"):
        described = document["paths"][path]["post"]["responses"]
        assert {str(status) for status in orders(calls=False)} <= set(described)
        assert "`would-revert`" in described["409"]["description"]
        assert "`budget-exhausted`" in described["503"]["description"]


def test_a_look_never_says_that_a_limit_was_reached() -> None:
    assert set(look("x", None)) == {200, 500, 503}
