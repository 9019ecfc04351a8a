"""The tree over a log: every proof of every small tree against a plain one, and what isn't proven is refused."""

from __future__ import annotations

import pytest

from panachain.consent.log_tree import (
    EMPTY,
    WIDTH,
    LogTree,
    check_consistency,
    check_inclusion,
    hashes_of,
    parse_tile_path,
    tile_path,
)
from panachain.errors import IntegrityError
from panachain.records.tree_hash import combined, row_hash

LEAVES = [row_hash(number.to_bytes(4, "big")) for number in range(70_000)]


def tile(level: int, number: int, width: int) -> list[bytes]:
    """Return a tile by computing it from all leaves."""
    each = WIDTH**level
    first = number * WIDTH * each
    return [combined(LEAVES[start : start + each]) for start in range(first, first + width * each, each)]


def tree(size: int) -> LogTree:
    return LogTree(tile, size)


def test_roots_are_those_of_rfc_6962() -> None:
    assert tree(0).root() == EMPTY
    for size in (1, 2, 3, 7, 8, 255, 256, 257, 511, 513, 65_535, 65_537, 70_000):
        assert tree(size).root() == combined(LEAVES[:size]), size


def test_each_leaf_of_small_trees_is_proven_and_none_else() -> None:
    for size in (1, 2, 3, 5, 8, 300):
        found = tree(size)
        root = found.root()
        for index in range(0, size, 1 if size < 10 else 37):
            path = found.inclusion(index)
            check_inclusion(root, size=size, index=index, leaf=LEAVES[index], path=path)
            with pytest.raises(IntegrityError):
                check_inclusion(root, size=size, index=index, leaf=LEAVES[index + 1], path=path)
    with pytest.raises(IntegrityError, match="in no tree"):
        tree(3).inclusion(3)


def test_each_growth_of_small_trees_is_proven() -> None:
    roots = {size: tree(size).root() for size in range(20)}
    for size in range(20):
        for before in range(size + 1):
            proof = tree(size).consistency(before)
            check_consistency(roots[before], roots[size], before=before, size=size, proof=proof)


def test_large_growth_is_proven_in_a_few_hashes() -> None:
    proof = tree(70_000).consistency(65_537)
    assert len(proof) <= 40
    check_consistency(tree(65_537).root(), tree(70_000).root(), before=65_537, size=70_000, proof=proof)


@pytest.mark.parametrize("size", [4, 7, 8, 13])
def test_a_log_that_changed_is_refused(size: int) -> None:
    for before in range(1, size + 1):
        proof = tree(size).consistency(before)
        other = combined([row_hash(b"other"), *LEAVES[1:before]])
        with pytest.raises(IntegrityError):
            check_consistency(other, tree(size).root(), before=before, size=size, proof=proof)
        for wrong in ([*proof, bytes(32)], proof[1:], [bytes(32), *proof[1:]]):
            if wrong != proof:
                with pytest.raises(IntegrityError):
                    check_consistency(tree(before).root(), tree(size).root(), before=before, size=size, proof=wrong)


def test_a_log_never_shrinks() -> None:
    with pytest.raises(IntegrityError, match="can't have become"):
        tree(3).consistency(4)
    with pytest.raises(IntegrityError, match="can't have become"):
        check_consistency(EMPTY, EMPTY, before=4, size=3, proof=[])


def test_paths_of_tiles_are_those_of_the_specification() -> None:
    # C2SP tlog-tiles, section "Merkle Tree": the examples that it gives.
    assert tile_path(0, 1_234_067) == "tile/0/x001/x234/067"
    assert tile_path(0, 273, 112) == "tile/0/273.p/112"
    assert tile_path(1, 1, 17) == "tile/1/001.p/17"
    for level, number, width in ((0, 1_234_067, 256), (0, 273, 112), (5, 0, 1), (1, 1000, 256)):
        _, text, rest = tile_path(level, number, width).split("/", 2)
        assert parse_tile_path(text, rest) == (level, number, width)


@pytest.mark.parametrize(
    ("level", "rest"),
    [
        *(("0", "1"), ("0", "0001"), ("00", "001"), ("0", "x001"), ("0", "001.p/0"), ("0", "001.p/256")),
        *(("-1", "001"), ("0", "../001"), ("0", "001.p/"), ("٣", "001"), ("0", "x001/x23/067"), ("0", "9" * 30)),
        ("0", "001.p/257"),
    ],
)
def test_other_paths_are_refused(level: str, rest: str) -> None:
    with pytest.raises(IntegrityError, match="no tile's path"):
        parse_tile_path(level, rest)


def test_a_tile_is_made_of_hashes() -> None:
    assert hashes_of(bytes(64)) == [bytes(32)] * 2
    for size in (1, 33, 257 * 32):
        with pytest.raises(IntegrityError):
            hashes_of(bytes(size))


def test_a_tile_that_is_too_short_proves_nothing() -> None:
    with pytest.raises(IntegrityError, match="hashes, not"):
        LogTree(lambda *_: [], 3).root()
    with pytest.raises(IntegrityError, match="has no tile"):
        tree(3).tile(0, 1)
