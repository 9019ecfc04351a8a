"""Manifests: presence, absence, determinism, and what a lying store can't do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panachain.errors import IntegrityError, UsageError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.actors import Address
from panachain.records import manifest, tree_hash
from panachain.storage.embedded import EmbeddedStore

HOSPITAL = Address("0x" + "11" * 20)


def entries(count: int) -> dict[bytes, CID]:
    return {os.urandom(16): CID.of(RAW, i.to_bytes(4, "big")) for i in range(count)}


@pytest.mark.parametrize("count", [1, 2, 2048, 2049, 5000])
def test_every_key_is_found_and_no_other(count: int, tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "blocks")
    rows = entries(count)
    root, blocks = manifest.build(rows, hospital=HOSPITAL, sequence=1, previous=None)
    store.put_blocks(blocks)
    found = manifest.Manifest(store, root)
    assert (found.hospital, found.sequence, found.previous, found.count) == (HOSPITAL, 1, None, count)
    assert all(found.lookup(key) == cid for key, cid in rows.items())
    strangers = [bytes(16), b"\xff" * 16, *(os.urandom(16) for _ in range(200))]
    assert all(found.lookup(key) is None for key in strangers if key not in rows)


def test_order_of_the_entries_does_not_matter() -> None:
    rows = entries(2000)
    backwards = dict(reversed(list(rows.items())))
    build = [manifest.build(r, hospital=HOSPITAL, sequence=1, previous=None) for r in (rows, backwards)]
    assert build[0] == build[1]


def test_a_known_manifest_has_a_known_cid() -> None:
    rows = {i.to_bytes(16, "big"): CID.of(RAW, i.to_bytes(4, "big")) for i in range(3)}
    root, blocks = manifest.build(rows, hospital=HOSPITAL, sequence=7, previous=None)
    leaf = {"keys": b"".join(rows), "headers": b"".join(cid.digest for cid in rows.values())}
    assert blocks[0] == (CID.of(DAG_CBOR, dagcbor.encode(leaf)), dagcbor.encode(leaf))
    assert root == blocks[1][0]


def test_nothing_but_keys_of_sixteen_bytes_and_headers_is_taken() -> None:
    for bad in ({}, {b"short": CID.of(RAW, b"")}, {bytes(16): CID.of(DAG_CBOR, b"")}):
        with pytest.raises(UsageError):
            manifest.build(bad, hospital=HOSPITAL, sequence=1, previous=None)


class Forged:
    """A manifest whose nodes are a test's."""

    def __init__(self, folder: Path) -> None:
        self.store = EmbeddedStore(folder / "blocks")

    def put(self, node: dict[str, object]) -> CID:
        data = dagcbor.encode(node)
        self.store.put_block(CID.of(DAG_CBOR, data), data)
        return CID.of(DAG_CBOR, data)

    def leaf(self, keys: list[bytes]) -> tuple[CID, bytes]:
        hashes = [tree_hash.row_hash(key + bytes(32)) for key in keys]
        return self.put({"keys": b"".join(keys), "headers": bytes(32 * len(keys))}), tree_hash.combined(hashes)

    def inner(self, bounds: list[bytes], children: list[tuple[CID, bytes]]) -> tuple[CID, bytes]:
        hashes = [one for _, one in children]
        node = {"bounds": bounds, "links": [cid for cid, _ in children], "hashes": b"".join(hashes)}
        return self.put(node), tree_hash.combined(hashes)

    def opened(self, top: tuple[CID, bytes], rows: int, **lies: object) -> manifest.Manifest:
        fields = {"v": 2, "hospital": bytes(20), "from": 1, "sequence": 1, "previous": None, "count": rows}
        return manifest.Manifest(self.store, self.put(fields | {"tree": top[1], "node": top[0]} | lies))


LOW = [bytes([1, *divmod(number, 256)]) + bytes(13) for number in range(2048)]


