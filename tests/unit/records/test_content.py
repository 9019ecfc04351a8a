"""Content: what is sealed comes out equal, whole, streamed or in parts, and nothing that was changed does."""

from __future__ import annotations

import io
import os
import random
import threading
from hashlib import sha256
from pathlib import Path

import pytest

from panachain.crypto import stream
from panachain.errors import DiskError, InputError, IntegrityError, UsageError
from panachain.ipld.cid import CID, RAW
from panachain.model.records import FileContent
from panachain.records import content
from panachain.records.content import Content, Sealed, content_context, seal_content
from panachain.storage.embedded import EmbeddedStore

KEY = bytes(range(32))
CONTEXT = content_context(generation=0, index=0)
MIB = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "blocks")


def opened(store: EmbeddedStore, sealed: Sealed, plain_size: int, /, **change: object) -> Content:
    if sealed.block is not None:
        store.put_block(sealed.cid, sealed.block)
    fields = {"size": plain_size, "digest": sealed.digest, "head": sealed.head} | change
    return Content(store, sealed.cid, KEY, CONTEXT, **fields)  # type: ignore[arg-type]


def in_file(folder: Path, plain: bytes) -> FileContent:
    path = folder / "content"
    path.write_bytes(plain)
    return FileContent(path, len(plain))


