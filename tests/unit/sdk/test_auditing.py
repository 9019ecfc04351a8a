"""Auditing: proofs of one policy or all, who can read a record and who did, and where a leaked text is from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import (
    IntegrityError,
    PartlyDoneError,
    PolicyUnknownError,
    StoreUnavailableError,
    UnknownActorError,
)
from panachain.ipld.cid import CID
from panachain.model.actors import PolicyId
from panachain.records.findings import Findings
from panachain.records.locate import LaneRows, locate_beside
from panachain.sdk import auditing as module
from panachain.sdk.auditing import Suspects
from panachain.sdk.lanes import NEWEST_PAIRING, _Moved
from panachain.sdk.opening import Opening
from panachain.sdk.patient import Patient
from panachain.sdk.readings import Reading
from panachain.sdk.results.listings import LeftOut
from panachain.sdk.results.records import OpenedRecord
from panachain.sdk.standing import Standing
from panachain.sdk.times import iso
from tests.twin.world import PROXIES, World
from tests.unit.sdk.helpers import again, grant, opened, upload

POLICY = PolicyId("0x52908400098527886E0F7030069857D2E4169EE7")


def test_one_policy_or_all(world: World) -> None:
    first = grant(world)
    grant(world, "nurse")
    world.wait()
    told: list[tuple[int, int | None]] = []
    proofs = world.patient.auditing.verify(progress=lambda done, total, **_: told.append((done, total)))
    assert len(proofs) == 2 * PROXIES
    assert told == [(1, 2), (2, 2)]
    one = world.patient.auditing.verify(first)
    assert {proof.policy_id for proof in one} == {first.policy_id}
    assert all(proof.proven and proof.to_json()["schema"] == "panachain/log-verified/1" for proof in one)
    with pytest.raises(PolicyUnknownError):
        world.patient.auditing.verify("0x" + "11" * 20)


def test_who_can_read_a_record_and_who_did(world: World) -> None:
    upload(world)
    upload(world, category="vitals")
    made = grant(world)
    grant(world, "nurse", ("vitals",))
    opened(world, made.policy_id)
    world.wait()
    ids = {record.info.category.value: record.info.header_cid for record in world.patient.records()}
    access = world.patient.auditing.access(ids["laboratory"])
    assert [view.grantee for view in access.policies] == [world.clinician.address]
    assert [reading.requester for reading in access.readings] == [world.clinician.address]
    assert (access.category, access.year, access.hospital) == ("laboratory", 2025, world.hospital.address)
    other = world.patient.auditing.access(ids["vitals"])
    assert ([view.grantee for view in other.policies], other.readings) == ([world.nurse.address], ())
    fields = access.to_json()
    assert fields["schema"] == "panachain/record-access/1"
    world.patient.revoke(made.policy_id)
    ended = world.patient.auditing.access(ids["laboratory"])
    # It can't be read any more, and was.
    assert (ended.policies, len(ended.readings)) == ((), 1)
    with pytest.raises(UnknownActorError):
        world.patient.auditing.access("bafkreigone")


def test_what_leaked_is_found_in_whatever_form(world: World) -> None:
    upload(world)
    upload(world, category="vitals")
    (record,) = [one for one in world.patient.records() if one.info.category.value == "laboratory"]
    plain = record.content
    auditing = world.patient.auditing
    assert auditing.find_record(plain) == [record.info.header_cid]
    value = json.loads(plain)
    assert auditing.find_record(json.dumps(value, indent=4, sort_keys=True).encode()) == [record.info.header_cid]
    (resource,) = [entry["resource"] for entry in value["entry"]] if "entry" in value else [value]
    assert auditing.find_record(json.dumps(resource).encode()) == [record.info.header_cid]
    for nothing in (b"", b"other", b"{}", b"[]", b"[" * 100_000):
        assert auditing.find_record(nothing) == []


def test_what_could_not_be_read_may_hold_it_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(world)
    upload(world, category="vitals")
    mine = {one.info.category.value: one for one in world.patient.records()}
    lost, content = mine["vitals"].info, mine["laboratory"].content
    block = world.network.store.get_block(CID.parse(lost.content_cid))
    world.network.store.delete_block(CID.parse(lost.content_cid))
    found = world.patient.auditing.find_record(content)
    assert (list(found), len(found.left_out)) == ([mine["laboratory"].info.header_cid], 1)
    assert lost.header_cid in str(found.left_out[0])
    # Of another one the header is gone.
    monkeypatch.delitem(world.network.store.held, CID.parse(lost.header_cid))
    assert lost.header_cid in str(again(world).auditing.find_record(content).left_out[0])
    monkeypatch.undo()
    # The only one there is: that nothing holds it isn't said.
    nothing = world.patient.auditing.find_record(b"{}")
    assert (list(nothing), len(nothing.left_out)) == ([], 1)
    world.network.store.put_block(CID.parse(lost.content_cid), block)
    assert world.patient.auditing.find_record(content).left_out == ()
    # A store that goes away in the middle is no answer, whatever was left out before.
    with monkeypatch.context() as patch:
        patch.delitem(world.network.store.held, CID.parse(lost.header_cid))
        following = Opening.__next__

        def away(self: Opening) -> OpenedRecord:
            try:
                return following(self)
            except PartlyDoneError:
                raise StoreUnavailableError("the store is away") from None

        patch.setattr(Opening, "__next__", away)
        with pytest.raises(StoreUnavailableError):
            again(world).auditing.find_record(content)
    # What is too large to be compared, likewise.
    monkeypatch.setattr(module, "_MOST_SIZE", 10)
    large = world.patient.auditing.find_record(content)
    assert (list(large), {one.kind for one in large.left_out}) == ([], {"record"})


def test_who_can_read_says_what_could_not_be_read(world: World, tmp_path: Path) -> None:
    upload(world)
    (record,) = world.patient.records()
    made = grant(world)
    assert world.patient.auditing.access(record.info.header_cid).left_out == ()
    # Another machine, which kept no terms, and the store lost them.
    del world.network.store.held[CID.parse(made.terms_cid)]
    elsewhere = Patient(world.network, replace(world.patient.profile, folder=tmp_path), "")
    access = elsewhere.auditing.access(record.info.header_cid)
    assert (access.policies, [one.item for one in access.left_out]) == ((), [made.policy_id])


class TestSilence:
    """A proxy that tells nothing, or what can't be believed, may be the only one that knows of an opening."""

    def test_is_named_where_there_is_no_opening(self, world: World) -> None:
        upload(world)
        (record,) = world.patient.records()
        grant(world)
        log = world.patient.log(records=[record.info.header_cid])
        assert (list(log), log.left_out) == ([], ())
        world.proxies[0].up = False
        log = world.patient.log(records=[record.info.header_cid])
        assert list(log) == []
        assert [(one.kind, one.item) for one in log.left_out] == [("proxy", world.proxies[0].address)]
        access = world.patient.auditing.access(record.info.header_cid)
        assert [one.kind for one in access.left_out] == ["proxy"]

    def test_of_a_liar_is_named_as_what_cannot_be_believed(self, world: World) -> None:
        upload(world)
        (record,) = world.patient.records()
        grant(world)
        proxy = world.proxies[0]
        true = proxy.answer
        proxy.answer = lambda path, body: (200, b"{}") if path == "/v1/receipts" else true(path, body)  # type: ignore[method-assign]
        log = world.patient.log(records=[record.info.header_cid])
        ((one),) = log.left_out
        assert (one.item, "what it told can't be believed" in one.reason) == (proxy.address, True)


