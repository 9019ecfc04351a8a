"""The package's shape: facades stay small, classes stay few-worded, and the parts below a session don't know it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType

from hypothesis import settings

import panachain

PACKAGE = Path(panachain.__file__).parent
MOST_METHODS = 20
MOST_LINES = {"sdk/patient.py": 270, "sdk/hospital.py": 300}
"""Some twenty to forty of them are imports inside methods (ADR 68)."""
SESSIONS = {
    "patient",
    "hospital",
    "hospital_routing",
    "practitioner",
    "researcher",
    "reader",
    "base",
    "patient_parts",
    "patient_reading",
}
PARTS = (
    *("batches", "deletion_receipts", "grant_journal", "grants", "lanes", "moves", "offers", "opening", "pairings"),
    *("policies", "proxies", "proxy_evidence", "read_log", "requests", "revocations", "uploads"),
    *("publishing", "routing"),
)


def modules() -> Iterator[ModuleType]:
    for found in walk_packages([str(PACKAGE)], "panachain."):
        if not found.name.endswith("__main__"):
            yield import_module(found.name)


def public_methods(kind: type) -> set[str]:
    """Return what callers can call on a class, inherited from classes of this package too."""
    own = [one for one in kind.__mro__ if one.__module__.startswith("panachain")]
    return {name for one in own for name, value in vars(one).items() if inspect.isroutine(value) and name[0] != "_"}


def test_no_class_has_more_than_20_public_methods() -> None:
    sizes = {
        f"{kind.__module__}.{kind.__name__}": len(public_methods(kind))
        for module in modules()
        for kind in vars(module).values()
        if inspect.isclass(kind) and kind.__module__ == module.__name__
    }
    assert {name: size for name, size in sizes.items() if size > MOST_METHODS} == {}
    assert len(sizes) > 100


def test_facades_are_short() -> None:
    lines = {name: len((PACKAGE / name).read_text().splitlines()) for name in MOST_LINES}
    assert {name: count for name, count in lines.items() if count > MOST_LINES[name]} == {}


def test_no_part_of_a_session_knows_a_session() -> None:
    """What is below can't call back into what is above: it hasn't got it."""
    for name in PARTS:
        tree = ast.parse((PACKAGE / "sdk" / f"{name}.py").read_text())
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        assert not {f"panachain.sdk.{session}" for session in SESSIONS} & imported, name


def test_no_property_fails_because_the_machine_is_busy() -> None:
    """The profile of tests/conftest.py holds wherever a test doesn't name how many examples it wants."""
    assert settings.default is not None
    assert settings.default.deadline is None
