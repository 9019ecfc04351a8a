"""The relay on a real chain: budget, reserve, batches, idempotence, restarts; and clients that don't believe it."""

from __future__ import annotations

import http.server
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from panachain.chain import anvil
from panachain.chain.deploy import Governance, deploy
from panachain.chain.mainchain import Mainchain
from panachain.chain.receipts import receipt_hash, sign_head
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.chain.signing import Account
from panachain.crypto import keys
from panachain.errors import (
    ChainUnavailableError,
    PolicyRevokedError,
    PolicyUnknownError,
    RelaysUnavailableError,
    TransactionError,
)
from panachain.model.actors import Actor, PolicyId, Role, Status
from panachain.model.policy import PolicyStatus, Receipt, ReceiptKind
from panachain.model.transactions import Grant
from panachain.proxy import messages
from panachain.sdk.relay import LocalRelay, Relays, RemoteRelay
from panachain.service.relay.app import create_app
from panachain.service.relay.service import Budget, RelayService
from panachain.service.relay.store import DAY, RelayStore
from tests.unit.service.loopback import wait_for

PLENTY = Budget(100_000_000, 10_000_000)
GRANT_GAS = 80_000
"""More than one grant takes, margin included."""


@dataclass
class Chain:
    """A mainchain with its contracts."""

    mainchain: Mainchain
    registrar: bytes
    folder: Path

    @property
    def rpc(self) -> Rpc:
        return self.mainchain.rpc

    def payer(self) -> Account:
        """Return an account that can pay."""
        key = keys.Seed.random().account_key()
        anvil.fund(self.rpc, keys.address_of(key))
        return Account(key)

    def grant(self, **change: Any) -> tuple[Grant, bytes, Account]:
        """Return a signed grant of a new policy, and its one-time key."""
        owner = Account(keys.Seed.random().account_key())
        now = self.mainchain.head_block().time
        fields = {"starts_at": now, "expires_at": now + 9000, "deadline": now + 900, "terms": b"\x05" * 32} | change
        grant = Grant(owner=PolicyId(owner.address), **fields)
        return grant, self.mainchain.policies.sign_grant(owner, grant), owner

    def status(self, policy_id: PolicyId) -> PolicyStatus:
        try:
            return self.mainchain.policies.policy_of(policy_id).status
        except PolicyUnknownError:
            return PolicyStatus.UNKNOWN

    @contextmanager
    def without_mining(self) -> Iterator[None]:
        self.rpc.call("evm_setAutomine", [False])
        self.rpc.call("evm_setIntervalMining", [0])
        try:
            yield
        finally:
            self.rpc.call("evm_setAutomine", [True])
            self.rpc.call("evm_mine")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("relay")
    main = anvil.start(folder / "main", chain_id=31_501, free=False)
    side = anvil.start(folder / "side", chain_id=31_502, free=True)
    try:
        rpc = Rpc(main.url)
        deployer, registrar, other = (keys.Seed.random().account_key() for _ in range(3))
        for key in (deployer, registrar):
            anvil.fund(rpc, keys.address_of(key))
        who = keys.address_of(registrar)
        governance = Governance(registrar=who, admin=who, validators=(who,), quorum=1)
        made = deploy(rpc, Rpc(side.url), deployer, governance, side_key=other, lock_folder=folder / "nonces")
        part = made.mainchain
        mainchain = Mainchain(rpc, part.contracts, part.chain_id, from_block=part.from_block)
        yield Chain(mainchain, registrar, folder)
    finally:
        anvil.stop(main.pid)
        anvil.stop(side.pid)


@dataclass
class Running:
    """A relay in this process."""

    client: TestClient
    service: RelayService
    store: RelayStore

    def grant(self, signed: tuple[Grant, bytes, Account]) -> Any:
        grant, signature, _ = signed
        return self.client.post("/v1/grant", json=grant_fields(grant, signature))

    def revoke(self, chain: Chain, owner: Account) -> Any:
        signature = chain.mainchain.policies.sign_revoke(owner)
        return self.client.post("/v1/revoke", json={"policy_id": owner.address, "signature": signature.hex()})


def grant_fields(grant: Grant, signature: bytes) -> dict[str, Any]:
    return {
        "policy_id": grant.owner,
        "starts_at": grant.starts_at,
        "expires_at": grant.expires_at,
        "deadline": grant.deadline,
        "terms": grant.terms.hex(),
        "signature": signature.hex(),
    }


