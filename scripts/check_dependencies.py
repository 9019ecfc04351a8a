#!/usr/bin/env python3
"""Check that docs/dependencies.md names exactly what pyproject.toml declares, and where each package is imported.

deptry holds that what is imported is declared. This holds the other half, for the groups too: what is declared is
imported, or its row says how else it is used.

    scripts/check_dependencies.py            fails when the table is stale
    scripts/check_dependencies.py --write    writes the column "imported in"
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import defaultdict
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDERS: Final = ("panachain", "scripts", "benchmarks", "tests")
ROW: Final = re.compile(r"\| `(?P<name>[\w.-]+)` \| (?P<group>[\w-]+) \|.*\| ?(?P<where>[^|]*?) ?\|")
OTHERWISE: Final = ("a program", "a plugin", "a bound", "by its name")
"""How the last column begins where nothing imports a package."""


def declared(project: Path) -> set[tuple[str, str]]:
    """Return each package with the set that it belongs to: `runtime`, an extra or a group."""
    data = tomllib.loads(project.read_text(encoding="utf-8"))
    sets = {"runtime": data["project"]["dependencies"], **data["dependency-groups"]}
    for extra, packages in data["project"]["optional-dependencies"].items():
        sets[extra] = [*packages, *sets.get(extra, [])]
    return {(_name(entry), group) for group, entries in sets.items() for entry in entries if isinstance(entry, str)}


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def imported(root: Path) -> dict[str, set[str]]:
    """Return by package where it is imported: a folder of the package, or a folder beside it."""
    distributions = packages_distributions()
    places: defaultdict[str, set[str]] = defaultdict(set)
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root).parts
            place = "/".join(parts[:2]) if folder == "panachain" else folder
            for module in _modules(ast.parse(path.read_text(encoding="utf-8"))):
                for distribution in distributions.get(module, ()):
                    places[_name(distribution)].add(f"`{place}`")
    return places


def _modules(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def problems(table: str, wanted: set[tuple[str, str]], places: dict[str, set[str]]) -> tuple[list[str], str]:
    """Return what is wrong with the table, and the table as it should be."""
    rows = [match for line in table.splitlines() if (match := ROW.fullmatch(line))]
    named = {(row["name"], row["group"]) for row in rows}
    found = [f"{name} ({group}) is declared and has no row" for name, group in sorted(wanted - named)]
    found += [f"{name} ({group}) has a row and isn't declared" for name, group in sorted(named - wanted)]
    for row in rows:
        where = ", ".join(sorted(places.get(row["name"], set())))
        if not where and not row["where"].startswith(OTHERWISE):
            found.append(f"{row['name']}: nothing imports it, and its row doesn't say how else it is used")
        elif where and row["where"] != where:
            found.append(f"{row['name']}: it is imported in {where}, its row says {row['where']}")
            table = table.replace(row[0], f"{row[0][: row.start('where') - row.start()]}{where} |")
    return found, table


def main(arguments: list[str]) -> int:
    """Compare the table with the project; return 1 if they differ."""
    path = ROOT / "docs" / "dependencies.md"
    wanted = declared(ROOT / "pyproject.toml")
    found, table = problems(path.read_text(encoding="utf-8"), wanted, imported(ROOT))
    if "--write" in arguments:
        path.write_text(table, encoding="utf-8")
        found, _ = problems(table, wanted, imported(ROOT))
    for line in found:
        print(f"docs/dependencies.md: {line}")
    if found:
        print("next: scripts/check_dependencies.py --write writes where packages are imported; the rest is yours")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
