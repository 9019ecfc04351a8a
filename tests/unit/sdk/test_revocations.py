"""Revocations, R1 to R4; tests/twin/test_rotation.py lets proxies collude."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.chain.evm import Receipt as Mined
from panachain.chain.revocations import check_revocation, registry_domain
from panachain.chain.rpc import RpcAnswerError
from panachain.crypto import umbral
from panachain.errors import (
    AccessDeniedError,
    BlockNotFoundError,
    ChainUnavailableError,
    DiskError,
    IntegrityError,
    PolicyUnknownError,
    RelaysUnavailableError,
    TransactionError,
    UsageError,
)
from panachain.ipld.cid import CID
from panachain.model.actors import PolicyId
from panachain.model.policy import OnChainPolicy, PolicyStatus
from panachain.model.scope import Purpose
from panachain.proxy import messages
from panachain.sdk.patient import Patient
from panachain.sdk.relay import LocalRelay
from tests.twin.world import PROXIES, THRESHOLD, World
from tests.unit.sdk.helpers import DAY, again, grant, opened, upload


def test_r1_and_r2_make_it_final(world: World) -> None:
    upload(world)
    made = grant(world)
    report = world.patient.revoke(made.policy_id)
    assert (report.deleted, report.needed, report.final, report.stage) == (
        PROXIES,
        PROXIES - THRESHOLD + 1,
        True,
        "final",
    )
    assert bool(report.tx)
    with pytest.raises(AccessDeniedError):
        opened(world, made.policy_id)


def test_with_proxies_down_it_says_how_far_it_is_and_a_second_call_goes_on(world: World) -> None:
    made = grant(world)
    for proxy in world.proxies[:2]:
        proxy.up = False
    first = world.patient.revoke(made.policy_id)
    assert (first.final, first.stage, len(first.unreachable)) == (False, f"1 of {PROXIES} proxies deleted", 2)
    for proxy in world.proxies:
        proxy.up = True
    second = again(world).revoke(made.policy_id)
    assert (second.tx, second.deleted, second.stage) == ("", PROXIES, "final")


def test_nobody_elses_policy_is_revoked(world: World) -> None:
    with pytest.raises(PolicyUnknownError):
        world.patient.revoke(PolicyId("0x" + "11" * 20))


def test_status_asks_the_proxies_and_sends_nothing(world: World) -> None:
    made = grant(world)
    with pytest.raises(PolicyUnknownError, match="isn't revoked: it is active"):
        world.patient.revocation(made.policy_id)
    world.patient.revoke(made.policy_id)
    (world.patient.profile.folder / "revocations.json").unlink()
    block = world.network.mainchain.head_block().number
    assert again(world).revocation(made.policy_id).deleted == PROXIES
    assert world.network.mainchain.head_block().number == block


def test_what_waits_is_withdrawn_and_leaves_no_trace(world: World) -> None:
    world.patient._grants._delay = lambda _: DAY
    made = grant(world, until=world.now + 30 * DAY, jitter=2 * DAY)
    block = world.network.mainchain.head_block().number
    assert world.patient.revoke(made.policy_id).stage == "withdrawn before it was sent"
    assert world.network.mainchain.head_block().number == block
    assert list(world.patient.policies()) == []


def test_policies_lists_with_the_step_that_is_reached(world: World) -> None:
    kept, gone = grant(world), grant(world, "nurse")
    world.patient.revoke(gone.policy_id)
    assert [(view.policy_id, view.status, view.stage) for view in world.patient.policies()] == [
        (kept.policy_id, PolicyStatus.ACTIVE, ""),
        (gone.policy_id, PolicyStatus.REVOKED, "final"),
    ]


class TestRotation:
    def test_r3_tells_hospitals_and_grants_the_others_anew(self, world: World) -> None:
        upload(world)
        lost, kept, apart = grant(world), grant(world, "nurse"), grant(world, "nurse", ("vitals",))
        report = world.patient.revoke(lost.policy_id, rotate=True)
        assert set(report.hospitals) == {world.hospital.address, world.clinic.address}
        # What has no lane in common with the lost one stays as it is.
        assert set(report.regranted) == {kept.policy_id}
        assert (report.rotated, report.rewrapped, report.stage) == (True, False, "lane rotated")
        upload(world)
        assert opened(world, report.regranted[kept.policy_id], "nurse") == 2
        status = {view.policy_id: view.status for view in world.patient.policies()}
        assert (status[kept.policy_id], status[apart.policy_id]) == (PolicyStatus.REVOKED, PolicyStatus.ACTIVE)

    def test_what_a_relay_refuses_to_grant_anew_is_finished_by_settle(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: object) -> Any:
            raise TransactionError("https://relay.test refuses")

        lost, kept, suspended = grant(world), grant(world, "nurse"), grant(world, "stranger")
        world.registrar.suspend(world.stranger.address)
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(LocalRelay, "grant", refuse)
            report = world.patient.revoke(lost.policy_id, rotate=True)
            names = [f"policy {one.policy_id} on the new keys" for one in (kept, suspended)]
            assert (report.rotated, report.regranted, [one.what for one in report.omissions]) == (True, {}, names)
            with pytest.raises(TransactionError, match=r"relay\.test refuses"):
                again(world).settle()
        upload(world)
        (made,) = again(world).settle()
        assert opened(world, made.policy_id, "nurse") == 1
        assert again(world).settle() == []

    def test_a_second_call_rotates_nothing_again(self, world: World) -> None:
        lost = grant(world)
        world.patient.revoke(lost.policy_id, rotate=True)
        epoch = world.patient._lanes.generations().epoch
        report = again(world).revoke(lost.policy_id, rotate=True)
        assert (world.patient._lanes.generations().epoch, report.hospitals, report.regranted) == (epoch, (), {})

    def test_r4_is_seen_once_the_old_headers_are_gone(self, world: World) -> None:
        upload(world)
        lost = grant(world)
        world.patient.revoke(lost.policy_id, rotate=True)
        assert world.patient.revocation(lost.policy_id).stage == "lane rotated"
        world.hospital.rewrap()
        assert world.patient.revocation(lost.policy_id).stage == "headers re-wrapped"
        # It is remembered, and needs no look into the store again.
        assert [view.stage for view in again(world).policies()] == ["headers re-wrapped"]
        assert len(list(world.patient.records())) == 1

    def test_a_policy_whose_terms_are_lost_keeps_no_lane_from_being_rotated(self, world: World, tmp_path: Path) -> None:
        forgotten, lost, kept = grant(world, "nurse", ("vitals",)), grant(world), grant(world, "nurse")
        del world.network.store.held[CID.parse(forgotten.terms_cid)]
        elsewhere = Patient(world.network, replace(world.patient.profile, folder=tmp_path), "")
        report = elsewhere.revoke(lost.policy_id, rotate=True)
        assert (report.rotated, set(report.regranted)) == (True, {kept.policy_id})
        assert [one.what for one in report.omissions] == [f"policy {forgotten.policy_id}"]

    def test_proxies_that_no_longer_serve_are_replaced(self, world: World) -> None:
        names = [proxy.address for proxy in world.proxies[:2]]
        lost, kept = grant(world), grant(world, "nurse", proxies=names)
        world.registrar.suspend(names[0])
        report = world.patient.revoke(lost.policy_id, rotate=True)
        own = world.patient._policies.find(report.regranted[kept.policy_id])
        assert {proxy.address for proxy in own.terms.proxies} == {proxy.address for proxy in world.proxies[1:]}


class TestLeaving:
    """A revocation leaves, whatever any node claims (security rule 19); the truth is the world's own chain."""

    @staticmethod
    def claim(world: World, monkeypatch: pytest.MonkeyPatch, said: Any) -> None:
        """Let the patient's node say this of every policy; proxies and relays have other nodes."""
        policies = world.network.mainchain.policies

        def lie(*_: object, **__: object) -> Any:
            if isinstance(said, Exception):
                raise said
            return said

        many = lie if isinstance(said, Exception) else lambda ids: {one: replace(said, policy_id=one) for one in ids}
        for name in ("policy_of", "settled"):
            monkeypatch.setattr(policies, name, lie)
        monkeypatch.setattr(policies, "policies_of", many)

    @pytest.mark.parametrize(
        "said",
        [
            OnChainPolicy(PolicyId("0x" + "00" * 20), PolicyStatus.REVOKED, 0, 0, b""),
            OnChainPolicy(PolicyId("0x" + "00" * 20), PolicyStatus.EXPIRED, 0, 0, b"\1" * 32),
            PolicyUnknownError("no such policy"),
            IntegrityError("the node's block is none"),
            ChainUnavailableError("nobody answers"),
            RpcAnswerError("internal error"),
        ],
        ids=lambda said: said.status.name if isinstance(said, OnChainPolicy) else type(said).__name__,
    )
    def test_whatever_the_own_node_says_the_revocation_leaves(
        self, world: World, monkeypatch: pytest.MonkeyPatch, said: Any
    ) -> None:
        upload(world)
        made = grant(world)
        self.claim(world, monkeypatch, said)
        report = again(world).revoke(made.policy_id)
        # It reached the chain, and the proxies too, although nobody could tell which of them hold a share.
        assert report.deleted == PROXIES
        monkeypatch.undo()
        assert world.network.mainchain.policies.policy_of(made.policy_id).status is PolicyStatus.REVOKED
        with pytest.raises(AccessDeniedError):
            opened(world, made.policy_id)

    def test_however_many_were_granted_before_it_leaves(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        made = [grant(world, who) for who in ("clinician", "nurse")]
        monkeypatch.setattr("panachain.sdk.policies.SEARCHED", 1)
        assert again(world).revoke(made[1].policy_id).stage == "final"
        with pytest.raises(PolicyUnknownError):
            again(world).revoke(PolicyId("0x" + "11" * 20))
        (world.patient.profile.folder / "policies.json").write_bytes(b"{")
        with pytest.raises(PolicyUnknownError):
            again(world).revoke(PolicyId("0x" + "11" * 20))

    def test_it_counts_as_done_by_a_proof_only(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        made = grant(world)
        self.claim(world, monkeypatch, ChainUnavailableError("nobody answers"))
        report = world.patient.revoke(made.policy_id)
        assert (report.proven, report.final, report.stage) == (False, False, "sent, not proven yet")
        assert report.to_json()["proven"] is False
        monkeypatch.undo()
        assert again(world).revocation(made.policy_id).stage == "final"

    def test_a_relay_that_says_it_is_done_proves_nothing(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        made = grant(world)
        lying = SimpleNamespace(revoke=lambda *_: Mined("0x" + "77" * 32, 1, 1))
        monkeypatch.setattr(world.network, "relay", lambda *_: lying)
        report = world.patient.revoke(made.policy_id)
        assert (report.proven, report.stage) == (False, "sent, not proven yet")
        assert report.unsent == ("a relay says it is done, but the chain doesn't prove it",)
        assert [view.stage for view in world.patient.policies()] == ["sent, not proven yet"]
        assert world.patient.revocation(made.policy_id).stage == "sent, not proven yet"
        # The proxies took it all the same: the signature is enough for them.
        assert report.deleted == PROXIES

    def test_the_next_command_goes_on_with_it(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        made = grant(world)

        def down(*_: object) -> Any:
            raise RelaysUnavailableError("no relay answers")

        monkeypatch.setattr(world.network, "relay", down)
        for proxy in world.proxies:
            proxy.up = False
        with pytest.raises(RelaysUnavailableError, match="nobody took the revocation") as caught:
            world.patient.revoke(made.policy_id)
        assert "--offline" in caught.value.hint
        monkeypatch.undo()
        for proxy in world.proxies:
            proxy.up = True
        patient = again(world)
        assert patient._revocations.go_on() == []
        assert [view.stage for view in patient.policies()] == ["final"]
        assert patient._revocations.go_on() == []

    def test_a_full_disk_keeps_none_at_home(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        made = grant(world)

        def full(*_: object) -> None:
            raise DiskError("no space is left")

        monkeypatch.setattr(world.patient._orders, "_write", full)
        report = world.patient.revoke(made.policy_id)
        assert (report.proven, report.deleted) == (True, PROXIES)

    def test_a_damaged_file_keeps_none_at_home(self, world: World) -> None:
        made = grant(world)
        world.patient.profile.orders.write_bytes(b"{")
        report = world.patient.revoke(made.policy_id)
        assert (report.proven, report.deleted, report.final) == (True, PROXIES, True)

    def test_a_store_that_lost_the_terms_keeps_none_at_home(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = grant(world)

        def lost(_: object) -> bytes:
            raise BlockNotFoundError("no such block")

        monkeypatch.setattr(world.network.store, "get_block", lost)
        shutil.rmtree(world.patient.profile.folder / "terms")
        report = world.patient.revoke(made.policy_id)
        # Every proxy was told. How many receipts are enough, nobody can tell without the terms.
        assert (report.proven, report.deleted, report.final) == (True, PROXIES, False)

    def test_what_was_signed_and_never_came_on_chain_is_taken_back_too(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A relay may still have the grant: its revocation overtakes it, and it can't be granted any more."""

        def hides(*_: object) -> None:
            raise RelaysUnavailableError("no relay answers")

        monkeypatch.setattr(world.network, "relay", lambda *_: SimpleNamespace(grant=hides))
        with pytest.raises(RelaysUnavailableError):
            grant(world)
        monkeypatch.undo()
        (pending,) = world.patient._grants._journal.read()
        assert world.patient.revoke(pending.policy_id).proven
        with pytest.raises(TransactionError, match="PolicyAlreadyRevoked"):
            world.network.relay().grant(pending.grant, pending.signature)

    def test_a_proxy_that_is_down_holds_nobody_up(self, world: World) -> None:
        made = grant(world)
        world.proxies[0].up = False
        report = world.patient.revoke(made.policy_id)
        assert (report.proven, report.final, report.deleted, dict(report.alarms)) == (True, True, PROXIES - 1, {})


class TestAlarm:
    def test_a_proxy_that_refuses_is_an_alarm_with_evidence(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = grant(world)
        bad = world.proxies[1]

        def refuse(_: Any) -> Any:
            raise UsageError(f"policy {made.policy_id} isn't revoked on chain")

        monkeypatch.setattr(bad.service, "delete", refuse)
        report = world.patient.revoke(made.policy_id)
        assert dict(report.alarms) == {bad.address: f"policy {made.policy_id} isn't revoked on chain"}
        assert [dict(view.alarms) for view in again(world).policies()] == [dict(report.alarms)]
        assert dict(world.patient.revocation(made.policy_id).alarms) == dict(report.alarms)
        (kept,) = (world.patient.profile.folder / "evidence").iterdir()
        evidence = json.loads(kept.read_bytes())
        assert (evidence["schema"], evidence["proxy"]) == ("panachain/ignored-revocation/1", bad.address)
        # Whoever gets it can check that the proxy was given what it must act on.
        mainchain = world.network.mainchain
        given = messages.parse_delete(evidence["request"])
        check_revocation(registry_domain(mainchain.chain_id, mainchain.policies.address), given)
        assert b"isn't revoked on chain" in bytes.fromhex(evidence["answer"])
        assert kept.stat().st_mode & 0o777 == 0o600
        # One that deletes at last is no alarm any more.
        monkeypatch.undo()
        assert dict(again(world).revoke(made.policy_id).alarms) == {}

    def test_a_proxy_that_served_afterwards_is_an_alarm_by_its_own_word(self, world: World) -> None:
        upload(world)
        made = grant(world)
        for proxy in world.proxies[:2]:
            proxy.corrupt()
            proxy.service.delete = None  # type: ignore[method-assign]
        world.patient._proxies._network.relay().revoke(
            made.policy_id, world.patient._policies.sign_revocation(0).signature
        )
        world.advance(60)
        reader, terms = world.clinician._own_terms(world.network.mainchain.policies.policy_of(made.policy_id))
        wraps = {"one": umbral.wrap(terms.lanes[0].delegating_key, bytes(32))}
        assert world.clinician._proxies.unwrap(reader, terms, 0, wraps, Purpose.TREAT).messages == {"one": bytes(32)}
        world.patient.revoke(made.policy_id)
        report = again(world).revocation(made.policy_id)
        assert {proxy.address for proxy in world.proxies[:2]} <= set(report.alarms)
        assert all("served at" in report.alarms[proxy.address] for proxy in world.proxies[:2])
