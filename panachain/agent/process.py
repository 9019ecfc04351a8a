"""The agent's own process: one key in one page of memory, handed to its user over a socket until its time is over.

A program apart from the rest of the package, of Python's own library alone: `python -I -S process.py NAME SECONDS
FOLDER LEADER`, the last two are descriptors. The key comes through standard input and is never an object of Python's:
it is read into the page and sent from there. Never writes it anywhere else, logs nothing, starts nothing, and opens no
file. Follows docs/spec/agent.md and ADR 51.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import resource
import secrets
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

KEY_SIZE: Final = 32
"""Bytes of what is held."""
GIVE: Final = b"k"
"""Asks for the key: 32 bytes come back."""
TELL: Final = b"t"
"""Asks how it is: `STATE` comes back."""
LOCK: Final = b"l"
"""Has the key forgotten: `DONE` comes back once it is."""
DONE: Final = b"\x01"
STATE: Final = struct.Struct(">IB")
"""Seconds that are left, and whether the memory is locked."""
SUFFIX: Final = ".sock"
MOST_SECONDS: Final = 12 * 3600
"""A working day."""
_PEER: Final = struct.Struct("3i")
"""struct ucred of unix(7): process, user, group."""
_MOST_CLIENTS: Final = 16
_WAITING: Final = 128
"""Clients that wait to be taken."""
_PATIENCE: Final = 2.0
"""Seconds that a client gets for its one byte."""
_LONGEST: Final = 5.0
"""Seconds between two looks at the clock: a machine that slept finds its time over."""
_PR_SET_DUMPABLE: Final = 4
"""prctl(2)."""


class Page:
    """One page of memory, out of swap and core dumps as far as the system allows, for the key."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._map.madvise(mmap.MADV_DONTDUMP)
        libc = ctypes.CDLL(None, use_errno=True)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self.is_locked = libc.mlock(ctypes.c_void_p(start), ctypes.c_size_t(mmap.PAGESIZE)) == 0
        """Whether the page stays out of swap."""
        self.key = memoryview(self._map)[:KEY_SIZE]
        """Where the key is: for `recv_into` and `send`, which copy nothing into an object of Python's."""

    def wipe(self) -> None:
        """Overwrite the key."""
        self._map[:] = bytes(mmap.PAGESIZE)


def now() -> float:
    """Return seconds since the machine started, those in which it slept too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def is_own(connection: socket.socket) -> bool:
    """Tell whether the other side of a Unix socket is a process of this user's."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    user: int = _PEER.unpack(credentials)[1]
    return user == os.geteuid()