@contextmanager
def running(
    chain: Chain,
    folder: Path,
    *,
    budget: Budget = PLENTY,
    payer: Account | None = None,
    clock: Callable[[], float] = time.time,
    **options: Any,
) -> Iterator[Running]:
    store = RelayStore(folder / "relay.sqlite", clock=clock)
    sender = chain.mainchain.sender(payer or chain.payer(), lock_folder=folder / "nonces")
    service = RelayService(chain.mainchain, sender, store, budget)
    app = create_app(service, per_minute=options.get("per_minute", 0), wait=options.get("wait", 10.0))
    with TestClient(app) as client:
        yield Running(client, service, store)
    store.close()


@pytest.fixture
def relay(chain: Chain, tmp_path: Path) -> Iterator[Running]:
    with running(chain, tmp_path) as relay:
        yield relay


def slug(answer: Any) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["type"]).removeprefix("urn:panachain:problem/")


class TestOrders:
    def test_a_grant_is_paid_and_told(self, chain: Chain, relay: Running) -> None:
        signed = chain.grant()
        answer = relay.grant(signed)
        assert answer.status_code == 200
        told = answer.json()
        event = next(chain.mainchain.policies.events(policy_ids=[signed[0].owner], kind="PolicyGranted"))
        assert (told["state"], told["tx_hash"], told["block"]) == ("mined", event.tx_hash, event.block)
        assert relay.service.left()[0] == PLENTY.gas - told["gas_used"]

    def test_the_same_grant_twice_is_one_transaction(self, chain: Chain, relay: Running) -> None:
        signed = chain.grant()
        assert relay.grant(signed).json() == relay.grant(signed).json()
        assert relay.store.spent() == relay.grant(signed).json()["gas_used"]

    def test_a_revocation_is_paid_and_told(self, chain: Chain, relay: Running) -> None:
        grant, _, owner = signed = chain.grant()
        relay.grant(signed)
        assert relay.revoke(chain, owner).status_code == 200
        assert chain.status(grant.owner) is PolicyStatus.REVOKED

    @pytest.mark.parametrize("change", ["signature", "terms", "expires_at", "over", "empty", "twice"])
    def test_what_would_revert_is_not_paid_for(self, chain: Chain, relay: Running, change: str) -> None:
        grant, signature, owner = signed = chain.grant()
        if change == "signature":
            signed = (grant, bytes(64), owner)
        elif change == "terms":
            signed = (replace(grant, terms=b"\x06" * 32), signature, owner)
        elif change == "expires_at":
            signed = (replace(grant, expires_at=grant.expires_at + 1), signature, owner)
        elif change == "over":
            signed = chain.grant(deadline=1)
        elif change == "empty":
            signed = chain.grant(expires_at=5)
        else:
            relay.grant(signed)
            again = replace(grant, terms=b"\x07" * 32)
            signed = (again, chain.mainchain.policies.sign_grant(owner, again), owner)
        spent = relay.store.spent()
        answer = relay.grant(signed)
        assert (answer.status_code, slug(answer)) == (409, "would-revert")
        assert answer.json()["detail"].startswith("Policy")
        assert relay.store.spent() == spent

    def test_evidence_of_a_late_service_suspends_its_proxy(self, chain: Chain, relay: Running) -> None:
        mainchain, seed = chain.mainchain, keys.Seed.random()
        account = Account(seed.account_key())
        sender = mainchain.sender(Account(chain.registrar), lock_folder=chain.folder / "nonces")
        proxy = Actor.of(account.address, Role.PROXY, seed.public_keys(), endpoint="https://x.example")
        mainchain.actors.register(sender, proxy)
        policy_id = chain.grant()[0].owner
        head = mainchain.head_block()
        receipt = Receipt(
            account.address, 1, bytes(32), ReceiptKind.REENCRYPTED, policy_id, head.time, head.number, 1, b"", b""
        )
        signature = sign_head(account, mainchain.log.domain, sequence=1, head=receipt_hash(receipt))
        receipt = replace(receipt, signature=signature)

        answer = relay.client.post("/v1/evidence", json={"receipt": messages.receipt_fields(receipt)})
        assert answer.status_code == 200
        actor = mainchain.actors.actor_of(account.address)
        assert actor is not None
        assert actor.status is Status.SUSPENDED
        # The client looks at the chain, and finds it there without asking anybody.
        shown = Relays(mainchain, [RemoteRelay("http://127.0.0.1:1", timeout=1)]).convict(receipt)
        assert shown.tx_hash == answer.json()["tx_hash"]

    def test_an_account_without_ether_says_that_it_can_not_pay(self, chain: Chain, tmp_path: Path) -> None:
        poor = Account(keys.Seed.random().account_key())
        with running(chain, tmp_path, payer=poor) as relay:
            assert relay.client.get("/readyz").status_code == 503
            signed = chain.grant()
            for _ in range(2):
                assert (relay.grant(signed).status_code, relay.store.spent()) == (503, 0)
            anvil.fund(chain.rpc, poor.address)
            assert relay.grant(signed).status_code == 200


