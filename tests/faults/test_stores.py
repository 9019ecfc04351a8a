"""Stores whose nodes are down, slow, cut off or lying: a typed error in bounded time, and never a wrong byte."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.anvil import free_port
from panachain.errors import (
    BlockNotFoundError,
    ConfigurationError,
    IntegrityError,
    PanaChainError,
    StoreUnavailableError,
)
from panachain.ipld import car, unixfs
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.storage import kubo
from panachain.storage.embedded import EmbeddedStore
from panachain.storage.kubo import KuboStore
from panachain.storage.kubo_rpc import KuboRpc, Request
from panachain.storage.replicated import ReplicatedStore
from tests.faults import kubo_twin
from tests.faults.kubo_twin import Exchange, Fault, KuboTwin

SILENCE = 0.2
"""Seconds of silence that a store bears whose node is spoiled."""
CORRUPTIONS = 1000
SMALL = os.urandom(900)
NODE = b"\xa1aa\x01"


@pytest.fixture
def twin() -> Iterator[KuboTwin]:
    with kubo_twin.running(KuboTwin()) as twin:
        yield twin


@pytest.fixture
def small_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make leaves small, so that a file of many ranges costs little."""
    monkeypatch.setattr(unixfs, "CHUNK", 2048)


def connect(twin: KuboTwin, **options: Any) -> KuboStore:
    settings = {"timeout": 20.0, "pin_timeout": 1.0, "tries": 3, "pause": 0.01, "probe": False}
    return KuboStore(twin.api, **settings | options)


def a_file(store: KuboStore, leaves: int = 40) -> tuple[CID, bytes]:
    data = os.urandom(unixfs.CHUNK * leaves - 7)
    return store.add_file(data[start : start + unixfs.CHUNK] for start in range(0, len(data), unixfs.CHUNK)), data


FAULTS: list[Fault] = [
    kubo_twin.closes,
    kubo_twin.hangs,
    kubo_twin.hangs_inside,
    kubo_twin.trickles,
    kubo_twin.truncates,
    kubo_twin.cuts_the_head,
    kubo_twin.endless,
    kubo_twin.endless_without_chunks,
    kubo_twin.endless_head,
    kubo_twin.speaks_no_http,
    kubo_twin.answers(500),
    kubo_twin.answers(503),
    kubo_twin.answers(200, b"[" * 100_000),
    kubo_twin.answers(200, b"{}"),
    kubo_twin.answers(200, b'{"Message": "late", "Type": "error"}'),
    kubo_twin.answers(404, b"404 page not found"),
]
NAMES = [
    *("closes", "hangs", "hangs inside", "trickles", "truncates", "cuts the head", "endless", "endless, no chunks"),
    *("endless head", "no HTTP", "500", "503", "no JSON", "empty object", "late failure", "404"),
]

OPERATIONS: dict[str, Callable[[KuboStore, CID], object]] = {
    "connect": lambda store, root: KuboStore(store.name.removeprefix("Kubo node "), timeout=SILENCE, pause=0.01),
    "put_block": lambda store, root: store.put_block(CID.of(RAW, SMALL), SMALL),
    "put_blocks": lambda store, root: store.put_blocks([(CID.of(RAW, SMALL), SMALL)] * 3),
    "add_file": lambda store, root: store.add_file([SMALL]),
    "get_block": lambda store, root: store.get_block(CID.of(DAG_CBOR, NODE)),
    "read_file": lambda store, root: b"".join(store.read_file(root)),
    "has_block": lambda store, root: store.has_block(CID.of(DAG_CBOR, NODE)),
    "pin": lambda store, root: store.pin(root),
    "unpin": lambda store, root: store.unpin(root),
    "pins": lambda store, root: list(store.pins()),
    "blocks": lambda store, root: list(store.blocks()),
    "sizes": lambda store, root: list(store.sizes()),
    "totals": lambda store, root: store.totals(),
    "facts": lambda store, root: store.facts(),
    "delete_block": lambda store, root: store.delete_block(CID.of(RAW, SMALL)),
    "delete_blocks": lambda store, root: store.delete_blocks([CID.of(RAW, SMALL)]),
}


@pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
def test_every_fault_ends_in_a_typed_error_in_bounded_time(
    twin: KuboTwin, small_leaves: None, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    # An endless list is cut off where no real one ends; the test needn't wait for sixteen gigabytes.
    monkeypatch.setattr(kubo, "_LISTING", 1 << 20)
    store = connect(twin)
    root, content = a_file(store)
    store.put_block(CID.of(DAG_CBOR, NODE), NODE)
    store.pin(root)
    twin.spoil(fault)

    def outcome(operation: str) -> object:
        try:
            return OPERATIONS[operation](connect(twin, timeout=SILENCE), root)
        except (StoreUnavailableError, IntegrityError):
            return "typed error"

    with ThreadPoolExecutor(len(OPERATIONS)) as pool:
        outcomes = dict(zip(OPERATIONS, pool.map(outcome, OPERATIONS), strict=True))

    assert outcomes == dict.fromkeys(OPERATIONS, "typed error")
    # Each of them gave up by itself: none waited until the node did.
    assert twin.outlasted == 0
    # Nothing of the store is spoiled: once the node answers, so does the store.
    twin.heal()
    assert store.get_block(CID.of(DAG_CBOR, NODE)) == NODE
    assert b"".join(store.read_file(root)) == content


def test_absent_node_is_unavailable_after_its_tries() -> None:
    with pytest.raises(StoreUnavailableError, match="doesn't answer"):
        KuboStore(f"/ip4/127.0.0.1/tcp/{free_port()}", probe=False, pause=0.01).get_block(CID.of(RAW, b""))


@pytest.mark.parametrize(
    "fault",
    [kubo_twin.closes, kubo_twin.truncates, kubo_twin.cuts_the_head, kubo_twin.answers(503)],
    ids=["closes", "truncates", "cuts the head", "503"],
)
@pytest.mark.parametrize("operation", ["put_block", "put_blocks", "get_block", "has_block", "pin"])
def test_broken_connections_are_tried_again(twin: KuboTwin, small_leaves: None, fault: Fault, operation: str) -> None:
    store = connect(twin)
    root, _ = a_file(store)
    store.put_block(CID.of(DAG_CBOR, NODE), NODE)
    twin.spoil(fault, times=2)
    OPERATIONS[operation](store, root)


def test_connections_that_the_node_closed_meanwhile_are_replaced(twin: KuboTwin) -> None:
    store = connect(twin, tries=2)
    store.put_block(CID.of(RAW, SMALL), SMALL)
    # Every answer is whole, and the connection is closed behind it.
    twin.spoil(lambda exchange: exchange.send(exchange.raw))
    for _ in range(5):
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda _: store.get_block(CID.of(RAW, SMALL)), range(4))) == [SMALL] * 4


@pytest.mark.parametrize("fault", [kubo_twin.answers(500), kubo_twin.hangs], ids=["500", "hangs"])
def test_answers_and_silence_are_not_tried_again(twin: KuboTwin, fault: Fault) -> None:
    store = connect(twin, timeout=SILENCE)
    twin.spoil(fault)
    with pytest.raises(StoreUnavailableError):
        store.get_block(CID.of(RAW, SMALL))
    assert twin.requests == ["block/get"]


def test_a_failure_behind_the_body_counts(twin: KuboTwin) -> None:
    store = connect(twin)
    store.put_blocks([(CID.of(RAW, SMALL), SMALL)])
    twin.spoil(kubo_twin.fails_behind_the_body)
    # A list that ended early must not look like a short one: what it leaves out would count as garbage.
    for list_of in (store.blocks, store.pins):
        with pytest.raises(StoreUnavailableError, match="the disk is broken"):
            list(list_of())


def test_a_missing_block_is_not_found_and_other_refusals_are_not(twin: KuboTwin) -> None:
    store = connect(twin)
    with pytest.raises(BlockNotFoundError):
        store.get_block(CID.of(RAW, SMALL))
    assert not store.has_block(CID.of(RAW, SMALL))
    twin.spoil(kubo_twin.answers(500))
    with pytest.raises(StoreUnavailableError, match="something broke") as caught:
        store.get_block(CID.of(RAW, SMALL))
    assert not isinstance(caught.value, BlockNotFoundError)


