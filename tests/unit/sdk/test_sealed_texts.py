"""Sealed texts: who reads them, and what is refused of what others seal."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.crypto import box, labels
from panachain.crypto.hpke import SealingKey
from panachain.errors import IntegrityError
from panachain.ipld import dagcbor
from panachain.sdk.sealed_texts import open_text, seal_text

READERS = [SealingKey.random() for _ in range(2)]
LABEL = labels.WARD_PAPERS


def opened(block: bytes, secret: SealingKey = READERS[0], label: bytes = LABEL) -> str:
    return open_text(block, secret, label, "papers", readers=2, most=5)


def test_each_reader_has_the_text_and_nobody_else() -> None:
    block = seal_text(LABEL, "papers", "court", readers=[one.public for one in READERS], purpose="ETREAT")
    assert [opened(block, one) for one in READERS] == ["court"] * 2
    with pytest.raises(IntegrityError):
        opened(block, SealingKey.random())
    # Nor for another use.
    with pytest.raises(IntegrityError):
        opened(block, label=labels.EMERGENCY_REASON)


@pytest.mark.parametrize(
    "said",
    [
        {"v": 2, "papers": "court"},
        {"papers": "court"},
        {"v": 1, "reason": "court"},
        {"v": 1, "papers": b"court"},
        {"v": 1, "papers": None},
        {"v": 1, "papers": "courts"},
        ["papers"],
        7,
    ],
)
def test_nonsense_is_refused(said: Any) -> None:
    block = box.seal_to_each([one.public for one in READERS], dagcbor.encode(said), LABEL)
    with pytest.raises(IntegrityError, match="no papers of at most 5"):
        opened(block)
