"""Starting an agent, asking it for its key, and having it forget the key.

Never follows a link to it, never talks to a process of another user's, and never waits for long: an agent that doesn't
answer is as good as none. Follows docs/spec/agent.md and ADR 51.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panachain.agent import process
from panachain.errors import LockedError, UsageError
from panachain.private_files import make_private_folder, write_private

FOLDER: Final = "agent"
"""Below the home: one socket for each profile that is unlocked."""
_LOG: Final = logging.getLogger(__name__)
_PATIENCE: Final = 2.0
"""Seconds for an answer, which takes less than one of its thousandths."""
_NOTE: Final = ".locked"
"""End of the name of an empty file beside the sockets: its time says when a profile was locked."""
_START: Final = 20.0
"""Seconds for a start, on a busy machine."""


@dataclass(frozen=True)
class AgentState:
    """How an agent is."""

    seconds: int
    """Until it forgets its key by itself."""
    memory_locked: bool
    """Whether its key stays out of swap."""
    ends_with_session: bool = False
    """Whether it ends with the session in which it was started."""


def is_possible() -> bool:
    """Tell whether this system has what an agent needs: Linux's peer credentials, and /proc."""
    return hasattr(socket, "SO_PEERCRED") and Path("/proc/self/fd").is_dir()


def start(home: Path, name: str, key: bytes, seconds: int) -> AgentState:
    """Start an agent that holds a profile's data key; one that is there is locked first.

    Args:
        home: the folder of all state.
        name: the profile's.
        key: 32 bytes.
        seconds: after which it forgets the key; 12 hours at most.

    Raises:
        UsageError: this system can't have one, or the time isn't one.
        LockedError: its folder is a link or open to others, or it doesn't start.
    """
    if not is_possible():
        raise UsageError("an agent needs Linux; nothing was unlocked", hint="give the passphrase to each command")
    if not 0 < seconds <= process.MOST_SECONDS:
        raise UsageError(f"a profile stays unlocked for {process.MOST_SECONDS // 3600} hours at most, and not for none")
    make_private_folder(home / FOLDER)
    lock(home, name)
    with _folder(home) as folder:
        if folder is None:
            raise LockedError(
                f"{home / FOLDER} is a link, open to others or another user's; nothing was unlocked",
                hint=f"rm -r {home / FOLDER}",
            )
        leader = _session_leader()
        try:
            _run(name, key, seconds, folder, leader)
        finally:
            if leader >= 0:
                os.close(leader)
    state = status(home, name)
    if state is None:
        raise LockedError("the agent doesn't answer; nothing is unlocked")
    return AgentState(state.seconds, state.memory_locked, ends_with_session=leader >= 0)


def ask(home: Path, name: str) -> bytes | None:
    """Return the data key that a profile's agent holds, 32 bytes, or None where there is no agent that answers."""
    return _exchange(home, name, process.GIVE, process.KEY_SIZE)


def status(home: Path, name: str) -> AgentState | None:
    """Return how a profile's agent is, or None where there is none."""
    answer = _exchange(home, name, process.TELL, process.STATE.size)
    if answer is None:
        return None
    seconds, locked = process.STATE.unpack(answer)
    return AgentState(seconds, bool(locked))


def lock(home: Path, name: str) -> bool:
    """Have a profile's agent forget its key and end; tell whether there was one."""
    return _exchange(home, name, process.LOCK, len(process.DONE)) == process.DONE


def tell_locked(home: Path, name: str) -> None:
    """Note that somebody locked a profile, whether or not it had an agent: portals that have it open lock it, too.

    Raises:
        LockedError: the note can't be written.
    """
    try:
        make_private_folder(home / FOLDER)
        write_private(home / FOLDER / f"{name}{_NOTE}", b"")
    except OSError as exc:
        raise LockedError(f"{home / FOLDER} can't be written: {exc.strerror}; a portal may have it open still") from exc


def locked_at(home: Path, name: str) -> int:
    """Return when somebody locked a profile last, as a number that changes each time; 0 for never."""
    try:
        return (home / FOLDER / f"{name}{_NOTE}").lstat().st_mtime_ns
    except OSError:
        return 0


def names(home: Path) -> list[str]:
    """Return the profiles that have a socket here, whether or not anybody answers."""
    with _folder(home) as folder:
        # By the descriptor that was looked at, not by the path.
        found = [] if folder is None else os.listdir(folder)  # noqa: PTH208
    return sorted(one.removesuffix(process.SUFFIX) for one in found if one.endswith(process.SUFFIX))


def _session_leader() -> int:
    """Return a descriptor of the process that leads this session, such as a terminal's shell; -1 if that is nobody."""
    leader = os.getsid(0)
    # Whoever leads their own session is gone as soon as they have started an agent.
    if leader in (0, os.getpid()):
        return -1
    try:
        return os.pidfd_open(leader)
    except OSError:
        return -1


def _run(name: str, key: bytes, seconds: int, folder: int, leader: int) -> None:
    # Imported here: whoever asks an agent starts none.
    import subprocess

    ours, theirs = socket.socketpair()
    ready = False
    with ours:
        # Isolated and without site-packages: nothing but Python's own library runs beside the key. Its arguments tell
        # a name and a time, its environment nothing.
        command = [sys.executable, "-I", "-S", process.__file__, name, str(seconds), str(folder), str(leader)]
        with theirs:
            started = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=[one for one in (folder, leader) if one >= 0],
                env=dict[str, str](),
                cwd="/",
            )
        with started, suppress(BrokenPipeError):
            ours.sendall(key)
            said = started.stdout
            ready = said is not None and bool(select.select([said], [], [], _START)[0]) and said.read(1) == process.DONE
    if not ready:
        raise LockedError("the agent didn't start; nothing is unlocked")


@contextmanager
def _folder(home: Path) -> Iterator[int | None]:
    """Open the folder of the sockets; None if it isn't there, is a link, or isn't its user's alone."""
    try:
        folder = os.open(home / FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    except OSError as exc:
        _LOG.warning("no agent is asked: %s can't be opened as a folder (%s)", home / FOLDER, exc.strerror)
        yield None
        return
    try:
        found = os.fstat(folder)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            _LOG.warning("no agent is asked: %s is open to others, or another user's", home / FOLDER)
            yield None
        else:
            yield folder
    finally:
        os.close(folder)


def _exchange(home: Path, name: str, asked: bytes, size: int) -> bytes | None:
    """Send one byte and return the answer of this size; None where nobody of this user's gives one in time."""
    if not is_possible():
        return None
    with _folder(home) as folder, suppress(OSError):
        if folder is None:
            return None
        # By the folder's descriptor: it is the one that was looked at, and the path is short.
        path = f"/proc/self/fd/{folder}/{name}{process.SUFFIX}"
        if not stat.S_ISSOCK(Path(path).lstat().st_mode):
            return None
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
            connection.settimeout(_PATIENCE)
            connection.connect(path)
            if not process.is_own(connection):
                return None
            connection.sendall(asked)
            answer = connection.recv(size, socket.MSG_WAITALL)
            return answer if len(answer) == size else None
    return None
