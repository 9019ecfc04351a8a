"""The proxy's OpenAPI document: every endpoint, every reference resolved, every refusal that it may make."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from panachain.service import problems
from panachain.service.proxy.app import create_app
from panachain.service.proxy.openapi import operation
from tests.unit.service.proxy_world import ProxyWorld


@pytest.fixture
def document(tmp_path: Path) -> Iterator[dict[str, Any]]:
    world = ProxyWorld(tmp_path, count=1)
    yield create_app(world.services[0]).openapi()
    world.close()


def test_every_endpoint_is_described(document: dict[str, Any]) -> None:
    assert set(document["paths"]) == {
        *("/v1/deposit", "/v1/reencrypt", "/v1/revoke", "/v1/delete", "/v1/receipts", "/v1/head"),
        *("/v1/proof", "/v1/witness/add-checkpoint", "/v1/log/checkpoint", "/v1/log/tile/{level}/{rest}"),
        *("/healthz", "/readyz", "/metrics"),
    }


def test_every_reference_resolves_and_every_schema_is_used(document: dict[str, Any]) -> None:
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert named == set(document["components"]["schemas"])


def test_an_unknown_path_has_no_description() -> None:
    with pytest.raises(KeyError):
        operation("/v1/nothing")


def test_rules_are_told_where_they_are_checked_and_nowhere_else(document: dict[str, Any]) -> None:
    telling = {path for path, methods in document["paths"].items() if problems.REVOKED.slug in json.dumps(methods)}
    assert telling == {"/v1/deposit", "/v1/reencrypt"}
