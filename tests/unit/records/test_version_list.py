"""Version lists: what a hospital says of its records is read within bounds, and compared with them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from panachain.errors import IntegrityError
from panachain.records import version_list
from panachain.records.version_list import VersionList, from_rows, from_told, to_row, to_told
from panachain.records.versions import DELETED, Bundle, bundle_of


def bundle(*entries: dict[str, Any], kind: str = "collection") -> Bundle:
    found = bundle_of(json.dumps({"type": kind, "entry": list(entries)}, separators=(",", ":")).encode())
    assert found is not None
    return found


def entry(number: int, **more: Any) -> dict[str, Any]:
    return {"resource": {"resourceType": "Observation", "id": f"k{number}"} | more}


SOME = bundle(
    entry(1, meta={"versionId": "3", "lastUpdated": "2024-05-06T10:00:00.123+02:00"}),
    {"fullUrl": "https://h.example/Condition/8", "request": {"method": "DELETE", "url": "Condition/8"}},
    {"resource": {"resourceType": "Basic"}},
    kind="history",
)
LIST = VersionList.of(SOME, 5)


def test_is_read_as_it_was_written() -> None:
    assert from_rows([to_row(LIST)]) == [LIST]
    assert [one.state for one in LIST.versions] == ["", DELETED, ""]
    assert (LIST.index, [LIST.order(place) for place in range(3)]) == (5, [2, 1, 0])
    assert [replace(LIST, newest_first=False).order(place) for place in range(3)] == [0, 1, 2]


def test_fits_its_record_and_no_other_one() -> None:
    LIST.check(SOME)
    for wrong in (None, bundle(entry(1)), bundle(*(json.loads(one.text) for one in SOME.entries))):
        with pytest.raises(IntegrityError, match="its hospital listed 3 resources in it"):
            LIST.check(wrong)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (0, "5"),
        (0, True),
        (1, 1),
        (2, [7]),
        (2, ["a b"]),
        (2, []),
        (2, {"": ""}),
        (2, 7),
        (3, b"rows"),
        (3, ""),
        (3, "Observation/k1\t\t\t0\t0"),
        (3, "Observation/k1\t\t\t9\t0\n\t\t\t0\t0\n\t\t\t0\t0"),
        (3, "Observation/k1\t\t\t0\t7\n\t\t\t0\t0\n\t\t\t0\t0"),
        (3, "Observation/k1\t\t0\t0\n\t\t\t0\t0\n\t\t\t0\t0"),
        (4, b"short"),
        (4, "text"),
    ],
)
def test_what_a_hospital_listed_wrongly_is_told(field: int, value: object) -> None:
    row = to_row(LIST)
    row[field] = value
    with pytest.raises(IntegrityError):
        from_rows([row])


@pytest.mark.parametrize("sizes", [{"": 1}, "1", [-1, 2], [True], [1.0], [None]])
def test_entries_that_a_process_told_wrongly_are_none_and_are_not_copied(sizes: Any) -> None:
    content = SOME.holding(range(len(SOME.entries)))
    at, right, row = to_told(SOME)
    assert from_told([at, right, row], content) == SOME
    other = [*row[:2], {"": ""}, *row[3:]]
    for told in ([at, sizes, row], [-1, right, row], [at, [*right, 0], row], [at, right, other]):
        with pytest.raises((IntegrityError, TypeError, ValueError)):
            from_told(told, content)


def test_ten_million_ids_are_refused_before_one_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_list, "_version", lambda *args: pytest.fail("a line was read"))
    with pytest.raises(IntegrityError, match="more than 400,000 resources"):
        from_rows([[0, False, [""], "\n" * 10_000_000, b""]])
