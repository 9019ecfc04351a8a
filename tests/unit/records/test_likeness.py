"""What tells that a record of a source is published already."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from panachain.model.actors import Address
from panachain.model.records import FileContent, PlainRecord, RecordInfo
from panachain.model.scope import Category
from panachain.records import likeness
from panachain.records.likeness import of_header, of_record

RECORD = PlainRecord(Category.LABORATORY, 2025, "text/plain", b"x", b"s" * 32)
INFO = RecordInfo(
    hospital=Address("0x" + "11" * 20),
    category=Category.LABORATORY,
    year=2025,
    media_type="text/plain",
    size=1,
    digest=sha256(b"x").digest(),
    stored_at=5,
    header_cid="",
    content_cid="",
    envelope_cid="",
    content_index=7,
    generation=0,
)


def test_a_record_is_like_its_header_wherever_its_content_lies(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    in_file = replace(RECORD, content=FileContent(tmp_path / "x", 1))
    assert of_record(RECORD) == of_record(in_file) == of_header(INFO) != b""


@pytest.mark.parametrize(
    "change",
    [
        {"category": Category.VITALS},
        {"year": 2024},
        {"media_type": "text/html"},
        {"size": 2},
        {"digest": sha256(b"y").digest()},
    ],
)
def test_anything_else_is_another_one(change: dict[str, Any]) -> None:
    assert of_header(replace(INFO, **change)) != of_header(INFO)


def test_content_that_is_too_large_for_a_digest_is_like_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "HASHED", 0)
    assert of_record(RECORD) == of_header(replace(INFO, digest=b"")) == b""
