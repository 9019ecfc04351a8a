"""Talk names people, tells local times, and shows commands as the user types them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from panachain.cli.main import COMMANDS
from panachain.cli.output import _ACTING, _OTHERS, Output
from panachain.model.actors import Address, Role, handle_of
from tests.cli.twin import Outcome

Run = Callable[..., Outcome]
PROXY = Address("0x8617E340B3D01FA5F11F306F4090FD50E238070D")


def test_every_command_is_known_to_talk() -> None:
    assert set(COMMANDS) == _ACTING | _OTHERS


@pytest.mark.parametrize(
    ("talk", "typed"),
    [
        ("`panachain policies` lists them", "`./pana --profile me policies` lists them"),
        ("panachain devnet up", "./pana devnet up"),
        ("panachain --profile x register", "./pana --profile x register"),
        ("pip install panachain", "pip install panachain"),
        ("panachain was here", "panachain was here"),
    ],
)
def test_commands_are_shown_as_the_user_types_them(talk: str, typed: str) -> None:
    assert Output(launcher="./pana", profile="me").typed(talk) == typed


def test_programs_read_commands_as_they_are_installed() -> None:
    assert Output(as_json=True, launcher="./pana", profile="me").typed("panachain log") == "panachain log"


def test_times_in_talk_are_local(monkeypatch: pytest.MonkeyPatch) -> None:
    from panachain.cli import words

    for told in ("2026-12-28T20:37:10Z", "2026-12-28 20:37:10 UTC"):
        assert Output().people(f"until {told}, not later") == f"until {words.when(1798490230)}, not later"
        assert Output(long=True).people(told) == told


def test_a_proxy_is_told_by_its_handle() -> None:
    assert Output().people(f"proxy {PROXY}: doesn't answer") == f"proxy {handle_of(PROXY, Role.PROXY)}: doesn't answer"


def test_a_mistyped_command_is_answered_with_its_like(run: Run) -> None:
    assert "Did you mean grant?" in run("grnt").err


def test_a_wrong_value_is_a_failure_of_its_command(run: Run) -> None:
    done = run("grant", "doctor", "--category", "labs", "--purpose", "treatment", "--until", "30d")
    assert done.code == 2
    assert done.err.startswith("grant failed:")


def test_the_next_thing_after_a_mistake_is_not_the_same_again(run: Run) -> None:
    assert "same command again" not in run("upload", "no-such-file", "--patient", "me").err


def test_sample_records_go_into_a_new_folder_only(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "records"
    assert run("devnet", "records", str(folder)).code == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {"patient.json", "image.dcm"}
    assert run("devnet", "records", str(folder)).code == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_bar_leaves_standard_output_alone(tmp_path: Path) -> None:
    """On a terminal for talk only: rich would write redirected data there."""
    program = (
        "import sys; from panachain.cli.output import Output\n"
        "sys.stderr.isatty = lambda: True\n"
        "with Output().progress('records') as progress:\n"
        "    progress(1, 2, unit='records'); print('data')\n"
    )
    environment = os.environ | {"TTY_COMPATIBLE": "1", "FORCE_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60, check=True
    )
    assert done.stdout == "data\n"
    assert "1 record of 2 records" in done.stderr


@pytest.mark.parametrize(
    ("quiet", "terminal", "said"), [(False, True, True), (True, True, False), (False, False, False)]
)
def test_a_chain_that_is_read_for_the_first_time_is_told_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], quiet: bool, terminal: bool, said: bool
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    output = Output(quiet=quiet)
    output.reading_chain(1000, 2000, unit="blocks")
    output.reading_chain(2000, 2000, unit="blocks")
    told = capsys.readouterr()
    assert told.out == ""
    assert (
        told.err == "\rreading the chain: 1,000 of 2,000 blocks\rreading the chain: 2,000 of 2,000 blocks\n"
    ) is said
    assert bool(told.err) is said
