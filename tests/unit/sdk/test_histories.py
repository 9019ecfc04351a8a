"""Histories: what each version of a resource changed, by the names of its members."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from panachain.sdk.histories import MOST_MEMBERS, changed
from tests.twin.world import World
from tests.unit.sdk.test_changes import bundle, publish, stamped


class TestChanged:
    @pytest.mark.parametrize(
        ("old", "new", "paths"),
        [
            ({"a": 1}, {"a": 1}, []),
            ({"a": 1}, {"a": 2}, ["a"]),
            ({"a": 1}, {"b": 1}, ["a", "b"]),
            ({"code": {"text": "x", "coding": []}}, {"code": {"text": "y", "coding": []}}, ["code.text"]),
            ({"c": [{"v": 1}, {"v": 2}]}, {"c": [{"v": 1}, {"v": 3}]}, ["c[1].v"]),
            ({"c": [1]}, {"c": [1, 2]}, ["c"]),
            ({"meta": {"versionId": "1"}}, {"meta": {"versionId": "2", "lastUpdated": "x"}}, []),
            ({}, {"meta": {"versionId": "2", "tag": []}}, ["meta.tag"]),
        ],
    )
    def test_names_each_member_that_differs(self, old: Any, new: Any, paths: list[str]) -> None:
        assert changed(old, new) == paths

    def test_names_so_many_at_most(self) -> None:
        assert len(changed({}, {str(number): number for number in range(100)})) == MOST_MEMBERS


def test_all_versions_are_there_with_what_they_changed(world: World, tmp_path: Path) -> None:
    publish(world, tmp_path / "1", bundle(stamped(1, valueString="wrong"), stamped(2)))
    publish(world, tmp_path / "2", bundle(stamped(1, "2024-07-02T00:00:00Z", valueString="right", status="amended")))
    opening = world.patient.records(history=True)
    records = list(opening)
    (history,) = opening.histories()
    assert (history.resource, history.hospital) == ("Observation/n1", world.hospital.address)
    assert [(one.state, one.changed) for one in history.versions] == [
        ("superseded", ()),
        ("current", ("status", "valueString")),
    ]
    assert {one.record for one in history.versions} == {record.info.header_cid for record in records}
    assert opening.behind.total == 0
    assert json.loads(json.dumps(history.to_json()))["versions"][1]["changed"] == ["status", "valueString"]
