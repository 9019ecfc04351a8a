"""What was stored or signed once opens for ever, and each format has a golden file (docs/spec/compatibility.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.golden.formats import FOLDER, FORMATS, Held, read

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(FOLDER.glob("*.json"))
NO_FORMATS = {
    "Seals": "of which algorithms the format `seal` is made",
    "Key blocks": "the format `key block`, for persons and for groups",
    "What an upload reads": "others' formats, which are read and never written",
    "Codes": "tests/vectors/codes.json pins them",
    "Commitments": "the contracts compute them; tests/integration holds the programs to that",
    "Hash chains": "`hash chain of a hospital`, and a receipt's hash, which `LogHead of PanaChain AccessLog` signs",
    "Storage": "where contracts keep what they keep; tests/integration/test_nodes.py holds it to them",
    "Proof of a head": "as Storage",
    "S3": "`S3 index`; the other objects are blocks, or empty",
}
"""Sections of docs/spec/formats.md whose tables name no format that has a golden file of its own, and why."""
NO_FILE = {"policy state": "a contract's word, which no program of ours reads"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_was_written_once_opens_and_says_the_same(path: Path) -> None:
    name, version, held, says = read(path)
    assert says is not None
    assert _covers(json.loads(json.dumps(FORMATS[name, version].open(held))), says)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_changed_byte_does_not_open_or_says_something_else(path: Path) -> None:
    name, version, held, says = read(path)
    for key, value in held.bytes.items():
        changed = bytearray(value)
        changed[len(changed) // 2] ^= 1
        damaged = Held(held.seeds, {**held.bytes, key: bytes(changed)})
        try:
            opened = json.loads(json.dumps(FORMATS[name, version].open(damaged)))
        # Of whatever kind: a golden file is opened by the very functions that refuse damage elsewhere.
        except Exception:  # noqa: BLE001
            continue
        assert not _covers(opened, says), key


def test_each_version_of_each_format_has_a_golden_file() -> None:
    assert {read(path)[:2] for path in FILES} >= set(FORMATS)
    assert sorted(one.path for one in FORMATS.values()) == FILES


def test_the_documented_table_is_that_of_the_program() -> None:
    table = _section((ROOT / "docs/spec/compatibility.md").read_text(), "The formats")
    told = {
        (cells[0], int(version)) for cells in _rows(table) for version in re.findall(r"\d+", cells[1].replace(",", " "))
    }
    assert told == set(FORMATS)


def test_each_format_of_the_specification_has_one() -> None:
    names = {name for name, _ in FORMATS}
    lacking = [name for name in _specified() if name not in names and name not in NO_FILE]
    assert lacking == [], "add them to tests/golden/formats.py and run scripts/make_golden.py"


def test_no_exception_is_left_over() -> None:
    text = (ROOT / "docs/spec/formats.md").read_text()
    assert set(NO_FORMATS) <= {heading.strip("# ") for heading in re.findall(r"^##+ .*$", text, re.MULTILINE)}
    assert set(NO_FILE) <= set(_specified())


def _specified() -> Iterator[str]:
    """Yield the formats that docs/spec/formats.md has in tables, as tests/golden/formats.py calls them."""
    names = {name for name, _ in FORMATS}
    heading = domain = ""
    for line in (ROOT / "docs/spec/formats.md").read_text().splitlines():
        if line.startswith("#"):
            heading = line.strip("# ")
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        is_row = line.startswith("|") and not set(line) <= set("|-: ")
        if not is_row or heading in NO_FORMATS or cells[0] in ("format", "word", "domain"):
            continue
        if heading == "Signed messages":
            domain = cells[0].strip("`") or domain
            yield f"{cells[1].strip('`').partition('(')[0]} of {domain}"
            continue
        # What versions it has stands in brackets; rows that go on have no name.
        name = re.sub(r" \(.*\)$", "", cells[0])
        if name:
            yield from [name] if name in names else name.split(", ")


def _section(text: str, heading: str) -> str:
    return re.split(r"^##+ ", text.partition(f"## {heading}\n")[2], flags=re.MULTILINE)[0]


def _rows(text: str) -> Iterator[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def _covers(today: Any, then: Any) -> bool:
    """Tell whether what is said today holds all that was said then; fields that came since are passed over."""
    if isinstance(then, dict):
        return isinstance(today, dict) and all(name in today and _covers(today[name], then[name]) for name in then)
    if isinstance(then, list):
        return isinstance(today, list) and len(today) == len(then) and all(map(_covers, today, then))
    return bool(today == then)
