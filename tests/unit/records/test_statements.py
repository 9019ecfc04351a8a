"""Statements: read as they were written, and nothing else is one."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.errors import IntegrityError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, RAW
from panachain.model.records import Reason
from panachain.records.statements import MAX_NEWER, MAX_RECORDS, MAX_SIZE, Statement
from panachain.records.versions import Version

CIDS = tuple(CID.of(RAW, bytes([number])) for number in range(3))


@pytest.mark.parametrize("reason", list(Reason))
def test_is_read_as_it_was_written(reason: Reason) -> None:
    said = Statement(reason, CIDS)
    assert Statement.decode(said.encode()) == said


def test_names_versions_that_lie_elsewhere() -> None:
    said = Statement(newer=(Version("Observation/k", "2", "", "", "https://h.example", bytes(16)),))
    assert Statement.decode(said.encode()) == said


def test_as_many_as_one_may_name_fit() -> None:
    assert len(Statement(Reason.WRONG_PATIENT, CIDS[:1] * MAX_RECORDS).encode()) < MAX_SIZE
    longest = Version("A" * 64 + "/" + "b" * 64, "1" * 64, "2024-05-06T10:00:00.000000+02:00", base="", print=bytes(16))
    assert len(Statement(newer=(longest,) * MAX_NEWER).encode()) < MAX_SIZE


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"reason": "because"},
        {"reason": 5},
        {"withdraws": 5},
        {"withdraws": ["bafy"]},
        {"withdraws": list(CIDS[:1]) * (MAX_RECORDS + 1)},
        {"reason": None},
        {"newer": 5},
        {"newer": [[0, False, [""], "Observation/k", b""]]},
    ],
)
def test_what_is_none_is_told(change: dict[str, Any]) -> None:
    fields = {"v": 1, "reason": "wrong-patient", "withdraws": list(CIDS), "newer": []}
    Statement.decode(dagcbor.encode(fields))
    with pytest.raises(IntegrityError):
        Statement.decode(dagcbor.encode(fields | change))


@pytest.mark.parametrize(
    "content", [b"", b"\xa0", b"\x80", b"text", bytes(MAX_SIZE + 1)], ids=["nothing", "map", "list", "text", "long"]
)
def test_what_is_no_map_of_ours_is_told(content: bytes) -> None:
    with pytest.raises(IntegrityError):
        Statement.decode(content)
