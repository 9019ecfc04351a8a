"""Passphrases come from a descriptor, a file, a command or a terminal, and from nowhere else."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from panachain import passphrase
from panachain.errors import LockedError, UsageError
from panachain.passphrase import Hidden, read_passphrase


@pytest.fixture(autouse=True)
def _no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (passphrase.FILE, passphrase.COMMAND):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "pass.txt"
    path.write_text("correct horse\nsecond line\n")
    path.chmod(0o600)
    return path


def test_no_source_is_locked() -> None:
    with pytest.raises(LockedError, match="no terminal"):
        read_passphrase("profile ada")


def test_reads_the_first_line_of_a_file(monkeypatch: pytest.MonkeyPatch, secret: Path) -> None:
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", str(secret))
    assert read_passphrase("profile ada") == "correct horse"


def test_refuses_a_file_that_others_may_read(monkeypatch: pytest.MonkeyPatch, secret: Path) -> None:
    secret.chmod(0o644)
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", str(secret))
    with pytest.raises(LockedError) as failure:
        read_passphrase("profile ada")
    assert failure.value.hint.startswith("chmod 600")


def test_missing_file_is_locked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", str(tmp_path / "none"))
    with pytest.raises(LockedError):
        read_passphrase("profile ada")


def test_runs_a_command_without_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_COMMAND", f"{shlex.quote(sys.executable)} -c 'print(\"a;b $HOME\")'")
    assert read_passphrase("profile ada") == "a;b $HOME"


@pytest.mark.parametrize("command", ["/nowhere/program", "false", "true", "'", " "])
def test_failing_command_is_locked(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_COMMAND", command)
    with pytest.raises(LockedError):
        read_passphrase("profile ada")


def test_slow_command_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passphrase, "COMMAND_TIMEOUT", 0.2)
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_COMMAND", "sleep 30")
    with pytest.raises(LockedError, match="gave no answer"):
        read_passphrase("profile ada")


def test_descriptor_comes_first(monkeypatch: pytest.MonkeyPatch, secret: Path) -> None:
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", str(secret))
    reader, writer = os.pipe()
    os.write(writer, b"from a pipe\n")
    os.close(writer)
    assert read_passphrase("profile ada", descriptor=reader) == "from a pipe"
    os.close(reader)


def test_closed_descriptor_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        read_passphrase("profile ada", descriptor=987)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\n", b"x" * 5000])
def test_refuses_what_is_no_passphrase(monkeypatch: pytest.MonkeyPatch, secret: Path, content: bytes) -> None:
    secret.write_bytes(content)
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", str(secret))
    with pytest.raises(LockedError):
        read_passphrase("profile ada")


def test_a_file_that_a_program_names_comes_before_the_settings(monkeypatch: pytest.MonkeyPatch, secret: Path) -> None:
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", "/nowhere")
    assert read_passphrase("profile ada", file=secret) == "correct horse"


def test_a_hidden_passphrase_shows_nothing_of_it() -> None:
    hidden = Hidden("correct horse")
    assert hidden.reveal() == "correct horse"
    assert "horse" not in f"{hidden!r} {hidden}"
