"""The README's tutorial, typed line by line as it stands, in its order, on a real devnet; it shows what is seen."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks

pytestmark = [pytest.mark.deep, pytest.mark.timeout(1200)]
FIRST, LAST = "devnet up", "devnet down"
DENIED = 5
WHOLE = re.compile(r"0x[0-9a-fA-F]{40}")
"""An address or an ID that nobody shortened."""


def tutorial() -> list[tuple[list[str], list[str]]]:
    """Return the README's blocks from the start of the devnet to its end, with the programs of scripts/.

    Of each its lines, and the lines that the README shows below it as what is printed.
    """
    shown = [block for block in blocks(ROOT / "README.md") if block.language in ("sh", "text")]
    first, last = (next(at for at, block in enumerate(shown) if word in block.text) for word in (FIRST, LAST))
    found: list[tuple[list[str], list[str]]] = []
    for block in shown[first : last + 1]:
        lines = block.text.splitlines()
        if block.language == "sh":
            found.append((lines, []))
        else:
            found[-1][1].extend(line for line in lines if line != "…")
    return found


def alike(line: str) -> str:
    """Return a line with one time, one ID and one count of gas for all, and without what aligns its columns."""
    # A zero in a digest costs less: of two uploads of the same records one may take 12 gas less than the other.
    line = re.sub(r"\b\d{2,3},\d{3} gas\b", "GAS", line)
    line = re.sub(r"\b\d{1,2} [A-Z][a-z]{2} \d{4}, \d\d:\d\d", "TIME", line)
    return re.sub(r" +", " ", re.sub(r"\b0x[0-9a-fA-F]{8}\b", "ID", line)).strip()


def test_the_readme_shows_outputs() -> None:
    assert sum(bool(shown) for _, shown in tutorial()) >= 4
    assert alike("34,750 gas in 1 transaction.") == alike("34,738 gas in 1 transaction.")
    assert alike("0xBA92F02f  active   12 Dec 2026, 21:38 (in 14 days)") == "ID active TIME (in 14 days)"


def test_every_line_of_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "pana").symlink_to(ROOT / "pana")
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PANACHAIN_", "PANA_"))}
    environment |= {
        "PANA_QUIET": "1",
        "COLUMNS": "100",
        "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    exports: list[str] = []
    steps = tutorial()
    assert sum(len(lines) for lines, _ in steps) > 20
    try:
        for lines, shown in steps:
            printed: set[str] = set()
            for line in lines:
                if line.startswith("export "):
                    exports.append(line)
                    continue
                script = "\n".join(["set -euo pipefail", *exports, line])
                done = subprocess.run(
                    ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
                )
                said = f"{line}\n{done.stdout}\n{done.stderr}"
                assert done.returncode == (DENIED if "# refused" in line else 0), said
                assert not WHOLE.search(done.stdout + done.stderr), said
                printed |= {alike(one) for one in (done.stdout + done.stderr).splitlines()}
            for line in shown:
                assert alike(line) in printed, f"the README shows {line!r}, which is not in {sorted(printed)}"
    finally:
        # Ended also where a line failed; where all went well it is down already.
        subprocess.run(
            ["bash", "-c", "\n".join([*exports, "./pana devnet down"])],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            timeout=120,
            check=False,
        )
    assert list((tmp_path / "opened").glob("*.fhir.json"))
