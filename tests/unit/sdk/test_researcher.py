"""The researcher's queries: filters by words, times and names; public data only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from panachain.errors import UnknownActorError, UsageError
from panachain.model.scope import Category
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


class TestTally:
    def test_counts_what_a_query_finds_in_groups(self, world: World) -> None:
        upload(world, 2)
        upload(world, where="clinic")
        tally = world.researcher.tally("storage")
        assert (tally.rows, tally.records) == (2, 3)
        assert tally.by(lambda group: [group.hospital], measure=lambda group: group.records) == {
            world.hospital.address: 2,
            world.clinic.address: 1,
        }
        assert world.researcher.tally("storage", hospital=world.clinic.address).rows == 1

    def test_a_policy_on_two_categories_counts_in_both_and_a_sealed_one_in_none(self, world: World) -> None:
        grant(world)
        grant(world, "nurse", ("laboratory", "vitals"), disclose=True)
        tally = world.researcher.tally("policies", status="active")
        found = tally.by(lambda group: [one.value for one in Category if one.bit & group.category_bits])
        assert (tally.rows, found) == (2, {"laboratory": 1, "vitals": 1})

    def test_comes_with_the_provenance_of_its_query(self, world: World) -> None:
        grant(world)
        asked = world.researcher.query("policies").provenance
        tally = world.researcher.tally("policies", as_of_block=asked.block)
        assert (tally.provenance.block_hash, tally.kind) == (asked.block_hash, "policies")
        assert tally.to_json()["schema"] == "panachain/tally/1"


def test_pages_of_a_query_put_together_are_the_query(world: World) -> None:
    for _ in range(5):
        grant(world)
    rows = world.researcher.query("policies").rows
    pages = [world.researcher.query("policies", limit=2, offset=offset).rows for offset in (0, 2, 4, 6)]
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert tuple(row for page in pages for row in page) == rows
    assert world.researcher.query("policies", offset=3).rows == rows[3:]
    with pytest.raises(UsageError):
        world.researcher.query("policies", offset=-1)
