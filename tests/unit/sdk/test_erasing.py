"""Erasing: what a patient or the law wants gone is gone from every store, and only that is attested."""

from __future__ import annotations

import base64
import fcntl
import random
import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from panachain.crypto.commit import EnvelopeKey
from panachain.errors import (
    BlockNotFoundError,
    IntegrityError,
    LockedError,
    PanaChainError,
    PartlyDoneError,
    StoreUnavailableError,
    UnknownActorError,
    UsageError,
)
from panachain.ipld import unixfs
from panachain.ipld.cid import CID, DAG_CBOR
from panachain.records import merging, word_list
from panachain.records.content import Content, content_context
from panachain.records.header import Header
from panachain.records.journal import Journal
from panachain.records.journal_erased import JournalErasures
from panachain.records.publish import BatchBuilder, listed
from panachain.records.statements import Statement
from panachain.records.word_list import WordList
from panachain.sdk import erasing
from panachain.sdk.batches import Batches
from panachain.sdk.own_history import OwnHistory
from panachain.sdk.results.erasures import DroppedShares
from panachain.storage import erasing as storage_erasing
from panachain.storage.blocks import BlobStore
from panachain.storage.embedded import EmbeddedStore
from panachain.storage.replicated import ReplicatedStore
from tests.twin.world import World, resource
from tests.unit.sdk.helpers import again, grant
from tests.unit.sdk.test_changes import bundle, publish, stamped
from tests.unit.sdk.test_recategorizing import observation, opening, own, published, values
from tests.unit.storage.memory_store import MemoryStore


class Killed(BaseException):
    """As if the process ended."""


def record_of(world: World, value: str) -> str:
    """Return the ID of the record that says something."""
    found: str = next(one.info.header_cid for one in again(world).records() if value in one.content.decode())
    return found


def erased(world: World, *record_ids: str) -> Any:
    """Have records erased because their patient asks for it, and return the hospital's report."""
    world.patient.erasures.ask(record_ids)
    return again(world, "hospital").erasures.follow()


def states(world: World) -> list[str]:
    return [one.state for one in again(world).erasures.all().records]


