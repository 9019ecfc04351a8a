"""What was sealed and not sent when a patient's lanes changed isn't sent into the old ones, and nothing is lost."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import pytest

from panachain.errors import PartlyDoneError, TransactionError
from panachain.ipld.cid import CID
from panachain.records import merging
from panachain.records.journal import Journal
from panachain.records.journal_unsent import UnsentBatches
from panachain.sdk.batches import open_journal
from panachain.sdk.unsent import Unsent
from tests.twin.chains import TwinSender
from tests.twin.test_interruptions import EndedError, Fuse
from tests.twin.test_rotation import granted
from tests.twin.world import World, running_world
from tests.unit.sdk.helpers import admitted, again, grant
from tests.unit.sdk.test_own_history import publish, write
from tests.unit.storage.memory_store import MemoryStore


def sealed(world: World, paths: list[Path]) -> None:
    """Seal and journal, and be killed before what is signed is on chain."""
    with (
        patch.object(TwinSender, "_run", side_effect=TransactionError("killed")),
        pytest.raises(TransactionError, match="killed"),
    ):
        publish(world, paths)


def rotate(world: World) -> None:
    world.patient.revoke(grant(world).policy_id, rotate=True)


def pending(world: World) -> set[CID]:
    """Return the headers of a batch that wasn't sent."""
    with open_journal(world.hospital.profile.folder) as journal:
        (batch,) = journal.pending()
        return {CID.parse(one.header) for one in journal.records() if one.sequence == batch.sequence}


def generations(world: World, name: str = "patient") -> list[int]:
    """Return by which epoch each of a patient's records was sealed."""
    return sorted(record.info.generation for record in world.sessions[name].records())


def settled(world: World) -> str:
    """Return what settling names as missing."""
    with pytest.raises(PartlyDoneError) as caught:
        again(world, "hospital").settle()
    assert caught.value.result is not None
    return "; ".join(map(str, caught.value.omissions))


def settles(world: World) -> int:
    sent: int = again(world, "hospital").settle().transactions
    return sent


def test_what_was_sealed_before_a_rotation_is_sealed_again_by_the_same_upload(world: World, tmp_path: Path) -> None:
    sealed(world, write(tmp_path, 0, 1))
    old = pending(world)
    rotate(world)
    report = publish(world, write(tmp_path, 0, 1))
    assert (len(report.records), generations(world)) == (2, [1, 1])
    # Nor does a thief of the old lanes' keys find them in the store.
    assert not any(map(world.network.store.has_block, old))
    assert settles(world) == 0
    assert publish(world, write(tmp_path, 0, 1), verify=True).read_back.records == 2


@pytest.mark.parametrize(("mends", "read"), [(True, 0), (False, 2)])
def test_whoever_kept_the_old_lanes_keys_with_all_proxies_reads_nothing_of_it(
    world: World, tmp_path: Path, mends: bool, read: int
) -> None:
    policy_id, loot = granted(world)
    sealed(world, write(tmp_path, 0, 1))
    world.patient.revoke(policy_id, rotate=True)
    with ExitStack() as stack:
        if not mends:
            # The control: what was sealed is sent as it is.
            stack.enter_context(patch.object(Unsent, "changed", lambda *_: {}))
        publish(world, write(tmp_path, 0, 1))
    found = loot.headers(world)
    assert sum(loot.content(world, *one) is not None for one in found.values()) == len(found) == read


@pytest.mark.deep
def test_without_the_source_it_is_named_until_it_is_uploaded_again(world: World, tmp_path: Path) -> None:
    sealed(world, write(tmp_path, 0, 1, 2))
    rotate(world)
    for _ in range(2):
        told = settled(world)
        assert (
            f"3 records of 3 files (laboratory/2024, laboratory/2025) of patient {world.patient.whoami().handle}"
            in told
        )
        assert "has given new keys to lanes since; they have to be uploaded again" in told
    assert list(world.patient.records()) == list(world.hospital.records()) == []
    with pytest.raises(PartlyDoneError, match=r"2 records of 2 files \(laboratory/2024, laboratory/2025\)") as caught:
        publish(world, write(tmp_path, 0))
    assert len(caught.value.result.records) == 1
    publish(world, write(tmp_path, 1, 2))
    assert (settles(world), generations(world)) == (0, [1, 1, 1])


def of_two(world: World, folder: Path) -> list[tuple[Path, str]]:
    """Seal records of two patients in one batch, of whom one rotates lanes before it is sent."""
    other = admitted(world, "other")
    other.pair(world.hospital.address)
    assigned = [(path, world.patient.address) for path in write(folder, 0, 1)]
    assigned += [(path, other.address) for path in write(folder, 2, 3)]
    with patch.object(TwinSender, "_run", side_effect=TransactionError("killed")), pytest.raises(TransactionError):
        again(world, "hospital").upload_many(assigned)
    rotate(world)
    return assigned


