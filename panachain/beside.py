"""Processes of this very package that work beside this one: how they are started, and what they get of it.

They get no secret, no file and no terminal: two pipes, a third that says when this one is gone, and of the environment
what finds Python and its modules. None goes on as a copy of this one, which would have an unlocked seed: each is a
program that begins anew, and bounds itself before it reads anything (`bound`). Who starts one ends it; where whoever
started it was killed, the system ends it (on Linux; elsewhere it ends with its input). Follows ADR 74, 79, 82 and 83.

Those that read one file of others after the other (`Asked`, `answer_questions`) speak in parts, each with its length
before it (4 bytes, big-endian): so many parts are a question, so many an answer.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    import subprocess

KEPT: Final = (
    *("PATH", "HOME", "PYTHONHOME", "PYTHONPATH", "PYTHONUSERBASE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ"),
)
"""What of the environment a process gets: what finds Python and its modules. The rest may name secrets."""
LINE: Final = "PANACHAIN_LINE"
"""Besides, which descriptor tells the process that whoever started it is gone."""
_PIPE: Final = 1 << 20
"""Bytes that a pipe may hold: what Linux allows everybody (pipe(7))."""
_SET_SIZE: Final[int | None] = getattr(fcntl, "F_SETPIPE_SZ", None)
"""The command that asks for it; None where a system has none."""
GOODBYE: Final = 10.0
"""Seconds that a killed process is waited for."""
ROOT: Final = Path(__file__).absolute().parents[1]
"""Where this package lies."""
_LENGTH: Final = 4
"""Bytes of a part's length."""
_READ: Final = 1 << 16
_STANDARD: Final = 3
"""Descriptors that every process has, or that are anybody's where a host closed them."""
_LINES: Final[dict[object, int]] = {}
"""Process → this one's end of the pipe that closes when this one ends, however it ends. Not by its number, which
another one may have once it was waited for; one that isn't there yet has something in its place."""


def environment() -> dict[str, str]:
    """Return what of this process's environment another one gets."""
    return {name: os.environ[name] for name in KEPT if name in os.environ}


def environment_of_others() -> dict[str, str]:
    """Return what of it a program gets that isn't ours, and that the user has or names: all but our passwords."""
    return {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith("PANACHAIN_") and name.endswith("_PASSWORD"))
    }


def command(module: str) -> tuple[str, ...]:
    """Return what Python is told to run a module's `main`: of the very package that this one is of, wherever it lies.

    All else is found as always.
    """
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import panachain; del sys.path[0]; "
        f"from {module} import main; main()"
    )
    return "-c", program, str(ROOT)


def flags() -> list[str]:
    """Return what Python is told so that it finds modules where this one does."""
    given = sys.flags
    known = (("-E", given.ignore_environment), ("-s", given.no_user_site), ("-S", given.no_site))
    # -P: no module is taken from the folder that somebody happens to work in.
    return ["-P", *(flag for flag, is_set in known if is_set)]


def start(asked: Sequence[str], *, is_wide: bool = True) -> subprocess.Popen[bytes]:
    """Start Python, with pipes as its standard input and output.

    Args:
        asked: what it is told besides its flags: a `command` and arguments.
        is_wide: whether its pipes hold a MiB, where a system allows that; all of a user's may have 64 together.

    Raises:
        OSError, MemoryError: this machine has none left.
    """
    # Imported here: most commands start none.
    import subprocess

    theirs, ours = _line()
    coming = object()
    # Before there is anything to end, so that no copy of this process holds it unknown.
    _LINES[coming] = ours
    process: subprocess.Popen[bytes] | None = None
    try:
        process = subprocess.Popen(
            [sys.executable or "", *flags(), *asked],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs],
            env=environment() | {LINE: str(theirs)},
            start_new_session=True,
        )
        _LINES[process] = ours
        del _LINES[coming]
        if is_wide:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    _widen(pipe)
    except BaseException as exc:
        if process is not None:
            # Whoever is interrupted gets none that could be ended later.
            process.kill()
        for one in (coming, process):
            _LINES.pop(one, None)
        os.close(ours)
        if isinstance(exc, subprocess.SubprocessError):
            raise OSError(f"a process died before it began: {exc}") from exc
        raise
    finally:
        os.close(theirs)
    return process