class TestAWish:
    def test_is_done_and_attested(self, world: World, tmp_path: Path) -> None:
        ids = published(world, tmp_path / "1", *(observation(one, f"v{one}") for one in range(3)))
        before = {one.info.header_cid: one.info for one in world.patient.records()}
        gone = record_of(world, "v1")
        report = world.patient.erasures.ask([gone])
        assert [(one.record_id, one.state) for one in report.asked] == [(gone, "asked")]
        # Nothing happens before the hospital does it, and a run of `rewrap` doesn't.
        assert again(world, "hospital").rewrap().transactions == ()
        assert values(world, "laboratory") == ["v0", "v1", "v2"]
        assert states(world) == ["asked"]
        hospital = again(world, "hospital")
        assert [one.record_id for one in hospital.erasures.asked().records] == [gone]
        done = hospital.erasures.follow()
        assert [(one.record_id, one.state) for one in done.erased] == [(gone, "attested")]
        assert (done.kept, done.stores, len(done.transactions), done.omissions, done.notices) == (2, 1, 2, (), ())
        # Later reading says what became of it, and nothing is missing.
        assert own(world) == [("laboratory", "v0"), ("laboratory", "v2")]
        found = opening(world, "laboratory")
        (told,) = found.withdrawn
        assert (told.record_id, told.reason, told.category, told.year) == (gone, "erased", "laboratory", 2025)
        assert told.attested_at == told.withdrawn_at == world.now
        assert told.to_json()["attested_at"]
        assert (found.omissions, found.notices, len(found.records)) == ([], [], 2)  # type: ignore[attr-defined]
        with pytest.raises(UnknownActorError, match="was erased by its hospital on"):
            again(world).get(gone)
        assert states(world) == ["attested"]
        for cid in (before[gone].content_cid, before[gone].envelope_cid, *ids):
            with pytest.raises(BlockNotFoundError):
                world.network.store.get_block(CID.parse(cid))
        hospital = again(world, "hospital")
        assert hospital.erasures.asked().records == ()
        assert [(one.record_id, one.state) for one in hospital.erasures.all()] == [(gone, "attested")]
        assert gone not in {one.record_id for one in hospital.records()}
        with pytest.raises(UnknownActorError, match="was erased on"):
            again(world).erasures.ask([gone])

    def test_is_followed_once_and_only_of_whom_it_is_chosen(self, world: World, tmp_path: Path) -> None:
        published(world, tmp_path / "1", observation(1, "v"))
        world.patient.erasures.ask([record_of(world, "v")])
        hospital = again(world, "hospital")
        with pytest.raises(UnknownActorError):
            hospital.erasures.follow(patients=["nobody"])
        assert len(hospital.erasures.follow(patients=[world.patient.address]).erased) == 1
        report = again(world, "hospital").erasures.follow()
        assert (report.erased, report.transactions) == ((), ())

    def test_may_be_refused_and_the_patient_alone_reads_why(self, world: World, tmp_path: Path) -> None:
        published(world, tmp_path / "1", observation(1, "v1"), observation(2, "v2"))
        one, other = record_of(world, "v1"), record_of(world, "v2")
        world.patient.erasures.ask([one, other])
        hospital = again(world, "hospital")
        hospital.erasures.refuse([one], " we must   keep it until 2034 ")
        assert [view.record_id for view in hospital.erasures.asked().records] == [other]
        assert hospital.erasures.follow().erased[0].record_id == other
        told = {view.record_id: view for view in again(world).erasures.all().records}
        assert [view.state for view in told.values()].count("refused") == 1
        (refused,) = (view for view in told.values() if view.state == "refused")
        assert refused.why == "we must keep it until 2034"
        assert own(world) == [("laboratory", "v1")]
        # It may be asked for again.
        assert [view.state for view in erased(world, record_of(world, "v1")).erased] == ["attested"]
        assert states(world) == ["attested", "attested"]

    @pytest.mark.parametrize("why", ["", " ", "x" * 501])
    def test_is_not_refused_without_a_reason(self, world: World, why: str) -> None:
        with pytest.raises(UsageError, match="reason"):
            world.hospital.erasures.refuse(["bafy"], why)

    def test_that_nobody_has_is_neither_followed_nor_refused(self, world: World, tmp_path: Path) -> None:
        (record,) = published(world, tmp_path / "1", observation(1, "v"))
        for call in (world.hospital.erasures.follow, lambda ids: world.hospital.erasures.refuse(ids, "no")):
            with pytest.raises(UnknownActorError, match="no patient asks"):
                call([record])
        assert own(world) == [("laboratory", "v")]

    def test_about_what_is_not_there_is_told(self, world: World) -> None:
        with pytest.raises(UnknownActorError):
            world.patient.erasures.ask(["bafkreih"])
        with pytest.raises(UsageError):
            world.patient.erasures.ask([])

    def test_holds_a_move_of_the_same_envelope_back_until_it_is_decided(self, world: World, tmp_path: Path) -> None:
        published(world, tmp_path / "1", observation(1, "v1"), observation(2, "v2"))
        world.patient.choices.recategorize([record_of(world, "v1"), record_of(world, "v2")], "private")
        world.patient.erasures.ask([record_of(world, "v1")])
        with pytest.raises(PartlyDoneError, match="isn't decided"):
            again(world, "hospital").rewrap()
        assert again(world, "hospital").erasures.follow().erased
        assert again(world, "hospital").rewrap().resealed == 1
        assert own(world) == [("private", "v2")]

    @pytest.mark.parametrize("erases", [False, True])
    def test_that_is_decided_holds_nothing_back(self, world: World, tmp_path: Path, *, erases: bool) -> None:
        published(world, tmp_path / "1", *(observation(one, f"v{one}") for one in range(3)))
        refused, gone, other = (record_of(world, f"v{one}") for one in range(3))
        world.patient.erasures.ask([refused, gone] if erases else [refused])
        world.patient.choices.recategorize([other], "private")
        again(world, "hospital").erasures.refuse([refused], "until 2034")
        if erases:
            # Half of an answer is none.
            with pytest.raises(PartlyDoneError, match="isn't decided"):
                again(world, "hospital").rewrap()
            assert [one.record_id for one in again(world, "hospital").erasures.follow().erased] == [gone]
        report = again(world, "hospital").rewrap()
        assert (report.resealed, report.omissions) == (1, ())
        left = [("laboratory", "v0")] if erases else [("laboratory", "v0"), ("laboratory", "v1")]
        assert sorted(own(world)) == [*left, ("private", "v2")]

    def test_that_is_followed_in_part_and_then_refused_holds_nothing_back(self, world: World, tmp_path: Path) -> None:
        published(world, tmp_path / "1", *(observation(one, f"v{one}") for one in range(3)))
        world.patient.erasures.ask([record_of(world, "v0"), record_of(world, "v1")])
        assert len(again(world, "hospital").erasures.follow([record_of(world, "v0")]).erased) == 1
        again(world, "hospital").erasures.refuse([record_of(world, "v1")], "until 2034")
        world.patient.choices.recategorize([record_of(world, "v2")], "private")
        assert again(world, "hospital").rewrap().resealed == 1
        assert sorted(own(world)) == [("laboratory", "v1"), ("private", "v2")]

    def test_that_is_refused_and_asked_for_again_holds_it_back_again(self, world: World, tmp_path: Path) -> None:
        published(world, tmp_path / "1", observation(1, "v1"), observation(2, "v2"))
        world.patient.erasures.ask([record_of(world, "v1")])
        again(world, "hospital").erasures.refuse([record_of(world, "v1")], "until 2034")
        world.patient.erasures.ask([record_of(world, "v1")])
        world.patient.choices.recategorize([record_of(world, "v2")], "private")
        with pytest.raises(PartlyDoneError, match="isn't decided"):
            again(world, "hospital").rewrap()

    def test_that_a_lost_journal_forgot_holds_nothing_back(self, world: World, tmp_path: Path) -> None:
        published(world, tmp_path / "1", observation(1, "v1"), observation(2, "v2"))
        erased(world, record_of(world, "v1"))
        (world.hospital.profile.folder / "journal.sqlite").unlink()
        world.patient.choices.recategorize([record_of(world, "v2")], "private")
        assert again(world, "hospital").rewrap().resealed == 1


