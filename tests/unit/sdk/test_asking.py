"""The question of a new device: one at a time, its key locked, and words that follow from its key."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from panachain.errors import ConfigurationError, DiskError, LockedError, UnknownActorError, UsageError
from panachain.sdk import guardian_blocks
from panachain.sdk.asking import Asking
from tests.keystores import make_cheap
from tests.twin.world import World


@pytest.fixture(autouse=True)
def _cheap_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    make_cheap(monkeypatch, for_this_process_only=True)
    monkeypatch.setattr(guardian_blocks, "_COST", 1 << 4)


def test_a_question_is_shown_again_until_it_ends(world: World, tmp_path: Path) -> None:
    asking = Asking(tmp_path)
    with pytest.raises(UsageError, match="hasn't asked"):
        asking.view()
    first = asking.ask(world.network, world.patient.profile.handle, "a passphrase")
    assert first.account == world.patient.address
    assert asking.view() == first
    second = asking.ask(world.network, world.patient.address, "a passphrase")
    assert (first.ask, first.code) != (second.ask, second.code)
    assert asking.view() == second
    asking.end()
    asking.end()
    with pytest.raises(UsageError):
        asking.view()


@pytest.mark.deep
def test_its_key_is_locked_and_for_its_owner_only(world: World, tmp_path: Path) -> None:
    asking = Asking(tmp_path)
    asking.ask(world.network, world.patient.address, "a passphrase")
    for path in (tmp_path / "asking").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(LockedError):
        asking.answers(world.network, [], "another one")
    assert asking.answers(world.network, [], "a passphrase") == []


@pytest.mark.deep
def test_nobody_asks_for_who_isnt_registered(world: World, tmp_path: Path) -> None:
    with pytest.raises(UnknownActorError):
        Asking(tmp_path).ask(world.network, "pat-aaaaaaaaaaaaa", "a passphrase")
    assert not (tmp_path / "asking").exists()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"schema": "another"}', b"\xff", b"[" * 3000])
def test_a_damaged_question_is_said(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "asking"
    folder.mkdir()
    (folder / "ask.json").write_bytes(content)
    with pytest.raises(ConfigurationError):
        Asking(tmp_path).view()


def test_what_is_no_line_or_no_account_is_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "asking"
    folder.mkdir()
    for change in ({"ask": "bafy"}, {"account": "0x12"}, {"ask": 7}):
        fields = {"schema": "panachain/asking/1", "ask": "b" * 59, "account": "0x" + "12" * 20} | change
        (folder / "ask.json").write_text(json.dumps(fields))
        with pytest.raises(ConfigurationError):
            Asking(tmp_path).view()


@pytest.mark.deep
def test_a_disk_that_refuses_is_said(world: World, tmp_path: Path) -> None:
    (tmp_path / "asking").write_bytes(b"a file where a folder must be")
    asking = Asking(tmp_path)
    with pytest.raises(DiskError):
        asking.view()
    with pytest.raises(DiskError):
        asking.ask(world.network, world.patient.address, "a passphrase")
