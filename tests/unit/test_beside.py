"""Processes beside this one: what they get, how they end, and that one that fails costs its question its answer."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Final

import pytest

from panachain import beside
from panachain.beside import Asked
from panachain.records.reading_start import COMMAND as READING
from tests.processes import is_running, wait_for

LINUX: Final = pytest.mark.skipif(sys.platform != "linux", reason="only there the system tells what a process has")
PACKAGE: Final = Path(beside.__file__).parent
STARTERS: Final = {
    # What is asked beside this process, with as little as it needs.
    "beside.py": {"subprocess"},
    # Outlives whoever starts it, alone with a key; nothing of the environment.
    "agent/client.py": {"subprocess"},
    "agent/process.py": {"os.fork"},
    # A program that the user names, with the user's own environment but for our passwords.
    "passphrase.py": {"subprocess"},
    "portal/command.py": {"webbrowser"},
    # A network for trying out.
    "chain/anvil.py": {"subprocess"},
    "devnet/install.py": {"subprocess"},
    "devnet/processes.py": {"subprocess"},
    # A service's own workers, which hold what it holds.
    "service/workers.py": {"os.fork"},
}
"""Where a process is started, and by what."""
MODULES: Final = {"subprocess", "multiprocessing", "pty", "webbrowser", "concurrent.futures.process", "popen2"}
MAY_START: Final = re.compile(r"\b(os|posix|pty|popen2)\b|process|webbrowser|ProcessPool")
CALLS: Final = ("fork", "forkpty", "posix_spawn", "exec", "spawn", "system", "popen", "startfile")
NAMES: Final = {"ProcessPoolExecutor", "create_subprocess_exec", "create_subprocess_shell", "subprocess_exec"}
WORKER: Final = """
import json, os, resource, signal, sys, time
from panachain.beside import answer_questions, bound

def answer(question):
    what = question.decode()
    if what == "told":
        numbers = [int(one) for one in os.listdir("/proc/self/fd") if int(one) > 2]
        # One of them was that of the listing.
        held = {one: os.readlink(f"/proc/self/fd/{one}") for one in numbers if os.path.exists(f"/proc/self/fd/{one}")}
        return [json.dumps({
            "environment": {**os.environ}, "held": held, "group": os.getpgid(0), "pid": os.getpid(),
            "memory": resource.getrlimit(resource.RLIMIT_AS)[0], "file": resource.getrlimit(resource.RLIMIT_FSIZE)[0],
        }).encode()]
    if what == "crash":
        os.abort()
    if what == "hang":
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - {signal.SIGIO})
        while True:
            time.sleep(60)
    if what == "memory":
        try:
            return [b"%d" % len(bytes(1 << 31))]
        except MemoryError:
            return [b"too much"]
    if what == "too much":
        os.write(sink, (1 << 20).to_bytes(4, "big"))
    if what == "twice":
        os.write(sink, ((1).to_bytes(4, "big") + b"x") * 2)
    if what == "half":
        os.write(sink, (9).to_bytes(4, "big") + b"x")
        os._exit(0)
    if what == "print":
        print("what a library says")
        os.system("echo and what it runs says")
    return [question[:100]]

def main():
    global sink
    sink = os.dup(1)
    bound(1 << 30)
    answer_questions(answer, parts=1)
