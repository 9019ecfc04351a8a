"""The relay over HTTP, in process: limits first, forms checked, and no line that names anybody."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from panachain.service.relay.app import MAX_BODY, create_app
from panachain.service.relay.service import RelayService
from panachain.service.relay.tokens import Till
from tests.unit.service.relay.test_service import Held
from tests.unit.service.relay.test_tokens import RULES, token
from tests.unit.service.relay.world import even, policy_id, running, signed_grant


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def served(folder: Path, *, per_minute: int = 0, wait: float = 60.0, **settings: Any) -> Iterator[TestClient]:
    options = {"clock": settings.pop("clock")} if "clock" in settings else {}
    with (
        running(folder, **settings) as service,
        TestClient(create_app(service, per_minute=per_minute, wait=wait, starts=False, **options)) as client,
    ):
        yield client


def body(number: int = 1) -> dict[str, Any]:
    grant, signature = signed_grant(number)
    return {
        "policy_id": grant.owner,
        "starts_at": grant.starts_at,
        "expires_at": grant.expires_at,
        "deadline": grant.deadline,
        "terms": grant.terms.hex(),
        "signature": signature.hex(),
    }


def revocation(number: int = 1) -> dict[str, Any]:
    return {"policy_id": policy_id(number), "signature": even(number).hex()}


def slug(answer: Any) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["type"]).rpartition("/")[2]


def test_a_grant_is_told_when_it_is_mined(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        answer = client.post("/v1/grant", json=body())
        assert (answer.status_code, answer.json()["state"], answer.json()["block"]) == (200, "mined", 7)


def test_one_that_takes_longer_is_told_as_pending_and_mined_later(tmp_path: Path) -> None:
    sender = Held()
    with served(tmp_path, wait=0.05, sender=sender) as client:
        answer = client.post("/v1/grant", json=body())
        assert (answer.status_code, answer.json()["state"]) == (202, "pending")
        sender.go_on.set()
    with served(tmp_path) as client:
        assert client.post("/v1/grant", json=body()).status_code == 200


def test_a_source_has_a_limit_for_a_minute_and_revocations_have_their_own(tmp_path: Path) -> None:
    clock = Clock()
    with served(tmp_path, per_minute=2, clock=clock) as client:
        assert [client.post("/v1/grant", json=body()).status_code for _ in range(3)] == [200, 200, 429]
        assert client.post("/v1/revoke", json=revocation()).status_code == 200
        clock.now += 29
        assert client.post("/v1/grant", json=body()).status_code == 429
        clock.now += 1
        assert client.post("/v1/grant", json=body()).status_code == 200


@pytest.mark.parametrize("name", [*body(), "more"])
def test_a_field_that_is_missing_or_unknown_or_of_a_wrong_form_is_named(tmp_path: Path, name: str) -> None:
    with served(tmp_path) as client:
        wrong = client.post("/v1/grant", json=body() | {name: "zz"})
        assert (wrong.status_code, slug(wrong)) == (422, "invalid-request")
        if name != "more":
            assert name in wrong.json()["detail"]
            missing = client.post("/v1/grant", json={key: value for key, value in body().items() if key != name})
            assert (missing.status_code, name in missing.json()["detail"]) == (422, True)


@pytest.mark.parametrize("content", [b"", b"x", b"[]", b"[" * 5000, b'{"policy_id":1,"policy_id":2}'])
def test_what_is_no_message_is_a_problem(tmp_path: Path, content: bytes) -> None:
    with served(tmp_path) as client:
        assert slug(client.post("/v1/revoke", content=content)) == "invalid-request"


def test_transport_has_its_problems(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        assert slug(client.post("/v1/grant", content=b" " * (MAX_BODY + 1))) == "too-large"
        assert slug(client.post("/v1/nothing")) == "not-found"
        unfit = client.post("/healthz")
        assert (slug(unfit), unfit.headers["allow"]) == ("method-not-allowed", "GET")


def test_no_line_and_no_metric_names_a_policy_or_an_address(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with served(tmp_path) as client, caplog.at_level(logging.DEBUG, logger="panachain"):
        client.post("/v1/grant", json=body(0xABCDEF))
        text = caplog.text.lower() + client.get("/metrics").text
    assert "grant 200" in text
    assert 'requests_total{kind="grant",status="200"} 1' in text
    assert "abcdef" not in text
    assert "testclient" not in text


def test_a_token_pays_for_a_grant_over_http_and_a_stranger_has_none(tmp_path: Path) -> None:
    with served(tmp_path, till=Till(RULES, clock=lambda: 5500.0)) as client:
        assert client.get("/v1/relay").json()["token_issuer"] == "issuer.test"
        for wrong in (body(), body() | {"token": ""}, body() | {"token": "00" * 354}):
            refused = client.post("/v1/grant", json=wrong)
            assert (refused.status_code, slug(refused)) == (401, "token-needed")
        paid = {"token": token().hex()}
        assert client.post("/v1/grant", json=body() | paid).status_code == 200
        spent = client.post("/v1/grant", json=body(2) | paid)
        assert (spent.status_code, slug(spent)) == (409, "token-spent")
        assert slug(client.post("/v1/grant", json=body(2) | {"token": "00"})) == "invalid-request"
        # Nobody granted it, so anybody could sign its revocation.
        assert slug(client.post("/v1/revoke", json=revocation())) == "token-needed"
        assert client.post("/v1/revoke", json=revocation() | {"token": token().hex()}).status_code == 200


def test_looks_of_strangers_take_no_orders_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty look at once while the chain doesn't answer: more than the threads that orders have."""
    go_on, here, arrived = threading.Event(), threading.Event(), itertools.count(1)
    monkeypatch.setattr(RelayService, "check_ready", lambda _: go_on.wait(60))
    with served(tmp_path) as client, ThreadPoolExecutor(61) as people:
        app: Any = client.app
        inner = app.middleware_stack

        async def counting(scope: Any, receive: Any, send: Any) -> None:
            if next(arrived) == 60:
                here.set()
            await inner(scope, receive, send)

        app.middleware_stack = counting
        looks = [people.submit(client.get, "/readyz") for _ in range(60)]
        try:
            assert here.wait(60)
            assert people.submit(client.post, "/v1/grant", json=body()).result(timeout=30).status_code == 200
        finally:
            go_on.set()
        assert {look.result().status_code for look in looks} == {200}
