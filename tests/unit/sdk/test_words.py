"""Categories and purposes are words or members, one or several, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.errors import UsageError
from panachain.model.scope import Category, Purpose
from panachain.sdk.words import category_of, category_words, purpose_list, purpose_of


@pytest.mark.parametrize(
    "given",
    ["laboratory", Category.LABORATORY, ["laboratory"], (Category.LABORATORY,), ["laboratory", Category.LABORATORY]],
)
def test_a_category_is_the_same_however_it_is_given(given: Any) -> None:
    assert category_words(given) == ("laboratory",)


def test_an_iterator_of_categories_keeps_its_order() -> None:
    assert category_words(iter(["vitals", Category.LABORATORY, "all"])) == ("vitals", "laboratory", "all")


@pytest.mark.parametrize("given", ["TREAT", "treat", Purpose.TREAT, ["treat"], {Purpose.TREAT: 1}])
def test_a_purpose_is_the_same_however_it_is_given(given: Any) -> None:
    assert purpose_list(given) == (Purpose.TREAT,)


@pytest.mark.parametrize("given", ["labs", ["laboratory", "labs"]])
def test_a_word_that_names_no_category_is_refused_with_those_that_are(given: Any) -> None:
    with pytest.raises(UsageError, match="unknown category 'labs'; the categories are: demographics"):
        category_words(given)


def test_a_code_that_names_no_purpose_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown purpose 'fun'"):
        purpose_list("fun")


def test_other_types_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match="a category is a int"):
        category_of(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a purpose is a NoneType"):
        purpose_of(None)  # type: ignore[arg-type]
