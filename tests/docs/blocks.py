"""Code blocks of the documents: where they stand, and in which language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROSE = {"text", "mermaid", "solidity"}
"""Languages of blocks that nobody runs: output, formats, pictures, and code that the contracts' own tests hold."""


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    path: Path
    line: int
    """Number of the first line after the fence, from 1."""
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"

    @property
    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield each line with its number in the file; lines that end in a backslash are put together."""
        number, whole = 0, ""
        for at, line in enumerate(self.text.splitlines(), self.line):
            number = number or at
            if line.endswith("\\"):
                whole += line[:-1]
                continue
            yield number, whole + line
            number, whole = 0, ""


def documents() -> list[Path]:
    """Return every document that a reader is sent to."""
    top = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md")]
    return [*top, *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a document.

    Raises:
        ValueError: a fence isn't closed.
    """
    found: list[Block] = []
    start, language = 0, ""
    held: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r" {0,3}```+ *([\w-]*)", line)
        if not fence:
            if start:
                held.append(line)
        elif start:
            found.append(Block(path, start, language, "\n".join(held) + "\n"))
            start = 0
        else:
            start, language, held = number + 1, fence[1], []
    if start:
        raise ValueError(f"{path}:{start}: the fence isn't closed")
    return found


def indented(path: Path) -> list[int]:
    """Return the lines where a block begins that is only indented, so that nobody knows its language."""
    found, fenced, before = [], False, ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if re.match(r" {0,3}```", line):
            fenced = not fenced
        begins = line.startswith("    ") and bool(line.strip()) and not before.strip()
        if begins and not fenced and not in_list(path, number):
            found.append(number)
        before = line
    return found


def in_list(path: Path, number: int) -> bool:
    """Tell whether a line goes on with an item of a list, which is indented too."""
    for line in reversed(path.read_text(encoding="utf-8").splitlines()[: number - 1]):
        if re.match(r"\s*([-*]|\d+\.) ", line):
            return True
        if line.strip() and not line.startswith(" "):
            return False
    return False
