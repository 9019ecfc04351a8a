"""What every actor's session does, and what the registrar vouches for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from panachain.chain import anvil
from panachain.errors import ConfigurationError, LockedError, SuspendedError, UnknownActorError, UsageError
from panachain.model.actors import Actor, Role, Status
from panachain.passphrase import Hidden
from panachain.sdk import base
from panachain.sdk.base import ActorSession, Registrar
from panachain.sdk.hospital import Hospital
from panachain.sdk.patient import Patient
from panachain.sdk.practitioner import Practitioner
from panachain.sdk.profiles import Profile, Profiles
from tests.support import chain_refuses
from tests.twin.world import World, actor_of, seed_of


def newcomer(world: World, kind: type[ActorSession] = Practitioner, passphrase: str = "") -> Any:
    """Open a session of somebody whom no registry knows."""
    actor = actor_of("newcomer", kind.role)
    profile = Profile("newcomer", kind.role, actor.address, actor.public_keys, world.home / "newcomer")
    return kind(world.network, profile, passphrase)


@pytest.fixture
def registrars(world: World, monkeypatch: pytest.MonkeyPatch) -> Profiles:
    """The profiles of this machine."""
    found = Profiles([world.patient.profile, world.registrar.profile])
    monkeypatch.setattr(base, "list_profiles", lambda home: found if home == world.home else Profiles())
    return found


class TestSession:
    def test_a_profile_of_another_role_is_refused_before_it_is_unlocked(self, world: World) -> None:
        with (
            patch.object(base, "unlock", side_effect=AssertionError("unlocked")),
            pytest.raises(UsageError, match="profile 'clinician' is a practitioner, not a patient"),
        ):
            Patient(world.network, world.clinician.profile, "")

    @pytest.mark.parametrize("given", ["secret", Hidden("secret")])
    def test_the_passphrase_opens_the_profile(self, world: World, given: str | Hidden) -> None:
        with patch.object(base, "unlock", return_value=seed_of("patient")) as unlock:
            Patient(world.network, world.patient.profile, given)
        unlock.assert_called_once_with(world.patient.profile, "secret")

    def test_a_closed_session_does_nothing_more_and_says_so(self, world: World) -> None:
        world.clinician.close()
        with pytest.raises(UsageError, match="is closed; nothing was done") as caught:
            world.clinician._sender()
        assert "connect('clinician')" in caught.value.hint
        # What is public stays.
        assert world.clinician.whoami().address == world.clinician.address

    def test_the_account_that_sends_is_the_profiles(self, world: World) -> None:
        assert world.clinician._sender(sidechain=True).address == world.clinician.address
        assert world.hospital._sender().address == world.hospital.address


class TestWhoami:
    @pytest.mark.parametrize("who", ["patient", "clinician", "hospital", "researcher"])
    def test_comes_from_the_chain_of_the_role(self, world: World, who: str) -> None:
        found = world.sessions[who].whoami()
        assert (found.address, found.role, found.status) == (
            world.sessions[who].address,
            world.sessions[who].role,
            Status.ACTIVE,
        )

    def test_is_unknown_before_the_registrar_admits(self, world: World) -> None:
        session = newcomer(world)
        assert session.whoami() == session.profile.actor
        with pytest.raises(UnknownActorError, match="isn't registered") as caught:
            session._check_registered()
        assert caught.value.hint == "panachain --profile newcomer register"


class TestRegister:
    def test_the_registrar_of_this_machine_admits(self, world: World, registrars: Profiles) -> None:
        session = newcomer(world)
        made = session.register(world.hospital.whoami().handle)
        assert (made.status, made.organisation) == (Status.ACTIVE, world.hospital.address)
        session._check_registered()

    def test_a_second_time_is_no_error_and_no_transaction(self, world: World, registrars: Profiles) -> None:
        first = newcomer(world).register()
        with patch.object(Registrar, "admit", side_effect=AssertionError("admitted again")):
            assert newcomer(world).register() == first

    def test_a_hospital_is_registered_as_a_branch_of_its_house(self, world: World, registrars: Profiles) -> None:
        made = newcomer(world, Hospital).register(world.hospital.whoami().handle)
        assert (made.status, made.organisation) == (Status.ACTIVE, world.hospital.address)

    def test_another_organisation_than_the_registrys_is_told(self, world: World, registrars: Profiles) -> None:
        first = newcomer(world).register(world.hospital.address)
        assert newcomer(world).register(world.hospital.address) == first
        with pytest.raises(UsageError, match=f"registered under {world.hospital.address}, which never changes"):
            newcomer(world).register(world.clinic.address)
        with pytest.raises(UsageError, match="a patient has no organisation"):
            world.patient.register(world.hospital.address)

    def test_an_organisation_is_a_hospital(self, world: World, registrars: Profiles) -> None:
        with pytest.raises(UnknownActorError, match="no registered hospital"):
            newcomer(world).register(world.patient.address)
        assert newcomer(world).whoami().status is Status.UNKNOWN

    def test_without_a_registrar_here_it_is_said_what_to_send_where(self, world: World, registrars: Profiles) -> None:
        registrars.pop()
        with pytest.raises(UnknownActorError, match="no registrar's profile") as caught:
            newcomer(world).register()
        assert "whoami --json" in caught.value.hint

    def test_a_profile_that_may_be_the_registrars_is_named(self, world: World, registrars: Profiles) -> None:
        registrars.pop()
        registrars.damaged["registrar"] = ConfigurationError("profile.json is damaged")
        with pytest.raises(UnknownActorError, match=r"can be read on this machine; profile registrar: profile.json is"):
            newcomer(world).register()

    def test_a_registrar_with_another_passphrase_admits_nobody(self, world: World, registrars: Profiles) -> None:
        session = newcomer(world)
        with (
            patch.object(base, "unlock", side_effect=LockedError("wrong")),
            pytest.raises(LockedError, match="nothing was registered"),
        ):
            session.register()
        assert session.whoami().status is Status.UNKNOWN


class TestRegistrar:
    @pytest.mark.parametrize("role", [Role.PATIENT, Role.PRACTITIONER])
    def test_people_go_on_the_sidechain_only(self, world: World, role: Role) -> None:
        before = len(world.network.mainchain.chain.blocks)
        world.registrar.admit(actor_of("newcomer", role))
        assert len(world.network.mainchain.chain.blocks) == before
        assert [one.role for one in world.network.sidechain.identities.find()].count(role)

    def test_a_faucet_funds_those_who_must_pay_for_themselves(self, world: World) -> None:
        world.network.faucet = True
        hospital = actor_of("newcomer", Role.HOSPITAL)
        with patch.object(anvil, "fund") as fund:
            admitted = world.registrar.admit(hospital)
            world.registrar.admit(actor_of("another", Role.PATIENT))
        fund.assert_called_once_with(world.network.mainchain.rpc, hospital.address)
        assert admitted == replace(hospital, status=Status.ACTIVE)

    @pytest.mark.parametrize("who", ["patient", "clinician", "hospital", "researcher"])
    def test_whoever_is_suspended_can_do_nothing(self, world: World, who: str) -> None:
        suspended: Actor = world.registrar.suspend(world.sessions[who].address)
        assert suspended.status is Status.SUSPENDED
        assert world.sessions[who].whoami().status is Status.SUSPENDED
        with pytest.raises(SuspendedError, match="suspended by the registrar"):
            world.sessions[who]._check_registered()

    def test_nobody_else_can_suspend_or_admit(self, world: World) -> None:
        impostor = Registrar.__new__(Registrar)
        vars(impostor).update(vars(world.clinician))
        for attempt in (
            lambda: impostor.suspend(world.patient.address),
            lambda: impostor.suspend(world.hospital.address),
            lambda: impostor.admit(actor_of("newcomer", Role.PATIENT)),
        ):
            with chain_refuses("Unauthorized"):
                attempt()
        assert world.patient.whoami().status is Status.ACTIVE

    def test_a_name_that_nobody_has_suspends_nobody(self, world: World) -> None:
        with pytest.raises(UnknownActorError):
            world.registrar.suspend("pat-nobody")
