"""UnixFS: the CIDs of the profile, read back in canonical form only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from panachain.errors import IntegrityError
from panachain.ipld import unixfs
from panachain.ipld.cid import CID
from tests.support import shared


def key_stream(seed: str, size: int) -> Iterator[bytes]:
    """Yield the ChaCha20 key stream under SHA-256(seed), as Kubo's own profile test does."""
    encryptor = Cipher(algorithms.ChaCha20(hashlib.sha256(seed.encode()).digest(), bytes(16)), None).encryptor()
    for start in range(0, size, unixfs.CHUNK):
        yield encryptor.update(bytes(min(unixfs.CHUNK, size - start)))


def test_small_files_are_their_leaf() -> None:
    assert str(unixfs.build([b""], lambda *_: None)) == "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    hello = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    assert str(unixfs.build([b"hello world"], lambda *_: None)) == hello


def test_cids_of_the_profile_are_those_of_the_specification() -> None:
    vectors = json.loads(shared("vectors", "ipip-0499-cid", "cid_vectors.json").read_text())["vectors"]
    ours = [v for v in vectors if "v1" in v["profile"] and v["seed"] is not None]
    assert ours
    for vector in ours:
        assert str(unixfs.build(key_stream(vector["seed"], vector["bytes"]), lambda *_: None)) == vector["cid"]


@pytest.mark.parametrize("leaves", range(1, 40))
def test_no_node_has_more_links_than_allowed(leaves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unixfs, "MAX_LINKS", 3)
    monkeypatch.setattr(unixfs, "CHUNK", 8)
    pieces = [i.to_bytes(8, "big") for i in range(leaves)]
    blocks: dict[CID, bytes] = {}
    root = unixfs.build(pieces, blocks.__setitem__)
    # The reader refuses a node with more.
    assert list(unixfs.read(root, blocks.__getitem__)) == pieces


@pytest.mark.parametrize("leaves", [1, 2, 1023, 1024, 1025])
def test_files_read_back_and_only_in_canonical_form(leaves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unixfs, "CHUNK", 8)
    pieces = [i.to_bytes(8, "big") for i in range(leaves)]
    blocks: dict[CID, bytes] = {}
    root = unixfs.build(pieces, blocks.__setitem__)
    assert list(unixfs.read(root, blocks.__getitem__)) == pieces
    if leaves > 1:
        node = blocks[root]
        for position in range(0, len(node), max(len(node) // 200, 1)):
            changed = bytearray(node)
            changed[position] ^= 1
            bad = CID.of(root.codec, bytes(changed))
            try:
                read = list(unixfs.read(bad, lambda c, b=bytes(changed), bad=bad: b if c == bad else blocks[c]))
            except (IntegrityError, KeyError):
                continue
            # Only a link's total size can't be checked without the blocks below it; it changes nothing that is read.
            assert read == pieces
