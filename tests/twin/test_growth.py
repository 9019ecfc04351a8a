"""What others do on the chains costs a reader nothing: no command reads an event of theirs, but each notice once.

Counted, not timed; `./pana bench growth` measures the same with a million policies in a follower's tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from panachain.crypto import notice
from panachain.sdk.notices import DEPTH
from tests.twin.chains import TwinSource
from tests.twin.world import World, resource, running_world

STRANGERS = 60
WHO = [f"0x{number + 1:040x}" for number in range(STRANGERS)]
COMMANDS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "inbox": ("clinician", lambda actor, _: list(actor.inbox())),
    "open": ("clinician", lambda actor, policy: list(actor.open(policy))),
    "policies": ("patient", lambda actor, _: list(actor.policies())),
    "records": ("patient", lambda actor, _: list(actor.records())),
    "log": ("patient", lambda actor, _: list(actor.receipts())),
}


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as running:
        running.upload("hospital", [resource("laboratory", 2024, 1)])
        yield running


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whose policies or batches the events were about that were read."""
    found: list[str] = []
    real = TwinSource.events

    def counted(self: TwinSource, *given: Any, **named: Any) -> Iterator[Any]:
        for event in real(self, *given, **named):
            found.append(event.values.get("policyId") or event.values.get("hospital", ""))
            yield event

    monkeypatch.setattr(TwinSource, "events", counted)
    return found


def events_of(world: World, policy: Any, read: list[str]) -> dict[str, int]:
    """Return how many of strangers' events each command reads in a new session that remembers what is on disk."""
    counts = {}
    for command, (who, act) in COMMANDS.items():
        old = world.sessions[who]
        actor = type(old)(world.network, old.profile, "")
        read.clear()
        assert len(act(actor, policy))
        assert read
        counts[command] = sum(who in WHO for who in read)
    return counts


def strangers(world: World, tag: Callable[[str], tuple[bytes, int]], blocks: int) -> None:
    """Let strangers grant policies and publish, spread over some blocks."""
    chain = world.network.mainchain.chain
    now = world.now
    chain.mine()
    for number, who in enumerate(WHO):
        announcement, view_tag = tag(who)
        window = now | (now + 1000) << 48 | (now + 60) << 96 | view_tag << 144
        granted = {"policyId": who, "window": window, "terms": b"t" * 32, "announcement": announcement}
        chain.emit("PolicyRegistry", "PolicyGranted", **granted)
        stored = {"hospital": who, "sequence": 1, "manifest": b"m" * 32, "count": 1, "previous": bytes(32)}
        chain.emit("RecordLedger", "RecordsStored", **stored)
        if number % 10 == 0:
            for _ in range(blocks):
                chain.mine()
    chain.mine()


@pytest.mark.parametrize("blocks", [1, DEPTH], ids=["in the newest blocks", "deep"])
def test_what_strangers_do_costs_no_command_an_event(world: World, read: list[str], blocks: int) -> None:
    policy = world.patient.grant(world.clinician.address, ["laboratory"], until=world.now + 1000)
    for _ in range(2 * DEPTH):
        world.network.mainchain.chain.mine()
    nothing = dict.fromkeys(COMMANDS, 0)
    assert events_of(world, policy, read) == nothing
    # To a key that nobody here has; none of them fits by chance.
    own = world.sessions["clinician"]._readers()
    receiving = world.hospital.whoami().receiving_key

    def tag(who: Any) -> tuple[bytes, int]:
        while True:
            announcement, view_tag = notice.announce(receiving, who)
            if not any(notice.is_for(one.secret, announcement, view_tag, who) for one in own):
                return announcement, view_tag

    strangers(world, tag, blocks)
    # Each notice is tried once, and everything else passes them over.
    assert events_of(world, policy, read) == {**nothing, "inbox": STRANGERS}
    assert events_of(world, policy, read) == nothing
