"""Kubo as block store, over its RPC.

What controls the node goes by ipfshttpclient (kubo_control.py), data by our own requests (kubo_rpc.py). Never believes
an answer: CIDs are computed here first and compared, every block that comes back is hashed, and what was sent is
counted. Blocks go to the node in CARs, many in one request; large files come back in one long answer that is received
ahead of the reader and hashed leaf by leaf. Follows Kubo's RPC v0 and docs/spec/formats.md.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from queue import Queue
from types import TracebackType
from typing import Final

from panachain.errors import (
    BlockNotFoundError,
    IntegrityError,
    PanaChainError,
    StoreUnavailableError,
    UsageError,
)
from panachain.ipld import car, unixfs
from panachain.ipld.cid import CALLER, CID, CODEC_NAMES, DAG_PB, RAW
from panachain.storage.guards import Guard, check_not_erased, writing
from panachain.storage.kubo_control import KuboControl, NodeFacts, address
from panachain.storage.kubo_rpc import KuboRpc, Refused, Request

PIECE: Final = 8 << 20
"""Bytes of blocks in one CAR: large enough that requests cost nothing, small enough to be held twice."""
PIECE_BLOCKS: Final = 4096
"""Blocks in one CAR: a disk that syncs each of them is done in time."""
RANGE: Final = 1024
"""Leaves that are fetched in one request: those of one node."""
AHEAD: Final = 16
"""Leaves that are held ahead of the reader."""
_HASHERS: Final = 2
"""Threads that hash what one thread receives."""
_LISTING: Final = 16 << 30
"""Bytes of a list of pins or blocks, which is read as it comes: some hundreds of millions."""
_BATCH: Final = 256
"""CIDs in one request."""
_COALESCED: Final = 128 << 10
"""Bytes up to which small blocks are joined before they are sent."""
_OFFLINE: Final = ("offline", "true")
"""Only what the node holds itself: it must not search a network for a CID."""
_EMPTY_FOLDER: Final = CID.of(DAG_PB, b"\x0a\x02\x08\x01")
"""What every node pins as the root of its files API."""


class KuboStore:
    """A `BlobStore` in a Kubo node. Any thread may use it."""

    def __init__(
        self,
        api: str = "/ip4/127.0.0.1/tcp/5001",
        *,
        timeout: float = 30.0,
        pin_timeout: float = 21_600.0,
        tries: int = 3,
        pause: float = 0.2,
        probe: bool = True,
        guard: Guard | None = None,
    ) -> None:
        """Connect to the node whose RPC listens at the multiaddress `api`.

        Args:
            api: where the RPC listens.
            timeout: seconds of silence after which an answer is given up; a longer one must come with 32 KiB/s.
            pin_timeout: seconds that pinning may take: the node reads everything that is linked.
            tries: how often a request is sent at most; only broken connections are tried again.
            pause: seconds before the second try, doubled before each further one.
            probe: ask the node now whether it is there.
            guard: what keeps writers of this machine and erasures apart; None for nothing.

        Raises:
            ConfigurationError: `api` is no multiaddress of an RPC.
            StoreUnavailableError: nobody answers there.
        """
        base, socket_path = address(api)
        self._rpc = KuboRpc(
            base, name=f"Kubo node {api}", socket_path=socket_path, timeout=timeout, tries=tries, pause=pause
        )
        self._control = KuboControl(api, self._rpc, pin_timeout=pin_timeout)
        self.name = self._rpc.name
        """What messages call the store."""
        self.guards = () if guard is None else (guard,)
        """What keeps writers of this machine and erasures apart."""
        if not probe:
            return
        try:
            self._control.version()
        except (Refused, IntegrityError, StoreUnavailableError) as exc:
            raise StoreUnavailableError(
                f"no Kubo node answers at {api}", hint="start one (see ipfs/README.md) or use the embedded store"
            ) from exc

    def close(self) -> None:
        """Close the connections."""
        self._rpc.close()
        for guard in self.guards:
            guard.close()

    # Writing

    def put_block(self, cid: CID, data: bytes) -> None:
        """Store one block and compare the node's CID with ours."""
        cid.check(data, CALLER)
        options = (
            ("cid-codec", CODEC_NAMES[cid.codec]),
            ("mhtype", "sha2-256"),
            ("pin", "false"),
            ("allow-big-block", "true"),
        )
        with writing(self), self._refusals("can't store a block"):
            check_not_erased(self, [cid])
            answers = self._rpc.values(Request("block/put", options=options, body=(data,)))
        key = answers[0].get("Key") if answers else None
        # Under another CID nobody would find the block, and the node would say nothing.
        if key != str(cid):
            raise IntegrityError(f"the {self.name} stored block {cid} as {str(key)[:80]!r}")

    def put_blocks(self, blocks: Iterable[tuple[CID, bytes]]) -> None:
        """Store many blocks, some thousands of them in one request.

        Raises:
            IntegrityError: a CID isn't that of its bytes, or the node took another number of blocks or bytes.
        """
        with writing(self), _Importer(self._import) as importer:
            for cid, data in blocks:
                importer.put(cid, cid.check(data, CALLER))

    def add_file(self, leaves: Iterable[bytes]) -> CID:
        """Store a file as the blocks that we build, so that the profile is ours and not the node's setting."""
        with writing(self), _Importer(self._import) as importer:
            return unixfs.build(leaves, importer.put)

    def add_made(self, size: int, make: Callable[[int, memoryview], None]) -> CID:
        """Store a file whose leaves are made one after the other, while the ones before are sent."""
        return self.add_file(unixfs.made(size, make))

    def pin(self, cid: CID) -> None:
        """Pin the block and everything that it links.

        Raises:
            BlockNotFoundError: the node doesn't have all of it.
        """
        with self._refusals(f"can't pin {cid}"):
            pinned = self._control.pin(str(cid))
        if not pinned:
            raise IntegrityError(f"the {self.name} doesn't say that it pinned {cid}")

    def unpin(self, cid: CID) -> None:
        """Unpin; a missing pin is no error."""
        try:
            unpinned = self._control.unpin(str(cid))
        except Refused as exc:
            if "not pinned" in exc.message:
                return
            raise self._refused(f"can't unpin {cid}", exc) from exc
        if not unpinned:
            raise IntegrityError(f"the {self.name} doesn't say that it unpinned {cid}")

    def delete_block(self, cid: CID) -> None:
        """Remove one block, pinned or not; a missing one is no error."""
        self._remove([cid])

    def delete_blocks(self, cids: Iterable[CID]) -> int:
        """Remove blocks that nobody wants, and return how many bytes they had.

        Raises:
            UsageError: the node keeps pins or files of other programs. What they need couldn't be told from garbage:
                the node lists its blocks without the codecs of their CIDs.
        """
        if self._foreign():
            raise UsageError(
                f"the {self.name} also keeps what isn't PanaChain's; nothing of it was removed",
                hint="run a node for PanaChain alone (ipfs/README.md), or remove the other pins",
            )
        freed = 0
        remaining = iter(cids)
        while batch := list(islice(remaining, _BATCH)):
            freed += sum(self._size(cid) or 0 for cid in batch)
            self._remove(batch)
        return freed

    # Reading

    def get_block(self, cid: CID) -> bytes:
        """Return a block, checked against its CID."""
        with self._refusals(f"can't give block {cid}"):
            data = self._rpc.call(Request("block/get", (str(cid),), (_OFFLINE,)), limit=car.MAX_BLOCK)
        return cid.check(data, self.name)

    def has_block(self, cid: CID) -> bool:
        """Tell whether the node has the block."""
        return self._size(cid) is not None

    def read_file(self, cid: CID) -> Iterator[bytes]:
        """Yield a file's leaves, each checked against its CID, some of them fetched ahead."""
        if cid.codec == RAW:
            yield self.get_block(cid)
            return
        leaves = unixfs.leaves_of(cid, self.get_block)
        first = 0
        while part := list(islice(leaves, RANGE)):
            yield from self._read_range(cid, first, part)
            first += sum(size or 0 for _, size in part)

    def blocks(self) -> Iterator[CID]:
        """Yield the CID of every block; Kubo lists them by multihash only, so the codec is raw."""
        with self._refusals("can't list its blocks"):
            for answer in self._rpc.stream(Request("refs/local", patient=True), limit=_LISTING):
                if answer.get("Err"):
                    raise Refused(200, str(answer["Err"])[:500])
                if not isinstance(answer.get("Ref"), str):
                    raise IntegrityError(f"the {self.name} lists a block without a CID")
                cid = _ours(answer["Ref"])
                if cid is not None and cid.digest != _EMPTY_FOLDER.digest:
                    yield cid

    def sizes(self) -> Iterator[tuple[CID, int, float]]:
        """Yield CID (codec raw) and bytes of every block; Kubo doesn't know when it was stored, so the time is 0."""
        for cid in self.blocks():
            size = self._size(cid)
            if size is not None:
                yield cid, size, 0.0

    def totals(self) -> tuple[int, int]:
        """Return how many blocks the node holds, and the bytes of its repository."""
        with self._refusals("can't tell its size"):
            return self._control.totals()

    def facts(self) -> NodeFacts:
        """Return what the node says of itself: its version, its identity, and how many others it is connected to."""
        with self._refusals("can't tell of itself"):
            return self._control.facts()

    def pins(self) -> Iterator[CID]:
        """Yield what is pinned, recursively or alone, sorted; pins of other programs are left out."""
        yield from sorted(filter(None, (_ours(key) for key in self._pin_keys())))

    # Internal

    def _import(self, blocks: list[tuple[CID, bytes]]) -> None:
        """Send blocks as one CAR and compare what the node counted with what was sent."""
        options = (("pin-roots", "false"), ("stats", "true"), ("allow-big-block", "true"), _OFFLINE)
        check_not_erased(self, [cid for cid, _ in blocks])
        with self._refusals(f"can't store {len(blocks)} blocks"):
            answers = self._rpc.values(Request("dag/import", options=options, body=_car_pieces(blocks)))
        stats: dict[str, object] = next(
            (answer["Stats"] for answer in answers if isinstance(answer.get("Stats"), dict)), {}
        )
        size = sum(len(data) for _, data in blocks)
        # The node doesn't name what it took, so both counts are compared.
        if (stats.get("BlockCount"), stats.get("BlockBytesCount")) != (len(blocks), size):
            raise IntegrityError(
                f"the {self.name} took {str(stats.get('BlockCount'))[:20]} blocks of"
                f" {str(stats.get('BlockBytesCount'))[:20]} bytes, {len(blocks)} of {size} were sent"
            )

    def _read_range(self, root: CID, first: int, leaves: list[tuple[CID, int | None]]) -> Iterator[bytes]:
        """Yield the leaves of a file from byte `first` on, at the price of one request."""
        size = sum(leaf_size or 0 for _, leaf_size in leaves)
        options = (("offset", str(first)), ("length", str(size)), _OFFLINE)
        request = Request("cat", (str(root),), options)
        done = 0
        with _Receiver(lambda: self._rpc.plain(request, limit=size, piece=unixfs.CHUNK), leaves) as receiver:
            for leaf in receiver.leaves():
                done += 1
                yield leaf
        # Which leaf is missing or damaged, only a request for it tells; if none is, the connection broke.
        for cid, leaf_size in leaves[done:]:
            leaf = self.get_block(cid)
            if len(leaf) != leaf_size:
                raise IntegrityError(f"leaf {cid} has {len(leaf)} bytes, its node states {leaf_size}")
            yield leaf

    def _size(self, cid: CID) -> int | None:
        """Return the bytes of a block, or None when the node doesn't have it."""
        try:
            with self._refusals(f"can't tell of block {cid}"):
                answers = self._rpc.values(Request("block/stat", (str(cid),), (_OFFLINE,)))
        except BlockNotFoundError:
            return None
        size = answers[0].get("Size") if answers else None
        if not isinstance(size, int):
            raise IntegrityError(f"the {self.name} doesn't tell the size of block {cid}")
        return size

    def _remove(self, cids: list[CID]) -> None:
        # Kubo keeps blocks by multihash and pins by CID. Under another codec a block is removed although it is pinned,
        # which is what was asked for. While a pin can't be walked, the node removes nothing at all.
        names = tuple(str(CID(RAW if cid.codec == DAG_PB else DAG_PB, cid.digest)) for cid in cids)
        with self._refusals("can't remove blocks"):
            answers = self._rpc.values(Request("block/rm", names, (("force", "true"),), patient=True))
        failures = [str(answer["Error"]) for answer in answers if answer.get("Error")]
        if failures or {answer.get("Hash") for answer in answers} != set(names):
            reason = failures[0][:200] if failures else "it names others"
            raise StoreUnavailableError(f"the {self.name} didn't remove all of {len(names)} blocks: {reason}")

    def _pin_keys(self) -> Iterator[str]:
        with self._refusals("can't list its pins"):
            yield from self._control.pins(limit=_LISTING)

    def _foreign(self) -> bool:
        """Tell whether the node keeps anything that isn't PanaChain's."""
        if any(_ours(key) is None and key != _folder_v0() for key in self._pin_keys()):
            return True
        with self._refusals("can't tell of its files"):
            answers = self._rpc.values(Request("files/stat", ("/",), patient=True))
        folder = answers[0].get("Hash") if answers else None
        if not isinstance(folder, str):
            raise IntegrityError(f"the {self.name} doesn't tell of its files")
        return folder not in (_folder_v0(), str(_EMPTY_FOLDER))

    @contextmanager
    def _refusals(self, what: str) -> Iterator[None]:
        try:
            yield
        except Refused as exc:
            raise self._refused(what, exc) from exc

    def _refused(self, what: str, refusal: Refused) -> PanaChainError:
        message = f"the {self.name} {what}: {refusal.message or f'HTTP status {refusal.status}'}"
        # A path that isn't there is 404 and "not found" as well.
        if refusal.status == 500 and ("not found" in refusal.message or "could not find" in refusal.message):
            return BlockNotFoundError(message)
        return StoreUnavailableError(message)


