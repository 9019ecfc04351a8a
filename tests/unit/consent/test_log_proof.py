"""A share as it travels: what isn't of the documented form is refused, and places are numbers."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.consent.log_map import EPOCH, MapHead, Placed, Row
from panachain.consent.log_proof import PAGE, SCHEMA, Item, Place, Share, rows_of
from panachain.errors import IntegrityError
from panachain.proxy import messages

ROW = Row(b"\1" * 32, 7, b"\2" * 32)
SHARE = Share(
    "note",
    (MapHead(0, 3, b"\3" * 32),),
    (Item(0, 0, (Placed(2, ROW, (b"\4" * 32,)),), (b"\5" * 32, b"\6" * 32)), Item(0, 1, ())),
    "cosigned",
    (b"\7" * 32,),
)


def travelled(share: Share = SHARE) -> dict[str, Any]:
    return messages.parse_json(messages.canonical(share.fields()))


def test_a_share_travels() -> None:
    assert Share.parse(travelled()) == SHARE
    assert travelled()["schema"] == SCHEMA


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "other"},
        {"checkpoint": 7},
        {"maps": "00"},
        {"maps": "zz"},
        {"items": {}},
        {"items": [{}]},
        {"items": [7]},
        {"items": [{"epoch": -1, "number": 0, "rows": [], "path": ""}]},
        {"items": [{"epoch": True, "number": 0, "rows": [], "path": ""}]},
        {"items": [{"epoch": 0, "number": 0, "rows": [""], "path": ""}]},
        {"items": [{"epoch": 0, "number": 0, "rows": ["00" * 81], "path": ""}]},
        {"items": [{"epoch": 0, "number": 0, "rows": ["00" * 80] * 3, "path": ""}]},
        {"items": [{"epoch": 0, "number": 0, "rows": [], "path": "00" * 32 * 65}]},
        {"items": [{"epoch": 0, "number": 0, "rows": [], "path": ""}] * (PAGE + 1)},
        {"growth": "00" * 31},
        {"growth": None},
        {"cosigned": None},
    ],
)
def test_what_is_not_of_its_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        Share.parse(travelled() | change)


def test_what_is_no_object_is_refused() -> None:
    for wrong in (None, [], "text", 7, {}):
        with pytest.raises(IntegrityError):
            Share.parse(wrong)


def test_places_are_numbers() -> None:
    assert Place.at(Place(3, 9).cursor) == Place(3, 9)


def test_each_receipt_has_a_row() -> None:
    assert rows_of(0) == []
    assert rows_of(EPOCH) == [EPOCH]
    assert rows_of(2 * EPOCH + 5) == [EPOCH, EPOCH, 5]
