"""The README's tutorial, typed line by line in its order, on a real devnet."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from panachain.records.samples import sample_bundle
from tests.docs.blocks import ROOT, blocks

pytestmark = [pytest.mark.deep, pytest.mark.timeout(1200)]
FIRST, LAST = "devnet up", "devnet down"


def tutorial() -> list[str]:
    """Return the lines of the README from the start of the devnet to its end, with the programs of scripts/."""
    shown = [block for block in blocks(ROOT / "README.md") if block.language == "sh"]
    texts = [block.text for block in shown]
    first, last = (next(at for at, text in enumerate(texts) if word in text) for word in (FIRST, LAST))
    programs = [line for text in texts for line in text.splitlines() if line.startswith("python scripts/")]
    lines = [line for text in texts[first : last + 1] for line in text.splitlines()]
    down = next(at for at, line in enumerate(lines) if LAST in line)
    return [*lines[:down], *programs, lines[down]]


def test_every_line_of_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "pana").symlink_to(ROOT / "pana")
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "bundle.json").write_bytes(sample_bundle(1))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PANACHAIN_", "PANA_"))}
    environment |= {"PANA_QUIET": "1", "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    exports: list[str] = []
    known = {"0x…": "", "gro-…": "", "pra-…": ""}
    lines = tutorial()
    assert len(lines) > 20
    try:
        for line in lines:
            if line.startswith("export "):
                exports.append(line)
                continue
            for placeholder, value in known.items():
                line = line.replace(placeholder, value or placeholder)
            script = "\n".join(["set -euo pipefail", *exports, line])
            done = subprocess.run(
                ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            if found := re.search(r"\b0x[0-9a-fA-F]{8,40}", done.stdout):
                known["0x…"] = found[0] if " grant " in line else known["0x…"]
            for kind in ("gro", "pra"):
                if found := re.search(rf"\b{kind}-[a-z2-7]+", done.stdout):
                    known[f"{kind}-…"] = known[f"{kind}-…"] or found[0]
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
    assert all(known.values())
    assert list((tmp_path / "opened").glob("*.fhir.json"))
