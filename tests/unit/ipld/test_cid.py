"""CIDs: one byte string has one spelling."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.errors import UsageError
from panachain.ipld.cid import CID, CODEC_NAMES


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