def kinds(size: int) -> list[bytes]:
    return [os.urandom(size), bytes(size), (b'{"resourceType":"Observation"}' * (size // 30 + 1))[:size]]


EDGES = [stream.FIRST_PLAIN, stream.FIRST_PLAIN + stream.NEXT_PLAIN]


@pytest.mark.parametrize(
    "size",
    [0, 1, 4096, MIB - 200, MIB, *(edge + d for edge in EDGES for d in (-9, -8, -1, 0, 1)), 3 * MIB + 5],
)
def test_bytes_come_out_equal(store: EmbeddedStore, size: int) -> None:
    for plain in kinds(size):
        sealed = seal_content(plain, KEY, CONTEXT, store)
        found = opened(store, sealed, size)
        assert found.read() == plain
        assert b"".join(found.chunks()) == plain
        assert sealed.digest == sha256(plain).digest()


@pytest.mark.parametrize("media_type", ["application/dicom", "application/pdf"])
@pytest.mark.parametrize("size", [9 * MIB, 9 * MIB + 1, 16 * MIB - 9, 20 * MIB + 12345])
def test_files_come_out_equal(
    store: EmbeddedStore, tmp_path: Path, size: int, media_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for plain in kinds(size):
        sealed = seal_content(in_file(tmp_path, plain), KEY, CONTEXT, store, media_type=media_type)
        assert sealed.digest == sha256(plain).digest()
        found = opened(store, sealed, size)
        assert b"".join(found.chunks()) == plain
        for _ in range(5):
            start, length = random.randrange(size), random.randrange(200_000)
            assert found.read_range(start, length) == plain[start : start + length]


def test_large_files_have_no_digest_of_their_own(
    store: EmbeddedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "HASHED", 9 * MIB)
    for plain in kinds(10 * MIB):
        sealed = seal_content(in_file(tmp_path, plain), KEY, CONTEXT, store)
        assert sealed.digest == b""
        assert opened(store, sealed, len(plain)).read() == plain


def test_small_files_are_read_as_a_whole(store: EmbeddedStore, tmp_path: Path) -> None:
    sealed = seal_content(in_file(tmp_path, b"small"), KEY, CONTEXT, store)
    assert sealed.block is not None
    assert opened(store, sealed, 5).read() == b"small"


def test_a_part_of_an_image_costs_a_few_leaves(store: EmbeddedStore, tmp_path: Path) -> None:
    plain = os.urandom(40 * MIB)
    sealed = seal_content(in_file(tmp_path, plain), KEY, CONTEXT, store, media_type="application/dicom")
    fetched: list[int] = []

    class Counting:
        def get_block(self, cid: CID) -> bytes:
            data = store.get_block(cid)
            fetched.append(len(data))
            return data

    for start in (0, 1, 7 * MIB - 30_000, 20 * MIB, 40 * MIB - 65_536):
        fetched.clear()
        found = Content(Counting(), sealed.cid, KEY, CONTEXT, size=len(plain), digest=b"", head=sealed.head)  # type: ignore[arg-type]
        assert found.read_range(start, 65_536) == plain[start : start + 65_536]
        assert sum(fetched) <= 3 * MIB


def test_a_range_beyond_the_end_is_cut_and_a_negative_one_refused(store: EmbeddedStore) -> None:
    found = opened(store, seal_content(b"0123456789", KEY, CONTEXT, store), 10)
    assert found.read_range(8, 10) == b"89"
    assert found.read_range(20, 10) == b""
    for bad in ((-1, 1), (1, -1)):
        with pytest.raises(UsageError):
            found.read_range(*bad)


@pytest.mark.parametrize("size", [100, 3 * MIB])
@pytest.mark.parametrize("change", [{"size": 99}, {"size": 3 * MIB + 1}, {"digest": bytes(32)}])
def test_a_header_that_states_something_else_is_refused(
    store: EmbeddedStore, size: int, change: dict[str, object]
) -> None:
    for plain in kinds(size):
        sealed = seal_content(plain, KEY, CONTEXT, store)
        with pytest.raises(IntegrityError):
            opened(store, sealed, size, **change).read()


def test_another_key_or_context_opens_nothing(store: EmbeddedStore) -> None:
    sealed = seal_content(b"plain", KEY, CONTEXT, store)
    assert sealed.block is not None
    store.put_block(sealed.cid, sealed.block)
    other = content_context(generation=0, index=1)
    for key, context in ((bytes(32), CONTEXT), (KEY, other)):
        with pytest.raises(IntegrityError):
            Content(store, sealed.cid, key, context, size=5, digest=b"", head=b"").read()


def test_leaves_that_were_left_out_or_swapped_are_found(store: EmbeddedStore) -> None:
    from panachain.ipld import unixfs

    sealed = seal_content(os.urandom(3 * MIB), KEY, CONTEXT, store)
    leaves = [store.get_block(cid) for cid, _ in unixfs.leaves_of(sealed.cid, store.get_block)]
    for bad in ([leaves[0], *leaves[2:]], leaves[:-1], [leaves[1], leaves[0], *leaves[2:]]):
        root = store.add_file(bad)
        with pytest.raises(IntegrityError):
            Content(store, root, KEY, CONTEXT, size=3 * MIB, digest=b"", head=b"").read()


def test_a_file_that_changes_while_it_is_read_is_not_published(store: EmbeddedStore, tmp_path: Path) -> None:
    plain = in_file(tmp_path, os.urandom(9 * MIB))
    for other in (plain.size - 1, plain.size + 1):
        with pytest.raises(InputError, match="changed while it was read"):
            seal_content(FileContent(plain.path, other), KEY, CONTEXT, store)

    class Growing(EmbeddedStore):
        def add_made(self, size: int, make: object) -> CID:
            plain.path.write_bytes(b"short")
            return super().add_made(size, make)  # type: ignore[arg-type]

    with pytest.raises(InputError, match="changed while it was read"):
        seal_content(plain, KEY, CONTEXT, Growing(tmp_path / "other"))
    with pytest.raises(InputError, match="can't be read"):
        seal_content(FileContent(tmp_path / "missing", 5), KEY, CONTEXT, store)


def test_what_hashes_beside_a_failure_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = in_file(tmp_path, os.urandom(9 * MIB))
    hashed: list[str] = []
    digest = content._Source.digest

    def watched(source: content._Source) -> bytes:
        hashed.append(threading.current_thread().name)
        return digest(source)

    class Full(EmbeddedStore):
        def add_made(self, size: int, make: object) -> CID:
            raise DiskError("no room")

    monkeypatch.setattr(content._Source, "digest", watched)
    with pytest.raises(DiskError, match="no room"):
        seal_content(plain, KEY, CONTEXT, Full(tmp_path / "full"))
    assert hashed == ["beside"]
    assert "beside" not in [thread.name for thread in threading.enumerate()]


def test_tink_opens_it(store: EmbeddedStore) -> None:
    from tests.unit.crypto.test_stream import oracle

    plain = os.urandom(2 * MIB)
    sealed = seal_content(plain, KEY, CONTEXT, store)
    body = io.BytesIO(b"".join(store.read_file(sealed.cid)))
    with oracle(KEY).new_decrypting_stream(body, CONTEXT) as reader:
        padded = reader.read()
    assert padded[1 : 1 + len(plain)] == plain


def test_only_leaves_that_fit_in_one_block_are_left_to_the_caller(store: EmbeddedStore) -> None:
    assert seal_content(b"x", KEY, CONTEXT, store).cid.codec == RAW
    large = seal_content(os.urandom(2 * MIB), KEY, CONTEXT, store)
    assert large.block is None
    assert store.has_block(large.cid)
