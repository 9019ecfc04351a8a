"""The agent's process: it answers its user alone, whatever clients do, and nothing of the key is left in its memory."""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from panachain.agent import client, process

KEY = bytes(range(100, 132))
HOST = Path(__file__).parent / "agent_host.py"


class InThread:
    """An agent in this process; its end is awaited."""

    def __init__(self, home: Path, *, seconds: float = 60, leader: int = -1) -> None:
        (home / client.FOLDER).mkdir(mode=0o700)
        self.folder = os.open(home / client.FOLDER, os.O_RDONLY)
        self.page = process.Page()
        self.page.key[:] = KEY
        self.listening, self.made = process.listen("me", self.folder)
        self.agent = process.Agent(self.listening, self.page, process.now() + seconds, leader)
        self.thread = Thread(target=self.agent.serve)

    def end(self) -> None:
        self.thread.join(30)
        assert not self.thread.is_alive()
        process.forget("me", self.folder, self.made)
        os.close(self.folder)


@pytest.fixture
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., InThread]]:
    """Start agents whose signals are left to pytest: only a main thread may take them."""
    monkeypatch.setattr(process.signal, "signal", lambda *_: signal.SIG_DFL)
    monkeypatch.setattr(process.signal, "set_wakeup_fd", lambda _: -1)
    started: list[InThread] = []

    def start(**options: float) -> InThread:
        started.append(InThread(tmp_path, **options))  # type: ignore[arg-type]
        started[-1].thread.start()
        return started[-1]

    yield start
    for one in started:
        client.lock(tmp_path, "me")
        one.end()


def connected(home: Path) -> socket.socket:
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(home / client.FOLDER, os.O_RDONLY)
    one.connect(f"/proc/self/fd/{folder}/me.sock")
    os.close(folder)
    one.settimeout(20)
    return one


def test_a_key_is_given_until_it_is_locked(tmp_path: Path, serving: Callable[..., InThread]) -> None:
    serving()
    assert client.ask(tmp_path, "me") == client.ask(tmp_path, "me") == KEY
    state = client.status(tmp_path, "me")
    assert state is not None
    assert 0 < state.seconds <= 60
    assert client.lock(tmp_path, "me")
    assert client.ask(tmp_path, "me") is None


def test_the_key_is_overwritten_before_a_lock_is_confirmed(tmp_path: Path, serving: Callable[..., InThread]) -> None:
    agent = serving()
    with connected(tmp_path) as one:
        one.sendall(process.LOCK)
        assert one.recv(1) == process.DONE
        assert bytes(agent.page.key) == bytes(32)


def test_its_time_ends_it(tmp_path: Path, serving: Callable[..., InThread]) -> None:
    agent = serving(seconds=0.2)
    agent.thread.join(30)
    assert not agent.thread.is_alive()
    assert bytes(agent.page.key) == bytes(32)
    assert client.ask(tmp_path, "me") is None


def test_nothing_is_given_after_its_time_even_before_it_noticed(
    tmp_path: Path, serving: Callable[..., InThread]
) -> None:
    agent = serving()
    # As after a sleep of the machine, with a request that waits.
    agent.agent._until = process.now() - 1
    assert client.ask(tmp_path, "me") is None


def test_the_end_of_its_session_ends_it(tmp_path: Path, serving: Callable[..., InThread]) -> None:
    leader = subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE)
    watched = os.pidfd_open(leader.pid)
    agent = serving(leader=watched)
    assert client.ask(tmp_path, "me") == KEY
    leader.communicate(b"\n", timeout=30)
    agent.thread.join(30)
    assert not agent.thread.is_alive()
    assert bytes(agent.page.key) == bytes(32)
    os.close(watched)


@pytest.mark.parametrize("sent", [b"", b"\0", b"K", b"x" * 4096, b"GET / HTTP/1.1\r\n\r\n"])
def test_what_is_no_question_gets_no_answer(tmp_path: Path, serving: Callable[..., InThread], sent: bytes) -> None:
    serving()
    with connected(tmp_path) as one:
        one.sendall(sent)
        one.shutdown(socket.SHUT_WR)
        # It may end the connection with bytes of ours unread.
        with suppress(ConnectionResetError):
            assert one.recv(100) == b""
    assert client.ask(tmp_path, "me") == KEY


def test_clients_that_say_nothing_or_never_read_keep_nobody_waiting(
    tmp_path: Path, serving: Callable[..., InThread]
) -> None:
    serving()
    silent = [connected(tmp_path) for _ in range(40)]
    for one in silent[20:]:
        # On a busy machine the first ones were dropped by now, as the next test has it.
        with suppress(BrokenPipeError, ConnectionResetError):
            one.sendall(process.GIVE)
    try:
        assert client.ask(tmp_path, "me") == KEY
    finally:
        for one in silent:
            one.close()


