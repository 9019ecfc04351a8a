"""Splitting and canonical JSON: nothing dropped, nothing changed, bad input refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from panachain.errors import InputError, UsageError
from panachain.model.scope import Category
from panachain.records.canonical import canonical, resources
from panachain.records.samples import sample_bundle, sample_dicom
from panachain.records.sources import read_bytes, read_source
from tests.support import shared


def test_sample_covers_every_category_and_is_the_same_each_time() -> None:
    assert sample_bundle(1) == sample_bundle(1) != sample_bundle(2)
    assert sample_dicom(1) == sample_dicom(1)
    assert {record.category for record in read_bytes(sample_bundle(1), ".json")} == set(Category)


def test_nothing_is_dropped_and_decimals_keep_their_zeros() -> None:
    split = [item for record in read_bytes(sample_bundle(1), ".json") for item in resources(record.content)]
    assert Counter(split) == Counter(resources(sample_bundle(1)))
    assert any(b'"value":6.10' in item for item in split)


@pytest.mark.parametrize(
    "folder",
    [
        "synthea-2019-smart",
        "synthea-2020-iris",
        "synthea-2021-hiv-documents",
        "synthea-v3.0-pathling",
        "synthea-v3.3-pathling",
        "hl7-examples-4.0.1",
    ],
)
def test_every_resource_of_real_data_is_kept(folder: str) -> None:
    for path in sorted(shared("data", "fhir-r4", folder).iterdir()):
        split = [item for record in read_source(path) for item in resources(record.content)]
        assert Counter(split) == Counter(resources(path.read_bytes())), path.name


@pytest.mark.parametrize(
    ("code", "category"),
    [
        ("86406008", Category.SEXUAL_HEALTH),
        ("1040".ljust(36, "A"), Category.SEXUAL_HEALTH),
        ("370143000", Category.MENTAL_HEALTH),
        ("7200002", Category.SUBSTANCE_USE),
        ("38341003", Category.CONDITIONS),
    ],
)
def test_sensitive_codes_are_restricted(code: str, category: Category) -> None:
    content = b'{"resourceType":"Condition","code":{"coding":[{"code":"%s"}]}}' % code.encode()
    assert [record.category for record in read_bytes(content, ".json")] == [category]


def test_security_label_makes_a_resource_restricted() -> None:
    content = b'{"resourceType":"MedicationRequest","meta":{"security":[{"code":"PSY"}]}}'
    assert [record.category for record in read_bytes(content, ".json")] == [Category.MENTAL_HEALTH]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"a":1}',
        b'{"resourceType":"Bundle","entry":{}}',
        b'{"resourceType":"Bundle","entry":[1]}',
        b'{"resourceType":"Patient","a":NaN}',
        b'{"resourceType":"Patient","a":1,"a":2}',
        b'{"resourceType":"Patient","a":"\\u0000"}',
        b'{"resourceType":"Patient","a":"\xff"}',
        b"[" * 100_000,
    ],
)
def test_broken_json_is_refused(content: bytes) -> None:
    with pytest.raises(InputError):
        list(read_bytes(content, ".json"))


def test_unknown_files_need_a_category(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\x00\x01")
    with pytest.raises(InputError, match="nothing was published"):
        list(read_source(tmp_path))
    assert [r.category for r in read_source(tmp_path, Category.IMAGING)] == [Category.IMAGING]
    with pytest.raises(UsageError):
        list(read_source(tmp_path / "none"))


def test_canonical_form_sorts_and_keeps_text() -> None:
    assert canonical(' {"b": 1.50, "a": ["é", 1e3]} '.encode()) == '{"a":["é",1e3],"b":1.50}'.encode()
