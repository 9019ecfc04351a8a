"""Changes: a new export publishes what changed, resource by resource, and nothing twice."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from panachain.model.records import STATEMENT
from panachain.records import publish as publish_module
from panachain.records.canonical import resources
from panachain.sdk.results.uploads import UploadReport
from panachain.sdk.uploads import Upload
from tests.twin.world import World, resource
from tests.unit.sdk.helpers import again


def bundle(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    held = [{"fullUrl": f"https://h.example/{one['resourceType']}/{one['id']}", "resource": one} for one in entries]
    return {"resourceType": "Bundle", "type": "searchset", **more, "entry": held}


def stamped(number: int, when: str = "2024-07-01T00:00:00Z", **more: Any) -> dict[str, Any]:
    return resource("laboratory", 2024, number) | {"meta": {"lastUpdated": when}} | more


def publish(world: World, folder: Path, *sources: dict[str, Any], **more: Any) -> UploadReport:
    folder.mkdir(exist_ok=True)
    for source in sources:
        (folder / f"{len(list(folder.iterdir()))}.json").write_text(json.dumps(source))
    report: UploadReport = world.sessions["hospital"].upload([folder], world.patient.address, **more)
    return report


class EndedError(Exception):
    """The program ends here."""


def broken_off(send: Callable[[Upload], None]) -> Callable[[Upload], None]:
    """Return what sends one batch, and then ends."""

    def once(upload: Upload) -> None:
        send(upload)
        raise EndedError

    return once


def seen(world: World) -> list[dict[str, Any]]:
    """Return the resources that were published, as often as they were."""
    return [
        json.loads(one)
        for record in again(world).records(history=True)
        if record.info.media_type == "application/fhir+json" and b'"entry"' in record.content
        for one in resources(record.content)
    ]


class TestExportAgain:
    def test_only_another_time_is_nothing_new(self, world: World, tmp_path: Path) -> None:
        first = publish(
            world, tmp_path / "1", bundle(stamped(1), meta={"lastUpdated": "2024-07-01T00:00:00Z"}, total=1)
        )
        block = world.network.mainchain.head_block().number
        export = bundle(
            stamped(1, "2024-07-02T00:00:00Z"), id="another", total=9, meta={"lastUpdated": "2024-07-02T00:00:00Z"}
        )
        second = publish(world, tmp_path / "2", export)
        assert (len(first.records), len(second.records), second.unchanged) == (2, 0, 1)
        assert world.network.mainchain.head_block().number == block

    def test_both_exports_in_one_folder_are_one_as_well(self, world: World, tmp_path: Path) -> None:
        report = publish(world, tmp_path / "1", bundle(stamped(1)), bundle(stamped(1, "2024-07-02T00:00:00Z"), total=1))
        assert (report.unchanged, len(seen(world))) == (1, 1)

    def test_what_changed_is_published_alone_with_its_very_bytes(self, world: World, tmp_path: Path) -> None:
        publish(world, tmp_path / "1", bundle(stamped(1), stamped(2), stamped(3)))
        before = len(seen(world))
        changed = stamped(2, "2024-07-02T00:00:00Z", valueString="corrected")
        report = publish(world, tmp_path / "2", bundle(stamped(1, "2024-07-03T00:00:00Z"), changed, stamped(3)))
        assert (len(report.records), report.unchanged, report.skipped, before) == (1, 2, 0, 3)
        assert changed in seen(world)

    def test_a_value_that_comes_back_is_news(self, world: World, tmp_path: Path) -> None:
        for number, value in enumerate(("a", "b", "a")):
            report = publish(
                world, tmp_path / str(number), bundle(stamped(1, f"2024-07-0{number + 1}T00:00:00Z", valueString=value))
            )
            assert len(report.records) == 1

    def test_a_dry_run_says_the_same(self, world: World, tmp_path: Path) -> None:
        publish(world, tmp_path / "1", bundle(stamped(1)))
        with patch.object(world.network.mainchain.ledger, "estimate_store", return_value=1):
            report = publish(
                world, tmp_path / "2", bundle(stamped(1, "2024-07-02T00:00:00Z"), stamped(2)), dry_run=True
            )
        assert (len(report.records), report.unchanged) == (1, 1)

    def test_what_has_neither_id_nor_urn_is_published_each_time(self, world: World, tmp_path: Path) -> None:
        bare = {key: value for key, value in stamped(1).items() if key != "id"}
        for number in range(2):
            source = {"resourceType": "Bundle", "type": "collection", "total": number, "entry": [{"resource": bare}]}
            publish(world, tmp_path / str(number), source)
        assert len(seen(world)) == 2

    def test_a_source_that_says_something_twice_is_published_as_it_is(self, world: World, tmp_path: Path) -> None:
        publish(world, tmp_path / "1", bundle(stamped(1), stamped(1)))
        assert len(seen(world)) == 2


class TestAttachments:
    def test_files_of_what_did_not_change_stay_where_they_are(self, world: World, tmp_path: Path) -> None:
        def document(number: int, text: bytes, **more: Any) -> dict[str, Any]:
            held = {"contentType": "text/plain", "data": base64.b64encode(text).decode()}
            return {
                "resourceType": "DocumentReference",
                "id": f"d{number}",
                "date": "2024-03-04T00:00:00Z",
                "content": [{"attachment": held}],
            } | more

        first = publish(world, tmp_path / "1", bundle(document(1, b"one" * 50), document(2, b"two" * 50)))
        changed = document(2, b"another" * 50, description="mended")
        second = publish(world, tmp_path / "2", bundle(document(1, b"one" * 50), changed))
        assert (len(first.records), len(second.records), second.unchanged) == (3, 2, 1)
        assert changed in seen(world)


class TestOtherLanes:
    def test_one_that_moved_is_told_once_in_its_old_lane(self, world: World, tmp_path: Path) -> None:
        def moved(year: int, value: str) -> dict[str, Any]:
            return resource("laboratory", year, 1) | {"valueString": value}

        publish(world, tmp_path / "1", bundle(moved(2024, "a")))
        second = publish(world, tmp_path / "2", bundle(moved(2025, "b")))
        third = publish(world, tmp_path / "3", bundle(moved(2025, "c")))
        assert [(one.year, one.media_type == STATEMENT) for one in second.records] == [(2025, False), (2024, True)]
        assert [(one.year, one.media_type == STATEMENT) for one in third.records] == [(2025, False)]

    def test_a_deletion_of_what_nobody_published_goes_to_documents(self, world: World, tmp_path: Path) -> None:
        entry = {"request": {"method": "DELETE", "url": "Observation/unknown"}}
        source = {"resourceType": "Bundle", "type": "history", "entry": [entry]}
        report = publish(world, tmp_path / "1", source)
        assert [one.category.value for one in report.records] == ["documents"]

    def test_a_deletion_and_a_change_in_one_bundle_go_their_ways(self, world: World, tmp_path: Path) -> None:
        publish(world, tmp_path / "1", bundle(stamped(1), resource("vitals", 2024, 2)))
        changed = bundle(stamped(1, "2024-07-02T00:00:00Z", valueString="x"))
        changed["entry"].append({"request": {"method": "DELETE", "url": "Observation/n2"}})
        report = publish(world, tmp_path / "2", changed)
        assert sorted(one.category.value for one in report.records) == ["laboratory", "vitals"]


class TestInterruptions:
    def test_a_source_that_was_broken_off_sends_nothing_twice(self, world: World, tmp_path: Path) -> None:
        """What goes to other lanes goes with its record, and isn't sent again with the rest of its source."""
        publish(world, tmp_path / "1", bundle(stamped(1), stamped(2)))
        lines = [stamped(1, "2024-07-02T00:00:00Z", effectiveDateTime="2025-03-04"), resource("vitals", 2025, 5)]
        (tmp_path / "2").mkdir()
        (tmp_path / "2" / "lines.ndjson").write_text("\n".join(map(json.dumps, lines)))
        with (
            patch.object(publish_module, "MAX_RECORDS", 1),
            patch.object(Upload, "_send", broken_off(Upload._send)),
            pytest.raises(EndedError),
        ):
            world.sessions["hospital"].upload([tmp_path / "2"], world.patient.address)
        before = [record.record_id for record in again(world, "hospital").records()]
        report = world.sessions["hospital"].upload([tmp_path / "2"], world.patient.address)
        after = [record.record_id for record in world.sessions["hospital"].records()]
        assert (len(before), len(report.records), len(after)) == (3, 1, 4)

    def test_a_journal_that_was_lost_learns_from_the_same_files(self, world: World, tmp_path: Path) -> None:
        publish(world, tmp_path / "1", bundle(stamped(1), stamped(2)))
        for path in world.hospital.profile.folder.glob("journal.sqlite*"):
            path.unlink()
        again(world, "hospital")
        assert not publish(world, tmp_path / "1").records
        report = publish(world, tmp_path / "2", bundle(stamped(1, "2024-07-02T00:00:00Z"), stamped(3)))
        assert (len(report.records), report.unchanged) == (1, 1)
