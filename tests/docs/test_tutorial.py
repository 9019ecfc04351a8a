"""The README's tutorial, typed line by line as it stands, in its order, on a real devnet."""

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


def tutorial() -> list[str]:
    """Return the lines of the README from the start of the devnet to its end, with the programs of scripts/."""
    shown = [block for block in blocks(ROOT / "README.md") if block.language == "sh"]
    texts = [block.text for block in shown]
    first, last = (next(at for at, text in enumerate(texts) if word in text) for word in (FIRST, LAST))
    return [line for text in texts[first : last + 1] for line in text.splitlines()]


def test_every_line_of_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "pana").symlink_to(ROOT / "pana")
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PANACHAIN_", "PANA_"))}
    environment |= {"PANA_QUIET": "1", "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    exports: list[str] = []
    lines = tutorial()
    assert len(lines) > 20
    try:
        for line in lines:
            if line.startswith("export "):
                exports.append(line)
                continue
            script = "\n".join(["set -euo pipefail", *exports, line])
            done = subprocess.run(
                ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
            )
            expected = DENIED if "# refused" in line else 0
            assert done.returncode == expected, f"{line}\n{done.stdout}\n{done.stderr}"
            assert not WHOLE.search(done.stdout + done.stderr), f"{line}\n{done.stdout}\n{done.stderr}"
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