"""

PROGRAM = ("-c", "import sys; sys.stdout.buffer.write(bytes(600_000))")


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="this system has pipes of one size")
def test_a_pipe_holds_a_whole_answer_before_anybody_reads() -> None:
    process = beside.start(PROGRAM)
    try:
        assert process.wait(60) == 0
        assert process.stdout is not None
        assert len(process.stdout.read()) == 600_000
    finally:
        beside.end(process)
        beside.close(process)


@pytest.mark.parametrize("command", [None, 0])
def test_where_no_pipe_can_be_widened_all_arrives(command: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "_SET_SIZE", command)
    if command is not None:

        def refuses(*_: object) -> int:
            raise PermissionError("too much for this user")

        monkeypatch.setattr(fcntl, "fcntl", refuses)
    process = beside.start(PROGRAM)
    try:
        assert process.stdout is not None
        assert len(process.stdout.read()) == 600_000
    finally:
        beside.end(process)
        beside.close(process)
    assert process.stdin is not None
    assert process.stdin.closed
    assert process.stdout.closed


@pytest.mark.parametrize(("allowed", "expected"), [(1 << 31, 1 << 30), (1 << 29, 1 << 29)])
def test_memory_is_bounded_where_less_is_allowed_anyway(allowed: int, expected: int) -> None:
    program = (
        f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({allowed}, {allowed}));"
        "from panachain.beside import bound_memory; bound_memory(1 << 30);"
        "print(resource.getrlimit(resource.RLIMIT_AS)[0])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) == expected


@pytest.mark.parametrize(("system", "error"), [("darwin", None), ("linux", ValueError)])
def test_a_bound_that_a_mac_refuses_ends_nothing(
    system: str, error: type[Exception] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuses)
    monkeypatch.setattr(sys, "platform", system)
    with pytest.raises(error) if error else nullcontext():
        beside.bound_memory(1 << 30)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    (tmp_path / "made_up_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    one = Asked("made_up_worker", parts=1, most=1 << 16, seconds=60)
    yield one
    one.close()


@LINUX
def test_it_sees_nothing_of_this_process_but_what_finds_python(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    monkeypatch.setenv("PANACHAIN_RELAY_DATABASE_PASSWORD", "another one")
    inherited = os.open(__file__, os.O_RDONLY)
    try:
        os.set_inheritable(inherited, True)
        answer = asked.ask(b"told")
    finally:
        os.close(inherited)
    assert answer is not None
    told = json.loads(answer[0])
    # Python itself sets the last one where there is no other language.
    assert set(told["environment"]) <= {*beside.KEPT, "LC_CTYPE"}
    # Its output, which the answers keep for themselves, the one that this test's worker kept, and the line.
    assert [one.partition(":")[0] for one in told["held"].values()] == ["pipe", "pipe", "pipe"]
    assert (told["memory"], told["file"]) == (1 << 30, 0)
    assert told["group"] == told["pid"]


@LINUX
@pytest.mark.parametrize(
    ("command", "memory"),
    [
        (beside.command("panachain.records.pdf_worker"), 2 << 30),
        (beside.command("panachain.viewer.image_worker"), 1 << 30),
        (READING, 2 << 30),
    ],
    ids=["pdf", "images", "reading"],
)
def test_those_that_read_files_have_no_secret_no_descriptor_and_bounds(
    command: tuple[str, ...], memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "a secret")
    process = beside.start(command)
    try:
        own = Path("/proc", str(process.pid))
        wait_for(lambda: f" {memory} " in own.joinpath("limits").read_text())
        limits = {line[:25].strip(): line[26:].split()[0] for line in own.joinpath("limits").read_text().splitlines()}
        assert (limits["Max core file size"], limits["Max address space"]) == ("0", str(memory))
        names = {one.partition(b"=")[0].decode() for one in own.joinpath("environ").read_bytes().split(b"\0")[:-1]}
        assert names <= {*beside.KEPT, beside.LINE}
        opened = {one.name: str(one.readlink()) for one in own.joinpath("fd").iterdir()}
        ours = {str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink() and one.exists()}
        mine = {f"pipe:[{os.fstat(pipe.fileno()).st_ino}]" for pipe in (process.stdin, process.stdout) if pipe}
        line = f"pipe:[{os.fstat(beside._LINES[process]).st_ino}]"
        assert {one for one in opened.values() if one in ours} <= {*mine, line, os.devnull}
    finally:
        beside.end(process)
        beside.close(process)
    assert process not in beside._LINES


@pytest.mark.parametrize("what", ["crash", "too much", "twice", "half"])
def test_one_that_fails_costs_its_question_and_no_other(asked: Asked, what: str) -> None:
    assert asked.ask(b"before") == [b"before"]
    first = asked.process
    assert (asked.ask(what.encode()), asked.was_late) == (None, False)
    assert asked.process is None
    assert first is not None
    assert first.poll() is not None
    assert first.stdin is not None
    assert first.stdin.closed
    assert asked.ask(b"after") == [b"after"]


def test_one_that_hangs_is_ended(asked: Asked) -> None:
    assert asked.ask(b"before") == [b"before"]
    first = asked.process
    asked._seconds = 0.2
    assert (asked.ask(b"hang"), asked.was_late) == (None, True)
    assert first is not None
    assert first.poll() == -signal.SIGKILL
    asked._seconds = 60
    assert asked.ask(b"after") == [b"after"]


def test_whoever_is_interrupted_leaves_no_answer_for_the_next_question(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = beside._write

    def interrupted(sink: int, unsent: list[memoryview]) -> None:
        real(sink, unsent)
        raise KeyboardInterrupt

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(beside, "_write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            asked.ask(b"before")
    # Not asked before its answer to the first one has come.
    assert asked.process is None
    assert asked.ask(b"after") == [b"after"]


def test_an_answer_without_room_is_none_and_no_lack_of_processes(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*_: object, **__: object) -> bool:
        raise MemoryError

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(beside._Answer, "take", too_large)
        assert asked.ask(b"before") is None
        assert asked.process is None
        meanwhile.setattr(beside, "start", too_large)
        with pytest.raises(MemoryError):
            asked.ask(b"before")
    assert asked.ask(b"after") == [b"after"]


def test_one_that_died_or_spoke_meanwhile_is_replaced_before_it_is_asked(asked: Asked) -> None:
    assert asked.ask(b"before") == [b"before"]
    first = asked.process
    assert first is not None
    first.kill()
    first.wait(60)
    assert asked.ask(b"after") == [b"after"]


def test_it_takes_no_more_memory_than_it_may(asked: Asked) -> None:
    assert asked.ask(b"memory") == [b"too much"]


def test_what_a_library_prints_is_no_answer(asked: Asked) -> None:
    assert asked.ask(b"print") == [b"print"]
    assert asked.ask(b"next") == [b"next"]


def test_a_question_larger_than_any_pipe_arrives(asked: Asked) -> None:
    assert asked.ask(bytes(3 << 20)) == [bytes(100)]
    assert asked.ask(b"") == [b""]


def test_whoever_waits_hears_when_it_is_closed(asked: Asked) -> None:
    assert asked.ask(b"before") == [b"before"]
    process, said = asked.process, list[object]()
    waiting = threading.Thread(target=lambda: said.append(asked.ask(b"hang")))
    waiting.start()
    wait_for(asked._lock.locked)
    asked.close()
    waiting.join(60)
    assert said == [None]
    assert process is not None
    assert process.poll() is not None
    assert asked.ask(b"after") is None
    assert asked.process is None


@LINUX
def test_it_ends_with_a_parent_that_is_killed_whatever_it_is_at(tmp_path: Path) -> None:
    """Also where the parent ignores and blocks the signal by which the system says so."""
    (tmp_path / "made_up_worker.py").write_text(WORKER)
    program = """