def test_a_leaf_out_of_its_bounds_is_refused(tmp_path: Path) -> None:
    forged = Forged(tmp_path)
    stray = forged.leaf([b"\xa0" * 16])
    found = forged.opened(forged.inner([LOW[0], b"\x90" * 16], [forged.leaf(LOW), stray]), 2049)
    assert found.lookup(LOW[5]) is not None
    with pytest.raises(IntegrityError, match="bounds"):
        found.lookup(b"\x90" * 16)


def test_a_leaf_that_is_not_what_the_tree_says_is_refused(tmp_path: Path) -> None:
    forged = Forged(tmp_path)
    high = [b"\x90" * 16]
    for told in (bytes(32), forged.leaf([b"\x91" * 16])[1]):
        found = forged.opened(forged.inner([LOW[0], *high], [forged.leaf(LOW), (forged.leaf(high)[0], told)]), 2049)
        assert found.lookup(LOW[5]) is not None
        with pytest.raises(IntegrityError, match="tree hash"):
            found.lookup(high[0])
    top = forged.inner([LOW[0], *high], [forged.leaf(LOW), forged.leaf(high)])
    with pytest.raises(IntegrityError, match="tree hash"):
        forged.opened(top, 1025, tree=bytes(32)).lookup(high[0])


def _keys(count: int) -> list[bytes]:
    return [number.to_bytes(16, "big") for number in range(count)]


NODE = CID.of(DAG_CBOR, b"a node")


def _leaf(count: int = 3, **lies: object) -> dict[str, object]:
    return {"keys": b"".join(_keys(count)), "headers": bytes(32 * count)} | lies


def _inner(count: int = 3, **lies: object) -> dict[str, object]:
    return {"bounds": _keys(count), "links": [NODE] * count, "hashes": bytes(32 * count)} | lies


@pytest.mark.parametrize(
    "node",
    [
        *(_leaf(one) for one in (0, manifest.LEAF_ROWS + 1)),
        *(_leaf(keys=one) for one in (None, ["a"], bytes(47), bytes(48), b"".join(_keys(4)), b"".join(_keys(3)[::-1]))),
        *(_leaf(headers=one) for one in (None, [], bytes(95), bytes(97), bytes(128))),
        *(_inner(one) for one in (0, manifest.FANOUT + 1)),
        *(_inner(bounds=one) for one in (None, b"", _keys(2), _keys(4), _keys(3)[::-1], [_keys(1)[0]] * 3)),
        *(_inner(bounds=[*_keys(2), one]) for one in (None, 7, b"\xff" * 15, b"\xff" * 17, "text")),
        *(_inner(links=one) for one in (None, b"", [NODE] * 2, [NODE, NODE, None], [NODE, NODE, CID.of(RAW, b"a")])),
        *(_inner(hashes=one) for one in (None, [], bytes(64), bytes(95), bytes(97), bytes(128))),
        *({**_leaf(), "more": 1}, {**_inner(), **_leaf()}, {"keys": b""}, {}, [], None),
    ],
    ids=lambda node: str(node)[:40],
)
def test_a_node_of_another_form_is_refused(node: object) -> None:
    with pytest.raises(IntegrityError, match="manifest"):
        manifest._parse_node(NODE, dagcbor.encode(node))