def scan(number: int, data: str) -> dict[str, Any]:
    return {
        "resourceType": "DocumentReference",
        "id": f"d{number}",
        "date": "2025-01-01T00:00:00Z",
        "content": [{"attachment": {"contentType": "image/png", "data": data}}],
    }


class TestFiles:
    def test_go_with_their_record_to_the_last_leaf(self, world: World, tmp_path: Path) -> None:
        published(world, tmp_path / "1", scan(1, base64.b64encode(random.Random(1).randbytes(5 << 19)).decode()))
        infos = [one.info for one in again(world).records()]
        (whole,) = (info for info in infos if info.media_type == "application/fhir+json")
        (file,) = (info for info in infos if info.media_type == "image/png")
        store = world.network.store
        leaves = [leaf for leaf, _ in unixfs.leaves_of(CID.parse(file.content_cid), store.get_block)]
        assert len(leaves) > 2
        with pytest.raises(UsageError, match="is a file of record"):
            world.patient.erasures.ask([file.header_cid])
        report = erased(world, whole.header_cid)
        assert {one.record_id for one in report.erased} == {whole.header_cid, file.header_cid}
        assert not any(store.has_block(cid) for cid in [*leaves, CID.parse(file.content_cid)])
        assert own(world) == []

    def test_of_a_record_that_stays_stay(self, world: World, tmp_path: Path) -> None:
        data = base64.b64encode(b"a scan" * 1000).decode()
        published(world, tmp_path / "1", scan(1, data), scan(2, data))
        whole = [one.info for one in again(world).records() if one.info.media_type == "application/fhir+json"]
        assert len(erased(world, whole[0].header_cid).erased) == 1
        texts = [b"".join(one.chunks()) for one in again(world).records() if one.attachments]
        assert [data.encode() in text for text in texts] == [True]

    def test_that_are_no_fhir_are_not_published_again(self, world: World, tmp_path: Path) -> None:
        file = tmp_path / "scan.pdf"
        file.write_bytes(b"%PDF-1.4 a letter\n%%EOF")
        (info,) = world.hospital.upload([file], world.patient.address, "documents").records
        erased(world, info.header_cid)
        copy = tmp_path / "copy" / "letter.pdf"
        copy.parent.mkdir()
        copy.write_bytes(file.read_bytes())
        report = world.hospital.upload([copy], world.patient.address, "documents")
        assert report.records == ()
        assert list(again(world).records()) == []