import signal, sys, threading, time
signal.signal(signal.SIGIO, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO})
from panachain.beside import Asked
asked = Asked("made_up_worker", parts=1, most=1000, seconds=600)
# By a thread that ends before the process does.
first = threading.Thread(target=asked.ask, args=(b"first",))
first.start()
first.join()
print(asked.process.pid, flush=True)
asked.ask(b"hang")
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        blocked = Path("/proc", str(child), "status")
        # It hangs, and takes no other signal.
        wait_for(lambda: any(line.startswith("SigBlk:\tf") for line in blocked.read_text().splitlines()))
        assert is_running(child)
    finally:
        parent.kill()
        parent.communicate()
    wait_for(lambda: not is_running(child))


@LINUX
def test_a_copy_of_this_process_keeps_none_alive(asked: Asked) -> None:
    assert asked.ask(b"first") == [b"first"]
    copy = os.fork()
    if copy == 0:
        os._exit(len(beside._LINES))
    assert os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]) == 0
    assert asked.ask(b"second") == [b"second"]


def test_one_that_ends_twice_keeps_its_hands_off_the_next_one_of_its_number(asked: Asked) -> None:
    ended = beside.start(PROGRAM)
    beside.end(ended)
    beside.close(ended)
    assert asked.ask(b"first") == [b"first"]
    process = asked.process
    assert process is not None
    # As a system does once it has given all other numbers.
    ended.pid = process.pid
    beside.end(ended)
    assert process in beside._LINES
    assert asked.ask(b"second") == [b"second"]
    assert asked.process is process


def test_nobody_holds_a_line_that_a_copy_of_this_process_would_not_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    before, during = dict(beside._LINES), list[int]()

    def fails(*_: object, **__: object) -> None:
        during.extend(set(beside._LINES.values()) - set(before.values()))
        raise OSError("no process is left")

    monkeypatch.setattr(subprocess, "Popen", fails)
    with pytest.raises(OSError, match="no process is left"):
        beside.start(PROGRAM)
    assert before == beside._LINES
    assert len(during) == 1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(during[0])


