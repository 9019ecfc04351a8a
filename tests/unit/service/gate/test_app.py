"""The gate: one answer to every stranger, and nothing but what is allowed for nodes."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from panachain.chain.access import LIFE, MAX_LIFE, SCHEME, GateDomain, Token
from panachain.model.actors import Address
from panachain.service.gate.app import REFUSAL, GateEndpoint
from panachain.service.gate.rules import Rules
from panachain.service.gate.service import Admitted, AuditLog, Gate, Nonces
from panachain.service.http import read_body
from tests.unit.service.gate.world import (
    CHAIN,
    CONTRACT,
    DOMAIN,
    NODE,
    NOW,
    ORDER,
    STRANGER,
    URL,
    World,
    call,
    header,
    serving,
    transaction,
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serving(tmp_path) as world:
        yield world


class TestStrangers:
    def refusals(self, world: World) -> Iterator[Any]:
        """Ask in every way in which nobody may ask."""
        body = json.dumps(call("eth_chainId")).encode()
        good = NODE.token(DOMAIN, body, now=NOW)
        s = int.from_bytes(good.signature[32:64], "big")
        high = good.signature[:32] + (ORDER - s).to_bytes(32, "big") + bytes([55 - good.signature[64]])
        tokens = {
            "unknown node": STRANGER.token(DOMAIN, body, now=NOW),
            "another's name": replace(STRANGER.token(DOMAIN, body, now=NOW), node=NODE.address),
            "expired": NODE.token(DOMAIN, body, now=NOW - LIFE),
            "too long": NODE.token(DOMAIN, body, now=NOW + MAX_LIFE - LIFE + 1),
            "another gate": NODE.token(GateDomain("http://127.0.0.1:1", CHAIN), body, now=NOW),
            "another chain": NODE.token(GateDomain(URL, 1), body, now=NOW),
            "another body": NODE.token(DOMAIN, body + b" ", now=NOW),
            "no signature": replace(good, signature=bytes(65)),
            "high s": replace(good, signature=high),
            "another nonce": replace(good, nonce=bytes(16)),
        }
        client = world.client
        for token in tokens.values():
            yield client.post("/", content=body, headers={"Authorization": header(token)})
        for text in ("", "x", "Bearer x", SCHEME, f"{SCHEME} ", f"{SCHEME} AAAA", f"Basic {good.encode()}", "é"):
            yield client.post("/", content=body, headers={"Authorization": text.encode("latin-1")})
        twice = [("Authorization", header(good)), ("Authorization", header(good))]
        yield client.post("/", content=body, headers=twice)
        yield client.post("/", content=body)
        yield client.post("/", content=b"x" * 5000)
        for method in ("GET", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "FOO"):
            for path in ("/", "/healthz", "/metrics", "/docs", "/openapi.json", "/redoc", "/v1/x", "//", "/%2e%2e/x"):
                yield client.request(method, path)

    def test_all_get_one_and_the_same_answer(self, world: World) -> None:
        answers = {(a.status_code, a.content, tuple(sorted(a.headers.items()))) for a in self.refusals(world)}
        assert answers == {
            (401, REFUSAL, (("content-length", str(len(REFUSAL))), ("content-type", "application/json")))
        }
        assert world.sent == []
        # A stranger must not be able to fill the disk.
        assert world.lines() == []

    def test_head_has_the_same_headers_and_no_body(self, world: World) -> None:
        answer = world.client.head("/")
        assert (answer.status_code, answer.headers["content-length"]) == (401, str(len(REFUSAL)))

    def test_a_websocket_is_closed(self, world: World) -> None:
        with pytest.raises(WebSocketDisconnect), world.client.websocket_connect("/"):
            pass

    def test_nothing_of_what_they_send_is_kept(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each connection could hold a megabyte of the gate's memory, whoever opens it."""
        kept: list[bytes] = []

        async def reading(*given: Any, **named: Any) -> bytes:
            kept.append(await read_body(*given, **named))
            return kept[-1]

        monkeypatch.setattr("panachain.service.gate.app.read_body", reading)
        answers = list(self.refusals(world))
        # Two are of a node that may ask: its token is for another body.
        assert sum(map(bool, kept)) <= 2 < len(answers)

    def test_a_refusal_takes_the_time_of_a_signature_whatever_is_wrong(self, monkeypatch: pytest.MonkeyPatch) -> None:
        recovered: list[Token] = []
        true_signer = GateDomain.signer

        def signer(self: GateDomain, token: Token) -> Address | None:
            recovered.append(token)
            return true_signer(self, token)

        monkeypatch.setattr(GateDomain, "signer", signer)
        gate = Gate(DOMAIN, Admitted([NODE.address]), Nonces(), clock=lambda: NOW)
        wrong = replace(NODE.token(DOMAIN, b"", now=NOW), signature=bytes(65))
        for headers in ([], [b"x"], [header(STRANGER.token(DOMAIN, b"", now=NOW)).encode()], [header(wrong).encode()]):
            recovered.clear()
            assert gate.admit(headers) is None
            # What ends at once doesn't count: after it, a true signature is recovered.
            assert true_signer(DOMAIN, recovered[-1]) is not None


