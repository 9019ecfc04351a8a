"""`classify`: what of a file is sensitive, without a profile or a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from panachain.records.sources import find_sources
from panachain.sdk.results.uploads import UploadReport
from tests.cli.twin import Outcome, Twin

Run = Callable[..., Outcome]
HIV = {
    "resourceType": "Condition",
    "id": "c1",
    "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "b20"}]},
}
COMMON = {"resourceType": "Condition", "id": "c2", "code": {"text": "sprained ankle"}}


def bundle(folder: Path) -> Path:
    path = folder / "bundle.json"
    entries = [{"resource": HIV}, {"resource": COMMON}]
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
    return path


def test_programs_get_a_line_for_each_resource(run: Run, tmp_path: Path) -> None:
    done = run("classify", str(bundle(tmp_path)), "--json")
    closed, common = (json.loads(line) for line in done.out.splitlines())
    assert (closed["schema"], closed["resource"], closed["category"]) == (
        "panachain/classified/1",
        "Condition/c1",
        "sexual-health",
    )
    assert closed["kinds"] == ["HIV"]
    assert closed["restricted"] is True
    assert closed["why"]
    assert (common["resource"], common["category"], common["kinds"]) == ("Condition/c2", "conditions", [])


def test_people_get_what_is_closed_and_counts_of_the_rest(run: Run, tmp_path: Path) -> None:
    out = run("classify", str(bundle(tmp_path))).out
    assert "Condition/c1" in out
    assert "HIV and AIDS" in out
    assert "Condition/c2" not in out
    assert "conditions" in out


def test_a_profile_that_is_not_there_is_named_with_those_that_are(run: Run, tmp_path: Path) -> None:
    done = run("classify", str(bundle(tmp_path)), "--sensitivity", "none")
    assert done.code == 2
    assert "'none'" in done.err
    assert "strict" in done.err


def test_one_bad_file_stops_no_other_and_is_named(run: Run, tmp_path: Path) -> None:
    bundle(tmp_path)
    (tmp_path / "torn.json").write_text('{"resourceType":')
    done = run("classify", str(tmp_path), "--json")
    assert done.code == 3
    assert len(done.out.splitlines()) == 2
    assert "torn.json" in done.err


def test_what_is_no_record_is_passed_over_and_named(run: Run, tmp_path: Path) -> None:
    bundle(tmp_path)
    (tmp_path / "README.txt").write_text("read me")
    done = run("classify", str(tmp_path))
    assert done.code == 0
    assert "Passed over, no records:" in done.err
    assert "README.txt (a text about the folder)" in done.err


def test_the_next_step_is_the_one_that_mends_the_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text('{"resourceType":"Patient"},\n')
    done = run("classify", str(tmp_path))
    assert done.code == 3
    assert "no comma stands between the lines of NDJSON" in done.err


WHO = "0x52908400098527886E0F7030069857D2E4169EE7"


class TestExplain:
    """`upload --dry-run --explain` shows what `classify` shows."""

    @pytest.fixture
    def explained(self, twin: Twin, tmp_path: Path) -> Path:
        path = bundle(tmp_path)
        report = UploadReport((), skipped=0, plain_bytes=2, sealed_bytes=0, dry_run=True)

        def upload_many(assigned: list[tuple[Path, str]], **more: Any) -> UploadReport:
            for source in find_sources([path for path, _ in assigned]):
                for one in source.classified():
                    more["explain"](source.path, one)
            return report

        twin.upload_many = upload_many  # type: ignore[method-assign, assignment]
        return path

    def test_people_see_the_same(self, run: Run, explained: Path) -> None:
        alone = run("classify", str(explained)).out
        assert "Condition/c1" in alone
        assert alone in run("upload", str(explained), "--patient", WHO, "--dry-run", "--explain").out

    def test_programs_get_the_same_lines_before_the_report(self, run: Run, explained: Path) -> None:
        alone = run("classify", str(explained), "--json").out.splitlines()
        *lines, report = run(
            "upload", str(explained), "--patient", WHO, "--dry-run", "--explain", "--json"
        ).out.splitlines()
        assert lines == alone
        assert json.loads(report)["schema"] == "panachain/upload/1"
        assert json.loads(lines[0]).keys() >= {"resource", "category", "kinds", "why", "unread", "emergency"}

    def test_it_takes_a_dry_run(self, run: Run, explained: Path) -> None:
        done = run("upload", str(explained), "--patient", WHO, "--explain")
        assert (done.code, "--dry-run" in done.err) == (2, True)
