"""Proofs of one manifest: checked without its nodes, for the key that they are about and for no other."""

from __future__ import annotations

import os
from dataclasses import replace
from hashlib import sha256

import pymerkle
import pytest

from panachain.errors import IntegrityError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.actors import Address
from panachain.records import manifest, tree_hash
from panachain.records.manifest import ProvenRow
from panachain.records.manifest_proof import ManifestProof, prove

HOSPITAL = Address("0x" + "11" * 20)


class Blocks(dict[CID, bytes]):
    """A store in memory."""

    def get_block(self, cid: CID) -> bytes:
        return self[cid]


def made(count: int) -> tuple[dict[bytes, CID], CID, Blocks]:
    rows = {os.urandom(16): CID.of(RAW, number.to_bytes(4, "big")) for number in range(count)}
    root, blocks = manifest.build(rows, hospital=HOSPITAL, sequence=1, previous=None)
    return rows, root, Blocks(blocks)


def beside(key: bytes, step: int) -> bytes:
    return (int.from_bytes(key, "big") + step).to_bytes(16, "big")


@pytest.mark.parametrize("count", [1, 2, 2048, 2049, 5000])
def test_presence_and_absence_are_proven_without_the_store(count: int) -> None:
    rows, root, store = made(count)
    ordered = sorted(rows)
    for key in {ordered[0], ordered[-1], ordered[count // 2]}:
        proof = ManifestProof.parse(prove(store, root, key).encode())
        assert proof.check(root, key) == rows[key]
    for key in {beside(ordered[0], -1), beside(ordered[-1], 1), beside(ordered[count // 2], 1), os.urandom(16)}:
        proof = ManifestProof.parse(prove(store, root, key).encode())
        assert proof.check(root, key) is None
        assert len(proof.rows) <= 2


def test_a_proof_is_about_its_own_key_and_manifest() -> None:
    rows, root, store = made(3000)
    ordered = sorted(rows)
    present, absent = prove(store, root, ordered[7]), prove(store, root, beside(ordered[7], 1))
    for proof, key in ((present, ordered[8]), (present, beside(ordered[7], 1)), (absent, ordered[9])):
        with pytest.raises(IntegrityError, match="say nothing about the key"):
            proof.check(root, key)
    # The neighbours that prove absence say nothing of themselves.
    for neighbour in (ordered[7], ordered[8]):
        with pytest.raises(IntegrityError, match="say nothing about the key"):
            absent.check(root, neighbour)
    with pytest.raises(IntegrityError, match="another manifest"):
        present.check(made(3)[1], ordered[7])


def test_neighbours_that_are_none_prove_no_absence() -> None:
    rows, root, store = made(50)
    found, ordered = manifest.Manifest(store, root), sorted(rows)
    row = [found.row(index) for index in range(50)]
    good, key = prove(store, root, beside(ordered[4], 1)), ordered[5]
    # A row that lies between two others is there; one row alone says nothing of what lies beside it.
    for lie in ((row[4], row[6]), (row[6], row[4]), (row[4], row[4]), (row[4],), (row[6],), (), tuple(row[3:8])):
        with pytest.raises(IntegrityError):
            replace(good, rows=lie).check(root, key)
    for lie in ((replace(row[4], index=0),), (replace(row[4], index=49),), (row[4], replace(row[6], index=5))):
        with pytest.raises(IntegrityError):
            replace(good, rows=lie).check(root, key)


def test_no_changed_byte_proves_anything() -> None:
    rows, root, store = made(3000)
    key = sorted(rows)[1500]
    for about in (key, beside(key, 1)):
        good = prove(store, root, about)
        data = good.encode()
        for place in range(len(data)):
            changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            try:
                answer = ManifestProof.parse(changed).check(root, about)
            except IntegrityError:
                continue
            pytest.fail(f"byte {place} was changed, and it proves {answer}")


@pytest.mark.parametrize(
    "fields",
    [
        *([], {}, {"v": 1}, {"v": 2, "root": b"", "rows": []}, {"v": 1, "root": "", "rows": []}),
        *({"v": 1, "root": b"", "rows": rows} for rows in (1, [1], [[]], [[1, b"", b"", b""]], [[b"", b"", b"", b""]])),
        {"v": 1, "root": b"", "rows": [[0, bytes(16), bytes(32), bytes(33)]]},
        {"v": 1, "root": b"", "rows": [[0, bytes(15), bytes(33), b""]]},
        *(
            {"v": 1, "root": b"", "rows": [row]}
            for row in (
                *([True, bytes(16), bytes(32), b""], [None, bytes(16), bytes(32), b""]),
                *([0, "k" * 16, bytes(32), b""], [0, bytes(16), "h" * 32, b""], [0, bytes(16), bytes(32), ""]),
                [0, [0] * 16, bytes(32), b""],
            )
        ),
    ],
)
def test_what_is_no_proof_is_refused(fields: object) -> None:
    with pytest.raises(IntegrityError):
        ManifestProof.parse(dagcbor.encode(fields))
    with pytest.raises(IntegrityError):
        ManifestProof.parse(bytes(10_000))


def test_of_ten_million_rows_it_has_less_than_two_kilobytes() -> None:
    """Of a tree of 10,000,000 rows the longest paths are built: no manifest of that size is needed for it."""
    count, hashes = 10_000_000, [bytes([level]) * 32 for level in range(24)]
    root = dagcbor.encode(
        {
            **dict.fromkeys(("previous", "node"), CID.of(DAG_CBOR, b"")),
            **dict.fromkeys(("from", "sequence", "count"), count),
            "v": 2,
            "hospital": bytes(20),
            "tree": bytes(32),
        }
    )
    path = tuple(hashes)
    rows = tuple(ProvenRow(index, bytes(16), bytes(32), path) for index in (5_000_000, 5_000_001))
    # No path is longer: each level halves what is below it.
    assert (count - 1).bit_length() == len(path)
    assert len(ManifestProof(root, rows).encode()) <= 2000


def test_an_outside_verifier_takes_the_paths_of_a_manifest() -> None:
    rows, root, store = made(2500)
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    ordered = sorted(rows)
    for key in ordered:
        tree.append_entry(key + rows[key].digest)
    said = manifest.Root(root, store[root])
    assert tree.get_root() == said.tree
    for index in (0, 1, 2047, 2048, 2499):
        (row,) = prove(store, root, ordered[index]).rows
        leaf = sha256(b"\0" + row.key + row.header).digest()
        assert leaf == tree_hash.row_hash(row.key + row.header)
        shape = tree.prove_inclusion(index + 1).serialize()
        proof = pymerkle.MerkleProof.deserialize(shape | {"path": [one.hex() for one in (leaf, *row.path)]})
        pymerkle.verify_inclusion(leaf, said.tree, proof)
