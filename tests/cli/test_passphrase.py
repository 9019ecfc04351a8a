"""A profile's key store is private, and opens with its passphrase only."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from panachain.errors import LockedError
from tests.cli.twin import Outcome

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
from _node import write_network


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "pass.txt"
    path.write_text("correct horse\nsecond line\n")
    path.chmod(0o600)
    return path


def test_init_makes_a_private_profile_and_a_wrong_passphrase_is_exit_code_4(
    run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, secret: Path, tmp_path: Path
) -> None:
    from panachain.sdk.profiles import load_profile, unlock

    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", str(secret))
    assert run("--profile", "me", "init", "--role", "patient", "--json").code == 0
    home = tmp_path / "home"
    modes = {path.stat().st_mode & 0o077 for path in [home, *home.rglob("*")]}
    assert modes == {0}
    profile = load_profile(home, "me")
    unlock(profile, "correct horse")
    with pytest.raises(LockedError):
        unlock(profile, "wrong horse")
    again = run("--profile", "me", "init", "--role", "patient")
    assert again.code == 2
    assert "exists already" in again.err
    wrong = run("--profile", "me", "upload", str(secret), "--patient", "me")
    assert wrong.code == 2
    assert "is a patient; `upload` is for a hospital" in wrong.err


def test_a_wrong_passphrase_ends_what_was_started_to_read_and_publishes_nothing(
    run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, secret: Path, tmp_path: Path
) -> None:
    from panachain.records import reading_start

    started, start = list[subprocess.Popen[bytes]](), reading_start.start

    def noted(command: Sequence[str]) -> subprocess.Popen[bytes]:
        started.append(start(command))
        return started[-1]

    monkeypatch.setattr(reading_start, "start", noted)
    monkeypatch.setattr(reading_start, "most_processes", lambda: 2)
    (tmp_path / "large.pdf").write_bytes(b"%PDF-1.7\n" + bytes(reading_start.WORTH))
    upload = ("--profile", "clinic", "upload", str(tmp_path / "large.pdf"), "--patient", "pat-aaaaaaaaaaaaa")
    # Nothing is started for a command that can't be meant, or for a profile that isn't there.
    assert run(*upload[:4], "--patient", "me", "--explain").code == 2
    assert run(*upload).code == 2
    assert not started
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", str(secret))
    assert run("--profile", "clinic", "init", "--role", "hospital", "--json").code == 0
    write_network(tmp_path / "home" / "network.json", "http://127.0.0.1:9")
    secret.write_text("wrong horse\n")
    before = {path: path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file()}
    done = run(*upload, "--no-agent")
    assert (done.code, "passphrase" in done.err) == (4, True)
    assert [one.poll() for one in started] == [-9, -9]
    assert {path: path.read_bytes() for path in before} == before