class TestARecordThatMoved:
    """Its envelope has other capsules then, by which proxies name it."""

    def moved(self, world: World, *, deleted: bool) -> str:
        upload(world)
        made = grant(world)
        opened(world, made.policy_id)
        world.wait()
        kept = {} if deleted else {cid: world.network.store.get_block(cid) for cid in world.network.store.blocks()}
        world.patient.revoke(made.policy_id, rotate=True)
        world.hospital.rewrap()
        for cid, block in kept.items():
            world.network.store.put_block(cid, block)
        (record,) = world.patient.records()
        return record.info.header_cid

    def test_names_who_opened_it_before_as_long_as_its_old_header_is_there(self, world: World) -> None:
        record = self.moved(world, deleted=False)
        log = world.patient.log(records=[record])
        assert [one.requester for one in log] == [world.clinician.address]
        assert log.left_out == ()

    def test_says_that_earlier_openings_cannot_be_told_where_it_is_gone(self, world: World) -> None:
        record = self.moved(world, deleted=True)
        log = world.patient.log(records=[record])
        assert list(log) == []
        assert [(one.kind, one.item) for one in log.left_out] == [("record", record)]
        assert "who opened where it lay before can't be told" in log.left_out[0].reason
        # Nothing brings it back: it is said since when it lies where openings are told, and nobody is asked again.
        (event,) = world.network.stored_by(world.hospital.address)[-1:]
        since = world.network.mainchain.source.block(event.block).time
        assert (log.left_out[0].since, Suspects.of(log, log.left_out).unasked) == (since, ())
        access = world.patient.auditing.access(record)
        assert (access.unasked, [one.since for one in access.left_out]) == ((), [since])
        assert access.to_json()["left_out"][0]["since"] == iso(since)  # type: ignore[index]
        assert [one.kind for one in world.patient.receipts(records=[record]).left_out] == ["record"]
        assert not Suspects.of(log, log.left_out).is_whole
        # Whoever opens it now is named beside that.
        made = grant(world)
        opened(world, made.policy_id)
        world.wait()
        assert [one.requester for one in world.patient.log(records=[record])] == [world.clinician.address]
        world.patient.revoke(made.policy_id)
        # Of all openings together nothing is lacking.
        every = world.patient.log()
        assert (len(list(every)), every.left_out) == (2, ())

    @pytest.mark.parametrize("deleted", [False, True])
    def test_names_who_may_have_kept_its_earlier_place(self, world: World, *, deleted: bool) -> None:
        # Over before there was a record.
        early = grant(world, "nurse")
        world.patient.revoke(early.policy_id)
        world.advance(60)
        # Of other lanes.
        grant(world, "nurse", ("vitals",))
        record = self.moved(world, deleted=deleted)
        (kept,) = world.patient.auditing.access(record).keepers
        (before,) = [one for one in world.patient.policies() if one.grantee == world.clinician.address]
        assert (kept.policy.policy_id, kept.policy.grantee) == (before.policy_id, world.clinician.address)
        (info,) = [one.info for one in world.patient.records()]
        # As long as the proxies served, and not before there was a record.
        times = world.network.mainchain.policies.allowed_times(before.policy_id)
        assert (kept.since, kept.until) == (max(times.start, info.stored_at), times.stop)
        # A grant has all generations of a lane: with a copy of the earlier place it opens that, too, from its begin on.
        later = grant(world, "nurse")
        access = world.patient.auditing.access(record)
        assert world.patient.auditing.keepers(record) == access.keepers
        assert [(one.policy.policy_id, one.since) for one in access.keepers[1:]] == [(later.policy_id, later.starts_at)]
        told, _ = access.to_json()["may_have_kept"]  # type: ignore[misc]
        assert told == {
            "who": world.clinician.address,
            "policy_id": before.policy_id,
            "from": iso(kept.since),
            "until": iso(kept.until),
        }

    def test_names_nobody_where_nothing_was_moved(self, world: World) -> None:
        upload(world)
        grant(world)
        (record,) = world.patient.records()
        assert world.patient.auditing.keepers(record.info.header_cid) == ()
        with pytest.raises(UnknownActorError):
            world.patient.auditing.keepers("bafkreigone")

    def test_names_those_of_the_category_that_it_left_and_not_those_of_its_own(self, world: World) -> None:
        upload(world)
        before, other = grant(world), grant(world, "nurse", ("vitals",))
        world.patient.choices.recategorize(
            [one.info.header_cid for one in world.patient.records()], "vitals", confirm=True
        )
        world.hospital.rewrap()
        (record,) = again(world).records()
        auditing = again(world).auditing
        access = auditing.access(record.info.header_cid)
        assert [one.policy_id for one in access.policies] == [other.policy_id]
        assert [one.policy.policy_id for one in access.keepers] == [before.policy_id]
        # Moved once more, in its own category: both places are earlier ones.
        world.patient.revoke(other.policy_id, rotate=True)
        world.hospital.rewrap()
        (record,) = again(world).records()
        keepers = again(world).auditing.keepers(record.info.header_cid)
        assert {one.policy.policy_id for one in keepers} == {before.policy_id, other.policy_id}

    def test_whose_earlier_place_may_come_back_is_asked_for_again(self, world: World) -> None:
        record = self.moved(world, deleted=False)
        store = world.network.store
        lanes = [rows for own in world.patient._lanes.headers(Findings()) for rows in own.named.lanes]
        old = [one for rows in lanes for one in rows.opened if one.info.header_cid != record]
        block = store.get_block(CID.parse(old[0].info.envelope_cid))
        store.delete_block(CID.parse(old[0].info.envelope_cid))
        (lacks,) = world.patient.log(records=[record]).left_out
        assert (lacks.item, lacks.since) == (record, 0)
        # Neither is it known where something else couldn't be read: that may be it.
        store.put_block(CID.parse(old[0].info.envelope_cid), block)
        store.delete_block(CID.parse(old[0].info.header_cid))
        upload(world, category="vitals")
        (other,) = [one for one in world.patient.records() if one.info.category.value == "vitals"]
        store.delete_block(CID.parse(other.info.header_cid))
        assert self.since(world, record) == [0]

    def since(self, world: World, record: str) -> list[int]:
        return [one.since for one in again(world).log(records=[record]).left_out if one.kind == "record"]

    def test_what_is_broken_at_another_hospital_does_not_matter(self, world: World) -> None:
        record = self.moved(world, deleted=True)
        (since,) = self.since(world, record)
        upload(world, where="clinic")
        other = next(one for one in world.patient.records() if one.info.hospital == world.clinic.address)
        world.network.store.delete_block(CID.parse(other.info.header_cid))
        assert self.since(world, record) == [since] != [0]

    @pytest.mark.parametrize("former", [False, True])
    def test_a_record_that_is_hidden_from_others_is_no_header_of_before(
        self, world: World, monkeypatch: pytest.MonkeyPatch, *, former: bool
    ) -> None:
        record = self.moved(world, deleted=True)
        (since,) = self.since(world, record)
        if former:
            world.patient.unpair(world.hospital.address)

        def nothing_there(*args: Any, **named: Any) -> list[LaneRows]:
            return [LaneRows(rows.lane, [], []) for rows in locate_beside(*args, **named)]

        monkeypatch.setattr("panachain.sdk.lanes.locate_beside", nothing_there)
        opening = again(world).records()
        assert len(list(opening)) == 1
        assert ["nobody who was granted it finds that" in str(one) for one in opening.notices] == [True]
        assert self.since(world, record) == [since] != [0]

    @pytest.mark.parametrize("former", [False, True])
    def test_an_old_header_that_cannot_be_read_is_not_gone_for_good(
        self, world: World, monkeypatch: pytest.MonkeyPatch, *, former: bool
    ) -> None:
        record = self.moved(world, deleted=False)
        lanes = [rows for own in world.patient._lanes.headers(Findings()) for rows in own.named.lanes]
        (old,) = [one.info.header_cid for rows in lanes for one in rows.opened if one.info.header_cid != record]
        if former:
            # What a former hospital lacks is a notice: it may be the old header all the same.
            world.patient.unpair(world.hospital.address)
        true = world.network.store.get_block

        def torn(cid: CID) -> bytes:
            if str(cid) == old:
                raise IntegrityError("torn")
            return true(cid)

        monkeypatch.setattr(world.network.store, "get_block", torn)
        assert self.since(world, record) == [0]

    def test_what_is_its_own_hospitals_or_nobodys_may_be_what_is_sought(self, world: World) -> None:
        upload(world)
        lanes = world.patient._lanes
        (own,) = [one for one in lanes.headers(Findings()) if one.heads.hospital == world.hospital.address]
        moved = _Moved(own, own.headers[0], [None])
        for hospital, what, read in (
            (world.clinic.address, "record bafy", True),
            (world.clinic.address, NEWEST_PAIRING, False),
            (world.hospital.address, "record bafy", False),
            ("", "storage transaction 3", False),
        ):
            for tell in (Findings.left_out, Findings.notice):
                findings = Findings()
                tell(findings, hospital, what, IntegrityError("torn"))
                assert moved.is_all_read(findings) is read, what
        assert moved.is_all_read(Findings())


