#!/usr/bin/env python3
"""Print the sum of the closing lines that pytest wrote into some files, in the form of such a line.

Exits with 1 where a line is missing or no test ran, so that CI can't pass without tests.

    scripts/sum_tests.py [--lines N] FILE...
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Final

COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
CLOSING: Final = re.compile(r"=* ?((?:\d+ [a-z ]+(?:, )?)+) in ([0-9.]+)s\b.*")
"""`=== 12 passed, 1 skipped in 3.45s ===`; `pytest -q` writes it without the signs."""
PART: Final = re.compile(r"(\d+) ([a-z]+(?: [a-z]+)?)")
ORDER: Final = ("failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "warnings", "errors")


def closing_lines(text: str) -> list[tuple[Counter[str], float]]:
    """Return what each closing line counts, and its seconds."""
    found = []
    for line in COLOUR.sub("", text).splitlines():
        if match := CLOSING.fullmatch(line):
            counts = Counter({_plural(word): int(number) for number, word in PART.findall(match[1])})
            if counts.keys() <= {*ORDER, "subtests passed", "subtests failed"}:
                found.append((counts, float(match[2])))
    return found


def _plural(word: str) -> str:
    return {"warning": "warnings", "error": "errors"}.get(word, word)


def summed(lines: list[tuple[Counter[str], float]]) -> str:
    """Return one closing line for all of them."""
    total: Counter[str] = Counter()
    for counts, _ in lines:
        total.update(counts)
    parts = ", ".join(f"{total[word]} {word}" for word in ORDER if total[word])
    return f"=== {parts} in {sum(seconds for _, seconds in lines):.2f}s ==="


def main(arguments: list[str]) -> int:
    """Print the sum; return 1 if a line is missing, no test ran or one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1, help="closing lines that there must be, in all files together")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    lines = [line for path in options.files for line in closing_lines(path.read_text("utf-8", "replace"))]
    if len(lines) < options.lines:
        print(f"{len(lines)} of {options.lines} closing lines of pytest are there", file=sys.stderr)
        return 1
    print(summed(lines))
    without = [counts for counts, _ in lines if not counts["passed"] + counts["failed"] + counts["errors"]]
    return 1 if without or any(counts["failed"] + counts["errors"] for counts, _ in lines) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
