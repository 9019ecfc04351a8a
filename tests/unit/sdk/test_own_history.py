"""A journal of any age goes on where the chain is, and what was published is read back as its patients would."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panachain.crypto import keys
from panachain.errors import BlockNotFoundError, IntegrityError, PartlyDoneError, TransactionError, UsageError
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.records import Reason
from panachain.records import merging
from panachain.records.locate import open_manifest, open_manifests
from panachain.records.manifest_proof import prove
from panachain.records.publish import Rows
from panachain.sdk.batches import open_journal
from panachain.sdk.own_history import OwnHistory
from panachain.sdk.storage import collect_garbage
from tests.twin.chains import TwinSender
from tests.twin.world import World, resource, running_world
from tests.unit.sdk.helpers import again

JOURNAL = ("journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm")


def write(folder: Path, *numbers: int) -> list[Path]:
    """Write resources, each a source of its own."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number in numbers:
        paths.append(folder / f"{number}.json")
        paths[-1].write_text(json.dumps(resource("laboratory", 2024 + number % 2, number)))
    return paths


def publish(world: World, paths: list[Path], **more: Any) -> Any:
    return again(world, "hospital").upload(paths, world.patient.address, **more)


def lose(world: World) -> None:
    """Lose the journal, as one who restores a profile from its seed does."""
    for name in JOURNAL:
        (world.hospital.profile.folder / name).unlink(missing_ok=True)


def seen(world: World) -> list[str]:
    """Return the digests of what the patient sees, in order."""
    return sorted(record.info.digest.hex() for record in world.patient.records())


