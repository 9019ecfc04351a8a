"""Content: how a record's bytes are sealed into a file of leaves, and opened again, whole, streamed or in parts.

Never holds more than some segments of a large file in memory, and never writes plaintext anywhere.
Follows docs/spec/formats.md (`content`), design section 3 and ADR 7.

    content = stream(content key, padded(packed(bytes)))      one sealed segment is one leaf of the file
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final

from panachain.crypto import compress, padding, stream
from panachain.errors import InputError, IntegrityError, UsageError
from panachain.ipld import dagcbor, unixfs
from panachain.ipld.cid import CID, RAW
from panachain.model.file_content import FileContent
from panachain.storage.ahead import Coming
from panachain.storage.blocks import BlobStore
from panachain.storage.packs import pages

HASHED: Final = 64 << 20
"""Bytes of plaintext up to which its SHA-256 is taken (ADR 7)."""
_WHOLE: Final = 8 << 20
"""Bytes up to which content is read, compressed and sealed as one piece."""
_SAMPLE: Final = 1 << 20
"""Bytes that tell whether large content shrinks."""
_PIECE: Final = 1 << 20
_SEEKABLE: Final = frozenset({"application/dicom"})
"""Large content of these kinds isn't compressed, so that a part of an image costs a part of the work."""


@dataclass(frozen=True)
class Sealed:
    """Sealed content. `block` is set when it is one leaf, which the caller stores; larger content is stored."""

    cid: CID
    size: int
    """Bytes of the sealed stream."""
    digest: bytes
    """SHA-256 of the plaintext, or empty above `HASHED`."""
    head: bytes
    """The stream's header, 40 bytes, when parts can be read by themselves; else empty."""
    block: bytes | None


def content_context(*, generation: int, index: int) -> bytes:
    """Return the associated data of a content stream: format version, lane scheme, generation and content index."""
    before, behind = _around_index(generation)
    return before + dagcbor.encode(index) + behind


@lru_cache(maxsize=64)
def _around_index(generation: int) -> tuple[bytes, bytes]:
    # Of all records of a generation only the index differs.
    whole = dagcbor.encode({"format": 1, "lanes": 1, "generation": generation, "index": 0})
    before, name, behind = whole.partition(dagcbor.encode("index"))
    return before + name, behind[1:]


def seal_content(
    content: bytes | FileContent, key: bytes, context: bytes, store: BlobStore, *, media_type: str = ""
) -> Sealed:
    """Compress, pad and seal content.

    Args:
        content: the plaintext, or the file that holds it.
        key: a content key, 32 bytes, used for nothing else.
        context: from `content_context`.
        store: where content of more than one leaf goes.
        media_type: decides whether large content stays uncompressed for reading in parts.

    Raises:
        InputError: the file can't be read, or isn't as large as it was.
    """
    if isinstance(content, FileContent):
        if content.size > _WHOLE:
            return _seal_file(content, key, context, store, seekable=media_type in _SEEKABLE)
        with _Source(content) as source:
            content = source.read_all()
    return _seal_bytes(content, key, context, store)