def test_a_client_that_says_nothing_is_dropped(
    tmp_path: Path, serving: Callable[..., InThread], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_PATIENCE", 0.3)
    monkeypatch.setattr(process, "_LONGEST", 0.05)
    serving()
    with connected(tmp_path) as one:
        assert one.recv(1) == b""


def test_another_users_process_gets_nothing(
    tmp_path: Path, serving: Callable[..., InThread], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = serving()
    with monkeypatch.context() as patch:
        patch.setattr(process.os, "geteuid", lambda: os.getuid() + 1)
        for asked in (process.GIVE, process.LOCK, process.TELL):
            with connected(tmp_path) as one, suppress(BrokenPipeError, ConnectionResetError):
                one.sendall(asked)
                assert one.recv(100) == b""
    assert bytes(agent.page.key) == KEY
    assert client.ask(tmp_path, "me") == KEY


def test_a_socket_is_its_users_alone_whatever_the_umask(tmp_path: Path, serving: Callable[..., InThread]) -> None:
    before = os.umask(0)
    try:
        serving()
    finally:
        os.umask(before)
    assert (tmp_path / "agent" / "me.sock").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "agent").iterdir()] == ["me.sock"]


def test_only_its_own_socket_is_removed(tmp_path: Path, serving: Callable[..., InThread]) -> None:
    agent = serving()
    path = tmp_path / "agent" / "me.sock"
    client.lock(tmp_path, "me")
    agent.thread.join(30)
    # As a later agent does it: beside, then in its place.
    other = tmp_path / "agent" / "other"
    other.write_text("another one's")
    other.replace(path)
    process.forget("me", agent.folder, agent.made)
    assert path.exists()


def test_one_that_ends_waits_for_another_that_takes_its_place(tmp_path: Path, serving: Callable[..., InThread]) -> None:
    agent = serving()
    client.lock(tmp_path, "me")
    agent.thread.join(30)
    path = tmp_path / "agent" / "me.sock"
    other = os.open(tmp_path / "agent", os.O_RDONLY)
    # The other one holds the folder, and has looked at nothing yet.
    fcntl.flock(other, fcntl.LOCK_EX)
    ending = Thread(target=process.forget, args=("me", agent.folder, agent.made))
    ending.start()
    ending.join(0.2)
    assert ending.is_alive()
    new = tmp_path / "agent" / "new"
    new.write_text("the other one's")
    new.replace(path)
    os.close(other)
    ending.join(30)
    assert path.read_text() == "the other one's"


def times_in_memory(pid: int, wanted: bytes) -> int:
    """Return how often bytes stand in a process's memory."""
    found = 0
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            first, last, mode, name = re.fullmatch(r"(\w+)-(\w+) (\S+) \S+ \S+ \S+ *(.*)", line).groups()  # type: ignore[union-attr]
            if "r" not in mode or name in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                continue
            memory.seek(int(first, 16))
            try:
                found += memory.read(int(last, 16) - int(first, 16)).count(wanted)
            except OSError:
                continue
    return found


def test_nothing_of_the_key_is_in_its_memory_after_its_time(tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir(mode=0o700)
    key = os.urandom(32)
    ours, theirs = socket.socketpair()
    program = process.__file__
    with ours, theirs:
        host = subprocess.Popen(
            [sys.executable, "-I", "-S", str(HOST), program, str(tmp_path / "agent")],
            stdin=theirs.fileno(),
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            ours.sendall(key)
            assert host.stdout is not None
            assert host.stdout.readline() == "ready\n"
            for _ in range(3):
                assert client.ask(tmp_path, "me") == key
            # The control: the same look finds it while it is there, once, in its page and in no object of Python's.
            assert times_in_memory(host.pid, key) == 1
            assert client.lock(tmp_path, "me")
            assert host.stdout.readline() == "over\n"
            assert times_in_memory(host.pid, key) == 0
            # Not in part, either.
            assert times_in_memory(host.pid, key[:16]) == times_in_memory(host.pid, key[16:]) == 0
        finally:
            ours.close()
            host.kill()
            host.communicate(timeout=30)


def test_a_process_that_is_hardened_dumps_no_core_and_shows_nobody_its_memory() -> None:
    program = (
        "import ctypes, importlib.util, resource, sys\n"
        "spec = importlib.util.spec_from_file_location('process', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['process'] = module\n"
        "spec.loader.exec_module(module)\n"
        "module.harden()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
    )
    command = [sys.executable, "-I", "-S", "-c", program, process.__file__]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    # prctl(2): PR_GET_DUMPABLE.
    assert done.stdout == "(0, 0) 0\n"


def test_a_page_is_locked_where_the_system_allows_it() -> None:
    page = process.Page()
    assert bytes(page.key) == bytes(32)
    libc = ctypes.CDLL(None, use_errno=True)
    start = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(page._map)))
    assert page.is_locked is (libc.mlock(start, ctypes.c_size_t(32)) == 0)
    page.key[:] = KEY
    page.wipe()
    assert bytes(page.key) == bytes(32)
