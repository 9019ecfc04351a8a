"""Every code block of the documents holds: Python runs, commands parse, JSON and TOML are what they say."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs.blocks import PROSE, ROOT, Block, blocks, documents, indented
from tests.docs.commands import WrongCommandError, check
from tests.twin.world import World

ALL = [block for path in documents() for block in blocks(path)]
SHELL = {"sh", "bash"}
KNOWN = {"python", "json", "toml", *SHELL, *PROSE}


def of(*languages: str) -> list[Block]:
    return [block for block in ALL if block.language in languages]


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_is_fenced_and_says_its_language(path: Path) -> None:
    assert [f"{path.name}:{line} is only indented" for line in indented(path)] == []
    assert [f"{block} is {block.language or 'nothing'}" for block in blocks(path) if block.language not in KNOWN] == []


@pytest.mark.parametrize("block", of(*SHELL), ids=str)
def test_every_command_is_one_that_there_is(block: Block) -> None:
    wrong = []
    for number, line in block.lines:
        try:
            check(line)
        except WrongCommandError as exc:
            wrong.append(f"{block.path.name}:{number} {exc}")
    assert wrong == []


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_every_python_block_runs(block: Block, world: World) -> None:
    code = "\n" * (block.line - 1) + block.text
    exec(compile(code, str(block.path), "exec"), {"__name__": "__main__"})


def imported(code: str) -> set[str]:
    """Return the modules that some code imports."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
    return found


@pytest.mark.parametrize("name", ["grant_access", "open_records", "query_policies", "upload_records"])
def test_the_examples_of_scripts_are_short_and_import_the_package_alone(name: str) -> None:
    code = (ROOT / "scripts" / f"{name}.py").read_text(encoding="utf-8")
    assert len(code.splitlines()) <= 15
    assert {one for one in imported(code) if one.partition(".")[0] not in sys.stdlib_module_names} == {"panachain"}


def test_the_readme_imports_the_package_alone() -> None:
    found = set().union(*(imported(block.text) for block in of("python") if block.path == ROOT / "README.md"))
    assert {one for one in found if one.partition(".")[0] not in sys.stdlib_module_names} == {"panachain"}


def test_every_json_block_is_json_and_every_toml_block_toml() -> None:
    # No parameters: where documents have none of a kind, an empty set would count as skipped.
    for block in of("json"):
        json.loads(block.text)
    for block in of("toml"):
        tomllib.loads(block.text)


def twice(text: str) -> list[str]:
    """Return the first cells that two rows of one table have: what a merge of two branches leaves."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        first = [line.split(" | ")[0] for line in table.splitlines()[2:]]
        found += sorted({one for one in first if first.count(one) > 1})
    return found


@pytest.mark.parametrize("name", ["ARCHITECTURE.md", "docs/operate/README.md", "docs/operate/hospital.md"])
def test_no_question_is_answered_twice(name: str) -> None:
    assert twice((ROOT / name).read_text(encoding="utf-8")) == []
    assert twice("| what | where |\n|---|---|\n| a | b |\n| c | d |\n| a | e |\n") == ["| a"]


def test_the_readme_shows_the_command_line_and_the_package() -> None:
    own = [block for block in ALL if block.path == ROOT / "README.md"]
    assert {block.language for block in own} >= {"sh", "python"}
    assert re.search(r"from panachain import connect", "".join(block.text for block in own))


class TestTheCheckItself:
    @pytest.mark.parametrize(
        "line",
        [
            "./pana grnat doctor",
            "./pana --profile me grant doctor --catgory laboratory --purpose TREAT --until 30d",
            "panachain grant doctor",
            "./pana bench nothing",
            "./pana bench umbral --rouns 3",
            "python scripts/mutate_python.py --no-such-option",
            "python nothing.py me",
            "export PANACHAIN_NO_SUCH_THING=1",
            "./pana query",
            "frobnicate --all",
            "./pana policies | frobnicate",
        ],
    )
    def test_finds_what_is_wrong(self, line: str) -> None:
        with pytest.raises(WrongCommandError):
            check(line)

    @pytest.mark.parametrize(
        "line",
        [
            "# only a comment",
            "",
            "PANACHAIN_HOME=home ./pana --profile me policies --json > policies.json  # and a comment",
            "./pana --profile me init --role patient && ./pana --profile me register",
            "./pana records",
            "./pana bench floods --whole 2 --seconds=4",
            "./pana grant --help",
        ],
    )
    def test_takes_what_is_right(self, line: str) -> None:
        check(line)

    def test_finds_blocks_without_a_fence_and_leaves_lists_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "document"
        path.write_text("Text.\n\n    ./pana demo\n\n- item\n\n    more of it\n\nText.\n\n```sh\n\n    inside\n```\n")
        assert indented(path) == [3]