class _Receiver:
    """A part of a file on its way: one thread receives, others hash, and the reader takes leaves in order."""

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Iterator[bytes]]],
        leaves: list[tuple[CID, int | None]],
    ) -> None:
        self._connect = connect
        self._leaves = leaves
        self._checked: Queue[Future[bytes] | None] = Queue()
        self._room = threading.Semaphore(AHEAD)
        self._stopped = False
        self._pool = ThreadPoolExecutor(1 + _HASHERS, thread_name_prefix="kubo-read")
        self._receiving = self._pool.submit(self._receive)

    def __enter__(self) -> _Receiver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        self._room.release()
        # A reader who stops isn't kept waiting: requests under way end by themselves, within their time.
        self._pool.shutdown(wait=False)

    def leaves(self) -> Iterator[bytes]:
        """Yield leaves, each checked against its CID, up to the first one that didn't come or doesn't fit."""
        while (checking := self._checked.get()) is not None:
            try:
                leaf = checking.result()
            except IntegrityError:
                return
            self._room.release()
            yield leaf
        self._receiving.result()

    def _receive(self) -> None:
        try:
            with self._connect() as stream:
                for cid, size in self._leaves:
                    self._room.acquire()
                    # A piece of the answer is a leaf: only the last one may be shorter.
                    leaf = next(stream, b"")
                    if self._stopped or len(leaf) != size:
                        return
                    self._checked.put(self._pool.submit(cid.check, leaf, "node"))
        except (Refused, StoreUnavailableError, IntegrityError):
            # The reader asks for the leaf that didn't come, and is told.
            return
        finally:
            self._checked.put(None)


