"""`viewer pack` and `viewer check`: a bundle is made by a publisher, and anybody is told whose it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from panachain.cli.app import App
from panachain.model.actors import Role
from tests.cli.twin import Outcome
from tests.portal.viewers import write
from tests.twin.world import World, running_world

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as made:
        yield made


@pytest.fixture(autouse=True)
def at_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hospital act, over the twins' network."""

    @contextmanager
    def acting(_: App, *roles: Role) -> Iterator[Any]:
        assert roles == (Role.HOSPITAL, Role.RESEARCHER)
        yield world.hospital

    @contextmanager
    def network(_: App) -> Iterator[Any]:
        yield world.network

    monkeypatch.setattr(App, "acting", acting)
    monkeypatch.setattr(App, "network", network)


def test_what_is_packed_is_checked_without_a_profile(run: Run, tmp_path: Path, world: World) -> None:
    file = tmp_path / "list.viewer"
    packed = run("viewer", "pack", str(write(tmp_path / "one")), "-o", str(file))
    assert packed.code == 0, packed.err
    assert "Laboratory list" in packed.out
    assert f"panachain upload {file} --patient NAME --category CATEGORY" in packed.err
    shown = run("viewer", "check", str(file))
    assert shown.code == 0, shown.err
    assert "verified" in shown.out
    assert "program.js" in shown.out
    told = json.loads(run("viewer", "check", str(file), "--json").out)
    assert (told["schema"], told["publisher"]) == ("panachain/viewer-check/1", world.hospital.address)


def test_a_file_that_is_there_stays(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "list.viewer"
    file.write_text("mine")
    outcome = run("viewer", "pack", str(write(tmp_path / "one")), "-o", str(file))
    assert (outcome.code, file.read_text()) == (2, "mine")


def test_what_is_forged_is_told_and_ends_with_6(run: Run, tmp_path: Path, world: World) -> None:
    file = tmp_path / "list.viewer"
    content = world.hospital.viewers.pack(write(tmp_path / "one"))
    file.write_bytes(content.replace(b"Lists values.", b"Takes values."))
    outcome = run("viewer", "check", str(file))
    assert outcome.code == 6
    assert "forged" in outcome.out
    assert "didn't sign" in outcome.err


def test_a_hostile_file_steers_no_terminal(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "list.viewer"
    for content in (b"", b"\x1b[2J", b"panachain/viewer/1\n" + b"\x1b[2J" * 40):
        file.write_bytes(content)
        outcome = run("viewer", "check", str(file))
        assert outcome.code == 6
        assert "\x1b" not in outcome.out + outcome.err
    assert run("viewer", "check", str(tmp_path / "none")).code == 2
