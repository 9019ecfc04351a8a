"""Agents as processes of their own: started, asked, locked, killed, and never trusted where they aren't one's own."""

from __future__ import annotations

import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from panachain.agent import client, process
from panachain.errors import LockedError, UsageError

KEY = os.urandom(32)
PATIENCE = 60.0


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A deep home: a socket's path in it is longer than sockets' paths may be."""
    place = tmp_path / ("deep" * 20) / ("deeper" * 20)
    place.mkdir(parents=True, mode=0o700)
    yield place
    for name in client.names(place):
        client.lock(place, name)


def pid_of(home: Path, name: str = "me") -> int:
    folder = os.open(home / client.FOLDER, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.connect(f"/proc/self/fd/{folder}/{name}.sock")
        os.close(folder)
        found: int = struct.unpack("3i", one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        return found


def wait_for_the_end(pid: int) -> None:
    until = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()


def test_it_is_started_asked_and_locked(home: Path) -> None:
    state = client.start(home, "me", KEY, 60)
    assert 0 < state.seconds <= 60
    assert (home / "agent").stat().st_mode & 0o777 == 0o700
    assert (home / "agent" / "me.sock").stat().st_mode & 0o777 == 0o600
    assert client.ask(home, "me") == KEY
    assert client.ask(home, "you") is None
    assert client.names(home) == ["me"]
    pid = pid_of(home)
    assert client.lock(home, "me")
    wait_for_the_end(pid)
    assert (client.ask(home, "me"), client.status(home, "me"), client.names(home)) == (None, None, [])
    assert not client.lock(home, "me")


def test_each_profile_has_its_own_and_a_second_start_replaces_the_first(home: Path) -> None:
    client.start(home, "me", KEY, 60)
    client.start(home, "you", KEY[::-1], 60)
    first = pid_of(home)
    client.start(home, "me", bytes(32), 60)
    wait_for_the_end(first)
    assert (client.ask(home, "me"), client.ask(home, "you")) == (bytes(32), KEY[::-1])


def test_nothing_secret_is_in_its_arguments_environment_or_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", "/a/place/of/secrets")
    client.start(home, "me", KEY, 60)
    pid = pid_of(home)
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    assert command.split(b"\0")[1:5] == [b"-I", b"-S", process.__file__.encode(), b"me"]
    told = [command, *(path.name.encode() for path in (home / "agent").iterdir())]
    try:
        told.append(Path(f"/proc/{pid}/environ").read_bytes())
    except PermissionError:
        # Only root looks into a process that doesn't let itself be looked into.
        assert os.geteuid()
    for one in told:
        assert KEY not in one
        assert KEY.hex().encode() not in one
        assert b"/a/place/of/secrets" not in one
    assert "Max core file size        0" in Path(f"/proc/{pid}/limits").read_text()
    client.ask(home, "me")
    assert capfd.readouterr() == ("", "")


def test_its_time_ends_it(home: Path) -> None:
    client.start(home, "me", KEY, 1)
    pid = pid_of(home)
    wait_for_the_end(pid)
    assert (client.ask(home, "me"), client.names(home)) == (None, [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_order(home: Path, number: signal.Signals) -> None:
    client.start(home, "me", KEY, 60)
    pid = pid_of(home)
    os.kill(pid, number)
    wait_for_the_end(pid)
    assert client.names(home) == []


def test_one_that_was_killed_is_as_good_as_none_and_another_takes_its_place(home: Path) -> None:
    client.start(home, "me", KEY, 60)
    pid = pid_of(home)
    os.kill(pid, signal.SIGKILL)
    wait_for_the_end(pid)
    # Its socket is still there.
    assert client.names(home) == ["me"]
    assert (client.ask(home, "me"), client.status(home, "me"), client.lock(home, "me")) == (None, None, False)
    client.start(home, "me", KEY, 60)
    assert client.ask(home, "me") == KEY


def test_it_ends_with_the_session_in_which_it_was_started(home: Path) -> None:
    # The leader of a session, as a terminal's shell is, has a child of its own start the agent.
    child = (
        "from pathlib import Path; from panachain.agent import client; "
        f"client.start(Path({str(home)!r}), 'me', bytes(32), 600)"
    )
    leader = (
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)\n"
        "print('started', flush=True)\ninput()\n"
    )
    shell = subprocess.Popen(
        [sys.executable, "-c", leader],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(process.__file__).parents[2],
    )
    assert shell.stdout is not None
    assert shell.stdout.readline() == "started\n"
    pid = pid_of(home)
    assert client.ask(home, "me") == bytes(32)
    shell.communicate("\n", timeout=PATIENCE)
    wait_for_the_end(pid)
    assert client.ask(home, "me") is None


class TestPlace:
    """A socket that anybody else could have made is not asked, and none is made where others can."""

    @pytest.mark.parametrize("kind", ["link", "open", "file"])
    def test_its_folder_is_ones_own_or_not_used(
        self, home: Path, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        theirs = tmp_path / "theirs"
        theirs.mkdir(mode=0o700)
        if kind == "link":
            (home / "agent").symlink_to(theirs)
        elif kind == "open":
            (home / "agent").mkdir(mode=0o700)
            (home / "agent").chmod(0o750)
        else:
            (home / "agent").write_text("")
        with pytest.raises((LockedError, OSError)):
            client.start(home, "me", KEY, 60)
        with caplog.at_level(logging.WARNING):
            assert client.ask(home, "me") is None
        assert "no agent is asked" in caplog.text
        assert list(theirs.iterdir()) == []
        if kind == "open":
            (home / "agent").chmod(0o700)
        else:
            (home / "agent").unlink()

    def test_another_users_folder_and_agent_are_not_used(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        client.start(home, "me", KEY, 60)
        with monkeypatch.context() as patch:
            patch.setattr(client.os, "geteuid", lambda: os.getuid() + 1)
            assert client.ask(home, "me") is None
        with monkeypatch.context() as patch:
            patch.setattr(process, "is_own", lambda _: False)
            assert client.ask(home, "me") is None
        assert client.ask(home, "me") == KEY

    def test_what_is_no_socket_is_not_asked(self, home: Path) -> None:
        client.start(home, "you", KEY, 60)
        folder = home / "agent"
        (folder / "me.sock").symlink_to(folder / "you.sock")
        assert client.ask(home, "me") is None
        (folder / "me.sock").unlink()
        (folder / "me.sock").write_bytes(KEY)
        assert client.ask(home, "me") is None
        client.start(home, "me", bytes(32), 60)
        assert client.ask(home, "me") == bytes(32)


@pytest.mark.parametrize("answer", [b"", b"x", b"x" * 31, None])
def test_one_that_answers_too_little_or_never_is_as_good_as_none(
    home: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes | None
) -> None:
    monkeypatch.setattr(client, "_PATIENCE", 0.2)
    (home / "agent").mkdir(mode=0o700)
    folder = os.open(home / "agent", os.O_RDONLY)
    listening, _ = process.listen("me", folder)
    os.close(folder)
    if answer is None:
        assert client.ask(home, "me") is None
    else:
        from threading import Thread

        def answers() -> None:
            one, _ = listening.accept()
            one.recv(1)
            one.sendall(answer)
            one.close()

        thread = Thread(target=answers)
        thread.start()
        assert client.ask(home, "me") is None
        thread.join(PATIENCE)
    listening.close()
    (home / "agent" / "me.sock").unlink()


@pytest.mark.parametrize("seconds", [0, -1, 12 * 3600 + 1])
def test_a_time_that_is_none_or_longer_than_a_working_day_is_refused(home: Path, seconds: int) -> None:
    with pytest.raises(UsageError, match="12 hours at most"):
        client.start(home, "me", KEY, seconds)
    assert client.names(home) == []


def test_a_system_that_cant_have_one_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "is_possible", lambda: False)
    with pytest.raises(UsageError, match="needs Linux"):
        client.start(home, "me", KEY, 60)
    assert client.ask(home, "me") is None


def test_one_that_does_not_start_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.sys, "executable", "/bin/false")
    with pytest.raises(LockedError, match="didn't start"):
        client.start(home, "me", KEY, 60)
    assert sys.executable == "/bin/false"