class TestBudget:
    def test_grants_stop_and_revocations_go_on(self, chain: Chain, tmp_path: Path) -> None:
        with running(chain, tmp_path, budget=Budget(2 * GRANT_GAS, 3 * GRANT_GAS)) as relay:
            granted = []
            while (answer := relay.grant(signed := chain.grant())).status_code == 200:
                granted.append(signed)
            assert (answer.status_code, slug(answer)) == (503, "budget-exhausted")
            assert granted
            for _, _, owner in granted:
                assert relay.revoke(chain, owner).status_code == 200
            assert relay.store.spent() > 2 * GRANT_GAS - GRANT_GAS

    def test_reserve_is_not_for_policies_that_were_never_granted(self, chain: Chain, tmp_path: Path) -> None:
        with running(chain, tmp_path, budget=Budget(0, 10 * GRANT_GAS)) as relay:
            answer = relay.revoke(chain, Account(keys.Seed.random().account_key()))
            assert slug(answer) == "budget-exhausted"
            grant, signature, owner = chain.grant()
            payer = chain.mainchain.sender(chain.payer(), lock_folder=tmp_path / "nonces")
            chain.mainchain.policies.grant_by_signature(payer, grant, signature)
            assert relay.revoke(chain, owner).status_code == 200

    def test_a_restart_keeps_what_was_spent_and_who_was_served(self, chain: Chain, tmp_path: Path) -> None:
        payer, signed = chain.payer(), chain.grant()
        with running(chain, tmp_path, payer=payer) as relay:
            first = relay.grant(signed).json()
        with running(chain, tmp_path, payer=payer) as relay:
            assert relay.store.spent() == first["gas_used"]
            assert relay.grant(signed).json() == first
        with running(chain, tmp_path, payer=payer, budget=Budget(first["gas_used"], 0)) as relay:
            assert slug(relay.grant(chain.grant())) == "budget-exhausted"

    def test_after_a_day_the_budget_is_whole_again(self, chain: Chain, tmp_path: Path) -> None:
        now = [time.time()]
        with running(chain, tmp_path, clock=lambda: now[0]) as relay:
            relay.grant(chain.grant())
            assert relay.store.spent() > 0
            now[0] += DAY + 1
            assert relay.store.spent() == 0

    def test_what_waits_counts_too(self, chain: Chain, tmp_path: Path) -> None:
        with running(chain, tmp_path, budget=Budget(2 * GRANT_GAS, 0), wait=0.2) as relay, chain.without_mining():
            answers = [relay.grant(chain.grant()).status_code for _ in range(4)]
            assert answers[0] == 202
            assert answers[-1] == 503
        assert answers.count(202) <= 2