@pytest.mark.parametrize("fan", [2, pytest.param(8, marks=pytest.mark.deep)])
def test_other_patients_records_of_the_batch_go_with_it_as_they_are(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fan: int
) -> None:
    """Also those of earlier batches that its manifest carries."""
    monkeypatch.setattr(merging, "FAN", fan)
    publish(world, write(tmp_path, 10))
    assigned = of_two(world, tmp_path)
    other, before = world.sessions["other"], pending(world)
    assert "2 records of 2 files" in settled(world)
    assert len(world.network.manifests_of(world.hospital.address)) == 2
    assert (generations(world), generations(world, "other")) == ([0], [0, 0])
    kept = {CID.parse(one.info.header_cid) for one in other.records()}
    assert kept < before
    assert not any(map(world.network.store.has_block, before - kept))
    done = again(world, "hospital").upload_many(assigned, verify=True)
    assert (len(done.records), done.skipped, done.read_back.records) == (2, 2, 4)
    assert generations(world) == [0, 1, 1]
    assert settles(world) == 0


@pytest.mark.deep
def test_lanes_in_which_nothing_of_it_lies_change_nothing(world: World, tmp_path: Path) -> None:
    sealed(world, write(tmp_path, 0))
    old = pending(world)
    world.patient.revoke(grant(world, categories=("vitals",)).policy_id, rotate=True)
    assert settles(world) == 1
    assert {CID.parse(one.info.header_cid) for one in world.patient.records()} == old


def close(world: World) -> None:
    world.patient.choices.change(close=["alcohol"])


def part(world: World) -> None:
    world.patient.unpair(world.hospital.address)


@pytest.mark.deep
@pytest.mark.parametrize(("change", "why"), [(close, "what the patient closes"), (part, "pairing has ended")])
def test_what_a_patient_closed_or_ended_since_counts_too(
    world: World, tmp_path: Path, change: Callable[[World], None], why: str
) -> None:
    sealed(world, write(tmp_path, 0))
    change(world)
    assert why in settled(world)
    assert world.network.manifests_of(world.hospital.address) == ()


def _mine(self: TwinSender, sent: list[tuple[str, str]]) -> None:
    """Let the chain take what was signed before anything can stand in its place."""
    ((tx, raw),) = sent
    _, to, data = json.loads(raw)
    self._chain.mine()
    self._run(tx, to, data, "the old one")


