"""A Bundle of what is wanted: nothing else is in it, and what couldn't be read is told."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import IntegrityError, Omission, PartlyDoneError, UsageError
from panachain.model.scope import Category
from panachain.sdk.exporting import BundleExport
from panachain.sdk.results.records import OpenedRecord
from tests.cli.test_open import opened
from tests.unit.crypto.crypt4gh_reader import open_
from tests.unit.crypto.test_crypt4gh import PUBLIC, SECRET


def record(name: str, *, category: Category = Category.LABORATORY, year: int = 2024) -> OpenedRecord:
    resource = {"resource": {"resourceType": "Observation", "id": name}}
    content = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [resource]}, separators=(",", ":"))
    made = opened(content=content.encode(), year=year)
    return replace(made, info=replace(made.info, category=category, header_cid=name))


RECORDS = [
    record("o1"),
    record("o2", year=2019),
    record("o3", category=Category.MENTAL_HEALTH),
    record("o4", category=Category.ALLERGIES),
]


def names(export: BundleExport) -> list[str]:
    entries = json.loads(b"".join(export)).get("entry", [])
    return [one["resource"]["id"] for one in entries if one["resource"]["resourceType"] == "Observation"]


@pytest.mark.parametrize(
    ("categories", "years", "expected"),
    [
        (None, (), ["o1", "o2", "o3", "o4"]),
        ("all", (), ["o1", "o2", "o4"]),
        (["laboratory"], (), ["o1", "o2"]),
        ([Category.MENTAL_HEALTH], (), ["o3"]),
        ("emergency", (), ["o4"]),
        (None, (2019,), ["o2"]),
        (["allergies"], (2019,), []),
    ],
)
def test_only_what_is_wanted_is_in_it(categories: Any, years: Any, expected: list[str], tmp_path: Path) -> None:
    assert names(BundleExport(RECORDS, categories, years, beside=tmp_path)) == expected


def test_what_could_not_be_read_is_told(tmp_path: Path) -> None:
    def records() -> Any:
        yield opened(content=b"torn")
        yield RECORDS[0]
        raise PartlyDoneError("x", omissions=[Omission("", "another record", IntegrityError("torn"))])

    export = BundleExport(records(), beside=tmp_path)
    assert names(export) == ["o1"]
    assert len(export.omissions) == 2
    export.check()


def test_nothing_is_told(tmp_path: Path) -> None:
    empty = BundleExport([], beside=tmp_path)
    assert names(empty) == []
    with pytest.raises(UsageError):
        empty.check()
    torn = BundleExport([opened(content=b"torn")], beside=tmp_path)
    assert names(torn) == []
    with pytest.raises(IntegrityError):
        torn.check()


def test_is_sealed_to_its_readers(tmp_path: Path) -> None:
    sealed = b"".join(BundleExport(RECORDS, beside=tmp_path, readers=[PUBLIC]))
    assert b"Observation" not in sealed
    plain = b"".join(open_(io.BytesIO(sealed), SECRET))
    assert len(json.loads(plain)["entry"]) == 8