class TestBatches:
    def test_what_waits_goes_together(self, chain: Chain, tmp_path: Path) -> None:
        with running(chain, tmp_path, wait=30) as relay:
            signed = [chain.grant() for _ in range(9)]
            orders = [relay.service.grant(grant, signature) for grant, signature, _ in signed]
            with chain.without_mining():
                futures = [relay.service.submit(order) for order in orders]
                deadline = time.monotonic() + 60
                while relay.service.waiting() == len(orders) and time.monotonic() < deadline:
                    time.sleep(0.01)
            outcomes = [future.result(timeout=30) for future in futures]
            assert all(chain.status(grant.owner) is PolicyStatus.ACTIVE for grant, _, _ in signed)
            assert len({outcome.tx_hash for outcome in outcomes}) <= 2
            owners = [owner for _, _, owner in signed]
            with chain.without_mining():
                futures = [
                    relay.service.submit(
                        relay.service.revocation(PolicyId(o.address), chain.mainchain.policies.sign_revoke(o))
                    )
                    for o in owners
                ]
            outcomes = [future.result(timeout=30) for future in futures]
            assert all(chain.status(grant.owner) is PolicyStatus.REVOKED for grant, _, _ in signed)
            assert len({outcome.tx_hash for outcome in outcomes}) <= 2

    @pytest.mark.deep
    @pytest.mark.timeout(600)
    def test_more_than_a_thousand_policies_go_as_blocks_and_requests_have_room(
        self, chain: Chain, tmp_path: Path
    ) -> None:
        """No batch is larger than half of a block, whatever was configured, and all are read back at once."""
        count, most = 1_050, 2_000_000
        limit = chain.mainchain.rpc.call("eth_getBlockByNumber", ["latest", False])["gasLimit"]
        chain.rpc.call("evm_setBlockGasLimit", [hex(2 * most)])
        chain.rpc.call("evm_mine")
        try:
            with running(chain, tmp_path, budget=Budget(10**9, 0), wait=30) as relay:
                relay.service._max_batch = 500
                signed = [chain.grant() for _ in range(count)]
                with ThreadPoolExecutor(8) as pool:
                    futures = list(
                        pool.map(lambda one: relay.service.submit(relay.service.grant(one[0], one[1])), signed)
                    )
                outcomes = [future.result(timeout=300) for future in futures]
        finally:
            chain.rpc.call("evm_setBlockGasLimit", [limit])
            chain.rpc.call("evm_mine")
        gas = {outcome.tx_hash: outcome.gas_used for outcome in outcomes}
        assert {outcome.state for outcome in outcomes} == {"mined"}
        assert max(gas.values()) <= most
        # Many go together all the same.
        assert len(gas) <= count // 3
        found = chain.mainchain.policies.policies_of([grant.owner for grant, _, _ in signed])
        assert len(found) == count
        assert {policy.status for policy in found.values()} == {PolicyStatus.ACTIVE}

    def test_what_fails_is_taken_out_of_a_batch(self, chain: Chain, tmp_path: Path) -> None:
        store = RelayStore(tmp_path / "relay.sqlite")
        sender = chain.mainchain.sender(chain.payer(), lock_folder=tmp_path / "nonces")
        service = RelayService(chain.mainchain, sender, store, PLENTY)
        signed = [chain.grant() for _ in range(4)]
        futures = [service.submit(service.grant(grant, signature)) for grant, signature, _ in signed]
        # Between the simulation and the batch somebody else sends the second one.
        other = chain.mainchain.sender(chain.payer(), lock_folder=tmp_path / "nonces")
        chain.mainchain.policies.grant_by_signature(other, signed[1][0], signed[1][1])
        service.start()
        outcomes = [future.exception(timeout=30) or future.result() for future in futures]
        service.stop()
        store.close()
        assert "PolicyAlreadyGranted" in str(outcomes[1])
        assert len({outcomes[place].tx_hash for place in (0, 2, 3)}) == 1  # type: ignore[union-attr]
        assert all(chain.status(grant.owner) is PolicyStatus.ACTIVE for grant, _, _ in signed)

    def test_a_batch_that_was_overtaken_is_sent_one_by_one(self, chain: Chain, tmp_path: Path) -> None:
        store = RelayStore(tmp_path / "relay.sqlite")
        service = RelayService(
            chain.mainchain, chain.mainchain.sender(chain.payer(), lock_folder=tmp_path / "n"), store, PLENTY
        )
        signed = [chain.grant() for _ in range(3)]
        futures = [service.submit(service.grant(grant, signature)) for grant, signature, _ in signed]
        rival = chain.payer()
        data = service.grant(signed[0][0], signed[0][1]).data
        with chain.without_mining():
            # It pays more, so it is mined first and the batch reverts.
            raw, _ = rival.sign_transaction(
                {
                    "type": 2,
                    "chainId": chain.mainchain.chain_id,
                    "nonce": 0,
                    "gas": 300_000,
                    "maxFeePerGas": 10**12,
                    "maxPriorityFeePerGas": 10**11,
                    "value": 0,
                    "data": data,
                    "to": chain.mainchain.policies.address,
                }
            )
            service.start()
            deadline = time.monotonic() + 60
            while not any(sent for _, sent in store.open_payments()) and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.1)
            chain.rpc.call("eth_sendRawTransaction", [raw])
        outcomes = [future.exception(timeout=30) or future.result() for future in futures]
        service.stop()
        store.close()
        assert "PolicyAlreadyGranted" in str(outcomes[0])
        assert all(chain.status(grant.owner) is PolicyStatus.ACTIVE for grant, _, _ in signed)

    def test_a_revocation_does_not_wait_for_grants(self, chain: Chain, tmp_path: Path) -> None:
        with running(chain, tmp_path, wait=0.2) as relay:
            grant, _, owner = signed = chain.grant()
            assert relay.grant(signed).status_code == 200
            with chain.without_mining():
                assert relay.grant(chain.grant()).status_code == 202
                answer = relay.revoke(chain, owner)
                assert answer.status_code == 202
                # In sight: proxies refuse from here on. A busy machine signs it a moment after the first answer.
                assert wait_for(lambda: bool(relay.revoke(chain, owner).json()["tx_hash"]))
                assert chain.mainchain.policies.revocation_in_sight(grant.owner)


