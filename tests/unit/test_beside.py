"""Processes beside this one: their pipes hold a whole answer, and a system that allows less has slower ones."""

from __future__ import annotations

import fcntl

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
