"""Passphrases come from a descriptor, a file, a command or a terminal, and from nowhere else."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from panachain import passphrase
from panachain.errors import LockedError, UsageError
from panachain.passphrase import Hidden, Sources, forget, read_new_passphrase, read_passphrase, recall, remember


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


class TestSettings:
    """What `panachain.toml` names counts after the environment, and before a prompt."""

    def test_a_file_and_a_command_of_the_settings_are_read(self, secret: Path) -> None:
        both = Sources(str(secret), "false")
        assert read_passphrase("profile ada", settings=lambda: both) == "correct horse"
        command = Sources(command=f"{shlex.quote(sys.executable)} -c 'print(\"a;b\")'")
        assert read_passphrase("profile ada", settings=lambda: command) == "a;b"

    @pytest.mark.parametrize("name", ["PANACHAIN_PASSPHRASE_FILE", "PANACHAIN_PASSPHRASE_COMMAND"])
    def test_the_environment_comes_first_and_no_settings_are_read_then(
        self, monkeypatch: pytest.MonkeyPatch, secret: Path, name: str
    ) -> None:
        def none() -> Sources:
            raise AssertionError("a service has no settings")

        monkeypatch.setenv(name, str(secret) if name.endswith("FILE") else f"cat {shlex.quote(str(secret))}")
        assert read_passphrase("profile ada", settings=none) == "correct horse"

    @pytest.mark.parametrize(
        ("sources", "named"),
        [(Sources("/nowhere/file"), "passphrase_file"), (Sources(command="false"), "passphrase_command")],
    )
    def test_one_that_gives_nothing_is_named_and_nobody_is_asked_instead(self, sources: Sources, named: str) -> None:
        with pytest.raises(LockedError, match=f"the setting {named}"):
            read_passphrase("profile ada", settings=lambda: sources)

    def test_a_file_that_others_may_read_is_refused_here_too(self, secret: Path) -> None:
        secret.chmod(0o644)
        with pytest.raises(LockedError, match="the setting passphrase_file names a file that others may read"):
            read_passphrase("profile ada", settings=lambda: Sources(str(secret)))


class TestNew:
    """The passphrase that a key store gets never comes from where its old one does."""

    def test_it_comes_from_a_descriptor_or_a_file_of_its_own(self, secret: Path) -> None:
        assert read_new_passphrase("profile ada", file=secret) == "correct horse"
        reader = os.open(secret, os.O_RDONLY)
        assert read_new_passphrase("profile ada", descriptor=reader) == "correct horse"
        os.close(reader)

    def test_two_sources_are_refused(self, secret: Path) -> None:
        with pytest.raises(UsageError, match="two sources"):
            read_new_passphrase("profile ada", descriptor=0, file=secret)

    def test_the_settings_are_no_source_of_it(self, monkeypatch: pytest.MonkeyPatch, secret: Path) -> None:
        monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", str(secret))
        with pytest.raises(LockedError, match="the new passphrase of profile ada is needed"):
            read_new_passphrase("profile ada")


class Memory(KeyringBackend):
    """A keychain that holds what it is given while the test runs."""

    priority = 5.0  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.held[service, username]


class TestKeychain:
    @pytest.fixture
    def chain(self, monkeypatch: pytest.MonkeyPatch) -> Memory:
        made = Memory()
        monkeypatch.setattr(keyring, "get_keyring", lambda: made)
        return made

    def test_what_it_holds_is_found_after_all_other_settings(self, chain: Memory, secret: Path) -> None:
        remember("pat-x", "from the chain")
        assert chain.held == {("panachain", "pat-x"): "from the chain"}
        assert read_passphrase("profile ada", settings=lambda: Sources(keychain="pat-x")) == "from the chain"
        assert (
            read_passphrase("profile ada", settings=lambda: Sources(str(secret), keychain="pat-x")) == "correct horse"
        )
        assert forget("pat-x")
        assert (forget("pat-x"), recall("pat-x"), chain.held) == (False, None, {})

    def test_what_it_does_not_hold_is_asked_for(self, chain: Memory) -> None:
        with pytest.raises(LockedError, match="no terminal to ask on"):
            read_passphrase("profile ada", settings=lambda: Sources(keychain="pat-x"))

    def test_one_that_locks_nothing_is_not_used(self, chain: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Memory, "priority", 0.5)
        for use in (lambda: recall("pat-x"), lambda: remember("pat-x", "words"), lambda: forget("pat-x")):
            with pytest.raises(LockedError, match="isn't one that locks"):
                use()
        assert chain.held == {}

    def test_one_that_refuses_or_keeps_nothing_is_told_without_what_it_quotes(
        self, chain: Memory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(chain, "set_password", lambda *_: None)
        with pytest.raises(LockedError, match="doesn't give back"):
            remember("pat-x", "words")

        def refuses(*_: str) -> None:
            raise KeyringLocked("words of a secret")

        monkeypatch.setattr(chain, "get_password", refuses)
        with pytest.raises(LockedError, match="the keychain refuses: KeyringLocked") as caught:
            recall("pat-x")
        assert "secret" not in f"{caught.value} {caught.value.hint}"

    def test_without_the_extra_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "keyring", None)
        with pytest.raises(LockedError) as caught:
            recall("pat-x")
        assert "panachain[keychain]" in caught.value.hint
