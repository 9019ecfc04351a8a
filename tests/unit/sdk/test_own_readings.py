"""Own openings: remembered sealed, a file for each year and the newest of it, and lost without harm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from panachain.model.actors import Address, PolicyId
from panachain.sdk import own_readings
from panachain.sdk.kept import Kept
from panachain.sdk.own_readings import OwnReadings
from panachain.sdk.results.records import OwnReading, OwnReceipt
from tests.twin.world import seed_of

READING = OwnReading(
    PolicyId("0x" + "a1" * 20), Address("0x" + "11" * 20), "TREAT", 5, 3, 1, categories=("laboratory",), years=(2024, 0)
)


def test_what_is_added_is_there_in_order(tmp_path: Path) -> None:
    kept = OwnReadings(tmp_path, seed_of("clinician"))
    assert kept.all() == []
    kept.begin(READING)
    kept.begin(replace(READING, at=6))
    assert OwnReadings(tmp_path, seed_of("clinician")).all() == [READING, replace(READING, at=6)]


def test_an_end_takes_the_place_of_its_beginning(tmp_path: Path) -> None:
    kept = OwnReadings(tmp_path, seed_of("clinician"))
    other, begun = replace(READING, at=1), replace(READING, records=0)
    for one in (begun, other):
        kept.begin(one)
    kept.end(begun, READING)
    assert kept.all() == [other, READING]
    kept.end(begun, READING)
    assert kept.all() == [other, READING, READING]


def test_nobody_else_reads_it(tmp_path: Path) -> None:
    OwnReadings(tmp_path, seed_of("clinician")).begin(READING)
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert b"laboratory" not in file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert OwnReadings(tmp_path, seed_of("nurse")).all() == []


def test_the_oldest_ones_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_readings, "MOST", 2)
    kept = OwnReadings(tmp_path, seed_of("clinician"))
    for at in range(4):
        kept.begin(replace(READING, at=at))
    assert [one.at for one in kept.all()] == [2, 3]
    assert (kept.dropped(1970), kept.dropped(1971)) == (2, 0)


def test_each_year_has_its_own_and_what_earlier_programs_kept_comes_first(tmp_path: Path) -> None:
    year = 365 * 86_400
    kept = OwnReadings(tmp_path, seed_of("clinician"))
    fields = own_readings._fields(replace(READING, at=1))
    del fields["receipts"]
    Kept(tmp_path, seed_of("clinician"), "readings").write({"v": 1, "readings": [fields]})
    for at in (year * 2, year):
        kept.begin(replace(READING, at=at, receipts=(OwnReceipt(READING.patient, 4, bytes(32)),)))
    assert [one.at for one in kept.all()] == [1, year, year * 2]
    assert [len(one.receipts) for one in kept.all()] == [0, 1, 1]
    assert kept.all()[1].receipts[0].sequence == 4


@pytest.mark.parametrize(
    "content", [{"v": 2, "readings": []}, {"v": 1, "readings": [{}]}, [], {"v": 1, "readings": [7]}]
)
def test_what_has_another_form_is_as_good_as_nothing(tmp_path: Path, content: object) -> None:
    Kept(tmp_path, seed_of("clinician"), "readings").write(content)
    kept = OwnReadings(tmp_path, seed_of("clinician"))
    assert kept.all() == []
    kept.begin(READING)
    assert kept.all() == [READING]
