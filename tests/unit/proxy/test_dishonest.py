"""Proxies that lie in every way that can be written: with t honest ones all opens, with fewer nothing wrong does."""

from __future__ import annotations

import copy
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.receipts import receipt_hash
from panachain.chain.signing import Account
from panachain.chain.typed import request_hash, sign_answer
from panachain.crypto import umbral
from panachain.errors import (
    AccessDeniedError,
    IntegrityError,
    PanaChainError,
    PolicyRevokedError,
    ProxiesUnavailableError,
    UnavailableError,
)
from panachain.model.scope import Purpose
from panachain.proxy import messages, race
from panachain.proxy.race import Pace
from panachain.sdk.proxies import Proxies
from panachain.sdk.proxy_evidence import judge
from panachain.service.proxy.service import ProxyService
from tests.unit.service.loopback import Answer, Behaviour, Server, after_the_first, honest, serving, slow
from tests.unit.service.proxy_world import DOMAIN, Policy, ProxyWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ProxyWorld]:
    made = ProxyWorld(tmp_path)
    yield made
    made.close()


def opened(
    world: ProxyWorld, policy: Policy, servers: list[Server], wraps: dict[str, bytes], pace: Pace | None = None
) -> dict[str, bytes]:
    """Open wraps through servers, with the evidence in the world's folder."""
    proxies = Proxies(world.network(), evidence=world.folder / "evidence", pace=pace)
    refs = tuple(
        replace(ref, endpoint=server.endpoint) for ref, server in zip(policy.terms.proxies, servers, strict=True)
    )
    try:
        return proxies.unwrap(policy.reader(), replace(policy.terms, proxies=refs), 0, wraps, Purpose.TREAT).messages
    finally:
        proxies.close()


def evidence(world: ProxyWorld) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted((world.folder / "evidence").glob("*.json"))]


@dataclass
class Stand:
    """What `honest` needs of a server."""

    service: ProxyService


def good_answer(server: Server, fields: dict[str, Any]) -> dict[str, Any]:
    status, body = honest(server, "/v1/reencrypt", fields)
    assert status == 200, body
    answer: dict[str, Any] = json.loads(body)
    return answer


def signed_again(server: Server, fields: dict[str, Any], answer: dict[str, Any]) -> Answer:
    """Let the proxy sign what a test made of its answer, as a proxy that lies would."""
    parsed = messages.parse_answer(answer, count=len(answer["cfrags"]))
    signature = sign_answer(
        server.service._account,
        DOMAIN,
        request=request_hash(messages.parse_reencrypt(fields)),
        cfrags=parsed.cfrags,
        receipt=receipt_hash(parsed.receipt),
    )
    return 200, json.dumps(answer | {"signature": signature.hex()}).encode()


# Lies that the proxy signs: they convict it.


def wrong_order(server: Server, _: str, fields: dict[str, Any]) -> Answer:
    answer = good_answer(server, fields)
    return signed_again(server, fields, answer | {"cfrags": answer["cfrags"][::-1]})


def flipped_cfrag(server: Server, _: str, fields: dict[str, Any]) -> Answer:
    answer = good_answer(server, fields)
    cfrag = bytearray.fromhex(answer["cfrags"][-1])
    cfrag[100] ^= 1
    return signed_again(server, fields, answer | {"cfrags": [*answer["cfrags"][:-1], cfrag.hex()]})


def random_cfrags(server: Server, _: str, fields: dict[str, Any]) -> Answer:
    answer = good_answer(server, fields)
    return signed_again(server, fields, answer | {"cfrags": [os.urandom(381).hex() for _ in answer["cfrags"]]})


def one_cfrag_for_all(server: Server, _: str, fields: dict[str, Any]) -> Answer:
    answer = good_answer(server, fields)
    return signed_again(server, fields, answer | {"cfrags": answer["cfrags"][:1] * len(answer["cfrags"])})


def stale_block(server: Server, path: str, fields: dict[str, Any]) -> Answer:
    service = copy.copy(server.service)
    chain: Any = copy.copy(service._chain)
    chain.now -= 1000
    service._chain, service._max_head_age = chain, 10**9
    return honest(Stand(service), path, fields)