class TestRestart:
    def test_a_transaction_under_way_is_followed_by_the_next_run(self, chain: Chain, tmp_path: Path) -> None:
        payer, signed = chain.payer(), chain.grant()
        store = RelayStore(tmp_path / "relay.sqlite")
        sender = chain.mainchain.sender(payer, lock_folder=tmp_path / "nonces")
        first = RelayService(chain.mainchain, sender, store, PLENTY)
        order = first.grant(signed[0], signed[1])
        # As if it had ended right after the signature: written down, never sent.
        number = store.begin([order.key], 99_999)
        transaction = {
            "type": 2,
            "chainId": chain.mainchain.chain_id,
            "nonce": 0,
            "gas": 200_000,
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": 10**9,
            "value": 0,
            "data": order.data,
            "to": order.to,
        }
        raw, tx_hash = payer.sign_transaction(transaction)
        store.signed(number, tx_hash, raw)
        assert first.submit(order).result(timeout=60).state == "pending"
        first.watch()
        outcome = first.submit(order).result(timeout=60)
        assert (outcome.state, outcome.tx_hash) == ("mined", tx_hash)
        assert store.spent() < 99_999
        assert chain.status(signed[0].owner) is PolicyStatus.ACTIVE
        store.close()

    def test_what_was_never_signed_is_forgotten(self, chain: Chain, tmp_path: Path) -> None:
        store = RelayStore(tmp_path / "relay.sqlite")
        sender = chain.mainchain.sender(chain.payer(), lock_folder=tmp_path / "nonces")
        service = RelayService(chain.mainchain, sender, store, PLENTY)
        store.begin(["key"], 1000)
        service.watch()
        assert (store.spent(), store.payment_of("key")) == (0, None)
        store.close()


