"""Blocks in an S3 bucket: few objects, erasure that leaves nothing, and a service that is never believed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import BlockNotFoundError, IntegrityError, PanaChainError, UsageError
from panachain.ipld import dagcbor, unixfs
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.storage import collect, s3
from panachain.storage.guards import Guard
from panachain.storage.moving import move
from panachain.storage.s3 import S3Store
from panachain.storage.s3_client import Bucket
from tests.unit.storage.memory_store import MemoryStore
from tests.unit.storage.s3_server import new_bucket, opened, running_s3, set_credentials

_NUMBERS = count()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, running_s3() as url:
        set_credentials(patch)
        yield url


@pytest.fixture
def bucket(endpoint: str) -> Bucket:
    return new_bucket(endpoint, f"bucket-{next(_NUMBERS)}")


@pytest.fixture
def store(bucket: Bucket) -> Iterator[S3Store]:
    made = opened(bucket)
    yield made
    made.close()


def some(number: int, size: int = 100) -> list[tuple[CID, bytes]]:
    return [(CID.of(RAW, data), data) for data in (os.urandom(size) for _ in range(number))]


def objects(store: S3Store, folder: str = "") -> dict[str, bytes]:
    """Return all that lies in the bucket."""
    return {one.key: store._client.get(one.key, limit=1 << 25) for one in store._client.list(folder)}


def test_many_blocks_are_few_objects_and_all_are_found_by_another_program(store: S3Store, bucket: Bucket) -> None:
    blocks = some(3000)
    store.put_blocks(blocks)
    assert len(objects(store)) == 2
    other = opened(bucket)
    assert [other.get_block(cid) for cid, _ in blocks] == [data for _, data in blocks]
    assert list(other.blocks()) == sorted(cid for cid, _ in blocks)
    store.put_blocks(blocks)
    assert len(objects(store)) == 2


def test_neighbours_are_read_at_once(store: S3Store, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = some(500)
    store.put_blocks(blocks)
    other, asked = opened(bucket), []
    get = other._client.get
    monkeypatch.setattr(other._client, "get", lambda key, **rest: asked.append(key) or get(key, **rest))
    for cid, _ in blocks:
        other.get_block(cid)
    assert len(asked) == 2


def test_one_block_is_one_object_of_its_name(store: S3Store, bucket: Bucket) -> None:
    ((cid, data),) = some(1)
    store.put_block(cid, data)
    assert objects(store) == {f"blocks/{cid}": data}
    assert opened(bucket).has_block(cid)
    assert opened(bucket).get_block(cid) == data


def test_what_another_program_wrote_is_found_at_once(store: S3Store, bucket: Bucket) -> None:
    reader = opened(bucket)
    assert list(reader.blocks()) == []
    blocks = some(2)
    store.put_blocks(blocks)
    assert reader.get_block(blocks[0][0]) == blocks[0][1]
    with pytest.raises(BlockNotFoundError):
        reader.get_block(CID.of(RAW, b"nothing"))


def test_files_of_several_leaves_and_packs(store: S3Store, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PACK", 3 << 20)
    data = os.urandom(7 * unixfs.CHUNK + 5)
    leaves = [data[start : start + unixfs.CHUNK] for start in range(0, len(data), unixfs.CHUNK)]
    root = store.add_file(leaves)
    assert len(objects(store, "packs/")) == 3
    assert b"".join(opened(bucket).read_file(root)) == data


def test_pins(store: S3Store) -> None:
    ((cid, data), (other, _)) = some(2)
    store.put_block(cid, data)
    store.pin(cid)
    store.pin(other)
    store.unpin(other)
    store.unpin(other)
    assert list(store.pins()) == [cid]


class TestErasure:
    def test_that_broke_off_keeps_no_neighbour_from_being_deleted(self, bucket: Bucket, tmp_path: Path) -> None:
        with closing(S3Store(bucket, timeout=30, guard=Guard(tmp_path, "bucket"))) as store:
            blocks = some(20)
            store.put_blocks(blocks)
            (noted, secret), (gone, _), *kept = blocks
            store.guards[0].note([noted])
            assert store.delete_blocks([gone]) == 100
            # It isn't written again either.
            assert all(secret not in body for body in objects(store).values())
            assert [store.get_block(cid) for cid, _ in kept] == [data for _, data in kept]

    def test_leaves_the_bytes_in_no_object(self, store: S3Store, bucket: Bucket) -> None:
        blocks = some(50)
        store.put_blocks(blocks)
        (gone, secret), *kept = blocks
        assert store.delete_blocks([gone]) == 100
        assert all(secret not in body for body in objects(store).values())
        for reader in (store, opened(bucket)):
            with pytest.raises(BlockNotFoundError):
                reader.get_block(gone)
            assert [reader.get_block(cid) for cid, _ in kept] == [data for _, data in kept]
        assert store.delete_blocks([gone]) == 0

    def test_a_reader_who_knows_the_old_object_finds_what_is_kept(self, store: S3Store, bucket: Bucket) -> None:
        blocks = some(5, size=100_000)
        store.put_blocks(blocks)
        reader = opened(bucket)
        assert reader.get_block(blocks[1][0]) == blocks[1][1]
        store.delete_block(blocks[0][0])
        assert reader.get_block(blocks[2][0]) == blocks[2][1]
        with pytest.raises(BlockNotFoundError):
            reader.get_block(blocks[0][0])

    @pytest.mark.parametrize("steps", range(7))
    def test_one_that_broke_off_anywhere_is_finished_by_the_next(
        self, store: S3Store, bucket: Bucket, steps: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blocks = some(5)
        store.put_blocks(blocks)
        (gone, secret), *kept = blocks
        breaking, left = opened(bucket), [steps]

        class CutError(Exception):
            pass

        def cut(ask):  # type: ignore[no-untyped-def]
            def asking(*args, **rest):  # type: ignore[no-untyped-def]
                if not left[0]:
                    raise CutError
                left[0] -= 1
                return ask(*args, **rest)

            return asking

        for name in ("put", "delete"):
            monkeypatch.setattr(breaking._client, name, cut(getattr(breaking._client, name)))
        with suppress(CutError):
            breaking.delete_block(gone)
        again, now = opened(bucket), [2e9]
        # The mark of whoever broke off is waited for.
        again._clock, again._sleep = lambda: now[0], lambda seconds: now.append(now.pop() + 100 * seconds)
        again.delete_block(gone)
        # What an upload left without an index is removed after a day.
        again._clock = lambda: 2e9 + 10**9
        again.delete_block(gone)
        assert all(secret not in body for body in objects(store).values())
        assert [opened(bucket).get_block(cid) for cid, _ in kept] == [data for _, data in kept]

    def test_two_at_once_leave_neither_block(self, store: S3Store, bucket: Bucket) -> None:
        blocks = some(40)
        store.put_blocks(blocks)
        failures: list[BaseException] = []

        def erase(cids: list[CID]) -> None:
            try:
                opened(bucket).delete_blocks(cids)
            except PanaChainError as exc:
                failures.append(exc)

        threads = [threading.Thread(target=erase, args=([blocks[i][0], blocks[i + 1][0]],)) for i in (0, 2, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failures == []
        left = opened(bucket)
        assert set(left.blocks()) == {cid for cid, _ in blocks[6:]}
        assert [left.get_block(cid) for cid, _ in blocks[6:]] == [data for _, data in blocks[6:]]

    def test_what_another_had_read_before_does_not_come_back(
        self, store: S3Store, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blocks = some(10)
        store.put_blocks(blocks)
        (one, first), (other, second), *kept = blocks
        waits = threading.Event()
        waiting = S3Store(bucket, sleep=lambda seconds: waits.set() or time.sleep(0.01))  # type: ignore[func-returns-value]
        erasing = threading.Thread(target=waiting.delete_block, args=(other,), daemon=True)
        slow = opened(bucket)
        get = slow._client.get

        def read(*args: Any, **rest: Any) -> bytes:
            body = get(*args, **rest)
            if args[0].startswith("packs/") and not erasing.ident:
                erasing.start()
                while erasing.is_alive() and not waits.wait(0.05):
                    continue
            return body

        monkeypatch.setattr(slow._client, "get", read)
        slow.delete_block(one)
        erasing.join(60)
        assert not erasing.is_alive()
        assert all(first not in body and second not in body for body in objects(store).values())
        assert sorted(opened(bucket).blocks()) == sorted(cid for cid, _ in kept)

    def test_a_program_that_broke_off_is_waited_for_only_so_long(self, store: S3Store, bucket: Bucket) -> None:
        ((cid, data),) = some(1)
        store.put_block(cid, data)
        store._client.put("rewriting/left", b"")
        now = [2e9]
        erasing = S3Store(bucket, clock=lambda: now[0], sleep=lambda seconds: now.append(now.pop() + 100 * seconds))
        erasing.delete_block(cid)
        assert 2e9 + s3._REWRITING <= now[0] < 2e9 + s3._REWRITING + 100 * s3._PATIENCE
        assert list(store._client.list("")) == []

    def test_who_was_slow_leaves_it_to_the_next_round(
        self, store: S3Store, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blocks = some(3)
        store.put_blocks(blocks)
        now = [2e9]
        slow = S3Store(bucket, clock=lambda: now[0])
        get, sent = slow._client.get, list[float]()
        send = slow._send

        def read(key: str, **rest: Any) -> bytes:
            if key.startswith("packs/") and not sent and now[0] == 2e9:
                now[0] += s3._REWRITING
            return get(key, **rest)

        monkeypatch.setattr(slow._client, "get", read)
        monkeypatch.setattr(slow, "_send", lambda blocks: sent.append(now[0]) or send(blocks))
        slow.delete_block(blocks[0][0])
        assert sent == [2e9 + s3._REWRITING]
        assert sorted(opened(bucket).blocks()) == sorted(cid for cid, _ in blocks[1:])

    def test_a_bucket_that_keeps_versions_is_refused(self, store: S3Store) -> None:
        ((cid, data),) = some(1)
        store.put_block(cid, data)
        body = b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status>'
        store._client._ask("PUT", None, query={"versioning": ""}, body=body + b"</VersioningConfiguration>")
        with pytest.raises(UsageError, match="keeps versions"):
            store.delete_block(cid)
        assert store.get_block(cid) == data
        assert "versioning is Enabled" in store.facts()


class TestCollection:
    def test_removes_what_nothing_reaches(self, store: S3Store) -> None:
        blocks = some(6)
        root = dagcbor.encode({"v": 1, "blocks": sorted(cid for cid, _ in blocks[:3])})
        store.put_blocks([*blocks, (CID.of(DAG_CBOR, root), root)])
        store.pin(CID.of(DAG_CBOR, root))
        young = collect.collect(store, [], now=store._clock() + 3600)
        assert (young.kept, young.young, young.removed) == (4, 3, 0)
        old = collect.collect(store, [], now=store._clock() + 2 * collect.GRACE)
        assert (old.kept, old.removed, old.freed) == (4, 3, 300)
        assert len(list(store.blocks())) == 4

    def test_a_block_that_grows_old_is_written_again_by_who_needs_it(self, bucket: Bucket) -> None:
        blocks = some(3)
        opened(bucket).put_blocks(blocks)
        later = opened(bucket)
        later._clock = lambda: 4e9
        later.put_blocks(blocks)
        assert len(objects(later, "packs/")) == 2
        assert later.get_block(blocks[0][0]) == blocks[0][1]


class TestLies:
    def damaged(self, store: S3Store, key: str) -> None:
        ((name, body),) = objects(store, key).items()
        store._client.put(name, body[:-1] + bytes([body[-1] ^ 1]))

    def test_other_bytes_are_found(self, store: S3Store, bucket: Bucket) -> None:
        blocks = some(2)
        store.put_blocks(blocks)
        self.damaged(store, "packs/")
        with pytest.raises(IntegrityError):
            opened(bucket).get_block(blocks[1][0])
        assert opened(bucket).get_block(blocks[0][0]) == blocks[0][1]

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"PanaChain S3 index 1\n" + bytes(48),
            b"PanaChain S3 index 1\nx",
            b"PanaChain S3 index 1\n" + bytes(CID.of(RAW, b"")) + b"\xff" * 12,
            b"PanaChain S3 index 2\n",
            bytes(1 << 20),
        ],
    )
    def test_an_index_that_is_none_is_a_typed_error(self, store: S3Store, body: bytes) -> None:
        store._client.put("index/" + "0" * 32, body)
        with pytest.raises(IntegrityError):
            list(store.blocks())

    @pytest.mark.parametrize("key", ["pins/none", "blocks/none"])
    def test_names_that_are_no_cids_are_told(self, store: S3Store, key: str) -> None:
        store._client.put(key, b"")
        with pytest.raises(IntegrityError):
            list(store.pins() if key.startswith("pins") else store.blocks())


def test_a_store_moves_in_and_out(store: S3Store) -> None:
    source = MemoryStore()
    blocks = some(20)
    root = dagcbor.encode({"v": 1, "blocks": sorted(cid for cid, _ in blocks)})
    source.put_blocks([*blocks, (CID.of(DAG_CBOR, root), root)])
    source.pin(CID.of(DAG_CBOR, root))
    report = move(source, store)
    assert (report.blocks, report.copied, report.missing, report.pinned) == (21, 21, (), 1)
    back = MemoryStore()
    assert move(store, back).copied == 21
    assert back.held.keys() == source.held.keys()
    assert back.pinned == source.pinned