class Content:
    """The content of one record, opened as far as it is asked for."""

    def __init__(
        self,
        store: BlobStore,
        cid: CID,
        key: bytes,
        context: bytes,
        *,
        size: int,
        digest: bytes,
        head: bytes,
        coming: Coming | None = None,
    ) -> None:
        """Take what a header tells of a content; nothing is fetched yet.

        Args:
            store: where the leaves are fetched; each is checked against its CID.
            cid: of the sealed file.
            key: the content key, 32 bytes.
            context: from `content_context`.
            size: bytes of the plaintext, as the header states.
            digest: SHA-256 of the plaintext, or empty.
            head: the stream's header, when the content can be read in parts.
            coming: fetches it along with others, if it is one leaf.
        """
        self._store = store
        self._coming = coming or store
        self._cid = cid
        self._key = key
        self._context = context
        self.size = size
        self._digest = digest
        self._head = head
        self._leaves: list[tuple[CID, int]] | None = None

    def read(self) -> bytes:
        """Return the whole plaintext.

        Raises:
            IntegrityError: any byte doesn't fit.
            BlockNotFoundError: the store lacks a block.
        """
        if self._cid.codec == RAW:
            content = compress.decompress(self._single(), self.size)
            self._check_digest(sha256(content).digest())
            return content
        return b"".join(self.chunks())

    def sealed_size(self) -> int:
        """Return how many bytes the store holds of it, as its root states them: more can't be read of it.

        Raises:
            IntegrityError: the root doesn't fit.
            BlockNotFoundError: the store lacks the root.
        """
        if self._cid.codec == RAW:
            return len(self._store.get_block(self._cid))
        return sum(size for _, size in self._leaf_list())

    def chunks(self) -> Iterator[bytes]:
        """Yield the plaintext in pieces of at most about 1 MiB; only the end proves that all of it fits.

        Raises:
            IntegrityError: any byte doesn't fit; what was yielded before was authentic, and is not the whole.
            BlockNotFoundError: the store lacks a block.
        """
        if self._cid.codec == RAW and self.size <= _PIECE:
            yield self.read()
            return
        hasher = sha256() if self._digest else None
        # One leaf is opened whole; what it unpacks to may be larger than memory all the same.
        message = iter([self._single()]) if self._cid.codec == RAW else self._whole_message()
        for piece in compress.decompress_pieces(message, self.size):
            if hasher is not None:
                hasher.update(piece)
            yield piece
        if hasher is not None:
            self._check_digest(hasher.digest())

    def read_range(self, offset: int, size: int) -> bytes:
        """Return at most `size` bytes of the plaintext from `offset` on, at the cost of the leaves that hold them.

        Content that was compressed or is small is opened from its beginning.

        Raises:
            UsageError: a negative offset or size.
            IntegrityError: any byte that was read doesn't fit.
        """
        if offset < 0 or size < 0:
            raise UsageError(f"there is no range of {size} bytes from {offset} on")
        size = max(min(size, self.size - offset), 0)
        if not self._head:
            return self._read_through(offset, size)
        opener = stream.SegmentOpener(self._head, self._key, self._context)
        # The packed form begins with the method's byte.
        return b"".join(self._plain(opener, offset + 1, offset + 1 + size))

    def _read_through(self, offset: int, size: int) -> bytes:
        found, position = bytearray(), 0
        for piece in self.chunks():
            found += piece[max(offset - position, 0) : max(offset + size - position, 0)]
            position += len(piece)
            # What follows isn't read and so isn't checked: the caller has asked for this part only.
            if position >= offset + size:
                break
        return bytes(found)

    def _single(self) -> bytes:
        """Return the packed form of content that is one leaf."""
        block = self._coming.get_block(self._cid)
        try:
            return self._unsealed(block)
        except IntegrityError:
            # A process beside this one may have read it. What is said to be wrong is so by the store's own word.
            again = self._store.get_block(self._cid)
            if again == block:
                raise
            return self._unsealed(again)

    def _unsealed(self, block: bytes) -> bytes:
        return padding.unpad(stream.open_(block, self._key, self._context))

    def _whole_message(self) -> Iterator[bytes]:
        """Yield the packed form of content of several leaves."""
        opener = self._opener()
        total = self._plain_total()
        # The end first: it says how much of the stream is padding, which must not be handed on as content.
        ending = b"".join(self._plain(opener, total - padding.LENGTH_SIZE, total))
        return self._message(opener, padding.message_size(ending, total), total)

    def _message(self, opener: stream.SegmentOpener, packed: int, total: int) -> Iterator[bytes]:
        """Yield the packed form, and check the padding behind it."""
        position = 0
        for piece in self._segments(opener):
            # The last one ends in the length.
            piece = piece[: total - padding.LENGTH_SIZE - position]
            kept = max(min(len(piece), packed - position), 0)
            padding.check_zeros(piece[kept:])
            if kept:
                yield piece[:kept]
            position += len(piece)

    def _segments(self, opener: stream.SegmentOpener) -> Iterator[bytes]:
        """Yield the padded plaintext of each segment, fetched in the way that the store is fastest at."""
        last = len(self._leaf_list()) - 1
        for index, segment in enumerate(self._store.read_file(self._cid)):
            body = memoryview(segment)[stream.HEADER_SIZE :] if index == 0 else memoryview(segment)
            yield opener.open(index, body, last=index == last)

    def _opener(self) -> stream.SegmentOpener:
        if self._head:
            return stream.SegmentOpener(self._head, self._key, self._context)
        first, _ = self._leaf_list()[0]
        return stream.SegmentOpener(self._store.get_block(first)[: stream.HEADER_SIZE], self._key, self._context)

    def _leaf_list(self) -> list[tuple[CID, int]]:
        if self._leaves is None:
            leaves = [(leaf, size or 0) for leaf, size in unixfs.leaves_of(self._cid, self._store.get_block)]
            # Leaves are segments one to one; only so can a part be opened by itself.
            if any(size != stream.SEGMENT_SIZE for _, size in leaves[:-1]):
                raise IntegrityError(f"content {self._cid} isn't cut into segments of {stream.SEGMENT_SIZE} bytes")
            self._leaves = leaves
        return self._leaves

    def _plain_total(self) -> int:
        leaves = self._leaf_list()
        sealed = sum(size for _, size in leaves)
        return sealed - stream.HEADER_SIZE - len(leaves) * stream.TAG_SIZE

    def _plain(self, opener: stream.SegmentOpener, start: int, stop: int) -> Iterator[bytes]:
        """Yield the padded plaintext from `start` to `stop`, at the cost of its leaves."""
        leaves = self._leaf_list()
        first, last = stream.segment_at(start), stream.segment_at(max(stop - 1, start))
        # The header states the size, and a store may hold less.
        if last >= len(leaves):
            raise IntegrityError(f"content {self._cid} is shorter than it states")

        for index in range(first, last + 1):
            leaf, size = leaves[index]
            segment = self._store.get_block(leaf)
            if len(segment) != size:
                raise IntegrityError(f"leaf {leaf} has {len(segment)} bytes, its node states {size}")
            body = memoryview(segment)[stream.HEADER_SIZE :] if index == 0 else memoryview(segment)
            plain = opener.open(index, body, last=index == len(leaves) - 1)
            begins, _ = stream.span(index)
            yield plain[max(start - begins, 0) : stop - begins]

    def _check_digest(self, digest: bytes) -> None:
        if self._digest and digest != self._digest:
            raise IntegrityError(f"content {self._cid} doesn't have the digest that its header states")


