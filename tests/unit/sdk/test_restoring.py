"""Restore: shares, chains and store alone find and open everything again, on a machine that knows nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import (
    ChainUnavailableError,
    LockedError,
    ShareError,
    SharesTooFewError,
    SharesWrongError,
    UnknownActorError,
    UsageError,
)
from panachain.model.actors import Role, handle_of
from panachain.sdk import base
from panachain.sdk.profiles import Profile, create_profile, list_profiles, unlock
from panachain.sdk.recovery import Recovery, RecoveryShare
from panachain.sdk.restoring import look_around, restore_profile
from tests.keystores import make_cheap
from tests.twin.world import TwinNetwork, World, seed_of
from tests.unit.sdk.helpers import grant, upload

PASSPHRASE = "another passphrase than before"


@pytest.fixture(autouse=True)
def _cheap_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    make_cheap(monkeypatch, for_this_process_only=True)


@pytest.fixture
def elsewhere(world: World, tmp_path: Path) -> TwinNetwork:
    """The same chains and store, seen from a machine without any state."""
    network = copy(world.network)
    for name in ("resolver", "key_blocks"):
        vars(network).pop(name, None)
    network.home = tmp_path / "new"
    return network


def shares_of(world: World, name: str, **how: int) -> list[RecoveryShare]:
    session = world.sessions[name]
    return Recovery(session.profile, lambda: seed_of(name)).shares(**how)


def words_only(shares: list[RecoveryShare]) -> list[RecoveryShare]:
    return [RecoveryShare(one.share) for one in shares]


def restored(elsewhere: TwinNetwork, shares: list[RecoveryShare], **how: Any) -> Profile:
    return restore_profile(elsewhere.home, "", shares, PASSPHRASE, network=elsewhere, **how)


def session(world: World, elsewhere: TwinNetwork, name: str, profile: Profile, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the restored actor at work, by the key store that was made."""
    monkeypatch.setattr(base, "unlock", unlock)
    return type(world.sessions[name])(elsewhere, profile, PASSPHRASE)


