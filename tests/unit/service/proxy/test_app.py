"""The proxy over HTTP, in-process: every refusal is a documented problem, and limits come before work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from panachain.crypto import umbral
from panachain.model.proxy_requests import ReencryptRequest
from panachain.proxy import client, messages
from panachain.service import problems, shapes
from panachain.service.proxy import app, models
from panachain.service.proxy.app import Limits, create_app
from panachain.service.standing import Rank, Standing
from tests.unit.service.proxy_world import Policy, ProxyWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ProxyWorld]:
    made = ProxyWorld(tmp_path, count=2)
    yield made
    made.close()


@pytest.fixture
def http(world: ProxyWorld) -> Iterator[TestClient]:
    with TestClient(create_app(world.services[0]), raise_server_exceptions=False) as running:
        yield running


def send(http: TestClient, request: ReencryptRequest) -> httpx.Response:
    return http.post("/v1/reencrypt", json=messages.reencrypt_fields(request))


def capsules_of(policy: Policy, count: int) -> tuple[bytes, ...]:
    return tuple(umbral.capsule_of(wrap) for wrap in policy.wraps(count).values())


def problem(response: httpx.Response) -> tuple[int, str]:
    """Return status and slug of a problem document, whose form is checked."""
    assert response.headers["content-type"] == "application/problem+json"
    found = shapes.Problem.model_validate(response.json())
    assert found.status == response.status_code
    assert found.type.startswith(problems.PREFIX)
    slug = found.type.removeprefix(problems.PREFIX)
    assert slug in {kind.slug for kind in problems.KINDS}
    return found.status, slug


class TestEndpoints:
    def test_reencrypt(self, world: ProxyWorld, http: TestClient) -> None:
        answer = send(http, world.request(world.grant()))
        assert answer.status_code == 200
        models.ReencryptAnswer.model_validate(answer.json())

    def test_several_threads_answer_several_people_rightly(self, world: ProxyWorld) -> None:
        policies = [world.grant() for _ in range(4)]
        requests = [world.request(policy, capsules=capsules_of(policy, 20)) for policy in policies for _ in range(2)]
        with (
            TestClient(create_app(world.services[0], threads=3)) as http,
            ThreadPoolExecutor(len(requests)) as pool,
        ):
            answers = list(pool.map(lambda request: send(http, request), requests))
        assert [answer.status_code for answer in answers] == [200] * len(requests)
        for number, (request, answer) in enumerate(zip(requests, answers, strict=True)):
            terms = policies[number // 2].terms
            keys = {"verifying": terms.verifying_key, "receiving": terms.receiving_key}
            found = [bytes.fromhex(cfrag) for cfrag in answer.json()["cfrags"]]
            for cfrag, capsule in zip(found, request.capsules, strict=True):
                umbral.check_cfrag(cfrag, capsule, delegating=terms.lanes[0].delegating_key, **keys)

    def test_a_thousand_capsules_pass_and_one_more_does_not(self, world: ProxyWorld, http: TestClient) -> None:
        policy = world.grant()
        capsule = world.request(policy).capsules[0]
        assert send(http, world.request(policy, capsules=(capsule,) * 1000)).status_code == 200
        assert problem(send(http, world.request(policy, capsules=(capsule,) * 1001))) == (422, "invalid-request")

    def test_deposit_receipts_and_revoke(self, world: ProxyWorld, http: TestClient) -> None:
        policy = world.grant(deposit=False)
        answer = http.post("/v1/deposit", json=messages.sealed_fields(world.sealed(policy, 0)))
        assert models.DepositAnswer.model_validate(answer.json()).receipt.kind == "deposited"
        asked = http.post("/v1/receipts", json=messages.receipts_fields(world.receipts_request(policy)))
        assert len(models.ReceiptsAnswer.model_validate(asked.json()).receipts) == 1
        fields = messages.revoke_fields(policy.terms.policy_id)
        assert problem(http.post("/v1/revoke", json=fields)) == (400, "bad-request")
        world.chain.revoke(policy.terms.policy_id)
        deleted = http.post("/v1/revoke", json=fields)
        assert models.RevokeAnswer.model_validate(deleted.json()).receipt.kind == "deleted"

    def test_state(self, world: ProxyWorld, http: TestClient) -> None:
        world.grant()
        assert models.HeadAnswer.model_validate(http.get("/v1/head").json()).sequence == 1
        models.HealthAnswer.model_validate(http.get("/healthz").json())
        models.ReadyAnswer.model_validate(http.get("/readyz").json())
        world.chain.age = 1000
        assert problem(http.get("/readyz")) == (503, "unavailable")
        assert http.get("/healthz").status_code == 200

    def test_metrics_name_nobody(self, world: ProxyWorld, http: TestClient) -> None:
        policy = world.grant()
        send(http, world.request(policy))
        send(http, world.request(policy, lane=3))
        http.get("/nothing")
        text = http.get("/metrics").text
        wanted = [
            'panachain_proxy_requests_total{endpoint="/v1/reencrypt",outcome="ok"} 1.0',
            'panachain_proxy_requests_total{endpoint="/v1/reencrypt",outcome="out-of-scope"} 1.0',
            'panachain_proxy_requests_total{endpoint="other",outcome="not-found"} 1.0',
            "panachain_proxy_cfrags_total 1.0",
            "panachain_proxy_log_sequence 3.0",
            "panachain_proxy_head_age_seconds 0.0",
        ]
        assert [line for line in wanted if line not in text] == []
        assert "0x" not in text
        world.chain.now, world.chain.age = world.chain.now, 0


class TestRefusals:
    def test_unknown_path_and_method(self, http: TestClient) -> None:
        assert problem(http.get("/v1/nothing")) == (404, "not-found")
        answer = http.get("/v1/reencrypt")
        assert problem(answer) == (405, "method-not-allowed")
        assert answer.headers["allow"] == "POST"

    @pytest.mark.parametrize(
        "body",
        [
            *(b"", b"[]", b"null", b"{", b'"x"', b"{}", b'{"schema":"panachain/reencrypt/1"}', b"\xff\xfe"),
            *(b"[" * 100_000, b"[]" * 100_000, b'{"a":NaN}', b'{"a":1,"a":2}', b'{"schema":1e999}'),
        ],
    )
    @pytest.mark.parametrize("path", ["/v1/reencrypt", "/v1/deposit", "/v1/revoke", "/v1/receipts"])
    def test_what_is_no_message(self, http: TestClient, path: str, body: bytes) -> None:
        assert problem(http.post(path, content=body)) == (422, "invalid-request")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            *(("capsules", []), ("capsules", ["00"]), ("capsules", "00"), ("capsules", [None]), ("lane", -1)),
            *(("lane", True), ("lane", 1.0), ("lane", "0"), ("lane", 4096), ("nonce", "00" * 15), ("purpose", "FUN")),
            *(("signature", "zz" * 65), ("signature", "AA" * 65), ("expires_at", 1 << 48), ("proxy", "0x00")),
            *(("purpose", None), ("purpose", []), ("more", 1), ("requester", "0x" + "é" * 40)),
        ],
    )
    def test_fields_of_a_wrong_form(self, world: ProxyWorld, http: TestClient, field: str, value: object) -> None:
        fields = messages.reencrypt_fields(world.request(world.grant())) | {field: value}
        assert problem(http.post("/v1/reencrypt", json=fields)) == (422, "invalid-request")

    def test_a_missing_field(self, world: ProxyWorld, http: TestClient) -> None:
        fields = messages.reencrypt_fields(world.request(world.grant()))
        for name in fields:
            rest = {key: value for key, value in fields.items() if key != name}
            assert problem(http.post("/v1/reencrypt", json=rest)) == (422, "invalid-request")

    def test_a_large_body_is_refused_before_it_is_read(self, http: TestClient) -> None:
        assert problem(http.post("/v1/reencrypt", content=b" " * (messages.MAX_BODY + 1))) == (413, "too-large")

        def endless() -> Iterator[bytes]:
            for _ in range(1000):
                yield b" " * 65_536

        assert problem(http.post("/v1/reencrypt", content=endless())) == (413, "too-large")

    def test_a_body_that_does_not_come_is_cut(self, world: ProxyWorld) -> None:
        app = create_app(world.services[0], Limits(body_seconds=0.05))
        asked = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"{"
            # What is awaited here never comes.
            await asked.wait()
            yield b"}"

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=_Streaming(transport), base_url="http://proxy") as asking:
                return await asking.post("/v1/reencrypt", content=slow())

        assert problem(asyncio.run(ask())) == (408, "timeout")

    def test_a_wrong_signature(self, world: ProxyWorld, http: TestClient) -> None:
        policy = world.grant()
        fields = messages.reencrypt_fields(world.request(policy)) | {"lane": 1}
        assert problem(http.post("/v1/reencrypt", json=fields)) == (403, "out-of-scope")

    def test_rules(self, world: ProxyWorld, http: TestClient) -> None:
        policy = world.grant()
        request = world.request(policy)
        assert send(http, request).status_code == 200
        assert problem(send(http, request)) == (400, "bad-request")
        assert problem(send(http, world.request(world.grant(deposit=False)))) == (404, "policy-unknown")
        world.chain.expire(policy.terms.policy_id)
        assert problem(send(http, world.request(policy))) == (403, "policy-expired")
        world.chain.revoke(policy.terms.policy_id)
        assert problem(send(http, world.request(policy))) == (403, "policy-revoked")

    def test_a_fault_tells_nothing(self, world: ProxyWorld, http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_: object) -> None:
            raise RuntimeError("something private")

        monkeypatch.setattr(world.services[0], "begin_reencryption", fail)
        answer = send(http, world.request(world.grant()))
        assert problem(answer) == (500, "internal")
        assert "private" not in answer.text

    def test_every_problem_is_known_to_the_client(self) -> None:
        assert {kind.slug for kind in problems.KINDS} == set(client.PROBLEMS)


class TestRates:
    def test_a_signers_limit_counts_only_what_he_signed(self, world: ProxyWorld) -> None:
        policy, other = world.grant(), world.grant()
        with TestClient(create_app(world.services[0], Limits(sender_rate=3))) as http:
            forged = messages.reencrypt_fields(world.request(policy)) | {"signature": "11" * 65}
            for _ in range(10):
                assert problem(http.post("/v1/reencrypt", json=forged))[1] == "out-of-scope"
            assert [send(http, world.request(policy)).status_code for _ in range(3)] == [200] * 3
            refused = send(http, world.request(policy))
            assert problem(refused) == (429, "rate-limited")
            assert 0 < int(refused.headers["retry-after"]) <= 21
            assert send(http, world.request(other)).status_code == 200

    def test_a_signer_may_come_again_once_the_minute_has_gone_on(self, world: ProxyWorld) -> None:
        policy, now = world.grant(), [0.0]
        with TestClient(create_app(world.services[0], Limits(sender_rate=2), clock=lambda: now[0])) as http:
            assert [send(http, world.request(policy)).status_code for _ in range(3)] == [200, 200, 429]
            now[0] += 29
            assert send(http, world.request(policy)).status_code == 429
            now[0] += 1
            assert send(http, world.request(policy)).status_code == 200

    def test_an_addresss_limit_comes_first(self, world: ProxyWorld) -> None:
        with TestClient(create_app(world.services[0], Limits(address_rate=3))) as http:
            statuses = [http.post("/v1/reencrypt", content=b"x").status_code for _ in range(5)]
            assert statuses == [422, 422, 422, 429, 429]

    def test_zero_turns_the_addresss_limit_off(self, world: ProxyWorld) -> None:
        with TestClient(create_app(world.services[0], Limits(address_rate=0))) as http:
            assert {http.post("/v1/reencrypt", content=b"x").status_code for _ in range(50)} == {422}


class _Streaming(httpx.AsyncBaseTransport):
    """ASGITransport reads a request's body as the application asks for it; this only keeps it bounded in time."""

    def __init__(self, inner: httpx.ASGITransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await asyncio.wait_for(self._inner.handle_async_request(request), 60)


class TestStanding:
    """What a request makes of its source and its signer, for their next turns."""

    @pytest.fixture
    def standing(self, monkeypatch: pytest.MonkeyPatch) -> Standing:
        made = Standing(clock=lambda: 0.0)
        monkeypatch.setattr(app, "Standing", lambda **_: made)
        return made

    @pytest.fixture
    def http(self, standing: Standing, world: ProxyWorld) -> Iterator[TestClient]:
        with TestClient(create_app(world.services[0]), raise_server_exceptions=False) as running:
            yield running

    def test_work_that_was_good_puts_both_first(self, standing: Standing, world: ProxyWorld, http: TestClient) -> None:
        request = world.request(world.grant())
        assert send(http, request).status_code == 200
        assert (standing.of(request.requester), standing.of("testclient")) == (Rank.GOOD, Rank.GOOD)

    def test_work_that_came_to_nothing_puts_both_last(
        self, standing: Standing, world: ProxyWorld, http: TestClient
    ) -> None:
        policy = world.grant()
        good = world.request(policy).capsules[0]
        request = world.request(policy, capsules=(good, good[:-1] + bytes([good[-1] ^ 1])))
        assert problem(send(http, request)) == (400, "bad-request")
        assert (standing.of(request.requester), standing.of("testclient")) == (Rank.BAD, Rank.BAD)
        # They are served all the same.
        assert send(http, world.request(policy)).status_code == 200

    def test_a_deposit_that_came_to_nothing_puts_its_source_last(
        self, standing: Standing, world: ProxyWorld, http: TestClient
    ) -> None:
        policy = world.grant(deposit=False)
        sealed = world.sealed(policy, 0)
        spoilt = messages.sealed_fields(sealed[:-1] + bytes([sealed[-1] ^ 1]))
        assert problem(http.post("/v1/deposit", json=spoilt)) == (400, "bad-request")
        assert standing.of("testclient") is Rank.BAD
        assert http.post("/v1/deposit", json=messages.sealed_fields(sealed)).status_code == 200

    @pytest.mark.parametrize("body", ["{", "refused"])
    def test_a_refusal_ends_a_good_name_and_makes_no_bad_one(
        self, standing: Standing, world: ProxyWorld, http: TestClient, body: str
    ) -> None:
        policy = world.grant()
        request = world.request(policy)
        assert send(http, request).status_code == 200
        refused = world.request(policy, lane=3)
        answer = send(http, refused) if body == "refused" else http.post("/v1/reencrypt", content=body)
        assert answer.status_code in (403, 422)
        assert standing.of("testclient") is Rank.UNKNOWN
        # Whoever was admitted lately doesn't depend on who else is at their address.
        assert standing.of(request.requester) is Rank.GOOD
