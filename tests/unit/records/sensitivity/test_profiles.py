"""Profiles: which kinds each closes."""

from __future__ import annotations

from panachain.records.sensitivity.kinds import kinds
from panachain.records.sensitivity.profiles import DEFAULT, PROFILES


def test_profiles_name_kinds_that_are_there() -> None:
    for profile in PROFILES.values():
        assert profile.kinds <= set(kinds())


def test_default_and_strict_close_every_kind() -> None:
    assert DEFAULT.kinds == PROFILES["strict"].kinds == set(kinds())


def test_only_strict_closes_what_hints() -> None:
    assert [name for name, profile in PROFILES.items() if profile.hints] == ["strict"]


def test_a_profile_has_its_own_name() -> None:
    assert all(name == profile.name for name, profile in PROFILES.items())