class TestWhatIsPublishedLater:
    def test_is_not_what_was_erased_in_no_version(self, world: World, tmp_path: Path) -> None:
        publish(world, tmp_path / "1", bundle(stamped(1, valueString="v"), stamped(2, valueString="w")))
        (record,) = again(world).records()
        erased(world, record.info.header_cid)
        assert own(world) == []
        newer = stamped(1, "2025-01-01T00:00:00Z", valueString="new")
        for number, one in enumerate((bundle(stamped(1, valueString="v")), bundle(newer))):
            report = publish(world, tmp_path / f"again-{number}", one)
            assert (report.records, report.erased) == ((), 1)
        assert publish(world, tmp_path / "1").records == ()
        assert len(publish(world, tmp_path / "3", bundle(stamped(3, valueString="x"))).records) == 1

    def test_also_after_the_journal_was_lost(self, world: World, tmp_path: Path) -> None:
        publish(world, tmp_path / "1", bundle(stamped(1, valueString="v")))
        (record,) = again(world).records()
        erased(world, record.info.header_cid)
        (world.hospital.profile.folder / "journal.sqlite").unlink()
        again(world, "hospital")
        assert publish(world, tmp_path / "1").records == ()
        assert len(publish(world, tmp_path / "2", bundle(stamped(2, valueString="x"))).records) == 1
        hospital = again(world, "hospital")
        assert hospital.erasures.follow().transactions == ()
        assert (own(world), states(world)) == ([("laboratory", "x")], ["attested"])

    def test_is_a_newer_version_of_what_the_hospital_erased(self, world: World, tmp_path: Path) -> None:
        publish(world, tmp_path / "1", bundle(stamped(1, valueString="v")))
        (record,) = again(world).records()
        again(world, "hospital").erasures.erase([record.info.header_cid])
        assert publish(world, tmp_path / "2", bundle(stamped(1, valueString="v"))).records == ()
        newer = stamped(1, "2025-01-01T00:00:00Z", valueString="new")
        assert len(publish(world, tmp_path / "3", bundle(newer)).records) == 1

    def test_an_older_version_that_stays_counts_no_more(self, world: World, tmp_path: Path) -> None:
        publish(world, tmp_path / "1", bundle(stamped(1, valueString="old")))
        publish(world, tmp_path / "2", bundle(stamped(1, "2025-01-01T00:00:00Z", valueString="new")))
        erased(world, record_of(world, "new"))
        assert own(world) == []


class TestOthersWhoKeepCopies:
    def test_are_named_for_whoever_must_ask_them(self, world: World, tmp_path: Path) -> None:
        published(world, tmp_path / "1", observation(1, "v"))
        closed: list[bool] = []
        service = SimpleNamespace(name="cluster", close=lambda: closed.append(True))
        with patch.object(erasing, "pinning_services", lambda _: [service]):
            report = erased(world, record_of(world, "v"))
        assert [one.what for one in report.notices] == ["pinning service cluster"]
        assert (len(report.erased), report.omissions, closed) == (1, (), [True])

    def test_and_cannot_be_told_are_said_to_be_there(self, world: World, tmp_path: Path) -> None:
        published(world, tmp_path / "1", observation(1, "v"))
        with patch.object(erasing, "pinning_services", side_effect=LockedError("the token is open to others")):
            report = erased(world, record_of(world, "v"))
        assert [one.what for one in report.notices] == ["pinning services"]


def test_a_policy_that_opens_nothing_any_more_is_named(world: World, tmp_path: Path) -> None:
    published(world, tmp_path / "1", observation(1, "v"))
    left = grant(world, categories=("laboratory",)).policy_id
    ended = grant(world, categories=("laboratory",)).policy_id
    world.patient.revoke(ended)
    assert again(world).erasures.all().idle == ()
    erased(world, record_of(world, "v"))
    assert again(world).erasures.all().idle == (left,)
    published(world, tmp_path / "2", observation(2, "w"))
    assert again(world).erasures.all().idle == ()


