"""The gate: one answer to every stranger, and nothing but what is allowed for nodes."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account as EthAccount
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from panachain.chain.access import LIFE, MAX_LIFE, SCHEME, GateDomain, NodeKey, Token
from panachain.errors import (
    ChainUnavailableError,
    ConfigurationError,
    DiskError,
    OutOfScopeError,
    PanaChainError,
    UsageError,
)
from panachain.model.actors import Actor, Address, Role, Status
from panachain.service.gate.app import REFUSAL, GateEndpoint, create_app
from panachain.service.gate.rules import Rules
from panachain.service.gate.run import GateConfig
from panachain.service.gate.service import Admitted, AuditLog, Gate, Nonces, RegistryWatch

URL = "http://127.0.0.1:9999"
CHAIN = 31_338
CONTRACT = "0x" + "11" * 20
OTHER = "0x" + "22" * 20
NODE = NodeKey(b"\x07" * 32)
STRANGER = NodeKey(b"\x08" * 32)
DOMAIN = GateDomain(URL, CHAIN)
NOW = 1_700_000_000
ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141


@dataclass
class World:
    """A gate whose node answers what it is asked."""

    client: TestClient
    log: Path
    admitted: Admitted
    nonces: Nonces
    now: list[float]
    sent: list[bytes] = field(default_factory=list)

    def post(self, content: Any, *, key: NodeKey = NODE, path: str = "/", **change: Any) -> Any:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        token = replace(key.token(DOMAIN, body, now=self.now[0]), **change)
        return self.client.post(path, content=body, headers={"Authorization": header(token)})

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def header(token: Token) -> str:
    return f"{SCHEME} {token.encode()}"


def call(method: str, *params: Any, number: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    now: list[float] = [NOW]
    sent: list[bytes] = []

    async def forward(body: bytes) -> bytes:
        if b"eth_getCode" in body:
            raise ChainUnavailableError("the node doesn't answer")
        sent.append(body)
        return b'{"jsonrpc":"2.0","id":1,"result":"0x1"}'

    log = tmp_path / "audit.jsonl"
    audit = AuditLog(log, clock=lambda: now[0])
    admitted, nonces = Admitted([NODE.address]), Nonces(clock=lambda: now[0])
    gate = Gate(DOMAIN, admitted, nonces, clock=lambda: now[0])
    endpoint = GateEndpoint(gate, Rules(CHAIN, [CONTRACT], max_calls=5), audit, forward, max_body=4096)
    with TestClient(create_app(endpoint), base_url=URL) as client:
        yield World(client, log, admitted, nonces, now, sent)
    audit.close()


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


class TestRegistry:
    class Listed:
        def __init__(self) -> None:
            self.answer: list[Actor] | PanaChainError = []

        def actors(self) -> list[Actor]:
            if isinstance(self.answer, PanaChainError):
                raise self.answer
            return self.answer

    def actor(self, role: Role, status: Status = Status.ACTIVE) -> Actor:
        return Actor(STRANGER.address, role, status, b"", b"")

    @pytest.mark.parametrize("role", [Role.HOSPITAL, Role.PROXY, Role.REGISTRAR])
    def test_active_actors_pass_and_suspended_ones_are_out_at_the_next_look(self, world: World, role: Role) -> None:
        listed = self.Listed()
        watch = RegistryWatch(listed, world.admitted, seconds=60)
        assert world.post(call("eth_chainId"), key=STRANGER).status_code == 401
        listed.answer = [self.actor(role)]
        watch.look()
        assert world.post(call("eth_chainId"), key=STRANGER).status_code == 200
        listed.answer = [self.actor(role, Status.SUSPENDED)]
        watch.look()
        assert world.post(call("eth_chainId"), key=STRANGER).status_code == 401

    def test_researchers_stay_out(self, world: World) -> None:
        listed = self.Listed()
        listed.answer = [self.actor(Role.RESEARCHER)]
        RegistryWatch(listed, world.admitted, seconds=60).look()
        assert STRANGER.address not in world.admitted

    def test_what_the_registry_said_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        admitted = Admitted([NODE.address])
        now = [100.0]
        monkeypatch.setattr("panachain.service.gate.service.time.monotonic", lambda: now[0])
        admitted.listed([STRANGER.address], until=105.0)
        assert STRANGER.address in admitted
        now[0] = 105.0
        assert STRANGER.address not in admitted
        assert NODE.address in admitted

    def test_a_registry_that_does_not_answer_stops_nothing_but_its_actors(self, world: World) -> None:
        listed = self.Listed()
        listed.answer = ChainUnavailableError("gone")
        watch = RegistryWatch(listed, world.admitted, seconds=0.03)
        watch.start()
        assert world.post(call("eth_chainId")).status_code == 200
        assert world.post(call("eth_chainId"), key=STRANGER).status_code == 401
        watch.stop()


class TestRules:
    rules = Rules(CHAIN, [CONTRACT])

    def check(self, content: Any) -> Any:
        return self.rules.check(content if isinstance(content, bytes) else json.dumps(content).encode())

    def transaction(self, **change: Any) -> str:
        fields = {
            "type": 2,
            "chainId": CHAIN,
            "nonce": 0,
            "gas": 21_000,
            "maxFeePerGas": 0,
            "maxPriorityFeePerGas": 0,
            "value": 0,
            "data": "0x1234",
            "to": CONTRACT,
        } | change
        fields = {name: value for name, value in fields.items() if value is not None}
        return "0x" + bytes(EthAccount.sign_transaction(fields, b"\x09" * 32).raw_transaction).hex()

    @pytest.mark.parametrize(
        ("method", "params"),
        [
            ("eth_chainId", []),
            ("eth_blockNumber", []),
            ("eth_getBlockByNumber", ["latest", True]),
            ("eth_getBlockByHash", ["0x00", False]),
            ("eth_getTransactionReceipt", ["0x00"]),
            ("eth_getTransactionCount", [OTHER, "pending"]),
            ("eth_getCode", [CONTRACT, "latest"]),
            ("eth_getProof", [CONTRACT, ["0x0"], "latest"]),
            ("eth_call", [{"to": CONTRACT, "data": "0x"}, "latest"]),
            ("eth_call", [{"to": CONTRACT.upper().replace("0X", "0x"), "data": "0x"}]),
            ("eth_estimateGas", [{"from": OTHER, "to": CONTRACT, "data": "0x"}]),
            ("eth_getLogs", [{"address": CONTRACT, "topics": [None, ["0x1"]], "fromBlock": "0x0", "toBlock": "0x1"}]),
            ("eth_getLogs", [{"address": [CONTRACT], "blockHash": "0x00"}]),
        ],
    )
    def test_what_the_sdk_uses_passes_unchanged(self, method: str, params: list[Any]) -> None:
        passage = self.check(call(method, *params))
        assert json.loads(passage.body) == call(method, *params)
        assert (passage.methods, passage.changes) == ((method,), False)

    @pytest.mark.parametrize(
        "method",
        [
            *("debug_traceTransaction", "debug_traceCall", "trace_block", "admin_addPeer", "anvil_setBalance"),
            *("evm_mine", "evm_revert", "hardhat_reset", "txpool_content", "personal_sign", "miner_start"),
            *("eth_accounts", "eth_sendTransaction", "eth_sign", "eth_signTypedData", "eth_getStorageAt"),
            *("eth_subscribe", "eth_newFilter", "eth_createAccessList", "eth_simulateV1", "eth_getTransactionByHash"),
            *("web3_clientVersion", "net_version", "rpc_modules", "ETH_CHAINID", "eth_chainId ", "", "eth_call\u0000"),
        ],
    )
    def test_other_methods_never_pass(self, method: str) -> None:
        with pytest.raises(OutOfScopeError, match="doesn't pass"):
            self.check(call(method))

    @pytest.mark.parametrize(
        ("method", "params"),
        [
            ("eth_call", []),
            ("eth_call", [{"to": OTHER}]),
            ("eth_call", [{"data": "0x6000"}]),
            ("eth_call", [{"to": None, "data": "0x6000"}]),
            ("eth_call", [{"to": CONTRACT}, "latest", {CONTRACT: {"code": "0x"}}]),
            ("eth_call", [{"to": CONTRACT, "TO": OTHER}]),
            ("eth_estimateGas", [{"data": "0x6000"}]),
            ("eth_estimateGas", [{"to": CONTRACT}, "latest", {}]),
            ("eth_getLogs", []),
            ("eth_getLogs", [{}]),
            ("eth_getLogs", [{"address": []}]),
            ("eth_getLogs", [{"address": [CONTRACT, OTHER]}]),
            ("eth_getLogs", [{"address": CONTRACT, "Address": OTHER}]),
            ("eth_chainId", [1]),
            ("eth_getBlockByNumber", ["latest", True, 1]),
        ],
    )
    def test_other_parameters_never_pass(self, method: str, params: list[Any]) -> None:
        with pytest.raises(OutOfScopeError):
            self.check(call(method, *params))

    @pytest.mark.parametrize(
        "body",
        [
            b'{"id":1,"method":"eth_chainId","METHOD":"debug_x"}',
            b'{"id":1,"method":"eth_chainId","method":"eth_chainId"}',
            b'{"id":1,"method":"eth_call","params":[{"to":"0x1","to":"0x2"}]}',
            b'{"id":1,"method":"eth_chainId","params":{}}',
            b'{"id":true,"method":"eth_chainId"}',
            b'{"id":null,"method":"eth_chainId"}',
            b'{"id":"' + b"x" * 65 + b'","method":"eth_chainId"}',
            b'{"id":1,"method":5}',
            b'{"id":1,"method":"eth_getCode","params":[1e999]}',
            b'[[{"id":1,"method":"eth_chainId"}]]',
            b"\xff\xfe",
        ],
    )
    def test_what_two_parsers_could_read_in_two_ways_is_no_request(self, body: bytes) -> None:
        with pytest.raises(UsageError):
            self.check(body)

    def test_what_is_sent_is_written_anew(self) -> None:
        passage = self.check(b' { "params" : [ ] , "method":"eth_ch\\u0061inId","id":1 } ')
        assert passage.body == b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'

    def test_a_transaction_to_a_contract_passes(self) -> None:
        passage = self.check(call("eth_sendRawTransaction", self.transaction()))
        assert passage.changes

    @pytest.mark.parametrize("change", [{"to": OTHER}, {"to": None}, {"chainId": 1}])
    def test_other_transactions_never_pass(self, change: dict[str, Any]) -> None:
        with pytest.raises(OutOfScopeError):
            self.check(call("eth_sendRawTransaction", self.transaction(**change)))

    def test_other_kinds_of_transactions_never_pass(self) -> None:
        legacy = {"nonce": 0, "gas": 21_000, "gasPrice": 0, "value": 0, "data": "0x", "to": CONTRACT, "chainId": CHAIN}
        access = legacy | {"type": 1, "accessList": []}
        for fields in (legacy, access):
            raw = "0x" + bytes(EthAccount.sign_transaction(fields, b"\x09" * 32).raw_transaction).hex()
            with pytest.raises(OutOfScopeError, match=r"EIP-1559"):
                self.check(call("eth_sendRawTransaction", raw))

    @pytest.mark.parametrize("raw", ["0x02", "0x02zz", "0x02c0", "0x02" + "ff" * 40, 5, "", "02"])
    def test_a_transaction_that_can_not_be_read_never_passes(self, raw: Any) -> None:
        with pytest.raises(OutOfScopeError):
            self.check(call("eth_sendRawTransaction", raw))

    def test_a_transaction_with_more_behind_it_never_passes(self) -> None:
        with pytest.raises(OutOfScopeError):
            self.check(call("eth_sendRawTransaction", self.transaction() + "00"))


class TestNonces:
    def test_are_remembered_for_as_long_as_their_tokens_count(self) -> None:
        now = [0.0]
        nonces = Nonces(clock=lambda: now[0])
        for second in range(300):
            now[0] = float(second)
            assert nonces.use(second.to_bytes(16, "big"))
            for past in range(max(second - MAX_LIFE + 1, 0), second + 1):
                assert not nonces.use(past.to_bytes(16, "big"))
        assert len(nonces._new) + len(nonces._old) <= 2 * MAX_LIFE

    def test_too_many_are_refused_rather_than_forgotten(self) -> None:
        nonces = Nonces(most=3)
        used = [bytes([n]) * 16 for n in range(3)]
        assert all(nonces.use(nonce) for nonce in used)
        with pytest.raises(ChainUnavailableError):
            nonces.use(b"x" * 16)
        assert not any(nonces.use(nonce) for nonce in used)

    def test_a_restart_forgets_none(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        tokens = [NODE.token(DOMAIN, b"", now=NOW) for _ in range(3)]
        first = AuditLog(path, clock=lambda: NOW)
        for token in tokens:
            first.write(token, ["eth_chainId"], "passed")
        first.close()
        with path.open("ab") as file:
            file.write(b'{"at": 17000')
        second = AuditLog(path, clock=lambda: NOW + 30)
        assert sorted(second.recent_nonces()) == sorted(token.nonce for token in tokens)
        second.close()
        late = AuditLog(path, clock=lambda: NOW + 2 * MAX_LIFE + 1)
        assert late.recent_nonces() == []
        late.close()


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
        raw = TestRules().transaction()
        assert world.post(call("eth_sendRawTransaction", raw)).status_code == 200
        assert [line["outcome"] for line in world.lines()] == ["begun", "passed"]

    def test_what_can_not_be_logged_is_not_served(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("panachain.service.gate.service.os.write", full)
        raw = TestRules().transaction()
        assert world.post(call("eth_sendRawTransaction", raw)).status_code == 503
        assert world.sent == []
        answer = world.post(call("eth_chainId"))
        assert answer.status_code == 503
        assert b"0x1" not in answer.content
        assert world.post(call("debug_x")).status_code == 503

    def test_two_gates_never_share_a_log(self, tmp_path: Path) -> None:
        first = AuditLog(tmp_path / "log")
        with pytest.raises(DiskError):
            AuditLog(tmp_path / "log")
        first.close()

    def test_a_full_memory_of_nonces_is_told_as_503(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(world.nonces, "_most", 0)
        assert world.post(call("eth_chainId")).status_code == 503


class TestConfiguration:
    def fields(self) -> dict[str, Any]:
        return {
            "schema": "panachain/gate-config/1",
            "host": "127.0.0.1",
            "port": 1,
            "url": URL,
            "sidechain": {"url": "http://127.0.0.1:2", "chainId": CHAIN, "contracts": {"A": CONTRACT}},
            "nodes": [NODE.address.lower()],
            "auditLog": "audit.jsonl",
        }

    def test_nodes_count_in_any_case(self, tmp_path: Path) -> None:
        path = tmp_path / "gate.json"
        path.write_text(json.dumps(self.fields()))
        assert GateConfig.read(path).nodes == (NODE.address,)

    @pytest.mark.parametrize("change", [{"schema": "x"}, {"nodes": ["0x1"]}, {"port": None}, {"tls": {"key": "k"}}])
    def test_a_wrong_field_is_a_typed_error(self, tmp_path: Path, change: dict[str, Any]) -> None:
        path = tmp_path / "gate.json"
        path.write_text(json.dumps(self.fields() | change))
        with pytest.raises(ConfigurationError):
            GateConfig.read(path)


def test_a_body_that_never_ends_is_cut(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("panachain.service.gate.app._BODY_TIME", 0.05)
    audit = AuditLog(tmp_path / "other.jsonl")
    gate = Gate(DOMAIN, world.admitted, Nonces(), clock=lambda: NOW)

    async def forward(_: bytes) -> bytes:
        raise AssertionError

    endpoint = GateEndpoint(gate, Rules(CHAIN, [CONTRACT]), audit, forward)
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask(headers: list[tuple[bytes, bytes]]) -> int:
        sent.clear()
        scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
        await asyncio.wait_for(endpoint(scope, receive, send), 5)
        return int(sent[0]["status"])

    assert asyncio.run(ask([])) == 401
    token = header(NODE.token(DOMAIN, os.urandom(4), now=NOW)).encode()
    assert asyncio.run(ask([(b"authorization", token)])) == 413
    audit.close()
