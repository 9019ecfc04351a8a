"""Frozen values that are made at once are those that their class makes, field by field."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from panachain.model.actors import Address
from panachain.model.frozen import frozen
from panachain.model.records import RecordInfo
from panachain.model.scope import Category
from panachain.records.header import Header
from panachain.sdk.results.records import OpenedRecord

HOSPITAL = Address("0x" + "1" * 40)
INFO = RecordInfo(
    HOSPITAL, Category.LABORATORY, 2024, "text/plain", 5, bytes(32), 7, "header", "content", "envelope", 1, 0
)


def test_a_value_that_is_made_at_once_is_one_of_its_class() -> None:
    made = frozen(RecordInfo, **{one.name: getattr(INFO, one.name) for one in fields(RecordInfo)})
    assert made == INFO
    assert (hash(made), repr(made)) == (hash(INFO), repr(INFO))
    assert made.with_header("other") == INFO.with_header("other") == replace(made, header_cid="other")
    with pytest.raises(FrozenInstanceError):
        made.size = 6  # type: ignore[misc]


@pytest.mark.parametrize("kind", [RecordInfo, Header, OpenedRecord])
def test_kinds_that_are_made_at_once_do_nothing_in_between(kind: type) -> None:
    assert not hasattr(kind, "__post_init__")
    assert not hasattr(kind, "__slots__")
