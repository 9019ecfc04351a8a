"""The public parts of a network, looked at from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from unittest.mock import patch

import httpx
import pytest

from panachain.chain.config import ChainConfig, NodeConfig
from panachain.errors import StoreUnavailableError
from panachain.model.actors import Address
from panachain.proxy import messages
from panachain.sdk import services as subject
from panachain.sdk.services import look
from panachain.wire.messages import ConnectError
from panachain.wire.transport import BoundedTransport
from tests.twin.world import World
from tests.unit.sdk.helpers import grant, opened, upload

METRICS = b"""# HELP panachain_proxy_requests_total Requests by endpoint and outcome
# TYPE panachain_proxy_requests_total counter
panachain_proxy_requests_total{endpoint="/v1/reencrypt",outcome="ok"} 5.0
panachain_proxy_requests_total{endpoint="/v1/reencrypt",outcome="policy-revoked"} 2.0
panachain_proxy_requests_total{endpoint="other",outcome="not-found"} 1.0
panachain_proxy_cfrags_total 7.0
panachain_proxy_head_age_seconds 3.0
"""
Answers = Callable[[httpx.Request], httpx.Response | None]


class Body(httpx.SyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content


def answering(world: World, answers: Answers) -> object:
    """Let `answers` answer requests, and the world those for which it gives None."""
    return patch.object(
        BoundedTransport, "handle_request", lambda _, request: answers(request) or world.answer(request)
    )


def given(request: httpx.Request, content: bytes, status: int = 200) -> httpx.Response:
    return httpx.Response(status, stream=Body(content), request=request)


def test_each_proxy_tells_how_it_is_and_how_long_its_log_is(world: World) -> None:
    upload(world)
    opened(world, grant(world).policy_id)
    world.wait()
    seen = look(world.network)
    assert (seen.ready, seen.threshold, len(seen.proxies)) == (3, 2, 3)
    assert {one.address for one in seen.proxies} == {proxy.address for proxy in world.proxies}
    assert all(one.sequence and one.anchored == 0 and one.head for one in seen.proxies)
    assert (seen.at, seen.store.problem, seen.store.holds) == (world.now, "", True)


def test_one_that_is_down_is_told_and_hides_no_other(world: World) -> None:
    world.proxies[1].up = False
    seen = look(world.network)
    assert [one.is_ready for one in seen.proxies] == [True, False, True]
    assert seen.proxies[1].problem == "it doesn't answer (nobody takes a connection there)"
    assert seen.proxies[1].sequence is None


def test_what_it_counts_is_read_where_it_says_so(world: World) -> None:
    with answering(world, lambda request: given(request, METRICS) if request.url.path == "/metrics" else None):
        first = look(world.network).proxies[0]
    assert (first.served, first.refused, first.head_age) == (7, 3, 3)
    assert look(world.network).proxies[0].served is None


@pytest.mark.parametrize(
    "content",
    [b"panachain_proxy_cfrags_total nan\n", b"panachain_proxy_cfrags_total 9e99\n", b"\xff\x00" * 9_000, b"{" * 60_000],
)
def test_counts_that_cannot_be_counts_are_none(world: World, content: bytes) -> None:
    with answering(world, lambda request: given(request, content) if request.url.path == "/metrics" else None):
        assert look(world.network).proxies[0].served is None


def test_a_head_that_another_one_signed_is_told(world: World) -> None:
    other = messages.canonical(world.proxies[1].service.head())
    with answering(
        world,
        lambda request: (
            given(request, other) if (request.url.host, request.url.path) == ("proxy-0.test", "/v1/head") else None
        ),
    ):
        first, second, _ = look(world.network).proxies
    assert "can't be believed" in first.problem
    assert first.sequence is None
    assert second.is_ready


def test_a_log_that_is_shorter_than_what_is_anchored_is_no_log_of_its(world: World) -> None:
    log = world.network.mainchain.log
    with patch.object(type(log), "anchor_of", lambda _, __: (9, b"h" * 32)):
        seen = look(world.network)
    assert all(one.problem == "its log isn't the one whose head is anchored" for one in seen.proxies)
    assert seen.ready == 0


def test_a_conviction_on_chain_is_told(world: World) -> None:
    log = world.network.mainchain.log
    with patch.object(type(log), "convictions_of", lambda _, proxy: [proxy] * 2):
        assert [one.convictions for one in look(world.network).proxies] == [2, 2, 2]


def test_relays_tell_what_is_left_of_their_budget(world: World) -> None:
    world.network.relays = ("https://relay.test", "ftp://relay.test")
    world.network.sidechain_relays = ("https://spent.test/",)

    def answers(request: httpx.Request) -> httpx.Response | None:
        if request.url.path == "/metrics":
            return given(request, b"panachain_relay_waiting 4\n")
        if request.url.host == "relay.test":
            return given(request, b'{"gas_left": 21000}')
        return given(request, b'{"gas_left": 0}') if request.url.host == "spent.test" else None

    with answering(world, answers):
        ready, wrong, spent = look(world.network).relays
    assert (ready.problem, ready.gas_left, ready.waiting, ready.kind) == ("", 21_000, 4, "policies")
    assert wrong.problem == "it is no URL"
    assert (spent.problem, spent.kind) == ("its budget is used up for now", "sidechain")


def test_a_gate_must_refuse_strangers(world: World) -> None:
    nodes = tuple(NodeConfig(f"http://{name}.test") for name in ("shut", "open", "gone"))
    world.network._side = ChainConfig(nodes, 31_338, {})

    def answers(request: httpx.Request) -> httpx.Response | None:
        if request.url.host == "gone.test":
            raise ConnectError("refused")
        status = {"shut.test": 401, "open.test": 200}.get(request.url.host)
        return None if status is None else given(request, b"{}", status)

    with answering(world, answers):
        shut, wide, gone = look(world.network).gates
    assert (shut.refuses, wide.refuses, gone.refuses) == (True, False, True)
    assert "status 200" in wide.detail


def test_a_store_that_does_not_answer_is_told(world: World) -> None:
    with patch.object(type(world.network.store), "blocks", side_effect=StoreUnavailableError("gone")):
        store = look(world.network).store
    assert (store.problem, store.holds) == ("gone", False)


def test_nothing_is_sent_to_an_endpoint_that_is_refused(world: World) -> None:
    asked: list[str] = []

    def answers(request: httpx.Request) -> None:
        asked.append(request.url.host)

    proxy = world.proxies[0]
    with (
        answering(world, answers),
        patch.object(type(world.network.reach), "url", side_effect=subject.IntegrityError("refused")),
    ):
        seen = look(world.network)
    assert [one.problem for one in seen.proxies] == ["refused"] * 3
    assert asked == []
    assert seen.proxies[0].address == Address(proxy.address)
