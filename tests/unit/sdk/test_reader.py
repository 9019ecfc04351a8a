"""Reading: what was granted is listed and opened, and nothing is believed that its patient didn't sign."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from panachain.errors import (
    AccessDeniedError,
    BlockNotFoundError,
    ChainUnavailableError,
    IntegrityError,
    PolicyRevokedError,
    PolicyUnknownError,
    UnknownActorError,
    UsageError,
)
from panachain.ipld.cid import CID
from panachain.model.actors import Address, Role
from panachain.model.policy import PolicyStatus
from panachain.model.scope import Category, Purpose
from panachain.sdk import reader as reader_module
from panachain.sdk.group_keys import seal_secrets
from panachain.sdk.kept_headers import KeptHeaders
from panachain.sdk.notices import Notices
from panachain.storage.blocks import keep
from tests.twin.world import World
from tests.unit.sdk.helpers import again, forge, grant, opened, upload


class TestInbox:
    def test_lists_what_was_granted_to_the_reader_oldest_first(self, world: World) -> None:
        first, second = grant(world), grant(world, categories=("vitals",))
        grant(world, "nurse")
        views = list(world.clinician.inbox())
        assert [view.policy_id for view in views] == [first.policy_id, second.policy_id]
        assert [view.scopes for view in views] == [("laboratory",), ("vitals",)]
        assert list(world.stranger.inbox()) == []

    def test_says_which_one_is_revoked(self, world: World) -> None:
        made = grant(world)
        world.patient.revoke(made.policy_id)
        assert [view.status for view in world.clinician.inbox()] == [PolicyStatus.REVOKED]

    def test_shows_nothing_of_terms_that_their_patient_did_not_sign(self, world: World) -> None:
        """A stranger grants in the patient's name: nobody may see that name there."""
        forged = forge(world, world.patient.address)
        made = grant(world)
        inbox = world.clinician.inbox()
        assert [view.policy_id for view in inbox] == [made.policy_id]
        (left,) = inbox.left_out
        assert str(left).startswith(f"policy {forged} is left out: ")
        # Not even the patient's name is told.
        assert world.patient.address not in str(left.to_json())

    def test_shows_nothing_of_terms_that_name_nobody_whom_the_registry_knows(self, world: World) -> None:
        forge(world, Address("0x" + "ab" * 20))
        assert list(world.clinician.inbox()) == []

    def test_opens_terms_once_a_session_and_misses_nothing_that_came_since(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = grant(world)
        assert [view.policy_id for view in world.clinician.inbox()] == [first.policy_id]
        fetched: list[object] = []
        get_block = world.network.store.get_block
        monkeypatch.setattr(world.network.store, "get_block", lambda cid: fetched.append(cid) or get_block(cid))
        assert [view.policy_id for view in world.clinician.inbox()] == [first.policy_id]
        assert fetched == []
        monkeypatch.undo()
        second = grant(world, categories=("vitals",))
        assert [view.policy_id for view in world.clinician.inbox()] == [first.policy_id, second.policy_id]
        # What the chain says isn't kept: the patient takes one back, and the other one ends.
        world.patient.revoke(first.policy_id)
        assert [view.status for view in world.clinician.inbox()] == [PolicyStatus.REVOKED, PolicyStatus.ACTIVE]
        world.advance(400 * 86_400)
        assert [view.status for view in world.clinician.inbox()] == [PolicyStatus.REVOKED, PolicyStatus.EXPIRED]

    def test_keeps_no_more_terms_open_than_a_bound(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reader_module, "_KEPT", 2)
        made = [grant(world).policy_id for _ in range(3)]
        for _ in range(2):
            assert [view.policy_id for view in world.clinician.inbox()] == made
        assert len(world.clinician._terms) == 2

    def test_asks_for_all_patients_keys_and_all_policies_at_once(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in range(3):
            grant(world)
        asked: list[str] = []
        sidechain, mainchain = world.network.sidechain, world.network.mainchain
        for owner, name in ((sidechain.identities, "find"), (mainchain.policies, "policies_of")):
            real = getattr(owner, name)
            monkeypatch.setattr(owner, name, lambda *args, real=real, name=name: (asked.append(name), real(*args))[1])
        monkeypatch.setattr(mainchain.policies, "policy_of", None)
        looked: list[str] = []
        one = sidechain.identities.identity_of
        monkeypatch.setattr(sidechain.identities, "identity_of", lambda who: (looked.append(who), one(who))[1])
        assert len(list(world.clinician.inbox())) == 3
        # Nobody is looked up alone but oneself: which keys are one's own now, the registry says.
        assert set(looked) <= {world.clinician.address}
        assert len(looked) <= 1
        # Once for the keys of all patients, and once for the names of all grantees.
        assert sorted(asked) == ["find", "find", "policies_of"]

    def test_a_notice_that_fits_by_chance_keeps_none_of_the_others_back(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One in 256 notices of others has a reader's view tag: it is told apart once, and remembered."""
        foreign, made = grant(world, "nurse"), grant(world)
        chain = world.network.mainchain.policies
        events = [
            SimpleNamespace(policy_id=one.policy_id, terms=chain.policy_of(one.policy_id).terms)
            for one in (foreign, made)
        ]
        told: list[Any] = []
        monkeypatch.setattr(Notices, "announced", lambda _, readers: [(event, readers[0]) for event in events])
        monkeypatch.setattr(Notices, "not_for", lambda _, event, __: told.append(event.policy_id))
        monkeypatch.setattr(Notices, "keep", lambda _: told.append("kept"))
        assert [view.policy_id for view in world.clinician.inbox()] == [made.policy_id]
        assert told == [foreign.policy_id, "kept"]

    def test_what_a_blocked_patient_grants_is_left_out(self, world: World) -> None:
        grant(world)
        world.clinician.blocked.add(world.patient.address)
        assert list(world.clinician.inbox()) == []


class TestOpen:
    def test_whoever_is_not_registered_is_told_before_anything_is_looked_for(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = grant(world)

        def refuse(_: Any) -> None:
            raise UnknownActorError("nobody admitted this account")

        def looked(*_: Any) -> None:
            raise AssertionError("a policy was looked for")

        monkeypatch.setattr(type(world.clinician), "_check_registered", refuse)
        monkeypatch.setattr(world.network.mainchain.policies, "policy_of", looked)
        with pytest.raises(UnknownActorError):
            list(world.clinician.open(made.policy_id))

    def test_a_policy_that_was_revoked_before_it_was_granted_opens_nothing(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = grant(world)
        policies = world.network.mainchain.policies
        never = replace(policies.policy_of(made.policy_id), terms=b"")
        monkeypatch.setattr(policies, "policy_of", lambda _: never)
        with pytest.raises(PolicyUnknownError, match="revoked before it was granted"):
            list(world.clinician.open(made))

    def test_yields_each_record_with_where_it_comes_from(self, world: World) -> None:
        upload(world)
        made = grant(world)
        (record,) = world.clinician.open(made.policy_id)
        assert (record.provenance.patient, record.provenance.hospital) == (
            world.patient.address,
            world.hospital.address,
        )
        assert record.provenance.policy_id == made.policy_id

    def test_yields_nothing_that_was_not_granted(self, world: World) -> None:
        upload(world, category="vitals")
        assert opened(world, grant(world).policy_id) == 0

    def test_refuses_another_purpose_and_anybody_else(self, world: World) -> None:
        upload(world)
        made = grant(world)
        with pytest.raises(AccessDeniedError):
            list(world.clinician.open(made.policy_id, purpose=Purpose.HRESCH))
        with pytest.raises(PolicyUnknownError):
            list(world.nurse.open(made.policy_id))

    def test_what_the_rules_forbid_asks_no_proxy(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The reader's own check: a proxy learns nothing of an opening that it would refuse."""
        upload(world)
        made, revoked = grant(world), grant(world)
        world.patient.revoke(revoked.policy_id)

        def ask(*_: Any) -> None:
            raise AssertionError("a proxy was asked")

        monkeypatch.setattr("panachain.sdk.reader.GrantedRecords", ask)
        with pytest.raises(PolicyRevokedError):
            list(world.clinician.open(revoked))
        with pytest.raises(AccessDeniedError):
            list(world.clinician.open(made, purpose=Purpose.HRESCH))
        with pytest.raises(AssertionError, match="a proxy was asked"):
            list(world.clinician.open(made))

    def test_refuses_forged_terms(self, world: World) -> None:
        with pytest.raises(IntegrityError):
            list(world.clinician.open(forge(world, world.patient.address)))

    def test_since_leaves_out_what_was_stored_before(self, world: World) -> None:
        upload(world)
        world.advance(100)
        upload(world)
        made = grant(world)
        stored = sorted(record.info.stored_at for record in world.clinician.open(made.policy_id))
        assert len(list(world.clinician.open(made.policy_id, since=stored[-1]))) == 1

    def test_a_part_is_opened_alone_and_the_proxies_sign_nothing_of_the_rest(self, world: World) -> None:
        upload(world)
        upload(world, category="vitals")
        made = grant(world, categories=("laboratory", "vitals"))
        (record,) = world.clinician.open(made.policy_id, categories="vitals")
        assert record.info.category is Category.VITALS
        world.wait()
        (reading,) = world.patient.log()
        assert reading.what == ("vitals",)
        assert list(world.clinician.open(made.policy_id, years=[2024])) == []
        assert len(list(world.clinician.open(made.policy_id, years=[2025, 2024]))) == 2
        with pytest.raises(UsageError):
            world.clinician.open(made.policy_id, categories="all")

    def test_a_part_does_not_take_what_it_did_not_hear_of_for_vanished(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload(world)
        made = grant(world)
        asked: list[Any] = []
        monkeypatch.setattr(KeptHeaders, "compare", lambda *args, **more: asked.append(args))
        list(world.clinician.open(made.policy_id, categories="laboratory"))
        assert asked == []
        list(world.clinician.open(made.policy_id))
        assert len(asked) == 2


class TestSurvey:
    def test_counts_what_a_policy_opens_and_no_proxy_hears_of_it(self, world: World) -> None:
        upload(world, 3)
        upload(world, category="vitals", where="clinic")
        made = grant(world, categories=("laboratory", "vitals"))
        survey = world.clinician.open(made).survey()
        assert [(part.category, part.year, part.hospital, part.records) for part in survey.parts] == [
            ("laboratory", 2025, world.hospital.address, 3),
            ("vitals", 2025, world.clinic.address, 1),
        ]
        assert (survey.records, survey.omissions, survey.policy_id) == (4, (), made.policy_id)
        assert all(part.size and part.newest_at == world.now for part in survey.parts)
        world.wait()
        assert list(world.patient.log()) == []

    def test_counts_nothing_that_was_not_granted(self, world: World) -> None:
        upload(world, category="vitals")
        assert world.clinician.open(grant(world)).survey().parts == ()

    def test_is_refused_as_opening_is(self, world: World) -> None:
        made = grant(world)
        world.patient.revoke(made.policy_id)
        with pytest.raises(PolicyRevokedError):
            world.clinician.open(made).survey()
        with pytest.raises(PolicyUnknownError):
            world.stranger.open(made.policy_id).survey()

    def test_names_what_can_not_be_read(self, world: World) -> None:
        upload(world)
        made = grant(world)
        (record,) = world.clinician.open(made)
        world.network.store.delete_block(CID.parse(record.info.header_cid))
        survey = world.clinician.open(made).survey()
        assert survey.parts == ()
        assert [one.hospital for one in survey.omissions] == [world.hospital.address]


class TestReadings:
    def test_tells_what_was_opened_in_a_later_session_too(self, world: World) -> None:
        upload(world)
        made = grant(world)
        list(world.clinician.open(made.policy_id))
        list(world.clinician.open(made.policy_id, categories="laboratory", years=[2024]))
        first, second = again(world, "clinician").readings
        assert (first.policy_id, first.patient, first.purpose, first.at, first.records) == (
            *(made.policy_id, world.patient.address, "TREAT", world.now, 1),
        )
        assert (second.records, second.categories, second.years) == (0, ("laboratory",), (2024,))
        assert first.patient_name.startswith("pat-")
        assert again(world, "nurse").readings == []

    def test_tells_of_an_opening_that_was_ended_early_and_of_none_that_was_refused(self, world: World) -> None:
        upload(world, 2)
        made = grant(world)
        opening = world.clinician.open(made.policy_id)
        next(opening)
        assert [reading.records for reading in world.clinician.readings] == [0]
        opening._records.close()
        assert [reading.records for reading in world.clinician.readings] == [1]
        world.patient.revoke(made.policy_id)
        with pytest.raises(PolicyRevokedError):
            list(world.clinician.open(made.policy_id))
        assert len(world.clinician.readings) == 1


def test_terms_that_nobody_stored_keep_no_reader_from_all_the_rest(world: World) -> None:
    missing, made = grant(world), grant(world)
    digest = world.network.mainchain.policies.policy_of(missing.policy_id).terms
    kept = type(world.network.store).get_block

    def get_block(store: Any, cid: CID) -> bytes:
        if cid.digest == digest:
            raise BlockNotFoundError("nobody has it")
        return kept(store, cid)

    with patch.object(type(world.network.store), "get_block", get_block):
        inbox = world.clinician.inbox()
        assert [view.policy_id for view in inbox] == [made.policy_id]
    assert [left.item for left in inbox.left_out] == [missing.policy_id]
    assert "nobody has its terms" in inbox.left_out[0].reason


class TestGroups:
    @pytest.fixture
    def group(self, world: World) -> str:
        """A group that the clinician manages, with the nurse."""
        made = world.clinician.create_group().group
        world.clinician.add_member(made, world.nurse.address)
        world.nurse.accept_group(made)
        return str(made)

    def test_whom_the_group_does_not_count_as_a_member_asks_no_proxy(
        self, world: World, group: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload(world)
        made = world.patient.grant(group, ["laboratory"], until=world.now + 1000)
        assert opened(world, made.policy_id, "nurse") == 1

        def ask(*_: Any) -> None:
            raise AssertionError("a proxy was asked")

        monkeypatch.setattr("panachain.sdk.reader.GrantedRecords", ask)
        monkeypatch.setattr(world.network.sidechain.groups, "is_member", lambda *_: False)
        with pytest.raises(AccessDeniedError):
            list(world.nurse.open(made))

    def test_a_group_that_has_another_ones_key_opens_none_of_its_policies(self, world: World, group: str) -> None:
        """A member of one group gives its key to a group of their own, and lists somebody there."""
        made = world.patient.grant(group, ["laboratory"], until=world.now + 1000)
        groups = world.network.sidechain.groups
        (secret,) = world.nurse._group_secrets(world.network.resolve(group, Role.GROUP))
        paying = world.nurse._sender(sidechain=True)
        copied = groups.create(paying, secret.group_keys().digest).address
        stranger = world.stranger
        sealed = seal_secrets([secret], stranger._seed.sealing().public)
        digest = keep(world.network.store, sealed).digest
        groups.add_member(paying, copied, stranger.address, digest)
        stranger.accept_group(copied)
        with pytest.raises(PolicyUnknownError):
            stranger.terms_of(made)
        assert list(stranger.inbox()) == []

    def test_a_group_that_is_left_out_keeps_none_of_the_others_back(self, world: World) -> None:
        groups = world.network.sidechain.groups
        garbage = keep(world.network.store, b"garbage").digest
        made = {}
        # In this order, each by another manager, the nurse is listed: without a secret, by a blocked one, and rightly.
        for name in ("stranger", "clinician"):
            made[name] = world.sessions[name].create_group().group
        groups.add_member(world.stranger._sender(sidechain=True), made["stranger"], world.nurse.address, garbage)
        world.clinician.add_member(made["clinician"], world.nurse.address)
        own = world.nurse.create_group().group
        for group in made.values():
            world.nurse.accept_group(group)

        def known() -> set[str]:
            return {str(reader.grantee) for reader in world.nurse._readers()}

        assert known() == {world.nurse.address, made["clinician"], own}
        world.nurse.blocked.add(world.clinician.address)
        assert known() == {world.nurse.address, own}

    def test_a_group_whose_secrets_nobody_sealed_to_the_reader_is_none_of_theirs(
        self, world: World, group: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(world.network.sidechain.groups, "sealed_key_of", lambda *_: None)
        assert [str(reader.grantee) for reader in world.nurse._readers()] == [world.nurse.address]
        # It is no fault that somebody is warned of.
        assert caplog.records == []

    def test_groups_of_a_blocked_manager_are_left_out(self, world: World, group: str) -> None:
        made = world.patient.grant(group, ["laboratory"], until=world.now + 1000)
        assert [view.policy_id for view in world.nurse.inbox()] == [made.policy_id]
        world.nurse.blocked.add(world.clinician.address)
        assert list(world.nurse.inbox()) == []
        with pytest.raises(PolicyUnknownError):
            world.nurse.terms_of(made)


def test_terms_are_shown_to_whom_they_were_granted_to(world: World) -> None:
    made = grant(world)
    on_chain, terms = world.clinician.terms_of(made)
    assert (on_chain.policy_id, terms.grantee) == (made.policy_id, world.clinician.address)
    with pytest.raises(PolicyUnknownError):
        world.nurse.terms_of(made)


@pytest.mark.parametrize("answers", [True, False], ids=["provable", "no-chain"])
def test_terms_that_nobody_signed_stop_no_list_and_cost_one_proof(world: World, answers: bool) -> None:
    """Anybody can make them, and the registry's proof is asked for only because of them."""
    good = grant(world)
    forged = [forge(world, world.patient.address, index=index) for index in range(3)]
    clinician, keys, proofs = again(world, "clinician"), world.network.keys, list[object]()
    real = keys._statuses

    def counted(actors: Any) -> Any:
        proofs.append(actors)
        if not answers:
            raise ChainUnavailableError("too old")
        return real(actors)

    with patch.object(keys, "_statuses", counted):
        found = clinician.inbox()
        views = list(found)
    assert [view.policy_id for view in views] == [good.policy_id]
    assert {one.item for one in found.left_out} == set(forged)
    assert all(f"what {world.patient.whoami().handle} signed" in one.reason for one in found.left_out)
    assert len(proofs) == (1 if answers else 3)