class _Importer:
    """Blocks on their way to the node: one CAR is sent while the next one is gathered."""

    def __init__(self, send: Callable[[list[tuple[CID, bytes]]], None]) -> None:
        self._send = send
        self._held: list[tuple[CID, bytes]] = []
        self._size = 0
        self._pool: ThreadPoolExecutor | None = None
        self._under_way: Future[None] | None = None

    def __enter__(self) -> _Importer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            if self._pool is not None:
                self._pool.shutdown(wait=True)

    def put(self, cid: CID, data: bytes) -> None:
        """Take one block, whose CID was checked or computed by the caller."""
        self._held.append((cid, data))
        self._size += len(data)
        if self._size >= PIECE or len(self._held) >= PIECE_BLOCKS:
            self._hand_on()

    def _hand_on(self) -> None:
        self._wait()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="kubo-send")
        self._under_way = self._pool.submit(self._send, self._held)
        self._held, self._size = [], 0

    def _wait(self) -> None:
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None

    def _finish(self) -> None:
        if self._held and self._pool is None:
            # What fits into one CAR needs no thread.
            self._send(self._held)
            return
        if self._held:
            self._hand_on()
        self._wait()


def _car_pieces(blocks: list[tuple[CID, bytes]]) -> tuple[bytes, ...]:
    """Return a CAR in pieces: small blocks are joined, large ones stay as they are."""
    pieces: list[bytes] = []
    joined = bytearray(car.header([]))
    for cid, data in blocks:
        joined += car.section_head(cid, data)
        if len(data) < _COALESCED:
            joined += data
            if len(joined) < _COALESCED:
                continue
        pieces.append(bytes(joined))
        joined.clear()
        if len(data) >= _COALESCED:
            pieces.append(data)
    if joined:
        pieces.append(bytes(joined))
    return tuple(pieces)


def _ours(text: object) -> CID | None:
    """Return the CID that a node names, or None when it isn't one that PanaChain makes."""
    try:
        return CID.parse(str(text))
    except UsageError:
        return None


def _folder_v0() -> str:
    # The empty folder's name in version 0: base58 of its multihash.
    return "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"
