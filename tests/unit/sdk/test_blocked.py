"""Whom an actor blocks: nothing of theirs is fetched, nobody else reads the list, and they aren't told."""

from __future__ import annotations

import stat
from typing import Any

import pytest

from panachain.errors import ConfigurationError, UnknownActorError, UsageError
from panachain.ipld.cid import CID
from panachain.model.actors import Address
from panachain.sdk.blocked import FILE
from panachain.sdk.contacts import add_contact
from tests.twin.world import World
from tests.unit.sdk.helpers import DAY, again, grant

NOBODY = Address("0x" + "11" * 20)


def ask(world: World, who: str) -> int:
    made: Any = world.sessions[who].request(world.patient.address, ["laboratory"], until=world.now + DAY)
    return int(made.request_id)


def fetched(world: World, monkeypatch: pytest.MonkeyPatch) -> list[CID]:
    """Return a list that grows with each block that is asked for."""
    asked: list[CID] = []
    kept = type(world.network.store).get_block

    def get_block(store: Any, cid: CID) -> bytes:
        asked.append(cid)
        return kept(store, cid)

    monkeypatch.setattr(type(world.network.store), "get_block", get_block)
    return asked


class TestList:
    def test_names_handles_and_addresses_are_taken_and_it_outlives_the_session(self, world: World) -> None:
        add_contact(world.home, "a-nurse", world.nurse.address)
        assert world.patient.blocked.accounts() == frozenset()
        world.patient.blocked.add("a-nurse")
        world.patient.blocked.add(world.stranger.profile.handle)
        # An address needs no registration, and twice is once.
        world.patient.blocked.add(NOBODY)
        world.patient.blocked.add(NOBODY)
        assert again(world).blocked.accounts() == {world.nurse.address, world.stranger.address, NOBODY}
        again(world).blocked.remove("a-nurse")
        assert again(world).blocked.accounts() == {world.stranger.address, NOBODY}

    def test_it_is_the_owners_alone_and_sealed(self, world: World) -> None:
        world.patient.blocked.add(NOBODY)
        path = world.patient.profile.folder / FILE
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert bytes.fromhex(NOBODY[2:]) not in path.read_bytes()
        (world.nurse.profile.folder / FILE).write_bytes(path.read_bytes())
        with pytest.raises(ConfigurationError, match="isn't this profile's list"):
            world.nurse.blocked.accounts()

    @pytest.mark.parametrize("content", [b"", b"{}", b"x" * 100])
    def test_a_damaged_one_is_told_and_never_taken_for_an_empty_one(self, world: World, content: bytes) -> None:
        world.patient.blocked.add(NOBODY)
        path = world.patient.profile.folder / FILE
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match="blocked"):
            world.patient.requests()
        with pytest.raises(ConfigurationError):
            world.patient.blocked.add(NOBODY)
        assert path.read_bytes() == content

    def test_who_is_not_known_or_not_blocked_is_said(self, world: World) -> None:
        with pytest.raises(UnknownActorError):
            world.patient.blocked.add("somebody")
        with pytest.raises(UsageError):
            world.patient.blocked.add("0x1234")
        with pytest.raises(UnknownActorError, match="isn't blocked"):
            world.patient.blocked.remove(NOBODY)


class TestEffect:
    def test_their_requests_are_neither_listed_nor_fetched_and_can_still_be_denied(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        unwanted, wanted = ask(world, "stranger"), ask(world, "clinician")
        world.patient.blocked.add(world.stranger.address)
        asked = fetched(world, monkeypatch)
        assert [request.request_id for request in world.patient.requests()] == [wanted]
        assert len(asked) == 1
        world.patient.deny(unwanted)
        world.patient.blocked.remove(world.stranger.address)
        assert [request.state for request in world.patient.requests()] == ["denied", "open"]

    def test_their_invitations_are_not_listed(self, world: World) -> None:
        for name in ("stranger", "clinician"):
            made = world.sessions[name].create_group()
            world.sessions[name].add_member(made.group, world.nurse.address)
        world.nurse.blocked.add(world.stranger.address)
        assert [one.manager for one in world.nurse.invitations()] == [world.clinician.address]

    def test_the_secrets_of_groups_that_they_manage_are_not_fetched(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("stranger", "clinician"):
            made = world.sessions[name].create_group()
            world.sessions[name].add_member(made.group, world.nurse.address)
            world.nurse.accept_group(made.group)
        asked = fetched(world, monkeypatch)
        assert len(world.nurse._readers()) == 3
        assert len(asked) == 2
        world.nurse.blocked.add(world.stranger.address)
        assert len(world.nurse._readers()) == 2
        assert len(asked) == 3

    def test_policies_of_a_blocked_patient_are_passed_over_without_a_word(self, world: World) -> None:
        grant(world)
        world.clinician.blocked.add(world.patient.address)
        inbox = world.clinician.inbox()
        assert (list(inbox), inbox.left_out) == ([], ())