def _widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold a whole question or answer.

    Else the process waits with each piece of it until a thread of this one has its turn, which in Python is every 5 ms.
    """
    if _SET_SIZE is not None:
        # A system that allows less has a slower pipe.
        with suppress(OSError):
            fcntl.fcntl(pipe, _SET_SIZE, _PIPE)


def _line() -> tuple[int, int]:
    """Return both ends of a pipe, the one that is read first.

    None of them is one of the three of every process: where a host closed those, the other process's input would be put
    in the place of one, and what anybody writes to its complaints would go into the other.
    """
    ends = list(os.pipe())
    try:
        for place, end in enumerate(ends):
            if end < _STANDARD:
                ends[place] = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _STANDARD)
                os.close(end)
    except BaseException:
        for end in ends:
            os.close(end)
        raise
    return ends[0], ends[1]


def _let_go(process: object) -> None:
    # Whoever takes it out closes it: two threads may end one process.
    line = _LINES.pop(process, None)
    if line is not None:
        os.close(line)


def _forget() -> None:
    """Hold nothing of the processes of the one that this is a copy of: they end with that one."""
    # One that has just begun may be there twice.
    for line in set(_LINES.values()):
        os.close(line)
    _LINES.clear()


os.register_at_fork(after_in_child=_forget)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process at once, which has nothing to lose, and wait for that."""
    import subprocess

    process.kill()
    # One that hangs in the system itself ends some time later, and says nothing any more.
    with suppress(subprocess.TimeoutExpired):
        process.wait(GOODBYE)
    _let_go(process)


