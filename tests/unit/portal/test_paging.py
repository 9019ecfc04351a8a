"""Long lists in pages: each line stands on one page, and no number of a page leads nowhere."""

from __future__ import annotations

import pytest

from panachain.portal.paging import part_of, place_of


@pytest.mark.parametrize(
    ("page", "number"), [("1", 1), ("3", 3), ("0", 1), ("-1", 1), ("99", 3), ("x", 1), ("\u0663", 1), ("9" * 30, 1)]
)
def test_a_page_that_there_is_not_becomes_one_that_there_is(page: str, number: int) -> None:
    part = part_of(range(25), page, size=10)
    assert (part.number, part.pages, part.total) == (number, 3, 25)
    assert list(part.items) == list(range(25))[(number - 1) * 10 : number * 10]


def test_pages_lead_to_their_neighbours_and_an_empty_list_has_one() -> None:
    assert [(one.before, one.after) for one in (part_of(range(25), str(n), size=10) for n in (1, 2, 3))] == [
        (0, 2),
        (1, 3),
        (2, 0),
    ]
    assert (part_of([], "1").pages, part_of([], "1").after) == (1, 0)


@pytest.mark.parametrize(
    ("page", "number"), [(-1, 1), (0, 1), (2, 2), (3, 3), (9, 3), ("2", 2), ("x", 1), ("9" * 9, 1)]
)
def test_a_list_that_is_elsewhere_has_the_same_pages(page: int | str, number: int) -> None:
    assert place_of(25, page, size=10) == (number, 3)
    assert place_of(0, page, size=10) == (1, 1)
