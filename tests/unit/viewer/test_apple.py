"""Apple Health as tables, newest first, a table for each type."""

from __future__ import annotations

import pytest

from panachain.viewer.apple import MOST_ROWS, read_export
from panachain.viewer.items import UnreadableError

ROW = '<Record type="HKQuantityTypeIdentifierHeartRate" sourceName="Watch" unit="count/min" startDate="{}" value="{}"/>'


def test_makes_a_table_of_each_type() -> None:
    rows = ROW.format("2020-01-01", 60) + ROW.format("2021-01-01", 70)
    (table,), is_all = read_export(f"<HealthData>{rows}</HealthData>".encode())
    assert (table.title, is_all) == ("Heart Rate", True)
    assert [row[0] for row in table.rows] == ["2021-01-01", "2020-01-01"]


def test_more_than_is_shown_is_said() -> None:
    (table,), is_all = read_export(f"<HealthData>{ROW.format('2020', 1) * (MOST_ROWS + 1)}</HealthData>".encode())
    assert (len(table.rows), is_all) == (MOST_ROWS, False)


def test_declared_entities_are_refused() -> None:
    with pytest.raises(UnreadableError):
        read_export(b'<!DOCTYPE a [<!ENTITY e "x">]><HealthData/>')
