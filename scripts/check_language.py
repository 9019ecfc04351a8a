"""Check the words of comments, docstrings and documents: persons are "they" or a role, and sentences have a subject.

A patient, a clinician and an attacker may be anybody, so no text of ours calls one of them "he" or "she". A relative
clause without its noun ("a grant by who pays") stops every reader once. Looks at every file that git tracks, in Python
also at the texts that people are shown, and changes nothing. A quotation keeps its words: it is named in `QUOTED`.

    python scripts/check_language.py [ROOT]
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ENDINGS = {".py", ".sol", ".md", ".sh", ".html", ""}
"""Endings of the files that are read; files without one are `pana`, `.ci/run` and the like."""
ELSEWHERE = ("LICENSE", "tests/vectors/", "scripts/check_language.py", "tests/unit/test_language.py")
"""Texts of others, and the two files that name the words which they look for."""
QUOTED: tuple[tuple[str, str], ...] = ()
"""Path and words of each quotation that may say "he" or "she"."""

PERSON = re.compile(r"\b(?:he|his|him|himself|she|hers?|herself)\b", re.IGNORECASE)
_INSIDE = r"\b(?:so that|than|let|lets|suspends|serves?|admits?|and give) who (?!may\b|can\b|is in\b)"
_BEFORE = r"Who (?:holds|waits|leaves|left|needs|names|pays|stops|relays|owns|trusts|has the)\b"
HEADLESS = re.compile(rf"{_INSIDE}|(?:^\W*|[.;] ){_BEFORE}[^?]*$")
"""Clauses that began so once; a question ("Who may call what") is none of them."""
ANY = re.compile(rf"{PERSON.pattern}|{_INSIDE}|{_BEFORE}", re.IGNORECASE)
"""What a file has that is worth taking apart; most have nothing of it."""


def main(root: Path) -> int:
    """Print each line that calls a person by a pronoun or has a clause without a noun; return 1 if there is any."""
    faults = [f"{path}:{line}: {fault}" for path in tracked(root) for line, fault in check_file(root, path)]
    print("\n".join(faults) if faults else "persons are called by their role, and sentences have a subject")
    return 1 if faults else 0


def tracked(root: Path) -> list[str]:
    """Return the files to read, as git lists them: tracked, and new ones that it doesn't ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.splitlines()
    return [
        name
        for name in names
        if Path(name).suffix in ENDINGS and not name.startswith(ELSEWHERE) and (root / name).is_file()
    ]


def check_file(root: Path, name: str) -> Iterator[tuple[int, str]]:
    """Yield line and fault of each sentence that shouldn't stand in a file."""
    text = (root / name).read_text()
    if not ANY.search(text):
        return
    for number, line in prose(name, text):
        if any(path == name and words in line for path, words in QUOTED):
            continue
        if found := PERSON.search(line):
            yield number, f'"{found[0]}" for a person: say "they" or the role, or make the quotation one of QUOTED'
        if found := HEADLESS.search(line):
            yield number, f'"{found[0].strip()}": say whom it means, as in "whoever" or "a client that"'


def prose(name: str, text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that hold words for people; of Python those in comments and strings, not names of variables."""
    if not name.endswith(".py"):
        yield from enumerate(text.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        # Excluded by its kind, not included: from Python 3.12 on a formatted string is several kinds of tokens.
        if token.type != tokenize.NAME:
            yield from enumerate(token.string.splitlines(), token.start[0])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent))