def test_a_node_that_takes_fewer_blocks_than_were_sent_is_found_out(
    twin: KuboTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_dag_import(*_: object) -> bytes:
        return kubo_twin.lines({"Stats": {"BlockCount": 1, "BlockBytesCount": 900}})

    monkeypatch.setattr(twin, "on_dag_import", on_dag_import, raising=False)
    with pytest.raises(IntegrityError, match="2 of 1800 were sent"):
        connect(twin).put_blocks([(CID.of(RAW, data), data) for data in (SMALL, SMALL[::-1])])


def test_a_node_that_stores_a_block_under_another_cid_is_found_out(
    twin: KuboTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twin, "on_block_put", lambda *_: kubo_twin.lines({"Key": "bafkqaaa"}), raising=False)
    with pytest.raises(IntegrityError, match="bafkqaaa"):
        connect(twin).put_block(CID.of(RAW, SMALL), SMALL)


def test_a_node_with_pins_of_others_is_not_swept(twin: KuboTwin) -> None:
    store = connect(twin)
    store.put_block(CID.of(RAW, SMALL), SMALL)
    twin.foreign_pins.add("QmQPeNsJPyVWPFDVHb77w8G42Fvo15z4bG2X8D2GhfbSXc")
    with pytest.raises(PanaChainError, match="isn't PanaChain's"):
        store.delete_blocks([CID.of(RAW, SMALL)])
    assert store.has_block(CID.of(RAW, SMALL))


def corrupted(raw: bytes, head_size: int, chance: random.Random) -> bytes:
    """Return an answer with one of the things wrong that disks, proxies and liars do to answers."""
    data = bytearray(raw)
    body = range(head_size, len(data)) if len(data) > head_size else range(len(data))
    where = chance.choice(body) if chance.random() < 0.8 else chance.randrange(len(data))
    span = chance.randint(1, 64)
    kind = chance.randrange(7)
    if kind == 0:
        data[where] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del data[where : where + span]
    elif kind == 2:
        data[where:where] = chance.randbytes(span)
    elif kind == 3:
        data[where:where] = data[where : where + span]
    elif kind == 4:
        del data[where:]
    elif kind == 5:
        data[where : where + span] = bytes(span)
    else:
        # True chunks, false content.
        content = chance.randbytes(chance.randint(0, 3000))
        data[head_size:] = kubo_twin.chunked(content) if b"chunked" in raw[:head_size] else content
    return bytes(data)


def test_a_thousand_corruptions_give_no_wrong_byte(twin: KuboTwin, small_leaves: None) -> None:
    seed = int(os.environ.get("PANACHAIN_FUZZ_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    store = connect(twin, tries=1)
    root, content = a_file(store)
    blocks = [(CID.of(RAW, data), data) for data in (chance.randbytes(chance.randint(0, 9000)) for _ in range(20))]
    store.put_blocks(blocks)
    spoiled = errors = wrong = 0

    def fault(exchange: Exchange) -> None:
        nonlocal spoiled
        spoiled += 1
        exchange.send(corrupted(exchange.raw, exchange.head_size, chance))

    twin.spoil(fault)
    while spoiled < CORRUPTIONS:
        # A file takes three requests and more; blocks make up most of what is read.
        cid, data = (root, content) if chance.random() < 0.1 else chance.choice(blocks)
        try:
            found = b"".join(store.read_file(cid)) if cid == root else store.get_block(cid)
        except PanaChainError:
            errors += 1
            continue
        wrong += found != data
    assert wrong == 0
    # A corruption of what nobody looks at, such as the reason phrase, does no harm; most of them must be noticed.
    assert errors > CORRUPTIONS / 4


def test_a_range_that_breaks_is_read_leaf_by_leaf(twin: KuboTwin, small_leaves: None) -> None:
    store = connect(twin)
    root, content = a_file(store)
    good = twin.answer

    def lying_cat(path: str, query: dict[str, list[str]], body: bytes) -> bytes:
        answer = good(path, query, body)
        return answer[:5000] + bytes(100) + answer[5100:] if path == "cat" else answer

    twin.answer = lying_cat  # type: ignore[method-assign]
    assert b"".join(store.read_file(root)) == content
    assert twin.requests.count("block/get") > 1


def test_a_file_that_is_left_half_read_leaves_nothing_behind(twin: KuboTwin, small_leaves: None) -> None:
    store = connect(twin)
    root, content = a_file(store)
    reader = store.read_file(root)
    assert next(reader) == content[: unixfs.CHUNK]
    reader.close()  # type: ignore[attr-defined]
    assert b"".join(store.read_file(root)) == content


def test_a_message_of_a_node_is_cut_to_a_readable_size(twin: KuboTwin) -> None:
    store = connect(twin)
    twin.spoil(kubo_twin.answers(500, b'{"Message": "' + b"x" * 100_000 + b'"}'))
    with pytest.raises(StoreUnavailableError) as caught:
        store.get_block(CID.of(RAW, SMALL))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("chunked", [True, False])
def test_an_answer_larger_than_any_block_is_cut_off(twin: KuboTwin, chunked: bool) -> None:
    content = bytes(car.MAX_BLOCK + 1)
    head = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(content)}"
    body = kubo_twin.chunked(content) if chunked else content
    twin.spoil(lambda exchange: exchange.send(f"HTTP/1.1 200 X\r\n{head}\r\n\r\n".encode() + body))
    with pytest.raises(IntegrityError, match="has more than 2097152 bytes"):
        connect(twin).get_block(CID.of(RAW, SMALL))


def test_the_rpc_asks_what_the_path_says(twin: KuboTwin) -> None:
    port = twin.api.rpartition("/")[2]
    rpc = KuboRpc(f"http://127.0.0.1:{port}/api/v0/", name="twin", timeout=5, tries=1, pause=0)
    assert rpc.values(Request("version")) == [{"Version": "0.43.1"}]
    rpc.close()


def test_a_socket_in_the_file_system_serves_as_well(tmp_path: Path, small_leaves: None) -> None:
    with kubo_twin.running(KuboTwin(), tmp_path / "api.sock") as twin:
        store = connect(twin, probe=True)
        root, content = a_file(store)
        assert b"".join(store.read_file(root)) == content
        store.close()


@pytest.mark.parametrize(
    "api",
    ["", "127.0.0.1:5001", "http://127.0.0.1:5001", "/ip4/127.0.0.1", "/ip4/1.2.3.4/udp/5", "/ip4/x/tcp/1", "/p2p/a"],
)
def test_an_address_that_is_none_is_a_setting_gone_wrong(api: str) -> None:
    with pytest.raises(ConfigurationError, match="no multiaddress"):
        KuboStore(api)


class TestReplicated:
    """Two nodes, one of which is spoiled."""

    @pytest.fixture
    def other(self) -> Iterator[KuboTwin]:
        with kubo_twin.running(KuboTwin()) as twin:
            yield twin

    @pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
    def test_reads_come_from_the_node_that_is_well(
        self, twin: KuboTwin, other: KuboTwin, small_leaves: None, fault: Fault
    ) -> None:
        content = os.urandom(50_000)
        leaves = [content[at : at + unixfs.CHUNK] for at in range(0, len(content), unixfs.CHUNK)]
        root = ReplicatedStore([connect(twin), connect(other)], 2).add_file(leaves)
        twin.spoil(fault)
        store = ReplicatedStore([connect(twin, timeout=SILENCE), connect(other)], 2)
        assert store.get_block(root) == connect(other).get_block(root)
        assert b"".join(store.read_file(root)) == content
        assert twin.outlasted == 0

    @pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
    def test_writes_count_only_on_enough_nodes(
        self, twin: KuboTwin, other: KuboTwin, caplog: pytest.LogCaptureFixture, fault: Fault
    ) -> None:
        twin.spoil(fault)
        block = CID.of(RAW, SMALL)
        strict = ReplicatedStore([connect(twin, timeout=SILENCE), connect(other)], 2)
        with pytest.raises(StoreUnavailableError, match=r"1 of 2 nodes could .*, 2 are needed: node 1 \(Kubo node"):
            strict.put_blocks([(block, SMALL)])
        with caplog.at_level(logging.WARNING):
            ReplicatedStore([connect(twin, timeout=SILENCE), connect(other)], 1).put_blocks([(block, SMALL)])
        assert "node 1" in caplog.text
        assert other.blocks[block.digest] == SMALL

    def test_corruptions_of_one_node_are_never_seen(
        self, twin: KuboTwin, other: KuboTwin, small_leaves: None, caplog: pytest.LogCaptureFixture
    ) -> None:
        chance = random.Random(7)
        store = ReplicatedStore([connect(twin, tries=1), connect(other)], 2)
        content = os.urandom(30_000)
        root = store.add_file(content[at : at + unixfs.CHUNK] for at in range(0, len(content), unixfs.CHUNK))
        twin.spoil(lambda exchange: exchange.send(corrupted(exchange.raw, exchange.head_size, chance)))
        with caplog.at_level(logging.WARNING):
            for _ in range(50):
                assert b"".join(store.read_file(root)) == content
        # Named once, not fifty times.
        assert caplog.text.count("gives false bytes") == 1

    def test_a_node_that_lost_everything_is_healed(
        self, twin: KuboTwin, other: KuboTwin, small_leaves: None, tmp_path: Path
    ) -> None:
        store = ReplicatedStore([connect(twin), connect(other), EmbeddedStore(tmp_path / "third")], 2)
        content = os.urandom(60_000)
        root = store.add_file(content[at : at + unixfs.CHUNK] for at in range(0, len(content), unixfs.CHUNK))
        store.pin(root)
        whole = dict(other.blocks)
        other.blocks.clear()
        other.pinned.clear()
        damaged = next(iter(twin.blocks))
        twin.blocks[damaged] = bytes([twin.blocks[damaged][0] ^ 1]) + twin.blocks[damaged][1:]

        report = store.repair([root])

        assert report.whole
        assert [node.healed for node in report.nodes] == [1, len(whole), 0]
        assert twin.blocks == other.blocks == whole
        assert other.pinned == {str(root)}
