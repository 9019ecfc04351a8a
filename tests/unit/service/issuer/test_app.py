"""The issuer over HTTP: documented refusals, bounded for strangers, and no word of a patient in its log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.issuing import TokenRequest
from panachain.crypto.keys import Seed
from panachain.service.issuer.app import MAX_BODY
from tests.unit.service.issuer.world import KEY, IssuerWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[IssuerWorld]:
    made = IssuerWorld(tmp_path)
    yield made
    made.close()


def fields(request: TokenRequest) -> dict[str, Any]:
    return {
        "schema": "panachain/tokens/1",
        "patient": request.patient,
        "period": request.period,
        "blinded": [one.hex() for one in request.blinded],
        "expires_at": request.expires_at,
        "signature": request.signature.hex(),
    }


def slug(answer: Any) -> str:
    return str(answer.json()["type"]).rpartition("/")[2]


def test_gives_signatures_and_its_key(world: IssuerWorld, caplog: pytest.LogCaptureFixture) -> None:
    request = world.request(world.patient())
    with caplog.at_level(logging.DEBUG, logger="panachain"):
        answer = world.http.post("/v1/tokens", json=fields(request))
    assert answer.json()["signatures"] == [KEY.sign_blinded(one).hex() for one in request.blinded]
    assert bytes.fromhex(world.http.get("/v1/key").json()["key"]) == KEY.public.encoded
    assert request.patient.lower() not in caplog.text.lower()


def test_refusals_are_problems(world: IssuerWorld) -> None:
    seed = world.patient()
    good = fields(world.request(seed))
    cases = {
        "invalid-request": [good | {"more": 1}, good | {"blinded": ["00"]}, good | {"period": -1}, {}],
        "out-of-scope": [good | {"signature": "11" * 65}],
        "suspended": [fields(world.request(Seed.random()))],
        "bad-request": [fields(world.request(seed, period=1))],
    }
    for expected, bodies in cases.items():
        assert {slug(world.http.post("/v1/tokens", json=body)) for body in bodies} == {expected}
    assert slug(world.http.post("/v1/tokens", content=b" " * (MAX_BODY + 1))) == "too-large"
    assert slug(world.http.post("/v1/nothing")) == "not-found"
    assert world.http.post("/v1/tokens", json=good).status_code == 200


def test_an_address_asks_so_often_in_a_minute(world: IssuerWorld) -> None:
    statuses = [world.http.post("/v1/tokens", json={}).status_code for _ in range(32)]
    assert statuses == [422] * 30 + [429] * 2
    world.clock.now += 60
    assert world.http.post("/v1/tokens", json=fields(world.request(world.patient()))).status_code == 200