def test_a_report_and_a_log_with_records_ask_once_who_somebody_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(world)
    opened(world, grant(world).policy_id)
    world.wait()
    asked: list[int] = []
    true = Standing.of

    def counted(self: Standing, readings: Iterable[Reading]) -> list[str]:
        several = list(readings)
        asked.append(len(several))
        return true(self, several)

    monkeypatch.setattr(Standing, "of", counted)
    log = list(world.patient.log())
    named = world.patient.auditing.named(log, records=True)
    assert ([one.who for one in named], [len(one.records) for one in named]) == ([one.who for one in log], [1])
    world.patient.auditing.report(datetime.fromtimestamp(world.now, UTC).year)
    assert asked == [1, 0, 1, 0]


def test_only_confirmed_openings_name_people() -> None:
    one = Reading("0xA", "0xA", POLICY, (), "TREAT", 1, 2, True, 1, ())
    again, refused = replace(one, at=3), replace(one, requester="0xB", permitted=False)
    doubtful = replace(one, requester="0xC", envelopes=0, unconfirmed=1)
    lacking = LeftOut("proxy", "0xD", "silent")
    found = Suspects.of([one, again, refused, doubtful], [lacking])
    assert (found.people, len(found.opened)) == (("0xA",), 2)
    assert (found.refused, found.doubtful, found.is_whole) == ((refused,), (doubtful,), False)
    assert Suspects.of([]).is_whole
