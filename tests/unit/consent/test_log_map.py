"""The sorted map: what is there is shown, what isn't is proven to be absent, and nothing else passes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panachain.consent.log_map import ROW_SIZE, EpochMap, Row, check_row, map_key, maps_tree
from panachain.errors import IntegrityError
from panachain.model.actors import PolicyId
from panachain.records.tree_hash import row_hash

POLICY, OTHER = (PolicyId(f"0x{byte * 20}") for byte in ("11", "22"))
AUDIT = b"audit key".ljust(1216, b"\1")


def rows(count: int, policy: PolicyId = POLICY) -> list[Row]:
    return [Row(map_key(AUDIT, policy, 0, number), number, row_hash(bytes([number]))) for number in range(count)]


def test_all_numbers_are_shown_and_the_next_one_is_absent() -> None:
    for count in (1, 2, 3, 10):
        made = EpochMap(0, rows(count))
        for number in range(count):
            key = map_key(AUDIT, POLICY, 0, number)
            found = check_row(made.head, key, made.prove(key))
            assert found is not None
            assert found.index == number
        key = map_key(AUDIT, POLICY, 0, count)
        assert check_row(made.head, key, made.prove(key)) is None


def test_somebody_elses_numbers_say_nothing() -> None:
    made = EpochMap(0, rows(5, OTHER))
    key = map_key(AUDIT, POLICY, 0, 0)
    assert check_row(made.head, key, made.prove(key)) is None


def test_a_number_that_is_there_cannot_be_shown_as_absent() -> None:
    made = EpochMap(0, rows(9))
    keys = sorted(row.key for row in rows(9))
    shown = [made.prove(key)[0] for key in keys]
    for place in range(1, 8):
        for pair in ([shown[place - 1], shown[place + 1]], [shown[place - 1]], [shown[place + 1]], [], shown[:3]):
            with pytest.raises(IntegrityError):
                check_row(made.head, keys[place], pair)
    with pytest.raises(IntegrityError):
        check_row(made.head, keys[0], [shown[-1]])


def test_a_row_that_was_changed_is_refused() -> None:
    made = EpochMap(0, rows(9))
    key = map_key(AUDIT, POLICY, 0, 3)
    (one,) = made.prove(key)
    for changed in (
        replace(one, row=replace(one.row, index=4)),
        replace(one, row=replace(one.row, leaf=bytes(32))),
        replace(one, place=one.place ^ 1),
        replace(one, path=one.path[1:]),
    ):
        with pytest.raises(IntegrityError):
            check_row(made.head, key, [changed])


def test_keys_differ_by_everything_that_they_name() -> None:
    keys = {
        map_key(audit, policy, epoch, number)
        for audit in (AUDIT, AUDIT[:-1] + b"\2")
        for policy in (POLICY, OTHER)
        for epoch in (0, 1, 256)
        for number in (0, 1, 256)
    }
    assert len(keys) == 2 * 2 * 3 * 3


def test_rows_have_one_form() -> None:
    (row,) = rows(1)
    assert Row.parse(row.encode()) == row
    for size in (0, ROW_SIZE - 1, ROW_SIZE + 1):
        with pytest.raises(IntegrityError):
            Row.parse(bytes(size))


def test_the_tree_of_the_maps_fixes_each_of_them() -> None:
    first, second = EpochMap(0, rows(3)).head, EpochMap(1, rows(2)).head
    assert maps_tree([first, second]) != maps_tree([second, first])
    assert maps_tree([first, second]) != maps_tree([first, replace(second, rows=3)])
