"""Witnessing: the others are asked from where they know the log, and one that is down costs its cosignature alone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from panachain.consent.log_checkpoint import open_checkpoint, parse_growth_request
from panachain.errors import PanaChainError, UnavailableError
from panachain.model.actors import Actor, Role, Status
from panachain.proxy.client import Reply
from panachain.service.proxy.witnessing import Witnessing
from tests.unit.service.proxy_world import LOG_DOMAIN, ProxyWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ProxyWorld]:
    made = ProxyWorld(tmp_path)
    yield made
    made.close()


class Wires:
    """Connections to the services of a world; a question is answered as service/proxy/app.py does."""

    def __init__(self, world: ProxyWorld) -> None:
        self.world = world
        self.down: set[str] = set()
        self.asked: list[int] = []

    def post_text(self, endpoint: str, path: str, text: str, *, timeout: float) -> Reply:
        assert path == "/v1/witness/add-checkpoint"
        if endpoint in self.down:
            raise UnavailableError("down")
        self.asked.append(parse_growth_request(text.encode())[0])
        service = self.world.services[int(endpoint)]
        try:
            known, lines = service.log.cosign(text.encode(), lambda one: Actor(one, Role.PROXY, Status.ACTIVE, b""))
        except PanaChainError:
            return Reply(400, b"{}")
        return Reply(409, f"{known}\n".encode()) if known is not None else Reply(200, lines.encode())

    def close(self) -> None:
        pass


def proxies(world: ProxyWorld, status: Status = Status.ACTIVE) -> list[Actor]:
    return [
        Actor(service.address, Role.PROXY, status, b"", endpoint=str(number))
        for number, service in enumerate(world.services)
    ]


def made(world: ProxyWorld, wires: Any, **more: Any) -> Witnessing:
    return Witnessing(world.services[0].log, lambda: proxies(world, **more), wires)


def test_the_others_cosign_and_are_asked_from_where_they_are(world: ProxyWorld) -> None:
    world.grant()
    wires = Wires(world)
    asking = made(world, wires)
    assert asking.gather() == 2
    world.grant()
    assert asking.gather() == 2
    assert wires.asked == [0, 0, 1, 1]
    # A worker that was started anew is told where they are.
    world.grant()
    assert made(world, wires).gather() == 2
    assert sorted(wires.asked[4:]) == [0, 0, 2, 2]
    note = world.services[0].log.checkpoint()
    found = open_checkpoint(note.encode(), proxy=world.services[0].address, domain=LOG_DOMAIN)
    assert found.checkpoint.size == 3
    assert set(found.witnesses) == {service.address for service in world.services[1:]}


def test_one_that_is_down_costs_its_own_cosignature(world: ProxyWorld, caplog: pytest.LogCaptureFixture) -> None:
    world.grant()
    wires = Wires(world)
    wires.down = {"1"}
    with caplog.at_level(logging.WARNING):
        assert made(world, wires).gather() == 1
    assert "doesn't cosign" in caplog.text
    wires.down = {"1", "2"}
    world.grant()
    assert made(world, wires).gather() == 0
    # What was cosigned before stays what is shown.
    assert world.services[0].log.checkpoint().split("\n")[1] == "1"


def test_all_are_asked_at_once(world: ProxyWorld) -> None:
    world.grant()
    # Each answers once both are being asked: one after the other they never would.
    both = threading.Barrier(2)

    class Together(Wires):
        def post_text(self, *where: Any, **how: Any) -> Reply:
            both.wait(timeout=20)
            return super().post_text(*where, **how)

    assert made(world, Together(world)).gather() == 2


def test_one_that_hangs_delays_nobody_for_long(world: ProxyWorld, caplog: pytest.LogCaptureFixture) -> None:
    world.grant()
    end = threading.Event()

    class Hanging(Wires):
        def post_text(self, endpoint: str, path: str, text: str, *, timeout: float) -> Reply:
            if endpoint == "1":
                end.wait(timeout=60)
            return super().post_text(endpoint, path, text, timeout=timeout)

    try:
        asking = Witnessing(world.services[0].log, lambda: proxies(world), Hanging(world), altogether=1.0)  # type: ignore[arg-type]
        with caplog.at_level(logging.WARNING):
            assert asking.gather() == 1
        assert "no answer in time" in caplog.text
    finally:
        end.set()


def test_a_fault_of_our_own_in_one_thread_costs_one_cosignature(
    world: ProxyWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.grant()

    class Broken(Wires):
        def post_text(self, endpoint: str, path: str, text: str, *, timeout: float) -> Reply:
            if endpoint == "1":
                raise RuntimeError("secret")
            return super().post_text(endpoint, path, text, timeout=timeout)

    with caplog.at_level(logging.WARNING):
        assert made(world, Broken(world)).gather() == 1
    assert "failed: RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_those_who_are_suspended_are_not_asked(world: ProxyWorld) -> None:
    world.grant()
    wires = Wires(world)
    assert made(world, wires, status=Status.SUSPENDED).gather() == 0
    assert wires.asked == []


def test_a_witness_that_never_agrees_is_given_up(world: ProxyWorld) -> None:
    world.grant()

    class Stubborn(Wires):
        def post_text(self, *_: Any, **__: Any) -> Reply:
            self.asked.append(0)
            return Reply(409, b"0\n")

    wires = Stubborn(world)
    asking = made(world, wires)
    assert asking.gather() == 0
    assert len(wires.asked) == 4
    asking.close()