def test_a_patient_finds_and_opens_everything_and_can_revoke(
    world: World, elsewhere: TwinNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(world, 3)
    upload(world, 2, where="clinic", category="allergies")
    kept, ended = grant(world), grant(world, "researcher")
    world.patient.revoke(ended)
    list(world.clinician.open(kept))
    world.nurse.request(world.patient.address, ["laboratory"], "TREAT")
    before = look_around(world.patient)

    profile = restored(elsewhere, shares_of(world, "patient")[1:])
    with session(world, elsewhere, "patient", profile, monkeypatch) as patient:
        found = look_around(patient)
        assert (found.role, found.status, found.omissions) == ("patient", "active", ())
        assert (found.hospitals, found.records, found.policies, found.in_force) == (2, 5, 2, 1)
        assert (found.readings, found.requests) == (1, 1)
        # Nothing that the old machine found is missing on the new one.
        assert vars(found) | {"profile": ""} == vars(before) | {"profile": ""}
        assert patient.revoke(kept.policy_id).final
        new = patient.grant(world.nurse.address, ["laboratory"], until=world.now + 3600)
        assert new.policy_id not in (kept.policy_id, ended.policy_id)


def test_a_hospitals_journal_is_filled_again(
    world: World, elsewhere: TwinNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(world, 3)
    upload(world, 2)
    profile = restored(elsewhere, shares_of(world, "hospital")[:2])
    with session(world, elsewhere, "hospital", profile, monkeypatch) as hospital:
        found = look_around(hospital)
        assert (found.status, found.batches, found.patients, found.records) == ("active", 2, 1, 5)
        assert found.omissions == ()


def test_a_practitioner_and_a_researcher_find_what_they_were_granted(
    world: World, elsewhere: TwinNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(world)
    policy = grant(world)
    grant(world, "researcher")
    group = world.clinician.create_group()
    profile = restored(elsewhere, shares_of(world, "clinician")[:2])
    with session(world, elsewhere, "clinician", profile, monkeypatch) as clinician:
        found = look_around(clinician)
        assert (found.policies, found.in_force, found.groups, found.omissions) == (1, 1, 1, ())
        assert len(list(clinician.open(policy.policy_id))) == 1
        assert clinician.groups()[0].group == group.group
    profile = restored(elsewhere, shares_of(world, "researcher")[:2])
    with session(world, elsewhere, "researcher", profile, monkeypatch) as researcher:
        assert look_around(researcher).policies == 1


def test_what_cannot_be_read_is_named_and_takes_nothing_with_it(
    world: World, elsewhere: TwinNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(world, 2)
    grant(world)
    for proxy in world.proxies:
        proxy.up = False
    profile = restored(elsewhere, shares_of(world, "patient")[:2])
    with session(world, elsewhere, "patient", profile, monkeypatch) as patient:
        found = look_around(patient)
    assert (found.records, found.policies, found.readings) == (2, 1, 0)
    assert [omission.what for omission in found.omissions] == ["log"]


class TestTheRightSeed:
    def test_every_t_of_n_restore_and_fewer_write_nothing(self, world: World, elsewhere: TwinNetwork) -> None:
        made = shares_of(world, "patient", threshold=3, of=4)
        for few in itertools.combinations(made, 2):
            with pytest.raises(SharesTooFewError):
                restored(elsewhere, list(few))
        assert not elsewhere.home.exists()
        for number, enough in enumerate(itertools.combinations(made, 3)):
            profile = restore_profile(elsewhere.home / str(number), "", list(enough), PASSPHRASE, network=elsewhere)
            assert profile.address == world.patient.address
            assert unlock(profile, PASSPHRASE).reveal() == seed_of("patient").reveal()

    def test_words_alone_are_checked_with_the_registries(self, world: World, elsewhere: TwinNetwork) -> None:
        made = words_only(shares_of(world, "patient"))
        profile = restored(elsewhere, made[:2])
        assert (profile.role, profile.address, profile.name) == (Role.PATIENT, world.patient.address, "patient")

    def test_words_that_make_somebody_whom_no_registry_knows_write_nothing(
        self, elsewhere: TwinNetwork, tmp_path: Path
    ) -> None:
        stranger = create_profile(tmp_path / "old", "me", Role.PATIENT, PASSPHRASE)
        made = words_only(Recovery(stranger, lambda: unlock(stranger, PASSPHRASE)).shares())
        with pytest.raises(SharesWrongError, match="no registry knows"):
            restored(elsewhere, made[:2])
        assert not elsewhere.home.exists()
        # Whoever was never registered says who they are.
        with pytest.raises(SharesWrongError, match="whose handle isn't"):
            restored(elsewhere, made[:2], who=handle_of(elsewhere.mainchain.policies.address, Role.PATIENT))
        profile = restored(elsewhere, made[:2], who=stranger.handle)
        assert profile.address == stranger.address

    def test_who_it_must_be_decides_over_what_fits(self, world: World, elsewhere: TwinNetwork) -> None:
        made = shares_of(world, "patient")
        for who in (world.nurse.address, world.nurse.profile.handle):
            with pytest.raises(SharesWrongError):
                restored(elsewhere, made[:2], who=who)
        with pytest.raises(UnknownActorError):
            restored(elsewhere, made[:2], who="0x12")
        assert not elsewhere.home.exists()

    def test_a_role_that_contradicts_the_registry_writes_nothing(self, world: World, elsewhere: TwinNetwork) -> None:
        with pytest.raises(UsageError, match="patient, practitioner"):
            restored(elsewhere, shares_of(world, "patient")[:2], role=Role.PRACTITIONER)
        assert not elsewhere.home.exists()

    def test_without_chains_the_pages_words_count_and_words_alone_do_not(self, world: World, tmp_path: Path) -> None:
        made = shares_of(world, "patient")
        with pytest.raises(ShareError, match="nothing says whose"):
            restore_profile(tmp_path / "new", "me", words_only(made)[:2], PASSPHRASE)
        profile = restore_profile(tmp_path / "new", "me", made[:2], PASSPHRASE)
        assert profile.address == world.patient.address

    def test_chains_that_do_not_answer_leave_the_pages_word(
        self, world: World, elsewhere: TwinNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def silent(*_: object) -> Iterator[None]:
            raise ChainUnavailableError("it is down")

        made = shares_of(world, "patient")
        monkeypatch.setattr(type(elsewhere.resolver), "known", silent)
        with pytest.raises(ChainUnavailableError):
            restored(elsewhere, words_only(made)[:2])
        assert not elsewhere.home.exists()
        assert restored(elsewhere, made[:2]).address == world.patient.address

    def test_a_profile_that_is_here_already_stays_as_it_is(self, world: World, elsewhere: TwinNetwork) -> None:
        made = shares_of(world, "patient")
        first = restored(elsewhere, made[:2])
        kept = (first.folder / "seed.json").read_bytes()
        for name in ("", "other"):
            with pytest.raises(UsageError, match="is this actor"):
                restore_profile(elsewhere.home, name, made[:2], PASSPHRASE, network=elsewhere)
        assert (first.folder / "seed.json").read_bytes() == kept
        assert [profile.name for profile in list_profiles(elsewhere.home)] == ["patient"]

    def test_the_shares_count_as_tried_and_the_passphrase_is_asked_for_last(
        self, world: World, elsewhere: TwinNetwork
    ) -> None:
        made, asked = shares_of(world, "patient"), list[str]()

        def ask() -> str:
            asked.append("asked")
            return PASSPHRASE

        with pytest.raises(SharesTooFewError):
            restore_profile(elsewhere.home, "", made[:1], ask, network=elsewhere)
        assert not asked
        profile = restore_profile(elsewhere.home, "", made[:2], ask, network=elsewhere)
        assert asked == ["asked"]
        assert Recovery(profile).status().tested == (1, 2)
        with pytest.raises(LockedError):
            unlock(profile, "wrong")
