"""Profiles: which kinds each closes."""

from __future__ import annotations

import pytest

from panachain.errors import IntegrityError
from panachain.model.choices import NONE, Choices
from panachain.model.scope import RESTRICTED, Category
from panachain.records.sensitivity.kinds import kinds
from panachain.records.sensitivity.profiles import DEFAULT, PROFILES, for_patient


def test_profiles_name_kinds_that_are_there() -> None:
    for profile in PROFILES.values():
        assert profile.kinds <= set(kinds())


def test_default_and_strict_close_every_kind() -> None:
    assert DEFAULT.kinds == PROFILES["strict"].kinds == set(kinds())


def test_only_strict_closes_what_hints() -> None:
    assert [name for name, profile in PROFILES.items() if profile.hints] == ["strict"]


def test_a_profile_has_its_own_name() -> None:
    assert all(name == profile.name for name, profile in PROFILES.items())


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda one: one.name)
@pytest.mark.parametrize("kind", sorted(kinds()))
def test_a_patient_closes_more_and_opens_nothing(profile: object, kind: str) -> None:
    assert isinstance(profile, type(DEFAULT))
    closed = for_patient(profile, Choices(1, frozenset({kind})))
    assert closed.kinds >= profile.kinds | {kind}
    assert (closed.hints, for_patient(profile, NONE)) == (profile.hints, profile)
    # Wherever it goes by its kind, that is restricted now.
    assert closed.category(kinds()[kind].category) in RESTRICTED


def test_what_is_part_of_a_kind_is_closed_with_it() -> None:
    assert for_patient(PROFILES["us-ca-ab352"], Choices(1, frozenset({"SUD"}))).kinds >= {"ETHUD", "OPIOIDUD"}


def test_genetic_information_is_private_where_the_patient_closes_it_only() -> None:
    assert DEFAULT.category(Category.GENOMICS) is Category.GENOMICS
    closed = for_patient(DEFAULT, Choices(1, frozenset({"GDIS"})))
    assert closed.category(Category.GENOMICS) is Category.PRIVATE
    assert {closed.category(one) for one in Category} == {*Category} - {Category.GENOMICS}


@pytest.mark.parametrize("chosen", [Choices(1, frozenset({"X"})), Choices(1, frozenset(), frozenset({"X"}))])
def test_a_kind_that_is_not_known_is_refused(chosen: Choices) -> None:
    with pytest.raises(IntegrityError, match="doesn't know"):
        for_patient(DEFAULT, chosen)
