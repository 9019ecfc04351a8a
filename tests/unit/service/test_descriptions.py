"""Whatever is sent to proxy, relay or gate, the answer is one that their description names.

Signed statements can't be guessed: what is tested is that nothing but a described answer ever comes, to what fits the
description and to what doesn't. `PANACHAIN_FAULTS=long` takes three times as many examples.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings

from panachain.chain.access import SCHEME, GateDomain, NodeKey
from panachain.service import problems
from panachain.service.gate.app import REFUSAL, GateEndpoint
from panachain.service.gate.app import create_app as create_gate
from panachain.service.gate.rules import Rules
from panachain.service.gate.service import Admitted, AuditLog, Gate, Nonces
from panachain.service.proxy import app as proxy_app
from panachain.service.proxy.app import Limits
from panachain.service.relay import app as relay_app
from panachain.service.relay.service import BUDGET, WOULD_REVERT, Budget, RelayService
from panachain.service.relay.store import RelayStore
from tests.unit.service.proxy_world import ProxyWorld
from tests.unit.service.relay.world import TwinMainchain, TwinSender

EXAMPLES = 300 if os.environ.get("PANACHAIN_FAULTS") == "long" else 20
"""For each call, in the long runs."""
many = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
few = settings(many, max_examples=10)
# Not every body of the described form is served, and a server of ASGI may refuse a method by itself.
EXCLUDED = [schemathesis.checks.positive_data_acceptance, schemathesis.checks.unsupported_method]
CHAIN = 31_338
CONTRACT = "0x" + "11" * 20
URL = "http://testserver"


class TestProxy:
    @pytest.fixture(scope="class")
    def app(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
        world = ProxyWorld(tmp_path_factory.mktemp("proxy"), count=2)
        world.grant()
        yield proxy_app.create_app(world.services[0], Limits(address_rate=0))
        world.close()

    @pytest.fixture
    def api(self, app: FastAPI) -> Any:
        return schemathesis.openapi.from_asgi("/openapi.json", app)

    @schemathesis.pytest.from_fixture("api").parametrize()
    @few
    def test_every_answer_is_as_described(self, case: Any) -> None:
        case.call_and_validate(excluded_checks=EXCLUDED)

    @pytest.mark.deep
    @schemathesis.pytest.from_fixture("api").parametrize()
    @many
    def test_every_answer_is_as_described_in_many_cases(self, case: Any) -> None:
        case.call_and_validate(excluded_checks=EXCLUDED)

    def test_description_names_each_request_and_problem(self, app: FastAPI) -> None:
        text = json.dumps(app.openapi())
        missing = [kind.slug for kind in problems.KINDS if f"`{kind.slug}`" not in text]
        assert missing == ["method-not-allowed"]
        assert text.count("$ref") > 40


class TestRelay:
    @pytest.fixture(scope="class")
    def service(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayService]:
        store = RelayStore(tmp_path_factory.mktemp("relay") / "relay.sqlite")
        sender: Any = TwinSender()
        service = RelayService(TwinMainchain(), sender, store, Budget(10**9, 10**6))
        service.start()
        yield service
        service.stop()
        store.close()

    @pytest.fixture(scope="class")
    def app(self, service: RelayService) -> FastAPI:
        return relay_app.create_app(service, per_minute=0, wait=5, starts=False)

    @pytest.fixture
    def api(self, app: FastAPI) -> Any:
        return schemathesis.openapi.from_asgi("/openapi.json", app)

    @schemathesis.pytest.from_fixture("api").parametrize()
    @few
    def test_every_answer_is_as_described(self, case: Any) -> None:
        case.call_and_validate(excluded_checks=EXCLUDED)

    @pytest.mark.deep
    @schemathesis.pytest.from_fixture("api").parametrize()
    @many
    def test_every_answer_is_as_described_in_many_cases(self, case: Any) -> None:
        case.call_and_validate(excluded_checks=EXCLUDED)

    def test_description_names_each_problem(self, app: FastAPI) -> None:
        text = json.dumps(app.openapi())
        kinds = (WOULD_REVERT, BUDGET, problems.RATE, problems.UNAVAILABLE, problems.INVALID, problems.BAD_REQUEST)
        assert [kind.slug for kind in kinds if f"`{kind.slug}`" not in text] == []


def answers(*statuses: int) -> dict[str, Any]:
    """Return the gate's answers to a node: what the sidechain's node says, or an error object of JSON-RPC."""
    error = {
        "type": "object",
        "required": ["jsonrpc", "id", "error"],
        "properties": {"error": {"type": "object", "required": ["code", "message"]}},
    }
    described = {"description": "Refused", "content": {"application/json": {"schema": error}}}
    return {"200": {"description": "Passed", "content": {"application/json": {"schema": {}}}}} | {
        str(status): described for status in statuses
    }


TRANSACTION = {
    "type": "object",
    "properties": {
        "to": {"enum": [CONTRACT, "0x" + "33" * 20]},
        "data": {"type": "string"},
        "code": {"type": "string"},
    },
}
CALL = {
    "type": "object",
    "required": ["id", "method"],
    "additionalProperties": False,
    "properties": {
        "jsonrpc": {"const": "2.0"},
        "id": {"type": ["integer", "string"], "maxLength": 64},
        "method": {
            "enum": [
                *("eth_chainId", "eth_call", "eth_estimateGas", "eth_getLogs", "eth_getBlockByNumber", "eth_getProof"),
                *("eth_sendRawTransaction", "debug_traceTransaction", "txpool_content"),
            ]
        },
        "params": {
            "type": "array",
            "maxItems": 4,
            # The last one is anything: many methods pass with any parameters.
            "items": {"anyOf": [TRANSACTION, {"enum": ["latest", "0x02", CONTRACT]}, {}]},
        },
    },
}
FOR_NODES = {
    "openapi": "3.1.0",
    "info": {"title": "The gate, as a node sees it", "version": "1"},
    "paths": {
        "/": {
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"anyOf": [CALL, {"type": "array", "items": CALL}]}}},
                },
                "responses": answers(400, 403),
            }
        }
    },
}
UNAUTHORIZED = {
    "401": {
        "description": "What every stranger gets",
        "content": {"application/json": {"schema": {"const": {"error": "unauthorized"}}}},
    }
}
FOR_STRANGERS = {
    "openapi": "3.1.0",
    "info": {"title": "The gate, as a stranger sees it", "version": "1"},
    "paths": {
        path: dict.fromkeys(("get", "post", "put", "delete", "options", "patch"), operation)
        for operation in [
            {
                "parameters": [{"in": "header", "name": "Authorization", "schema": {"type": "string"}}],
                "responses": UNAUTHORIZED,
            }
        ]
        for path in ("/", "/healthz", "/v1/relay")
    },
}


class Described:
    """A gate that describes itself, for the tests only: nothing tells a stranger what stands there."""

    def __init__(self, gate: Any, description: dict[str, Any], key: NodeKey | None) -> None:
        self._gate = gate
        self._description = json.dumps(description).encode()
        self._key = key
        self._domain = GateDomain(URL, CHAIN)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/openapi.json":
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": self._description})
        elif scope["type"] != "http" or self._key is None:
            await self._gate(scope, receive, send)
        else:
            await self._as_node(self._key, scope, receive, send)

    async def _as_node(self, key: NodeKey, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on with a true token of a node."""
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        token = key.token(self._domain, body, now=time.time())
        headers = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
        headers.append((b"authorization", f"{SCHEME} {token.encode()}".encode()))

        async def again() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        await self._gate(scope | {"headers": headers}, again, send)


