"""CIDs: one byte string has one spelling."""

from __future__ import annotations

import pytest

from panachain.errors import UsageError
from panachain.ipld.cid import CID


@pytest.mark.parametrize(
    "text", ["", "b", "bafk", "Qm" + "a" * 44, "zb2rh", "BAFKREIHDWDCEFGH4DQKJV67UZCMW7OJEE6XEDZDETOJUZJEVTENXQUVYKU"]
)
def test_other_spellings_of_a_cid_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        CID.parse(text)
