"""Each table of docs/benchmarks.md says which command measures it, and each benchmark says which options it has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, documents
from tests.docs.commands import check, options_of

BENCHMARKS = sorted((ROOT / "benchmarks").glob("[a-z]*.py"))
DOCUMENT = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)+)", DOCUMENT, re.MULTILINE))


def commands(text: str) -> list[str]:
    """Return the benchmarks, scripts and tests that a text lets somebody run; what may be left out is there, too."""
    found = re.findall(r"`((?:\./pana bench [a-z]|python scripts/|pytest )[^`]*)`", text.replace("\n", " "))
    return [re.sub(r"[\[\]…]|\.\.\.", "", one) for one in found]


def named_tests(text: str) -> list[str]:
    """Return the tests that a text names."""
    return re.findall(r"`(test_\w+)`", text)


def test_each_table_names_what_measures_it() -> None:
    tables = {name for name, text in SECTIONS.items() if "\n|" in text}
    assert len(tables) > 20
    assert [name for name in sorted(tables) if not commands(SECTIONS[name]) and not named_tests(SECTIONS[name])] == []


def test_what_measures_is_there_with_the_options_that_are_named() -> None:
    named = [command for path in documents() for command in commands(path.read_text(encoding="utf-8"))]
    assert len(named) > len(BENCHMARKS)
    for command in named:
        if command.startswith("pytest"):
            check_tests(command)
        else:
            check(command)


def check_tests(command: str) -> None:
    """Check that the files that pytest is given are there, and that some test has the name that is looked for."""
    words = command.split()
    files = [ROOT / word for word in words if word.startswith("tests/")]
    assert [file for file in files if not file.exists()] == [], command
    if "-k" in words:
        wanted = words[words.index("-k") + 1]
        assert any(wanted in file.read_text(encoding="utf-8") for file in files), command


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_each_benchmark_says_how_it_is_called(path: Path) -> None:
    says = path.read_text(encoding="utf-8").split('"""')[1]
    usage = re.search(r"^    \./pana bench (\w+).*(?:\n    .+)*", says, re.MULTILINE)
    assert usage
    assert usage[1] == path.stem
    assert set(re.findall(r"--[a-z-]+", usage[0])) == options_of(path)
