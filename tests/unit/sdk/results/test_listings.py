"""A list is what could be read; what it lacks is beside it."""

from __future__ import annotations

from panachain.sdk.results.listings import LeftOut, Listed, Listing

LEFT = LeftOut("request", "7", "nobody has its details", "0x" + "11" * 20)


def test_a_listing_is_a_list_and_a_listed_one_an_iterator_over_it() -> None:
    listing = Listing([1, 2], [LEFT])
    assert (listing, listing[0], len(listing), listing.left_out) == ([1, 2], 1, 2, (LEFT,))
    listed = Listed(listing)
    assert (next(listed), list(listed), list(listed), listed.left_out) == (1, [2], [], (LEFT,))
    assert (Listing[int](), Listing[int]().left_out) == ([], ())


def test_what_is_left_out_is_named_with_its_sender_where_that_is_known() -> None:
    assert str(LEFT) == f"request 7 of 0x{'11' * 20} is left out: nobody has its details"
    assert str(LeftOut("policy", "0x1", "unsigned")) == "policy 0x1 is left out: unsigned"