def shares(world: World, policy_id: Any) -> list[int]:
    """Return how many kfrags of a policy each proxy's database has."""
    question = "SELECT count(*) FROM kfrag WHERE policy_id = {}"
    return [int(proxy.service._store._read(question, policy_id)[0][0]) for proxy in world.proxies]


class TestShares:
    def test_of_lanes_with_nothing_left_are_deleted_and_the_proxies_logs_are_asked(
        self, world: World, tmp_path: Path
    ) -> None:
        published(world, tmp_path / "1", observation(1, "v"))
        left = grant(world, categories=("laboratory",)).policy_id
        other = grant(world, "clinician", ("laboratory", "vitals")).policy_id
        erased(world, record_of(world, "v"))
        published(world, tmp_path / "2", resource("vitals", 2025, 2))
        assert shares(world, left) == [1, 1, 1]

        report = again(world).erasures.drop_shares()

        assert (report.policies, report.shares, report.omissions) == ((left,), 3, ())
        assert (shares(world, left), shares(world, other)) == ([0, 0, 0], [2, 2, 2])
        assert again(world).erasures.drop_shares().policies == ()

    def test_stay_where_something_is_left(self, world: World, tmp_path: Path) -> None:
        published(world, tmp_path / "1", observation(1, "v"), observation(2, "w"))
        kept = grant(world, categories=("laboratory",)).policy_id
        erased(world, record_of(world, "v"))
        assert again(world).erasures.drop_shares().policies == ()
        assert shares(world, kept) == [1, 1, 1]

    def test_a_proxy_whose_log_does_not_say_so_is_named(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published(world, tmp_path / "1", observation(1, "v"))
        left = grant(world, categories=("laboratory",)).policy_id
        erased(world, record_of(world, "v"))
        patient = again(world)
        erasures = patient.erasures
        silent = world.proxies[0].actor.address
        told = erasures._told
        monkeypatch.setattr(erasures, "_told", lambda one: [line for line in told(one) if line.proxy != silent])
        with pytest.raises(PartlyDoneError) as partly:
            erasures.drop_shares()
        assert [one.what for one in partly.value.omissions] == [
            f"shares of policy {left} at {world.proxies[0].actor.handle}"
        ]
        assert isinstance(partly.value.result, DroppedShares)
        assert (partly.value.result.policies, partly.value.result.shares) == ((left,), 2)


class TestOfItsOwnAccord:
    def test_a_hospital_erases_whole_envelopes(self, world: World, tmp_path: Path) -> None:
        ids = published(world, tmp_path / "1", observation(1, "v1"), observation(2, "v2"))
        published(world, tmp_path / "2", observation(3, "v3"))
        with pytest.raises(UsageError, match="in the same envelope: 1 other record"):
            world.hospital.erasures.erase(ids[:1])
        assert len(own(world)) == 3
        report = again(world, "hospital").erasures.erase(ids)
        assert [one.state for one in report.erased] == ["attested", "attested"]
        assert own(world) == [("laboratory", "v3")]
        assert states(world) == ["attested", "attested"]

    def test_also_of_a_patient_who_took_the_pairing_back(self, world: World, tmp_path: Path) -> None:
        ids = published(world, tmp_path / "1", observation(1, "v"))
        world.patient.unpair(world.hospital.address)
        assert len(again(world, "hospital").erasures.erase(ids).erased) == 1
        assert own(world) == []

    @pytest.mark.parametrize("before", ["an erasure", "a move", "a rotation"])
    def test_takes_the_words_of_what_was_sealed_or_listed_anew(self, world: World, tmp_path: Path, before: str) -> None:
        published(world, tmp_path / "1", *(observation(one, f"v{one}") for one in range(3)))
        if before == "an erasure":
            erased(world, record_of(world, "v0"))
        elif before == "a move":
            world.patient.choices.recategorize([record_of(world, "v0")], "private")
            again(world, "hospital").rewrap()
        else:
            world.patient.revoke(grant(world, categories=("laboratory",)).policy_id, rotate=True)
            again(world, "hospital").rewrap()
        keys = keys_of(world)
        assert words_left(world.network.store, keys)
        records = [one.info.header_cid for one in again(world).records()]
        report = again(world, "hospital").erasures.erase(records)
        assert ({one.state for one in report.erased}, report.omissions) == ({"attested"}, ())
        assert words_left(world.network.store, keys) == {}

    def test_of_which_an_old_journal_does_not_know_the_words_is_not_attested(
        self, world: World, tmp_path: Path
    ) -> None:
        ids = published(world, tmp_path / "1", observation(1, "v"))
        content = CID.parse(next(iter(again(world).records())).info.content_cid)
        forget_words(world)
        with pytest.raises(PartlyDoneError, match="the list of its words may be left") as caught:
            again(world, "hospital").erasures.erase(ids)
        report: Any = caught.value.result
        assert (report.erased, len(report.transactions), caught.value.exit_code) == ((), 1, 3)
        assert not world.network.store.has_block(content)
        assert (own(world), states(world)) == ([], ["erased"])
        # Neither later, and it is said again.
        later = again(world, "hospital").erasures.finish()
        assert (later.erased, later.omissions) == ((), ())
        assert ["the list of its words may be left" in str(one) for one in later.notices] == [True]
        assert states(world) == ["erased"]
        # With the patient's key it is known.
        published(world, tmp_path / "2", observation(2, "w"))
        forget_words(world)
        assert [one.state for one in erased(world, record_of(world, "w")).erased] == ["attested"]

    def test_what_it_did_not_publish_it_does_not_erase(self, world: World) -> None:
        with pytest.raises(UnknownActorError, match="published no record bafy"):
            world.hospital.erasures.erase(["bafy"])
        with pytest.raises(UsageError):
            world.hospital.erasures.erase([])
        with pytest.raises(UsageError, match="1 to 1,000"):
            world.hospital.erasures.erase([str(one) for one in range(1001)])


class TestWhatStays:
    def test_of_a_rotation_and_a_merge_misses_nothing(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(merging, "FAN", 2)
        published(world, tmp_path / "1", *(observation(one, f"v{one}") for one in range(3)))
        policy = grant(world, categories=("laboratory",)).policy_id
        assert len(list(again(world, "clinician").open(policy))) == len(own(world)) == 3
        erased(world, record_of(world, "v1"))
        for number in (4, 5, 6):
            published(world, tmp_path / str(number), observation(number, f"v{number}"))
        for reading in (again(world).records(), again(world, "clinician").open(policy)):
            assert len(list(reading)) == 5
            assert (reading.omissions, reading.notices, len(reading.withdrawn)) == ([], [], 1)
        world.patient.revoke(policy, rotate=True)
        again(world, "hospital").rewrap()
        reading = again(world).records()
        assert len(list(reading)) == 5
        assert (reading.omissions, reading.notices, len(reading.withdrawn)) == ([], [], 1)

    def test_a_content_that_another_record_has_too_is_not_lost_to_it(self, world: World, tmp_path: Path) -> None:
        published(world, tmp_path / "1", observation(1, "v1"))
        (record,) = again(world).records()
        # As a hospital's own program of another make could publish it: the same sealed content under a second header.
        published(world, tmp_path / "2", observation(2, "v2"))
        world.patient.erasures.ask([record.info.header_cid])
        found = OwnHistory.headers_of

        def doubled(self: OwnHistory, records: Any, findings: Any = None) -> Any:
            headers = found(self, records, findings)
            if findings is None:
                return headers
            return {cid: replace(header, content=CID.parse(record.info.content_cid)) for cid, header in headers.items()}

        with patch.object(OwnHistory, "headers_of", doubled), pytest.raises(PartlyDoneError, match="would be lost"):
            again(world, "hospital").erasures.follow()
        assert len(own(world)) == 2


class Keeps(MemoryStore):
    """A node that says that it deletes."""

    def delete_blocks(self, cids: Any) -> int:
        return 0


class Fails(MemoryStore):
    """A node that refuses to delete."""

    def delete_blocks(self, cids: Any) -> int:
        raise StoreUnavailableError("the disk is read-only")


class TestANode:
    @pytest.mark.parametrize("bad", [Keeps, Fails])
    def test_that_still_has_it_is_named_and_nothing_is_attested(
        self, world: World, tmp_path: Path, bad: type[MemoryStore]
    ) -> None:
        good, other = world.network.store, bad()
        for cid in list(good.blocks()):
            other.put_block(cid, good.get_block(cid))
        store = ReplicatedStore([good, other], 1)
        world.network.store = store
        published(world, tmp_path / "1", observation(1, "v"))
        gone = record_of(world, "v")
        with pytest.raises(PartlyDoneError, match="node 2") as caught:
            erased(world, gone)
        report: Any = caught.value.result
        assert (report.erased, len(report.transactions), caught.value.exit_code) == ((), 1, 3)
        assert states(world) == ["erased"]
        other.__class__ = MemoryStore
        done = again(world, "hospital").erasures.finish()
        assert [(one.record_id, one.state) for one in done.erased] == [(gone, "attested")]
        assert done.stores == 2
        assert states(world) == ["attested"]

    def test_whose_files_are_in_use_attests_nothing_until_they_are_not(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        good, other = world.network.store, EmbeddedStore(tmp_path / "blocks")
        for cid in list(good.blocks()):
            other.put_block(cid, good.get_block(cid))
        world.network.store = ReplicatedStore([good, other], 2)
        published(world, tmp_path / "1", observation(1, "v"))
        gone = record_of(world, "v")
        monkeypatch.setattr(storage_erasing, "PATIENCE", 0.0)
        path = tmp_path / "blocks" / "packs" / "0000000000000000.pack"
        path.write_bytes(b"a copy that no index names yet")
        with open(path, "rb") as writer:
            fcntl.flock(writer, fcntl.LOCK_SH)
            with pytest.raises(PartlyDoneError, match="1 of its files are in use") as caught:
                erased(world, gone)
            report: Any = caught.value.result
            assert (report.erased, len(report.transactions), caught.value.exit_code) == ((), 1, 3)
            (why,) = report.omissions
            assert "no upload and no storage repair, move, import or export runs" in why.error.hint
            assert states(world) == ["erased"]
        done = again(world, "hospital").erasures.finish()
        assert [(one.record_id, one.state) for one in done.erased] == [(gone, "attested")]
        assert not path.exists()


STEPS: dict[str, tuple[Any, str, bool]] = {
    "before the batch is written": (Journal, "prepare", False),
    "before it is sent": (Batches, "_store", False),
    "before anything is deleted": (JournalErasures, "due", False),
    "before blocks go": (MemoryStore, "delete_blocks", False),
    "after the blocks went": (MemoryStore, "delete_blocks", True),
    "before it is written that they are gone": (JournalErasures, "gone", False),
    "after it is written": (JournalErasures, "gone", True),
    "before the attestation": (JournalErasures, "unattested", False),
    "before the attestation is written": (BatchBuilder, "finish", False),
}

TWICE = [("before the batch is written", 2), ("before it is sent", 2), ("before the attestation is written", 2)]
"""The batch with the attestation, too."""


@pytest.mark.deep
class TestAKill:
    @pytest.mark.parametrize(("step", "number"), [(step, 1) for step in STEPS] + TWICE)
    def test_at_any_step_is_made_good_by_the_same_command(
        self, world: World, tmp_path: Path, step: str, number: int
    ) -> None:
        published(world, tmp_path / "1", observation(1, "v1"), observation(2, "v2"))
        gone = record_of(world, "v1")
        world.patient.erasures.ask([gone])
        where, name, after = STEPS[step]
        real, calls = getattr(where, name), [0]

        def dies(*args: Any, **more: Any) -> Any:
            calls[0] += 1
            if calls[0] != number:
                return real(*args, **more)
            if after:
                real(*args, **more)
            raise Killed

        with patch.object(where, name, dies), pytest.raises(Killed):
            again(world, "hospital").erasures.follow()
        again(world, "hospital").erasures.follow()
        assert own(world) == [("laboratory", "v2")]
        assert states(world) == ["attested"]
        attested = [one for one in statements(world) if one.attests is not None]
        assert len(attested) == 1
        assert again(world, "hospital").erasures.follow().transactions == ()


def statements(world: World) -> list[Statement]:
    """Return all that the hospital said, as the patient reads it."""
    found: list[Statement] = []
    real = Statement.decode

    def heard(content: bytes) -> Statement:
        found.append(real(content))
        return found[-1]

    with patch.object(Statement, "decode", heard):
        list(again(world).records())
    return found


class TestNothingOpensIt:
    @pytest.mark.parametrize(("others", "asked"), [(0, True), (2, True), (0, False)])
    def test_of_what_is_left_on_disk_with_every_key(
        self, world: World, tmp_path: Path, others: int, *, asked: bool
    ) -> None:
        """By its bytes in every file, free pages and logs of databases too, and by trying every key on every block."""
        store = EmbeddedStore(tmp_path / "store")
        copied = list(world.network.store.blocks())
        store.put_blocks([(cid, world.network.store.get_block(cid)) for cid in copied])
        for cid in world.network.store.pins():
            store.pin(cid)
        world.network.store = store
        published(world, tmp_path / "1", *(observation(one, f"secret {one}") for one in range(1 + others)))
        policy = grant(world, categories=("laboratory", "all")).policy_id
        assert len(list(again(world, "clinician").open(policy))) == 1 + others
        gone = record_of(world, "secret 0")
        keys, header = everything_known(world, gone)
        lists = words_left(store, keys)
        before = list(lists)
        assert lists[before[0]].places("0")
        blocks = {
            CID.parse(cid): store.get_block(CID.parse(cid))
            for cid in (
                gone,
                header.info.envelope_cid,
                header.info.content_cid,
                str(header.inventory),
                *map(str, before),
            )
        }
        # A writer that was killed: its bytes lie in a pack, and the index doesn't name them.
        (tmp_path / "store" / "packs" / "0123456789abcdef.pack").write_bytes(b"".join(blocks.values()))
        assert all(is_anywhere(block, world.home, tmp_path / "store") for block in blocks.values())
        report = erased(world, gone) if asked else again(world, "hospital").erasures.erase([gone])
        assert [one.state for one in report.erased] == ["attested"]
        assert not [str(cid) for cid, block in blocks.items() if is_anywhere(block, world.home, tmp_path / "store")]
        left = list(store.blocks())
        assert len(left) > 5
        info = header.info
        for cid in [header.content, *(cid for cid in left if cid.codec == header.content.codec)]:
            for key in keys:
                for index in range(1 + others):
                    context = content_context(generation=info.generation, index=index)
                    content = Content(
                        store,
                        cid,
                        key.content_key(index),
                        context,
                        size=info.size,
                        digest=info.digest,
                        head=header.head,
                    )
                    with pytest.raises((PanaChainError, IntegrityError)):
                        content.read()
        # A second look at the patient's lanes, now that the store has forgotten it.
        assert len(own(world)) == others
        # Nor do its words: the list beside what stays is another one, and says nothing of it.
        after = words_left(store, keys)
        assert (len(before), len(after), before[0] in after) == (1, 1 if others else 0, False)
        assert not any(words.places("0") for words in after.values())
        assert all(before[0] not in listed(store, pin) for pin in store.pins() if pin.codec == DAG_CBOR)


def words_left(store: BlobStore, keys: list[EnvelopeKey]) -> dict[CID, WordList]:
    """Return every list of words in a store that any of the keys opens."""
    found = {}
    for cid in list(store.blocks()):
        for key in keys:
            with suppress(PanaChainError):
                found[cid] = word_list.open_(store, cid, key)
    return found


def forget_words(world: World) -> None:
    """Have the hospital's journal be of a version that didn't know of lists of words."""
    with closing(sqlite3.connect(world.hospital.profile.folder / "journal.sqlite")) as db, db:
        db.execute("DELETE FROM word_list")


def keys_of(world: World) -> list[EnvelopeKey]:
    """Return the keys of all envelopes that the patient can open."""
    (headers, *_) = again(world)._lanes.headers()
    return [EnvelopeKey(key) for key in headers.envelope_keys.values()]


def everything_known(world: World, record_id: str) -> tuple[list[EnvelopeKey], Header]:
    """Return all envelopes' keys, which patient, grantee and (by an order) hospital have, and a record's header."""
    (headers, *_) = world.patient._lanes.headers()
    keys = [EnvelopeKey(key) for key in headers.envelope_keys.values()]
    return keys, next(one for one in headers.headers if one.info.header_cid == record_id)


def is_anywhere(block: bytes, *folders: Path) -> bool:
    """Tell whether some piece of a block is in any file."""
    pieces = [block[start : start + 48] for start in range(0, len(block), 48)]
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and any(
                piece in content for content in [path.read_bytes()] for piece in pieces if len(piece) > 16
            ):
                return True
    return False
