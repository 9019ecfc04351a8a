"""Writes golden files: one for each stored or signed format, which tests open for ever (docs/spec/compatibility.md).

    python scripts/make_golden.py [--again NAME ...] [--all]

Without arguments it writes the files that are missing, such as that of a version that was just raised. `--again NAME`
and `--all` remove the files of all versions and write those of today anew: that is for formats in which no release has
written anything yet; what one wrote is kept.
How each format is written and opened is in tests/golden/formats.py.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Write the files."""
    sys.path.insert(0, str(ROOT))
    # By this name, since some installed packages bring a package `tests` of their own.
    tests = ModuleType("tests")
    vars(tests)["__path__"] = [str(ROOT / "tests")]
    sys.modules["tests"] = tests
    import_module("tests.golden.formats").main(sys.argv[1:])


if __name__ == "__main__":
    main()
