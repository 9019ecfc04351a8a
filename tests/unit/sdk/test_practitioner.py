"""What a practitioner's program calls: requests with times and words of Python, an inbox and openings that stream."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from panachain.errors import UnknownActorError, UsageError
from panachain.model.scope import Category, Purpose
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.results.requests import RequestView
from tests.twin.world import World, resource, running_world


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A world with two records of the patient, granted to the clinician."""
    with running_world() as made:
        made.upload("hospital", [resource("laboratory", 2024, 1), resource("allergies", 2025, 2)])
        made.patient.grant(made.clinician.address, ["all"], until=made.now + 100_000)
        yield made


def asked(world: World, **given: Any) -> RequestView:
    """Make a request and return what the patient sees of it."""
    made = world.clinician.request(world.patient.address, **{"categories": "laboratory", **given})
    (seen,) = [one for one in world.patient.requests() if one.request_id == made.request_id]
    assert isinstance(seen, RequestView)
    assert made.to_json() == {"schema": "panachain/requested/1", "id": made.request_id}
    return seen


class TestRequest:
    def test_is_for_treatment_and_thirty_days_if_nothing_else_is_said(self, world: World) -> None:
        seen = asked(world)
        assert (seen.categories, seen.purpose) == (("laboratory",), "TREAT")
        assert seen.wanted_until == datetime.fromtimestamp(world.now, UTC) + timedelta(days=30)
        assert seen.expires == seen.wanted_until

    def test_takes_members_words_and_a_datetime(self, world: World) -> None:
        until = datetime(2030, 1, 31, tzinfo=UTC)
        seen = asked(world, categories=[Category.VITALS, "allergies"], purpose="etreat", until=until)
        assert (seen.categories, seen.purpose, seen.wanted_until) == (("vitals", "allergies"), "ETREAT", until)

    def test_counts_a_timedelta_from_now(self, world: World) -> None:
        seen = asked(world, until=timedelta(hours=8), purpose=Purpose.HRESCH)
        assert seen.until == world.now + 8 * 3600

    def test_refuses_a_naive_datetime_by_the_argument_s_name(self, world: World) -> None:
        with pytest.raises(UsageError, match="until is a datetime without a time zone"):
            world.clinician.request(world.patient.address, "vitals", until=datetime(2030, 1, 31))

    @pytest.mark.parametrize(("categories", "note"), [([], ""), (["vitals"], "x" * 2001)])
    def test_refuses_no_category_and_a_note_that_is_too_long(
        self, world: World, categories: list[str], note: str
    ) -> None:
        with pytest.raises(UsageError, match="at least one category"):
            world.clinician.request(world.patient.address, categories, note=note)

    def test_refuses_somebody_whom_nobody_knows(self, world: World) -> None:
        with pytest.raises(UnknownActorError):
            world.clinician.request("nobody", "vitals")


class TestInbox:
    def test_is_an_iterator_of_views(self, world: World) -> None:
        inbox = world.clinician.inbox()
        assert next(inbox) is not None
        assert isinstance(inbox, Iterator)

    def test_shows_what_was_granted_to_whom_and_until_when(self, world: World) -> None:
        (policy,) = world.clinician.inbox()
        assert isinstance(policy, PolicyView)
        assert policy.active
        assert (policy.patient, policy.grantee) == (world.patient.address, world.clinician.address)
        assert policy.expires - policy.starts == timedelta(seconds=100_000)

    def test_is_empty_for_others(self, world: World) -> None:
        assert list(world.stranger.inbox()) == []


class TestOpen:
    def test_takes_a_view_as_well_as_an_id(self, world: World) -> None:
        (policy,) = world.clinician.inbox()
        by_view, by_id = list(world.clinician.open(policy)), list(world.clinician.open(policy.policy_id))
        assert [one.info for one in by_view] == [one.info for one in by_id]
        assert len(by_view) == 2

    def test_hands_out_each_record_before_the_next_one_is_opened(self, world: World) -> None:
        (policy,) = world.clinician.inbox()
        told: list[tuple[int, int]] = []
        records = world.clinician.open(policy, progress=lambda done, total, *, unit: told.append((done, total)))
        assert next(records).content
        assert [done for done, _ in told] == [1]
        assert len(list(records)) == 1
        assert [done for done, _ in told] == [1, 2]
        assert told[-1] == (2, 2)

    @pytest.mark.parametrize("since", [timedelta(0), datetime(2100, 1, 1, tzinfo=UTC), 2**32])
    def test_since_leaves_out_what_was_stored_before(self, world: World, since: Any) -> None:
        (policy,) = world.clinician.inbox()
        opened = list(world.clinician.open(policy, since=since))
        assert (opened == []) == (since != timedelta(0))

    def test_an_unknown_purpose_is_refused(self, world: World) -> None:
        (policy,) = world.clinician.inbox()
        with pytest.raises(UsageError, match="unknown purpose"):
            list(world.clinician.open(policy, purpose="fun"))