class TestGate:
    @pytest.fixture(scope="class")
    def endpoint(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FastAPI, NodeKey]]:
        key, rules = NodeKey(b"\x07" * 32), Rules(CHAIN, [CONTRACT], max_calls=5)

        async def node(body: bytes) -> bytes:
            # What reaches the node is what the rules pass, written anew.
            assert rules.check(body).body == body
            return b"{}"

        audit = AuditLog(tmp_path_factory.mktemp("gate") / "audit.jsonl")
        gate = Gate(GateDomain(URL, CHAIN), Admitted([key.address]), Nonces())
        yield create_gate(GateEndpoint(gate, rules, audit, node)), key
        audit.close()

    @pytest.fixture
    def for_nodes(self, endpoint: tuple[FastAPI, NodeKey]) -> Any:
        return schemathesis.openapi.from_asgi("/openapi.json", Described(endpoint[0], FOR_NODES, endpoint[1]))

    @pytest.fixture
    def for_strangers(self, endpoint: tuple[FastAPI, NodeKey]) -> Any:
        return schemathesis.openapi.from_asgi("/openapi.json", Described(endpoint[0], FOR_STRANGERS, None))

    @schemathesis.pytest.from_fixture("for_nodes").parametrize()
    @few
    def test_every_answer_to_a_node_is_as_described(self, case: Any) -> None:
        case.call_and_validate(excluded_checks=EXCLUDED)

    @pytest.mark.deep
    @schemathesis.pytest.from_fixture("for_nodes").parametrize()
    @many
    def test_every_answer_to_a_node_is_as_described_in_many_cases(self, case: Any) -> None:
        case.call_and_validate(excluded_checks=EXCLUDED)

    @schemathesis.pytest.from_fixture("for_strangers").parametrize()
    @few
    def test_every_answer_to_a_stranger_is_the_same(self, case: Any) -> None:
        response = case.call_and_validate(excluded_checks=EXCLUDED)
        assert response.content == REFUSAL
        assert set(response.headers) == {"content-type", "content-length"}
