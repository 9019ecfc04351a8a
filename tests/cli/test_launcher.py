"""`./pana`: runs from anywhere, and says what a machine lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PANA = ROOT / "pana"


def launch(program: Path, *arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that is not set up, in a folder with a space."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    shutil.copy(PANA, folder / "pana")
    return folder


def test_shell_accepts_the_scripts() -> None:
    for script in ("pana", ".ci/run", ".ci/lint"):
        subprocess.run(["bash", "-n", ROOT / script], check=True, timeout=10)


def test_says_when_there_is_no_fitting_python(checkout: Path) -> None:
    done = launch(checkout / "pana", "--help", folder=checkout, PANA_PYTHON="/bin/false")
    assert done.returncode == 1
    assert "not a Python 3.11 or 3.12" in done.stderr
    assert not (checkout / ".venv").exists()


def test_says_when_python_can_make_no_environments(checkout: Path) -> None:
    fake = checkout / "python"
    fake.write_text('#!/bin/sh\ncase "$*" in *ensurepip*) exit 1 ;; *) exit 0 ;; esac\n')
    fake.chmod(0o755)
    done = launch(checkout / "pana", "--help", folder=checkout, PANA_PYTHON=str(fake))
    assert done.returncode == 1
    assert "python3-venv" in done.stderr


@pytest.mark.parametrize("name", ["", "../pana", "-x", "a b"])
def test_bench_takes_only_names(checkout: Path, name: str) -> None:
    assert launch(checkout / "pana", "bench", name, folder=checkout).returncode == 2


@pytest.mark.skipif(not (ROOT / ".venv" / ".pana" / "run.txt").is_file(), reason="./pana has not set this checkout up")
def test_runs_from_another_folder_through_a_link(tmp_path: Path) -> None:
    link = tmp_path / "a link"
    link.symlink_to(PANA)
    done = launch(link, "--help", folder=tmp_path)
    assert done.returncode == 0
    assert "Health records" in done.stdout
