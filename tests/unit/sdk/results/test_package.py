"""What the SDK returns: frozen, with a schema of its own each, and no plaintext where it could be shown."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
from pathlib import Path
from typing import Any

import pytest

from panachain.sdk import results
from tests.twin.world import World
from tests.unit.sdk.helpers import grant, upload
from tests.unit.sdk.results.samples import RECORDS, opened


@pytest.mark.parametrize("result", RECORDS, ids=lambda result: type(result).__name__)
class TestEach:
    def test_is_json_with_a_schema(self, result: Any) -> None:
        shown = result.to_json()
        assert json.loads(json.dumps(shown)) == shown
        assert shown["schema"].startswith("panachain/")

    def test_can_not_be_changed(self, result: Any) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            result.to_json = None


def test_no_two_share_a_schema_and_each_is_documented() -> None:
    schemas = [str(result.to_json()["schema"]) for result in [*RECORDS, opened()]]
    assert len(set(schemas)) == len(schemas)
    text = (Path(__file__).resolve().parents[4] / "docs/spec/cli.md").read_text()
    assert not [schema for schema in schemas if schema not in text]


def test_every_result_of_the_package_is_held_here() -> None:
    modules = [
        importlib.import_module(f"{results.__name__}.{one.name}") for one in pkgutil.iter_modules(results.__path__)
    ]
    made = {
        name
        for module in modules
        for name, value in vars(module).items()
        if dataclasses.is_dataclass(value) and value.__module__ == module.__name__ and hasattr(value, "to_json")
    }
    assert made == {type(result).__name__ for result in [*RECORDS, opened()]} | {"RecordProvenance"}


def test_what_a_world_gives_is_what_is_documented(world: World) -> None:
    upload(world)
    made = grant(world)
    for result in (made, *world.clinician.open(made), *world.hospital.records(), *world.patient.receipts()):
        assert json.loads(json.dumps(result.to_json()))["schema"].startswith("panachain/")
