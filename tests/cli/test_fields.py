"""Every field that people read has a kind that is written, and an address whose role is known isn't looked up."""

from __future__ import annotations

from panachain.cli import output
from panachain.cli.fields import FIELDS, is_whole, kind_of


def test_every_kind_is_written() -> None:
    assert {field.kind for field in FIELDS.values()} <= set(output._KINDS)


def test_a_field_that_is_not_listed_is_text() -> None:
    assert kind_of("something else") == "text"


def test_only_addresses_and_handles_have_a_role() -> None:
    assert {field.kind for field in FIELDS.values() if field.role is not None} == {"who"}


def test_an_identifier_stays_in_one_piece_and_a_list_of_them_does_not() -> None:
    assert is_whole("tx")
    assert is_whole("content_cid")
    assert not is_whole("transactions")
    assert not is_whole("purposes")
