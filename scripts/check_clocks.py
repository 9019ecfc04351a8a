#!/usr/bin/env python3
"""Check that no test asserts how long something took, since on a busy machine everything takes longer.

Reads tests/ as syntax trees, runs nothing. A value that comes from a clock may bound a wait or be printed; an `assert`
that holds such a value is an error. Tests count calls, order events or inject a clock instead. Where more time only
allows more, so that a slow machine fails nothing, the line ends with `# clock: REASON`.

    scripts/check_clocks.py [FOLDER]
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CLOCKS: Final = frozenset(
    f"{name}{suffix}"
    for name in ("monotonic", "perf_counter", "process_time", "thread_time", "time")
    for suffix in ("", "_ns")
)
"""Functions of the module `time`."""
PURE: Final = frozenset({"abs", "float", "int", "max", "min", "round", "sorted", "sum"})
"""Functions of which a moment or a duration comes out as one."""
GROWS: Final = frozenset({"append", "add", "insert", "extend"})
"""Methods that put a value into a collection."""


EXCUSE: Final = "# clock: "


def asserted_times(source: str) -> Iterator[int]:
    """Yield the line of each assertion that holds a value from a clock."""
    tree, lines = ast.parse(source), source.splitlines()
    modules, functions = _imported_clocks(tree)
    # A function of the file that returns a duration is a clock as well; and so is one that returns its value.
    while more := _durations(tree, modules, functions) - functions:
        functions |= more
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            tainted: set[str] = set()
            # A value may be taken in a loop that uses it further up, so names are gathered until none comes new.
            while more := _assigned(function, modules, functions, tainted) - tainted:
                tainted |= more
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Assert)
                    and EXCUSE not in lines[node.lineno - 1]
                    and _from_a_clock(node.test, modules, functions, tainted)
                ):
                    yield node.lineno


def _imported_clocks(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Return the names under which a file knows the module `time`, and its functions."""
    modules, functions = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {name.asname or name.name for name in node.names if name.name == "time"}
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            functions |= {name.asname or name.name for name in node.names if name.name in CLOCKS}
    return modules, functions


def _durations(tree: ast.Module, modules: set[str], functions: set[str]) -> set[str]:
    """Return the names of a file's functions that return a moment or a duration."""
    found = set()
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            tainted: set[str] = set()
            while more := _assigned(function, modules, functions, tainted) - tainted:
                tainted |= more
            returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
            if any(_is_time(value, modules, functions, tainted) for value in returned):
                found.add(function.name)
    return found


def _from_a_clock(node: ast.AST, modules: set[str], functions: set[str], tainted: set[str]) -> bool:
    names = functions | tainted
    return any(
        (isinstance(part, ast.Name) and part.id in names)
        or (isinstance(part, ast.Attribute) and part.attr in CLOCKS and ast.unparse(part.value) in modules)
        for part in ast.walk(node)
    )


def _assigned(function: ast.AST, modules: set[str], functions: set[str], tainted: set[str]) -> set[str]:
    """Return the names that a function gives values from a clock."""
    found: set[str] = set()
    for node in ast.walk(function):
        targets: list[ast.expr] = []
        values: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets, values = node.targets, [node.value]
        elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            targets, values = [node.target], [node.value]
        elif isinstance(node, ast.For | ast.comprehension):
            targets, values = [node.target], [node.iter]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in GROWS:
            targets, values = [node.func.value], node.args
        # A moment that goes into a call or a structure makes no duration: only plain arithmetic counts.
        if any(_is_time(value, modules, functions, tainted) for value in values):
            found |= {name for target in targets for name in _names(target)}
    return found


def _names(target: ast.expr) -> Iterator[str]:
    """Yield the variables that an assignment gives a value; an object whose attribute is set isn't one."""
    if isinstance(target, ast.Name):
        yield target.id
    elif isinstance(target, ast.Tuple | ast.List):
        for part in target.elts:
            yield from _names(part)
    elif isinstance(target, ast.Subscript | ast.Starred):
        yield from _names(target.value)


def _is_time(node: ast.expr, modules: set[str], functions: set[str], tainted: set[str]) -> bool:
    """Return whether an expression is a moment or a duration: a clock's value, or arithmetic with one."""
    if isinstance(node, ast.Call):
        if _from_a_clock(node.func, modules, functions, set()):
            return True
        keeps_it = isinstance(node.func, ast.Name) and node.func.id in PURE
        return keeps_it and any(_is_time(part, modules, functions, tainted) for part in node.args)
    if isinstance(node, ast.Name):
        return node.id in tainted
    if isinstance(node, ast.BinOp):
        return any(_is_time(part, modules, functions, tainted) for part in (node.left, node.right))
    if isinstance(node, ast.BoolOp):
        return any(_is_time(part, modules, functions, tainted) for part in node.values)
    if isinstance(node, ast.Subscript):
        return _is_time(node.value, modules, functions, tainted)
    return False


def main(folder: str = "tests") -> int:
    """Print each assertion on a clock; return 1 if there is one."""
    found = [
        f"{path}:{line}: an assertion on time that passed; count, order events or inject a clock"
        for path in sorted(Path(folder).rglob("*.py"))
        for line in sorted(set(asserted_times(path.read_text(encoding="utf-8"))))
    ]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
