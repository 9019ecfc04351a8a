"""Tree hashes are those of RFC 6962, and a path shows one row in one place only."""

from __future__ import annotations

from hashlib import sha256

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.errors import IntegrityError
from panachain.records.tree_hash import check_path, combined, path_of, row_hash


def expected(rows: list[bytes]) -> bytes:
    """Return the tree hash as RFC 6962, section 2.1, has it."""
    if len(rows) == 1:
        return sha256(b"\0" + rows[0]).digest()
    split = 1
    while split * 2 < len(rows):
        split *= 2
    return sha256(b"\1" + expected(rows[:split]) + expected(rows[split:])).digest()


def rows_of(count: int) -> list[bytes]:
    return [number.to_bytes(48, "big") for number in range(count)]


@pytest.mark.parametrize("count", [*range(1, 34), 63, 64, 65, 1000])
def test_the_tree_is_the_rfcs_also_from_full_subtrees(count: int) -> None:
    rows = rows_of(count)
    hashes = [row_hash(row) for row in rows]
    assert combined(hashes) == expected(rows)
    for size in (2, 8, 16):
        assert combined([combined(hashes[at : at + size]) for at in range(0, count, size)]) == expected(rows)


@given(count=st.integers(1, 300), data=st.data())
def test_a_path_fits_its_own_place_only(count: int, data: st.DataObject) -> None:
    rows = rows_of(count)
    hashes = [row_hash(row) for row in rows]
    index = data.draw(st.integers(0, count - 1))
    path = path_of(hashes, index)
    good = {"count": count, "index": index, "hashed": hashes[index], "path": path}
    check_path(combined(hashes), **good)
    other = data.draw(st.integers(-1, count))
    bad = [
        {"hashed": bytes(32)},
        {"path": [*path, bytes(32)]},
        {"index": -1},
        {"index": count},
        *([{"index": other}] if other != index else []),
        *([{"path": path[:-1]}, {"path": [*path[:-1], bytes(32)]}] if path else []),
    ]
    for lie in bad:
        with pytest.raises(IntegrityError):
            check_path(combined(hashes), **(good | lie))


def test_an_outside_verifier_computes_the_same_tree_and_takes_our_paths() -> None:
    rows = rows_of(77)
    hashes = [row_hash(row) for row in rows]
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for row in rows:
        tree.append_entry(row)
    assert tree.get_root() == combined(hashes)
    for index in range(len(rows)):
        shape = tree.prove_inclusion(index + 1).serialize()
        ours = [one.hex() for one in (hashes[index], *path_of(hashes, index))]
        proof = pymerkle.MerkleProof.deserialize(shape | {"path": ours})
        pymerkle.verify_inclusion(hashes[index], combined(hashes), proof)
        with pytest.raises(pymerkle.InvalidProof):
            pymerkle.verify_inclusion(hashes[index], bytes(32), proof)


def test_every_path_of_every_small_tree_fits() -> None:
    for count in range(1, 41):
        hashes = [row_hash(row) for row in rows_of(count)]
        tree = combined(hashes)
        for index in range(count):
            path = path_of(hashes, index)
            check_path(tree, count=count, index=index, hashed=hashes[index], path=path)
            for longer in ([*path, tree], [tree, *path]):
                with pytest.raises(IntegrityError):
                    check_path(tree, count=count, index=index, hashed=hashes[index], path=longer)
