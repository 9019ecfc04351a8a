#!/usr/bin/env python3
"""Check that nothing in the project listens beyond loopback by itself: a host that others reach comes from a setting.

Reads every tracked Python file as a syntax tree, runs nothing. Literal hosts of all interfaces, and an empty host where
something is bound or started, are errors; a host that is a variable is the operator's. A line on which nothing listens
ends with `# listens: REASON`.

    scripts/check_listeners.py [FOLDER]
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scripts.check_secrets import tracked

EVERYWHERE: Final = ".".join("0000")
"""All interfaces in IPv4, written so that this file doesn't find itself."""
EXCUSE: Final = "# listens: "
STARTS: Final = frozenset({"bind", "create_server", "start_server", "run", "Config", "Server"})
"""Functions that take a host; those whose name ends in `Server` as well."""


def open_listeners(source: str, *, anywhere: bool = True) -> Iterator[int]:
    """Yield the line of each literal host that others reach.

    Args:
        source: of a Python file.
        anywhere: also where nothing is started: the value may get there. Tests name addresses that must be refused.
    """
    for node in ast.walk(ast.parse(source)):
        if anywhere and isinstance(node, ast.Constant) and node.value == EVERYWHERE:
            yield node.lineno
        elif isinstance(node, ast.Call) and _starts(node.func):
            hosts = [*node.args[:1], *(one.value for one in node.keywords if one.arg == "host")]
            # An address is a host, or a pair of host and port.
            hosts += [pair.elts[0] for pair in hosts if isinstance(pair, ast.Tuple) and pair.elts]
            if any(isinstance(host, ast.Constant) and host.value in ("", "::", EVERYWHERE) for host in hosts):
                yield node.lineno


def _unexcused(source: str, *, anywhere: bool) -> list[int]:
    lines = source.splitlines()
    return [line for line in sorted(set(open_listeners(source, anywhere=anywhere))) if EXCUSE not in lines[line - 1]]


def _starts(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in STARTS or name.endswith("Server")


def main(folder: str = ".") -> int:
    """Print each listener beyond loopback; return 1 if there is one."""
    found = [
        f"{path}:{line}: listens beyond loopback; take the host from a setting"
        for path in tracked(Path(folder))
        if path.endswith(".py") and (Path(folder) / path).is_file()
        for line in _unexcused(
            (Path(folder) / path).read_text(encoding="utf-8"), anywhere=not path.startswith("tests/")
        )
    ]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
