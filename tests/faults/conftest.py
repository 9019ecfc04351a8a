"""A devnet for the faults of uploads; each test has a patient of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from panachain.model.actors import Role
from panachain.sdk import open_actor
from panachain.sdk.profiles import create_profile, load_profile
from tests.support import PASSPHRASE, World, running_world

LONG = os.environ.get("PANACHAIN_FAULTS") == "long"
"""Whether the long profile runs: every number of docs/security and not a sample."""


@pytest.fixture(scope="package")
def world() -> Iterator[World]:
    with running_world() as running:
        yield running


@pytest.fixture
def patient(world: World, request: pytest.FixtureRequest) -> Any:
    """A patient who is paired with the hospital, and has no records yet."""
    name = f"patient-{abs(hash(request.node.nodeid)) % 10**10}"
    create_profile(world.home, name, Role.PATIENT, PASSPHRASE)
    actor = open_actor(world.network, load_profile(world.home, name), PASSPHRASE)
    actor.register()
    actor.pair("hospital")
    return actor


def files(folder: Path, count: int) -> list[Path]:
    """Write that many different documents."""
    folder.mkdir()
    made = []
    for number in range(count):
        path = folder / f"{number:03}.pdf"
        path.write_bytes(b"%PDF-1.7\n" + os.urandom(2000))
        made.append(path)
    return made


def contents(patient: Any) -> list[bytes]:
    """Return what the patient can open, sorted."""
    return sorted(record.content for record in patient.records())