# Lies that nobody signed, or that somebody else did.


def garbage(_: Server, __: str, ___: dict[str, Any]) -> Answer:
    return 200, os.urandom(500)


def truncated(server: Server, path: str, fields: dict[str, Any]) -> Answer:
    return 200, honest(server, path, fields)[1][:-20]


def deep(_: Server, __: str, ___: dict[str, Any]) -> Answer:
    return 200, b'{"cfrags":' + b"[" * 100_000


def huge(_: Server, __: str, ___: dict[str, Any]) -> Answer:
    return 200, b" " * (messages.MAX_ANSWER + 1000)


def empty_object(_: Server, __: str, ___: dict[str, Any]) -> Answer:
    return 200, b"{}"


def wrong_count(server: Server, _: str, fields: dict[str, Any]) -> Answer:
    answer = good_answer(server, fields)
    return 200, json.dumps(answer | {"cfrags": answer["cfrags"][:-1]}).encode()


def unsigned(server: Server, _: str, fields: dict[str, Any]) -> Answer:
    return 200, json.dumps(good_answer(server, fields) | {"signature": "00" * 65}).encode()


def signed_by_stranger(server: Server, _: str, fields: dict[str, Any]) -> Answer:
    answer = good_answer(server, fields)
    real, server.service._account = server.service._account, Account(os.urandom(32))
    try:
        return signed_again(server, fields, answer)
    finally:
        server.service._account = real


def without_receipt(server: Server, _: str, fields: dict[str, Any]) -> Answer:
    return 200, json.dumps(good_answer(server, fields) | {"receipt": None}).encode()


def receipt_for_a_denial(server: Server, _: str, fields: dict[str, Any]) -> Answer:
    answer = good_answer(server, fields)
    return signed_again(server, fields, answer | {"receipt": answer["receipt"] | {"kind": "denied"}})


def receipt_for_less(server: Server, _: str, fields: dict[str, Any]) -> Answer:
    answer = good_answer(server, fields)
    return signed_again(server, fields, answer | {"receipt": answer["receipt"] | {"count": 0}})


def receipt_for_another_policy(server: Server, _: str, fields: dict[str, Any]) -> Answer:
    answer = good_answer(server, fields)
    return signed_again(server, fields, answer | {"receipt": answer["receipt"] | {"policy_id": "0x" + "44" * 20}})


# No answers.


def silent(_: Server, __: str, ___: dict[str, Any]) -> Answer:
    return 0, b""


def hanging(server: Server, _: str, __: dict[str, Any]) -> Answer:
    server.hang()
    return 0, b""


def broken(_: Server, __: str, ___: dict[str, Any]) -> Answer:
    return 500, b"<html>no</html>"


CONVICTING = [
    *(wrong_order, flipped_cfrag, random_cfrags, one_cfrag_for_all, stale_block),
    *(receipt_for_a_denial, receipt_for_less, receipt_for_another_policy),
]
NAMED = [garbage, truncated, deep, empty_object, wrong_count, unsigned, signed_by_stranger, without_receipt]
DOWN = [silent, hanging, broken]


@pytest.mark.parametrize("lie", [*CONVICTING, *NAMED, huge, *DOWN])
def test_with_t_honest_ones_everything_opens(world: ProxyWorld, lie: Behaviour) -> None:
    policy = world.grant()
    wraps = policy.wraps(3)
    with serving(world.services, lie) as servers:
        assert opened(world, policy, servers, wraps) == policy.plain(wraps)
        # A proxy that hangs still does so: nobody waited for it.
        assert lie is not hanging or servers[0].is_hanging