class Agent:
    """Answers until its time is over, its session ends, or somebody has it locked; the key is gone then."""

    def __init__(self, listening: socket.socket, page: Page, until: float, leader: int = -1) -> None:
        """Take all that it works with.

        Args:
            listening: a Unix socket; it is closed at the end.
            page: holds the key.
            until: when its time is over, as `now` counts.
            leader: descriptor of the process with which it ends (pidfd_open(2)); -1 for none.
        """
        self._listening = listening
        self._page = page
        self._until = until
        self._leader = leader
        self._clients: dict[socket.socket, float] = {}
        self._waiting = selectors.DefaultSelector()
        self._over = False

    def serve(self) -> None:
        """Answer, and return once the key is overwritten."""
        woken, waking = socket.socketpair()
        for one in (self._listening, woken, waking):
            one.setblocking(False)
        before = signal.set_wakeup_fd(waking.fileno())
        kept = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGHUP)}
        try:
            ends = [woken.fileno()] + ([self._leader] if self._leader >= 0 else [])
            for end in (*ends, self._listening.fileno()):
                self._waiting.register(end, selectors.EVENT_READ)
            while not self._over and (left := self._until - now()) > 0:
                for key, _ in self._waiting.select(min(left, _LONGEST)):
                    if key.fd in ends:
                        return
                    self._hear(key.fd)
                self._drop_late()
        finally:
            # First of all: whatever happened, nothing of it is left.
            self._page.wipe()
            for number, handler in kept.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)
            for client in list(self._clients):
                self._drop(client)
            for one in (self._listening, woken, waking):
                one.close()
            self._waiting.close()

    def _hear(self, descriptor: int) -> None:
        if descriptor == self._listening.fileno():
            self._accept()
        # One that was dropped since for another one isn't there any more.
        for client in [one for one in self._clients if one.fileno() == descriptor]:
            with suppress(OSError):
                self._answer(client)
            self._drop(client)

    def _accept(self) -> None:
        with suppress(OSError):
            client, _ = self._listening.accept()
            if not is_own(client):
                client.close()
                return
            if len(self._clients) >= _MOST_CLIENTS:
                self._drop(next(iter(self._clients)))
            client.setblocking(False)
            self._clients[client] = now() + _PATIENCE
            self._waiting.register(client, selectors.EVENT_READ)

    def _answer(self, client: socket.socket) -> None:
        """Answer the one byte of a client's; what doesn't fit into the socket at once isn't sent."""
        asked = client.recv(1)
        if asked == GIVE and self._until > now():
            client.send(self._page.key)
        elif asked == TELL:
            client.send(STATE.pack(max(0, int(self._until - now())), self._page.is_locked))
        elif asked == LOCK:
            self._page.wipe()
            self._over = True
            client.send(DONE)

    def _drop(self, client: socket.socket) -> None:
        del self._clients[client]
        self._waiting.unregister(client)
        client.close()

    def _drop_late(self) -> None:
        for client in [one for one, until in self._clients.items() if until < now()]:
            self._drop(client)


def harden() -> None:
    """Keep this process from dumping core, and other processes of its user from looking into its memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def listen(name: str, folder: int) -> tuple[socket.socket, os.stat_result]:
    """Return a socket that listens under `name` in a folder, in place of one that is there, and what tells it apart."""
    # By a short name: a Unix socket's path has 107 bytes at most, and a home may lie deep.
    os.fchdir(folder)
    new = f".{secrets.token_hex(4)}.new"
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        listening.bind(new)
        listening.listen(_WAITING)
        made = Path(new).lstat()
        with _alone(folder):
            os.replace(new, name + SUFFIX)
    except BaseException:
        with suppress(OSError):
            Path(new).unlink()
        listening.close()
        raise
    finally:
        os.umask(before)
        os.chdir("/")
    return listening, made


@contextmanager
def _alone(folder: int) -> Iterator[None]:
    """Keep other agents out of the folder for a moment."""
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)


def forget(name: str, folder: int, made: os.stat_result) -> None:
    """Remove a socket, if it is still the one that was made here."""
    # Alone: between the look and the removal another agent could put its own there.
    with suppress(OSError), _alone(folder):
        if os.path.samestat(os.stat(name + SUFFIX, dir_fd=folder, follow_symlinks=False), made):
            os.unlink(name + SUFFIX, dir_fd=folder)


def main(arguments: list[str]) -> None:
    """Take the key from standard input, say `DONE` on standard output once it can be asked, and serve."""
    name, seconds, folder, leader = arguments[0], int(arguments[1]), int(arguments[2]), int(arguments[3])
    until = now() + min(seconds, MOST_SECONDS)
    harden()
    # Away from whoever started it, before there is a key: a fork would copy it.
    if os.fork():
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    page = Page()
    with socket.socket(fileno=os.dup(0)) as source:
        got = 0
        while got < KEY_SIZE:
            # Of no more bytes than there is room for.
            if not (count := source.recv_into(page.key[got:])):
                return
            got += count
    listening, made = listen(name, folder)
    try:
        os.write(1, DONE)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)
        os.close(nothing)
        Agent(listening, page, until, leader).serve()
    finally:
        page.wipe()
        forget(name, folder, made)


if __name__ == "__main__":
    main(sys.argv[1:])