class TestNodes:
    def test_a_token_passes_once(self, world: World) -> None:
        body = json.dumps(call("eth_chainId")).encode()
        token = {"Authorization": header(NODE.token(DOMAIN, body, now=NOW))}
        assert world.client.post("/", content=body, headers=token).status_code == 200
        again = world.client.post("/", content=body, headers=token)
        assert (again.status_code, again.content) == (401, REFUSAL)
        assert len(world.sent) == 1

    def test_a_token_is_used_up_by_another_body(self, world: World) -> None:
        body = json.dumps(call("eth_chainId")).encode()
        token = {"Authorization": header(NODE.token(DOMAIN, body, now=NOW))}
        assert world.client.post("/", content=b"{}", headers=token).status_code == 401
        assert world.client.post("/", content=body, headers=token).status_code == 401

    def test_answer_comes_without_the_nodes_headers(self, world: World) -> None:
        answer = world.post(call("eth_chainId"))
        assert answer.content == b'{"jsonrpc":"2.0","id":1,"result":"0x1"}'
        assert sorted(answer.headers) == ["content-length", "content-type"]

    def test_a_stopped_node_is_told_as_502(self, world: World) -> None:
        assert world.post(call("eth_getCode", CONTRACT, "latest")).status_code == 502
        assert world.lines()[-1]["outcome"] == "failed"

    def test_only_posts_to_the_root_are_requests(self, world: World) -> None:
        assert world.post(call("eth_chainId"), path="/x").status_code == 404

    def test_a_larger_body_is_told_as_413(self, world: World) -> None:
        assert world.post(b"x" * 4097).status_code == 413
        assert world.sent == []

    @pytest.mark.parametrize("body", [b"", b"x", b"[]", b"1", b"null", b'{"id":1}', b"[" * 3000, b'{"id":NaN}'])
    def test_what_is_no_request_is_told_as_400(self, world: World, body: bytes) -> None:
        assert world.post(body).status_code == 400

    def test_one_forbidden_call_stops_a_batch(self, world: World) -> None:
        answer = world.post([call("eth_chainId"), call("debug_traceTransaction", "0x", number=2)])
        assert answer.status_code == 403
        assert "debug_traceTransaction" in answer.json()["error"]["message"]
        assert world.sent == []

    def test_a_batch_has_a_limit(self, world: World) -> None:
        assert world.post([call("eth_chainId", number=n) for n in range(5)]).status_code == 200
        assert world.post([call("eth_chainId", number=n) for n in range(6)]).status_code == 400


class TestAudit:
    def test_every_request_of_a_node_leaves_a_line_without_its_content(self, world: World) -> None:
        world.post([call("eth_chainId"), call("eth_chainId", number=2), call("eth_blockNumber", number=3)])
        world.post(call("debug_traceCall", "0xsecret"))
        passed, refused = world.lines()
        assert (passed["node"], passed["at"], passed["outcome"]) == (NODE.address, NOW, "passed")
        assert passed["methods"] == {"eth_chainId": 2, "eth_blockNumber": 1}
        assert refused["outcome"] == "refused"
        assert "secret" not in world.log.read_text()

    def test_a_transaction_is_written_down_before_it_is_sent(self, world: World) -> None:
        raw = transaction()
        assert world.post(call("eth_sendRawTransaction", raw)).status_code == 200
        assert [line["outcome"] for line in world.lines()] == ["begun", "passed"]

    def test_what_can_not_be_logged_is_not_served(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("panachain.service.gate.service.os.write", full)
        raw = transaction()
        assert world.post(call("eth_sendRawTransaction", raw)).status_code == 503
        assert world.sent == []
        answer = world.post(call("eth_chainId"))
        assert answer.status_code == 503
        assert b"0x1" not in answer.content
        assert world.post(call("debug_x")).status_code == 503

    def test_a_full_memory_of_nonces_is_told_as_503(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(world.nonces, "_most", 0)
        assert world.post(call("eth_chainId")).status_code == 503


def test_a_body_that_never_ends_is_cut(world: World, tmp_path: Path) -> None:
    audit = AuditLog(tmp_path / "other.jsonl")
    gate = Gate(DOMAIN, world.admitted, Nonces(), clock=lambda: NOW)

    async def forward(_: bytes) -> bytes:
        raise AssertionError

    endpoint = GateEndpoint(gate, Rules(CHAIN, [CONTRACT]), audit, forward, body_seconds=0.05)
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask(headers: list[tuple[bytes, bytes]]) -> int:
        sent.clear()
        scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
        await asyncio.wait_for(endpoint(scope, receive, send), 60)
        return int(sent[0]["status"])

    assert asyncio.run(ask([])) == 401
    token = header(NODE.token(DOMAIN, os.urandom(4), now=NOW)).encode()
    assert asyncio.run(ask([(b"authorization", token)])) == 413
    audit.close()


def test_refused_strangers_are_counted_in_one_line_a_minute(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    with serving(tmp_path, clock=lambda: now[0]) as world, caplog.at_level("WARNING", logger="panachain.gate"):
        for second in range(0, 125, 5):
            now[0] = float(second)
            world.client.get("/")
    # At 0, 60 and 120 seconds.
    assert [message.split()[0] for message in caplog.messages] == ["1", "12", "12"]