@pytest.mark.parametrize("lie", [*CONVICTING, *NAMED])
def test_a_liar_is_named_and_the_evidence_kept(
    world: ProxyWorld, lie: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    policy = world.grant()
    wraps = policy.wraps(3)
    # The honest ones wait, so that the lie is looked at.
    with (
        serving(world.services, lie, after_the_first(0.1), after_the_first(0.3)) as servers,
        caplog.at_level(logging.WARNING),
    ):
        assert opened(world, policy, servers, wraps) == policy.plain(wraps)
    (found,) = evidence(world)
    assert (found["proxy"], found["schema"]) == (world.services[0].address, "panachain/proxy-lie/1")
    assert [record.name for record in caplog.records] == ["panachain.proxies"]
    assert world.services[0].address in caplog.text
    assert judge(found) is (lie in CONVICTING)
    (path,) = (world.folder / "evidence").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    secrets = {policy.secret.reveal().hex(), policy.lane.reveal().hex()}
    secrets |= {key.hex() for key in policy.plain(wraps).values()}
    assert not any(secret in path.read_text() for secret in secrets)


@pytest.mark.parametrize("lie", [*CONVICTING, *NAMED, huge, silent, broken])
def test_with_fewer_honest_ones_nothing_wrong_is_accepted(world: ProxyWorld, lie: Behaviour) -> None:
    policy = world.grant()
    with serving(world.services, lie, lie) as servers, pytest.raises(PanaChainError) as caught:
        opened(world, policy, servers, policy.wraps(3))
    assert isinstance(caught.value, IntegrityError if lie not in DOWN else ProxiesUnavailableError)


def test_honest_answers_convict_nobody(world: ProxyWorld) -> None:
    policy = world.grant()
    with serving(world.services) as servers:
        opened(world, policy, servers, policy.wraps(3))
        assert not (world.folder / "evidence").exists()


def test_changed_evidence_convicts_nobody(world: ProxyWorld) -> None:
    policy = world.grant()
    with serving(world.services, flipped_cfrag, after_the_first(0.1), after_the_first(0.3)) as servers:
        opened(world, policy, servers, policy.wraps(2))
    (found,) = evidence(world)
    assert judge(found)
    body = json.loads(bytes.fromhex(found["answer"]))
    body["cfrags"][0] = os.urandom(381).hex()
    assert not judge(found | {"answer": json.dumps(body).encode().hex()})
    assert not judge(found | {"request": found["request"] | {"nonce": "00" * 16}})


def test_a_replayed_answer_is_refused(world: ProxyWorld) -> None:
    policy = world.grant()
    wraps = policy.wraps(2)
    kept: list[bytes] = []

    def replaying(server: Server, path: str, fields: dict[str, Any]) -> Answer:
        if not kept:
            kept.append(honest(server, path, fields)[1])
        return 200, kept[0]

    with serving(world.services, replaying, after_the_first(0.1), after_the_first(0.3)) as servers:
        assert opened(world, policy, servers, wraps) == policy.plain(wraps)
        assert opened(world, policy, servers, wraps) == policy.plain(wraps)
    (found,) = evidence(world)
    assert "didn't sign its answer to this request" in found["reason"]


def test_another_policys_cfrags_are_refused(world: ProxyWorld) -> None:
    policy, other = world.grant(), world.grant()
    wraps = policy.wraps(2)

    def mixing(server: Server, _: str, fields: dict[str, Any]) -> Answer:
        capsules = tuple(bytes.fromhex(capsule) for capsule in fields["capsules"])
        keys = {
            "verifying": other.terms.verifying_key,
            "delegating": other.lane.public,
            "receiving": other.secret.public,
        }
        kfrag = umbral.check_kfrag(other.kfrags[0], **keys)
        cfrags = [cfrag.hex() for cfrag in umbral.reencrypt_many(capsules, kfrag, **keys)]
        return signed_again(server, fields, good_answer(server, fields) | {"cfrags": cfrags})

    with serving(world.services, mixing, after_the_first(0.1), after_the_first(0.3)) as servers:
        assert opened(world, policy, servers, wraps) == policy.plain(wraps)
    (found,) = evidence(world)
    assert judge(found)


def test_another_proxys_answer_is_refused(world: ProxyWorld) -> None:
    policy = world.grant()
    wraps = policy.wraps(2)

    def borrowing(_: Server, path: str, fields: dict[str, Any]) -> Answer:
        asked = messages.parse_reencrypt(fields)
        own = world.request(policy, 1, capsules=asked.capsules)
        return 200, json.dumps(world.services[1].reencrypt(own)).encode()

    with serving(world.services, borrowing, after_the_first(0.1), after_the_first(0.3)) as servers:
        assert opened(world, policy, servers, wraps) == policy.plain(wraps)
    assert [found["proxy"] for found in evidence(world)] == [world.services[0].address]


def test_a_denial_is_told_by_its_kind(world: ProxyWorld) -> None:
    policy = world.grant()
    world.chain.revoke(policy.terms.policy_id)
    with serving(world.services) as servers, pytest.raises(PolicyRevokedError, match="3 of 3 proxies refuse"):
        opened(world, policy, servers, policy.wraps(2))


def test_one_proxy_that_denies_for_no_reason_is_no_harm(world: ProxyWorld) -> None:
    policy = world.grant()
    wraps = policy.wraps(2)

    def denying(_: Server, __: str, ___: dict[str, Any]) -> Answer:
        return 403, b'{"type":"urn:panachain:problem/policy-revoked","detail":"no"}'

    with serving(world.services, denying) as servers:
        assert opened(world, policy, servers, wraps) == policy.plain(wraps)
    with serving(world.services, denying, denying) as servers, pytest.raises(AccessDeniedError):
        opened(world, policy, servers, wraps)


def test_hanging_proxies_fail_clearly_and_before_they_answer(world: ProxyWorld) -> None:
    policy = world.grant()
    with serving(world.services, hanging, hanging) as servers:
        with pytest.raises(ProxiesUnavailableError, match="1 of 3 proxies answered, 2 are needed"):
            # The honest one needs less also where many programs share its processor.
            opened(world, policy, servers, policy.wraps(2), Pace(patience=4.0))
        assert servers[0].is_hanging
        assert servers[1].is_hanging


def test_rate_limits_are_a_typed_failure(world: ProxyWorld) -> None:
    policy = world.grant()

    def limiting(_: Server, __: str, ___: dict[str, Any]) -> Answer:
        return 429, b'{"type":"urn:panachain:problem/rate-limited","detail":"later"}'

    with (
        serving(world.services, limiting, limiting) as servers,
        pytest.raises(UnavailableError, match="later"),
    ):
        opened(world, policy, servers, policy.wraps(2))


class TestManyCapsules:
    COUNT = 200

    def test_all_open_and_the_third_proxy_helps_with_the_first_piece_only(self, world: ProxyWorld) -> None:
        policy = world.grant()
        wraps = policy.wraps(self.COUNT)
        with serving(world.services, honest, honest, slow(0.6)) as servers:
            # Here all proxies share one processor with the client.
            assert opened(world, policy, servers, wraps, Pace(floor=60.0)) == policy.plain(wraps)
            asked = [sorted(len(fields["capsules"]) for fields in server.requests) for server in servers]
        assert asked[0] == asked[1] == sorted(race.piece_sizes(self.COUNT))
        assert asked[2] == [race.FIRST]

    @pytest.mark.parametrize(
        "trouble", [silent, flipped_cfrag, *(pytest.param(one, marks=pytest.mark.deep) for one in (hanging, garbage))]
    )
    def test_a_proxy_that_turns_bad_is_replaced(self, world: ProxyWorld, trouble: Behaviour) -> None:
        policy = world.grant()
        wraps = policy.wraps(self.COUNT)

        def turning(server: Server, path: str, fields: dict[str, Any]) -> Answer:
            return (honest if len(server.requests) == 1 else trouble)(server, path, fields)

        with serving(world.services, turning, honest, slow(0.2)) as servers:
            assert opened(world, policy, servers, wraps) == policy.plain(wraps)
            sent = [capsule for fields in servers[2].requests for capsule in fields["capsules"]]
            # On a busy machine the others may have finished before the first one is asked again.
            asked_again = len(servers[0].requests) > 1
            assert trouble is not hanging or servers[0].is_hanging or not asked_again
        assert len(sent) == len(set(sent))

    def test_no_proxy_gets_a_capsule_twice(self, world: ProxyWorld) -> None:
        policy = world.grant()
        wraps = policy.wraps(self.COUNT)
        with serving(world.services, flipped_cfrag, slow(0.05)) as servers:
            assert opened(world, policy, servers, wraps) == policy.plain(wraps)
            for server in servers:
                sent = [capsule for fields in server.requests for capsule in fields["capsules"]]
                assert len(sent) == len(set(sent))