class TestInterface:
    @pytest.mark.parametrize(
        ("path", "content", "status"),
        [
            ("/v1/grant", b"{}", 422),
            ("/v1/grant", b"", 422),
            ("/v1/grant", b"[" * 5000, 422),
            ("/v1/revoke", b'{"policy_id":"0x00","signature":""}', 422),
            ("/v1/revoke", b'{"policy_id":"0x' + b"11" * 20 + b'","signature":"' + b"00" * 65 + b'"}', 422),
            ("/v1/evidence", b'{"receipt":{}}', 400),
            ("/v1/grant", b"x" * 20_000, 413),
            ("/v1/nothing", b"{}", 404),
            ("/healthz", b"{}", 405),
        ],
    )
    def test_malformed_requests_are_problems(self, relay: Running, path: str, content: bytes, status: int) -> None:
        answer = relay.client.post(path, content=content)
        assert answer.status_code == status
        assert slug(answer)

    def test_one_source_has_a_limit_and_its_grants_take_no_revocation_away(self, chain: Chain, tmp_path: Path) -> None:
        with running(chain, tmp_path, per_minute=2) as relay:
            grant, _, owner = signed = chain.grant()
            assert relay.grant(signed).status_code == 200
            relay.grant(signed)
            refused = relay.grant(signed)
            assert (refused.status_code, slug(refused)) == (429, "rate-limited")
            assert int(refused.headers["retry-after"]) > 0
            assert relay.revoke(chain, owner).status_code == 200
            assert chain.status(grant.owner) is PolicyStatus.REVOKED

    def test_it_says_what_it_serves_and_has_left(self, chain: Chain, relay: Running) -> None:
        relay.grant(chain.grant())
        told = relay.client.get("/v1/relay").json()
        assert told["chain_id"] == chain.mainchain.chain_id
        assert told["policy_registry"] == chain.mainchain.policies.address
        assert told["gas_left"] < PLENTY.gas == told["gas_left_for_revocations"] + relay.store.spent() - PLENTY.reserve
        assert relay.client.get("/healthz").status_code == relay.client.get("/readyz").status_code == 200
        assert 'panachain_relay_requests_total{kind="grant",status="200"} 1' in relay.client.get("/metrics").text
        assert set(relay.client.get("/openapi.json").json()["paths"]) >= {"/v1/grant", "/v1/revoke", "/v1/evidence"}

    def test_no_line_names_a_policy_or_an_address(
        self, chain: Chain, relay: Running, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG, logger="panachain"):
            signed = chain.grant()
            relay.grant(signed)
        text = caplog.text.lower()
        assert "grant 200" in text
        assert signed[0].owner.lower()[2:] not in text
        assert "testclient" not in text

    def test_a_dead_chain_is_unavailable(self, chain: Chain, relay: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        def dead(*_: Any) -> None:
            raise ChainUnavailableError("gone")

        signed = chain.grant()
        monkeypatch.setattr(chain.rpc, "call", dead)
        assert relay.client.get("/readyz").status_code == 503
        assert relay.grant(signed).status_code == 503


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an application on loopback, as `relay serve` does."""
    import uvicorn

    port = anvil.free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(60)


Reply = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextmanager
def dishonest(reply: Reply) -> Iterator[str]:
    """Serve something that isn't a relay."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            reply(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.over = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.over.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def says(status: int, content: Any) -> Reply:
    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def hangs(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Keep a request waiting until the test is over."""
    handler.server.over.wait(250)  # type: ignore[attr-defined]


def drips(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(80):
        try:
            handler.wfile.write(b" ")
            handler.wfile.flush()
        except OSError:
            return
        time.sleep(0.1)


LIE = {"state": "mined", "tx_hash": "0x" + "11" * 32, "block": 1, "gas_used": 1}
DISHONEST = {
    "lies": says(200, LIE),
    "says pending": says(202, {"state": "pending", "tx_hash": "0x"}),
    "censors": says(503, {"type": "urn:panachain:problem/unavailable", "detail": "no"}),
    "refuses": says(409, {"type": "urn:panachain:problem/would-revert", "detail": "PolicyInvalidSignature"}),
    "garbage": says(200, b"\xff\x00"),
    "list": says(200, []),
    "endless": says(200, b" " * 200_000),
    "hangs": hangs,
    "drips": drips,
}
QUICK = {"grace": 0.3, "confirm": 0.3, "patience": 0.5}


class TestClients:
    @pytest.mark.parametrize("kind", DISHONEST)
    def test_the_next_relay_is_used(self, chain: Chain, relay: Running, kind: str) -> None:
        honest = LocalRelay(chain.mainchain, chain.mainchain.sender(chain.payer(), lock_folder=chain.folder / "n"))
        with dishonest(DISHONEST[kind]) as url:
            relays = Relays(chain.mainchain, [RemoteRelay(url, timeout=0.5), honest], **QUICK)
            grant, signature, owner = chain.grant()
            assert relays.grant(grant, signature).gas_used > 21_000
            assert chain.status(grant.owner) is PolicyStatus.ACTIVE
            assert relays.revoke(grant.owner, chain.mainchain.policies.sign_revoke(owner)).block > 0
            assert chain.status(grant.owner) is PolicyStatus.REVOKED

    def test_all_are_named_when_none_does_it_and_it_ends(self, chain: Chain) -> None:
        grant, signature, owner = chain.grant()
        with dishonest(DISHONEST["lies"]) as liar, dishonest(DISHONEST["hangs"]) as hanging:
            relays = Relays(
                chain.mainchain,
                [RemoteRelay(url, timeout=0.5) for url in (liar, hanging, "http://127.0.0.1:1", "no url")],
                **QUICK,
            )
            with pytest.raises(RelaysUnavailableError) as caught:
                relays.grant(grant, signature)
            with pytest.raises(RelaysUnavailableError):
                relays.revoke(grant.owner, chain.mainchain.policies.sign_revoke(owner))
            assert caught.value.exit_code == 7
            for name in (liar, hanging, "http://127.0.0.1:1", "no url"):
                assert name in str(caught.value)
            assert "doesn't show it" in str(caught.value)

    def test_a_refusal_of_all_is_the_contracts(self, chain: Chain, relay: Running) -> None:
        with dishonest(DISHONEST["refuses"]) as url:
            relays = Relays(chain.mainchain, [RemoteRelay(url, timeout=1)] * 2, **QUICK)
            grant, signature, _ = chain.grant()
            with pytest.raises(TransactionError) as caught:
                relays.grant(grant, signature)
            assert caught.value.reason == "PolicyInvalidSignature"

    def test_a_relay_that_does_it_and_says_nothing_is_enough(self, chain: Chain, tmp_path: Path) -> None:
        grant, signature, owner = chain.grant()
        sender = chain.mainchain.sender(chain.payer(), lock_folder=tmp_path / "n")

        def silent(handler: http.server.BaseHTTPRequestHandler) -> None:
            if handler.path == "/v1/grant":
                chain.mainchain.policies.grant_by_signature(sender, grant, signature)
            else:
                chain.mainchain.policies.revoke_by_signature(
                    sender, grant.owner, chain.mainchain.policies.sign_revoke(owner)
                )
            hangs(handler)

        with dishonest(silent) as url:
            # It would be waited for until the test's own time is over.
            relays = Relays(chain.mainchain, [RemoteRelay(url, timeout=250)], **QUICK)
            relays.grant(grant, signature)
            relays.revoke(grant.owner, b"")

    def test_a_revocation_goes_to_all_the_others_at_once(self, chain: Chain) -> None:
        grant, _, owner = chain.grant()
        # Each of the two waits until the other one was asked too; the second would break it if it came only afterwards.
        both = threading.Barrier(2)

        def late(handler: http.server.BaseHTTPRequestHandler) -> None:
            both.wait(60)
            DISHONEST["censors"](handler)

        with dishonest(hangs) as first, dishonest(late) as second, dishonest(late) as third:
            urls = {first: 1.5, second: 120.0, third: 120.0}
            relays = Relays(chain.mainchain, [RemoteRelay(url, timeout=limit) for url, limit in urls.items()], **QUICK)
            with pytest.raises(RelaysUnavailableError):
                relays.revoke(grant.owner, chain.mainchain.policies.sign_revoke(owner))
        assert not both.broken

    def test_a_real_relay_over_http(self, chain: Chain, tmp_path: Path) -> None:
        store = RelayStore(tmp_path / "relay.sqlite")
        sender = chain.mainchain.sender(chain.payer(), lock_folder=tmp_path / "nonces")
        service = RelayService(chain.mainchain, sender, store, PLENTY)
        with served(create_app(service, per_minute=0, wait=5)) as url:
            relays = Relays(chain.mainchain, [RemoteRelay(url, timeout=10)])
            grant, signature, owner = chain.grant(view_tag=7, announcement=b"\x03" * 32)
            receipt = relays.grant(grant, signature)
            event = next(chain.mainchain.policies.events(policy_ids=[grant.owner], kind="PolicyGranted"))
            assert (event.tx_hash, event.view_tag, event.announcement) == (receipt.tx_hash, 7, b"\x03" * 32)
            relays.revoke(grant.owner, chain.mainchain.policies.sign_revoke(owner))
            assert chain.status(grant.owner) is PolicyStatus.REVOKED
            with pytest.raises(PolicyRevokedError):
                relays.grant(grant, signature)
        store.close()

    def test_without_a_chain_no_relay_is_believed(self, chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
        grant, signature, _ = chain.grant()

        def dead(*_: Any) -> None:
            raise ChainUnavailableError("gone")

        with dishonest(DISHONEST["lies"]) as url:
            relays = Relays(chain.mainchain, [RemoteRelay(url, timeout=1)], **QUICK)
            monkeypatch.setattr(chain.rpc, "call", dead)
            with pytest.raises(RelaysUnavailableError):
                relays.grant(grant, signature)


def test_anvil_refuses_as_nodes_do(chain: Chain) -> None:
    """The error code by which a revert is told from other refusals."""
    call = {"to": chain.mainchain.policies.address, "data": "0x12345678"}
    with pytest.raises(RpcAnswerError) as caught:
        chain.rpc.call("eth_estimateGas", [call])
    assert caught.value.code == 3
