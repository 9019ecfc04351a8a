"""The follower: what it holds is the chain's, whatever happened to the chain, the node, the process and the file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panachain.chain.abi import contract
from panachain.chain.block_receipts import Log
from panachain.chain.headers import Header
from panachain.errors import ChainUnavailableError, DiskError, IntegrityError
from panachain.follow import follower as module
from panachain.follow.follower import SETTLED, Follower
from tests.unit.follow.chain import (
    FIRST,
    POLICIES,
    Chain,
    Draft,
    events,
    everything,
    follower,
    granted,
    revoked,
    stored,
    who,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "follow" / "chain.db"


def names(found: Sequence[Any]) -> list[tuple[str, int]]:
    return [(event.name, event.block) for event in found]


class TestReading:
    def test_events_come_in_the_order_of_the_chain_with_their_place(self, path: Path) -> None:
        chain = Chain()
        chain.mine(granted(1), stored(9, 1), revoked(2))
        block = chain.mine(revoked(1))
        following = follower(chain, path)
        found = events(following)
        assert names(found) == [("PolicyGranted", 4), ("PolicyRevoked", 4), ("PolicyRevoked", 5)]
        assert [event.index for event in found] == [0, 2, 0]
        assert found[-1].block_hash == block.hash
        assert found[-1].tx_hash == chain.written[block.hash][0].tx_hash
        assert found[0].values["window"] == 1
        assert following.head().hash == block.hash
        assert following.block(4).time == chain.found[4].time

    def test_topics_and_blocks_bound_what_comes(self, path: Path) -> None:
        chain = Chain()
        for number in (1, 2, 3):
            chain.mine(granted(number), revoked(number))
        chain.mine(stored(9, 1), stored(8, 1), stored(9, 2))
        following = follower(chain, path)
        abi = contract("PolicyRegistry")
        grant, revocation = abi.topic("PolicyGranted"), abi.topic("PolicyRevoked")
        words = ["0x" + who(number)[2:].rjust(64, "0") for number in (0, 1, 2, 3)]
        assert names(events(following, topics=[revocation])) == [("PolicyRevoked", n) for n in (4, 5, 6)]
        assert len(events(following, topics=[[grant, revocation], words[1:3]])) == 4
        assert names(events(following, topics=[None, words[3]])) == [("PolicyGranted", 6), ("PolicyRevoked", 6)]
        assert names(events(following, topics=[grant], from_block=5, to_block=5)) == [("PolicyGranted", 5)]
        assert events(following, topics=[None, words[0]]) == events(following, topics=[None, []]) == []
        ledger = contract("RecordLedger").topic("RecordsStored")
        second = events(following, "RecordLedger", topics=[ledger, None, "0x" + f"{2:064x}"])
        assert [event.values["hospital"] for event in second] == [who(9)]

    def test_a_contract_that_the_description_does_not_name_is_told(self, path: Path) -> None:
        with pytest.raises(IntegrityError, match="isn't followed"):
            follower(Chain(), path).events(contract("PolicyRegistry"), "0x" + "dd" * 20)

    def test_a_head_from_before_the_deployment_hides_nothing_that_was_seen(self, path: Path) -> None:
        chain = Chain()
        chain.mine(granted(1), revoked(1))
        following = follower(chain, path)
        seen, block = events(following), following.head()
        chain.head = lambda: chain.found[FIRST - 1]  # type: ignore[method-assign]

        assert following.head() == block
        assert events(following) == seen != []

    def test_blocks_without_our_contracts_cost_no_receipts(self, path: Path) -> None:
        chain = Chain(blocks=50)
        chain.mine(revoked(1))
        follower(chain, path).sync()
        assert sum(count for what, count in chain.asked if what == "logs") == 1

    def test_what_is_new_costs_one_question_and_its_receipts(self, path: Path) -> None:
        chain = Chain()
        following = follower(chain, path)
        following.sync()
        chain.asked.clear()
        chain.mine(revoked(1))
        assert len(events(following)) == 1
        assert chain.asked == [("head", 1), ("logs", 1)]
        chain.asked.clear()
        assert len(events(following)) == 1
        assert chain.asked == [("head", 1)]

    def test_many_rows_are_read_in_pages_of_one_state(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_PAGE", 2)
        chain = Chain()
        chain.mine(*(revoked(number) for number in range(1, 8)))
        following = follower(chain, path)
        reading = iter(following.events(contract("PolicyRegistry"), POLICIES))
        first = next(reading)
        chain.take_back(1)
        chain.mine(revoked(9))
        chain.mine()
        assert len(events(following)) == 1
        assert first.values["policyId"] == who(1)
        assert [event.values["policyId"] for event in reading] == [who(number) for number in range(2, 8)]

    def test_a_block_that_the_caller_knows_already_is_read_too(self, path: Path) -> None:
        chain = Chain()
        following = follower(chain, path)
        following.sync()
        chain.mine(revoked(1))
        assert names(events(following, to_block=FIRST + 1)) == [("PolicyRevoked", FIRST + 1)]
        assert events(following, to_block=FIRST) == []
        assert names(events(following, to_block=99)) == [("PolicyRevoked", FIRST + 1)]

    def test_an_older_block_than_the_deployment_is_asked_of_the_nodes(self, path: Path) -> None:
        chain = Chain()
        assert follower(chain, path).block(0).hash == chain.found[0].hash
        with pytest.raises(IntegrityError, match="no block 99"):
            follower(chain, path).block(99)

    def test_a_chain_that_is_not_as_far_as_the_deployment_has_no_events(self, path: Path) -> None:
        chain = Chain(blocks=FIRST)
        following = follower(chain, path)
        assert following.head().number == FIRST - 1
        assert events(following) == []

    def test_within_a_pin_everything_is_of_one_history(self, path: Path) -> None:
        chain = Chain()
        chain.mine(revoked(1))
        following = follower(chain, path)
        with following.pinned(), following.pinned():
            before = everything(following)
            chain.take_back(1)
            chain.mine(revoked(2))
            chain.mine(revoked(3))
            other = follower(chain, path)
            assert len(events(other)) == 2
            assert everything(following) == before
        assert everything(following) == everything(other) != before


# Histories: each step takes back some blocks and mines others.

_DRAFTS = st.lists(
    st.one_of(
        st.integers(1, 5).map(granted),
        st.integers(1, 5).map(revoked),
        st.tuples(st.integers(1, 3), st.integers(1, 9)).map(lambda pair: stored(*pair)),
    ),
    max_size=3,
)
_STEPS = st.lists(st.tuples(st.integers(0, 12), st.lists(_DRAFTS, min_size=1, max_size=15), st.booleans()), max_size=8)


class TestReorganisations:
    @given(steps=_STEPS)
    @settings(max_examples=25, deadline=None)
    def test_after_any_history_a_copy_is_what_a_fresh_one_would_be(
        self, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, list[list[Draft]], bool]]
    ) -> None:
        folder = tmp_path_factory.mktemp("histories")
        chain = Chain()
        kept = follower(chain, folder / "kept.db")
        for back, blocks, reopen in steps:
            kept.sync()
            chain.take_back(min(back, len(chain.found) - 1))
            for drafts in blocks:
                chain.mine(*drafts)
            if reopen:
                kept.close()
                kept = follower(chain, folder / "kept.db")
            if chain.found[-1].number >= FIRST:
                fresh = follower(chain, folder / "fresh.db")
                assert everything(kept) == everything(fresh)
                fresh.close()
                (folder / "fresh.db").unlink()
        kept.close()

    @pytest.mark.parametrize("depth", [1, 31, 33, 200, 1200])
    def test_several_nodes_may_take_back_blocks_of_any_depth(
        self, path: Path, depth: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_BATCH", 100)
        chain = Chain(blocks=1250)
        chain.mine(revoked(1))
        chain.several = True
        following = follower(chain, path)
        assert len(events(following)) == 1
        chain.take_back(depth)
        for _ in range(depth + 2):
            chain.mine(revoked(2))
        assert len(events(following)) == depth + 2
        assert following.head().hash == chain.found[-1].hash

    def test_one_node_alone_takes_back_nothing_that_is_settled(self, path: Path) -> None:
        chain = Chain()
        chain.mine(revoked(1))
        for _ in range(SETTLED):
            chain.mine()
        following = follower(chain, path)
        before = everything(following)
        chain.take_back(SETTLED + 1)
        for _ in range(SETTLED + 9):
            chain.mine()
        with pytest.raises(IntegrityError, match=f"node.test takes back the blocks above {FIRST}.*nothing was changed"):
            following.sync()
        chain.several = True
        assert follower(chain, path).head().hash == chain.found[-1].hash
        assert events(following) == []
        assert before[2]

    def test_nor_bit_by_bit(self, path: Path) -> None:
        chain = Chain(blocks=3 * SETTLED)
        following = follower(chain, path)
        following.sync()
        for _ in range(2):
            chain.take_back(SETTLED // 3)
            chain.mine()
            following.sync()
        chain.take_back(SETTLED // 2)
        chain.mine()
        with pytest.raises(IntegrityError, match="settled"):
            following.sync()

    def test_a_node_that_lags_takes_nothing_back(self, path: Path) -> None:
        chain = Chain()
        chain.mine(revoked(1))
        chain.mine()
        following = follower(chain, path)
        before = everything(following)
        chain.take_back(2)
        assert following.sync() == before[0]
        assert events(following) == before[2]


class Moving(Chain):
    """A chain that is reorganised between the questions of one sync."""

    moves = 1

    def headers(self, first: int, last: int) -> list[Header]:
        if self.moves:
            self.moves -= 1
            self.take_back(2)
            self.mine(revoked(7))
            self.mine()
            self.mine()
        return super().headers(first, last)


class TestAtTheSameTime:
    def test_a_chain_that_moves_under_a_sync_is_read_once_more(self, path: Path) -> None:
        chain = Moving(blocks=10)
        following = follower(chain, path)
        assert [event.values["policyId"] for event in events(following)] == [who(7)]
        chain.moves = 1000
        chain.mine()
        chain.mine()
        with pytest.raises(ChainUnavailableError, match="faster than it can be read"):
            following.sync()

    def test_processes_share_one_file(self, path: Path) -> None:
        chain = Chain()
        first, second = follower(chain, path), follower(chain, path)
        for number in range(1, 30):
            chain.mine(revoked(number))
            if number % 7 == 0:
                chain.take_back(3)
                chain.mine()
            assert everything(first if number % 2 else second)
        assert everything(first) == everything(second)

    def test_threads_share_one_sync(self, path: Path) -> None:
        chain = Chain(blocks=300)
        chain.mine(revoked(1))
        following = follower(chain, path)
        found: list[Any] = []
        threads = [threading.Thread(target=lambda: found.append(everything(following))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(found) == 8
        assert all(one == found[0] for one in found)
        assert sum(count for what, count in chain.asked if what == "headers") < 600


class TestFaults:
    def test_a_sync_that_was_cut_off_goes_on_where_it_was(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_BATCH", 10)
        chain = Chain(blocks=95)
        chain.mine(revoked(1))
        told: list[tuple[int, int]] = []

        class CutError(Exception):
            pass

        def progress(done: int, total: int, **_: Any) -> None:
            told.append((done, total))
            if len(told) == 4:
                raise CutError

        following = follower(chain, path, progress=progress)
        with pytest.raises(CutError):
            following.sync()
        chain.asked.clear()
        assert len(events(follower(chain, path))) == 1
        assert sum(count for what, count in chain.asked if what == "headers") == 53
        assert told == [(10, 93), (20, 93), (30, 93), (40, 93)]

    def test_a_node_that_is_down_leaves_the_copy_as_it_was(self, path: Path) -> None:
        chain = Chain()
        chain.mine(revoked(1))
        following = follower(chain, path)
        before = everything(following)
        chain.mine(revoked(2))
        chain.down = True
        with pytest.raises(ChainUnavailableError):
            following.sync()
        chain.down = False
        chain.take_back(1)
        assert everything(following) == before

    def test_a_full_disk_is_told_and_leaves_the_copy_as_it_was(self, path: Path) -> None:
        chain = Chain()
        chain.mine(revoked(1))
        following = follower(chain, path)
        before = everything(following)
        pages = sqlite3.connect(path).execute("PRAGMA page_count").fetchone()[0]
        limited = follower(chain, path)
        limited.sync()
        _limit(limited, pages + 1)
        for _ in range(5):
            chain.mine(*(granted(number) for number in range(1, 400)))
        with pytest.raises(DiskError, match="full"):
            limited.sync()
        limited.close()
        chain.take_back(5)
        assert everything(following) == before

    def test_a_file_that_is_deleted_is_made_anew(self, path: Path) -> None:
        chain = Chain()
        chain.mine(revoked(1))
        following = follower(chain, path)
        before = everything(following)
        path.unlink()
        assert everything(following) == before
        assert path.exists()

    @pytest.mark.parametrize("damage", [b"no database", b"", b"\x00" * 4096])
    def test_a_damaged_file_is_made_anew(self, path: Path, damage: bytes) -> None:
        chain = Chain()
        chain.mine(revoked(1))
        following = follower(chain, path)
        before = everything(following)
        following.close()
        for beside in path.parent.iterdir():
            beside.unlink()
        path.write_bytes(damage)
        assert everything(follower(chain, path)) == before

    def test_pages_that_are_torn_under_a_reader_are_made_anew(self, path: Path) -> None:
        chain = Chain()
        for number in range(1, 200):
            chain.mine(granted(number), revoked(number))
        following = follower(chain, path)
        before = everything(following)
        following.close()
        content = bytearray(path.read_bytes())
        for at in range(4096 * 2, len(content), 4096):
            content[at : at + 64] = b"\xff" * 64
        path.write_bytes(content)
        assert everything(follower(chain, path)) == before

    def test_the_file_is_its_users_alone(self, path: Path) -> None:
        following = follower(Chain(), path)
        following.sync()
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert {one.stat().st_mode & 0o777 for one in path.parent.iterdir()} == {0o600}

    def test_a_copy_of_another_version_or_chain_is_made_anew(self, path: Path) -> None:
        chain = Chain()
        chain.mine(revoked(1))
        follower(chain, path).sync()
        other = Chain()
        other.mine(revoked(2))
        following = Follower(other, path, chain_id=6, addresses={"PolicyRegistry": POLICIES}, from_block=FIRST)
        assert [event.values["policyId"] for event in events(following)] == [who(2)]

    def test_a_log_without_a_transaction_is_the_nodes(self, path: Path) -> None:
        chain = Chain()
        header = chain.mine(revoked(1))
        log = chain.written[header.hash][0]
        chain.written[header.hash] = [
            Log(log.address, log.topics, log.data, log.block, log.block_hash, "0xzz", log.place)
        ]
        with pytest.raises(IntegrityError, match="names no transaction"):
            follower(chain, path).sync()


def _limit(following: Follower, pages: int) -> None:
    """Let the file of a follower grow no more, as on a full disk."""
    database: Any = following._database
    connect = database._connect

    def limited() -> Any:
        connection = connect()
        connection.execute(f"PRAGMA max_page_count={pages}")
        return connection

    database.close()
    database._connect = limited
