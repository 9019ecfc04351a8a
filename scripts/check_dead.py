"""Dead code: vulture, which is told what templates read of a result, since it reads Python only.

    .venv/bin/python scripts/check_dead.py

Prints what nothing uses, and exits with 3 if there is any, as vulture does.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
_EXPRESSION: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_TEXT: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_MEMBER: Final = re.compile(r"(?<=\.)[A-Za-z_]\w*")


def members(template: str) -> set[str]:
    """Return the names of members that a template reads."""
    return {name for one in _EXPRESSION.findall(template) for name in _MEMBER.findall(_TEXT.sub("", one))}


def main() -> int:
    """Run vulture over the project."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["vulture"]
    read: set[str] = set()
    for file in sorted((ROOT / "panachain").rglob("templates/**/*.html")):
        read |= members(file.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / "templates.py"
        named.write_text("".join(f"_.{name}\n" for name in sorted(read)), "utf-8")
        vulture = Path(sys.executable).with_name("vulture")
        return subprocess.run([vulture, *settings["paths"], named], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