def _seal_bytes(content: bytes, key: bytes, context: bytes, store: BlobStore) -> Sealed:
    padded = padding.pad(compress.compress(content))
    size = stream.sealed_size(len(padded))
    # Above that size, hashing once more would halve the speed and prove nothing new (ADR 7).
    digest = sha256(content).digest() if len(content) <= HASHED else b""
    if size <= stream.SEGMENT_SIZE:
        block = stream.seal(padded, key, context)
        return Sealed(CID.of(RAW, block), size, digest, b"", block)
    sealer = stream.SegmentSealer(key, context)
    view = memoryview(padded)

    def make(index: int, leaf: memoryview) -> None:
        start, stop = stream.span(index)
        sealer.seal_into(index, view[start:stop], leaf, last=stop >= len(view))

    return Sealed(store.add_made(size, make), size, digest, b"", None)


def _seal_file(content: FileContent, key: bytes, context: bytes, store: BlobStore, *, seekable: bool) -> Sealed:
    with _Source(content) as source:
        # Compressed content can be read from its beginning only, so images and the like stay as they are.
        if not seekable and compress.shrinks(source.read_at(0, _SAMPLE)):
            return _seal_compressed(source, key, context, store)
        # Beside the rest: a hash is one thread's work, and sealing that of all cores.
        hashed = _Beside(source.digest) if content.size <= HASHED else None
        message = 1 + content.size
        total = padding.padded_size(message)
        sealer = stream.SegmentSealer(key, context)
        local = threading.local()

        def make(index: int, leaf: memoryview) -> None:
            start, stop = stream.span(index)
            stop = min(stop, total)
            # One buffer for each thread: fresh ones fault pages on every use. Twice the size makes it a huge page.
            if not hasattr(local, "buffer"):
                local.buffer = pages(2 * stream.SEGMENT_SIZE)
            plain = local.buffer[: stop - start]
            source.fill(plain, start, total)
            sealer.seal_into(index, plain, leaf, last=stop == total)

        size = stream.sealed_size(total)
        try:
            cid = store.add_made(size, make)
        finally:
            # In any case: it reads the file, which is closed behind this.
            digest = b"" if hashed is None else hashed.result()
        source.check_unchanged()
        return Sealed(cid, size, digest, sealer.header, None)


