"""Kinds: what belongs to several categories goes to one, always the same."""

from __future__ import annotations

import pytest

from panachain.errors import UsageError
from panachain.model.scope import RESTRICTED, Category
from panachain.records.sensitivity.kinds import category_of_kinds, kind_of, kinds, with_parts


def test_a_kind_is_part_of_a_kind_that_is_there() -> None:
    assert {kind.parent for kind in kinds().values()} - {""} <= set(kinds())


def test_every_kind_is_closed_or_genomic() -> None:
    assert {kind.category for kind in kinds().values()} - set(RESTRICTED) == {Category.GENOMICS}


def test_a_restricted_category_comes_before_any_other() -> None:
    assert category_of_kinds(["GDIS", "MH"]) is Category.MENTAL_HEALTH
    assert category_of_kinds(["GDIS"]) is Category.GENOMICS


def test_of_several_restricted_ones_the_order_of_kinds_does_not_matter() -> None:
    assert category_of_kinds(["MH", "HIV"]) is category_of_kinds(["HIV", "MH"]) is Category.SEXUAL_HEALTH
    assert category_of_kinds(["HIV", "SDV"]) is category_of_kinds(["SDV", "GENDER"]) is Category.VIOLENCE
    assert category_of_kinds(["PRS", "MH"]) is Category.MENTAL_HEALTH


def test_what_is_unknown_counts_for_nothing() -> None:
    assert category_of_kinds([]) is None
    assert category_of_kinds(["no such kind"]) is None


def test_a_kind_is_named_by_its_word_or_its_code() -> None:
    assert {kind_of(kind.word).code for kind in kinds().values()} == set(kinds())
    assert kind_of(" ethud ").code == kind_of("Alcohol").code == "ETHUD"
    with pytest.raises(UsageError, match="no such kind"):
        kind_of("alcoholic")


def test_a_kind_comes_with_its_parts_however_deep() -> None:
    assert with_parts(["MH"]) >= {"MH", "PSY", "PSYTHPN", "SUICIDE"}
    assert with_parts(["PSYTHPN"]) == {"PSYTHPN"}
    assert with_parts([]) == frozenset()
