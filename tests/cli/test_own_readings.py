"""`readings`: a list, a PDF for its owner alone, and what is handed in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.model.actors import Address, PolicyId, Role
from panachain.sdk.report_pdf import Report
from panachain.sdk.results.records import OwnReading
from tests.cli.twin import Outcome, Twin

Run = Callable[..., Outcome]
READING = OwnReading(
    PolicyId("0x" + "a1" * 20), Address("0x" + "11" * 20), "TREAT", 1_790_000_000, 3, categories=("laboratory",)
)
REPORT = Report("A report", 2026, 0, 1, (), ("A sentence.",), (), complete=True)


@pytest.fixture
def asked(twin: Twin) -> list[Any]:
    calls: list[Any] = []

    def share(year: int, *, name: str = "") -> Report:
        calls.append((year, name))
        return REPORT

    def hand_in(year: int) -> bytes:
        calls.append(year)
        return b"{}"

    def house(year: int, files: Any, *, name: str) -> Report:
        calls.append((year, files, name))
        return REPORT

    twin.readings = [READING]  # type: ignore[attr-defined]
    twin.share = SimpleNamespace(report=share, hand_in=hand_in)  # type: ignore[attr-defined]
    twin.report = house  # type: ignore[attr-defined]
    twin.role = Role.PRACTITIONER  # type: ignore[attr-defined]
    return calls


def test_a_list_fits_and_says_whose_log_is_whole(run: Run, asked: list[Any]) -> None:
    outcome = run("readings")
    assert outcome.code == 0, outcome.err
    assert "laboratory" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 100
    assert "own log shows everything" in outcome.err
    assert json.loads(run("readings", "--json").out)["schema"] == "panachain/own-reading/1"


def test_a_report_and_a_share_are_files_for_their_owner_alone(run: Run, asked: list[Any], tmp_path: Path) -> None:
    pdf, share = tmp_path / "a.pdf", tmp_path / "a.share"
    assert run("readings", "--report", "2026", "--to", str(pdf), "--name", "x").code == 0
    assert pdf.read_bytes().startswith(b"%PDF")
    outcome = run("readings", "--hand-in", "2026", "--to", str(share))
    assert outcome.code == 0, outcome.err
    assert "It names patients" in outcome.err
    assert [file.stat().st_mode & 0o777 for file in (pdf, share)] == [0o600, 0o600]
    assert asked == [(2026, "x"), 2026]
    assert run("readings", "--hand-in", "2026", "--to", str(share)).code == 2
    assert run("readings", "--report", "2026", "--of", str(share), "--to", str(tmp_path / "b")).code == 2


def test_a_hospital_gives_what_was_handed_in(run: Run, twin: Twin, asked: list[Any], tmp_path: Path) -> None:
    twin.role = Role.HOSPITAL  # type: ignore[attr-defined]
    (tmp_path / "doctor.share").write_bytes(b"{}")
    share = str(tmp_path / "doctor.share")
    outcome = run("readings", "--report", "2026", "--of", share, "--to", str(tmp_path / "ours.pdf"))
    assert outcome.code == 0, outcome.err
    assert asked == [(2026, [("doctor.share", b"{}")], "")]


def test_what_does_not_go_together_is_refused(run: Run, asked: list[Any]) -> None:
    both = ["--hand-in", "2026", "--report", "2026", "--to", "x"]
    for options in (["--to", "x"], ["--report", "2026"], ["--hand-in", "2026"], ["--name", "x"], both):
        assert run("readings", *options).code == 2
