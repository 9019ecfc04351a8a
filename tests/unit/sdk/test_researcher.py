"""The researcher's queries: filters by words, times and names; public data only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from panachain.errors import UnknownActorError, UsageError
from tests.twin.world import START, World
from tests.unit.sdk.helpers import DAY, grant, opened, upload


class TestPolicies:
    def test_are_in_the_order_of_the_chain_with_their_status(self, world: World) -> None:
        first, second = grant(world), grant(world, "nurse")
        world.patient.revoke(first.policy_id)
        rows = world.researcher.query("policies").rows
        assert [(row.policy_id, row.status) for row in rows] == [
            (first.policy_id, "revoked"),
            (second.policy_id, "active"),
        ]
        assert [row.policy_id for row in world.researcher.query("policies", status="active")] == [second.policy_id]

    def test_what_was_not_disclosed_is_not_found_by_it(self, world: World) -> None:
        grant(world)
        shown = grant(world, "nurse", disclose=True)
        found = world.researcher.query("policies", categories="laboratory", purpose="treat")
        assert [row.policy_id for row in found] == [shown.policy_id]
        assert len(world.researcher.query("policies", categories="vitals").rows) == 0

    def test_no_row_says_whom_a_sealed_policy_is_about(self, world: World) -> None:
        grant(world)
        (row,) = world.researcher.query("policies")
        text = str(row.to_json()).lower()
        for who in ("patient", "clinician"):
            assert world.sessions[who].address.lower() not in text

    def test_times_may_be_moments_or_lengths_back_from_now(self, world: World) -> None:
        early = grant(world)
        world.advance(1000)
        late = grant(world, "nurse")
        since = datetime.fromtimestamp(START + 500, UTC)
        for filters in ({"since": since}, {"since": START + 500}, {"since": timedelta(seconds=500)}):
            assert [row.policy_id for row in world.researcher.query("policies", **filters)] == [late.policy_id]
        assert [row.policy_id for row in world.researcher.query("policies", until=since)] == [early.policy_id]

    def test_an_old_block_shows_the_chain_as_it_stood(self, world: World) -> None:
        grant(world)
        block = world.network.mainchain.head_block().number
        grant(world, "nurse")
        assert len(world.researcher.query("policies", as_of_block=block).rows) == 1
        assert len(world.researcher.query("policies", limit=1).rows) == 1
        with pytest.raises(UsageError):
            world.researcher.query("policies", as_of_block=block + 1000)


class TestStorage:
    def test_is_found_by_hospital(self, world: World) -> None:
        upload(world)
        upload(world, where="clinic")
        rows = world.researcher.query("storage").rows
        assert [row.hospital for row in rows] == [world.hospital.address, world.clinic.address]
        (row,) = world.researcher.query("storage", hospital=world.clinic.whoami().handle)
        assert (row.hospital, row.sequence) == (world.clinic.address, 1)

    def test_only_hospitals_store(self, world: World) -> None:
        with pytest.raises(UnknownActorError, match="no registered hospital"):
            world.researcher.query("storage", hospital=world.patient.address)


@pytest.mark.parametrize(
    ("kind", "filters"),
    [
        ("records", {}),
        ("", {}),
        ("policies", {"status": "forgotten"}),
        ("policies", {"categories": "genes"}),
        ("policies", {"purpose": "FUN"}),
    ],
)
def test_words_that_mean_nothing_are_refused(world: World, kind: str, filters: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        world.researcher.query(kind, **filters)  # type: ignore[arg-type]


def test_the_index_goes_on(world: World) -> None:
    grant(world)
    assert len(world.researcher.query("policies").rows) == 1
    grant(world, "nurse")
    assert len(world.researcher.query("policies").rows) == 2


def test_a_researcher_opens_only_what_was_granted_to_them(world: World) -> None:
    upload(world)
    made = grant(world, "researcher", purpose="HRESCH", until=world.now + DAY)
    assert opened(world, made.policy_id, "researcher") == 1
