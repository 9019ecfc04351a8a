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
from panachain.records import manifest
from panachain.storage.embedded import EmbeddedStore

HOSPITAL = Address("0x" + "11" * 20)


def entries(count: int) -> dict[bytes, CID]:
    return {os.urandom(16): CID.of(RAW, i.to_bytes(4, "big")) for i in range(count)}


@pytest.mark.parametrize("count", [1, 2, 1024, 1025, 5000])
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


def test_a_leaf_out_of_its_bounds_is_refused(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "blocks")
    low, high = b"\x10" * 16, b"\x90" * 16

    def put(node: dict[str, object]) -> CID:
        data = dagcbor.encode(node)
        store.put_block(CID.of(DAG_CBOR, data), data)
        return CID.of(DAG_CBOR, data)

    leaf_low = put({"keys": low, "headers": bytes(32)})
    stray = put({"keys": b"\xa0" * 16, "headers": bytes(32)})
    inner = put({"bounds": [low, high], "links": [leaf_low, stray]})
    fields = {"v": 1, "hospital": bytes(20), "sequence": 1, "previous": None, "count": 2}
    found = manifest.Manifest(store, put({**fields, "node": inner}))
    assert found.lookup(low) is not None
    with pytest.raises(IntegrityError, match="bounds"):
        found.lookup(high)


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


@pytest.mark.parametrize("count", [1, 1024, 3000])
def test_a_proof_needs_no_store_and_fits_its_key_only(count: int, tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "blocks")
    rows = entries(count)
    root, blocks = manifest.build(rows, hospital=HOSPITAL, sequence=1, previous=None)
    store.put_blocks(blocks)
    present, absent = sorted(rows)[count // 2], os.urandom(16)
    assert manifest.Proof(manifest.prove(store, root, present).blocks).check(root, present) == rows[present]
    assert manifest.Proof(manifest.prove(store, root, absent).blocks).check(root, absent) is None


def test_a_proof_that_was_changed_or_cut_proves_nothing(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "blocks")
    rows = entries(3000)
    root, blocks = manifest.build(rows, hospital=HOSPITAL, sequence=1, previous=None)
    store.put_blocks(blocks)
    key = sorted(rows)[1500]
    proof = manifest.prove(store, root, key).blocks
    for position in range(len(proof)):
        cut = [block for i, block in enumerate(proof) if i != position]
        changed = [block[:-1] + bytes([block[-1] ^ 1]) if i == position else block for i, block in enumerate(proof)]
        for bad in (cut, changed):
            with pytest.raises(IntegrityError):
                manifest.Proof(bad).check(root, key)
    with pytest.raises(IntegrityError, match="none of a manifest"):
        manifest.Proof([b""] * 20)


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
