"""The examples in the docstrings of the public classes run, and each public class has one."""

from __future__ import annotations

import doctest
import inspect
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import panachain
from panachain.model.actors import Status
from tests.twin.world import World

PUBLIC = {name: getattr(panachain, name) for name in panachain.__all__}
WITHOUT = {"AnyActor"}
"""A union of classes that have examples."""


def examples(thing: Any) -> list[doctest.Example]:
    """Return the examples in a docstring."""
    return doctest.DocTestParser().get_examples(inspect.getdoc(thing) or "")


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - WITHOUT))
def test_has_an_example(name: str) -> None:
    assert examples(PUBLIC[name]), f"panachain.{name} has no example in its docstring"


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - WITHOUT))
def test_its_example_runs_and_prints_what_it_says(name: str, world: World) -> None:
    scope = {**PUBLIC, "datetime": datetime, "timedelta": timedelta, "UTC": UTC}
    found = doctest.DocTest(examples(PUBLIC[name]), scope, name, None, None, None)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False)
    runner.run(found, out=said.append)
    # Whom one example has suspended, another one names.
    nurse = world.nurse.whoami()
    if nurse.status is Status.SUSPENDED:
        world.network.sidechain.identities.reinstate(world.registrar._sender(sidechain=True), nurse.address)
    assert runner.failures == 0, "".join(said)
