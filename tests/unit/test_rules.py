"""Every test that docs/security/rules.md and findings.md name is there, and isn't skipped on every machine."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.checkout
ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "security" / "rules.md").read_text()
NAMED = re.findall(r"^- `([^`]+)`", DOCUMENT, re.MULTILINE)
OF_FINDINGS = re.findall(r"`(tests/[^`]+)` \|$", (ROOT / "docs" / "security" / "findings.md").read_text(), re.MULTILINE)


def always_skipped(function: ast.FunctionDef) -> bool:
    """Tell whether a decorator skips a test without a condition, or lets it fail."""
    names = [ast.unparse(decorator) for decorator in function.decorator_list]
    return any(re.match(r"pytest\.mark\.(skip|xfail)\b", name) for name in names)


def test_every_rule_has_its_section() -> None:
    numbers = [int(number) for number in re.findall(r"^## (\d+)\.", DOCUMENT, re.MULTILINE)]
    assert numbers == sorted(set(numbers))
    assert set(range(1, 18)) <= set(numbers)
    assert len(NAMED) == len(set(NAMED)) > 40


def test_every_finding_has_its_test() -> None:
    assert len(OF_FINDINGS) == len(set(OF_FINDINGS)) == 36


@cache
def named_in(file: str) -> list[ast.FunctionDef]:
    """Return a file's tests; many rules name several of one file."""
    nodes = ast.walk(ast.parse((ROOT / file).read_text()))
    return [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


@pytest.mark.parametrize("file", sorted({name.partition("::")[0] for name in (*NAMED, *OF_FINDINGS)}))
def test_is_there_and_runs(file: str) -> None:
    for name in sorted({*NAMED, *OF_FINDINGS}):
        of, _, wanted = name.partition("::")
        if of != file:
            continue
        chosen = [node for node in named_in(file) if not wanted or node.name == wanted]
        assert chosen, f"{name} isn't in the tests"
        assert not any(always_skipped(node) for node in chosen), name
