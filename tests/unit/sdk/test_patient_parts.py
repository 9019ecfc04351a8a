"""A patient's parts stand on those before them, are made when they are needed, and end with the session."""

from __future__ import annotations

import ast
from functools import cached_property
from pathlib import Path

import pytest

from panachain.errors import UsageError
from panachain.sdk import patient_parts
from panachain.sdk.patient_parts import PatientParts
from tests.twin.world import World
from tests.unit.sdk.helpers import again

PARTS = [name for name, value in vars(PatientParts).items() if isinstance(value, cached_property)]
"""In the order in which they are written."""
FOLDER = Path(patient_parts.__file__).parent


def test_each_stands_only_on_those_before_it() -> None:
    tree = ast.parse(Path(patient_parts.__file__).read_text())
    for made in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        used = {
            node.attr
            for node in ast.walk(made)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
        }
        assert used & set(PARTS) <= set(PARTS[: PARTS.index(made.name)]), made.name


def test_none_knows_the_session_that_it_belongs_to() -> None:
    modules = {
        node.module.rpartition(".")[2]
        for node in ast.walk(ast.parse(Path(patient_parts.__file__).read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("panachain.sdk.")
    } - {"base"}
    for module in modules:
        text = (FOLDER / f"{module}.py").read_text()
        assert "panachain.sdk.patient" not in text, module


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_made_once(world: World, name: str) -> None:
    patient = again(world)
    assert name not in vars(patient)
    assert getattr(patient, name) is getattr(patient, name)


def test_all_share_the_parts_below_them(world: World) -> None:
    patient = world.patient
    assert patient._grants._policies is patient._policies
    assert patient._revocations._grants is patient._grants
    assert patient._revocations._lanes is patient._lanes is patient._grants._lanes


@pytest.mark.parametrize("name", [name for name in PARTS if name not in ("_proxies", "_receipts", "_orders")])
def test_a_closed_session_makes_no_part_that_needs_the_seed(world: World, name: str) -> None:
    world.patient.close()
    with pytest.raises(UsageError, match="is closed"):
        getattr(world.patient, name)