def _seal_compressed(source: _Source, key: bytes, context: bytes, store: BlobStore) -> Sealed:
    sizes: list[int] = []
    hasher = sha256() if source.size <= HASHED else None
    packed = compress.compress_pieces(source.pieces(hasher.update if hasher else None), source.size)

    def segments() -> Iterator[bytes]:
        for segment in stream.seal_segments(padding.pad_pieces(packed), key, context):
            sizes.append(len(segment))
            yield segment

    cid = store.add_file(segments())
    source.check_unchanged()
    return Sealed(cid, sum(sizes), hasher.digest() if hasher else b"", b"", None)


class _Beside(threading.Thread):
    """A piece of work in a thread of its own, begun at once."""

    def __init__(self, work: Callable[[], bytes]) -> None:
        super().__init__(name="beside")
        self._work = work
        self._result = b""
        self._failure: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Do it; a failure is kept for whoever asks for the result."""
        try:
            self._result = self._work()
        except BaseException as exc:  # noqa: BLE001
            self._failure = exc

    def result(self) -> bytes:
        """Wait for the result.

        Raises:
            BaseException: what the work raised.
        """
        self.join()
        if self._failure is not None:
            raise self._failure
        return self._result


class _Source:
    """A file that is being sealed."""

    def __init__(self, content: FileContent) -> None:
        self.size = content.size
        self._path = content.path
        self._descriptor = -1

    def __enter__(self) -> _Source:
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY)
            self._stat = os.fstat(self._descriptor)
            self.check_unchanged()
        except OSError as exc:
            raise InputError(f"{str(self._path)!a} can't be read: {exc.strerror}") from exc
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        os.close(self._descriptor)

    def read_all(self) -> bytes:
        return b"".join(self.pieces(None))

    def read_at(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, offset)

    def pieces(self, seen: Callable[[bytes], None] | None) -> Iterator[bytes]:
        position = 0
        while position < self.size:
            piece = self.read_at(position, min(_PIECE, self.size - position))
            if not piece:
                raise self._changed()
            position += len(piece)
            if seen is not None:
                seen(piece)
            yield piece

    def digest(self) -> bytes:
        hasher = sha256()
        for piece in self.pieces(None):
            hasher.update(piece)
        return hasher.digest()

    def fill(self, buffer: memoryview, start: int, total: int) -> None:
        """Fill a buffer with the padded plaintext from `start` on: method byte, file, zeros, length."""
        stop = start + len(buffer)
        file_from, file_to = max(start, 1), min(stop, 1 + self.size)
        position = file_from
        while position < file_to:
            part = buffer[position - start : file_to - start]
            read = os.preadv(self._descriptor, [part], position - 1)
            if not read:
                raise self._changed()
            position += read
        if start == 0:
            buffer[:1] = compress.STORED
        zeros_from = max(1 + self.size, start)
        if zeros_from < stop:
            buffer[zeros_from - start :] = bytes(stop - zeros_from)
        ending_from = total - padding.LENGTH_SIZE
        if stop > ending_from:
            ending = padding.trailer(1 + self.size)
            low = max(ending_from, start)
            buffer[low - start :] = ending[low - ending_from : stop - ending_from]

    def check_unchanged(self) -> None:
        now = os.fstat(self._descriptor)
        # Looked at before and after: a record that is half of one version and half of another helps nobody.
        if now.st_size != self.size or now.st_mtime_ns != self._stat.st_mtime_ns:
            raise self._changed()

    def _changed(self) -> InputError:
        return InputError(f"{str(self._path)!a} changed while it was read; nothing of it was published")
