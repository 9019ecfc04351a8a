"""Worker processes: replaced when they die, given up when they fail at their start, ended in time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_children_of_one_parent_draw_different_random_numbers() -> None:
    code = (
        "import os\n"
        "from panachain.crypto import umbral\n"
        "umbral.SecretKey.random()\n"
        "for _ in range(2):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        os.write(1, umbral.SecretKey.random().public.hex().encode() + b'\\n')\n"
        "        os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=60, check=True)
    assert len(set(done.stdout.split())) == 2