def close(process: subprocess.Popen[bytes]) -> None:
    """Close the pipes to a process that ended."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            # What was written and is still here goes nowhere any more.
            with suppress(OSError):
                pipe.close()


def bound(memory: int) -> None:
    """Bound what this process may do for another one: whoever takes it over finds nothing, and can keep nothing.

    Args:
        memory: bytes that it may take.
    """
    # What is typed into a terminal is for whoever started this, and ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    bound_memory(memory)
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        # No image of its memory, and no byte into any file.
        resource.setrlimit(limit, (0, 0))


def _end_with_parent() -> None:
    """Let the system end this process once whoever started it is gone, whatever this one is at.

    Its input ends then, too; but while it reads a file, it looks at no input.
    """
    told = os.environ.pop(LINE, None)
    if told is None:
        return
    line = int(told)
    # By its default action, which needs no turn of Python. Not PR_SET_PDEATHSIG: that asks for the thread, not the
    # process, and a thread may end long before. Whoever started this may have had the signal blocked or ignored.
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGIO})
    # A system that doesn't tell of pipes: this one ends with its input.
    with suppress(OSError):
        fcntl.fcntl(line, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(line, fcntl.F_SETFL, fcntl.fcntl(line, fcntl.F_GETFL) | os.O_ASYNC)
    # It may have happened already.
    ended = select.poll()
    ended.register(line, 0)
    if ended.poll(0):
        raise SystemExit(1)


def send(sink: IO[bytes] | None, unsent: bytes) -> bytes:
    """Write what a pipe has room for, without waiting for more, and return the rest.

    Raises:
        OSError: nobody reads it any more.
    """
    while unsent and sink is not None:
        try:
            written = os.write(sink.fileno(), unsent)
        except BlockingIOError:
            break
        unsent = unsent[written:]
    return unsent


def bound_memory(most: int) -> None:
    """Bound what this process may take, to so many bytes or what is allowed to it anyway."""
    _, allowed = resource.getrlimit(resource.RLIMIT_AS)
    bound = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    except (ValueError, OSError):
        # There a process has more addresses than that from its beginning on, and the system refuses the bound.
        if sys.platform != "darwin":
            raise


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Asked:
    """A process that answers one question after the other; it starts with the first.

    One that crashes, hangs, says too much or what is no answer costs that question its answer, and nothing else: it is
    ended, and the next question gets a new one.
    """

    def __init__(self, module: str, *, parts: int, most: int, seconds: float) -> None:
        """Start none yet.

        Args:
            module: whose `main` it runs.
            parts: of an answer.
            most: bytes that each of them may have.
            seconds: by the clock, after which it is ended, whatever it is at; it bounds its processor time itself.
        """
        self._command: Final = command(module)
        self._parts, self._most, self._seconds = parts, most, seconds
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None
        """The one that runs."""
        self.was_late = False
        """Whether the last question has no answer because its time was over."""

    @property
    def is_closed(self) -> bool:
        """Whether nothing is answered any more."""
        return self._closed.is_set()

    def ask(self, *question: bytes) -> list[bytes] | None:
        """Return the parts of the answer, or None if there is none, or no memory for it.

        Raises:
            OSError, MemoryError: this machine has no process left.
        """
        with self._lock:
            if self.process is not None and self._has_more(self.process):
                self._end()
            if self.process is None and not self._closed.is_set():
                self.process = start(self._command, is_wide=False)
                atexit.register(self.close)
            if (process := self.process) is None:
                return None
            answer = None
            try:
                # It may be closed while the process begins; whoever closes it later kills what it finds here.
                if not self._closed.is_set():
                    answer = self._exchange(process, question)
            except MemoryError:
                # The answer had no room: another matter than a machine that has no process left.
                return None
            finally:
                # Also whoever is interrupted: what it says later is no answer to the next question.
                if answer is None:
                    self._end()
            return answer

    def end(self) -> None:
        """End the process, if there is one, once it has answered; the next question starts another."""
        with self._lock:
            self._end()

    def close(self) -> None:
        """End the process at once, with what it holds; whoever waits hears of it, and nothing is answered any more."""
        self._closed.set()
        if (process := self.process) is not None:
            process.kill()
        # Whoever waits for it hears at once that it ended, and puts it away.
        if self._lock.acquire(timeout=GOODBYE):
            try:
                self._end()
            finally:
                self._lock.release()

    def _end(self) -> None:
        # Nobody asks it any more, also if whoever ends it is interrupted.
        process, self.process = self.process, None
        if process is not None:
            end(process)
            close(process)
            atexit.unregister(self.close)

    def _has_more(self, process: subprocess.Popen[bytes]) -> bool:
        """Tell whether it said something that nobody asked for, or ended: an answer of its would belong to nothing."""
        ready = select.poll()
        ready.register(_number(process.stdout), select.POLLIN)
        return bool(ready.poll(0))

    def _exchange(self, process: subprocess.Popen[bytes], question: Sequence[bytes]) -> list[bytes] | None:
        sink, source = _number(process.stdin), _number(process.stdout)
        os.set_blocking(sink, False)
        unsent = [memoryview(piece) for part in question for piece in (len(part).to_bytes(_LENGTH, "big"), part)]
        answer = _Answer(self._parts, self._most)
        self.was_late = False
        until = time.monotonic() + self._seconds
        # Not `select`, which takes descriptors below 1,024 only.
        ready = select.poll()
        ready.register(source, select.POLLIN)
        ready.register(sink, select.POLLOUT)
        try:
            while not answer.is_whole:
                left = until - time.monotonic()
                events = dict(ready.poll(1000 * left)) if left > 0 else {}
                if not events:
                    self.was_late = True
                    return None
                if sink in events:
                    _write(sink, unsent)
                    if not unsent:
                        ready.unregister(sink)
                if source in events and not answer.take(os.read(source, _READ)):
                    return None
        except OSError:
            # It ended.
            return None
        # Who answers before all was asked answers something else.
        return None if unsent else answer.parts


class _Answer:
    """What came of an answer."""

    def __init__(self, parts: int, most: int) -> None:
        self.parts = list[bytes]()
        self._wanted, self._most = parts, most
        self._held = bytearray()

    @property
    def is_whole(self) -> bool:
        return len(self.parts) == self._wanted

    def take(self, said: bytes) -> bool:
        """Take some more bytes; tell whether an answer can still come of it."""
        self._held += said
        while not self.is_whole and len(self._held) >= _LENGTH:
            size = int.from_bytes(self._held[:_LENGTH], "big")
            if size > self._most:
                return False
            if len(self._held) < _LENGTH + size:
                break
            self.parts.append(bytes(self._held[_LENGTH : _LENGTH + size]))
            del self._held[: _LENGTH + size]
        # Nothing is said at its end, and no more after an answer.
        return bool(said) and not (self.is_whole and self._held)


def _number(pipe: IO[bytes] | None) -> int:
    if pipe is None:
        raise RuntimeError("a process without pipes")
    return pipe.fileno()


def _write(sink: int, unsent: list[memoryview]) -> None:
    """Write what there is room for."""
    # Each by itself: together they would be copied, and one of them is a file.
    with suppress(BlockingIOError):
        while unsent:
            written = os.write(sink, unsent[0])
            unsent[0] = unsent[0][written:]
            if not unsent[0]:
                del unsent[0]


def answer_questions(answer: Callable[..., Sequence[bytes]], *, parts: int) -> None:
    """Answer questions from the standard input until it ends.

    Args:
        answer: takes the parts of a question, and returns those of its answer.
        parts: of a question.
    """
    # Whatever a library prints goes where its complaints go: between answers it would be taken for one.
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while (question := _question(source, parts)) is not None:
        for part in answer(*question):
            sink.write(len(part).to_bytes(_LENGTH, "big"))
            sink.write(part)
        # Not held while the next one is waited for.
        del question
        sink.flush()


def _question(source: BinaryIO, parts: int) -> list[bytes] | None:
    found = list[bytes]()
    for _ in range(parts):
        head = source.read(_LENGTH)
        size = int.from_bytes(head, "big")
        part = source.read(size)
        if len(head) < _LENGTH or len(part) < size:
            # Its end, also in the middle of a question.
            return None
        found.append(part)
    return found
