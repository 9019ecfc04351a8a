"""CIDs: one byte string has one spelling."""

from __future__ import annotations

import base64
import hashlib
import itertools
import pickle
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.errors import IntegrityError, UsageError
from panachain.ipld.cid import CID, CODEC_NAMES, spell


@pytest.mark.parametrize(
    "text", ["", "b", "bafk", "Qm" + "a" * 44, "zb2rh", "BAFKREIHDWDCEFGH4DQKJV67UZCMW7OJEE6XEDZDETOJUZJEVTENXQUVYKU"]
)
def test_other_spellings_of_a_cid_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        CID.parse(text)


@given(st.sampled_from(sorted(CODEC_NAMES)), st.binary(min_size=32, max_size=32))
def test_a_cid_is_spelled_in_base32_of_rfc_4648(codec: int, digest: bytes) -> None:
    cid = CID(codec, digest)
    assert str(cid) == "b" + base64.b32encode(bytes(cid)).decode().rstrip("=").lower()
    assert CID.parse(str(cid)) == cid
    assert hash(CID.parse(str(cid))) == hash(cid)


def test_cids_are_sorted_as_their_bytes_are() -> None:
    some = [CID(codec, bytes([first]) * 32) for codec in CODEC_NAMES for first in (0, 1, 255)]
    assert sorted(some) == sorted(some, key=bytes)


@pytest.mark.parametrize("count", [0, 1, 2, 63, 64, 65, 200])
def test_many_cids_are_spelled_as_each_is(count: int) -> None:
    extremes = [bytes(32), b"\xff" * 32, b"\x80" + bytes(31), bytes(31) + b"\1"]
    digests = [*extremes, *(hashlib.sha256(bytes([number])).digest() for number in range(count))][:count]
    codecs = itertools.cycle(CODEC_NAMES)
    cids = [CID(codec, digest) for codec, digest in zip(codecs, digests, strict=False)]
    spell(cids)
    for cid in cids:
        assert vars(cid)["_text"] == str(CID(cid.codec, cid.digest)) == str(cid)


@pytest.mark.parametrize(("codec", "digest"), [(0x54, bytes(32)), (0x55, bytes(31)), (0x55, bytes(33))])
def test_no_cid_is_made_of_another_codec_or_digest(codec: int, digest: bytes) -> None:
    with pytest.raises(IntegrityError):
        CID(codec, digest)


def test_a_cid_does_not_change() -> None:
    cid = CID(0x55, bytes(32))
    with pytest.raises(FrozenInstanceError):
        cid.digest = bytes(32)  # type: ignore[misc]
    assert replace(cid, codec=0x70) == CID(0x70, bytes(32)) == pickle.loads(pickle.dumps(CID(0x70, bytes(32))))
