"""Version: that of the code is that of the package, and of a process from its first import on."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import panachain
from panachain.version import VERSION


def test_is_that_of_the_package() -> None:
    told = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert told["project"]["version"] == VERSION == panachain.__version__


def test_is_known_before_an_update_could_change_it() -> None:
    program = "import sys, panachain; print('panachain.version' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "True"
