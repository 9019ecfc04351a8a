"""Processes beside this one: their pipes hold a whole answer, and a system that allows less has slower ones."""

from __future__ import annotations

import fcntl
import resource
import subprocess
import sys
from contextlib import nullcontext

import pytest

from panachain import beside

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
