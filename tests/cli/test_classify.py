"""`classify`: what of a file is sensitive, without a profile or a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.twin import Outcome

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