@pytest.mark.deep
class TestOnItsWay:
    """What was signed may be mined at any moment."""

    def test_a_transaction_that_waits_somewhere_is_never_mined(self, world: World, tmp_path: Path) -> None:
        sealed(world, write(tmp_path, 0))
        with open_journal(world.hospital.profile.folder) as journal:
            sent = journal.sent(1)
        rotate(world)
        settled(world)
        assert world.hospital._sender().resend(sent, what="what lay in somebody's pool") is None
        publish(world, write(tmp_path, 0))
        assert generations(world) == [1]

    def test_one_that_is_mined_at_the_last_moment_stays_and_is_named(
        self, world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        sealed(world, write(tmp_path, 0))
        rotate(world)
        with patch.object(TwinSender, "bury", _mine):
            assert settles(world) == 0
        assert f"patient {world.patient.whoami().handle} lie where they would have lain then" in caplog.text
        assert (generations(world), settles(world)) == ([0], 0)

    def test_one_that_is_mined_and_was_never_noted_is_not_sent_again(self, world: World, tmp_path: Path) -> None:
        with patch.object(Journal, "mined", side_effect=KeyError), pytest.raises(KeyError):
            publish(world, write(tmp_path, 0))
        rotate(world)
        assert settles(world) == 0
        assert len(publish(world, write(tmp_path, 0)).records) == 0
        # It was there when the patient rotated, who therefore asked for it.
        assert (again(world, "hospital").rewrap().moved, len(list(world.patient.records()))) == (1, 1)

    def test_what_a_reorganisation_took_away_is_sent_again_and_named(
        self, world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Whoever had the old lanes could find it already: to keep it back would only lose it."""
        before = world.network.mainchain.chain.snapshot()
        publish(world, write(tmp_path, 0))
        world.network.mainchain.chain.roll_back(before)
        rotate(world)
        assert settles(world) == 1
        assert "was on chain before this hospital knew" in caplog.text
        assert generations(world) == [0]


@pytest.mark.deep
def test_an_older_state_of_the_chain_takes_nothing_back_to_older_lanes(world: World, tmp_path: Path) -> None:
    older = world.network.sidechain.identities.ever_paired(world.hospital.address)[-1].digest
    rotate(world)
    sealed(world, write(tmp_path, 0))
    identities = type(world.network.sidechain.identities)
    with patch.object(identities, "pairings_of", lambda _, patients, hospital: [older for _ in patients]):
        assert settles(world) == 1
    assert generations(world) == [1]


def test_a_rotation_while_an_upload_runs_counts_before_its_batch_is_sent(world: World, tmp_path: Path) -> None:
    real = Journal.prepare

    def prepare(self: Journal, **named: object) -> object:
        made = real(self, **named)  # type: ignore[arg-type]
        rotate(world)
        return made

    paths = write(tmp_path, 0)
    with patch.object(Journal, "prepare", prepare), pytest.raises(TransactionError, match="sealed and not sent"):
        publish(world, paths)
    assert world.network.manifests_of(world.hospital.address) == ()
    assert len(publish(world, paths).records) == 1
    assert generations(world) == [1]


@pytest.mark.deep
def test_an_order_that_was_followed_for_older_lanes_is_followed_again(world: World, tmp_path: Path) -> None:
    publish(world, write(tmp_path, 0, 1))
    rotate(world)
    with patch.object(TwinSender, "_run", side_effect=TransactionError("killed")), pytest.raises(TransactionError):
        again(world, "hospital").rewrap()
    old = pending(world)
    rotate(world)
    report = again(world, "hospital").rewrap()
    assert (report.moved, report.deleted) == (2, 2)
    assert not any(map(world.network.store.has_block, old))
    assert len(list(world.patient.records())) == 2
    assert len(publish(world, write(tmp_path, 0, 1, 2)).records) == 1


@pytest.mark.deep
def test_a_withdrawal_is_said_where_its_record_lies(world: World, tmp_path: Path) -> None:
    """It tells whoever could read that record, and holds nothing of it."""
    (record,) = publish(world, write(tmp_path, 0)).records
    with patch.object(TwinSender, "_run", side_effect=TransactionError("killed")), pytest.raises(TransactionError):
        again(world, "hospital").withdraw([record.header_cid], "wrong-patient")
    rotate(world)
    assert settles(world) == 1
    assert list(world.patient.records()) == []


@pytest.mark.deep
def test_keys_of_the_hospital_that_have_ended_sign_nothing_that_is_sent(world: World, tmp_path: Path) -> None:
    """Readers wouldn't count it: it would be lost without a word."""
    sealed(world, write(tmp_path, 0))
    world.hospital.keys.rotate()
    world.advance(86_400 + 10)
    assert "the keys with which this hospital signed it have ended" in settled(world)
    publish(world, write(tmp_path, 0))
    assert len(list(world.patient.records())) == 1


class TestEarlierJournals:
    """Those of an earlier version don't say by what a batch was sealed; its headers do."""

    def forget(self, world: World) -> None:
        with closing(sqlite3.connect(world.hospital.profile.folder / "journal.sqlite")) as db, db:
            for table in ("sealed_for", "once_mined", "lacking", "unwanted"):
                db.execute(f"DROP TABLE {table}")

    def test_are_read(self, world: World, tmp_path: Path) -> None:
        sealed(world, write(tmp_path, 0))
        self.forget(world)
        rotate(world)
        assert "1 record of 1 file" in settled(world)
        assert len(publish(world, write(tmp_path, 0)).records) == 1
        assert generations(world) == [1]

    @pytest.mark.deep
    def test_send_what_nothing_has_changed_of(self, world: World, tmp_path: Path) -> None:
        rotate(world)
        sealed(world, write(tmp_path, 0))
        self.forget(world)
        assert (settles(world), generations(world)) == (1, [1])


@contextmanager
def burning(fuse: Fuse) -> Iterator[None]:
    """Let the fuse see every effect of a hospital that mends what wasn't sent."""
    with ExitStack() as stack:
        for owner, name in (
            *((MemoryStore, name) for name in ("put_blocks", "pin", "unpin", "delete_blocks")),
            *((UnsentBatches, name) for name in ("cut", "gone")),
            *((TwinSender, name) for name in ("bury", "send")),
            (Journal, "mined"),
        ):
            real = getattr(owner, name)
            stack.enter_context(patch.object(owner, name, _seen(fuse, real)))
        yield


def _seen(fuse: Fuse, real: Callable[..., object]) -> Callable[..., object]:
    return lambda *args, **named: fuse.effect(real, *args, **named)


@pytest.mark.deep
def test_a_second_end_at_any_moment_of_the_mending_changes_nothing(tmp_path: Path) -> None:
    ends = 0
    while True:
        with running_world() as world:
            of_two(world, tmp_path / str(ends))
            before = pending(world)
            fuse = Fuse(ends + 1)
            with burning(fuse), suppress(EndedError, PartlyDoneError):
                again(world, "hospital").settle()
            assert "2 records of 2 files" in settled(world)
            assert (generations(world), generations(world, "other")) == ([], [0, 0])
            kept = {CID.parse(one.info.header_cid) for one in world.sessions["other"].records()}
            assert not any(map(world.network.store.has_block, before - kept))
            assert len(world.network.manifests_of(world.hospital.address)) == 1
            if not fuse.ended:
                break
        ends += 1
    # Burying, storing, pinning, the journal, letting go, deleting, sending.
    assert ends >= 8
