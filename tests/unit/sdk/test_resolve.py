"""Whom a name means: this machine's names give an address, and the registries say who that is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from panachain.chain.signing import Account
from panachain.errors import UnknownActorError, UsageError
from panachain.model.actors import Address, Role, Status, handle_of
from panachain.private_files import make_private_folder
from panachain.sdk.contacts import add_contact
from panachain.sdk.resolve import Resolver
from tests.twin.world import World, actor_of, seed_of

NOBODY = Address("0x" + "11" * 20)


@pytest.fixture
def resolver(world: World) -> Resolver:
    return world.network.resolver


def name_profile(world: World, name: str, of: str) -> None:
    """Let a profile of this machine name an actor of the world."""
    folder = world.home / "profiles" / name
    make_private_folder(folder)
    (folder / "profile.json").write_text(json.dumps(world.sessions[of].profile.to_json()))


@pytest.mark.parametrize("who", ["hospital", "patient", "clinician", "researcher"])
def test_an_address_and_a_handle_name_actors_of_either_chain(world: World, resolver: Resolver, who: str) -> None:
    actor = world.sessions[who].whoami()
    assert resolver.resolve(actor.address) == actor
    assert resolver.resolve(actor.handle) == actor
    assert resolver.registered(actor.handle) == actor


def test_a_branch_may_be_typed_as_it_is_shown(world: World, resolver: Resolver) -> None:
    actor = world.hospital.whoami()
    assert resolver.resolve(f"{actor.handle} (group of hospitals)") == actor
    with pytest.raises(UnknownActorError):
        resolver.resolve(f"{world.patient.whoami().handle} (group)")


def test_a_misspelt_name_is_answered_with_those_that_look_like_it(world: World, resolver: Resolver) -> None:
    name_profile(world, "doctor", "clinician")
    name_profile(world, "doctors", "patient")
    damaged = world.home / "profiles" / "doctr"
    make_private_folder(damaged)
    (damaged / "profile.json").write_text("torn")
    add_contact(world.home, "dentist", NOBODY, Role.PRACTITIONER)
    with pytest.raises(UnknownActorError, match="no registered practitioner is named 'docter'") as caught:
        resolver.resolve("docter", Role.PRACTITIONER)
    # Neither the patient's profile nor one whose role nobody can read; the handle is of the role that was asked for.
    assert caught.value.hint.startswith("did you mean doctor? ")
    assert "doctors" not in caught.value.hint
    assert "such as pra-…" in caught.value.hint
    with pytest.raises(UnknownActorError) as caught:
        resolver.resolve("denist", Role.PRACTITIONER)
    assert "did you mean dentist?" in caught.value.hint
    with pytest.raises(UnknownActorError) as caught:
        resolver.resolve("zzz", Role.HOSPITAL)
    assert (caught.value.hint[:4], "hos-…" in caught.value.hint) == ("give", True)


def test_a_profile_that_is_not_registered_is_told_to_register(world: World, resolver: Resolver) -> None:
    folder = world.home / "profiles" / "new"
    make_private_folder(folder)
    shown = world.sessions["patient"].profile.to_json() | {"address": NOBODY}
    (folder / "profile.json").write_text(json.dumps(shown))
    with pytest.raises(UnknownActorError, match="hasn't registered yet") as caught:
        resolver.resolve("new", Role.PATIENT)
    assert "panachain --profile new register" in caught.value.hint


class TestHouse:
    """The organisation under which somebody is to be registered."""

    def test_a_branchs_and_a_practitioners_is_a_hospital(self, world: World, resolver: Resolver) -> None:
        for role in (Role.HOSPITAL, Role.PRACTITIONER):
            newcomer = actor_of("newcomer", role)
            for text in (world.hospital.address, world.hospital.whoami().handle):
                assert resolver.house(text, newcomer) == world.hospital.address
            with pytest.raises(UnknownActorError, match="no registered hospital"):
                resolver.house(world.clinician.address, newcomer)
            with pytest.raises(UnknownActorError):
                resolver.house(NOBODY, newcomer)

    def test_a_proxys_operator_needs_to_be_registered_as_nothing(self, world: World, resolver: Resolver) -> None:
        proxy = world.proxies[0].actor
        assert resolver.house(NOBODY.lower(), proxy) == NOBODY
        assert resolver.house(world.hospital.whoami().handle, proxy) == world.hospital.address
        with pytest.raises(UnknownActorError):
            resolver.house("somebody", proxy)

    def test_a_branch_has_one_house_above_it(self, world: World, resolver: Resolver) -> None:
        newcomer = actor_of("newcomer", Role.HOSPITAL)
        world.registrar.admit(replace(newcomer, organisation=world.hospital.address))
        assert resolver.house(newcomer.address, actor_of("nurse", Role.PRACTITIONER)) == newcomer.address
        for text, actor in ((newcomer.address, world.clinic.whoami()), (world.clinic.address, world.clinic.whoami())):
            with pytest.raises(UsageError, match="can't stand above a branch"):
                resolver.house(text, actor)

    @pytest.mark.parametrize("role", [Role.PATIENT, Role.RESEARCHER, Role.REGISTRAR])
    def test_others_have_none(self, world: World, resolver: Resolver, role: Role) -> None:
        with pytest.raises(UsageError, match=f"a {role.value} has no organisation"):
            resolver.house(world.hospital.address, actor_of("newcomer", role))


@pytest.mark.parametrize("text", ["0x" + "z" * 40, "0x1", "0x"])
def test_what_only_begins_as_an_address_does_names_nobody(
    world: World, resolver: Resolver, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    def asked(accounts: list[str]) -> list[Any]:
        assert not any(accounts), "no chain takes what is no word"
        return []

    identities = world.network.sidechain.identities
    monkeypatch.setattr(world.network.mainchain.actors, "actor_of", lambda account: asked([account]))
    monkeypatch.setattr(identities, "identity_of", lambda account: asked([account]))
    monkeypatch.setattr(identities, "find", asked)
    with pytest.raises(UnknownActorError):
        resolver.resolve(text)
    with pytest.raises(UnknownActorError):
        resolver.resolve_many([text], Role.PATIENT)


def test_a_group_is_found_as_well(world: World, resolver: Resolver) -> None:
    group = world.clinician.create_group()
    assert resolver.resolve(group.group, Role.GROUP).handle == group.handle
    assert resolver.resolve(group.handle).role is Role.GROUP
    assert [actor.address for actor in resolver.known([group.group])] == [group.group]


def test_a_profile_comes_before_a_contact_of_the_same_name(world: World, resolver: Resolver) -> None:
    add_contact(world.home, "physio", world.nurse.address)
    assert resolver.resolve("physio").address == world.nurse.address
    name_profile(world, "physio", "clinician")
    assert resolver.resolve("physio").address == world.clinician.address


def test_the_chain_says_who_a_profile_is_and_not_its_file(world: World, resolver: Resolver) -> None:
    name_profile(world, "physio", "clinician")
    path = world.home / "profiles" / "physio" / "profile.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"role": "hospital"}))
    assert resolver.resolve("physio").role is Role.PRACTITIONER
    with pytest.raises(UnknownActorError, match="no registered hospital is named 'physio'"):
        resolver.resolve("physio", Role.HOSPITAL)


def test_names_of_this_machine_do_not_count_for_a_new_contact(world: World, resolver: Resolver) -> None:
    add_contact(world.home, "physio", world.nurse.address)
    with pytest.raises(UnknownActorError, match="'physio'"):
        resolver.registered("physio")


@pytest.mark.parametrize("text", [NOBODY, "pat-aaaaaaaaaaaaa", "physio", "", "0x", "0x12", NOBODY + "11"])
def test_what_nobody_has_names_nobody(resolver: Resolver, text: str) -> None:
    with pytest.raises(UnknownActorError, match="actor is named"):
        resolver.resolve(text)
    with pytest.raises(UnknownActorError, match="handle or address"):
        resolver.registered(text)


def test_the_message_names_every_role_that_was_asked_for(world: World, resolver: Resolver) -> None:
    with pytest.raises(UnknownActorError, match="no registered hospital or proxy is named"):
        resolver.resolve(world.patient.address, Role.HOSPITAL, Role.PROXY)


class TestMany:
    def test_keep_their_order_and_may_be_repeated(self, world: World, resolver: Resolver) -> None:
        add_contact(world.home, "physio", world.nurse.address)
        texts = ["physio", world.patient.address, "physio", world.clinician.whoami().handle]
        found = [actor.address for actor in resolver.resolve_many(texts)]
        assert found == [world.nurse.address, world.patient.address, world.nurse.address, world.clinician.address]

    def test_one_question_is_enough_for_all_people(
        self, world: World, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[Any] = []
        find = world.network.sidechain.identities.find
        monkeypatch.setattr(world.network.sidechain.identities, "find", lambda *who: asked.append(who) or find(*who))
        resolver.resolve_many([world.patient.address, world.clinician.address, world.nurse.address])
        assert len(asked) == 1

    def test_one_of_another_role_refuses_all(self, world: World, resolver: Resolver) -> None:
        with pytest.raises(UnknownActorError, match="no registered patient"):
            resolver.resolve_many([world.patient.address, world.clinician.address], Role.PATIENT)


class TestKnown:
    def test_leaves_out_whom_no_registry_has(self, world: World, resolver: Resolver) -> None:
        wanted = [world.hospital.address, NOBODY, world.patient.address, world.hospital.address]
        found = {actor.address for actor in resolver.known(wanted)}
        assert found == {world.hospital.address, world.patient.address}

    def test_asks_no_second_registry_when_the_first_knows_all(
        self, world: World, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuses(*_: Any) -> Any:
            raise AssertionError("nobody is missing")

        monkeypatch.setattr(world.network.mainchain.actors, "find", refuses)
        monkeypatch.setattr(world.network.sidechain.groups, "find", refuses)
        assert [actor.address for actor in resolver.known([world.patient.address])] == [world.patient.address]


def test_a_handle_that_two_accounts_share_names_neither(
    world: World, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = world.clinician.whoami()
    twin = replace(actor, address=Address(actor.address[:18] + "0" * 24))
    assert twin.handle == actor.handle
    found = resolver._sidechain.identities.find
    monkeypatch.setattr(resolver._sidechain.identities, "find", lambda *asked: [twin, *found(*asked)])
    with pytest.raises(UnknownActorError, match="several actors"):
        resolver.resolve(actor.handle, Role.PRACTITIONER)
    assert resolver.resolve(actor.address).address == actor.address


class TestMovedPatients:
    """Guardians moved the patient once, and then again: D17 of issue 13's kind, whichever account somebody knows."""

    @pytest.fixture
    def accounts(self, world: World) -> list[Address]:
        """The patient's accounts, oldest first."""
        sidechain, found = world.network.sidechain, [world.patient.address]
        registrar = world.registrar._sender(sidechain=True)
        for name in ("second", "third"):
            sidechain.identities.register(registrar, actor_of(name, Role.PATIENT))
            world.network.key_blocks.put(actor_of(name, Role.PATIENT))
            successor = Account(seed_of(name).account_key())
            twin = sidechain.chain.contracts["IdentityRegistry"]
            twin.recover(found[-1], successor.address)
            sender = sidechain.sender(successor, lock_folder=world.home)
            sidechain.bind("IdentityRegistry").send(sender, "completeRecovery", found[-1], what="a recovery")
            found.append(successor.address)
        return found

    def test_every_account_leads_to_the_newest(self, world: World, resolver: Resolver, accounts: list[Address]) -> None:
        add_contact(world.home, "my-patient", accounts[0])
        handles = [handle_of(one, Role.PATIENT) for one in accounts]
        for text in (*accounts, *handles, "my-patient"):
            found = resolver.resolve(text, Role.PATIENT)
            assert (found.address, found.status) == (accounts[2], Status.ACTIVE)
        assert [one.address for one in resolver.resolve_many(accounts)] == [accounts[2]] * 3
        assert world.network.sidechain.identities.moves() == dict.fromkeys(accounts[:2], accounts[2])

    def test_a_request_reaches_the_newest_account(self, world: World, accounts: list[Address]) -> None:
        world.clinician.request(accounts[0], ["laboratory"], until=world.now + 1000)
        (asked,) = world.network.sidechain.requests.find(requester=world.clinician.address)
        assert asked.patient == accounts[2]

    def test_names_of_an_older_account_stand_for_the_newest(self, world: World, accounts: list[Address]) -> None:
        add_contact(world.home, "my-patient", accounts[0])
        world.clinician.request("my-patient", ["laboratory"], until=world.now + 1000)
        (asked,) = world.clinician.requests()
        assert (asked.patient, asked.patient_name) == (accounts[2], "my-patient")
