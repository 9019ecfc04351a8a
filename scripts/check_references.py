"""Check that what code and documents refer to is there: sections, rules, decisions, files and headings.

A name that leads nowhere costs a reader more than none. Looks at every file that git tracks, and changes nothing.
Checked are `design section N (Trip)`, `security rule N`, `ADR N`, links of Markdown with their anchors, names of
documents with `section "…"`, and paths of code.

    python scripts/check_references.py [ROOT]
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

TEXTS = {".py", ".sol", ".md", ".toml", ".sh", ".yaml", ""}
"""Endings of the files that are read; files without one are `pana`, `.ci/run` and the like."""
ELSEWHERE = (
    *("tests/vectors/", "panachain/chain/artifacts/", "tests/unit/test_references.py"),
    *("tests/portal/test_hospital_upload.py", "tests/unit/portal/test_receiving.py"),
    *("tests/unit/portal/test_staging.py", "tests/unit/portal/test_uploading.py"),
)
"""Outside vectors, generated files, a test that plants references which lead nowhere, and names of uploaded files."""
FOLDERS = (
    *("", "panachain/", "docs/", "docs/spec/", "docs/security/"),
    *("contracts/", "tests/", "tests/contracts/", "tests/forge/", "panachain/portal/templates/"),
)
"""Where a path may begin when it isn't written from the root."""

_NUMBERS = r"(\d+(?:(?:, | and |, and )\d+)*)"
DESIGN = re.compile(rf"design sections? {_NUMBERS}(?: \(([^)]*)\))?", re.IGNORECASE)
RULES = re.compile(rf"security rules? {_NUMBERS}", re.IGNORECASE)
DECISION = re.compile(r"\bADRs? (\d+)\b")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SECTION = re.compile(r"([\w./-]+\.md), sections? ((?:\"[^\"]+\"(?:, | and )?)+)")
PATH = re.compile(r"(?<![\w/.*<{@-])((?:[\w-]+/)+[\w.-]+\.(?:py|sol|md|sh|toml|json|html))(?![\w*])")
DOCUMENT = re.compile(r"(?<![\w/.*<{@-])([\w-]+\.md)\b")
MADE = re.compile(r"(?:out|build|node_modules|\.cache)/")
"""What is made on a machine, and isn't in the repository."""
PLACEHOLDER = re.compile(r"(?:^|/)[A-Z_]{4,}[./]")
"""Part of a path that stands for a name, such as `HOME/profiles/NAME/seed.json`."""
TRIPS = re.compile(r"[A-Z][a-z]+(?: glass)?")
"""How a trip is named, such as `Open, step 2`; other words in brackets are remarks."""


def main(root: Path) -> int:
    """Print each reference that leads nowhere, and return 1 if there is any."""
    faults = [f"{path}:{line}: {fault}" for path in tracked(root) for line, fault in check_file(root, path)]
    print("\n".join(faults) if faults else "every reference resolves")
    return 1 if faults else 0


def tracked(root: Path) -> list[str]:
    """Return the files to read, as git lists them: tracked, and new ones that it doesn't ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.splitlines()
    return [
        name
        for name in names
        if Path(name).suffix in TEXTS and not name.startswith(ELSEWHERE) and (root / name).is_file()
    ]


def check_file(root: Path, name: str) -> Iterator[tuple[int, str]]:
    """Yield line and fault of each reference of one file that leads nowhere."""
    try:
        text = (root / name).read_text()
    except UnicodeDecodeError:
        return
    # A reference may run over the end of a line: then the next line's marks of a comment stand in between.
    flat = re.sub(
        r"\n[ \t]*(?:#|///|//|\*)?[ \t]*", lambda found: " " if len(found.group()) < 40 else found.group(), text
    )
    for where, fault in _references(root, name, flat):
        yield flat_line(text, flat, where), fault


def flat_line(text: str, flat: str, where: int) -> int:
    """Return about which line of a text a place of its flat form stands in: that of the same words."""
    words = flat[where : where + 20].split(" ")[0]
    place = text.find(words, max(0, where - 2))
    return text.count("\n", 0, max(place, 0)) + 1


def _references(root: Path, name: str, text: str) -> Iterator[tuple[int, str]]:
    design, rules = numbers_of(root / "docs/design.md"), numbers_of(root / "docs/security/rules.md")
    for found in DESIGN.finditer(text):
        for number in re.findall(r"\d+", found.group(1)):
            if number not in design:
                yield found.start(), f"docs/design.md has no section {number}"
        trip = TRIPS.match(found.group(2) or "")
        if trip and trip.group() not in headings(root / "docs/design.md"):
            yield found.start(), f"docs/design.md has no heading {trip.group()!r}"
    for found in RULES.finditer(text):
        for number in re.findall(r"\d+", found.group(1)):
            if number not in rules:
                yield found.start(), f"docs/security/rules.md has no rule {number}"
    for found in DECISION.finditer(text):
        if not list((root / "docs/adr").glob(f"{int(found.group(1)):04d}-*.md")):
            yield found.start(), f"there is no ADR {found.group(1)}"
    for found in SECTION.finditer(text):
        document = resolve(root, name, found.group(1))
        for heading in re.findall(r"\"([^\"]+)\"", found.group(2)):
            if document is not None and heading not in map(_bare, headings(document)):
                yield found.start(), f"{found.group(1)} has no section {heading!r}"
    if name.endswith(".md"):
        yield from _links(root, name, text)
    for pattern in (PATH, DOCUMENT):
        for found in pattern.finditer(text):
            if MADE.match(found.group(1)) or PLACEHOLDER.search(found.group(1)):
                continue
            if resolve(root, name, found.group(1)) is None:
                yield found.start(), f"{found.group(1)} isn't there"


def _links(root: Path, name: str, text: str) -> Iterator[tuple[int, str]]:
    for found in LINK.finditer(text):
        target, _, anchor = found.group(1).partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        document = (root / name).parent / target if target else root / name
        if not document.exists():
            yield found.start(), f"the link {found.group(1)} leads nowhere"
        elif anchor and document.suffix == ".md" and anchor not in map(slug, headings(document)):
            yield found.start(), f"the link {found.group(1)} names no heading"


def resolve(root: Path, name: str, target: str) -> Path | None:
    """Return the file that a path in a text means, from the root, from the text's folder or from a usual folder."""
    for base in [(root / name).parent, *(root / folder for folder in FOLDERS)]:
        if (base / target).exists():
            return base / target
    return None


def _bare(heading: str) -> str:
    """Return a heading without its number and without the format that it names in brackets."""
    return re.sub(r"^\d+\. | \(`[^`]*`\)$", "", heading)


@cache
def headings(path: Path) -> tuple[str, ...]:
    """Return the headings of a document, without their marks."""
    outside = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return tuple(re.findall(r"^#{1,6} (.+?)\s*$", outside, re.MULTILINE))


def numbers_of(path: Path) -> set[str]:
    """Return the numbers with which a document's headings begin."""
    return {found.group(1) for found in (re.match(r"(\d+)\.", heading) for heading in headings(path)) if found}


def slug(heading: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return kept.replace(" ", "-")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]))