def test_rows_of_a_tree_of_many_levels_are_found_by_key_and_by_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes of two make four levels of sixteen rows; real ones would need millions."""
    monkeypatch.setattr(manifest, "LEAF_ROWS", 2)
    monkeypatch.setattr(manifest, "FANOUT", 2)
    store = EmbeddedStore(tmp_path / "blocks")
    for count in range(1, 17):
        rows = entries(count)
        root, blocks = manifest.build(rows, hospital=HOSPITAL, sequence=1, previous=None)
        store.put_blocks(blocks)
        found = manifest.Manifest(store, root)
        for index, key in enumerate(sorted(rows)):
            row = found.row(index)
            assert (found.lookup(key), found.place(key).index, row.index, row.key) == (rows[key], index, index, key)
            hashed = tree_hash.row_hash(key + row.header)
            tree_hash.check_path(found.tree, count=count, index=index, hashed=hashed, path=row.path)
        for beyond in (-1, count, count + 1):
            with pytest.raises(IntegrityError, match=f"has {count} rows, so none is number {beyond}"):
                found.row(beyond)


def test_a_full_node_is_one_and_says_what_is_below_it() -> None:
    leaf = manifest._parse_node(NODE, dagcbor.encode(_leaf(manifest.LEAF_ROWS)))
    inner = manifest._parse_node(NODE, dagcbor.encode(_inner(manifest.FANOUT)))
    assert leaf.span == (_keys(1)[0], _keys(manifest.LEAF_ROWS)[-1])
    assert inner.span == (_keys(1)[0], _keys(manifest.FANOUT)[-1])


@pytest.mark.parametrize("first", [1, 2047])
def test_leaves_that_are_not_full_are_refused(tmp_path: Path, first: int) -> None:
    forged = Forged(tmp_path)
    children = [forged.leaf(LOW[:first]), forged.leaf(LOW[first:])]
    found = forged.opened(forged.inner([LOW[0], LOW[first]], children), 2049)
    with pytest.raises(IntegrityError):
        found.lookup(LOW[0])
    # Nor may there be more or less than the count says.
    for count in (1, 2048, 4097, 2048 * 1024 + 1):
        with pytest.raises(IntegrityError):
            forged.opened(forged.inner([LOW[0]], [forged.leaf(LOW)]), count).lookup(LOW[0])


@pytest.mark.parametrize(
    "lies",
    [
        *({"from": 0}, {"from": 2}, {"from": True}, {"sequence": 0}, {"count": 0}, {"count": -1}, {"count": 1 << 60}),
        *({"tree": b""}, {"tree": None}, {"node": None}, {"v": 1}, {"previous": 1}),
    ],
)
def test_a_root_that_no_manifest_has_is_refused(tmp_path: Path, lies: dict[str, object]) -> None:
    forged = Forged(tmp_path)
    assert forged.opened(forged.leaf(LOW), 2048).lookup(LOW[7]) is not None
    with pytest.raises(IntegrityError):
        forged.opened(forged.leaf(LOW), 2048, **lies)


def test_it_says_for_which_storage_transactions_it_stands(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "blocks")
    for first, expected in ((None, 8), (1, 1)):
        root, blocks = manifest.build(entries(3), hospital=HOSPITAL, sequence=8, previous=None, first=first)
        store.put_blocks(blocks)
        found = manifest.Manifest(store, root)
        assert (found.first, found.sequence) == (expected, 8)


@settings(max_examples=200)
@given(data=st.binary(max_size=300))
def test_decoder_is_total(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    class OneBlock:
        def get_block(self, cid: CID) -> bytes:
            return data

    with pytest.raises(IntegrityError):
        manifest.Manifest(OneBlock(), CID.of(DAG_CBOR, data))  # type: ignore[arg-type]


def test_rows_are_those_that_went_in(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "blocks")
    rows = entries(3000)
    root, blocks = manifest.build(rows, hospital=HOSPITAL, sequence=1, previous=None)
    store.put_blocks(blocks)
    assert list(manifest.Manifest(store, root).rows()) == sorted(rows.items())


def test_a_root_that_states_too_many_rows_is_refused(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "blocks")
    _, blocks = manifest.build(entries(3), hospital=HOSPITAL, sequence=1, previous=None)
    fields = dagcbor.decode(blocks[-1][1]) | {"count": 4}
    lie = dagcbor.encode(fields)
    store.put_blocks([*blocks, (CID.of(DAG_CBOR, lie), lie)])
    with pytest.raises(IntegrityError, match="states 4 rows and has 3"):
        list(manifest.Manifest(store, CID.of(DAG_CBOR, lie)).rows())


def test_the_vectors_are_up_to_date() -> None:
    from tests.vectors.manifest import make

    path = Path(make.__file__).with_name("manifest.json")
    assert json.loads(path.read_text()) == make.vectors(), "python tests/vectors/manifest/make.py makes it anew"