class TestLostJournal:
    def test_records_published_after_it_are_found_beside_those_before(
        self, world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish(world, write(tmp_path, 0, 1))
        lose(world)
        report = publish(world, write(tmp_path, 2, 3))
        assert (report.sequence, len(report.records), len(seen(world))) == (2, 2, 4)
        assert "lacks 1 of the hospital's batches" in caplog.text

    def test_nothing_is_published_twice(self, world: World, tmp_path: Path) -> None:
        publish(world, write(tmp_path, 0, 1))
        lose(world)
        # A dry run changes nothing, so it doesn't know yet.
        assert len(publish(world, write(tmp_path, 0, 1)).records) == 0
        with patch.object(world.network.mainchain.ledger, "estimate_store", return_value=1):
            assert len(publish(world, write(tmp_path, 0, 1, 2), dry_run=True).records) == 1
        report = publish(world, write(tmp_path, 0, 1, 2))
        assert (len(report.records), report.skipped, len(seen(world))) == (1, 2, 3)

    def test_a_dry_run_knows_what_a_journal_has_learnt(self, world: World, tmp_path: Path) -> None:
        publish(world, write(tmp_path, 0, 1))
        lose(world)
        again(world, "hospital").settle()
        with patch.object(world.network.mainchain.ledger, "estimate_store", return_value=1):
            report = publish(world, write(tmp_path, 0, 1, 2), dry_run=True)
        assert (len(report.records), report.skipped) == (1, 2)

    def test_a_resource_that_is_written_in_another_way_is_still_published_once(
        self, world: World, tmp_path: Path
    ) -> None:
        publish(world, write(tmp_path, 0))
        lose(world)
        # The same resource, written in another way: another source.
        (tmp_path / "1.json").write_text(json.dumps(resource("laboratory", 2024, 0), indent=1))
        report = publish(world, [tmp_path / "0.json", tmp_path / "1.json"])
        assert (len(report.records), report.skipped, report.unchanged, len(seen(world))) == (0, 2, 1, 1)

    def test_the_list_of_what_was_published_is_restored(self, world: World, tmp_path: Path) -> None:
        publish(world, write(tmp_path, 0, 1))
        before = list(world.hospital.records())
        with open_journal(world.hospital.profile.folder) as journal:
            lists = journal.lists()
        lose(world)
        again(world, "hospital").settle()
        assert sorted(world.hospital.records(), key=str) == sorted(before, key=str)
        with open_journal(world.hospital.profile.folder) as journal:
            assert journal.lists() == lists

    def test_records_are_moved_to_new_lanes_all_the_same(self, world: World, tmp_path: Path) -> None:
        publish(world, write(tmp_path, 0, 1))
        made = world.patient.grant(world.clinician.address, ["laboratory"], until=world.now + 1000)
        lose(world)
        world.patient.revoke(made.policy_id, rotate=True)
        assert again(world, "hospital").rewrap().moved == 2
        lose(world)
        assert len(publish(world, write(tmp_path, 0, 1, 2)).records) == 1
        assert len(seen(world)) == 3
        assert len(list(world.hospital.records())) == 3

    def test_a_journal_that_was_begun_anew_by_an_older_program_is_mended(self, world: World, tmp_path: Path) -> None:
        publish(world, write(tmp_path, 0, 1))
        lose(world)
        with patch("panachain.sdk.batches.Batches.reconcile", lambda _: 0):
            publish(world, write(tmp_path, 2, 3))
        opening = world.patient.records()
        assert len(list(opening)) == 4
        assert opening.notices == []
        report = publish(world, write(tmp_path, 0, 1, 2, 3))
        assert (len(report.records), len(seen(world))) == (0, 4)

    def test_one_patient_whose_pairing_is_gone_stops_no_other(self, world: World, tmp_path: Path) -> None:
        publish(world, write(tmp_path, 0))
        lose(world)
        sender = world.patient._sender(sidechain=True)
        newest = world.network.sidechain.identities.ever_paired(world.hospital.address)[-1].digest
        world.network.sidechain.identities.pair(sender, world.hospital.address, b"\1" * 32)
        assert world.hospital.settle().transactions == 0
        assert len(list(world.hospital.records())) == 1
        world.network.sidechain.identities.pair(sender, world.hospital.address, newest)
        publish(world, write(tmp_path, 1))
        assert len(seen(world)) == 2

    def test_without_the_manifests_nothing_is_published(self, world: World, tmp_path: Path) -> None:
        publish(world, write(tmp_path, 0))
        (digest,) = world.network.manifests_of(world.hospital.address)
        root = CID(DAG_CBOR, digest)
        block = world.network.store.get_block(root)
        lose(world)
        world.network.store.delete_block(root)
        for _ in range(2):
            with pytest.raises(BlockNotFoundError):
                publish(world, write(tmp_path, 1))
        world.network.store.put_block(root, block)
        publish(world, write(tmp_path, 1))
        assert len(seen(world)) == 2


STEPS = st.lists(
    st.sampled_from(["upload", "fail", "save", "restore", "lose", "fork", "mine", "settle", "rotate"]), max_size=10
)


class History:
    """One hospital, whose files are saved, lost and restored, on a chain that loses blocks."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.paths: list[Path] = []
        self.saved: Path | None = None
        self.before = world.network.mainchain.chain.snapshot()

    def upload(self) -> None:
        self.paths += write(self.folder, len(self.paths))
        publish(self.world, self.paths)

    def fail(self) -> None:
        self.paths += write(self.folder, len(self.paths))
        with patch.object(TwinSender, "_run", side_effect=TransactionError("lost on the way")):
            try:
                publish(self.world, self.paths)
            except TransactionError:
                return

    def save(self) -> None:
        """Copy the profile, and remember where the chain is."""
        self.before = self.world.network.mainchain.chain.snapshot()
        self.saved = self.folder / "saved"
        shutil.rmtree(self.saved, ignore_errors=True)
        shutil.copytree(self.world.hospital.profile.folder, self.saved)

    def restore(self) -> None:
        lose(self.world)
        for name in JOURNAL:
            if self.saved is not None and (self.saved / name).exists():
                shutil.copy(self.saved / name, self.world.hospital.profile.folder / name)

    def lose(self) -> None:
        lose(self.world)

    def fork(self) -> None:
        self.world.network.mainchain.chain.roll_back(self.before)

    def mine(self) -> None:
        for _ in range(70):
            self.world.network.mainchain.chain.mine()

    def settle(self) -> None:
        # What a rotation keeps from being sent comes with the next upload.
        with suppress(PartlyDoneError):
            again(self.world, "hospital").settle()

    def rotate(self) -> None:
        made = self.world.patient.grant(self.world.clinician.address, ["laboratory"], until=self.world.now + 1000)
        self.world.patient.revoke(made.policy_id, rotate=True)


@settings(max_examples=10, deadline=None)
@given(steps=STEPS)
def test_a_journal_of_any_age_against_any_history_ends_with_each_record_once(steps: list[str]) -> None:
    # With levels of two manifests each, so that what is lost, restored and forked is merged, too.
    with patch.object(merging, "FAN", 2):
        check_history(steps)


@pytest.mark.deep
@settings(max_examples=240, deadline=None)
@given(steps=STEPS)
def test_a_journal_of_any_age_against_any_history_at_length(steps: list[str]) -> None:
    for fan in (2, 8):
        with patch.object(merging, "FAN", fan):
            check_history(steps)


def check_history(steps: list[str]) -> None:
    with running_world() as world, tempfile.TemporaryDirectory() as folder:
        history = History(world, Path(folder))
        for step in steps:
            getattr(history, step)()
        history.upload()
        report = publish(world, history.paths, verify=True)
        assert report.read_back.records == len(history.paths)
        expected = len(history.paths)
        found = seen(world)
        assert len(found) == len(set(found)) == expected
        assert len(list(world.hospital.records())) == expected


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two manifests of a level become one of the next."""
    monkeypatch.setattr(merging, "FAN", 2)


def live(world: World) -> list[tuple[int, int]]:
    """Return from where to where the manifests stand that readers go through."""
    heads = world.network.heads_of(world.hospital.whoami())
    return [(one.first, one.sequence) for one in open_manifests(world.network.store, heads) if one]


@pytest.mark.usefixtures("pairs")
class TestMerging:
    def test_readers_find_everything_in_few_manifests(self, world: World, tmp_path: Path) -> None:
        for number in range(7):
            publish(world, write(tmp_path, number))
        assert live(world) == [(1, 4), (5, 6), (7, 7)]
        assert len(seen(world)) == 7
        report = publish(world, write(tmp_path, *range(7)), verify=True)
        assert (len(report.records), report.read_back.records) == (0, 7)

    def test_goes_on_after_a_lost_journal(self, world: World, tmp_path: Path) -> None:
        for number in range(3):
            publish(world, write(tmp_path, number))
        lose(world)
        assert len(publish(world, write(tmp_path, *range(4))).records) == 1
        assert (live(world), len(seen(world))) == ([(1, 4)], 4)

    def test_a_journal_learns_from_a_merged_one_what_is_gone_where_it_was(self, world: World, tmp_path: Path) -> None:
        for number in range(4):
            publish(world, write(tmp_path, number))
        for digest in world.network.manifests_of(world.hospital.address)[:3]:
            world.network.store.delete_block(CID(DAG_CBOR, digest))
        lose(world)
        assert len(publish(world, write(tmp_path, *range(5))).records) == 1
        assert (live(world), len(seen(world))) == ([(1, 4), (5, 5)], 5)
        assert len(list(world.hospital.records())) == 5

    def test_a_collection_keeps_what_was_merged_as_evidence_and_to_fall_back_to(
        self, world: World, tmp_path: Path
    ) -> None:
        """ADR 43: they prove later what the hospital had published, and readers find there what a merged one lost."""
        for number in range(4):
            publish(world, write(tmp_path, number))
        store, heads = world.network.store, world.network.heads_of(world.hospital.whoami())
        assert live(world) == [(1, 4)]
        rows = {number: dict(open_manifest(store, heads, number).rows()) for number in range(1, 5)}
        held = set(store.blocks())
        collect_garbage(world.network, now=world.now + 10**9, grace=0)
        assert set(store.blocks()) == held
        # 1. Of each of them any row can be proven, by the root that the chain names.
        for number, known in rows.items():
            root = CID(DAG_CBOR, heads.manifests[number - 1])
            for key, header in known.items():
                assert prove(store, root, key).check(root, key) == header
        # 2. Without the merged one readers find what it had of the others, and are told of its own.
        store.delete_block(CID(DAG_CBOR, heads.manifests[3]))
        found: list[Any] = []
        with pytest.raises(PartlyDoneError):
            found.extend(again(world, "patient").records())
        assert len(found) == 3

    def test_one_that_was_ended_before_its_transaction_is_sent_as_it_is(self, world: World, tmp_path: Path) -> None:
        publish(world, write(tmp_path, 0))
        with (
            patch.object(TwinSender, "_run", side_effect=TransactionError("lost on the way")),
            pytest.raises(TransactionError),
        ):
            publish(world, write(tmp_path, 1))
        with open_journal(world.hospital.profile.folder) as journal:
            (pending,) = journal.pending()
        assert again(world, "hospital").settle().transactions == 1
        assert world.network.manifests_of(world.hospital.address)[-1] == CID.parse(pending.manifest).digest
        assert (live(world), len(seen(world))) == ([(1, 2)], 2)

    def test_what_cannot_be_keyed_anew_stays_where_it_is(
        self, world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish(world, write(tmp_path, 0))
        with patch.object(OwnHistory, "_pairings", lambda *_: []):
            publish(world, write(tmp_path, 1))
        assert "storage transactions 1 to 1 aren't merged: no pairing that can be read finds 1" in caplog.text
        assert (live(world), len(seen(world))) == ([(1, 1), (2, 2)], 2)
        for number in (2, 3):
            publish(world, write(tmp_path, number))
        assert (live(world), len(seen(world))) == ([(1, 4)], 4)

    def test_a_store_that_lost_a_manifest_stops_no_upload(
        self, world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish(world, write(tmp_path, 0))
        (digest,) = world.network.manifests_of(world.hospital.address)
        world.network.store.delete_block(CID(DAG_CBOR, digest))
        assert len(publish(world, write(tmp_path, 1)).records) == 1
        assert "aren't merged" in caplog.text

    def test_of_a_withdrawn_records_envelope_all_or_nothing_drops_out(self, world: World, tmp_path: Path) -> None:
        # Two records of one year, and so of one envelope, of which one is withdrawn.
        withdrawn = publish(world, write(tmp_path, 0, 2)).records[0].header_cid
        world.hospital.withdraw([withdrawn], Reason.WRONG_PATIENT)
        for number in (4, 6):
            publish(world, write(tmp_path, number))
        assert live(world) == [(1, 4)]
        opening = world.patient.records()
        assert len(list(opening)) == 3
        assert (opening.omissions, opening.notices) == ([], [])


class TestReadBack:
    def test_says_what_it_read(self, world: World, tmp_path: Path) -> None:
        report = publish(world, write(tmp_path, 0, 2), verify=True)
        assert (report.read_back.records, report.read_back.blocks) == (2, 8)
        assert report.read_back.size > report.sealed_bytes
        # What an earlier call published is read as well.
        again_ = publish(world, write(tmp_path, 0, 1, 2), verify=True)
        assert (len(again_.records), again_.read_back.records) == (1, 3)
        assert publish(world, write(tmp_path, 0)).read_back is None

    @pytest.mark.parametrize("what", ["header_cid", "content_cid", "envelope_cid"])
    def test_finds_whatever_the_store_lost(self, world: World, tmp_path: Path, what: str) -> None:
        (info,) = publish(world, write(tmp_path, 0)).records
        world.network.store.delete_block(CID.parse(getattr(info, what)))
        with pytest.raises(BlockNotFoundError):
            publish(world, write(tmp_path, 0), verify=True)

    def test_finds_a_record_that_no_lane_finds(self, world: World, tmp_path: Path) -> None:
        real = keys.brief_id
        publish(world, write(tmp_path, 0))
        # Number 0 is left out: the search ends there.
        with patch.object(keys, "brief_id", lambda key, sequence, number: real(key, sequence, number + 1)):
            publish(world, write(tmp_path, 2))
        with pytest.raises(IntegrityError, match="no category of its patient finds it"):
            publish(world, write(tmp_path, 2), verify=True)

    def test_finds_a_record_that_one_lane_of_its_path_lacks(self, world: World, tmp_path: Path) -> None:
        real = Rows.add
        publish(world, write(tmp_path, 0))
        # All but the lane of the category.
        with patch.object(Rows, "add", lambda self, of, cid: real(self, [of[0], os.urandom(32), *of[2:]], cid)):
            publish(world, write(tmp_path, 2))
        with pytest.raises(IntegrityError, match="isn't found in laboratory"):
            publish(world, write(tmp_path, 2), verify=True)

    def test_of_a_dry_run_is_refused(self, world: World, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="dry run"):
            publish(world, write(tmp_path, 0), dry_run=True, verify=True)


def test_a_foreign_pin_is_no_batch_list(world: World, tmp_path: Path) -> None:
    store = world.network.store
    store.pin(store.add_file([b"somebody's file"]))
    block = b"no list"
    store.put_block(CID.of(RAW, block), block)
    store.pin(CID.of(RAW, block))
    publish(world, write(tmp_path, 0))
    lose(world)
    again(world, "hospital").settle()
    with open_journal(world.hospital.profile.folder) as journal:
        assert len(journal.lists()) == 1
