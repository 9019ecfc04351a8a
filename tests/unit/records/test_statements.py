"""Statements: read as they were written, and nothing else is one."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.errors import IntegrityError, UsageError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, RAW
from panachain.model.records import WITHDRAWING, Reason
from panachain.records.statements import (
    MAX_NEWER,
    MAX_RECORDS,
    MAX_SIZE,
    MAX_WHY,
    Attestation,
    ErasedHeader,
    Refusal,
    Statement,
)
from panachain.records.versions import Version

CIDS = tuple(CID.of(RAW, bytes([number])) for number in range(3))


@pytest.mark.parametrize("reason", WITHDRAWING)
def test_is_read_as_it_was_written(reason: Reason) -> None:
    said = Statement(reason, CIDS)
    assert Statement.decode(said.encode()) == said


ERASED = tuple(ErasedHeader(cid, 5) for cid in CIDS)
ATTESTED = Attestation(CIDS, 1_800_000_000, 7, 2, b"s" * 16)


@pytest.mark.parametrize(
    "said",
    [
        Statement(Reason.ERASED, CIDS, erased=ERASED),
        Statement(attests=ATTESTED),
        Statement(refuses=Refusal(CIDS[:1], "we must keep it")),
    ],
)
def test_says_what_is_erased_is_gone_or_stays(said: Statement) -> None:
    assert Statement.decode(said.encode()) == said


def test_that_erases_names_each_header() -> None:
    for said in (
        Statement(Reason.ERASED, CIDS, erased=ERASED[:1]),
        Statement(Reason.WRONG_PATIENT, CIDS, erased=ERASED),
    ):
        with pytest.raises(UsageError):
            said.encode()
    with pytest.raises(UsageError):
        Statement(refuses=Refusal(CIDS, "x" * (MAX_WHY + 1))).encode()


def test_as_many_erasures_as_one_names_fit() -> None:
    from panachain.sdk.reseals import MOST_REPLACED

    erased = ERASED[:1] * MOST_REPLACED
    assert len(Statement(Reason.ERASED, CIDS[:1] * MOST_REPLACED, erased=erased).encode()) < MAX_SIZE


@pytest.mark.parametrize(
    "change",
    [
        {"reason": "erased"},
        {"erased": [[CIDS[0], 5]]},
        {"reason": "erased", "erased": [[CIDS[0], 5]] * 2},
        {"reason": "erased", "erased": [["bafy", 5]] * 3},
        {"reason": "erased", "erased": [[CIDS[0], -1]] * 3},
        {"reason": "erased", "erased": [[CIDS[0], True]] * 3},
        {"reason": "erased", "erased": [[CIDS[0]]] * 3},
        {"attests": 5},
        {"attests": [[], 1, 1, 1, b"s" * 16]},
        {"attests": [["bafy"], 1, 1, 1, b"s" * 16]},
        {"attests": [[CIDS[0]], 1 << 60, 1, 1, b"s" * 16]},
        {"attests": [[CIDS[0]], 1, 1, 1, b"short"]},
        {"attests": [[CIDS[0]] * (MAX_RECORDS + 1), 1, 1, 1, b"s" * 16]},
        {"refuses": [[CIDS[0]], 5]},
        {"refuses": [[CIDS[0]], "x" * (MAX_WHY + 1)]},
        {"refuses": [[], "why"]},
    ],
)
def test_what_says_no_such_thing_is_told(change: dict[str, Any]) -> None:
    fields = {"v": 1, "reason": "wrong-patient", "withdraws": list(CIDS), "newer": []}
    with pytest.raises(IntegrityError):
        Statement.decode(dagcbor.encode(fields | change))


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