def test_whoever_is_interrupted_while_one_starts_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    before, begun = dict(beside._LINES), list[subprocess.Popen[bytes]]()

    def interrupted(_: object) -> None:
        begun.extend(one for one in beside._LINES if isinstance(one, subprocess.Popen) and one not in before)
        raise KeyboardInterrupt

    monkeypatch.setattr(beside, "_widen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        beside.start(("-c", "import time; time.sleep(600)"))
    assert before == beside._LINES
    assert [one.wait(60) for one in begun] == [-signal.SIGKILL]
    beside.close(begun[0])


@LINUX
@pytest.mark.parametrize("closed", ["0", "0, 1, 2", "1, 2", "2"])
def test_a_host_without_input_output_or_complaints_is_answered(tmp_path: Path, closed: str) -> None:
    (tmp_path / "made_up_worker.py").write_text(WORKER)
    program = f"""
import os, sys
from panachain import beside
for one in ({closed},):
    os.close(one)
asked = beside.Asked("made_up_worker", parts=1, most=1000, seconds=60)
said = [asked.ask(b"first"), asked.process.pid, asked.ask(b"second"), asked.process.pid]
lines = [*beside._LINES.values()]
asked.close()
sys.exit(not (said[0::2] == [[b"first"], [b"second"]] and said[1] == said[3] and min(lines) > 2))
"""
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(tmp_path)}, timeout=60)
    assert done.returncode == 0


def test_one_that_is_started_by_nobody_or_too_late_ends(tmp_path: Path) -> None:
    theirs, ours = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [sys.executable, "-c", "from panachain.beside import bound; bound(1 << 30); print('goes on')"],
        env={**os.environ, beside.LINE: str(theirs)}, pass_fds=[theirs], capture_output=True, timeout=60,
    )  # fmt: skip
    os.close(theirs)
    assert (done.returncode, done.stdout) == (1, b"")


def test_programs_of_others_get_no_password_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANACHAIN_PROXY_DATABASE_PASSWORD", "a secret")
    monkeypatch.setenv("GNUPGHOME", "theirs")
    assert beside.environment_of_others() == {
        name: value for name, value in os.environ.items() if name != "PANACHAIN_PROXY_DATABASE_PASSWORD"
    }


def started_by(source: str) -> set[str]:
    """Return what a module has that starts processes; what only its annotations name doesn't count."""
    found, tree = set[str](), ast.parse(source)
    typing = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    left_out = {id(one) for node in typing for one in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom):
            names = {one.name for one in node.names}
            found |= ({node.module} & MODULES if node.module else set()) | names & NAMES
            found |= {f"os.{one}" for one in names if node.module in ("os", "posix") and one.startswith(CALLS)}
        elif isinstance(node, ast.Attribute):
            found |= {node.attr} & NAMES
            if isinstance(node.value, ast.Name) and node.value.id in ("os", "posix") and node.attr.startswith(CALLS):
                found.add(f"os.{node.attr}")
    return found


def test_only_these_places_start_a_process() -> None:
    found = {
        str(path.relative_to(PACKAGE)): starts
        for path in sorted(PACKAGE.rglob("*.py"))
        # Most have nothing of it, and needn't be parsed.
        if MAY_START.search(text := path.read_text()) and (starts := started_by(text))
    }
    assert found == STARTERS


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import subprocess", {"subprocess"}),
        ("def f():\n    from multiprocessing import Pool", {"multiprocessing"}),
        ("import os\nos.execvpe('x', [], {})", {"os.execvpe"}),
        ("from os import posix_spawn", {"os.posix_spawn"}),
        ("from concurrent.futures import ProcessPoolExecutor", {"ProcessPoolExecutor"}),
        ("import concurrent.futures as f\nf.ProcessPoolExecutor()", {"ProcessPoolExecutor"}),
        ("import asyncio\nasyncio.create_subprocess_exec('x')", {"create_subprocess_exec"}),
        ("if TYPE_CHECKING:\n    import subprocess", set()),
        ("import os\nos.environ", set()),
    ],
)
def test_that_would_be_seen(source: str, expected: set[str]) -> None:
    assert started_by(source) == expected


def test_what_a_pipe_has_no_room_for_is_given_back() -> None:
    source, sink = os.pipe()
    os.set_blocking(sink, False)
    with os.fdopen(source, "rb") as reading, os.fdopen(sink, "wb", buffering=0) as writing:
        unsent = os.urandom(fcntl.fcntl(sink, fcntl.F_GETPIPE_SZ) + 1000) if sys.platform == "linux" else bytes(1 << 20)
        left = beside.send(writing, unsent)
        assert 0 < len(left) < len(unsent)
        assert os.read(source, len(unsent) - len(left)) + left == unsent
        assert beside.send(None, left) == left
        reading.close()
        with pytest.raises(BrokenPipeError):
            beside.send(writing, left)
