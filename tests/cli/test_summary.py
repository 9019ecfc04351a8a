"""The command `summary`: the document alone on standard output, or a new private file, and what is missing is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from panachain.errors import InputError, Omission
from panachain.sdk.results.summaries import PatientSummary
from tests.cli.twin import Outcome, Twin

POLICY = "0x52908400098527886E0F7030069857D2E4169EE7"
MADE = PatientSummary(b'{"resourceType":"Bundle"}', {"allergies": 1, "problems": 0}, records=2, hospitals=1)
Run = Callable[..., Outcome]


def answering(twin: Twin, made: PatientSummary) -> None:
    opening = SimpleNamespace(summary=lambda *, now: made)
    twin.answers |= {"records": opening, "open": opening}


def test_a_patients_own_goes_to_standard_output_and_nothing_else(run: Run, twin: Twin) -> None:
    answering(twin, MADE)
    outcome = run("summary")
    assert (outcome.code, json.loads(outcome.out)) == (0, {"resourceType": "Bundle"})
    assert [name for name, _, _ in twin.calls] == ["records"]


def test_a_practitioners_is_of_a_policy(run: Run, twin: Twin, tmp_path: Path) -> None:
    answering(twin, MADE)
    outcome = run("summary", POLICY, "-o", str(tmp_path / "ips.json"), "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["schema"] == "panachain/summary/1"
    assert json.loads(outcome.out)["file"] == str(tmp_path / "ips.json")
    assert [name for name, _, _ in twin.calls] == ["open"]
    assert (tmp_path / "ips.json").stat().st_mode & 0o777 == 0o600
    assert "allergies (1)" in run("summary", POLICY, "-o", str(tmp_path / "other.json")).out


def test_a_file_that_is_there_is_left_as_it_is(run: Run, twin: Twin, tmp_path: Path) -> None:
    answering(twin, MADE)
    (tmp_path / "ips.json").write_text("mine")
    assert run("summary", "-o", str(tmp_path / "ips.json")).code == 2
    assert (tmp_path / "ips.json").read_text() == "mine"
    assert twin.calls == []


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_what_may_be_missing_is_said_beside_it(run: Run, twin: Twin, quiet: list[str]) -> None:
    answering(twin, replace(MADE, withheld=("mental-health",), differs=True))
    outcome = run("summary", *quiet)
    assert "may be withheld" in outcome.err
    assert "mental-health" in outcome.err
    assert "different persons" in outcome.err


def test_records_that_could_not_be_read_end_it_with_3(run: Run, twin: Twin, tmp_path: Path) -> None:
    answering(twin, replace(MADE, omissions=(Omission(POLICY, "record bafy", InputError("torn")),)))
    outcome = run("summary", "-o", str(tmp_path / "ips.json"))
    assert outcome.code == 3
    assert "torn" in outcome.err
    assert json.loads((tmp_path / "ips.json").read_text()) == {"resourceType": "Bundle"}
